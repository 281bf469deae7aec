//! Commitments to rows and headers, and their openings: what is in the log instead of personal data.
//!
//! A commitment is an HMAC under a salt that only the owner of the subject's key can derive. It says nothing of the row
//! (the salt is unpredictable), and cannot be opened to another row (HMAC-SHA-256 with keys of one length is collision
//! resistant). When the subject's key is destroyed, the salt is gone, and with it every way to open; the tree above it
//! stays as valid as before.
//!
//! The event's id and the row's place are in both, so that equal rows look different and no opening fits elsewhere.
//!
//! # Source
//!
//! Our own scheme. HKDF-Expand: RFC 5869, §2.3. Its labels and byte orders are in `docs/ledger.md`, with vectors in
//! `fixtures/vectors/`.

use crate::entry::EventId;
use crate::hash::Hash;
use crate::tree::root_of;
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use std::fmt;

/// Largest row or header that can be committed to, in bytes.
pub const MAX_ROW_BYTES: usize = 1024 * 1024;

/// The key of one person in one stream: 32 random bytes. Destroying it (and its backups) is erasure.
#[derive(Clone, PartialEq, Eq)]
pub struct SubjectKey([u8; 32]);

/// The key of one commitment. Whoever has it can check the row, and could try guesses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub [u8; 32]);

/// What is committed to: the two have labels of their own, so that neither passes for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Row `0…` of the event.
    Row(u64),
    /// The event's header: who, why, on which legal basis.
    Header,
}

/// All that is needed to check one commitment.
#[derive(Clone, PartialEq, Eq)]
pub struct Opening {
    /// The event.
    pub event_id: EventId,
    /// Row or header.
    pub place: Place,
    /// The salt.
    pub salt: Salt,
    /// The exact bytes that were committed to.
    pub bytes: Vec<u8>,
}

impl SubjectKey {
    /// Takes 32 bytes from a good source of randomness.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the secret, for wrapping it.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Derives bytes for one purpose, told by `label`, at one place of one event.
    pub(crate) fn expand<const N: usize>(&self, label: &[u8], event_id: EventId, numbers: &[u64]) -> [u8; N] {
        let hkdf = Hkdf::<Sha256>::from_prk(&self.0).expect("the key has 32 bytes");
        let numbers: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        let mut bytes = [0; N];
        hkdf.expand_multi_info(&[label, &event_id.0, &numbers], &mut bytes).expect("few bytes are asked for");
        bytes
    }

    /// Derives the salt of a commitment.
    pub fn salt(&self, event_id: EventId, place: Place) -> Salt {
        Salt(match place {
            Place::Row(row) => self.expand(b"vigie/salt/v1", event_id, &[row]),
            Place::Header => self.expand(b"vigie/header-salt/v1", event_id, &[]),
        })
    }

    /// Opens what was committed to with this key.
    pub fn open(&self, event_id: EventId, place: Place, bytes: Vec<u8>) -> Opening {
        Opening { event_id, place, salt: self.salt(event_id, place), bytes }
    }
}

impl fmt::Debug for SubjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SubjectKey(…)")
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Salt(…)")
    }
}

impl fmt::Debug for Opening {
    /// The row is personal data: only its place is shown.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Opening({} {:?}, {} bytes)", self.event_id, self.place, self.bytes.len())
    }
}

/// Commits to a row or header.
///
/// # Panics
///
/// If `bytes` are more than [`MAX_ROW_BYTES`].
pub fn commit(salt: &Salt, event_id: EventId, place: Place, bytes: &[u8]) -> Hash {
    assert!(bytes.len() <= MAX_ROW_BYTES, "a row has at most {MAX_ROW_BYTES} bytes");
    let mut mac = Hmac::<Sha256>::new_from_slice(&salt.0).expect("HMAC takes keys of any length");
    let (label, number): (&[u8], u64) = match place {
        Place::Row(row) => (b"vigie/row/v1\0", row),
        Place::Header => (b"vigie/header/v1\0", 0),
    };
    mac.update(label);
    mac.update(&event_id.0);
    mac.update(&number.to_be_bytes());
    mac.update(&(bytes.len() as u32).to_be_bytes());
    mac.update(bytes);
    Hash(mac.finalize().into_bytes().into())
}

/// Returns the root over the commitments of an event's rows, in their order.
pub fn rows_root(commitments: impl IntoIterator<Item = Hash>) -> Hash {
    root_of(commitments.into_iter().map(|commitment| Hash::leaf(&commitment.0)))
}

impl Opening {
    /// Returns the commitment that this opens.
    pub fn commitment(&self) -> Hash {
        commit(&self.salt, self.event_id, self.place, &self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: SubjectKey = SubjectKey::new([1; 32]);
    const EVENT: EventId = EventId([2; 16]);

    proptest! {
        #[test]
        fn a_row_opens_and_a_changed_one_never_does(row: Vec<u8>, other: Vec<u8>, place in 0_u64..1 << 40, key: [u8; 32], event: [u8; 16]) {
            let (key, event) = (SubjectKey::new(key), EventId(event));
            let commitment = commit(&key.salt(event, Place::Row(place)), event, Place::Row(place), &row);
            let opening = key.open(event, Place::Row(place), row.clone());
            prop_assert_eq!(opening.commitment(), commitment);
            if row != other {
                prop_assert_ne!(Opening { bytes: other, ..opening.clone() }.commitment(), commitment);
            }
            prop_assert_ne!(Opening { place: Place::Row(place + 1), ..opening.clone() }.commitment(), commitment);
            prop_assert_ne!(Opening { place: Place::Header, ..opening.clone() }.commitment(), commitment);
            prop_assert_ne!(Opening { event_id: EventId([0xff; 16]), ..opening }.commitment(), commitment);
        }
    }

    #[test]
    fn equal_rows_look_different_everywhere() {
        let at = |key: &SubjectKey, event: EventId, row: u64| {
            commit(&key.salt(event, Place::Row(row)), event, Place::Row(row), b"same")
        };
        let all = [
            at(&KEY, EVENT, 0),
            at(&KEY, EVENT, 1),
            at(&KEY, EventId([3; 16]), 0),
            at(&SubjectKey::new([9; 32]), EVENT, 0),
            commit(&KEY.salt(EVENT, Place::Header), EVENT, Place::Header, b"same"),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(one));
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let opening = KEY.open(EVENT, Place::Row(0), b"jeanne@example.org".to_vec());
        assert_eq!(
            format!("{KEY:?} {opening:?}"),
            "SubjectKey(…) Opening(02020202020202020202020202020202 Row(0), 18 bytes)"
        );
    }
}
