//! What a client asks for in its startup message, and no more than may be asked.
//!
//! A list of what is allowed, not of what is forbidden: a parameter that nobody thought of is refused.

use std::collections::HashSet;

/// The longest purpose or ticket, in bytes.
pub const MAX_WORD_BYTES: usize = 200;

/// The longest reason, in bytes.
pub const MAX_REASON_BYTES: usize = 2_000;

/// Settings that change how values are written, or that `session` bounds: PostgreSQL's names, in lower case.
const SETTINGS: [&str; 10] = [
    "bytea_output",
    "datestyle",
    "extra_float_digits",
    "idle_in_transaction_session_timeout",
    "intervalstyle",
    "lock_timeout",
    "standard_conforming_strings",
    "statement_timeout",
    "timezone",
    "transaction_timeout",
];

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// Who it says it is.
    pub user: String,
    /// The database; that of the user's name if it does not say.
    pub database: String,
    /// What program it is.
    pub application_name: Option<String>,
    /// For which purpose it reads.
    pub purpose: Option<String>,
    /// By which ticket.
    pub ticket: Option<String>,
    /// Why, in its own words; breaking the glass needs one.
    pub reason: Option<String>,
    /// Settings for the session, by PostgreSQL's name in lower case; the last one counts.
    pub settings: Vec<(&'static str, String)>,
}

/// Why what a client asks for is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskedError {
    /// It does not say who it is.
    #[error("the startup message names no user")]
    NoUser,
    /// A parameter came twice.
    #[error("`{0}` is given twice")]
    Twice(String),
    /// A parameter is not allowed.
    #[error("denied: `{0}` cannot be set when connecting")]
    NotAllowed(String),
    /// `options` cannot be read.
    #[error("`options` cannot be read: {0}")]
    Options(&'static str),
    /// The session would not be in UTF-8.
    #[error("denied: client_encoding is `{0}`, only UTF8 is spoken")]
    Encoding(String),
    /// A value is too long, or has control characters.
    #[error("the value of `{name}` is longer than {most} bytes or contains control characters")]
    Value {
        /// Whose.
        name: String,
        /// The limit.
        most: usize,
    },
}

impl AskedError {
    /// Returns the SQLSTATE.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NoUser => "28000",
            Self::NotAllowed(_) | Self::Encoding(_) => "42501",
            Self::Twice(_) | Self::Options(_) => "08P01",
            Self::Value { .. } => "22023",
        }
    }

    /// Returns the way out.
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotAllowed(_) => Some(
                "allowed are user, database, application_name, client_encoding, and in options vigie.purpose, \
                 vigie.ticket, vigie.reason, DateStyle, TimeZone, IntervalStyle, bytea_output, extra_float_digits \
                 and timeouts",
            ),
            Self::Options(_) => Some("write options='-c vigie.purpose=NAME', a backslash before each space of a value"),
            Self::Encoding(_) => Some("set PGCLIENTENCODING=UTF8"),
            Self::NoUser | Self::Twice(_) | Self::Value { .. } => None,
        }
    }
}

impl Asked {
    /// Reads the parameters of a startup message.
    ///
    /// # Errors
    ///
    /// If one of them is not allowed, came twice, or has a value that cannot be.
    pub fn parse<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, AskedError> {
        let mut asked = Self::default();
        let mut seen = HashSet::new();
        let mut options = "";
        for (name, value) in parameters {
            // Two readers of the same message might pick different ones.
            if !seen.insert(name) {
                return Err(AskedError::Twice(name.to_owned()));
            }
            match name {
                "user" => asked.user = checked(name, value, MAX_WORD_BYTES)?,
                "database" => asked.database = checked(name, value, MAX_WORD_BYTES)?,
                "options" => options = value,
                // Options of the protocol; that we know none is said by NegotiateProtocolVersion.
                _ if name.starts_with("_pq_.") => {}
                _ => asked.set(name, value)?,
            }
        }
        asked.read_options(options)?;
        if asked.user.is_empty() {
            return Err(AskedError::NoUser);
        }
        if asked.database.is_empty() {
            asked.database.clone_from(&asked.user);
        }
        Ok(asked)
    }

    fn read_options(&mut self, options: &str) -> Result<(), AskedError> {
        let mut seen = HashSet::new();
        let words = words(options)?;
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let pair = match word.strip_prefix("--") {
                Some(long) => long,
                None => match word.strip_prefix("-c") {
                    Some("") => words.next().ok_or(AskedError::Options("`-c` is followed by nothing"))?,
                    Some(joined) => joined,
                    None => return Err(AskedError::NotAllowed(shown(word))),
                },
            };
            // `-c=` has neither a name nor a value (PgBouncer's CVE-2026-107349).
            let (name, value) = pair.split_once('=').ok_or(AskedError::Options("a setting has no `=`"))?;
            if name.is_empty() {
                return Err(AskedError::Options("a setting has no name"));
            }
            // PostgreSQL reads a dash in the name as an underscore.
            let name = name.replace('-', "_").to_ascii_lowercase();
            if name.starts_with("vigie.") && !seen.insert(name.clone()) {
                return Err(AskedError::Twice(name));
            }
            self.set(&name, value)?;
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), AskedError> {
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "vigie.purpose" => self.purpose = Some(checked(&name, value, MAX_WORD_BYTES)?),
            "vigie.ticket" => self.ticket = Some(checked(&name, value, MAX_WORD_BYTES)?),
            "vigie.reason" => self.reason = Some(checked(&name, value, MAX_REASON_BYTES)?),
            "application_name" => self.application_name = Some(checked(&name, value, MAX_WORD_BYTES)?),
            "client_encoding" => {
                // Drivers write it in several ways, some with quotes.
                let plain = value.trim_matches('\'').to_ascii_lowercase().replace(['-', '_'], "");
                if !matches!(plain.as_str(), "utf8" | "unicode") {
                    return Err(AskedError::Encoding(shown(value)));
                }
            }
            other => {
                let known = SETTINGS.iter().find(|known| **known == other);
                let known = known.ok_or_else(|| AskedError::NotAllowed(shown(other)))?;
                self.settings.push((known, checked(other, value, MAX_WORD_BYTES)?));
            }
        }
        Ok(())
    }
}

fn checked(name: &str, value: &str, most: usize) -> Result<String, AskedError> {
    if value.len() > most || value.chars().any(char::is_control) {
        return Err(AskedError::Value { name: name.to_owned(), most });
    }
    Ok(value.to_owned())
}

/// As much of a foreign text as belongs in a message.
fn shown(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(60).collect()
}

/// Splits `options` as PostgreSQL does: at white space, unless a backslash stands before it.
///
/// # Source
///
/// `pg_split_opts` of PostgreSQL 17; a backslash at the very end, which it drops, is refused here.
fn words(options: &str) -> Result<Vec<String>, AskedError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = options.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                let next = characters.next().ok_or(AskedError::Options("it ends with a backslash"))?;
                word.get_or_insert_default().push(next);
            }
            // C's `isspace`.
            ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c' => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    Ok(words)
}
