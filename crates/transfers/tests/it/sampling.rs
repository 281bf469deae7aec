//! A sample of what was handed over: drawn by both sides, opened exactly, and worth nothing once doctored.

use crate::{Stage, checkpoint, opened, register_text, vigie_witness_source};
use std::path::Path;
use std::process::Command;
use vigie_ledger::answer::{Answer, Failure};
use vigie_ledger::opening::{NotShown, Part, Seen, Shown};
use vigie_ledger::sampling::{Demand, Round, Seed, Unit};
use vigie_ledger::{Checkpoint, Hash, Note, Receipt};

/// Round 1000 of drand quicknet.
const BEACON: &str = "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39";
const NONCE: [u8; 32] = [11; 32];

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

fn demand_over(stage: &Stage, rows: u64, count: u64) -> (Demand, Seed, Vec<u8>) {
    let bytes = checkpoint(stage);
    let head = Checkpoint::parse(Note::parse(&bytes).expect("a note").text()).expect("a head");
    let nonce_commit = Hash::of(&NONCE);
    let demand = Demand {
        head,
        unit: Unit::Row,
        from: 0,
        to: rows,
        count,
        deadline: 2_000_000_000,
        round: Round(1000),
        nonce_commit,
    };
    let beacon = from_hex(BEACON);
    vigie_ledger::beacon::verify(demand.round, &beacon).expect("the chain's own");
    let seed = demand.seed(&NONCE, &beacon).expect("the number committed to");
    (demand, seed, bytes)
}

async fn answered(stage: &Stage, demand: &Demand, seed: &Seed, checkpoint: &[u8]) -> (Answer, Vec<(u64, String)>) {
    let (accounts, log) = stage.accounts();
    let source = vigie_witness_source(&stage.folder);
    let answered = accounts.answer_demand(demand, seed, checkpoint, source).await.expect("it can be answered");
    accounts.vault().close().expect("the vault runs");
    log.finish().expect("the ledger runs");
    (answered.answer, answered.missing.iter().map(|(index, why)| (*index, why.to_string())).collect())
}

/// Asks the script of the documentation.
fn by_script(folder: &Path, demand: &Demand, answer: &Answer, nonce: &[u8]) -> (bool, String) {
    std::fs::write(folder.join("demand"), demand.to_string()).expect("there is room");
    std::fs::write(folder.join("answer"), answer.to_bytes()).expect("there is room");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/verify-answer.py");
    let mut python = Command::new("python3");
    python.arg(script).arg(folder.join("demand")).arg(folder.join("answer"));
    let output = python.arg(vigie_ledger::hash::hex(nonce)).arg(BEACON).output().expect("Python is installed");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_opens_and_a_doctored_one_is_refused_with_the_reason() {
    let stage = Stage::new(1000).await;
    let text = register_text(
        "format = \"parquet\"\npath = \"users.parquet\"",
        "format = \"ndjson\"\nto = \"out\"",
        "batch_records = 300",
    );
    stage.run(&text).await.expect("it runs");
    let (demand, seed, head) = demand_over(&stage, 700, 60);
    let (answer, missing) = answered(&stage, &demand, &seed, &head).await;
    assert!(missing.is_empty(), "{missing:?}");
    let policy = stage.policy();
    let outcome = answer.check(&demand, &seed, &policy);
    assert_eq!((outcome.tally().opened, outcome.tally().failed), (60, 0));
    let delivered = crate::read_ndjson(&stage.delivered());
    for (_, seen) in &outcome.shown {
        let Ok(Seen::Opened(bytes)) = seen else { panic!("{seen:?}") };
        let row = opened(bytes);
        let record = &delivered[row["id"].as_deref().expect("a pseudonym")];
        assert_eq!(record["country"].as_str(), row["country"].as_deref(), "what is shown is what left");
    }
    assert_eq!(
        by_script(&stage.folder, &demand, &answer, &NONCE),
        (true, "60 of 60 rows are as the ledger has them\n".to_owned())
    );

    let drawn = demand.indexes(&seed);
    let (first, second) = (drawn[0], drawn[1]);
    let check = |answer: &Answer, index: u64| {
        let shown = answer.check(&demand, &seed, &policy).shown;
        shown.into_iter().find(|(at, _)| *at == index).expect("it was drawn").1.expect_err("it is doctored")
    };
    // One row changed, by who has its salt.
    let mut doctored = answer.clone();
    let mut receipt = Receipt::parse(&doctored.items[&first]).expect("a receipt");
    let mut shown = Shown::parse(receipt.extra.as_deref().expect("an opening")).expect("an opening");
    let Part::Row { bytes, .. } = &mut shown.part else { panic!("a row was demanded") };
    *bytes.last_mut().expect("it has bytes") ^= 1;
    receipt.extra = Some(shown.to_bytes());
    doctored.items.insert(first, receipt.to_bytes());
    assert!(matches!(check(&doctored, first), Failure::NotShown(NotShown::Row(_))));
    assert_eq!(
        by_script(&stage.folder, &demand, &doctored, &NONCE),
        (
            false,
            format!("row {first}: the row is not the one committed to\n59 of 60 rows are as the ledger has them\n")
        )
    );
    // One row in the place of another.
    let mut doctored = answer.clone();
    doctored.items.insert(first, answer.items[&second].clone());
    let failure = check(&doctored, first);
    assert!(
        matches!(failure, Failure::NotShown(NotShown::AnotherRow { .. } | NotShown::AnotherEntry { .. })),
        "{failure}"
    );
    assert!(
        by_script(&stage.folder, &demand, &doctored, &NONCE)
            .1
            .starts_with(&format!("row {first}: another row is shown\n"))
    );
    // One left out.
    let mut doctored = answer.clone();
    doctored.items.remove(&first);
    assert_eq!(check(&doctored, first), Failure::Missing);
    assert!(
        by_script(&stage.folder, &demand, &doctored, &NONCE).1.starts_with(&format!("row {first}: nothing is shown\n"))
    );
    // Another number than the one committed to draws nothing; another beacon draws other rows.
    assert_eq!(demand.seed(&[12; 32], &from_hex(BEACON)), None);
    assert!(by_script(&stage.folder, &demand, &answer, &[12; 32]).1.contains("the number is not the one committed to"));
    let other = demand.seed(&NONCE, b"another signature").expect("the number is right");
    assert!(answer.check(&demand, &other, &policy).tally().failed > 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_erased_before_the_demand_is_unknown_and_after_it_a_failure() {
    let stage = Stage::new(40).await;
    let text = register_text("format = \"parquet\"\npath = \"users.parquet\"", "format = \"ndjson\"\nto = \"out\"", "");
    stage.run(&text).await.expect("it runs");
    let erase = async |subject: &'static str| {
        let (accounts, log) = stage.accounts();
        let erased = accounts.erase(subject.as_bytes()).await.expect("it can be erased").expect("there was a row");
        accounts
            .journal()
            .receipt(&stage_entry(&accounts, erased.event_id), erased.index)
            .await
            .expect("it is published");
        accounts.vault().close().expect("the vault runs");
        log.finish().expect("the ledger runs");
        erased.rows[0]
    };
    let before = erase("4").await;
    let (demand, seed, head) = demand_over(&stage, 28, 28);
    let after = erase("5").await;
    let (answer, missing) = answered(&stage, &demand, &seed, &head).await;
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert!(
        missing[0].0 == after && missing[0].1.contains("which is not in the log below the demand's head"),
        "{missing:?}"
    );
    let outcome = answer.check(&demand, &seed, &stage.policy());
    let of = |row: u64| &outcome.shown.iter().find(|(index, _)| *index == row).expect("all were drawn").1;
    assert_eq!((of(before), of(after)), (&Ok(Seen::Erased), &Err(Failure::Missing)));
    let tally = outcome.tally();
    assert_eq!((tally.opened, tally.erased, tally.failed), (26, 1, 1));
    assert!(tally.bound_erased_bad > tally.bound_erased_good);
}

fn stage_entry(accounts: &vigie_accounting::Accounts, event: vigie_ledger::EventId) -> [u8; 148] {
    accounts.vault().find(event).expect("it can be read").expect("it is there").entry.to_bytes()
}
