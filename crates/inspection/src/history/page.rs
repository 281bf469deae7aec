//! A history as a page: a picture of what changed, and the same as a table. Stands alone, without script.
//!
//! A history itself is in English, and so are its texts and JSON; its words are translated here, where they are shown.

use super::{ABSENT, Clock, Group, History, Series, Span, Subject};
use crate::{catalogue::Catalogue, report::Language};
use askama::Template;
use jiff::Timestamp;

/// Width of the part of the picture in which time runs, in its own units.
const WIDTH: f64 = 640.0;

/// Height of a row.
const ROW: f64 = 26.0;

#[derive(Template)]
#[template(path = "history/history.html")]
struct Page<'a> {
    t: Language,
    host: &'a str,
    title: String,
    first: String,
    last: String,
    lead: String,
    not_inspected: Option<String>,
    groups: Vec<Section>,
    n_steady: String,
    steady: Vec<(String, String)>,
    css: &'static str,
}

struct Section {
    title: String,
    alternative: String,
    height: f64,
    marks: Vec<f64>,
    rows: Vec<Row>,
}

struct Row {
    what: String,
    y: f64,
    words: String,
    bars: Vec<Bar>,
}

struct Bar {
    x: f64,
    width: f64,
    value: String,
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

/// Returns a history as one HTML page in a language.
///
/// # Errors
///
/// If the template cannot be filled, which would be a mistake of ours.
pub fn render(t: Language, history: &History) -> Result<String, askama::Error> {
    let (first, last) = (history.inspected.first().copied(), history.inspected.last().copied());
    let clock = history.clock();
    let scale = Scale { first: first.unwrap_or_default(), last: last.unwrap_or_default() };
    let mut groups: Vec<Section> = Vec::new();
    let mut group: Option<Group> = None;
    for series in history.series.iter().filter(|series| series.changed()) {
        if group != Some(series.subject.group) {
            group = Some(series.subject.group);
            let marks = history.inspected.iter().map(|at| scale.x(*at)).collect();
            let title = t.say(series.subject.group.title()).to_owned();
            let alternative = t.fill("{title}, drawn over time; the table below says the same", &[("title", &title)]);
            groups.push(Section { title, alternative, height: 0.0, marks, rows: Vec::new() });
        }
        let Some(rows) = groups.last_mut() else { continue };
        let y = rows.rows.len() as f64 * ROW;
        rows.rows.push(Row {
            what: name(t, &series.subject),
            y,
            words: spans_in_words(t, clock, series),
            bars: bars(t, series, &scale),
        });
        rows.height = y + ROW;
    }
    let steady = history.series.iter().filter(|series| !series.changed());
    let steady = steady.filter(|series| series.spans[0].value != ABSENT);
    let steady: Vec<_> =
        steady.map(|series| (name(t, &series.subject), value(t, series, &series.spans[0].value))).collect();
    let (first, last) =
        (first.map(|at| clock.say(at)).unwrap_or_default(), last.map(|at| clock.say(at)).unwrap_or_default());
    let count = t.count(history.inspected.len(), "inspection", "inspections");
    let days: Vec<String> = history.not_inspected.iter().map(|at| clock.say(*at)).collect();
    let closed = |days: &str| t.fill("Not let in on {days}; those days say nothing.", &[("days", days)]);
    Page {
        t,
        host: &history.host,
        title: t.fill(
            "{host}: what changed from {first} to {last}",
            &[("host", &history.host), ("first", &first), ("last", &last)],
        ),
        lead: t.fill(
            "{count}, {first} to {last}. Between two of them nobody looked: a change is told as the last time it was seen one way and the first time it was seen the other way.",
            &[("count", &count), ("first", &first), ("last", &last)],
        ),
        first,
        last,
        not_inspected: (!days.is_empty()).then(|| closed(&days.join(", "))),
        groups,
        n_steady: t.count(steady.len(), "thing", "things"),
        steady,
        css: include_str!("../../templates/report/style.css"),
    }
    .render()
}

/// What [`facts`](super::facts) calls things and values by names of ours; the rest comes from the site or the catalogue.
pub(crate) const OWN_NAMES: [&str; 13] = [
    "a banner",
    "its language",
    "its consent tool",
    "accept all",
    "refuse all",
    "settings",
    "close",
    "to accept",
    "to refuse",
    "to withdraw",
    "present",
    ABSENT,
    "no way found",
];

/// Returns what a subject is called.
fn name(t: Language, subject: &Subject) -> String {
    let what = subject.what.as_str();
    let translated = match subject.group {
        _ if t == Language::English => None,
        Group::Banner | Group::FirstLayer | Group::Clicks => Some(t.say(what).to_owned()),
        Group::Preticked => what.rsplit_once(" (layer ").map(|(label, layer)| {
            t.fill("{label} (layer {n})", &[("label", label), ("n", layer.trim_end_matches(')'))])
        }),
        Group::Stored => what.rsplit_once(" in ").and_then(|(stored, visit)| {
            let (item, owner) = stored.rsplit_once(" of ")?;
            Some(t.fill("{item} of {owner} in {visit}", &[("item", item), ("owner", owner), ("visit", visit)]))
        }),
        Group::Trackers => what
            .rsplit_once(" in ")
            .map(|(host, visit)| t.fill("{host} in {visit}", &[("host", host), ("visit", visit)])),
        Group::Findings => what.split_once(' ').and_then(|(id, _)| {
            let rule = Catalogue::bundled().rules().find(|rule| rule.id.to_string() == id)?;
            Some(format!("{id} {}", rule.title_fr.as_ref()?))
        }),
    };
    translated.unwrap_or_else(|| what.to_owned())
}

/// Returns a value in words.
fn value(t: Language, series: &Series, value: &str) -> String {
    match (series.subject.group, value) {
        // Alone these words stand in the plural, as they are counted in the report.
        (Group::Findings, "conform") => t.say("Conform").to_lowercase(),
        (Group::Findings, "inconclusive") => t.say("Inconclusive").to_lowercase(),
        // What a site says is not ours to translate.
        (Group::Banner, _) if !OWN_NAMES.contains(&value) => value.to_owned(),
        _ => t.say(value).to_owned(),
    }
}

/// Returns `absent 2021-06-01 to 2022-01-10; first seen present 2022-02-14`, in a language.
fn spans_in_words(t: Language, clock: Clock, series: &Series) -> String {
    let span = |(at, span): (usize, &Span)| {
        let (first, last) = (clock.say(span.first), clock.say(span.last));
        let days =
            if first == last { first } else { t.fill("{first} to {last}", &[("first", &first), ("last", &last)]) };
        let value = value(t, series, &span.value);
        let values = [("value", value.as_str()), ("days", days.as_str())];
        if at == 0 { t.fill("{value} {days}", &values) } else { t.fill("first seen {value} {days}", &values) }
    };
    series.spans.iter().enumerate().map(span).collect::<Vec<_>>().join("; ")
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
fn bars(t: Language, series: &Series, scale: &Scale) -> Vec<Bar> {
    let extent = |span: &Span| (scale.x(span.first) - 5.0, scale.x(span.last) + 5.0);
    let bar = |(n, span): (usize, &Span)| {
        let (from, to) = extent(span);
        let before = n.checked_sub(1).map_or(0.0, |before| extent(&series.spans[before]).1);
        let after = series.spans.get(n + 1).map_or(WIDTH, |after| extent(after).0);
        let tone = tone(series, &span.value);
        let value = value(t, series, &span.value);
        let label = label(&value, [before, from, to, after]);
        Bar { x: from, width: to - from, value, tone, label }
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
