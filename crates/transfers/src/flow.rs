//! The register of flows: what may leave, to whom, why, and which fields of it (SH-01, SH-02, SH-10).
//!
//! Out of scope: whether a person agrees (`choice`), and the files themselves (`source`, `deliver`).
//!
//! All faults of a register are reported at once, with their lines. Paths are relative to the register's folder.

use crate::field::{Field, FieldType, Treatment};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;
use vigie_ledger::VerifierKey;
use vigie_policy::DataMap;
pub use vigie_policy::document::Faults;
use vigie_policy::document::{Found, Placed, Table, read};
use vigie_policy::map::{Basis, SubjectType};

const SCHEMA: &str = "flows/1";
/// Records that are taken together, unless a flow says otherwise.
pub const DEFAULT_BATCH_RECORDS: u32 = 16_384;
/// Most records that are taken together.
pub const MAX_BATCH_RECORDS: u32 = 1 << 20;
/// How long a recipient may take to answer, unless a flow says otherwise.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(60);

/// All flows of an operator.
#[derive(Debug, Clone)]
pub struct Register {
    /// Who hands over.
    pub controller: String,
    /// Where it is accounted for.
    pub operator: Operator,
    /// Authorities whose orders and demands count.
    pub authorities: Vec<Authority>,
    /// The flows.
    pub flows: Vec<Flow>,
}

/// Where hand-overs are accounted for.
#[derive(Debug, Clone)]
pub struct Operator {
    /// The ledger: its folder, or its address.
    pub ledger: String,
    /// The token that a ledger behind an address asks for.
    pub token: Option<PathBuf>,
    /// The folder of the vault.
    pub vault: PathBuf,
    /// A file with 32 random bytes in hexadecimal, from which all keys follow.
    pub secret: PathBuf,
    /// Where it is noted how far each flow is.
    pub state: PathBuf,
    /// Where orders of authorities are put.
    pub orders: PathBuf,
}

/// An authority whose orders and demands count.
#[derive(Debug, Clone)]
pub struct Authority {
    /// Its name.
    pub name: String,
    /// Its key.
    pub key: VerifierKey,
}

/// In which role somebody receives data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A controller of its own.
    Controller,
    /// A joint controller (GDPR, article 26).
    JointController,
    /// A processor (GDPR, article 28).
    Processor,
}

/// A flow: what is handed over, to whom, why.
#[derive(Debug, Clone)]
pub struct Flow {
    /// Its name: lower-case letters, digits and hyphens.
    pub name: String,
    /// Who receives, by the name that choices have.
    pub recipient: String,
    /// As what.
    pub role: Role,
    /// For which purpose of the data map.
    pub purpose: String,
    /// That purpose as the DPV has it.
    pub term: String,
    /// On which basis.
    pub basis: Basis,
    /// How often, as an ISO 8601 duration; `once`.
    pub schedule: String,
    /// Where the recipient keeps it, as ISO 3166 has it.
    pub residency: String,
    /// The column with the person's id.
    pub subject: String,
    /// The type of that id.
    pub subject_type: SubjectType,
    /// Records that are taken together.
    pub batch_records: u32,
    /// Where records come from.
    pub source: Source,
    /// Where they go.
    pub destination: Destination,
    /// The fields that leave, in their order.
    pub fields: Vec<Field>,
}

/// Forms of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// Comma-separated values, with a line of names; nothing between two commas is NULL.
    Csv,
    /// One JSON object a line.
    Ndjson,
}

/// Where records come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File {
        /// Its form.
        format: Format,
        /// Where it is.
        path: PathBuf,
    },
    /// A query in the operator's PostgreSQL.
    Postgres {
        /// A `SELECT` without a semicolon.
        query: String,
        /// A column of it that no two records share: the order of records, and how they are told apart after a break.
        key: String,
    },
}

/// Where records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The form of the files.
    pub format: Format,
    /// The place.
    pub to: Target,
    /// How long it may take to take a batch.
    pub patience: Duration,
    /// A file with the token that the recipient asks for.
    pub token: Option<PathBuf>,
}

/// A place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A folder.
    Folder(PathBuf),
    /// A store, for instance `s3://bucket/prefix`.
    Store(Url),
    /// The recipient's address: batches are posted to it.
    Endpoint(Url),
}

impl Format {
    /// All forms.
    pub const ALL: [Self; 3] = [Self::Parquet, Self::Csv, Self::Ndjson];

    /// Returns its name, which is also how names of files end.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }

    /// Finds a form by its name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

impl Role {
    const ALL: [Self; 3] = [Self::Controller, Self::JointController, Self::Processor];

    /// Returns the word of the register.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Controller => "controller",
            Self::JointController => "joint-controller",
            Self::Processor => "processor",
        }
    }
}

impl Register {
    /// Reads a register. Purposes and bases are those of the data map; `folder` is what paths are relative to.
    ///
    /// # Errors
    ///
    /// All faults, with their lines.
    pub fn parse(text: &str, map: &DataMap, folder: &Path) -> Result<Self, Faults> {
        read(text, SCHEMA, |root| {
            let controller = root.text("controller");
            let operator = root.table("operator").and_then(|table| operator(&table, folder));
            let mut names = BTreeMap::new();
            let authorities: Vec<_> =
                root.tables("authority").iter().filter_map(|it| authority(it, &mut names)).collect();
            let readings = root.tables("flow");
            if readings.is_empty() {
                root.found.add(root.line, "there is no `[[flow]]`, so nothing could leave");
            }
            let mut names = BTreeMap::new();
            let flows = readings.iter().filter_map(|reading| flow(reading, map, folder, &mut names)).collect();
            Some(Self { controller: controller?.value, operator: operator?, authorities, flows })
        })
    }

    /// Finds a flow.
    pub fn flow(&self, name: &str) -> Option<&Flow> {
        self.flows.iter().find(|flow| flow.name == name)
    }
}

fn operator(table: &Table<'_>, folder: &Path) -> Option<Operator> {
    let path = |key| table.text(key).map(|path| folder.join(path.value));
    let (vault, secret, state, orders) = (path("vault"), path("secret"), path("state"), path("orders"));
    let token = table.optional_text("token").map(|path| folder.join(path.value));
    let ledger = table.text("ledger").map(|ledger| {
        let address = ledger.value.starts_with("http://") || ledger.value.starts_with("https://");
        if address { ledger.value } else { folder.join(ledger.value).to_string_lossy().into_owned() }
    });
    table.finish();
    Some(Operator { ledger: ledger?, token, vault: vault?, secret: secret?, state: state?, orders: orders? })
}

fn authority(table: &Table<'_>, names: &mut BTreeMap<String, usize>) -> Option<Authority> {
    let (name, key) = (table.text("name"), table.text("key"));
    table.finish();
    if let Some(name) = &name {
        unique(&table.found, names, "authority", name);
    }
    let key = key.and_then(|key| match key.value.parse::<VerifierKey>() {
        Ok(parsed) => Some(parsed),
        Err(error) => {
            table.found.add(key.line, format!("`key` is no key of an authority: {error}"));
            None
        }
    });
    Some(Authority { name: name?.value, key: key? })
}

fn unique(found: &Found, names: &mut BTreeMap<String, usize>, what: &str, name: &Placed<String>) {
    if let Some(first) = names.insert(name.value.clone(), name.line) {
        found.add(name.line, format!("{what} `{}` is already on line {first}", name.value));
    }
}

fn flow(table: &Table<'_>, map: &DataMap, folder: &Path, names: &mut BTreeMap<String, usize>) -> Option<Flow> {
    let found = &table.found;
    let name = table.text("name");
    if let Some(name) = &name {
        unique(found, names, "flow", name);
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.value.is_empty() || name.value.len() > 60 || !name.value.chars().all(fits) {
            found.add(
                name.line,
                format!("flow `{}` is not named by 1 to 60 lower-case letters, digits and hyphens", name.value),
            );
        }
    }
    let recipient = table.text("recipient");
    if let Some(recipient) = recipient.as_ref().filter(|it| it.value.is_empty() || it.value.len() > 200) {
        found.add(recipient.line, "`recipient` has no characters, or more than 200");
    }
    let role = table.word("role", &Role::ALL.map(|role| (role.name(), role)));
    let purpose = table.text("purpose");
    let basis = table.word("basis", &Basis::ALL.map(|basis| (basis.as_str(), basis)));
    let schedule = table.text("schedule");
    if let Some(schedule) = schedule.as_ref().filter(|it| it.value != "once" && it.value.parse::<jiff::Span>().is_err())
    {
        found.add_with_help(
            schedule.line,
            format!("`schedule` is `{}`, expected `once` or an ISO 8601 duration", schedule.value),
            Some("such as `P1D`".into()),
        );
    }
    let residency = table.text("residency");
    if let Some(residency) = residency.as_ref().filter(|it| !is_country(&it.value)) {
        found.add_with_help(
            residency.line,
            format!("`residency` is `{}`, expected a country by its two letters", residency.value),
            Some("such as `US`, or `EU`".into()),
        );
    }
    let subject = table.text("subject");
    let batch = if table.has("batch_records") { table.integer("batch_records") } else { None };
    let batch_records = match &batch {
        None => DEFAULT_BATCH_RECORDS,
        Some(batch) => {
            u32::try_from(batch.value).ok().filter(|n| (1..=MAX_BATCH_RECORDS).contains(n)).unwrap_or_else(|| {
                found.add(batch.line, format!("`batch_records` is {}, expected 1 to {MAX_BATCH_RECORDS}", batch.value));
                DEFAULT_BATCH_RECORDS
            })
        }
    };
    let source = table.table("source").and_then(|table| source(&table, folder));
    let destination = table.table("destination").and_then(|table| destination(&table, folder));
    let fields = fields(table);
    table.finish();
    let known = purpose.as_ref().and_then(|purpose| {
        let known = map.purpose(&purpose.value);
        if known.is_none() {
            let names = map.purposes.iter().map(|purpose| purpose.name.as_str());
            found.add_unknown(
                purpose.line,
                format!("the data map has no purpose `{}`", purpose.value),
                &purpose.value,
                names,
            );
        }
        known
    });
    if let (Some(known), Some(basis)) = (known, &basis)
        && known.basis != basis.value
    {
        found.add(
            basis.line,
            format!(
                "`basis` is `{}`, the data map says `{}` for `{}`; a purpose has one basis (SH-02)",
                basis.value.as_str(),
                known.basis.as_str(),
                known.name
            ),
        );
    }
    let purpose = known?;
    Some(Flow {
        name: name?.value,
        recipient: recipient?.value,
        role: role?.value,
        purpose: purpose.name.to_string(),
        term: purpose.term.clone(),
        basis: basis?.value,
        schedule: schedule?.value,
        residency: residency?.value,
        subject: subject?.value,
        subject_type: map.subject_type,
        batch_records,
        source: source?,
        destination: destination?,
        fields,
    })
}

fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

fn source(table: &Table<'_>, folder: &Path) -> Option<Source> {
    let words = [
        ("parquet", Some(Format::Parquet)),
        ("csv", Some(Format::Csv)),
        ("ndjson", Some(Format::Ndjson)),
        ("postgres", None),
    ];
    let source = if let Some(format) = table.word("format", &words)?.value {
        table.text("path").map(|path| Source::File { format, path: folder.join(path.value) })
    } else {
        let (query, key) = (table.text("query"), table.text("key"));
        if let Some(query) = query.as_ref().filter(|query| query.value.contains(';')) {
            table.found.add(query.line, "`query` has a semicolon; one `SELECT` without one is expected");
        }
        query.zip(key).map(|(query, key)| Source::Postgres { query: query.value, key: key.value })
    };
    table.finish();
    source
}

fn destination(table: &Table<'_>, folder: &Path) -> Option<Destination> {
    let format = table.word("format", &Format::ALL.map(|format| (format.name(), format)));
    let to = table.text("to").and_then(|to| target(&table.found, &to, folder));
    let token = table.optional_text("token").map(|path| folder.join(path.value));
    let patience = if table.has("patience_s") { table.integer("patience_s") } else { None };
    let patience = match &patience {
        None => DEFAULT_PATIENCE,
        Some(given) if (1..=3600).contains(&given.value) => Duration::from_secs(given.value as u64),
        Some(given) => {
            table.found.add(given.line, format!("`patience_s` is {}, expected 1 to 3600", given.value));
            DEFAULT_PATIENCE
        }
    };
    table.finish();
    Some(Destination { format: format?.value, to: to?, patience, token })
}

fn target(found: &Found, to: &Placed<String>, folder: &Path) -> Option<Target> {
    if !to.value.contains("://") {
        return Some(Target::Folder(folder.join(&to.value)));
    }
    match Url::parse(&to.value) {
        Err(error) => found.add(to.line, format!("`to` is `{}`, which is no address: {error}", to.value)),
        Ok(url) if url.scheme() == "https" => return Some(Target::Endpoint(url)),
        Ok(url) if url.scheme() == "http" => {
            let here = match url.host() {
                Some(url::Host::Ipv4(address)) => address.is_loopback(),
                Some(url::Host::Ipv6(address)) => address.is_loopback(),
                Some(url::Host::Domain(name)) => name == "localhost",
                None => false,
            };
            if here {
                return Some(Target::Endpoint(url));
            }
            found.add(to.line, format!("`to` is `{}`: personal data leave this machine over `https` only", to.value));
        }
        Ok(url) => return Some(Target::Store(url)),
    }
    None
}

fn fields(table: &Table<'_>) -> Vec<Field> {
    let found = &table.found;
    let readings = table.tables("field");
    if readings.is_empty() {
        found.add(table.line, "the flow has no `[[flow.field]]`: nothing is declared, so nothing could leave (SH-10)");
    }
    let mut names = BTreeMap::new();
    let mut fields = Vec::new();
    for reading in readings {
        let name = reading.text("name");
        let field_type = reading.optional_word("type", &FieldType::ALL.map(|it| (it.name(), it)));
        let treatment = reading.optional_word("treatment", &Treatment::ALL.map(|it| (it.name(), it)));
        reading.finish();
        let Some(name) = name else { continue };
        unique(found, &mut names, "field", &name);
        if name.value.is_empty() || name.value.chars().any(|c| c.is_control() || c == ' ') {
            found.add(
                name.line,
                format!("`{}` is not the name of a field: it has spaces, or no characters", name.value),
            );
        }
        let field_type = field_type.map_or(FieldType::Text, |it| it.value);
        let treatment = treatment.map_or(Treatment::Plain, |it| it.value);
        fields.push(Field { name: name.value, field_type, treatment });
    }
    fields
}
