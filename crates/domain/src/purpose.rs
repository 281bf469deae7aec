//! Purposes of processing, as terms of the W3C Data Privacy Vocabulary (DPV).
//!
//! Banners name purposes in their own words; `banner` maps those words to these terms by its lexicon. Only the
//! purposes that banners and cookie lists speak of are here.

use serde::{Deserialize, Serialize};

/// A purpose, by its DPV term where DPV has one.
///
/// # Source
///
/// W3C Data Privacy Vocabulary 2.x, purpose taxonomy. `Unspecified` is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Strictly necessary for a service explicitly requested (`dpv:ServiceProvision`).
    Necessary,
    /// Comfort and preferences: language, layout, player settings (`dpv:ServicePersonalisation`).
    Preferences,
    /// Audience measurement and statistics (`dpv:ServiceUsageAnalytics`).
    Audience,
    /// Advertising, targeted or not, and its measurement (`dpv:Advertising`, `dpv:Marketing`).
    Advertising,
    /// Personalised content (`dpv:PersonalisedContent`).
    Personalisation,
    /// Sharing with and embedding from social networks and media.
    SocialMedia,
    /// Security and fraud prevention (`dpv:EnforceSecurity`).
    Security,
    /// Named, but in words that fit none of the above.
    Unspecified,
}

impl Purpose {
    /// Returns whether storage for this purpose alone needs no consent; `None` where it depends.
    ///
    /// # Source
    ///
    /// ePrivacy Directive art. 5(3); EDPB Cookie Banner Taskforce report, 17 January 2023, paragraph 30 (preference
    /// cookies), citing WP29 opinion 04/2012.
    pub fn is_exempt(self) -> Option<bool> {
        match self {
            Self::Necessary | Self::Security => Some(true),
            Self::Preferences | Self::Unspecified => None,
            Self::Audience | Self::Advertising | Self::Personalisation | Self::SocialMedia => Some(false),
        }
    }
}
