//! The ledger that a program logs what it does in: in this process, behind HTTP, or behind a queue.
//!
//! Out of scope: what entries say (`gateway::accounting`, `consent`). Whatever fails here is an error, and then nothing is
//! done that was to be logged.
//!
//! The surprise: handing an entry in again is always right, and gives the place that it has; that is also how the place
//! of an old event is looked up.

use crate::http::MAX_BATCH_BYTES;
use crate::queue::{Queue, QueueError};
use crate::{AppendError, Batch, Log, ReceiptError, Stopped};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use vigie_ledger::entry::ENTRY_BYTES;
use vigie_ledger::{Hash, Receipt};

/// How long a ledger may take to log an entry.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to publish one, with its witnesses.
const PUBLISH_PATIENCE: Duration = Duration::from_secs(60);
/// Entries that may wait for a ledger behind HTTP.
const MOST_WAITING: usize = 4096;
/// Bytes of an entry in a batch.
const PREFIXED: usize = ENTRY_BYTES + 2;

/// Where an entry is in the ledger. It is durable there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Its index, from 0.
    pub index: u64,
    /// Rows in the ledger before it.
    pub row_base: u64,
    /// The hash of its leaf.
    pub leaf: Hash,
}

/// Why an entry is not known to be logged.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The ledger in this process did not take it.
    #[error("the ledger did not take the entry")]
    Local(#[from] AppendError),
    /// The ledger behind the queue did not take it.
    #[error("the ledger did not take the entry")]
    Queue(#[from] QueueError),
    /// The ledger behind HTTP did not take it.
    #[error("the ledger at `{prefix}` did not take the entry: {why}")]
    Remote {
        /// Its address.
        prefix: String,
        /// Why.
        why: String,
    },
    /// It has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// It cannot prove the entry.
    #[error("the ledger cannot prove the entry")]
    Receipt(#[from] ReceiptError),
    /// A queue carries entries, not receipts.
    #[error("receipts cannot be had through a queue; ask the ledger itself")]
    NoReceipts,
    /// The program is ending.
    #[error("the program is ending")]
    Ending,
}

/// A ledger that is logged in.
#[derive(Debug, Clone)]
pub enum Journal {
    /// In this process.
    Local(Arc<Log>),
    /// Behind HTTP: `vigie ledger serve`.
    Remote(RemoteLedger),
    /// Behind a queue.
    Queue(Arc<Queue>),
}

/// A ledger that another process writes, and serves. What waits goes there together.
#[derive(Debug, Clone)]
pub struct RemoteLedger {
    waiting: mpsc::Sender<Waiting>,
    caller: Arc<Caller>,
}

#[derive(Debug)]
struct Waiting {
    entry: [u8; ENTRY_BYTES],
    answer: oneshot::Sender<Result<Placed, JournalError>>,
}

#[derive(Debug)]
struct Caller {
    prefix: String,
    token: Option<String>,
    agent: ureq::Agent,
}

impl Journal {
    /// Logs an entry; returns where it is, once it is durable there.
    ///
    /// # Errors
    ///
    /// [`JournalError`]; then it may be logged or not, and may be handed in again.
    pub async fn append(&self, entry: &[u8; ENTRY_BYTES]) -> Result<Placed, JournalError> {
        match self {
            Self::Local(log) => {
                let ticket = match log.try_append(entry) {
                    Err(AppendError::Full { .. }) => {
                        let (log, entry) = (log.clone(), *entry);
                        let appended = tokio::task::spawn_blocking(move || log.append(&entry)).await;
                        appended.map_err(|_| JournalError::Ending)??
                    }
                    other => other?,
                };
                let appended = ticket.durable().await?;
                Ok(Placed { index: appended.index, row_base: appended.row_base, leaf: appended.leaf })
            }
            Self::Remote(remote) => {
                let (answer, answered) = oneshot::channel();
                let sent = remote.waiting.send(Waiting { entry: *entry, answer }).await;
                sent.map_err(|_| JournalError::Ending)?;
                answered.await.map_err(|_| JournalError::Ending)?
            }
            Self::Queue(queue) => {
                let appended = tokio::time::timeout(PATIENCE, queue.append(entry, PATIENCE / 4)).await;
                let promise = appended.map_err(|_| JournalError::Remote {
                    prefix: "the queue".to_owned(),
                    why: format!("no answer within {} s", PATIENCE.as_secs()),
                })??;
                Ok(Placed { index: promise.index, row_base: promise.row_base, leaf: promise.leaf })
            }
        }
    }

    /// Returns the receipt of an entry that was logged, once it is published with the witnesses that the ledger asks for.
    ///
    /// # Errors
    ///
    /// [`JournalError`].
    pub async fn receipt(&self, entry: &[u8; ENTRY_BYTES], index: u64) -> Result<Receipt, JournalError> {
        match self {
            Self::Local(log) => {
                log.publish_now();
                log.published(index).await?;
                let log = log.clone();
                let receipt = tokio::task::spawn_blocking(move || log.receipt(index, None)).await;
                Ok(receipt.map_err(|_| JournalError::Ending)??)
            }
            Self::Remote(remote) => {
                let (caller, entry) = (remote.caller.clone(), *entry);
                let said =
                    tokio::task::spawn_blocking(move || caller.post(&entry, "add?wait=published", PUBLISH_PATIENCE));
                let said = said.await.map_err(|_| JournalError::Ending)??;
                Receipt::parse(&said).map_err(|error| remote.caller.failed(error.to_string()))
            }
            Self::Queue(_) => Err(JournalError::NoReceipts),
        }
    }

    /// Returns the folder of the public files, of a ledger in this process.
    pub fn public(&self) -> Option<PathBuf> {
        match self {
            Self::Local(log) => Some(log.home().public()),
            Self::Remote(_) | Self::Queue(_) => None,
        }
    }
}

impl RemoteLedger {
    /// Connects to nothing yet: each batch of entries finds its own way, so that a ledger that was away is found again.
    ///
    /// `token` is what the ledger asks of writers.
    pub fn new(address: &str, token: Option<String>) -> Self {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let prefix = address.trim_end_matches('/').to_owned();
        let caller = Arc::new(Caller { prefix, token, agent });
        let (waiting, taken) = mpsc::channel(MOST_WAITING);
        let carrier = caller.clone();
        // Ends when the last handle is gone.
        std::thread::spawn(move || carrier.carry(taken));
        Self { waiting, caller }
    }
}

impl Caller {
    fn failed(&self, why: String) -> JournalError {
        JournalError::Remote { prefix: self.prefix.clone(), why }
    }

    /// Takes what waits to the ledger, again and again.
    fn carry(&self, mut taken: mpsc::Receiver<Waiting>) {
        while let Some(first) = taken.blocking_recv() {
            let mut waiting = vec![first];
            while waiting.len() < MAX_BATCH_BYTES / PREFIXED
                && let Ok(more) = taken.try_recv()
            {
                waiting.push(more);
            }
            match self.send(&waiting) {
                Ok(answers) => {
                    for (one, answer) in waiting.into_iter().zip(answers) {
                        // Nobody may be waiting any more.
                        let _ = one.answer.send(answer.map_err(|why| self.failed(why)));
                    }
                }
                Err(why) => {
                    for one in waiting {
                        let _ = one.answer.send(Err(self.failed(why.clone())));
                    }
                }
            }
        }
    }

    fn send(&self, waiting: &[Waiting]) -> Result<Vec<Result<Placed, String>>, String> {
        let mut batch = Batch::new();
        for one in waiting {
            batch.push(&one.entry).map_err(|refused| refused.to_string())?;
        }
        let said = self.post(batch.as_bytes(), "add-batch", PATIENCE).map_err(|error| match error {
            JournalError::Remote { why, .. } => why,
            other => other.to_string(),
        })?;
        let text = String::from_utf8(said).map_err(|_| "its answer is no text".to_owned())?;
        let answers: Vec<_> = text.lines().map(read_placed).collect();
        if answers.len() == waiting.len() {
            Ok(answers)
        } else {
            Err(format!("it gave {} answers to {} entries", answers.len(), waiting.len()))
        }
    }

    fn post(&self, body: &[u8], path: &str, patience: Duration) -> Result<Vec<u8>, JournalError> {
        let mut request = self.agent.post(format!("{}/{path}", self.prefix));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let request = request.config().timeout_global(Some(patience)).build();
        let mut answer = request.send(body).map_err(|error| self.failed(error.to_string()))?;
        let status = answer.status().as_u16();
        let said = answer.body_mut().with_config().limit(16 << 20).read_to_vec();
        let said = said.map_err(|error| self.failed(error.to_string()))?;
        if status == 200 {
            return Ok(said);
        }
        let error: Option<Value> = serde_json::from_slice(&said).ok();
        let error = error.and_then(|error| Some(error["error"].as_str()?.to_owned()));
        Err(self.failed(error.unwrap_or_else(|| format!("it answered with status {status}"))))
    }
}

fn read_placed(line: &str) -> Result<Placed, String> {
    let unclear = || format!("its answer cannot be read: `{line}`");
    let answer: Value = serde_json::from_str(line).map_err(|_| unclear())?;
    if let Some(error) = answer["error"].as_str() {
        return Err(error.to_owned());
    }
    let leaf = answer["leaf"].as_str().and_then(Hash::from_base64);
    match (answer["index"].as_u64(), answer["row_base"].as_u64(), leaf) {
        (Some(index), Some(row_base), Some(leaf)) => Ok(Placed { index, row_base, leaf }),
        _ => Err(unclear()),
    }
}
