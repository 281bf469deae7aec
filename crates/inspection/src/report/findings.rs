//! Findings for people: what was observed, on what it rests, which texts it engages, and what is left to ask.

use super::{
    language::Language,
    pictures::{Gallery, Shot},
    words,
};
use crate::{catalogue::Catalogue, evidence::Evidence, wire::Inspection};
use std::collections::{BTreeMap, BTreeSet};
use vigie_domain::{Certainty, Finding, Rule, RuleId, Severity, Verdict, finding::EvidenceRef, record::EventKind};

/// What judgements and rules say is English, and marked as such in a page of another language.
const EN: Language = Language::English;

/// References shown at once; the others can be unfolded.
const REFERENCES_AT_ONCE: usize = 6;

/// All findings, sorted for reading.
pub struct Findings {
    /// Breaches, gravest first; only severities that have some.
    pub breaches: Vec<Group>,
    /// Rules whose test held.
    pub conform: Vec<FindingView>,
    /// Rules whose test could not be made.
    pub inconclusive: Vec<FindingView>,
    /// Rules that have no object here.
    pub not_applicable: Vec<FindingView>,
    /// Rules that this version does not judge, with the reason.
    pub not_judged: Vec<NotJudged>,
}

/// Breaches of one severity.
pub struct Group {
    /// `Blocking`…
    pub title: String,
    /// For the style.
    pub severity: &'static str,
    /// What that severity means.
    pub meaning: &'static str,
    /// The findings.
    pub findings: Vec<FindingView>,
}

/// One finding.
pub struct FindingView {
    /// The rule's id.
    pub rule: String,
    /// The rule's title: what a conforming site does.
    pub title: String,
    /// What was observed, as a sentence.
    pub summary: String,
    /// How sure, as a sentence.
    pub certainty: &'static str,
    /// How sure, in a few words.
    pub certainty_short: &'static str,
    /// What it rests on.
    pub evidence: Vec<Reference>,
    /// More of it.
    pub more: Vec<Reference>,
    /// The test, from the catalogue.
    pub test: String,
    /// What in it is our own measure.
    pub ours: Option<String>,
    /// The texts engaged.
    pub sources: Vec<String>,
}

/// One thing that a finding rests on.
pub struct Reference {
    /// `Visit S0, event 812, 1.4 s after the start`.
    pub place: String,
    /// What it shows.
    pub what: String,
    /// The event itself, in a clause.
    pub event: String,
    /// The picture or the part of it.
    pub shot: Option<Shot>,
    /// The path of the picture, empty without one.
    pub picture: String,
}

/// A rule that this version does not judge.
pub struct NotJudged {
    /// The rule's id.
    pub rule: String,
    /// Its title.
    pub title: String,
    /// Why.
    pub why: String,
}

/// What to ask the controller.
pub struct Questions {
    /// Questions of the findings, with the rules that raise them.
    pub questions: Vec<(String, Vec<String>)>,
    /// Things stored whose purpose is not known.
    pub unknown: Vec<Unknown>,
}

/// A thing stored whose purpose is not known.
pub struct Unknown {
    /// Its name.
    pub name: String,
    /// Where.
    pub place: String,
    /// When it was there.
    pub states: String,
}

/// Returns the view of the findings.
pub fn view(t: Language, evidence: &Evidence, document: &Inspection, gallery: &mut Gallery<'_>) -> Findings {
    let mut found = Findings {
        breaches: Vec::new(),
        conform: Vec::new(),
        inconclusive: Vec::new(),
        not_applicable: Vec::new(),
        not_judged: Vec::new(),
    };
    let mut breaches: BTreeMap<Severity, Vec<FindingView>> = BTreeMap::new();
    let mut findings: Vec<&Finding> = document.findings.iter().collect();
    findings.sort_by_key(|finding| (finding.verdict, finding.severity, finding.rule));
    for finding in findings.into_iter().filter(|finding| is_judged(finding)) {
        let view = finding_view(t, evidence, finding, gallery);
        match finding.verdict {
            Verdict::Breach => breaches.entry(finding.severity).or_default().push(view),
            Verdict::Conform => found.conform.push(view),
            Verdict::Inconclusive => found.inconclusive.push(view),
            Verdict::NotApplicable => found.not_applicable.push(view),
        }
    }
    found.breaches = breaches
        .into_iter()
        .map(|(severity, findings)| Group {
            title: words::sentence_start(words::severity(t, severity)),
            severity: words::severity(Language::English, severity),
            meaning: words::severity_meaning(t, severity),
            findings,
        })
        .collect();
    found.not_judged = not_judged(t, document);
    found
}

/// Returns what to ask the controller.
pub fn questions(document: &Inspection, stored: &super::stored::Stored) -> Questions {
    let mut questions: Vec<(String, Vec<String>)> = Vec::new();
    for finding in &document.findings {
        for question in &finding.questions {
            let rule = finding.rule.to_string();
            match questions.iter_mut().find(|(known, _)| known == question) {
                Some((_, rules)) if !rules.contains(&rule) => rules.push(rule),
                Some(_) => {}
                None => questions.push((question.clone(), vec![rule])),
            }
        }
    }
    let tables = [&stored.cookies, &stored.storage];
    let rows = tables.into_iter().flat_map(|table| table.rows.iter().chain(&table.more));
    let unknown = rows
        .filter(|row| row.tone == "open")
        .map(|row| {
            let states = row.cells.iter().zip(&stored.states).filter(|(cell, _)| cell.is_there());
            Unknown {
                name: row.name.clone(),
                place: row.place.clone(),
                states: states.map(|(_, state)| state.clause).collect::<Vec<_>>().join(", "),
            }
        })
        .collect();
    Questions { questions, unknown }
}

/// Returns whether a finding is a verdict of this version, rather than its word that it does not judge the rule.
pub fn is_judged(finding: &Finding) -> bool {
    let judges = Catalogue::bundled().rule(finding.rule).not_judged.is_none();
    judges || matches!(finding.verdict, Verdict::Breach | Verdict::Conform)
}

/// A rule without a verdict is listed with its reason, so that nobody takes silence for conformity.
fn not_judged(t: Language, document: &Inspection) -> Vec<NotJudged> {
    let judged: BTreeSet<RuleId> =
        document.findings.iter().filter(|finding| is_judged(finding)).map(|finding| finding.rule).collect();
    Catalogue::bundled()
        .rules()
        .filter(|rule| !judged.contains(&rule.id))
        .map(|rule| NotJudged {
            rule: rule.id.to_string(),
            title: title(t, rule),
            why: words::sentence(EN, rule.not_judged.as_deref().unwrap_or("no verdict was recorded")),
        })
        .collect()
}

fn finding_view(t: Language, evidence: &Evidence, finding: &Finding, gallery: &mut Gallery<'_>) -> FindingView {
    let rule = Catalogue::bundled().rule(finding.rule);
    let mut references: Vec<Reference> = Vec::new();
    let mut shown = BTreeSet::new();
    for reference in &finding.evidence {
        // The same cut of the same picture proves no more the second time.
        let pictured = reference.picture.as_ref().map(|picture| (picture.clone(), reference.crop));
        let again = pictured.is_some_and(|pictured| !shown.insert(pictured));
        references.push(reference_view(t, evidence, reference, again, gallery));
    }
    let more = references.split_off(references.len().min(REFERENCES_AT_ONCE));
    FindingView {
        rule: finding.rule.to_string(),
        title: if t == Language::English { finding.title.clone() } else { title(t, rule) },
        summary: words::sentence(EN, &finding.summary),
        certainty: words::certainty(t, finding.certainty),
        certainty_short: words::certainty_short(t, finding.certainty),
        evidence: references,
        more,
        test: words::quotes(EN, &rule.test),
        ours: rule.ours.as_deref().map(|ours| words::sentence(EN, ours)),
        sources: finding.sources.iter().map(|source| words::quotes(EN, source)).collect(),
    }
}

fn reference_view(
    t: Language,
    evidence: &Evidence,
    reference: &EvidenceRef,
    again: bool,
    gallery: &mut Gallery<'_>,
) -> Reference {
    let visit = evidence.visit_named(&reference.visit);
    let event = reference.event.and_then(|n| visit?.events.iter().find(|event| event.n == n));
    let number = reference.event.map_or_else(String::new, |n| t.fill(", event {n}", &[("n", &n.to_string())]));
    let time = event.map_or_else(String::new, |event| {
        t.fill(", {n} s after its start", &[("n", &t.decimal(event.at_ms as f64 / 1000.0, 1))])
    });
    let place = format!("{} {}{number}{time}", t.say("Visit"), reference.visit);
    let viewport = visit.map_or(evidence.environment.viewport, |visit| visit.viewport);
    let what = words::quotes(EN, reference.what.as_deref().unwrap_or_default());
    let alt = if what.is_empty() {
        t.fill("From visit {visit}.", &[("visit", &reference.visit)])
    } else {
        words::sentence(EN, &what)
    };
    let shot = reference.picture.as_ref().filter(|_| !again).and_then(|path| match reference.crop {
        Some(crop) => gallery.part(path, viewport, crop, &alt).or_else(|| gallery.whole(path, viewport, None, &alt)),
        None => gallery.whole(path, viewport, None, &alt),
    });
    let event = event.filter(|event| !says_all(&what, &event.kind));
    Reference {
        place,
        event: event.map_or_else(String::new, |event| words::event(t, &event.kind)),
        what,
        shot,
        picture: reference.picture.clone().unwrap_or_default(),
    }
}

/// Returns whether the words of a reference name cookie and writer already, so that the event adds nothing.
fn says_all(what: &str, kind: &EventKind) -> bool {
    match kind {
        EventKind::CookieWritten { name, writer, .. } => {
            what.contains(name.as_str()) && writer.url().is_some_and(|url| what.contains(url))
        }
        _ => false,
    }
}

/// Returns a rule's title in the language, where the catalogue has one.
fn title(t: Language, rule: &Rule) -> String {
    let translated = match t {
        Language::English => None,
        Language::French => rule.title_fr.as_ref(),
    };
    translated.unwrap_or(&rule.title).clone()
}

/// Returns whether any finding needs a person, for the closing words.
pub fn any_uncertain(document: &Inspection) -> bool {
    document
        .findings
        .iter()
        .any(|finding| finding.verdict == Verdict::Breach && finding.certainty != Certainty::Deterministic)
}
