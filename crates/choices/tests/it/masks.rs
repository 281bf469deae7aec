//! What masks say after choices and orders.

use crate::fixture::{CONSENT, CONTRACT, Fixture, INTEREST, OTHER, at, person};
use vigie_choices::{ChoicesError, State, StopOrder};

const BEGIN: i64 = CONTRACT | INTEREST | OTHER;

#[tokio::test]
async fn a_choice_is_in_force_at_once_where_the_map_says_so_and_later_elsewhere() {
    let mut fixture = Fixture::ready("force").await;
    let choices = fixture.choices;
    let given = choices.record(&fixture.client, &person(1), "marketing", State::Given, &at(1)).await.unwrap();
    assert!(given);
    choices.record(&fixture.client, &person(1), "research", State::Refused, &at(2)).await.unwrap();
    assert_eq!(fixture.masks("users", 1).await, [CONTRACT | CONSENT | INTEREST]);
    assert_eq!(fixture.masks("events", 1).await, [BEGIN]);
    let set = choices.stop_set(&fixture.client).await.unwrap();
    assert_eq!((set.everybody, set.people.get(&person(1)).copied()), (0, Some(OTHER)));
    assert_eq!(set.leaves(&person(1), BEGIN), CONTRACT | INTEREST);
    let behind = fixture.mismatches().await;
    assert_eq!(behind.len(), 3);
    assert!(behind.iter().all(vigie_choices::Mismatch::is_pending), "{behind:?}");
    fixture.settle().await;
    assert_eq!(fixture.masks("events", 1).await, [CONTRACT | CONSENT | INTEREST]);
    assert_eq!(fixture.masks("users", 2).await, [BEGIN]);
    assert!(choices.stop_set(&fixture.client).await.unwrap().people.is_empty());
    assert_eq!(fixture.mismatches().await, []);
}

#[tokio::test]
async fn every_state_has_its_effect() {
    let mut fixture = Fixture::ready("states").await;
    let choices = fixture.choices;
    let mut id = 0;
    for (purpose, bit) in [("marketing", CONSENT), ("research", OTHER)] {
        for state in State::ALL {
            id += 1;
            choices.record(&fixture.client, &person(id), purpose, state, &at(1)).await.unwrap();
            let expected = match state {
                State::Given => BEGIN | bit,
                State::Requested => BEGIN,
                State::Refused | State::Withdrawn | State::Lapsed => BEGIN & !bit,
            };
            assert_eq!(fixture.masks("users", id).await, [expected], "{purpose} {state:?}");
        }
    }
    fixture.settle().await;
    assert_eq!(fixture.mismatches().await, []);
}

#[tokio::test]
async fn what_rests_on_a_contract_cannot_be_refused_but_stopped() {
    let mut fixture = Fixture::ready("contract").await;
    let choices = fixture.choices;
    let error = choices.record(&fixture.client, &person(1), "service", State::Refused, &at(1)).await.unwrap_err();
    assert!(matches!(error, ChoicesError::Refused { .. }));
    assert_eq!(error.to_string(), "purpose `service` rests on contract, which a person cannot refuse");
    assert_eq!(error.help().as_deref(), Some("a stop order can end it"));
    let error = choices.record(&fixture.client, &person(1), "marketting", State::Given, &at(1)).await.unwrap_err();
    assert_eq!(error.to_string(), "purpose `marketting` is not in the data map");
    let order = StopOrder {
        subject: Some(person(1)),
        purpose: Some("service".into()),
        ordered_by: "data protection authority".into(),
        reference: "file 7".into(),
        reason: "a complaint".into(),
    };
    let number = choices.stop(&fixture.client, &order).await.unwrap();
    assert_eq!(fixture.masks("users", 1).await, [INTEREST | OTHER]);
    assert!(choices.lift(&fixture.client, number, "authority").await.unwrap());
    assert!(!choices.lift(&fixture.client, number, "authority").await.unwrap());
    assert_eq!(fixture.masks("users", 1).await, [BEGIN]);
    let all = StopOrder { purpose: None, ..order };
    choices.stop(&fixture.client, &all).await.unwrap();
    assert_eq!(fixture.masks("users", 1).await, [0]);
    fixture.settle().await;
    assert_eq!(fixture.mismatches().await, []);
}

#[tokio::test]
async fn a_late_record_changes_nothing_and_at_the_same_moment_a_refusal_wins() {
    let fixture = Fixture::ready("late").await;
    let choices = fixture.choices;
    let record = async |state, second| {
        choices.record(&fixture.client, &person(1), "marketing", state, &at(second)).await.unwrap()
    };
    assert!(record(State::Given, 5).await);
    assert!(record(State::Withdrawn, 9).await);
    assert!(!record(State::Given, 7).await);
    assert!(!record(State::Given, 9).await);
    assert_eq!(fixture.masks("users", 1).await, [BEGIN]);
    assert!(record(State::Given, 10).await);
    assert!(record(State::Refused, 10).await);
    assert_eq!(fixture.masks("users", 1).await, [BEGIN]);
    let sql = "SELECT count(*), count(*) FILTER (WHERE in_force) FROM vigie.choice_history";
    let row = fixture.client.query_one(sql, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (6, 4));
    let mut elsewhere = at(11);
    elsewhere.recipient = "partner".into();
    choices.record(&fixture.client, &person(1), "marketing", State::Given, &elsewhere).await.unwrap();
    assert_eq!(fixture.masks("users", 1).await, [BEGIN], "masks follow the operator's own choice");
}

#[tokio::test]
async fn nobody_sets_a_mask_and_nobody_edits_the_past() {
    let fixture = Fixture::ready("guards").await;
    fixture.choices.record(&fixture.client, &person(1), "research", State::Refused, &at(1)).await.unwrap();
    let truth = CONTRACT | INTEREST;
    for sql in [
        "UPDATE users SET pmask = 15 WHERE id = 1",
        "UPDATE users SET pmask = pmask | 8 WHERE id = 1",
        "SET session_replication_role = replica; UPDATE users SET pmask = 15 WHERE id = 1",
        "DELETE FROM vigie.choice_history",
        "UPDATE vigie.choice_history SET state = 'given'",
        "TRUNCATE vigie.choice_history",
    ] {
        let error = fixture.client.batch_execute(sql).await.expect_err(sql);
        assert_eq!(error.code(), Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE), "{sql}: {error}");
    }
    fixture.client.batch_execute("RESET session_replication_role").await.unwrap();
    fixture.client.batch_execute("UPDATE users SET pmask = NULL, name = 'x' WHERE id = 1").await.unwrap();
    assert_eq!(fixture.masks("users", 1).await, [truth]);
    // A row that is given to somebody has that person's mask, and a new row its person's, whatever is said.
    fixture.client.batch_execute("UPDATE events SET subject = 1, pmask = 15 WHERE subject = 2").await.unwrap();
    fixture.client.batch_execute("INSERT INTO events (subject, pmask) VALUES (1, 15), (NULL, 15)").await.unwrap();
    let sql = "SELECT DISTINCT pmask FROM events WHERE subject = 1 AND n > 60 OR subject IS NULL ORDER BY 1";
    let masks: Vec<i64> = fixture.client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(masks, [0, truth]);
}

#[tokio::test]
async fn an_order_for_everybody_acts_at_once_and_is_written_in_the_background() {
    let mut fixture = Fixture::ready("everybody").await;
    let choices = fixture.choices;
    choices.record(&fixture.client, &person(4), "research", State::Refused, &at(1)).await.unwrap();
    let order = StopOrder {
        subject: None,
        purpose: Some("research".into()),
        ordered_by: "data protection authority".into(),
        reference: "file 7".into(),
        reason: "pending an assessment".into(),
    };
    let before = choices.stop_set(&fixture.client).await.unwrap();
    let number = choices.stop(&fixture.client, &order).await.unwrap();
    let changes = choices.stop_set_since(&fixture.client, before.seq, 10).await.unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!((&changes[0].subject, changes[0].bits), (&None, OTHER));
    let mut followed = before;
    changes.into_iter().for_each(|change| followed.apply(change));
    assert_eq!(followed, choices.stop_set(&fixture.client).await.unwrap());
    assert_eq!(fixture.masks("users", 1).await, [BEGIN], "not in one transaction");
    fixture.client.batch_execute("INSERT INTO users (id) VALUES (21)").await.unwrap();
    assert_eq!(fixture.masks("users", 21).await, [CONTRACT | INTEREST], "new rows know at once");
    // Small stretches, so that the order is not over in one.
    let mut rounds = 0;
    loop {
        let progress = choices.work_off(&mut fixture.client, 7).await.unwrap();
        rounds += 1;
        if progress.is_idle() {
            break;
        }
        if fixture.mismatches().await.iter().any(|mismatch| matches!(mismatch, vigie_choices::Mismatch::Row { .. })) {
            assert_eq!(choices.stop_set(&fixture.client).await.unwrap().everybody, OTHER, "until all is written");
        }
    }
    assert!(rounds > 10, "{rounds}");
    assert_eq!(choices.stop_set(&fixture.client).await.unwrap().everybody, 0);
    assert_eq!(fixture.masks("events", 20).await, [CONTRACT | INTEREST]);
    assert_eq!(fixture.mismatches().await, []);
    assert!(choices.lift(&fixture.client, number, "authority").await.unwrap());
    fixture.settle().await;
    assert_eq!(fixture.masks("events", 20).await, [BEGIN]);
    assert_eq!(fixture.masks("events", 4).await, [CONTRACT | INTEREST]);
    assert_eq!(fixture.mismatches().await, []);
}

#[tokio::test]
async fn changing_masks_stays_a_hot_update() {
    let fixture = Fixture::ready("hot").await;
    let count = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_get_xact_tuples_updated('users'::regclass) n_tup_upd,
                 pg_stat_get_xact_tuples_hot_updated('users'::regclass) n_tup_hot_upd";
    fixture.client.batch_execute("BEGIN").await.unwrap();
    let before = fixture.client.query_one(count, &[]).await.unwrap();
    for id in 1..=20 {
        fixture.choices.record(&fixture.client, &person(id), "research", State::Refused, &at(1)).await.unwrap();
    }
    let row = fixture.client.query_one(count, &[]).await.unwrap();
    fixture.client.batch_execute("COMMIT").await.unwrap();
    let grown = |column: usize| row.get::<_, i64>(column) - before.get::<_, i64>(column);
    assert_eq!((grown(0), grown(1)), (20, 20));
}
