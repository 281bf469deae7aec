//! CK-17, CK-18 and CK-19: what the first layer says of purposes, of advertising, and of who is behind the trackers.
//!
//! Words come from a lexicon. Where the text is in a language that the lexicon does not have, a missing word proves
//! nothing.

use super::{
    answer::{Answer, list, part, whole},
    arrival::purpose_of,
    case::Case,
};
use std::collections::{BTreeMap, BTreeSet};
use vigie_banner::{Lexicon, Role, Surface};
use vigie_domain::{Purpose, Scenario};
use vigie_trackers::{Party, registrable_domain};

/// CK-17. Each purpose in use has a short title and description there; imprecise phrases listed.
pub(super) fn purposes_named(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    let views = &case.evidence.first_layer;
    let shown = || views.iter().map(|view| whole(view, "the first layer"));
    let named: BTreeSet<Purpose> = views
        .iter()
        .flat_map(|view| &view.surface.purposes)
        .map(|named| named.purpose)
        .filter(|purpose| !matches!(purpose, Purpose::Necessary | Purpose::Unspecified))
        .collect();
    let imprecise =
        list(views.iter().flat_map(|view| &view.surface.statements.imprecise).map(|words| format!("“{words}”")));
    let in_use = purposes_in_use(case);
    let missing: Vec<&Purpose> = in_use.keys().filter(|purpose| !named.contains(*purpose)).collect();
    if !views.iter().all(|view| language_is_known(&view.surface)) && (named.is_empty() || !missing.is_empty()) {
        return Answer::inconclusive("the text is in a language whose words are not known here");
    }
    if named.is_empty() {
        let but = if imprecise.is_empty() { String::new() } else { format!(", only imprecise words: {imprecise}") };
        return Answer::breach(format!("the first layer names no purpose that needs consent{but}")).showing(shown());
    }
    if !missing.is_empty() {
        let words = list(missing.iter().map(|purpose| purpose_in_words(**purpose)));
        let by = list(missing.iter().flat_map(|purpose| &in_use[*purpose]));
        return Answer::breach(format!("in use after acceptance and not named on the first layer: {words} ({by})"))
            .showing(shown());
    }
    if !imprecise.is_empty() {
        return Answer::breach(format!("the first layer uses words that name no purpose: {imprecise}"))
            .showing(shown());
    }
    let words = list(named.iter().map(|purpose| purpose_in_words(*purpose)));
    let Some(s2) = case.played(Scenario::S2) else {
        return Answer::inconclusive(format!("the first layer names {words}; what is in use was not seen (S2)"));
    };
    match s2.watched() {
        Err(why) => Answer::inconclusive(format!("the first layer names {words}, but {why}")),
        Ok(()) => Answer::conform(format!("the first layer names the purposes in use: {words}")).showing(shown()),
    }
}

/// CK-18. S2 shows ad trackers => the first layer of every consent surface names advertising.
pub(super) fn advertising_named(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    let in_use = purposes_in_use(case);
    let Some(by) = in_use.get(&Purpose::Advertising) else {
        return match case.played(Scenario::S2).map(|s2| s2.watched()) {
            None => Answer::inconclusive("acceptance was not played (S2), so advertising trackers were not looked for"),
            Some(Err(why)) => Answer::inconclusive(format!("no advertising tracker was seen, but {why}")),
            Some(Ok(())) => Answer::not_applicable("no advertising tracker was seen after acceptance"),
        };
    };
    let silent: Vec<_> = case
        .evidence
        .first_layer
        .iter()
        .filter(|view| !view.surface.purposes.iter().any(|named| named.purpose == Purpose::Advertising))
        .collect();
    if silent.is_empty() {
        return Answer::conform(format!("the first layer names advertising, which is in use ({})", list(by)));
    }
    if !silent.iter().all(|view| language_is_known(&view.surface)) {
        return Answer::inconclusive("the text is in a language whose words are not known here");
    }
    Answer::breach(format!(
        "advertising trackers run after acceptance ({}), and the first layer does not name advertising",
        list(by)
    ))
    .showing(silent.iter().map(|view| whole(view, "the first layer")))
}

/// CK-19. Link to a full list of controllers on the first layer; hosts seen in S2 that map to no listed party = 0.
///
/// The list itself is not read, so a link to it leaves the hosts to a person.
pub(super) fn parties_named(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    let Some(s2) = case.played(Scenario::S2) else {
        return Answer::inconclusive("acceptance was not played (S2), so it is not known who is behind the trackers");
    };
    let hosts: BTreeSet<&str> = s2
        .facts
        .trackers
        .iter()
        .filter(|tracker| tracker.party == Party::Third)
        .map(|tracker| registrable_domain(&tracker.host))
        .collect();
    if hosts.is_empty() {
        return match s2.watched() {
            Ok(()) => Answer::not_applicable("no third party's tracker was seen after acceptance"),
            Err(why) => Answer::inconclusive(format!("no third party's tracker was seen, but {why}")),
        };
    }
    let views = &case.evidence.first_layer;
    let control = |role: Role| {
        views.iter().find_map(|view| {
            view.surface.controls.iter().find(|control| control.role == role).map(|control| (view, control))
        })
    };
    let question = || [format!("To which listed party does each of these belong: {}?", list(&hosts))];
    let text: String = views.iter().map(|view| view.surface.text.to_lowercase() + " ").collect();
    let is_named = |host: &&str| host.split('.').next().is_some_and(|name| name.len() > 3 && text.contains(name));
    if hosts.iter().all(is_named) {
        return Answer::conform(format!("the first layer names those behind the trackers seen: {}", list(&hosts)));
    }
    if let Some((view, link)) = control(Role::PartnerList) {
        return Answer::inconclusive(format!(
            "`{}` leads to a list of partners, in which these have to be looked for: {}",
            link.label,
            list(&hosts)
        ))
        .showing([part(view, link.rect, format!("`{}`", link.label))])
        .asking(question());
    }
    if let Some((view, link)) = control(Role::Policy).or_else(|| control(Role::Settings)) {
        return Answer::inconclusive(format!(
            "no link of the first layer says that it leads to a list of partners; `{}` may hold one with {}",
            link.label,
            list(&hosts)
        ))
        .showing([part(view, link.rect, format!("`{}`", link.label))])
        .asking(question());
    }
    Answer::breach(format!(
        "the first layer neither names those behind the trackers nor links to a list of them: {}",
        list(&hosts)
    ))
    .showing(views.iter().map(|view| whole(view, "the first layer")))
    .asking(question())
}

/// Returns the purposes that need consent and are in use after acceptance, each with what shows it.
pub(super) fn purposes_in_use(case: &Case<'_>) -> BTreeMap<Purpose, Vec<String>> {
    let mut in_use: BTreeMap<Purpose, Vec<String>> = BTreeMap::new();
    let Some(s2) = case.played(Scenario::S2) else { return in_use };
    let cookies = s2.facts.cookies.iter().filter(|cookie| cookie.needs_consent());
    let cookies = cookies.map(|cookie| (cookie.is.class, cookie.title()));
    let storage = s2.facts.storage.iter().filter(|item| item.needs_consent());
    let storage = storage.map(|item| (item.is.class, item.title()));
    let trackers = s2.facts.trackers.iter().map(|tracker| (tracker.class, tracker.host.clone()));
    for (class, name) in cookies.chain(storage).chain(trackers) {
        if let Some(purpose) = purpose_of(class) {
            let names = in_use.entry(purpose).or_default();
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    in_use
}

/// Returns whether the lexicon has the language of a surface's text.
pub(super) fn language_is_known(surface: &Surface) -> bool {
    surface.language.as_deref().is_some_and(|language| {
        let languages = Lexicon::bundled().languages();
        languages.iter().any(|known| known == language.split('-').next().unwrap_or(language))
    })
}

fn purpose_in_words(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Necessary => "strictly necessary",
        Purpose::Preferences => "preferences",
        Purpose::Audience => "audience measurement",
        Purpose::Advertising => "advertising",
        Purpose::Personalisation => "personalised content",
        Purpose::SocialMedia => "social media",
        Purpose::Security => "security",
        Purpose::Unspecified => "unspecified",
    }
}
