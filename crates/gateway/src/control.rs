//! The gateway's own connection to the database: the stop set, tickets, budgets, and the ids of what the policy names.
//!
//! It follows the stop set for as long as the gateway runs, and connects again when it must; while it cannot, the stop set
//! grows old, and nothing leaves. So a database that is lost stops the gateway, and not the other way round.

use crate::{
    stop::{Change, StopSet},
    view::{Known, KnownColumn, Unique},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, RwLock},
    time::{Duration, Instant},
};
use tokio::sync::Notify;
use tokio_postgres::Client;
use vigie_choices::{Choices, ChoicesError, Ticket};
use vigie_database::{DatabaseError, TlsRoots, connect_hearing};
use vigie_policy::names::{ColumnName, TableName};

/// How often the stop set is asked for when nothing is notified.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How long to wait before connecting again.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// Changes asked for at once.
const CHANGES_AT_ONCE: u32 = 10_000;

/// Why the database could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is no connection just now.
    #[error("the gateway has no connection to the database of its own just now")]
    Away,
    /// It cannot be connected to.
    #[error("the gateway could not connect to the database as `{role}`")]
    Connect {
        /// The role.
        role: String,
        /// Why.
        #[source]
        source: DatabaseError,
    },
    /// It did not answer as it should.
    #[error("the database could not be asked")]
    Ask(#[source] tokio_postgres::Error),
    /// The schema of choices did not.
    #[error("choices could not be asked")]
    Choices(#[from] ChoicesError),
}

impl ControlError {
    /// Returns the way out, where there is one to tell.
    pub fn help(&self) -> Option<String> {
        let fixed = match self {
            Self::Away => "try again in a moment",
            Self::Connect { source, .. } => {
                let refused = match source {
                    DatabaseError::Connect { source, .. } => source.as_db_error(),
                    _ => None,
                };
                match refused {
                    Some(error) if error.code().code().starts_with("28") => {
                        "run `vigie policy apply` with the secret of this gateway: the role's password follows from it; and see `pg_hba.conf`"
                    }
                    _ => return source.help(),
                }
            }
            Self::Ask(_) => return None,
            Self::Choices(error) => return error.help(),
        };
        Some(fixed.to_owned())
    }
}

/// The connection, and what follows it.
#[derive(Debug)]
pub struct Control {
    config: tokio_postgres::Config,
    roots: TlsRoots,
    role: String,
    now: RwLock<Option<Connected>>,
}

#[derive(Debug, Clone)]
struct Connected {
    client: Arc<Client>,
    choices: Choices,
    notified: Arc<Notify>,
}

impl Control {
    /// Connects: by TLS if there are authorities to check the server by.
    ///
    /// # Errors
    ///
    /// [`ControlError`], also if the schema of choices is not installed.
    pub async fn connect(config: tokio_postgres::Config, roots: TlsRoots) -> Result<Self, ControlError> {
        let role = config.get_user().unwrap_or_default().to_owned();
        let control = Self { config, roots, role, now: RwLock::new(None) };
        let connected = control.dial().await?;
        *control.now.write().expect("nobody panics with it in hand") = Some(connected);
        Ok(control)
    }

    async fn dial(&self) -> Result<Connected, ControlError> {
        let refused = |source| ControlError::Connect { role: self.role.clone(), source };
        let notified = Arc::new(Notify::new());
        let bell = notified.clone();
        let client = connect_hearing(&self.config, &self.roots, move || bell.notify_one()).await.map_err(refused)?;
        let choices = Choices::open(&client).await?;
        client.batch_execute(&format!("LISTEN {}", vigie_choices::CHANNEL)).await.map_err(ControlError::Ask)?;
        Ok(Connected { client: Arc::new(client), choices, notified })
    }

    fn connected(&self) -> Result<Connected, ControlError> {
        let now = self.now.read().expect("nobody panics with it in hand").clone();
        now.filter(|connected| !connected.client.is_closed()).ok_or(ControlError::Away)
    }

    /// Tells whether the connection is up.
    pub fn is_up(&self) -> bool {
        self.connected().is_ok()
    }

    /// Asks for the whole stop set, so that rows may leave from the first moment on.
    ///
    /// # Errors
    ///
    /// [`ControlError`].
    pub async fn begin(&self, stops: &StopSet) -> Result<(), ControlError> {
        self.step(stops, true).await.map(|_| ())
    }

    /// Returns how many uses of break-glass nobody reviewed within 24 hours (DA-09).
    ///
    /// # Errors
    ///
    /// [`ControlError`].
    pub async fn overdue_reviews(&self) -> Result<usize, ControlError> {
        let connected = self.connected()?;
        Ok(connected.choices.overdue_reviews(&*connected.client).await?.len())
    }

    /// Follows the stop set until it is dropped.
    pub async fn follow(&self, stops: &StopSet) {
        let mut whole = true;
        loop {
            if let Ok(more) = self.step(stops, whole).await {
                whole = false;
                if !more && let Ok(connected) = self.connected() {
                    // Whichever comes first; a notification that was missed costs half a second.
                    let _ = tokio::time::timeout(ASK_EVERY, connected.notified.notified()).await;
                }
                continue;
            }
            // Nobody is told here: the set grows old, and sessions say why nothing leaves.
            tokio::time::sleep(AGAIN_AFTER).await;
            if self.connected().is_err()
                && let Ok(connected) = self.dial().await
            {
                *self.now.write().expect("nobody panics with it in hand") = Some(connected);
                whole = true;
            }
        }
    }

    /// Asks once; tells whether there may be more.
    async fn step(&self, stops: &StopSet, whole: bool) -> Result<bool, ControlError> {
        let connected = self.connected()?;
        let asked = Instant::now();
        if whole {
            let set = connected.choices.stop_set(&*connected.client).await?;
            let people: Vec<(Vec<u8>, u64)> = set
                .people
                .into_iter()
                .map(|(subject, bits)| (subject.as_str().as_bytes().to_vec(), bits.cast_unsigned()))
                .collect();
            stops.replace(set.everybody.cast_unsigned(), &people, set.seq, asked);
            return Ok(false);
        }
        let changes = connected.choices.stop_set_since(&*connected.client, stops.seq(), CHANGES_AT_ONCE).await?;
        let more = changes.len() >= CHANGES_AT_ONCE as usize;
        let changes: Vec<Change> = changes
            .into_iter()
            .map(|change| Change {
                seq: change.seq,
                subject: change.subject.map(|subject| subject.as_str().as_bytes().to_vec()),
                bits: change.bits.cast_unsigned(),
            })
            .collect();
        stops.apply(&changes, asked);
        Ok(more)
    }

    /// Returns the tickets that are valid now for somebody and a purpose.
    ///
    /// # Errors
    ///
    /// [`ControlError`].
    pub async fn tickets(&self, requester: &str, purpose: &str) -> Result<Vec<Ticket>, ControlError> {
        let connected = self.connected()?;
        Ok(connected.choices.valid_tickets(&*connected.client, requester, purpose).await?)
    }

    /// Spends from a reader's budget of today for a dataset; tells whether there was enough.
    ///
    /// # Errors
    ///
    /// [`ControlError`]; whether it was spent is not known then.
    pub async fn spend(&self, reader: &str, dataset: &str, cost: i64, limit: i64) -> Result<bool, ControlError> {
        let connected = self.connected()?;
        let spent = connected.choices.spend_budget(&*connected.client, reader, dataset, cost, limit).await?;
        Ok(spent.is_some())
    }

    /// Returns the views of roles with this prefix, with the ids that the database gave them and their columns.
    ///
    /// # Errors
    ///
    /// [`ControlError`].
    pub async fn known(&self, role_prefix: &str) -> Result<Vec<Known>, ControlError> {
        let sql = "SELECT c.oid, n.nspname::text, c.relname::text, a.attnum, a.attname::text,
                          t.typname::text
                   FROM pg_catalog.pg_class c
                   JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                   JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
                   JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
                   WHERE c.relkind = 'v' AND starts_with(n.nspname::text, $1) AND a.attnum > 0 AND NOT a.attisdropped
                   ORDER BY c.oid, a.attnum";
        let connected = self.connected()?;
        let rows = connected.client.query(sql, &[&role_prefix]).await.map_err(ControlError::Ask)?;
        let mut found = BTreeMap::<u32, Known>::new();
        for row in rows {
            let oid: u32 = row.get(0);
            let (Ok(name), Ok(column)) =
                (TableName::new(row.get(1), row.get(2)), ColumnName::new(row.get::<_, String>(4)))
            else {
                continue;
            };
            let known = found.entry(oid).or_insert(Known { oid, name, columns: Vec::new(), prefix_operators: true });
            let kind: String = row.get(5);
            known.prefix_operators &= !["citext", "bytea"].contains(&kind.as_str());
            known.columns.push(KnownColumn { number: row.get(3), name: column, kind });
        }
        Ok(found.into_values().collect())
    }

    /// Returns the columns that hold no value twice, by unique indexes of one column.
    ///
    /// # Errors
    ///
    /// [`ControlError`].
    pub async fn unique(&self) -> Result<Vec<Unique>, ControlError> {
        let sql = "SELECT n.nspname::text, c.relname::text, a.attname::text
                   FROM pg_catalog.pg_index i
                   JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
                   JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                   JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
                   WHERE i.indisunique AND i.indisvalid AND i.indnkeyatts = 1 AND i.indpred IS NULL AND i.indexprs IS NULL";
        let connected = self.connected()?;
        let rows = connected.client.query(sql, &[]).await.map_err(ControlError::Ask)?;
        let unique = rows.iter().filter_map(|row| {
            let table = TableName::new(row.get(0), row.get(1)).ok()?;
            Some(Unique { table, column: ColumnName::new(row.get::<_, String>(2)).ok()? })
        });
        Ok(unique.collect())
    }
}
