//! People who must not leave any more, although the server still returns them: open portals, old snapshots, long results,
//! and a gateway that does not hear of stops.

use crate::{
    raw::Raw,
    stage::{Stage, runtime},
};
use vigie_gateway::wire::{Backend, Frame};

const READER: &str = "jeanne@pixelle.example";
const PURPOSE: &str = "service-provision";

async fn heard(stage: &Stage) {
    let seq: i64 = stage.raw("SELECT max(seq) FROM vigie.stop_change").trim().parse().expect("a number");
    while stage.gateway.stops.seq() < seq {
        tokio::task::yield_now().await;
    }
}

async fn stop(stage: &Stage, person: i64) {
    stage.raw(&format!("SELECT vigie.stop({person}, NULL, 'an authority', 'order 1', 'a test')"));
    heard(stage).await;
}

async fn lift(stage: &Stage, person: i64) {
    let orders = format!("FROM vigie.stop_order WHERE subject = {person} AND lifted_at IS NULL");
    stage.raw(&format!("SELECT vigie.lift(id, 'an authority') {orders}"));
    heard(stage).await;
}

fn ids(came: &crate::raw::Came) -> Vec<String> {
    came.texts().into_iter().filter_map(|row| row.into_iter().next().flatten()).collect()
}

#[test]
fn a_snapshot_that_is_older_than_a_stop_shows_nobody_who_was_stopped_or_released_meanwhile() {
    let stage = Stage::with(150, |_| {});
    runtime().block_on(async {
        let sql = "SELECT id FROM users WHERE id IN (4, 5, 6) ORDER BY id";
        for begin in ["BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN"] {
            let mut raw = Raw::connect(&stage, READER, PURPOSE).await;
            raw.query(begin).await;
            assert_eq!(ids(&raw.query(sql).await), ["4", "5", "6"]);
            stop(&stage, 5).await;
            assert_eq!(ids(&raw.query(sql).await), ["4", "6"], "{begin}");
            lift(&stage, 5).await;
            // The rows of this transaction may be older than the choice that ended the stop.
            assert_eq!(ids(&raw.query(sql).await), ["4", "6"], "{begin}");
            raw.query("COMMIT").await;
            assert_eq!(ids(&raw.query(sql).await), ["4", "5", "6"], "{begin}");
        }
    });
}

#[test]
fn a_portal_that_is_open_shows_nobody_who_was_stopped_meanwhile() {
    let stage = Stage::with(150, |_| {});
    runtime().block_on(async {
        let mut raw = Raw::connect(&stage, READER, PURPOSE).await;
        raw.query("BEGIN").await;
        raw.parse("", "SELECT id FROM users WHERE id IN (4, 5, 6, 7) ORDER BY id").bind("p", "").execute("p", 1);
        let came = raw.sync().await;
        assert_eq!((ids(&came), came.tags.as_str()), (vec!["4".to_owned()], "12DsZ"));
        stop(&stage, 5).await;
        raw.execute("p", 2);
        assert_eq!(ids(&raw.sync().await), ["6"]);
        stop(&stage, 7).await;
        lift(&stage, 7).await;
        // Whoever was released while the portal was open stays out of it.
        raw.execute("p", 0);
        assert_eq!(ids(&raw.sync().await), [""; 0]);
        lift(&stage, 5).await;
    });
}

#[test]
fn a_stop_holds_in_the_middle_of_a_long_result() {
    let stage = Stage::with(150, |_| {});
    let last = stage.raw("SELECT subject FROM events ORDER BY id DESC LIMIT 1").trim().to_owned();
    let n_events: usize = stage.raw("SELECT count(*) FROM events WHERE pmask & 1 <> 0").trim().parse().expect("a number");
    runtime().block_on(async {
        let mut raw = Raw::connect(&stage, READER, PURPOSE).await;
        // Far more than the gateway, the server and the system keep on the way.
        let sql = "SELECT e.subject, repeat('x', 100000) FROM events e ORDER BY e.id";
        vigie_gateway::wire::put_query(sql, &mut raw.out);
        raw.send().await;
        let mut people = Vec::new();
        while let Some(message) = raw.message().await {
            match Backend::parse(&Frame { tag: message[0], bytes: &message }).expect("a message") {
                Backend::DataRow(row) => {
                    people.push(String::from_utf8_lossy(row.column(0).flatten().expect("an id")).into_owned());
                    if people.len() == 1 {
                        stop(&stage, last.parse().expect("an id")).await;
                    }
                }
                Backend::ReadyForQuery(_) => break,
                _ => {}
            }
        }
        assert!(people.len() < n_events && people.len() > n_events / 2, "{} of {n_events} rows came", people.len());
        assert_ne!(people.last(), Some(&last), "a person came who was stopped long before");
    });
}

#[test]
fn nothing_leaves_while_stops_are_not_heard_of_and_all_is_well_again_afterwards() {
    let stage = Stage::with(150, |config| config.limits.stop_set_seconds = 2);
    let control = format!("vigie_{}_control", stage.database.replace('_', "-"));
    runtime().block_on(async {
        let mut raw = Raw::connect(&stage, READER, PURPOSE).await;
        let sql = "SELECT id FROM users WHERE id IN (4, 5, 6)";
        assert_eq!(raw.query(sql).await.rows.len(), 3);
        stage.raw(&format!("ALTER ROLE \"{control}\" NOLOGIN"));
        stage.raw(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{control}'"));
        while stage.gateway.stops.is_fresh() {
            tokio::task::yield_now().await;
        }
        let came = raw.query(sql).await;
        assert_eq!((came.rows.len(), came.errors.as_slice()), (0, ["57P03".to_owned()].as_slice()), "{came:?}");
        stage.raw(&format!("ALTER ROLE \"{control}\" LOGIN"));
        while !stage.gateway.stops.is_fresh() {
            tokio::task::yield_now().await;
        }
        let mut raw = Raw::connect(&stage, READER, PURPOSE).await;
        assert_eq!(raw.query(sql).await.rows.len(), 3);
    });
}
