//! The budget in a file, which one process at a time may write.

use crate::{Budget, Keep, LineError};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

/// The file of a budget, open for appending and locked for as long as this lives.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// A write failed: what lies at the end is unknown until the file is opened again.
    uncertain: bool,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process has it.
    #[error("the budget's journal `{0}` is in use by another process")]
    InUse(PathBuf),
    /// The disk refuses.
    #[error("the budget's journal `{path}` could not be {what}")]
    Disk {
        /// The file.
        path: PathBuf,
        /// What was attempted.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It does not hold what it should.
    #[error("the budget's journal `{path}` cannot be read")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        #[source]
        source: LineError,
    },
    /// An earlier write failed.
    #[error("the budget's journal `{0}` must be opened again, for an earlier record may or may not have been kept")]
    Uncertain(PathBuf),
}

impl Journal {
    /// Opens or makes the file, and reads what was spent.
    ///
    /// A last line that was cut off by a crash is removed: its release was not drawn, for that waits for the whole line. A
    /// whole last line that only lacks its end counts.
    ///
    /// # Errors
    ///
    /// [`JournalError`]; the file is then as it was, but for a line cut off.
    pub fn open(path: &Path) -> Result<(Self, Budget), JournalError> {
        let failed = |what| move |source| JournalError::Disk { path: path.to_owned(), what, source };
        let new = !path.exists();
        let mut file =
            (OpenOptions::new().read(true).append(true).create(true).open(path)).map_err(failed("opened"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => return Err(failed("locked")(source)),
        }
        if new {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("made"))?;
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(failed("read"))?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let last = String::from_utf8_lossy(&text[whole..]).into_owned();
        if !last.is_empty() {
            let mended = if Budget::parse(&last).is_ok() {
                text.push(b'\n');
                file.write_all(b"\n")
            } else {
                text.truncate(whole);
                file.set_len(whole as u64)
            };
            mended.and_then(|()| file.sync_data()).map_err(failed("mended"))?;
        }
        let damaged = |source| JournalError::Damaged { path: path.to_owned(), source };
        let budget = Budget::parse(&String::from_utf8_lossy(&text)).map_err(damaged)?;
        file.seek(SeekFrom::End(0)).map_err(failed("read"))?;
        Ok((Self { path: path.to_owned(), file, uncertain: false }, budget))
    }
}

impl Keep for Journal {
    type Error = JournalError;

    fn keep(&mut self, line: &str) -> Result<(), JournalError> {
        if self.uncertain {
            return Err(JournalError::Uncertain(self.path.clone()));
        }
        // If this fails half way, a cut or whole line is left; `open` tells them apart.
        self.uncertain = true;
        let written = self.file.write_all(format!("{line}\n").as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|source| JournalError::Disk { path: self.path.clone(), what: "written", source })?;
        self.uncertain = false;
        Ok(())
    }
}
