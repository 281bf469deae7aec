//! The signals by which tools tell each other what the visitor chose: TC strings, GPP, consent mode, US privacy.
//!
//! Rules CK-32, CK-36 and CK-37 compare them with the click and with each other. What cannot be read is `None`, never an
//! empty choice. Everything here takes foreign bytes: nothing panics, and memory is bounded by the size of the input.

pub mod bits;
pub mod consent_mode;
pub mod gpp;
pub mod tcf;
pub mod us_privacy;

pub use consent_mode::{ConsentCommand, Gcd, Gcs, Grant};
pub use gpp::GppString;
pub use tcf::TcString;
pub use us_privacy::UsPrivacy;

use crate::identifier::percent_decoded;
use serde::{Deserialize, Serialize};

/// A signal that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "signal")]
pub enum Signal {
    /// A TC string of the IAB Europe framework.
    Tcf(TcString),
    /// A string of the IAB Global Privacy Platform.
    Gpp(GppString),
    /// `gcs` on a hit of a Google tag.
    Gcs(Gcs),
    /// `gcd` on a hit of a Google tag.
    Gcd(Gcd),
    /// A `gtag('consent', …)` command.
    Consent(ConsentCommand),
    /// A US privacy string.
    UsPrivacy(UsPrivacy),
}

/// Returns the signals in the query of an address, in order: `gdpr_consent`, `gpp`, `gcs`, `gcd`, `us_privacy`.
///
/// Works on a form body too, given as `?` and the body.
pub fn in_url(url: &str) -> Vec<Signal> {
    let query = url.split_once('?').map_or("", |(_, query)| query.split('#').next().unwrap_or(""));
    query
        .split(['&', ';'])
        .filter_map(|pair| pair.split_once('='))
        .filter_map(|(name, value)| in_pair(name, value))
        .collect()
}

fn in_pair(name: &str, value: &str) -> Option<Signal> {
    let value = percent_decoded(value);
    match name.to_ascii_lowercase().as_str() {
        "gdpr_consent"
        | "gdprconsent"
        | "gdpr_consent_string"
        | "tcf"
        | "tcstring"
        | "consent"
        | "consentstring"
        | "euconsent" => TcString::parse(&value).map(Signal::Tcf),
        "gpp" | "gpp_string" => GppString::parse(&value).map(Signal::Gpp),
        "gcs" => Gcs::parse(&value).map(Signal::Gcs),
        "gcd" => Gcd::parse(&value).map(Signal::Gcd),
        "us_privacy" | "usprivacy" | "ccpa" => UsPrivacy::parse(&value).map(Signal::UsPrivacy),
        _ => None,
    }
}

/// Returns the signals in the value of a cookie or storage key, whatever its name, and within JSON or encodings too.
pub fn in_value(value: &str) -> Vec<Signal> {
    let mut found: Vec<Signal> = tcf::find(value).into_iter().map(Signal::Tcf).collect();
    let plain = percent_decoded(value);
    let plain = plain.trim().trim_matches('"');
    found.extend(UsPrivacy::parse(plain).map(Signal::UsPrivacy));
    found.extend(GppString::parse(plain).map(Signal::Gpp));
    found
}

/// Returns the signals of a consent call that a page made: `kind` is `tcf`, `gpp`, `gtag-default` or `gtag-update`.
///
/// The value is the string itself, or the JSON that was passed.
pub fn in_call(kind: &str, value: &str) -> Vec<Signal> {
    match kind {
        "gtag-default" | "gtag-update" => {
            ConsentCommand::parse(kind == "gtag-update", value).map(Signal::Consent).into_iter().collect()
        }
        "gpp" => gpp::find(value).map(Signal::Gpp).into_iter().collect(),
        _ => in_value(value),
    }
}

#[cfg(test)]
mod tests;
