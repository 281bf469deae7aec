//! The phrases of consent, per language: what controls, purposes, notices and decoys are called.
//!
//! The data are files (`data/lexicon/*.toml`), embedded when the program is built. Here they are compiled once into
//! indexes that are asked for every label and every text. What a language's text looks like is in
//! [`crate::language`]; where labels come from, in [`crate::labels`].
//!
//! The surprise: all languages are tried at once, since pages mix them; the language of the surface only settles ties.

use crate::{
    model::Role,
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
/// How many words a label may have besides a phrase that still names it.
const FURTHER_WORDS: usize = 2;
/// Labels with more words than this are sentences.
const LABEL_WORDS: usize = 14;

/// A language of the lexicon: its place in the list of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Lang(pub u8);

/// What a label says, finer than a [`Role`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Class {
    RefuseAll,
    OnlyNecessary,
    Refuse,
    VagueRefuse,
    AcceptAll,
    Save,
    Accept,
    Reopen,
    Settings,
    Partners,
    Policy,
    Pay,
    Acknowledge,
    DenyOne,
    AllowOne,
    Close,
}

impl Class {
    const ALL: [(Self, &'static str); 16] = [
        (Self::RefuseAll, "refuse_all"),
        (Self::OnlyNecessary, "only_necessary"),
        (Self::Refuse, "refuse"),
        (Self::VagueRefuse, "vague_refuse"),
        (Self::AcceptAll, "accept_all"),
        (Self::Save, "save"),
        (Self::Accept, "accept"),
        (Self::Reopen, "reopen"),
        (Self::Settings, "settings"),
        (Self::Partners, "partners"),
        (Self::Policy, "policy"),
        (Self::Pay, "pay"),
        (Self::Acknowledge, "acknowledge"),
        (Self::DenyOne, "deny_one"),
        (Self::AllowOne, "allow_one"),
        (Self::Close, "close"),
    ];

    /// Returns the role that goes with it.
    pub fn role(self) -> Role {
        match self {
            Self::AcceptAll | Self::Accept | Self::Acknowledge | Self::AllowOne => Role::AcceptAll,
            Self::RefuseAll | Self::OnlyNecessary | Self::Refuse | Self::VagueRefuse | Self::DenyOne => Role::RefuseAll,
            Self::Save => Role::SaveSelection,
            Self::Settings | Self::Reopen => Role::Settings,
            Self::Partners => Role::PartnerList,
            Self::Policy => Role::Policy,
            Self::Pay => Role::Pay,
            Self::Close => Role::Close,
        }
    }

    /// Returns how sure a label is that equals a phrase of this class.
    fn confidence(self) -> f32 {
        match self {
            Self::AcceptAll | Self::RefuseAll => 0.98,
            Self::Accept | Self::Refuse | Self::OnlyNecessary | Self::Save | Self::Settings | Self::Reopen => 0.95,
            Self::Pay | Self::Partners | Self::Policy | Self::Close => 0.92,
            Self::Acknowledge | Self::VagueRefuse | Self::AllowOne | Self::DenyOne => 0.85,
        }
    }

    /// Returns whether it decides: accepts, refuses or saves.
    pub fn decides(self) -> bool {
        matches!(self.role(), Role::AcceptAll | Role::RefuseAll | Role::SaveSelection)
    }
}

/// How a label was understood.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reading {
    pub class: Class,
    pub language: Lang,
    pub confidence: f32,
    pub vague: bool,
    /// Words of the label outside the phrase.
    pub further: usize,
    letters: usize,
}

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

/// Words that turn "accept" into its contrary. Folded; two letters and more, since shorter ones mean too much.
const NEGATIONS: &[&str] = &[
    "not",
    "don",
    "dont",
    "without",
    "never",
    "nicht",
    "ohne",
    "kein",
    "keine",
    "keinen",
    "pas",
    "sans",
    "aucun",
    "senza",
    "nessun",
    "nessuno",
    "sin",
    "ningun",
    "ninguna",
    "sem",
    "nao",
    "nenhum",
    "niet",
    "geen",
    "zonder",
    "ikke",
    "uden",
    "uten",
    "ingen",
    "inte",
    "utan",
    "inga",
    "ala",
    "ilman",
    "nie",
    "bez",
    "zadne",
    "zadnych",
    "nem",
    "nelkul",
    "fara",
    "niciun",
    "ne",
    "brez",
    "без",
    "не",
    "δεν",
    "χωρις",
    "μην",
    "neturi",
    "nesutinku",
    "nav",
    "mitte",
    "ilma",
    "hindri",
    "gan",
    "minghajr",
    "mhux",
    "ekki",
    "sense",
    "degil",
    "olmadan",
];

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
    controls: PhraseSet<(Lang, Class)>,
    purposes: PhraseSet<(Lang, Purpose)>,
    subjects: PhraseSet<Lang>,
    notices: PhraseSet<Lang>,
    statements: PhraseSet<(Lang, Statement)>,
    decoys: PhraseSet<(Lang, Decoy)>,
    /// Words that occur only in what saves a selection, to tell "accept selected" from "accept cookies".
    selecting: PhraseSet<()>,
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

    /// Returns what a control with this label does, how sure that is (0.6 to 1), and whether it is vague or partial.
    ///
    /// `None` if the words are not known. `language_hint` (ISO 639-1) settles ties between languages.
    pub fn classify_label(&self, label: &str, language_hint: Option<&str>) -> Option<(Role, f32, bool)> {
        let hint = language_hint.and_then(|code| self.language(code));
        self.read_label(label, hint).map(|reading| (reading.class.role(), reading.confidence, reading.vague))
    }

    /// Returns how a label is understood; `None` if its words are not known.
    pub(crate) fn read_label(&self, label: &str, hint: Option<Lang>) -> Option<Reading> {
        let words = Words::new(label);
        if words.is_empty() || words.len() > LABEL_WORDS {
            return None;
        }
        let best = self.whole_label(&words, hint).or_else(|| self.within_label(&words, hint))?;
        Some(self.guarded(&words, best))
    }

    fn whole_label(&self, words: &Words, hint: Option<Lang>) -> Option<(Reading, usize, usize)> {
        let mut best: Option<(Reading, usize, usize)> = None;
        for start in 0..words.len().min(FURTHER_WORDS + 1) {
            self.controls.matches_at(words, start, |end, phrase, &(language, class)| {
                let further = words.len() - (end - start);
                // Words that say little alone are, with further words, about those.
                let most = match class {
                    // "Continue shopping", "Load video".
                    Class::Acknowledge | Class::AllowOne | Class::DenyOne => usize::from(end - start > 1),
                    Class::Close => 1,
                    // "More", "Cookies": with further words they may be anything.
                    Class::Policy if end - start == 1 => 0,
                    _ => FURTHER_WORDS,
                };
                if further > most.min(end - start + 1) {
                    return;
                }
                let confidence = (class.confidence() - 0.05 * further as f32).max(0.8);
                let reading = Reading {
                    class,
                    language,
                    confidence,
                    vague: class == Class::VagueRefuse,
                    further,
                    letters: phrase.letters(),
                };
                if best.as_ref().is_none_or(|(other, ..)| is_better(&reading, other, hint)) {
                    best = Some((reading, start, end));
                }
            });
        }
        best
    }

    /// Reads a label that holds a phrase among more words, such as "Yes, I accept all cookies of this site".
    fn within_label(&self, words: &Words, hint: Option<Lang>) -> Option<(Reading, usize, usize)> {
        let mut best: Option<(Reading, usize, usize)> = None;
        self.controls.matches(words, |start, end, phrase, &(language, class)| {
            if end - start < 2 && !matches!(class, Class::AcceptAll | Class::Accept | Class::RefuseAll | Class::Refuse)
            {
                return;
            }
            let reading = Reading {
                class,
                language,
                confidence: 0.6,
                vague: class == Class::VagueRefuse,
                further: words.len() - (end - start),
                letters: phrase.letters(),
            };
            if best.as_ref().is_none_or(|(other, ..)| is_better(&reading, other, hint)) {
                best = Some((reading, start, end));
            }
        });
        best
    }

    /// Looks at the words outside the phrase: a negation or "only necessary" turns an acceptance around.
    fn guarded(&self, words: &Words, (mut reading, start, end): (Reading, usize, usize)) -> Reading {
        if reading.further == 0 || !matches!(reading.class, Class::Accept | Class::AcceptAll | Class::AllowOne) {
            return reading;
        }
        let outside = (0..words.len()).filter(|at| !(start..end).contains(at));
        let (mut negated, mut necessary, mut selecting) = (false, false, false);
        for at in outside {
            negated |= NEGATIONS.contains(&words.get(at));
            self.purposes.matches_at(words, at, |_, _, &(language, purpose)| {
                necessary |= purpose == Purpose::Necessary && language == reading.language;
            });
            self.selecting.matches_at(words, at, |_, _, ()| selecting = true);
        }
        if negated {
            reading = Reading { class: Class::Refuse, confidence: 0.7, ..reading };
        } else if necessary {
            reading = Reading { class: Class::OnlyNecessary, confidence: 0.8, ..reading };
        } else if selecting {
            reading = Reading { class: Class::Save, confidence: 0.8, ..reading };
        }
        reading
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

/// Returns whether a reading is better: more of the label, then the hinted language, then the stronger class.
fn is_better(one: &Reading, other: &Reading, hint: Option<Lang>) -> bool {
    let rank = |reading: &Reading| (reading.letters, Some(reading.language) == hint, std::cmp::Reverse(reading.class));
    rank(one) > rank(other)
}

/// Words for yes and no, folded, for radio buttons that say nothing else.
const YES: &[&str] = &[
    "yes", "on", "ja", "an", "oui", "active", "si", "sim", "tak", "ano", "igen", "da", "да", "ναι", "kylla", "jah",
    "taip", "ta", "iva", "tha", "ea", "ie", "ar", "ligado", "aktiv",
];
const NO: &[&str] = &[
    "no", "off", "nein", "aus", "non", "nao", "nie", "ne", "nem", "nu", "не", "οχι", "ei", "nej", "nei", "nee", "le",
    "nil", "ingen",
];

impl Lexicon {
    /// Returns whether a label is a plain yes (`true`) or no (`false`).
    pub(crate) fn plain_answer(&self, label: &str) -> Option<bool> {
        let words = Words::new(label);
        let first = (!words.is_empty() && words.len() <= 2).then(|| words.get(0))?;
        if NO.contains(&first) { Some(false) } else { YES.contains(&first).then_some(true) }
    }

    /// Returns whether an answer allows (`true`) or denies (`false`); `None` where the words do not tell.
    pub(crate) fn answer(&self, label: &str, hint: Option<Lang>) -> Option<bool> {
        if let Some(answer) = self.plain_answer(label) {
            return Some(answer);
        }
        let words = Words::new(label);
        let first = (!words.is_empty()).then(|| words.get(0))?;
        if let Some(reading) = self.read_label(label, hint) {
            match reading.class.role() {
                Role::AcceptAll => return Some(true),
                Role::RefuseAll => return Some(false),
                _ => {}
            }
        }
        if words.iter().any(|word| NEGATIONS.contains(&word)) || NO.contains(&first) {
            return Some(false);
        }
        if YES.contains(&first) {
            return Some(true);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EN: &str = r#"
        schema = "lexicon/1"
        language = "en"
        name = "English"
        [controls]
        accept_all = ["accept all", "allow all"]
        accept = ["accept", "agree"]
        refuse = ["reject", "do not accept"]
        only_necessary = ["only necessary"]
        save = ["save selection", "accept selected"]
        settings = ["settings", "cookie settings"]
        policy = ["cookie policy"]
        [purposes]
        necessary = ["necessary", "essential"]
        advertising = ["advertis*", "marketing"]
        [surface]
        subject = ["cookie*"]
        notice = ["we use * cookies"]
    "#;

    fn check(label: &str, expected: Option<Role>) {
        let lexicon = Lexicon::from_files([("en", EN)]).expect("a lexicon");
        assert_eq!(lexicon.classify_label(label, None).map(|found| found.0), expected, "{label}");
    }

    #[test]
    fn labels_are_read_by_their_longest_phrase() {
        check("Accept all", Some(Role::AcceptAll));
        check("✓ Accept all cookies", Some(Role::AcceptAll));
        check("Do not accept", Some(Role::RefuseAll));
        check("I do not accept cookies", Some(Role::RefuseAll));
        check("Accept only necessary", Some(Role::RefuseAll));
        check("Accept essential cookies", Some(Role::RefuseAll));
        check("Accept my selection", Some(Role::SaveSelection));
        check("Accept marketing cookies", Some(Role::AcceptAll));
        check("Continue without: accept", Some(Role::RefuseAll));
        check("Cookie settings", Some(Role::Settings));
        check("Weather", None);
    }

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
}
