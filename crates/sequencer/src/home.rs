//! The folder of a log: what lies where, how it comes to be, and that only one program writes in it.
//!
//! | name | what it is |
//! |---|---|
//! | `log.toml` | origin, what entries are, granularity of their times |
//! | `key` | the secret key, read by its owner only |
//! | `policy` | the log's witnesses (C2SP tlog-policy); absent without any |
//! | `lock` | held while a program writes |
//! | `wal/` | the write-ahead log |
//! | `head` | the newest head that was signed, published or not |
//! | `ids/` | which events are in the log; made again if it is lost |
//! | `staging/` | files before they have their names; worth nothing |
//! | `public/` | what anybody may read: `checkpoint` and `tile/` |
//!
//! The surprise: only `public/` is for a web server. The key lies beside it, not below it.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};
use vigie_ledger::{Checkpoint, Hash, KeyName, Note, SignerKey, TrustPolicy, entry::BUCKET_SECONDS, key::Algorithm};

/// The version of the folder's layout.
const FORMAT: &str = "vigie-log/1";

/// What the entries of a log are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Entries of 148 bytes, whose rows are numbered and whose events are logged once.
    Events,
    /// Any bytes, up to 65,535 of them, as often as they come.
    Opaque,
}

/// What `log.toml` says.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    format: String,
    /// The name of the log, and of its key.
    pub origin: String,
    /// What its entries are.
    pub stream: Stream,
    /// Granularity of times in entries, in seconds.
    pub granularity_seconds: u64,
}

/// Why a folder cannot be made or used as a log.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// A file could not be read or written.
    #[error("`{path}` could not be {doing}")]
    File {
        /// The file.
        path: PathBuf,
        /// What was attempted.
        doing: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is something already.
    #[error("`{0}` is there already; a log is made in a folder of its own")]
    Exists(PathBuf),
    /// There is no log.
    #[error("`{0}` is no log: it has no `log.toml`")]
    NoLog(PathBuf),
    /// Another program writes.
    #[error("another program writes the log in `{0}`; a log has one writer")]
    Locked(PathBuf),
    /// The settings cannot be read.
    #[error("`{path}` cannot be read: {why}")]
    Settings {
        /// The file.
        path: PathBuf,
        /// Why, with the line.
        why: String,
    },
    /// The key or the policy are not this log's.
    #[error("`{path}` is not for the log `{origin}`: {why}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The log's name.
        origin: String,
        /// What is wrong.
        why: String,
    },
}

fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> HomeError {
    let path = path.to_owned();
    move |source| HomeError::File { path, doing, source }
}

/// Where the files of a log are.
#[derive(Debug, Clone)]
pub struct Home {
    folder: PathBuf,
}

impl Home {
    /// Names the folder of a log. Nothing is looked at.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Returns the folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the folder that anybody may read: `checkpoint` and `tile/`.
    pub fn public(&self) -> PathBuf {
        self.folder.join("public")
    }

    pub(crate) fn wal(&self) -> PathBuf {
        self.folder.join("wal")
    }

    pub(crate) fn ids(&self) -> PathBuf {
        self.folder.join("ids")
    }

    pub(crate) fn staging(&self) -> PathBuf {
        self.folder.join("staging")
    }

    pub(crate) fn head(&self) -> PathBuf {
        self.folder.join("head")
    }

    /// Makes a new log, with a new key: the folder appears whole or not at all. It must not be there yet.
    ///
    /// `policy` is the text of a C2SP policy that names the witnesses; it need not name the log itself.
    ///
    /// # Errors
    ///
    /// [`HomeError`]. A folder beside it, with the ending `.new`, may be left.
    pub fn init(&self, origin: &KeyName, stream: Stream, policy: Option<&str>) -> Result<SignerKey, HomeError> {
        let mut seed = [0; 32];
        let drawn = getrandom::fill(&mut seed).map_err(io::Error::from);
        drawn.map_err(failed(&self.folder.join("key"), "made"))?;
        let key = SignerKey::from_seed(origin.clone(), Algorithm::Ed25519, seed);
        self.init_with(&key, stream, policy)?;
        Ok(key)
    }

    /// Makes a new log with a key that is there already.
    ///
    /// # Errors
    ///
    /// [`HomeError`]. A folder beside it, with the ending `.new`, may be left.
    pub fn init_with(&self, key: &SignerKey, stream: Stream, policy: Option<&str>) -> Result<(), HomeError> {
        let origin = key.verifier().name();
        if self.folder.exists() {
            return Err(HomeError::Exists(self.folder.clone()));
        }
        let mut staged = self.folder.clone().into_os_string();
        staged.push(".new");
        let staged = Self::new(staged);
        let parent = match self.folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        if staged.folder.exists() {
            fs::remove_dir_all(&staged.folder).map_err(failed(&staged.folder, "removed"))?;
        }
        let settings = Settings {
            format: FORMAT.to_owned(),
            origin: origin.to_string(),
            stream,
            granularity_seconds: BUCKET_SECONDS,
        };
        // An empty log has a head, too: whoever looks before the first entry finds out whose log it is.
        let empty = Checkpoint::new(origin.clone(), 0, Hash::EMPTY);
        let mut note = Note::new(empty.to_string()).expect("a checkpoint is a text of whole lines");
        note.add(key.sign(note.text()));
        fs::create_dir_all(parent).map_err(failed(parent, "created"))?;
        for folder in [staged.folder.clone(), staged.wal(), staged.ids(), staged.staging(), staged.public()] {
            fs::create_dir(&folder).map_err(failed(&folder, "created"))?;
        }
        let toml = toml::to_string(&settings).expect("texts and numbers are TOML");
        let files = [
            ("log.toml", toml, 0o644),
            ("key", key.to_secret_text() + "\n", 0o600),
            ("lock", String::new(), 0o600),
            ("head", note.to_string(), 0o644),
        ];
        for (name, text, mode) in files.into_iter().chain(policy.map(|text| ("policy", text.to_owned(), 0o644))) {
            let path = staged.folder.join(name);
            let written = || -> io::Result<()> {
                let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
                file.write_all(text.as_bytes())?;
                file.sync_all()
            };
            written().map_err(failed(&path, "written"))?;
        }
        // Read back before it has its name, so that a policy with a mistake makes no log.
        staged.policy(key)?;
        let sync = |folder: &Path| File::open(folder).and_then(|it| it.sync_all()).map_err(failed(folder, "synced"));
        sync(&staged.folder)?;
        fs::rename(&staged.folder, &self.folder).map_err(failed(&self.folder, "named"))?;
        sync(parent)
    }

    /// Reads `log.toml`.
    ///
    /// # Errors
    ///
    /// [`HomeError::NoLog`], [`HomeError::Settings`], [`HomeError::File`].
    pub fn settings(&self) -> Result<Settings, HomeError> {
        let path = self.folder.join("log.toml");
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(HomeError::NoLog(self.folder.clone())),
            text => text.map_err(failed(&path, "read"))?,
        };
        let wrong = |why: String| HomeError::Settings { path: path.clone(), why };
        let settings: Settings = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if settings.format != FORMAT {
            return Err(wrong(format!("its format is `{}`, expected `{FORMAT}`", settings.format)));
        }
        if settings.granularity_seconds != BUCKET_SECONDS {
            return Err(wrong(format!(
                "its granularity is {} s, entries have {BUCKET_SECONDS} s",
                settings.granularity_seconds
            )));
        }
        Ok(settings)
    }

    /// Reads the secret key.
    ///
    /// # Errors
    ///
    /// [`HomeError::Foreign`] if it is no key, or of another name; [`HomeError::File`].
    pub fn key(&self) -> Result<SignerKey, HomeError> {
        let origin = self.settings()?.origin;
        let path = self.folder.join("key");
        let text = fs::read_to_string(&path).map_err(failed(&path, "read"))?;
        let foreign = |why: String| HomeError::Foreign { path: path.clone(), origin: origin.clone(), why };
        let key = SignerKey::from_secret_text(&text).map_err(|error| foreign(error.to_string()))?;
        if key.verifier().name().as_str() != origin {
            return Err(foreign(format!("the key is named `{}`", key.verifier().name())));
        }
        if key.verifier().algorithm() != Algorithm::Ed25519 {
            return Err(foreign("the key is a witness's".to_owned()));
        }
        Ok(key)
    }

    /// Reads whom the log asks to witness it; the log's own key is part of it, written there or not.
    ///
    /// # Errors
    ///
    /// [`HomeError::Foreign`] if it is no policy, or names another key for this log; [`HomeError::File`].
    pub fn policy(&self, key: &SignerKey) -> Result<TrustPolicy, HomeError> {
        let path = self.folder.join("policy");
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(TrustPolicy::of_log(key.verifier().clone()));
            }
            text => text.map_err(failed(&path, "read"))?,
        };
        let origin = key.verifier().name();
        let foreign = |why: String| HomeError::Foreign { path: path.clone(), origin: origin.to_string(), why };
        let policy = TrustPolicy::parse(&text).map_err(|error| foreign(format!("{error}: {}", error.problem)))?;
        let same_name = |at: &&vigie_ledger::policy::Party| at.key.name() == origin;
        match policy.logs().iter().find(same_name) {
            Some(party) if party.key == *key.verifier() => Ok(policy),
            Some(_) => Err(foreign("it names another key for this log".to_owned())),
            None => TrustPolicy::parse(&format!("{text}\nlog {}\n", key.verifier()))
                .map_err(|error| foreign(format!("{error}: {}", error.problem))),
        }
    }

    /// Takes the right to write, until what is returned is dropped or the program ends.
    ///
    /// # Errors
    ///
    /// [`HomeError::Locked`] if another program has it; [`HomeError::File`].
    pub(crate) fn lock(&self) -> Result<File, HomeError> {
        let path = self.folder.join("lock");
        let file = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(failed(&path, "opened"))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(HomeError::Locked(self.folder.clone())),
            Err(TryLockError::Error(error)) => Err(failed(&path, "locked")(error)),
        }
    }
}
