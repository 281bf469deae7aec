//! As much of DER as timestamps need: elements one after the other, and the few that a question is made of.
//!
//! Reading is by the `der` crate, which takes definite lengths in their one form only. Signed parts are kept as the bytes
//! that came, never parsed and written again: what is hashed is what was signed.

use der::{Reader, SliceReader, Tag, asn1::ObjectIdentifier};

/// One element: its tag, its content, and both with the length between.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: Tag,
    pub(crate) content: &'a [u8],
    pub(crate) whole: &'a [u8],
}

impl<'a> Element<'a> {
    /// Returns the elements within, if this is constructed and they fill it.
    pub(crate) fn elements(self) -> Option<Elements<'a>> {
        self.tag.is_constructed().then(|| elements(self.content))?
    }

    pub(crate) fn oid(self) -> Option<ObjectIdentifier> {
        if self.tag != Tag::ObjectIdentifier {
            return None;
        }
        ObjectIdentifier::from_bytes(self.content).ok()
    }

    /// Returns the content if the tag is this.
    pub(crate) fn of(self, tag: Tag) -> Option<&'a [u8]> {
        (self.tag == tag).then_some(self.content)
    }

    /// Returns whether this is the context-specific element of that number.
    pub(crate) fn is_context(self, number: u8) -> bool {
        self.tag.is_context_specific() && self.tag.number().value() == number
    }
}

/// Elements, read from the front.
#[derive(Debug, Clone)]
pub(crate) struct Elements<'a> {
    list: std::vec::IntoIter<Element<'a>>,
}

impl<'a> Elements<'a> {
    /// Returns the next element if it is of this tag; takes it then.
    pub(crate) fn next_if(&mut self, wanted: impl Fn(Element<'a>) -> bool) -> Option<Element<'a>> {
        let first = *self.list.as_slice().first()?;
        wanted(first).then(|| self.list.next())?
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        self.list.next()
    }
}

/// Returns the elements that these bytes are, or none if they are not whole elements one after the other.
pub(crate) fn elements(bytes: &[u8]) -> Option<Elements<'_>> {
    let mut reader = SliceReader::new(bytes).ok()?;
    let mut list = Vec::new();
    while !reader.is_finished() {
        let header = reader.peek_header().ok()?;
        let whole = reader.tlv_bytes().ok()?;
        let length = usize::try_from(header.length).ok()?;
        list.push(Element { tag: header.tag, content: &whole[whole.len() - length..], whole });
    }
    Some(Elements { list: list.into_iter() })
}

/// Returns the one element that these bytes are.
pub(crate) fn element(bytes: &[u8]) -> Option<Element<'_>> {
    let mut list = elements(bytes)?;
    let first = list.next()?;
    list.next().is_none().then_some(first)
}

/// Returns an element; its content is shorter than 128 bytes.
pub(crate) fn write(tag: u8, content: &[u8]) -> Vec<u8> {
    assert!(content.len() < 128, "only short elements are written");
    [&[tag, content.len() as u8], content].concat()
}

/// Returns a number that is not negative.
pub(crate) fn write_number(number: u64) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(7);
    let mut content = bytes[first..].to_vec();
    if content[0] >= 0x80 {
        content.insert(0, 0);
    }
    write(0x02, &content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_shortest_form() {
        assert_eq!(write_number(0), [2, 1, 0]);
        assert_eq!(write_number(127), [2, 1, 127]);
        assert_eq!(write_number(128), [2, 2, 0, 128]);
        assert_eq!(write_number(u64::MAX).len(), 11);
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        assert!(elements(&[0x30, 3, 2, 1]).is_none());
        assert!(elements(&[0x30, 0x80, 0, 0]).is_none(), "no indefinite lengths");
        assert!(elements(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]).is_none());
        assert!(element(&[5, 0, 5, 0]).is_none());
        assert_eq!(elements(&[]).unwrap().count(), 0);
    }
}
