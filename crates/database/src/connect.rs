//! Connections to the database: plain on this machine, by TLS to anywhere else.
//!
//! Whatever the address says of `sslmode`, a server elsewhere is asked for TLS and a certificate for its name from an
//! authority that the operator named. There is no list of public authorities: a database is no web site.

use crate::DatabaseError;
use rustls::{
    ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::ServerName, pki_types::pem::PemObject as _,
};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use std::{
    future::{Future, poll_fn},
    io,
    net::IpAddr,
    path::Path,
    pin::Pin,
    str::FromStr as _,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::{
    AsyncMessage, Client, Config, Connection, NoTls,
    config::{Host, SslMode},
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream},
};
use tokio_rustls::{TlsConnector, client};

/// The authorities that vouch for the database.
#[derive(Debug, Clone, Default)]
pub struct TlsRoots(Option<Arc<RootCertStore>>);

impl TlsRoots {
    /// Reads authorities from a file of certificates in PEM.
    ///
    /// # Errors
    ///
    /// [`DatabaseError::Roots`] if the file cannot be read, or has none.
    pub fn read(path: &Path) -> Result<Self, DatabaseError> {
        let failed = |why: String| DatabaseError::Roots { path: path.display().to_string(), why };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))? {
            let certificate = certificate.map_err(|error| failed(error.to_string()))?;
            roots.add(certificate).map_err(|error| failed(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(failed("there is none".into()));
        }
        Ok(Self(Some(Arc::new(roots))))
    }
}

/// Reads the address of a database, as libpq writes it. A password that it lacks is taken from `PGPASSWORD`, if given.
///
/// # Errors
///
/// [`DatabaseError::Address`].
pub fn parse_address(address: &str, password: Option<&str>) -> Result<Config, DatabaseError> {
    let mut config = Config::from_str(address).map_err(|error| {
        // The cause names the key; the address itself may hold a password.
        DatabaseError::Address(std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string))
    })?;
    if let (None, Some(password)) = (config.get_password(), password) {
        config.password(password);
    }
    if config.get_application_name().is_none() {
        config.application_name("vigie");
    }
    Ok(config)
}

/// Connects. The connection runs as a task of the runtime, and ends when the client is dropped.
///
/// # Errors
///
/// [`DatabaseError::Untrusted`] for a server elsewhere without authorities, [`DatabaseError::Connect`] otherwise.
pub async fn connect(config: &Config, roots: &TlsRoots) -> Result<Client, DatabaseError> {
    connect_hearing(config, roots, || {}).await
}

/// Connects, and rings a bell whenever the server notifies of something, and once when the connection has ended.
///
/// # Errors
///
/// As [`connect`].
pub async fn connect_hearing(
    config: &Config,
    roots: &TlsRoots,
    bell: impl Fn() + Send + 'static,
) -> Result<Client, DatabaseError> {
    let mut config = config.clone();
    let failed = |source| DatabaseError::Connect { host: described(&config), source };
    let Some(roots) = &roots.0 else {
        if !is_here(&config) {
            return Err(DatabaseError::Untrusted(described(&config)));
        }
        let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
        tokio::spawn(carry(connection, bell));
        return Ok(client);
    };
    if config.get_ssl_mode() != SslMode::Disable || !is_here(&config) {
        config.ssl_mode(SslMode::Require);
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has suites for the default versions")
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    let host = described(&config);
    let connected = config.connect(Rustls(Arc::new(tls))).await;
    let (client, connection) = connected.map_err(|source| DatabaseError::Connect { host, source })?;
    tokio::spawn(carry(connection, bell));
    Ok(client)
}

/// Carries messages until the connection ends.
async fn carry<S, T>(mut connection: Connection<S, T>, bell: impl Fn())
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        if matches!(message, AsyncMessage::Notification(_)) {
            bell();
        }
    }
    bell();
}

/// Whether all hosts are this machine.
fn is_here(config: &Config) -> bool {
    let named = config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
    });
    named && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

fn described(config: &Config) -> String {
    let name = |host: &Host| match host {
        Host::Unix(path) => path.display().to_string(),
        Host::Tcp(name) => name.clone(),
    };
    let hosts: Vec<String> = config.get_hosts().iter().map(name).collect();
    let ports: Vec<String> = config.get_ports().iter().map(ToString::to_string).collect();
    format!("{}:{}", hosts.join(","), if ports.is_empty() { "5432".to_owned() } else { ports.join(",") })
}

/// TLS by rustls, for tokio-postgres.
#[derive(Clone)]
struct Rustls(Arc<ClientConfig>);

struct Handshake {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

struct Stream<S>(client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Rustls {
    type Stream = Stream<S>;
    type TlsConnect = Handshake;
    type Error = rustls::pki_types::InvalidDnsNameError;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Handshake, Self::Error> {
        Ok(Handshake { config: self.0.clone(), name: ServerName::try_from(domain)?.to_owned() })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Handshake {
    type Stream = Stream<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move { TlsConnector::from(self.config).connect(self.name, stream).await.map(Stream) })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Stream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        let certificate = self.0.get_ref().1.peer_certificates().and_then(<[_]>::first);
        match certificate.and_then(|certificate| end_point(certificate)) {
            Some(hash) => ChannelBinding::tls_server_end_point(hash),
            None => ChannelBinding::none(),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// Hashes a certificate by the hash of its own signature, where that is one of SHA-2; MD5 and SHA-1 count as SHA-256.
///
/// None for a signature that names no such hash, such as Ed25519: then there is no channel binding.
///
/// # Source
///
/// RFC 5929, section 4.1; the identifiers: RFC 4055, section 5, and RFC 5758, section 3.2.
fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (whole, _) = element(certificate)?;
    let (_, rest) = element(whole)?;
    let (algorithm, _) = element(rest)?;
    let (identifier, _) = element(algorithm)?;
    const RSA: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA_SHA2: [u8; 7] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
    let (family, last) = identifier.split_at_checked(identifier.len().checked_sub(1)?)?;
    match (family == RSA, family == ECDSA_SHA2, last[0]) {
        (true, _, 4 | 5 | 11) | (_, true, 2) => Some(Sha256::digest(certificate).to_vec()),
        (true, _, 12) | (_, true, 3) => Some(Sha384::digest(certificate).to_vec()),
        (true, _, 13) | (_, true, 4) => Some(Sha512::digest(certificate).to_vec()),
        _ => None,
    }
}

/// Splits the content of the first element of DER from what follows it.
fn element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.get(1..)?.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_elsewhere_is_told_from_this_machine() {
        let check = |address: &str, expected: bool| {
            assert_eq!(is_here(&parse_address(address, None).unwrap()), expected, "{address}");
        };
        check("host=127.0.0.1 user=x", true);
        check("host=localhost user=x", true);
        check("host=::1 user=x", true);
        check("host=/run/postgresql user=x", true);
        check("host=db.platform.example user=x", false);
        check("host=localhost hostaddr=192.0.2.1 user=x", false);
        check("host=127.0.0.1,192.0.2.1 user=x", false);
    }

    #[test]
    fn an_address_that_cannot_be_read_is_not_repeated() {
        let error = parse_address("host=db password=secret nonsense=1", None).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
        assert!(error.to_string().contains("nonsense"), "{error}");
    }

    #[test]
    fn der_that_ends_early_has_no_binding() {
        for length in 0..4 {
            assert_eq!(end_point(&[0x30, 0x82, 0x01, 0x00][..length]), None);
        }
        assert_eq!(element(&[0x30, 0x02, 1, 2, 3]), Some((&[1, 2][..], &[3][..])));
        assert_eq!(element(&[0x30, 0x80, 1, 2]), None);
    }
}
