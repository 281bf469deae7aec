//! What a person sees of a snapshot: which nodes show, where, and the text they read.
//!
//! Everything is computed once, in one walk in document order, and then asked for in constant time: a subtree is a
//! range of that order, and its text a slice of one buffer.
//!
//! The surprise: what must be scrolled to still counts as shown (a person reaches it), but what is cut off by
//! something that does not scroll does not, nor what lies left of or above the page's origin.

use std::ops::Range;
use vigie_domain::{
    NodeId, PageSnapshot, Rect,
    page::{Hit, Node, NodeKind, Style},
};

/// Below this opacity nothing can be made out.
const LEAST_OPACITY: f32 = 0.1;
/// Narrower or lower than this, a box is a trick of accessibility or tracking, not something seen.
const LEAST_SIZE: f32 = 2.0;

/// Below this width the browser acts as a phone's.
const PHONE_WIDTH: f32 = 600.0;

const EVERYWHERE: Rect = Rect { x: -1.0e6, y: -1.0e6, w: 2.0e6, h: 2.0e6 };
const NOWHERE: Rect = Rect { x: 0.0, y: 0.0, w: 0.0, h: 0.0 };

/// A snapshot with what is seen of it.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub page: &'a PageSnapshot,
    /// Nodes in document order.
    order: Vec<NodeId>,
    /// For each node its place in `order`, and the end of its subtree there.
    span: Vec<(u32, u32)>,
    parents: Vec<Option<NodeId>>,
    facts: Vec<Facts>,
    /// The visible text of the page, in document order, with its slices by node.
    text: String,
    text_span: Vec<(u32, u32)>,
}

#[derive(Debug, Clone, Copy)]
struct Facts {
    /// Seen, at once or by scrolling.
    shown: bool,
    /// Seen at once.
    on_screen: bool,
    /// The part that is seen at once.
    visible: Rect,
    opacity: f32,
    inert: bool,
    /// Inside a form field, whose inner text is not the page's.
    in_field: bool,
}

/// How descendants are cut off: by what scrolls not at all, and by everything.
#[derive(Clone, Copy)]
struct Clip {
    hard: Rect,
    now: Rect,
}

#[derive(Clone, Copy)]
struct Clips {
    flow: Clip,
    positioned: Clip,
    fixed: Clip,
}

impl<'a> View<'a> {
    /// Looks at a snapshot.
    pub fn new(page: &'a PageSnapshot) -> Self {
        let count = page.nodes.len();
        let nothing =
            Facts { shown: false, on_screen: false, visible: NOWHERE, opacity: 1.0, inert: false, in_field: false };
        let mut view = Self {
            page,
            order: Vec::with_capacity(count),
            span: vec![(0, 0); count],
            parents: vec![None; count],
            facts: vec![nothing; count],
            text: String::new(),
            text_span: vec![(0, 0); count],
        };
        if count > 0 {
            view.walk();
        }
        view
    }

    fn walk(&mut self) {
        enum Step {
            Enter(NodeId),
            Leave(NodeId),
        }
        let count = self.page.nodes.len();
        let mut visited = vec![false; count];
        let mut clips = vec![self.outermost(); count];
        let mut steps = vec![Step::Enter(NodeId(0))];
        while let Some(step) = steps.pop() {
            match step {
                Step::Enter(id) => {
                    visited[id.index()] = true;
                    self.span[id.index()].0 = self.order.len() as u32;
                    self.order.push(id);
                    self.look_at(id, &mut clips);
                    self.separate(id);
                    self.text_span[id.index()].0 = self.text.len() as u32;
                    self.read(id);
                    steps.push(Step::Leave(id));
                    for &child in self.page.node(id).children.iter().rev() {
                        if child.index() < count && !visited[child.index()] {
                            visited[child.index()] = true;
                            self.parents[child.index()] = Some(id);
                            steps.push(Step::Enter(child));
                        }
                    }
                }
                Step::Leave(id) => {
                    self.span[id.index()].1 = self.order.len() as u32;
                    self.text_span[id.index()].1 = self.text.len() as u32;
                    self.separate(id);
                }
            }
        }
    }

    fn outermost(&self) -> Clips {
        let page = self.page;
        // Left of and above the origin nothing can be scrolled to.
        let reach = Rect {
            x: -page.scroll.0,
            y: -page.scroll.1,
            w: page.content.0.max(page.viewport.0) + page.scroll.0 + 1.0,
            h: 1.0e6,
        };
        let viewport = self.screen();
        let flow = Clip { hard: reach, now: viewport };
        Clips { flow, positioned: flow, fixed: Clip { hard: viewport, now: viewport } }
    }

    fn look_at(&mut self, id: NodeId, clips: &mut [Clips]) {
        let page = self.page;
        let node = page.node(id);
        let parent = self.parents[id.index()];
        let above = parent.map_or_else(|| clips[id.index()], |up| clips[up.index()]);
        let above_facts = parent.map(|up| self.facts[up.index()]);
        let mut facts = Facts {
            shown: false,
            on_screen: false,
            visible: NOWHERE,
            opacity: above_facts.map_or(1.0, |facts| facts.opacity),
            inert: above_facts.is_some_and(|facts| facts.inert),
            in_field: above_facts.is_some_and(|facts| facts.in_field),
        };
        let mut own = above;
        if node.kind == NodeKind::Element {
            facts.inert |= node.attribute("inert").is_some();
            facts.in_field |= matches!(&*node.name, "input" | "textarea" | "select" | "option" | "datalist");
        }
        if node.kind == NodeKind::Document
            && let Some(owner) = parent.filter(|&up| page.node(up).is("iframe") || page.node(up).is("frame"))
        {
            own = self.inside_frame(owner, above);
        }
        if let Some(layout) = &node.layout {
            let style = &*layout.style;
            let is_text = node.kind == NodeKind::Text;
            let position = if is_text { "static" } else { style.position.as_str() };
            let clip = match position {
                "fixed" => above.fixed,
                "absolute" => above.positioned,
                _ => above.flow,
            };
            if !is_text {
                // A text node carries its parent's style, whose opacity is counted already.
                facts.opacity *= style.opacity.clamp(0.0, 1.0);
            }
            let hard = layout.rect.intersect(clip.hard);
            let now = layout.rect.intersect(clip.now);
            let least = if is_text { 1.0 } else { LEAST_SIZE };
            let is_big = |rect: Rect| rect.w >= least && rect.h >= least;
            facts.shown = style.visible && facts.opacity >= LEAST_OPACITY && is_big(hard);
            facts.on_screen = facts.shown && is_big(now);
            facts.visible = now;
            if !is_text {
                let inner = Self::clip_inside(node, style, clip, hard, now);
                own.flow = inner;
                if position != "static" {
                    own.positioned = inner;
                }
                if position == "fixed" {
                    own.positioned = inner;
                }
            }
        }
        self.facts[id.index()] = facts;
        clips[id.index()] = own;
    }

    fn clip_inside(node: &Node, style: &Style, clip: Clip, hard: Rect, now: Rect) -> Clip {
        // What `html` and `body` cut off is cut off by the viewport instead (CSS Overflow 3, propagation).
        if !style.clips || node.is("html") || node.is("body") {
            return clip;
        }
        if style.scrolls {
            let is_seen = hard.w >= LEAST_SIZE && hard.h >= LEAST_SIZE;
            return Clip { hard: if is_seen { EVERYWHERE } else { NOWHERE }, now };
        }
        Clip { hard, now }
    }

    fn inside_frame(&self, owner: NodeId, above: Clips) -> Clips {
        let facts = self.facts[owner.index()];
        let rect = self.rect(owner);
        if !facts.shown {
            let nothing = Clip { hard: NOWHERE, now: NOWHERE };
            return Clips { flow: nothing, positioned: nothing, fixed: nothing };
        }
        let now = rect.intersect(above.flow.now).intersect(facts.visible);
        let below = Rect { x: rect.x, y: -1.0e6, w: 1.0e6, h: 2.0e6 };
        let flow = Clip { hard: below, now };
        Clips { flow, positioned: flow, fixed: Clip { hard: rect, now } }
    }

    /// Puts a space where a box begins or ends, as words in two boxes are two words.
    fn separate(&mut self, id: NodeId) {
        let node = self.page.node(id);
        let is_inline = match (&node.layout, node.kind) {
            (_, NodeKind::Text) => true,
            (Some(layout), _) => layout.style.display == "inline" || layout.style.display == "contents",
            (None, _) => !node.is("br"),
        };
        if (!is_inline || node.is("br")) && !self.text.is_empty() && !self.text.ends_with(' ') {
            self.text.push(' ');
        }
    }

    fn read(&mut self, id: NodeId) {
        let node = self.page.node(id);
        let facts = self.facts[id.index()];
        if !facts.shown {
            return;
        }
        match node.kind {
            NodeKind::Text if !facts.in_field => self.text.push_str(&node.text),
            NodeKind::Internal if node.children.is_empty() => self.text.push_str(&node.text),
            NodeKind::Element if is_input_button(node) => {
                let value = node.attribute("value").unwrap_or(&node.text);
                self.text.push_str(value);
            }
            _ => {}
        }
    }

    /// Returns a node.
    pub fn node(&self, id: NodeId) -> &'a Node {
        self.page.node(id)
    }

    /// Returns the parent, across shadow roots and frames.
    pub fn parent(&self, id: NodeId) -> Option<NodeId> {
        self.parents[id.index()]
    }

    /// Iterates over the ancestors, nearest first.
    pub fn ancestors(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        std::iter::successors(self.parent(id), |&up| self.parent(up))
    }

    /// Iterates over a node and what is under it, in document order.
    pub fn subtree(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.order[self.range(id)].iter().copied()
    }

    /// Returns all nodes in document order.
    pub fn order(&self) -> &[NodeId] {
        &self.order
    }

    /// Returns the subtree's places in the document order.
    pub fn range(&self, id: NodeId) -> Range<usize> {
        let (start, end) = self.span[id.index()];
        start as usize..end as usize
    }

    /// Returns a node's place in the document order.
    pub fn place(&self, id: NodeId) -> usize {
        self.span[id.index()].0 as usize
    }

    /// Returns whether `id` is `root` or lies under it.
    pub fn is_within(&self, id: NodeId, root: NodeId) -> bool {
        self.range(root).contains(&self.place(id))
    }

    /// Returns the visible text under a node, white space as in the source.
    pub fn raw_text(&self, id: NodeId) -> &str {
        let (start, end) = self.text_span[id.index()];
        &self.text[start as usize..end as usize]
    }

    /// Returns the visible text under a node, white space folded.
    pub fn text(&self, id: NodeId) -> String {
        crate::text::fold_spaces(self.raw_text(id))
    }

    /// Returns how many bytes of visible text are under a node.
    pub fn text_bytes(&self, id: NodeId) -> usize {
        let (start, end) = self.text_span[id.index()];
        (end - start) as usize
    }

    /// Returns whether any text shows under a node.
    pub fn has_text(&self, id: NodeId) -> bool {
        self.raw_text(id).chars().any(|c| !c.is_whitespace())
    }

    /// Returns whether a person sees it, at once or by scrolling.
    pub fn is_shown(&self, id: NodeId) -> bool {
        self.facts[id.index()].shown
    }

    /// Returns whether a person sees some of it without scrolling.
    pub fn is_on_screen(&self, id: NodeId) -> bool {
        self.facts[id.index()].on_screen
    }

    /// Returns whether it, or something around it, is `inert`.
    pub fn is_inert(&self, id: NodeId) -> bool {
        self.facts[id.index()].inert
    }

    /// Returns the part that is seen without scrolling; of zero size where there is none.
    pub fn visible(&self, id: NodeId) -> Rect {
        self.facts[id.index()].visible
    }

    /// Returns the opacity a person sees.
    pub fn opacity(&self, id: NodeId) -> f32 {
        self.facts[id.index()].opacity
    }

    /// Returns the box; of zero size where it is not rendered.
    pub fn rect(&self, id: NodeId) -> Rect {
        self.node(id).layout.as_ref().map_or(NOWHERE, |layout| layout.rect)
    }

    /// Returns the computed style, if it is rendered.
    pub fn style(&self, id: NodeId) -> Option<&'a Style> {
        self.node(id).layout.as_ref().map(|layout| &*layout.style)
    }

    /// Returns `position`; `static` where it is not rendered.
    pub fn position(&self, id: NodeId) -> &'a str {
        match self.node(id).kind {
            NodeKind::Text => "static",
            _ => self.style(id).map_or("static", |style| style.position.as_str()),
        }
    }

    /// Returns whether a hit test said that something else is in front.
    pub fn is_covered(&self, id: NodeId) -> bool {
        self.node(id).hit == Some(Hit::Covered)
    }

    /// Returns the part of the page that fixed elements are placed in.
    ///
    /// On phones a page that is too wide is laid out in a wider and higher viewport, of the same proportions, which one
    /// pans over or zooms out to; elsewhere it is the viewport.
    pub fn screen(&self) -> Rect {
        let page = self.page;
        let is_phone = page.viewport.0 < PHONE_WIDTH;
        let scale = if is_phone { (page.content.0 / page.viewport.0.max(1.0)).clamp(1.0, 4.0) } else { 1.0 };
        Rect { x: 0.0, y: 0.0, w: page.viewport.0 * scale, h: page.viewport.1 * scale }
    }

    /// Returns which share of the viewport the visible part of a node takes, 0 to 1.
    pub fn share_of_viewport(&self, id: NodeId) -> f32 {
        self.visible(id).area() / self.screen().area().max(1.0)
    }

    /// Iterates over the parts of an element's `id` and `class`, folded, split at case and signs.
    pub fn name_tokens(&self, id: NodeId) -> Vec<String> {
        let node = self.node(id);
        let mut tokens = Vec::new();
        if node.kind != NodeKind::Element {
            return tokens;
        }
        if node.name.contains('-') {
            split_name(&node.name, &mut tokens);
        }
        for (key, value) in &node.attributes {
            let data = key.strip_prefix("data-").filter(|_| value.len() <= 60);
            if let Some(data) = data {
                split_name(data, &mut tokens);
            }
            if data.is_some() || matches!(&**key, "id" | "class" | "name" | "part") {
                split_name(value, &mut tokens);
            }
        }
        tokens
    }
}

/// Returns whether it is an `input` drawn as a button.
pub(crate) fn is_input_button(node: &Node) -> bool {
    node.is("input") && matches!(input_type(node).as_str(), "button" | "submit" | "reset" | "image")
}

/// Returns an input's type in lower case; `text` where none is given.
pub(crate) fn input_type(node: &Node) -> String {
    node.attribute("type").unwrap_or("text").trim().to_ascii_lowercase()
}

/// Splits `cookieBanner__btn-acceptAll` into `cookie`, `banner`, `btn`, `accept`, `all`.
fn split_name(name: &str, tokens: &mut Vec<String>) {
    let mut token = String::new();
    let mut was_lower = false;
    for c in name.chars() {
        let is_end = !c.is_alphanumeric() || (c.is_uppercase() && was_lower);
        if is_end && !token.is_empty() {
            tokens.push(std::mem::take(&mut token));
        }
        if c.is_alphanumeric() {
            token.extend(c.to_lowercase());
        }
        was_lower = c.is_lowercase() || c.is_numeric();
    }
    if !token.is_empty() {
        tokens.push(token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_at_signs_and_case() {
        let mut tokens = Vec::new();
        split_name("cookieBanner__btn-acceptAll CC2", &mut tokens);
        assert_eq!(tokens, ["cookie", "banner", "btn", "accept", "all", "cc2"]);
    }
}
