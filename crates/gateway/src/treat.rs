//! What is done with a statement in a session: forwarded, rewritten so that it says whose rows come out, or refused.
//!
//! Out of scope: reading the text (`statement`), and what the server then attests (`shape`).
//!
//! PostgreSQL enforces what a role may read. What is refused here is refused because it could not be *accounted for* (rows
//! of which nobody could say whose they are), because it would run something that the server cannot confine, or because a
//! client that asks deserves a better answer than "relation does not exist".

use crate::{
    copy::CopyFormat,
    session::engine::{
        AskedFor, CopyOut, Effect, Engine, Forward, MOST_RELATIONS, Naming, Output, Refusal, Said, SaidKind, Treatment,
    },
    shape::{Expected, Instance},
    view::View,
    wire::TransactionStatus,
};
use std::sync::Arc;
use vigie_policy::rights::RoleKind;
use vigie_statement::{
    Read, Relation, Statement, Write,
    reading::{
        CopyEncoding, CopySource, Names, Output as ReadOutput, OutputValue, Place, QualifiedName, Shape, Transaction,
        WriteKind,
    },
};

/// Settings that a client may change for itself: how things are written, and bounds that only its own statements feel.
const SETTINGS: [&str; 17] = [
    "application_name",
    "client_min_messages",
    "datestyle",
    "intervalstyle",
    "timezone",
    "extra_float_digits",
    "bytea_output",
    "xmloption",
    "lock_timeout",
    "transaction_isolation",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "default_transaction_deferrable",
    "transaction_read_only",
    "transaction_deferrable",
    "geqo",
    "jit",
];

/// Functions over a window that show places, and nobody's values.
const RANKS: [&str; 6] = ["row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile"];

/// What is known when a statement arrives.
#[derive(Debug)]
pub struct Asked<'session> {
    /// The session.
    pub engine: &'session Engine,
    /// What it may see.
    pub view: &'session Arc<View>,
    /// Why it may see nothing, and the way out, if that is so.
    pub denied: Option<(&'session [String], &'session str)>,
    /// The tables that the ticket is for, and the ticket, if rights rest on one.
    pub tables: Option<(&'session [String], i64)>,
    /// Milliseconds that a statement may take at most.
    pub max_statement_ms: u64,
}

/// Returns what is done with one statement, whose text is `sql`. `fingerprint` is what the record knows it by.
pub fn treat(sql: &str, statement: &Statement, fingerprint: [u8; 32], asked: &Asked<'_>) -> Treatment {
    let about = About { sql, fingerprint, asked };
    match statement {
        Statement::Read(read) => about.read(sql, read),
        Statement::Write(write) => about.write(write),
        Statement::Transaction(transaction) => about.transaction(transaction),
        Statement::Set { name, value, local } => about.set(name, value.as_deref(), *local),
        Statement::Reset { name } => match name.as_deref() {
            Some(name) if name.starts_with("vigie.") => about.set(name, None, false),
            Some(name) if SETTINGS.contains(&name) || name == "statement_timeout" => forward(Forward::plain(sql)),
            _ => about.refuse("this setting is the gateway's", "reset single settings of your own, such as TimeZone"),
        },
        Statement::Show { .. } | Statement::SetTransaction { .. } => forward(Forward::plain(sql)),
        Statement::Declare { cursor, hold, binary, read, .. } => {
            if *hold {
                return about.refuse(
                    "a cursor WITH HOLD outlives its transaction",
                    "declare it without WITH HOLD, in a transaction",
                );
            }
            if *binary {
                return about
                    .refuse("a BINARY cursor hides its formats", "ask for binary results by the extended protocol");
            }
            About::named(about.read(sql, read), Naming::Declare(cursor.clone()))
        }
        Statement::Fetch { cursor, .. } => match asked.engine.cursor(cursor) {
            Some((output, relies)) => forward(Forward { output, relies: Some(relies), ..Forward::plain(sql) }),
            None => about.unknown("cursor", cursor, "34000"),
        },
        Statement::CloseCursor { name } => {
            forward(Forward { naming: Naming::Close(name.clone()), ..Forward::plain(sql) })
        }
        Statement::Prepare { name, statement, .. } => {
            let inner = treat(sql, statement, fingerprint, asked);
            About::named(inner, Naming::Prepare(name.clone()))
        }
        Statement::Execute { name, .. } => match asked.engine.prepared(name) {
            Some((output, relies)) => forward(Forward { output, relies: Some(relies), ..Forward::plain(sql) }),
            None => about.unknown("prepared statement", name, "26000"),
        },
        Statement::Deallocate { name } => {
            forward(Forward { naming: Naming::Deallocate(name.clone()), ..Forward::plain(sql) })
        }
        Statement::Explain { statement, .. } => {
            let _ = statement;
            about.refuse(
                "a plan tells of rows that may not be seen: how many there are, and what is filtered out",
                "ask the operator to explain the statement",
            )
        }
        Statement::CopyOut { source, format } => about.copy_out(source, format),
        Statement::CopyIn { .. } => about.refuse("COPY FROM does not pass the gateway", "use INSERT"),
        Statement::Refused { what, why } if what.starts_with("DISCARD") => {
            let _ = why;
            forward(Forward { effect: Effect::Discard, ..Forward::plain("DISCARD ALL") })
        }
        Statement::Refused { what, why } => about.refuse(&format!("{what} does not pass the gateway: {why}"), ""),
    }
}

fn forward(forward: Forward) -> Treatment {
    Treatment::Forward(Box::new(forward))
}

/// Returns the refusal of a text that could not be read.
pub fn unreadable(error: &vigie_statement::Unreadable, fingerprint: [u8; 32]) -> Refusal {
    let code = match error {
        vigie_statement::Unreadable::Syntax { .. } => "42601",
        vigie_statement::Unreadable::TooLong { .. } | vigie_statement::Unreadable::TooDeep => "54001",
        vigie_statement::Unreadable::Unknown { .. } => "0A000",
        vigie_statement::Unreadable::Crashed => "57014",
        vigie_statement::Unreadable::Busy => "53300",
    };
    Refusal {
        code,
        message: error.to_string(),
        hint: Some(error.help().to_owned()),
        reasons: vec!["unreadable".to_owned()],
        said: Arc::new(Said { fingerprint, relations: Vec::new(), kind: SaidKind::Record }),
    }
}

struct About<'a> {
    sql: &'a str,
    fingerprint: [u8; 32],
    asked: &'a Asked<'a>,
}

impl About<'_> {
    fn said(&self, relations: Vec<String>, kind: SaidKind) -> Arc<Said> {
        Arc::new(Said { fingerprint: self.fingerprint, relations, kind })
    }

    fn refusal(&self, code: &'static str, message: String, hint: &str, reasons: Vec<String>) -> Treatment {
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        let said = self.said(Vec::new(), SaidKind::Record);
        Treatment::Refuse(Box::new(Refusal { code, message, hint, reasons, said }))
    }

    fn refuse(&self, why: &str, hint: &str) -> Treatment {
        self.refusal("42501", format!("denied: {why}"), hint, vec![why.to_owned()])
    }

    fn unknown(&self, kind: &str, name: &str, code: &'static str) -> Treatment {
        let message = format!("{kind} \"{}\" does not exist", name.escape_default());
        self.refusal(code, message, "it may have gone with a change of purpose", vec![format!("unknown {kind}")])
    }

    fn named(treatment: Treatment, naming: Naming) -> Treatment {
        match treatment {
            Treatment::Forward(inner) => forward(Forward { naming, ..*inner }),
            other => other,
        }
    }

    fn transaction(&self, transaction: &Transaction) -> Treatment {
        match transaction {
            Transaction::Begin(_)
            | Transaction::Commit { .. }
            | Transaction::Rollback { .. }
            | Transaction::Savepoint(_)
            | Transaction::Release(_)
            | Transaction::RollbackTo(_) => forward(Forward::plain(self.sql)),
        }
    }

    fn set(&self, name: &str, value: Option<&str>, local: bool) -> Treatment {
        let what = match name {
            "vigie.purpose" => Some(AskedFor::Purpose),
            "vigie.ticket" => Some(AskedFor::Ticket),
            "vigie.reason" => Some(AskedFor::Reason),
            "vigie.figures" => Some(AskedFor::Figures),
            _ => None,
        };
        if let Some(what) = what {
            if local || self.asked.engine.status() != TransactionStatus::Idle {
                let hint = "end the transaction first; a purpose holds for whole transactions";
                return self.refusal(
                    "25001",
                    format!("{name} cannot be changed within a transaction"),
                    hint,
                    Vec::new(),
                );
            }
            let effect = Effect::Ask(vec![(what, value.map(str::to_owned))]);
            // The server takes any name with a dot, and no policy looks at it; so SHOW tells the truth.
            return forward(Forward { effect, ..Forward::plain(self.sql) });
        }
        let lower = value.unwrap_or_default().to_ascii_lowercase();
        match name {
            "client_encoding" | "names" if !["utf8", "utf-8", "unicode", ""].contains(&lower.as_str()) => {
                self.refuse("the gateway speaks UTF-8", "SET client_encoding = 'UTF8'")
            }
            "standard_conforming_strings" if lower != "on" => {
                self.refuse("texts are read with standard_conforming_strings = on", "write E'…' for escapes")
            }
            "client_encoding" | "names" | "standard_conforming_strings" => forward(Forward::plain(self.sql)),
            "statement_timeout" => match milliseconds(&lower) {
                Some(ms) if ms > 0 && ms <= self.asked.max_statement_ms => forward(Forward::plain(self.sql)),
                _ => self.refuse(
                    &format!("a statement may take {} ms at most", self.asked.max_statement_ms),
                    "ask for a shorter time",
                ),
            },
            name if SETTINGS.contains(&name) => {
                forward(Forward { asked_value: value.map(str::to_owned), ..Forward::plain(self.sql) })
            }
            "search_path" => self
                .refuse("the search path decides what names mean", "write the schema before the name, or leave it out"),
            _ => self.refuse(
                &format!("`{}` is not a setting that a client may change", name.escape_default()),
                "DateStyle, TimeZone and the like may be changed",
            ),
        }
    }

    /// Why these names do not pass, wherever they stand.
    fn dangerous(&self, names: &Names) -> Option<Treatment> {
        // `u.pg_sleep` calls a function, too, though it looks like a column.
        let called = names.functions.iter().map(|function| function.name.as_str());
        let columns =
            names.columns.iter().filter(|parts| parts.len() > 1).filter_map(|parts| Some(parts.last()?.as_str()));
        let function = called.chain(columns).find(|name| is_dangerous(name))?;
        Some(self.refuse(
            &format!(
                "function `{}` can show rows, or change what others see, past any policy",
                function.escape_default()
            ),
            "write the statement without it",
        ))
    }

    fn read(&self, sql: &str, read: &Read) -> Treatment {
        if let Some(refused) = self.dangerous(&read.names) {
            return refused;
        }
        let governed = match self.governed(&read.relations) {
            Ok(governed) => governed,
            Err(refused) => return refused,
        };
        if governed.is_empty() {
            return forward(Forward::plain(sql));
        }
        let relations: Vec<String> = governed.iter().map(|(_, instance)| instance.table.to_string()).collect();
        if read.shape == Shape::Aggregate {
            return Treatment::Figures(self.said(relations, SaidKind::Aggregate));
        }
        if self.asked.view.kind == RoleKind::Aggregate {
            return self.refuse(
                "this purpose may count people, not see them",
                "ask for counts, sums and averages, grouped: SELECT country, count(*) FROM … GROUP BY country",
            );
        }
        if governed.len() > MOST_RELATIONS {
            return self.refuse(
                &format!("a statement names at most {MOST_RELATIONS} tables of people"),
                "ask in several statements",
            );
        }
        if read.names.whole_row {
            return self
                .refuse("a row as one value hides which columns are read", "name the columns, or write alias.*");
        }
        if let Some(refused) = self.unknown_column(read, &governed).or_else(|| self.linked(read, &governed)) {
            return refused;
        }
        if let Some((relation, _)) = governed.iter().find(|(relation, _)| relation.place != Place::From) {
            return self.refuse(
                &format!("rows of `{}` would be read without saying whose they are", relation.name),
                "join the table in FROM instead of a subquery, WITH or a set operation",
            );
        }
        // In a row of one person, other functions over a window show what others have, also people who are held back, or
        // whose rows are never fetched.
        let only_ranks = |function: &QualifiedName| RANKS.contains(&function.name.as_str());
        if read.clauses.window && !read.names.functions.iter().all(only_ranks) {
            return self.refuse(
                "a window shows values of other people than the row's own",
                "use row_number(), rank() and the like alone, or ask for the rows",
            );
        }
        match read.shape {
            Shape::Rows { appendable: true } if read.clauses.window && read.clauses.limit => {
                self.refuse("a window over rows that LIMIT cuts off shows those rows", "leave out LIMIT, or the window")
            }
            Shape::Rows { appendable: true } => self.rows(sql, read, &governed, relations),
            Shape::Distinct => self.refuse(
                "DISTINCT hides whose rows are shown",
                "ask for the rows, or for counts: SELECT column, count(*) FROM … GROUP BY column",
            ),
            Shape::Rows { appendable: false } | Shape::SetOperation | Shape::Constant | Shape::Aggregate => self
                .refuse(
                    "whose rows come out of this statement cannot be told",
                    "write a plain SELECT … FROM … JOIN … WHERE …",
                ),
        }
    }

    /// Refuses what looks like a column of a table and is none: `u.row_to_json` calls a function with a whole row.
    fn unknown_column(&self, read: &Read, governed: &[(&Relation, Instance)]) -> Option<Treatment> {
        read.names.columns.iter().find_map(|parts| {
            let [.., of, name] = parts.as_slice() else { return None };
            let (relation, instance) = governed.iter().find(|(relation, _)| called(relation) == of)?;
            let known = self.asked.view.origins.get(&instance.oid)?;
            let is_known = name == "*" || known.columns.values().any(|column| column.name.as_str() == name);
            (!is_known && !relation.renames_columns).then(|| {
                let message = format!("column {of}.{} does not exist", name.escape_default());
                self.refusal(
                    "42703",
                    message,
                    "name a column that this purpose may use",
                    vec!["unknown column".to_owned()],
                )
            })
        })
    }

    /// Refuses what would tell whose pseudonym is whose: an id that only pseudonyms are shown of may come out by itself,
    /// and be compared with another such id, as joins do. `WHERE id = 17` would name the pseudonym of 17.
    fn linked(&self, read: &Read, governed: &[(&Relation, Instance)]) -> Option<Treatment> {
        let hidden: Vec<(&str, &str)> = governed
            .iter()
            .filter(|(_, instance)| self.is_pseudonymous(instance))
            .filter_map(|(relation, instance)| Some((called(relation), self.asked.view.subject_name(instance)?)))
            .collect();
        if hidden.is_empty() {
            return None;
        }
        let is_hidden = |parts: &[String]| match parts {
            [] => false,
            [name] => hidden.iter().any(|(_, column)| column == name),
            [.., of, name] => hidden.iter().any(|(called, column)| called == of && column == name),
        };
        let shown = |output: &&ReadOutput| match &output.value {
            OutputValue::Column(parts) => is_hidden(parts),
            OutputValue::Star(_) => true,
            OutputValue::Computed => false,
        };
        let aliases: Vec<&str> =
            read.outputs.iter().filter(shown).filter_map(|output| output.alias.as_deref()).collect();
        let is_alias = |parts: &Vec<String>| matches!(parts.as_slice(), [name] if aliases.contains(&name.as_str()));
        let links = read.uses.values.iter().any(|parts| is_hidden(parts) || is_alias(parts))
            || read.uses.equalities.iter().any(|(one, other)| is_hidden(one) != is_hidden(other))
            || read.uses.natural
            || (read.uses.positions && read.outputs.iter().any(|output| shown(&output)))
            || governed.iter().any(|(relation, _)| relation.renames_columns);
        links.then(|| {
            self.refuse(
                "ids are shown as pseudonyms for this purpose, and this would tell whose is whose",
                "show ids by themselves and join by them: a.id = b.subject; do not compare, sort or compute with them",
            )
        })
    }

    fn is_pseudonymous(&self, instance: &Instance) -> bool {
        let origin = self.asked.view.origins.get(&instance.oid);
        origin.and_then(|origin| origin.columns.get(&instance.subject)).is_none_or(|column| !column.plain)
    }

    /// Makes sure that the subjects of all relations come out, and passes the statement on.
    fn rows(&self, sql: &str, read: &Read, governed: &[(&Relation, Instance)], relations: Vec<String>) -> Treatment {
        let subjects: Vec<(usize, &str)> = governed
            .iter()
            .filter_map(|(relation, instance)| {
                let index = read.relations.iter().position(|it| std::ptr::eq(it, *relation))?;
                Some((index, self.asked.view.subject_name(instance)?))
            })
            .collect();
        let Some(appended) = read.with_columns_appended(sql, &subjects).filter(|_| subjects.len() == governed.len())
        else {
            return self.refuse(
                "whose rows come out of this statement cannot be told",
                "give each table in FROM a name of its own",
            );
        };
        let mut edits = appended.edits;
        if self.asked.view.prefix_operators {
            edits.extend_from_slice(read.prefix_edits());
        }
        edits.sort_by_key(|edit| edit.at);
        let Some(sql) = vigie_statement::edit::apply(sql, &edits) else {
            return self.refuse("the statement could not be rewritten", "write it more plainly");
        };
        let instances = governed.iter().map(|(_, instance)| instance.clone()).collect();
        let output = Output {
            expected: Arc::new(Expected::People { instances, appended: true }),
            cells: None,
            copy: None,
            said: Some(self.said(relations, SaidKind::Record)),
        };
        forward(Forward { edits, output, ..Forward::plain(sql) })
    }

    /// Returns the relations that hold people, each with what the server will call it.
    fn governed<'read>(&self, relations: &'read [Relation]) -> Result<Vec<(&'read Relation, Instance)>, Treatment> {
        let mut governed = Vec::new();
        for relation in relations {
            let schema = relation.schema.as_deref();
            match self.asked.view.find(schema, &relation.name) {
                Some((oid, origin)) => {
                    if let Some(subject) = origin.subject {
                        governed.push((relation, Instance { oid, subject, table: origin.table.clone() }));
                    }
                }
                None => self.not_found(schema, &relation.name)?,
            }
        }
        if let Some((allowed, _)) = self.asked.tables
            && let Some((_, outside)) = governed.iter().find(|(_, it)| !allowed.contains(&it.table.to_string()))
        {
            return Err(self.refuse(
                &format!("the ticket is not for `{}`", outside.table),
                "ask for a ticket that names the table",
            ));
        }
        Ok(governed)
    }

    /// Says why a table of the data map is not to be found; others are the server's to refuse.
    fn not_found(&self, schema: Option<&str>, name: &str) -> Result<(), Treatment> {
        let view = self.asked.view;
        let table = view.map_tables.iter().find(|table| {
            table.name == name
                && schema.is_none_or(|schema| schema == table.schema.as_str() || schema == view.role.as_str())
        });
        let Some(table) = table else { return Ok(()) };
        if let Some((reasons, help)) = self.asked.denied {
            let message = format!("denied: `{table}` is about people, and {}", reasons.join("; "));
            return Err(self.refusal("42501", message, help, reasons.to_vec()));
        }
        if schema.is_some() && view.own.contains_key(name) {
            return Err(self.refuse(
                &format!("`{table}` is reached by its own name only"),
                &format!("write \"{name}\" without a schema"),
            ));
        }
        Err(self.refuse(&format!("this purpose may not use `{table}`"), "see `vigie policy table` for what it may use"))
    }

    fn write(&self, write: &Write) -> Treatment {
        if let Some(refused) = self.dangerous(&write.names) {
            return refused;
        }
        let governed = match self.governed(&write.relations) {
            Ok(governed) => governed,
            Err(refused) => return refused,
        };
        if governed.is_empty() {
            return forward(Forward::plain(self.sql));
        }
        match write.kind {
            WriteKind::Lock => return self.refuse("rows are locked only by writing them", "leave out FOR UPDATE"),
            WriteKind::With => {
                return self.refuse("a WITH that writes does not pass the gateway", "write in a statement of its own");
            }
            WriteKind::Insert | WriteKind::Update | WriteKind::Delete | WriteKind::Merge => {}
        }
        if write.on_conflict || write.kind == WriteKind::Merge {
            return self.refuse(
                "ON CONFLICT and MERGE tell whether a row exists that may not be seen",
                "use UPDATE, then INSERT",
            );
        }
        if let Some((relation, _)) = governed.iter().find(|(relation, _)| relation.place != Place::Target) {
            return self.refuse(
                &format!("rows of `{}` would be read without saying whose they are", relation.name),
                "write from values, not from a query",
            );
        }
        if !write.outputs.is_empty() && governed.iter().any(|(_, instance)| self.is_pseudonymous(instance)) {
            return self.refuse("RETURNING would tell whose pseudonym is whose", "leave out RETURNING");
        }
        let relations: Vec<String> = governed.iter().map(|(_, instance)| instance.table.to_string()).collect();
        let expected = if write.outputs.is_empty() {
            Expected::Nobody
        } else {
            let instances = governed.into_iter().map(|(_, instance)| instance).collect();
            Expected::People { instances, appended: false }
        };
        let said = Some(self.said(relations, SaidKind::Write));
        let output = Output { expected: Arc::new(expected), cells: None, copy: None, said };
        forward(Forward { output, ..Forward::plain(self.sql) })
    }

    fn copy_out(&self, source: &CopySource, format: &vigie_statement::reading::CopyFormat) -> Treatment {
        let byte = |text: &Option<String>, default: u8| match text.as_deref().map(str::as_bytes) {
            None => Some(default),
            Some([byte]) => Some(*byte),
            Some(_) => None,
        };
        let null = |default: &str| format.null.clone().unwrap_or_else(|| default.to_owned()).into_bytes();
        let written = match format.encoding {
            CopyEncoding::Text => {
                byte(&format.delimiter, b'\t').map(|delimiter| CopyFormat::Text { delimiter, null: null("\\N") })
            }
            CopyEncoding::Csv if format.force_quote.is_none() => (|| {
                let quote = byte(&format.quote, b'"')?;
                let escape = byte(&format.escape, quote)?;
                Some(CopyFormat::Csv { delimiter: byte(&format.delimiter, b',')?, null: null(""), quote, escape })
            })(),
            CopyEncoding::Csv | CopyEncoding::Binary => None,
        };
        let Some(written) = written else {
            return self
                .refuse("only COPY's text and CSV formats pass the gateway", "leave out BINARY and FORCE_QUOTE");
        };
        let copy = Some(CopyOut { format: written, header: format.header });
        let inner = match source {
            CopySource::Query { read, span } => match self.read(self.sql, read) {
                Treatment::Forward(mut inner) => {
                    let grown = inner.sql.len() - self.sql.len();
                    let cut = inner.sql.get(span.start as usize..span.end as usize + grown).map(str::to_owned);
                    let Some(cut) = cut else { return self.refuse("the query could not be taken out of COPY", "") };
                    inner.sql = cut;
                    inner
                }
                other => return other,
            },
            CopySource::Table { relation, columns } => match self.whole_table(relation, columns) {
                Ok(inner) => inner,
                Err(refused) => return refused,
            },
        };
        let output = Output { copy, ..inner.output };
        forward(Forward { output, ..*inner })
    }

    fn whole_table(&self, relation: &Relation, columns: &[String]) -> Result<Box<Forward>, Treatment> {
        let governed = self.governed(std::slice::from_ref(relation))?;
        let name = match &relation.schema {
            Some(schema) => format!("{}.{}", quoted(schema), quoted(&relation.name)),
            None => quoted(&relation.name),
        };
        let names: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
        let names = if names.is_empty() { "*".to_owned() } else { names.join(", ") };
        let Some((_, instance)) = governed.first() else {
            return Ok(Box::new(Forward::plain(format!("SELECT {names} FROM {name}"))));
        };
        let view = self.asked.view;
        if view.kind == RoleKind::Aggregate {
            return Err(self.refuse("this purpose may count people, not see them", "ask for counts, grouped"));
        }
        let subject = view.subject_name(instance).unwrap_or_default();
        let sql = format!("SELECT {names}, {} AS \"vigie 1\" FROM {name}", quoted(subject));
        let output = Output {
            expected: Arc::new(Expected::People { instances: vec![instance.clone()], appended: true }),
            cells: None,
            copy: None,
            said: Some(self.said(vec![instance.table.to_string()], SaidKind::Record)),
        };
        Ok(Box::new(Forward { output, ..Forward::plain(sql) }))
    }
}

/// Returns what the rest of a statement calls a relation.
fn called(relation: &Relation) -> &str {
    relation.alias.as_deref().unwrap_or(&relation.name)
}

fn quoted(name: &str) -> String {
    vigie_statement::edit::quoted(name)
}

/// Tells whether a function can show rows past a policy, change what other sessions see, or stall the server.
///
/// The server's grants refuse these too, where the operator may revoke them; this list stands where they may not.
fn is_dangerous(name: &str) -> bool {
    const BEGINNINGS: [&str; 24] = [
        "pg_read_",
        "pg_ls_",
        "pg_stat_get_",
        "pg_stat_reset",
        "pg_advisory_",
        "pg_try_advisory_",
        "pg_logical_",
        "pg_create_",
        "pg_drop_",
        "pg_replication_",
        "pg_sleep",
        "pg_export_",
        "pg_rotate_",
        "pg_reload_",
        "pg_wal",
        "pg_current_wal",
        "pg_switch_",
        "lo_",
        "dblink",
        "crosstab",
        "connectby",
        "pg_backup_",
        "pg_promote",
        "pg_log_",
    ];
    const NAMES: [&str; 20] = [
        "set_config",
        "pg_notify",
        "ts_stat",
        "ts_rewrite",
        "pg_cancel_backend",
        "pg_terminate_backend",
        "pg_get_viewdef",
        "pg_get_ruledef",
        "pg_get_functiondef",
        "pg_file_write",
        "pg_file_read",
        "setval",
        "nextval",
        "currval",
        "lastval",
        "loread",
        "lowrite",
        "txid_current",
        "pg_current_xact_id",
        "query_to_json",
    ];
    let name = name.to_ascii_lowercase();
    NAMES.contains(&name.as_str())
        || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
        || name.contains("_to_xml")
        || (name.starts_with("pg_") && name.ends_with("_size"))
}

fn milliseconds(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let number: u64 = digits.trim().parse().ok()?;
    let unit = text[digits.len()..].trim();
    match unit {
        "" | "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "min" => number.checked_mul(60_000),
        _ => None,
    }
}
