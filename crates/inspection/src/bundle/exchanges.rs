//! The requests and responses of a visit, put together from its events.
//!
//! A request and its redirects share an id; heads come in the order of the hops, but may come after the next hop has
//! begun. So the n-th head of an id belongs to its n-th hop.

use jiff::{SignedDuration, Timestamp};
use std::{collections::HashMap, net::IpAddr};
use vigie_browser::Spool;
use vigie_domain::{
    VisitRecord,
    record::{EventKind, SentCookie},
};
use vigie_evidence::{Body, Exchange, Outcome, Payload, Request, Response, Source, WriteError, Writer};

/// One hop of a request.
#[derive(Default)]
pub(crate) struct Hop<'a> {
    pub url: &'a str,
    pub method: &'a str,
    pub body: Option<&'a str>,
    pub at_ms: u64,
    pub sent: Vec<(String, String)>,
    pub received: Option<Vec<(String, String)>>,
    pub answer: Option<Answer<'a>>,
    pub body_hash: Option<(&'a str, u64)>,
    pub has_ended: bool,
    pub failed: Option<&'a str>,
}

pub(crate) struct Answer<'a> {
    pub status: u16,
    pub status_text: &'a str,
    pub mime: &'a str,
    pub remote: Option<&'a str>,
    pub protocol: &'a str,
}

/// What is known of the requests that share an id.
#[derive(Default)]
struct Chain {
    hops: Vec<usize>,
    n_sent: usize,
    n_received: usize,
    n_answered: usize,
}

/// Returns the wall-clock time of a moment of a visit.
pub(crate) fn wall_clock(visit: &VisitRecord, at_ms: u64) -> Timestamp {
    let since = SignedDuration::from_millis(i64::try_from(at_ms).unwrap_or(i64::MAX));
    visit.started_at.checked_add(since).unwrap_or(visit.started_at)
}

/// Archives all exchanges of a visit, in the order in which they began. What cannot be archived is named.
pub(super) fn archive(
    writer: &mut Writer,
    visit: &VisitRecord,
    spool: &Spool,
    left_out: &mut Vec<String>,
) -> Result<(), WriteError> {
    for hop in hops(visit) {
        if !["http:", "https:", "ws:", "wss:"].iter().any(|scheme| hop.url.starts_with(scheme)) {
            continue;
        }
        match writer.exchange(&exchange(&hop, visit, &kept_body(&hop, spool))) {
            Ok(_) => {}
            Err(error @ (WriteError::Write { .. } | WriteError::Broken { .. })) => return Err(error),
            Err(error) => left_out.push(format!("visit {}: {error}", visit.name)),
        }
    }
    Ok(())
}

pub(crate) fn hops(visit: &VisitRecord) -> Vec<Hop<'_>> {
    let mut hops: Vec<Hop<'_>> = Vec::new();
    let mut chains: HashMap<&str, Chain> = HashMap::new();
    for event in &visit.events {
        match &event.kind {
            EventKind::Request { id, url, method, body, .. } => {
                chains.entry(id).or_default().hops.push(hops.len());
                let body = body.as_deref();
                hops.push(Hop { url, method, body, at_ms: event.at_ms, ..Hop::default() });
            }
            EventKind::RequestSent { id, cookies, headers, .. } => {
                let chain = chains.entry(id).or_default();
                if let Some(&at) = chain.hops.get(chain.n_sent) {
                    hops[at].sent.clone_from(headers);
                    hops[at].sent.extend(cookie_header(cookies));
                }
                chain.n_sent += 1;
            }
            EventKind::ResponseHeaders { id, headers, .. } => {
                let chain = chains.entry(id).or_default();
                if let Some(&at) = chain.hops.get(chain.n_received) {
                    hops[at].received = Some(headers.clone());
                }
                chain.n_received += 1;
            }
            EventKind::Response { id, status, mime, remote, protocol, status_text, .. } => {
                let chain = chains.entry(id).or_default();
                if let Some(&at) = chain.hops.get(chain.n_answered) {
                    let remote = remote.as_deref();
                    hops[at].answer = Some(Answer { status: *status, status_text, mime, remote, protocol });
                }
                chain.n_answered += 1;
            }
            EventKind::Finished { id, sha256, body_bytes, .. } => {
                if let Some(hop) = last(&mut hops, &chains, id) {
                    hop.has_ended = true;
                    hop.body_hash = sha256.as_deref().zip(*body_bytes);
                }
            }
            EventKind::Failed { id, error } => {
                if let Some(hop) = last(&mut hops, &chains, id) {
                    hop.has_ended = true;
                    hop.failed = Some(error);
                }
            }
            _ => {}
        }
    }
    for hop in &mut hops {
        // Answers that did not come over the network have no raw heads.
        if let (None, Some(answer)) = (&hop.received, &hop.answer) {
            hop.received = Some(vec![("content-type".to_owned(), answer.mime.to_owned())]);
        }
    }
    hops
}

fn last<'h, 'a>(hops: &'h mut [Hop<'a>], chains: &HashMap<&str, Chain>, id: &str) -> Option<&'h mut Hop<'a>> {
    let at = *chains.get(id)?.hops.last()?;
    hops.get_mut(at)
}

fn cookie_header(cookies: &[SentCookie]) -> Option<(String, String)> {
    let pairs: Vec<String> = cookies.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
    (!pairs.is_empty()).then(|| ("cookie".to_owned(), pairs.join("; ")))
}

/// What became of a body.
enum Kept {
    None,
    Here { sha256: [u8; 32], len: u64, path: std::path::PathBuf },
    Lost(&'static str),
}

fn kept_body(hop: &Hop<'_>, spool: &Spool) -> Kept {
    let Some(answer) = &hop.answer else { return Kept::None };
    let has_none = hop.method == "HEAD" || matches!(answer.status, 100..200 | 204 | 304 | 301 | 302 | 303 | 307 | 308);
    match hop.body_hash {
        _ if has_none => Kept::None,
        Some((sha256, len)) => match (digest(sha256), spool.body(sha256)) {
            (Some(sha256), Some(path)) => Kept::Here { sha256, len, path },
            _ => Kept::Lost("it was hashed and not kept"),
        },
        None if !hop.has_ended => Kept::Lost("the visit ended before it had arrived whole"),
        None => Kept::Lost("the browser did not hand it over: it was larger than 8 MiB, or its page was gone"),
    }
}

fn exchange<'a>(hop: &'a Hop<'a>, visit: &VisitRecord, body: &'a Kept) -> Exchange<'a> {
    let request = Request { method: hop.method, headers: &hop.sent, body: hop.body.map(str::as_bytes) };
    let outcome = match &hop.answer {
        Some(answer) => Outcome::Answered(Response {
            status: answer.status,
            status_text: answer.status_text,
            headers: hop.received.as_deref().unwrap_or_default(),
            payload: match body {
                Kept::None => Payload::None,
                Kept::Here { sha256, len, path } => {
                    Payload::Kept(Body { sha256: *sha256, len: *len, source: Source::File(path) })
                }
                Kept::Lost(why) => Payload::Lost { why },
            },
        }),
        None => Outcome::Failed { why: hop.failed.unwrap_or("no answer had come when the visit ended") },
    };
    let remote = hop.answer.as_ref().and_then(|answer| answer.remote);
    Exchange {
        url: hop.url,
        at: wall_clock(visit, hop.at_ms),
        remote: remote.and_then(|remote| remote.trim_matches(['[', ']']).parse::<IpAddr>().ok()),
        protocol: hop.answer.as_ref().map(|answer| answer.protocol).filter(|protocol| !protocol.is_empty()),
        request,
        outcome,
    }
}

fn digest(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 64 {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}
