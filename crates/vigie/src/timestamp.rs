//! `vigie timestamp`, and `vigie inspect --timestamp`: an authority's word that a bundle existed.

use crate::{
    arguments::{Common, TimestampOptions},
    fault::Fault,
    inspect::print_line,
    keep::in_full,
};
use std::{path::Path, time::Duration};
use vigie_evidence::{Bundle, Roots, timestamp};

/// How long an authority may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Asks each authority and keeps its answer in the bundle. Exit code 2 where one gave none; the others' are kept.
pub fn run(options: &TimestampOptions, common: &Common) -> Result<u8, Fault> {
    let path = &options.bundle;
    let unusable = |why: String| Fault::Evidence { path: path.clone(), why };
    let bundle = Bundle::open(path).map_err(|error| unusable(in_full(&error)))?;
    let report = bundle.verify(&Roots::default()).map_err(|error| unusable(in_full(&error)))?;
    if let Some(problem) = report.problems.first() {
        return Err(unusable(format!(
            "it was changed since it was signed, {problem}; a timestamp would prove nothing"
        )));
    }
    let seal = timestamp::seal(path).map_err(|error| unusable(in_full(&error)))?;
    let mut missing = 0;
    for url in &options.urls {
        match stamp(path, url, &seal) {
            Ok(sha256) if !common.quiet => {
                print_line(&format!("{} is stamped by {url}; its SHA-256 is {sha256} now", path.display()));
            }
            Ok(_) => {}
            Err(why) => {
                missing += 1;
                eprintln!("vigie: {why}");
            }
        }
    }
    Ok(if missing == 0 { 0 } else { 2 })
}

/// Asks an authority for a timestamp of a seal and keeps it in the bundle; returns the file's SHA-256 after that.
///
/// # Errors
///
/// A sentence that says why there is none. The bundle is as it was then, and can be stamped later.
pub fn stamp(path: &Path, url: &str, seal: &[u8; 32]) -> Result<String, String> {
    let token = timestamp::ask(url, seal, ANSWER_TIMEOUT).map_err(|error| in_full(&error))?;
    let attached = timestamp::attach(path, &token).map_err(|error| in_full(&error))?;
    Ok(attached.sha256)
}
