//! A witness over HTTP: `POST add-checkpoint`, and the heads it has cosigned.
//!
//! # Source
//!
//! C2SP tlog-witness 1.0.0.

use crate::state::{Reply, Witness};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use vigie_ledger::note::MAX_NOTE_BYTES;
use vigie_ledger::witness::{AddCheckpoint, Answer};

/// Tells the time, in seconds since 1970.
pub type Clock = fn() -> u64;

/// The time of the machine, in seconds since 1970; 1 where its clock is set before.
pub fn system_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs().max(1))
}

/// Returns the addresses of a witness: the submission prefix and the monitoring prefix are the same.
pub fn router(witness: Arc<Witness>, clock: Clock) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/{origin}/checkpoint", get(latest))
        .layer(DefaultBodyLimit::max(MAX_NOTE_BYTES))
        .with_state(Served { witness, clock })
}

#[derive(Clone)]
struct Served {
    witness: Arc<Witness>,
    clock: Clock,
}

async fn add_checkpoint(State(served): State<Served>, body: Bytes) -> Response {
    let request = match AddCheckpoint::parse(&body) {
        Ok(request) => request,
        Err(why) => return plain(StatusCode::BAD_REQUEST, format!("{why}\n")),
    };
    // Storing waits for the disk: not on a thread that serves others.
    let reply = tokio::task::spawn_blocking(move || served.witness.add_checkpoint(&request, (served.clock)())).await;
    match reply.unwrap_or(Reply::NotStored) {
        Reply::Cosigned(lines) => plain(StatusCode::OK, crate::in_lines(&lines)),
        Reply::Refused(answer) => refusal(&answer),
        Reply::NotStored => plain(StatusCode::INTERNAL_SERVER_ERROR, "the head could not be stored\n".to_owned()),
    }
}

fn refusal(answer: &Answer) -> Response {
    match answer {
        Answer::Cosign(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "not signed\n".to_owned()),
        Answer::UnknownLog => plain(StatusCode::NOT_FOUND, "this witness does not watch that log\n".to_owned()),
        Answer::NotSigned => plain(StatusCode::FORBIDDEN, "the log's key did not sign this checkpoint\n".to_owned()),
        Answer::Malformed(why) => plain(StatusCode::BAD_REQUEST, format!("{why}\n")),
        Answer::Conflict(size) => {
            let kind = [(header::CONTENT_TYPE, "text/x.tlog.size")];
            (StatusCode::CONFLICT, kind, format!("{size}\n")).into_response()
        }
        Answer::NotConsistent => plain(
            StatusCode::UNPROCESSABLE_ENTITY,
            "the checkpoint does not continue the one cosigned last\n".to_owned(),
        ),
    }
}

async fn latest(State(served): State<Served>, Path(origin): Path<String>) -> Response {
    match served.witness.latest(&origin) {
        Some(note) => plain(StatusCode::OK, note.to_string()),
        None => plain(StatusCode::NOT_FOUND, "no head of such a log was cosigned here\n".to_owned()),
    }
}

fn plain(status: StatusCode, text: String) -> Response {
    const KIND: (HeaderName, &str) = (header::CONTENT_TYPE, "text/plain; charset=utf-8");
    (status, [KIND], text).into_response()
}
