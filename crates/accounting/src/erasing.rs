//! Erasing a person from the accounts, and saying so in the ledger.
//!
//! The vault forgets whom the rows are about, and their salts; then an entry of kind 5 names the rows by their numbers in
//! the ledger, so that a sample that hits one is answered with "erased", and not with nothing.
//!
//! The surprise: the vault erases first. If the program stops before the entry is logged, the vault still knows what it
//! erased, and [`Accounts::log_erasures`] logs it.

use super::{Accounts, Draft, JournalError, NotLogged};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use vigie_ledger::entry::Flags;
use vigie_ledger::opening::erased_leaf;
use vigie_ledger::tree::root_of;
use vigie_ledger::{EventId, Hash, Kind};
use vigie_vault::{EraseError, Erased, FileError, RowList};

const FIRST_LINE: &str = "vigie/erasure/v1";

/// An erasure that is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureLogged {
    /// The event's name.
    pub event_id: EventId,
    /// Its index in the ledger.
    pub index: u64,
    /// The rows erased, by their numbers in the ledger. Sorted.
    pub rows: Vec<u64>,
}

/// Why an erasure is not known to be done and logged.
#[derive(Debug, thiserror::Error)]
pub enum NotErased {
    /// The vault could not erase.
    #[error("the person's rows could not be erased from the vault")]
    Vault(#[from] EraseError),
    /// The vault could not be read.
    #[error("the vault could not be read")]
    File(#[from] FileError),
    /// An erased row's event is not in the vault.
    #[error("the vault has no record of event `{0}`, of which it erased a row")]
    NoRecord(EventId),
    /// The ledger could not be asked for an event's place.
    #[error("the place of an event in the ledger could not be had")]
    Journal(#[from] JournalError),
    /// It could not be logged.
    #[error("the erasure is done, and not logged yet")]
    NotLogged(#[from] NotLogged),
    /// There are no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
}

impl Accounts {
    /// Erases all rows about a person that left before, and logs it. `None` if there were none.
    ///
    /// Whoever erases first stops the reading: rows on their way are not erased.
    ///
    /// # Errors
    ///
    /// [`NotErased`]; [`Accounts::log_erasures`] goes on with what was begun.
    pub async fn erase(&self, subject: &[u8]) -> Result<Option<ErasureLogged>, NotErased> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| NotErased::Random(error.to_string()))?;
        let (vault, subject) = (self.vault.clone(), subject.to_vec());
        let erased = tokio::task::spawn_blocking(move || vault.erase(&subject, EventId(id))).await;
        let erased = erased.map_err(|_| NotLogged::Ending)??;
        if erased.rows.is_empty() { Ok(None) } else { self.log_erasure(erased).await.map(Some) }
    }

    /// Logs erasures that were done and not logged, because something failed or stopped in between.
    ///
    /// # Errors
    ///
    /// [`NotErased`].
    pub async fn log_erasures(&self) -> Result<Vec<ErasureLogged>, NotErased> {
        let mut logged = Vec::new();
        for erased in self.vault.erasures()? {
            logged.push(self.log_erasure(erased).await?);
        }
        Ok(logged)
    }

    async fn log_erasure(&self, erased: Erased) -> Result<ErasureLogged, NotErased> {
        let event_id = erased.event_id;
        let there = self.vault.find(event_id)?;
        let (index, rows) = if let Some(record) = there {
            // It was kept before, and perhaps logged: the same entry has the same place.
            let rows = read_rows(&record.header).ok_or(NotErased::NoRecord(event_id))?;
            (self.journal.append(&record.entry.to_bytes()).await?.index, rows)
        } else {
            let rows = self.numbers(&erased).await?;
            let header = write_rows(&rows);
            let draft = Draft {
                kind: Kind::Erasure,
                flags: Flags::NONE,
                peer_ref: list_root(&rows),
                header,
                rows: RowList::new(Vec::new()).map_err(NotLogged::from)?,
                event_id: Some(event_id),
            };
            (self.log_kept_first(draft.into_record()?).await.map(|logged| logged.index)?, rows)
        };
        self.vault.forget(event_id)?;
        Ok(ErasureLogged { event_id, index, rows })
    }

    /// Numbers rows as the ledger does.
    async fn numbers(&self, erased: &Erased) -> Result<Vec<u64>, NotErased> {
        let mut events: BTreeMap<EventId, Vec<u32>> = BTreeMap::new();
        for (event, row) in &erased.rows {
            events.entry(*event).or_default().push(*row);
        }
        let mut numbers = Vec::with_capacity(erased.rows.len());
        for (event, rows) in events {
            let record = self.vault.find(event)?.ok_or(NotErased::NoRecord(event))?;
            let placed = self.journal.append(&record.entry.to_bytes()).await?;
            numbers.extend(rows.iter().map(|row| placed.row_base + u64::from(*row)));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

/// Returns the root of the list of erased rows, as the entry has it.
fn list_root(rows: &[u64]) -> Hash {
    root_of(rows.iter().map(|row| erased_leaf(*row)))
}

fn write_rows(rows: &[u64]) -> Vec<u8> {
    let mut text = format!("{FIRST_LINE}\n");
    for row in rows {
        writeln!(text, "row {row}").expect("a string takes everything");
    }
    text.into_bytes()
}

/// Reads the rows that an erasure's header lists.
pub(crate) fn read_rows(header: &[u8]) -> Option<Vec<u64>> {
    let mut lines = std::str::from_utf8(header).ok()?.lines();
    (lines.next() == Some(FIRST_LINE)).then_some(())?;
    lines.map(|line| line.strip_prefix("row ")?.parse().ok()).collect()
}
