//! A worker: takes jobs, inspects, puts the bundle on the shelf, answers, and only then lets go of the job.

use super::{
    Queue, QueueError, acknowledge,
    wire::{self, AnswerMessage, JobMessage, ResultMessage},
};
use crate::{
    runner::Done,
    shelf::{Shelf, place},
    store::Job,
};
use async_nats::jetstream::{AckKind, Message, consumer::PullConsumer};
use futures_util::{StreamExt, future::join_all};
use std::{
    future::Future,
    num::NonZeroUsize,
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio::{sync::watch, task::JoinSet, time::Instant};

/// How often a job is delivered before it is taken to be what ends the workers.
///
/// Being given back counts too, so this is generous.
const MAX_DELIVERIES: i64 = 10;
/// How long a question for a job stands.
const ASK_FOR: Duration = Duration::from_secs(2);
/// How long a queue that fails is left alone.
const AFTER_A_FAILURE: Duration = Duration::from_secs(3);

/// A worker's own settings. How sites are inspected comes with each job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// Its name in results.
    pub name: String,
    /// Inspections side by side.
    pub jobs: NonZeroUsize,
    /// How long it waits for a job before it ends; `None` for ever.
    pub idle: Option<Duration>,
}

/// What a worker did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Worked {
    /// Jobs that it answered.
    pub answered: usize,
}

/// Takes jobs from the queue and inspects, until `stop` is finished or nothing has come for [`Worker::idle`].
///
/// Stopped, it gives back the jobs that it was at, and others take them in a few seconds. Killed, it loses nothing: they are
/// delivered to others when it has said nothing for the queue's patience.
///
/// # Errors
///
/// If the queue is gone for longer than a restart takes.
pub async fn work<F, Fut>(
    queue: &Queue,
    worker: &Worker,
    shelf: Option<&Shelf>,
    inspect: F,
    stop: impl Future<Output = ()>,
) -> Result<Worked, QueueError>
where
    F: Fn(Job) -> Fut,
    Fut: Future<Output = Result<Done, String>> + Send + 'static,
{
    let consumer = queue.job_consumer().await?;
    let (tell, told) = watch::channel(false);
    let answered = AtomicUsize::new(0);
    let slots = (0..worker.jobs.get()).map(|_| {
        let slot = Slot { queue, worker, shelf, inspect: &inspect, answered: &answered };
        slot.serve(&consumer, told.clone())
    });
    let mut all = pin!(join_all(slots));
    let ended = tokio::select! {
        ended = &mut all => ended,
        () = stop => {
            let _ = tell.send(true);
            all.await
        }
    };
    ended.into_iter().collect::<Result<Vec<()>, _>>()?;
    Ok(Worked { answered: answered.load(Ordering::Relaxed) })
}

struct Slot<'a, F> {
    queue: &'a Queue,
    worker: &'a Worker,
    shelf: Option<&'a Shelf>,
    inspect: &'a F,
    answered: &'a AtomicUsize,
}

impl<F, Fut> Slot<'_, F>
where
    F: Fn(Job) -> Fut,
    Fut: Future<Output = Result<Done, String>> + Send + 'static,
{
    async fn serve(self, consumer: &PullConsumer, mut told: watch::Receiver<bool>) -> Result<(), QueueError> {
        const FAILURES: u32 = 40;
        let mut failures = 0;
        let mut last = Instant::now();
        loop {
            // Never abandoned: a job that comes to a question nobody listens to any more is lost for the queue's patience.
            let message = next(consumer).await;
            if let (Ok(Some(message)), true) = (&message, *told.borrow()) {
                give_back(message).await;
            }
            if *told.borrow() {
                return Ok(());
            }
            match message {
                Ok(Some(message)) => {
                    failures = 0;
                    self.serve_one(&message, &mut told).await?;
                    last = Instant::now();
                }
                Ok(None) => failures = 0,
                Err(why) => {
                    failures += 1;
                    if failures > FAILURES {
                        return Err(self.queue.failed("fetching a job", &why));
                    }
                    tokio::time::sleep(AFTER_A_FAILURE).await;
                }
            }
            if self.worker.idle.is_some_and(|idle| last.elapsed() >= idle) {
                return Ok(());
            }
        }
    }

    async fn serve_one(&self, message: &Message, told: &mut watch::Receiver<bool>) -> Result<(), QueueError> {
        let Some(job) = wire::read::<JobMessage>(&message.payload, wire::JOB) else {
            // A later version's job is for a later version's worker; give it back, and not at once.
            let _ = message.ack_with(AckKind::Nak(Some(Duration::from_secs(10)))).await;
            return Ok(());
        };
        let job = job.into_job();
        let deliveries = message.info().map_or(1, |info| info.delivered);
        let done = async {
            let made = if deliveries > MAX_DELIVERIES {
                Err(format!("{MAX_DELIVERIES} workers ended or gave up while they inspected this site"))
            } else {
                self.inspect(&job).await
            };
            self.answer(&job, made).await
        };
        // While we are at it, the queue hears so three times in its patience.
        let alive = async {
            loop {
                tokio::time::sleep(self.queue.timing.patience / 3).await;
                let _ = message.ack_with(AckKind::Progress).await;
            }
        };
        tokio::select! {
            answered = done => answered?,
            () = alive => {}
            _ = told.wait_for(|stop| *stop) => {
                give_back(message).await;
                return Ok(());
            }
        }
        // The result is stored. If we stop here, the job is delivered again, and its second result is passed over.
        acknowledge(message).await;
        self.answered.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn inspect(&self, job: &Job) -> Result<Done, String> {
        // In a task of its own: a fault in one inspection is that inspection's, and dropping the set ends it.
        let mut task = JoinSet::new();
        task.spawn((self.inspect)(job.clone()));
        let ended = task.join_next().await.expect("one task was spawned");
        let done = ended.unwrap_or_else(|_| Err("the inspection ended by a fault of the program".to_owned()))?;
        match self.shelf {
            Some(shelf) => shelf.keep(job, done).await.map_err(|error| error.to_string()),
            None => Ok(done),
        }
    }

    /// Publishes the result; it is stored when this returns.
    async fn answer(&self, job: &Job, made: Result<Done, String>) -> Result<(), QueueError> {
        let (answer, bundle) = match made {
            Ok(done) => {
                let name = done.files.as_ref().and_then(|files| files.file_name());
                let bundle = done.bundle.or_else(|| name.map(|name| name.to_string_lossy().into_owned()));
                (AnswerMessage::Document(done.document), bundle)
            }
            Err(why) => (AnswerMessage::Failed(why), None),
        };
        let mut result = ResultMessage {
            schema: wire::RESULT.to_owned(),
            campaign: job.campaign.clone(),
            site: job.site,
            repeat: job.repeat,
            attempt: job.attempt,
            worker: self.worker.name.clone(),
            answer,
            bundle,
        };
        let mut payload = in_json(&result);
        if payload.len() > self.queue.room() {
            result.answer = self.put_aside(job, result.answer).await;
            payload = in_json(&result);
        }
        let subject = format!("vigie.results.{}", job.campaign);
        self.queue.publish(subject, &wire::message_id(job), payload).await.map(|_| ())
    }

    /// Puts a document that is too large for a message on the shelf, and returns where it is.
    async fn put_aside(&self, job: &Job, answer: AnswerMessage) -> AnswerMessage {
        let AnswerMessage::Document(document) = answer else { return answer };
        let Some(shelf) = self.shelf else {
            return AnswerMessage::Failed(format!(
                "the document has {} bytes, a message of the queue holds {}, and the worker has no `--store`",
                document.len(),
                self.queue.room()
            ));
        };
        let at = format!("{}/inspection.json", place(job));
        match shelf.put_text(&at, document).await {
            Ok(()) => AnswerMessage::DocumentAt(at),
            Err(error) => AnswerMessage::Failed(error.to_string()),
        }
    }
}

fn in_json(result: &ResultMessage) -> Vec<u8> {
    serde_json::to_vec(result).expect("a result is plain values")
}

/// Gives a job back, to be delivered when our own last questions have lapsed.
async fn give_back(message: &Message) {
    let _ = message.ack_with(AckKind::Nak(Some(ASK_FOR + Duration::from_millis(500)))).await;
}

/// Waits a while for a job.
async fn next(consumer: &PullConsumer) -> Result<Option<Message>, String> {
    let asked = consumer.batch().max_messages(1).expires(ASK_FOR).messages().await;
    match asked.map_err(|error| error.to_string())?.next().await {
        Some(Ok(message)) => Ok(Some(message)),
        Some(Err(error)) => Err(error.to_string()),
        None => Ok(None),
    }
}
