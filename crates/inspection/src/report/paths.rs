//! "Saying yes and saying no": the shortest paths, step by step, with pictures.

use super::{
    language::Language,
    pictures::{Gallery, Shot},
    words,
};
use crate::evidence::{ChoicePath, Evidence, Proof};
use vigie_domain::Scenario;

/// The three paths and the way back.
pub struct Paths {
    /// Accepting everything.
    pub accept: Path,
    /// Refusing everything.
    pub refuse: Path,
    /// Withdrawing an acceptance.
    pub withdraw: Path,
    /// What the figures come to, in a sentence.
    pub comparison: Option<String>,
    /// How far the search went.
    pub bound: String,
    /// Pages after a choice, with the control that leads back to the settings.
    pub way_back: Vec<WayBack>,
}

/// One path, found or not.
pub struct Path {
    /// For the anchor and the style: `accept`, `refuse`, `withdraw`.
    pub name: &'static str,
    /// The heading.
    pub title: &'static str,
    /// The number of clicks; `None` where no path was found.
    pub clicks: Option<usize>,
    /// `click` or `clicks`.
    pub unit: &'static str,
    /// Where no path was found: what that means, with the bound.
    pub absence: String,
    /// The steps.
    pub steps: Vec<Step>,
    /// Why we hold that the end was reached.
    pub proof: Vec<String>,
    /// The visit that recorded it.
    pub visit: String,
}

/// One step.
pub struct Step {
    /// From 1.
    pub number: usize,
    /// `Click`, `Turn on`, `Turn off`.
    pub act: &'static str,
    /// The control's label.
    pub label: String,
    /// Where it stood.
    pub layer: String,
    /// The event that records our input.
    pub event: Option<u64>,
    /// The picture before, the control outlined.
    pub before: Option<Shot>,
    /// The picture after; left out where the next step begins with the same one.
    pub after: Option<Shot>,
    /// Pictures that the record names and that were not to be had.
    pub missing: Vec<String>,
}

/// Whether a page leads back to the settings.
pub struct WayBack {
    /// The page.
    pub page: String,
    /// The label of the control.
    pub label: Option<String>,
}

/// Returns the view of the paths.
pub fn view(t: Language, evidence: &Evidence, gallery: &mut Gallery<'_>) -> Paths {
    let accept = path(t, evidence, gallery, "accept", t.say("Accepting everything"), evidence.accept.as_ref());
    let refuse = path(t, evidence, gallery, "refuse", t.say("Refusing everything"), evidence.refuse.as_ref());
    let withdraw = path(t, evidence, gallery, "withdraw", t.say("Withdrawing afterwards"), evidence.withdraw.as_ref());
    let way_back = evidence
        .way_back
        .iter()
        .map(|(page, label)| WayBack { page: words::address(page), label: label.clone() })
        .collect();
    Paths { comparison: comparison(t, &accept, &refuse), bound: bound(t, evidence), accept, refuse, withdraw, way_back }
}

fn bound(t: Language, evidence: &Evidence) -> String {
    let search = evidence.search;
    t.fill(
        "Paths of up to {clicks} were looked at, through {states} of the banner.",
        &[
            ("clicks", &t.count(search.max_clicks as usize, "click", "clicks")),
            ("states", &t.count(search.states as usize, "state", "different states")),
        ],
    )
}

fn comparison(t: Language, accept: &Path, refuse: &Path) -> Option<String> {
    let (yes, no) = (accept.clicks?, refuse.clicks?);
    let sentence = match no.checked_sub(yes) {
        Some(0) => t.say("Refusing takes as many clicks as accepting.").to_owned(),
        Some(more) => {
            t.fill("Refusing takes {clicks} more than accepting.", &[("clicks", &t.count(more, "click", "clicks"))])
        }
        None => t.fill(
            "Refusing takes {clicks} fewer than accepting.",
            &[("clicks", &t.count(yes - no, "click", "clicks"))],
        ),
    };
    Some(sentence)
}

fn path(
    t: Language,
    evidence: &Evidence,
    gallery: &mut Gallery<'_>,
    name: &'static str,
    title: &'static str,
    found: Option<&ChoicePath>,
) -> Path {
    let steps = found.map_or_else(Vec::new, |found| steps(t, evidence, gallery, found));
    Path {
        name,
        title,
        clicks: found.map(|found| found.steps.len()),
        unit: if t.is_one(steps.len()) { t.say("click") } else { t.say("clicks") },
        absence: absence(t, evidence, name),
        proof: found.map_or_else(Vec::new, |found| proof(t, &found.proof)),
        visit: found.map_or_else(String::new, |found| found.visit.clone()),
        steps,
    }
}

fn absence(t: Language, evidence: &Evidence, name: &str) -> String {
    let scenario = match name {
        "accept" => Scenario::S2,
        "refuse" => Scenario::S1,
        _ => Scenario::S3,
    };
    if !evidence.scenarios.contains(&scenario) {
        return t.fill(
            "Not looked for: scenario {scenario} was not part of this inspection.",
            &[("scenario", &scenario.to_string())],
        );
    }
    if evidence.first_layer.is_empty() {
        return t.say("No banner was seen, so no path could begin.").to_owned();
    }
    if name == "withdraw" && evidence.accept.is_none() {
        return t.say("No way to accept was found, so there was nothing to withdraw.").to_owned();
    }
    let phrase = match name {
        "accept" => t.say("No way to accept everything was found within {clicks}, in {states} of the banner."),
        "refuse" => t.say("No way to refuse everything was found within {clicks}, in {states} of the banner."),
        _ => t.say("No way to withdraw was found within {clicks}, in {states} of the banner."),
    };
    t.fill(
        phrase,
        &[
            ("clicks", &t.count(evidence.search.max_clicks as usize, "click", "clicks")),
            ("states", &t.count(evidence.search.states as usize, "state", "different states")),
        ],
    )
}

fn steps(t: Language, evidence: &Evidence, gallery: &mut Gallery<'_>, found: &ChoicePath) -> Vec<Step> {
    let viewport = evidence.visit_named(&found.visit).map_or(evidence.environment.viewport, |visit| visit.viewport);
    let mut views = Vec::with_capacity(found.steps.len());
    for (index, step) in found.steps.iter().enumerate() {
        let next = found.steps.get(index + 1).and_then(|next| next.before.as_ref());
        let shown_next = step.after.as_ref().zip(next).is_some_and(|(after, next)| gallery.are_same(after, next));
        let mut missing = Vec::new();
        let act = words::act(t, step.act).to_lowercase();
        let mut show = |path: &Option<String>, outline, alt: &str| {
            let path = path.as_ref()?;
            let shot = gallery.whole(path, viewport, outline, alt);
            if shot.is_none() {
                missing.push(path.clone());
            }
            shot
        };
        let number = (index + 1).to_string();
        let alt = t.fill(
            "The page before step {n}: {act} {label}, outlined.",
            &[("n", &number), ("act", &act), ("label", &t.quoted(&step.label))],
        );
        let before = show(&step.before, Some(step.rect), &alt);
        let after = if shown_next {
            None
        } else {
            show(&step.after, None, &t.fill("The page after step {n}.", &[("n", &number)]))
        };
        views.push(Step {
            number: index + 1,
            act: words::act(t, step.act),
            label: step.label.clone(),
            layer: words::layer(t, step.layer),
            event: step.event,
            before,
            after,
            missing,
        });
    }
    views
}

fn proof(t: Language, proof: &Proof) -> Vec<String> {
    let mut reasons = Vec::new();
    if proof.surface_gone {
        reasons.push(t.say("the banner is gone from the screen").to_owned());
    }
    if proof.confirmed {
        reasons.push(t.say("the banner says that the choice was taken").to_owned());
    }
    if !proof.stored.is_empty() {
        reasons.push(t.fill("the choice wrote or changed {things}", &[("things", &proof.stored.join(", "))]));
    }
    if !proof.signals.is_empty() {
        reasons.push(t.fill("the page told its tags: {signals}", &[("signals", &proof.signals.join(", "))]));
    }
    match proof.remembered {
        Some(true) => reasons.push(t.say("the banner does not come back after a reload").to_owned()),
        Some(false) => reasons.push(t.say("yet the banner comes back after a reload").to_owned()),
        None => {}
    }
    reasons
}
