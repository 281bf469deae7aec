//! The write-ahead log: where an entry becomes durable, before it is anywhere else.
//!
//! Segments of zeros are made ahead and filled with records, one a batch: a head of 32 bytes with checksums, the entries
//! as bundles have them, padding, and a mark at the end. Records begin at multiples of 32 bytes.
//!
//! Out of scope: what entries mean, and when a segment is no longer needed (`writer`, `publish`).
//!
//! The surprise: a record that cannot be read at the end of a log is either one that was being written when the machine
//! stopped (nobody was promised anything: it is dropped) or one that was damaged later (somebody was: an error). Disks
//! write sectors whole and the segment was zeros before, so that a torn record lacks its end or has a sector of zeros.

use crate::files::{Access, Files, OpenFile};
use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

const MAGIC: [u8; 4] = *b"VGWL";
const END: [u8; 4] = *b"LWGV";
const HEAD_BYTES: usize = 32;
const ALIGN: usize = 32;
const SECTOR: usize = 512;
/// Zeros are written in pieces, so that they do not stand in the way of what is waited for.
const PIECE: usize = 1024 * 1024;

/// The name under which a segment of zeros waits.
const SPARE: &str = "spare";

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
    files: Arc<dyn Files>,
    folder: PathBuf,
    segment_bytes: usize,
    next_number: u64,
    current: Option<Segment>,
    older: Vec<(u64, PathBuf)>,
    buffer: Vec<u8>,
    // INVARIANT (one spare): whoever makes or takes the spare holds this.
    spare: Arc<Spare>,
}

#[derive(Debug)]
struct Segment {
    file: Box<dyn OpenFile>,
    path: PathBuf,
    first: u64,
    at: usize,
    bytes: usize,
}

/// The segment of zeros that waits to be used, made by whoever has time.
#[derive(Debug)]
pub(crate) struct Spare {
    files: Arc<dyn Files>,
    folder: PathBuf,
    bytes: usize,
    made: Mutex<Option<Box<dyn OpenFile>>>,
}

impl Spare {
    /// Makes the segment if there is none. Nothing is lost if that fails: then the writer tries, and is told.
    pub(crate) fn make(&self) -> io::Result<()> {
        let mut made = self.made.lock().expect("nobody panics with the spare in hand");
        if made.is_none() {
            *made = Some(zeros(&*self.files, &self.folder.join(SPARE), self.bytes)?);
        }
        Ok(())
    }
}

fn zeros(files: &dyn Files, path: &Path, bytes: usize) -> io::Result<Box<dyn OpenFile>> {
    let file = files.create(path, Access::Secret)?;
    let piece = vec![0; PIECE.min(bytes)];
    for at in (0..bytes).step_by(PIECE) {
        file.write_at(&piece[..PIECE.min(bytes - at)], at as u64)?;
        if bytes > PIECE {
            file.sync()?;
        }
    }
    if bytes <= PIECE {
        file.sync()?;
    }
    Ok(file)
}

/// Segments are numbered besides, so that none ever takes the place of another that begins with the same entry.
fn segment_name(number: u64, first: u64) -> String {
    format!("{number:010}-{first:020}.wal")
}

fn read_segment_name(name: &str) -> Option<(u64, u64)> {
    let (number, first) = name.strip_suffix(".wal")?.split_once('-')?;
    let (number, first) = (number.parse().ok()?, first.parse().ok()?);
    (segment_name(number, first) == name).then_some((number, first))
}

fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> WalError {
    let path = path.to_owned();
    move |source| WalError::File { path, doing, source }
}

impl Wal {
    /// Begins to write in `folder`, which exists, in a segment of this number. Those that are there are not touched.
    pub(crate) fn new(files: Arc<dyn Files>, folder: PathBuf, segment_bytes: usize, next_number: u64) -> Self {
        let spare =
            Spare { files: files.clone(), folder: folder.clone(), bytes: segment_bytes, made: Mutex::new(None) };
        let (older, buffer) = (Vec::new(), Vec::new());
        Self { files, folder, segment_bytes, next_number, current: None, older, buffer, spare: Arc::new(spare) }
    }

    /// Returns the spare, for a thread that has time to make it.
    pub(crate) fn spare(&self) -> Arc<Spare> {
        self.spare.clone()
    }

    /// Writes a record and makes it durable. `true` if a new segment was begun, so that a spare is wanted.
    ///
    /// # Errors
    ///
    /// [`WalError::File`]. The record may be on disk or not: nothing more may be written with this.
    pub(crate) fn append(&mut self, first: u64, count: u32, payload: &[u8]) -> Result<bool, WalError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        write_record(&mut buffer, first, count, payload);
        let fits = self.current.as_ref().is_some_and(|segment| segment.at + buffer.len() <= segment.bytes);
        if !fits {
            self.begin_segment(first, buffer.len())?;
        }
        let segment = self.current.as_mut().expect("it was begun");
        segment.file.write_at(&buffer, segment.at as u64).map_err(failed(&segment.path, "written"))?;
        segment.file.sync().map_err(failed(&segment.path, "synced"))?;
        segment.at += buffer.len();
        self.buffer = buffer;
        Ok(!fits)
    }

    fn begin_segment(&mut self, first: u64, needed: usize) -> Result<(), WalError> {
        if let Some(full) = self.current.take() {
            self.older.push((full.first, full.path));
        }
        let path = self.folder.join(segment_name(self.next_number, first));
        self.next_number += 1;
        let mut made = self.spare.made.lock().expect("nobody panics with the spare in hand");
        let spare = self.folder.join(SPARE);
        let (file, bytes) = match made.take() {
            Some(file) if needed <= self.segment_bytes => (file, self.segment_bytes),
            other => {
                *made = None;
                drop(other);
                let bytes = needed.max(self.segment_bytes);
                (zeros(&*self.files, &spare, bytes).map_err(failed(&spare, "written"))?, bytes)
            }
        };
        self.files.rename(&spare, &path).map_err(failed(&path, "named"))?;
        // Without its name on disk the segment would be lost, and what is promised of it.
        self.files.sync_folder(&self.folder).map_err(failed(&self.folder, "synced"))?;
        drop(made);
        self.current = Some(Segment { file, path, first, at: 0, bytes });
        Ok(())
    }

    /// Removes segments that hold only entries below `size`. What is not removed is removed later.
    ///
    /// # Errors
    ///
    /// [`WalError::File`]; nothing is lost by that.
    pub(crate) fn trim(&mut self, size: u64) -> Result<(), WalError> {
        loop {
            let next = self.older.get(1).map(|(first, _)| *first).or(self.current.as_ref().map(|it| it.first));
            match (self.older.first(), next) {
                (Some((_, path)), Some(next)) if next <= size => {
                    self.files.remove(path).map_err(failed(path, "removed"))?;
                    self.older.remove(0);
                }
                _ => return Ok(()),
            }
        }
    }
}

fn write_record(buffer: &mut Vec<u8>, first: u64, count: u32, payload: &[u8]) {
    buffer.clear();
    buffer.resize(HEAD_BYTES, 0);
    buffer.extend_from_slice(payload);
    buffer.resize(record_bytes(payload.len()) - END.len(), 0);
    let crc = crc32fast::hash(&buffer[HEAD_BYTES..]);
    buffer.extend_from_slice(&END);
    buffer[..4].copy_from_slice(&MAGIC);
    buffer[4..8].copy_from_slice(&(payload.len() as u32).to_be_bytes());
    buffer[8..16].copy_from_slice(&first.to_be_bytes());
    buffer[16..20].copy_from_slice(&count.to_be_bytes());
    buffer[20..24].copy_from_slice(&crc.to_be_bytes());
    let crc = crc32fast::hash(&buffer[..28]);
    buffer[28..32].copy_from_slice(&crc.to_be_bytes());
}

const fn record_bytes(payload: usize) -> usize {
    (HEAD_BYTES + payload + END.len()).div_ceil(ALIGN) * ALIGN
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

fn read_record(bytes: &[u8]) -> Option<(Record, usize)> {
    let head = read_head(bytes)?;
    let total = record_bytes(head.payload);
    let record = bytes.get(..total)?;
    let body = &record[HEAD_BYTES..total - END.len()];
    if record[total - END.len()..] != END || crc32fast::hash(body) != head.crc {
        return None;
    }
    let payload = body[..head.payload].to_vec();
    Some((Record { first: head.first, count: head.count, payload }, total))
}

/// Tells whether bytes that should be a record can be one that was not written to its end.
fn is_torn(segment: &[u8], offset: usize) -> bool {
    let rest = &segment[offset..];
    let zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let Some(head) = read_head(rest) else {
        // A head lies in one sector, so it arrives whole; if something follows one that is wrong, it was whole once.
        let head = HEAD_BYTES.min(rest.len());
        return zero(&rest[..head]) || zero(&rest[head..]);
    };
    let span = record_bytes(head.payload);
    let Some(record) = rest.get(..span) else { return true };
    if record[span - 1] == 0 {
        return true;
    }
    let mut at = 0;
    while at < span {
        let to = (at + SECTOR - (offset + at) % SECTOR).min(span);
        if zero(&record[at..to]) {
            return true;
        }
        at = to;
    }
    false
}

/// Reads the records of a segment up to the first that is missing.
fn read_segment(path: &Path, bytes: &[u8], mut next: u64, records: &mut Vec<Record>) -> Result<u64, WalError> {
    let mut offset = 0;
    while let Some((record, length)) = read_record(&bytes[offset..]) {
        if record.first != next {
            return Err(WalError::Gap { path: path.to_owned(), found: record.first, expected: next });
        }
        next += u64::from(record.count);
        offset += length;
        records.push(record);
    }
    let damaged = WalError::Damaged { path: path.to_owned(), offset, after: next };
    let rest = &bytes[offset..];
    // What is written in order is also lost from the end: a whole record after a missing one was not torn.
    let whole_after = (0..rest.len()).step_by(ALIGN).skip(1).any(|at| {
        rest[at..].starts_with(&MAGIC) && read_record(&rest[at..]).is_some_and(|(record, _)| record.first >= next)
    });
    if whole_after || !is_torn(bytes, offset) {
        return Err(damaged);
    }
    Ok(next)
}

/// All segments of a folder, read.
#[derive(Debug)]
pub(crate) struct Contents {
    /// In the order of segments; some may repeat what others hold.
    pub(crate) records: Vec<Record>,
    pub(crate) segments: Vec<PathBuf>,
    /// A number that no segment has had.
    pub(crate) next_number: u64,
}

/// Reads all segments of a folder.
///
/// # Errors
///
/// [`WalError`].
pub(crate) fn read_all(files: &dyn Files, folder: &Path) -> Result<Contents, WalError> {
    let names = files.list(folder).map_err(failed(folder, "listed"))?;
    let named: Vec<_> = names.iter().filter_map(|name| Some((read_segment_name(name)?, folder.join(name)))).collect();
    let mut records = Vec::new();
    let mut next = named.first().map_or(0, |((_, first), _)| *first);
    for ((_, first), path) in &named {
        if *first > next {
            return Err(WalError::Gap { path: path.clone(), found: *first, expected: next });
        }
        let bytes = files.read(path).map_err(failed(path, "read"))?.unwrap_or_default();
        // A start that was interrupted may have written again a part of what the segments before hold.
        next = next.max(read_segment(path, &bytes, *first, &mut records)?);
    }
    let next_number = named.last().map_or(0, |((number, _), _)| number + 1);
    Ok(Contents { records, segments: named.into_iter().map(|(_, path)| path).collect(), next_number })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::SystemFiles;

    fn filled(folder: &Path) -> PathBuf {
        let mut wal = Wal::new(Arc::new(SystemFiles), folder.to_owned(), 8192, 0);
        wal.append(0, 1, &[0, 1, 7]).unwrap();
        wal.append(1, 2, &[&[1, 44], [9_u8; 300].as_slice(), &[0, 0]].concat()).unwrap();
        wal.append(3, 1, &[&[3, 32], [5_u8; 800].as_slice()].concat()).unwrap();
        folder.join(segment_name(0, 0))
    }

    fn count(path: &Path, segment: &[u8]) -> Result<usize, WalError> {
        let mut records = Vec::new();
        read_segment(path, segment, 0, &mut records).map(|_| records.len())
    }

    #[test]
    fn a_record_cut_anywhere_was_never_promised_and_a_changed_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = filled(folder.path());
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(read_all(&SystemFiles, folder.path()).unwrap().records.len(), 3);
        let third = record_bytes(3) + record_bytes(304);
        let end = third + record_bytes(802);
        for cut in third..end {
            let mut torn = whole.clone();
            torn[cut..].fill(0);
            assert_eq!(count(&path, &torn).unwrap(), 2, "zeros from {cut}");
            assert_eq!(count(&path, &whole[..cut]).unwrap(), 2, "nothing from {cut}");
        }
        for bit in 0..end * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = count(&path, &flipped).expect_err("a flipped bit").to_string();
            assert!(error.contains(&format!("`{}` is damaged at byte", path.display())), "{error}");
        }
    }

    #[test]
    fn a_sector_that_did_not_arrive_makes_a_torn_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = filled(folder.path());
        let whole = std::fs::read(&path).unwrap();
        let third = record_bytes(3) + record_bytes(304);
        let end = third + record_bytes(802);
        for sector in third / SECTOR..=(end - 1) / SECTOR {
            let mut torn = whole.clone();
            torn[third.max(sector * SECTOR)..end.min((sector + 1) * SECTOR)].fill(0);
            assert_eq!(count(&path, &torn).unwrap(), 2, "without sector {sector}");
        }
    }
}
