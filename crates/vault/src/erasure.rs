//! Erasing a person: every segment with rows about them is written anew, without their id and without those rows' salts.
//!
//! The order is: note which rows are to be erased (sealed, and durable), write each segment anew under another key, give
//! it its name, file its index, overwrite the head of the old one. Whatever stops the machine, the note makes the next
//! opening go on; it is kept until the caller has logged the erasure ([`Vault::forget`]), so that none is done and not
//! said.
//!
//! Out of scope: the ledger's entry of an erasure; copies of the vault elsewhere, which must be rotated.
//!
//! The surprise: rows that are promised *after* the call are not erased. Whoever erases first stops the reading.

use crate::doors::{Segment, Shared, Stopped, UNPOISONED, Vault, lock};
use crate::index::{Index, write};
use crate::record::Record;
use crate::rows::take;
use crate::seal::NONCE_BYTES;
use crate::segment::{Draft, FileError, HEAD_BYTES, SegmentFile, Until, failed, random};
use crate::writer::Job;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use vigie_ledger::EventId;
use vigie_ledger::hash::hex;

const ABOUT: &[u8] = b"vigie/vault-erasure/v1";
/// Bytes of a block, about, when a segment is written anew.
const BLOCK_BYTES: usize = 1024 * 1024;

/// Rows that were erased together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erased {
    /// The event of the erasure, which the ledger is to log.
    pub event_id: EventId,
    /// The rows: event, and place within it. Sorted.
    pub rows: Vec<(EventId, u32)>,
}

/// Why rows may not be erased yet. What was begun goes on with the next opening.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// The vault stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Vault {
    /// Erases all rows about a person that were promised before: afterwards none of them can be opened by anybody, and
    /// all others can. `event_id` is the erasure's own, 16 random bytes; without rows, nothing is noted.
    ///
    /// # Errors
    ///
    /// [`EraseError`]; some rows may be erased then, and the rest is when the vault is opened again.
    pub fn erase(&self, subject: &[u8], event_id: EventId) -> Result<Erased, EraseError> {
        let _one = lock(&self.shared.erasing);
        self.roll()?;
        let found = self.shared.about(subject)?;
        let mut rows: Vec<_> =
            found.iter().flat_map(|found| found.rows.iter().map(|row| (found.record.event_id(), *row))).collect();
        rows.sort_unstable();
        let erased = Erased { event_id, rows };
        if erased.rows.is_empty() {
            return Ok(erased);
        }
        let shared = &self.shared;
        let note = shared.kek.seal(&write_note(&erased), ABOUT, random()?);
        // If we stop here, nothing is erased, or everything will be.
        shared.steps.write_whole(&shared.note_path(event_id), &note)?;
        shared.erase(&erased, Some(shared.index_key.hash(subject)))?;
        Ok(erased)
    }

    /// Lists the erasures that were not forgotten: done, and perhaps not logged.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn erasures(&self) -> Result<Vec<Erased>, FileError> {
        self.shared.noted()
    }

    /// Forgets the list of an erasure, once it is logged.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn forget(&self, event_id: EventId) -> Result<(), FileError> {
        let path = self.shared.note_path(event_id);
        if path.exists() { self.shared.steps.remove(&path) } else { Ok(()) }
    }

    /// Ends the segment that grows, so that all that was promised is in segments that nobody writes to.
    fn roll(&self) -> Result<(), EraseError> {
        let (answer, done) = mpsc::channel();
        let stopped = || self.shared.inbox.stopped();
        self.shared.inbox.submit(Job::Roll { answer }, 0, true).map_err(|_| stopped())?;
        done.recv().map_err(|_| stopped())?;
        // The index could not be filed.
        self.stopped().map_or(Ok(()), |stopped| Err(stopped.into()))
    }
}

/// Goes on with what was begun and not finished.
pub(crate) fn finish(shared: &Shared) -> Result<(), FileError> {
    for erased in shared.noted()? {
        shared.erase(&erased, None)?;
    }
    Ok(())
}

impl Shared {
    fn note_path(&self, event_id: EventId) -> PathBuf {
        self.folder.join(format!("{}.erasure", hex(&event_id.0)))
    }

    fn noted(&self) -> Result<Vec<Erased>, FileError> {
        let mut noted = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed(&self.folder, "listed"))? {
            let path = entry.map_err(failed(&self.folder, "listed"))?.path();
            if path.extension().is_some_and(|extension| extension == "erasure") {
                let note = fs::read(&path).map_err(failed(&path, "read"))?;
                let note = self.kek.open(&note, ABOUT).and_then(|note| read_note(&note));
                noted.push(note.ok_or(FileError::Erasure(path))?);
            }
        }
        noted.sort_by_key(|erased| erased.event_id);
        Ok(noted)
    }

    /// Erases rows where they are not erased yet. `hash` is the person's, where it is known.
    fn erase(&self, erased: &Erased, hash: Option<u64>) -> Result<(), FileError> {
        let mut rows: BTreeMap<EventId, Vec<u32>> = BTreeMap::new();
        for (event, row) in &erased.rows {
            rows.entry(*event).or_default().push(*row);
        }
        for segment in self.segments() {
            let mut here = BTreeMap::new();
            for (event, rows) in &rows {
                let place = segment.index.read().expect(UNPOISONED).find(*event)?;
                let Some(place) = place else { continue };
                let record = segment.file.read(*event, place)?;
                if rows.iter().any(|row| record.rows.subject(*row).is_some()) {
                    here.insert(*event, rows.as_slice());
                }
            }
            if !here.is_empty() {
                self.rewrite(&segment, &here, erased.event_id, hash)?;
            }
        }
        Ok(())
    }

    /// Writes a full segment anew, without some rows.
    fn rewrite(
        &self,
        old: &Segment,
        rows: &BTreeMap<EventId, &[u32]>,
        erasure: EventId,
        hash: Option<u64>,
    ) -> Result<(), FileError> {
        let new = SegmentFile::create(old.file.number, &old.file.path, &self.kek, &self.steps)?;
        let mut places = BTreeMap::new();
        let mut hashes_left = BTreeMap::new();
        let mut at = HEAD_BYTES as u64;
        let mut draft = Draft::new(at);
        let mut drafted = 0;
        let mut flush = |draft: Draft, at: &mut u64| -> Result<(), FileError> {
            let (end, written) = new.write(draft)?;
            places.extend(written);
            *at = end;
            Ok(())
        };
        old.file.scan(Until::End, |event_id, place, mut plain| {
            if let Some(rows) = rows.get(&event_id) {
                let damaged =
                    || FileError::Record { path: old.file.path.clone(), offset: place.offset, event: event_id };
                let mut record = Record::parse(&plain).map_err(|_| damaged())?;
                record.rows.erase(event_id, rows, erasure);
                plain = record.to_bytes();
                if hash.is_none() {
                    // Whose hash is to go is not known any more: the index is made again for this record.
                    hashes_left.insert(event_id, crate::index::hashes(&self.index_key, &record.rows));
                }
            }
            let nonce: [u8; NONCE_BYTES] = random()?;
            new.push(&mut draft, event_id, &plain, &nonce);
            drafted += plain.len();
            if drafted >= BLOCK_BYTES {
                drafted = 0;
                let full = std::mem::replace(&mut draft, Draft::new(0));
                flush(full, &mut at)?;
                draft = Draft::new(at);
            }
            Ok(())
        })?;
        if !draft.places.is_empty() {
            flush(draft, &mut at)?;
        }
        // If we stop anywhere before the new file has its name, the old one is there, and the note.
        new.sync()?;
        let persons = match &*old.index.read().expect(UNPOISONED) {
            Index::Filed(index) => index.all()?,
            // A segment that grows has nothing noted: it was ended before.
            Index::Growing(_) => unreachable!("a segment is written anew when it is full"),
        };
        let mut list = Vec::with_capacity(places.len());
        let mut pairs = Vec::new();
        for (slot, (event_id, place)) in (0..).zip(&places) {
            list.push((*event_id, *place));
            let Some((_, hashes)) = persons.get(event_id) else {
                return Err(FileError::Index(crate::index::index_path(&old.file.path)));
            };
            let hashes = hashes_left.get(event_id).unwrap_or(hashes);
            let stays = |other: &&u64| !(rows.contains_key(event_id) && hash == Some(**other));
            pairs.extend(hashes.iter().filter(stays).map(|other| (*other, slot)));
        }
        pairs.sort_unstable();
        // If we stop after the new file has its name, the index beside it is of the old one, and is made again.
        new.put_in_place()?;
        let index = write(&new, at, &list, &pairs)?;
        let replaced = Segment::new(new, Index::Filed(index), at);
        self.segments.write().expect(UNPOISONED).insert(old.file.number, Arc::clone(&replaced));
        old.file.shred()
    }
}

fn write_note(erased: &Erased) -> Vec<u8> {
    let mut bytes = erased.event_id.0.to_vec();
    for (event, row) in &erased.rows {
        bytes.extend(event.0);
        bytes.extend(row.to_be_bytes());
    }
    bytes
}

fn read_note(mut bytes: &[u8]) -> Option<Erased> {
    let mut erased = Erased { event_id: EventId(take(&mut bytes)?), rows: Vec::new() };
    while !bytes.is_empty() {
        erased.rows.push((EventId(take(&mut bytes)?), u32::from_be_bytes(take(&mut bytes)?)));
    }
    Some(erased)
}
