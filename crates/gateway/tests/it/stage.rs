//! A whole deployment for tests: the sample platform's database with its policy applied, a ledger, a vault, people, and a
//! gateway in front, all made anew and ended with the process.

use std::{
    fmt::Write as _,
    fs,
    path::PathBuf,
    process::Command,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, runtime::Runtime, sync::oneshot, task::JoinHandle};
use tokio_postgres::{Client, NoTls};
use vigie_choices::Choices;
use vigie_gateway::{
    config::Config,
    gateway::{Gateway, Secrets, compile},
    scram,
};
use vigie_policy::sql::objects;
use vigie_sequencer::{Home, Stream};
use vigie_testkit::{
    platform_database::PlatformDatabase,
    postgres::{PostgresServer, Settings},
};

/// The password of everybody here.
pub const PASSWORD: &str = "correct horse battery staple";

/// How many people the sample platform has, unless a test says otherwise.
pub const PEOPLE: u32 = 2_000;

/// What gateways reported, all of them together.
static REPORTED: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn report(line: &str) {
    eprintln!("gateway: {line}");
    REPORTED.lock().expect("nobody panics with the lines in hand").push(line.to_owned());
}

/// Tells whether a gateway reported a line.
pub fn reported(line: &str) -> bool {
    REPORTED.lock().expect("nobody panics with the lines in hand").iter().any(|it| it == line)
}

/// A running deployment.
pub struct Stage {
    /// Files of the gateway.
    pub folder: TempDir,
    /// The database's name.
    pub database: String,
    /// Where the gateway listens.
    pub port: u16,
    /// The gateway.
    pub gateway: Arc<Gateway>,
    end: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

/// Returns the server that all tests share: roles log in by SCRAM, only the superuser does not.
pub fn server() -> &'static PostgresServer {
    static SERVER: OnceLock<PostgresServer> = OnceLock::new();
    SERVER.get_or_init(|| {
        let access = ["host all postgres 127.0.0.1/32 trust", "host all all 127.0.0.1/32 scram-sha-256"];
        let settings = Settings { access: access.map(str::to_owned).to_vec(), ..Settings::default() };
        PostgresServer::start_with(&settings).unwrap_or_else(|error| panic!("{error}"))
    })
}

/// Returns the runtime that all gateways of the tests run on.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().expect("threads can be started"))
}

/// Returns the program that reads statements, and builds it if only this crate was built.
pub fn reader() -> PathBuf {
    static READER: OnceLock<PathBuf> = OnceLock::new();
    let path = READER.get_or_init(|| {
        let here = std::env::current_exe().expect("a test has a file");
        let folder = here.parent().and_then(|deps| deps.parent()).expect("target/debug/deps");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--offline", "-p", "vigie-statement", "--bin", "vigie-statement-reader"])
            .status();
        assert!(built.is_ok_and(|status| status.success()), "the reader of statements is built");
        folder.join("vigie-statement-reader")
    });
    path.clone()
}

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/policy").join(name)
}

/// People of the tests: who, entity, country, groups, training.
const PEOPLE_HERE: [(&str, &str, &str, &str, bool); 6] = [
    ("aoife@pixelle.example", "Pixelle Ireland Ltd", "IE", "fraud", true),
    ("jeanne@pixelle.example", "Pixelle France SAS", "FR", "", true),
    ("untrained@pixelle.example", "Pixelle France SAS", "FR", "", false),
    ("sam@pixelle.example", "Pixelle Inc", "US", "support", true),
    ("wei@pixelle.example", "Pixelle Technology (Beijing) Co Ltd", "CN", "engineering", true),
    ("nobody@elsewhere.example", "Elsewhere Ltd", "BR", "", true),
];

fn people() -> String {
    let mut text = "schema = \"people/1\"\n".to_owned();
    let verifier = scram::verifier(PASSWORD, b"0123456789abcdef", 4096);
    for (id, entity, country, group, trained) in PEOPLE_HERE {
        let groups = if group.is_empty() { String::new() } else { format!("\"{group}\"") };
        let _ = write!(
            text,
            "[[person]]\nid = \"{id}\"\nname = \"{id}\"\nentity = \"{entity}\"\ncountry = \"{country}\"\n\
             groups = [{groups}]\nscram = \"{verifier}\"\n"
        );
        if trained {
            text.push_str("training_until = \"2099-01-01\"\n");
        }
    }
    text
}

impl Stage {
    /// Makes a deployment with the sample platform's database and policy.
    pub fn new() -> Self {
        Self::with(PEOPLE, |_| {})
    }

    /// The same, with other numbers and changes of the configuration.
    pub fn with(people_there: u32, change: impl FnOnce(&mut Config)) -> Self {
        let database = PlatformDatabase::create(server(), people_there);
        Self::on(&database, change)
    }

    /// The same, on a database that is there.
    pub fn on(database: &str, change: impl FnOnce(&mut Config)) -> Self {
        Self::at(server(), database, change)
    }

    /// The same, on a server of the test's own.
    pub fn at(server: &PostgresServer, database: &str, change: impl FnOnce(&mut Config)) -> Self {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path();
        let secret = "01".repeat(32);
        fs::write(path.join("secret"), &secret).expect("files can be written");
        // Roles are the server's, so each database has a map of its own name.
        let name = database.replace('_', "-");
        let map = fs::read_to_string(fixture("map.toml")).expect("the fixture is there");
        let map = map.replace("name = \"pixelle\"", &format!("name = \"{name}\""));
        fs::write(path.join("map.toml"), map).expect("files can be written");
        fs::write(path.join("people.toml"), people()).expect("files can be written");
        let text = format!(
            "schema = \"gateway/1\"\nlisten = \"127.0.0.1:0\"\nsecret = \"secret\"\n\
             [server]\nhost = \"127.0.0.1\"\nport = {}\ndatabase = \"{database}\"\ncontrol_role = \"vigie_{name}_control\"\n\
             [policy]\nmap = \"map.toml\"\nzones = \"{}\"\ncedar = \"{}\"\n\
             [people]\nfile = \"people.toml\"\nunknown_network = \"allow\"\n\
             [ledger]\nfolder = \"accesses\"\nvault = \"vault\"\n",
            server.port(),
            fixture("zones.toml").display(),
            fixture("policies").display(),
        );
        fs::write(path.join("gateway.toml"), text).expect("files can be written");
        let mut config = Config::read(&path.join("gateway.toml")).expect("the configuration is right");
        change(&mut config);
        if config.ledger.folder.is_some() {
            let origin = "gateway.test/accesses".parse().expect("an origin");
            Home::new(path.join("accesses")).init(&origin, Stream::Events, None).expect("a ledger");
        }
        let secrets = Secrets::read(&config.secret).expect("it was just written");
        let compiled = compile(&config).expect("the fixtures compile");
        runtime().block_on(async {
            let mut client = connect(&server.address(database)).await;
            let (choices, _) = Choices::install(&mut client, &compiled.map).await.expect("choices can be installed");
            while !choices.work_off(&mut client, 10_000).await.expect("masks can be written").is_idle() {}
            let control = format!("vigie_{name}_control");
            let password = secrets.roles.verifier(&control);
            client.batch_execute(&format!("ALTER ROLE \"{control}\" PASSWORD '{password}'")).await.expect("altered");
            let sql = objects(&compiled).to_sql(&|role| secrets.roles.verifier(role.as_str()));
            client.batch_execute(&sql).await.expect("the policy can be applied");
        });
        let gateway = runtime()
            .block_on(Gateway::open(config, Command::new(reader()), report))
            .unwrap_or_else(|error| panic!("{}", vigie_gateway::in_full(&error)));
        let listener = runtime().block_on(TcpListener::bind("127.0.0.1:0")).expect("a port is free");
        let port = listener.local_addr().expect("it listens").port();
        let (end, ended) = oneshot::channel::<()>();
        let serving = {
            let gateway = gateway.clone();
            runtime().spawn(async move {
                let end = async { drop(ended.await) };
                gateway.serve(listener, end, Duration::from_secs(2)).await.expect("it serves");
            })
        };
        let stops = gateway.stops.clone();
        runtime().block_on(async {
            while !stops.is_fresh() {
                tokio::task::yield_now().await;
            }
        });
        Self { folder, database: database.to_owned(), port, gateway, end: Some(end), serving: Some(serving) }
    }

    /// Connects somebody, for a purpose.
    pub async fn connect(&self, who: &str, purpose: Option<&str>) -> Client {
        let options = purpose.map_or_else(String::new, |purpose| format!(" options='-c vigie.purpose={purpose}'"));
        let (database, port) = (&self.database, self.port);
        connect(&format!("host=127.0.0.1 port={port} dbname={database} user='{who}' password='{PASSWORD}'{options}"))
            .await
    }

    /// Runs SQL as the superuser, around the gateway.
    pub fn raw(&self, sql: &str) -> String {
        server().run_sql(&self.database, sql)
    }

    /// Draws masks anew, whatever people chose: two in three rows are for each purpose, others in each table.
    pub fn scatter_masks(&self) {
        for (table, key) in
            [("users", "id"), ("videos", "id"), ("events", "id"), ("messages", "id"), ("payments", "id")]
        {
            // Without the triggers that keep masks what people chose.
            self.raw(&format!(
                "ALTER TABLE public.{table} DISABLE TRIGGER USER; UPDATE public.{table} SET pmask = (SELECT sum(1::bigint << bit) FROM generate_series(0, 5) AS bit \
                 WHERE ({key} * 7 + bit * 5) % 3 <> 0)"
            ));
        }
    }

    /// Ends the gateway, and returns the folder with what it wrote.
    pub fn end(mut self) -> TempDir {
        self.stop();
        self.gateway.close().expect("everything was written");
        std::mem::replace(&mut self.folder, TempDir::new().expect("a folder"))
    }

    fn stop(&mut self) {
        drop(self.end.take());
        if let Some(serving) = self.serving.take() {
            let _ = runtime().block_on(serving);
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.end.is_some() && !std::thread::panicking() {
            self.stop();
        }
    }
}

/// Connects by a driver's words.
pub async fn connect(address: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(address, NoTls)
        .await
        .unwrap_or_else(|error| panic!("{}", vigie_gateway::in_full(&error)));
    tokio::spawn(connection);
    client
}
