//! The canonical form of a row: a list of digests, one a field, so that fields can be shown one by one.
//!
//! An inspector who opens a row sees how many fields it has, and those that are disclosed to them; the others stay
//! digests under salts of 128 bits that do not follow from what was shown.
//!
//! # Source
//!
//! Our own form, after the salted digests of RFC 9901 (SD-JWT), length-prefixed instead of JSON.

use crate::commitment::SubjectKey;
use crate::entry::EventId;
use crate::hash::Hash;
use std::fmt;

/// Most fields of a row.
pub const MAX_FIELDS: usize = 4096;

/// A field with the salt of its digest: all that is needed to check that it is in a row.
#[derive(Clone, PartialEq, Eq)]
pub struct Disclosure {
    /// 128 bits that make the digest unguessable.
    pub salt: [u8; 16],
    /// The field's name.
    pub name: String,
    /// The field's value; `None` is SQL's NULL.
    pub value: Option<Vec<u8>>,
}

/// The digests of a row's fields, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalRow(Vec<Hash>);

/// Why bytes are no canonical row.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a canonical row of {0} bytes cannot be: expected a count and that many digests of 32 bytes")]
pub struct NotARow(usize);

impl Disclosure {
    /// Makes the field `position` of row `row` of an event disclosable with the subject's key.
    pub fn new(key: &SubjectKey, event_id: EventId, row: u64, position: u16, name: &str, value: Option<&[u8]>) -> Self {
        let salt = key.expand(b"vigie/field/v1", event_id, &[row, position.into()]);
        Self { salt, name: name.to_owned(), value: value.map(<[u8]>::to_vec) }
    }

    /// Returns the digest of the field.
    pub fn digest(&self) -> Hash {
        let mut bytes = self.salt.to_vec();
        bytes.extend((self.name.len() as u32).to_be_bytes());
        bytes.extend(self.name.as_bytes());
        match &self.value {
            None => bytes.push(0),
            Some(value) => {
                bytes.push(1);
                bytes.extend((value.len() as u32).to_be_bytes());
                bytes.extend(value);
            }
        }
        Hash::of(&bytes)
    }
}

impl fmt::Debug for Disclosure {
    /// The value is personal data: only its name is shown.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Disclosure({})", self.name)
    }
}

impl CanonicalRow {
    /// Makes the row of these fields.
    ///
    /// # Panics
    ///
    /// With more than [`MAX_FIELDS`] fields.
    pub fn new<'field>(fields: impl IntoIterator<Item = &'field Disclosure>) -> Self {
        let digests: Vec<_> = fields.into_iter().map(Disclosure::digest).collect();
        assert!(digests.len() <= MAX_FIELDS, "a row has at most {MAX_FIELDS} fields");
        Self(digests)
    }

    /// Returns where a field is in the row; `None` if it is not, or was changed.
    pub fn position(&self, disclosure: &Disclosure) -> Option<usize> {
        let digest = disclosure.digest();
        self.0.iter().position(|field| *field == digest)
    }

    /// Returns how many fields there are.
    pub fn n_fields(&self) -> usize {
        self.0.len()
    }

    /// Writes the bytes that are committed to: a `u16` count and the digests.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = (self.0.len() as u16).to_be_bytes().to_vec();
        bytes.extend(self.0.iter().flat_map(|digest| digest.0));
        bytes
    }

    /// Reads what [`CanonicalRow::to_bytes`] writes.
    ///
    /// # Errors
    ///
    /// [`NotARow`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NotARow> {
        let wrong = || NotARow(bytes.len());
        let (count, digests) = bytes.split_first_chunk::<2>().ok_or_else(wrong)?;
        let count = usize::from(u16::from_be_bytes(*count));
        if count > MAX_FIELDS || digests.len() != count * Hash::BYTES {
            return Err(wrong());
        }
        Ok(Self(digests.chunks_exact(Hash::BYTES).map(|chunk| Hash(chunk.try_into().expect("32 bytes"))).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: EventId = EventId([2; 16]);

    fn field(position: u16, name: &str, value: Option<&[u8]>) -> Disclosure {
        Disclosure::new(&SubjectKey::new([1; 32]), EVENT, 7, position, name, value)
    }

    #[test]
    fn one_field_is_shown_without_the_others() {
        let fields =
            [field(0, "country", Some(b"FR")), field(1, "email", Some(b"jeanne@example.org")), field(2, "phone", None)];
        let row = CanonicalRow::parse(&CanonicalRow::new(&fields).to_bytes()).expect("as written");
        assert_eq!(row.n_fields(), 3);
        assert_eq!(row.position(&fields[0]), Some(0));
        assert_eq!(row.position(&fields[2]), Some(2));
        assert_eq!(row.position(&Disclosure { value: Some(b"DE".to_vec()), ..fields[0].clone() }), None);
        // NULL is not the empty value, and a name does not run into its value.
        assert_ne!(field(2, "phone", None).digest(), field(2, "phone", Some(b"")).digest());
        assert_ne!(field(0, "ab", Some(b"c")).digest(), field(0, "a", Some(b"bc")).digest());
    }

    #[test]
    fn rows_of_a_wrong_length_are_refused() {
        for bytes in [&[][..], &[0], &[0, 1], &[0, 0, 0], &[0xff; 2 + 32]] {
            assert_eq!(CanonicalRow::parse(bytes), Err(NotARow(bytes.len())));
        }
        assert_eq!(CanonicalRow::parse(&[0, 0]).map(|row| row.n_fields()), Ok(0));
    }
}
