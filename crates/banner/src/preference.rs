//! Pages on which consent is chosen in a form, without any overlay.

use crate::{
    assess::{Assessment, assess},
    marks::Reader,
    model::Role,
};
use vigie_domain::NodeId;

/// Returns the smallest box of the page with switches that speak of consent and a button that saves.
pub(crate) fn form(reader: &Reader) -> Option<Assessment> {
    let view = &reader.view;
    let is_drawn =
        |id: NodeId| crate::switches::is_switch(view.node(id)) && view.parent(id).is_some_and(|up| view.is_shown(up));
    // What lies over the page is for `detect`.
    let is_over = |id: NodeId| view.ancestors(id).any(|up| crate::candidates::is_overlay(reader, up));
    let is_drawn = |id: NodeId| is_drawn(id) && !is_over(id);
    let first = view.order().iter().copied().find(|&id| is_drawn(id))?;
    let total = reader.counts(view.order()[0]).switches;
    let mut best: Option<Assessment> = None;
    for up in view.ancestors(first).take(20) {
        let counts = reader.counts(up);
        if counts.hard == 0 || !view.is_shown(up) {
            continue;
        }
        let mut assessment = assess(reader, up, true);
        let saves = assessment.controls.iter().any(|found| {
            matches!(found.control.role, Role::SaveSelection | Role::AcceptAll) && found.control.confidence >= 0.3
        });
        let is_free = assessment.switches.iter().any(|switch| !switch.disabled);
        if saves && is_free && speaks(reader, &assessment) {
            assessment.score = assessment.score.max(crate::assess::ENOUGH);
            best = Some(assessment);
            // All switches are inside: a wider box would only add the page around.
            if counts.switches >= total || view.node(up).is("form") || view.node(up).is("main") {
                break;
            }
        }
        if view.node(up).is("body") {
            break;
        }
    }
    best
}

/// Returns whether the form's words, or the page's title and heading around it, speak of consent.
fn speaks(reader: &Reader, assessment: &Assessment) -> bool {
    let counts = reader.counts(assessment.root);
    let has_purpose = assessment
        .switches
        .iter()
        .any(|switch| switch.purpose.is_some_and(|purpose| purpose.is_exempt() != Some(true)));
    let title = crate::text::Words::new(&reader.view.page.title);
    let title_speaks = reader.lexicon.count_subjects(&title, None) > 0;
    counts.subjects > 0 || title_speaks || (has_purpose && assessment.switches.len() >= 2)
}
