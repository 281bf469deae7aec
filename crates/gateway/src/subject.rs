//! A person's id, in the one form in which the gateway compares, counts and logs it: PostgreSQL's own text output.
//!
//! Columns arrive in text or binary, as the client asked; the stop set, the vault and pseudonyms must not care.

use vigie_policy::map::SubjectType;

/// How a column's values are written on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// As PostgreSQL prints them.
    Text,
    /// As its `send` functions write them.
    Binary,
}

impl Format {
    /// Reads the code of the protocol; `None` for one that it does not have.
    pub fn of_code(code: i16) -> Option<Self> {
        match code {
            0 => Some(Self::Text),
            1 => Some(Self::Binary),
            _ => None,
        }
    }
}

/// Room for an id in text form that arrived in binary.
#[derive(Debug, Default)]
pub struct Canonical(Vec<u8>);

impl Canonical {
    /// Returns the id in text form; `None` if the bytes are none of this type.
    pub fn read<'bytes>(
        &'bytes mut self,
        kind: SubjectType,
        format: Format,
        value: &'bytes [u8],
    ) -> Option<&'bytes [u8]> {
        match (kind, format) {
            (_, Format::Text) | (SubjectType::Text, Format::Binary) => Some(value),
            (SubjectType::Bigint, Format::Binary) => {
                let number = match value.len() {
                    8 => i64::from_be_bytes(value.try_into().ok()?),
                    4 => i32::from_be_bytes(value.try_into().ok()?).into(),
                    2 => i16::from_be_bytes(value.try_into().ok()?).into(),
                    _ => return None,
                };
                self.0.clear();
                push_number(&mut self.0, number);
                Some(&self.0)
            }
            (SubjectType::Uuid, Format::Binary) => {
                let uuid: &[u8; 16] = value.try_into().ok()?;
                self.0.clear();
                push_uuid(&mut self.0, uuid);
                Some(&self.0)
            }
        }
    }
}

/// Writes a number in decimal.
pub fn push_number(out: &mut Vec<u8>, number: i64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// Writes a UUID as PostgreSQL prints it.
pub fn push_uuid(out: &mut Vec<u8>, uuid: &[u8; 16]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for (at, byte) in uuid.iter().enumerate() {
        if [4, 6, 8, 10].contains(&at) {
            out.push(b'-');
        }
        out.push(HEX[usize::from(byte >> 4)]);
        out.push(HEX[usize::from(byte & 15)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: SubjectType, value: &[u8]) -> Option<String> {
        let mut canonical = Canonical::default();
        canonical.read(kind, Format::Binary, value).map(|text| String::from_utf8_lossy(text).into_owned())
    }

    #[test]
    fn both_formats_name_the_same_person() {
        for number in [0, 7, -1, 1_234_567_890_123, i64::MAX, i64::MIN] {
            assert_eq!(read(SubjectType::Bigint, &number.to_be_bytes()), Some(number.to_string()));
        }
        assert_eq!(read(SubjectType::Bigint, &300_i32.to_be_bytes()), Some("300".to_owned()));
        assert_eq!(read(SubjectType::Bigint, &[1, 2, 3]), None);
        let uuid = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128.to_be_bytes();
        assert_eq!(read(SubjectType::Uuid, &uuid), Some("01234567-89ab-cdef-0123-456789abcdef".to_owned()));
        assert_eq!(read(SubjectType::Text, b"jeanne"), Some("jeanne".to_owned()));
    }
}
