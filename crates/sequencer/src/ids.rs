//! Which events are in the log already: from the id of an event to the index of its entry, for all there ever were.
//!
//! The newest ids are in memory; older ones in sorted files, one for a range of entries, that are merged eight by eight.
//! For each file a small filter stays in memory, so that an id that is new seldom makes anybody read. With a hundred
//! million entries that is about forty megabytes. Files consist of pages of 4,096 bytes, each with a checksum.
//!
//! Out of scope: whether a repeat says the same as the first (`writer`).
//!
//! The surprise: nothing here is a source of truth. A file that is missing or damaged is left aside when the log is opened,
//! which reads all of them, and made again from the entries. One that is damaged while the log runs stops it: an event
//! would be logged twice.

use crate::files::Files;
use std::{
    collections::{HashMap, hash_map::Entry as Slot},
    hash::{BuildHasherDefault, Hasher},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use vigie_ledger::entry::EventId;

/// From how many ids on the newest are written to a file: as many as a table of 65,536 slots takes.
const IN_MEMORY: usize = (1 << 16) / 8 * 7;
/// How many files of a size are merged to one.
const FAN_IN: usize = 8;
const MAGIC: [u8; 8] = *b"VGIDS002";
/// Magic, range, number of ids, latest heartbeat, bits a key in the filter, checksum of the filter and of the head.
const HEAD_BYTES: usize = 64;
/// The name of a file that is being written.
const STAGED: &str = "new";
const RECORD_BYTES: usize = 24;
/// Ids of a page.
const PAGE: usize = 170;
/// The ids, their checksum, and zeros.
const PAGE_BYTES: usize = 4096;
const CHECKSUM_AT: usize = PAGE * RECORD_BYTES;
/// How many pages are read at once where all are.
const PAGES_AT_ONCE: u64 = 64;

/// Hashes ids that were scattered already.
#[derive(Debug, Default, Clone)]
pub(crate) struct Scattered(u64);

impl Hasher for Scattered {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are `u128`");
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = (key >> 64) as u64;
    }
}

type Map = HashMap<u128, u64, BuildHasherDefault<Scattered>>;

/// Scatters ids, one to one, so that also those that were counted up are spread evenly over a file.
fn key_of(id: EventId) -> u128 {
    u128::from_be_bytes(id.0).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

/// All ids, for the thread that gives out indexes.
#[derive(Debug)]
pub(crate) struct EventIds {
    newest: Map,
    from: u64,
    to: u64,
    latest_heartbeat: u64,
    shared: Arc<Shared>,
    /// What `shared` listed when it had this version.
    older: Arc<Older>,
    version: u64,
}

/// What the thread that writes the files shares with the one that looks ids up.
#[derive(Debug)]
pub(crate) struct Shared {
    files: Arc<dyn Files>,
    folder: PathBuf,
    older: Mutex<Arc<Older>>,
    /// Changes with `older`, so that whoever has looked need not look again.
    version: AtomicU64,
}

#[derive(Debug, Default, Clone)]
struct Older {
    /// Waiting to be written; oldest first.
    frozen: Vec<Arc<Frozen>>,
    /// Sorted files; oldest first.
    runs: Vec<Arc<Run>>,
}

#[derive(Debug)]
struct Frozen {
    ids: Map,
    from: u64,
    to: u64,
    latest_heartbeat: u64,
}

#[derive(Debug)]
struct Run {
    path: PathBuf,
    file: Box<dyn crate::files::OpenFile>,
    from: u64,
    to: u64,
    count: u64,
    latest_heartbeat: u64,
    filter: Filter,
}

/// A Bloom filter whose bits for a key lie in one line of the cache.
#[derive(Debug)]
struct Filter {
    words: Vec<u64>,
    /// How many bits of its line a key sets.
    set: u32,
}

const LINE_WORDS: usize = 8;

/// Returns how many bits a filter has for each of so many keys, and how many of them a key sets.
fn filter_bits(count: u64) -> (u64, u32) {
    // Fewer bits a key for large files, or the filters of all would be larger than what may be used.
    match count {
        0..0x20_0000 => (16, 6),
        0x20_0000..0x100_0000 => (3, 2),
        _ => (2, 1),
    }
}

impl Filter {
    fn for_keys(count: u64) -> Self {
        let (bits, set) = filter_bits(count);
        let lines = (count * bits).div_ceil(512).max(1);
        Self { words: vec![0; lines as usize * LINE_WORDS], set }
    }

    fn place(&self, key: u128) -> (usize, [u64; LINE_WORDS]) {
        let mixed = (key as u64 ^ (key >> 64) as u64).wrapping_mul(0xd6e8_feb8_6659_fd93);
        let lines = (self.words.len() / LINE_WORDS) as u128;
        let line = ((u128::from(mixed) * lines) >> 64) as usize * LINE_WORDS;
        let mut mask = [0; LINE_WORDS];
        let mut bits = (key as u64).wrapping_mul(0xff51_afd7_ed55_8ccd);
        for _ in 0..self.set {
            let bit = bits >> 55;
            mask[(bit >> 6) as usize] |= 1 << (bit & 63);
            bits <<= 9;
        }
        (line, mask)
    }

    fn add(&mut self, key: u128) {
        let (line, mask) = self.place(key);
        for (word, bits) in self.words[line..].iter_mut().zip(mask) {
            *word |= bits;
        }
    }

    fn may_have(&self, key: u128) -> bool {
        let (line, mask) = self.place(key);
        self.words[line..].iter().zip(mask).all(|(word, bits)| word & bits == bits)
    }

    fn to_bytes(&self) -> Vec<u8> {
        self.words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }
}

impl EventIds {
    /// Reads the files of a folder, which exists. What the ids cover then is [`EventIds::covered`]; the caller adds the
    /// rest.
    ///
    /// # Errors
    ///
    /// Whatever the file system says; a file that holds something else is removed instead.
    pub(crate) fn open(files: Arc<dyn Files>, folder: &Path) -> io::Result<Self> {
        let mut found = Vec::new();
        for name in files.list(folder)? {
            let path = folder.join(&name);
            if name == STAGED {
                files.remove(&path)?;
                continue;
            }
            match Run::open(&*files, &path) {
                Ok(run) => found.push(run),
                Err(error) if [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof].contains(&error.kind()) => {
                    files.remove(&path)?;
                }
                Err(error) => return Err(error),
            }
        }
        // Of files over the same entries the widest counts: the others were merged into it.
        found.sort_by_key(|run| (run.from, u64::MAX - run.to));
        let mut runs: Vec<Arc<Run>> = Vec::new();
        for run in found {
            let reached = runs.last().map_or(0, |last| last.to);
            if run.from == reached {
                runs.push(Arc::new(run));
            } else {
                files.remove(&run.path)?;
            }
        }
        let covered = runs.last().map_or(0, |run| run.to);
        let latest_heartbeat = runs.iter().map(|run| run.latest_heartbeat).max().unwrap_or(0);
        let older = Arc::new(Older { frozen: Vec::new(), runs });
        let shared = Arc::new(Shared {
            files,
            folder: folder.to_owned(),
            older: Mutex::new(older.clone()),
            version: AtomicU64::new(0),
        });
        let newest = Map::default();
        Ok(Self { newest, from: covered, to: covered, latest_heartbeat, shared, older, version: 0 })
    }

    /// Returns up to which entry ids are known, the end excluded.
    pub(crate) fn covered(&self) -> u64 {
        self.to
    }

    /// Returns the time of the latest heartbeat; 0 without any.
    pub(crate) fn latest_heartbeat(&self) -> u64 {
        self.latest_heartbeat
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Adds the id of the entry after the last, unless it is there: then returns where.
    ///
    /// # Errors
    ///
    /// Whatever the file system says while reading; nothing is added then.
    pub(crate) fn insert(&mut self, id: EventId, index: u64) -> io::Result<Option<u64>> {
        let key = key_of(id);
        let slot = match self.newest.entry(key) {
            Slot::Occupied(known) => return Ok(Some(*known.get())),
            Slot::Vacant(slot) => slot,
        };
        if self.shared.version.load(Ordering::Acquire) != self.version {
            (self.older, self.version) = self.shared.look();
        }
        if let Some(known) = self.older.frozen.iter().find_map(|frozen| frozen.ids.get(&key)) {
            return Ok(Some(*known));
        }
        for run in &self.older.runs {
            if run.filter.may_have(key)
                && let Some(known) = run.find(key)?
            {
                return Ok(Some(known));
            }
        }
        slot.insert(index);
        self.to = index + 1;
        Ok(None)
    }

    /// Remembers when the log was last said to be alive.
    pub(crate) fn note_heartbeat(&mut self, time: u64) {
        self.latest_heartbeat = self.latest_heartbeat.max(time);
    }

    /// Hands the newest ids to be written to a file if they are many. All must be of entries that are durable.
    ///
    /// # Returns
    ///
    /// How many such files wait to be written; `None` if nothing was handed over.
    pub(crate) fn freeze(&mut self) -> Option<usize> {
        if !self.is_full() {
            return None;
        }
        // With room for as many again: growing would copy them over and over.
        let ids = std::mem::replace(
            &mut self.newest,
            Map::with_capacity_and_hasher(IN_MEMORY, BuildHasherDefault::default()),
        );
        let frozen = Frozen { ids, from: self.from, to: self.to, latest_heartbeat: self.latest_heartbeat };
        self.from = self.to;
        Some(self.shared.change(|older| {
            older.frozen.push(Arc::new(frozen));
            older.frozen.len()
        }))
    }

    /// Tells whether [`EventIds::freeze`] would hand anything over.
    pub(crate) fn is_full(&self) -> bool {
        self.newest.len() >= IN_MEMORY
    }
}

impl Shared {
    fn look(&self) -> (Arc<Older>, u64) {
        let older = self.older.lock().expect("nobody panics with the list in hand");
        (older.clone(), self.version.load(Ordering::Acquire))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Older) -> T) -> T {
        let mut older = self.older.lock().expect("nobody panics with the list in hand");
        let returned = change(Arc::make_mut(&mut older));
        self.version.fetch_add(1, Ordering::Release);
        returned
    }

    /// Writes what waits, and merges files. Done by a thread that nobody waits for.
    ///
    /// # Errors
    ///
    /// Whatever the file system says; what was not written is still known, and tried again the next time.
    pub(crate) fn tidy(&self) -> io::Result<()> {
        loop {
            let next = self.older.lock().expect("nobody panics with the list in hand").frozen.first().cloned();
            let Some(frozen) = next else { break };
            let mut keys: Vec<_> = frozen.ids.iter().map(|(key, index)| (*key, *index)).collect();
            keys.sort_unstable();
            let run = self.write(frozen.from, frozen.to, frozen.latest_heartbeat, keys.len() as u64, |sink| {
                keys.into_iter().try_for_each(sink)
            })?;
            self.change(|older| {
                older.runs.push(Arc::new(run));
                older.frozen.remove(0);
            });
        }
        while let Some(group) = self.mergeable() {
            let (from, to) = (group[0].from, group[FAN_IN - 1].to);
            let heartbeat = group.iter().map(|run| run.latest_heartbeat).max().unwrap_or(0);
            let count = group.iter().map(|run| run.count).sum();
            let run = self.write(from, to, heartbeat, count, |sink| {
                let mut heads: Vec<_> = group.iter().map(|run| Reading::new(run)).collect::<io::Result<_>>()?;
                while let Some((_, at)) = (0..heads.len()).filter_map(|at| Some((heads[at].now()?.0, at))).min() {
                    sink(heads[at].now().expect("it is the smallest"))?;
                    heads[at].advance()?;
                }
                Ok(())
            })?;
            self.change(|older| {
                let at =
                    older.runs.iter().position(|run| run.from == from).expect("only this thread changes the files");
                older.runs.splice(at..at + FAN_IN, [Arc::new(run)]);
            });
            for run in group {
                self.files.remove(&run.path)?;
            }
        }
        Ok(())
    }

    /// Returns neighbours of about one size, newest first.
    fn mergeable(&self) -> Option<Vec<Arc<Run>>> {
        let older = self.older.lock().expect("nobody panics with the list in hand");
        let group = older.runs.get(older.runs.len().checked_sub(FAN_IN)?..)?;
        let (least, most) = (group.iter().map(|run| run.count).min()?, group.iter().map(|run| run.count).max()?);
        (most < least * FAN_IN as u64 / 2).then(|| group.to_vec())
    }

    fn write(
        &self,
        from: u64,
        to: u64,
        latest_heartbeat: u64,
        count: u64,
        fill: impl FnOnce(&mut dyn FnMut((u128, u64)) -> io::Result<()>) -> io::Result<()>,
    ) -> io::Result<Run> {
        let staged = self.folder.join(STAGED);
        let file = self.files.create(&staged, crate::files::Access::Secret)?;
        let mut filter = Filter::for_keys(count);
        let mut buffer = Vec::with_capacity(16 * PAGE_BYTES);
        let mut at = HEAD_BYTES as u64;
        fill(&mut |(key, index)| {
            filter.add(key);
            buffer.extend_from_slice(&key.to_be_bytes());
            buffer.extend_from_slice(&index.to_be_bytes());
            if buffer.len() % PAGE_BYTES == CHECKSUM_AT {
                end_page(&mut buffer);
            }
            if buffer.len() == buffer.capacity() {
                file.write_at(&buffer, at)?;
                at += buffer.len() as u64;
                buffer.clear();
            }
            Ok(())
        })?;
        if buffer.len() % PAGE_BYTES > 0 {
            end_page(&mut buffer);
        }
        file.write_at(&buffer, at)?;
        at += buffer.len() as u64;
        let bits = filter.to_bytes();
        file.write_at(&bits, at)?;
        let mut head = MAGIC.to_vec();
        for number in [from, to, count, latest_heartbeat, filter.words.len() as u64, crc32fast::hash(&bits).into()] {
            head.extend_from_slice(&number.to_be_bytes());
        }
        head.extend_from_slice(&u64::from(crc32fast::hash(&head)).to_be_bytes());
        file.write_at(&head, 0)?;
        file.sync()?;
        let path = self.folder.join(format!("{from:020}-{to:020}"));
        self.files.rename(&staged, &path)?;
        self.files.sync_folder(&self.folder)?;
        Ok(Run { path, file, from, to, count, latest_heartbeat, filter })
    }
}

impl Run {
    fn open(files: &dyn Files, path: &Path) -> io::Result<Self> {
        let broken = || io::Error::from(io::ErrorKind::InvalidData);
        let file = files.open(path)?;
        let mut head = [0; HEAD_BYTES];
        file.read_at(&mut head, 0)?;
        let number = |at: usize| u64::from_be_bytes(head[8 * at..8 * at + 8].try_into().expect("eight bytes"));
        if head[..8] != MAGIC || u64::from(crc32fast::hash(&head[..56])) != number(7) || number(5) > 1 << 32 {
            return Err(broken());
        }
        let (from, to, count, latest_heartbeat) = (number(1), number(2), number(3), number(4));
        let mut bits = vec![0; number(5) as usize * 8];
        file.read_at(&mut bits, HEAD_BYTES as u64 + count.div_ceil(PAGE as u64) * PAGE_BYTES as u64)?;
        if u64::from(crc32fast::hash(&bits)) != number(6) {
            return Err(broken());
        }
        let words =
            bits.chunks_exact(8).map(|word| u64::from_be_bytes(word.try_into().expect("eight bytes"))).collect();
        let filter = Filter { words, set: filter_bits(count).1 };
        let run = Self { path: path.to_owned(), file, from, to, count, latest_heartbeat, filter };
        let mut pages = Vec::new();
        for first in (0..run.pages()).step_by(PAGES_AT_ONCE as usize) {
            run.read(first, PAGES_AT_ONCE, &mut pages)?;
        }
        Ok(run)
    }

    fn pages(&self) -> u64 {
        self.count.div_ceil(PAGE as u64)
    }

    /// Reads pages, and leaves their ids in `ids`.
    fn read(&self, first: u64, most: u64, ids: &mut Vec<u8>) -> io::Result<()> {
        let pages = (self.pages() - first).min(most) as usize;
        ids.resize(pages * PAGE_BYTES, 0);
        self.file.read_at(ids, HEAD_BYTES as u64 + first * PAGE_BYTES as u64)?;
        for at in 0..pages {
            let (from, to) = (at * PAGE_BYTES, at * PAGE_BYTES + CHECKSUM_AT);
            if ids[to..from + PAGE_BYTES] != page_end(&ids[from..to]) {
                let why = format!("`{}` is damaged in page {}", self.path.display(), first + at as u64);
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            ids.copy_within(from..to, at * CHECKSUM_AT);
        }
        let records = (self.count - first * PAGE as u64).min((pages * PAGE) as u64);
        ids.truncate(records as usize * RECORD_BYTES);
        Ok(())
    }

    /// Finds a key by guessing where it must be: keys are spread evenly.
    fn find(&self, key: u128) -> io::Result<Option<u64>> {
        let (mut low, mut high) = (0, self.pages());
        let (mut least, mut most) = (0_u128, u128::MAX);
        let mut ids = Vec::with_capacity(PAGE_BYTES);
        let mut halve = false;
        while low < high {
            let part = ((key - least) >> 64) as f64 / (((most - least) >> 64) as f64).max(1.0);
            let guess = if halve { u64::midpoint(low, high) } else { low + (part * (high - low) as f64) as u64 };
            let page = guess.min(high - 1);
            self.read(page, 1, &mut ids)?;
            let records = ids.len() / RECORD_BYTES;
            let (first, last) = (record(&ids, 0), record(&ids, records - 1));
            if key < first.0 {
                (high, most) = (page, first.0);
            } else if key > last.0 {
                (low, least) = (page + 1, last.0);
            } else {
                let (mut left, mut right) = (0, records);
                while left < right {
                    let middle = usize::midpoint(left, right);
                    let found = record(&ids, middle);
                    match found.0.cmp(&key) {
                        std::cmp::Ordering::Equal => return Ok(Some(found.1)),
                        std::cmp::Ordering::Less => left = middle + 1,
                        std::cmp::Ordering::Greater => right = middle,
                    }
                }
                return Ok(None);
            }
            // Guessing may creep where keys are not spread evenly; halving in between bounds that.
            halve = !halve;
        }
        Ok(None)
    }
}

/// Returns what follows the ids of a page: their checksum, and zeros.
fn page_end(ids: &[u8]) -> [u8; PAGE_BYTES - CHECKSUM_AT] {
    let mut end = [0; PAGE_BYTES - CHECKSUM_AT];
    end[..4].copy_from_slice(&crc32fast::hash(ids).to_be_bytes());
    end
}

/// Fills the last page with zeros up to its checksum, and adds that.
fn end_page(buffer: &mut Vec<u8>) {
    let from = buffer.len() / PAGE_BYTES * PAGE_BYTES;
    buffer.resize(from + CHECKSUM_AT, 0);
    let end = page_end(&buffer[from..]);
    buffer.extend_from_slice(&end);
}

/// Writes files of ids as a log of so many events has them after all merges, evenly spread and made up.
///
/// # Errors
///
/// Whatever the file system says.
pub(crate) fn write_made_up(files: Arc<dyn Files>, folder: &Path, entries: u64) -> io::Result<()> {
    let shared = Shared { files, folder: folder.to_owned(), older: Mutex::default(), version: AtomicU64::new(0) };
    let mut from = 0;
    let mut size = IN_MEMORY as u64;
    while size * FAN_IN as u64 <= entries {
        size *= FAN_IN as u64;
    }
    while from < entries {
        while size > entries - from && size > IN_MEMORY as u64 {
            size /= FAN_IN as u64;
        }
        let count = size.min(entries - from);
        let step = u128::MAX / u128::from(count);
        // Between the places of neighbours, so that files have different ids.
        let offset = step / 7 * u128::from(from / IN_MEMORY as u64 % 5 + 1);
        shared.write(from, from + count, 0, count, |sink| {
            (0..count).try_for_each(|at| sink((step * u128::from(at) + offset, from + at)))
        })?;
        from += count;
    }
    Ok(())
}

fn record(buffer: &[u8], at: usize) -> (u128, u64) {
    let (key, index) = buffer[at * RECORD_BYTES..(at + 1) * RECORD_BYTES].split_at(16);
    (u128::from_be_bytes(key.try_into().expect("16 bytes")), u64::from_be_bytes(index.try_into().expect("eight bytes")))
}

/// Reads a file from its beginning to its end.
struct Reading<'run> {
    run: &'run Run,
    next_page: u64,
    buffer: Vec<u8>,
    at: usize,
}

impl<'run> Reading<'run> {
    fn new(run: &'run Run) -> io::Result<Self> {
        let mut reading = Self { run, next_page: 0, buffer: Vec::new(), at: 0 };
        reading.fill()?;
        Ok(reading)
    }

    fn fill(&mut self) -> io::Result<()> {
        self.at = 0;
        self.buffer.clear();
        if self.next_page < self.run.pages() {
            self.run.read(self.next_page, PAGES_AT_ONCE / 4, &mut self.buffer)?;
            self.next_page += PAGES_AT_ONCE / 4;
        }
        Ok(())
    }

    fn now(&self) -> Option<(u128, u64)> {
        (self.at < self.buffer.len() / RECORD_BYTES).then(|| record(&self.buffer, self.at))
    }

    fn advance(&mut self) -> io::Result<()> {
        self.at += 1;
        if self.at == self.buffer.len() / RECORD_BYTES { self.fill() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::SystemFiles;

    /// Ids that look random, or are counted up.
    fn id(number: u64) -> EventId {
        let mut bytes = [0; 16];
        let scattered = if number.is_multiple_of(2) { number } else { number.wrapping_mul(0x9e37_79b9_7f4a_7c15) };
        bytes[8..].copy_from_slice(&scattered.to_be_bytes());
        EventId(bytes)
    }

    #[test]
    fn every_id_is_found_again_and_no_other_through_files_and_merges_and_another_start() {
        let folder = tempfile::tempdir().unwrap();
        let mut ids = EventIds::open(Arc::new(SystemFiles), folder.path()).unwrap();
        let count = 10 * IN_MEMORY as u64 + 7;
        for index in 0..count {
            assert_eq!(ids.insert(id(index), index).unwrap(), None);
            if ids.freeze().is_some() {
                ids.shared.tidy().unwrap();
            }
        }
        let runs = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(runs, 3, "eight are one, and two are left");
        let covered = 10 * IN_MEMORY as u64;
        let mut again = EventIds::open(Arc::new(SystemFiles), folder.path()).unwrap();
        assert_eq!(again.covered(), covered);
        for index in (0..covered).step_by(61) {
            assert_eq!(ids.insert(id(index), u64::MAX).unwrap(), Some(index));
            assert_eq!(again.insert(id(index), u64::MAX).unwrap(), Some(index));
        }
        assert_eq!(again.insert(id(covered), covered).unwrap(), None, "what was not written is for the caller to add");
    }

    #[test]
    fn a_file_that_is_damaged_or_half_there_is_left_aside() {
        let folder = tempfile::tempdir().unwrap();
        let mut ids = EventIds::open(Arc::new(SystemFiles), folder.path()).unwrap();
        for index in 0..IN_MEMORY as u64 {
            ids.insert(id(index), index).unwrap();
        }
        ids.freeze();
        ids.shared().tidy().unwrap();
        let path = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let whole = std::fs::read(&path).unwrap();
        let mut damaged = vec![whole[..40].to_vec(), whole[..whole.len() - 1].to_vec()];
        // One bit of each kind of thing: head, ids, checksum of a page, its padding, filter.
        let pages = IN_MEMORY.div_ceil(PAGE);
        let page = HEAD_BYTES + PAGE_BYTES * (pages / 2);
        for at in [0, 8, 40, 63, HEAD_BYTES, page + 100, page + CHECKSUM_AT, page + PAGE_BYTES - 1, whole.len() - 1] {
            let mut flipped = whole.clone();
            flipped[at] ^= 16;
            damaged.push(flipped);
        }
        for bytes in damaged {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(EventIds::open(Arc::new(SystemFiles), folder.path()).unwrap().covered(), 0);
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_page_that_is_damaged_while_the_log_runs_answers_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut ids = EventIds::open(Arc::new(SystemFiles), folder.path()).unwrap();
        for index in 0..IN_MEMORY as u64 {
            ids.insert(id(index), index).unwrap();
        }
        ids.freeze();
        ids.shared().tidy().unwrap();
        let path = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        for page in 0..IN_MEMORY.div_ceil(PAGE) {
            bytes[HEAD_BYTES + page * PAGE_BYTES + 50] ^= 1;
        }
        // Written in place, as a disk would change it.
        std::os::unix::fs::FileExt::write_all_at(
            &std::fs::OpenOptions::new().write(true).open(&path).unwrap(),
            &bytes,
            0,
        )
        .unwrap();
        let error = ids.insert(id(77), 1 << 20).unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{}` is damaged in page", path.display())), "{error}");
    }
}
