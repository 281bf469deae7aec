//! What a record is made of, and keeping it: in the vault and in the ledger.

use super::{Accounts, JournalError, Placed};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use vigie_ledger::commitment::{MAX_ROW_BYTES, Place, Salt, commit};
use vigie_ledger::entry::Flags;
use vigie_ledger::opening::{Part, Shown};
use vigie_ledger::{Entry, EventId, Hash, Kind, Receipt};
use vigie_vault::{AppendError, Record, RowList, RowRefused, Stopped, Ticket, Vault};

/// Up to how many rows a record is worked out on the thread that asks.
const FEW_ROWS: u32 = 64;

/// Where an event was logged. Its record is in the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipted {
    /// The event's name.
    pub event_id: EventId,
    /// Its index in the ledger, from 0.
    pub index: u64,
    /// Rows in the ledger before its own.
    pub row_base: u64,
}

/// Why an event is not known to be logged. No row of it may leave.
#[derive(Debug, thiserror::Error)]
pub enum NotLogged {
    /// The ledger has not promised it.
    #[error("the event could not be logged")]
    Journal(#[from] JournalError),
    /// The vault did not take the record.
    #[error("the record of the event could not be kept")]
    Vault(#[from] AppendError),
    /// The vault stopped before it promised the record.
    #[error("the record of the event could not be kept")]
    VaultStopped(#[from] Stopped),
    /// A row or the list of columns cannot be accounted for.
    #[error("the event cannot be accounted for")]
    Row(#[from] RowRefused),
    /// The header is too long.
    #[error("the header of the event has {0} bytes, more than the {MAX_ROW_BYTES} that can be committed to")]
    Header(usize),
    /// There are no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
    /// The clock is wrong.
    #[error("the clock is before 1970")]
    Clock,
    /// The program is ending.
    #[error("the program is ending")]
    Ending,
}

/// What a record is made of.
#[derive(Debug)]
pub struct Draft {
    /// What happened.
    pub kind: Kind,
    /// What else is public.
    pub flags: Flags,
    /// What it refers to.
    pub peer_ref: Hash,
    /// Who, why, on which basis: committed to.
    pub header: Vec<u8>,
    /// The rows: committed to.
    pub rows: RowList,
    /// The event's name; a random one if none is given.
    pub event_id: Option<EventId>,
}

impl Draft {
    /// Makes the record: draws salts and, unless it has one, the event's name; commits to header and rows.
    ///
    /// # Errors
    ///
    /// [`NotLogged`] for a header that is too long, or if the system has no random numbers or no clock.
    pub fn into_record(self) -> Result<Record, NotLogged> {
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
        entry.flags = self.flags;
        entry.peer_ref = self.peer_ref;
        entry.row_count = rows.count().into();
        entry.rows_root = rows.root(event_id);
        Ok(Record { entry, time_ms: since.as_millis() as u64, header_salt, header: self.header, rows })
    }
}

impl Accounts {
    /// Makes the record of a draft, hands its entry to the ledger and itself to the vault, and waits for both.
    ///
    /// # Errors
    ///
    /// [`NotLogged`]; then the ledger or the vault may have it all the same.
    pub async fn log(&self, draft: Draft) -> Result<Receipted, NotLogged> {
        let (entry, ticket) = if draft.rows.count() <= FEW_ROWS {
            let record = draft.into_record()?;
            let entry = record.entry;
            match self.vault().try_append(record.clone()) {
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
        let placed = async { Ok::<_, NotLogged>(self.journal().append(&bytes).await?) };
        let (placed, ()) = tokio::try_join!(placed, kept)?;
        Ok(receipted(&entry, placed))
    }

    /// Keeps a record, and then logs its entry: an entry that is logged is never one that nobody can open.
    ///
    /// # Errors
    ///
    /// [`NotLogged`]; the vault may have it, and handing the entry in again is right.
    pub async fn log_kept_first(&self, record: Record) -> Result<Receipted, NotLogged> {
        let (entry, ticket) = self.hand_over(move || Ok(record)).await?;
        ticket.durable().await?;
        Ok(receipted(&entry, self.journal().append(&entry.to_bytes()).await?))
    }

    async fn hand_over(
        &self,
        make: impl FnOnce() -> Result<Record, NotLogged> + Send + 'static,
    ) -> Result<(Entry, Ticket), NotLogged> {
        let vault: Arc<Vault> = self.vault().clone();
        let handed = tokio::task::spawn_blocking(move || {
            let record = make()?;
            let entry = record.entry;
            Ok::<_, NotLogged>((entry, vault.append(record)?))
        });
        handed.await.map_err(|_| NotLogged::Ending)?
    }
}

fn receipted(entry: &Entry, placed: Placed) -> Receipted {
    Receipted { event_id: entry.event_id, index: placed.index, row_base: placed.row_base }
}

/// Puts an opening into a receipt of its entry.
pub fn with_opening(receipt: &Receipt, entry: &Entry, part: Part) -> Receipt {
    let shown = Shown { entry: entry.to_bytes(), part };
    Receipt { extra: Some(shown.to_bytes()), ..receipt.clone() }
}
