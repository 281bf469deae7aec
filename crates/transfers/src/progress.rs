//! How far a flow is: lines that are durable before what they announce.
//!
//! ```text
//! {"begun":{"run":"…","source":"…","at":…}}
//! {"intent":{"batch":0,"event":"…","until":{…},"records":…,"withheld":{…}}}     nothing is logged yet
//! {"logged":{"event":"…","index":12}}                           it may have been delivered from here on
//! {"delivered":{"batch":0,"until":{…},"records":…,"withheld":{…}}}
//! {"voided":{"event":"…"}}                                      logged, and did not leave
//! {"ended":{"run":"…"}}
//! ```
//!
//! The surprise: a line that is cut at its end was never promised, and is removed.

use crate::choice::Withheld;
use crate::source::Position;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// A run begins.
    Begun {
        /// Its name.
        run: String,
        /// The fingerprint of its source, in base64.
        source: String,
        /// When, in seconds since 1970.
        at: u64,
    },
    /// A batch is about to be logged.
    Intent {
        /// Its number.
        batch: u64,
        /// Its event.
        event: String,
        /// Where the source is behind it.
        until: Position,
        /// Records that are to leave.
        records: u64,
        /// Records that stay.
        withheld: Withheld,
    },
    /// It is logged.
    Logged {
        /// Its event.
        event: String,
        /// Its index.
        index: u64,
    },
    /// It has arrived; or nothing of it was to leave.
    Delivered {
        /// Its number.
        batch: u64,
        /// Where the source is behind it.
        until: Position,
        /// Records that left.
        records: u64,
        /// Records that stayed.
        withheld: Withheld,
    },
    /// It is logged, and did not leave.
    Voided {
        /// Its event.
        event: String,
    },
    /// All is handed over.
    Ended {
        /// The run.
        run: String,
    },
}

/// A batch that was begun, and not said to have arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its number.
    pub batch: u64,
    /// Its event.
    pub event: String,
    /// Where the source is behind it.
    pub until: Position,
    /// Records that are to leave.
    pub records: u64,
    /// Records that stay.
    pub withheld: Withheld,
    /// Whether it may have been delivered.
    pub logged: Logged,
}

/// Whether a batch was known to be logged, so that it may have been delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logged {
    /// No: nothing left.
    NotKnown,
    /// Yes.
    Known,
}

/// How far a flow is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// The run that is not ended, and the fingerprint of its source.
    pub run: Option<(String, String)>,
    /// Where its source is.
    pub position: Position,
    /// The number of the next batch.
    pub batch: u64,
    /// Records that left.
    pub records: u64,
    /// Records that stayed.
    pub withheld: Withheld,
    /// A batch on its way.
    pub pending: Option<Pending>,
    /// Runs that ended.
    pub runs: u64,
}

/// Why it is not known how far a flow is.
#[derive(Debug, thiserror::Error)]
pub enum ProgressError {
    /// A file cannot be read or written.
    #[error("`{}` cannot be {doing}: {why}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What was done.
        doing: &'static str,
        /// The system's words.
        why: String,
    },
    /// A line cannot be read.
    #[error("line {line} of `{}` cannot be read; nothing leaves before somebody has looked", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// Another process runs the flow.
    #[error("another process runs this flow: `{}` is locked", .path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
}

/// The lines of a flow.
#[derive(Debug)]
pub struct Lines {
    path: PathBuf,
    file: File,
    /// What they say.
    pub progress: Progress,
}

impl Progress {
    fn take(&mut self, line: Line) {
        match line {
            Line::Begun { run, source, .. } => {
                let runs = self.runs;
                *self = Self { run: Some((run, source)), runs, ..Self::default() };
            }
            Line::Intent { batch, event, until, records, withheld } => {
                let logged = Logged::NotKnown;
                self.pending = Some(Pending { batch, event, until, records, withheld, logged });
            }
            Line::Logged { event, .. } => {
                if let Some(pending) = self.pending.as_mut().filter(|pending| pending.event == event) {
                    pending.logged = Logged::Known;
                }
            }
            Line::Delivered { batch, until, records, withheld } => {
                self.pending = None;
                self.position = until;
                self.batch = batch + 1;
                self.records += records;
                for (reason, count) in withheld {
                    *self.withheld.entry(reason).or_default() += count;
                }
            }
            Line::Voided { .. } => self.pending = None,
            Line::Ended { .. } => {
                self.run = None;
                self.runs += 1;
            }
        }
    }
}

impl Lines {
    /// Opens the lines of a flow, for this process alone; cuts a line that was never promised.
    ///
    /// # Errors
    ///
    /// [`ProgressError`].
    pub fn open(path: &Path) -> Result<Self, ProgressError> {
        let failed = |doing| {
            move |error: std::io::Error| ProgressError::File { path: path.to_owned(), doing, why: error.to_string() }
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed("made"))?;
        }
        let file = OpenOptions::new().create(true).append(true).read(true).open(path).map_err(failed("opened"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(ProgressError::Locked { path: path.to_owned() }),
            Err(std::fs::TryLockError::Error(error)) => return Err(failed("locked")(error)),
        }
        let text = std::fs::read(path).map_err(failed("read"))?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole < text.len() {
            file.set_len(whole as u64).map_err(failed("cut"))?;
        }
        sync_folder_of(path).map_err(failed("synced"))?;
        let mut progress = Progress::default();
        for (at, line) in text[..whole].split_inclusive(|byte| *byte == b'\n').enumerate() {
            let line = serde_json::from_slice(line);
            progress.take(line.map_err(|_| ProgressError::Line { path: path.to_owned(), line: at + 1 })?);
        }
        Ok(Self { path: path.to_owned(), file, progress })
    }

    /// Adds a line, which is durable when this returns.
    ///
    /// # Errors
    ///
    /// [`ProgressError::File`]; then the line may be there or not, and the flow must be opened again.
    pub fn add(&mut self, line: Line) -> Result<(), ProgressError> {
        let mut text = serde_json::to_vec(&line).expect("a line can be written");
        text.push(b'\n');
        let written = self.file.write_all(&text).and_then(|()| self.file.sync_data());
        written.map_err(|error| ProgressError::File {
            path: self.path.clone(),
            doing: "written",
            why: error.to_string(),
        })?;
        self.progress.take(line);
        Ok(())
    }
}

/// Makes names in the folder of a file durable.
pub(crate) fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
