//! Reads a TOML document by hand, so that every fault of a file is reported at once, each with its line.
//!
//! A table remembers which keys it was asked for; whatever else stands in it is a fault, with the nearest known key.

use crate::names::{NameError, nearest};
use std::{cell::RefCell, fmt, rc::Rc, str::FromStr};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// The largest file that is read, in bytes.
pub const MAX_BYTES: usize = 4 << 20;

/// One thing wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
    /// The way out, where there is an obvious one.
    pub help: Option<String>,
}

/// Everything wrong in a file, in the order of its lines; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Faults {
    /// The faults.
    pub faults: Vec<Fault>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "line {}: {}", fault.line, fault.what)?;
            if let Some(help) = &fault.help {
                write!(f, "; {help}")?;
            }
        }
        Ok(())
    }
}

/// A value and the line it stands on.
#[derive(Debug, Clone)]
pub struct Placed<T> {
    /// The line, from 1.
    pub line: usize,
    /// The value.
    pub value: T,
}

/// The faults found so far, shared by all tables of a document.
#[derive(Debug, Default)]
pub struct Found {
    /// Byte offsets at which lines begin.
    starts: Vec<usize>,
    faults: RefCell<Vec<Fault>>,
}

impl Found {
    fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset).max(1)
    }

    /// Adds a fault.
    pub fn add(&self, line: usize, what: impl Into<String>) {
        self.faults.borrow_mut().push(Fault { line, what: what.into(), help: None });
    }

    /// Adds a fault, with the way out.
    pub fn add_with_help(&self, line: usize, what: impl Into<String>, help: Option<String>) {
        self.faults.borrow_mut().push(Fault { line, what: what.into(), help });
    }

    /// Adds that `given` is none of `known`, with the nearest.
    pub fn add_unknown<'a>(&self, line: usize, what: String, given: &str, known: impl IntoIterator<Item = &'a str>) {
        let known: Vec<&str> = known.into_iter().collect();
        let help = match nearest(given, known.iter().copied()) {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None if known.is_empty() => None,
            None => Some(format!("known are {}", listed(&known))),
        };
        self.add_with_help(line, what, help);
    }
}

/// Returns names as `a`, `b` and `c`.
pub fn listed<T: fmt::Display>(names: &[T]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => "none".into(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Reads a document with a function that takes its root; gives its value only if nothing was wrong.
pub fn read<T>(text: &str, schema: &str, build: impl FnOnce(&Table<'_>) -> Option<T>) -> Result<T, Faults> {
    if text.len() > MAX_BYTES {
        let what = format!("the file has {} bytes, expected at most {MAX_BYTES}", text.len());
        return Err(Faults { faults: vec![Fault { line: 1, what, help: None }] });
    }
    let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let found = Rc::new(Found { starts, faults: RefCell::default() });
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let line = found.line(error.span().map_or(0, |span| span.start));
        found.add(line, format!("not TOML: {}", error.message().trim().replace('\n', ", ")));
    }
    let mut built = None;
    // What a broken document seems to say is not worth a second opinion.
    if errors.is_empty() {
        let table = Table { found: Rc::clone(&found), line: 1, entries: root.get_ref(), asked: RefCell::default() };
        if let Some(given) = table.text("schema")
            && given.value != schema
        {
            found.add(given.line, format!("the schema is `{}`, expected `{schema}`", given.value));
        }
        built = build(&table);
        table.finish();
    }
    let mut faults = found.faults.take();
    faults.sort_by_key(|fault| fault.line);
    match built {
        Some(value) if faults.is_empty() => Ok(value),
        _ => {
            assert!(!faults.is_empty(), "a document that gives no value has a fault");
            Err(Faults { faults })
        }
    }
}

/// A table of a document.
pub struct Table<'d> {
    /// Where faults go.
    pub found: Rc<Found>,
    /// The line on which it begins.
    pub line: usize,
    entries: &'d DeTable<'d>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'d> Table<'d> {
    fn entry(&self, key: &'static str) -> Option<(usize, &'d Spanned<DeValue<'d>>)> {
        self.asked.borrow_mut().push(key);
        let (_, value) = self.entries.iter().find(|(name, _)| name.get_ref() == key)?;
        Some((self.found.line(value.span().start), value))
    }

    fn missing(&self, key: &str) {
        self.found.add(self.line, format!("`{key}` is missing"));
    }

    fn wrong(&self, line: usize, key: &str, value: &DeValue<'_>, expected: &str) {
        self.found.add(line, format!("`{key}` is {}, expected {expected}", with_article(value.type_str())));
    }

    /// Returns whether the key is there.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| name.get_ref() == key)
    }

    /// Reads a text; none if the key is not there.
    pub fn optional_text(&self, key: &'static str) -> Option<Placed<String>> {
        let (line, value) = self.entry(key)?;
        if let Some(text) = value.get_ref().as_str() {
            Some(Placed { line, value: text.to_owned() })
        } else {
            self.wrong(line, key, value.get_ref(), "a string");
            None
        }
    }

    /// Reads a text; it is a fault if the key is not there.
    pub fn text(&self, key: &'static str) -> Option<Placed<String>> {
        if !self.has(key) {
            self.asked.borrow_mut().push(key);
            self.missing(key);
            return None;
        }
        self.optional_text(key)
    }

    /// Reads a name; what cannot be one is a fault.
    pub fn name<T: FromStr<Err = NameError>>(&self, key: &'static str) -> Option<Placed<T>> {
        self.text(key).and_then(|text| self.parsed(text))
    }

    /// Reads a name; none if the key is not there.
    pub fn optional_name<T: FromStr<Err = NameError>>(&self, key: &'static str) -> Option<Placed<T>> {
        self.optional_text(key).and_then(|text| self.parsed(text))
    }

    fn parsed<T: FromStr<Err = NameError>>(&self, text: Placed<String>) -> Option<Placed<T>> {
        match text.value.parse() {
            Ok(value) => Some(Placed { line: text.line, value }),
            Err(error) => {
                self.found.add(text.line, error.to_string());
                None
            }
        }
    }

    /// Reads a word of a closed list.
    pub fn word<T: Copy>(&self, key: &'static str, words: &[(&str, T)]) -> Option<Placed<T>> {
        self.text(key).and_then(|text| self.one_of(key, text, words))
    }

    /// Reads a word of a closed list; none if the key is not there.
    pub fn optional_word<T: Copy>(&self, key: &'static str, words: &[(&str, T)]) -> Option<Placed<T>> {
        self.optional_text(key).and_then(|text| self.one_of(key, text, words))
    }

    fn one_of<T: Copy>(&self, key: &str, text: Placed<String>, words: &[(&str, T)]) -> Option<Placed<T>> {
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.value) {
            return Some(Placed { line: text.line, value: *value });
        }
        let what = format!("`{key}` is `{}`", text.value);
        self.found.add_unknown(text.line, what, &text.value, words.iter().map(|(word, _)| *word));
        None
    }

    /// Reads a flag; false if the key is not there.
    pub fn flag(&self, key: &'static str) -> bool {
        let Some((line, value)) = self.entry(key) else { return false };
        value.get_ref().as_bool().unwrap_or_else(|| {
            self.wrong(line, key, value.get_ref(), "true or false");
            false
        })
    }

    /// Reads an integer; it is a fault if the key is not there.
    pub fn integer(&self, key: &'static str) -> Option<Placed<i64>> {
        if !self.has(key) {
            self.asked.borrow_mut().push(key);
            self.missing(key);
            return None;
        }
        let (line, value) = self.entry(key)?;
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|integer| i64::from_str_radix(integer.as_str(), integer.radix()).ok());
        if number.is_none() {
            self.wrong(line, key, value.get_ref(), "an integer of 64 bits");
        }
        number.map(|value| Placed { line, value })
    }

    /// Reads a list of names; none if the key is not there.
    pub fn names<T: FromStr<Err = NameError>>(&self, key: &'static str) -> Option<Vec<Placed<T>>> {
        let (line, value) = self.entry(key)?;
        let Some(array) = value.get_ref().as_array() else {
            self.wrong(line, key, value.get_ref(), "a list of strings");
            return None;
        };
        let mut names = Vec::new();
        for item in array {
            let line = self.found.line(item.span().start);
            match item.get_ref().as_str() {
                Some(text) => names.extend(self.parsed(Placed { line, value: text.to_owned() })),
                None => self.wrong(line, key, item.get_ref(), "a string"),
            }
        }
        Some(names)
    }

    /// Returns the tables of a list of tables, in order.
    pub fn tables(&self, key: &'static str) -> Vec<Table<'d>> {
        let Some((line, value)) = self.entry(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong(line, key, value.get_ref(), &format!("tables, written `[[{key}]]`"));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in array {
            let line = self.found.line(item.span().start);
            match item.get_ref().as_table() {
                Some(entries) => {
                    tables.push(Table { found: Rc::clone(&self.found), line, entries, asked: RefCell::default() });
                }
                None => self.wrong(line, key, item.get_ref(), "a table"),
            }
        }
        tables
    }

    /// Returns a table within; it is a fault if the key is not there.
    pub fn table(&self, key: &'static str) -> Option<Table<'d>> {
        let Some((line, value)) = self.entry(key) else {
            self.missing(key);
            return None;
        };
        let Some(entries) = value.get_ref().as_table() else {
            self.wrong(line, key, value.get_ref(), "a table");
            return None;
        };
        Some(Table { found: Rc::clone(&self.found), line, entries, asked: RefCell::default() })
    }

    /// Reports every key that nobody asked for.
    pub fn finish(&self) {
        let asked = self.asked.borrow();
        for (name, _) in self.entries {
            let given: &str = name.get_ref();
            if !asked.contains(&given) {
                let line = self.found.line(name.span().start);
                self.found.add_unknown(line, format!("unknown key `{given}`"), given, asked.iter().copied());
            }
        }
    }
}

fn with_article(type_name: &str) -> String {
    let article = if type_name.starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{article} {type_name}")
}
