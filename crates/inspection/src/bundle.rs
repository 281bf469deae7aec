//! From what was observed to a bundle, and back: which member holds what.
//!
//! The archive holds every request and response of every visit, those of the search too. Our own records are
//! `vigie/evidence.json.gz`, which is judged; `vigie/findings.json`, what was found, and `rules/`, by which catalogue;
//! `vigie/events.jsonl.gz`, every event of every visit with its wall-clock time, its address and who observed it;
//! `vigie/plan.json`, what was to be done; `visits/`, the records of visits that only explored or broke off, which nothing
//! is judged by; `snapshots/`, the pages in which surfaces were found; `pictures/`; and `vigie/not-archived.json`, what
//! could not be archived, and why.
//!
//! Out of scope: the form of a bundle, its signature and its verification (`evidence`, the room).

pub(crate) mod exchanges;

use crate::{
    catalogue::Catalogue,
    evidence::Evidence,
    inspect::{Observed, Plan},
};
use serde::Serialize;
use serde_json::json;
use std::{
    io::{self, Write as _},
    path::Path,
};
use vigie_browser::Spool;
use vigie_domain::{Finding, VisitRecord, record::EventKind};
use vigie_evidence::{Bundle, Expected, Finished, Key, Options, ReadError, WriteError, Writer, gzip};

/// The member that is judged.
pub const EVIDENCE: &str = "vigie/evidence.json.gz";

/// The member with the findings, as they were when the bundle was made.
pub const FINDINGS: &str = "vigie/findings.json";

/// The folder of the rules by which they were found.
pub const RULES: &str = "rules/";

/// The most that the evidence of one inspection may unpack to, in bytes.
const MAX_EVIDENCE_BYTES: u64 = 1 << 30;

/// A bundle could not be written.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The bundle itself.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// What was spooled could not be read back.
    #[error("what the visits left behind could not be read: {0}")]
    Spool(io::Error),
}

/// A bundle holds no evidence that can be judged.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// It cannot be read, or lacks the member.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The member is not what we write.
    #[error("`{member}` is not of this version: {why}")]
    Form {
        /// The member.
        member: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// What goes into a bundle.
pub struct Contents<'a> {
    /// What was observed.
    pub observed: &'a Observed,
    /// Where the visits left bodies, snapshots and their records.
    pub spool: &'a Spool,
    /// What was to be done.
    pub plan: &'a Plan,
    /// What was found.
    pub findings: &'a [Finding],
    /// Whether a timestamp is to follow.
    pub timestamp: Expected,
}

/// Writes a bundle at a path where there is none.
///
/// # Errors
///
/// [`BundleError`]; nothing is at the path then.
pub fn write(path: &Path, contents: &Contents<'_>, key: &Key) -> Result<Finished, BundleError> {
    let Contents { observed, spool, plan, findings, timestamp } = contents;
    let evidence = &observed.evidence;
    let options = Options {
        software: evidence.environment.program.clone(),
        created: jiff::Timestamp::now(),
        timestamp: *timestamp,
    };
    let mut writer = Writer::create(path, options)?;
    let mut left_out: Vec<String> = Vec::new();
    let mut events = Lines::new();
    let observer = evidence.environment.machine.observed_by.as_deref().unwrap_or("automatic");
    for name in spool.names("visits") {
        let bytes = spool.read(&name).map_err(BundleError::Spool)?;
        let visit: VisitRecord = serde_json::from_slice(&bytes).map_err(|error| BundleError::Spool(error.into()))?;
        exchanges::archive(&mut writer, &visit, spool, &mut left_out)?;
        pages(&mut writer, &visit)?;
        timed(&mut events, &name, &visit, observer);
        let is_played =
            evidence.visits.iter().any(|other| other.name == visit.name && other.started_at == visit.started_at);
        if !is_played {
            writer.member(&format!("{name}.gz"), gzip(&bytes).as_slice())?;
        }
    }
    for name in spool.names("snapshots") {
        let bytes = spool.read(&name).map_err(BundleError::Spool)?;
        writer.member(&format!("{name}.gz"), gzip(&bytes).as_slice())?;
    }
    for (name, png) in &observed.pictures {
        writer.member(name, png.as_slice())?;
    }
    for (name, text) in Catalogue::texts() {
        writer.member(&format!("{RULES}{name}"), text.as_bytes())?;
    }
    writer.member("vigie/events.jsonl.gz", gzip(&events.bytes).as_slice())?;
    writer.member("vigie/plan.json", pretty(&plan_of(plan)).as_slice())?;
    if !left_out.is_empty() {
        writer.member("vigie/not-archived.json", pretty(&left_out).as_slice())?;
    }
    writer.member(FINDINGS, findings_bytes(findings).as_slice())?;
    let bytes = serde_json::to_vec(evidence).map_err(|error| BundleError::Spool(error.into()))?;
    writer.member(EVIDENCE, gzip(&bytes).as_slice())?;
    Ok(writer.finish(key)?)
}

/// Returns findings as a bundle holds them: the same findings give the same bytes.
pub fn findings_bytes(findings: &[Finding]) -> Vec<u8> {
    pretty(&findings)
}

/// Reads the evidence of a bundle.
///
/// # Errors
///
/// [`EvidenceError`].
pub fn evidence(bundle: &Bundle) -> Result<Evidence, EvidenceError> {
    let bytes = bundle.read(EVIDENCE, MAX_EVIDENCE_BYTES)?;
    serde_json::from_slice(&bytes).map_err(|error| EvidenceError::Form { member: EVIDENCE, why: error.to_string() })
}

/// Reads the findings of a bundle, as they stand there.
///
/// # Errors
///
/// [`EvidenceError`].
pub fn findings(bundle: &Bundle) -> Result<Vec<u8>, EvidenceError> {
    Ok(bundle.read(FINDINGS, MAX_EVIDENCE_BYTES)?)
}

/// Reads the rules by which a bundle was judged when it was made: names and texts.
///
/// # Errors
///
/// [`EvidenceError`].
pub fn rules(bundle: &Bundle) -> Result<Vec<(String, String)>, EvidenceError> {
    let names: Vec<String> = bundle.names().filter(|name| name.starts_with(RULES)).map(str::to_owned).collect();
    let read = |name: String| {
        let bytes = bundle.read(&name, 1 << 20)?;
        let text =
            String::from_utf8(bytes).map_err(|error| EvidenceError::Form { member: RULES, why: error.to_string() })?;
        Ok((name.trim_start_matches(RULES).to_owned(), text))
    };
    names.into_iter().map(read).collect()
}

/// Lists the documents of a visit's main frame, each with what was being done.
fn pages(writer: &mut Writer, visit: &VisitRecord) -> Result<(), WriteError> {
    let mut doing = "load";
    for event in &visit.events {
        match &event.kind {
            EventKind::Step { what } => doing = what,
            EventKind::Navigated { url, main: true } if url.starts_with("http") => {
                writer.page(url, &format!("{}: {doing}", visit.name), exchanges::wall_clock(visit, event.at_ms))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Lines of JSON in the making.
struct Lines {
    bytes: Vec<u8>,
}

impl Lines {
    fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    fn push(&mut self, line: &impl Serialize) {
        serde_json::to_writer(&mut self.bytes, line).expect("our own records have string keys");
        self.bytes.write_all(b"\n").expect("memory takes all");
    }
}

/// An event as an observation that stands by itself.
#[derive(Serialize)]
struct Observation<'a> {
    /// The visit's name, and which of those that bear it.
    visit: &'a str,
    record: &'a str,
    /// Wall-clock time: that of the visit's start, and since then a monotonic clock.
    at: String,
    /// The exact address of the document, or else of the page.
    seen_at: &'a str,
    /// Who or what observed.
    by: &'a str,
    /// What was observed. Nested, as py-wacz reads such files as tables, in which a column has one type.
    observed: &'a vigie_domain::Event,
}

fn timed(lines: &mut Lines, record: &str, visit: &VisitRecord, by: &str) {
    let mut page = visit.requested_url.as_str();
    for event in &visit.events {
        if let EventKind::Navigated { url, main: true } = &event.kind {
            page = url;
        }
        let at = exchanges::wall_clock(visit, event.at_ms).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        let seen_at = event.document.as_deref().unwrap_or(page);
        lines.push(&Observation { visit: &visit.name, record, at, seen_at, by, observed: event });
    }
}

fn plan_of(plan: &Plan) -> serde_json::Value {
    json!({
        "url": plan.url,
        "scenarios": plan.scenarios,
        "viewport": plan.visit.viewport,
        "locale": plan.visit.locale,
        "timezone": plan.visit.timezone,
        "patience": format!("{:?}", plan.patience).to_lowercase(),
        "timeout_s": plan.timeout.as_secs(),
        "visits_at_once": plan.visits_at_once,
        "browser_arguments": plan.browser_arguments,
        "certificates_ignored": plan.certificates_ignored,
        "observed_by": plan.observed_by,
    })
}

fn pretty(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("our own records have string keys");
    bytes.push(b'\n');
    bytes
}
