//! The coordinator: hands jobs to the queue where the local runner would inspect, and keeps what comes back.

use super::{
    Queue, QueueError, acknowledge,
    wire::{self, AnswerMessage, JobMessage, Key, ResultMessage},
};
use crate::{
    runner::{Answer, Done, Observer, Ran, blocking, run_at},
    shelf::Shelf,
    store::{Campaign, CampaignError, Job, Place},
};
use async_nats::jetstream::{AckKind, Message, consumer::PullConsumer};
use futures_util::StreamExt;
use std::{
    collections::HashMap,
    future::Future,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::oneshot;

/// Why a campaign could not be run by way of the queue.
#[derive(Debug, thiserror::Error)]
pub enum CoordinateError {
    /// The campaign's folder fails.
    #[error(transparent)]
    Campaign(#[from] CampaignError),
    /// The queue fails.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// Runs a campaign by way of the queue until every site is finished, or `stop` is.
///
/// At most `out` jobs are out at once, so that should be at least as many as the workers can do side by side. Pauses,
/// second tries and "one visit at a time" are those of the campaign, whatever the number of machines. Stopped, or
/// killed, it leaves the jobs that are out to the workers; their results wait in the queue for the next run.
///
/// # Errors
///
/// If the database fails, or the queue is gone for longer than a restart takes. What was kept is kept.
pub async fn coordinate(
    campaign: &Campaign,
    queue: &Queue,
    shelf: Option<&Shelf>,
    out: NonZeroUsize,
    observer: &dyn Observer,
    stop: impl Future<Output = ()>,
) -> Result<Ran, CoordinateError> {
    let consumer = queue.result_consumer(campaign.id()).await?;
    let desk = Arc::new(Desk {
        campaign: campaign.clone(),
        queue: queue.clone(),
        shelf: shelf.cloned(),
        state: Mutex::default(),
    });
    // What came back while nobody was here comes first, so that nothing is handed out that has been done.
    desk.clear(&consumer).await?;
    let inspect = |job: Job| {
        let desk = Arc::clone(&desk);
        async move {
            let failed = |error: QueueError| Answer { made: Err(error.to_string()), kept: None };
            desk.hand_out(&job).await.unwrap_or_else(failed)
        }
    };
    tokio::select! {
        ran = run_at(Place::Queue, campaign, out, inspect, observer, stop) => Ok(ran?),
        failed = desk.gather(&consumer) => Err(failed),
    }
}

/// Where jobs go out and results come in.
struct Desk {
    campaign: Campaign,
    queue: Queue,
    shelf: Option<Shelf>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Who waits for which result.
    awaited: HashMap<Key, oneshot::Sender<Arrived>>,
    /// Results that nobody waits for yet: at most as many as were out when the run before this one ended.
    early: HashMap<Key, Arrived>,
}

struct Arrived {
    result: ResultMessage,
    message: Message,
}

impl Desk {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Hands a job out and waits for its result.
    async fn hand_out(&self, job: &Job) -> Result<Answer, QueueError> {
        let key = (job.site, job.repeat, job.attempt);
        let (tell, mut told) = oneshot::channel();
        let early = self.with(|state| {
            let early = state.early.remove(&key);
            if early.is_none() {
                state.awaited.insert(key, tell);
            }
            early
        });
        if let Some(arrived) = early {
            return Ok(self.answer(arrived).await);
        }
        let subject = format!("vigie.jobs.{}", job.campaign);
        let payload = serde_json::to_vec(&JobMessage::new(job)).expect("a job is plain values");
        let mut id = wire::message_id(job);
        let mut number = self.queue.publish(subject.clone(), &id, payload.clone()).await?;
        let mut looked_in_vain = 0;
        loop {
            tokio::select! {
                arrived = &mut told => match arrived {
                    Ok(arrived) => return Ok(self.answer(arrived).await),
                    // We are being ended; nobody asks for this answer.
                    Err(_) => std::future::pending().await,
                },
                () = tokio::time::sleep(self.queue.timing.look) => {}
            }
            // A job is in its stream until a worker has answered. Gone, and no answer: its server lost one of both.
            looked_in_vain = if self.is_in_stream(number).await { 0 } else { looked_in_vain + 1 };
            if looked_in_vain > 1 {
                id.push_str("/again");
                number = self.queue.publish(subject.clone(), &id, payload.clone()).await?;
                looked_in_vain = 0;
            }
        }
    }

    async fn is_in_stream(&self, number: u64) -> bool {
        use async_nats::jetstream::stream::RawMessageErrorKind;
        match self.queue.jobs.get_raw_message(number).await {
            Ok(_) => true,
            // A server that does not answer has lost nothing yet.
            Err(error) => error.kind() != RawMessageErrorKind::NoMessageFound,
        }
    }

    /// Returns what a result says; it is acknowledged when that is on disk.
    async fn answer(&self, arrived: Arrived) -> Answer {
        let Arrived { result, message } = arrived;
        let bundle = result.bundle;
        let done = |document| Done { document, bundle: bundle.clone(), files: None };
        let made = match result.answer {
            AnswerMessage::Document(document) => Ok(done(document)),
            AnswerMessage::Failed(why) => Err(why),
            AnswerMessage::DocumentAt(place) => match &self.shelf {
                Some(shelf) => shelf.get_text(&place).await.map(done).map_err(|error| error.to_string()),
                None => Err(format!("the document is on the workers' shelf at `{place}`, and no shelf was named here")),
            },
        };
        let (kept, was_kept) = oneshot::channel();
        tokio::spawn(async move {
            // If it was not kept, nothing is acknowledged, and it is delivered again.
            if was_kept.await.is_ok() {
                acknowledge(&message).await;
            }
        });
        Answer { made, kept: Some(kept) }
    }

    /// Takes what is there.
    async fn clear(&self, consumer: &PullConsumer) -> Result<(), CoordinateError> {
        loop {
            let failed = |error: &dyn std::fmt::Display| self.queue.failed("fetching results", error);
            let mut batch = consumer.fetch().max_messages(64).messages().await.map_err(|error| failed(&error))?;
            let mut any = false;
            while let Some(message) = batch.next().await {
                any = true;
                self.take(message.map_err(|error| failed(&error))?).await?;
            }
            if !any {
                return Ok(());
            }
        }
    }

    /// Takes what comes, until the queue fails for longer than a restart takes.
    async fn gather(&self, consumer: &PullConsumer) -> CoordinateError {
        const FAILURES: u32 = 40;
        let mut failures = 0;
        loop {
            let error = match consumer.batch().max_messages(64).expires(Duration::from_secs(20)).messages().await {
                Ok(mut batch) => loop {
                    match batch.next().await {
                        Some(Ok(message)) => {
                            failures = 0;
                            if let Err(error) = self.take(message).await {
                                return error.into();
                            }
                        }
                        Some(Err(error)) => break error.to_string(),
                        None => {
                            failures = 0;
                            break String::new();
                        }
                    }
                },
                Err(error) => error.to_string(),
            };
            if !error.is_empty() {
                failures += 1;
                if failures > FAILURES {
                    return self.queue.failed("fetching results", &error).into();
                }
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
        }
    }

    /// Gives a result to whoever waits for it, or keeps it until somebody does, unless it is known.
    async fn take(&self, message: Message) -> Result<(), CampaignError> {
        let result = wire::read::<ResultMessage>(&message.payload, wire::RESULT);
        let Some(result) = result.filter(|result| result.campaign == self.campaign.id()) else {
            // Nobody here will ever read it. Its job is handed out again when it is found to be gone.
            let _ = message.ack_with(AckKind::Term).await;
            return Ok(());
        };
        let key = result.key();
        let Err(arrived) = self.give(key, Arrived { result, message }) else { return Ok(()) };
        let (site, repeat, attempt) = key;
        if blocking(&self.campaign, move |campaign| campaign.has_attempt(site, repeat, attempt)).await? {
            acknowledge(&arrived.message).await;
            return Ok(());
        }
        // Somebody may have begun to wait while we looked.
        if let Err(arrived) = self.give(key, *arrived) {
            self.with(|state| state.early.insert(key, *arrived));
        }
        Ok(())
    }

    fn give(&self, key: Key, arrived: Arrived) -> Result<(), Box<Arrived>> {
        match self.with(|state| state.awaited.remove(&key)) {
            Some(tell) => tell.send(arrived).map_err(Box::new),
            None => Err(Box::new(arrived)),
        }
    }
}
