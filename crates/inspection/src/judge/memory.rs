//! CK-24, CK-27, CK-28, CK-34 and CK-35: other ways in, how long a choice is remembered, and what an audience tracker
//! that claims to be exempt may do.

use super::{
    answer::{Answer, count, event, list},
    case::{Case, Played},
    things,
    words::house_of,
};
use crate::{
    classify::{BY_ALIAS, CookieFact, TrackerFact},
    evidence::{ChoicePath, Entry, Return, Way},
};
use std::collections::BTreeSet;
use vigie_domain::{Choice, EvidenceRef, Scenario};
use vigie_trackers::{Class, Party, registrable_domain};

/// For how long a refusal must be remembered, in days: just under six months (R092 §§38-39). "Six months" are often
/// written as 180 days, and a visit on that very day may find them over.
const REMEMBERED_DAYS: u32 = 175;

/// How long an exempt audience tracker may live, in seconds: 13 months (R092 §50), and a day for rounding.
const EXEMPT_LIFETIME_S: i64 = 13 * 2_629_800 + 86_400;

/// A difference between two lifetimes that counts, in seconds. Ours: a day.
const SAME_LIFETIME_S: f64 = 86_400.0;

/// CK-24. S6: the banner shows on every way in, and CK-01 and CK-02 hold there.
pub(super) fn banner_on_every_way(case: &Case<'_>) -> Answer {
    let entries: Vec<&Entry> =
        case.evidence.entries.iter().filter(|entry| (200..400).contains(&entry.status)).collect();
    if entries.is_empty() {
        return Answer::inconclusive("no other way into the site was tried (S6)");
    }
    let mut wrong = Vec::new();
    let mut shown = Vec::new();
    let mut doubts = Vec::new();
    let mut is_guess = true;
    for entry in &entries {
        let Some(played) = case.played_as(&entry.visit) else { continue };
        let (writes, reads) = (things::writes(&played, None), things::reads(&played, None));
        let missing = case.has_banner() && !entry.banner;
        let by = way_in_words(entry);
        if !writes.is_empty() || !reads.requests.is_empty() {
            let lacks = if missing { "no banner shows, and " } else { "" };
            let what = if writes.is_empty() {
                reads.in_words()
            } else {
                format!("{} that need consent: {}", things::counted(&writes), list(writes.iter().map(|one| &one.title)))
            };
            wrong.push(format!("entered by {by}, {lacks}before any choice there are {what}"));
            is_guess &= writes.iter().all(|write| write.is_guess) && reads.is_guess(&played);
            shown.push(picture(entry));
            shown.extend(things::shown(&played, &writes));
            shown.extend(reads.shown(played.name()));
        } else if missing {
            doubts.push(format!("entered by {by}, no banner shows; nothing that needs it was seen there"));
        } else if let Err(why) = played.watched() {
            doubts.push(why);
        }
    }
    if !wrong.is_empty() {
        return Answer::breach(wrong.join("; ")).showing(shown).heuristic_if(is_guess);
    }
    let gap = case.evidence.gaps.iter().find(|gap| gap.starts_with("S6"));
    if let Some(why) = doubts.first().or(gap) {
        return Answer::inconclusive(why.clone());
    }
    if !case.has_banner() {
        return Answer::not_applicable("no consent surface was seen, and no way in started a tracker");
    }
    let ways = list(entries.iter().map(|entry| way_in_words(entry)));
    Answer::conform(format!("the banner shows, and nothing starts before a choice, when the site is entered by {ways}"))
        .showing(entries.iter().map(|entry| picture(entry)))
}

fn way_in_words(entry: &Entry) -> String {
    match entry.way {
        Way::DeepLink => "a deep link".to_owned(),
        Way::Advertisement => "an advertisement's address".to_owned(),
        Way::Subdomain => {
            let host = vigie_trackers::host_of(&entry.url);
            format!("the subdomain {}", host.unwrap_or_default())
        }
    }
}

fn picture(entry: &Entry) -> EvidenceRef {
    EvidenceRef {
        visit: entry.visit.clone(),
        what: Some(format!("entered by {}", way_in_words(entry))),
        picture: entry.picture.clone(),
        ..EvidenceRef::default()
    }
}

/// CK-27. S7: no banner again before about six months after a refusal.
pub(super) fn refusal_is_remembered(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    let Some(path) = &case.evidence.refuse else { return Answer::inconclusive("no way to refuse was found") };
    if path.proof.remembered == Some(false) {
        return Answer::breach("after the refusal the banner asks again on reloading the page")
            .showing(path.steps.last().and_then(|step| step.event).map(|n| event(&path.visit, n, "the refusal")));
    }
    let back = returns(case, Choice::Refuse);
    if let Some(asked) = back.iter().find(|back| back.asked && back.days < REMEMBERED_DAYS) {
        return Answer::breach(format!(
            "after the refusal the banner asks again on coming back {} later",
            count(asked.days as usize, "day", "days")
        ))
        .showing([came_back(asked)]);
    }
    let quiet = back.iter().rfind(|back| !back.asked);
    match quiet {
        Some(last) if last.days >= REMEMBERED_DAYS => Answer::conform(format!(
            "the banner does not ask again within {} days of the refusal; the jar was aged and the page's clock moved on",
            last.days
        ))
        .showing([came_back(last)]),
        _ => Answer::inconclusive("whether the refusal is remembered for six months was not seen (S7)"),
    }
}

/// CK-28. The refusal is remembered at least as long as the acceptance.
pub(super) fn same_memory(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    let (Some(refuse), Some(accept)) = (&case.evidence.refuse, &case.evidence.accept) else {
        return Answer::inconclusive("there are not both an acceptance and a refusal to compare");
    };
    let (no, yes) = (returns(case, Choice::Refuse), returns(case, Choice::Accept));
    if let Some(asked) = no.iter().find(|back| back.asked)
        && let Some(kept) = yes.iter().find(|back| !back.asked && back.days >= asked.days)
    {
        return Answer::breach(format!(
            "after {} those who refused are asked again, those who accepted are not",
            count(asked.days as usize, "day", "days")
        ))
        .showing([came_back(asked), came_back(kept)]);
    }
    let (Some(no), Some(yes)) = (lifetime(case, Scenario::S1, refuse), lifetime(case, Scenario::S2, accept)) else {
        return Answer::inconclusive("what holds the choice, and for how long, could not be told");
    };
    if no.seconds + SAME_LIFETIME_S < yes.seconds {
        return Answer::breach(format!(
            "the refusal is kept {} ({}), the acceptance {} ({})",
            days(no.seconds),
            no.key,
            days(yes.seconds),
            yes.key
        ))
        .showing([no.written, yes.written].into_iter().flatten());
    }
    let long = no.seconds.max(yes.seconds) > 190.0 * 86_400.0;
    let note = if long { "; six months are good practice" } else { "" };
    let question = long.then(|| "For how long are an acceptance and a refusal each kept, and why?".to_owned());
    Answer::conform(format!(
        "the refusal is kept {} ({}), the acceptance {} ({}){note}",
        days(no.seconds),
        no.key,
        days(yes.seconds),
        yes.key
    ))
    .showing([no.written, yes.written].into_iter().flatten())
    .asking(question)
}

/// What holds a choice, and for how long.
struct Memory {
    key: String,
    seconds: f64,
    written: Option<EvidenceRef>,
}

/// Returns the longest-lived of what a choice stored without needing consent itself.
fn lifetime(case: &Case<'_>, scenario: Scenario, path: &ChoicePath) -> Option<Memory> {
    let played = case.played(scenario)?;
    let of = |key: &String| {
        let (kind, name) = key.split_once(' ')?;
        let (is, seconds, traces) = if kind == "cookie" {
            let cookie = played.facts.cookies.iter().find(|cookie| cookie.name == name)?;
            (&cookie.is, cookie.lifetime_s.map_or(0.0, |seconds| seconds as f64), &cookie.traces)
        } else {
            let item = played.facts.storage.iter().find(|item| item.key == name)?;
            (&item.is, if kind == "session" { 0.0 } else { f64::INFINITY }, &item.traces)
        };
        let written = traces.writes.last().map(|&n| event(played.name(), n, format!("{name}, kept {}", days(seconds))));
        (is.exempt != Some(false)).then(|| Memory { key: name.to_owned(), seconds, written })
    };
    path.proof.stored.iter().filter_map(of).max_by(|a, b| a.seconds.total_cmp(&b.seconds))
}

fn days(seconds: f64) -> String {
    if seconds.is_infinite() {
        return "without end".to_owned();
    }
    if seconds <= 0.0 {
        return "for the session".to_owned();
    }
    let days = (seconds / 86_400.0 * 10.0).round() / 10.0;
    format!("{days} day{}", if days == 1.0 { "" } else { "s" })
}

fn returns<'a>(case: &Case<'a>, choice: Choice) -> Vec<&'a Return> {
    case.evidence.returns.iter().filter(|back| back.choice == choice).collect()
}

fn came_back(back: &Return) -> EvidenceRef {
    EvidenceRef {
        visit: back.visit.clone(),
        what: Some(format!("the site after {}", count(back.days as usize, "day", "days"))),
        picture: back.picture.clone(),
        ..EvidenceRef::default()
    }
}

/// CK-38. No host of the site's own is an alias of a tracker operator's.
pub(super) fn no_cloaked_party(case: &Case<'_>) -> Answer {
    let mut own: BTreeSet<&str> = BTreeSet::new();
    let mut cloaked = BTreeSet::new();
    let mut shown = Vec::new();
    let site = &case.evidence.site.host;
    for played in [Scenario::S0, Scenario::S2].into_iter().filter_map(|scenario| case.played(scenario)) {
        let asked =
            played.facts.requests.iter().filter(|request| request.party == Party::First && request.host != *site);
        own.extend(asked.map(|request| request.host.as_str()));
        for tracker in played.facts.trackers.iter().filter(|tracker| tracker.why.contains(BY_ALIAS)) {
            if cloaked.insert(tracker.host.as_str()) {
                shown.push(event(played.name(), tracker.event, format!("{}: {}", tracker.host, tracker.why)));
            }
        }
    }
    if !cloaked.is_empty() {
        return Answer::breach(format!("trackers are asked under the site's own name: {}", list(&cloaked)))
            .showing(shown);
    }
    if let Err(why) = case.watched(Scenario::S0) {
        return Answer::inconclusive(format!("no tracker was seen behind the site's own name, but {why}"));
    }
    if own.is_empty() {
        return Answer::not_applicable("nothing was asked of another host of the site's own");
    }
    let silent: Vec<&&str> = own.iter().filter(|host| !case.evidence.aliases.contains_key(**host)).collect();
    if !silent.is_empty() {
        return Answer::inconclusive(format!("of whom these hosts are aliases could not be learned: {}", list(silent)));
    }
    Answer::conform(format!("no host of the site's own is an alias of a known tracker: {}", list(&own)))
}

/// Returns the cookies of audience measurement that were there without consent, so that an exemption must be claimed.
fn unasked<'a>(case: &Case<'a>) -> Vec<(Played<'a>, &'a CookieFact)> {
    let mut found: Vec<(Played<'a>, &CookieFact)> = Vec::new();
    for played in [Scenario::S0, Scenario::S1].into_iter().filter_map(|scenario| case.played(scenario)) {
        for cookie in &played.facts.cookies {
            let is_audience =
                cookie.is.class == Class::Audience && cookie.traces.was_kept() && cookie.blocked.is_none();
            let is_known = found.iter().any(|(_, known)| known.name == cookie.name && known.domain == cookie.domain);
            if is_audience && !is_known && cookie.traces.written_after(played.choice).is_some() {
                found.push((played, cookie));
            }
        }
    }
    found
}

/// Returns the answer where no audience cookie was there without consent.
fn nothing_unasked(case: &Case<'_>) -> Answer {
    match case.watched(Scenario::S0) {
        Ok(()) => Answer::not_applicable("no audience cookie was written without consent, so no exemption is claimed"),
        Err(why) => Answer::inconclusive(format!("no audience cookie was seen without consent, but {why}")),
    }
}

/// CK-34. If exemption is claimed: the tracker lives 13 months at most and is not extended on a new visit.
pub(super) fn exempt_lifetime(case: &Case<'_>) -> Answer {
    let unasked = unasked(case);
    if unasked.is_empty() {
        return nothing_unasked(case);
    }
    let long: Vec<_> = unasked
        .iter()
        .filter(|(_, cookie)| cookie.lifetime_s.is_some_and(|seconds| seconds > EXEMPT_LIFETIME_S))
        .collect();
    if !long.is_empty() {
        let names =
            list(long.iter().map(|(_, cookie)| {
                format!("{} ({})", cookie.title(), days(cookie.lifetime_s.unwrap_or_default() as f64))
            }));
        return Answer::breach(format!("audience cookies without consent live longer than 13 months: {names}"))
            .showing(long.iter().filter_map(|(played, cookie)| {
                Some(event(played.name(), *cookie.traces.writes.last()?, cookie.title()))
            }))
            .heuristic_if(long.iter().all(|(_, cookie)| things::is_guess(&cookie.is)));
    }
    let names = list(unasked.iter().map(|(_, cookie)| cookie.title()));
    Answer::inconclusive(format!(
        "audience cookies without consent live 13 months at most ({names}); whether an exemption is claimed, and whether \
         a new visit extends them, was not seen"
    ))
    .asking(["Do you claim the exemption for audience measurement, for which trackers, and are they renewed on a new \
              visit?".to_owned()])
}

/// Returns who answers for a host: its house, or else its registrable domain.
fn receiver(host: &str) -> &str {
    let domain = registrable_domain(host);
    house_of(domain).unwrap_or(domain)
}

/// CK-35. If exemption is claimed: nothing goes to anyone but one processor.
pub(super) fn exempt_conditions(case: &Case<'_>) -> Answer {
    let unasked = unasked(case);
    if unasked.is_empty() {
        return nothing_unasked(case);
    }
    let mut receivers: BTreeSet<&str> = BTreeSet::new();
    let mut shown = Vec::new();
    for played in [Scenario::S0, Scenario::S1].into_iter().filter_map(|scenario| case.played(scenario)) {
        let audience = |tracker: &&TrackerFact| tracker.class == Class::Audience && tracker.party == Party::Third;
        for tracker in played.facts.trackers.iter().filter(audience) {
            if played.choice.is_none_or(|choice| tracker.event > choice) && receivers.insert(receiver(&tracker.host)) {
                shown.push(event(played.name(), tracker.event, format!("request to {}", tracker.host)));
            }
        }
    }
    let question = "For which tools is the exemption claimed, under which configuration and contract, for how long is \
                    data kept, and is the output anonymous?";
    if receivers.len() > 1 {
        return Answer::breach(format!(
            "what is measured without consent goes to {}, while an exempt tracker serves one publisher through one \
             processor: {}",
            count(receivers.len(), "company", "companies"),
            list(&receivers)
        ))
        .showing(shown)
        .asking([question.to_owned()])
        .heuristic();
    }
    let names = list(unasked.iter().map(|(_, cookie)| cookie.title()));
    Answer::inconclusive(format!(
        "audience cookies without consent go to one processor at most ({names}); the other conditions need documents"
    ))
    .asking([question.to_owned()])
}
