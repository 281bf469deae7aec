//! Each rule on small evidence: kept, broken, not to be told, without object; and what must hold of all of them.

pub(crate) mod build;

use super::judge;
use crate::{
    catalogue::Catalogue,
    classify::classify,
    evidence::{ByKeyboard, Effect, Evidence, Outcome},
};
use build::{
    HOST, accepted, change, first, good, ignored, plain, put, refused, remove, saved, second, switch, untouched,
    withdrawn,
};
use proptest::prelude::*;
use std::sync::OnceLock;
use vigie_banner::{Nature, Role, Shape, Switch};
use vigie_domain::{Certainty, EventKind, Finding, Purpose, RuleId, Scenario, Verdict};
use vigie_trackers::Classifier;

use Verdict::{Breach, Conform, Inconclusive, NotApplicable};

/// A TC string after a refusal that keeps legitimate interest for purposes 3 and 4, and one that consents to all.
const TC_INTEREST: &str = tc::INTEREST;
const TC_CONSENT: &str = tc::CONSENT;
const TC_NOTHING: &str = tc::NOTHING;

mod tc;

pub(crate) fn classifier() -> &'static Classifier {
    static CLASSIFIER: OnceLock<Classifier> = OnceLock::new();
    CLASSIFIER.get_or_init(Classifier::bundled)
}

pub(crate) fn findings(evidence: &Evidence) -> Vec<Finding> {
    judge(evidence, &classify(evidence, classifier()), Catalogue::bundled())
}

fn finding(evidence: &Evidence, rule: u8) -> Finding {
    findings(evidence).into_iter().find(|finding| finding.rule == RuleId::ck(rule)).unwrap()
}

/// Checks one rule on evidence that is good but for one change.
fn check(rule: u8, spoil: impl FnOnce(&mut Evidence), verdict: Verdict, summary: &str) -> Finding {
    let mut evidence = good();
    spoil(&mut evidence);
    let found = finding(&evidence, rule);
    assert_eq!(found.verdict, verdict, "{}: {}", found.rule, found.summary);
    assert!(found.summary.contains(summary), "{}: `{}` lacks `{summary}`", found.rule, found.summary);
    if verdict == Breach {
        assert!(!found.evidence.is_empty(), "{}: a breach rests on something", found.rule);
    }
    found
}

fn drop_visit(evidence: &mut Evidence, name: &str) {
    evidence.visits.retain(|visit| visit.name != name);
}

fn unquiet(evidence: &mut Evidence, name: &str) {
    let visit = evidence.visits.iter_mut().find(|visit| visit.name == name).unwrap();
    for event in &mut visit.events {
        if let EventKind::Quiet { reached, .. } = &mut event.kind {
            *reached = false;
        }
    }
}

#[test]
fn a_good_site_breaks_nothing() {
    for found in findings(&good()) {
        assert_ne!(found.verdict, Breach, "{}: {}", found.rule, found.summary);
    }
}

#[test]
fn what_a_good_site_conforms_to() {
    let conform: Vec<u8> = findings(&good())
        .into_iter()
        .filter(|finding| finding.verdict == Conform)
        .map(|finding| finding.rule.number())
        .collect();
    assert_eq!(
        conform,
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 17, 18, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 33]
    );
}

#[test]
fn a_page_without_banner_and_trackers_conforms_to_what_it_can() {
    let found = findings(&plain());
    let of = |verdict: Verdict| -> Vec<u8> {
        found.iter().filter(|finding| finding.verdict == verdict).map(|finding| finding.rule.number()).collect()
    };
    assert_eq!(of(Conform), [1, 2, 3]);
    assert_eq!(of(Breach), [0_u8; 0]);
    assert_eq!(of(NotApplicable).len(), 34);
}

#[test]
fn trackers_on_a_page_without_banner_are_breaches_of_the_first_two_rules() {
    let mut evidence = plain();
    evidence.visits = vec![untouched(|play| play.trackers(1))];
    for found in findings(&evidence) {
        let expected = match found.rule.number() {
            1 | 2 => Breach,
            3 => Conform,
            24 | 34 | 35 => Inconclusive,
            number if Catalogue::bundled().rule(RuleId::ck(number)).not_judged.is_some() => Inconclusive,
            _ => NotApplicable,
        };
        assert_eq!(found.verdict, expected, "{}: {}", found.rule, found.summary);
    }
}

#[test]
fn ck_01_names_what_was_written_before_a_choice() {
    let found = check(
        1,
        |evidence| put(evidence, untouched(|play| play.trackers(1))),
        Breach,
        "2 cookies that need consent were written before any choice: ",
    );
    assert!(found.summary.contains("_ga") && found.summary.contains("_fbp"), "{}", found.summary);
    assert_eq!(found.certainty, Certainty::Deterministic);
    assert!(found.evidence.iter().all(|reference| reference.visit == "S0" && reference.event.is_some()));
    let third = |evidence: &mut Evidence| {
        let visit = untouched(|play| {
            play.request("https://www.facebook.com/tr?id=1", "image");
            play.header_cookie("fr", "0aBcDeFgHiJkLmNoPq", "facebook.com", "https://www.facebook.com/tr?id=1");
        });
        put(evidence, visit);
    };
    check(1, third, Breach, "1 cookie that needs consent was written before any choice: fr (facebook.com)");
    let stored = |evidence: &mut Evidence| {
        put(evidence, untouched(|play| play.store("taboola global:user-id", "9f3a7c55-11d2-4c8e-b1a0-77aa0f5e2d61")));
    };
    check(1, stored, Breach, "1 storage entry");
    check(1, |_| {}, Conform, "");
    check(1, |evidence| drop_visit(evidence, "S0"), Inconclusive, "not played");
    check(1, |evidence| unquiet(evidence, "S0"), Inconclusive, "not quiet");
}

#[test]
fn ck_01_an_unknown_cookie_is_a_question_and_no_breach() {
    let unknown = |evidence: &mut Evidence| {
        put(evidence, untouched(|play| play.cookie("zqx", "blue", &format!("https://{HOST}/app.js"))));
    };
    let found = check(1, unknown, Inconclusive, "zqx");
    assert_eq!(found.questions.len(), 1);
    assert!(found.questions[0].contains("`zqx`"), "{}", found.questions[0]);
}

#[test]
fn ck_01_a_key_that_only_tries_whether_it_can_be_stored_is_no_question() {
    let tried = |evidence: &mut Evidence| {
        let visit = untouched(|play| {
            play.store("tried-whether-it-works", "1");
            play.unstore("tried-whether-it-works");
        });
        put(evidence, visit);
    };
    check(1, tried, Conform, "");
}

#[test]
fn ck_01_a_cookie_that_the_browser_did_not_take_is_no_write() {
    let refused = |evidence: &mut Evidence| {
        let visit = untouched(|play| {
            let writer =
                vigie_domain::record::Writer::Script { stack: vec!["https://www.googletagmanager.com/gtag/js".into()] };
            let (name, raw) = ("_ga".to_owned(), "_ga=GA1.1.1928374650.1764000000; domain=test; path=/".to_owned());
            play.push(EventKind::CookieWritten { name, raw, writer, deleted: false });
        });
        put(evidence, visit);
    };
    check(1, refused, Conform, "");
}

#[test]
fn ck_02_tells_reads_from_code() {
    let found =
        check(2, |evidence| put(evidence, untouched(|play| play.trackers(1))), Breach, "requests to trackers left");
    assert!(found.summary.contains("www.google-analytics.com"), "{}", found.summary);
    let code = |evidence: &mut Evidence| {
        put(evidence, untouched(|play| play.request("https://www.googletagmanager.com/gtag/js?id=G-1", "script")));
    };
    let found = check(2, code, Inconclusive, "the code of 1 tracker was loaded");
    assert_eq!(found.questions.len(), 1);
    check(2, |_| {}, Conform, "");
    check(2, |evidence| drop_visit(evidence, "S0"), Inconclusive, "");
}

#[test]
fn ck_03_needs_reading_and_sending() {
    let script = "https://fp.printer.test/fp.js";
    let scan = |sends: bool| {
        move |evidence: &mut Evidence| {
            let visit = untouched(|play| {
                play.request(script, "script");
                let (api, script_url) = ("HTMLCanvasElement.toDataURL".to_owned(), Some(script.to_owned()));
                play.push(EventKind::Fingerprinting { api, script: script_url, calls: 1 });
                if sends {
                    play.request_by("https://fp.printer.test/p?h=77aa0f5e", "fetch", Some(script));
                }
            });
            put(evidence, visit);
        }
    };
    check(3, scan(true), Breach, "HTMLCanvasElement.toDataURL");
    check(3, scan(false), Conform, "nothing was seen being sent");
    check(3, |evidence| unquiet(evidence, "S0"), Inconclusive, "");
}

#[test]
fn ck_04_always_on_is_necessary() {
    let advertising = |evidence: &mut Evidence| {
        let claim =
            Switch { on: Some(true), disabled: true, exempt: true, ..switch(18, "Advertising", Purpose::Advertising) };
        second(evidence).switches.push(claim);
    };
    check(4, advertising, Breach, "`Advertising`");
    let listed = |evidence: &mut Evidence| {
        second(evidence).text = "Strictly necessary: shop_choice, _fbp. Advertising: none".to_owned();
    };
    check(4, listed, Breach, "_fbp");
    let rightly = |evidence: &mut Evidence| {
        second(evidence).text = "Strictly necessary: shop_choice. Advertising: _fbp".to_owned();
    };
    check(4, rightly, Conform, "");
    check(4, |evidence| put(evidence, refused(|play| play.trackers(1))), Inconclusive, "_ga");
    let silent = |evidence: &mut Evidence| {
        second(evidence).switches.remove(0);
        for surface in [&mut evidence.first_layer[0].surface, &mut evidence.further_layers[0].surface] {
            surface.purposes.retain(|named| named.purpose != Purpose::Necessary);
        }
    };
    check(4, silent, NotApplicable, "");
}

#[test]
fn ck_05_a_refusal_on_every_layer() {
    let found = check(
        5,
        |evidence| remove(evidence, Role::RefuseAll),
        Breach,
        "the first layer accepts in 1 click and offers no refusal",
    );
    assert!(found.evidence.iter().any(|reference| reference.picture.is_some() && reference.crop.is_some()));
    assert_eq!(found.certainty, Certainty::Deterministic);
    let preticked_below = |evidence: &mut Evidence| second(evidence).switches[1].on = Some(true);
    check(5, preticked_below, Breach, "layer 2");
    check(5, |_| {}, Conform, "2 layers");
    let notice = |evidence: &mut Evidence| {
        remove(evidence, Role::AcceptAll);
        evidence.further_layers.clear();
    };
    check(5, notice, NotApplicable, "");
}

#[test]
fn ck_05_saving_what_is_off_is_told_apart_from_refusing() {
    let saving = |evidence: &mut Evidence| {
        remove(evidence, Role::RefuseAll);
        let switches = second(evidence).switches.clone();
        first(evidence).switches = switches;
        first(evidence).controls.push(build::control(6, "Save", Role::SaveSelection));
    };
    let found = check(5, saving, Breach, "only saving the switches as they stand refuses");
    assert_eq!(found.certainty, Certainty::Heuristic);
}

#[test]
fn ck_06_counts_clicks() {
    let longer = |evidence: &mut Evidence| {
        let path = evidence.refuse.as_mut().unwrap();
        let step = path.steps[0].clone();
        path.steps.push(step);
    };
    check(6, longer, Breach, "refusing takes 2 clicks, accepting 1 click");
    let found = check(6, |evidence| evidence.refuse = None, Breach, "no way to refuse was found within 14 clicks");
    assert_eq!(found.certainty, Certainty::Heuristic);
    let cut = |evidence: &mut Evidence| {
        evidence.refuse = None;
        evidence.gaps.push("the search for a way to refuse ended early, for time".to_owned());
    };
    check(6, cut, Inconclusive, "ended early");
    check(6, |evidence| evidence.accept = None, Inconclusive, "");
    check(6, |_| {}, Conform, "refusing takes 1 click, accepting 1 click");
}

#[test]
fn ck_07_both_in_view() {
    let hidden = |evidence: &mut Evidence| {
        let phone = evidence.other_viewports[0].surface.as_mut().unwrap();
        phone.controls[1].in_reach = false;
    };
    check(7, hidden, Breach, "at 390x844");
    check(7, |evidence| evidence.other_viewports.clear(), Inconclusive, "390x844");
    check(7, |evidence| remove(evidence, Role::RefuseAll), NotApplicable, "");
    check(7, |_| {}, Conform, "1366x768, 390x844");
}

#[test]
fn ck_08_a_real_control() {
    check(8, |evidence| change(evidence, Role::RefuseAll, |control| control.nature = Nature::Link), Breach, "a link");
    check(8, |evidence| change(evidence, Role::RefuseAll, |control| control.in_text = true), Breach, "inside a text");
    let bare = |evidence: &mut Evidence| change(evidence, Role::RefuseAll, |control| control.look.shape = Shape::Plain);
    assert_eq!(check(8, bare, Breach, "bare text").certainty, Certainty::Heuristic);
    let keys = |evidence: &mut Evidence| {
        let tried =
            |label: &str, takes_focus| ByKeyboard { label: label.to_owned(), takes_focus, effect: Effect::Unknown };
        evidence.keyboard = vec![tried("Accept all", true), tried("Reject all", false)];
    };
    check(8, keys, Breach, "the keyboard reaches the acceptance and not the refusal");
    check(8, |evidence| change(evidence, Role::AcceptAll, |control| control.nature = Nature::Link), Conform, "");
    check(8, |evidence| remove(evidence, Role::RefuseAll), NotApplicable, "");
}

#[test]
fn ck_09_looks_alike() {
    let contrast =
        |of: f32| move |evidence: &mut Evidence| change(evidence, Role::RefuseAll, |c| c.look.text_contrast = of);
    check(9, contrast(1.2), Breach, "1.2:1");
    check(9, contrast(2.5), Breach, "2.5:1");
    check(9, contrast(4.0), Inconclusive, "4.0:1");
    check(9, |evidence| change(evidence, Role::RefuseAll, |c| c.look.shape = Shape::Plain), Breach, "bare text");
    check(9, |evidence| change(evidence, Role::RefuseAll, |c| c.look.area = 3200.0), Inconclusive, "area is 0.50");
    check(
        9,
        |evidence| change(evidence, Role::RefuseAll, |c| c.look.shape = Shape::Outlined),
        Inconclusive,
        "outlined",
    );
    check(9, |evidence| remove(evidence, Role::RefuseAll), NotApplicable, "");
    check(9, |_| {}, Conform, "");
}

#[test]
fn ck_10_accept_once() {
    let twice = |evidence: &mut Evidence| {
        first(evidence).controls.push(build::control(7, "Accept and close", Role::AcceptAll));
    };
    check(10, twice, Breach, "2 controls to accept (`Accept all`, `Accept and close`) and 1 to refuse");
    check(10, |_| {}, Conform, "");
    let alone = |evidence: &mut Evidence| {
        remove(evidence, Role::RefuseAll);
        evidence.further_layers.clear();
    };
    check(10, alone, NotApplicable, "");
}

#[test]
fn ck_11_the_label_is_explicit() {
    check(11, |evidence| change(evidence, Role::RefuseAll, |control| control.vague = true), Breach, "vague or partial");
    let unusual = |evidence: &mut Evidence| change(evidence, Role::RefuseAll, |control| control.role = Role::Unknown);
    check(11, unusual, Breach, "does not say that it refuses");
    let foreign = |evidence: &mut Evidence| {
        change(evidence, Role::RefuseAll, |control| control.role = Role::Unknown);
        first(evidence).language = Some("xx".to_owned());
    };
    check(11, foreign, Inconclusive, "language");
    check(11, |evidence| remove(evidence, Role::RefuseAll), NotApplicable, "");
    check(11, |_| {}, Conform, "`Reject all`");
}

#[test]
fn ck_12_nothing_preticked() {
    check(
        12,
        |evidence| second(evidence).switches[1].on = Some(true),
        Breach,
        "1 switch for something that needs consent is on when first shown: `Audience measurement`",
    );
    check(12, |evidence| second(evidence).switches[1].on = None, Inconclusive, "Audience");
    check(12, |evidence| second(evidence).switches.truncate(1), NotApplicable, "");
    check(12, |evidence| evidence.further_layers.clear(), Inconclusive, "the settings were not seen");
    check(12, |_| {}, Conform, "2 switches");
    let radio = |denied: bool| {
        move |evidence: &mut Evidence| {
            let option = |node, label: &str, allows, on| Switch {
                choice_of: Some(1),
                allows: Some(allows),
                on: Some(on),
                ..switch(node, label, Purpose::Audience)
            };
            second(evidence).switches = vec![option(20, "Allow", true, !denied), option(21, "Deny", false, denied)];
        }
    };
    check(12, radio(true), Conform, "");
    check(12, radio(false), Breach, "`Allow`");
}

#[test]
fn ck_12_a_switch_that_we_turned_on_is_not_preticked() {
    let moved = |evidence: &mut Evidence| {
        let mut later = evidence.further_layers[0].clone();
        later.via.push("Advertising".to_owned());
        later.layer = vigie_domain::Layer(3);
        later.surface.switches[2].on = Some(true);
        evidence.further_layers.push(later);
    };
    check(12, moved, Conform, "");
}

#[test]
fn ck_13_saving_untouched_is_refusing() {
    check(13, |evidence| put(evidence, saved(|play| play.trackers(4))), Breach, "_ga");
    check(13, |evidence| drop_visit(evidence, "S4"), Inconclusive, "");
    check(13, |evidence| drop_visit(evidence, "S1"), Inconclusive, "");
    let no_settings = |evidence: &mut Evidence| {
        drop_visit(evidence, "S4");
        remove(evidence, Role::Settings);
        evidence.further_layers.clear();
    };
    check(13, no_settings, NotApplicable, "");
    check(13, |_| {}, Conform, "");
}

#[test]
fn ck_13_without_trackers_the_stored_choice_is_compared() {
    let harmless = |stored: &'static str| {
        move |evidence: &mut Evidence| {
            put(evidence, accepted(|_| {}, |_| {}));
            put(evidence, saved(|play| play.cookie("shop_choice", stored, &format!("https://{HOST}/app.js"))));
        }
    };
    check(13, harmless("necessary"), Conform, "stored what refusing stores");
    check(
        13,
        |evidence| {
            harmless("all")(evidence);
        },
        Breach,
        "",
    );
}

#[test]
fn ck_13_what_trackers_write_all_along_does_not_hide_the_choice() {
    let always = |stored: &'static str| {
        move |evidence: &mut Evidence| {
            let script = format!("https://{HOST}/app.js");
            put(evidence, refused(|play| play.trackers(6)));
            put(
                evidence,
                saved(|play| {
                    play.trackers(4);
                    play.cookie("shop_choice", stored, &script);
                }),
            );
        }
    };
    check(13, always("all"), Breach, "stored what accepting stores: cookie shop_choice");
    check(13, always("necessary"), Conform, "");
}

#[test]
fn ck_13_times_and_identifiers_are_no_difference() {
    let kept = |categories: &str, id: &str, minute: u32| {
        let at = format!("2026-11-22T17%3A{minute}%3A18.338Z");
        format!("%7B%22categories%22%3A%5B{categories}%5D%2C%22at%22%3A%22{at}%22%2C%22id%22%3A%22{id}%22%7D")
    };
    let (all, none) = ("%22necessary%22%2C%22ads%22", "%22necessary%22");
    let script = format!("https://{HOST}/app.js");
    let spoil = |evidence: &mut Evidence| {
        let refusing = kept(none, "b6bfb68e-d4df-4a18-8648-a7ff1c104312", 42);
        let accepting = kept(all, "9a9b308e-7e1e-4032-9d16-9861e66ba57a", 43);
        let saving = kept(all, "3b04547c-535d-41cd-a476-bf438ef4a129", 44);
        put(evidence, refused(|play| play.cookie("shop_choice", &refusing, &script)));
        put(evidence, accepted(|_| {}, |play| play.cookie("shop_choice", &accepting, &script)));
        put(evidence, saved(|play| play.cookie("shop_choice", &saving, &script)));
    };
    check(13, spoil, Breach, "stored what accepting stores");
}

#[test]
fn ck_14_silence_is_no_consent() {
    let scroll = |evidence: &mut Evidence| evidence.passive[3].effect = Effect::Accepts;
    check(14, scroll, Breach, "scrolling");
    check(
        14,
        |evidence| put(evidence, ignored("scroll", |play| play.trackers(5))),
        Breach,
        "after scrolling these appeared",
    );
    let before = |evidence: &mut Evidence| put(evidence, untouched(|play| play.trackers(1)));
    check(14, before, Breach, "doing nothing has the effect of consent");
    check(14, |evidence| evidence.passive.clear(), Inconclusive, "S5");
    check(14, |evidence| drop_visit(evidence, "S5-scroll"), Inconclusive, "");
    check(14, |evidence| unquiet(evidence, "S5-escape"), Inconclusive, "");
    check(14, |_| {}, Conform, "scrolling");
}

#[test]
fn ck_15_the_effect_of_ignoring_is_said() {
    check(15, |evidence| remove(evidence, Role::RefuseAll), Breach, "no word on");
    let said = |evidence: &mut Evidence| {
        remove(evidence, Role::RefuseAll);
        first(evidence).statements.effect_of_ignoring = Some("if you do not choose, nothing is stored".to_owned());
    };
    check(15, said, Conform, "“if you do not choose, nothing is stored”");
    let foreign = |evidence: &mut Evidence| {
        remove(evidence, Role::RefuseAll);
        first(evidence).language = None;
    };
    check(15, foreign, Inconclusive, "");
    check(15, |_| {}, NotApplicable, "");
}

#[test]
fn ck_17_purposes_are_named_precisely() {
    check(17, |evidence| first(evidence).purposes.clear(), Breach, "names no purpose");
    check(
        17,
        |evidence| first(evidence).purposes.retain(|named| named.purpose != Purpose::Advertising),
        Breach,
        "advertising (_fbp",
    );
    check(
        17,
        |evidence| first(evidence).statements.imprecise.push("improve your experience".to_owned()),
        Breach,
        "“improve your experience”",
    );
    check(17, |evidence| drop_visit(evidence, "S2"), Inconclusive, "");
    check(17, |_| {}, Conform, "advertising, audience measurement");
}

#[test]
fn ck_18_advertising_is_named() {
    check(
        18,
        |evidence| first(evidence).purposes.retain(|named| named.purpose != Purpose::Advertising),
        Breach,
        "_fbp",
    );
    check(18, |evidence| put(evidence, accepted(|_| {}, |_| {})), NotApplicable, "");
    check(18, |evidence| drop_visit(evidence, "S2"), Inconclusive, "");
    check(18, |_| {}, Conform, "");
}

#[test]
fn ck_19_those_behind_the_trackers() {
    let found = check(19, |_| {}, Inconclusive, "`12 partners`");
    assert!(found.questions[0].contains("google-analytics.com"), "{:?}", found.questions);
    let mute = |evidence: &mut Evidence| {
        remove(evidence, Role::PartnerList);
        remove(evidence, Role::Settings);
    };
    check(19, mute, Breach, "facebook.com");
    let named = |evidence: &mut Evidence| first(evidence).text = "We and Google and Facebook use cookies".to_owned();
    check(19, named, Conform, "");
    let opened = |text: &'static str| {
        move |evidence: &mut Evidence| {
            let mut view = evidence.further_layers[0].clone();
            view.via = vec!["12 partners".to_owned()];
            view.surface.text = text.to_owned();
            evidence.further_layers.push(view);
        }
    };
    check(19, opened("Google: audience measurement"), Breach, "does not name those behind facebook.com, facebook.net");
    check(19, opened("Google and Facebook (Meta)"), Conform, "");
    check(19, |evidence| put(evidence, accepted(|_| {}, |_| {})), NotApplicable, "");
    check(19, |evidence| drop_visit(evidence, "S2"), Inconclusive, "");
}

#[test]
fn ck_22_a_choice_per_purpose() {
    let none = |evidence: &mut Evidence| second(evidence).switches.truncate(1);
    check(22, none, Breach, "no switch for 2 purposes");
    check(22, |evidence| second(evidence).switches.truncate(2), Breach, "1 switch stands for 2 purposes");
    check(22, |evidence| evidence.further_layers.clear(), Inconclusive, "");
    check(22, |evidence| drop_visit(evidence, "S2"), Inconclusive, "");
    check(22, |_| {}, Conform, "2 separate switches");
}

#[test]
fn ck_23_one_surface() {
    check(
        23,
        |evidence| {
            let again = evidence.first_layer[0].clone();
            evidence.first_layer.push(again);
        },
        Breach,
        "2 consent surfaces",
    );
    check(23, |_| {}, Conform, "");
}

#[test]
fn ck_25_and_26_refusal_stops_writes_and_reads() {
    let ignored = |evidence: &mut Evidence| put(evidence, refused(|play| play.trackers(6)));
    let found = check(25, ignored, Breach, "2 cookies that need consent were written after the refusal");
    assert!(found.evidence.iter().any(|reference| reference.what.as_deref() == Some("the refusal")));
    let found = check(26, ignored, Breach, "carried cookies that need consent (");
    assert!(found.summary.contains("www.google-analytics.com"), "{}", found.summary);
    let left = |evidence: &mut Evidence| {
        // Written before the choice, and neither removed nor read anew by any tracker: the site itself still gets it.
        let mut visit = refused(|_| {});
        let cookie =
            accepted(|play| play.cookie("_ga", "GA1.1.1928374650.1764000000", "https://shop.test/app.js"), |_| {});
        visit.samples.iter_mut().for_each(|sample| sample.cookies.push(cookie.samples[0].cookies[0].clone()));
        put(evidence, visit);
    };
    check(25, left, Conform, "");
    for rule in [25, 26] {
        check(rule, |evidence| evidence.refuse = None, Inconclusive, "no way to refuse");
        check(rule, |evidence| drop_visit(evidence, "S1"), Inconclusive, "");
        check(rule, |evidence| unquiet(evidence, "S1"), Inconclusive, "not quiet");
        check(
            rule,
            |evidence| {
                evidence.first_layer.clear();
            },
            NotApplicable,
            "",
        );
        check(rule, |_| {}, Conform, "");
    }
}

#[test]
fn ck_26_a_cookie_that_goes_with_the_refusal_itself_is_forgiven() {
    let farewell = |stays: bool| {
        move |evidence: &mut Evidence| {
            let mut play = build::Play::new("S1", Scenario::S1);
            play.cookie("_ga", "GA1.1.1928374650.1764000000", "https://www.googletagmanager.com/gtag/js");
            play.sample("before");
            play.click("Reject all");
            play.request(&format!("https://{HOST}/consent"), "fetch");
            if !stays {
                play.forget(&["_ga"]);
            }
            play.sample("after-choice");
            play.load("reload");
            play.sample("after-reload");
            play.load("walk");
            play.sample("after-walk");
            put(evidence, play.record);
            let visit = evidence.visit(Scenario::S1).unwrap().clone();
            evidence.refuse = Some(build::path(vigie_domain::Choice::Refuse, &visit, "after-choice", &["Reject all"]));
        }
    };
    check(26, farewell(false), Conform, "");
    check(26, farewell(true), Breach, "_ga");
}

#[test]
fn ck_29_a_way_back_on_every_page() {
    let visited = |evidence: &mut Evidence, script: bool, status: u16| {
        let url = "https://shop.test/2".to_owned();
        evidence.way_back.push((url.clone(), None));
        let visit = accepted(
            |_| {},
            |play| {
                play.trackers(2);
                play.request(&url, "document");
                let (id, mime) = ("page".to_owned(), "text/html".to_owned());
                play.push(EventKind::Response {
                    id,
                    url: url.clone(),
                    status,
                    mime,
                    remote: None,
                    from_cache: false,
                    protocol: String::new(),
                    status_text: String::new(),
                });
                if script {
                    let asked = play.request("https://shop.test/app.js", "script") as usize;
                    play.record.events[asked].document = Some(url.clone());
                }
            },
        );
        put(evidence, visit);
    };
    check(29, |evidence| visited(evidence, true, 200), Breach, "1 of 2 pages");
    check(29, |evidence| visited(evidence, false, 200), Conform, "the 1 page");
    check(29, |evidence| visited(evidence, true, 404), Conform, "the 1 page");
    let settings = |evidence: &mut Evidence| {
        visited(evidence, true, 200);
        evidence.further_layers[0].url = "https://shop.test/2".to_owned();
    };
    check(29, settings, Conform, "the 1 page");
    check(29, |evidence| evidence.way_back.clear(), Inconclusive, "");
    check(29, |evidence| evidence.way_back[0].1 = None, Inconclusive, "`Cookie settings` led back");
    check(29, |evidence| evidence.withdraw = None, Breach, "no way to withdraw was found through it");
    check(29, |_| {}, Conform, "`Cookie settings`");
}

#[test]
fn ck_30_thresholds() {
    let clicks = |n: usize| {
        move |evidence: &mut Evidence| {
            let path = evidence.withdraw.as_mut().unwrap();
            let step = path.steps[0].clone();
            path.steps = vec![step; n];
        }
    };
    check(30, clicks(1), Conform, "withdrawing takes 1 click, accepting 1 click");
    check(30, clicks(2), Conform, "");
    check(30, clicks(3), Inconclusive, "left to a person");
    check(30, clicks(4), Breach, "withdrawing takes 4 clicks, accepting 1 click");
    check(30, |evidence| evidence.withdraw = None, Breach, "no way to withdraw was found within 14 clicks");
    check(
        30,
        |evidence| {
            evidence.withdraw = None;
            evidence.scenarios = vec![Scenario::S0, Scenario::S2];
        },
        Inconclusive,
        "",
    );
    check(30, |evidence| evidence.accept = None, Inconclusive, "");
}

#[test]
fn ck_31_withdrawal_works() {
    let kept = |evidence: &mut Evidence| put(evidence, withdrawn(|play| play.trackers(3), |_| {}));
    check(31, kept, Breach, "carried cookies that need consent (");
    let running = |evidence: &mut Evidence| put(evidence, withdrawn(|play| play.trackers(3), |play| play.trackers(3)));
    check(31, running, Breach, "were written");
    let nothing = |evidence: &mut Evidence| put(evidence, withdrawn(|_| {}, |_| {}));
    check(31, nothing, NotApplicable, "nothing to undo");
    check(31, |evidence| evidence.withdraw = None, Inconclusive, "");
    check(31, |evidence| unquiet(evidence, "S3"), Inconclusive, "not quiet");
    check(31, |_| {}, Conform, "");
}

#[test]
fn ck_36_legitimate_interest() {
    check(36, |_| {}, NotApplicable, "");
    check(36, |evidence| put(evidence, refused(|play| play.signal("tcf", TC_INTEREST))), Breach, "purposes 3, 4");
    check(36, |evidence| put(evidence, refused(|play| play.signal("tcf", TC_NOTHING))), Conform, "");
    check(
        36,
        |evidence| {
            put(evidence, refused(|play| play.signal("tcf", TC_NOTHING)));
            drop_visit(evidence, "S2");
        },
        Inconclusive,
        "S2",
    );
    check(
        36,
        |evidence| {
            let switch = &mut second(evidence).switches[1];
            (switch.on, switch.legitimate_interest) = (Some(true), true);
        },
        Breach,
        "switches for legitimate interest",
    );
}

#[test]
fn ck_37_signals_agree() {
    const GRANTED: &str = r#"{"ad_storage":"granted","analytics_storage":"granted"}"#;
    const DENIED: &str = r#"{"ad_storage":"denied","analytics_storage":"denied"}"#;
    check(37, |_| {}, NotApplicable, "");
    check(
        37,
        |evidence| put(evidence, untouched(|play| play.signal("gtag-default", GRANTED))),
        Breach,
        "consent mode grants ad_storage, analytics_storage by default",
    );
    check(
        37,
        |evidence| put(evidence, refused(|play| play.signal("gtag-update", GRANTED))),
        Breach,
        "after the refusal consent mode says granted",
    );
    check(
        37,
        |evidence| put(evidence, refused(|play| play.signal("tcf", TC_CONSENT))),
        Breach,
        "after the refusal the TC string says granted",
    );
    let agree = |evidence: &mut Evidence| {
        put(evidence, untouched(|play| play.signal("gtag-default", DENIED)));
        put(
            evidence,
            refused(|play| {
                play.signal("gtag-default", DENIED);
                play.signal("gtag-update", DENIED);
            }),
        );
        put(
            evidence,
            accepted(
                |_| {},
                |play| {
                    play.trackers(2);
                    play.signal("gtag-default", DENIED);
                    play.signal("gtag-update", GRANTED);
                    play.request("https://www.google-analytics.com/g/collect?v=2&gcs=G111", "ping");
                },
            ),
        );
    };
    check(37, agree, Conform, "");
    check(
        37,
        |evidence| {
            agree(evidence);
            unquiet(evidence, "S1");
        },
        Inconclusive,
        "",
    );
    let regional = |evidence: &mut Evidence| {
        let elsewhere = r#"{"ad_storage":"granted","region":["US"]}"#;
        put(
            evidence,
            untouched(|play| {
                play.signal("gtag-default", elsewhere);
                play.signal("gtag-default", DENIED);
            }),
        );
    };
    check(37, regional, Conform, "");
}

#[test]
fn ck_16_a_wall_is_left_to_a_person() {
    check(16, |_| {}, NotApplicable, "");
    let wall = |evidence: &mut Evidence| first(evidence).blocks_page = true;
    check(16, wall, Conform, "refusing (1 click) opens it");
    let no_way = |evidence: &mut Evidence| {
        wall(evidence);
        evidence.refuse = None;
    };
    check(16, no_way, Inconclusive, "no other way in was found");
    let pays = |evidence: &mut Evidence| {
        no_way(evidence);
        change(evidence, Role::RefuseAll, |control| control.role = Role::Pay);
    };
    check(16, pays, Inconclusive, "the other way in is `Reject all`");
}

#[test]
fn ck_20_durations_are_stated_and_true() {
    check(20, |_| {}, Inconclusive, "state no duration for");
    let table = |text: &'static str| move |evidence: &mut Evidence| second(evidence).text = text.to_owned();
    check(20, table("_ga Google 2 years; _fbp Meta 1 day"), Breach, "_fbp is stated to live 1 day and lives");
    check(20, table("_ga Google 2 years; _fbp Meta 12 months"), Conform, "");
    check(20, |evidence| put(evidence, accepted(|_| {}, |_| {})), NotApplicable, "");
}

#[test]
fn ck_21_withdrawal_and_consequences_are_told() {
    check(21, |_| {}, Conform, "");
    let mute = |evidence: &mut Evidence| {
        first(evidence).statements.consequences = None;
        second(evidence).statements.consequences = None;
    };
    check(21, mute, Breach, "what follows from accepting or refusing");
    let with_a_page = |evidence: &mut Evidence| {
        mute(evidence);
        change(evidence, Role::PartnerList, |control| control.role = Role::Policy);
    };
    check(21, with_a_page, Inconclusive, "the pages behind 12 partners were not read");
}

#[test]
fn ck_24_the_banner_shows_on_every_way_in() {
    check(24, |_| {}, Conform, "a deep link, an advertisement's address");
    let silent = |evidence: &mut Evidence| evidence.entries[1].banner = false;
    check(24, silent, Inconclusive, "entered by an advertisement's address, no banner shows");
    let tracked = |evidence: &mut Evidence| {
        silent(evidence);
        put(evidence, build::entered("S6-advertisement", |play| play.trackers(7)));
    };
    check(24, tracked, Breach, "no banner shows, and before any choice there are 2 cookies");
    check(24, |evidence| evidence.entries.clear(), Inconclusive, "no other way");
}

#[test]
fn ck_27_a_refusal_is_remembered() {
    check(27, |_| {}, Conform, "within 395 days");
    check(27, |evidence| evidence.returns[1].asked = true, Breach, "on coming back 30 days later");
    let late = |evidence: &mut Evidence| {
        evidence.returns[3].asked = true;
    };
    check(27, late, Conform, "within 175 days");
    check(27, |evidence| evidence.returns.clear(), Inconclusive, "");
    let forgets = |evidence: &mut Evidence| evidence.refuse.as_mut().unwrap().proof.remembered = Some(false);
    check(27, forgets, Breach, "on reloading");
}

#[test]
fn ck_28_yes_and_no_are_remembered_alike() {
    check(28, |_| {}, Conform, "");
    check(28, |evidence| evidence.returns[1].asked = true, Breach, "those who accepted are not");
    check(28, |evidence| evidence.refuse = None, Inconclusive, "");
    let shorter = |evidence: &mut Evidence| {
        let mut visit = refused(|_| {});
        for event in &mut visit.events {
            if let EventKind::CookieWritten { raw, .. } = &mut event.kind {
                *raw = raw.replace("max-age=31536000", "max-age=86400");
            }
        }
        put(evidence, visit);
    };
    check(28, shorter, Breach, "the refusal is kept 1 day (shop_choice), the acceptance 365 days");
}

#[test]
fn ck_32_a_withdrawal_turns_the_signals() {
    check(32, |_| {}, Inconclusive, "no consent signal was given");
    const GRANTED: &str = r#"{"ad_storage":"granted","analytics_storage":"granted"}"#;
    const DENIED: &str = r#"{"ad_storage":"denied","analytics_storage":"denied"}"#;
    let said = |after: &'static str| {
        move |evidence: &mut Evidence| {
            let visit = withdrawn(
                |play| play.signal("gtag-update", GRANTED),
                |play| {
                    if !after.is_empty() {
                        play.signal("gtag-update", after);
                    }
                },
            );
            put(evidence, visit);
        }
    };
    check(32, said(DENIED), Conform, "consent mode");
    check(32, said(GRANTED), Breach, "still grants: consent mode");
    check(32, said(""), Inconclusive, "nothing more was said by consent mode");
}

#[test]
fn ck_33_no_threat_on_withdrawing() {
    check(33, |_| {}, Conform, "");
    let threat = |evidence: &mut Evidence| {
        evidence.withdrawal_layers[0].surface.statements.threat = Some("you will lose".to_owned());
    };
    check(33, threat, Breach, "“you will lose”");
    check(33, |evidence| evidence.withdraw = None, Inconclusive, "");
}

#[test]
fn ck_34_and_35_an_audience_tracker_without_consent() {
    check(34, |_| {}, NotApplicable, "");
    check(35, |_| {}, NotApplicable, "");
    let measured = |raw: &'static str| {
        move |evidence: &mut Evidence| {
            let visit = untouched(|play| {
                play.cookie("_ga", "GA1.1.1234567890.1700000000", "https://www.google-analytics.com/analytics.js");
                let written = play.record.events.last_mut().unwrap();
                if let EventKind::CookieWritten { raw: known, .. } = &mut written.kind {
                    *known = raw.to_owned();
                }
            });
            put(evidence, visit);
        }
    };
    let year = "_ga=GA1.1.1234567890.1700000000; path=/; domain=shop.test; max-age=31536000";
    let two = "_ga=GA1.1.1234567890.1700000000; path=/; domain=shop.test; max-age=63072000";
    check(34, measured(year), Inconclusive, "live 13 months at most (_ga)");
    check(34, measured(two), Breach, "live longer than 13 months: _ga (730 days)");
    check(35, measured(year), Inconclusive, "the other conditions need documents");
}

#[test]
fn ck_38_a_tracker_behind_the_sites_own_name() {
    check(38, |_| {}, NotApplicable, "");
    let measured = |aliases: Option<&'static [&'static str]>| {
        move |evidence: &mut Evidence| {
            let host = "metrics.shop.test";
            put(evidence, untouched(|play| play.request(&format!("https://{host}/collect?v=1&tid=G-1"), "ping")));
            if let Some(aliases) = aliases {
                evidence.aliases.insert(host.to_owned(), aliases.iter().map(|&alias| alias.to_owned()).collect());
            }
        }
    };
    check(38, measured(None), Inconclusive, "could not be learned: metrics.shop.test");
    check(38, measured(Some(&[])), Conform, "metrics.shop.test");
    check(38, measured(Some(&["cdn.test"])), Conform, "metrics.shop.test");
    check(38, measured(Some(&["www.google-analytics.com"])), Breach, "metrics.shop.test");
}

#[test]
fn every_rule_is_judged_or_says_why_not() {
    for found in findings(&good()) {
        assert!(!found.summary.contains("has no test"), "{}", found.rule);
        let rule = Catalogue::bundled().rule(found.rule);
        if let Some(why) = &rule.not_judged {
            assert_eq!(found.verdict, Inconclusive);
            assert_eq!(found.summary, format!("not judged: {why}"));
        }
    }
}

#[test]
fn summaries_are_clauses() {
    for evidence in spoilt() {
        for found in findings(&evidence) {
            let summary = &found.summary;
            assert!(!summary.ends_with('.') && !summary.is_empty(), "{}: {summary}", found.rule);
            assert!(!summary.contains('\n'), "{}: {summary}", found.rule);
        }
    }
}

#[test]
fn the_findings_of_a_rich_site_read_well() {
    let lines: Vec<String> = findings(&rich())
        .into_iter()
        .map(|finding| {
            let word = |value: serde_json::Value| value.as_str().unwrap().to_owned();
            let verdict = word(serde_json::to_value(finding.verdict).unwrap());
            let certainty = word(serde_json::to_value(finding.certainty).unwrap());
            let head = format!("{} {verdict}, {certainty}: {}", finding.rule, finding.summary);
            let references = finding.evidence.iter().map(|reference| {
                let event = reference.event.map(|n| format!(" #{n}")).unwrap_or_default();
                let picture = reference.picture.as_ref().map(|path| format!(" [{path} {:?}]", reference.crop));
                let what = reference.what.as_deref().unwrap_or_default();
                format!("    {}{event}{}: {what}", reference.visit, picture.unwrap_or_default())
            });
            let questions = finding.questions.iter().map(|question| format!("    ? {question}"));
            std::iter::once(head).chain(references).chain(questions).collect::<Vec<_>>().join("\n")
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

/// A site with much to say of.
pub(crate) fn rich() -> Evidence {
    let mut evidence = good();
    for spoil in SPOILS {
        spoil(&mut evidence);
    }
    evidence
}

/// Changes that each break something.
const SPOILS: [fn(&mut Evidence); 10] = [
    |evidence| {
        put(
            evidence,
            untouched(|play| {
                play.trackers(1);
                play.cookie("zqx", "7f3a9c5511d24c8eb1a077aa", &format!("https://{HOST}/app.js"));
                play.signal("gtag-default", r#"{"ad_storage":"granted"}"#);
            }),
        );
    },
    |evidence| put(evidence, refused(|play| play.trackers(6))),
    |evidence| {
        change(evidence, Role::RefuseAll, |control| {
            control.nature = Nature::Link;
            control.look.text_contrast = 2.1;
            control.vague = true;
        });
    },
    |evidence| second(evidence).switches[2].on = Some(true),
    |evidence| put(evidence, saved(|play| play.trackers(4))),
    |evidence| evidence.passive[3].effect = Effect::Accepts,
    |evidence| first(evidence).purposes.retain(|named| named.purpose != Purpose::Advertising),
    |evidence| put(evidence, withdrawn(|play| play.trackers(3), |_| {})),
    |evidence| evidence.way_back[0].1 = None,
    |evidence| {
        let path = evidence.withdraw.as_mut().unwrap();
        let step = path.steps[0].clone();
        path.steps = vec![step; 4];
    },
];

fn spoilt() -> Vec<Evidence> {
    SPOILS
        .iter()
        .map(|spoil| {
            let mut evidence = good();
            spoil(&mut evidence);
            evidence
        })
        .chain([good(), plain(), rich()])
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_not_inspected_never_conforms(spoils in any::<u16>(), outcome in 0_u8..3) {
        let mut evidence = good();
        for (at, spoil) in SPOILS.iter().enumerate() {
            if spoils >> at & 1 == 1 {
                spoil(&mut evidence);
            }
        }
        evidence.outcome = [Outcome::Blocked, Outcome::Unreachable, Outcome::Failed][usize::from(outcome)];
        for found in findings(&evidence) {
            prop_assert_eq!(found.verdict, Inconclusive, "{}: {}", found.rule, found.summary);
        }
    }

    #[test]
    fn seeing_less_never_makes_a_site_conform(spoils in any::<u16>(), dropped in any::<u16>()) {
        let mut evidence = good();
        for (at, spoil) in SPOILS.iter().enumerate() {
            if spoils >> at & 1 == 1 {
                spoil(&mut evidence);
            }
        }
        let whole = findings(&evidence);
        let mut at = 0;
        evidence.visits.retain(|_| {
            at += 1;
            dropped >> (at - 1) & 1 == 0
        });
        for (whole, less) in whole.iter().zip(findings(&evidence)) {
            let was_open = matches!(whole.verdict, Breach | Inconclusive);
            let closed = was_open && less.verdict == Conform;
            prop_assert!(!closed, "{}: {} became {}", less.rule, whole.summary, less.summary);
        }
    }
}
