//! What a visitor can do with a consent banner.

use serde::{Deserialize, Serialize};

/// What a visitor decides. Ignoring a banner is something visitors do, and it is not consent.
///
/// # Source
///
/// EDPB Guidelines 05/2020 on consent, paragraphs 79, 84 and 86: silence, scrolling and inactivity are no consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// Everything the banner offers is accepted.
    Accept,
    /// Everything that is not strictly necessary is refused.
    Refuse,
    /// The banner is left alone.
    Ignore,
}

/// The layer of a banner: 1 is what shows by itself, 2 what one activation opens, and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Layer(pub u8);

impl Layer {
    /// The layer that shows by itself.
    pub const FIRST: Self = Self(1);
}
