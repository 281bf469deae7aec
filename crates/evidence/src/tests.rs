//! Bundles that are signed and wrong all the same: made by somebody who has a key and means no good.

use std::{
    io::{Cursor, Read as _, Write as _},
    path::Path,
    sync::LazyLock,
};

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use crate::{
    Body, Exchange, Expected, Key, Options, Outcome, Payload, Report, Request, Response, Roots, Source, Writer,
    bundle::gzip,
    container::ContainerWriter,
    package::{self, ARCHIVE, DIGEST, INDEX, PACKAGE, PAGES, Package, Resource, Signed},
    verify, warc,
};

/// One key for all tests of a run.
static KEY: LazyLock<Key> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    Key::load_or_create(&folder.path().join("key.pem")).unwrap()
});

fn key() -> Key {
    KEY.clone()
}

fn options() -> Options {
    let created = "2026-11-22T10:15:00Z".parse().unwrap();
    Options { software: "vigie test".to_owned(), created, timestamp: Expected::NotExpected }
}

/// Two addresses with one body, and a failure.
fn write(path: &Path) {
    let headers = [("content-type".to_owned(), "text/plain".to_owned())];
    let bytes = b"the body";
    let body = Body { sha256: Sha256::digest(bytes).into(), len: 8, source: Source::Bytes(bytes) };
    let answered =
        Outcome::Answered(Response { status: 200, status_text: "OK", headers: &headers, payload: Payload::Kept(body) });
    let mut writer = Writer::create(path, options()).unwrap();
    for (url, outcome) in [
        ("https://a.test/", answered),
        ("https://b.test/", answered),
        ("https://c.test/", Outcome::Failed { why: "net::ERR_FAILED" }),
    ] {
        let request = Request { method: "GET", headers: &[], body: None };
        let at = options().created;
        writer.exchange(&Exchange { url, at, remote: None, protocol: None, request, outcome }).unwrap();
    }
    writer.page("https://a.test/", "A", options().created).unwrap();
    writer.finish(&key()).unwrap();
}

/// A name, and the bytes.
type Member = (String, Vec<u8>);

/// Returns the records of the sample, each on its own and not compressed, and the other members.
fn sample() -> (Vec<Vec<u8>>, Vec<Member>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sample.wacz");
    write(&path);
    let bundle = crate::Bundle::open(&path).unwrap();
    let read = |name: &str| {
        let mut bytes = Vec::new();
        bundle.member(name).unwrap().read_to_end(&mut bytes).unwrap();
        (name.to_owned(), bytes)
    };
    let archive = read(ARCHIVE).1;
    let mut rest = &archive[..];
    let mut records = Vec::new();
    while !rest.is_empty() {
        let mut record = Vec::new();
        flate2::bufread::GzDecoder::new(&mut rest).read_to_end(&mut record).unwrap();
        records.push(record);
    }
    (records, vec![read(INDEX), read(PAGES)])
}

/// Makes a bundle of these members with a right list and signature, and checks it.
fn check_signed(archive: &[u8], others: &[(String, Vec<u8>)]) -> Report {
    let mut container = ContainerWriter::new(Cursor::new(Vec::new()));
    let mut resources = Vec::new();
    let all = [(ARCHIVE.to_owned(), archive.to_vec())].into_iter().chain(others.iter().cloned());
    for (name, bytes) in all {
        let written = container.member(&name, &bytes[..]).unwrap();
        resources.push(Resource::new(&name, &written.sha256, written.bytes));
    }
    let (created, software) = ("2026-11-22T10:15:00Z".to_owned(), "vigie test".to_owned());
    let package = package::to_bytes(&Package {
        profile: "data-package".to_owned(),
        wacz_version: "1.1.1".to_owned(),
        created: created.clone(),
        software: software.clone(),
        timestamp: Expected::NotExpected,
        resources,
    });
    let hash = warc::digest(&Sha256::digest(&package));
    let digest = package::to_bytes(&package::Digest {
        path: PACKAGE.to_owned(),
        hash: hash.clone(),
        signed: Signed {
            signature: key().sign(&hash),
            hash,
            created,
            software,
            version: "0.1.0".to_owned(),
            public_key: key().public_base64(),
        },
    });
    container.member(PACKAGE, &package[..]).unwrap();
    container.member(DIGEST, &digest[..]).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&container.finish().unwrap().into_inner()).unwrap();
    verify(file.path(), &Roots::default()).unwrap()
}

fn compress(records: &[Vec<u8>]) -> Vec<u8> {
    records.iter().flat_map(|record| gzip(record)).collect()
}

/// Replaces a text in one record, and expects this problem with the archive.
#[track_caller]
fn check(record: usize, from: &str, to: &str, expected: &str) {
    let (mut records, others) = sample();
    let text = String::from_utf8(records[record].clone()).unwrap();
    assert!(text.contains(from), "{text}");
    records[record] = text.replacen(from, to, 1).into_bytes();
    let report = check_signed(&compress(&records), &others);
    let found: Vec<&str> =
        report.problems.iter().filter(|it| it.member == ARCHIVE).map(|it| it.what.as_str()).collect();
    assert!(found.iter().any(|what| what.contains(expected)), "{:?}", report.problems);
}

#[test]
fn the_sample_made_by_hand_is_sound() {
    let (records, others) = sample();
    let report = check_signed(&compress(&records), &others);
    assert_eq!(report.problems, []);
    assert_eq!(report.facts.n_records, 7);
}

#[test]
fn records_that_do_not_fit_their_digests_are_named() {
    check(1, "the body", "the Body", "does not match its WARC-Block-Digest");
    check(1, "WARC-Payload-Digest: sha256:", "WARC-Payload-Digest: sha256:0", "does not match its WARC-Payload-Digest");
    check(1, "WARC-Payload-Digest", "WARC-Payload-Other", "has no WARC-Payload-Digest");
    check(3, "WARC-Refers-To-Target-URI: https://a", "WARC-Refers-To-Target-URI: https://b", "refers to no response");
    check(3, "identical-payload-digest", "server-not-modified", "refers to no response");
}

#[test]
fn records_out_of_form_are_named() {
    check(0, "warcinfo", "resource", "is of the kind `resource`");
    check(1, "WARC/1.1", "WARC/1.0", "does not begin with WARC/1.1");
    check(1, "WARC-Type", "WARC Type", "has a line in its head that is no field");
    check(1, "Content-Length: ", "Content-Length: 9", "ends before its block does");
    check(1, "Content-Length: ", "Content-Length: 99999999999", "is larger than an archive may hold");
    check(1, "Content-Length: ", "Content-Length: -", "has no Content-Length");
    check(1, "HTTP/1.1 200", "HTTP/1.1 2x0", "does not match its WARC-Block-Digest");
    check(1, "the body\r\n\r\n", "the body\r\n\r\n\0", "does not end with two empty lines");
    check(2, "urn:uuid:", "urn:uuid:0", "has no WARC-Record-ID of its own");
    check(1, "WARC-Date: 2026", "WARC-Date: then", "has no WARC-Date");
}

#[test]
fn records_that_share_a_gzip_member_are_refused() {
    let (records, others) = sample();
    let report = check_signed(&gzip(&records.concat()), &others);
    assert!(report.problems.iter().any(|it| it.what.contains("shares its gzip member")), "{:?}", report.problems);
    let report = check_signed(&[compress(&records), b"rest".to_vec()].concat(), &others);
    assert!(report.problems.iter().any(|it| it.what.contains("could not be read")), "{:?}", report.problems);
}

#[test]
fn an_index_that_points_elsewhere_is_refused() {
    let (records, others) = sample();
    for (from, to) in
        [("\"offset\":\"", "\"offset\":\"1"), ("a.test/", "z.test/"), ("\"200\"", "\"404\""), ("\n", "\n\n")]
    {
        let mut changed = others.clone();
        let text = String::from_utf8(changed[0].1.clone()).unwrap();
        assert!(text.contains(from));
        changed[0].1 = text.replacen(from, to, 1).into_bytes();
        let problems = check_signed(&compress(&records), &changed).problems;
        assert_eq!(problems.iter().map(|it| it.member.as_str()).collect::<Vec<_>>(), [INDEX], "{from}");
    }
}

#[test]
fn pages_that_are_none_are_refused() {
    let (records, others) = sample();
    for pages in ["", "[]\n", "{\"format\":\"x\",\"id\":\"x\",\"title\":\"x\"}\n{\"url\":1}\n", "{}\n"] {
        let changed = [others[0].clone(), (PAGES.to_owned(), pages.as_bytes().to_vec())];
        let problems = check_signed(&compress(&records), &changed).problems;
        assert_eq!(problems.iter().map(|it| it.member.as_str()).collect::<Vec<_>>(), [PAGES], "{pages}");
    }
}

#[test]
fn a_list_without_the_parts_of_an_archive_is_refused() {
    let (records, others) = sample();
    let report = check_signed(&compress(&records), &others[1..]);
    assert!(report.problems.iter().any(|it| it.what.contains("does not list `indexes/index.cdxj` in place 2")));
}

#[test]
fn what_unfolds_a_thousandfold_is_not_held() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.wacz");
    let mut writer = Writer::create(&path, options()).unwrap();
    writer.member("vigie/bomb.gz", &gzip(&vec![0; 64 << 20])[..]).unwrap();
    let finished = writer.finish(&key()).unwrap();
    assert!(finished.bytes < 100_000);
    let bundle = crate::Bundle::open(&path).unwrap();
    assert!(matches!(bundle.read("vigie/bomb.gz", 1000), Err(crate::ReadError::TooLarge { limit: 1000, .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Signed by somebody who changed the archive below the compression: no panic, and no block that differs passes.
    #[test]
    fn no_archive_is_too_strange_to_be_judged(
        record in 0_usize..7,
        at in any::<prop::sample::Index>(),
        remove in 0_usize..40,
        put in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let (mut records, others) = sample();
        let blocks = |records: &[Vec<u8>]| -> Vec<Vec<u8>> {
            let block = |record: &Vec<u8>| record.windows(4).position(|it| it == b"\r\n\r\n").map_or(0, |at| at + 4);
            records.iter().map(|record| record[block(record)..].to_vec()).collect()
        };
        let before = blocks(&records);
        let bytes = &mut records[record];
        let begin = at.index(bytes.len());
        let end = (begin + remove).min(bytes.len());
        bytes.splice(begin..end, put);
        let report = check_signed(&compress(&records), &others);
        // Spaces, the case of names, and fields that only a signature protects may differ in a sound archive.
        prop_assert!(!report.is_sound() || blocks(&records) == before);
    }

    /// Bytes that were never compressed, as an archive.
    #[test]
    fn no_bytes_are_too_strange_for_the_archive(bytes in prop::collection::vec(any::<u8>(), 1..200)) {
        let (_, others) = sample();
        prop_assert!(!check_signed(&bytes, &others).is_sound());
    }
}
