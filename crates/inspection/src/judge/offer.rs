//! What a layer offers: which controls accept everything, refuse everything, open settings or close.
//!
//! Words name what a control promises; where it was tried, what it did decides. A control that only saves the switches
//! as they stand is no refusal where switches are shown, even if all of them are off: that is told apart, as
//! [`FirstLayer::refuse_by_saving`]. Closing is not refusing, whatever state it leaves.

use crate::evidence::{Effect, Evidence, SurfaceView};
use vigie_banner::{Control, Role, Surface, Switch};
use vigie_domain::Layer;

/// What the first layer offers, in one activation each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FirstLayer {
    /// A labelled control accepts everything.
    pub accept: bool,
    /// A labelled control refuses everything that is not exempt.
    pub refuse: bool,
    /// Switches are shown, and saving them untouched refuses.
    pub refuse_by_saving: bool,
    /// A control opens further choices without leaving the page.
    pub settings: bool,
    /// There is a cross, or another control that only closes.
    pub close: bool,
}

/// A switch of something that needs consent, with the view that showed it first.
#[derive(Debug, Clone, Copy)]
pub struct ShownSwitch<'a> {
    /// The switch.
    pub switch: &'a Switch,
    /// The view.
    pub view: &'a SurfaceView,
}

impl ShownSwitch<'_> {
    /// Returns whether it allows something; `None` where that cannot be told. Of a group of which one is chosen, an
    /// option that denies allows nothing.
    pub fn allows(&self) -> Option<bool> {
        match (self.switch.choice_of, self.switch.allows) {
            (Some(_), Some(false)) => Some(false),
            // An option that is not chosen says nothing of the others.
            (Some(_), None) => self.switch.on.filter(|on| !on),
            _ => self.switch.on,
        }
    }
}

/// Returns what the first layer offers.
pub fn first_layer(evidence: &Evidence) -> FirstLayer {
    let controls = || evidence.first_layer.iter().flat_map(|view| &view.surface.controls);
    FirstLayer {
        accept: controls().any(|control| accepts(evidence, control)),
        refuse: evidence.first_layer.iter().any(|view| refusals(evidence, &view.surface).next().is_some()),
        refuse_by_saving: evidence.first_layer.iter().any(|view| {
            let saves = |control: &Control| control.role == Role::SaveSelection && !control.icon_only;
            has_open_switch(&view.surface)
                && view.surface.controls.iter().any(|control| {
                    saves(control)
                        && match effect(evidence, control) {
                            Effect::Refuses => true,
                            Effect::Unknown => all_off(&view.surface),
                            Effect::Accepts | Effect::Dismisses | Effect::Opens | Effect::Leaves | Effect::Nothing => {
                                false
                            }
                        }
                })
        }),
        settings: controls().any(|control| opens(evidence, control)),
        close: controls().any(|control| {
            let acts = matches!(effect(evidence, control), Effect::Accepts | Effect::Refuses | Effect::Dismisses);
            control.role == Role::Close || (control.icon_only && acts)
        }),
    }
}

/// Returns what a control was seen to do; `Unknown` if it was not tried.
pub fn effect(evidence: &Evidence, control: &Control) -> Effect {
    let same = |other: &Control| other.label == control.label && other.icon_only == control.icon_only;
    let known = evidence.tried.iter().filter(|tried| same(&tried.control));
    let of_role = known.clone().find(|tried| tried.control.role == control.role);
    of_role.or(known.clone().next()).map_or(Effect::Unknown, |tried| tried.effect)
}

/// Returns whether a control of the first layer accepts everything in one activation.
pub fn accepts(evidence: &Evidence, control: &Control) -> bool {
    if control.icon_only {
        return false;
    }
    let is_path = evidence
        .accept
        .as_ref()
        .is_some_and(|path| path.clicks() == 1 && path.steps.first().is_some_and(|step| step.label == control.label));
    match effect(evidence, control) {
        Effect::Accepts => true,
        Effect::Unknown | Effect::Dismisses => control.role == Role::AcceptAll || is_path,
        Effect::Nothing => is_path,
        Effect::Refuses | Effect::Opens | Effect::Leaves => false,
    }
}

/// Iterates over the controls of a first layer that refuse everything in one activation.
pub fn refusals<'a>(evidence: &'a Evidence, surface: &'a Surface) -> impl Iterator<Item = &'a Control> {
    let switches = has_open_switch(surface);
    surface.controls.iter().filter(move |control| {
        let excluded = match control.role {
            Role::Close | Role::Pay | Role::AcceptAll => true,
            Role::SaveSelection => switches,
            _ => control.icon_only,
        };
        !excluded
            && match effect(evidence, control) {
                Effect::Refuses => true,
                Effect::Unknown | Effect::Dismisses => control.role == Role::RefuseAll,
                Effect::Accepts | Effect::Opens | Effect::Leaves | Effect::Nothing => false,
            }
    })
}

/// Iterates over the controls of a first layer that accept everything in one activation.
pub fn acceptances<'a>(evidence: &'a Evidence, surface: &'a Surface) -> impl Iterator<Item = &'a Control> {
    surface.controls.iter().filter(|control| accepts(evidence, control))
}

fn opens(evidence: &Evidence, control: &Control) -> bool {
    match (control.role, effect(evidence, control)) {
        (Role::Settings, Effect::Opens | Effect::Unknown) => true,
        (Role::PartnerList | Role::Policy | Role::Language, _) => false,
        (_, effect) => effect == Effect::Opens && !control.icon_only,
    }
}

/// Returns whether a surface has a switch that needs consent and can be moved.
pub fn has_open_switch(surface: &Surface) -> bool {
    surface.switches.iter().any(|switch| !switch.exempt && !switch.disabled)
}

/// Returns whether no switch of the surface allows anything that needs consent, so that saving them refuses.
pub fn all_off(surface: &Surface) -> bool {
    surface.switches.iter().filter(|switch| !switch.exempt).all(|switch| {
        let denies = switch.choice_of.is_some() && switch.allows == Some(false);
        denies || switch.on == Some(false)
    })
}

/// Iterates over the layers before anything in them was changed: the first ones, then those that were opened.
///
/// A view to which a switch was moved shows our doing, and what shows after withdrawing is no first display.
pub fn untouched_layers(evidence: &Evidence) -> impl Iterator<Item = &SurfaceView> {
    let moved = |view: &SurfaceView| {
        view.via.iter().any(|label| {
            let layers = evidence.first_layer.iter().chain(&evidence.further_layers);
            let is_switch =
                layers.clone().any(|other| other.surface.switches.iter().any(|switch| switch.label == *label));
            let is_control =
                layers.clone().any(|other| other.surface.controls.iter().any(|control| control.label == *label));
            is_switch && !is_control
        })
    };
    let further = evidence.further_layers.iter().filter(move |view| view.visit != "S3" && !moved(view));
    evidence.first_layer.iter().chain(further)
}

/// Returns the switches that need consent, at any layer, each once, as they were first shown.
pub fn switches(evidence: &Evidence) -> Vec<ShownSwitch<'_>> {
    let mut shown: Vec<ShownSwitch<'_>> = Vec::new();
    for view in untouched_layers(evidence) {
        let known = shown.len();
        for switch in view.surface.switches.iter().filter(|switch| !switch.exempt) {
            // Several visits open the same layer, and not always in the same way.
            let again = shown[..known].iter().any(|earlier| {
                earlier.view.layer == view.layer
                    && earlier.switch.label == switch.label
                    && earlier.switch.allows == switch.allows
            });
            if !again {
                shown.push(ShownSwitch { switch, view });
            }
        }
    }
    shown
}

/// Returns whether there are settings that were not looked into, so that nothing can be said of their switches.
pub fn settings_unseen(evidence: &Evidence) -> bool {
    let further = evidence.further_layers.iter().any(|view| view.layer > Layer::FIRST);
    let mut controls = evidence.first_layer.iter().flat_map(|view| &view.surface.controls);
    !further && controls.any(|control| control.role == Role::Settings)
}
