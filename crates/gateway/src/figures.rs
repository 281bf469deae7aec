//! Questions about many, from a session: what a role may ask for, and a question as it is sent and answered.
//!
//! Out of scope: what protects an answer (`aggregate`).

use crate::{
    aggregate::{
        CellKeys, ColumnUse, Figures, NoiseTable, Number, PerPerson, Plan, Query, Rules, RulesError, Subject, Table,
    },
    config,
    session::engine::{Forward, Output, Refusal, Said},
    shape::Expected,
    view::{Known, Unique, View},
};
use std::{collections::BTreeMap, sync::Arc};
use vigie_policy::{
    Compiled,
    map::{Class, SubjectType},
    rights::Role,
};
use vigie_statement::aggregate::{AggregateQuery, NotAggregate};

/// Returns what figures a role may ask for; `None` if none.
///
/// Ids of people, sealed and restricted columns are in no figure. A person has at most one row of a table whose subject is
/// unique, by `unique`.
///
/// # Errors
///
/// If the configured rules would not protect.
pub fn rules(
    compiled: &Compiled,
    role: &Role,
    known: &[Known],
    unique: &[Unique],
    given: &config::Aggregates,
) -> Result<Option<Rules>, RulesError> {
    let mut tables = BTreeMap::new();
    for table in &compiled.map.tables {
        let Some(found) =
            known.iter().find(|it| it.name.schema.as_str() == role.name.as_str() && it.name.name == table.name.name)
        else {
            continue;
        };
        let subject = table.subject();
        let columns = table.columns.iter().filter(|column| {
            let identifies = column.class == Class::Restricted || column.sealed || subject == Some(&column.name);
            !identifies && (subject.is_none() || role.rights.may_aggregate(&table.name, &column.name))
        });
        let columns: BTreeMap<String, ColumnUse> = columns
            .filter_map(|column| {
                let kind = found.columns.iter().find(|it| it.name == column.name)?.kind.as_str();
                let usage = match kind {
                    "int2" | "int4" | "int8" => ColumnUse::Both(Number::Whole),
                    "numeric" | "float4" | "float8" => ColumnUse::Both(Number::Decimal),
                    _ => ColumnUse::Dimension,
                };
                Some((column.name.as_str().to_owned(), usage))
            })
            .collect();
        if columns.is_empty() {
            continue;
        }
        let one = |subject: &str| unique.iter().any(|it| it.table == table.name && it.column.as_str() == subject);
        let subject = subject.map(|subject| Subject {
            column: subject.as_str().to_owned(),
            kind: match compiled.map.subject_type {
                SubjectType::Bigint => crate::aggregate::SubjectType::Bigint,
                SubjectType::Uuid => crate::aggregate::SubjectType::Uuid,
                SubjectType::Text => crate::aggregate::SubjectType::Text,
            },
            rows: if one(subject.as_str()) { PerPerson::OneRow } else { PerPerson::ManyRows },
        });
        tables.insert(table.name.to_string(), Table { subject, columns });
    }
    if !tables.values().any(|table| table.subject.is_some()) {
        return Ok(None);
    }
    let minimum = u32::from(given.min_cohort);
    let noise = if given.noise { NoiseTable::for_minimum(minimum) } else { NoiseTable::none() };
    Rules::new(tables).protected_by(minimum, noise, given.dominance_percent).map(Some)
}

/// A question that may be asked: as it is sent, what it costs, and of which dataset.
#[derive(Debug)]
pub struct Question {
    /// As it is sent.
    pub forward: Box<Forward>,
    /// What it costs of a reader's budget, each time that it is asked.
    pub cost: u32,
}

/// Plans a question that was taken apart.
///
/// # Errors
///
/// The refusal.
pub fn plan(
    asked: Result<AggregateQuery, NotAggregate>,
    view: &View,
    said: Arc<Said>,
    keys: CellKeys,
) -> Result<Question, Box<Refusal>> {
    let refuse = |code: &'static str, message: String, hint: String| {
        let reasons = vec![message.clone()];
        Err(Box::new(Refusal { code, message, hint: Some(hint), reasons, said: said.clone() }))
    };
    let Some(rules) = &view.figures else {
        let hint = "`vigie policy table` shows which purposes may count";
        return refuse("42501", "denied: this purpose makes no figures".to_owned(), hint.to_owned());
    };
    let asked = match asked {
        Ok(asked) => asked,
        Err(NotAggregate::Unreadable(error)) => return refuse("42601", error.to_string(), error.help().to_owned()),
        Err(NotAggregate::Refused { what, help }) => {
            return refuse("42501", format!("denied: figures only, and {what}"), help);
        }
    };
    let table = |relation: &vigie_statement::Relation| {
        view.find(relation.schema.as_deref(), &relation.name).map(|(_, origin)| origin.table.to_string())
    };
    let planned = Query::of(&asked, table).and_then(|query| Plan::of(&query, rules));
    let plan = match planned {
        Ok(plan) => Arc::new(plan),
        Err(refusal) => return refuse("42501", refusal.to_string(), refusal.help().to_owned()),
    };
    let cost = plan.cost();
    let sql = plan.sql().to_owned();
    let cells = Figures::new(plan, keys);
    let output =
        Output { expected: Arc::new(Expected::Figures), cells: Some(Arc::new(cells)), copy: None, said: Some(said) };
    Ok(Question { forward: Box::new(Forward { output, ..Forward::plain(sql) }), cost })
}
