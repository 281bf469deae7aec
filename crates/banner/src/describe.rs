//! What a surface's text says: its purposes and statements.

use crate::{
    lexicon::{Lang, Lexicon, Statement},
    marks::Reader,
    model::{NamedPurpose, Statements},
    text::{Words, sentence_around},
};
use vigie_domain::Purpose;

/// Returns the languages whose phrases count for a text: its own, and English, which sites mix in.
pub(crate) fn languages(reader: &Reader, language: Option<Lang>) -> Vec<Lang> {
    let lexicon: &Lexicon = reader.lexicon;
    let mut languages: Vec<Lang> = language.into_iter().chain(lexicon.language("en")).collect();
    languages.dedup();
    languages
}

/// Returns the purposes that a text names, each once, with the words that name it.
pub(crate) fn purposes(reader: &Reader, text: &str, words: &Words, language: Option<Lang>) -> Vec<NamedPurpose> {
    let mut found: Vec<NamedPurpose> = Vec::new();
    let languages = languages(reader, language);
    // "To improve your experience" names no purpose, though "experience" alone may hint at comfort.
    let mut is_imprecise = vec![false; words.len()];
    reader.lexicon.statements_in(words, &languages, |start, end, statement| {
        if statement == Statement::Imprecise {
            is_imprecise[start..end].fill(true);
        }
    });
    reader.lexicon.purposes_in(words, &languages, |start, end, purpose| {
        if purpose == Purpose::Preferences && is_imprecise[start..end].iter().all(|&is_so| is_so) {
            return;
        }
        if !found.iter().any(|named| named.purpose == purpose) {
            let (from, to) = words.source(start, end);
            found.push(NamedPurpose { purpose, words: text[from..to].to_owned() });
        }
    });
    found
}

/// Returns what else a text says.
pub(crate) fn statements(reader: &Reader, text: &str, words: &Words, language: Option<Lang>) -> Statements {
    let mut said = Statements::default();
    let languages = languages(reader, language);
    reader.lexicon.statements_in(words, &languages, |start, end, statement| {
        let (from, to) = words.source(start, end);
        let sentence = || Some(sentence_around(text, from, to));
        match statement {
            Statement::ImpliedConsent => said.implied_consent = said.implied_consent.take().or_else(sentence),
            Statement::EffectOfIgnoring => said.effect_of_ignoring = said.effect_of_ignoring.take().or_else(sentence),
            Statement::Withdrawal => said.withdrawal = said.withdrawal.take().or_else(sentence),
            Statement::Consequences => said.consequences = said.consequences.take().or_else(sentence),
            Statement::Partners => said.partners = said.partners.take().or_else(sentence),
            Statement::Threat => said.threat = said.threat.take().or_else(sentence),
            Statement::LegitimateInterest => {
                said.legitimate_interest = said.legitimate_interest.take().or_else(sentence);
            }
            Statement::Imprecise => {
                let phrase = text[from..to].to_owned();
                if said.imprecise.len() < 8 && !said.imprecise.contains(&phrase) {
                    said.imprecise.push(phrase);
                }
            }
        }
    });
    said
}

/// Returns whether a few words speak of legitimate interest.
pub(crate) fn mentions_legitimate_interest(reader: &Reader, text: &str, language: Option<Lang>) -> bool {
    let mut found = false;
    let languages = languages(reader, language);
    reader.lexicon.statements_in(&Words::new(text), &languages, |_, _, statement| {
        found |= statement == Statement::LegitimateInterest;
    });
    found
}
