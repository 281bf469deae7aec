//! What a log says to a witness, and what an honest witness answers, without the network in between.
//!
//! [`answer`] decides from the request, the keys the witness trusts and the head it last cosigned. Whoever calls it keeps
//! that head, and must make check and update one step that is durable before the answer leaves (`witness` room).
//!
//! # Source
//!
//! C2SP tlog-witness 1.0.0.

use crate::checkpoint::{Checkpoint, SignedCheckpoint, decimal};
use crate::hash::Hash;
use crate::key::{KeyName, VerifierKey};
use crate::note::{Note, NoteError};
use crate::proof::verify_consistency;
use std::fmt::Write as _;

/// Most hashes of a consistency proof that may be sent.
pub const MAX_PROOF_LINES: usize = 63;

/// A log asks for a cosignature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Size of the head that the log believes the witness to have cosigned last.
    pub old: u64,
    /// That the new head continues that one.
    pub proof: Vec<Hash>,
    /// The new head, with the log's signature.
    pub note: Note,
}

/// What a witness has cosigned last of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Entries of the tree; 0 if none was ever cosigned.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
}

impl Seen {
    /// Nothing was cosigned yet.
    pub const NOTHING: Self = Self { size: 0, root: Hash::EMPTY };
}

/// What a witness does about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Store the head, then cosign it: 200.
    Cosign(SignedCheckpoint),
    /// 404: the log is not one that this witness watches.
    UnknownLog,
    /// 403: no key known for the log has signed, or one is said to have and has not.
    NotSigned,
    /// 400: the request cannot be read, or goes backwards.
    Malformed(&'static str),
    /// 409: the witness last cosigned a head of this size.
    Conflict(u64),
    /// 422: the new head does not continue the old one.
    NotConsistent,
}

impl AddCheckpoint {
    /// Reads the body of a request.
    ///
    /// # Errors
    ///
    /// What is wrong, for a client to read.
    pub fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let head = bytes.windows(2).position(|pair| pair == b"\n\n").ok_or("no empty line before the checkpoint")?;
        let lines = std::str::from_utf8(&bytes[..head]).map_err(|_| "the lines before the checkpoint are not UTF-8")?;
        let mut lines = lines.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(decimal);
        let old = old.ok_or("the first line is not `old SIZE`")?;
        let proof =
            lines.map(Hash::from_base64).collect::<Option<Vec<_>>>().ok_or("a proof line is not base64 of 32 bytes")?;
        if proof.len() > MAX_PROOF_LINES {
            return Err("the proof has more than 63 lines");
        }
        let note = Note::parse(&bytes[head + 2..]).map_err(|_| "what follows the empty line is no signed note")?;
        Ok(Self { old, proof, note })
    }

    /// Writes the body of a request.
    pub fn to_body(&self) -> String {
        let mut body = format!("old {}\n", self.old);
        for hash in &self.proof {
            writeln!(body, "{hash}").expect("a string takes everything");
        }
        write!(body, "\n{}", self.note).expect("a string takes everything");
        body
    }

    /// Returns the origin that the request's checkpoint names, unverified.
    pub fn origin(&self) -> Option<KeyName> {
        Checkpoint::parse(self.note.text()).ok().map(|checkpoint| checkpoint.origin().clone())
    }
}

/// Decides what a witness answers.
///
/// `keys` are those the witness trusts for the request's origin; none means the log is unknown. `seen` is the head it
/// last cosigned of that log.
pub fn answer(request: &AddCheckpoint, keys: &[VerifierKey], seen: Seen) -> Answer {
    let Ok(checkpoint) = Checkpoint::parse(request.note.text()) else {
        return Answer::Malformed("the note is no checkpoint");
    };
    let keys: Vec<_> = keys.iter().filter(|key| key.name() == checkpoint.origin()).collect();
    if keys.is_empty() {
        return Answer::UnknownLog;
    }
    let signed = match request.note.verify(keys) {
        Ok(signed) => signed,
        Err(NoteError::Bad { .. } | NoteError::Unsigned) => return Answer::NotSigned,
        Err(_) => return Answer::Malformed("the note cannot be verified"),
    };
    let log = signed[0].key;
    let (from, to) = (request.old, checkpoint.size());
    if from > to {
        return Answer::Malformed("the old size is more than that of the checkpoint");
    }
    if from != seen.size {
        return Answer::Conflict(seen.size);
    }
    if verify_consistency(from, seen.root, to, checkpoint.root(), &request.proof).is_err() {
        return Answer::NotConsistent;
    }
    match SignedCheckpoint::of_note(request.note.clone(), log) {
        Ok(checkpoint) => Answer::Cosign(checkpoint),
        Err(_) => Answer::NotSigned,
    }
}
