//! What a storage key is: judged like a cookie, except that it has no domain, no life of its own and is never sent by itself.

use crate::{
    class::Classification,
    classifier::{Classifier, TrackerHosts},
    cookie::{Item, Life},
    host::{Party, host_of},
};
use vigie_domain::record::StorageKind;

impl Classifier {
    /// Returns what a storage key is, knowing nothing of the visit but this.
    ///
    /// `value` is empty for databases and caches, whose name is the key.
    pub fn storage_key(
        &self,
        kind: StorageKind,
        key: &str,
        value: &str,
        value_in_other_profile: Option<&str>,
        written_by_choice: bool,
        set_by: Option<&str>,
    ) -> Classification {
        let facts = StorageFacts {
            kind,
            key,
            value,
            origin: None,
            value_in_other_profile,
            sent_to_third_party: false,
            written_by_choice,
            set_by,
        };
        self.storage_key_given(&facts, &TrackerHosts::default())
    }

    /// Returns what a storage key is, knowing also where it is, where it went and which hosts of the visit are trackers.
    pub fn storage_key_given(&self, facts: &StorageFacts<'_>, trackers: &TrackerHosts) -> Classification {
        let origin = facts.origin.map(|(origin, party)| (host_of(origin), party));
        let item = Item {
            noun: "key",
            name: facts.key,
            value: facts.value,
            host: origin.as_ref().and_then(|(host, _)| host.as_deref()),
            party: origin.as_ref().map_or(Party::First, |(_, party)| *party),
            http_only: false,
            life: match facts.kind {
                StorageKind::Session => Life::Session,
                StorageKind::Local | StorageKind::IndexedDb | StorageKind::CacheApi => Life::Unlimited,
            },
            set_by: facts.set_by,
            other: facts.value_in_other_profile,
            sent: facts.sent_to_third_party,
            chosen: facts.written_by_choice,
        };
        self.classify(&item, trackers)
    }
}

/// What is known of a storage key.
#[derive(Debug, Clone, Copy)]
pub struct StorageFacts<'a> {
    /// Which storage.
    pub kind: StorageKind,
    /// The key, database or cache name.
    pub key: &'a str,
    /// The value; empty for databases and caches.
    pub value: &'a str,
    /// The origin it belongs to and whose that is; `None` stands for the site's own.
    pub origin: Option<(&'a str, Party)>,
    /// The value of the same key in another profile; `None` without one.
    pub value_in_other_profile: Option<&'a str>,
    /// Whether its value went to a third party.
    pub sent_to_third_party: bool,
    /// Whether it was first written right after the visitor's choice, in acceptance and in refusal.
    pub written_by_choice: bool,
    /// The innermost script that wrote it; `None` if not observed.
    pub set_by: Option<&'a str>,
}
