//! Where the files of a log come from: a folder, or a web server.
//!
//! Both are foreign: sizes are bounded while reading, and what is fetched is checked by whoever asked for it.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;
use vigie_ledger::note::MAX_NOTE_BYTES;
use vigie_ledger::reader::Source;
use vigie_ledger::tile::{MAX_ENTRY_BYTES, Resource, TILE_WIDTH};

/// How long a server may take over one file.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

/// A log's files, by a folder or an address.
#[derive(Debug, Clone)]
pub enum LogSource {
    /// Below a folder.
    Folder(PathBuf),
    /// Below an address.
    Web(WebSource),
}

/// A log's files on a web server.
#[derive(Debug, Clone)]
pub struct WebSource {
    // INVARIANT (the prefix ends in a slash): so that joining paths adds to it.
    prefix: Url,
    agent: ureq::Agent,
}

/// What is given is neither a folder nor an address.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum NoSource {
    /// Not on this machine.
    #[error("`{0}` is no folder, and no address that begins with `http://` or `https://`")]
    Neither(String),
    /// An address that cannot be read.
    #[error("`{0}` is no address of a log")]
    Address(String),
}

/// A file could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The system did not let us.
    #[error("the file could not be read")]
    File(#[source] std::io::Error),
    /// The server did not answer.
    #[error("the server did not answer")]
    Server(#[source] Box<ureq::Error>),
    /// The server answered something else.
    #[error("the server answered with status {0}, expected 200 or 404")]
    Status(u16),
    /// The file is larger than any such file can be.
    #[error("the file is larger than {0} bytes, the most that such files have")]
    TooLarge(u64),
}

/// Most bytes of a file of a log.
fn limit(resource: Resource) -> u64 {
    match resource {
        Resource::Checkpoint => MAX_NOTE_BYTES as u64,
        Resource::Tile(_) => TILE_WIDTH * 32,
        Resource::Entries(_) => TILE_WIDTH * (MAX_ENTRY_BYTES as u64 + 2),
    }
}

impl LogSource {
    /// Makes a source of what a person gave: a folder, or an address.
    ///
    /// # Errors
    ///
    /// [`NoSource`].
    pub fn of(given: &str) -> Result<Self, NoSource> {
        if given.starts_with("http://") || given.starts_with("https://") {
            let url = Url::parse(given).map_err(|_| NoSource::Address(given.to_owned()))?;
            return Ok(Self::Web(WebSource::new(url)));
        }
        let path = Path::new(given);
        if path.is_dir() { Ok(Self::Folder(path.to_owned())) } else { Err(NoSource::Neither(given.to_owned())) }
    }
}

impl fmt::Display for LogSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(formatter),
            Self::Web(web) => web.prefix.fmt(formatter),
        }
    }
}

impl WebSource {
    /// Reads below an address. A slash is added at its end where there is none.
    pub fn new(mut prefix: Url) -> Self {
        if !prefix.path().ends_with('/') {
            prefix.set_path(&format!("{}/", prefix.path()));
        }
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(FETCH_TIMEOUT))
            .http_status_as_error(false)
            .user_agent(concat!("vigie/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self { prefix, agent }
    }
}

impl Source for LogSource {
    type Error = FetchError;

    fn fetch(&self, resource: Resource) -> Result<Option<Vec<u8>>, FetchError> {
        match self {
            Self::Folder(folder) => fetch_file(&folder.join(resource.to_string()), limit(resource)),
            Self::Web(web) => web.fetch(resource),
        }
    }
}

fn fetch_file(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, FetchError> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FetchError::File(error)),
    };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(FetchError::File)?;
    if bytes.len() as u64 > limit { Err(FetchError::TooLarge(limit)) } else { Ok(Some(bytes)) }
}

impl Source for WebSource {
    type Error = FetchError;

    fn fetch(&self, resource: Resource) -> Result<Option<Vec<u8>>, FetchError> {
        let address = self.prefix.join(&resource.to_string()).expect("paths of a log are relative addresses");
        let answer = self.agent.get(address.as_str()).call();
        let mut answer = answer.map_err(|error| FetchError::Server(Box::new(error)))?;
        match answer.status().as_u16() {
            200 => {}
            404 => return Ok(None),
            status => return Err(FetchError::Status(status)),
        }
        let limit = limit(resource);
        match answer.body_mut().with_config().limit(limit).read_to_vec() {
            Ok(bytes) => Ok(Some(bytes)),
            Err(ureq::Error::BodyExceedsLimit(_)) => Err(FetchError::TooLarge(limit)),
            Err(error) => Err(FetchError::Server(Box::new(error))),
        }
    }
}
