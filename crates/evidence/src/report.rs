//! What a check of a bundle found.

use std::fmt;

use jiff::Timestamp;

/// Something in a bundle that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The member, or `(container)` for the file around the members.
    pub member: String,
    /// What is wrong with it; reads on after the name.
    pub what: String,
}

impl Problem {
    pub(crate) fn new(member: &str, what: impl AsRef<str>) -> Self {
        Self { member: readable(member), what: readable(what.as_ref()) }
    }
}

/// Returns text out of a bundle as one line of bounded length, which cannot take over a terminal.
pub(crate) fn readable(text: &str) -> String {
    const LONGEST: usize = 500;
    let line = crate::http::value(text);
    if line.chars().nth(LONGEST).is_none() { line } else { line.chars().take(LONGEST).chain(['…']).collect() }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.member, self.what)
    }
}

/// The answer of [`crate::verify`].
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// What is wrong; empty means that nothing was changed since the bundle was signed.
    pub problems: Vec<Problem>,
    /// What the bundle says of itself, as far as it could be read. With problems, believe none of it.
    pub facts: Facts,
}

impl Report {
    /// Returns whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

/// What a bundle says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Facts {
    /// SHA-256 of the whole file, in hex. Changes when a timestamp is added.
    pub sha256: String,
    /// SHA-256 of `datapackage-digest.json`, in hex: it covers everything but timestamps, which are made of it.
    pub seal: Option<String>,
    /// `sha256:` and the hex SHA-256 of the public key (DER, SubjectPublicKeyInfo) whose signature was verified.
    ///
    /// Anybody can make a key. Whose it is must be learned elsewhere.
    pub signed_by: Option<String>,
    /// When the bundle was closed, by the clock of the machine that wrote it.
    pub created: Option<String>,
    /// The program that wrote it, by its own account.
    pub software: Option<String>,
    /// How many members, timestamps included.
    pub n_members: usize,
    /// How many records are in the WARC.
    pub n_records: usize,
    /// Whether an authority has said when the bundle existed.
    pub timestamp: TimestampState,
}

/// Whether an authority has said when a bundle existed.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum TimestampState {
    /// None is there, and none was announced.
    #[default]
    None,
    /// None is there yet; the signed part announces one. It may also have been taken out again.
    Pending,
    /// These were verified.
    Stamped {
        /// In the order in which they were added.
        stamps: Vec<Stamp>,
    },
}

/// An authority's word that a bundle existed at a time.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Stamp {
    /// The member that holds the token.
    pub member: String,
    /// The time it states; the bundle existed before.
    pub time: Timestamp,
    /// The subject of the certificate that signed, as text.
    pub authority: String,
    /// SHA-256 of that certificate, in hex.
    pub certificate_sha256: String,
    /// The authority's policy, as an object identifier.
    pub policy: String,
    /// The token's serial number, in hex.
    pub serial: String,
    /// Whether the certificate leads to a root the reader trusts.
    pub trust: Trust,
}

/// Whether a timestamp's certificate was followed to a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// Its path leads to one of the roots given, and was valid at the stated time.
    Rooted,
    /// No roots were given. The signature fits the certificate, and anybody can make a certificate.
    NotChecked,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_bundle_says_stays_on_its_line() {
        let problem = Problem::new("a\nb", format!("says \x1b[2J{}", "x".repeat(1000)));
        assert_eq!(problem.member, "a b");
        assert!(problem.what.starts_with("says  [2Jxxx") && problem.what.ends_with("x…"), "{problem}");
    }
}
