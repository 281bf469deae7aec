//! Each change in the ledger, as a commitment; what opens it in the vault; and the receipt that a person can check alone.
//!
//! An entry of kind `choice` has one row, the person's, which says all there is to say:
//!
//! ```text
//! vigie/choice/v1
//! purpose marketing
//! recipient                        empty for the operator itself
//! state withdrawn
//! decided 2026-11-30T12:00:00Z
//! method banner
//! notice privacy-2026-11
//! wording sha256:…                 only where words were given
//! language en
//! subject 42
//! ```
//!
//! Nothing of it is in the header, so that erasing the row (`vault`) erases it.
//!
//! The surprise: the vault has the record before the ledger has the entry. A record without entry tells of a choice that
//! was not promised to anybody.

use std::fmt::Write as _;
use std::sync::Arc;
use vigie_accounting::{Draft, with_opening};
use vigie_ledger::entry::Flags;
use vigie_ledger::{Entry, EventId, Hash, Kind, Receipt};
use vigie_sequencer::journal::{Journal, JournalError, Placed};
use vigie_vault::{Record, RowList, Vault};

/// The first line of what a row says.
pub const FIRST_LINE: &str = "vigie/choice/v1";

/// A ledger and the vault beside it.
#[derive(Debug, Clone)]
pub struct Account {
    vault: Arc<Vault>,
    journal: Journal,
}

/// Why a change is not known to be logged.
#[derive(Debug, thiserror::Error)]
pub enum NotLogged {
    /// The ledger has not promised it.
    #[error("the change could not be logged")]
    Journal(#[from] JournalError),
    /// The vault did not take what opens it.
    #[error("what opens the entry could not be kept: {0}")]
    Vault(String),
    /// It cannot be accounted for.
    #[error("the change cannot be accounted for: {0}")]
    Row(#[from] vigie_vault::RowRefused),
    /// No record can be made of it: there are no random numbers, or no clock.
    #[error(transparent)]
    Draft(#[from] vigie_accounting::NotLogged),
    /// The vault has nothing of the event.
    #[error("the vault has no record of event `{0}`")]
    Unknown(EventId),
}

/// What a row says, but for the person. Values have no control characters.
#[derive(Debug, Clone)]
pub struct Said<'said> {
    /// The purpose.
    pub purpose: &'said str,
    /// The recipient; empty for the operator itself.
    pub recipient: &'said str,
    /// The state's word.
    pub state: &'said str,
    /// When, as RFC 3339.
    pub decided: &'said str,
    /// By what means.
    pub method: &'said str,
    /// Which notice.
    pub notice: &'said str,
    /// SHA-256 of the words shown, in hexadecimal.
    pub wording: Option<String>,
    /// Their language.
    pub language: &'said str,
}

impl Said<'_> {
    /// Returns the bytes before the person's id.
    fn template(&self) -> Vec<u8> {
        let mut text = format!("{FIRST_LINE}\n");
        let mut line = |name: &str, value: &str| {
            writeln!(text, "{name} {value}").expect("a string takes everything");
        };
        line("purpose", self.purpose);
        line("recipient", self.recipient);
        line("state", self.state);
        line("decided", self.decided);
        line("method", self.method);
        line("notice", self.notice);
        if let Some(wording) = &self.wording {
            line("wording", &format!("sha256:{wording}"));
        }
        line("language", self.language);
        text.push_str("subject ");
        text.into_bytes()
    }
}

/// Makes the record of a change; nothing is kept or logged yet.
///
/// # Errors
///
/// [`NotLogged`].
pub fn draft(controller: &str, said: &Said<'_>, subject: &str) -> Result<Record, NotLogged> {
    let mut rows = RowList::new(vec![said.template()])?;
    rows.push(0, subject.as_bytes())?;
    let header = format!("{FIRST_LINE}\ncontroller {controller}\n").into_bytes();
    let (flags, peer_ref) = (Flags::default(), Hash([0; 32]));
    let draft = Draft { kind: Kind::Choice, flags, peer_ref, header, rows, event_id: None };
    Ok(draft.into_record()?)
}

impl Account {
    /// Keeps accounts in a vault and a ledger.
    pub const fn new(vault: Arc<Vault>, journal: Journal) -> Self {
        Self { vault, journal }
    }

    /// Keeps what opens changes; durable when this returns.
    ///
    /// # Errors
    ///
    /// [`NotLogged::Vault`]; some may be kept then.
    pub async fn keep(&self, records: &[Record]) -> Result<(), NotLogged> {
        let vault = |error: &dyn std::error::Error| NotLogged::Vault(error.to_string());
        let mut tickets = Vec::with_capacity(records.len());
        for record in records {
            tickets.push(self.vault.try_append(record.clone()).map_err(|error| vault(&error))?);
        }
        for ticket in tickets {
            ticket.durable().await.map_err(|error| vault(&error))?;
        }
        Ok(())
    }

    /// Logs changes; all are in the ledger, durably, when this returns. Logging one again is always right.
    ///
    /// # Errors
    ///
    /// [`NotLogged::Journal`]; some may be logged then.
    pub async fn log(&self, entries: &[Entry]) -> Result<(), NotLogged> {
        let tasks: Vec<_> = entries
            .iter()
            .map(|entry| {
                let (journal, bytes) = (self.journal.clone(), entry.to_bytes());
                tokio::spawn(async move { journal.append(&bytes).await })
            })
            .collect();
        for task in tasks {
            task.await.map_err(|_| JournalError::Ending)??;
        }
        Ok(())
    }

    /// Logs the change of an event that the vault has.
    ///
    /// # Errors
    ///
    /// [`NotLogged`].
    pub async fn log_event(&self, event: [u8; 16]) -> Result<(), NotLogged> {
        let record = self.find(EventId(event)).await?;
        self.log(&[record.entry]).await
    }

    /// Returns the receipt of a change, which opens the person's row. Waits until the entry is published.
    ///
    /// # Errors
    ///
    /// [`NotLogged`].
    pub async fn receipt(&self, event: [u8; 16]) -> Result<Receipt, NotLogged> {
        let record = self.find(EventId(event)).await?;
        let part = record.row_part(0).map_err(|error| NotLogged::Vault(error.to_string()))?;
        let bytes = record.entry.to_bytes();
        let Placed { index, row_base, .. } = self.journal.append(&bytes).await?;
        let receipt = self.journal.receipt(&bytes, index).await?;
        Ok(with_opening(&receipt, &Entry { row_base, ..record.entry }, part))
    }

    async fn find(&self, event: EventId) -> Result<Record, NotLogged> {
        let vault = self.vault.clone();
        let found = tokio::task::spawn_blocking(move || vault.find(event)).await;
        let found = found.map_err(|_| JournalError::Ending)?.map_err(|error| NotLogged::Vault(error.to_string()))?;
        found.ok_or(NotLogged::Unknown(event))
    }

    /// Ends what is written: the vault, and the ledger if it is in this process.
    ///
    /// # Errors
    ///
    /// If something had stopped before.
    pub fn close(&self) -> Result<(), NotLogged> {
        let closed = self.vault.close().map_err(|error| NotLogged::Vault(error.to_string()));
        if let Journal::Local(log) = &self.journal {
            log.finish().map_err(JournalError::from)?;
        }
        closed
    }
}
