//! The classifier: the lists and tables, loaded once, and what was learnt of hosts during a visit.

use crate::{
    class::{Class, TrackerMatch},
    filter_lists::{Asked, FilterLists, List, ListMatch},
    host::{Party, host_of, party, registrable_domain},
    names::Names,
};
use std::collections::BTreeMap;

/// Classifies cookies, storage keys and requests. Loading takes milliseconds and a few megabytes; share one.
#[derive(Debug)]
pub struct Classifier {
    pub(crate) names: Names,
    pub(crate) lists: FilterLists,
}

impl Classifier {
    /// Returns a classifier with the lists and tables that are part of the program.
    pub fn bundled() -> Self {
        Self { names: Names::bundled(), lists: FilterLists::bundled() }
    }

    /// Returns why a host is a tracker as a whole: its own name, or one above it, is on a list.
    pub(crate) fn listed_host(&self, host: &str, party: Party) -> Option<TrackerMatch> {
        self.lists.find_host(host, party).map(|found| self.explain(&found, host))
    }

    /// Returns why an address that wrote something is a tracker's: as a script, or as whatever else it may have been.
    pub(crate) fn listed_writer(&self, url: &str, site_host: &str) -> Option<TrackerMatch> {
        let host = host_of(url)?;
        if self.names.consent_host(&host).is_some() {
            return None;
        }
        let party = party(&host, site_host);
        let ask = |resource| {
            let asked = Asked { url, host: &host, document_host: site_host, party, resource };
            self.lists.find(asked).map(|found| self.explain(&found, &host))
        };
        // What the address answered with is not known here, so the kinds that write are tried in turn.
        ask("script").or_else(|| ask("image")).or_else(|| ask("xhr")).or_else(|| match party {
            Party::Third => ask("document"),
            Party::First => None,
        })
    }

    /// Puts a list's match into words, with the platform's class where the host is known.
    pub(crate) fn explain(&self, found: &ListMatch, host: &str) -> TrackerMatch {
        let by_list = match found.list {
            List::EasyPrivacy => Class::Audience,
            List::EasyList => Class::Advertising,
        };
        let rule = found.rule.as_deref().map(|rule| format!(": `{rule}`")).unwrap_or_default();
        let operator = found.operator.map(|operator| format!(", a first-party name of {operator}")).unwrap_or_default();
        TrackerMatch {
            why: format!("{}{rule}{operator}", found.list.name()),
            class: self.names.tracker_host(host).map_or(by_list, |tracker| tracker.class),
        }
    }
}

/// Hosts that requests of a visit showed to be trackers, by list or by behaviour.
///
/// A cookie is often set by a script of a host whose pixel gives it away. Feed every match of
/// [`Classifier::request`] and [`Classifier::request_behaviour`] in, then ask [`Classifier::cookie_given`].
#[derive(Debug, Clone, Default)]
pub struct TrackerHosts {
    by_host: BTreeMap<String, TrackerMatch>,
}

impl TrackerHosts {
    /// Takes note of a request that was found to be a tracker's. The first reason for a host is kept.
    ///
    /// `document_host` is the page's: its own host is never noted, however it behaves, because a site's server does many
    /// things at once.
    pub fn note(&mut self, url: &str, document_host: &str, found: &TrackerMatch) {
        let Some(host) = host_of(url) else { return };
        let bare = |host: &str| host.trim_start_matches("www.").to_owned();
        if bare(&host) == bare(&document_host.to_ascii_lowercase()) {
            return;
        }
        self.by_host.entry(host).or_insert_with(|| found.clone());
    }

    /// Returns why a host is a tracker, if a request to exactly this host showed it.
    pub fn get(&self, host: &str) -> Option<&TrackerMatch> {
        self.by_host.get(host)
    }

    /// Returns why a third party is a tracker: a request to any host of its registrable domain showed it.
    ///
    /// Not for first parties: `shop.example.org` does not answer for `metrics.example.org`.
    pub fn get_party(&self, host: &str) -> Option<&TrackerMatch> {
        let domain = registrable_domain(host);
        self.by_host.iter().find(|(known, _)| registrable_domain(known) == domain).map(|(_, found)| found)
    }

    /// Returns every host noted and why, in order of host.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TrackerMatch)> {
        self.by_host.iter().map(|(host, found)| (host.as_str(), found))
    }
}
