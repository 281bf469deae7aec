//! The store: a finished site stays finished, another's folder is left alone, other settings are refused.

use super::*;
use crate::{
    document::Outcome,
    schedule::{JobId, Moment},
};
use std::num::NonZeroU16;

const LIST: &str = "url,country,tags\nhttps://a.test/,FR,news\nhttps://b.test/,DE,shop;news\n";

fn open(folder: &Path) -> Result<(Campaign, Opened), CampaignError> {
    Campaign::open(folder, Some(&List::parse(LIST).unwrap()), &Settings::default(), Difference::Refuse)
}

fn attempted(outcome: Outcome) -> Attempted {
    Attempted { outcome, why: None, document: None, bundle: Some("a.wacz".to_owned()) }
}

/// Stands for a program that is killed: the lock goes, the database is as it was.
fn crash(campaign: Campaign) {
    drop(campaign);
}

#[test]
fn a_folder_is_run_by_one_program_and_the_other_is_told_which() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path()).unwrap();
    let error = open(folder.path()).unwrap_err().to_string();
    let shown = folder.path().display();
    assert_eq!(error, format!("the campaign in `{shown}` is being run by process {}", std::process::id()));
    drop(first);
    assert!(open(folder.path()).unwrap().1.resumed);
}

#[test]
fn there_is_nothing_to_resume_in_an_empty_folder_and_nothing_is_made_there() {
    let folder = tempfile::tempdir().unwrap();
    let error = Campaign::resume(folder.path()).unwrap_err();
    assert_eq!(error.to_string(), format!("`{}` holds no campaign", folder.path().display()));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn other_settings_are_refused_unless_adopted_and_the_former_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    let other = Settings { repeats: NonZeroU16::new(2).unwrap(), ..Settings::default() };
    let error = Campaign::open(folder.path(), None, &other, Difference::Refuse).unwrap_err();
    let shown = folder.path().display();
    assert_eq!(
        error.to_string(),
        format!("the campaign in `{shown}` was started with other settings: `repeat` is `1`, not `2`")
    );
    let (campaign, opened) = Campaign::open(folder.path(), None, &other, Difference::Adopt).unwrap();
    assert_eq!((opened.adopted.len(), campaign.counts().unwrap().open), (1, 4));
    assert_eq!(Reading::open(folder.path()).unwrap().facts().unwrap().former_settings.len(), 1);
    drop(campaign);
    assert_eq!(Campaign::resume(folder.path()).unwrap().0.settings(), &other);
}

#[test]
fn sites_that_the_list_adds_are_added_and_none_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    let list = List::parse("https://b.test/\nhttps://c.test/").unwrap();
    let (campaign, opened) =
        Campaign::open(folder.path(), Some(&list), &Settings::default(), Difference::Refuse).unwrap();
    assert_eq!((opened.added, opened.no_longer_listed, campaign.counts().unwrap().open), (1, 1, 3));
}

#[test]
fn what_a_program_that_is_gone_left_running_waits_again_and_goes_last() {
    let folder = tempfile::tempdir().unwrap();
    let (campaign, _) = open(folder.path()).unwrap();
    campaign.start(JobId(1), Place::Here).unwrap();
    crash(campaign);
    let (campaign, opened) = open(folder.path()).unwrap();
    assert_eq!(opened.taken_back, 1);
    let order: Vec<i64> = campaign.unfinished().unwrap().iter().map(|waiting| waiting.id.0).collect();
    assert_eq!(order, [2, 1]);
    assert_eq!(campaign.start(JobId(1), Place::Here).unwrap().attempt, 1, "that was no attempt");
}

#[test]
fn a_site_that_ends_the_program_again_and_again_stands_as_failed() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..jobs::MAX_INTERRUPTIONS {
        let (campaign, _) = open(folder.path()).unwrap();
        campaign.start(JobId(1), Place::Here).unwrap();
        crash(campaign);
    }
    let (campaign, _) = open(folder.path()).unwrap();
    assert_eq!(campaign.counts().unwrap(), Counts { open: 1, done: 0, failed: 1 });
    campaign
        .with(|connection| {
            connection.query_row("SELECT why FROM results WHERE job = 1", [], |row| row.get::<_, String>(0))
        })
        .map(|why| assert_eq!(why, "the program ended 5 times while it inspected this site"))
        .unwrap();
}

#[test]
fn what_runs_by_way_of_the_queue_keeps_its_place_and_is_not_held_against_the_site() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 * jobs::MAX_INTERRUPTIONS {
        let (campaign, _) = open(folder.path()).unwrap();
        campaign.start(JobId(1), Place::Queue).unwrap();
        crash(campaign);
    }
    let (campaign, _) = open(folder.path()).unwrap();
    let order: Vec<i64> = campaign.unfinished().unwrap().iter().map(|waiting| waiting.id.0).collect();
    assert_eq!(order, [1, 2]);
}

#[test]
fn a_finished_site_stays_finished_and_cannot_be_finished_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (campaign, _) = open(folder.path()).unwrap();
    campaign.start(JobId(1), Place::Here).unwrap();
    assert_eq!(campaign.ended(JobId(1), &attempted(Outcome::Inspected), Moment(5)).unwrap(), None);
    assert!(campaign.ended(JobId(1), &attempted(Outcome::Inspected), Moment(6)).is_err());
    crash(campaign);
    let (campaign, opened) = open(folder.path()).unwrap();
    assert_eq!((opened.taken_back, campaign.counts().unwrap()), (0, Counts { open: 1, done: 1, failed: 0 }));
    assert!(campaign.has_attempt(1, 1, 1).unwrap() && !campaign.has_attempt(2, 1, 1).unwrap());
}

#[test]
fn a_later_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    let path = folder.path().join(DATABASE);
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 9).unwrap();
    let expected = format!("`{}` has version 9; this build reads version 2", path.display());
    assert_eq!(open(folder.path()).unwrap_err().to_string(), expected);
    assert_eq!(Reading::open(folder.path()).unwrap_err().to_string(), expected);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(DATABASE);
    std::fs::write(&path, "these are somebody's notes, and long enough to be taken for a database header…".repeat(20))
        .unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = open(folder.path()).unwrap_err();
    assert_eq!(error.to_string(), format!("the campaign's database `{}` cannot be used", path.display()));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}
