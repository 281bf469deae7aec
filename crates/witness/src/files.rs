//! A log's files over HTTP, and a page to look at them. Nothing here signs, and nothing but a log's files is served.
//!
//! The page checks what it shows by itself, in the browser: it fetches the same files as any other reader. Its script is
//! short and plain on purpose, so that somebody who does not believe us can read it.
//!
//! # Source
//!
//! C2SP tlog-tiles 0.1.0 for paths, kinds and caching.

use crate::durable;
use axum::Router;
use axum::extract::{Path as Matched, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vigie_ledger::tile::Resource;
use vigie_ledger::{Note, TrustPolicy};

/// How many checkpoints the page remembers.
const RECENT: usize = 20;
/// Where they are, in the log's folder.
const RECENT_FILE: &str = "recent-checkpoints";
/// What parts them there: no note holds it, since notes contain no control character but newlines.
const SEPARATOR: &str = "\u{1e}\n";

/// What the page tells of the log besides its files.
#[derive(Debug, Clone)]
pub struct About {
    /// Whom the page's checks trust: the log's key, and the witnesses whose lines it names.
    pub policy: TrustPolicy,
}

#[derive(Debug)]
struct Served {
    folder: PathBuf,
    about: About,
}

/// Returns the addresses of a log whose files are in `folder`: those of the specification, and a page at `/`.
pub fn router(folder: PathBuf, about: About) -> Router {
    let files = Router::new()
        .route("/{*path}", get(file))
        .with_state(Arc::new(Served { folder: folder.clone(), about: about.clone() }));
    page_router(folder, about).merge(files)
}

/// Returns the addresses of the page alone, for who serves the files already.
pub fn page_router(folder: PathBuf, about: About) -> Router {
    Router::new()
        .route("/", get(|| async { page("text/html; charset=utf-8", include_str!("../page/index.html")) }))
        .route("/log.js", get(|| async { page("text/javascript; charset=utf-8", include_str!("../page/log.js")) }))
        .route("/log.css", get(|| async { page("text/css; charset=utf-8", include_str!("../page/log.css")) }))
        .route("/trust", get(trust))
        .route("/recent", get(recent))
        .with_state(Arc::new(Served { folder, about }))
}

/// Adds a published checkpoint to those that the page remembers. Nothing depends on it: it may be lost.
///
/// # Errors
///
/// If the file cannot be replaced.
pub fn remember(folder: &Path, checkpoint: &Note) -> io::Result<()> {
    let path = folder.join(RECENT_FILE);
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let newest = checkpoint.to_string();
    let mut all = vec![newest.as_str()];
    all.extend(kept.split(SEPARATOR).filter(|note| !note.is_empty() && *note != newest).take(RECENT - 1));
    durable::replace(&path, all.join(SEPARATOR).as_bytes(), 0o644)
}

async fn file(State(served): State<Arc<Served>>, Matched(path): Matched<String>) -> Response {
    // Only what names a file of a log is looked for, so that no path leads out of the folder.
    let Ok(resource) = path.parse::<Resource>() else { return missing() };
    match tokio::fs::read(served.folder.join(resource.to_string())).await {
        Ok(bytes) => {
            let (kind, caching) = match resource {
                Resource::Checkpoint => ("text/plain; charset=utf-8", "no-cache"),
                Resource::Tile(_) | Resource::Entries(_) => {
                    ("application/octet-stream", "public, max-age=31536000, immutable")
                }
            };
            ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, caching), OPEN], bytes).into_response()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => missing(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the file could not be read\n").into_response(),
    }
}

/// Anybody's page may read a log.
const OPEN: (HeaderName, &str) = (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");

fn missing() -> Response {
    (StatusCode::NOT_FOUND, "no such file in this log; see `checkpoint` for its size\n").into_response()
}

async fn trust(State(served): State<Arc<Served>>) -> Response {
    let policy = &served.about.policy;
    let keys =
        policy.logs().iter().map(|party| ("log", party)).chain(policy.witnesses().map(|party| ("witness", party)));
    let text = crate::in_lines(&keys.map(|(word, party)| format!("{word} {}", party.key)).collect::<Vec<_>>());
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-cache"), OPEN], text)
        .into_response()
}

async fn recent(State(served): State<Arc<Served>>) -> Response {
    let text = tokio::fs::read_to_string(served.folder.join(RECENT_FILE)).await.unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-cache"), OPEN], text)
        .into_response()
}

fn page(kind: &'static str, text: &'static str) -> Response {
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                          form-action 'none'; frame-ancestors 'none'";
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, text).into_response()
}
