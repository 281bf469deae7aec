//! What masks say after choices and orders.

use crate::fixture::{CONSENT, CONTRACT, Fixture, INTEREST, OTHER, at, person};
use vigie_choices::{Choices, State};

#[tokio::test]
async fn a_second_installation_changes_nothing() {
    let mut fixture = Fixture::new("twice", "bigint").await;
    assert_eq!(fixture.report.migrations, [1]);
    assert_eq!(fixture.report.tables_added, ["public.users", "public.events"]);
    assert_eq!(fixture.choices.unready(&fixture.client).await.unwrap(), ["users", "events"].map(String::from).into_iter().rev().collect::<Vec<_>>());
    let (_, again) = Choices::install(&mut fixture.client, &fixture.map).await.unwrap();
    assert!(again.is_unchanged(), "{again:?}");
    fixture.settle().await;
    assert!(fixture.choices.unready(&fixture.client).await.unwrap().is_empty());
    assert_eq!(fixture.masks("users", 1).await, [CONTRACT | INTEREST | OTHER]);
    assert_eq!(fixture.masks("events", 1).await, [CONTRACT | INTEREST | OTHER]);
    assert_eq!(fixture.mismatches().await, []);
}

#[tokio::test]
async fn a_choice_is_in_force_at_once_where_the_map_says_so_and_later_elsewhere() {
    let mut fixture = Fixture::ready("force").await;
    let (choices, begin) = (fixture.choices, CONTRACT | INTEREST | OTHER);
    let given = choices.record(&fixture.client, &person(1), "marketing", State::Given, &at(1)).await.unwrap();
    assert!(given);
    choices.record(&fixture.client, &person(1), "research", State::Refused, &at(2)).await.unwrap();
    assert_eq!(fixture.masks("users", 1).await, [CONTRACT | CONSENT | INTEREST]);
    assert_eq!(fixture.masks("events", 1).await, [begin]);
    let set = choices.stop_set(&fixture.client).await.unwrap();
    assert_eq!((set.everybody, set.people.get(&person(1)).copied()), (0, Some(OTHER)));
    fixture.settle().await;
    assert_eq!(fixture.masks("events", 1).await, [CONTRACT | CONSENT | INTEREST]);
    assert_eq!(fixture.masks("users", 2).await, [begin]);
    assert!(choices.stop_set(&fixture.client).await.unwrap().people.is_empty());
    assert_eq!(fixture.mismatches().await, []);
}
