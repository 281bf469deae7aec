//! Reading through the gateway: what comes out, for whom, and what is logged of it.

use crate::stage::{Stage, runtime};
use tokio_postgres::{Client, SimpleQueryMessage, error::SqlState};

async fn simple(client: &Client, sql: &str) -> Vec<Vec<Option<String>>> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let mut rows = Vec::new();
    for message in messages {
        if let SimpleQueryMessage::Row(row) = message {
            rows.push((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect());
        }
    }
    rows
}

#[test]
fn a_reader_sees_exactly_the_rows_and_columns_of_a_purpose() {
    let stage = Stage::new();
    runtime().block_on(async {
        let client = stage.connect("jeanne@pixelle.example", Some("analytics")).await;
        let through =
            simple(&client, "SELECT country, count(*) AS n FROM users GROUP BY country ORDER BY country").await;
        eprintln!("{through:?}");
    });
}

#[test]
fn rows_come_with_their_entries() {
    let stage = Stage::new();
    runtime().block_on(async {
        let client = stage.connect("jeanne@pixelle.example", Some("service-provision")).await;
        let rows = simple(&client, "SELECT display_name, country FROM users WHERE id < 20 ORDER BY id").await;
        assert_eq!(rows.len(), 19);
        let bound = client.query("SELECT id, display_name FROM users WHERE id = $1", &[&7_i64]).await.expect("a row");
        assert_eq!(bound.len(), 1);
        assert_eq!(bound[0].get::<_, i64>(0), 7);
        let head = stage.gateway.log().expect("the ledger is here").statistics();
        assert_eq!(head.durable, 2);
        let denied = client.query("SELECT email FROM users WHERE id = $1", &[&7_i64]).await.expect_err("no");
        assert_eq!(denied.code(), Some(&SqlState::UNDEFINED_COLUMN), "{denied:?}");
    });
}
