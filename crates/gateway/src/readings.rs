//! What texts were read to be, kept so that most statements are never parsed: by their skeletons, which leave literals out.
//!
//! Reading itself is done by processes that may die (`statement::worker`); waiting for them keeps no thread.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::sync::oneshot;
use vigie_statement::{
    Reading, Unreadable,
    aggregate::{AggregateQuery, NotAggregate},
    skeleton::{Skeleton, skeleton},
    worker::Pool,
};

/// Readings kept; at more, all are forgotten and begin anew.
const MOST_KEPT: usize = 10_000;
/// Bytes of a skeleton that is kept.
const LONGEST_KEPT: usize = 8 * 1024;

/// A reading with the skeleton of the text that it was made of.
#[derive(Debug)]
pub struct Known {
    /// The text that was read.
    pub text: String,
    /// Its skeleton.
    pub skeleton: Skeleton,
    /// What it was read to be.
    pub reading: Reading,
}

/// Reads statements, and remembers.
#[derive(Debug)]
pub struct Readings {
    workers: Pool,
    kept: Mutex<HashMap<Vec<u8>, Arc<Known>>>,
}

impl Readings {
    /// Reads with these workers.
    pub fn new(workers: Pool) -> Self {
        Self { workers, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Arc<Known>>> {
        self.kept.lock().expect("nobody panics with readings in hand")
    }

    /// Returns the reading of a text. It may be that of another with the same skeleton.
    ///
    /// # Errors
    ///
    /// [`Unreadable`].
    pub async fn read(&self, sql: &str, skeleton: &Skeleton) -> Result<Arc<Known>, Unreadable> {
        if let Some(known) = self.kept().get(&skeleton.key) {
            return Ok(known.clone());
        }
        let (sender, answer) = oneshot::channel();
        self.workers.read_then(sql, move |read| {
            // The session may have ended meanwhile.
            let _ = sender.send(read);
        });
        let reading = answer.await.unwrap_or(Err(Unreadable::Crashed))?;
        let keep = !reading.is_literal_dependent() && skeleton.key.len() <= LONGEST_KEPT;
        let known = Arc::new(Known { text: sql.to_owned(), skeleton: skeleton.clone(), reading });
        if keep {
            let mut kept = self.kept();
            if kept.len() >= MOST_KEPT {
                kept.clear();
            }
            kept.insert(skeleton.key.clone(), known.clone());
        }
        Ok(known)
    }

    /// Takes a question about many apart.
    ///
    /// # Errors
    ///
    /// [`NotAggregate`], with the way out.
    pub async fn read_figures(&self, sql: &str) -> Result<AggregateQuery, NotAggregate> {
        let (sender, answer) = oneshot::channel();
        self.workers.read_aggregate_then(sql, move |read| {
            let _ = sender.send(read);
        });
        answer.await.unwrap_or_else(|_| Err(Unreadable::Crashed.into()))
    }
}

/// Returns the skeleton of a text; of a text that has none, one that no other text shares.
pub fn skeleton_of(sql: &str) -> Skeleton {
    skeleton(sql).unwrap_or_else(|| Skeleton { key: sql.as_bytes().to_vec(), literals: Vec::new() })
}
