//! What a click did, told from the state of the profile and of the screen before and after it.
//!
//! Words say what a control promises; this says what happened. Where words and effect both speak, words name the
//! choice and the effect judges whether it was kept; where words fail, the effect decides.

use crate::evidence::{Effect, Proof};
use std::collections::{BTreeMap, BTreeSet};
use vigie_domain::record::{Event, EventKind, Sample};
use vigie_trackers::host_of;

/// What a path left behind, for comparing it with another.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Trace {
    /// Hosts asked for something after the choice and not before.
    pub new_hosts: BTreeSet<String>,
    /// What the choice wrote, with values from which clocks and identifiers are taken out.
    pub stored: BTreeMap<String, String>,
    /// What was stored before it and is no more.
    pub removed: BTreeSet<String>,
}

impl Trace {
    /// Compares the events and samples before and after a choice; `choice` is the number of the event of the click.
    pub(crate) fn of(events: &[Event], choice: u64, before: &Sample, after: &Sample) -> Self {
        let mut early = BTreeSet::new();
        let mut late = BTreeSet::new();
        for event in events {
            if let EventKind::Request { url, .. } = &event.kind
                && let Some(host) = host_of(url)
            {
                if event.n < choice {
                    early.insert(host)
                } else {
                    late.insert(host)
                };
            }
        }
        let new_hosts = late.difference(&early).cloned().collect();
        let (earlier, later) = (entries(before), entries(after));
        let removed = earlier.keys().filter(|key| !later.contains_key(*key)).cloned().collect();
        let stored = later.into_iter().filter(|(key, value)| earlier.get(key) != Some(value));
        Self { new_hosts, stored: stored.map(|(key, value)| (key, mask(&value))).collect(), removed }
    }

    /// Returns whether this took back what accepting had stored, without asking anew for what accepting had loaded.
    pub(crate) fn undoes(&self, accepted: &Self) -> bool {
        let changes = |(key, value): (&String, &String)| {
            self.removed.contains(key) || self.stored.get(key).is_some_and(|now| now != value)
        };
        accepted.stored.iter().any(changes) && self.new_hosts.is_disjoint(&accepted.new_hosts)
    }

    /// Returns which choice this trace is most like, given the trace of accepting.
    pub(crate) fn compare(&self, accepted: Option<&Self>) -> Effect {
        if self.stored.is_empty() && self.new_hosts.is_empty() {
            return Effect::Dismisses;
        }
        let Some(accepted) = accepted else { return Effect::Unknown };
        // Keys that say the choice: written by both, whatever else accepting brought along.
        let shared: Vec<_> = self.stored.iter().filter(|(key, _)| accepted.stored.contains_key(*key)).collect();
        let same = shared.iter().filter(|(key, value)| accepted.stored.get(*key) == Some(*value)).count();
        if !accepted.new_hosts.is_empty() {
            let common = accepted.new_hosts.intersection(&self.new_hosts).count();
            if common * 2 > accepted.new_hosts.len() {
                return Effect::Accepts;
            }
            if common == 0 {
                return if shared.is_empty() && self.stored.is_empty() { Effect::Dismisses } else { Effect::Refuses };
            }
            return Effect::Unknown;
        }
        match (shared.len(), same) {
            (0, _) => Effect::Unknown,
            (all, same) if same == all => Effect::Accepts,
            _ => Effect::Refuses,
        }
    }
}

/// Returns what changed in cookies and storage, as `cookie NAME` and `local KEY`.
pub(crate) fn changes(before: &Sample, after: &Sample) -> Vec<String> {
    let (earlier, later) = (entries(before), entries(after));
    later.iter().filter(|(key, value)| earlier.get(*key) != Some(value)).map(|(key, _)| key.clone()).collect()
}

/// Returns the proof that a choice was taken, as far as it can be seen at once.
pub(crate) fn proof(
    before: &Sample,
    after: &Sample,
    events: &[Event],
    choice: u64,
    gone: bool,
    confirmed: bool,
) -> Proof {
    let signals: BTreeSet<String> = events
        .iter()
        .filter(|event| event.n > choice)
        .filter_map(|event| match &event.kind {
            EventKind::ConsentSignal { kind, .. } => Some(kind.clone()),
            _ => None,
        })
        .collect();
    Proof {
        surface_gone: gone,
        confirmed,
        stored: changes(before, after),
        signals: signals.into_iter().collect(),
        remembered: None,
    }
}

fn entries(sample: &Sample) -> BTreeMap<String, String> {
    let cookies = sample.cookies.iter().map(|cookie| (format!("cookie {}", cookie.name), cookie.value.clone()));
    let storage = sample.storage.iter().map(|item| {
        let kind = serde_json::to_value(item.kind).ok().and_then(|kind| kind.as_str().map(str::to_owned));
        (format!("{} {}", kind.unwrap_or_default(), item.key), item.value.clone())
    });
    cookies.chain(storage).collect()
}

/// Takes out of a value what differs from visit to visit: times and identifiers, that is runs of ten or more letters
/// and digits with both in them, and numbers of six or more digits.
fn mask(value: &str) -> String {
    let mut masked = String::with_capacity(value.len());
    let mut word = String::new();
    let flush = |word: &mut String, masked: &mut String| {
        let digits = word.chars().filter(char::is_ascii_digit).count();
        let is_clock = digits >= 6 && digits == word.len();
        let is_identifier = word.len() >= 8 && digits > 0 && digits < word.len();
        masked.push_str(if is_clock || is_identifier { "#" } else { word });
        word.clear();
    };
    for character in value.chars() {
        if character.is_ascii_alphanumeric() {
            word.push(character);
        } else {
            flush(&mut word, &mut masked);
            masked.push(character);
        }
    }
    flush(&mut word, &mut masked);
    // What is left of a date or time: numbers between separators that a clock writes.
    let mut plain = String::with_capacity(masked.len());
    let mut in_time = false;
    for part in masked.split_inclusive(['"', ',', ';', '&', '|', '%']) {
        let dated = part.matches([':', '-']).count() >= 2 && part.contains(|c: char| c.is_ascii_digit());
        if dated && !in_time {
            plain.push('#');
        }
        in_time = dated;
        if !dated {
            plain.push_str(part);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(hosts: &[&str], stored: &[(&str, &str)]) -> Trace {
        Trace {
            new_hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
            stored: stored.iter().map(|&(key, value)| (key.to_owned(), mask(value))).collect(),
            removed: BTreeSet::new(),
        }
    }

    #[test]
    fn a_trace_is_told_by_the_hosts_that_accepting_brings() {
        let accepted = trace(&["t.test", "u.test"], &[("cookie c", "all")]);
        let check = |trace: Trace, effect: Effect| assert_eq!(trace.compare(Some(&accepted)), effect, "{trace:?}");
        check(trace(&["t.test", "u.test"], &[("cookie c", "all")]), Effect::Accepts);
        check(trace(&[], &[("cookie c", "none")]), Effect::Refuses);
        check(trace(&[], &[]), Effect::Dismisses);
    }

    #[test]
    fn what_accepting_stored_is_taken_back_by_another_value_or_none() {
        let accepted = trace(&["t.test"], &[("cookie c", "all")]);
        let check = |trace: Trace, expected: bool| assert_eq!(trace.undoes(&accepted), expected, "{trace:?}");
        check(trace(&[], &[("cookie c", "none")]), true);
        check(Trace { removed: BTreeSet::from(["cookie c".to_owned()]), ..Trace::default() }, true);
        check(trace(&["t.test"], &[("cookie c", "none")]), false);
        check(trace(&[], &[("cookie c", "all"), ("cookie d", "1")]), false);
    }

    #[test]
    fn a_trace_without_hosts_is_told_by_what_it_stored() {
        let accepted = trace(&[], &[("cookie c", r#"{"ads":true,"at":"2026-11-22T10:00:00Z","id":"a8f5f167f44f"}"#)]);
        let check = |trace: Trace, effect: Effect| assert_eq!(trace.compare(Some(&accepted)), effect, "{trace:?}");
        let again = trace(&[], &[("cookie c", r#"{"ads":true,"at":"2026-11-22T11:30:00Z","id":"77c5f167f44e"}"#)]);
        check(again, Effect::Accepts);
        let refused = trace(&[], &[("cookie c", r#"{"ads":false,"at":"2026-11-22T11:30:00Z","id":"77c5f167f44e"}"#)]);
        check(refused, Effect::Refuses);
    }
}
