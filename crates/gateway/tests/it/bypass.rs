//! Every known way around a gateway: shown to leak without its guard, and later to leak no more through the gateway.
//!
//! The rows are data (`tests/bypass/`, one file each); here is what runs them. [`leaks_without_guard`] plays a row against a
//! PostgreSQL without hardening, as a role with an ordinary right to read below a row policy. [`holds_through`] plays
//! the other half of every row against an address, and says what came through.
//!
//! What the address must be: a gateway over the sample platform's database whose reader, for the purpose of the
//! endpoint, may read `users` (`id`, `country`, `birth_year`, `display_name`, `created_at`), `events` and `countries` as
//! records, and neither `email`, `phone` and `ip` nor anything as an aggregate, and may write nothing; to whom the planted
//! [`HIDDEN`] person is hidden and [`SHOWN`] is not.
//!
//! Beyond what a row says, nothing of the hidden person may be in any byte of any session.

mod steps;

use crate::{
    clients::Endpoint,
    wire::{Message, Wire},
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Mutex, OnceLock},
};
use vigie_testkit::{
    certificates::TestAuthority,
    platform_database::{HIDDEN, PlatformDatabase, SHOWN},
    postgres::{PostgresServer, Settings},
};

/// How many people the database has. No other number in it looks like this one.
pub const PEOPLE: u32 = 311;

/// SQLSTATEs by which something is denied: insufficient privilege, and a feature that is not supported.
const DENIED: [&str; 2] = ["42501", "0A000"];

/// A row of the list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    schema: String,
    pub number: u32,
    pub title: String,
    closed_by: Vec<Guard>,
    #[serde(default)]
    setup: String,
    unguarded: Half,
    gateway: Half,
}

/// What closes a way.
#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Guard {
    /// Objects of PostgreSQL: roles, rights, policies, hardening.
    Database,
    /// The gateway itself.
    Gateway,
    /// How a deployment is set up and watched.
    Operation,
}

/// One half of a row: without the guard, or with it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Half {
    verdict: Verdict,
    /// Why it is so; for what is tested elsewhere, where.
    #[serde(default)]
    why: String,
    /// SQL that the superuser runs first, through the gateway's half only.
    #[serde(default)]
    setup: String,
    #[serde(default, rename = "step")]
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Leaks,
    Holds,
    Elsewhere,
}

/// Something that is done, and what must be heard.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// Sessions are opened when they are first named.
    #[serde(default = "first_session")]
    session: String,
    /// Who opens the session, without the guard.
    #[serde(default)]
    login: Login,
    /// More words for the first message of the session.
    #[serde(default)]
    startup: BTreeMap<String, String>,
    /// Whether the session may be opened at all.
    #[serde(default)]
    opens: Opens,
    sql: Option<String>,
    /// Something that SQL cannot say: a name in `steps.rs`.
    protocol: Option<String>,
    /// A stop order for a person is given.
    stop: Option<i64>,
    /// The client goes away.
    #[serde(default)]
    closes: Flag,
    #[serde(default)]
    sees: Vec<Sight>,
    /// What must be in no byte of the answer.
    #[serde(default)]
    lacks: Vec<String>,
    /// One of these errors must come.
    #[serde(default)]
    sqlstate: Vec<String>,
    /// An error by which something is denied must come.
    #[serde(default)]
    denied: Flag,
    /// Some error must come, or the connection end.
    #[serde(default)]
    fails: Flag,
    /// Whether a protocol step gets as far as "ready for query".
    lets_in: Option<bool>,
    /// Either nothing of the planted person comes, or these people are in the account.
    #[serde(default)]
    accounts_or_denies: Vec<i64>,
}

/// Written as `true`, or not at all.
type Flag = bool;

fn first_session() -> String {
    "a".to_owned()
}

#[derive(Debug, Deserialize, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Login {
    /// May read the tables, below a row policy.
    #[default]
    Reader,
    /// May become the reader, or the wide role.
    Shared,
    /// May read everything.
    Wide,
}

#[derive(Debug, Deserialize, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Opens {
    #[default]
    Always,
    Perhaps,
    Never,
}

/// A text in a kind of message.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sight {
    r#in: Place,
    text: String,
}

#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Place {
    Row,
    Error,
    Notice,
    Parameter,
    Notification,
    Copy,
    Function,
    Tag,
}

impl Place {
    fn kind(self) -> u8 {
        match self {
            Self::Row => b'D',
            Self::Error => b'E',
            Self::Notice => b'N',
            Self::Parameter => b'S',
            Self::Notification => b'A',
            Self::Copy => b'd',
            Self::Function => b'V',
            Self::Tag => b'C',
        }
    }
}

/// What surrounds a gateway under test.
pub trait World {
    /// Runs SQL in the database, as its superuser.
    fn superuser(&self, sql: &str);
    /// Stops what is done with a person's data, at once.
    fn stop(&self, subject: i64);
    /// Takes a stop order back.
    fn resume(&self, subject: i64);
    /// Returns the people in the account of what was read since this was last asked; none if there is no account.
    fn accounted(&self) -> Option<Vec<i64>>;
}

/// Returns the rows of the list, in order.
///
/// # Panics
///
/// If a file cannot be read as a row.
pub fn rows() -> Vec<Row> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bypass");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut rows: Vec<Row> = files
        .map(|path| {
            let row: Row = toml::from_str(&fs::read_to_string(&path).unwrap())
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(name.starts_with(&format!("{:02}-", row.number)), "{name} is row {}", row.number);
            row
        })
        .collect();
    rows.sort_by_key(|row| row.number);
    rows
}

/// Plays the first half of a row: what happens without a guard. Returns what was otherwise than the row says.
pub fn leaks_without_guard(row: &Row) -> Vec<String> {
    let bare = Bare::new(row);
    let play = Play { endpoint: &bare.endpoint, world: &bare, guarded: false, sessions: BTreeMap::new() };
    play.run(&row.unguarded)
}

/// Plays the second half of all rows at an address, and returns what came through, and what else was not as it should be.
///
/// The rows' own objects are made by the superuser; a policy that was applied before is applied to them no more, so they
/// are what a careless operator adds afterwards. Stop orders are taken back.
pub fn holds_through(endpoint: &Endpoint, world: &dyn World) -> Vec<String> {
    rows().iter().flat_map(|row| row_holds_through(row, endpoint, world)).collect()
}

/// As [`holds_through`], for one row.
pub fn row_holds_through(row: &Row, endpoint: &Endpoint, world: &dyn World) -> Vec<String> {
    if !row.gateway.setup.is_empty() {
        world.superuser(&filled(&row.gateway.setup));
    }
    let found = Play { endpoint, world, guarded: true, sessions: BTreeMap::new() }.run(&row.gateway);
    for subject in row.gateway.steps.iter().filter_map(|step| step.stop) {
        world.resume(subject);
    }
    found.into_iter().map(|what| format!("row {} ({}): {what}", row.number, row.title)).collect()
}

/// Puts the planted people's marks and numbers in.
fn filled(text: &str) -> String {
    text.replace("{hidden}", HIDDEN.marker)
        .replace("{shown}", SHOWN.marker)
        .replace("{hidden_id}", &HIDDEN.id.to_string())
        .replace("{shown_id}", &SHOWN.id.to_string())
        .replace("{people}", &PEOPLE.to_string())
}

/// A row being played.
struct Play<'a> {
    endpoint: &'a Endpoint,
    world: &'a dyn World,
    guarded: bool,
    sessions: BTreeMap<String, Wire>,
}

impl Play<'_> {
    fn run(mut self, half: &Half) -> Vec<String> {
        let mut wrong = Vec::new();
        for (index, step) in half.steps.iter().enumerate() {
            let name = step.sql.as_deref().or(step.protocol.as_deref()).unwrap_or("(no statement)").trim();
            let said = self.step(step);
            wrong.extend(said.into_iter().map(|what| format!("step {}, `{}`: {what}", index + 1, filled(name))));
        }
        if self.guarded {
            let leaked = |wire: &&Wire| wire.heard.iter().any(|message| message.contains(HIDDEN.marker));
            if self.sessions.values().any(|wire| leaked(&wire)) {
                wrong.push("the hidden person was seen".to_owned());
            }
        }
        wrong
    }

    /// Does one step, and returns what is wrong with what was heard.
    fn step(&mut self, step: &Step) -> Vec<String> {
        if let Some(subject) = step.stop {
            self.world.stop(subject);
            return Vec::new();
        }
        if step.closes {
            self.sessions.remove(&step.session);
            return Vec::new();
        }
        let endpoint = self.as_whom(step.login);
        if let Some(protocol) = step.protocol.as_deref().filter(|protocol| steps::opens_its_own(protocol)) {
            let outcome = steps::on_its_own(protocol, &endpoint);
            return self.judged(step, &outcome.heard, outcome.let_in);
        }
        let opened = self.session(step, &endpoint);
        let heard = match (opened, step.opens) {
            (Err(_), Opens::Never) => return Vec::new(),
            (Err(heard), Opens::Perhaps) => return self.judged(&Step { ..lacking(step) }, &heard, false),
            (Err(heard), Opens::Always) => return vec![format!("no session: {}", told(&heard))],
            (Ok(_), Opens::Never) => return vec!["the session was opened".to_owned()],
            (Ok(wire), Opens::Always | Opens::Perhaps) => match (&step.sql, &step.protocol) {
                (Some(sql), _) => wire.query(&filled(sql)),
                (None, Some(protocol)) => steps::within(protocol, wire, &endpoint),
                (None, None) => return vec!["it does nothing".to_owned()],
            },
        };
        let ready = heard.last().is_some_and(|message| message.kind == b'Z');
        if !ready {
            // Whatever the server did to the session, the next step has a new one.
            self.sessions.remove(&step.session);
        }
        self.judged(step, &heard, ready)
    }

    fn as_whom(&self, login: Login) -> Endpoint {
        let user = match login {
            _ if self.guarded => return self.endpoint.clone(),
            Login::Reader => "bypass_reader",
            Login::Shared => "bypass_shared",
            Login::Wide => "bypass_wide",
        };
        Endpoint { user: user.to_owned(), ..self.endpoint.clone() }
    }

    fn session(&mut self, step: &Step, endpoint: &Endpoint) -> Result<&mut Wire, Vec<Message>> {
        if !self.sessions.contains_key(&step.session) {
            let more: Vec<_> = step.startup.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
            self.sessions.insert(step.session.clone(), Wire::open(endpoint, &more)?);
        }
        Ok(self.sessions.get_mut(&step.session).expect("it was just opened"))
    }

    fn judged(&self, step: &Step, heard: &[Message], ready: bool) -> Vec<String> {
        let mut wrong = Vec::new();
        let errors: Vec<String> =
            heard.iter().filter(|message| message.kind == b'E').filter_map(Message::sqlstate).collect();
        for Sight { r#in, text } in &step.sees {
            let text = filled(text);
            if !heard.iter().any(|message| message.kind == r#in.kind() && message.contains(&text)) {
                wrong.push(format!("`{text}` was in no {in:?}; heard: {}", told(heard)).to_lowercase());
            }
        }
        for text in step.lacks.iter().map(|text| filled(text)) {
            if heard.iter().any(|message| message.contains(&text)) {
                wrong.push(format!("`{text}` was seen"));
            }
        }
        let is_denied = errors.iter().any(|state| DENIED.contains(&state.as_str()));
        if step.denied && !is_denied {
            wrong.push(format!("it was not denied; heard: {}", told(heard)));
        }
        if step.fails && errors.is_empty() && ready {
            wrong.push(format!("it did not fail; heard: {}", told(heard)));
        }
        if !step.sqlstate.is_empty() && !errors.iter().any(|state| step.sqlstate.contains(state)) {
            wrong.push(format!("none of {:?}; heard: {}", step.sqlstate, told(heard)));
        }
        // An error that nobody asked for would make what follows mean nothing.
        let may_fail = step.denied || step.fails || !step.sqlstate.is_empty() || !step.accounts_or_denies.is_empty();
        let unexpected = !self.guarded && !may_fail && step.lets_in.is_none() && !errors.is_empty();
        if unexpected {
            wrong.push(format!("it failed: {}", told(heard)));
        }
        if step.lets_in.is_some_and(|wanted| wanted != ready) {
            wrong.push(format!("it was {}let in; heard: {}", if ready { "" } else { "not " }, told(heard)));
        }
        // Where nothing of the planted person came, as when a pipeline was refused as a whole, there is nothing to account.
        let came = heard.iter().any(|message| message.contains(SHOWN.marker));
        if !step.accounts_or_denies.is_empty() && came {
            match self.world.accounted() {
                Some(account) if step.accounts_or_denies.iter().all(|subject| account.contains(subject)) => {}
                Some(account) => wrong.push(format!("it was answered, and the account has {account:?}")),
                None => wrong.push(format!("it was answered without an account; heard: {}", told(heard))),
            }
        }
        wrong
    }
}

/// What is left to check of a step whose session was refused: that the refusal itself tells nothing.
fn lacking(step: &Step) -> Step {
    Step {
        session: step.session.clone(),
        login: step.login,
        startup: BTreeMap::new(),
        opens: step.opens,
        sql: None,
        protocol: None,
        stop: None,
        closes: false,
        sees: Vec::new(),
        lacks: step.lacks.clone(),
        sqlstate: Vec::new(),
        denied: false,
        fails: true,
        lets_in: None,
        accounts_or_denies: Vec::new(),
    }
}

/// Messages in short, for a person who reads why a test failed.
fn told(heard: &[Message]) -> String {
    let one = |message: &Message| {
        let text: String =
            String::from_utf8_lossy(&message.body).chars().filter(|c| !c.is_control()).take(90).collect();
        format!("{} {text}", message.kind as char)
    };
    let shown: Vec<String> = heard.iter().filter(|message| message.kind != b'T').take(8).map(one).collect();
    if shown.is_empty() { "nothing".to_owned() } else { shown.join(" / ") }
}

/// A PostgreSQL without hardening, with TLS and SCRAM, and in it a copy of the sample platform for one row.
struct Bare {
    server: &'static PostgresServer,
    endpoint: Endpoint,
}

const PASSWORD: &str = "a-password-of-the-list";

impl Bare {
    fn new(row: &Row) -> Self {
        let (server, template) = bare_server();
        // The roles' limits and rights are the server's, so a row that changes them is alone with them.
        let database = format!("row_{}", row.number);
        server.run_sql("postgres", &format!("CREATE DATABASE {database} TEMPLATE {template}"));
        server.run_sql(&database, "ALTER ROLE bypass_shared RESET ALL; ANALYZE");
        server.run_sql(&database, &filled(&row.setup));
        let endpoint = Endpoint {
            host: "127.0.0.1".to_owned(),
            port: server.port(),
            user: "bypass_reader".to_owned(),
            password: PASSWORD.to_owned(),
            database,
            authority: server.socket_folder().join("authority.pem"),
            purpose: "fraud-prevention".to_owned(),
        };
        Self { server, endpoint }
    }
}

impl World for Bare {
    fn superuser(&self, sql: &str) {
        self.server.run_sql(&self.endpoint.database, sql);
    }

    fn stop(&self, subject: i64) {
        self.superuser(&format!("UPDATE users SET pmask = 0 WHERE id = {subject}"));
    }

    fn resume(&self, subject: i64) {
        self.superuser(&format!("UPDATE users SET pmask = {} WHERE id = {subject}", i64::MAX));
    }

    fn accounted(&self) -> Option<Vec<i64>> {
        None
    }
}

/// The server, and the name of the database that rows copy.
fn bare_server() -> (&'static PostgresServer, &'static str) {
    static BARE: OnceLock<(PostgresServer, String)> = OnceLock::new();
    let (server, template) = BARE.get_or_init(|| {
        let authority = TestAuthority::new();
        let settings = Settings {
            identity: Some(authority.issue(&["localhost", "127.0.0.1"])),
            access: vec![
                "hostssl all bypass_reader,bypass_shared,bypass_wide 127.0.0.1/32 scram-sha-256".to_owned(),
                "hostnossl all bypass_reader,bypass_shared,bypass_wide 127.0.0.1/32 reject".to_owned(),
                // Whoever comes as somebody else without having proved anything is let in here, and would be noticed.
            ],
            ..Settings::default()
        };
        let server = PostgresServer::start_with(&settings).unwrap();
        fs::write(server.socket_folder().join("authority.pem"), authority.pem()).unwrap();
        let template = PlatformDatabase::create(&server, PEOPLE);
        server.run_sql(
            &template,
            &format!(
                "CREATE ROLE bypass_reader LOGIN PASSWORD '{PASSWORD}'; \
                 CREATE ROLE bypass_wide LOGIN PASSWORD '{PASSWORD}' BYPASSRLS; \
                 CREATE ROLE bypass_shared LOGIN PASSWORD '{PASSWORD}' NOINHERIT IN ROLE bypass_reader, bypass_wide; \
                 GRANT SELECT ON ALL TABLES IN SCHEMA public TO bypass_reader, bypass_wide; \
                 ALTER TABLE users ENABLE ROW LEVEL SECURITY; \
                 CREATE POLICY by_mask ON users USING ((pmask & 8) <> 0)"
            ),
        );
        (server, template)
    });
    (server, template)
}

/// Rows share roles, and one of them changes a role's limits: they are played one after the other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn the_list_has_its_thirty_one_rows_and_each_says_why() {
    let rows = rows();
    assert_eq!(rows.iter().map(|row| row.number).collect::<Vec<_>>(), (1..=31).collect::<Vec<_>>());
    for row in &rows {
        let Row { number, schema, closed_by, unguarded, gateway, .. } = row;
        assert_eq!(schema, "bypass/1", "row {number}");
        assert!(!closed_by.is_empty() && !unguarded.why.is_empty(), "row {number}");
        assert_eq!(gateway.verdict == Verdict::Elsewhere, gateway.steps.is_empty(), "row {number}");
        assert!(gateway.verdict != Verdict::Leaks, "row {number}: nothing may leak through the gateway");
        assert!(gateway.verdict == Verdict::Holds || !gateway.why.is_empty(), "row {number} does not say where");
        assert_eq!(unguarded.verdict == Verdict::Elsewhere, unguarded.steps.is_empty(), "row {number}");
        let shows = unguarded.steps.iter().any(|step| !step.sees.is_empty() || !step.sqlstate.is_empty());
        assert!(unguarded.verdict != Verdict::Leaks || shows, "row {number} is said to leak and shows nothing");
    }
}

#[test]
fn what_is_said_to_leak_leaks_where_nothing_guards_it() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let wrong: Vec<String> = rows()
        .iter()
        .flat_map(|row| leaks_without_guard(row).into_iter().map(move |what| format!("row {}: {what}", row.number)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_server_without_a_guard_does_not_pass_for_a_gateway() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let leaking = rows().into_iter().filter(|row| row.unguarded.verdict == Verdict::Leaks);
    let mut unnoticed = Vec::new();
    for mut row in leaking.filter(|row| row.gateway.verdict == Verdict::Holds) {
        // A database of its own, beside that of the other test.
        row.number += 100;
        let bare = Bare::new(&Row { setup: String::new(), ..row_of(&row) });
        let found = row_holds_through(&row, &bare.endpoint, &bare);
        if found.is_empty() {
            unnoticed.push(format!("row {}: {}", row.number - 100, row.title));
        }
    }
    assert!(unnoticed.is_empty(), "nobody would notice that nothing guards:\n{}", unnoticed.join("\n"));
}

/// A row without its halves, for making a database.
fn row_of(row: &Row) -> Row {
    let empty = || Half { verdict: Verdict::Elsewhere, why: String::new(), setup: String::new(), steps: Vec::new() };
    Row {
        schema: row.schema.clone(),
        number: row.number,
        title: row.title.clone(),
        closed_by: row.closed_by.clone(),
        setup: String::new(),
        unguarded: empty(),
        gateway: empty(),
    }
}
