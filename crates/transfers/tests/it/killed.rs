//! Killed at random moments: what was delivered and what remains are exactly all, and the ledger says so.

use crate::{Stage, agreed, pseudonym, read_ndjson, register_text};
use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Duration;

/// People for each kill.
const PEOPLE: u64 = 1500;
const FOLDER: &str = "VIGIE_TEST_TRANSFER_FOLDER";
const ADDRESS: &str = "VIGIE_TEST_TRANSFER_ADDRESS";

fn text() -> String {
    register_text(
        "format = \"parquet\"\npath = \"users.parquet\"",
        "format = \"ndjson\"\nto = \"out\"",
        "batch_records = 50",
    )
}

/// What the other tests start and kill.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by the tests that kill it"]
async fn child() {
    let (Ok(folder), Ok(address)) = (std::env::var(FOLDER), std::env::var(ADDRESS)) else { return };
    let stage = Stage { folder: folder.into(), address, _kept: None };
    let report = stage.run(&text()).await.expect("it runs to its end");
    assert_eq!(report.read % PEOPLE, 0);
}

fn receipts(stage: &Stage) -> usize {
    let names = std::fs::read_dir(stage.delivered()).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".receipt.json")).count()
}

async fn kill_and_check(kills: u32) {
    let people = PEOPLE * u64::from(kills);
    let stage = Stage::new(people).await;
    let (mut killed, mut random) = (0, 88_172_645_463_325_252_u64);
    loop {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "killed::child", "--ignored"])
            .env(FOLDER, &stage.folder)
            .env(ADDRESS, &stage.address)
            .stdout(Stdio::null())
            .spawn()
            .expect("it can be started");
        if killed < kills {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            // Some batches further, and then at any moment of the next one.
            let until = receipts(&stage) + 1 + (random % 5) as usize;
            while receipts(&stage) < until && child.try_wait().expect("it can be asked").is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_micros(random % 40_000));
            child.kill().expect("it can be killed");
            killed += 1;
        }
        let ended = child.wait().expect("it ended").success();
        let (delivered, rows) = (read_ndjson(&stage.delivered()).len() as u64, stage.rows_by_ledger());
        eprintln!("after {killed} kills {delivered} were delivered, the ledger has {rows}");
        assert!(rows >= delivered, "the ledger never says too little");
        if ended {
            break;
        }
        assert!(killed <= kills, "who is not killed ends");
    }
    assert_eq!(killed, kills, "it was still running at each kill");
    let delivered: BTreeSet<String> = read_ndjson(&stage.delivered()).into_keys().collect();
    let expected: BTreeSet<String> = (1..=people).filter(|id| agreed(*id)).map(pseudonym).collect();
    assert_eq!(delivered, expected);
    assert_eq!(stage.rows_by_ledger(), expected.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_is_killed_goes_on_and_sends_nothing_twice() {
    kill_and_check(4).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: twenty kills"]
async fn a_flow_that_is_killed_twenty_times_sends_nothing_twice() {
    kill_and_check(20).await;
}
