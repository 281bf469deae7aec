//! Bars, as the numbers that an SVG is drawn from. Each chart stands beside a table that says the same.
//!
//! Drawn for a width of 420 units, so that the words are still legible on a phone.

use super::views::percent;
use crate::statistics::Share;

/// The width of a chart.
pub const WIDTH: f64 = 420.0;

/// A chart of horizontal bars.
pub struct Chart {
    /// Its name in the page.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// The same in a sentence, for who does not see it.
    pub description: String,
    /// Its height.
    pub height: f64,
    /// Where the bars begin.
    pub left: f64,
    /// Where they end at most.
    pub right: f64,
    /// The bars.
    pub bars: Vec<Bar>,
}

/// A bar.
pub struct Bar {
    /// What it stands for, and where that is written.
    pub label: String,
    /// The base line of the label.
    pub label_y: f64,
    /// The bar's upper edge.
    pub y: f64,
    /// Its length.
    pub length: String,
    /// The value in words.
    pub value: String,
    /// The base line of the value.
    pub value_y: f64,
    /// The interval's ends and height, if there is one.
    pub interval: Option<(String, String, f64)>,
}

/// Height of a bar.
const BAR: f64 = 12.0;

/// Draws shares with their intervals: the label above, the bar below it from 0 to 100 %.
pub fn shares(id: String, title: String, rows: &[(String, Share)]) -> Chart {
    let (row, left, right) = (42.0, 0.0, WIDTH);
    let at = |share: f64| left + share * (right - left);
    let known = rows.iter().filter(|(_, share)| share.of > 0);
    let bars: Vec<Bar> = known
        .clone()
        .enumerate()
        .map(|(number, (label, share))| {
            let top = number as f64 * row;
            let interval =
                share.interval().map(|(low, high)| (shown(at(low)), shown(at(high)), top + 22.0 + BAR / 2.0));
            Bar {
                label: label.clone(),
                label_y: top + 15.0,
                y: top + 22.0,
                length: shown(share.value().unwrap_or_default() * (right - left)),
                value: format!("{} of {}: {}", share.n, share.of, percent(share.value())),
                value_y: top + 15.0,
                interval,
            }
        })
        .collect();
    Chart { id, description: description(&bars), title, height: bars.len() as f64 * row, left, right, bars }
}

/// Draws counts: label, bar and number on one line. The longest bar is as long as there is room.
pub fn counts(id: String, title: String, rows: &[(String, usize)], of: usize) -> Chart {
    let (row, left, right) = (26.0, 108.0, 320.0);
    let most = rows.iter().map(|(_, count)| *count).max().unwrap_or_default().max(1) as f64;
    let bars: Vec<Bar> = rows
        .iter()
        .enumerate()
        .map(|(number, (label, count))| {
            let top = number as f64 * row;
            Bar {
                label: label.clone(),
                label_y: top + 17.0,
                y: top + 6.0,
                length: shown(*count as f64 / most * (right - left)),
                value: format!("{count} ({})", percent(Share { n: *count, of }.value())),
                value_y: top + 17.0,
                interval: None,
            }
        })
        .collect();
    Chart { id, description: description(&bars), title, height: bars.len() as f64 * row, left, right, bars }
}

fn description(bars: &[Bar]) -> String {
    bars.iter().map(|bar| format!("{}: {}", bar.label, bar.value)).collect::<Vec<_>>().join("; ")
}

fn shown(value: f64) -> String {
    format!("{value:.1}")
}
