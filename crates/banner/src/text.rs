//! Words: folding, splitting, and phrases with wildcards that are looked for in them.
//!
//! Everything is compared folded: lower case, without diacritics, punctuation or signs. So "ACCEPTER ✓" and
//! "accepter", "J’accepte" and "j'accepte", "Odmítnout" and "odmitnout" are the same. A word is a run of letters and
//! digits; an apostrophe or hyphen ends it, on both sides alike.

use std::collections::HashMap;

/// Returns the text with every run of white space, no-break spaces included, as one space, and none at the ends.
pub fn fold_spaces(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for piece in text.split(|c: char| c.is_whitespace() || is_invisible(c)).filter(|piece| !piece.is_empty()) {
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.push_str(piece);
    }
    folded
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{a0}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2060}' | '\u{feff}')
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '\u{300}'..='\u{36f}')
}

/// Appends a character folded: lower case, without diacritics.
fn fold_char(c: char, out: &mut String) {
    if c.is_ascii() {
        out.push(c.to_ascii_lowercase());
        return;
    }
    for lower in c.to_lowercase() {
        let plain = match lower {
            'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ā' | 'ă' | 'ą' | 'ǎ' => 'a',
            'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => 'c',
            'ď' | 'đ' | 'ð' => 'd',
            'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => 'e',
            'ĝ' | 'ğ' | 'ġ' | 'ģ' => 'g',
            'ĥ' | 'ħ' => 'h',
            'ì' | 'í' | 'î' | 'ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' => 'i',
            'ķ' => 'k',
            'ĺ' | 'ļ' | 'ľ' | 'ł' | 'ŀ' => 'l',
            'ñ' | 'ń' | 'ņ' | 'ň' => 'n',
            'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' | 'ō' | 'ŏ' | 'ő' => 'o',
            'ŕ' | 'ŗ' | 'ř' => 'r',
            'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => 's',
            'ţ' | 'ť' | 'ŧ' | 'ț' => 't',
            'ù' | 'ú' | 'û' | 'ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' => 'u',
            'ý' | 'ÿ' | 'ŷ' => 'y',
            'ź' | 'ż' | 'ž' => 'z',
            'ά' => 'α',
            'έ' => 'ε',
            'ή' => 'η',
            'ί' | 'ϊ' | 'ΐ' => 'ι',
            'ό' => 'ο',
            'ύ' | 'ϋ' | 'ΰ' => 'υ',
            'ώ' => 'ω',
            'ς' => 'σ',
            'ё' => 'е',
            'ѝ' => 'и',
            'ß' => {
                out.push('s');
                's'
            }
            'æ' => {
                out.push('a');
                'e'
            }
            'œ' => {
                out.push('o');
                'e'
            }
            'þ' => {
                out.push('t');
                'h'
            }
            '\u{300}'..='\u{36f}' => continue,
            other => other,
        };
        out.push(plain);
    }
}

/// Returns the text folded: the form in which words and phrases are compared, signs kept.
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    text.chars().for_each(|c| fold_char(c, &mut folded));
    folded
}

/// The words of a text, folded, with their places in it.
#[derive(Debug, Clone, Default)]
pub struct Words {
    folded: String,
    spans: Vec<Span>,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    folded: (u32, u32),
    source: (u32, u32),
}

impl Words {
    /// Splits a text into its words.
    pub fn new(text: &str) -> Self {
        let mut words = Self { folded: String::with_capacity(text.len()), spans: Vec::new() };
        let mut open: Option<(usize, usize)> = None;
        for (at, c) in text.char_indices() {
            if is_word_char(c) {
                if open.is_none() {
                    open = Some((words.folded.len(), at));
                }
                fold_char(c, &mut words.folded);
            } else if !matches!(c, '\u{ad}' | '\u{200b}') {
                words.close(open.take(), at);
            }
        }
        words.close(open, text.len());
        words
    }

    fn close(&mut self, open: Option<(usize, usize)>, source_end: usize) {
        if let Some((folded_start, source_start)) = open
            && self.folded.len() > folded_start
        {
            self.spans.push(Span {
                folded: (folded_start as u32, self.folded.len() as u32),
                source: (source_start as u32, source_end as u32),
            });
        }
    }

    /// Returns how many words there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Returns a word, folded.
    ///
    /// # Panics
    ///
    /// If there are fewer words.
    pub fn get(&self, index: usize) -> &str {
        let (start, end) = self.spans[index].folded;
        &self.folded[start as usize..end as usize]
    }

    /// Iterates over the words, folded.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Returns where the words `from..to` stand in the text, as byte offsets; `from` must be below `to`.
    pub fn source(&self, from: usize, to: usize) -> (usize, usize) {
        (self.spans[from].source.0 as usize, self.spans[to - 1].source.1 as usize)
    }
}

/// One part of a phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// This word.
    Word(Box<str>),
    /// A word that begins and ends like this (`stem*`, `*end`, `be*nd`).
    Glob { start: Box<str>, end: Box<str> },
    /// A word with this anywhere in it (`*stem*`).
    Inside(Box<str>),
    /// Up to so many words.
    Gap(u8),
}

impl Part {
    fn accepts(&self, word: &str) -> bool {
        match self {
            Self::Word(this) => **this == *word,
            Self::Glob { start, end } => {
                word.len() >= start.len() + end.len() && word.starts_with(&**start) && word.ends_with(&**end)
            }
            Self::Inside(stem) => word.contains(&**stem),
            Self::Gap(_) => true,
        }
    }
}

/// A phrase to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phrase {
    parts: Vec<Part>,
    /// Letters that are given rather than left open: of two phrases that fit, the one with more is the better one.
    letters: usize,
}

impl Phrase {
    /// Reads a phrase. `*` glued to a word stands for letters, `*` alone for up to `gap` words.
    ///
    /// Returns `None` if no word is left in it.
    pub fn parse(source: &str, gap: u8) -> Option<Self> {
        let mut parts = Vec::new();
        let folded = fold(source);
        for piece in folded.split(|c: char| c.is_whitespace() || is_invisible(c)).filter(|piece| !piece.is_empty()) {
            if piece.chars().all(|c| c == '*') {
                parts.push(Part::Gap(gap));
                continue;
            }
            for word in piece.split(|c: char| !is_word_char(c) && c != '*').filter(|word| !word.is_empty()) {
                parts.push(Self::part(word));
            }
        }
        while matches!(parts.last(), Some(Part::Gap(_))) {
            parts.pop();
        }
        let leading = parts.iter().take_while(|part| matches!(part, Part::Gap(_))).count();
        parts.drain(..leading);
        let letters = parts
            .iter()
            .map(|part| match part {
                Part::Word(word) | Part::Inside(word) => word.chars().count(),
                Part::Glob { start, end } => start.chars().count() + end.chars().count(),
                Part::Gap(_) => 0,
            })
            .sum();
        (letters > 0).then_some(Self { parts, letters })
    }

    fn part(word: &str) -> Part {
        let bare = word.trim_matches('*');
        match (word.starts_with('*'), word.ends_with('*')) {
            (true, true) => Part::Inside(bare.into()),
            (true, false) => Part::Glob { start: "".into(), end: bare.into() },
            (false, true) => Part::Glob { start: bare.into(), end: "".into() },
            (false, false) => match word.split_once('*') {
                Some((start, end)) => Part::Glob { start: start.into(), end: end.into() },
                None => Part::Word(word.into()),
            },
        }
    }

    /// Returns where the phrase ends (exclusive) if it begins at word `at`: the longest way to read it.
    pub fn match_at(&self, words: &Words, at: usize) -> Option<usize> {
        Self::match_parts(&self.parts, words, at)
    }

    fn match_parts(parts: &[Part], words: &Words, at: usize) -> Option<usize> {
        let Some((first, rest)) = parts.split_first() else { return Some(at) };
        if let Part::Gap(most) = first {
            return (0..=*most as usize)
                .take_while(|skipped| at + skipped <= words.len())
                .find_map(|skipped| Self::match_parts(rest, words, at + skipped));
        }
        if at >= words.len() || !first.accepts(words.get(at)) {
            return None;
        }
        Self::match_parts(rest, words, at + 1)
    }

    /// Returns how many letters are given rather than left open.
    pub fn letters(&self) -> usize {
        self.letters
    }
}

/// Many phrases, each with a value, found in one pass over a text.
#[derive(Debug)]
pub struct PhraseSet<T> {
    phrases: Vec<(Phrase, T)>,
    by_word: HashMap<Box<str>, Vec<u32>>,
    by_start: HashMap<Box<str>, Vec<u32>>,
    anywhere: Vec<u32>,
}

/// How many characters of a stem the index looks at.
const STEM_KEY: usize = 3;

impl<T> Default for PhraseSet<T> {
    fn default() -> Self {
        Self { phrases: Vec::new(), by_word: HashMap::new(), by_start: HashMap::new(), anywhere: Vec::new() }
    }
}

impl<T> PhraseSet<T> {
    /// Adds a phrase.
    pub fn insert(&mut self, phrase: Phrase, value: T) {
        let number = self.phrases.len() as u32;
        match &phrase.parts[0] {
            Part::Word(word) => self.by_word.entry(word.clone()).or_default().push(number),
            Part::Glob { start, .. } if !start.is_empty() => {
                self.by_start.entry(prefix(start, STEM_KEY).into()).or_default().push(number);
            }
            _ => self.anywhere.push(number),
        }
        self.phrases.push((phrase, value));
    }

    /// Calls `found(end, phrase, value)` for each phrase that begins at word `at`; `end` is exclusive.
    pub fn matches_at<'a>(&'a self, words: &Words, at: usize, mut found: impl FnMut(usize, &'a Phrase, &'a T)) {
        let word = words.get(at);
        let mut look = |numbers: &[u32]| {
            for &number in numbers {
                let (phrase, value) = &self.phrases[number as usize];
                if let Some(end) = phrase.match_at(words, at) {
                    found(end, phrase, value);
                }
            }
        };
        if let Some(numbers) = self.by_word.get(word) {
            look(numbers);
        }
        let mut previous = 0;
        for length in 1..=STEM_KEY {
            let key = prefix(word, length);
            if key.len() == previous {
                break;
            }
            previous = key.len();
            if let Some(numbers) = self.by_start.get(key) {
                look(numbers);
            }
        }
        look(&self.anywhere);
    }

    /// Calls `found(start, end, phrase, value)` for each phrase anywhere in the text.
    pub fn matches<'a>(&'a self, words: &Words, mut found: impl FnMut(usize, usize, &'a Phrase, &'a T)) {
        for at in 0..words.len() {
            self.matches_at(words, at, |end, phrase, value| found(at, end, phrase, value));
        }
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.phrases.is_empty()
    }
}

fn prefix(word: &str, characters: usize) -> &str {
    word.char_indices().nth(characters).map_or(word, |(at, _)| &word[..at])
}

/// How many bytes of a sentence are kept on each side of a place in it.
const REACH: usize = 150;

/// Returns the sentence around a place in a text, at most about 300 characters of it.
pub fn sentence_around(text: &str, start: usize, end: usize) -> String {
    let is_end = |c: char| matches!(c, '.' | '!' | '?' | ';' | '\n' | '…' | '。');
    let mut from = text[..start].rfind(is_end).map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    let mut to = text[end..]
        .find(is_end)
        .map_or(text.len(), |at| end + at + text[end + at..].chars().next().map_or(1, char::len_utf8));
    if start - from > REACH {
        from = (start - REACH..start).find(|&at| text.is_char_boundary(at)).unwrap_or(start);
    }
    if to - end > REACH {
        to = (end..=end + REACH).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(end);
    }
    fold_spaces(&text[from..to])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(phrase: &str, text: &str, expected: bool) {
        let phrase = Phrase::parse(phrase, 4).expect("a phrase with words");
        let words = Words::new(text);
        let found = (0..words.len()).any(|at| phrase.match_at(&words, at).is_some());
        assert_eq!(found, expected, "{phrase:?} in {text:?}");
    }

    #[test]
    fn phrases_are_found_whatever_the_signs_and_case() {
        check("j'accepte", "✓ J’ACCEPTE !", true);
        check("cookie*", "Cookie-uri", true);
        check("odmítnout vše", "Odmitnout\u{a0}vse", true);
        check("we use * cookies", "We use our own and our partners' cookies", false);
        check("we use * cookies", "We use our own tasty cookies", true);
        check("*einstellungen", "Cookieeinstellungen", true);
        check("accept", "acceptable", false);
        check("tracking", "back\u{ad}tracking", false);
    }

    #[test]
    fn a_sentence_is_cut_at_its_ends() {
        let text = "One. Two words here! Three.";
        let at = text.find("words").expect("it is there");
        assert_eq!(sentence_around(text, at, at + 5), "Two words here!");
    }
}
