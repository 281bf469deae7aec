//! Switches: check boxes, radio buttons, toggles, and pairs of "allow" and "deny".
//!
//! The surprise: the `input` that holds the state is often not drawn at all, and what is drawn in its stead, a label
//! or a neighbour, is what a person clicks. Both are reported.

use crate::{
    labels::has_words,
    lexicon::{Lang, Lexicon},
    marks::Reader,
    model::Switch,
    reading::Class,
    text::Words,
    view::{View, input_type},
};
use std::collections::HashMap;
use vigie_domain::{
    NodeId, Purpose, Rect,
    page::{Node, NodeKind},
};

/// Longest label of a switch, in characters.
const LABEL_CHARS: usize = 140;

/// Returns whether an element is a switch by its tag or role.
pub(crate) fn is_switch(node: &Node) -> bool {
    if node.kind != NodeKind::Element {
        return false;
    }
    if node.is("input") {
        return matches!(input_type(node).as_str(), "checkbox" | "radio");
    }
    match node.attribute("role") {
        Some("switch" | "checkbox" | "radio" | "menuitemcheckbox" | "menuitemradio") => true,
        // A button that is pressed or not is a switch only if it says nothing that decides; see `pairs`.
        _ => node.attribute("aria-checked").is_some(),
    }
}

/// Returns the switches under a surface's root, in document order, and the buttons that are used up as pairs.
pub(crate) fn switches_in(reader: &Reader, root: NodeId, language: Option<Lang>) -> (Vec<Switch>, Vec<NodeId>) {
    let view = &reader.view;
    let mut found: Vec<Switch> = Vec::new();
    let mut groups: HashMap<String, u32> = HashMap::new();
    let mut skip_until = 0;
    for id in view.subtree(root) {
        let node = view.node(id);
        if view.place(id) < skip_until || !is_switch(node) {
            continue;
        }
        let Some(click) = drawn_as(reader, id) else { continue };
        if !node.is("input") {
            // Inside a toggle drawn by script there may be an input that only mirrors it.
            skip_until = view.range(id).end;
        }
        let choice_of = group_of(node, &mut groups);
        found.push(describe(reader, id, click, root, language, choice_of));
    }
    let (pairs, used) = pairs(reader, root, language, groups.len() as u32);
    found.extend(pairs);
    found.sort_by_key(|switch| view.place(switch.node));
    (found, used)
}

fn group_of(node: &Node, groups: &mut HashMap<String, u32>) -> Option<u32> {
    let is_radio = (node.is("input") && input_type(node) == "radio")
        || matches!(node.attribute("role"), Some("radio" | "menuitemradio"));
    if !is_radio {
        return None;
    }
    let name = format!("{} {}", node.frame, node.attribute("name").unwrap_or_default());
    let next = groups.len() as u32;
    Some(*groups.entry(name).or_insert(next))
}

/// Returns what a person clicks: the switch, or what is drawn in its stead; `None` if nothing is.
fn drawn_as(reader: &Reader, id: NodeId) -> Option<NodeId> {
    let view = &reader.view;
    let is_usable = |id: NodeId| {
        let rect = view.rect(id);
        view.is_shown(id)
            && rect.w >= 6.0
            && rect.h >= 6.0
            && view.style(id).is_none_or(|style| style.takes_pointer || view.node(id).is("input"))
    };
    if is_usable(id) && !view.is_covered(id) {
        return Some(id);
    }
    let mut instead = reader.names.labels(view, id);
    if let Some(parent) = view.parent(id) {
        instead.extend(
            view.node(parent)
                .children
                .iter()
                .copied()
                .filter(|&child| {
                    child != id && view.node(child).kind == NodeKind::Element && !is_switch(view.node(child))
                })
                .filter(|&child| !crate::marks::is_hard_control(view.node(child)) && !view.has_text(child)),
        );
    }
    let mut fallback = None;
    for &one in &instead {
        if is_usable(one) {
            if !view.is_covered(one) {
                return Some(one);
            }
            fallback = fallback.or(Some(one));
        }
    }
    // A box of which only a picture is drawn: the nearest element around it that holds no other switch.
    for up in view.ancestors(id).take(3) {
        if reader.counts(up).switches > 1 || reader.counts(up).hard > 0 {
            break;
        }
        if is_usable(up) && view.text_bytes(up) <= LABEL_CHARS {
            return Some(up);
        }
    }
    fallback.or_else(|| is_usable(id).then_some(id))
}

fn describe(
    reader: &Reader,
    id: NodeId,
    click: NodeId,
    root: NodeId,
    language: Option<Lang>,
    choice_of: Option<u32>,
) -> Switch {
    let view = &reader.view;
    let node = view.node(id);
    let label = label_of_switch(reader, id, root);
    let row = row_text(reader, id, root, choice_of.is_some());
    let on = state(node);
    let disabled = is_disabled(view, id);
    let purpose = purpose_of(reader, &label, language).or_else(|| purpose_of(reader, &row, language));
    let only_necessary =
        reader.lexicon.read_label(&label, language).is_some_and(|reading| reading.class == Class::OnlyNecessary);
    let exempt = choice_of.is_none()
        && ((disabled && on != Some(false)) || purpose == Some(Purpose::Necessary) || only_necessary);
    let allows = choice_of.and_then(|_| {
        let value = node.attribute("value").unwrap_or_default();
        Lexicon::plain_answer(&label)
            .or_else(|| by_value(value))
            .or_else(|| reader.lexicon.answer(&label, language))
            .or_else(|| reader.lexicon.answer(value, language))
    });
    Switch {
        node: id,
        click,
        legitimate_interest: crate::describe::mentions_legitimate_interest(reader, &label, language),
        label,
        purpose,
        on,
        disabled,
        exempt,
        choice_of,
        allows,
        rect: view.rect(click),
    }
}

fn by_value(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" | "granted" | "allow" | "accept" | "accepted" => Some(true),
        "0" | "false" | "no" | "off" | "denied" | "deny" | "reject" | "rejected" => Some(false),
        _ => None,
    }
}

fn is_disabled(view: &View, id: NodeId) -> bool {
    let says_so = |node: &Node| {
        node.attribute("disabled").is_some() || node.attribute("aria-disabled").is_some_and(|value| value == "true")
    };
    says_so(view.node(id))
        || view.node(id).attribute("readonly").is_some()
        || view.ancestors(id).take(8).any(|up| view.node(up).is("fieldset") && says_so(view.node(up)))
}

/// Returns whether a switch is on; `None` where neither mark-up nor class tells.
fn state(node: &Node) -> Option<bool> {
    if let Some(checked) = node.checked {
        return Some(checked);
    }
    if node.is("input") {
        return Some(node.attribute("checked").is_some());
    }
    for key in ["aria-checked", "aria-pressed", "aria-selected", "data-checked", "data-state", "data-on", "data-value"]
    {
        match node.attribute(key).map(str::to_ascii_lowercase).as_deref() {
            Some("true" | "checked" | "on" | "1" | "active" | "yes") => return Some(true),
            Some("false" | "unchecked" | "off" | "0" | "inactive" | "no" | "mixed") => return Some(false),
            _ => {}
        }
    }
    by_class(node)
}

fn by_class(node: &Node) -> Option<bool> {
    let class = node.attribute("class")?.to_ascii_lowercase();
    let mut parts = class.split(|c: char| !c.is_alphanumeric());
    let mut state = None;
    for part in &mut parts {
        match part {
            "on" | "checked" | "active" | "selected" | "enabled" | "isactive" => state = Some(true),
            "off" | "unchecked" | "inactive" | "unselected" => return Some(false),
            _ => {}
        }
    }
    state
}

/// Returns what a switch is called: its label, its name, or the text of its row.
fn label_of_switch(reader: &Reader, id: NodeId, root: NodeId) -> String {
    let view = &reader.view;
    let labels = reader.names.labels(view, id);
    let by_label = labels.iter().map(|&label| view.text(label)).find(|text| has_words(text));
    let named = by_label
        .or_else(|| Some(reader.names.labelled_by(view, id)).filter(|text| has_words(text)))
        .or_else(|| view.node(id).attribute("aria-label").map(crate::text::fold_spaces).filter(|text| has_words(text)))
        .or_else(|| Some(view.text(id)).filter(|text| has_words(text)))
        .unwrap_or_else(|| row_text(reader, id, root, false));
    shorten(&named)
}

/// Returns the text of the nearest box around a switch that holds words and no other switch (or, for one of a group,
/// the words around the group).
fn row_text(reader: &Reader, id: NodeId, root: NodeId, is_one_of_a_group: bool) -> String {
    let view = &reader.view;
    let mut text = String::new();
    for up in view.ancestors(id).take(8) {
        if !view.is_within(up, root) {
            break;
        }
        if is_one_of_a_group {
            if view.node(up).is("fieldset") || view.node(up).attribute("role") == Some("radiogroup") {
                // The options' own words are not what the group is about.
                let mut inside = view.subtree(up).skip(1).take(12);
                let title = inside.find(|&child| view.node(child).is("legend"));
                return view.text(title.unwrap_or(up));
            }
            continue;
        }
        if reader.counts(up).switches > 1 || view.text_bytes(up) > 1200 {
            break;
        }
        text = view.text(up);
        if has_words(&text) {
            break;
        }
    }
    text
}

fn shorten(text: &str) -> String {
    let text = text.trim_end_matches([' ', '-', '–', '—', ':', '|', '·']);
    match text.char_indices().nth(LABEL_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => {
            let cut = text[..end].rfind(' ').unwrap_or(end);
            format!("{}…", &text[..cut])
        }
    }
}

/// Returns the purpose a few words name: the first that needs consent, else the first.
pub(crate) fn purpose_of(reader: &Reader, text: &str, language: Option<Lang>) -> Option<Purpose> {
    let words = Words::new(text);
    let languages = crate::describe::languages(reader, language);
    let mut named: Vec<(usize, Purpose)> = Vec::new();
    reader.lexicon.purposes_in(&words, &languages, |start, _, purpose| named.push((start, purpose)));
    named.sort_by_key(|&(start, _)| start);
    // What stands first is the title; "necessary" in a description of something else does not make it exempt.
    named.first().map(|&(_, purpose)| purpose)
}

/// Finds rows with one button that allows and one that denies, such as each service of a list has.
fn pairs(reader: &Reader, root: NodeId, language: Option<Lang>, first_group: u32) -> (Vec<Switch>, Vec<NodeId>) {
    let view = &reader.view;
    let mut buttons: Vec<(NodeId, bool, bool)> = Vec::new();
    for id in view.subtree(root) {
        let node = view.node(id);
        if !crate::marks::is_hard_control(node) || !view.is_shown(id) || view.text_bytes(id) > 60 {
            continue;
        }
        let Some(reading) = reader.lexicon.read_label(&view.text(id), language) else { continue };
        let has_state = node.attribute("aria-pressed").is_some() || node.attribute("aria-checked").is_some();
        match reading.class {
            Class::AllowOne | Class::Accept => buttons.push((id, true, has_state)),
            Class::DenyOne | Class::Refuse => buttons.push((id, false, has_state)),
            _ => {}
        }
    }
    let mut rows: Vec<(NodeId, NodeId, bool)> = Vec::new();
    for two in buttons.windows(2) {
        let ((first, allows, state), (second, also_allows, also_state)) = (two[0], two[1]);
        if allows == also_allows || rows.last().is_some_and(|&(_, last, _)| last == first) {
            continue;
        }
        rows.push((first, second, state && also_state));
    }
    // One pair without a state is the surface's own accept and refuse.
    let is_list = rows.len() >= 2 || rows.iter().any(|&(.., has_state)| has_state);
    let mut switches = Vec::new();
    let mut used = Vec::new();
    if !is_list {
        return (switches, used);
    }
    for (number, &(first, second, has_state)) in rows.iter().enumerate() {
        let Some(row) = row_of_pair(reader, first, second, root) else { continue };
        if rows.len() < 2 && !has_state {
            continue;
        }
        let label = shorten(&text_without(view, row, &[first, second]));
        if !has_words(&label) {
            continue;
        }
        for id in [first, second] {
            let allows = buttons.iter().any(|&(button, allows, _)| button == id && allows);
            used.push(id);
            switches.push(Switch {
                node: id,
                click: id,
                label: label.clone(),
                purpose: purpose_of(reader, &label, language),
                on: state(view.node(id)),
                disabled: is_disabled(view, id),
                exempt: purpose_of(reader, &label, language) == Some(Purpose::Necessary),
                choice_of: Some(first_group + number as u32),
                allows: Some(allows),
                legitimate_interest: crate::describe::mentions_legitimate_interest(reader, &label, language),
                rect: view.rect(id),
            });
        }
    }
    (switches, used)
}

/// Returns the nearest box around both buttons that has words besides theirs and is not the whole surface.
fn row_of_pair(reader: &Reader, first: NodeId, second: NodeId, root: NodeId) -> Option<NodeId> {
    let view = &reader.view;
    for up in view.ancestors(first).take(8) {
        if up == root || !view.is_within(up, root) {
            return None;
        }
        if view.is_within(second, up) && has_words(&text_without(view, up, &[first, second])) {
            return (view.text_bytes(up) < 1000).then_some(up);
        }
    }
    None
}

/// Returns the text of a row without its buttons and links.
fn text_without(view: &View, row: NodeId, buttons: &[NodeId]) -> String {
    let mut text = String::new();
    let mut skip_until = 0;
    for id in view.subtree(row) {
        if view.place(id) < skip_until {
            continue;
        }
        let node = view.node(id);
        if buttons.contains(&id) || crate::marks::is_hard_control(node) {
            skip_until = view.range(id).end;
        } else if node.kind == NodeKind::Text && view.is_shown(id) {
            text.push(' ');
            text.push_str(&node.text);
        }
    }
    crate::text::fold_spaces(&text)
}

/// Returns the box of several nodes together.
pub(crate) fn union(view: &View, ids: impl Iterator<Item = NodeId>) -> Option<Rect> {
    ids.map(|id| view.rect(id)).filter(|rect| rect.area() > 0.0).reduce(Rect::union)
}
