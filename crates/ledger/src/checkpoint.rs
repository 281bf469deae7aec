//! Checkpoints: what a log says of itself at one moment, and who has signed it.
//!
//! # Source
//!
//! C2SP tlog-checkpoint 1.0.0.

use crate::hash::Hash;
use crate::key::{KeyName, VerifierKey};
use crate::note::{Note, NoteError, Signed};
use std::fmt;

/// The head of a log: which log, how many entries, which root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: KeyName,
    size: u64,
    root: Hash,
    // INVARIANT (extensions are lines): none is empty, none holds a newline.
    extensions: Vec<String>,
}

/// What is wrong with the text of a checkpoint.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CheckpointError {
    /// The first line cannot be an origin.
    #[error("line 1 of the checkpoint is no origin: `{0}`")]
    Origin(String),
    /// The second line is no size.
    #[error("line 2 of the checkpoint is no size in decimal digits: `{0}`")]
    Size(String),
    /// The third line is no root.
    #[error("line 3 of the checkpoint is no hash in base64: `{0}`")]
    Root(String),
    /// An extension line is empty.
    #[error("line {0} of the checkpoint is empty")]
    Extension(usize),
    /// The last line does not end.
    #[error("checkpoint does not end in a newline")]
    Cut,
    /// An empty tree has a root that only another tree can have.
    #[error("checkpoint of an empty tree has the root {0}, which is not that of the empty tree")]
    NotEmpty(Hash),
}

/// A checkpoint with its signatures, of which the log's has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    note: Note,
    checkpoint: Checkpoint,
}

/// Why a checkpoint is not the log's.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OpenError {
    /// It is no note, or not signed by the log.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// It is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// It belongs to another log.
    #[error("checkpoint is of the log `{found}`, expected `{expected}`")]
    Origin {
        /// The origin read.
        found: KeyName,
        /// The name of the key it was checked with.
        expected: KeyName,
    },
}

impl Checkpoint {
    /// Makes the head of a log. `root` of an empty tree is [`Hash::EMPTY`].
    pub fn new(origin: KeyName, size: u64, root: Hash) -> Self {
        Self { origin, size, root, extensions: Vec::new() }
    }

    /// Reads the text of a checkpoint, without signatures.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Cut)?.split('\n');
        let mut line = || lines.next().unwrap_or_default().to_owned();
        let (origin, size, root) = (line(), line(), line());
        let origin = origin.parse().map_err(|_| CheckpointError::Origin(origin))?;
        let size = decimal(&size).ok_or(CheckpointError::Size(size))?;
        let root = Hash::from_base64(&root).ok_or(CheckpointError::Root(root))?;
        let extensions: Vec<_> = lines.map(str::to_owned).collect();
        if let Some(at) = extensions.iter().position(String::is_empty) {
            return Err(CheckpointError::Extension(at + 4));
        }
        if size == 0 && root != Hash::EMPTY {
            return Err(CheckpointError::NotEmpty(root));
        }
        Ok(Self { origin, size, root, extensions })
    }

    /// Returns which log it is of.
    pub fn origin(&self) -> &KeyName {
        &self.origin
    }

    /// Returns how many entries the log has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the root of the tree.
    pub fn root(&self) -> Hash {
        self.root
    }

    /// Returns further lines, which mean nothing here.
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }
}

impl fmt::Display for Checkpoint {
    /// Writes the text that is signed.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}\n{}\n{}", self.origin, self.size, self.root)?;
        self.extensions.iter().try_for_each(|line| writeln!(formatter, "{line}"))
    }
}

impl SignedCheckpoint {
    /// Reads a signed checkpoint and checks that the log with this key has signed it.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open(bytes: &[u8], log: &VerifierKey) -> Result<Self, OpenError> {
        Self::of_note(Note::parse(bytes)?, log)
    }

    /// The same, of a note that was read.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn of_note(note: Note, log: &VerifierKey) -> Result<Self, OpenError> {
        let checkpoint = Checkpoint::parse(note.text())?;
        if checkpoint.origin() != log.name() {
            return Err(OpenError::Origin { found: checkpoint.origin, expected: log.name().clone() });
        }
        note.verify([log])?;
        Ok(Self { note, checkpoint })
    }

    /// Returns the note, with all its signature lines.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// Adds lines of witnesses.
    pub fn note_mut(&mut self) -> &mut Note {
        &mut self.note
    }

    /// Returns what was signed.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Checks the lines of witnesses, and returns those of the keys given.
    ///
    /// # Errors
    ///
    /// [`NoteError::Bad`] if one of them is said to have cosigned and has not.
    pub fn cosigners<'key>(
        &self,
        witnesses: impl IntoIterator<Item = &'key VerifierKey>,
    ) -> Result<Vec<Signed<'key>>, NoteError> {
        match self.note.verify(witnesses) {
            Err(NoteError::Unsigned) => Ok(Vec::new()),
            other => other,
        }
    }
}

/// Reads a number as the C2SP formats write it: ASCII digits, no leading zero, no sign.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let number = text.parse::<u64>().ok()?;
    (number.to_string() == text).then_some(number)
}
