//! The doors of a vault: opening, appending, finding, checking. Two threads behind them do the work.
//!
//! Out of scope: what the threads do (`writer`), and erasing (`erasure`).
//!
//! The surprise: after a failed write or sync the vault has *stopped*. Whatever waits is told so, nothing is tried again,
//! and it must be opened anew, because what the system says of a file after a failed sync cannot be believed.

use crate::erasure;
use crate::index::{Growing, Index, IndexFile};
use crate::record::{MAX_RECORD_BYTES, Record};
use crate::seal::{IndexKey, KeyEncryptionKey};
use crate::segment::{FileError, SegmentFile, Steps, Until, Watch, failed, read_segment_name, segment_name};
use crate::writer::{self, Inbox, Indexer, Job, Note, Waiting, Writer};
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::thread::JoinHandle;
use tokio::sync::oneshot;
use vigie_ledger::EventId;

/// Records that may wait to be indexed.
const NOTES_WAITING: usize = 64;

/// How a vault is run.
#[derive(Clone)]
pub struct Options {
    /// From how many bytes on a segment is full.
    pub segment_bytes: u64,
    /// Bytes that may wait to be written; who comes with more waits, or is told to come later.
    pub max_waiting_bytes: usize,
    /// Is asked before each step on the disk; what it fails with, the step fails with.
    pub watch: Option<Watch>,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 64 * 1024 * 1024, max_waiting_bytes: 32 * 1024 * 1024, watch: None }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Options({} bytes a segment, {} may wait)", self.segment_bytes, self.max_waiting_bytes)
    }
}

/// Why a vault cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another program writes.
    #[error("another program writes the vault in `{0}`; a vault has one writer")]
    Locked(PathBuf),
    /// Its files are not as they were written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Why a vault stopped. It must be opened again, if it can be.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("the vault has stopped: {0}")]
pub struct Stopped(pub Arc<str>);

/// Why nothing was appended.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum AppendError {
    /// Too much waits already. Try again soon.
    #[error("{waiting} bytes wait to be written to the vault, and at most {most} may")]
    Full {
        /// Bytes that wait.
        waiting: usize,
        /// Bytes that may.
        most: usize,
    },
    /// It is larger than any record may be.
    #[error("record has {0} bytes, more than the {MAX_RECORD_BYTES} that a vault takes")]
    TooLarge(usize),
    /// The vault stopped. Whether the record is in it shows when it is opened again.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// A record on its way.
#[derive(Debug)]
pub struct Ticket {
    answer: oneshot::Receiver<()>,
    shared: Arc<Shared>,
}

/// A record that has rows about a person.
#[derive(Debug)]
pub struct Found {
    /// The record.
    pub record: Record,
    /// The rows about the person, by their places in the event.
    pub rows: Vec<u32>,
}

/// A vault that this program writes.
#[derive(Debug)]
pub struct Vault {
    pub(crate) shared: Arc<Shared>,
    writer: Mutex<Option<Arc<Mutex<Writer>>>>,
    notes: Mutex<Option<SyncSender<Note>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    _lock: File,
}

/// A segment and where its records are.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) file: SegmentFile,
    pub(crate) index: RwLock<Index>,
    /// Bytes up to the end of the last block that is durable.
    pub(crate) bytes: AtomicU64,
}

/// What the threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) folder: PathBuf,
    pub(crate) options: Options,
    pub(crate) steps: Steps,
    pub(crate) kek: KeyEncryptionKey,
    pub(crate) index_key: IndexKey,
    pub(crate) inbox: Inbox,
    /// By number; the last one grows.
    pub(crate) segments: RwLock<BTreeMap<u64, Arc<Segment>>>,
    /// Held by whoever erases.
    pub(crate) erasing: Mutex<()>,
}

pub(crate) const UNPOISONED: &str = "nobody panics with the lock in hand";

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect(UNPOISONED)
}

impl Segment {
    pub(crate) fn new(file: SegmentFile, index: Index, bytes: u64) -> Arc<Self> {
        Arc::new(Self { file, index: RwLock::new(index), bytes: AtomicU64::new(bytes) })
    }

    /// Opens a segment; cuts its torn end if it is the newest, and makes its index again if there is none.
    fn open(number: u64, newest: bool, shared: &Opening<'_>) -> Result<Arc<Self>, FileError> {
        let path = shared.folder.join(segment_name(number));
        let file = SegmentFile::open(number, &path, shared.kek, shared.steps)?;
        let bytes = fs::metadata(&path).map_err(failed(&path, "read"))?.len();
        if let Some(index) = IndexFile::open(&file, bytes)? {
            return Ok(Self::new(file, Index::Filed(index), bytes));
        }
        let mut growing = Growing::default();
        let until = if newest { Until::Torn } else { Until::End };
        let scanned = file.scan(until, |event, place, plain| {
            let damaged = || FileError::Record { path: path.clone(), offset: place.offset, event };
            let record = Record::parse(&plain).map_err(|_| damaged())?;
            if record.event_id() != event {
                return Err(damaged());
            }
            growing.add(shared.index_key, &record, place);
            Ok(())
        })?;
        if scanned.bytes < scanned.file_bytes {
            // Nobody was promised what is cut. If we stop here, it is cut the next time.
            file.cut(scanned.bytes)?;
        }
        let index = if newest { Index::Growing(growing) } else { Index::Filed(growing.file(&file, scanned.bytes)?) };
        Ok(Self::new(file, index, scanned.bytes))
    }

    pub(crate) fn is_full(&self) -> bool {
        matches!(*self.index.read().expect(UNPOISONED), Index::Filed(_))
    }
}

fn waiting(record: Record, answer: Option<oneshot::Sender<()>>) -> Result<Waiting, AppendError> {
    let bytes = record.to_bytes();
    if bytes.len() > MAX_RECORD_BYTES {
        return Err(AppendError::TooLarge(bytes.len()));
    }
    Ok(Waiting { record, bytes, answer })
}

struct Opening<'vault> {
    folder: &'vault Path,
    kek: &'vault KeyEncryptionKey,
    index_key: &'vault IndexKey,
    steps: &'vault Steps,
}

impl Ticket {
    /// Waits until the record is durable.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    ///
    /// # Panics
    ///
    /// On a thread that runs asynchronous tasks.
    pub fn wait(self) -> Result<(), Stopped> {
        self.answer.blocking_recv().map_err(|_| self.shared.inbox.stopped())
    }

    /// The same, for asynchronous tasks.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub async fn durable(self) -> Result<(), Stopped> {
        self.answer.await.map_err(|_| self.shared.inbox.stopped())
    }
}

impl Vault {
    /// Opens the vault in `folder`, which is made if it is not there; finishes erasures that were interrupted.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; damage is named by file and place, and nothing is opened then.
    pub fn open(folder: &Path, kek: KeyEncryptionKey, options: Options) -> Result<Self, OpenError> {
        fs::create_dir_all(folder).map_err(failed(folder, "made"))?;
        let lock_path = folder.join("lock");
        let lock = File::create(&lock_path).map_err(failed(&lock_path, "made"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked(folder.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(&lock_path, "locked")(error).into()),
        }
        let (index_key, steps) = (kek.index_key(), Steps(options.watch.clone()));
        let mut numbers = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed(folder, "listed"))? {
            let entry = entry.map_err(failed(folder, "listed"))?;
            // A name that is not UTF-8 is none of ours.
            let Ok(name) = entry.file_name().into_string() else { continue };
            if entry.path().extension().is_some_and(|extension| extension == "new") {
                // It was never given its name: nobody relies on it.
                steps.remove(&entry.path())?;
            }
            numbers.extend(read_segment_name(&name));
        }
        numbers.sort_unstable();
        let opening = Opening { folder, kek: &kek, index_key: &index_key, steps: &steps };
        let newest = numbers.last().copied();
        let segments =
            numbers.iter().map(|number| Ok((*number, Segment::open(*number, newest == Some(*number), &opening)?)));
        let segments = segments.collect::<Result<BTreeMap<_, _>, FileError>>()?;
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            inbox: Inbox::new(options.max_waiting_bytes),
            options,
            steps,
            kek,
            index_key,
            segments: RwLock::new(segments),
            erasing: Mutex::new(()),
        });
        if shared.newest().is_none_or(|segment| segment.is_full()) {
            shared.begin_segment()?;
        }
        erasure::finish(&shared)?;
        let (notes, taken) = mpsc::sync_channel(NOTES_WAITING);
        let writer = Arc::new(Mutex::new(Writer::new(shared.clone(), notes.clone())));
        let writing = {
            let (shared, writer) = (shared.clone(), writer.clone());
            std::thread::spawn(move || writer::run(&shared, &writer))
        };
        let indexer = Indexer { shared: shared.clone() };
        let threads = vec![writing, std::thread::spawn(move || indexer.run(&taken))];
        let (writer, notes) = (Mutex::new(Some(writer)), Mutex::new(Some(notes)));
        Ok(Self { shared, writer, notes, threads: Mutex::new(threads), _lock: lock })
    }

    /// Hands in a record; waits while too much does already. It is in the vault when the ticket says so.
    ///
    /// # Errors
    ///
    /// [`AppendError::TooLarge`] and [`AppendError::Stopped`].
    pub fn append(&self, record: Record) -> Result<Ticket, AppendError> {
        self.submit(record, true)
    }

    /// Hands in a record, unless too much waits already.
    ///
    /// # Errors
    ///
    /// [`AppendError`].
    pub fn try_append(&self, record: Record) -> Result<Ticket, AppendError> {
        self.submit(record, false)
    }

    /// Hands in records that become durable together, and writes them on this thread, which does nothing else meanwhile.
    /// What waits in the inbox is not waited for.
    ///
    /// # Errors
    ///
    /// [`AppendError::TooLarge`], if one of them is: none is written then; and [`AppendError::Stopped`].
    pub fn append_together(&self, records: Vec<Record>) -> Result<(), AppendError> {
        let batch = records.into_iter().map(|record| waiting(record, None)).collect::<Result<Vec<_>, _>>()?;
        let stopped = || self.shared.inbox.stopped();
        let Some(writer) = lock(&self.writer).clone() else { return Err(stopped().into()) };
        let mut writer = lock(&writer);
        // Looked at with the writer in hand: nothing is written after a failure, or after the end.
        if self.shared.inbox.is_closed() {
            return Err(stopped().into());
        }
        writer.write(batch).map_err(|_| stopped().into())
    }

    fn submit(&self, record: Record, wait: bool) -> Result<Ticket, AppendError> {
        let (sender, answer) = oneshot::channel();
        let waiting = waiting(record, Some(sender))?;
        let size = waiting.bytes.len();
        self.shared.inbox.submit(Job::Append(Box::new(waiting)), size, wait)?;
        Ok(Ticket { answer, shared: self.shared.clone() })
    }

    /// Returns the record of an event; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`FileError`]: a record that is there and damaged is named.
    pub fn find(&self, event_id: EventId) -> Result<Option<Record>, FileError> {
        // The newest first: most questions are about what just happened.
        for segment in self.shared.segments().into_iter().rev() {
            let place = segment.index.read().expect(UNPOISONED).find(event_id)?;
            if let Some(place) = place {
                return segment.file.read(event_id, place).map(Some);
            }
        }
        Ok(None)
    }

    /// Returns all records with rows about a person that were promised before, the oldest first.
    ///
    /// # Errors
    ///
    /// [`FileError`]: a record that is there and damaged is named.
    pub fn about(&self, subject: &[u8]) -> Result<Vec<Found>, FileError> {
        self.wait_indexed();
        let mut found = self.shared.about(subject)?;
        found.sort_by_key(|found| (found.record.time_ms, found.record.event_id()));
        Ok(found)
    }

    /// Waits until everything that was promised is indexed.
    pub(crate) fn wait_indexed(&self) {
        let writer = lock(&self.writer).clone();
        if let Some(writer) = writer {
            lock(&writer).tell();
        }
        let (sender, done) = mpsc::channel();
        let notes = lock(&self.notes).clone();
        if notes.is_some_and(|notes| notes.send(Note::Reached(sender)).is_ok()) {
            // Gone without an answer only at the end, when nothing is indexed any more.
            let _ = done.recv();
        }
    }

    /// Reads everything, and returns what is damaged. Records that open but do not fit their entries are damaged too.
    pub fn check(&self) -> Vec<FileError> {
        self.wait_indexed();
        let mut damage = Vec::new();
        for segment in self.shared.segments() {
            let durable = segment.bytes.load(Ordering::Relaxed);
            let until = if segment.is_full() { Until::End } else { Until::Here(durable) };
            let checked = segment.file.scan(until, |event, place, plain| {
                let sound = Record::parse(&plain).is_ok_and(|record| record.event_id() == event && record.is_sound());
                if !sound {
                    damage.push(FileError::Record { path: segment.file.path.clone(), offset: place.offset, event });
                }
                Ok(())
            });
            damage.extend(checked.err());
            if let Index::Filed(index) = &*segment.index.read().expect(UNPOISONED) {
                damage.extend(index.all().err());
            }
        }
        damage
    }

    /// Returns why the vault stopped; `None` while it runs.
    pub fn stopped(&self) -> Option<Stopped> {
        self.shared.inbox.reason()
    }

    /// Takes nothing more, makes durable what was handed in, and ends.
    ///
    /// # Errors
    ///
    /// [`Stopped`] if the vault had stopped before, or did meanwhile.
    pub fn close(&self) -> Result<(), Stopped> {
        self.shared.inbox.close();
        let mut threads = std::mem::take(&mut *lock(&self.threads)).into_iter();
        let join = |thread: Option<JoinHandle<()>>| {
            // A thread that panicked has said so.
            let _ = thread.map(JoinHandle::join);
        };
        join(threads.next());
        // The indexer ends when nobody can send it anything more.
        *lock(&self.writer) = None;
        *lock(&self.notes) = None;
        join(threads.next());
        match self.stopped() {
            Some(stopped) => Err(stopped),
            None => Ok(()),
        }
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        let _ = self.close();
    }
}

impl Shared {
    pub(crate) fn segments(&self) -> Vec<Arc<Segment>> {
        self.segments.read().expect(UNPOISONED).values().cloned().collect()
    }

    pub(crate) fn newest(&self) -> Option<Arc<Segment>> {
        self.segments.read().expect(UNPOISONED).last_key_value().map(|(_, segment)| segment.clone())
    }

    /// Begins a new segment, which grows from now on.
    pub(crate) fn begin_segment(&self) -> Result<Arc<Segment>, FileError> {
        let number = self.newest().map_or(0, |segment| segment.file.number + 1);
        let path = self.folder.join(segment_name(number));
        let file = SegmentFile::create(number, &path, &self.kek, &self.steps)?;
        // If we stop here, the new file is removed on opening; once it has its name, it is the newest, and empty.
        file.put_in_place()?;
        let segment = Segment::new(file, Index::Growing(Growing::default()), crate::segment::HEAD_BYTES as u64);
        self.segments.write().expect(UNPOISONED).insert(number, segment.clone());
        Ok(segment)
    }

    pub(crate) fn about(&self, subject: &[u8]) -> Result<Vec<Found>, FileError> {
        let hash = self.index_key.hash(subject);
        let mut found = Vec::new();
        for segment in self.segments() {
            let places = segment.index.read().expect(UNPOISONED).about(hash)?;
            for (event_id, place) in places {
                let record = segment.file.read(event_id, place)?;
                let rows = record.rows.about(subject);
                // Another person may have the same hash.
                if !rows.is_empty() {
                    found.push(Found { record, rows });
                }
            }
        }
        Ok(found)
    }
}
