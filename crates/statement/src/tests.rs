//! Statements and what is read in them, one line each.

use crate::{
    edit, read,
    reading::{CopySource, OutputValue, Place, Read, Relation, Shape, Statement, Unreadable, Write},
};

/// Says in one line what was read.
fn told(sql: &str) -> String {
    match read(sql) {
        Ok(reading) => reading.statements.iter().map(told_statement).collect::<Vec<_>>().join("; "),
        Err(Unreadable::Syntax { .. }) => "unreadable: syntax".to_owned(),
        Err(error) => format!("unreadable: {error}"),
    }
}

fn told_statement(it: &Statement) -> String {
    match it {
        Statement::Read(it) => told_read(it),
        Statement::Write(it) => told_write(it),
        Statement::Transaction(it) => format!("{it:?}"),
        Statement::Set { name, value, local } => {
            format!("set {name} = {}{}", value.as_deref().unwrap_or("default"), if *local { " local" } else { "" })
        }
        Statement::SetTransaction { modes, session } => format!("set transaction {modes:?} session={session}"),
        Statement::Reset { name } => format!("reset {}", name.as_deref().unwrap_or("all")),
        Statement::Show { name } => format!("show {name}"),
        Statement::Declare { cursor, hold, scroll, binary, read } => {
            format!("declare {cursor} hold={hold} scroll={scroll} binary={binary}: {}", told_read(read))
        }
        Statement::Fetch { cursor, moves, count, forward } => {
            format!("fetch {cursor} moves={moves} count={count:?} forward={forward}")
        }
        Statement::CloseCursor { name } => format!("close {}", name.as_deref().unwrap_or("all")),
        Statement::Prepare { name, n_types, statement } => format!("prepare {name}({n_types}): {}", told_statement(statement)),
        Statement::Execute { name, n_arguments } => format!("execute {name}({n_arguments})"),
        Statement::Deallocate { name } => format!("deallocate {}", name.as_deref().unwrap_or("all")),
        Statement::Explain { analyze, verbose, statement } => {
            format!("explain analyze={analyze} verbose={verbose}: {}", told_statement(statement))
        }
        Statement::CopyOut { source: CopySource::Query { read, .. }, format } => {
            format!("copy out {:?}: {}", format.encoding, told_read(read))
        }
        Statement::CopyOut { source: CopySource::Table { relation, columns }, format } => {
            format!("copy out {:?}: {} ({})", format.encoding, told_relation(relation), columns.join(","))
        }
        Statement::CopyIn { relation, columns, format } => {
            format!("copy in {:?}: {} ({})", format.encoding, told_relation(relation), columns.join(","))
        }
        Statement::Refused { what, .. } => format!("refused {what}"),
    }
}

fn told_read(it: &Read) -> String {
    let shape = match it.shape {
        Shape::Rows { appendable: true } => "rows+",
        Shape::Rows { appendable: false } => "rows",
        Shape::Distinct => "distinct",
        Shape::Aggregate => "aggregate",
        Shape::SetOperation => "set",
        Shape::Constant => "constant",
    };
    let whole_row = if it.names.whole_row { " whole-row" } else { "" };
    let dependent = if it.literal_dependent { " literals" } else { "" };
    let functions: Vec<_> = it.names.functions.iter().map(|it| it.name.as_str()).collect();
    let functions = if functions.is_empty() { String::new() } else { format!(" calls {}", functions.join(",")) };
    format!("{shape} of {}{functions}{whole_row}{dependent}", told_relations(&it.relations))
}

fn told_write(it: &Write) -> String {
    let conflict = if it.on_conflict { " on-conflict" } else { "" };
    format!("{:?} {} -> {}{conflict}", it.kind, told_relations(&it.relations), it.outputs.len())
}

fn told_relations(relations: &[Relation]) -> String {
    if relations.is_empty() { "nothing".to_owned() } else { relations.iter().map(told_relation).collect::<Vec<_>>().join(",") }
}

fn told_relation(it: &Relation) -> String {
    let schema = it.schema.as_ref().map(|it| format!("{it}.")).unwrap_or_default();
    let place = match it.place {
        Place::From => "",
        Place::Hidden => "@hidden",
        Place::Subquery => "@sub",
        Place::With => "@with",
        Place::Expression => "@expr",
        Place::SetOperation => "@set",
        Place::Target => "@target",
    };
    format!("{schema}{}{place}", it.name)
}

fn check(sql: &str, expected: &str) {
    assert_eq!(told(sql), expected, "{sql}");
}

#[test]
fn plain_reads_are_rows_to_which_columns_can_be_added() {
    check("SELECT id FROM users WHERE id = $1", "rows+ of users");
    check("select u.*, v.day from public.users u left join visits v on v.subject = u.id", "rows+ of public.users,visits");
    check("TABLE users", "rows of users");
    check("SELECT extract(year from born) FROM users", "rows+ of users calls extract");
    check("SELECT id FROM users ORDER BY 1", "rows+ of users literals");
    check("SELECT id, rank() OVER (ORDER BY age) FROM users", "rows+ of users calls rank");
    check("VALUES (1), (2)", "constant of nothing");
    check("SELECT 1", "constant of nothing");
    check("", "");
    check("-- nothing", "");
}
