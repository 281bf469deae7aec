//! Reads integers of any width from base64url text, six bits a character, as the IAB's strings pack them.

/// A reader over base64url text. Stops at the first character outside the alphabet.
#[derive(Debug, Clone)]
pub struct Bits<'t> {
    text: &'t [u8],
    /// Bits read so far.
    at: usize,
}

impl<'t> Bits<'t> {
    /// Starts at the first bit of `text`.
    pub fn new(text: &'t str) -> Self {
        Self { text: text.as_bytes(), at: 0 }
    }

    /// Reads one bit; `None` at the end or at a character that is not base64url.
    pub fn bit(&mut self) -> Option<bool> {
        let sextet = value_of(*self.text.get(self.at / 6)?)?;
        let bit = sextet >> (5 - self.at % 6) & 1 == 1;
        self.at += 1;
        Some(bit)
    }

    /// Reads an unsigned integer of `width` bits, at most 64, most significant first.
    pub fn number(&mut self, width: u8) -> Option<u64> {
        (0..width.min(64)).try_fold(0, |number, _| Some(number << 1 | u64::from(self.bit()?)))
    }

    /// Reads an integer of `width` bits that fits 16 of them.
    pub fn short(&mut self, width: u8) -> Option<u16> {
        u16::try_from(self.number(width)?).ok()
    }

    /// Reads `count` flags and returns the numbers, from 1, of those set.
    pub fn flags(&mut self, count: u16) -> Option<Vec<u16>> {
        let mut set = Vec::new();
        for number in 1..=count {
            if self.bit()? {
                set.push(number);
            }
        }
        Some(set)
    }

    /// Reads capital letters of six bits each, `A` being 0.
    pub fn letters(&mut self, count: u8) -> Option<String> {
        (0..count)
            .map(|_| u8::try_from(self.number(6)?).ok().filter(|&n| n < 26).map(|n| char::from(b'A' + n)))
            .collect()
    }

    /// Reads a Fibonacci-coded integer; `None` beyond [`u16::MAX`].
    ///
    /// # Source
    ///
    /// IAB GPP Consent String Specification, "Fibonacci coding": two set bits in a row end the number.
    pub fn fibonacci(&mut self) -> Option<u16> {
        let (mut weight, mut next, mut total, mut last) = (1_u32, 2_u32, 0_u32, false);
        loop {
            let bit = self.bit()?;
            if bit && last {
                return u16::try_from(total).ok();
            }
            if bit {
                total = total.checked_add(weight)?;
            }
            (weight, next) = (next, weight.checked_add(next)?);
            last = bit;
        }
    }
}

fn value_of(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => Some(character - b'A'),
        b'a'..=b'z' => Some(character - b'a' + 26),
        b'0'..=b'9' => Some(character - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}
