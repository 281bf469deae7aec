//! Writes and reads of what needs consent, after a given moment: the common matter of CK-01, 02, 25, 26 and 31.

use super::{
    answer::{count, event, list},
    case::Played,
};
use crate::classify::{CookieFact, Reading, RequestFact, StorageFact, TrackerFact};
use std::collections::BTreeMap;
use vigie_domain::EvidenceRef;
use vigie_trackers::{Basis, Classification, Party};

/// Something that was written and needs consent.
#[derive(Debug, Clone)]
pub(super) struct Write {
    /// As lists show it.
    pub title: String,
    /// The event of the write.
    pub event: u64,
    /// Who wrote it and why it needs consent.
    pub what: String,
    /// Whether it is a cookie.
    pub is_cookie: bool,
    /// Whether that it needs consent rests on behaviour.
    pub is_guess: bool,
}

/// Returns what was written after an event and needs consent, each thing once, cookies first.
pub(super) fn writes(played: &Played<'_>, after: Option<u64>) -> Vec<Write> {
    let cookies = played.facts.cookies.iter().filter(|cookie| cookie.needs_consent()).filter_map(|cookie| {
        let n = cookie.traces.written_after(after)?;
        let by = cookie.set_by.as_deref().map(|url| format!(", set by {url}")).unwrap_or_default();
        Some(Write {
            title: cookie.title(),
            event: n,
            what: format!("cookie {} of {}{by}: {}", cookie.name, cookie.domain, cookie.is.why),
            is_cookie: true,
            is_guess: is_guess(&cookie.is),
        })
    });
    let storage = played.facts.storage.iter().filter(|item| item.needs_consent()).filter_map(|item| {
        let n = item.traces.written_after(after)?;
        Some(Write {
            title: item.title(),
            event: n,
            what: format!("{} of {}: {}", item.title(), item.origin, item.is.why),
            is_cookie: false,
            is_guess: is_guess(&item.is),
        })
    });
    cookies.chain(storage).collect()
}

/// Returns the names of what was written after an event of which it is a question whether it needs consent.
pub(super) fn unclear(played: &Played<'_>, after: Option<u64>) -> Vec<(String, String)> {
    let cookies = played
        .facts
        .cookies
        .iter()
        .filter(|cookie| cookie.is_question() && cookie.traces.written_after(after).is_some())
        .map(|cookie: &CookieFact| (format!("cookie `{}` of {}", cookie.name, cookie.domain), cookie.title()));
    let storage = played
        .facts
        .storage
        .iter()
        .filter(|item| item.is_question() && item.traces.written_after(after).is_some())
        .map(|item: &StorageFact| (format!("entry `{}` in the storage of {}", item.key, item.origin), item.title()));
    cookies.chain(storage).collect()
}

/// Returns the questions that unclear things lead to.
pub(super) fn questions(unclear: &[(String, String)]) -> Vec<String> {
    unclear
        .iter()
        .map(|(what, _)| format!("What is {what} for, who can read it, and why would it need no consent?"))
        .collect()
}

/// Returns `3 cookies and 1 storage entry`.
pub(super) fn counted(writes: &[Write]) -> String {
    let n_cookies = writes.iter().filter(|write| write.is_cookie).count();
    let n_entries = writes.len() - n_cookies;
    let cookies = count(n_cookies, "cookie", "cookies");
    let entries = count(n_entries, "storage entry", "storage entries");
    match (n_cookies, n_entries) {
        (_, 0) => cookies,
        (0, _) => entries,
        _ => format!("{cookies} and {entries}"),
    }
}

/// Returns what points to each write.
pub(super) fn shown(played: &Played<'_>, writes: &[Write]) -> Vec<EvidenceRef> {
    writes.iter().map(|write| event(played.name(), write.event, write.what.clone())).collect()
}

/// Requests that read, or hand on, what needs consent.
#[derive(Debug, Clone, Default)]
pub(super) struct Reads<'a> {
    /// Each request and how it reads.
    pub requests: Vec<(&'a RequestFact, Reading)>,
    /// Trackers of which only the code was asked for.
    pub code_only: Vec<&'a TrackerFact>,
    /// Cookies that were sent and of which it is a question whether they need consent.
    pub unclear: Vec<String>,
}

/// Returns the requests after an event that read what needs consent.
///
/// A cookie that a choice removes goes with the very request that carries the choice to the site. That request is left
/// out if it went to the site itself, the cookie was deleted afterwards and is gone at the end.
pub(super) fn reads<'a>(played: &Played<'a>, after: Option<u64>) -> Reads<'a> {
    let mut reads = Reads::default();
    for request in played.facts.requests_after(after) {
        let cookies: Vec<&String> =
            request.cookies.iter().filter(|title| after.is_none() || !is_farewell(played, request, title)).collect();
        let reading = if cookies.is_empty() {
            request.reading().filter(|how| *how != Reading::Cookie)
        } else {
            Some(Reading::Cookie)
        };
        // With only a farewell in it, the request may still hand something on.
        let reading = reading.or_else(|| request.identifier.then_some(Reading::Identifier));
        if let Some(reading) = reading {
            reads.requests.push((request, reading));
        }
        reads.unclear.extend(request.unclear_cookies.iter().cloned());
    }
    reads.unclear.sort();
    reads.unclear.dedup();
    let asked = |tracker: &&TrackerFact| {
        played.facts.requests_after(after).any(|request| request.host == tracker.host && request.tracker.is_some())
    };
    let reads_there = |tracker: &&TrackerFact| reads.requests.iter().any(|(request, _)| request.host == tracker.host);
    reads.code_only = played.facts.trackers.iter().filter(asked).filter(|tracker| !reads_there(tracker)).collect();
    reads
}

fn is_farewell(played: &Played<'_>, request: &RequestFact, title: &str) -> bool {
    request.party == Party::First
        && request.tracker.is_none()
        && played
            .facts
            .cookies
            .iter()
            .filter(|cookie| cookie.title() == title)
            .all(|cookie| !cookie.traces.at_end && cookie.traces.deletions.iter().any(|n| *n > request.event))
}

impl Reads<'_> {
    /// Returns the sentence's middle: `2 requests carried cookies that need consent (_ga); 3 calls went to trackers
    /// (www.google-analytics.com)`.
    pub(super) fn in_words(&self) -> String {
        let mut parts = Vec::new();
        let of =
            |wanted: Reading| self.requests.iter().filter(move |(_, how)| *how == wanted).map(|(request, _)| *request);
        let n = of(Reading::Cookie).count();
        if n > 0 {
            let names = list(of(Reading::Cookie).flat_map(|request| &request.cookies));
            parts.push(format!("{} carried cookies that need consent ({names})", count(n, "request", "requests")));
        }
        let n = of(Reading::Identifier).count();
        if n > 0 {
            let hosts = list(of(Reading::Identifier).map(|request| &request.host));
            parts.push(format!("{} handed on an identifier ({hosts})", count(n, "request", "requests")));
        }
        let n = of(Reading::Call).count();
        if n > 0 {
            let hosts = list(of(Reading::Call).map(|request| &request.host));
            parts.push(format!("{} to trackers left ({hosts})", count(n, "request", "requests")));
        }
        parts.join("; ")
    }

    /// Returns what points to the requests, those of each host and kind first that came first.
    pub(super) fn shown(&self, visit: &str) -> Vec<EvidenceRef> {
        let mut first: BTreeMap<(&str, Reading), &RequestFact> = BTreeMap::new();
        for (request, how) in &self.requests {
            first.entry((&request.host, *how)).or_insert(request);
        }
        let mut requests: Vec<(&RequestFact, Reading)> =
            first.into_iter().map(|((_, how), request)| (request, how)).collect();
        requests.sort_by_key(|(request, _)| request.event);
        requests
            .into_iter()
            .map(|(request, how)| {
                let why = request.tracker.as_ref().map(|found| format!(": {}", found.why)).unwrap_or_default();
                let what = match how {
                    Reading::Cookie => format!("request to {} with {}{why}", request.host, list(&request.cookies)),
                    Reading::Identifier => format!("request to {} with an identifier{why}", request.host),
                    Reading::Call => format!("request to {} ({}){why}", request.host, request.resource),
                };
                event(visit, request.event, what)
            })
            .collect()
    }

    /// Returns whether everything rests on what was seen, and nothing on a list.
    pub(super) fn is_guess(&self, played: &Played<'_>) -> bool {
        self.requests.iter().all(|(request, how)| match how {
            Reading::Call => request.tracker.as_ref().is_none_or(|found| found.why.starts_with("behaviour")),
            Reading::Cookie | Reading::Identifier => {
                let carried = |cookie: &&CookieFact| request.cookies.contains(&cookie.title());
                played.facts.cookies.iter().filter(carried).all(|cookie| is_guess(&cookie.is))
            }
        })
    }
}

/// Returns whether a classification rests on behaviour rather than on a list.
pub(super) fn is_guess(is: &Classification) -> bool {
    match is.basis {
        Basis::CookieDatabase | Basis::FilterList => false,
        Basis::Behaviour | Basis::Unknown => true,
    }
}
