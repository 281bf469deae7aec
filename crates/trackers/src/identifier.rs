//! Whether a stored value can single a visitor out.
//!
//! The estimate counts what looks drawn at random, in bits, and counts nothing for what is the same for many visitors:
//! words, dates, clock readings, short numbers, language codes, JSON of flags, consent strings. It looks through percent
//! encoding, base64 text and JSON. It is an estimate, ours, and made to err towards "not an identifier": a missed one
//! costs a question, a false one would cost a finding.
//!
//! The surprise: a random number of ten digits can look like a clock reading. [`tells_apart`] therefore also looks at
//! the same cookie in another profile, where a clock would have moved little.

use base64::{Engine as _, engine::general_purpose};
use serde_json::Value;

/// Least number of random-looking bits of an identifier: enough for about a billion visitors. Ours.
pub const MIN_BITS: f64 = 30.0;

/// Longest value looked at, in bytes; the rest is not counted.
pub const MAX_BYTES: usize = 4096;

/// How deep encodings are looked through: percent encoding, base64, JSON, each counts one.
const MAX_DEPTH: u8 = 5;

/// Clock readings that are taken for such, in seconds since 1970: 13 May 2014 to 1 January 2040, not included.
///
/// A wider range would hide more random numbers; a site's release dates and expiry dates lie within.
const CLOCK_S: std::ops::Range<u64> = 1_400_000_000..2_208_988_800;

/// How far clock readings of two profiles of one inspection may lie apart, in seconds. Ours.
const SAME_CLOCK_S: u64 = 7 * 86_400;

/// Returns whether a value looks made to single a visitor out.
///
/// # Example
///
/// ```
/// use vigie_trackers::is_identifier;
///
/// assert!(is_identifier("GA1.1.1234509876.1764000000"));
/// assert!(!is_identifier("fr-FR"));
/// assert!(!is_identifier(r#"{"analytics":false,"date":"2026-11-22T10:15:00Z"}"#));
/// ```
pub fn is_identifier(value: &str) -> bool {
    identifier_bits(value) >= MIN_BITS
}

/// Returns whether a value tells this profile from `other`, the value of the same name in another profile.
///
/// The same value in both tells nobody apart, whatever it looks like.
pub fn tells_apart(value: &str, other: Option<&str>) -> bool {
    match other {
        Some(other) if other == value => false,
        Some(other) => is_identifier(value) || numbers_no_clock_gives(value, other),
        None => is_identifier(value),
    }
}

/// Returns how many random-looking bits a value holds: those of its most random part.
pub fn identifier_bits(value: &str) -> f64 {
    let mut end = value.len().min(MAX_BYTES);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    bits(&value[..end], MAX_DEPTH)
}

fn bits(value: &str, depth: u8) -> f64 {
    let value = value.trim();
    if value.is_empty() || crate::signals::tcf::looks_like(value) {
        return 0.0;
    }
    if let Some(deeper) = depth.checked_sub(1) {
        if value.contains('%') {
            let plain = percent_decoded(value);
            if plain != value {
                return bits(&plain, deeper);
            }
        }
        if value.starts_with(['{', '[', '"'])
            && let Ok(json) = serde_json::from_str::<Value>(value)
        {
            return json_bits(&json, deeper);
        }
        // Only the query of an address can hold more than a place.
        if value.starts_with("http://") || value.starts_with("https://") {
            return value.split_once('?').map_or(0.0, |(_, query)| bits(query, deeper));
        }
    }
    let is_separator = |c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '+' || !c.is_ascii());
    value.split(is_separator).map(|part| part_bits(part, depth)).fold(0.0, f64::max)
}

fn json_bits(json: &Value, depth: u8) -> f64 {
    match json {
        Value::Null | Value::Bool(_) => 0.0,
        Value::Number(number) => bits(&number.to_string(), 0),
        Value::String(text) => bits(text, depth),
        Value::Array(items) => items.iter().map(|item| json_bits(item, depth)).fold(0.0, f64::max),
        // Keys are the program's words, not the visitor's.
        Value::Object(fields) => fields.values().map(|item| json_bits(item, depth)).fold(0.0, f64::max),
    }
}

/// Returns the bits of one part: letters, digits, `-`, `_` and `+` without anything else between.
fn part_bits(part: &str, depth: u8) -> f64 {
    if is_date(part) {
        return 0.0;
    }
    if let Some(deeper) = depth.checked_sub(1)
        && let Some(text) = base64_text(part)
    {
        return bits(&text, deeper);
    }
    part.split(['-', '_', '+']).map(segment_bits).sum()
}

/// Returns the bits of a segment of letters and digits.
///
/// Digits count log2(10) each, letters log2(26), each change between them one bit more; words count nothing.
fn segment_bits(segment: &str) -> f64 {
    let digits_only = !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
    if segment.len() < 4 || (digits_only && segment.len() < 5) || is_clock(segment) || has_few_characters(segment) {
        return 0.0;
    }
    let runs = runs(segment);
    let counted: f64 = runs
        .iter()
        .map(|run| {
            if run.starts_with(|c: char| c.is_ascii_digit()) {
                run.len() as f64 * 10_f64.log2()
            } else if run.len() >= 4 && is_words(run) {
                0.0
            } else {
                run.chars().count() as f64 * 26_f64.log2()
            }
        })
        .sum();
    counted + (runs.len() - 1) as f64
}

/// Splits into runs of digits and runs of anything else.
fn runs(segment: &str) -> Vec<&str> {
    let mut runs = Vec::new();
    let mut start = 0;
    let mut last = None;
    for (at, c) in segment.char_indices() {
        let is_digit = c.is_ascii_digit();
        if last.is_some_and(|last| last != is_digit) {
            runs.push(&segment[start..at]);
            start = at;
        }
        last = Some(is_digit);
    }
    runs.push(&segment[start..]);
    runs
}

/// Returns whether letters read like one or several words, in whatever Latin language, or are no Latin letters.
fn is_words(letters: &str) -> bool {
    if !letters.is_ascii() {
        return true;
    }
    let mut changes_of_case = 0;
    let mut consonants_in_a_row = 0;
    let mut most_consonants = 0;
    let mut vowels = 0;
    let bytes = letters.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        if at > 0 && byte.is_ascii_uppercase() && bytes[at - 1].is_ascii_lowercase() {
            changes_of_case += 1;
        }
        if b"aeiouyAEIOUY".contains(byte) {
            vowels += 1;
            consonants_in_a_row = 0;
        } else {
            consonants_in_a_row += 1;
            most_consonants = most_consonants.max(consonants_in_a_row);
        }
    }
    let share_of_vowels = f64::from(vowels) / bytes.len() as f64;
    // A capital every four letters or more often is no camel case that a person would write.
    changes_of_case * 4 <= bytes.len() && most_consonants <= 5 && (0.15..=0.75).contains(&share_of_vowels)
}

fn has_few_characters(segment: &str) -> bool {
    let mut seen: Vec<u8> = segment.bytes().collect();
    seen.sort_unstable();
    seen.dedup();
    seen.len() <= 2
}

/// Returns whether digits are a clock reading in seconds, milliseconds, microseconds or nanoseconds since 1970.
fn is_clock(digits: &str) -> bool {
    clock_seconds(digits).is_some()
}

fn clock_seconds(digits: &str) -> Option<u64> {
    if !matches!(digits.len(), 10 | 13 | 16 | 19) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits[..10].parse().ok().filter(|seconds| CLOCK_S.contains(seconds))
}

/// Returns whether a part is a calendar date: `2026-11-22…`, `20261122`, `20261122T101500Z`, `20261122101500`.
fn is_date(part: &str) -> bool {
    let digits: String = part.chars().filter(char::is_ascii_digit).collect();
    let others = part.chars().filter(|c| !c.is_ascii_digit());
    if !matches!(digits.len(), 8 | 10 | 12 | 14 | 17)
        || !others.clone().all(|c| matches!(c, '-' | 'T' | 'Z' | '+' | '_'))
    {
        return false;
    }
    if others.clone().count() == 0 && digits.len() == 10 {
        return false;
    }
    let number = |range: std::ops::Range<usize>| digits[range].parse::<u32>().unwrap_or(u32::MAX);
    (1970..2100).contains(&number(0..4)) && (1..=12).contains(&number(4..6)) && (1..=31).contains(&number(6..8))
}

/// Returns the text that a part holds in base64, if it is text: printable ASCII throughout.
fn base64_text(part: &str) -> Option<String> {
    if part.len() < 12 {
        return None;
    }
    let bytes = [&general_purpose::URL_SAFE_NO_PAD, &general_purpose::STANDARD_NO_PAD]
        .iter()
        .find_map(|engine| engine.decode(part).ok())?;
    let is_text = bytes.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t'));
    is_text.then(|| String::from_utf8(bytes).ok()).flatten()
}

/// Undoes percent encoding; what is not valid stays as it is.
pub(crate) fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|&byte| (byte as char).to_digit(16));
        match (bytes[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                plain.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// Returns whether numbers that look like clock readings differ by more than a clock could between two profiles.
fn numbers_no_clock_gives(value: &str, other: &str) -> bool {
    let numbers = |text: &str| -> Vec<String> {
        percent_decoded(text)
            .split(|c: char| !c.is_ascii_digit())
            .filter(|digits| digits.len() >= 10)
            .map(str::to_owned)
            .collect()
    };
    let (here, there) = (numbers(value), numbers(other));
    here.len() == there.len()
        && here.iter().zip(&there).any(|(a, b)| match (clock_seconds(a), clock_seconds(b)) {
            (Some(a), Some(b)) => a.abs_diff(b) > SAME_CLOCK_S,
            (Some(_), None) | (None, Some(_)) => true,
            (None, None) => false,
        })
}

#[cfg(test)]
mod tests {
    use super::{identifier_bits, is_identifier, tells_apart};
    use proptest::prelude::*;

    #[track_caller]
    fn check(value: &str, expected: bool) {
        assert_eq!(is_identifier(value), expected, "`{value}` has {:.1} bits", identifier_bits(value));
    }

    #[test]
    fn random_values_are_identifiers() {
        for value in [
            "GA1.1.1234509876.1764000000",
            "fb.1.1764000000000.7345109876",
            "6ba7b810-9dad-41d1-80b4-00c04fd430c8",
            "3f2a9b1c8d7e4f60",
            "5284610937",
            "204918273645",
            "AHWqTUk1764283911223",
            "1z141z3",
            "kf8hq2z9",
            "ID=4718293650:T=1764000000",
            "%7B%22id%22%3A%226ba7b810-9dad-41d1-80b4-00c04fd430c8%22%7D",
            r#"{"distinct_id":"18c5f2a9b1c8d7","$device_id":"18c5f2a9b1c8d7"}"#,
            "eyJpZCI6IjZiYTdiODEwLTlkYWQtNDFkMS04MGI0LTAwYzA0ZmQ0MzBjOCJ9",
            "v=2&204918273645",
            "Zk3PqR9xT1mWvB7nLd2Y",
        ] {
            check(value, true);
        }
    }

    #[test]
    fn what_many_visitors_share_is_no_identifier() {
        for value in [
            "",
            "1",
            "0",
            "true",
            "false",
            "yes",
            "accepted",
            "dismiss",
            "necessary",
            "all",
            "none",
            "fr",
            "fr-FR",
            "en_GB",
            "EUR",
            "dark",
            "1.2.3",
            "v2beta1",
            "theme2",
            "42",
            "123456789",
            "1764000000",
            "1764000000000",
            "1764000000.123",
            "2026-11-22",
            "2026-11-22T10:15:00.000Z",
            "20261122T101500Z",
            "20261122101500",
            "Sun Nov 22 2026 10:15:00 GMT+0100",
            "Europe/Paris",
            "accept-all-cookies-2026",
            "!gtag=wait!facebookpixel=false",
            "functional,analytics,marketing",
            r#"{"level":["necessary"],"revision":0,"data":null,"rfc_cookie":false,"date":"2026-11-22T10:15:00.000Z"}"#,
            "%7B%22analytics%22%3Afalse%2C%22ads%22%3Afalse%2C%22timestamp%22%3A1764000000000%7D",
            "eyJhbmFseXRpY3MiOmZhbHNlLCJhZHMiOmZhbHNlfQ",
            "https://example.org/a/b/c4f9e2d1b7a8",
            "0000000000000000",
            "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA",
            "Vereinbarungsübersicht",
            "unclassified",
            "uncategorized",
        ] {
            check(value, false);
        }
    }

    #[test]
    fn a_random_number_within_the_clocks_range_is_caught_by_comparing_profiles() {
        assert!(tells_apart("1504918273", Some("8123456709")));
        assert!(tells_apart("1504918273", Some("1804918273")));
        assert!(!tells_apart("1764000000", Some("1764000042")));
        assert!(!tells_apart("1764000000123", Some("1764000042456")));
        assert!(!tells_apart("6ba7b810-9dad-41d1-80b4-00c04fd430c8", Some("6ba7b810-9dad-41d1-80b4-00c04fd430c8")));
        assert!(!tells_apart("1504918273", None));
    }

    proptest! {
        #[test]
        fn any_text_has_a_finite_estimate(value in "\\PC*", other in "\\PC*") {
            prop_assert!(identifier_bits(&value).is_finite());
            let _ = tells_apart(&value, Some(&other));
        }

        #[test]
        fn every_uuid_is_an_identifier(random in any::<u128>()) {
            let h = format!("{random:032x}");
            let uuid = format!("{}-{}-4{}-8{}-{}", &h[..8], &h[8..12], &h[13..16], &h[17..20], &h[20..]);
            prop_assume!(random.count_ones() > 16 && random.count_zeros() > 16);
            prop_assert!(is_identifier(&uuid), "{uuid}");
        }

        #[test]
        fn every_clock_reading_is_none(seconds in 1_500_000_000_u64..2_000_000_000) {
            prop_assert!(!is_identifier(&seconds.to_string()));
            prop_assert!(!is_identifier(&(seconds * 1000 + 7).to_string()));
        }
    }
}
