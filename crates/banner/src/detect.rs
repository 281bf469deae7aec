//! From a snapshot to its consent surfaces.

use crate::{
    assess::{Assessment, NOTHING_IN_IT},
    candidates::{Candidates, candidates, is_overlay},
    cmp::tool_of,
    controls::control_nodes,
    describe,
    lexicon::Lexicon,
    marks::{Reader, is_hard_control, leads_away},
    model::{Detection, Place, Rejected, Surface},
    reopen,
    switches::union,
    text::Words,
    view::View,
};
use vigie_domain::{
    NodeId, PageSnapshot, Rect,
    page::{Hit, NodeKind},
};

/// How many nodes are asked to be hit-tested at most.
const MOST_PROBES: usize = 200;
/// How many links of the page itself are hit-tested, to learn whether it can be used.
const PAGE_PROBES: usize = 12;
/// From this share of the viewport on, something is in front of the whole page.
const WHOLE_VIEWPORT: f32 = 0.8;

/// Finds the consent surfaces of a page, the front one first, and says what looked like one and is none.
///
/// Uses the answers of hit tests where the snapshot has them ([`probe_points`] says for which nodes it should).
pub fn detect(page: &PageSnapshot, lexicon: &Lexicon) -> Detection {
    let reader = Reader::new(View::new(page), lexicon);
    let Candidates { surfaces: mut assessed, mut rejected } = candidates(&reader);
    // A surface of which nothing can be reached, with nothing of consent in front of it, is not what people see.
    let has_front = assessed.iter().any(|one| !is_behind(&reader, one));
    let is_under_pop_up = rejected.iter().any(|one| is_shown_front(&reader, one));
    let mut hidden = Vec::new();
    if !has_front && !is_under_pop_up {
        (hidden, assessed) = assessed.into_iter().partition(|one| is_behind(&reader, one) && has_cover(&reader, one));
    }
    assessed.sort_by(|a, b| order(&reader, a).total_cmp(&order(&reader, b)));
    let surfaces: Vec<Surface> = assessed.into_iter().map(|one| surface(&reader, one)).collect();
    rejected.retain(|one| one.score > 0.0 || one.why_not != NOTHING_IN_IT);
    let mut set_aside: Vec<Rejected> =
        rejected.iter().map(|one| Rejected { root: one.root, why: one.why_not.to_owned() }).collect();
    set_aside.extend(hidden.iter().map(|one| Rejected { root: one.root, why: "covered".to_owned() }));
    Detection { surfaces, rejected: set_aside }
}

/// Returns the nodes whose reachability a hit test should find out before [`detect`] is called, at most 200.
///
/// They are the controls and switches of everything that may be a consent surface, what may reopen one, and a few links
/// of the page itself.
pub fn probe_points(page: &PageSnapshot, lexicon: &Lexicon) -> Vec<NodeId> {
    let reader = Reader::new(View::new(page), lexicon);
    let Candidates { surfaces, rejected } = candidates(&reader);
    let mut nodes: Vec<NodeId> = Vec::new();
    for one in &surfaces {
        nodes.extend(one.controls.iter().map(|found| found.control.node));
        for switch in &one.switches {
            nodes.push(switch.node);
            nodes.push(switch.click);
        }
    }
    for one in &rejected {
        nodes.extend(control_nodes(&reader, one.root, one.language).into_iter().take(8));
    }
    let roots: Vec<NodeId> = surfaces.iter().map(|one| one.root).collect();
    nodes.extend(reopen::reopeners_outside(&reader, &roots).iter().map(|control| control.node).take(12));
    nodes.truncate(MOST_PROBES - PAGE_PROBES);
    nodes.extend(page_links(&reader, &roots));
    let mut seen = std::collections::HashSet::new();
    nodes.retain(|&id| reader.view.rect(id).area() > 0.0 && seen.insert(id));
    nodes
}

/// Returns controls outside any open surface that may lead back to the choice, the likeliest first.
///
/// Links keep their `href`, so that the caller knows which ones load another page.
pub fn reopeners(page: &PageSnapshot, lexicon: &Lexicon, surfaces: &[Surface]) -> Vec<crate::model::Control> {
    let reader = Reader::new(View::new(page), lexicon);
    let roots: Vec<NodeId> =
        surfaces.iter().map(|surface| surface.root).filter(|id| id.index() < page.nodes.len()).collect();
    reopen::reopeners_outside(&reader, &roots)
}

/// Returns the form of an ordinary page on which consent is chosen and saved, as a surface; `None` if it has none.
///
/// For pages such as "Change your cookie settings", with radio buttons or switches and a button that saves.
pub fn preference_page(page: &PageSnapshot, lexicon: &Lexicon) -> Option<Surface> {
    let reader = Reader::new(View::new(page), lexicon);
    crate::preference::form(&reader).map(|assessment| surface(&reader, assessment))
}

fn hits<'a>(reader: &'a Reader, one: &'a Assessment) -> impl Iterator<Item = Hit> + 'a {
    one.controls.iter().filter_map(|found| reader.view.node(found.control.node).hit)
}

/// Returns whether hit tests say that none of a surface's controls can be reached, and some are covered.
fn is_behind(reader: &Reader, one: &Assessment) -> bool {
    let mut covered = 0;
    for hit in hits(reader, one) {
        match hit {
            Hit::Reached => return false,
            Hit::Covered => covered += 1,
            Hit::Outside => {}
        }
    }
    covered > 0
}

/// Returns whether something opaque is painted over most of a surface: hit tests alone may err on zoomed pages.
fn has_cover(reader: &Reader, one: &Assessment) -> bool {
    let view = &reader.view;
    let mine = view.visible(one.root);
    let paint = |id: NodeId| view.node(id).layout.as_ref().map_or(0, |layout| layout.paint_order);
    let front = one.controls.iter().map(|found| paint(found.control.node)).max().unwrap_or_else(|| paint(one.root));
    let frame = view.node(one.root).frame;
    view.order().iter().any(|&id| {
        let is_other = view.node(id).frame == frame && !view.is_within(id, one.root) && !view.is_within(one.root, id);
        is_other
            && view.is_shown(id)
            && paint(id) > front
            && view.style(id).is_some_and(|style| style.background.alpha > 0.5 || style.background_image)
            && view.visible(id).intersect(mine).area() > 0.6 * mine.area()
    })
}

fn is_shown_front(reader: &Reader, one: &Assessment) -> bool {
    reader.view.is_on_screen(one.root) && hits(reader, one).any(|hit| hit == Hit::Reached)
}

/// Returns a surface's rank: lower is nearer to the front, then likelier.
fn order(reader: &Reader, one: &Assessment) -> f32 {
    let view = &reader.view;
    let (mut reached, mut covered) = (0.0, 0.0);
    for hit in hits(reader, one) {
        match hit {
            Hit::Reached => reached += 1.0,
            Hit::Covered => covered += 1.0,
            Hit::Outside => {}
        }
    }
    let open = if reached + covered > 0.0 { reached / (reached + covered) } else { 1.0 };
    let paint = view.node(one.root).layout.as_ref().map_or(0.0, |layout| layout.paint_order as f32);
    -(open * 10.0) - paint / 1.0e6 - if one.decides() { 5.0 } else { 0.0 } - one.score
}

fn surface(reader: &Reader, one: Assessment) -> Surface {
    let view = &reader.view;
    let root = one.root;
    let words = Words::new(&one.text);
    let controls = one.controls.into_iter().map(|found| found.control).collect::<Vec<_>>();
    let parts = controls.iter().map(|control| control.node).chain(one.switches.iter().map(|switch| switch.click));
    // A shadow root has no box of its own, and its host may have none either.
    let own = std::iter::once(root)
        .chain(view.parent(root).filter(|_| view.node(root).layout.is_none()))
        .map(|id| view.rect(id))
        .find(|rect| rect.area() >= 4.0);
    let rect = own.or_else(|| union(view, parts)).unwrap_or_default();
    let inside = controls.first().map_or(root, |control| control.node);
    let backdrop = backdrop(reader, root);
    Surface {
        root,
        place: place(view, inside),
        rect,
        language: one.language.and_then(|language| reader.lexicon.code(language)).map(str::to_owned),
        purposes: describe::purposes(reader, &one.text, &words, one.language),
        statements: describe::statements(reader, &one.text, &words, one.language),
        cmp: tool_of(view, root),
        blocks_page: blocks_page(reader, root, rect, backdrop),
        backdrop,
        controls,
        switches: one.switches,
        confidence: one.score,
        text: one.text,
    }
}

/// Returns where a node lives; a host outside its shadow root counts by what is inside it.
fn place(view: &View, id: NodeId) -> Place {
    if view.node(id).frame != 0 {
        return Place::Iframe;
    }
    let is_shadow = |id: NodeId| matches!(view.node(id).kind, NodeKind::OpenShadow | NodeKind::ClosedShadow);
    if is_shadow(id) || view.ancestors(id).any(is_shadow) { Place::Shadow } else { Place::Document }
}

/// Returns links of the page's own content that are on the screen, spread over it.
fn page_links(reader: &Reader, surfaces: &[NodeId]) -> Vec<NodeId> {
    let view = &reader.view;
    let viewport = view.screen();
    let mut skip_until = 0;
    let mut links = Vec::new();
    for &id in view.order() {
        if view.place(id) < skip_until {
            continue;
        }
        // What lies over the page may lie over a backdrop too.
        if surfaces.contains(&id) || (matches!(view.position(id), "fixed" | "sticky") && is_overlay(reader, id)) {
            skip_until = view.range(id).end;
            continue;
        }
        let node = view.node(id);
        if !is_hard_control(node) || !view.is_on_screen(id) || !(leads_away(view, id) || node.is("button")) {
            continue;
        }
        let (x, y) = view.rect(id).center();
        let is_inside = x >= 0.0 && y >= 0.0 && x < viewport.w && y < viewport.h;
        if is_inside && !surfaces.iter().any(|&root| contains(view.rect(root), x, y)) {
            links.push(id);
        }
    }
    let step = links.len().div_ceil(PAGE_PROBES).max(1);
    links.into_iter().step_by(step).collect()
}

fn contains(rect: Rect, x: f32, y: f32) -> bool {
    x >= rect.x && y >= rect.y && x < rect.x + rect.w && y < rect.y + rect.h
}

/// Returns the element that lies over the whole page behind a surface, without words of its own.
fn backdrop(reader: &Reader, root: NodeId) -> Option<NodeId> {
    let view = &reader.view;
    let viewport = view.screen();
    let in_front_of = page_paint(reader, root);
    let root_bytes = view.text_bytes(root);
    view.order()
        .iter()
        .copied()
        .filter(|&id| {
            let node = view.node(id);
            let Some(layout) = &node.layout else { return false };
            if !matches!(node.kind, NodeKind::Element | NodeKind::Internal)
                || matches!(&*node.name, "html" | "body")
                || !matches!(view.position(id), "fixed" | "absolute")
                || !layout.style.visible
                || !layout.style.takes_pointer
                || node.frame != 0
            {
                return false;
            }
            let covers = layout.rect.intersect(viewport).area() >= WHOLE_VIEWPORT * viewport.area();
            let is_around = view.is_within(root, id) && id != root;
            let has_other_text = if is_around { view.text_bytes(id) > root_bytes + 40 } else { view.has_text(id) };
            let is_drawn =
                layout.style.background.alpha > 0.0 || layout.style.blur_px > 0.0 || layout.style.background_image;
            let is_behind_page = layout.style.z_index.is_some_and(|z| z < 0) || layout.paint_order <= in_front_of;
            covers && !has_other_text && (is_drawn || is_around) && (!is_behind_page || is_around)
        })
        .max_by_key(|&id| {
            let layout = view.node(id).layout.as_ref();
            (
                layout.is_some_and(|layout| layout.style.background.alpha > 0.0),
                layout.map_or(0, |layout| layout.paint_order),
            )
        })
}

/// Returns the rank at which the page's own text is painted, as far as it lies in the flow.
fn page_paint(reader: &Reader, root: NodeId) -> u32 {
    let view = &reader.view;
    view.order()
        .iter()
        .copied()
        .filter(|&id| view.node(id).kind == NodeKind::Text && view.is_on_screen(id) && view.node(id).frame == 0)
        .filter(|&id| !view.is_within(id, root))
        .filter(|&id| !view.ancestors(id).any(|up| view.position(up) != "static"))
        .take(200)
        .filter_map(|id| view.node(id).layout.as_ref())
        .map(|layout| layout.paint_order)
        .max()
        .unwrap_or(0)
}

fn blocks_page(reader: &Reader, root: NodeId, rect: Rect, backdrop: Option<NodeId>) -> bool {
    let view = &reader.view;
    let tested: Vec<Hit> = page_links(reader, &[root]).into_iter().filter_map(|id| view.node(id).hit).collect();
    if tested.contains(&Hit::Reached) {
        return false;
    }
    if tested.iter().filter(|&&hit| hit == Hit::Covered).count() >= 2 {
        return true;
    }
    let viewport = view.screen();
    backdrop.is_some() || rect.intersect(viewport).area() >= WHOLE_VIEWPORT * viewport.area()
}
