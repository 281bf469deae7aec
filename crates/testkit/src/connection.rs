//! One accepted connection: which protocol it speaks, the handshake, and HTTP/1.1 on top.
//!
//! The first byte tells: a TLS record of type handshake starts with 0x16, no HTTP method does.

use crate::{
    answer::{Answer, AnswerBody, Broken, Outgoing, Request},
    routing::Directory,
};
use http_body_util::{BodyExt, Limited};
use hyper::{Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
};
use tokio_rustls::LazyConfigAcceptor;

/// What the server does to the handshake of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFault {
    /// Reads the client's hello and hangs up.
    HangUp,
    /// Answers the client's hello in plain text.
    NotTls,
}

const TLS_HANDSHAKE: u8 = 0x16;
const MAX_REQUEST_BODY_BYTES: usize = 1 << 20;

/// Serves a connection until it closes, or until `stop` turns true and what was begun is answered.
///
/// Whatever goes wrong ends the connection and nothing else: the client sees it, and that is what tests are about.
pub(crate) async fn serve(
    stream: TcpStream,
    directory: Arc<Directory>,
    tls: Arc<rustls::ServerConfig>,
    stop: watch::Receiver<bool>,
) {
    let mut first = [0_u8; 1];
    if !matches!(stream.peek(&mut first).await, Ok(1)) {
        return;
    }
    if first[0] != TLS_HANDSHAKE {
        return speak_http(stream, directory, Protocol::Plain, stop).await;
    }
    let Ok(mut hello) = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await else { return };
    let fault = hello.client_hello().server_name().and_then(|name| directory.tls_fault(name));
    match fault {
        Some(TlsFault::HangUp) => {}
        Some(TlsFault::NotTls) => {
            let text = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 16\r\n\r\nthis is not TLS\n";
            // The client may be gone already, which is as good as being told.
            let _ = hello.io.write_all(text).await;
        }
        None => {
            if let Ok(stream) = hello.into_stream(tls).await {
                speak_http(stream, directory, Protocol::Tls, stop).await;
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Plain,
    Tls,
}

async fn speak_http<S>(stream: S, directory: Arc<Directory>, protocol: Protocol, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(move |request| respond(request, Arc::clone(&directory), protocol));
    let mut connection = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    let mut stopping = false;
    loop {
        tokio::select! {
            // An error here is a client that left or an answer that was told to break: nothing to report.
            _ = connection.as_mut() => return,
            _ = stop.changed(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

async fn respond(
    request: hyper::Request<Incoming>,
    directory: Arc<Directory>,
    protocol: Protocol,
) -> Result<Response<Outgoing>, Broken> {
    let request = read(request, protocol).await;
    let Answer { status, headers, body, delay } = directory.answer(&request);
    if delay > Duration::ZERO {
        tokio::time::sleep(delay).await;
    }
    match &body {
        AnswerBody::Silence => std::future::pending::<()>().await,
        AnswerBody::HangUp => return Err(Broken),
        AnswerBody::Whole(_) | AnswerBody::Stream { .. } | AnswerBody::Cut(_) => {}
    }
    let mut response = Response::builder().status(status).header("cache-control", "no-store");
    for (name, value) in headers {
        response = response.header(name, value);
    }
    // A handler that invents an impossible status or header breaks the connection rather than the test server.
    response.body(Outgoing::new(body)).map_err(|_| Broken)
}

async fn read(request: hyper::Request<Incoming>, protocol: Protocol) -> Request {
    let (head, body) = request.into_parts();
    let text = |value: &hyper::header::HeaderValue| value.to_str().ok().map(str::to_owned);
    let headers: Vec<(String, String)> =
        head.headers.iter().filter_map(|(name, value)| Some((name.as_str().to_owned(), text(value)?))).collect();
    let host = head.uri.host().map(str::to_owned).or_else(|| head.headers.get("host").and_then(text));
    let body = Limited::new(body, MAX_REQUEST_BODY_BYTES).collect().await;
    Request {
        method: head.method.to_string(),
        host: without_port(&host.unwrap_or_default()).to_ascii_lowercase(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().map(str::to_owned),
        tls: protocol == Protocol::Tls,
        headers,
        body: body.map(http_body_util::Collected::to_bytes).unwrap_or_default(),
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}
