//! What is done with a statement in a session: forwarded, rewritten so that it says whose rows come out, or refused.
//!
//! Out of scope: reading the text (`statement`), and what the server then attests (`shape`).
//!
//! PostgreSQL enforces what a role may read. What is refused here is refused because it could not be *accounted for* (rows
//! of which nobody could say whose they are), because it would run something that the server cannot confine, or because a
//! client that asks deserves a better answer than "relation does not exist".

use crate::{
    copy::CopyFormat,
    figures,
    session::engine::{AskedFor, CopyOut, Effect, Engine, Forward, Naming, Output, Refusal, Said, SaidKind, Treatment},
    shape::{Expected, Instance},
    view::View,
    wire::TransactionStatus,
};
use std::sync::Arc;
use vigie_policy::rights::RoleKind;
use vigie_statement::{
    Read, Relation, Statement, Write,
    reading::{CopyEncoding, CopySource, Names, Place, Shape, Transaction},
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

/// What is known when a statement arrives.
#[derive(Debug)]
pub struct Asked<'session> {
    /// The session.
    pub engine: &'session Engine,
    /// What it may see.
    pub view: &'session Arc<View>,
    /// Why it may see nothing, and the way out, if that is so.
    pub denied: Option<(&'session [String], &'session str)>,
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
        Statement::SetTransaction { .. } => forward(Forward::plain(sql)),
        Statement::Set { name, value, local } => about.set(name, value.as_deref(), *local),
        Statement::Reset { name } => match name.as_deref() {
            Some(name) if name.starts_with("vigie.") => about.set(name, None, false),
            Some(name) if SETTINGS.contains(&name) || name == "statement_timeout" => forward(Forward::plain(sql)),
            _ => about.refuse("this setting is the gateway's", "reset single settings of your own, such as TimeZone"),
        },
        Statement::Show { .. } => forward(Forward::plain(sql)),
        Statement::Declare { cursor, hold, binary, read, .. } => {
            if *hold {
                return about.refuse("a cursor WITH HOLD outlives its transaction", "declare it without WITH HOLD, in a transaction");
            }
            if *binary {
                return about.refuse("a BINARY cursor hides its formats", "ask for binary results by the extended protocol");
            }
            about.named(about.read(sql, read), Naming::Declare(cursor.clone()))
        }
        Statement::Fetch { cursor, .. } => match asked.engine.cursor(cursor) {
            Some(output) => forward(Forward { output, ..Forward::plain(sql) }),
            None => about.unknown("cursor", cursor, "34000"),
        },
        Statement::CloseCursor { name } => forward(Forward { naming: Naming::Close(name.clone()), ..Forward::plain(sql) }),
        Statement::Prepare { name, statement, .. } => {
            let inner = treat(sql, statement, fingerprint, asked);
            about.named(inner, Naming::Prepare(name.clone()))
        }
        Statement::Execute { name, .. } => match asked.engine.prepared(name) {
            Some(output) => forward(Forward { output, ..Forward::plain(sql) }),
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

    fn named(&self, treatment: Treatment, naming: Naming) -> Treatment {
        match treatment {
            Treatment::Forward(inner) => forward(Forward { naming, ..*inner }),
            Treatment::Refuse(refusal) => Treatment::Refuse(refusal),
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
            _ => None,
        };
        if let Some(what) = what {
            if local || self.asked.engine.status() != TransactionStatus::Idle {
                let hint = "end the transaction first; a purpose holds for whole transactions";
                return self.refusal("25001", format!("{name} cannot be changed within a transaction"), hint, Vec::new());
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
            name if SETTINGS.contains(&name) => forward(Forward::plain(self.sql)),
            "search_path" => self.refuse(
                "the search path decides what names mean",
                "write the schema before the name, or leave it out",
            ),
            _ => self.refuse(
                &format!("`{}` is not a setting that a client may change", name.escape_default()),
                "DateStyle, TimeZone and the like may be changed",
            ),
        }
    }

    /// Why these names do not pass, wherever they stand.
    fn dangerous(&self, names: &Names) -> Option<Treatment> {
        let function = names.functions.iter().find(|function| is_dangerous(&function.name))?;
        Some(self.refuse(
            &format!("function `{}` can show rows, or change what others see, past any policy", function.name),
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
            return self.figures(sql, relations);
        }
        if self.asked.view.kind == RoleKind::Aggregate {
            return self.refuse(
                "this purpose may count people, not see them",
                "ask for counts, sums and averages, grouped: SELECT country, count(*) FROM … GROUP BY country",
            );
        }
        if read.names.whole_row {
            return self.refuse("a row as one value hides which columns are read", "name the columns, or write alias.*");
        }
        if let Some((relation, _)) = governed.iter().find(|(relation, _)| relation.place != Place::From) {
            return self.refuse(
                &format!("rows of `{}` would be read without saying whose they are", relation.name),
                "join the table in FROM instead of a subquery, WITH or a set operation",
            );
        }
        let windowed = read.clauses.window && (read.clauses.limit || read.clauses.condition);
        match read.shape {
            Shape::Rows { appendable: true } if windowed && read.clauses.limit => {
                self.refuse("a window over rows that LIMIT cuts off shows those rows", "leave out LIMIT, or the window")
            }
            Shape::Rows { appendable: true } => self.rows(sql, read, &governed, relations),
            Shape::Distinct => self.refuse(
                "DISTINCT hides whose rows are shown",
                "ask for the rows, or for counts: SELECT column, count(*) FROM … GROUP BY column",
            ),
            Shape::Rows { appendable: false } | Shape::SetOperation | Shape::Constant | Shape::Aggregate => self.refuse(
                "whose rows come out of this statement cannot be told",
                "write a plain SELECT … FROM … JOIN … WHERE …",
            ),
        }
    }

    /// Makes sure that the subjects of all relations come out, and passes the statement on.
    fn rows(&self, sql: &str, read: &Read, governed: &[(usize, Instance)], relations: Vec<String>) -> Treatment
    where
    {
        let _ = (sql, read, governed, relations);
        unreachable!()
    }
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
