//! Tickets and budgets.

use crate::fixture::{Fixture, connect};
use std::time::{Duration, SystemTime};
use vigie_choices::TicketRequest;

fn request(break_glass: bool, hours: u64) -> TicketRequest {
    TicketRequest {
        requester: "ann@platform.example".into(),
        purpose: "fraud-prevention".into(),
        tables: vec!["public.users".into()],
        reason: "chargebacks of November".into(),
        break_glass,
        expires_at: SystemTime::now() + Duration::from_secs(hours * 3600),
    }
}

#[tokio::test]
async fn a_ticket_is_approved_by_another_and_ends_soon() {
    let fixture = Fixture::new("ticket", "bigint").await;
    let (choices, client) = (fixture.choices, &fixture.client);
    let refused = async |request: TicketRequest, expected: &str| {
        let error = choices.request_ticket(client, &request).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    let near = "a ticket lasts at most 30 days, and one of break-glass at most 24 hours";
    refused(request(false, 31 * 24), near).await;
    refused(request(true, 25), near).await;
    let past = TicketRequest { expires_at: SystemTime::now() - Duration::from_secs(60), ..request(false, 1) };
    refused(past, "a ticket ends in the future").await;
    let ticket = choices.request_ticket(client, &request(false, 30 * 24 - 1)).await.unwrap();
    let valid = async || choices.valid_tickets(client, "ann@platform.example", "fraud-prevention").await.unwrap();
    assert_eq!(valid().await, []);
    for own in ["ann@platform.example", "Ann@Platform.example"] {
        let error = choices.approve_ticket(client, ticket, own).await.unwrap_err();
        assert_eq!(error.to_string(), "a ticket is approved by somebody other than its requester");
    }
    assert!(choices.approve_ticket(client, ticket, "bob@platform.example").await.unwrap());
    let found = valid().await;
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].id, found[0].approver.as_str(), found[0].break_glass),
        (ticket, "bob@platform.example", false)
    );
    assert!(choices.valid_tickets(client, "ann@platform.example", "research").await.unwrap().is_empty());
    let again = choices.approve_ticket(client, ticket, "cyd@platform.example").await.unwrap_err();
    assert_eq!(again.to_string(), format!("ticket {ticket} is already approved"));
}

#[tokio::test]
async fn break_glass_takes_two_approvers_and_a_review() {
    let fixture = Fixture::new("glass", "bigint").await;
    let (choices, client) = (fixture.choices, &fixture.client);
    let ticket = choices.request_ticket(client, &request(true, 23)).await.unwrap();
    assert!(!choices.approve_ticket(client, ticket, "bob").await.unwrap());
    let valid = async || choices.valid_tickets(client, "ann@platform.example", "fraud-prevention").await.unwrap();
    assert_eq!(valid().await, []);
    let error = choices.approve_ticket(client, ticket, "bob").await.unwrap_err();
    assert_eq!(error.to_string(), "the second approver is neither the requester nor the first approver");
    assert!(choices.approve_ticket(client, ticket, "cyd").await.unwrap());
    assert_eq!(valid().await[0].second_approver.as_deref(), Some("cyd"));
    assert_eq!(choices.overdue_reviews(client).await.unwrap(), []);
    client
        .batch_execute(
            "UPDATE vigie.ticket SET requested_at = requested_at - interval '25 hours',
                 expires_at = expires_at - interval '25 hours', second_at = second_at - interval '25 hours'",
        )
        .await
        .unwrap();
    assert_eq!(valid().await, []);
    let overdue = choices.overdue_reviews(client).await.unwrap();
    assert_eq!((overdue.len(), overdue[0].id), (1, ticket));
    let own = choices.review_ticket(client, ticket, "ann@platform.example", "fine").await.unwrap_err();
    assert_eq!(own.to_string(), "a use of break-glass is reviewed by somebody other than its requester");
    choices.review_ticket(client, ticket, "bob", "justified").await.unwrap();
    assert_eq!(choices.overdue_reviews(client).await.unwrap(), []);
    choices.review_ticket(client, ticket, "bob", "justified").await.unwrap_err();
}

#[tokio::test]
async fn a_budget_is_never_overspent_by_many_at_once() {
    let fixture = Fixture::new("budget", "bigint").await;
    let choices = fixture.choices;
    let mut spenders = Vec::new();
    for _ in 0..8 {
        let client = connect(&fixture.database).await;
        spenders.push(tokio::spawn(async move {
            let mut spent = 0;
            for _ in 0..25 {
                if choices.spend_budget(&client, "ann", "events", 3, 100).await.unwrap().is_some() {
                    spent += 3;
                }
            }
            spent
        }));
    }
    let mut total = 0;
    for spender in spenders {
        total += spender.await.unwrap();
    }
    assert_eq!(total, 99);
    assert_eq!(choices.spend_budget(&fixture.client, "ann", "events", 1, 100).await.unwrap(), Some(100));
    assert_eq!(choices.spend_budget(&fixture.client, "ann", "events", 1, 100).await.unwrap(), None);
    assert_eq!(choices.spend_budget(&fixture.client, "bob", "events", 101, 100).await.unwrap(), None);
    choices.spend_budget(&fixture.client, "bob", "events", -1, 100).await.unwrap_err();
}
