//! Changes to a text that leave the rest of it as it was, by the places of PostgreSQL's own tokens.

use std::{cell::OnceCell, ops::Range};

use pg_query::protobuf::{ScanToken, Token};
use serde::{Deserialize, Serialize};

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
            let comments = [Token::SqlComment as i32, Token::CComment as i32];
            let mut tokens = pg_query::scan_tokens(self.sql).unwrap_or_default();
            tokens.retain(|it| !comments.contains(&it.token));
            tokens
        })
    }

    fn at(&self, offset: u32) -> Option<usize> {
        self.all().binary_search_by_key(&(offset as i32), |it| it.start).ok()
    }

    /// Returns where the `FROM` stands that ends a select list, whose last entry starts at `last`.
    ///
    /// A `FROM` in parentheses belongs to a function or a subquery, one after `IS [NOT] DISTINCT` to an operator, and one
    /// after `AS` or a dot is a name.
    pub fn from_after(&self, last: u32) -> Option<u32> {
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

    /// Returns where the query of a `COPY (query) TO` stands, of which some entry of a select list starts at `inside`.
    pub fn copied_query(&self, inside: u32) -> Option<Range<u32>> {
        let tokens = self.all();
        let target = self.at(inside)?;
        let copy = tokens[..target].iter().rposition(|it| it.token == Token::Copy as i32)?;
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
