//! Small pages for tests, written as indented lines.
//!
//! A line is a tag with `#id`, `.class` and `[key=value]`, then in any order: `"text"`; `@fixed`, `@absolute`,
//! `@sticky`; a box as `x,y,w,h`; and the words `hidden` (not rendered), `invisible`, `pointer`, `click`, `checked`,
//! `covered`, `reached`, `inline`, `clips`, `scrolls`, `bg=rrggbb`, `bg=rrggbb/alpha`, `color=rrggbb`, `opacity=0.5`,
//! `border`, `shadow` (a shadow root under it), `frame` (an `iframe` with its own document).
//!
//! Boxes that are not given are stacked: below the element before, as wide as the parent, 30 pixels high.

use std::sync::Arc;
use vigie_domain::{
    NodeId, PageSnapshot, Rect,
    page::{Frame, Hit, Layout, Node, NodeKind, Rgba, Style},
};

/// Builds a page of 1366 by 768 pixels from its lines.
pub(crate) fn page(lang: &str, lines: &str) -> PageSnapshot {
    let mut builder = Builder::new(lang);
    for line in lines.lines().filter(|line| !line.trim().is_empty()) {
        builder.line(line);
    }
    builder.page
}

/// Returns the first element with this id.
pub(crate) fn by_id(page: &PageSnapshot, id: &str) -> NodeId {
    page.ids().find(|&node| page.node(node).attribute("id") == Some(id)).expect("the page has this id")
}

pub(crate) fn style() -> Style {
    Style {
        display: "block".to_owned(),
        visible: true,
        opacity: 1.0,
        position: "static".to_owned(),
        z_index: None,
        pointer_cursor: false,
        takes_pointer: true,
        clips: false,
        scrolls: false,
        color: Rgba { rgb: [0; 3], alpha: 1.0 },
        background: Rgba::TRANSPARENT,
        background_image: false,
        font_px: 16.0,
        font_weight: 400,
        underlined: false,
        uppercase: false,
        border_px: 0.0,
        border_color: Rgba { rgb: [0; 3], alpha: 1.0 },
        blur_px: 0.0,
    }
}

struct Builder {
    page: PageSnapshot,
    /// Indentation, node, next free y of each open element.
    open: Vec<(usize, NodeId, f32)>,
    paint: u32,
}

impl Builder {
    fn new(lang: &str) -> Self {
        let page = PageSnapshot {
            url: "https://example.test/".to_owned(),
            title: "Example".to_owned(),
            lang: Some(lang.to_owned()),
            viewport: (1366.0, 768.0),
            scroll: (0.0, 0.0),
            content: (1366.0, 2000.0),
            at_ms: 0,
            frames: Vec::new(),
            nodes: Vec::new(),
            truncated: false,
        };
        let mut builder = Self { page, open: Vec::new(), paint: 0 };
        let document = builder.push(NodeKind::Document, "", None, 0);
        builder.page.frames.push(Frame { id: "main".to_owned(), url: builder.page.url.clone(), document, owner: None });
        let html = builder.push(NodeKind::Element, "html", Some(document), 0);
        let body = builder.push(NodeKind::Element, "body", Some(html), 0);
        for id in [html, body] {
            builder.lay_out(id, Rect { x: 0.0, y: 0.0, w: 1366.0, h: 2000.0 }, style());
        }
        builder.open.push((0, body, 0.0));
        builder
    }

    fn push(&mut self, kind: NodeKind, name: &str, parent: Option<NodeId>, frame: u16) -> NodeId {
        let id = NodeId(self.page.nodes.len() as u32);
        self.page.nodes.push(Node {
            parent,
            children: Vec::new(),
            kind,
            name: name.into(),
            text: "".into(),
            attributes: Vec::new(),
            checked: None,
            clickable: false,
            frame,
            backend: i64::from(id.0),
            layout: None,
            hit: None,
        });
        if let Some(parent) = parent {
            self.page.nodes[parent.index()].children.push(id);
        }
        id
    }

    fn lay_out(&mut self, id: NodeId, rect: Rect, style: Style) {
        self.paint += 1;
        let layout = Layout { rect, paint_order: self.paint, blended_background: None, style: Arc::new(style) };
        self.page.nodes[id.index()].layout = Some(layout);
    }

    fn line(&mut self, line: &str) {
        let depth = line.len() - line.trim_start().len();
        while self.open.len() > 1 && self.open.last().is_some_and(|&(indent, ..)| indent >= depth) {
            self.open.pop();
        }
        let (_, parent, top) = *self.open.last().expect("the body stays open");
        let frame = self.page.node(parent).frame;
        let (head, text) = match line.trim().split_once('"') {
            Some((head, rest)) => {
                let (text, tail) = rest.rsplit_once('"').expect("a closing quote");
                (format!("{head} {tail}"), Some(text.to_owned()))
            }
            None => (line.trim().to_owned(), None),
        };
        let mut words = split_outside_brackets(&head).into_iter();
        let name = words.next().expect("a tag");
        let (tag, attributes) = element(&name);
        let id = self.push(NodeKind::Element, &tag, Some(parent), frame);
        self.page.nodes[id.index()].attributes = attributes;
        // A shadow root has no box; its host's counts.
        let boxed = match self.page.node(parent).kind {
            NodeKind::OpenShadow => self.page.node(parent).parent.expect("a host"),
            _ => parent,
        };
        let around = self.page.node(boxed).layout.as_ref().map_or_else(Rect::default, |layout| layout.rect);
        let mut rect = Rect { x: around.x, y: around.y + top, w: around.w, h: 30.0 };
        let mut style = style();
        let (mut is_rendered, mut inner) = (self.page.node(boxed).layout.is_some(), None);
        if self.page.node(id).is("input") {
            let kind = self.page.node(id).attribute("type").unwrap_or_default().to_owned();
            self.page.nodes[id.index()].checked = matches!(kind.as_str(), "checkbox" | "radio").then_some(false);
        }
        for word in words {
            let node = &mut self.page.nodes[id.index()];
            match word.as_str() {
                "hidden" => is_rendered = false,
                "invisible" => style.visible = false,
                "pointer" => style.pointer_cursor = true,
                "click" => node.clickable = true,
                "checked" => node.checked = Some(true),
                "covered" => node.hit = Some(Hit::Covered),
                "reached" => node.hit = Some(Hit::Reached),
                "inline" => style.display = "inline".to_owned(),
                "clips" => style.clips = true,
                "scrolls" => (style.clips, style.scrolls) = (true, true),
                "border" => style.border_px = 1.0,
                "shadow" | "frame" => inner = Some(word.clone()),
                other => {
                    if let Some(position) = other.strip_prefix('@') {
                        style.position = position.to_owned();
                    } else if let Some(color) = other.strip_prefix("bg=") {
                        style.background = rgba(color);
                    } else if let Some(color) = other.strip_prefix("color=") {
                        style.color = rgba(color);
                    } else if let Some(opacity) = other.strip_prefix("opacity=") {
                        style.opacity = opacity.parse().expect("a number");
                    } else {
                        let sides: Vec<f32> = other.split(',').map(|side| side.parse().expect("a side")).collect();
                        let [x, y, w, h] = sides[..] else { panic!("`{other}` is no word of this notation") };
                        rect = Rect { x, y, w, h };
                    }
                }
            }
        }
        if is_rendered {
            self.lay_out(id, rect, style.clone());
            if let Some((.., top)) = self.open.last_mut().filter(|_| style.position == "static") {
                *top = (rect.y - around.y + rect.h).max(*top);
            }
        }
        let mut holder = id;
        let mut in_frame = frame;
        match inner.as_deref() {
            Some("shadow") => holder = self.push(NodeKind::OpenShadow, "", Some(id), frame),
            Some("frame") => {
                in_frame = self.page.frames.len() as u16;
                let document = self.push(NodeKind::Document, "", Some(id), in_frame);
                let url = "https://frame.test/".to_owned();
                self.page.frames.push(Frame { id: format!("f{in_frame}"), url, document, owner: Some(id) });
                holder = self.push(NodeKind::Element, "body", Some(document), in_frame);
            }
            _ => {}
        }
        if holder != id && is_rendered && inner.as_deref() == Some("frame") {
            self.lay_out(holder, rect, crate::testing::style());
        }
        if let Some(text) = text {
            let leaf = self.push(NodeKind::Text, "", Some(holder), in_frame);
            self.page.nodes[leaf.index()].text = text.into();
            if is_rendered {
                self.lay_out(leaf, Rect { h: rect.h.min(20.0), ..rect }, style);
            }
        }
        self.open.push((depth, holder, 0.0));
    }
}

fn split_outside_brackets(head: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut depth = 0;
    for c in head.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        if c == ' ' && depth == 0 {
            words.push(String::new());
        } else {
            words.last_mut().expect("one word at least").push(c);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

type Attributes = Vec<(Arc<str>, Arc<str>)>;

fn element(word: &str) -> (String, Attributes) {
    let mut attributes: Attributes = Vec::new();
    let mut classes = Vec::new();
    let (mut head, mut rest) = word.split_once('[').unwrap_or((word, ""));
    while !rest.is_empty() {
        let (pair, tail) = rest.split_once(']').expect("a closing bracket");
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        attributes.push((key.into(), value.into()));
        rest = tail.strip_prefix('[').unwrap_or_default();
    }
    let at = head.find(['#', '.']).unwrap_or(head.len());
    let tag = head[..at].to_owned();
    head = &head[at..];
    while let Some(sign) = head.chars().next() {
        let end = head[1..].find(['#', '.']).map_or(head.len(), |at| at + 1);
        let name = &head[1..end];
        match sign {
            '#' => attributes.push(("id".into(), name.into())),
            _ => classes.push(name),
        }
        head = &head[end..];
    }
    if !classes.is_empty() {
        attributes.push(("class".into(), classes.join(" ").into()));
    }
    (tag, attributes)
}

fn rgba(text: &str) -> Rgba {
    let (color, alpha) = text.split_once('/').unwrap_or((text, "1"));
    let channel = |at: usize| u8::from_str_radix(&color[at..at + 2], 16).expect("a colour");
    Rgba { rgb: [channel(0), channel(2), channel(4)], alpha: alpha.parse().expect("a number") }
}
