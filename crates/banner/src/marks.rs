//! Signs of consent, counted over the whole page once, so that any subtree can be asked how many it holds.

use crate::{
    labels::{Names, has_words},
    lexicon::{Lang, Lexicon},
    reading::{Class, Reading},
    switches::is_switch,
    text::Words,
    view::{View, input_type, is_input_button},
};
use std::{collections::HashMap, ops::Sub};
use vigie_domain::{
    NodeId,
    page::{Node, NodeKind},
};

/// Labels longer than this are not read in the first pass.
const LABEL_BYTES: usize = 120;

/// How many signs there are in some part of a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Places in ordinary text (not in controls) that speak of the subject.
    pub subjects: u32,
    /// Controls whose words accept, refuse or save.
    pub decisions: u32,
    /// Controls whose words lead to settings or close.
    pub others: u32,
    /// Switches.
    pub switches: u32,
    /// Buttons, links and the like.
    pub hard: u32,
    /// Links to other pages that say nothing of consent.
    pub plain_links: u32,
    /// `nav` and `article`.
    pub landmarks: u32,
    /// `main`.
    pub mains: u32,
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            subjects: self.subjects - other.subjects,
            decisions: self.decisions - other.decisions,
            others: self.others - other.others,
            switches: self.switches - other.switches,
            hard: self.hard - other.hard,
            plain_links: self.plain_links - other.plain_links,
            landmarks: self.landmarks - other.landmarks,
            mains: self.mains - other.mains,
        }
    }
}

/// A page, read: what is seen, what it is called, and where the signs are.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    pub view: View<'a>,
    pub names: Names<'a>,
    pub lexicon: &'a Lexicon,
    /// The page's own claim about its language.
    pub claimed: Option<Lang>,
    /// Counts before each place of the document order, and after the last.
    sums: Vec<Counts>,
    /// How many buttons, links and switches come before each place of the document order.
    hard_before: Vec<u32>,
    /// Text nodes that speak of the subject, in document order.
    pub seeds: Vec<NodeId>,
}

impl<'a> Reader<'a> {
    /// Reads a page.
    pub fn new(view: View<'a>, lexicon: &'a Lexicon) -> Self {
        let names = Names::new(&view);
        let claimed = view.page.lang.as_deref().and_then(|code| lexicon.language(code));
        let mut reader =
            Self { view, names, lexicon, claimed, sums: Vec::new(), hard_before: Vec::new(), seeds: Vec::new() };
        reader.count();
        reader
    }

    fn count(&mut self) {
        let view = &self.view;
        let mut known: HashMap<String, Option<Reading>> = HashMap::new();
        let mut sums = Vec::with_capacity(view.order().len() + 1);
        let mut sum = Counts::default();
        let mut seeds = Vec::new();
        let mut control_ends = 0;
        let mut hard_before = Vec::with_capacity(view.order().len() + 1);
        let mut n_hard = 0_u32;
        for &id in view.order() {
            hard_before.push(n_hard);
            n_hard += u32::from(is_hard_control(view.node(id)) || is_switch(view.node(id)));
        }
        hard_before.push(n_hard);
        for (place, &id) in view.order().iter().enumerate() {
            sums.push(sum);
            let node = view.node(id);
            match node.kind {
                NodeKind::Text if place >= control_ends && view.is_shown(id) && has_words(&node.text) => {
                    let found = self.lexicon.count_subjects(&Words::new(&node.text), None);
                    if found > 0 {
                        sum.subjects += found as u32;
                        seeds.push(id);
                    }
                }
                NodeKind::Element => {
                    sum.landmarks += u32::from(matches!(&*node.name, "nav" | "article") && view.is_shown(id));
                    sum.mains += u32::from(node.is("main") && view.is_shown(id));
                    if is_switch(node) {
                        sum.switches += 1;
                        continue;
                    }
                    if place < control_ends || !view.is_shown(id) {
                        continue;
                    }
                    let range = view.range(id);
                    let holds_controls = hard_before[range.start + 1] < hard_before[range.end];
                    let is_hard = is_hard_control(node) && (is_native(node) || !holds_controls);
                    let text_bytes = view.text_bytes(id);
                    // Script may listen on a whole surface: what holds controls is none itself.
                    let is_soft = !is_hard
                        && text_bytes > 0
                        && text_bytes <= LABEL_BYTES
                        && !holds_controls
                        && takes_clicks(view, id);
                    if !is_hard && !is_soft {
                        continue;
                    }
                    sum.hard += u32::from(is_hard);
                    let text = if text_bytes > LABEL_BYTES {
                        String::new()
                    } else if text_bytes > 0 {
                        view.text(id)
                    } else {
                        node.attribute("aria-label").or(node.attribute("title")).unwrap_or_default().to_owned()
                    };
                    let reading =
                        *known.entry(text).or_insert_with_key(|text| self.lexicon.read_label(text, self.claimed));
                    let reading = reading.filter(|reading| is_hard || reading.confidence >= 0.8);
                    let leads_away = leads_away(view, id);
                    match reading.map(|reading| reading.class) {
                        // "Continue reading" is a link to an article.
                        Some(Class::Acknowledge | Class::AllowOne | Class::DenyOne) if leads_away => {}
                        Some(class) if class.decides() => sum.decisions += 1,
                        Some(Class::Settings | Class::Reopen | Class::Close) => sum.others += 1,
                        None if leads_away => sum.plain_links += 1,
                        _ => {}
                    }
                    if is_hard || reading.is_some() {
                        control_ends = view.range(id).end;
                    }
                }
                _ => {}
            }
        }
        sums.push(sum);
        self.sums = sums;
        self.hard_before = hard_before;
        self.seeds = seeds;
    }

    /// Returns the counts under a node.
    pub fn counts(&self, id: NodeId) -> Counts {
        let range = self.view.range(id);
        self.sums[range.end] - self.sums[range.start]
    }
}

impl Reader<'_> {
    /// Returns whether an element is one control: a button or link by tag, or by role if it holds no others.
    ///
    /// Some surfaces call their backdrop a button and put everything into it.
    pub fn is_one_control(&self, id: NodeId) -> bool {
        let node = self.view.node(id);
        let range = self.view.range(id);
        is_hard_control(node) && (is_native(node) || self.hard_before[range.start + 1] == self.hard_before[range.end])
    }
}

fn is_native(node: &Node) -> bool {
    matches!(&*node.name, "a" | "button" | "input" | "summary")
}

/// Returns whether an element is a control by its tag or role.
pub(crate) fn is_hard_control(node: &Node) -> bool {
    if node.kind != NodeKind::Element {
        return false;
    }
    match &*node.name {
        "button" | "summary" => return true,
        "a" => return node.attribute("href").is_some() || node.clickable || has_control_role(node),
        "input" => return is_input_button(node),
        _ => {}
    }
    has_control_role(node)
}

fn has_control_role(node: &Node) -> bool {
    matches!(node.attribute("role"), Some("button" | "link" | "tab" | "menuitem"))
}

/// Returns whether an element without such a tag or role takes clicks by its looks or its script.
pub(crate) fn takes_clicks(view: &View, id: NodeId) -> bool {
    let node = view.node(id);
    if node.kind != NodeKind::Element || matches!(&*node.name, "html" | "body" | "label" | "option" | "select") {
        return false;
    }
    if node.clickable || node.attribute("onclick").is_some() || node.attribute("tabindex") == Some("0") {
        return true;
    }
    let points = |id: NodeId| view.style(id).is_some_and(|style| style.pointer_cursor);
    points(id) && !view.parent(id).is_some_and(points)
}

/// Returns whether activating it loads another page: a link whose target is neither a script nor a place here.
pub(crate) fn leads_away(view: &View, id: NodeId) -> bool {
    let node = view.node(id);
    if !node.is("a") {
        return false;
    }
    let Some(href) = node.attribute("href").map(str::trim) else { return false };
    let without_place = href.split('#').next().unwrap_or_default();
    if without_place.is_empty() || href.get(..11).is_some_and(|start| start.eq_ignore_ascii_case("javascript:")) {
        return false;
    }
    let here = view.page.frames.get(node.frame as usize).map_or(view.page.url.as_str(), |frame| frame.url.as_str());
    without_place != here.split('#').next().unwrap_or_default()
}

/// Returns whether a shown field asks for an address, a password or a date: nothing a consent surface needs.
pub(crate) fn asks_for_data(node: &Node) -> bool {
    if !node.is("input") {
        return false;
    }
    match input_type(node).as_str() {
        "email" | "password" | "tel" | "date" | "month" => true,
        "text" | "number" => {
            let hints = ["name", "id", "placeholder", "autocomplete", "aria-label"];
            let asked = hints.iter().filter_map(|key| node.attribute(key)).any(|value| {
                let lower = value.to_lowercase();
                ["mail", "passw", "phone", "birth", "geburt", "naissance", "zip", "plz"]
                    .iter()
                    .any(|word| lower.contains(word))
            });
            asked || matches!(node.attribute("inputmode"), Some("email" | "tel"))
        }
        _ => false,
    }
}
