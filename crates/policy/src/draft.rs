//! Drafts a data map from a live database, for a person to correct.
//!
//! What is not plain is guessed on the guarded side and marked `CHECK`: a column that might name someone is `restricted`.
//! A table in which no person was found, though it looks like one about people, is drafted so that the map does not pass
//! until someone has named its subject.
//!
//! Sampled values stay with whoever samples: only their shapes come here.

use crate::{
    catalog::{Catalog, Column, ForeignKey, Table},
    map::{Class, SubjectType},
    names::{ColumnName, MapName, TableName},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    net::IpAddr,
};

/// What sampled values of a column look like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape {
    /// How many values were looked at, without nulls.
    pub sampled: u32,
    /// How many look like an e-mail address.
    pub email: u32,
    /// How many look like a telephone number.
    pub phone: u32,
    /// How many are an IP address.
    pub ip: u32,
    /// How many look like an IBAN.
    pub iban: u32,
}

/// The shapes of columns; columns that were not sampled are not there.
pub type Shapes = BTreeMap<(TableName, ColumnName), Shape>;

impl Shape {
    /// Looks at sampled values.
    pub fn of<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut shape = Self::default();
        for value in values {
            shape.sampled += 1;
            shape.email += u32::from(is_email(value));
            shape.ip += u32::from(is_ip(value));
            shape.iban += u32::from(is_iban(value));
            shape.phone += u32::from(is_phone(value));
        }
        shape
    }

    /// Returns what at least a fifth of the values look like.
    fn likeness(self) -> Option<&'static str> {
        let kinds = [
            (self.email, "e-mail addresses"),
            (self.iban, "IBANs"),
            (self.ip, "IP addresses"),
            (self.phone, "telephone numbers"),
        ];
        let most = kinds.into_iter().max_by_key(|(count, _)| *count)?;
        (most.0 > 0 && most.0 * 5 >= self.sampled).then_some(most.1)
    }
}

fn is_email(value: &str) -> bool {
    let Some((local, host)) = value.trim().split_once('@') else { return false };
    let plain = |text: &str| !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c == '@');
    plain(local) && plain(host) && host.split('.').count() >= 2 && host.split('.').all(|label| !label.is_empty())
}

fn is_ip(value: &str) -> bool {
    let address = value.trim().split('/').next().unwrap_or_default();
    address.parse::<IpAddr>().is_ok()
}

fn is_phone(value: &str) -> bool {
    let value = value.trim();
    let digits = value.chars().filter(char::is_ascii_digit).count();
    let others = value.chars().filter(|c| !c.is_ascii_digit());
    let international = value.starts_with('+') || value.starts_with("00");
    let separated = value.contains([' ', '-', '(']);
    // Bare digits are more often a number of something else.
    (7..=15).contains(&digits)
        && (international || separated)
        && others.clone().all(|c| "+ -().".contains(c))
        && !looks_like_a_date(value)
}

fn looks_like_a_date(value: &str) -> bool {
    let mut parts = value.split(['-', '.', ' ']);
    parts.next().is_some_and(|year| year.len() == 4) && parts.next().is_some_and(|month| month.len() == 2)
}

/// Checks form and check digits (ISO 13616, ISO 7064 mod 97-10).
fn is_iban(value: &str) -> bool {
    let compact: String = value.chars().filter(|c| *c != ' ').collect();
    if !(15..=34).contains(&compact.len()) || !compact.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return false;
    }
    let (head, tail) = compact.split_at(4);
    let form =
        head[..2].bytes().all(|byte| byte.is_ascii_uppercase()) && head[2..].bytes().all(|byte| byte.is_ascii_digit());
    let remainder = tail.chars().chain(head.chars()).try_fold(0_u32, |remainder, c| {
        let value = c.to_digit(36)?;
        Some((remainder * if value > 9 { 100 } else { 10 } + value) % 97)
    });
    form && remainder == Some(1)
}

/// What a name suggests, and why.
fn by_name(column: &str) -> Option<(Class, &'static str)> {
    const RESTRICTED: [&str; 24] = [
        "email",
        "mail",
        "phone",
        "mobile",
        "msisdn",
        "iban",
        "card",
        "passport",
        "ssn",
        "password",
        "secret",
        "token",
        "address",
        "street",
        "ip",
        "body",
        "message",
        "health",
        "religion",
        "ethnic",
        "biometric",
        "tax",
        "national",
        "imei",
    ];
    const PERSONAL: [&str; 16] = [
        "name",
        "surname",
        "birth",
        "age",
        "gender",
        "sex",
        "lat",
        "lon",
        "longitude",
        "latitude",
        "city",
        "postcode",
        "zip",
        "device",
        "title",
        "bio",
    ];
    let words: Vec<String> = column.to_lowercase().split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect();
    let named = |list: &[&str]| {
        words.iter().any(|word| list.iter().any(|known| word == known || (known.len() > 3 && word.contains(known))))
    };
    if named(&RESTRICTED) {
        Some((Class::Restricted, "by its name"))
    } else if named(&PERSONAL) {
        Some((Class::Personal, "by its name"))
    } else {
        None
    }
}

fn is_free_text(type_name: &str) -> bool {
    ["text", "character varying", "jsonb", "json", "xml", "bytea"].contains(&type_name) || type_name.ends_with("[]")
}

/// The table whose rows are people, and its key.
struct People<'a> {
    table: &'a Table,
    key: &'a Column,
}

fn people<'a>(catalog: &'a Catalog, shapes: &Shapes) -> Option<People<'a>> {
    const NAMES: [&str; 12] = [
        "user",
        "users",
        "account",
        "accounts",
        "person",
        "persons",
        "people",
        "customer",
        "customers",
        "member",
        "members",
        "subscribers",
    ];
    let score = |table: &Table| {
        let referred = catalog.foreign_keys.iter().filter(|key| key.to_table == table.name).count();
        let named = NAMES.contains(&table.name.name.to_lowercase().as_str());
        let direct = table.columns.iter().any(|column| {
            let shape = shapes.get(&(table.name.clone(), column.name.clone())).copied().unwrap_or_default();
            matches!(shape.likeness(), Some("e-mail addresses" | "telephone numbers"))
                || column.name.as_str().to_lowercase().contains("email")
        });
        usize::from(named) * 100 + usize::from(direct) * 50 + referred
    };
    let table = catalog.tables.iter().filter(|table| table.primary_key.len() == 1).max_by_key(|table| score(table))?;
    let key = table.columns.iter().find(|column| table.primary_key.first() == Some(&column.name))?;
    (score(table) >= 50).then_some(People { table, key })
}

/// Returns a draft of the data map, as TOML.
pub fn draft(name: &MapName, catalog: &Catalog, shapes: &Shapes) -> String {
    let people = people(catalog, shapes);
    let mut out = String::from(
        "# A draft, made from names, types, foreign keys and sampled shapes. Correct every line marked CHECK.\n\
         schema = \"data-map/1\"\n",
    );
    let _ = writeln!(out, "name = {}", quoted(name.as_str()));
    let subject_type = people.as_ref().map(|people| people.key.type_name.as_str());
    let (word, note) = match subject_type {
        Some("bigint") => (SubjectType::Bigint, String::new()),
        Some("uuid") => (SubjectType::Uuid, String::new()),
        Some("text" | "character varying") => (SubjectType::Text, String::new()),
        Some(other) => (SubjectType::Bigint, format!("  # CHECK: it is {other}; widen it to bigint")),
        None => (SubjectType::Bigint, "  # CHECK: no table of people was found".to_owned()),
    };
    let _ = writeln!(out, "subject_type = {}{note}", quoted(word.as_sql()));
    out.push_str(
        "\n# CHECK: one for each thing the data is used for; people choose about each on its own.\n[[purpose]]\n\
         name = \"service-provision\"\nterm = \"dpv:ServiceProvision\"\nbit = 0\nbasis = \"contract\"\n",
    );
    for table in &catalog.tables {
        draft_table(&mut out, table, catalog, shapes, people.as_ref());
    }
    out
}

fn draft_table(out: &mut String, table: &Table, catalog: &Catalog, shapes: &Shapes, people: Option<&People<'_>>) {
    let subject = subject(table, catalog, people);
    let classes: Vec<(&Column, Class, String)> = table
        .columns
        .iter()
        .map(|column| {
            let shape = shapes.get(&(table.name.clone(), column.name.clone())).copied().unwrap_or_default();
            let (class, why) = classify(column, shape, subject.is_some());
            (column, class, why)
        })
        .collect();
    let mask = table.columns.iter().find(|column| column.type_name == "bigint" && is_mask(column.name.as_str()));
    let _ = writeln!(out, "\n[[table]]\nname = {}", quoted(&table.name.to_string()));
    let _ = writeln!(
        out,
        "owner = {}  # CHECK: who answers for it; this is the role that owns it",
        quoted(table.owner.as_str())
    );
    match &subject {
        Some((column, others)) => {
            let note = if others.is_empty() {
                String::new()
            } else {
                format!("  # CHECK: there are people in {} too", others.join(", "))
            };
            let _ = writeln!(out, "subject = {}{note}", quoted(column));
            let (mask, note) =
                mask.map_or(("pmask", "  # CHECK: there is no such column yet"), |mask| (mask.name.as_str(), ""));
            let _ = writeln!(out, "mask = {}{note}", quoted(mask));
        }
        None if classes.iter().any(|(_, class, _)| !class.needs_no_subject()) => {
            out.push_str("# CHECK: it looks like data about people, but no column points to them. Name its `subject`, or correct the classes.\n");
        }
        None => out.push_str("# CHECK: it seems to be about nobody, so choices do not govern it.\n"),
    }
    out.push_str("residency = \"EU\"  # CHECK\nretention = \"P1Y\"  # CHECK\n");
    for (column, class, why) in classes {
        if subject.is_some() && mask.is_some_and(|mask| mask.name == column.name) {
            continue;
        }
        let _ = writeln!(out, "[[table.column]]\nname = {}", quoted(column.name.as_str()));
        let note = if why.is_empty() { String::new() } else { format!("  # CHECK: {why}") };
        let _ = writeln!(out, "class = {}{note}", quoted(class.as_str()));
        if is_searched(table, column, catalog) {
            out.push_str("search = true\n");
        }
    }
}

fn is_mask(name: &str) -> bool {
    name == "pmask" || name.ends_with("_mask")
}

/// Returns whether an index begins with the column, so that someone searches by it.
fn is_searched(table: &Table, column: &Column, catalog: &Catalog) -> bool {
    catalog.indexes.iter().any(|index| index.table == table.name && index.columns.first() == Some(&column.name))
}

/// Returns the column that says whose row it is, and the others that could be it.
fn subject(table: &Table, catalog: &Catalog, people: Option<&People<'_>>) -> Option<(String, Vec<String>)> {
    let people = people?;
    if table.name == people.table.name {
        return Some((people.key.name.to_string(), Vec::new()));
    }
    let points = |key: &&ForeignKey| {
        key.table == table.name && key.to_table == people.table.name && key.to_column == people.key.name
    };
    let mut columns: BTreeSet<String> =
        catalog.foreign_keys.iter().filter(points).map(|key| key.column.to_string()).collect();
    if columns.is_empty() {
        // Nobody declared a foreign key; names such as `subject` or `user_id` of the right type say as much.
        const NAMES: [&str; 10] = [
            "subject",
            "subject_id",
            "user_id",
            "account_id",
            "person_id",
            "customer_id",
            "member_id",
            "author",
            "sender",
            "owner_id",
        ];
        let named = table
            .columns
            .iter()
            .filter(|column| column.type_name == people.key.type_name && NAMES.contains(&column.name.as_str()));
        columns = named.map(|column| column.name.to_string()).collect();
    }
    let rank =
        |column: &String| !["subject", "user", "author", "sender", "owner"].iter().any(|word| column.contains(word));
    let best = columns.iter().min_by_key(|column| rank(column))?.clone();
    columns.remove(&best);
    Some((best, columns.into_iter().collect()))
}

fn classify(column: &Column, shape: Shape, has_subject: bool) -> (Class, String) {
    if let Some(likeness) = shape.likeness() {
        return (Class::Restricted, format!("sampled values look like {likeness}"));
    }
    if let (Some((class, why)), true) = (by_name(column.name.as_str()), has_subject) {
        return (class, why.to_owned());
    }
    if ["inet", "cidr", "macaddr"].contains(&column.type_name.as_str()) {
        return (Class::Restricted, format!("its type is {}", column.type_name));
    }
    match (has_subject, is_free_text(&column.type_name)) {
        (true, true) => (Class::Personal, "free text may say anything".to_owned()),
        (true, false) => (Class::Pseudonymous, String::new()),
        (false, _) => match by_name(column.name.as_str()) {
            Some((Class::Restricted, why)) => (Class::Restricted, why.to_owned()),
            _ => (Class::Public, "if it is about nobody".to_owned()),
        },
    }
}

/// Returns a string as TOML writes one.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
