//! Reads the records of an archive, one gzip member after the other.
//!
//! Strict: one record a member, the separators that WARC asks for, no folded lines. What was written by others in
//! another taste is refused, not guessed at. Nothing is held but the head; blocks are read as they pass.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;

use crate::{
    container::Region,
    limits::{MAX_FIELDS, MAX_HEAD_BYTES, MAX_RECORD_BYTES, MAX_RECORDS, MAX_TOTAL_BYTES},
};

/// A record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The archive could not be read or decompressed.
    #[error("the record at byte {offset} could not be read")]
    Read {
        /// Where the record begins in the archive.
        offset: u64,
        /// What the system or the decompressor says.
        source: io::Error,
    },
    /// The record is not of the form WARC asks for.
    #[error("the record at byte {offset} {what}")]
    Malformed {
        /// Where the record begins in the archive.
        offset: u64,
        /// What is wrong; reads on after the record.
        what: String,
    },
}

/// The head of a record, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it begins in `archive/data.warc.gz`, in bytes.
    pub offset: u64,
    /// How many bytes it has there, compressed. Known once the record was read to its end; 0 before.
    pub length: u64,
    /// How many bytes its block has.
    pub block_bytes: u64,
    /// Its named fields, in order.
    pub fields: Vec<(String, String)>,
}

impl Record {
    /// Returns the value of the first field of this name, whatever its case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Returns `WARC-Type`, such as `response`.
    pub fn kind(&self) -> &str {
        self.field("WARC-Type").unwrap_or_default()
    }
}

/// The head of the HTTP message in a `response`, `revisit` or `request`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpHead {
    /// The request line or status line.
    pub first_line: String,
    /// The headers, in order.
    pub headers: Vec<(String, String)>,
    /// Its bytes, with the empty line.
    pub raw: Vec<u8>,
}

impl HttpHead {
    /// Returns the value of the first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Returns the three digits of a status line.
    pub fn status(&self) -> Option<&str> {
        let status = self.first_line.strip_prefix("HTTP/1.1 ")?.get(..3)?;
        status.bytes().all(|byte| byte.is_ascii_digit()).then_some(status)
    }
}

/// Reads the head of an HTTP message from a block; the payload is what remains.
///
/// # Errors
///
/// If the block cannot be read, or does not begin with a head of at most [`MAX_HEAD_BYTES`].
pub fn read_http_head(block: &mut impl BufRead) -> io::Result<HttpHead> {
    let raw = read_head(block)?;
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("its HTTP head {what}"));
    let text = std::str::from_utf8(&raw).map_err(|_| bad("is not UTF-8"))?;
    let (first_line, lines) = text.split_once("\r\n").ok_or_else(|| bad("has no first line"))?;
    let headers = parse_fields(lines).ok_or_else(|| bad("has a line that is no header"))?;
    Ok(HttpHead { first_line: first_line.to_owned(), headers, raw })
}

/// Reads up to and including the empty line.
fn read_head(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut input = input.take(MAX_HEAD_BYTES as u64);
    loop {
        let begin = head.len();
        input.read_until(b'\n', &mut head)?;
        if &head[begin..] == b"\r\n" {
            return Ok(head);
        }
        if !head[begin..].ends_with(b"\r\n") {
            let what = "its head does not end, or has a line that ends otherwise than with CR LF";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
    }
}

/// Returns the `name: value` lines of a head, or none if a line is something else, or there are too many.
fn parse_fields(lines: &str) -> Option<Vec<(String, String)>> {
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        let sound = crate::http::token(name) == name && !value.contains(['\r', '\n', '\0']);
        sound.then(|| (name.to_owned(), value.trim().to_owned()))
    };
    let lines = || lines.split("\r\n").take_while(|line| !line.is_empty());
    (lines().take(MAX_FIELDS + 1).count() <= MAX_FIELDS).then(|| lines().map(field).collect())?
}

/// The records of an archive, in order.
pub struct Records {
    input: Counted,
    total: u64,
    n_read: usize,
    ended: bool,
}

impl Records {
    pub(crate) fn new(archive: Region) -> Self {
        let input = Counted { input: BufReader::with_capacity(64 * 1024, archive), consumed: 0 };
        Self { input, total: 0, n_read: 0, ended: false }
    }

    /// Reads the next record; `visit` is given its head and its block, of which it need not read all.
    ///
    /// Returns none at the end of the archive, and after an error.
    ///
    /// # Errors
    ///
    /// [`RecordError`], also for what `visit` returns: what follows cannot be trusted, so reading ends there.
    pub fn next<T>(
        &mut self,
        visit: impl FnOnce(&Record, &mut dyn BufRead) -> io::Result<T>,
    ) -> Result<Option<(Record, T)>, RecordError> {
        if self.ended {
            return Ok(None);
        }
        self.ended = true;
        let offset = self.input.consumed;
        let unreadable = |source| RecordError::Read { offset, source };
        if self.input.fill_buf().map_err(unreadable)?.is_empty() {
            return Ok(None);
        }
        let malformed = |what: &str| RecordError::Malformed { offset, what: what.to_owned() };
        self.n_read += 1;
        if self.n_read > MAX_RECORDS {
            return Err(malformed("is one too many"));
        }
        let mut plain = BufReader::new(GzDecoder::new(&mut self.input));
        let head = read_head(&mut plain).map_err(unreadable)?;
        let text = std::str::from_utf8(&head).map_err(|_| malformed("has a head that is not UTF-8"))?;
        let lines = text.strip_prefix("WARC/1.1\r\n").ok_or_else(|| malformed("does not begin with WARC/1.1"))?;
        let fields = parse_fields(lines).ok_or_else(|| malformed("has a line in its head that is no field"))?;
        let mut record = Record { offset, length: 0, block_bytes: 0, fields };
        record.block_bytes = record
            .field("Content-Length")
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| malformed("has no Content-Length"))?;
        self.total = self.total.saturating_add(record.block_bytes);
        if record.block_bytes > MAX_RECORD_BYTES || self.total > MAX_TOTAL_BYTES {
            return Err(malformed("is larger than an archive may hold"));
        }

        let mut block = (&mut plain).take(record.block_bytes);
        let seen = visit(&record, &mut block).map_err(unreadable)?;
        io::copy(&mut block, &mut io::sink()).map_err(unreadable)?;
        if block.limit() > 0 {
            return Err(malformed("ends before its block does"));
        }
        let mut end = Vec::new();
        plain.take(5).read_to_end(&mut end).map_err(unreadable)?;
        if end != b"\r\n\r\n" {
            return Err(malformed("does not end with two empty lines, or shares its gzip member"));
        }
        record.length = self.input.consumed - offset;
        self.ended = false;
        Ok(Some((record, seen)))
    }
}

/// Counts what was taken from a reader.
struct Counted {
    input: BufReader<Region>,
    consumed: u64,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(into)?;
        self.consumed += read as u64;
        Ok(read)
    }
}

impl BufRead for Counted {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.consumed += amount as u64;
        self.input.consume(amount);
    }
}
