//! Answers an authority's demand for a sample: every index drawn is shown, opened from the vault and proved from the
//! ledger's public files.
//!
//! Out of scope: who may demand, and the seed (`vigie_ledger::sampling`); logging demand and answer.
//!
//! The surprise: what cannot be shown is left out and listed, never replaced. The checker counts it as a failure.

use super::erasing::read_rows;
use super::{Accounts, JournalError, with_opening};
use std::collections::BTreeMap;
use std::sync::Mutex;
use vigie_ledger::answer::Answer;
use vigie_ledger::entry::EntryError;
use vigie_ledger::opening::{Part, erased_leaf};
use vigie_ledger::proof::{Nodes, inclusion_proof};
use vigie_ledger::reader::{ReadError, Source, Tiles, fetch_entry};
use vigie_ledger::sampling::{Demand, Seed, Unit};
use vigie_ledger::tile::Resource;
use vigie_ledger::tree::root_of;
use vigie_ledger::{Entry, EventId, Hash, Kind, Receipt};
use vigie_vault::{FileError, NotOpened};

/// Tiles kept for proofs: 16 kB each.
const TILES_KEPT: usize = 256;
/// Bundles of entries kept: 38 kB each.
const FILES_KEPT: usize = 1024;

/// An answer, and what is not in it.
#[derive(Debug)]
pub struct Answered {
    /// The answer.
    pub answer: Answer,
    /// Indexes that cannot be shown, and why.
    pub missing: Vec<(u64, Missing)>,
}

/// Why an index cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The vault has no record of the event.
    #[error("the vault has no record of event `{0}`")]
    NoRecord(EventId),
    /// The record has no such row.
    #[error("the record of event `{0}` does not open to the row")]
    NotOpened(EventId),
    /// The row was erased, and that was logged after the head, or not yet.
    #[error("the row was erased by event `{0}`, which is not in the log below the demand's head")]
    ErasedLater(EventId),
    /// No entry has such a row.
    #[error("no entry below the demand's head has the row")]
    NoRow,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AnswerFailed<E: std::error::Error + 'static> {
    /// The ledger's files cannot be read, or are not what its head says.
    #[error("the ledger cannot be read")]
    Ledger(#[from] ReadError<E>),
    /// An entry of the ledger cannot be read.
    #[error("entry {index} of the ledger cannot be read")]
    Entry {
        /// The entry.
        index: u64,
        /// Why.
        #[source]
        source: EntryError,
    },
    /// The vault could not be read.
    #[error("the vault could not be read")]
    Vault(#[from] FileError),
    /// The place of an erasure could not be had.
    #[error("the place of an erasure in the ledger could not be had")]
    Journal(#[from] JournalError),
}

/// A source that keeps what it has read.
struct Kept<S> {
    source: S,
    files: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl<S: Source> Source for &Kept<S> {
    type Error = S::Error;

    fn fetch(&self, resource: Resource) -> Result<Option<Vec<u8>>, S::Error> {
        let name = resource.to_string();
        let mut files = self.files.lock().expect("nobody panics with the files in hand");
        if let Some(file) = files.get(&name) {
            return Ok(Some(file.clone()));
        }
        let file = self.source.fetch(resource)?;
        if files.len() >= FILES_KEPT {
            files.clear();
        }
        if let Some(file) = &file {
            files.insert(name, file.clone());
        }
        Ok(file)
    }
}

impl Accounts {
    /// Answers a demand over this ledger, from its public files (`source`) and the vault.
    ///
    /// `checkpoint` is the signed note of the very head that the demand names; it is put into every receipt. Reads files:
    /// not for a thread that many wait for.
    ///
    /// # Errors
    ///
    /// [`AnswerFailed`]. What cannot be shown is no error: it is listed.
    pub async fn answer_demand<S: Source>(
        &self,
        demand: &Demand,
        seed: &Seed,
        checkpoint: &[u8],
        source: S,
    ) -> Result<Answered, AnswerFailed<S::Error>>
    where
        S::Error: std::error::Error + 'static,
    {
        let kept = Kept { source, files: Mutex::default() };
        let mut answering = Answering {
            accounts: self,
            demand,
            checkpoint,
            tiles: Tiles::new(&kept, demand.head.size(), TILES_KEPT),
            kept: &kept,
        };
        let mut answered = Answered { answer: Answer::to(demand), missing: Vec::new() };
        for index in demand.indexes(seed) {
            match answering.item(index).await? {
                Ok(receipt) => {
                    answered.answer.items.insert(index, receipt.to_bytes());
                }
                Err(missing) => answered.missing.push((index, missing)),
            }
        }
        Ok(answered)
    }
}

struct Answering<'demand, S> {
    accounts: &'demand Accounts,
    demand: &'demand Demand,
    checkpoint: &'demand [u8],
    tiles: Tiles<&'demand Kept<S>>,
    kept: &'demand Kept<S>,
}

impl<S: Source> Answering<'_, S>
where
    S::Error: std::error::Error + 'static,
{
    async fn item(&mut self, index: u64) -> Result<Result<Receipt, Missing>, AnswerFailed<S::Error>> {
        let (at, entry) = match self.demand.unit {
            Unit::Entry => (index, self.entry(index)?),
            Unit::Row => match self.entry_of_row(index)? {
                Some(found) => found,
                None => return Ok(Err(Missing::NoRow)),
            },
        };
        let event_id = entry.event_id;
        let Some(record) = self.accounts.vault.find(event_id)? else { return Ok(Err(Missing::NoRecord(event_id))) };
        let part = match self.demand.unit {
            Unit::Entry => record.header_part(),
            Unit::Row => match record.row_part(index - entry.row_base) {
                Ok(part) => part,
                Err(NotOpened::Beyond { .. }) => return Ok(Err(Missing::NotOpened(event_id))),
                Err(NotOpened::Erased { row, erasure }) => match self.erased(index, row, erasure).await? {
                    Ok(part) => part,
                    Err(missing) => return Ok(Err(missing)),
                },
            },
        };
        let proof = self.prove(at, &entry)?;
        let receipt = Receipt { extra: None, index: at, proof, checkpoint: self.checkpoint.to_vec() };
        Ok(Ok(with_opening(&receipt, &entry, part)))
    }

    /// Shows that a row was erased, if that was logged before the head.
    async fn erased(
        &mut self,
        number: u64,
        row: u64,
        erasure: EventId,
    ) -> Result<Result<Part, Missing>, AnswerFailed<S::Error>> {
        let later = Missing::ErasedLater(erasure);
        let Some(record) = self.accounts.vault.find(erasure)? else { return Ok(Err(later)) };
        let Some(rows) = read_rows(&record.header) else { return Ok(Err(later)) };
        let Ok(position) = rows.binary_search(&number) else { return Ok(Err(later)) };
        let erasure_index = self.accounts.journal.append(&record.entry.to_bytes()).await?.index;
        if erasure_index >= self.demand.head.size() {
            return Ok(Err(later));
        }
        let entry = self.entry(erasure_index)?;
        let leaves: Vec<Hash> = rows.iter().map(|row| erased_leaf(*row)).collect();
        let Ok(list_proof) = inclusion_proof(&mut List(&leaves), position as u64, rows.len() as u64);
        Ok(Ok(Part::Erased {
            row,
            erasure: entry.to_bytes(),
            erasure_index,
            erasure_proof: self.prove(erasure_index, &entry)?,
            position: position as u64,
            list_size: rows.len() as u64,
            list_proof,
        }))
    }

    fn prove(&mut self, index: u64, entry: &Entry) -> Result<Vec<Hash>, ReadError<S::Error>> {
        self.tiles.prove_inclusion(index, Hash::leaf(&entry.to_bytes()), self.demand.head.root())
    }

    fn entry(&self, index: u64) -> Result<Entry, AnswerFailed<S::Error>> {
        let bytes = fetch_entry(&self.kept, index, self.demand.head.size())?;
        Entry::parse(&bytes).map_err(|source| AnswerFailed::Entry { index, source })
    }

    /// Finds the entry that has a row: the last one whose row base is not above it.
    fn entry_of_row(&self, row: u64) -> Result<Option<(u64, Entry)>, AnswerFailed<S::Error>> {
        let (mut low, mut high) = (0, self.demand.head.size());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.entry(middle)?.row_base <= row { low = middle + 1 } else { high = middle }
        }
        let Some(at) = low.checked_sub(1) else { return Ok(None) };
        let entry = self.entry(at)?;
        let has = row < entry.row_base + entry.row_count && entry.kind != Kind::Erasure;
        Ok(has.then_some((at, entry)))
    }
}

struct List<'leaves>(&'leaves [Hash]);

impl Nodes for List<'_> {
    type Error = std::convert::Infallible;

    fn node(&mut self, height: u32, index: u64) -> Result<Hash, Self::Error> {
        let first = (index as usize) << height;
        Ok(root_of(self.0[first..first + (1 << height)].iter().copied()))
    }
}
