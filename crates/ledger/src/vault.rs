//! Rows at rest: sealed under the key of the person they are about, and that key under one that never leaves its module.
//!
//! The log holds commitments; the vault holds what they commit to. Destroying a wrapped key makes its rows unreadable and
//! their commitments unopenable in the same stroke, wherever copies of the sealed rows lie.
//!
//! Out of scope: where sealed rows and wrapped keys are kept (`gateway`, `transfers`).
//!
//! # Source
//!
//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03). A row's nonce is derived from its place, which is used once under one
//! key; a wrapping's nonce is random and handed in.

use crate::commitment::SubjectKey;
use crate::entry::EventId;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use std::fmt;

/// The key that wraps the keys of people. In production it lives in a key management system.
#[derive(Clone)]
pub struct WrappingKey([u8; 32]);

/// Bytes of a random nonce for [`WrappingKey::wrap`].
pub const NONCE_BYTES: usize = 24;

/// The seal is broken, or it is another's.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("what was sealed cannot be opened: it was changed, or sealed with another key or for another place")]
pub struct Sealed;

impl WrappingKey {
    /// Takes 32 bytes from a good source of randomness.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Wraps the key of a person. `owner` is bound to it: a wrapped key moved to another person's record does not open.
    pub fn wrap(&self, key: &SubjectKey, owner: &[u8], nonce: [u8; NONCE_BYTES]) -> Vec<u8> {
        let sealed = seal(&self.0, nonce, owner, key.expose());
        [nonce.as_slice(), &sealed].concat()
    }

    /// Unwraps the key of a person.
    ///
    /// # Errors
    ///
    /// [`Sealed`].
    pub fn unwrap(&self, wrapped: &[u8], owner: &[u8]) -> Result<SubjectKey, Sealed> {
        let (nonce, sealed) = wrapped.split_first_chunk::<NONCE_BYTES>().ok_or(Sealed)?;
        let key = open(&self.0, *nonce, owner, sealed)?;
        Ok(SubjectKey::new(key.try_into().map_err(|_| Sealed)?))
    }
}

impl fmt::Debug for WrappingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WrappingKey(…)")
    }
}

/// Seals row `row` of an event under the key of its subject. Deterministic: sealing twice gives the same bytes.
pub fn seal_row(key: &SubjectKey, event_id: EventId, row: u64, bytes: &[u8]) -> Vec<u8> {
    let (secret, nonce) = for_row(key, event_id, row);
    seal(&secret, nonce, &place(event_id, row), bytes)
}

/// Opens a sealed row.
///
/// # Errors
///
/// [`Sealed`].
pub fn open_row(key: &SubjectKey, event_id: EventId, row: u64, sealed: &[u8]) -> Result<Vec<u8>, Sealed> {
    let (secret, nonce) = for_row(key, event_id, row);
    open(&secret, nonce, &place(event_id, row), sealed)
}

/// Key and nonce are both of this row alone, so that no pair is ever used for two plaintexts.
fn for_row(key: &SubjectKey, event_id: EventId, row: u64) -> ([u8; 32], [u8; NONCE_BYTES]) {
    (key.expand(b"vigie/seal/v1", event_id, &[row]), key.expand(b"vigie/seal-nonce/v1", event_id, &[row]))
}

fn place(event_id: EventId, row: u64) -> Vec<u8> {
    [event_id.0.as_slice(), &row.to_be_bytes()].concat()
}

fn seal(key: &[u8; 32], nonce: [u8; NONCE_BYTES], about: &[u8], bytes: &[u8]) -> Vec<u8> {
    let payload = Payload { msg: bytes, aad: about };
    XChaCha20Poly1305::new(key.into())
        .encrypt(&XNonce::from(nonce), payload)
        .expect("rows are far below the cipher's limit")
}

fn open(key: &[u8; 32], nonce: [u8; NONCE_BYTES], about: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Sealed> {
    let payload = Payload { msg: sealed, aad: about };
    XChaCha20Poly1305::new(key.into()).decrypt(&XNonce::from(nonce), payload).map_err(|_| Sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: SubjectKey = SubjectKey::new([1; 32]);
    const EVENT: EventId = EventId([2; 16]);

    #[test]
    fn a_sealed_row_opens_in_its_place_only() {
        let sealed = seal_row(&KEY, EVENT, 3, b"jeanne");
        assert_eq!(open_row(&KEY, EVENT, 3, &sealed).as_deref(), Ok(&b"jeanne"[..]));
        assert_eq!(open_row(&KEY, EVENT, 4, &sealed), Err(Sealed));
        assert_eq!(open_row(&KEY, EventId([3; 16]), 3, &sealed), Err(Sealed));
        assert_eq!(open_row(&SubjectKey::new([9; 32]), EVENT, 3, &sealed), Err(Sealed));
        let mut changed = sealed.clone();
        changed[0] ^= 1;
        assert_eq!(open_row(&KEY, EVENT, 3, &changed), Err(Sealed));
        assert_eq!(open_row(&KEY, EVENT, 3, &[]), Err(Sealed));
    }

    #[test]
    fn a_wrapped_key_belongs_to_its_owner() {
        let kek = WrappingKey::new([5; 32]);
        let wrapped = kek.wrap(&KEY, b"person 1", [6; NONCE_BYTES]);
        assert_eq!(kek.unwrap(&wrapped, b"person 1"), Ok(KEY));
        assert_eq!(kek.unwrap(&wrapped, b"person 2"), Err(Sealed));
        assert_eq!(WrappingKey::new([7; 32]).unwrap(&wrapped, b"person 1"), Err(Sealed));
        assert_eq!(kek.unwrap(&wrapped[..20], b"person 1"), Err(Sealed));
    }
}
