//! Real processes on real files: ended by the system, failed by strace, two at once, on a disk that is full.
//!
//! The process is this test program itself, called again to run [`appender`] alone.
//!
//! The surprise: strace counts the calls of each thread apart, so that the third sync is the third of any thread.

use crate::{event, new_home};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};
use vigie_ledger::{
    TrustPolicy,
    reader::{Follower, check},
};
use vigie_sequencer::{Batch, Home, Log, Options, Stream, files::SystemFiles, publish_source};

/// The folder of the log, for the process that appends.
const FOLDER: &str = "VIGIE_TEST_APPEND_TO";
/// Batches that cross the ends of tiles and of segments.
const BATCHES: [u64; 7] = [1, 2, 20, 60, 170, 400, 30];

fn options() -> Options {
    Options { publish_every: Duration::ZERO, segment_bytes: 4096, ..Options::default() }
}

fn append_all(home: &Home) -> Result<(), Box<dyn std::error::Error>> {
    let log = Log::open(home, options())?;
    println!("open");
    if std::env::var_os("VIGIE_TEST_WAIT").is_some() {
        // Until whoever called us closes our input.
        std::io::stdin().read_line(&mut String::new())?;
    }
    let mut number = 0;
    for size in BATCHES {
        let events: Vec<_> = (number..number + size).map(event).collect();
        let answers = log.append_many(Batch::try_from(events.as_slice())?)?.wait()?;
        let mut said = std::io::stdout().lock();
        let mut last = 0;
        for answer in answers {
            last = answer?.index;
            writeln!(said, "promised {last} {number}")?;
            number += 1;
        }
        said.flush()?;
        writeln!(said, "published {}", log.wait_published(last)?.size)?;
        said.flush()?;
    }
    Ok(log.close()?)
}

#[test]
#[ignore = "the other tests call it in a process of its own"]
fn appender() {
    let folder = std::env::var_os(FOLDER).expect("called by another test");
    if let Err(error) = append_all(&Home::new(folder)) {
        eprintln!("appender: {error}");
        std::process::exit(2);
    }
}

/// The command that appends to a log in a process of its own, below `before`.
fn appending(home: &Home, before: &[&str]) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut words: Vec<_> = before.iter().map(std::ffi::OsString::from).collect();
    words.push(program.into_os_string());
    words.extend(["--ignored", "--exact", "killed::appender", "--nocapture", "--test-threads=1"].map(Into::into));
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env(FOLDER, home.folder()).stdin(Stdio::null());
    command
}

/// Opens the log, and checks everything that the process said.
fn verify(home: &Home, said: &str, case: &str) -> usize {
    let log = Log::open(home, options()).unwrap_or_else(|error| panic!("{case}: {error:?}"));
    let numbers = |line: &str| line.split(' ').skip(1).map(|word| word.parse().unwrap()).collect::<Vec<u64>>();
    // The harness writes its own words before ours, on the same line.
    let lines =
        |what: &str| said.lines().filter_map(|line| line.find(what).map(|at| numbers(&line[at..]))).collect::<Vec<_>>();
    let (promised, published) = (lines("promised "), lines("published "));
    let there = log.statistics().durable;
    assert!(promised.iter().all(|words| words[0] < there), "{case}: {there} entries are there");
    let total: u64 = BATCHES.iter().sum();
    let events: Vec<_> = (0..total).map(event).collect();
    let answers = log.append_many(Batch::try_from(events.as_slice()).unwrap()).unwrap().wait().unwrap();
    for words in &promised {
        assert_eq!(answers[words[1] as usize].as_ref().unwrap().index, words[0], "{case}");
    }
    log.wait_published(total - 1).unwrap();
    let source = publish_source(Arc::new(SystemFiles), home);
    let follower = Follower::new(TrustPolicy::of_log(log.key().verifier().clone()));
    let head = follower.head(&source).unwrap().checkpoint.checkpoint().clone();
    assert_eq!(head.size(), total, "{case}: each event once");
    assert!(published.iter().all(|words| words[0] <= total));
    check(&source, &head, |_| ()).unwrap_or_else(|error| panic!("{case}: {error}"));
    log.close().unwrap();
    promised.len()
}

#[test]
fn whichever_call_of_the_system_fails_or_is_the_last_every_promise_is_kept() {
    let may_trace = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    if !may_trace.is_ok_and(|status| status.success()) {
        eprintln!("not run where `strace` may not trace; `scripts/setup.sh --services` installs it");
        return;
    }
    let mut injected = 0;
    let mut promised = 0;
    for call in ["pwrite64", "fdatasync", "fsync", "rename", "openat", "mkdir", "unlink"] {
        for fault in ["error=EIO", "error=ENOSPC", "signal=KILL"] {
            if (call, fault) == ("unlink", "error=ENOSPC") {
                continue;
            }
            for when in [1, 2, 3, 5, 8, 13, 21, 34] {
                let (folder, home) = new_home(Stream::Events, None);
                let trace = folder.path().join("trace");
                let inject = format!("inject={call}:{fault}:when={when}");
                let filter = format!("trace={call}");
                let before = ["strace", "-f", "-qq", "-o", trace.to_str().unwrap(), "-e", &filter, "-e", &inject];
                let output = appending(&home, &before).output().unwrap();
                let said = String::from_utf8_lossy(&output.stdout);
                let case = format!("{call} {fault} at {when}: {}", String::from_utf8_lossy(&output.stderr));
                promised += verify(&home, &said, &case);
                let trace = std::fs::read_to_string(&trace).unwrap();
                if !trace.contains("INJECTED") && !trace.contains("SIGKILL") {
                    assert!(output.status.success(), "{case}");
                    break;
                }
                injected += 1;
                assert!(fault != "signal=KILL" || !output.status.success(), "{case}");
            }
        }
    }
    assert!(injected > 60, "{injected} faults were injected");
    assert!(promised > 1000, "{promised} entries were promised before them");
}

#[test]
fn a_second_process_is_refused_in_one_sentence() {
    let (_folder, home) = new_home(Stream::Events, None);
    let mut first = appending(&home, &[]);
    let mut first = first.env("VIGIE_TEST_WAIT", "1").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(first.stdout.take().unwrap());
    let mut line = String::new();
    while !line.ends_with("open\n") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it ended early");
    }
    let second = appending(&home, &[]).output().unwrap();
    assert_eq!(second.status.code(), Some(2));
    let expected =
        format!("appender: another program writes the log in `{}`; a log has one writer\n", home.folder().display());
    assert_eq!(String::from_utf8_lossy(&second.stderr), expected);
    // The first is not disturbed.
    drop(first.stdin.take());
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut said, &mut rest).unwrap();
    assert!(first.wait().unwrap().success());
    assert_eq!(verify(&home, &rest, "two at once") as u64, BATCHES.iter().sum::<u64>());
}

/// A file system in memory of a size, for as long as this lives.
struct Small<'folder>(&'folder Path);

impl Small<'_> {
    fn sized(&self, options: &str) -> bool {
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(self.0).status();
        status.is_ok_and(|status| status.success())
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn a_disk_that_is_full_stops_the_log_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let small = Small(folder.path());
    if !small.sized("size=512k") {
        eprintln!("not run where no file system may be mounted");
        std::mem::forget(small);
        return;
    }
    let home = Home::new(folder.path().join("log"));
    home.init(&"operator.example/log".parse().unwrap(), Stream::Events, None).unwrap();
    let log = Log::open(&home, options()).unwrap();
    let mut promised = 0;
    let stopped = loop {
        assert!(promised < 100_000, "the disk does not fill");
        let events: Vec<_> = (promised..promised + 50).map(event).collect();
        let tickets = log.append_many(Batch::try_from(events.as_slice()).unwrap()).map_err(|error| error.to_string());
        match tickets.and_then(|tickets| tickets.wait().map_err(|error| error.to_string())) {
            Ok(answers) => promised += answers.into_iter().map(Result::unwrap).count() as u64,
            Err(stopped) => break stopped,
        }
    };
    assert!(stopped.starts_with("the log has stopped: "), "{stopped}");
    assert!(stopped.contains("No space left on device"), "{stopped}");
    assert!(log.close().is_err());
    assert!(promised > 500, "{promised} were promised before");
    // There is room again.
    assert!(small.sized("remount,size=64m"));
    let log = Log::open(&home, options()).unwrap();
    assert!(log.statistics().durable >= promised);
    let events: Vec<_> = (0..promised).map(event).collect();
    let answers = log.append_many(Batch::try_from(events.as_slice()).unwrap()).unwrap().wait().unwrap();
    assert!(answers.iter().enumerate().all(|(at, answer)| answer.as_ref().unwrap().index == at as u64));
    let head = log.wait_published(promised - 1).unwrap();
    log.close().unwrap();
    let source = publish_source(Arc::new(SystemFiles), &home);
    let follower = Follower::new(TrustPolicy::of_log(home.key().unwrap().verifier().clone()));
    let checkpoint = follower.head(&source).unwrap().checkpoint.checkpoint().clone();
    assert!(checkpoint.size() >= head.size);
    check(&source, &checkpoint, |_| ()).unwrap();
}
