//! Tickets and budgets, as the gateway's control connection uses them.
//!
//! # Source
//!
//! DOMAIN.md, DA-06 (each access has a need: ticket, purpose, approver other than requester, expiry) and DA-09
//! (break-glass is reviewed within 24 h). 30 days and 24 hours as the longest life of a ticket are our own.

use crate::{Choices, ChoicesError, error::Doing as _};
use std::time::SystemTime;
use tokio_postgres::GenericClient;

/// A request for access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketRequest {
    /// Who asks.
    pub requester: String,
    /// For which purpose.
    pub purpose: String,
    /// To which tables; 1 to 200.
    pub tables: Vec<String>,
    /// Why; 10 to 2000 characters.
    pub reason: String,
    /// In an emergency, with two approvers.
    pub break_glass: bool,
    /// Until when: at most 30 days, in an emergency 24 hours.
    pub expires_at: SystemTime,
}

/// A ticket that is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Its number.
    pub id: i64,
    /// The tables.
    pub tables: Vec<String>,
    /// Whether it is one of emergency.
    pub break_glass: bool,
    /// Who approved it.
    pub approver: String,
    /// Who approved it too.
    pub second_approver: Option<String>,
    /// Until when.
    pub expires_at: SystemTime,
}

/// Which tickets are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// Those that are not over yet, or still to be reviewed.
    Open,
    /// All.
    All,
}

/// A ticket as it is on file, whatever became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FiledTicket {
    /// Its number.
    pub id: i64,
    /// Who asked.
    pub requester: String,
    /// For which purpose.
    pub purpose: String,
    /// The tables.
    pub tables: Vec<String>,
    /// Why.
    pub reason: String,
    /// Whether it is one of emergency.
    pub break_glass: bool,
    /// When it was asked for.
    pub requested_at: SystemTime,
    /// Who approved it.
    pub approver: Option<String>,
    /// Who approved it too.
    pub second_approver: Option<String>,
    /// Until when.
    pub expires_at: SystemTime,
    /// Who reviewed it.
    pub reviewed_by: Option<String>,
    /// Whether it may be used now.
    pub is_valid: bool,
    /// Whether it should have been reviewed by now.
    pub is_overdue: bool,
}

/// A use of break-glass that nobody reviewed in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverdueReview {
    /// The ticket.
    pub id: i64,
    /// Who had it.
    pub requester: String,
    /// For which purpose.
    pub purpose: String,
    /// Since when it could be used.
    pub usable_since: SystemTime,
}

impl Choices {
    /// Requests a ticket, and returns its number.
    ///
    /// # Errors
    ///
    /// [`ChoicesError::Refused`] when a rule is broken, such as an expiry too far ahead.
    pub async fn request_ticket(
        &self,
        client: &impl GenericClient,
        request: &TicketRequest,
    ) -> Result<i64, ChoicesError> {
        let sql = "SELECT vigie.request_ticket($1, $2, $3, $4, $5, $6)";
        let row = client
            .query_one(
                sql,
                &[
                    &request.requester,
                    &request.purpose,
                    &request.tables,
                    &request.reason,
                    &request.break_glass,
                    &request.expires_at,
                ],
            )
            .await
            .doing("requesting a ticket")?;
        Ok(row.get(0))
    }

    /// Approves a ticket, and returns whether it is valid now: one of emergency needs a second approval.
    ///
    /// # Errors
    ///
    /// [`ChoicesError::Refused`] when the approver is the requester or approved before, or nothing is left to approve.
    pub async fn approve_ticket(
        &self,
        client: &impl GenericClient,
        ticket: i64,
        approver: &str,
    ) -> Result<bool, ChoicesError> {
        let sql = "SELECT vigie.approve_ticket($1, $2)";
        let row = client.query_one(sql, &[&ticket, &approver]).await.doing("approving a ticket")?;
        Ok(row.get(0))
    }

    /// Records the review of a ticket, once.
    ///
    /// # Errors
    ///
    /// [`ChoicesError::Refused`] when the reviewer is the requester, or it is reviewed already.
    pub async fn review_ticket(
        &self,
        client: &impl GenericClient,
        ticket: i64,
        reviewer: &str,
        note: &str,
    ) -> Result<(), ChoicesError> {
        let sql = "SELECT vigie.review_ticket($1, $2, $3)";
        client.execute(sql, &[&ticket, &reviewer, &note]).await.doing("reviewing a ticket")?;
        Ok(())
    }

    /// Returns the tickets that are valid now for somebody and a purpose, oldest first.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub async fn valid_tickets(
        &self,
        client: &impl GenericClient,
        requester: &str,
        purpose: &str,
    ) -> Result<Vec<Ticket>, ChoicesError> {
        let sql =
            "SELECT id, tables, break_glass, approver, second_approver, expires_at FROM vigie.valid_tickets($1, $2)";
        let rows = client.query(sql, &[&requester, &purpose]).await.doing("reading tickets")?;
        let ticket = |row: &tokio_postgres::Row| Ticket {
            id: row.get(0),
            tables: row.get(1),
            break_glass: row.get(2),
            approver: row.get(3),
            second_approver: row.get(4),
            expires_at: row.get(5),
        };
        Ok(rows.iter().map(ticket).collect())
    }

    /// Returns tickets, the newest first.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub async fn filed_tickets(
        &self,
        client: &impl GenericClient,
        listed: Listed,
    ) -> Result<Vec<FiledTicket>, ChoicesError> {
        let sql = "SELECT t.id, t.requester, t.purpose, t.tables, t.reason, t.break_glass, t.requested_at, t.approver,
                          t.second_approver, t.expires_at, t.reviewed_by,
                          t.expires_at > clock_timestamp() AND t.approver IS NOT NULL
                              AND (NOT t.break_glass OR t.second_approver IS NOT NULL),
                          EXISTS (SELECT FROM vigie.overdue_review o WHERE o.id = t.id)
                   FROM vigie.ticket t
                   WHERE $1 OR t.expires_at > clock_timestamp()
                      OR (t.second_approver IS NOT NULL AND t.reviewed_by IS NULL)
                   ORDER BY t.id DESC";
        let rows = client.query(sql, &[&(listed == Listed::All)]).await.doing("reading tickets")?;
        let ticket = |row: &tokio_postgres::Row| FiledTicket {
            id: row.get(0),
            requester: row.get(1),
            purpose: row.get(2),
            tables: row.get(3),
            reason: row.get(4),
            break_glass: row.get(5),
            requested_at: row.get(6),
            approver: row.get(7),
            second_approver: row.get(8),
            expires_at: row.get(9),
            reviewed_by: row.get(10),
            is_valid: row.get::<_, Option<bool>>(11).unwrap_or(false),
            is_overdue: row.get(12),
        };
        Ok(rows.iter().map(ticket).collect())
    }

    /// Returns the uses of break-glass that nobody reviewed within 24 hours, oldest first.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub async fn overdue_reviews(&self, client: &impl GenericClient) -> Result<Vec<OverdueReview>, ChoicesError> {
        let sql = "SELECT id, requester, purpose, usable_since FROM vigie.overdue_review ORDER BY usable_since";
        let rows = client.query(sql, &[]).await.doing("reading overdue reviews")?;
        let review = |row: &tokio_postgres::Row| OverdueReview {
            id: row.get(0),
            requester: row.get(1),
            purpose: row.get(2),
            usable_since: row.get(3),
        };
        Ok(rows.iter().map(review).collect())
    }

    /// Spends from a reader's budget of today for a dataset. Returns what is used then, or nothing when the limit does not
    /// allow it; then nothing is spent. Days are those of UTC, by the clock of the server.
    ///
    /// # Errors
    ///
    /// [`ChoicesError::Refused`] for a cost below 0.
    pub async fn spend_budget(
        &self,
        client: &impl GenericClient,
        reader: &str,
        dataset: &str,
        cost: i64,
        limit: i64,
    ) -> Result<Option<i64>, ChoicesError> {
        let sql = "SELECT vigie.spend_budget($1, $2, $3, $4)";
        let row = client.query_one(sql, &[&reader, &dataset, &cost, &limit]).await.doing("spending a budget")?;
        Ok(row.get(0))
    }
}
