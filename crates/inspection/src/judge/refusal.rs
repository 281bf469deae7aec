//! CK-25, CK-26, CK-29, CK-30 and CK-31: whether refusing and withdrawing work, and how one gets back to them.

use super::{
    answer::{Answer, count, event, list},
    case::{Case, Played},
    layers::steps,
    things,
};
use vigie_domain::{Scenario, record::EventKind};

/// CK-25. S1: non-exempt writes after the click = 0 on all pages.
pub(super) fn refusal_stops_writes(case: &Case<'_>) -> Answer {
    let s1 = match refused(case) {
        Ok(s1) => s1,
        Err(answer) => return answer,
    };
    let writes = things::writes(&s1, s1.choice);
    let unclear = things::unclear(&s1, s1.choice);
    let questions = things::questions(&unclear);
    if !writes.is_empty() {
        let need = if writes.len() == 1 { "needs consent was" } else { "need consent were" };
        let titles = list(writes.iter().map(|write| &write.title));
        return Answer::breach(format!("{} that {need} written after the refusal: {titles}", things::counted(&writes)))
            .showing(refusal(&s1))
            .showing(things::shown(&s1, &writes))
            .asking(questions)
            .heuristic_if(writes.iter().all(|write| write.is_guess));
    }
    if let Err(why) = s1.watched() {
        return Answer::inconclusive(format!("nothing that needs consent was seen being written, but {why}"))
            .asking(questions);
    }
    if !unclear.is_empty() {
        let names = list(unclear.iter().map(|(_, title)| title));
        return Answer::inconclusive(format!("written after the refusal, and it is not known what for: {names}"))
            .asking(questions);
    }
    Answer::conform("nothing that needs consent was written after the refusal").showing(refusal(&s1))
}

/// CK-26. S1: non-exempt reads and egress = 0, including identifiers set by other sites.
pub(super) fn refusal_stops_reads(case: &Case<'_>) -> Answer {
    let s1 = match refused(case) {
        Ok(s1) => s1,
        Err(answer) => return answer,
    };
    let reads = things::reads(&s1, s1.choice);
    if !reads.requests.is_empty() {
        return Answer::breach(format!("after the refusal {}", reads.in_words()))
            .showing(refusal(&s1))
            .showing(reads.shown(s1.name()))
            .heuristic_if(reads.is_guess(&s1));
    }
    if let Err(why) = s1.watched() {
        return Answer::inconclusive(format!("no request was seen that reads what needs consent, but {why}"));
    }
    if let Some(answer) = doubtful(&s1, &reads, "after the refusal") {
        return answer;
    }
    Answer::conform("no request after the refusal carried what needs consent").showing(refusal(&s1))
}

/// CK-29. After a choice, a link or icon to the settings on every sampled page.
///
/// That it shows the choice as it stands is not looked at. Error pages, and pages that load neither script nor style
/// where the first page does, are none that visitors know, and are left out; so is the page of the settings itself.
pub(super) fn way_back(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    let first_is_bare = loads_nothing(case, &case.evidence.site.final_url);
    let left_out =
        |url: &str| is_error(case, url) || is_settings(case, url) || (!first_is_bare && loads_nothing(case, url));
    let pages: Vec<&(String, Option<String>)> = case
        .evidence
        .way_back
        .iter()
        .filter(|(url, label)| !is_settings(case, url) && (label.is_some() || !left_out(url)))
        .collect();
    if pages.is_empty() {
        return Answer::inconclusive("no page was looked at after a choice");
    }
    let without: Vec<&str> = pages.iter().filter(|(_, label)| label.is_none()).map(|(url, _)| url.as_str()).collect();
    let visit = case.played(Scenario::S2).or_else(|| case.played(Scenario::S1));
    let visit = visit.map_or("S2", |played| played.name()).to_owned();
    let looked = |url: &str, what: String| vigie_domain::EvidenceRef {
        visit: visit.clone(),
        what: Some(format!("{url}: {what}")),
        ..Default::default()
    };
    let searched = case.evidence.scenarios.contains(&Scenario::S3) && case.evidence.accept.is_some();
    let is_found = case.evidence.withdraw.is_some() || !searched || case.search_cut_short().is_some();
    if without.is_empty() && !is_found {
        let labels = list(pages.iter().filter_map(|(_, label)| label.as_ref()).map(|label| format!("`{label}`")));
        return Answer::breach(format!(
            "{labels} is there after a choice, and no way to withdraw was found through it"
        ))
        .showing(pages.iter().map(|(url, label)| looked(url, format!("`{}`", label.as_deref().unwrap_or_default()))))
        .heuristic();
    }
    if without.is_empty() {
        let labels = list(pages.iter().filter_map(|(_, label)| label.as_ref()).map(|label| format!("`{label}`")));
        return Answer::conform(format!(
            "a way back to the settings was on {} looked at: {labels}",
            each_of(pages.len())
        ))
        .showing(pages.iter().map(|(url, label)| looked(url, format!("`{}`", label.as_deref().unwrap_or_default()))))
        .heuristic();
    }
    // The search found by clicking what looking did not recognise.
    let found = case.evidence.withdraw.as_ref().and_then(|path| path.steps.first()).filter(|step| step.layer.0 == 0);
    if let (Some(step), true) = (found, without.len() == pages.len()) {
        return Answer::inconclusive(format!(
            "`{}` led back to the settings on one page; whether it is on the others was not recognised",
            step.label
        ));
    }
    let shown = without.iter().map(|url| looked(url, "no way back to the settings was seen".to_owned()));
    Answer::breach(format!(
        "{} of {} looked at after a choice {} no way back to the settings",
        without.len(),
        count(pages.len(), "page", "pages"),
        if without.len() == 1 { "has" } else { "have" }
    ))
    .showing(shown)
    .heuristic()
}

/// CK-30. clicks(withdraw) <= clicks(accept) + 1 for opening; more than +2 fails; exactly +2 is left to a person.
pub(super) fn withdrawing_is_easy(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    let evidence = case.evidence;
    let Some(accept) = &evidence.accept else {
        return Answer::inconclusive("no way to accept was found, so there was nothing to withdraw");
    };
    let clicks = |n: u32| count(n as usize, "click", "clicks");
    let yes = accept.clicks();
    let Some(withdraw) = &evidence.withdraw else {
        if !evidence.scenarios.contains(&Scenario::S3) {
            return Answer::inconclusive("withdrawal was not part of this inspection (S3)");
        }
        if let Some(why) = case.search_cut_short() {
            return Answer::inconclusive(format!("no way to withdraw was found, but {why}"));
        }
        return Answer::breach(format!(
            "accepting takes {}, and no way to withdraw was found within {} clicks",
            clicks(yes),
            evidence.search.max_clicks
        ))
        .showing(steps(accept))
        .heuristic();
    };
    let back = withdraw.clicks();
    let summary = format!("withdrawing takes {}, accepting {}", clicks(back), clicks(yes));
    let answer = if back <= yes + 1 {
        Answer::conform(summary)
    } else if back == yes + 2 {
        Answer::inconclusive(format!("{summary}, which is left to a person"))
    } else {
        Answer::breach(summary)
    };
    answer.showing(steps(withdraw)).showing(steps(accept))
}

/// CK-31. S3: reads and writes of non-exempt trackers after withdrawal = 0; first-party ones deleted or unread; partner
/// requests blocked.
pub(super) fn withdrawal_works(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    let Some(s3) = case.played(Scenario::S3).filter(|_| case.evidence.withdraw.is_some()) else {
        return Answer::inconclusive("withdrawal could not be played (S3)");
    };
    let writes = things::writes(&s3, s3.choice);
    let reads = things::reads(&s3, s3.choice);
    if !writes.is_empty() || !reads.requests.is_empty() {
        let mut parts = Vec::new();
        if !writes.is_empty() {
            let titles = list(writes.iter().map(|write| &write.title));
            let were = if writes.len() == 1 { "was" } else { "were" };
            parts.push(format!("{} {were} written ({titles})", things::counted(&writes)));
        }
        if !reads.requests.is_empty() {
            parts.push(reads.in_words());
        }
        let is_guess = writes.iter().all(|write| write.is_guess) && reads.is_guess(&s3);
        return Answer::breach(format!("after the withdrawal {}", parts.join("; ")))
            .showing(refusal(&s3))
            .showing(things::shown(&s3, &writes))
            .showing(reads.shown(s3.name()))
            .heuristic_if(is_guess);
    }
    if let Err(why) = s3.watched() {
        return Answer::inconclusive(format!("nothing that needs consent was seen after the withdrawal, but {why}"));
    }
    if let Some(answer) = doubtful(&s3, &reads, "after the withdrawal") {
        return answer;
    }
    let unclear = things::unclear(&s3, s3.choice);
    if !unclear.is_empty() {
        let names = list(unclear.iter().map(|(_, title)| title));
        return Answer::inconclusive(format!("written after the withdrawal, and it is not known what for: {names}"))
            .asking(things::questions(&unclear));
    }
    let needed = |played: &Played<'_>| {
        !things::writes(played, None).is_empty() || !things::reads(played, None).requests.is_empty()
    };
    if !needed(&s3) {
        return Answer::not_applicable("acceptance brought nothing that needs consent, so there was nothing to undo");
    }
    let left: Vec<String> = s3
        .facts
        .cookies
        .iter()
        .filter(|cookie| cookie.needs_consent() && cookie.traces.at_end)
        .map(crate::classify::CookieFact::title)
        .collect();
    let remark = if left.is_empty() { String::new() } else { format!("; left behind and unread: {}", list(&left)) };
    Answer::conform(format!("nothing that needs consent was written or read after the withdrawal{remark}"))
        .showing(refusal(&s3))
}

/// Returns whether the settings are this page.
fn is_settings(case: &Case<'_>, url: &str) -> bool {
    let mut layers = case.evidence.further_layers.iter();
    !same_page(&case.evidence.site.final_url, url) && layers.any(|view| same_page(&view.url, url))
}

fn each_of(pages: usize) -> String {
    if pages == 1 { "the 1 page".to_owned() } else { format!("each of the {pages} pages") }
}

/// Returns whether no visit saw a page of this address load a script or style.
fn loads_nothing(case: &Case<'_>, url: &str) -> bool {
    !case.evidence.visits.iter().flat_map(|visit| &visit.events).any(|event| match &event.kind {
        EventKind::Request { resource, .. } => {
            let of_page = event.document.as_deref().is_some_and(|document| same_page(document, url));
            of_page && matches!(resource.as_str(), "script" | "stylesheet")
        }
        _ => false,
    })
}

/// Returns whether a visit saw this address answered by an error.
fn is_error(case: &Case<'_>, url: &str) -> bool {
    case.evidence.visits.iter().flat_map(|visit| &visit.events).any(|event| match &event.kind {
        EventKind::Response { url: answered, status, .. } => same_page(answered, url) && *status >= 400,
        _ => false,
    })
}

fn same_page(one: &str, other: &str) -> bool {
    one.split('#').next() == other.split('#').next()
}

/// Returns the visit in which everything was refused, or the answer where there is none.
fn refused<'a>(case: &Case<'a>) -> Result<Played<'a>, Answer> {
    if !case.has_banner() {
        return Err(case.no_banner());
    }
    case.played(Scenario::S1).filter(|_| case.evidence.refuse.is_some()).ok_or_else(|| {
        let max = case.evidence.search.max_clicks;
        Answer::inconclusive(format!("no way to refuse was found within {max} clicks, so refusal could not be tried"))
    })
}

/// Returns the answer where only the code of trackers was loaded, or cookies of unknown purpose were sent.
fn doubtful(played: &Played<'_>, reads: &things::Reads<'_>, when: &str) -> Option<Answer> {
    if !reads.code_only.is_empty() {
        let hosts = list(reads.code_only.iter().map(|tracker| &tracker.host));
        let summary = format!(
            "{when} the code of {} was loaded, and nothing else was asked of them: {hosts}",
            count(reads.code_only.len(), "tracker", "trackers")
        );
        let shown = reads
            .code_only
            .iter()
            .map(|tracker| event(played.name(), tracker.event, format!("code of {}: {}", tracker.host, tracker.why)));
        let question = format!("Why is the code of {hosts} loaded {when}, and what does it transmit?");
        return Some(Answer::inconclusive(summary).showing(shown).asking([question]).heuristic());
    }
    if reads.unclear.is_empty() {
        return None;
    }
    let names = list(&reads.unclear);
    let summary = format!("{when} requests carried cookies of which it is not known what for: {names}");
    Some(Answer::inconclusive(summary).asking([format!("What are the cookies sent {when} for: {names}?")]))
}

/// Points to the click that refused or withdrew.
fn refusal(played: &Played<'_>) -> Option<vigie_domain::EvidenceRef> {
    let what = if played.record.scenario == Some(Scenario::S3) { "the withdrawal" } else { "the refusal" };
    played.choice.map(|n| event(played.name(), n, what))
}
