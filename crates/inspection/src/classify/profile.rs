//! What was in a visit's profile: cookies and storage entries with their writes, and what each of them is.
//!
//! The record says *that* something was written and, in samples, what the profile then held. A script's write counts
//! only where the cookie was afterwards in the jar or on the wire: a browser refuses many assignments without a word,
//! and tags try several domains until one is taken.

use super::{choice::Chosen, set_cookie::SetCookie};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use vigie_domain::{
    VisitRecord,
    record::{EventKind, JarCookie, StorageKind, Writer},
};
use vigie_trackers::{
    Classification, Classifier, CookieFacts, Party, TrackerHosts, host_of, party, storage::StorageFacts,
};

/// When something was there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Traces {
    /// Numbers of the events that wrote it, deletions left out.
    pub writes: Vec<u64>,
    /// Numbers of the events that deleted it.
    pub deletions: Vec<u64>,
    /// Numbers of the events with which it left (cookies only).
    pub sent: Vec<u64>,
    /// For each sample that holds it, how many events had happened.
    pub samples: Vec<u64>,
    /// Whether the visit's last sample holds it.
    pub at_end: bool,
}

impl Traces {
    /// Returns whether it was ever kept.
    pub fn was_kept(&self) -> bool {
        !(self.samples.is_empty() && self.writes.is_empty() && self.sent.is_empty())
    }

    /// Returns whether it stayed until a sample was taken, or was sent.
    pub fn was_of_use(&self) -> bool {
        !(self.samples.is_empty() && self.sent.is_empty())
    }

    /// Returns the first write after an event; from the start, if `event` is `None`. What was never seen being written
    /// and is in a later sample only counts as written just before that sample.
    pub fn written_after(&self, event: Option<u64>) -> Option<u64> {
        let is_after = |n: &&u64| event.is_none_or(|event| **n > event);
        let seen = self.writes.iter().find(is_after).copied();
        let appeared = || {
            let first = self.samples.first().copied().filter(|_| self.writes.is_empty())?;
            event.is_none_or(|event| first > event).then(|| first.saturating_sub(1))
        };
        seen.or_else(appeared)
    }
}

/// A cookie of a visit, with what it is.
#[derive(Debug, Clone, PartialEq)]
pub struct CookieFact {
    /// Its name.
    pub name: String,
    /// Its domain, without a leading dot.
    pub domain: String,
    /// Its path.
    pub path: String,
    /// Whose domain that is.
    pub party: Party,
    /// Hidden from scripts.
    pub http_only: bool,
    /// How long it was to live from its last writing, in whole seconds; `None` for a session cookie.
    pub lifetime_s: Option<i64>,
    /// The address that answers for the last write, where one was observed.
    pub set_by: Option<String>,
    /// Why the browser refused or withheld it, where it is not in the jar.
    pub blocked: Option<String>,
    /// The value, for comparing; never printed.
    pub value: String,
    /// What it is.
    pub is: Classification,
    /// When it was there.
    pub traces: Traces,
}

impl CookieFact {
    /// Returns the name as lists show it: with the domain for a third party's.
    pub fn title(&self) -> String {
        match self.party {
            Party::First => self.name.clone(),
            Party::Third => format!("{} ({})", self.name, vigie_trackers::registrable_domain(&self.domain)),
        }
    }

    /// Returns whether it needs consent and was kept by the browser.
    pub fn needs_consent(&self) -> bool {
        self.is.exempt == Some(false) && self.blocked.is_none() && self.traces.was_kept()
    }

    /// Returns whether what it is remains a question. What came and went between two samples, and was never sent, as a
    /// page does to find out whether it can store anything, is none.
    pub fn is_question(&self) -> bool {
        self.is.exempt.is_none() && self.blocked.is_none() && self.traces.was_of_use()
    }
}

/// A storage entry of a visit, with what it is.
#[derive(Debug, Clone, PartialEq)]
pub struct StorageFact {
    /// Which storage.
    pub kind: StorageKind,
    /// The origin it belongs to.
    pub origin: String,
    /// The key, database or cache name.
    pub key: String,
    /// Whose origin that is.
    pub party: Party,
    /// The value, for comparing; never printed.
    pub value: String,
    /// What it is.
    pub is: Classification,
    /// When it was there.
    pub traces: Traces,
}

impl StorageFact {
    /// Returns the key as lists show it: with its host for a third party's.
    pub fn title(&self) -> String {
        let kind = match self.kind {
            StorageKind::Local => "local storage",
            StorageKind::Session => "session storage",
            StorageKind::IndexedDb => "database",
            StorageKind::CacheApi => "cache",
        };
        match (self.party, host_of(&self.origin)) {
            (Party::Third, Some(host)) => format!("{} ({kind} of {host})", self.key),
            _ => format!("{} ({kind})", self.key),
        }
    }

    /// Returns whether it needs consent.
    pub fn needs_consent(&self) -> bool {
        self.is.exempt == Some(false)
    }

    /// Returns whether what it is remains a question; see [`CookieFact::is_question`].
    pub fn is_question(&self) -> bool {
        self.is.exempt.is_none() && self.traces.was_of_use()
    }
}

/// What went to third parties: names and domains of cookies, origins and keys of storage.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent {
    pub cookies: BTreeSet<(String, String)>,
    pub storage: BTreeSet<(StorageKind, String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct CookieKey {
    name: String,
    domain: String,
    path: String,
}

#[derive(Debug, Clone)]
struct Cookie {
    value: String,
    http_only: bool,
    /// Expiry by the jar, and when the jar was read.
    jar_expiry: Option<(Option<f64>, Timestamp)>,
    lifetime_s: Option<f64>,
    set_by: Option<String>,
    blocked: Option<String>,
    traces: Traces,
}

#[derive(Debug, Clone)]
struct Entry {
    value: String,
    traces: Traces,
}

/// A visit's cookies and storage entries, not yet classified.
#[derive(Debug, Clone)]
pub(super) struct Profile {
    site: String,
    cookies: BTreeMap<CookieKey, Cookie>,
    storage: BTreeMap<(StorageKind, String, String), Entry>,
}

impl Profile {
    pub(super) fn of(visit: &VisitRecord, site: &str) -> Self {
        let mut profile = Self { site: site.to_owned(), cookies: BTreeMap::new(), storage: BTreeMap::new() };
        profile.read_samples(visit);
        profile.read_sent(visit);
        profile.read_writes(visit);
        profile.read_storage_writes(visit);
        profile.read_blocked(visit);
        profile
    }

    /// Iterates over cookies: name, domain, value.
    pub(super) fn cookies(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.cookies.iter().map(|(key, cookie)| (key.name.as_str(), key.domain.as_str(), cookie.value.as_str()))
    }

    /// Iterates over storage entries: kind, origin, key, value.
    pub(super) fn storage(&self) -> impl Iterator<Item = (StorageKind, &str, &str, &str)> {
        self.storage
            .iter()
            .map(|((kind, origin, key), entry)| (*kind, origin.as_str(), key.as_str(), entry.value.as_str()))
    }

    fn read_samples(&mut self, visit: &VisitRecord) {
        let last = visit.samples.len().saturating_sub(1);
        for (at, sample) in visit.samples.iter().enumerate() {
            let read_at = visit.started_at + SignedDuration::from_millis(sample.at_ms.cast_signed());
            for jar in &sample.cookies {
                let key = CookieKey { name: jar.name.clone(), domain: jar.domain.clone(), path: jar.path.clone() };
                let cookie = self.cookies.entry(key).or_insert_with(|| Cookie::in_jar(jar, read_at));
                cookie.value.clone_from(&jar.value);
                cookie.http_only = jar.http_only;
                cookie.traces.samples.push(sample.events);
                cookie.traces.at_end = at == last;
            }
            for item in &sample.storage {
                let key = (item.kind, item.origin.clone(), item.key.clone());
                let blank = || Entry { value: String::new(), traces: Traces::default() };
                let entry = self.storage.entry(key).or_insert_with(blank);
                entry.value.clone_from(&item.value);
                entry.traces.samples.push(sample.events);
                entry.traces.at_end = at == last;
            }
        }
    }

    /// Cookies that came and went between two samples show on the wire.
    fn read_sent(&mut self, visit: &VisitRecord) {
        for event in &visit.events {
            let EventKind::RequestSent { cookies, .. } = &event.kind else { continue };
            for sent in cookies {
                let is_it = |key: &CookieKey| key.name == sent.name && key.domain == sent.domain;
                if !self.cookies.keys().any(is_it) {
                    let key = CookieKey { name: sent.name.clone(), domain: sent.domain.clone(), path: "/".to_owned() };
                    self.cookies.insert(key, Cookie::new(sent.value.clone()));
                }
                let all = self.cookies.iter_mut().filter(|(key, _)| is_it(key));
                all.for_each(|(_, cookie)| cookie.traces.sent.push(event.n));
            }
        }
    }

    fn read_writes(&mut self, visit: &VisitRecord) {
        for event in &visit.events {
            let EventKind::CookieWritten { name, raw, writer, deleted } = &event.kind else { continue };
            let line = SetCookie::parse(raw);
            let written_at = visit.started_at + SignedDuration::from_millis(event.at_ms.cast_signed());
            let host = match writer {
                Writer::Header { url } => host_of(url),
                Writer::Script { .. } => event.document.as_deref().and_then(host_of),
            };
            let matches = |key: &CookieKey| {
                let domain = line.domain.as_ref().or(host.as_ref());
                key.name == *name
                    && domain.is_none_or(|domain| *domain == key.domain)
                    && line.path.as_ref().is_none_or(|path| *path == key.path)
            };
            let mut keys: Vec<CookieKey> = self.cookies.keys().filter(|key| matches(key)).cloned().collect();
            if let (true, false, Writer::Header { .. }) = (keys.is_empty(), *deleted, writer) {
                // The browser took it, or it would be among the refused; something removed it before a sample.
                let domain = line.domain.clone().or(host.clone()).unwrap_or_default();
                let path = line.path.clone().unwrap_or_else(|| "/".to_owned());
                let key = CookieKey { name: name.clone(), domain, path };
                self.cookies.insert(key.clone(), Cookie::new(line.value.clone()));
                keys.push(key);
            }
            for key in keys {
                let Some(cookie) = self.cookies.get_mut(&key) else { continue };
                if *deleted {
                    cookie.traces.deletions.push(event.n);
                    continue;
                }
                cookie.traces.writes.push(event.n);
                cookie.set_by = writer.url().map(str::to_owned);
                cookie.lifetime_s = line.lifetime_s(written_at);
                // The jar knows best whether the browser took it for a session cookie.
                if let Some((None, _)) = cookie.jar_expiry {
                    cookie.lifetime_s = None;
                }
            }
        }
        for cookie in self.cookies.values_mut().filter(|cookie| cookie.traces.writes.is_empty()) {
            if let Some((Some(expires_s), read_at)) = cookie.jar_expiry {
                cookie.lifetime_s = Some(expires_s - read_at.as_millisecond() as f64 / 1000.0);
            }
        }
    }

    fn read_storage_writes(&mut self, visit: &VisitRecord) {
        for event in &visit.events {
            let EventKind::StorageWritten { kind, origin, key, value } = &event.kind else { continue };
            let place = (*kind, origin.clone(), key.clone());
            match value {
                Some(value) => {
                    let blank = || Entry { value: value.clone(), traces: Traces::default() };
                    self.storage.entry(place).or_insert_with(blank).traces.writes.push(event.n);
                }
                None => {
                    if let Some(entry) = self.storage.get_mut(&place) {
                        entry.traces.deletions.push(event.n);
                    }
                }
            }
        }
    }

    /// Cookies that the browser refused or withheld, unless the jar holds them anyway.
    fn read_blocked(&mut self, visit: &VisitRecord) {
        let mut asked: BTreeMap<&str, &str> = BTreeMap::new();
        for event in &visit.events {
            let (id, blocked, refused) = match &event.kind {
                EventKind::Request { id, url, .. } => {
                    asked.insert(id, url);
                    continue;
                }
                EventKind::RequestSent { id, blocked, .. } => (id, blocked, false),
                EventKind::ResponseHeaders { id, blocked, .. } => (id, blocked, true),
                _ => continue,
            };
            for withheld in blocked {
                if self.cookies.keys().any(|key| key.name == withheld.name && key.domain == withheld.domain) {
                    continue;
                }
                let key =
                    CookieKey { name: withheld.name.clone(), domain: withheld.domain.clone(), path: "/".to_owned() };
                let mut cookie = Cookie::new(String::new());
                cookie.blocked = Some(withheld.reasons.join(", "));
                cookie.set_by = asked.get(id.as_str()).filter(|_| refused).map(|url| (*url).to_owned());
                self.cookies.insert(key, cookie);
            }
        }
    }

    /// Says what everything is. `all` are the profiles of all visits; this one is at `own`.
    pub(super) fn classify(
        &self,
        all: &[Self],
        own: usize,
        sent: &Sent,
        chosen: &Chosen,
        hosts: &TrackerHosts,
        classifier: &Classifier,
    ) -> (Vec<CookieFact>, Vec<StorageFact>) {
        let others = || all.iter().enumerate().filter(|(at, _)| *at != own).map(|(_, profile)| profile);
        let cookies = self.cookies.iter().map(|(key, cookie)| {
            let place = (key.name.clone(), key.domain.clone());
            let party = party(&key.domain, &self.site);
            let elsewhere = others().filter_map(|other| other.cookies.get(key)).map(|other| other.value.as_str());
            let facts = CookieFacts {
                name: &key.name,
                value: &cookie.value,
                domain: &key.domain,
                party,
                http_only: cookie.http_only,
                lifetime_s: cookie.lifetime_s,
                set_by: cookie.set_by.as_deref(),
                value_in_other_profile: telling(&cookie.value, elsewhere),
                sent_to_third_party: sent.cookies.contains(&place),
                written_by_choice: chosen.cookies.contains(&place),
            };
            CookieFact {
                name: key.name.clone(),
                domain: key.domain.clone(),
                path: key.path.clone(),
                party,
                http_only: cookie.http_only,
                lifetime_s: cookie.lifetime_s.map(|seconds| seconds.round() as i64),
                set_by: cookie.set_by.clone(),
                blocked: cookie.blocked.clone(),
                value: cookie.value.clone(),
                is: classifier.cookie_given(&facts, hosts),
                traces: cookie.traces.clone(),
            }
        });
        let storage = self.storage.iter().map(|(place, entry)| {
            let (kind, origin, key) = place;
            let party = host_of(origin).map_or(Party::First, |host| party(&host, &self.site));
            let elsewhere = others().filter_map(|other| other.storage.get(place)).map(|other| other.value.as_str());
            let facts = StorageFacts {
                kind: *kind,
                key,
                value: &entry.value,
                origin: Some((origin, party)),
                value_in_other_profile: telling(&entry.value, elsewhere),
                sent_to_third_party: sent.storage.contains(place),
                written_by_choice: chosen.storage.contains(place),
                set_by: None,
            };
            StorageFact {
                kind: *kind,
                origin: origin.clone(),
                key: key.clone(),
                party,
                value: entry.value.clone(),
                is: classifier.storage_key_given(&facts, hosts),
                traces: entry.traces.clone(),
            }
        });
        (cookies.collect(), storage.collect())
    }
}

impl Cookie {
    fn new(value: String) -> Self {
        Self {
            value,
            http_only: false,
            jar_expiry: None,
            lifetime_s: None,
            set_by: None,
            blocked: None,
            traces: Traces::default(),
        }
    }

    fn in_jar(jar: &JarCookie, read_at: Timestamp) -> Self {
        Self { http_only: jar.http_only, jar_expiry: Some((jar.expires_s, read_at)), ..Self::new(jar.value.clone()) }
    }
}

/// Returns the value of other profiles that tells most: the same one, if it occurs, since it singles nobody out.
fn telling<'a>(value: &str, elsewhere: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let values: Vec<&str> = elsewhere.collect();
    values.iter().find(|other| **other == value).or(values.first()).copied()
}
