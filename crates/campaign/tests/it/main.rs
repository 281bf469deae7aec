//! Campaigns in processes of their own, which are killed: the runner on one machine, and workers on a queue.
//!
//! This program is its own children: called with a role, it plays that role until it is done or killed.

mod crash;
mod queue;

use libtest_mimic::{Arguments, Trial};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["play", "runner", folder] => crash::play(folder),
        ["play", "coordinator", queue, shelf, folder] => queue::play_coordinator(queue, shelf, folder),
        ["play", "worker", queue, shelf, name] => queue::play_worker(queue, shelf, name),
        ["play", "s3", queue] => queue::play_s3(queue),
        _ => {
            let arguments = Arguments::from_args();
            let trials: Vec<Trial> = crash::trials().into_iter().chain(queue::trials()).collect();
            libtest_mimic::run(&arguments, trials).exit();
        }
    }
}

/// Starts this program in a role.
fn child(role: &[&str]) -> Ended {
    let program = std::env::current_exe().expect("a running program has a file");
    Ended(std::process::Command::new(program).arg("play").args(role).spawn().expect("this program can be started"))
}

/// A process that is killed when nobody needs it any more.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A small generator of numbers that look random, so that each run of the tests kills at the same places or near them.
struct Dice(u64);

impl Dice {
    /// Returns a number below `sides` (Steele and others, SplitMix64).
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// Returns a number that only depends on the text.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A made-up inspection: most sites are inspected, some are gone or walled off, some fail once.
fn made_up(job: &vigie_campaign::Job) -> Result<vigie_campaign::Done, String> {
    let outcome = match (hash(&job.domain) % 10, job.attempt) {
        (0, _) => "unreachable",
        (1, _) => "blocked",
        (2, 1) => return Err("the browser is gone".to_owned()),
        _ => "inspected",
    };
    let document = format!(
        r#"{{"schema": "vigie-inspection/1", "outcome": "{outcome}", "site": {{"host": "{}"}},
            "clicks": {{"accept": 1, "refuse": {}}},
            "findings": [{{"rule": "CK-05", "title": "A refusal", "verdict": "breach"}}]}}"#,
        job.domain,
        hash(&job.domain) % 4,
    );
    Ok(vigie_campaign::Done::new(document))
}

/// Settings whose waits are short.
fn hurried() -> vigie_campaign::Settings {
    use std::time::Duration;
    vigie_campaign::Settings {
        pause: Duration::from_millis(1),
        retry: vigie_campaign::settings::RetryRule {
            unreachable_and_failed: vec![Duration::from_millis(20), Duration::from_millis(60)],
            blocked: vec![Duration::from_millis(40)],
        },
        ..vigie_campaign::Settings::default()
    }
}

/// Returns a list of so many sites, each of its own domain.
fn list_of(n: usize) -> vigie_campaign::List {
    let lines: Vec<_> = (0..n).map(|n| format!("https://site-{n}.example/,tag-{}", n % 3)).collect();
    vigie_campaign::List::parse(&lines.join("\n")).expect("these are addresses")
}

/// Checks that every site is finished exactly once, with the outcome that it has to have. Returns how many there are.
fn check_complete(folder: &std::path::Path) -> usize {
    let database = rusqlite::Connection::open(folder.join("campaign.db")).expect("the campaign is there");
    let number = |sql: &str| database.query_row(sql, [], |row| row.get::<_, usize>(0)).expect(sql);
    let jobs = number("SELECT count(*) FROM jobs");
    assert_eq!(number("SELECT count(*) FROM jobs WHERE state NOT IN ('done', 'failed')"), 0, "every job is finished");
    assert_eq!(number("SELECT count(*) FROM results"), jobs, "each has one result");
    assert_eq!(number("SELECT count(DISTINCT site || ' ' || repeat) FROM results"), jobs, "of its own");
    assert_eq!(
        number("SELECT count(*) FROM jobs JOIN results USING (job) WHERE (state = 'done') <> (outcome = 'inspected')"),
        0,
        "the state says what the result says"
    );
    assert_eq!(
        number(
            "SELECT count(*) FROM jobs WHERE attempts <> (SELECT count(*) FROM attempts WHERE attempts.job = jobs.job)"
        ),
        0,
        "every attempt is kept"
    );
    assert_eq!(
        number(
            "SELECT count(*) FROM results WHERE document IS NOT NULL
                AND (SELECT count(*) FROM findings WHERE findings.job = results.job) <> 1"
        ),
        0,
        "the tables hold each document once"
    );
    let mut select = database.prepare("SELECT domain, outcome, attempts, interruptions FROM jobs JOIN sites USING (site) JOIN results USING (job)".replace("attempts,", "jobs.attempts,").as_str()).unwrap();
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
    for row in rows {
        let (domain, outcome, attempts, interruptions): (String, String, u32, u32) = row.unwrap();
        if interruptions >= 5 {
            continue;
        }
        let expected = match hash(&domain) % 10 {
            0 => ("unreachable", 3),
            1 => ("blocked", 2),
            2 => ("inspected", 2),
            _ => ("inspected", 1),
        };
        assert_eq!((outcome.as_str(), attempts), expected, "{domain}");
    }
    jobs
}
