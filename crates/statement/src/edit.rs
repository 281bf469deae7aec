//! Changes to a text that leave the rest of it as it was, by the places of PostgreSQL's own tokens.

use std::{cell::OnceCell, fmt::Write, ops::Range};

use pg_query::protobuf::{AExprKind, ParseResult, ScanToken, Token};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    read::parse,
    reading::{Place, Read, Relation},
    walk::is_plain_prefix,
};

/// A text to which columns were added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The changed text.
    pub sql: String,
    /// What was changed, for texts that differ only in literals ([`crate::skeleton::carry`]).
    pub edits: Vec<Edit>,
    /// How many columns come out behind those that were asked for.
    pub n_columns: u16,
}

impl Read {
    /// Returns the text with columns added at the end of the outermost select list, each of a relation of
    /// [`Read::relations`] given by its index; the rest of the text is as it was.
    ///
    /// The added columns are called `vigie 1`, `vigie 2` and so on, lest they catch the `ORDER BY` of a column of the same
    /// name. A column of the side of an outer join that may be missing is NULL where it is.
    ///
    /// `None` if the query has another shape than [`crate::reading::Shape::Rows`] with `appendable`, if a relation cannot be named there
    /// (it is hidden in a subquery, its columns have other names, or another one is called the same), or if this is not
    /// the text that was read.
    pub fn with_columns_appended(&self, sql: &str, columns: &[(usize, &str)]) -> Option<Appended> {
        let at = self.append_at?;
        let mut inserted = String::new();
        for (number, (index, column)) in columns.iter().enumerate() {
            let relation = self.relations.get(*index)?;
            let name = self.name_of(relation)?;
            let _always_ok = write!(inserted, ", {name}.{} AS \"vigie {}\" ", quoted(column), number + 1);
        }
        let edits = vec![Edit { at, n_removed: 0, inserted }];
        Some(Appended { sql: apply(sql, &edits)?, edits, n_columns: u16::try_from(columns.len()).ok()? })
    }

    /// Returns how the outermost query can name a relation, if it can and no other one is meant.
    fn name_of(&self, relation: &Relation) -> Option<String> {
        let called = |it: &Relation| it.alias.clone().unwrap_or_else(|| it.name.clone());
        let visible = |it: &&Relation| it.place == Place::From && called(it) == called(relation);
        if relation.place != Place::From
            || relation.renames_columns
            || self.relations.iter().filter(visible).count() != 1
        {
            return None;
        }
        Some(match (&relation.alias, &relation.schema) {
            (Some(alias), _) => quoted(alias),
            (None, Some(schema)) => format!("{}.{}", quoted(schema), quoted(&relation.name)),
            (None, None) => quoted(&relation.name),
        })
    }

    /// Returns the text with every `LIKE` of a plain prefix turned into the operator `^@`; `None` if there is none.
    ///
    /// `LIKE` is not leakproof, so that below row-level security it cannot use an index; `^@` is and can (PostgreSQL 15).
    /// They agree on `text`, `character varying` and `character(n)`; on `citext` and `bytea` they do not, which only the
    /// catalog can tell.
    pub fn with_prefix_operators(&self, sql: &str) -> Option<String> {
        if self.prefix_edits.is_empty() { None } else { apply(sql, &self.prefix_edits) }
    }

    /// Returns what [`Read::with_prefix_operators`] changes, in the order of the text.
    pub fn prefix_edits(&self) -> &[Edit] {
        &self.prefix_edits
    }
}

/// One change: some bytes give way to others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// Where it starts, in bytes from the start of the text.
    pub at: u32,
    /// How many bytes go.
    pub n_removed: u32,
    /// What comes in their place.
    pub inserted: String,
}

/// Returns a text with changes made; they are in the order of the text and do not overlap.
pub fn apply(sql: &str, edits: &[Edit]) -> Option<String> {
    let mut text = String::with_capacity(sql.len() + edits.iter().map(|it| it.inserted.len()).sum::<usize>());
    let mut done = 0;
    for edit in edits {
        let start = edit.at as usize;
        text.push_str(sql.get(done..start)?);
        text.push_str(&edit.inserted);
        done = start + edit.n_removed as usize;
    }
    text.push_str(sql.get(done..)?);
    Some(text)
}

/// Returns a name in quotes, so that it means itself whatever it contains.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The tokens of a text without its comments, found when first asked for.
pub(crate) struct Tokens<'a> {
    sql: &'a str,
    found: OnceCell<Vec<ScanToken>>,
}

const OPEN: i32 = Token::Ascii40 as i32;
const CLOSE: i32 = Token::Ascii41 as i32;
const OPEN_BRACKET: i32 = Token::Ascii91 as i32;
const CLOSE_BRACKET: i32 = Token::Ascii93 as i32;
const DOT: i32 = Token::Ascii46 as i32;

impl<'a> Tokens<'a> {
    pub fn new(sql: &'a str) -> Tokens<'a> {
        Tokens { sql, found: OnceCell::new() }
    }

    fn all(&self) -> &[ScanToken] {
        self.found.get_or_init(|| {
            // Only of texts that hold a statement: `scan_tokens` may not be asked about one without any token (pg_query 18.1
            // makes a slice of a null pointer then).
            let comments = [Token::SqlComment as i32, Token::CComment as i32];
            let mut tokens = pg_query::scan_tokens(self.sql).unwrap_or_default();
            tokens.retain(|it| !comments.contains(&it.token));
            tokens
        })
    }

    fn at(&self, offset: u32) -> Option<usize> {
        self.all().binary_search_by_key(&i32::try_from(offset).ok()?, |it| it.start).ok()
    }

    /// Returns where the `FROM` stands that ends a select list, whose last entry starts at `last`.
    ///
    /// A `FROM` in parentheses belongs to a function or a subquery, one after `IS [NOT] DISTINCT` to an operator, and one
    /// after `AS` or a dot is a name.
    pub fn end_of_outputs(&self, last: u32) -> Option<u32> {
        let mut depth = 0_i32;
        let mut tokens = self.all()[self.at(last)?..].iter().map(|it| (it.token, it.start)).peekable();
        let is = |token: Option<&(i32, i32)>, wanted: Token| token.is_some_and(|it| it.0 == wanted as i32);
        while let Some((token, start)) = tokens.next() {
            if token == OPEN || token == OPEN_BRACKET {
                depth += 1;
            } else if token == CLOSE || token == CLOSE_BRACKET {
                depth -= 1;
                if depth < 0 {
                    return None;
                }
            } else if depth == 0 && (token == Token::As as i32 || token == DOT) {
                // Whatever comes next is a name, or a star.
                tokens.next();
            } else if depth == 0 && token == Token::Is as i32 {
                if is(tokens.peek(), Token::Not) {
                    tokens.next();
                }
                if is(tokens.peek(), Token::Distinct) {
                    tokens.next();
                    tokens.next_if(|it| it.0 == Token::From as i32);
                }
            } else if depth == 0 && token == Token::From as i32 {
                return u32::try_from(start).ok();
            }
        }
        None
    }

    /// Returns what turns `LIKE 'abc%'` into `^@ 'abc'`; `None` if the literal is not written plainly.
    pub fn prefix_edits(&self, like: u32, literal: u32) -> Option<[Edit; 2]> {
        let like = &self.all()[self.at(like)?];
        let literal = &self.all()[self.at(literal)?];
        let written = self.sql.get(literal.start as usize..literal.end as usize)?;
        let is_plain = written.starts_with('\'') && written.ends_with("%'");
        if like.token != Token::Like as i32 || !is_plain {
            return None;
        }
        Some([
            Edit { at: like.start as u32, n_removed: (like.end - like.start) as u32, inserted: " ^@ ".to_owned() },
            Edit { at: literal.end as u32 - 2, n_removed: 1, inserted: String::new() },
        ])
    }

    /// Returns where the query of the `COPY (query) TO` stands that is the first thing after `start`.
    pub fn copied_query(&self, start: u32) -> Option<Range<u32>> {
        let tokens = self.all();
        let start = i32::try_from(start).ok()?;
        let copy = tokens.partition_point(|it| it.start < start);
        tokens.get(copy).filter(|it| it.token == Token::Copy as i32)?;
        let open = tokens.get(copy + 1).filter(|it| it.token == OPEN)?;
        let mut depth = 0;
        for token in &tokens[copy + 1..] {
            depth += i32::from(token.token == OPEN) - i32::from(token.token == CLOSE);
            if depth == 0 {
                return Some(open.end as u32..token.start as u32);
            }
        }
        None
    }
}

/// Returns whether a text is another one with one more output at the end of its outermost query, and nothing else new.
pub(crate) fn adds_an_output(original: &str, probe: &str) -> bool {
    let (Ok(before), Ok(after)) = (parse(original), parse(probe)) else { return false };
    let (mut before, mut after) = (without_places(&before), without_places(&after));
    let (Some(before_outputs), Some(after_outputs)) = (outputs_mut(&mut before), outputs_mut(&mut after)) else {
        return false;
    };
    let is_longer = after_outputs.len() == before_outputs.len() + 1;
    after_outputs.pop();
    is_longer && before == after
}

/// Returns whether a text is another one whose every `LIKE` of a plain prefix became the operator for it.
pub(crate) fn asks_for_prefixes(original: &str, edited: &str) -> bool {
    let (Ok(before), Ok(after)) = (parse(original), parse(edited)) else { return false };
    let mut before = without_places(&before);
    with_prefix_operators(&mut before);
    before == without_places(&after)
}

/// Returns a tree as a value in which nothing says where it stands in the text.
pub(crate) fn without_places(tree: &ParseResult) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| !PLACES.contains(&name.as_str()));
                fields.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    const PLACES: [&str; 8] = [
        "location",
        "stmt_location",
        "stmt_len",
        "list_start",
        "list_end",
        "rexpr_list_start",
        "rexpr_list_end",
        "name_location",
    ];
    let mut value = serde_json::to_value(tree).unwrap_or_default();
    if let Some(tree) = value.as_object_mut() {
        tree.remove("version");
    }
    strip(&mut value);
    value
}

/// Returns the select list of the outermost query of the only statement, also inside `DECLARE` and the like.
fn outputs_mut(tree: &mut Value) -> Option<&mut Vec<Value>> {
    let statements = tree.get_mut("stmts")?.as_array_mut()?;
    let [only] = statements.as_mut_slice() else { return None };
    let mut node = only.get_mut("stmt")?;
    loop {
        let (kind, fields) = node.get_mut("node")?.as_object_mut()?.iter_mut().next()?;
        if kind == "SelectStmt" {
            return fields.get_mut("target_list")?.as_array_mut();
        }
        node = fields.get_mut("query")?;
    }
}

/// Makes of every `LIKE` of a plain prefix what [`Tokens::prefix_edits`] should make of it.
fn with_prefix_operators(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::Object(operation)) = fields.get_mut("AExpr") {
                become_prefix_operator(operation);
            }
            fields.values_mut().for_each(with_prefix_operators);
        }
        Value::Array(items) => items.iter_mut().for_each(with_prefix_operators),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn become_prefix_operator(operation: &mut serde_json::Map<String, Value>) {
    let is_like = operation.get("kind").and_then(Value::as_i64) == Some(i64::from(AExprKind::AexprLike as i32));
    let name = operation.get("name").and_then(|it| it.pointer("/0/node/String/sval")).and_then(Value::as_str);
    if !is_like || name != Some("~~") {
        return;
    }
    let pattern = operation.get_mut("rexpr").and_then(|it| it.pointer_mut("/node/AConst/val/Sval/sval"));
    let Some(Value::String(pattern)) = pattern else { return };
    if is_plain_prefix(pattern) {
        pattern.pop();
        operation.insert("kind".to_owned(), Value::from(AExprKind::AexprOp as i32));
        if let Some(name) = operation.get_mut("name").and_then(|it| it.pointer_mut("/0/node/String/sval")) {
            *name = Value::from("^@");
        }
    }
}
