//! What visits leave behind, told from small records.

use super::*;
use crate::judge::tests::{
    build::{self, HOST, Play, accepted, good, put, refused, untouched},
    classifier,
};
use vigie_domain::record::{BlockedCookie, EventKind};
use vigie_trackers::Party;

fn classified(change: impl FnOnce(&mut Evidence)) -> Classified {
    let mut evidence = good();
    change(&mut evidence);
    classify(&evidence, classifier())
}

fn s0<R>(before: impl FnOnce(&mut Play) -> R) -> VisitFacts {
    classified(|evidence| put(evidence, untouched(before))).visit("S0").unwrap().clone()
}

fn cookie<'a>(facts: &'a VisitFacts, name: &str) -> &'a CookieFact {
    facts.cookies.iter().find(|cookie| cookie.name == name).unwrap()
}

#[test]
fn a_cookie_has_its_life_writer_and_party() {
    let facts = s0(|play| play.trackers(1));
    let ga = cookie(&facts, "_ga");
    assert_eq!(ga.lifetime_s, Some(31_536_000));
    assert_eq!(ga.party, Party::First);
    assert_eq!(ga.set_by.as_deref(), Some("https://www.googletagmanager.com/gtag/js?id=G-ABCDEF1234"));
    assert_eq!(ga.is.exempt, Some(false));
    assert!(ga.traces.at_end && ga.needs_consent());
}

#[test]
fn without_a_write_seen_the_life_is_what_the_jar_says() {
    let mut visit = untouched(|play| play.cookie("_ga", "GA1.1.1928374650.1764000000", "https://shop.test/app.js"));
    visit.events.retain(|event| !matches!(event.kind, EventKind::CookieWritten { .. }));
    let sampled_s = visit.samples[0].at_ms as f64 / 1000.0;
    let facts = classified(|evidence| put(evidence, visit)).visit("S0").unwrap().clone();
    assert_eq!(cookie(&facts, "_ga").lifetime_s, Some((31_536_000.0 - sampled_s).round() as i64));
}

#[test]
fn a_cookie_of_a_third_party_goes_by_its_domain() {
    let facts =
        s0(|play| play.header_cookie("fr", "0aBcDeFgHiJkLmNoPq", "facebook.com", "https://www.facebook.com/tr"));
    let fr = cookie(&facts, "fr");
    assert_eq!((fr.party, fr.title().as_str()), (Party::Third, "fr (facebook.com)"));
    assert_eq!(fr.is.exempt, Some(false));
}

#[test]
fn what_the_browser_refused_is_listed_with_its_reason() {
    let facts = s0(|play| {
        play.request("https://www.facebook.com/tr?id=1", "image");
        let id = "r3".to_owned();
        let withheld = BlockedCookie {
            name: "fr".to_owned(),
            domain: "facebook.com".to_owned(),
            reasons: vec!["ThirdPartyBlockedInFirstPartySet".to_owned()],
        };
        play.push(EventKind::ResponseHeaders { id, headers: Vec::new(), blocked: vec![withheld] });
    });
    let fr = cookie(&facts, "fr");
    assert_eq!(fr.blocked.as_deref(), Some("ThirdPartyBlockedInFirstPartySet"));
    assert_eq!(fr.set_by.as_deref(), Some("https://www.facebook.com/tr?id=1"));
    assert!(!fr.needs_consent());
}

#[test]
fn what_both_choices_write_is_the_record_of_the_choice() {
    let script = format!("https://{HOST}/app.js");
    let facts = classified(|evidence| {
        put(evidence, refused(|play| play.cookie("qz", "a", &script)));
        put(evidence, accepted(|_| {}, |play| play.cookie("qz", "b", &script)));
    });
    let found = cookie(facts.visit("S1").unwrap(), "qz");
    assert_eq!((found.is.class, found.is.exempt), (Class::Consent, Some(true)));
    // Written before the choice as well, it is no record of it.
    let facts = classified(|evidence| {
        put(evidence, untouched(|play| play.cookie("qz", "a", &script)));
        put(evidence, refused(|play| play.cookie("qz", "a", &script)));
        put(evidence, accepted(|_| {}, |play| play.cookie("qz", "b", &script)));
    });
    assert_ne!(cookie(facts.visit("S1").unwrap(), "qz").is.class, Class::Consent);
}

#[test]
fn trackers_are_counted_by_host_with_all_their_requests() {
    let facts = s0(|play| {
        play.trackers(1);
        play.request("https://www.google-analytics.com/g/collect?v=2&en=scroll", "ping");
    });
    let counts: Vec<(&str, usize)> =
        facts.trackers.iter().map(|tracker| (tracker.host.as_str(), tracker.requests)).collect();
    assert_eq!(
        counts,
        [
            ("connect.facebook.net", 1),
            ("www.facebook.com", 1),
            ("www.google-analytics.com", 2),
            ("www.googletagmanager.com", 1)
        ]
    );
    assert!(facts.trackers.iter().all(|tracker| tracker.host != HOST && !tracker.by_behaviour));
}

#[test]
fn a_third_party_that_is_sent_an_identifier_is_a_tracker_by_behaviour() {
    let url = "https://beacon.unlisted.test/hit?page=1";
    let facts = s0(|play| {
        play.request(url, "image");
        play.header_cookie("seen", "6ba7b810-9dad-41d1-80b4-00c04fd430c8", "unlisted.test", url);
    });
    let found = &facts.trackers[0];
    assert_eq!((found.host.as_str(), found.by_behaviour), ("beacon.unlisted.test", true));
    assert_eq!(cookie(&facts, "seen").is.exempt, Some(false));
}

#[test]
fn an_ordinary_page_has_no_trackers() {
    let facts = s0(|play| play.request("https://fonts.gstatic.com/s/inter.woff2", "font"));
    assert!(facts.trackers.is_empty(), "{:?}", facts.trackers);
    assert!(facts.cookies.is_empty());
    assert_eq!(facts.requests.len(), 3);
}

#[test]
fn an_identifier_in_an_address_is_egress() {
    let facts = s0(|play| {
        play.cookie("_ga", "GA1.1.8374650192.1764000000", "https://www.googletagmanager.com/gtag/js");
        play.request("https://www.google-analytics.com/g/collect?v=2&cid=8374650192.1764000000", "script");
    });
    let hit = facts.requests.iter().find(|request| request.host == "www.google-analytics.com").unwrap();
    assert!(hit.identifier);
    assert_eq!(hit.reading(), Some(Reading::Identifier));
}

#[test]
fn the_choice_is_the_click_even_if_the_step_names_what_came_after() {
    let mut evidence = good();
    let visit = evidence.visit(Scenario::S1).unwrap().clone();
    let click = choice_event(&evidence, &visit).unwrap();
    assert!(matches!(visit.events[click as usize].kind, EventKind::Input { .. }));
    evidence.refuse.as_mut().unwrap().steps[0].event = Some(click + 1);
    assert_eq!(choice_event(&evidence, &visit), Some(click));
}

#[test]
fn the_choice_of_s3_is_the_withdrawal_and_of_s4_the_saving() {
    let evidence = good();
    let label = |name: &str| {
        let visit = evidence.visit_named(name).unwrap();
        match &visit.events[choice_event(&evidence, visit).unwrap() as usize].kind {
            EventKind::Input { target, .. } => target.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((label("S3").as_str(), label("S4").as_str()), ("Reject all", "Save"));
    assert_eq!(label("S5-scroll"), "scroll");
    assert_eq!(choice_event(&evidence, evidence.visit(Scenario::S0).unwrap()), None);
}

#[test]
fn classifying_twice_gives_the_same() {
    let evidence = build::good();
    assert_eq!(classify(&evidence, classifier()), classify(&evidence, classifier()));
}
