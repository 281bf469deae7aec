//! Bounds: how much, how often, from which pages; and the banner's address.

use crate::fixture::{Fixture, choice};
use serde_json::json;

const MORE: &str = "[limits]\nsubject_per_minute = 5\nbody_bytes = 2048\n\
    [cors]\norigins = [\"https://www.platform.example\"]\n\
    [banner]\nnotice = \"n1\"\n[[banner.purpose]]\nid = \"audience\"\nrecord = \"marketing\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_or_unreadable_is_refused_in_one_sentence() {
    let mut fixture = Fixture::with("toomuch", "folder = \"ledger\"", MORE).await;
    let token = format!("Bearer {}", fixture.person(1));
    let known = ("authorization", token.as_str());
    let json_kind = ("content-type", "application/json");
    for (headers, body, expected) in [
        (vec![known, json_kind], "x".repeat(4096), 413),
        (vec![known, json_kind], "{".to_owned(), 400),
        (vec![known], choice("marketing", "given").to_string(), 415),
        (vec![known, json_kind, ("idempotency-key", "")], choice("marketing", "given").to_string(), 400),
    ] {
        let answer = fixture.ask("POST", "/v1/choices", &headers, Some(body)).await;
        assert_eq!(answer.status, expected, "{}", answer.text);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.json()["status"], expected);
    }
    let second = fixture.person(2);
    let mut statuses = Vec::new();
    for _ in 0..7 {
        let answer = fixture.get("/v1/choices", &second).await;
        assert_eq!(answer.status == 429, answer.header("retry-after").is_some());
        statuses.push(answer.status);
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429]);
    assert_eq!(fixture.get("/v1/choices", &fixture.person(3)).await.status, 200, "others are not kept waiting");
    for (method, path, expected) in
        [("GET", "/nowhere", 404), ("DELETE", "/v1/choices", 405), ("GET", "/v1/history?limit=0", 401)]
    {
        let answer = fixture.ask(method, path, &[], None).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (expected, Some("application/problem+json")),
            "{path}"
        );
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_listed_pages_may_call() {
    let mut fixture = Fixture::with("pages", "folder = \"ledger\"", MORE).await;
    let asks = [("access-control-request-method", "POST")];
    for (origin, allowed) in [("https://www.platform.example", true), ("https://evil.example", false)] {
        let headers = [("origin", origin), asks[0]];
        let preflight = fixture.ask("OPTIONS", "/v1/choices", &headers, None).await;
        assert_eq!(preflight.header("access-control-allow-origin"), allowed.then_some(origin));
        assert_eq!(preflight.header("access-control-allow-headers").is_some(), allowed);
        let answer = fixture.ask("GET", "/v1/purposes", &headers[..1], None).await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed.then_some(origin));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_banner_is_served_to_everybody_and_cached() {
    let mut fixture = Fixture::with("bannerpath", "folder = \"ledger\"", MORE).await;
    let plain = fixture.ask("GET", "/banner/v1/vigie.js", &[("accept-encoding", "identity")], None).await;
    assert_eq!((plain.status, plain.header("content-type")), (200, Some("text/javascript; charset=utf-8")));
    assert!(plain.text.contains("vigie-choice") && plain.text.contains("Alle ablehnen"));
    assert_eq!(plain.header("access-control-allow-origin"), Some("*"));
    let etag = plain.header("etag").unwrap().to_owned();
    let again = fixture.ask("GET", "/banner/v1/vigie.js", &[("if-none-match", &etag)], None).await;
    assert_eq!(again.status, 304);
    let packed = fixture.ask("GET", "/banner/v1/vigie.js", &[("accept-encoding", "br, gzip")], None).await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_gone_is_said_and_nothing_is_recorded() {
    let fixture = Fixture::new("gonedatabase").await;
    let token = fixture.person(1);
    assert_eq!(fixture.get("/health", "").await.json(), json!({ "status": "ok" }));
    let database: String = fixture.client.query_one("SELECT current_database()::text", &[]).await.unwrap().get(0);
    let server = vigie_testkit::postgres::PostgresServer::shared();
    let (admin, connection) =
        tokio_postgres::connect(&server.address("postgres"), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    admin.batch_execute(&format!("DROP DATABASE {database} WITH (FORCE)")).await.unwrap();
    for answer in [
        fixture.get("/health", "").await,
        fixture.get("/v1/choices", &token).await,
        fixture.post("/v1/choices", &token, &choice("marketing", "given")).await,
    ] {
        assert_eq!(answer.status, 503, "{}", answer.text);
        assert_eq!(answer.json()["detail"], "the database does not answer");
    }
}
