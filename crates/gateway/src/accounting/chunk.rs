//! A statement's rows on their way out, in chunks: none leaves before its entry is in the ledger and its record in the
//! vault, both durable.
//!
//! Out of scope: cutting results and sending them (`session`); the header's words (`header`).
//!
//! The surprise: [`Builder::row`] only copies. Salts, commitments and the root are made when the chunk is full, on a
//! thread for such work if there are many rows; ledger and vault write at the same time.

use super::Account;
use super::header::{Outcome, StatementFacts};
use std::sync::Arc;
use vigie_accounting::{Draft, NotLogged, Receipted};
use vigie_ledger::{Hash, Kind};
use vigie_vault::{RowList, RowRefused};

/// Most rows of a chunk.
pub const MAX_CHUNK_ROWS: u32 = 16_384;

/// The rows of a statement, chunk by chunk.
#[derive(Debug)]
pub struct Builder {
    account: Arc<Account>,
    header: String,
    templates: Vec<Vec<u8>>,
    outcome: Outcome,
    chunk: u64,
    rows: RowList,
}

impl Builder {
    pub(super) fn new(account: Arc<Account>, facts: &StatementFacts) -> Result<Self, NotLogged> {
        let templates = facts.templates();
        let rows = RowList::new(templates.clone())?;
        Ok(Self { account, header: facts.to_header(), templates, outcome: facts.outcome, chunk: 0, rows })
    }

    /// Notes that a row about `subject` is on its way, with the columns of number `columns`. A row of a join that shows
    /// two people is noted twice.
    ///
    /// # Errors
    ///
    /// [`RowRefused`]: the row cannot be accounted for, and must not leave.
    #[inline]
    pub fn row(&mut self, columns: u8, subject: &[u8]) -> Result<(), RowRefused> {
        self.rows.push(columns, subject)
    }

    /// Returns how many rows were noted since the last chunk.
    pub fn count(&self) -> u32 {
        self.rows.count()
    }

    /// Tells whether the chunk should be finished before the next row.
    pub fn is_full(&self) -> bool {
        self.rows.count() >= MAX_CHUNK_ROWS
    }

    /// Logs the rows noted since the last chunk, none among them; they may leave once this returns.
    ///
    /// Given up in between, the access may be logged or not; its rows never left.
    ///
    /// # Errors
    ///
    /// [`NotLogged`]; then none of these rows may leave, and the builder must not be used again.
    pub async fn finish(&mut self) -> Result<Receipted, NotLogged> {
        let rows = RowList::new(self.templates.clone())?;
        let rows = std::mem::replace(&mut self.rows, rows);
        // The next chunk is likely to be as long.
        self.rows.reserve(rows.packed_bytes());
        let header = format!("{}chunk {}\n", self.header, self.chunk).into_bytes();
        self.chunk += 1;
        let (outcome, peer_ref) = (self.outcome, Hash([0; 32]));
        let flags = outcome.flags();
        let draft = Draft { kind: Kind::Access, flags, peer_ref, header, rows, event_id: None };
        self.account.log(draft).await
    }
}
