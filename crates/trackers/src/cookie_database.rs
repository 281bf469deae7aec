//! The Open Cookie Database: what a name means, as far as the name alone can say.
//!
//! The surprise: many rows have names that mean nothing without their domain (`c`, `uid`, `lang`, `_s` followed by
//! anything). Such a row counts on its own domain only; a name that is its platform's own (`_uetvid`) counts anywhere.
//! `data/open-cookie-database.NOTICE.md` says where the data comes from.

use crate::{
    class::Class,
    host::{Party, is_within, registrable_domain},
    sorted::lines_of,
};

const NAMES: &str = include_str!(concat!(env!("OUT_DIR"), "/cookie-names.txt"));
const PREFIXES: &str = include_str!(concat!(env!("OUT_DIR"), "/cookie-prefixes.txt"));

/// A row of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The database's category, in our words.
    pub class: Class,
    /// Whose cookie it is; may be empty.
    pub platform: &'static str,
}

/// Returns the row for a name.
///
/// `host` is the cookie's domain, where known; `writer` the host that wrote it, where known. A row with domains of its
/// own is preferred where one of them is `host` or `writer`.
pub fn find(name: &str, host: Option<&str>, party: Party, writer: Option<&str>) -> Option<Row> {
    let is_at = |domains: &str| {
        let here = [host, writer];
        let within = |here: &str| domains.split(' ').any(|domain| is_within(here, registrable_domain(domain)));
        !domains.is_empty() && here.into_iter().flatten().any(within)
    };
    let exact: Vec<Fields> = lines_of(NAMES, name).filter_map(Fields::of).collect();
    let counts = |row: &Fields| match (row.domains.is_empty(), party) {
        (true, _) => is_telling(name),
        (false, Party::First) => name.len() >= 5 && name.starts_with('_'),
        (false, Party::Third) => false,
    };
    let row = exact.iter().find(|row| is_at(row.domains)).or_else(|| exact.iter().find(|row| counts(row)));
    if let Some(row) = row {
        return Some(row.row());
    }
    PREFIXES
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .filter(|(prefix, _)| name.starts_with(prefix))
        .filter_map(|(prefix, rest)| Some((prefix, Fields::of(rest)?)))
        .filter(|(prefix, row)| is_at(row.domains) || (row.domains.is_empty() && is_telling_prefix(prefix)))
        .max_by_key(|(prefix, _)| prefix.len())
        .map(|(_, row)| row.row())
}

struct Fields {
    class: Class,
    platform: &'static str,
    domains: &'static str,
}

impl Fields {
    fn of(line: &'static str) -> Option<Self> {
        let mut fields = line.split('\t');
        let class = match fields.next()? {
            "Analytics" => Class::Audience,
            "Marketing" => Class::Advertising,
            "Security" => Class::Security,
            "Personalization" => Class::Preference,
            "Necessary" | "Functional" => Class::Functional,
            _ => return None,
        };
        Some(Self { class, platform: fields.next()?, domains: fields.next()? })
    }

    fn row(&self) -> Row {
        Row { class: self.class, platform: self.platform }
    }
}

/// Returns whether a name is more than a word that anybody would choose.
fn is_telling(name: &str) -> bool {
    let has_mark = name.contains(['_', '-', '.', ':']) || name.bytes().any(|byte| byte.is_ascii_digit());
    let has_case =
        name.bytes().any(|byte| byte.is_ascii_uppercase()) && name.bytes().any(|byte| byte.is_ascii_lowercase());
    let is_capitals = name.len() >= 6 && name.bytes().all(|byte| byte.is_ascii_uppercase());
    name.len() >= 4 && (has_mark || has_case && name.len() >= 6 || is_capitals || name.len() >= 10)
}

fn is_telling_prefix(prefix: &str) -> bool {
    prefix.len() >= 6 || (prefix.len() >= 4 && prefix.ends_with(['_', '-', '.', ':']))
}
