//! What may be asked of which table, and under which rules; and a question, taken apart.
//!
//! Reading SQL is `statement`'s work; whether a role may use a column, the server's and `policy`'s. Here the parts of a
//! question are compared with the rules of aggregates. The texts in a [`Query`] are put into the statement as they are, so
//! they must come from `statement`, which has checked them on PostgreSQL's own tree: `filter` and `on` must be made of
//! columns, constants, parameters and comparisons that cannot fail, because a filter that divides by zero for one person
//! tells about that person by failing.

use super::NoiseTable;
use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
};

/// The rules of an aggregate context.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Fewest contributors of a cell that may show.
    minimum: u32,
    /// Largest share of a sum that one person may make up, in percent.
    dominance_percent: u8,
    /// Counts are rounded to multiples of this after the noise.
    pub rounding: Option<NonZeroU32>,
    /// The noise of a count of persons, per layer.
    noise: NoiseTable,
    /// Most cells of an answer that may show; an answer with more is refused whole.
    pub most_cells: usize,
    /// The tables that may be asked, by the name under which `statement` reports them.
    pub tables: BTreeMap<String, Table>,
}

/// Rules that do not protect.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RulesError {
    /// The minimum is no minimum.
    #[error("cells of {0} contributors were to show, expected at least 3 and at most 10000")]
    Minimum(u32),
    /// Noise could take a count to zero or below.
    #[error(
        "noise within ±{bound} may make nothing of cells of {minimum} contributors; expected a bound below the minimum"
    )]
    NoiseBeyondMinimum {
        /// The largest noise of both layers.
        bound: u32,
        /// The fewest contributors.
        minimum: u32,
    },
    /// The share is none.
    #[error("one person was to make up at most {0} percent of a sum, expected 1 to 99")]
    Dominance(u8),
}

impl Rules {
    /// Makes rules with a minimum of 10 contributors, at most half of a sum by one person, the default [`NoiseTable`], no
    /// rounding, and at most 10,000 cells.
    pub fn new(tables: BTreeMap<String, Table>) -> Self {
        Self {
            minimum: 10,
            dominance_percent: 50,
            rounding: None,
            noise: NoiseTable::default(),
            most_cells: 10_000,
            tables,
        }
    }

    /// Sets the fewest contributors of a cell, the noise, and the largest share of one person in a sum, in percent.
    ///
    /// # Errors
    ///
    /// [`RulesError`] if that would not protect.
    pub fn protected_by(self, minimum: u32, noise: NoiseTable, dominance_percent: u8) -> Result<Self, RulesError> {
        if !(3..=10_000).contains(&minimum) {
            return Err(RulesError::Minimum(minimum));
        }
        let bound = 2 * noise.bound();
        if bound >= minimum {
            return Err(RulesError::NoiseBeyondMinimum { bound, minimum });
        }
        if !(1..=99).contains(&dominance_percent) {
            return Err(RulesError::Dominance(dominance_percent));
        }
        Ok(Self { minimum, dominance_percent, noise, ..self })
    }

    /// Returns the fewest contributors of a cell that may show.
    pub fn minimum(&self) -> u32 {
        self.minimum
    }

    /// Returns the largest share of a sum that one person may make up, in percent.
    pub fn dominance_percent(&self) -> u8 {
        self.dominance_percent
    }

    /// Returns the noise of a count of persons, per layer.
    pub fn noise(&self) -> &NoiseTable {
        &self.noise
    }
}

/// A table in an aggregate context.
#[derive(Debug, Clone)]
pub struct Table {
    /// Whose data it holds; `None` for reference data that is about nobody. To list such a table is to vouch that a join
    /// with it finds at most one of its rows: a join that repeats some persons more than others singles them out.
    pub subject: Option<Subject>,
    /// What each column may be used for; a column that is not listed, for nothing. Identifiers, sealed and restricted
    /// columns are not listed.
    pub columns: BTreeMap<String, ColumnUse>,
}

/// The column with the person's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its name.
    pub column: String,
    /// Its type.
    pub kind: SubjectType,
    /// How many rows a person may have.
    pub rows: PerPerson,
}

/// The type of a person's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectType {
    /// `bigint`, or a smaller whole number.
    Bigint,
    /// `uuid`
    Uuid,
    /// `text`
    Text,
}

/// How many rows of a table a person may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PerPerson {
    /// At most one: the subject is the primary key or unique, and the catalog says so.
    OneRow,
    /// Any number.
    ManyRows,
}

/// What a column may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnUse {
    /// Grouping, filtering and counting.
    Dimension,
    /// Counting, sums and what is made of them; not filtering.
    Measure(Number),
    /// All of it.
    Both(Number),
}

/// What kind of number a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// `smallint`, `integer`, `bigint`
    Whole,
    /// `numeric`, `real`, `double precision`
    Decimal,
}

/// A question of an aggregate context, taken apart.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Query {
    /// What is grouped by, and shown.
    pub dimensions: Vec<Dimension>,
    /// What is counted or summed.
    pub measures: Vec<Measure>,
    /// In which order the outputs come, each taken from its list in turn. Empty: all dimensions, then all measures.
    pub outputs: Vec<OutputOf>,
    /// The text between `FROM` and `WHERE`, joins included.
    pub from: String,
    /// The text after `WHERE`.
    pub filter: Option<String>,
    /// The relations of `from`, each with the name by which columns refer to it.
    pub relations: Vec<Relation>,
    /// Columns that `filter` names.
    pub filtered: Vec<ColumnName>,
    /// Columns that the conditions of joins name.
    pub joined: Vec<ColumnName>,
    /// `ORDER BY`
    pub order: Vec<Order>,
    /// `LIMIT`
    pub limit: Option<u64>,
    /// `OFFSET`
    pub offset: u64,
    /// How many parameters the pieces have.
    pub n_parameters: u16,
}

/// From which list an output comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputOf {
    /// The next dimension.
    Dimension,
    /// The next measure.
    Measure,
}

/// A relation of `FROM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// The table, as [`Rules::tables`] names it.
    pub table: String,
    /// Its alias, or its own name without a schema; unquoted.
    pub alias: String,
}

/// A column of a relation, by the relation's alias; both unquoted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ColumnName {
    /// The alias of the relation.
    pub relation: String,
    /// The column.
    pub column: String,
}

/// Something to group by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dimension {
    /// The expression, such as `u.country` or `date_trunc('month', e.at)`.
    pub expression: String,
    /// The columns it names.
    pub columns: Vec<ColumnName>,
    /// The name of the output.
    pub name: String,
}

/// Something to count or sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measure {
    /// What is computed.
    pub function: Function,
    /// The name of the output.
    pub name: String,
}

/// What may be computed. Arguments are bare columns: with expressions, one sum could be asked in many words, each with a
/// draw of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Function {
    /// `count(*)`
    Records,
    /// `count(column)`
    Filled(ColumnName),
    /// `count(DISTINCT subject)`
    Persons(ColumnName),
    /// `sum(column)`
    Sum(ColumnName),
    /// `avg(column)`
    Average(ColumnName),
    /// `stddev(column)`, of a sample
    Deviation(ColumnName),
}

/// One key of `ORDER BY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Which output, counted from 0.
    pub output: usize,
    /// Which end comes first; nothing (NULL) counts as largest, as in PostgreSQL.
    pub direction: Direction,
}

/// Which end of an order comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The smallest.
    Ascending,
    /// The largest.
    Descending,
}

/// Why an aggregate question is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A table of which the rules know nothing.
    #[error("denied: `{0}` may not be asked for aggregates")]
    Table(String),
    /// No table is about persons, so there is nobody to count.
    #[error("denied: none of the tables asked is about persons")]
    Nobody,
    /// A name that belongs to no relation of the statement, or to two.
    #[error("denied: `{0}` names no relation of the statement, or more than one")]
    Relation(String),
    /// The same table twice.
    #[error("denied: `{0}` is joined with itself")]
    JoinedWithItself(String),
    /// A column that may not be used like this.
    #[error("denied: column `{column}` of `{table}` may not be used for {what}")]
    Column {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// What for.
        what: &'static str,
    },
    /// A distinct count of something other than persons.
    #[error("denied: `count(DISTINCT {0})` counts something other than persons")]
    Distinct(String),
    /// Two tables name persons by different types.
    #[error("denied: the tables asked name persons by different types of ids")]
    Subjects,
    /// Something that is allowed in statistics, and not followed here.
    #[error("denied: {0} is not followed in aggregates")]
    Unfollowed(String),
    /// A condition or dimension that fails for some values.
    #[error("denied: `{0}` may fail for some persons, and so tell about them")]
    CanFail(String),
    /// Something is counted or summed that is no column.
    #[error("denied: `{0}` is no column, and only columns are counted or summed")]
    Argument(String),
    /// Nothing to compute.
    #[error("denied: nothing is counted or summed")]
    NoMeasure,
    /// The outputs or the order do not fit the lists.
    #[error("denied: the order of outputs does not fit what is asked")]
    Outputs,
    /// More cells than may be returned.
    #[error("denied: the answer has more than {0} cells")]
    TooManyCells(usize),
}

impl Refusal {
    /// Returns the way out, for the reader.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Table(_) | Self::Nobody => "ask tables with data about persons that this purpose may count",
            Self::Relation(_) => "give each relation an alias, and write every column with it",
            Self::JoinedWithItself(_) => "use each table once; each person is counted once anyway",
            Self::Column { .. } => "filter and group by dimensions, and sum measures; `explain` lists both",
            Self::Distinct(_) => "write count(DISTINCT ...) with the column that identifies persons",
            Self::Subjects => "ask tables with one type of ids",
            Self::NoMeasure => "add count(*), or a sum, avg or stddev of a column",
            Self::Unfollowed(_) => {
                "compare columns with constants, join ON equal columns, and use count, sum, avg or stddev"
            }
            Self::CanFail(_) => {
                "compare the column itself with a constant, without arithmetic or casts; group by width_bucket, floor or date_trunc"
            }
            Self::Argument(_) => "count or sum the column itself, and compute with what comes",
            Self::Outputs => "order by columns of the answer",
            Self::TooManyCells(_) => "group by fewer or coarser dimensions",
        }
    }
}

/// The relations of a query with their tables, found by alias.
pub(super) struct Relations<'a> {
    named: BTreeMap<&'a str, (&'a str, &'a Table)>,
}

impl<'a> Relations<'a> {
    pub fn of(query: &'a Query, rules: &'a Rules) -> Result<Self, Refusal> {
        let mut named = BTreeMap::new();
        let mut tables = BTreeSet::new();
        for Relation { table, alias } in &query.relations {
            let known = rules.tables.get(table).ok_or_else(|| Refusal::Table(table.clone()))?;
            if !tables.insert(table) {
                return Err(Refusal::JoinedWithItself(table.clone()));
            }
            if named.insert(alias.as_str(), (table.as_str(), known)).is_some() {
                return Err(Refusal::Relation(alias.clone()));
            }
        }
        Ok(Self { named })
    }

    /// Those about persons, with their aliases, in the order of the aliases.
    pub fn about_persons(&self) -> impl Iterator<Item = (&'a str, &'a Subject)> {
        self.named.iter().filter_map(|(alias, (_, table))| Some((*alias, table.subject.as_ref()?)))
    }

    /// How many relations there are, about persons or not.
    pub fn count(&self) -> usize {
        self.named.len()
    }

    fn table(&self, name: &ColumnName) -> Result<(&'a str, &'a Table), Refusal> {
        self.named.get(name.relation.as_str()).copied().ok_or_else(|| Refusal::Relation(name.relation.clone()))
    }

    fn used(&self, name: &ColumnName, what: &'static str) -> Result<(&'a str, ColumnUse), Refusal> {
        let (table, known) = self.table(name)?;
        let refusal = || Refusal::Column { table: table.to_owned(), column: name.column.clone(), what };
        // The subject is not to be listed; if it was, it is still not a dimension.
        if known.subject.as_ref().is_some_and(|subject| subject.column == name.column) {
            return Err(refusal());
        }
        known.columns.get(&name.column).map(|allowed| (table, *allowed)).ok_or_else(refusal)
    }

    pub fn check_dimension(&self, name: &ColumnName, what: &'static str) -> Result<(), Refusal> {
        match self.used(name, what)? {
            (_, ColumnUse::Dimension | ColumnUse::Both(_)) => Ok(()),
            (table, ColumnUse::Measure(_)) => {
                Err(Refusal::Column { table: table.to_owned(), column: name.column.clone(), what })
            }
        }
    }

    /// Joins are by persons or by dimensions.
    pub fn check_joined(&self, name: &ColumnName) -> Result<(), Refusal> {
        let (_, known) = self.table(name)?;
        if known.subject.as_ref().is_some_and(|subject| subject.column == name.column) {
            return Ok(());
        }
        self.check_dimension(name, "joining")
    }

    pub fn check_counted(&self, name: &ColumnName) -> Result<(), Refusal> {
        self.used(name, "counting").map(|_| ())
    }

    pub fn check_person(&self, name: &ColumnName) -> Result<(), Refusal> {
        let (_, known) = self.table(name)?;
        match &known.subject {
            Some(subject) if subject.column == name.column => Ok(()),
            _ => Err(Refusal::Distinct(format!("{}.{}", name.relation, name.column))),
        }
    }

    /// Returns the full name of a column that may be summed, and its kind.
    pub fn summed(&self, name: &ColumnName) -> Result<(String, Number), Refusal> {
        match self.used(name, "sums")? {
            (table, ColumnUse::Measure(number) | ColumnUse::Both(number)) => {
                Ok((format!("{table}.{}", name.column), number))
            }
            (table, ColumnUse::Dimension) => {
                Err(Refusal::Column { table: table.to_owned(), column: name.column.clone(), what: "sums" })
            }
        }
    }
}
