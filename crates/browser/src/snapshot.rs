//! The page as a person sees it, from `DOMSnapshot` of every frame, and hit tests.
//!
//! One snapshot holds the documents of one process; frames of other sites have sessions of their own. They are joined
//! into one tree, each frame's document under its `iframe` element, in coordinates of the main viewport.
//!
//! The surprise: `DOMSnapshot` gives places in coordinates of each *document*, scrolled-out parts included, so every
//! place is moved by its frame's scroll and by where the frame stands.

use crate::{
    BrowserError, Visit,
    recorder::{list, text},
};
use serde_json::{Value, json};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use vigie_domain::page::{Frame, Hit, Layout, Node, NodeId, NodeKind, PageSnapshot, Rect, Rgba, Style};

/// Nodes kept of one page. What lies beyond is not looked at, and the snapshot says so.
pub const MAX_NODES: usize = 150_000;

/// How long taking a snapshot of one process may take.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(8);

/// Hit tests of one snapshot at most.
const MAX_HITS: usize = 250;

/// Computed styles asked for; [`style`] reads them in this order.
const STYLES: [&str; 20] = [
    "display",
    "visibility",
    "opacity",
    "position",
    "z-index",
    "cursor",
    "pointer-events",
    "overflow-x",
    "overflow-y",
    "color",
    "background-color",
    "background-image",
    "font-size",
    "font-weight",
    "text-decoration-line",
    "border-top-width",
    "border-top-style",
    "border-top-color",
    "text-transform",
    "backdrop-filter",
];

/// A snapshot with what is needed to act on its nodes.
#[derive(Debug)]
pub struct Seen {
    /// The page.
    pub page: PageSnapshot,
    /// For each frame of the page, the session that can act on its nodes.
    sessions: Vec<Arc<str>>,
}

impl Seen {
    /// Returns the session and backend id by which a node can be acted on.
    pub(crate) fn address(&self, node: NodeId) -> (Arc<str>, i64) {
        let node = self.page.node(node);
        (Arc::clone(&self.sessions[node.frame as usize]), node.backend)
    }
}

impl Visit {
    /// Takes a snapshot of all frames.
    ///
    /// # Errors
    ///
    /// If the main frame's process does not answer, or the page is gone. A frame that does not answer is a gap.
    pub async fn snapshot(&self) -> Result<Seen, BrowserError> {
        let main = self.main();
        let (mut sessions, frames, at_ms) = {
            let state = self.lock();
            let mut sessions: Vec<(Arc<str>, String)> = state
                .sessions
                .iter()
                .filter(|(_, session)| session.kind == "iframe")
                .map(|(id, session)| (Arc::clone(id), session.target.clone()))
                .collect();
            sessions.sort();
            (sessions, state.frames.clone(), state.now_ms())
        };
        sessions.truncate(40);
        let params = json!({"computedStyles": STYLES, "includePaintOrder": true, "includeDOMRects": true,
            "includeBlendedBackgroundColors": true});
        let first = self.wire.call_within(&main, "DOMSnapshot.captureSnapshot", params.clone(), SNAPSHOT_TIMEOUT);
        let metrics = self.wire.call(&main, "Page.getLayoutMetrics", json!({}));
        let (first, metrics) = tokio::join!(first, metrics);
        let first = first.map_err(|error| self.explain(error))?;
        let mut joiner = Joiner::new(&first, self.options().viewport, at_ms);
        joiner.add_process(&first, &main, None);
        if let Ok(metrics) = metrics {
            joiner.page.content = size(&metrics["cssContentSize"], "width", "height");
            joiner.page.scroll = size(&metrics["cssVisualViewport"], "pageX", "pageY");
            // A phone may lay a page out wider than its screen. What a person sees of it, in the pixels of that layout,
            // is the visual viewport.
            let visible = size(&metrics["cssVisualViewport"], "clientWidth", "clientHeight");
            if visible.0 > 0.0 && self.options().viewport.0 < 600 {
                joiner.page.viewport = visible;
            }
        }
        drop(first);
        // Frames in other processes, outer ones first: an inner frame's owner must already be in the tree.
        for _ in 0..4 {
            if sessions.is_empty() {
                break;
            }
            let mut later = Vec::new();
            for (session, frame) in sessions {
                let parent = frames.get(&frame).and_then(|state| state.parent.clone());
                let parent_session = parent
                    .and_then(|parent| frames.get(&parent).map(|state| Arc::clone(&state.session)))
                    .or_else(|| self.lock().sessions.get(&session).map(|of| Arc::clone(&of.parent)))
                    .filter(|session| !session.is_empty())
                    .unwrap_or_else(|| Arc::clone(&main));
                let owner = self.wire.call(&parent_session, "DOM.getFrameOwner", json!({"frameId": frame})).await;
                let backend = owner.ok().and_then(|owner| owner["backendNodeId"].as_i64());
                let owner = backend.and_then(|backend| joiner.find(&parent_session, backend));
                let Some(owner) = owner else {
                    later.push((session, frame));
                    continue;
                };
                if !joiner.is_rendered(owner) {
                    continue;
                }
                let answer =
                    self.wire.call_within(&session, "DOMSnapshot.captureSnapshot", params.clone(), SNAPSHOT_TIMEOUT);
                match answer.await {
                    Ok(answer) => joiner.add_process(&answer, &session, Some(owner)),
                    Err(_) => self.gap("a frame did not let itself be looked at".to_owned()),
                }
            }
            sessions = later;
        }
        if joiner.page.truncated {
            self.gap(format!("the page has more than {MAX_NODES} nodes; the rest was not looked at"));
        }
        Ok(Seen { page: joiner.page, sessions: joiner.sessions })
    }

    /// Asks the browser what a click at the middle of each of these nodes would reach, and writes it into the page.
    ///
    /// # Errors
    ///
    /// If the browser is gone. A node that cannot be tested keeps no answer.
    pub async fn hit_test(&self, seen: &mut Seen, nodes: &[NodeId]) -> Result<(), BrowserError> {
        let viewport = seen.page.viewport_rect();
        let mut asked = Vec::new();
        for &id in nodes.iter().take(MAX_HITS) {
            let Some(layout) = &seen.page.node(id).layout else { continue };
            let (x, y) = aim(layout.rect, viewport);
            if x < 0.0 || y < 0.0 || x >= viewport.w || y >= viewport.h {
                seen.page.nodes[id.index()].hit = Some(Hit::Outside);
                continue;
            }
            asked.push((id, x, y));
        }
        let mut answers = Vec::with_capacity(asked.len());
        for (id, x, y) in asked {
            answers.push((id, self.node_at(seen, x, y).await?));
        }
        for (id, reached) in answers {
            let hit =
                reached.map(|reached| if answers_for(&seen.page, reached, id) { Hit::Reached } else { Hit::Covered });
            seen.page.nodes[id.index()].hit = hit;
        }
        Ok(())
    }

    /// Returns the node that a click at this point of the viewport reaches, looking into frames of other processes.
    pub(crate) async fn node_at(&self, seen: &Seen, x: f32, y: f32) -> Result<Option<NodeId>, BrowserError> {
        let mut session = self.main();
        let (mut left, mut top) = (0.0, 0.0);
        let (mut scroll_x, mut scroll_y) = seen.page.scroll;
        for _ in 0..5 {
            let params = json!({"x": (x - left + scroll_x).round(), "y": (y - top + scroll_y).round(),
                "includeUserAgentShadowDOM": false, "ignorePointerEventsNone": false});
            let answer = match self.wire.call(&session, "DOM.getNodeForLocation", params).await {
                Ok(answer) => answer,
                Err(BrowserError::Refused { .. } | BrowserError::Timeout { .. }) => return Ok(None),
                Err(error) => return Err(self.explain(error)),
            };
            let backend = answer["backendNodeId"].as_i64().unwrap_or_default();
            let found = seen.page.ids().find(|&id| {
                let node = seen.page.node(id);
                node.backend == backend && seen.sessions[node.frame as usize] == session
            });
            let Some(found) = found else { return Ok(None) };
            // A frame of another process: ask there, in its own coordinates.
            let inner = seen.page.frames.iter().zip(&seen.sessions).find(|(frame, _)| frame.owner == Some(found));
            match inner {
                Some((frame, inner_session)) if *inner_session != session => {
                    let document = seen.page.node(frame.document).layout.as_ref();
                    let owner = seen.page.node(found).layout.as_ref();
                    let Some(rect) = document.or(owner).map(|layout| layout.rect) else { return Ok(Some(found)) };
                    (left, top) = (rect.x, rect.y);
                    (scroll_x, scroll_y) = (0.0, 0.0);
                    session = Arc::clone(inner_session);
                }
                _ => return Ok(Some(found)),
            }
        }
        Ok(None)
    }
}

/// Returns where a click on a box is aimed: the middle of the part that is in the viewport.
pub(crate) fn aim(rect: Rect, viewport: Rect) -> (f32, f32) {
    let part = rect.intersect(viewport);
    if part.w >= 1.0 && part.h >= 1.0 { part.center() } else { rect.center() }
}

/// Returns whether reaching `reached` is as good as reaching `wanted`: it is the node, inside it, or a label for it.
pub(crate) fn answers_for(page: &PageSnapshot, reached: NodeId, wanted: NodeId) -> bool {
    if page.is_within(reached, wanted) {
        return true;
    }
    let id = page.node(wanted).attribute("id");
    let label = std::iter::once(reached).chain(page.ancestors(reached)).find(|&up| page.node(up).is("label"));
    label
        .is_some_and(|label| page.is_within(wanted, label) || (id.is_some() && page.node(label).attribute("for") == id))
        || (page.node(wanted).kind == NodeKind::Text && page.node(wanted).parent == Some(reached))
}

/// Puts the documents of several processes together.
struct Joiner {
    page: PageSnapshot,
    sessions: Vec<Arc<str>>,
    found: HashMap<(Arc<str>, i64), NodeId>,
    styles: HashMap<Vec<i64>, Arc<Style>>,
    texts: HashSet<Arc<str>>,
}

impl Joiner {
    fn new(first: &Value, viewport: (u32, u32), at_ms: u64) -> Self {
        let strings = list(&first["strings"]);
        let main = &first["documents"][0];
        let string = |index: &Value| string_at(strings, index.as_i64().unwrap_or(-1));
        let page = PageSnapshot {
            url: string(&main["documentURL"]).to_owned(),
            title: string(&main["title"]).to_owned(),
            lang: Some(string(&main["contentLanguage"]).to_owned()).filter(|lang| !lang.is_empty()),
            viewport: (viewport.0 as f32, viewport.1 as f32),
            scroll: (number(&main["scrollOffsetX"]), number(&main["scrollOffsetY"])),
            content: (number(&main["contentWidth"]), number(&main["contentHeight"])),
            at_ms,
            frames: Vec::new(),
            nodes: Vec::new(),
            truncated: false,
        };
        Self { page, sessions: Vec::new(), found: HashMap::new(), styles: HashMap::new(), texts: HashSet::new() }
    }

    fn find(&self, session: &Arc<str>, backend: i64) -> Option<NodeId> {
        self.found.get(&(Arc::clone(session), backend)).copied()
    }

    fn is_rendered(&self, id: NodeId) -> bool {
        self.page.node(id).layout.is_some()
    }

    fn intern(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = Arc::from(text);
        self.texts.insert(Arc::clone(&new));
        new
    }

    /// Adds all documents of one process. `owner` holds the first of them, unless it is the main document.
    fn add_process(&mut self, answer: &Value, session: &Arc<str>, owner: Option<NodeId>) {
        let strings = list(&answer["strings"]);
        let documents = list(&answer["documents"]);
        // Which node of which document holds document number `n`; outer documents come first.
        let mut owners: HashMap<usize, NodeId> = HashMap::new();
        self.styles.clear();
        for (index, document) in documents.iter().enumerate() {
            let owner = if index == 0 { owner } else { owners.get(&index).copied() };
            if index > 0 && owner.is_none() {
                continue;
            }
            self.add_document(document, strings, session, owner, &mut owners);
        }
    }

    fn add_document(
        &mut self,
        document: &Value,
        strings: &[Value],
        session: &Arc<str>,
        owner: Option<NodeId>,
        owners: &mut HashMap<usize, NodeId>,
    ) {
        let nodes = &document["nodes"];
        let kinds = list(&nodes["nodeType"]);
        let base = self.page.nodes.len();
        if base + kinds.len() > MAX_NODES {
            self.page.truncated = true;
            if base > 0 {
                return;
            }
        }
        let count = kinds.len().min(MAX_NODES - base);
        let frame = self.page.frames.len() as u16;
        let string = |index: &Value| string_at(strings, index.as_i64().unwrap_or(-1));
        self.page.frames.push(Frame {
            id: string(&document["frameId"]).to_owned(),
            url: string(&document["documentURL"]).to_owned(),
            document: NodeId(base as u32),
            owner,
        });
        self.sessions.push(Arc::clone(session));
        // Where this document's own origin lies in the main viewport.
        let (left, top) = match owner.and_then(|owner| self.page.node(owner).layout.as_ref().map(|of| of.rect)) {
            Some(rect) => (rect.x, rect.y),
            None => (0.0, 0.0),
        };
        let shift = (left - number(&document["scrollOffsetX"]), top - number(&document["scrollOffsetY"]));
        let shadow = rare_strings(&nodes["shadowRootType"]);
        let texts = rare_strings(&nodes["textValue"]);
        let values = rare_strings(&nodes["inputValue"]);
        let pseudo = rare_strings(&nodes["pseudoType"]);
        let checked = rare_flags(&nodes["inputChecked"]);
        let clickable = rare_flags(&nodes["isClickable"]);
        let parents = list(&nodes["parentIndex"]);
        let names = list(&nodes["nodeName"]);
        let contents = list(&nodes["nodeValue"]);
        let backends = list(&nodes["backendNodeId"]);
        let attributes = list(&nodes["attributes"]);
        // Where each node of the document went: shadow roots, which `DOMSnapshot` leaves out, are put in again.
        let mut ids: Vec<NodeId> = Vec::with_capacity(count);
        let mut roots: HashMap<NodeId, NodeId> = HashMap::new();
        for index in 0..count {
            // What stands here is the type of the shadow root that the node is *in*.
            let inside = shadow.get(&index).map(|&at| string_at(strings, at));
            let kind = match kinds[index].as_i64().unwrap_or_default() {
                _ if inside == Some("user-agent") || pseudo.contains_key(&index) => NodeKind::Internal,
                1 => NodeKind::Element,
                3 => NodeKind::Text,
                9 => NodeKind::Document,
                _ => NodeKind::Internal,
            };
            let above = parents.get(index).and_then(Value::as_u64).map(|above| above as usize);
            let mut parent = above.and_then(|above| ids.get(above)).copied().or(owner);
            let root_kind = match inside {
                Some("open") => Some(NodeKind::OpenShadow),
                Some("closed") => Some(NodeKind::ClosedShadow),
                _ => None,
            };
            if let (Some(root_kind), Some(host), Some(above)) = (root_kind, parent, above)
                && shadow.get(&above) != shadow.get(&index)
            {
                let known = roots.get(&host).copied();
                parent = Some(known.unwrap_or_else(|| {
                    let root = self.push_node(Some(host), root_kind, frame);
                    roots.insert(host, root);
                    root
                }));
            }
            let id = self.push_node(parent, kind, frame);
            ids.push(id);
            let name = match kind {
                NodeKind::Element => string(&names[index]).to_lowercase(),
                _ => String::new(),
            };
            let pairs = list(&attributes[index]);
            let mut kept = Vec::with_capacity(pairs.len() / 2);
            for pair in pairs.chunks_exact(2) {
                let (key, value) = (string(&pair[0]), string(&pair[1]));
                let key = self.intern(key);
                kept.push((key, self.intern(shortened(value))));
            }
            let content = match kind {
                NodeKind::Text => string(&contents[index]),
                _ => values.get(&index).or_else(|| texts.get(&index)).map_or("", |&at| string_at(strings, at)),
            };
            let is_box = name == "input" && {
                let kind = kept.iter().find(|(key, _)| &**key == "type").map(|(_, value)| value.to_lowercase());
                matches!(kind.as_deref(), Some("checkbox" | "radio"))
            };
            let (name, text) = (self.intern(&name), self.intern(content));
            let backend = backends[index].as_i64().unwrap_or_default();
            let node = &mut self.page.nodes[id.index()];
            node.name = name;
            node.text = text;
            node.attributes = kept;
            node.checked = is_box.then(|| checked.contains(&index));
            node.clickable = clickable.contains(&index);
            node.backend = backend;
            self.found.insert((Arc::clone(session), backend), id);
        }
        let inner = &nodes["contentDocumentIndex"];
        for (node, at) in list(&inner["index"]).iter().zip(list(&inner["value"])) {
            if let (Some(node), Some(at)) = (node.as_u64(), at.as_u64())
                && (node as usize) < count
            {
                owners.insert(at as usize, ids[node as usize]);
            }
        }
        self.add_layout(&document["layout"], strings, &ids, shift);
        if owner.is_none()
            && let Some(html) = self.page.ids().find(|&id| self.page.node(id).is("html"))
        {
            let lang = self.page.node(html).attribute("lang").map(str::to_owned);
            self.page.lang = lang.filter(|lang| !lang.is_empty()).or(self.page.lang.take());
        }
    }

    fn push_node(&mut self, parent: Option<NodeId>, kind: NodeKind, frame: u16) -> NodeId {
        let id = NodeId(self.page.nodes.len() as u32);
        let nothing = self.intern("");
        self.page.nodes.push(Node {
            parent,
            children: Vec::new(),
            kind,
            name: Arc::clone(&nothing),
            text: nothing,
            attributes: Vec::new(),
            checked: None,
            clickable: false,
            frame,
            backend: 0,
            layout: None,
            hit: None,
        });
        if let Some(parent) = parent {
            self.page.nodes[parent.index()].children.push(id);
        }
        id
    }

    fn add_layout(&mut self, layout: &Value, strings: &[Value], ids: &[NodeId], shift: (f32, f32)) {
        let nodes = list(&layout["nodeIndex"]);
        let bounds = list(&layout["bounds"]);
        let styles = list(&layout["styles"]);
        let orders = list(&layout["paintOrders"]);
        let blended = list(&layout["blendedBackgroundColors"]);
        let clients = list(&layout["clientRects"]);
        for (at, index) in nodes.iter().enumerate() {
            let Some(&id) = index.as_u64().and_then(|index| ids.get(index as usize)) else { continue };
            let place = list(&bounds[at]);
            let mut rect = Rect {
                x: number(&place[0]) + shift.0,
                y: number(&place[1]) + shift.1,
                w: number(&place[2]),
                h: number(&place[3]),
            };
            let node = self.page.node(id);
            if &*node.name == "iframe" || &*node.name == "frame" {
                // The frame's document begins inside the border.
                let client = list(clients.get(at).unwrap_or(&Value::Null));
                if client.len() == 4 && number(&client[2]) > 0.0 {
                    rect.x += number(&client[0]);
                    rect.y += number(&client[1]);
                    rect.w = number(&client[2]);
                    rect.h = number(&client[3]);
                }
            }
            let key: Vec<i64> = list(&styles[at]).iter().map(|style| style.as_i64().unwrap_or(-1)).collect();
            let style = if key.is_empty() {
                // Text boxes repeat their parent's style.
                let parent = node.parent.and_then(|parent| self.page.node(parent).layout.as_ref());
                match parent {
                    Some(parent) => Arc::clone(&parent.style),
                    None => continue,
                }
            } else {
                let made = self.styles.entry(key).or_insert_with_key(|key| Arc::new(style(key, strings)));
                Arc::clone(made)
            };
            let blended_background = blended
                .get(at)
                .and_then(Value::as_i64)
                .map(|at| string_at(strings, at))
                .filter(|color| !color.is_empty())
                .and_then(parse_color);
            let paint_order = orders.get(at).and_then(Value::as_u64).unwrap_or_default() as u32;
            let slot = &mut self.page.nodes[id.index()].layout;
            // A node may have several boxes (text over several lines): together they are where it is.
            match slot {
                Some(known) => known.rect = known.rect.union(rect),
                None => *slot = Some(Layout { rect, paint_order, blended_background, style }),
            }
        }
    }
}

fn style(key: &[i64], strings: &[Value]) -> Style {
    let at = |index: usize| string_at(strings, key.get(index).copied().unwrap_or(-1));
    let pixels = |index: usize| at(index).trim_end_matches("px").parse::<f32>().unwrap_or_default();
    let color = |index: usize| parse_color(at(index)).unwrap_or(Rgba::TRANSPARENT);
    let scrolls = |index: usize| matches!(at(index), "auto" | "scroll" | "overlay");
    let clips = |index: usize| scrolls(index) || matches!(at(index), "hidden" | "clip");
    let blur = at(19).split_once("blur(").and_then(|(_, rest)| rest.split("px").next()?.parse().ok());
    Style {
        display: at(0).to_owned(),
        visible: at(1) == "visible",
        opacity: at(2).parse().unwrap_or(1.0),
        position: at(3).to_owned(),
        z_index: at(4).parse().ok(),
        pointer_cursor: at(5) == "pointer",
        takes_pointer: at(6) != "none",
        clips: clips(7) || clips(8),
        scrolls: scrolls(8),
        color: color(9),
        background: color(10),
        background_image: !matches!(at(11), "" | "none"),
        font_px: pixels(12),
        font_weight: at(13).parse().unwrap_or(400),
        underlined: at(14).contains("underline"),
        uppercase: at(18) == "uppercase",
        border_px: if matches!(at(16), "none" | "hidden" | "") { 0.0 } else { pixels(15) },
        border_color: color(17),
        blur_px: blur.unwrap_or_default(),
    }
}

/// Reads a computed colour: `rgb(…)`, `rgba(…)`, `color(srgb …)`, or `#rrggbbaa` as `DOMSnapshot` blends it.
fn parse_color(text: &str) -> Option<Rgba> {
    if let Some(hex) = text.strip_prefix('#') {
        let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
        let alpha = if hex.len() >= 8 { f32::from(byte(6)?) / 255.0 } else { 1.0 };
        return Some(Rgba { rgb: [byte(0)?, byte(2)?, byte(4)?], alpha });
    }
    let (name, rest) = text.split_once('(')?;
    let scale = if name == "color" { 255.0 } else { 1.0 };
    let rest = rest.trim_end_matches(')').trim_start_matches("srgb ");
    let numbers: Vec<f32> = rest
        .split([',', ' ', '/'])
        .filter(|part| !part.is_empty())
        .map(|part| {
            part.strip_suffix('%')
                .map_or_else(|| part.parse().ok(), |share| share.parse::<f32>().ok().map(|s| s / 100.0))
        })
        .collect::<Option<_>>()?;
    let [red, green, blue, ..] = numbers[..] else { return None };
    let channel = |value: f32| (value * scale).round().clamp(0.0, 255.0) as u8;
    let alpha = numbers.get(3).copied().unwrap_or(1.0).clamp(0.0, 1.0);
    Some(Rgba { rgb: [channel(red), channel(green), channel(blue)], alpha })
}

fn string_at(strings: &[Value], index: i64) -> &str {
    usize::try_from(index).ok().and_then(|index| strings.get(index)).map_or("", text)
}

/// Attribute values are cut at 2,000 bytes: `data:` images and inline scripts say nothing about controls.
fn shortened(value: &str) -> &str {
    if value.len() <= 2000 {
        return value;
    }
    let mut end = 2000;
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    &value[..end]
}

fn number(value: &Value) -> f32 {
    value.as_f64().unwrap_or_default() as f32
}

fn size(value: &Value, width: &str, height: &str) -> (f32, f32) {
    (number(&value[width]), number(&value[height]))
}

fn rare_strings(value: &Value) -> HashMap<usize, i64> {
    let pairs = list(&value["index"]).iter().zip(list(&value["value"]));
    pairs.filter_map(|(index, value)| Some((index.as_u64()? as usize, value.as_i64()?))).collect()
}

fn rare_flags(value: &Value) -> HashSet<usize> {
    list(&value["index"]).iter().filter_map(|index| index.as_u64().map(|index| index as usize)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computed_colours_of_every_form_are_read() {
        let check = |text: &str, rgb: [u8; 3], alpha: f32| {
            let color = parse_color(text).unwrap_or_else(|| panic!("`{text}` was not read"));
            assert_eq!(color.rgb, rgb, "{text}");
            assert!((color.alpha - alpha).abs() < 0.01, "{text}: {}", color.alpha);
        };
        check("rgb(1, 2, 3)", [1, 2, 3], 1.0);
        check("rgba(0, 0, 0, 0.55)", [0, 0, 0], 0.55);
        check("color(srgb 1 0.5 0 / 0.5)", [255, 128, 0], 0.5);
        check("#ff800080", [255, 128, 0], 0.5);
        assert_eq!(parse_color("none"), None);
    }
}
