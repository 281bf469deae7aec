//! The capture scenarios S0 to S9 of DOMAIN.md, section A.3.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// One script that a visit plays, each in a new profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scenario {
    /// Load and touch nothing.
    S0,
    /// Refuse by the shortest path, then walk.
    S1,
    /// Accept by the shortest path, then walk.
    S2,
    /// S2, then withdraw by the shortest path, then walk.
    S3,
    /// Open the settings, change nothing, save.
    S4,
    /// Close, Escape, click the backdrop, scroll, follow a link: each alone.
    S5,
    /// Enter by deep link, by ad click identifiers, by each subdomain.
    S6,
    /// S1 and S2 kept, clock advanced.
    S7,
    /// S0 with `Sec-GPC: 1`, for information.
    S8,
    /// Logged in, second device: only where an account is supplied.
    S9,
}

impl Scenario {
    /// Every scenario, in order.
    pub const ALL: [Self; 10] =
        [Self::S0, Self::S1, Self::S2, Self::S3, Self::S4, Self::S5, Self::S6, Self::S7, Self::S8, Self::S9];

    /// Those that need nothing supplied and that this build can play.
    pub const BY_DEFAULT: [Self; 9] =
        [Self::S0, Self::S1, Self::S2, Self::S3, Self::S4, Self::S5, Self::S6, Self::S7, Self::S8];

    /// Returns the script in a sentence, for people.
    pub fn description(self) -> &'static str {
        match self {
            Self::S0 => "the page is opened and nothing is touched",
            Self::S1 => "everything is refused by the shortest path, then further pages are visited",
            Self::S2 => "everything is accepted by the shortest path, then further pages are visited",
            Self::S3 => "everything is accepted, then withdrawn by the shortest path, then further pages are visited",
            Self::S4 => "the settings are opened and saved without a change",
            Self::S5 => "the banner is closed, escaped, clicked beside, scrolled past and browsed past, each alone",
            Self::S6 => "the site is entered by a deep link, by an advertisement's address and by its subdomains",
            Self::S7 => "a choice is kept while the clock moves on",
            Self::S8 => "the page is opened with the Global Privacy Control signal and nothing is touched",
            Self::S9 => "the choice is followed to a second device of the same account",
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A scenario code that is not one of S0 to S9.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("scenario `{0}` is not known; expected S0 to S9")]
pub struct UnknownScenario(pub String);

impl FromStr for Scenario {
    type Err = UnknownScenario;

    fn from_str(code: &str) -> Result<Self, Self::Err> {
        let wanted = code.trim();
        Self::ALL
            .into_iter()
            .find(|scenario| scenario.to_string().eq_ignore_ascii_case(wanted))
            .ok_or_else(|| UnknownScenario(code.to_owned()))
    }
}
