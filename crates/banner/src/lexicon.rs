//! The phrases of consent, per language: what controls, purposes, notices and decoys are called.
//!
//! The data are files (`data/lexicon/*.toml`), embedded when the program is built. Here they are compiled once into
//! indexes that are asked for every label and every text. How a label is read is in `reading`, what a language's text
//! looks like in `language`.
//!
//! The surprise: all languages are tried at once, since pages mix them; the language of the surface only settles ties.

use crate::{
    reading::Class,
    text::{Phrase, PhraseSet, Words},
};
use serde::Deserialize;
use std::{collections::BTreeMap, sync::OnceLock};
use vigie_domain::Purpose;

const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/lexicon_files.rs"));

/// How many words of a notice a lone `*` stands for, at most.
const NOTICE_GAP: u8 = 4;
/// How many words of a statement a lone `*` stands for, at most.
const STATEMENT_GAP: u8 = 6;
/// A language of the lexicon: its place in the list of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Lang(pub u8);

/// Statements a surface can make, in the order of the lexicon's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statement {
    ImpliedConsent,
    EffectOfIgnoring,
    Withdrawal,
    Consequences,
    Imprecise,
    Partners,
    Threat,
    LegitimateInterest,
}

const STATEMENTS: [(Statement, &str); 8] = [
    (Statement::ImpliedConsent, "implied_consent"),
    (Statement::EffectOfIgnoring, "effect_of_ignoring"),
    (Statement::Withdrawal, "withdrawal"),
    (Statement::Consequences, "consequences"),
    (Statement::Imprecise, "imprecise"),
    (Statement::Partners, "partners"),
    (Statement::Threat, "threat"),
    (Statement::LegitimateInterest, "legitimate_interest"),
];

/// What a pop-up is when it is not about consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decoy {
    Newsletter,
    Login,
    Age,
    Paywall,
}

const DECOYS: [(Decoy, &str); 4] =
    [(Decoy::Newsletter, "newsletter"), (Decoy::Login, "login"), (Decoy::Age, "age"), (Decoy::Paywall, "paywall")];

const PURPOSES: [(Purpose, &str); 7] = [
    (Purpose::Necessary, "necessary"),
    (Purpose::Preferences, "preferences"),
    (Purpose::Audience, "audience"),
    (Purpose::Advertising, "advertising"),
    (Purpose::Personalisation, "personalisation"),
    (Purpose::SocialMedia, "social"),
    (Purpose::Security, "security"),
];

/// Words for the subject that many languages borrow; here so that a page in a language without a file is still seen.
const SUBJECTS: [&str; 6] = ["cookie", "cookies", "gdpr", "dsgvo", "rgpd", "eprivacy"];

/// Stems of what documents are called, folded.
const DOCUMENTS: &[&str] = &[
    "polic",
    "politi",
    "poliit",
    "richtlin",
    "erklar",
    "bestimmung",
    "charte",
    "declara",
    "dichiaraz",
    "informativ",
    "aviso",
    "statement",
    "terms",
    "verklaring",
    "beleid",
    "polityk",
    "zasad",
    "regulamin",
    "iranyelv",
    "szabalyzat",
    "tajekoztat",
    "kaytan",
    "seloste",
    "pravil",
    "pravidl",
    "πολιτικ",
    "δηλωσ",
    "политик",
    "декларац",
    "beartas",
    "raiteas",
    "pareiskim",
    "deklarac",
    "pazinojum",
    "izjav",
    "personvern",
    "regler",
    "ehdot",
    "conditions",
];

#[derive(Deserialize)]
struct File {
    language: String,
    #[serde(default)]
    controls: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    purposes: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    surface: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    statements: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    decoys: BTreeMap<String, Vec<String>>,
}

/// A lexicon file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("lexicon `{name}` cannot be read")]
pub struct LexiconError {
    name: String,
    #[source]
    source: toml::de::Error,
}

/// All phrases of all languages, compiled.
#[derive(Debug, Default)]
pub struct Lexicon {
    languages: Vec<String>,
    pub(crate) controls: PhraseSet<(Lang, Class)>,
    pub(crate) purposes: PhraseSet<(Lang, Purpose)>,
    subjects: PhraseSet<Lang>,
    notices: PhraseSet<Lang>,
    statements: PhraseSet<(Lang, Statement)>,
    decoys: PhraseSet<(Lang, Decoy)>,
    /// Words that occur only in what saves a selection, to tell "accept selected" from "accept cookies".
    pub(crate) selecting: PhraseSet<()>,
}

impl Lexicon {
    /// Returns the lexicon that is built in.
    ///
    /// # Panics
    ///
    /// If a built-in file cannot be read, which a test rules out.
    pub fn bundled() -> &'static Self {
        static BUNDLED: OnceLock<Lexicon> = OnceLock::new();
        BUNDLED.get_or_init(|| Self::from_files(FILES.iter().copied()).expect("a test reads every built-in file"))
    }

    /// Compiles lexicon files, given as name and content.
    ///
    /// # Errors
    ///
    /// [`LexiconError`] for the first file that is not a lexicon.
    ///
    /// # Panics
    ///
    /// Never: the words it adds itself are words.
    pub fn from_files<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, LexiconError> {
        let mut lexicon = Self::default();
        for (name, content) in files {
            let file: File =
                toml::from_str(content).map_err(|source| LexiconError { name: name.to_owned(), source })?;
            lexicon.add(&file);
        }
        for subject in SUBJECTS {
            // Of no language: it counts for all of them alike.
            lexicon.subjects.insert(Phrase::parse(subject, 0).expect("a word"), Lang(u8::MAX));
        }
        Ok(lexicon)
    }

    fn add(&mut self, file: &File) {
        let language = Lang(self.languages.len() as u8);
        self.languages.push(file.language.clone());
        let phrases = |table: &BTreeMap<String, Vec<String>>, key: &str, gap: u8| -> Vec<Phrase> {
            table.get(key).into_iter().flatten().filter_map(|source| Phrase::parse(source, gap)).collect()
        };
        for (class, key) in Class::ALL {
            for phrase in phrases(&file.controls, key, NOTICE_GAP) {
                self.controls.insert(phrase, (language, class));
            }
        }
        for (purpose, key) in PURPOSES {
            for phrase in phrases(&file.purposes, key, 1) {
                self.purposes.insert(phrase, (language, purpose));
            }
        }
        for phrase in phrases(&file.surface, "subject", NOTICE_GAP) {
            self.subjects.insert(phrase, language);
        }
        for phrase in phrases(&file.surface, "notice", NOTICE_GAP) {
            self.notices.insert(phrase, language);
        }
        for (statement, key) in STATEMENTS {
            for phrase in phrases(&file.statements, key, STATEMENT_GAP) {
                self.statements.insert(phrase, (language, statement));
            }
        }
        for (decoy, key) in DECOYS {
            for phrase in phrases(&file.decoys, key, NOTICE_GAP) {
                self.decoys.insert(phrase, (language, decoy));
            }
        }
        self.add_selecting(file);
    }

    fn add_selecting(&mut self, file: &File) {
        let words_of = |key: &str| -> std::collections::BTreeSet<String> {
            let phrases = file.controls.get(key).into_iter().flatten();
            phrases.flat_map(|phrase| Words::new(phrase).iter().map(str::to_owned).collect::<Vec<_>>()).collect()
        };
        let elsewhere: std::collections::BTreeSet<_> =
            ["accept_all", "accept", "acknowledge"].into_iter().flat_map(words_of).collect();
        // Short words are articles and pronouns ("my", "les"), which say nothing.
        for word in words_of("save").difference(&elsewhere).filter(|word| word.chars().count() >= 5) {
            if let Some(phrase) = Phrase::parse(word, 0) {
                self.selecting.insert(phrase, ());
            }
        }
    }

    /// Returns the languages, as ISO 639-1 codes, in the order of their files.
    pub fn languages(&self) -> &[String] {
        &self.languages
    }

    /// Returns the code of a language; `None` for words of every language.
    pub(crate) fn code(&self, language: Lang) -> Option<&str> {
        self.languages.get(language.0 as usize).map(String::as_str)
    }

    /// Returns the language with this code, regions ignored (`pt-BR` is `pt`).
    pub(crate) fn language(&self, code: &str) -> Option<Lang> {
        let main = code.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
        // Both codes of Norwegian mean the same file, whichever it is called.
        let alias = match main.as_str() {
            "no" | "nn" => "nb",
            "nb" => "no",
            other => other,
        };
        let find = |wanted: &str| self.languages.iter().position(|language| language == wanted);
        find(&main).or_else(|| find(alias)).map(|at| Lang(at as u8))
    }

    /// Counts the places in a text that speak of the subject; `only` limits the languages.
    pub(crate) fn count_subjects(&self, words: &Words, only: Option<&[Lang]>) -> usize {
        if self.subjects.is_empty() {
            return 0;
        }
        let is_wanted = |language: Lang| only.is_none_or(|only| language.0 == u8::MAX || only.contains(&language));
        (0..words.len())
            .filter(|&at| {
                let mut found = false;
                self.subjects.matches_at(words, at, |_, _, &language| found |= is_wanted(language));
                found
            })
            .count()
    }

    /// Marks the words of a text that belong to a name of a policy ("Cookie Policy"), which is reading, not a question.
    pub(crate) fn policy_words(&self, words: &Words) -> Vec<bool> {
        let mut marked = vec![false; words.len()];
        self.controls.matches(words, |start, end, _, &(_, class)| {
            // "How we use cookies" may be a link to a policy, but in a text it is what the text is about.
            let is_document = |at: usize| DOCUMENTS.iter().any(|stem| words.get(at).contains(stem));
            if class == Class::Policy && (start..end).any(is_document) {
                marked[start..end].fill(true);
            }
        });
        marked
    }

    /// Calls `found(word, language)` for each word that begins a subject.
    pub(crate) fn subjects_in(&self, words: &Words, mut found: impl FnMut(usize, Lang)) {
        self.subjects.matches(words, |start, _, _, &language| found(start, language));
    }

    /// Counts notice phrases in a text, in the given languages.
    pub(crate) fn count_notices(&self, words: &Words, only: &[Lang]) -> usize {
        let mut count = 0;
        self.notices.matches(words, |_, _, _, language| count += usize::from(only.contains(language)));
        count
    }

    /// Calls `found(language)` for each word or phrase of the lexicon in a text: evidence of its language.
    pub(crate) fn languages_in(&self, words: &Words, mut found: impl FnMut(Lang, f32)) {
        self.notices.matches(words, |_, _, phrase, &language| found(language, 0.05 * phrase.letters() as f32));
        self.subjects.matches(words, |_, _, _, &language| found(language, 0.15));
        self.purposes.matches(words, |_, _, _, &(language, _)| found(language, 0.15));
        self.controls.matches(words, |start, end, _, &(language, _)| {
            if end - start >= 2 {
                found(language, 0.4);
            }
        });
    }

    /// Calls `found(start, end, purpose)` for each purpose named in a text, in the given languages.
    pub(crate) fn purposes_in(&self, words: &Words, only: &[Lang], mut found: impl FnMut(usize, usize, Purpose)) {
        self.purposes.matches(words, |start, end, _, &(language, purpose)| {
            if only.contains(&language) {
                found(start, end, purpose);
            }
        });
    }

    /// Calls `found(start, end, statement)` for each statement in a text, in the given languages.
    pub(crate) fn statements_in(&self, words: &Words, only: &[Lang], mut found: impl FnMut(usize, usize, Statement)) {
        self.statements.matches(words, |start, end, _, &(language, statement)| {
            if only.contains(&language) {
                found(start, end, statement);
            }
        });
    }

    /// Calls `found` for each decoy's word in a text, in the given languages.
    pub(crate) fn decoys_in(&self, words: &Words, only: &[Lang], mut found: impl FnMut(Decoy)) {
        self.decoys.matches(words, |_, _, _, &(language, decoy)| {
            if only.contains(&language) {
                found(decoy);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    #[test]
    fn every_bundled_file_is_a_lexicon() {
        let lexicon = Lexicon::from_files(FILES.iter().copied()).expect("bundled files are lexicons");
        assert_eq!(lexicon.languages().len(), FILES.len());
    }

    #[test]
    fn bundled_files_have_no_unknown_keys() {
        for (name, content) in FILES {
            let file: File = toml::from_str(content).expect("a lexicon");
            let known = |table: &BTreeMap<String, Vec<String>>, keys: &[&str]| {
                for key in table.keys() {
                    assert!(keys.contains(&key.as_str()), "{name}: unknown key `{key}`");
                }
            };
            known(&file.controls, &Class::ALL.map(|(_, key)| key));
            known(&file.purposes, &PURPOSES.map(|(_, key)| key));
            known(&file.surface, &["subject", "notice"]);
            known(&file.statements, &STATEMENTS.map(|(_, key)| key));
            known(&file.decoys, &DECOYS.map(|(_, key)| key));
        }
    }

    #[test]
    fn each_phrase_is_read_as_what_its_file_says() {
        let lexicon = Lexicon::bundled();
        let mut wrong = String::new();
        for (_, content) in FILES {
            let file: File = toml::from_str(content).expect("a lexicon");
            for (class, key) in Class::ALL {
                for phrase in file.controls.get(key).into_iter().flatten().filter(|phrase| !phrase.contains('*')) {
                    // "Update my choices" both saves and reopens: where it stands decides.
                    let places = file.controls.values().filter(|phrases| phrases.contains(phrase)).count();
                    let read = lexicon.classify_label(phrase, Some(&file.language));
                    if places == 1 && read.map(|found| found.0) != Some(class.role()) {
                        writeln!(wrong, "{}: {key} `{phrase}` read as {read:?}", file.language).expect("a string");
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
    }
}
