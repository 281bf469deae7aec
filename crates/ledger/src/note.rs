//! Signed notes: a text and signature lines under it, as logs, witnesses and authorities exchange them.
//!
//! A note is only text until [`Note::verify`] has found a signature by a key that the reader knows. A bad signature by a
//! known key condemns the whole note; signatures by unknown keys are as good as absent.
//!
//! # Source
//!
//! C2SP signed-note 1.0.0. The limits ([`MAX_NOTE_BYTES`], [`MAX_SIGNATURES`]) are ours; the specification asks for
//! at least 16 signatures.

use crate::key::{BadSignature, KeyId, KeyName, VerifierKey};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::fmt;

/// Most bytes of a note that is read: 64 signatures of the longest kind, and some text.
pub const MAX_NOTE_BYTES: usize = 256 * 1024;
/// Most signatures of a note that is read.
pub const MAX_SIGNATURES: usize = 64;

/// A text with its signatures, none of them checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    // INVARIANT (the text is whole lines): ends in a newline, has no other control character.
    text: String,
    signatures: Vec<Signature>,
}

/// A signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Who is said to have signed.
    pub name: KeyName,
    /// With which key.
    pub id: KeyId,
    /// What follows the id: for cosignatures, a time and a signature.
    pub bytes: Vec<u8>,
}

/// A signature that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed<'key> {
    /// The key it was checked with.
    pub key: &'key VerifierKey,
    /// When it was made, in seconds since 1970, by the word of a cosigner; `None` for plain signatures.
    pub time: Option<u64>,
}

/// What is wrong with a note.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoteError {
    /// It is larger than anything sensible.
    #[error("note has {0} bytes, more than the {MAX_NOTE_BYTES} that are read")]
    TooLarge(usize),
    /// It is not text.
    #[error("note is not UTF-8")]
    NotText,
    /// It contains a control character.
    #[error("note contains the control character U+{0:04X}")]
    Control(u32),
    /// Text and signatures cannot be told apart.
    #[error("note has no empty line before its signatures")]
    NoSignatures,
    /// A signature line cannot be read.
    #[error("signature line {line} of the note is not `— NAME BASE64`")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// There are too many signatures.
    #[error("note has {0} signatures, more than the {MAX_SIGNATURES} that are read")]
    TooMany(usize),
    /// A key that is known did not make the signature under its name.
    #[error("signature by `{name}` does not match the note")]
    Bad {
        /// The key's name.
        name: KeyName,
        /// What does not match.
        #[source]
        source: BadSignature,
    },
    /// Nobody known has signed.
    #[error("note is signed by none of the keys expected")]
    Unsigned,
}

impl Note {
    /// Makes a note without signatures yet.
    ///
    /// # Errors
    ///
    /// [`NoteError::Control`] if the text contains a control character, [`NoteError::NoSignatures`] if it does not end in
    /// a newline.
    pub fn new(text: impl Into<String>) -> Result<Self, NoteError> {
        let text = text.into();
        if !text.ends_with('\n') {
            return Err(NoteError::NoSignatures);
        }
        no_control(&text)?;
        Ok(Self { text, signatures: Vec::new() })
    }

    /// Reads a note.
    ///
    /// # Errors
    ///
    /// [`NoteError`], but for what only verification tells.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLarge(bytes.len()));
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| NoteError::NotText)?;
        no_control(whole)?;
        // The last empty line: the text may contain others.
        let split = whole.rfind("\n\n").ok_or(NoteError::NoSignatures)?;
        let (text, lines) = (&whole[..=split], &whole[split + 2..]);
        if lines.is_empty() {
            return Err(NoteError::NoSignatures);
        }
        let Some(lines) = lines.strip_suffix('\n') else { return Err(NoteError::Line { line: lines.lines().count() }) };
        let count = lines.split('\n').count();
        if count > MAX_SIGNATURES {
            return Err(NoteError::TooMany(count));
        }
        let signatures = lines
            .split('\n')
            .enumerate()
            .map(|(at, line)| Signature::parse(line).ok_or(NoteError::Line { line: at + 1 }))
            .collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// Returns what was signed, with its last newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the signature lines, none of them checked.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Adds a signature line, unless it is there.
    pub fn add(&mut self, signature: Signature) {
        if !self.signatures.contains(&signature) {
            self.signatures.push(signature);
        }
    }

    /// Checks all signatures by the keys given, and returns them in their order, each key once.
    ///
    /// # Errors
    ///
    /// [`NoteError::Bad`] if one of these keys is said to have signed and has not; [`NoteError::Unsigned`] if none of them
    /// has.
    pub fn verify<'key>(
        &self,
        keys: impl IntoIterator<Item = &'key VerifierKey>,
    ) -> Result<Vec<Signed<'key>>, NoteError> {
        let keys: Vec<_> = keys.into_iter().collect();
        let mut signed: Vec<Signed<'key>> = Vec::new();
        for signature in &self.signatures {
            let Some(key) = keys.iter().find(|key| *key.name() == signature.name && key.id() == signature.id) else {
                continue;
            };
            let time = key
                .verify(&self.text, &signature.bytes)
                .map_err(|source| NoteError::Bad { name: signature.name.clone(), source })?;
            match signed.iter_mut().find(|other| other.key == *key) {
                // Of two cosignatures by one key, the later says more.
                Some(other) => other.time = other.time.max(time),
                None => signed.push(Signed { key, time }),
            }
        }
        if signed.is_empty() { Err(NoteError::Unsigned) } else { Ok(signed) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(formatter, "{signature}"))
    }
}

impl Signature {
    /// Reads a signature line, without its newline.
    pub fn parse(line: &str) -> Option<Self> {
        let (name, base64) = line.strip_prefix("— ")?.split_once(' ')?;
        let bytes = BASE64_STANDARD.decode(base64).ok()?;
        let (id, bytes) = bytes.split_first_chunk::<4>()?;
        if bytes.is_empty() {
            return None;
        }
        Some(Self { name: name.parse().ok()?, id: KeyId(*id), bytes: bytes.to_vec() })
    }
}

impl fmt::Display for Signature {
    /// Writes the line, without its newline.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.id.0, self.bytes.as_slice()].concat();
        write!(formatter, "— {} {}", self.name, BASE64_STANDARD.encode(bytes))
    }
}

fn no_control(text: &str) -> Result<(), NoteError> {
    match text.chars().find(|character| *character < ' ' && *character != '\n') {
        Some(character) => Err(NoteError::Control(character.into())),
        None => Ok(()),
    }
}
