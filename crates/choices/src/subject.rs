//! A person's id.

use crate::ChoicesError;
use std::fmt;
use vigie_policy::map::SubjectType;

/// A person's id, as the database spells it. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject(String);

impl Subject {
    /// Reads an id of a type; the spelling becomes the database's (`007` is `7`, a UUID is lower case with hyphens).
    ///
    /// # Errors
    ///
    /// [`ChoicesError::NotASubject`].
    pub fn parse(subject_type: SubjectType, text: &str) -> Result<Self, ChoicesError> {
        let spelled = match subject_type {
            SubjectType::Bigint => text.parse::<i64>().ok().map(|id| id.to_string()),
            SubjectType::Uuid => spell_uuid(text),
            SubjectType::Text => (!text.is_empty() && !text.contains('\0')).then(|| text.to_owned()),
        };
        spelled.map(Self).ok_or(ChoicesError::NotASubject { expected: subject_type.as_sql() })
    }

    /// Takes an id that the database spelled.
    pub(crate) fn spelled(text: String) -> Self {
        Self(text)
    }

    /// Returns the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subject(…)")
    }
}

fn spell_uuid(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    Some(parts.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_spelled_as_the_database_spells_it() {
        let check = |subject_type, given: &str, expected: Option<&str>| {
            let read = Subject::parse(subject_type, given).ok();
            assert_eq!(read.as_ref().map(Subject::as_str), expected, "{given}");
        };
        check(SubjectType::Bigint, "007", Some("7"));
        check(SubjectType::Bigint, "-1", Some("-1"));
        check(SubjectType::Bigint, "9223372036854775808", None);
        check(SubjectType::Bigint, "1; DROP", None);
        let id = "c56a4180-65aa-42ec-a945-5fd21dec0538";
        check(SubjectType::Uuid, &id.to_uppercase(), Some(id));
        check(SubjectType::Uuid, &id.replace('-', ""), Some(id));
        check(SubjectType::Uuid, &id[1..], None);
        check(SubjectType::Text, "Zoë", Some("Zoë"));
        check(SubjectType::Text, "", None);
        assert_eq!(format!("{:?}", Subject::parse(SubjectType::Bigint, "7").unwrap()), "Subject(…)");
    }
}
