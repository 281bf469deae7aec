//! Flows as they run: a real PostgreSQL with real choices, a ledger and a vault on disk, recipients that behave and that
//! do not.

mod bad;
mod killed;
mod orders;
mod receiving;
mod running;
mod sampling;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_postgres::{Client, NoTls};
use vigie_accounting::{Accounts, Journal};
use vigie_choices::Choices;
use vigie_ledger::entry::Flags;
use vigie_ledger::key::Algorithm;
use vigie_ledger::reader::{Source as _, fetch_entry};
use vigie_ledger::{Entry, Kind, SignerKey, TrustPolicy};
use vigie_policy::DataMap;
use vigie_sequencer::{Home, Log, Options, Stream};
use vigie_testkit::postgres::PostgresServer;
use vigie_transfers::deliver::{Delivery, Endpoint};
use vigie_transfers::field::{PseudonymKey, read_row};
use vigie_transfers::flow::{Register, Target};
use vigie_transfers::run::{Report, Run, RunError};
use vigie_vault::{KeyEncryptionKey, Vault};

const MAP: &str = r#"
schema = "data-map/1"
name = "pixelle"
subject_type = "bigint"

[[purpose]]
name = "advertising"
term = "dpv:PersonalisedAdvertising"
bit = 0
basis = "consent"

[[purpose]]
name = "security"
term = "dpv:FraudPreventionAndDetection"
bit = 1
basis = "legitimate-interest"

[[table]]
name = "public.users"
owner = "accounts@pixelle.example"
subject = "id"
mask = "pmask"
residency = "EU"
retention = "P3Y"

[[table.column]]
name = "id"
class = "pseudonymous"
[[table.column]]
name = "country"
class = "personal"
[[table.column]]
name = "phone"
class = "restricted"
purposes = ["advertising", "security"]
"#;

/// The authority whose orders count.
fn authority() -> SignerKey {
    SignerKey::from_seed("authority.example/orders".parse().expect("a name"), Algorithm::Ed25519, [3; 32])
}

fn map() -> DataMap {
    DataMap::parse(MAP).expect("the map is right")
}

/// An operator: a folder with everything, and a database.
struct Stage {
    folder: PathBuf,
    address: String,
    _kept: Option<tempfile::TempDir>,
}

/// A register with one flow; what is given replaces parts of it.
fn register_text(source: &str, destination: &str, more: &str) -> String {
    format!(
        r#"schema = "flows/1"
controller = "Pixelle Ireland Ltd"

[operator]
ledger = "ledger"
vault = "vault"
secret = "secret"
state = "state"
orders = "orders"

[[authority]]
name = "CNIL"
key = "{key}"

[[flow]]
name = "ads"
recipient = "parent.example"
role = "controller"
purpose = "advertising"
basis = "consent"
schedule = "P1D"
residency = "US"
subject = "id"
{more}

[flow.source]
{source}

[flow.destination]
{destination}

[[flow.field]]
name = "id"
type = "integer"
treatment = "pseudonym"
[[flow.field]]
name = "country"
[[flow.field]]
name = "phone"
"#,
        key = authority().verifier()
    )
}

impl Stage {
    /// An operator with `people` people, of whom each tenth in three refused: ids ending in 1, 2 and 3 said no, withdrew,
    /// and were never asked.
    async fn new(people: u64) -> Self {
        let kept = tempfile::tempdir().expect("there is room");
        let stage = Self::at(kept.path(), people).await;
        Self { _kept: Some(kept), ..stage }
    }

    async fn at(folder: &Path, people: u64) -> Self {
        let postgres = PostgresServer::shared();
        let address = postgres.address(&postgres.new_database());
        let stage = Self { folder: folder.to_owned(), address, _kept: None };
        let mut client = stage.client().await;
        let tables =
            "CREATE TABLE users (id bigint PRIMARY KEY, country text, phone text, pmask bigint NOT NULL DEFAULT 0)";
        client.batch_execute(tables).await.expect("a new database");
        // Roles are the whole server's: two installations at the same moment get in each other's way.
        static INSTALLING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let installing = INSTALLING.lock().await;
        Choices::install(&mut client, &map()).await.expect("it can be installed");
        drop(installing);
        let fill = format!(
            "INSERT INTO vigie.choice (subject, purpose, recipient, state, decided_at, method)
             SELECT id, 0, 'parent.example', CASE id % 10 WHEN 1 THEN 'refused' WHEN 2 THEN 'withdrawn' ELSE 'given' END, now(), 'test'
             FROM generate_series(1, {people}) id WHERE id % 10 <> 3"
        );
        client.batch_execute(&fill).await.expect("choices can be recorded");
        std::fs::write(folder.join("secret"), "07".repeat(32)).expect("there is room");
        let home = Home::new(folder.join("ledger"));
        home.init(&"operator.example/transfers-out".parse().expect("a name"), Stream::Events, None).expect("a ledger");
        std::fs::write(folder.join("users.parquet"), parquet_of(&people_of(people))).expect("there is room");
        stage
    }

    async fn client(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.address, NoTls).await.expect("PostgreSQL runs");
        tokio::spawn(connection);
        client
    }

    fn register(&self, text: &str) -> Register {
        Register::parse(text, &map(), &self.folder).unwrap_or_else(|faults| panic!("{faults}"))
    }

    fn accounts(&self) -> (Accounts, Arc<Log>) {
        let vault =
            Vault::open(&self.folder.join("vault"), KeyEncryptionKey::new([5; 32]), vigie_vault::Options::default());
        let log = Arc::new(Log::open(&Home::new(self.folder.join("ledger")), Options::default()).expect("a ledger"));
        (Accounts::new(Arc::new(vault.expect("a vault")), Journal::Local(log.clone())), log)
    }

    async fn run(&self, text: &str) -> Result<Report, RunError> {
        let register = self.register(text);
        let (accounts, log) = self.accounts();
        let flow = &register.flows[0];
        let delivery = match &flow.destination.to {
            Target::Folder(folder) => Delivery::Folder(folder.clone()),
            Target::Endpoint(url) => Delivery::Endpoint(Endpoint::new(url.clone(), None, flow.destination.patience)),
            Target::Store(url) => panic!("no store at {url}"),
        };
        let (choices, mut source) = (self.client().await, self.client().await);
        let run = Run {
            register: &register,
            flow,
            accounts: &accounts,
            pseudonyms: PseudonymKey::of(&[7; 32], &flow.recipient),
            delivery,
            choices: &choices,
            heard: &mut |_| {},
        };
        let outcome = run.to_end(&mut source).await;
        accounts.vault().close().expect("the vault runs");
        log.finish().expect("the ledger runs");
        outcome
    }

    fn policy(&self) -> TrustPolicy {
        TrustPolicy::of_log(Home::new(self.folder.join("ledger")).key().expect("a ledger").verifier().clone())
    }

    /// Lists the entries of the ledger.
    fn entries(&self) -> Vec<Entry> {
        let (_, log) = self.accounts();
        let size = log.head().size;
        let source = vigie_witness_source(&self.folder);
        (0..size)
            .map(|at| Entry::parse(&fetch_entry(&source, at, size).expect("it is there")).expect("an entry"))
            .collect()
    }

    /// Says how many rows left by the ledger: those of batches that were not voided.
    fn rows_by_ledger(&self) -> u64 {
        let entries = self.entries();
        let voided = |entry: &Entry| {
            let leaf = vigie_ledger::Hash::leaf(&entry.to_bytes());
            entries.iter().any(|other| other.flags.has(Flags::DENIED) && other.peer_ref == leaf)
        };
        let out = entries.iter().filter(|entry| entry.kind == Kind::TransferOut && !voided(entry));
        out.map(|entry| entry.row_count).sum()
    }

    fn delivered(&self) -> PathBuf {
        self.folder.join("out")
    }
}

/// Returns the pseudonym under which a person's record leaves.
fn pseudonym(id: u64) -> String {
    PseudonymKey::of(&[7; 32], "parent.example").pseudonym("id", &id.to_string())
}

/// Files of a folder.
struct Files(PathBuf);

impl vigie_ledger::reader::Source for Files {
    type Error = std::io::Error;

    fn fetch(&self, resource: vigie_ledger::tile::Resource) -> Result<Option<Vec<u8>>, std::io::Error> {
        match std::fs::read(self.0.join(resource.to_string())) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn vigie_witness_source(folder: &Path) -> Files {
    Files(Home::new(folder.join("ledger")).public())
}

/// Makes people: id, country, phone.
fn people_of(count: u64) -> RecordBatch {
    let ids = 1..=count.cast_signed();
    let country: StringArray = ids.clone().map(|id| Some(if id % 2 == 0 { "FR" } else { "DE" })).collect();
    let phone: StringArray = ids.clone().map(|id| (id % 5 != 0).then(|| format!("+33 {id:09}"))).collect();
    let columns: [(&str, ArrayRef); 3] = [
        ("id", Arc::new(Int64Array::from_iter_values(ids))),
        ("country", Arc::new(country)),
        ("phone", Arc::new(phone)),
    ];
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

fn parquet_of(records: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, records.schema(), None).expect("a schema");
    writer.write(records).expect("memory");
    writer.close().expect("memory");
    bytes
}

/// Reads what was delivered as NDJSON, each record once, by pseudonym; the files' names must tell no batch twice.
fn read_ndjson(folder: &Path) -> BTreeMap<String, serde_json::Value> {
    let mut records = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("it can be listed").path();
        // Without its receipt a file is nothing.
        let receipt = PathBuf::from(format!("{}.receipt.json", path.display()));
        if path.extension().is_some_and(|extension| extension == "ndjson") && receipt.exists() {
            for line in std::fs::read_to_string(&path).expect("it is text").lines() {
                let record: serde_json::Value = serde_json::from_str(line).expect("it is JSON");
                let id = record["id"].as_str().expect("a pseudonym").to_owned();
                assert!(records.insert(id, record).is_none(), "a record was delivered twice");
            }
        }
    }
    records
}

/// Whether a person of [`Stage::new`] agreed.
fn agreed(id: u64) -> bool {
    !matches!(id % 10, 1..=3)
}

/// Reads the checkpoint of the ledger.
fn checkpoint(stage: &Stage) -> Vec<u8> {
    let fetched = vigie_witness_source(&stage.folder).fetch(vigie_ledger::tile::Resource::Checkpoint);
    fetched.expect("it can be read").expect("there is a head")
}

/// Values of an opened row.
fn opened(bytes: &[u8]) -> BTreeMap<String, Option<String>> {
    read_row(bytes).expect("a row of a hand-over").fields.into_iter().collect()
}
