//! The runner with made-up inspections, in the runtime's paused time: five minutes pass at once.

use super::*;
use crate::{list::List, settings::Settings, store::Difference};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

fn document(outcome: &str) -> String {
    format!(r#"{{"schema": "vigie-inspection/1", "outcome": "{outcome}"}}"#)
}

struct World {
    folder: tempfile::TempDir,
    list: List,
}

fn world(list: &str) -> World {
    World { folder: tempfile::tempdir().unwrap(), list: List::parse(list).unwrap() }
}

impl World {
    fn open(&self) -> Campaign {
        Campaign::open(self.folder.path(), Some(&self.list), &Settings::default(), Difference::Refuse).unwrap().0
    }
}

/// Writes down every attempt's end, with the second of it.
#[derive(Default)]
struct Log(Mutex<Vec<String>>, Option<Instant>);

impl Observer for Log {
    fn ended(&self, job: &Job, attempt: &Attempt<'_>, progress: &Progress) {
        let second = self.1.map_or(0, |start| start.elapsed().as_secs());
        let again = attempt.again.map_or("stands".to_owned(), |wait| format!("again in {wait:?}"));
        let why = attempt.why.map_or(String::new(), |why| format!(" ({why})"));
        self.0.lock().unwrap().push(format!(
            "{second} {} #{} {}{why}, {again}; {}+{} of {}",
            job.domain, job.attempt, attempt.outcome, progress.done, progress.failed, progress.total
        ));
    }
}

const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();

#[tokio::test(start_paused = true)]
async fn outcomes_are_tried_again_as_the_rule_says_and_none_is_dropped() {
    let world =
        world("https://good.test/\nhttps://gone.test/\nhttps://wall.test/\nhttps://odd.test/\nhttps://bug.test/");
    let campaign = world.open();
    let log = Log(Mutex::default(), Some(Instant::now()));
    let inspect = |job: Job| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        match (job.domain.as_str(), job.attempt) {
            ("gone.test", _) => Ok(Done::new(document("unreachable"))),
            ("wall.test", _) => Ok(Done::new(document("blocked"))),
            ("odd.test", 1) => Err("the browser is gone".to_owned()),
            ("odd.test", 2) => Ok(Done::new("{}".to_owned())),
            ("bug.test", 1) => panic!("a mistake of ours"),
            _ => Ok(Done::new(document("inspected"))),
        }
    };
    let ran = run(&campaign, NonZeroUsize::MIN, inspect, &log, std::future::pending()).await.unwrap();
    assert!(ran.complete);
    assert_eq!((ran.progress.done, ran.progress.failed, ran.progress.total), (3, 2, 5));
    insta::assert_snapshot!(log.0.into_inner().unwrap().join("\n"));
}

#[tokio::test(start_paused = true)]
async fn so_many_run_at_once_and_never_two_of_one_domain() {
    let list: Vec<_> = (0..40).map(|n| format!("https://h{n}.d{}.test/", n % 8)).collect();
    let world = world(&list.join("\n"));
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let domains = Arc::new(Mutex::new(BTreeSet::new()));
    let inspect = |job: Job| {
        let (now, most, domains) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&domains));
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            assert!(domains.lock().unwrap().insert(job.domain.clone()), "two visits of {}", job.domain);
            tokio::time::sleep(Duration::from_secs(3)).await;
            domains.lock().unwrap().remove(&job.domain);
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(Done::new(document("inspected")))
        }
    };
    let three = NonZeroUsize::new(3).unwrap();
    let ran = run(&world.open(), three, inspect, &Unwatched, std::future::pending()).await.unwrap();
    assert_eq!((ran.progress.done, most.load(Ordering::SeqCst)), (40, 3));
}

#[tokio::test(start_paused = true)]
async fn a_stopped_campaign_goes_on_where_it_was() {
    let world = world("https://a.test/\nhttps://b.test/\nhttps://c.test/\nhttps://d.test/");
    let started = Arc::new(Mutex::new(Vec::new()));
    let inspect = |job: Job| {
        started.lock().unwrap().push((job.domain.clone(), job.attempt));
        async move {
            tokio::time::sleep(Duration::from_secs(if job.domain == "b.test" { 60 } else { 2 })).await;
            Ok(Done::new(document("inspected")))
        }
    };
    let campaign = world.open();
    let stop = tokio::time::sleep(Duration::from_secs(3));
    let ran = run(&campaign, TWO, inspect, &Unwatched, stop).await.unwrap();
    assert_eq!((ran.complete, ran.progress.done), (false, 1), "a is done, b and c were running");
    drop(campaign);

    let (campaign, opened) = Campaign::resume(world.folder.path()).unwrap();
    assert_eq!(opened.taken_back, 0, "they were put back when we stopped");
    let ran = run(&campaign, TWO, inspect, &Unwatched, std::future::pending()).await.unwrap();
    assert!(ran.complete);
    let mut started = started.lock().unwrap().clone();
    started.sort();
    let expected = [("a.test", 1), ("b.test", 1), ("b.test", 1), ("c.test", 1), ("c.test", 1), ("d.test", 1)];
    assert_eq!(started, expected.map(|(domain, attempt)| (domain.to_owned(), attempt)));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_dropped_leaves_nothing_running() {
    let world = world("https://a.test/\nhttps://b.test/");
    let campaign = world.open();
    let inspect = |_| std::future::pending();
    let dropped =
        tokio::time::timeout(Duration::from_secs(1), run(&campaign, TWO, inspect, &Unwatched, std::future::pending()));
    assert!(dropped.await.is_err());
    drop(campaign);
    let (campaign, opened) = Campaign::resume(world.folder.path()).unwrap();
    assert_eq!((opened.taken_back, campaign.counts().unwrap().open), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_wait_before_a_further_try_outlives_the_program() {
    let world = world("https://a.test/");
    let gone = |_| async { Ok(Done::new(document("unreachable"))) };
    let campaign = world.open();
    let stop = tokio::time::sleep(Duration::from_secs(5));
    assert!(!run(&campaign, TWO, gone, &Unwatched, stop).await.unwrap().complete);
    drop(campaign);
    let start = Instant::now();
    let good = |job: Job| async move {
        assert_eq!(job.attempt, 2);
        Ok(Done::new(document("inspected")))
    };
    assert!(run(&world.open(), TWO, good, &Unwatched, std::future::pending()).await.unwrap().complete);
    // The paused time stands still between the runs while the clock on the wall has hardly moved.
    assert!(start.elapsed() >= Duration::from_secs(20), "{:?}", start.elapsed());
}
