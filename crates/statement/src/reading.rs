//! What was found in a text: plain values, that may travel between processes and rest in a cache.
//!
//! They quote the text as written. Which table a name means is PostgreSQL's to say, since that depends on the search
//! path of the session; here a name is only known not to be that of a `WITH` query.

use std::{borrow::Cow, collections::BTreeSet, ops::Range};

use serde::{Deserialize, Serialize};

use crate::edit::Edit;

/// Longest text that is read, in bytes; checked before anything else looks at it.
pub const MAX_STATEMENT_BYTES: usize = 64 * 1024;

/// What one text of the simple protocol, or one Parse message, holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// In the order written; none for a text of blanks and comments, which PostgreSQL answers with EmptyQueryResponse.
    pub statements: Vec<Statement>,
    /// Where each statement stands in the text, in bytes, without the semicolon.
    pub spans: Vec<Range<u32>>,
}

impl Reading {
    /// Returns whether another text that differs from this one only in literals could be read differently.
    ///
    /// If not, whoever has this reading need not read the other ([`mod@crate::skeleton`]).
    pub fn is_literal_dependent(&self) -> bool {
        self.statements.iter().any(Statement::is_literal_dependent)
    }
}

/// One statement, by what it would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Statement {
    /// Reads and changes nothing, as far as its grammar says: `SELECT`, `VALUES`, `TABLE`. Functions may still do anything.
    Read(Read),
    /// Changes or locks rows.
    Write(Write),
    /// Begins or ends a transaction or a part of one.
    Transaction(Transaction),
    /// `SET name = …`, of a name in lower case.
    Set {
        /// In lower case, since PostgreSQL does not tell them apart.
        name: String,
        /// `None` for `DEFAULT`; lists are joined by a comma and a blank.
        value: Option<String>,
        /// `SET LOCAL`: until the transaction ends.
        local: bool,
    },
    /// `SET TRANSACTION …` and `SET SESSION CHARACTERISTICS AS TRANSACTION …`.
    SetTransaction {
        /// What is asked for.
        modes: TransactionModes,
        /// For all later transactions, not only this one.
        session: bool,
    },
    /// `RESET name`; all of them without a name.
    Reset {
        /// In lower case.
        name: Option<String>,
    },
    /// `SHOW name`; `all` for all of them.
    Show {
        /// In lower case.
        name: String,
    },
    /// `DECLARE cursor CURSOR FOR …`.
    Declare {
        /// The cursor.
        cursor: String,
        /// `WITH HOLD`: the cursor outlives its transaction, and is refused by whoever shares connections.
        hold: bool,
        /// `SCROLL`.
        scroll: bool,
        /// `BINARY`: rows come in binary whatever the client asked for.
        binary: bool,
        /// What the cursor reads.
        read: Box<Read>,
    },
    /// `FETCH` and `MOVE`.
    Fetch {
        /// The cursor.
        cursor: String,
        /// `MOVE`: passes over rows without returning them.
        moves: bool,
        /// How many rows, or `None` for all.
        count: Option<i64>,
        /// Forward, without an absolute or relative position.
        forward: bool,
    },
    /// `CLOSE name`; all of them without a name.
    CloseCursor {
        /// The cursor.
        name: Option<String>,
    },
    /// `PREPARE name (types) AS …`.
    Prepare {
        /// Of the prepared statement.
        name: String,
        /// How many types of parameters were given.
        n_types: u16,
        /// Reads or writes.
        statement: Box<Statement>,
    },
    /// `EXECUTE name (…)`, with arguments that are constants.
    Execute {
        /// Of the prepared statement.
        name: String,
        /// How many arguments were given.
        n_arguments: u16,
    },
    /// `DEALLOCATE name`; all of them without a name.
    Deallocate {
        /// Of the prepared statement.
        name: Option<String>,
    },
    /// `EXPLAIN …`.
    Explain {
        /// `ANALYZE`: runs the statement, and counts rows that policies hide.
        analyze: bool,
        /// `VERBOSE`: shows the policies' own expressions.
        verbose: bool,
        /// What is explained.
        statement: Box<Statement>,
    },
    /// `COPY … TO STDOUT`.
    CopyOut {
        /// What is copied.
        source: CopySource,
        /// How it is written.
        format: CopyFormat,
    },
    /// `COPY … FROM STDIN`.
    CopyIn {
        /// The table.
        relation: Relation,
        /// As written; empty for all.
        columns: Vec<String>,
        /// How it is read.
        format: CopyFormat,
    },
    /// Never allowed through a gate, whoever asks.
    Refused {
        /// Its name in SQL.
        what: Cow<'static, str>,
        /// Why.
        why: Cow<'static, str>,
    },
}

impl Statement {
    /// Returns whether a statement that differs from this one only in literals could be read differently.
    pub fn is_literal_dependent(&self) -> bool {
        match self {
            Statement::Read(read) => read.literal_dependent,
            Statement::Declare { read, .. } => read.literal_dependent,
            Statement::Write(write) => write.literal_dependent,
            Statement::Prepare { statement, .. } => statement.is_literal_dependent(),
            Statement::Transaction(_)
            | Statement::Reset { .. }
            | Statement::Show { .. }
            | Statement::CloseCursor { .. }
            | Statement::Execute { .. }
            | Statement::Deallocate { .. } => false,
            // Options are words or strings, counts and values are literals, and refusals may rest on either.
            Statement::Set { .. }
            | Statement::SetTransaction { .. }
            | Statement::Fetch { .. }
            | Statement::Explain { .. }
            | Statement::CopyOut { .. }
            | Statement::CopyIn { .. }
            | Statement::Refused { .. } => true,
        }
    }

    pub(crate) fn refused(what: impl Into<Cow<'static, str>>, why: impl Into<Cow<'static, str>>) -> Statement {
        Statement::Refused { what: what.into(), why: why.into() }
    }
}

/// What a query reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// Every relation named anywhere, once for each time it is named; names of `WITH` queries are not among them.
    pub relations: Vec<Relation>,
    /// What a row that comes out stands for.
    pub shape: Shape,
    /// Parts of the query that decide what may be made of it.
    pub clauses: Clauses,
    /// What comes out, as written, of the outermost query (the first one of a set operation).
    pub outputs: Vec<Output>,
    /// What was named anywhere in it besides relations.
    pub names: Names,
    /// What its columns are used for.
    pub uses: Uses,
    /// Highest number of a parameter; `$7` alone counts as seven.
    pub n_parameters: u16,
    /// Whether the same text with other literals could be read differently, as with `ORDER BY 1`.
    pub literal_dependent: bool,
    /// Where columns can be added; `None` if nowhere.
    pub(crate) append_at: Option<u32>,
    /// Replaces each `LIKE` of a plain prefix, in the order of the text.
    pub(crate) prefix_edits: Vec<Edit>,
}

/// What a row that comes out of a query stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// For one row of each relation in `FROM` (of the outer side of a join, or none).
    Rows {
        /// Whether columns of these relations can be added at the end.
        appendable: bool,
    },
    /// For all rows that are alike: `DISTINCT`.
    Distinct,
    /// For a group: `GROUP BY`, `HAVING`, or a built-in aggregate function in the outermost query.
    Aggregate,
    /// `UNION`, `INTERSECT`, `EXCEPT`.
    SetOperation,
    /// For no row of any relation: `VALUES`, or no `FROM`. Subqueries may still read.
    Constant,
}

/// Which clauses the outermost query has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clauses {
    /// `WITH`.
    pub with: bool,
    /// `WHERE`.
    pub condition: bool,
    /// `GROUP BY`.
    pub group_by: bool,
    /// `HAVING`.
    pub having: bool,
    /// `ORDER BY`.
    pub order_by: bool,
    /// `LIMIT`, `OFFSET` or `FETCH FIRST`.
    pub limit: bool,
    /// A window function, or a `WINDOW` clause.
    pub window: bool,
}

/// What was named anywhere in a statement besides relations, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// Functions, including those that hide in grammar such as `EXTRACT` and `CURRENT_USER`.
    pub functions: BTreeSet<QualifiedName>,
    /// Operators, also of `LIKE`, `IN` and `BETWEEN`.
    pub operators: BTreeSet<QualifiedName>,
    /// Types of casts: `regclass` reads the catalog.
    pub types: BTreeSet<QualifiedName>,
    /// Columns as written, part by part; `*` stands for itself, and a column whose name is a star does not occur.
    pub columns: BTreeSet<Vec<String>>,
    /// A row as a whole is used as a value: `row_to_json(u)`, `u::text`, `(u).email`, `u.*` in an expression.
    ///
    /// A column that is called like a relation counts too, since only the catalog tells them apart.
    pub whole_row: bool,
}

/// What columns are used for, other than coming out as they are.
///
/// A column that is only in a select list, by itself, is in none of these. A name is as written, part by part: one part
/// may also be the alias of an output, in `ORDER BY`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uses {
    /// Columns whose values decide something, or that something is computed from; also those of `USING`.
    pub values: BTreeSet<Vec<String>>,
    /// Pairs of columns that are compared by `=`, each by itself on its side.
    pub equalities: BTreeSet<(Vec<String>, Vec<String>)>,
    /// Outputs are sorted or grouped by their positions, as in `ORDER BY 1`.
    pub positions: bool,
    /// `NATURAL`: columns are compared that nobody names.
    pub natural: bool,
}

/// A name with the schema that was written before it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QualifiedName {
    /// As written; `None` if it was not.
    pub schema: Option<String>,
    /// In lower case unless it was quoted.
    pub name: String,
}

/// A table or view, once for each time it is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relation {
    /// As written; `None` if it was not.
    pub schema: Option<String>,
    /// In lower case unless it was quoted.
    pub name: String,
    /// What the rest of the statement calls it.
    pub alias: Option<String>,
    /// Whether the alias renames its columns too: `users AS u(a, b)`.
    pub renames_columns: bool,
    /// Where it stands.
    pub place: Place,
}

/// Where a relation stands, seen from the outermost query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// In `FROM`, alone or joined: its columns can be named by the outermost query.
    From,
    /// In `FROM`, in a join that has an alias of its own, which hides it.
    Hidden,
    /// In a subquery in `FROM`.
    Subquery,
    /// In a `WITH` query.
    With,
    /// In a subquery that is an expression, anywhere.
    Expression,
    /// In a side of a set operation.
    SetOperation,
    /// Written to.
    Target,
}

/// One entry of a select list, as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// What it is.
    pub value: OutputValue,
    /// The name given with `AS`.
    pub alias: Option<String>,
}

/// What an entry of a select list is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutputValue {
    /// A name of one to four parts. One part may be a column, or a row as a whole.
    Column(Vec<String>),
    /// `*`, or the parts before it.
    Star(Vec<String>),
    /// Anything else.
    Computed,
}

/// What a statement writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// By the outermost statement; [`WriteKind::Lock`] for a query that locks, [`WriteKind::With`] for a query whose
    /// `WITH` writes.
    pub kind: WriteKind,
    /// Every relation named anywhere; those written to have [`Place::Target`].
    pub relations: Vec<Relation>,
    /// Columns assigned anywhere in it, as written; none for an `INSERT` without a list.
    pub assigned: BTreeSet<String>,
    /// What comes out: of `RETURNING`, or of the query.
    pub outputs: Vec<Output>,
    /// `ON CONFLICT` anywhere in it, which tells whether a row exists.
    pub on_conflict: bool,
    /// What was named anywhere in it besides relations.
    pub names: Names,
    /// Highest number of a parameter.
    pub n_parameters: u16,
    /// As of [`Read::literal_dependent`].
    pub literal_dependent: bool,
}

/// How a statement writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriteKind {
    /// `INSERT`.
    Insert,
    /// `UPDATE`.
    Update,
    /// `DELETE`.
    Delete,
    /// `MERGE`.
    Merge,
    /// `SELECT … FOR UPDATE` and its weaker forms, anywhere in the statement.
    Lock,
    /// A query with a `WITH` that writes.
    With,
}

/// What a statement does to a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transaction {
    /// `BEGIN`, `START TRANSACTION`.
    Begin(TransactionModes),
    /// `COMMIT`, `END`.
    Commit {
        /// `AND CHAIN`: another begins at once.
        chain: bool,
    },
    /// `ROLLBACK`, `ABORT`.
    Rollback {
        /// `AND CHAIN`: another begins at once.
        chain: bool,
    },
    /// `SAVEPOINT name`.
    Savepoint(String),
    /// `RELEASE name`.
    Release(String),
    /// `ROLLBACK TO name`.
    RollbackTo(String),
}

/// What is asked of a transaction; `None` where nothing was said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionModes {
    /// In lower case: `serializable`, `repeatable read`, `read committed`, `read uncommitted`.
    pub isolation: Option<String>,
    /// `READ ONLY` or `READ WRITE`.
    pub read_only: Option<bool>,
    /// `DEFERRABLE` or `NOT DEFERRABLE`.
    pub deferrable: Option<bool>,
}

/// What a `COPY … TO STDOUT` copies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CopySource {
    /// A query.
    Query {
        /// What it reads.
        read: Box<Read>,
        /// Where it stands in the text, in bytes, without its parentheses.
        span: Range<u32>,
    },
    /// A table.
    Table {
        /// The table.
        relation: Relation,
        /// As written; empty for all.
        columns: Vec<String>,
    },
}

/// How rows are written by `COPY`; `None` for what PostgreSQL chooses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyFormat {
    /// Text unless said otherwise.
    pub encoding: CopyEncoding,
    /// The first line names the columns.
    pub header: bool,
    /// Between columns.
    pub delimiter: Option<String>,
    /// For what is unknown.
    pub null: Option<String>,
    /// Around values, CSV only.
    pub quote: Option<String>,
    /// Before a quote, CSV only.
    pub escape: Option<String>,
    /// Columns that are always quoted, CSV only.
    pub force_quote: Option<ForceQuote>,
}

/// The forms that `COPY` writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CopyEncoding {
    /// PostgreSQL's own, a line per row.
    #[default]
    Text,
    /// Comma-separated values.
    Csv,
    /// PostgreSQL's own, binary.
    Binary,
}

/// Columns that `COPY` quotes whether or not they need it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForceQuote {
    /// `*`.
    All,
    /// These.
    Columns(Vec<String>),
}

/// Why a text could not be read; whatever the reason, it is denied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Unreadable {
    /// Longer than [`MAX_STATEMENT_BYTES`].
    #[error("the statement has {n_bytes} bytes, at most {MAX_STATEMENT_BYTES} are read")]
    TooLong {
        /// Length of the text.
        n_bytes: u64,
    },
    /// PostgreSQL's grammar does not accept it. The message may quote the statement, so it is for its author only.
    #[error("PostgreSQL's grammar refuses the statement: {message}")]
    Syntax {
        /// The parser's own words, cut short after 200 bytes.
        message: String,
    },
    /// Expressions or queries within one another, deeper than is read (about 45 levels of expressions).
    #[error("the statement is nested too deeply to be read")]
    TooDeep,
    /// The grammar accepts it, but what it means was never considered here.
    #[error("the statement uses `{construct}`, which the gate does not know")]
    Unknown {
        /// The grammar's name for it.
        construct: String,
    },
    /// The process that read it died or took too long.
    #[error("reading the statement took longer than it may, or ended the process that read it")]
    Crashed,
    /// More statements wait to be read than [`crate::worker::MAX_WAITING`].
    #[error("too many statements wait to be read")]
    Busy,
}

impl Unreadable {
    /// Returns the way out, for whoever sent the statement.
    pub fn help(&self) -> &'static str {
        match self {
            Unreadable::TooLong { .. } => "send values as parameters, or load them with COPY",
            Unreadable::Syntax { .. } => "correct the statement; the grammar is that of PostgreSQL 18",
            Unreadable::TooDeep => "use a list such as `IN (…)` or `concat(…)`, or a parameter that is an array",
            Unreadable::Unknown { .. } => "write the statement without it, or ask the operator",
            Unreadable::Crashed => "simplify the statement, or ask the operator",
            Unreadable::Busy => "try again",
        }
    }
}
