//! Serving: connections, TLS with client certificates, and a graceful end.
//!
//! The surprise: handshakes are made by tasks of their own, so that a client that says nothing keeps nobody waiting.

use crate::{
    config::{self, Config},
    routes,
    service::{OpenError, Service},
};
use axum::{extract::connect_info::Connected, serve::IncomingStream};
use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use sha2::{Digest as _, Sha256};
use std::{future::Future, io, net::SocketAddr, pin::Pin, sync::Arc, task::Context, task::Poll, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};
use tokio_rustls::TlsAcceptor;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Who is at the other end.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// SHA-256 of the certificate that it showed, and that an authority of ours issued.
    pub certificate: Option<[u8; 32]>,
}

/// A connection that counts among those that may be open.
pub struct Counted {
    stream: Box<dyn Stream>,
    _permit: OwnedSemaphorePermit,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Connections, their handshakes made.
pub struct Door {
    ready: mpsc::Receiver<(Counted, Peer)>,
    address: SocketAddr,
}

impl std::fmt::Debug for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counted").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Door({})", self.address)
    }
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_shutdown(cx)
    }
}

impl axum::serve::Listener for Door {
    type Io = Counted;
    type Addr = Peer;

    async fn accept(&mut self) -> (Counted, Peer) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The task that accepts has ended with the runtime.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(Peer { address: self.address, certificate: None })
    }
}

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.remote_addr().clone()
    }
}

/// Reads certificate, key and authorities.
///
/// # Errors
///
/// [`OpenError::Tls`].
pub fn tls_of(config: &Config) -> Result<Option<Arc<ServerConfig>>, OpenError> {
    let Some(given) = &config.tls else { return Ok(None) };
    let wrong = |error: &dyn std::error::Error| OpenError::Tls(error.to_string());
    let read = |path: &std::path::Path| config::read(path).map_err(OpenError::from);
    let certificates = |text: &str| {
        CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>().map_err(|error| wrong(&error))
    };
    let chain = certificates(&read(&given.certificate)?)?;
    let key = PrivateKeyDer::from_pem_slice(read(&given.key)?.as_bytes()).map_err(|error| wrong(&error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?;
    let builder = match &given.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(&read(path)?)? {
                roots.add(certificate).map_err(|error| wrong(&error))?;
            }
            // People have tokens and no certificates, so that none is demanded here.
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| wrong(&error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut tls = builder.with_single_cert(chain, key).map_err(|error| wrong(&error))?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(Arc::new(tls)))
}

/// Serves until `shutdown` ends; requests that are being answered are answered.
///
/// # Errors
///
/// Whatever keeps the listener from taking connections, and [`OpenError::Tls`] as text.
pub async fn serve(
    service: Arc<Service>,
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let permits = Arc::new(Semaphore::new(service.config.limits.connections));
    let (sender, ready) = mpsc::channel(64);
    let accepting = tokio::spawn(accept(listener, tls.map(TlsAcceptor::from), permits, sender));
    let router = routes::router(service).into_make_service_with_connect_info::<Peer>();
    axum::serve(Door { ready, address }, router)
        .with_graceful_shutdown(async move {
            shutdown.await;
            accepting.abort();
        })
        .await
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    permits: Arc<Semaphore>,
    ready: mpsc::Sender<(Counted, Peer)>,
) {
    loop {
        let permit = permits.clone().acquire_owned().await.expect("nobody closes the semaphore");
        let Ok((stream, address)) = listener.accept().await else {
            // Too many files are open, or the client is gone already; both pass.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (tls, ready) = (tls.clone(), ready.clone());
        tokio::spawn(async move {
            let handshake = tokio::time::timeout(HANDSHAKE, shake(stream, tls)).await;
            if let Ok(Ok((stream, certificate))) = handshake {
                let counted = Counted { stream, _permit: permit };
                // Nobody takes it any more when serving has ended.
                let _ = ready.send((counted, Peer { address, certificate })).await;
            }
        });
    }
}

async fn shake(stream: TcpStream, tls: Option<TlsAcceptor>) -> io::Result<(Box<dyn Stream>, Option<[u8; 32]>)> {
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok((Box::new(stream), None)) };
    let stream = tls.accept(stream).await?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let certificate = shown.map(|certificate| Sha256::digest(certificate).into());
    Ok((Box::new(stream), certificate))
}
