//! Entries by way of NATS JetStream: many gateways publish, one sequencer takes.
//!
//! A gateway publishes an entry to the log's subject, with a header that names where it listens, and waits there for the
//! log's own answer: index, leaf and row base, sent when the entry is durable *in the ledger*. What JetStream
//! acknowledges promises nothing. The sequencer acknowledges a message after that answer is sent; if it stops before, the
//! message comes again and is answered with the same index, because events are logged once.
//!
//! Out of scope: what a gateway holds back until it has its answer (`gateway`).
//!
//! The surprise: messages carry no `Nats-Msg-Id`. JetStream would drop what a gateway sends again, and with it the answer
//! that the gateway is waiting for; the log itself knows repeats.

use crate::{
    entries::{Appended, Batch, Refused},
    home::Stream,
    log::{AppendError, Log, Stopped},
};
use async_nats::{
    Client, ConnectOptions, HeaderMap,
    jetstream::{
        self, AckKind, Message,
        consumer::{AckPolicy, PullConsumer, pull},
        stream::{self, RetentionPolicy, StorageType},
    },
};
use futures_util::StreamExt as _;
use std::{future::Future, sync::Arc, time::Duration};
use vigie_ledger::{Hash, KeyName};

/// The header that says where a gateway waits for its answer.
pub const ANSWER_TO: &str = "Vigie-Answer-To";
/// How long the server may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long a message that was taken may stay without an answer before it comes again.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most messages taken at once.
const MOST_AT_ONCE: u16 = 1024;
/// How long to wait for a first message before asking the server again.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// From which version on a server can sync each message before it acknowledges it (`sync_interval: always`).
const CAN_SYNC: (u32, u32) = (2, 10);

/// Why entries cannot go by the queue.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The address is none.
    #[error("`{given}` is not the address of a queue; expected for instance `nats://127.0.0.1:4222`")]
    Address {
        /// What was given, without a password.
        given: String,
    },
    /// The server does not do it.
    #[error("the queue at `{queue}` failed while {doing}: {why}")]
    Failed {
        /// Its address, without a password.
        queue: String,
        /// What we were doing.
        doing: &'static str,
        /// Its words.
        why: String,
    },
    /// The log's entries have no event ids, so that what comes twice could not be told.
    #[error("the log `{0}` is of opaque entries, which cannot be logged exactly once; entries of events can")]
    Opaque(KeyName),
    /// The log stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The log refused the entry.
    #[error("the log refused the entry: {0}")]
    Refused(String),
    /// The log's answer cannot be read.
    #[error("the answer to the entry cannot be read: {0}")]
    Answer(String),
}

/// The queue of a log.
#[derive(Debug, Clone)]
pub struct Queue {
    client: Client,
    context: jetstream::Context,
    subject: String,
    stream_name: String,
    shown: String,
}

/// What a log promised, as gateways read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// The entry's place in the log, from 0.
    pub index: u64,
    /// The hash of its leaf.
    pub leaf: Hash,
    /// Rows in the log before it.
    pub row_base: u64,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct AnswerMessage {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leaf: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    row_base: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Queue {
    /// Connects to the queue of a log (`nats://host:port`, or `tls://`), and makes its stream if it is not there.
    ///
    /// # Errors
    ///
    /// [`QueueError::Address`] and [`QueueError::Failed`].
    pub async fn connect(address: &str, origin: &KeyName) -> Result<Self, QueueError> {
        // Whatever else is in the program may have chosen the cryptography already; either choice will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let shown = without_password(address)?;
        let failed = |doing, why: String| QueueError::Failed { queue: shown.clone(), doing, why };
        let options = ConnectOptions::new().name("vigie ledger").connection_timeout(ANSWER_WITHIN);
        let connected = tokio::time::timeout(ANSWER_WITHIN, options.connect(address)).await;
        let client = match connected {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return Err(failed("connecting", error.to_string())),
            Err(_) => {
                return Err(failed("connecting", format!("nobody answered within {} s", ANSWER_WITHIN.as_secs())));
            }
        };
        let mut context = jetstream::new(client.clone());
        context.set_timeout(ANSWER_WITHIN);
        // Origins have characters that subjects and streams may not have.
        let name = Hash::of(origin.as_str().as_bytes()).to_hex()[..32].to_owned();
        let (subject, stream_name) = (format!("vigie.ledger.{name}"), format!("VIGIE_LEDGER_{name}"));
        let config = stream::Config {
            name: stream_name.clone(),
            subjects: vec![subject.clone()],
            retention: RetentionPolicy::WorkQueue,
            storage: StorageType::File,
            ..stream::Config::default()
        };
        context.get_or_create_stream(config).await.map_err(|error| failed("making its stream", error.to_string()))?;
        Ok(Self { client, context, subject, stream_name, shown })
    }

    /// Returns what an operator should know of the server; `None` if it can sync each message before it acknowledges it.
    ///
    /// Whether it is told to cannot be asked of it.
    pub fn warning(&self) -> Option<String> {
        let version = self.client.server_info().version;
        (!can_sync(&version)).then(|| {
            format!(
                "the queue at `{}` is NATS {version}, which cannot sync each message (`sync_interval: always` is there \
                 from {}.{} on): what it holds may be lost with its machine, so gateways must wait for the ledger's answer",
                self.shown, CAN_SYNC.0, CAN_SYNC.1
            )
        })
    }

    fn failed(&self, doing: &'static str, why: impl std::fmt::Display) -> QueueError {
        QueueError::Failed { queue: self.shown.clone(), doing, why: why.to_string() }
    }

    /// Sends an entry and waits for the ledger's promise; sends it again every `patience` until there is one.
    ///
    /// # Errors
    ///
    /// [`QueueError::Refused`] if the log refused it; [`QueueError::Failed`], and then the entry may be in the log or not.
    pub async fn append(&self, entry: &[u8], patience: Duration) -> Result<Promise, QueueError> {
        let inbox = self.client.new_inbox();
        let listening = self.client.subscribe(inbox.clone()).await;
        let mut answers = listening.map_err(|error| self.failed("listening for the answer", error))?;
        loop {
            let mut headers = HeaderMap::new();
            headers.insert(ANSWER_TO, inbox.as_str());
            let sent = self.context.publish_with_headers(self.subject.clone(), headers, entry.to_vec().into()).await;
            // Not stored, or not said so: it is sent again all the same if no answer comes.
            let stored = match sent {
                Ok(stored) => stored.await.map(|_| ()),
                Err(error) => Err(error),
            };
            match tokio::time::timeout(patience, answers.next()).await {
                Ok(Some(answer)) => return read_answer(&answer.payload),
                Ok(None) => return Err(self.failed("waiting for the answer", "the connection was closed")),
                Err(_) => stored.map_err(|error| self.failed("storing an entry", error))?,
            }
        }
    }

    /// Takes entries for a log until `shutdown` ends.
    ///
    /// # Errors
    ///
    /// [`QueueError::Opaque`], [`QueueError::Stopped`], [`QueueError::Failed`]. What was not answered comes again.
    pub async fn serve(&self, log: Arc<Log>, shutdown: impl Future<Output = ()>) -> Result<(), QueueError> {
        if log.stream() == Stream::Opaque {
            return Err(QueueError::Opaque(log.key().verifier().name().clone()));
        }
        let config = pull::Config {
            durable_name: Some("sequencer".to_owned()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: PATIENCE,
            max_ack_pending: 2 * i64::from(MOST_AT_ONCE),
            ..pull::Config::default()
        };
        let stream = self.context.get_stream(&self.stream_name).await;
        let stream = stream.map_err(|error| self.failed("opening its stream", error))?;
        let consumer: PullConsumer = stream
            .get_or_create_consumer("sequencer", config)
            .await
            .map_err(|error| self.failed("making its consumer", error))?;
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let fetched = async {
                let mut messages = consumer.batch().max_messages(1).expires(ASK_AGAIN).messages().await?;
                let mut taken: Vec<Message> = Vec::new();
                while let Some(message) = messages.next().await {
                    taken.push(message?);
                }
                if !taken.is_empty() {
                    // One has come: whatever else waits comes with it, and nobody waits for more.
                    let mut more = consumer.fetch().max_messages(MOST_AT_ONCE.into()).messages().await?;
                    while let Some(message) = more.next().await {
                        taken.push(message?);
                    }
                }
                Ok::<_, async_nats::Error>(taken)
            };
            let messages = tokio::select! {
                biased;
                () = &mut shutdown => return Ok(()),
                messages = fetched => messages.map_err(|error| self.failed("taking entries", error))?,
            };
            self.take(&log, messages).await?;
        }
    }

    async fn take(&self, log: &Log, messages: Vec<Message>) -> Result<(), QueueError> {
        let mut batch = Batch::new();
        let mut waiting = Vec::with_capacity(messages.len());
        for message in messages {
            match Batch::check(&message.payload, Stream::Events).and_then(|()| batch.push(&message.payload)) {
                Ok(()) => waiting.push(message),
                Err(refused) => self.answer(&message, &Err(refused)).await?,
            }
        }
        if waiting.is_empty() {
            return Ok(());
        }
        let tickets = loop {
            match log.try_append_many(batch.clone()) {
                Ok(tickets) => break tickets,
                Err(AppendError::Full { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(AppendError::Stopped(stopped)) => return Err(stopped.into()),
                Err(AppendError::Refused(_)) => unreachable!("each was checked"),
            }
        };
        for (message, answer) in waiting.iter().zip(tickets.durable().await?) {
            self.answer(message, &answer).await?;
        }
        Ok(())
    }

    /// Answers, then acknowledges. If we stop in between, the message comes again, and so does the answer.
    async fn answer(&self, message: &Message, answer: &Result<Appended, Refused>) -> Result<(), QueueError> {
        let body = match answer {
            Ok(appended) => AnswerMessage {
                index: Some(appended.index),
                leaf: Some(appended.leaf.to_base64()),
                row_base: Some(appended.row_base),
                error: None,
            },
            Err(refused) => AnswerMessage { index: None, leaf: None, row_base: None, error: Some(refused.to_string()) },
        };
        let body = serde_json::to_vec(&body).expect("numbers and texts are JSON");
        // Without the header nobody listens; the entry is logged all the same.
        if let Some(inbox) = message.headers.as_ref().and_then(|headers| headers.get(ANSWER_TO)) {
            let sent = self.client.publish(inbox.as_str().to_owned(), body.into()).await;
            sent.map_err(|error| self.failed("answering", error))?;
        }
        let kind = if answer.is_ok() { AckKind::Ack } else { AckKind::Term };
        message.ack_with(kind).await.map_err(|error| self.failed("acknowledging", error))
    }
}

fn read_answer(payload: &[u8]) -> Result<Promise, QueueError> {
    let answer: AnswerMessage =
        serde_json::from_slice(payload).map_err(|error| QueueError::Answer(error.to_string()))?;
    if let Some(error) = answer.error {
        return Err(QueueError::Refused(error));
    }
    let leaf = answer.leaf.as_deref().and_then(Hash::from_base64);
    match (answer.index, leaf, answer.row_base) {
        (Some(index), Some(leaf), Some(row_base)) => Ok(Promise { index, leaf, row_base }),
        _ => Err(QueueError::Answer("it has no index, leaf or row base".to_owned())),
    }
}

fn can_sync(version: &str) -> bool {
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    (major, minor) >= CAN_SYNC
}

fn without_password(address: &str) -> Result<String, QueueError> {
    let mut url = url::Url::parse(address).map_err(|_| QueueError::Address { given: "…".to_owned() })?;
    let _ = url.set_password(None).and_then(|()| url.set_username(""));
    let shown = url.to_string();
    if ["nats", "tls"].contains(&url.scheme()) && url.has_host() {
        Ok(shown)
    } else {
        Err(QueueError::Address { given: shown })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_servers_can_sync_each_message() {
        for (version, can) in [("2.9.10", false), ("2.10.0", true), ("2.11.3-RC.1", true), ("3.0.0", true), ("", false)]
        {
            assert_eq!(can_sync(version), can, "{version}");
        }
    }
}
