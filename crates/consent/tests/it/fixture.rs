//! A server of choices, with everything behind it.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use std::{fmt::Write as _, fs, path::Path, sync::Arc};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tokio_postgres::{Client, NoTls};
use vigie_choices::Choices;
use vigie_consent::{Config, Service, server};
use vigie_ledger::{SignerKey, TrustPolicy};
use vigie_policy::map::DataMap;
use vigie_sequencer::{Home, Stream};
use vigie_testkit::postgres::PostgresServer;

/// Who signs tokens.
pub struct Issuer {
    key: EcdsaKeyPair,
}

impl Issuer {
    fn new() -> Self {
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self { key: EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap() }
    }

    fn keys(&self) -> Value {
        let point = self.key.public_key().as_ref();
        let part = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let key = json!({ "kid": "k", "kty": "EC", "crv": "P-256", "x": part(&point[1..33]), "y": part(&point[33..]) });
        json!({ "keys": [key] })
    }

    pub fn sign(&self, claims: &Value) -> String {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({ "alg": "ES256", "kid": "k" })), part(claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A server and what is behind it.
pub struct Fixture {
    pub folder: TempDir,
    pub client: Client,
    pub issuer: Issuer,
    pub ledger_key: SignerKey,
    pub address: String,
    pub choices: Choices,
    pub service: Arc<Service>,
    end: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<std::io::Result<()>>>,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

const PURPOSES: [(u8, &str, &str, &str); 3] = [
    (0, "service", "dpv:ServiceProvision", "contract"),
    (1, "marketing", "dpv:Marketing", "consent"),
    (2, "research", "dpv:ResearchAndDevelopment", "legitimate-interest"),
];

/// Bits that everybody begins with.
pub const BEGIN: i64 = 0b101;
pub const MARKETING: i64 = 0b010;

fn map(name: &str) -> DataMap {
    let mut text = format!("schema = \"data-map/1\"\nname = \"{name}\"\nsubject_type = \"bigint\"\n");
    for (bit, purpose, term, basis) in PURPOSES {
        let _ =
            writeln!(text, "[[purpose]]\nname = \"{purpose}\"\nterm = \"{term}\"\nbit = {bit}\nbasis = \"{basis}\"");
    }
    text.push_str(
        "[[table]]\nname = \"public.users\"\nowner = \"accounts\"\nsubject = \"id\"\nmask = \"pmask\"\n\
         residency = \"EU\"\nretention = \"P3Y\"\n[[table.column]]\nname = \"id\"\nclass = \"pseudonymous\"\n",
    );
    DataMap::parse(&text).unwrap_or_else(|errors| panic!("{errors}"))
}

impl Fixture {
    /// Starts a server; `name` is unique, as roles are.
    pub async fn new(name: &str) -> Self {
        Self::with(name, "folder = \"ledger\"", "").await
    }

    /// Starts a server with another ledger, and more lines of configuration.
    pub async fn with(name: &str, ledger: &str, more: &str) -> Self {
        let server = PostgresServer::shared();
        let database = server.new_database();
        server.run_sql(
            &database,
            "CREATE TABLE users (id bigint PRIMARY KEY, pmask bigint NOT NULL DEFAULT 0);
             INSERT INTO users SELECT n FROM generate_series(1, 20) n;",
        );
        let (mut client, connection) = tokio_postgres::connect(&server.address(&database), NoTls).await.unwrap();
        tokio::spawn(connection);
        let (choices, _) = Choices::install(&mut client, &map(name)).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let origin = "operator.example/choices".parse().unwrap();
        let ledger_key = Home::new(folder.path().join("ledger")).init(&origin, Stream::Events, None).unwrap();
        let issuer = Issuer::new();
        fs::write(folder.path().join("keys.json"), issuer.keys().to_string()).unwrap();
        fs::write(folder.path().join("secret"), "07".repeat(32)).unwrap();
        let role = format!("user=vigie_{name}_choices");
        let url = server.address(&database).replace("user=postgres", &role);
        let text = format!(
            "schema = \"choices/1\"\nlisten = \"127.0.0.1:0\"\nsecret = \"secret\"\n\
             controller = {{ name = \"Platform Ireland Ltd\", contact = \"mailto:dpo@platform.example\" }}\n\
             database = {{ url = \"{url}\" }}\nledger = {{ {ledger}, vault = \"vault\" }}\n\
             subjects = {{ issuer = \"https://platform.example\", audience = \"choices\", keys_file = \"keys.json\" }}\n\
             operators = {{ issuer = \"https://platform.example\", audience = \"choices-operators\", \
             keys_file = \"keys.json\" }}\n{more}\n"
        );
        let path = folder.path().join("choices.toml");
        fs::write(&path, text).unwrap();
        let (service, address, end, serving) = start(&path).await;
        Self { folder, client, issuer, ledger_key, address, choices, service, end: Some(end), serving: Some(serving) }
    }

    /// A token of a person, valid for an hour.
    pub fn person(&self, id: i64) -> String {
        let now = jiff::Timestamp::now().as_second();
        self.issuer.sign(&json!({
            "iss": "https://platform.example", "aud": "choices", "sub": id.to_string(), "exp": now + 3600,
        }))
    }

    /// A token of a program of the operator's.
    pub fn operator(&self, scope: &str) -> String {
        let now = jiff::Timestamp::now().as_second();
        self.issuer.sign(&json!({
            "iss": "https://platform.example", "aud": "choices-operators", "sub": "crm", "scope": scope,
            "exp": now + 3600,
        }))
    }

    pub async fn get(&self, path: &str, token: &str) -> Answer {
        self.ask("GET", path, &[("authorization", &format!("Bearer {token}"))], None).await
    }

    pub async fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        let token = format!("Bearer {token}");
        let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
        self.ask("POST", path, &headers, Some(body.to_string())).await
    }

    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<String>) -> Answer {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .build()
            .new_agent();
        ask(agent, format!("{}{path}", self.address), method, headers, body).await
    }

    pub async fn mask(&self, id: i64) -> i64 {
        self.client.query_one("SELECT pmask FROM users WHERE id = $1", &[&id]).await.unwrap().get(0)
    }

    /// Works until every row says what choices say.
    pub async fn settle(&mut self) {
        while !self.choices.work_off(&mut self.client, 1000).await.unwrap().is_idle() {
            tokio::task::yield_now().await;
        }
    }

    pub fn trust(&self) -> TrustPolicy {
        TrustPolicy::of_log(self.ledger_key.verifier().clone())
    }

    /// Ends the server as a signal does.
    pub async fn end(&mut self) {
        self.end.take().unwrap().send(()).unwrap();
        self.serving.take().unwrap().await.unwrap().unwrap();
        let service = self.service.clone();
        tokio::task::spawn_blocking(move || service.close()).await.unwrap().unwrap();
    }
}

type Started = (Arc<Service>, String, oneshot::Sender<()>, JoinHandle<std::io::Result<()>>);

async fn start(path: &Path) -> Started {
    let config = Config::load(path).unwrap_or_else(|error| panic!("{error}"));
    let tls = server::tls_of(&config).unwrap_or_else(|error| panic!("{error}"));
    let service = Service::open(config, |_| {}).await.unwrap_or_else(|error| panic!("{error:?}"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let scheme = if tls.is_some() { "https" } else { "http" };
    let host = if tls.is_some() { "localhost" } else { "127.0.0.1" };
    let address = format!("{scheme}://{host}:{}", listener.local_addr().unwrap().port());
    let (end, ended) = oneshot::channel::<()>();
    let until = async move {
        let _ = ended.await;
    };
    let serving = tokio::spawn(server::serve(service.clone(), listener, tls, until));
    (service, address, end, serving)
}

pub async fn ask(
    agent: ureq::Agent,
    url: String,
    method: &str,
    headers: &[(&str, &str)],
    body: Option<String>,
) -> Answer {
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body.unwrap_or_default()).unwrap();
    let asked = tokio::task::spawn_blocking(move || {
        let mut answer = agent.run(request).unwrap_or_else(|error| panic!("{error}"));
        let headers = answer.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned())).collect();
        let text = answer.body_mut().read_to_string().unwrap_or_default();
        Answer { status: answer.status().as_u16(), headers, text }
    });
    asked.await.unwrap()
}

/// The body of a request for one purpose.
pub fn choice(purpose: &str, state: &str) -> Value {
    json!({
        "choices": [{ "purpose": purpose, "state": state }],
        "method": "settings", "notice": "privacy-2026-11", "language": "en", "wording": "May we send you offers?",
    })
}
