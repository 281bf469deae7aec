//! How a client comes in: encryption, its startup message, and the proof of who it is.
//!
//! [`admit`] takes a fresh connection and returns a [`Client`] that has proved who it is and got `AuthenticationOk`, or a
//! request to cancel, or the reason why not; what a client is told is said in it already. What follows (settings, the key
//! for cancelling, `ReadyForQuery`) is `session`'s, after the policy has decided.
//!
//! Nothing that arrives in plain text survives into an encrypted connection, and after the startup message only messages
//! of the login are read: a second startup message is refused like any other bytes.

pub mod asked;
mod stream;
#[cfg(test)]
mod tests;

use crate::{
    identity::{Ask, Channel, Identities, IdentityError, Method, Principal},
    place::{self, Networks, PlaceError},
    scram::{Nonce, ScramError, server::Server},
    tls::{ALPN, Reloadable, certificate},
    wire::{self, Frame, FrameError, Frontend, Last, Malformed, Report, Severity, StartupPacket},
};
use bytes::BytesMut;
use std::{io, net::IpAddr, sync::Arc, time::Duration};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

pub use asked::{Asked, AskedError};
pub use stream::ClientStream;

/// How many bytes a client's buffer begins with.
const BUFFER_BYTES: usize = 16 << 10;

/// Under which conditions clients come in.
#[derive(Debug, Clone)]
pub struct Door {
    /// What we show in TLS; nothing for connections in plain text only.
    pub tls: Option<Arc<Reloadable>>,
    /// Whether connections in plain text are taken.
    pub plain_text: PlainText,
    /// Who there is.
    pub identities: Arc<Identities>,
    /// Where people may come from.
    pub networks: Arc<Networks>,
    /// How long all of it may take together.
    pub limit: Duration,
}

/// Whether connections in plain text are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainText {
    /// No.
    Refused,
    /// Yes: the loopback only.
    Allowed,
}

/// What a connection turned out to be.
#[derive(Debug)]
pub enum Arrival<S> {
    /// A client.
    Client(Box<Client<S>>),
    /// A request to end a statement of another connection; nothing is answered.
    Cancel {
        /// What `BackendKeyData` said.
        process: u32,
        /// The same.
        key: Vec<u8>,
    },
    /// It was closed before it asked for anything, as those do that only look whether someone listens.
    Nothing,
}

/// A client that has proved who it is.
#[derive(Debug)]
pub struct Client<S> {
    /// Both ways.
    pub stream: ClientStream<S>,
    /// What was read and not yet taken.
    pub buffer: BytesMut,
    /// What it asked for.
    pub asked: Asked,
    /// Who it is.
    pub principal: Principal,
    /// The version spoken: [`wire::VERSION_3_0`] or [`wire::VERSION_3_2`].
    pub version: u32,
    /// Whether what is said can be overheard.
    pub channel: Channel,
    /// From where it comes.
    pub peer: IpAddr,
}

/// Why a client is not let in.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    /// The connection failed.
    #[error("the client's connection failed while it logged in")]
    Io(#[source] io::Error),
    /// TLS failed.
    #[error("TLS with the client failed")]
    Tls(#[source] io::Error),
    /// It took too long.
    #[error("the client did not log in within {0:?}")]
    Late(Duration),
    /// It sent bytes that are no messages.
    #[error("the client sent bytes that are no messages")]
    Frame(#[from] FrameError),
    /// It sent a message that cannot be read.
    #[error("the client sent a message that cannot be read")]
    Malformed(#[from] Malformed),
    /// It sent a message that has no place here.
    #[error("the client sent {0}")]
    Unexpected(&'static str),
    /// It sent bytes in plain text behind its wish for encryption.
    #[error("bytes came in plain text behind the request for encryption")]
    Injected,
    /// It wants no encryption.
    #[error("the client does not encrypt, which the configuration demands")]
    PlainText,
    /// It asked for something that is not offered.
    #[error("the client asked for what is not offered")]
    Asked(#[from] AskedError),
    /// It did not prove who it is.
    #[error("`{user}` was not proved")]
    Scram {
        /// Who was asked for.
        user: String,
        /// Why.
        #[source]
        source: ScramError,
    },
    /// It proved someone who is not known.
    #[error("`{user}` was not proved")]
    Identity {
        /// Who was asked for.
        user: String,
        /// Why.
        #[source]
        source: IdentityError,
    },
    /// It comes from a wrong place.
    #[error("denied by place (DA-04)")]
    Place(#[from] PlaceError),
}

impl StartupError {
    /// Returns what the client is told; nothing where it would not be understood, or nobody listens.
    ///
    /// Why a proof failed is not told: a wrong password, an unknown name and a wrong token sound alike.
    fn told(&self) -> Option<Told> {
        let told = |code, message: String| Some(Told { code, message, hint: None });
        match self {
            Self::Io(_) | Self::Tls(_) | Self::Injected => None,
            Self::Late(limit) => told("57014", format!("logging in took longer than {} s", limit.as_secs())),
            Self::Frame(error) => told("08P01", error.to_string()),
            Self::Malformed(error) => told("08P01", error.to_string()),
            Self::Unexpected(what) => told("08P01", format!("{what} has no place while logging in")),
            Self::PlainText => Some(Told {
                code: "28000",
                message: "connections in plain text are refused".to_owned(),
                hint: Some("connect with sslmode=verify-full".to_owned()),
            }),
            Self::Asked(error) => {
                Some(Told { code: error.code(), message: error.to_string(), hint: error.hint().map(str::to_owned) })
            }
            Self::Scram { user, .. } | Self::Identity { user, .. } => {
                told("28P01", format!("logging in as `{user}` failed"))
            }
            Self::Place(_) => Some(Told {
                code: "42501",
                message: "denied: the network you come from does not fit your record".to_owned(),
                hint: Some("connect from a network of the country you are on record in".to_owned()),
            }),
        }
    }
}

struct Told {
    code: &'static str,
    message: String,
    hint: Option<String>,
}

/// Takes a fresh connection to the point where it is known who asks for what.
///
/// `now` is asked when a token is verified.
///
/// # Errors
///
/// If the client is not let in. It has been told as much as it may know, and the connection is to be dropped.
pub async fn admit<S>(
    stream: S,
    peer: IpAddr,
    door: &Door,
    now: fn() -> jiff::Timestamp,
) -> Result<Arrival<S>, StartupError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut guest = Guest {
        stream: Some(ClientStream::Plain(stream)),
        buffer: BytesMut::with_capacity(BUFFER_BYTES),
        out: BytesMut::new(),
        endpoint: None,
    };
    let admitted = tokio::time::timeout(door.limit, guest.enter(peer, door, now)).await;
    let error = match admitted.unwrap_or(Err(StartupError::Late(door.limit))) {
        Ok(arrival) => return Ok(arrival),
        Err(error) => error,
    };
    if let (Some(told), Some(stream)) = (error.told(), &mut guest.stream) {
        let (message, hint) = (told.message.as_str(), told.hint.as_deref());
        let report = Report { severity: Severity::Fatal, code: told.code, message, detail: None, hint };
        guest.out.clear();
        wire::put_report(&report, &mut guest.out);
        // A client that does not read what it is told shall not keep us.
        let telling = async {
            stream.write_all(&guest.out).await?;
            stream.shutdown().await
        };
        let _ = tokio::time::timeout(Duration::from_secs(5).min(door.limit), telling).await;
    }
    Err(error)
}

/// A connection before it is known who it is.
struct Guest<S> {
    /// Taken while TLS begins: if that fails nobody can be told.
    stream: Option<ClientStream<S>>,
    buffer: BytesMut,
    out: BytesMut,
    /// The hash of the certificate that this connection was shown.
    endpoint: Option<Vec<u8>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guest<S> {
    fn stream(&mut self) -> &mut ClientStream<S> {
        self.stream.as_mut().expect("it is only away while TLS begins, and then this future is not polled elsewhere")
    }

    /// Reads more; whether there was more.
    async fn fill(&mut self) -> Result<More, StartupError> {
        let Self { stream, buffer, .. } = self;
        let stream = stream.as_mut().expect("it is only away while TLS begins");
        let n_bytes = stream.read_buf(buffer).await.map_err(StartupError::Io)?;
        Ok(if n_bytes == 0 { More::None } else { More::Some })
    }

    async fn send(&mut self) -> Result<(), StartupError> {
        let Self { stream, out, .. } = self;
        let stream = stream.as_mut().expect("it is only away while TLS begins");
        stream.write_all(out).await.map_err(StartupError::Io)?;
        stream.flush().await.map_err(StartupError::Io)?;
        out.clear();
        Ok(())
    }

    async fn enter(
        &mut self,
        peer: IpAddr,
        door: &Door,
        now: fn() -> jiff::Timestamp,
    ) -> Result<Arrival<S>, StartupError> {
        let Some(first) = self.greet(door).await? else { return Ok(Arrival::Nothing) };
        let frame = wire::startup_frame(&first, wire::MAX_BYTES_BEFORE_LOGIN)?;
        let frame = frame.expect("`greet` returns a whole packet");
        let message = match StartupPacket::parse(&frame)? {
            StartupPacket::CancelRequest { process, key } => return Ok(Arrival::Cancel { process, key: key.to_vec() }),
            StartupPacket::Startup(message) => message,
            StartupPacket::SslRequest | StartupPacket::GssEncRequest => {
                return Err(StartupError::Unexpected("a second request for encryption"));
            }
        };
        let channel = if self.stream().is_encrypted() { Channel::Encrypted } else { Channel::Plain };
        if channel == Channel::Plain && door.plain_text == PlainText::Refused {
            return Err(StartupError::PlainText);
        }
        let (version, told) = message.spoken();
        let unknown: Vec<&str> =
            message.parameters().map(|(name, _)| name).filter(|name| name.starts_with("_pq_.")).collect();
        if told == wire::Told::Must || !unknown.is_empty() {
            wire::put_negotiate_protocol_version(version, &unknown, &mut self.out);
        }
        let asked = Asked::parse(message.parameters())?;
        let principal = self.prove(&asked.user, channel, door, now).await?;
        place::tighten(&principal, peer, &door.networks)?;
        wire::put_authentication_ok(&mut self.out);
        self.send().await?;
        let buffer = std::mem::take(&mut self.buffer);
        let stream = self.stream.take().expect("it is only away while TLS begins");
        Ok(Arrival::Client(Box::new(Client { stream, buffer, asked, principal, version, channel, peer })))
    }

    /// Returns the first packet that is no request for encryption, after granting one; nothing if the client went away.
    async fn greet(&mut self, door: &Door) -> Result<Option<BytesMut>, StartupError> {
        let mut refused_gss = false;
        loop {
            if self.buffer.first() == Some(&TLS_RECORD) && !self.stream().is_encrypted() && !refused_gss {
                self.encrypt(door, Begun::Directly).await?;
                continue;
            }
            let length =
                wire::startup_frame(&self.buffer, wire::MAX_BYTES_BEFORE_LOGIN)?.map(|frame| frame.bytes.len());
            let Some(length) = length else {
                if self.fill().await? == More::Some {
                    continue;
                }
                let end = io::Error::from(io::ErrorKind::UnexpectedEof);
                return if self.buffer.is_empty() { Ok(None) } else { Err(StartupError::Io(end)) };
            };
            let packet = self.buffer.split_to(length);
            let frame = wire::StartupFrame { bytes: &packet };
            let wish = StartupPacket::parse(&frame)?;
            match wish {
                StartupPacket::SslRequest | StartupPacket::GssEncRequest if self.stream().is_encrypted() => {
                    return Err(StartupError::Unexpected("a request for encryption within encryption"));
                }
                // What lies behind the request was sent in plain text, by whoever is in between (CVE-2021-23214).
                StartupPacket::SslRequest | StartupPacket::GssEncRequest if !self.buffer.is_empty() => {
                    return Err(StartupError::Injected);
                }
                StartupPacket::SslRequest if door.tls.is_some() => self.encrypt(door, Begun::ByRequest).await?,
                StartupPacket::GssEncRequest if refused_gss => {
                    return Err(StartupError::Unexpected("a second request for encryption"));
                }
                StartupPacket::SslRequest | StartupPacket::GssEncRequest => {
                    refused_gss |= wish == StartupPacket::GssEncRequest;
                    self.out.extend_from_slice(b"N");
                    self.send().await?;
                }
                StartupPacket::CancelRequest { .. } | StartupPacket::Startup(_) => return Ok(Some(packet)),
            }
        }
    }

    async fn encrypt(&mut self, door: &Door, begun: Begun) -> Result<(), StartupError> {
        let tls = door.tls.as_ref().ok_or(StartupError::Unexpected("TLS, which is not configured"))?.current();
        if begun == Begun::ByRequest {
            self.out.extend_from_slice(b"S");
            self.send().await?;
        }
        let Some(ClientStream::Plain(stream)) = self.stream.take() else {
            return Err(StartupError::Unexpected("TLS within TLS"));
        };
        let read = std::mem::replace(&mut self.buffer, BytesMut::with_capacity(BUFFER_BYTES));
        let acceptor = tokio_rustls::TlsAcceptor::from(tls.config.clone());
        let stream = acceptor.accept(stream::Replayed::new(read, stream)).await.map_err(StartupError::Tls)?;
        // Without the request the protocol must be named: else a browser could be made to speak to us.
        if begun == Begun::Directly && stream.get_ref().1.alpn_protocol() != Some(ALPN) {
            return Err(StartupError::Tls(io::Error::other("the client does not name the protocol `postgresql`")));
        }
        self.endpoint.clone_from(&tls.endpoint);
        self.stream = Some(ClientStream::Tls(Box::new(stream)));
        Ok(())
    }

    async fn prove(
        &mut self,
        user: &str,
        channel: Channel,
        door: &Door,
        now: fn() -> jiff::Timestamp,
    ) -> Result<Principal, StartupError> {
        let unproved = |source| StartupError::Identity { user: user.to_owned(), source };
        if let Some(certificate) = self.stream().peer_certificate() {
            let names = certificate::names(certificate).unwrap_or_default();
            return door.identities.by_certificate(user, &names).map_err(unproved);
        }
        match door.identities.ask(user, channel) {
            Ask::Scram(credential) => {
                let server = Server::new(credential, self.endpoint.clone());
                let method = self.scram(server).await.map_err(|error| match error {
                    Failed::Scram(source) => StartupError::Scram { user: user.to_owned(), source },
                    Failed::Startup(error) => error,
                })?;
                let nobody = StartupError::Scram { user: user.to_owned(), source: ScramError::WrongProof };
                door.identities.by_password(user, method).ok_or(nobody)
            }
            Ask::Token => {
                wire::put_ask_password(&mut self.out);
                self.send().await?;
                let message = self.secret().await?;
                let token = Frontend::password(&message[wire::HEADER_BYTES..])?.to_owned();
                let (identities, asked) = (door.identities.clone(), user.to_owned());
                // Keys may have to be fetched, which waits.
                let verified = tokio::task::spawn_blocking(move || identities.by_token(&asked, &token, now()));
                verified.await.map_err(|error| StartupError::Io(io::Error::other(error)))?.map_err(unproved)
            }
        }
    }

    async fn scram(&mut self, server: Server) -> Result<Method, Failed> {
        wire::put_sasl_mechanisms(server.mechanisms(), &mut self.out);
        self.send().await?;
        let message = self.secret().await?;
        let (mechanism, first) = Frontend::sasl_initial(&message[wire::HEADER_BYTES..]).map_err(StartupError::from)?;
        let bound = mechanism == crate::scram::SCRAM_SHA_256_PLUS;
        let (challenge, challenged) =
            server.challenge(mechanism, first.unwrap_or_default(), &Nonce::random()).map_err(Failed::Scram)?;
        wire::put_sasl_step(challenge.as_bytes(), Last::No, &mut self.out);
        self.send().await?;
        let message = self.secret().await?;
        let last = challenged.finish(&message[wire::HEADER_BYTES..]).map_err(Failed::Scram)?;
        wire::put_sasl_step(last.as_bytes(), Last::Yes, &mut self.out);
        Ok(if bound { Method::ScramBound } else { Method::Scram })
    }

    /// Returns the client's next message, which must be one of the login.
    async fn secret(&mut self) -> Result<BytesMut, StartupError> {
        loop {
            // A startup message has a zero where the type is, so a second one is seen at its first byte.
            if self.buffer.first().is_some_and(|tag| *tag != b'p') {
                return Err(StartupError::Unexpected("something else than the answer asked for"));
            }
            if let Some(message) = wire::take(&mut self.buffer, wire::MAX_BYTES_BEFORE_LOGIN)? {
                debug_assert!(matches!(
                    Frontend::parse(&Frame { tag: b'p', bytes: &message }),
                    Ok(Frontend::Secret(_))
                ));
                return Ok(message);
            }
            if self.fill().await? == More::None {
                return Err(StartupError::Io(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

/// The first byte of a TLS handshake record; a startup packet that begins with it would be far too long.
const TLS_RECORD: u8 = 0x16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum More {
    Some,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begun {
    Directly,
    ByRequest,
}

/// Why an exchange failed: in SCRAM, or around it.
enum Failed {
    Scram(ScramError),
    Startup(StartupError),
}

impl From<StartupError> for Failed {
    fn from(error: StartupError) -> Self {
        Self::Startup(error)
    }
}
