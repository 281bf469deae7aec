//! What happens to a job: it waits, runs, and is finished by the commit of its result; or it is tried again.

use super::{Campaign, CampaignError, error::unreadable, results};
use crate::{
    document::{Inspection, Outcome},
    schedule::{JobId, Moment},
};
use rusqlite::{Connection, OptionalExtension, params};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use url::Url;

/// How often the program may end during a job before the job stands as failed: something in it may be what ends us.
pub const MAX_INTERRUPTIONS: u32 = 5;

/// One inspection to make: one site's one repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The campaign's name.
    pub campaign: String,
    /// The job's number in the campaign.
    pub id: JobId,
    /// The site's place on the list.
    pub site: i64,
    /// The address.
    pub url: Url,
    /// The registrable domain.
    pub domain: String,
    /// Which repeat, from 1.
    pub repeat: u16,
    /// Which attempt, from 1. One during which the program ended is not counted.
    pub attempt: u32,
    /// How to inspect ([`Settings::inspection`](crate::Settings::inspection)).
    pub settings: Arc<BTreeMap<String, String>>,
}

/// How many jobs are in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Not finished.
    pub open: usize,
    /// Inspected.
    pub done: usize,
    /// Blocked, unreachable or failed after all tries.
    pub failed: usize,
}

/// A job that is not finished.
pub(crate) struct Waiting {
    pub id: JobId,
    pub domain: String,
    pub not_before: Moment,
}

/// Where a job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In this program. If that ends, so does the inspection.
    Here,
    /// On whatever machine takes it from the queue.
    Queue,
}

/// An attempt that came to an end.
#[derive(Debug)]
pub(crate) struct Attempted {
    pub outcome: Outcome,
    pub why: Option<String>,
    /// As it came, and as it was read; `None` if the inspection itself failed.
    pub document: Option<(String, Inspection)>,
    pub bundle: Option<String>,
}

impl Campaign {
    /// Returns the jobs that are not finished, in the order of the queue.
    pub(crate) fn unfinished(&self) -> Result<Vec<Waiting>, CampaignError> {
        self.with(|connection| {
            let mut select = connection.prepare(
                "SELECT job, domain, not_before_ms FROM jobs JOIN sites USING (site)
                 WHERE state IN ('waiting', 'running') ORDER BY place",
            )?;
            let read = |row: &rusqlite::Row<'_>| {
                Ok(Waiting { id: JobId(row.get(0)?), domain: row.get(1)?, not_before: moment(row.get(2)?) })
            };
            select.query_map([], read)?.collect()
        })
    }

    /// Counts the jobs by state.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub fn counts(&self) -> Result<Counts, CampaignError> {
        self.with(|connection| {
            connection.query_row(
                "SELECT count(*) FILTER (WHERE state IN ('waiting', 'running')),
                        count(*) FILTER (WHERE state = 'done'), count(*) FILTER (WHERE state = 'failed') FROM jobs",
                [],
                |row| Ok(Counts { open: row.get(0)?, done: row.get(1)?, failed: row.get(2)? }),
            )
        })
    }

    /// Marks a job as running and returns what is to be done.
    pub(crate) fn start(&self, id: JobId, place: Place) -> Result<Job, CampaignError> {
        let (site, url, domain, repeat, attempts) = self.with(|connection| {
            connection.execute(
                "UPDATE jobs SET state = 'running', queued = ?2 WHERE job = ?1",
                params![id.0, place == Place::Queue],
            )?;
            connection.query_row(
                "SELECT site, url, domain, repeat, attempts FROM jobs JOIN sites USING (site) WHERE job = ?1",
                [id.0],
                |row| {
                    let text: String = row.get(1)?;
                    Ok((row.get(0)?, text, row.get(2)?, row.get(3)?, row.get::<_, u32>(4)?))
                },
            )
        })?;
        let url = Url::parse(&url).map_err(|error| unreadable(self.folder(), &format!("`{url}`: {error}")))?;
        let settings = Arc::new(self.settings().inspection.clone());
        Ok(Job { campaign: self.id().to_owned(), id, site, url, domain, repeat, attempt: attempts + 1, settings })
    }

    /// Keeps what an attempt came to. Returns how long to wait if it is to be tried again; else the job is finished.
    ///
    /// One transaction, on disk when this returns. If it fails, the job runs on as far as the database knows, and the
    /// next start takes it back.
    pub(crate) fn ended(
        &self,
        id: JobId,
        attempted: &Attempted,
        now: Moment,
    ) -> Result<Option<Duration>, CampaignError> {
        let retry = &self.settings().retry;
        self.with(|connection| {
            let transaction = connection.transaction()?;
            let attempts: u32 = transaction.query_row(
                "UPDATE jobs SET attempts = attempts + 1 WHERE job = ?1 RETURNING attempts",
                [id.0],
                |row| row.get(0),
            )?;
            transaction.execute(
                "INSERT INTO attempts (job, attempt, ended_ms, outcome, why, bundle) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![id.0, attempts, now.stored(), attempted.outcome.word(), attempted.why, attempted.bundle],
            )?;
            let again = retry.wait(attempted.outcome, attempts);
            if let Some(wait) = again {
                to_the_end(&transaction, id, now.after(wait))?;
            } else {
                results::put(&transaction, id, attempted, now)?;
            }
            transaction.commit()?;
            Ok(again)
        })
    }

    /// Lets jobs wait again that were stopped on purpose; that is no attempt.
    pub(crate) fn put_back(&self, ids: &[JobId]) -> Result<(), CampaignError> {
        self.with(|connection| {
            let transaction = connection.transaction()?;
            for id in ids {
                transaction
                    .execute("UPDATE jobs SET state = 'waiting' WHERE job = ?1 AND state = 'running'", [id.0])?;
            }
            transaction.commit()
        })
    }

    /// Returns whether an attempt of a site's repeat has been kept already.
    pub(crate) fn has_attempt(&self, site: i64, repeat: u16, attempt: u32) -> Result<bool, CampaignError> {
        let attempts = self.with(|connection| {
            connection
                .query_row(
                    "SELECT CASE WHEN state IN ('done', 'failed') THEN 4294967295 ELSE attempts END
                     FROM jobs WHERE site = ?1 AND repeat = ?2",
                    params![site, repeat],
                    |row| row.get::<_, u32>(0),
                )
                .optional()
        })?;
        // A job that the campaign does not know is nobody's; its result is not waited for.
        Ok(attempts.is_none_or(|attempts| attempts >= attempt))
    }
}

/// Takes back what a program that is gone left running. Returns how many jobs that were.
///
/// They go to the end of the queue, so that a site which ends the program keeps no other from being inspected. What
/// runs by way of the queue keeps its place: its machine may well go on.
pub(super) fn take_back(connection: &Connection, now: i64) -> rusqlite::Result<usize> {
    let mut select =
        connection.prepare("SELECT job, queued, interruptions FROM jobs WHERE state = 'running' ORDER BY place")?;
    let left: Vec<(i64, bool, u32)> =
        select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect::<Result<_, _>>()?;
    for (id, queued, interruptions) in &left {
        if *queued {
            connection.execute("UPDATE jobs SET state = 'waiting' WHERE job = ?1", [id])?;
            continue;
        }
        connection.execute("UPDATE jobs SET interruptions = interruptions + 1 WHERE job = ?1", [id])?;
        if interruptions + 1 < MAX_INTERRUPTIONS {
            to_the_end(connection, JobId(*id), moment(0))?;
        } else {
            let why = format!("the program ended {MAX_INTERRUPTIONS} times while it inspected this site");
            let attempted = Attempted { outcome: Outcome::Failed, why: Some(why), document: None, bundle: None };
            results::put(connection, JobId(*id), &attempted, moment(now))?;
        }
    }
    Ok(left.len())
}

fn to_the_end(connection: &Connection, id: JobId, not_before: Moment) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE jobs SET state = 'waiting', not_before_ms = ?2, place = (SELECT max(place) + 1 FROM jobs) WHERE job = ?1",
        params![id.0, not_before.stored()],
    )?;
    Ok(())
}

fn moment(ms: i64) -> Moment {
    Moment(u64::try_from(ms).unwrap_or_default())
}
