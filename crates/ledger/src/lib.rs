//! The ledger, read and checked: formats, proofs, commitments, samples. Nothing here writes one.
//!
//! A log of [`entry`]s as C2SP tlog-tiles has it, so that tools nobody here wrote can read it: static files, a signed and
//! witnessed head, proofs of a few hashes. Personal data never enter it; entries hold commitments, which can be opened as
//! long as the key of the person exists.
//!
//! Out of scope: disk, network, clock and randomness. Files come through [`reader::Source`]; times and seeds are handed
//! in. Writing a log is `sequencer`'s, following one over HTTP and cosigning is `witness`'s.
//!
//! In reading order: [`hash`], [`tree`], [`tile`] and [`proof`] (the tree); [`key`], [`note`], [`checkpoint`], [`policy`],
//! [`receipt`] and [`witness`] (who says so); [`entry`], [`commitment`], [`row`], [`vault`] (what is said, and what not);
//! [`sampling`], [`beacon`], [`opening`] and [`answer`] (showing a sample); [`reader`] (reading what others wrote).
//!
//! # Example
//!
//! ```
//! use vigie_ledger::{checkpoint::Checkpoint, hash::Hash, key::{Algorithm, SignerKey}, note::Note, policy::TrustPolicy, tree::Frontier};
//!
//! let mut tree = Frontier::new();
//! tree.append(b"first", |_| ());
//! let log = SignerKey::from_seed("operator.example/accesses".parse()?, Algorithm::Ed25519, [7; 32]);
//! let head = Checkpoint::new(log.verifier().name().clone(), tree.size(), tree.root());
//! let mut note = Note::new(head.to_string())?;
//! note.add(log.sign(note.text()));
//!
//! let policy = TrustPolicy::of_log(log.verifier().clone());
//! let attested = policy.attest(note.to_string().as_bytes())?;
//! assert_eq!(attested.checkpoint.checkpoint().root(), Hash::leaf(b"first"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod hash;
pub mod proof;
pub mod tile;
pub mod tree;

pub mod checkpoint;
pub mod key;
pub mod note;
pub mod policy;
pub mod receipt;
pub mod witness;

pub mod commitment;
pub mod entry;
pub mod row;
pub mod vault;

pub mod answer;
pub mod beacon;
pub mod opening;
pub mod sampling;

pub mod reader;

mod causes;

#[cfg(test)]
mod tests;

pub use causes::in_full;
pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use entry::{Entry, EventId, Kind};
pub use hash::Hash;
pub use key::{KeyName, SignerKey, VerifierKey};
pub use note::Note;
pub use policy::TrustPolicy;
pub use receipt::Receipt;
