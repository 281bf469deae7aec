//! The catalogue in `rules/` is whole: forty files, each a rule, named as it is named, each with a source.

use std::{collections::BTreeSet, fs, path::PathBuf};
use vigie_domain::{Rule, RuleId, rule::Checked};

/// The rules that this version judges. The list changes together with the judgements in `inspection`.
const JUDGED: [u8; 38] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
    32, 33, 34, 35, 36, 37, 38,
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../rules")
}

fn text_of(number: u8) -> String {
    let path = folder().join(format!("{}.toml", RuleId::ck(number)));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn catalogue() -> Vec<Rule> {
    (1..=RuleId::LAST)
        .map(|number| Rule::parse(&text_of(number)).unwrap_or_else(|error| panic!("{}: {error}", RuleId::ck(number))))
        .collect()
}

#[test]
fn every_file_is_named_after_its_rule() {
    for (number, rule) in (1..).zip(catalogue()) {
        assert_eq!(rule.id, RuleId::ck(number));
        assert_eq!(rule.schema, "rule/1", "{}", rule.id);
    }
}

#[test]
fn nothing_else_lies_in_the_catalogue() {
    let expected: BTreeSet<String> = (1..=RuleId::LAST)
        .map(|number| format!("{}.toml", RuleId::ck(number)))
        .chain(["README.md".to_owned(), "edition.toml".to_owned()])
        .collect();
    let found: BTreeSet<String> = fs::read_dir(folder())
        .expect("the folder `rules` exists")
        .map(|entry| entry.expect("the folder can be listed").file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn every_rule_cites_a_text_that_somebody_looked_at() {
    for rule in catalogue() {
        assert!(
            rule.sources.iter().any(|source| source.checked != Checked::FromMemory),
            "{} cites nothing, or from memory alone",
            rule.id
        );
        let cites: BTreeSet<&str> = rule.sources.iter().map(|source| source.cite.as_str()).collect();
        assert_eq!(cites.len(), rule.sources.len(), "{} cites a text twice", rule.id);
    }
}

#[test]
fn every_text_can_be_printed_as_it_stands() {
    for rule in catalogue() {
        let id = rule.id;
        assert!(!rule.title.is_empty() && !rule.title.ends_with('.'), "{id}: a title is no sentence");
        let title_fr = rule.title_fr.as_ref().unwrap_or_else(|| panic!("{id} has no French title"));
        assert!(!title_fr.is_empty() && !title_fr.ends_with('.'), "{id}: a title is no sentence");
        assert!(rule.test.ends_with('.'), "{id}: the test is in sentences");
        if let Some(question) = &rule.question {
            assert!(question.ends_with(['?', '.']), "{id}: the question is a sentence");
        }
        let cites = rule.sources.iter().map(|source| &source.cite);
        for text in
            [&rule.title, title_fr, &rule.test].into_iter().chain(&rule.ours).chain(&rule.not_judged).chain(cites)
        {
            assert_eq!(text.trim(), text, "{id}: space around a text");
            assert!(!text.contains(['\n', '\r', '\t']) && !text.contains("  "), "{id}: white space in `{text}`");
        }
    }
}

#[test]
fn the_rules_that_are_judged_are_the_ones_we_say() {
    let judged: Vec<u8> =
        catalogue().iter().filter(|rule| rule.not_judged.is_none()).map(|rule| rule.id.number()).collect();
    assert_eq!(judged, JUDGED);
}

#[test]
fn a_rule_that_is_judged_names_its_visits() {
    for rule in catalogue().iter().filter(|rule| rule.not_judged.is_none()) {
        assert!(!rule.scenarios.is_empty(), "{} looks at no visit", rule.id);
    }
}

#[test]
fn every_file_says_what_proves_it() {
    for number in 1..=RuleId::LAST {
        assert!(text_of(number).starts_with("# Proof: "), "{} does not open with its proof", RuleId::ck(number));
    }
}
