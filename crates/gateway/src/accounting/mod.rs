//! Accounts for every row before it leaves: an entry in the ledger, and in the vault what it opens to.
//!
//! Out of scope: deciding (`policy`), and the wire (`session`). What cannot be accounted for does not leave: every error
//! here means that the rows must not be sent.
//!
//! In reading order: [`header`] (what an access says of itself), [`journal`] (the ledger), [`chunk`] (rows on their way
//! out), `together` (all that waits, at once); then what is done with it later: [`report`] (who read my data), [`erasing`], [`answer`] (samples that an
//! authority demands).

pub mod answer;
pub mod chunk;
pub mod erasing;
pub mod header;
pub mod journal;
pub mod report;
mod together;

#[cfg(test)]
mod tests;

pub use chunk::{Builder, Heading, MAX_CHUNK_ROWS, NotLogged, Receipted};
pub use header::{AccessHeader, Action, Columns, Outcome, StatementFacts};
pub use journal::{Journal, JournalError, Placed, RemoteLedger};

use std::sync::Arc;
use together::Together;
use vigie_vault::Vault;

/// Where a gateway accounts for what it lets through, and for what it does not.
#[derive(Debug)]
pub struct Account {
    vault: Arc<Vault>,
    journal: Journal,
    /// Of a ledger in this process.
    together: Option<Together>,
}

impl Account {
    /// Accounts with this vault and this ledger.
    pub fn new(vault: Arc<Vault>, journal: Journal) -> Arc<Self> {
        let together = match &journal {
            Journal::Local(log) => Some(Together::new(vault.clone(), log.clone())),
            Journal::Remote(_) | Journal::Queue(_) => None,
        };
        Arc::new(Self { vault, journal, together })
    }

    /// Begins to account for a statement whose rows are about to leave.
    ///
    /// # Errors
    ///
    /// [`NotLogged::Row`] if there are more lists of columns than can be numbered.
    pub fn start(self: &Arc<Self>, facts: &StatementFacts) -> Result<Builder, NotLogged> {
        Ok(self.begin(Arc::new(Heading::new(facts)?)))
    }

    /// The same, for a statement that says of itself what others have said.
    pub fn begin(self: &Arc<Self>, heading: Arc<Heading>) -> Builder {
        Builder::new(self.clone(), heading)
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
