//! A running gateway: what its sessions share, how it opens, takes clients, takes over a new policy, and ends.

use crate::{
    accounting::{Account, Journal, RemoteLedger},
    aggregate::CellKeys,
    config::{Config, ConfigError, Limits},
    control::{Control, ControlError},
    figures,
    identity::{Identities, People, Principal, token::Tokens},
    login::{Address, CancelKey, LoginError, Server, VersionFloor, WithoutPassword, cancel},
    metrics::Metrics,
    place::Networks,
    pool::{Pool, RoleSecret},
    pseudonym::PseudonymSecret,
    readings::Readings,
    session,
    standing::{self, Standing, Wish},
    startup::{Arrival, Door, PlainText, admit},
    stop::StopSet,
    tls::{ClientCertificates, ClientTls, Files, Reloadable},
    view::View,
};
use hkdf::Hkdf;
use sha2::Sha256;
use std::{
    collections::HashMap,
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex, MutexGuard, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use subtle::ConstantTimeEq as _;
use tokio::net::{TcpListener, TcpStream};
use vigie_database::TlsRoots;
use vigie_policy::{
    Compiled, DataMap, Zones,
    names::{PolicyName, RoleName},
};
use vigie_sequencer::{Home, Log, Options};
use vigie_vault::{KeyEncryptionKey, Vault};

/// How often uses of break-glass that nobody reviewed are counted.
const COUNT_EVERY: Duration = Duration::from_secs(60);

/// A policy in force, joined with the ids that the database gave its objects.
#[derive(Debug)]
pub struct Epoch {
    /// The policy.
    pub compiled: Compiled,
    /// What each role may see.
    pub views: HashMap<RoleName, Arc<View>>,
}

/// What the sessions of a gateway share.
#[derive(Debug)]
pub struct Gateway {
    /// The database that it serves.
    pub database: String,
    /// Bounds.
    pub limits: Limits,
    /// Connections.
    pub pool: Arc<Pool>,
    /// Who may not leave.
    pub stops: Arc<StopSet>,
    /// The database itself.
    pub control: Arc<Control>,
    /// Where accesses are logged.
    pub account: Arc<Account>,
    /// What statements mean.
    pub readings: Readings,
    /// What is counted.
    pub metrics: Metrics,
    /// Who is here.
    pub sessions: Sessions,
    epoch: RwLock<Arc<Epoch>>,
    door: Door,
    secrets: Secrets,
    config: Config,
    log: Option<Arc<Log>>,
    draining: AtomicBool,
    report: fn(&str),
}

/// Why a gateway cannot run.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file that it names.
    #[error("`{path}` cannot be read")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What a file says.
    #[error("`{path}` is not what it should be: {why}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The policy.
    #[error("the policy cannot be compiled: {0}")]
    Policy(String),
    /// The database has not this policy.
    #[error("the database does not have the objects of this policy: role `{0}` has no views")]
    NotApplied(String),
    /// The database.
    #[error("the database cannot be used")]
    Control(#[from] ControlError),
    /// The ledger.
    #[error("the ledger cannot be written")]
    Ledger(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The vault.
    #[error("the vault cannot be written")]
    Vault(#[source] vigie_vault::OpenError),
    /// The address.
    #[error("`{address}` cannot be listened on")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The processes that read statements.
    #[error("the processes that read statements cannot be started")]
    Readers(#[source] io::Error),
    /// A role of the policy.
    #[error("the gateway cannot log in as the roles of the policy")]
    Login(#[source] LoginError),
}

impl GatewayError {
    /// Returns the way out, where there is one to tell.
    pub fn help(&self) -> Option<String> {
        let fixed = match self {
            Self::Config(_) | Self::Listen { .. } => return None,
            Self::File { .. } | Self::Wrong { .. } => "see docs/gateway.md for the files that a gateway reads",
            Self::Policy(_) => "see `vigie policy check`",
            Self::NotApplied(_) => "run `vigie policy apply` with the secret of this gateway",
            Self::Control(error) => return error.help(),
            Self::Login(_) => {
                "run `vigie policy apply` with the secret of this gateway: passwords of roles follow from it"
            }
            Self::Ledger(_) => {
                "make one with `vigie ledger init`; one that is in use has one writer, this gateway or another program"
            }
            Self::Vault(vigie_vault::OpenError::Locked(_)) => {
                "end the other gateway, or give this one a vault of its own"
            }
            Self::Vault(_) => "see docs/vault.md; a vault opens only with the secret that it was written with",
            Self::Readers(_) => "see whether this machine has memory and processes left",
        };
        Some(fixed.to_owned())
    }
}

/// What is derived from the one secret of a deployment.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// Passwords of roles.
    pub roles: RoleSecret,
    /// Pseudonyms.
    pub pseudonyms: PseudonymSecret,
    vault: [u8; 32],
    names: [u8; 32],
    cells: [u8; 32],
}

impl Secrets {
    /// Reads the secret: 32 bytes in hexadecimal.
    ///
    /// # Errors
    ///
    /// [`GatewayError`].
    pub fn read(path: &Path) -> Result<Self, GatewayError> {
        let text = read(path)?;
        let text = text.trim();
        let wrong = || GatewayError::Wrong { path: path.to_owned(), why: "expected 64 hexadecimal digits".to_owned() };
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut secret = [0; 32];
        for (byte, digits) in secret.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
        }
        Ok(Self::of(&secret))
    }

    /// Derives everything from 32 random bytes.
    pub fn of(secret: &[u8; 32]) -> Self {
        let hkdf = Hkdf::<Sha256>::from_prk(secret).expect("the secret has 32 bytes");
        let derive = |label: &str| {
            let mut key = [0; 32];
            hkdf.expand(label.as_bytes(), &mut key).expect("few bytes are asked for");
            key
        };
        Self {
            roles: RoleSecret::new(derive("vigie/gateway/roles/v1")),
            pseudonyms: PseudonymSecret::new(derive("vigie/gateway/pseudonyms/v1")),
            vault: derive("vigie/gateway/vault/v1"),
            names: derive("vigie/gateway/names/v1"),
            cells: derive("vigie/gateway/cells/v1"),
        }
    }

    /// Returns the key under which the vault's keys are wrapped.
    pub fn vault_key(&self) -> KeyEncryptionKey {
        KeyEncryptionKey::new(self.vault)
    }

    /// Returns what turns the persons of a cell into its noise.
    pub fn cells(&self) -> CellKeys {
        CellKeys::new(&self.cells)
    }
}

fn read(path: &Path) -> Result<String, GatewayError> {
    fs::read_to_string(path).map_err(|source| GatewayError::File { path: path.to_owned(), source })
}

/// Reads and compiles the policy that a configuration names.
///
/// # Errors
///
/// [`GatewayError`].
pub fn compile(config: &Config) -> Result<Compiled, GatewayError> {
    let files = &config.policy;
    let wrong = |path: &Path, why: String| GatewayError::Wrong { path: path.to_owned(), why };
    let map = DataMap::parse(&read(&files.map)?).map_err(|faults| wrong(&files.map, faults.to_string()))?;
    let zones = Zones::parse(&read(&files.zones)?).map_err(|faults| wrong(&files.zones, faults.to_string()))?;
    let folder = |source| GatewayError::File { path: files.cedar.clone(), source };
    let mut policies = Vec::new();
    for entry in fs::read_dir(&files.cedar).map_err(folder)? {
        let path = entry.map_err(folder)?.path();
        if path.extension().is_some_and(|extension| extension == "cedar") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let name = PolicyName::new(name).map_err(|error| wrong(&path, error.to_string()))?;
            policies.push((name, read(&path)?));
        }
    }
    vigie_policy::compile(map, zones, &policies).map_err(|errors| GatewayError::Policy(errors.to_string()))
}

fn server_of(config: &Config) -> Result<Server, GatewayError> {
    let given = &config.server;
    let address = if given.host.starts_with('/') {
        Address::Unix(Path::new(&given.host).join(format!(".s.PGSQL.{}", given.port)))
    } else {
        Address::Tcp { host: given.host.clone(), port: given.port }
    };
    let tls = match &given.ca {
        None => None,
        Some(path) => {
            let authorities = fs::read(path).map_err(|source| GatewayError::File { path: path.clone(), source })?;
            let wrong =
                |error: crate::tls::TlsError| GatewayError::Wrong { path: path.clone(), why: crate::in_full(&error) };
            Some(ClientTls::new(&authorities, &given.host).map_err(wrong)?)
        }
    };
    let without_password = if given.trust { WithoutPassword::Allowed } else { WithoutPassword::Refused };
    Ok(Server { address, tls, without_password, floor: VersionFloor::default(), limit: Duration::from_secs(10) })
}

/// Returns how the database is connected to as the control role, and the authorities to check it by.
///
/// # Errors
///
/// [`GatewayError`].
pub fn control_config(config: &Config, secrets: &Secrets) -> Result<(tokio_postgres::Config, TlsRoots), GatewayError> {
    let given = &config.server;
    let mut connection = tokio_postgres::Config::new();
    if given.host.starts_with('/') {
        connection.host_path(&given.host);
    } else {
        connection.host(&given.host);
    }
    let password = match &given.control_password {
        Some(path) => read(path)?.trim().to_owned(),
        None => secrets.roles.password(&given.control_role),
    };
    connection
        .port(given.port)
        .dbname(&given.database)
        .user(&given.control_role)
        .password(password)
        .application_name("vigie-gateway-control")
        .connect_timeout(Duration::from_secs(10))
        .keepalives(true);
    let roots = match &given.ca {
        None => TlsRoots::default(),
        Some(path) => TlsRoots::read(path)
            .map_err(|error| GatewayError::Wrong { path: path.clone(), why: crate::in_full(&error) })?,
    };
    Ok((connection, roots))
}

fn door_of(config: &Config, secrets: &Secrets) -> Result<Door, GatewayError> {
    let people = &config.people.file;
    let wrong = |path: &Path, why: String| GatewayError::Wrong { path: path.to_owned(), why };
    let parsed = People::parse(&read(people)?).map_err(|faults| wrong(people, faults.to_string()))?;
    let tls = match &config.tls {
        None => None,
        Some(tls) => {
            let authorities =
                |path: &PathBuf| fs::read(path).map_err(|source| GatewayError::File { path: path.clone(), source });
            let clients = match &tls.client_ca {
                None => ClientCertificates::NotAsked,
                Some(path) if tls.client_certificates_required => ClientCertificates::Required(authorities(path)?),
                Some(path) => ClientCertificates::Optional(authorities(path)?),
            };
            let files = Files { certificate: tls.certificate.clone(), key: tls.key.clone(), clients };
            let loaded = Reloadable::load(files).map_err(|error| wrong(&tls.certificate, crate::in_full(&error)))?;
            Some(Arc::new(loaded))
        }
    };
    let tokens = match &config.people.oidc {
        None => None,
        Some(settings) => {
            let unusable = |error| GatewayError::Wrong {
                path: people.clone(),
                why: format!("`people.oidc` cannot be used: {}", crate::in_full(&error)),
            };
            Some(Tokens::new(settings.clone()).map_err(unusable)?)
        }
    };
    let networks = Networks { networks: config.people.network.clone(), unknown: config.people.unknown_network };
    Ok(Door {
        plain_text: if tls.is_some() { PlainText::Refused } else { PlainText::Allowed },
        tls,
        identities: Arc::new(Identities::new(parsed, tokens, secrets.names)),
        networks: Arc::new(networks),
        limit: Duration::from_secs(config.limits.login_seconds.into()),
    })
}

impl Gateway {
    /// Opens a gateway: everything that it needs must be there before it takes a client.
    ///
    /// `reader` starts a process that reads statements (`vigie_statement::worker::Worker::serve`). `report` is told, in a
    /// line, why a session ended otherwise than by its client's will.
    ///
    /// # Errors
    ///
    /// [`GatewayError`].
    pub async fn open(config: Config, reader: Command, report: fn(&str)) -> Result<Arc<Self>, GatewayError> {
        let secrets = Secrets::read(&config.secret)?;
        let compiled = compile(&config)?;
        let limits = config.limits.clone();
        let door = door_of(&config, &secrets)?;
        let (address, roots) = control_config(&config, &secrets)?;
        let control = Arc::new(Control::connect(address, roots).await?);
        let epoch = Arc::new(join(compiled, &control, &secrets, &config).await?);
        let Books { account, log } = Books::open(&config, &secrets)?;
        let longest = Duration::from_secs(u64::from(limits.transaction_seconds.max(limits.statement_seconds)) + 60);
        let database = config.server.database.clone();
        let pool = Pool::new(server_of(&config)?, database.clone(), secrets.roles.clone(), limits.warm);
        let workers =
            vigie_statement::worker::Pool::new(reader, limits.readers.max(1)).map_err(GatewayError::Readers)?;
        let stops = Arc::new(StopSet::new(limits.stop_set_age(), longest));
        control.begin(&stops).await?;
        Ok(Arc::new(Self {
            database,
            pool: Arc::new(pool),
            stops,
            control,
            account,
            readings: Readings::new(workers),
            metrics: Metrics::default(),
            sessions: Sessions::new(limits.max_sessions, limits.max_sessions_each),
            epoch: RwLock::new(epoch),
            door,
            secrets,
            limits,
            config,
            log,
            draining: AtomicBool::new(false),
            report,
        }))
    }

    /// Returns the policy in force.
    pub fn epoch(&self) -> Arc<Epoch> {
        self.epoch.read().expect("nobody panics with the policy in hand").clone()
    }

    /// Returns what turns the persons of a cell into its noise.
    pub fn cell_keys(&self) -> CellKeys {
        self.secrets.cells()
    }

    /// Returns the configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the ledger, if this process writes it.
    pub fn log(&self) -> Option<&Arc<Log>> {
        self.log.as_ref()
    }

    /// Reads the policy again and puts it in force; sessions take it over between transactions.
    ///
    /// # Errors
    ///
    /// [`GatewayError`]; the policy before stays in force.
    pub async fn reload(&self) -> Result<(), GatewayError> {
        let compiled = compile(&self.config)?;
        let epoch = join(compiled, &self.control, &self.secrets, &self.config).await?;
        self.pool.keep_only(|role| epoch.views.contains_key(role));
        *self.epoch.write().expect("nobody panics with the policy in hand") = Arc::new(epoch);
        if let Some(tls) = &self.door.tls {
            let path = self.config.tls.as_ref().map(|tls| tls.certificate.clone()).unwrap_or_default();
            tls.reload().map_err(|error| GatewayError::Wrong { path, why: crate::in_full(&error) })?;
        }
        Ok(())
    }

    /// Decides where somebody stands.
    ///
    /// # Errors
    ///
    /// If tickets could not be looked up, and one would matter.
    pub async fn stand(&self, principal: &Principal, wish: &Wish, peer: IpAddr) -> Result<Standing, Arc<ControlError>> {
        let epoch = self.epoch();
        let client = self.config.ledger.client_address.then_some(peer);
        let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
        let decide = |tickets: &[_]| standing::decide(&epoch, principal, wish, tickets, client, &self.database, today);
        let first = decide(&[]);
        let Some(purpose) = &wish.purpose else { return Ok(first) };
        if first.denied.is_none() && wish.ticket.is_none() {
            return Ok(first);
        }
        let tickets = self.control.tickets(&principal.id, purpose).await.map_err(Arc::new)?;
        let standing = decide(&tickets);
        self.alarm(principal, purpose, &standing);
        Ok(standing)
    }

    /// Says at once that somebody reads on a ticket of emergency (DA-09): who, for what, by which ticket; no rows.
    fn alarm(&self, principal: &Principal, purpose: &str, standing: &Standing) {
        let Some(ticket) = standing.ticket.as_ref().filter(|_| standing.is_break_glass()) else { return };
        if standing.denied.is_some() {
            return;
        }
        self.metrics.break_glass.one();
        // A purpose of the policy, or the session would have been denied: no words of the client's.
        (self.report)(&format!(
            "break-glass: `{}` reads for `{purpose}` by ticket {}, to be reviewed within 24 h",
            principal.id, ticket.id
        ));
    }

    /// Lists what keeps the gateway from answering, in words without names or rows; nothing while it can.
    ///
    /// A ledger behind an address is not asked: its failures show as results that were held back.
    pub fn troubles(&self) -> Vec<&'static str> {
        let log_stopped = self.log.as_ref().is_some_and(|log| log.stopped().is_some());
        let troubles = [
            (self.is_draining(), "the gateway is ending"),
            (!self.stops.is_fresh(), "the stop set is older than it may be"),
            (log_stopped, "the ledger has stopped"),
            (self.account.vault().stopped().is_some(), "the vault has stopped"),
            (!self.control.is_up(), "the connection to the database is down"),
        ];
        troubles.into_iter().filter(|(is, _)| *is).map(|(_, words)| words).collect()
    }

    /// Tells whether the gateway is ending.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Takes clients until `end` comes, then lets sessions finish what they are doing, for at most `grace`.
    ///
    /// # Errors
    ///
    /// If connections can no longer be accepted.
    pub async fn serve(
        self: &Arc<Self>,
        listener: TcpListener,
        end: impl Future<Output = ()>,
        grace: Duration,
    ) -> Result<(), io::Error> {
        let following = {
            let (control, stops) = (self.control.clone(), self.stops.clone());
            tokio::spawn(async move { control.follow(&stops).await })
        };
        let counting = {
            let gateway = self.clone();
            tokio::spawn(async move { gateway.count_overdue().await })
        };
        let mut end = std::pin::pin!(end);
        let mut clients = tokio::task::JoinSet::new();
        let outcome = loop {
            tokio::select! {
                () = &mut end => break Ok(()),
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let _ = stream.set_nodelay(true);
                        let gateway = self.clone();
                        clients.spawn(async move { gateway.client(stream, peer.ip()).await });
                    }
                    // Out of descriptors, or a client that went away: the next may be luckier.
                    Err(error) if is_passing(&error) => tokio::time::sleep(Duration::from_millis(10)).await,
                    Err(error) => break Err(error),
                },
                Some(_) = clients.join_next(), if !clients.is_empty() => {}
            }
        };
        drop(listener);
        self.draining.store(true, Ordering::Relaxed);
        let drained = async { while clients.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, drained).await.is_err() {
            clients.shutdown().await;
        }
        following.abort();
        counting.abort();
        outcome
    }

    /// Counts uses of break-glass that nobody reviewed in time, every minute.
    async fn count_overdue(&self) {
        let mut said = 0;
        loop {
            // A database that is away is said elsewhere; the last count stands.
            if let Ok(overdue) = self.control.overdue_reviews().await {
                self.metrics.overdue_reviews.set(overdue as u64);
                if overdue > said {
                    (self.report)(&format!(
                        "{overdue} uses of break-glass were not reviewed within 24 h; see `vigie gateway ticket list`"
                    ));
                }
                said = overdue;
            }
            tokio::time::sleep(COUNT_EVERY).await;
        }
    }

    /// Ends what is written: the vault, and the ledger if it is ours.
    ///
    /// # Errors
    ///
    /// If something had stopped before.
    pub fn close(&self) -> Result<(), GatewayError> {
        Books { account: self.account.clone(), log: self.log.clone() }.close()
    }

    async fn client(self: Arc<Self>, stream: TcpStream, peer: IpAddr) {
        self.metrics.connections.one();
        match admit(stream, peer, &self.door, jiff::Timestamp::now).await {
            Ok(Arrival::Nothing) => {}
            Ok(Arrival::Cancel { process, key }) => {
                if let Some(found) = self.sessions.cancelled_by(process, &key) {
                    // Cancelling promises nothing; whether it came too late nobody can tell.
                    let _ = cancel(self.pool.server(), &found).await;
                }
            }
            Ok(Arrival::Client(client)) => {
                self.metrics.sessions.one();
                let ended = session::run(self.clone(), *client).await;
                self.metrics.sessions.less();
                if let Err(ended) = ended {
                    (self.report)(&crate::in_full(&ended));
                }
            }
            Err(error) => {
                self.metrics.refused_logins.one();
                (self.report)(&crate::in_full(&error));
            }
        }
    }
}

/// One thing that a gateway needs, and why it is not there.
#[derive(Debug)]
pub struct Need {
    /// What it is, in a word or two.
    pub what: &'static str,
    /// Why it is not as it must be; `None` if it is.
    pub trouble: Option<GatewayError>,
}

/// Looks at everything that [`Gateway::open`] would need, and leaves it as it is. What cannot be looked at, because
/// something before it is missing, is left out.
///
/// `reader` is as for [`Gateway::open`].
pub async fn check(config: &Config, reader: Command) -> Vec<Need> {
    let mut needs = Vec::new();
    let secrets = note(&mut needs, "secret", Secrets::read(&config.secret));
    let compiled = note(&mut needs, "policy", compile(config));
    if let Some(secrets) = &secrets {
        note(&mut needs, "people and certificates", door_of(config, secrets));
        let control = match control_config(config, secrets) {
            Ok((address, roots)) => Control::connect(address, roots).await.map_err(GatewayError::from),
            Err(error) => Err(error),
        };
        let control = note(&mut needs, "database", control);
        if let (Some(control), Some(compiled)) = (control, compiled) {
            let nobody = compiled.nobody();
            let joined = join(compiled, &control, secrets, config).await;
            if note(&mut needs, "policy in the database", joined).is_some() {
                note(&mut needs, "passwords of roles", log_in(config, secrets, &nobody).await);
            }
        }
        note(&mut needs, "vault", look_at_vault(config, secrets));
    }
    note(&mut needs, "ledger", look_at_ledger(config));
    let pool = vigie_statement::worker::Pool::new(reader, 1).map_err(GatewayError::Readers);
    note(&mut needs, "readers of statements", pool);
    needs
}

fn note<T>(needs: &mut Vec<Need>, what: &'static str, found: Result<T, GatewayError>) -> Option<T> {
    let (found, trouble) = match found {
        Ok(found) => (Some(found), None),
        Err(trouble) => (None, Some(trouble)),
    };
    needs.push(Need { what, trouble });
    found
}

async fn log_in(config: &Config, secrets: &Secrets, role: &RoleName) -> Result<(), GatewayError> {
    let pool = Arc::new(Pool::new(server_of(config)?, config.server.database.clone(), secrets.roles.clone(), 0));
    pool.take(role, &Metrics::default()).await.map(|_| ()).map_err(GatewayError::Login)
}

fn look_at_vault(config: &Config, secrets: &Secrets) -> Result<(), GatewayError> {
    if !config.ledger.vault.exists() {
        // The gateway makes it.
        return Ok(());
    }
    match Vault::open(&config.ledger.vault, secrets.vault_key(), vigie_vault::Options::default()) {
        Ok(vault) => vault.close().map_err(|error| GatewayError::Ledger(error.into())),
        // A gateway runs: it has opened it.
        Err(vigie_vault::OpenError::Locked(_)) => Ok(()),
        Err(error) => Err(GatewayError::Vault(error)),
    }
}

fn look_at_ledger(config: &Config) -> Result<(), GatewayError> {
    if let Some(path) = &config.ledger.token {
        read(path)?;
    }
    if let Some(folder) = &config.ledger.folder {
        Home::new(folder).key().map_err(|error| GatewayError::Ledger(error.into()))?;
    }
    if let Some(url) = &config.ledger.url {
        let address = format!("{}/checkpoint", url.trim_end_matches('/'));
        let request = ureq::get(&address).config().timeout_global(Some(Duration::from_secs(10))).build();
        request.call().map_err(|error| GatewayError::Ledger(error.into()))?;
    }
    Ok(())
}

fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    [ConnectionAborted, ConnectionReset, Interrupted].contains(&error.kind())
        || error.raw_os_error().is_some_and(|code| [23, 24, 105].contains(&code))
}

/// Where accesses are logged, opened to write: by a gateway, or by its operator while no gateway runs.
#[derive(Debug)]
pub struct Books {
    /// The vault and the ledger.
    pub account: Arc<Account>,
    /// The ledger, if this process writes it.
    pub log: Option<Arc<Log>>,
}

impl Books {
    /// Opens vault and ledger.
    ///
    /// # Errors
    ///
    /// [`GatewayError`], also if another process has them open.
    pub fn open(config: &Config, secrets: &Secrets) -> Result<Self, GatewayError> {
        let vault = Vault::open(&config.ledger.vault, secrets.vault_key(), vigie_vault::Options::default())
            .map_err(GatewayError::Vault)?;
        let (journal, log) = journal_of(config)?;
        Ok(Self { account: Account::new(Arc::new(vault), journal), log })
    }

    /// Ends what is written: the vault, and the ledger if it is ours.
    ///
    /// # Errors
    ///
    /// If something had stopped before.
    pub fn close(&self) -> Result<(), GatewayError> {
        let vault = self.account.vault().close();
        if let Some(log) = &self.log {
            log.finish().map_err(|error| GatewayError::Ledger(error.into()))?;
        }
        vault.map_err(|error| GatewayError::Ledger(error.into()))
    }
}

fn journal_of(config: &Config) -> Result<(Journal, Option<Arc<Log>>), GatewayError> {
    if let Some(url) = &config.ledger.url {
        let token = config.ledger.token.as_deref().map(read).transpose()?.map(|token| token.trim().to_owned());
        return Ok((Journal::Remote(RemoteLedger::new(url, token)), None));
    }
    let folder = config.ledger.folder.as_deref().unwrap_or_else(|| Path::new("ledger"));
    // All that waits is handed in at once, and nothing more before it is durable: a second thread would never write.
    let options = Options { writers: 1, ..Options::default() };
    let log = Log::open(&Home::new(folder), options).map_err(|error| GatewayError::Ledger(error.into()))?;
    let log = Arc::new(log);
    Ok((Journal::Local(log.clone()), Some(log)))
}

/// Joins a policy with what the database has.
async fn join(
    compiled: Compiled,
    control: &Control,
    secrets: &Secrets,
    config: &Config,
) -> Result<Epoch, GatewayError> {
    let known = control.known(&compiled.map.role_prefix()).await?;
    let unique = control.unique().await?;
    let mut views = HashMap::new();
    for role in &compiled.roles {
        let pseudonyms = role
            .purpose
            .as_ref()
            .map(|purpose| secrets.pseudonyms.of_purpose(purpose.as_str(), compiled.map.subject_type));
        let figures = figures::rules(&compiled, role, &known, &unique, &config.aggregates)
            .map_err(|error| GatewayError::Policy(error.to_string()))?;
        let view = View::new(&compiled, role, &known, pseudonyms, figures, config.limits.max_rows);
        let wanted = role.rights.tables().count();
        if view.own.len() < wanted {
            return Err(GatewayError::NotApplied(role.name.to_string()));
        }
        views.insert(role.name.clone(), Arc::new(view));
    }
    Ok(Epoch { compiled, views })
}

/// Who is here, and how a statement of theirs is cancelled.
#[derive(Debug)]
pub struct Sessions {
    here: Arc<Mutex<Here>>,
    most: usize,
    most_each: usize,
}

#[derive(Debug, Default)]
struct Here {
    by_process: HashMap<u32, Seat>,
    by_principal: HashMap<String, usize>,
    next: u32,
}

#[derive(Debug)]
struct Seat {
    key: Vec<u8>,
    principal: String,
    server: CancelKey,
}

/// A session's place; leaving it gives it back.
#[derive(Debug)]
pub struct Ticketed {
    /// What the client is told is its process.
    pub process: u32,
    /// What it must say to cancel.
    pub key: Vec<u8>,
    here: Arc<Mutex<Here>>,
}

impl Drop for Ticketed {
    fn drop(&mut self) {
        let mut here = lock(&self.here);
        let Some(seat) = here.by_process.remove(&self.process) else { return };
        if let Some(count) = here.by_principal.get_mut(&seat.principal) {
            *count -= 1;
            if *count == 0 {
                here.by_principal.remove(&seat.principal);
            }
        }
    }
}

fn lock(here: &Mutex<Here>) -> MutexGuard<'_, Here> {
    here.lock().expect("nobody panics with the sessions in hand")
}

/// There are too many sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowded;

impl Sessions {
    fn new(most: usize, most_each: usize) -> Self {
        Self { here: Arc::default(), most, most_each }
    }

    /// Gives a session a place, with a key of ours: 32 bytes where the client's version of the protocol takes them.
    ///
    /// # Errors
    ///
    /// [`Crowded`].
    pub fn enter(&self, principal: &str, server: CancelKey, version: u32) -> Result<Ticketed, Crowded> {
        let length = if version >= crate::wire::VERSION_3_2 { 32 } else { 4 };
        let mut key = vec![0; length];
        getrandom::fill(&mut key).map_err(|_| Crowded)?;
        let mut here = lock(&self.here);
        let each = here.by_principal.get(principal).copied().unwrap_or(0);
        if here.by_process.len() >= self.most || each >= self.most_each {
            return Err(Crowded);
        }
        let process = loop {
            here.next = here.next.wrapping_add(1) & 0x7fff_ffff;
            let next = here.next;
            if next != 0 && !here.by_process.contains_key(&next) {
                break next;
            }
        };
        here.by_process.insert(process, Seat { key: key.clone(), principal: principal.to_owned(), server });
        *here.by_principal.entry(principal.to_owned()).or_default() += 1;
        Ok(Ticketed { process, key, here: self.here.clone() })
    }

    /// Notes that a session goes on over another connection.
    pub fn moved(&self, process: u32, server: CancelKey) {
        if let Some(seat) = lock(&self.here).by_process.get_mut(&process) {
            seat.server = server;
        }
    }

    /// Returns what cancels a session's statement, if the key is right.
    pub fn cancelled_by(&self, process: u32, key: &[u8]) -> Option<CancelKey> {
        let here = lock(&self.here);
        let seat = here.by_process.get(&process)?;
        bool::from(seat.key.as_slice().ct_eq(key)).then(|| seat.server.clone())
    }
}
