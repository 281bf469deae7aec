//! Receipts on the command line: what `vigie verify RECEIPT` finds, and what a receipt says of a bundle.

use super::open::in_words;
use crate::{fault::Fault, keep::in_full};
use serde_json::{Value, json};
use std::path::Path;
use vigie_ledger::opening::Shown;
use vigie_ledger::policy::Attested;
use vigie_ledger::{Receipt, TrustPolicy};

/// Tells whether bytes are meant as a receipt.
pub fn is_receipt(bytes: &[u8]) -> bool {
    bytes.starts_with(b"c2sp.org/tlog-proof@")
}

/// What was found of a receipt.
pub enum PrintedReceipt {
    /// It proves that an entry is in a ledger.
    Proved {
        /// Where, from 0.
        index: u64,
        /// Under which checkpoint, and who has seen it.
        attested: Box<Attested>,
        /// The header that its opening shows, as text, if it shows one.
        header: Option<String>,
    },
    /// It does not.
    Unproved(String),
}

/// Checks a receipt. `entry` is the entry itself; our own receipts carry it.
///
/// # Errors
///
/// If it is no receipt, or the entry is neither given nor in it.
pub fn verify_receipt(
    path: &Path,
    bytes: &[u8],
    entry: Option<&[u8]>,
    policy: &TrustPolicy,
) -> Result<PrintedReceipt, Fault> {
    let unusable = |why: String| Fault::Receipt { path: path.to_owned(), why };
    let receipt = Receipt::parse(bytes).map_err(|error| unusable(in_full(&error)))?;
    let shown = receipt.extra.as_deref().and_then(|extra| Shown::parse(extra).ok());
    let entry = match (entry, &shown) {
        (Some(entry), _) => entry,
        (None, Some(shown)) => shown.entry.as_slice(),
        (None, None) => return Err(unusable("it does not carry the entry it is for".to_owned())),
    };
    let attested = match receipt.verify(entry, policy) {
        Ok(attested) => attested,
        Err(error) => return Ok(PrintedReceipt::Unproved(in_full(&error))),
    };
    let header = match shown.map(|shown| shown.check_header()) {
        None => None,
        Some(Ok(header)) => Some(String::from_utf8_lossy(&header).into_owned()),
        Some(Err(error)) => return Ok(PrintedReceipt::Unproved(in_full(&error))),
    };
    Ok(PrintedReceipt::Proved { index: receipt.index, attested: Box::new(attested), header })
}

impl PrintedReceipt {
    /// Tells whether it proves what it is for.
    pub fn is_sound(&self) -> bool {
        matches!(self, Self::Proved { .. })
    }

    /// Returns it for other programs.
    pub fn json(&self) -> Value {
        match self {
            Self::Unproved(why) => json!({ "sound": false, "problem": why }),
            Self::Proved { index, attested, header } => {
                let checkpoint = attested.checkpoint.checkpoint();
                json!({
                    "sound": true,
                    "index": index,
                    "origin": checkpoint.origin().as_str(),
                    "size": checkpoint.size(),
                    "root": checkpoint.root().to_base64(),
                    "witnesses": attested.witnesses.iter()
                        .map(|(name, time)| json!({ "name": name.as_str(), "time": time })).collect::<Vec<_>>(),
                    "header": header,
                })
            }
        }
    }

    /// Returns it for people, a fact a line.
    pub fn in_words(&self) -> Vec<String> {
        match self {
            Self::Unproved(why) => vec![format!("  ledger     NOT proved: {why}")],
            Self::Proved { index, attested, .. } => {
                let checkpoint = attested.checkpoint.checkpoint();
                let mut lines = vec![format!(
                    "  ledger     entry {index} of {}, under its checkpoint of {} entries",
                    checkpoint.origin(),
                    checkpoint.size()
                )];
                lines.extend(
                    attested.witnesses.iter().map(|(name, time)| format!("  witness    {name}, {}", in_words(*time))),
                );
                if attested.witnesses.is_empty() {
                    lines.push("  witness    none asked for: the ledger's own word alone".to_owned());
                }
                lines
            }
        }
    }
}

/// Returns what a capture's header says of a bundle's seal; `None` if it is no capture.
pub fn capture_in_words(header: &str) -> Option<&str> {
    let mut lines = header.lines();
    (lines.next() == Some("vigie/capture/v1")).then_some(())?;
    lines.find_map(|line| line.strip_prefix("seal sha256:"))
}
