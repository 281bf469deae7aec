//! Bad sources, bad places, bad recipients: one sentence, and nothing half-sent is taken for sent.

use crate::{Stage, agreed, map, parquet_of, people_of, pseudonym, register_text};
use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    routing::post,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use vigie_transfers::flow::Register;
use vigie_transfers::run::RunError;

type Answering = Arc<dyn Fn(usize) -> u16 + Send + Sync>;

/// A recipient behind an address that answers as it is told to.
pub struct Recipient {
    pub address: String,
    shared: Arc<Shared>,
}

struct Shared {
    taken: Mutex<BTreeMap<String, Vec<u8>>>,
    answering: Answering,
    asked: Mutex<usize>,
}

impl Recipient {
    /// Answers with the status that `answering` gives for the number of the request. With 0 it never answers.
    pub async fn new(answering: impl Fn(usize) -> u16 + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared { taken: Mutex::default(), answering: Arc::new(answering), asked: Mutex::new(0) });
        let router = Router::new()
            .route("/in/{event}", post(take).get(has))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(shared.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = format!("http://{}/in", listener.local_addr().expect("it listens"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, shared }
    }

    /// Records that were taken, by batch.
    pub fn batches(&self) -> BTreeMap<String, Vec<u8>> {
        self.shared.taken.lock().expect("nobody panics").clone()
    }

    fn records(&self) -> usize {
        let lines = |body: &Vec<u8>| String::from_utf8_lossy(body).lines().count() - 1;
        self.batches().values().map(lines).sum()
    }
}

async fn take(State(shared): State<Arc<Shared>>, Path(event): Path<String>, body: Bytes) -> StatusCode {
    let number = {
        let mut asked = shared.asked.lock().expect("nobody panics");
        *asked += 1;
        *asked - 1
    };
    match (shared.answering)(number) {
        0 => std::future::pending().await,
        200 => {
            shared.taken.lock().expect("nobody panics").insert(event, body.to_vec());
            StatusCode::OK
        }
        // It has it, and does not say so.
        299 => {
            shared.taken.lock().expect("nobody panics").insert(event, body.to_vec());
            StatusCode::BAD_GATEWAY
        }
        status => StatusCode::from_u16(status).expect("a status"),
    }
}

async fn has(State(shared): State<Arc<Shared>>, Path(event): Path<String>) -> StatusCode {
    if shared.taken.lock().expect("nobody panics").contains_key(&event) {
        StatusCode::OK
    } else {
        StatusCode::NOT_FOUND
    }
}

const SOURCE: &str = "format = \"parquet\"\npath = \"users.parquet\"";

#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_that_fails_hangs_or_lies_gets_each_record_once() {
    let stage = Stage::new(600).await;
    // Taken, refused, taken without saying so, hanging, and then taken.
    let answers = [200, 500, 299, 0, 200, 200, 200, 200, 200];
    let recipient = Recipient::new(move |number| answers[number]).await;
    let to = format!("format = \"ndjson\"\nto = \"{}\"\npatience_s = 1", recipient.address);
    let text = register_text(SOURCE, &to, "batch_records = 100");
    for expected in ["status 500", "status 502", "no answer within 1 s"] {
        let failed = stage.run(&text).await.expect_err("it was not taken");
        assert!(matches!(failed, RunError::NotDelivered(_)), "{failed:?}");
        assert!(failed.to_string().contains(expected), "{failed}");
    }
    let report = stage.run(&text).await.expect("it runs to its end");
    let expected = (1..=600).filter(|id| agreed(*id)).count();
    assert_eq!((report.records, recipient.records()), (expected as u64, expected));
    assert_eq!((recipient.batches().len(), stage.rows_by_ledger()), (6, expected as u64));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_withdraws_while_a_batch_waits_is_not_in_it() {
    let stage = Stage::new(100).await;
    let recipient = Recipient::new(|number| if number == 0 { 500 } else { 200 }).await;
    let to = format!("format = \"ndjson\"\nto = \"{}\"", recipient.address);
    let text = register_text(SOURCE, &to, "");
    stage.run(&text).await.expect_err("it was not taken");
    let withdraw =
        "SELECT vigie.record(4, 'advertising', 'parent.example', 'withdrawn', now(), 'letter', '', NULL, '')";
    stage.client().await.batch_execute(withdraw).await.expect("it can be recorded");
    let report = stage.run(&text).await.expect("it runs to its end");
    assert_eq!((report.records, recipient.records(), stage.rows_by_ledger()), (69, 69, 69));
    let body = recipient.batches().into_values().next().expect("one batch");
    assert!(!String::from_utf8_lossy(&body).contains(&pseudonym(4)));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_sources_are_told_in_one_sentence_and_nothing_leaves() {
    let stage = Stage::new(50).await;
    let to = "format = \"csv\"\nto = \"out\"";
    let write = |name: &str, bytes: &[u8]| std::fs::write(stage.folder.join(name), bytes).expect("there is room");
    let whole = parquet_of(&people_of(50));
    write("cut.parquet", &whole[..whole.len() - 20]);
    write("none.parquet", b"");
    write("types.csv", b"id,country,phone\n1,FR,x\nseven,DE,y\n");
    write("columns.csv", b"id,land,phone\n1,FR,x\n");
    write("types.ndjson", b"{\"id\":4,\"country\":true,\"phone\":\"x\"}\n");
    write("cut.ndjson", b"{\"id\":4,\"country\":\"FR\",\"phone\":\"x\"}\n{\"id\":5,\"cou");
    let check = async |source: &str, expected: &str| {
        let failed = stage.run(&register_text(source, to, "")).await.expect_err(source);
        let mut said = failed.to_string();
        let mut cause = std::error::Error::source(&failed);
        while let Some(error) = cause {
            said.push_str(": ");
            said.push_str(&error.to_string());
            cause = error.source();
        }
        assert!(said.contains(expected) && !said.contains('\n'), "{source}: {said}");
        let _ = std::fs::remove_dir_all(stage.folder.join("state"));
    };
    check("format = \"parquet\"\npath = \"nowhere.parquet\"", "cannot be read: No such file").await;
    check("format = \"parquet\"\npath = \"cut.parquet\"", "it is no whole Parquet file").await;
    check("format = \"parquet\"\npath = \"none.parquet\"", "it is no whole Parquet file").await;
    check("format = \"csv\"\npath = \"types.csv\"", "column `id`").await;
    check("format = \"csv\"\npath = \"columns.csv\"", "has no column `country`").await;
    check("format = \"ndjson\"\npath = \"types.ndjson\"", "cannot be read behind record 0").await;
    check("format = \"ndjson\"\npath = \"cut.ndjson\"", "cannot be read behind record").await;
    check("format = \"postgres\"\nquery = \"SELECT 1 AS one\"\nkey = \"id\"", "the query of flow `ads` failed").await;
    let delivered = std::fs::read_dir(stage.delivered()).map_or(0, Iterator::count);
    assert_eq!((delivered, stage.rows_by_ledger()), (0, 0));
    // A place that cannot be written, here because it is a file.
    write("out-file", b"");
    let failed =
        stage.run(&register_text(SOURCE, "format = \"csv\"\nto = \"out-file\"", "")).await.expect_err("it is a file");
    assert!(failed.to_string().contains("the folder cannot be written"), "{failed}");
    // Another source under the name of the one that was begun.
    let recipient = Recipient::new(|_| 500).await;
    let to = format!("format = \"ndjson\"\nto = \"{}\"", recipient.address);
    stage.run(&register_text(SOURCE, &to, "")).await.expect_err("it was not taken");
    write("users.parquet", &parquet_of(&people_of(51)));
    let failed = stage.run(&register_text(SOURCE, &to, "")).await.expect_err("it is another");
    assert!(failed.to_string().contains("the source is not the one with which this run of `ads` began"), "{failed}");
}

#[test]
fn all_faults_of_a_register_are_told_at_once_with_their_lines() {
    let text = register_text(
        "format = \"excel\"\npath = \"x\"",
        "format = \"csv\"\nto = \"http://parent.example/in\"\npatience_s = 0",
        "",
    )
    .replace("purpose = \"advertising\"", "purpose = \"advertisng\"")
    .replace("residency = \"US\"", "residency = \"America\"")
    .replace("schedule = \"P1D\"", "schedule = \"daily\"")
    .replace("name = \"phone\"", "name = \"country\"\nsecret = true");
    let faults = Register::parse(&text, &map(), std::path::Path::new(".")).expect_err("it is full of faults");
    let said: Vec<String> = faults.to_string().lines().map(str::to_owned).collect();
    let expected = [
        "line 19: the data map has no purpose `advertisng`; did you mean `advertising`?",
        "line 21: `schedule` is `daily`, expected `once` or an ISO 8601 duration; such as `P1D`",
        "line 22: `residency` is `America`, expected a country by its two letters; such as `US`, or `EU`",
        "line 27: `format` is `excel`; known are `parquet`, `csv`, `ndjson` and `postgres`",
        "line 32: `to` is `http://parent.example/in`: personal data leave this machine over `https` only",
        "line 33: `patience_s` is 0, expected 1 to 3600",
        "line 42: field `country` is already on line 40",
        "line 43: unknown key `secret`; known are `name`, `type` and `treatment`",
    ];
    assert_eq!(said, expected);
    let other_basis = register_text(SOURCE, "format = \"csv\"\nto = \"out\"", "")
        .replace("basis = \"consent\"", "basis = \"contract\"");
    let faults = Register::parse(&other_basis, &map(), std::path::Path::new(".")).expect_err("a purpose has one basis");
    assert_eq!(
        faults.to_string(),
        "line 20: `basis` is `contract`, the data map says `consent` for `advertising`; a purpose has one basis (SH-02)"
    );
}
