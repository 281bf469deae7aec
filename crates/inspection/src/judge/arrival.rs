//! CK-01 to CK-04: what happens before anyone has chosen.

use super::{
    answer::{Answer, count, event, list, part, whole},
    case::Case,
    offer, things,
};
use crate::{classify::ScanFact, evidence::SurfaceView};
use vigie_domain::{Purpose, Scenario};
use vigie_trackers::Class;

const NOT_PLAYED: &str = "the visit without any input (S0) was not played";

/// CK-01. S0: non-exempt writes = 0. A write is a cookie that the browser took, or an entry in its storages.
pub(super) fn no_tracker_written(case: &Case<'_>) -> Answer {
    let Some(s0) = case.played(Scenario::S0) else { return Answer::inconclusive(NOT_PLAYED) };
    let writes = things::writes(&s0, None);
    let unclear = things::unclear(&s0, None);
    let questions = things::questions(&unclear);
    if !writes.is_empty() {
        let need = if writes.len() == 1 { "needs consent was" } else { "need consent were" };
        let titles = list(writes.iter().map(|write| &write.title));
        return Answer::breach(format!("{} that {need} written before any choice: {titles}", things::counted(&writes)))
            .showing(things::shown(&s0, &writes))
            .asking(questions)
            .heuristic_if(writes.iter().all(|write| write.is_guess));
    }
    if let Err(why) = s0.watched() {
        return Answer::inconclusive(format!("nothing that needs consent was seen being written, but {why}"))
            .asking(questions);
    }
    if !unclear.is_empty() {
        let names = list(unclear.iter().map(|(_, title)| title));
        return Answer::inconclusive(format!("written before any choice, and it is not known what for: {names}"))
            .asking(questions);
    }
    Answer::conform("nothing that needs consent was written before a choice")
}

/// CK-02. S0: requests carrying a non-exempt cookie, pixel or identifier = 0.
///
/// Code of a tracker alone reads nothing and hands on no more than any request does, so it is left to a person.
pub(super) fn nothing_read(case: &Case<'_>) -> Answer {
    let Some(s0) = case.played(Scenario::S0) else { return Answer::inconclusive(NOT_PLAYED) };
    let reads = things::reads(&s0, None);
    if !reads.requests.is_empty() {
        return Answer::breach(format!("before any choice {}", reads.in_words()))
            .showing(reads.shown(s0.name()))
            .heuristic();
    }
    if let Err(why) = s0.watched() {
        return Answer::inconclusive(format!("no request was seen that reads what needs consent, but {why}"));
    }
    if !reads.code_only.is_empty() {
        let hosts = list(reads.code_only.iter().map(|tracker| &tracker.host));
        return Answer::inconclusive(format!(
            "the code of {} was loaded before any choice, and nothing else was asked of them: {hosts}",
            count(reads.code_only.len(), "tracker", "trackers")
        ))
        .showing(
            reads
                .code_only
                .iter()
                .map(|tracker| event(s0.name(), tracker.event, format!("code of {}: {}", tracker.host, tracker.why))),
        )
        .asking([format!("Why is the code of {hosts} loaded before a choice, and what does it transmit?")])
        .heuristic();
    }
    if !reads.unclear.is_empty() {
        let names = list(&reads.unclear);
        return Answer::inconclusive(format!("requests carried cookies of which it is not known what for: {names}"))
            .asking([format!("What are the cookies sent before a choice for: {names}?")]);
    }
    Answer::conform("no request before a choice carried what needs consent").heuristic()
}

/// CK-03. S0: canvas, audio, font or WebGL reads followed by egress = 0.
pub(super) fn no_scanning(case: &Case<'_>) -> Answer {
    let Some(s0) = case.played(Scenario::S0) else { return Answer::inconclusive(NOT_PLAYED) };
    let scans: Vec<&ScanFact> = s0.facts.scans.iter().filter(|scan| scan.scans).collect();
    let sent: Vec<&&ScanFact> = scans.iter().filter(|scan| scan.egress.is_some()).collect();
    if !sent.is_empty() {
        let apis = list(sent.iter().map(|scan| &scan.api));
        let references = sent.iter().flat_map(|scan| {
            let script = scan.script.as_deref().unwrap_or("a script without an address");
            let call = event(s0.name(), scan.event, format!("{} called by {script}", scan.api));
            let left = scan.egress.map(|n| event(s0.name(), n, "what was sent afterwards"));
            std::iter::once(call).chain(left)
        });
        return Answer::breach(format!("before any choice a script read {apis} and then sent something"))
            .showing(references)
            .heuristic();
    }
    if let Err(why) = s0.watched() {
        return Answer::inconclusive(format!("no scanning of the device was seen, but {why}"));
    }
    if scans.is_empty() {
        return Answer::conform("no script read what tells one device from another").heuristic();
    }
    let apis = list(scans.iter().map(|scan| &scan.api));
    Answer::conform(format!("scripts read {apis}, and nothing was seen being sent afterwards")).heuristic()
}

/// CK-04. Trackers or features labelled always-on, yet with an advertising or device-linking purpose = 0.
///
/// Two observations make a breach: a switch that is always on and whose words name such a purpose; a tracker that was
/// stored and that the surface's text lists under what is necessary. Vendors' own disclosures are not read.
pub(super) fn necessary_is_true(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    let claims: Vec<_> = offer::untouched_layers(case.evidence).flat_map(claimed_switches).collect();
    if !claims.is_empty() {
        let labels = list(claims.iter().map(|(_, label, _)| format!("`{label}`")));
        let shown = claims.iter().map(|(view, label, rect)| part(view, *rect, format!("`{label}` is always on")));
        return Answer::breach(format!("shown as always on, yet not strictly necessary by its own words: {labels}"))
            .showing(shown)
            .heuristic();
    }
    let known: Vec<(&str, String, Option<u64>)> = [Scenario::S0, Scenario::S1, Scenario::S2]
        .into_iter()
        .filter_map(|scenario| case.played(scenario))
        .flat_map(|played| {
            let needing = played.facts.cookies.iter().filter(|cookie| cookie.needs_consent());
            needing.map(move |cookie| (played.name(), cookie.name.clone(), cookie.traces.written_after(None)))
        })
        .collect();
    for view in offer::untouched_layers(case.evidence) {
        let listed: Vec<_> = known.iter().filter(|(_, name, _)| is_listed_as_necessary(view, name)).collect();
        if !listed.is_empty() {
            let names = list(listed.iter().map(|(_, name, _)| name));
            let written =
                listed.iter().filter_map(|(visit, name, n)| Some(event(visit, (*n)?, format!("cookie {name}"))));
            return Answer::breach(format!("the banner lists as strictly necessary what needs consent: {names}"))
                .showing([whole(view, "the list in the banner")])
                .showing(written)
                .heuristic();
        }
    }
    let claims_any = offer::untouched_layers(case.evidence).any(|view| {
        let named = view.surface.purposes.iter().any(|named| named.purpose == Purpose::Necessary);
        named || view.surface.switches.iter().any(|switch| switch.exempt)
    });
    if !claims_any {
        return Answer::not_applicable("the banner shows nothing as strictly necessary");
    }
    let Some(s1) = case.played(Scenario::S1) else {
        return Answer::inconclusive("refusal could not be played, so what is always on was not seen by itself");
    };
    let left = things::writes(&s1, s1.choice);
    if !left.is_empty() {
        let names = list(left.iter().map(|write| &write.title));
        return Answer::inconclusive(format!("after a refusal these were written all the same: {names}"))
            .showing(things::shown(&s1, &left))
            .asking([format!("Are these held to be strictly necessary, and on what ground: {names}?")]);
    }
    for scenario in [Scenario::S0, Scenario::S1, Scenario::S2] {
        if let Err(why) = case.watched(scenario) {
            return Answer::inconclusive(format!("nothing was seen that contradicts the label, but {why}"));
        }
    }
    Answer::conform("nothing shown as strictly necessary was seen to serve another purpose").heuristic()
}

/// Returns the switches of a view that are always on although their words name what needs consent.
fn claimed_switches(view: &SurfaceView) -> impl Iterator<Item = (&SurfaceView, &str, vigie_domain::Rect)> {
    let needs_consent = |purpose: Purpose| purpose.is_exempt() == Some(false);
    view.surface
        .switches
        .iter()
        .filter(move |switch| {
            let always_on = switch.disabled && switch.on == Some(true);
            always_on && switch.choice_of.is_none() && switch.purpose.is_some_and(needs_consent)
        })
        .map(move |switch| (view, switch.label.as_str(), switch.rect))
}

/// Returns whether a cookie's name stands in the surface's text after words for what is necessary, and before words for
/// any other purpose.
fn is_listed_as_necessary(view: &SurfaceView, name: &str) -> bool {
    let text = &view.surface.text;
    let in_words = |at: usize| {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let before = text[..at].chars().next_back().is_some_and(is_part);
        let after = text[at + name.len()..].chars().next().is_some_and(is_part);
        !before && !after
    };
    if name.len() < 3 {
        return false;
    }
    let Some((at, _)) = text.match_indices(name).find(|(at, _)| in_words(*at)) else { return false };
    let lower = text.to_lowercase();
    // Lower case may have another length in some languages; then nothing is claimed.
    if lower.len() != text.len() || !lower.is_char_boundary(at) {
        return false;
    }
    let headings = view.surface.purposes.iter().flat_map(|named| {
        let words = named.words.to_lowercase();
        let found: Vec<usize> =
            if words.is_empty() { Vec::new() } else { lower[..at].match_indices(&words).map(|(at, _)| at).collect() };
        found.into_iter().map(|at| (at, named.purpose))
    });
    headings.max_by_key(|(at, _)| *at).is_some_and(|(_, purpose)| purpose == Purpose::Necessary)
}

/// Returns whether a class is one that a purpose in a banner would have to name.
pub(super) fn purpose_of(class: Class) -> Option<Purpose> {
    match class {
        Class::Audience => Some(Purpose::Audience),
        Class::Advertising => Some(Purpose::Advertising),
        Class::Social => Some(Purpose::SocialMedia),
        Class::Necessary
        | Class::Consent
        | Class::Security
        | Class::Preference
        | Class::Functional
        | Class::Unknown => None,
    }
}
