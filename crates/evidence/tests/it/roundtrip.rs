//! What is written is read again, and is whole or not there.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Command, Stdio},
};

use sha2::{Digest as _, Sha256};
use vigie_evidence::{
    Body, Bundle, Expected, Payload, ReadError, Roots, Source, TimestampState, WriteError, Writer, read_http_head,
    verify,
};

use crate::samples::{self, body, exchange, headers, key, options};

#[test]
fn a_bundle_is_sound_and_says_who_signed_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = samples::tree(folder.path());
    let finished = samples::rich(&path);
    let report = verify(&path, &Roots::default()).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!(report.facts.signed_by, Some(key().fingerprint()));
    assert_eq!(report.facts.created.as_deref(), Some("2026-11-22T10:15:00Z"));
    assert_eq!(report.facts.sha256, finished.sha256);
    assert_eq!(report.facts.timestamp, TimestampState::Pending);
    assert_eq!(report.facts.n_records, 1 + 8 * 2 + 1, "info, request and main record of each, why a body is missing");
}

#[test]
fn the_same_visit_gives_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let first = samples::rich(&folder.path().join("a.wacz"));
    let second = samples::rich(&folder.path().join("b.wacz"));
    assert_eq!(first.sha256, second.sha256);
}

#[test]
fn records_hold_what_was_handed_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = samples::tree(folder.path());
    samples::rich(&path);
    let bundle = Bundle::open(&path).unwrap();
    let mut records = bundle.records().unwrap();
    let mut seen = Vec::new();
    loop {
        let read = records.next(|record, mut block| {
            let is_http = record.field("Content-Type").is_some_and(|kind| kind.starts_with("application/http"));
            let head = is_http.then(|| read_http_head(&mut block)).transpose()?;
            let mut payload = Vec::new();
            block.read_to_end(&mut payload)?;
            Ok((head, payload))
        });
        let Some(read) = read.unwrap() else { break };
        seen.push(read);
    }
    let kinds: Vec<&str> = seen.iter().map(|(record, _)| record.kind()).collect();
    let expected = "warcinfo response request response request revisit request response request response metadata \
                    request response request response request metadata request";
    assert_eq!(kinds.join(" "), expected);

    let (first, (head, payload)) = &seen[1];
    assert_eq!(first.field("warc-target-uri"), Some("https://www.rich.test:8443/?b=2&a=1"));
    assert_eq!(first.field("WARC-Date"), Some("2026-11-22T10:14:58.123456Z"));
    assert_eq!(first.field("WARC-IP-Address"), Some("192.0.2.7"));
    assert_eq!(payload, "<!doctype html><title>Réglages</title>".as_bytes());
    let head = String::from_utf8(head.as_ref().unwrap().raw.clone()).unwrap();
    assert_eq!(
        head,
        "HTTP/1.1 200\r\ncontent-type: text/html; charset=utf-8\r\nx-orig-content-encoding: br\r\n\
         x-orig-content-length: 12\r\nset-cookie: _ga=GA1.1.1; Path=/\r\nset-cookie: id=2; Secure\r\n\
         content-length: 39\r\n\r\n"
    );
    let request = String::from_utf8(seen[2].1.0.as_ref().unwrap().raw.clone()).unwrap();
    assert_eq!(
        request,
        "GET /?b=2&a=1 HTTP/1.1\r\nHost: www.rich.test:8443\r\naccept: */*\r\ncookie: a=1; b=2\r\n\r\n"
    );
    assert_eq!(seen[2].0.field("WARC-Concurrent-To"), first.field("WARC-Record-ID"));

    let revisit = &seen[5].0;
    assert_eq!(revisit.field("WARC-Refers-To"), seen[3].0.field("WARC-Record-ID"));
    assert_eq!(revisit.field("WARC-Refers-To-Target-URI"), Some("https://cdn.test/App.js?v=1"));
    let (_, (_, why)) = &seen[16];
    assert_eq!(why, b"error: net::ERR_CONNECTION_REFUSED\r\n");
}

#[test]
fn members_are_read_within_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let path = samples::tree(folder.path());
    samples::rich(&path);
    let bundle = Bundle::open(&path).unwrap();
    assert_eq!(bundle.read("vigie/evidence.json.gz", 100).unwrap(), br#"{"schema":"test/1"}"#);
    assert!(matches!(bundle.read("vigie/evidence.json.gz", 18), Err(ReadError::TooLarge { limit: 18, .. })));
    assert!(matches!(bundle.read("vigie/other", 18), Err(ReadError::NoMember { .. })));
    let mut picture = Vec::new();
    bundle.member("pictures/s0.png").unwrap().read_to_end(&mut picture).unwrap();
    assert!(picture.starts_with(b"\x89PNG"));
}

#[test]
fn a_bundle_is_never_replaced_and_an_unfinished_one_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = samples::tree(folder.path());
    let unfinished = Writer::create(&path, options(Expected::Expected)).unwrap();
    assert!(!path.exists(), "nothing bears the name before it is whole");
    let begun: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(begun.iter().all(|name| name.to_string_lossy().starts_with('.')), "{begun:?}");
    drop(unfinished);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

    let late = Writer::create(&path, options(Expected::Expected)).unwrap();
    fs::write(&path, "somebody else's").unwrap();
    assert!(matches!(late.finish(&key()), Err(WriteError::Exists { .. })));
    assert!(matches!(Writer::create(&path, options(Expected::Expected)), Err(WriteError::Exists { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), "somebody else's");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn names_that_are_taken_or_lead_elsewhere_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(&samples::tree(folder.path()), options(Expected::NotExpected)).unwrap();
    writer.member("vigie/a", &b""[..]).unwrap();
    for name in [
        "vigie/a",
        "vigie/A",
        "Vigie/a",
        "../a",
        "/a",
        "a",
        "vigie/a/b",
        "archive/x",
        "indexes/x",
        "pages/x",
        "vigie/timestamp-1",
        "datapackage.json",
        "vigie/é",
        "",
    ] {
        assert!(matches!(writer.member(name, &b""[..]), Err(WriteError::Name { .. })), "{name}");
    }
    writer.finish(&key()).unwrap();
}

#[test]
fn a_body_that_is_not_what_was_received_is_refused_and_the_rest_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = samples::tree(folder.path());
    let mut writer = Writer::create(&path, options(Expected::NotExpected)).unwrap();
    let mut other = body(b"received");
    other.source = Source::Bytes(b"Received");
    let error = writer.exchange(&exchange("https://a.test/", &[], &[], Payload::Kept(other))).unwrap_err();
    assert!(matches!(error, WriteError::BodyChanged { .. }), "{error}");
    let missing = folder.path().join("none");
    let missing = Body { source: Source::File(&missing), ..body(b"x") };
    let error = writer.exchange(&exchange("https://a.test/", &[], &[], Payload::Kept(missing))).unwrap_err();
    assert_eq!(error.to_string(), "the body of `https://a.test/` could not be read from where it was kept");
    for url in ["data:,x", "blob:https://a.test/1", "no address", "about:blank"] {
        assert!(matches!(writer.exchange(&exchange(url, &[], &[], Payload::None)), Err(WriteError::Url { .. })));
    }
    let html = headers(&[("content-type", "text/html")]);
    writer.exchange(&exchange("https://a.test/", &[], &html, Payload::Kept(body(b"received")))).unwrap();
    writer.finish(&key()).unwrap();
    assert!(verify(&path, &Roots::default()).unwrap().is_sound());
}

#[test]
fn what_the_reader_would_refuse_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = samples::tree(folder.path());
    let mut writer = Writer::create(&path, options(Expected::NotExpected)).unwrap();
    let too_many = |result: Result<String, WriteError>, of: &str| {
        assert!(matches!(result, Err(WriteError::TooMany { what }) if what == of), "{of}");
    };
    let lines = headers(&[("a", &"b\n".repeat(20_000))]);
    too_many(writer.exchange(&exchange("https://a.test/", &lines, &[], Payload::None)), "headers");
    too_many(writer.exchange(&exchange("https://a.test/", &[], &lines, Payload::None)), "headers");
    let long = headers(&[("a", &"b".repeat(9 << 20))]);
    let error = writer.exchange(&exchange("https://a.test/", &[], &long, Payload::None)).unwrap_err();
    assert!(
        error.to_string().starts_with("the head of the response of `https://a.test/` has 9437205 bytes"),
        "{error}"
    );
    let huge = Body { len: 9 << 30, ..body(b"x") };
    too_many(writer.exchange(&exchange("https://a.test/", &[], &[], Payload::Kept(huge))), "bytes of records");
    let large = Body { len: 3 << 30, ..body(b"x") };
    let error = writer.exchange(&exchange("https://a.test/", &[], &[], Payload::Kept(large))).unwrap_err();
    assert!(matches!(error, WriteError::TooLarge { what: "the body", .. }), "{error}");
    let address = format!("https://a.test/{}", "x".repeat(2 << 20));
    let created = options(Expected::NotExpected).created;
    let pages = (0..40).take_while(|_| writer.page(&address, "\0", created).is_ok()).count();
    assert_eq!(pages, 31);
    writer.exchange(&exchange(&address, &[], &[], Payload::None)).unwrap();
    writer.finish(&key()).unwrap();
    let report = verify(&path, &Roots::default()).unwrap();
    assert_eq!((report.problems, report.facts.n_records), (vec![], 3));
}

/// What the writer is made to do in a process of its own, told where by the environment.
#[test]
#[ignore = "run by the tests below, which end it or let its disk fill up"]
fn child() {
    let path = std::env::var_os("VIGIE_TEST_BUNDLE").expect("told by the parent");
    let mut writer = match Writer::create(path.as_ref(), options(Expected::NotExpected)) {
        Ok(writer) => writer,
        Err(error) => return say(&error.to_string()),
    };
    say("begun");
    // Hard to compress, so that it fills what it must.
    let large: Vec<u8> = (0..20_000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 16).to_le_bytes()).collect();
    let answer = headers(&[("content-type", "text/plain")]);
    if let Err(error) = writer.exchange(&exchange("https://a.test/", &[], &answer, Payload::Kept(body(&large)))) {
        say(&error.to_string());
        // A writer that failed half way stays so.
        assert!(matches!(writer.finish(&key()), Err(WriteError::Broken { .. })));
        return;
    }
    say("archived");
    if let Err(error) = writer.member("pictures/a.png", &[&large[..], &large].concat()[..]) {
        return say(&error.to_string());
    }
    say("added");
    match writer.finish(&key()) {
        Ok(_) => say("finished"),
        Err(error) => say(&error.to_string()),
    }
}

/// Archives and verifies a large body in a process of its own, and says how much memory that took.
#[test]
#[ignore = "run by the test below, which looks at its memory"]
fn large_child() {
    let path = std::path::PathBuf::from(std::env::var_os("VIGIE_TEST_BUNDLE").expect("told by the parent"));
    let spooled = path.with_extension("body");
    let len: u64 = 64 << 20;
    fs::File::create(&spooled).unwrap().set_len(len).unwrap();
    let mut sha256 = Sha256::new();
    std::io::copy(&mut fs::File::open(&spooled).unwrap(), &mut sha256).unwrap();
    let body = Body { sha256: sha256.finalize().into(), len, source: Source::File(&spooled) };
    let mut writer = Writer::create(&path, options(Expected::NotExpected)).unwrap();
    writer.exchange(&exchange("https://a.test/", &[], &[], Payload::Kept(body))).unwrap();
    writer.member("vigie/large", fs::File::open(&spooled).unwrap()).unwrap();
    writer.finish(&key()).unwrap();
    assert!(verify(&path, &Roots::default()).unwrap().is_sound());
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    say(peak.trim().trim_end_matches(" kB"));
}

#[test]
fn a_large_body_passes_through_and_is_not_held() {
    let folder = tempfile::tempdir().unwrap();
    let output = start("large_child", &samples::tree(folder.path()), "").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    let peak_kb: u64 = text.lines().find_map(|line| line.strip_prefix("child: ")).unwrap().parse().unwrap();
    assert!(peak_kb < 40_000, "{peak_kb} kB for a body of 65536 kB");
}

fn say(what: &str) {
    // To the parent, past the harness, which keeps what tests print.
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr().lock(), "child: {what}");
}

/// Runs one of these below a shell that sets a limit first.
fn start(child: &str, path: &Path, limit: &str) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new("sh");
    let script = format!("{limit} exec \"$0\" --ignored --exact roundtrip::{child} --nocapture");
    command.args(["-c", &script]).arg(program).env("VIGIE_TEST_BUNDLE", path);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

#[test]
fn a_program_that_is_killed_leaves_nothing_that_looks_like_a_bundle() {
    for (step, files) in [("begun", 1), ("archived", 1), ("added", 1)] {
        let folder = tempfile::tempdir().unwrap();
        let path = samples::tree(folder.path());
        let mut child = start("child", &path, "").spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == format!("child: {step}")), "it gets there");
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        // The child does not wait to be killed; what it finished before that is whole.
        if path.exists() {
            assert!(verify(&path, &Roots::default()).unwrap().is_sound(), "{step}");
        } else if !ended.success() {
            assert_eq!(names.len(), files, "{step}: {names:?}");
            assert!(names[0].to_string_lossy().starts_with('.'), "{step}: {names:?}");
            assert!(!verify(&folder.path().join(&names[0]), &Roots::default()).unwrap().is_sound());
        }
    }
}

#[test]
fn a_disk_that_fills_up_leaves_nothing() {
    let mut said = std::collections::BTreeSet::new();
    // In blocks of 512 bytes, of which one is enough for the key. The archive has some 83 kB, the picture 160 kB, and both are in the bundle.
    for blocks in [1, 20, 80, 159, 165, 200, 300, 320, 400, 470, 480, 1000] {
        let folder = tempfile::tempdir().unwrap();
        let path = samples::tree(folder.path());
        let output = start("child", &path, &format!("trap '' XFSZ; ulimit -f {blocks};")).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{blocks}: {text}");
        let last = text.lines().filter_map(|line| line.strip_prefix("child: ")).next_back().unwrap().to_owned();
        if last == "finished" {
            assert!(verify(&path, &Roots::default()).unwrap().is_sound());
        } else {
            assert!(last.ends_with("sample.wacz` could not be written"), "{blocks}: {last}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{blocks}");
        }
        said.insert(
            text.lines().filter_map(|line| line.strip_prefix("child: ")).take_while(|line| !line.contains('`')).count(),
        );
    }
    assert_eq!(said.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4], "it failed at each step, and in the end it did not");
}
