//! Connections to the server, logged in as the roles of contexts and kept ready. None is ever used for two clients.
//!
//! What a client leaves behind in a session (cursors, prepared statements, settings) is somebody else's leak, so a
//! connection that was given out is never taken back: it ends with its client, and a new one is made ready in its place.

use crate::{
    login::{Account, LoginError, Server, ServerConnection, login},
    metrics::Metrics,
    scram::client::Secret,
};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::io::AsyncReadExt as _;
use vigie_policy::names::RoleName;

/// The secret from which the passwords of roles are derived: 32 random bytes, the same for all gateways of a deployment.
#[derive(Clone)]
pub struct RoleSecret([u8; 32]);

impl fmt::Debug for RoleSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RoleSecret(…)")
    }
}

impl RoleSecret {
    /// Takes 32 bytes from a good source of randomness.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the password of a role.
    pub fn password(&self, role: &str) -> String {
        let mut hmac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any length will do");
        hmac.update(b"vigie/role-password/v1\0");
        hmac.update(role.as_bytes());
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, hmac.finalize().into_bytes())
    }

    /// Returns what the server keeps to check a role's password, with a salt derived like it, so that applying a policy
    /// again changes nothing.
    pub fn verifier(&self, role: &str) -> String {
        let mut hmac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any length will do");
        hmac.update(b"vigie/role-salt/v1\0");
        hmac.update(role.as_bytes());
        let salt = hmac.finalize().into_bytes();
        crate::scram::verifier(&self.password(role), &salt[..16], 4096)
    }
}

/// Ready connections, by role.
#[derive(Debug)]
pub struct Pool {
    server: Server,
    database: String,
    secret: RoleSecret,
    warm: usize,
    roles: Mutex<HashMap<RoleName, Ready>>,
}

#[derive(Debug, Default)]
struct Ready {
    connections: Vec<ServerConnection>,
    /// Logins on their way.
    coming: usize,
    /// What proved the password last, so that the next login computes less.
    keys: Option<Secret>,
}

const UNPOISONED: &str = "nobody panics with the pool in hand";

impl Pool {
    /// Makes a pool that keeps `warm` connections ready for each role that is asked for.
    pub fn new(server: Server, database: String, secret: RoleSecret, warm: usize) -> Self {
        Self { server, database, secret, warm, roles: Mutex::default() }
    }

    /// Returns the server.
    pub fn server(&self) -> &Server {
        &self.server
    }

    fn roles(&self) -> MutexGuard<'_, HashMap<RoleName, Ready>> {
        self.roles.lock().expect(UNPOISONED)
    }

    /// Returns a connection of a role that nobody used before, and makes another ready.
    ///
    /// # Errors
    ///
    /// [`LoginError`], if none was ready and logging in fails.
    pub async fn take(self: &Arc<Self>, role: &RoleName, metrics: &Metrics) -> Result<ServerConnection, LoginError> {
        loop {
            let Some(mut connection) = self.roles().entry(role.clone()).or_default().connections.pop() else { break };
            if is_alive(&mut connection).await {
                metrics.warm.one();
                self.make_ready(role);
                return Ok(connection);
            }
        }
        metrics.cold.one();
        let connection = self.log_in(role).await;
        self.make_ready(role);
        connection
    }

    async fn log_in(&self, role: &RoleName) -> Result<ServerConnection, LoginError> {
        let password = self.secret.password(role.as_str());
        let keys = self.roles().entry(role.clone()).or_default().keys.clone();
        let account = Account {
            role: role.as_str().to_owned(),
            database: self.database.clone(),
            application_name: "vigie-gateway".to_owned(),
            secret: keys.unwrap_or(Secret::Password(password)),
        };
        let connection = login(&self.server, &account).await?;
        self.roles().entry(role.clone()).or_default().keys = Some(connection.secret.clone());
        Ok(connection)
    }

    fn make_ready(self: &Arc<Self>, role: &RoleName) {
        let missing = {
            let mut roles = self.roles();
            let ready = roles.entry(role.clone()).or_default();
            let missing = self.warm.saturating_sub(ready.connections.len() + ready.coming);
            ready.coming += missing;
            missing
        };
        for _ in 0..missing {
            let (pool, role) = (self.clone(), role.clone());
            tokio::spawn(async move {
                let connection = pool.log_in(&role).await;
                let mut roles = pool.roles();
                let ready = roles.entry(role).or_default();
                ready.coming -= 1;
                // Who needs it next logs in itself, and hears why it fails.
                ready.connections.extend(connection);
            });
        }
    }

    /// Ends the ready connections of roles that are no more.
    pub fn keep_only(&self, wanted: impl Fn(&RoleName) -> bool) {
        self.roles().retain(|role, _| wanted(role));
    }
}

/// Tells whether a connection that waited still is one: the server says nothing unasked, except that it ends.
async fn is_alive(connection: &mut ServerConnection) -> bool {
    let mut byte = [0];
    tokio::time::timeout(Duration::ZERO, connection.stream.read(&mut byte)).await.is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_of_one_role_and_verifiers_stay_the_same() {
        let secret = RoleSecret::new([3; 32]);
        assert_eq!(secret.password("a"), secret.password("a"));
        assert_ne!(secret.password("a"), secret.password("b"));
        assert_ne!(secret.password("a"), RoleSecret::new([4; 32]).password("a"));
        assert!(secret.verifier("a").starts_with("SCRAM-SHA-256$4096:"));
        assert_eq!(secret.verifier("a"), secret.verifier("a"));
    }
}
