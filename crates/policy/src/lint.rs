//! Finds in a live database what undermines the data map, each with a way out.
//!
//! # Source
//!
//! GATEWAY.md, §1 (leakproof operators, HOT updates) and §3 (rows 11 and 14 of the bypass list); DOMAIN.md, DA-01.

use crate::{
    catalog::{self, Catalog},
    map::{Class, DataMap, Table},
    names::{ColumnName, RoleName, TableName, nearest},
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// How grave a lint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Gravity {
    /// The policy cannot be enforced, or can be walked around: applying is refused.
    Breach,
    /// It holds, but slowly, or only as long as nobody does something else.
    Weakness,
}

/// Which rule a lint is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The server lacks the fix of a known leak.
    ServerTooOld,
    /// A table of the map is not in the database.
    TableMissing,
    /// A column of the map is not in the database.
    ColumnMissing,
    /// A table of the database is not in the map (DA-01).
    TableUnmapped,
    /// A column of the database is not in the map (DA-01).
    ColumnUnmapped,
    /// A governed table has no mask column.
    MaskMissing,
    /// The mask is not `bigint NOT NULL`.
    MaskType,
    /// The subject column has not the map's type.
    SubjectType,
    /// Rows may lack a person.
    SubjectNull,
    /// A sealed column cannot hold cells.
    SealedType,
    /// Readers search a column whose operators are not leakproof.
    NotLeakproof,
    /// An index for `LIKE` that row-level security never uses.
    LikeIndex,
    /// An index mentions the mask, and ends HOT updates.
    MaskIndexed,
    /// Row-level security is not forced on a governed table.
    NotForced,
    /// A table with data of persons loses it in a crash.
    Unlogged,
    /// A role that may log in ignores row-level security.
    IgnoresRows,
    /// A table's owner may log in.
    OwnerLogsIn,
    /// A function runs with its owner's rights under the caller's `search_path`.
    DefinerPath,
    /// A function that everyone may execute runs with the rights of one who ignores row-level security.
    DefinerPublic,
    /// A view reads a governed table with its owner's rights.
    DefinerView,
    /// A function claims to be leakproof, and row-level security believes it.
    ClaimsLeakproof,
    /// A row policy of someone else opens a governed table.
    ForeignPolicy,
}

impl Rule {
    /// Returns its id.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ServerTooOld => "server-too-old",
            Self::TableMissing => "table-missing",
            Self::ColumnMissing => "column-missing",
            Self::TableUnmapped => "table-unmapped",
            Self::ColumnUnmapped => "column-unmapped",
            Self::MaskMissing => "mask-missing",
            Self::MaskType => "mask-type",
            Self::SubjectType => "subject-type",
            Self::SubjectNull => "subject-null",
            Self::SealedType => "sealed-type",
            Self::NotLeakproof => "not-leakproof",
            Self::LikeIndex => "like-index",
            Self::MaskIndexed => "mask-indexed",
            Self::NotForced => "not-forced",
            Self::Unlogged => "unlogged",
            Self::IgnoresRows => "ignores-rows",
            Self::OwnerLogsIn => "owner-logs-in",
            Self::DefinerPath => "definer-path",
            Self::DefinerPublic => "definer-public",
            Self::DefinerView => "definer-view",
            Self::ClaimsLeakproof => "claims-leakproof",
            Self::ForeignPolicy => "foreign-policy",
        }
    }
}

/// Something in the database that undermines the map.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Lint {
    /// How grave.
    pub gravity: Gravity,
    /// By which rule.
    pub rule: Rule,
    /// On what.
    pub on: String,
    /// What was found.
    pub what: String,
    /// The way out.
    pub help: String,
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gravity = match self.gravity {
            Gravity::Breach => "breach",
            Gravity::Weakness => "weakness",
        };
        write!(f, "{gravity}[{}]: {} {}\n  help: {}", self.rule.as_str(), self.on, self.what, self.help)
    }
}

/// The first minor release of a major version with the fix of CVE-2025-8713 (statistics leak past row-level security).
///
/// # Source
///
/// PostgreSQL release notes of 14 August 2025. Major versions from 18 have it from the start.
pub const VERSION_FLOORS: [(u32, u32); 5] = [(13, 22), (14, 19), (15, 14), (16, 10), (17, 6)];

/// The oldest major version whose views can be `security_invoker`.
pub const OLDEST_MAJOR: u32 = 15;

/// Returns what undermines the map, gravest first; none if nothing does.
pub fn lint(map: &DataMap, catalog: &Catalog) -> Vec<Lint> {
    let mut linter = Linter { map, catalog, lints: Vec::new() };
    linter.server();
    linter.tables();
    linter.roles();
    linter.functions();
    linter.views();
    linter.policies();
    linter.lints.sort();
    linter.lints.dedup();
    linter.lints
}

struct Linter<'a> {
    map: &'a DataMap,
    catalog: &'a Catalog,
    lints: Vec<Lint>,
}

impl Linter<'_> {
    fn breach(&mut self, rule: Rule, on: impl fmt::Display, what: impl Into<String>, help: impl Into<String>) {
        let (on, what, help) = (on.to_string(), what.into(), help.into());
        self.lints.push(Lint { gravity: Gravity::Breach, rule, on, what, help });
    }

    fn weakness(&mut self, rule: Rule, on: impl fmt::Display, what: impl Into<String>, help: impl Into<String>) {
        let (on, what, help) = (on.to_string(), what.into(), help.into());
        self.lints.push(Lint { gravity: Gravity::Weakness, rule, on, what, help });
    }

    fn server(&mut self) {
        let (major, minor) = (self.catalog.server_version / 10_000, self.catalog.server_version % 10_000);
        let on = format!("PostgreSQL {major}.{minor}");
        if major < OLDEST_MAJOR {
            self.breach(Rule::ServerTooOld, on, "has no `security_invoker` views", "upgrade to 15.14 or later");
            return;
        }
        let floor = VERSION_FLOORS.iter().find(|(floor, _)| *floor == major).filter(|(_, floor)| minor < *floor);
        if let Some((_, floor)) = floor {
            let help = format!("upgrade to {major}.{floor} or later");
            self.breach(Rule::ServerTooOld, on, "leaks hidden rows through statistics (CVE-2025-8713)", help);
        }
    }

    fn tables(&mut self) {
        let (map, catalog) = (self.map, self.catalog);
        for table in &map.tables {
            let on = format!("table `{}`", table.name);
            if let Some(found) = catalog.tables.iter().find(|found| found.name == table.name) {
                self.table(table, found);
            } else {
                let names: Vec<String> = catalog.tables.iter().map(|table| table.name.to_string()).collect();
                let near = nearest(&table.name.to_string(), names.iter().map(String::as_str)).map(str::to_owned);
                let help = near.map_or_else(
                    || "create it, or take it out of the map".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                );
                self.breach(Rule::TableMissing, on, "is in the map but not in the database", help);
            }
        }
        let schemas: BTreeSet<&str> = map.tables.iter().map(|table| table.name.schema.as_str()).collect();
        for table in &catalog.tables {
            if schemas.contains(table.name.schema.as_str()) && map.table(&table.name).is_none() {
                self.weakness(
                    Rule::TableUnmapped,
                    format!("table `{}`", table.name),
                    "has no class and no owner in the map, so nobody may read it",
                    "add it to the map; `vigie policy init` drafts it",
                );
            }
        }
    }

    fn table(&mut self, table: &Table, found: &catalog::Table) {
        let on = format!("table `{}`", table.name);
        let columns: BTreeMap<&ColumnName, &catalog::Column> =
            found.columns.iter().map(|column| (&column.name, column)).collect();
        for column in &table.columns {
            let on = format!("column `{}.{}`", table.name, column.name);
            let Some(live) = columns.get(&column.name) else {
                let near = nearest(column.name.as_str(), columns.keys().map(|name| name.as_str()));
                let help = near.map_or_else(
                    || "create it, or take it out of the map".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                );
                self.breach(Rule::ColumnMissing, on, "is in the map but not in the database", help);
                continue;
            };
            if column.sealed && !["text", "character varying"].contains(&live.type_name.as_str()) {
                let what = format!("is sealed, but `{}` cannot hold sealed cells", live.type_name);
                self.breach(Rule::SealedType, &on, what, "make it `text`, or do not seal it");
            }
            if column.search
                && let Some(help) = way_to_leakproof(&live.type_name)
            {
                let what = format!(
                    "is searched, but operators of `{}` are not leakproof: row-level security scans the whole table",
                    live.type_name
                );
                self.weakness(Rule::NotLeakproof, &on, what, help);
            }
        }
        let mask = table.governed.as_ref().map(|governed| &governed.mask);
        for column in &found.columns {
            if table.column(&column.name).is_none() && mask != Some(&column.name) {
                self.weakness(
                    Rule::ColumnUnmapped,
                    format!("column `{}.{}`", table.name, column.name),
                    "has no class in the map, so nobody may read it",
                    "add it to the map with its class",
                );
            }
        }
        if found.unlogged && table.columns.iter().any(|column| column.class != Class::Public) {
            self.weakness(
                Rule::Unlogged,
                &on,
                "is unlogged: a crash empties it, and with it what can be told to its people",
                format!("ALTER TABLE {} SET LOGGED", table.name),
            );
        }
        let Some(governed) = &table.governed else { return };
        match columns.get(&governed.mask) {
            None => self.breach(
                Rule::MaskMissing,
                &on,
                format!("has no column `{}`", governed.mask),
                format!("ALTER TABLE {} ADD COLUMN {} bigint NOT NULL DEFAULT 0", table.name, governed.mask),
            ),
            Some(live) if live.type_name != "bigint" || !live.not_null => {
                let null = if live.not_null { "" } else { ", which may be null" };
                let what = format!("has a mask of type `{}`{null}; expected `bigint NOT NULL`", live.type_name);
                self.breach(Rule::MaskType, &on, what, "change the column: a null mask hides its row from everyone");
            }
            Some(_) => {}
        }
        if let Some(live) = columns.get(&governed.subject) {
            let expected = self.map.subject_type.as_sql();
            if live.type_name != expected {
                let what = format!("has subjects of type `{}`, the map says `{expected}`", live.type_name);
                self.breach(Rule::SubjectType, &on, what, "the type of a person's id is the same in all tables");
            }
            if !live.not_null {
                let help = format!("ALTER TABLE {} ALTER COLUMN {} SET NOT NULL", table.name, governed.subject);
                self.weakness(Rule::SubjectNull, &on, "may hold rows without a person, whom nobody can ask", help);
            }
        }
        if !(found.rls_enabled && found.rls_forced) {
            self.weakness(
                Rule::NotForced,
                &on,
                "has no forced row-level security, so its owner and every grantee see all rows",
                "`vigie policy apply` forces it",
            );
        }
        self.indexes(table, &governed.mask);
    }

    fn indexes(&mut self, table: &Table, mask: &ColumnName) {
        let catalog = self.catalog;
        for index in catalog.indexes.iter().filter(|index| index.table == table.name) {
            let on = format!("index `{}` of `{}`", index.name, table.name);
            let texts = [index.predicate.as_deref(), index.expression.as_deref()];
            if index.columns.contains(mask) || texts.into_iter().flatten().any(|text| has_name(text, mask.as_str())) {
                self.weakness(
                    Rule::MaskIndexed,
                    &on,
                    "mentions the mask, so no change of a choice is a HOT update",
                    "drop it, unless a rare purpose's reads are worth slower choices",
                );
            }
            let classes =
                ["text_pattern_ops", "varchar_pattern_ops", "bpchar_pattern_ops", "gin_trgm_ops", "gist_trgm_ops"];
            if index.operator_classes.iter().any(|class| classes.contains(&class.as_str())) {
                self.weakness(
                    Rule::LikeIndex,
                    &on,
                    "serves `LIKE`, which is not leakproof, so row-level security never uses it",
                    "write `column ^@ 'prefix'` instead of `LIKE 'prefix%'`; it uses an ordinary index",
                );
            }
        }
    }

    /// Returns the tables of the map that have a subject, with their owners.
    fn governed(&self) -> BTreeMap<&TableName, &RoleName> {
        let governed =
            |table: &&catalog::Table| self.map.table(&table.name).is_some_and(|table| table.governed.is_some());
        self.catalog.tables.iter().filter(governed).map(|table| (&table.name, &table.owner)).collect()
    }

    fn ignores_rows(&self, role: &RoleName) -> bool {
        self.catalog.roles.iter().any(|found| found.name == *role && (found.superuser || found.bypass_rls))
    }

    fn roles(&mut self) {
        let catalog = self.catalog;
        let prefix = self.map.role_prefix();
        for role in catalog.roles.iter().filter(|role| role.superuser || role.bypass_rls) {
            let members: Vec<&RoleName> =
                catalog.roles.iter().filter(|other| other.member_of.contains(&role.name)).map(|it| &it.name).collect();
            let which = if role.superuser { "is a superuser" } else { "bypasses row-level security" };
            if role.login || !members.is_empty() {
                let how = if role.login { "and may log in" } else { "and has members" };
                self.weakness(
                    Rule::IgnoresRows,
                    format!("role `{}`", role.name),
                    format!("{which} {how}: what it reads is neither decided nor accounted for"),
                    "let it log in only locally and for maintenance, by `pg_hba.conf`, or make it NOLOGIN without members",
                );
            }
        }
        let owners: BTreeSet<RoleName> = self.governed().into_values().cloned().collect();
        for owner in owners {
            let role = catalog.roles.iter().find(|role| role.name == owner);
            if role.is_some_and(|role| role.login && !role.superuser) || owner.as_str().starts_with(&prefix) {
                self.weakness(
                    Rule::OwnerLogsIn,
                    format!("role `{owner}`"),
                    "owns tables of the map and may log in: an owner can switch row-level security off",
                    "give the tables to a role without LOGIN",
                );
            }
        }
    }

    fn functions(&mut self) {
        let catalog = self.catalog;
        let owners: BTreeSet<RoleName> = self.governed().into_values().cloned().collect();
        for function in &catalog.functions {
            let on = format!("function `{}({})`", function.name, function.arguments);
            if function.security_definer && !function.fixed_search_path {
                self.breach(
                    Rule::DefinerPath,
                    &on,
                    format!("runs as `{}` and looks up names where its caller says", function.owner),
                    "ALTER FUNCTION … SET search_path = pg_catalog, pg_temp",
                );
            }
            let powerful = self.ignores_rows(&function.owner) || owners.contains(&function.owner);
            if function.security_definer && function.public_execute && powerful {
                self.breach(
                    Rule::DefinerPublic,
                    &on,
                    format!(
                        "runs as `{}`, who sees past row-level security, and everyone may execute it",
                        function.owner
                    ),
                    "REVOKE EXECUTE ON FUNCTION … FROM PUBLIC, and grant it to those who need it",
                );
            }
            if function.leakproof {
                self.breach(
                    Rule::ClaimsLeakproof,
                    &on,
                    "claims to be leakproof, so it sees rows before row-level security hides them",
                    "ALTER FUNCTION … NOT LEAKPROOF",
                );
            }
        }
    }

    fn views(&mut self) {
        let (catalog, governed) = (self.catalog, self.governed());
        let mut open = Vec::new();
        for view in catalog.views.iter().filter(|view| !view.security_invoker) {
            let read: Vec<&TableName> = view.reads.iter().filter(|table| governed.contains_key(table)).collect();
            if let Some(table) = read.first() {
                open.push((
                    format!("view `{}`", view.name),
                    format!("reads `{table}` with the rights of `{}`", view.owner),
                ));
            }
        }
        for (on, what) in open {
            self.breach(Rule::DefinerView, on, what, "ALTER VIEW … SET (security_invoker = true), or drop it");
        }
    }

    fn policies(&mut self) {
        let (catalog, prefix) = (self.catalog, self.map.role_prefix());
        let governed: BTreeSet<TableName> = self.governed().into_keys().cloned().collect();
        for policy in catalog.policies.iter().filter(|policy| policy.permissive && governed.contains(&policy.table)) {
            let reaches = policy.roles.is_empty() || policy.roles.iter().any(|it| it.as_str().starts_with(&prefix));
            if reaches && !policy.name.starts_with(&prefix) {
                self.breach(
                    Rule::ForeignPolicy,
                    format!("row policy `{}` on `{}`", policy.name, policy.table),
                    "shows rows whatever people chose",
                    "limit it to the roles it was made for, or drop it",
                );
            }
        }
    }
}

/// Returns the way out for a type whose operators cannot be searched by below row-level security; none for those that can.
///
/// # Source
///
/// GATEWAY.md, §1, "Traps measured", on PostgreSQL 15.
fn way_to_leakproof(type_name: &str) -> Option<&'static str> {
    match type_name {
        "smallint"
        | "integer"
        | "bigint"
        | "real"
        | "double precision"
        | "oid"
        | "text"
        | "name"
        | "character varying"
        | "uuid"
        | "date"
        | "timestamp with time zone"
        | "timestamp without time zone"
        | "bytea"
        | "boolean"
        | "money"
        | "\"char\"" => None,
        "numeric" => Some("store amounts as `bigint` in minor units"),
        "jsonb" | "json" => Some("give what is searched a column of its own, of type text, bigint or uuid"),
        "inet" | "cidr" => {
            Some("`=` is leakproof, `<<` is not: search whole addresses, or keep the network in a column")
        }
        "tsvector" => Some("full-text search is not leakproof: search outside, and fetch rows by their id"),
        other if other.ends_with("[]") => Some("give the elements a table of their own"),
        _ => Some("search by a column of type text, bigint, uuid, date or timestamp with time zone"),
    }
}

/// Returns whether a name stands in a text of SQL on its own.
fn has_name(text: &str, name: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name)
        .any(|(at, _)| !text[..at].ends_with(is_name) && !text[at + name.len()..].starts_with(is_name))
}
