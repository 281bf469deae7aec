//! A record: the entry that was handed to the ledger, and what its commitments open to.
//!
//! Out of scope: sealing and files (`seal`, `segment`).
//!
//! The surprise: the entry is kept as it was handed in, without the row base that the ledger fills. Handing it in again
//! gives the place that it has, because events are logged once.

use crate::rows::{NotOpened, Rows, take};
use std::fmt;
use vigie_ledger::commitment::{MAX_ROW_BYTES, Opening, Place, Salt};
use vigie_ledger::entry::ENTRY_BYTES;
use vigie_ledger::opening::Part;
use vigie_ledger::{Entry, EventId, Hash};

const VERSION: u8 = 1;

/// Most bytes of a record.
pub const MAX_RECORD_BYTES: usize = 256 * 1024 * 1024;

/// What one entry of the ledger opens to.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// The entry as it was handed to the ledger: its row base is 0.
    pub entry: Entry,
    /// When it happened, in milliseconds since 1970; the entry says the minute only.
    pub time_ms: u64,
    /// The salt of the header's commitment.
    pub header_salt: Salt,
    /// The header, as it was committed to.
    pub header: Vec<u8>,
    /// The rows.
    pub rows: Rows,
}

/// Bytes that are no record.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("{0} bytes are no record of this version")]
pub struct NotARecord(pub usize);

impl Record {
    /// Returns the event's name.
    pub fn event_id(&self) -> EventId {
        self.entry.event_id
    }

    /// Tells whether header and rows are what the entry commits to. Costs as much as making the record did.
    pub fn is_sound(&self) -> bool {
        let header = Opening {
            event_id: self.event_id(),
            place: Place::Header,
            salt: self.header_salt,
            bytes: self.header.clone(),
        };
        header.commitment() == self.entry.header_commit
            && u64::from(self.rows.count()) == self.entry.row_count
            && self.rows.root(self.event_id()) == self.entry.rows_root
    }

    /// Opens the header.
    pub fn header_part(&self) -> Part {
        Part::Header { salt: self.header_salt, bytes: self.header.clone() }
    }

    /// Opens a row, with the proof that its commitment is under the entry's root.
    ///
    /// # Errors
    ///
    /// [`NotOpened`].
    pub fn row_part(&self, row: u64) -> Result<Part, NotOpened> {
        let (salt, bytes) = self.rows.open(row)?;
        Ok(Part::Row { row, salt, proof: self.row_proof(row), bytes })
    }

    fn row_proof(&self, row: u64) -> Vec<Hash> {
        self.rows.proof(self.event_id(), row as u32)
    }

    /// Writes the record.
    pub fn to_bytes(&self) -> Vec<u8> {
        let fixed = 1 + ENTRY_BYTES + 8 + 32 + 4;
        let mut bytes = Vec::with_capacity(fixed + self.header.len() + self.rows.list_bytes());
        bytes.push(VERSION);
        bytes.extend(self.entry.to_bytes());
        bytes.extend(self.time_ms.to_be_bytes());
        bytes.extend(self.header_salt.0);
        bytes.extend((self.header.len() as u32).to_be_bytes());
        bytes.extend(&self.header);
        self.rows.write(&mut bytes);
        bytes
    }

    /// Reads what [`Record::to_bytes`] writes.
    ///
    /// # Errors
    ///
    /// [`NotARecord`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NotARecord> {
        Self::read(bytes).ok_or(NotARecord(bytes.len()))
    }

    fn read(mut bytes: &[u8]) -> Option<Self> {
        let [version] = take(&mut bytes)?;
        let entry = Entry::parse(&take::<ENTRY_BYTES>(&mut bytes)?).ok()?;
        let (time_ms, salt) = (u64::from_be_bytes(take(&mut bytes)?), Salt(take(&mut bytes)?));
        let length = u32::from_be_bytes(take(&mut bytes)?) as usize;
        let (header, rest) = bytes.split_at_checked(length).filter(|_| length <= MAX_ROW_BYTES)?;
        let rows = Rows::read(rest)?;
        let placed = entry.row_base == 0 && entry.row_count == u64::from(rows.count());
        (version == VERSION && placed).then(|| Self {
            entry,
            time_ms,
            header_salt: salt,
            header: header.to_vec(),
            rows,
        })
    }
}

/// Header and rows are secret: only the event is shown.
impl fmt::Debug for Record {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Record({}, {:?})", self.event_id(), self.rows)
    }
}
