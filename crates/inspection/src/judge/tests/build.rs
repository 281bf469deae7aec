//! Builds small evidence: a site that does everything well, for tests to spoil in one place each.

use crate::evidence::{
    Act, ChoicePath, Effect, Entry, Environment, Evidence, Outcome, Passive, Proof, Return, SearchBound, Site, Step,
    SurfaceView, Tried, Way,
};
use jiff::Timestamp;
use vigie_banner::{Control, Look, Nature, Place, Role, Shape, Statements, Surface, Switch, model::NamedPurpose};
use vigie_domain::{
    Choice, Event, EventKind, Layer, NodeId, Purpose, Rect, Scenario, VisitRecord,
    page::Rgba,
    record::{JarCookie, Sample, SentCookie, StorageItem, StorageKind, VisitEnd, Writer},
};

/// The site's host.
pub(crate) const HOST: &str = "shop.test";

/// The wall-clock time at which every visit starts.
pub(crate) fn start() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

/// A visit in the making. What is written is in the jar until it is deleted.
pub(crate) struct Play {
    pub record: VisitRecord,
    jar: Vec<JarCookie>,
    storage: Vec<StorageItem>,
    requests: u32,
}

impl Play {
    /// Opens the site.
    pub(crate) fn new(name: &str, scenario: Scenario) -> Self {
        let mut play = Self {
            record: VisitRecord {
                name: name.to_owned(),
                scenario: Some(scenario),
                started_at: start(),
                viewport: (1366, 768),
                locale: "en-GB".to_owned(),
                requested_url: format!("https://{HOST}/"),
                final_url: format!("https://{HOST}/"),
                status: 200,
                end: VisitEnd::Completed,
                events: Vec::new(),
                samples: Vec::new(),
                gaps: Vec::new(),
            },
            jar: Vec::new(),
            storage: Vec::new(),
            requests: 0,
        };
        play.load("load");
        play
    }

    pub(crate) fn push(&mut self, kind: EventKind) -> u64 {
        let n = self.record.events.len() as u64;
        let document = Some(format!("https://{HOST}/"));
        self.record.events.push(Event { n, at_ms: n * 10, document, kind });
        n
    }

    /// Loads a page of the site; `what` is the step's name.
    pub(crate) fn load(&mut self, what: &str) {
        self.push(EventKind::Step { what: what.to_owned() });
        self.request(&format!("https://{HOST}/"), "document");
        self.request(&format!("https://{HOST}/app.js"), "script");
    }

    /// Asks for something, with the cookies of the jar that go there.
    pub(crate) fn request(&mut self, url: &str, resource: &str) -> u64 {
        self.request_by(url, resource, None)
    }

    pub(crate) fn request_by(&mut self, url: &str, resource: &str, initiator: Option<&str>) -> u64 {
        self.requests += 1;
        let id = format!("r{}", self.requests);
        let host = vigie_trackers::host_of(url).unwrap();
        let n = self.push(EventKind::Request {
            id: id.clone(),
            url: url.to_owned(),
            method: "GET".to_owned(),
            resource: resource.to_owned(),
            initiator: initiator.map(str::to_owned),
            body: None,
            redirected_from: None,
        });
        let goes = |cookie: &&JarCookie| {
            vigie_trackers::registrable_domain(&host) == vigie_trackers::registrable_domain(&cookie.domain)
        };
        let sent = |cookie: &JarCookie| SentCookie {
            name: cookie.name.clone(),
            value: cookie.value.clone(),
            domain: cookie.domain.clone(),
        };
        let cookies = self.jar.iter().filter(goes).map(sent).collect();
        self.push(EventKind::RequestSent { id: id.clone(), cookies, blocked: Vec::new(), headers: Vec::new() });
        self.push(EventKind::Finished { id, encoded_bytes: 43, sha256: None, body_bytes: Some(43) });
        n
    }

    /// Writes a cookie of the site by a script, for a year.
    pub(crate) fn cookie(&mut self, name: &str, value: &str, script: &str) -> u64 {
        let raw = format!("{name}={value}; path=/; domain={HOST}; max-age=31536000");
        let writer = Writer::Script { stack: vec![script.to_owned()] };
        self.keep(name, value, HOST);
        self.push(EventKind::CookieWritten { name: name.to_owned(), raw, writer, deleted: false })
    }

    /// Answers with a cookie of the answering host's domain, for a year.
    pub(crate) fn header_cookie(&mut self, name: &str, value: &str, domain: &str, url: &str) -> u64 {
        let raw = format!("{name}={value}; Domain={domain}; Path=/; Max-Age=31536000; SameSite=None; Secure");
        let writer = Writer::Header { url: url.to_owned() };
        self.keep(name, value, domain);
        self.push(EventKind::CookieWritten { name: name.to_owned(), raw, writer, deleted: false })
    }

    fn keep(&mut self, name: &str, value: &str, domain: &str) {
        self.jar.retain(|cookie| cookie.name != name || cookie.domain != domain);
        self.jar.push(JarCookie {
            name: name.to_owned(),
            value: value.to_owned(),
            domain: domain.to_owned(),
            host_only: false,
            path: "/".to_owned(),
            expires_s: Some(start().as_second() as f64 + 31_536_000.0),
            http_only: false,
            secure: true,
            same_site: None,
            partition: None,
        });
    }

    /// Deletes cookies of the site by a script.
    pub(crate) fn forget(&mut self, names: &[&str]) {
        for name in names {
            self.jar.retain(|cookie| cookie.name != *name || cookie.domain != HOST);
            let raw = format!("{name}=; path=/; domain={HOST}; max-age=0");
            let writer = Writer::Script { stack: vec![format!("https://{HOST}/app.js")] };
            self.push(EventKind::CookieWritten { name: (*name).to_owned(), raw, writer, deleted: true });
        }
    }

    /// Writes into local storage.
    pub(crate) fn store(&mut self, key: &str, value: &str) -> u64 {
        let origin = format!("https://{HOST}");
        let item = StorageItem {
            kind: StorageKind::Local,
            origin: origin.clone(),
            key: key.to_owned(),
            value: value.to_owned(),
        };
        self.storage.push(item);
        let (kind, key, value) = (StorageKind::Local, key.to_owned(), Some(value.to_owned()));
        self.push(EventKind::StorageWritten { kind, origin, key, value })
    }

    /// Loads Google's measuring tag, which writes `_ga` and calls home, and Facebook's pixel, which writes `_fbp`.
    pub(crate) fn trackers(&mut self, visitor: u32) {
        let tag = "https://www.googletagmanager.com/gtag/js?id=G-ABCDEF1234";
        self.request(tag, "script");
        self.cookie("_ga", &format!("GA1.1.19283{visitor}7465.1764000000"), tag);
        self.request_by("https://www.google-analytics.com/g/collect?v=2&en=page_view", "image", Some(tag));
        let pixel = "https://connect.facebook.net/en_US/fbevents.js";
        self.request(pixel, "script");
        self.cookie("_fbp", &format!("fb.1.1764000000.83746{visitor}5019"), pixel);
        self.request_by("https://www.facebook.com/tr?id=1&ev=PageView", "image", Some(pixel));
    }

    /// Removes from local storage.
    pub(crate) fn unstore(&mut self, key: &str) {
        self.storage.retain(|item| item.key != key);
        let (kind, origin, key) = (StorageKind::Local, format!("https://{HOST}"), key.to_owned());
        self.push(EventKind::StorageWritten { kind, origin, key, value: None });
    }

    pub(crate) fn click(&mut self, label: &str) -> u64 {
        self.push(EventKind::Step { what: "click".to_owned() });
        self.push(EventKind::Input { kind: "click".to_owned(), target: label.to_owned(), x: 10, y: 10 })
    }

    pub(crate) fn signal(&mut self, kind: &str, value: &str) -> u64 {
        self.push(EventKind::ConsentSignal { kind: kind.to_owned(), value: value.to_owned() })
    }

    /// Waits until all is quiet and samples the profile.
    pub(crate) fn sample(&mut self, moment: &str) {
        self.push(EventKind::Quiet { reached: true, waited_ms: 800, because: None });
        self.record.samples.push(Sample {
            moment: moment.to_owned(),
            at_ms: self.record.events.len() as u64 * 10,
            events: self.record.events.len() as u64,
            cookies: self.jar.clone(),
            storage: self.storage.clone(),
        });
    }
}

/// Plays S0: load, touch nothing. `before` happens before the sample.
pub(crate) fn untouched<R>(before: impl FnOnce(&mut Play) -> R) -> VisitRecord {
    let mut play = Play::new("S0", Scenario::S0);
    before(&mut play);
    play.sample("before");
    play.record
}

/// Plays S1. `after` happens right after the refusal was clicked.
pub(crate) fn refused<R>(after: impl FnOnce(&mut Play) -> R) -> VisitRecord {
    let mut play = Play::new("S1", Scenario::S1);
    play.sample("before");
    play.click("Reject all");
    play.cookie("shop_choice", "necessary", &format!("https://{HOST}/app.js"));
    after(&mut play);
    walk_on(&mut play);
    play.record
}

/// Plays S2. `before` happens before the acceptance, `after` right after it was clicked.
pub(crate) fn accepted<Q, R>(before: impl FnOnce(&mut Play) -> Q, after: impl FnOnce(&mut Play) -> R) -> VisitRecord {
    let mut play = Play::new("S2", Scenario::S2);
    before(&mut play);
    play.sample("before");
    play.click("Accept all");
    play.cookie("shop_choice", "all", &format!("https://{HOST}/app.js"));
    after(&mut play);
    walk_on(&mut play);
    play.record
}

/// Plays S3. `after` happens right after the withdrawal was clicked.
pub(crate) fn withdrawn<Q, R>(brought: impl FnOnce(&mut Play) -> Q, after: impl FnOnce(&mut Play) -> R) -> VisitRecord {
    let mut play = Play::new("S3", Scenario::S3);
    play.sample("before");
    play.click("Accept all");
    play.cookie("shop_choice", "all", &format!("https://{HOST}/app.js"));
    brought(&mut play);
    play.sample("after-choice");
    play.load("reload");
    play.sample("after-accept-reload");
    play.click("Cookie settings");
    play.click("Reject all");
    play.cookie("shop_choice", "necessary", &format!("https://{HOST}/app.js"));
    after(&mut play);
    play.sample("after-withdrawal");
    play.load("reload");
    play.sample("after-reload");
    play.load("walk");
    play.sample("after-walk");
    play.record
}

/// Plays S4. `after` happens right after the untouched settings were saved.
pub(crate) fn saved<R>(after: impl FnOnce(&mut Play) -> R) -> VisitRecord {
    let mut play = Play::new("S4", Scenario::S4);
    play.sample("before");
    play.click("Settings");
    play.click("Save");
    play.cookie("shop_choice", "necessary", &format!("https://{HOST}/app.js"));
    after(&mut play);
    play.sample("after-choice");
    play.record
}

/// Plays a part of S5.
pub(crate) fn ignored<R>(act: &str, after: impl FnOnce(&mut Play) -> R) -> VisitRecord {
    let mut play = Play::new(&format!("S5-{act}"), Scenario::S5);
    play.sample("before");
    play.push(EventKind::Input { kind: "wheel".to_owned(), target: act.to_owned(), x: 0, y: 0 });
    after(&mut play);
    play.sample("after-choice");
    play.record
}

fn walk_on(play: &mut Play) {
    play.sample("after-choice");
    play.load("reload");
    play.sample("after-reload");
    play.load("walk");
    play.sample("after-walk");
}

/// A control, drawn as a filled button in view.
pub(crate) fn control(node: u32, label: &str, role: Role) -> Control {
    let x = 20.0 + 200.0 * (node % 10) as f32;
    Control {
        node: NodeId(node),
        label: label.to_owned(),
        icon_only: false,
        role,
        confidence: 0.98,
        vague: false,
        nature: Nature::Button,
        href: None,
        in_text: false,
        rect: Rect { x, y: 700.0, w: 160.0, h: 40.0 },
        in_reach: true,
        look: Look {
            shape: Shape::Filled,
            fill: Rgba { rgb: [32, 64, 128], alpha: 1.0 },
            text: Rgba::WHITE,
            text_contrast: 9.5,
            fill_contrast: 9.5,
            font_px: 16.0,
            font_weight: 400,
            underlined: false,
            area: 6400.0,
        },
    }
}

/// A switch that is off.
pub(crate) fn switch(node: u32, label: &str, purpose: Purpose) -> Switch {
    Switch {
        node: NodeId(node),
        click: NodeId(node),
        label: label.to_owned(),
        purpose: Some(purpose),
        on: Some(false),
        disabled: false,
        exempt: false,
        choice_of: None,
        allows: None,
        legitimate_interest: false,
        rect: Rect { x: 20.0, y: 30.0 * node as f32, w: 40.0, h: 20.0 },
    }
}

fn named(purpose: Purpose, words: &str) -> NamedPurpose {
    NamedPurpose { purpose, words: words.to_owned() }
}

fn surface(text: &str, controls: Vec<Control>, switches: Vec<Switch>) -> Surface {
    Surface {
        root: NodeId(1),
        place: Place::Document,
        rect: Rect { x: 0.0, y: 600.0, w: 1366.0, h: 168.0 },
        language: Some("en".to_owned()),
        text: text.to_owned(),
        cmp: None,
        blocks_page: false,
        backdrop: None,
        controls,
        switches,
        purposes: vec![
            named(Purpose::Necessary, "strictly necessary"),
            named(Purpose::Audience, "audience measurement"),
            named(Purpose::Advertising, "advertising"),
        ],
        statements: Statements {
            withdrawal: Some("at any time".to_owned()),
            consequences: Some("if you refuse".to_owned()),
            ..Statements::default()
        },
        confidence: 0.99,
    }
}

fn first_surface() -> Surface {
    surface(
        "Cookies: strictly necessary ones and, if you agree, audience measurement and advertising. \
         Accept all Reject all Settings 12 partners",
        vec![
            control(2, "Accept all", Role::AcceptAll),
            control(3, "Reject all", Role::RefuseAll),
            control(4, "Settings", Role::Settings),
            Control { nature: Nature::Link, ..control(5, "12 partners", Role::PartnerList) },
        ],
        Vec::new(),
    )
}

fn second_surface() -> Surface {
    let necessary =
        Switch { on: Some(true), disabled: true, exempt: true, ..switch(11, "Strictly necessary", Purpose::Necessary) };
    surface(
        "Strictly necessary Audience measurement Advertising Save Accept all",
        vec![control(15, "Save", Role::SaveSelection), control(16, "Accept all", Role::AcceptAll)],
        vec![
            necessary,
            switch(12, "Audience measurement", Purpose::Audience),
            switch(13, "Advertising", Purpose::Advertising),
        ],
    )
}

fn view(visit: &str, layer: u8, via: &[&str], surface: Surface) -> SurfaceView {
    SurfaceView {
        visit: visit.to_owned(),
        layer: Layer(layer),
        via: via.iter().map(|&label| label.to_owned()).collect(),
        url: format!("https://{HOST}/"),
        surface,
        picture: Some(format!("pictures/{}-layer-{layer}.png", visit.to_lowercase())),
        snapshot: None,
        events: 8,
    }
}

/// A path of these clicks, ending at the last click of its visit before `moment`.
pub(crate) fn path(choice: Choice, visit: &VisitRecord, moment: &str, labels: &[&str]) -> ChoicePath {
    let end = Evidence::sample(visit, moment).unwrap().events;
    let clicks = visit.events.iter().filter(|event| event.n < end && matches!(event.kind, EventKind::Input { .. }));
    let last = clicks.map(|event| event.n).max();
    let step = |(at, label): (usize, &&str)| Step {
        act: Act::Activate,
        label: (*label).to_owned(),
        layer: Layer(u8::from(choice != Choice::Refuse || visit.name != "S3" || at > 0)),
        rect: [20, 700, 160, 40],
        before: Some(format!("pictures/{}-{at}.png", visit.name.to_lowercase())),
        after: None,
        event: last,
    };
    ChoicePath {
        choice,
        steps: labels.iter().enumerate().map(step).collect(),
        proof: Proof { surface_gone: true, stored: vec!["cookie shop_choice".to_owned()], ..Proof::default() },
        visit: visit.name.clone(),
    }
}

/// Puts a visit in place of the one of the same name.
pub(crate) fn put(evidence: &mut Evidence, visit: VisitRecord) {
    evidence.visits.retain(|other| other.name != visit.name);
    evidence.visits.push(visit);
}

/// A site that does everything well, as far as can be seen.
pub(crate) fn good() -> Evidence {
    let (s0, s1) = (untouched(|_| {}), refused(|_| {}));
    let s2 = accepted(|_| {}, |play| play.trackers(2));
    let s3 = withdrawn(|play| play.trackers(3), |play| play.forget(&["_ga", "_fbp"]));
    let first = first_surface();
    let phone = crate::evidence::OtherViewport {
        viewport: (390, 844),
        visit: "S0-390x844".to_owned(),
        surface: Some(first.clone()),
        picture: Some("pictures/s0-390x844.png".to_owned()),
    };
    let effects = [Effect::Accepts, Effect::Refuses, Effect::Opens];
    let tried = first.controls.iter().zip(effects).map(|(control, effect)| Tried { control: control.clone(), effect });
    let acts = ["close", "escape", "backdrop", "scroll", "follow-link"];
    let passive = |act: &&str| Passive {
        act: (*act).to_owned(),
        visit: format!("S5-{act}"),
        effect: if *act == "close" { Effect::Unknown } else { Effect::Nothing },
    };
    let again = first.clone();
    let returns = [Choice::Refuse, Choice::Accept].into_iter().flat_map(|choice| {
        [1, 30, 175, 395].map(|days| Return { choice, days, visit: "S7".to_owned(), asked: false, picture: None })
    });
    let mut visits = vec![s0, s1.clone(), s2.clone(), s3.clone(), saved(|_| {})];
    visits.extend(acts.iter().filter(|act| **act != "close").map(|act| ignored(act, |_| {})));
    visits.extend(ENTRIES.iter().map(|(_, visit)| entered(visit, |_| {})));
    Evidence {
        site: Site {
            requested_url: format!("https://{HOST}/"),
            final_url: format!("https://{HOST}/"),
            host: HOST.to_owned(),
        },
        started_at: start(),
        elapsed_s: 9.5,
        outcome: Outcome::Inspected,
        why: None,
        environment: Environment {
            program: "vigie 0.1.0".to_owned(),
            browser: "Chrome/150.0.0.0".to_owned(),
            browser_arguments: Vec::new(),
            certificates_ignored: false,
            locale: "en-GB".to_owned(),
            viewport: (1366, 768),
            patience: "standard".to_owned(),
            machine: crate::evidence::Machine::default(),
        },
        scenarios: Scenario::BY_DEFAULT.to_vec(),
        tried: tried.collect(),
        first_layer: vec![view("S0", 1, &[], first)],
        further_layers: vec![view("S4", 2, &["Settings"], second_surface())],
        accept: Some(path(Choice::Accept, &s2, "after-choice", &["Accept all"])),
        refuse: Some(path(Choice::Refuse, &s1, "after-choice", &["Reject all"])),
        withdraw: Some(path(Choice::Refuse, &s3, "after-withdrawal", &["Cookie settings", "Reject all"])),
        way_back: vec![(format!("https://{HOST}/"), Some("Cookie settings".to_owned()))],
        search: SearchBound { max_clicks: 14, states: 3 },
        passive: acts.iter().map(passive).collect(),
        other_viewports: vec![phone],
        keyboard: Vec::new(),
        certificates: std::collections::BTreeMap::new(),
        aliases: std::collections::BTreeMap::new(),
        disclosures: Vec::new(),
        withdrawal_layers: vec![view("S3", 1, &["Cookie settings"], again)],
        entries: ENTRIES.iter().map(|(way, visit)| entry(*way, visit)).collect(),
        returns: returns.collect(),
        visits,
        gaps: Vec::new(),
    }
}

const ENTRIES: [(Way, &str); 2] = [(Way::DeepLink, "S6-deep-link"), (Way::Advertisement, "S6-advertisement")];

fn entry(way: Way, visit: &str) -> Entry {
    let url = format!("https://{HOST}/in");
    Entry { way, url, visit: visit.to_owned(), status: 200, banner: true, picture: None }
}

/// A visit that enters by another way.
pub(crate) fn entered<R>(name: &str, before: impl FnOnce(&mut Play) -> R) -> VisitRecord {
    VisitRecord { name: name.to_owned(), scenario: Some(Scenario::S6), ..untouched(before) }
}

/// A site without a banner that stores nothing.
pub(crate) fn plain() -> Evidence {
    Evidence {
        first_layer: Vec::new(),
        further_layers: Vec::new(),
        tried: Vec::new(),
        accept: None,
        refuse: None,
        withdraw: None,
        way_back: Vec::new(),
        withdrawal_layers: Vec::new(),
        entries: Vec::new(),
        returns: Vec::new(),
        passive: Vec::new(),
        other_viewports: Vec::new(),
        keyboard: Vec::new(),
        visits: vec![untouched(|_| {})],
        ..good()
    }
}

/// The first layer's surface.
pub(crate) fn first(evidence: &mut Evidence) -> &mut Surface {
    &mut evidence.first_layer[0].surface
}

/// The second layer's surface.
pub(crate) fn second(evidence: &mut Evidence) -> &mut Surface {
    &mut evidence.further_layers[0].surface
}

/// Takes a control out of the first layer, on every screen and from what was tried.
pub(crate) fn remove(evidence: &mut Evidence, role: Role) {
    first(evidence).controls.retain(|control| control.role != role);
    for other in &mut evidence.other_viewports {
        if let Some(surface) = &mut other.surface {
            surface.controls.retain(|control| control.role != role);
        }
    }
    evidence.tried.retain(|tried| tried.control.role != role);
}

/// Changes the control of this role of the first layer.
pub(crate) fn change(evidence: &mut Evidence, role: Role, with: impl Fn(&mut Control)) {
    first(evidence).controls.iter_mut().filter(|control| control.role == role).for_each(&with);
    evidence.tried.iter_mut().map(|tried| &mut tried.control).filter(|control| control.role == role).for_each(&with);
    for other in &mut evidence.other_viewports {
        if let Some(surface) = &mut other.surface {
            surface.controls.iter_mut().filter(|control| control.role == role).for_each(&with);
        }
    }
}
