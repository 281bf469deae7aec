//! An entry of a ledger: 148 bytes that say that something happened, when about, and how many rows it touched.
//!
//! Everything about people is committed to, never written: without the keys of its owner an entry tells nothing of them.
//! The only field that the sequencer fills is `row_base`, so that rows, too, are numbered without a gap.
//!
//! # Source
//!
//! Our own format. All integers are big-endian.

use crate::hash::{Hash, hex};
use std::fmt;

/// Bytes of an entry.
pub const ENTRY_BYTES: usize = 148;
/// The first eight bytes: format and version.
pub const MAGIC: [u8; 8] = *b"VIGIELG1";
/// Where `row_base` lies, for the sequencer, which fills it without reading the rest.
pub const ROW_BASE_AT: usize = 20;
/// Where `row_count` lies.
pub const ROW_COUNT_AT: usize = 28;
/// Where `event_id` lies.
pub const EVENT_ID_AT: usize = 36;
/// Granularity of the time in an entry, in seconds: the exact instant of an access says too much.
pub const BUCKET_SECONDS: u64 = 60;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A bundle of evidence was sealed.
    Capture,
    /// Personal data were read.
    Access,
    /// Personal data were handed to another controller.
    TransferOut,
    /// Personal data were received from another controller; `peer_ref` is the leaf hash of the sender's entry.
    TransferIn,
    /// Keys of people were destroyed; `peer_ref` is the root over the indexes of the rows that died with them.
    Erasure,
    /// An authority demanded a sample; `peer_ref` is the hash of its note.
    Demand,
    /// A demand was answered; `peer_ref` is the hash of the answer.
    Answer,
    /// Nothing happened: the log is alive.
    Heartbeat,
    /// A key of the ledger came or went.
    KeyEvent,
    /// A person chose: gave, refused or withdrew. One row, the person's.
    Choice,
}

/// What else is public about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(u8);

/// A random name that the gate gives an event. No two entries of a log share one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub [u8; 16]);

/// An entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// What happened.
    pub kind: Kind,
    /// What else is public.
    pub flags: Flags,
    /// Seconds since 1970, a multiple of [`BUCKET_SECONDS`].
    pub time_bucket: u64,
    /// Rows in this log before this entry. Zero until the sequencer fills it.
    pub row_base: u64,
    /// Rows of this event.
    pub row_count: u64,
    /// The name of the event.
    pub event_id: EventId,
    /// Root over the commitments of the rows; [`Hash::EMPTY`] without rows.
    pub rows_root: Hash,
    /// Commitment to who, why, on which legal basis, by which decision.
    pub header_commit: Hash,
    /// What the event refers to; depends on the kind, zero if nothing.
    pub peer_ref: Hash,
}

/// Why bytes are no entry.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EntryError {
    /// Wrong length.
    #[error("entry has {0} bytes, expected {ENTRY_BYTES}")]
    Length(usize),
    /// Another format or version.
    #[error("entry begins with `{0}`, expected `VIGIELG1`")]
    Magic(String),
    /// A kind that is not known.
    #[error("entry is of kind {0}; known are 1 to 10")]
    Kind(u8),
    /// A flag that is not known, or the reserved bytes are used.
    #[error("entry has flags or reserved bytes that are not known")]
    Flags,
    /// The time is finer than published times are.
    #[error("entry has the time {0}, which is no multiple of {BUCKET_SECONDS} s")]
    Time(u64),
    /// The rows cannot be numbered.
    #[error("entry has {count} rows after {base}: more than can be numbered")]
    Rows {
        /// Rows before.
        base: u64,
        /// Rows of this entry.
        count: u64,
    },
}

impl Kind {
    /// Returns the byte by which entries tell it.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Capture => 1,
            Self::Access => 2,
            Self::TransferOut => 3,
            Self::TransferIn => 4,
            Self::Erasure => 5,
            Self::Demand => 6,
            Self::Answer => 7,
            Self::Heartbeat => 8,
            Self::KeyEvent => 9,
            Self::Choice => 10,
        }
    }

    /// Returns the name used in tables and options.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Access => "access",
            Self::TransferOut => "transfer-out",
            Self::TransferIn => "transfer-in",
            Self::Erasure => "erasure",
            Self::Demand => "demand",
            Self::Answer => "answer",
            Self::Heartbeat => "heartbeat",
            Self::KeyEvent => "key-event",
            Self::Choice => "choice",
        }
    }

    /// Lists all kinds, in the order of their bytes.
    pub const ALL: [Self; 10] = [
        Self::Capture,
        Self::Access,
        Self::TransferOut,
        Self::TransferIn,
        Self::Erasure,
        Self::Demand,
        Self::Answer,
        Self::Heartbeat,
        Self::KeyEvent,
        Self::Choice,
    ];
}

impl Flags {
    /// Nothing in particular.
    pub const NONE: Self = Self(0);
    /// The event was about to happen; another entry with its outcome follows, or it did not come to an end.
    pub const INTENT: Self = Self(1);
    /// The event was asked for and denied.
    pub const DENIED: Self = Self(2);
    /// The event was let through against the rule, by two people, for a reason (DA-09).
    pub const BREAK_GLASS: Self = Self(4);

    const KNOWN: u8 = 7;

    /// Returns both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Tells whether all of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "EventId({self})")
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex(&self.0))
    }
}

/// Rounds a time down to the granularity that entries have.
pub const fn bucket(seconds: u64) -> u64 {
    seconds - seconds % BUCKET_SECONDS
}

impl Entry {
    /// Makes an entry of an event without rows. `time` in seconds since 1970 is rounded down.
    pub fn new(kind: Kind, time: u64, event_id: EventId, header_commit: Hash) -> Self {
        Self {
            kind,
            flags: Flags::NONE,
            time_bucket: bucket(time),
            row_base: 0,
            row_count: 0,
            event_id,
            rows_root: Hash::EMPTY,
            header_commit,
            peer_ref: Hash([0; 32]),
        }
    }

    /// Writes the entry.
    pub fn to_bytes(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8] = self.kind.byte();
        bytes[9] = self.flags.0;
        bytes[12..20].copy_from_slice(&self.time_bucket.to_be_bytes());
        bytes[ROW_BASE_AT..28].copy_from_slice(&self.row_base.to_be_bytes());
        bytes[ROW_COUNT_AT..36].copy_from_slice(&self.row_count.to_be_bytes());
        bytes[EVENT_ID_AT..52].copy_from_slice(&self.event_id.0);
        bytes[52..84].copy_from_slice(&self.rows_root.0);
        bytes[84..116].copy_from_slice(&self.header_commit.0);
        bytes[116..].copy_from_slice(&self.peer_ref.0);
        bytes
    }

    /// Reads an entry.
    ///
    /// # Errors
    ///
    /// [`EntryError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        let bytes: &[u8; ENTRY_BYTES] = bytes.try_into().map_err(|_| EntryError::Length(bytes.len()))?;
        if bytes[..8] != MAGIC {
            return Err(EntryError::Magic(String::from_utf8_lossy(&bytes[..8]).escape_default().to_string()));
        }
        let kind = Kind::ALL.into_iter().find(|kind| kind.byte() == bytes[8]).ok_or(EntryError::Kind(bytes[8]))?;
        if bytes[9] & !Flags::KNOWN != 0 || bytes[10..12] != [0, 0] {
            return Err(EntryError::Flags);
        }
        let number = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let hash = |at: usize| Hash(bytes[at..at + 32].try_into().expect("32 bytes"));
        let (time_bucket, row_base, row_count) = (number(12), number(ROW_BASE_AT), number(ROW_COUNT_AT));
        if time_bucket % BUCKET_SECONDS != 0 {
            return Err(EntryError::Time(time_bucket));
        }
        if row_base.checked_add(row_count).is_none() {
            return Err(EntryError::Rows { base: row_base, count: row_count });
        }
        Ok(Self {
            kind,
            flags: Flags(bytes[9]),
            time_bucket,
            row_base,
            row_count,
            event_id: EventId(bytes[EVENT_ID_AT..52].try_into().expect("16 bytes")),
            rows_root: hash(52),
            header_commit: hash(84),
            peer_ref: hash(116),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_read_is_written_back(mut bytes: [u8; 96], kind in 0_u8..12, flags in 0_u8..9, minutes in 0_u64..1 << 40, head: [u8; 36]) {
            bytes[0] &= 0x7f;
            let mut entry = MAGIC.to_vec();
            entry.extend([kind, flags, 0, 0]);
            entry.extend((minutes * 60).to_be_bytes());
            entry.extend(&head[..32]);
            entry.extend(bytes);
            match Entry::parse(&entry) {
                Ok(read) => prop_assert_eq!(read.to_bytes().to_vec(), entry),
                Err(error) => prop_assert!(kind == 0 || kind > 9 || flags > 7 || matches!(error, EntryError::Rows { .. }), "{}", error),
            }
        }
    }

    #[test]
    fn each_field_is_where_the_format_says() {
        let entry = Entry {
            row_base: 3,
            row_count: 2,
            rows_root: Hash([5; 32]),
            peer_ref: Hash([9; 32]),
            flags: Flags::DENIED.and(Flags::INTENT),
            ..Entry::new(Kind::Access, 1_700_000_059, EventId([4; 16]), Hash([7; 32]))
        };
        let bytes = entry.to_bytes();
        assert_eq!(&bytes[..12], b"VIGIELG1\x02\x03\0\0");
        assert_eq!(bytes[12..20], 1_700_000_040_u64.to_be_bytes());
        assert_eq!((bytes[27], bytes[35], bytes[36], bytes[52], bytes[84], bytes[116]), (3, 2, 4, 5, 7, 9));
        assert_eq!(Entry::parse(&bytes), Ok(entry));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let good = Entry::new(Kind::Heartbeat, 60, EventId([0; 16]), Hash::EMPTY).to_bytes();
        let with = |at: usize, byte: u8| {
            let mut bytes = good;
            bytes[at] = byte;
            Entry::parse(&bytes).map(|_| ())
        };
        assert_eq!(with(7, b'2'), Err(EntryError::Magic("VIGIELG2".to_owned())));
        assert_eq!(with(8, 11), Err(EntryError::Kind(11)));
        assert_eq!(with(9, 8), Err(EntryError::Flags));
        assert_eq!(with(10, 1), Err(EntryError::Flags));
        assert_eq!(with(19, 61), Err(EntryError::Time(61)));
        assert_eq!(Entry::parse(&good[1..]), Err(EntryError::Length(147)));
    }
}
