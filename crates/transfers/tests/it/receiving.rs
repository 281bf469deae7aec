//! The recipient makes the same root, logs it in a ledger of its own, and refuses what is not as it was sent.

use crate::{Stage, register_text};
use std::sync::Arc;
use vigie_accounting::{Accounts, Journal};
use vigie_ledger::{Entry, Hash, Kind};
use vigie_sequencer::{Home, Log, Options, Stream};
use vigie_transfers::receive::{receipts_in, receive};
use vigie_vault::{KeyEncryptionKey, Vault};

fn recipient(folder: &std::path::Path) -> (Accounts, Arc<Log>) {
    let home = Home::new(folder.join("ledger"));
    home.init(&"parent.example/transfers-in".parse().expect("a name"), Stream::Events, None).expect("a ledger");
    let log = Arc::new(Log::open(&home, Options::default()).expect("a ledger"));
    let vault = Vault::open(&folder.join("vault"), KeyEncryptionKey::new([6; 32]), vigie_vault::Options::default());
    (Accounts::new(Arc::new(vault.expect("a vault")), Journal::Local(log.clone())), log)
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ledgers_have_the_same_root_whatever_the_form_of_the_files() {
    for format in ["parquet", "csv", "ndjson"] {
        let stage = Stage::new(300).await;
        let to = format!("format = \"{format}\"\nto = \"out\"");
        // All types cross.
        let more = "batch_records = 200";
        let query = "format = \"postgres\"\nkey = \"id\"\nquery = \"SELECT *, id * 0.1::float8 AS score, id % 2 = 0 AS even, '2026-11-30 12:00:00.25+01'::timestamptz + id * interval '1 s' AS seen, '1969-12-31'::date + id::int AS born, CASE WHEN id % 7 = 0 THEN '' ELSE 'a,\\\"b\\\" ' || id END AS note FROM users\"";
        let fields = "[[flow.field]]\nname = \"score\"\ntype = \"number\"\n[[flow.field]]\nname = \"even\"\ntype = \"boolean\"\n[[flow.field]]\nname = \"seen\"\ntype = \"time\"\n[[flow.field]]\nname = \"born\"\ntype = \"date\"\n[[flow.field]]\nname = \"note\"\n";
        let text = register_text(query, &to, more) + fields;
        stage
            .client()
            .await
            .batch_execute("INSERT INTO users SELECT id, 'FR', NULL FROM generate_series(1, 300) id")
            .await
            .expect("there is room");
        let sent = stage.run(&text).await.unwrap_or_else(|error| panic!("{format}: {error:?}"));
        assert_eq!(sent.records, 210);
        let there = tempfile::tempdir().expect("there is room");
        let (accounts, log) = recipient(there.path());
        let receipts = receipts_in(&stage.delivered()).expect("they can be listed");
        assert_eq!(receipts.len(), 2);
        let mut records = 0;
        for (at, path) in (0..).zip(&receipts) {
            let received =
                receive(path, &stage.policy(), &accounts).await.unwrap_or_else(|error| panic!("{format}: {error:?}"));
            assert_eq!(received.logged.index, at);
            records += received.records;
            let again = receive(path, &stage.policy(), &accounts).await.expect("a second time changes nothing");
            assert_eq!(again.logged, received.logged);
            let record = accounts.vault().find(received.logged.event_id).expect("it can be read").expect("it is kept");
            assert!(record.is_sound());
            let out = stage
                .entries()
                .into_iter()
                .find(|entry| entry.event_id == received.logged.event_id)
                .expect("it was sent");
            let entry: Entry = record.entry;
            assert_eq!(
                (entry.kind, entry.rows_root, entry.row_count),
                (Kind::TransferIn, out.rows_root, out.row_count)
            );
            assert_eq!(entry.peer_ref, Hash::leaf(&out.to_bytes()), "it names the sender's entry");
        }
        assert_eq!(records, 210, "{format}");
        accounts.vault().close().expect("the vault runs");
        log.finish().expect("the ledger runs");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_as_it_was_sent_is_refused_with_the_reason() {
    let stage = Stage::new(50).await;
    stage
        .run(&register_text("format = \"parquet\"\npath = \"users.parquet\"", "format = \"ndjson\"\nto = \"out\"", ""))
        .await
        .expect("it runs");
    let there = tempfile::tempdir().expect("there is room");
    let (accounts, _log) = recipient(there.path());
    let receipt = receipts_in(&stage.delivered()).expect("they can be listed").remove(0);
    let records = std::path::PathBuf::from(receipt.to_string_lossy().strip_suffix(".receipt.json").expect("its name"));
    let (good_receipt, good_records) =
        (std::fs::read_to_string(&receipt).unwrap(), std::fs::read_to_string(&records).unwrap());
    let sha256 = |records: &str| Hash::of(records.as_bytes()).to_base64();
    let check = async |receipt_text: &str, records_text: &str, expected: &str| {
        std::fs::write(&receipt, receipt_text).unwrap();
        std::fs::write(&records, records_text).unwrap();
        let error = receive(&receipt, &stage.policy(), &accounts).await.expect_err(expected);
        let said =
            format!("{error}: {}", std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default());
        assert!(said.contains(expected), "{said}");
    };
    let changed = good_records.replace("FR", "DE");
    check(&good_receipt, &changed, "its SHA-256 differs").await;
    // Who changes the hash too is found by the root.
    let with_hash = |records: &str| good_receipt.replace(&sha256(&good_records), &sha256(records));
    check(&with_hash(&changed), &changed, "the sender's ledger has").await;
    let one_less = good_records.split_once('\n').expect("it has lines").1.to_owned();
    check(&with_hash(&one_less), &one_less, "the records have the root").await;
    check(&good_receipt.replace("parent.example", "other.example"), &good_records, "the header is not the one").await;
    check(&good_receipt.replace("ads-", "../ads-"), &good_records, "its file is in another folder").await;
    check("{}", &good_records, "the receipt cannot be read").await;
    std::fs::write(&receipt, &good_receipt).unwrap();
    std::fs::write(&records, &good_records).unwrap();
    assert_eq!(receive(&receipt, &stage.policy(), &accounts).await.expect("as it was sent").records, 35);
}
