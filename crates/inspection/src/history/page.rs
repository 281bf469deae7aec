//! A history as a page: a picture of what changed, and the same as a table. Stands alone, without script.

use super::{ABSENT, Group, History, Series};
use askama::Template;
use jiff::Timestamp;

/// Width of the part of the picture in which time runs, in its own units.
const WIDTH: f64 = 640.0;

/// Height of a row.
const ROW: f64 = 26.0;

#[derive(Template)]
#[template(path = "history/history.html")]
struct Page<'a> {
    host: &'a str,
    first: String,
    last: String,
    n_inspections: usize,
    not_inspected: Vec<String>,
    groups: Vec<Section<'a>>,
    steady: Vec<(String, String)>,
    css: &'static str,
}

struct Section<'a> {
    title: &'static str,
    height: f64,
    marks: Vec<f64>,
    rows: Vec<Row<'a>>,
}

struct Row<'a> {
    what: &'a str,
    y: f64,
    words: String,
    bars: Vec<Bar<'a>>,
}

struct Bar<'a> {
    x: f64,
    width: f64,
    value: &'a str,
    tone: &'static str,
    label: Option<Label>,
}

/// Where a bar's value is written.
struct Label {
    x: f64,
    anchor: &'static str,
    /// Whether it stands on the bar's own colour.
    on_bar: bool,
}

/// Returns a history as one HTML page.
///
/// # Errors
///
/// If the template cannot be filled, which would be a mistake of ours.
pub fn render(history: &History) -> Result<String, askama::Error> {
    let (first, last) = (history.inspected.first().copied(), history.inspected.last().copied());
    let clock = history.clock();
    let scale = Scale { first: first.unwrap_or_default(), last: last.unwrap_or_default() };
    let mut groups: Vec<Section<'_>> = Vec::new();
    let mut group: Option<Group> = None;
    for series in history.series.iter().filter(|series| series.changed()) {
        if group != Some(series.subject.group) {
            group = Some(series.subject.group);
            let marks = history.inspected.iter().map(|at| scale.x(*at)).collect();
            groups.push(Section { title: series.subject.group.title(), height: 0.0, marks, rows: Vec::new() });
        }
        let Some(rows) = groups.last_mut() else { continue };
        let y = rows.rows.len() as f64 * ROW;
        rows.rows.push(Row {
            what: &series.subject.what,
            y,
            words: clock.spans_in_words(&series.spans),
            bars: bars(series, &scale),
        });
        rows.height = y + ROW;
    }
    let steady = history.series.iter().filter(|series| !series.changed());
    let steady = steady.filter(|series| series.spans[0].value != ABSENT);
    Page {
        host: &history.host,
        first: first.map(|at| clock.say(at)).unwrap_or_default(),
        last: last.map(|at| clock.say(at)).unwrap_or_default(),
        n_inspections: history.inspected.len(),
        not_inspected: history.not_inspected.iter().map(|at| clock.say(*at)).collect(),
        groups,
        steady: steady.map(|series| (series.subject.what.clone(), series.spans[0].value.clone())).collect(),
        css: include_str!("../../templates/report/style.css"),
    }
    .render()
}

struct Scale {
    first: Timestamp,
    last: Timestamp,
}

impl Scale {
    fn x(&self, at: Timestamp) -> f64 {
        let whole = (self.last.as_second() - self.first.as_second()).max(1) as f64;
        let part = (at.as_second() - self.first.as_second()) as f64;
        (part / whole * (WIDTH - 16.0) * 10.0).round() / 10.0 + 8.0
    }
}

/// A bar reaches from where a value was first seen to where it was last seen; between two bars nobody looked.
fn bars<'a>(series: &'a Series, scale: &Scale) -> Vec<Bar<'a>> {
    let extent = |span: &super::Span| (scale.x(span.first) - 5.0, scale.x(span.last) + 5.0);
    let bar = |(n, span): (usize, &'a super::Span)| {
        let (from, to) = extent(span);
        let before = n.checked_sub(1).map_or(0.0, |before| extent(&series.spans[before]).1);
        let after = series.spans.get(n + 1).map_or(WIDTH, |after| extent(after).0);
        let tone = tone(series, &span.value);
        Bar {
            x: from,
            width: to - from,
            value: &span.value,
            tone,
            label: label(&span.value, [before, from, to, after]),
        }
    };
    series.spans.iter().enumerate().map(bar).collect()
}

/// Returns where a value is written: on its bar, else after it, else before it; nowhere if there is no room.
fn label(value: &str, [before, from, to, after]: [f64; 4]) -> Option<Label> {
    const LETTER: f64 = 7.5;
    const GAP: f64 = 6.0;
    let needed = value.chars().take(MOST_LETTERS).count() as f64 * LETTER + 2.0 * GAP;
    if to - from >= needed {
        Some(Label { x: from + GAP, anchor: "start", on_bar: true })
    } else if after - to >= needed {
        Some(Label { x: to + GAP, anchor: "start", on_bar: false })
    } else if from - before >= needed {
        Some(Label { x: from - GAP, anchor: "end", on_bar: false })
    } else {
        None
    }
}

/// Letters of a value that are drawn.
const MOST_LETTERS: usize = 16;

/// Returns how a value is drawn. Colour says nothing that the words beside the picture do not.
fn tone(series: &Series, value: &str) -> &'static str {
    match (series.subject.group, value) {
        (Group::Findings, "breach") | (Group::Preticked | Group::Stored | Group::Trackers, "present") => "bad",
        (Group::Findings, "conform") | (Group::FirstLayer | Group::Banner, "present") => "good",
        (_, ABSENT) => "none",
        _ => "plain",
    }
}
