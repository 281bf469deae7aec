//! CK-07, CK-08, CK-09 and CK-11: whether the refusal is on the screen, a real control, as legible as the acceptance,
//! and says what it does.

use super::{
    answer::{Answer, list, part},
    case::Case,
    offer,
    words::language_is_known,
};
use crate::evidence::{Evidence, SurfaceView};
use vigie_banner::{Control, Nature, Role, Shape, Surface};
use vigie_domain::EvidenceRef;

/// The screens of CK-07, in CSS pixels.
const SCREENS: [(u32, u32); 2] = [(1366, 768), (390, 844)];

/// Text contrast below which a refusal cannot be read (DOMAIN.md, CK-09).
const UNREADABLE: f32 = 1.5;
/// Text contrast that WCAG 2.1 asks of large text; a refusal below it beside an acceptance above it is singled out.
const FAINT: f32 = 3.0;
/// Text contrast that WCAG 2.1 asks of ordinary text (DOMAIN.md, CK-09: warn below).
const LEGIBLE: f32 = 4.5;
/// Least ratio of refusal to acceptance in area, font size and weight (DOMAIN.md, CK-09: warn below).
const ALIKE: f32 = 0.8;

/// CK-07. Refuse control visible in the same viewport as accept, without scrolling, at 1366x768 and 390x844.
pub(super) fn same_screen(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    let evidence = case.evidence;
    if !case.offer.refuse || !case.offer.accept {
        return Answer::not_applicable("the first layer does not offer both acceptance and refusal");
    }
    let own: Vec<&Surface> = evidence.first_layer.iter().map(|view| &view.surface).collect();
    let own_picture = evidence.first_layer.first().and_then(|view| view.picture.clone());
    let own_visit = evidence.first_layer.first().map_or("", |view| view.visit.as_str());
    let mut screens = vec![(evidence.environment.viewport, own, own_visit, own_picture)];
    screens.extend(
        evidence
            .other_viewports
            .iter()
            .map(|other| (other.viewport, other.surface.iter().collect(), other.visit.as_str(), other.picture.clone())),
    );
    let mut unseen = Vec::new();
    let mut seen = Vec::new();
    for (viewport, surfaces, visit, picture) in &screens {
        let name = format!("{}x{}", viewport.0, viewport.1);
        let in_reach = |surface: &&Surface| {
            let accept = offer::acceptances(evidence, surface).find(|control| control.in_reach).cloned();
            let refuse = offer::refusals(evidence, surface).find(|control| control.in_reach).cloned();
            (accept, refuse)
        };
        let found: Vec<_> = surfaces.iter().map(in_reach).collect();
        let accept = found.iter().find_map(|(accept, _)| accept.as_ref());
        let refuse = found.iter().find_map(|(_, refuse)| refuse.as_ref());
        match (surfaces.is_empty(), accept, refuse) {
            (true, ..) | (false, None, _) => unseen.push(name),
            (false, Some(_), Some(_)) => seen.push(name),
            (false, Some(accept), None) => {
                let shown = EvidenceRef {
                    visit: (*visit).to_owned(),
                    event: None,
                    what: Some(format!("at {name} `{}` is in view, a refusal is not", accept.label)),
                    picture: picture.clone(),
                    crop: picture.as_ref().map(|_| super::answer::crop(accept.rect)),
                };
                let summary =
                    format!("at {name} `{}` can be clicked without scrolling and no refusal can", accept.label);
                return Answer::breach(summary).showing([shown]);
            }
        }
    }
    let missing: Vec<String> =
        SCREENS.iter().map(|(width, height)| format!("{width}x{height}")).filter(|name| !seen.contains(name)).collect();
    if missing.is_empty() {
        return Answer::conform(format!("acceptance and refusal are both in view at {}", list(&seen)));
    }
    let hidden =
        if unseen.is_empty() { String::new() } else { format!("; no acceptance was in view at {}", list(&unseen)) };
    Answer::inconclusive(format!("acceptance and refusal were not seen together at {}{hidden}", list(&missing)))
}

/// CK-08. Refuse has the same role as accept; not a link inside a paragraph, not outside the banner frame.
///
/// To a screen reader that is the role, to the keyboard whether it takes the focus, to a person the drawing: bare text
/// beside a box is not the same kind of thing. A refusal that is more of a control than the acceptance is no breach.
pub(super) fn real_control(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    let Some(pair) = pair(case.evidence) else {
        return Answer::not_applicable("the first layer does not offer both acceptance and refusal");
    };
    let (accept, refuse) = (pair.accept, pair.refuse);
    let label = &refuse.label;
    if refuse.in_text && !accept.in_text {
        return Answer::breach(format!("the refusal `{label}` is a link inside a text, the acceptance is not"))
            .showing(pair.shown());
    }
    if rank(refuse.nature) < rank(accept.nature) {
        let summary =
            format!("the acceptance is {}, the refusal `{label}` is {}", kind(accept.nature), kind(refuse.nature));
        return Answer::breach(summary).showing(pair.shown());
    }
    let focus = |control: &Control| {
        let tried = case.evidence.keyboard.iter().find(|tried| tried.label == control.label);
        tried.map(|tried| tried.takes_focus)
    };
    if focus(accept) == Some(true) && focus(refuse) == Some(false) {
        return Answer::breach(format!("the keyboard reaches the acceptance and not the refusal `{label}`"))
            .showing(pair.shown());
    }
    if refuse.look.shape == Shape::Plain && accept.look.shape != Shape::Plain {
        return Answer::breach(format!("the refusal `{label}` is drawn as bare text, the acceptance as a box"))
            .showing(pair.shown())
            .heuristic();
    }
    let summary =
        format!("the acceptance is {}, the refusal `{label}` is {}", kind(accept.nature), kind(refuse.nature));
    Answer::conform(summary).showing(pair.shown())
}

/// CK-09. Compare area, font size, weight, text contrast. Fail if refuse text contrast < 1.5:1; warn if < 4.5:1, or any
/// ratio refuse:accept < 0.8.
///
/// A warning is `inconclusive`, with the measures, for a person to judge; so is another shape. Bare text beside a box,
/// and text under 3:1 beside text above it, are breaches, as notices of the CNIL had it.
pub(super) fn looks_alike(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    let Some(pair) = pair(case.evidence) else {
        return Answer::not_applicable("the first layer does not offer both acceptance and refusal");
    };
    let (accept, refuse) = (pair.accept, pair.refuse);
    let (yes, no) = (accept.look, refuse.look);
    if no.text_contrast < UNREADABLE {
        return Answer::breach(format!(
            "the text of the refusal `{}` has a contrast of {:.1}:1, that of the acceptance {:.1}:1",
            refuse.label, no.text_contrast, yes.text_contrast
        ))
        .showing(pair.shown());
    }
    if no.shape == Shape::Plain && yes.shape != Shape::Plain {
        return Answer::breach(format!(
            "the refusal `{}` is bare text beside an acceptance drawn as a box",
            refuse.label
        ))
        .showing(pair.shown())
        .heuristic();
    }
    if no.text_contrast < FAINT && yes.text_contrast >= FAINT {
        return Answer::breach(format!(
            "the text of the refusal `{}` has a contrast of {:.1}:1, that of the acceptance {:.1}:1",
            refuse.label, no.text_contrast, yes.text_contrast
        ))
        .showing(pair.shown())
        .heuristic();
    }
    let differences = differences(accept, refuse);
    if differences.is_empty() {
        return Answer::conform("acceptance and refusal are alike in area, font, weight and contrast")
            .showing(pair.shown())
            .heuristic();
    }
    Answer::inconclusive(format!("left to a person: {}", differences.join(", "))).showing(pair.shown()).heuristic()
}

fn differences(accept: &Control, refuse: &Control) -> Vec<String> {
    let (yes, no) = (accept.look, refuse.look);
    let mut found = Vec::new();
    let mut compare = |what: &str, accept: f32, refuse: f32| {
        if accept > 0.0 && refuse / accept < ALIKE {
            found.push(format!("the refusal's {what} is {:.2} of the acceptance's", refuse / accept));
        }
    };
    compare("area", yes.area, no.area);
    compare("font size", yes.font_px, no.font_px);
    compare("font weight", f32::from(yes.font_weight), f32::from(no.font_weight));
    compare("contrast of the box", yes.fill_contrast, no.fill_contrast);
    if no.text_contrast < LEGIBLE {
        found.push(format!("the refusal's text has a contrast of {:.1}:1", no.text_contrast));
    }
    if no.shape != yes.shape {
        found.push(format!("the acceptance is {}, the refusal {}", drawn(yes.shape), drawn(no.shape)));
    }
    found
}

/// CK-11. Label matches a per-language lexicon; vague or partial labels flagged.
pub(super) fn explicit_label(case: &Case<'_>) -> Answer {
    if !case.has_banner() {
        return case.no_banner();
    }
    let refusals: Vec<(&SurfaceView, &Control)> = case
        .evidence
        .first_layer
        .iter()
        .flat_map(|view| offer::refusals(case.evidence, &view.surface).map(move |control| (view, control)))
        .collect();
    let Some((view, refuse)) = refusals.iter().max_by(|a, b| explicitness(a.1).total_cmp(&explicitness(b.1))) else {
        return Answer::not_applicable("the first layer offers no refusal");
    };
    let shown = part(view, refuse.rect, format!("`{}`", refuse.label));
    if refuse.role == Role::RefuseAll && !refuse.vague {
        return Answer::conform(format!("the refusal reads `{}`", refuse.label)).showing([shown]);
    }
    if !language_is_known(&view.surface) && refuse.role != Role::RefuseAll {
        return Answer::inconclusive(format!(
            "`{}` refuses, in a language whose words are not known here",
            refuse.label
        ))
        .showing([shown]);
    }
    let how = if refuse.vague { "is vague or partial" } else { "does not say that it refuses" };
    Answer::breach(format!("the label `{}` {how}", refuse.label)).showing([shown])
}

fn explicitness(control: &Control) -> f32 {
    let refuses = if control.role == Role::RefuseAll { 2.0 } else { 0.0 };
    let clear = if control.vague { 0.0 } else { 1.0 };
    refuses + clear + control.confidence / 10.0
}

/// Returns whether acceptance and refusal are drawn alike: `false` if the refusal is bare text beside a box, faint, or
/// smaller by a quarter; `None` if only one is there, or if they differ in a way that is a matter of judgement.
pub fn equal_prominence(evidence: &Evidence) -> Option<bool> {
    let pair = pair(evidence)?;
    let (yes, no) = (pair.accept.look, pair.refuse.look);
    let smaller = yes.font_px / no.font_px.max(1.0) > 1.25 || pair.accept.rect.h / pair.refuse.rect.h.max(1.0) > 1.5;
    let bare = no.shape == Shape::Plain && yes.shape != Shape::Plain;
    let faint = no.text_contrast < FAINT && yes.text_contrast >= FAINT;
    if smaller || bare || faint {
        return Some(false);
    }
    let ratio = |a: f32, b: f32| a.max(b) / a.min(b).max(1.0);
    let same_size = ratio(yes.font_px, no.font_px) <= 1.1 && ratio(pair.accept.rect.h, pair.refuse.rect.h) <= 1.25;
    let same_colour = yes.shape != Shape::Filled || yes.fill.rgb == no.fill.rgb;
    (yes.shape == no.shape && same_size && same_colour).then_some(true)
}

/// The most prominent acceptance and refusal of the first layer.
struct Pair<'a> {
    view: (&'a SurfaceView, &'a SurfaceView),
    accept: &'a Control,
    refuse: &'a Control,
}

impl Pair<'_> {
    fn shown(&self) -> [EvidenceRef; 2] {
        let measures = |control: &Control| {
            format!(
                "`{}`: {}, {:.0} px, weight {}, contrast {:.1}:1, area {:.0} px²",
                control.label,
                drawn(control.look.shape),
                control.look.font_px,
                control.look.font_weight,
                control.look.text_contrast,
                control.look.area
            )
        };
        [
            part(self.view.0, self.accept.rect, measures(self.accept)),
            part(self.view.1, self.refuse.rect, measures(self.refuse)),
        ]
    }
}

fn pair(evidence: &Evidence) -> Option<Pair<'_>> {
    let controls = |wanted: fn(&Evidence, &Surface, &Control) -> bool| {
        evidence
            .first_layer
            .iter()
            .flat_map(|view| view.surface.controls.iter().map(move |control| (view, control)))
            .filter(move |(view, control)| wanted(evidence, &view.surface, control))
            .max_by(|a, b| prominence(a.1).total_cmp(&prominence(b.1)))
    };
    let (accept_view, accept) = controls(|evidence, _, control| offer::accepts(evidence, control))?;
    let (refuse_view, refuse) = controls(|evidence, surface, control| {
        offer::refusals(evidence, surface).any(|other| other.node == control.node)
    })?;
    Some(Pair { view: (accept_view, refuse_view), accept, refuse })
}

fn prominence(control: &Control) -> f32 {
    let shape = match control.look.shape {
        Shape::Filled => 2.0,
        Shape::Outlined => 1.0,
        Shape::Plain => 0.0,
    };
    shape * 1e7 + control.look.area
}

fn rank(nature: Nature) -> u8 {
    match nature {
        Nature::Button => 2,
        Nature::Link => 1,
        Nature::Other => 0,
    }
}

fn kind(nature: Nature) -> &'static str {
    match nature {
        Nature::Button => "a button",
        Nature::Link => "a link",
        Nature::Other => "neither button nor link",
    }
}

fn drawn(shape: Shape) -> &'static str {
    match shape {
        Shape::Filled => "filled",
        Shape::Outlined => "outlined",
        Shape::Plain => "bare text",
    }
}
