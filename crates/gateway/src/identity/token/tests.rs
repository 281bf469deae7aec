//! Tokens that hold, and every way in which they do not.

use super::*;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use serde_json::json;
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::mpsc,
};

/// 1 January 2027, 00:00 UTC.
const NOW: i64 = 1_798_761_600;

/// A key and a token that OpenSSL 3.0.19 made: RS256, issued at [`NOW`] for an hour.
const RSA_N: &str = "pqMPUjKSP-fXH3y8qEcgbhw9yaZHTxr_NmBFpJOo6nrH0vaK-XHKFrfsJsK2VOAFA7H1rWxPRM1MvtmD2_T41WIWwlPLuwnz47aiZEWOB8XA2Tz0HYmM8cudhj0v_bxWPEZUzeSFB-WosQE7rMo8P2TTEhJbmr9oMK8Rhai204HcJgXjoEbaKB0LyW1euybHPpD3mH6OGIRdPXZR9FJkzV4QJFQWPNG-T6JOJhFJ9mg0TChd4bHNghbWCCv49RFBdiIQFfT1zQNBD8ejkY2e_rkvao1jtSSbw0tCkvxKWeO960pYLABBrp7KW-fv8EsM_DDyT45HU8gWS4D1PYO1Cw";
const RSA_TOKEN: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwiYXVkIjoidmlnaWUiLCJzdWIiOiJjeSIsIm5hbWUiOiJDeSBFeGFtcGxlIiwiZW50aXR5IjoiUGxhdGZvcm0gSXJlbGFuZCBMdGQiLCJjb3VudHJ5IjoiSUUiLCJncm91cHMiOlsiZnJhdWQiXSwiaWF0IjoxNzk4NzYxNjAwLCJleHAiOjE3OTg3NjUyMDB9.JNjj9R8Axx2buaPXfp0zL7o-SC14WgxGmpWENDF57LXhwTHHQzO5vHXu91pHcRK74kewBIBz59JXSH5ACh-S7CgjsqUeBiDTL18N8N9iDiKxSDTGvfjAb6J1QG6FoBlTdl_zjHp9B0DKf6dGHCc8hjUYYZZaupSSxYTWOVKOCWd9-hQ88EEHozOP8T15Da08rSx3A3KFQA2XI5WDTEWYfe80gfvFGEOvOVYkivGiwVkEKDRuqlWaa2c1lPWfGN0sj5hw6facg0irJWMz0N_wymPnbyznyTp_2enisPA8b7xL-eoWs0SrVloiedkC0Vq13G1fNwPjjYd3tD-uGVjC_Q";

/// An identity provider with keys of its own.
pub(crate) struct Provider {
    ecdsa: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
    folder: tempfile::TempDir,
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

impl Provider {
    pub(crate) fn new() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let ecdsa = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let ecdsa = EcdsaKeyPair::from_pkcs8(algorithm, ecdsa.as_ref(), &random).unwrap();
        let ed25519 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let ed25519 = Ed25519KeyPair::from_pkcs8(ed25519.as_ref()).unwrap();
        let provider = Self { ecdsa, ed25519, folder: tempfile::tempdir().unwrap() };
        fs::write(provider.folder.path().join("keys.json"), provider.keys().to_string()).unwrap();
        provider
    }

    fn keys(&self) -> Value {
        let point = self.ecdsa.public_key().as_ref();
        json!({ "keys": [
            { "kid": "ec", "kty": "EC", "crv": "P-256", "x": base64(&point[1..33]), "y": base64(&point[33..]),
              "use": "sig", "alg": "ES256" },
            { "kid": "ed", "kty": "OKP", "crv": "Ed25519", "x": base64(self.ed25519.public_key()) },
            { "kid": "rsa", "kty": "RSA", "n": RSA_N, "e": "AQAB", "use": "sig", "alg": "RS256" },
            { "kid": "sealing", "kty": "OKP", "crv": "Ed25519", "x": base64(self.ed25519.public_key()), "use": "enc" },
            { "kid": "curious", "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA" },
            { "kty": "OKP", "crv": "Ed25519", "x": base64(self.ed25519.public_key()) },
        ] })
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            issuer: "https://idp.example".to_owned(),
            audience: "vigie".to_owned(),
            keys_file: Some(self.folder.path().join("keys.json")),
            keys_url: None,
            keys_ca: None,
            skew_seconds: 30,
            claims: Claims::default(),
        }
    }

    /// Signs a token whatever its header says.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
        let signature = match header["kid"].as_str() {
            Some("ec") => self.ecdsa.sign(&SystemRandom::new(), signed.as_bytes()).unwrap().as_ref().to_vec(),
            _ => self.ed25519.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        format!("{signed}.{}", base64(signature))
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        self.sign(&json!({ "alg": "ES256", "kid": "ec", "typ": "JWT" }), claims)
    }
}

/// The claims of someone, valid for an hour from a moment.
pub(crate) fn claims(id: &str, at: i64) -> Value {
    json!({
        "iss": "https://idp.example", "aud": ["other", "vigie"], "sub": id, "name": "Cy Example",
        "entity": "Platform Ireland Ltd", "country": "IE", "groups": ["fraud"], "training_until": "2027-06-30",
        "iat": at, "nbf": at, "exp": at + 3600,
    })
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn a_token_of_each_algorithm_says_who_it_is() {
    let provider = Provider::new();
    let tokens = Tokens::new(provider.settings()).unwrap();
    let by_ecdsa = provider.token(&claims("cy", NOW));
    let by_ed25519 = provider.sign(&json!({ "alg": "EdDSA", "kid": "ed" }), &claims("cy", NOW));
    for token in [by_ecdsa.as_str(), &by_ed25519, RSA_TOKEN] {
        let principal = tokens.verify(token, at(NOW)).unwrap();
        assert_eq!((principal.id.as_str(), principal.display.as_str()), ("cy", "Cy Example"));
        assert_eq!(principal.attested.country.as_str(), "IE");
        assert_eq!(principal.attested.groups.len(), 1);
        assert_eq!(principal.method, Method::Token);
        let issuer = "https://idp.example".to_owned();
        assert_eq!(principal.attested_by, Attestation::IdentityProvider { issuer });
    }
    let trained = tokens.verify(&by_ecdsa, at(NOW)).unwrap();
    assert_eq!(trained.attested.training_until, Some("2027-06-30".parse().unwrap()));
    assert_eq!(tokens.verify(RSA_TOKEN, at(NOW)).unwrap().attested.training_until, None);
}

#[test]
fn a_token_that_is_not_signed_by_its_key_is_refused() {
    let provider = Provider::new();
    let tokens = Tokens::new(provider.settings()).unwrap();
    let verify = |header: Value| tokens.verify(&provider.sign(&header, &claims("cy", NOW)), at(NOW)).unwrap_err();

    assert!(matches!(verify(json!({ "alg": "none", "kid": "ec" })), TokenError::Algorithm(_)));
    assert!(matches!(verify(json!({ "alg": "NONE", "kid": "ec" })), TokenError::Algorithm(_)));
    assert!(matches!(verify(json!({ "alg": "HS256", "kid": "rsa" })), TokenError::Algorithm(_)));
    assert!(matches!(verify(json!({ "alg": "ES256", "kid": "rsa" })), TokenError::WrongKey(_)));
    assert!(matches!(verify(json!({ "alg": "EdDSA", "kid": "ec" })), TokenError::WrongKey(_)));
    assert!(matches!(verify(json!({ "alg": "RS256", "kid": "rsa" })), TokenError::Signature));
    for kid in ["gone", "sealing", "curious", ""] {
        assert!(matches!(verify(json!({ "alg": "EdDSA", "kid": kid })), TokenError::UnknownKey(_)), "{kid}");
    }
    assert!(matches!(verify(json!({ "alg": "EdDSA" })), TokenError::Malformed(_)), "a key without an id is not tried");
    assert!(matches!(verify(json!({ "alg": "EdDSA", "kid": "ed", "crit": ["b64"] })), TokenError::Malformed(_)));
    assert!(matches!(verify(json!({ "kid": "ed" })), TokenError::Malformed(_)));

    // HMAC with the public key as its secret, which naive verifiers take.
    let signed = format!("{}.{}", base64(r#"{"alg":"HS256","kid":"rsa"}"#), base64(claims("cy", NOW).to_string()));
    let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, RSA_N.as_bytes());
    let forged = format!("{signed}.{}", base64(ring::hmac::sign(&secret, signed.as_bytes())));
    assert!(matches!(tokens.verify(&forged, at(NOW)), Err(TokenError::Algorithm(_))));

    let token = provider.token(&claims("cy", NOW));
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let other = format!("{header}.{}.{signature}", base64(claims("boss", NOW).to_string()));
    assert!(matches!(tokens.verify(&other, at(NOW)), Err(TokenError::Signature)));
    for broken in ["", ".", "..", "a.b.c", signed, &format!("{signed}."), &format!("{token}."), &format!("{token}=")] {
        assert!(tokens.verify(broken, at(NOW)).is_err(), "{broken}");
    }
    assert!(matches!(tokens.verify(&"x".repeat(MAX_BYTES + 1), at(NOW)), Err(TokenError::Malformed(_))));
}

#[test]
fn a_token_for_others_or_for_another_time_is_refused() {
    let provider = Provider::new();
    let tokens = Tokens::new(provider.settings()).unwrap();
    let with = |name: &str, value: Value| {
        let mut claims = claims("cy", NOW);
        claims[name] = value;
        tokens.verify(&provider.token(&claims), at(NOW))
    };
    for (claim, value) in [
        ("aud", json!("another")),
        ("aud", json!(["another"])),
        ("aud", json!(null)),
        ("aud", json!("vigie ")),
        ("iss", json!("https://idp.example/")),
        ("iss", json!(null)),
    ] {
        assert!(matches!(with(claim, value.clone()), Err(TokenError::NotForUs { .. })), "{claim} {value}");
    }
    for (claim, value) in [
        ("exp", json!(null)),
        ("exp", json!("tomorrow")),
        ("sub", json!("")),
        ("sub", json!(7)),
        ("sub", json!("a\u{0}b")),
        ("entity", json!(null)),
        ("country", json!("Ireland")),
        ("groups", json!("fraud")),
        ("groups", json!([7])),
        ("training_until", json!("soon")),
    ] {
        assert!(matches!(with(claim, value.clone()), Err(TokenError::Claim(_))), "{claim} {value}");
    }
    let token = provider.token(&claims("cy", NOW));
    let verify = |second| tokens.verify(&token, at(second)).map(|_| ());
    assert!(verify(NOW + 3600 + 29).is_ok(), "the skew of 30 s is granted");
    assert!(matches!(verify(NOW + 3600 + 30), Err(TokenError::Expired(_))));
    assert!(verify(NOW - 30).is_ok());
    assert!(matches!(verify(NOW - 31), Err(TokenError::NotYet(_))));
}

#[test]
fn settings_that_cannot_be_meant_are_refused() {
    let provider = Provider::new();
    let refused = |change: fn(&mut Settings)| {
        let mut settings = provider.settings();
        change(&mut settings);
        Tokens::new(settings).unwrap_err().to_string()
    };
    assert_eq!(refused(|settings| settings.skew_seconds = 61), "`skew_seconds` is more than 60");
    assert_eq!(refused(|settings| settings.audience.clear()), "`issuer` or `audience` is empty");
    assert_eq!(refused(|settings| settings.keys_file = None), "one of `keys_file` and `keys_url` is needed");
    let plain = refused(|settings| {
        settings.keys_file = None;
        settings.keys_url = Some("http://127.0.0.1.idp.example/keys".to_owned());
    });
    assert_eq!(plain, "`keys_url` is neither HTTPS nor on the loopback");
}

#[test]
fn keys_are_fetched_when_an_unknown_one_is_named_but_not_at_every_token() {
    let (provider, next) = (Provider::new(), Provider::new());
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let (answers, to_give) = mpsc::channel::<(u16, String)>();
    let server = std::thread::spawn(move || {
        let mut n_requests = 0;
        for (status, body) in to_give {
            let (mut stream, _) = listener.accept().unwrap();
            let mut read = [0; 4096];
            assert!(stream.read(&mut read).unwrap() > 0);
            n_requests += 1;
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).unwrap();
        }
        n_requests
    });
    let tokens = Tokens::new(Settings { keys_file: None, keys_url: Some(url), ..provider.settings() }).unwrap();

    // No keys at all: refused, and the next try waits.
    answers.send((500, String::new())).unwrap();
    let first = provider.token(&claims("cy", NOW));
    assert!(matches!(tokens.verify(&first, at(NOW)), Err(TokenError::Keys(KeysError::Status(500)))));
    assert!(tokens.verify(&first, at(NOW + 29)).is_err());
    answers.send((200, provider.keys().to_string())).unwrap();
    tokens.verify(&first, at(NOW + 30)).unwrap();
    tokens.verify(&first, at(NOW + 31)).expect("nothing is fetched for a key that is known");

    // The provider changes keys: the unknown id makes us look, once.
    let mut renamed = next.keys();
    renamed["keys"][0]["kid"] = json!("ec-2");
    let signed = format!("{}.{}", base64(r#"{"alg":"ES256","kid":"ec-2"}"#), base64(claims("cy", NOW).to_string()));
    let signature = next.ecdsa.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    let second = format!("{signed}.{}", base64(signature));
    assert!(matches!(tokens.verify(&second, at(NOW + 40)), Err(TokenError::UnknownKey(_))), "asked 10 s ago");
    answers.send((200, renamed.to_string())).unwrap();
    tokens.verify(&second, at(NOW + 60)).unwrap();
    let withdrawn = tokens.verify(&first, at(NOW + 61));
    assert!(matches!(withdrawn, Err(TokenError::UnknownKey(_))), "a withdrawn key verifies nothing");

    // The provider is away: keys are used for a day, then not.
    let much_later = provider_claims_until(NOW + 200_000);
    let signed = format!("{}.{}", base64(r#"{"alg":"ES256","kid":"ec-2"}"#), base64(much_later.to_string()));
    let signature = next.ecdsa.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    let third = format!("{signed}.{}", base64(signature));
    answers.send((503, String::new())).unwrap();
    tokens.verify(&third, at(NOW + 60 + 7200)).unwrap();
    answers.send((503, String::new())).unwrap();
    assert!(matches!(tokens.verify(&third, at(NOW + 60 + 90_000)), Err(TokenError::Keys(_))));
    drop(answers);
    assert_eq!(server.join().unwrap(), 5);
}

fn provider_claims_until(end: i64) -> Value {
    let mut claims = claims("cy", NOW);
    claims["exp"] = json!(end);
    claims
}

proptest::proptest! {
    #[test]
    fn no_token_panics(text in "[a-zA-Z0-9_.-]{0,120}", header in ".{0,60}") {
        let provider = Settings {
            issuer: "i".to_owned(),
            audience: "a".to_owned(),
            keys_file: Some("/nowhere".into()),
            keys_url: None,
            keys_ca: None,
            skew_seconds: 0,
            claims: Claims::default(),
        };
        let tokens = Tokens::new(provider).unwrap();
        for token in [text.clone(), format!("{}.{text}.{text}", base64(header))] {
            proptest::prop_assert!(tokens.verify(&token, at(NOW)).is_err());
        }
    }
}
