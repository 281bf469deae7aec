//! Pseudonyms of people: made here, per purpose, with keys that never enter the database.
//!
//! Who may see only pseudonyms gets, in place of a person's id, a keyed hash of it of the same type. Within one purpose a
//! person keeps the same pseudonym, so that rows can be joined; across purposes they cannot be (DA-11).
//!
//! # Source
//!
//! Our own. EDPB Recommendations 01/2020, use case 2: the key stays with the exporter. HKDF: RFC 5869.

use crate::subject::{Format, push_number, push_uuid};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use std::fmt;
use vigie_policy::map::SubjectType;

/// The secret from which the keys of all purposes are derived: 32 random bytes.
#[derive(Clone)]
pub struct PseudonymSecret([u8; 32]);

/// Makes the pseudonyms of one purpose.
#[derive(Clone)]
pub struct Pseudonyms {
    /// With its key absorbed, so that each person costs two runs of the hash less.
    keyed: Hmac<Sha256>,
    kind: SubjectType,
}

impl fmt::Debug for PseudonymSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PseudonymSecret(…)")
    }
}

impl fmt::Debug for Pseudonyms {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Pseudonyms(…)")
    }
}

impl PseudonymSecret {
    /// Takes 32 bytes from a good source of randomness.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Derives what makes the pseudonyms of a purpose.
    pub fn of_purpose(&self, purpose: &str, kind: SubjectType) -> Pseudonyms {
        let mut key = [0; 32];
        let hkdf = Hkdf::<Sha256>::from_prk(&self.0).expect("the secret has 32 bytes");
        hkdf.expand_multi_info(&[b"vigie/pseudonym/v1", purpose.as_bytes()], &mut key)
            .expect("few bytes are asked for");
        Pseudonyms { keyed: Hmac::new_from_slice(&key).expect("any length will do"), kind }
    }
}

impl Pseudonyms {
    /// Writes the pseudonym of the person with this id (in text form), in the format that the client asked for.
    pub fn push(&self, subject: &[u8], format: Format, out: &mut Vec<u8>) {
        let mut hmac = self.keyed.clone();
        hmac.update(subject);
        let hash: [u8; 32] = hmac.finalize().into_bytes().into();
        match self.kind {
            SubjectType::Bigint => {
                // Positive, as ids are.
                let number = i64::from_be_bytes(hash[..8].try_into().expect("eight bytes")) & i64::MAX;
                match format {
                    Format::Text => push_number(out, number),
                    Format::Binary => out.extend_from_slice(&number.to_be_bytes()),
                }
            }
            SubjectType::Uuid => {
                let mut uuid: [u8; 16] = hash[..16].try_into().expect("16 bytes");
                // Version 8 of RFC 9562: free use, so that nobody takes it for one of the database's own.
                uuid[6] = uuid[6] & 0x0f | 0x80;
                uuid[8] = uuid[8] & 0x3f | 0x80;
                match format {
                    Format::Text => push_uuid(out, &uuid),
                    Format::Binary => out.extend_from_slice(&uuid),
                }
            }
            SubjectType::Text => {
                out.extend_from_slice(b"p-");
                hash[..16].iter().for_each(|byte| out.extend_from_slice(format!("{byte:02x}").as_bytes()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pseudonym(purpose: &str, kind: SubjectType, format: Format, subject: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        PseudonymSecret::new([7; 32]).of_purpose(purpose, kind).push(subject, format, &mut out);
        out
    }

    #[test]
    fn a_person_has_one_pseudonym_in_a_purpose_and_another_in_the_next() {
        let text = pseudonym("research", SubjectType::Bigint, Format::Text, b"17");
        let number: i64 = String::from_utf8(text).expect("digits").parse().expect("a number");
        let binary = pseudonym("research", SubjectType::Bigint, Format::Binary, b"17");
        assert_eq!(binary, number.to_be_bytes());
        assert!(number >= 0 && number != 17);
        assert_ne!(pseudonym("advertising", SubjectType::Bigint, Format::Binary, b"17"), binary);
        assert_ne!(pseudonym("research", SubjectType::Bigint, Format::Binary, b"18"), binary);
    }

    #[test]
    fn pseudonyms_are_of_the_type_of_ids() {
        let uuid = pseudonym("research", SubjectType::Uuid, Format::Text, b"01234567-89ab-cdef-0123-456789abcdef");
        assert_eq!((uuid.len(), uuid[14]), (36, b'8'));
        assert_eq!(pseudonym("research", SubjectType::Uuid, Format::Binary, b"x").len(), 16);
        assert_eq!(pseudonym("research", SubjectType::Text, Format::Text, b"x").len(), 34);
    }
}
