//! What an operator is told: health, counts, explanations, reports; that nobody else is; and who else may come in.

use crate::stage::{PASSWORD, Stage, reported, runtime};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use std::{
    fs,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, sync::oneshot};
use tokio_postgres::{Client, error::SqlState};
use vigie_choices::Choices;
use vigie_database::TlsRoots;
use vigie_gateway::{
    admin,
    config::{Config, Tls},
    control::Control,
    explain::to_text,
    gateway::Secrets,
    identity::token,
    stop::StopSet,
};
use vigie_policy::DataMap;
use vigie_testkit::{
    certificates::TestAuthority,
    platform_database::{PlatformDatabase, SHOWN},
    postgres::{PostgresServer, Settings},
};

const STAFF: &str = "jeanne@pixelle.example";

/// The operator's address of a stage.
struct Admin {
    address: SocketAddr,
    token: Option<String>,
    _end: oneshot::Sender<()>,
}

impl Admin {
    fn of(stage: &Stage, token: Option<&str>) -> Self {
        let (end, ended) = oneshot::channel::<()>();
        let listener = runtime().block_on(TcpListener::bind("127.0.0.1:0")).expect("a port is free");
        let address = listener.local_addr().expect("it listens");
        let router = admin::router(stage.gateway.clone(), token);
        runtime().spawn(admin::serve(listener, router, async { drop(ended.await) }));
        Self { address, token: None, _end: end }
    }

    fn ask(&self, path: &str, header: Option<(&str, &str)>) -> (u16, String) {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let mut request = agent.get(format!("http://{}{path}", self.address));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let mut answer = request.call().expect("it answers");
        (answer.status().as_u16(), answer.body_mut().read_to_string().expect("it is text"))
    }

    /// Asks for its health until it is so.
    fn health_until(&self, expected: u16) -> String {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let (status, health) = self.ask("/healthz", None);
            if status == expected {
                return health;
            }
            assert!(Instant::now() < deadline, "{status}: {health}");
        }
    }

    fn document(&self, path: &str) -> Value {
        let (status, text) = self.ask(path, None);
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).expect("it is JSON")
    }
}

/// Asks for something that is denied, and returns the name of the decision.
async fn denied(client: &Client, sql: &str) -> String {
    let error = client.simple_query(sql).await.expect_err("it is denied");
    let error = error.as_db_error().unwrap_or_else(|| panic!("{error:?}"));
    assert_eq!(error.code(), &SqlState::INSUFFICIENT_PRIVILEGE);
    let detail = error.detail().expect("a denial names its decision");
    detail.strip_prefix("decision ").unwrap_or_else(|| panic!("{detail}")).to_owned()
}

#[test]
fn an_operator_sees_health_counts_and_decisions_and_only_decisions_name_people() {
    let stage = Stage::new();
    let admin = Admin::of(&stage, None);
    let (id, decision) = runtime().block_on(async {
        let client = stage.connect(STAFF, Some("service-provision")).await;
        let sql = format!("SELECT id, display_name FROM users WHERE id = {}", SHOWN.id);
        let rows = client.simple_query(&sql).await.expect("it is permitted");
        assert!(rows.len() > 1, "{rows:?}");
        let client = stage.connect(STAFF, Some("fraud-prevention")).await;
        (SHOWN.id, denied(&client, &format!("SELECT id FROM users WHERE email = '{}'", SHOWN.email)).await)
    });
    assert_eq!(admin.document("/healthz"), json!({ "ok": true, "troubles": [] }));
    let (status, metrics) = admin.ask("/metrics", None);
    assert_eq!(status, 200);
    assert!(metrics.lines().any(|line| line == "vigie_gateway_rows_total 1"), "{metrics}");
    assert!(metrics.lines().any(|line| line == "vigie_gateway_denied_total 1"), "{metrics}");

    let explained = admin.document(&format!("/explain/{decision}"));
    assert_eq!((&explained["denied"], &explained["rows"]), (&json!(true), &json!(0)));
    assert_eq!(explained["access"]["who"], STAFF);
    assert_eq!(explained["access"]["purpose"], "fraud-prevention");
    assert!(to_text(&explained).starts_with(&format!("denied: decision {decision}\n  who        {STAFF} of Pixelle")));
    let report = admin.document(&format!("/access-report/{id}"));
    let accesses = report["accesses"].as_array().expect("a list");
    assert_eq!(accesses.len(), 1, "{report}");
    assert_eq!(accesses[0]["access"]["who"], STAFF);
    assert!(accesses[0]["row_receipt"].as_str().is_some_and(|receipt| !receipt.is_empty()));
    let unknown = admin.ask(&format!("/explain/{}", "0".repeat(32)), None);
    assert_eq!(unknown.0, 404);
    assert_eq!(admin.ask("/explain/nonsense", None).0, 400);

    let control = stage.gateway.config().server.control_role.clone();
    stage.raw(&format!(
        "ALTER ROLE \"{control}\" NOLOGIN; \
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{control}'"
    ));
    let health = admin.health_until(503);
    assert!(health.contains("the connection to the database is down"), "{health}");
    stage.raw(&format!("ALTER ROLE \"{control}\" LOGIN"));
    admin.health_until(200);
    let (_, metrics) = admin.ask("/metrics", None);
    let planted = [SHOWN.marker, SHOWN.email, STAFF, "service-provision", "jeanne", "users", &stage.database];
    for word in planted {
        assert!(!metrics.contains(word) && !health.contains(word), "`{word}` is told to everybody");
    }
}

#[test]
fn what_names_people_is_for_this_machine_or_for_who_has_the_token() {
    let stage = Stage::new();
    let open = Admin::of(&stage, None);
    // As a page in a browser on this machine would ask, by a name that leads here.
    assert_eq!(open.ask("/access-report/2", None).0, 200);
    for header in [("Host", "evil.example"), ("Origin", "http://evil.example")] {
        assert_eq!(open.ask("/access-report/2", Some(header)).0, 403, "{header:?}");
        assert_eq!(open.ask("/healthz", Some(header)).0, 200, "{header:?}");
    }
    let mut guarded = Admin::of(&stage, Some("a token\n"));
    for path in ["/access-report/2", "/explain/0"] {
        assert_eq!(guarded.ask(path, None).0, 401, "{path}");
    }
    assert_eq!(guarded.ask("/metrics", None).0, 200);
    guarded.token = Some("another token".to_owned());
    assert_eq!(guarded.ask("/access-report/2", None).0, 401);
    guarded.token = Some("a token".to_owned());
    assert_eq!(guarded.ask("/access-report/2", None).0, 200);
}

#[test]
fn breaking_the_glass_is_said_at_once_and_counted_until_it_is_reviewed() {
    let stage = Stage::new();
    let ticket = stage
        .raw(&format!(
            "SELECT vigie.request_ticket('{STAFF}', 'service-provision', '{{public.users}}', 'an account is taken over', \
             true, clock_timestamp() + interval '1 hour')"
        ))
        .trim()
        .to_owned();
    let approve = |who: &str| stage.raw(&format!("SELECT vigie.approve_ticket({ticket}, '{who}')"));
    approve("one@pixelle.example");
    let (database, port) = (&stage.database, stage.port);
    let address = format!(
        "host=127.0.0.1 port={port} dbname={database} user='{STAFF}' password='{PASSWORD}' \
         options='-c vigie.purpose=service-provision -c vigie.ticket={ticket} -c vigie.reason=takeover'"
    );
    let sql = format!("SELECT id, email FROM users WHERE id = {}", SHOWN.id);
    let said =
        format!("break-glass: `{STAFF}` reads for `service-provision` by ticket {ticket}, to be reviewed within 24 h");
    runtime().block_on(async {
        let client = crate::stage::connect(&address).await;
        denied(&client, &sql).await;
    });
    assert_eq!(stage.gateway.metrics.break_glass.value(), 0, "it needs a second approver");
    approve("two@pixelle.example");
    let email = runtime().block_on(async {
        let client = crate::stage::connect(&address).await;
        assert!(reported(&said), "before anything is asked");
        let rows = client.query(&sql, &[]).await.unwrap_or_else(|error| panic!("{error:?}"));
        rows[0].get::<_, String>(1)
    });
    assert_eq!(email, SHOWN.email);
    assert_eq!(stage.gateway.metrics.break_glass.value(), 1);
    let overdue = || runtime().block_on(stage.gateway.control.overdue_reviews()).expect("the database answers");
    assert_eq!(overdue(), 0);
    stage.raw(&format!("UPDATE vigie.ticket SET second_at = second_at - interval '25 hours' WHERE id = {ticket}"));
    assert_eq!(overdue(), 1);
    stage.raw(&format!("SELECT vigie.review_ticket({ticket}, 'three@pixelle.example', 'it was needed')"));
    assert_eq!(overdue(), 0);
}

#[test]
fn who_leaves_or_moves_by_the_hr_record_is_out_at_once_and_a_broken_record_is_not_taken() {
    let stage = Stage::new();
    let path = stage.folder.path().join("people.toml");
    let before = fs::read_to_string(&path).expect("it is there");
    let reload = async |text: &str| {
        fs::write(&path, text).expect("files can be written");
        stage.gateway.reload().await
    };
    let reads = "SELECT country FROM users WHERE id < 4";
    runtime().block_on(async {
        let moved = stage.connect(STAFF, Some("service-provision")).await;
        let left = stage.connect("aoife@pixelle.example", Some("fraud-prevention")).await;
        for client in [&moved, &left] {
            assert_eq!(client.query(reads, &[]).await.expect("it is permitted").len(), 3);
        }
        let broken = before.replace("country = \"FR\"", "country = \"France\"");
        let broken = vigie_gateway::in_full(&reload(&broken).await.expect_err("no country"));
        assert!(broken.contains("people.toml") && broken.contains("line "), "{broken}");
        assert!(!broken.contains('\n'), "one line: {broken}");
        for client in [&moved, &left] {
            assert_eq!(client.query(reads, &[]).await.expect("nothing has changed").len(), 3);
        }
        // Jeanne goes to the office in Beijing, Aoife leaves.
        let after = before.replacen(
            "entity = \"Pixelle France SAS\"\ncountry = \"FR\"",
            "entity = \"Pixelle Technology (Beijing) Co Ltd\"\ncountry = \"CN\"",
            1,
        );
        let after = after.replace("id = \"aoife@pixelle.example\"", "id = \"another@pixelle.example\"");
        reload(&after).await.expect("it is right");
        denied(&moved, reads).await;
        let gone = left.query(reads, &[]).await.expect_err("she is off the record");
        assert_eq!(gone.code(), Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION), "{gone:?}");
        stage.connect("another@pixelle.example", Some("fraud-prevention")).await;
    });
}

#[test]
fn a_token_of_the_identity_provider_is_a_password_over_tls() {
    let authority = TestAuthority::new();
    let identity = authority.issue(&["localhost"]);
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("files can be written");
        path
    };
    let key = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).expect("a key");
    let key = Ed25519KeyPair::from_pkcs8(key.as_ref()).expect("it was just made");
    let encoded = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let keys = json!({ "keys": [
        { "kid": "one", "kty": "OKP", "crv": "Ed25519", "x": encoded(key.public_key().as_ref()) },
    ] });
    let settings = token::Settings {
        issuer: "https://idp.pixelle.example".to_owned(),
        audience: "vigie".to_owned(),
        keys_file: Some(place("keys.json", &keys.to_string())),
        keys_url: None,
        keys_ca: None,
        skew_seconds: 0,
        claims: token::Claims::default(),
    };
    let stage = Stage::with(2, |config: &mut Config| {
        config.tls = Some(Tls {
            certificate: place("gateway.pem", &identity.certificate),
            key: place("gateway.key", &identity.key),
            client_ca: None,
            client_certificates_required: false,
        });
        config.people.oidc = Some(settings);
    });
    let now = jiff::Timestamp::now().as_second();
    let token = |issuer: &str, until: i64| {
        let header = json!({ "alg": "EdDSA", "kid": "one" });
        let claims = json!({
            "iss": issuer, "aud": "vigie", "sub": "cy@pixelle.example", "entity": "Pixelle France SAS", "country": "FR",
            "training_until": "2099-01-01", "iat": now - 10, "exp": until,
        });
        let signed = format!("{}.{}", encoded(header.to_string().as_bytes()), encoded(claims.to_string().as_bytes()));
        format!("{signed}.{}", encoded(key.sign(signed.as_bytes()).as_ref()))
    };
    let roots = TlsRoots::read(&place("authority.pem", &authority.pem())).expect("it is one");
    let connect = async |password: &str| {
        let mut address = tokio_postgres::Config::new();
        address.host("localhost").hostaddr([127, 0, 0, 1].into()).port(stage.port).dbname(&stage.database);
        address.user("cy@pixelle.example").password(password).options("-c vigie.purpose=service-provision");
        vigie_database::connect(&address, &roots).await
    };
    runtime().block_on(async {
        let client = connect(&token("https://idp.pixelle.example", now + 600)).await.expect("the token is good");
        let sql = format!("SELECT id, display_name FROM users WHERE id = {}", SHOWN.id);
        assert_eq!(client.query(&sql, &[]).await.expect("it is permitted").len(), 1);
        for wrong in [token("https://elsewhere.example", now + 600), token("https://idp.pixelle.example", now - 5)] {
            assert!(connect(&wrong).await.is_err());
        }
    });
    let report = runtime().block_on(stage.gateway.account.access_report(SHOWN.id.to_string().as_bytes()));
    let report = report.expect("the vault is there");
    assert_eq!(report[0].header.get("who"), Some("cy@pixelle.example"));
    assert_eq!(report[0].header.get("zone"), Some("eu-staff"));
}

#[test]
fn the_gateways_own_connection_knows_the_server_by_its_authority() {
    let authority = TestAuthority::new();
    let settings = Settings {
        identity: Some(authority.issue(&["localhost", "127.0.0.1"])),
        access: vec![
            "hostssl all vigie_pixelle_control 127.0.0.1/32 scram-sha-256".to_owned(),
            "hostnossl all vigie_pixelle_control all reject".to_owned(),
        ],
        ..Settings::default()
    };
    let server = PostgresServer::start_with(&settings).unwrap_or_else(|error| panic!("{error}"));
    let database = PlatformDatabase::create(&server, 2);
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("files can be written");
        path
    };
    let map = format!("{}/../../fixtures/policy/map.toml", env!("CARGO_MANIFEST_DIR"));
    let map = DataMap::parse(&fs::read_to_string(map).expect("the fixture is there")).expect("it is right");
    let roots = TlsRoots::read(&place("authority.pem", &authority.pem())).expect("it is one");
    let stranger = TlsRoots::read(&place("stranger.pem", &TestAuthority::new().pem())).expect("it is one");
    let secrets = Secrets::of(&[7; 32]);
    let mut address = tokio_postgres::Config::new();
    address.host("127.0.0.1").port(server.port()).dbname(&database).user("vigie_pixelle_control");
    address.password(secrets.roles.password("vigie_pixelle_control"));
    runtime().block_on(async {
        let mut owner = crate::stage::connect(&server.address(&database)).await;
        Choices::install(&mut owner, &map).await.expect("choices can be installed");
        let verifier = secrets.roles.verifier("vigie_pixelle_control");
        owner.batch_execute(&format!("ALTER ROLE vigie_pixelle_control PASSWORD '{verifier}'")).await.expect("altered");
        let control = Control::connect(address.clone(), roots).await.unwrap_or_else(|error| panic!("{error:?}"));
        let stops = StopSet::new(Duration::from_secs(10), Duration::from_secs(60));
        assert!(!stops.is_fresh());
        control.begin(&stops).await.expect("it can be asked");
        assert!(stops.is_fresh() && control.is_up());
        let unknown = Control::connect(address.clone(), stranger).await.expect_err("nobody knows this authority");
        assert!(vigie_gateway::in_full(&unknown).contains("certificate"), "{unknown:?}");
        let plain = Control::connect(address, TlsRoots::default()).await.expect_err("the server wants TLS");
        assert!(plain.help().expect("there is a way out").contains("pg_hba.conf"), "{plain:?}");
    });
}
