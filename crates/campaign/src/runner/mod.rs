//! Runs a campaign: so many inspections at once, each started when the schedule says, each result kept at once.
//!
//! Out of scope: how a site is inspected (the caller's function) and what may start when ([`schedule`](crate::schedule)).
//! Results go straight to the database, so what a campaign needs does not grow with its sites, but for a few dozen
//! bytes a job in the schedule.

mod pace;

#[cfg(test)]
mod tests;

use crate::{
    document::{Inspection, Outcome},
    schedule::{JobId, Moment, Next, Schedule},
    store::{Attempted, Campaign, CampaignError, Job, Place, now_ms},
};
use pace::Pace;
use std::{
    collections::{BTreeSet, HashMap},
    future::Future,
    num::NonZeroUsize,
    path::PathBuf,
    pin::pin,
    time::Duration,
};
use tokio::{
    sync::oneshot,
    task::{self, JoinError, JoinSet},
    time::Instant,
};

/// An inspection that came to an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The document `vigie-inspection/1`.
    pub document: String,
    /// The bundle's name or address where it is kept, if it is another than the document says.
    pub bundle: Option<String>,
    /// The bundle's file or folder on this machine, where it is to be put on a [`Shelf`](crate::shelf::Shelf).
    pub files: Option<PathBuf>,
}

impl Done {
    /// Returns an inspection whose bundle is the one that its document names.
    pub fn new(document: String) -> Self {
        Self { document, bundle: None, files: None }
    }

    /// Says where the bundle is kept.
    #[must_use]
    pub fn with_bundle(mut self, bundle: String) -> Self {
        self.bundle = Some(bundle);
        self
    }

    /// Says which file or folder of this machine is the bundle.
    #[must_use]
    pub fn with_files(mut self, files: PathBuf) -> Self {
        self.files = Some(files);
        self
    }
}

/// How far a campaign is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Progress {
    /// Sites times repeats.
    pub total: usize,
    /// Inspected.
    pub done: usize,
    /// Blocked, unreachable or failed after all tries.
    pub failed: usize,
    /// Being inspected.
    pub running: usize,
    /// Finished per hour, lately; `None` before the second end.
    pub per_hour: Option<f64>,
    /// How long the rest takes at this rate; waits before further tries come on top.
    pub left: Option<Duration>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// The outcome.
    pub outcome: Outcome,
    /// Why, where it is not `inspected`.
    pub why: Option<&'a str>,
    /// How long to wait before the next attempt; `None` if this outcome stands.
    pub again: Option<Duration>,
}

/// Whoever watches a campaign.
pub trait Observer: Sync {
    /// An inspection starts.
    fn started(&self, job: &Job, progress: &Progress) {
        let _ = (job, progress);
    }

    /// An attempt ended, and what it came to is on disk.
    fn ended(&self, job: &Job, attempt: &Attempt<'_>, progress: &Progress) {
        let _ = (job, attempt, progress);
    }
}

/// Nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Observer for Unwatched {}

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ran {
    /// Where the campaign is now.
    pub progress: Progress,
    /// Whether every job is finished; if not, the run was stopped.
    pub complete: bool,
}

/// Runs a campaign until every site is finished, or `stop` is.
///
/// At most `jobs` inspections run at once, and never two of one registrable domain. An inspection that gives an error,
/// panics, or gives a document that cannot be read counts as `failed` and is tried again by the campaign's rule. When
/// stopped, or when this future is dropped, what is running is abandoned and will be inspected by the next run; that
/// counts as no attempt.
///
/// Needs a runtime with time.
///
/// # Errors
///
/// If the database fails. What was finished before is kept.
pub async fn run<F, Fut>(
    campaign: &Campaign,
    jobs: NonZeroUsize,
    inspect: F,
    observer: &dyn Observer,
    stop: impl Future<Output = ()>,
) -> Result<Ran, CampaignError>
where
    F: Fn(Job) -> Fut,
    Fut: Future<Output = Result<Done, String>> + Send + 'static,
{
    let inspect = |job| {
        let made = inspect(job);
        async move { Answer { made: made.await, kept: None } }
    };
    run_at(Place::Here, campaign, jobs, inspect, observer, stop).await
}

/// Runs a campaign, with its inspections in this program or by way of the queue.
pub(crate) async fn run_at<F, Fut>(
    place: Place,
    campaign: &Campaign,
    jobs: NonZeroUsize,
    inspect: F,
    observer: &dyn Observer,
    stop: impl Future<Output = ()>,
) -> Result<Ran, CampaignError>
where
    F: Fn(Job) -> Fut,
    Fut: Future<Output = Answer> + Send + 'static,
{
    let clock = Clock::start();
    let mut schedule = Schedule::new(campaign.settings().pause);
    for waiting in blocking(campaign, Campaign::unfinished).await? {
        schedule.add(waiting.id, &waiting.domain, waiting.not_before);
    }
    let counts = blocking(campaign, Campaign::counts).await?;
    let (mut done, mut failed, total) = (counts.done, counts.failed, counts.open + counts.done + counts.failed);
    let mut pace = Pace::default();
    let mut tasks = JoinSet::new();
    let mut running = Running { campaign, jobs: HashMap::new(), started: BTreeSet::new() };
    let mut stop = pin!(stop);
    let progress = |pace: &Pace, schedule: &Schedule, done, failed| {
        let (per_hour, left) = pace.rate(total - done - failed);
        Progress { total, done, failed, running: schedule.running(), per_hour, left }
    };
    let complete = loop {
        let mut next = Next::WaitForAnEnd;
        while schedule.running() < jobs.get() {
            next = schedule.next(clock.now());
            let Next::Start(id) = next else { break };
            running.started.insert(id);
            let job = blocking(campaign, move |campaign| campaign.start(id, place)).await?;
            observer.started(&job, &progress(&pace, &schedule, done, failed));
            let handle = tasks.spawn(inspect(job.clone()));
            running.jobs.insert(handle.id(), job);
            next = Next::WaitForAnEnd;
        }
        let due = match next {
            Next::Finished => break true,
            Next::Wait(at) => Some(at),
            Next::WaitForAnEnd | Next::Start(_) => None,
        };
        tokio::select! {
            biased;
            () = &mut stop => break false,
            Some(ended) = tasks.join_next_with_id() => {
                let (task, answer) = answer(ended);
                let job = running.jobs.remove(&task).expect("every task has a job");
                let (id, now) = (job.id, clock.now());
                let kept = blocking(campaign, move |campaign| keep(campaign, id, answer, now)).await?;
                running.started.remove(&id);
                schedule.ended(id, clock.now(), kept.again);
                if kept.again.is_none() {
                    pace.finished(now);
                    *(if kept.outcome == Outcome::Inspected { &mut done } else { &mut failed }) += 1;
                }
                let attempt = Attempt { outcome: kept.outcome, why: kept.why.as_deref(), again: kept.again };
                observer.ended(&job, &attempt, &progress(&pace, &schedule, done, failed));
            }
            () = clock.wait(due), if due.is_some() => {}
        }
    };
    let progress = progress(&pace, &schedule, done, failed);
    // Their inspections end before we say that we have.
    tasks.shutdown().await;
    Ok(Ran { progress: Progress { running: 0, ..progress }, complete })
}

/// What runs. Dropped, however that comes about, it lets what was not finished wait again.
struct Running<'a> {
    campaign: &'a Campaign,
    jobs: HashMap<task::Id, Job>,
    started: BTreeSet<JobId>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.started.is_empty() {
            // If this fails, the next start takes them back all the same, as after a crash.
            let _ = self.campaign.put_back(&self.started.iter().copied().collect::<Vec<_>>());
        }
    }
}

/// What an attempt came to.
pub(crate) struct Answer {
    /// The inspection, or why there is none.
    pub made: Result<Done, String>,
    /// Hears of it when the result is on disk.
    pub kept: Option<oneshot::Sender<()>>,
}

fn answer(ended: Result<(task::Id, Answer), JoinError>) -> (task::Id, Answer) {
    let fault = || Answer { made: Err("the inspection ended by a fault of the program".to_owned()), kept: None };
    ended.unwrap_or_else(|error| (error.id(), fault()))
}

struct Kept {
    outcome: Outcome,
    why: Option<String>,
    again: Option<Duration>,
}

fn keep(campaign: &Campaign, id: JobId, answer: Answer, now: Moment) -> Result<Kept, CampaignError> {
    let failed = |why: String, bundle| Attempted { outcome: Outcome::Failed, why: Some(why), document: None, bundle };
    let attempted = match answer.made {
        Ok(Done { document, bundle, files }) => {
            let bundle = bundle.or_else(|| Some(files?.file_name()?.to_string_lossy().into_owned()));
            match Inspection::read(&document) {
                Ok(read) => {
                    Attempted { outcome: read.outcome, why: read.why.clone(), document: Some((document, read)), bundle }
                }
                Err(unread) => failed(unread.to_string(), bundle),
            }
        }
        Err(why) => failed(why, None),
    };
    let again = campaign.ended(id, &attempted, now)?;
    // Only now may the queue forget it.
    if let Some(kept) = answer.kept {
        let _ = kept.send(());
    }
    Ok(Kept { outcome: attempted.outcome, why: attempted.why, again })
}

/// Does something with the database, off the threads that inspections need.
pub(crate) async fn blocking<T: Send + 'static>(
    campaign: &Campaign,
    work: impl FnOnce(&Campaign) -> Result<T, CampaignError> + Send + 'static,
) -> Result<T, CampaignError> {
    let campaign = campaign.clone();
    match task::spawn_blocking(move || work(&campaign)).await {
        Ok(answer) => answer,
        // A panic there is a panic here; nothing cancels these.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// The time of day at the start, and from then on the runtime's own: a clock that is set meanwhile hurries nobody.
struct Clock {
    at_start: u64,
    started: Instant,
}

impl Clock {
    fn start() -> Self {
        Self { at_start: u64::try_from(now_ms()).unwrap_or_default(), started: Instant::now() }
    }

    fn now(&self) -> Moment {
        Moment(self.at_start).after(self.started.elapsed())
    }

    async fn wait(&self, until: Option<Moment>) {
        if let Some(until) = until {
            // A millisecond more, so that what is due then is due when we wake.
            tokio::time::sleep(self.now().until(until) + Duration::from_millis(1)).await;
        }
    }
}
