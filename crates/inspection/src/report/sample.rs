//! A made-up inspection for the tests of this folder: a site whose banner refuses only on its second layer.

use crate::{
    evidence::{
        Act, ChoicePath, Effect, Environment, Evidence, OtherViewport, Outcome, Passive, Proof, SearchBound, Site,
        Step, SurfaceView, Tried,
    },
    wire::{Banner, Clicks, Cookie, FirstLayer, Inspection, Kept, Preticked, SCHEMA, Scan, Storage, Tracker, Visit},
};
use jiff::Timestamp;
use vigie_banner::{
    Surface,
    model::{Control, Look, NamedPurpose, Nature, Place, Role, Shape, Statements, Switch},
};
use vigie_domain::{
    Certainty, Choice, Finding, Layer, NodeId, Purpose, Rect, RuleId, Scenario, Severity, Verdict, VisitRecord,
    finding::EvidenceRef,
    page::Rgba,
    record::{Event, EventKind, VisitEnd, Writer},
};

/// The site's host.
pub const HOST: &str = "clips.example";

/// When it began.
pub fn started() -> Timestamp {
    "2026-11-22T10:15:00Z".parse().unwrap()
}

/// What was observed.
pub fn evidence() -> Evidence {
    Evidence {
        site: Site {
            requested_url: "https://clips.example".into(),
            final_url: "https://clips.example/".into(),
            host: HOST.into(),
        },
        started_at: started(),
        elapsed_s: 14.2,
        outcome: Outcome::Inspected,
        why: None,
        environment: Environment {
            program: "Vigie 0.1.0".into(),
            browser: "Chromium 156.0.8078.79".into(),
            browser_arguments: vec!["--host-resolver-rules=MAP *.example 127.0.0.1:8443".into()],
            certificates_ignored: true,
            locale: "en-GB".into(),
            viewport: (1366, 768),
            patience: "standard".into(),
            machine: crate::evidence::Machine::default(),
        },
        scenarios: vec![Scenario::S0, Scenario::S1, Scenario::S2, Scenario::S3, Scenario::S4],
        first_layer: vec![view(Layer(1), &[], first_surface(), "pictures/s0-first-layer.png")],
        further_layers: vec![view(Layer(2), &["Manage settings"], second_surface(), "pictures/second-layer.png")],
        tried: vec![
            Tried { control: manage(), effect: Effect::Opens },
            Tried { control: accept(), effect: Effect::Accepts },
        ],
        accept: Some(path(Choice::Accept, "S2", vec![click("Accept all", 1, ACCEPT, "s2-before", "s2-after")])),
        refuse: Some(path(
            Choice::Refuse,
            "S1",
            vec![
                click("Manage settings", 1, MANAGE, "s1-before", "s1-open"),
                Step { act: Act::TurnOff, ..click("Analytics cookies", 2, ANALYTICS, "s1-open", "s1-one") },
                Step { act: Act::TurnOff, ..click("Marketing cookies", 2, MARKETING, "s1-one", "s1-two") },
                click("Save", 2, SAVE, "s1-two", "s1-after"),
            ],
        )),
        withdraw: None,
        way_back: vec![
            ("https://clips.example/p/1".into(), Some("Cookie settings".into())),
            ("https://clips.example/p/2".into(), None),
        ],
        search: SearchBound { max_clicks: 5, states: 17 },
        passive: vec![Passive { act: "escape".into(), visit: "S5-escape".into(), effect: Effect::Nothing }],
        other_viewports: vec![OtherViewport {
            viewport: (390, 844),
            visit: "S0-390x844".into(),
            surface: None,
            picture: Some("pictures/s0-390x844.png".into()),
        }],
        keyboard: Vec::new(),
        certificates: std::collections::BTreeMap::new(),
        aliases: std::collections::BTreeMap::new(),
        disclosures: Vec::new(),
        withdrawal_layers: Vec::new(),
        entries: Vec::new(),
        returns: Vec::new(),
        visits: vec![visit(Scenario::S0), visit(Scenario::S1), visit(Scenario::S2)],
        gaps: vec!["subdomains were not visited".into()],
    }
}

/// What was judged of it.
pub fn document() -> Inspection {
    let evidence = evidence();
    Inspection {
        schema: SCHEMA.into(),
        site: evidence.site.clone(),
        outcome: evidence.outcome,
        why: None,
        banner: Banner {
            seen: true,
            place: Some(Place::Document),
            language: Some("en".into()),
            cmp: None,
            text: Some(FIRST_TEXT.into()),
            blocks_page: false,
            surfaces: 1,
        },
        first_layer: FirstLayer { accept: true, settings: true, ..FirstLayer::default() },
        clicks: Clicks { accept: Some(1), refuse: Some(4), withdraw: None },
        search: evidence.search,
        preticked: vec![
            Preticked { label: "Analytics cookies".into(), layer: 2 },
            Preticked { label: "Marketing cookies".into(), layer: 2 },
        ],
        visits: vec![
            wire_visit("S0", &["_ttp"], 14),
            wire_visit("S1", &["_ttp", "choice", "x1"], 31),
            wire_visit("S2", &["_ttp", "choice", "x1", "_ga"], 58),
        ],
        findings: findings(),
        evidence: Some(Kept { bundle: "clips.example-20261122T101500Z.wacz".into(), sha256: "9f2c".repeat(16) }),
        report: None,
        elapsed_s: 14.2,
        questions: Vec::new(),
        gaps: evidence.gaps.clone(),
        other_viewports: Vec::new(),
        keyboard: Vec::new(),
        environment: evidence.environment,
    }
}

const FIRST_TEXT: &str = "We use cookies to improve your experience on our services, to analyse traffic and to show \
     you personalised ads. By choosing “Accept all” you agree to this. Cookies Policy Manage settings Accept all";
const ACCEPT: [i32; 4] = [143, 708, 147, 42];
const MANAGE: [i32; 4] = [40, 720, 103, 18];
const ANALYTICS: [i32; 4] = [449, 188, 44, 24];
const MARKETING: [i32; 4] = [449, 226, 44, 24];
const SAVE: [i32; 4] = [449, 264, 46, 21];

fn view(layer: Layer, via: &[&str], surface: Surface, picture: &str) -> SurfaceView {
    SurfaceView {
        visit: "S0".into(),
        layer,
        via: via.iter().map(|&label| label.to_owned()).collect(),
        url: "https://clips.example/".into(),
        surface,
        picture: Some(picture.into()),
        snapshot: None,
        events: 200,
    }
}

fn surface(rect: Rect, text: &str, controls: Vec<Control>, switches: Vec<Switch>) -> Surface {
    Surface {
        root: NodeId(10),
        place: Place::Document,
        rect,
        language: Some("en".into()),
        text: text.into(),
        cmp: None,
        blocks_page: false,
        backdrop: None,
        controls,
        switches,
        purposes: Vec::new(),
        statements: Statements::default(),
        confidence: 0.97,
    }
}

fn first_surface() -> Surface {
    let rect = Rect { x: 0.0, y: 673.0, w: 1366.0, h: 95.0 };
    Surface {
        purposes: vec![
            NamedPurpose { purpose: Purpose::Audience, words: "analyse traffic".into() },
            NamedPurpose { purpose: Purpose::Advertising, words: "personalised ads".into() },
        ],
        statements: Statements { imprecise: vec!["improve your experience".into()], ..Statements::default() },
        ..surface(rect, FIRST_TEXT, vec![manage(), accept()], Vec::new())
    }
}

fn second_surface() -> Surface {
    let save = control(5, "Save", Role::SaveSelection, SAVE, look(Shape::Filled, [239; 3], [0; 3], 13.3));
    let deny = control(6, "Deny", Role::RefuseAll, [500, 264, 46, 21], look(Shape::Plain, [255; 3], [170; 3], 11.0));
    let rect = Rect { x: 423.0, y: 80.0, w: 532.0, h: 231.0 };
    let text = "Manage cookie settings. Necessary cookies are always on. Analytics: measure how the service is used. \
         Marketing: show you ads on other sites. Save Deny";
    let switches = vec![
        switch(20, "Analytics cookies", Purpose::Audience, ANALYTICS),
        switch(21, "Marketing cookies", Purpose::Advertising, MARKETING),
    ];
    surface(rect, text, vec![save, deny], switches)
}

fn accept() -> Control {
    control(3, "Accept all", Role::AcceptAll, ACCEPT, look(Shape::Filled, [254, 44, 85], [255; 3], 16.0))
}

fn manage() -> Control {
    let control =
        control(4, "Manage settings", Role::Settings, MANAGE, look(Shape::Plain, [255; 3], [22, 24, 35], 14.0));
    Control { nature: Nature::Link, ..control }
}

fn control(node: u32, label: &str, role: Role, rect: [i32; 4], look: Look) -> Control {
    let [x, y, w, h] = rect.map(|side| side as f32);
    Control {
        node: NodeId(node),
        label: label.into(),
        icon_only: false,
        role,
        confidence: 0.9,
        vague: false,
        nature: Nature::Button,
        href: None,
        in_text: false,
        rect: Rect { x, y, w, h },
        in_reach: true,
        look: Look { area: w * h, ..look },
    }
}

fn look(shape: Shape, fill: [u8; 3], text: [u8; 3], font_px: f32) -> Look {
    let opaque = |rgb| Rgba { rgb, alpha: 1.0 };
    let (fill, text) = (opaque(fill), opaque(text));
    Look {
        shape,
        fill,
        text,
        text_contrast: text.contrast(fill),
        fill_contrast: fill.contrast(Rgba::WHITE),
        font_px,
        font_weight: 600,
        underlined: false,
        area: 0.0,
    }
}

fn switch(node: u32, label: &str, purpose: Purpose, rect: [i32; 4]) -> Switch {
    let [x, y, w, h] = rect.map(|side| side as f32);
    Switch {
        node: NodeId(node),
        click: NodeId(node),
        label: label.into(),
        purpose: Some(purpose),
        on: Some(true),
        disabled: false,
        exempt: false,
        choice_of: None,
        allows: None,
        legitimate_interest: false,
        rect: Rect { x, y, w, h },
    }
}

fn path(choice: Choice, visit: &str, steps: Vec<Step>) -> ChoicePath {
    let proof = Proof {
        surface_gone: true,
        stored: vec!["cookie cookie-consent".into()],
        remembered: Some(true),
        ..Proof::default()
    };
    ChoicePath { choice, steps, proof, visit: visit.into() }
}

fn click(label: &str, layer: u8, rect: [i32; 4], before: &str, after: &str) -> Step {
    Step {
        act: Act::Activate,
        label: label.into(),
        layer: Layer(layer),
        rect,
        before: Some(format!("pictures/{before}.png")),
        after: Some(format!("pictures/{after}.png")),
        event: Some(212),
    }
}

fn visit(scenario: Scenario) -> VisitRecord {
    let written = EventKind::CookieWritten {
        name: "_ttp".into(),
        raw: "_ttp=2abc".into(),
        writer: Writer::Script { stack: vec!["https://analytics.tiktok.com/i18n/pixel/events.js?sdkid=CRPS".into()] },
        deleted: false,
    };
    VisitRecord {
        name: scenario.to_string(),
        scenario: Some(scenario),
        started_at: started(),
        viewport: (1366, 768),
        locale: "en-GB".into(),
        requested_url: "https://clips.example".into(),
        final_url: "https://clips.example/".into(),
        status: 200,
        end: VisitEnd::Completed,
        events: vec![Event { n: 41, at_ms: 1404, document: None, kind: written }],
        samples: Vec::new(),
        gaps: if scenario == Scenario::S1 { vec!["a frame closed before it could be read".into()] } else { Vec::new() },
    }
}

fn wire_visit(scenario: &str, cookies: &[&str], requests: u64) -> Visit {
    let all = [
        (
            "_ttp",
            "clips.example",
            "first",
            Some(33_696_000.0),
            "advertising",
            Some(false),
            "Open Cookie Database: TikTok",
        ),
        ("choice", "clips.example", "first", Some(15_552_000.0), "consent", Some(true), "written by the choice"),
        ("x1", "cdn.partner.example", "third", None, "unknown", None, "nothing sufficient"),
        ("_ga", "clips.example", "first", Some(63_072_000.0), "audience", Some(false), "Open Cookie Database: Google"),
    ];
    let cookies = all.into_iter().filter(|cookie| cookies.contains(&cookie.0)).map(
        |(name, domain, party, lifetime_s, class, exempt, why)| Cookie {
            name: name.into(),
            domain: domain.into(),
            path: "/".into(),
            party: party.into(),
            http_only: false,
            lifetime_s,
            set_by: Some(format!("https://{domain}/{name}.js")),
            blocked: None,
            class: class.into(),
            exempt,
            why: why.into(),
        },
    );
    Visit {
        scenario: scenario.into(),
        name: None,
        cookies: cookies.collect(),
        storage: vec![Storage {
            kind: "local".into(),
            origin: "https://clips.example".into(),
            key: "theme".into(),
            class: "preference".into(),
            exempt: Some(true),
            why: "a setting of the visitor".into(),
        }],
        trackers: vec![Tracker {
            host: "analytics.tiktok.com".into(),
            requests: 2,
            why: "EasyPrivacy".into(),
            class: "advertising".into(),
        }],
        fingerprinting: vec![Scan {
            api: "HTMLCanvasElement.toDataURL".into(),
            script: Some("https://analytics.tiktok.com/i18n/pixel/events.js".into()),
            egress: true,
        }],
        requests,
    }
}

fn findings() -> Vec<Finding> {
    let breach = |rule, severity, certainty, summary: &str, evidence| {
        finding(rule, Verdict::Breach, severity, certainty, summary, evidence)
    };
    let other = |rule, verdict, summary: &str| {
        finding(rule, verdict, Severity::Major, Certainty::Heuristic, summary, Vec::new())
    };
    let picture = |path: &str, crop| EvidenceRef {
        visit: "S0".into(),
        picture: Some(path.into()),
        crop: Some(crop),
        ..EvidenceRef::default()
    };
    let event = EvidenceRef {
        visit: "S0".into(),
        event: Some(41),
        what: Some("_ttp, an advertising cookie of TikTok".into()),
        ..EvidenceRef::default()
    };
    vec![
        other(11, Verdict::NotApplicable, "no control refuses on the first layer"),
        breach(
            5,
            Severity::Blocking,
            Certainty::Deterministic,
            "the first layer accepts in 1 click and offers no refusal",
            vec![picture("pictures/s0-first-layer.png", [0, 673, 1366, 95])],
        ),
        breach(
            1,
            Severity::Blocking,
            Certainty::Deterministic,
            "before any choice, 1 cookie that needs consent was written: _ttp",
            vec![event],
        ),
        breach(
            9,
            Severity::Major,
            Certainty::Heuristic,
            "the control that refuses is smaller and paler than the one that accepts",
            vec![picture("pictures/second-layer.png", [500, 264, 46, 21])],
        ),
        other(23, Verdict::Conform, "one surface asks for consent"),
        other(31, Verdict::Inconclusive, "no way to withdraw was found, so nothing could be compared"),
    ]
}

fn finding(
    rule: u8,
    verdict: Verdict,
    severity: Severity,
    certainty: Certainty,
    summary: &str,
    evidence: Vec<EvidenceRef>,
) -> Finding {
    let rule = crate::catalogue::Catalogue::bundled().rule(RuleId::ck(rule));
    let asks = verdict == Verdict::Breach && rule.question.is_some();
    Finding {
        rule: rule.id,
        title: rule.title.clone(),
        verdict,
        severity,
        certainty,
        summary: summary.into(),
        evidence,
        questions: if asks { rule.question.clone().into_iter().collect() } else { Vec::new() },
        sources: rule.sources.iter().map(|source| source.cite.clone()).collect(),
    }
}
