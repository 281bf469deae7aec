//! A result's rows, in all tables, and the state that makes its job finished: part of one transaction.

use super::jobs::Attempted;
use crate::{
    document::{Inspection, Outcome},
    schedule::{JobId, Moment},
};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use rusqlite::{Connection, params};
use std::io::{Read, Write};

/// Writes what stands. Fails if the job has a result already, which would be a mistake of ours.
pub(super) fn put(connection: &Connection, id: JobId, attempted: &Attempted, now: Moment) -> rusqlite::Result<()> {
    let inspection = attempted.document.as_ref().map(|(_, inspection)| inspection);
    let document = attempted.document.as_ref().map(|(text, _)| compressed(text));
    let empty = Inspection::nothing();
    let read = inspection.unwrap_or(&empty);
    let evidence = read.evidence.as_ref();
    // What was not inspected has nothing to say about banners, whatever its document holds.
    let seen = attempted.outcome == Outcome::Inspected;
    let only = |value: Option<bool>| value.filter(|_| seen);
    connection
        .prepare_cached(
            "INSERT INTO results (job, site, repeat, outcome, why, attempts, finished_ms, elapsed_s, host, final_url,
             banner_seen, cmp, language, accept_first_layer, refuse_first_layer, settings_first_layer,
             close_first_layer, preticked, clicks_accept, clicks_refuse, clicks_withdraw, asked_before_choice,
             stored_before_choice, bundle, bundle_sha256, document)
         SELECT job, site, repeat, ?2, ?3, attempts, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
             ?18, ?19, ?20, ?21, ?22, ?23 FROM jobs WHERE job = ?1",
        )?
        .execute(params![
            id.0,
            attempted.outcome.word(),
            attempted.why,
            now.stored(),
            read.elapsed_s,
            read.site.host,
            read.site.final_url,
            only(read.banner.seen),
            read.banner.cmp,
            read.banner.language,
            only(read.first_layer.accept),
            only(read.first_layer.refuse),
            only(read.first_layer.settings),
            only(read.first_layer.close),
            read.preticked.as_ref().map(Vec::len).filter(|_| seen),
            read.clicks.accept.filter(|_| seen),
            read.clicks.refuse.filter(|_| seen),
            read.clicks.withdraw.filter(|_| seen),
            only(read.asked_before_choice()),
            only(read.stored_before_choice()),
            attempted.bundle.as_ref().or(evidence.and_then(|kept| kept.bundle.as_ref())),
            evidence.and_then(|kept| kept.sha256.as_ref()),
            document,
        ])?;
    put_findings(connection, id, read)?;
    put_visits(connection, id, read)?;
    let state = if seen { "done" } else { "failed" };
    connection.execute("UPDATE jobs SET state = ?2 WHERE job = ?1", params![id.0, state])?;
    Ok(())
}

/// Returns a document as it is kept: about a fifth of its size.
fn compressed(text: &str) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::default());
    gz.write_all(text.as_bytes()).and_then(|()| gz.finish()).expect("memory takes all")
}

/// Returns a document that was kept.
pub(super) fn uncompressed(bytes: &[u8]) -> std::io::Result<String> {
    let mut text = String::new();
    GzDecoder::new(bytes).take(MAX_DOCUMENT_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// The most that a kept document may unpack to, in bytes.
const MAX_DOCUMENT_BYTES: u64 = 256 << 20;

fn put_findings(connection: &Connection, id: JobId, read: &Inspection) -> rusqlite::Result<()> {
    let mut put = connection.prepare_cached(
        "INSERT INTO findings (job, rule, title, verdict, severity, certainty, summary)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for finding in &read.findings {
        put.execute(params![
            id.0,
            finding.rule,
            finding.title,
            finding.verdict,
            finding.severity,
            finding.certainty,
            finding.summary
        ])?;
    }
    Ok(())
}

fn put_visits(connection: &Connection, id: JobId, read: &Inspection) -> rusqlite::Result<()> {
    let mut put_tracker = connection.prepare_cached(
        "INSERT INTO trackers (job, visit, host, requests, class, why) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let mut put_cookie = connection.prepare_cached(
        "INSERT INTO cookies (job, visit, name, domain, path, party, http_only, lifetime_s, set_by, blocked, class,
             exempt, why) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?;
    for visit in &read.visits {
        let name = visit.name.as_ref().unwrap_or(&visit.scenario);
        for tracker in &visit.trackers {
            let requests = i64::try_from(tracker.requests).unwrap_or(i64::MAX);
            put_tracker.execute(params![id.0, name, tracker.host, requests, tracker.class, tracker.why])?;
        }
        for cookie in &visit.cookies {
            put_cookie.execute(params![
                id.0,
                name,
                cookie.name,
                cookie.domain,
                cookie.path,
                cookie.party,
                cookie.http_only,
                cookie.lifetime_s,
                cookie.set_by,
                cookie.blocked,
                cookie.class,
                cookie.exempt,
                cookie.why
            ])?;
        }
    }
    Ok(())
}
