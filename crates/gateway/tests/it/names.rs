//! Names that mean something else at the server than the gateway was made to believe: portals, cursors and prepared
//! statements that were replaced, skipped or are long gone. Whatever they mean, no row leaves that is not accounted for.

use crate::{
    raw::{Came, Raw},
    stage::{Stage, runtime},
};

const READER: &str = "jeanne@pixelle.example";
const PURPOSE: &str = "service-provision";
/// Three rows of people, of one column and their subject.
const PEOPLE: &str = "SELECT display_name FROM users WHERE id IN (2, 3, 4)";
/// As many columns as the server returns for [`PEOPLE`], about nobody.
const NOBODY: &str = "SELECT 'a', 'b'";

/// Tells what a client got past the accounts: rows that came, though none, or others, were accounted for.
async fn unaccounted(stage: &Stage, raw: &mut Raw) -> (Came, u64) {
    let before = stage.gateway.metrics.rows.value();
    let came = raw.sync().await;
    let accounted = stage.gateway.metrics.rows.value() - before;
    (came, accounted)
}

#[track_caller]
fn covered((came, accounted): &(Came, u64)) {
    let rows = came.rows.iter().filter(|row| row.first().is_some_and(|it| it.as_deref() != Some(b"a"))).count();
    assert_eq!(rows as u64, *accounted, "rows came that were not accounted for: {came:?}");
}

#[test]
fn a_cursor_is_not_run_as_the_portal_that_had_its_name() {
    let stage = Stage::with(300, |_| {});
    runtime().block_on(async {
        let mut raw = Raw::connect(&stage, READER, PURPOSE).await;
        raw.parse("", NOBODY).bind("x", "").execute("x", 0);
        assert_eq!(raw.sync().await.rows.len(), 1);
        // The portal ended with its transaction; the server does not tell cursors from portals.
        raw.query("BEGIN").await;
        raw.query(&format!("DECLARE x CURSOR FOR {PEOPLE}")).await;
        raw.execute("x", 0);
        covered(&unaccounted(&stage, &mut raw).await);
    });
}

#[test]
fn a_cursor_that_took_the_name_of_a_closed_portal_is_not_run_as_it() {
    let stage = Stage::with(300, |_| {});
    runtime().block_on(async {
        let mut raw = Raw::connect(&stage, READER, PURPOSE).await;
        raw.query("BEGIN").await;
        raw.parse("", NOBODY).bind("x", "");
        raw.sync().await;
        raw.query("CLOSE x").await;
        raw.query(&format!("DECLARE x CURSOR FOR {PEOPLE}")).await;
        raw.execute("x", 0);
        covered(&unaccounted(&stage, &mut raw).await);
    });
}

#[test]
fn a_fetch_that_was_prepared_does_not_return_another_cursor_of_the_same_name() {
    let stage = Stage::with(300, |_| {});
    runtime().block_on(async {
        let mut raw = Raw::connect(&stage, READER, PURPOSE).await;
        raw.query("BEGIN").await;
        raw.query(&format!("DECLARE x CURSOR FOR {NOBODY}")).await;
        raw.parse("f", "FETCH ALL FROM x").bind("early", "f");
        raw.sync().await;
        raw.query("CLOSE x").await;
        raw.query(&format!("DECLARE x CURSOR FOR {PEOPLE}")).await;
        raw.execute("early", 0);
        let early = unaccounted(&stage, &mut raw).await;
        covered(&early);
        let mut raw = Raw::connect(&stage, READER, PURPOSE).await;
        raw.query("BEGIN").await;
        raw.query(&format!("DECLARE x CURSOR FOR {NOBODY}")).await;
        raw.parse("f", "FETCH ALL FROM x");
        raw.sync().await;
        raw.query("CLOSE x").await;
        raw.query(&format!("DECLARE x CURSOR FOR {PEOPLE}")).await;
        raw.bind("", "f").execute("", 0);
        covered(&unaccounted(&stage, &mut raw).await);
    });
}

#[test]
fn an_execute_that_was_prepared_does_not_run_another_statement_of_the_same_name() {
    let stage = Stage::with(300, |_| {});
    runtime().block_on(async {
        let mut raw = Raw::connect(&stage, READER, PURPOSE).await;
        raw.query(&format!("PREPARE p AS {NOBODY}")).await;
        raw.parse("e", "EXECUTE p");
        raw.sync().await;
        raw.query("DEALLOCATE p").await;
        raw.query(&format!("PREPARE p AS {PEOPLE}")).await;
        raw.bind("", "e").execute("", 0);
        covered(&unaccounted(&stage, &mut raw).await);
    });
}

#[test]
fn a_bind_that_the_server_skipped_changes_no_portal() {
    let stage = Stage::with(300, |_| {});
    runtime().block_on(async {
        let mut raw = Raw::connect(&stage, READER, PURPOSE).await;
        raw.query("BEGIN").await;
        raw.parse("nobody", NOBODY).parse("people", PEOPLE).parse("point", "SAVEPOINT s");
        raw.parse("back", "ROLLBACK TO s").bind("", "people").bind("point", "point").execute("point", 0);
        raw.sync().await;
        raw.parse("bad", "SELECT nothing FROM nowhere").bind("", "nobody");
        raw.sync().await;
        raw.bind("back", "back").execute("back", 0).execute("", 0);
        covered(&unaccounted(&stage, &mut raw).await);
    });
}

#[test]
fn statements_that_the_server_skipped_do_not_stand_for_the_one_before() {
    let stage = Stage::with(300, |_| {});
    runtime().block_on(async {
        // What figures are made of must not leave as it is.
        let mut raw = Raw::connect(&stage, READER, PURPOSE).await;
        let n_people: i64 =
            stage.raw("SELECT count(*) FROM users WHERE pmask & 1 <> 0").trim().parse().expect("a number");
        raw.parse("", "SELECT count(*) FROM users");
        raw.sync().await;
        raw.parse("bad", "SELECT nothing FROM nowhere").parse("", NOBODY).parse("", "SELECT 1");
        raw.sync().await;
        raw.bind("", "").describe("").execute("", 0);
        let came = raw.sync().await;
        let exactly = Some(n_people.to_string().into_bytes());
        assert!(!came.rows.iter().any(|row| row.contains(&exactly)), "a figure left as it was counted: {came:?}");
        // And all of it in one flight.
        let mut raw = Raw::connect(&stage, READER, PURPOSE).await;
        raw.parse("", PEOPLE);
        raw.sync().await;
        raw.parse("bad", "SELECT nothing FROM nowhere").parse("", NOBODY);
        vigie_gateway::wire::put_sync(&mut raw.out);
        raw.bind("", "").execute("", 0);
        let before = stage.gateway.metrics.rows.value();
        vigie_gateway::wire::put_sync(&mut raw.out);
        let came = raw.ready(2).await;
        covered(&(came, stage.gateway.metrics.rows.value() - before));
    });
}

#[test]
fn a_session_goes_on_after_a_pipeline_that_failed() {
    let stage = Stage::with(300, |_| {});
    runtime().block_on(async {
        let mut raw = Raw::connect(&stage, READER, PURPOSE).await;
        raw.parse("kept", PEOPLE);
        raw.sync().await;
        raw.parse("bad", "SELECT nothing FROM nowhere");
        vigie_gateway::wire::put_close(vigie_gateway::wire::Named::Statement("kept"), &mut raw.out);
        let failed = raw.sync().await;
        assert_eq!(failed.errors, ["42P01"]);
        raw.bind("", "kept").execute("", 0);
        let came = unaccounted(&stage, &mut raw).await;
        assert_eq!(came.0.rows.len(), 3, "the server skipped the Close: {came:?}");
        covered(&came);
        // An error before any row, after rows that are logged in the same breath.
        raw.bind("", "kept").execute("", 0).parse("", "SELECT 1 / (id - id) FROM users").bind("", "").execute("", 0);
        let came = raw.sync().await;
        assert_eq!((came.rows.len(), came.errors.as_slice()), (3, ["22012".to_owned()].as_slice()), "{came:?}");
        let again = raw.query(PEOPLE).await;
        assert_eq!(again.rows.len(), 3, "{again:?}");
    });
}

#[test]
fn copy_by_the_extended_protocol_accounts_for_the_people_it_shows() {
    let stage = Stage::with(300, |_| {});
    runtime().block_on(async {
        let mut raw = Raw::connect(&stage, READER, PURPOSE).await;
        let before = stage.gateway.metrics.rows.value();
        // Drivers ask for binary results whatever they run.
        raw.parse("", "COPY (SELECT id, display_name FROM users WHERE id IN (2, 3, 4)) TO STDOUT").bind_as(
            "",
            "",
            &[1],
        );
        raw.execute("", 0);
        let came = raw.sync().await;
        assert_eq!(came.copied.len(), 3, "{came:?}");
        assert_eq!(stage.gateway.metrics.rows.value() - before, 3);
        raw.parse("", "COPY (SELECT id FROM users WHERE id IN (2, 3, 4)) TO STDOUT").bind("", "").execute("", 1);
        let came = raw.sync().await;
        assert_eq!(came.completed, ["COPY 3"], "COPY has no limit of rows: {came:?}");
    });
}

#[test]
fn cursors_answer_by_the_extended_protocol_as_the_server_would() {
    let stage = Stage::with(300, |_| {});
    runtime().block_on(async {
        let mut raw = Raw::connect(&stage, READER, PURPOSE).await;
        raw.run("BEGIN").run(&format!("DECLARE x CURSOR FOR {PEOPLE}"));
        let came = raw.sync().await;
        assert_eq!(came.completed, ["BEGIN", "DECLARE CURSOR"], "{came:?}");
        raw.run("FETCH 2 FROM x");
        let came = unaccounted(&stage, &mut raw).await;
        assert_eq!(came.0.completed, ["FETCH 2"], "{came:?}");
        covered(&came);
        raw.run("FETCH 2 FROM x").run("CLOSE x").run("COMMIT");
        let came = unaccounted(&stage, &mut raw).await;
        assert_eq!(came.0.completed, ["FETCH 1", "CLOSE CURSOR", "COMMIT"], "{came:?}");
        covered(&came);
    });
}

#[test]
fn what_was_prepared_by_sql_is_run_by_the_extended_protocol() {
    let stage = Stage::with(300, |_| {});
    runtime().block_on(async {
        let mut raw = Raw::connect(&stage, READER, PURPOSE).await;
        raw.query(&format!("PREPARE p AS {PEOPLE}")).await;
        raw.bind("", "p").execute("", 0);
        let came = unaccounted(&stage, &mut raw).await;
        assert_eq!((came.0.tags.as_str(), came.0.rows.len()), ("2DDDCZ", 3), "{came:?}");
        covered(&came);
    });
}

#[test]
fn a_window_shows_nobody_in_the_row_of_another() {
    let stage = Stage::with(300, |_| {});
    runtime().block_on(async {
        let mut raw = Raw::connect(&stage, READER, PURPOSE).await;
        for function in
            ["array_agg(display_name)", "first_value(display_name)", "lag(display_name)", "max(display_name)"]
        {
            raw.parse("", &format!("SELECT {function} OVER (ORDER BY id) FROM users")).bind("", "").execute("", 1);
            let came = raw.sync().await;
            assert_eq!((came.rows.len(), came.errors.as_slice()), (0, ["42501".to_owned()].as_slice()), "{came:?}");
        }
        assert_eq!(
            raw.query("SELECT id, row_number() OVER (ORDER BY id) FROM users WHERE id < 5").await.errors,
            [""; 0]
        );
    });
}
