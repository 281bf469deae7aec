//! What happens when something is missing or too much: no row leaves that cannot be logged, and bounds hold.

use crate::{
    raw::Raw,
    stage::{Stage, runtime},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use vigie_gateway::wire;

const READER: &str = "jeanne@pixelle.example";
const PURPOSE: &str = "service-provision";
const PEOPLE: &str = "SELECT id, display_name FROM users WHERE id IN (2, 3, 4)";

/// Asks in every way, and expects that nothing leaves.
async fn nothing_leaves(stage: &Stage) {
    for way in 0..4 {
        let before = stage.gateway.metrics.not_logged.value();
        let mut raw = Raw::connect(stage, READER, PURPOSE).await;
        let came = match way {
            0 => raw.query(PEOPLE).await,
            1 => raw.run(PEOPLE).sync().await,
            2 => raw.query(&format!("COPY ({PEOPLE}) TO STDOUT")).await,
            // Figures, and that there are none, say something, too.
            _ => raw.query("SELECT country, count(*) FROM users GROUP BY country").await,
        };
        assert_eq!((came.rows.len(), came.copied.len()), (0, 0), "{came:?}");
        assert_eq!(came.errors, ["58030"], "{came:?}");
        assert!(came.ended);
        assert_eq!(stage.gateway.metrics.not_logged.value(), before + 1);
    }
    // What is about nobody needs no entry.
    let mut raw = Raw::connect(stage, READER, PURPOSE).await;
    assert_eq!(raw.query("SELECT 1").await.rows.len(), 1);
}

#[test]
fn nothing_leaves_without_a_vault() {
    let stage = Stage::with(150, |_| {});
    stage.gateway.account.vault().close().expect("it was open");
    runtime().block_on(nothing_leaves(&stage));
}

#[test]
fn nothing_leaves_without_a_ledger() {
    let stage = Stage::with(150, |_| {});
    stage.gateway.log().expect("it is here").finish().expect("it was open");
    runtime().block_on(nothing_leaves(&stage));
}

#[test]
fn nothing_leaves_when_the_ledger_elsewhere_does_not_answer() {
    // A port that was free a moment ago: nobody answers there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
    let stage = Stage::with(150, |config| {
        config.ledger.folder = None;
        config.ledger.url = Some(format!("http://127.0.0.1:{port}"));
    });
    runtime().block_on(async {
        let mut raw = Raw::connect(&stage, READER, PURPOSE).await;
        let came = raw.query(PEOPLE).await;
        assert_eq!((came.rows.len(), came.errors.as_slice()), (0, ["58030".to_owned()].as_slice()), "{came:?}");
    });
}

#[test]
fn a_result_beyond_the_most_rows_ends_the_session_with_words() {
    let stage = Stage::with(150, |config| config.limits.max_rows = 10);
    runtime().block_on(async {
        let mut raw = Raw::connect(&stage, READER, PURPOSE).await;
        assert_eq!(raw.query("SELECT id FROM users ORDER BY id LIMIT 10").await.rows.len(), 10);
        let came = raw.query("SELECT id FROM users").await;
        assert_eq!((came.rows.len(), came.errors.as_slice()), (0, ["54000".to_owned()].as_slice()), "{came:?}");
        assert!(came.ended);
    });
}

#[test]
fn a_thousand_statements_in_one_flight_are_answered_in_order() {
    let stage = Stage::with(150, |_| {});
    runtime().block_on(async {
        let mut raw = Raw::connect(&stage, READER, PURPOSE).await;
        let before = stage.gateway.metrics.rows.value();
        raw.parse("s", PEOPLE);
        for at in 0..1000 {
            match at % 10 {
                3 => raw.run("SELECT nothing FROM nowhere"),
                7 => raw.run(&format!("SELECT {at}")),
                _ => raw.bind("", "s").execute("", 0),
            };
            wire::put_sync(&mut raw.out);
        }
        // Written and read at once, as a driver does.
        let came = raw.ready(1000).await;
        assert_eq!(came.rows.len(), 800 * 3 + 100);
        assert_eq!(came.errors.len(), 100);
        let answers: String = came.tags.chars().filter(|tag| "CE".contains(*tag)).collect();
        assert_eq!(answers, "CCCECCCCCC".repeat(100));
        assert_eq!(stage.gateway.metrics.rows.value() - before, 2400);
    });
}

#[test]
fn what_is_sent_after_an_error_and_before_its_sync_is_passed_over_and_the_session_goes_on() {
    let stage = Stage::with(150, |_| {});
    runtime().block_on(async {
        let mut raw = Raw::connect(&stage, READER, PURPOSE).await;
        raw.parse("", "SELECT nothing FROM users");
        wire::put_flush(&mut raw.out);
        raw.send().await;
        // As in a driver's pipeline, the error is here before more is sent.
        while raw.message().await.expect("it goes on")[0] != b'E' {}
        let came = raw.run(PEOPLE).run("SELECT 1").sync().await;
        assert_eq!((came.tags.as_str(), came.ended), ("Z", false), "{came:?}");
        assert_eq!(raw.run(PEOPLE).sync().await.rows.len(), 3);
        assert_eq!(raw.query(PEOPLE).await.rows.len(), 3);
    });
}

#[test]
fn a_wrong_key_cancels_nothing_and_the_right_one_does() {
    let stage = Stage::with(150, |_| {});
    runtime().block_on(async {
        let mut raw = Raw::connect(&stage, READER, PURPOSE).await;
        let cancel = async |process: u32, key: &[u8]| {
            let mut stream = TcpStream::connect(("127.0.0.1", stage.port)).await.expect("it listens");
            let mut out = bytes::BytesMut::new();
            wire::put_cancel(process, key, &mut out);
            stream.write_all(&out).await.expect("it is taken");
            // Closed once the gateway has done what there is to do.
            let _ = stream.read(&mut [0; 1]).await;
        };
        let (process, key) = raw.key.clone();
        let long = "SELECT count(*) FROM generate_series(1, 2000000000)";
        wire::put_query(long, &mut raw.out);
        raw.send().await;
        while stage.raw(&format!("SELECT count(*) FROM pg_stat_activity WHERE query = '{long}'")).trim() != "1" {
            tokio::task::yield_now().await;
        }
        let wrong: Vec<u8> = key.iter().map(|byte| !byte).collect();
        cancel(process, &wrong).await;
        cancel(process + 1, &key).await;
        assert_eq!(
            stage
                .raw(&format!("SELECT count(*) FROM pg_stat_activity WHERE query = '{long}' AND state = 'active'"))
                .trim(),
            "1"
        );
        cancel(process, &key).await;
        let came = raw.ready(1).await;
        assert_eq!(came.errors, ["57014"], "{came:?}");
        assert_eq!(raw.query(PEOPLE).await.rows.len(), 3);
    });
}

#[test]
fn sessions_are_bounded_and_end_when_the_gateway_does() {
    let stage = Stage::with(150, |config| config.limits.max_sessions_each = 2);
    runtime().block_on(async {
        let mut first = Raw::connect(&stage, READER, PURPOSE).await;
        let second = Raw::connect(&stage, READER, PURPOSE).await;
        let words = format!(
            "host=127.0.0.1 port={} dbname={} user={READER} password='{}' options='-c vigie.purpose={PURPOSE}'",
            stage.port,
            stage.database,
            crate::stage::PASSWORD
        );
        let third = tokio_postgres::connect(&words, tokio_postgres::NoTls).await.err().expect("two are the most");
        assert_eq!(third.code().map(tokio_postgres::error::SqlState::code), Some("57P05"), "{third:?}");
        drop(second);
        while stage.gateway.metrics.sessions.value() > 1 {
            tokio::task::yield_now().await;
        }
        // Half closed: what was asked before is answered, as the server would.
        let mut half = Raw::connect(&stage, READER, PURPOSE).await;
        wire::put_query(PEOPLE, &mut half.out);
        half.send().await;
        half.stream.shutdown().await.expect("half of it");
        let came = half.ready(1).await;
        assert_eq!(came.rows.len(), 3, "{came:?}");
        assert_eq!(first.query(PEOPLE).await.rows.len(), 3);
    });
    let gateway = stage.gateway.clone();
    let folder = stage.end();
    assert_eq!(gateway.metrics.sessions.value(), 0);
    drop(folder);
}
