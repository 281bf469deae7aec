//! What keeping choices costs, as ratios within one run: `cargo bench -p vigie-choices`.
//!
//! Each round times everything once, one after the other; of the rounds, medians are compared. A durable server, one
//! session (with pgbench also eight), a person with one row in a table that follows at once and five in one that follows
//! later.

use std::time::{Duration, Instant, SystemTime};
use tokio_postgres::{Client, NoTls};
use vigie_choices::{Choices, Evidence, State, Subject};
use vigie_policy::map::{DataMap, SubjectType};
use vigie_testkit::postgres::{PostgresServer, Settings};

const ROUNDS: usize = 7;
const STATEMENTS: u64 = 300;
const BULK_ROWS: u32 = 20_000;

const MAP: &str = "schema = \"data-map/1\"
name = \"bench\"
subject_type = \"bigint\"
[[purpose]]
name = \"research\"
term = \"dpv:ResearchAndDevelopment\"
bit = 0
basis = \"legitimate-interest\"
[[table]]
name = \"public.users\"
owner = \"accounts\"
subject = \"id\"
mask = \"pmask\"
residency = \"EU\"
retention = \"P3Y\"
[[table.column]]
name = \"id\"
class = \"pseudonymous\"
[[table]]
name = \"public.events\"
owner = \"accounts\"
subject = \"subject\"
mask = \"pmask\"
residency = \"EU\"
retention = \"P3Y\"
fanout = \"deferred\"
[[table.column]]
name = \"subject\"
class = \"pseudonymous\"
";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let server = PostgresServer::start_with(&Settings { durable: true, ..Settings::default() }).expect("it starts");
    let database = server.new_database();
    server.run_sql(
        &database,
        "CREATE TABLE users (id bigint PRIMARY KEY, pmask bigint NOT NULL DEFAULT 0) WITH (fillfactor = 70);
         CREATE TABLE events (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, subject bigint NOT NULL,
             pmask bigint NOT NULL DEFAULT 0);
         CREATE INDEX ON events (subject);
         CREATE TABLE plain (LIKE events INCLUDING ALL);
         CREATE TABLE bare (subject bigint, purpose smallint, state text, decided_at timestamptz, method text,
             PRIMARY KEY (subject, purpose, decided_at));
         INSERT INTO users SELECT n FROM generate_series(1, 10000) n;
         INSERT INTO events (subject) SELECT n % 10000 + 1 FROM generate_series(1, 50000) n;",
    );
    let (mut client, connection) =
        tokio_postgres::connect(&server.address(&database), NoTls).await.expect("it accepts");
    tokio::spawn(connection);
    let map = DataMap::parse(MAP).unwrap_or_else(|errors| panic!("{errors}"));
    let (choices, _) = Choices::install(&mut client, &map).await.expect("it installs");
    while !choices.work_off(&mut client, 10_000).await.expect("it works").is_idle() {}

    let mut times: [Vec<Duration>; 5] = Default::default();
    for round in 0..ROUNDS as u64 {
        let started = Instant::now();
        bare(&client, round).await;
        times[0].push(started.elapsed());
        let started = Instant::now();
        record(&client, choices, round).await;
        times[1].push(started.elapsed());
        let started = Instant::now();
        while !choices.work_off(&mut client, 1000).await.expect("it works").is_idle() {}
        times[2].push(started.elapsed());
        for (index, table) in [(3, "plain"), (4, "events")] {
            let started = Instant::now();
            let sql =
                format!("INSERT INTO {table} (subject) SELECT n % 10000 + 1 FROM generate_series(1, {BULK_ROWS}) n");
            client.batch_execute(&sql).await.expect("it inserts");
            times[index].push(started.elapsed());
        }
    }
    against_pgbench(&server, &database);
    let [bare, record, behind, plain, governed] = times.map(median);
    let each = |time: f64, n: f64| time / n * 1e6;
    let n = STATEMENTS as f64;
    println!("bare insert, committed             {:8.1} us   1.00", each(bare, n));
    println!("record a choice, in force          {:8.1} us   {:.2}", each(record, n), record / bare);
    println!(
        "  and out of the stop set again    {:8.1} us   {:.2}",
        each(record + behind, n),
        (record + behind) / bare
    );
    let n = f64::from(BULK_ROWS);
    println!("bulk insert, a row                 {:8.2} us   1.00", each(plain, n));
    println!("  into a governed table            {:8.2} us   {:.2}", each(governed, n), governed / plain);
}

/// Recording against PostgreSQL's own insert rate: both by pgbench, which takes turns, with prepared statements.
fn against_pgbench(server: &PostgresServer, database: &str) {
    let insert = "\\set subject random(1, 10000)\n\
        INSERT INTO inserted (subject, purpose, state, decided_at, method) VALUES (:subject, 0, 'refused', now(), 'bench');\n";
    let record = "\\set subject random(1, 10000)\n\
        SELECT vigie.record(:subject, 'research', '', 'refused', clock_timestamp(), 'bench', '', NULL, '');\n";
    server.run_sql(
        database,
        "CREATE TABLE inserted (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, subject bigint, purpose smallint,
             state text, decided_at timestamptz, method text)",
    );
    let folder = tempfile::tempdir().expect("there is room");
    for clients in ["1", "8"] {
        let mut rates: [Vec<f64>; 2] = Default::default();
        for _ in 0..3 {
            for (at, script) in [insert, record].into_iter().enumerate() {
                let path = folder.path().join("script");
                std::fs::write(&path, script).expect("it is written");
                rates[at].push(pgbench(server, database, &path, clients));
            }
        }
        let [inserts, records] = rates.map(|mut rates| {
            rates.sort_by(f64::total_cmp);
            rates[1]
        });
        println!(
            "pgbench, {clients} sessions: {inserts:6.0} inserts/s, {records:6.0} choices/s in force and with history: {:.2}",
            records / inserts
        );
    }
}

fn pgbench(server: &PostgresServer, database: &str, script: &std::path::Path, clients: &str) -> f64 {
    let output = std::process::Command::new(server.program("pgbench"))
        .args(["--no-vacuum", "--protocol=prepared", "--time=4", "--jobs=1", "--client", clients, "--file"])
        .arg(script)
        .arg(server.address(database))
        .output()
        .expect("pgbench is there");
    let said = String::from_utf8_lossy(&output.stdout);
    let tps = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    tps.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)))
}

async fn bare(client: &Client, round: u64) {
    let sql = "INSERT INTO bare VALUES ($1, 0, 'refused', now(), 'bench')";
    let statement = client.prepare(sql).await.expect("it is prepared");
    for n in 0..STATEMENTS {
        let subject = (round * STATEMENTS + n).cast_signed();
        client.execute(&statement, &[&subject]).await.expect("it inserts");
    }
}

async fn record(client: &Client, choices: Choices, round: u64) {
    for n in 0..STATEMENTS {
        let subject = (n % 10_000 + 1).to_string();
        let subject = Subject::parse(SubjectType::Bigint, &subject).expect("it is a number");
        let evidence = Evidence {
            recipient: String::new(),
            decided_at: SystemTime::now(),
            method: "bench".into(),
            notice: String::new(),
            wording_hash: None,
            language: String::new(),
        };
        let state = if round.is_multiple_of(2) { State::Refused } else { State::Given };
        choices.record(client, &subject, "research", state, &evidence).await.expect("it is recorded");
    }
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}
