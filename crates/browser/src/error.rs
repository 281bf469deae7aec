//! What can go wrong between us and the browser. A site that refuses us is no error: it is an answer.

use std::{path::PathBuf, time::Duration};

/// We could not do what was asked of the browser.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BrowserError {
    /// No Chromium on this machine.
    #[error("no Chromium was found on the search path")]
    NotFound,
    /// The named program is not there or cannot be run.
    #[error("Chromium at `{path}` could not be started: {why}")]
    CannotStart {
        /// The program.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// A place for the browser's profile could not be made.
    #[error("a temporary profile could not be made in `{path}`: {why}")]
    NoProfile {
        /// The folder.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// The browser ended while we needed it.
    #[error("Chromium ended while `{during}` was waiting for its answer")]
    Gone {
        /// The protocol method.
        during: String,
    },
    /// The browser did not answer in time.
    #[error("Chromium did not answer `{method}` within {} s", .after.as_secs_f32())]
    Timeout {
        /// The protocol method.
        method: String,
        /// How long was waited.
        after: Duration,
    },
    /// The browser answered with an error.
    #[error("Chromium refused `{method}`: {message}")]
    Refused {
        /// The protocol method.
        method: String,
        /// Its words.
        message: String,
    },
    /// The page of the visit is gone: closed by itself, or crashed.
    #[error("the page is gone: {why}")]
    PageGone {
        /// How.
        why: String,
    },
}
