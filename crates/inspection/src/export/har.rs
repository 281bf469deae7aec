//! The traffic of the visits that play scenarios as HAR 1.2, for tools that read it.
//!
//! A view: bodies stay in the bundle, and each entry names its body's SHA-256. Times are those of the record, to the
//! millisecond.

use crate::{
    bundle::exchanges::{Hop, hops, wall_clock},
    evidence::Evidence,
};
use serde_json::{Value, json};
use vigie_domain::VisitRecord;

/// Returns the traffic as a HAR document.
pub fn document(evidence: &Evidence) -> Value {
    let entries: Vec<Value> = evidence
        .visits
        .iter()
        .flat_map(|visit| hops(visit).into_iter().map(|hop| entry(visit, &hop)).collect::<Vec<_>>())
        .collect();
    let pages: Vec<Value> = evidence
        .visits
        .iter()
        .map(|visit| {
            json!({
                "id": visit.name,
                "startedDateTime": time(visit, 0),
                "title": format!("{}: {}", visit.name, visit.requested_url),
                "pageTimings": {},
            })
        })
        .collect();
    let (program, version) =
        evidence.environment.program.split_once(' ').unwrap_or((evidence.environment.program.as_str(), ""));
    let (browser, number) =
        evidence.environment.browser.split_once('/').unwrap_or((evidence.environment.browser.as_str(), ""));
    json!({"log": {
        "version": "1.2",
        "creator": {"name": program, "version": version},
        "browser": {"name": browser, "version": number},
        "pages": pages,
        "entries": entries,
    }})
}

fn entry(visit: &VisitRecord, hop: &Hop<'_>) -> Value {
    let (status, text, mime) =
        hop.answer.as_ref().map_or((0, "", ""), |answer| (answer.status, answer.status_text, answer.mime));
    let protocol = hop.answer.as_ref().map_or("", |answer| answer.protocol);
    let (sha256, bytes) = hop
        .body_hash
        .map_or((None, -1), |(sha256, bytes)| (Some(format!("sha256:{sha256}")), i64::try_from(bytes).unwrap_or(-1)));
    let received = hop.received.as_deref().unwrap_or_default();
    let redirect = received.iter().find(|(name, _)| name == "location").map_or("", |(_, value)| value.as_str());
    let mut request = json!({
        "method": hop.method, "url": hop.url, "httpVersion": protocol, "cookies": [], "headers": headers(&hop.sent),
        "queryString": query(hop.url), "headersSize": -1, "bodySize": hop.body.map_or(0, str::len),
    });
    if let Some(body) = hop.body {
        request["postData"] = json!({"mimeType": "", "text": body});
    }
    let mut entry = json!({
        "pageref": visit.name,
        "startedDateTime": time(visit, hop.at_ms),
        "time": 0,
        "request": request,
        "response": {
            "status": status, "statusText": text, "httpVersion": protocol, "cookies": [], "headers": headers(received),
            "content": {"size": bytes, "mimeType": mime, "comment": sha256},
            "redirectURL": redirect, "headersSize": -1, "bodySize": -1,
        },
        "cache": {},
        "timings": {"send": 0, "wait": 0, "receive": 0},
    });
    if let Some(remote) = hop.answer.as_ref().and_then(|answer| answer.remote) {
        entry["serverIPAddress"] = json!(remote);
    }
    if let Some(why) = hop.failed {
        entry["response"]["_error"] = json!(why);
    }
    entry
}

fn headers(pairs: &[(String, String)]) -> Vec<Value> {
    pairs.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
}

fn query(url: &str) -> Vec<Value> {
    let Ok(url) = url::Url::parse(url) else { return Vec::new() };
    url.query_pairs().map(|(name, value)| json!({"name": name, "value": value})).collect()
}

fn time(visit: &VisitRecord, at_ms: u64) -> String {
    wall_clock(visit, at_ms).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
