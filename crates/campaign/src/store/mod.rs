//! A campaign's folder: `campaign.db` (SQLite), and a lock, so that two runners never share it.
//!
//! In reading order: opening ([`Campaign`]), what happens to a job (`jobs`), a result's rows (`results`), and reading
//! for the summary and the export ([`Reading`]), which needs no lock and works while the campaign runs.
//!
//! Every commit that acknowledges a result is on disk when it returns (`synchronous = FULL`); a program that is killed
//! loses what it was doing, never what it had finished.

mod error;
mod jobs;
mod reading;
mod results;

#[cfg(test)]
mod tests;

pub use error::CampaignError;
pub(crate) use error::reason;
pub use jobs::{Counts, Job};
pub use reading::{Facts, Reading};

pub(crate) use jobs::{Attempted, Place};

use crate::{
    list::List,
    settings::{Differing, Settings},
};
use error::unreadable;
use rusqlite::{Connection, OptionalExtension, params};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The database's name in the campaign's folder.
pub const DATABASE: &str = "campaign.db";
const LOCK: &str = "campaign.lock";
const VERSION: i64 = 2;

/// What to do if a campaign is resumed with other settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// Refuse, and say which differ.
    Refuse,
    /// Go on with the new ones, and keep the old ones with the time; the summary says so.
    Adopt,
}

/// A campaign that this program alone may run. The folder is free again when it is dropped.
#[derive(Debug, Clone)]
pub struct Campaign {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    id: String,
    settings: Settings,
    connection: Mutex<Connection>,
    // The system lets go of the lock when the file is closed, also if we are killed.
    _lock: File,
}

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Opened {
    /// Whether the campaign was there before.
    pub resumed: bool,
    /// Sites that the list added.
    pub added: usize,
    /// Sites of the campaign that the list no longer names; they stay.
    pub no_longer_listed: usize,
    /// Jobs that a program which is gone had left running; they wait again, or stand as failed if that happened often.
    pub taken_back: usize,
    /// Settings that were adopted.
    pub adopted: Vec<Differing>,
}

impl Campaign {
    /// Opens the campaign in a folder, or makes one there, with the sites of a list and these settings.
    ///
    /// Sites that the list adds are added; sites that it no longer names stay. What a program that is gone left
    /// running waits again. Without a list, the campaign has to be there.
    ///
    /// # Errors
    ///
    /// [`CampaignError::Held`] if another program runs it, [`CampaignError::Settings`] if its settings differ and
    /// `difference` is [`Difference::Refuse`]; then nothing was changed. Otherwise if the folder or the database
    /// cannot be used.
    pub fn open(
        folder: &Path,
        list: Option<&List>,
        settings: &Settings,
        difference: Difference,
    ) -> Result<(Self, Opened), CampaignError> {
        Self::open_with(folder, list, Some(settings), difference)
    }

    /// Opens the campaign in a folder, with the settings and sites that it has.
    ///
    /// # Errors
    ///
    /// [`CampaignError::Missing`] if there is none, and those of [`Campaign::open`].
    pub fn resume(folder: &Path) -> Result<(Self, Opened), CampaignError> {
        Self::open_with(folder, None, None, Difference::Refuse)
    }

    fn open_with(
        folder: &Path,
        list: Option<&List>,
        wanted: Option<&Settings>,
        difference: Difference,
    ) -> Result<(Self, Opened), CampaignError> {
        let path = folder.join(DATABASE);
        if list.is_none() && !path.exists() {
            return Err(CampaignError::Missing { folder: folder.to_owned() });
        }
        let unwritable = |why: &std::io::Error| CampaignError::Unwritable { path: folder.to_owned(), why: reason(why) };
        std::fs::create_dir_all(folder).map_err(|error| unwritable(&error))?;
        let lock = lock(folder)?;
        let failed = |error| CampaignError::Store { path: path.clone(), source: error };
        let mut connection = Connection::open(&path).map_err(failed)?;
        prepare(&connection).map_err(failed)?;
        check_version(&path, &connection)?;
        let now = now_ms();
        // One transaction: a folder holds either no campaign or a whole one.
        let transaction = connection.transaction().map_err(failed)?;
        let stored = transaction
            .query_row("SELECT id, settings FROM campaign", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional();
        let stored: Option<(String, String)> =
            if is_empty(&transaction).map_err(failed)? { None } else { stored.map_err(failed)? };
        let mut opened = Opened { resumed: stored.is_some(), ..Opened::default() };
        let (id, settings) = if let Some((id, text)) = stored {
            let stored: Settings = serde_json::from_str(&text).map_err(|error| unreadable(&path, &error))?;
            let wanted = wanted.unwrap_or(&stored);
            let differing = stored.differences(wanted);
            if !differing.is_empty() && difference == Difference::Refuse {
                return Err(CampaignError::Settings { folder: folder.to_owned(), differing });
            }
            if !differing.is_empty() {
                adopt(&transaction, &text, wanted, now).map_err(failed)?;
            }
            opened.adopted = differing;
            (id, wanted.clone())
        } else {
            let settings = wanted.cloned().unwrap_or_default();
            (make(&transaction, &settings, now).map_err(failed)?, settings)
        };
        if let Some(list) = list {
            (opened.added, opened.no_longer_listed) = put_sites(&transaction, list).map_err(failed)?;
        }
        put_jobs(&transaction, &settings).map_err(failed)?;
        opened.taken_back = jobs::take_back(&transaction, now).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        let inner = Inner { folder: folder.to_owned(), id, settings, connection: Mutex::new(connection), _lock: lock };
        Ok((Self { inner: Arc::new(inner) }, opened))
    }

    /// Returns the campaign's folder.
    pub fn folder(&self) -> &Path {
        &self.inner.folder
    }

    /// Returns the campaign's name among others, sixteen hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// Returns the settings in force.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Does something with the database. A statement that panicked has been rolled back, so others may go on.
    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, CampaignError> {
        let mut connection: MutexGuard<'_, _> = self.inner.connection.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut connection).map_err(|source| CampaignError::Store { path: self.inner.folder.join(DATABASE), source })
    }
}

/// Takes the folder for this program, or says who has it.
fn lock(folder: &Path) -> Result<File, CampaignError> {
    let path = folder.join(LOCK);
    let unwritable = |why: &std::io::Error| CampaignError::Unwritable { path: path.clone(), why: reason(why) };
    let opened = OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&path);
    let mut file = opened.map_err(|error| unwritable(&error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            return Err(CampaignError::Held { folder: folder.to_owned(), pid: holder.trim().parse().ok() });
        }
        Err(TryLockError::Error(error)) => return Err(unwritable(&error)),
    }
    // Who holds it is for people to read; a number that is not written does no harm.
    let _ = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0)));
    let _ = write!(file, "{}", std::process::id());
    Ok(file)
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;",
    )
}

fn check_version(path: &Path, connection: &Connection) -> Result<(), CampaignError> {
    let version = connection.query_row("PRAGMA user_version", [], |row| row.get(0));
    match version.map_err(|source| CampaignError::Store { path: path.to_owned(), source })? {
        0 | VERSION => Ok(()),
        found => Err(CampaignError::Newer { path: path.to_owned(), found, known: VERSION }),
    }
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'campaign')", [], |row| row.get(0))
}

/// Makes the tables and returns the campaign's name.
fn make(connection: &Connection, settings: &Settings, now: i64) -> rusqlite::Result<String> {
    connection.execute_batch(include_str!("schema.sql"))?;
    connection.pragma_update(None, "user_version", VERSION)?;
    connection.query_row(
        "INSERT INTO campaign (one, id, made_ms, settings) VALUES (1, lower(hex(randomblob(8))), ?1, ?2) RETURNING id",
        params![now, in_json(settings)],
        |row| row.get(0),
    )
}

fn adopt(connection: &Connection, former: &str, settings: &Settings, now: i64) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO former_settings (until_ms, finished, settings) SELECT ?1, count(*), ?2 FROM results",
        params![now, former],
    )?;
    connection.execute("UPDATE campaign SET settings = ?1", [in_json(settings)])?;
    Ok(())
}

/// Adds the list's sites. Returns how many were new, and how many of the campaign the list no longer names.
fn put_sites(connection: &Connection, list: &List) -> rusqlite::Result<(usize, usize)> {
    let mut add = connection.prepare("INSERT OR IGNORE INTO sites (url, domain, country) VALUES (?1, ?2, ?3)")?;
    let mut tag =
        connection.prepare("INSERT OR IGNORE INTO tags (site, tag) SELECT site, ?2 FROM sites WHERE url = ?1")?;
    let before: usize = connection.query_row("SELECT count(*) FROM sites", [], |row| row.get(0))?;
    let mut added = 0;
    for site in &list.sites {
        added += add.execute(params![site.url.as_str(), site.domain, site.country])?;
        for name in &site.tags {
            tag.execute(params![site.url.as_str(), name])?;
        }
    }
    Ok((added, before + added - list.sites.len()))
}

/// Makes a job of every site's every repeat that has none: the first repeats of all sites, then the second ones.
fn put_jobs(connection: &Connection, settings: &Settings) -> rusqlite::Result<()> {
    let mut put = connection.prepare(
        "INSERT INTO jobs (site, repeat, state, place)
         SELECT site, ?1, 'waiting', (SELECT coalesce(max(place), 0) FROM jobs) + row_number() OVER (ORDER BY site)
         FROM sites WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.site = sites.site AND repeat = ?1) ORDER BY site",
    )?;
    for repeat in 1..=settings.repeats.get() {
        put.execute([repeat])?;
    }
    Ok(())
}

fn in_json(settings: &Settings) -> String {
    serde_json::to_string(settings).expect("settings are plain values")
}

/// Returns the time. Only the edge asks for it; the schedule gets it as a value.
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
