//! Where a consent surface may be: what lies over the page, and blocks in its flow that speak of the subject.
//!
//! Overlays are judged from the inside out, so that of nested boxes the smallest one wins that holds all of the text
//! and its controls. In the flow, the search climbs from the words to the controls that go with them.

use crate::{
    assess::{Assessment, assess, has_consent_name, is_in_content},
    marks::{Counts, Reader},
    model::Role,
    switches::is_switch,
};
use std::collections::HashSet;
use vigie_domain::{
    NodeId,
    page::{NodeKind, Rgba},
};

/// An overlay with more text than this and the page's landmarks in it is the page.
const PAGE_BYTES: usize = 1_500;
/// A block in the flow with more text than this is an article.
const BLOCK_BYTES: usize = 4_000;
/// How much text a wider box may add to a block and still be the same block.
const MARGIN_BYTES: usize = 400;
/// How many overlays are looked into; pages with more of them are galleries.
const MOST_OVERLAYS: usize = 400;
/// How many places in the flow are started from.
const MOST_SEEDS: usize = 300;
/// From this share of the viewport on, a box is a layer rather than a card on one.
const WHOLE_VIEWPORT: f32 = 0.8;

/// What was looked at.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    pub surfaces: Vec<Assessment>,
    pub rejected: Vec<Assessment>,
}

/// Finds and judges all candidates.
pub(crate) fn candidates(reader: &Reader) -> Candidates {
    let mut found = overlays(reader);
    let in_flow = blocks(reader, &found);
    let has_overlay = !found.surfaces.is_empty();
    for block in in_flow {
        // A block in the flow beside an overlay is mostly a text that repeats it.
        let is_clear = block.score >= 0.8 && block.has(Role::AcceptAll) && block.has(Role::RefuseAll);
        if block.is_surface() && (!has_overlay || is_clear) {
            found.surfaces.push(block);
        } else {
            found.rejected.push(block);
        }
    }
    found
}

fn overlays(reader: &Reader) -> Candidates {
    let view = &reader.view;
    let promising: Vec<NodeId> = view
        .order()
        .iter()
        .copied()
        .filter(|&id| is_overlay(reader, id))
        .filter(|&id| {
            let counts = reader.counts(id);
            counts.subjects + counts.decisions + counts.switches > 0 || has_consent_name(reader, id)
        })
        .take(MOST_OVERLAYS)
        .collect();
    // Inside out: what is found in inner boxes is kept until an outer one takes it over.
    let mut open: Vec<Assessment> = Vec::new();
    let mut rejected: Vec<Assessment> = Vec::new();
    for &id in promising.iter().rev() {
        let inner: Vec<usize> = (0..open.len()).filter(|&at| view.is_within(open[at].root, id)).collect();
        if is_page_like(reader, id) {
            continue;
        }
        if !inner.is_empty() && !adds_something(reader, id, &inner.iter().map(|&at| open[at].root).collect::<Vec<_>>())
        {
            continue;
        }
        if inner.iter().filter(|&&at| open[at].decides()).count() > 1 {
            // Several layers in one wrapper: each is a surface of its own.
            continue;
        }
        let root = grow(reader, shrink(reader, id));
        if inner.iter().any(|&at| open[at].root == root) {
            continue;
        }
        let assessment = assess(reader, root, false);
        if assessment.is_surface() {
            let mut at = 0;
            open.retain(|_| {
                at += 1;
                !inner.contains(&(at - 1))
            });
            rejected.retain(|other| !view.is_within(other.root, root));
            open.push(assessment);
        } else if inner.is_empty() {
            rejected.push(assessment);
        }
    }
    open.reverse();
    rejected.reverse();
    Candidates { surfaces: open, rejected }
}

/// Returns whether an element lies over the page rather than in it.
pub(crate) fn is_overlay(reader: &Reader, id: NodeId) -> bool {
    let view = &reader.view;
    let node = view.node(id);
    if node.kind != NodeKind::Element || !view.is_on_screen(id) || matches!(&*node.name, "html" | "body") {
        return false;
    }
    matches!(view.position(id), "fixed" | "sticky" | "absolute")
        || node.is("dialog")
        || matches!(node.attribute("role"), Some("dialog" | "alertdialog"))
        || node.attribute("aria-modal").is_some_and(|value| value == "true")
        || node.attribute("popover").is_some()
}

/// Returns whether a box holds the page itself: some applications put everything into one positioned element.
fn is_page_like(reader: &Reader, id: NodeId) -> bool {
    let node = reader.view.node(id);
    let is_dialog = node.is("dialog")
        || matches!(node.attribute("role"), Some("dialog" | "alertdialog"))
        || node.attribute("aria-modal").is_some_and(|value| value == "true");
    let Counts { plain_links, landmarks, mains, switches, decisions, .. } = reader.counts(id);
    let is_long = reader.view.text_bytes(id) > PAGE_BYTES;
    if is_dialog {
        return plain_links > 60 && landmarks + mains > 2;
    }
    // A layer of settings may be long and have tabs; what it never has is the page's main part.
    let is_settings = switches > 0 && decisions > 0;
    mains > 0 || (plain_links > 15 && is_long) || (!is_settings && (landmarks > 2 || (landmarks > 0 && is_long)))
}

/// Returns whether a box holds signs of consent besides what was found inside it.
fn adds_something(reader: &Reader, id: NodeId, inner: &[NodeId]) -> bool {
    let counts = reader.counts(id);
    let (mut subjects, mut controls, mut switches) =
        (counts.subjects, counts.decisions + counts.others, counts.switches);
    let mut bytes = reader.view.text_bytes(id);
    for &one in inner {
        let counts = reader.counts(one);
        subjects = subjects.saturating_sub(counts.subjects);
        controls = controls.saturating_sub(counts.decisions + counts.others);
        switches = switches.saturating_sub(counts.switches);
        bytes = bytes.saturating_sub(reader.view.text_bytes(one));
    }
    (subjects + controls + switches > 0) && bytes < 6_000
}

/// Goes down to the smallest box with all of the text and controls, past layers that only hold one card.
fn shrink(reader: &Reader, from: NodeId) -> NodeId {
    let view = &reader.view;
    let mut root = from;
    loop {
        let node = view.node(root);
        let is_transparent = matches!(node.kind, NodeKind::Document | NodeKind::OpenShadow | NodeKind::ClosedShadow)
            || node.is("iframe")
            || node.is("html")
            || (node.is("body") && node.frame != 0);
        let is_layer = view.share_of_viewport(root) >= WHOLE_VIEWPORT;
        let is_bare = view.style(root).is_none_or(|style| {
            style.background.alpha <= Rgba::TRANSPARENT.alpha + 0.05 && !style.background_image && style.border_px < 1.0
        });
        let is_dialog = node.is("dialog") || matches!(node.attribute("role"), Some("dialog" | "alertdialog"));
        let may_go_down = is_transparent || (!is_dialog && (is_layer || is_bare)) || !view.is_shown(root);
        if !may_go_down {
            return root;
        }
        let whole = reader.counts(root);
        let text = view.text_bytes(root);
        let mut with_content = node.children.iter().copied().filter(|&child| {
            view.has_text(child) || reader.counts(child).hard > 0 || reader.counts(child).switches > 0
        });
        let (Some(only), None) = (with_content.next(), with_content.next()) else { return root };
        let counts = reader.counts(only);
        let holds_all = counts.hard == whole.hard
            && counts.switches == whole.switches
            && view.text_bytes(only) + 2 >= text
            && view.node(only).kind != NodeKind::Text;
        // A control or a switch is no surface, nor is a bare box that is inline.
        let is_control = reader.is_one_control(only) || is_switch(view.node(only));
        if !holds_all || is_control {
            return root;
        }
        // Past a bare box only if something below is drawn as the box, else the outermost is as good.
        root = only;
    }
}

/// Goes up to the box that is drawn around the same content, if there is one smaller than the viewport.
fn grow(reader: &Reader, from: NodeId) -> NodeId {
    let view = &reader.view;
    let is_drawn = |id: NodeId| {
        view.style(id).is_some_and(|style| {
            style.background.alpha > 0.05
                || style.background_image
                || (style.border_px >= 1.0 && style.border_color.alpha > 0.2)
        })
    };
    if is_drawn(from) {
        return from;
    }
    let (bytes, hard) = (view.text_bytes(from), reader.counts(from).hard);
    for up in view.ancestors(from).take(8) {
        let node = view.node(up);
        let is_end = matches!(&*node.name, "html" | "body" | "main" | "iframe") || node.kind == NodeKind::Document;
        if is_end || view.text_bytes(up) > bytes + 2 || reader.counts(up).hard > hard {
            break;
        }
        if view.share_of_viewport(up) >= WHOLE_VIEWPORT {
            break;
        }
        if is_drawn(up) && view.is_shown(up) {
            return up;
        }
    }
    from
}

fn blocks(reader: &Reader, overlays: &Candidates) -> Vec<Assessment> {
    let view = &reader.view;
    let done: Vec<NodeId> = overlays.surfaces.iter().chain(&overlays.rejected).map(|one| one.root).collect();
    let mut tried: HashSet<NodeId> = HashSet::new();
    let mut found: Vec<Assessment> = Vec::new();
    for &seed in reader.seeds.iter().filter(|&&seed| view.is_on_screen(seed)).take(MOST_SEEDS) {
        if done.iter().any(|&root| view.is_within(seed, root)) || found.iter().any(|one| view.is_within(seed, one.root))
        {
            continue;
        }
        let Some(block) = climb(reader, seed, &mut tried) else { continue };
        if done.iter().any(|&root| view.is_within(root, block)) {
            continue;
        }
        let mut assessment = assess(reader, block, true);
        let is_in_content = is_in_content(reader, block);
        if is_in_content {
            assessment.score -= 0.15;
        }
        let has_words = assessment.controls.iter().any(|found| {
            found.control.confidence >= 0.6
                && matches!(found.control.role, Role::AcceptAll | Role::RefuseAll | Role::SaveSelection | Role::Close)
        });
        // A form with switches and a save button in the content is a page about preferences, not a banner.
        let offers_all = assessment.has(Role::AcceptAll) || assessment.has(Role::RefuseAll);
        let is_form = !assessment.switches.is_empty() && (is_in_content || !offers_all);
        if !has_words || is_form || !view.is_on_screen(block) {
            assessment.score = 0.0;
        }
        found.retain(|one| !view.is_within(one.root, block));
        found.push(assessment);
    }
    found
}

/// Climbs from words to the smallest block that also holds controls that decide, then to all of that block.
fn climb(reader: &Reader, seed: NodeId, tried: &mut HashSet<NodeId>) -> Option<NodeId> {
    let view = &reader.view;
    let is_end = |id: NodeId| {
        let node = view.node(id);
        node.is("html")
            || (node.is("body") && node.frame == 0)
            || node.kind == NodeKind::Document
            || view.text_bytes(id) > BLOCK_BYTES
            || is_page_like(reader, id)
            || reader.counts(id).landmarks > 1
            || reader.counts(id).mains > 0 && !node.is("main")
    };
    let mut base = None;
    for up in view.ancestors(seed) {
        if is_end(up) || !tried.insert(up) {
            break;
        }
        if reader.counts(up).decisions + reader.counts(up).others > 0 && view.is_shown(up) {
            base = Some(up);
            break;
        }
    }
    let mut best = base?;
    for up in view.ancestors(best).take(8) {
        if is_end(up) || view.text_bytes(up) > view.text_bytes(best) + MARGIN_BYTES {
            break;
        }
        let (wider, narrower) = (reader.counts(up), reader.counts(best));
        let adds = wider.decisions + wider.others + wider.switches
            > narrower.decisions + narrower.others + narrower.switches
            || wider.subjects > narrower.subjects;
        let adds_plain = wider.plain_links > narrower.plain_links + 2;
        if adds_plain {
            break;
        }
        if adds && view.is_shown(up) {
            best = up;
        }
        tried.insert(up);
    }
    Some(grow(reader, best))
}
