//! Pages that say what they like, and files that are anything: the bundle stays sound, the reader stays calm.

use std::{fs, io::Write as _};

use proptest::prelude::*;
use vigie_evidence::{
    Bundle, Exchange, Expected, Outcome, Payload, Request, Response, Roots, Writer, read_http_head, timestamp::Token,
    verify,
};

use crate::samples::{self, Headers, body, exchange, key, options};

/// What a page might put anywhere to be taken for something else.
const FORGERY: &str = "x\r\n\r\nWARC/1.1\r\nWARC-Type: response\r\nContent-Length: 0\r\n\r\n\r\n\r\n";

fn wild() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), Just(FORGERY.to_owned()), "[\\x00-\\x7f]{0,30}", Just("\u{85}\u{2028}a".to_owned())]
}

fn wild_headers() -> impl Strategy<Value = Headers> {
    let name = prop_oneof![wild(), Just("Content-Length".to_owned()), Just("content-type".to_owned())];
    prop::collection::vec((name, wild()), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_page_says_the_bundle_is_sound(
        path in wild(), title in wild(), method in wild(), text in wild(), why in wild(), protocol in wild(),
        status in any::<u16>(), request in wild_headers(), answer in wild_headers(),
        bytes in prop::collection::vec(any::<u8>(), 0..50), which in 0..4,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let file = samples::tree(folder.path());
        let url = format!("https://wild.test/{path}");
        let payload = match which {
            0 => Payload::None,
            1 => Payload::Lost { why: &why },
            _ => Payload::Kept(body(&bytes)),
        };
        let outcome = match which {
            3 => Outcome::Failed { why: &why },
            _ => Outcome::Answered(Response { status, status_text: &text, headers: &answer, payload }),
        };
        let exchange = Exchange {
            protocol: Some(&protocol),
            request: Request { method: &method, headers: &request, body: Some(&bytes) },
            outcome,
            ..exchange(&url, &[], &[], Payload::None)
        };
        let mut writer = Writer::create(&file, options(Expected::NotExpected)).unwrap();
        writer.exchange(&exchange).unwrap();
        writer.page(&url, &title, exchange.at).unwrap();
        writer.finish(&key()).unwrap();
        let report = verify(&file, &Roots::default()).unwrap();
        prop_assert_eq!(&report.problems, &[]);
        prop_assert_eq!(report.facts.n_records, if which == 1 { 4 } else { 3 });

        let bundle = Bundle::open(&file).unwrap();
        let mut records = bundle.records().unwrap();
        while let Some((record, payload)) = records.next(|record, mut block| {
            let is_http = record.kind() == "request" || record.kind() == "response";
            if is_http { read_http_head(&mut block)?; }
            let mut payload = Vec::new();
            block.read_to_end(&mut payload)?;
            Ok(payload)
        }).unwrap() {
            if record.kind() == "request" || (record.kind() == "response" && which == 2) {
                prop_assert_eq!(&payload, &bytes, "the head ends where we ended it");
            }
        }
    }

    #[test]
    fn a_bundle_cut_and_mended_anyhow_is_refused_without_a_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..60, prop::collection::vec(any::<u8>(), 0..60)), 1..6),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let file = samples::tree(folder.path());
        samples::small(&file);
        let sound = fs::read(&file).unwrap();
        let mut bytes = sound.clone();
        for (at, remove, put) in edits {
            let begin = at.index(bytes.len());
            let end = (begin + remove).min(bytes.len() - 1).max(begin);
            bytes.splice(begin..end, put);
        }
        fs::write(&file, &bytes).unwrap();
        let report = verify(&file, &Roots::default()).unwrap();
        prop_assert_eq!(report.is_sound(), bytes == sound);
        if let Ok(bundle) = Bundle::open(&file) {
            let mut records = bundle.records().unwrap();
            while let Ok(Some(_)) = records.next(|_, _| Ok(())) {}
        }
    }

    #[test]
    fn any_bytes_are_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        prop_assert!(!verify(file.path(), &Roots::default()).unwrap().is_sound());
        prop_assert!(Token::from_response(bytes, &[0; 32]).is_err());
    }
}

#[test]
fn a_file_that_is_not_there_is_an_error_and_not_an_answer() {
    let error = verify("no/such.wacz".as_ref(), &Roots::default()).unwrap_err();
    assert_eq!(error.to_string(), "the bundle `no/such.wacz` could not be read");
}
