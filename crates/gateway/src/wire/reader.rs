//! Reads numbers, texts and lists from the body of a message, in place.

/// A message whose body is not what its type demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message `{message}` is malformed: {what}")]
pub struct Malformed {
    /// The message's name in the protocol.
    pub message: &'static str,
    /// What is wrong with it.
    pub what: &'static str,
}

/// What is left of a body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    message: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(message: &'static str, rest: &'a [u8]) -> Self {
        Self { message, rest }
    }

    pub(super) fn wrong(&self, what: &'static str) -> Malformed {
        Malformed { message: self.message, what }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.wrong("it ends within a number"))?;
        self.rest = rest;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn i16(&mut self) -> Result<i16, Malformed> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    /// Counts are written as `Int16`; PostgreSQL reads those of `Bind` unsigned, so up to 65,535.
    pub(super) fn count(&mut self) -> Result<usize, Malformed> {
        self.array().map(u16::from_be_bytes).map(usize::from)
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(length).ok_or_else(|| self.wrong("it ends within a value"))?;
        self.rest = rest;
        Ok(head)
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Bytes up to a zero.
    pub(super) fn zero_ended(&mut self) -> Result<&'a [u8], Malformed> {
        let end = self.rest.iter().position(|byte| *byte == 0).ok_or_else(|| self.wrong("a text has no end"))?;
        let text = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Ok(text)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Malformed> {
        let bytes = self.zero_ended()?;
        std::str::from_utf8(bytes).map_err(|_| self.wrong("a text is not UTF-8"))
    }

    /// A value with its length; −1 is NULL.
    pub(super) fn value(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| self.wrong("a value has a negative length"))?;
                self.bytes(length).map(Some)
            }
        }
    }

    pub(super) fn formats(&mut self) -> Result<Int16s<'a>, Malformed> {
        let count = self.count()?;
        Ok(Int16s { bytes: self.bytes(2 * count)? })
    }

    pub(super) fn oids(&mut self) -> Result<Oids<'a>, Malformed> {
        let count = self.count()?;
        Ok(Oids { bytes: self.bytes(4 * count)? })
    }

    pub(super) fn values(&mut self) -> Result<Values<'a>, Malformed> {
        let count = self.count()?;
        let start = self.rest;
        for _ in 0..count {
            self.value()?;
        }
        Ok(Values { count, bytes: &start[..start.len() - self.rest.len()] })
    }

    pub(super) fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.wrong("bytes follow its end")) }
    }
}

/// A list of format codes: 0 is text, 1 is binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Int16s<'a> {
    bytes: &'a [u8],
}

impl<'a> Int16s<'a> {
    /// Returns how many are listed.
    pub fn len(&self) -> usize {
        self.bytes.len() / 2
    }

    /// Returns whether none is: every value is text then.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns each of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = i16> + use<'a> {
        self.bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_be_bytes(*pair))
    }

    /// Returns the format of a column or parameter counted from 0, by the rule of `Bind`: none listed means text for all,
    /// one listed means that one for all.
    pub fn of(&self, position: usize) -> Option<i16> {
        match self.len() {
            0 => Some(0),
            1 => self.iter().next(),
            _ => self.iter().nth(position),
        }
    }
}

/// A list of types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Oids<'a> {
    bytes: &'a [u8],
}

impl<'a> Oids<'a> {
    /// Returns each of them; 0 is not said.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        self.bytes.as_chunks::<4>().0.iter().map(|four| u32::from_be_bytes(*four))
    }
}

/// A list of values, each with its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Values<'a> {
    count: usize,
    // INVARIANT (whole values): exactly `count` values, each within these bytes; checked by `Reader::values`.
    bytes: &'a [u8],
}

impl<'a> Values<'a> {
    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl<'a> IntoIterator for Values<'a> {
    type Item = Option<&'a [u8]>;
    type IntoIter = ValuesIter<'a>;

    fn into_iter(self) -> ValuesIter<'a> {
        ValuesIter { rest: self.bytes }
    }
}

/// Walks over values.
#[derive(Debug, Clone)]
pub struct ValuesIter<'a> {
    rest: &'a [u8],
}

impl ValuesIter<'_> {
    /// How many bytes are not walked over yet.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }
}

impl<'a> Iterator for ValuesIter<'a> {
    type Item = Option<&'a [u8]>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        // (whole values) holds, so the end is the only place where nothing is found.
        let (length, rest) = self.rest.split_first_chunk::<4>()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            self.rest = rest;
            return Some(None);
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(Some(value))
    }
}
