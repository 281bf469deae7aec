//! Ways back to the choice: links such as "Cookie settings", and small buttons that stay in a corner.

use crate::{
    assess::has_consent_name,
    controls::describe,
    marks::{Reader, leads_away, takes_clicks},
    model::{Control, Role},
    reading::Class,
    text::Words,
};
use vigie_domain::{NodeId, page::NodeKind};

/// Larger than this, a corner button is something else.
const CORNER_SIDE: f32 = 260.0;
/// The words around a control are those of a box with at most this much text.
const AROUND_BYTES: usize = 400;
/// Labels longer than this are sentences.
const LABEL_BYTES: usize = 90;

/// Returns controls outside some roots that may lead back to the choice, the likeliest first.
pub(crate) fn reopeners_outside(reader: &Reader, roots: &[NodeId]) -> Vec<Control> {
    let view = &reader.view;
    let mut found: Vec<(f32, Control)> = Vec::new();
    let mut skip_until = 0;
    for &id in view.order() {
        if view.place(id) < skip_until {
            continue;
        }
        if roots.contains(&id) {
            skip_until = view.range(id).end;
            continue;
        }
        let node = view.node(id);
        if node.kind != NodeKind::Element || !view.is_shown(id) || view.text_bytes(id) > LABEL_BYTES {
            continue;
        }
        let takes_clicks = reader.is_one_control(id) || (takes_clicks(view, id) && reader.counts(id).hard == 0);
        if !takes_clicks {
            continue;
        }
        let Some((likelihood, control)) = judge(reader, id) else { continue };
        skip_until = view.range(id).end;
        found.push((likelihood, control));
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.into_iter().map(|(_, control)| control).take(40).collect()
}

fn judge(reader: &Reader, id: NodeId) -> Option<(f32, Control)> {
    let view = &reader.view;
    let found = describe(reader, id, reader.claimed).or_else(|| nameless(reader, id))?;
    let mut control = found.control;
    let words = Words::new(&control.label);
    let speaks = reader.lexicon.count_subjects(&words, None) > 0;
    let is_named = has_consent_name(reader, id)
        || view.parent(id).is_some_and(|up| has_consent_name(reader, up) && view.text_bytes(up) <= LABEL_BYTES)
        || view.subtree(id).skip(1).take(10).any(|child| names_consent_picture(reader, child));
    let rect = view.rect(id);
    let is_corner = rect.w <= CORNER_SIDE
        && rect.h <= CORNER_SIDE / 2.0
        && std::iter::once(id).chain(view.ancestors(id).take(4)).any(|up| view.position(up) == "fixed");
    let leads_away = leads_away(view, id);
    let likelihood = match found.class {
        Some(Class::Reopen) => 0.97,
        Some(Class::Settings) if speaks && !leads_away => 0.95,
        Some(Class::Settings) if speaks => 0.9,
        Some(Class::Settings) if is_named => 0.85,
        Some(Class::Policy) if is_corner && (speaks || is_named) && !leads_away => 0.9,
        _ if is_corner && (is_named || speaks) && !leads_away => 0.88,
        Some(Class::Refuse | Class::RefuseAll | Class::Accept | Class::AcceptAll) if speaks && !leads_away => 0.5,
        _ if (speaks || is_named) && !leads_away && found.class != Some(Class::Close) => 0.7,
        Some(Class::Refuse | Class::RefuseAll | Class::Save)
            if !leads_away && stands_under_words_on_consent(reader, id) =>
        {
            0.45
        }
        Some(Class::Policy) if speaks && says_cookie(&control.label) => 0.4,
        Some(Class::Policy) if speaks => 0.3,
        _ if speaks && words.len() <= 4 => 0.35,
        Some(Class::Policy) if is_policy_address(&control) => 0.25,
        _ => return None,
    };
    if likelihood >= 0.5 {
        control.role = Role::Settings;
    }
    control.confidence = likelihood;
    Some((likelihood, control))
}

/// Returns whether a short text around a control speaks of consent, as where "Confirm" ends a withdrawal.
fn stands_under_words_on_consent(reader: &Reader, id: NodeId) -> bool {
    let view = &reader.view;
    let around = view.ancestors(id).take(6).take_while(|&up| view.text_bytes(up) <= AROUND_BYTES).last();
    around.is_some_and(|up| reader.lexicon.count_subjects(&Words::new(&view.text(up)), None) > 0)
}

/// Returns a control without any label, if its names speak of consent: an icon drawn with CSS.
fn nameless(reader: &Reader, id: NodeId) -> Option<crate::controls::Found> {
    if !has_consent_name(reader, id) {
        return None;
    }
    crate::controls::describe_nameless(reader, id)
}

fn names_consent_picture(reader: &Reader, id: NodeId) -> bool {
    let node = reader.view.node(id);
    let is_picture = matches!(&*node.name, "img" | "svg" | "use" | "i" | "span" | "path" | "title");
    let source = ["src", "href", "xlink:href", "alt", "title"].iter().filter_map(|key| node.attribute(key));
    let mut lower = source.map(str::to_ascii_lowercase);
    is_picture
        && (has_consent_name(reader, id)
            || lower.any(|value| ["cookie", "consent", "privacy", "gdpr"].iter().any(|word| value.contains(word))))
}

fn says_cookie(label: &str) -> bool {
    crate::text::fold(label).contains("cookie")
}

fn is_policy_address(control: &Control) -> bool {
    control.href.as_deref().is_some_and(|href| {
        let lower = href.to_ascii_lowercase();
        ["cookie", "privacy", "datenschutz", "confidential", "consent"].iter().any(|word| lower.contains(word))
    })
}
