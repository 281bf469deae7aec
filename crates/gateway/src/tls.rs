//! TLS both ways: the gateway's own certificate towards clients, and trust in PostgreSQL's.
//!
//! Out of scope: when TLS begins on a connection (`startup`, `login`), whom a client's certificate stands for (`identity`).
//!
//! The certificate can be replaced while connections are open ([`Reloadable`]): each connection keeps the one that it
//! began with, whose hash binds its SCRAM exchange to it.

pub mod certificate;
#[cfg(test)]
pub(crate) mod tests;

use rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::CryptoProvider, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use std::{
    fs,
    path::PathBuf,
    sync::{Arc, RwLock},
};

/// The name of the protocol in TLS, demanded of clients that begin with TLS at once.
///
/// # Source
///
/// PostgreSQL 17, "SSL Session Encryption", and IANA's registry of ALPN protocol ids.
pub const ALPN: &[u8] = b"postgresql";

/// Whether clients show certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not asked.
    NotAsked,
    /// They may, if one of these authorities (PEM) issued it.
    Optional(Vec<u8>),
    /// They must.
    Required(Vec<u8>),
}

/// What the gateway shows to clients.
#[derive(Debug, Clone)]
pub struct ServerTls {
    /// For rustls.
    pub config: Arc<ServerConfig>,
    /// The hash of our certificate; nothing if its signature has no hash of its own (Ed25519), so that none is defined.
    pub endpoint: Option<Vec<u8>>,
}

/// How PostgreSQL's certificate is checked: always against authorities and the name that it is reached by.
#[derive(Debug, Clone)]
pub struct ClientTls {
    /// For rustls.
    pub config: Arc<ClientConfig>,
    /// The name that the certificate must have.
    pub name: ServerName<'static>,
}

/// Where certificate and key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Our certificate and those of intermediate authorities, in PEM.
    pub certificate: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
    /// Whether clients show certificates.
    pub clients: ClientCertificates,
}

/// A certificate that can be replaced.
#[derive(Debug)]
pub struct Reloadable {
    files: Files,
    current: RwLock<Arc<ServerTls>>,
}

/// Why TLS is not ready.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("`{path}` cannot be read")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what it shall be.
    #[error("the {what} is not readable PEM")]
    Pem {
        /// What it shall be.
        what: &'static str,
        /// Why not.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// A file holds none.
    #[error("there is no certificate in the {0}")]
    Empty(&'static str),
    /// rustls does not take them.
    #[error("the certificate, its key or the authorities do not fit each other")]
    Unfit(#[source] rustls::Error),
    /// Client certificates could not be checked.
    #[error("the authorities of client certificates cannot be used")]
    Authorities(#[source] rustls::server::VerifierBuilderError),
    /// The name of the server cannot be one.
    #[error("`{0}` is neither a host name nor an address")]
    Name(String),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|source| TlsError::Pem { what, source })?;
    if found.is_empty() { Err(TlsError::Empty(what)) } else { Ok(found) }
}

fn authorities(pem: &[u8], what: &'static str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, what)? {
        roots.add(certificate).map_err(TlsError::Unfit)?;
    }
    Ok(roots)
}

impl ServerTls {
    /// Makes it of a certificate with its chain, and a key, both in PEM.
    ///
    /// # Errors
    ///
    /// If they cannot be read or do not belong together.
    pub fn new(certificate: &[u8], key: &[u8], clients: &ClientCertificates) -> Result<Self, TlsError> {
        let chain = certificates(certificate, "certificate")?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|source| TlsError::Pem { what: "key", source })?;
        let endpoint = certificate::endpoint_hash(&chain[0]);
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unfit)?;
        let verifier = |pem: &[u8]| -> Result<_, TlsError> {
            let roots = Arc::new(authorities(pem, "authorities of clients")?);
            Ok(WebPkiClientVerifier::builder_with_provider(roots, provider()))
        };
        let builder = match clients {
            ClientCertificates::NotAsked => builder.with_no_client_auth(),
            ClientCertificates::Optional(pem) => builder.with_client_cert_verifier(
                verifier(pem)?.allow_unauthenticated().build().map_err(TlsError::Authorities)?,
            ),
            ClientCertificates::Required(pem) => {
                builder.with_client_cert_verifier(verifier(pem)?.build().map_err(TlsError::Authorities)?)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(TlsError::Unfit)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        // Early data could be replayed, and a session resumed by ticket would skip looking at a certificate anew.
        config.max_early_data_size = 0;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { config: Arc::new(config), endpoint })
    }
}

impl ClientTls {
    /// Makes it of the authorities (PEM) that may have issued the server's certificate, and the name it must have.
    ///
    /// # Errors
    ///
    /// If they cannot be read, or the name cannot be one.
    pub fn new(authorities_pem: &[u8], name: &str) -> Result<Self, TlsError> {
        let roots = authorities(authorities_pem, "authorities of the server")?;
        let name = ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Name(name.to_owned()))?;
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unfit)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self { config: Arc::new(config), name })
    }
}

impl Reloadable {
    /// Reads certificate and key.
    ///
    /// # Errors
    ///
    /// If they cannot be read or do not belong together.
    pub fn load(files: Files) -> Result<Self, TlsError> {
        let current = RwLock::new(Arc::new(read(&files)?));
        Ok(Self { files, current })
    }

    /// Returns what new connections use.
    pub fn current(&self) -> Arc<ServerTls> {
        self.current.read().expect("nothing panics while it holds the lock").clone()
    }

    /// Reads the files again.
    ///
    /// # Errors
    ///
    /// As [`Reloadable::load`]; the certificate in use then stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        let new = Arc::new(read(&self.files)?);
        *self.current.write().expect("nothing panics while it holds the lock") = new;
        Ok(())
    }
}

fn read(files: &Files) -> Result<ServerTls, TlsError> {
    let [certificate, key] = [&files.certificate, &files.key]
        .map(|path| fs::read(path).map_err(|source| TlsError::File { path: path.clone(), source }));
    ServerTls::new(&certificate?, &key?, &files.clients)
}
