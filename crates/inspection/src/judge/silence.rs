//! CK-13, CK-14 and CK-15: saving untouched settings, doing nothing, and what the banner says of doing nothing.

use super::{
    answer::{Answer, count, event, list, whole},
    arrival,
    case::{Case, Played},
    offer, things,
    words::language_is_known,
};
use crate::{
    classify::percent_decoded,
    evidence::{Effect, Evidence, Passive},
};
use std::collections::{BTreeMap, BTreeSet};
use vigie_domain::{EvidenceRef, Scenario, Verdict, record::Sample};

/// Acts of S5 that have an object on every page.
const ALWAYS: [&str; 2] = ["escape", "scroll"];

/// CK-13. S4 ends in the same stored state and traffic as S1.
pub(super) fn untouched_is_refused(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    let Some(saved) = case.played(Scenario::S4) else {
        let has_choices = !offer::switches(case.evidence).is_empty() || offer::settings_unseen(case.evidence);
        return if has_choices {
            Answer::inconclusive("the settings could not be saved untouched (S4)")
        } else {
            Answer::not_applicable("there are no settings to save")
        };
    };
    let after = signature(&saved);
    let refused = case.played(Scenario::S1).map(|played| signature(&played));
    let accepted = case.played(Scenario::S2).map(|played| signature(&played));
    let nothing = BTreeSet::new();
    let beyond_refusal: BTreeSet<&String> = after.difference(refused.as_ref().unwrap_or(&nothing)).collect();
    let by_acceptance: BTreeSet<&String> = beyond_refusal
        .iter()
        .copied()
        .filter(|name| accepted.as_ref().is_none_or(|accepted| accepted.contains(*name)))
        .collect();
    if !by_acceptance.is_empty() {
        let names = list(by_acceptance.iter());
        return Answer::breach(format!("saving the settings untouched had the effect of accepting: {names}"))
            .showing(save_click(&saved))
            .showing(things::shown(&saved, &things::writes(&saved, saved.choice)))
            .showing(things::reads(&saved, saved.choice).shown(saved.name()));
    }
    if let Err(why) = saved.watched() {
        return Answer::inconclusive(format!("saving the settings untouched brought nothing of acceptance, but {why}"));
    }
    match (&refused, &accepted) {
        // Acceptance brings something that would have shown.
        (Some(refused), Some(accepted)) if accepted.difference(refused).next().is_some() => {
            Answer::conform("saving the settings untouched had the effect of refusing")
        }
        (Some(_), Some(_)) => by_stored_choice(case, &saved),
        _ => Answer::inconclusive("there is no acceptance and refusal to compare with"),
    }
}

/// Compares what was stored, where no tracker tells acceptance from refusal.
fn by_stored_choice(case: &Case<'_>, saved: &Played<'_>) -> Answer {
    let saving = save_click(saved);
    let of = |scenario| case.played(scenario).and_then(|played| stored_choice(&played));
    let (Some(saved), Some(refused), Some(accepted)) = (stored_choice(saved), of(Scenario::S1), of(Scenario::S2))
    else {
        return Answer::inconclusive("what the choices stored could not be compared");
    };
    if refused == accepted {
        return Answer::inconclusive("acceptance and refusal left the same behind, so nothing tells them apart");
    }
    if saved == refused {
        return Answer::conform("saving the settings untouched stored what refusing stores");
    }
    if saved == accepted {
        let keys = list(saved.keys());
        return Answer::breach(format!("saving the settings untouched stored what accepting stores: {keys}"))
            .showing(saving);
    }
    Answer::inconclusive("saving the settings untouched stored neither what accepting nor what refusing stores")
}

/// Returns what a visit's choice wrote or changed, without what trackers write: that tells visitors apart, not choices.
/// Of each value only the words are kept, since times and identifiers differ from visit to visit.
fn stored_choice(played: &Played<'_>) -> Option<BTreeMap<String, Vec<String>>> {
    let choice = played.choice?;
    let before = played.record.samples.iter().rev().find(|sample| sample.events <= choice)?;
    let after = Evidence::sample(played.record, "after-choice")?;
    let of = |sample: &Sample| -> BTreeMap<String, Vec<String>> {
        let is_tracker = |name: &str| {
            played.facts.cookies.iter().any(|cookie| cookie.name == name && cookie.is.exempt == Some(false))
        };
        let is_tracker_key =
            |key: &str| played.facts.storage.iter().any(|item| item.key == key && item.is.exempt == Some(false));
        let cookies = sample.cookies.iter().filter(|cookie| !is_tracker(&cookie.name));
        let cookies = cookies.map(|cookie| (format!("cookie {}", cookie.name), words_of(&cookie.value)));
        let storage = sample.storage.iter().filter(|item| !is_tracker_key(&item.key));
        let storage = storage.map(|item| (format!("entry {}", item.key), words_of(&item.value)));
        cookies.chain(storage).collect()
    };
    let (earlier, mut later) = (of(before), of(after));
    later.retain(|key, words| earlier.get(key) != Some(words));
    Some(later)
}

/// Returns the words of a stored value: no dates, no identifiers, that is nothing of four letters or more with a digit
/// in it.
fn words_of(value: &str) -> Vec<String> {
    let plain = percent_decoded(value);
    let is_outside = |c: char| !(c.is_alphanumeric() || matches!(c, '-' | ':' | '_'));
    let is_word = |part: &&str| !part.is_empty() && (part.len() < 4 || !part.contains(|c: char| c.is_ascii_digit()));
    // In JSON a colon ends a key; within a time it does not.
    let plain = plain.replace("\":", "\" ");
    plain.split(is_outside).filter(is_word).map(str::to_owned).collect()
}

/// Points to the click that saved.
fn save_click(saved: &Played<'_>) -> Option<EvidenceRef> {
    saved.choice.map(|n| event(saved.name(), n, "the settings are saved untouched"))
}

/// Returns what a visit ended with that needs consent: names of cookies and storage entries, and tracker hosts asked
/// after the choice.
fn signature(played: &Played<'_>) -> BTreeSet<String> {
    let cookies = played
        .facts
        .cookies
        .iter()
        .filter(|cookie| cookie.needs_consent() && cookie.traces.at_end)
        .map(crate::classify::CookieFact::title);
    let storage = played.facts.storage.iter().filter(|item| item.needs_consent() && item.traces.at_end);
    let storage = storage.map(crate::classify::StorageFact::title);
    let hosts = played
        .facts
        .requests_after(played.choice)
        .filter(|request| request.tracker.is_some())
        .map(|request| request.host.clone());
    cookies.chain(storage).chain(hosts).collect()
}

/// CK-14. S5: stored state not granted; CK-01/02 still hold.
pub(super) fn silence_is_no_consent(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    let granting: Vec<&Passive> =
        case.evidence.passive.iter().filter(|passive| passive.effect == Effect::Accepts).collect();
    if !granting.is_empty() {
        let acts = list(granting.iter().map(|passive| act_in_words(&passive.act)));
        let shown = granting.iter().filter_map(|passive| {
            let played = case.played_as(&passive.visit)?;
            Some(event(played.name(), played.choice?, act_in_words(&passive.act)))
        });
        return Answer::breach(format!("counted as acceptance: {acts}")).showing(shown).showing(claims(case));
    }
    let known: BTreeSet<String> = case.played(Scenario::S0).map(|s0| names_of(&s0, None)).unwrap_or_default();
    let mut inconclusive = Vec::new();
    let mut tried = Vec::new();
    for passive in &case.evidence.passive {
        // An act without an object, such as closing where there is no cross, has no visit.
        let Some(played) = case.played_as(&passive.visit) else {
            if passive.effect != Effect::Unknown {
                inconclusive.push(format!("visit {} is not in the evidence", passive.visit));
            }
            continue;
        };
        let new: BTreeSet<String> = names_of(&played, played.choice).difference(&known).cloned().collect();
        if !new.is_empty() {
            return Answer::breach(format!("after {} these appeared: {}", act_in_words(&passive.act), list(&new)))
                .showing(things::shown(&played, &things::writes(&played, played.choice)))
                .showing(things::reads(&played, played.choice).shown(played.name()))
                .showing(claims(case));
        }
        match (played.watched(), passive.effect) {
            (Err(why), _) => inconclusive.push(why),
            (Ok(()), Effect::Unknown) if !acceptance_would_show(case) => {
                inconclusive.push(format!("it could not be told what {} led to", act_in_words(&passive.act)));
            }
            (Ok(()), _) => tried.push(act_in_words(&passive.act)),
        }
    }
    let (written, read) = (arrival::no_tracker_written(case), arrival::nothing_read(case));
    if written.verdict == Verdict::Breach || read.verdict == Verdict::Breach {
        let which = if written.verdict == Verdict::Breach { written } else { read };
        return Answer::breach(format!("doing nothing has the effect of consent: {}", which.summary))
            .showing(which.evidence)
            .showing(claims(case))
            .heuristic_if(which.certainty.is_some());
    }
    if let Err(why) = case.watched(Scenario::S0) {
        return Answer::inconclusive(format!("no consent was seen being stored, but {why}"));
    }
    let played = |act: &str| case.evidence.passive.iter().any(|passive| passive.act == act);
    if !ALWAYS.iter().all(|act| played(act)) {
        return Answer::inconclusive("not every way of ignoring the banner was tried (S5)");
    }
    if let Some(gap) = case.evidence.gaps.iter().find(|gap| gap.starts_with("S5")) {
        return Answer::inconclusive(format!("no consent was seen being stored, but {gap}"));
    }
    if let Some(why) = inconclusive.first() {
        return Answer::inconclusive(format!("no consent was seen being stored, but {why}"));
    }
    if tried.is_empty() {
        return Answer::inconclusive("no way of ignoring the banner could be tried");
    }
    Answer::conform(format!("none of these stored a consent or started a tracker: {}", list(&tried)))
}

/// Returns what needs consent and was written or asked for after an event, by name.
fn names_of(played: &Played<'_>, after: Option<u64>) -> BTreeSet<String> {
    let written = things::writes(played, after).into_iter().map(|write| write.title);
    let asked = things::reads(played, after).requests.into_iter().filter(|(request, _)| request.tracker.is_some());
    let asked: Vec<String> = asked.map(|(request, _)| request.host.clone()).collect();
    written.chain(asked).collect()
}

/// Returns whether an acceptance would have shown in what is stored and asked for.
fn acceptance_would_show(case: &Case<'_>) -> bool {
    let before: BTreeSet<String> = case.played(Scenario::S0).map(|s0| names_of(&s0, None)).unwrap_or_default();
    case.played(Scenario::S2).is_some_and(|s2| names_of(&s2, s2.choice).difference(&before).next().is_some())
}

/// Returns what points to a text that claims consent from silence.
fn claims(case: &Case<'_>) -> Vec<EvidenceRef> {
    let said = case.evidence.first_layer.iter().filter_map(|view| {
        let claim = view.surface.statements.implied_consent.as_ref()?;
        Some(whole(view, format!("the text says: {claim}")))
    });
    said.collect()
}

fn act_in_words(act: &str) -> String {
    match act {
        "close" => "closing the banner",
        "escape" => "pressing Escape",
        "backdrop" => "clicking beside the banner",
        "scroll" => "scrolling",
        "follow-link" => "following a link",
        other => other,
    }
    .to_owned()
}

/// CK-15. No equal refuse control and no text stating the effect of not choosing.
pub(super) fn ignoring_is_explained(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    if case.offer.refuse || !case.offer.accept {
        return Answer::not_applicable("the first layer offers a refusal, or no acceptance to compare with");
    }
    let said = case.evidence.first_layer.iter().find_map(|view| {
        let words = view.surface.statements.effect_of_ignoring.as_ref()?;
        Some((view, words))
    });
    if let Some((view, words)) = said {
        return Answer::conform(format!("the first layer says what becomes of those who do not choose: “{words}”"))
            .showing([whole(view, "the first layer")]);
    }
    if !case.evidence.first_layer.iter().all(|view| language_is_known(&view.surface)) {
        return Answer::inconclusive("the text is in a language whose words are not known here");
    }
    let n = case.evidence.first_layer.len();
    Answer::breach(format!(
        "{} no refusal and no word on what happens to those who do not choose",
        if n == 1 { "the first layer has".to_owned() } else { format!("{} have", count(n, "surface", "surfaces")) }
    ))
    .showing(case.evidence.first_layer.iter().map(|view| whole(view, "the first layer")))
}
