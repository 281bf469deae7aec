//! Segments: files of sealed records, written at the end only, one block and one sync for all that waited.
//!
//! Out of scope: who writes when (`writer`), and finding records (`index`).
//!
//! The surprise: a block that cannot be read at the end of the newest segment is either one that was being written when
//! the machine stopped (nobody was promised anything: it is cut off) or one that was damaged later (somebody was: an
//! error). Disks write sectors whole, and where a block is written there was nothing before, or zeros, so that a torn
//! block lacks its end or has a sector of zeros; sealed bytes have none.
//!
//! The segment that grows has zeros behind its last block, written ahead: a sync that need not make a new length durable
//! costs a fraction of one that must. They are cut when the segment is full, when the vault is closed, and on opening.

use crate::record::{MAX_RECORD_BYTES, Record};
use crate::seal::{DataKey, KeyEncryptionKey, NONCE_BYTES, TAG_BYTES, WRAPPED_BYTES};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use vigie_ledger::EventId;

const MAGIC: [u8; 8] = *b"VIGIEVS1";
const BLOCK_MAGIC: [u8; 4] = *b"VGVB";
const BLOCK_END: [u8; 4] = *b"BVGV";
/// Bytes before the first block.
pub(crate) const HEAD_BYTES: usize = 128;
/// Magic, number, id; the wrapped key follows, and a checksum.
const BOUND_BYTES: usize = 8 + 8 + 16;
const BLOCK_HEAD_BYTES: usize = 32;
/// Heads begin at multiples of this, so that none lies in two sectors.
const ALIGN: usize = 32;
const SECTOR: usize = 512;
/// Zeros that are written ahead at a time.
const AHEAD_BYTES: usize = 1024 * 1024;
/// From how many bytes on a block makes a new length durable itself: for so many, it costs little beside them.
const LONG_BLOCK_BYTES: usize = AHEAD_BYTES / 16;
/// Length, event, nonce.
const FRAME_HEAD_BYTES: usize = 4 + 16 + NONCE_BYTES;

/// What is wrong with the vault's files.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
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
    /// The head of a segment is not what was written.
    #[error("`{0}` does not begin as segments of this vault do")]
    Head(PathBuf),
    /// The key does not open the segment.
    #[error("`{0}` was sealed under another key than the one given")]
    Key(PathBuf),
    /// A block was changed after it was written.
    #[error("`{path}` is damaged at byte {offset}: the block there is not what was written")]
    Block {
        /// The file.
        path: PathBuf,
        /// Where the block begins.
        offset: u64,
    },
    /// A record was changed after it was written.
    #[error("`{path}` is damaged at byte {offset}: the record of event `{event}` cannot be opened")]
    Record {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// Whose record it is.
        event: EventId,
    },
    /// An index was changed after it was written.
    #[error("`{0}` is damaged: remove it, and it is made again from its segment")]
    Index(PathBuf),
    /// A note of an erasure cannot be read.
    #[error("`{0}` is damaged or of another key: it says which rows were being erased")]
    Erasure(PathBuf),
    /// There are no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
}

pub(crate) fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::File { path, doing, source }
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], FileError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| FileError::Random(error.to_string()))?;
    Ok(bytes)
}

/// Is asked before each step on the disk, with what is about to be done; what it fails with, the step fails with.
pub type Watch = Arc<dyn Fn(&Path, &'static str) -> io::Result<()> + Send + Sync>;

/// The steps on the disk, one by one, so that each can be made to fail.
#[derive(Clone, Default)]
pub(crate) struct Steps(pub(crate) Option<Watch>);

impl Steps {
    /// Takes a step: `doing` is a participle, as in "the file could not be written".
    fn take<T>(&self, path: &Path, doing: &'static str, step: impl FnOnce() -> io::Result<T>) -> Result<T, FileError> {
        let asked = self.0.as_ref().map_or(Ok(()), |watch| watch(path, doing));
        asked.and_then(|()| step()).map_err(failed(path, doing))
    }

    /// Makes durable which names a folder holds.
    pub(crate) fn sync_folder(&self, folder: &Path) -> Result<(), FileError> {
        self.take(folder, "synced", || File::open(folder)?.sync_all())
    }

    /// Gives a file that is durable its name, durably.
    pub(crate) fn put_in_place(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        self.take(to, "put in its place", || fs::rename(from, to))?;
        self.sync_folder(to.parent().expect("a file is in a folder"))
    }

    /// Removes a file, durably.
    pub(crate) fn remove(&self, path: &Path) -> Result<(), FileError> {
        self.take(path, "removed", || fs::remove_file(path))?;
        self.sync_folder(path.parent().expect("a file is in a folder"))
    }

    /// Writes a whole file, whole or not at all, durably.
    pub(crate) fn write_whole(&self, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
        let new = temporary(path);
        let file = self.create(&new)?;
        // If we stop before the renaming, what is there is the old file, or none; the new one is removed on opening.
        self.take(&new, "written", || file.write_all_at(bytes, 0))?;
        self.take(&new, "synced", || file.sync_all())?;
        self.put_in_place(&new, path)
    }

    fn create(&self, path: &Path) -> Result<File, FileError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        self.take(path, "made", || options.open(path))
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Steps")
    }
}

/// Where a record is in its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    /// Bytes of the frame.
    pub(crate) length: u32,
}

/// An open segment.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    pub(crate) id: [u8; 16],
    file: File,
    /// Bytes of the file, zeros that were written ahead among them.
    length: AtomicU64,
    key: DataKey,
    steps: Steps,
}

/// How far a segment is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// To the last whole block of the segment that was written to last.
    Torn,
    /// To the end of the file.
    End,
    /// To the end of what is durable, of a segment that grows.
    Here(u64),
}

/// What a look through a segment found.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    /// Bytes up to the end of the last whole block.
    pub(crate) bytes: u64,
    /// Bytes of the file.
    pub(crate) file_bytes: u64,
}

/// Records on their way to a segment.
#[derive(Debug)]
pub(crate) struct Draft {
    at: u64,
    bytes: Vec<u8>,
    pub(crate) places: Vec<(EventId, Place)>,
}

pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:010}.segment")
}

pub(crate) fn read_segment_name(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".segment")?.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

pub(crate) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

impl Draft {
    /// Begins a block at `at`.
    pub(crate) fn new(at: u64) -> Self {
        Self { at, bytes: vec![0; BLOCK_HEAD_BYTES], places: Vec::new() }
    }

    /// Bytes of the block.
    fn block_bytes(&self) -> usize {
        (self.bytes.len() + BLOCK_END.len()).next_multiple_of(ALIGN)
    }
}

impl SegmentFile {
    /// Makes a segment without records at `path`, under a name that is not its own yet.
    pub(crate) fn create(number: u64, path: &Path, kek: &KeyEncryptionKey, steps: &Steps) -> Result<Self, FileError> {
        let (id, secret, nonce) = (random()?, random()?, random()?);
        let key = DataKey::new(secret);
        let mut head = MAGIC.to_vec();
        head.extend(number.to_be_bytes());
        head.extend(id);
        let wrapped = kek.wrap(&key, &head, nonce);
        head.extend(wrapped);
        head.extend(crc32fast::hash(&head).to_be_bytes());
        head.resize(HEAD_BYTES, 0);
        let new = temporary(path);
        let file = steps.create(&new)?;
        steps.take(&new, "written", || file.write_all_at(&head, 0))?;
        steps.take(&new, "synced", || file.sync_all())?;
        let length = AtomicU64::new(HEAD_BYTES as u64);
        Ok(Self { number, path: path.to_owned(), id, file, length, key, steps: steps.clone() })
    }

    /// Gives the segment its name; in place of the one that had it.
    pub(crate) fn put_in_place(&self) -> Result<(), FileError> {
        self.steps.put_in_place(&temporary(&self.path), &self.path)
    }

    /// Opens a segment.
    pub(crate) fn open(number: u64, path: &Path, kek: &KeyEncryptionKey, steps: &Steps) -> Result<Self, FileError> {
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(failed(path, "opened"))?;
        let mut head = [0; HEAD_BYTES];
        match file.read_exact_at(&mut head, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(FileError::Head(path.to_owned())),
            other => other.map_err(failed(path, "read"))?,
        }
        let (bound, rest) = head.split_at(BOUND_BYTES);
        let (wrapped, checksum) = (&rest[..WRAPPED_BYTES], &rest[WRAPPED_BYTES..WRAPPED_BYTES + 4]);
        let sound = crc32fast::hash(&head[..BOUND_BYTES + WRAPPED_BYTES]).to_be_bytes() == checksum;
        if !sound || bound[..8] != MAGIC || bound[8..16] != number.to_be_bytes() {
            return Err(FileError::Head(path.to_owned()));
        }
        let key = kek.unwrap(wrapped, bound).ok_or_else(|| FileError::Key(path.to_owned()))?;
        let id = bound[16..].try_into().expect("16 bytes");
        let length = AtomicU64::new(file.metadata().map_err(failed(path, "read"))?.len());
        Ok(Self { number, path: path.to_owned(), id, file, length, key, steps: steps.clone() })
    }

    /// Overwrites the head with zeros: without its key nobody reads what the disk may still hold of it.
    pub(crate) fn shred(&self) -> Result<(), FileError> {
        self.steps.take(&self.path, "overwritten", || {
            self.file.write_all_at(&[0; HEAD_BYTES], 0)?;
            self.file.sync_data()
        })
    }

    pub(crate) fn steps(&self) -> &Steps {
        &self.steps
    }

    /// Seals a record into a block.
    pub(crate) fn push(&self, draft: &mut Draft, event_id: EventId, record: &[u8], nonce: &[u8; NONCE_BYTES]) -> Place {
        let offset = draft.at + draft.bytes.len() as u64;
        let length = (NONCE_BYTES + record.len() + TAG_BYTES) as u32;
        draft.bytes.reserve(FRAME_HEAD_BYTES + record.len() + TAG_BYTES + ALIGN);
        draft.bytes.extend(length.to_be_bytes());
        draft.bytes.extend(event_id.0);
        draft.bytes.extend(nonce);
        let from = draft.bytes.len();
        draft.bytes.extend_from_slice(record);
        self.key.seal(nonce, &self.about(offset, event_id), &mut draft.bytes, from);
        let place = Place { offset, length: length + 20 };
        draft.places.push((event_id, place));
        place
    }

    fn about(&self, offset: u64, event_id: EventId) -> Vec<u8> {
        [b"vigie/vault-record/v1".as_slice(), &self.id, &offset.to_be_bytes(), &event_id.0].concat()
    }

    /// Writes zeros behind the place of a short block that would make the file longer, but not past `most`, so that the
    /// next ones need not. Durable with the block.
    pub(crate) fn write_ahead(&self, draft: &Draft, most: u64) -> Result<(), FileError> {
        let (block, length) = (draft.block_bytes(), self.length.load(Ordering::Relaxed));
        let ahead = most.min(length + AHEAD_BYTES as u64).saturating_sub(length) as usize;
        if block >= LONG_BLOCK_BYTES || draft.at + block as u64 <= length || ahead < SECTOR {
            return Ok(());
        }
        // If we stop here, the zeros are cut on opening.
        self.steps.take(&self.path, "lengthened", || self.file.write_all_at(&vec![0; ahead], length))?;
        self.length.store(length + ahead as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Writes a block; returns where it ends. Not yet durable.
    pub(crate) fn write(&self, mut draft: Draft) -> Result<(u64, Vec<(EventId, Place)>), FileError> {
        let body = draft.bytes.len() - BLOCK_HEAD_BYTES;
        let end = draft.block_bytes();
        let checksum = crc32fast::hash(&draft.bytes[BLOCK_HEAD_BYTES..]);
        // Not zeros, so that a sector of zeros is one that did not arrive.
        draft.bytes.resize(end - BLOCK_END.len(), 0xff);
        draft.bytes.extend(BLOCK_END);
        let head = &mut draft.bytes[..BLOCK_HEAD_BYTES];
        head[..4].copy_from_slice(&BLOCK_MAGIC);
        head[4..8].copy_from_slice(&(body as u32).to_be_bytes());
        head[8..12].copy_from_slice(&(draft.places.len() as u32).to_be_bytes());
        head[12..20].copy_from_slice(&draft.at.to_be_bytes());
        head[20..24].copy_from_slice(&checksum.to_be_bytes());
        let checksum = crc32fast::hash(&head[..28]);
        head[28..].copy_from_slice(&checksum.to_be_bytes());
        self.steps.take(&self.path, "written", || self.file.write_all_at(&draft.bytes, draft.at))?;
        let end = draft.at + end as u64;
        self.length.fetch_max(end, Ordering::Relaxed);
        Ok((end, draft.places))
    }

    /// Makes what was written durable.
    pub(crate) fn sync(&self) -> Result<(), FileError> {
        self.steps.take(&self.path, "synced", || self.file.sync_data())
    }

    /// Cuts the file at its last whole block, if there is anything behind.
    pub(crate) fn cut(&self, bytes: u64) -> Result<(), FileError> {
        if self.length.load(Ordering::Relaxed) == bytes {
            return Ok(());
        }
        self.steps.take(&self.path, "cut", || {
            self.file.set_len(bytes)?;
            self.file.sync_all()
        })?;
        self.length.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Reads a record.
    pub(crate) fn read(&self, event_id: EventId, place: Place) -> Result<Record, FileError> {
        let damaged = || FileError::Record { path: self.path.clone(), offset: place.offset, event: event_id };
        let mut frame = vec![0; place.length as usize];
        match self.file.read_exact_at(&mut frame, place.offset) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(damaged()),
            other => other.map_err(failed(&self.path, "read"))?,
        }
        let plain = self.open_frame(place.offset, &frame).filter(|(event, _)| *event == event_id);
        let record = plain.and_then(|(_, plain)| Record::parse(&plain).ok());
        record.filter(|record| record.event_id() == event_id).ok_or_else(damaged)
    }

    /// Opens a whole frame.
    fn open_frame(&self, offset: u64, frame: &[u8]) -> Option<(EventId, Vec<u8>)> {
        let (head, sealed) = frame.split_first_chunk::<FRAME_HEAD_BYTES>()?;
        let event_id = EventId(head[4..20].try_into().expect("16 bytes"));
        let nonce = head[20..].try_into().expect("24 bytes");
        let plain = self.key.open(nonce, &self.about(offset, event_id), sealed.to_vec())?;
        Some((event_id, plain))
    }

    /// Reads the whole segment, record by record and block by block.
    ///
    /// `each` is handed where a record is, whose, and its bytes. A torn end is only accepted in [`Until::Torn`]; what
    /// follows it was never promised to anybody.
    pub(crate) fn scan(
        &self,
        until: Until,
        mut each: impl FnMut(EventId, Place, Vec<u8>) -> Result<(), FileError>,
    ) -> Result<Scanned, FileError> {
        let file_bytes = match until {
            Until::Torn | Until::End => self.file.metadata().map_err(failed(&self.path, "read"))?.len(),
            Until::Here(bytes) => bytes,
        };
        let newest = until == Until::Torn;
        let mut scanned = Scanned { bytes: HEAD_BYTES as u64, file_bytes };
        while scanned.bytes < file_bytes {
            let at = scanned.bytes;
            let Some(block) = self.read_block(at, file_bytes, newest)? else { break };
            let mut rest = block.as_slice();
            let mut offset = at + BLOCK_HEAD_BYTES as u64;
            while !rest.is_empty() {
                let length = rest.first_chunk::<4>().map(|length| u32::from_be_bytes(*length).saturating_add(20));
                let damaged = || FileError::Block { path: self.path.clone(), offset: at };
                let length = length.ok_or_else(damaged)?;
                let (frame, after) = rest.split_at_checked(length as usize).ok_or_else(damaged)?;
                let event = EventId(frame.get(4..20).ok_or_else(damaged)?.try_into().expect("16 bytes"));
                let (event_id, plain) = self.open_frame(offset, frame).ok_or_else(|| FileError::Record {
                    path: self.path.clone(),
                    offset,
                    event,
                })?;
                each(event_id, Place { offset, length }, plain)?;
                offset += u64::from(length);
                rest = after;
            }
            scanned.bytes = (offset + BLOCK_END.len() as u64).next_multiple_of(ALIGN as u64);
        }
        Ok(scanned)
    }

    /// Tells whether anything like that is in the file from `at` on, where `is` is shown piece by piece.
    fn has(&self, at: u64, file_bytes: u64, is: impl Fn(&[u8], u64) -> bool) -> Result<bool, FileError> {
        let mut buffer = vec![0; AHEAD_BYTES];
        let mut from = at;
        while from < file_bytes {
            let bytes = &mut buffer[..AHEAD_BYTES.min((file_bytes - from) as usize)];
            self.file.read_exact_at(bytes, from).map_err(failed(&self.path, "read"))?;
            if (from..).step_by(ALIGN).zip(bytes.chunks(ALIGN)).any(|(at, piece)| is(piece, at)) {
                return Ok(true);
            }
            from += bytes.len() as u64;
        }
        Ok(false)
    }

    /// Reads the frames of the block at `at`; `None` if it is the torn end.
    fn read_block(&self, at: u64, file_bytes: u64, newest: bool) -> Result<Option<Vec<u8>>, FileError> {
        let damaged = || FileError::Block { path: self.path.clone(), offset: at };
        let torn = |is_torn: bool| if newest && is_torn { Ok(None) } else { Err(damaged()) };
        let read = |bytes: &mut [u8], at: u64| self.file.read_exact_at(bytes, at).map_err(failed(&self.path, "read"));
        let Some(after_head) = file_bytes.checked_sub(at + BLOCK_HEAD_BYTES as u64) else { return torn(true) };
        let mut head = [0; BLOCK_HEAD_BYTES];
        read(&mut head, at)?;
        if head == [0; BLOCK_HEAD_BYTES] {
            return torn(!self.has(at, file_bytes, is_head)?);
        }
        let number = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().expect("four bytes"));
        let (body, checksum) = (number(4) as usize, number(20));
        if !is_head(&head, at) || body > 2 * MAX_RECORD_BYTES {
            return Err(damaged());
        }
        let whole = (BLOCK_HEAD_BYTES + body + BLOCK_END.len()).next_multiple_of(ALIGN);
        let there = (whole - BLOCK_HEAD_BYTES).min(after_head as usize);
        let mut rest = vec![0; there];
        read(&mut rest, at + BLOCK_HEAD_BYTES as u64)?;
        let sound = rest.len() == whole - BLOCK_HEAD_BYTES
            && rest.ends_with(&BLOCK_END)
            && crc32fast::hash(&rest[..body]) == checksum;
        if sound {
            rest.truncate(body);
            return Ok(Some(rest));
        }
        // Nothing was ever written behind a block that was being written.
        let is_last = !self.has(at + whole as u64, file_bytes, |piece, _| piece.iter().any(|byte| *byte != 0))?;
        let cut = rest.len() < whole - BLOCK_HEAD_BYTES;
        torn(is_last && (cut || has_a_sector_of_zeros(&rest, at as usize + BLOCK_HEAD_BYTES)))
    }
}

/// Tells whether bytes are the head of a block at this place.
fn is_head(head: &[u8], at: u64) -> bool {
    head.len() == BLOCK_HEAD_BYTES
        && head.starts_with(&BLOCK_MAGIC)
        && head[12..20] == at.to_be_bytes()
        && crc32fast::hash(&head[..28]).to_be_bytes() == head[28..]
}

/// Tells whether one of the sectors that `bytes` lie in, beginning at `at`, did not arrive.
fn has_a_sector_of_zeros(bytes: &[u8], at: usize) -> bool {
    let mut from = 0;
    while from < bytes.len() {
        let to = (from + SECTOR - (at + from) % SECTOR).min(bytes.len());
        if bytes[from..to].iter().all(|byte| *byte == 0) {
            return true;
        }
        from = to;
    }
    false
}
