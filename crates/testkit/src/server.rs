//! The server that a browser under test is pointed at: every host of the world, on one loopback port.
//!
//! It runs on threads of its own, so that starting, asking and stopping are plain calls, from async code or not.

use crate::{
    answer::{Answer, Request},
    connection::{self, TlsFault},
    routing::{Directory, Served},
    sites::{self, Site},
    trackers::tracker_hosts,
};
use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinSet};

/// A running server; it stops when dropped.
///
/// Plain HTTP and TLS share one port, and hosts are told apart by the `Host` header, so that a browser started with
/// [`SiteServer::chromium_args`] reaches `https://shop.test/` and `http://www.google-analytics.com/` alike.
///
/// # Example
///
/// ```
/// use vigie_testkit::{Answer, SiteServer};
///
/// let server = SiteServer::builder()
///     .route("shop.test", "/", |_| Answer::html("<h1>Shop</h1>"))
///     .start()?;
/// assert!(server.chromium_args()[0].contains(&server.address().port().to_string()));
/// assert!(server.requests().is_empty());
/// # Ok::<(), vigie_testkit::StartError>(())
/// ```
#[derive(Debug)]
pub struct SiteServer {
    address: SocketAddr,
    certificate_der: Vec<u8>,
    hosts: Vec<String>,
    directory: Arc<Directory>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory")
            .field("sites", &self.sites.len())
            .field("routes", &self.routes.len())
            .finish_non_exhaustive()
    }
}

/// How long requests in flight may take to end when the server stops.
const GRACE: Duration = Duration::from_millis(300);

impl SiteServer {
    /// Returns a server that knows the tracker stubs and nothing else yet.
    pub fn builder() -> SiteServerBuilder {
        SiteServerBuilder::default()
    }

    /// Returns the loopback address that answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the arguments that send a Chromium here, whatever address it is given.
    ///
    /// `MAP` replaces the port too, so addresses carry none. `localhost` is left alone for DevTools.
    pub fn chromium_args(&self) -> Vec<String> {
        vec![
            format!("--host-resolver-rules=MAP * 127.0.0.1:{}, EXCLUDE localhost", self.address.port()),
            "--ignore-certificate-errors".to_owned(),
        ]
    }

    /// Returns the hosts of the sites and routes, sorted; tracker stubs and patterns are not listed.
    pub fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// Returns the self-signed certificate, for clients that want to check it.
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate_der
    }

    /// Returns every request so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Served> {
        self.directory.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the requests to one host so far, in the order of arrival.
    pub fn requests_to(&self, host: &str) -> Vec<Served> {
        let mut requests = self.requests();
        requests.retain(|served| served.request.host == host);
        requests
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.directory.log.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Drop for SiteServer {
    /// Stops listening, gives requests in flight a moment, then cuts them.
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported when it happened; there is nobody to tell here.
            let _ = thread.join();
        }
    }
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A folder of sites could not be read.
    #[error("reading the sites in `{}` failed", path.display())]
    Sites {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A site's settings are not what this server understands.
    #[error("`{}` is not the description of a site", path.display())]
    SiteFile {
        /// The file.
        path: PathBuf,
        /// Where, and what was expected.
        #[source]
        source: serde_json::Error,
    },
    /// The loopback port could not be opened.
    #[error("listening on 127.0.0.1 failed")]
    Listen(#[source] io::Error),
    /// The certificate could not be made.
    #[error("making a self-signed certificate failed")]
    Certificate(#[source] rcgen::Error),
    /// The TLS settings were refused.
    #[error("setting up TLS failed")]
    Tls(#[source] rustls::Error),
    /// The server's threads could not be started.
    #[error("starting the server's threads failed")]
    Threads(#[source] io::Error),
}

/// What a server is to serve.
#[derive(Default)]
pub struct SiteServerBuilder {
    port: u16,
    folders: Vec<PathBuf>,
    directory: DirectoryBuilder,
}

#[derive(Default)]
struct DirectoryBuilder {
    routes: Vec<(String, String, crate::answer::Handler)>,
    sites: HashMap<String, Arc<Site>>,
    faults: HashMap<String, TlsFault>,
}

impl SiteServerBuilder {
    /// Serves every folder below `path` that holds an `index.html`: `shop` as `shop.test` and `www.shop.test`, and
    /// what is in `shop/_hosts/NAME` as the host `NAME`. The folder is read by [`SiteServerBuilder::start`].
    #[must_use]
    pub fn folder_of_sites(mut self, path: impl AsRef<Path>) -> Self {
        self.folders.push(path.as_ref().to_owned());
        self
    }

    /// Serves files compiled into the program, by path without leading slash, as `host` and `www.host`.
    ///
    /// A file `site.json` gives the settings, as in a folder; one that cannot be understood counts as empty.
    #[must_use]
    pub fn embedded_site(mut self, host: &str, files: &'static [(&'static str, &'static [u8])]) -> Self {
        let site = Arc::new(Site::embedded(files));
        self.directory.sites.insert(host.to_owned(), Arc::clone(&site));
        self.directory.sites.insert(format!("www.{host}"), site);
        self
    }

    /// Serves the sample platform, whose address is [`crate::demo::URL`].
    #[must_use]
    pub fn demo(self) -> Self {
        self.embedded_site(crate::demo::HOST, crate::demo::FILES)
    }

    /// Answers requests for a host and path by `handler`, before any site. A host may start with `*.`, a path may end
    /// with `*`; of several that fit, the first given answers.
    #[must_use]
    pub fn route<H>(mut self, host: &str, path: &str, handler: H) -> Self
    where
        H: Fn(&Request) -> Answer + Send + Sync + 'static,
    {
        self.directory.routes.push((host.to_owned(), path.to_owned(), Arc::new(handler)));
        self
    }

    /// Breaks the TLS handshakes of a host; plain HTTP is not touched.
    #[must_use]
    pub fn tls_fault(mut self, host: &str, fault: TlsFault) -> Self {
        self.directory.faults.insert(host.to_owned(), fault);
        self
    }

    /// Asks for a port instead of any free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Starts the server; when this returns, connections are accepted.
    ///
    /// # Errors
    ///
    /// [`StartError`], with nothing left running.
    pub fn start(self) -> Result<SiteServer, StartError> {
        let Self { port, folders, directory: DirectoryBuilder { routes, mut sites, faults } } = self;
        for folder in folders {
            sites.extend(sites::read_folder(&folder)?);
        }
        let mut hosts: Vec<String> =
            sites.keys().cloned().chain(routes.iter().map(|(host, ..)| host.clone())).collect();
        hosts.retain(|host| !host.starts_with('*'));
        hosts.sort();
        hosts.dedup();

        let (certificate_der, tls) = self_signed(&hosts)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(StartError::Listen)?;
        listener.set_nonblocking(true).map_err(StartError::Listen)?;
        let address = listener.local_addr().map_err(StartError::Listen)?;

        let directory =
            Arc::new(Directory { routes, sites, faults, started: Instant::now(), log: Mutex::new(Vec::new()) });
        let (stop, stopped) = watch::channel(false);
        let served = Arc::clone(&directory);
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        // The runtime is made on the thread that drops it: dropping one inside the caller's own runtime panics.
        let thread = std::thread::Builder::new()
            .name("site-server".to_owned())
            .spawn(move || {
                let mut runtime = tokio::runtime::Builder::new_multi_thread();
                match runtime.worker_threads(2).thread_name("site-server").enable_all().build() {
                    Ok(runtime) => {
                        let _ = ready.send(Ok(()));
                        runtime.block_on(accept(listener, served, tls, stopped));
                        runtime.shutdown_timeout(GRACE);
                    }
                    Err(error) => {
                        let _ = ready.send(Err(error));
                    }
                }
            })
            .map_err(StartError::Threads)?;
        started.recv().unwrap_or_else(|_| Err(io::Error::other("the thread died"))).map_err(StartError::Threads)?;
        Ok(SiteServer { address, certificate_der, hosts, directory, stop, thread: Some(thread) })
    }
}

async fn accept(
    listener: TcpListener,
    directory: Arc<Directory>,
    tls: Arc<rustls::ServerConfig>,
    mut stop: watch::Receiver<bool>,
) {
    // The port answers by the kernel's queue alone if this fails; the client's time-out tells.
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.changed() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let serve = connection::serve(stream, Arc::clone(&directory), Arc::clone(&tls), stop.clone());
                    connections.spawn(serve);
                }
                // Out of file descriptors, mostly: wait for connections to close rather than spin.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    let _ = tokio::time::timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
    connections.abort_all();
}

/// Returns a certificate for these hosts and the tracker stubs, and settings that use it. Its key never leaves memory.
fn self_signed(hosts: &[String]) -> Result<(Vec<u8>, Arc<rustls::ServerConfig>), StartError> {
    let others = ["localhost", "127.0.0.1"].into_iter().chain(tracker_hosts()).map(str::to_owned);
    let names: Vec<String> = hosts.iter().cloned().chain(others).collect();
    let made = rcgen::generate_simple_self_signed(names).map_err(StartError::Certificate)?;
    let certificate = made.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut settings = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate.clone()], key))
        .map_err(StartError::Tls)?;
    settings.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((certificate.to_vec(), Arc::new(settings)))
}
