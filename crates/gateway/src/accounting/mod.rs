//! Accounts for every row before it leaves: an entry in the ledger, and in the vault what it opens to.
//!
//! Out of scope: deciding (`policy`), and the wire (`session`). What cannot be accounted for does not leave: every error
//! here means that the rows must not be sent.
//!
//! In reading order: [`header`] (what an access says of itself), `sequencer::journal` (the ledger), [`chunk`] (rows on their way
//! out); then what is done with it later: [`report`] (who read my data), [`erasing`], [`answer`] (samples that an
//! authority demands).

pub mod answer;
pub mod chunk;
pub mod erasing;
pub mod header;
pub mod report;

#[cfg(test)]
mod tests;

pub use chunk::{Builder, MAX_CHUNK_ROWS, NotLogged, Receipted};
pub use header::{AccessHeader, Action, Columns, Outcome, StatementFacts};
pub use vigie_sequencer::journal::{Journal, JournalError, Placed, RemoteLedger};

use std::sync::Arc;
use vigie_vault::Vault;

/// Where a gateway accounts for what it lets through, and for what it does not.
#[derive(Debug)]
pub struct Account {
    vault: Arc<Vault>,
    journal: Journal,
}

impl Account {
    /// Accounts with this vault and this ledger.
    pub fn new(vault: Arc<Vault>, journal: Journal) -> Arc<Self> {
        Arc::new(Self { vault, journal })
    }

    /// Begins to account for a statement whose rows are about to leave.
    ///
    /// # Errors
    ///
    /// [`NotLogged::Row`] if there are more lists of columns than can be numbered.
    pub fn start(self: &Arc<Self>, facts: &StatementFacts) -> Result<Builder, NotLogged> {
        Builder::new(self.clone(), facts)
    }

    /// Logs that a statement was denied. To be awaited before the client is told.
    ///
    /// # Errors
    ///
    /// [`NotLogged`]; the statement is denied all the same.
    pub async fn denied(self: &Arc<Self>, facts: &StatementFacts) -> Result<Receipted, NotLogged> {
        let facts = StatementFacts { outcome: Outcome::Denied, ..facts.clone() };
        self.start(&facts)?.finish().await
    }

    /// The vault, for those who look things up.
    pub fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }
}
