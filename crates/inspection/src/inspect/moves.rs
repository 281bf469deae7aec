//! What a person could click next, given what is on the screen and what they want.
//!
//! Pure. Words order the candidates and never exclude one that could be cheaper, except that nobody who wants to
//! refuse reads policies or pays.

use super::look::{Look, counts};
use vigie_banner::{Control, Nature, Role, Surface, Switch};
use vigie_domain::Choice;

/// One thing to do in a state of the banner. Controls are named by what a person reads, so that the same move can be
/// made again in another profile.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Move {
    /// Activate a control.
    Activate(Target),
    /// Turn every switch that needs consent on, or off. Costs a click each that has to change.
    TurnAll {
        /// Which way.
        on: bool,
    },
    /// Activate a control of the page itself that may bring the banner back.
    Reopen(Target),
}

/// A control, by what a person reads on it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub label: String,
    pub role: Role,
    pub icon_only: bool,
    /// Which of those that read the same, in document order.
    pub nth: usize,
}

impl Target {
    /// Returns how to find this control of this list again.
    pub(crate) fn of(controls: &[&Control], control: &Control) -> Self {
        let nth = controls
            .iter()
            .take_while(|other| other.node != control.node)
            .filter(|other| super::look::same_control(other, control))
            .count();
        Self { label: control.label.clone(), role: control.role, icon_only: control.icon_only, nth }
    }

    /// Returns the control that this names in a list, if it is there.
    pub(crate) fn find<'a>(&self, controls: impl IntoIterator<Item = &'a Control>) -> Option<&'a Control> {
        let mut alike = controls.into_iter().filter(|control| control.label == self.label);
        let exact: Vec<_> =
            alike.by_ref().filter(|control| control.role == self.role && control.icon_only == self.icon_only).collect();
        exact.get(self.nth).or(exact.last()).copied()
    }
}

/// A move with what is known of its price.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub next: Vec<Move>,
    /// Clicks that `next` costs.
    pub clicks: u32,
    /// Hundredths of a click added to order equal prices: the unlikely come later.
    pub doubt: u32,
    /// Whether the words promise that `next` ends in the wanted choice.
    pub promises: bool,
    /// Whether it only opens something, so that at least one more click is needed.
    pub opens: bool,
}

/// Returns the switches of a surface that would have to change so that all are `on` or off. Of a group of which one
/// is chosen, that is the option that says so.
pub(crate) fn to_change(surface: &Surface, on: bool) -> Vec<&Switch> {
    surface
        .switches
        .iter()
        .filter(|switch| counts(switch) && !switch.disabled)
        .filter(|switch| match (switch.choice_of, switch.allows) {
            (Some(_), Some(allows)) => allows == on && switch.on != Some(true),
            (Some(_), None) => false,
            (None, _) => switch.on == Some(!on),
        })
        .collect()
}

/// Returns whether every switch that needs consent stands at `on`, as far as the surface shows.
pub(crate) fn all_stand(surface: &Surface, on: bool) -> bool {
    to_change(surface, on).is_empty()
}

/// Returns whether the surface has a switch that needs consent.
pub(crate) fn has_switches(surface: &Surface) -> bool {
    surface.switches.iter().any(|switch| counts(switch) && !switch.disabled)
}

/// Returns what could be done next to come to `goal`, in the state that `look` shows after `done`.
pub(crate) fn candidates(look: &Look, goal: Choice, done: &[Move]) -> Vec<Candidate> {
    let mut found = Vec::new();
    for (rank, surface) in look.surfaces().enumerate() {
        let behind = rank as u32 * 30;
        for candidate in of_surface(surface, goal, done) {
            found.push(Candidate { doubt: candidate.doubt + behind, ..candidate });
        }
    }
    found
}

/// Returns how a surface can be closed that stays open although the choice was taken.
pub(crate) fn closing(look: &Look) -> Vec<Candidate> {
    let mut found = Vec::new();
    for surface in look.surfaces() {
        let controls: Vec<&Control> = surface.controls.iter().collect();
        for control in &controls {
            let doubt = match control.role {
                Role::Close => 0,
                Role::SaveSelection => 10,
                Role::Unknown => 40,
                _ => continue,
            };
            let next = vec![Move::Activate(Target::of(&controls, control))];
            found.push(Candidate { next, clicks: 1, doubt, promises: true, opens: false });
        }
    }
    found
}

fn of_surface(surface: &Surface, goal: Choice, done: &[Move]) -> Vec<Candidate> {
    let accept = goal == Choice::Accept;
    let controls: Vec<&Control> = surface.controls.iter().collect();
    let flipped = done.iter().any(|step| matches!(step, Move::TurnAll { .. }));
    let changing = to_change(surface, accept).len() as u32;
    let switches = has_switches(surface);
    let saves = controls.iter().any(|control| control.role == Role::SaveSelection);
    let mut found = Vec::new();
    for control in &controls {
        let target = Target::of(&controls, control);
        let step = Move::Activate(target);
        let mut add = |clicks: u32, doubt: u32, promises: bool| {
            let opens = control.role == Role::Settings;
            found.push(Candidate { next: vec![step.clone()], clicks, doubt, promises, opens });
        };
        let unsure = ((1.0 - control.confidence.clamp(0.0, 1.0)) * 20.0) as u32;
        match control.role {
            Role::AcceptAll if accept => add(1, unsure, true),
            Role::RefuseAll if !accept => add(1, unsure + u32::from(control.vague) * 5, true),
            // Once switches were set, a button that says "accept" may save them as they stand.
            Role::AcceptAll if flipped && all_stand(surface, false) => add(1, 10, false),
            Role::SaveSelection if switches && changing > 0 && !flipped => {
                let next = vec![Move::TurnAll { on: accept }, step.clone()];
                found.push(Candidate { next, clicks: changing + 1, doubt: unsure, promises: true, opens: false });
            }
            Role::SaveSelection if (switches || flipped) && changing == 0 => add(1, unsure + 2, true),
            Role::SaveSelection if !switches && !flipped => add(1, 45 + unsure, false),
            // Sections that unfold beside switches or a way to save explain purposes; they seldom hold a shorter way.
            Role::Settings if control.vague && (switches || saves) => add(1, 160 + unsure, false),
            Role::Settings if opens(control) => add(1, 10 + unsure + u32::from(control.vague) * 20, false),
            // Lists of partners may hold a refusal that the purposes do not.
            Role::PartnerList if !navigates(control) => {
                found.push(Candidate { next: vec![step.clone()], clicks: 1, doubt: 45, promises: false, opens: true });
            }
            Role::Close if !accept => add(1, if flipped && !saves { 5 } else { 40 }, false),
            Role::Unknown if control.nature != Nature::Link || !navigates(control) => {
                add(1, 50 + (unsure / 2), false);
            }
            _ => {}
        }
    }
    // Switches without a button of their own: they may save themselves, or be saved by a button of another layer.
    if switches && !saves && !flipped && changing > 0 {
        let next = vec![Move::TurnAll { on: accept }];
        found.push(Candidate { next, clicks: changing, doubt: 30, promises: false, opens: false });
    }
    found
}

/// Returns whether a settings control is worth opening: one on this page, or a link to a page of settings.
fn opens(control: &Control) -> bool {
    control.confidence >= 0.3
}

/// Returns whether activating a control goes to another address: a link with an address that is not a fragment.
pub(crate) fn navigates(control: &Control) -> bool {
    control.href.as_deref().is_some_and(|href| {
        let href = href.trim();
        !href.is_empty() && !href.starts_with('#') && !href.to_ascii_lowercase().starts_with("javascript:")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_or_a_script_is_no_navigation() {
        let check = |href: Option<&str>, expected: bool| {
            let control = Control { href: href.map(str::to_owned), ..control("x") };
            assert_eq!(navigates(&control), expected, "{href:?}");
        };
        check(None, false);
        check(Some("#"), false);
        check(Some("javascript:void(0)"), false);
        check(Some("/cookies"), true);
    }

    #[test]
    fn the_second_of_two_that_read_the_same_is_found_again() {
        let mut twins = [control("Allow"), control("Allow")];
        twins[1].node = vigie_domain::NodeId(7);
        let all: Vec<&Control> = twins.iter().collect();
        let target = Target::of(&all, &twins[1]);
        assert_eq!(target.nth, 1);
        assert_eq!(target.find(&twins).map(|control| control.node), Some(vigie_domain::NodeId(7)));
    }

    fn control(label: &str) -> Control {
        use vigie_banner::{Look, Shape};
        use vigie_domain::page::{Rect, Rgba};
        let look = Look {
            shape: Shape::Filled,
            fill: Rgba::WHITE,
            text: Rgba::WHITE,
            text_contrast: 1.0,
            fill_contrast: 1.0,
            font_px: 16.0,
            font_weight: 400,
            underlined: false,
            area: 100.0,
        };
        Control {
            node: vigie_domain::NodeId(1),
            label: label.to_owned(),
            icon_only: false,
            role: Role::Unknown,
            confidence: 1.0,
            vague: false,
            nature: Nature::Button,
            href: None,
            in_text: false,
            rect: Rect::default(),
            in_reach: true,
            look,
        }
    }
}
