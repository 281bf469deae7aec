//! A flow from end to end, from each kind of source to each kind of file.

use crate::{Stage, agreed, people_of, pseudonym, read_ndjson, register_text};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use vigie_ledger::Kind;

const TO_NDJSON: &str = "format = \"ndjson\"\nto = \"out\"";

fn check(stage: &Stage, people: u64) {
    let records = read_ndjson(&stage.delivered());
    let expected: Vec<u64> = (1..=people).filter(|id| agreed(*id)).collect();
    assert_eq!(records.len(), expected.len());
    for id in expected {
        let record = &records[&pseudonym(id)];
        assert_eq!(record["country"], if id % 2 == 0 { "FR" } else { "DE" });
        let phone = if id % 5 == 0 { serde_json::Value::Null } else { format!("+33 {id:09}").into() };
        // A field that is NULL may be left out.
        assert_eq!(record.get("phone").cloned().unwrap_or_default(), phone);
        assert_eq!(record.as_object().expect("an object").keys().filter(|key| *key != "phone").count(), 2);
    }
    assert_eq!(stage.rows_by_ledger(), records.len() as u64);
}

fn withheld(tenth: u64) -> BTreeMap<String, u64> {
    ["not-given", "refused", "withdrawn"].map(|reason| (reason.to_owned(), tenth)).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_declared_fields_of_those_who_agreed_leave_and_the_ledger_counts_them() {
    let stage = Stage::new(1000).await;
    let text = register_text("format = \"parquet\"\npath = \"users.parquet\"", TO_NDJSON, "batch_records = 130");
    let report = stage.run(&text).await.expect("it runs");
    assert_eq!((report.read, report.records, report.batches), (1000, 700, 8));
    assert_eq!(report.withheld, withheld(100));
    check(&stage, 1000);
    let entries = stage.entries();
    assert!(entries.iter().all(|entry| entry.kind == Kind::TransferOut));
    assert_eq!(entries.len(), 9, "eight batches and the end");
    // A second run hands all over again, under another name; nothing of the first is lost.
    let again = stage.run(&text).await.expect("it runs");
    assert_eq!((again.records, stage.rows_by_ledger()), (700, 1400));
    assert_ne!(again.run, report.run);
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_ndjson_and_a_query_give_what_parquet_gives() {
    let stage = Stage::new(500).await;
    let mut csv = String::from("phone,id,email,country\n");
    let mut ndjson = String::new();
    for id in 1..=500_u64 {
        let country = if id % 2 == 0 { "FR" } else { "DE" };
        let phone = if id % 5 == 0 { String::new() } else { format!("+33 {id:09}") };
        writeln!(csv, "{phone},{id},p{id}@example.org,{country}").expect("memory");
        let phone = if id % 5 == 0 { "null".to_owned() } else { format!("\"{phone}\"") };
        writeln!(ndjson, "{{\"id\":{id},\"secret\":1,\"country\":\"{country}\",\"phone\":{phone}}}").expect("memory");
    }
    std::fs::write(stage.folder.join("users.csv"), csv).expect("there is room");
    std::fs::write(stage.folder.join("users.ndjson"), ndjson).expect("there is room");
    let fill = "INSERT INTO users SELECT id, CASE WHEN id % 2 = 0 THEN 'FR' ELSE 'DE' END,
                CASE WHEN id % 5 <> 0 THEN '+33 ' || lpad(id::text, 9, '0') END FROM generate_series(1, 500) id";
    stage.client().await.batch_execute(fill).await.expect("there is room");
    let mut rows = 0;
    for source in [
        "format = \"csv\"\npath = \"users.csv\"",
        "format = \"ndjson\"\npath = \"users.ndjson\"",
        "format = \"postgres\"\nquery = \"SELECT * FROM users WHERE id > 0\"\nkey = \"id\"",
    ] {
        let _ = std::fs::remove_dir_all(stage.delivered());
        let report = stage.run(&register_text(source, TO_NDJSON, "batch_records = 77")).await;
        let report = report.unwrap_or_else(|error| panic!("{source}: {error:?}"));
        assert_eq!((report.read, report.records), (500, 350), "{source}");
        assert_eq!(report.withheld, withheld(50));
        rows += 350;
        assert_eq!(stage.rows_by_ledger(), rows);
        assert_eq!(read_ndjson(&stage.delivered()).len(), 350);
        assert!(read_ndjson(&stage.delivered()).contains_key(&pseudonym(500)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn to_an_interest_one_can_only_object_and_another_recipients_choice_does_not_count() {
    let stage = Stage::new(30).await;
    let text = register_text("format = \"parquet\"\npath = \"users.parquet\"", TO_NDJSON, "").replace(
        "purpose = \"advertising\"\nbasis = \"consent\"",
        "purpose = \"security\"\nbasis = \"legitimate-interest\"",
    );
    let client = stage.client().await;
    let object = "INSERT INTO vigie.choice (subject, purpose, recipient, state, decided_at, method)
                  VALUES (4, 1, 'parent.example', 'refused', now(), 'letter'), (5, 1, 'other.example', 'refused', now(), 'letter')";
    client.batch_execute(object).await.expect("choices can be recorded");
    client
        .batch_execute("SELECT vigie.stop(6, 'security', 'DPO', 'file 6', 'asked')")
        .await
        .expect("it can be ordered");
    let report = stage.run(&text).await.expect("it runs");
    assert_eq!(report.records, 28);
    assert_eq!(report.withheld, [("refused".to_owned(), 1), ("stopped".to_owned(), 1)].into());
    let records = read_ndjson(&stage.delivered());
    assert!(records.contains_key(&pseudonym(5)) && !records.contains_key(&pseudonym(4)));
    assert_eq!(people_of(30).num_rows(), 30);
}
