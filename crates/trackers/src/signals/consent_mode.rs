//! Google consent mode: what a page tells Google's tags, and what their hits repeat.
//!
//! Google documents `gcs` and the seven signals; the letters of `gcd` are known from observation, so a rule should not
//! rest on `gcd` alone.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The seven signals of consent mode v2.
///
/// # Source
///
/// Google, "Set up consent mode on websites" and "Consent mode reference" (November 2023, v2).
pub const SIGNALS: [&str; 7] = [
    "ad_storage",
    "ad_user_data",
    "ad_personalization",
    "analytics_storage",
    "functionality_storage",
    "personalization_storage",
    "security_storage",
];

/// Whether a signal grants or denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grant {
    /// `granted`.
    Granted,
    /// `denied`.
    Denied,
}

/// `gcs` of a hit: `G1` and two digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gcs {
    /// `ad_storage`; `None` where the site does not use consent mode for it.
    pub ad_storage: Option<Grant>,
    /// `analytics_storage`; `None` likewise.
    pub analytics_storage: Option<Grant>,
}

impl Gcs {
    /// Reads `G1xy`: 1 granted, 0 denied, `-` not set.
    pub fn parse(text: &str) -> Option<Self> {
        let [b'G', b'1', ad, analytics] = *text.as_bytes() else { return None };
        Some(Self { ad_storage: digit(ad)?, analytics_storage: digit(analytics)? })
    }
}

#[expect(clippy::option_option, reason = "outside: readable; inside: set")]
fn digit(character: u8) -> Option<Option<Grant>> {
    match character {
        b'1' => Some(Some(Grant::Granted)),
        b'0' => Some(Some(Grant::Denied)),
        b'-' => Some(None),
        _ => None,
    }
}

/// One signal of `gcd`: by default, and after an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GcdSignal {
    /// The default that was set, if one was.
    pub default: Option<Grant>,
    /// The update that was made, if one was.
    pub update: Option<Grant>,
}

impl GcdSignal {
    /// Returns what counts: the update, else the default.
    pub fn effective(self) -> Option<Grant> {
        self.update.or(self.default)
    }
}

/// `gcd` of a hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gcd {
    /// `ad_storage`.
    pub ad_storage: GcdSignal,
    /// `analytics_storage`.
    pub analytics_storage: GcdSignal,
    /// `ad_user_data`; `None` in older, shorter values.
    pub ad_user_data: Option<GcdSignal>,
    /// `ad_personalization`; `None` likewise.
    pub ad_personalization: Option<GcdSignal>,
}

impl Gcd {
    /// Reads a value such as `13r3p3p3p5`: digits, and a letter a signal.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > 64 || !text.starts_with('1') {
            return None;
        }
        let mut signals = text.bytes().filter(|byte| !byte.is_ascii_digit()).map(letter);
        let ad_storage = signals.next()??;
        let analytics_storage = signals.next()??;
        Some(Self {
            ad_storage,
            analytics_storage,
            ad_user_data: signals.next().flatten(),
            ad_personalization: signals.next().flatten(),
        })
    }
}

/// Reads a letter of `gcd`, as commonly observed.
fn letter(letter: u8) -> Option<GcdSignal> {
    use Grant::{Denied, Granted};
    let (default, update) = match letter {
        b'l' => (None, None),
        b'p' => (Some(Denied), None),
        b't' => (Some(Granted), None),
        b'm' => (None, Some(Denied)),
        b'n' => (None, Some(Granted)),
        b'q' => (Some(Denied), Some(Denied)),
        b'r' => (Some(Denied), Some(Granted)),
        b'u' => (Some(Granted), Some(Denied)),
        b'v' => (Some(Granted), Some(Granted)),
        _ => return None,
    };
    Some(GcdSignal { default, update })
}

/// A `gtag('consent', 'default' | 'update', {…})` command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentCommand {
    /// Whether it is an update rather than a default.
    pub is_update: bool,
    /// The signals it sets, by name; only the seven that exist.
    pub signals: BTreeMap<String, Grant>,
    /// How long tags wait for an update, in milliseconds, where stated.
    pub wait_for_update_ms: Option<u64>,
    /// The regions for which a default holds; empty means everywhere.
    pub regions: Vec<String>,
}

impl ConsentCommand {
    /// Reads the JSON of a command: the object of signals alone, or the whole call as an array or an arguments object.
    ///
    /// A call that names its own kind wins over `is_update`. `None` if no signal is set.
    pub fn parse(is_update: bool, json: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(json).ok()?;
        let (is_update, fields) = match &value {
            Value::Array(items) => {
                (kind_of(items.get(1)).unwrap_or(is_update), items.iter().find_map(Value::as_object)?)
            }
            Value::Object(fields) if fields.contains_key("0") => {
                (kind_of(fields.get("1")).unwrap_or(is_update), fields.get("2")?.as_object()?)
            }
            Value::Object(fields) => (is_update, fields),
            _ => return None,
        };
        let grant = |name: &str| match fields.get(name)?.as_str()? {
            "granted" => Some(Grant::Granted),
            "denied" => Some(Grant::Denied),
            _ => None,
        };
        let signals: BTreeMap<String, Grant> =
            SIGNALS.iter().filter_map(|name| Some(((*name).to_owned(), grant(name)?))).collect();
        let regions = fields.get("region").and_then(Value::as_array).into_iter().flatten();
        (!signals.is_empty()).then(|| Self {
            is_update,
            signals,
            wait_for_update_ms: fields.get("wait_for_update").and_then(Value::as_u64),
            regions: regions.filter_map(|region| region.as_str().map(str::to_owned)).collect(),
        })
    }
}

fn kind_of(value: Option<&Value>) -> Option<bool> {
    match value?.as_str()? {
        "update" => Some(true),
        "default" => Some(false),
        _ => None,
    }
}
