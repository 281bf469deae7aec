//! What the test of one rule gave: verdict, one sentence, and what it rests on. `mod.rs` makes a finding of it.

use crate::evidence::SurfaceView;
use std::collections::BTreeSet;
use vigie_domain::{Certainty, EvidenceRef, Rect, Verdict};

/// How many references a finding carries at most; the summary counts everything.
const MAX_REFERENCES: usize = 40;

/// How many names a sentence lists before it counts the rest.
const MAX_NAMES: usize = 12;

/// The answer of one rule's test.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub verdict: Verdict,
    pub summary: String,
    pub evidence: Vec<EvidenceRef>,
    pub questions: Vec<String>,
    /// `None` stands for the rule's own.
    pub certainty: Option<Certainty>,
}

impl Answer {
    fn new(verdict: Verdict, summary: impl Into<String>) -> Self {
        Self { verdict, summary: summary.into(), evidence: Vec::new(), questions: Vec::new(), certainty: None }
    }

    /// Something was observed that the test excludes.
    pub(super) fn breach(summary: impl Into<String>) -> Self {
        Self::new(Verdict::Breach, summary)
    }

    /// The test was made and held.
    pub(super) fn conform(summary: impl Into<String>) -> Self {
        Self::new(Verdict::Conform, summary)
    }

    /// The test has no object.
    pub(super) fn not_applicable(summary: impl Into<String>) -> Self {
        Self::new(Verdict::NotApplicable, summary)
    }

    /// The test could not be made.
    pub(super) fn inconclusive(summary: impl Into<String>) -> Self {
        Self::new(Verdict::Inconclusive, summary)
    }

    /// Says that the verdict rests on a judgement of words, looks or lists.
    pub(super) fn heuristic(mut self) -> Self {
        self.certainty = Some(Certainty::Heuristic);
        self
    }

    /// As [`Self::heuristic`], if so.
    pub(super) fn heuristic_if(self, is_so: bool) -> Self {
        if is_so { self.heuristic() } else { self }
    }

    /// Adds what it rests on.
    pub(super) fn showing(mut self, evidence: impl IntoIterator<Item = EvidenceRef>) -> Self {
        let room = MAX_REFERENCES.saturating_sub(self.evidence.len());
        self.evidence.extend(evidence.into_iter().take(room));
        self
    }

    /// Adds what to ask the controller.
    pub(super) fn asking(mut self, questions: impl IntoIterator<Item = String>) -> Self {
        self.questions.extend(questions);
        self
    }
}

/// Points to an event of a visit.
pub(super) fn event(visit: &str, n: u64, what: impl Into<String>) -> EvidenceRef {
    EvidenceRef { visit: visit.to_owned(), event: Some(n), what: Some(what.into()), ..EvidenceRef::default() }
}

/// Points to a part of a view's picture.
pub(super) fn part(view: &SurfaceView, rect: Rect, what: impl Into<String>) -> EvidenceRef {
    EvidenceRef {
        visit: view.visit.clone(),
        event: None,
        what: Some(what.into()),
        picture: view.picture.clone(),
        crop: view.picture.as_ref().map(|_| crop(rect)),
    }
}

/// Points to the whole surface of a view.
pub(super) fn whole(view: &SurfaceView, what: impl Into<String>) -> EvidenceRef {
    part(view, view.surface.rect, what)
}

/// Returns a box in whole pixels: left, top, width, height.
pub(super) fn crop(rect: Rect) -> [i32; 4] {
    [rect.x, rect.y, rect.w, rect.h].map(|edge| edge.round() as i32)
}

/// Returns `1 cookie`, `3 cookies`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// Returns names as a sentence lists them, each once and sorted, so that what races leaves the sentence the same;
/// beyond a dozen, the rest is counted.
pub(super) fn list<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    let all: BTreeSet<String> = names.into_iter().map(|name| name.as_ref().to_owned()).collect();
    let rest = all.len().saturating_sub(MAX_NAMES);
    let listed = all.iter().take(MAX_NAMES).cloned().collect::<Vec<_>>().join(", ");
    if rest > 0 { format!("{listed} and {rest} more") } else { listed }
}
