//! A client of the protocol that keeps every byte it is sent, so that a test can say what was *not* in them.
//!
//! It speaks TLS and SCRAM as a client must, and whatever else a test wants to send instead. It is no part of the gateway
//! and shares nothing with it: what both got wrong in the same way would go unseen.

use crate::clients::Endpoint;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, pki_types::ServerName};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use sha2::{Digest as _, Sha256};
use std::{
    fs,
    io::{self, Read, Write},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

/// How long a server may be silent. Nothing here takes as long, so this is where something hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Protocol 3.0.
pub const VERSION_3: u32 = 196_608;

/// A message of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its first byte.
    pub kind: u8,
    /// What follows its length.
    pub body: Vec<u8>,
}

impl Message {
    /// Returns the SQLSTATE of an error or notice.
    pub fn sqlstate(&self) -> Option<String> {
        let field = |part: &&[u8]| part.first() == Some(&b'C');
        let found = self.body.split(|byte| *byte == 0).find(field)?;
        (self.kind == b'E' || self.kind == b'N').then(|| String::from_utf8_lossy(&found[1..]).into_owned())
    }

    /// Whether a text is in it, as bytes.
    pub fn contains(&self, text: &str) -> bool {
        self.body.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

/// Bytes both ways.
trait Channel: Read + Write + Send {}
impl<T: Read + Write + Send> Channel for T {}

/// A connection.
pub struct Wire {
    channel: Box<dyn Channel>,
    /// The hash of the server's certificate, where there is TLS.
    binding: Vec<u8>,
    /// Process id and secret, for cancelling.
    pub key: (u32, Vec<u8>),
    /// Everything that was heard.
    pub heard: Vec<Message>,
}

/// How SCRAM is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scram {
    /// Bound to the channel.
    Bound,
    /// Saying that the server offered no binding, though it did: a server that lets that pass can be stood in front of.
    SayingNoneWasOffered,
    /// With a proof that proves nothing.
    WithoutProof,
    /// Bound, but with another first message in the middle, that names a superuser.
    WithSecondStartup,
}

impl Wire {
    /// Connects, without a word.
    pub fn plain(endpoint: &Endpoint) -> io::Result<Self> {
        let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { channel: Box::new(stream), binding: Vec::new(), key: (0, Vec::new()), heard: Vec::new() })
    }

    /// Connects by TLS; `before` is sent in the same breath as the request for it, in the clear.
    pub fn encrypted(endpoint: &Endpoint, before: &[u8]) -> io::Result<Self> {
        let mut stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut request = [8u32.to_be_bytes(), 80_877_103u32.to_be_bytes()].concat();
        request.extend_from_slice(before);
        stream.write_all(&request)?;
        let mut answer = [0];
        stream.read_exact(&mut answer)?;
        if answer != *b"S" {
            return Err(io::Error::other("the server does not speak TLS"));
        }
        let mut roots = RootCertStore::empty();
        let authority = fs::read(&endpoint.authority)?;
        roots.add(CertificateDer::from_pem_slice(&authority).map_err(io::Error::other)?).map_err(io::Error::other)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from(endpoint.host.clone()).map_err(io::Error::other)?;
        let mut connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        let certificate = connection.peer_certificates().and_then(<[_]>::first).map(|it| Sha256::digest(it).to_vec());
        Ok(Self {
            channel: Box::new(StreamOwned::new(connection, stream)),
            binding: certificate.unwrap_or_default(),
            key: (0, Vec::new()),
            heard: Vec::new(),
        })
    }

    /// Connects, says who it is, and waits until the server is ready; `more` are further words of the first message.
    ///
    /// # Errors
    ///
    /// What the server said instead, or nothing if it closed the connection.
    pub fn open(endpoint: &Endpoint, more: &[(String, String)]) -> Result<Self, Vec<Message>> {
        let mut wire = Self::encrypted(endpoint, b"").map_err(|_| Vec::new())?;
        let words = startup(endpoint, more);
        match wire.write(&words).and_then(|()| wire.authenticate(endpoint, Scram::Bound)) {
            Ok(()) => Ok(wire),
            Err(_) => Err(wire.heard),
        }
    }

    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.channel.write_all(bytes)?;
        self.channel.flush()
    }

    /// Returns the next message.
    ///
    /// # Errors
    ///
    /// If the connection ends, or nothing comes.
    pub fn next(&mut self) -> io::Result<Message> {
        let mut head = [0; 5];
        self.channel.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let mut body = vec![0; length.checked_sub(4).ok_or_else(|| io::Error::other("no message is that short"))?];
        self.channel.read_exact(&mut body)?;
        let message = Message { kind: head[0], body };
        self.heard.push(message.clone());
        Ok(message)
    }

    /// Sends bytes and returns all messages up to "ready for query"; or up to the end of the connection, where it ends.
    pub fn ask(&mut self, bytes: &[u8]) -> Vec<Message> {
        let from = self.heard.len();
        if self.write(bytes).is_ok() {
            while let Ok(message) = self.next() {
                match message.kind {
                    b'Z' => break,
                    // Nobody here has anything to copy in.
                    b'G' if self.write(&framed(b'f', b"no\0")).is_err() => break,
                    _ => {}
                }
            }
        }
        self.heard[from..].to_vec()
    }

    /// Asks by a simple Query.
    pub fn query(&mut self, sql: &str) -> Vec<Message> {
        self.ask(&framed(b'Q', &text(sql)))
    }

    /// Answers what the server wants to know until it is ready for queries.
    ///
    /// # Errors
    ///
    /// If the server refuses, closes the connection, wants something else than SCRAM, or does not know the password itself.
    pub fn authenticate(&mut self, endpoint: &Endpoint, how: Scram) -> io::Result<()> {
        let header = match how {
            Scram::SayingNoneWasOffered => "y,,",
            Scram::Bound | Scram::WithoutProof | Scram::WithSecondStartup => "p=tls-server-end-point,,",
        };
        let bare = "n=,r=a nonce of a test".replace(' ', "-");
        let mut expected = Vec::new();
        loop {
            let message = self.next()?;
            match message.kind {
                b'Z' => return Ok(()),
                b'E' => return Err(io::Error::other(message.sqlstate().unwrap_or_default())),
                b'K' if message.body.len() >= 8 => {
                    let process = message.body[..4].try_into().map(u32::from_be_bytes).expect("four bytes");
                    self.key = (process, message.body[4..].to_vec());
                }
                b'R' => match message.body.get(..4) {
                    Some([0, 0, 0, 0]) => {}
                    Some([0, 0, 0, 10]) => {
                        let mechanism = if header == "y,," { "SCRAM-SHA-256" } else { "SCRAM-SHA-256-PLUS" };
                        if how == Scram::WithSecondStartup {
                            let other = Endpoint { user: "postgres".to_owned(), ..endpoint.clone() };
                            self.write(&startup(&other, &[]))?;
                        }
                        let first = format!("{header}{bare}");
                        let mut body = text(mechanism);
                        body.extend_from_slice(&(first.len() as u32).to_be_bytes());
                        body.extend_from_slice(first.as_bytes());
                        self.write(&framed(b'p', &body))?;
                    }
                    Some([0, 0, 0, 11]) => {
                        let challenge = String::from_utf8_lossy(&message.body[4..]).into_owned();
                        let mut bound = header.as_bytes().to_vec();
                        if header.starts_with('p') {
                            bound.extend_from_slice(&self.binding);
                        }
                        let (mut answer, proven) = answer(&endpoint.password, &bare, &challenge, &bound)?;
                        expected = proven;
                        if how == Scram::WithoutProof {
                            let at = answer.find(",p=").expect("it was just made");
                            answer.replace_range(at.., &format!(",p={}", STANDARD.encode([0; 32])));
                        }
                        self.write(&framed(b'p', answer.as_bytes()))?;
                    }
                    Some([0, 0, 0, 12]) => {
                        let given = String::from_utf8_lossy(&message.body[4..]).into_owned();
                        if given.strip_prefix("v=").and_then(|it| STANDARD.decode(it).ok()) != Some(expected.clone()) {
                            return Err(io::Error::other("the server does not know the password"));
                        }
                    }
                    _ => return Err(io::Error::other("it is another way of authentication")),
                },
                _ => {}
            }
        }
    }
}

/// A message of the client.
pub fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    message.extend_from_slice(body);
    message
}

/// A text with the zero that ends it.
pub fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

/// The first message of a connection. A purpose is an option, unless `more` has options of its own.
pub fn startup(endpoint: &Endpoint, more: &[(String, String)]) -> Vec<u8> {
    let mut words =
        vec![("user".to_owned(), endpoint.user.clone()), ("database".to_owned(), endpoint.database.clone())];
    let purpose = format!("-c vigie.purpose={}", endpoint.purpose);
    words.push(("options".to_owned(), purpose));
    for (name, value) in more {
        match words.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) if name == "options" => *known = format!("{known} {value}"),
            Some((_, known)) => *known = value.clone(),
            None => words.push((name.clone(), value.clone())),
        }
    }
    let mut body = VERSION_3.to_be_bytes().to_vec();
    for (name, value) in words {
        body.extend(text(&name));
        body.extend(text(&value));
    }
    body.push(0);
    [&(body.len() as u32 + 4).to_be_bytes()[..], &body].concat()
}

fn mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

/// The client's final message of SCRAM-SHA-256 (RFC 5802, RFC 7677), and what the server must prove in turn.
fn answer(password: &str, bare: &str, challenge: &str, bound: &[u8]) -> io::Result<(String, Vec<u8>)> {
    let part = |name: &str| {
        let found = challenge.split(',').find_map(|part| part.strip_prefix(name));
        found.ok_or_else(|| io::Error::other(format!("the challenge has no `{name}`")))
    };
    let salt = STANDARD.decode(part("s=")?).map_err(io::Error::other)?;
    let rounds: u32 = part("i=")?.parse().map_err(io::Error::other)?;
    let mut block = mac(password.as_bytes(), &[&salt[..], &[0, 0, 0, 1]].concat());
    let mut salted = block.clone();
    for _ in 1..rounds {
        block = mac(password.as_bytes(), &block);
        salted.iter_mut().zip(&block).for_each(|(sum, byte)| *sum ^= byte);
    }
    let without = format!("c={},r={}", STANDARD.encode(bound), part("r=")?);
    let signed = format!("{bare},{challenge},{without}");
    let client = mac(&salted, b"Client Key");
    let signature = mac(&Sha256::digest(&client), signed.as_bytes());
    let proof: Vec<u8> = client.iter().zip(&signature).map(|(key, byte)| key ^ byte).collect();
    let server = mac(&mac(&salted, b"Server Key"), signed.as_bytes());
    Ok((format!("{without},p={}", STANDARD.encode(proof)), server))
}
