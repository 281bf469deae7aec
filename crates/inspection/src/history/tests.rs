//! Histories of a few made-up inspections.

use super::*;
use crate::{
    catalogue::Catalogue, classify::classify, judge::tests::build, judge::tests::classifier, report::Language,
};

fn inspection(spoil: impl FnOnce(&mut crate::evidence::Evidence)) -> Inspection {
    let mut evidence = build::good();
    spoil(&mut evidence);
    let classified = classify(&evidence, classifier());
    let findings = crate::judge::judge(&evidence, &classified, Catalogue::bundled());
    Inspection::new(&evidence, &classified, &findings)
}

fn at(day: &str) -> Timestamp {
    format!("{day}T10:00:00Z").parse().unwrap()
}

fn without_refusal() -> Inspection {
    inspection(|evidence| {
        build::remove(evidence, vigie_banner::Role::RefuseAll);
        evidence.refuse = None;
    })
}

fn series<'a>(history: &'a History, what: &str) -> &'a Series {
    history.series.iter().find(|series| series.subject.what == what).unwrap()
}

#[test]
fn a_refuse_button_that_appears_is_told_by_the_days_on_which_it_was_and_was_not_seen() {
    let inspections = [
        (at("2022-02-14"), inspection(|_| {})),
        (at("2021-06-01"), without_refusal()),
        (at("2021-12-01"), without_refusal()),
    ];
    let history = History::of("shop.test", &inspections);
    let words = Clock::Days.spans_in_words(&series(&history, "refuse all").spans);
    assert_eq!(words, "absent 2021-06-01 to 2021-12-01; first seen present 2022-02-14");
    assert_eq!(
        Clock::Days.spans_in_words(&series(&history, "to refuse").spans),
        "no way found 2021-06-01 to 2021-12-01; first seen 1 2022-02-14"
    );
    assert!(!series(&history, "accept all").changed());
}

#[test]
fn two_inspections_of_one_day_are_told_by_the_minute() {
    let at = |time: &str| format!("2026-01-01T{time}:00Z").parse::<Timestamp>().unwrap();
    let history = History::of("shop.test", &[(at("10:00"), without_refusal()), (at("14:05"), inspection(|_| {}))]);
    assert!(history.in_words().contains("refuse all: absent 2026-01-01 10:00; first seen present 2026-01-01 14:05"));
    assert!(page::render(Language::English, &history).unwrap().contains("first seen present 2026-01-01 14:05"));
}

#[test]
fn an_inspection_that_did_not_get_in_changes_nothing() {
    let blocked = inspection(|evidence| evidence.outcome = Outcome::Blocked);
    let inspections =
        [(at("2026-01-01"), inspection(|_| {})), (at("2026-02-01"), blocked), (at("2026-03-01"), inspection(|_| {}))];
    let history = History::of("shop.test", &inspections);
    assert_eq!(history.not_inspected, [at("2026-02-01")]);
    assert!(history.series.iter().all(|series| !series.changed()));
}

#[test]
fn two_inspections_are_compared_subject_by_subject() {
    let found = differences(&without_refusal(), &inspection(|_| {})).unwrap();
    let refuse = found.iter().find(|difference| difference.subject.what == "refuse all").unwrap();
    assert_eq!((refuse.before.as_str(), refuse.after.as_str()), (ABSENT, "present"));
    assert!(found.iter().any(|difference| difference.subject.group == Group::Findings));
    assert_eq!(differences(&inspection(|_| {}), &inspection(|_| {})), Some(Vec::new()));
}

#[test]
fn the_page_escapes_what_comes_from_the_site_and_tells_the_same_in_words() {
    let inspections = [(at("2026-01-01"), without_refusal()), (at("2026-02-01"), inspection(|_| {}))];
    let mut history = History::of("shop.test", &inspections);
    history.series.iter_mut().for_each(|series| series.subject.what.push_str("<script>"));
    let page = page::render(Language::English, &history).unwrap();
    assert!(!page.contains("<script>") && page.contains("&#60;script&#62;"), "unescaped");
    assert!(page.contains("first seen present 2026-02-01"));
}

#[test]
fn the_page_is_in_french_where_that_is_asked_for() {
    let inspections = [(at("2026-01-01"), without_refusal()), (at("2026-02-01"), inspection(|_| {}))];
    let page = page::render(Language::French, &History::of("shop.test", &inspections)).unwrap();
    for expected in [
        "<html lang=\"fr\">",
        "<bdi>tout refuser</bdi></th><td>absent, 2026-01-01; vu pour la première fois : présent, 2026-02-01</td>",
        "<bdi>CK-05 ",
        "écart, 2026-01-01; vu pour la première fois : conforme, 2026-02-01",
    ] {
        let plain = page.replace(['\u{a0}', '\u{202f}'], " ");
        assert!(plain.contains(expected), "{expected}: {plain}");
    }
    for english in ["first seen", "absent 2026", " things", "breach", "Refusal", "inspections, 2026"] {
        assert!(!page.split("</style>").last().unwrap().contains(english), "{english}: {page}");
    }
}

#[test]
fn every_name_of_ours_is_known_to_the_page() {
    for (subject, value) in facts(&without_refusal()).unwrap() {
        if matches!(subject.group, Group::Banner | Group::FirstLayer | Group::Clicks) {
            assert!(page::OWN_NAMES.contains(&subject.what.as_str()), "{subject:?} {value}");
        }
    }
}
