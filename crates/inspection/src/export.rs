//! Findings in the forms of other programs: SARIF and JUnit for continuous integration, CSV for spreadsheets, HAR for
//! whoever reads traffic.
//!
//! All are views. What counts is the bundle, and each view names it. A baseline is a list of breaches that are known:
//! they are shown, and do not fail a build.

pub mod csv;
pub mod har;
pub mod junit;
pub mod sarif;

use crate::wire::Inspection;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use vigie_domain::{Finding, RuleId, Verdict};

/// The `schema` of a baseline.
const BASELINE: &str = "vigie-baseline/1";

/// Breaches that are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    schema: String,
    /// Host and rule of each, in order.
    breaches: BTreeSet<(String, RuleId)>,
}

/// A text that is no baseline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is no baseline of this version: {0}")]
pub struct BaselineError(String);

impl Default for Baseline {
    fn default() -> Self {
        Self { schema: BASELINE.to_owned(), breaches: BTreeSet::new() }
    }
}

impl Baseline {
    /// Returns the breaches of these inspections as a baseline.
    pub fn of<'a>(documents: impl IntoIterator<Item = &'a Inspection>) -> Self {
        let mut baseline = Self::default();
        for document in documents {
            let breaches = document.findings.iter().filter(|finding| finding.verdict == Verdict::Breach);
            baseline.breaches.extend(breaches.map(|finding| (document.site.host.clone(), finding.rule)));
        }
        baseline
    }

    /// Reads a baseline.
    ///
    /// # Errors
    ///
    /// If it is none, or of another version.
    pub fn parse(text: &str) -> Result<Self, BaselineError> {
        let baseline: Self = serde_json::from_str(text).map_err(|error| BaselineError(error.to_string()))?;
        if baseline.schema == BASELINE {
            Ok(baseline)
        } else {
            Err(BaselineError(format!("its schema is `{}`, expected `{BASELINE}`", baseline.schema)))
        }
    }

    /// Returns it as text.
    pub fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("our own records have string keys");
        text.push('\n');
        text
    }

    /// Returns whether a breach at a site is known.
    pub fn knows(&self, host: &str, rule: RuleId) -> bool {
        self.breaches.contains(&(host.to_owned(), rule))
    }
}

/// Returns the breaches for which a build is to fail: of these rules, or of all if none is named, and not known.
pub fn failing<'a>(document: &'a Inspection, rules: &[RuleId], baseline: &Baseline) -> Vec<&'a Finding> {
    let is_meant = |rule: RuleId| rules.is_empty() || rules.contains(&rule);
    let breaches = document.findings.iter().filter(|finding| finding.verdict == Verdict::Breach);
    breaches.filter(|found| is_meant(found.rule) && !baseline.knows(&document.site.host, found.rule)).collect()
}

#[cfg(test)]
pub(crate) mod tests;
