//! What of the server's messages may reach a client: a code and fixed words, never a value.
//!
//! PostgreSQL puts values into errors (`invalid input syntax for type integer: "jeanne@example.org"`), into notices, into
//! parameters and notifications; each is a way for a row to leave without being accounted for. So the words of a message
//! pass only while nothing can have been read yet, when all they can repeat is the client's own text.
//!
//! # Source
//!
//! PostgreSQL 15 documentation, appendix A, for the names of conditions.

/// How far the statement had come when the server complained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Being read: no row can have been looked at.
    Reading,
    /// Being run.
    Running,
}

/// Most bytes of a server's words that pass.
const MAX_WORDS: usize = 300;

/// Returns the words for a client, for an error of this code.
///
/// The words of the server's own message pass for mistakes in the statement (class 42, and a few like it) that were found
/// while it was read. Casts such as `email::regclass` report values with codes of class 42, too, but only when run.
pub fn words(code: &str, message: &str, stage: Stage) -> String {
    let repeats_only_the_text = code.starts_with("42") || ["0A000", "26000", "34000", "3D000", "25P02"].contains(&code);
    if stage == Stage::Reading && repeats_only_the_text {
        let clean = message.chars().map(|c| if c.is_control() { ' ' } else { c });
        let mut words = String::new();
        for c in clean {
            if words.len() + c.len_utf8() > MAX_WORDS {
                words.push('…');
                break;
            }
            words.push(c);
        }
        return words;
    }
    condition(code).to_owned()
}

/// Returns the name of a condition, or of its class.
fn condition(code: &str) -> &'static str {
    const NAMES: [(&str, &str); 41] = [
        ("08P01", "protocol violation"),
        ("21000", "cardinality violation"),
        ("22001", "string data, right truncation"),
        ("22003", "numeric value out of range"),
        ("22007", "invalid datetime format"),
        ("22008", "datetime field overflow"),
        ("22012", "division by zero"),
        ("22021", "character not in repertoire"),
        ("22023", "invalid parameter value"),
        ("22P02", "invalid text representation"),
        ("22P03", "invalid binary representation"),
        ("23502", "not-null violation"),
        ("23503", "foreign key violation"),
        ("23505", "unique violation"),
        ("23514", "check violation"),
        ("25001", "active SQL transaction"),
        ("25006", "read-only SQL transaction"),
        ("25P01", "no active SQL transaction"),
        ("25P02", "current transaction is aborted, commands ignored until end of transaction block"),
        ("25P03", "idle-in-transaction session timeout"),
        ("26000", "invalid SQL statement name"),
        ("34000", "invalid cursor name"),
        ("3B001", "invalid savepoint specification"),
        ("40001", "could not serialize access"),
        ("40P01", "deadlock detected"),
        ("42501", "permission denied"),
        ("42601", "syntax error"),
        ("42703", "undefined column"),
        ("42883", "undefined function"),
        ("42P01", "undefined table"),
        ("42P18", "indeterminate datatype"),
        ("53100", "disk full"),
        ("53200", "out of memory"),
        ("54001", "statement too complex"),
        ("55P03", "lock not available"),
        ("57014", "canceling statement due to timeout or user request"),
        ("57P01", "terminating connection due to administrator command"),
        ("57P03", "cannot connect now"),
        ("P0001", "the database raised an exception"),
        ("XX000", "internal error"),
        ("XX001", "data corrupted"),
    ];
    const CLASSES: [(&str, &str); 18] = [
        ("08", "connection exception"),
        ("0A", "feature not supported"),
        ("21", "cardinality violation"),
        ("22", "data exception"),
        ("23", "integrity constraint violation"),
        ("24", "invalid cursor state"),
        ("25", "invalid transaction state"),
        ("28", "invalid authorization specification"),
        ("2D", "invalid transaction termination"),
        ("40", "transaction rollback"),
        ("42", "syntax error or access rule violation"),
        ("53", "insufficient resources"),
        ("54", "program limit exceeded"),
        ("55", "object not in prerequisite state"),
        ("57", "operator intervention"),
        ("58", "system error"),
        ("P0", "the database raised an exception"),
        ("XX", "internal error"),
    ];
    let named = NAMES.iter().find(|(known, _)| *known == code).map(|(_, name)| *name);
    let of_class = || CLASSES.iter().find(|(class, _)| code.starts_with(class)).map(|(_, name)| *name);
    named.or_else(of_class).unwrap_or("the server reported an error")
}

/// Returns a code that is one: five digits or capital letters; `XX000` for anything else.
///
/// `RAISE … USING ERRCODE` can carry five characters of anybody's choice, so unknown classes are not passed on.
pub fn code(code: &[u8]) -> &str {
    let known = std::str::from_utf8(code).ok().filter(|code| {
        code.len() == 5
            && code.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
            && !condition(code).starts_with("the server")
    });
    known.unwrap_or("XX000")
}

/// Tells whether the server's report of a parameter may reach the client: known names with values of a known kind.
///
/// `application_name` may not: `set_config` can put a row into it. Nor may a time zone that the client did not itself ask
/// for (`asked`): PostgreSQL takes nearly any text for the name of one (`<jeanne>3`).
pub fn passes_parameter(name: &str, value: &str, asked: &[String]) -> bool {
    let plain = |most: usize| value.len() <= most && value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    match name {
        "server_version" | "server_encoding" | "client_encoding" => plain(64),
        "integer_datetimes"
        | "standard_conforming_strings"
        | "in_hot_standby"
        | "default_transaction_read_only"
        | "is_superuser" => ["on", "off"].contains(&value),
        "DateStyle" => {
            let words = ["ISO", "SQL", "Postgres", "German", "MDY", "DMY", "YMD"];
            value.split(", ").all(|word| words.contains(&word))
        }
        "IntervalStyle" => ["postgres", "postgres_verbose", "sql_standard", "iso_8601"].contains(&value),
        "TimeZone" => ["UTC", "Etc/UTC", "GMT"].contains(&value) || asked.iter().any(|asked| asked == value),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_in_an_error_does_not_leave() {
        let leak = "invalid input syntax for type integer: \"jeanne@example.org\"";
        assert_eq!(words("22P02", leak, Stage::Running), "invalid text representation");
        assert_eq!(words("22P02", leak, Stage::Reading), "invalid text representation");
        assert_eq!(words("42P01", "relation \"jeanne@example.org\" does not exist", Stage::Running), "undefined table");
        assert_eq!(words("P0001", "jeanne", Stage::Running), "the database raised an exception");
        assert_eq!(words("ZZZZZ", "jeanne", Stage::Reading), "the server reported an error");
    }

    #[test]
    fn a_mistake_in_the_text_is_told_in_the_servers_words() {
        let said = "syntax error at or near \"FORM\"";
        assert_eq!(words("42601", said, Stage::Reading), said);
        assert_eq!(words("42601", &"x".repeat(1000), Stage::Reading).chars().count(), MAX_WORDS + 1);
        assert_eq!(words("42601", "a\nb", Stage::Reading), "a b");
    }

    #[test]
    fn codes_that_nobody_knows_carry_nothing() {
        assert_eq!(code(b"22P02"), "22P02");
        assert_eq!(code(b"AB123"), "XX000");
        assert_eq!(code(b"jeann"), "XX000");
        assert_eq!(code(b"42"), "XX000");
    }

    #[test]
    fn parameters_carry_no_rows() {
        assert!(passes_parameter("TimeZone", "Etc/UTC", &[]) && passes_parameter("DateStyle", "ISO, MDY", &[]));
        assert!(passes_parameter("TimeZone", "Europe/Paris", &["Europe/Paris".to_owned()]));
        assert!(!passes_parameter("TimeZone", "<jeanne>3", &["Europe/Paris".to_owned()]));
        assert!(!passes_parameter("application_name", "jeanne@example.org", &[]));
        assert!(!passes_parameter("DateStyle", "jeanne@example.org", &[]));
        assert!(!passes_parameter("search_path", "jeanne", &[]));
    }
}
