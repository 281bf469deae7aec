//! Every operation on the disk fails once in each way, and the power is lost before it once in each way: what was promised
//! is there afterwards, and what was signed is never contradicted.

use crate::{
    disk::{Contents, Disk, Fault, Keep},
    event, new_home,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use vigie_ledger::{
    Hash, TrustPolicy,
    entry::ROW_BASE_AT,
    reader::{Follower, check},
    tree::root_of,
};
use vigie_sequencer::{Batch, Home, HomeError, Log, OpenError, Options, Stream, publish_source};

fn options(disk: &Disk) -> Options {
    Options { publish_every: Duration::ZERO, segment_bytes: 4096, files: Arc::new(disk.clone()), ..Options::default() }
}

/// What a log has promised to anybody.
#[derive(Default)]
struct Promises {
    entries: Vec<(u64, Vec<u8>)>,
    heads: Vec<(u64, Hash)>,
}

/// Batches that cross what there is to cross: the end of a tile, of a segment.
const BATCHES: [u64; 7] = [1, 2, 20, 232, 1, 1, 30];

/// So many that their tiles are synced all at once, between others.
const MANY: [u64; 3] = [3, 3400, 5];

/// Opens the log, which nobody else has open. What another test starts holds our lock from its fork to its exec.
fn open(home: &Home, disk: &Disk) -> Result<Log, OpenError> {
    let started = Instant::now();
    loop {
        match Log::open(home, options(disk)) {
            Err(OpenError::Home(HomeError::Locked(_))) if started.elapsed() < Duration::from_secs(10) => {
                std::thread::sleep(Duration::from_millis(1));
            }
            other => return other,
        }
    }
}

/// Appends until something fails.
fn play(home: &Home, disk: &Disk, batches: &[u64], promises: &mut Promises) {
    let Ok(log) = open(home, disk) else { return };
    let mut number = 0;
    for &batch in batches {
        let events: Vec<_> = (number..number + batch).map(event).collect();
        number += batch;
        let Ok(tickets) = log.append_many(Batch::try_from(events.as_slice()).unwrap()) else { return };
        let Ok(answers) = tickets.wait() else { return };
        let mut last = 0;
        for (answer, entry) in answers.into_iter().zip(events) {
            let appended = answer.unwrap();
            let mut entry = entry.to_vec();
            entry[ROW_BASE_AT..ROW_BASE_AT + 8].copy_from_slice(&appended.row_base.to_be_bytes());
            assert_eq!(appended.leaf, Hash::leaf(&entry));
            promises.entries.push((appended.index, entry));
            last = appended.index;
        }
        let Ok(published) = log.wait_published(last) else { return };
        promises.heads.push((published.size, published.root));
    }
}

/// Opens the log again, and checks all promises.
fn verify(home: &Home, disk: &Disk, batches: &[u64], promises: &Promises, case: &str) {
    let log = open(home, disk).unwrap_or_else(|error| panic!("{case}: {error:?}"));
    // Looked at before anything is sent again, which would fill the same places with the same entries.
    let promised = promises.entries.iter().map(|(index, _)| index + 1).max().unwrap_or(0);
    let there = log.statistics().durable;
    assert!(there >= promised, "{case}: {promised} entries were promised, {there} are there");
    // Whoever heard nothing asks again: nothing is there twice.
    let total: u64 = batches.iter().sum();
    let events: Vec<_> = (0..total).map(event).collect();
    let answers = log.append_many(Batch::try_from(events.as_slice()).unwrap()).unwrap().wait().unwrap();
    let mut rows = 0;
    for (number, answer) in answers.iter().enumerate() {
        let appended = answer.as_ref().unwrap_or_else(|refused| panic!("{case}: {refused}"));
        assert_eq!((appended.index, appended.row_base), (number as u64, rows), "{case}");
        rows += number as u64 % 3;
    }
    log.wait_published(total - 1).unwrap_or_else(|stopped| panic!("{case}: {stopped}"));
    let policy = TrustPolicy::of_log(log.key().verifier().clone());
    let source = publish_source(Arc::new(disk.clone()), home);
    let mut follower = Follower::new(policy);
    let head = follower.head(&source).unwrap().checkpoint.checkpoint().clone();
    assert_eq!(head.size(), total, "{case}");
    let mut logged = Vec::new();
    follower.advance(&source, &head, |_, entry| logged.push(entry.to_vec())).unwrap();
    check(&source, &head, |_| ()).unwrap_or_else(|error| panic!("{case}: {error}"));
    for (index, entry) in &promises.entries {
        assert_eq!(logged[*index as usize], *entry, "{case}: entry {index} was promised");
    }
    for (size, root) in &promises.heads {
        let then = root_of(logged[..*size as usize].iter().map(|entry| Hash::leaf(entry)));
        assert_eq!(then, *root, "{case}: a head of {size} entries was published");
    }
    log.close().unwrap();
}

const KEEPS: [Keep; 6] = [
    Keep { names: false, contents: Contents::None },
    Keep { names: false, contents: Contents::Half },
    Keep { names: false, contents: Contents::All },
    Keep { names: true, contents: Contents::None },
    Keep { names: true, contents: Contents::Half },
    Keep { names: true, contents: Contents::All },
];

fn operations(batches: &[u64]) -> u64 {
    let (_folder, home) = new_home(Stream::Events, None);
    let disk = Disk::of(home.folder());
    let mut promises = Promises::default();
    play(&home, &disk, batches, &mut promises);
    let operations = disk.operations();
    assert_eq!(promises.heads.len(), batches.len());
    assert_eq!(disk.syncs_of_all() > 0, batches == MANY);
    verify(&home, &disk, batches, &promises, "nothing failed");
    operations
}

fn lose_power_before_each(batches: &[u64]) {
    let (_folder, home) = new_home(Stream::Events, None);
    for at in 0..operations(batches) {
        let disk = Disk::of(home.folder());
        disk.fail(at, Fault::Crash);
        let mut promises = Promises::default();
        play(&home, &disk, batches, &mut promises);
        for keep in KEEPS {
            let case = format!("power lost before operation {at}, {keep:?}");
            verify(&home, &disk.restarted(keep), batches, &promises, &case);
        }
    }
}

fn fail_each(batches: &[u64]) {
    let (_folder, home) = new_home(Stream::Events, None);
    for at in 0..operations(batches) {
        for fault in [Fault::NotKept, Fault::YetKept, Fault::Full] {
            let disk = Disk::of(home.folder());
            disk.fail(at, fault);
            let mut promises = Promises::default();
            play(&home, &disk, batches, &mut promises);
            if fault != Fault::Full {
                for keep in [KEEPS[0], KEEPS[3]] {
                    let case = format!("{fault:?} at {at}, then {keep:?}");
                    verify(&home, &disk.restarted(keep), batches, &promises, &case);
                }
            }
            disk.heal();
            verify(&home, &disk, batches, &promises, &format!("{fault:?} at {at}"));
        }
    }
}

#[test]
fn whatever_the_power_is_lost_before_every_promise_is_kept() {
    lose_power_before_each(&BATCHES);
}

#[test]
fn whatever_fails_every_promise_is_kept_with_and_without_a_loss_of_power_after_it() {
    fail_each(&BATCHES);
}

#[test]
fn whatever_the_power_is_lost_before_every_promise_is_kept_where_many_files_are_synced_at_once() {
    lose_power_before_each(&MANY);
}

#[test]
fn whatever_fails_every_promise_is_kept_where_many_files_are_synced_at_once() {
    fail_each(&MANY);
}
