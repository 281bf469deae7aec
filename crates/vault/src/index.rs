//! Finding records: by event, and by a keyed hash of a person. In memory for the segment that grows, in a sorted file
//! beside each that is full.
//!
//! An index can be made again from its segment at any time, and is, where it is missing or belongs to an older writing of
//! the segment. It tells nothing without its key but how often the same person occurs.
//!
//! The surprise: rows are not listed, only records; which rows of a record are about a person is read in the record,
//! which is opened anyway. So two persons whose hashes are equal are told apart there.

use crate::record::Record;
use crate::rows::Rows;
use crate::seal::IndexKey;
use crate::segment::{FileError, Place, SegmentFile, failed};
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use vigie_ledger::EventId;

const MAGIC: [u8; 8] = *b"VIGIEVX1";
/// Magic, segment id, segment bytes, events, persons, checksum of what follows, checksum of these.
const HEAD_BYTES: usize = 8 + 16 + 8 + 8 + 8 + 4 + 4;
/// Event, offset, length.
const EVENT_BYTES: usize = 16 + 8 + 4;
/// Hash, event by its place in the list of events.
const PERSON_BYTES: usize = 8 + 4;

/// An index in memory.
#[derive(Debug, Default)]
pub(crate) struct Growing {
    events: HashMap<EventId, (u32, Place)>,
    list: Vec<EventId>,
    // INVARIANT (a person once a record): no pair is there twice.
    persons: Vec<(u64, u32)>,
}

/// An index in a file.
#[derive(Debug)]
pub(crate) struct IndexFile {
    file: File,
    path: PathBuf,
    n_events: u64,
    n_persons: u64,
    checksum: u32,
}

/// An index.
#[derive(Debug)]
pub(crate) enum Index {
    Growing(Growing),
    Filed(IndexFile),
}

pub(crate) fn index_path(segment: &Path) -> PathBuf {
    segment.with_extension("index")
}

/// Returns the hashes of the persons of these rows, each once.
pub(crate) fn hashes(key: &IndexKey, rows: &Rows) -> Vec<u64> {
    let mut hashes = Vec::new();
    let mut last: &[u8] = &[];
    for subject in rows.subjects() {
        // Rows of one person often follow one another.
        if subject != last {
            hashes.push(key.hash(subject));
            last = subject;
        }
    }
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

impl Growing {
    /// Notes where a record is. Persons follow later.
    pub(crate) fn note(&mut self, event_id: EventId, place: Place) {
        let slot = self.list.len() as u32;
        self.list.push(event_id);
        self.events.insert(event_id, (slot, place));
    }

    /// Notes the persons of a record that was noted.
    pub(crate) fn note_persons(&mut self, event_id: EventId, hashes: &[u64]) {
        if let Some((slot, _)) = self.events.get(&event_id) {
            self.persons.extend(hashes.iter().map(|hash| (*hash, *slot)));
        }
    }

    pub(crate) fn add(&mut self, key: &IndexKey, record: &Record, place: Place) {
        self.note(record.event_id(), place);
        self.note_persons(record.event_id(), &hashes(key, &record.rows));
    }

    /// Files the index beside its segment, durably.
    pub(crate) fn file(&self, segment: &SegmentFile, segment_bytes: u64) -> Result<IndexFile, FileError> {
        let mut order: Vec<u32> = (0..self.list.len() as u32).collect();
        order.sort_unstable_by_key(|slot| self.list[*slot as usize]);
        let mut slots = vec![0; order.len()];
        for (to, from) in (0..).zip(&order) {
            slots[*from as usize] = to;
        }
        let mut persons: Vec<(u64, u32)> =
            self.persons.iter().map(|(hash, slot)| (*hash, slots[*slot as usize])).collect();
        persons.sort_unstable();
        let events: Vec<_> = order
            .iter()
            .map(|slot| {
                let event = self.list[*slot as usize];
                (event, self.events[&event].1)
            })
            .collect();
        write(segment, segment_bytes, &events, &persons)
    }
}

/// Writes an index of sorted lists.
pub(crate) fn write(
    segment: &SegmentFile,
    segment_bytes: u64,
    events: &[(EventId, Place)],
    persons: &[(u64, u32)],
) -> Result<IndexFile, FileError> {
    let mut body = Vec::with_capacity(events.len() * EVENT_BYTES + persons.len() * PERSON_BYTES);
    for (event, place) in events {
        body.extend(event.0);
        body.extend(place.offset.to_be_bytes());
        body.extend(place.length.to_be_bytes());
    }
    for (hash, event) in persons {
        body.extend(hash.to_be_bytes());
        body.extend(event.to_be_bytes());
    }
    let mut bytes = MAGIC.to_vec();
    bytes.extend(segment.id);
    bytes.extend(segment_bytes.to_be_bytes());
    bytes.extend((events.len() as u64).to_be_bytes());
    bytes.extend((persons.len() as u64).to_be_bytes());
    bytes.extend(crc32fast::hash(&body).to_be_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes.extend(body);
    let path = index_path(&segment.path);
    segment.steps().write_whole(&path, &bytes)?;
    IndexFile::open(segment, segment_bytes)?.ok_or(FileError::Index(path))
}

impl IndexFile {
    /// Opens the index of a segment; `None` if there is none for this writing of it.
    pub(crate) fn open(segment: &SegmentFile, segment_bytes: u64) -> Result<Option<Self>, FileError> {
        let path = index_path(&segment.path);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed(&path, "opened"))?,
        };
        let mut head = [0; HEAD_BYTES];
        if file.read_exact_at(&mut head, 0).is_err() {
            return Ok(None);
        }
        let number = |at: usize| u64::from_be_bytes(head[at..at + 8].try_into().expect("eight bytes"));
        let checksum = u32::from_be_bytes(head[48..52].try_into().expect("four bytes"));
        let (n_events, n_persons) = (number(32), number(40));
        let bytes = file.metadata().map_err(failed(&path, "read"))?.len();
        let expected = (n_events.checked_mul(EVENT_BYTES as u64))
            .and_then(|events| n_persons.checked_mul(PERSON_BYTES as u64)?.checked_add(events))
            .and_then(|body| body.checked_add(HEAD_BYTES as u64));
        let fits = crc32fast::hash(&head[..52]).to_be_bytes() == head[52..]
            && head[..8] == MAGIC
            && head[8..24] == segment.id
            && number(24) == segment_bytes
            && expected == Some(bytes);
        Ok(fits.then_some(Self { file, path, n_events, n_persons, checksum }))
    }

    fn read<const N: usize>(&self, at: u64) -> Result<[u8; N], FileError> {
        let mut bytes = [0; N];
        self.file.read_exact_at(&mut bytes, at).map_err(failed(&self.path, "read"))?;
        Ok(bytes)
    }

    fn event(&self, slot: u64) -> Result<(EventId, Place), FileError> {
        if slot >= self.n_events {
            return Err(FileError::Index(self.path.clone()));
        }
        let bytes: [u8; EVENT_BYTES] = self.read(HEAD_BYTES as u64 + slot * EVENT_BYTES as u64)?;
        let offset = u64::from_be_bytes(bytes[16..24].try_into().expect("eight bytes"));
        let length = u32::from_be_bytes(bytes[24..].try_into().expect("four bytes"));
        Ok((EventId(bytes[..16].try_into().expect("16 bytes")), Place { offset, length }))
    }

    fn person(&self, at: u64) -> Result<(u64, u32), FileError> {
        let persons = HEAD_BYTES as u64 + self.n_events * EVENT_BYTES as u64;
        let bytes: [u8; PERSON_BYTES] = self.read(persons + at * PERSON_BYTES as u64)?;
        let hash = u64::from_be_bytes(bytes[..8].try_into().expect("eight bytes"));
        Ok((hash, u32::from_be_bytes(bytes[8..].try_into().expect("four bytes"))))
    }

    fn find(&self, event_id: EventId) -> Result<Option<Place>, FileError> {
        let (mut low, mut high) = (0, self.n_events);
        while low < high {
            let middle = low + (high - low) / 2;
            let (found, place) = self.event(middle)?;
            match found.cmp(&event_id) {
                std::cmp::Ordering::Equal => return Ok(Some(place)),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }

    fn about(&self, hash: u64) -> Result<Vec<(EventId, Place)>, FileError> {
        let (mut low, mut high) = (0, self.n_persons);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.person(middle)?.0 < hash { low = middle + 1 } else { high = middle }
        }
        let mut found = Vec::new();
        while low < self.n_persons {
            let (other, slot) = self.person(low)?;
            if other != hash {
                break;
            }
            found.push(self.event(slot.into())?);
            low += 1;
        }
        Ok(found)
    }

    /// Reads the whole index, and compares it with its checksum.
    pub(crate) fn all(&self) -> Result<BTreeMap<EventId, (Place, Vec<u64>)>, FileError> {
        let bytes = fs::read(&self.path).map_err(failed(&self.path, "read"))?;
        let damaged = || FileError::Index(self.path.clone());
        let body = bytes.get(HEAD_BYTES..).ok_or_else(damaged)?;
        if crc32fast::hash(body) != self.checksum {
            return Err(damaged());
        }
        let events: Vec<_> = (0..self.n_events).map(|slot| self.event(slot)).collect::<Result<_, _>>()?;
        let mut all: BTreeMap<EventId, (Place, Vec<u64>)> =
            events.iter().map(|(event, place)| (*event, (*place, Vec::new()))).collect();
        for person in body[events.len() * EVENT_BYTES..].chunks_exact(PERSON_BYTES) {
            let hash = u64::from_be_bytes(person[..8].try_into().expect("eight bytes"));
            let slot = u32::from_be_bytes(person[8..].try_into().expect("four bytes"));
            let (event, _) = events.get(slot as usize).ok_or_else(damaged)?;
            all.get_mut(event).ok_or_else(damaged)?.1.push(hash);
        }
        Ok(all)
    }
}

impl Index {
    /// Returns where the record of an event is.
    pub(crate) fn find(&self, event_id: EventId) -> Result<Option<Place>, FileError> {
        match self {
            Self::Growing(growing) => Ok(growing.events.get(&event_id).map(|(_, place)| *place)),
            Self::Filed(file) => file.find(event_id),
        }
    }

    /// Returns the records that have rows about a person of this hash.
    pub(crate) fn about(&self, hash: u64) -> Result<Vec<(EventId, Place)>, FileError> {
        match self {
            Self::Growing(growing) => {
                let slots = growing.persons.iter().filter(|(other, _)| *other == hash);
                Ok(slots
                    .map(|(_, slot)| {
                        let event = growing.list[*slot as usize];
                        (event, growing.events[&event].1)
                    })
                    .collect())
            }
            Self::Filed(file) => file.about(hash),
        }
    }
}
