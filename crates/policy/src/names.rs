//! The names that map, zones, policies and catalog share, each kind a type of its own.
//!
//! Names of tables, columns and roles are PostgreSQL's: up to 63 bytes, anything but control characters, always quoted in
//! the SQL we write. Names of maps, purposes and zones are ours: lower-case words joined by `-`. They contain no `_`, so
//! that the prefix `vigie_<map>_` of one map's roles is never a prefix of another's.

use serde::{Deserialize, Serialize};
use std::{borrow::Borrow, fmt, str::FromStr};

/// The longest name PostgreSQL keeps, in bytes; it cuts longer ones silently, so we refuse them.
pub const MAX_IDENTIFIER_BYTES: usize = 63;

/// The most bytes that a map's name and a purpose's name may have together.
///
/// `vigie_<map>_<purpose>_<8 hex>` must fit in [`MAX_IDENTIFIER_BYTES`].
pub const MAX_MAP_AND_PURPOSE_BYTES: usize = MAX_IDENTIFIER_BYTES - "vigie_".len() - "_".len() - "_01234567".len();

/// A name that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{given}` {why}")]
pub struct NameError {
    what: &'static str,
    given: String,
    why: String,
}

fn identifier(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("is empty".into());
    }
    if text.len() > MAX_IDENTIFIER_BYTES {
        return Err(format!("has {} bytes, PostgreSQL keeps {MAX_IDENTIFIER_BYTES}", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err("contains a control character".into());
    }
    Ok(())
}

fn label(text: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty() {
        return Err("is empty".into());
    }
    if text.len() > 40 {
        return Err(format!("has {} bytes, expected at most 40", text.len()));
    }
    if !text.starts_with(|c: char| c.is_ascii_lowercase()) || !text.chars().all(allowed) || text.ends_with('-') {
        return Err("is not lower-case letters and digits joined by `-`, beginning with a letter".into());
    }
    Ok(())
}

fn free(text: &str) -> Result<(), String> {
    if text.is_empty() || text.trim() != text {
        return Err("is empty, or begins or ends with a space".into());
    }
    if text.len() > 200 {
        return Err(format!("has {} bytes, expected at most 200", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err("contains a control character".into());
    }
    Ok(())
}

fn country(text: &str) -> Result<(), String> {
    if text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        Ok(())
    } else {
        Err("is not an ISO 3166-1 code of two capital letters".into())
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $what:literal, $check:ident;)*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Returns the name.
            ///
            /// # Errors
            ///
            /// If the text cannot be one.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let given = text.into();
                match $check(&given) {
                    Ok(()) => Ok(Self(given)),
                    Err(why) => Err(NameError { what: $what, given, why }),
                }
            }

            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    )* };
}

names! {
    /// The name of a data map, the `<map>` in `vigie_<map>_<purpose>_…`.
    MapName, "the map's name", label;
    /// What a client says in `vigie.purpose`.
    PurposeName, "the purpose's name", label;
    /// The name of a zone of readers.
    ZoneName, "the zone's name", label;
    /// The name of a policy: its file without `.cedar`, or with a number when the file has several.
    PolicyName, "the policy's name", free;
    /// A schema of the database.
    SchemaName, "the schema's name", identifier;
    /// A column of a table.
    ColumnName, "the column's name", identifier;
    /// A role of the server.
    RoleName, "the role's name", identifier;
    /// A legal entity, as the records of the staff name it.
    Entity, "the legal entity", free;
    /// A country, by its ISO 3166-1 code.
    Country, "the country", country;
    /// A group of the identity provider.
    Group, "the group", free;
    /// Where data must stay: a free word such as `EU`.
    Residency, "the residency", free;
    /// Who answers for a table.
    Owner, "the owner", free;
}

/// A table or view, by schema and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TableName {
    /// The schema.
    pub schema: SchemaName,
    /// The name within the schema.
    pub name: String,
}

impl TableName {
    /// Returns the name of a table.
    ///
    /// # Errors
    ///
    /// If either part cannot be a name of PostgreSQL.
    pub fn new(schema: &str, name: &str) -> Result<Self, NameError> {
        let schema = SchemaName::new(schema)?;
        match identifier(name) {
            Ok(()) => Ok(Self { schema, name: name.to_owned() }),
            Err(why) => Err(NameError { what: "the table's name", given: name.to_owned(), why }),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

impl FromStr for TableName {
    type Err = NameError;

    /// Reads `schema.table`; names that contain a dot are beyond what a map can say.
    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split_once('.') {
            Some((schema, name)) if !name.contains('.') => Self::new(schema, name),
            _ => Err(NameError {
                what: "the table's name",
                given: text.to_owned(),
                why: "is not a schema and a name with one dot between, such as `public.users`".into(),
            }),
        }
    }
}

impl TryFrom<String> for TableName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<TableName> for String {
    fn from(name: TableName) -> Self {
        name.to_string()
    }
}

/// Returns the candidate that `given` was most likely meant to be, if one is near.
pub(crate) fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (given.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(given, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Returns how many letters differ (Levenshtein), where case counts for nothing.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}
