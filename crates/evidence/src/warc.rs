//! WARC records: how they are written, one gzip member each.
//!
//! # Source
//!
//! ISO 28500:2017 (WARC 1.1): §4 (form of a record), §5 (named fields), §6.3 response, §6.5 metadata, §6.7 revisit and
//! its profile for identical payloads, annex D.2 (one gzip member a record). Digests are `sha256:` with hex digits, the
//! form Webrecorder's tools write; warcio takes it too.

use std::io::{self, Read, Write};

use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

/// The type of an HTTP message as a record's block.
pub(crate) const REQUEST: &str = "application/http; msgtype=request";
/// The same for answers.
pub(crate) const RESPONSE: &str = "application/http; msgtype=response";
/// The type of `name: value` lines.
pub(crate) const FIELDS: &str = "application/warc-fields";
/// The profile of a revisit whose payload is stored elsewhere in the archive.
pub(crate) const IDENTICAL_PAYLOAD: &str = "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest";

/// Returns the moment as WARC writes it, to the microsecond.
pub(crate) fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// Returns a digest in the form that the archive, the index and the package share.
pub(crate) fn digest(sha256: &[u8]) -> String {
    format!("sha256:{}", hex(sha256))
}

/// Returns the bytes in lowercase hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    })
}

/// Gives records their names. The same records in the same order get the same names.
#[derive(Debug)]
pub(crate) struct Names {
    chain: [u8; 32],
}

impl Names {
    pub(crate) fn new(seed: &str) -> Self {
        Self { chain: Sha256::digest(seed.as_bytes()).into() }
    }

    /// Returns a name that depends on all that was named before, and on this.
    ///
    /// A UUID of version 8 (RFC 9562 §5.8): no randomness, so that the same visit written twice gives the same file.
    pub(crate) fn next(&mut self, about: &[&[u8]]) -> String {
        let mut hasher = Sha256::new();
        hasher.update(self.chain);
        for part in about {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        self.chain = hasher.finalize().into();
        let mut id = [0_u8; 16];
        id.copy_from_slice(&self.chain[..16]);
        id[6] = (id[6] & 0x0f) | 0x80;
        id[8] = (id[8] & 0x3f) | 0x80;
        let hex = hex(&id);
        format!("<urn:uuid:{}-{}-{}-{}-{}>", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

/// The head of a record: named fields, none of which can break out of its line.
#[derive(Debug)]
pub(crate) struct Head(Vec<u8>);

impl Head {
    pub(crate) fn new(kind: &str, id: &str, at: Timestamp) -> Self {
        Self(b"WARC/1.1\r\n".to_vec()).with("WARC-Type", kind).with("WARC-Record-ID", id).with("WARC-Date", &date(at))
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.0.extend(format!("{name}: {}\r\n", crate::http::value(value)).into_bytes());
        self
    }
}

/// Writes one record as one gzip member. `block` must give exactly `len` bytes, whose SHA-256 is `block_sha256`.
///
/// # Errors
///
/// If the block turns out otherwise, or cannot be read or written; a part of the record may have been written then.
pub(crate) fn write_record(
    out: &mut impl Write,
    head: Head,
    content_type: &str,
    block_sha256: &[u8; 32],
    len: u64,
    mut block: impl Read,
) -> io::Result<()> {
    let head = head
        .with("WARC-Block-Digest", &digest(block_sha256))
        .with("Content-Type", content_type)
        .with("Content-Length", &len.to_string());
    let mut gz = GzEncoder::new(out, Compression::default());
    gz.write_all(&head.0)?;
    gz.write_all(b"\r\n")?;
    let mut sha256 = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut written = 0;
    loop {
        let read = block.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        sha256.update(&buffer[..read]);
        gz.write_all(&buffer[..read])?;
        written += read as u64;
    }
    if written != len || sha256.finalize()[..] != block_sha256[..] {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it changed while it was being archived"));
    }
    gz.write_all(b"\r\n\r\n")?;
    gz.finish()?;
    Ok(())
}
