//! Accounts for everything that waits at once: one entry each in the ledger, one record each in the vault, one sync for
//! all in each of the two, side by side.
//!
//! Out of scope: what is accounted for (`chunk`); ledgers elsewhere, which gather what waits by themselves (`journal`).
//!
//! The surprise: one thread does it, and writes the vault itself while the ledger's own thread writes the ledger. So each
//! statement is woken for once, when both are durable, and what comes meanwhile goes together in the next round.

use super::chunk::NotLogged;
use super::journal::{JournalError, Placed};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use tokio::sync::oneshot;
use vigie_sequencer::{Batch, Log};
use vigie_vault::{Record, Vault};

/// Most rows of a round, unless one chunk has more: more would let the first wait for the last.
const MOST_ROWS: u64 = 65_536;
/// Most entries of a round.
const MOST_ENTRIES: usize = 4096;

type Logged = Result<Placed, NotLogged>;

struct Waiting {
    record: Record,
    answer: oneshot::Sender<Logged>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    closed: bool,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    filled: Condvar,
}

/// The thread, and what waits for it.
pub(super) struct Together {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with what waits in hand")
    }

    /// Takes what waits; waits if nothing does. Nothing after the end.
    fn take(&self) -> Vec<Waiting> {
        let mut state = self.filled.wait_while(self.lock(), |state| state.waiting.is_empty() && !state.closed);
        let state = state.as_mut().expect("nobody panics with what waits in hand");
        let (mut taken, mut n_rows) = (Vec::with_capacity(state.waiting.len()), 0);
        while let Some(next) = state.waiting.front()
            && taken.len() < MOST_ENTRIES
            && (taken.is_empty() || n_rows + next.record.entry.row_count <= MOST_ROWS)
        {
            n_rows += next.record.entry.row_count;
            taken.extend(state.waiting.pop_front());
        }
        taken
    }
}

/// Refuses what waits when the thread is gone, also if it panicked: nobody is to wait for it.
struct Closing(Arc<Queue>);

impl Drop for Closing {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        // Whoever waits is told so by the end of the channel.
        state.waiting.clear();
    }
}

impl Together {
    pub(super) fn new(vault: Arc<Vault>, log: Arc<Log>) -> Self {
        let queue = Arc::new(Queue::default());
        let taking = queue.clone();
        let thread = std::thread::spawn(move || {
            let closing = Closing(taking);
            loop {
                let waiting = closing.0.take();
                if waiting.is_empty() {
                    return;
                }
                account(&vault, &log, waiting);
            }
        });
        Self { queue, thread: Some(thread) }
    }

    /// Accounts for a record: its entry is in the ledger and itself in the vault, both durable, once this returns.
    pub(super) async fn append(&self, record: Record) -> Logged {
        let (answer, answered) = oneshot::channel();
        let was_empty = {
            let mut state = self.queue.lock();
            if state.closed {
                return Err(NotLogged::Ending);
            }
            state.waiting.push_back(Waiting { record, answer });
            state.waiting.len() == 1
        };
        if was_empty {
            self.queue.filled.notify_one();
        }
        answered.await.map_err(|_| NotLogged::Ending)?
    }
}

impl Drop for Together {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.filled.notify_one();
        // A thread that panicked has said so.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl std::fmt::Debug for Together {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Together")
    }
}

/// Logs and keeps; then tells everybody.
///
/// If one of the two fails, the other may have it: then a record without an entry, or an entry whose rows nobody can open,
/// tells of rows that never left.
fn account(vault: &Vault, log: &Log, waiting: Vec<Waiting>) {
    let (records, answers): (Vec<_>, Vec<_>) = waiting.into_iter().map(|one| (one.record, one.answer)).unzip();
    let mut batch = Batch::new();
    let pushed: Result<(), _> = records.iter().try_for_each(|record| batch.push(&record.entry.to_bytes()));
    let tickets = pushed.map_err(vigie_sequencer::AppendError::from).and_then(|()| log.append_many(batch));
    // The ledger writes already.
    let kept = vault.append_together(records);
    let logged = tickets.and_then(|tickets| Ok(tickets.wait()?));
    let mut places = match (logged, kept) {
        (Ok(places), Ok(())) => places.into_iter(),
        (Err(error), _) => return refuse(answers, || JournalError::from(error.clone()).into()),
        (_, Err(error)) => return refuse(answers, || error.clone().into()),
    };
    for answer in answers {
        let placed = match places.next() {
            Some(Ok(appended)) => {
                Ok(Placed { index: appended.index, row_base: appended.row_base, leaf: appended.leaf })
            }
            Some(Err(refused)) => Err(JournalError::from(vigie_sequencer::AppendError::from(refused)).into()),
            None => Err(NotLogged::Ending),
        };
        // Nobody may be waiting any more.
        let _ = answer.send(placed);
    }
}

fn refuse(answers: Vec<oneshot::Sender<Logged>>, error: impl Fn() -> NotLogged) {
    for answer in answers {
        let _ = answer.send(Err(error()));
    }
}
