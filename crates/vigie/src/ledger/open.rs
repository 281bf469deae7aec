//! Finding a ledger, and whom to believe about it.

use super::arguments::{KeyOptions, TrustArguments};
use crate::{
    arguments::Common,
    fault::Fault,
    inspect::{json_of, print_line},
    keep::in_full,
};
use serde_json::json;
use std::path::Path;
use vigie_ledger::TrustPolicy;
use vigie_sequencer::Home;
use vigie_witness::source::LogSource;

/// A fault of a ledger, without a way out that would be known in general.
pub fn fault(error: &dyn std::error::Error) -> Fault {
    Fault::Ledger { why: in_full(error), help: None }
}

/// A ledger that is read: where its files come from, and whom to believe.
pub struct Opened {
    /// Its files.
    pub source: LogSource,
    /// Whom to believe.
    pub policy: TrustPolicy,
}

/// Reads a policy from a file.
///
/// # Errors
///
/// If it cannot be read.
pub fn policy_of(path: &Path) -> Result<TrustPolicy, Fault> {
    policy_and_text_of(path).map(|(policy, _)| policy)
}

/// Reads a policy from a file, and returns its text too.
///
/// # Errors
///
/// If it cannot be read.
pub fn policy_and_text_of(path: &Path) -> Result<(TrustPolicy, String), Fault> {
    let unusable = |why: String| Fault::Policy { path: path.to_owned(), why };
    let text = std::fs::read_to_string(path).map_err(|error| unusable(in_full(&error)))?;
    let policy = TrustPolicy::parse(&text).map_err(|error| unusable(in_full(&error)))?;
    Ok((policy, text))
}

/// Reads a token from a file.
///
/// # Errors
///
/// If it cannot be read.
pub fn token_of(path: &Path) -> Result<String, Fault> {
    std::fs::read_to_string(path).map_err(|error| Fault::Token { path: path.to_owned(), why: in_full(&error) })
}

/// Draws random bytes from the system.
///
/// # Errors
///
/// If it has none.
pub fn random<const N: usize>() -> Result<[u8; N], Fault> {
    let mut bytes = [0; N];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => Err(Fault::Ledger { why: format!("there are no random numbers: {error}"), help: None }),
    }
}

/// Finds a ledger by what a person gave: its own folder, a copy's folder, or an address.
///
/// Without a key, one in the ledger's own folder is believed: whoever reads there could change it anyway.
pub fn open(given: &str, trust: &TrustArguments) -> Result<Opened, Fault> {
    let home = Home::new(given);
    let own = home.public().is_dir();
    let source =
        if own { LogSource::Folder(home.public()) } else { LogSource::of(given).map_err(|error| fault(&error))? };
    let policy = match (&trust.policy, &trust.key) {
        (Some(path), _) => policy_of(path)?,
        (None, Some(key)) => TrustPolicy::of_log(key.clone()),
        (None, None) if own => TrustPolicy::of_log(home.key().map_err(|error| fault(&error))?.verifier().clone()),
        (None, None) => return Err(Fault::NoTrust { ledger: given.to_owned() }),
    };
    Ok(Opened { source, policy })
}

/// Prints the key of a ledger.
pub fn print_key(options: &KeyOptions, common: &Common) -> Result<u8, Fault> {
    let key = Home::new(&options.folder).key().map_err(|error| fault(&error))?;
    let key = key.verifier();
    if common.json {
        print_line(&json_of(&json!({ "origin": key.name().as_str(), "key": key.to_string() }))?);
    } else {
        print_line(&key.to_string());
    }
    Ok(0)
}

/// Returns a time in words, and the number of seconds since 1970 if it is none.
pub fn in_words(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(|| format!("{seconds} s after 1970"), |time| time.to_string())
}
