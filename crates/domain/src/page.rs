//! A page as a person saw it: every node of every frame and shadow root with its place, paint and style.
//!
//! `browser` fills it from `DOMSnapshot` and hit tests; `banner` reads it. Coordinates are CSS pixels from the top
//! left corner of the main frame's viewport, whatever frame a node is in, so that a point can be clicked as it is.
//!
//! The surprise: the tree is one tree. A frame's document is a child of its `iframe` element and a shadow root a
//! child of its host, so that "is inside" needs no special case.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A node's place in [`PageSnapshot::nodes`]. Parents come before their children.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub u32);

impl NodeId {
    /// Returns the id as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A rectangle in CSS pixels.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Rect {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width; zero or more.
    pub w: f32,
    /// Height; zero or more.
    pub h: f32,
}

impl Rect {
    /// Returns the middle point.
    pub fn center(self) -> (f32, f32) {
        (self.x + self.w / 2.0, self.y + self.h / 2.0)
    }

    /// Returns the area in square pixels.
    pub fn area(self) -> f32 {
        self.w * self.h
    }

    /// Returns the common part, of zero size where there is none.
    #[must_use]
    pub fn intersect(self, other: Self) -> Self {
        let x = self.x.max(other.x);
        let y = self.y.max(other.y);
        let w = ((self.x + self.w).min(other.x + other.w) - x).max(0.0);
        let h = ((self.y + self.h).min(other.y + other.h) - y).max(0.0);
        Self { x, y, w, h }
    }

    /// Returns the smallest rectangle that holds both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        let x = self.x.min(other.x);
        let y = self.y.min(other.y);
        let w = (self.x + self.w).max(other.x + other.w) - x;
        let h = (self.y + self.h).max(other.y + other.h) - y;
        Self { x, y, w, h }
    }
}

/// A colour with its opacity, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rgba {
    /// Red, green, blue, 0 to 255.
    pub rgb: [u8; 3],
    /// Opacity, 0 (nothing) to 1 (opaque).
    pub alpha: f32,
}

impl Rgba {
    /// Nothing at all.
    pub const TRANSPARENT: Self = Self { rgb: [0; 3], alpha: 0.0 };
    /// The canvas of a page without a background.
    pub const WHITE: Self = Self { rgb: [255; 3], alpha: 1.0 };

    /// Returns this colour laid over an opaque one.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        let mix =
            |top: u8, bottom: u8| (f32::from(top) * self.alpha + f32::from(bottom) * (1.0 - self.alpha)).round() as u8;
        let rgb = [0, 1, 2].map(|channel| mix(self.rgb[channel], below.rgb[channel]));
        Self { rgb, alpha: 1.0 }
    }

    /// Returns the relative luminance, 0 (black) to 1 (white).
    ///
    /// # Source
    ///
    /// WCAG 2.1, definition of relative luminance.
    pub fn luminance(self) -> f32 {
        let linear = |channel: u8| {
            let share = f32::from(channel) / 255.0;
            if share <= 0.03928 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(self.rgb[0]) + 0.7152 * linear(self.rgb[1]) + 0.0722 * linear(self.rgb[2])
    }

    /// Returns the contrast ratio of two opaque colours, 1 (the same) to 21 (black on white).
    ///
    /// # Source
    ///
    /// WCAG 2.1, definition of contrast ratio.
    pub fn contrast(self, other: Self) -> f32 {
        let (a, b) = (self.luminance(), other.luminance());
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeKind {
    /// An element; its tag is in [`Node::name`], in lower case.
    Element,
    /// Text; in [`Node::text`].
    Text,
    /// The root of a document, the page's own or a frame's.
    Document,
    /// An open shadow root.
    OpenShadow,
    /// A closed shadow root, which scripts of the page cannot look into.
    ClosedShadow,
    /// The browser's own parts of a control (`user-agent`), or a pseudo element.
    Internal,
}

/// Computed style, only what judging needs. Shared between nodes that are styled alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Style {
    /// `display`, as computed.
    pub display: String,
    /// Whether `visibility` is `visible`.
    pub visible: bool,
    /// The node's own `opacity`, 0 to 1; ancestors multiply.
    pub opacity: f32,
    /// `position`, as computed: `static`, `relative`, `absolute`, `fixed`, `sticky`.
    pub position: String,
    /// `z-index`, `None` for `auto`.
    pub z_index: Option<i32>,
    /// Whether `cursor` is `pointer`.
    pub pointer_cursor: bool,
    /// Whether `pointer-events` is not `none`.
    pub takes_pointer: bool,
    /// Whether overflow is cut off or scrolls, in either direction (`hidden`, `clip`, `auto`, `scroll`).
    pub clips: bool,
    /// Whether it scrolls vertically (`auto` or `scroll`).
    pub scrolls: bool,
    /// Text colour.
    pub color: Rgba,
    /// The node's own background colour.
    pub background: Rgba,
    /// Whether it paints a background image or gradient.
    pub background_image: bool,
    /// `font-size` in CSS pixels.
    pub font_px: f32,
    /// `font-weight`, 1 to 1000.
    pub font_weight: u16,
    /// Whether text is underlined.
    pub underlined: bool,
    /// Whether text is shown in capitals (`text-transform: uppercase`).
    pub uppercase: bool,
    /// Top border width in CSS pixels; 0 where its style is `none`.
    pub border_px: f32,
    /// Top border colour.
    pub border_color: Rgba,
    /// Blur radius of a `backdrop-filter` or `filter: blur()`, in CSS pixels; 0 without one.
    pub blur_px: f32,
}

/// Where and how a node is painted. A node without one is not rendered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Layout {
    /// The border box, in coordinates of the main frame's viewport. May lie outside it.
    pub rect: Rect,
    /// Rank in the order of painting within its frame's document: higher is in front.
    pub paint_order: u32,
    /// Background behind the node's text after blending, where the browser computed it.
    pub blended_background: Option<Rgba>,
    /// Computed style.
    pub style: Arc<Style>,
}

/// What the browser answered when asked which node a click at the middle of this one would reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hit {
    /// The node itself, a descendant, or the label that operates it.
    Reached,
    /// Another node, in front of it.
    Covered,
    /// The point is outside the viewport; it may be scrolled to.
    Outside,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// The parent, across shadow roots and frames; `None` for the main document.
    pub parent: Option<NodeId>,
    /// The children, in document order.
    pub children: Vec<NodeId>,
    /// What it is.
    pub kind: NodeKind,
    /// The tag in lower case; empty unless an element.
    pub name: Arc<str>,
    /// The text of a text node; for an input, its value; else empty.
    pub text: Arc<str>,
    /// Attributes, in order.
    pub attributes: Vec<(Arc<str>, Arc<str>)>,
    /// Whether a checkbox or radio button is on; `None` for anything else.
    pub checked: Option<bool>,
    /// Whether a script listens for clicks on it, or the browser acts on them.
    pub clickable: bool,
    /// Which frame it is in: an index into [`PageSnapshot::frames`].
    pub frame: u16,
    /// DevTools backend node id, unique within its frame's process; for clicking, never for judging.
    pub backend: i64,
    /// Place and paint; `None` where it is not rendered.
    pub layout: Option<Layout>,
    /// The answer to a hit test at its middle, where one was made.
    pub hit: Option<Hit>,
}

impl Node {
    /// Returns an attribute's value; its name in lower case.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| &**key == name).map(|(_, value)| &**value)
    }

    /// Returns whether this is an element of that tag.
    pub fn is(&self, tag: &str) -> bool {
        self.kind == NodeKind::Element && &*self.name == tag
    }
}

/// A frame of the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// DevTools frame id.
    pub id: String,
    /// The address of its document.
    pub url: String,
    /// The document's node.
    pub document: NodeId,
    /// The `iframe` element that holds it; `None` for the main frame.
    pub owner: Option<NodeId>,
}

/// The whole page at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PageSnapshot {
    /// The address of the main document.
    pub url: String,
    /// The document's title.
    pub title: String,
    /// The `lang` attribute of the document element.
    pub lang: Option<String>,
    /// Width and height of the viewport in CSS pixels.
    pub viewport: (f32, f32),
    /// How far the main document was scrolled, in CSS pixels.
    pub scroll: (f32, f32),
    /// Width and height of the main document's content in CSS pixels.
    pub content: (f32, f32),
    /// Milliseconds of the visit's own clock, from its start.
    pub at_ms: u64,
    /// Frames; the main one first.
    pub frames: Vec<Frame>,
    /// Nodes; parents before children, the main document first.
    pub nodes: Vec<Node>,
    /// Whether the page was larger than what is kept, so that absence in it proves nothing.
    pub truncated: bool,
}

impl PageSnapshot {
    /// Returns a node.
    ///
    /// # Panics
    ///
    /// If the id is from another snapshot.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// Iterates over all ids, parents before children.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + use<> {
        (0..self.nodes.len() as u32).map(NodeId)
    }

    /// Iterates over the ancestors of a node, nearest first, without the node itself.
    pub fn ancestors(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        std::iter::successors(self.node(id).parent, |&up| self.node(up).parent)
    }

    /// Returns whether `id` is `root` or lies under it.
    pub fn is_within(&self, id: NodeId, root: NodeId) -> bool {
        id == root || self.ancestors(id).any(|up| up == root)
    }

    /// Iterates over a node and everything under it, in document order.
    pub fn subtree(&self, root: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let mut waiting = vec![root];
        std::iter::from_fn(move || {
            let next = waiting.pop()?;
            waiting.extend(self.node(next).children.iter().rev());
            Some(next)
        })
    }

    /// Returns the viewport as a rectangle at the origin.
    pub fn viewport_rect(&self) -> Rect {
        Rect { x: 0.0, y: 0.0, w: self.viewport.0, h: self.viewport.1 }
    }

    /// Returns the opacity a person sees: the product over the node and its ancestors, 0 to 1.
    pub fn effective_opacity(&self, id: NodeId) -> f32 {
        std::iter::once(id)
            .chain(self.ancestors(id))
            .filter_map(|up| self.node(up).layout.as_ref())
            .map(|layout| layout.style.opacity)
            .product()
    }
}
