//! What the banner shows: its layers with their words, controls and switches, and how yes and no look.

use super::{
    language::Language,
    pictures::{Gallery, Shot},
    words,
};
use crate::evidence::{Effect, Evidence, SurfaceView, Tried};
use vigie_banner::model::{Control, Look, Role, Statements, Surface, Switch};
use vigie_domain::{Layer, Rect, Scenario, page::Rgba, record::EventKind};

/// Everything about the banner's layers.
pub struct Layers {
    /// Where no banner was seen: the page as it was then.
    pub page: Option<Shot>,
    /// The layers, the first display first.
    pub seen: Vec<LayerView>,
    /// Accept and refuse, compared.
    pub looks: Option<Looks>,
    /// What passive acts led to.
    pub passive: Vec<PassiveView>,
    /// The first layer on other screens.
    pub screens: Vec<Screen>,
}

/// One layer.
pub struct LayerView {
    /// `First layer`, `Second layer`…
    pub title: String,
    /// The clicks that led here, by their labels.
    pub via: Vec<String>,
    /// The picture, the surface outlined.
    pub picture: Option<Shot>,
    /// The path of a picture that was not to be had.
    pub missing: Option<String>,
    /// Where it lives, which tool, whether it blocks the page.
    pub facts: Vec<String>,
    /// The language of its text, for the `lang` attribute; empty if not known.
    pub lang: String,
    /// Its text.
    pub text: String,
    /// Whether its controls were tried, each alone.
    pub tried: bool,
    /// Its controls.
    pub controls: Vec<ControlView>,
    /// Its switches.
    pub switches: Vec<SwitchView>,
    /// The purposes it names.
    pub purposes: Vec<(String, &'static str)>,
    /// What else it says.
    pub statements: Vec<(&'static str, String)>,
}

/// One control.
pub struct ControlView {
    /// What is read on it.
    pub label: String,
    /// `button`, `link`…
    pub nature: &'static str,
    /// What its words promise.
    pub role: &'static str,
    /// What it was seen to do.
    pub effect: &'static str,
    /// Whether a click at its middle reaches it without scrolling.
    pub in_reach: bool,
}

/// One switch.
pub struct SwitchView {
    /// What it is for, in the banner's words.
    pub label: String,
    /// Which purpose that is.
    pub purpose: &'static str,
    /// `on`, `off`, `could not be told`.
    pub state: &'static str,
    /// Whether it is on and stands for something that needs consent.
    pub preticked: bool,
    /// Remarks: locked, necessary by its words, legitimate interest.
    pub remarks: String,
}

/// Accept beside refuse.
pub struct Looks {
    /// How the control that accepts looks.
    pub accept: Specimen,
    /// How the one that refuses looks.
    pub refuse: Specimen,
    /// The measures.
    pub rows: Vec<LookRow>,
}

/// A control cut out of the picture.
pub struct Specimen {
    /// Its label.
    pub label: String,
    /// Where it stands.
    pub layer: String,
    /// The cut-out.
    pub shot: Option<Shot>,
}

/// One measure of both.
pub struct LookRow {
    /// What is measured.
    pub what: &'static str,
    /// Of the control that accepts.
    pub accept: String,
    /// Of the one that refuses.
    pub refuse: String,
    /// Refuse to accept, where a ratio means something.
    pub ratio: String,
}

/// One passive act.
pub struct PassiveView {
    /// What was done.
    pub act: String,
    /// What it led to.
    pub effect: &'static str,
    /// The visit.
    pub visit: String,
}

/// The first layer on another screen.
pub struct Screen {
    /// Its size.
    pub size: String,
    /// What was seen.
    pub seen: String,
    /// The picture.
    pub picture: Option<Shot>,
}

/// Returns the view of the layers.
pub fn view(t: Language, evidence: &Evidence, gallery: &mut Gallery<'_>) -> Layers {
    let n_first = evidence.first_layer.len();
    let all_empty = n_first == 0 && evidence.further_layers.is_empty();
    let first = evidence.first_layer.iter().enumerate().map(|(index, seen)| {
        let title = if n_first > 1 {
            t.fill(
                "First layer, surface {n} of {all}",
                &[("n", &(index + 1).to_string()), ("all", &n_first.to_string())],
            )
        } else {
            t.say("First layer").to_owned()
        };
        (title, seen, index == 0)
    });
    let further =
        evidence.further_layers.iter().map(|seen| (words::sentence_start(&words::layer(t, seen.layer)), seen, false));
    let all: Vec<_> = first.chain(further).collect();
    Layers {
        page: if all_empty { bare_page(t, evidence, gallery) } else { None },
        seen: all.into_iter().map(|(title, seen, main)| layer(t, evidence, gallery, title, seen, main)).collect(),
        looks: looks(t, evidence, gallery),
        passive: evidence
            .passive
            .iter()
            .map(|passive| PassiveView {
                act: words::passive(t, &passive.act),
                effect: words::effect(t, passive.effect),
                visit: passive.visit.clone(),
            })
            .collect(),
        screens: screens(t, evidence, gallery),
    }
}

/// Returns the picture of the untouched page: that there is no banner on it can be checked by eye.
fn bare_page(t: Language, evidence: &Evidence, gallery: &mut Gallery<'_>) -> Option<Shot> {
    let visit = evidence.visit(Scenario::S0)?;
    let path = visit.events.iter().rev().find_map(|event| match &event.kind {
        EventKind::Picture { path } => Some(path),
        _ => None,
    })?;
    gallery.whole(path, visit.viewport, None, t.say("The page before any input; no consent banner was seen on it."))
}

fn layer(
    t: Language,
    evidence: &Evidence,
    gallery: &mut Gallery<'_>,
    title: String,
    seen: &SurfaceView,
    main: bool,
) -> LayerView {
    let surface = &seen.surface;
    let alt =
        t.fill("The page with the {layer}, which is outlined. Its text follows.", &[("layer", &title.to_lowercase())]);
    let picture = seen
        .picture
        .as_ref()
        .and_then(|path| gallery.whole(path, viewport(evidence, seen), pixels(surface.rect), &alt));
    LayerView {
        title,
        via: seen.via.clone(),
        missing: if picture.is_some() { None } else { seen.picture.clone() },
        picture,
        facts: facts(t, seen),
        lang: surface.language.clone().unwrap_or_default(),
        text: surface.text.clone(),
        tried: main,
        controls: surface.controls.iter().map(|control| control_view(t, evidence, control)).collect(),
        switches: surface.switches.iter().map(|switch| switch_view(t, switch)).collect(),
        purposes: surface
            .purposes
            .iter()
            .map(|named| (named.words.clone(), words::purpose(t, named.purpose)))
            .collect(),
        statements: statements(t, &surface.statements),
    }
}

fn viewport(evidence: &Evidence, seen: &SurfaceView) -> (u32, u32) {
    evidence.visit_named(&seen.visit).map_or(evidence.environment.viewport, |visit| visit.viewport)
}

fn pixels(rect: Rect) -> Option<[i32; 4]> {
    (rect.w > 0.0 && rect.h > 0.0).then(|| [rect.x, rect.y, rect.w, rect.h].map(|side| side.round() as i32))
}

fn facts(t: Language, seen: &SurfaceView) -> Vec<String> {
    let surface = &seen.surface;
    let mut facts =
        vec![t.fill(
            "Seen in visit {visit}, {place}",
            &[("visit", &seen.visit), ("place", words::place(t, surface.place))],
        )];
    if let Some(cmp) = &surface.cmp {
        facts.push(t.fill("consent tool: {cmp}", &[("cmp", cmp)]));
    }
    if let Some(language) = &surface.language {
        facts.push(t.fill("language: {language}", &[("language", &words::language(t, language))]));
    }
    let blocks =
        if surface.blocks_page { t.say("keeps the page from being used") } else { t.say("leaves the page usable") };
    facts.push(blocks.to_owned());
    facts
}

fn control_view(t: Language, evidence: &Evidence, control: &Control) -> ControlView {
    let same = |tried: &&Tried| tried.control.node == control.node && tried.control.label == control.label;
    let effect =
        evidence.tried.iter().find(same).map_or(t.say("was not tried"), |tried| words::effect(t, tried.effect));
    ControlView {
        label: control.label.clone(),
        nature: words::nature(t, control.nature, control.in_text),
        role: words::role(t, control.role),
        effect,
        in_reach: control.in_reach,
    }
}

fn switch_view(t: Language, switch: &Switch) -> SwitchView {
    let mut remarks = Vec::new();
    if switch.disabled {
        remarks.push(t.say("cannot be changed"));
    }
    if switch.exempt {
        remarks.push(t.say("needs no consent by its words"));
    }
    if switch.legitimate_interest {
        remarks.push(t.say("speaks of legitimate interest"));
    }
    match switch.allows {
        Some(true) => remarks.push(t.say("choosing it allows")),
        Some(false) => remarks.push(t.say("choosing it denies")),
        None => {}
    }
    SwitchView {
        label: switch.label.clone(),
        purpose: switch.purpose.map_or(t.say("could not be told"), |purpose| words::purpose(t, purpose)),
        state: match switch.on {
            Some(true) => t.say("on"),
            Some(false) => t.say("off"),
            None => t.say("could not be told"),
        },
        preticked: switch.on == Some(true) && !switch.exempt && switch.allows != Some(false),
        remarks: remarks.join(", "),
    }
}

fn statements(t: Language, statements: &Statements) -> Vec<(&'static str, String)> {
    let one = |title, said: &Option<String>| said.clone().map(|said| (title, said));
    let mut list: Vec<_> = [
        one(t.say("Browsing on is taken as consent"), &statements.implied_consent),
        one(t.say("What follows from not choosing"), &statements.effect_of_ignoring),
        one(t.say("Consent can be withdrawn"), &statements.withdrawal),
        one(t.say("What follows from refusing"), &statements.consequences),
        one(t.say("Third parties take part"), &statements.partners),
        one(t.say("A service is said to be lost"), &statements.threat),
        one(t.say("Legitimate interest"), &statements.legitimate_interest),
    ]
    .into_iter()
    .flatten()
    .collect();
    list.extend(statements.imprecise.iter().map(|said| (t.say("A purpose in imprecise words"), said.clone())));
    list
}

/// The control that accepts (or refuses), where it stands and where it was pictured.
struct Found<'a> {
    control: &'a Control,
    seen: &'a SurfaceView,
}

/// Looks first at what controls did, then at what they say; on the first layer before the further ones.
fn find<'a>(evidence: &'a Evidence, effect: Effect, role: Role) -> Option<Found<'a>> {
    let first = evidence.first_layer.first()?;
    if let Some(tried) = evidence.tried.iter().find(|tried| tried.effect == effect) {
        return Some(Found { control: &tried.control, seen: first });
    }
    let by_role = |surface: &'a Surface| surface.controls.iter().find(|control| control.role == role);
    evidence
        .first_layer
        .iter()
        .chain(&evidence.further_layers)
        .find_map(|seen| by_role(&seen.surface).map(|control| Found { control, seen }))
}

fn looks(t: Language, evidence: &Evidence, gallery: &mut Gallery<'_>) -> Option<Looks> {
    let accept = find(evidence, Effect::Accepts, Role::AcceptAll)?;
    let refuse = find(evidence, Effect::Refuses, Role::RefuseAll)?;
    if std::ptr::eq(accept.control, refuse.control) {
        return None;
    }
    let rows = look_rows(t, accept.control, refuse.control);
    Some(Looks {
        accept: specimen(t, evidence, gallery, &accept),
        refuse: specimen(t, evidence, gallery, &refuse),
        rows,
    })
}

fn specimen(t: Language, evidence: &Evidence, gallery: &mut Gallery<'_>, found: &Found<'_>) -> Specimen {
    let label = found.control.label.clone();
    let alt = t.fill("{label} as it was drawn.", &[("label", &t.quoted(&label))]);
    let shot = found
        .seen
        .picture
        .as_ref()
        .zip(pixels(found.control.rect))
        .and_then(|(path, rect)| gallery.specimen(path, viewport(evidence, found.seen), rect, &alt));
    let layer = if found.seen.layer == Layer::FIRST {
        t.say("first layer").to_owned()
    } else {
        words::layer(t, found.seen.layer)
    };
    Specimen { label, layer, shot }
}

fn look_rows(t: Language, accept: &Control, refuse: &Control) -> Vec<LookRow> {
    let (yes, no) = (&accept.look, &refuse.look);
    let ratio = |no: f32, yes: f32| if yes > 0.0 { t.decimal(f64::from(no / yes), 2) } else { "–".to_owned() };
    let row = |what, accept: String, refuse: String| LookRow { what, accept, refuse, ratio: "–".to_owned() };
    let measure = |what, yes: f32, no: f32, say: &dyn Fn(f32) -> String| LookRow {
        what,
        accept: say(yes),
        refuse: say(no),
        ratio: ratio(no, yes),
    };
    let size = |control: &Control| format!("{:.0} × {:.0} px", control.rect.w, control.rect.h);
    let reach = |control: &Control| if control.in_reach { t.say("yes") } else { t.say("no") }.to_owned();
    let drawn = |look: &Look| {
        let underlined = if look.underlined { t.say(", underlined") } else { "" };
        format!("{}{underlined}", words::shape(t, look.shape))
    };
    vec![
        row(t.say("Kind"), kind(t, accept), kind(t, refuse)),
        row(t.say("Drawn as"), drawn(yes), drawn(no)),
        row(t.say("Box"), size(accept), size(refuse)),
        measure(t.say("Painted area"), yes.area, no.area, &|area| format!("{area:.0} px²")),
        measure(t.say("Font size"), yes.font_px, no.font_px, &|px| format!("{} px", short(t, px))),
        measure(t.say("Font weight"), f32::from(yes.font_weight), f32::from(no.font_weight), &|weight| {
            format!("{weight:.0}")
        }),
        measure(t.say("Contrast of the words"), yes.text_contrast, no.text_contrast, &|ratio| contrast(t, ratio)),
        measure(t.say("Contrast of the box with the banner"), yes.fill_contrast, no.fill_contrast, &|ratio| {
            contrast(t, ratio)
        }),
        row(t.say("Colour of words, on colour"), colours(t, yes), colours(t, no)),
        row(t.say("Reached without scrolling"), reach(accept), reach(refuse)),
    ]
}

fn kind(t: Language, control: &Control) -> String {
    words::nature(t, control.nature, control.in_text).to_owned()
}

fn contrast(t: Language, ratio: f32) -> String {
    format!("{} : 1", t.decimal(f64::from(ratio), 1))
}

fn short(t: Language, px: f32) -> String {
    if (px - px.round()).abs() < 0.05 { format!("{px:.0}") } else { t.decimal(f64::from(px), 1) }
}

fn colours(t: Language, look: &Look) -> String {
    let hex = |colour: Rgba| format!("#{:02x}{:02x}{:02x}", colour.rgb[0], colour.rgb[1], colour.rgb[2]);
    t.fill("{text} on {fill}", &[("text", &hex(look.text)), ("fill", &hex(look.fill))])
}

fn screens(t: Language, evidence: &Evidence, gallery: &mut Gallery<'_>) -> Vec<Screen> {
    let mut screens = Vec::new();
    for other in &evidence.other_viewports {
        let (width, height) = other.viewport;
        let size = format!("{width} × {height}");
        let outline = other.surface.as_ref().and_then(|surface| pixels(surface.rect));
        let alt = t.fill("The page on a screen of {size} pixels.", &[("size", &size)]);
        let picture = other.picture.as_ref().and_then(|path| gallery.whole(path, other.viewport, outline, &alt));
        let seen = other.surface.as_ref().map_or_else(
            || t.say("no banner was seen").to_owned(),
            |surface| {
                let out = surface.controls.iter().filter(|control| !control.in_reach).count();
                match out {
                    0 => t.say("every control of the banner is reached without scrolling").to_owned(),
                    n => t.fill(
                        "{controls} of the banner not reached without scrolling",
                        &[("controls", &t.count(n, "control", "controls"))],
                    ),
                }
            },
        );
        screens.push(Screen { size, seen, picture });
    }
    screens
}
