//! The words of a classification.

use serde::{Deserialize, Serialize};

/// What a cookie, a storage key or a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Strictly necessary for what the visitor asked for: session, basket, load balancing.
    Necessary,
    /// Keeps the visitor's choice about trackers.
    Consent,
    /// Protects the site or the visitor.
    Security,
    /// A setting of the visitor: language, appearance.
    Preference,
    /// Measures audience.
    Audience,
    /// Advertising and its measurement.
    Advertising,
    /// Social networks and embedded media.
    Social,
    /// Technical, without a more precise word.
    Functional,
    /// Not known. A question, not an answer.
    Unknown,
}

impl Class {
    /// Returns whether trackers of this class need no consent; `None` where the class alone cannot say.
    ///
    /// # Source
    ///
    /// ePrivacy Directive art. 5(3); CNIL deliberation 2020-091, examples of exempt trackers (choice, authentication,
    /// basket, interface preference, load balancing); EDPB Cookie Banner Taskforce report, 17 January 2023, paragraph 30
    /// (preference cookies). Audience measurement may be exempt under CNIL's conditions, which no observation from
    /// outside can establish; it counts as not exempt here, and rules CK-34 and CK-35 look at the claim.
    pub const fn is_exempt(self) -> Option<bool> {
        match self {
            Self::Necessary | Self::Consent | Self::Security | Self::Preference => Some(true),
            Self::Audience | Self::Advertising | Self::Social => Some(false),
            Self::Functional | Self::Unknown => None,
        }
    }
}

/// What a classification rests on, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// A name that a database or one of our own tables lists.
    CookieDatabase,
    /// A filter list names the host or address that wrote it.
    FilterList,
    /// What it was seen doing.
    Behaviour,
    /// Nothing sufficient.
    Unknown,
}

/// What a cookie or storage key was found to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Classification {
    /// What it is for.
    pub class: Class,
    /// Whether it needs no consent; `None` when that is a question to the controller.
    pub exempt: Option<bool>,
    /// Why, in a clause that a report can print. Holds no value of the cookie.
    pub why: String,
    /// Whose it is, where known.
    pub platform: Option<String>,
    /// What the answer rests on.
    pub basis: Basis,
}

/// Why a request counts as one to a tracker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackerMatch {
    /// Why, in a clause that a report can print: the list and its rule, or what was seen.
    pub why: String,
    /// What the tracker is for.
    pub class: Class,
}
