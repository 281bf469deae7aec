//! The record of a visit: one stream of timed events, and the state of the profile when it was sampled.
//!
//! Nothing in it is a judgement. What was not observable is absent and said so in [`VisitRecord::gaps`], never guessed.
//! Times are milliseconds of a monotonic clock from the start of the visit; the wall-clock time of that start is
//! [`VisitRecord::started_at`].

use crate::Scenario;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Number in the stream, from 0, without gaps.
    pub n: u64,
    /// Milliseconds since the visit's start.
    pub at_ms: u64,
    /// The address of the document in which it happened, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// A cookie that went with a request or a response but was not sent or kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockedCookie {
    /// Its name.
    pub name: String,
    /// Its domain, as far as known.
    pub domain: String,
    /// The browser's reasons, in its own words (DevTools `SetCookieBlockedReason`, `CookieBlockedReason`).
    pub reasons: Vec<String>,
}

/// Who wrote a cookie or a storage entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum Writer {
    /// A `Set-Cookie` header of this address's response.
    Header {
        /// The address that answered.
        url: String,
    },
    /// A script; the innermost address of its stack first.
    Script {
        /// Addresses of the stack, innermost first, without repeats.
        stack: Vec<String>,
    },
}

impl Writer {
    /// Returns the address that answers for the write: the responding one, or the innermost script.
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::Header { url } => Some(url),
            Self::Script { stack } => stack.first().map(String::as_str),
        }
    }
}

/// Kinds of storage besides cookies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StorageKind {
    /// `localStorage`.
    Local,
    /// `sessionStorage`.
    Session,
    /// An IndexedDB database.
    IndexedDb,
    /// A cache of the Cache API.
    CacheApi,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum EventKind {
    /// A step of the plan began.
    Step {
        /// What, in a few words: `load`, `click`, `reload`, `walk`.
        what: String,
    },
    /// The profile was looked at before anything was loaded: all zero is the proof that it was empty.
    Profile {
        /// Cookies in its jar.
        cookies: u32,
        /// Origins that had been seen in it.
        origins: u32,
    },
    /// The main frame or a frame went to an address.
    Navigated {
        /// The new address.
        url: String,
        /// Whether it is the page's main frame.
        main: bool,
    },
    /// A request left, or was about to.
    Request {
        /// DevTools request id; the same for its response, and for each hop of a redirect.
        id: String,
        /// Where it went, in full.
        url: String,
        /// HTTP method.
        method: String,
        /// DevTools resource type in lower case: `document`, `script`, `image`, `xhr`, `fetch`, `ping`, …
        resource: String,
        /// The innermost script or parser address that asked for it.
        initiator: Option<String>,
        /// The body of a POST, cut at 64 KiB.
        body: Option<String>,
        /// The address that redirected here, if one did.
        redirected_from: Option<String>,
    },
    /// The headers that really went out, with the cookies that went with them.
    RequestSent {
        /// The request's id.
        id: String,
        /// Names, values and domains of the cookies sent.
        cookies: Vec<SentCookie>,
        /// Cookies withheld by the browser.
        blocked: Vec<BlockedCookie>,
        /// Request headers, names in lower case, without `cookie`.
        headers: Vec<(String, String)>,
    },
    /// A response's head.
    Response {
        /// The request's id.
        id: String,
        /// The address that answered.
        url: String,
        /// HTTP status; 0 where there is none (`data:`).
        status: u16,
        /// Media type.
        mime: String,
        /// Peer address, where there was one.
        remote: Option<String>,
        /// Whether it came from a cache or a service worker.
        from_cache: bool,
        /// The protocol by its ALPN name, for instance `h2`; empty where none is known.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        protocol: String,
        /// The reason phrase; empty over HTTP/2 and later.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        status_text: String,
    },
    /// The raw headers of a response.
    ResponseHeaders {
        /// The request's id.
        id: String,
        /// Names in lower case; `set-cookie` among them, once for each cookie.
        headers: Vec<(String, String)>,
        /// `Set-Cookie` values that the browser refused.
        blocked: Vec<BlockedCookie>,
    },
    /// A response's body arrived whole.
    Finished {
        /// The request's id.
        id: String,
        /// Bytes on the wire.
        encoded_bytes: u64,
        /// SHA-256 of the decoded body in hexadecimal, where the browser still had it.
        sha256: Option<String>,
        /// Length of the decoded body in bytes, where it was had.
        body_bytes: Option<u64>,
    },
    /// A request failed or was cancelled.
    Failed {
        /// The request's id.
        id: String,
        /// The browser's word, for instance `net::ERR_NAME_NOT_RESOLVED`.
        error: String,
    },
    /// A cookie was written, by header or script. A write that deletes has `deleted`.
    CookieWritten {
        /// Its name.
        name: String,
        /// The whole `Set-Cookie` value or `document.cookie` assignment.
        raw: String,
        /// Who wrote it.
        writer: Writer,
        /// Whether the write removes it (expiry in the past).
        deleted: bool,
    },
    /// A script read cookies or storage (at most one event a script and kind).
    StorageRead {
        /// `document.cookie`, `localStorage.getItem`, …
        api: String,
        /// The script's address.
        script: Option<String>,
    },
    /// A storage key was written or removed.
    StorageWritten {
        /// Which storage.
        kind: StorageKind,
        /// The origin it belongs to.
        origin: String,
        /// The key, database or cache name.
        key: String,
        /// The new value, cut at 4 KiB; `None` when removed.
        value: Option<String>,
    },
    /// A console message or an uncaught exception.
    Console {
        /// `log`, `warning`, `error`, `exception`, …
        level: String,
        /// The text, cut at 1 KiB.
        text: String,
    },
    /// A dialog opened; it was answered at once.
    Dialog {
        /// `alert`, `confirm`, `prompt`, `beforeunload`.
        kind: String,
        /// Its message, cut at 1 KiB.
        message: String,
        /// Whether it was answered with yes.
        accepted: bool,
    },
    /// A download was offered and refused.
    Download {
        /// Where from.
        url: String,
        /// The name the site suggests.
        filename: String,
    },
    /// A pop-up or another page was opened by the page.
    Opened {
        /// DevTools target type: `page`, `iframe`, `worker`, `service_worker`, …
        target: String,
        /// Its address when it was opened.
        url: String,
    },
    /// A script used an interface that can tell devices apart.
    Fingerprinting {
        /// The interface, for instance `HTMLCanvasElement.toDataURL`.
        api: String,
        /// The script's address.
        script: Option<String>,
        /// How often so far.
        calls: u32,
    },
    /// A consent signal that the page gave to its tags: `__tcfapi`, `__gpp`, `gtag('consent', …)`.
    ConsentSignal {
        /// `tcf`, `gpp`, `gtag-default`, `gtag-update`.
        kind: String,
        /// The string or JSON as given.
        value: String,
    },
    /// Our own input.
    Input {
        /// `click`, `key`, `wheel`.
        kind: String,
        /// What it was aimed at: the control's label, or the key.
        target: String,
        /// Where, in CSS pixels of the viewport.
        x: i32,
        /// Where, in CSS pixels of the viewport.
        y: i32,
    },
    /// A picture was taken.
    Picture {
        /// Its path in the evidence.
        path: String,
    },
    /// The renderer of the page or of a frame died.
    Crashed {
        /// What the browser said.
        reason: String,
    },
    /// The page became quiet, or waiting ended without quiet.
    Quiet {
        /// Whether quiet was reached within its bound.
        reached: bool,
        /// How long was waited, in milliseconds.
        waited_ms: u64,
        /// What was still going on when waiting ended.
        because: Option<String>,
    },
}

/// A cookie that went out with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentCookie {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Its domain, without a leading dot.
    pub domain: String,
}

/// A cookie in the profile's jar.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JarCookie {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Its domain, without a leading dot.
    pub domain: String,
    /// Whether only this very host gets it, not its subdomains.
    pub host_only: bool,
    /// Its path.
    pub path: String,
    /// Expiry in seconds since 1970; `None` for a session cookie.
    pub expires_s: Option<f64>,
    /// Hidden from scripts.
    pub http_only: bool,
    /// Sent over TLS only.
    pub secure: bool,
    /// `Strict`, `Lax`, `None`; absent when not stated.
    pub same_site: Option<String>,
    /// The site under which it is partitioned (CHIPS), if it is.
    pub partition: Option<String>,
}

/// An entry of storage besides cookies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StorageItem {
    /// Which storage.
    pub kind: StorageKind,
    /// The origin it belongs to, for instance `https://example.org`.
    pub origin: String,
    /// The key, database or cache name.
    pub key: String,
    /// The value, cut at 4 KiB; empty for databases and caches.
    pub value: String,
}

/// The state of a profile at a moment of the visit.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Sample {
    /// What had just been done: `before`, `after-choice`, `after-reload`, `after-walk`, …
    pub moment: String,
    /// Milliseconds since the visit's start.
    pub at_ms: u64,
    /// How many events had happened: those numbered below this came before.
    pub events: u64,
    /// Every cookie of the profile.
    pub cookies: Vec<JarCookie>,
    /// Every storage entry of every origin seen.
    pub storage: Vec<StorageItem>,
}

/// How a visit ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "end")]
pub enum VisitEnd {
    /// As planned.
    Completed,
    /// The site did not let us in: captcha, login, 401, 403, 451.
    Blocked {
        /// What showed it.
        why: String,
    },
    /// The site could not be reached: name, connection, TLS.
    Unreachable {
        /// The browser's word.
        why: String,
    },
    /// The visit broke off.
    Failed {
        /// What was being done, and what happened.
        why: String,
    },
}

/// Everything recorded of one visit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VisitRecord {
    /// Its name in the evidence: `S0`, `S1`, `S5-escape`, …
    pub name: String,
    /// The scenario it plays; `None` for a visit that only explores the banner.
    pub scenario: Option<Scenario>,
    /// Wall-clock time of the start.
    pub started_at: Timestamp,
    /// Width and height of the viewport in CSS pixels.
    pub viewport: (u32, u32),
    /// The locale given to the site, for instance `fr-FR`.
    pub locale: String,
    /// The address asked for.
    pub requested_url: String,
    /// The address of the first page after redirects.
    pub final_url: String,
    /// HTTP status of the first page; 0 if none.
    pub status: u16,
    /// How it ended.
    pub end: VisitEnd,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// The states of the profile that were sampled, in order.
    pub samples: Vec<Sample>,
    /// What could not be observed, in sentences.
    pub gaps: Vec<String>,
}

impl VisitRecord {
    /// Returns the last sample, if any was taken.
    pub fn last_sample(&self) -> Option<&Sample> {
        self.samples.last()
    }
}
