//! Receipts on the command line: what `vigie verify RECEIPT` finds, and what a receipt says of a bundle.

use super::open::in_words;
use crate::{fault::Fault, keep::in_full};
use serde_json::{Value, json};
use std::path::Path;
use vigie_ledger::opening::{Part, Seen, Shown};
use vigie_ledger::policy::Attested;
use vigie_ledger::{Entry, Receipt, TrustPolicy};

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
        /// The row that its opening shows, if it shows one.
        row: Option<OpenedRow>,
    },
    /// It does not.
    Unproved(String),
}

/// A row that a receipt opens.
pub struct OpenedRow {
    /// Its number in the ledger.
    number: u64,
    /// What it says, as text; `None` if it was erased.
    says: Option<String>,
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
    let mut proved =
        PrintedReceipt::Proved { index: receipt.index, attested: Box::new(attested), header: None, row: None };
    if let Some(Err(why)) = shown.map(|shown| proved.open(&shown)) {
        return Ok(PrintedReceipt::Unproved(why));
    }
    Ok(proved)
}

impl PrintedReceipt {
    /// Tells whether it proves what it is for.
    pub fn is_sound(&self) -> bool {
        matches!(self, Self::Proved { .. })
    }

    /// Checks what is opened, and keeps it. The entry was proved before.
    fn open(&mut self, shown: &Shown) -> Result<(), String> {
        let Self::Proved { attested, header, row, .. } = self else { return Ok(()) };
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let place = match &shown.part {
            Part::Header { .. } => {
                *header = Some(text(shown.check_header().map_err(|error| in_full(&error))?));
                return Ok(());
            }
            Part::Row { row, .. } | Part::Erased { row, .. } => *row,
        };
        let entry = Entry::parse(&shown.entry).map_err(|error| in_full(&error))?;
        // A place beyond the entry is refused by the check, as is one whose number cannot be.
        let number = entry.row_base.saturating_add(place);
        let seen = shown.check_row(number, attested.checkpoint.checkpoint()).map_err(|error| in_full(&error))?;
        let says = match seen {
            Seen::Opened(bytes) => Some(text(bytes)),
            Seen::Erased => None,
        };
        *row = Some(OpenedRow { number, says });
        Ok(())
    }

    /// Returns it for other programs.
    pub fn json(&self) -> Value {
        match self {
            Self::Unproved(why) => json!({ "sound": false, "problem": why }),
            Self::Proved { index, attested, header, row } => {
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
                    "row": row.as_ref().map(|row| json!({ "number": row.number, "says": row.says })),
                })
            }
        }
    }

    /// Returns it for people, a fact a line.
    pub fn in_words(&self) -> Vec<String> {
        match self {
            Self::Unproved(why) => vec![format!("  ledger     NOT proved: {why}")],
            Self::Proved { index, attested, row, .. } => {
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
                if let Some(OpenedRow { number, says }) = row {
                    // What a person chose is for the person to read; other rows stay on their line.
                    if let Some(says) = says.as_deref().filter(|says| says.starts_with("vigie/choice/")) {
                        lines.push(format!("  row        {number}"));
                        lines.extend(says.lines().map(|line| format!("  it says    {line}")));
                    } else {
                        let says =
                            says.as_deref().map_or_else(|| "it was erased".to_owned(), |says| format!("{says:?}"));
                        lines.push(format!("  row        {number}: {says}"));
                    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use vigie_ledger::commitment::{Place, SubjectKey, commit, rows_root};
    use vigie_ledger::key::Algorithm;
    use vigie_ledger::{Checkpoint, EventId, Hash, Kind, Note, SignerKey};

    /// The receipt of the only entry of a ledger, whose only row is opened.
    fn receipt_of_a_row(says: &[u8]) -> (Vec<u8>, TrustPolicy) {
        let (key, event_id) = (SubjectKey::new([1; 32]), EventId([2; 16]));
        let salt = key.salt(event_id, Place::Row(0));
        let mut entry = Entry::new(Kind::Access, 1_700_000_000, event_id, Hash::EMPTY);
        entry.row_count = 1;
        entry.rows_root = rows_root([commit(&salt, event_id, Place::Row(0), b"subject 42")]);
        let part = Part::Row { row: 0, salt, proof: Vec::new(), bytes: says.to_vec() };
        let log = SignerKey::from_seed("operator.example/log".parse().unwrap(), Algorithm::Ed25519, [7; 32]);
        let head = Checkpoint::new(log.verifier().name().clone(), 1, Hash::leaf(&entry.to_bytes()));
        let mut note = Note::new(head.to_string()).unwrap();
        note.add(log.sign(note.text()));
        let extra = Some(Shown { entry: entry.to_bytes(), part }.to_bytes());
        let receipt = Receipt { extra, index: 0, proof: Vec::new(), checkpoint: note.to_string().into_bytes() };
        (receipt.to_bytes(), TrustPolicy::of_log(log.verifier().clone()))
    }

    #[test]
    fn a_receipt_that_opens_a_row_says_which_and_what() {
        let (bytes, policy) = receipt_of_a_row(b"subject 42");
        let found = verify_receipt(Path::new("receipt"), &bytes, None, &policy).unwrap_or_else(|_| panic!("a receipt"));
        assert!(found.is_sound());
        assert_eq!(found.json()["row"], json!({ "number": 0, "says": "subject 42" }));
        assert_eq!(found.in_words().last().unwrap(), "  row        0: \"subject 42\"");
    }

    #[test]
    fn a_receipt_that_opens_another_row_proves_nothing() {
        let (bytes, policy) = receipt_of_a_row(b"subject 43");
        let found = verify_receipt(Path::new("receipt"), &bytes, None, &policy).unwrap_or_else(|_| panic!("a receipt"));
        assert!(!found.is_sound());
    }
}
