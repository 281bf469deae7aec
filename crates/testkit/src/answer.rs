//! What a programmed host is asked, and everything it may do instead of answering nicely.
//!
//! Bodies are values, not callbacks: an endless stream is described, and the connection plays it.

use hyper::body::{Body, Bytes, Frame, SizeHint};
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Sleep;

/// One request, as far as a programmed host may care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// The host asked for, in lower case, without port.
    pub host: String,
    /// The path, starting with `/`, percent-encoded as it came.
    pub path: String,
    /// What followed the question mark.
    pub query: Option<String>,
    /// Whether it came over TLS.
    pub tls: bool,
    /// Headers in their order; names in lower case, values that are not text left out.
    pub headers: Vec<(String, String)>,
    /// The body, empty if it was longer than 1 MiB.
    pub body: Bytes,
}

impl Request {
    /// Returns a header's first value; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns the value of a cookie that came with the request.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .filter(|(key, _)| key == "cookie")
            .flat_map(|(_, value)| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    /// Returns a parameter of the query, as it came (not decoded).
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let pairs = self.query.as_deref()?.split('&');
        pairs.filter_map(|pair| pair.split_once('=')).find_map(|(key, value)| (key == name).then_some(value))
    }

    /// Returns path and query as one.
    pub fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }
}

/// What a host does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers; `Content-Length` or chunking is added.
    pub headers: Vec<(String, String)>,
    /// What follows the headers.
    pub body: AnswerBody,
    /// How long the host thinks before it answers.
    pub delay: Duration,
}

/// What follows the headers of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerBody {
    /// These bytes, then the end.
    Whole(Bytes),
    /// A beginning, then a chunk again and again, with a pause between any two.
    Stream {
        /// The bytes sent first; may be empty.
        lead: Bytes,
        /// The bytes sent each time.
        chunk: Bytes,
        /// The announced length in bytes; `None` streams until the client leaves.
        total: Option<u64>,
        /// The pause.
        pause: Duration,
    },
    /// These bytes, then the connection breaks although more was promised.
    Cut(Bytes),
    /// No status line ever comes; the connection stays open.
    Silence,
    /// The connection is closed without a status line.
    HangUp,
}

impl Answer {
    /// Returns an answer with a status, a media type and bytes.
    pub fn new(status: u16, mime: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), mime.to_owned())],
            body: AnswerBody::Whole(body.into()),
            delay: Duration::ZERO,
        }
    }

    /// Returns a page: 200, HTML, UTF-8.
    pub fn html(body: impl Into<Bytes>) -> Self {
        Self::new(200, "text/html; charset=utf-8", body)
    }

    /// Returns a script.
    pub fn script(body: impl Into<Bytes>) -> Self {
        Self::new(200, "text/javascript; charset=utf-8", body)
    }

    /// Returns a JSON document.
    pub fn json(body: impl Into<Bytes>) -> Self {
        Self::new(200, "application/json", body)
    }

    /// Returns plain text with a status.
    pub fn text(status: u16, body: impl Into<Bytes>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    /// Returns a temporary redirect.
    pub fn redirect(to: &str) -> Self {
        Self::text(302, "").with_header("location", to)
    }

    /// Returns a transparent picture of one pixel.
    pub fn pixel() -> Self {
        Self::new(200, "image/gif", Bytes::from_static(PIXEL)).with_header("access-control-allow-origin", "*")
    }

    /// Returns an answer that has only a body's behaviour: [`AnswerBody::Silence`] or [`AnswerBody::HangUp`].
    pub fn without_head(body: AnswerBody) -> Self {
        Self { status: 0, headers: Vec::new(), body, delay: Duration::ZERO }
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets a cookie, in the syntax of `Set-Cookie`.
    #[must_use]
    pub fn with_cookie(self, cookie: impl Into<String>) -> Self {
        self.with_header("set-cookie", cookie)
    }

    /// Replaces the status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Replaces what follows the headers.
    #[must_use]
    pub fn with_body(mut self, body: AnswerBody) -> Self {
        self.body = body;
        self
    }

    /// Lets the host think before it answers.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

/// Answers a request. It must not block: the server's threads are few.
pub type Handler = Arc<dyn Fn(&Request) -> Answer + Send + Sync>;

/// A transparent GIF of one pixel.
const PIXEL: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff\x21\xf9\x04\x01\x00\x00\x00\x00\
\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b";

/// The connection breaks here, on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the host breaks the connection, as it was told to")]
pub(crate) struct Broken;

/// An [`AnswerBody`] on its way out.
pub(crate) struct Outgoing {
    body: AnswerBody,
    left: Option<u64>,
    pause: Option<Pin<Box<Sleep>>>,
    done: bool,
}

impl Outgoing {
    pub(crate) fn new(body: AnswerBody) -> Self {
        let left = match &body {
            AnswerBody::Stream { total, .. } => *total,
            AnswerBody::Whole(_) | AnswerBody::Cut(_) | AnswerBody::Silence | AnswerBody::HangUp => None,
        };
        Self { body, left, pause: None, done: false }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        match &mut this.body {
            AnswerBody::Whole(bytes) => {
                if std::mem::replace(&mut this.done, true) || bytes.is_empty() {
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))))
            }
            AnswerBody::Cut(bytes) => {
                if !std::mem::replace(&mut this.done, true) && !bytes.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))));
                }
                // hyper holds back bytes that it has not flushed when the body fails; give it one turn to send them.
                match &mut this.pause {
                    None => {
                        let pause = this.pause.insert(Box::pin(tokio::time::sleep(Duration::from_millis(50))));
                        pause.as_mut().poll(context).map(|()| Some(Err(Broken)))
                    }
                    Some(pause) => pause.as_mut().poll(context).map(|()| Some(Err(Broken))),
                }
            }
            AnswerBody::Stream { lead, chunk, pause: length, .. } => {
                if this.left == Some(0) {
                    return Poll::Ready(None);
                }
                if let Some(pause) = &mut this.pause {
                    if pause.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    this.pause = None;
                }
                if !length.is_zero() {
                    this.pause = Some(Box::pin(tokio::time::sleep(*length)));
                }
                let next = if lead.is_empty() { chunk.clone() } else { std::mem::take(lead) };
                let take = this.left.map_or(next.len(), |left| next.len().min(usize::try_from(left).unwrap_or(0)));
                this.left = this.left.map(|left| left - take as u64);
                Poll::Ready(Some(Ok(Frame::data(next.slice(..take)))))
            }
            AnswerBody::Silence | AnswerBody::HangUp => Poll::Ready(Some(Err(Broken))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            AnswerBody::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            AnswerBody::Stream { total: Some(_), .. } => SizeHint::with_exact(self.left.unwrap_or(0)),
            _ => SizeHint::default(),
        }
    }
}
