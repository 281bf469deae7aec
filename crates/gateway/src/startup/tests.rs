//! Clients at the door: `psql`, tokio-postgres, and some that we would rather not have.

use super::*;
use crate::{
    identity::{
        People,
        token::{
            Tokens,
            tests::{Provider, claims},
        },
    },
    place::{Network, UnknownNetwork},
    scram::{
        self,
        client::{Binding, Client as ScramClient, Secret},
    },
    tls::{ClientCertificates, ClientTls, Files, tests::Authority},
    wire::{Authentication, Backend, TransactionStatus, VERSION_3_0, VERSION_3_2},
};
use rcgen::{PKCS_ECDSA_P256_SHA256, SanType};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::Output,
};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use vigie_testkit::postgres::PostgresServer;

const PASSWORD: &str = "correct horse battery staple";
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn people() -> People {
    let verifier = scram::verifier(PASSWORD, b"0123456789abcdef", 4096);
    let text = format!(
        r#"
        schema = "people/1"
        [[person]]
        id = "ada"
        name = "Ada Example"
        entity = "Platform Ireland Ltd"
        country = "IE"
        groups = ["fraud"]
        scram = "{verifier}"
        certificate = "ada@platform.example"
        [[person]]
        id = "bo"
        name = "Bo Example"
        entity = "Platform Norge AS"
        country = "NO"
        scram = "{verifier}"
        "#
    );
    People::parse(&text).unwrap()
}

/// A gateway that only lets in.
struct Gate {
    folder: TempDir,
    authority: Authority,
    address: SocketAddr,
    arrivals: mpsc::UnboundedReceiver<Result<String, StartupError>>,
}

#[derive(Clone, Copy)]
enum Tls {
    None,
    Optional,
    Demanded,
    WithCertificates,
}

impl Gate {
    async fn open(tls: Tls) -> Self {
        Self::open_for(tls, Identities::new(people(), None, [7; 32])).await
    }

    async fn open_for(tls: Tls, identities: Identities) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("Vigie's tests");
        let (certificate, key) = authority.issue(&["localhost"], "localhost");
        let files = Files {
            certificate: folder.path().join("gate.crt"),
            key: folder.path().join("gate.key"),
            clients: match tls {
                Tls::WithCertificates => ClientCertificates::Optional(authority.pem().into()),
                _ => ClientCertificates::NotAsked,
            },
        };
        fs::write(&files.certificate, certificate).unwrap();
        fs::write(&files.key, key).unwrap();
        fs::write(folder.path().join("ca.crt"), authority.pem()).unwrap();
        let loopback = Network { cidr: "127.0.0.0/8".parse().unwrap(), country: "IE".parse().unwrap() };
        let door = Door {
            tls: if matches!(tls, Tls::None) { None } else { Some(Arc::new(Reloadable::load(files).unwrap())) },
            plain_text: if matches!(tls, Tls::Demanded) { PlainText::Refused } else { PlainText::Allowed },
            identities: Arc::new(identities),
            networks: Arc::new(Networks { networks: vec![loopback], unknown: UnknownNetwork::Deny }),
            limit: Duration::from_secs(20),
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, arrivals) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                let (door, sender) = (door.clone(), sender.clone());
                tokio::spawn(async move {
                    let arrival = admit(stream, peer.ip(), &door, jiff::Timestamp::now).await;
                    match arrival {
                        Ok(Arrival::Client(client)) => {
                            let _ = sender.send(Ok(format!("{} {:?}", client.principal.id, client.principal.method)));
                            serve(*client).await;
                        }
                        Ok(Arrival::Cancel { process, key }) => {
                            let _ = sender.send(Ok(format!("cancel {process} {key:?}")));
                        }
                        Ok(Arrival::Nothing) => drop(sender.send(Ok("nothing".to_owned()))),
                        Err(error) => drop(sender.send(Err(error))),
                    }
                });
            }
        });
        Self { folder, authority, address, arrivals }
    }

    async fn arrival(&mut self) -> Result<String, StartupError> {
        self.arrivals.recv().await.expect("the gate is open")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn psql(&self, user: &str, environment: &[(&str, &str)]) -> Output {
        let mut psql = tokio::process::Command::new(PostgresServer::shared().program("psql"));
        psql.args(["-XAt", "-h", "localhost", "-U", user, "-d", "platform", "-c", "SELECT who"]);
        psql.args(["-p", &self.address.port().to_string()]).env("PGPASSWORD", PASSWORD);
        psql.env("PGSSLROOTCERT", self.path("ca.crt")).env("PGSSLMODE", "prefer").env("PGCLIENTENCODING", "UTF8");
        psql.envs(environment.iter().copied()).output().await.unwrap()
    }

    async fn connect(&self) -> Hand {
        Hand::new(ClientStream::Plain(TcpStream::connect(self.address).await.unwrap()))
    }
}

/// Answers every statement with who asks, as a session would begin.
async fn serve(mut client: Client<TcpStream>) {
    let mut out = BytesMut::new();
    wire::put_parameter_status("server_version", "15.18", &mut out);
    wire::put_parameter_status("client_encoding", "UTF8", &mut out);
    wire::put_backend_key_data(7, &[1, 2, 3, 4], &mut out);
    wire::put_ready(TransactionStatus::Idle, &mut out);
    let who = format!(
        "{} of {} for {:?} by {:?} because {:?} as {:?} {:?}",
        client.principal.display,
        client.asked.database,
        client.asked.purpose,
        client.asked.ticket,
        client.asked.reason,
        client.asked.application_name,
        client.principal.method,
    );
    loop {
        if client.stream.write_all(&out).await.is_err() {
            return;
        }
        out.clear();
        let message = loop {
            if let Some(message) = wire::take(&mut client.buffer, wire::MAX_CLIENT_BYTES).unwrap() {
                break message;
            }
            if client.stream.read_buf(&mut client.buffer).await.unwrap_or(0) == 0 {
                return;
            }
        };
        if let Ok(Frontend::Query(_)) = Frontend::parse(&Frame { tag: message[0], bytes: &message }) {
            wire::put_row_description(&[wire::Column::text("who")], &mut out);
            wire::put_data_row([Some(who.as_bytes())].into_iter(), &mut out);
            wire::put_command_complete("SELECT 1", &mut out);
            wire::put_ready(TransactionStatus::Idle, &mut out);
        } else {
            return;
        }
    }
}

/// A client by hand.
struct Hand {
    stream: ClientStream<TcpStream>,
    buffer: BytesMut,
}

impl Hand {
    fn new(stream: ClientStream<TcpStream>) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    async fn put(&mut self, put: impl FnOnce(&mut BytesMut)) {
        let mut out = BytesMut::new();
        put(&mut out);
        self.say(&out).await;
    }

    /// The next message, or nothing when the gate has closed.
    async fn hear(&mut self) -> Option<BytesMut> {
        loop {
            if let Some(message) = wire::take(&mut self.buffer, wire::MAX_SERVER_BYTES).unwrap() {
                return Some(message);
            }
            if self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// The SQLSTATE of the error that comes next.
    async fn hear_refusal(&mut self) -> String {
        let message = self.hear().await.expect("an error comes before the end");
        let Backend::ErrorResponse(error) = Backend::parse(&Frame { tag: message[0], bytes: &message }).unwrap() else {
            panic!("{message:?} is no error")
        };
        error.code().unwrap().to_owned()
    }

    async fn byte(&mut self) -> u8 {
        self.stream.read_u8().await.unwrap()
    }
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn answered(output: &Output) -> String {
    assert!(output.status.success(), "{}", told(output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test]
async fn psql_logs_in_in_plain_text_where_that_is_allowed() {
    let gate = Gate::open(Tls::None).await;
    let output = gate.psql("ada", &[("PGOPTIONS", "-c vigie.purpose=fraud-prevention")]).await;
    let expected = r#"Ada Example of platform for Some("fraud-prevention") by None because None as Some("psql") Scram"#;
    assert_eq!(answered(&output), expected);
}

#[tokio::test]
async fn psql_logs_in_over_tls_bound_to_the_certificate() {
    let mut gate = Gate::open(Tls::Demanded).await;
    let bound = [("PGSSLMODE", "verify-full"), ("PGCHANNELBINDING", "require")];
    answered(&gate.psql("ada", &bound).await);
    assert_eq!(gate.arrival().await.unwrap(), "ada ScramBound");
    let unbound = [("PGSSLMODE", "verify-full"), ("PGCHANNELBINDING", "disable")];
    answered(&gate.psql("ada", &unbound).await);
    assert_eq!(gate.arrival().await.unwrap(), "ada Scram");
}

#[tokio::test]
async fn psql_says_why_and_for_which_ticket() {
    let gate = Gate::open(Tls::Optional).await;
    let options =
        r"-c vigie.purpose=support -cvigie.ticket=T-7 --vigie.reason=account\ was\ taken\ over -c DateStyle=ISO";
    let output = gate.psql("ada", &[("PGOPTIONS", options), ("PGAPPNAME", "desk")]).await;
    let expected = "Ada Example of platform for Some(\"support\") by Some(\"T-7\") \
                    because Some(\"account was taken over\") as Some(\"desk\") ScramBound";
    assert_eq!(answered(&output), expected);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_sound_alike() {
    let mut gate = Gate::open(Tls::Optional).await;
    let mut heard = Vec::new();
    for (user, password) in [("ada", "wrong"), ("eve", PASSWORD)] {
        let output = gate.psql(user, &[("PGPASSWORD", password)]).await;
        assert!(!output.status.success());
        heard.push(told(&output).replace(user, "NAME"));
        let refused = gate.arrival().await.unwrap_err();
        assert!(matches!(refused, StartupError::Scram { source: ScramError::WrongProof, .. }), "{refused}");
    }
    assert_eq!(heard[0], heard[1]);
    assert!(heard[0].contains("logging in as `NAME` failed"), "{}", heard[0]);
}

#[tokio::test]
async fn plain_text_is_refused_where_tls_is_demanded() {
    let mut gate = Gate::open(Tls::Demanded).await;
    let output = gate.psql("ada", &[("PGSSLMODE", "disable")]).await;
    assert!(told(&output).contains("connections in plain text are refused"), "{}", told(&output));
    assert!(matches!(gate.arrival().await, Err(StartupError::PlainText)));
}

#[tokio::test]
async fn a_certificate_logs_in_whom_it_names() {
    let mut gate = Gate::open(Tls::WithCertificates).await;
    for (file, email) in [("ada", "ada@platform.example"), ("eve", "eve@platform.example")] {
        let (certificate, key) = gate.authority.issue_with("Someone", &PKCS_ECDSA_P256_SHA256, |params| {
            params.subject_alt_names = vec![SanType::Rfc822Name(email.try_into().unwrap())];
        });
        fs::write(gate.path(&format!("{file}.crt")), certificate).unwrap();
        fs::write(gate.path(&format!("{file}.key")), key).unwrap();
        fs::set_permissions(gate.path(&format!("{file}.key")), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let connect = async |gate: &Gate, user: &str, file: &str| {
        let (certificate, key) = (gate.path(&format!("{file}.crt")), gate.path(&format!("{file}.key")));
        let [certificate, key] = [&certificate, &key].map(|path| path.to_str().unwrap());
        gate.psql(user, &[("PGSSLMODE", "verify-full"), ("PGSSLCERT", certificate), ("PGSSLKEY", key)]).await
    };
    answered(&connect(&gate, "ada", "ada").await);
    assert_eq!(gate.arrival().await.unwrap(), "ada Certificate");
    for (user, file) in [("bo", "ada"), ("eve", "eve"), ("ada", "eve")] {
        let output = connect(&gate, user, file).await;
        assert!(told(&output).contains("failed"), "{}", told(&output));
        let refused = gate.arrival().await.unwrap_err();
        assert!(matches!(refused, StartupError::Identity { .. }), "{refused}");
    }
    answered(&gate.psql("ada", &[("PGSSLMODE", "verify-full")]).await);
    assert_eq!(gate.arrival().await.unwrap(), "ada ScramBound", "certificates are optional here");
}

#[tokio::test]
async fn a_token_is_the_password_over_tls_only() {
    let provider = Provider::new();
    let tokens = Tokens::new(provider.settings()).unwrap();
    let mut gate = Gate::open_for(Tls::Optional, Identities::new(people(), Some(tokens), [7; 32])).await;
    let token = |id: &str| provider.token(&claims(id, jiff::Timestamp::now().as_second()));
    let (cy, eve) = (token("cy"), token("eve"));

    answered(&gate.psql("cy", &[("PGPASSWORD", cy.as_str())]).await);
    assert_eq!(gate.arrival().await.unwrap(), "cy Token");
    answered(&gate.psql("ada", &[]).await);
    assert_eq!(gate.arrival().await.unwrap(), "ada ScramBound", "who has a password is asked for it");

    let output = gate.psql("cy", &[("PGPASSWORD", eve.as_str())]).await;
    assert!(told(&output).contains("logging in as `cy` failed"), "{}", told(&output));
    let refused = gate.arrival().await.unwrap_err();
    let StartupError::Identity { source, .. } = refused else { panic!("{refused}") };
    assert!(matches!(source, IdentityError::SomeoneElse { .. }), "{source}");

    let output = gate.psql("cy", &[("PGPASSWORD", cy.as_str()), ("PGSSLMODE", "disable")]).await;
    assert!(told(&output).contains("logging in as `cy` failed"), "{}", told(&output));
    assert!(matches!(gate.arrival().await, Err(StartupError::Scram { .. })), "no token is asked for in plain text");
}

#[tokio::test]
async fn someone_on_record_in_another_country_is_refused_by_place() {
    let mut gate = Gate::open(Tls::Optional).await;
    let output = gate.psql("bo", &[]).await;
    assert!(told(&output).contains("the network you come from does not fit your record"), "{}", told(&output));
    assert!(matches!(gate.arrival().await, Err(StartupError::Place(PlaceError::OtherCountry { .. }))));
}

#[tokio::test]
async fn tokio_postgres_logs_in_and_asks() {
    let gate = Gate::open(Tls::None).await;
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(gate.address.port()).user("ada").password(PASSWORD).dbname("platform");
    config.options("-c vigie.purpose=fraud-prevention");
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    let running = tokio::spawn(connection);
    let messages = client.simple_query("SELECT who").await.unwrap();
    let row = messages.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    assert!(row.unwrap().starts_with("Ada Example of platform for Some(\"fraud-prevention\")"));
    drop(client);
    running.await.unwrap().unwrap();

    config.password("wrong");
    let refused = config.connect(tokio_postgres::NoTls).await.err().unwrap();
    assert_eq!(refused.code().unwrap().code(), "28P01");
    config.password(PASSWORD).options("-c role=postgres");
    let refused = config.connect(tokio_postgres::NoTls).await.err().unwrap();
    assert_eq!(refused.code().unwrap().code(), "42501");
    assert!(refused.as_db_error().unwrap().hint().unwrap().contains("vigie.purpose"));
}

#[tokio::test]
async fn bytes_in_plain_text_behind_the_request_for_tls_are_refused() {
    for request in [&[0, 0, 0, 8, 4, 210, 22, 47][..], &[0, 0, 0, 8, 4, 210, 22, 48]] {
        let mut gate = Gate::open(Tls::Optional).await;
        let mut hand = gate.connect().await;
        let mut injected = BytesMut::from(request);
        wire::put_startup(VERSION_3_0, &[("user", "ada")], &mut injected);
        hand.say(&injected).await;
        assert!(matches!(gate.arrival().await, Err(StartupError::Injected)));
        assert!(hand.hear().await.is_none(), "nothing is answered to whoever is in between");
    }
}

#[tokio::test]
async fn a_second_startup_message_during_scram_is_refused() {
    let mut gate = Gate::open(Tls::None).await;
    let mut hand = gate.connect().await;
    hand.put(|out| wire::put_startup(VERSION_3_0, &[("user", "ada")], out)).await;
    let offer = hand.hear().await.unwrap();
    assert!(matches!(
        Backend::parse(&Frame { tag: offer[0], bytes: &offer }),
        Ok(Backend::Authentication(Authentication::Sasl(_)))
    ));
    let (first, client) =
        ScramClient::begin(Secret::Password(PASSWORD.to_owned()), "", Binding::Impossible, Nonce::random());
    hand.put(|out| wire::put_sasl_initial(scram::SCRAM_SHA_256, first.as_bytes(), out)).await;
    hand.hear().await.unwrap();
    hand.put(|out| wire::put_startup(VERSION_3_0, &[("user", "bo"), ("database", "other")], out)).await;
    assert_eq!(hand.hear_refusal().await, "08P01");
    assert!(hand.hear().await.is_none());
    assert!(matches!(gate.arrival().await, Err(StartupError::Unexpected(_))));
    drop(client);
}

#[tokio::test]
async fn a_statement_before_the_proof_is_refused() {
    let mut gate = Gate::open(Tls::None).await;
    let mut hand = gate.connect().await;
    hand.put(|out| {
        wire::put_startup(VERSION_3_0, &[("user", "ada")], out);
        wire::put_query("SELECT 1", out);
    })
    .await;
    hand.hear().await.unwrap();
    assert_eq!(hand.hear_refusal().await, "08P01");
    assert!(matches!(gate.arrival().await, Err(StartupError::Unexpected(_))));
}

#[tokio::test]
async fn enormous_lengths_are_refused_before_and_during_the_login() {
    let mut gate = Gate::open(Tls::None).await;
    for length in [10_001_u32, 0x8000_0000, u32::MAX] {
        let mut hand = gate.connect().await;
        hand.say(&length.to_be_bytes()).await;
        assert_eq!(hand.hear_refusal().await, "08P01");
        assert!(matches!(gate.arrival().await, Err(StartupError::Frame(FrameError::TooLong { .. }))));

        let mut hand = gate.connect().await;
        hand.put(|out| wire::put_startup(VERSION_3_0, &[("user", "ada")], out)).await;
        hand.hear().await.unwrap();
        hand.say(b"p").await;
        hand.say(&length.to_be_bytes()).await;
        assert_eq!(hand.hear_refusal().await, "08P01");
        assert!(matches!(gate.arrival().await, Err(StartupError::Frame(FrameError::TooLong { .. }))));
    }
}

#[tokio::test]
async fn encryption_is_not_asked_for_twice() {
    let mut gate = Gate::open(Tls::Optional).await;
    let mut hand = gate.connect().await;
    for _ in 0..2 {
        hand.say(&[0, 0, 0, 8, 4, 210, 22, 48]).await;
    }
    // The two may arrive together, which is an injection, or one after the other.
    let refused = gate.arrival().await.unwrap_err();
    assert!(matches!(refused, StartupError::Injected | StartupError::Unexpected(_)), "{refused}");

    let mut gate = Gate::open(Tls::Optional).await;
    let mut hand = gate.connect().await;
    hand.put(wire::put_ssl_request).await;
    assert_eq!(hand.byte().await, b'S');
    let mut hand = encrypted(&gate, hand, &[ALPN]).await.unwrap();
    let mut out = BytesMut::new();
    wire::put_ssl_request(&mut out);
    hand.write_all(&out).await.unwrap();
    assert!(matches!(gate.arrival().await, Err(StartupError::Unexpected(_))));
}

async fn encrypted(
    gate: &Gate,
    hand: Hand,
    protocols: &[&[u8]],
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let tls = ClientTls::new(gate.authority.pem().as_bytes(), "localhost").unwrap();
    let mut config = (*tls.config).clone();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let ClientStream::Plain(stream) = hand.stream else { panic!("it is not encrypted yet") };
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(tls.name, stream).await
}

#[tokio::test]
async fn a_client_may_begin_with_tls_at_once_if_it_names_the_protocol() {
    let mut gate = Gate::open(Tls::Demanded).await;
    let hand = gate.connect().await;
    let mut stream = encrypted(&gate, hand, &[ALPN]).await.unwrap();
    let mut out = BytesMut::new();
    wire::put_startup(VERSION_3_0, &[("user", "ada")], &mut out);
    stream.write_all(&out).await.unwrap();
    let mut buffer = BytesMut::new();
    while wire::frame(&buffer, 1000).unwrap().is_none() {
        assert!(stream.read_buf(&mut buffer).await.unwrap() > 0);
    }
    let Ok(Backend::Authentication(Authentication::Sasl(list))) =
        Backend::parse(&wire::frame(&buffer, 1000).unwrap().unwrap())
    else {
        panic!("the mechanisms are offered")
    };
    assert_eq!(Authentication::mechanisms(list).count(), 2);
    drop(stream);
    assert!(matches!(gate.arrival().await, Err(StartupError::Io(_))));

    for protocols in [&[][..], &[&b"http/1.1"[..]]] {
        let hand = gate.connect().await;
        let _ = encrypted(&gate, hand, protocols).await;
        assert!(matches!(gate.arrival().await, Err(StartupError::Tls(_))), "{protocols:?}");
    }
}

#[tokio::test]
async fn a_newer_version_and_unknown_options_are_negotiated() {
    for (asked, options, spoken, n_unknown) in [
        (VERSION_3_2, &[][..], None, 0),
        (VERSION_3_0, &[("_pq_.compression", "on")][..], Some(VERSION_3_0), 1),
        (VERSION_3_0 + 9999, &[("_pq_.test_protocol_negotiation", "")][..], Some(VERSION_3_2), 1),
        (VERSION_3_0 + 1, &[][..], Some(VERSION_3_0), 0),
    ] {
        let gate = Gate::open(Tls::None).await;
        let mut hand = gate.connect().await;
        let parameters: Vec<_> = [("user", "ada")].into_iter().chain(options.iter().copied()).collect();
        hand.put(|out| wire::put_startup(asked, &parameters, out)).await;
        let message = hand.hear().await.unwrap();
        match (spoken, Backend::parse(&Frame { tag: message[0], bytes: &message }).unwrap()) {
            (None, Backend::Authentication(_)) => {}
            (Some(expected), Backend::NegotiateProtocolVersion { version, unknown_options }) => {
                assert_eq!((version, unknown_options), (expected, n_unknown));
            }
            (_, other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_cancel_request_is_passed_on_and_a_visitor_is_nothing() {
    let mut gate = Gate::open(Tls::Demanded).await;
    let mut hand = gate.connect().await;
    hand.put(|out| wire::put_cancel(9, &[1, 2, 3, 4, 5], out)).await;
    assert_eq!(gate.arrival().await.unwrap(), "cancel 9 [1, 2, 3, 4, 5]");
    drop(gate.connect().await);
    assert_eq!(gate.arrival().await.unwrap(), "nothing");
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_too_long_is_sent_away() {
    // Time is the test's: it goes on when everybody waits, so no second is spent.
    let (mut client, server) = tokio::io::duplex(1024);
    let door = Door {
        tls: None,
        plain_text: PlainText::Allowed,
        identities: Arc::new(Identities::new(people(), None, [7; 32])),
        networks: Arc::new(Networks::default()),
        limit: Duration::from_secs(30),
    };
    let refused = admit(server, HOME, &door, jiff::Timestamp::now).await.unwrap_err();
    assert!(matches!(refused, StartupError::Late(_)), "{refused}");
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap();
    assert!(String::from_utf8_lossy(&heard).contains("logging in took longer than 30 s"));
}

#[test]
fn options_are_split_as_postgresql_does() {
    let purpose = |options: &str| Asked::parse([("user", "ada"), ("options", options)].into_iter());
    let parsed = |options: &str| purpose(options).unwrap_or_else(|error| panic!("{options:?}: {error}"));
    for options in [
        "-c vigie.purpose=fraud",
        "-cvigie.purpose=fraud",
        "--vigie.purpose=fraud",
        " \t-c\n vigie.purpose=fraud ",
        r"-c vigie.purpose=f\raud",
        r"\-c vigie.purpose=fraud",
        "-c VIGIE.Purpose=fraud",
    ] {
        assert_eq!(parsed(options).purpose.as_deref(), Some("fraud"), "{options:?}");
    }
    assert_eq!(parsed(r"-c vigie.reason=a\ b\\c").reason.as_deref(), Some(r"a b\c"));
    assert_eq!(parsed("-c vigie.reason=a=b").reason.as_deref(), Some("a=b"));
    assert_eq!(parsed("-c statement-timeout=5s").settings, [("statement_timeout", "5s".to_owned())]);
    let hidden = purpose(r"-c vigie.purpose=a\ -c\ role=postgres").unwrap();
    assert_eq!(hidden.purpose.as_deref(), Some("a -c role=postgres"), "escaped spaces begin no option");
    for options in ["-c=", "-c =", "-c", "-c vigie.purpose", "--=x", "--", "-c vigie.purpose=a\\"] {
        assert!(matches!(purpose(options), Err(AskedError::Options(_))), "{options:?}: {:?}", purpose(options));
    }
    for options in [
        "-c role=postgres",
        "-c session_authorization=postgres",
        "-c search_path=x",
        "-c row_security=off",
        "-c vigie.other=x",
        "-d 5",
        "-S 1",
        "vigie.purpose=x",
        r"-c ro\le=postgres",
    ] {
        assert!(matches!(purpose(options), Err(AskedError::NotAllowed(_))), "{options:?}: {:?}", purpose(options));
    }
    let twice = purpose("-c vigie.purpose=a -c vigie.purpose=b");
    assert_eq!(twice, Err(AskedError::Twice("vigie.purpose".to_owned())));
}

#[test]
fn only_what_is_on_the_list_may_be_asked() {
    let parse = |parameters: &[(&'static str, &'static str)]| Asked::parse(parameters.iter().copied());
    let asked = parse(&[("user", "ada"), ("client_encoding", "'utf-8'"), ("TimeZone", "UTC"), ("DateStyle", "ISO")]);
    let asked = asked.unwrap();
    assert_eq!(asked.database, "ada", "as PostgreSQL has it");
    assert_eq!(asked.settings, [("timezone", "UTC".to_owned()), ("datestyle", "ISO".to_owned())]);
    assert_eq!(parse(&[("database", "x")]), Err(AskedError::NoUser));
    assert_eq!(parse(&[("user", "ada"), ("user", "bo")]), Err(AskedError::Twice("user".to_owned())));
    for name in
        ["replication", "role", "search_path", "session_authorization", "local_preload_libraries", "REPLICATION"]
    {
        let refused = parse(&[("user", "ada"), (name, "x")]).unwrap_err();
        assert!(matches!(refused, AskedError::NotAllowed(_)), "{name}");
        assert_eq!(refused.code(), "42501");
        assert!(refused.hint().is_some());
    }
    let latin = parse(&[("user", "ada"), ("client_encoding", "LATIN1")]);
    assert_eq!(latin, Err(AskedError::Encoding("LATIN1".to_owned())));
    assert!(matches!(parse(&[("user", "a\nb")]), Err(AskedError::Value { .. })));
}

proptest::proptest! {
    #[test]
    fn no_options_panic(options in ".{0,80}", escaped in r"(-c ?|--|[a-z.=_ \\-]){0,20}") {
        for options in [options.as_str(), escaped.as_str()] {
            let _ = Asked::parse([("user", "ada"), ("options", options)].into_iter());
        }
    }
}
