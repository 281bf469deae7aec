//! What a role may do, per table and column.

use crate::{
    map::{Class, DataMap},
    names::{ColumnName, PurposeName, Residency, RoleName, TableName},
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt};

/// What a reader may want to do with data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// To see rows about single persons.
    ReadRecord,
    /// To see figures about many.
    ReadAggregate,
    /// To insert, update and delete.
    Write,
    /// To hand over to someone else; transfers do that, never a session.
    Export,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 4] = [Self::ReadRecord, Self::ReadAggregate, Self::Write, Self::Export];

    /// Returns the id of the action in policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadRecord => "read-record",
            Self::ReadAggregate => "read-aggregate",
            Self::Write => "write",
            Self::Export => "export",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The actions permitted on a column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Actions {
    /// [`Action::ReadRecord`].
    pub record: bool,
    /// [`Action::ReadAggregate`].
    pub aggregate: bool,
    /// [`Action::Write`].
    pub write: bool,
    /// [`Action::Export`].
    pub export: bool,
}

impl Actions {
    /// Returns whether an action is among them.
    pub const fn has(self, action: Action) -> bool {
        match action {
            Action::ReadRecord => self.record,
            Action::ReadAggregate => self.aggregate,
            Action::Write => self.write,
            Action::Export => self.export,
        }
    }

    /// Returns whether there are none.
    pub const fn is_empty(self) -> bool {
        !(self.record || self.aggregate || self.write || self.export)
    }

    /// Returns whether all of these are among `other`.
    pub fn is_within(self, other: Self) -> bool {
        Action::ALL.into_iter().all(|action| !self.has(action) || other.has(action))
    }
}

/// What may be done, per table and column. What is not listed may not be done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Rights(BTreeMap<TableName, BTreeMap<ColumnName, Actions>>);

impl Rights {
    /// Collects rights; columns without any are left out.
    pub(crate) fn collect(permitted: impl IntoIterator<Item = (TableName, ColumnName, Actions)>) -> Self {
        let mut tables = BTreeMap::<TableName, BTreeMap<ColumnName, Actions>>::new();
        for (table, column, actions) in permitted {
            if !actions.is_empty() {
                tables.entry(table).or_default().insert(column, actions);
            }
        }
        Self(tables)
    }

    /// Returns the rights of everyone in a cell grid: `permits(action, class, residency)` decides, the map assigns.
    pub(crate) fn of_map(
        map: &DataMap,
        purpose: &PurposeName,
        permits: impl Fn(Action, Class, &Residency) -> bool,
    ) -> Self {
        Self::collect(map.tables.iter().flat_map(|table| {
            let permits = &permits;
            table.columns.iter().filter(|column| column.serves(purpose)).map(move |column| {
                let may = |action| permits(action, column.class, &table.residency);
                let actions = Actions {
                    record: may(Action::ReadRecord),
                    aggregate: may(Action::ReadAggregate),
                    // What is sealed is sealed by its owner, with `vigie gateway seal`: readers have no key.
                    write: may(Action::Write) && !column.sealed,
                    export: may(Action::Export),
                };
                (table.name.clone(), column.name.clone(), actions)
            })
        }))
    }

    /// Returns what is left of them when each column keeps what `keep` says.
    pub(crate) fn narrowed(&self, keep: impl Fn(Actions) -> Actions) -> Self {
        let columns = self.iter().map(|(table, column, actions)| (table.clone(), column.clone(), keep(actions)));
        Self::collect(columns)
    }

    /// Returns what may be done with a column.
    pub fn on(&self, table: &TableName, column: &ColumnName) -> Actions {
        self.0.get(table).and_then(|columns| columns.get(column)).copied().unwrap_or_default()
    }

    /// Returns whether single rows may be read with this column.
    ///
    /// The subject column is granted to every role of a table, for accounting; whether its *value* may be shown is this
    /// question, and a no means a pseudonym.
    pub fn may_read(&self, table: &TableName, column: &ColumnName) -> bool {
        self.on(table, column).record
    }

    /// Returns whether figures may be made of this column.
    pub fn may_aggregate(&self, table: &TableName, column: &ColumnName) -> bool {
        self.on(table, column).aggregate
    }

    /// Returns whether this column may be written.
    pub fn may_write(&self, table: &TableName, column: &ColumnName) -> bool {
        self.on(table, column).write
    }

    /// Returns whether this column may be handed over, by a transfer.
    pub fn may_export(&self, table: &TableName, column: &ColumnName) -> bool {
        self.on(table, column).export
    }

    /// Returns whether some column may be used in this way.
    pub fn any(&self, action: Action) -> bool {
        self.iter().any(|(_, _, actions)| actions.has(action))
    }

    /// Returns whether figures are all that may be read.
    pub fn aggregate_only(&self) -> bool {
        self.any(Action::ReadAggregate) && !self.any(Action::ReadRecord)
    }

    /// Returns whether nothing may be done.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the tables on which something may be done, in order of their names.
    pub fn tables(&self) -> impl Iterator<Item = (&TableName, &BTreeMap<ColumnName, Actions>)> {
        self.0.iter()
    }

    /// Returns each column with what may be done, in order of table and column.
    pub fn iter(&self) -> impl Iterator<Item = (&TableName, &ColumnName, Actions)> {
        self.0
            .iter()
            .flat_map(|(table, columns)| columns.iter().map(move |(column, actions)| (table, column, *actions)))
    }
}

/// For what a role is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RoleKind {
    /// Reads rows about single persons, or writes.
    Record,
    /// Reads figures only: the gateway lets nothing else out of its sessions.
    Aggregate,
    /// Nothing: sessions without purpose.
    Nobody,
}

/// A role of PostgreSQL that a context logs in as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Role {
    /// Its name.
    pub name: RoleName,
    /// The purpose, whose bit of the mask decides about its rows; none for the one without rights.
    pub purpose: Option<PurposeName>,
    /// For what it is used.
    pub kind: RoleKind,
    /// What it may do.
    pub rights: Rights,
}
