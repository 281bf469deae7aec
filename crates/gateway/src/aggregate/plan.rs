//! The statement that is sent instead of the reader's, and how its rows become an answer.
//!
//! Two forms, chosen by what the catalog vouches for:
//! - *flat*, where the one table asked has at most one row per person: what a row holds is what a person contributes;
//! - *per person*, else: an inner grouping by dimensions and person, an outer one by dimensions.
//!
//! A bitmap of hashed ids (`bit_count(bit_or(1 << (id & 63)))`) would bound the number of persons from below without the
//! inner grouping, at less than half the cost. It is not used, because it says nothing about how much one of them
//! contributes, and noise of a fixed size does not hide a person with fifty records.

use super::{
    cells::{Key, Made, Term, TermKind},
    noise::Question,
    rules::{
        Dimension, Direction, Function, Number, Order, OutputOf, PerPerson, Query, Refusal, Relations, Rules,
        SubjectType,
    },
};
use std::fmt::Write as _;

/// What the gateway does with a question of an aggregate context.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) sql: String,
    pub(super) outputs: Vec<Output>,
    pub(super) made: Vec<Made>,
    pub(super) n_dimensions: usize,
    pub(super) terms: Vec<Term>,
    pub(super) keys: Vec<Key>,
    pub(super) limit: Option<u64>,
    pub(super) offset: u64,
    pub(super) n_columns: usize,
    pub(super) rules: Rules,
    pub(super) question: Question,
    pub(super) n_parameters: u16,
    several_tables_of_persons: bool,
}

/// A column of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// Its type.
    pub of: OutputType,
}

/// The type of a column of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputType {
    /// That of a column of the server's rows, counted from 0.
    AsServed(usize),
    /// `bigint`, OID 20
    Bigint,
    /// `numeric`, OID 1700
    Numeric,
    /// `text`, OID 25
    Text,
}

/// The name of the column that says what happened to a row.
const FLAG: &str = "obs_flag";

impl Plan {
    /// Checks a question and plans its answer.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the rules do not let it be asked; nothing is sent then.
    pub fn of(query: &Query, rules: &Rules) -> Result<Self, Refusal> {
        let relations = Relations::of(query, rules)?;
        let mut subjects = relations.about_persons();
        let (first, subject) = subjects.next().ok_or(Refusal::Nobody)?;
        let others: Vec<_> = subjects.collect();
        if others.iter().any(|(_, other)| other.kind != subject.kind) {
            return Err(Refusal::Subjects);
        }
        for name in query.dimensions.iter().flat_map(|dimension| &dimension.columns) {
            relations.check_dimension(name, "grouping")?;
        }
        for name in &query.filtered {
            relations.check_dimension(name, "filtering")?;
        }
        for name in &query.joined {
            relations.check_joined(name)?;
        }
        if query.measures.is_empty() {
            return Err(Refusal::NoMeasure);
        }
        let mut terms = Vec::new();
        let mut formulas = Vec::new();
        for measure in &query.measures {
            formulas.push(formula(&measure.function, &relations, &mut terms)?);
        }
        let (outputs, made) = outputs(query, &formulas)?;

        let form =
            if relations.count() == 1 && subject.rows == PerPerson::OneRow { Form::Flat } else { Form::PerPerson };
        let persons: Vec<String> = std::iter::once((first, subject))
            .chain(others.iter().copied())
            .map(|(alias, subject)| format!("{}.{}", quoted(alias), quoted(&subject.column)))
            .collect();
        let inner = inner(query, &terms, &persons, form);
        let (keys, ranks) = order(query, &made)?;
        let sql = outer(query, &mut terms, &ranks, subject.kind, rules.minimum(), &inner);
        let n_ranks = ranks.len();
        let n_columns =
            terms.last().map_or(query.dimensions.len() + 2 + n_ranks, |term| term.at + term.kind.n_columns());
        Ok(Self {
            sql,
            outputs,
            made,
            n_dimensions: query.dimensions.len(),
            terms,
            keys,
            limit: query.limit,
            offset: query.offset,
            n_columns,
            rules: rules.clone(),
            question: question(query),
            n_parameters: query.n_parameters,
            several_tables_of_persons: !others.is_empty(),
        })
    }

    /// Returns the statement for the server. Its rows must be asked for in text format.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Returns the columns of the answer; the last one, `obs_flag`, is ours.
    ///
    /// The flag is `c` (confidential, a value is withheld), `u` (low reliability: one standard deviation of the noise is
    /// more than a fifth of a value), or nothing.
    ///
    /// # Source
    ///
    /// Eurostat's flags, which follow the SDMX code lists `CL_CONF_STATUS` and `CL_OBS_STATUS`. The fifth is our own measure.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// Returns how many columns the server's rows have.
    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// Returns what the question costs of a reader's budget: 1 per measure.
    ///
    /// Not per cell: more cells over the same persons mean more noise in their sum, not a better look at one of them.
    pub fn cost(&self) -> u32 {
        self.made.iter().filter(|made| !matches!(made, Made::Dimension(_))).count() as u32
    }

    /// Says how the answer was protected, in words for its reader.
    pub fn method(&self) -> String {
        let rules = &self.rules;
        let mut text = format!(
            "cells of fewer than {} persons, and some of up to {}, are withheld, as are sums of which one person makes up more than {} percent; \
             counts of persons carry noise with standard deviation {:.2}, at most {}, other values as many times more as the largest contribution of a person; \
             the same question about the same persons always gets the same noise; cells do not add up to totals",
            rules.minimum(),
            rules.minimum() + 4 * rules.noise().bound(),
            rules.dominance_percent(),
            (2.0 * rules.noise().variance()).sqrt(),
            2 * rules.noise().bound(),
        );
        if let Some(base) = rules.rounding {
            let _ = write!(text, "; counts are rounded to multiples of {base}");
        }
        if self.several_tables_of_persons {
            text.push_str("; rows that join data of different persons are left out");
        }
        text
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Flat,
    PerPerson,
}

/// What the second layer of noise depends on. Not the measures: asking for one more would draw anew.
fn question(query: &Query) -> Question {
    let from = [Some(query.from.as_bytes()), query.filter.as_deref().map(str::as_bytes)];
    Question::of(from.into_iter().chain(query.dimensions.iter().map(|dimension| Some(dimension.expression.as_bytes()))))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Returns how a measure is made from terms, adding those that it needs.
fn formula(function: &Function, relations: &Relations<'_>, terms: &mut Vec<Term>) -> Result<Made, Refusal> {
    let mut need = |kind: TermKind| {
        terms.iter().position(|term| term.kind == kind).unwrap_or_else(|| {
            terms.push(Term { kind, at: 0 });
            terms.len() - 1
        })
    };
    Ok(match function {
        Function::Records => Made::Count(need(TermKind::Records)),
        Function::Persons(name) => {
            relations.check_person(name)?;
            Made::Persons
        }
        Function::Filled(name) => {
            relations.check_counted(name)?;
            Made::Count(need(TermKind::Filled { argument: argument(name) }))
        }
        Function::Sum(name) => {
            let (column, number) = relations.summed(name)?;
            Made::Sum(need(TermKind::Sum { argument: argument(name), column, number }))
        }
        Function::Average(name) => {
            let (column, number) = relations.summed(name)?;
            let sum = need(TermKind::Sum { argument: argument(name), column, number });
            Made::Average { sum, count: need(TermKind::Filled { argument: argument(name) }) }
        }
        Function::Deviation(name) => {
            let (column, number) = relations.summed(name)?;
            let sum = need(TermKind::Sum { argument: argument(name), column: column.clone(), number });
            let squares = need(TermKind::Squares { argument: argument(name), column });
            Made::Deviation { sum, squares, count: need(TermKind::Filled { argument: argument(name) }) }
        }
    })
}

fn argument(name: &super::ColumnName) -> String {
    format!("{}.{}", quoted(&name.relation), quoted(&name.column))
}

fn outputs(query: &Query, formulas: &[Made]) -> Result<(Vec<Output>, Vec<Made>), Refusal> {
    let default: Vec<OutputOf> = std::iter::repeat_n(OutputOf::Dimension, query.dimensions.len())
        .chain(std::iter::repeat_n(OutputOf::Measure, formulas.len()))
        .collect();
    let sequence = if query.outputs.is_empty() { &default } else { &query.outputs };
    let mut dimensions = query.dimensions.iter().enumerate();
    let mut measures = query.measures.iter().zip(formulas);
    let mut outputs = Vec::new();
    let mut made = Vec::new();
    for of in sequence {
        let (name, how) = match of {
            OutputOf::Dimension => {
                let (at, Dimension { name, .. }) = dimensions.next().ok_or(Refusal::Outputs)?;
                (name, Made::Dimension(at))
            }
            OutputOf::Measure => {
                let (measure, how) = measures.next().ok_or(Refusal::Outputs)?;
                (&measure.name, *how)
            }
        };
        let of = match how {
            Made::Dimension(at) => OutputType::AsServed(at),
            Made::Persons | Made::Count(_) => OutputType::Bigint,
            Made::Sum(_) | Made::Average { .. } | Made::Deviation { .. } => OutputType::Numeric,
        };
        outputs.push(Output { name: name.clone(), of });
        made.push(how);
    }
    if dimensions.next().is_some() || measures.next().is_some() {
        return Err(Refusal::Outputs);
    }
    outputs.push(Output { name: FLAG.to_owned(), of: OutputType::Text });
    Ok((outputs, made))
}

/// Returns the keys of the order, and the ranks of dimensions that the server must add for it: the gateway sorts, after
/// the noise, because the true order of two cells tells which is larger to the last person.
fn order(query: &Query, made: &[Made]) -> Result<(Vec<Key>, Vec<String>), Refusal> {
    // By all dimensions in the end: among equals, the server's own order might depend on what is hidden.
    let last = (0..made.len())
        .filter(|output| matches!(made[*output], Made::Dimension(_)))
        .map(|output| Order { output, direction: Direction::Ascending });
    let mut ranks = Vec::new();
    let mut keys = Vec::new();
    for Order { output, direction } in query.order.iter().copied().chain(last) {
        keys.push(match made.get(output).ok_or(Refusal::Outputs)? {
            Made::Dimension(at) => {
                let word = match direction {
                    Direction::Ascending => "ASC",
                    Direction::Descending => "DESC",
                };
                ranks.push(format!("dense_rank() OVER (ORDER BY d{at} {word})"));
                Key::Rank(ranks.len() - 1)
            }
            _ => Key::Output(output, direction),
        });
    }
    Ok((keys, ranks))
}

/// The rows that count: per person or, where that is the same, as they are.
fn inner(query: &Query, terms: &[Term], persons: &[String], form: Form) -> String {
    let mut select: Vec<String> = (0..)
        .zip(&query.dimensions)
        .map(|(at, dimension): (u32, _)| format!("{} AS d{at}", dimension.expression))
        .collect();
    let person = match persons {
        [one] => one.clone(),
        several => format!("coalesce({})", several.join(", ")),
    };
    select.push(format!("{person} AS p"));
    for (at, term) in terms.iter().enumerate() {
        let value = match (&term.kind, form) {
            (TermKind::Records, Form::Flat) => "1".to_owned(),
            (TermKind::Records, Form::PerPerson) => "count(*)".to_owned(),
            (TermKind::Filled { argument }, Form::Flat) => format!("({argument} IS NOT NULL)::integer"),
            (TermKind::Filled { argument }, Form::PerPerson) => format!("count({argument})"),
            (TermKind::Sum { argument, number, .. }, form) => {
                let value = match number {
                    Number::Whole => format!("{argument}::bigint"),
                    Number::Decimal => format!("{argument}::numeric"),
                };
                if form == Form::Flat { value } else { format!("sum({value})") }
            }
            (TermKind::Squares { argument, .. }, form) => {
                let value = format!("{argument}::numeric * {argument}::numeric");
                if form == Form::Flat { value } else { format!("sum({value})") }
            }
        };
        select.push(format!("{value} AS c{at}"));
    }
    let mut conditions = Vec::new();
    if let Some(filter) = &query.filter {
        conditions.push(format!("({filter}\n)"));
    }
    conditions.push(format!("{person} IS NOT NULL"));
    // What a row says about two people at once would be counted for one of them only.
    for (at, one) in persons.iter().enumerate() {
        for other in &persons[at + 1..] {
            conditions.push(format!("({one} IS NULL OR {other} IS NULL OR {one} = {other})"));
        }
    }
    let mut sql = format!("SELECT {}\nFROM {}\nWHERE {}", select.join(", "), query.from, conditions.join(" AND "));
    if form == Form::PerPerson {
        let by: Vec<String> = (1..=query.dimensions.len() + 1).map(|at| at.to_string()).collect();
        let _ = write!(sql, "\nGROUP BY {}", by.join(", "));
    }
    sql
}

/// The cells, with what protects them. Where the columns of each term begin is noted in the terms.
fn outer(query: &Query, terms: &mut [Term], ranks: &[String], kind: SubjectType, minimum: u32, inner: &str) -> String {
    let hash = match kind {
        SubjectType::Bigint => "pg_catalog.hashint8extended(p::bigint, 0)",
        SubjectType::Uuid => "pg_catalog.uuid_hash_extended(p, 0)",
        SubjectType::Text => "pg_catalog.hashtextextended(p COLLATE \"C\", 0)",
    };
    let dimensions: Vec<String> = (0..query.dimensions.len()).map(|at| format!("d{at}")).collect();
    let mut select = dimensions.clone();
    select.push("count(*)".to_owned());
    select.push(format!("sum({hash})"));
    select.extend(ranks.iter().cloned());
    for (at, term) in terms.iter_mut().enumerate() {
        term.at = select.len();
        select.push(format!("sum(c{at})"));
        select.push(format!("max(abs(c{at}))"));
        if term.kind != TermKind::Records {
            select.push(format!("sum(abs(c{at}))"));
            select.push(format!("count(*) FILTER (WHERE c{at} <> 0)"));
            select.push(format!("sum({hash}) FILTER (WHERE c{at} <> 0)"));
        }
    }
    let mut sql = format!("SELECT {}\nFROM ({inner}) AS contributions", select.join(", "));
    if !dimensions.is_empty() {
        let _ = write!(sql, "\nGROUP BY {}", dimensions.join(", "));
    }
    let _ = write!(sql, "\nHAVING count(*) >= {minimum}");
    sql
}
