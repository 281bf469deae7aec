//! Clients that nobody here wrote, each with a list of what people do with it (`tests/clients/`).
//!
//! [`run_all`] runs them against any address and returns what each saw, step by step. Directly against PostgreSQL, over
//! TLS and SCRAM, that is the snapshot below: it shows that the steps themselves are right. Through the gateway the same
//! list is run again, and where it differs, the difference is the gateway's doing.
//!
//! A client that is not installed is passed over with a message, unless the variable `CI` is set: there it is a failure.

mod in_rust;

use serde_json::Value;
use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};
use vigie_testkit::{
    certificates::TestAuthority,
    platform_database::PlatformDatabase,
    postgres::{PostgresServer, Settings},
};

/// How many people the database has that the steps are written for: 5,000 make more than 20,000 events.
pub const PEOPLE: u32 = 5_000;

/// Seconds after which a client that still runs is ended, and its remaining steps are missing.
const LIMIT_S: u32 = 240;

/// The step that a client adds which ended with a complaint.
pub const BROKE_OFF: &str = "(broke off)";

/// Where clients connect, as whom, and what for.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// A name or an address that the server's certificate has.
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    pub database: String,
    /// A file with the certificate, in PEM, of the authority that the server is known by.
    pub authority: PathBuf,
    /// What `vigie.purpose` is set to at the start of the session.
    pub purpose: String,
}

/// What a client saw at a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// A value, in the client's own words.
    Value(Value),
    /// An error with this SQLSTATE; with the client's own word for it where it has no SQLSTATE.
    Error(String),
}

/// A step of a client.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub client: &'static str,
    pub step: String,
    pub seen: Seen,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, step, seen } = self;
        match seen {
            Seen::Value(Value::String(text)) if text.contains('\n') => {
                write!(f, "{client} | {step}")?;
                text.lines().try_for_each(|line| write!(f, "\n    {}", line.trim_end()))
            }
            Seen::Value(value) => write!(f, "{client} | {step} | {value}"),
            Seen::Error(sqlstate) => write!(f, "{client} | {step} | ERROR {sqlstate}"),
        }
    }
}

/// Runs all clients, side by side, and returns what they saw, client by client.
///
/// # Panics
///
/// If a client cannot be run although it is installed, or prints what is no step; without it being installed, where the
/// variable `CI` is set.
pub fn run_all(endpoint: &Endpoint) -> Vec<Outcome> {
    type Run = fn(&Endpoint) -> Vec<Outcome>;
    let clients: [Run; 7] = [psql, psycopg, asyncpg, sqlalchemy, node_postgres, pgjdbc, in_rust::run];
    std::thread::scope(|scope| {
        let running = clients.map(|client| scope.spawn(move || client(endpoint)));
        running.into_iter().flat_map(|client| client.join().expect("a client was run")).collect()
    })
}

/// Writes outcomes one below the other, as the snapshots have them.
pub fn listed(outcomes: &[Outcome]) -> String {
    outcomes.iter().flat_map(|outcome| [outcome.to_string(), "\n".to_owned()]).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Where `scripts/setup.sh --clients` puts the clients' packages.
fn installed(name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    std::env::var_os("VIGIE_CLIENTS").map_or(target, PathBuf::from).join(name)
}

/// Says that a client is not here.
fn absent(client: &str, path: &Path) -> Vec<Outcome> {
    let what = format!("{client} is not installed ({}): `sh scripts/setup.sh --clients` installs it", path.display());
    assert!(std::env::var_os("CI").is_none(), "{what}");
    eprintln!("passed over: {what}");
    Vec::new()
}

fn python(endpoint: &Endpoint, client: &'static str, script: &str) -> Vec<Outcome> {
    let python = installed("clients").join("bin/python");
    if !python.exists() {
        return absent(client, &python);
    }
    let mut command = limited(&python);
    command.arg("-B").arg(folder().join(script));
    steps(client, &printed(client, command, endpoint))
}

fn psycopg(endpoint: &Endpoint) -> Vec<Outcome> {
    python(endpoint, "psycopg", "psycopg_client.py")
}

fn asyncpg(endpoint: &Endpoint) -> Vec<Outcome> {
    python(endpoint, "asyncpg", "asyncpg_client.py")
}

fn sqlalchemy(endpoint: &Endpoint) -> Vec<Outcome> {
    python(endpoint, "SQLAlchemy", "sqlalchemy_client.py")
}

fn node_postgres(endpoint: &Endpoint) -> Vec<Outcome> {
    let packages = installed("clients-node");
    if !packages.join("node_modules/pg").exists() {
        return absent("node-postgres", &packages);
    }
    let mut command = limited(Path::new("node"));
    command.arg("--no-deprecation").arg(folder().join("node-postgres.mjs")).env("VIGIE_NODE_MODULES", packages);
    steps("node-postgres", &printed("node-postgres", command, endpoint))
}

fn pgjdbc(endpoint: &Endpoint) -> Vec<Outcome> {
    let driver = Path::new("/usr/share/java/postgresql.jar");
    if !driver.exists() {
        return absent("pgjdbc", driver);
    }
    let mut command = limited(Path::new("java"));
    command.arg("-cp").arg(driver).arg(folder().join("Jdbc.java"));
    steps("pgjdbc", &printed("pgjdbc", command, endpoint))
}

fn psql(endpoint: &Endpoint) -> Vec<Outcome> {
    let Endpoint { host, port, user, database, purpose, .. } = endpoint;
    let connection = format!(
        "host={host} port={port} user={user} dbname={database} sslmode=verify-full sslrootcert='{}' \
         channel_binding=require options='-c vigie.purpose={purpose}' connect_timeout=60",
        endpoint.authority.display()
    );
    // What psql says of errors belongs between the rows, so both go the same way.
    let mut command = limited(Path::new("sh"));
    command.args(["-c", "exec \"$0\" -Xq -d \"$1\" -f \"$2\" 2>&1"]);
    command.arg(PostgresServer::shared().program("psql")).arg(connection).arg(folder().join("steps.psql"));
    command.env("PGPASSWORD", &endpoint.password).env("PGTZ", "UTC").env("PGCLIENTENCODING", "UTF8");
    psql_steps(&printed("psql", command, endpoint))
}

/// A program that is ended after [`LIMIT_S`].
fn limited(program: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.arg(LIMIT_S.to_string()).arg(program);
    command
}

fn printed(client: &str, mut command: Command, endpoint: &Endpoint) -> String {
    command.env("VIGIE_HOST", &endpoint.host).env("VIGIE_PORT", endpoint.port.to_string());
    command.env("VIGIE_USER", &endpoint.user).env("VIGIE_PASSWORD", &endpoint.password);
    command.env("VIGIE_DATABASE", &endpoint.database).env("VIGIE_CA", &endpoint.authority);
    command.env("VIGIE_PURPOSE", &endpoint.purpose).env("TZ", "UTC").stdin(Stdio::null());
    let output = command.output().unwrap_or_else(|error| panic!("{client}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    let mut printed = String::from_utf8(output.stdout).expect("clients print UTF-8");
    if !said.trim().is_empty() || !output.status.success() {
        // A step like the others, so that what came before is seen too.
        let said = format!("{}: {}", output.status, said.trim());
        printed.push_str(&serde_json::json!({ "step": BROKE_OFF, "sqlstate": said }).to_string());
    }
    printed
}

fn step(client: &'static str, line: &str) -> Outcome {
    let step: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{client}: `{line}`: {error}"));
    let name = step["step"].as_str().unwrap_or_else(|| panic!("{client}: `{line}` names no step")).to_owned();
    let seen = match step.get("sqlstate") {
        Some(state) => Seen::Error(state.as_str().unwrap_or_default().to_owned()),
        None => Seen::Value(step["value"].clone()),
    };
    Outcome { client, step: name, seen }
}

fn steps(client: &'static str, printed: &str) -> Vec<Outcome> {
    printed.lines().map(|line| step(client, line)).collect()
}

/// psql prints what it shows and then the step's name; where on the script an error was is not part of it.
fn psql_steps(printed: &str) -> Vec<Outcome> {
    let (mut outcomes, mut shown) = (Vec::new(), String::new());
    for line in printed.lines() {
        if line.starts_with("{\"step\"") {
            let mut outcome = step("psql", line);
            let told: Value = serde_json::from_str(line).expect("it was read above");
            if let Some(rows) = told.get("rows") {
                let counted = format!("rows {rows}, error {}\n", told["error"]);
                shown.push_str(&counted);
            }
            outcome.seen = Seen::Value(Value::String(std::mem::take(&mut shown)));
            outcomes.push(outcome);
        } else if !line.trim().is_empty() && !line.starts_with("You are connected to") {
            let error = line.strip_prefix("psql:").and_then(|line| line.split_once(": "));
            shown.push_str(error.map_or(line, |(_, what)| what));
            shown.push('\n');
        }
    }
    assert!(shown.is_empty(), "psql went on after the last step: {shown}");
    outcomes
}

/// A server that speaks TLS and asks the clients for a password by SCRAM, with the sample platform's database in it.
struct Direct {
    server: PostgresServer,
    endpoint: Endpoint,
}

fn direct() -> &'static Direct {
    static DIRECT: OnceLock<Direct> = OnceLock::new();
    DIRECT.get_or_init(|| {
        let authority = TestAuthority::new();
        let settings = Settings {
            identity: Some(authority.issue(&["localhost", "127.0.0.1"])),
            access: vec!["hostssl all some_client 127.0.0.1/32 scram-sha-256".to_owned()],
            ..Settings::default()
        };
        let server = PostgresServer::start_with(&settings).unwrap();
        let database = PlatformDatabase::create(&server, PEOPLE);
        server.run_sql(
            &database,
            "CREATE ROLE some_client LOGIN PASSWORD 'a password, ünusual'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO some_client",
        );
        // In the server's folder, which is removed after it.
        let file = server.socket_folder().join("authority.pem");
        fs::write(&file, authority.pem()).unwrap();
        let endpoint = Endpoint {
            host: "127.0.0.1".to_owned(),
            port: server.port(),
            user: "some_client".to_owned(),
            password: "a password, ünusual".to_owned(),
            database,
            authority: file,
            purpose: "fraud-prevention".to_owned(),
        };
        Direct { server, endpoint }
    })
}

/// What clients see when they speak to PostgreSQL itself: run once for all tests that compare.
pub fn direct_outcomes() -> &'static [Outcome] {
    static OUTCOMES: OnceLock<Vec<Outcome>> = OnceLock::new();
    OUTCOMES.get_or_init(|| run_all(&direct().endpoint))
}

#[test]
fn every_client_sees_what_it_always_saw_when_it_speaks_to_postgresql_itself() {
    let server = &direct().server;
    let version = server.run_sql("postgres", "SHOW server_version_num");
    let outcomes = direct_outcomes();
    assert!(outcomes.iter().all(|outcome| outcome.step != BROKE_OFF), "{}", listed(outcomes));
    if !version.starts_with("15") {
        // psql shows more from version to version; that the steps work is all that can be said of another one.
        eprintln!("passed over: the snapshot is of PostgreSQL 15, this is {version}");
        return;
    }
    // One snapshot for each client, so that one that is not installed does not hide the others.
    for of_client in outcomes.chunk_by(|one, other| one.client == other.client) {
        insta::assert_snapshot!(format!("direct-{}", of_client[0].client), listed(of_client));
    }
}

#[test]
fn a_wrong_password_is_a_wrong_password_to_every_client() {
    let endpoint = Endpoint { password: "not the password".to_owned(), ..direct().endpoint.clone() };
    let outcomes = in_rust::run(&endpoint);
    assert_eq!(listed(&outcomes), "tokio-postgres | connect | ERROR 28P01\n");
}
