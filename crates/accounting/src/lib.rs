//! Ledger and vault together: what happened is an entry in the one and a record in the other, both durable before anybody
//! relies on them; and what is done with that later, samples and erasures.
//!
//! Out of scope: what headers and rows say, which is the gateway's (accesses) and the transfers' (hand-overs).
//!
//! In reading order: [`draft`] (what a record is made of, and keeping it);
//! then [`erasing`] and [`answer`] (samples that an authority demands).

pub mod answer;
pub mod draft;
pub mod erasing;

pub use draft::{Draft, NotLogged, Receipted, with_opening};
pub use vigie_sequencer::journal::{Journal, JournalError, Placed, RemoteLedger};

use std::sync::Arc;
use vigie_vault::Vault;

/// A vault and the ledger that its records are logged in.
#[derive(Debug, Clone)]
pub struct Accounts {
    vault: Arc<Vault>,
    journal: Journal,
}

impl Accounts {
    /// Accounts with this vault and this ledger.
    pub fn new(vault: Arc<Vault>, journal: Journal) -> Self {
        Self { vault, journal }
    }

    /// The vault, for those who look things up.
    pub fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    /// The journal, for those who look places up.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }
}
