//! The configuration file of a gateway: one TOML file, whose paths are relative to it.
//!
//! Out of scope: reading the files that it names (`open` in `server`), and what a policy says (`policy`).

use crate::{
    identity::token,
    place::{Network, UnknownNetwork},
};
use serde::Deserialize;
use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// A gateway's configuration, `schema = "gateway/1"`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `gateway/1`.
    pub schema: String,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where health, metrics and explanations are served; nowhere without it.
    #[serde(default)]
    pub admin: Option<SocketAddr>,
    /// A file with the token that explanations, reports and erasures are asked for with; without one, only programs on
    /// this machine may ask, and all of them.
    #[serde(default)]
    pub admin_token: Option<PathBuf>,
    /// The file with the gateway's secret: 32 bytes in hexadecimal. All gateways of a deployment share it.
    pub secret: PathBuf,
    /// The file with the keys of sealed cells, needed if the data map seals columns. All gateways of a deployment share it.
    #[serde(default)]
    pub seal_keys: Option<PathBuf>,
    /// The database.
    pub server: Server,
    /// TLS towards clients; without it, only the loopback may be listened on.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Who may read what.
    pub policy: PolicyFiles,
    /// Who there is.
    pub people: People,
    /// Where accesses are logged.
    pub ledger: Ledger,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
    /// How aggregates are protected.
    #[serde(default)]
    pub aggregates: Aggregates,
}

/// The database behind the gateway.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Host name or address, or the folder of a Unix socket if it begins with a slash.
    pub host: String,
    /// Port.
    #[serde(default = "five_four_three_two")]
    pub port: u16,
    /// The database; the only one that the gateway serves.
    pub database: String,
    /// A certificate of the authority that the server's certificate is checked against; without one, no TLS, which is
    /// for the loopback and Unix sockets.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// The role of the gateway's own connection, which reads tickets and stop orders.
    pub control_role: String,
    /// A file with that role's password; the role's own, derived from the secret, without it.
    #[serde(default)]
    pub control_password: Option<PathBuf>,
    /// Lets a server connect without asking for a password. For tests.
    #[serde(default)]
    pub trust: bool,
}

/// TLS towards clients.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain, in PEM.
    pub certificate: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
    /// The authority of client certificates, in PEM; none are asked for without it.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
    /// Whether clients must show one.
    #[serde(default)]
    pub client_certificates_required: bool,
}

/// The files of a policy.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyFiles {
    /// The data map.
    pub map: PathBuf,
    /// The zones of readers.
    pub zones: PathBuf,
    /// The folder of Cedar policies (`*.cedar`).
    pub cedar: PathBuf,
}

/// Who there is, and how they prove it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct People {
    /// The HR record.
    pub file: PathBuf,
    /// The identity provider, whose tokens are taken as passwords.
    #[serde(default)]
    pub oidc: Option<token::Settings>,
    /// Networks with their countries, which may only tighten what the record says.
    #[serde(default)]
    pub network: Vec<Network>,
    /// What an address in none of them means: `deny` or `allow`.
    #[serde(default)]
    pub unknown_network: UnknownNetwork,
}

/// Where accesses are logged and what opens them is kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// The ledger's folder, written by this process; or
    #[serde(default)]
    pub folder: Option<PathBuf>,
    /// the address of a ledger that another process writes.
    #[serde(default)]
    pub url: Option<String>,
    /// A file with the token that it asks for.
    #[serde(default)]
    pub token: Option<PathBuf>,
    /// The folder of the vault: one for each gateway.
    pub vault: PathBuf,
    /// Whether the address of a client is part of what is recorded.
    #[serde(default)]
    pub client_address: bool,
}

/// Bounds of what clients may ask for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Clients at a time.
    pub max_sessions: usize,
    /// Clients at a time of one person or service.
    pub max_sessions_each: usize,
    /// Bytes of a client's message.
    pub max_message_bytes: usize,
    /// Seconds that a statement may take.
    pub statement_seconds: u32,
    /// Seconds that a transaction may last, and its snapshot with it.
    pub transaction_seconds: u32,
    /// Seconds that a client may take to say who it is.
    pub login_seconds: u32,
    /// Seconds that a client may say nothing within a transaction.
    pub idle_in_transaction_seconds: u32,
    /// Rows of one statement; 0 for any number.
    pub max_rows: u64,
    /// Connections kept ready for each context.
    pub warm: usize,
    /// Seconds after which a stop set that was not heard of is not believed.
    pub stop_set_seconds: u32,
    /// Processes that read statements.
    pub readers: usize,
}

/// How aggregates are protected (DA-12).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Aggregates {
    /// Least people in a cell.
    pub min_cohort: u8,
    /// Largest share of a sum that one person may make up, in percent.
    pub dominance_percent: u8,
    /// Adds cell-key noise to counts.
    pub noise: bool,
    /// Queries a reader may ask of one dataset in a day.
    pub queries_a_day: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_sessions: 1000,
            max_sessions_each: 100,
            max_message_bytes: 1024 * 1024,
            statement_seconds: 60,
            transaction_seconds: 900,
            login_seconds: 15,
            idle_in_transaction_seconds: 300,
            max_rows: 0,
            warm: 2,
            stop_set_seconds: 10,
            readers: 2,
        }
    }
}

impl Default for Aggregates {
    fn default() -> Self {
        Self { min_cohort: 10, dominance_percent: 80, noise: true, queries_a_day: 500 }
    }
}

impl Limits {
    /// Returns how long the stop set is believed.
    pub fn stop_set_age(&self) -> Duration {
        Duration::from_secs(self.stop_set_seconds.into())
    }
}

fn five_four_three_two() -> u16 {
    5432
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration `{path}` cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("configuration `{path}` is not understood: {why}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Where and why.
        why: String,
    },
}

impl Config {
    /// Reads a configuration; paths in it are made relative to its folder.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        Self::parse(&text, folder).map_err(|why| ConfigError::Wrong { path: path.to_owned(), why })
    }

    fn parse(text: &str, folder: &Path) -> Result<Self, String> {
        let mut config: Self = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        if config.schema != "gateway/1" {
            return Err(format!("it has schema `{}`, this program reads `gateway/1`", config.schema));
        }
        match (&config.ledger.folder, &config.ledger.url) {
            (Some(_), Some(_)) => {
                return Err("`ledger` has both a `folder` and a `url`; one of them is right".to_owned());
            }
            (None, None) => {
                return Err("`ledger` needs a `folder` or a `url`: nothing is read that is not logged".to_owned());
            }
            _ => {}
        }
        if config.people.oidc.is_some() && config.tls.is_none() {
            return Err(
                "`people.oidc` needs `tls`: a token that can be overheard is a password for everybody".to_owned()
            );
        }
        if config.tls.is_none() && !config.listen.ip().is_loopback() {
            return Err(format!("`listen` is {}, which is not the loopback, and there is no `tls`", config.listen));
        }
        let is_local = config.server.host.starts_with('/')
            || ["localhost", "127.0.0.1", "::1"].contains(&config.server.host.as_str());
        if config.server.ca.is_none() && !is_local {
            return Err(format!(
                "`server.host` is `{}`, which is elsewhere, and there is no `server.ca`",
                config.server.host
            ));
        }
        let paths = [
            Some(&mut config.secret),
            config.seal_keys.as_mut(),
            config.admin_token.as_mut(),
            config.server.ca.as_mut(),
            config.server.control_password.as_mut(),
            Some(&mut config.policy.map),
            Some(&mut config.policy.zones),
            Some(&mut config.policy.cedar),
            Some(&mut config.people.file),
            config.ledger.folder.as_mut(),
            config.ledger.token.as_mut(),
            Some(&mut config.ledger.vault),
        ];
        paths.into_iter().flatten().for_each(|path| *path = folder.join(&*path));
        if let Some(oidc) = &mut config.people.oidc {
            let paths = [oidc.keys_file.as_mut(), oidc.keys_ca.as_mut()];
            paths.into_iter().flatten().for_each(|path| *path = folder.join(&*path));
        }
        if let Some(tls) = &mut config.tls {
            let paths = [Some(&mut tls.certificate), Some(&mut tls.key), tls.client_ca.as_mut()];
            paths.into_iter().flatten().for_each(|path| *path = folder.join(&*path));
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        schema = "gateway/1"
        listen = "127.0.0.1:6432"
        secret = "gateway.secret"
        [server]
        host = "127.0.0.1"
        database = "platform"
        control_role = "vigie_platform_control"
        [policy]
        map = "map.toml"
        zones = "zones.toml"
        cedar = "policies"
        [people]
        file = "/etc/people.toml"
        [ledger]
        folder = "accesses"
        vault = "vault"
    "#;

    fn why(text: &str) -> String {
        Config::parse(text, Path::new("/etc/vigie")).expect_err("it is wrong")
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let config = Config::parse(GOOD, Path::new("/etc/vigie")).expect("it is right");
        assert_eq!(config.policy.map, Path::new("/etc/vigie/map.toml"));
        assert_eq!(config.people.file, Path::new("/etc/people.toml"));
        assert_eq!((config.server.port, config.limits.warm), (5432, 2));
    }

    #[test]
    fn what_would_be_unsafe_is_refused() {
        assert!(why(&GOOD.replace("127.0.0.1:6432", "0.0.0.0:6432")).contains("there is no `tls`"));
        assert!(why(&GOOD.replace("host = \"127.0.0.1\"", "host = \"db.example\"")).contains("no `server.ca`"));
        assert!(why(&GOOD.replace("folder = \"accesses\"", "")).contains("nothing is read that is not logged"));
        assert!(why(&GOOD.replace("[ledger]", "[ledger]\nurl = \"http://l\"")).contains("both"));
        let oidc = "[people]\noidc = { issuer = \"https://idp.example\", audience = \"vigie\", keys_file = \"keys\" }";
        assert!(why(&GOOD.replace("[people]", oidc)).contains("`people.oidc` needs `tls`"));
        assert!(why(&GOOD.replace("secret =", "secrets =")).contains("line 4"));
        assert!(why(&GOOD.replace("gateway/1", "gateway/2")).contains("this program reads `gateway/1`"));
    }
}
