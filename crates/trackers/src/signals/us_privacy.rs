//! The US privacy string, four characters: `1YNN`.

use serde::{Deserialize, Serialize};

/// What a US privacy string says; `None` where it says "not applicable".
///
/// # Source
///
/// IAB Tech Lab, CCPA US Privacy String 1.0. Of no legal effect in Europe; read because tags copy it from the choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsPrivacy {
    /// Whether the visitor was told and could opt out.
    pub notice_given: Option<bool>,
    /// Whether the visitor opted out of sale.
    pub opted_out_of_sale: Option<bool>,
    /// Whether the transaction is covered by the limited service provider agreement.
    pub limited_service_provider: Option<bool>,
}

impl UsPrivacy {
    /// Reads a string of version 1; letters in either case.
    pub fn parse(text: &str) -> Option<Self> {
        let [b'1', notice, sale, agreement] = *text.trim().as_bytes() else { return None };
        Some(Self {
            notice_given: flag(notice)?,
            opted_out_of_sale: flag(sale)?,
            limited_service_provider: flag(agreement)?,
        })
    }
}

#[expect(clippy::option_option, reason = "outside: readable; inside: applicable")]
fn flag(character: u8) -> Option<Option<bool>> {
    match character.to_ascii_uppercase() {
        b'Y' => Some(Some(true)),
        b'N' => Some(Some(false)),
        b'-' => Some(None),
        _ => None,
    }
}
