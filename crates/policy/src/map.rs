//! The data map: which tables hold whose data, of which class, for which purposes. One TOML file, `data-map/1`.
//!
//! Out of scope: whether the database really looks like that ([`crate::lint`]), and who may read it ([`crate::compile`]).
//!
//! A table without `subject` is about nobody: it has no mask, all its columns must be of a class that may be read without
//! one, and row-level security leaves it alone.

use crate::{
    document::{Found, Placed, Table as Reading, listed, read},
    names::{
        ColumnName, MAX_MAP_AND_PURPOSE_BYTES, MapName, Owner, PurposeName, Residency, RoleName, TableName, nearest,
    },
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

pub use crate::document::{Fault, Faults as MapErrors};

/// What the first line of a map says.
pub const SCHEMA: &str = "data-map/1";

/// The highest bit of the mask: a `bigint` has 63 that are not its sign.
pub const MAX_BIT: u8 = 62;

/// A data map; its fields hold what [`DataMap::parse`] has checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DataMap {
    /// The deployment; roles are called `vigie_<name>_…`.
    pub name: MapName,
    /// The type of a person's id, the same everywhere.
    pub subject_type: SubjectType,
    /// The purposes, in the order of the file; names and bits are unique.
    pub purposes: Vec<Purpose>,
    /// The tables, in the order of the file; names are unique, also without their schema.
    pub tables: Vec<Table>,
}

/// The type of a person's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubjectType {
    /// `bigint`.
    Bigint,
    /// `uuid`.
    Uuid,
    /// `text`.
    Text,
}

/// Why processing for a purpose is lawful.
///
/// # Source
///
/// GDPR, article 6(1); the right to object: article 21(1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// Article 6(1)(a).
    Consent,
    /// Article 6(1)(b).
    Contract,
    /// Article 6(1)(c).
    LegalObligation,
    /// Article 6(1)(d).
    VitalInterest,
    /// Article 6(1)(e).
    PublicTask,
    /// Article 6(1)(f).
    LegitimateInterest,
}

/// How much data says about a person, from most to least guarded.
///
/// # Source
///
/// DOMAIN.md, DA-01; `personal` and `pseudonymous` are our own split of what is neither restricted nor free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Direct identifiers and what is most harmful when known.
    Restricted,
    /// About a person who can be named.
    Personal,
    /// About a person known only by a number.
    Pseudonymous,
    /// What services must share to work with one another.
    Interoperable,
    /// Figures about many.
    Aggregated,
    /// For everyone.
    Public,
}

impl Class {
    /// All classes, from most to least guarded.
    pub const ALL: [Self; 6] =
        [Self::Restricted, Self::Personal, Self::Pseudonymous, Self::Interoperable, Self::Aggregated, Self::Public];

    /// Returns the word of the map and the policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Restricted => "restricted",
            Self::Personal => "personal",
            Self::Pseudonymous => "pseudonymous",
            Self::Interoperable => "interoperable",
            Self::Aggregated => "aggregated",
            Self::Public => "public",
        }
    }

    /// Returns whether a table about nobody may hold it.
    pub const fn needs_no_subject(self) -> bool {
        matches!(self, Self::Interoperable | Self::Aggregated | Self::Public)
    }
}

impl Basis {
    /// All bases, in the order of article 6.
    pub const ALL: [Self; 6] = [
        Self::Consent,
        Self::Contract,
        Self::LegalObligation,
        Self::VitalInterest,
        Self::PublicTask,
        Self::LegitimateInterest,
    ];

    /// Returns the word of the map.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consent => "consent",
            Self::Contract => "contract",
            Self::LegalObligation => "legal-obligation",
            Self::VitalInterest => "vital-interest",
            Self::PublicTask => "public-task",
            Self::LegitimateInterest => "legitimate-interest",
        }
    }

    /// Returns whether the bit of the mask is set for a person who said nothing.
    pub const fn permits_without_choice(self) -> bool {
        !matches!(self, Self::Consent)
    }

    /// Returns whether a person may clear the bit: by withdrawing consent, or by objecting.
    pub const fn may_be_refused(self) -> bool {
        matches!(self, Self::Consent | Self::PublicTask | Self::LegitimateInterest)
    }
}

impl SubjectType {
    /// Returns the type as `format_type` spells it.
    pub const fn as_sql(self) -> &'static str {
        match self {
            Self::Bigint => "bigint",
            Self::Uuid => "uuid",
            Self::Text => "text",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Purpose {
    /// What clients say in `vigie.purpose`.
    pub name: PurposeName,
    /// The term of the W3C Data Privacy Vocabulary, such as `dpv:FraudPreventionAndDetection`.
    pub term: String,
    /// Its bit of the mask, 0 to [`MAX_BIT`].
    pub bit: u8,
    /// Why it is lawful.
    pub basis: Basis,
}

impl Purpose {
    /// Returns the mask that has only this purpose's bit.
    pub const fn mask(&self) -> i64 {
        1 << self.bit
    }
}

/// How fast masks follow a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fanout {
    /// In the transaction of the choice.
    Immediate,
    /// Afterwards, behind the stop set of the gateways.
    Deferred,
}

/// Whose rows a table holds, and where that is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Governed {
    /// The column with the person's id.
    pub subject: ColumnName,
    /// The `bigint` column with the decision mask.
    pub mask: ColumnName,
    /// How fast it follows.
    pub fanout: Fanout,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Table {
    /// Its name.
    pub name: TableName,
    /// Who answers for it.
    pub owner: Owner,
    /// Whose rows it holds; none for reference data.
    pub governed: Option<Governed>,
    /// Where its data must stay.
    pub residency: Residency,
    /// How long its data is kept, as an ISO 8601 duration such as `P3Y`.
    pub retention: String,
    /// Its columns, in the order of the file; names are unique.
    pub columns: Vec<Column>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Its name.
    pub name: ColumnName,
    /// Its class.
    pub class: Class,
    /// The only purposes it may be read for; none for all.
    pub purposes: Option<Vec<PurposeName>>,
    /// Stored as sealed cells that only the gateway opens.
    pub sealed: bool,
    /// Readers search by it.
    pub search: bool,
}

impl Column {
    /// Returns whether the map lets it be used for a purpose.
    pub fn serves(&self, purpose: &PurposeName) -> bool {
        self.purposes.as_ref().is_none_or(|purposes| purposes.contains(purpose))
    }
}

impl Table {
    /// Returns a column.
    pub fn column(&self, name: &ColumnName) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == *name)
    }

    /// Returns the column with the person's id, for a governed table.
    pub fn subject(&self) -> Option<&ColumnName> {
        self.governed.as_ref().map(|governed| &governed.subject)
    }
}

impl DataMap {
    /// Reads a data map.
    ///
    /// # Errors
    ///
    /// Everything wrong with it, in the order of its lines.
    pub fn parse(text: &str) -> Result<Self, MapErrors> {
        read(text, SCHEMA, build)
    }

    /// Returns a table.
    pub fn table(&self, name: &TableName) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == *name)
    }

    /// Returns a purpose.
    pub fn purpose(&self, name: &str) -> Option<&Purpose> {
        self.purposes.iter().find(|purpose| purpose.name.as_str() == name)
    }

    /// Returns the purpose that a wrong name was most likely meant to be.
    pub fn nearest_purpose(&self, given: &str) -> Option<&PurposeName> {
        let near = nearest(given, self.purposes.iter().map(|purpose| purpose.name.as_str()))?;
        self.purpose(near).map(|purpose| &purpose.name)
    }

    /// Returns the mask of a person who said nothing: the bits of all purposes that need no consent.
    pub fn mask_without_choice(&self) -> i64 {
        let open = self.purposes.iter().filter(|purpose| purpose.basis.permits_without_choice());
        open.map(Purpose::mask).fold(0, |mask, bit| mask | bit)
    }

    /// Returns how the roles of this map, and only of this map, begin.
    pub fn role_prefix(&self) -> String {
        format!("vigie_{}_", self.name)
    }

    /// Returns the role of sessions that have no purpose, and no rights.
    pub fn nobody(&self) -> RoleName {
        RoleName::new(format!("{}nobody", self.role_prefix())).expect("a map's name is short enough")
    }
}

const SUBJECT_TYPES: [(&str, SubjectType); 3] =
    [("bigint", SubjectType::Bigint), ("uuid", SubjectType::Uuid), ("text", SubjectType::Text)];

const FANOUTS: [(&str, Fanout); 2] = [("immediate", Fanout::Immediate), ("deferred", Fanout::Deferred)];

fn build(root: &Reading<'_>) -> Option<DataMap> {
    let name = root.name::<MapName>("name");
    let subject_type = root.word("subject_type", &SUBJECT_TYPES);
    let purposes = purposes(root, name.as_ref().map(|name| &name.value));
    let tables = tables(root, &purposes);
    Some(DataMap { name: name?.value, subject_type: subject_type?.value, purposes, tables })
}

/// Notes where a name was first given, and reports the second time.
fn unique(found: &Found, seen: &mut BTreeMap<String, usize>, what: &str, name: &str, line: usize) {
    if let Some(first) = seen.insert(name.to_owned(), line) {
        found.add(line, format!("{what} `{name}` is already given in line {first}"));
    }
}

fn purposes(root: &Reading<'_>, map: Option<&MapName>) -> Vec<Purpose> {
    let (mut names, mut bits, mut purposes) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    let bases = Basis::ALL.map(|basis| (basis.as_str(), basis));
    let readings = root.tables("purpose");
    if readings.is_empty() {
        root.found.add(root.line, "there is no `[[purpose]]`, so nothing could be read for any");
    }
    for reading in readings {
        let found = &reading.found;
        let name = reading.name::<PurposeName>("name");
        let term = reading.text("term");
        let bit = reading.integer("bit");
        let basis = reading.word("basis", &bases);
        reading.finish();
        if let Some(name) = &name {
            unique(found, &mut names, "purpose", name.value.as_str(), name.line);
            if let Some(map) = map {
                let bytes = map.as_str().len() + name.value.as_str().len();
                if bytes > MAX_MAP_AND_PURPOSE_BYTES {
                    let what = format!(
                        "the names of map and purpose `{}` have {bytes} bytes together, a role's name leaves room for \
                         {MAX_MAP_AND_PURPOSE_BYTES}",
                        name.value
                    );
                    found.add(name.line, what);
                }
            }
        }
        if let Some(term) = &term {
            let local = term.value.split_once(':').filter(|(prefix, _)| prefix.starts_with("dpv"));
            if local.is_none_or(|(_, local)| local.is_empty() || !local.chars().all(char::is_alphanumeric)) {
                let what = format!("`term` is `{}`, expected a term of the DPV", term.value);
                found.add_with_help(term.line, what, Some("such as `dpv:FraudPreventionAndDetection`".into()));
            }
        }
        let bit = bit.and_then(|bit| {
            let valid = u8::try_from(bit.value).ok().filter(|bit| *bit <= MAX_BIT);
            match valid {
                Some(_) => unique(found, &mut bits, "bit", &bit.value.to_string(), bit.line),
                None => found.add(bit.line, format!("`bit` is {}, expected 0 to {MAX_BIT}", bit.value)),
            }
            valid
        });
        if let (Some(name), Some(term), Some(bit), Some(basis)) = (name, term, bit, basis) {
            purposes.push(Purpose { name: name.value, term: term.value, bit, basis: basis.value });
        }
    }
    purposes
}

fn tables(root: &Reading<'_>, purposes: &[Purpose]) -> Vec<Table> {
    let (mut names, mut bare, mut tables) = (BTreeMap::new(), BTreeMap::<String, TableName>::new(), Vec::new());
    for reading in root.tables("table") {
        let found = &reading.found;
        let name = reading.name::<TableName>("name");
        let owner = reading.name::<Owner>("owner");
        let subject = reading.optional_name::<ColumnName>("subject");
        let mask = reading.optional_name::<ColumnName>("mask");
        let residency = reading.name::<Residency>("residency");
        let retention = reading.text("retention");
        let fanout = reading.optional_word("fanout", &FANOUTS);
        let columns = columns(&reading, purposes);
        reading.finish();
        if let Some(name) = &name {
            unique(found, &mut names, "table", &name.value.to_string(), name.line);
            if let Some(other) = bare.insert(name.value.name.clone(), name.value.clone())
                && other != name.value
            {
                let what = format!("tables `{other}` and `{}` would give readers two views of one name", name.value);
                found.add(name.line, what);
            }
            if name.value.schema.as_str().starts_with("pg_") || name.value.schema.as_str() == "information_schema" {
                found.add(name.line, format!("table `{}` belongs to PostgreSQL itself", name.value));
            }
        }
        if let Some(retention) = &retention
            && !is_duration(&retention.value)
        {
            let what = format!("`retention` is `{}`, expected an ISO 8601 duration such as `P3Y`", retention.value);
            found.add(retention.line, what);
        }
        check_governed(&reading, subject.as_ref(), mask.as_ref(), fanout.is_some(), &columns);
        let governed = subject.zip(mask).map(|(subject, mask)| Governed {
            subject: subject.value,
            mask: mask.value,
            fanout: fanout.map_or(Fanout::Immediate, |fanout| fanout.value),
        });
        if let (Some(name), Some(owner), Some(residency), Some(retention)) = (name, owner, residency, retention) {
            tables.push(Table {
                name: name.value,
                owner: owner.value,
                governed,
                residency: residency.value,
                retention: retention.value,
                columns: columns.into_iter().map(|column| column.value).collect(),
            });
        }
    }
    tables
}

fn check_governed(
    reading: &Reading<'_>,
    subject: Option<&Placed<ColumnName>>,
    mask: Option<&Placed<ColumnName>>,
    has_fanout: bool,
    columns: &[Placed<Column>],
) {
    let found = &reading.found;
    let known: Vec<&str> = columns.iter().map(|column| column.value.name.as_str()).collect();
    if let Some(subject) = subject {
        match columns.iter().find(|column| column.value.name == subject.value) {
            None => {
                let what = format!("the subject `{}` is not among the columns", subject.value);
                found.add_unknown(subject.line, what, subject.value.as_str(), known.iter().copied());
            }
            Some(column) if column.value.sealed => {
                found.add(column.line, format!("the subject `{}` is sealed, so rows have no person", subject.value));
            }
            Some(_) => {}
        }
        if mask.is_none() && !reading.has("mask") {
            found.add_with_help(
                reading.line,
                "a table with a subject needs a mask",
                Some("add `mask = \"pmask\"` and a `bigint` column of that name".into()),
            );
        }
    } else if !reading.has("subject") {
        if let Some(mask) = mask {
            found.add(mask.line, "`mask` is of no use without `subject`");
        }
        if has_fanout {
            found.add(reading.line, "`fanout` is of no use without `subject`");
        }
        for column in columns.iter().filter(|column| !column.value.class.needs_no_subject()) {
            let what = format!(
                "column `{}` is {}, but the table has no subject whose choices could govern it",
                column.value.name, column.value.class
            );
            found.add_with_help(column.line, what, Some("name the table's `subject`, or correct the class".into()));
        }
    }
    if let Some(mask) = mask
        && known.contains(&mask.value.as_str())
    {
        let what = format!("the mask `{}` is listed as a column, so readers could be granted it", mask.value);
        found.add_with_help(mask.line, what, Some("leave it out of the columns".into()));
    }
}

fn columns(table: &Reading<'_>, purposes: &[Purpose]) -> Vec<Placed<Column>> {
    let (mut names, mut columns) = (BTreeMap::new(), Vec::new());
    let classes = Class::ALL.map(|class| (class.as_str(), class));
    let readings = table.tables("column");
    if readings.is_empty() {
        table.found.add(table.line, "the table has no `[[table.column]]`");
    }
    for reading in readings {
        let found = &reading.found;
        let name = reading.name::<ColumnName>("name");
        let class = reading.word("class", &classes);
        let only = reading.names::<PurposeName>("purposes");
        let sealed = reading.flag("sealed");
        let search = reading.flag("search");
        reading.finish();
        if let Some(name) = &name {
            unique(found, &mut names, "column", name.value.as_str(), name.line);
        }
        for purpose in only.iter().flatten() {
            if !purposes.iter().any(|known| known.name == purpose.value) {
                let known = purposes.iter().map(|purpose| purpose.name.as_str());
                let what = format!("purpose `{}` is not in this map", purpose.value);
                found.add_unknown(purpose.line, what, purpose.value.as_str(), known);
            }
        }
        if sealed && search {
            found.add(reading.line, "a sealed column cannot be searched: the database sees only sealed cells");
        }
        if let (true, Some(class)) = (sealed, &class) {
            let sealable = [Class::Restricted, Class::Personal, Class::Pseudonymous];
            if !sealable.contains(&class.value) {
                let what = format!("the column is sealed, but its class is {}", class.value);
                found.add_with_help(class.line, what, Some(format!("only {} are", listed(&sealable))));
            }
        }
        if let (Some(name), Some(class)) = (name, class) {
            let purposes = only.map(|only| only.into_iter().map(|purpose| purpose.value).collect());
            let value = Column { name: name.value, class: class.value, purposes, sealed, search };
            columns.push(Placed { line: reading.line, value });
        }
    }
    columns
}

/// Returns whether this is a duration of ISO 8601 of whole numbers: `P3Y`, `P1Y6M`, `P90D`, `PT36H`, `P2W`.
fn is_duration(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('P') else { return false };
    let (days, time) = rest.split_once('T').map_or((rest, None), |(days, time)| (days, Some(time)));
    let follows = |text: &str, units: &str| {
        let (mut units, mut digits) = (units.chars(), 0);
        for c in text.chars() {
            if c.is_ascii_digit() {
                digits += 1;
            } else if digits == 0 || digits > 6 || !units.any(|unit| unit == c) {
                return false;
            } else {
                digits = 0;
            }
        }
        digits == 0
    };
    let well_formed = follows(days, "YMD") || (time.is_none() && follows(days, "W"));
    well_formed
        && !(days.is_empty() && time.is_none())
        && time.is_none_or(|time| !time.is_empty() && follows(time, "HMS"))
}
