//! What changed at a site between inspections: when each control, path, cookie, tracker and finding appeared, changed
//! and vanished.
//!
//! Between two inspections nobody looked. So a change is told as the last time it was seen one way and the first time
//! it was seen the other way, never as a date. An inspection that did not get in says nothing of anything.
//!
//! In two steps: [`facts`] takes one inspection apart into subjects with a value each; [`History`] lays those of many
//! side by side. [`differences`] compares two. Out of scope: reading bundles, and drawing (`history::page`).

pub mod page;

use crate::{
    evidence::Outcome,
    wire::{Inspection, Visit},
};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use vigie_domain::Verdict;

/// What of a site is followed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Subject {
    /// Under which heading.
    pub group: Group,
    /// What, for instance `refuse all` or `_ga in S0`.
    pub what: String,
}

/// Headings, in the order in which they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Whether there is a banner, and which.
    Banner,
    /// What the first layer offers.
    FirstLayer,
    /// The least clicks.
    Clicks,
    /// Switches that are on when first shown.
    Preticked,
    /// Cookies and storage entries that need consent, by visit.
    Stored,
    /// Hosts of trackers, by visit.
    Trackers,
    /// Verdicts.
    Findings,
}

impl Group {
    /// Every heading, in order.
    pub const ALL: [Self; 7] =
        [Self::Banner, Self::FirstLayer, Self::Clicks, Self::Preticked, Self::Stored, Self::Trackers, Self::Findings];

    /// Returns the heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Banner => "Banner",
            Self::FirstLayer => "On the first layer",
            Self::Clicks => "Clicks",
            Self::Preticked => "Ticked before anyone chose",
            Self::Stored => "Stored, and not exempt",
            Self::Trackers => "Trackers asked",
            Self::Findings => "Findings",
        }
    }
}

/// The value of what is not there.
pub const ABSENT: &str = "absent";

/// Visits of which what is stored and asked is followed.
const FOLLOWED: [&str; 4] = ["S0", "S1", "S2", "S3"];

/// Takes an inspection apart; `None` if it did not get in, as it says nothing then.
pub fn facts(document: &Inspection) -> Option<BTreeMap<Subject, String>> {
    if document.outcome != Outcome::Inspected {
        return None;
    }
    let mut facts = BTreeMap::new();
    let mut put = |group: Group, what: String, value: String| facts.insert(Subject { group, what }, value);
    let there = |is_there: bool| if is_there { "present" } else { ABSENT }.to_owned();
    put(Group::Banner, "a banner".to_owned(), there(document.banner.seen));
    for (what, value) in [("its language", &document.banner.language), ("its consent tool", &document.banner.cmp)] {
        put(Group::Banner, what.to_owned(), value.clone().unwrap_or_else(|| ABSENT.to_owned()));
    }
    let first = &document.first_layer;
    for (what, is_there) in [
        ("accept all", first.accept),
        ("refuse all", first.refuse),
        ("settings", first.settings),
        ("close", first.close),
    ] {
        put(Group::FirstLayer, what.to_owned(), there(is_there));
    }
    let clicks = &document.clicks;
    for (what, n) in [("to accept", clicks.accept), ("to refuse", clicks.refuse), ("to withdraw", clicks.withdraw)] {
        let value = n.map_or_else(|| "no way found".to_owned(), |n| n.to_string());
        put(Group::Clicks, what.to_owned(), value);
    }
    for switch in &document.preticked {
        put(Group::Preticked, format!("{} (layer {})", switch.label, switch.layer), there(true));
    }
    for visit in document.visits.iter().filter(|visit| is_followed(visit)) {
        let cookies = visit.cookies.iter().filter(|cookie| cookie.exempt == Some(false) && cookie.blocked.is_none());
        for cookie in cookies {
            put(Group::Stored, format!("{} of {} in {}", cookie.name, cookie.domain, visit.scenario), there(true));
        }
        for item in visit.storage.iter().filter(|item| item.exempt == Some(false)) {
            put(Group::Stored, format!("{} of {} in {}", item.key, item.origin, visit.scenario), there(true));
        }
        for tracker in &visit.trackers {
            put(Group::Trackers, format!("{} in {}", tracker.host, visit.scenario), there(true));
        }
    }
    for finding in &document.findings {
        put(Group::Findings, format!("{} {}", finding.rule, finding.title), verdict(finding.verdict).to_owned());
    }
    Some(facts)
}

fn is_followed(visit: &Visit) -> bool {
    visit.name.is_none() && FOLLOWED.contains(&visit.scenario.as_str())
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Breach => "breach",
        Verdict::Conform => "conform",
        Verdict::NotApplicable => "not applicable",
        Verdict::Inconclusive => "inconclusive",
    }
}

/// Something that held its value from one inspection to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Span {
    /// The value.
    pub value: String,
    /// When it was first seen so.
    pub first: Timestamp,
    /// When it was last seen so, before it was seen otherwise.
    pub last: Timestamp,
    /// How many inspections saw it so, one after the other.
    pub inspections: usize,
}

/// One subject over time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Series {
    /// What.
    pub subject: Subject,
    /// Its values, in the order of time; at least one.
    pub spans: Vec<Span>,
}

impl Series {
    /// Returns whether it was ever seen to change.
    pub fn changed(&self) -> bool {
        self.spans.len() > 1
    }
}

/// A site over time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct History {
    /// The site's host.
    pub host: String,
    /// When it was inspected, in order; those that did not get in are left out.
    pub inspected: Vec<Timestamp>,
    /// When an inspection did not get in.
    pub not_inspected: Vec<Timestamp>,
    /// All subjects, by heading and name.
    pub series: Vec<Series>,
}

impl History {
    /// Lays inspections of one site side by side, in whatever order they are given.
    pub fn of(host: &str, inspections: &[(Timestamp, Inspection)]) -> Self {
        let mut known: Vec<(Timestamp, BTreeMap<Subject, String>)> = Vec::new();
        let mut not_inspected = Vec::new();
        for (at, document) in inspections {
            match facts(document) {
                Some(facts) => known.push((*at, facts)),
                None => not_inspected.push(*at),
            }
        }
        known.sort_by_key(|(at, _)| *at);
        not_inspected.sort();
        let subjects: BTreeSet<&Subject> = known.iter().flat_map(|(_, facts)| facts.keys()).collect();
        let series = subjects.into_iter().map(|subject| {
            let mut spans: Vec<Span> = Vec::new();
            for (at, facts) in &known {
                let value = facts.get(subject).map_or(ABSENT, String::as_str);
                match spans.last_mut().filter(|span| span.value == value) {
                    Some(span) => {
                        span.last = *at;
                        span.inspections += 1;
                    }
                    None => spans.push(Span { value: value.to_owned(), first: *at, last: *at, inspections: 1 }),
                }
            }
            Series { subject: subject.clone(), spans }
        });
        Self {
            host: host.to_owned(),
            series: series.collect(),
            inspected: known.iter().map(|(at, _)| *at).collect(),
            not_inspected,
        }
    }

    /// Returns how exactly its inspections have to be told apart.
    pub fn clock(&self) -> Clock {
        let tells_apart = |clock: &Clock| {
            let told: BTreeSet<String> = self.inspected.iter().map(|at| clock.say(*at)).collect();
            told.len() == self.inspected.len()
        };
        [Clock::Days, Clock::Minutes].into_iter().find(tells_apart).unwrap_or(Clock::Seconds)
    }

    /// Returns the history as text: what changed, each as a line of spans, then how much did not.
    pub fn in_words(&self) -> String {
        let clock = self.clock();
        let mut lines = vec![format!(
            "{}: {} inspections, {} to {}",
            self.host,
            self.inspected.len(),
            self.inspected.first().map_or_else(String::new, |at| clock.say(*at)),
            self.inspected.last().map_or_else(String::new, |at| clock.say(*at)),
        )];
        let mut group = None;
        for series in self.series.iter().filter(|series| series.changed()) {
            if group != Some(series.subject.group) {
                group = Some(series.subject.group);
                lines.push(series.subject.group.title().to_owned());
            }
            lines.push(format!("  {}: {}", series.subject.what, clock.spans_in_words(&series.spans)));
        }
        let steady = self.series.iter().filter(|series| !series.changed()).count();
        lines.push(format!("{steady} other things were the same each time"));
        if !self.not_inspected.is_empty() {
            let days: Vec<String> = self.not_inspected.iter().map(|at| clock.say(*at)).collect();
            lines.push(format!("not let in on {}", days.join(", ")));
        }
        lines.join("\n")
    }
}

/// How exactly moments are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// By their days.
    Days,
    /// By days and minutes (UTC): several inspections were made on one day.
    Minutes,
    /// By days and seconds (UTC): several inspections were made within one minute.
    Seconds,
}

impl Clock {
    /// Returns a moment: `2021-06-01`, or `2021-06-01 14:05`.
    pub fn say(self, at: Timestamp) -> String {
        let form = match self {
            Self::Days => "%Y-%m-%d",
            Self::Minutes => "%Y-%m-%d %H:%M",
            Self::Seconds => "%Y-%m-%d %H:%M:%S",
        };
        at.strftime(form).to_string()
    }

    /// Returns `absent 2021-06-01 to 2022-01-10; first seen present 2022-02-14`.
    pub fn spans_in_words(self, spans: &[Span]) -> String {
        let span = |(at, span): (usize, &Span)| {
            let (first, last) = (self.say(span.first), self.say(span.last));
            let days = if first == last { first } else { format!("{first} to {last}") };
            if at == 0 { format!("{} {days}", span.value) } else { format!("first seen {} {days}", span.value) }
        };
        spans.iter().enumerate().map(span).collect::<Vec<_>>().join("; ")
    }
}

/// A subject of which two inspections differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What.
    pub subject: Subject,
    /// In the first.
    pub before: String,
    /// In the second.
    pub after: String,
}

/// Returns what differs between two inspections, by heading and name; `None` if one of them did not get in.
pub fn differences(before: &Inspection, after: &Inspection) -> Option<Vec<Difference>> {
    let (before, after) = (facts(before)?, facts(after)?);
    let subjects: BTreeSet<&Subject> = before.keys().chain(after.keys()).collect();
    let value = |facts: &BTreeMap<Subject, String>, subject: &Subject| {
        facts.get(subject).map_or_else(|| ABSENT.to_owned(), Clone::clone)
    };
    let differing = subjects.into_iter().filter_map(|subject| {
        let (before, after) = (value(&before, subject), value(&after, subject));
        (before != after).then(|| Difference { subject: subject.clone(), before, after })
    });
    Some(differing.collect())
}

#[cfg(test)]
mod tests;
