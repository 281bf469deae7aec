//! Reading through the gateway: what comes out, for whom, and what is logged of it.

use crate::stage::{Stage, runtime};
use futures_util::StreamExt as _;
use tokio_postgres::{Client, Error, SimpleQueryMessage, error::SqlState};

async fn simple(client: &Client, sql: &str) -> Vec<Vec<Option<String>>> {
    try_simple(client, sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
}

async fn try_simple(client: &Client, sql: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
    let mut rows = Vec::new();
    for message in client.simple_query(sql).await? {
        if let SimpleQueryMessage::Row(row) = message {
            rows.push((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect());
        }
    }
    Ok(rows)
}

fn denial(error: &Error) -> (String, String, String) {
    let error = error.as_db_error().unwrap_or_else(|| panic!("{error:?}"));
    let part = |text: Option<&str>| text.unwrap_or_default().to_owned();
    (error.code().code().to_owned(), error.message().to_owned(), part(error.hint()))
}

#[test]
fn figures_are_of_those_who_agreed_and_of_many() {
    let stage = Stage::new();
    let agreed =
        "SELECT vigie.record(id, 'analytics', '', 'given', now(), 'banner', 'notice-1', NULL, 'en') FROM users";
    stage.raw(&format!("SELECT count(*) FROM ({agreed} WHERE id % 3 = 0) AS done"));
    runtime().block_on(async {
        let client = stage.connect("jeanne@pixelle.example", Some("analytics")).await;
        let through =
            simple(&client, "SELECT country, count(*) AS n FROM users GROUP BY country ORDER BY n DESC").await;
        let truth = stage.raw("SELECT country || ' ' || count(*) FROM users WHERE id % 3 = 0 GROUP BY country");
        let mut shown = 0;
        for row in &through {
            let [Some(country), Some(n), flag] = row.as_slice() else { continue };
            let n: i64 = n.parse().expect("a number");
            let exact = truth.lines().find_map(|line| line.strip_prefix(&format!("{country} ")));
            let exact: i64 = exact.expect("a country of the truth").parse().expect("a number");
            assert!(exact >= 10 && (n - exact).abs() <= 8, "{country}: {n} for {exact}, flag {flag:?}");
            shown += 1;
        }
        assert!(shown >= 3, "{through:?}");
        assert_eq!(through.last().and_then(|row| row[2].clone()), Some("c".to_owned()), "small cells are closed over");
    });
}

#[test]
fn rows_come_with_their_entries() {
    let stage = Stage::new();
    runtime().block_on(async {
        let client = stage.connect("jeanne@pixelle.example", Some("service-provision")).await;
        let rows = simple(&client, "SELECT display_name, country FROM users WHERE id < 20 ORDER BY id").await;
        assert_eq!((rows.len(), rows[0].len()), (19, 2));
        let bound = client.query("SELECT id, display_name FROM users WHERE id = $1", &[&7_i64]).await.expect("a row");
        assert_eq!((bound.len(), bound[0].len()), (1, 2));
        assert_eq!(bound[0].get::<_, i64>(0), 7);
        let log = stage.gateway.log().expect("the ledger is here");
        assert_eq!(log.statistics().durable, 2);
        let found = stage.gateway.account.vault().about(b"7").expect("the vault can be read");
        assert_eq!(found.len(), 2, "both statements showed person 7");
    });
}

#[test]
fn what_a_purpose_may_not_see_is_denied_with_a_way_out() {
    let stage = Stage::new();
    runtime().block_on(async {
        let none = stage.connect("jeanne@pixelle.example", None).await;
        let (code, message, hint) = denial(&none.simple_query("SELECT * FROM users").await.expect_err("no purpose"));
        assert_eq!(code, "42501");
        assert!(message.contains("no purpose") && hint.contains("SET vigie.purpose"), "{message} | {hint}");
        assert_eq!(simple(&none, "SELECT 1").await, [[Some("1".to_owned())]]);
        none.batch_execute("SET vigie.purpose = 'service-provision'").await.expect("it may be said later");
        assert_eq!(simple(&none, "SELECT country FROM users WHERE id = 7").await.len(), 1);

        let client = stage.connect("jeanne@pixelle.example", Some("service-provision")).await;
        let error = client.query("SELECT email FROM users WHERE id = $1", &[&7_i64]).await.expect_err("restricted");
        assert_eq!(error.code(), Some(&SqlState::UNDEFINED_COLUMN), "{error:?}");
        let (code, message, _) =
            denial(&client.simple_query("SELECT iban FROM payments").await.expect_err("restricted"));
        assert!(["42501", "42703"].contains(&code.as_str()), "{code} {message}");
        let abroad = stage.connect("wei@pixelle.example", Some("service-provision")).await;
        let (code, message, _) = denial(&abroad.simple_query("SELECT * FROM users").await.expect_err("abroad"));
        assert_eq!(code, "42501");
        assert!(message.contains("no policy permits anything"), "{message}");
        let before = stage.gateway.metrics.denied.value();
        assert!(before >= 2, "{before}");
    });
}

#[test]
fn a_person_who_refuses_is_gone_from_an_open_cursor() {
    let stage = Stage::new();
    runtime().block_on(async {
        let mut client = stage.connect("aoife@pixelle.example", Some("fraud-prevention")).await;
        let transaction = client.transaction().await.expect("a transaction");
        transaction
            .batch_execute("DECLARE c CURSOR FOR SELECT id, country FROM users WHERE id <= 30 ORDER BY id")
            .await
            .expect("declared");
        let first = transaction.query("FETCH 10 FROM c", &[]).await.expect("rows");
        assert_eq!(first.iter().map(|row| row.get::<_, i64>(0)).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
        let before = stage.gateway.stops.seq();
        stage
            .raw("SELECT vigie.record(17, 'fraud-prevention', '', 'refused', now(), 'letter', 'notice-1', NULL, 'en')");
        while stage.gateway.stops.seq() == before {
            tokio::task::yield_now().await;
        }
        let rest = transaction.query("FETCH ALL FROM c", &[]).await.expect("rows");
        let rest: Vec<i64> = rest.iter().map(|row| row.get(0)).collect();
        assert_eq!(rest, (11..=30).filter(|id| *id != 17).collect::<Vec<_>>());
        assert_eq!(stage.gateway.metrics.stopped_rows.value(), 1);
    });
}

#[test]
fn copy_out_is_a_select_that_says_whose_rows_leave() {
    let stage = Stage::new();
    runtime().block_on(async {
        let client = stage.connect("jeanne@pixelle.example", Some("service-provision")).await;
        for (sql, lines) in [
            ("COPY (SELECT country, display_name FROM users WHERE id < 4 ORDER BY id) TO STDOUT", 3),
            ("COPY (SELECT country FROM users WHERE id < 4) TO STDOUT WITH (FORMAT csv, HEADER)", 4),
            ("COPY users TO STDOUT", 2000),
        ] {
            let stream = client.copy_out(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
            let chunks: Vec<_> = stream.map(|chunk| chunk.expect("data")).collect().await;
            let text = chunks.concat();
            let text = String::from_utf8(text).expect("text");
            assert_eq!(text.lines().count(), lines, "{sql}: {}", &text[..text.len().min(300)]);
            assert!(!text.contains("example.org"), "{sql}: no e-mail");
        }
        assert_eq!(stage.gateway.account.vault().about(b"3").expect("it can be read").len(), 3);
    });
}

#[test]
fn a_purpose_that_nobody_knows_is_refused_when_it_is_set() {
    let stage = Stage::new();
    runtime().block_on(async {
        let client = stage.connect("jeanne@pixelle.example", Some("service-provision")).await;
        for (sql, expected_hint) in [
            ("SET vigie.purpose = 'service-provison'", "did you mean `service-provision`?"),
            ("SET vigie.purpose TO 'nothing of the kind'", "known are service-provision, analytics, advertising"),
        ] {
            let (code, message, hint) = denial(&client.simple_query(sql).await.expect_err("there is no such purpose"));
            assert_eq!(code, "22023", "{message}");
            assert!(message.starts_with("purpose `") && message.ends_with("` is not in the policy"), "{message}");
            assert!(hint.starts_with(expected_hint), "{hint}");
        }
        assert_eq!(simple(&client, "SHOW vigie.purpose").await, [[Some("service-provision".to_owned())]]);
        assert_eq!(
            simple(&client, "SELECT country FROM users WHERE id = 7").await.len(),
            1,
            "what was asked for stays"
        );
        client.simple_query("SET vigie.ticket = 'soon'").await.expect("what is said is looked at when it is used");
        let refused = client.simple_query("SELECT country FROM users WHERE id = 7").await;
        let (code, message, _) = denial(&refused.expect_err("a ticket that is none"));
        assert!(code == "42501" && message.contains("the ticket named is not valid"), "{message}");
    });
}

#[test]
fn what_a_pool_sends_between_two_users_sets_back_what_was_set_and_no_limit_of_the_gateway() {
    let stage = Stage::new();
    runtime().block_on(async {
        let client = stage.connect("jeanne@pixelle.example", Some("service-provision")).await;
        let show = async |name: &str| simple(&client, &format!("SHOW {name}")).await[0][0].clone().unwrap_or_default();
        let limit = show("statement_timeout").await;
        assert_eq!(limit, "1min", "as the gateway has it");
        let path = show("search_path").await;
        for reset in
            ["SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;", "RESET ALL", "DISCARD ALL"]
        {
            for sql in ["SET vigie.purpose = 'moderation'", "SET statement_timeout = 7", "SET timezone = 'Asia/Tokyo'"]
            {
                client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
            }
            client.simple_query(reset).await.unwrap_or_else(|error| panic!("{reset}: {error:?}"));
            assert_eq!(show("statement_timeout").await, limit, "{reset}");
            assert_eq!(show("search_path").await, path, "{reset}");
            assert_ne!(show("timezone").await, "Asia/Tokyo", "{reset}");
            assert_eq!(show("vigie.purpose").await, "service-provision", "{reset}");
            assert_eq!(simple(&client, "SELECT country FROM users WHERE id = 7").await.len(), 1, "{reset}");
        }
        for (sql, expected) in [
            ("RESET ALL; SELECT country FROM users WHERE id = 7", "25001"),
            ("BEGIN; RESET ALL", "25001"),
            ("SELECT pg_advisory_lock(1)", "42501"),
            ("LISTEN somebody", "42501"),
        ] {
            let (code, message, _) = denial(&client.simple_query(sql).await.expect_err(sql));
            assert_eq!(code, expected, "{sql}: {message}");
        }
        client.simple_query("BEGIN").await.expect("a transaction");
        let (code, ..) = denial(&client.simple_query("RESET ALL").await.expect_err("within a transaction"));
        assert_eq!(code, "25001");
    });
}

#[test]
fn a_plan_is_refused_with_or_without_running_it() {
    let stage = Stage::new();
    runtime().block_on(async {
        let client = stage.connect("jeanne@pixelle.example", Some("service-provision")).await;
        for sql in [
            "EXPLAIN SELECT id FROM users WHERE id = 7",
            "EXPLAIN (ANALYZE) SELECT id FROM users",
            "EXPLAIN (COSTS OFF) SELECT 1",
        ] {
            let (code, message, hint) = denial(&client.simple_query(sql).await.expect_err(sql));
            assert_eq!(code, "42501", "{sql}");
            assert!(message.contains("a plan tells of rows that may not be seen") && !hint.is_empty(), "{message}");
        }
    });
}
