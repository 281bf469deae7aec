//! The two threads of a vault: one writes what waits and syncs it, the other notes whom it was about.
//!
//! Out of scope: the doors (`doors`).
//!
//! Whoever hands in many records at once writes them himself, in turn with the first thread: so nobody is woken for it.
//!
//! The surprise: nobody waits for the second, and it is told only now and then. Who asks about a person has it told what
//! was held back, and waits until it has caught up.

use crate::doors::{AppendError, Segment, Shared, Stopped, UNPOISONED, lock};
use crate::index::{Index, hashes};
use crate::record::Record;
use crate::seal::NONCE_BYTES;
use crate::segment::{Draft, FileError, Place};
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, SyncSender};
use std::sync::{Arc, Condvar, Mutex};
use tokio::sync::oneshot;
use vigie_ledger::EventId;

/// Most bytes that become durable together: more would let the first wait for the last.
const MOST_AT_ONCE: usize = 4 * 1024 * 1024;

/// Records of which the indexer is told together, at most about.
const MOST_HELD: usize = 256;

/// What the writer is asked for.
#[derive(Debug)]
pub(crate) enum Job {
    /// Write a record.
    Append(Box<Waiting>),
    /// End the segment that grows, if it has records; answer when its index is filed.
    Roll { answer: Sender<()> },
}

/// A record on its way.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) record: Record,
    /// The record as it is written.
    pub(crate) bytes: Vec<u8>,
    /// Nobody, if whoever handed it in writes it.
    pub(crate) answer: Option<oneshot::Sender<()>>,
}

/// The segment, where the records are in it, and where it ends now.
type Persisted = (Arc<Segment>, Vec<(EventId, Place)>, u64);

/// What the indexer is told.
#[derive(Debug)]
pub(crate) enum Note {
    /// Records are durable in a segment.
    Written(Arc<Segment>, Vec<Record>),
    /// A segment is full.
    Full(Arc<Segment>),
    /// Somebody waits until what came before is done.
    Reached(Sender<()>),
}

/// What waits to be written.
#[derive(Debug)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    filled: Condvar,
    room: Condvar,
    most: usize,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<(Job, usize)>,
    bytes: usize,
    closed: bool,
    stopped: Option<Stopped>,
}

impl Inbox {
    pub(crate) fn new(most: usize) -> Self {
        Self { state: Mutex::default(), filled: Condvar::new(), room: Condvar::new(), most }
    }

    pub(crate) fn submit(&self, job: Job, bytes: usize, wait: bool) -> Result<(), AppendError> {
        let most = self.most;
        let mut state = lock(&self.state);
        // A record larger than what may wait is taken when nothing does.
        while !state.closed && state.bytes > 0 && state.bytes + bytes > most {
            if !wait {
                return Err(AppendError::Full { waiting: state.bytes, most });
            }
            state = self.room.wait(state).expect(UNPOISONED);
        }
        if state.closed {
            drop(state);
            return Err(self.stopped().into());
        }
        state.bytes += bytes;
        state.jobs.push_back((job, bytes));
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Takes what waits, up to `most` bytes or one job; waits if nothing does. `None` after the end.
    fn take(&self, most: usize) -> Option<Vec<Job>> {
        let mut state = lock(&self.state);
        while state.jobs.is_empty() {
            if state.closed {
                return None;
            }
            state = self.filled.wait(state).expect(UNPOISONED);
        }
        let mut jobs = Vec::with_capacity(state.jobs.len());
        let mut taken = 0;
        while let Some((_, bytes)) = state.jobs.front()
            && (jobs.is_empty() || taken + bytes <= most)
        {
            taken += bytes;
            jobs.extend(state.jobs.pop_front().map(|(job, _)| job));
        }
        state.bytes -= taken;
        drop(state);
        self.room.notify_all();
        Some(jobs)
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.state).closed
    }

    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.filled.notify_all();
        self.room.notify_all();
    }

    /// Stops: whatever waits is told so, by the end of its channel. The first reason counts.
    pub(crate) fn stop(&self, reason: &FileError) {
        let mut state = lock(&self.state);
        state.closed = true;
        state.stopped.get_or_insert_with(|| Stopped(in_full(reason).into()));
        let jobs = std::mem::take(&mut state.jobs);
        drop(state);
        self.filled.notify_all();
        self.room.notify_all();
        // Told after the reason is there to be read.
        drop(jobs);
    }

    pub(crate) fn reason(&self) -> Option<Stopped> {
        lock(&self.state).stopped.clone()
    }

    pub(crate) fn stopped(&self) -> Stopped {
        self.reason().unwrap_or_else(|| Stopped("it was closed".into()))
    }
}

fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// Closes the inbox at its end.
struct Closing<'inbox>(&'inbox Inbox);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
        // Whoever waits is told so by the end of the channel.
        drop(std::mem::take(&mut lock(&self.0.state).jobs));
    }
}

/// Writes records. Held by whoever does.
#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    notes: SyncSender<Note>,
    /// What the indexer was not told yet.
    held: Vec<(Arc<Segment>, Vec<Record>)>,
    n_held: usize,
}

/// Writes what waits in the inbox, to its end.
pub(crate) fn run(shared: &Shared, writer: &Mutex<Writer>) {
    // Also if it panics: nobody is to wait for a thread that is gone.
    let _closing = Closing(&shared.inbox);
    while let Some(jobs) = shared.inbox.take(MOST_AT_ONCE) {
        if let Err(error) = lock(writer).work(jobs) {
            shared.inbox.stop(&error);
            return;
        }
    }
    // What grows ends with its last block while nobody writes to it.
    if let Err(error) = lock(writer).end() {
        shared.inbox.stop(&error);
    }
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, notes: SyncSender<Note>) -> Self {
        Self { shared, notes, held: Vec::new(), n_held: 0 }
    }

    /// Tells the indexer what it was not told yet.
    pub(crate) fn tell(&mut self) {
        self.n_held = 0;
        for (segment, records) in self.held.drain(..) {
            // Gone only at the end, when nothing is indexed any more.
            let _ = self.notes.send(Note::Written(segment, records));
        }
    }

    fn end(&mut self) -> Result<(), FileError> {
        self.tell();
        if self.shared.inbox.reason().is_some() {
            return Ok(());
        }
        let segment = self.shared.newest().expect("one grows");
        segment.file.cut(segment.bytes.load(Ordering::Relaxed))
    }

    fn work(&mut self, jobs: Vec<Job>) -> Result<(), FileError> {
        let mut batch = Vec::new();
        for job in jobs {
            match job {
                Job::Append(waiting) => batch.push(*waiting),
                Job::Roll { answer } => {
                    self.write(std::mem::take(&mut batch))?;
                    self.roll()?;
                    // After the note of the full segment: answered when that is done.
                    let _ = self.notes.send(Note::Reached(answer));
                }
            }
        }
        self.write(batch)
    }

    fn roll(&mut self) -> Result<(), FileError> {
        self.tell();
        let segment = self.shared.newest().expect("one grows");
        let bytes = segment.bytes.load(Ordering::Relaxed);
        if bytes > crate::segment::HEAD_BYTES as u64 {
            segment.file.cut(bytes)?;
            self.shared.begin_segment()?;
            let _ = self.notes.send(Note::Full(segment));
        }
        Ok(())
    }

    /// Makes records durable, and tells those who wait for them.
    pub(crate) fn write(&mut self, batch: Vec<Waiting>) -> Result<(), FileError> {
        // After a failure nothing is written; those who wait are told so by the end of their channels.
        if batch.is_empty() || self.shared.inbox.reason().is_some() {
            return Ok(());
        }
        let (segment, places, end) = match self.persist(&batch) {
            Ok(persisted) => persisted,
            Err(error) => {
                // Stopped before anybody in the batch is told, so that they read why.
                self.shared.inbox.stop(&error);
                return Err(error);
            }
        };
        if let Index::Growing(growing) = &mut *segment.index.write().expect(UNPOISONED) {
            places.iter().for_each(|(event, place)| growing.note(*event, *place));
        }
        segment.bytes.store(end, Ordering::Relaxed);
        let (records, answers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|waiting| (waiting.record, waiting.answer)).unzip();
        // Before anybody is told: who then asks about a person has the indexer told of it.
        self.n_held += records.len();
        self.held.push((segment, records));
        if self.n_held >= MOST_HELD {
            self.tell();
        }
        for answer in answers.into_iter().flatten() {
            // Nobody may be waiting any more.
            let _ = answer.send(());
        }
        Ok(())
    }

    /// Makes records durable, in the segment that grows.
    fn persist(&mut self, batch: &[Waiting]) -> Result<Persisted, FileError> {
        if self.shared.newest().expect("one grows").bytes.load(Ordering::Relaxed) >= self.shared.options.segment_bytes {
            self.roll()?;
        }
        let segment = self.shared.newest().expect("one grows");
        let mut nonces = vec![0; batch.len() * NONCE_BYTES];
        getrandom::fill(&mut nonces).map_err(|error| FileError::Random(error.to_string()))?;
        let mut draft = Draft::new(segment.bytes.load(Ordering::Relaxed));
        for (waiting, nonce) in batch.iter().zip(nonces.chunks_exact(NONCE_BYTES)) {
            let nonce = nonce.first_chunk().expect("24 bytes");
            segment.file.push(&mut draft, waiting.record.event_id(), &waiting.bytes, nonce);
        }
        // If we stop here, nobody was promised anything. If the write or the sync fails, the records may be on disk or
        // not: the vault stops, and shows when it is opened again.
        segment.file.write_ahead(&draft, self.shared.options.segment_bytes)?;
        let (end, places) = segment.file.write(draft)?;
        segment.file.sync()?;
        Ok((segment, places, end))
    }
}

/// Indexes records.
#[derive(Debug)]
pub(crate) struct Indexer {
    pub(crate) shared: Arc<Shared>,
}

impl Indexer {
    pub(crate) fn run(self, notes: &Receiver<Note>) {
        for note in notes {
            match note {
                Note::Written(segment, records) => {
                    for record in records {
                        let hashes = hashes(&self.shared.index_key, &record.rows);
                        if let Index::Growing(growing) = &mut *segment.index.write().expect(UNPOISONED) {
                            growing.note_persons(record.event_id(), &hashes);
                        }
                    }
                }
                Note::Full(segment) => {
                    let filed = match &*segment.index.read().expect(UNPOISONED) {
                        Index::Growing(growing) => growing.file(&segment.file, segment.bytes.load(Ordering::Relaxed)),
                        Index::Filed(_) => continue,
                    };
                    match filed {
                        Ok(index) => *segment.index.write().expect(UNPOISONED) = Index::Filed(index),
                        // The index stays in memory, and is made again on opening; but the disk is not to be trusted.
                        Err(error) => self.shared.inbox.stop(&error),
                    }
                }
                Note::Reached(sender) => {
                    // Nobody may be waiting any more.
                    let _ = sender.send(());
                }
            }
        }
    }
}
