//! Compares what the database holds with what the policy says.
//!
//! Whatever would let a role of the map see or do more is told apart from what lets it see less: the first is a breach of
//! the policy, the second an outage.

use crate::{
    catalog::{self, Catalog, Command, Privilege},
    names::{ColumnName, RoleName, TableName},
    sql::{Objects, PolicyObject},
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Which way a difference goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// More can be seen or done than the policy permits.
    Wider,
    /// Less can be seen or done than the policy permits.
    Narrower,
}

/// One difference between database and policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Drift {
    /// Which way it goes.
    pub direction: Direction,
    /// On what: a role, table, view or policy.
    pub on: String,
    /// What was found, and what was expected.
    pub what: String,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = match self.direction {
            Direction::Wider => "wider",
            Direction::Narrower => "narrower",
        };
        write!(f, "{direction}: {}: {}", self.on, self.what)
    }
}

/// Collects differences.
struct Comparison<'a> {
    objects: &'a Objects,
    catalog: &'a Catalog,
    ours: BTreeSet<&'a RoleName>,
    drifts: Vec<Drift>,
}

/// Returns the differences, those that show more first; none if the database is as the policy says.
pub fn drift(objects: &Objects, catalog: &Catalog) -> Vec<Drift> {
    let ours = objects.roles.iter().map(|role| &role.name).collect();
    let mut comparison = Comparison { objects, catalog, ours, drifts: Vec::new() };
    comparison.roles();
    comparison.grants();
    comparison.views();
    comparison.rows();
    comparison.policies();
    comparison.public();
    comparison.drifts.sort();
    comparison.drifts.dedup();
    comparison.drifts
}

impl Comparison<'_> {
    fn wider(&mut self, on: impl fmt::Display, what: impl Into<String>) {
        self.drifts.push(Drift { direction: Direction::Wider, on: on.to_string(), what: what.into() });
    }

    fn narrower(&mut self, on: impl fmt::Display, what: impl Into<String>) {
        self.drifts.push(Drift { direction: Direction::Narrower, on: on.to_string(), what: what.into() });
    }

    fn roles(&mut self) {
        let found: BTreeMap<&RoleName, &catalog::Role> =
            self.catalog.roles.iter().map(|role| (&role.name, role)).collect();
        for expected in &self.objects.roles {
            let on = format!("role `{}`", expected.name);
            let Some(role) = found.get(&expected.name) else {
                self.narrower(on, "is missing");
                continue;
            };
            let attributes = [
                (role.superuser, "is a superuser"),
                (role.bypass_rls, "bypasses row-level security"),
                (role.create_db, "may create databases"),
                (role.create_role, "may create roles"),
                (role.replication, "may replicate"),
                (role.inherit, "inherits from roles it is made a member of"),
            ];
            for (_, what) in attributes.into_iter().filter(|(has, _)| *has) {
                self.wider(&on, what);
            }
            for other in &role.member_of {
                self.wider(&on, format!("is a member of `{other}`"));
            }
            if !role.login {
                self.narrower(&on, "may not log in");
            }
            if role.connection_limit != -1 {
                self.narrower(&on, format!("is limited to {} connections", role.connection_limit));
            }
            // Settings are defaults that the client may change: none of them protects anything.
            for (name, value) in &expected.settings {
                let value = value.trim_matches('\'');
                let unquoted = value.trim_matches('"');
                let expected = [format!("{name}={value}"), format!("{name}={unquoted}")];
                if !expected.iter().any(|setting| role.settings.contains(setting)) {
                    self.narrower(&on, format!("does not start with `{name}` set to {value}"));
                }
            }
        }
        for role in &self.catalog.roles {
            for other in role.member_of.iter().filter(|other| self.ours.contains(other)).cloned().collect::<Vec<_>>() {
                self.wider(format!("role `{}`", role.name), format!("is a member of `{other}`"));
            }
            if self.is_left_over(&role.name) {
                self.wider(format!("role `{}`", role.name), "belongs to no context of this policy");
            }
        }
    }

    /// Returns whether a role is one of this map's, but of an earlier policy.
    fn is_left_over(&self, role: &RoleName) -> bool {
        let Some(rest) = role.as_str().strip_prefix(&self.objects.prefix) else { return false };
        let hash = rest.rsplit_once('_').map(|(_, hash)| hash);
        let shaped = hash.is_some_and(|hash| hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_hexdigit()));
        (shaped || rest == "nobody") && !self.ours.contains(role)
    }

    fn grants(&mut self) {
        type Held<'a> = BTreeSet<(&'a RoleName, &'a TableName, Privilege, Option<&'a ColumnName>)>;
        let mut expected: Held<'_> = BTreeSet::new();
        let (objects, catalog) = (self.objects, self.catalog);
        for grant in &objects.grants {
            if grant.columns.is_empty() {
                expected.insert((&grant.role, &grant.table, grant.privilege, None));
            }
            expected.extend(grant.columns.iter().map(|it| (&grant.role, &grant.table, grant.privilege, Some(it))));
        }
        let mut found: Held<'_> = BTreeSet::new();
        for grant in &catalog.table_grants {
            if let Some(role) = grant.role.as_ref().filter(|role| self.ours.contains(role)) {
                found.insert((role, &grant.table, grant.privilege, None));
            }
        }
        for grant in &catalog.column_grants {
            if let Some(role) = grant.role.as_ref().filter(|role| self.ours.contains(role)) {
                found.insert((role, &grant.table, grant.privilege, Some(&grant.column)));
            }
        }
        let on = |table: &TableName, column: Option<&ColumnName>| match column {
            Some(column) => format!("column `{table}.{column}`"),
            None => format!("table `{table}`"),
        };
        for (role, table, privilege, column) in found.difference(&expected) {
            self.wider(on(table, *column), format!("`{role}` holds {privilege:?}, which the policy does not grant"));
        }
        for (role, table, privilege, column) in expected.difference(&found) {
            self.narrower(on(table, *column), format!("`{role}` lacks {privilege:?}"));
        }
        let ours = |table: &TableName| {
            objects.grants.iter().any(|grant| grant.table == *table)
                || objects.governed.iter().any(|governed| governed.name == *table)
        };
        for grant in catalog.table_grants.iter().filter(|grant| grant.role.is_none() && ours(&grant.table)) {
            self.wider(on(&grant.table, None), format!("PUBLIC holds {:?}", grant.privilege));
        }
        for grant in catalog.column_grants.iter().filter(|grant| grant.role.is_none() && ours(&grant.table)) {
            self.wider(on(&grant.table, Some(&grant.column)), format!("PUBLIC holds {:?}", grant.privilege));
        }
        self.schema_grants();
    }

    fn schema_grants(&mut self) {
        let (objects, catalog) = (self.objects, self.catalog);
        let own = |schema: &str, role: &RoleName| schema == role.as_str();
        for grant in catalog.schema_grants.iter().filter(|grant| self.ours.contains(&grant.role)).collect::<Vec<_>>() {
            let on = format!("schema `{}`", grant.schema);
            if grant.create {
                self.wider(&on, format!("`{}` may create in it", grant.role));
            } else if !own(grant.schema.as_str(), &grant.role) {
                self.wider(&on, format!("`{}` may use it", grant.role));
            }
        }
        for schema in &objects.schemas {
            let held = |grant: &catalog::SchemaGrant| grant.role == schema.role && grant.schema == schema.name;
            if !catalog.schema_grants.iter().any(|grant| held(grant) && !grant.create) {
                self.narrower(format!("schema `{}`", schema.name), "its role may not use it");
            }
        }
    }

    fn views(&mut self) {
        let (objects, catalog) = (self.objects, self.catalog);
        let found: BTreeMap<&TableName, &catalog::View> = catalog.views.iter().map(|view| (&view.name, view)).collect();
        for expected in &objects.views {
            let on = format!("view `{}`", expected.name);
            let Some(view) = found.get(&expected.name) else {
                self.narrower(on, "is missing");
                continue;
            };
            if !view.security_invoker {
                self.wider(&on, "runs with the rights of its owner; expected `security_invoker`");
            }
            if view.security_barrier {
                self.narrower(&on, "is a security barrier, which blocks indexes");
            }
            if view.columns != expected.columns {
                self.narrower(&on, "shows other columns");
            }
            if view.reads != [expected.table.clone()] {
                self.wider(&on, format!("does not read `{}` alone", expected.table));
            }
            let select = plain_select(expected);
            if !select.is_empty() && squeezed(&view.definition) != squeezed(&select) {
                self.wider(&on, "is not the plain choice of columns that the policy makes");
            }
        }
        let schemas: BTreeSet<&str> = objects.schemas.iter().map(|schema| schema.name.as_str()).collect();
        let known: BTreeSet<&TableName> = objects.views.iter().map(|view| &view.name).collect();
        let tables = catalog.tables.iter().map(|table| &table.name);
        for name in catalog.views.iter().map(|view| &view.name).chain(tables) {
            if schemas.contains(name.schema.as_str()) && !known.contains(name) {
                self.wider(format!("`{name}`"), "stands in a role's schema and is not of the policy");
            }
        }
    }

    fn rows(&mut self) {
        for governed in &self.objects.governed {
            let on = format!("table `{}`", governed.name);
            match self.catalog.tables.iter().find(|table| table.name == governed.name) {
                None => self.narrower(on, "is missing"),
                Some(table) if !table.rls_enabled => self.wider(on, "row-level security is off"),
                Some(table) if !table.rls_forced => self.wider(on, "row-level security is not forced on its owner"),
                Some(_) => {}
            }
        }
    }

    fn policies(&mut self) {
        let (objects, catalog) = (self.objects, self.catalog);
        let key = |table: &TableName, name: &str| (table.clone(), name.to_owned());
        let expected: BTreeMap<_, &PolicyObject> =
            objects.policies.iter().map(|policy| (key(&policy.table, &policy.name), policy)).collect();
        let mut seen = BTreeSet::new();
        for policy in &catalog.policies {
            let on = format!("row policy `{}` on `{}`", policy.name, policy.table);
            let key = key(&policy.table, &policy.name);
            if let Some(wanted) = expected.get(&key) {
                seen.insert(key);
                self.policy(&on, policy, wanted);
                continue;
            }
            let governed = objects.governed.iter().any(|table| table.name == policy.table);
            let reaches_ours = policy.roles.is_empty() || policy.roles.iter().any(|role| self.ours.contains(role));
            if governed && policy.permissive && reaches_ours {
                self.wider(on, "shows rows to roles of this policy, and is not of it");
            } else if governed && reaches_ours {
                self.narrower(on, "hides rows from roles of this policy, and is not of it");
            }
        }
        for (key, policy) in expected {
            if !seen.contains(&key) {
                self.narrower(format!("row policy `{}` on `{}`", policy.name, policy.table), "is missing");
            }
        }
    }

    fn policy(&mut self, on: &str, found: &catalog::RowPolicy, expected: &PolicyObject) {
        if !found.permissive {
            self.narrower(on, "is restrictive, so it shows no rows");
        }
        let using = found.using.as_deref().map(squeezed);
        if using.as_deref() != Some(squeezed(&expected.using()).as_str()) {
            let printed = found.using.as_deref().unwrap_or("nothing");
            self.wider(on, format!("shows rows by `{printed}`, expected `{}`", expected.using()));
        }
        if let Some(check) = &found.with_check {
            self.wider(on, format!("checks written rows by `{check}`, expected the same as for reading"));
        }
        if found.command != expected.command {
            let what = format!("is for {:?}, expected {:?}", found.command, expected.command);
            if found.command == Command::All { self.wider(on, what) } else { self.narrower(on, what) }
        }
        if found.roles.is_empty() {
            self.wider(on, "is for PUBLIC");
        }
        for role in found.roles.difference(&expected.roles) {
            self.wider(on, format!("is for `{role}` too"));
        }
        if !found.roles.is_empty() {
            for role in expected.roles.difference(&found.roles) {
                self.narrower(on, format!("is not for `{role}`"));
            }
        }
    }

    fn public(&mut self) {
        let public = self.catalog.public.clone();
        for right in public.database {
            self.wider("PUBLIC", format!("holds {right} on the database"));
        }
        for schema in public.schemas {
            self.wider("PUBLIC", format!("may use schema `{schema}`"));
        }
        for language in public.languages {
            self.wider("PUBLIC", format!("may use language `{language}`"));
        }
        for function in public.functions {
            self.wider("PUBLIC", format!("may execute `{function}`"));
        }
    }
}

/// Returns the definition that a view of the policy has, as `pg_get_viewdef` prints it but for spaces and quotes.
fn plain_select(view: &crate::sql::ViewObject) -> String {
    let columns: Vec<String> = view.columns.iter().map(|column| format!("t.{column}")).collect();
    format!("SELECT {} FROM {} t;", columns.join(", "), view.table)
}

/// Returns a text of SQL without spaces and quotes around names: how they are printed differs between versions.
///
/// `t.a` of one column alone is printed without its table where nothing is ambiguous.
fn squeezed(text: &str) -> String {
    let bare: String = text.chars().filter(|c| !c.is_whitespace() && *c != '"').collect();
    bare.replace("SELECTt.", "SELECT").replace(",t.", ",")
}
