//! What the caller hands over: one request and what came of it, as a browser reports them.

use std::{net::IpAddr, path::Path};

use jiff::Timestamp;

/// One request and what came of it.
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    /// The address asked for: `http:`, `https:`, `ws:` or `wss:`. A fragment is left off in the archive.
    pub url: &'a str,
    /// When the request was sent. Kept to the microsecond.
    pub at: Timestamp,
    /// The address the browser was connected to, if it said so.
    pub remote: Option<IpAddr>,
    /// The protocol as the browser names it, such as `h2`. The archive's heads are HTTP/1.1 whatever it was.
    pub protocol: Option<&'a str>,
    /// What was sent.
    pub request: Request<'a>,
    /// What came of it.
    pub outcome: Outcome<'a>,
}

/// What was sent.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The method, such as `GET`.
    pub method: &'a str,
    /// The headers, in order. A value with line breaks stands for several headers of that name, as DevTools has it.
    pub headers: &'a [(String, String)],
    /// The body, if there was one and it was recorded.
    pub body: Option<&'a [u8]>,
}

/// What came of a request.
#[derive(Debug, Clone, Copy)]
pub enum Outcome<'a> {
    /// An answer came, at least its head.
    Answered(Response<'a>),
    /// No answer came.
    Failed {
        /// The browser's words, such as `net::ERR_CONNECTION_REFUSED`.
        why: &'a str,
    },
}

/// An answer.
#[derive(Debug, Clone, Copy)]
pub struct Response<'a> {
    /// The status, such as 200.
    pub status: u16,
    /// The words after it; HTTP/2 has none.
    pub status_text: &'a str,
    /// The headers, as in [`Request::headers`].
    pub headers: &'a [(String, String)],
    /// The body, decoded.
    pub payload: Payload<'a>,
}

/// The body of an answer.
#[derive(Debug, Clone, Copy)]
pub enum Payload<'a> {
    /// There was none.
    None,
    /// It was kept.
    Kept(Body<'a>),
    /// There was or may have been one, and it is not here: that is told apart from [`Payload::None`].
    Lost {
        /// Why it is not here.
        why: &'a str,
    },
}

/// A body on disk or in memory.
#[derive(Debug, Clone, Copy)]
pub struct Body<'a> {
    /// Its SHA-256, computed when it was received.
    pub sha256: [u8; 32],
    /// Its length in bytes.
    pub len: u64,
    /// Where it is.
    pub source: Source<'a>,
}

/// Where a body is.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// In memory.
    Bytes(&'a [u8]),
    /// In a file, which is read twice and must not change meanwhile.
    File(&'a Path),
}
