//! Installing, again and for other maps.

use crate::fixture::{CONTRACT, Fixture, INTEREST, OTHER, at, connect, map, parsed, person};
use vigie_choices::{Choices, ChoicesError, Mismatch, State, StopOrder};
use vigie_testkit::postgres::PostgresServer;

#[tokio::test]
async fn a_second_installation_changes_nothing() {
    let mut fixture = Fixture::new("twice", "bigint").await;
    assert_eq!(fixture.report.migrations, [1, 2]);
    assert_eq!(fixture.report.tables_added, ["public.users", "public.events"]);
    assert_eq!(fixture.report.roles_made, ["vigie_twice_choices", "vigie_twice_control"]);
    assert_eq!(fixture.choices.unready(&fixture.client).await.unwrap(), ["events", "users"]);
    let (_, again) = Choices::install(&mut fixture.client, &fixture.map).await.unwrap();
    assert!(again.is_unchanged(), "{again:?}");
    fixture.settle().await;
    assert!(fixture.choices.unready(&fixture.client).await.unwrap().is_empty());
    assert_eq!(fixture.masks("users", 1).await, [CONTRACT | INTEREST | OTHER]);
    assert_eq!(fixture.masks("events", 1).await, [CONTRACT | INTEREST | OTHER]);
    assert_eq!(fixture.mismatches().await, []);
    let (_, again) = Choices::install(&mut fixture.client, &fixture.map).await.unwrap();
    assert!(again.is_unchanged(), "{again:?}");
}

#[tokio::test]
async fn people_may_be_uuids_or_texts() {
    for subject_type in ["uuid", "text"] {
        let mut fixture = Fixture::new(&format!("of-{subject_type}"), subject_type).await;
        fixture.settle().await;
        assert_eq!(fixture.mismatches().await, []);
        let sql = "SELECT id::text FROM users ORDER BY id LIMIT 1";
        let id: String = fixture.client.query_one(sql, &[]).await.unwrap().get(0);
        let subject = vigie_choices::Subject::parse(fixture.choices.subject_type(), &id).unwrap();
        fixture.choices.record(&fixture.client, &subject, "research", State::Refused, &at(1)).await.unwrap();
        fixture.settle().await;
        assert_eq!(fixture.mismatches().await, []);
        let sql = format!("SELECT count(*) FROM users WHERE pmask = {}", CONTRACT | INTEREST);
        assert_eq!(fixture.client.query_one(&sql, &[]).await.unwrap().get::<_, i64>(0), 1);
        let opened = Choices::open(&fixture.client).await.unwrap();
        assert_eq!(opened, fixture.choices);
    }
}

#[tokio::test]
async fn a_purpose_that_becomes_one_of_consent_is_stopped_for_everybody_until_all_masks_say_so() {
    let mut fixture = Fixture::ready("becomes").await;
    let text = map("becomes", "bigint");
    let research = text.rfind("basis = \"legitimate-interest\"").unwrap();
    let stricter = format!("{}{}", &text[..research], text[research..].replacen("legitimate-interest", "consent", 1));
    let (_, report) = Choices::install(&mut fixture.client, &parsed(&stricter)).await.unwrap();
    assert_eq!(report.purposes_changed, ["research"]);
    let set = fixture.choices.stop_set(&fixture.client).await.unwrap();
    assert_eq!(set.everybody, OTHER);
    fixture.settle().await;
    assert_eq!(fixture.masks("events", 3).await, [CONTRACT | INTEREST]);
    assert_eq!(fixture.choices.stop_set(&fixture.client).await.unwrap().everybody, 0);
    assert_eq!(fixture.mismatches().await, []);
}

#[tokio::test]
async fn a_purpose_that_leaves_the_map_is_permitted_to_nobody_and_its_bit_stays_taken() {
    let mut fixture = Fixture::ready("leaves").await;
    let text = map("leaves", "bigint");
    let research = text.find("[[purpose]]\nname = \"research\"").unwrap();
    let tables = text.find("[[table]]").unwrap();
    let without = format!("{}{}", &text[..research], &text[tables..]);
    let (_, report) = Choices::install(&mut fixture.client, &parsed(&without)).await.unwrap();
    assert_eq!(report.purposes_retired, ["research"]);
    assert_eq!(fixture.choices.stop_set(&fixture.client).await.unwrap().everybody, OTHER);
    fixture.settle().await;
    assert_eq!(fixture.masks("users", 3).await, [CONTRACT | INTEREST]);
    assert_eq!(fixture.mismatches().await, []);
    let other = text.replace("\"research\"", "\"statistics\"");
    let refused = Choices::install(&mut fixture.client, &parsed(&other)).await.unwrap_err();
    assert!(matches!(&refused, ChoicesError::BitTaken { bit: 3, .. }), "{refused}");
    let (_, back) = Choices::install(&mut fixture.client, &parsed(&text)).await.unwrap();
    assert_eq!(back.purposes_changed, ["research"]);
    fixture.settle().await;
    assert_eq!(fixture.masks("users", 3).await, [CONTRACT | INTEREST | OTHER]);
}

#[tokio::test]
async fn a_map_that_contradicts_the_database_is_refused_with_a_way_out() {
    let server = PostgresServer::shared();
    let database = server.new_database();
    let mut client = connect(&database).await;
    let good = map("contradicts", "bigint");
    let mut check = async |sql: &str, expected: &str, help: &str| {
        server.run_sql(&database, &format!("DROP TABLE IF EXISTS users, events; {sql}"));
        let error = Choices::install(&mut client, &parsed(&good)).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.help().unwrap_or_default(), help);
        assert_eq!(server.run_sql(&database, "SELECT to_regnamespace('vigie')"), "\n");
    };
    check("", "table `public.users` does not exist", "correct its name in the data map").await;
    check(
        "CREATE TABLE users (id bigint, pmask bigint)",
        "table `public.users` has no index that begins with its subject `id`",
        "CREATE INDEX CONCURRENTLY ON public.\"users\" (\"id\")",
    )
    .await;
    check(
        "CREATE TABLE users (id uuid PRIMARY KEY, pmask bigint)",
        "table `public.users` has a subject `id` of type uuid, expected bigint",
        "correct `subject` or `subject_type` in the data map",
    )
    .await;
    check(
        "CREATE TABLE users (id bigint PRIMARY KEY)",
        "table `public.users` has no column `pmask` for the mask",
        "ALTER TABLE public.\"users\" ADD COLUMN \"pmask\" bigint NOT NULL DEFAULT 0",
    )
    .await;
    let open = Choices::open(&client).await.unwrap_err();
    assert!(matches!(open, ChoicesError::NotInstalled), "{open}");
}

#[tokio::test]
async fn the_owner_must_reach_every_row_and_see_every_reader() {
    let server = PostgresServer::shared();
    let database = server.new_database();
    server
        .run_sql(&database, &format!("CREATE ROLE weak_owner LOGIN; GRANT ALL ON DATABASE {database} TO weak_owner;"));
    let address = server.address(&database).replace("user=postgres", "user=weak_owner");
    let (mut client, connection) = tokio_postgres::connect(&address, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let map = parsed(&map("weak", "bigint"));
    let error = Choices::install(&mut client, &map).await.unwrap_err();
    assert!(matches!(error, ChoicesError::BoundByRowSecurity(_)), "{error}");
    server.run_sql(&database, "ALTER ROLE weak_owner BYPASSRLS");
    let error = Choices::install(&mut client, &map).await.unwrap_err();
    assert!(matches!(error, ChoicesError::BlindToSnapshots(_)), "{error}");
}

#[tokio::test]
async fn roles_can_do_what_they_are_for_and_nothing_else() {
    let fixture = Fixture::ready("roles").await;
    let server = PostgresServer::shared();
    let login = async |role: &str| {
        let address = server.address(&fixture.database).replace("user=postgres", &format!("user={role}"));
        let (client, connection) = tokio_postgres::connect(&address, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    };
    server.run_sql(&fixture.database, &format!("REVOKE ALL ON DATABASE {} FROM PUBLIC", fixture.database));
    let recorder = login("vigie_roles_choices").await;
    fixture.choices.record(&recorder, &person(1), "research", State::Refused, &at(1)).await.unwrap();
    assert_eq!(fixture.masks("users", 1).await, [CONTRACT | INTEREST]);
    let control = login("vigie_roles_control").await;
    assert_eq!(fixture.choices.stop_set(&control).await.unwrap().people.len(), 1);
    let denied = async |client: &tokio_postgres::Client, sql: &str| {
        let error = client.batch_execute(sql).await.expect_err(sql);
        assert_eq!(error.code(), Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE), "{sql}: {error}");
    };
    for sql in [
        "SELECT * FROM vigie.choice",
        "UPDATE vigie.subject_mask SET refused = 0",
        "INSERT INTO vigie.stop_change (subject, bits) VALUES (1, 0)",
        "SELECT vigie.set_stopped(1, 0)",
        "SELECT vigie.put_in_force(1)",
        "SELECT vigie.lift(1, 'me')",
        "SELECT vigie.work_people(1)",
        "SELECT * FROM users",
    ] {
        denied(&recorder, sql).await;
        denied(&control, sql).await;
    }
    denied(&recorder, "SELECT vigie.approve_ticket(1, 'me')").await;
    denied(&recorder, "SELECT * FROM vigie.stop_set()").await;
    denied(&control, "SELECT vigie.record(1, 'research', '', 'given', now(), 'x', '', NULL, '')").await;
    denied(&control, "UPDATE vigie.ticket SET approver = 'me'").await;
}

#[tokio::test]
async fn what_somebody_changed_by_hand_is_found_and_rebuilt() {
    let mut fixture = Fixture::ready("byhand").await;
    let choices = fixture.choices;
    choices.record(&fixture.client, &person(1), "research", State::Refused, &at(1)).await.unwrap();
    let order = StopOrder {
        subject: Some(person(2)),
        purpose: None,
        ordered_by: "authority".into(),
        reference: "2026-1".into(),
        reason: "a complaint".into(),
    };
    choices.stop(&fixture.client, &order).await.unwrap();
    fixture.settle().await;
    let server = PostgresServer::shared();
    server.run_sql(
        &fixture.database,
        "ALTER TABLE users DISABLE TRIGGER ALL; UPDATE users SET pmask = 15 WHERE id IN (1, 7);
         ALTER TABLE users ENABLE TRIGGER ALL; UPDATE vigie.subject_mask SET refused = 0 WHERE subject = 1;
         UPDATE vigie.everybody SET barred = 1;",
    );
    let row = |id, found, expected| Mismatch::Row {
        table: "public.users".into(),
        subject: Some(person(id)),
        found: Some(found),
        expected,
        pending: false,
    };
    let begin = CONTRACT | INTEREST | OTHER;
    let mut found = fixture.mismatches().await;
    found.sort_by_key(|mismatch| format!("{mismatch:?}"));
    let expected = [
        Mismatch::Everybody,
        Mismatch::Person { subject: person(1) },
        row(1, 15, CONTRACT | INTEREST),
        row(7, 15, begin),
    ];
    for mismatch in &expected {
        assert!(found.contains(mismatch), "{mismatch:?} not in {found:?}");
    }
    assert_eq!(found.len(), expected.len());
    // The triggers are on again, but no longer always: an installation notices.
    let (_, report) = Choices::install(&mut fixture.client, &fixture.map).await.unwrap();
    assert!(report.functions_replaced);
    let written = choices.rebuild(&mut fixture.client, 7).await.unwrap();
    assert_eq!(written, 2);
    assert_eq!(fixture.mismatches().await, []);
    fixture.settle().await;
    assert_eq!(fixture.mismatches().await, []);
}
