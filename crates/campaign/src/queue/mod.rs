//! Many machines share a campaign by way of NATS JetStream.
//!
//! A coordinator has the campaign's folder. It hands out what the schedule lets start ([`coordinate`]) and keeps what
//! comes back; workers take jobs, inspect, put the bundle on the shelf and answer ([`work`]). Two streams: jobs
//! (`VIGIE_JOBS`, a work queue) and results (`VIGIE_RESULTS`, likewise).
//!
//! Who promises what, and what holds if a machine dies at any point:
//!
//! - The coordinator publishes a job under a name of its own (campaign, site, repeat, attempt); published twice, it is
//!   stored once. Its database says which jobs are out.
//! - A worker acknowledges a job only after its result is stored by JetStream. If it dies before, the job is delivered
//!   to another after [`Timing::patience`]; while it inspects, it says so three times in that span.
//! - The coordinator acknowledges a result only after it is committed to the database, once for each attempt. If it
//!   dies before, the result is delivered again; if after, the result is known and passed over.
//!
//! So an inspection may happen twice when a machine dies, and is kept once. For these promises to outlive a machine of
//! the queue itself, the server has to sync what it acknowledges (`sync_interval: always`, from version 2.10 on), or
//! the streams need replicas.

mod coordinator;
mod wire;
mod worker;

pub use coordinator::{CoordinateError, coordinate};
pub use wire::{AnswerMessage, JOB, JobMessage, RESULT, ResultMessage};
pub use worker::{Worked, Worker, work};

use async_nats::{
    ConnectOptions,
    jetstream::{
        self, Message,
        consumer::{AckPolicy, PullConsumer, pull},
        message::PublishMessage,
        stream::{self, RetentionPolicy, StorageType, Stream},
    },
};
use std::time::Duration;
use url::Url;

const JOBS: &str = "VIGIE_JOBS";
const RESULTS: &str = "VIGIE_RESULTS";
/// How long JetStream knows a message's name again. Later doubles are harmless, only idle.
const NAMES_KNOWN_FOR: Duration = Duration::from_secs(3600);
/// How long an answer of the queue may take before the question is put again.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Waits between attempts to publish: a server that restarts is back by then.
const PUBLISH_AGAIN: [Duration; 6] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(30),
    Duration::from_secs(60),
];

/// Why the queue cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// An address that is none.
    #[error("`{given}` is not the address of a queue: {why}; expected for instance `nats://127.0.0.1:4222`")]
    Address {
        /// What was given, without a password.
        given: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nobody answers.
    #[error("the queue at `{queue}` cannot be reached: {why}")]
    Unreachable {
        /// Its address, without a password.
        queue: String,
        /// Why.
        why: String,
    },
    /// It answers, but does not do it.
    #[error("the queue at `{queue}` failed while {doing}: {why}")]
    Failed {
        /// Its address, without a password.
        queue: String,
        /// What we were doing.
        doing: &'static str,
        /// Its words.
        why: String,
    },
}

/// How patient a queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long a worker may say nothing before its job goes to another.
    ///
    /// Holds for whoever makes the queue's consumer first.
    pub patience: Duration,
    /// How often the coordinator looks whether a job that is out is still somewhere.
    pub look: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { patience: Duration::from_secs(30), look: Duration::from_secs(60) }
    }
}

/// A connection to the queue.
#[derive(Debug, Clone)]
pub struct Queue {
    context: jetstream::Context,
    jobs: Stream,
    results: Stream,
    address: String,
    timing: Timing,
}

impl Queue {
    /// Connects to a queue (`nats://host:port`, or `tls://`), and makes its streams if they are not there.
    ///
    /// # Errors
    ///
    /// [`QueueError`] if the address is none, nobody answers, or the server has no JetStream.
    pub async fn connect(address: &str) -> Result<Self, QueueError> {
        Self::connect_with(address, Timing::default()).await
    }

    /// Connects to a queue with another patience.
    ///
    /// # Errors
    ///
    /// As [`Queue::connect`].
    pub async fn connect_with(address: &str, timing: Timing) -> Result<Self, QueueError> {
        // Whatever else is in the program may have chosen the cryptography already; either choice will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (shown, options) = options(address)?;
        let connected = tokio::time::timeout(ANSWER_WITHIN, options.connect(address)).await;
        let unreachable = |why: String| QueueError::Unreachable { queue: shown.clone(), why };
        let client = match connected {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return Err(unreachable(error.to_string())),
            Err(_) => return Err(unreachable(format!("nobody answered within {} s", ANSWER_WITHIN.as_secs()))),
        };
        let mut context = jetstream::new(client);
        context.set_timeout(ANSWER_WITHIN);
        let failed = |error: &dyn std::fmt::Display| QueueError::Failed {
            queue: shown.clone(),
            doing: "making its streams",
            why: error.to_string(),
        };
        let jobs = stream_of(&context, JOBS, "vigie.jobs.*").await.map_err(|error| failed(&error))?;
        let results = stream_of(&context, RESULTS, "vigie.results.*").await.map_err(|error| failed(&error))?;
        Ok(Self { context, jobs, results, address: shown, timing })
    }

    /// Returns who takes jobs: all workers of all campaigns share it.
    async fn job_consumer(&self) -> Result<PullConsumer, QueueError> {
        self.consumer(&self.jobs, "workers", "vigie.jobs.*", self.timing.patience).await
    }

    /// Returns who takes the results of a campaign.
    async fn result_consumer(&self, campaign: &str) -> Result<PullConsumer, QueueError> {
        let patience = self.timing.patience.max(Duration::from_secs(2));
        self.consumer(&self.results, &format!("campaign-{campaign}"), &format!("vigie.results.{campaign}"), patience)
            .await
    }

    async fn consumer(
        &self,
        stream: &Stream,
        name: &str,
        subject: &str,
        patience: Duration,
    ) -> Result<PullConsumer, QueueError> {
        let config = pull::Config {
            durable_name: Some(name.to_owned()),
            filter_subject: subject.to_owned(),
            ack_policy: AckPolicy::Explicit,
            ack_wait: patience,
            max_ack_pending: 100_000,
            ..pull::Config::default()
        };
        let made = stream.get_or_create_consumer(name, config).await;
        made.map_err(|error| self.failed("making its consumer", &error))
    }

    /// Publishes until JetStream has stored it, and returns its number in the stream.
    async fn publish(&self, subject: String, id: &str, payload: Vec<u8>) -> Result<u64, QueueError> {
        let mut waits = PUBLISH_AGAIN.iter();
        loop {
            let message = PublishMessage::build().message_id(id).payload(payload.clone().into());
            let stored = match self.context.send_publish(subject.clone(), message).await {
                Ok(stored) => stored.await,
                Err(error) => Err(error),
            };
            match (stored, waits.next()) {
                (Ok(stored), _) => return Ok(stored.sequence),
                // The name makes a second try harmless, also if the first was stored and only its answer was lost.
                (Err(_), Some(wait)) => tokio::time::sleep(*wait).await,
                (Err(error), None) => return Err(self.failed("storing a message", &error)),
            }
        }
    }

    /// Returns the size that a message may have, in bytes, with room for its headers.
    fn room(&self) -> usize {
        self.context.client().server_info().max_payload.saturating_sub(4096)
    }

    fn failed(&self, doing: &'static str, why: &dyn std::fmt::Display) -> QueueError {
        QueueError::Failed { queue: self.address.clone(), doing, why: why.to_string() }
    }
}

/// Acknowledges a message until the queue has heard it.
async fn acknowledge(message: &Message) {
    for _ in 0..3 {
        if message.double_ack().await.is_ok() {
            return;
        }
    }
    // Not heard: it is delivered again, found to be known, and acknowledged then.
}

async fn stream_of(
    context: &jetstream::Context,
    name: &str,
    subjects: &str,
) -> Result<Stream, jetstream::context::CreateStreamError> {
    let config = stream::Config {
        name: name.to_owned(),
        subjects: vec![subjects.to_owned()],
        retention: RetentionPolicy::WorkQueue,
        storage: StorageType::File,
        duplicate_window: NAMES_KNOWN_FOR,
        ..stream::Config::default()
    };
    context.get_or_create_stream(config).await
}

/// Returns an address without its password, for messages, and the options that it asks for.
fn options(address: &str) -> Result<(String, ConnectOptions), QueueError> {
    let wrong = |given: &str, why: &str| QueueError::Address { given: given.to_owned(), why: why.to_owned() };
    let mut url = Url::parse(address).map_err(|error| wrong("…", &error.to_string()))?;
    let options = ConnectOptions::new().name("vigie").connection_timeout(ANSWER_WITHIN);
    let _ = url.set_password(None).and_then(|()| url.set_username(""));
    let shown = url.to_string();
    if !["nats", "tls"].contains(&url.scheme()) || !url.has_host() {
        return Err(wrong(&shown, "it does not begin with nats:// or tls://"));
    }
    Ok((shown, options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_none_is_said_in_one_sentence_without_its_password() {
        let check = |given: &str, expected: &str| assert_eq!(options(given).err().unwrap().to_string(), expected);
        check(
            "http://me:secret@queue.example/",
            "`http://queue.example/` is not the address of a queue: it does not begin with nats:// or tls://; expected \
             for instance `nats://127.0.0.1:4222`",
        );
        check(
            "queue.example",
            "`…` is not the address of a queue: relative URL without a base; expected for instance \
             `nats://127.0.0.1:4222`",
        );
        assert_eq!(options("nats://me:secret@queue.example:4222").unwrap().0, "nats://queue.example:4222");
    }
}
