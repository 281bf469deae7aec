//! A gateway, or its database, that is killed in the middle of everything, again and again: every row that a client received
//! is in the ledger and in the vault, and none is there twice. And what a client costs that does not read.
//!
//! The gateway runs in a process of its own, which is this test binary once more. `VIGIE_KILLS` is how often it is killed.

use crate::{
    raw::Raw,
    stage::{PASSWORD, Stage, reader, runtime},
};
use futures_util::{StreamExt as _, pin_mut};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_postgres::NoTls;
use vigie_gateway::{accounting::AccessHeader, config::Config, gateway::Gateway, wire};
use vigie_ledger::{Checkpoint, Entry, EventId, Note, reader::fetch_entry};
use vigie_sequencer::{files::SystemFiles, publish_source};
use vigie_statement::skeleton::skeleton;
use vigie_testkit::{
    platform_database::PlatformDatabase,
    postgres::{PostgresServer, Settings},
};

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
            assert!(!clients.iter().all(JoinHandle::is_finished), "nobody reads any more");
            std::thread::yield_now();
        }
        apart.kill();
        for client in clients {
            runtime().block_on(client).expect("clients do not panic");
        }
    }
    let config = Config::read(&folder.path().join("gateway.toml")).expect("the configuration is right");
    let gateway = runtime().block_on(Gateway::open(config, Command::new(reader()), |_| {})).expect("it opens again");
    let received = received.lock().expect("nobody panics with it");
    assert!(received.statements.len() as u64 >= n_kills, "something was received each time");
    all_accounted_for(&gateway, &received, n_events);
    gateway.close().expect("everything was written");
}

#[test]
fn a_database_that_is_killed_costs_no_row_its_entry_and_the_gateway_goes_on_by_itself() {
    let settings = Settings {
        access: ["host all postgres 127.0.0.1/32 trust", "host all all 127.0.0.1/32 scram-sha-256"]
            .map(str::to_owned)
            .to_vec(),
        // What was committed is there after the crash.
        durable: true,
        ..Settings::default()
    };
    let mut server = PostgresServer::start_with(&settings).unwrap_or_else(|error| panic!("{error}"));
    let database = PlatformDatabase::create(&server, 150);
    let stage = Stage::at(&server, &database, |_| {});
    let n_events = server.run_sql(&database, "SELECT count(*) FROM events WHERE pmask & 1 <> 0");
    let n_events: u64 = n_events.trim().parse().expect("a number");
    let received = Arc::new(Mutex::new(Received::default()));
    let deadline = Instant::now() + Duration::from_secs(300);
    for kill in 0..3 {
        let n_rows = Arc::new(AtomicU64::new(0));
        let mut clients = Vec::new();
        // After so many rows, wherever the database is then. The first clients may meet connections that the crash before
        // has cut; others follow them, as a pool's would.
        let enough = 1 + (kill * 7919) % 3000;
        let mut next = kill * 300_000_000;
        while n_rows.load(Ordering::Relaxed) < enough {
            clients.retain(|client: &JoinHandle<()>| !client.is_finished());
            while clients.len() < 3 {
                let client = read_on(stage.port, database.clone(), next, received.clone(), n_rows.clone());
                clients.push(runtime().spawn(client));
                next += 1_000_000;
            }
            assert!(Instant::now() < deadline, "nobody reads again: {:?}", stage.gateway.troubles());
            std::thread::yield_now();
        }
        server.crash_and_restart().unwrap_or_else(|error| panic!("{error}"));
        for client in clients {
            runtime().block_on(client).expect("clients do not panic");
        }
    }
    while !stage.gateway.troubles().is_empty() {
        assert!(Instant::now() < deadline, "{:?}", stage.gateway.troubles());
        std::thread::yield_now();
    }
    all_accounted_for(&stage.gateway, &received.lock().expect("nobody panics with it"), n_events);
    drop(stage.end());
}

/// The most memory that a process has used so far, in bytes.
fn most_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[test]
fn a_client_that_reads_a_million_rows_slowly_costs_the_gateway_no_more_memory_than_one_that_reads_few() {
    let stage = Stage::with(2_000, |_| {});
    let database = stage.database.clone();
    let raw = |sql: &str| crate::stage::server().run_sql(&database, sql).trim().to_owned();
    let n_people: u64 = raw("SELECT count(*) FROM users WHERE pmask & 1 <> 0").parse().expect("a number");
    let folder = stage.end();
    let apart = Apart::start(folder.path());
    let process = apart.child.id();
    // Each row is some 200 bytes: in all, far more than what may be used.
    let times = 1_000_000_u64.div_ceil(n_people);
    let sql = format!("SELECT u.id, repeat('slow', 48) FROM users u CROSS JOIN generate_series(1, {times}) AS g");
    let most = 96 * 1024 * 1024;
    runtime().block_on(async {
        let mut client = Raw::connect_to(apart.port, "jeanne@pixelle.example", &database, "service-provision").await;
        assert_eq!(client.query("SELECT id FROM users LIMIT 1000").await.rows.len(), 1000);
        let before = most_memory(process);
        wire::put_query(&sql, &mut client.out);
        client.send().await;
        // Nothing is read until the database itself waits for the gateway.
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientWrite' AND query LIKE '%slow%' \
                     AND datname = current_database()";
        let mut n_waited = 0;
        while n_waited < 20 {
            n_waited = if raw(waits) == "1" { n_waited + 1 } else { 0 };
        }
        let waiting = most_memory(process);
        assert!(waiting - before < most, "{} MiB more while nobody reads", (waiting - before) >> 20);
        let (mut n_rows, mut ended) = (0, false);
        while !ended {
            let message = client.message().await.expect("it goes on");
            n_rows += u64::from(message[0] == b'D');
            ended = message[0] == b'Z';
        }
        assert_eq!(n_rows, n_people * times);
        let after = most_memory(process);
        eprintln!("{} MiB before, {} MiB while nobody read, {} MiB after", before >> 20, waiting >> 20, after >> 20);
        assert!(after - before < most, "{} MiB more for {n_rows} rows", (after - before) >> 20);
    });
    apart.kill();
}

/// Makes sure that every row that was received is in the ledger and the vault, and that no event is in the ledger twice.
fn all_accounted_for(gateway: &Gateway, received: &Received, n_events: u64) {
    let log = gateway.log().expect("the ledger is here").clone();
    let (mut events, mut logged) = (BTreeSet::new(), BTreeMap::<[u8; 32], u64>::new());
    log.publish_now();
    let head = log.wait_published(log.statistics().durable - 1).expect("it is published");
    let head = Checkpoint::parse(Note::parse(&head.checkpoint).expect("a note").text()).expect("a head");
    let source = publish_source(Arc::new(SystemFiles), log.home());
    for index in 0..head.size() {
        let entry = Entry::parse(&fetch_entry(&source, index, head.size()).expect("it is there")).expect("an entry");
        assert!(events.insert(entry.event_id), "an event is in the ledger twice");
        let Some(record) = gateway.account.vault().find(entry.event_id).expect("the vault can be read") else {
            continue;
        };
        assert!(record.is_sound());
        let header = AccessHeader::parse(&record.header).expect("a header");
        let statement = header.get("statement").and_then(|text| text.strip_prefix("sha256:")).expect("its statement");
        let statement: Vec<u8> =
            (0..32).map(|at| u8::from_str_radix(&statement[at * 2..at * 2 + 2], 16).unwrap()).collect();
        *logged.entry(statement.try_into().expect("32 bytes")).or_default() += entry.row_count;
    }
    for (statement, n_rows) in &received.statements {
        let n_logged = logged.get(statement).copied().unwrap_or(0);
        assert!(n_logged >= *n_rows, "{n_rows} rows were received, {n_logged} are logged");
        assert!(n_logged <= n_events, "{n_logged} rows are logged of a statement that has {n_events} at most");
    }
    for (person, n_rows) in &received.people {
        let found = gateway.account.vault().about(person.to_string().as_bytes()).expect("the vault can be read");
        let in_ledger = |event: &EventId| events.contains(event);
        let kept =
            found.iter().filter(|it| in_ledger(&it.record.event_id())).map(|it| it.rows.len() as u64).sum::<u64>();
        assert!(kept >= *n_rows, "person {person} is told of {kept} rows, {n_rows} were received");
    }
}
