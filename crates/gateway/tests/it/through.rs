//! The same clients, and the same ways around, at a gateway with a whole deployment behind it.
//!
//! What clients see differently than directly is a snapshot, so that every difference was looked at by somebody; of the ways
//! around, none may be open.

use crate::{
    bypass::{self, World},
    clients::{self, Endpoint, Seen},
    stage::{PASSWORD, Stage, runtime},
};
use serde_json::Value;
use std::{fs, sync::Mutex};
use vigie_gateway::config::Tls;
use vigie_testkit::{
    certificates::TestAuthority,
    platform_database::{HIDDEN, SHOWN},
};

/// Who reads: of the fraud team, in the Union, trained, without a ticket.
const READER: &str = "aoife@pixelle.example";
const PURPOSE: &str = "fraud-prevention";

/// A deployment whose gateway speaks TLS, and where the planted person who refuses everything did so.
fn behind_tls(people: u32) -> (Stage, Endpoint) {
    let authority = TestAuthority::new();
    let identity = authority.issue(&["localhost", "127.0.0.1"]);
    let stage = Stage::with(people, |config| {
        let folder = config.policy.map.parent().expect("it is in the folder of the gateway").to_owned();
        let (certificate, key) = (folder.join("gateway.crt"), folder.join("gateway.key"));
        fs::write(&certificate, &identity.certificate).unwrap();
        fs::write(&key, &identity.key).unwrap();
        fs::write(folder.join("authority.pem"), authority.pem()).unwrap();
        config.tls = Some(Tls { certificate, key, client_ca: None, client_certificates_required: false });
    });
    let endpoint = Endpoint {
        host: "127.0.0.1".to_owned(),
        port: stage.port,
        user: READER.to_owned(),
        password: PASSWORD.to_owned(),
        database: stage.database.clone(),
        authority: stage.folder.path().join("authority.pem"),
        purpose: PURPOSE.to_owned(),
    };
    stage.raw(&format!(
        "SELECT vigie.record({}, '{PURPOSE}', '', 'refused', now() - interval '1 minute', 'letter', 'notice-1', NULL, 'en')",
        HIDDEN.id
    ));
    (stage, endpoint)
}

/// What surrounds the gateway of a deployment.
struct Around<'a> {
    stage: &'a Stage,
    /// How many accesses the planted person was told of before.
    told: Mutex<usize>,
}

impl World for Around<'_> {
    fn superuser(&self, sql: &str) {
        self.stage.raw(sql);
    }

    fn stop(&self, subject: i64) {
        self.stage.raw(&format!("SELECT vigie.stop({subject}, NULL, 'an authority', 'order 1', 'a test')"));
        let seq: i64 = self.stage.raw("SELECT max(seq) FROM vigie.stop_change").trim().parse().unwrap();
        let stops = self.stage.gateway.stops.clone();
        runtime().block_on(async {
            while stops.seq() < seq {
                tokio::task::yield_now().await;
            }
        });
    }

    fn resume(&self, subject: i64) {
        self.stage.raw(&format!(
            "SELECT vigie.lift(id, 'an authority') FROM vigie.stop_order WHERE subject = {subject} AND lifted_at IS NULL"
        ));
    }

    fn accounted(&self) -> Option<Vec<i64>> {
        let subject = SHOWN.id.to_string();
        let report = self.stage.gateway.account.access_report(subject.as_bytes());
        let n_lines = runtime().block_on(report).expect("the account can be read").len();
        let before = std::mem::replace(&mut *self.told.lock().unwrap(), n_lines);
        Some(if n_lines > before { vec![SHOWN.id] } else { Vec::new() })
    }
}

#[test]
fn no_way_leads_around_the_gateway() {
    let (stage, endpoint) = behind_tls(bypass::PEOPLE);
    let around = Around { stage: &stage, told: Mutex::new(0) };
    let open = bypass::holds_through(&endpoint, &around);
    assert!(open.is_empty(), "{} steps were not as they should be:\n{}", open.len(), open.join("\n"));
}

#[test]
fn every_client_works_through_the_gateway_and_each_difference_is_known() {
    let (stage, endpoint) = behind_tls(clients::PEOPLE);
    let through = clients::run_all(&endpoint);
    // Roles and schemas are named after the database, which each run has its own of.
    let name = stage.database.replace('_', "-");
    drop(stage);
    let direct = clients::direct_outcomes();
    let mut ended = Vec::new();
    for of_client in through.chunk_by(|one, other| one.client == other.client) {
        let client = of_client[0].client;
        let mut differing = Vec::new();
        for direct in direct.iter().filter(|outcome| outcome.client == client) {
            let found = of_client.iter().find(|outcome| outcome.step == direct.step);
            match found.map(|outcome| &outcome.seen) {
                Some(seen) if *seen == direct.seen => {}
                Some(Seen::Error(error)) if LOST.contains(&error.as_str()) => {
                    ended.push((client, direct.step.as_str()));
                    break;
                }
                Some(seen) => {
                    let (seen, directly) = (shown(seen), shown(&direct.seen));
                    differing.push(format!("{}: {seen}\n    (directly: {directly})\n", direct.step));
                }
                None => differing.push(format!("{}: not reached\n", direct.step)),
            }
        }
        let differing = without_hashes(&differing.concat().replace(&name, "pixelle"));
        insta::assert_snapshot!(format!("gateway-{client}"), differing);
    }
    assert_eq!(ended, ENDS, "sessions that the gateway ended: the list only shrinks");
}

/// Masks what the names of roles end in: a hash of their rights, which changes with every column of the map.
fn without_hashes(text: &str) -> String {
    let is_hash =
        |tail: &str| tail.len() >= 9 && tail.as_bytes()[1..9].iter().all(|byte| b"0123456789abcdef".contains(byte));
    let mut masked = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('_') {
        let (before, tail) = rest.split_at(at);
        masked.push_str(before);
        let hash = is_hash(tail) && before.contains(|c: char| c == '_' || c.is_ascii_lowercase());
        masked.push_str(if hash { "_01234567" } else { "_" });
        rest = &tail[if hash { 9 } else { 1 }..];
    }
    masked + rest
}

/// How clients name a session that was ended under them.
const LOST: [&str; 4] = ["57P01", "08003", "OperationalError", "connection closed"];

/// Steps at which the gateway still ends the session of a client that did nothing wrong, so that what comes after is unseen.
const ENDS: [(&str, &str); 0] = [];

/// A value in one line, in which neither the width of a table nor the numbers in a name matter.
fn shown(seen: &Seen) -> String {
    let squeezed = |text: &str| {
        let words = text.split_whitespace().filter(|word| !word.chars().all(|c| "-+".contains(c)));
        words.collect::<Vec<_>>().join(" ")
    };
    match seen {
        Seen::Value(Value::String(text)) => squeezed(text),
        Seen::Value(value) => value.to_string(),
        Seen::Error(sqlstate) => format!("ERROR {sqlstate}"),
    }
}
