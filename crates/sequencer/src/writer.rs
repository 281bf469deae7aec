//! The thread that gives each entry its index: takes all that waits, one sync for it, then tells everybody.
//!
//! Out of scope: trees and heads (`publish`).
//!
//! The surprise: an event that is handed in again gets the index that it has; with other content it is refused. So
//! whoever has heard nothing may simply ask again.

use crate::{
    entries::{Appended, Refused, entries, heartbeat},
    files::Files,
    home::{Home, Stream},
    ids::{EventIds, Shared as IdFiles},
    log::{Job, Shared, Written},
    publish::FolderSource,
    wal::{Spare, Wal},
};
use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{SyncSender, TrySendError},
    },
};
use vigie_ledger::{
    EventId, Hash,
    entry::{ENTRY_BYTES, EVENT_ID_AT, ROW_BASE_AT, ROW_COUNT_AT},
    reader::fetch_entry,
    tile::push_entry,
};

/// Most bytes that become durable together: more would let the first wait for the last.
const MOST_AT_ONCE: usize = 2 * 1024 * 1024;
/// Bytes of an event's entry behind its length.
const PREFIXED: usize = ENTRY_BYTES + 2;
/// How many files of ids may wait to be written.
const FILES_WAITING: usize = 4;

/// What the writer knows.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) stream: Stream,
    pub(crate) wal: Wal,
    /// Index of the next entry.
    pub(crate) next: u64,
    /// Rows in the log.
    pub(crate) rows: u64,
    /// `None` in a log of opaque entries.
    pub(crate) ids: Option<EventIds>,
    /// What is not in tiles yet, so that a repeat can be compared with it.
    pub(crate) recent: VecDeque<Arc<Written>>,
    pub(crate) source: FolderSource,
    pub(crate) chores: SyncSender<Chore>,
}

/// Work that nobody waits for.
#[derive(Debug)]
pub(crate) enum Chore {
    /// Make a segment of zeros.
    Spare(Arc<Spare>),
    /// Write ids to files.
    Ids(Arc<IdFiles>),
}

/// Does chores until nobody has any more.
pub(crate) fn do_chores(shared: &Shared, chores: &std::sync::mpsc::Receiver<Chore>) {
    for chore in chores {
        let (done, what) = match chore {
            Chore::Spare(spare) => (spare.make(), "a segment of the write-ahead log could not be prepared"),
            Chore::Ids(files) => (files.tidy(), "the files of event ids could not be written"),
        };
        if let Err(error) = done {
            // Nothing is lost: the writer makes the segment itself, and the ids stay in memory.
            shared.report(|progress| progress.trouble = Some(format!("{what}: {error}")));
        }
    }
}

type Answers = Vec<Result<Appended, Refused>>;

/// What is being put together.
#[derive(Default)]
struct Draft {
    payload: Vec<u8>,
    leaves: Vec<Hash>,
}

impl Writer {
    pub(crate) fn run(mut self) {
        while let Some(jobs) = self.shared.take_jobs(MOST_AT_ONCE) {
            if !self.shared.wait_for_room() {
                break;
            }
            if let Err(reason) = self.write(jobs) {
                self.shared.stop(reason);
                break;
            }
        }
        self.shared.end_backlog();
    }

    fn write(&mut self, jobs: Vec<Job>) -> Result<(), String> {
        let signed = self.shared.progress().signed;
        while self.recent.front().is_some_and(|batch| batch.first + batch.leaves.len() as u64 <= signed) {
            self.recent.pop_front();
        }
        self.freeze()?;
        let mut draft = Draft::default();
        let mut answers: Vec<(Job, Answers)> = Vec::with_capacity(jobs.len());
        for job in jobs {
            let placed: io::Result<Answers> = job.batch.entries().map(|entry| self.place(entry, &mut draft)).collect();
            // Ids may be noted already that are in no entry now; but the log stops.
            let placed = placed.map_err(|error| format!("what is known of events could not be read: {error}"))?;
            answers.push((job, placed));
        }
        let first = self.next - draft.leaves.len() as u64;
        if !draft.leaves.is_empty() {
            // If we stop here, nobody was promised anything. If the write or the sync fails, the entries may be on disk or
            // not; the next start finds out.
            let count = draft.leaves.len() as u32;
            let written = self.wal.append(first, count, &draft.payload);
            let new_segment = written.map_err(|error| crate::recovery::chain(&error))?;
            self.shared.batches.fetch_add(1, Ordering::Relaxed);
            self.shared.leaves_hashed.fetch_add(count.into(), Ordering::Relaxed);
            let next = self.next;
            self.shared.report(|progress| progress.durable = next);
            let written = Arc::new(Written { first, payload: draft.payload, leaves: draft.leaves });
            self.recent.push_back(written.clone());
            self.shared.hand_on(written);
            if new_segment {
                let _ = self.chores.try_send(Chore::Spare(self.wal.spare()));
            }
        }
        for (job, placed) in answers {
            // Whoever asked may have gone; the entry stays.
            let _ = job.answer.send(Ok(placed));
        }
        // Behind the answers: nobody waits for it. What could not be removed is removed the next time.
        if let Err(error) = self.wal.trim(signed) {
            self.shared.report(|progress| progress.trouble = Some(error.to_string()));
        }
        Ok(())
    }

    /// All ids known now are of durable entries: the batch before is synced, this one is not begun.
    fn freeze(&mut self) -> Result<(), String> {
        let Some(ids) = &mut self.ids else { return Ok(()) };
        let Some(waiting) = ids.freeze() else { return Ok(()) };
        let chore = Chore::Ids(ids.shared());
        let sent = if waiting > FILES_WAITING {
            self.chores.send(chore).map_err(|_| ())
        } else {
            match self.chores.try_send(chore) {
                Err(TrySendError::Disconnected(_)) => Err(()),
                // The chore that is waiting writes these, too.
                _ => Ok(()),
            }
        };
        sent.map_err(|()| "the thread that writes the ids of events has ended".to_owned())
    }

    /// Gives an entry its place.
    fn place(&mut self, entry: &[u8], draft: &mut Draft) -> io::Result<Result<Appended, Refused>> {
        let index = self.next;
        let mut row_base = 0;
        if self.stream == Stream::Events {
            row_base = self.rows;
            let rows = number(entry, ROW_COUNT_AT);
            let Some(sum) = row_base.checked_add(rows) else {
                return Ok(Err(Refused::Rows { base: row_base, count: rows }));
            };
            let ids = self.ids.as_mut().expect("a log of events knows their ids");
            let beat = heartbeat(entry);
            let latest = ids.latest_heartbeat();
            let event = EventId(entry[EVENT_ID_AT..EVENT_ID_AT + 16].try_into().expect("16 bytes"));
            if let Some(time) = beat.filter(|time| *time < latest) {
                return Ok(Err(Refused::Heartbeat { time, latest }));
            }
            if let Some(known) = ids.insert(event, index)? {
                return self.repeat(entry, event, known, draft);
            }
            ids.note_heartbeat(beat.unwrap_or(0));
            self.rows = sum;
        }
        let at = draft.payload.len() + 2;
        push_entry(&mut draft.payload, entry).expect("a batch holds no entry that is too long");
        if self.stream == Stream::Events {
            draft.payload[at + ROW_BASE_AT..at + ROW_BASE_AT + 8].copy_from_slice(&row_base.to_be_bytes());
        }
        let leaf = Hash::leaf(&draft.payload[at..]);
        draft.leaves.push(leaf);
        self.next += 1;
        Ok(Ok(Appended { index, leaf, row_base }))
    }

    /// Compares an entry with the one that its event has.
    fn repeat(&self, entry: &[u8], event: EventId, index: u64, draft: &Draft) -> io::Result<Result<Appended, Refused>> {
        let logged = self.logged(index, draft)?;
        if logged.len() != ENTRY_BYTES || logged[EVENT_ID_AT..EVENT_ID_AT + 16] != event.0 {
            return Err(io::Error::other(format!(
                "event `{event}` is noted as entry {index}, which is another; remove the folder `ids` to have it made again"
            )));
        }
        let row_base = number(&logged, ROW_BASE_AT);
        let mut asked = entry.to_vec();
        asked[ROW_BASE_AT..ROW_BASE_AT + 8].copy_from_slice(&row_base.to_be_bytes());
        if asked != logged {
            return Ok(Err(Refused::Repeated { event, index }));
        }
        Ok(Ok(Appended { index, leaf: Hash::leaf(&logged), row_base }))
    }

    fn logged(&self, index: u64, draft: &Draft) -> io::Result<Vec<u8>> {
        let in_draft = self.next - draft.leaves.len() as u64;
        let cut = |payload: &[u8], first: u64| {
            let at = (index - first) as usize * PREFIXED + 2;
            payload[at..at + ENTRY_BYTES].to_vec()
        };
        if index >= in_draft {
            return Ok(cut(&draft.payload, in_draft));
        }
        let after = self.recent.partition_point(|batch| batch.first <= index);
        if let Some(batch) = after.checked_sub(1).map(|at| &self.recent[at]) {
            return Ok(cut(&batch.payload, batch.first));
        }
        let signed = self.shared.progress().signed;
        fetch_entry(&self.source, index, signed).map_err(io::Error::other)
    }
}

pub(crate) fn number(entry: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(entry[at..at + 8].try_into().expect("eight bytes"))
}

/// Adds what is known of entries that were logged before: ids, rows, heartbeats.
///
/// # Errors
///
/// Whatever the file system says.
pub(crate) fn learn(ids: &mut EventIds, payload: &[u8], first: u64) -> io::Result<()> {
    for (index, entry) in (first..).zip(entries(payload)) {
        if index < ids.covered() || entry.len() != ENTRY_BYTES {
            continue;
        }
        ids.insert(EventId(entry[EVENT_ID_AT..EVENT_ID_AT + 16].try_into().expect("16 bytes")), index)?;
        ids.note_heartbeat(heartbeat(entry).unwrap_or(0));
        if ids.freeze().is_some() {
            ids.shared().tidy()?;
        }
    }
    Ok(())
}

/// A second way to read files, for the thread that gives out indexes.
pub(crate) fn source(files: &Arc<dyn Files>, home: &Home) -> FolderSource {
    FolderSource::new(files.clone(), home.public())
}
