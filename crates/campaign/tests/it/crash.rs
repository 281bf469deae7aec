//! A campaign whose program is killed again and again: complete in the end, nothing twice, nothing missing.

use crate::{Dice, check_complete, child, hurried, list_of, made_up};
use libtest_mimic::{Failed, Trial};
use std::{
    num::NonZeroUsize,
    path::Path,
    time::{Duration, Instant},
};
use vigie_campaign::{Campaign, Difference, Job, runner};

const SITES: usize = 200;
const KILLS: usize = 10;

pub fn trials() -> Vec<Trial> {
    vec![Trial::test("a_campaign_that_is_killed_ten_times_ends_complete_with_every_site_once", killed)]
}

/// Runs the campaign in a folder to its end.
pub fn play(folder: &str) {
    let (campaign, _) =
        Campaign::open(Path::new(folder), Some(&list_of(SITES)), &hurried(), Difference::Refuse).unwrap();
    let inspect = |job: Job| async move {
        tokio::time::sleep(Duration::from_millis(5 + crate::hash(&job.domain) % 10)).await;
        made_up(&job)
    };
    let four = NonZeroUsize::new(4).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ran = runtime.block_on(runner::run(&campaign, four, inspect, &runner::Unwatched, std::future::pending()));
    assert!(ran.unwrap().complete);
}

fn killed() -> Result<(), Failed> {
    let start = Instant::now();
    let folder = tempfile::tempdir()?;
    let path = folder.path().to_str().ok_or("the folder's name is text")?;
    let mut dice = Dice(7);
    let mut finished = Vec::new();
    for _ in 0..KILLS {
        let mut runner = child(&["runner", path]);
        // Killed at any time, even while it starts; but seldom after it is done.
        std::thread::sleep(Duration::from_millis(20 + dice.below(140)));
        runner.0.kill()?;
        runner.0.wait()?;
        let Ok(database) = rusqlite::Connection::open(folder.path().join("campaign.db")) else { continue };
        let results = database.query_row("SELECT count(*) FROM results", [], |row| row.get::<_, usize>(0));
        finished.push(results.unwrap_or_default());
    }
    assert!(finished.windows(2).all(|pair| pair[0] <= pair[1]), "nothing finished is lost: {finished:?}");
    assert!(finished.first() < finished.last(), "it gets on in between: {finished:?}");
    assert!(child(&["runner", path]).0.wait()?.success());
    assert_eq!(check_complete(folder.path()), SITES);
    eprintln!("finished after each kill: {finished:?}; all in {:.1?}", start.elapsed());
    Ok(())
}
