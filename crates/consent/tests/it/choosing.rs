//! Recording, reading back, withdrawing, and what proves it.

use crate::fixture::{BEGIN, Fixture, MARKETING, choice};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use vigie_ledger::{
    Entry, Kind, Receipt,
    opening::{Seen, Shown},
};
use vigie_sequencer::{Home, Log, Options, http};

fn said<'a>(answer: &'a Value, purpose: &str) -> &'a Value {
    answer["choices"].as_array().unwrap().iter().find(|choice| choice["purpose"] == purpose).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_choice_is_recorded_in_force_and_proved_to_the_person_alone() {
    let mut fixture = Fixture::new("proved").await;
    fixture.settle().await;
    let token = fixture.person(1);
    let before = fixture.get("/v1/choices", &token).await.json();
    assert_eq!(
        (&said(&before, "marketing")["permitted"], &said(&before, "marketing")["said"]),
        (&json!(false), &Value::Null)
    );

    let given = fixture.post("/v1/choices", &token, &choice("marketing", "given")).await;
    assert_eq!(given.status, 200, "{}", given.text);
    let given = given.json();
    assert_eq!(given["recorded"][0]["in_force"], true);
    assert_eq!(said(&given, "marketing")["permitted"], true);
    assert_eq!(fixture.mask(1).await, BEGIN | MARKETING);
    assert_eq!(fixture.mask(2).await, BEGIN);

    let withdrawn = fixture.post("/v1/withdrawals", &token, &json!({ "method": "settings" })).await.json();
    assert_eq!(withdrawn["recorded"][0]["state"], "withdrawn");
    assert_eq!(fixture.mask(1).await, BEGIN, "in force at once");
    let again = fixture.post("/v1/withdrawals", &token, &json!({ "method": "settings" })).await.json();
    assert_eq!(again["recorded"], json!([]), "nothing is left to withdraw");

    let history = fixture.get("/v1/history?limit=1", &token).await.json();
    assert_eq!(history["history"][0]["state"], "given");
    let next = format!("/v1/history?after={}", history["next_after"]);
    let rest = fixture.get(&next, &token).await.json();
    assert_eq!((rest["history"].as_array().unwrap().len(), &rest["next_after"]), (1, &Value::Null));
    let record = fixture.get("/v1/record", &token).await;
    assert_eq!(record.header("content-type"), Some("application/ld+json"));
    let record = record.json();
    assert_eq!(record["@graph"][1]["dpv:hasConsentStatus"][1]["@type"], "dpv:ConsentWithdrawn");
    let notices = record["@graph"][1]["dpv:hasNotice"].as_array().unwrap();
    assert!(notices.iter().any(|notice| notice["dct:description"] == "May we send you offers?"), "{notices:?}");

    // The receipt is checked with the ledger's public key and nothing else.
    let event = given["recorded"][0]["event"].as_str().unwrap();
    let receipt = fixture.get(&format!("/v1/receipts/{event}"), &token).await;
    assert_eq!(receipt.status, 200, "{}", receipt.text);
    let receipt = Receipt::parse(receipt.text.as_bytes()).unwrap();
    let shown = Shown::parse(receipt.extra.as_deref().unwrap()).unwrap();
    let attested = receipt.verify(&shown.entry, &fixture.trust()).unwrap();
    let entry = Entry::parse(&shown.entry).unwrap();
    assert_eq!((entry.kind, entry.row_count, entry.event_id.to_string().as_str()), (Kind::Choice, 1, event));
    let Seen::Opened(bytes) = shown.check_row(entry.row_base, attested.checkpoint.checkpoint()).unwrap() else {
        panic!("it was not erased")
    };
    let text = String::from_utf8(bytes).unwrap();
    let told: Vec<&str> = text.lines().collect();
    assert_eq!(&told[..4], ["vigie/choice/v1", "purpose marketing", "recipient ", "state given"]);
    assert_eq!(told.last(), Some(&"subject 1"));
    let other = fixture.get(&format!("/v1/receipts/{event}"), &fixture.person(2)).await;
    assert_eq!(other.status, 404, "nobody gets the receipt of somebody else");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_twice_is_carried_out_once() {
    let mut fixture = Fixture::new("twicesent").await;
    let token = format!("Bearer {}", fixture.person(1));
    let headers = [("authorization", token.as_str()), ("content-type", "application/json"), ("idempotency-key", "one")];
    let body = choice("marketing", "given").to_string();
    let first = fixture.ask("POST", "/v1/choices", &headers, Some(body.clone())).await;
    let second = fixture.ask("POST", "/v1/choices", &headers, Some(body.clone())).await;
    assert_eq!((first.status, &first.text), (200, &second.text));
    let other = fixture.ask("POST", "/v1/choices", &headers, Some(choice("marketing", "refused").to_string())).await;
    assert_eq!(other.status, 422, "{}", other.text);
    let somebody = format!("Bearer {}", fixture.person(2));
    let headers = [("authorization", somebody.as_str()), headers[1], headers[2]];
    let theirs = fixture.ask("POST", "/v1/choices", &headers, Some(body.clone())).await;
    assert_eq!(theirs.status, 200, "a key is the caller's own");
    let history = fixture.get("/v1/history", &fixture.person(1)).await.json();
    assert_eq!(history["history"].as_array().unwrap().len(), 1);

    // Many at once: one is carried out, the others wait or get its answer.
    let headers = [headers[0], headers[1], ("idempotency-key", "many")];
    let all = (0..8).map(|_| fixture.ask("POST", "/v1/choices", &headers, Some(body.clone())));
    let mut statuses = Vec::new();
    for answer in futures(all).await {
        statuses.push(answer.status);
    }
    assert!(statuses.iter().all(|status| [200, 409].contains(status)) && statuses.contains(&200), "{statuses:?}");
    let history = fixture.get("/v1/history", &fixture.person(2)).await.json();
    assert_eq!(history["history"].as_array().unwrap().len(), 2);
    fixture.end().await;
}

/// Waits for all at once.
async fn futures<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = all.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(move |context| {
        let mut ready = true;
        for (one, answer) in &mut waiting {
            if answer.is_none() {
                match one.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *answer = Some(value),
                    std::task::Poll::Pending => ready = false,
                }
            }
        }
        if ready {
            std::task::Poll::Ready(waiting.iter_mut().filter_map(|(_, answer)| answer.take()).collect())
        } else {
            std::task::Poll::Pending
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_request_is_done_if_one_part_cannot_be() {
    let mut fixture = Fixture::new("allornone").await;
    fixture.settle().await;
    let token = fixture.person(1);
    for (more, why) in [
        (json!({ "purpose": "marketting", "state": "given" }), "purpose `marketting` is not in the data map"),
        (
            json!({ "purpose": "service", "state": "refused" }),
            "purpose `service` rests on contract, which a person cannot refuse",
        ),
        (json!({ "purpose": "marketing", "state": "refused" }), "a purpose and recipient are named twice"),
        (
            json!({ "purpose": "research", "state": "lapsed" }),
            "`requested` and `lapsed` are for the operator to record",
        ),
    ] {
        let mut body = choice("marketing", "given");
        body["choices"].as_array_mut().unwrap().push(more);
        let answer = fixture.post("/v1/choices", &token, &body).await;
        assert_eq!((answer.status, answer.json()["detail"].as_str().unwrap()), (422, why));
    }
    let mut future = choice("marketing", "given");
    future["decided_at"] = json!("2999-01-01T00:00:00Z");
    assert_eq!(fixture.post("/v1/choices", &token, &future).await.status, 422);
    assert_eq!(fixture.mask(1).await, BEGIN);
    assert_eq!(fixture.get("/v1/history", &token).await.json()["history"], json!([]));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_is_in_force_while_the_ledger_is_away_and_a_yes_is_not() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let mut fixture = Fixture::with("ledgeraway", &format!("url = \"http://{address}\""), "").await;
    fixture.settle().await;
    let (one, two) = (fixture.person(1), fixture.person(2));

    let given = fixture.post("/v1/choices", &one, &choice("marketing", "given")).await;
    assert_eq!(given.status, 503);
    assert_eq!(given.json()["detail"], "the ledger does not answer; nothing was recorded");
    assert_eq!(fixture.mask(1).await, BEGIN);
    let refused = fixture.post("/v1/choices", &two, &choice("research", "refused")).await;
    assert_eq!(refused.status, 503);
    let detail = "the ledger does not answer; what was refused or withdrawn is in force, and not logged yet";
    assert_eq!(refused.json()["detail"], detail);
    assert_eq!(fixture.mask(2).await, 0b001, "in force, whatever the ledger does");
    let history = fixture.get("/v1/history", &two).await.json();
    let event = history["history"][0]["event"].as_str().unwrap().to_owned();

    // The ledger comes back; what was in force is logged without anybody asking again.
    let log = Arc::new(Log::open(&Home::new(fixture.folder.path().join("ledger")), Options::default()).unwrap());
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    tokio::spawn(http::serve(listener, http::router(log.clone(), http::Writers::Anybody), std::future::pending()));
    let logged = async {
        loop {
            let sql = "SELECT count(*) FROM vigie.unlogged";
            let left: i64 = fixture.client.query_one(sql, &[]).await.unwrap().get(0);
            if left == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), logged).await.expect("it is logged");
    assert_eq!(log.statistics().durable, 1);
    let receipt = fixture.get(&format!("/v1/receipts/{event}"), &two).await;
    assert_eq!(receipt.status, 200, "{}", receipt.text);
    let receipt = Receipt::parse(receipt.text.as_bytes()).unwrap();
    let shown = Shown::parse(receipt.extra.as_deref().unwrap()).unwrap();
    receipt.verify(&shown.entry, &fixture.trust()).unwrap();
    assert_eq!(fixture.post("/v1/choices", &one, &choice("marketing", "given")).await.status, 200);
    fixture.end().await;
}
