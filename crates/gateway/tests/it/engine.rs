//! The state of a session alone, without sockets, ledger or server: a made-up client that says anything, and a made-up server
//! that mostly keeps to the protocol and sometimes does not. Nothing may panic, no row of a person may come out of what its
//! entry covers, no value may come out in an error, and who is stopped never comes out.
//!
//! `VIGIE_ENGINE_CASES` is how many conversations (2,000 by default), `VIGIE_ENGINE_SEED` which
//! ones: the usual ones hold a case that once let a row out.

use bytes::{Buf as _, BytesMut};
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};
use vigie_gateway::{
    copy::CopyFormat,
    metrics::Metrics,
    session::engine::{
        CopyOut, Effect, Engine, Fatal, Forward, Guard, Naming, Output, Record, Refusal, Said, SaidKind, Stops,
        Treatment,
    },
    shape::{Expected, Instance},
    stop::StopSet,
    view::{Known, KnownColumn, View},
    wire::{self, Backend, Frame, Frontend, Named, Report, Severity, TransactionStatus},
};
use vigie_policy::{DataMap, Zones, names::TableName};

/// The id of the view that people are read from.
const VIEW: u32 = 20_000;
/// How a row of a person begins, and no other.
const MARK: &str = "row of ";
/// Somebody whom the stop set holds back.
const STOPPED: u64 = 13;

/// What the client says; the server knows by it what to answer. `P`: rows of people; `Y`: the same as COPY; `N`: of nobody;
/// `W`: writes; `X`: refused; `B`, `K`: begins and ends a transaction; the others give, use or take the name that follows.
const STATEMENTS: [&str; 21] = [
    "P", "P", "P", "Y", "N", "W", "X", "B", "K", "K", "D n0", "D n1", "F n0", "F n1", "C n0", "R n0", "R n1", "E n0",
    "E n1", "Q n0", "",
];
const NAMES: [&str; 3] = ["", "n0", "n1"];

/// Steps of SplitMix64.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    /// Tells whether something happens that happens once in so many times.
    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// A view of a role that may read rows of people.
fn view() -> Arc<View> {
    static VIEW_OF_ALL: OnceLock<Arc<View>> = OnceLock::new();
    VIEW_OF_ALL
        .get_or_init(|| {
            let fixture = |name: &str| {
                let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/policy").join(name);
                fs::read_to_string(path).expect("the fixture is there")
            };
            let map = DataMap::parse(&fixture("map.toml")).expect("it is right");
            let zones = Zones::parse(&fixture("zones.toml")).expect("it is right");
            let service = ("service".parse().expect("a name"), fixture("policies/service.cedar"));
            let compiled = vigie_policy::compile(map, zones, &[service]).expect("it compiles");
            let users: TableName = "public.users".parse().expect("a name");
            let name = "display_name".parse().expect("a name");
            let role = compiled.roles.iter().find(|role| role.rights.may_read(&users, &name)).expect("a role reads it");
            let column = |number, name: &str, kind: &str| KnownColumn {
                number,
                name: name.parse().expect("a name"),
                kind: kind.to_owned(),
            };
            let known = Known {
                oid: VIEW,
                name: TableName::new(role.name.as_str(), "users").expect("a name"),
                columns: vec![column(1, "id", "int8"), column(2, "display_name", "text")],
                prefix_operators: true,
            };
            let view = View::new(&compiled, role, &[known], None, None, None, 0);
            assert_eq!(view.origins.len(), 1);
            Arc::new(view)
        })
        .clone()
}

fn said(kind: SaidKind) -> Arc<Said> {
    Arc::new(Said { fingerprint: [7; 32], relations: vec!["public.users".to_owned()], kind })
}

fn people(copy: bool) -> Output {
    let table = "public.users".parse().expect("a name");
    let copy = copy.then(|| CopyOut { format: CopyFormat::text(), header: false });
    Output {
        expected: Expected::People { instances: vec![Instance { oid: VIEW, subject: 1, table }], appended: true },
        copy,
        said: Some(said(SaidKind::Record)),
        ..Output::nobody()
    }
}

/// Treats a statement as `treat` does.
fn treat(engine: &Engine, sql: &str) -> Treatment {
    let forward = |forward: Forward| Treatment::Forward(Box::new(forward));
    let refuse = || {
        let message = "denied: a test".to_owned();
        let said = said(SaidKind::Record);
        Treatment::Refuse(Box::new(Refusal { code: "42501", message, hint: None, reasons: Vec::new(), said }))
    };
    let plain = Forward::plain(sql);
    let Some((word, name)) = sql.split_once(' ') else {
        return match sql {
            "P" | "Y" => forward(Forward { output: people(sql == "Y"), ..plain }),
            "W" => {
                forward(Forward { output: Output { said: Some(said(SaidKind::Write)), ..Output::nobody() }, ..plain })
            }
            "X" => refuse(),
            _ => forward(plain),
        };
    };
    let name = name.to_owned();
    match word {
        "D" => forward(Forward { output: people(false), naming: Naming::Declare(name), ..plain }),
        "R" => forward(Forward { output: people(false), naming: Naming::Prepare(name), ..plain }),
        "C" => forward(Forward { naming: Naming::Close(Some(name)), ..plain }),
        "Q" => forward(Forward { naming: Naming::Deallocate(Some(name)), ..plain }),
        _ => {
            let meant = if word == "F" { engine.cursor(&name) } else { engine.prepared(&name) };
            match meant {
                Some((output, relies)) => forward(Forward { output, relies: Some(relies), ..plain }),
                None => refuse(),
            }
        }
    }
}

/// A server that knows what names mean, as PostgreSQL does; it lies about the protocol, never about whose row a row is.
#[derive(Default)]
struct Server {
    prepared: HashMap<String, String>,
    /// Portals and cursors, with what they return.
    portals: HashMap<String, String>,
    in_transaction: bool,
    failed: bool,
    /// Whether messages are passed over until the next `Sync`.
    skipping: bool,
    /// Writes that it was told of, to run at once or later.
    n_writes: usize,
    lies: bool,
}

fn message(tag: u8, body: &[u8]) -> BytesMut {
    let mut out = BytesMut::from([tag].as_slice());
    out.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    out.extend_from_slice(body);
    out
}

fn made(put: impl FnOnce(&mut BytesMut)) -> BytesMut {
    let mut out = BytesMut::new();
    put(&mut out);
    out
}

/// A `RowDescription` of columns of type `text`, by table and column.
fn description(columns: &[(u32, i16)]) -> BytesMut {
    let mut body = (columns.len() as u16).to_be_bytes().to_vec();
    for (table, column) in columns {
        body.extend_from_slice(b"c\0");
        body.extend_from_slice(&table.to_be_bytes());
        body.extend_from_slice(&column.to_be_bytes());
        body.extend_from_slice(&25_u32.to_be_bytes());
        body.extend_from_slice(&(-1_i16).to_be_bytes());
        body.extend_from_slice(&(-1_i32).to_be_bytes());
        body.extend_from_slice(&0_i16.to_be_bytes());
    }
    message(b'T', &body)
}

impl Server {
    fn say(&self, what: BytesMut, draw: &mut Draw, out: &mut BytesMut) {
        let is_row = what.first() == Some(&b'D');
        if self.lies && draw.once_in(80) {
            match draw.below(4) {
                0 => return,
                1 => out.extend_from_slice(&what),
                2 => {
                    let tag = draw.one(b"123CDEGHIKNRSTVWZcdnst");
                    let body: Vec<u8> = (0..draw.below(12)).map(|_| draw.next() as u8).collect();
                    out.extend_from_slice(&message(tag, &body));
                }
                _ if !is_row => {
                    let mut changed = what.clone();
                    let at = draw.below(changed.len() as u64) as usize;
                    // The length is what cuts messages apart.
                    if !(1..5).contains(&at) {
                        changed[at] ^= 1 << draw.below(8);
                    }
                    out.extend_from_slice(&changed);
                    return;
                }
                _ => {}
            }
        }
        out.extend_from_slice(&what);
        if draw.once_in(25) {
            // Values in what is no row.
            let text = format!("{MARK}7");
            let report = Report { severity: Severity::Notice, code: "00000", message: &text, detail: None, hint: None };
            wire::put_notice(&report, out);
            wire::put_parameter_status("application_name", &text, out);
        }
    }

    fn error(&mut self, draw: &mut Draw, out: &mut BytesMut) {
        self.failed = self.in_transaction;
        let text = format!("invalid input syntax for type integer: \"{MARK}7\"");
        let report =
            Report { severity: Severity::Error, code: "22P02", message: &text, detail: Some(&text), hint: None };
        self.say(made(|out| wire::put_report(&report, out)), draw, out);
    }

    fn ready(&mut self, draw: &mut Draw, out: &mut BytesMut) {
        let status = match (self.in_transaction, self.failed) {
            (false, _) => TransactionStatus::Idle,
            (true, false) => TransactionStatus::InTransaction,
            (true, true) => TransactionStatus::Failed,
        };
        if !self.in_transaction {
            self.portals.clear();
        }
        self.say(made(|out| wire::put_ready(status, out)), draw, out);
    }

    /// What a statement returns in the end: people, nobody, or nothing.
    fn returns(&self, sql: &str) -> &'static str {
        let meant = match sql.split_once(' ') {
            Some(("F", name)) => self.portals.get(name).map_or("", String::as_str),
            Some(("E", name)) => self.prepared.get(name).map_or("", String::as_str),
            _ => sql,
        };
        match meant {
            "P" | "Y" => "P",
            "N" => "N",
            _ => "",
        }
    }

    fn described(&self, sql: &str, draw: &mut Draw) -> BytesMut {
        let lie = self.lies && draw.once_in(40);
        match self.returns(sql) {
            "P" if lie => draw.one(&[
                &[(VIEW, 1), (VIEW, 2)][..],
                &[(VIEW, 2)],
                &[(VIEW, 2), (VIEW, 2)],
                &[(VIEW, 2), (VIEW + 1, 1)],
                &[(VIEW, 3), (VIEW, 1)],
            ]),
            "P" => &[(VIEW, 2), (VIEW, 1)][..],
            "N" if lie => &[(VIEW, 2)][..],
            "N" => &[(0, 0)][..],
            _ => return message(b'n', &[]),
        }
        .pipe(description)
    }

    /// Runs a statement; tells whether it succeeded.
    fn run(&mut self, sql: &str, is_simple: bool, most: i32, draw: &mut Draw, out: &mut BytesMut) -> bool {
        let fails = (self.failed && sql != "K") || draw.once_in(12) || sql.starts_with("refused");
        let (word, name) = sql.split_once(' ').unwrap_or((sql, ""));
        let is_known = match word {
            "F" | "C" => self.portals.contains_key(name),
            "E" | "Q" => self.prepared.contains_key(name),
            "D" => self.in_transaction && !self.portals.contains_key(name),
            "R" => !self.prepared.contains_key(name),
            _ => true,
        };
        if fails || !is_known {
            if draw.once_in(2) && self.returns(sql) == "P" && is_simple {
                let described = self.described(sql, draw);
                self.say(described, draw, out);
                self.rows(draw, out);
            }
            self.error(draw, out);
            return false;
        }
        if sql.is_empty() {
            self.say(message(b'I', &[]), draw, out);
            return true;
        }
        let returns = self.returns(sql);
        if is_simple && !returns.is_empty() {
            let described = self.described(sql, draw);
            self.say(described, draw, out);
        }
        match returns {
            "P" => self.rows(draw, out),
            "N" => self.say(made(|out| wire::put_data_row([Some(b"plain".as_slice())].into_iter(), out)), draw, out),
            _ => {}
        }
        match word {
            "B" => self.in_transaction = true,
            "K" => (self.in_transaction, self.failed) = (false, false),
            "D" => drop(self.portals.insert(name.to_owned(), "P".to_owned())),
            "R" => drop(self.prepared.insert(name.to_owned(), "P".to_owned())),
            "C" => drop(self.portals.remove(name)),
            "Q" => drop(self.prepared.remove(name)),
            _ => {}
        }
        if word == "K" {
            self.portals.clear();
        }
        if most > 0 && returns == "P" && draw.once_in(2) {
            self.say(message(b's', &[]), draw, out);
        } else {
            self.say(made(|out| wire::put_command_complete("SELECT 2", out)), draw, out);
        }
        true
    }

    fn rows(&self, draw: &mut Draw, out: &mut BytesMut) {
        for _ in 0..draw.below(4) {
            let id = 1 + draw.below(20);
            // Now and then more than one entry holds.
            let long = if draw.once_in(40) { 600_000 } else { 0 };
            let (name, subject) = (format!("{MARK}{id} {}", "x".repeat(long)), id.to_string());
            let lie = if self.lies { draw.below(200) } else { 200 };
            let values: &[Option<&[u8]>] = match lie {
                0 => &[Some(name.as_bytes())],
                1 => &[Some(name.as_bytes()), Some(subject.as_bytes()), None],
                _ => &[Some(name.as_bytes()), Some(subject.as_bytes())],
            };
            let row = made(|out| wire::put_data_row(values.iter().copied(), out));
            self.say(row, draw, out);
        }
    }

    /// Answers what the engine sent.
    fn hear(&mut self, sent: &[u8], draw: &mut Draw) -> BytesMut {
        let (mut out, mut at) = (BytesMut::new(), 0);
        while let Some(frame) = wire::frame(&sent[at..], wire::MAX_SERVER_BYTES).expect("the engine sends messages") {
            at += frame.len();
            let frontend = Frontend::parse(&frame).expect("the engine speaks the protocol");
            if let Frontend::Query(sql) | Frontend::Parse(wire::Parse { sql, .. }) = &frontend {
                self.n_writes += sql.split(';').filter(|part| *part == "W").count();
            }
            if self.skipping && !matches!(frontend, Frontend::Sync) {
                continue;
            }
            match frontend {
                Frontend::Query(sql) => {
                    for part in sql.split(';') {
                        if !self.run(part, true, 0, draw, &mut out) {
                            break;
                        }
                    }
                    self.ready(draw, &mut out);
                }
                Frontend::Parse(parse) => {
                    let taken = !parse.statement.is_empty() && self.prepared.contains_key(parse.statement);
                    if parse.sql.starts_with("refused") || taken || draw.once_in(20) {
                        self.prepared.remove("");
                        self.fail(draw, &mut out);
                    } else {
                        self.prepared.insert(parse.statement.to_owned(), parse.sql.to_owned());
                        self.say(message(b'1', &[]), draw, &mut out);
                    }
                }
                Frontend::Bind(bind) => match self.prepared.get(bind.statement).cloned() {
                    // Formats that it does not have, and those that this server's columns have not.
                    _ if bind.result_formats.iter().any(|format| format != 0) => self.fail(draw, &mut out),
                    Some(sql) if bind.portal.is_empty() || !self.portals.contains_key(bind.portal) => {
                        self.portals.insert(bind.portal.to_owned(), sql);
                        self.say(message(b'2', &[]), draw, &mut out);
                    }
                    _ => self.fail(draw, &mut out),
                },
                Frontend::Describe(what) => {
                    let (of, name, is_statement) = match what {
                        Named::Statement(name) => (self.prepared.get(name), name, true),
                        Named::Portal(name) => (self.portals.get(name), name, false),
                    };
                    let Some(sql) = of.cloned().filter(|_| !name.is_empty() || !draw.once_in(30)) else {
                        self.fail(draw, &mut out);
                        continue;
                    };
                    if is_statement {
                        self.say(message(b't', &[0, 0]), draw, &mut out);
                    }
                    let described = self.described(&sql, draw);
                    self.say(described, draw, &mut out);
                }
                Frontend::Execute { portal, rows } => match self.portals.get(portal).cloned() {
                    Some(sql) if self.run(&sql, false, rows, draw, &mut out) => {}
                    Some(_) => self.skipping = true,
                    None => self.fail(draw, &mut out),
                },
                Frontend::Close(what) => {
                    match what {
                        Named::Statement(name) => self.prepared.remove(name),
                        Named::Portal(name) => self.portals.remove(name),
                    };
                    self.say(message(b'3', &[]), draw, &mut out);
                }
                Frontend::Sync => {
                    self.skipping = false;
                    self.ready(draw, &mut out);
                }
                _ => {}
            }
        }
        out
    }

    fn fail(&mut self, draw: &mut Draw, out: &mut BytesMut) {
        self.error(draw, out);
        self.skipping = true;
    }
}

trait Pipe: Sized {
    fn pipe<T>(self, with: impl FnOnce(Self) -> T) -> T {
        with(self)
    }
}

impl<T> Pipe for T {}

/// What a client says: any message, in any order; in bytes, some of which are changed.
fn client_says(draw: &mut Draw) -> BytesMut {
    let (name, other) = (draw.one(&NAMES), draw.one(&NAMES));
    let named = |draw: &mut Draw| if draw.once_in(2) { Named::Portal(name) } else { Named::Statement(name) };
    let mut said = made(|out| match draw.below(16) {
        0..3 => {
            let mut parts: Vec<&str> = (0..=draw.below(3)).map(|_| draw.one(&STATEMENTS)).collect();
            if parts.len() > 1 {
                parts.retain(|part| !part.is_empty());
            }
            wire::put_query(&parts.join(";"), out);
        }
        3..6 => wire::put_parse(name, draw.one(&STATEMENTS), std::iter::empty(), out),
        6..9 => {
            let result_formats = draw.one(&[&[][..], &[0]]);
            let bind = wire::BindMessage { portal: name, statement: other, result_formats, ..Default::default() };
            wire::put_bind(&bind, out);
        }
        9 => wire::put_describe(named(draw), out),
        10..13 => wire::put_execute(name, draw.one(&[0, 0, 1, -1]), out),
        13 => wire::put_close(named(draw), out),
        14 => wire::put_flush(out),
        _ => wire::put_sync(out),
    });
    if draw.once_in(60) {
        let at = draw.below(said.len() as u64) as usize;
        if !(1..5).contains(&at) {
            said[at] ^= 1 << draw.below(8);
        }
    }
    said
}

/// Hands a message to the engine as a session does; tells whether the session goes on.
fn hand_over(engine: &mut Engine, bytes: &[u8]) -> bool {
    let Ok(Some(frame)) = wire::frame(bytes, wire::MAX_CLIENT_BYTES) else { return false };
    let Ok(message) = Frontend::parse(&frame) else { return false };
    match message {
        Frontend::Query("") => engine.query(Vec::new()),
        Frontend::Query(sql) => {
            let treatments = sql.split(';').map(|part| treat(engine, part)).collect();
            engine.query(treatments);
        }
        Frontend::Parse(parse) if parse.sql.contains(';') => return false,
        Frontend::Parse(parse) => engine.parse(&parse, treat(engine, parse.sql)),
        Frontend::Bind(bind) => engine.bind(&bind, frame.bytes),
        Frontend::Describe(what) => engine.describe(what, frame.bytes),
        Frontend::Execute { portal, .. } => engine.execute(portal, frame.bytes),
        Frontend::Close(what) => engine.close(what, frame.bytes),
        Frontend::Flush => engine.flush(),
        Frontend::Sync => engine.sync(),
        _ => return false,
    }
    true
}

/// Looks at what may leave, with the entry that covers it; returns how many rows of people that were.
fn look(record: Option<&Record>, bytes: &[u8], of: &str) -> usize {
    let mut covered = BTreeMap::<Vec<u8>, usize>::new();
    if let Some(Record::Answered { subjects, .. }) = record {
        for (_, subject) in subjects.iter() {
            *covered.entry(subject.to_vec()).or_default() += 1;
        }
    }
    let (mut at, mut n_rows) = (0, 0);
    while at < bytes.len() {
        let frame = wire::frame(&bytes[at..], wire::MAX_SERVER_BYTES).expect("messages").expect("whole messages leave");
        at += frame.len();
        let value = match Backend::parse(&frame) {
            Ok(Backend::DataRow(row)) => row.columns().next().flatten().map(<[u8]>::to_vec),
            Ok(Backend::CopyData(line)) => Some(line.to_vec()),
            _ => {
                let text = String::from_utf8_lossy(frame.bytes);
                assert!(!text.contains(MARK), "a value left in a message of type {}: {of}", char::from(frame.tag));
                continue;
            }
        };
        let Some(rest) = value.as_deref().and_then(|value| value.strip_prefix(MARK.as_bytes())) else { continue };
        let id: Vec<u8> = rest.iter().copied().take_while(u8::is_ascii_digit).collect();
        let left = covered.get_mut(&id).filter(|left| **left > 0);
        let left = left.unwrap_or_else(|| panic!("a row of {} left without its entry: {of}", id.escape_ascii()));
        *left -= 1;
        assert_ne!(id, STOPPED.to_string().into_bytes(), "who is stopped left: {of}");
        n_rows += 1;
    }
    n_rows
}

/// Takes what may leave, as a session does, and looks at it.
fn take(engine: &mut Engine, of: &str) -> usize {
    let guards = engine.take_guards();
    let mut bytes = engine.take_covered();
    let (mut gone, mut n_rows, mut before) = (0, 0, None);
    for Guard { at, record } in guards {
        let part = bytes.split_to(at - gone);
        gone = at;
        n_rows += look(before.as_ref(), &part, of);
        before = Some(record);
    }
    n_rows + look(before.as_ref(), &bytes, of)
}

#[test]
fn no_message_makes_the_session_panic_or_lets_a_row_out_without_its_entry() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let n_cases = number("VIGIE_ENGINE_CASES").unwrap_or(2_000);
    let seed = number("VIGIE_ENGINE_SEED").unwrap_or(14_093_233_601_055_134_629);
    eprintln!("VIGIE_ENGINE_SEED={seed}");
    let stops = StopSet::new(Duration::from_secs(3600), Duration::from_secs(60));
    let everything = u64::MAX >> 1;
    stops.replace(0, &[(STOPPED.to_string().into_bytes(), everything)], 1, Instant::now());
    let (mut n_rows, mut n_ended, mut n_refused) = (0, 0, 0);
    for case in 0..n_cases {
        let of = format!("case {case} of seed {seed}");
        let mut draw = Draw(seed.wrapping_add(case));
        let metrics = Metrics::default();
        let mut engine = Engine::new(view());
        let mut server = Server { lies: case % 2 == 0, ..Server::default() };
        let (mut answers, mut n_intents) = (BytesMut::new(), 0);
        'conversation: for _ in 0..40 {
            engine.note_stops(stops.seq());
            for _ in 0..=draw.below(6) {
                if !hand_over(&mut engine, &client_says(&mut draw)) {
                    break 'conversation;
                }
            }
            // What is changed is logged before the server hears of it.
            n_intents += engine.take_intents().len();
            let sent = engine.to_server.split();
            answers.extend_from_slice(&server.hear(&sent, &mut draw));
            assert!(n_intents >= server.n_writes, "the server was told to write what was not logged: {of}");
            let stopped = stops.read();
            let batch = Stops { stopped: &stopped, fresh: stops.is_fresh() };
            let mut left = 1 + draw.below(20);
            while let Ok(Some(frame)) = wire::frame(&answers, wire::MAX_SERVER_BYTES) {
                let length = frame.len();
                let outcome = engine.server_said(&Frame { tag: frame.tag, bytes: frame.bytes }, &batch, &metrics);
                answers.advance(length);
                if let Err(error) = outcome {
                    // A name that was used before it was known what it means ends the session, whoever is right.
                    let is_meaning = matches!(error, Fatal::Meaning | Fatal::Mismatch(_))
                        || error.to_string().contains("a row that was not described");
                    assert!(server.lies || is_meaning, "the server kept to the protocol: {error}: {of}");
                    n_rows += take(&mut engine, &of);
                    n_ended += 1;
                    break 'conversation;
                }
                left -= 1;
                if left == 0 {
                    n_rows += take(&mut engine, &of);
                    left = 1 + draw.below(20);
                }
            }
            n_rows += take(&mut engine, &of);
            for effect in engine.take_effects() {
                assert_eq!(effect, Effect::None, "{of}");
            }
        }
        n_refused += metrics.denied.value();
    }
    eprintln!("{n_cases} conversations, {n_rows} rows of people, {n_refused} denials, {n_ended} sessions ended");
    assert!(n_rows > n_cases as usize / 2 && n_refused > 0 && n_ended > 0);
}
