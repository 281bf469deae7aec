//! Sealed cells: direct identifiers that the database keeps as ciphertext, and that only a gateway opens.
//!
//! A cell is a text, `vs1.` and base64 (RFC 4648, section 5, without padding) of the key's id (4 bytes), a random nonce (24)
//! and the sealed value with its tag (16). It is bound to its table, its column and the person: moved to another row it
//! does not open. Whatever the database does with it, in errors, notices, copies and backups, is done with ciphertext; and
//! a context that may not read the class of the column has no right to the column either.
//!
//! Out of scope: which columns are sealed (the data map), and in which contexts they may be read (`policy`). Sealing what
//! is there already: [`mod@column`].
//!
//! How long a value is shows. Equal values do not: nonces are random, so nothing can be searched, joined or sorted by a
//! sealed column.
//!
//! # Source
//!
//! Our own (GATEWAY.md, §0.8). XChaCha20-Poly1305: draft-irtf-cfrg-xchacha-03.

pub mod column;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead as _, KeyInit as _, Payload},
};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// How every sealed cell begins.
pub const MARK: &str = "vs1.";

const ID_BYTES: usize = 4;
const NONCE_BYTES: usize = 24;

/// The keys that cells are sealed and opened with; cells are sealed with the first.
#[derive(Clone)]
pub struct SealKeys(Vec<Key>);

#[derive(Clone)]
struct Key {
    id: [u8; ID_BYTES],
    cipher: XChaCha20Poly1305,
}

impl fmt::Debug for SealKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SealKeys(…)")
    }
}

/// The file of keys is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// A line.
    #[error("line {0} is no key of 64 hexadecimal digits")]
    Line(usize),
    /// Nothing is there.
    #[error("it has no key, expected 64 hexadecimal digits")]
    Empty,
}

/// A column, as what its cells are bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound(Vec<u8>);

/// What became of a value of a sealed column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// It was a cell, and this is its value.
    Value(Vec<u8>),
    /// It is no cell: it was not sealed yet.
    NotSealed,
    /// It is a cell that does not open: changed, moved, or sealed with another key.
    Closed,
}

impl Bound {
    /// Names a column, by the names that the data map has.
    pub fn to(table: &str, column: &str) -> Self {
        let mut bytes = b"vigie/cell/v1".to_vec();
        for part in [table, column] {
            bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        Self(bytes)
    }

    fn person(&self, subject: &[u8]) -> Vec<u8> {
        [self.0.as_slice(), subject].concat()
    }
}

impl SealKeys {
    /// Reads keys: one in each line, 32 random bytes in hexadecimal; lines that begin with `#` are passed over.
    ///
    /// # Errors
    ///
    /// [`KeysError`], which does not repeat what was read.
    pub fn parse(text: &str) -> Result<Self, KeysError> {
        let mut keys = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bytes = key_of(line).ok_or(KeysError::Line(number + 1))?;
            keys.push(Key::new(&bytes));
        }
        if keys.is_empty() { Err(KeysError::Empty) } else { Ok(Self(keys)) }
    }

    /// Seals a value of a person, whose id is given in text form; `nonce` is 24 bytes from a good source of randomness.
    ///
    /// # Panics
    ///
    /// If the value has 256 GiB or more.
    pub fn seal(&self, bound: &Bound, subject: &[u8], value: &[u8], nonce: [u8; NONCE_BYTES]) -> String {
        let key = &self.0[0];
        let about = bound.person(subject);
        let payload = Payload { msg: value, aad: &about };
        let sealed = key.cipher.encrypt(&XNonce::from(nonce), payload).expect("far below the cipher's limit");
        let bytes = [key.id.as_slice(), &nonce, &sealed].concat();
        format!("{MARK}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Opens what a sealed column holds; `subjects` are the people, in text form, whom it may be about.
    pub fn open<'s>(&self, bound: &Bound, subjects: impl IntoIterator<Item = &'s [u8]>, value: &[u8]) -> Opened {
        let Some(token) = value.strip_prefix(MARK.as_bytes()) else { return Opened::NotSealed };
        let Ok(bytes) = BASE64_URL_SAFE_NO_PAD.decode(token) else { return Opened::Closed };
        let Some((id, rest)) = bytes.split_first_chunk::<ID_BYTES>() else { return Opened::Closed };
        let Some((nonce, sealed)) = rest.split_first_chunk::<NONCE_BYTES>() else { return Opened::Closed };
        let nonce = XNonce::from(*nonce);
        let keys: Vec<&Key> = self.0.iter().filter(|key| key.id == *id).collect();
        for subject in subjects {
            let about = bound.person(subject);
            for key in &keys {
                if let Ok(value) = key.cipher.decrypt(&nonce, Payload { msg: sealed, aad: &about }) {
                    return Opened::Value(value);
                }
            }
        }
        Opened::Closed
    }
}

impl Key {
    fn new(bytes: &[u8; 32]) -> Self {
        let mut hash = Sha256::new_with_prefix(b"vigie/cell-key/v1");
        hash.update(bytes);
        let hash: [u8; 32] = hash.finalize().into();
        let id = hash[..ID_BYTES].try_into().expect("four of 32 bytes");
        Self { id, cipher: XChaCha20Poly1305::new(bytes.into()) }
    }
}

fn key_of(line: &str) -> Option<[u8; 32]> {
    if line.len() != 64 || !line.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut key = [0; 32];
    for (byte, digits) in key.iter_mut().zip(line.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: [u8; NONCE_BYTES] = [9; NONCE_BYTES];

    fn keys(digits: &[&str]) -> SealKeys {
        let lines: Vec<String> = digits.iter().map(|digit| digit.repeat(32)).collect();
        SealKeys::parse(&lines.join("\n")).expect("keys")
    }

    fn opened(keys: &SealKeys, bound: &Bound, subject: &[u8], cell: &str) -> Opened {
        keys.open(bound, [subject], cell.as_bytes())
    }

    #[test]
    fn a_cell_opens_for_its_table_its_column_and_its_person_only() {
        let (keys, bound) = (keys(&["01"]), Bound::to("public.users", "email"));
        let cell = keys.seal(&bound, b"17", b"ada@example.org", NONCE);
        assert!(cell.starts_with(MARK) && !cell.contains("ada"), "{cell}");
        let value = Opened::Value(b"ada@example.org".to_vec());
        assert_eq!(opened(&keys, &bound, b"17", &cell), value);
        assert_eq!(keys.open(&bound, [b"3".as_slice(), b"17"], cell.as_bytes()), value, "of a row of two");
        assert_eq!(opened(&keys, &bound, b"18", &cell), Opened::Closed);
        assert_eq!(opened(&keys, &Bound::to("public.users", "phone"), b"17", &cell), Opened::Closed);
        assert_eq!(opened(&keys, &Bound::to("public.user", "semail"), b"17", &cell), Opened::Closed);
        assert_eq!(keys.open(&bound, [], cell.as_bytes()), Opened::Closed);
    }

    #[test]
    fn a_new_key_seals_and_the_one_before_still_opens() {
        let bound = Bound::to("public.users", "email");
        let (before, after) = (keys(&["01"]), keys(&["02", "01"]));
        let old = before.seal(&bound, b"17", b"x", NONCE);
        assert_eq!(opened(&after, &bound, b"17", &old), Opened::Value(b"x".to_vec()));
        let new = after.seal(&bound, b"17", b"x", NONCE);
        assert_eq!(opened(&before, &bound, b"17", &new), Opened::Closed);
    }

    #[test]
    fn what_is_no_cell_is_not_taken_for_one_and_no_change_goes_unseen() {
        let (keys, bound) = (keys(&["01"]), Bound::to("public.users", "email"));
        for plain in ["", "ada@example.org", "vs2.AAAA", "vs1"] {
            assert_eq!(opened(&keys, &bound, b"17", plain), Opened::NotSealed, "{plain}");
        }
        for broken in ["vs1.", "vs1.AAAA", "vs1.not base64", "vs1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(opened(&keys, &bound, b"17", broken), Opened::Closed, "{broken}");
        }
        let cell = keys.seal(&bound, b"17", b"ada@example.org", NONCE);
        for at in MARK.len()..cell.len() {
            let mut changed = cell.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert_eq!(opened(&keys, &bound, b"17", &changed), Opened::Closed, "byte {at}");
        }
    }

    #[test]
    fn a_file_of_keys_is_read_without_repeating_it() {
        assert_eq!(SealKeys::parse("# of the deployment\n\n").expect_err("none"), KeysError::Empty);
        let wrong = SealKeys::parse(&format!("# x\n{}\nsecret", "0a".repeat(32))).expect_err("no key");
        assert_eq!(wrong.to_string(), "line 3 is no key of 64 hexadecimal digits");
        assert_eq!(format!("{:?}", keys(&["01"])), "SealKeys(…)");
    }
}
