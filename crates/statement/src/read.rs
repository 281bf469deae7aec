//! From a text to its reading: one call of PostgreSQL's parser, then one walk per statement.

use std::ops::Range;

use pg_query::{
    NodeEnum,
    protobuf::{
        CopyStmt, DeclareCursorStmt, ExplainStmt, FetchDirection, FetchStmt, Node, SelectStmt, SetOperation,
        TransactionStmt, TransactionStmtKind, VariableSetKind, VariableSetStmt, a_const::Val,
    },
};

use crate::{
    edit::{self, Edit, Tokens},
    reading::{
        Clauses, CopyEncoding, CopyFormat, CopySource, ForceQuote, MAX_STATEMENT_BYTES, Place, Read, Reading, Shape,
        Statement, Transaction, TransactionModes, Unreadable, Write, WriteKind,
    },
    refusal,
    walk::{Walk, integer, offset, outputs, relation, text, unknown, unknown_node},
};

/// Reads a text of any number of statements, in this process.
///
/// The parser is C: on text from strangers use [`crate::worker::Pool`].
///
/// # Errors
///
/// [`Unreadable`] if it is longer than [`MAX_STATEMENT_BYTES`], or any part of it cannot be read; never a part of a reading.
pub fn read(sql: &str) -> Result<Reading, Unreadable> {
    let tree = parse(sql)?;
    let tokens = Tokens::new(sql);
    let mut reading = Reading { statements: Vec::new(), spans: Vec::new() };
    for raw in &tree.stmts {
        let start = offset(raw.stmt_location)?;
        let end = if raw.stmt_len == 0 { sql.len() as u32 } else { start + offset(raw.stmt_len)? };
        let node =
            raw.stmt.as_ref().and_then(|it| it.node.as_ref()).ok_or_else(|| unknown("a statement that is nothing"))?;
        let text = Text { sql, span: start..end, tokens: &tokens };
        reading.statements.push(text.statement(node)?);
        reading.spans.push(text.span);
    }
    Ok(reading)
}

/// How deep comments may stand within one another: over thousands the scanner takes seconds.
const MAX_COMMENT_DEPTH: usize = 64;

/// How much of the parser's words is kept, in bytes: they may quote all of the statement.
const MAX_MESSAGE_BYTES: usize = 200;

/// Returns the tree of a text, after its bounds were checked.
pub(crate) fn parse(sql: &str) -> Result<pg_query::protobuf::ParseResult, Unreadable> {
    if sql.len() > MAX_STATEMENT_BYTES {
        return Err(Unreadable::TooLong { n_bytes: sql.len() as u64 });
    }
    if comment_depth(sql) > MAX_COMMENT_DEPTH {
        return Err(Unreadable::TooDeep);
    }
    match pg_query::parse(sql, 0) {
        Ok(result) => Ok(result.protobuf),
        // The tree is decoded to a depth of 100; nothing else is ever wrong with what the parser encoded.
        Err(pg_query::Error::Decode(_)) => Err(Unreadable::TooDeep),
        Err(pg_query::Error::Parse(message)) if message.contains("stack depth") => Err(Unreadable::TooDeep),
        Err(pg_query::Error::Parse(mut message)) => {
            message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
            Err(Unreadable::Syntax { message })
        }
        Err(other) => Err(Unreadable::Syntax { message: other.to_string() }),
    }
}

/// Returns how deep comments stand within one another, or look as if they did, in strings for instance.
fn comment_depth(sql: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = sql.as_bytes();
    while let [first, rest @ ..] = bytes {
        match (first, rest.first()) {
            (b'/', Some(b'*')) => {
                depth += 1;
                deepest = deepest.max(depth);
                bytes = &rest[1..];
            }
            (b'*', Some(b'/')) => {
                depth = depth.saturating_sub(1);
                bytes = &rest[1..];
            }
            _ => bytes = rest,
        }
    }
    deepest
}

/// A statement in its text.
struct Text<'a> {
    sql: &'a str,
    span: Range<u32>,
    tokens: &'a Tokens<'a>,
}

impl Text<'_> {
    fn statement(&self, node: &NodeEnum) -> Result<Statement, Unreadable> {
        Ok(match node {
            NodeEnum::SelectStmt(it) if it.into_clause.is_some() => {
                Statement::refused("SELECT INTO", "it makes a copy that no policy governs")
            }
            NodeEnum::SelectStmt(it) => self.query(it)?,
            NodeEnum::InsertStmt(_) | NodeEnum::UpdateStmt(_) | NodeEnum::DeleteStmt(_) | NodeEnum::MergeStmt(_) => {
                Statement::Write(write(node)?)
            }
            NodeEnum::TransactionStmt(it) => transaction(it)?,
            NodeEnum::VariableSetStmt(it) => set(it)?,
            NodeEnum::VariableShowStmt(it) => Statement::Show { name: it.name.to_lowercase() },
            NodeEnum::DeclareCursorStmt(it) => self.declare(it)?,
            NodeEnum::FetchStmt(it) => fetch(it),
            NodeEnum::ClosePortalStmt(it) => {
                Statement::CloseCursor { name: (!it.portalname.is_empty()).then(|| it.portalname.clone()) }
            }
            NodeEnum::PrepareStmt(it) => {
                let n_types = it.argtypes.len() as u16;
                match self.inner(it.query.as_deref())? {
                    statement @ (Statement::Read(_) | Statement::Write(_)) => {
                        Statement::Prepare { name: it.name.clone(), n_types, statement: Box::new(statement) }
                    }
                    refused => as_refused(refused, "PREPARE"),
                }
            }
            NodeEnum::ExecuteStmt(it) => {
                if it.params.iter().all(is_constant) {
                    Statement::Execute { name: it.name.clone(), n_arguments: it.params.len() as u16 }
                } else {
                    Statement::refused("EXECUTE", "an argument of it is not a constant")
                }
            }
            NodeEnum::DeallocateStmt(it) => {
                Statement::Deallocate { name: (!it.isall && !it.name.is_empty()).then(|| it.name.clone()) }
            }
            NodeEnum::ExplainStmt(it) => self.explain(it)?,
            NodeEnum::CopyStmt(it) => self.copy(it)?,
            other => refusal::refuse(other),
        })
    }

    /// Returns what stands inside of another statement.
    fn inner(&self, node: Option<&Node>) -> Result<Statement, Unreadable> {
        let node = node.and_then(|it| it.node.as_ref()).ok_or_else(|| unknown("a statement inside that is nothing"))?;
        self.statement(node)
    }

    fn query(&self, it: &SelectStmt) -> Result<Statement, Unreadable> {
        let mut walk = Walk::default();
        walk.select(it, Place::From)?;
        walk.finish();
        let first = first_operand(it);
        let outputs = outputs(&first.target_list)?;
        if walk.writes || walk.locks {
            return Ok(Statement::Write(Write {
                kind: if walk.writes { WriteKind::With } else { WriteKind::Lock },
                relations: walk.relations,
                assigned: walk.assigned,
                outputs,
                on_conflict: walk.on_conflict,
                names: walk.names,
                n_parameters: walk.n_parameters,
                literal_dependent: walk.literal_dependent,
            }));
        }
        let shape = if is_set(it) {
            Shape::SetOperation
        } else if !it.distinct_clause.is_empty() {
            Shape::Distinct
        } else if !it.group_clause.is_empty() || it.having_clause.is_some() || walk.aggregates {
            Shape::Aggregate
        } else if it.from_clause.is_empty() {
            Shape::Constant
        } else {
            Shape::Rows { appendable: false }
        };
        let mut append_at = None;
        if matches!(shape, Shape::Rows { .. }) && walk.relations.iter().any(|it| it.place == Place::From) {
            append_at = self.end_of_outputs(it);
        }
        let shape = if append_at.is_some() { Shape::Rows { appendable: true } } else { shape };
        let prefix_edits = self.prefix_edits(&walk.prefixes);
        Ok(Statement::Read(Read {
            prefix_edits,
            relations: walk.relations,
            shape,
            clauses: Clauses {
                with: it.with_clause.is_some(),
                condition: it.where_clause.is_some(),
                group_by: !it.group_clause.is_empty(),
                having: it.having_clause.is_some(),
                order_by: !it.sort_clause.is_empty(),
                limit: it.limit_count.is_some() || it.limit_offset.is_some(),
                window: walk.windows,
            },
            outputs,
            names: walk.names,
            uses: walk.uses,
            n_parameters: walk.n_parameters,
            literal_dependent: walk.literal_dependent,
            append_at,
        }))
    }

    fn declare(&self, it: &DeclareCursorStmt) -> Result<Statement, Unreadable> {
        // The bits of `CURSOR_OPT_…` in PostgreSQL's `nodes/parsenodes.h`.
        const BINARY: i32 = 0x01;
        const SCROLL: i32 = 0x02;
        const HOLD: i32 = 0x20;
        Ok(match self.inner(it.query.as_deref())? {
            Statement::Read(read) => Statement::Declare {
                cursor: it.portalname.clone(),
                hold: it.options & HOLD != 0,
                scroll: it.options & SCROLL != 0,
                binary: it.options & BINARY != 0,
                read: Box::new(read),
            },
            other => as_refused(other, "DECLARE"),
        })
    }

    fn explain(&self, it: &ExplainStmt) -> Result<Statement, Unreadable> {
        let (mut analyze, mut verbose) = (false, false);
        for option in &it.options {
            let Some(NodeEnum::DefElem(option)) = &option.node else { return Err(unknown_node(option.node.as_ref())) };
            match option.defname.as_str() {
                // Said twice, the last one counts in PostgreSQL; here it is enough that it was asked for once.
                "analyze" => analyze |= is_on(option.arg.as_deref()),
                "verbose" => verbose |= is_on(option.arg.as_deref()),
                "costs" | "format" | "buffers" | "timing" | "summary" => {}
                other => return Ok(Statement::refused("EXPLAIN", format!("its option `{other}` is not known here"))),
            }
        }
        Ok(match self.inner(it.query.as_deref())? {
            statement @ (Statement::Read(_) | Statement::Write(_) | Statement::Execute { .. }) => {
                Statement::Explain { analyze, verbose, statement: Box::new(statement) }
            }
            other => as_refused(other, "EXPLAIN"),
        })
    }

    fn copy(&self, it: &CopyStmt) -> Result<Statement, Unreadable> {
        if it.is_program {
            return Ok(Statement::refused("COPY PROGRAM", "it runs a program on the database server"));
        }
        if !it.filename.is_empty() {
            return Ok(Statement::refused("COPY with a file", "it reads or writes files of the database server"));
        }
        if it.where_clause.is_some() {
            return Ok(Statement::refused("COPY … WHERE", "conditions on what is loaded are not known here"));
        }
        let format = match copy_format(&it.options, it.is_from)? {
            Ok(format) => format,
            Err(option) => return Ok(Statement::refused("COPY", format!("its option `{option}` is not known here"))),
        };
        let columns = it.attlist.iter().filter_map(text).map(str::to_owned).collect();
        Ok(match (&it.relation, &it.query, it.is_from) {
            (Some(table), None, true) => {
                Statement::CopyIn { relation: relation(table, Place::Target)?, columns, format }
            }
            (Some(table), None, false) => {
                let source = CopySource::Table { relation: relation(table, Place::From)?, columns };
                Statement::CopyOut { source, format }
            }
            (None, Some(query), false) => match self.inner(Some(query))? {
                Statement::Read(read) => {
                    let span = self.copied()?;
                    Statement::CopyOut { source: CopySource::Query { read: Box::new(read), span }, format }
                }
                other => as_refused(other, "COPY"),
            },
            _ => return Err(unknown("COPY of neither a table nor a query")),
        })
    }

    /// Returns where the select list of a query ends, if a column added there comes last and changes nothing else.
    fn end_of_outputs(&self, query: &SelectStmt) -> Option<u32> {
        let Some(NodeEnum::ResTarget(last)) = query.target_list.last()?.node.as_ref() else { return None };
        // `TABLE users` has a select list that is not in the text.
        let at = self.tokens.end_of_outputs(u32::try_from(last.location).ok()?)?;
        let start = self.span.start;
        let own = &self.sql[start as usize..self.span.end as usize];
        let probe = Edit { at: at - start, n_removed: 0, inserted: ", NULL ".to_owned() };
        edit::adds_an_output(own, &edit::apply(own, &[probe])?).then_some(at)
    }

    /// Returns what turns each `LIKE` of a plain prefix into the operator for it, if that changes nothing else.
    fn prefix_edits(&self, prefixes: &[(u32, u32)]) -> Vec<Edit> {
        let mut edits = Vec::new();
        for (like, literal) in prefixes {
            let Some(pair) = self.tokens.prefix_edits(*like, *literal) else { return Vec::new() };
            edits.extend(pair);
        }
        edits.sort_by_key(|it| it.at);
        let is_borne_out = !edits.is_empty()
            && edit::apply(self.sql, &edits).is_some_and(|edited| edit::asks_for_prefixes(self.sql, &edited));
        if is_borne_out { edits } else { Vec::new() }
    }

    /// Returns where the query of `COPY (query) TO` stands.
    fn copied(&self) -> Result<Range<u32>, Unreadable> {
        let span = self.tokens.copied_query(self.span.start);
        span.filter(|span| parse(&self.sql[span.start as usize..span.end as usize]).is_ok())
            .ok_or_else(|| unknown("COPY of a query that was not found in the text"))
    }
}

fn write(node: &NodeEnum) -> Result<Write, Unreadable> {
    let mut walk = Walk::default();
    let (kind, returning) = match node {
        NodeEnum::InsertStmt(it) => {
            walk.insert(it, Place::From)?;
            (WriteKind::Insert, &it.returning_clause)
        }
        NodeEnum::UpdateStmt(it) => {
            walk.update(it, Place::From)?;
            (WriteKind::Update, &it.returning_clause)
        }
        NodeEnum::DeleteStmt(it) => {
            walk.delete(it, Place::From)?;
            (WriteKind::Delete, &it.returning_clause)
        }
        NodeEnum::MergeStmt(it) => {
            walk.merge(it, Place::From)?;
            (WriteKind::Merge, &it.returning_clause)
        }
        other => return Err(unknown_node(Some(other))),
    };
    walk.finish();
    Ok(Write {
        kind,
        relations: walk.relations,
        assigned: walk.assigned,
        outputs: returning.as_ref().map_or(Ok(Vec::new()), |it| outputs(&it.exprs))?,
        on_conflict: walk.on_conflict,
        names: walk.names,
        n_parameters: walk.n_parameters,
        literal_dependent: walk.literal_dependent,
    })
}

fn transaction(it: &TransactionStmt) -> Result<Statement, Unreadable> {
    let name = || it.savepoint_name.clone();
    Ok(Statement::Transaction(match it.kind() {
        TransactionStmtKind::TransStmtBegin | TransactionStmtKind::TransStmtStart => {
            Transaction::Begin(transaction_modes(&it.options)?)
        }
        TransactionStmtKind::TransStmtCommit => Transaction::Commit { chain: it.chain },
        TransactionStmtKind::TransStmtRollback => Transaction::Rollback { chain: it.chain },
        TransactionStmtKind::TransStmtSavepoint => Transaction::Savepoint(name()),
        TransactionStmtKind::TransStmtRelease => Transaction::Release(name()),
        TransactionStmtKind::TransStmtRollbackTo => Transaction::RollbackTo(name()),
        TransactionStmtKind::TransStmtPrepare
        | TransactionStmtKind::TransStmtCommitPrepared
        | TransactionStmtKind::TransStmtRollbackPrepared => {
            return Ok(Statement::refused(
                "two-phase commit",
                "a prepared transaction belongs to nobody, and keeps its locks when the session is gone",
            ));
        }
        TransactionStmtKind::Undefined => return Err(unknown("a transaction statement of no kind")),
    }))
}

fn transaction_modes(options: &[Node]) -> Result<TransactionModes, Unreadable> {
    let mut modes = TransactionModes::default();
    for option in options {
        let Some(NodeEnum::DefElem(option)) = &option.node else { return Err(unknown_node(option.node.as_ref())) };
        let on = option.arg.as_deref().and_then(integer).map(|it| it != 0);
        match option.defname.as_str() {
            "transaction_isolation" => {
                modes.isolation = option.arg.as_deref().and_then(text).map(str::to_lowercase);
            }
            "transaction_read_only" => modes.read_only = on,
            "transaction_deferrable" => modes.deferrable = on,
            other => return Err(unknown(other)),
        }
    }
    Ok(modes)
}

fn set(it: &VariableSetStmt) -> Result<Statement, Unreadable> {
    let name = it.name.to_lowercase();
    if let Some(refused) = refusal::setting(&name) {
        return Ok(refused);
    }
    Ok(match it.kind() {
        VariableSetKind::VarSetValue => {
            let values: Option<Vec<String>> = it.args.iter().map(setting_value).collect();
            match values {
                Some(values) => Statement::Set { name, value: Some(values.join(", ")), local: it.is_local },
                None => Statement::refused("SET", "its value is not a plain constant"),
            }
        }
        VariableSetKind::VarSetDefault => Statement::Set { name, value: None, local: it.is_local },
        VariableSetKind::VarReset => Statement::Reset { name: Some(name) },
        VariableSetKind::VarResetAll => Statement::Reset { name: None },
        VariableSetKind::VarSetMulti => match name.as_str() {
            "transaction" => Statement::SetTransaction { modes: transaction_modes(&it.args)?, session: false },
            "session characteristics" => {
                Statement::SetTransaction { modes: transaction_modes(&it.args)?, session: true }
            }
            _ => Statement::refused("SET TRANSACTION SNAPSHOT", "it looks at rows as another session saw them"),
        },
        VariableSetKind::VarSetCurrent => Statement::refused("SET … FROM CURRENT", "it belongs to a function"),
        VariableSetKind::Undefined => return Err(unknown("SET of no kind")),
    })
}

fn setting_value(node: &Node) -> Option<String> {
    let Some(NodeEnum::AConst(constant)) = &node.node else { return None };
    match constant.val.as_ref()? {
        Val::Ival(it) => Some(it.ival.to_string()),
        Val::Fval(it) => Some(it.fval.clone()),
        Val::Sval(it) => Some(it.sval.clone()),
        Val::Boolval(it) => Some(it.boolval.to_string()),
        Val::Bsval(_) => None,
    }
}

fn fetch(it: &FetchStmt) -> Statement {
    Statement::Fetch {
        cursor: it.portalname.clone(),
        moves: it.ismove,
        count: (it.how_many != i64::MAX).then_some(it.how_many),
        forward: it.direction() == FetchDirection::FetchForward,
    }
}

/// Returns the options of `COPY`, or the first one that is not known here.
fn copy_format(options: &[Node], is_from: bool) -> Result<Result<CopyFormat, String>, Unreadable> {
    let mut format = CopyFormat::default();
    for option in options {
        let Some(NodeEnum::DefElem(option)) = &option.node else { return Err(unknown_node(option.node.as_ref())) };
        let value = || option.arg.as_deref().and_then(text).map(str::to_owned);
        match (option.defname.as_str(), value().as_deref()) {
            ("format", Some("text")) => format.encoding = CopyEncoding::Text,
            ("format", Some("csv")) => format.encoding = CopyEncoding::Csv,
            ("format", Some("binary")) => format.encoding = CopyEncoding::Binary,
            // `HEADER MATCH` compares names when loading.
            ("header", given) => format.header = given == Some("match") || is_on(option.arg.as_deref()),
            ("delimiter", Some(given)) => format.delimiter = Some(given.to_owned()),
            ("null", Some(given)) => format.null = Some(given.to_owned()),
            ("quote", Some(given)) => format.quote = Some(given.to_owned()),
            ("escape", Some(given)) => format.escape = Some(given.to_owned()),
            ("encoding", Some(given)) if ["utf8", "utf-8", "unicode"].contains(&given.to_lowercase().as_str()) => {}
            ("force_quote", _) => match option.arg.as_ref().and_then(|it| it.node.as_ref()) {
                Some(NodeEnum::AStar(_)) => format.force_quote = Some(ForceQuote::All),
                Some(NodeEnum::List(list)) => {
                    let columns = list.items.iter().filter_map(text).map(str::to_owned).collect();
                    format.force_quote = Some(ForceQuote::Columns(columns));
                }
                _ => return Ok(Err(option.defname.clone())),
            },
            // These change what is loaded, and nothing that comes out.
            ("force_null" | "force_not_null" | "freeze" | "default", _) if is_from => {}
            (other, _) => return Ok(Err(other.to_owned())),
        }
    }
    Ok(Ok(format))
}

/// Returns whether an option is on: without a value it is, and so it is with one that is not known.
fn is_on(value: Option<&Node>) -> bool {
    let Some(value) = value else { return true };
    if let Some(NodeEnum::Boolean(it)) = &value.node {
        return it.boolval;
    }
    let off = text(value).is_some_and(|it| ["off", "false", "no", "0"].contains(&it.to_lowercase().as_str()));
    !off && integer(value) != Some(0)
}

fn is_constant(node: &Node) -> bool {
    match &node.node {
        Some(NodeEnum::AConst(_) | NodeEnum::ParamRef(_)) => true,
        Some(NodeEnum::TypeCast(it)) => it.arg.as_deref().is_some_and(is_constant),
        Some(NodeEnum::AArrayExpr(it)) => it.elements.iter().all(is_constant),
        _ => false,
    }
}

fn is_set(query: &SelectStmt) -> bool {
    !matches!(query.op(), SetOperation::SetopNone | SetOperation::Undefined)
}

/// Returns the query that names what comes out.
fn first_operand(mut query: &SelectStmt) -> &SelectStmt {
    while let Some(left) = query.larg.as_deref().filter(|_| query.target_list.is_empty()) {
        query = left;
    }
    query
}

/// Refuses a statement for what stands inside of it.
fn as_refused(inner: Statement, outer: &str) -> Statement {
    match inner {
        Statement::Refused { what, why } => Statement::refused(format!("{outer} … {what}"), why),
        _ => Statement::refused(outer.to_owned(), "what stands inside of it only reads where it stands alone"),
    }
}
