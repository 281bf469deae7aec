//! A statement's rows on their way out, in chunks: none leaves before its entry is in the ledger and its record in the
//! vault, both durable.
//!
//! Out of scope: cutting results and sending them (`session`); the header's words (`header`).
//!
//! The surprise: [`Builder::row`] only copies. Salts, commitments and the root are made when the chunk is full, on a
//! thread for such work if there are many rows; ledger and vault write at the same time (`together`).

use super::Account;
use super::header::{Outcome, StatementFacts};
use super::journal::{Journal, JournalError, Placed};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use vigie_ledger::commitment::{MAX_ROW_BYTES, Place, Salt, commit};
use vigie_ledger::{Entry, EventId, Hash, Kind};
use vigie_vault::{AppendError, Record, RowList, RowRefused, Stopped, Ticket, Vault};

/// Most rows of a chunk.
pub const MAX_CHUNK_ROWS: u32 = 16_384;
/// Up to how many rows a chunk is worked out on the thread that asks.
const FEW_ROWS: u32 = 64;

/// Where an access was logged. Its record is in the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipted {
    /// The event's name.
    pub event_id: EventId,
    /// Its index in the ledger, from 0.
    pub index: u64,
    /// Rows in the ledger before its own.
    pub row_base: u64,
}

/// Why an access is not known to be logged. No row of it may leave.
#[derive(Debug, thiserror::Error)]
pub enum NotLogged {
    /// The ledger has not promised it.
    #[error("the access could not be logged")]
    Journal(#[from] JournalError),
    /// The vault did not take the record.
    #[error("the record of the access could not be kept")]
    Vault(#[from] AppendError),
    /// The vault stopped before it promised the record.
    #[error("the record of the access could not be kept")]
    VaultStopped(#[from] Stopped),
    /// A row or the list of columns cannot be accounted for.
    #[error("the access cannot be accounted for")]
    Row(#[from] RowRefused),
    /// The header is too long.
    #[error("the header of the access has {0} bytes, more than the {MAX_ROW_BYTES} that can be committed to")]
    Header(usize),
    /// There are no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
    /// The clock is wrong.
    #[error("the clock is before 1970")]
    Clock,
    /// The gateway is ending.
    #[error("the gateway is ending")]
    Ending,
}

/// What a statement says of itself, written once for all that say the same.
#[derive(Debug)]
pub struct Heading {
    /// The header of each chunk, but for the last line.
    header: String,
    outcome: Outcome,
    /// A list without rows, for rows of these columns.
    rows: RowList,
}

/// The rows of a statement, chunk by chunk.
#[derive(Debug)]
pub struct Builder {
    account: Arc<Account>,
    heading: Arc<Heading>,
    chunk: u64,
    rows: RowList,
}

/// What a record is made of.
pub(super) struct Draft {
    pub(super) kind: Kind,
    pub(super) outcome: Outcome,
    pub(super) peer_ref: Hash,
    pub(super) header: Vec<u8>,
    pub(super) rows: RowList,
    pub(super) event_id: Option<EventId>,
}

impl Heading {
    /// Writes the heading.
    ///
    /// # Errors
    ///
    /// [`NotLogged::Row`] if there are more lists of columns than can be numbered.
    pub fn new(facts: &StatementFacts) -> Result<Self, NotLogged> {
        let rows = RowList::new(facts.templates())?;
        Ok(Self { header: facts.to_header(), outcome: facts.outcome, rows })
    }
}

impl Builder {
    pub(super) fn new(account: Arc<Account>, heading: Arc<Heading>) -> Self {
        let rows = heading.rows.emptied();
        Self { account, heading, chunk: 0, rows }
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
        let rows = std::mem::replace(&mut self.rows, self.heading.rows.emptied());
        if rows.count() >= MAX_CHUNK_ROWS {
            // The next chunk is likely to be as long.
            self.rows.reserve(rows.packed_bytes());
        }
        let header = format!("{}chunk {}\n", self.heading.header, self.chunk).into_bytes();
        self.chunk += 1;
        let (outcome, peer_ref) = (self.heading.outcome, Hash([0; 32]));
        let draft = Draft { kind: Kind::Access, outcome, peer_ref, header, rows, event_id: None };
        self.account.log(draft).await
    }
}

impl Account {
    /// Makes the record of a draft, hands its entry to the ledger and itself to the vault, and waits for both.
    pub(super) async fn log(self: &Arc<Self>, draft: Draft) -> Result<Receipted, NotLogged> {
        if let Some(together) = &self.together {
            let record = if draft.rows.count() <= FEW_ROWS {
                draft.into_record()?
            } else {
                let made = tokio::task::spawn_blocking(move || draft.into_record()).await;
                made.map_err(|_| NotLogged::Ending)??
            };
            let entry = record.entry;
            return Ok(receipted(&entry, together.append(record).await?));
        }
        let (entry, ticket) = if draft.rows.count() <= FEW_ROWS {
            let record = draft.into_record()?;
            let entry = record.entry;
            match self.vault.try_append(record.clone()) {
                Err(AppendError::Full { .. }) => self.hand_over(move || Ok(record)).await?,
                other => (entry, other?),
            }
        } else {
            self.hand_over(move || draft.into_record()).await?
        };
        let bytes = entry.to_bytes();
        // The vault writes already. If one of the two fails, the other may have it: then a record without an entry, or an
        // entry whose rows nobody can open, tells of rows that never left.
        let kept = async { Ok(ticket.durable().await?) };
        let placed = async { Ok::<_, NotLogged>(self.journal.append(&bytes).await?) };
        let (placed, ()) = tokio::try_join!(placed, kept)?;
        Ok(receipted(&entry, placed))
    }

    async fn hand_over(
        &self,
        make: impl FnOnce() -> Result<Record, NotLogged> + Send + 'static,
    ) -> Result<(Entry, Ticket), NotLogged> {
        let vault: Arc<Vault> = self.vault.clone();
        let handed = tokio::task::spawn_blocking(move || {
            let record = make()?;
            let entry = record.entry;
            Ok::<_, NotLogged>((entry, vault.append(record)?))
        });
        handed.await.map_err(|_| NotLogged::Ending)?
    }

    /// The journal, for those who look places up.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }
}

fn receipted(entry: &Entry, placed: Placed) -> Receipted {
    Receipted { event_id: entry.event_id, index: placed.index, row_base: placed.row_base }
}

impl Draft {
    pub(super) fn into_record(self) -> Result<Record, NotLogged> {
        if self.header.len() > MAX_ROW_BYTES {
            return Err(NotLogged::Header(self.header.len()));
        }
        let mut random = [0; 16 + 32 + 32];
        getrandom::fill(&mut random).map_err(|error| NotLogged::Random(error.to_string()))?;
        let event_id = self.event_id.unwrap_or(EventId(random[..16].try_into().expect("16 bytes")));
        let header_salt = Salt(random[16..48].try_into().expect("32 bytes"));
        let rows = self.rows.with_seed(random[48..].try_into().expect("32 bytes"));
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| NotLogged::Clock)?;
        let mut entry = Entry::new(
            self.kind,
            since.as_secs(),
            event_id,
            commit(&header_salt, event_id, Place::Header, &self.header),
        );
        entry.flags = self.outcome.flags();
        entry.peer_ref = self.peer_ref;
        entry.row_count = rows.count().into();
        entry.rows_root = rows.root(event_id);
        Ok(Record { entry, time_ms: since.as_millis() as u64, header_salt, header: self.header, rows })
    }
}
