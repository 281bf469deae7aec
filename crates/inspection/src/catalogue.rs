//! The catalogue of rules, part of the program: what `rules/*.toml` said when it was built.
//!
//! Out of scope: applying a rule (`judge`). A rule without a judge is in the catalogue all the same, with the reason.

use std::sync::OnceLock;
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
            Self { rules: (1..).zip(&TEXTS).map(parse).collect() }
        })
    }

    /// Returns the texts of the rules that are part of the program, by the names of their files.
    pub fn texts() -> impl Iterator<Item = (String, &'static str)> {
        (1..).zip(TEXTS).map(|(number, text)| (format!("{}.toml", RuleId::ck(number)), text))
    }

    /// Reads a catalogue that was in force at another time, from names and texts of its files.
    ///
    /// # Errors
    ///
    /// If a file is no rule, a rule is missing, or one is there twice.
    pub fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, CatalogueError> {
        let mut rules: Vec<Rule> = Vec::new();
        for (name, text) in files {
            let unreadable = |why: String| CatalogueError::Unreadable { name: name.to_owned(), why };
            let rule = Rule::parse(text).map_err(|error| unreadable(error.to_string()))?;
            if rules.iter().any(|known| known.id == rule.id) {
                return Err(unreadable(format!("{} is there already", rule.id)));
            }
            rules.push(rule);
        }
        rules.sort_by_key(|rule| rule.id.number());
        let missing = (1..=RuleId::LAST).find(|&number| !rules.iter().any(|rule| rule.id.number() == number));
        match missing {
            None => Ok(Self { rules }),
            Some(number) => Err(CatalogueError::Missing { rule: RuleId::ck(number) }),
        }
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
    fn every_rule_cites_a_text() {
        for rule in Catalogue::bundled().rules() {
            assert!(!rule.sources.is_empty(), "{}", rule.id);
        }
    }
}
