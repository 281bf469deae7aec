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
    fn every_rule_cites_a_text() {
        for rule in Catalogue::bundled().rules() {
            assert!(!rule.sources.is_empty(), "{}", rule.id);
        }
    }
}
