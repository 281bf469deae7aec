//! A gateway that is killed in the middle of everything, again and again: every row that a client received is in the ledger
//! and in the vault, and none is there twice.
//!
//! The gateway runs in a process of its own, which is this test binary once more. `VIGIE_KILLS` is how often it is killed.

use crate::stage::{PASSWORD, Stage, reader, runtime};
use futures_util::{StreamExt as _, pin_mut};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::net::TcpListener;
use tokio_postgres::NoTls;
use vigie_gateway::{accounting::AccessHeader, config::Config, gateway::Gateway};
use vigie_ledger::{Checkpoint, Entry, EventId, Note, reader::fetch_entry};
use vigie_sequencer::{files::SystemFiles, publish_source};
use vigie_statement::skeleton::skeleton;

const FOLDER: &str = "VIGIE_KILLED_FOLDER";

/// The gateway that is killed; only the test below starts it.
#[test]
#[ignore = "it is a part of another test, in a process of its own"]
fn the_gateway_that_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let config = Config::read(&folder.join("gateway.toml")).expect("the configuration is right");
    runtime().block_on(async {
        let gateway = Gateway::open(config, Command::new(reader()), |_| {}).await.expect("it opens");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        println!("port {}", listener.local_addr().expect("it listens").port());
        std::io::stdout().flush().expect("the parent reads");
        gateway.serve(listener, std::future::pending(), Duration::from_secs(1)).await.expect("it serves");
    });
}

/// A gateway in a process of its own.
struct Apart {
    child: Child,
    port: u16,
}

impl Apart {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("a test has a file"))
            .args(["kill::the_gateway_that_is_killed", "--exact", "--ignored", "--nocapture"])
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process can be started");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let port = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("port ")?.parse().ok());
        Self { child, port: port.expect("the gateway says where it listens") }
    }

    fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it is gone");
    }
}

/// What clients received: by statement, how many rows; by person, how many.
#[derive(Default)]
struct Received {
    statements: BTreeMap<[u8; 32], u64>,
    people: BTreeMap<i64, u64>,
}

async fn read_on(port: u16, database: String, first: u64, received: Arc<Mutex<Received>>, n_rows: Arc<AtomicU64>) {
    let words = format!(
        "host=127.0.0.1 port={port} dbname={database} user='jeanne@pixelle.example' password='{PASSWORD}' \
         options='-c vigie.purpose=service-provision'"
    );
    let Ok((client, connection)) = tokio_postgres::connect(&words, NoTls).await else { return };
    tokio::spawn(connection);
    for number in first.. {
        // No two statements are alike, so that entries tell which they are of.
        let sql = match number % 3 {
            0 => format!("SELECT id AS \"s{number}\" FROM users WHERE id BETWEEN 20 AND 40"),
            1 => format!("SELECT subject AS \"s{number}\", repeat('x', 3000) FROM events"),
            _ => format!("SELECT author AS \"s{number}\" FROM videos LIMIT 3"),
        };
        let statement: [u8; 32] = Sha256::digest(&skeleton(&sql).expect("it has one").key).into();
        let none: [&(dyn tokio_postgres::types::ToSql + Sync); 0] = [];
        let Ok(rows) = client.query_raw(&sql, none).await else { return };
        pin_mut!(rows);
        while let Some(row) = rows.next().await {
            let Ok(row) = row else { return };
            let person: i64 = row.get(0);
            let mut received = received.lock().expect("nobody panics with it");
            *received.statements.entry(statement).or_default() += 1;
            *received.people.entry(person).or_default() += 1;
            n_rows.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn every_row_that_was_received_is_accounted_for_once_however_the_gateway_ends() {
    let n_kills: u64 = std::env::var("VIGIE_KILLS").ok().map_or(6, |text| text.parse().expect("a number"));
    let stage = Stage::with(150, |_| {});
    let database = stage.database.clone();
    let n_events: u64 = stage.raw("SELECT count(*) FROM events WHERE pmask & 1 <> 0").trim().parse().expect("a number");
    let folder = stage.end();
    let received = Arc::new(Mutex::new(Received::default()));
    for kill in 0..n_kills {
        let apart = Apart::start(folder.path());
        let n_rows = Arc::new(AtomicU64::new(0));
        let clients: Vec<_> = (0..3)
            .map(|client| {
                let first = kill * 3_000_000 + client * 1_000_000;
                runtime().spawn(read_on(apart.port, database.clone(), first, received.clone(), n_rows.clone()))
            })
            .collect();
        // After so many rows, wherever the gateway is then.
        let enough = 1 + (kill * 7919) % 3000;
        while n_rows.load(Ordering::Relaxed) < enough {
            assert!(!clients.iter().all(tokio::task::JoinHandle::is_finished), "nobody reads any more");
            std::thread::yield_now();
        }
        apart.kill();
        for client in clients {
            runtime().block_on(client).expect("clients do not panic");
        }
    }
    let config = Config::read(&folder.path().join("gateway.toml")).expect("the configuration is right");
    let gateway = runtime().block_on(Gateway::open(config, Command::new(reader()), |_| {})).expect("it opens again");
    let log = gateway.log().expect("the ledger is here").clone();
    let (mut events, mut logged) = (BTreeSet::new(), BTreeMap::<[u8; 32], u64>::new());
    log.publish_now();
    let head = log.wait_published(log.statistics().durable - 1).expect("it is published");
    let head = Checkpoint::parse(Note::parse(&head.checkpoint).expect("a note").text()).expect("a head");
    let source = publish_source(Arc::new(SystemFiles), log.home());
    for index in 0..head.size() {
        let entry = Entry::parse(&fetch_entry(&source, index, head.size()).expect("it is there")).expect("an entry");
        assert!(events.insert(entry.event_id), "an event is in the ledger twice");
        let Some(record) = gateway.account.vault().find(entry.event_id).expect("the vault can be read") else { continue };
        assert!(record.is_sound());
        let header = AccessHeader::parse(&record.header).expect("a header");
        let statement = header.get("statement").and_then(|text| text.strip_prefix("sha256:")).expect("its statement");
        let statement: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&statement[at * 2..at * 2 + 2], 16).unwrap()).collect();
        *logged.entry(statement.try_into().expect("32 bytes")).or_default() += entry.row_count;
    }
    let received = received.lock().expect("nobody panics with it");
    assert!(received.statements.len() as u64 >= n_kills, "something was received each time");
    for (statement, n_rows) in &received.statements {
        let n_logged = logged.get(statement).copied().unwrap_or(0);
        assert!(n_logged >= *n_rows, "{n_rows} rows were received, {n_logged} are logged");
        assert!(n_logged <= n_events, "{n_logged} rows are logged of a statement that has {n_events} at most");
    }
    for (person, n_rows) in &received.people {
        let found = gateway.account.vault().about(person.to_string().as_bytes()).expect("the vault can be read");
        let in_ledger = |event: &EventId| events.contains(event);
        let kept = found.iter().filter(|it| in_ledger(&it.record.event_id())).map(|it| it.rows.len() as u64).sum::<u64>();
        assert!(kept >= *n_rows, "person {person} is told of {kept} rows, {n_rows} were received");
    }
    gateway.close().expect("everything was written");
}
