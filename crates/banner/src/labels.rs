//! What a control is called: the words on it, or else the ones a screen reader says.

use crate::{
    text::fold_spaces,
    view::{View, is_input_button},
};
use std::collections::HashMap;
use vigie_domain::{NodeId, page::NodeKind};

/// A control's name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Label {
    /// White space folded; empty if it has none.
    pub text: String,
    /// Whether no words of it are on the screen.
    pub icon_only: bool,
}

/// Elements by their `id`, for `aria-labelledby` and `label[for]`.
#[derive(Debug)]
pub(crate) struct Names<'a> {
    by_id: HashMap<(u16, &'a str), NodeId>,
    label_for: HashMap<(u16, &'a str), Vec<NodeId>>,
}

impl<'a> Names<'a> {
    /// Looks up all ids of a page. Of two elements with one id in a frame, the first counts, as in browsers.
    pub fn new(view: &View<'a>) -> Self {
        let mut names = Self { by_id: HashMap::new(), label_for: HashMap::new() };
        for &id in view.order() {
            let node = view.node(id);
            if node.kind != NodeKind::Element {
                continue;
            }
            if let Some(value) = node.attribute("id").filter(|value| !value.is_empty()) {
                names.by_id.entry((node.frame, value)).or_insert(id);
            }
            if let Some(value) = node.attribute("for").filter(|_| node.is("label")) {
                names.label_for.entry((node.frame, value)).or_default().push(id);
            }
        }
        names
    }

    /// Returns the element with an id in the frame of `near`.
    pub fn element(&self, view: &View, near: NodeId, id: &str) -> Option<NodeId> {
        self.by_id.get(&(view.node(near).frame, id)).copied()
    }

    /// Returns the `label` elements that name a form field, by `for` and then by enclosing it.
    pub fn labels(&self, view: &View, field: NodeId) -> Vec<NodeId> {
        let node = view.node(field);
        let by_for = node.attribute("id").and_then(|id| self.label_for.get(&(node.frame, id)));
        let mut labels = by_for.cloned().unwrap_or_default();
        labels.extend(view.ancestors(field).take(12).find(|&up| view.node(up).is("label")));
        labels.dedup();
        labels
    }

    /// Returns the texts that `aria-labelledby` points to, joined; empty without any.
    pub fn labelled_by(&self, view: &View, id: NodeId) -> String {
        let Some(ids) = view.node(id).attribute("aria-labelledby") else { return String::new() };
        let texts = ids.split_whitespace().filter_map(|one| self.element(view, id, one));
        let joined: Vec<String> = texts.map(|element| content(view, element)).collect();
        fold_spaces(&joined.join(" "))
    }
}

/// Returns the text under an element, shown or not: `aria-labelledby` may point to hidden text.
fn content(view: &View, id: NodeId) -> String {
    let shown = view.text(id);
    if !shown.is_empty() {
        return shown;
    }
    let texts: Vec<&str> = view
        .subtree(id)
        .filter(|&child| view.node(child).kind == NodeKind::Text)
        .take(50)
        .map(|child| &*view.node(child).text)
        .collect();
    fold_spaces(&texts.join(" "))
}

/// Returns a control's label.
pub(crate) fn label_of(view: &View, names: &Names, id: NodeId) -> Label {
    let node = view.node(id);
    let seen = view.text(id);
    if has_words(&seen) {
        return Label { text: seen, icon_only: false };
    }
    let attribute = |key: &str| node.attribute(key).map(fold_spaces).filter(|value| !value.is_empty());
    let mut named = None;
    if is_input_button(node) {
        named = attribute("value").or_else(|| Some(fold_spaces(&node.text)).filter(|value| !value.is_empty()));
    }
    let named = named
        .or_else(|| Some(names.labelled_by(view, id)).filter(|text| !text.is_empty()))
        .or_else(|| attribute("aria-label"))
        .or_else(|| attribute("alt"))
        .or_else(|| attribute("title"))
        .or_else(|| name_inside(view, id))
        .or_else(|| attribute("data-tooltip"))
        .unwrap_or(seen);
    Label { text: named, icon_only: true }
}

/// Returns the name of a picture inside: `alt`, `aria-label`, `title`, or an SVG's `title`; then hidden text.
fn name_inside(view: &View, id: NodeId) -> Option<String> {
    let mut hidden = String::new();
    for child in view.subtree(id).skip(1).take(60) {
        let node = view.node(child);
        match node.kind {
            NodeKind::Element => {
                let value = ["alt", "aria-label", "title"].iter().find_map(|key| node.attribute(key));
                if let Some(value) = value.map(fold_spaces).filter(|value| !value.is_empty()) {
                    return Some(value);
                }
            }
            NodeKind::Text if !view.is_shown(child) => {
                // Text for screen readers only, or an SVG's title.
                let is_code = view.parent(child).is_some_and(|up| {
                    let up = view.node(up);
                    up.is("style") || up.is("script")
                });
                if !is_code {
                    hidden.push(' ');
                    hidden.push_str(&node.text);
                }
            }
            _ => {}
        }
    }
    Some(fold_spaces(&hidden)).filter(|text| !text.is_empty())
}

/// Returns whether a text has a word in it: two letters in a row, or one of a script that writes words with one.
pub(crate) fn has_words(text: &str) -> bool {
    let mut letters = 0;
    text.chars().any(|c| {
        letters = if c.is_alphabetic() { letters + 1 } else { 0 };
        letters >= 2
    })
}

/// Returns whether a label is the sign for closing.
pub(crate) fn is_cross(text: &str) -> bool {
    let sign: String = text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '\u{fe0f}' | '\u{fe0e}')).collect();
    matches!(
        sign.as_str(),
        "×" | "✕"
            | "✖"
            | "✗"
            | "✘"
            | "╳"
            | "⨯"
            | "⨉"
            | "x"
            | "X"
            | "❌"
            | "🗙"
            | "🞩"
            | "⊗"
            | "ⓧ"
            | "[x]"
            | "[X]"
            | "⤫"
    )
}
