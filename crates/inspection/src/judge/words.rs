//! CK-17, CK-18 and CK-19: what the first layer says of purposes, of advertising, and of who is behind the trackers.
//!
//! Words come from a lexicon. Where the text is in a language that the lexicon does not have, a missing word proves
//! nothing.

use super::{
    answer::{Answer, list, part, whole},
    arrival::purpose_of,
    case::{Case, Played},
};
use crate::{classify::CookieFact, evidence::SurfaceView};
use std::collections::{BTreeMap, BTreeSet};
use vigie_banner::{Lexicon, Role, Statements, Surface};
use vigie_domain::{Purpose, Scenario};
use vigie_trackers::{Party, host_of, registrable_domain};

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
/// A host counts as listed where its own name or that of its operator stands in the text. A list that was not opened
/// leaves the hosts to a person.
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
    let question =
        |hosts: &BTreeSet<&str>| [format!("To which listed party does each of these belong: {}?", list(hosts))];
    let unnamed = |texts: &[&SurfaceView]| -> BTreeSet<&str> {
        let text: String = texts.iter().map(|view| view.surface.text.to_lowercase() + " ").collect();
        let is_named = |host: &str| names_behind(&s2, host).iter().any(|name| text.contains(name.as_str()));
        hosts.iter().copied().filter(|host| !is_named(host)).collect()
    };
    let on_first: Vec<&SurfaceView> = views.iter().collect();
    if unnamed(&on_first).is_empty() {
        return Answer::conform(format!("the first layer names those behind the trackers seen: {}", list(&hosts)))
            .showing(views.iter().map(|view| whole(view, "the first layer")));
    }
    let Some((view, link)) = control(Role::PartnerList) else {
        if let Some((view, link)) = control(Role::Policy).or_else(|| control(Role::Settings)) {
            return Answer::inconclusive(format!(
                "no link of the first layer says that it leads to a list of partners; `{}` may hold one with {}",
                link.label,
                list(&hosts)
            ))
            .showing([part(view, link.rect, format!("`{}`", link.label))])
            .asking(question(&hosts));
        }
        return Answer::breach(format!(
            "the first layer neither names those behind the trackers nor links to a list of them: {}",
            list(&hosts)
        ))
        .showing(views.iter().map(|view| whole(view, "the first layer")))
        .asking(question(&hosts));
    };
    let leads = |view: &&SurfaceView| view.via.last() == Some(&link.label);
    let opened: Vec<&SurfaceView> = case.evidence.further_layers.iter().filter(leads).collect();
    if opened.is_empty() {
        return Answer::inconclusive(format!(
            "`{}` leads to a list of partners, in which these have to be looked for: {}",
            link.label,
            list(&hosts)
        ))
        .showing([part(view, link.rect, format!("`{}`", link.label))])
        .asking(question(&hosts));
    }
    let shown = opened.iter().map(|view| whole(view, format!("behind `{}`", link.label)));
    let missing = unnamed(&opened);
    if missing.is_empty() {
        return Answer::conform(format!("the list behind `{}` names those behind the trackers seen", link.label))
            .showing(shown);
    }
    Answer::breach(format!("the list behind `{}` does not name those behind {}", link.label, list(&missing)))
        .showing(shown)
        .asking(question(&missing))
}

/// CK-21. Both statements, of withdrawal and of consequences, on layer 1 or one click away.
pub(super) fn told_before_choosing(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    let near = case.evidence.further_layers.iter().filter(|view| view.via.len() <= 1);
    let views: Vec<&SurfaceView> = case.evidence.first_layer.iter().chain(near).collect();
    let said = |of: fn(&Statements) -> Option<&String>| {
        views.iter().find_map(|view| of(&view.surface.statements).map(|words| (*view, words)))
    };
    let withdrawal = said(|statements| statements.withdrawal.as_ref());
    let consequences = said(|statements| statements.consequences.as_ref().or(statements.effect_of_ignoring.as_ref()));
    let shown = [&withdrawal, &consequences].into_iter().flatten();
    let shown: Vec<_> = shown.map(|(view, words)| whole(view, format!("“{words}”"))).collect();
    let missing: Vec<&str> = [
        (withdrawal.is_none(), "that consent can be withdrawn"),
        (consequences.is_none(), "what follows from accepting or refusing"),
    ]
    .into_iter()
    .filter_map(|(is_missing, what)| is_missing.then_some(what))
    .collect();
    if missing.is_empty() {
        return Answer::conform("both the right to withdraw and the consequences are told before the choice")
            .showing(shown);
    }
    if !case.evidence.first_layer.iter().all(|view| language_is_known(&view.surface)) {
        return Answer::inconclusive("the text is in a language whose words are not known here");
    }
    let what = missing.join(", nor ");
    let elsewhere = case.evidence.first_layer.iter().flat_map(|view| &view.surface.controls);
    let pages = list(elsewhere.filter(|control| control.role == Role::Policy).map(|control| &control.label));
    if pages.is_empty() {
        return Answer::breach(format!("neither the first layer nor one click from it says {what}")).showing(shown);
    }
    Answer::inconclusive(format!("the layers do not say {what}; the pages behind {pages} were not read")).showing(shown)
}

/// CK-33. No text on the way to withdrawal foretells the loss of a service.
pub(super) fn no_threat(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    if case.evidence.withdraw.is_none() {
        return Answer::inconclusive("no way to withdraw was found (S3), so its words are not known");
    }
    let on_the_way = &case.evidence.withdrawal_layers;
    if on_the_way.is_empty() {
        return Answer::inconclusive("no text was seen on the way to withdrawal");
    }
    let threats: Vec<_> = on_the_way
        .iter()
        .filter_map(|view| view.surface.statements.threat.as_ref().map(|words| (view, words)))
        .collect();
    if let Some((_, words)) = threats.first() {
        return Answer::breach(format!("on the way to withdrawal the text says “{words}”"))
            .showing(threats.iter().map(|(view, words)| whole(view, format!("“{words}”"))))
            .asking(["Which service is lost on withdrawing, and why does it need the tracker?".to_owned()]);
    }
    if !on_the_way.iter().all(|view| language_is_known(&view.surface)) {
        return Answer::inconclusive("the text is in a language whose words are not known here");
    }
    Answer::conform("no text on the way to withdrawal foretells a loss")
        .showing(on_the_way.iter().map(|view| whole(view, "on the way to withdrawal")))
}

/// Returns the names, in lower case, by which a text may name those behind a host: the host's own, and the first word
/// of the platform to which the lists count its cookies.
fn names_behind(played: &Played<'_>, host: &str) -> Vec<String> {
    let own = host.split('.').next().unwrap_or_default().to_lowercase();
    let of_host = |cookie: &&CookieFact| {
        let writer = cookie.set_by.as_deref().and_then(host_of);
        let is_it = |other: &str| registrable_domain(other) == host;
        is_it(&cookie.domain) || writer.is_some_and(|writer| is_it(&writer))
    };
    let platforms = played.facts.cookies.iter().filter(of_host).filter_map(|cookie| cookie.is.platform.as_deref());
    let words = platforms.filter_map(|platform| platform.split_whitespace().next()).map(str::to_lowercase);
    let mut names: Vec<String> = std::iter::once(own).chain(words).filter(|name| name.len() > 3).collect();
    // Tags of one house are served from hosts that set no cookie of their own.
    names.extend(house_of(host).map(str::to_owned));
    names
}

/// Returns the house of which a host bears the name, where one has many hosts.
pub(super) fn house_of(host: &str) -> Option<&'static str> {
    ["google", "facebook", "microsoft", "adobe", "yandex"].into_iter().find(|house| host.starts_with(house))
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
