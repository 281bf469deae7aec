//! The rows of an event: whom each is about, beside what all of them have in common, said once.
//!
//! The bytes that a commitment is to are a *template* followed by the person's id: for accesses, the template says which
//! line of the header lists the columns (`gateway::accounting`). A row takes two bytes and the id; its salt takes nothing
//! (`salts`). An erased row keeps the hash of its leaf, without which its neighbours could not be proved, and the event
//! of its erasure.
//!
//! Out of scope: what templates say; the record around the rows (`record`).

use crate::hashing;
use crate::salts::Salts;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use vigie_ledger::commitment::Salt;
use vigie_ledger::proof::{Nodes, inclusion_proof};
use vigie_ledger::{EventId, Hash};

/// Most bytes of a person's id.
pub const MAX_SUBJECT_BYTES: usize = 255;
/// Most rows of an event.
pub const MAX_ROWS: u32 = 1 << 24;
/// Most templates of an event.
pub const MAX_TEMPLATES: usize = 256;
/// Most bytes of a template.
pub const MAX_TEMPLATE_BYTES: usize = 4096;

/// From how many rows on two threads hash them.
const WORTH_A_THREAD: u32 = 2048;

/// Why a row is not taken.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum RowRefused {
    /// The id has no bytes, or too many.
    #[error("a person's id has {0} bytes; at least 1 and at most {MAX_SUBJECT_BYTES} can be accounted for")]
    Subject(usize),
    /// There is no such template.
    #[error("the row is of template {0}, of {1} that there are")]
    Template(u8, usize),
    /// There are too many rows.
    #[error("an event has at most {MAX_ROWS} rows")]
    TooMany,
    /// There are too many templates, or one is too long.
    #[error("an event has at most {MAX_TEMPLATES} templates of at most {MAX_TEMPLATE_BYTES} bytes")]
    Templates,
}

/// Why no opening of a row can be made.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum NotOpened {
    /// The event has fewer rows.
    #[error("row {row} was asked for, the event has {count}")]
    Beyond {
        /// The row.
        row: u64,
        /// Rows that there are.
        count: u32,
    },
    /// It was erased.
    #[error("row {row} was erased by event `{erasure}`")]
    Erased {
        /// The row.
        row: u64,
        /// The event of its erasure.
        erasure: EventId,
    },
}

/// Rows as they come: only copied.
#[derive(Clone, PartialEq, Eq)]
pub struct RowList {
    templates: Arc<[Vec<u8>]>,
    // INVARIANT (rows can be read): template, length and id alternate, `count` times; ids have a byte or more.
    packed: Vec<u8>,
    count: u32,
}

/// The rows of an event, with their salts.
#[derive(Clone, PartialEq, Eq)]
pub struct Rows {
    list: RowList,
    salts: Salts,
    // INVARIANT (erased is gone): these rows have an empty id in `list`, and no salt in `salts`.
    erased: BTreeMap<u32, ErasedRow>,
}

/// What remains of an erased row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ErasedRow {
    /// The leaf over its commitment, so that the rows beside it can be proved.
    leaf: Hash,
    erasure: EventId,
}

impl RowList {
    /// Makes a list without rows, for rows of these templates.
    ///
    /// # Errors
    ///
    /// [`RowRefused::Templates`].
    pub fn new(templates: Vec<Vec<u8>>) -> Result<Self, RowRefused> {
        if templates.len() > MAX_TEMPLATES || templates.iter().any(|template| template.len() > MAX_TEMPLATE_BYTES) {
            return Err(RowRefused::Templates);
        }
        Ok(Self { templates: templates.into(), packed: Vec::new(), count: 0 })
    }

    /// Makes a list without rows, for rows of the same templates.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self { templates: self.templates.clone(), packed: Vec::new(), count: 0 }
    }

    /// Adds a row about a person. It is row number [`RowList::count`] as that was before.
    ///
    /// # Errors
    ///
    /// [`RowRefused`]; nothing was added then.
    #[inline]
    pub fn push(&mut self, template: u8, subject: &[u8]) -> Result<(), RowRefused> {
        if subject.is_empty() || subject.len() > MAX_SUBJECT_BYTES {
            return Err(RowRefused::Subject(subject.len()));
        }
        if usize::from(template) >= self.templates.len() {
            return Err(RowRefused::Template(template, self.templates.len()));
        }
        if self.count == MAX_ROWS {
            return Err(RowRefused::TooMany);
        }
        self.packed.reserve(2 + subject.len());
        self.packed.push(template);
        self.packed.push(subject.len() as u8);
        self.packed.extend_from_slice(subject);
        self.count += 1;
        Ok(())
    }

    /// Makes room for about so many more bytes, so that adding rows need not.
    pub fn reserve(&mut self, bytes: usize) {
        self.packed.reserve(bytes);
    }

    /// Returns how many rows there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Returns how many bytes the rows take.
    pub fn packed_bytes(&self) -> usize {
        self.packed.len()
    }

    /// Lists the rows: template and person, the latter empty if erased.
    fn iter(&self) -> impl Iterator<Item = (u8, &[u8])> {
        Packed(&self.packed)
    }

    /// Gives each row its salt, all derived from 32 random bytes that nobody else has.
    pub fn with_seed(self, seed: [u8; 32]) -> Rows {
        Rows { salts: Salts::new(self.count, seed), list: self, erased: BTreeMap::new() }
    }
}

struct Packed<'list>(&'list [u8]);

impl<'list> Iterator for Packed<'list> {
    type Item = (u8, &'list [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let ([template, length], rest) = self.0.split_first_chunk::<2>()?;
        let (subject, rest) = rest.split_at_checked(usize::from(*length))?;
        self.0 = rest;
        Some((*template, subject))
    }
}

impl Rows {
    /// Rows of an event that has none.
    pub fn none() -> Self {
        RowList { templates: Arc::default(), packed: Vec::new(), count: 0 }.with_seed([0; 32])
    }

    /// Returns how many rows there are, those erased among them.
    pub fn count(&self) -> u32 {
        self.list.count
    }

    /// Returns the leaves over the commitments of all rows. On two threads, if there are many rows.
    pub fn leaves(&self, event_id: EventId) -> Vec<Hash> {
        let rows: Vec<(u8, &[u8])> = self.list.iter().collect();
        let mut leaves = vec![Hash([0; 32]); rows.len()];
        let half = if self.count() >= WORTH_A_THREAD { rows.len() / 2 } else { 0 };
        let (first, second) = leaves.split_at_mut(half);
        std::thread::scope(|scope| {
            if half > 0 {
                let rows = &rows;
                scope.spawn(move || self.fill(event_id, rows, 0, first));
            }
            self.fill(event_id, &rows, half as u32, second);
        });
        leaves
    }

    fn fill(&self, event_id: EventId, rows: &[(u8, &[u8])], from: u32, leaves: &mut [Hash]) {
        let to = from + leaves.len() as u32;
        for (row, erased) in self.erased.range(from..to) {
            leaves[(row - from) as usize] = erased.leaf;
        }
        self.salts.each(from, to, |row, salt| {
            let (template, subject) = rows[row as usize];
            leaves[(row - from) as usize] = self.leaf_of(event_id, row, salt, template, subject);
        });
    }

    fn leaf_of(&self, event_id: EventId, row: u32, salt: &[u8; 32], template: u8, subject: &[u8]) -> Hash {
        let template = &self.list.templates[usize::from(template)];
        hashing::leaf(&hashing::commit_row(salt, event_id, row.into(), template, subject))
    }

    /// Returns the root over the commitments of the rows, as the entry has it.
    pub fn root(&self, event_id: EventId) -> Hash {
        hashing::root(&self.leaves(event_id))
    }

    /// Returns whom a row is about; `None` if it was erased, or is none.
    pub fn subject(&self, row: u32) -> Option<&[u8]> {
        self.list.iter().nth(row as usize).map(|(_, subject)| subject).filter(|subject| !subject.is_empty())
    }

    /// Lists the persons of all rows that were not erased.
    pub fn subjects(&self) -> impl Iterator<Item = &[u8]> {
        self.list.iter().map(|(_, subject)| subject).filter(|subject| !subject.is_empty())
    }

    /// Lists the rows about a person.
    pub fn about(&self, subject: &[u8]) -> Vec<u32> {
        let rows = (0..).zip(self.list.iter());
        rows.filter(|(_, (_, found))| !subject.is_empty() && *found == subject).map(|(row, _)| row).collect()
    }

    /// Returns salt and bytes of a row.
    ///
    /// # Errors
    ///
    /// [`NotOpened`].
    pub fn open(&self, row: u64) -> Result<(Salt, Vec<u8>), NotOpened> {
        let beyond = NotOpened::Beyond { row, count: self.count() };
        let small = u32::try_from(row).map_err(|_| beyond)?;
        if let Some(erased) = self.erased.get(&small) {
            return Err(NotOpened::Erased { row, erasure: erased.erasure });
        }
        let (template, subject) = self.list.iter().nth(small as usize).ok_or(beyond)?;
        let salt = self.salts.salt(small).ok_or(beyond)?;
        Ok((Salt(salt), [&self.list.templates[usize::from(template)], subject].concat()))
    }

    /// Makes the proof that the commitment of a row is under the root.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    pub fn proof(&self, event_id: EventId, row: u32) -> Vec<Hash> {
        let Ok(proof) = inclusion_proof(&mut Leaves(&self.leaves(event_id)), row.into(), self.count().into());
        proof
    }

    /// Erases rows: afterwards neither the person nor the salt can be had of them. Those that were erased stay so.
    pub(crate) fn erase(&mut self, event_id: EventId, rows: &[u32], erasure: EventId) {
        let mut packed = Vec::with_capacity(self.list.packed.len());
        for (row, (template, subject)) in (0..).zip(self.list.iter()) {
            let salt = self.salts.salt(row).filter(|_| rows.contains(&row));
            packed.push(template);
            if let Some(salt) = salt {
                let leaf = self.leaf_of(event_id, row, &salt, template, subject);
                self.erased.insert(row, ErasedRow { leaf, erasure });
                self.salts.cut(row);
                packed.push(0);
            } else {
                packed.push(subject.len() as u8);
                packed.extend(subject);
            }
        }
        self.list.packed = packed;
    }

    /// Lists the rows that were erased, with the events of their erasures.
    pub fn erased(&self) -> impl Iterator<Item = (u32, EventId)> {
        self.erased.iter().map(|(row, erased)| (*row, erased.erasure))
    }

    /// Bytes that [`Rows::write`] writes, about.
    pub(crate) fn list_bytes(&self) -> usize {
        let templates: usize = self.list.templates.iter().map(|template| template.len() + 2).sum();
        templates + self.list.packed.len() + 64
    }

    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend((self.list.templates.len() as u16).to_be_bytes());
        for template in self.list.templates.iter() {
            bytes.extend((template.len() as u16).to_be_bytes());
            bytes.extend(template);
        }
        bytes.extend(self.list.count.to_be_bytes());
        self.salts.write(bytes);
        bytes.extend((self.erased.len() as u32).to_be_bytes());
        for (row, erased) in &self.erased {
            bytes.extend(row.to_be_bytes());
            bytes.extend(erased.leaf.0);
            bytes.extend(erased.erasure.0);
        }
        bytes.extend(&self.list.packed);
    }

    /// Reads what [`Rows::write`] writes, to the end of the bytes; `None` if it is not that.
    pub(crate) fn read(mut bytes: &[u8]) -> Option<Self> {
        let n_templates = u16::from_be_bytes(take(&mut bytes)?);
        let mut templates = Vec::new();
        for _ in 0..n_templates {
            let length = usize::from(u16::from_be_bytes(take(&mut bytes)?));
            let (template, rest) = bytes.split_at_checked(length)?;
            bytes = rest;
            templates.push(template.to_vec());
        }
        let mut list = RowList::new(templates).ok()?;
        list.count = u32::from_be_bytes(take(&mut bytes)?);
        if list.count > MAX_ROWS {
            return None;
        }
        let salts = Salts::read(list.count, &mut bytes)?;
        let mut erased = BTreeMap::new();
        for _ in 0..u32::from_be_bytes(take(&mut bytes)?) {
            let (row, leaf, erasure) =
                (u32::from_be_bytes(take(&mut bytes)?), Hash(take(&mut bytes)?), EventId(take(&mut bytes)?));
            if erased.last_key_value().is_some_and(|(last, _)| *last >= row) {
                return None;
            }
            erased.insert(row, ErasedRow { leaf, erasure });
        }
        let mut packed = Packed(bytes);
        let mut next_erased = erased.keys().copied().peekable();
        for row in 0..list.count {
            let (template, subject) = packed.next()?;
            let is_erased = next_erased.next_if_eq(&row).is_some();
            let has_salt = salts.over_row(row);
            if usize::from(template) >= list.templates.len() || is_erased != subject.is_empty() || is_erased == has_salt
            {
                return None;
            }
        }
        if !packed.0.is_empty() || next_erased.next().is_some() {
            return None;
        }
        list.packed = bytes.to_vec();
        Some(Self { list, salts, erased })
    }
}

/// Takes so many bytes from the front.
pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

/// Persons and salts are secret: only how many there are is shown.
impl fmt::Debug for Rows {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Rows({}, {} of them erased)", self.count(), self.erased.len())
    }
}

impl fmt::Debug for RowList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RowList({})", self.count)
    }
}

struct Leaves<'leaves>(&'leaves [Hash]);

impl Nodes for Leaves<'_> {
    type Error = std::convert::Infallible;

    fn node(&mut self, height: u32, index: u64) -> Result<Hash, Self::Error> {
        let first = (index as usize) << height;
        Ok(hashing::root(&self.0[first..first + (1 << height)]))
    }
}
