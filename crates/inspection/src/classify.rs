//! What each visit stored, sent and asked for, each with what it is: the record in the terms that rules are written in.
//!
//! Pure: evidence and a classifier go in, and the same comes out in ten years with the same lists. Out of scope:
//! whether any of it was allowed at that moment (`judge`).
//!
//! In three passes. Lists name the trackers among the requests; what the lists know helps to tell what the cookies are;
//! which cookies are identifiers shows further trackers by what they do; with all of them known, cookies and storage
//! are classified for good. A host found to be a tracker in one visit is one in all, as a writer of cookies; as
//! something that was asked, it counts only in visits in which a request itself shows it.

mod choice;
mod profile;
mod scan;
mod set_cookie;
#[cfg(test)]
mod tests;
mod traffic;

pub use choice::choice_event;
pub use profile::{CookieFact, StorageFact, Traces};
pub use scan::ScanFact;
pub use traffic::{Reading, RequestFact, TrackerFact};

use crate::evidence::Evidence;
use profile::Profile;
use traffic::Traffic;
pub(crate) use traffic::{BY_ALIAS, percent_decoded};
use vigie_domain::{Scenario, record::VisitRecord};
use vigie_trackers::{Class, Classifier, TrackerHosts};

/// Everything observed, classified.
#[derive(Debug, Clone, PartialEq)]
pub struct Classified {
    /// One for each visit of the evidence, in its order.
    pub visits: Vec<VisitFacts>,
}

/// One visit, classified.
#[derive(Debug, Clone, PartialEq)]
pub struct VisitFacts {
    /// The visit's name.
    pub name: String,
    /// The scenario it plays.
    pub scenario: Option<Scenario>,
    /// The event of the click that made the visit's choice ([`choice_event`]).
    pub choice: Option<u64>,
    /// Every cookie that was in the profile at some time, and those that the browser refused.
    pub cookies: Vec<CookieFact>,
    /// Every storage entry that was there at some time.
    pub storage: Vec<StorageFact>,
    /// Every request to a host, in order.
    pub requests: Vec<RequestFact>,
    /// Hosts of trackers that were asked for something, by name.
    pub trackers: Vec<TrackerFact>,
    /// Uses of interfaces that tell devices apart.
    pub scans: Vec<ScanFact>,
}

impl Classified {
    /// Returns a visit by its name.
    pub fn visit(&self, name: &str) -> Option<&VisitFacts> {
        self.visits.iter().find(|visit| visit.name == name)
    }
}

impl VisitFacts {
    /// Returns the requests that left after an event, or all of them.
    pub fn requests_after(&self, event: Option<u64>) -> impl Iterator<Item = &RequestFact> {
        self.requests.iter().filter(move |request| event.is_none_or(|event| request.event > event))
    }
}

/// Classifies everything that was recorded.
pub fn classify(evidence: &Evidence, classifier: &Classifier) -> Classified {
    let site = &evidence.site.host;
    let chosen = choice::written_by_choice(evidence);
    let profiles: Vec<Profile> = evidence.visits.iter().map(|visit| Profile::of(visit, site)).collect();
    let mut traffics: Vec<Traffic> = evidence
        .visits
        .iter()
        .map(|visit| Traffic::of(visit, page_of(visit, evidence), site, &evidence.aliases, classifier))
        .collect();

    let mut hosts = TrackerHosts::default();
    for traffic in &traffics {
        traffic.note(&mut hosts);
    }
    for (at, traffic) in traffics.iter_mut().enumerate() {
        // A first reading, for which nothing is known yet of what went where.
        let (cookies, storage) =
            profiles[at].classify(&profiles, at, &profile::Sent::default(), &chosen, &hosts, classifier);
        traffic.look_at_behaviour(&cookies, &storage, &evidence.visits[at], classifier);
    }
    for traffic in &traffics {
        traffic.note(&mut hosts);
    }

    let visits = evidence.visits.iter().zip(traffics).enumerate().map(|(at, (visit, traffic))| {
        let sent = traffic.sent(&profiles[at]);
        let (cookies, storage) = profiles[at].classify(&profiles, at, &sent, &chosen, &hosts, classifier);
        let (requests, trackers) = traffic.into_facts(&cookies, &storage);
        VisitFacts {
            name: visit.name.clone(),
            scenario: visit.scenario,
            choice: choice_event(evidence, visit),
            scans: scan::scans(visit, &requests),
            cookies,
            storage,
            requests,
            trackers,
        }
    });
    Classified { visits: visits.collect() }
}

/// Returns the address of the page, as it is compared with what it asks for.
fn page_of<'a>(visit: &'a VisitRecord, evidence: &'a Evidence) -> &'a str {
    if visit.final_url.is_empty() { &evidence.site.final_url } else { &visit.final_url }
}

/// Returns the class's word as lists and pages show it.
pub fn class_word(class: Class) -> &'static str {
    match class {
        Class::Necessary => "necessary",
        Class::Consent => "consent",
        Class::Security => "security",
        Class::Preference => "preference",
        Class::Audience => "audience",
        Class::Advertising => "advertising",
        Class::Social => "social",
        Class::Functional => "functional",
        Class::Unknown => "unknown",
    }
}
