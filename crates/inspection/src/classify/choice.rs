//! When a visit's choice was made, and what was first written by making it.

use crate::evidence::{ChoicePath, Evidence};
use std::collections::BTreeSet;
use vigie_domain::{
    Scenario, VisitRecord,
    record::{EventKind, Sample, StorageKind, Writer},
};
use vigie_trackers::{Party, host_of, party};

/// What a choice wrote, in acceptance and in refusal alike.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Chosen {
    /// Name and domain of cookies.
    pub cookies: BTreeSet<(String, String)>,
    /// Kind, origin and key of storage entries.
    pub storage: BTreeSet<(StorageKind, String, String)>,
}

/// Returns the number of the event of the click by which a visit's choice was made: what comes after it comes after the
/// choice. `None` where no input was made.
///
/// In S3 that is the withdrawal. In S4 it is the saving, in S5 the first of what was done.
pub fn choice_event(evidence: &Evidence, visit: &VisitRecord) -> Option<u64> {
    let paths = [&evidence.refuse, &evidence.accept, &evidence.withdraw];
    if let Some(path) = paths.into_iter().flatten().find(|path| path.visit == visit.name) {
        return click_of(path, visit);
    }
    let begins = visit.samples.first().map_or(0, |sample| sample.events);
    match visit.scenario? {
        Scenario::S0 | Scenario::S8 => None,
        Scenario::S5 => visit.events.iter().find(|event| event.n >= begins && is_act(&event.kind)).map(|event| event.n),
        Scenario::S1 | Scenario::S2 | Scenario::S3 | Scenario::S4 | Scenario::S6 | Scenario::S7 | Scenario::S9 => {
            last_input(visit, Evidence::sample(visit, "after-choice")?.events)
        }
    }
}

/// Returns the click itself: the step's number may be that of something that the click had set off already.
fn click_of(path: &ChoicePath, visit: &VisitRecord) -> Option<u64> {
    let noted = Evidence::choice_event(path)?;
    Some(last_input(visit, noted + 1).unwrap_or(noted))
}

fn last_input(visit: &VisitRecord, before: u64) -> Option<u64> {
    let earlier = visit.events.iter().rev().filter(|event| event.n < before);
    earlier.filter(|event| matches!(event.kind, EventKind::Input { .. })).map(|event| event.n).next()
}

fn is_act(kind: &EventKind) -> bool {
    match kind {
        EventKind::Input { .. } => true,
        EventKind::Step { what } => what == "walk",
        _ => false,
    }
}

/// Returns what was first written right after the choice was clicked in S1 and in S2, and never in S0, by the site
/// itself or by a script that was asked for before the choice, as the surface's own is.
pub(super) fn written_by_choice(evidence: &Evidence) -> Chosen {
    let site = &evidence.site.host;
    let made = |scenario| {
        let visit = evidence.visit(scenario)?;
        new_with_choice(visit, choice_event(evidence, visit)?, site)
    };
    let (Some(refused), Some(accepted)) = (made(Scenario::S1), made(Scenario::S2)) else { return Chosen::default() };
    let untouched: Vec<&Sample> = evidence.visit(Scenario::S0).iter().flat_map(|visit| &visit.samples).collect();
    let in_s0_jar = |key: &(String, String)| {
        untouched
            .iter()
            .any(|sample| sample.cookies.iter().any(|cookie| cookie.name == key.0 && cookie.domain == key.1))
    };
    let in_s0_storage = |key: &(StorageKind, String, String)| {
        let is_it =
            |item: &vigie_domain::record::StorageItem| item.kind == key.0 && item.origin == key.1 && item.key == key.2;
        untouched.iter().any(|sample| sample.storage.iter().any(is_it))
    };
    Chosen {
        cookies: accepted.cookies.intersection(&refused.cookies).filter(|key| !in_s0_jar(key)).cloned().collect(),
        storage: accepted.storage.intersection(&refused.storage).filter(|key| !in_s0_storage(key)).cloned().collect(),
    }
}

fn new_with_choice(visit: &VisitRecord, choice: u64, site: &str) -> Option<Chosen> {
    let before = visit.samples.iter().rev().find(|sample| sample.events <= choice)?;
    let after = visit.samples.iter().find(|sample| sample.events > choice)?;
    let known_hosts: BTreeSet<String> = visit
        .events
        .iter()
        .filter(|event| event.n < choice)
        .filter_map(|event| match &event.kind {
            EventKind::Request { url, .. } => host_of(url),
            _ => None,
        })
        .collect();
    let may_write = |writer: &Writer| {
        writer
            .url()
            .and_then(host_of)
            .is_none_or(|host| party(&host, site) == Party::First || known_hosts.contains(&host))
    };
    let written_otherwise = |wanted: &str| {
        visit.events.iter().any(|event| match &event.kind {
            EventKind::CookieWritten { name, writer, deleted: false, .. } if name == wanted => {
                event.n < choice || (event.n < after.events && !may_write(writer))
            }
            _ => false,
        })
    };
    let had =
        |name: &str, domain: &str| before.cookies.iter().any(|known| known.name == name && known.domain == domain);
    let cookies = after
        .cookies
        .iter()
        .filter(|cookie| party(&cookie.domain, site) == Party::First)
        .filter(|cookie| !had(&cookie.name, &cookie.domain) && !written_otherwise(&cookie.name))
        .map(|cookie| (cookie.name.clone(), cookie.domain.clone()));
    let keys: BTreeSet<_> = before.storage.iter().map(|item| (item.kind, &item.origin, &item.key)).collect();
    let storage = after
        .storage
        .iter()
        .filter(|item| !keys.contains(&(item.kind, &item.origin, &item.key)))
        .filter(|item| host_of(&item.origin).is_some_and(|host| party(&host, site) == Party::First))
        .map(|item| (item.kind, item.origin.clone(), item.key.clone()));
    Some(Chosen { cookies: cookies.collect(), storage: storage.collect() })
}
