//! Our own tables of names: consent tools, known trackers, exempt names, library hosts (`data/*.toml`).
//!
//! Tables come before the Open Cookie Database because they are narrower: written for this purpose, one line of reason
//! each. What a name means is a claim; `cookie` weighs it against what was seen.

use crate::{class::Class, host::is_within};
use serde::Deserialize;

/// The tables, parsed.
#[derive(Debug)]
pub struct Names {
    consent_tools: Vec<ConsentTool>,
    trackers: Vec<Tracker>,
    exempt: Vec<ExemptKind>,
    library_hosts: Vec<String>,
}

/// A tool that asks for and keeps the visitor's choice.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsentTool {
    /// Its name.
    pub name: String,
    /// Where it is served from; subdomains included.
    pub hosts: Vec<String>,
    /// Cookies that keep the choice. `*` stands for any text.
    pub cookies: Vec<String>,
    /// Storage keys that keep the choice. `*` stands for any text.
    pub storage: Vec<String>,
}

/// A known tracker.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tracker {
    /// The platform's name.
    pub name: String,
    /// What it is for.
    pub class: Class,
    /// Its hosts; subdomains included.
    pub hosts: Vec<String>,
    /// Addresses, without scheme, whose embedding alone makes it a tracker; a prefix.
    #[serde(default)]
    pub embeds: Vec<String>,
    /// Its cookies and storage keys. `*` stands for any text.
    pub cookies: Vec<String>,
}

/// Names that serve one exempt end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExemptKind {
    /// What they are for.
    pub class: Class,
    /// The same in a few words.
    pub why: String,
    /// Why the exemption is disputed, if it is: then it is a question.
    #[serde(default)]
    pub disputed: Option<String>,
    /// The names. `*` stands for any text.
    pub names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsentFile {
    #[expect(dead_code, reason = "read so that a file of another kind is refused")]
    schema: String,
    tool: Vec<ConsentTool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrackerFile {
    #[expect(dead_code, reason = "read so that a file of another kind is refused")]
    schema: String,
    tracker: Vec<Tracker>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExemptFile {
    #[expect(dead_code, reason = "read so that a file of another kind is refused")]
    schema: String,
    kind: Vec<ExemptKind>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LibraryFile {
    #[expect(dead_code, reason = "read so that a file of another kind is refused")]
    schema: String,
    hosts: Vec<String>,
}

impl Names {
    /// Returns the tables that are part of the program.
    ///
    /// # Panics
    ///
    /// If one of the files in `data/` does not parse; every test of this crate would fail first.
    pub fn bundled() -> Self {
        let expected = "bundled tables parse, which every test shows";
        let consent: ConsentFile = toml::from_str(include_str!("../../../data/consent-tools.toml")).expect(expected);
        let trackers: TrackerFile = toml::from_str(include_str!("../../../data/trackers.toml")).expect(expected);
        let exempt: ExemptFile = toml::from_str(include_str!("../../../data/exempt.toml")).expect(expected);
        let library: LibraryFile = toml::from_str(include_str!("../../../data/library-hosts.toml")).expect(expected);
        Self {
            consent_tools: consent.tool,
            trackers: trackers.tracker,
            exempt: exempt.kind,
            library_hosts: library.hosts,
        }
    }

    /// Returns the names of the tools that keep the choice under this cookie name.
    pub fn consent_cookie(&self, name: &str) -> Vec<&str> {
        let tools = self.consent_tools.iter().filter(|tool| matches_any(&tool.cookies, name));
        tools.map(|tool| tool.name.as_str()).collect()
    }

    /// Returns the names of the tools that keep the choice under this storage key, or under a cookie of this name.
    pub fn consent_key(&self, key: &str) -> Vec<&str> {
        let is_kept = |tool: &&ConsentTool| matches_any(&tool.storage, key) || matches_any(&tool.cookies, key);
        self.consent_tools.iter().filter(is_kept).map(|tool| tool.name.as_str()).collect()
    }

    /// Returns the tool served from this host.
    pub fn consent_host(&self, host: &str) -> Option<&ConsentTool> {
        self.consent_tools.iter().find(|tool| tool.hosts.iter().any(|known| is_within(host, known)))
    }

    /// Returns the tracker that uses this name for a cookie or key.
    pub fn tracker_name(&self, name: &str) -> Option<&Tracker> {
        self.trackers.iter().find(|tracker| matches_any(&tracker.cookies, name))
    }

    /// Returns the tracker that this host belongs to.
    pub fn tracker_host(&self, host: &str) -> Option<&Tracker> {
        self.trackers.iter().find(|tracker| tracker.hosts.iter().any(|known| is_within(host, known)))
    }

    /// Returns the tracker whose embedding this address is: host and path, without scheme.
    pub fn embed(&self, host_and_path: &str) -> Option<&Tracker> {
        let is_embed =
            |tracker: &&Tracker| tracker.embeds.iter().any(|known| host_and_path.starts_with(known.as_str()));
        self.trackers.iter().find(is_embed)
    }

    /// Returns the exempt end that this name serves.
    pub fn exempt(&self, name: &str) -> Option<&ExemptKind> {
        self.exempt.iter().find(|kind| matches_any(&kind.names, name))
    }

    /// Returns whether a host serves code libraries to everybody.
    pub fn is_library_host(&self, host: &str) -> bool {
        self.library_hosts.iter().any(|known| is_within(host, known))
    }
}

fn matches_any(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, name))
}

/// Returns whether a pattern matches a whole name; `*` stands for any text, the empty one included.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = name.strip_prefix(parts.next().unwrap_or("")) else { return false };
    let Some(last) = pattern.rsplit_once('*').map(|(_, last)| last) else { return rest.is_empty() };
    let Some(mut rest) = rest.strip_suffix(last) else { return false };
    let middle: Vec<&str> = parts.collect();
    // The first `*` is behind us; what follows the last one was the suffix.
    for part in middle.iter().take(middle.len().saturating_sub(1)) {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}
