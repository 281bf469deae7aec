//! CK-05, CK-06, CK-10, CK-12, CK-22 and CK-23: what the layers offer, and how many clicks it takes.

use super::{
    answer::{Answer, count, list, part, whole},
    case::Case,
    offer,
    words::purposes_in_use,
};
use crate::evidence::{ChoicePath, SurfaceView};
use std::collections::BTreeSet;
use vigie_banner::{Control, Role};
use vigie_domain::{EvidenceRef, Layer, Purpose, Scenario};

/// CK-05. For each layer with an accept control, a refuse-all control exists.
///
/// On deeper layers a control that saves switches, none of which is on, refuses in one activation; on the first layer
/// it is no refusal that a visitor recognises, and its finding says so.
pub(super) fn refusal_on_every_layer(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    let evidence = case.evidence;
    if case.offer.accept && !case.offer.refuse {
        let clicks = evidence.refuse.as_ref().map(ChoicePath::clicks);
        let instead = match clicks {
            _ if case.offer.refuse_by_saving => "; only saving the switches as they stand refuses".to_owned(),
            Some(clicks) => format!("; refusing takes {}", count(clicks as usize, "click", "clicks")),
            None => String::new(),
        };
        return Answer::breach(format!("the first layer accepts in 1 click and offers no refusal{instead}"))
            .showing(evidence.first_layer.iter().take(1).map(|view| whole(view, "the first layer")))
            .showing(evidence.first_layer.iter().flat_map(|view| shown_acceptances(case, view)))
            .heuristic_if(case.offer.refuse_by_saving);
    }
    let deeper = offer::untouched_layers(evidence).filter(|view| view.layer > Layer::FIRST);
    let mut layers: BTreeSet<u8> = case.offer.accept.then_some(Layer::FIRST.0).into_iter().collect();
    for view in deeper {
        let role = |wanted: Role| {
            view.surface.controls.iter().filter(move |control| control.role == wanted && !control.icon_only)
        };
        let Some(accept) = role(Role::AcceptAll).next() else { continue };
        layers.insert(view.layer.0);
        let saves = role(Role::SaveSelection).next().is_some() && offer::all_off(&view.surface);
        if role(Role::RefuseAll).next().is_none() && !saves {
            return Answer::breach(format!(
                "layer {} accepts with `{}` and offers no refusal",
                view.layer.0, accept.label
            ))
            .showing([whole(view, format!("layer {}", view.layer.0)), shown(view, accept)])
            .heuristic_if(accept.confidence < 0.9);
        }
    }
    match (layers.len(), case.offer.accept) {
        (0, _) => Answer::not_applicable("no layer has a control that accepts everything"),
        (1, true) => Answer::conform("the first layer accepts and refuses in 1 click each"),
        (n, _) => Answer::conform(format!("each of the {n} layers that accept everything also refuses everything")),
    }
}

/// CK-06. clicks(refuse all) <= clicks(accept all).
pub(super) fn no_more_clicks(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    let evidence = case.evidence;
    let max = evidence.search.max_clicks;
    match (&evidence.accept, &evidence.refuse) {
        (Some(accept), Some(refuse)) => {
            let (yes, no) = (accept.clicks(), refuse.clicks());
            let clicks = |n: u32| count(n as usize, "click", "clicks");
            let summary = format!("refusing takes {}, accepting {}", clicks(no), clicks(yes));
            let answer = if no > yes { Answer::breach(summary) } else { Answer::conform(summary) };
            answer.showing(steps(refuse)).showing(steps(accept))
        }
        (Some(accept), None) => match case.search_cut_short() {
            Some(why) => Answer::inconclusive(format!("no way to refuse was found, but {why}")),
            None => Answer::breach(format!(
                "accepting takes {}, and no way to refuse was found within {max} clicks",
                count(accept.clicks() as usize, "click", "clicks")
            ))
            .showing(steps(accept))
            .showing(evidence.first_layer.iter().take(1).map(|view| whole(view, "the first layer")))
            .heuristic(),
        },
        (None, Some(refuse)) => {
            Answer::inconclusive(format!("refusing takes {}, but no way to accept was found", refuse.clicks()))
                .showing(steps(refuse))
        }
        (None, None) => Answer::inconclusive(format!("no way to accept or refuse was found within {max} clicks")),
    }
}

/// CK-10. count(accept controls) <= count(refuse controls) per layer.
///
/// A single acceptance without a refusal is the matter of CK-05.
pub(super) fn accept_once(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    let mut judged = 0;
    let layers: BTreeSet<u8> = offer::untouched_layers(case.evidence).map(|view| view.layer.0).collect();
    for layer in layers {
        // Surfaces side by side are one layer; the same layer seen by several visits is counted in each alone.
        let of_layer: Vec<&SurfaceView> =
            offer::untouched_layers(case.evidence).filter(|view| view.layer.0 == layer).collect();
        let moments: BTreeSet<(&str, u64)> = of_layer.iter().map(|view| (view.visit.as_str(), view.events)).collect();
        for moment in moments {
            let views: Vec<&&SurfaceView> =
                of_layer.iter().filter(|view| (view.visit.as_str(), view.events) == moment).collect();
            let accepts: Vec<_> =
                views.iter().flat_map(|view| accepting(case, view).map(move |c| (**view, c))).collect();
            let refuses = views.iter().flat_map(|view| refusing(case, view)).count();
            if accepts.is_empty() || (accepts.len() == 1 && refuses == 0) {
                continue;
            }
            judged += 1;
            if accepts.len() > refuses {
                return Answer::breach(format!(
                    "layer {layer} shows {} to accept ({}) and {} to refuse",
                    count(accepts.len(), "control", "controls"),
                    list(accepts.iter().map(|(_, control)| format!("`{}`", control.label))),
                    refuses
                ))
                .showing(accepts.iter().map(|(view, control)| shown(view, control)));
            }
        }
    }
    if judged == 0 {
        return Answer::not_applicable("no layer offers acceptance beside refusal");
    }
    Answer::conform("no layer offers acceptance more often than refusal")
}

/// CK-12. First open of settings: every non-exempt purpose and vendor switch is off.
pub(super) fn nothing_preticked(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    let switches = offer::switches(case.evidence);
    let on: Vec<_> = switches.iter().filter(|shown| shown.allows() == Some(true)).collect();
    if !on.is_empty() {
        let labels = list(on.iter().map(|shown| format!("`{}`", shown.switch.label)));
        return Answer::breach(format!(
            "{} for something that needs consent {} on when first shown: {labels}",
            count(on.len(), "switch", "switches"),
            if on.len() == 1 { "is" } else { "are" }
        ))
        .showing(on.iter().map(|shown| {
            let what = format!("`{}` is on, layer {}", shown.switch.label, shown.view.layer.0);
            part(shown.view, shown.switch.rect, what)
        }));
    }
    if switches.is_empty() {
        return if offer::settings_unseen(case.evidence) {
            Answer::inconclusive("the settings were not seen, so neither were their switches")
        } else {
            Answer::not_applicable("no layer has a switch for something that needs consent")
        };
    }
    let unsure: Vec<_> =
        switches.iter().filter(|shown| shown.allows().is_none() && !group_is_settled(&switches, shown)).collect();
    if !unsure.is_empty() {
        let labels = list(unsure.iter().map(|shown| format!("`{}`", shown.switch.label)));
        return Answer::inconclusive(format!("it could not be told whether these are on: {labels}")).showing(
            unsure.iter().map(|shown| part(shown.view, shown.switch.rect, "a switch whose state is not shown")),
        );
    }
    Answer::conform(format!(
        "{} for something that needs consent {} off when first shown",
        count(switches.len(), "switch", "switches"),
        if switches.len() == 1 { "was" } else { "were" }
    ))
    .showing(switches.iter().take(1).map(|shown| whole(shown.view, format!("layer {}", shown.view.layer.0))))
}

/// Returns whether the chosen option of the same group denies.
fn group_is_settled(all: &[offer::ShownSwitch<'_>], shown: &offer::ShownSwitch<'_>) -> bool {
    shown.switch.choice_of.is_some_and(|group| {
        all.iter().any(|other| {
            std::ptr::eq(other.view, shown.view)
                && other.switch.choice_of == Some(group)
                && other.switch.on == Some(true)
                && other.switch.allows == Some(false)
        })
    })
}

/// CK-22. At least one separate switch per non-exempt purpose, reachable from layer 1.
///
/// Where a single purpose needs consent, accepting or refusing it is a choice of its own.
pub(super) fn choice_per_purpose(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    let switches = offer::switches(case.evidence);
    // Each group of which one is chosen is one switch.
    let separate: BTreeSet<(u8, String)> = switches
        .iter()
        .map(|shown| {
            let group = shown.switch.choice_of.map(|group| format!("group {group}"));
            (shown.view.layer.0, group.unwrap_or_else(|| shown.switch.label.clone()))
        })
        .collect();
    let named = offer::untouched_layers(case.evidence).flat_map(|view| &view.surface.purposes);
    let mut purposes: BTreeSet<Purpose> =
        named.map(|named| named.purpose).filter(|purpose| purpose.is_exempt() == Some(false)).collect();
    purposes.extend(purposes_in_use(case).into_keys());
    let n = separate.len();
    let first = || case.evidence.first_layer.iter().take(1).map(|view| whole(view, "the first layer"));
    if n == 0 {
        if offer::settings_unseen(case.evidence) {
            return Answer::inconclusive("the settings were not seen, so neither were their switches");
        }
        if purposes.len() == 1 && case.evidence.refuse.is_some() && case.played(Scenario::S2).is_some() {
            return Answer::conform("one purpose needs consent, and it can be accepted or refused by itself")
                .heuristic();
        }
        if let Some(why) = case.search_cut_short() {
            return Answer::inconclusive(format!("no switch was found, but {why}"));
        }
        let of = match purposes.len() {
            0 => String::new(),
            n => format!(" for {}", count(n, "purpose", "purposes")),
        };
        return Answer::breach(format!("no switch{of} was found on any layer, so there is no choice per purpose"))
            .showing(first());
    }
    let switches_word = count(n, "separate switch", "separate switches");
    if case.played(Scenario::S2).is_none() {
        return Answer::inconclusive(format!("{switches_word} were seen; the purposes in use were not (S2)"));
    }
    if n >= purposes.len() {
        return Answer::conform(format!(
            "{switches_word} for {}",
            count(purposes.len(), "purpose named or in use", "purposes named or in use")
        ))
        .showing(switches.iter().take(1).map(|shown| whole(shown.view, format!("layer {}", shown.view.layer.0))));
    }
    if n == 1 {
        return Answer::breach(format!("1 switch stands for {} purposes named or in use", purposes.len()))
            .showing(switches.iter().map(|shown| part(shown.view, shown.switch.rect, "the only switch")))
            .heuristic();
    }
    Answer::inconclusive(format!("{switches_word} for {} purposes named or in use", purposes.len())).showing(first())
}

/// CK-23. Surfaces that set a consent state on a first visit = 1.
pub(super) fn one_surface(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    let decides = |view: &&SurfaceView| {
        view.surface.controls.iter().any(|control| {
            matches!(control.role, Role::AcceptAll | Role::RefuseAll | Role::SaveSelection)
                || offer::accepts(case.evidence, control)
        })
    };
    let asking: Vec<&SurfaceView> = case.evidence.first_layer.iter().filter(decides).collect();
    if asking.len() > 1 {
        return Answer::breach(format!("{} consent surfaces show at once", asking.len()))
            .showing(asking.iter().map(|view| whole(view, "one of the surfaces")));
    }
    Answer::conform("one consent surface shows on a first visit")
}

/// Returns the controls of a view that accept everything.
fn accepting<'a>(case: &Case<'a>, view: &'a SurfaceView) -> impl Iterator<Item = &'a Control> {
    let is_first = view.layer == Layer::FIRST;
    let evidence = case.evidence;
    view.surface.controls.iter().filter(move |control| {
        !control.icon_only && if is_first { offer::accepts(evidence, control) } else { control.role == Role::AcceptAll }
    })
}

/// Returns the controls of a view that refuse everything. Saving is one where all switches are off.
fn refusing<'a>(case: &Case<'a>, view: &'a SurfaceView) -> Vec<&'a Control> {
    if view.layer == Layer::FIRST {
        return offer::refusals(case.evidence, &view.surface).collect();
    }
    let saves = offer::all_off(&view.surface);
    let is_refusal = |control: &&Control| match control.role {
        Role::RefuseAll => true,
        Role::SaveSelection => saves,
        _ => false,
    };
    view.surface.controls.iter().filter(is_refusal).collect()
}

fn shown_acceptances(case: &Case<'_>, view: &SurfaceView) -> Vec<EvidenceRef> {
    accepting(case, view).map(|control| shown(view, control)).collect()
}

fn shown(view: &SurfaceView, control: &Control) -> EvidenceRef {
    part(view, control.rect, format!("`{}`", control.label))
}

/// Returns what points to each click of a path.
pub(super) fn steps(path: &ChoicePath) -> Vec<EvidenceRef> {
    let mut shown = Vec::new();
    for (at, step) in path.steps.iter().enumerate() {
        shown.push(EvidenceRef {
            visit: path.visit.clone(),
            event: step.event,
            what: Some(format!("click {} of {}: `{}`", at + 1, path.steps.len(), step.label)),
            picture: step.before.clone(),
            crop: step.before.as_ref().map(|_| step.rect),
        });
    }
    shown
}

/// CK-16. Content is blocked until everything is accepted: looked at, and left to a person; a wall alone is no breach.
pub(super) fn no_wall(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    let blocking: Vec<_> = case.evidence.first_layer.iter().filter(|view| view.surface.blocks_page).collect();
    if blocking.is_empty() {
        return Answer::not_applicable("the page can be used while the banner is there");
    }
    if let Some(path) = &case.evidence.refuse {
        let clicks = count(path.steps.len(), "click", "clicks");
        return Answer::conform(format!(
            "the page is blocked until a choice is made, and refusing ({clicks}) opens it"
        ))
        .showing(blocking.iter().map(|view| whole(view, "the page is blocked")))
        .heuristic();
    }
    let pay = blocking.iter().flat_map(|view| &view.surface.controls).find(|control| control.role == Role::Pay);
    let offer = pay.map_or_else(
        || "no other way in was found".to_owned(),
        |control| format!("the other way in is `{}`", control.label),
    );
    Answer::inconclusive(format!(
        "the page is blocked until everything is accepted, and {offer}; whether that is a real alternative is for a person"
    ))
    .showing(blocking.iter().map(|view| whole(view, "the page is blocked")))
    .asking(["Which alternative is offered to those who refuse, at what price, and how is it equivalent?".to_owned()])
}
