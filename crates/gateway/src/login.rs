//! Logs in to PostgreSQL as a role, and returns the connection ready for its first statement.
//!
//! Only SCRAM is spoken: a server that asks for the password as it is, or hashed with MD5, is refused, since whoever can
//! make it ask could then have the password; one that asks for nothing is refused unless the configuration allows it,
//! since it cannot be told from an impostor. The client's startup parameters never come here: what is sent is ours.
//!
//! Out of scope: keeping connections (`pool`), what is said on them (`session`).

mod stream;
#[cfg(test)]
mod tests;

use crate::{
    scram::{
        Nonce, ScramError,
        client::{Client, Secret},
    },
    tls::{ClientTls, certificate},
    wire::{self, Authentication, Backend, FrameError, Malformed, TransactionStatus},
};
use bytes::BytesMut;
use std::{collections::BTreeMap, fmt, io, path::PathBuf, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
};

pub use stream::ServerStream;

/// The most bytes of one message while logging in: errors are the longest.
const MAX_LOGIN_BYTES: usize = 64 << 10;

/// How many bytes a connection's buffer begins with.
const BUFFER_BYTES: usize = 16 << 10;

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A host and a port.
    Tcp {
        /// A name or an address.
        host: String,
        /// The port.
        port: u16,
    },
    /// The path of a socket, such as `/run/postgresql/.s.PGSQL.5432`.
    Unix(PathBuf),
}

/// Whether a server that asks for no password is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutPassword {
    /// No: it does not show who it is.
    Refused,
    /// Yes: on a socket whose folder only the right ones can write to, or in tests.
    Allowed,
}

/// A server to log in to.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where it is.
    pub address: Address,
    /// How its certificate is checked; nothing for a connection in plain text: loopback and sockets only.
    pub tls: Option<ClientTls>,
    /// Whether it may ask for no password.
    pub without_password: WithoutPassword,
    /// Which versions are accepted.
    pub floor: VersionFloor,
    /// How long connecting and logging in may take together.
    pub limit: Duration,
}

/// As whom.
#[derive(Debug, Clone)]
pub struct Account {
    /// The role.
    pub role: String,
    /// The database.
    pub database: String,
    /// What `pg_stat_activity` shows.
    pub application_name: String,
    /// What proves it.
    pub secret: Secret,
}

/// A connection that waits for its first statement.
#[derive(Debug)]
pub struct ServerConnection {
    /// Both ways.
    pub stream: ServerStream,
    /// What was read and not yet taken; empty after logging in, unless the server goes on unasked.
    pub buffer: BytesMut,
    /// What the server said of its settings.
    pub parameters: BTreeMap<String, String>,
    /// What ends a statement of it.
    pub cancel_key: CancelKey,
    /// The server's version.
    pub version: Version,
    /// Where the session stands.
    pub status: TransactionStatus,
    /// The keys that proved the password: with them the next login of the role computes next to nothing.
    pub secret: Secret,
}

/// What ends a statement of a connection.
#[derive(Clone, PartialEq, Eq)]
pub struct CancelKey {
    /// The server's process.
    pub process: u32,
    key: Vec<u8>,
}

impl fmt::Debug for CancelKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CancelKey(process {}, …)", self.process)
    }
}

/// A version of PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Such as 17.
    pub major: u32,
    /// Such as 6.
    pub minor: u32,
}

/// The oldest version accepted of each major one; a major version below all of them is refused, above all accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionFloor(pub Vec<Version>);

impl Default for VersionFloor {
    /// # Source
    ///
    /// The releases of 14 August 2025 mend CVE-2025-8713: statistics gave away rows that policies hide.
    fn default() -> Self {
        Self([(15, 14), (16, 10), (17, 6)].map(|(major, minor)| Version { major, minor }).to_vec())
    }
}

impl VersionFloor {
    fn admits(&self, version: Version) -> bool {
        match self.0.iter().find(|floor| floor.major == version.major) {
            Some(floor) => version.minor >= floor.minor,
            None => self.0.iter().all(|floor| version.major > floor.major),
        }
    }
}

impl Version {
    /// Reads `server_version`, such as `15.14 (Debian 15.14-0+deb12u1)`.
    pub fn parse(text: &str) -> Option<Self> {
        let number = text.split_whitespace().next()?;
        let (major, minor) = number.split_once('.')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The server cannot be reached, or went away.
    #[error("the connection to PostgreSQL failed while {doing}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It took too long.
    #[error("PostgreSQL did not let role `{role}` in within {limit:?}")]
    Late {
        /// Who waited.
        role: String,
        /// How long.
        limit: Duration,
    },
    /// The server does not speak TLS.
    #[error("PostgreSQL does not offer TLS, which the configuration demands")]
    NoTls,
    /// The server sent nonsense.
    #[error("PostgreSQL sent bytes that are no messages")]
    Frame(#[from] FrameError),
    /// The server sent nonsense.
    #[error("PostgreSQL sent a message that cannot be read")]
    Malformed(#[from] Malformed),
    /// The server sent something else than logging in has.
    #[error("PostgreSQL sent a message `{}` while role `{role}` was logging in", char::from(*.tag))]
    Unexpected {
        /// Who logged in.
        role: String,
        /// The type of the message.
        tag: u8,
    },
    /// The server asks in a way that would give the password away, or that is not spoken here.
    #[error("PostgreSQL asks role `{role}` for {asked}; only SCRAM-SHA-256 is answered")]
    Method {
        /// Who was asked.
        role: String,
        /// For what.
        asked: &'static str,
    },
    /// The server asks for nothing.
    #[error("PostgreSQL lets role `{role}` in without a password, so it did not show who it is")]
    NoPasswordAsked {
        /// Who was let in.
        role: String,
    },
    /// SCRAM failed.
    #[error("logging in as role `{role}` failed")]
    Scram {
        /// Who.
        role: String,
        /// Why.
        #[source]
        source: ScramError,
    },
    /// The server refused.
    #[error("PostgreSQL refused role `{role}` with {code}: {message}")]
    Refused {
        /// Whom.
        role: String,
        /// The SQLSTATE.
        code: String,
        /// What it said.
        message: String,
    },
    /// The server is too old.
    #[error("PostgreSQL is version `{0}`, in which policies are known to leak rows")]
    TooOld(String),
    /// The session is not in UTF-8.
    #[error("PostgreSQL speaks `{0}` on this connection, not UTF8")]
    Encoding(String),
}

/// Connects to a server and logs in.
///
/// # Errors
///
/// If it cannot be reached, does not show that it knows the role's verifier, refuses, or is too old. The connection is
/// closed then.
pub async fn login(server: &Server, account: &Account) -> Result<ServerConnection, LoginError> {
    let late = |_| LoginError::Late { role: account.role.clone(), limit: server.limit };
    tokio::time::timeout(server.limit, login_without_limit(server, account)).await.map_err(late)?
}

/// Asks a server to end the statement that a connection runs; whether it does, nobody says.
///
/// # Errors
///
/// If the server cannot be reached.
pub async fn cancel(server: &Server, key: &CancelKey) -> Result<(), LoginError> {
    let work = async {
        let mut stream = connect(server).await?;
        let mut out = BytesMut::new();
        wire::put_cancel(key.process, &key.key, &mut out);
        send(&mut stream, &mut out).await?;
        // The server closes when it has read: returning earlier could lose the request with the connection.
        let mut rest = [0; 64];
        while stream.read(&mut rest).await.is_ok_and(|n_bytes| n_bytes > 0) {}
        Ok(())
    };
    let late = |_| LoginError::Late { role: "(cancel request)".to_owned(), limit: server.limit };
    tokio::time::timeout(server.limit, work).await.map_err(late)?
}

fn io(doing: &'static str) -> impl Fn(io::Error) -> LoginError {
    move |source| LoginError::Io { doing, source }
}

async fn send(stream: &mut ServerStream, out: &mut BytesMut) -> Result<(), LoginError> {
    stream.write_all(out).await.map_err(io("writing"))?;
    stream.flush().await.map_err(io("writing"))?;
    out.clear();
    Ok(())
}

async fn connect(server: &Server) -> Result<ServerStream, LoginError> {
    let connecting = io("connecting");
    let tcp = match &server.address {
        Address::Unix(path) => return UnixStream::connect(path).await.map(ServerStream::Unix).map_err(connecting),
        Address::Tcp { host, port } => {
            TcpStream::connect((host.trim_matches(['[', ']']), *port)).await.map_err(&connecting)?
        }
    };
    tcp.set_nodelay(true).map_err(connecting)?;
    let Some(tls) = &server.tls else { return Ok(ServerStream::Tcp(tcp)) };
    let mut stream = ServerStream::Tcp(tcp);
    let mut out = BytesMut::new();
    wire::put_ssl_request(&mut out);
    send(&mut stream, &mut out).await?;
    // One byte and no more: whatever follows it in plain text is then read as TLS, and fails there (CVE-2021-23222).
    let mut answer = [0];
    stream.read_exact(&mut answer).await.map_err(io("asking for TLS"))?;
    let (b'S', ServerStream::Tcp(tcp)) = (answer[0], stream) else { return Err(LoginError::NoTls) };
    let connector = tokio_rustls::TlsConnector::from(tls.config.clone());
    let stream = connector.connect(tls.name.clone(), tcp).await.map_err(io("beginning TLS"))?;
    Ok(ServerStream::Tls(Box::new(stream)))
}

/// Where the exchange stands.
enum Step {
    /// The server was told who comes.
    Begun,
    /// Our first message of SCRAM is sent.
    Challenge(Box<Client>),
    /// Our proof is sent.
    Proof(crate::scram::client::Proved),
    /// The server showed that it knows the verifier.
    Known,
    /// It let us in.
    In,
}

async fn login_without_limit(server: &Server, account: &Account) -> Result<ServerConnection, LoginError> {
    let role = || account.role.clone();
    let scram = |source| LoginError::Scram { role: account.role.clone(), source };
    let mut stream = connect(server).await?;
    let endpoint = stream.peer_certificate().and_then(certificate::endpoint_hash);
    let mut out = BytesMut::new();
    let parameters = [
        ("user", account.role.as_str()),
        ("database", account.database.as_str()),
        ("application_name", account.application_name.as_str()),
        ("client_encoding", "UTF8"),
    ];
    wire::put_startup(wire::VERSION_3_2, &parameters, &mut out);
    send(&mut stream, &mut out).await?;

    let mut buffer = BytesMut::with_capacity(BUFFER_BYTES);
    let mut parameters = BTreeMap::new();
    let mut cancel_key = None;
    let mut secret = account.secret.clone();
    let mut step = Step::Begun;
    let status = loop {
        let message = next_message(&mut stream, &mut buffer).await?;
        let frame = wire::Frame { tag: message[0], bytes: &message };
        step = match (step, Backend::parse(&frame)?) {
            (Step::Begun, Backend::NegotiateProtocolVersion { version: wire::VERSION_3_0, .. }) => Step::Begun,
            (Step::Begun, Backend::Authentication(Authentication::Sasl(list))) => {
                let offered = Authentication::mechanisms(list);
                let (mechanism, binding) = Client::choose(offered, endpoint.clone()).map_err(scram)?;
                let (first, client) = Client::begin(secret.clone(), "", binding, Nonce::random());
                wire::put_sasl_initial(mechanism, first.as_bytes(), &mut out);
                send(&mut stream, &mut out).await?;
                Step::Challenge(Box::new(client))
            }
            (Step::Challenge(client), Backend::Authentication(Authentication::SaslContinue(challenge))) => {
                let (proof, proved) = client.prove(challenge).map_err(scram)?;
                wire::put_sasl_response(proof.as_bytes(), &mut out);
                send(&mut stream, &mut out).await?;
                Step::Proof(proved)
            }
            (Step::Proof(proved), Backend::Authentication(Authentication::SaslFinal(last))) => {
                secret = proved.finish(last).map_err(scram)?;
                Step::Known
            }
            (Step::Known, Backend::Authentication(Authentication::Ok)) => Step::In,
            (Step::Begun, Backend::Authentication(Authentication::Ok)) => match server.without_password {
                WithoutPassword::Allowed => Step::In,
                WithoutPassword::Refused => return Err(LoginError::NoPasswordAsked { role: role() }),
            },
            (Step::Begun, Backend::Authentication(asked)) => {
                let asked = match asked {
                    Authentication::CleartextPassword => "the password as it is",
                    Authentication::Md5Password(_) => "the password hashed with MD5",
                    _ => "a method that is not known here",
                };
                return Err(LoginError::Method { role: role(), asked });
            }
            (_, Backend::ErrorResponse(error)) => {
                let text = |kind| String::from_utf8_lossy(error.field(kind).unwrap_or_default()).into_owned();
                return Err(LoginError::Refused { role: role(), code: text(b'C'), message: text(b'M') });
            }
            (step, Backend::NoticeResponse(_)) => step,
            (Step::In, Backend::ParameterStatus { name, value }) => {
                parameters.insert(name.to_owned(), value.to_owned());
                Step::In
            }
            (Step::In, Backend::BackendKeyData { process, key }) => {
                cancel_key = Some(CancelKey { process, key: key.to_vec() });
                Step::In
            }
            (Step::In, Backend::ReadyForQuery(status)) => break status,
            _ => return Err(LoginError::Unexpected { role: role(), tag: frame.tag }),
        };
    };
    let said = |name: &str| parameters.get(name).cloned().unwrap_or_default();
    let version = Version::parse(&said("server_version"))
        .filter(|version| server.floor.admits(*version))
        .ok_or_else(|| LoginError::TooOld(said("server_version")))?;
    if said("client_encoding") != "UTF8" {
        return Err(LoginError::Encoding(said("client_encoding")));
    }
    let cancel_key = cancel_key.ok_or(LoginError::Unexpected { role: role(), tag: b'Z' })?;
    Ok(ServerConnection { stream, buffer, parameters, cancel_key, version, status, secret })
}

async fn next_message(stream: &mut ServerStream, buffer: &mut BytesMut) -> Result<BytesMut, LoginError> {
    loop {
        if let Some(message) = wire::take(buffer, MAX_LOGIN_BYTES)? {
            return Ok(message);
        }
        if stream.read_buf(buffer).await.map_err(io("logging in"))? == 0 {
            return Err(io("logging in")(io::ErrorKind::UnexpectedEof.into()));
        }
    }
}
