//! Values of an answer in PostgreSQL's binary format, for drivers that ask for nothing else.

use super::OutputType;

/// The OID of `bigint`.
pub(super) const BIGINT: u32 = 20;
/// The OID of `numeric`.
pub(super) const NUMERIC: u32 = 1700;
/// The OID of `text`.
pub(super) const TEXT: u32 = 25;

/// Decimal digits per digit of a binary `numeric`.
const GROUP: usize = 4;

impl OutputType {
    /// Returns the type's OID and size in bytes (-1: varies), or `None` where the server's description of a column says it.
    pub fn oid(self) -> Option<(u32, i16)> {
        match self {
            Self::AsServed(_) => None,
            Self::Bigint => Some((BIGINT, 8)),
            Self::Numeric => Some((NUMERIC, -1)),
            Self::Text => Some((TEXT, -1)),
        }
    }

    /// Returns a value of this type in binary format, from its text.
    ///
    /// `None` if the text is not one that an answer has, or the type is the server's own.
    pub fn to_binary(self, text: &[u8]) -> Option<Vec<u8>> {
        self.oid().and_then(|(oid, _)| encode(oid, text))
    }
}

/// Returns a value of a type in binary format, from its text; `None` if the text is not of the type, or the type one that
/// is not known here.
///
/// # Source
///
/// PostgreSQL 15, the functions `…send` of the types.
pub(super) fn encode(oid: u32, text: &[u8]) -> Option<Vec<u8>> {
    let said = || std::str::from_utf8(text).ok();
    Some(match oid {
        // boolean
        16 => match text {
            b"t" => vec![1],
            b"f" => vec![0],
            _ => return None,
        },
        BIGINT => said()?.parse::<i64>().ok()?.to_be_bytes().to_vec(),
        // smallint, integer
        21 => said()?.parse::<i16>().ok()?.to_be_bytes().to_vec(),
        23 => said()?.parse::<i32>().ok()?.to_be_bytes().to_vec(),
        // real, double precision
        700 => said()?.parse::<f32>().ok()?.to_be_bytes().to_vec(),
        701 => said()?.parse::<f64>().ok()?.to_be_bytes().to_vec(),
        // text, character, character varying, name
        TEXT | 1042 | 1043 | 19 => text.to_vec(),
        NUMERIC => return numeric(said()?),
        _ => return None,
    })
}

fn numeric(text: &str) -> Option<Vec<u8>> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    if whole.is_empty() || !(whole.bytes().chain(fraction.bytes())).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let scale = u16::try_from(fraction.len()).ok().filter(|scale| *scale < 0x4000)?;
    let before = whole.len().div_ceil(GROUP);
    let after = fraction.len().div_ceil(GROUP);
    let padded = format!("{whole:0>before$}{fraction:0<after$}", before = before * GROUP, after = after * GROUP);
    let mut digits: Vec<u16> =
        (0..before + after).map(|at| padded[at * GROUP..(at + 1) * GROUP].parse()).collect::<Result<_, _>>().ok()?;
    let leading = digits.iter().take_while(|digit| **digit == 0).count();
    digits.drain(..leading);
    while digits.last() == Some(&0) {
        digits.pop();
    }
    // The weight is the power of 10,000 of the first digit; zero has none, and no sign.
    let weight = if digits.is_empty() { 0 } else { i16::try_from(before).ok()? - 1 - i16::try_from(leading).ok()? };
    let sign: u16 = if text.starts_with('-') && !digits.is_empty() { 0x4000 } else { 0 };
    let mut bytes = Vec::with_capacity(8 + 2 * digits.len());
    bytes.extend(u16::try_from(digits.len()).ok()?.to_be_bytes());
    bytes.extend(weight.to_be_bytes());
    bytes.extend(sign.to_be_bytes());
    bytes.extend(scale.to_be_bytes());
    bytes.extend(digits.iter().flat_map(|digit| digit.to_be_bytes()));
    Some(bytes)
}
