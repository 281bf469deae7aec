//! What is taken in: entries on their way, one behind the other as bundles have them, and what becomes of each.
//!
//! Out of scope: their order and place, which the `writer` gives.

use vigie_ledger::{
    Entry, Hash, Kind,
    entry::{EntryError, EventId},
    tile::{MAX_ENTRY_BYTES, push_entry},
};

use crate::home::Stream;

/// Entries to be appended, each behind its length of two bytes, as bundles have them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    // INVARIANT (a batch can be read): lengths and entries alternate, and end together.
    bytes: Vec<u8>,
    count: u32,
}

/// Where an entry is. The promise is kept from the moment that this is handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Appended {
    /// Its place in the log, from 0.
    pub index: u64,
    /// The hash of its leaf, with the row base filled in.
    #[serde(serialize_with = "as_base64")]
    pub leaf: Hash,
    /// Rows in the log before it; 0 in a log of opaque entries.
    pub row_base: u64,
}

fn as_base64<S: serde::Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(hash)
}

/// Why an entry is not taken. Nothing of it is in the log then.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum Refused {
    /// It does not fit a bundle.
    #[error("entry has {0} bytes, more than the {MAX_ENTRY_BYTES} that a log takes")]
    TooLong(usize),
    /// It is no entry of the format.
    #[error(transparent)]
    Format(std::sync::Arc<EntryError>),
    /// It comes with a row base, which only the log knows.
    #[error("entry has the row base {0}, expected 0: the log fills it")]
    RowBase(u64),
    /// Its event is in the log, and said something else.
    #[error("event `{event}` is in the log as entry {index}, with other content")]
    Repeated {
        /// The event.
        event: EventId,
        /// The entry that is there.
        index: u64,
    },
    /// It says that the log was alive before it said so last.
    #[error("heartbeat is of the time {time}, before the last one at {latest}")]
    Heartbeat {
        /// Its time, in seconds since 1970.
        time: u64,
        /// That of the last heartbeat.
        latest: u64,
    },
    /// Its rows cannot be numbered.
    #[error("entry has {count} rows after {base}: more than can be numbered")]
    Rows {
        /// Rows of the log.
        base: u64,
        /// Rows of the entry.
        count: u64,
    },
}

/// Bytes that are no batch.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("the batch ends within entry {0}, counted from 0")]
pub struct Cut(pub u32);

impl Batch {
    /// Makes a batch without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry.
    ///
    /// # Errors
    ///
    /// [`Refused::TooLong`].
    pub fn push(&mut self, entry: &[u8]) -> Result<(), Refused> {
        push_entry(&mut self.bytes, entry).map_err(|_| Refused::TooLong(entry.len()))?;
        self.count += 1;
        Ok(())
    }

    /// Reads entries, each behind its length of two bytes.
    ///
    /// # Errors
    ///
    /// [`Cut`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Cut> {
        let mut count = 0;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (length, after) = rest.split_first_chunk::<2>().ok_or(Cut(count))?;
            rest = after.get(usize::from(u16::from_be_bytes(*length))..).ok_or(Cut(count))?;
            count += 1;
        }
        Ok(Self { bytes, count })
    }

    /// Returns the entries, each behind its length.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns how many entries it has.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Lists the entries.
    pub fn entries(&self) -> impl Iterator<Item = &[u8]> {
        entries(&self.bytes)
    }

    /// Checks what can be known of an entry without the log.
    pub(crate) fn check(entry: &[u8], stream: Stream) -> Result<(), Refused> {
        if stream == Stream::Opaque {
            return Ok(());
        }
        let entry = Entry::parse(entry).map_err(|error| Refused::Format(std::sync::Arc::new(error)))?;
        if entry.row_base == 0 { Ok(()) } else { Err(Refused::RowBase(entry.row_base)) }
    }
}

impl<T: AsRef<[u8]>> TryFrom<&[T]> for Batch {
    type Error = Refused;

    fn try_from(entries: &[T]) -> Result<Self, Refused> {
        let mut batch = Self::new();
        entries.iter().try_for_each(|entry| batch.push(entry.as_ref()))?;
        Ok(batch)
    }
}

/// Lists entries that are known to be whole.
pub(crate) fn entries(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, after) = bytes.split_first_chunk::<2>()?;
        let (entry, rest) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        bytes = rest;
        Some(entry)
    })
}

/// Tells whether an entry of 148 bytes is a heartbeat, and of when.
pub(crate) fn heartbeat(entry: &[u8]) -> Option<u64> {
    (entry[8] == Kind::Heartbeat.byte())
        .then(|| u64::from_be_bytes(entry[12..20].try_into().expect("an entry has 148 bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_read_as_it_was_written_and_never_in_part() {
        let mut batch = Batch::new();
        for entry in [b"".to_vec(), b"a".to_vec(), vec![7; 65_535]] {
            batch.push(&entry).unwrap();
        }
        assert_eq!(batch.push(&vec![0; 65_536]), Err(Refused::TooLong(65_536)));
        let read = Batch::from_bytes(batch.as_bytes().to_vec()).unwrap();
        assert_eq!(read, batch);
        assert_eq!(read.entries().map(<[u8]>::len).collect::<Vec<_>>(), [0, 1, 65_535]);
        for (cut, entry) in [(1, 0), (3, 1), (4, 1), (6, 2), (100, 2)] {
            assert_eq!(Batch::from_bytes(batch.as_bytes()[..cut].to_vec()), Err(Cut(entry)));
        }
    }
}
