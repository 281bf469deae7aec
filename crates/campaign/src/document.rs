//! The document `vigie-inspection/1`, as far as a campaign reads it. Fields that it does not know are passed over.
//!
//! Everything but the schema and the outcome may be missing: an older or a newer inspector says less or more, and what
//! is missing is unknown, never "no".

use serde::{Deserialize, Serialize};
use std::fmt;

/// The schema that is read.
pub const SCHEMA: &str = "vigie-inspection/1";

/// How an inspection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The page was seen as a visitor sees it.
    Inspected,
    /// A captcha, a wall of a delivery network, 401, 403 or 451.
    Blocked,
    /// Nobody answered.
    Unreachable,
    /// The inspection itself failed.
    Failed,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Inspected, Self::Blocked, Self::Unreachable, Self::Failed];

    /// Returns the word of the document.
    pub fn word(self) -> &'static str {
        match self {
            Self::Inspected => "inspected",
            Self::Blocked => "blocked",
            Self::Unreachable => "unreachable",
            Self::Failed => "failed",
        }
    }

    /// Returns the outcome of a word of the document.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.word() == word)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// An inspection.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(expecting = "an object with `schema` and `outcome`")]
pub struct Inspection {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The site.
    #[serde(default)]
    pub site: Site,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, where it is not `inspected`.
    #[serde(default)]
    pub why: Option<String>,
    /// The banner.
    #[serde(default)]
    pub banner: Banner,
    /// What the first layer offers.
    #[serde(default)]
    pub first_layer: FirstLayer,
    /// Least numbers of activations.
    #[serde(default)]
    pub clicks: Clicks,
    /// Switches that are on when first shown.
    #[serde(default)]
    pub preticked: Option<Vec<serde::de::IgnoredAny>>,
    /// The visits.
    #[serde(default)]
    pub visits: Vec<Visit>,
    /// What was found.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// Where the evidence is.
    #[serde(default)]
    pub evidence: Option<Evidence>,
    /// How long it took, in seconds.
    #[serde(default)]
    pub elapsed_s: Option<f64>,
}

/// A site.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Site {
    /// Where the browser ended.
    #[serde(default)]
    pub final_url: Option<String>,
    /// The host.
    #[serde(default)]
    pub host: Option<String>,
}

/// A banner.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Banner {
    /// Whether one was seen.
    #[serde(default)]
    pub seen: Option<bool>,
    /// Its language.
    #[serde(default)]
    pub language: Option<String>,
    /// The consent tool.
    #[serde(default)]
    pub cmp: Option<String>,
}

/// What the first layer offers in one activation each.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct FirstLayer {
    /// Accepting everything.
    #[serde(default)]
    pub accept: Option<bool>,
    /// Refusing everything that is not exempt.
    #[serde(default)]
    pub refuse: Option<bool>,
    /// Settings.
    #[serde(default)]
    pub settings: Option<bool>,
    /// Closing.
    #[serde(default)]
    pub close: Option<bool>,
}

/// Least numbers of activations; `None` where no path was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub struct Clicks {
    /// To accept.
    #[serde(default)]
    pub accept: Option<u32>,
    /// To refuse.
    #[serde(default)]
    pub refuse: Option<u32>,
    /// To withdraw.
    #[serde(default)]
    pub withdraw: Option<u32>,
}

/// A visit.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct Visit {
    /// `S0` to `S9`.
    #[serde(default)]
    pub scenario: String,
    /// Its own name, where it is another.
    #[serde(default)]
    pub name: Option<String>,
    /// Cookies at its end.
    #[serde(default)]
    pub cookies: Vec<Cookie>,
    /// Storage at its end.
    #[serde(default)]
    pub storage: Vec<Stored>,
    /// Trackers that were asked.
    #[serde(default)]
    pub trackers: Vec<Tracker>,
}

/// A cookie.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct Cookie {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its domain.
    #[serde(default)]
    pub domain: String,
    /// Its path.
    #[serde(default)]
    pub path: String,
    /// `first` or `third`.
    #[serde(default)]
    pub party: Option<String>,
    /// Hidden from scripts.
    #[serde(default)]
    pub http_only: Option<bool>,
    /// How long it was to live, in seconds.
    #[serde(default)]
    pub lifetime_s: Option<f64>,
    /// Who set it.
    #[serde(default)]
    pub set_by: Option<String>,
    /// Why the browser refused it.
    #[serde(default)]
    pub blocked: Option<String>,
    /// What it is for.
    #[serde(default)]
    pub class: Option<String>,
    /// Whether it needs no consent.
    #[serde(default)]
    pub exempt: Option<bool>,
    /// Why that is held.
    #[serde(default)]
    pub why: Option<String>,
}

/// A storage entry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Stored {
    /// Whether it needs no consent.
    #[serde(default)]
    pub exempt: Option<bool>,
}

/// A tracker.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Tracker {
    /// Its host.
    #[serde(default)]
    pub host: String,
    /// How often it was asked.
    #[serde(default)]
    pub requests: u64,
    /// Why it is one.
    #[serde(default)]
    pub why: Option<String>,
    /// What it is for.
    #[serde(default)]
    pub class: Option<String>,
}

/// What was found under a rule.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Finding {
    /// The rule.
    #[serde(default)]
    pub rule: String,
    /// Its title.
    #[serde(default)]
    pub title: String,
    /// What the evidence says.
    #[serde(default)]
    pub verdict: String,
    /// How grave a breach is.
    #[serde(default)]
    pub severity: String,
    /// How sure the verdict is.
    #[serde(default)]
    pub certainty: String,
    /// What was observed.
    #[serde(default)]
    pub summary: String,
}

/// Where the evidence is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Evidence {
    /// The bundle's name.
    #[serde(default)]
    pub bundle: Option<String>,
    /// Its SHA-256.
    #[serde(default)]
    pub sha256: Option<String>,
}

/// A document that is no inspection.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// No JSON, or not of that shape.
    #[error("the inspection's document cannot be read: {0}")]
    Shape(#[from] serde_json::Error),
    /// Of another schema.
    #[error("the inspection's document is of schema `{0}`; this version reads `{SCHEMA}`")]
    Schema(String),
}

impl Inspection {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// [`Unread`] if it is no `vigie-inspection/1`.
    pub fn read(text: &str) -> Result<Self, Unread> {
        let inspection: Self = serde_json::from_str(text)?;
        if inspection.schema == SCHEMA { Ok(inspection) } else { Err(Unread::Schema(inspection.schema)) }
    }

    /// Returns a document that says nothing, for an inspection that failed without one.
    pub(crate) fn nothing() -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            site: Site::default(),
            outcome: Outcome::Failed,
            why: None,
            banner: Banner::default(),
            first_layer: FirstLayer::default(),
            clicks: Clicks::default(),
            preticked: None,
            visits: Vec::new(),
            findings: Vec::new(),
            evidence: None,
            elapsed_s: None,
        }
    }

    /// Returns whether a tracker was asked for something before any choice; `None` without that visit.
    pub fn asked_before_choice(&self) -> Option<bool> {
        self.untouched().map(|visit| !visit.trackers.is_empty())
    }

    /// Returns whether something that needs consent was stored before any choice; `None` without that visit.
    ///
    /// What nobody knows (`exempt` is `null`) does not count, nor what the browser refused to store.
    pub fn stored_before_choice(&self) -> Option<bool> {
        self.untouched().map(|visit| {
            visit.cookies.iter().any(|cookie| cookie.exempt == Some(false) && cookie.blocked.is_none())
                || visit.storage.iter().any(|stored| stored.exempt == Some(false))
        })
    }

    fn untouched(&self) -> Option<&Visit> {
        self.visits.iter().find(|visit| visit.scenario == "S0")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_of_the_contract_is_read_and_further_fields_are_passed_over() {
        let text = r#"{
          "schema": "vigie-inspection/1", "new": {"field": 1},
          "site": {"requested_url": "https://a.test/", "final_url": "https://a.test/", "host": "a.test"},
          "outcome": "inspected",
          "banner": {"seen": true, "where": "document", "language": "de", "cmp": "klaro", "text": "…"},
          "first_layer": {"accept": true, "refuse": true, "settings": true, "close": false},
          "clicks": {"accept": 1, "refuse": 2, "withdraw": null},
          "preticked": [{"label": "Analyse", "layer": 2}],
          "visits": [{"scenario": "S0", "requests": 14,
            "cookies": [{"name": "_ga", "domain": "a.test", "path": "/", "lifetime_s": 63072000, "exempt": false}],
            "storage": [{"kind": "local", "key": "x", "exempt": null}],
            "trackers": []}],
          "findings": [{"rule": "CK-05", "verdict": "breach", "evidence": []}],
          "elapsed_s": 8.4}"#;
        let read = Inspection::read(text).unwrap();
        assert_eq!(read.clicks, Clicks { accept: Some(1), refuse: Some(2), withdraw: None });
        assert_eq!((read.asked_before_choice(), read.stored_before_choice()), (Some(false), Some(true)));
        assert_eq!(read.preticked.map(|on| on.len()), Some(1));
        assert_eq!(read.findings[0].verdict, "breach");
    }

    #[test]
    fn what_is_missing_is_unknown() {
        let read = Inspection::read(r#"{"schema": "vigie-inspection/1", "outcome": "blocked"}"#).unwrap();
        assert_eq!((read.first_layer.refuse, read.asked_before_choice(), read.banner.seen), (None, None, None));
    }

    #[test]
    fn another_schema_is_refused_in_one_sentence() {
        let check = |text: &str, expected: &str| {
            assert_eq!(Inspection::read(text).unwrap_err().to_string(), expected);
        };
        check(
            r#"{"schema": "vigie-inspection/2", "outcome": "blocked"}"#,
            "the inspection's document is of schema `vigie-inspection/2`; this version reads `vigie-inspection/1`",
        );
        check("<html>", "the inspection's document cannot be read: expected value at line 1 column 1");
    }
}
