//! What a label says: "Accept all", "Continue without accepting", "Save my choices".
//!
//! The longest phrase wins, so that "do not accept" is never read as "accept". Words outside the phrase are looked at
//! too: a negation, "only necessary" or "selected" turns an acceptance into something else.

use crate::{
    lexicon::{Lang, Lexicon},
    model::Role,
    text::Words,
};
use vigie_domain::Purpose;

/// How many words a label may have besides a phrase that still names it.
const FURTHER_WORDS: usize = 2;
/// Labels with more words than this are sentences.
const LABEL_WORDS: usize = 14;

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
    pub(crate) const ALL: [(Self, &'static str); 16] = [
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

impl Lexicon {
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
    pub(crate) fn plain_answer(label: &str) -> Option<bool> {
        let words = Words::new(label);
        let first = (!words.is_empty() && words.len() <= 2).then(|| words.get(0))?;
        if NO.contains(&first) { Some(false) } else { YES.contains(&first).then_some(true) }
    }

    /// Returns whether an answer allows (`true`) or denies (`false`); `None` where the words do not tell.
    pub(crate) fn answer(&self, label: &str, hint: Option<Lang>) -> Option<bool> {
        if let Some(answer) = Self::plain_answer(label) {
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
}
