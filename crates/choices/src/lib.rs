//! What each person chose, kept in the operator's own PostgreSQL, and in force on every governed row in the same transaction.
//!
//! The schema `vigie` holds choices, stop orders, tickets and budgets ([`Choices::install`]). Triggers keep the mask of
//! every governed row true; nobody else can write one. A change that takes something away enters the stop set of the
//! gateways ([`Choices::stop_set`]) with its transaction, and leaves it only when all rows say it too and no reader is left
//! who could still see the old ones ([`Choices::work_off`]).
//!
//! Out of scope: who may record a choice (two roles, granted by the operator), and what a mask opens (`policy`).
//!
//! A refusal waits for nobody: rows that somebody else has locked are written later, behind the stop set.

mod error;
mod install;
pub mod jsonld;
mod record;
mod statements;
mod stops;
mod subject;
mod tickets;
mod work;

pub use error::ChoicesError;
pub use install::Report;
pub use record::{Choice, Recorded};
pub use stops::{CHANNEL, StopChange, StopSet};
pub use subject::Subject;
pub use tickets::{FiledTicket, Listed, OverdueReview, Ticket, TicketRequest};
pub use work::{Mismatch, Progress};

use error::Doing as _;
use std::time::SystemTime;
use tokio_postgres::{Client, GenericClient};
use vigie_policy::map::{DataMap, SubjectType};

/// What a person said of a purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Asked, not answered; as if nothing had been said.
    Requested,
    /// Said yes, or took back an objection.
    Given,
    /// Said no, or objected.
    Refused,
    /// Took a yes back.
    Withdrawn,
    /// A yes that is too old.
    Lapsed,
}

impl State {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Requested, Self::Given, Self::Refused, Self::Withdrawn, Self::Lapsed];

    /// Returns whether it takes something away, so that it must be in force even where the ledger cannot be reached.
    pub const fn takes_away(self) -> bool {
        matches!(self, Self::Refused | Self::Withdrawn | Self::Lapsed)
    }

    /// Reads the word of the database.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Returns the word of the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Given => "given",
            Self::Refused => "refused",
            Self::Withdrawn => "withdrawn",
            Self::Lapsed => "lapsed",
        }
    }
}

/// How it is known what a person said.
///
/// # Source
///
/// GDPR, article 7(1): the controller shall be able to demonstrate consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// To whom data may go; empty for the operator itself, the only one whom masks follow.
    pub recipient: String,
    /// When the person said it. A decision older than the one in force is kept, and changes nothing.
    pub decided_at: SystemTime,
    /// By what means: `banner`, `settings`, `letter`; 1 to 200 characters.
    pub method: String,
    /// Which notice was shown, by its name or address.
    pub notice: String,
    /// SHA-256 of the words shown.
    pub wording_hash: Option<[u8; 32]>,
    /// The language of the words, as BCP 47 has it.
    pub language: String,
}

/// An order that processing stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopOrder {
    /// Whose data; none for everybody's.
    pub subject: Option<Subject>,
    /// For which purpose; none for all.
    pub purpose: Option<String>,
    /// Who ordered it.
    pub ordered_by: String,
    /// The file or decision.
    pub reference: String,
    /// Why.
    pub reason: String,
}

/// The choices of one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choices {
    subject_type: SubjectType,
}

impl Choices {
    /// Installs or migrates the schema `vigie` for a data map, in one transaction; a second time changes nothing.
    ///
    /// Run by the owner of the schema from then on: a role that row-level security does not bind. The masks of tables that
    /// are governed from now on are written by [`Choices::work_off`].
    ///
    /// # Errors
    ///
    /// If the map contradicts the database or what was installed before; nothing is changed then.
    pub async fn install(client: &mut Client, map: &DataMap) -> Result<(Self, Report), ChoicesError> {
        let report = install::install(client, map, install::Outcome::Keep).await?;
        Ok((Self { subject_type: map.subject_type }, report))
    }

    /// Returns what [`Choices::install`] would change: it is carried out, and taken back.
    ///
    /// # Errors
    ///
    /// As [`Choices::install`].
    pub async fn plan(client: &mut Client, map: &DataMap) -> Result<Report, ChoicesError> {
        install::install(client, map, install::Outcome::TakeBack).await
    }

    /// Returns the choices of a database in which the schema is installed.
    ///
    /// # Errors
    ///
    /// [`ChoicesError::NotInstalled`], and what the server says.
    pub async fn open(client: &impl GenericClient) -> Result<Self, ChoicesError> {
        let doing = "reading what is installed in schema `vigie`";
        let present = client.query_one("SELECT to_regclass('vigie.purpose') IS NOT NULL", &[]).await.doing(doing)?;
        if !present.get::<_, bool>(0) {
            return Err(ChoicesError::NotInstalled);
        }
        let sql = "SELECT format_type(atttypid, NULL) FROM pg_attribute
                   WHERE attrelid = to_regclass('vigie.choice') AND attname = 'subject'";
        let row = client.query_one(sql, &[]).await.doing(doing)?;
        let subject_type = match row.get::<_, &str>(0) {
            "bigint" => SubjectType::Bigint,
            "uuid" => SubjectType::Uuid,
            "text" => SubjectType::Text,
            other => return Err(ChoicesError::OtherSubjectType { installed: other.into(), wanted: "a known".into() }),
        };
        Ok(Self { subject_type })
    }

    /// Returns the type of a person's id.
    pub const fn subject_type(&self) -> SubjectType {
        self.subject_type
    }

    /// Records what a person said, and brings it into force. Returns whether it came into force: a decision older than the
    /// one in force does not.
    ///
    /// # Errors
    ///
    /// [`ChoicesError::Refused`] for a purpose that the map does not have or that nobody can refuse; nothing is recorded.
    pub async fn record(
        &self,
        client: &impl GenericClient,
        subject: &Subject,
        purpose: &str,
        state: State,
        evidence: &Evidence,
    ) -> Result<bool, ChoicesError> {
        self.record_as(client, subject, purpose, state, evidence, None).await
    }

    /// Records that a person takes a consent back.
    ///
    /// # Errors
    ///
    /// As [`Choices::record`].
    ///
    /// # Source
    ///
    /// GDPR, article 7(3).
    pub async fn withdraw(
        &self,
        client: &impl GenericClient,
        subject: &Subject,
        purpose: &str,
        evidence: &Evidence,
    ) -> Result<bool, ChoicesError> {
        self.record(client, subject, purpose, State::Withdrawn, evidence).await
    }

    /// Gives a stop order, and returns its number. It acts on gateways as soon as the transaction is committed; rows of
    /// everybody follow in the background ([`Choices::work_off`]).
    ///
    /// # Errors
    ///
    /// [`ChoicesError::Refused`] for a purpose that the map does not have; nothing is ordered.
    pub async fn stop(&self, client: &impl GenericClient, order: &StopOrder) -> Result<i64, ChoicesError> {
        let sql = format!("SELECT vigie.stop({}, $2, $3, $4, $5)", self.parameter(1));
        let subject = order.subject.as_ref().map(Subject::as_str);
        let parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
            &[&subject, &order.purpose, &order.ordered_by, &order.reference, &order.reason];
        let row = client.query_one(&sql, parameters).await.doing("giving a stop order")?;
        Ok(row.get(0))
    }

    /// Lifts a stop order. Returns whether there was an active one of that number.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub async fn lift(&self, client: &impl GenericClient, order: i64, by: &str) -> Result<bool, ChoicesError> {
        let row = client.query_one("SELECT vigie.lift($1, $2)", &[&order, &by]).await.doing("lifting a stop order")?;
        Ok(row.get(0))
    }

    /// Returns how a person's id is passed as the parameter of a number.
    pub(crate) fn parameter(self, number: usize) -> String {
        format!("${number}::text::{}", self.subject_type.as_sql())
    }
}

/// Quotes a name of PostgreSQL.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
