//! The canonical header of an access: who read, from where, for what, by which decision, and which columns.
//!
//! ```text
//! vigie/access/v1
//! who alice@platform.example
//! entity Platform Ireland Ltd
//! country IE
//! zone eu-fraud
//! purpose fraud-prevention
//! action read-record
//! outcome permitted
//! decision 01JB6…
//! ticket T-17                      only with one
//! statement sha256:…
//! policy sha256:…
//! database platform
//! client 192.0.2.7                 only where the operator wants it
//! columns 0 public.users email,phone
//! chunk 0
//! ```
//!
//! A row of the event names one of the `columns` lines by its number, and a person: `vigie/access-row/v1`, `columns N`,
//! `subject ID`. So the list of columns is said once, however many rows there are.
//!
//! The surprise: values are escaped (`\\`, `\n`, `\xNN` for other control characters), so that no value can begin a line.

use std::fmt::Write as _;
use std::net::IpAddr;
use vigie_ledger::Hash;
use vigie_ledger::entry::Flags;

const FIRST_LINE: &str = "vigie/access/v1";
const ROW_FIRST_LINE: &str = "vigie/access-row/v1";

/// What is done with the data, in the words of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Records of single people are read.
    ReadRecord,
    /// Only figures about many are read.
    ReadAggregate,
    /// Records are written.
    Write,
    /// Records leave in bulk.
    Export,
}

/// How the statement was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was permitted.
    Permitted,
    /// It was let through against the rule, by two people, for a reason.
    BreakGlass,
    /// It was denied: no row left.
    Denied,
}

/// The columns of one relation that a statement reads of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// The relation, for instance `public.users`.
    pub relation: String,
    /// What is read of it, for instance the names of columns or of their class.
    pub names: Vec<String>,
}

/// What is known of a statement when its rows begin to leave, or when it is denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementFacts {
    /// Who asks, as attested.
    pub who: String,
    /// The legal entity they work for.
    pub entity: String,
    /// The country they are in, two letters.
    pub country: String,
    /// The zone of readers that these make.
    pub zone: String,
    /// The purpose asked for; none was named if `None`.
    pub purpose: Option<String>,
    /// What is done.
    pub action: Action,
    /// How it was decided.
    pub outcome: Outcome,
    /// The name of the decision.
    pub decision: String,
    /// The ticket that speaks for it.
    pub ticket: Option<String>,
    /// SHA-256 of the statement's fingerprint.
    pub statement: Hash,
    /// SHA-256 of the policy that decided.
    pub policy: Hash,
    /// The database.
    pub database: String,
    /// Where the connection comes from; left out unless the operator wants it.
    pub client: Option<IpAddr>,
    /// What is read of people. Rows name one of these by its place.
    pub columns: Vec<Columns>,
}

/// A header as it was read: what an access says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessHeader {
    fields: Vec<(String, String)>,
}

impl Action {
    /// Returns the word of the policy.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadRecord => "read-record",
            Self::ReadAggregate => "read-aggregate",
            Self::Write => "write",
            Self::Export => "export",
        }
    }
}

impl Outcome {
    const fn name(self) -> &'static str {
        match self {
            Self::Permitted => "permitted",
            Self::BreakGlass => "break-glass",
            Self::Denied => "denied",
        }
    }

    pub(super) const fn flags(self) -> Flags {
        match self {
            Self::Permitted => Flags::NONE,
            Self::BreakGlass => Flags::BREAK_GLASS,
            Self::Denied => Flags::DENIED,
        }
    }
}

impl StatementFacts {
    /// Writes the header of all chunks of the statement, but for the last line.
    pub(super) fn to_header(&self) -> String {
        let mut text = format!("{FIRST_LINE}\n");
        let mut line = |name: &str, value: &str| {
            writeln!(text, "{name} {}", escape(value)).expect("a string takes everything");
        };
        line("who", &self.who);
        line("entity", &self.entity);
        line("country", &self.country);
        line("zone", &self.zone);
        if let Some(purpose) = &self.purpose {
            line("purpose", purpose);
        }
        line("action", self.action.name());
        line("outcome", self.outcome.name());
        line("decision", &self.decision);
        if let Some(ticket) = &self.ticket {
            line("ticket", ticket);
        }
        line("statement", &format!("sha256:{}", self.statement.to_hex()));
        line("policy", &format!("sha256:{}", self.policy.to_hex()));
        line("database", &self.database);
        if let Some(client) = self.client {
            line("client", &client.to_string());
        }
        for (at, columns) in self.columns.iter().enumerate() {
            line("columns", &format!("{at} {} {}", columns.relation, columns.names.join(",")));
        }
        text
    }

    /// What rows about the columns of number 0, 1, … begin with.
    pub(super) fn templates(&self) -> Vec<Vec<u8>> {
        (0..self.columns.len()).map(|at| format!("{ROW_FIRST_LINE}\ncolumns {at}\nsubject ").into_bytes()).collect()
    }
}

impl AccessHeader {
    /// Reads a header; `None` if it is not one of an access.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?.split('\n');
        (lines.next() == Some(FIRST_LINE)).then_some(())?;
        let fields = lines.map(|line| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), unescape(value)?))
        });
        Some(Self { fields: fields.collect::<Option<_>>()? })
    }

    /// Returns the value of a line by its first word.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Lists the lines: first word and value.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns what is read, by the number that a row names.
    pub fn columns(&self, number: u8) -> Option<&str> {
        let prefix = format!("{number} ");
        let mut columns = self.fields.iter().filter(|(field, _)| field == "columns");
        columns.find_map(|(_, value)| value.strip_prefix(&prefix))
    }
}

/// Reads the bytes of a row: the number of its columns, and the person.
pub fn read_row(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let rest = bytes.strip_prefix(ROW_FIRST_LINE.as_bytes())?.strip_prefix(b"\ncolumns ")?;
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let number = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    Some((number, rest[end..].strip_prefix(b"\nsubject ")?))
}

fn escape(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            other if (other as u32) < 0x20 || other as u32 == 0x7f => {
                write!(text, "\\x{:02x}", other as u32).expect("a string takes everything");
            }
            other => text.push(other),
        }
    }
    text
}

fn unescape(value: &str) -> Option<String> {
    let mut text = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        match characters.next()? {
            '\\' => text.push('\\'),
            'n' => text.push('\n'),
            'x' => {
                let digits: String = characters.by_ref().take(2).collect();
                text.push(u8::from_str_radix(&digits, 16).ok()?.into());
            }
            _ => return None,
        }
    }
    Some(text)
}
