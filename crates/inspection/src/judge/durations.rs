//! CK-20: whether the lifetimes that a site states for its trackers are stated, and true.
//!
//! A stated duration is the first span of time that follows a tracker's name in the text of a layer that was opened,
//! before the name of another; that is how cookie tables read. Pages of policy are not opened, so that silence of the
//! layers proves nothing. A vendor's own disclosure, where it was had, is held against what was seen, too.

use super::{
    answer::{Answer, event, list, whole},
    case::Case,
};
use crate::{classify::CookieFact, evidence::SurfaceView};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};
use vigie_domain::Scenario;
use vigie_trackers::Party;

/// How far behind a name its duration may stand, in characters. Ours: a row of a table, not a chapter.
const ROW_CHARS: usize = 240;

/// How much longer than stated a tracker may live before the statement counts as false: months and years are rounded
/// by those who write tables. Ours.
const ROUNDING: f64 = 1.1;

#[derive(Deserialize)]
struct File {
    unit: Vec<Unit>,
    session: Session,
}

#[derive(Deserialize)]
struct Unit {
    seconds: f64,
    words: Vec<String>,
}

#[derive(Deserialize)]
struct Session {
    words: Vec<String>,
}

/// Words for spans of time.
struct Spans {
    units: BTreeMap<String, f64>,
    session: BTreeSet<String>,
}

fn spans() -> &'static Spans {
    static SPANS: OnceLock<Spans> = OnceLock::new();
    SPANS.get_or_init(|| {
        let file: File = toml::from_str(include_str!("../../../../data/durations.toml")).expect("a test reads it");
        let units = file.unit.into_iter().flat_map(|unit| unit.words.into_iter().map(move |word| (word, unit.seconds)));
        // Of a word that names two spans (Ukrainian hours are Serbian years), the longer one: in doubt for the site.
        let mut longest: BTreeMap<String, f64> = BTreeMap::new();
        for (word, seconds) in units {
            let known = longest.entry(word).or_insert(seconds);
            *known = known.max(seconds);
        }
        Spans { units: longest, session: file.session.words.into_iter().collect() }
    })
}

/// CK-20. For each tracker: a stated duration exists, and the observed lifetime does not exceed it.
pub(super) fn durations_stated(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    let Some(s2) = case.played(Scenario::S2) else {
        return Answer::inconclusive("acceptance was not played (S2), so it is not known which trackers are used");
    };
    let trackers: Vec<&CookieFact> = s2.facts.cookies.iter().filter(|cookie| cookie.needs_consent()).collect();
    if trackers.is_empty() {
        return match s2.watched() {
            Ok(()) => Answer::not_applicable("no cookie that needs consent was seen after acceptance"),
            Err(why) => Answer::inconclusive(format!("no cookie that needs consent was seen, but {why}")),
        };
    }
    let names: BTreeSet<&str> = s2.facts.cookies.iter().map(|cookie| cookie.name.as_str()).collect();
    let views: Vec<&SurfaceView> = case.evidence.first_layer.iter().chain(&case.evidence.further_layers).collect();
    let mut untrue = Vec::new();
    let mut unstated = BTreeSet::new();
    let mut shown = Vec::new();
    for cookie in &trackers {
        let stated = views
            .iter()
            .find_map(|view| stated_for(&view.surface.text, &cookie.name, &names).map(|seconds| (view, seconds)));
        let lives = cookie.lifetime_s.map_or(0.0, |seconds| seconds as f64);
        match stated {
            None => {
                unstated.insert(cookie.title());
            }
            Some((view, seconds)) if lives > seconds * ROUNDING + 60.0 => {
                let (said, seen) = (in_words(seconds), in_words(lives));
                untrue.push(format!("{} is stated to live {said} and lives {seen}", cookie.title()));
                shown.push(whole(view, format!("{}: stated {said}", cookie.title())));
                if let Some(&n) = cookie.traces.writes.last() {
                    shown.push(event(s2.name(), n, format!("{}: written to live {seen}", cookie.title())));
                }
            }
            Some((view, seconds)) => {
                shown.push(whole(view, format!("{}: stated {}", cookie.title(), in_words(seconds))));
            }
        }
    }
    let mut undisclosed = BTreeSet::new();
    for cookie in &trackers {
        match disclosed(case, cookie) {
            Declared::For { seconds, vendor } => {
                let lives = cookie.lifetime_s.map_or(0.0, |seconds| seconds as f64);
                if lives > seconds.max(0.0) * ROUNDING + 60.0 {
                    let (said, seen) = (in_words(seconds), in_words(lives));
                    untrue.push(format!("{} lives {seen}, {vendor} discloses {said}", cookie.title()));
                    if let Some(&n) = cookie.traces.writes.last() {
                        shown.push(event(s2.name(), n, format!("{}: written to live {seen}", cookie.title())));
                    }
                }
            }
            Declared::ButNotThis { vendor } => {
                undisclosed.insert(format!("{} of {vendor}", cookie.title()));
            }
            Declared::NotKnown => {}
        }
    }
    let undisclosed = (!undisclosed.is_empty()).then(|| {
        let names = list(&undisclosed);
        format!("Why does the vendor's own disclosure not name these, and how long are they kept: {names}?")
    });
    let question =
        |names: String| format!("Which duration do you state for each of these trackers, and where: {names}?");
    if !untrue.is_empty() {
        return Answer::breach(untrue.join("; ")).showing(shown).asking(undisclosed);
    }
    if !unstated.is_empty() {
        let names = list(&unstated);
        return Answer::inconclusive(format!("the layers that were opened state no duration for {names}"))
            .asking([question(names)].into_iter().chain(undisclosed));
    }
    Answer::conform("a duration is stated for every tracker seen, and none outlives it")
        .showing(shown)
        .asking(undisclosed)
}

/// What vendors declare about a cookie.
enum Declared {
    /// How long it is kept, and who says so.
    For { seconds: f64, vendor: String },
    /// A vendor declares what it stores on that domain, and not this.
    ButNotThis { vendor: String },
    /// No disclosure that was had is about it.
    NotKnown,
}

/// Returns what vendors declare about a cookie; of several spans the longest, in doubt for the site.
fn disclosed(case: &Case<'_>, cookie: &CookieFact) -> Declared {
    let site = &case.evidence.site.host;
    let all = case.evidence.disclosures.iter();
    let entries = all.clone().flat_map(|vendor| vendor.entries.iter().map(move |entry| (vendor, entry)));
    let about: Vec<_> = entries.filter(|(_, entry)| entry.is_of(&cookie.name, &cookie.domain, site)).collect();
    let spans = about.iter().filter_map(|(vendor, entry)| Some((vendor, entry.max_age_s?)));
    if let Some((vendor, seconds)) = spans.max_by(|a, b| a.1.total_cmp(&b.1)) {
        return Declared::For { seconds, vendor: vendor.name.clone() };
    }
    if !about.is_empty() || cookie.party == Party::First {
        return Declared::NotKnown;
    }
    let of_domain = all.clone().find(|vendor| vendor.entries.iter().any(|entry| entry.names(&cookie.domain)));
    of_domain.map_or(Declared::NotKnown, |vendor| Declared::ButNotThis { vendor: vendor.name.clone() })
}

/// Returns the duration in seconds that a text states for a name; 0 for the session.
fn stated_for(text: &str, name: &str, all: &BTreeSet<&str>) -> Option<f64> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let stands_alone =
        |at: usize, word: &str| !text[..at].ends_with(is_name) && !text[at + word.len()..].starts_with(is_name);
    text.match_indices(name).filter(|(at, _)| stands_alone(*at, name)).find_map(|(at, _)| {
        let rest = &text[at + name.len()..];
        let mut end = rest.char_indices().nth(ROW_CHARS).map_or(rest.len(), |(end, _)| end);
        for other in all.iter().filter(|other| **other != name) {
            let next = rest.match_indices(other).find(|(there, _)| stands_alone(at + name.len() + there, other));
            end = next.map_or(end, |(there, _)| end.min(there));
        }
        first_span(&rest[..end])
    })
}

/// Returns the first span of time in a text, in seconds; 0 for the session.
fn first_span(text: &str) -> Option<f64> {
    let lower = text.to_lowercase();
    let mut number: Option<f64> = None;
    for token in lower.split(|c: char| !(c.is_alphanumeric() || c == '.' || c == ',')).filter(|token| !token.is_empty())
    {
        let digits = token.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ',')).unwrap_or(token.len());
        let (figure, unit) = token.split_at(digits);
        let figure = figure.trim_matches(['.', ',']).replace(',', ".").parse::<f64>().ok();
        let unit = unit.trim_matches(['.', ',']);
        if spans().session.contains(unit) {
            return Some(0.0);
        }
        if let Some(seconds) = spans().units.get(unit)
            && let Some(count) = figure.or(number)
        {
            return Some(count * seconds);
        }
        number = figure.filter(|_| unit.is_empty());
    }
    None
}

fn in_words(seconds: f64) -> String {
    const DAY: f64 = 86_400.0;
    let plural = |count: f64, unit: &str| {
        let rounded = (count * 10.0).round() / 10.0;
        format!("{rounded} {unit}{}", if rounded == 1.0 { "" } else { "s" })
    };
    match seconds {
        s if s <= 0.0 => "for the session".to_owned(),
        s if s < 3600.0 => plural(s / 60.0, "minute"),
        s if s < DAY => plural(s / 3600.0, "hour"),
        s if s < 60.0 * DAY => plural(s / DAY, "day"),
        s if s < 700.0 * DAY => plural(s / 2_629_800.0, "month"),
        s => plural(s / 31_557_600.0, "year"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_in_many_languages() {
        let check = |text: &str, expected: Option<f64>| assert_eq!(first_span(text), expected, "{text}");
        check("Google Analytics, 2 years", Some(2.0 * 31_557_600.0));
        check("Audience measurement 1 day", Some(86_400.0));
        check("13 mois", Some(13.0 * 2_629_800.0));
        check("Laufzeit: 30 Tage", Some(30.0 * 86_400.0));
        check("24h", Some(86_400.0));
        check("1,5 година", Some(1.5 * 31_557_600.0));
        check("Session", Some(0.0));
        check("version 3 of the tag", None);
        check("years of experience", None);
    }

    #[test]
    fn a_row_of_a_table_states_the_duration_of_its_cookie_alone() {
        let text = "_ga Google Audience 1 day _ga_X Google Audience 2 years _fbp Meta Advertising";
        let all = BTreeSet::from(["_ga", "_ga_X", "_fbp"]);
        assert_eq!(stated_for(text, "_ga", &all), Some(86_400.0));
        assert_eq!(stated_for(text, "_ga_X", &all), Some(2.0 * 31_557_600.0));
        assert_eq!(stated_for(text, "_fbp", &all), None);
    }

    #[test]
    fn a_span_reads_as_a_person_would_say_it() {
        let check = |seconds: f64, expected: &str| assert_eq!(in_words(seconds), expected);
        check(0.0, "for the session");
        check(86_400.0, "1 day");
        check(34_187_400.0, "13 months");
        check(63_115_200.0, "2 years");
    }
}
