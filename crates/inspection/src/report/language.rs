//! The language of a report: phrases, numbers, dates and quotation marks in its way.
//!
//! Phrases stand in the code and the templates in English, and are the keys under which `data/report/*.toml` has them in
//! other languages; a test finds every phrase that lacks a translation, and every translation that nobody asks for.
//!
//! Not translated: what comes from the site, what rules say, and what judgements found. Where those are English in a page
//! of another language they are marked, so that a screen reader pronounces them properly.

use jiff::Timestamp;
use serde::Deserialize;
use std::{collections::BTreeMap, sync::OnceLock};

/// A language that a report can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// French.
    French,
}

/// A file of phrases.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dictionary {
    schema: String,
    months: Vec<String>,
    phrases: BTreeMap<String, String>,
}

/// The French phrases.
const FRENCH: &str = include_str!("../../../../data/report/fr.toml");

/// A narrow space that does not break, as French sets between thousands.
const NARROW_SPACE: char = '\u{202f}';

fn french() -> &'static Dictionary {
    static PHRASES: OnceLock<Dictionary> = OnceLock::new();
    PHRASES.get_or_init(|| {
        let phrases: Dictionary = toml::from_str(FRENCH).expect("the bundled phrases parse, which a test shows");
        assert!(phrases.schema == "phrases/1" && phrases.months.len() == 12, "the bundled phrases are whole");
        phrases
    })
}

impl Language {
    /// Returns the language's code, as for the `lang` attribute.
    pub fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::French => "fr",
        }
    }

    /// Returns the attribute that marks English in a page of this language; nothing in an English page.
    pub fn english(self) -> &'static str {
        match self {
            Self::English => "",
            Self::French => " lang=\"en\"",
        }
    }

    /// Returns a phrase in this language; the phrase itself where it has no translation.
    pub fn say(self, phrase: &str) -> &str {
        match self {
            Self::English => phrase,
            Self::French => french().phrases.get(phrase).map_or(phrase, String::as_str),
        }
    }

    /// Returns a phrase in this language, each `{name}` in it replaced.
    pub fn fill(self, phrase: &str, values: &[(&str, &str)]) -> String {
        let mut said = String::new();
        let mut rest = self.say(phrase);
        // One pass, so that what stands in a value is never taken for a name.
        while let Some((before, after)) = rest.split_once('{') {
            said.push_str(before);
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            said.push_str(values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value));
            rest = after;
        }
        said.push_str(rest);
        said
    }

    /// Returns whether a count takes the singular; in French, none does.
    pub fn is_one(self, n: usize) -> bool {
        match self {
            Self::English => n == 1,
            Self::French => n < 2,
        }
    }

    /// Returns a count with its noun, for instance `1 click` or `3 clicks`.
    pub fn count(self, n: usize, one: &str, many: &str) -> String {
        format!("{} {}", self.whole(n), self.say(if self.is_one(n) { one } else { many }))
    }

    /// Returns a whole number; from 10,000 on its thousands are set apart in French.
    pub fn whole(self, n: usize) -> String {
        let digits = n.to_string();
        if self == Self::English || digits.len() < 5 {
            return digits;
        }
        let mut set = String::new();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                set.push(NARROW_SPACE);
            }
            set.push(digit);
        }
        set
    }

    /// Returns a number with so many decimals.
    pub fn decimal(self, value: f64, decimals: usize) -> String {
        let text = format!("{value:.decimals$}");
        match self {
            Self::English => text,
            Self::French => text.replace('.', ","),
        }
    }

    /// Returns a text in quotation marks.
    pub fn quoted(self, text: &str) -> String {
        let [open, close] = self.marks();
        format!("{open}{text}{close}")
    }

    /// Returns the quotation marks.
    pub fn marks(self) -> [&'static str; 2] {
        match self {
            Self::English => ["“", "”"],
            Self::French => ["«\u{a0}", "\u{a0}»"],
        }
    }

    /// Returns a day and its time of day, in UTC.
    pub fn moment(self, at: Timestamp) -> String {
        match self {
            Self::English => at.strftime("%-d %B %Y, %H:%M UTC").to_string(),
            Self::French => {
                let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
                let month = &french().months[usize::try_from(date.month() - 1).unwrap_or_default()];
                let day = if date.day() == 1 { "1er".to_owned() } else { date.day().to_string() };
                format!("{day} {month} {} à {}", date.year(), at.strftime("%H h %M UTC"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history;
    use std::{collections::BTreeSet, fs, path::Path};
    use vigie_trackers::Class;

    /// Returns the first text in quotation marks of each call of these functions in a source, and the second too where
    /// the function takes two.
    fn phrases_of(source: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for (call, n) in [("say(", 1), ("fill(", 1), ("count(", 2)] {
            for (at, _) in source.match_indices(call) {
                let before = source[..at].chars().next_back().unwrap_or(' ');
                let mut rest = &source[at + call.len()..];
                // The number that is counted comes first.
                if n == 2 {
                    let Some((_, after)) = rest.split_once(',') else { continue };
                    rest = after;
                }
                if before != '.' {
                    continue;
                }
                for _ in 0..n {
                    let Some(text) = rest.trim_start().strip_prefix('"') else { break };
                    let Some((text, after)) = text.split_once('"') else { break };
                    found.insert(text.to_owned());
                    rest = after.trim_start_matches(',');
                }
            }
        }
        found
    }

    /// What judgements call the things that are stored; the match keeps a new one from being forgotten.
    const CLASSES: [Class; 9] = {
        match Class::Unknown {
            Class::Necessary
            | Class::Consent
            | Class::Security
            | Class::Preference
            | Class::Audience
            | Class::Advertising
            | Class::Social
            | Class::Functional
            | Class::Unknown => {}
        }
        [
            Class::Necessary,
            Class::Consent,
            Class::Security,
            Class::Preference,
            Class::Audience,
            Class::Advertising,
            Class::Social,
            Class::Functional,
            Class::Unknown,
        ]
    };

    fn asked_for() -> BTreeSet<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut found = BTreeSet::new();
        for folder in ["src/report", "src/history", "templates", "templates/report", "templates/history"] {
            for entry in fs::read_dir(root.join(folder)).expect("the folder is there").flatten() {
                let path = entry.path();
                if path.is_file() && !path.ends_with("tests.rs") {
                    let text = fs::read_to_string(&path).expect("sources are text");
                    found.extend(phrases_of(text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default()));
                }
            }
        }
        // What a template hands to another that counts.
        let handed = ["rule conform", "rules conform", "rule not applicable", "rules not applicable"];
        found.extend(handed.map(str::to_owned));
        found.extend(CLASSES.iter().map(|class| {
            let named = serde_json::to_value(class).expect("a class has a name");
            named.as_str().expect("which is a text").to_owned()
        }));
        found.extend(history::page::OWN_NAMES.map(str::to_owned));
        found.extend(history::Group::ALL.iter().map(|group| group.title().to_owned()));
        found.extend(["breach", "conform", "not applicable", "inconclusive"].map(str::to_owned));
        found.extend(vigie_domain::Scenario::BY_DEFAULT.iter().map(|scenario| scenario.description().to_owned()));
        found
    }

    #[test]
    fn every_phrase_is_translated_and_no_other() {
        let asked = asked_for();
        let known: BTreeSet<String> = french().phrases.keys().cloned().collect();
        let missing: Vec<_> = asked.difference(&known).collect();
        let unused: Vec<_> = known.difference(&asked).collect();
        assert!(missing.is_empty() && unused.is_empty(), "missing: {missing:#?}\nunused: {unused:#?}");
        assert!(asked.len() > 200, "{} phrases were found in the sources", asked.len());
    }

    #[test]
    fn a_translation_has_the_names_of_its_phrase() {
        let names = |text: &str| {
            let parts = text.split('{').skip(1).filter_map(|part| part.split_once('}'));
            parts.map(|(name, _)| name.to_owned()).collect::<BTreeSet<_>>()
        };
        for (phrase, translation) in &french().phrases {
            assert_eq!(names(phrase), names(translation), "{phrase}");
        }
    }

    #[test]
    fn numbers_and_dates_are_in_the_language_s_way() {
        let at: Timestamp = "2026-08-01T09:05:00Z".parse().unwrap();
        assert_eq!(Language::English.moment(at), "1 August 2026, 09:05 UTC");
        assert_eq!(Language::French.moment(at), "1er août 2026 à 09 h 05 UTC");
        assert_eq!(Language::French.decimal(2.5, 1), "2,5");
        assert_eq!(Language::French.whole(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(Language::French.count(0, "click", "clicks"), "0 clic");
        assert_eq!(Language::English.count(0, "click", "clicks"), "0 clicks");
    }

    #[test]
    fn what_stands_in_a_value_is_not_filled() {
        assert_eq!(Language::English.fill("{a} and {b}", &[("a", "{b}"), ("b", "two")]), "{b} and two");
    }
}
