//! Logging in to a real PostgreSQL, and to servers that lie.

use super::*;
use crate::{scram, tls::tests::Authority};
use std::sync::OnceLock;
use tokio::net::TcpListener;
use vigie_testkit::postgres::{PostgresServer, Settings};

const PASSWORD: &str = "correct horse battery staple";

/// One server with a certificate, asking for SCRAM, for nothing, or for worse, by the name of the role.
struct Fixture {
    postgres: PostgresServer,
    authority: Authority,
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let authority = Authority::new("Vigie's tests");
        let (certificate, key) = authority.issue(&["localhost"], "localhost");
        // The server reads its files as its own user, and refuses a key that others may read: it writes them itself.
        let access = |kind: &str, role: &str, method: &str| format!("{kind} all {role} 127.0.0.1/32 {method}");
        let settings = Settings {
            access: vec![
                access("host", "login_scram", "scram-sha-256"),
                access("hostssl", "login_tls", "scram-sha-256"),
                access("hostnossl", "login_tls", "reject"),
                access("host", "login_md5", "md5"),
                access("host", "login_cleartext", "password"),
                "local all login_scram scram-sha-256".to_owned(),
            ],
            ..Settings::default()
        };
        let postgres = PostgresServer::start_with(&settings).unwrap();
        let write = |name: &str, pem: &str| {
            let path = postgres.data_folder().join(name);
            let lines = pem.lines().map(|line| format!("echo {line}")).collect::<Vec<_>>().join("; ");
            let program = format!("umask 077; ({lines}) > \"{}\"", path.display());
            postgres.run_sql("postgres", &format!("COPY (SELECT 1) TO PROGRAM $copy${program}$copy$"));
        };
        write("server.crt", &certificate);
        write("server.key", &key);
        let verifier = scram::verifier(PASSWORD, b"0123456789abcdef", 4096);
        for role in ["login_scram", "login_tls", "login_cleartext"] {
            postgres.run_sql("postgres", &format!("CREATE ROLE {role} LOGIN PASSWORD '{verifier}'"));
        }
        postgres.run_sql("postgres", "CREATE ROLE login_trust LOGIN");
        let md5 = format!("SET password_encryption = 'md5'; CREATE ROLE login_md5 LOGIN PASSWORD '{PASSWORD}'");
        postgres.run_sql("postgres", &md5);
        postgres.run_sql("postgres", "ALTER SYSTEM SET ssl = on");
        postgres.run_sql("postgres", "SELECT pg_reload_conf()");
        // The reload reaches the postmaster by a signal: new connections tell when it is done.
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while postgres.run_sql("postgres", "SHOW ssl") != "on\n" {
            assert!(std::time::Instant::now() < deadline, "the server took no certificate");
        }
        Fixture { postgres, authority }
    })
}

fn server(tls: Option<ClientTls>) -> Server {
    let address = Address::Tcp { host: "localhost".to_owned(), port: fixture().postgres.port() };
    let address = if tls.is_some() { address } else { loopback(fixture().postgres.port()) };
    Server {
        address,
        tls,
        without_password: WithoutPassword::Refused,
        floor: VersionFloor::default(),
        limit: Duration::from_secs(20),
    }
}

fn loopback(port: u16) -> Address {
    Address::Tcp { host: "127.0.0.1".to_owned(), port }
}

fn account(role: &str) -> Account {
    Account {
        role: role.to_owned(),
        database: "postgres".to_owned(),
        application_name: "vigie's tests".to_owned(),
        secret: Secret::Password(PASSWORD.to_owned()),
    }
}

/// Runs a statement by the simple protocol, and returns the first column of its rows.
async fn ask(connection: &mut ServerConnection, sql: &str) -> Vec<String> {
    let mut out = BytesMut::new();
    wire::put_query(sql, &mut out);
    send(&mut connection.stream, &mut out).await.unwrap();
    let mut rows = Vec::new();
    loop {
        let message = next_message(&mut connection.stream, &mut connection.buffer).await.unwrap();
        match Backend::parse(&wire::Frame { tag: message[0], bytes: &message }).unwrap() {
            Backend::DataRow(row) => {
                let value = row.column(0).unwrap().unwrap_or_default();
                rows.push(String::from_utf8(value.to_vec()).unwrap());
            }
            Backend::ErrorResponse(error) => rows.push(error.code().unwrap().to_owned()),
            Backend::ReadyForQuery(_) => return rows,
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_role_logs_in_by_scram() {
    let mut connection = login(&server(None), &account("login_scram")).await.unwrap();
    assert_eq!(connection.status, TransactionStatus::Idle);
    assert_eq!(connection.parameters["client_encoding"], "UTF8");
    assert!(connection.buffer.is_empty());
    let seen = "SELECT concat_ws('|', current_user, session_user, current_setting('application_name'))";
    assert_eq!(ask(&mut connection, seen).await, ["login_scram|login_scram|vigie's tests"]);

    let kept = Account { secret: connection.secret.clone(), ..account("login_scram") };
    assert!(matches!(&kept.secret, Secret::Keys { .. }));
    login(&server(None), &kept).await.expect("the kept keys log in too");
}

#[tokio::test]
async fn a_role_logs_in_on_a_socket() {
    let path = fixture().postgres.socket_folder().join(format!(".s.PGSQL.{}", fixture().postgres.port()));
    let server = Server { address: Address::Unix(path), ..server(None) };
    let mut connection = login(&server, &account("login_scram")).await.unwrap();
    assert_eq!(ask(&mut connection, "SELECT inet_server_addr() IS NULL").await, ["t"]);
}

#[tokio::test]
async fn a_role_logs_in_by_tls_bound_to_the_certificate() {
    let tls = ClientTls::new(fixture().authority.pem().as_bytes(), "localhost").unwrap();
    let mut connection = login(&server(Some(tls)), &account("login_tls")).await.unwrap();
    assert_eq!(ask(&mut connection, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").await, ["t"]);
    // The server offered binding, so the exchange that succeeded was bound: the other kind would have been a downgrade.
    let hash = connection.stream.peer_certificate().and_then(certificate::endpoint_hash);
    let both = [&b"SCRAM-SHA-256-PLUS"[..], b"SCRAM-SHA-256"];
    let (mechanism, _) = Client::choose(both.into_iter(), hash).unwrap();
    assert_eq!(mechanism, scram::SCRAM_SHA_256_PLUS);
}

#[tokio::test]
async fn a_certificate_of_another_authority_or_name_is_refused() {
    let stranger = Authority::new("Someone else");
    for (pem, name) in [(stranger.pem(), "localhost"), (fixture().authority.pem(), "db.example")] {
        let tls = ClientTls::new(pem.as_bytes(), name).unwrap();
        let refused = login(&server(Some(tls)), &account("login_tls")).await.unwrap_err();
        assert!(matches!(refused, LoginError::Io { doing: "beginning TLS", .. }), "{refused}");
    }
}

#[tokio::test]
async fn a_wrong_password_and_a_wrong_verifier_are_refused() {
    let wrong = Account { secret: Secret::Password("wrong".to_owned()), ..account("login_scram") };
    let refused = login(&server(None), &wrong).await.unwrap_err();
    assert!(matches!(&refused, LoginError::Refused { code, .. } if code == "28P01"), "{refused}");
    let wrong = Account { database: "nowhere".to_owned(), ..account("login_scram") };
    let refused = login(&server(None), &wrong).await.unwrap_err();
    assert!(matches!(&refused, LoginError::Refused { code, .. } if code == "3D000"), "{refused}");
}

#[tokio::test]
async fn the_password_is_not_given_away() {
    for (role, what) in [("login_md5", "the password hashed with MD5"), ("login_cleartext", "the password as it is")] {
        let refused = login(&server(None), &account(role)).await.unwrap_err();
        assert!(matches!(refused, LoginError::Method { asked, .. } if asked == what), "{refused}");
    }
}

#[tokio::test]
async fn a_server_that_asks_for_nothing_is_refused_unless_allowed() {
    let refused = login(&server(None), &account("login_trust")).await.unwrap_err();
    assert!(matches!(refused, LoginError::NoPasswordAsked { .. }), "{refused}");
    let allowed = Server { without_password: WithoutPassword::Allowed, ..server(None) };
    login(&allowed, &account("login_trust")).await.unwrap();
}

#[tokio::test]
async fn an_old_server_is_refused() {
    let newest = VersionFloor(vec![Version { major: 15, minor: 9999 }]);
    let refused = login(&Server { floor: newest, ..server(None) }, &account("login_scram")).await.unwrap_err();
    assert!(matches!(refused, LoginError::TooOld(_)), "{refused}");
}

#[test]
fn versions_are_admitted_by_their_major_version() {
    let admits = |text: &str| Version::parse(text).is_some_and(|version| VersionFloor::default().admits(version));
    for new in ["15.14 (Debian 15.14-0+deb12u1)", "15.18", "16.10", "17.6", "18.0", "19.1"] {
        assert!(admits(new), "{new}");
    }
    for old in ["15.13", "16.9", "17.5", "14.99", "9.6.24", "19beta1", ""] {
        assert!(!admits(old), "{old}");
    }
}

#[tokio::test]
async fn a_cancel_request_ends_the_statement() {
    let server = server(None);
    let mut connection = login(&server, &account("login_scram")).await.unwrap();
    let mut watcher = login(&server, &account("login_scram")).await.unwrap();
    let key = connection.cancel_key.clone();
    let sleeping =
        format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {} AND wait_event = 'PgSleep'", key.process);
    let slept = tokio::spawn(async move { ask(&mut connection, "SELECT pg_sleep(600)").await });
    while ask(&mut watcher, &sleeping).await != ["1"] {}
    cancel(&server, &key).await.unwrap();
    assert_eq!(slept.await.unwrap(), ["57014"]);
}

/// A server that answers what it is told to.
async fn liar(answers: Vec<Vec<u8>>) -> Server {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = loopback(listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut read = [0; 4096];
        for answer in answers {
            if stream.read(&mut read).await.unwrap_or(0) == 0 || stream.write_all(&answer).await.is_err() {
                return;
            }
        }
    });
    Server { address, ..server(None) }
}

fn message(put: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
    let mut out = BytesMut::new();
    put(&mut out);
    out.to_vec()
}

#[tokio::test]
async fn a_server_that_lets_us_in_before_its_proof_is_refused() {
    let offer = message(|out| wire::put_sasl_mechanisms(&[scram::SCRAM_SHA_256], out));
    let ok = message(wire::put_authentication_ok);
    let refused = login(&liar(vec![offer, ok]).await, &account("x")).await.unwrap_err();
    assert!(matches!(refused, LoginError::Unexpected { tag: b'R', .. }), "{refused}");
}

#[tokio::test]
async fn a_server_that_claims_enormous_messages_is_refused() {
    for length in [0_u32, 3, 1 << 30, 0x8000_0000, u32::MAX] {
        let mut bytes = vec![b'R'];
        bytes.extend(length.to_be_bytes());
        let refused = login(&liar(vec![bytes]).await, &account("x")).await.unwrap_err();
        assert!(matches!(refused, LoginError::Frame(_)), "{refused}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_demanded() {
    let tls = ClientTls::new(fixture().authority.pem().as_bytes(), "localhost").unwrap();
    let server = Server { tls: Some(tls), ..liar(vec![b"N".to_vec()]).await };
    assert!(matches!(login(&server, &account("x")).await.unwrap_err(), LoginError::NoTls));
}
