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
use vigie_ledger::{Note, TrustPolicy};
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
    let unusable = |why: String| Fault::Policy { path: path.to_owned(), why };
    let text = std::fs::read_to_string(path).map_err(|error| unusable(in_full(&error)))?;
    TrustPolicy::parse(&text).map_err(|error| unusable(in_full(&error)))
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

/// Reads a note that was published and is known to be one.
pub fn note(bytes: &[u8]) -> Option<Note> {
    Note::parse(bytes).ok()
}
