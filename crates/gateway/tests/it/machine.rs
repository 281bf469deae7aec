//! Random conversations: messages of both protocols in any order, with few names for portals, cursors and statements, so that
//! they collide; errors and denials in between; several sequences in one flight. The server itself is the model: what it says
//! to the same messages is what the gateway says, and rows of people come exactly as often as they are accounted for.
//!
//! `VIGIE_MACHINE_CASES` is how many conversations (60 by default), `VIGIE_MACHINE_SEED` repeats a run.

use crate::{
    raw::{Came, Raw},
    stage::{Stage, runtime, server},
};
use std::time::Duration;
use vigie_gateway::wire::{self, Named};

const STATEMENTS: [&str; 26] = [
    "SELECT display_name FROM users WHERE id IN (2, 3, 4)",
    "SELECT display_name, display_name FROM users WHERE id IN (5, 6)",
    "SELECT u.display_name, o.display_name FROM users u JOIN users o ON o.id = u.id WHERE u.id = 7",
    "SELECT display_name FROM users WHERE id = -1",
    "SELECT 'a'",
    "SELECT 'a', 'b'",
    "SELECT 'a', 'b', 'a'",
    "SELECT nothing FROM users",
    "SELECT 1 / (id - id) FROM users",
    "SELEC",
    "",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT s",
    "ROLLBACK TO s",
    "DECLARE n0 CURSOR FOR SELECT display_name FROM users WHERE id IN (2, 3, 4)",
    "DECLARE n0 CURSOR FOR SELECT 'a', 'b'",
    "FETCH 2 FROM n0",
    "FETCH ALL FROM n1",
    "CLOSE n0",
    "PREPARE n0 AS SELECT display_name FROM users WHERE id IN (8, 9)",
    "PREPARE n0 AS SELECT 'a', 'b'",
    "EXECUTE n0",
    "DEALLOCATE n0",
    "COPY (SELECT display_name FROM users WHERE id IN (10, 11)) TO STDOUT",
];
/// What the gateway denies, so that the server's answer is no model.
const DENIED: [&str; 4] =
    ["SELECT DISTINCT country FROM users", "SET search_path = public", "SELECT pg_sleep(1)", "LISTEN x"];
const NAMES: [&str; 3] = ["", "n0", "n1"];

/// Steps of SplitMix64.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

#[derive(Debug, Clone)]
enum Said {
    Query(&'static str),
    Parse(&'static str, &'static str),
    Bind(&'static str, &'static str),
    Describe(bool, &'static str),
    Execute(&'static str, i32),
    Close(bool, &'static str),
    Sync,
}

/// Draws what is said in one flight: whole sequences, each with one `ReadyForQuery`.
fn flight(draw: &mut Draw, denials: bool) -> Vec<Said> {
    let mut said = Vec::new();
    for _ in 0..=draw.below(3) {
        let statement = |draw: &mut Draw| {
            if denials && draw.below(6) == 0 { draw.one(&DENIED) } else { draw.one(&STATEMENTS) }
        };
        if draw.below(3) == 0 {
            said.push(Said::Query(statement(draw)));
            continue;
        }
        for _ in 0..=draw.below(6) {
            let (name, other) = (draw.one(&NAMES), draw.one(&NAMES));
            said.push(match draw.below(12) {
                0..4 => Said::Parse(name, statement(draw)),
                4..7 => Said::Bind(name, other),
                7 => Said::Describe(draw.below(2) == 0, name),
                8..11 => Said::Execute(name, draw.one(&[0, 0, 1, 2])),
                _ => Said::Close(draw.below(2) == 0, name),
            });
        }
        said.push(Said::Sync);
    }
    said
}

async fn say(raw: &mut Raw, flight: &[Said]) -> Came {
    let named = |is_portal: bool, name| if is_portal { Named::Portal(name) } else { Named::Statement(name) };
    let mut n_ready = 0;
    for said in flight {
        match said {
            Said::Query(sql) => wire::put_query(sql, &mut raw.out),
            Said::Parse(name, sql) => drop(raw.parse(name, sql)),
            Said::Bind(portal, statement) => drop(raw.bind(portal, statement)),
            Said::Describe(is_portal, name) => wire::put_describe(named(*is_portal, name), &mut raw.out),
            Said::Execute(portal, rows) => drop(raw.execute(portal, *rows)),
            Said::Close(is_portal, name) => wire::put_close(named(*is_portal, name), &mut raw.out),
            Said::Sync => wire::put_sync(&mut raw.out),
        }
        n_ready += usize::from(matches!(said, Said::Query(_) | Said::Sync));
    }
    tokio::time::timeout(Duration::from_secs(60), raw.ready(n_ready)).await.unwrap_or_else(|_| panic!("no answer: {flight:?}"))
}

#[test]
fn whatever_is_said_is_answered_as_the_server_would_and_accounted_for() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let n_cases = number("VIGIE_MACHINE_CASES").unwrap_or(60);
    let seed = number("VIGIE_MACHINE_SEED").unwrap_or_else(|| {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).expect("there are random numbers");
        u64::from_le_bytes(bytes)
    });
    eprintln!("VIGIE_MACHINE_SEED={seed}");
    let stage = Stage::with(150, |_| {});
    stage.raw("CREATE SCHEMA model; CREATE VIEW model.users AS SELECT id, display_name, country FROM public.users WHERE pmask & 1 <> 0");
    let (mut n_rows, mut n_ended, mut n_alike) = (0, 0, 0);
    runtime().block_on(async {
        for case in 0..n_cases {
            let mut draw = Draw(seed.wrapping_add(case));
            let denials = case % 3 == 0;
            let mut through = Raw::connect(&stage, "jeanne@pixelle.example", "service-provision").await;
            let mut direct = Raw::direct(server().port(), &stage.database, "model").await;
            let mut alike = !denials;
            let mut history = Vec::new();
            for _ in 0..12 {
                let flight = flight(&mut draw, denials);
                history.push(flight.clone());
                let before = stage.gateway.metrics.rows.value();
                let came = say(&mut through, &flight).await;
                let accounted = stage.gateway.metrics.rows.value() - before;
                let nobody = |value: &Option<Vec<u8>>| matches!(value.as_deref(), Some(b"a" | b"b" | b"1"));
                let of_people = came.rows.iter().filter(|row| !row.iter().all(nobody)).count() + came.copied.len();
                let of = format!("case {case} of seed {seed}: {history:#?}\n{came:?}");
                n_rows += of_people;
                if came.ended {
                    assert_eq!(came.errors.last().map(String::as_str), Some("42501"), "{of}");
                    assert!(accounted >= of_people as u64, "{accounted} accounted for: {of}");
                    n_ended += 1;
                    break;
                }
                assert_eq!(accounted, of_people as u64, "rows of people came otherwise than they are accounted for: {of}");
                if alike {
                    let model = say(&mut direct, &flight).await;
                    // A FETCH or EXECUTE whose name was given anew is denied, and what follows is another story.
                    alike = model.errors.len() == came.errors.len();
                    if alike {
                        assert_eq!(came.tags, model.tags, "{of}\n{model:?}");
                        assert_eq!(came.rows, model.rows, "{of}\n{model:?}");
                        assert_eq!(came.completed, model.completed, "{of}\n{model:?}");
                        n_alike += 1;
                    }
                }
            }
        }
    });
    eprintln!("{n_cases} conversations, {n_alike} flights answered alike, {n_rows} rows of people, {n_ended} sessions ended");
    assert!(n_alike > 0 && n_rows > 0);
}
