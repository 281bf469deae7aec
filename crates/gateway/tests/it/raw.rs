//! A client that says what no driver would: one message of the protocol at a time, in any order.

use crate::stage::{PASSWORD, Stage};
use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use vigie_gateway::{
    scram::{
        Nonce,
        client::{Client, Secret},
    },
    wire::{self, Authentication, Backend, BindMessage, Frame, Named, Notice},
};

/// A client.
pub struct Raw {
    /// The connection.
    pub stream: TcpStream,
    /// What is to be sent.
    pub out: BytesMut,
    /// The process and key that the gateway gave it.
    pub key: (u32, Vec<u8>),
    buffer: BytesMut,
}

/// What came back until the server was ready, or the connection ended.
#[derive(Debug, Default)]
pub struct Came {
    /// Tags of the messages, in order, but for settings and notices, which the gateway keeps back.
    pub tags: String,
    /// Rows, in the format asked for.
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
    /// Lines of a COPY.
    pub copied: Vec<Vec<u8>>,
    /// Command tags.
    pub completed: Vec<String>,
    /// SQLSTATEs.
    pub errors: Vec<String>,
    /// Whether the connection ended.
    pub ended: bool,
}

impl Came {
    /// Returns the rows as texts.
    pub fn texts(&self) -> Vec<Vec<Option<String>>> {
        let text = |value: &Option<Vec<u8>>| value.as_ref().map(|it| String::from_utf8_lossy(it).into_owned());
        self.rows.iter().map(|row| row.iter().map(text).collect()).collect()
    }
}

impl Raw {
    /// Logs somebody in, for a purpose.
    pub async fn connect(stage: &Stage, who: &str, purpose: &str) -> Self {
        Self::connect_to(stage.port, who, &stage.database, purpose).await
    }

    /// The same, at a port.
    pub async fn connect_to(port: u16, who: &str, database: &str, purpose: &str) -> Self {
        Self::log_in(port, who, database, &format!("-c vigie.purpose={purpose}")).await
    }

    /// Logs the superuser in at the server itself, where names mean what is in a schema.
    pub async fn direct(port: u16, database: &str, schema: &str) -> Self {
        Self::log_in(port, "postgres", database, &format!("-c search_path={schema}")).await
    }

    async fn log_in(port: u16, who: &str, database: &str, options: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the gateway listens");
        let (out, buffer) = (BytesMut::new(), BytesMut::new());
        let mut raw = Self { stream, out, key: (0, Vec::new()), buffer };
        let parameters = [("user", who), ("database", database), ("options", options)];
        wire::put_startup(wire::VERSION_3_0, &parameters, &mut raw.out);
        raw.send().await;
        let mut client = None;
        loop {
            let message = raw.message().await.expect("the gateway goes on");
            match Backend::parse(&Frame { tag: message[0], bytes: &message }).expect("it speaks the protocol") {
                Backend::Authentication(Authentication::Sasl(offered)) => {
                    let (mechanism, binding) =
                        Client::choose(Authentication::mechanisms(offered), None).expect("SCRAM is offered");
                    let secret = Secret::Password(PASSWORD.to_owned());
                    let (first, begun) = Client::begin(secret, "", binding, Nonce::random());
                    client = Some(begun);
                    wire::put_sasl_initial(mechanism, first.as_bytes(), &mut raw.out);
                    raw.send().await;
                }
                Backend::Authentication(Authentication::SaslContinue(challenge)) => {
                    let (proof, _) = client.take().expect("it was begun").prove(challenge).expect("a challenge");
                    wire::put_sasl_response(proof.as_bytes(), &mut raw.out);
                    raw.send().await;
                }
                Backend::BackendKeyData { process, key } => raw.key = (process, key.to_vec()),
                Backend::ErrorResponse(error) => panic!("{:?}", code(&error)),
                Backend::ReadyForQuery(_) => return raw,
                _ => {}
            }
        }
    }

    /// Sends what was put.
    pub async fn send(&mut self) {
        // A gateway that has ended the session does not take it; what came back says so.
        let _ = self.stream.write_all(&self.out.split()).await;
    }

    /// Returns the next message; `None` at the end.
    pub async fn message(&mut self) -> Option<BytesMut> {
        loop {
            if let Some(message) = wire::take(&mut self.buffer, wire::MAX_SERVER_BYTES).expect("messages") {
                return Some(message);
            }
            if !matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..)) {
                return None;
            }
        }
    }

    /// Sends what was put, and takes what comes until the gateway was ready so many times.
    pub async fn ready(&mut self, times: usize) -> Came {
        self.send().await;
        let mut came = Came::default();
        let mut left = times;
        while left > 0 {
            let Some(message) = self.message().await else {
                came.ended = true;
                return came;
            };
            if !b"SN".contains(&message[0]) {
                came.tags.push(char::from(message[0]));
            }
            match Backend::parse(&Frame { tag: message[0], bytes: &message }).expect("it speaks the protocol") {
                Backend::DataRow(row) => came.rows.push(row.columns().map(|it| it.map(<[u8]>::to_vec)).collect()),
                Backend::CopyData(line) => came.copied.push(line.to_vec()),
                Backend::CommandComplete(tag) => came.completed.push(tag.to_owned()),
                Backend::ErrorResponse(error) => came.errors.push(code(&error)),
                Backend::ReadyForQuery(_) => left -= 1,
                _ => {}
            }
        }
        came
    }

    /// Sends a `Query` and takes its answer.
    pub async fn query(&mut self, sql: &str) -> Came {
        wire::put_query(sql, &mut self.out);
        self.ready(1).await
    }

    /// Puts a `Parse`.
    pub fn parse(&mut self, name: &str, sql: &str) -> &mut Self {
        wire::put_parse(name, sql, std::iter::empty(), &mut self.out);
        self
    }

    /// Puts a `Bind` without parameters, for results in text.
    pub fn bind(&mut self, portal: &str, statement: &str) -> &mut Self {
        self.bind_as(portal, statement, &[])
    }

    /// Puts a `Bind` without parameters.
    pub fn bind_as(&mut self, portal: &str, statement: &str, result_formats: &[i16]) -> &mut Self {
        wire::put_bind(&BindMessage { portal, statement, result_formats, ..BindMessage::default() }, &mut self.out);
        self
    }

    /// Puts a `Describe` of a portal.
    pub fn describe(&mut self, portal: &str) -> &mut Self {
        wire::put_describe(Named::Portal(portal), &mut self.out);
        self
    }

    /// Puts an `Execute`.
    pub fn execute(&mut self, portal: &str, rows: i32) -> &mut Self {
        wire::put_execute(portal, rows, &mut self.out);
        self
    }

    /// Puts a `Parse`, `Bind` and `Execute` of a statement that has no name.
    pub fn run(&mut self, sql: &str) -> &mut Self {
        self.parse("", sql).bind("", "").execute("", 0)
    }

    /// Puts a `Sync`, and takes the answer.
    pub async fn sync(&mut self) -> Came {
        wire::put_sync(&mut self.out);
        self.ready(1).await
    }
}

fn code(error: &Notice<'_>) -> String {
    error.code().unwrap_or("no code").to_owned()
}
