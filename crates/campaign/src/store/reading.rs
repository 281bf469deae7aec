//! Reading a campaign for its summary and its export. Needs no lock, and works while the campaign runs.

use super::{CampaignError, DATABASE, VERSION, check_version, error::unreadable, jobs::Counts, results::uncompressed};
use crate::{
    document::Outcome,
    repeats::{Answer, Comparison, Flips},
    settings::Settings,
    summary::{Answers, RuleName, SiteRow},
};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};
use vigie_domain::Verdict;

/// A campaign's folder, open for reading.
#[derive(Debug)]
pub struct Reading {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
}

/// What holds of the campaign as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// Its name among others.
    pub id: String,
    /// The settings in force.
    pub settings: Settings,
    /// Settings that were in force before, with how many jobs had been finished until then.
    pub former_settings: Vec<(Settings, usize)>,
    /// How many jobs are in which state.
    pub counts: Counts,
    /// When the first and the last result was kept, in milliseconds since 1970 began.
    pub finished_ms: Option<(i64, i64)>,
}

/// What stands for a site that answered several times: its first repeat that was inspected.
const STANDING: &str = "(SELECT job FROM results WHERE results.site = sites.site
                         ORDER BY outcome <> 'inspected', repeat LIMIT 1)";

/// Fields that are compared between repeats besides the rules; the outcome first.
const FIELDS: [(&str, &str); 9] = [
    ("outcome", "outcome"),
    ("banner seen", "iif(banner_seen, 'yes', 'no')"),
    ("accept on the first layer", "iif(accept_first_layer, 'yes', 'no')"),
    ("refuse on the first layer", "iif(refuse_first_layer, 'yes', 'no')"),
    ("clicks to accept", "coalesce(clicks_accept, 'no way found')"),
    ("clicks to refuse", "coalesce(clicks_refuse, 'no way found')"),
    ("clicks to withdraw", "coalesce(clicks_withdraw, 'no way found')"),
    ("tracker asked before a choice", "iif(asked_before_choice, 'yes', 'no')"),
    ("tracker stored before a choice", "iif(stored_before_choice, 'yes', 'no')"),
];

impl Reading {
    /// Returns the inspection's document that stands for a site's repeat, from 1, as it came; `None` without one.
    ///
    /// # Errors
    ///
    /// If the database cannot be read, or holds no such compressed text there.
    pub fn document(&self, url: &str, repeat: u16) -> Result<Option<String>, CampaignError> {
        self.read(|connection| {
            let sql = "SELECT document FROM results JOIN sites USING (site) WHERE url = ?1 AND repeat = ?2";
            let found = connection.query_row(sql, params![url, repeat], |row| row.get::<_, Option<Vec<u8>>>(0));
            let Some(bytes) = found.optional()?.flatten() else { return Ok(None) };
            let broken =
                |error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, Box::new(error));
            uncompressed(&bytes).map(Some).map_err(broken)
        })
    }

    /// Opens a campaign's folder.
    ///
    /// # Errors
    ///
    /// [`CampaignError::Missing`] if there is no campaign, or if its database cannot be read.
    pub fn open(folder: &Path) -> Result<Self, CampaignError> {
        let path = folder.join(DATABASE);
        if !path.exists() {
            return Err(CampaignError::Missing { folder: folder.to_owned() });
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags)
            .map_err(|source| CampaignError::Store { path: path.clone(), source })?;
        check_version(&path, &connection)?;
        let reading = Self { connection, path };
        reading.read(|connection| {
            connection.busy_timeout(std::time::Duration::from_secs(10))?;
            // One transaction, so that all numbers of a page are of one moment.
            connection.execute_batch("PRAGMA temp_store = MEMORY; BEGIN")?;
            connection.query_row("SELECT count(*) FROM campaign", [], |_| Ok(()))
        })?;
        debug_assert_eq!(VERSION, 2, "the statements below read version 2");
        Ok(reading)
    }

    /// Returns what holds of the campaign as a whole.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn facts(&self) -> Result<Facts, CampaignError> {
        let (id, settings) = self.read(|connection| {
            connection
                .query_row("SELECT id, settings FROM campaign", [], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))
        })?;
        let former: Vec<(String, usize)> = self.read(|connection| {
            let mut select = connection.prepare("SELECT settings, finished FROM former_settings ORDER BY until_ms")?;
            select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })?;
        let settings_of = |text: &str| serde_json::from_str(text).map_err(|error| unreadable(&self.path, &error));
        let (counts, first, last) = self.read(|connection| {
            connection.query_row(
                "SELECT count(*) FILTER (WHERE state IN ('waiting', 'running')),
                        count(*) FILTER (WHERE state = 'done'), count(*) FILTER (WHERE state = 'failed'),
                        (SELECT min(finished_ms) FROM results), (SELECT max(finished_ms) FROM results) FROM jobs",
                [],
                |row| {
                    let counts = Counts { open: row.get(0)?, done: row.get(1)?, failed: row.get(2)? };
                    Ok((counts, row.get::<_, Option<i64>>(3)?, row.get::<_, Option<i64>>(4)?))
                },
            )
        })?;
        Ok(Facts {
            id,
            settings: settings_of(&settings)?,
            former_settings: former
                .iter()
                .map(|(text, finished)| Ok((settings_of(text)?, *finished)))
                .collect::<Result<_, CampaignError>>()?,
            counts,
            finished_ms: first.zip(last),
        })
    }

    /// Returns the answers of every site, one row a site, and the rules that they speak of.
    ///
    /// A site that was inspected several times is stood for by its first repeat that was `inspected`.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn answers(&self) -> Result<Answers, CampaignError> {
        let mut rules: BTreeMap<String, String> = BTreeMap::new();
        let mut sites = self.read(|connection| {
            let mut select = connection.prepare(&format!(
                "SELECT sites.site, url, country, outcome, why, attempts, banner_seen, accept_first_layer,
                        refuse_first_layer, clicks_accept, clicks_refuse, clicks_withdraw, asked_before_choice,
                        stored_before_choice, (SELECT group_concat(tag, char(31)) FROM tags WHERE tags.site = sites.site)
                 FROM sites LEFT JOIN results ON results.job = {STANDING} ORDER BY sites.site"
            ))?;
            select.query_map([], site_row)?.collect::<Result<Vec<_>, _>>()
        })?;
        let place: HashMap<i64, usize> = sites.iter().enumerate().map(|(at, (site, _))| (*site, at)).collect();
        let names = self.read(|connection| {
            let mut select = connection.prepare("SELECT rule, min(title) FROM findings GROUP BY rule")?;
            select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<Vec<(String, String)>, _>>()
        })?;
        rules.extend(names);
        let number: HashMap<&str, u16> = rules.keys().map(String::as_str).zip(0..).collect();
        self.read(|connection| {
            let mut select = connection.prepare(&format!(
                "SELECT sites.site, rule, verdict FROM sites
                 JOIN results ON results.job = {STANDING} JOIN findings ON findings.job = results.job
                 WHERE outcome = 'inspected'"
            ))?;
            let mut found = select.query([])?;
            while let Some(row) = found.next()? {
                let (site, rule, verdict): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
                if let (Some(verdict), Some(at)) = (verdict_of(&verdict), place.get(&site)) {
                    sites[*at].1.verdicts.push((number[rule.as_str()], verdict));
                }
            }
            Ok(())
        })?;
        let rules = rules.into_iter().map(|(id, title)| RuleName { id, title }).collect();
        Ok(Answers { sites: sites.into_iter().map(|(_, row)| row).collect(), rules })
    }

    /// Returns whether a breach was found on any site.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn has_breach(&self) -> Result<bool, CampaignError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM findings WHERE verdict = 'breach')";
        self.read(|connection| connection.query_row(sql, [], |row| row.get(0)))
    }

    /// Compares the repeats; at most so many pairs that flip are listed.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn flips(&self, at_most: usize) -> Result<Flips, CampaignError> {
        let mut comparison = Comparison::new(at_most);
        self.read(|connection| {
            for (at, (name, expression)) in FIELDS.iter().enumerate() {
                // Only the outcome is compared where there was no inspection.
                let only = if at == 0 { "" } else { "WHERE outcome = 'inspected'" };
                let mut select = connection.prepare(&format!(
                    "SELECT results.site, url, cast({expression} AS TEXT) FROM results JOIN sites USING (site) {only}
                     ORDER BY results.site, repeat"
                ))?;
                let mut found = select.query([])?;
                while let Some(row) = found.next()? {
                    comparison.add(answer(row, (*name).to_owned(), 2)?);
                }
            }
            let mut select = connection.prepare(
                "SELECT results.site, url, verdict, rule FROM findings JOIN results USING (job)
                 JOIN sites ON sites.site = results.site WHERE outcome = 'inspected'
                 ORDER BY results.site, rule, repeat",
            )?;
            let mut found = select.query([])?;
            while let Some(row) = found.next()? {
                comparison.add(answer(row, row.get(3)?, 2)?);
            }
            Ok(())
        })?;
        Ok(comparison.finish())
    }

    pub(crate) fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, CampaignError> {
        work(&self.connection).map_err(|source| CampaignError::Store { path: self.path.clone(), source })
    }
}

fn answer(row: &Row<'_>, question: String, at: usize) -> rusqlite::Result<Answer> {
    Ok(Answer { site: row.get(0)?, url: row.get(1)?, question, answer: row.get(at)? })
}

fn site_row(row: &Row<'_>) -> rusqlite::Result<(i64, SiteRow)> {
    let outcome: Option<String> = row.get(3)?;
    let tags: Option<String> = row.get(14)?;
    let site = SiteRow {
        url: row.get(1)?,
        country: row.get(2)?,
        tags: tags.map(|tags| tags.split('\u{1f}').map(str::to_owned).collect()).unwrap_or_default(),
        outcome: outcome.as_deref().and_then(Outcome::from_word),
        why: row.get(4)?,
        attempts: row.get::<_, Option<u32>>(5)?.unwrap_or_default(),
        banner_seen: row.get(6)?,
        accept_first_layer: row.get(7)?,
        refuse_first_layer: row.get(8)?,
        clicks: [row.get(9)?, row.get(10)?, row.get(11)?],
        asked_before_choice: row.get(12)?,
        stored_before_choice: row.get(13)?,
        verdicts: Vec::new(),
    };
    Ok((row.get(0)?, site))
}

fn verdict_of(word: &str) -> Option<Verdict> {
    match word {
        "breach" => Some(Verdict::Breach),
        "conform" => Some(Verdict::Conform),
        "not-applicable" => Some(Verdict::NotApplicable),
        "inconclusive" => Some(Verdict::Inconclusive),
        _ => None,
    }
}
