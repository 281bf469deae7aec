//! Keys of the vault: one that is handed in, one a segment that it wraps, one by which persons are indexed.
//!
//! A segment's key is random and dies with the segment: when an erasure has written a segment anew under another key,
//! copies of the old one that a disk may still hold are unreadable as soon as its head is overwritten.
//!
//! # Source
//!
//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) with random nonces of 24 bytes, so that one is never used twice, even
//! where a torn end is cut and written again.

use chacha20poly1305::aead::{Aead as _, AeadInPlace as _, KeyInit as _, Payload};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use std::fmt;

pub(crate) const NONCE_BYTES: usize = 24;
pub(crate) const TAG_BYTES: usize = 16;
/// Nonce, key, tag.
pub(crate) const WRAPPED_BYTES: usize = NONCE_BYTES + 32 + TAG_BYTES;

/// The key that wraps the keys of segments: 32 random bytes, from a key management system.
#[derive(Clone)]
pub struct KeyEncryptionKey([u8; 32]);

/// The key of a segment.
#[derive(Clone)]
pub(crate) struct DataKey {
    secret: [u8; 32],
    cipher: XChaCha20Poly1305,
}

/// Makes the hashes by which persons are found.
#[derive(Clone)]
pub(crate) struct IndexKey(Hmac<Sha256>);

impl KeyEncryptionKey {
    /// Takes 32 bytes from a good source of randomness.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) fn wrap(&self, key: &DataKey, about: &[u8], nonce: [u8; NONCE_BYTES]) -> [u8; WRAPPED_BYTES] {
        let sealed = self.seal(&key.secret, about, nonce);
        sealed.try_into().expect("a key and its tag")
    }

    pub(crate) fn unwrap(&self, wrapped: &[u8], about: &[u8]) -> Option<DataKey> {
        Some(DataKey::new(self.open(wrapped, about)?.try_into().ok()?))
    }

    /// Seals bytes that lie beside the segments; the nonce is put in front.
    pub(crate) fn seal(&self, bytes: &[u8], about: &[u8], nonce: [u8; NONCE_BYTES]) -> Vec<u8> {
        let payload = Payload { msg: bytes, aad: about };
        let sealed = XChaCha20Poly1305::new((&self.0).into()).encrypt(&XNonce::from(nonce), payload);
        [nonce.as_slice(), &sealed.expect("far below the cipher's limit")].concat()
    }

    pub(crate) fn open(&self, sealed: &[u8], about: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload { msg: sealed, aad: about };
        XChaCha20Poly1305::new((&self.0).into()).decrypt(&XNonce::from(*nonce), payload).ok()
    }

    pub(crate) fn index_key(&self) -> IndexKey {
        let mut mac = <Hmac<Sha256> as hmac::Mac>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(b"vigie/vault-index/v1");
        let key = mac.finalize().into_bytes();
        IndexKey(<Hmac<Sha256> as hmac::Mac>::new_from_slice(&key).expect("HMAC takes keys of any length"))
    }
}

impl DataKey {
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Self { secret, cipher: XChaCha20Poly1305::new((&secret).into()) }
    }

    /// Seals `bytes[from..]` in place and adds the tag.
    pub(crate) fn seal(&self, nonce: &[u8; NONCE_BYTES], about: &[u8], bytes: &mut Vec<u8>, from: usize) {
        let nonce = XNonce::from(*nonce);
        let tag = self.cipher.encrypt_in_place_detached(&nonce, about, &mut bytes[from..]);
        bytes.extend(tag.expect("far below the cipher's limit"));
    }

    /// Opens what was sealed, in place; `None` if it was changed, or is another's.
    pub(crate) fn open(&self, nonce: &[u8; NONCE_BYTES], about: &[u8], mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        let end = sealed.len().checked_sub(TAG_BYTES)?;
        let tag: [u8; TAG_BYTES] = sealed[end..].try_into().expect("a tag");
        sealed.truncate(end);
        let nonce = XNonce::from(*nonce);
        self.cipher.decrypt_in_place_detached(&nonce, about, &mut sealed, &Tag::from(tag)).ok()?;
        Some(sealed)
    }
}

impl IndexKey {
    /// Returns the hash by which a person is found.
    pub(crate) fn hash(&self, subject: &[u8]) -> u64 {
        let mut mac = self.0.clone();
        mac.update(subject);
        let hash = mac.finalize().into_bytes();
        u64::from_be_bytes(*hash.first_chunk().expect("SHA-256 has 32 bytes"))
    }
}

impl fmt::Debug for KeyEncryptionKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KeyEncryptionKey(…)")
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DataKey(…)")
    }
}

impl fmt::Debug for IndexKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("IndexKey(…)")
    }
}
