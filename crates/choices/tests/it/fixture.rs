//! A database with governed tables, and the choices of its people.

use std::{
    fmt::Write as _,
    time::{Duration, Instant, SystemTime},
};
use tokio_postgres::{Client, NoTls};
use vigie_choices::{Choices, Evidence, Mismatch, Report, Subject};
use vigie_policy::map::{DataMap, SubjectType};
use vigie_testkit::postgres::PostgresServer;

/// Purposes of the test map: bit 0 by contract, 1 by consent, 2 and 3 by legitimate interest.
pub const CONTRACT: i64 = 1;
pub const CONSENT: i64 = 2;
pub const INTEREST: i64 = 4;
pub const OTHER: i64 = 8;

/// A database of its own.
pub struct Fixture {
    pub database: String,
    pub map: DataMap,
    pub choices: Choices,
    pub report: Report,
    pub client: Client,
}

/// Returns a data map of the tables that [`Fixture::new`] makes; `name` is unique in the server, as roles are.
pub fn map(name: &str, subject_type: &str) -> String {
    let mut text = format!("schema = \"data-map/1\"\nname = \"{name}\"\nsubject_type = \"{subject_type}\"\n");
    for (bit, purpose, basis) in [
        (0, "service", "contract"),
        (1, "marketing", "consent"),
        (2, "fraud-prevention", "legitimate-interest"),
        (3, "research", "legitimate-interest"),
    ] {
        let _ = writeln!(
            text,
            "[[purpose]]\nname = \"{purpose}\"\nterm = \"dpv:Purpose\"\nbit = {bit}\nbasis = \"{basis}\""
        );
    }
    for (table, subject, fanout) in [("users", "id", "immediate"), ("events", "subject", "deferred")] {
        let _ = write!(
            text,
            "[[table]]\nname = \"public.{table}\"\nowner = \"accounts\"\nsubject = \"{subject}\"\nmask = \"pmask\"\n\
             residency = \"EU\"\nretention = \"P3Y\"\nfanout = \"{fanout}\"\n\
             [[table.column]]\nname = \"{subject}\"\nclass = \"pseudonymous\"\n"
        );
    }
    text
}

pub fn parsed(text: &str) -> DataMap {
    DataMap::parse(text).unwrap_or_else(|errors| panic!("{errors}"))
}

pub async fn connect(database: &str) -> Client {
    let address = PostgresServer::shared().address(database);
    let (client, connection) = tokio_postgres::connect(&address, NoTls).await.expect("it accepts");
    tokio::spawn(connection);
    client
}

impl Fixture {
    /// Makes tables of 20 users with 3 events each, and installs choices; the first sweep is not worked off.
    pub async fn new(name: &str, subject_type: &str) -> Self {
        let server = PostgresServer::shared();
        let database = server.new_database();
        let id = match subject_type {
            "uuid" => "('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid",
            "text" => "'person ' || n",
            _ => "n",
        };
        server.run_sql(
            &database,
            &format!(
                "CREATE TABLE users (id {subject_type} PRIMARY KEY, name text, pmask bigint NOT NULL DEFAULT 0)
                     WITH (fillfactor = 70);
                 CREATE TABLE events (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, subject {subject_type},
                     amount int NOT NULL DEFAULT 0, pmask bigint NOT NULL DEFAULT 0);
                 CREATE INDEX ON events (subject);
                 INSERT INTO users (id, name) SELECT {id}, 'name ' || n FROM generate_series(1, 20) n;
                 INSERT INTO events (subject) SELECT {id} FROM generate_series(1, 20) n, generate_series(1, 3);"
            ),
        );
        let map = parsed(&map(name, subject_type));
        let mut client = connect(&database).await;
        let (choices, report) = Choices::install(&mut client, &map).await.unwrap_or_else(|error| panic!("{error:?}"));
        Self { database, map, choices, report, client }
    }

    /// Like [`Fixture::new`], with people numbered, and every mask written.
    pub async fn ready(name: &str) -> Self {
        let mut fixture = Self::new(name, "bigint").await;
        fixture.settle().await;
        fixture
    }

    /// Works until nothing is left; other sessions of the database must be idle.
    ///
    /// Sessions of other databases may still keep snapshots old for a moment, and tell nobody when they end.
    pub async fn settle(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.choices.work_off(&mut self.client, 1000).await.expect("it works").is_idle() {
            assert!(Instant::now() < deadline, "work does not end");
            tokio::task::yield_now().await;
        }
    }

    pub async fn mismatches(&mut self) -> Vec<Mismatch> {
        self.choices.check(&mut self.client, 1000).await.expect("it can be checked")
    }

    /// Returns the different masks of a person's rows in a table.
    pub async fn masks(&self, table: &str, subject: i64) -> Vec<i64> {
        let column = if table == "users" { "id" } else { "subject" };
        let sql = format!("SELECT DISTINCT pmask FROM {table} WHERE {column} = {subject} ORDER BY 1");
        self.client.query(&sql, &[]).await.expect("it answers").iter().map(|row| row.get(0)).collect()
    }
}

pub fn person(id: i64) -> Subject {
    Subject::parse(SubjectType::Bigint, &id.to_string()).expect("it is a number")
}

/// Evidence of a decision at a second of the test's time.
pub fn at(second: u64) -> Evidence {
    Evidence {
        recipient: String::new(),
        decided_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + second),
        method: "test".into(),
        notice: "notice-1".into(),
        wording_hash: Some([7; 32]),
        language: "en".into(),
    }
}
