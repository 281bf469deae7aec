//! The stop set, as gateways read it: once whole, and from then on by its changes.
//!
//! Changes are numbered at commit and in the order of commits: whoever has seen a number has seen all below it. A
//! notification on the channel [`CHANNEL`] says that there is something new; it carries the number, and is never believed.
//!
//! What leaves the stop set has left the rows too, for every snapshot *of the database*. Rows that a gateway has already
//! received may be older: it applies a change that takes bits out only to statements it starts afterwards.

use crate::{Choices, ChoicesError, Subject, error::Doing as _};
use std::{collections::BTreeMap, time::SystemTime};
use tokio_postgres::GenericClient;

/// The channel on which changes are notified.
pub const CHANNEL: &str = "vigie_stop";

/// The stop set at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StopSet {
    /// The number up to which all changes are contained.
    pub seq: i64,
    /// The bits that are stopped of everybody.
    pub everybody: i64,
    /// The bits that are stopped of single persons; never 0.
    pub people: BTreeMap<Subject, i64>,
}

/// A change of the stop set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopChange {
    /// Its number.
    pub seq: i64,
    /// Of whom; none for everybody.
    pub subject: Option<Subject>,
    /// The bits that are stopped from then on, instead of those before; 0 for none.
    pub bits: i64,
    /// When, by the clock of the server.
    pub at: SystemTime,
}

impl StopSet {
    /// Applies the next change.
    pub fn apply(&mut self, change: StopChange) {
        self.seq = self.seq.max(change.seq);
        match change.subject {
            None => self.everybody = change.bits,
            Some(subject) if change.bits == 0 => {
                self.people.remove(&subject);
            }
            Some(subject) => {
                self.people.insert(subject, change.bits);
            }
        }
    }

    /// Returns the bits of a mask that are left for a person.
    pub fn leaves(&self, subject: &Subject, mask: i64) -> i64 {
        mask & !(self.everybody | self.people.get(subject).copied().unwrap_or(0))
    }
}

impl Choices {
    /// Reads the stop set whole, in one snapshot.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub async fn stop_set(&self, client: &impl GenericClient) -> Result<StopSet, ChoicesError> {
        let sql = "SELECT seq, subject::text, bits FROM vigie.stop_set()";
        let mut set = StopSet::default();
        for row in client.query(sql, &[]).await.doing("reading the stop set")? {
            set.seq = row.get(0);
            let bits: i64 = row.get(2);
            match row.get::<_, Option<String>>(1) {
                None => set.everybody = bits,
                Some(subject) => {
                    set.people.insert(Subject::spelled(subject), bits);
                }
            }
        }
        Ok(set)
    }

    /// Reads the changes after a number, in order, at most `limit` of them.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub async fn stop_set_since(
        &self,
        client: &impl GenericClient,
        seq: i64,
        limit: u32,
    ) -> Result<Vec<StopChange>, ChoicesError> {
        let sql = "SELECT seq, subject::text, bits, at FROM vigie.stop_set_since($1, $2)";
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let rows = client.query(sql, &[&seq, &limit]).await.doing("following the stop set")?;
        let change = |row: &tokio_postgres::Row| StopChange {
            seq: row.get(0),
            subject: row.get::<_, Option<String>>(1).map(Subject::spelled),
            bits: row.get(2),
            at: row.get(3),
        };
        Ok(rows.iter().map(change).collect())
    }
}
