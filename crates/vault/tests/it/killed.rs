//! A process that is killed under load: everything it was promised is there.

use crate::{event, key, open, record, small};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use vigie_vault::Vault;

const FOLDER: &str = "VIGIE_TEST_VAULT";

/// Not a test by itself: what the child does. It tells each promise, and ends when it is killed.
#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let vault = Arc::new(Vault::open(Path::new(&folder), key(), small()).unwrap());
    let start: u64 = std::env::var("VIGIE_TEST_START").unwrap().parse().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let vault = &vault;
            scope.spawn(move || {
                for number in 0.. {
                    let number = start + thread + 4 * number;
                    vault.append(record(number, number..number + number % 50)).unwrap().wait().unwrap();
                    eprintln!("promised {number}");
                }
            });
        }
    });
}

#[test]
fn what_a_killed_process_was_promised_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    // How many promises are heard before the kill differs, and with it where it strikes.
    for (round, heard) in (0..).zip([1, 7, 40, 23, 111, 64]) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::child", "--nocapture"])
            .env(FOLDER, folder.path())
            .env("VIGIE_TEST_START", (round * 100_000).to_string())
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        // A line that the kill cut says nothing.
        let number = |line: String| line.split("promised ").nth(1)?.parse::<u64>().ok();
        let before = all.len();
        while all.len() < before + heard {
            let line = lines.next().expect("the child goes on").unwrap();
            all.extend(number(line));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What was said before the end, whole lines only.
        all.extend(lines.map_while(Result::ok).filter(|line| line.starts_with("promised ")).filter_map(number));
        let vault = open(folder.path());
        for number in &all {
            let found = vault.find(event(*number)).unwrap();
            assert_eq!(found, Some(record(*number, *number..*number + *number % 50)), "event {number}");
        }
        assert_eq!(vault.check().len(), 0);
    }
}
