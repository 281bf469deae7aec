//! What a live database says of itself, as a plain value: `database` fills it, [`crate::lint`] and [`crate::drift`] read it.
//!
//! Names are as the catalog spells them, unquoted. System schemas (`pg_catalog`, `information_schema`, `pg_toast`) are left
//! out, except for the functions of `pg_catalog` that PUBLIC may execute though the hardening revokes them.
//!
//! Definitions and expressions are read under `SET LOCAL search_path = pg_catalog`: otherwise PostgreSQL leaves out schemas.

use crate::names::{ColumnName, RoleName, SchemaName, TableName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A database's objects, as far as they bear on who may read what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// `server_version_num`, such as 150018 for 15.18.
    pub server_version: u32,
    /// Ordinary and partitioned tables.
    pub tables: Vec<Table>,
    /// Views, not materialized ones.
    pub views: Vec<View>,
    /// Row-level policies.
    pub policies: Vec<RowPolicy>,
    /// All roles of the cluster.
    pub roles: Vec<Role>,
    /// Privileges on whole tables and views.
    pub table_grants: Vec<TableGrant>,
    /// Privileges on columns (`pg_attribute.attacl`).
    pub column_grants: Vec<ColumnGrant>,
    /// Privileges on schemas.
    pub schema_grants: Vec<SchemaGrant>,
    /// Functions and procedures outside the system schemas.
    pub functions: Vec<Function>,
    /// Indexes of the tables.
    pub indexes: Vec<Index>,
    /// Triggers of the tables, without those PostgreSQL makes for constraints.
    pub triggers: Vec<Trigger>,
    /// Foreign keys of one column.
    pub foreign_keys: Vec<ForeignKey>,
    /// What PUBLIC may do without being named.
    pub public: PublicRights,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its name.
    pub name: TableName,
    /// Its owner.
    pub owner: RoleName,
    /// Its columns in the order of `attnum`, without dropped and system columns.
    pub columns: Vec<Column>,
    /// `relrowsecurity`.
    pub rls_enabled: bool,
    /// `relforcerowsecurity`.
    pub rls_forced: bool,
    /// `relpersistence = 'u'`: emptied by a crash, absent from replicas.
    pub unlogged: bool,
    /// The columns of its primary key; empty without one.
    pub primary_key: Vec<ColumnName>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: ColumnName,
    /// Its type as `format_type(atttypid, NULL)` spells it: `bigint`, `character varying`, `text[]`.
    pub type_name: String,
    /// Its number.
    pub attnum: i16,
    /// `attnotnull`.
    pub not_null: bool,
}

/// A view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Its name.
    pub name: TableName,
    /// Its owner.
    pub owner: RoleName,
    /// The option `security_invoker`.
    pub security_invoker: bool,
    /// The option `security_barrier`.
    pub security_barrier: bool,
    /// `pg_get_viewdef(oid)`.
    pub definition: String,
    /// Its columns in order.
    pub columns: Vec<ColumnName>,
    /// The tables it reads (`pg_depend` of its rule), in order.
    pub reads: Vec<TableName>,
}

/// What a row-level policy applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// `FOR ALL`, `polcmd = '*'`.
    All,
    /// `FOR SELECT`, `polcmd = 'r'`.
    Select,
    /// `FOR INSERT`, `polcmd = 'a'`.
    Insert,
    /// `FOR UPDATE`, `polcmd = 'w'`.
    Update,
    /// `FOR DELETE`, `polcmd = 'd'`.
    Delete,
}

/// A row-level policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowPolicy {
    /// The table.
    pub table: TableName,
    /// Its name.
    pub name: String,
    /// `polpermissive`.
    pub permissive: bool,
    /// What it applies to.
    pub command: Command,
    /// The roles; empty for PUBLIC.
    pub roles: BTreeSet<RoleName>,
    /// `pg_get_expr(polqual, polrelid)`.
    pub using: Option<String>,
    /// `pg_get_expr(polwithcheck, polrelid)`.
    pub with_check: Option<String>,
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its name.
    pub name: RoleName,
    /// `rolcanlogin`.
    pub login: bool,
    /// `rolinherit`.
    pub inherit: bool,
    /// `rolsuper`.
    pub superuser: bool,
    /// `rolcreatedb`.
    pub create_db: bool,
    /// `rolcreaterole`.
    pub create_role: bool,
    /// `rolreplication`.
    pub replication: bool,
    /// `rolbypassrls`.
    pub bypass_rls: bool,
    /// `rolconnlimit`; -1 for none.
    pub connection_limit: i32,
    /// The roles it is a member of, directly.
    pub member_of: BTreeSet<RoleName>,
    /// `setconfig` of `pg_db_role_setting` for this database or all, as `name=value`.
    pub settings: BTreeSet<String>,
}

/// A privilege on a table, view or column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Privilege {
    /// `SELECT`.
    Select,
    /// `INSERT`.
    Insert,
    /// `UPDATE`.
    Update,
    /// `DELETE`.
    Delete,
    /// `TRUNCATE`.
    Truncate,
    /// `REFERENCES`.
    References,
    /// `TRIGGER`.
    Trigger,
    /// `MAINTAIN`, since PostgreSQL 17.
    Maintain,
}

/// A privilege on a whole table or view.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableGrant {
    /// The table or view.
    pub table: TableName,
    /// To whom; none for PUBLIC.
    pub role: Option<RoleName>,
    /// What.
    pub privilege: Privilege,
}

/// A privilege on a column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ColumnGrant {
    /// The table or view.
    pub table: TableName,
    /// The column.
    pub column: ColumnName,
    /// To whom; none for PUBLIC.
    pub role: Option<RoleName>,
    /// What.
    pub privilege: Privilege,
}

/// A privilege on a schema.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SchemaGrant {
    /// The schema.
    pub schema: SchemaName,
    /// To whom.
    pub role: RoleName,
    /// `CREATE` rather than `USAGE`.
    pub create: bool,
}

/// A function or procedure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Its schema and name.
    pub name: TableName,
    /// `pg_get_function_identity_arguments(oid)`.
    pub arguments: String,
    /// Its owner.
    pub owner: RoleName,
    /// `prosecdef`.
    pub security_definer: bool,
    /// Whether `proconfig` fixes `search_path`.
    pub fixed_search_path: bool,
    /// Whether PUBLIC may execute it.
    pub public_execute: bool,
    /// `provolatile = 'v'`.
    pub volatile: bool,
    /// `proleakproof`.
    pub leakproof: bool,
}

/// An index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Its name, within the schema of the table.
    pub name: String,
    /// The table.
    pub table: TableName,
    /// The access method: `btree`, `gin`.
    pub method: String,
    /// The columns it holds, key and included; expressions are not among them.
    pub columns: Vec<ColumnName>,
    /// The operator class of each key, such as `text_pattern_ops`.
    pub operator_classes: Vec<String>,
    /// `pg_get_expr(indpred, indrelid)`.
    pub predicate: Option<String>,
    /// `pg_get_expr(indexprs, indrelid)`.
    pub expression: Option<String>,
}

/// A trigger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// Its name.
    pub name: String,
    /// The table.
    pub table: TableName,
    /// The function.
    pub function: TableName,
    /// `tgenabled <> 'D'`.
    pub enabled: bool,
}

/// A foreign key of one column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// The table that refers.
    pub table: TableName,
    /// Its column.
    pub column: ColumnName,
    /// The table referred to.
    pub to_table: TableName,
    /// The column referred to.
    pub to_column: ColumnName,
}

/// What PUBLIC, and so every role, may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicRights {
    /// On the database: `CONNECT`, `TEMPORARY`, `CREATE`.
    pub database: BTreeSet<String>,
    /// Schemas on which PUBLIC has `USAGE` or `CREATE`, without the system's.
    pub schemas: BTreeSet<SchemaName>,
    /// Languages that PUBLIC may use.
    pub languages: BTreeSet<String>,
    /// Functions of `pg_catalog` that PUBLIC may execute though [`crate::sql::REVOKED_FUNCTIONS`] selects them, as
    /// `name(arguments)`.
    pub functions: BTreeSet<String>,
}
