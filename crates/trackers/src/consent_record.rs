//! Whether a name and a value look like the record of a visitor's choice about trackers.
//!
//! For tools that no table knows. A name alone proves nothing (`consent_id` may be a tracker's), so callers ask for the
//! value too, or for the moment of writing.

use crate::{identifier::percent_decoded, signals};
use base64::{Engine as _, engine::general_purpose};
use serde_json::Value;

/// Parts of names that speak of a choice by themselves, in lower case, in the languages we met.
const CHOICE: &[&str] = &[
    "consent",
    "gdpr",
    "rgpd",
    "dsgvo",
    "avg_",
    "lgpd",
    "optin",
    "opt-in",
    "opt_in",
    "optout",
    "opt-out",
    "opt_out",
    "euconsent",
    "zustimmung",
    "einwilligung",
    "datenschutz",
    "toestemming",
    "samtykke",
    "samtycke",
    "souhlas",
    "zgoda",
    "zgody",
    "consentimiento",
    "consentimento",
    "consenso",
    "consentement",
    "suostumus",
    "privacy_settings",
    "privacy-settings",
    "privacysettings",
    "privacy_pref",
    "privacy-pref",
    "privacypref",
    "eucookie",
    "eu_cookie",
    "eu-cookie",
    "tarteaucitron",
];

/// With `cookie` in the name, these speak of a choice too.
const ABOUT_COOKIES: &[&str] = &[
    "choice",
    "pref",
    "polic",
    "accept",
    "allow",
    "law",
    "notice",
    "bar",
    "banner",
    "setting",
    "level",
    "control",
    "agree",
    "dismiss",
    "warn",
    "info",
    "message",
    "msg",
    "status",
    "hint",
    "seen",
    "hide",
    "close",
    "alert",
    "permission",
    "categor",
    "refus",
    "reject",
    "deny",
    "denied",
    "decline",
    "all",
    "approv",
    "confirm",
    "select",
    "popup",
    "modal",
    "enabled",
    "ok",
];

/// Words that a stored choice is made of.
const WORDS: &[&str] = &[
    "accept",
    "accepted",
    "acceptall",
    "agree",
    "agreed",
    "all",
    "allow",
    "allowed",
    "granted",
    "grant",
    "deny",
    "denied",
    "denyall",
    "decline",
    "declined",
    "refuse",
    "refused",
    "reject",
    "rejected",
    "rejectall",
    "dismiss",
    "dismissed",
    "true",
    "false",
    "yes",
    "no",
    "on",
    "off",
    "0",
    "1",
    "2",
    "none",
    "necessary",
    "essential",
    "required",
    "strictly",
    "functional",
    "functionality",
    "preferences",
    "preference",
    "performance",
    "statistics",
    "statistic",
    "statistical",
    "analytics",
    "analytic",
    "analytical",
    "measurement",
    "marketing",
    "advertising",
    "advertisement",
    "ads",
    "ad",
    "targeting",
    "social",
    "media",
    "personalization",
    "personalisation",
    "unclassified",
    "consent",
    "consented",
    "optin",
    "optout",
    "minimal",
    "default",
    "set",
    "ok",
    "hide",
    "hidden",
    "closed",
    "seen",
    "shown",
    "ja",
    "nein",
    "oui",
    "non",
    "si",
    "wait",
    "campaigns",
    "usage",
    "settings",
    "cookies",
    "categories",
    "services",
    "purposes",
    "vendors",
    "level",
    "revision",
    "version",
    "date",
    "timestamp",
    "session",
    "notice",
    "basic",
    "technical",
    "comfort",
    "external",
    "experience",
    "thirdparty",
    "tracking",
    "google",
    "facebook",
    "gtag",
    "youtube",
];

/// Returns whether a name speaks of a choice about trackers.
pub fn name_speaks_of_choice(name: &str) -> bool {
    let name = name.to_lowercase();
    // Without the word itself, which holds `ok`.
    let rest = name.replace("cookies", " ").replace("cookie", " ");
    CHOICE.iter().any(|part| name.contains(part))
        || rest != name && ABOUT_COOKIES.iter().any(|part| rest.contains(part))
}

/// Returns whether a value is made of a choice's words: flags, categories, a consent string. Empty is not.
///
/// Looks through percent encoding, base64 and JSON. In JSON, the keys count: at least one names a category or a choice.
pub fn value_is_choice(value: &str) -> bool {
    let value = percent_decoded(&percent_decoded(value));
    let value = value.trim();
    if value.is_empty() || value.len() > 16_384 {
        return false;
    }
    if !signals::tcf::find(value).is_empty() {
        return true;
    }
    if let Some(json) = json_in(value) {
        return json_is_choice(&json);
    }
    let words: Vec<String> =
        value.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
    let is_number = |word: &&String| word.bytes().all(|byte| byte.is_ascii_digit());
    let known = words.iter().filter(|word| !is_number(word) && WORDS.contains(&word.as_str())).count();
    // A date or flags beside the words are usual; a flag alone is a choice only by its name.
    let numbers = words.iter().filter(is_number).count();
    let is_flag = words.len() == 1 && matches!(words[0].as_str(), "0" | "1" | "2");
    is_flag || known > 0 && known + numbers >= words.len().div_ceil(2)
}

fn json_in(value: &str) -> Option<Value> {
    let parse =
        |text: &str| serde_json::from_str::<Value>(text).ok().filter(|json| json.is_object() || json.is_array());
    parse(value).or_else(|| {
        let bytes = [&general_purpose::URL_SAFE_NO_PAD, &general_purpose::STANDARD_NO_PAD]
            .iter()
            .find_map(|engine| engine.decode(value.trim_end_matches('=')).ok())?;
        parse(std::str::from_utf8(&bytes).ok()?)
    })
}

fn json_is_choice(json: &Value) -> bool {
    match json {
        Value::Object(fields) => fields.iter().any(|(key, value)| key_is_choice(key, value) || json_is_choice(value)),
        Value::Array(items) => items.iter().any(|item| item.as_str().is_some_and(is_category) || json_is_choice(item)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn key_is_choice(key: &str, value: &Value) -> bool {
    let is_flag = match value {
        Value::Bool(_) => true,
        Value::Number(number) => matches!(number.as_u64(), Some(0 | 1)),
        Value::String(text) => WORDS.contains(&text.to_lowercase().as_str()),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    };
    let speaks = name_speaks_of_choice(key) || key.split(['_', '-', '.', ' ']).any(is_category);
    speaks && (is_flag || name_speaks_of_choice(key))
}

fn is_category(word: &str) -> bool {
    const CATEGORIES: &[&str] = &[
        "necessary",
        "essential",
        "strictly",
        "functional",
        "functionality",
        "preferences",
        "preference",
        "performance",
        "statistics",
        "statistic",
        "analytics",
        "analytical",
        "marketing",
        "advertising",
        "ads",
        "targeting",
        "social",
        "campaigns",
        "usage",
        "personalization",
        "measurement",
        "tracking",
        "accepted",
        "rejected",
        "denied",
        "granted",
        "stats",
        "comfort",
        "third_party",
    ];
    CATEGORIES.contains(&word.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::{name_speaks_of_choice, value_is_choice};

    #[test]
    fn choices_are_recognised() {
        for value in [
            "accepted",
            "dismiss",
            "true",
            "1",
            "deny",
            "!gtag=true!facebookpixel=false",
            "functional,analytics",
            "{\"analytics\":true}",
            "%7B%22essential%22%3Atrue%2C%22settings%22%3Afalse%2C%22usage%22%3Atrue%2C%22campaigns%22%3Afalse%7D",
            "eyJhbmFseXRpY3MiOmZhbHNlLCJhZHMiOmZhbHNlfQ",
            "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA",
            r#"{"categories":["necessary"],"revision":0,"consentId":"6ba7b810-9dad-41d1-80b4-00c04fd430c8"}"#,
            "CookieDisallowed=0,accept",
        ] {
            assert!(value_is_choice(value), "{value}");
        }
        for value in [
            "",
            "6ba7b810-9dad-41d1-80b4-00c04fd430c8",
            "GA1.1.1234509876.1764000000",
            r#"{"items":[3,4]}"#,
            "https://example.org/",
        ] {
            assert!(!value_is_choice(value), "{value}");
        }
    }

    #[test]
    fn names_speak_of_a_choice_or_do_not() {
        for name in
            ["cookie_choices", "CookieConsent", "my-gdpr", "cookies_accepted", "samtykke", "eu_cookie_x", "cookieBar"]
        {
            assert!(name_speaks_of_choice(name), "{name}");
        }
        for name in ["_ga", "session", "cookie", "cookietest", "uid", "visitor"] {
            assert!(!name_speaks_of_choice(name), "{name}");
        }
    }
}
