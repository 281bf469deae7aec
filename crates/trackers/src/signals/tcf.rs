//! TC strings of the IAB Europe Transparency and Consent Framework, version 2 (policies 2.0 to 2.4).
//!
//! Read here rather than by `iab_gpp`, which a crafted string of a few kilobytes makes allocate hundreds of megabytes;
//! the tests read the same strings with both and compare.

use super::bits::Bits;
use crate::identifier::percent_decoded;
use serde::{Deserialize, Serialize};

/// Longest string that is read, in bytes. Those seen in the wild stay below 4 KiB, a cookie's size.
pub const MAX_BYTES: usize = 16 * 1024;

/// Shortest first segment, in characters: the fixed fields alone take 213 bits.
const MIN_CORE_CHARACTERS: usize = 36;

/// Earliest creation taken for real, in seconds since 1970: 1 January 2018, before the framework existed.
const EARLIEST_S: u64 = 1_514_764_800;

/// Latest creation taken for real: 1 January 2080.
const LATEST_S: u64 = 3_471_292_800;

/// What a TC string says.
///
/// # Source
///
/// IAB Tech Lab and IAB Europe, Transparency and Consent String with Global Vendor & CMP List Formats v2 (as of
/// TCF v2.3, April 2025): "The core string", "Disclosed vendors", "Publisher restrictions".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcString {
    /// Version of the encoding: 2.
    pub version: u8,
    /// When it was first made, in seconds since 1970.
    pub created_s: u64,
    /// When it was last changed, in seconds since 1970.
    pub last_updated_s: u64,
    /// The consent tool's number in the framework.
    pub cmp_id: u16,
    /// The consent tool's version.
    pub cmp_version: u16,
    /// The screen on which the choice was made.
    pub consent_screen: u8,
    /// Language of that screen, two capital letters.
    pub consent_language: String,
    /// Version of the vendor list.
    pub vendor_list_version: u16,
    /// Version of the framework's policy: 2 for 2.0, 4 for 2.2, 5 for 2.3.
    pub policy_version: u8,
    /// Whether it holds for this site only.
    pub is_service_specific: bool,
    /// Whether purpose 1 was left out because the publisher's country treats it otherwise.
    pub purpose_one_treatment: bool,
    /// The publisher's country, two capital letters.
    pub publisher_country: String,
    /// Special features opted into: 1 precise location, 2 active scanning.
    pub special_features: Vec<u16>,
    /// Purposes consented to, from 1.
    pub purpose_consents: Vec<u16>,
    /// Purposes for which legitimate interest was established and not objected to.
    pub purpose_legitimate_interests: Vec<u16>,
    /// Vendors consented to, by their number in the vendor list.
    pub vendor_consents: Vec<u16>,
    /// Vendors for which legitimate interest was established and not objected to.
    pub vendor_legitimate_interests: Vec<u16>,
    /// Restrictions by the publisher: purpose and kind (0 not allowed, 1 consent only, 2 legitimate interest only).
    pub publisher_restrictions: Vec<(u8, u8)>,
    /// Vendors shown to the visitor; `None` without that segment, which TCF v2.3 makes mandatory.
    pub disclosed_vendors: Option<Vec<u16>>,
}

impl TcString {
    /// Reads a TC string.
    ///
    /// `None` for anything else: other versions, letters outside base64url, fields cut short, or dates and languages
    /// that no consent tool would write.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() > MAX_BYTES {
            return None;
        }
        let mut segments = text.split('.');
        let core = segments.next().filter(|core| core.starts_with('C') && core.len() >= MIN_CORE_CHARACTERS)?;
        let mut read = parse_core(core)?;
        for segment in segments {
            let mut bits = Bits::new(segment);
            // Segment types: 1 disclosed vendors, 2 allowed vendors (withdrawn), 3 the publisher's own purposes.
            if bits.number(3)? == 1 {
                read.disclosed_vendors = Some(vendors(&mut bits)?);
            }
        }
        Some(read)
    }

    /// Returns whether nothing was consented to and no legitimate interest stands.
    pub fn refuses_everything(&self) -> bool {
        self.purpose_consents.is_empty()
            && self.purpose_legitimate_interests.is_empty()
            && self.vendor_consents.is_empty()
            && self.special_features.is_empty()
    }

    /// Returns the purposes on legitimate interest that the framework's policy bars from it: 1, and since 2.2 also 3 to 6.
    ///
    /// # Source
    ///
    /// IAB Europe TCF Policies, purpose 1 (consent only); version 2.2 of 16 May 2023 for purposes 3 to 6. Rule CK-36.
    pub fn barred_legitimate_interests(&self) -> Vec<u16> {
        let barred = |purpose: &u16| *purpose == 1 || (self.policy_version >= 4 && (3..=6).contains(purpose));
        self.purpose_legitimate_interests.iter().copied().filter(barred).collect()
    }
}

fn parse_core(core: &str) -> Option<TcString> {
    let mut bits = Bits::new(core);
    let version = bits.number(6)? as u8;
    let created_s = bits.number(36)? / 10;
    let last_updated_s = bits.number(36)? / 10;
    let cmp_id = bits.short(12)?;
    let cmp_version = bits.short(12)?;
    let consent_screen = bits.number(6)? as u8;
    let consent_language = bits.letters(2)?;
    let vendor_list_version = bits.short(12)?;
    let policy_version = bits.number(6)? as u8;
    let is_service_specific = bits.bit()?;
    let _non_standard_texts = bits.bit()?;
    let special_features = bits.flags(12)?;
    let purpose_consents = bits.flags(24)?;
    let purpose_legitimate_interests = bits.flags(24)?;
    let purpose_one_treatment = bits.bit()?;
    let publisher_country = bits.letters(2)?;
    let is_plausible = version == 2
        && (EARLIEST_S..LATEST_S).contains(&created_s)
        && (EARLIEST_S..LATEST_S).contains(&last_updated_s)
        && policy_version <= 31;
    if !is_plausible {
        return None;
    }
    Some(TcString {
        version,
        created_s,
        last_updated_s,
        cmp_id,
        cmp_version,
        consent_screen,
        consent_language,
        vendor_list_version,
        policy_version,
        is_service_specific,
        purpose_one_treatment,
        publisher_country,
        special_features,
        purpose_consents,
        purpose_legitimate_interests,
        vendor_consents: vendors(&mut bits)?,
        vendor_legitimate_interests: vendors(&mut bits)?,
        // Some tools cut the string where only zeros would follow.
        publisher_restrictions: restrictions(&mut bits).unwrap_or_default(),
        disclosed_vendors: None,
    })
}

/// Reads a set of vendors: a flag each, or ranges.
fn vendors(bits: &mut Bits<'_>) -> Option<Vec<u16>> {
    let highest = bits.short(16)?;
    if bits.bit()? {
        let mut ids = ranges(bits)?;
        ids.retain(|&id| id <= highest);
        Some(ids)
    } else {
        bits.flags(highest)
    }
}

/// Reads ranges of vendors, sorted and without repeats.
fn ranges(bits: &mut Bits<'_>) -> Option<Vec<u16>> {
    let count = bits.number(12)?;
    // One flag for each of the 2^16 numbers: 8 KiB whatever the ranges say, however often they overlap.
    let mut present = vec![0_u64; 1024];
    for _ in 0..count {
        let is_range = bits.bit()?;
        let first = bits.short(16)?;
        let last = if is_range { bits.short(16)? } else { first };
        for id in first..=last {
            present[usize::from(id / 64)] |= 1 << (id % 64);
        }
    }
    Some((0..=u16::MAX).filter(|id| present[usize::from(id / 64)] >> (id % 64) & 1 == 1).collect())
}

fn restrictions(bits: &mut Bits<'_>) -> Option<Vec<(u8, u8)>> {
    let count = bits.number(12)?;
    let mut found = Vec::new();
    for _ in 0..count {
        let purpose = bits.number(6)? as u8;
        let kind = bits.number(2)? as u8;
        for _ in 0..bits.number(12)? {
            let is_range = bits.bit()?;
            bits.number(if is_range { 32 } else { 16 })?;
        }
        found.push((purpose, kind));
    }
    Some(found)
}

/// Returns whether a whole value is a TC string.
pub fn looks_like(value: &str) -> bool {
    value.starts_with('C') && TcString::parse(value).is_some()
}

/// Returns the TC strings anywhere in a text, in order and without repeats, through percent encoding too.
pub fn find(text: &str) -> Vec<TcString> {
    let plain = percent_decoded(text);
    let is_outside = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    let mut found: Vec<TcString> = Vec::new();
    for candidate in plain.split(is_outside).filter(|part| part.starts_with('C') && part.len() >= MIN_CORE_CHARACTERS) {
        if let Some(read) = TcString::parse(candidate)
            && !found.contains(&read)
        {
            found.push(read);
        }
    }
    found
}
