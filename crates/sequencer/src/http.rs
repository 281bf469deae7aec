//! The HTTP face of a log: taking entries, and serving the files that anybody may read.
//!
//! | request | answer |
//! |---|---|
//! | `POST /add` (an entry) | `{"index", "leaf", "row_base"}` when it is durable; with `?wait=published` its receipt |
//! | `POST /add-batch` (entries, each behind two bytes of length) | a line of JSON for each, when all are durable |
//! | `GET /checkpoint`, `GET /tile/…` | the files of C2SP tlog-tiles |
//! | `GET /metrics` | what was done, in the text form of Prometheus |
//!
//! Out of scope: TLS and names, which are a proxy's.
//!
//! The surprise: too much at once is 503 with `Retry-After`, and nothing of it is in the log; a log that has stopped is
//! 500, and then nobody knows until it is opened again. Sending the same event again is always right.

use crate::{
    entries::{Appended, Batch, Refused},
    log::{AppendError, Log, Stopped},
    remote::headers,
};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Query, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use std::{fmt::Write as _, future::Future, io, sync::Arc};
use vigie_ledger::{Hash, tile::MAX_ENTRY_BYTES, tile::Resource};

/// Most bytes of a batch that is taken over HTTP.
pub const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Who may append.
#[derive(Debug, Clone)]
pub enum Writers {
    /// Everybody who can connect.
    Anybody,
    /// Who sends `Authorization: Bearer` with the token that has this hash.
    Bearer(Hash),
    /// Nobody: only reading is offered.
    Nobody,
}

impl Writers {
    /// Those who know a token; spaces around it do not count.
    pub fn with_token(token: &str) -> Self {
        Self::Bearer(Hash::of(token.trim().as_bytes()))
    }

    fn admit(&self, headers: &HeaderMap) -> Result<(), Rejection> {
        match self {
            Self::Anybody => Ok(()),
            Self::Nobody => Err(Rejection(StatusCode::FORBIDDEN, "this address takes no entries".to_owned())),
            Self::Bearer(expected) => {
                let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
                let token = token.and_then(|value| value.strip_prefix("Bearer "));
                // Hashes are compared: how long that takes tells nothing of the token.
                match token.map(|token| Hash::of(token.as_bytes())) {
                    Some(hash) if hash == *expected => Ok(()),
                    _ => Err(Rejection(StatusCode::UNAUTHORIZED, "the bearer token is missing or wrong".to_owned())),
                }
            }
        }
    }
}

#[derive(Debug, Clone)]
struct Face {
    log: Arc<Log>,
    writers: Writers,
}

/// An answer that is no success, in one sentence.
#[derive(Debug)]
struct Rejection(StatusCode, String);

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "error": self.1 }).to_string();
        let mut response = (self.0, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        let headers = response.headers_mut();
        if self.0 == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        if self.0 == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Stopped> for Rejection {
    fn from(stopped: Stopped) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, stopped.to_string())
    }
}

impl From<Refused> for Rejection {
    fn from(refused: Refused) -> Self {
        let status = match refused {
            Refused::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Refused::Repeated { .. } => StatusCode::CONFLICT,
            Refused::Format(_) | Refused::RowBase(_) | Refused::Heartbeat { .. } | Refused::Rows { .. } => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
        };
        Self(status, refused.to_string())
    }
}

impl From<AppendError> for Rejection {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Refused(refused) => refused.into(),
            AppendError::Full { .. } => Self(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            AppendError::Stopped(stopped) => stopped.into(),
        }
    }
}

#[derive(Debug, Default, serde::Deserialize)]
struct AddQuery {
    wait: Option<String>,
}

/// Returns the routes of a log.
pub fn router(log: Arc<Log>, writers: Writers) -> Router {
    let face = Face { log, writers };
    Router::new()
        .route("/add", post(add).layer(DefaultBodyLimit::max(MAX_ENTRY_BYTES)))
        .route("/add-batch", post(add_batch).layer(DefaultBodyLimit::max(MAX_BATCH_BYTES)))
        .route("/metrics", get(metrics))
        .route("/checkpoint", get(file))
        .route("/tile/{*path}", get(file))
        .with_state(face)
}

/// Serves a log until `shutdown` ends; requests that are being answered are answered.
///
/// # Errors
///
/// Whatever keeps the listener from taking connections.
pub async fn serve(
    listener: tokio::net::TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

async fn add(
    State(face): State<Face>,
    Query(query): Query<AddQuery>,
    headers: HeaderMap,
    entry: Bytes,
) -> Result<Response, Rejection> {
    face.writers.admit(&headers)?;
    let publish = match query.wait.as_deref() {
        None | Some("durable") => false,
        Some("published") => true,
        Some(other) => {
            let why = format!("`wait={other}` is unknown; expected `durable` or `published`");
            return Err(Rejection(StatusCode::BAD_REQUEST, why));
        }
    };
    let appended = face.log.try_append(&entry)?.durable().await?;
    if !publish {
        return Ok(([(header::CONTENT_TYPE, "application/json")], json(&Ok(appended)).to_string()).into_response());
    }
    face.log.published(appended.index).await?;
    let receipt = receipt(face.log, appended.index).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], receipt).into_response())
}

async fn receipt(log: Arc<Log>, index: u64) -> Result<Vec<u8>, Rejection> {
    let wrong = |why: String| Rejection(StatusCode::INTERNAL_SERVER_ERROR, why);
    let made = tokio::task::spawn_blocking(move || log.receipt(index, None)).await;
    let receipt = made.map_err(|error| wrong(error.to_string()))?;
    Ok(receipt.map_err(|error| wrong(crate::recovery::chain(&error)))?.to_bytes())
}

fn json(answer: &Result<Appended, Refused>) -> serde_json::Value {
    match answer {
        Ok(Appended { index, leaf, row_base }) => {
            serde_json::json!({ "index": index, "leaf": leaf.to_base64(), "row_base": row_base })
        }
        Err(refused) => serde_json::json!({ "error": refused.to_string() }),
    }
}

async fn add_batch(State(face): State<Face>, headers: HeaderMap, body: Bytes) -> Result<Response, Rejection> {
    face.writers.admit(&headers)?;
    let batch = Batch::from_bytes(body.into()).map_err(|cut| Rejection(StatusCode::BAD_REQUEST, cut.to_string()))?;
    let answers = face.log.try_append_many(batch)?.durable().await?;
    let mut lines = String::new();
    for answer in &answers {
        lines += &json(answer).to_string();
        lines.push('\n');
    }
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], lines).into_response())
}

async fn file(State(face): State<Face>, uri: Uri) -> Result<Response, Rejection> {
    let missing = || Rejection(StatusCode::NOT_FOUND, format!("the log has no `{}`", uri.path()));
    let resource: Resource = uri.path()[1..].parse().map_err(|_| missing())?;
    let bytes = if resource == Resource::Checkpoint {
        face.log.head().checkpoint.to_vec()
    } else {
        let path = face.log.home().public().join(resource.to_string());
        tokio::fs::read(path).await.map_err(|_| missing())?
    };
    if bytes.is_empty() {
        return Err(missing());
    }
    let (kind, cache) = headers(resource);
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, cache)], Body::from(bytes)).into_response())
}

async fn metrics(State(face): State<Face>) -> Response {
    let statistics = face.log.statistics();
    let stopped = u64::from(face.log.stopped().is_some());
    let measures = [
        ("vigie_ledger_durable_entries", "gauge", statistics.durable),
        ("vigie_ledger_signed_entries", "gauge", statistics.signed),
        ("vigie_ledger_published_entries", "gauge", statistics.published),
        ("vigie_ledger_batches_total", "counter", statistics.batches),
        ("vigie_ledger_hashes_total", "counter", statistics.hashes),
        ("vigie_ledger_stopped", "gauge", stopped),
    ];
    let mut text = String::new();
    for (name, kind, value) in measures {
        writeln!(text, "# TYPE {name} {kind}\n{name} {value}").expect("a string takes everything");
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
