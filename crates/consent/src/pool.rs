//! A few connections to the database, each lent to one task at a time.
//!
//! A connection that ended is replaced by a new one when somebody asks. What a task leaves behind (an open transaction, a
//! lock) ends with the connection: whoever does not say that all is well does not give it back.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::{Client, Config};
use vigie_database::{DatabaseError, TlsRoots, connect};

/// How long to wait for a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connections to one database.
#[derive(Debug)]
pub(crate) struct Pool {
    config: Config,
    roots: TlsRoots,
    idle: Mutex<Vec<Client>>,
    permits: Arc<Semaphore>,
}

/// A connection that is lent.
#[derive(Debug)]
pub(crate) struct Lent {
    client: Client,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoConnection {
    /// All are lent, for too long.
    #[error("all connections to the database are busy")]
    Busy,
    /// The database does not answer.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Pool {
    pub(crate) fn new(config: Config, roots: TlsRoots, size: usize) -> Arc<Self> {
        Arc::new(Self { config, roots, idle: Mutex::default(), permits: Arc::new(Semaphore::new(size)) })
    }

    /// Lends a connection.
    pub(crate) async fn lend(self: &Arc<Self>) -> Result<Lent, NoConnection> {
        let permit = tokio::time::timeout(PATIENCE, self.permits.clone().acquire_owned()).await;
        let permit = permit.map_err(|_| NoConnection::Busy)?.expect("nobody closes the semaphore");
        let idle = {
            let mut idle = self.idle.lock().expect("nobody panics with the list in hand");
            idle.retain(|client| !client.is_closed());
            idle.pop()
        };
        let client = match idle {
            Some(client) => client,
            None => tokio::time::timeout(PATIENCE, connect(&self.config, &self.roots))
                .await
                .map_err(|_| NoConnection::Busy)??,
        };
        Ok(Lent { client, pool: self.clone(), _permit: permit })
    }
}

impl Lent {
    /// Gives the connection back: nothing is left behind in it.
    pub(crate) fn give_back(self) {
        let Self { client, pool, _permit } = self;
        if !client.is_closed() {
            pool.idle.lock().expect("nobody panics with the list in hand").push(client);
        }
    }
}

impl Deref for Lent {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}
