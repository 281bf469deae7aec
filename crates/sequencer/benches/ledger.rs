//! How fast a log takes entries, beside what the same disk and processor do bare, in one run.
//!
//! `cargo bench -p vigie-sequencer --bench ledger [-- FOLDER]` writes below FOLDER, or below the system's folder for
//! temporary files; on a file system in memory the figures mean nothing.
//!
//! The surprise: ratios are what to look at. The disk of a virtual machine is as fast as its neighbours let it be.

use std::{
    fs::OpenOptions,
    hint::black_box,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use vigie_ledger::{Entry, EventId, Hash, Kind, reader::Follower, tree::Frontier};
use vigie_sequencer::{Batch, Home, Log, Options, Stream, files::SystemFiles, publish_source};

const TIME: Duration = Duration::from_secs(3);

fn event(number: u64) -> [u8; 148] {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    id[8..].copy_from_slice(&number.to_be_bytes());
    Entry::new(Kind::Access, 1_700_000_000, EventId(id), Hash::EMPTY).to_bytes()
}

fn new_log(folder: &Path, name: &str) -> (Home, Log) {
    let home = Home::new(folder.join(name));
    home.init(&"bench.example/log".parse().expect("a name"), Stream::Events, None).expect("a new folder");
    let log = Log::open(&home, Options::default()).expect("a new log");
    (home, log)
}

/// Writes as much as a batch takes and syncs it, again and again; the file is there before.
fn bare_syncs(folder: &Path, batch: usize) -> f64 {
    const SIZE: usize = 16 * 1024 * 1024;
    let path = folder.join("bare");
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path).expect("a file");
    file.write_all_at(&vec![0; SIZE], 0).expect("room");
    file.sync_all().expect("a disk");
    let bytes = vec![7; (batch * 150 + 36).div_ceil(32) * 32];
    let (start, mut count, mut at) = (Instant::now(), 0_u64, 0);
    while start.elapsed() < TIME / 3 {
        file.write_all_at(&bytes, at as u64).expect("room");
        file.sync_data().expect("a disk");
        at = (at + bytes.len()) % (SIZE - bytes.len());
        count += 1;
    }
    count as f64 * batch as f64 / start.elapsed().as_secs_f64()
}

fn bare_tree() -> f64 {
    let entry = event(1);
    let mut tree = Frontier::new();
    let start = Instant::now();
    while start.elapsed() < TIME / 3 {
        for _ in 0..1000 {
            tree.append(&entry, |_| ());
        }
    }
    tree.size() as f64 / start.elapsed().as_secs_f64()
}

fn quantile(sorted: &[Duration], q: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * q) as usize].as_secs_f64() * 1000.0
}

/// Two who append in turn, so that one batch is made while the other is written.
fn batches(folder: &Path, batch: u64) -> (f64, f64, f64) {
    let (_, log) = new_log(folder, &format!("batch-{batch}"));
    let (start, mut number) = (Instant::now(), 0);
    let mut waiting: std::collections::VecDeque<(Instant, _)> = std::collections::VecDeque::new();
    let mut taken = Vec::new();
    let in_flight = if batch == 1 { 1 } else { 2 };
    while start.elapsed() < TIME {
        let mut entries = Batch::new();
        for _ in 0..batch {
            entries.push(&event(number)).expect("short");
            number += 1;
        }
        waiting.push_back((Instant::now(), log.append_many(entries).expect("it runs")));
        if waiting.len() == in_flight {
            let (since, tickets) = waiting.pop_front().expect("some");
            black_box(tickets.wait().expect("it runs"));
            taken.push(since.elapsed());
        }
    }
    for (_, tickets) in waiting {
        tickets.wait().expect("it runs");
    }
    let rate = number as f64 / start.elapsed().as_secs_f64();
    let closing = Instant::now();
    log.close().expect("it runs");
    let behind = closing.elapsed();
    assert!(behind < Duration::from_secs(10), "publishing is {behind:?} behind");
    taken.sort();
    (rate, quantile(&taken, 0.5), quantile(&taken, 0.99))
}

fn writers(folder: &Path, count: u64) -> (f64, f64, f64) {
    let (_, log) = new_log(folder, &format!("writers-{count}"));
    let log = Arc::new(log);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
    let start = Instant::now();
    let tasks: Vec<_> = (0..count)
        .map(|writer| {
            let log = log.clone();
            runtime.spawn(async move {
                let mut taken = Vec::new();
                let mut number = writer << 32;
                while start.elapsed() < TIME {
                    let since = Instant::now();
                    log.try_append(&event(number)).expect("room").durable().await.expect("it runs");
                    taken.push(since.elapsed());
                    number += 1;
                }
                taken
            })
        })
        .collect();
    let mut taken: Vec<Duration> = Vec::new();
    for task in tasks {
        taken.extend(runtime.block_on(task).expect("no panic"));
    }
    let rate = taken.len() as f64 / start.elapsed().as_secs_f64();
    taken.sort();
    (rate, quantile(&taken, 0.5), quantile(&taken, 0.99))
}

fn reading(folder: &Path) {
    let (home, log) = new_log(folder, "reading");
    const SIZE: u64 = 1_000_000;
    for from in (0..SIZE).step_by(10_000) {
        let events: Vec<_> = (from..from + 10_000).map(event).collect();
        log.append_many(Batch::try_from(events.as_slice()).expect("short")).expect("runs").wait().expect("runs");
    }
    log.wait_published(SIZE - 1).expect("it runs");
    let source = publish_source(Arc::new(SystemFiles), &home);
    let mut follower = Follower::new(log.policy().clone());
    let head = follower.head(&source).expect("published").checkpoint.checkpoint().clone();
    let start = Instant::now();
    follower.advance(&source, &head, |_, _| ()).expect("whole");
    println!("full rehash, one core: {:.2} M entries/s", SIZE as f64 / start.elapsed().as_secs_f64() / 1e6);
    let near = |at: u64| SIZE - 1 - at * 7919 % 20_000;
    (0..20_000).for_each(|at| drop(log.receipt(near(at), None).expect("published")));
    let start = Instant::now();
    for at in 0..20_000 {
        black_box(log.receipt(near(at), None).expect("published"));
    }
    println!("receipt from warm tiles: {:.1} µs", start.elapsed().as_secs_f64() / 20_000.0 * 1e6);
    log.close().expect("it runs");
    let start = Instant::now();
    Log::open(&home, Options::default()).expect("whole").close().expect("it runs");
    println!("opening and closing at {SIZE} entries: {:.0} ms", start.elapsed().as_secs_f64() * 1000.0);
}

fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    line("VmRSS") + ", " + &line("VmHWM")
}

fn main() {
    let parent = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let folder = match parent {
        Some(parent) => tempfile::tempdir_in(parent),
        None => tempfile::tempdir(),
    };
    let folder = folder.expect("a folder");
    let tree = bare_tree();
    println!("bare tree: {:.2} M entries/s", tree / 1e6);
    println!(
        "| batch | appends/s | p50 ms | p99 ms | bare syncs, entries/s | ratio | to bare tree |\n|---|---|---|---|---|---|---|"
    );
    for batch in [1, 16, 256, 4096] {
        let before = bare_syncs(folder.path(), batch as usize);
        let (rate, p50, p99) = batches(folder.path(), batch);
        let bare = f64::midpoint(before, bare_syncs(folder.path(), batch as usize));
        println!("| {batch} | {rate:.0} | {p50:.2} | {p99:.2} | {bare:.0} | {:.2} | {:.2} |", rate / bare, rate / tree);
    }
    let (rate, p50, p99) = writers(folder.path(), 1000);
    println!("1,000 writers of one entry each: {rate:.0}/s, p50 {p50:.2} ms, p99 {p99:.2} ms");
    reading(folder.path());
    println!("memory of this process: {}", resident());
}
