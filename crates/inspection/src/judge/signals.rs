//! CK-36 and CK-37: what consent signals say, of legitimate interest and of the choice.

use super::{
    answer::{Answer, event, list, part},
    case::{Case, Played},
    offer,
};
use std::collections::{BTreeMap, BTreeSet};
use vigie_domain::{EvidenceRef, Scenario, record::EventKind};
use vigie_trackers::signals::{self, ConsentCommand, Gcs, Grant, Signal, TcString};

/// Signals of consent mode that grant something for which consent is needed.
const WEIGHTY: [&str; 4] = ["ad_storage", "ad_user_data", "ad_personalization", "analytics_storage"];

/// A signal with the event that shows it, and the way it went.
struct Said {
    event: u64,
    by: &'static str,
    signal: Signal,
}

/// Returns every signal of a visit, in order: calls of the page, what cookies and storage hold, what requests carry.
fn said(played: &Played<'_>) -> Vec<Said> {
    let mut all = Vec::new();
    for happened in &played.record.events {
        let n = happened.n;
        match &happened.kind {
            EventKind::ConsentSignal { kind, value } => {
                all.extend(signals::in_call(kind, value).into_iter().map(|signal| Said {
                    event: n,
                    by: "the page",
                    signal,
                }));
            }
            EventKind::Request { url, body, .. } => {
                let form = body.as_ref().map(|body| format!("?{body}"));
                let found = signals::in_url(url).into_iter().chain(form.iter().flat_map(|form| signals::in_url(form)));
                all.extend(found.map(|signal| Said { event: n, by: "a request", signal }));
            }
            _ => {}
        }
    }
    for sample in &played.record.samples {
        let values = sample.cookies.iter().map(|cookie| &cookie.value);
        let values = values.chain(sample.storage.iter().map(|item| &item.value));
        let found = values.flat_map(|value| signals::in_value(value));
        let n = sample.events.saturating_sub(1);
        all.extend(found.map(|signal| Said { event: n, by: "the stored state", signal }));
    }
    all.sort_by_key(|said| said.event);
    all
}

fn tc_string(signal: &Signal) -> Option<&TcString> {
    match signal {
        Signal::Tcf(read) => Some(read),
        Signal::Gpp(read) => read.tcf_eu.as_ref(),
        Signal::Gcs(_) | Signal::Gcd(_) | Signal::Consent(_) | Signal::UsPrivacy(_) => None,
    }
}

/// CK-36. TC string: purpose 1 never on legitimate interest; bits for purposes 3-6 = 0; no such switches on by default;
/// one refusal covers all.
pub(super) fn no_legitimate_interest(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    let switches = offer::switches(case.evidence);
    let interests: Vec<_> = switches.iter().filter(|shown| shown.switch.legitimate_interest).collect();
    let on: Vec<_> = interests.iter().filter(|shown| shown.allows() == Some(true)).collect();
    if !on.is_empty() {
        let labels = list(on.iter().map(|shown| format!("`{}`", shown.switch.label)));
        return Answer::breach(format!("switches for legitimate interest are on when first shown: {labels}"))
            .showing(on.iter().map(|shown| part(shown.view, shown.switch.rect, "on when first shown")));
    }
    let mut seen = 0;
    for scenario in [Scenario::S0, Scenario::S1, Scenario::S2] {
        let Some(played) = case.played(scenario) else { continue };
        for said in said(&played) {
            let Some(read) = tc_string(&said.signal) else { continue };
            seen += 1;
            let barred = read.barred_legitimate_interests();
            if !barred.is_empty() {
                return Answer::breach(format!(
                    "the TC string claims legitimate interest for {} in visit {}",
                    purposes(&barred),
                    played.name()
                ))
                .showing([shown(&played, &said, "a TC string")]);
            }
            let is_after = played.choice.is_some_and(|choice| said.event > choice);
            let objected = read.purpose_legitimate_interests.is_empty();
            if scenario == Scenario::S1 && is_after && !objected && is_last_tc(&played, &said) {
                return Answer::breach(format!(
                    "after the refusal the TC string still claims legitimate interest for {}",
                    purposes(&read.purpose_legitimate_interests)
                ))
                .showing([shown(&played, &said, "a TC string")]);
            }
        }
    }
    if seen == 0 && interests.is_empty() {
        return Answer::not_applicable("no TC string and no switch for legitimate interest was seen");
    }
    for scenario in [Scenario::S0, Scenario::S1, Scenario::S2] {
        if let Err(why) = case.watched(scenario) {
            return Answer::inconclusive(format!("no claim of legitimate interest was seen, but {why}"));
        }
    }
    Answer::conform("no signal claims legitimate interest where it is barred, or after the refusal")
}

/// Returns whether no later TC string went the same way.
fn is_last_tc(played: &Played<'_>, this: &Said) -> bool {
    !said(played)
        .iter()
        .any(|other| other.event > this.event && other.by == this.by && tc_string(&other.signal).is_some())
}

/// CK-37. Stored state, TC string, GPP, consent mode `default` and `update`, `gcs` on hits agree with the click;
/// default denied first.
pub(super) fn signals_agree(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    let mut any = false;
    let mut wrong: Vec<String> = Vec::new();
    let mut references: Vec<EvidenceRef> = Vec::new();
    for (scenario, wants_grant, when) in [
        (Scenario::S0, false, "before any choice"),
        (Scenario::S1, false, "after the refusal"),
        (Scenario::S2, true, "after the acceptance"),
    ] {
        let Some(played) = case.played(scenario) else { continue };
        let all = said(&played);
        any |= all.iter().any(|said| is_about_consent(&said.signal));
        if scenario == Scenario::S0
            && let Some((said, granted)) = granted_by_default(&all)
        {
            wrong.push(format!("consent mode grants {} by default", list(&granted)));
            references.push(shown(&played, said, "the default of consent mode"));
        }
        let after: Vec<&Said> =
            all.iter().filter(|said| played.choice.is_none_or(|choice| said.event > choice)).collect();
        if scenario != Scenario::S0 && played.choice.is_none() {
            continue;
        }
        for (said, what) in last_of_each_kind(&after) {
            let Some(grants) = grants(&after, said) else { continue };
            // Of consent mode, the default was spoken of already.
            let is_repeat = scenario == Scenario::S0 && matches!(said.signal, Signal::Consent(_));
            if grants != wants_grant && !is_repeat {
                wrong.push(format!("{when} {what} says {}", if grants { "granted" } else { "denied" }));
                references.push(shown(&played, said, what));
            }
        }
    }
    if !wrong.is_empty() {
        return Answer::breach(wrong.join("; ")).showing(references);
    }
    if !any {
        return Answer::not_applicable("no consent signal was seen");
    }
    for scenario in [Scenario::S0, Scenario::S1, Scenario::S2] {
        if let Err(why) = case.watched(scenario) {
            return Answer::inconclusive(format!("signals agree as far as seen, but {why}"));
        }
    }
    Answer::conform("the consent signals seen agree with the choice, and deny before it")
}

/// CK-32. After withdrawing, the signals that had granted turn to denied; else it is asked for.
pub(super) fn withdrawal_is_passed_on(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    let question = "How, when and with what effect is a withdrawal passed on to each partner?".to_owned();
    let Some(s3) = case.played(Scenario::S3).filter(|played| played.choice.is_some()) else {
        return Answer::inconclusive("no way to withdraw was found (S3)").asking([question]);
    };
    let all = said(&s3);
    let (before, after): (Vec<&Said>, Vec<&Said>) = all.iter().partition(|said| Some(said.event) <= s3.choice);
    let granted: BTreeSet<&str> = last_of_each_kind(&before)
        .into_iter()
        .filter(|(said, _)| grants(&before, said) == Some(true))
        .map(|(_, name)| name)
        .collect();
    if granted.is_empty() {
        return Answer::inconclusive("no consent signal was given that a withdrawal could turn").asking([question]);
    }
    let last = last_of_each_kind(&after);
    let still: Vec<_> = last.iter().filter(|(said, _)| grants(&after, said) == Some(true)).collect();
    if !still.is_empty() {
        let names = list(still.iter().map(|(_, name)| name));
        return Answer::breach(format!("after the withdrawal this still grants: {names}"))
            .showing(still.iter().map(|(said, name)| shown(&s3, said, name)))
            .asking([question]);
    }
    let turned: BTreeSet<&str> =
        last.iter().filter(|(said, _)| grants(&after, said) == Some(false)).map(|(_, name)| *name).collect();
    let silent: Vec<&&str> = granted.difference(&turned).collect();
    if !silent.is_empty() {
        return Answer::inconclusive(format!("after the withdrawal nothing more was said by {}", list(silent)))
            .asking([question]);
    }
    Answer::conform(format!("after the withdrawal these deny: {}", list(&turned))).asking([question])
}

fn is_about_consent(signal: &Signal) -> bool {
    match signal {
        Signal::Tcf(_) | Signal::Gcs(_) | Signal::Consent(_) => true,
        Signal::Gpp(read) => read.tcf_eu.is_some(),
        // `gcd` is read from observation only, and the US string is of no effect here.
        Signal::Gcd(_) | Signal::UsPrivacy(_) => false,
    }
}

/// Returns the default that grants what needs consent everywhere, if there is one. A default for some regions only, or
/// one that a regional default takes back, says nothing of this visitor.
fn granted_by_default(all: &[Said]) -> Option<(&Said, Vec<&'static str>)> {
    let defaults = || {
        all.iter().filter_map(|said| match &said.signal {
            Signal::Consent(command) if !command.is_update => Some((said, command)),
            _ => None,
        })
    };
    let denied: BTreeSet<&str> = defaults()
        .flat_map(|(_, command)| &command.signals)
        .filter(|(_, grant)| **grant == Grant::Denied)
        .map(|(name, _)| name.as_str())
        .collect();
    defaults().filter(|(_, command)| command.regions.is_empty()).find_map(|(said, command)| {
        let granted: Vec<&'static str> = WEIGHTY
            .into_iter()
            .filter(|name| command.signals.get(*name) == Some(&Grant::Granted) && !denied.contains(name))
            .collect();
        (!granted.is_empty()).then_some((said, granted))
    })
}

/// Returns the last signal of each kind and way, with its name.
fn last_of_each_kind<'a>(after: &[&'a Said]) -> Vec<(&'a Said, &'static str)> {
    let mut last: BTreeMap<(&'static str, &'static str), (&'a Said, &'static str)> = BTreeMap::new();
    for said in after {
        let name = match &said.signal {
            Signal::Tcf(_) => "the TC string",
            Signal::Gpp(read) if read.tcf_eu.is_some() => "the GPP string",
            Signal::Gcs(_) => "`gcs` of a request",
            Signal::Consent(_) => "consent mode",
            Signal::Gpp(_) | Signal::Gcd(_) | Signal::UsPrivacy(_) => continue,
        };
        last.insert((name, said.by), (said, name));
    }
    last.into_values().collect()
}

/// Returns whether a signal grants anything that needs consent; `None` if it does not speak of that.
fn grants(after: &[&Said], said: &Said) -> Option<bool> {
    match &said.signal {
        Signal::Consent(_) => consent_mode(after),
        Signal::Gcs(Gcs { ad_storage, analytics_storage }) => {
            let said: Vec<Grant> = [*ad_storage, *analytics_storage].into_iter().flatten().collect();
            (!said.is_empty()).then(|| said.contains(&Grant::Granted))
        }
        other => tc_string(other).map(|read| !(read.purpose_consents.is_empty() && read.vendor_consents.is_empty())),
    }
}

/// Returns what consent mode comes to: defaults set, updates change. The page repeats its commands in every state that
/// is sampled, so the last round counts.
fn consent_mode(after: &[&Said]) -> Option<bool> {
    let mut state: BTreeMap<&str, Grant> = BTreeMap::new();
    for said in after {
        let Signal::Consent(ConsentCommand { signals, regions, .. }) = &said.signal else { continue };
        if !regions.is_empty() {
            continue;
        }
        state.extend(signals.iter().map(|(name, grant)| (name.as_str(), *grant)));
    }
    let weighty: Vec<Grant> = WEIGHTY.iter().filter_map(|name| state.get(name).copied()).collect();
    (!weighty.is_empty()).then(|| weighty.contains(&Grant::Granted))
}

fn purposes(numbers: &[u16]) -> String {
    let word = if numbers.len() == 1 { "purpose" } else { "purposes" };
    format!("{word} {}", list(numbers.iter().map(u16::to_string)))
}

fn shown(played: &Played<'_>, said: &Said, what: &str) -> EvidenceRef {
    event(played.name(), said.event, format!("{what}, by {}", said.by))
}
