//! The HR record: who there is, of which legal entity, in which country, with which groups and training.
//!
//! One TOML file, `people/1`, with `[[person]]` and `[[service]]`. All faults are reported at once, with their lines.

use super::{Attestation, Attested, Kind, Method, Principal};
use crate::scram::Verifier;
use ipnet::IpNet;
use jiff::civil::Date;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt::{self, Display},
    str::FromStr,
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// What `schema` says in the file.
pub const SCHEMA: &str = "people/1";

/// The largest file that is read, in bytes.
pub const MAX_BYTES: usize = 64 << 20;

/// The longest id, in bytes: it is what clients give as their user, which PostgreSQL's own tools cut at 63.
pub const MAX_ID_BYTES: usize = 63;

/// A person or a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What clients give as their user.
    pub id: String,
    /// How people call it.
    pub name: String,
    /// Whether it is a person.
    pub kind: Kind,
    /// What is attested of it.
    pub attested: Attested,
    /// The verifier of its password.
    pub scram: Option<Verifier>,
    /// The name in its certificates: an alternative name or the common name, exactly.
    pub certificate: Option<String>,
    /// From where it may come; empty for anywhere that its country allows.
    pub addresses: Vec<IpNet>,
}

/// Everybody on record.
#[derive(Debug, Clone, Default)]
pub struct People {
    records: Vec<Record>,
    by_id: HashMap<String, usize>,
    by_certificate: HashMap<String, usize>,
}

/// One thing wrong in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

/// Everything wrong in the file, in the order of its lines; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

impl Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let gap = if index > 0 { "\n" } else { "" };
            write!(formatter, "{gap}line {}: {}", fault.line, fault.what)?;
        }
        Ok(())
    }
}

impl Record {
    /// Returns it as one who has proved who it is.
    pub(super) fn principal(&self, attested_by: Attestation, method: Method) -> Principal {
        Principal {
            id: self.id.clone(),
            display: self.name.clone(),
            kind: self.kind,
            attested: self.attested.clone(),
            attested_by,
            method,
            addresses: self.addresses.clone(),
        }
    }
}

impl People {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// Everything wrong with it, in the order of the lines.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        let mut reading = Reading { text, faults: Vec::new() };
        let people = reading.file();
        reading.faults.sort_by_key(|fault| fault.line);
        if reading.faults.is_empty() { Ok(people) } else { Err(Faults(reading.faults)) }
    }

    /// Returns the record of an id.
    pub fn record(&self, id: &str) -> Option<&Record> {
        self.by_id.get(id).map(|index| &self.records[*index])
    }

    /// Returns the record whose certificates have this name.
    pub fn by_certificate(&self, name: &str) -> Option<&Record> {
        self.by_certificate.get(name).map(|index| &self.records[*index])
    }

    /// Returns all records, in the order of the file.
    pub fn records(&self) -> &[Record] {
        &self.records
    }
}

struct Reading<'t> {
    text: &'t str,
    faults: Vec<Fault>,
}

/// The fields of a record as far as they were read.
#[derive(Default)]
struct Draft {
    id: Option<String>,
    name: Option<String>,
    entity: Option<vigie_policy::names::Entity>,
    country: Option<vigie_policy::names::Country>,
    groups: BTreeSet<vigie_policy::names::Group>,
    training_until: Option<Date>,
    scram: Option<Verifier>,
    certificate: Option<String>,
    addresses: Vec<IpNet>,
}

impl Reading<'_> {
    fn fault(&mut self, offset: usize, what: impl Into<String>) {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = before.split(|byte| *byte == b'\n').count();
        self.faults.push(Fault { line, what: what.into() });
    }

    fn file(&mut self) -> People {
        let mut people = People::default();
        if self.text.len() > MAX_BYTES {
            self.fault(0, format!("the file has {} bytes, expected at most {MAX_BYTES}", self.text.len()));
            return people;
        }
        let (root, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let at = error.span().map_or(0, |span| span.start);
            self.fault(at, format!("not TOML: {}", error.message().trim().replace('\n', ", ")));
        }
        if !errors.is_empty() {
            return people;
        }
        let mut schema_seen = false;
        let mut ids = HashSet::new();
        for (key, value) in root.get_ref() {
            let kind = match key.get_ref().as_ref() {
                "schema" => {
                    schema_seen = true;
                    if value.get_ref().as_str() != Some(SCHEMA) {
                        self.fault(value.span().start, format!("the schema is not `{SCHEMA}`"));
                    }
                    continue;
                }
                "person" => Kind::Person,
                "service" => Kind::Service,
                other => {
                    let what = format!("unknown key `{other}`; known are `schema`, `person` and `service`");
                    self.fault(key.span().start, what);
                    continue;
                }
            };
            let Some(list) = value.get_ref().as_array() else {
                self.fault(value.span().start, format!("`{0}` is written as `[[{0}]]`", key.get_ref()));
                continue;
            };
            for item in list {
                let Some(table) = item.get_ref().as_table() else {
                    self.fault(item.span().start, format!("`{0}` is written as `[[{0}]]`", key.get_ref()));
                    continue;
                };
                let Some(record) = self.record(item.span().start, table, kind) else { continue };
                if !ids.insert(record.id.clone()) {
                    self.fault(item.span().start, format!("`{}` is on record twice", record.id));
                }
                let index = people.records.len();
                if let Some(name) = &record.certificate
                    && people.by_certificate.insert(name.clone(), index).is_some()
                {
                    self.fault(item.span().start, format!("another record has the certificate `{name}` too"));
                }
                people.by_id.insert(record.id.clone(), index);
                people.records.push(record);
            }
        }
        if !schema_seen {
            self.fault(0, format!("`schema` is missing, expected `{SCHEMA}`"));
        }
        people
    }

    fn record(&mut self, at: usize, table: &DeTable<'_>, kind: Kind) -> Option<Record> {
        let before = self.faults.len();
        let mut draft = Draft::default();
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "id" => draft.id = self.text_of("id", value).filter(|id| self.is_id(value, id)),
                "name" => draft.name = self.text_of("name", value),
                "entity" => draft.entity = self.parsed("entity", value),
                "country" => draft.country = self.parsed("country", value),
                "groups" => draft.groups = self.list("groups", value).into_iter().collect(),
                "training_until" => draft.training_until = self.parsed("training_until", value),
                "scram" => draft.scram = self.parsed("scram", value),
                "certificate" => draft.certificate = self.text_of("certificate", value),
                "addresses" => {
                    draft.addresses = self.list("addresses", value);
                    if value.get_ref().as_array().is_some_and(|list| list.is_empty()) {
                        // An empty list reads like "from nowhere", and would mean "from anywhere".
                        self.fault(value.span().start, "`addresses` is empty; leave it out, or list networks");
                    }
                }
                other => {
                    let known = "id, name, entity, country, groups, training_until, scram, certificate and addresses";
                    self.fault(key.span().start, format!("unknown key `{other}`; known are {known}"));
                }
            }
        }
        for key in ["id", "name", "entity", "country"] {
            if !table.iter().any(|(name, _)| name.get_ref() == key) {
                self.fault(at, format!("`{key}` is missing"));
            }
        }
        if self.faults.len() > before {
            return None;
        }
        Some(Record {
            id: draft.id?,
            name: draft.name?,
            kind,
            attested: Attested {
                entity: draft.entity?,
                country: draft.country?,
                groups: draft.groups,
                training_until: draft.training_until,
            },
            scram: draft.scram,
            certificate: draft.certificate,
            addresses: draft.addresses,
        })
    }

    fn is_id(&mut self, value: &Spanned<DeValue<'_>>, id: &str) -> bool {
        let fits = id.len() <= MAX_ID_BYTES && !id.chars().any(char::is_control);
        if !fits {
            self.fault(value.span().start, format!("`id` has control characters or more than {MAX_ID_BYTES} bytes"));
        }
        fits
    }

    fn text_of(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<String> {
        let text = value.get_ref().as_str().filter(|text| !text.trim().is_empty());
        if text.is_none() {
            self.fault(value.span().start, format!("`{key}` is not a text, or empty"));
        }
        text.map(str::to_owned)
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<T> {
        let text = self.text_of(key, value)?;
        match text.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.fault(value.span().start, format!("`{key}` cannot be read: {error}"));
                None
            }
        }
    }

    fn list<T: FromStr<Err: Display>>(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Vec<T> {
        let Some(items) = value.get_ref().as_array() else {
            self.fault(value.span().start, format!("`{key}` is not a list of texts"));
            return Vec::new();
        };
        items.iter().filter_map(|item| self.parsed(key, item)).collect()
    }
}
