//! How fast a log takes entries, beside what the same disk and processor do bare, in one run.
//!
//! `cargo bench -p vigie-sequencer --bench ledger [-- [FOLDER] [--only PART]]` writes below FOLDER, or below the system's
//! folder for temporary files; on a file system in memory the figures mean nothing. PART is the size of a batch, `writers`,
//! `threads` or `reading`.
//!
//! The surprise: ratios, and the processor's time an entry, are what to look at. The disk of a virtual machine is as fast as
//! its neighbours let it be; and ext4 passes over the inodes of files that were removed in the last minutes, one by one, so
//! that a run right after another, whose files were removed, makes files more slowly.

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

/// Three batches on their way, so that one is made while another gets its places and the third is synced.
fn batches(folder: &Path, batch: u64) -> (f64, f64, f64, f64) {
    let (_, log) = new_log(folder, &format!("batch-{batch}"));
    let before = processor();
    let (start, mut number) = (Instant::now(), 0);
    let mut waiting: std::collections::VecDeque<(Instant, _)> = std::collections::VecDeque::new();
    let mut taken = Vec::new();
    let in_flight = if batch == 1 { 1 } else { 3 };
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
    let cpu = processor().saturating_sub(before).as_secs_f64() * 1e6 / number as f64;
    taken.sort();
    (rate, quantile(&taken, 0.5), quantile(&taken, 0.99), cpu)
}

/// Tasks on a thread of their own, as a gateway has them: each appends an entry and waits for it.
fn writers(folder: &Path, count: u64) -> (f64, f64, f64, f64) {
    let (_, log) = new_log(folder, &format!("tasks-{count}"));
    let log = Arc::new(log);
    let before = processor();
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
    measured(taken, start, before)
}

fn measured(mut taken: Vec<Duration>, start: Instant, before: Duration) -> (f64, f64, f64, f64) {
    let count = taken.len() as f64;
    let rate = count / start.elapsed().as_secs_f64();
    let cpu = processor().saturating_sub(before).as_secs_f64() * 1e6 / count;
    taken.sort();
    (rate, quantile(&taken, 0.5), quantile(&taken, 0.99), cpu)
}

/// The same with a thread for each.
fn threads(folder: &Path, count: u64) -> (f64, f64, f64, f64) {
    let (_, log) = new_log(folder, &format!("threads-{count}"));
    let (log, before, start) = (&log, processor(), Instant::now());
    let taken = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|writer| {
                scope.spawn(move || {
                    let mut taken = Vec::new();
                    let mut number = writer << 32;
                    while start.elapsed() < TIME {
                        let since = Instant::now();
                        log.append(&event(number)).expect("it runs").wait().expect("it runs");
                        taken.push(since.elapsed());
                        number += 1;
                    }
                    taken
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    measured(taken, start, before)
}

/// How long processors have worked for this process, to ten milliseconds.
fn processor() -> Duration {
    let status = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program, in parentheses, may hold spaces.
    let after_name = status.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
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
    let mut arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let at = arguments.iter().position(|argument| argument == "--only");
    let only = at.map(|at| arguments.drain(at..).nth(1).expect("`--only` is followed by a name, and comes last"));
    let wanted = |name: &str| only.as_ref().is_none_or(|only| only == name);
    let parent = arguments.pop();
    let folder = match parent {
        Some(parent) => tempfile::tempdir_in(parent),
        None => tempfile::tempdir(),
    };
    let folder = folder.expect("a folder");
    let tree = bare_tree();
    println!("bare tree: {:.2} M entries/s", tree / 1e6);
    println!(
        "| batch | appends/s | p50 ms | p99 ms | processor, µs an entry | bare syncs, entries/s | ratio | to bare tree |\n\
         |---|---|---|---|---|---|---|---|"
    );
    for batch in [1, 16, 256, 4096] {
        if !wanted(&batch.to_string()) {
            continue;
        }
        let before = bare_syncs(folder.path(), batch as usize);
        let (rate, p50, p99, cpu) = batches(folder.path(), batch);
        let bare = f64::midpoint(before, bare_syncs(folder.path(), batch as usize));
        println!(
            "| {batch} | {rate:.0} | {p50:.2} | {p99:.2} | {cpu:.2} | {bare:.0} | {:.2} | {:.2} |",
            rate / bare,
            rate / tree
        );
    }
    if wanted("writers") {
        let before = bare_syncs(folder.path(), 256);
        let (rate, p50, p99, cpu) = writers(folder.path(), 1000);
        let bare = f64::midpoint(before, bare_syncs(folder.path(), 256));
        println!(
            "1,000 tasks of one entry each: {rate:.0}/s, p50 {p50:.2} ms, p99 {p99:.2} ms, {cpu:.2} µs of processor an \
             entry; bare syncs of 256 {bare:.0}/s"
        );
    }
    if wanted("threads") {
        let (rate, p50, p99, cpu) = threads(folder.path(), 1000);
        println!(
            "1,000 threads of one entry each: {rate:.0}/s, p50 {p50:.2} ms, p99 {p99:.2} ms, {cpu:.2} µs of processor an \
             entry"
        );
    }
    if wanted("reading") {
        reading(folder.path());
    }
    println!("memory of this process: {}", resident());
}
