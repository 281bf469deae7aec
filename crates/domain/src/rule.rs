//! Rules: what is tested, how grave a failure is, and which text it engages. One TOML file a rule, in `rules/`.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The id of a consent rule, `CK-01` to `CK-40` (DOMAIN.md, section A.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RuleId(u8);

impl RuleId {
    /// The highest number of the catalogue.
    pub const LAST: u8 = 40;

    /// Returns the rule of this number.
    ///
    /// # Panics
    ///
    /// If `number` is not 1 to 40: rule numbers are written in the source, so a wrong one is a mistake there.
    pub const fn ck(number: u8) -> Self {
        assert!(number >= 1 && number <= Self::LAST, "rule numbers are 1 to 40");
        Self(number)
    }

    /// Returns the number alone.
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CK-{:02}", self.0)
    }
}

/// A rule id that is not in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rule id `{0}` is not in the catalogue; expected CK-01 to CK-40")]
pub struct UnknownRule(pub String);

impl FromStr for RuleId {
    type Err = UnknownRule;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.strip_prefix("CK-").filter(|digits| digits.len() == 2).and_then(|digits| digits.parse().ok());
        match number {
            Some(number @ 1..=Self::LAST) => Ok(Self(number)),
            _ => Err(UnknownRule(text.to_owned())),
        }
    }
}

impl TryFrom<String> for RuleId {
    type Error = UnknownRule;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RuleId> for String {
    fn from(id: RuleId) -> Self {
        id.to_string()
    }
}

/// How grave a breach is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Consent is not valid, or trackers run without it.
    Blocking,
    /// The choice is distorted or badly informed.
    Major,
    /// A weakness.
    Minor,
    /// Worth knowing; no judgement.
    Information,
}

/// How sure a verdict under a rule can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Certainty {
    /// Follows from what was recorded.
    Deterministic,
    /// Rests on a judgement of words, looks or lists.
    Heuristic,
    /// Only a person or a document can settle it.
    NeedsAPerson,
}

/// How far a source was checked when it was cited (DOMAIN.md, "How to read the marks").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Checked {
    /// The primary text was read in full.
    #[serde(rename = "read in full")]
    ReadInFull,
    /// An official excerpt or a secondary source states it.
    #[serde(rename = "stated by a secondary source")]
    Stated,
    /// From memory; to be checked before it is relied on.
    #[serde(rename = "from memory")]
    FromMemory,
}

/// A text that a rule engages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The citation, with date and paragraph.
    pub cite: String,
    /// How far it was checked.
    pub checked: Checked,
}

/// A rule as its file states it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Always `rule/1`.
    pub schema: String,
    /// The rule's id; the file has the same name.
    pub id: RuleId,
    /// What a conforming site does, in a few words.
    pub title: String,
    /// The same in French, for reports in that language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title_fr: Option<String>,
    /// The test, in words a person can repeat by hand.
    pub test: String,
    /// How grave a breach is.
    pub severity: Severity,
    /// How sure a verdict can be.
    pub certainty: Certainty,
    /// What in this rule is our own measure rather than the text's, if anything.
    #[serde(default)]
    pub ours: Option<String>,
    /// The scenarios it looks at.
    pub scenarios: Vec<crate::Scenario>,
    /// Whether this build judges it, or why not yet.
    #[serde(default)]
    pub not_judged: Option<String>,
    /// The question to put to the controller where observation ends.
    #[serde(default)]
    pub question: Option<String>,
    /// The texts it engages.
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
}

impl Rule {
    /// Reads a rule file.
    ///
    /// # Errors
    ///
    /// The parser's own message, with line and column, if the text is not a rule of schema `rule/1`.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}
