//! What a witness has cosigned: one head a log, on the disk before anybody hears of it.
//!
//! [`Witness::add_checkpoint`] is the whole of an honest witness: it decides (`ledger::witness`), stores, and only then
//! signs. Check and store are one step under one lock, or two requests at once could roll a log back.
//!
//! A folder holds `keys` (secrets), `logs` (a line for each log watched) and `heads/<hex sha256(origin)>` (the head
//! cosigned last, verbatim). A copy of the folder from an older day makes a witness that can be fooled into cosigning a
//! fork: never restore it from a backup.

use crate::durable;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use vigie_ledger::key::{Algorithm, KeyError};
use vigie_ledger::note::Signature;
use vigie_ledger::witness::{AddCheckpoint, Answer, Seen, answer};
use vigie_ledger::{Hash, KeyName, Note, SignedCheckpoint, SignerKey, VerifierKey};

/// A witness: its keys, the logs it watches, and what it has cosigned.
#[derive(Debug)]
pub struct Witness {
    folder: PathBuf,
    keys: Vec<SignerKey>,
    logs: BTreeMap<KeyName, Log>,
    _lock: File,
}

#[derive(Debug)]
struct Log {
    keys: Vec<VerifierKey>,
    // INVARIANT (memory follows the disk): changed only after the file was replaced.
    head: Arc<Mutex<Option<SignedCheckpoint>>>,
}

/// Why a witness cannot be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// The folder is somebody else's, or not there.
    #[error("`{}` holds no witness", .0.display())]
    None(PathBuf),
    /// There is one already.
    #[error("`{}` holds a witness already", .0.display())]
    Exists(PathBuf),
    /// Another process is this witness.
    #[error("the witness in `{}` is running in another process", .0.display())]
    Running(PathBuf),
    /// A file cannot be read or written.
    #[error("`{}` cannot be read or written", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A key cannot be used.
    #[error("line {line} of `{}` cannot be used", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// A key of the wrong kind.
    #[error("line {line} of `{}` is not the key of a {expected}", .path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Whose key it should be.
        expected: &'static str,
    },
    /// A stored head is damaged. Going on could mean to cosign a fork.
    #[error("the stored head `{}` is damaged; without it, this witness no longer knows what it has cosigned", .0.display())]
    Head(PathBuf),
}

/// What goes back to whoever asked for a cosignature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// 200: the lines of this witness.
    Cosigned(Vec<Signature>),
    /// Another status, with what is to be said.
    Refused(Answer),
    /// 500: the head could not be stored, so nothing was signed.
    NotStored,
}

impl Witness {
    /// Makes a witness in a folder: a key for each algorithm, of the seeds given.
    ///
    /// # Errors
    ///
    /// [`WitnessError::Exists`], [`WitnessError::File`].
    ///
    /// # Panics
    ///
    /// If a key is not that of a cosigner.
    pub fn init(folder: &Path, keys: &[SignerKey]) -> Result<(), WitnessError> {
        assert!(keys.iter().all(|key| key.verifier().algorithm().is_cosigner()), "a witness cosigns");
        let path = folder.join("keys");
        if path.exists() {
            return Err(WitnessError::Exists(folder.to_owned()));
        }
        let failed = |source| WitnessError::File { path: folder.to_owned(), source };
        std::fs::create_dir_all(folder.join("heads")).map_err(failed)?;
        durable::replace(&folder.join("logs"), b"", 0o644).map_err(failed)?;
        let secrets: String = keys.iter().map(|key| key.to_secret_text() + "\n").collect();
        // Last: a folder without keys is no witness.
        durable::replace(&path, secrets.as_bytes(), 0o600).map_err(failed)
    }

    /// Reads the public keys of the witness in a folder, whether it runs or not.
    ///
    /// # Errors
    ///
    /// [`WitnessError`].
    pub fn verifier_keys(folder: &Path) -> Result<Vec<VerifierKey>, WitnessError> {
        Ok(secrets(folder)?.iter().map(|key| key.verifier().clone()).collect())
    }

    /// Adds a log to those watched. A running witness learns of it when it starts again.
    ///
    /// # Errors
    ///
    /// [`WitnessError`]; [`WitnessError::Kind`] if the key is not that of a log.
    pub fn watch(folder: &Path, log: &VerifierKey) -> Result<(), WitnessError> {
        secrets(folder)?;
        let path = folder.join("logs");
        let mut logs = watched(folder)?;
        if log.algorithm() != Algorithm::Ed25519 {
            return Err(WitnessError::Kind { path, line: logs.len() + 1, expected: "log" });
        }
        if !logs.contains(log) {
            logs.push(log.clone());
        }
        let text = crate::in_lines(&logs);
        durable::replace(&path, text.as_bytes(), 0o644).map_err(|source| WitnessError::File { path, source })
    }

    /// Opens the witness in a folder. No other process can, until this value is gone.
    ///
    /// # Errors
    ///
    /// [`WitnessError`].
    pub fn open(folder: &Path) -> Result<Self, WitnessError> {
        let keys = secrets(folder)?;
        let failed = |source| WitnessError::File { path: folder.to_owned(), source };
        let lock = durable::lock(folder).map_err(failed)?.ok_or_else(|| WitnessError::Running(folder.to_owned()))?;
        let mut logs: BTreeMap<KeyName, Log> = BTreeMap::new();
        for key in watched(folder)? {
            let name = key.name().clone();
            logs.entry(name).or_insert_with(|| Log { keys: Vec::new(), head: Arc::default() }).keys.push(key);
        }
        for (origin, log) in &mut logs {
            log.head = Arc::new(Mutex::new(stored(&head_path(folder, origin), &log.keys)?));
        }
        Ok(Self { folder: folder.to_owned(), keys, logs, _lock: lock })
    }

    /// Lists the logs watched.
    pub fn origins(&self) -> impl Iterator<Item = &KeyName> {
        self.logs.keys()
    }

    /// Returns the head cosigned last, by the hexadecimal SHA-256 of its log's origin, with the cosignatures.
    pub fn latest(&self, hex_origin: &str) -> Option<Note> {
        let (_, log) =
            self.logs.iter().find(|(origin, _)| Hash::of(origin.as_str().as_bytes()).to_hex() == hex_origin)?;
        let head = log.head.lock().unwrap_or_else(PoisonError::into_inner);
        head.as_ref().map(|head| head.note().clone())
    }

    /// Answers a request for a cosignature, at `time` in seconds since 1970.
    ///
    /// What is returned as cosigned is on the disk.
    ///
    /// # Panics
    ///
    /// If `time` is 0.
    pub fn add_checkpoint(&self, request: &AddCheckpoint, time: u64) -> Reply {
        let Some(log) = request.origin().and_then(|origin| self.logs.get(&origin)) else {
            return Reply::Refused(answer(request, &[], Seen::NOTHING));
        };
        // Held until the new head is stored: checking the old size and storing the new one is one step.
        let mut head = log.head.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = head.as_ref().map_or(Seen::NOTHING, |head| {
            let checkpoint = head.checkpoint();
            Seen { size: checkpoint.size(), root: checkpoint.root() }
        });
        let mut checkpoint = match answer(request, &log.keys, seen) {
            Answer::Cosign(checkpoint) => checkpoint,
            refused => return Reply::Refused(refused),
        };
        let lines: Vec<_> = self.keys.iter().map(|key| key.cosign(checkpoint.checkpoint(), time)).collect();
        for line in &lines {
            checkpoint.note_mut().add(line.clone());
        }
        let path = head_path(&self.folder, checkpoint.checkpoint().origin());
        if durable::replace(&path, checkpoint.note().to_string().as_bytes(), 0o644).is_err() {
            // The lines made above are dropped: what is not stored was not cosigned.
            return Reply::NotStored;
        }
        *head = Some(checkpoint);
        Reply::Cosigned(lines)
    }
}

fn head_path(folder: &Path, origin: &KeyName) -> PathBuf {
    folder.join("heads").join(Hash::of(origin.as_str().as_bytes()).to_hex())
}

fn lines(path: &Path) -> Result<Vec<(usize, String)>, io::Error> {
    let text = std::fs::read_to_string(path)?;
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim().to_owned()));
    Ok(lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).collect())
}

fn secrets(folder: &Path) -> Result<Vec<SignerKey>, WitnessError> {
    let path = folder.join("keys");
    let found = match lines(&path) {
        Ok(found) if !found.is_empty() => found,
        Ok(_) => return Err(WitnessError::None(folder.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(WitnessError::None(folder.to_owned())),
        Err(source) => return Err(WitnessError::File { path, source }),
    };
    let read = |(line, text): (usize, String)| {
        let key = SignerKey::from_secret_text(&text).map_err(|source| WitnessError::Key {
            path: path.clone(),
            line,
            source,
        })?;
        let cosigner = key.verifier().algorithm().is_cosigner();
        if cosigner { Ok(key) } else { Err(WitnessError::Kind { path: path.clone(), line, expected: "witness" }) }
    };
    found.into_iter().map(read).collect()
}

fn watched(folder: &Path) -> Result<Vec<VerifierKey>, WitnessError> {
    let path = folder.join("logs");
    let found = lines(&path).map_err(|source| WitnessError::File { path: path.clone(), source })?;
    let read = |(line, text): (usize, String)| {
        let key: VerifierKey = text.parse().map_err(|source| WitnessError::Key { path: path.clone(), line, source })?;
        let of_log = key.algorithm() == Algorithm::Ed25519;
        if of_log { Ok(key) } else { Err(WitnessError::Kind { path: path.clone(), line, expected: "log" }) }
    };
    found.into_iter().map(read).collect()
}

fn stored(path: &Path, keys: &[VerifierKey]) -> Result<Option<SignedCheckpoint>, WitnessError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(WitnessError::File { path: path.to_owned(), source }),
    };
    let opened = keys.iter().find_map(|key| SignedCheckpoint::open(&bytes, key).ok());
    opened.map(Some).ok_or_else(|| WitnessError::Head(path.to_owned()))
}
