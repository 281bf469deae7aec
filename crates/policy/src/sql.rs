//! The objects of PostgreSQL that enforce compiled policy, as values and as SQL.
//!
//! Each role logs in as itself, is a member of nothing, and finds in its own schema one view per table, named as the table.
//! The views only name: what protects are the column grants on the base tables and the row policies on the mask. Roles
//! have no `USAGE` on the schemas of the base tables, so nothing but their views can be named.
//!
//! Applying is one transaction, and applying again changes nothing. It takes away whatever the roles of this map hold
//! beyond what is said here, and drops those that are no more. It refuses to run where someone else's row policy would
//! show these roles more rows.

mod hardening;
mod text;

use crate::{
    catalog::{Command, Privilege},
    compiled::Compiled,
    map::Table,
    names::{ColumnName, PurposeName, RoleName, SchemaName, TableName},
    rights::{Role, RoleKind},
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

pub use hardening::{HARDENING, REVOKED_FUNCTIONS, REVOKED_VIEWS};
pub use text::{quote_identifier, quote_literal, quote_table};

/// Everything that is in the database because of the policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Objects {
    /// How the roles of this map, and only of this map, begin.
    pub prefix: String,
    /// The hash of the compiled policy, as hex.
    pub policy_hash: String,
    /// The roles, in order of their names.
    pub roles: Vec<RoleObject>,
    /// One schema a role, in the same order.
    pub schemas: Vec<SchemaObject>,
    /// The views, by schema and name.
    pub views: Vec<ViewObject>,
    /// What is granted on base tables and views, by role, table and privilege.
    pub grants: Vec<Grant>,
    /// The tables that have a subject: row-level security is enabled and forced.
    pub governed: Vec<GovernedTable>,
    /// The row policies, by table and name.
    pub policies: Vec<PolicyObject>,
}

/// A role. All have `LOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT -1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoleObject {
    /// Its name.
    pub name: RoleName,
    /// What it starts its sessions with, as SQL values. A client may change them: they are defaults, not limits.
    pub settings: BTreeMap<&'static str, String>,
    /// Whether it inserts into some table, and so draws from sequences.
    pub inserts: bool,
}

/// The schema of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SchemaObject {
    /// Its name, which is the role's.
    pub name: SchemaName,
    /// The only role that may use it.
    pub role: RoleName,
}

/// A `security_invoker` view of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ViewObject {
    /// Its name, in the role's schema.
    pub name: TableName,
    /// The base table.
    pub table: TableName,
    /// The columns that the role may read or write, in the order of the map.
    pub columns: Vec<ColumnName>,
    /// The role.
    pub role: RoleName,
}

/// A privilege on columns, or on a whole table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Grant {
    /// To whom.
    pub role: RoleName,
    /// On what: a base table, or a view of the role.
    pub table: TableName,
    /// What.
    pub privilege: Privilege,
    /// The columns; empty for the whole, which only `DELETE` is.
    pub columns: Vec<ColumnName>,
}

/// A table with a subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GovernedTable {
    /// Its name.
    pub name: TableName,
    /// The column with the person's id.
    pub subject: ColumnName,
    /// The column with the decision mask.
    pub mask: ColumnName,
}

/// A row policy: the rows whose mask has the purpose's bit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyObject {
    /// The table.
    pub table: TableName,
    /// Its name, `vigie_<map>_<purpose>`.
    pub name: String,
    /// The purpose.
    pub purpose: PurposeName,
    /// [`Command::Select`], or [`Command::All`] where a role of the purpose writes.
    pub command: Command,
    /// Its roles; never empty, since that would mean PUBLIC.
    pub roles: BTreeSet<RoleName>,
    /// The column with the decision mask.
    pub mask: ColumnName,
    /// The bit, 0 to 62.
    pub bit: u8,
}

impl PolicyObject {
    /// Returns the expression as PostgreSQL 15 prints it, except that the column is always quoted.
    pub fn using(&self) -> String {
        format!("(({} & '{}'::bigint) <> 0)", quote_identifier(self.mask.as_str()), 1_i64 << self.bit)
    }
}

/// Returns the objects of a compiled policy.
pub fn objects(compiled: &Compiled) -> Objects {
    let mut objects = Objects {
        prefix: compiled.map.role_prefix(),
        policy_hash: compiled.hash_hex(),
        roles: Vec::new(),
        schemas: Vec::new(),
        views: Vec::new(),
        grants: Vec::new(),
        governed: Vec::new(),
        policies: Vec::new(),
    };
    for table in &compiled.map.tables {
        if let Some(governed) = &table.governed {
            let (subject, mask) = (governed.subject.clone(), governed.mask.clone());
            objects.governed.push(GovernedTable { name: table.name.clone(), subject, mask });
        }
    }
    objects.governed.sort_by(|a, b| a.name.cmp(&b.name));
    for role in &compiled.roles {
        add_role(&mut objects, compiled, role);
    }
    objects.views.sort_by(|a, b| a.name.cmp(&b.name));
    objects.grants.sort();
    objects.policies = policies(compiled);
    objects
}

fn add_role(objects: &mut Objects, compiled: &Compiled, role: &Role) {
    let schema = SchemaName::new(role.name.as_str()).expect("a role's name can be a schema's");
    let mut inserts = false;
    for table in &compiled.map.tables {
        let access = Access::of(role, table);
        if access.is_empty() {
            continue;
        }
        inserts |= !access.write.is_empty();
        let view = TableName { schema: schema.clone(), name: table.name.name.clone() };
        for on in [&table.name, &view] {
            let grant = |privilege, columns: Vec<ColumnName>| Grant {
                role: role.name.clone(),
                table: on.clone(),
                privilege,
                columns,
            };
            if !access.read.is_empty() {
                objects.grants.push(grant(Privilege::Select, access.read.clone()));
            }
            if !access.write.is_empty() {
                objects.grants.push(grant(Privilege::Insert, access.write.clone()));
                objects.grants.push(grant(Privilege::Update, access.write.clone()));
            }
            // A row is deleted with all its columns, so all must be writable.
            if access.deletes {
                objects.grants.push(grant(Privilege::Delete, Vec::new()));
            }
        }
        objects.views.push(ViewObject {
            name: view,
            table: table.name.clone(),
            columns: access.shown,
            role: role.name.clone(),
        });
    }
    let mut settings = BTreeMap::from([
        ("idle_in_transaction_session_timeout", "'60s'".to_owned()),
        ("lock_timeout", "'5s'".to_owned()),
        ("row_security", "'on'".to_owned()),
        ("search_path", quote_identifier(schema.as_str())),
        ("statement_timeout", "'60s'".to_owned()),
    ]);
    if !inserts {
        settings.insert("default_transaction_read_only", "'on'".to_owned());
    }
    objects.roles.push(RoleObject { name: role.name.clone(), settings, inserts });
    objects.schemas.push(SchemaObject { name: schema, role: role.name.clone() });
}

/// What a role is granted on a table.
struct Access {
    /// Columns it may select, with the subject, in the order of the map.
    read: Vec<ColumnName>,
    write: Vec<ColumnName>,
    deletes: bool,
    /// Columns of its view.
    shown: Vec<ColumnName>,
}

impl Access {
    fn of(role: &Role, table: &Table) -> Self {
        let on = |column: &ColumnName| role.rights.on(&table.name, column);
        let readable = |column: &ColumnName| match role.kind {
            RoleKind::Record => on(column).record,
            RoleKind::Aggregate => on(column).aggregate,
            RoleKind::Nobody => false,
        };
        let names = || table.columns.iter().map(|column| &column.name);
        let write: Vec<ColumnName> = names().filter(|column| on(column).write).cloned().collect();
        let used = names().any(readable) || !write.is_empty();
        // The gateway accounts for rows by their person, whether or not the reader may see who that is.
        let read: Vec<ColumnName> =
            names().filter(|column| readable(column) || (used && table.subject() == Some(column))).cloned().collect();
        let shown = names().filter(|column| read.contains(column) || write.contains(column)).cloned().collect();
        let deletes = !write.is_empty() && write.len() == table.columns.len();
        Self { read, write, deletes, shown }
    }

    fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }
}

fn policies(compiled: &Compiled) -> Vec<PolicyObject> {
    let mut policies = Vec::new();
    for table in &compiled.map.tables {
        let Some(governed) = &table.governed else { continue };
        for purpose in &compiled.map.purposes {
            let of_purpose = compiled.roles.iter().filter(|role| role.purpose.as_ref() == Some(&purpose.name));
            let (mut roles, mut command) = (BTreeSet::new(), Command::Select);
            for role in of_purpose {
                let access = Access::of(role, table);
                if !access.is_empty() {
                    roles.insert(role.name.clone());
                }
                if !access.write.is_empty() {
                    command = Command::All;
                }
            }
            if !roles.is_empty() {
                policies.push(PolicyObject {
                    table: table.name.clone(),
                    name: format!("{}{}", compiled.map.role_prefix(), purpose.name),
                    purpose: purpose.name.clone(),
                    command,
                    roles,
                    mask: governed.mask.clone(),
                    bit: purpose.bit,
                });
            }
        }
    }
    policies.sort_by(|a, b| (&a.table, &a.name).cmp(&(&b.table, &b.name)));
    policies
}

impl Objects {
    /// Returns the SQL that makes the database hold exactly these objects, in one transaction.
    ///
    /// `verifier` gives for each role what PostgreSQL stores of its password (`SCRAM-SHA-256$…`). The same objects and
    /// verifiers give the same text.
    pub fn to_sql(&self, verifier: &dyn Fn(&RoleName) -> String) -> String {
        text::write(self, verifier)
    }
}
