//! Findings: what was observed, and which text it engages. Never "unlawful": that is for a person to decide.

use crate::{Certainty, RuleId, Severity};
use serde::{Deserialize, Serialize};

/// What the evidence says about a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Something was observed that the rule's test excludes.
    Breach,
    /// The test was made and held.
    Conform,
    /// The test has no object here: for instance no banner and no trackers.
    NotApplicable,
    /// The test could not be made. Never to be read as conform.
    Inconclusive,
}

/// One thing a finding rests on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EvidenceRef {
    /// The visit, for instance `S0` or `S1`.
    pub visit: String,
    /// The event's number in that visit's stream, if one event shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<u64>,
    /// What it shows, in a few words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    /// The picture, by its path in the evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
    /// The part of the picture: left, top, width, height in CSS pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<[i32; 4]>,
}

/// What was found under one rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule.
    pub rule: RuleId,
    /// The rule's title.
    pub title: String,
    /// What the evidence says.
    pub verdict: Verdict,
    /// How grave a breach of this rule is.
    pub severity: Severity,
    /// How sure this verdict is.
    pub certainty: Certainty,
    /// What was observed, in one sentence without a full stop.
    pub summary: String,
    /// What it rests on.
    pub evidence: Vec<EvidenceRef>,
    /// What to ask the controller, where observation ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<String>,
    /// The texts engaged.
    pub sources: Vec<String>,
}
