//! The shape of a result, as the server itself attests it: where each column that comes out was read from.
//!
//! PostgreSQL names, before the first row, the view and column behind each output column, through joins, subqueries and
//! cursors, and says nothing for what was computed. What `statement` read of the text is held against that: if the two
//! disagree, nothing leaves. So a mistake in reading SQL costs an answer, and shows no row.

use crate::{sealed::Bound, wire::RowDescription};
use std::collections::HashMap;
use vigie_policy::names::{ColumnName, TableName};

/// The first id of an object that is not PostgreSQL's own (`FirstNormalObjectId`).
const FIRST_OF_OURS: u32 = 16_384;

/// A table or view that a context may name.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Its table in the data map.
    pub table: TableName,
    /// The number of the subject's column; `None` for reference data, which are about nobody.
    pub subject: Option<i16>,
    /// Its columns, by number.
    pub columns: HashMap<i16, OriginColumn>,
}

/// A column that a context may name.
#[derive(Debug, Clone)]
pub struct OriginColumn {
    /// Its name.
    pub name: ColumnName,
    /// Whether the context may see its values, or only a pseudonym in their place.
    pub plain: bool,
    /// What its cells are bound to, if they are sealed.
    pub sealed: Option<Bound>,
}

/// All that a context may name, by the ids of tables and views.
pub type Origins = HashMap<u32, Origin>;

/// A relation that a statement reads people from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The id of the table or view.
    pub oid: u32,
    /// The number of its subject's column.
    pub subject: i16,
    /// Its table in the data map.
    pub table: TableName,
}

/// What a statement was read to return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Nothing of people.
    Nobody,
    /// Figures about many: values of what is grouped by, and what was computed.
    Figures,
    /// Rows of people: each of these relations has its subject in the output.
    People {
        /// The relations, in the order of the text.
        instances: Vec<Instance>,
        /// Whether their subjects were appended at the end, in the same order; else they are among the columns asked for.
        appended: bool,
    },
}

/// What comes out, column by column.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shape {
    /// How many columns the client sees.
    pub visible: usize,
    /// How many come from the server.
    pub total: usize,
    /// What the columns are called.
    pub names: Vec<Vec<u8>>,
    /// Where the subject of each relation is.
    pub subjects: Vec<usize>,
    /// For each relation, the first one of the same table.
    pub alike: Vec<u8>,
    /// Which columns the client gets as pseudonyms, in ascending order.
    pub pseudonyms: Vec<usize>,
    /// Which columns hold sealed cells, in ascending order, and what those are bound to.
    pub sealed: Vec<(usize, Bound)>,
    /// What is disclosed of each relation.
    pub disclosed: Vec<Disclosed>,
}

/// What is disclosed of a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disclosed {
    /// The table, as the data map names it.
    pub table: String,
    /// The columns; one that was computed counts as `(computed)`, for every relation.
    pub columns: Vec<String>,
}

/// The server attests something else than was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the server attests another shape than was read of the statement: {0}")]
pub struct Mismatch(String);

impl Shape {
    /// Holds what the server attests against what was read.
    ///
    /// # Errors
    ///
    /// [`Mismatch`]; nothing may leave then.
    pub fn of(attested: &RowDescription<'_>, expected: &Expected, origins: &Origins) -> Result<Self, Mismatch> {
        let total = attested.len();
        let names = attested.fields().map(|field| field.name.to_vec()).collect();
        match expected {
            Expected::Nobody => {
                for field in attested.fields() {
                    let of_nobody = field.table < FIRST_OF_OURS
                        || origins.get(&field.table).is_some_and(|origin| origin.subject.is_none());
                    if !of_nobody {
                        return Err(Mismatch(format!(
                            "column {} of relation {} is about people",
                            field.column, field.table
                        )));
                    }
                }
                Ok(Self { visible: total, total, names, ..Self::default() })
            }
            Expected::Figures => {
                for field in attested.fields().filter(|field| field.table >= FIRST_OF_OURS) {
                    let known = origins.get(&field.table).filter(|origin| origin.subject != Some(field.column));
                    if known.is_none() {
                        return Err(Mismatch(format!(
                            "column {} of relation {} names people",
                            field.column, field.table
                        )));
                    }
                }
                Ok(Self { visible: total, total, names, ..Self::default() })
            }
            Expected::People { instances, appended } => {
                Ok(Self { names, ..Self::of_people(attested, instances, *appended, origins)? })
            }
        }
    }

    fn of_people(
        attested: &RowDescription<'_>,
        instances: &[Instance],
        appended: bool,
        origins: &Origins,
    ) -> Result<Self, Mismatch> {
        let total = attested.len();
        let n_appended = if appended { instances.len() } else { 0 };
        let visible = total.checked_sub(n_appended).ok_or_else(|| Mismatch("columns are missing".to_owned()))?;
        let mut subjects: Vec<Option<usize>> = vec![None; instances.len()];
        let disclosed = |instance: &Instance| Disclosed { table: instance.table.to_string(), columns: Vec::new() };
        let disclosed = instances.iter().map(disclosed).collect();
        let first = |instance: &Instance| instances.iter().position(|it| it.table == instance.table).unwrap_or(0) as u8;
        let alike = instances.iter().map(first).collect();
        let mut shape = Self { visible, total, alike, disclosed, ..Self::default() };
        for (at, field) in attested.fields().enumerate() {
            let is_subject_of = |instance: &Instance| (instance.oid, instance.subject) == (field.table, field.column);
            if at >= visible {
                let instance = &instances[at - visible];
                if !is_subject_of(instance) {
                    return Err(Mismatch(format!("appended column {at} is not the subject of `{}`", instance.table)));
                }
                subjects[at - visible] = Some(at);
                continue;
            }
            if field.table < FIRST_OF_OURS {
                if field.table == 0 {
                    shape.disclose(None, "(computed)");
                }
                continue;
            }
            let unknown = || Mismatch(format!("column {} of relation {} is not known", field.column, field.table));
            let origin = origins.get(&field.table).ok_or_else(unknown)?;
            let Some(subject) = origin.subject else { continue };
            if !instances.iter().any(|instance| instance.oid == field.table) {
                return Err(Mismatch(format!("`{}` was not read to be in the statement", origin.table)));
            }
            let column = origin.columns.get(&field.column).ok_or_else(unknown)?;
            shape.disclose(Some(&origin.table), column.name.as_str());
            if !column.plain {
                if field.column != subject {
                    return Err(Mismatch(format!("`{}` may not be seen", column.name)));
                }
                shape.pseudonyms.push(at);
            } else if let Some(bound) = &column.sealed {
                shape.sealed.push((at, bound.clone()));
            }
            if !appended {
                // A self-join shows the same column twice: each instance takes one of them.
                let free = instances.iter().zip(&mut subjects).find(|(it, found)| is_subject_of(it) && found.is_none());
                if let Some((_, found)) = free {
                    *found = Some(at);
                }
            }
        }
        for (instance, found) in instances.iter().zip(subjects) {
            let missing = || Mismatch(format!("the subject of `{}` is not in the output", instance.table));
            shape.subjects.push(found.ok_or_else(missing)?);
        }
        Ok(shape)
    }

    /// Returns the same with what is disclosed of people who are in several relations of a row: each is the bits of those.
    #[must_use]
    pub fn with_together(&self, together: &[u32]) -> Self {
        let mut shape = self.clone();
        for relations in together {
            let those = self.disclosed.iter().enumerate().filter(|(at, _)| relations >> at & 1 == 1);
            let (mut tables, mut columns) = (Vec::new(), Vec::new());
            for (_, disclosed) in those {
                tables.push(disclosed.table.as_str());
                columns.extend(disclosed.columns.iter().map(|column| format!("{}.{column}", disclosed.table)));
            }
            shape.disclosed.push(Disclosed { table: tables.join(","), columns });
        }
        shape
    }

    fn disclose(&mut self, table: Option<&TableName>, column: &str) {
        let of = table.map(ToString::to_string);
        for disclosed in self.disclosed.iter_mut().filter(|it| of.as_ref().is_none_or(|table| *table == it.table)) {
            if !disclosed.columns.iter().any(|known| known == column) {
                disclosed.columns.push(column.to_owned());
            }
        }
    }
}
