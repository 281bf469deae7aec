//! Several sessions at once: what neither order of commits nor an old snapshot may undo.

use crate::fixture::{CONTRACT, Fixture, INTEREST, OTHER, at, connect, person};
use vigie_choices::{State, StopOrder};

const BEGIN: i64 = CONTRACT | INTEREST | OTHER;

#[tokio::test]
async fn numbers_of_the_stop_set_come_in_the_order_of_commits() {
    let mut fixture = Fixture::ready("order").await;
    let choices = fixture.choices;
    let start = choices.stop_set(&fixture.client).await.unwrap();
    let mut slow = connect(&fixture.database).await;
    let transaction = slow.transaction().await.unwrap();
    choices.record(&transaction, &person(1), "research", State::Refused, &at(1)).await.unwrap();
    // Begun later, committed earlier.
    choices.record(&fixture.client, &person(2), "research", State::Refused, &at(1)).await.unwrap();
    let first = choices.stop_set_since(&fixture.client, start.seq, 10).await.unwrap();
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].subject, Some(person(2)));
    let whole = choices.stop_set(&fixture.client).await.unwrap();
    assert_eq!(whole.seq, first[0].seq);
    transaction.commit().await.unwrap();
    let second = choices.stop_set_since(&fixture.client, first[0].seq, 10).await.unwrap();
    assert_eq!(second.len(), 1, "what was committed later must have the higher number");
    assert_eq!(second[0].subject, Some(person(1)));
    let mut followed = start;
    first.into_iter().chain(second).for_each(|change| followed.apply(change));
    assert_eq!(followed, choices.stop_set(&fixture.client).await.unwrap());
    fixture.settle().await;
}

#[tokio::test]
async fn many_writers_and_a_follower_agree_at_every_number() {
    let fixture = Fixture::ready("follow").await;
    let choices = fixture.choices;
    let mut writers = Vec::new();
    for writer in 0..4_i64 {
        let client = connect(&fixture.database).await;
        writers.push(tokio::spawn(async move {
            for round in 0..20_u64 {
                let subject = person(writer * 5 + (round % 5).cast_signed() + 1);
                let state = if round % 3 == 0 { State::Given } else { State::Refused };
                choices.record(&client, &subject, "research", state, &at(round)).await.unwrap();
            }
        }));
    }
    let follower = connect(&fixture.database).await;
    let mut followed = choices.stop_set(&follower).await.unwrap();
    loop {
        let over = writers.iter().all(tokio::task::JoinHandle::is_finished);
        for change in choices.stop_set_since(&follower, followed.seq, 3).await.unwrap() {
            assert!(change.seq > followed.seq);
            followed.apply(change);
        }
        let whole = choices.stop_set(&follower).await.unwrap();
        if whole.seq == followed.seq {
            assert_eq!(whole, followed);
            if over {
                break;
            }
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn a_row_inserted_by_one_who_had_not_heard_of_the_refusal_is_corrected_before_the_stop_ends() {
    for isolation in ["READ COMMITTED", "REPEATABLE READ"] {
        let mut fixture = Fixture::ready(&format!("race-{}", isolation.to_lowercase().replace(' ', "-"))).await;
        let choices = fixture.choices;
        let inserter = connect(&fixture.database).await;
        inserter.batch_execute(&format!("BEGIN ISOLATION LEVEL {isolation}")).await.unwrap();
        inserter.batch_execute("INSERT INTO events (subject) VALUES (1)").await.unwrap();
        choices.record(&fixture.client, &person(1), "research", State::Refused, &at(1)).await.unwrap();
        // The worker may try as it likes.
        for _ in 0..5 {
            let progress = choices.work_off(&mut fixture.client, 100).await.unwrap();
            assert_eq!(progress.people_waiting, 1, "{isolation}");
        }
        inserter.batch_execute("INSERT INTO events (subject) VALUES (1)").await.unwrap();
        inserter.batch_execute("COMMIT").await.unwrap();
        assert!(fixture.masks("events", 1).await.contains(&BEGIN), "{isolation}: the row is stale");
        assert_eq!(choices.stop_set(&fixture.client).await.unwrap().people.get(&person(1)), Some(&OTHER));
        fixture.settle().await;
        assert_eq!(fixture.masks("events", 1).await, [CONTRACT | INTEREST], "{isolation}");
        assert!(choices.stop_set(&fixture.client).await.unwrap().people.is_empty());
        assert_eq!(fixture.mismatches().await, []);
    }
}

#[tokio::test]
async fn a_reader_of_old_rows_keeps_the_stop() {
    let mut fixture = Fixture::ready("reader").await;
    let choices = fixture.choices;
    let reader = connect(&fixture.database).await;
    // One in a repeatable read, one in an open cursor: neither has a transaction number.
    reader.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM users").await.unwrap();
    let cursor = connect(&fixture.database).await;
    cursor.batch_execute("BEGIN; DECLARE c CURSOR FOR SELECT pmask FROM users; FETCH 1 FROM c").await.unwrap();
    choices.record(&fixture.client, &person(1), "research", State::Refused, &at(1)).await.unwrap();
    let mut refused = async |open: &str| {
        for _ in 0..5 {
            choices.work_off(&mut fixture.client, 100).await.unwrap();
        }
        let set = choices.stop_set(&fixture.client).await.unwrap();
        assert_eq!(set.people.get(&person(1)), Some(&OTHER), "{open}");
    };
    refused("both").await;
    let stale = reader.query_one("SELECT pmask FROM users WHERE id = 1", &[]).await.unwrap();
    assert_eq!(stale.get::<_, i64>(0), BEGIN, "this is what the stop set is for");
    reader.batch_execute("COMMIT").await.unwrap();
    refused("the cursor").await;
    cursor.batch_execute("COMMIT").await.unwrap();
    fixture.settle().await;
    assert!(choices.stop_set(&fixture.client).await.unwrap().people.is_empty());
}

#[tokio::test]
async fn a_refusal_waits_for_nobody() {
    let mut fixture = Fixture::ready("locked").await;
    let choices = fixture.choices;
    let holder = connect(&fixture.database).await;
    holder.batch_execute("BEGIN; UPDATE users SET name = 'held' WHERE id = 1").await.unwrap();
    fixture.client.batch_execute("SET lock_timeout = '1ms'").await.unwrap();
    choices.record(&fixture.client, &person(1), "research", State::Refused, &at(1)).await.unwrap();
    assert_eq!(fixture.masks("users", 1).await, [BEGIN]);
    assert_eq!(choices.stop_set(&fixture.client).await.unwrap().people.get(&person(1)), Some(&OTHER));
    holder.batch_execute("COMMIT").await.unwrap();
    fixture.settle().await;
    assert_eq!(fixture.masks("users", 1).await, [CONTRACT | INTEREST]);
    assert_eq!(fixture.mismatches().await, []);
}

#[tokio::test]
async fn a_sweep_does_not_pass_rows_that_somebody_holds() {
    let mut fixture = Fixture::ready("stuck").await;
    let choices = fixture.choices;
    let order = StopOrder {
        subject: None,
        purpose: Some("research".into()),
        ordered_by: "authority".into(),
        reference: "1".into(),
        reason: "because".into(),
    };
    choices.stop(&fixture.client, &order).await.unwrap();
    choices.work_off(&mut fixture.client, 100).await.unwrap();
    let holder = connect(&fixture.database).await;
    holder.batch_execute("BEGIN; SELECT FROM events WHERE subject = 5 FOR UPDATE").await.unwrap();
    for _ in 0..30 {
        assert!(!choices.work_off(&mut fixture.client, 10).await.unwrap().everybody_done);
    }
    assert_eq!(choices.stop_set(&fixture.client).await.unwrap().everybody, OTHER);
    holder.batch_execute("COMMIT").await.unwrap();
    fixture.settle().await;
    assert_eq!(choices.stop_set(&fixture.client).await.unwrap().everybody, 0);
    assert_eq!(fixture.mismatches().await, []);
}

#[tokio::test]
async fn people_who_withdraw_while_rows_are_written_end_without_the_bit() {
    let mut fixture = Fixture::ready("crowd").await;
    let choices = fixture.choices;
    let mut tasks = Vec::new();
    for writer in 0..3_i64 {
        let client = connect(&fixture.database).await;
        tasks.push(tokio::spawn(async move {
            for round in 0..40_i64 {
                let id = (writer * 7 + round) % 20 + 1;
                let sql = format!(
                    "BEGIN; INSERT INTO events (subject) VALUES ({id});
                     UPDATE users SET name = name || '.' WHERE id = {}; COMMIT",
                    (id + 3) % 20 + 1
                );
                client.batch_execute(&sql).await.unwrap();
            }
        }));
    }
    let mut worker = connect(&fixture.database).await;
    let recorder = connect(&fixture.database).await;
    tasks.push(tokio::spawn(async move {
        for id in 1..=20 {
            choices.record(&recorder, &person(id), "research", State::Refused, &at(1)).await.unwrap();
            choices.record(&recorder, &person(id), "marketing", State::Given, &at(1)).await.unwrap();
            choices.work_off(&mut worker, 5).await.unwrap();
        }
    }));
    for task in tasks {
        task.await.unwrap();
    }
    fixture.settle().await;
    let sql =
        "SELECT count(*) FROM (SELECT pmask FROM users UNION ALL SELECT pmask FROM events) r WHERE pmask & 8 <> 0";
    assert_eq!(fixture.client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 0);
    assert_eq!(fixture.mismatches().await, []);
}
