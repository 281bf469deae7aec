//! What one inspection observed, before any judgement: the input of every rule.
//!
//! It serializes whole, and judging it again gives the same findings: nothing here points into a live browser.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use vigie_banner::{Surface, model::Control};
use vigie_domain::{Choice, Layer, Scenario, VisitRecord, record::Sample};
use vigie_trackers::disclosure::Disclosed;

/// The site, as asked for and as found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// The address asked for.
    pub requested_url: String,
    /// The address of the first page after redirects.
    pub final_url: String,
    /// The host of that page.
    pub host: String,
}

/// How the inspection as a whole ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The page was seen; only then may a verdict be `conform`.
    Inspected,
    /// Captcha, CDN wall, 401, 403, 451.
    Blocked,
    /// No name, no connection, no TLS, no answer.
    Unreachable,
    /// The inspection broke off.
    Failed,
}

/// A consent surface as seen at one moment of one visit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SurfaceView {
    /// The visit, by its name.
    pub visit: String,
    /// Which layer it is: 1 for what shows by itself.
    pub layer: Layer,
    /// The clicks that led here, by their labels; empty for the first layer.
    pub via: Vec<String>,
    /// The address of the document.
    pub url: String,
    /// The surface.
    pub surface: Surface,
    /// The picture of the viewport at that moment, by its path in the evidence.
    pub picture: Option<String>,
    /// The snapshot in which it was found, by its path in the evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// How many events of that visit had happened.
    pub events: u64,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What was done to it.
    pub act: Act,
    /// The label of the control or switch.
    pub label: String,
    /// The layer on which it stood; 0 for a control of the page itself (a footer link, a floating icon).
    pub layer: Layer,
    /// Where it was clicked: left, top, width, height of its box in CSS pixels of the viewport.
    pub rect: [i32; 4],
    /// The picture before the click, by its path in the evidence.
    pub before: Option<String>,
    /// The picture after it.
    pub after: Option<String>,
    /// The number of the event that records our input.
    pub event: Option<u64>,
}

/// What was done at a step. Each counts as one click.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// A control was activated.
    Activate,
    /// A switch was turned on.
    TurnOn,
    /// A switch was turned off.
    TurnOff,
}

/// Why we hold that a path reached its end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Proof {
    /// The surface is gone from the screen.
    pub surface_gone: bool,
    /// The surface changed into a message that the choice was taken.
    pub confirmed: bool,
    /// Cookies and storage keys that the choice wrote or changed, as `cookie NAME` or `local KEY`.
    pub stored: Vec<String>,
    /// Consent signals that changed, by kind.
    pub signals: Vec<String>,
    /// The surface does not come back after a reload. `None` if that was not tried.
    pub remembered: Option<bool>,
}

/// The least clicks to an end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChoicePath {
    /// Where it leads.
    pub choice: Choice,
    /// The steps, in order. Their number is the number of clicks.
    pub steps: Vec<Step>,
    /// Why we hold that it got there.
    pub proof: Proof,
    /// The visit in which it was walked for the record.
    pub visit: String,
}

impl ChoicePath {
    /// Returns the number of clicks.
    pub fn clicks(&self) -> u32 {
        self.steps.len() as u32
    }
}

/// How far the search for paths went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchBound {
    /// The longest path looked at, in clicks.
    pub max_clicks: u32,
    /// Different states of the banner that were seen.
    pub states: u32,
}

/// What a control of the first layer was seen to do when it alone was activated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// The state afterwards is that of an acceptance.
    Accepts,
    /// The state afterwards is that of a refusal.
    Refuses,
    /// The surface went away and no choice was stored.
    Dismisses,
    /// Another layer, or more of this one, came up.
    Opens,
    /// The page went to another address.
    Leaves,
    /// Nothing that could be seen.
    Nothing,
    /// It was not tried, or what it did could not be told.
    Unknown,
}

/// A control of the first layer together with what it did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// The control.
    pub control: Control,
    /// What it was seen to do.
    pub effect: Effect,
}

/// What a passive act (Escape, scrolling…) of scenario S5 led to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Passive {
    /// `close`, `escape`, `backdrop`, `scroll`, `follow-link`.
    pub act: String,
    /// The visit.
    pub visit: String,
    /// What it led to; `Unknown` where the act had no object (no cross to click).
    pub effect: Effect,
}

/// The first layer on another screen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OtherViewport {
    /// Width and height in CSS pixels.
    pub viewport: (u32, u32),
    /// The visit.
    pub visit: String,
    /// The surface, if one was seen there.
    pub surface: Option<Surface>,
    /// The picture.
    pub picture: Option<String>,
}

/// The site as entered by another way than its front page (S6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Which way.
    pub way: Way,
    /// The address by which it was entered.
    pub url: String,
    /// The visit.
    pub visit: String,
    /// HTTP status of the page.
    pub status: u16,
    /// Whether a consent surface showed.
    pub banner: bool,
    /// The picture.
    pub picture: Option<String>,
}

/// A way into a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// A page to which the front page links.
    DeepLink,
    /// The front page with the click identifiers that advertisements add.
    Advertisement,
    /// Another host of the same registrable domain.
    Subdomain,
}

/// What a profile that holds a choice met on coming back later (S7). The jar was aged and the page's clock moved on;
/// the network's clock stayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Return {
    /// The choice that had been made.
    pub choice: Choice,
    /// Days since.
    pub days: u32,
    /// The visit.
    pub visit: String,
    /// Whether a consent surface showed again.
    pub asked: bool,
    /// The picture.
    pub picture: Option<String>,
}

/// A control of the first layer, tried with the keyboard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByKeyboard {
    /// Its label.
    pub label: String,
    /// Whether it takes the focus, so that the keyboard can reach it at all.
    pub takes_focus: bool,
    /// What pressing Enter on it did; `Unknown` where that was not tried.
    pub effect: Effect,
}

/// What a vendor of the Transparency and Consent Framework declares to store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VendorDisclosure {
    /// Its number in the vendor list.
    pub vendor: u16,
    /// Its name there.
    pub name: String,
    /// Where the disclosure is.
    pub url: String,
    /// SHA-256 of the disclosure in hexadecimal; its exchange is in the archive.
    pub sha256: String,
    /// What it declares.
    pub entries: Vec<Disclosed>,
}

/// The machine and program that observed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Name and version of this program.
    pub program: String,
    /// The browser's name and version.
    pub browser: String,
    /// Arguments given to the browser besides ours.
    pub browser_arguments: Vec<String>,
    /// Whether certificates that do not verify were accepted.
    pub certificates_ignored: bool,
    /// The locale given to the site.
    pub locale: String,
    /// Width and height of the viewport in CSS pixels.
    pub viewport: (u32, u32),
    /// `standard` or `thorough`.
    pub patience: String,
    /// What cannot be known from the browser: the machine, its clock and its network.
    #[serde(default)]
    pub machine: Machine,
}

/// The machine that observed. What could not be learned is absent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Machine {
    /// Operating system, kernel and processor.
    pub system: Option<String>,
    /// SHA-256 of the running program's file in hexadecimal.
    pub program_sha256: Option<String>,
    /// Who or what made the observations: `automatic`, or the words of whoever ran it.
    pub observed_by: Option<String>,
    /// Addresses to which the machine's resolver resolved the site's host before the first visit.
    pub resolved: Vec<String>,
    /// The address of this machine on the way to the site. Behind a translating router it is not the one that the
    /// site saw.
    pub local_address: Option<String>,
    /// What the clock was compared with.
    pub clock: Option<ClockCheck>,
}

/// How the wall clock stood to the `Date` headers of the servers that answered.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClockCheck {
    /// Hosts that stated the time.
    pub hosts: u32,
    /// Median of server minus ours, in seconds; below one second it says that they agree, as the header has no
    /// fractions.
    pub offset_s: f64,
}

/// Everything one inspection observed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The site.
    pub site: Site,
    /// When it began, by the wall clock.
    pub started_at: Timestamp,
    /// How long it took, in seconds.
    pub elapsed_s: f64,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, where it is not `inspected`.
    pub why: Option<String>,
    /// Machine and program.
    pub environment: Environment,
    /// The scenarios that were to be played.
    pub scenarios: Vec<Scenario>,
    /// The consent surfaces of the first display, the main one first. Empty: none was seen.
    pub first_layer: Vec<SurfaceView>,
    /// Further layers that were opened, each once.
    pub further_layers: Vec<SurfaceView>,
    /// Layers that came up on the way to withdrawal.
    #[serde(default)]
    pub withdrawal_layers: Vec<SurfaceView>,
    /// Controls of the first layer that were tried, with what they did.
    pub tried: Vec<Tried>,
    /// Least clicks to accept everything.
    pub accept: Option<ChoicePath>,
    /// Least clicks to refuse everything.
    pub refuse: Option<ChoicePath>,
    /// Least clicks to withdraw after accepting and reloading.
    pub withdraw: Option<ChoicePath>,
    /// Way back to the settings on pages after a choice: for each page sampled, the label of a control that leads to
    /// them, if one was seen.
    pub way_back: Vec<(String, Option<String>)>,
    /// How far the search went.
    pub search: SearchBound,
    /// Passive acts of S5.
    pub passive: Vec<Passive>,
    /// The first layer on other screens.
    pub other_viewports: Vec<OtherViewport>,
    /// Other ways in (S6).
    #[serde(default)]
    pub entries: Vec<Entry>,
    /// What coming back later met (S7), in the order of choice and days.
    #[serde(default)]
    pub returns: Vec<Return>,
    /// Controls of the first layer that were tried with the keyboard.
    #[serde(default)]
    pub keyboard: Vec<ByKeyboard>,
    /// The certificates with which origins identified themselves: DER in base64, the server's own first.
    #[serde(default)]
    pub certificates: BTreeMap<String, Vec<String>>,
    /// Of the site's other hosts that were asked for something, the aliases (CNAME) that the machine's resolver gave, in
    /// order; a host about which it did not answer is not there.
    #[serde(default)]
    pub aliases: BTreeMap<String, Vec<String>>,
    /// What vendors declare that the site's TC string names, where it could be had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disclosures: Vec<VendorDisclosure>,
    /// Every visit that plays a scenario.
    pub visits: Vec<VisitRecord>,
    /// What could not be observed, in sentences.
    pub gaps: Vec<String>,
}

impl Evidence {
    /// Returns the visit that plays a scenario under its own name (`S0`, not `S5-escape`).
    pub fn visit(&self, scenario: Scenario) -> Option<&VisitRecord> {
        let name = scenario.to_string();
        self.visits.iter().find(|visit| visit.name == name)
    }

    /// Returns a visit by its name.
    pub fn visit_named(&self, name: &str) -> Option<&VisitRecord> {
        self.visits.iter().find(|visit| visit.name == name)
    }

    /// Returns the number of the event that records the last click of a path in its visit: what comes after it comes
    /// after the choice. `None` if the path has no record.
    pub fn choice_event(path: &ChoicePath) -> Option<u64> {
        path.steps.last().and_then(|step| step.event)
    }

    /// Returns the sample before any input of a visit, if one was taken.
    pub fn sample<'a>(visit: &'a VisitRecord, moment: &str) -> Option<&'a Sample> {
        visit.samples.iter().find(|sample| sample.moment == moment)
    }
}
