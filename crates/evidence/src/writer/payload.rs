//! Bodies on their way into the archive: read once to see that they are what was received, and again to be written.

use std::{
    fs::File,
    io::{self, Read},
};

use sha2::{Digest as _, Sha256};

use super::WriteError;
use crate::{
    exchange::{Body, Source},
    limits::{MAX_HEAD_BYTES, MAX_RECORD_BYTES},
    warc,
};

/// A payload that is ready to be written.
pub(super) trait Stored {
    fn sha256(&self) -> [u8; 32];
    fn block_sha256(&self, head: &[u8]) -> [u8; 32];
    fn bytes(&self) -> u64;
    fn open(&self) -> io::Result<Box<dyn Read + '_>>;
}

/// No payload.
pub(super) struct Empty;

impl Stored for Empty {
    fn sha256(&self) -> [u8; 32] {
        Sha256::digest(b"").into()
    }
    fn block_sha256(&self, head: &[u8]) -> [u8; 32] {
        Sha256::digest(head).into()
    }
    fn bytes(&self) -> u64 {
        0
    }
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(io::empty()))
    }
}

/// A body that was read once and is what was received.
pub(super) struct Checked<'a> {
    pub(super) body: Body<'a>,
    pub(super) block_sha256: [u8; 32],
}

impl Stored for Checked<'_> {
    fn sha256(&self) -> [u8; 32] {
        self.body.sha256
    }
    fn block_sha256(&self, _head: &[u8]) -> [u8; 32] {
        self.block_sha256
    }
    fn bytes(&self) -> u64 {
        self.body.len
    }
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        open(&self.body)
    }
}

fn open<'a>(body: &Body<'a>) -> io::Result<Box<dyn Read + 'a>> {
    match body.source {
        Source::Bytes(bytes) => Ok(Box::new(bytes)),
        // One byte more than announced is enough to notice a file that grew.
        Source::File(path) => Ok(Box::new(File::open(path)?.take(body.len.saturating_add(1)))),
    }
}

/// Reads the body once; returns the SHA-256 of head and body if it is what was received.
pub(super) fn check_body(body: &Body<'_>, head: &[u8], url: &str) -> Result<[u8; 32], WriteError> {
    if body.len > MAX_RECORD_BYTES - MAX_HEAD_BYTES as u64 {
        let limit = MAX_RECORD_BYTES - MAX_HEAD_BYTES as u64;
        return Err(WriteError::TooLarge { what: "the body", url: url.to_owned(), bytes: body.len, limit });
    }
    let unreadable = |source| WriteError::Body { url: url.to_owned(), source };
    let mut input = open(body).map_err(unreadable)?;
    let (mut payload, mut block) = (Sha256::new(), Sha256::new_with_prefix(head));
    let mut buffer = vec![0; 64 * 1024];
    let mut bytes = 0;
    loop {
        let read = input.read(&mut buffer).map_err(unreadable)?;
        if read == 0 {
            break;
        }
        payload.update(&buffer[..read]);
        block.update(&buffer[..read]);
        bytes += read as u64;
    }
    let found: [u8; 32] = payload.finalize().into();
    if found != body.sha256 || bytes != body.len {
        return Err(WriteError::BodyChanged {
            url: url.to_owned(),
            found: warc::hex(&found),
            bytes,
            expected: warc::hex(&body.sha256),
            expected_bytes: body.len,
        });
    }
    Ok(block.finalize().into())
}
