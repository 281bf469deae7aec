//! Orders of authorities: in force from their moment on, in a flow that runs too, and lifted by the same key alone.

use crate::bad::Recipient;
use crate::{Stage, agreed, authority, read_ndjson, register_text};
use jiff::Timestamp;
use vigie_ledger::key::Algorithm;
use vigie_ledger::{Hash, SignerKey};
use vigie_transfers::order::{Document, Lift, StopOrder};
use vigie_transfers::run::RunError;

const SOURCE: &str = "format = \"parquet\"\npath = \"users.parquet\"";
const FOLDER: &str = "format = \"ndjson\"\nto = \"out\"";

fn stop() -> StopOrder {
    StopOrder {
        authority: "CNIL".to_owned(),
        reference: "MED-2017-075".to_owned(),
        effect: "2017-11-27T00:00:00Z".parse().expect("a time"),
        purpose: Some("advertising".to_owned()),
        recipient: None,
        field: None,
        group: None,
    }
}

fn give(stage: &Stage, name: &str, document: &Document, key: &SignerKey) {
    let folder = stage.folder.join("orders");
    std::fs::create_dir_all(&folder).expect("there is room");
    std::fs::write(folder.join(name), document.signed(key).expect("it can be signed")).expect("there is room");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_in_the_middle_of_a_run_lets_nothing_more_out() {
    let stage = Stage::new(1000).await;
    let order = Document::Stop(StopOrder { effect: Timestamp::now(), ..stop() });
    let folder = stage.folder.join("orders");
    let signed = order.signed(&authority()).expect("it can be signed");
    // The order is given while the third batch is being taken: it is the last that leaves.
    let recipient = Recipient::new(move |batch| {
        if batch == 2 {
            std::fs::create_dir_all(&folder).expect("there is room");
            std::fs::write(folder.join("order"), &signed).expect("there is room");
        }
        200
    })
    .await;
    let to = format!("format = \"ndjson\"\nto = \"{}\"", recipient.address);
    let report = stage.run(&register_text(SOURCE, &to, "batch_records = 100")).await.expect("it runs to its end");
    assert_eq!(report.records, 210, "seventy of each of three batches");
    assert_eq!(report.withheld["ordered"], 700);
    assert_eq!(recipient.batches().len(), 3);
    assert_eq!(stage.rows_by_ledger(), 210);
    // Another purpose goes on (SH-08).
    let text = register_text(SOURCE, FOLDER, "").replace(
        "purpose = \"advertising\"\nbasis = \"consent\"",
        "purpose = \"security\"\nbasis = \"legitimate-interest\"",
    );
    assert_eq!(stage.run(&text).await.expect("it runs").records, 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_comes_after_the_ledger_and_before_the_recipient_voids_the_batch() {
    let stage = Stage::new(100).await;
    let text = register_text(SOURCE, FOLDER, "batch_records = 100");
    // The recipient's folder cannot be written, after the batch was logged: it is on its way when the order comes.
    let recipient = Recipient::new(|_| 500).await;
    let to = format!("format = \"ndjson\"\nto = \"{}\"", recipient.address);
    let failed = stage.run(&register_text(SOURCE, &to, "batch_records = 100")).await.expect_err("it was not taken");
    assert!(matches!(failed, RunError::NotDelivered(_)), "{failed}");
    assert_eq!(stage.rows_by_ledger(), 70);
    give(&stage, "order", &Document::Stop(stop()), &authority());
    let report = stage.run(&text).await.expect("it runs to its end");
    assert_eq!((report.records, report.withheld["ordered"]), (0, 100));
    assert_eq!(stage.rows_by_ledger(), 0, "an entry says that the batch did not leave");
    assert!(read_ndjson(&stage.delivered()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_a_field_and_a_lifted_order_are_told_apart() {
    let stage = Stage::new(100).await;
    let group = StopOrder { group: Some(("country".to_owned(), "FR".to_owned())), ..stop() };
    let field = StopOrder { field: Some("phone".to_owned()), reference: "phone".to_owned(), ..stop() };
    let lifted = Document::Stop(StopOrder { reference: "lifted".to_owned(), ..stop() });
    give(&stage, "group", &Document::Stop(group), &authority());
    give(&stage, "field", &Document::Stop(field), &authority());
    give(&stage, "lifted", &lifted, &authority());
    let lift = Lift {
        authority: "CNIL".to_owned(),
        order: Hash::of(lifted.to_string().as_bytes()),
        reference: "lifted".to_owned(),
        effect: "2018-01-01T00:00:00Z".parse().expect("a time"),
    };
    give(&stage, "lift", &Document::Lift(lift.clone()), &authority());
    let report = stage.run(&register_text(SOURCE, FOLDER, "")).await.expect("it runs");
    let records = read_ndjson(&stage.delivered());
    assert_eq!(report.records, (1..=100).filter(|id| agreed(*id) && id % 2 == 1).count() as u64);
    assert!(
        records
            .values()
            .all(|record| record["country"] == "DE" && record.get("phone").is_none_or(serde_json::Value::is_null))
    );
    // Who lifts with another key lifts nothing, and until somebody has looked nothing leaves.
    let stranger =
        SignerKey::from_seed("stranger.example/orders".parse().expect("a name"), Algorithm::Ed25519, [9; 32]);
    give(&stage, "lift", &Document::Lift(lift), &stranger);
    let failed = stage.run(&register_text(SOURCE, FOLDER, "")).await.expect_err("it counts for nothing");
    assert!(failed.to_string().contains("is not signed by the key of `CNIL`"), "{failed}");
    std::fs::write(stage.folder.join("orders/lift"), "please").expect("there is room");
    let failed = stage.run(&register_text(SOURCE, FOLDER, "")).await.expect_err("it could be an order");
    assert!(failed.to_string().contains("is among the orders and is none"), "{failed}");
}

#[test]
fn what_is_written_is_read_and_what_is_not_known_is_refused() {
    let order =
        Document::Stop(StopOrder { group: Some(("a".into(), "b=c".into())), field: Some("f".into()), ..stop() });
    assert_eq!(Document::parse(&order.to_string()), Ok(order.clone()));
    let wrong = |from: &str, to: &str| Document::parse(&order.to_string().replace(from, to)).expect_err("it is wrong");
    assert_eq!(wrong("purpose", "porpoise"), "line `porpoise` is not known");
    assert_eq!(wrong("reference MED-2017-075\n", ""), "line `reference` is missing");
    assert_eq!(wrong("field f", "purpose f"), "line `purpose` is there twice");
    assert!(wrong("2017-11-27T00:00:00Z", "soon").starts_with("`effect` is `soon`"));
    let broken = StopOrder { reference: "one\npurpose other".to_owned(), ..stop() };
    assert!(Document::Stop(broken).signed(&authority()).is_err(), "no value can begin a line");
}
