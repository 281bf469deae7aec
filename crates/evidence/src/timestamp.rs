//! Timestamps: an authority's word that a bundle existed at a time, added after the bundle was signed.
//!
//! What is stamped is the SHA-256 of `datapackage-digest.json` (the seal), which covers the signature and, through the
//! hashes, every other member. The authority's answer becomes a member of its own, `vigie/timestamp-1` and so on; it is
//! the only kind of member that may be added later, and the file is replaced as a whole, in one step.
//!
//! The authority sees a hash and who asks, nothing else. Asking two authorities is better than one.
//!
//! # Source
//!
//! RFC 3161; §3.4 for HTTP. eIDAS (Regulation (EU) 910/2014), article 41: a *qualified* timestamp is presumed to be right
//! about the time, another one is evidence like any other.

mod asn1;
pub(crate) mod token;

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::Sha256;

pub use token::{Roots, RootsError, TokenError};

use crate::{
    bundle::{Bundle, ReadError},
    container, key,
    limits::{MAX_TIMESTAMPS, MAX_TOKEN_BYTES},
    package::{DIGEST, TIMESTAMP},
    writer::{folder_of, hash_file},
};

/// An authority's answer that stamps a seal, checked to do so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    response: Vec<u8>,
}

impl Token {
    /// Takes an authority's answer (RFC 3161 `TimeStampResp` in DER) if it stamps this seal.
    ///
    /// # Errors
    ///
    /// [`TokenError`], with the first thing that is wrong.
    pub fn from_response(response: Vec<u8>, seal: &[u8; 32]) -> Result<Self, TokenError> {
        token::verify(&response, seal, None, &Roots::default())?;
        Ok(Self { response })
    }

    /// Returns the answer as it came.
    pub fn response(&self) -> &[u8] {
        &self.response
    }
}

/// No timestamp could be had. The bundle is as it was, and may be stamped later.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The authority could not be reached, or did not answer in time.
    #[error("the timestamp authority `{url}` gave no answer")]
    Unreachable {
        /// Its address.
        url: String,
        /// What went wrong.
        source: Box<ureq::Error>,
    },
    /// It answered otherwise than with a timestamp.
    #[error("the timestamp authority `{url}` answered with status {status}, expected 200")]
    Status {
        /// Its address.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// Its timestamp is of no use.
    #[error("the answer of the timestamp authority `{url}` was refused")]
    Refused {
        /// Its address.
        url: String,
        /// What is wrong with it.
        source: TokenError,
    },
}

/// A timestamp could not be added; the bundle is as it was.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The bundle could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The timestamp is of another bundle.
    #[error("the timestamp is not one of `{path}`")]
    Other {
        /// The bundle.
        path: PathBuf,
        /// What is wrong.
        source: TokenError,
    },
    /// There are as many as there may be.
    #[error("`{path}` has {MAX_TIMESTAMPS} timestamps already, and takes no more")]
    Full {
        /// The bundle.
        path: PathBuf,
    },
    /// The disk did not take it.
    #[error("the bundle `{path}` could not be written again with its timestamp")]
    Write {
        /// The bundle.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

/// A timestamp that was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// The member that holds it.
    pub member: String,
    /// SHA-256 of the file now, in hex.
    pub sha256: String,
}

/// Returns the question for an authority: a timestamp of this SHA-256, with the certificate in the answer.
///
/// `nonce` should be random; the answer repeats it, so that it cannot be an old one.
///
/// # Source
///
/// RFC 3161 §2.4.1, `TimeStampReq`.
pub fn request(sha256: &[u8; 32], nonce: u64) -> Vec<u8> {
    let algorithm = asn1::write(0x30, &[asn1::write(0x06, token::SHA256.as_bytes()), asn1::write(0x05, &[])].concat());
    let imprint = asn1::write(0x30, &[algorithm, asn1::write(0x04, sha256)].concat());
    let version = asn1::write_number(1);
    let wants_certificate = asn1::write(0x01, &[0xff]);
    asn1::write(0x30, &[version, imprint, asn1::write_number(nonce), wants_certificate].concat())
}

/// Asks an authority for a timestamp of a seal.
///
/// # Errors
///
/// [`AskError`]; nothing is kept then.
pub fn ask(url: &str, seal: &[u8; 32], timeout: Duration) -> Result<Token, AskError> {
    let unreachable = |source| AskError::Unreachable { url: url.to_owned(), source: Box::new(source) };
    let nonce = key::nonce();
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(timeout))
        .max_redirects(3)
        .http_status_as_error(false)
        .build()
        .new_agent();
    let mut answer = agent
        .post(url)
        .header("content-type", "application/timestamp-query")
        .header("accept", "application/timestamp-reply")
        .send(&request(seal, nonce)[..])
        .map_err(unreachable)?;
    if answer.status() != 200 {
        return Err(AskError::Status { url: url.to_owned(), status: answer.status().as_u16() });
    }
    let response = answer.body_mut().with_config().limit(MAX_TOKEN_BYTES).read_to_vec().map_err(unreachable)?;
    token::verify(&response, seal, Some(nonce), &Roots::default())
        .map_err(|source| AskError::Refused { url: url.to_owned(), source })?;
    Ok(Token { response })
}

/// Returns what a timestamp of this bundle must be of: the SHA-256 of its `datapackage-digest.json`.
///
/// # Errors
///
/// [`ReadError`] if the bundle cannot be read.
pub fn seal(path: &Path) -> Result<[u8; 32], ReadError> {
    seal_of(&Bundle::open(path)?, path)
}

fn seal_of(bundle: &Bundle, path: &Path) -> Result<[u8; 32], ReadError> {
    use sha2::Digest as _;
    let mut sha256 = Sha256::new();
    io::copy(&mut bundle.member(DIGEST)?, &mut sha256).map_err(|source| ReadError::Member {
        path: path.to_owned(),
        name: DIGEST.to_owned(),
        source,
    })?;
    Ok(sha256.finalize().into())
}

/// Adds a timestamp to a bundle.
///
/// The file is written anew beside, made durable, and takes the place of the old one in one step; every other member
/// keeps its bytes. Two programs that add one at once wait for each other.
///
/// # Errors
///
/// [`AttachError`]; the bundle is as it was then.
pub fn attach(path: &Path, token: &Token) -> Result<Attached, AttachError> {
    let unwritable = |source| AttachError::Write { path: path.to_owned(), source };
    // Through a link, the bundle is replaced and not the link.
    let target = fs::canonicalize(path).map_err(|source| ReadError::File { path: path.to_owned(), source })?;
    let bundle = open_locked(&target).map_err(|error| match error {
        Locked::Read(error) => AttachError::Read(error),
        Locked::Lock(source) => unwritable(source),
    })?;
    token::verify(&token.response, &seal_of(&bundle, &target)?, None, &Roots::default())
        .map_err(|source| AttachError::Other { path: path.to_owned(), source })?;
    let number = bundle.names().filter(|name| name.starts_with(TIMESTAMP)).count() + 1;
    if number > MAX_TIMESTAMPS {
        return Err(AttachError::Full { path: path.to_owned() });
    }
    let member = format!("{TIMESTAMP}{number}");
    let folder = folder_of(&target);
    let permissions = bundle.file.metadata().map_err(unwritable)?.permissions();
    let mut part = tempfile::Builder::new()
        .prefix(".vigie-")
        .suffix(".part")
        .permissions(permissions)
        .tempfile_in(&folder)
        .map_err(unwritable)?;
    let rewrite = |part: &mut File| -> io::Result<()> {
        let mut out = BufWriter::new(part);
        container::append(&bundle.file, &bundle.entries, &member, &token.response, &mut out)?;
        out.flush()
    };
    rewrite(part.as_file_mut()).map_err(unwritable)?;
    part.as_file().sync_all().map_err(unwritable)?;
    let (sha256, _) = hash_file(part.as_file()).map_err(unwritable)?;
    // Until this rename the old bundle stands; after it the new one, whole.
    part.persist(&target).map_err(|error| unwritable(error.error))?;
    File::open(&folder).and_then(|folder| folder.sync_all()).map_err(unwritable)?;
    Ok(Attached { member, sha256 })
}

enum Locked {
    Read(ReadError),
    Lock(io::Error),
}

/// Opens a bundle that nobody else adds to until it is closed.
fn open_locked(path: &Path) -> Result<Bundle, Locked> {
    loop {
        let bundle = Bundle::open(path).map_err(Locked::Read)?;
        bundle.file.lock().map_err(Locked::Lock)?;
        // While we waited, another program may have put a new file in its place; the lock must be on that one.
        let (held, there) = (bundle.file.metadata(), fs::metadata(path));
        let (held, there) = (held.map_err(Locked::Lock)?, there.map_err(Locked::Lock)?);
        if (held.dev(), held.ino()) == (there.dev(), there.ino()) {
            return Ok(bundle);
        }
    }
}
