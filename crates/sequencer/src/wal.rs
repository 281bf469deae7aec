//! The write-ahead log: where an entry becomes durable, before it is anywhere else.
//!
//! Segments are files that have their size and their name before anything is written to them, so that one sync of the
//! file makes a record durable. They consist of sectors of 512 bytes, each with a stamp at its end: the number of the
//! segment, and a checksum of it. A record begins with a sector: a head of 32 bytes with checksums, then the entries as
//! bundles have them. A segment that is no longer needed is used again under a new number, and not emptied before.
//!
//! Out of scope: what entries mean, and when a segment is no longer needed (`writer`, `publish`).
//!
//! The surprise: a record that cannot be read at the end of a log is either one that was being written when the machine
//! stopped (nobody was promised anything: it is dropped) or one that was damaged later (somebody was: an error). Disks
//! write sectors whole, so that a torn record has a sector with an older stamp, or with none; a damaged one has not.

use crate::files::{Access, Files, OpenFile};
use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

const MAGIC: [u8; 4] = *b"VGWS";
const HEAD_BYTES: usize = 32;
const SECTOR: usize = 512;
const STAMP_BYTES: usize = 8;
/// Bytes of a sector before its stamp.
const ROOM: usize = SECTOR - STAMP_BYTES;
/// Zeros are written in pieces, so that they do not stand in the way of what is waited for.
const PIECE: usize = 1024 * 1024;

/// Segments that are kept to be used again: about as many as are filled between two heads.
const SPARE: usize = 8;

/// What is wrong with a segment.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// A file could not be read or written.
    #[error("`{path}` could not be {doing}")]
    File {
        /// The file.
        path: PathBuf,
        /// What was attempted.
        doing: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A record was changed after it was written.
    #[error("`{path}` is damaged at byte {offset}: the record after entry {after} is not what was written")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        offset: usize,
        /// Entries before it.
        after: u64,
    },
    /// Entries are missing between segments.
    #[error("`{path}` begins with entry {found}, expected {expected}: a part of the write-ahead log is missing")]
    Gap {
        /// The file.
        path: PathBuf,
        /// Its first entry.
        found: u64,
        /// The entry after the last one read.
        expected: u64,
    },
    /// A segment of another version of this program.
    #[error(
        "`{0}` is no segment of a write-ahead log as this version writes them; publish with the version that wrote it"
    )]
    Foreign(PathBuf),
}

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) first: u64,
    pub(crate) count: u32,
    /// Entries, each behind its `u16` length.
    pub(crate) payload: Vec<u8>,
}

/// The end that is written to.
#[derive(Debug)]
pub(crate) struct Wal {
    current: Option<Used>,
    older: Vec<Used>,
    buffer: Vec<u8>,
    stock: Arc<Stock>,
}

/// A file that has its size and its name on disk.
#[derive(Debug)]
struct Segment {
    file: Box<dyn OpenFile>,
    path: PathBuf,
    number: u32,
    bytes: usize,
}

/// A segment with records in it.
#[derive(Debug)]
struct Used {
    segment: Segment,
    first: u64,
    at: usize,
}

/// The segment that is used next, and those that are no longer needed. Kept by whoever has time.
#[derive(Debug)]
pub(crate) struct Stock {
    files: Arc<dyn Files>,
    folder: PathBuf,
    segment_bytes: usize,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    // INVARIANT (numbers are used once): also one that was given to a segment that could not be made is gone.
    next_number: u32,
    next: Option<Segment>,
    retired: Vec<Segment>,
}

impl Stock {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().expect("nobody panics with the segments in hand")
    }

    /// Makes ready the segment that is used next, and removes what is no longer needed, but for [`SPARE`].
    ///
    /// # Errors
    ///
    /// Whatever the file system says. Nothing is lost by that: the writer tries again when it needs a segment, and is
    /// told; what was not removed is by the next start.
    pub(crate) fn tend(&self) -> io::Result<()> {
        let mut held = self.held();
        if held.next.is_none() {
            held.next = Some(self.make(&mut held, self.segment_bytes)?);
        }
        // Some are kept to be used again: to write zeros beside what is being synced would double the work of the disk.
        let fits = |segment: &Segment| segment.bytes == self.segment_bytes;
        let (mut spare, mut retired): (Vec<_>, Vec<_>) = std::mem::take(&mut held.retired).into_iter().partition(fits);
        retired.extend(spare.drain(SPARE.min(spare.len())..));
        held.retired = spare;
        // The writer may take the next one meanwhile.
        drop(held);
        retired.iter().try_for_each(|segment| self.files.remove(&segment.path))
    }

    /// Makes a segment of one that is no longer needed, or of zeros.
    fn make(&self, held: &mut Held, bytes: usize) -> io::Result<Segment> {
        let number = held.next_number;
        held.next_number += 1;
        let path = self.folder.join(segment_name(number));
        let fitting = held.retired.iter().position(|segment| segment.bytes == bytes);
        let file = match fitting.map(|at| held.retired.swap_remove(at)) {
            Some(old) => {
                self.files.rename(&old.path, &path)?;
                old.file
            }
            None => zeros(&*self.files, &path, bytes)?,
        };
        // Without its name on disk the segment would be lost, and what is promised of it.
        self.files.sync_folder(&self.folder)?;
        Ok(Segment { file, path, number, bytes })
    }
}

fn zeros(files: &dyn Files, path: &Path, bytes: usize) -> io::Result<Box<dyn OpenFile>> {
    let file = files.create(path, Access::Secret)?;
    let piece = vec![0; PIECE.min(bytes)];
    for at in (0..bytes).step_by(PIECE) {
        file.write_at(&piece[..PIECE.min(bytes - at)], at as u64)?;
        file.sync()?;
    }
    Ok(file)
}

fn segment_name(number: u32) -> String {
    format!("{number:010}.wal")
}

fn read_segment_name(name: &str) -> Option<u32> {
    let number = name.strip_suffix(".wal")?.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> WalError {
    let path = path.to_owned();
    move |source| WalError::File { path, doing, source }
}

impl Wal {
    /// Begins to write in `folder`, which exists, in a segment of this number. Those that are there are not touched.
    pub(crate) fn new(files: Arc<dyn Files>, folder: PathBuf, segment_bytes: usize, next_number: u32) -> Self {
        let segment_bytes = segment_bytes.next_multiple_of(SECTOR);
        let held = Mutex::new(Held { next_number, next: None, retired: Vec::new() });
        let stock = Arc::new(Stock { files, folder, segment_bytes, held });
        Self { current: None, older: Vec::new(), buffer: Vec::new(), stock }
    }

    /// Returns the stock of segments, for a thread that has time to tend it.
    pub(crate) fn stock(&self) -> Arc<Stock> {
        self.stock.clone()
    }

    /// Writes a record and makes it durable. `true` if a new segment was begun, so that another is wanted.
    ///
    /// # Errors
    ///
    /// [`WalError::File`]. The record may be on disk or not: nothing more may be written with this.
    pub(crate) fn append(&mut self, first: u64, count: u32, payload: &[u8]) -> Result<bool, WalError> {
        let bytes = sectors_of(payload.len()) * SECTOR;
        let fits = self.current.as_ref().is_some_and(|used| used.at + bytes <= used.segment.bytes);
        if !fits {
            self.begin_segment(first, bytes)?;
        }
        let Used { segment, at, .. } = self.current.as_mut().expect("it was begun");
        write_record(&mut self.buffer, segment.number, first, count, payload);
        segment.file.write_at(&self.buffer, *at as u64).map_err(failed(&segment.path, "written"))?;
        segment.file.sync().map_err(failed(&segment.path, "synced"))?;
        *at += bytes;
        Ok(!fits)
    }

    fn begin_segment(&mut self, first: u64, needed: usize) -> Result<(), WalError> {
        self.older.extend(self.current.take());
        let mut held = self.stock.held();
        let next = if needed <= self.stock.segment_bytes { held.next.take() } else { None };
        let segment = if let Some(segment) = next {
            segment
        } else {
            let bytes = needed.max(self.stock.segment_bytes);
            self.stock.make(&mut held, bytes).map_err(failed(&self.stock.folder, "given another segment"))?
        };
        self.current = Some(Used { segment, first, at: 0 });
        Ok(())
    }

    /// Gives up segments that hold only entries below `size`. `true` if there are any, so that the stock is to be tended.
    pub(crate) fn trim(&mut self, size: u64) -> bool {
        let next = |at: usize| self.older.get(at + 1).or(self.current.as_ref()).map_or(0, |used| used.first);
        let count = (0..self.older.len()).take_while(|at| next(*at) <= size).count();
        let given_up = self.older.drain(..count).map(|used| used.segment);
        if count > 0 {
            self.stock.held().retired.extend(given_up);
        }
        count > 0
    }
}

fn stamp(number: u32) -> [u8; STAMP_BYTES] {
    let mut stamp = [0; STAMP_BYTES];
    stamp[..4].copy_from_slice(&number.to_be_bytes());
    stamp[4..].copy_from_slice(&crc32fast::hash(&number.to_be_bytes()).to_be_bytes());
    stamp
}

fn write_record(buffer: &mut Vec<u8>, number: u32, first: u64, count: u32, payload: &[u8]) {
    let stamp = stamp(number);
    let padding = [0; ROOM];
    let sectors = sectors_of(payload.len());
    let padding = &padding[..sectors * ROOM - HEAD_BYTES - payload.len()];
    let mut crc = crc32fast::Hasher::new();
    crc.update(payload);
    crc.update(padding);
    let mut head = [0; HEAD_BYTES];
    head[..4].copy_from_slice(&MAGIC);
    head[4..8].copy_from_slice(&(payload.len() as u32).to_be_bytes());
    head[8..16].copy_from_slice(&first.to_be_bytes());
    head[16..20].copy_from_slice(&count.to_be_bytes());
    head[20..24].copy_from_slice(&crc.finalize().to_be_bytes());
    let crc = crc32fast::hash(&head[..28]);
    head[28..].copy_from_slice(&crc.to_be_bytes());

    buffer.clear();
    buffer.reserve(sectors * SECTOR);
    buffer.extend_from_slice(&head);
    let (beside_head, rest) = payload.split_at(payload.len().min(ROOM - HEAD_BYTES));
    buffer.extend_from_slice(beside_head);
    for part in rest.chunks(ROOM) {
        buffer.extend_from_slice(&stamp);
        buffer.extend_from_slice(part);
    }
    buffer.extend_from_slice(padding);
    buffer.extend_from_slice(&stamp);
}

const fn sectors_of(payload: usize) -> usize {
    (HEAD_BYTES + payload).div_ceil(ROOM)
}

struct Head {
    payload: usize,
    first: u64,
    count: u32,
    crc: u32,
}

fn read_head(bytes: &[u8]) -> Option<Head> {
    let head = bytes.get(..HEAD_BYTES)?;
    let number = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().expect("four bytes"));
    if head[..4] != MAGIC || crc32fast::hash(&head[..28]) != number(28) {
        return None;
    }
    let first = u64::from_be_bytes(head[8..16].try_into().expect("eight bytes"));
    Some(Head { payload: number(4) as usize, first, count: number(16), crc: number(20) })
}

/// Reads the record at the beginning of `bytes`, and how many bytes it takes.
fn read_record(bytes: &[u8], number: u32) -> Option<(Record, usize)> {
    let head = read_head(bytes)?;
    let total = sectors_of(head.payload) * SECTOR;
    let mut body = Vec::with_capacity(total);
    for sector in bytes.get(..total)?.chunks_exact(SECTOR) {
        if written(sector, number) != Written::Here {
            return None;
        }
        body.extend_from_slice(&sector[..ROOM]);
    }
    body.drain(..HEAD_BYTES);
    if crc32fast::hash(&body) != head.crc {
        return None;
    }
    body.truncate(head.payload);
    Some((Record { first: head.first, count: head.count, payload: body }, total))
}

/// When a sector was written, as its stamp tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    /// Since the segment has its number.
    Here,
    /// Before, or never.
    Before,
    /// No stamp of ours ends it.
    Unknown,
}

fn written(sector: &[u8], number: u32) -> Written {
    let Some(found) = sector.get(ROOM..SECTOR) else { return Written::Before };
    let stamped = u32::from_be_bytes(found[..4].try_into().expect("four bytes"));
    if found == stamp(number) {
        Written::Here
    } else if found == [0; STAMP_BYTES] || (stamped < number && found == stamp(stamped)) {
        Written::Before
    } else {
        Written::Unknown
    }
}

/// Tells whether bytes that should be a record can be one that was not written to its end.
fn is_torn(rest: &[u8], number: u32) -> bool {
    match written(rest, number) {
        Written::Before => return true,
        Written::Unknown => return false,
        Written::Here => {}
    }
    // Its first sector arrived, so the head is whole, or was changed later.
    let Some(head) = read_head(rest) else { return false };
    (0..sectors_of(head.payload))
        .any(|at| rest.get(at * SECTOR..).is_none_or(|sector| written(sector, number) == Written::Before))
}

/// Reads the records of a segment up to the first that is missing. Entries below `size` may be missing.
fn read_segment(
    path: &Path,
    bytes: &[u8],
    number: u32,
    size: u64,
    next: &mut Option<u64>,
    records: &mut Vec<Record>,
) -> Result<(), WalError> {
    let mut offset = 0;
    while let Some((record, length)) = read_record(&bytes[offset..], number) {
        if let Some(expected) = next.map(|next| next.max(size)).filter(|expected| record.first > *expected) {
            return Err(WalError::Gap { path: path.to_owned(), found: record.first, expected });
        }
        // A start that was interrupted may have written again a part of what the segments before hold.
        *next = (*next).max(Some(record.first + u64::from(record.count)));
        offset += length;
        records.push(record);
    }
    let rest = &bytes[offset..];
    // What is written in order is also lost from the end: a whole record after a missing one was not torn.
    let whole_after = rest
        .chunks(SECTOR)
        .enumerate()
        .skip(1)
        .any(|(at, sector)| sector.starts_with(&MAGIC) && read_record(&rest[at * SECTOR..], number).is_some());
    if whole_after || !is_torn(rest, number) {
        return Err(WalError::Damaged { path: path.to_owned(), offset, after: next.unwrap_or(size) });
    }
    Ok(())
}

/// All segments of a folder, read.
#[derive(Debug)]
pub(crate) struct Contents {
    /// In the order of segments; some may repeat what others hold.
    pub(crate) records: Vec<Record>,
    pub(crate) segments: Vec<PathBuf>,
    /// A number that no segment has had.
    pub(crate) next_number: u32,
}

/// Reads all segments of a folder. Entries below `size` are elsewhere, and need not be there.
///
/// # Errors
///
/// [`WalError`].
pub(crate) fn read_all(files: &dyn Files, folder: &Path, size: u64) -> Result<Contents, WalError> {
    let mut contents = Contents { records: Vec::new(), segments: Vec::new(), next_number: 0 };
    let mut next = None;
    for name in files.list(folder).map_err(failed(folder, "listed"))? {
        let path = folder.join(&name);
        let Some(number) = read_segment_name(&name) else {
            if path.extension().is_some_and(|extension| extension == "wal") {
                return Err(WalError::Foreign(path));
            }
            continue;
        };
        let bytes = files.read(&path).map_err(failed(&path, "read"))?.unwrap_or_default();
        read_segment(&path, &bytes, number, size, &mut next, &mut contents.records)?;
        contents.next_number = number + 1;
        contents.segments.push(path);
    }
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::SystemFiles;

    const SEGMENT: usize = 8192;

    /// Payloads of one sector, exactly one, two, three.
    const PAYLOADS: [usize; 4] = [3, 472, 600, 1200];

    fn fill(wal: &mut Wal, first: u64) {
        for (at, length) in PAYLOADS.into_iter().enumerate() {
            wal.append(first + at as u64, 1, &vec![7 + at as u8; length]).unwrap();
        }
    }

    /// A segment that was used before, to its end, and has four records of seven sectors now.
    fn filled(folder: &Path) -> (PathBuf, u32) {
        let mut wal = Wal::new(Arc::new(SystemFiles), folder.to_owned(), SEGMENT, 0);
        (0..2).for_each(|round| fill(&mut wal, 4 * round));
        wal.append(8, 1, &[1; 472]).unwrap();
        wal.append(9, 1, &[1; 472]).unwrap();
        assert!(wal.append(10, 1, &[1; 472]).unwrap(), "the first segment is full");
        assert!(wal.trim(10));
        wal.stock().tend().unwrap();
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 2);
        wal.append(11, 1, &vec![1; SEGMENT - 1000]).unwrap();
        fill(&mut wal, 12);
        let path = folder.join(segment_name(2));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), SEGMENT as u64);
        (path, 2)
    }

    fn count(path: &Path, segment: &[u8], number: u32) -> Result<usize, WalError> {
        let mut records = Vec::new();
        read_segment(path, segment, number, 0, &mut None, &mut records).map(|()| records.len())
    }

    #[test]
    fn a_record_cut_anywhere_was_never_promised_and_a_changed_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (path, number) = filled(folder.path());
        let whole = std::fs::read(&path).unwrap();
        let old = std::fs::read(folder.path().join(segment_name(1))).unwrap();
        assert_eq!(written(&old, 1), Written::Here);
        assert_eq!(count(&path, &whole, number).unwrap(), 4);
        let (fourth, end) = (4 * SECTOR, 7 * SECTOR);
        for cut in (fourth..end).filter(|cut| cut % SECTOR <= ROOM) {
            let mut torn = whole.clone();
            torn[cut..].fill(0);
            assert_eq!(count(&path, &torn, number).unwrap(), 3, "zeros from {cut}");
            assert_eq!(count(&path, &whole[..cut], number).unwrap(), 3, "nothing from {cut}");
            torn[cut..].copy_from_slice(&stale(&whole)[cut..]);
            assert_eq!(count(&path, &torn, number).unwrap(), 3, "what was there before from {cut}");
        }
        for bit in 0..end * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = count(&path, &flipped, number).expect_err("a flipped bit").to_string();
            assert!(error.contains(&format!("`{}` is damaged at byte", path.display())), "{error}");
        }
    }

    /// The segment as it was when it had the number 0.
    fn stale(whole: &[u8]) -> Vec<u8> {
        let mut stale = whole.to_vec();
        for sector in stale.chunks_exact_mut(SECTOR) {
            sector[..ROOM].fill(9);
            sector[ROOM..].copy_from_slice(&stamp(0));
        }
        stale
    }

    #[test]
    fn a_sector_that_did_not_arrive_makes_a_torn_record() {
        let folder = tempfile::tempdir().unwrap();
        let (path, number) = filled(folder.path());
        let whole = std::fs::read(&path).unwrap();
        for sector in 4..7 {
            let place = sector * SECTOR..(sector + 1) * SECTOR;
            for before in [vec![0; whole.len()], stale(&whole)] {
                let mut torn = whole.clone();
                torn[place.clone()].copy_from_slice(&before[place.clone()]);
                assert_eq!(count(&path, &torn, number).unwrap(), 3, "without sector {sector}");
            }
        }
    }

    #[test]
    fn a_segment_that_is_gone_from_the_middle_is_missed_unless_its_entries_are_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let mut wal = Wal::new(Arc::new(SystemFiles), folder.path().to_owned(), 1024, 0);
        for first in 0..3 {
            wal.append(first, 1, &[5; 900]).unwrap();
        }
        std::fs::remove_file(folder.path().join(segment_name(1))).unwrap();
        let error = read_all(&SystemFiles, folder.path(), 1).unwrap_err().to_string();
        assert!(
            error.ends_with("begins with entry 2, expected 1: a part of the write-ahead log is missing"),
            "{error}"
        );
        assert_eq!(read_all(&SystemFiles, folder.path(), 2).unwrap().records.len(), 2);
    }
}
