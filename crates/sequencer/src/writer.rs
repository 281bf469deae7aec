//! Gives each entry its index: takes all that waits, one sync for it, then tells everybody.
//!
//! Threads take turns, two if nothing else is asked for: while one syncs a round of entries and tells those who wait for it, the other gives the next
//! round its places. Rounds are written in the order in which they got their places.
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
    log::{Handed, Shared, Written},
    publish::FolderSource,
    wal::{Stock, Wal},
};
use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::{SyncSender, TrySendError},
    },
};
use vigie_ledger::{
    EventId, Hash,
    entry::{ENTRY_BYTES, EVENT_ID_AT, ROW_BASE_AT, ROW_COUNT_AT},
    reader::fetch_entry,
};

/// Bytes of an event's entry behind its length.
const PREFIXED: usize = ENTRY_BYTES + 2;
/// How many files of ids may wait to be written.
const FILES_WAITING: usize = 2;

const UNPOISONED: &str = "a thread that panics with it ends the log";

/// What the threads that write share.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    placing: Mutex<Placing>,
    // INVARIANT (rounds are written in order): it is taken with `placing` in hand, which is let go of only then.
    wal: Mutex<Wal>,
    /// Threads that have not ended.
    running: AtomicUsize,
    chores: SyncSender<Chore>,
}

/// What has to be known to give entries their places.
#[derive(Debug)]
pub(crate) struct Placing {
    pub(crate) stream: Stream,
    /// Index of the next entry.
    pub(crate) next: u64,
    /// Rows in the log.
    pub(crate) rows: u64,
    /// `None` in a log of opaque entries.
    pub(crate) ids: Option<EventIds>,
    /// What is not in tiles yet, so that a repeat can be compared with it.
    pub(crate) recent: VecDeque<Arc<Written>>,
    pub(crate) source: FolderSource,
}

/// Work that nobody waits for.
#[derive(Debug)]
pub(crate) enum Chore {
    /// Make a segment ready.
    Segments(Arc<Stock>),
    /// Write ids to files.
    Ids(Arc<IdFiles>),
}

/// Does chores until nobody has any more.
pub(crate) fn do_chores(shared: &Shared, chores: &std::sync::mpsc::Receiver<Chore>) {
    for chore in chores {
        let (done, what) = match chore {
            Chore::Segments(stock) => {
                (stock.tend(), "a segment of the write-ahead log could not be made ready or removed")
            }
            Chore::Ids(files) => (files.tidy(), "the files of event ids could not be written"),
        };
        if let Err(error) = done {
            // Nothing is lost: the writer makes the segment itself, and the ids stay in memory.
            shared.report(|progress| progress.trouble = Some(format!("{what}: {error}")));
        }
    }
}

/// What is being put together, in the place of what was handed in.
struct Draft {
    /// Entries that have their places up to `kept`, behind it what was handed in.
    payload: Vec<u8>,
    kept: usize,
    leaves: Vec<Hash>,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, placing: Placing, wal: Wal, chores: SyncSender<Chore>) -> Self {
        let (placing, wal) = (Mutex::new(placing), Mutex::new(wal));
        let running = AtomicUsize::new(shared.options.writers.max(1));
        Self { shared, placing, wal, running, chores }
    }

    /// Takes turns with the other threads that do the same.
    pub(crate) fn run(&self) {
        while self.take_turn() {}
        if self.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.end_backlog();
        }
    }

    fn take_turn(&self) -> bool {
        let mut placing = self.placing.lock().expect(UNPOISONED);
        let Some(Handed { bytes, count, promise }) = self.shared.take() else { return false };
        if !self.shared.wait_for_room() {
            return false;
        }
        let signed = self.shared.progress().signed;
        let mut draft = Draft { payload: bytes, kept: 0, leaves: Vec::with_capacity(count as usize) };
        let answers = match self.freeze(&mut placing).and_then(|()| placing.place_all(count, signed, &mut draft)) {
            Ok(answers) => answers,
            Err(reason) => {
                // Ids may be noted already that are in no entry now; but the log stops.
                self.shared.stop(reason);
                return false;
            }
        };
        let count = draft.leaves.len() as u32;
        draft.payload.truncate(draft.kept);
        let first = placing.next - u64::from(count);
        let written = Arc::new(Written { first, payload: draft.payload, leaves: draft.leaves });
        if count > 0 {
            placing.recent.push_back(written.clone());
        }
        let mut wal = self.wal.lock().expect(UNPOISONED);
        drop(placing);
        // What was written before may have failed: nothing is written after it, and nobody is told otherwise.
        if self.shared.is_stopped() {
            promise.tell(Err(self.shared.stopped()));
            return false;
        }
        let mut wanted = false;
        if count > 0 {
            // If we stop here, nobody was promised anything. If the write or the sync fails, the entries may be on disk or
            // not; the next start finds out.
            match wal.append(first, count, &written.payload) {
                Ok(new_segment) => wanted = new_segment,
                Err(error) => {
                    // Before anybody else can write.
                    self.shared.stop(crate::recovery::chain(&error));
                    promise.tell(Err(self.shared.stopped()));
                    return false;
                }
            }
            self.shared.batches.fetch_add(1, Ordering::Relaxed);
            self.shared.leaves_hashed.fetch_add(count.into(), Ordering::Relaxed);
            self.shared.report(|progress| progress.durable = first + u64::from(count));
            self.shared.hand_on(written);
        }
        wanted |= wal.trim(signed);
        let stock = wanted.then(|| wal.stock());
        drop(wal);
        // Whoever asked may have gone; the entries stay.
        promise.tell(Ok(answers));
        if let Some(stock) = stock {
            // If there is no room for another chore, it is done with the next segment, or by the writer itself.
            let _ = self.chores.try_send(Chore::Segments(stock));
        }
        true
    }

    /// Hands ids on to be written to files if they are many. All of them must be of durable entries, so what is being
    /// written is waited for.
    fn freeze(&self, placing: &mut Placing) -> Result<(), String> {
        let Some(ids) = placing.ids.as_mut().filter(|ids| ids.is_full()) else { return Ok(()) };
        drop(self.wal.lock().expect(UNPOISONED));
        if self.shared.is_stopped() {
            // The first reason counts.
            return Err("it had stopped".to_owned());
        }
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
}

impl Placing {
    fn place_all(
        &mut self,
        count: u32,
        signed: u64,
        draft: &mut Draft,
    ) -> Result<Vec<Result<Appended, Refused>>, String> {
        while self.recent.front().is_some_and(|batch| batch.first + batch.leaves.len() as u64 <= signed) {
            self.recent.pop_front();
        }
        let mut answers = Vec::with_capacity(count as usize);
        let mut at = 0;
        for _ in 0..count {
            let length = u16::from_be_bytes([draft.payload[at], draft.payload[at + 1]]);
            let end = at + 2 + usize::from(length);
            let placed = self.place(at, end, signed, draft);
            answers.push(placed.map_err(|error| format!("what is known of events could not be read: {error}"))?);
            at = end;
        }
        Ok(answers)
    }

    /// Gives the entry that was handed in from `at` on, behind its length, its place.
    fn place(
        &mut self,
        at: usize,
        end: usize,
        signed: u64,
        draft: &mut Draft,
    ) -> io::Result<Result<Appended, Refused>> {
        let index = self.next;
        let mut row_base = 0;
        if self.stream == Stream::Events {
            let entry = &draft.payload[at + 2..end];
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
                return self.repeat(entry, event, known, signed, draft);
            }
            ids.note_heartbeat(beat.unwrap_or(0));
            self.rows = sum;
        }
        let kept = draft.kept;
        if kept < at {
            draft.payload.copy_within(at..end, kept);
        }
        let entry = &mut draft.payload[kept + 2..kept + end - at];
        if self.stream == Stream::Events {
            entry[ROW_BASE_AT..ROW_BASE_AT + 8].copy_from_slice(&row_base.to_be_bytes());
        }
        let leaf = Hash::leaf(entry);
        draft.leaves.push(leaf);
        draft.kept += end - at;
        self.next += 1;
        Ok(Ok(Appended { index, leaf, row_base }))
    }

    /// Compares an entry with the one that its event has.
    fn repeat(
        &self,
        entry: &[u8],
        event: EventId,
        index: u64,
        signed: u64,
        draft: &Draft,
    ) -> io::Result<Result<Appended, Refused>> {
        let logged = self.logged(index, signed, draft)?;
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

    fn logged(&self, index: u64, signed: u64, draft: &Draft) -> io::Result<Vec<u8>> {
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
