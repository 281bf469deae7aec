//! The configuration file: one TOML file, `choices/1`, whose paths are relative to it.

use crate::banner;
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// A configuration, `schema = "choices/1"`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `choices/1`.
    pub schema: String,
    /// Where it is served.
    pub listen: SocketAddr,
    /// The file with the secret of the vault: 32 bytes in hexadecimal.
    pub secret: PathBuf,
    /// Who is answerable for the processing.
    pub controller: Controller,
    /// The database with the schema `vigie`.
    pub database: Database,
    /// Where choices are logged.
    pub ledger: Ledger,
    /// TLS; without it, only the loopback may be listened on.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Whose tokens people show.
    #[serde(default)]
    pub subjects: Option<Tokens>,
    /// Whose tokens the operator's own programs show.
    #[serde(default)]
    pub operators: Option<Tokens>,
    /// Programs that show a client certificate.
    #[serde(default)]
    pub certificate: Vec<Certificate>,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
    /// The origins of web sites whose pages may call.
    #[serde(default)]
    pub cors: Cors,
    /// The banner; none is served without it.
    #[serde(default)]
    pub banner: Option<banner::Settings>,
}

/// Who is answerable for the processing.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Controller {
    /// Its name, as people know it.
    pub name: String,
    /// How it is reached, for instance `mailto:dpo@example.org`.
    #[serde(default)]
    pub contact: String,
}

/// The database.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Its address as libpq writes it; the role is `vigie_NAME_choices`.
    pub url: String,
    /// A file with the role's password, if the address has none.
    #[serde(default)]
    pub password: Option<PathBuf>,
    /// The authority (PEM) of its certificate; needed unless it is on this machine.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// Connections, 1 to 100.
    #[serde(default = "four")]
    pub connections: usize,
}

/// The ledger and the vault.
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
    /// The folder of the vault: one for each process.
    pub vault: PathBuf,
}

/// TLS.
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
}

/// Tokens of an issuer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// What `iss` must be.
    pub issuer: String,
    /// What `aud` must be or contain.
    pub audience: String,
    /// A file with the issuer's keys (JWKS); or
    #[serde(default)]
    pub keys_file: Option<PathBuf>,
    /// the address that they are fetched from.
    #[serde(default)]
    pub keys_url: Option<String>,
    /// The authorities (PEM) of that address.
    #[serde(default)]
    pub keys_ca: Option<PathBuf>,
    /// How far the issuer's clock may be from ours, at most 60.
    #[serde(default)]
    pub skew_seconds: u32,
    /// The claim with the id.
    #[serde(default = "sub")]
    pub claim: String,
}

/// A program that shows a client certificate.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// SHA-256 of the certificate (DER), in hexadecimal, as `openssl x509 -fingerprint -sha256` prints it.
    pub sha256: String,
    /// How the program is called.
    pub name: String,
    /// What it may do: `choices:read`, `choices:write`.
    pub scopes: BTreeSet<String>,
}

/// Bounds of what callers may ask for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests a minute of one person.
    pub subject_per_minute: u32,
    /// Requests a minute of one program of the operator's.
    pub operator_per_minute: u32,
    /// Requests a minute from one address, whoever asks.
    pub address_per_minute: u32,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Connections at a time.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            subject_per_minute: 60,
            operator_per_minute: 6_000,
            address_per_minute: 6_000,
            body_bytes: 64 << 10,
            connections: 1_000,
        }
    }
}

/// Which pages may call.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cors {
    /// Origins, for instance `https://www.example.org`.
    pub origins: BTreeSet<String>,
}

fn four() -> usize {
    4
}

fn sub() -> String {
    "sub".to_owned()
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("`{path}` cannot be read")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not as it shall be.
    #[error("`{path}`: {why}")]
    Wrong {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// Reads a file as text.
pub(crate) fn read(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|source| ConfigError::File { path: path.to_owned(), source })
}

impl Config {
    /// Reads a configuration, and makes its paths absolute or relative to the working directory.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or says what cannot be meant; all that is wrong beyond its syntax is said at once.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let wrong = |why: String| ConfigError::Wrong { path: path.to_owned(), why };
        let mut config: Self = toml::from_str(&read(path)?).map_err(|error| wrong(error.to_string()))?;
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        let faults = config.faults();
        if !faults.is_empty() {
            return Err(wrong(faults.join("; ")));
        }
        config.place(folder);
        Ok(config)
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut must = |holds: bool, otherwise: &str| {
            if !holds {
                faults.push(otherwise.to_owned());
            }
        };
        must(self.schema == "choices/1", "`schema` is not `choices/1`");
        must(
            self.tls.is_some() || self.listen.ip().is_loopback(),
            "without `[tls]` only an address of the loopback can be listened on",
        );
        must(!self.controller.name.trim().is_empty(), "`controller.name` is empty");
        must(!self.controller.name.chars().any(char::is_control), "`controller.name` has control characters");
        must((1..=100).contains(&self.database.connections), "`database.connections` is not 1 to 100");
        must(self.ledger.folder.is_some() != self.ledger.url.is_some(), "`[ledger]` needs either `folder` or `url`");
        let takes_certificates = self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        must(self.certificate.is_empty() || takes_certificates, "`[[certificate]]` needs `[tls]` with `client_ca`");
        for certificate in &self.certificate {
            must(
                fingerprint(&certificate.sha256).is_some(),
                "a `sha256` of a certificate is not 64 hexadecimal digits",
            );
            let known =
                certificate.scopes.iter().all(|scope| ["choices:read", "choices:write"].contains(&scope.as_str()));
            must(known, "a scope is neither `choices:read` nor `choices:write`");
        }
        let limits = &self.limits;
        let rates = [limits.subject_per_minute, limits.operator_per_minute, limits.address_per_minute];
        must(rates.iter().all(|rate| *rate > 0) && limits.connections > 0, "a limit is 0");
        must((1024..=1 << 20).contains(&limits.body_bytes), "`limits.body_bytes` is not 1024 to 1048576");
        for origin in &self.cors.origins {
            let scheme = origin.starts_with("https://") || origin.starts_with("http://");
            let bare = origin.splitn(4, '/').count() == 3 && !origin.ends_with('/');
            must(scheme && bare, "an origin is not `https://host` or `https://host:port`");
        }
        if let Some(banner) = &self.banner {
            faults.extend(banner.faults());
        }
        faults
    }

    fn place(&mut self, folder: &Path) {
        let place = |path: &mut PathBuf| *path = folder.join(&*path);
        place(&mut self.secret);
        place(&mut self.ledger.vault);
        for path in
            [&mut self.database.password, &mut self.database.ca, &mut self.ledger.folder, &mut self.ledger.token]
        {
            path.iter_mut().for_each(place);
        }
        if let Some(tls) = &mut self.tls {
            place(&mut tls.certificate);
            place(&mut tls.key);
            tls.client_ca.iter_mut().for_each(place);
        }
        for tokens in [&mut self.subjects, &mut self.operators].into_iter().flatten() {
            tokens.keys_file.iter_mut().for_each(place);
            tokens.keys_ca.iter_mut().for_each(place);
        }
    }
}

/// Reads 32 bytes in hexadecimal; colons between them and the case do not count.
pub(crate) fn fingerprint(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text.trim().bytes().filter(|byte| *byte != b':').collect();
    let mut bytes = [0; 32];
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "schema = \"choices/1\"\nlisten = \"127.0.0.1:0\"\nsecret = \"s\"\n\
        controller = { name = \"Platform\" }\ndatabase = { url = \"host=localhost\" }\n\
        ledger = { folder = \"l\", vault = \"v\" }\n";

    fn load(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("choices.toml");
        fs::write(&path, text).unwrap();
        let shown = format!("`{}`: ", path.display());
        Config::load(&path).map_err(|error| error.to_string().replace(&shown, ""))
    }

    #[test]
    fn what_cannot_be_meant_is_said_at_once() {
        let config = load(WHOLE).unwrap();
        assert!(config.secret.is_absolute() && config.ledger.folder.unwrap().ends_with("l"));
        let text = WHOLE
            .replace("choices/1", "choices/2")
            .replace("127.0.0.1:0", "0.0.0.0:443")
            .replace("folder = \"l\", ", "")
            + "[cors]\norigins = [\"https://a.example/\"]\n[limits]\nbody_bytes = 1\n";
        let why = load(&text).unwrap_err();
        for part in ["`schema` is not", "only an address of the loopback", "needs either", "an origin", "`limits.body"]
        {
            assert!(why.contains(part), "{part}: {why}");
        }
        assert!(load(&format!("{WHOLE}nonsense = 1\n")).unwrap_err().contains("unknown field"));
    }

    #[test]
    fn a_fingerprint_is_read_as_openssl_prints_it() {
        let bytes = fingerprint(&"AB:".repeat(32)).unwrap();
        assert_eq!(bytes, [0xab; 32]);
        assert_eq!(fingerprint(&"ab".repeat(31)), None);
        assert_eq!(fingerprint(&"zz".repeat(32)), None);
    }
}
