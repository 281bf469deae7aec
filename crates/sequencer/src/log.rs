//! The doors of a log: appending, waiting, proving, closing. Threads behind them do the work.
//!
//! Out of scope: what the threads do (`writer`, `publish`), and opening (`recovery`).
//!
//! The surprise: after a failed write or sync the log has *stopped*. Whatever waits is told so, nothing is tried again,
//! and it must be opened anew, because what the system says of a file after a failed sync cannot be believed.

use crate::{
    entries::{Appended, Batch, Refused},
    files::{Files, SystemFiles},
    home::{Home, Stream},
    publish::FolderSource,
    recovery::OpenError,
    waiting::{Outcome, Promise, Round},
};
use object_store::ObjectStore;
use std::{
    collections::VecDeque,
    fs::File,
    future::poll_fn,
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::sync::watch;
use vigie_ledger::{
    Entry, EventId, Hash, Kind, Receipt, SignerKey, TrustPolicy,
    entry::bucket,
    proof::Nodes as _,
    reader::{ReadError, Tiles},
    tile::{MAX_ENTRY_BYTES, push_entry},
};

/// Tiles kept for proofs: 16 kB each.
const TILES_KEPT: usize = 256;

/// Most bytes that become durable together: more would let the first wait for the last.
const MOST_AT_ONCE: usize = 2 * 1024 * 1024;

/// How a log is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Least time between two publications. While nothing is appended nothing is published.
    pub publish_every: Duration,
    /// Bytes of a segment of the write-ahead log; two are there at a time.
    pub segment_bytes: usize,
    /// Bytes that may wait to be appended; who comes with more waits, or is told to come later.
    pub max_waiting_bytes: usize,
    /// Bytes that may be durable and not yet in tiles; at half of it, they are published at once.
    pub max_unpublished_bytes: usize,
    /// How many threads take turns at writing, at least one: while one syncs, another gives what comes meanwhile its
    /// place. Where all who append wait for each other, one is enough, and wakes nobody for nothing.
    pub writers: usize,
    /// How long a witness may take to answer.
    pub witness_timeout: Duration,
    /// A store that everything is copied to besides, and the prefix there.
    pub copy_to: Option<(Arc<dyn ObjectStore>, String)>,
    /// The file system.
    pub files: Arc<dyn Files>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            publish_every: Duration::from_secs(1),
            segment_bytes: 16 * 1024 * 1024,
            max_waiting_bytes: 8 * 1024 * 1024,
            max_unpublished_bytes: 8 * 1024 * 1024,
            writers: 2,
            witness_timeout: Duration::from_secs(1),
            copy_to: None,
            files: Arc::new(SystemFiles),
        }
    }
}

/// Why a log stopped. It must be opened again, if it can be.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("the log has stopped: {0}")]
pub struct Stopped(pub Arc<str>);

/// Why nothing was appended.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum AppendError {
    /// The entry is not taken.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Too much waits already. Try again soon.
    #[error("{waiting} bytes wait to be appended, and at most {most} may")]
    Full {
        /// Bytes that wait.
        waiting: usize,
        /// Bytes that may.
        most: usize,
    },
    /// The log stopped. Whether the entry is in it shows when it is opened again.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Why there is no receipt.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// No published checkpoint covers the entry.
    #[error("entry {index} is not published: the published checkpoint is of {size} entries")]
    NotPublished {
        /// The entry.
        index: u64,
        /// Entries that are published.
        size: u64,
    },
    /// The proof could not be made of the log's own tiles.
    #[error("entry {index} cannot be proved")]
    Tiles {
        /// The entry.
        index: u64,
        /// Why.
        #[source]
        source: ReadError<io::Error>,
    },
}

/// The head that everybody may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Entries that it covers.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
    /// The checkpoint with its signatures; empty before the first is published.
    pub checkpoint: Arc<[u8]>,
}

/// What a log has done since it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Entries that are durable.
    pub durable: u64,
    /// Entries below the newest signed head.
    pub signed: u64,
    /// Entries below the published checkpoint.
    pub published: u64,
    /// Batches written.
    pub batches: u64,
    /// Runs of SHA-256: leaves as they are written, nodes up to the newest signed head.
    pub hashes: u64,
    /// What each witness said last: its name, and how that went.
    pub witnesses: Vec<(String, String)>,
    /// What went wrong without stopping the log, most recently.
    pub trouble: Option<String>,
}

/// An entry on its way.
#[derive(Debug)]
pub struct Ticket(Tickets);

/// Entries on their way.
#[derive(Debug)]
pub struct Tickets {
    round: Arc<Round>,
    /// Which entries of the round are ours.
    from: u32,
    count: u32,
    shared: Arc<Shared>,
}

/// A log that this program writes.
#[derive(Debug)]
pub struct Log {
    shared: Arc<Shared>,
    home: Home,
    key: Arc<SignerKey>,
    policy: TrustPolicy,
    stream: Stream,
    tiles: Mutex<Tiles<FolderSource>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    _lock: File,
}

/// What the threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    inbox: Mutex<Inbox>,
    inbox_filled: Condvar,
    inbox_room: Condvar,
    backlog: Mutex<Backlog>,
    backlog_filled: Condvar,
    backlog_room: Condvar,
    progress: watch::Sender<Progress>,
    progress_lock: Mutex<()>,
    progressed: Condvar,
    pub(crate) batches: AtomicU64,
    pub(crate) leaves_hashed: AtomicU64,
    pub(crate) nodes_hashed: AtomicU64,
}

#[derive(Debug, Default)]
struct Inbox {
    rounds: VecDeque<Handed>,
    bytes: usize,
    /// Bytes of the round that was taken last: the next will be about as large.
    usual: usize,
    closed: bool,
}

/// What was handed in, to become durable together.
#[derive(Debug)]
pub(crate) struct Handed {
    /// Entries, each behind its length.
    pub(crate) bytes: Vec<u8>,
    pub(crate) count: u32,
    pub(crate) promise: Promise,
}

/// What is handed in at once.
enum Entries<'entries> {
    One(&'entries [u8]),
    Many(&'entries Batch),
}

impl Entries<'_> {
    fn bytes(&self) -> usize {
        match self {
            Self::One(entry) => entry.len() + 2,
            Self::Many(batch) => batch.as_bytes().len(),
        }
    }

    fn count(&self) -> u32 {
        match self {
            Self::One(_) => 1,
            Self::Many(batch) => batch.count(),
        }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::One(entry) => push_entry(bytes, entry).expect("its length was looked at"),
            Self::Many(batch) => bytes.extend_from_slice(batch.as_bytes()),
        }
    }
}

/// Entries that are durable, with the hashes of their leaves.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) first: u64,
    pub(crate) payload: Vec<u8>,
    pub(crate) leaves: Vec<Hash>,
}

#[derive(Debug, Default)]
struct Backlog {
    batches: VecDeque<Arc<Written>>,
    /// Of batches that are not in tiles yet, taken or not.
    bytes: usize,
    flush: bool,
    closed: bool,
}

/// How far a log has come.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    pub(crate) durable: u64,
    pub(crate) signed: u64,
    pub(crate) published: Published,
    pub(crate) witnesses: Vec<(String, String)>,
    pub(crate) trouble: Option<String>,
    pub(crate) stopped: Option<Stopped>,
}

const UNPOISONED: &str = "nobody panics with the lock in hand";

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect(UNPOISONED)
}

/// What the publisher has to do.
pub(crate) struct Work {
    pub(crate) batches: VecDeque<Arc<Written>>,
    pub(crate) flush: bool,
    pub(crate) closed: bool,
    pub(crate) pressing: bool,
}

impl Shared {
    pub(crate) fn new(options: Options, progress: Progress) -> Self {
        Self {
            options,
            inbox: Mutex::default(),
            inbox_filled: Condvar::new(),
            inbox_room: Condvar::new(),
            backlog: Mutex::default(),
            backlog_filled: Condvar::new(),
            backlog_room: Condvar::new(),
            progress: watch::Sender::new(progress),
            progress_lock: Mutex::new(()),
            progressed: Condvar::new(),
            batches: AtomicU64::new(0),
            leaves_hashed: AtomicU64::new(0),
            nodes_hashed: AtomicU64::new(0),
        }
    }

    pub(crate) fn progress(&self) -> watch::Ref<'_, Progress> {
        self.progress.borrow()
    }

    /// Tells how far the log has come, and wakes who waits for it.
    pub(crate) fn report(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(change);
        // Held for a moment, so that nobody looks before the change and sleeps after it.
        drop(lock(&self.progress_lock));
        self.progressed.notify_all();
    }

    /// Stops everything. The first reason counts.
    pub(crate) fn stop(&self, reason: impl Into<Arc<str>>) {
        let stopped = Stopped(reason.into());
        let rounds = {
            let mut inbox = lock(&self.inbox);
            inbox.closed = true;
            // Said while nobody can hand anything in: whoever hears of it finds the door shut.
            self.report(|progress| {
                progress.stopped.get_or_insert(stopped);
            });
            std::mem::take(&mut inbox.rounds)
        };
        self.inbox_filled.notify_all();
        self.inbox_room.notify_all();
        lock(&self.backlog).closed = true;
        self.backlog_filled.notify_all();
        self.backlog_room.notify_all();
        for round in rounds {
            round.promise.tell(Err(self.stopped()));
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.progress().stopped.is_some()
    }

    pub(crate) fn stopped(&self) -> Stopped {
        self.progress().stopped.clone().unwrap_or_else(|| Stopped("it was closed".into()))
    }

    fn submit(self: &Arc<Self>, entries: &Entries<'_>, wait: bool) -> Result<Tickets, AppendError> {
        let most = self.options.max_waiting_bytes;
        let bytes = entries.bytes();
        let mut inbox = lock(&self.inbox);
        // A batch larger than what may wait is taken when nothing does.
        while !inbox.closed && inbox.bytes > 0 && inbox.bytes + bytes > most {
            if !wait {
                return Err(AppendError::Full { waiting: inbox.bytes, most });
            }
            inbox = self.inbox_room.wait(inbox).expect(UNPOISONED);
        }
        if inbox.closed {
            drop(inbox);
            return Err(self.stopped().into());
        }
        inbox.bytes += bytes;
        let was_empty = inbox.rounds.is_empty();
        if inbox.rounds.back().is_none_or(|round| round.count > 0 && round.bytes.len() + bytes > MOST_AT_ONCE) {
            let bytes = Vec::with_capacity(bytes.max(inbox.usual));
            inbox.rounds.push_back(Handed { bytes, count: 0, promise: Promise(Arc::default()) });
        }
        let round = inbox.rounds.back_mut().expect("there is one");
        let from = round.count;
        entries.write(&mut round.bytes);
        round.count += entries.count();
        let round = round.promise.0.clone();
        drop(inbox);
        if was_empty {
            self.inbox_filled.notify_one();
        }
        Ok(Tickets { round, from, count: entries.count(), shared: self.clone() })
    }

    /// Takes what waits, up to [`MOST_AT_ONCE`] bytes or one batch; waits if nothing does. `None` after the end.
    pub(crate) fn take(&self) -> Option<Handed> {
        let mut inbox = lock(&self.inbox);
        loop {
            if let Some(round) = inbox.rounds.pop_front() {
                inbox.bytes -= round.bytes.len();
                inbox.usual = round.bytes.len();
                drop(inbox);
                self.inbox_room.notify_all();
                return Some(round);
            }
            if inbox.closed {
                return None;
            }
            inbox = self.inbox_filled.wait(inbox).expect(UNPOISONED);
        }
    }

    /// Waits until there is room behind; `false` if the log stopped.
    pub(crate) fn wait_for_room(&self) -> bool {
        let mut backlog = lock(&self.backlog);
        while backlog.bytes > self.options.max_unpublished_bytes && !backlog.closed {
            backlog = self.backlog_room.wait(backlog).expect(UNPOISONED);
        }
        !backlog.closed
    }

    pub(crate) fn hand_on(&self, written: Arc<Written>) {
        let mut backlog = lock(&self.backlog);
        backlog.bytes += written.payload.len();
        // Whoever takes the first looks for more when it is time to publish, or when it presses.
        let wanted = backlog.batches.is_empty() || self.is_pressing(&backlog);
        backlog.batches.push_back(written);
        drop(backlog);
        if wanted {
            self.backlog_filled.notify_one();
        }
    }

    pub(crate) fn release(&self, bytes: usize) {
        lock(&self.backlog).bytes -= bytes;
        self.backlog_room.notify_all();
    }

    /// After the writer's end: nothing more is handed on.
    pub(crate) fn end_backlog(&self) {
        lock(&self.backlog).closed = true;
        self.backlog_filled.notify_all();
    }

    fn is_pressing(&self, backlog: &Backlog) -> bool {
        backlog.bytes > self.options.max_unpublished_bytes / 2
    }

    /// Takes what was written. Waits for something new and for so long, but not if it presses; without anything new at
    /// most for `at_most`.
    pub(crate) fn take_work(&self, new: Duration, at_most: Option<Duration>) -> Work {
        let began = Instant::now();
        let mut backlog = lock(&self.backlog);
        while !backlog.flush && !backlog.closed {
            let is_new = !backlog.batches.is_empty();
            if is_new && self.is_pressing(&backlog) {
                break;
            }
            match if is_new { Some(new) } else { at_most } {
                None => backlog = self.backlog_filled.wait(backlog).expect(UNPOISONED),
                Some(longest) => {
                    let left = longest.saturating_sub(began.elapsed());
                    if left.is_zero() {
                        break;
                    }
                    backlog = self.backlog_filled.wait_timeout(backlog, left).expect(UNPOISONED).0;
                }
            }
        }
        Work {
            batches: std::mem::take(&mut backlog.batches),
            flush: std::mem::take(&mut backlog.flush),
            closed: backlog.closed,
            pressing: self.is_pressing(&backlog),
        }
    }

    fn flush(&self) {
        lock(&self.backlog).flush = true;
        self.backlog_filled.notify_one();
    }

    fn close_inbox(&self) {
        lock(&self.inbox).closed = true;
        self.inbox_filled.notify_all();
        self.inbox_room.notify_all();
    }
}

impl Tickets {
    fn own(&self, outcome: Option<&Outcome>) -> Outcome {
        let (from, to) = (self.from as usize, (self.from + self.count) as usize);
        match outcome {
            Some(Ok(answers)) => Ok(answers[from..to].to_vec()),
            Some(Err(stopped)) => Err(stopped.clone()),
            None => Err(self.shared.stopped()),
        }
    }

    fn single(&self, outcome: Option<&Outcome>) -> Result<Appended, AppendError> {
        match outcome {
            Some(Ok(answers)) => Ok(answers[self.from as usize].clone()?),
            Some(Err(stopped)) => Err(stopped.clone().into()),
            None => Err(self.shared.stopped().into()),
        }
    }

    /// Waits until the entries are durable. The thread does nothing else meanwhile.
    ///
    /// # Errors
    ///
    /// [`Stopped`]: whether they are in the log shows when it is opened again. Those refused are in none.
    pub fn wait(self) -> Result<Vec<Result<Appended, Refused>>, Stopped> {
        self.own(self.round.wait())
    }

    /// The same, for asynchronous tasks.
    ///
    /// # Errors
    ///
    /// As [`Tickets::wait`].
    pub async fn durable(self) -> Result<Vec<Result<Appended, Refused>>, Stopped> {
        let mut slot = None;
        poll_fn(|context| self.round.poll(&mut slot, context).map(|outcome| self.own(outcome))).await
    }
}

impl Ticket {
    /// Waits until the entry is durable. The thread does nothing else meanwhile.
    ///
    /// # Errors
    ///
    /// [`AppendError::Refused`] and [`AppendError::Stopped`].
    pub fn wait(self) -> Result<Appended, AppendError> {
        self.0.single(self.0.round.wait())
    }

    /// The same, for asynchronous tasks.
    ///
    /// # Errors
    ///
    /// As [`Ticket::wait`].
    pub async fn durable(self) -> Result<Appended, AppendError> {
        let (tickets, mut slot) = (&self.0, None);
        poll_fn(|context| tickets.round.poll(&mut slot, context).map(|outcome| tickets.single(outcome))).await
    }
}

impl Log {
    /// Opens a log to write in it: checks what is there, reads what was written and not published, and only then starts.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing was signed then.
    pub fn open(home: &Home, options: Options) -> Result<Self, OpenError> {
        let opened = crate::recovery::open(home, options)?;
        let (shared, key, policy) = (opened.shared, opened.key, opened.policy);
        let source = FolderSource::new(shared.options.files.clone(), home.public());
        let tiles = Mutex::new(Tiles::new(source, shared.progress().published.size, TILES_KEPT));
        let log = Self {
            shared,
            home: home.clone(),
            key,
            policy,
            stream: opened.stream,
            tiles,
            threads: Mutex::new(opened.threads),
            _lock: opened.lock,
        };
        Ok(log)
    }

    /// Returns the folder.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Returns the log's key, which signs its checkpoints.
    pub fn key(&self) -> &SignerKey {
        &self.key
    }

    /// Returns whom the log asks to witness it.
    pub fn policy(&self) -> &TrustPolicy {
        &self.policy
    }

    /// Returns what entries are.
    pub fn stream(&self) -> Stream {
        self.stream
    }

    fn submit(&self, batch: &Batch, wait: bool) -> Result<Tickets, AppendError> {
        for entry in batch.entries() {
            Batch::check(entry, self.stream)?;
        }
        self.shared.submit(&Entries::Many(batch), wait)
    }

    fn submit_one(&self, entry: &[u8], wait: bool) -> Result<Ticket, AppendError> {
        if entry.len() > MAX_ENTRY_BYTES {
            return Err(Refused::TooLong(entry.len()).into());
        }
        Batch::check(entry, self.stream)?;
        self.shared.submit(&Entries::One(entry), wait).map(Ticket)
    }

    /// Hands in an entry; waits while too much does already. It is in the log when the ticket says so.
    ///
    /// # Errors
    ///
    /// [`AppendError::Refused`] and [`AppendError::Stopped`].
    pub fn append(&self, entry: &[u8]) -> Result<Ticket, AppendError> {
        self.submit_one(entry, true)
    }

    /// Hands in an entry, unless too much waits already.
    ///
    /// # Errors
    ///
    /// [`AppendError`].
    pub fn try_append(&self, entry: &[u8]) -> Result<Ticket, AppendError> {
        self.submit_one(entry, false)
    }

    /// Hands in many entries, which become durable together; waits while too much does already.
    ///
    /// An entry that says other things of an event that is in the log is refused alone; one that is no entry at all
    /// has the whole batch refused.
    ///
    /// # Errors
    ///
    /// [`AppendError::Refused`] and [`AppendError::Stopped`].
    pub fn append_many(&self, batch: Batch) -> Result<Tickets, AppendError> {
        self.submit(&batch, true)
    }

    /// Hands in many entries, unless too much waits already.
    ///
    /// # Errors
    ///
    /// [`AppendError`].
    pub fn try_append_many(&self, batch: Batch) -> Result<Tickets, AppendError> {
        self.submit(&batch, false)
    }

    /// Says that the log is alive: appends a heartbeat of this time, in seconds since 1970. The clock is the caller's.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; [`Refused::Heartbeat`] (by the ticket) if the clock went back.
    pub fn beat(&self, now: u64) -> Result<Ticket, AppendError> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| Stopped(format!("there are no random numbers: {error}").into()))?;
        let entry = Entry::new(Kind::Heartbeat, bucket(now), EventId(id), Hash::EMPTY);
        self.try_append(&entry.to_bytes())
    }

    /// Returns the published head.
    pub fn head(&self) -> Published {
        self.shared.progress().published.clone()
    }

    /// Returns what was done so far.
    pub fn statistics(&self) -> Statistics {
        let progress = self.shared.progress();
        Statistics {
            durable: progress.durable,
            signed: progress.signed,
            published: progress.published.size,
            batches: self.shared.batches.load(Ordering::Relaxed),
            hashes: self.shared.leaves_hashed.load(Ordering::Relaxed)
                + self.shared.nodes_hashed.load(Ordering::Relaxed),
            witnesses: progress.witnesses.clone(),
            trouble: progress.trouble.clone(),
        }
    }

    /// Returns why the log stopped; `None` while it runs.
    pub fn stopped(&self) -> Option<Stopped> {
        self.shared.progress().stopped.clone()
    }

    /// Publishes now what is durable, instead of at the next moment. Does not wait for it.
    pub fn publish_now(&self) {
        self.shared.flush();
    }

    /// Waits until a published checkpoint covers the entry, with as many witnesses as the policy asks for.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub fn wait_published(&self, index: u64) -> Result<Published, Stopped> {
        let mut guard = lock(&self.shared.progress_lock);
        loop {
            {
                let progress = self.shared.progress();
                if progress.published.size > index {
                    return Ok(progress.published.clone());
                }
                if let Some(stopped) = &progress.stopped {
                    return Err(stopped.clone());
                }
            }
            guard = self.shared.progressed.wait(guard).expect(UNPOISONED);
        }
    }

    /// The same, for asynchronous tasks.
    ///
    /// # Errors
    ///
    /// [`Stopped`].
    pub async fn published(&self, index: u64) -> Result<Published, Stopped> {
        let mut progress = self.shared.progress.subscribe();
        let reached = |progress: &Progress| progress.published.size > index || progress.stopped.is_some();
        let progress = progress.wait_for(reached).await.map_err(|_| self.shared.stopped())?;
        match &progress.stopped {
            Some(stopped) if progress.published.size <= index => Err(stopped.clone()),
            _ => Ok(progress.published.clone()),
        }
    }

    /// Makes the receipt of an entry: that it is in the log, under the published checkpoint.
    ///
    /// # Errors
    ///
    /// [`ReceiptError`].
    pub fn receipt(&self, index: u64, extra: Option<Vec<u8>>) -> Result<Receipt, ReceiptError> {
        let mut tiles = lock(&self.tiles);
        // Looked up with the tiles in hand, so that two who ask never go back and forth between sizes.
        let published = self.head();
        if index >= published.size {
            return Err(ReceiptError::NotPublished { index, size: published.size });
        }
        tiles.grow(published.size);
        let wrong = |source| ReceiptError::Tiles { index, source };
        let leaf = tiles.node(0, index).map_err(wrong)?;
        let proof = tiles.prove_inclusion(index, leaf, published.root).map_err(wrong)?;
        Ok(Receipt { extra, index, proof, checkpoint: published.checkpoint.to_vec() })
    }

    /// Takes nothing more, makes durable and publishes what was handed in, and ends.
    ///
    /// If the witnesses are no quorum, what is signed stays unpublished, and is published after the next start.
    ///
    /// # Errors
    ///
    /// [`Stopped`] if the log had stopped before, or did meanwhile.
    pub fn close(self) -> Result<(), Stopped> {
        self.finish()
    }

    /// The same, where others hold the log too; they are told that it has ended.
    ///
    /// # Errors
    ///
    /// [`Stopped`] if the log had stopped before, or did meanwhile.
    pub fn finish(&self) -> Result<(), Stopped> {
        self.end();
        match self.stopped() {
            Some(stopped) => Err(stopped),
            None => Ok(()),
        }
    }

    fn end(&self) {
        self.shared.close_inbox();
        for thread in std::mem::take(&mut *lock(&self.threads)) {
            // A thread that panicked has said so, and the log has stopped.
            let _ = thread.join();
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.end();
    }
}
