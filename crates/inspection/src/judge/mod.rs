//! Judging: what the evidence says under each of the forty rules. Pure, so that anyone who holds the evidence can do it
//! again.
//!
//! Out of scope: observing (`inspect`), telling what a cookie is for (`classify`, `trackers`), and whether the law was
//! broken, which is for a person.
//!
//! A test that found nothing is `conform` only where someone looked: a visit that was not played, broke off or was not
//! quiet makes it `inconclusive`. A tracker that could not be classified is a question, never a breach.
//!
//! In reading order: what all tests look at (`case`) and give (`answer`); what a layer offers ([`offer`]); writes and
//! reads (`things`); then the tests by subject: `arrival`, `layers`, [`looks`], `silence`, `words`, `durations`,
//! `refusal`, `memory`, `signals`.

mod answer;
mod case;

pub mod offer;
mod things;

mod arrival;
mod durations;
mod layers;
pub mod looks;
mod memory;
mod refusal;
mod signals;
mod silence;
mod words;

#[cfg(test)]
pub(crate) mod tests;

use crate::{
    catalogue::Catalogue,
    classify::Classified,
    evidence::{Evidence, Outcome},
};
use answer::Answer;
use case::Case;
use vigie_domain::{Finding, Rule};

/// Returns what the evidence says under each rule of the catalogue, in order.
pub fn judge(evidence: &Evidence, classified: &Classified, catalogue: &Catalogue) -> Vec<Finding> {
    let case = Case::new(evidence, classified);
    catalogue.rules().map(|rule| finding(rule, test(rule, &case))).collect()
}

fn finding(rule: &Rule, answer: Answer) -> Finding {
    Finding {
        rule: rule.id,
        title: rule.title.clone(),
        verdict: answer.verdict,
        severity: rule.severity,
        certainty: answer.certainty.unwrap_or(rule.certainty),
        summary: answer.summary,
        evidence: answer.evidence,
        questions: answer.questions,
        sources: rule.sources.iter().map(|source| source.cite.clone()).collect(),
    }
}

fn test(rule: &Rule, case: &Case<'_>) -> Answer {
    if let Some(why) = &rule.not_judged {
        return Answer::inconclusive(format!("not judged: {why}")).asking(rule.question.clone());
    }
    let outcome = match case.evidence.outcome {
        Outcome::Inspected => None,
        Outcome::Blocked => Some("the site did not let the browser in"),
        Outcome::Unreachable => Some("the site could not be reached"),
        Outcome::Failed => Some("the inspection broke off"),
    };
    if let Some(outcome) = outcome {
        let why = case.evidence.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        return Answer::inconclusive(format!("{outcome}{why}"));
    }
    match rule.id.number() {
        1 => arrival::no_tracker_written(case),
        2 => arrival::nothing_read(case),
        3 => arrival::no_scanning(case),
        4 => arrival::necessary_is_true(case),
        5 => layers::refusal_on_every_layer(case),
        6 => layers::no_more_clicks(case),
        7 => looks::same_screen(case),
        8 => looks::real_control(case),
        9 => looks::looks_alike(case),
        10 => layers::accept_once(case),
        11 => looks::explicit_label(case),
        12 => layers::nothing_preticked(case),
        13 => silence::untouched_is_refused(case),
        14 => silence::silence_is_no_consent(case),
        15 => silence::ignoring_is_explained(case),
        16 => layers::no_wall(case),
        17 => words::purposes_named(case),
        18 => words::advertising_named(case),
        19 => words::parties_named(case),
        20 => durations::durations_stated(case),
        21 => words::told_before_choosing(case),
        22 => layers::choice_per_purpose(case),
        23 => layers::one_surface(case),
        24 => memory::banner_on_every_way(case),
        25 => refusal::refusal_stops_writes(case),
        26 => refusal::refusal_stops_reads(case),
        27 => memory::refusal_is_remembered(case),
        28 => memory::same_memory(case),
        29 => refusal::way_back(case),
        30 => refusal::withdrawing_is_easy(case),
        31 => refusal::withdrawal_works(case),
        32 => signals::withdrawal_is_passed_on(case),
        33 => words::no_threat(case),
        34 => memory::exempt_lifetime(case),
        35 => memory::exempt_conditions(case),
        36 => signals::no_legitimate_interest(case),
        37 => signals::signals_agree(case),
        38 => memory::no_cloaked_party(case),
        // A rule that the catalogue wants judged and that has no test here: a test of this module keeps that from
        // happening unseen.
        _ => Answer::inconclusive("not judged: this build has no test for it"),
    }
}
