//! From the pieces that `statement` printed to a [`Query`]: which columns each of them names, and whether it can fail.
//!
//! The pieces come from PostgreSQL's own printer, after `statement` has checked their grammar. What is read here are words:
//! every name that is not a known keyword, function or type in its place counts as a column, and a column that the rules do
//! not list is refused. So a word that is misread costs an answer.
//!
//! `statement` allows arithmetic and casts of columns. Here they are refused in conditions and dimensions, because they fail
//! for some values: an error, or none, would tell exactly whether such a person exists. The exception is division by a whole
//! number that is written out and not zero.

use super::{ColumnName, Dimension, Direction, Function, Measure, Order, Query, Refusal, Relation, rules::OutputOf};
use vigie_statement::{
    aggregate::{AggregateOutput, AggregateQuery, BUCKETS, MeasureKind},
    reading::Relation as Named,
};

/// Words that are no columns.
const KEYWORDS: [&str; 27] = [
    "and",
    "or",
    "not",
    "in",
    "is",
    "null",
    "between",
    "like",
    "true",
    "false",
    "unknown",
    "distinct",
    "from",
    "any",
    "array",
    "symmetric",
    "current_date",
    "current_timestamp",
    "localtimestamp",
    "join",
    "left",
    "inner",
    "outer",
    "on",
    "as",
    "using",
    "cross",
];

impl Query {
    /// Takes over a question that `statement` has read. `table` names the table of the [`Rules`](super::Rules) that a
    /// relation means to this context, if any.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if a piece cannot be followed here, or could fail for some persons.
    pub fn of(asked: &AggregateQuery, table: impl Fn(&Named) -> Option<String>) -> Result<Self, Refusal> {
        let mut relations = Vec::new();
        for relation in &asked.relations {
            let table = table(relation).ok_or_else(|| Refusal::Table(relation.name.clone()))?;
            let alias = relation.alias.clone().unwrap_or_else(|| relation.name.clone());
            relations.push(Relation { table, alias });
        }
        let only = if let [only] = relations.as_slice() { Some(only.alias.as_str()) } else { None };
        let dimension = |dimension: &vigie_statement::aggregate::Dimension| {
            Ok(Dimension {
                expression: dimension.expression.clone(),
                columns: columns(&dimension.expression, only)?,
                name: dimension.name.clone().unwrap_or_else(|| "?column?".to_owned()),
            })
        };
        let measure = |measure: &vigie_statement::aggregate::Measure| {
            let argument = || column(measure.argument.as_deref().unwrap_or_default(), only);
            let (function, name) = match measure.kind {
                MeasureKind::Count => (Function::Records, "count"),
                MeasureKind::CountOf => (Function::Filled(argument()?), "count"),
                MeasureKind::CountDistinct => (Function::Persons(argument()?), "count"),
                MeasureKind::Sum => (Function::Sum(argument()?), "sum"),
                MeasureKind::Average => (Function::Average(argument()?), "avg"),
                MeasureKind::Deviation => (Function::Deviation(argument()?), "stddev"),
                MeasureKind::DeviationOfPopulation | MeasureKind::Variance | MeasureKind::VarianceOfPopulation => {
                    return Err(Refusal::Unfollowed("a variance, or a deviation of a population".to_owned()));
                }
            };
            Ok(Measure { function, name: measure.name.clone().unwrap_or_else(|| name.to_owned()) })
        };
        let order = |order: &vigie_statement::aggregate::Order| {
            if order.nulls_first.is_some_and(|first| first != order.descending) {
                return Err(Refusal::Unfollowed("an order of its own for NULL".to_owned()));
            }
            let direction = if order.descending { Direction::Descending } else { Direction::Ascending };
            Ok(Order { output: order.output.into(), direction })
        };
        // INVARIANT (outputs in turn): `statement` numbers dimensions and measures in the order of the select list.
        let (mut next_dimension, mut next_measure) = (0, 0);
        let mut outputs = Vec::new();
        for output in &asked.outputs {
            let (next, at, of) = match output {
                AggregateOutput::Dimension(at) => (&mut next_dimension, *at, OutputOf::Dimension),
                AggregateOutput::Measure(at) => (&mut next_measure, *at, OutputOf::Measure),
            };
            if at != *next {
                return Err(Refusal::Outputs);
            }
            *next += 1;
            outputs.push(of);
        }
        Ok(Self {
            dimensions: asked.dimensions.iter().map(dimension).collect::<Result<_, _>>()?,
            measures: asked.measures.iter().map(measure).collect::<Result<_, _>>()?,
            outputs,
            from: asked.from.clone(),
            filtered: asked.condition.as_deref().map_or(Ok(Vec::new()), |condition| columns(condition, only))?,
            filter: asked.condition.clone(),
            joined: joined(&asked.from)?,
            relations,
            order: asked.order_by.iter().map(order).collect::<Result<_, _>>()?,
            limit: asked.limit.map(u64::from),
            offset: 0,
            n_parameters: asked.n_parameters,
        })
    }
}

/// A word or sign of SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// Not quoted, in lower case.
    Word(String),
    /// Quoted.
    Name(String),
    /// Text, numbers and parameters.
    Constant(String),
    /// Made of the signs of operators.
    Operator(String),
    /// Anything of `( ) [ ] , .` and `::`.
    Sign(&'static str),
}

fn unfollowed(what: &str) -> Refusal {
    Refusal::Unfollowed(format!("`{what}`"))
}

/// Cuts a text into tokens; comments and dollar quotes, which the printer does not make, are refused.
fn tokens(text: &str) -> Result<Vec<Token>, Refusal> {
    let mut rest = text;
    let mut tokens = Vec::new();
    while let Some(first) = rest.chars().next() {
        let (token, length) = if first.is_whitespace() {
            (None, first.len_utf8())
        } else if first == '"' || first == '\'' {
            let (body, length) = delimited(rest, first, false)?;
            (Some(if first == '"' { Token::Name(body) } else { Token::Constant(body) }), length)
        } else if rest.starts_with("E'") || rest.starts_with("e'") {
            let (body, length) = delimited(&rest[1..], '\'', true)?;
            (Some(Token::Constant(body)), length + 1)
        } else if first.is_ascii_digit() {
            let length = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            (Some(Token::Constant(rest[..length].to_owned())), length)
        } else if first == '$' {
            let length = 1 + rest[1..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - 1);
            if length == 1 {
                return Err(unfollowed("$"));
            }
            (Some(Token::Constant(rest[..length].to_owned())), length)
        } else if first.is_alphabetic() || first == '_' {
            let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$').unwrap_or(rest.len());
            // A prefix of text in another notation, such as `U&'…'` or `B'…'`.
            if rest[length..].starts_with('\'') || rest[length..].starts_with("&'") {
                return Err(unfollowed(&rest[..length]));
            }
            (Some(Token::Word(rest[..length].to_lowercase())), length)
        } else if let Some(sign) = ["::", "(", ")", "[", "]", ",", "."].into_iter().find(|sign| rest.starts_with(sign))
        {
            (Some(Token::Sign(sign)), sign.len())
        } else {
            let length = rest.find(|c: char| !"=<>^@~+-*/!".contains(c)).unwrap_or(rest.len());
            if length == 0 || rest[..length].contains("--") || rest[..length].contains("/*") {
                return Err(unfollowed(&first.to_string()));
            }
            (Some(Token::Operator(rest[..length].to_owned())), length)
        };
        tokens.extend(token);
        rest = &rest[length..];
    }
    Ok(tokens)
}

/// Returns what is between two delimiters, and the length with them.
fn delimited(text: &str, delimiter: char, escapes: bool) -> Result<(String, usize), Refusal> {
    let mut body = String::new();
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if escapes && character == '\\' {
            // What it means does not matter for constants; that it may be the delimiter does.
            body.extend(characters.next().map(|(_, escaped)| escaped));
        } else if character != delimiter {
            body.push(character);
        } else if characters.peek().is_some_and(|(_, next)| *next == delimiter) {
            body.push(delimiter);
            characters.next();
        } else {
            return Ok((body, at + delimiter.len_utf8()));
        }
    }
    Err(unfollowed("an open quote"))
}

/// What stood last, as far as it matters for what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    /// Something with the value of a column.
    Column,
    /// The result of a function.
    Function,
    /// Anything else.
    Other,
}

/// Returns the columns that a condition or a dimension names; names without a relation belong to `only`.
fn columns(text: &str, only: Option<&str>) -> Result<Vec<ColumnName>, Refusal> {
    let tokens = tokens(text)?;
    let mut found = Vec::new();
    let mut last = Last::Other;
    // For each open bracket, whether it holds the arguments of a function.
    let mut brackets = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let next = tokens.get(at + 1);
        at += 1;
        match token {
            Token::Word(word) if KEYWORDS.contains(&word.as_str()) => last = Last::Other,
            Token::Word(word) if next == Some(&Token::Sign("(")) => {
                if !BUCKETS.contains(&word.as_str()) {
                    return Err(unfollowed(word));
                }
                brackets.push(true);
                at += 1;
                // The field of `extract (year FROM …)`.
                if word == "extract" && tokens.get(at + 1) == Some(&Token::Word("from".to_owned())) {
                    at += 1;
                }
                last = Last::Other;
            }
            // `pg_catalog.date_part(…)`: the schema of what PostgreSQL brings.
            Token::Word(word)
                if word == "pg_catalog"
                    && next == Some(&Token::Sign("."))
                    && matches!(tokens.get(at + 1), Some(Token::Word(_)))
                    && tokens.get(at + 2) == Some(&Token::Sign("(")) =>
            {
                at += 1;
            }
            Token::Word(_) | Token::Name(_) => {
                let (name, after) = chain(&tokens, at - 1, only)?;
                found.push(name);
                at = after;
                last = Last::Column;
            }
            Token::Operator(operator) => match operator.as_str() {
                "=" | "<>" | "<" | "<=" | ">" | ">=" | "^@" | "~~" => last = Last::Other,
                "/" if last != Last::Other => {
                    match next {
                        Some(Token::Constant(by)) if by.parse::<u32>().is_ok_and(|by| by > 0) => {}
                        _ => return Err(Refusal::CanFail(text.to_owned())),
                    }
                    at += 1;
                }
                "+" | "-" | "*" if last == Last::Other => {}
                "+" | "-" | "*" => return Err(Refusal::CanFail(text.to_owned())),
                other => return Err(unfollowed(other)),
            },
            Token::Sign("(") => brackets.push(false),
            Token::Sign(")") => match brackets.pop() {
                Some(true) => last = Last::Function,
                // What it is, is what stood in it last.
                Some(false) => {}
                None => return Err(unfollowed(")")),
            },
            Token::Sign("::") => {
                let is_date = tokens.get(at) == Some(&Token::Word("date".to_owned()));
                if last == Last::Column || (last == Last::Function && !is_date) {
                    return Err(Refusal::CanFail(text.to_owned()));
                }
                at = after_type(&tokens, at)?;
            }
            Token::Constant(_) | Token::Sign("[" | "]" | ",") => last = Last::Other,
            Token::Sign(sign) => return Err(unfollowed(sign)),
        }
    }
    if brackets.is_empty() { Ok(found) } else { Err(unfollowed("(")) }
}

/// Reads `relation.column`, or a column alone, or with a schema before; returns where it ends.
fn chain(tokens: &[Token], at: usize, only: Option<&str>) -> Result<(ColumnName, usize), Refusal> {
    let name = |at: usize| match tokens.get(at) {
        Some(Token::Word(name) | Token::Name(name)) => Some(name.clone()),
        _ => None,
    };
    let mut names = vec![name(at).ok_or_else(|| unfollowed("."))?];
    let mut at = at + 1;
    while tokens.get(at) == Some(&Token::Sign(".")) {
        names.push(name(at + 1).ok_or_else(|| unfollowed("."))?);
        at += 2;
    }
    match (names.as_slice(), only) {
        ([column], Some(only)) => Ok((ColumnName { relation: only.to_owned(), column: column.clone() }, at)),
        ([column], None) => Err(Refusal::Relation(column.clone())),
        ([relation, column] | [_, relation, column], _) => {
            Ok((ColumnName { relation: relation.clone(), column: column.clone() }, at))
        }
        _ => Err(unfollowed(&names.join("."))),
    }
}

/// Returns where the name of a type ends.
fn after_type(tokens: &[Token], at: usize) -> Result<usize, Refusal> {
    const MORE: [&str; 6] = ["with", "without", "time", "zone", "precision", "varying"];
    let Some(Token::Word(first)) = tokens.get(at) else { return Err(unfollowed("::")) };
    let mut at = at + 1;
    if first == "pg_catalog" && tokens.get(at) == Some(&Token::Sign(".")) {
        at += 2;
    }
    while matches!(tokens.get(at), Some(Token::Word(word)) if MORE.contains(&word.as_str())) {
        at += 1;
    }
    if let [Token::Sign("("), Token::Constant(_), Token::Sign(")"), ..] = &tokens[at.min(tokens.len())..] {
        at += 3;
    }
    while let [Token::Sign("["), Token::Sign("]"), ..] = &tokens[at.min(tokens.len())..] {
        at += 2;
    }
    Ok(at)
}

/// Returns the one column that a measure is of.
fn column(text: &str, only: Option<&str>) -> Result<ColumnName, Refusal> {
    let tokens = tokens(text)?;
    match chain(&tokens, 0, only) {
        Ok((name, end)) if end == tokens.len() => Ok(name),
        _ => Err(Refusal::Argument(text.to_owned())),
    }
}

/// Returns the columns by which relations are joined.
fn joined(from: &str) -> Result<Vec<ColumnName>, Refusal> {
    let tokens = tokens(from)?;
    let mut found = Vec::new();
    let mut at = 0;
    let mut in_condition = false;
    while let Some(token) = tokens.get(at) {
        match token {
            Token::Word(word) if word == "using" => return Err(unfollowed("USING")),
            Token::Word(word) if word == "on" => in_condition = true,
            Token::Word(word) if word == "and" => {}
            Token::Word(word) if ["join", "left", "inner", "outer"].contains(&word.as_str()) => in_condition = false,
            Token::Word(_) | Token::Name(_) if in_condition => {
                let (name, after) = chain(&tokens, at, None)?;
                found.push(name);
                at = after;
                continue;
            }
            Token::Operator(operator) if in_condition && operator == "=" => {}
            Token::Sign("(" | ")") => {}
            Token::Word(_) | Token::Name(_) | Token::Sign(".") if !in_condition => {}
            _ => return Err(unfollowed(from)),
        }
        at += 1;
    }
    Ok(found)
}
