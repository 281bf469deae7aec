//! Strings of the IAB Global Privacy Platform: which sections they hold, and those for Europe and the old US string.
//!
//! The header is read here: `iab_gpp` adds its Fibonacci numbers without a bound. Sections of US states are named, not
//! decoded: no rule of ours asks what they say.

use super::{bits::Bits, tcf::TcString, us_privacy::UsPrivacy};
use serde::{Deserialize, Serialize};

/// Longest string that is read, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;

/// Most sections that are read; the registry had 23 in 2025.
const MAX_SECTIONS: usize = 128;

/// One section as it stands in the string.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GppSection {
    /// The section's number in the registry.
    pub id: u16,
    /// The section's text, not decoded.
    pub text: String,
}

/// What a GPP string holds.
///
/// # Source
///
/// IAB Tech Lab, Global Privacy Platform, Consent String Specification 1.0; section 2 is `tcfeuv2`, section 6 `uspv1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GppString {
    /// Every section, in order.
    pub sections: Vec<GppSection>,
    /// Section 2, if present and readable.
    pub tcf_eu: Option<TcString>,
    /// Section 6, if present and readable.
    pub us_privacy: Option<UsPrivacy>,
}

impl GppString {
    /// Reads a GPP string; `None` for anything else, or if header and sections do not fit together.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() > MAX_BYTES || !text.starts_with('D') {
            return None;
        }
        let mut parts = text.split('~');
        let ids = section_ids(parts.next()?)?;
        let texts: Vec<&str> = parts.collect();
        if ids.len() != texts.len() {
            return None;
        }
        let sections: Vec<GppSection> =
            ids.iter().zip(texts).map(|(&id, text)| GppSection { id, text: text.to_owned() }).collect();
        let section = |id: u16| sections.iter().find(|section| section.id == id).map(|section| section.text.as_str());
        let tcf_eu = section(2).and_then(TcString::parse);
        let us_privacy = section(6).and_then(UsPrivacy::parse);
        Some(Self { sections, tcf_eu, us_privacy })
    }
}

/// Reads the header: type 3, version 1, then the sections' numbers as ranges of Fibonacci-coded distances.
fn section_ids(header: &str) -> Option<Vec<u16>> {
    let mut bits = Bits::new(header);
    if bits.number(6)? != 3 || bits.number(6)? != 1 {
        return None;
    }
    let count = bits.number(12)?;
    let mut ids = Vec::new();
    let mut last = 0_u16;
    for _ in 0..count {
        let is_range = bits.bit()?;
        let first = last.checked_add(bits.fibonacci()?)?;
        last = if is_range { first.checked_add(bits.fibonacci()?)? } else { first };
        if ids.len() + usize::from(last - first) >= MAX_SECTIONS {
            return None;
        }
        ids.extend(first..=last);
    }
    (!ids.is_empty()).then_some(ids)
}

/// Returns the first GPP string anywhere in a text.
pub fn find(text: &str) -> Option<GppString> {
    let is_outside = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~'));
    text.split(is_outside).filter(|part| part.contains('~')).find_map(GppString::parse)
}
