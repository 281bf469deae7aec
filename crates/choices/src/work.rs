//! The work behind the stop set, and the check of all of it.

use crate::{Choices, ChoicesError, Subject, error::Doing as _, quote};
use tokio_postgres::{Client, GenericClient};

/// What [`Choices::work_off`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Rows whose mask was written.
    pub written: u64,
    /// People who are done, and out of the stop set.
    pub people_done: u64,
    /// People who still wait: for their turn, or for writers and readers from before their change to end.
    pub people_waiting: u64,
    /// The sweep for everybody is over.
    pub everybody_done: bool,
}

impl Progress {
    /// Returns whether nothing is left to do.
    pub fn is_idle(&self) -> bool {
        self.people_waiting == 0 && self.everybody_done
    }
}

/// What is not as choices and stop orders say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// The mask of a row.
    Row {
        /// The table.
        table: String,
        /// Whose row; none for a row without person.
        subject: Option<Subject>,
        /// The mask found.
        found: Option<i64>,
        /// The mask expected.
        expected: i64,
        /// Work for this person or for everybody waits: the row is behind, and the stop set covers it.
        pending: bool,
    },
    /// The bits of a person, from which the masks of new rows are made.
    Person {
        /// Who.
        subject: Subject,
    },
    /// The bits of everybody.
    Everybody,
}

impl Mismatch {
    /// Returns whether it is only a matter of work that waits.
    pub const fn is_pending(&self) -> bool {
        matches!(self, Self::Row { pending: true, .. })
    }
}

/// What holds for everybody, from purposes and orders themselves.
const EVERYBODY: &str = "SELECT
    coalesce((SELECT bit_or(1::bigint << p.bit) FROM vigie.purpose p WHERE p.initial AND NOT p.retired), 0) AS initial,
    coalesce((SELECT bit_or(vigie.bits_of(o.purpose)) FROM vigie.stop_order o
              WHERE o.subject IS NULL AND o.lifted_at IS NULL), 0)
    | coalesce((SELECT bit_or(1::bigint << p.bit) FROM vigie.purpose p WHERE p.retired), 0) AS barred";

impl Choices {
    /// Takes the next steps for at most `limit` people, and for `limit` rows of the sweep for everybody; each step is a
    /// transaction. Any number of workers may do so at once.
    ///
    /// Nobody leaves the stop set in the call in which his rows were written: first all that read the old rows must end.
    ///
    /// # Errors
    ///
    /// What the server says; steps that were committed stay.
    pub async fn work_off(&self, client: &mut Client, limit: u32) -> Result<Progress, ChoicesError> {
        let doing = "working off changes of choices";
        let limit = i32::try_from(limit.max(1)).unwrap_or(i32::MAX);
        client.execute("SELECT vigie.work_mark($1)", &[&limit]).await.doing(doing)?;
        let sql = "SELECT written, over FROM vigie.work_people($1)";
        let row = client.query_one(sql, &[&limit]).await.doing(doing)?;
        let (mut written, over): (i64, i64) = (row.get(0), row.get(1));
        let sql = "SELECT written, phase FROM vigie.work_everybody($1)";
        let row = client.query_one(sql, &[&limit]).await.doing(doing)?;
        written += row.get::<_, i64>(0);
        let everybody_done = row.get::<_, &str>(1) == "idle";
        let waiting: i64 = client.query_one("SELECT count(*) FROM vigie.fanout", &[]).await.doing(doing)?.get(0);
        Ok(Progress {
            written: written as u64,
            people_done: over as u64,
            people_waiting: waiting as u64,
            everybody_done,
        })
    }

    /// Recalculates everything from choices and orders: the bits of all people, then every mask, in batches of `limit`.
    /// Returns how many masks were written. The steps behind the stop set follow by [`Choices::work_off`].
    ///
    /// # Errors
    ///
    /// What the server says; batches that were committed stay.
    pub async fn rebuild(&self, client: &mut Client, limit: u32) -> Result<u64, ChoicesError> {
        let doing = "rebuilding the masks";
        let limit = i32::try_from(limit.max(1)).unwrap_or(i32::MAX);
        let subject_type = self.subject_type().as_sql();
        let sql = format!("SELECT vigie.rebuild_people($1::text::{subject_type}, $2)::text");
        let mut reached: Option<String> = None;
        loop {
            reached = client.query_one(&sql, &[&reached, &limit]).await.doing(doing)?.get(0);
            if reached.is_none() {
                break;
            }
        }
        client.execute("SELECT vigie.rebuild_everybody()", &[]).await.doing(doing)?;
        let mut written = 0;
        let tables = client.query("SELECT id FROM vigie.governed ORDER BY id", &[]).await.doing(doing)?;
        let sql = format!(
            "SELECT reached::text, written, done
                           FROM vigie.sweep_stretch($1, $2::text::{subject_type}, $3)"
        );
        for table in tables {
            let id: i32 = table.get(0);
            let mut reached: Option<String> = None;
            loop {
                let row = client.query_one(&sql, &[&id, &reached, &limit]).await.doing(doing)?;
                reached = row.get(0);
                written += row.get::<_, i64>(1) as u64;
                // Rows that somebody has locked are left to the sweep.
                if row.get(2) {
                    break;
                }
            }
        }
        Ok(written)
    }

    /// Looks at every governed row, and returns those whose mask is not what choices and stop orders say, at most `limit`
    /// of each table, in order of the tables. All in one snapshot.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub async fn check(&self, client: &mut Client, limit: u32) -> Result<Vec<Mismatch>, ChoicesError> {
        let doing = "checking the masks";
        let limit = i64::from(limit);
        let subject_type = self.subject_type().as_sql();
        let transaction = client
            .build_transaction()
            .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .await
            .doing(doing)?;
        transaction.batch_execute("SET LOCAL row_security = off").await.doing(doing)?;
        let sweeping = "SELECT phase <> 'idle' FROM vigie.sweep";
        let sweeping: bool = transaction.query_one(sweeping, &[]).await.doing(doing)?.get(0);
        let mut mismatches = Vec::new();
        let sql = "SELECT coalesce(m.subject, s.subject)::text
                   FROM vigie.subject_mask m FULL JOIN vigie.subject_said s ON s.subject = m.subject
                   WHERE (coalesce(m.given, 0), coalesce(m.refused, 0), coalesce(m.ordered, 0))
                       IS DISTINCT FROM (coalesce(s.given, 0), coalesce(s.refused, 0), coalesce(s.ordered, 0))
                   LIMIT $1";
        for row in transaction.query(sql, &[&limit]).await.doing(doing)? {
            mismatches.push(Mismatch::Person { subject: Subject::spelled(row.get(0)) });
        }
        let sql = format!(
            "SELECT (e.initial, e.barred) IS DISTINCT FROM (said.initial, said.barred)
                           FROM vigie.everybody e, ({EVERYBODY}) said"
        );
        if transaction.query_one(&sql, &[]).await.doing(doing)?.get(0) {
            mismatches.push(Mismatch::Everybody);
        }
        let sql = "SELECT n.nspname::text, c.relname::text, g.subject_column::text, g.mask_column::text
                   FROM vigie.governed g JOIN pg_class c ON c.oid = g.relation JOIN pg_namespace n ON n.oid = c.relnamespace
                   ORDER BY 1, 2";
        for row in transaction.query(sql, &[]).await.doing(doing)? {
            let [schema, name, subject, mask]: [String; 4] = std::array::from_fn(|column| row.get(column));
            let (subject, mask) = (quote(&subject), quote(&mask));
            // From the choices and orders themselves, not from what the triggers read.
            let sql = format!(
                "SELECT r.{subject}::text, r.{mask}, t.truth,
                        EXISTS (SELECT FROM vigie.fanout f WHERE f.subject = r.{subject}::{subject_type})
                 FROM {}.{} r
                 CROSS JOIN ({EVERYBODY}) e
                 LEFT JOIN vigie.subject_said s ON s.subject = r.{subject}::{subject_type}
                 CROSS JOIN LATERAL (SELECT CASE WHEN r.{subject} IS NULL THEN 0 ELSE
                     ((e.initial | coalesce(s.given, 0)) & ~(coalesce(s.refused, 0) | coalesce(s.ordered, 0))) & ~e.barred
                     END AS truth) t
                 WHERE r.{mask} IS DISTINCT FROM t.truth LIMIT $1",
                quote(&schema),
                quote(&name)
            );
            for row in transaction.query(&sql, &[&limit]).await.doing(doing)? {
                mismatches.push(Mismatch::Row {
                    table: format!("{schema}.{name}"),
                    subject: row.get::<_, Option<String>>(0).map(Subject::spelled),
                    found: row.get(1),
                    expected: row.get(2),
                    pending: sweeping || row.get(3),
                });
            }
        }
        transaction.commit().await.doing(doing)?;
        Ok(mismatches)
    }

    /// Returns the tables whose masks were not all written since they are governed.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub async fn unready(&self, client: &impl GenericClient) -> Result<Vec<String>, ChoicesError> {
        let sql = "SELECT relation::text FROM vigie.governed WHERE NOT ready ORDER BY 1";
        let rows = client.query(sql, &[]).await.doing("reading which tables are ready")?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}
