//! Receipts: that an entry is in a log and witnesses have seen it, in one file that is checked offline.
//!
//! # Source
//!
//! C2SP tlog-proof (draft), `c2sp.org/tlog-proof@v1`. The extra data are not authenticated by themselves; what we put
//! there (an opening) is checked against the entry.

use crate::checkpoint::decimal;
use crate::hash::Hash;
use crate::note::MAX_NOTE_BYTES;
use crate::policy::{Attested, Refusal, TrustPolicy};
use crate::proof::{MAX_PROOF_HASHES, ProofError, verify_inclusion};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::fmt;

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// Most bytes of a receipt that is read: a note, and extra data of an entry's size.
pub const MAX_RECEIPT_BYTES: usize = MAX_NOTE_BYTES + 1024 * 1024;

/// A proof that an entry is in a log, not checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// What the application needs besides; not authenticated.
    pub extra: Option<Vec<u8>>,
    /// Where the entry is in the log, from 0.
    pub index: u64,
    /// From the leaf's sibling to the root's child.
    pub proof: Vec<Hash>,
    /// The signed checkpoint, verbatim.
    pub checkpoint: Vec<u8>,
}

/// What is wrong with the text of a receipt.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReceiptError {
    /// It is larger than anything sensible.
    #[error("receipt has {0} bytes, more than the {MAX_RECEIPT_BYTES} that are read")]
    TooLarge(usize),
    /// It does not begin as such files do.
    #[error("file does not begin with `{HEADER}`: it is no receipt")]
    Header,
    /// The extra data are not base64.
    #[error("the `extra` line of the receipt is not base64")]
    Extra,
    /// There is no index.
    #[error("the receipt has no `index` line with a number in decimal digits")]
    Index,
    /// A line of the proof is no hash.
    #[error("hash {0} of the receipt's proof is not base64 of 32 bytes")]
    Hash(usize),
    /// The proof is longer than any can be.
    #[error("the receipt's proof has more than {MAX_PROOF_HASHES} hashes")]
    TooLong,
    /// It ends before its checkpoint.
    #[error("the receipt ends before its checkpoint")]
    Cut,
}

/// Why a receipt proves nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unproven {
    /// Its checkpoint does not satisfy the policy.
    #[error(transparent)]
    Checkpoint(#[from] Refusal),
    /// Its proof does not lead to the checkpoint's root.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl Receipt {
    /// Reads a receipt.
    ///
    /// # Errors
    ///
    /// [`ReceiptError`]. The checkpoint is not looked at.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        if bytes.len() > MAX_RECEIPT_BYTES {
            return Err(ReceiptError::TooLarge(bytes.len()));
        }
        let mut rest = bytes;
        let mut line = || -> Option<&str> {
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            let (line, after) = rest.split_at(end);
            rest = &after[1..];
            std::str::from_utf8(line).ok()
        };
        if line() != Some(HEADER) {
            return Err(ReceiptError::Header);
        }
        let mut next = line().ok_or(ReceiptError::Index)?;
        let mut extra = None;
        if let Some(base64) = next.strip_prefix("extra ") {
            extra = Some(BASE64_STANDARD.decode(base64).map_err(|_| ReceiptError::Extra)?);
            next = line().ok_or(ReceiptError::Index)?;
        }
        let index = next.strip_prefix("index ").and_then(decimal).ok_or(ReceiptError::Index)?;
        let mut proof = Vec::new();
        loop {
            match line().ok_or(ReceiptError::Cut)? {
                "" => break,
                _ if proof.len() == MAX_PROOF_HASHES => return Err(ReceiptError::TooLong),
                hash => proof.push(Hash::from_base64(hash).ok_or(ReceiptError::Hash(proof.len() + 1))?),
            }
        }
        if rest.is_empty() {
            return Err(ReceiptError::Cut);
        }
        Ok(Self { extra, index, proof, checkpoint: rest.to_vec() })
    }

    /// Checks that `entry` is in a log of the policy, under a checkpoint that a quorum of witnesses saw.
    ///
    /// # Errors
    ///
    /// [`Unproven`].
    pub fn verify(&self, entry: &[u8], policy: &TrustPolicy) -> Result<Attested, Unproven> {
        self.verify_leaf(Hash::leaf(entry), policy)
    }

    /// The same, where only the hash of the leaf is at hand.
    ///
    /// # Errors
    ///
    /// [`Unproven`].
    pub fn verify_leaf(&self, leaf: Hash, policy: &TrustPolicy) -> Result<Attested, Unproven> {
        let attested = policy.attest(&self.checkpoint)?;
        let head = attested.checkpoint.checkpoint();
        verify_inclusion(leaf, self.index, head.size(), &self.proof, head.root())?;
        Ok(attested)
    }

    /// Writes the receipt.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.to_string().into_bytes();
        bytes.extend_from_slice(&self.checkpoint);
        bytes
    }
}

/// Writes all but the checkpoint, which need not be text.
impl fmt::Display for Receipt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(formatter, "extra {}", BASE64_STANDARD.encode(extra))?;
        }
        writeln!(formatter, "index {}", self.index)?;
        self.proof.iter().try_for_each(|hash| writeln!(formatter, "{hash}"))?;
        writeln!(formatter)
    }
}
