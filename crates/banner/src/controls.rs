//! The controls of a surface: which nodes they are, what they are called and what they do.
//!
//! A role is read from the words first, then from where a link leads, then from English words in `id` and `class`,
//! and last from looks; the confidence says which it was.

use crate::{
    labels::{Label, has_words, is_cross, label_of},
    lexicon::Lang,
    look::look_of,
    marks::{Reader, is_hard_control, leads_away, takes_clicks},
    model::{Control, Nature, Role, Shape, Switch},
    reading::Class,
    switches::is_switch,
    text::Words,
    view::View,
};
use vigie_domain::{
    NodeId,
    page::{Hit, Node, NodeKind},
    purpose::Purpose,
};

/// Longest text of something that takes clicks but is no button or link, in bytes.
const SOFT_LABEL_BYTES: usize = 90;
/// Longest text that is read as a control though nothing marks it as one, in bytes.
const BARE_LABEL_BYTES: usize = 48;

/// A control and how its words were understood.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub control: Control,
    pub class: Option<Class>,
}

/// Returns the nodes under a root that a person would take for controls, in document order.
pub(crate) fn control_nodes(reader: &Reader, root: NodeId, language: Option<Lang>) -> Vec<NodeId> {
    let view = &reader.view;
    let mut nodes = Vec::new();
    let mut skip_until = 0;
    for id in view.subtree(root) {
        let place = view.place(id);
        let node = view.node(id);
        if place < skip_until || node.kind != NodeKind::Element || !view.is_shown(id) {
            continue;
        }
        if is_switch(node) || matches!(&*node.name, "select" | "textarea") {
            if !node.is("input") {
                skip_until = view.range(id).end;
            }
            continue;
        }
        if reader.is_one_control(id) {
            nodes.push(id);
            // A button may hold the switch of its row; the switch is its own.
            if reader.counts(id).switches == 0 {
                skip_until = view.range(id).end;
            }
            continue;
        }
        if is_soft_control(reader, id, language) || is_bare_control(reader, id, language) {
            nodes.push(id);
            skip_until = view.range(id).end;
        }
    }
    nodes
}

fn is_soft_control(reader: &Reader, id: NodeId, language: Option<Lang>) -> bool {
    let view = &reader.view;
    if !takes_clicks(view, id) || is_in_label(view, id) {
        return false;
    }
    let counts = reader.counts(id);
    if counts.hard > 0 || counts.switches > 0 || view.text_bytes(id) > SOFT_LABEL_BYTES {
        return false;
    }
    let label = label_of(view, &reader.names, id);
    if label.text.is_empty() {
        // A cross drawn with CSS: small, and named like one.
        let rect = view.rect(id);
        return rect.w <= 64.0 && rect.h <= 64.0 && class_word(view, id) == Some(Role::Close);
    }
    if !label.icon_only && read(reader, &label.text, language).is_none_or(|(_, further)| further > 0) {
        // Script listens on a container of several controls: those are meant, not the container.
        let inside = view.subtree(id).skip(1).filter(|&child| is_bare_control(reader, child, language)).count();
        if inside > 1 {
            return false;
        }
    }
    true
}

/// Returns whether text that nothing marks as a control reads like one: a label of its own that decides or closes.
fn is_bare_control(reader: &Reader, id: NodeId, language: Option<Lang>) -> bool {
    let view = &reader.view;
    let node = view.node(id);
    let bytes = view.text_bytes(id);
    if node.kind != NodeKind::Element || bytes == 0 || bytes > BARE_LABEL_BYTES || is_in_label(view, id) {
        return false;
    }
    if matches!(
        &*node.name,
        "h1" | "h2"
            | "h3"
            | "h4"
            | "h5"
            | "h6"
            | "legend"
            | "th"
            | "dt"
            | "title"
            | "label"
            | "b"
            | "strong"
            | "em"
            | "i"
    ) || node.attribute("role") == Some("heading")
        || reader.counts(id).hard > 0
        || reader.counts(id).switches > 0
    {
        return false;
    }
    let text = view.text(id);
    let Some((class, 0)) = read(reader, &text, language) else { return false };
    let is_weighty = class.decides() && !matches!(class, Class::Acknowledge | Class::AllowOne | Class::DenyOne);
    is_weighty && !is_in_text(view, id)
}

fn read(reader: &Reader, text: &str, language: Option<Lang>) -> Option<(Class, usize)> {
    reader.lexicon.read_label(text, language.or(reader.claimed)).map(|reading| (reading.class, reading.further))
}

fn is_in_label(view: &View, id: NodeId) -> bool {
    view.node(id).is("label") || view.ancestors(id).take(6).any(|up| view.node(up).is("label"))
}

/// Returns whether it stands inside a run of text rather than beside it.
fn is_in_text(view: &View, id: NodeId) -> bool {
    let Some(style) = view.style(id) else { return false };
    if style.display != "inline" {
        return false;
    }
    let Some(block) = view
        .ancestors(id)
        .find(|&up| view.style(up).is_some_and(|style| style.display != "inline" && style.display != "contents"))
    else {
        return false;
    };
    // Words of the same line of text that are in no control.
    let mut letters = 0;
    let mut skip_until = 0;
    for child in view.subtree(block).skip(1) {
        if view.place(child) < skip_until {
            continue;
        }
        let node = view.node(child);
        let is_block = node.kind != NodeKind::Text
            && view.style(child).is_some_and(|style| style.display != "inline" && style.display != "contents");
        if child == id || is_block || is_hard_control(node) || is_switch(node) {
            skip_until = view.range(child).end;
        } else if node.kind == NodeKind::Text && view.is_shown(child) {
            letters += node.text.chars().filter(|c| c.is_alphabetic()).count();
            if letters > 12 {
                return true;
            }
        }
    }
    false
}

/// Returns the controls under a root, in document order.
pub(crate) fn controls_in(
    reader: &Reader,
    root: NodeId,
    language: Option<Lang>,
    switches: &[Switch],
    used: &[NodeId],
) -> Vec<Found> {
    let is_taken = |id: NodeId| used.contains(&id) || switches.iter().any(|switch| switch.click == id);
    let nodes = control_nodes(reader, root, language);
    let mut found: Vec<Found> =
        nodes.into_iter().filter(|&id| !is_taken(id)).filter_map(|id| describe(reader, id, language)).collect();
    settle(reader, &mut found, switches, language);
    found
}

/// Returns a node as a control; `None` if it has neither label nor sign of what it is.
pub(crate) fn describe(reader: &Reader, id: NodeId, language: Option<Lang>) -> Option<Found> {
    let view = &reader.view;
    let node = view.node(id);
    let mut label = label_of(view, &reader.names, id);
    if !label.icon_only && label.text.chars().count() > 160 {
        label.text = label.text.chars().take(160).collect();
    }
    let (role, confidence, vague, class) = role_of(reader, id, &label, language);
    if label.text.is_empty() && role == Role::Unknown {
        return None;
    }
    let rect = view.rect(id);
    let seen = view.visible(id);
    let is_whole = seen.w + 1.0 >= rect.w && seen.h + 1.0 >= rect.h && rect.area() > 0.0;
    let look = look_of(view, id);
    let control = Control {
        node: id,
        icon_only: label.icon_only,
        role,
        confidence,
        vague,
        nature: nature_of(view, id),
        href: if node.is("a") { node.attribute("href").map(str::to_owned) } else { None },
        in_text: look.shape == Shape::Plain && is_in_text(view, id),
        rect,
        in_reach: is_whole
            && !view.is_inert(id)
            && !matches!(node.hit, Some(Hit::Covered | Hit::Outside))
            && node.attribute("disabled").is_none(),
        look,
        label: label.text,
    };
    Some(Found { control, class })
}

fn nature_of(view: &View, id: NodeId) -> Nature {
    let node = view.node(id);
    match node.attribute("role") {
        Some("button" | "tab" | "menuitem") => return Nature::Button,
        Some("link") => return Nature::Link,
        _ => {}
    }
    match &*node.name {
        "button" | "input" | "summary" => Nature::Button,
        "a" => Nature::Link,
        _ => Nature::Other,
    }
}

fn role_of(reader: &Reader, id: NodeId, label: &Label, language: Option<Lang>) -> (Role, f32, bool, Option<Class>) {
    let view = &reader.view;
    let node = view.node(id);
    let away = leads_away(view, id);
    if is_cross(&label.text) {
        return (Role::Close, 0.9, false, Some(Class::Close));
    }
    let is_expander = node.attribute("aria-expanded").is_some()
        || node.is("summary")
        || (label.icon_only && names_expander(view, id));
    if let Some(reading) = reader.lexicon.read_label(&label.text, language.or(reader.claimed)) {
        let role = reading.class.role();
        let class = Some(reading.class);
        if is_expander && label.icon_only && reading.further > 0 {
            return (Role::Settings, 0.4, true, None);
        }
        return match reading.class {
            Class::Acknowledge | Class::Close | Class::AllowOne | Class::DenyOne if away => {
                (Role::Policy, 0.5, false, None)
            }
            // "Learn more" that loads no page opens something here.
            Class::Policy if !away && !names_a_policy(reader, &label.text, language) => {
                (Role::Settings, 0.5, true, class)
            }
            Class::OnlyNecessary if is_expander => (Role::Settings, 0.4, true, None),
            Class::Settings if is_expander && reading.further > 0 => (role, 0.5, true, class),
            _ => (role, reading.confidence, reading.vague, class),
        };
    }
    if is_language_name(&label.text) {
        return (Role::Language, 0.8, false, None);
    }
    if is_expander {
        return (Role::Settings, 0.4, true, None);
    }
    if !away && !is_tab(node) && names_only_the_necessary(reader, &label.text, language) {
        return (Class::OnlyNecessary.role(), 0.5, true, Some(Class::OnlyNecessary));
    }
    if let Some(role) = class_word(view, id).filter(|&role| !(away && role != Role::Settings)) {
        // The icon of a control whose words are not known; or words in a language without a file.
        return (role, 0.5, false, None);
    }
    if away {
        return (Role::Policy, 0.5, false, None);
    }
    (Role::Unknown, 0.0, false, None)
}

fn is_tab(node: &Node) -> bool {
    node.attribute("role") == Some("tab") || node.attribute("aria-selected").is_some()
}

fn names_expander(view: &View, id: NodeId) -> bool {
    let is_word = |token: &String| {
        matches!(
            token.as_str(),
            "toggle" | "expand" | "collapse" | "arrow" | "chevron" | "caret" | "accordion" | "tab" | "details"
        )
    };
    view.name_tokens(id).iter().any(is_word)
}

/// Returns whether a label names a text to read, rather than promising more of something.
fn names_a_policy(reader: &Reader, label: &str, language: Option<Lang>) -> bool {
    let languages = crate::describe::languages(reader, language);
    reader.lexicon.count_subjects(&Words::new(label), Some(&languages)) > 0
}

/// Returns the role that English words in `id`, `class` and `data-…` tell.
fn class_word(view: &View, id: NodeId) -> Option<Role> {
    let mut role = None;
    let mut rank = 0;
    for token in view.name_tokens(id) {
        let (found, weight) = match token.as_str() {
            "reject" | "rejectall" | "deny" | "denyall" | "decline" | "declineall" | "refuse" | "disagree"
            | "optout" | "disallow" => (Role::RefuseAll, 5),
            "save" | "selection" | "confirm" => (Role::SaveSelection, 4),
            "accept" | "acceptall" | "allow" | "allowall" | "agree" | "approve" | "optin" | "consentyes" => {
                (Role::AcceptAll, 3)
            }
            "settings" | "setting" | "preferences" | "prefs" | "customize" | "customise" | "configure" | "manage"
            | "options" => (Role::Settings, 2),
            "close" | "dismiss" | "cross" | "exit" | "hide" => (Role::Close, 1),
            _ => continue,
        };
        if weight > rank {
            (role, rank) = (Some(found), weight);
        }
    }
    role
}

/// Names of languages as pages offer them.
const LANGUAGES: &[&str] = &[
    "english",
    "deutsch",
    "français",
    "español",
    "italiano",
    "nederlands",
    "português",
    "polski",
    "čeština",
    "slovenčina",
    "magyar",
    "română",
    "български",
    "ελληνικά",
    "svenska",
    "dansk",
    "norsk",
    "suomi",
    "eesti",
    "latviešu",
    "lietuvių",
    "slovenščina",
    "hrvatski",
    "malti",
    "gaeilge",
    "türkçe",
    "українська",
    "русский",
    "català",
    "íslenska",
];

fn is_language_name(label: &str) -> bool {
    let lower = label.to_lowercase();
    LANGUAGES.contains(&lower.as_str())
}

/// Settles what only the whole surface can tell: which of several controls accepts, and what the unknown ones may be.
fn settle(reader: &Reader, found: &mut [Found], switches: &[Switch], language: Option<Lang>) {
    let view = &reader.view;
    let has = |found: &[Found], wanted: &dyn Fn(&Found) -> bool| found.iter().any(wanted);
    let is_real_accept = |one: &Found| one.control.role == Role::AcceptAll && one.class != Some(Class::Acknowledge);
    let has_accept = has(found, &is_real_accept);
    let has_save = has(found, &|one| one.control.role == Role::SaveSelection);
    let is_selectable = switches.iter().any(|switch| !switch.exempt);
    for one in found.iter_mut().filter(|one| one.class == Some(Class::Acknowledge)) {
        let control = &mut one.control;
        (control.role, control.confidence) = if is_selectable && !has_save {
            (Role::SaveSelection, 0.6)
        } else if has_accept {
            (Role::Close, 0.5)
        } else {
            (Role::AcceptAll, 0.8)
        };
        control.vague = has_accept && !is_selectable;
    }
    // "Necessary cookies" refuses the rest where it stands beside "accept"; in a list of purposes it is a heading.
    let refuses =
        has(found, &|one| matches!(one.class, Some(Class::Refuse | Class::RefuseAll)) && one.control.confidence >= 0.6);
    for one in found.iter_mut().filter(|one| one.class == Some(Class::OnlyNecessary)) {
        if (refuses || !switches.is_empty()) && names_only_the_necessary(reader, &one.control.label, language) {
            (one.control.role, one.control.confidence, one.control.vague) = (Role::Settings, 0.4, true);
            one.class = None;
        }
    }
    // Nothing is known to accept, refuse or save: the most prominent button is what the surface wants pressed.
    let is_decided =
        has(found, &|one| matches!(one.control.role, Role::AcceptAll | Role::RefuseAll | Role::SaveSelection));
    if !is_decided {
        let candidate = found
            .iter_mut()
            .filter(|one| one.control.role == Role::Unknown && has_words(&one.control.label))
            .filter(|one| one.control.look.shape == Shape::Filled || one.control.nature == Nature::Button)
            .max_by(|a, b| prominence(view, &a.control).total_cmp(&prominence(view, &b.control)));
        if let Some(one) = candidate {
            one.control.role = if is_selectable { Role::SaveSelection } else { Role::AcceptAll };
            one.control.confidence = 0.3;
        }
    }
}

/// Returns whether all words of a label name what needs no consent, as in "necessary cookies".
fn names_only_the_necessary(reader: &Reader, label: &str, language: Option<Lang>) -> bool {
    let words = Words::new(label);
    let languages = crate::describe::languages(reader, language);
    let mut named = vec![false; words.len()];
    let mut is_necessary = false;
    reader.lexicon.purposes_in(&words, &languages, |start, end, purpose| {
        named[start..end].fill(true);
        is_necessary |= purpose == Purpose::Necessary;
    });
    reader.lexicon.subjects_in(&words, |at, _| named[at] = true);
    is_necessary && named.iter().all(|&is_so| is_so)
}

/// Returns how much a control draws the eye; only for comparing.
fn prominence(view: &View, control: &Control) -> f32 {
    let shape = match control.look.shape {
        Shape::Filled => 3.0,
        Shape::Outlined => 2.0,
        Shape::Plain => 1.0,
    };
    shape * control.look.fill_contrast.max(1.0) + control.look.area / view.screen().area().max(1.0)
}

/// Returns a node without a label as a control whose role is unknown; for icons drawn with CSS.
pub(crate) fn describe_nameless(reader: &Reader, id: NodeId) -> Option<Found> {
    let view = &reader.view;
    let rect = view.rect(id);
    if rect.area() <= 0.0 {
        return None;
    }
    let node = view.node(id);
    let control = Control {
        node: id,
        label: String::new(),
        icon_only: true,
        role: Role::Unknown,
        confidence: 0.0,
        vague: false,
        nature: nature_of(view, id),
        href: node.attribute("href").filter(|_| node.is("a")).map(str::to_owned),
        in_text: false,
        rect,
        in_reach: !matches!(node.hit, Some(Hit::Covered | Hit::Outside)),
        look: look_of(view, id),
    };
    Some(Found { control, class: None })
}
