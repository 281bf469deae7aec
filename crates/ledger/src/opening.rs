//! What shows one sampled index: the entry, and the row or header under its commitment, or that it was erased.
//!
//! An opening travels in the `extra` line of a receipt, which proves the entry. Nothing in it is believed by itself: each
//! part is checked against the entry, and the entry against the tree.

use crate::checkpoint::Checkpoint;
use crate::commitment::{MAX_ROW_BYTES, Opening, Place, Salt};
use crate::entry::{ENTRY_BYTES, Entry, EntryError, Kind};
use crate::hash::Hash;
use crate::proof::{MAX_PROOF_HASHES, ProofError, verify_inclusion};

const MAGIC: &[u8; 8] = b"VIGIEOP1";

/// What is shown of one sampled index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The entry's bytes, as logged.
    pub entry: [u8; ENTRY_BYTES],
    /// What is shown of it.
    pub part: Part,
}

/// What is shown of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The header, opened.
    Header {
        /// Its salt.
        salt: Salt,
        /// What was committed to.
        bytes: Vec<u8>,
    },
    /// A row, opened.
    Row {
        /// Its place within the event.
        row: u64,
        /// Its salt.
        salt: Salt,
        /// That its commitment is under the entry's `rows_root`.
        proof: Vec<Hash>,
        /// What was committed to.
        bytes: Vec<u8>,
    },
    /// A row that cannot be opened: the key of its subject was destroyed, which the log says in an entry before the head.
    Erased {
        /// Its place within the event.
        row: u64,
        /// The erasure's entry.
        erasure: [u8; ENTRY_BYTES],
        /// Where that is in the log.
        erasure_index: u64,
        /// That it is there, below the demand's head.
        erasure_proof: Vec<Hash>,
        /// Where the row is in the list of rows that the erasure touched.
        position: u64,
        /// How long that list is. Nobody vouches for it, nor for the position; the root binds the row all the same.
        list_size: u64,
        /// That it is in that list, whose root is the erasure's `peer_ref`.
        list_proof: Vec<Hash>,
    },
}

/// Why bytes are no opening.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("the receipt's extra data are no opening: {0}")]
pub struct NotAnOpening(&'static str);

/// Why an opening shows nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotShown {
    /// An entry in it cannot be read.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The row belongs to another entry.
    #[error("row {row} is not among the rows from {base} to {end}, the end excluded, of the entry shown")]
    AnotherEntry {
        /// The row demanded, by its index in the log.
        row: u64,
        /// First row of the entry.
        base: u64,
        /// End of its rows, excluded.
        end: u64,
    },
    /// Another row of the entry is shown.
    #[error("row {found} of the event is shown, {expected} was demanded")]
    AnotherRow {
        /// The place shown.
        found: u64,
        /// The place demanded.
        expected: u64,
    },
    /// The header is not what was committed to.
    #[error("the header shown is not the one that the entry commits to")]
    Header,
    /// The row is not what was committed to.
    #[error("the row shown is not one that the entry commits to")]
    Row(#[source] ProofError),
    /// The erasure was logged after the head from which the sample is drawn, or not at all.
    #[error("the erasure is not in the log before the demand")]
    ErasureNotLogged(#[source] ProofError),
    /// The entry shown is no erasure.
    #[error("the entry shown as an erasure is of kind `{0}`")]
    NoErasure(&'static str),
    /// The erasure did not touch the row.
    #[error("the erasure shown did not touch row {0}")]
    NotErased(u64),
    /// Something else was demanded.
    #[error("a {found} is shown, a {expected} was demanded")]
    Unit {
        /// What is shown.
        found: &'static str,
        /// What was demanded.
        expected: &'static str,
    },
}

/// What an opening shows, once checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The bytes that were committed to.
    Opened(Vec<u8>),
    /// The row was erased before the demand.
    Erased,
}

impl Shown {
    /// Checks that this shows row `row` of the log (by its index among all rows). The entry is taken as proved.
    ///
    /// `head` is that of the demand: erasures count if they are below it.
    ///
    /// # Errors
    ///
    /// [`NotShown`].
    pub fn check_row(&self, row: u64, head: &Checkpoint) -> Result<Seen, NotShown> {
        let entry = Entry::parse(&self.entry)?;
        let (base, end) = (entry.row_base, entry.row_base + entry.row_count);
        if !(base..end).contains(&row) {
            return Err(NotShown::AnotherEntry { row, base, end });
        }
        let expected = row - base;
        let placed =
            |found: u64| if found == expected { Ok(()) } else { Err(NotShown::AnotherRow { found, expected }) };
        match &self.part {
            Part::Header { .. } => Err(NotShown::Unit { found: "header", expected: "row" }),
            Part::Row { row, salt, proof, bytes } => {
                placed(*row)?;
                let place = Place::Row(*row);
                let opening = Opening { event_id: entry.event_id, place, salt: *salt, bytes: bytes.clone() };
                let leaf = Hash::leaf(&opening.commitment().0);
                verify_inclusion(leaf, *row, entry.row_count, proof, entry.rows_root).map_err(NotShown::Row)?;
                Ok(Seen::Opened(opening.bytes))
            }
            Part::Erased { row: place, erasure, erasure_index, erasure_proof, position, list_size, list_proof } => {
                placed(*place)?;
                verify_inclusion(Hash::leaf(erasure), *erasure_index, head.size(), erasure_proof, head.root())
                    .map_err(NotShown::ErasureNotLogged)?;
                let erasure = Entry::parse(erasure)?;
                if erasure.kind != Kind::Erasure {
                    return Err(NotShown::NoErasure(erasure.kind.name()));
                }
                verify_inclusion(erased_leaf(row), *position, *list_size, list_proof, erasure.peer_ref)
                    .map_err(|_| NotShown::NotErased(row))?;
                Ok(Seen::Erased)
            }
        }
    }

    /// Checks that this shows the header of the entry. The entry is taken as proved.
    ///
    /// # Errors
    ///
    /// [`NotShown`].
    pub fn check_header(&self) -> Result<Vec<u8>, NotShown> {
        let entry = Entry::parse(&self.entry)?;
        let Part::Header { salt, bytes } = &self.part else {
            return Err(NotShown::Unit { found: "row", expected: "header" });
        };
        let opening = Opening { event_id: entry.event_id, place: Place::Header, salt: *salt, bytes: bytes.clone() };
        if opening.commitment() == entry.header_commit { Ok(opening.bytes) } else { Err(NotShown::Header) }
    }

    /// Writes the opening.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.entry);
        match &self.part {
            Part::Header { salt, bytes: header } => {
                bytes.push(0);
                bytes.extend(salt.0);
                push_bytes(&mut bytes, header);
            }
            Part::Row { row, salt, proof, bytes: opened } => {
                bytes.push(1);
                bytes.extend(row.to_be_bytes());
                bytes.extend(salt.0);
                push_hashes(&mut bytes, proof);
                push_bytes(&mut bytes, opened);
            }
            Part::Erased { row, erasure, erasure_index, erasure_proof, position, list_size, list_proof } => {
                bytes.push(2);
                bytes.extend(row.to_be_bytes());
                bytes.extend(erasure);
                bytes.extend(erasure_index.to_be_bytes());
                push_hashes(&mut bytes, erasure_proof);
                bytes.extend(position.to_be_bytes());
                bytes.extend(list_size.to_be_bytes());
                push_hashes(&mut bytes, list_proof);
            }
        }
        bytes
    }

    /// Reads what [`Shown::to_bytes`] writes.
    ///
    /// # Errors
    ///
    /// [`NotAnOpening`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NotAnOpening> {
        let mut rest = Rest(bytes);
        if rest.array::<8>()? != *MAGIC {
            return Err(NotAnOpening("they do not begin as openings do"));
        }
        let entry = rest.array()?;
        let part = match rest.array::<1>()? {
            [0] => Part::Header { salt: Salt(rest.array()?), bytes: rest.bytes()? },
            [1] => Part::Row {
                row: rest.number()?,
                salt: Salt(rest.array()?),
                proof: rest.hashes()?,
                bytes: rest.bytes()?,
            },
            [2] => Part::Erased {
                row: rest.number()?,
                erasure: rest.array()?,
                erasure_index: rest.number()?,
                erasure_proof: rest.hashes()?,
                position: rest.number()?,
                list_size: rest.number()?,
                list_proof: rest.hashes()?,
            },
            _ => return Err(NotAnOpening("they show something that is not known")),
        };
        if rest.0.is_empty() { Ok(Self { entry, part }) } else { Err(NotAnOpening("they go on after their end")) }
    }
}

/// Returns the leaf of a row in the list of rows that an erasure touched. The list is in ascending order.
pub fn erased_leaf(row: u64) -> Hash {
    Hash::leaf(&row.to_be_bytes())
}

fn push_bytes(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend((part.len() as u32).to_be_bytes());
    bytes.extend(part);
}

fn push_hashes(bytes: &mut Vec<u8>, hashes: &[Hash]) {
    bytes.push(hashes.len() as u8);
    bytes.extend(hashes.iter().flat_map(|hash| hash.0));
}

struct Rest<'bytes>(&'bytes [u8]);

impl<'bytes> Rest<'bytes> {
    fn take(&mut self, length: usize) -> Result<&'bytes [u8], NotAnOpening> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(NotAnOpening("they are cut"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], NotAnOpening> {
        Ok(self.take(N)?.try_into().expect("as many bytes as were taken"))
    }

    fn number(&mut self) -> Result<u64, NotAnOpening> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    fn bytes(&mut self) -> Result<Vec<u8>, NotAnOpening> {
        let length = u32::from_be_bytes(self.array()?) as usize;
        if length > MAX_ROW_BYTES {
            return Err(NotAnOpening("they hold more than a row"));
        }
        Ok(self.take(length)?.to_vec())
    }

    fn hashes(&mut self) -> Result<Vec<Hash>, NotAnOpening> {
        let [count] = self.array::<1>()?;
        if usize::from(count) > MAX_PROOF_HASHES {
            return Err(NotAnOpening("they hold a proof longer than any can be"));
        }
        (0..count).map(|_| Ok(Hash(self.array()?))).collect()
    }
}
