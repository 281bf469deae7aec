//! What a gateway tells its operator over HTTP.
//!
//! | request | answer |
//! |---|---|
//! | `GET /healthz` | 200 while the gateway can answer; else 503 with what keeps it |
//! | `GET /metrics` | what is counted, in the text form of Prometheus |
//! | `GET /explain/ID` | a decision (`explain`) |
//! | `GET /access-report/PERSON` | who read a person's data (`accounting::report`) |
//! | `POST /erase/PERSON` | erases a person from the vault, and logs it (`accounting::erasing`) |
//! | `POST /answer` | answers an authority's demand (`accounting::answer`) |
//!
//! The last four speak of people: they are for who shows the token of the configuration; without one there, for programs
//! on this machine, by an address of this machine, so that no page in a browser can ask. Out of scope: TLS, which is a
//! proxy's; behind one, a token is needed, since all requests come from this machine then.

use crate::{
    accounting::{erasing::NotErased, report},
    explain::{NotExplained, read_event_id},
    gateway::Gateway,
};
use axum::{
    Router,
    body::Bytes,
    extract::{ConnectInfo, FromRequestParts, Path, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use tokio::net::TcpListener;
use vigie_ledger::{
    Hash,
    sampling::{Demand, Seed},
};

/// What is asked of `POST /answer`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The demand's text, without signatures.
    pub demand: String,
    /// The seed, in base64.
    pub seed: String,
    /// The signed note of the demand's head.
    pub checkpoint: String,
}

#[derive(Debug, Clone)]
struct Face {
    gateway: Arc<Gateway>,
    token: Option<Hash>,
}

/// An answer that is no success, in one sentence.
#[derive(Debug)]
struct Rejection(StatusCode, String);

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        document(self.0, &json!({ "error": self.1 }))
    }
}

fn document(status: StatusCode, document: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], document.to_string()).into_response()
}

fn failed(error: &dyn std::error::Error) -> Rejection {
    Rejection(StatusCode::INTERNAL_SERVER_ERROR, crate::in_full(error))
}

impl Face {
    /// Lets in who may ask about people.
    fn admit(&self, peer: SocketAddr, headers: &HeaderMap) -> Result<(), Rejection> {
        let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
        if let Some(expected) = self.token {
            let token = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
            // Hashes are compared: how long that takes tells nothing of the token.
            return match token {
                Some(token) if Hash::of(token.as_bytes()) == expected => Ok(()),
                _ => Err(Rejection(StatusCode::UNAUTHORIZED, "the bearer token is missing or wrong".to_owned())),
            };
        }
        let by_address = text(header::HOST).is_some_and(|host| {
            let address = host.parse::<SocketAddr>().map(|host| host.ip()).or_else(|_| host.parse());
            address.is_ok_and(|address: IpAddr| address.is_loopback())
                || host.strip_prefix("localhost").is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
        });
        // A page sends its origin with what it posts, also to an address of this machine.
        let by_page = headers.contains_key(header::ORIGIN);
        if peer.ip().is_loopback() && by_address && !by_page {
            return Ok(());
        }
        let why = "this is for programs on the gateway's machine, or for who shows the token that `admin_token` names";
        Err(Rejection(StatusCode::FORBIDDEN, why.to_owned()))
    }
}

/// Proof that whoever asks may ask about people.
struct Admitted;

impl FromRequestParts<Face> for Admitted {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, face: &Face) -> Result<Self, Rejection> {
        let unknown = |_| Rejection(StatusCode::FORBIDDEN, "it is not known who asks".to_owned());
        let ConnectInfo(peer) = ConnectInfo::<SocketAddr>::from_request_parts(parts, face).await.map_err(unknown)?;
        face.admit(peer, &parts.headers)?;
        Ok(Self)
    }
}

async fn health(State(face): State<Face>) -> Response {
    let troubles = face.gateway.troubles();
    let status = if troubles.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    document(status, &json!({ "ok": troubles.is_empty(), "troubles": troubles }))
}

async fn metrics(State(face): State<Face>) -> Response {
    let gateway = &face.gateway;
    let text = gateway.metrics.to_text(gateway.stops.n_people(), gateway.stops.is_fresh());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

async fn explain(State(face): State<Face>, _: Admitted, Path(id): Path<String>) -> Result<Response, Rejection> {
    let unreadable = || Rejection(StatusCode::BAD_REQUEST, "a decision is named by 32 hexadecimal digits".to_owned());
    let id = read_event_id(&id).ok_or_else(unreadable)?;
    match face.gateway.account.explain(id).await {
        Ok(Some(explained)) => Ok(document(StatusCode::OK, &explained.to_json())),
        Ok(None) => Err(Rejection(StatusCode::NOT_FOUND, format!("this gateway has no record of decision `{id}`"))),
        Err(error @ NotExplained::NotAnAccess(_)) => Err(Rejection(StatusCode::NOT_FOUND, error.to_string())),
        Err(error) => Err(failed(&error)),
    }
}

async fn access_report(
    State(face): State<Face>,
    _: Admitted,
    Path(person): Path<String>,
) -> Result<Response, Rejection> {
    let lines = face.gateway.account.access_report(person.as_bytes()).await.map_err(|error| failed(&error))?;
    Ok(document(StatusCode::OK, &report::to_json(&lines)))
}

async fn erase(State(face): State<Face>, _: Admitted, Path(person): Path<String>) -> Result<Response, Rejection> {
    let account = &face.gateway.account;
    let refuse = |error: NotErased| failed(&error);
    // What was begun before and not logged goes first.
    account.log_erasures().await.map_err(refuse)?;
    let erased = account.erase(person.as_bytes()).await.map_err(refuse)?;
    Ok(document(StatusCode::OK, &erased_to_json(erased.as_ref())))
}

/// Writes what an erasure did as a JSON document.
pub fn erased_to_json(erased: Option<&crate::accounting::erasing::ErasureLogged>) -> Value {
    json!({
        "schema": "vigie-erasure/1",
        "event": erased.map(|erased| erased.event_id.to_string()),
        "ledger_index": erased.map(|erased| erased.index),
        "rows": erased.map(|erased| erased.rows.clone()).unwrap_or_default(),
    })
}

async fn answer(State(face): State<Face>, _: Admitted, body: Bytes) -> Result<Response, Rejection> {
    let wrong = |why: String| Rejection(StatusCode::BAD_REQUEST, why);
    let asked: Asked = serde_json::from_slice(&body).map_err(|error| wrong(error.to_string()))?;
    let Some(log) = face.gateway.log().cloned() else {
        return Err(wrong("this gateway's ledger is written by another process, which has its files".to_owned()));
    };
    let demand = Demand::parse(&asked.demand).map_err(|error| wrong(error.to_string()))?;
    let seed = BASE64_STANDARD.decode(&asked.seed).ok().and_then(|seed| seed.try_into().ok());
    let seed = Seed(seed.ok_or_else(|| wrong("the seed is not 32 bytes in base64".to_owned()))?);
    let source = vigie_sequencer::publish_source(Arc::new(vigie_sequencer::files::SystemFiles), log.home());
    let account = face.gateway.account.clone();
    // Reads many files: on a thread for such work.
    let runtime = tokio::runtime::Handle::current();
    let answering = tokio::task::spawn_blocking(move || {
        runtime.block_on(account.answer_demand(&demand, &seed, asked.checkpoint.as_bytes(), source))
    });
    let answered = answering.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    let missing: Vec<_> = answered.missing.iter().map(|(index, why)| json!([index, why.to_string()])).collect();
    // Receipts are text, and so is what holds them.
    let answer = String::from_utf8(answered.answer.to_bytes()).map_err(|error| failed(&error))?;
    Ok(document(StatusCode::OK, &json!({ "answer": answer, "missing": missing })))
}

/// Returns the routes of a gateway. `token` is what who asks about people must show.
pub fn router(gateway: Arc<Gateway>, token: Option<&str>) -> Router {
    let face = Face { gateway, token: token.map(|token| Hash::of(token.trim().as_bytes())) };
    Router::new()
        .route("/healthz", get(health))
        .route("/metrics", get(metrics))
        .route("/explain/{id}", get(explain))
        .route("/access-report/{*person}", get(access_report))
        .route("/erase/{*person}", post(erase))
        .route("/answer", post(answer))
        .with_state(face)
}

/// Serves a gateway's operator until `end` comes.
///
/// # Errors
///
/// Whatever keeps the listener from taking connections.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    end: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(end).await
}
