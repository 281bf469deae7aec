//! What there is to a consent surface: its controls, switches, purposes and texts. Plain values, nothing computed.

use serde::{Deserialize, Serialize};
use vigie_domain::{NodeId, Purpose, Rect, page::Rgba};

/// Where the surface lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// In the page's own document.
    Document,
    /// In a frame.
    Iframe,
    /// In a shadow root, open or closed.
    Shadow,
}

/// What a control does, by its words, looks and place. What it *did* is for the search to find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Accepts everything, or acknowledges ("OK", "Got it") where nothing else is offered.
    AcceptAll,
    /// Refuses everything that is not necessary.
    RefuseAll,
    /// Saves or confirms the switches as they stand.
    SaveSelection,
    /// Opens further choices: settings, options, details, purposes, a tab or a section.
    Settings,
    /// Closes without a word: a cross, "close", "later".
    Close,
    /// Leads to paying instead of consenting, or to the log-in of those who pay.
    Pay,
    /// Opens the list of partners or vendors.
    PartnerList,
    /// Leads to a policy, an imprint or other reading.
    Policy,
    /// Changes the language of the surface.
    Language,
    /// None of the above could be told.
    Unknown,
}

/// What kind of thing a control is to a person and to a screen reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nature {
    /// A button, by tag or role.
    Button,
    /// A link, by tag or role.
    Link,
    /// Something else that takes clicks, or text that reads like a control.
    Other,
}

/// How a control is drawn, for comparing accept with refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// A box of a colour of its own.
    Filled,
    /// A frame.
    Outlined,
    /// Bare text.
    Plain,
}

/// The measures behind CK-09.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// How it is drawn.
    pub shape: Shape,
    /// What it is filled with, blended; the surface's colour where it is not filled.
    pub fill: Rgba,
    /// Text colour, blended.
    pub text: Rgba,
    /// Contrast of the text with what is behind it, 1 to 21 (WCAG 2.1).
    pub text_contrast: f32,
    /// Contrast of the box with the surface, 1 to 21.
    pub fill_contrast: f32,
    /// Font size in CSS pixels.
    pub font_px: f32,
    /// Font weight, 1 to 1000.
    pub font_weight: u16,
    /// Whether the text is underlined.
    pub underlined: bool,
    /// Area of the painted box in square CSS pixels.
    pub area: f32,
}

/// Something to activate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// The node to click.
    pub node: NodeId,
    /// What a person, or else a screen reader, reads on it; white space folded.
    pub label: String,
    /// Whether the label is on the screen: `false` for an icon named only by an attribute, or by a sign such as "×".
    pub icon_only: bool,
    /// What it does, as far as can be told beforehand.
    pub role: Role,
    /// How sure that is, 0 to 1. Words of the lexicon give 0.8 and more.
    pub confidence: f32,
    /// Whether a refusal or acceptance is only partial or vague in words ("non-essential" for some, "maybe later").
    pub vague: bool,
    /// What kind of thing it is.
    pub nature: Nature,
    /// Its `href` as written, if it is a link; `None` for anything else.
    pub href: Option<String>,
    /// Whether it stands inside a run of text (a link in a paragraph).
    pub in_text: bool,
    /// The box, in coordinates of the viewport.
    pub rect: Rect,
    /// Whether all of it is inside the viewport and a click at its middle reaches it.
    pub in_reach: bool,
    /// How it is drawn.
    pub look: Look,
}

/// Something that is on or off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Switch {
    /// The node that holds the state.
    pub node: NodeId,
    /// The node to click: the switch itself, or the label or box that is drawn in its stead.
    pub click: NodeId,
    /// What it is for, in the surface's words.
    pub label: String,
    /// Which purpose that is, if the words tell.
    pub purpose: Option<Purpose>,
    /// Whether it is on; `None` where neither mark-up nor looks tell.
    pub on: Option<bool>,
    /// Whether it cannot be changed.
    pub disabled: bool,
    /// Whether it stands for something that needs no consent (disabled and on, or necessary by its words).
    pub exempt: bool,
    /// Whether it is one of a pair or group of which just one is chosen (radio buttons, allow / deny buttons).
    pub choice_of: Option<u32>,
    /// For one of a group: whether choosing it allows (`true`) or denies (`false`), where the words tell.
    pub allows: Option<bool>,
    /// Whether its label speaks of legitimate interest.
    pub legitimate_interest: bool,
    /// The box of what is clicked.
    pub rect: Rect,
}

/// A purpose that the surface names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedPurpose {
    /// Which.
    pub purpose: Purpose,
    /// The words that name it, as they stand there.
    pub words: String,
}

/// What the surface's text says besides its purposes. All by the lexicon, so all heuristic.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Statements {
    /// That browsing on or doing nothing counts as consent.
    pub implied_consent: Option<String>,
    /// What happens to those who do not choose or who close (as a refusal).
    pub effect_of_ignoring: Option<String>,
    /// That consent can be withdrawn.
    pub withdrawal: Option<String>,
    /// What follows from refusing.
    pub consequences: Option<String>,
    /// Purposes so imprecise that they name nothing ("improve your experience").
    pub imprecise: Vec<String>,
    /// That third parties or partners take part.
    pub partners: Option<String>,
    /// That a service is lost, or other threats, on refusing or withdrawing.
    pub threat: Option<String>,
    /// Legitimate interest.
    pub legitimate_interest: Option<String>,
}

/// A consent surface as it stands in one snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Surface {
    /// Its outermost node.
    pub root: NodeId,
    /// Where it lives.
    pub place: Place,
    /// Its box, in coordinates of the viewport.
    pub rect: Rect,
    /// The language of its own text, as ISO 639-1, if it can be told.
    pub language: Option<String>,
    /// All its text, white space folded.
    pub text: String,
    /// The consent tool, if it is a known one (lower case, for instance `klaro`).
    pub cmp: Option<String>,
    /// Whether it keeps the rest of the page from being used: a backdrop over it, `inert`, or no scrolling with all
    /// covered.
    pub blocks_page: bool,
    /// The backdrop's node, if there is one.
    pub backdrop: Option<NodeId>,
    /// Its controls, in document order.
    pub controls: Vec<Control>,
    /// Its switches, in document order.
    pub switches: Vec<Switch>,
    /// The purposes it names.
    pub purposes: Vec<NamedPurpose>,
    /// What else it says.
    pub statements: Statements,
    /// How sure it is that this is a consent surface, 0 to 1.
    pub confidence: f32,
}

/// Something that looked like a surface and is not one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rejected {
    /// Its outermost node.
    pub root: NodeId,
    /// Why it is none, in words: `newsletter`, `log-in`, `age gate`, `pay wall`, `article`, `covered`, `no choice or
    /// notice in it`.
    pub why: String,
}

/// What detection found.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Detection {
    /// Consent surfaces, the likeliest first. More than one only where several really stand side by side.
    pub surfaces: Vec<Surface>,
    /// What was looked at and set aside.
    pub rejected: Vec<Rejected>,
}
