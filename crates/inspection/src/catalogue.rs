//! The catalogue of rules, part of the program: what `rules/*.toml` said when it was built.
//!
//! A catalogue has an edition: the day from which it is in force. One that was kept before there were editions has
//! none, and no date finds it.
//!
//! Out of scope: applying a rule (`judge`). A rule without a judge is in the catalogue all the same, with the reason.

use jiff::civil::Date;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::{fmt::Write, sync::OnceLock};
use vigie_domain::{Rule, RuleId};

/// Names the rules' files and takes their text into the program.
macro_rules! rules {
    ($($number:literal)*) => {
        [$(include_str!(concat!("../../../rules/CK-", $number, ".toml"))),*]
    };
}

/// The rules' texts, in order of their numbers.
const TEXTS: [&str; RuleId::LAST as usize] = rules!(
    "01" "02" "03" "04" "05" "06" "07" "08" "09" "10" "11" "12" "13" "14" "15" "16" "17" "18" "19" "20"
    "21" "22" "23" "24" "25" "26" "27" "28" "29" "30" "31" "32" "33" "34" "35" "36" "37" "38" "39" "40"
);

/// The name of the file that says from when a catalogue is in force.
pub const EDITION: &str = "edition.toml";

/// The edition's text.
const EDITION_TEXT: &str = include_str!("../../../rules/edition.toml");

/// Files that are no catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// A file is no rule.
    #[error("`{name}` is no rule: {why}")]
    Unreadable {
        /// The file.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// A rule is missing.
    #[error("{rule} is missing")]
    Missing {
        /// Which.
        rule: RuleId,
    },
}

/// All forty rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    // INVARIANT (rules stand in order): the rule with number n is at n - 1, and none is missing.
    rules: Vec<Rule>,
    edition: Option<Edition>,
}

/// From when a catalogue is in force, and what it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edition {
    /// Always `edition/1`.
    pub schema: String,
    /// The first day on which the program judged by it.
    pub in_force_from: Date,
    /// What [`fingerprint`] gives for its rules. An edition whose rules were changed on the way is told by this.
    pub sha256: String,
}

impl Edition {
    /// Reads an edition.
    ///
    /// # Errors
    ///
    /// The parser's own message, with line and column, if the text is no edition of schema `edition/1`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let edition: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        if edition.schema == "edition/1" {
            Ok(edition)
        } else {
            Err(format!("its schema is `{}`, expected `edition/1`", edition.schema))
        }
    }
}

/// Returns the SHA-256, in hexadecimal, of the rules' files in the order of their names: each its name, a zero byte, its
/// length in bytes as 8 bytes in big-endian order, and its text.
pub fn fingerprint<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut files: Vec<_> = files.into_iter().filter(|(name, _)| *name != EDITION).collect();
    files.sort_unstable();
    let mut hash = Sha256::new();
    for (name, text) in files {
        hash.update(name.as_bytes());
        hash.update([0]);
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Catalogue {
    /// Returns the rules that are part of the program.
    ///
    /// # Panics
    ///
    /// If a rule file does not parse or stands in another's place; a test of this module would fail first.
    pub fn bundled() -> &'static Self {
        static CATALOGUE: OnceLock<Catalogue> = OnceLock::new();
        CATALOGUE.get_or_init(|| {
            let parse = |(number, text): (u8, &&str)| {
                let rule = Rule::parse(text).expect("bundled rules parse, which a test shows");
                assert!(rule.id.number() == number, "rule file {number} holds {}", rule.id);
                rule
            };
            let edition = Edition::parse(EDITION_TEXT).expect("the bundled edition parses, which a test shows");
            Self { rules: (1..).zip(&TEXTS).map(parse).collect(), edition: Some(edition) }
        })
    }

    /// Returns the texts of the rules and of the edition that are part of the program, by the names of their files.
    pub fn texts() -> impl Iterator<Item = (String, &'static str)> {
        let rules = (1..).zip(TEXTS).map(|(number, text)| (format!("{}.toml", RuleId::ck(number)), text));
        rules.chain([(EDITION.to_owned(), EDITION_TEXT)])
    }

    /// Reads a catalogue that was in force at another time, from names and texts of its files.
    ///
    /// # Errors
    ///
    /// If a file is neither a rule nor the edition, a rule is missing, or one is there twice.
    pub fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, CatalogueError> {
        let mut rules: Vec<Rule> = Vec::new();
        let mut edition = None;
        for (name, text) in files {
            let unreadable = |why: String| CatalogueError::Unreadable { name: name.to_owned(), why };
            if name == EDITION {
                edition = Some(Edition::parse(text).map_err(unreadable)?);
                continue;
            }
            let rule = Rule::parse(text).map_err(|error| unreadable(error.to_string()))?;
            if rules.iter().any(|known| known.id == rule.id) {
                return Err(unreadable(format!("{} is there already", rule.id)));
            }
            rules.push(rule);
        }
        rules.sort_by_key(|rule| rule.id.number());
        let missing = (1..=RuleId::LAST).find(|&number| !rules.iter().any(|rule| rule.id.number() == number));
        match missing {
            None => Ok(Self { rules, edition }),
            Some(number) => Err(CatalogueError::Missing { rule: RuleId::ck(number) }),
        }
    }

    /// Returns from when it is in force; `None` for one from before there were editions.
    pub fn edition(&self) -> Option<&Edition> {
        self.edition.as_ref()
    }

    /// Returns a rule.
    pub fn rule(&self, id: RuleId) -> &Rule {
        // INVARIANT (rules stand in order).
        &self.rules[usize::from(id.number()) - 1]
    }

    /// Iterates over all rules, in order.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_in_its_place() {
        let catalogue = Catalogue::bundled();
        assert_eq!(catalogue.rules().count(), usize::from(RuleId::LAST));
        for number in 1..=RuleId::LAST {
            assert_eq!(catalogue.rule(RuleId::ck(number)).id, RuleId::ck(number));
        }
    }

    #[test]
    fn the_texts_are_a_catalogue_and_less_is_none() {
        let files: Vec<(String, &str)> = Catalogue::texts().collect();
        let all = || files.iter().map(|(name, text)| (name.as_str(), *text));
        assert_eq!(Catalogue::read(all()).as_ref(), Ok(Catalogue::bundled()));
        assert_eq!(Catalogue::read(all().skip(1)), Err(CatalogueError::Missing { rule: RuleId::ck(1) }));
        let twice = Catalogue::read(all().chain(all().take(1))).expect_err("one is there twice");
        assert_eq!(twice.to_string(), "`CK-01.toml` is no rule: CK-01 is there already");
    }

    #[test]
    fn a_change_of_the_rules_is_a_new_edition() {
        let files: Vec<(String, &str)> = Catalogue::texts().collect();
        let sha256 = fingerprint(files.iter().map(|(name, text)| (name.as_str(), *text)));
        let edition = Catalogue::bundled().edition().expect("the bundled catalogue has an edition");
        assert_eq!(
            edition.sha256, sha256,
            "the rules changed: write `sha256 = \"{sha256}\"` in rules/edition.toml, and today in `in_force_from`"
        );
    }

    #[test]
    fn an_edition_has_a_date() {
        let parse =
            |date: &str| Edition::parse(&format!("schema = \"edition/1\"\nin_force_from = \"{date}\"\nsha256 = \"\""));
        assert_eq!(parse("2021-06-01").map(|edition| edition.in_force_from), Ok(jiff::civil::date(2021, 6, 1)));
        assert!(parse("2021-06-31").is_err() && parse("soon").is_err());
    }

    #[test]
    fn every_rule_cites_a_text() {
        for rule in Catalogue::bundled().rules() {
            assert!(!rule.sources.is_empty(), "{}", rule.id);
        }
    }
}
