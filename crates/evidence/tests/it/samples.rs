//! Bundles to test with, the same each time: the clock is given, and a key is made once.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    sync::LazyLock,
};

use sha2::{Digest as _, Sha256};
use vigie_evidence::{
    Body, Exchange, Expected, Finished, Key, Options, Outcome, Payload, Request, Response, Source, Writer, gzip,
};

pub type Headers = Vec<(String, String)>;

/// One key for all tests of a run.
static KEY: LazyLock<Key> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    Key::load_or_create(&folder.path().join("key.pem")).unwrap()
});

pub fn key() -> Key {
    KEY.clone()
}

pub fn headers(list: &[(&str, &str)]) -> Headers {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub fn body(bytes: &[u8]) -> Body<'_> {
    Body { sha256: Sha256::digest(bytes).into(), len: bytes.len() as u64, source: Source::Bytes(bytes) }
}

pub fn options(timestamp: Expected) -> Options {
    Options { software: "vigie test".to_owned(), created: "2026-11-22T10:15:00Z".parse().unwrap(), timestamp }
}

/// A request with an answer; change what matters.
pub fn exchange<'a>(
    url: &'a str,
    request: &'a [(String, String)],
    answer: &'a [(String, String)],
    payload: Payload<'a>,
) -> Exchange<'a> {
    Exchange {
        url,
        at: "2026-11-22T10:14:58.123456Z".parse().unwrap(),
        remote: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7))),
        protocol: Some("h2"),
        request: Request { method: "GET", headers: request, body: None },
        outcome: Outcome::Answered(Response { status: 200, status_text: "", headers: answer, payload }),
    }
}

pub fn tree(folder: &Path) -> PathBuf {
    folder.join("sample.wacz")
}

/// One page and nothing else.
pub fn small(path: &Path) -> Finished {
    let mut writer = Writer::create(path, options(Expected::NotExpected)).unwrap();
    let answer = headers(&[("content-type", "text/html; charset=utf-8")]);
    let page = b"<!doctype html><title>Small</title>";
    writer.exchange(&exchange("https://small.test/", &[], &answer, Payload::Kept(body(page)))).unwrap();
    writer.page("https://small.test/", "Small", options(Expected::NotExpected).created).unwrap();
    writer.finish(&key()).unwrap()
}

/// Nothing but what every bundle has.
pub fn empty(path: &Path) -> Finished {
    Writer::create(path, options(Expected::Expected)).unwrap().finish(&key()).unwrap()
}

/// Something of everything: a body from a file, the same body twice, an empty one, one that was lost, a redirect, a
/// request with a body, a failure, pictures and records.
pub fn rich(path: &Path) -> Finished {
    let folder = tempfile::tempdir().unwrap();
    let spooled = folder.path().join("body");
    let large: Vec<u8> =
        (0..20_000_u32).flat_map(|number| (number.wrapping_mul(2_654_435_761) >> 16).to_le_bytes()).collect();
    std::fs::write(&spooled, &large).unwrap();

    let mut writer = Writer::create(path, options(Expected::Expected)).unwrap();
    let request = headers(&[(":authority", "www.rich.test:8443"), ("accept", "*/*"), ("cookie", "a=1; b=2")]);
    let html = headers(&[
        ("content-type", "text/html; charset=utf-8"),
        ("content-encoding", "br"),
        ("content-length", "12"),
        ("set-cookie", "_ga=GA1.1.1; Path=/\nid=2; Secure"),
    ]);
    let page = "<!doctype html><title>Réglages</title>".as_bytes();
    let root = "https://www.rich.test:8443/?b=2&a=1#top";
    writer.exchange(&exchange(root, &request, &html, Payload::Kept(body(page)))).unwrap();

    let script = headers(&[("content-type", "text/javascript"), ("transfer-encoding", "chunked")]);
    let from_file = Body { source: Source::File(&spooled), ..body(&large) };
    writer.exchange(&exchange("https://cdn.test/App.js?v=1", &request, &script, Payload::Kept(from_file))).unwrap();
    writer.exchange(&exchange("https://other.test/app.js", &request, &script, Payload::Kept(body(&large)))).unwrap();
    writer.exchange(&exchange("https://cdn.test/empty", &request, &[], Payload::Kept(body(b"")))).unwrap();
    let lost = Payload::Lost { why: "evicted from the browser's cache" };
    let image = headers(&[("content-type", "image/png"), ("content-length", "999")]);
    writer.exchange(&exchange("https://cdn.test/lost.png", &request, &image, lost)).unwrap();

    let location = headers(&[("location", "/next"), ("content-length", "0")]);
    let mut redirect = exchange("http://rich.test/go?to=%C3%A9", &request, &location, Payload::None);
    redirect.outcome =
        Outcome::Answered(Response { status: 302, status_text: "Found", headers: &location, payload: Payload::None });
    writer.exchange(&redirect).unwrap();

    let mut beacon = exchange("https://tracker.test/collect", &request, &[], Payload::None);
    beacon.request = Request { method: "POST", headers: &request, body: Some(b"v=2&tid=G-1\r\n\r\nWARC/1.1\r\n") };
    beacon.outcome = Outcome::Answered(Response { status: 204, status_text: "", headers: &[], payload: Payload::None });
    writer.exchange(&beacon).unwrap();

    let mut failed = exchange("https://refused.test/x", &request, &[], Payload::None);
    failed.remote = None;
    failed.outcome = Outcome::Failed { why: "net::ERR_CONNECTION_REFUSED" };
    writer.exchange(&failed).unwrap();

    let created = options(Expected::Expected).created;
    writer.page(root, "Réglages \u{202e}des cookies\n", created).unwrap();
    writer.member("vigie/evidence.json.gz", &gzip(br#"{"schema":"test/1"}"#)[..]).unwrap();
    writer.member("vigie/plan.json", &br#"{"schema":"test/1","n":1}"#[..]).unwrap();
    writer.member("vigie/rows.json", &br#"[{"a":1},{"b":"x"}]"#[..]).unwrap();
    writer.member("vigie/events.jsonl", &b"{\"n\":1}\n{\"n\":2}\n"[..]).unwrap();
    writer.member("pictures/s0.png", &b"\x89PNG\r\n\x1a\nno picture"[..]).unwrap();
    writer.finish(&key()).unwrap()
}
