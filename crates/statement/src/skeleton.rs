//! What is left of a text without its literals, so that texts which differ only in those are read once.
//!
//! Only numbers and strings in their plainest form are left out. Whatever takes thought to get right (escape strings,
//! dollar quotes, Unicode escapes, exponents, backslashes) stays as it is, with all that follows: such texts just share
//! less. Comments stay too, since clients write into them.
//!
//! The surprise: the skeleton is the text itself, not a hash of it. Who chooses the texts could choose two with one hash,
//! and have one treated like the other.
//!
//! It holds that two texts of one skeleton are read alike, unless the reading says that it is
//! [literal-dependent](crate::reading::Reading::is_literal_dependent), or one of them cannot be read at all: a number can
//! be too large for where the grammar wants a small one. PostgreSQL refuses that one by the same grammar.

use crate::edit::Edit;

/// A text without its literals, and where they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skeleton {
    /// The text, in which a zero byte and a letter for its kind stand in place of each literal.
    pub key: Vec<u8>,
    /// Where the literals stand, in bytes and in order.
    pub literals: Vec<Literal>,
}

/// Where a literal stands: the bytes from `start` up to and without `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Literal {
    /// Its first byte.
    pub start: u32,
    /// The byte after its last.
    pub end: u32,
}

/// Returns the skeleton of a text; `None` if it holds a zero byte, which no statement does, or has 4 GiB.
pub fn skeleton(sql: &str) -> Option<Skeleton> {
    let bytes = sql.as_bytes();
    u32::try_from(bytes.len()).ok()?;
    let mut lexer = Lexer {
        bytes,
        key: Vec::with_capacity(bytes.len() + 16),
        literals: Vec::with_capacity(8),
        copied: 0,
        has_zero: false,
    };
    lexer.run();
    (!lexer.has_zero).then_some(Skeleton { key: lexer.key, literals: lexer.literals })
}

/// Returns changes made for one text as they are for another of the same skeleton.
///
/// `None` if the skeletons differ, or a change reaches into a literal.
pub fn carry(edits: &[Edit], from: &Skeleton, to: &Skeleton) -> Option<Vec<Edit>> {
    if from.key != to.key {
        return None;
    }
    let carried = |offset: u32| {
        let before = from.literals.partition_point(|it| it.end <= offset);
        if from.literals.get(before).is_some_and(|it| it.start < offset) {
            return None;
        }
        let (ended, ends) = match before.checked_sub(1) {
            Some(last) => (from.literals[last].end, to.literals[last].end),
            None => (0, 0),
        };
        Some(offset - ended + ends)
    };
    let edit = |it: &Edit| {
        let at = carried(it.at)?;
        let end = carried(it.at.checked_add(it.n_removed)?)?;
        Some(Edit { at, n_removed: end - at, inserted: it.inserted.clone() })
    };
    edits.iter().map(edit).collect()
}

struct Lexer<'a> {
    bytes: &'a [u8],
    key: Vec<u8>,
    literals: Vec<Literal>,
    /// Up to here the text is in the key.
    copied: usize,
    has_zero: bool,
}

/// What a byte may begin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Nothing: blanks, operators, punctuation.
    Other,
    /// A name, or more of one. All bytes above ASCII are letters to PostgreSQL.
    Letter,
    Digit,
    Quote,
    DoubleQuote,
    Dollar,
    Dash,
    Slash,
    Zero,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Other; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80..=0xff => Class::Letter,
            b'0'..=b'9' => Class::Digit,
            b'\'' => Class::Quote,
            b'"' => Class::DoubleQuote,
            b'$' => Class::Dollar,
            b'-' => Class::Dash,
            b'/' => Class::Slash,
            0 => Class::Zero,
            _ => Class::Other,
        };
        byte += 1;
    }
    classes
};

impl Lexer<'_> {
    fn run(&mut self) {
        let mut at = 0;
        while let Some(byte) = self.bytes.get(at) {
            let next = match CLASSES[*byte as usize] {
                Class::Other => Some(at + 1),
                Class::Letter => self.name(at),
                Class::Digit => self.number(at),
                Class::Quote => self.string(at),
                Class::DoubleQuote => self.quoted_name(at),
                Class::Dollar => self.parameter(at),
                Class::Dash => Some(self.line_comment(at)),
                Class::Slash => Some(self.block_comment(at)),
                Class::Zero => {
                    self.has_zero = true;
                    return;
                }
            };
            // Something that takes thought: the rest stays as it is.
            let Some(next) = next else { break };
            at = next;
        }
        self.has_zero |= self.bytes[at.min(self.bytes.len())..].contains(&0);
        self.key.extend_from_slice(&self.bytes[self.copied..]);
    }

    fn class(&self, at: usize) -> Class {
        self.bytes.get(at).map_or(Class::Other, |it| CLASSES[*it as usize])
    }

    fn end_of(&self, mut at: usize, is_part: impl Fn(Class) -> bool) -> usize {
        while at < self.bytes.len() && is_part(CLASSES[self.bytes[at] as usize]) {
            at += 1;
        }
        at
    }

    fn name(&self, at: usize) -> Option<usize> {
        let end = self.end_of(at + 1, |it| matches!(it, Class::Letter | Class::Digit | Class::Dollar));
        // `E'…'`, `B'…'`, `X'…'`, `N'…'`, `U&'…'` and `U&"…"`; after any other name a quote begins a plain string.
        let is_prefix = end == at + 1
            && match self.bytes.get(end) {
                Some(b'\'') => true,
                Some(b'&') => matches!(self.bytes.get(end + 1), Some(b'\'' | b'"')),
                _ => false,
            };
        (!is_prefix).then_some(end)
    }

    fn number(&mut self, at: usize) -> Option<usize> {
        let mut end = self.end_of(at + 1, |it| it == Class::Digit);
        // Ten digits may be more than fits where the grammar wants a small number.
        let mut kind = if end - at < 10 { b'i' } else { b'l' };
        if self.bytes.get(end) == Some(&b'.') && self.class(end + 1) == Class::Digit {
            end = self.end_of(end + 1, |it| it == Class::Digit);
            kind = b'f';
        }
        match self.class(end) {
            // `1e5`, `0x1f`, `1_000`, and whatever newer versions think of.
            Class::Letter | Class::Dollar => return None,
            // `1.`, `1..2`, and `.5` or `a.5` from the other side.
            _ if self.bytes.get(end) == Some(&b'.') || (at > 0 && self.bytes[at - 1] == b'.') => return None,
            _ => {}
        }
        self.leave_out(at, end, kind);
        Some(end)
    }

    fn string(&mut self, at: usize) -> Option<usize> {
        let mut end = at + 1;
        loop {
            match self.bytes.get(end)? {
                b'\'' if self.bytes.get(end + 1) == Some(&b'\'') => end += 2,
                b'\'' => break,
                b'\\' | 0 => return None,
                _ => end += 1,
            }
        }
        self.leave_out(at, end + 1, b's');
        Some(end + 1)
    }

    fn quoted_name(&mut self, at: usize) -> Option<usize> {
        let end = self.bytes[at + 1..].iter().position(|it| matches!(it, b'"' | 0))?;
        // Two quotes in a row are one in the name; that they begin another name here makes no difference.
        (self.bytes[at + 1 + end] != 0).then_some(at + 2 + end)
    }

    fn parameter(&self, at: usize) -> Option<usize> {
        let end = self.end_of(at + 1, |it| it == Class::Digit);
        let is_plain = end > at + 1 && !matches!(self.class(end), Class::Letter | Class::Dollar);
        is_plain.then_some(end)
    }

    fn line_comment(&mut self, at: usize) -> usize {
        if self.bytes.get(at + 1) != Some(&b'-') {
            return at + 1;
        }
        let end = self.bytes[at..].iter().position(|it| matches!(it, b'\n' | b'\r'));
        let end = end.map_or(self.bytes.len(), |length| at + length);
        self.has_zero |= self.bytes[at..end].contains(&0);
        end
    }

    fn block_comment(&mut self, at: usize) -> usize {
        if self.bytes.get(at + 1) != Some(&b'*') {
            return at + 1;
        }
        let (mut end, mut depth) = (at + 2, 1_u32);
        while depth > 0 && end < self.bytes.len() {
            match (self.bytes[end], self.bytes.get(end + 1)) {
                (b'*', Some(b'/')) => {
                    depth -= 1;
                    end += 2;
                }
                (b'/', Some(b'*')) => {
                    depth += 1;
                    end += 2;
                }
                (byte, _) => {
                    self.has_zero |= byte == 0;
                    end += 1;
                }
            }
        }
        end
    }

    fn leave_out(&mut self, start: usize, end: usize, kind: u8) {
        self.key.extend_from_slice(&self.bytes[self.copied..start]);
        self.key.extend_from_slice(&[0, kind]);
        self.literals.push(Literal { start: start as u32, end: end as u32 });
        self.copied = end;
    }
}
