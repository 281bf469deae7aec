//! What a role may name and see: the compiled policy, joined with the ids that the database gave its objects.
//!
//! Out of scope: reading those ids (`control`), and what a statement names (`treat`).

use crate::{
    aggregate,
    metrics::Metrics,
    pseudonym::Pseudonyms,
    sealed::{Bound, Opened, SealKeys},
    shape::{Instance, Origin, OriginColumn, Origins},
};
use std::{collections::HashMap, sync::Arc};
use vigie_policy::{
    compiled::Compiled,
    map::{SubjectType, Table},
    names::{ColumnName, RoleName, TableName},
    rights::{Role, RoleKind},
};

/// A table or view as the database knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its id.
    pub oid: u32,
    /// Its name.
    pub name: TableName,
    /// Its columns.
    pub columns: Vec<KnownColumn>,
    /// Whether no column is of a type where `LIKE 'abc%'` and `^@ 'abc'` differ (`citext`, `bytea`).
    pub prefix_operators: bool,
}

/// A column as the database knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownColumn {
    /// Its number.
    pub number: i16,
    /// Its name.
    pub name: ColumnName,
    /// The name of its type, as `pg_type` has it.
    pub kind: String,
}

/// A column of a base table that holds no value twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unique {
    /// The table.
    pub table: TableName,
    /// The column.
    pub column: ColumnName,
}

/// What a session may see: fixed until its purpose changes.
#[derive(Debug)]
pub struct View {
    /// The role that it logs in as.
    pub role: RoleName,
    /// For what the role is used.
    pub kind: RoleKind,
    /// All that may be named.
    pub origins: Origins,
    /// Ids by the name without a schema, which is found on the role's search path.
    pub own: HashMap<String, u32>,
    /// All tables of the data map, whether this role may use them or not.
    pub map_tables: Vec<TableName>,
    /// Whether `LIKE` of a prefix may become the operator for it: no column is of a type where they differ.
    pub prefix_operators: bool,
    /// The bit of the purpose in masks; `None` without a purpose.
    pub bit: Option<u8>,
    /// Makes pseudonyms; `None` without a purpose.
    pub pseudonyms: Option<Pseudonyms>,
    /// Opens sealed cells.
    pub seal_keys: Option<Arc<SealKeys>>,
    /// What ids are.
    pub subject_type: SubjectType,
    /// What figures may be made of.
    pub figures: Option<aggregate::Rules>,
    /// Which columns may be written.
    pub role_rights: Role,
    /// Most rows of a statement; 0 for any number.
    pub max_rows: u64,
}

impl View {
    /// Joins a role with what the database knows.
    ///
    /// Tables that the database does not have are left out; naming one fails there.
    pub fn new(
        compiled: &Compiled,
        role: &Role,
        known: &[Known],
        pseudonyms: Option<Pseudonyms>,
        seal_keys: Option<Arc<SealKeys>>,
        figures: Option<aggregate::Rules>,
        max_rows: u64,
    ) -> Self {
        let mut view = Self {
            role: role.name.clone(),
            kind: role.kind,
            origins: Origins::new(),
            own: HashMap::new(),
            map_tables: compiled.map.tables.iter().map(|table| table.name.clone()).collect(),
            prefix_operators: known.iter().all(|found| found.prefix_operators),
            bit: role.purpose.as_ref().and_then(|name| compiled.map.purpose(name.as_str())).map(|purpose| purpose.bit),
            pseudonyms,
            seal_keys,
            subject_type: compiled.map.subject_type,
            figures,
            role_rights: role.clone(),
            max_rows,
        };
        for table in &compiled.map.tables {
            if !role.rights.tables().any(|(granted, _)| *granted == table.name) {
                continue;
            }
            for found in known {
                if found.name.schema.as_str() != role.name.as_str() || found.name.name != table.name.name {
                    continue;
                }
                view.origins.insert(found.oid, origin(table, found, role));
                view.own.insert(found.name.name.clone(), found.oid);
            }
        }
        view
    }

    /// Returns the view that a name means in a session of this role; `None` for what is not governed.
    pub fn find(&self, schema: Option<&str>, name: &str) -> Option<(u32, &Origin)> {
        if schema.is_some_and(|schema| schema != self.role.as_str()) {
            return None;
        }
        let oid = self.own.get(name)?;
        self.origins.get(oid).map(|origin| (*oid, origin))
    }

    /// Returns what the cell of a sealed column holds; nothing if the column is not sealed, or if the value leaves as it is:
    /// one that was never sealed, or that does not open for any of these people.
    pub fn open<'s>(
        &self,
        sealed: &[(usize, Bound)],
        at: usize,
        people: impl Iterator<Item = &'s [u8]>,
        value: &[u8],
        metrics: &Metrics,
    ) -> Option<Vec<u8>> {
        let (_, bound) = sealed.iter().find(|(column, _)| *column == at)?;
        match self.seal_keys.as_ref()?.open(bound, people, value) {
            Opened::Value(value) => {
                metrics.opened_cells.one();
                Some(value)
            }
            Opened::NotSealed => {
                metrics.unsealed_cells.one();
                None
            }
            Opened::Closed => {
                metrics.closed_cells.one();
                None
            }
        }
    }

    /// Returns the name of the column with the person's id.
    pub fn subject_name(&self, instance: &Instance) -> Option<&str> {
        self.origins.get(&instance.oid)?.columns.get(&instance.subject).map(|column| column.name.as_str())
    }
}

fn origin(table: &Table, found: &Known, role: &Role) -> Origin {
    let subject = table.subject();
    let columns = found.columns.iter().map(|column| {
        let plain = subject.is_none() || role.rights.may_read(&table.name, &column.name);
        let sealed = table.column(&column.name).is_some_and(|column| column.sealed);
        let sealed = sealed.then(|| Bound::to(&table.name.to_string(), column.name.as_str()));
        (column.number, OriginColumn { name: column.name.clone(), plain, sealed })
    });
    let number = |wanted: &ColumnName| found.columns.iter().find(|it| it.name == *wanted).map(|it| it.number);
    Origin { table: table.name.clone(), subject: subject.and_then(number), columns: columns.collect() }
}
