//! What a rule's test looks at: the evidence, what it was classified as, and whether a visit was watched to its end.
//!
//! An absence is a fact only where someone looked. [`Played::watched`] says whether a visit came to its end, reached
//! quiet before each state was sampled, and lost nothing; a test that found nothing in a visit that was not watched is
//! inconclusive.

use super::{answer::Answer, offer};
use crate::{
    classify::{Classified, VisitFacts},
    evidence::Evidence,
};
use vigie_domain::{
    Scenario, VisitRecord,
    record::{EventKind, Sample, VisitEnd},
};

/// What all tests look at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case<'a> {
    pub evidence: &'a Evidence,
    pub classified: &'a Classified,
    pub offer: offer::FirstLayer,
}

/// A visit that was played.
#[derive(Debug, Clone, Copy)]
pub(super) struct Played<'a> {
    pub record: &'a VisitRecord,
    pub facts: &'a VisitFacts,
    /// The event of the click that made the choice.
    pub choice: Option<u64>,
    site: &'a str,
}

impl<'a> Case<'a> {
    pub(super) fn new(evidence: &'a Evidence, classified: &'a Classified) -> Self {
        Self { evidence, classified, offer: offer::first_layer(evidence) }
    }

    /// Returns whether a consent surface showed by itself.
    pub(super) fn has_banner(&self) -> bool {
        !self.evidence.first_layer.is_empty()
    }

    /// Returns the visit that plays a scenario under its own name.
    pub(super) fn played(&self, scenario: Scenario) -> Option<Played<'a>> {
        self.evidence.visit(scenario).and_then(|record| self.play(record))
    }

    /// Says whether what the visit of a scenario does not show was absent.
    ///
    /// # Errors
    ///
    /// Why absence proves nothing, as a clause: it was not played, or not watched to its end.
    pub(super) fn watched(&self, scenario: Scenario) -> Result<(), String> {
        self.played(scenario).map_or_else(|| Err(format!("{scenario} was not played")), |played| played.watched())
    }

    /// Returns a visit by its name.
    pub(super) fn played_as(&self, name: &str) -> Option<Played<'a>> {
        self.evidence.visit_named(name).and_then(|record| self.play(record))
    }

    fn play(&self, record: &'a VisitRecord) -> Option<Played<'a>> {
        let facts = self.classified.visit(&record.name)?;
        Some(Played { record, facts, choice: facts.choice, site: &self.evidence.site.host })
    }

    /// Returns why a search that found nothing may have missed something; `None` if it was made whole.
    pub(super) fn search_cut_short(&self) -> Option<&'a str> {
        // The words that the plan uses for what broke off; a gap about anything else says nothing of the search.
        const SIGNS: [&str; 4] = ["ended early", "time limit", "broke off", "did not answer as before"];
        let gap = self.evidence.gaps.iter().find(|gap| SIGNS.iter().any(|sign| gap.contains(sign)));
        gap.map(String::as_str)
    }

    /// Returns the answer of tests that need a banner, where none was seen.
    pub(super) fn no_banner(&self) -> Answer {
        // A page too large to be looked at whole may have shown one.
        let unseen = self.evidence.visit(Scenario::S0).and_then(|record| {
            let is_blind = |gap: &&String| gap.contains("was not looked at") || gap.contains("did not let itself");
            record.gaps.iter().find(is_blind)
        });
        match unseen {
            Some(gap) => Answer::inconclusive(format!("no consent surface was seen, but {gap}")),
            None => Answer::not_applicable("no consent surface was seen"),
        }
    }
}

impl<'a> Played<'a> {
    pub(super) fn name(&self) -> &'a str {
        &self.record.name
    }

    /// Returns the moments at which a visit of this scenario is sampled after what it is about.
    fn moments(&self) -> &'static [&'static str] {
        match self.record.scenario {
            Some(Scenario::S0 | Scenario::S6 | Scenario::S8) | None => &["before"],
            Some(Scenario::S1 | Scenario::S2) => &["after-choice", "after-reload", "after-walk"],
            Some(Scenario::S3) => &["after-withdrawal", "after-reload", "after-walk"],
            Some(Scenario::S4 | Scenario::S5 | Scenario::S7 | Scenario::S9) => &["after-choice"],
        }
    }

    /// Says whether what the visit does not show was absent.
    ///
    /// # Errors
    ///
    /// Why absence proves nothing, as a clause.
    pub(super) fn watched(&self) -> Result<(), String> {
        match &self.record.end {
            VisitEnd::Completed => {}
            VisitEnd::Blocked { why } | VisitEnd::Unreachable { why } | VisitEnd::Failed { why } => {
                return Err(format!("visit {} broke off: {why}", self.name()));
            }
        }
        for moment in self.moments() {
            let Some(sample) = Evidence::sample(self.record, moment) else {
                return Err(format!("visit {} has no state `{moment}`", self.name()));
            };
            self.was_quiet(sample)?;
        }
        // Storage of other sites' frames often goes away before it is read; its writes are in the events all the same.
        let own = format!("://{}", self.site);
        let lost = self.record.gaps.iter().find(|gap| {
            gap.contains("later ones were not kept")
                || gap.contains("crashed")
                || (gap.starts_with("the storage of") && gap.contains(&own))
        });
        match lost {
            Some(gap) => Err(format!("in visit {} {gap}", self.name())),
            None => Ok(()),
        }
    }

    fn was_quiet(&self, sample: &Sample) -> Result<(), String> {
        let earlier = self.record.events.iter().rev().filter(|event| event.n < sample.events);
        let quiet = earlier.filter_map(|event| match &event.kind {
            EventKind::Quiet { reached, because, .. } => Some((*reached, because.clone())),
            _ => None,
        });
        match quiet.into_iter().next() {
            Some((true, _)) => Ok(()),
            Some((false, because)) => {
                let because = because.map(|because| format!(" ({because})")).unwrap_or_default();
                Err(format!(
                    "the page was not quiet{because} when state `{}` of visit {} was sampled",
                    sample.moment,
                    self.name()
                ))
            }
            None => Err(format!("nobody waited for quiet before state `{}` of visit {}", sample.moment, self.name())),
        }
    }
}
