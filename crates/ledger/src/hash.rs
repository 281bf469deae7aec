//! SHA-256 as the tree uses it: of an entry, of two children, of nothing.
//!
//! The first byte tells a leaf from a node, so that no entry can pass for a subtree (RFC 6962, §2.1).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// A SHA-256 hash: of a leaf, a node, a root, or of a record that is only cited.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Bytes of a hash.
    pub const BYTES: usize = 32;

    /// Root of the tree without entries: SHA-256 of nothing.
    pub const EMPTY: Self = Self([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae,
        0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
    ]);

    /// Returns the plain SHA-256 of `bytes`, for what lies outside of the tree.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Returns the hash of a leaf that holds `entry`.
    ///
    /// # Source
    ///
    /// RFC 6962, §2.1: SHA-256(0x00 ‖ entry).
    pub fn leaf(entry: &[u8]) -> Self {
        Self(Sha256::new().chain_update([0]).chain_update(entry).finalize().into())
    }

    /// Returns the hash of a node over two children.
    ///
    /// # Source
    ///
    /// RFC 6962, §2.1: SHA-256(0x01 ‖ left ‖ right).
    pub fn node(left: &Self, right: &Self) -> Self {
        Self(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
    }

    /// Reads standard base64 with padding; `None` unless it is exactly one hash, canonically written.
    pub fn from_base64(text: &str) -> Option<Self> {
        let bytes = BASE64_STANDARD.decode(text).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// Writes standard base64 with padding.
    pub fn to_base64(&self) -> String {
        BASE64_STANDARD.encode(self.0)
    }

    /// Writes lowercase hexadecimal digits.
    pub fn to_hex(&self) -> String {
        hex(&self.0)
    }
}

/// Writes lowercase hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

impl fmt::Display for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_base64())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Hash({})", self.to_hex())
    }
}

impl From<[u8; 32]> for Hash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_root_is_the_hash_of_nothing() {
        assert_eq!(Hash::of(b""), Hash::EMPTY);
    }

    #[test]
    fn only_canonical_base64_of_one_hash_is_read() {
        let text = Hash::EMPTY.to_base64();
        assert_eq!(Hash::from_base64(&text), Some(Hash::EMPTY));
        assert_eq!(Hash::from_base64(&text[..43]), None, "without padding");
        assert_eq!(Hash::from_base64(&text.replace('=', "A=")), None, "longer");
        // The last digit before the padding carries two bits that belong to nothing; set, it would be a second spelling.
        assert_eq!(Hash::from_base64(&text.replace("U=", "V=")), None, "with bits left over");
    }
}
