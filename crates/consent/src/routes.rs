//! Every address of the API on one screen, and what each extracts.
//!
//! People act on their own choices under `/v1`, with a token that says who they are; programs of the operator's on
//! anybody's under `/v1/subjects/{subject}`, with a scope. `openapi.json` tells it to programs.

use crate::{
    callers::{Scope, digest},
    server::Peer,
    service::{Change, MOST_HISTORY, Repeatable, Service, idempotency},
    wire::{self, Problem},
};
use axum::{
    Router,
    body::Bytes,
    extract::{ConnectInfo, DefaultBodyLimit, Path, Query, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use vigie_choices::Subject;

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// The document that describes the API (OpenAPI 3.1).
pub const OPENAPI: &str = include_str!("openapi.json");

type Answer = Result<Response, Problem>;
type Served = State<Arc<Service>>;

/// Returns the routes.
pub fn router(service: Arc<Service>) -> Router {
    let own = Router::new()
        .route("/choices", get(choices).post(record))
        .route("/withdrawals", post(withdraw))
        .route("/history", get(history))
        .route("/record", get(export))
        .route("/receipts/{event}", get(receipt));
    let anybodys = Router::new()
        .route("/choices", get(choices_of).post(record_of))
        .route("/withdrawals", post(withdraw_of))
        .route("/history", get(history_of))
        .route("/record", get(export_of))
        .route("/receipts/{event}", get(receipt_of));
    Router::new()
        .route("/health", get(health))
        .route("/openapi.json", get(openapi))
        .route("/v1/purposes", get(purposes))
        .route("/banner/v1/vigie.js", get(script))
        .nest("/v1", own)
        .nest("/v1/subjects/{subject}", anybodys)
        .fallback(nothing)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(service.config.limits.body_bytes))
        .layer(middleware::from_fn_with_state(service.clone(), guard))
        .with_state(service)
}

async fn nothing(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(100).collect();
    let help = Some("see /openapi.json".to_owned());
    Problem { help, ..Problem::not_found(&format!("there is no `{path}`")) }
}

async fn no_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this address does not take this method")
}

/// Before and after every request: how often, from which pages, for how long.
async fn guard(State(service): Served, ConnectInfo(peer): ConnectInfo<Peer>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let listed =
        |origin: &HeaderValue| origin.to_str().is_ok_and(|origin| service.config.cors.origins.contains(origin));
    let origin = origin.filter(listed);
    let path = request.uri().path();
    let limited = if path == "/health" {
        Ok(())
    } else {
        service.address_rates.take(digest("address", &peer.address.ip().to_string()), Instant::now())
    };
    let preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let cached = path.starts_with("/banner/");
    let mut response = if let Err(wait) = limited {
        too_often(wait).into_response()
    } else if preflight {
        StatusCode::NO_CONTENT.into_response()
    } else {
        match tokio::time::timeout(PATIENCE, next.run(request)).await {
            Ok(response) => in_our_words(response),
            Err(_) => Problem::unavailable("it took too long").into_response(),
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if !cached {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if preflight {
            let methods = HeaderValue::from_static("GET, POST");
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
            let allowed = HeaderValue::from_static("authorization, content-type, idempotency-key");
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        }
    }
    response
}

/// What axum refuses by itself (a body too large, a path that is no UTF-8) is said as all problems are.
fn in_our_words(response: Response) -> Response {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !status.is_client_error() || kind == Some("application/problem+json") {
        return response;
    }
    let detail = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "the body is too large",
        _ => "the request cannot be read",
    };
    let mut problem = Problem::new(status, detail).into_response();
    if let Some(allow) = response.headers().get(header::ALLOW) {
        problem.headers_mut().insert(header::ALLOW, allow.clone());
    }
    problem
}

fn too_often(wait: Duration) -> Problem {
    let wait_seconds = Some(wait.as_secs() + 1);
    Problem { wait_seconds, ..Problem::new(StatusCode::TOO_MANY_REQUESTS, "these are too many requests") }
}

fn json(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

async fn health(State(service): Served) -> Answer {
    service.is_well().await?;
    Ok(json(r#"{"status":"ok"}"#.to_owned()))
}

async fn openapi() -> Response {
    json(OPENAPI.to_owned())
}

async fn purposes(State(service): Served) -> Answer {
    Ok(json(service.purposes().await?.to_string()))
}

async fn script(State(service): Served, headers: HeaderMap) -> Answer {
    let none = || Problem::not_found("no banner is configured");
    let script = service.banner.as_ref().ok_or_else(none)?;
    let fixed: [(HeaderName, HeaderValue); 5] = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin")),
        (header::ETAG, HeaderValue::from_str(&script.etag).expect("hexadecimal in quotes")),
    ];
    let told = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if told(header::IF_NONE_MATCH) == script.etag {
        return Ok((StatusCode::NOT_MODIFIED, fixed).into_response());
    }
    let vary = (header::VARY, "Accept-Encoding");
    if told(header::ACCEPT_ENCODING).split(',').any(|it| it.split(';').next().is_some_and(|it| it.trim() == "gzip")) {
        let packed = [(header::CONTENT_ENCODING, "gzip"), vary];
        return Ok((fixed, packed, script.gzipped.clone()).into_response());
    }
    Ok((fixed, [vary], script.text.clone()).into_response())
}

/// A person's request: who it is, and that it is not one too many.
async fn person(service: &Service, headers: &HeaderMap) -> Result<(Subject, [u8; 32]), Problem> {
    let subject = service.callers.person(headers).await?;
    let caller = digest("subject", subject.as_str());
    service.subject_rates.take(caller, Instant::now()).map_err(too_often)?;
    Ok((subject, caller))
}

/// A request of a program of the operator's about somebody.
async fn operator(
    service: &Service,
    headers: &HeaderMap,
    peer: &Peer,
    scope: Scope,
    subject: &str,
) -> Result<(Subject, [u8; 32]), Problem> {
    let operator = service.callers.operator(headers, peer.certificate, scope).await?;
    let caller = digest("operator", &operator.name);
    service.operator_rates.take(caller, Instant::now()).map_err(too_often)?;
    Ok((service.callers.subject(subject)?, caller))
}

async fn choices(State(service): Served, headers: HeaderMap) -> Answer {
    let (subject, _) = person(&service, &headers).await?;
    Ok(json(service.choices(&subject).await?.to_string()))
}

async fn choices_of(
    State(service): Served,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(subject): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let (subject, _) = operator(&service, &headers, &peer, Scope::Read, &subject).await?;
    Ok(json(service.choices(&subject).await?.to_string()))
}

async fn record(State(service): Served, uri: Uri, headers: HeaderMap, bytes: Bytes) -> Answer {
    let (subject, caller) = person(&service, &headers).await?;
    let read: wire::Record = wire::body(&headers, &bytes)?;
    let asked = checked(&read.choices)?;
    if asked.iter().any(|(asked, _)| ["requested", "lapsed"].contains(&asked.state.as_str())) {
        return Err(Problem::unprocessable("`requested` and `lapsed` are for the operator to record"));
    }
    let key = key(caller, &uri, &headers, &bytes)?;
    Ok(json(service.change(Change { subject, asked, evidence: read.evidence, key }).await?))
}

async fn record_of(
    State(service): Served,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(subject): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer {
    let (subject, caller) = operator(&service, &headers, &peer, Scope::Write, &subject).await?;
    let read: wire::Record = wire::body(&headers, &bytes)?;
    let asked = checked(&read.choices)?;
    let key = key(caller, &uri, &headers, &bytes)?;
    Ok(json(service.change(Change { subject, asked, evidence: read.evidence, key }).await?))
}

fn checked(asked: &[wire::Asked]) -> Result<Vec<(wire::Asked, vigie_choices::State)>, Problem> {
    if asked.is_empty() {
        return Err(Problem::unprocessable("`choices` is empty"));
    }
    asked.iter().map(|asked| Ok((asked.clone(), asked.check()?))).collect()
}

fn key(caller: [u8; 32], uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<Option<Repeatable>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let key = key.to_str().ok().filter(|key| (1..=200).contains(&key.len()));
    let key = key.ok_or_else(|| Problem::bad("`Idempotency-Key` has 1 to 200 characters of ASCII"))?;
    Ok(Some(idempotency(caller, key, uri.path(), body)))
}

async fn withdraw(State(service): Served, uri: Uri, headers: HeaderMap, bytes: Bytes) -> Answer {
    let (subject, caller) = person(&service, &headers).await?;
    withdrawn(&service, subject, caller, &uri, &headers, &bytes).await
}

async fn withdraw_of(
    State(service): Served,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(subject): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer {
    let (subject, caller) = operator(&service, &headers, &peer, Scope::Write, &subject).await?;
    withdrawn(&service, subject, caller, &uri, &headers, &bytes).await
}

async fn withdrawn(
    service: &Arc<Service>,
    subject: Subject,
    caller: [u8; 32],
    uri: &Uri,
    headers: &HeaderMap,
    bytes: &Bytes,
) -> Answer {
    let read: wire::Withdraw = wire::body(headers, bytes)?;
    let key = key(caller, uri, headers, bytes)?;
    let asked = service.withdrawable(&subject, read.purposes.as_deref()).await?;
    Ok(json(service.change(Change { subject, asked, evidence: read.evidence, key }).await?))
}

/// Which part of a history.
#[derive(Debug, serde::Deserialize)]
struct Part {
    #[serde(default)]
    after: i64,
    #[serde(default = "hundred")]
    limit: i32,
}

fn hundred() -> i32 {
    100
}

type Parts = Result<Query<Part>, axum::extract::rejection::QueryRejection>;

fn part(part: Parts) -> Result<Part, Problem> {
    let wrong = || Problem::bad(&format!("`after` is a number from 0 on, `limit` one from 1 to {MOST_HISTORY}"));
    let Query(part) = part.map_err(|_| wrong())?;
    if part.after >= 0 && (1..=MOST_HISTORY).contains(&part.limit) { Ok(part) } else { Err(wrong()) }
}

async fn history(State(service): Served, query: Parts, headers: HeaderMap) -> Answer {
    let (subject, _) = person(&service, &headers).await?;
    let part = part(query)?;
    Ok(json(service.history(&subject, part.after, part.limit).await?.to_string()))
}

async fn history_of(
    State(service): Served,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(subject): Path<String>,
    query: Parts,
    headers: HeaderMap,
) -> Answer {
    let (subject, _) = operator(&service, &headers, &peer, Scope::Read, &subject).await?;
    let part = part(query)?;
    Ok(json(service.history(&subject, part.after, part.limit).await?.to_string()))
}

fn json_ld(document: &serde_json::Value) -> Response {
    ([(header::CONTENT_TYPE, "application/ld+json")], document.to_string()).into_response()
}

async fn export(State(service): Served, headers: HeaderMap) -> Answer {
    let (subject, _) = person(&service, &headers).await?;
    Ok(json_ld(&service.record(&subject).await?))
}

async fn export_of(
    State(service): Served,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(subject): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let (subject, _) = operator(&service, &headers, &peer, Scope::Read, &subject).await?;
    Ok(json_ld(&service.record(&subject).await?))
}

async fn receipt(State(service): Served, Path(event): Path<String>, headers: HeaderMap) -> Answer {
    let (subject, _) = person(&service, &headers).await?;
    received(&service, &subject, &event).await
}

async fn receipt_of(
    State(service): Served,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path((subject, event)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let (subject, _) = operator(&service, &headers, &peer, Scope::Read, &subject).await?;
    received(&service, &subject, &event).await
}

async fn received(service: &Service, subject: &Subject, event: &str) -> Answer {
    let bytes = event_of(event).ok_or_else(|| Problem::not_found("no choice of this person has this event"))?;
    let receipt = service.receipt(subject, bytes).await?;
    let name = HeaderValue::from_str(&format!("attachment; filename=\"{event}.receipt\"")).expect("hexadecimal");
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name)], receipt).into_response())
}

fn event_of(text: &str) -> Option<[u8; 16]> {
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    Some(u128::from_str_radix(text, 16).ok()?.to_be_bytes())
}
