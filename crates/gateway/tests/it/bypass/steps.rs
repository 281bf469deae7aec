//! Steps that SQL cannot say: messages of the protocol in unusual orders, first messages that are wrong, cancels.
//!
//! Each is a name in the files of the list. What is sent where no session is open yet makes its own connection.

use crate::{
    clients::Endpoint,
    wire::{Message, Scram, VERSION_3, Wire, framed, startup, text},
};
use std::io;
use vigie_testkit::platform_database::{HIDDEN, SHOWN};

/// Protocol 3.2, of PostgreSQL 18.
const VERSION_3_2: u32 = VERSION_3 + 2;

/// The number of `query_to_xml` in every PostgreSQL (`pg_proc.dat`).
const QUERY_TO_XML: u32 = 2924;

/// Runs for about a second on a small machine, and needs no right but that of public reference data.
const A_SECOND: &str = "SELECT a.code FROM countries a, countries b, countries c, countries d, countries e \
    WHERE a.code < 'BF' AND length(a.name) + length(b.name) + length(c.name) + length(d.name) + length(e.name) = 0";

/// Never ends by itself.
const ENDLESS: &str = "SELECT a.code FROM countries a, countries b, countries c, countries d, countries e, countries f, countries g \
    WHERE length(a.name) + length(b.name) + length(c.name) + length(d.name) + length(e.name) + length(f.name) \
    + length(g.name) = 0";

/// What came of a step with a connection of its own.
pub(super) struct Outcome {
    pub(super) heard: Vec<Message>,
    /// Whether the server became ready for queries.
    pub(super) let_in: bool,
}

/// Whether a step makes its own connection.
pub(super) fn opens_its_own(protocol: &str) -> bool {
    !WITHIN.iter().any(|(name, _)| *name == protocol)
}

type Within = fn(&mut Wire, &Endpoint) -> Vec<Message>;

const WITHIN: [(&str, Within); 8] = [
    ("function-call-of-query-to-xml", function_call),
    ("portal-in-parts", portal_in_parts),
    ("pipeline-with-a-refusal-inside", pipeline),
    ("binary", binary),
    ("cancel-by-a-stranger-who-knows-the-key", cancel_with_key),
    ("cancel-by-strangers-who-guess", cancel_by_guess),
    ("statement-of-a-megabyte", large_statement),
    ("deep-nesting", deep_nesting),
];

/// Does a step in an open session, and returns what was heard.
pub(super) fn within(protocol: &str, wire: &mut Wire, endpoint: &Endpoint) -> Vec<Message> {
    let (_, step) = WITHIN.iter().find(|(name, _)| *name == protocol).expect("it was looked up before");
    step(wire, endpoint)
}

/// Does a step with a connection of its own.
pub(super) fn on_its_own(protocol: &str, endpoint: &Endpoint) -> Outcome {
    let encrypted = |before: &[u8]| Wire::encrypted(endpoint, before);
    let first = startup(endpoint, &[]);
    let scram = |how: Scram| {
        let mut wire = encrypted(b"")?;
        let done = wire.write(&first).and_then(|()| wire.authenticate(endpoint, how));
        Ok((wire, done.is_ok()))
    };
    let raw = |bytes: &[u8]| {
        let mut wire = encrypted(b"")?;
        let done = wire.write(bytes).and_then(|()| wire.authenticate(endpoint, Scram::Bound));
        Ok((wire, done.is_ok()))
    };
    let tried: io::Result<(Wire, bool)> = match protocol {
        "second-startup-during-scram" => scram(Scram::WithSecondStartup),
        "proof-of-nothing" => scram(Scram::WithoutProof),
        "plain-scram-over-a-channel-that-could-be-bound" => scram(Scram::SayingNoneWasOffered),
        "huge-length" => raw(&[&0x7fff_ffffu32.to_be_bytes()[..], &VERSION_3.to_be_bytes(), &first[8..]].concat()),
        "negative-length" => raw(&[&0xffff_ffffu32.to_be_bytes()[..], &VERSION_3.to_be_bytes(), &first[8..]].concat()),
        // A man in the middle would put the first message of his own before the client's.
        "bytes-before-tls" => encrypted(&first).map(|mut wire| {
            let done = wire.authenticate(endpoint, Scram::Bound);
            (wire, done.is_ok())
        }),
        "without-tls" => Wire::plain(endpoint).map(|mut wire| {
            let done = wire.write(&first).and_then(|()| wire.authenticate(endpoint, Scram::SayingNoneWasOffered));
            (wire, done.is_ok())
        }),
        // A secret of 32 bits can be guessed; from protocol 3.2 on it may be longer.
        "long-secret-in-protocol-3-2" => {
            let newer = [&first[..4], &VERSION_3_2.to_be_bytes(), &first[8..]].concat();
            raw(&newer).map(|(wire, ready)| {
                let is_long = wire.key.1.len() >= 16;
                (wire, ready && is_long)
            })
        }
        other => panic!("no step is called `{other}`"),
    };
    match tried {
        Ok((wire, let_in)) => Outcome { heard: wire.heard, let_in },
        Err(_) => Outcome { heard: Vec::new(), let_in: false },
    }
}

fn function_call(wire: &mut Wire, _: &Endpoint) -> Vec<Message> {
    let sql = format!("SELECT * FROM public.users WHERE id = {}", SHOWN.id);
    let mut body = QUERY_TO_XML.to_be_bytes().to_vec();
    body.extend_from_slice(&[0, 0, 0, 4]);
    for argument in [sql.as_str(), "f", "f", ""] {
        body.extend_from_slice(&(argument.len() as u32).to_be_bytes());
        body.extend_from_slice(argument.as_bytes());
    }
    body.extend_from_slice(&[0, 0]);
    wire.ask(&framed(b'F', &body))
}

fn parse(name: &str, sql: &str) -> Vec<u8> {
    framed(b'P', &[text(name), text(sql), vec![0, 0]].concat())
}

/// Binds without parameters; results in text, or all in binary.
fn bind(portal: &str, statement: &str, format: u8) -> Vec<u8> {
    framed(b'B', &[text(portal), text(statement), vec![0, 0, 0, 0, 0, 1, 0, format]].concat())
}

fn execute(portal: &str, rows: u32) -> Vec<u8> {
    framed(b'E', &[text(portal), rows.to_be_bytes().to_vec()].concat())
}

fn sync() -> Vec<u8> {
    framed(b'S', b"")
}

fn both_planted() -> String {
    format!("SELECT id, display_name FROM users WHERE id IN ({}, {}) ORDER BY id DESC", HIDDEN.id, SHOWN.id)
}

/// One row, then one more, then the rest, of one portal.
fn portal_in_parts(wire: &mut Wire, _: &Endpoint) -> Vec<Message> {
    let part = execute("p", 1);
    wire.ask(&[parse("", &both_planted()), bind("p", "", 0), part.clone(), part, execute("p", 0), sync()].concat())
}

/// What comes after a refusal and before Sync is skipped; what comes after Sync is not.
fn pipeline(wire: &mut Wire, _: &Endpoint) -> Vec<Message> {
    let good = [parse("", &both_planted()), bind("", "", 0), execute("", 0)].concat();
    let bad = [parse("", "SELECT nothing FROM countries"), bind("", "", 0), execute("", 0)].concat();
    let mut heard = wire.ask(&[good.clone(), bad, good, sync()].concat());
    let n_rows = heard.iter().filter(|message| message.kind == b'D').count();
    heard.extend(wire.query("SELECT code FROM countries WHERE code = 'FR'"));
    // The rows of what was skipped would be here.
    if n_rows > 2 {
        heard.retain(|message| message.kind != b'Z');
    }
    heard
}

fn binary(wire: &mut Wire, _: &Endpoint) -> Vec<Message> {
    wire.ask(&[parse("", &both_planted()), bind("", "", 1), execute("", 0), sync()].concat())
}

fn cancel_request(endpoint: &Endpoint, process: u32, secret: &[u8]) {
    let Ok(mut wire) = Wire::encrypted(endpoint, b"") else { return };
    let length = 12 + secret.len() as u32;
    let request = [&length.to_be_bytes()[..], &80_877_102u32.to_be_bytes(), &process.to_be_bytes(), secret].concat();
    // Nothing is answered; the end of the connection says that it was read.
    if wire.write(&request).is_ok() {
        let _ = wire.next();
    }
}

/// Cancels the session's statement from another connection that never said who it is.
fn cancel_with_key(wire: &mut Wire, endpoint: &Endpoint) -> Vec<Message> {
    let (process, secret) = wire.key.clone();
    std::thread::scope(|scope| {
        let (over, ended) = std::sync::mpsc::channel::<()>();
        // Repeated: a cancel that comes before its query is lost.
        scope.spawn(move || {
            while ended.recv_timeout(std::time::Duration::from_millis(200)).is_err() {
                cancel_request(endpoint, process, &secret);
            }
        });
        let heard = wire.query(ENDLESS);
        over.send(()).expect("the other end waits for this");
        heard
    })
}

/// Requests with the right process and wrong secrets, and the other way round, while a statement runs.
fn cancel_by_guess(wire: &mut Wire, endpoint: &Endpoint) -> Vec<Message> {
    let (process, secret) = wire.key.clone();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for guess in 1..=20u8 {
                let mut wrong = secret.clone();
                wrong[usize::from(guess) % secret.len()] ^= guess;
                cancel_request(endpoint, process, &wrong);
            }
            cancel_request(endpoint, process.wrapping_add(1), &secret);
        });
        wire.query(A_SECOND)
    })
}

fn large_statement(wire: &mut Wire, _: &Endpoint) -> Vec<Message> {
    wire.query(&format!("SELECT code FROM countries WHERE code = '{}'", "x".repeat(1 << 20)))
}

fn deep_nesting(wire: &mut Wire, _: &Endpoint) -> Vec<Message> {
    wire.query(&format!("SELECT code FROM countries WHERE {}true{}", "(".repeat(30_000), ")".repeat(30_000)))
}
