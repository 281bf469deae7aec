//! Who may do what: every address, with every kind of caller.

use crate::fixture::{Fixture, ask, choice};
use serde_json::json;
use vigie_testkit::certificates::{Identity, TestAuthority};

#[tokio::test(flavor = "multi_thread")]
async fn people_act_for_themselves_and_programs_as_far_as_their_scope_goes() {
    let mut fixture = Fixture::new("whomay").await;
    let person = fixture.person(1);
    let (reads, writes) = (fixture.operator("choices:read"), fixture.operator("choices:write"));
    let (none, expired) = (fixture.operator("profile email"), {
        let claims = json!({ "iss": "https://platform.example", "aud": "choices", "sub": "1", "exp": 1_700_000_000 });
        fixture.issuer.sign(&claims)
    });
    let own = ["/v1/choices", "/v1/history", "/v1/record", "/v1/receipts/00000000000000000000000000000000"];
    let receipt_is_missing = |path: &str| if path.contains("receipts") { 404 } else { 200 };
    for path in own {
        let of = path.replace("/v1/", "/v1/subjects/1/");
        let expected = receipt_is_missing(path);
        for (token, on_own, on_of) in [
            ("", 401, 401),
            ("nonsense", 401, 401),
            (expired.as_str(), 401, 401),
            (&person, expected, 401),
            (&none, 401, 403),
            (&writes, 401, 403),
            (&reads, 401, expected),
        ] {
            let got = (fixture.get(path, token).await.status, fixture.get(&of, token).await.status);
            assert_eq!(got, (on_own, on_of), "{path}");
        }
    }
    let body = choice("marketing", "given");
    for (path, token, expected) in [
        ("/v1/choices", "", 401),
        ("/v1/choices", writes.as_str(), 401),
        ("/v1/choices", person.as_str(), 200),
        ("/v1/subjects/1/choices", person.as_str(), 401),
        ("/v1/subjects/1/choices", reads.as_str(), 403),
        ("/v1/subjects/1/choices", writes.as_str(), 200),
        ("/v1/subjects/nobody/choices", writes.as_str(), 404),
        ("/v1/subjects/1/withdrawals", reads.as_str(), 403),
    ] {
        let got = fixture.post(path, token, &body).await;
        assert_eq!(got.status, expected, "{path}: {}", got.text);
    }
    let lapsed = fixture.post("/v1/subjects/1/choices", &writes, &choice("marketing", "lapsed")).await;
    assert_eq!(lapsed.json()["recorded"][0]["state"], "lapsed");
    for path in ["/health", "/openapi.json", "/v1/purposes"] {
        assert_eq!(fixture.get(path, "").await.status, 200, "{path}");
    }
    fixture.end().await;
}

fn agent(authority: &TestAuthority, identity: Option<&Identity>) -> ureq::Agent {
    use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
    let root = Certificate::from_pem(authority.pem().as_bytes()).unwrap();
    let mut tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[root]));
    if let Some(identity) = identity {
        let certificate = Certificate::from_pem(identity.certificate.as_bytes()).unwrap().to_owned();
        let key = PrivateKey::from_pem(identity.key.as_bytes()).unwrap();
        tls = tls.client_cert(Some(ClientCert::new_with_certs(&[certificate], key)));
    }
    ureq::Agent::config_builder().http_status_as_error(false).tls_config(tls.build()).build().new_agent()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_may_show_a_certificate_instead_of_a_token() {
    use rustls_pki_types::{CertificateDer, pem::PemObject as _};
    use sha2::Digest as _;
    let authority = TestAuthority::new();
    let (server, known, unknown) =
        (authority.issue(&["localhost"]), authority.issue(&["crm.example"]), authority.issue(&["other.example"]));
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let der = CertificateDer::from_pem_slice(known.certificate.as_bytes()).unwrap();
    let fingerprint = vigie_choices::jsonld::hex(&sha2::Sha256::digest(&der));
    let more = format!(
        "[tls]\ncertificate = \"{}\"\nkey = \"{}\"\nclient_ca = \"{}\"\n\
         [[certificate]]\nsha256 = \"{fingerprint}\"\nname = \"crm\"\nscopes = [\"choices:read\"]\n",
        place("certificate", &server.certificate),
        place("key", &server.key),
        place("ca", &authority.pem()),
    );
    let mut fixture = Fixture::with("certificates", "folder = \"ledger\"", &more).await;
    for (identity, expected) in [(Some(&known), 200), (Some(&unknown), 401), (None, 401)] {
        let url = format!("{}/v1/subjects/1/choices", fixture.address);
        let got = ask(agent(&authority, identity), url.clone(), "GET", &[], None).await;
        assert_eq!(got.status, expected, "{}", got.text);
        let kind = [("content-type", "application/json")];
        let body = Some(choice("marketing", "given").to_string());
        let got = ask(agent(&authority, identity), url, "POST", &kind, body).await;
        assert_eq!(got.status, if expected == 200 { 403 } else { 401 }, "{}", got.text);
    }
    let token = format!("Bearer {}", fixture.person(1));
    let url = format!("{}/v1/choices", fixture.address);
    let got = ask(agent(&authority, None), url, "GET", &[("authorization", &token)], None).await;
    assert_eq!(got.status, 200, "people need no certificate");
    fixture.end().await;
}
