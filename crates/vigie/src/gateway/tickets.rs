//! `vigie gateway ticket`: access to a case, by the gateway's own connection to the database.
//!
//! Who asks, approves and reviews is what the operator says: whoever can read the gateway's secret can say it. The
//! database keeps them apart (nobody approves his own), and the time.

use super::{
    arguments::{
        ApproveOptions, ConfigOptions, ListOptions, RequestOptions, ReviewOptions, TicketCommand, TicketOptions,
    },
    config_of, fault,
};
use crate::{
    arguments::Common,
    fault::Fault,
    inspect::{json_of, print_line},
    keep::in_full,
};
use serde_json::json;
use std::time::{Duration, SystemTime};
use tokio_postgres::Client;
use vigie_choices::{Choices, ChoicesError, FiledTicket, Listed, TicketRequest};
use vigie_gateway::gateway::{Secrets, control_config};

fn refused(error: ChoicesError) -> Fault {
    Fault::Database { why: in_full(&error), help: error.help() }
}

async fn opened(options: &ConfigOptions) -> Result<(Client, Choices), Fault> {
    let config = config_of(options)?;
    let secrets = Secrets::read(&config.secret).map_err(|error| fault(&error))?;
    let (address, roots) = control_config(&config, &secrets).map_err(|error| fault(&error))?;
    let client = vigie_database::connect(&address, &roots)
        .await
        .map_err(|error| Fault::Database { why: in_full(&error), help: error.help() })?;
    let choices = Choices::open(&client).await.map_err(refused)?;
    Ok((client, choices))
}

/// Carries out `vigie gateway ticket …`.
pub async fn run(options: &TicketOptions, common: &Common) -> Result<u8, Fault> {
    match &options.command {
        TicketCommand::Request(options) => request(options, common).await,
        TicketCommand::Approve(options) => approve(options, common).await,
        TicketCommand::Review(options) => review(options, common).await,
        TicketCommand::List(options) => list(options, common).await,
    }
}

async fn request(options: &RequestOptions, common: &Common) -> Result<u8, Fault> {
    let (client, choices) = opened(&options.gateway).await?;
    let request = TicketRequest {
        requester: options.who.clone(),
        purpose: options.purpose.clone(),
        tables: options.tables.clone(),
        reason: options.reason.clone(),
        break_glass: options.break_glass,
        // A second less, so that the longest is not too long by the database's clock.
        expires_at: SystemTime::now() + Duration::from_secs(u64::from(options.hours) * 3600 - 1),
    };
    let ticket = choices.request_ticket(&client, &request).await.map_err(refused)?;
    if common.json {
        print_line(&json_of(&json!({ "schema": "vigie-ticket/1", "ticket": ticket, "valid": false }))?);
    } else {
        let approvers = if options.break_glass { "two others" } else { "somebody else" };
        print_line(&format!("ticket {ticket}; it is valid once {approvers} approved it"));
    }
    Ok(0)
}

async fn approve(options: &ApproveOptions, common: &Common) -> Result<u8, Fault> {
    let (client, choices) = opened(&options.gateway).await?;
    let valid = choices.approve_ticket(&client, options.ticket, &options.by).await.map_err(refused)?;
    if common.json {
        print_line(&json_of(&json!({ "schema": "vigie-ticket/1", "ticket": options.ticket, "valid": valid }))?);
    } else {
        let state = if valid { "is valid" } else { "needs a second approval" };
        print_line(&format!("ticket {} {state}", options.ticket));
    }
    Ok(0)
}

async fn review(options: &ReviewOptions, common: &Common) -> Result<u8, Fault> {
    let (client, choices) = opened(&options.gateway).await?;
    choices.review_ticket(&client, options.ticket, &options.by, &options.note).await.map_err(refused)?;
    if common.json {
        print_line(&json_of(&json!({ "schema": "vigie-ticket/1", "ticket": options.ticket, "reviewed": true }))?);
    } else {
        print_line(&format!("ticket {} is reviewed", options.ticket));
    }
    Ok(0)
}

async fn list(options: &ListOptions, common: &Common) -> Result<u8, Fault> {
    let (client, choices) = opened(&options.gateway).await?;
    let listed = if options.all { Listed::All } else { Listed::Open };
    let tickets = choices.filed_tickets(&client, listed).await.map_err(refused)?;
    let overdue = tickets.iter().filter(|ticket| ticket.is_overdue).count();
    if common.json {
        let rows: Vec<_> = tickets
            .iter()
            .map(|ticket| {
                json!({
                    "ticket": ticket.id, "who": ticket.requester, "purpose": ticket.purpose, "tables": ticket.tables,
                    "reason": ticket.reason, "break_glass": ticket.break_glass,
                    "requested": written(ticket.requested_at), "expires": written(ticket.expires_at),
                    "approver": ticket.approver, "second_approver": ticket.second_approver,
                    "reviewer": ticket.reviewed_by, "valid": ticket.is_valid, "overdue": ticket.is_overdue,
                })
            })
            .collect();
        print_line(&json_of(&json!({ "schema": "vigie-tickets/1", "overdue": overdue, "tickets": rows }))?);
    } else {
        tickets.iter().for_each(|ticket| print_line(&in_words(ticket)));
        print_line(&format!("{} tickets, {overdue} reviews overdue", tickets.len()));
    }
    Ok(u8::from(overdue > 0))
}

fn in_words(ticket: &FiledTicket) -> String {
    let state = match (ticket.is_overdue, ticket.is_valid, &ticket.approver, ticket.reviewed_by.is_some()) {
        (true, ..) => "REVIEW OVERDUE",
        (_, true, _, true) => "valid, reviewed",
        (_, true, ..) => "valid",
        (_, _, _, true) => "reviewed",
        (_, _, None, _) => "not approved",
        (_, _, Some(_), _) if ticket.break_glass && ticket.second_approver.is_none() => "half approved",
        _ => "over",
    };
    let glass = if ticket.break_glass { ", emergency" } else { "" };
    format!(
        "{:>6}  {state}{glass}: {} for {}, {} until {}: {}",
        ticket.id,
        ticket.requester,
        ticket.purpose,
        ticket.tables.join(", "),
        written(ticket.expires_at),
        ticket.reason
    )
}

fn written(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| "-".to_owned(), |time| time.strftime("%FT%TZ").to_string())
}
