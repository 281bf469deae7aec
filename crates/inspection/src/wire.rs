//! The document that `vigie inspect --json` prints: `vigie-inspection/1`.
//!
//! Other people's scripts read it, so a field is added freely and renamed or removed only with a new version number.
//! Its JSON Schema is `schemas/inspection-1.json`; a test keeps both alike.

use crate::{
    classify::{Classified, CookieFact, StorageFact, TrackerFact, VisitFacts, class_word},
    evidence::{ByKeyboard, Environment, Evidence, OtherViewport, Outcome, SearchBound, Site},
    judge::{looks, offer},
};
use serde::{Deserialize, Serialize};
use vigie_banner::model::Place;
use vigie_domain::{Finding, Scenario};
use vigie_trackers::Party;

/// The schema's name and version.
pub const SCHEMA: &str = "vigie-inspection/1";

/// One inspection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The site.
    pub site: Site,
    /// How it ended. Only `inspected` may carry `conform` verdicts.
    pub outcome: Outcome,
    /// Why, where it is not `inspected`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The banner.
    pub banner: Banner,
    /// What the first layer offers in one activation each.
    pub first_layer: FirstLayer,
    /// Least number of activations; `None` where no path was found within `search`.
    pub clicks: Clicks,
    /// How far the search for paths went.
    pub search: SearchBound,
    /// Switches of non-exempt purposes that are on when first shown, at any layer.
    pub preticked: Vec<Preticked>,
    /// Visits that play a scenario; those of S5 have a `name` besides.
    pub visits: Vec<Visit>,
    /// What was found under each of the forty rules, in order.
    pub findings: Vec<Finding>,
    /// Where the evidence is kept; `None` where nothing was kept.
    pub evidence: Option<Kept>,
    /// The report's path, where one was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    /// How long it took, in seconds.
    pub elapsed_s: f64,
    /// What to ask the controller, each question once.
    pub questions: Vec<String>,
    /// What could not be observed, in sentences.
    pub gaps: Vec<String>,
    /// The first layer on other screens.
    pub other_viewports: Vec<OtherScreen>,
    /// Controls of the first layer that were tried with the keyboard.
    pub keyboard: Vec<ByKeyboard>,
    /// Machine and program.
    pub environment: Environment,
}

/// The banner.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Banner {
    /// Whether one was seen.
    pub seen: bool,
    /// Where it lives; `None` without one.
    #[serde(rename = "where")]
    pub place: Option<Place>,
    /// The language of its text, as ISO 639-1.
    pub language: Option<String>,
    /// The consent tool, if it is a known one.
    pub cmp: Option<String>,
    /// Its text, white space folded.
    pub text: Option<String>,
    /// Whether it keeps the rest of the page from being used.
    pub blocks_page: bool,
    /// How many consent surfaces showed at once.
    pub surfaces: usize,
}

/// What the first layer offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FirstLayer {
    /// A labelled control accepts everything.
    pub accept: bool,
    /// A labelled control refuses everything that is not exempt.
    pub refuse: bool,
    /// A control opens further choices without leaving the page.
    pub settings: bool,
    /// A cross, or another control that only closes.
    pub close: bool,
    /// Switches are shown, and saving them untouched refuses.
    pub refuse_by_saving: bool,
    /// Whether acceptance and refusal are drawn alike; `None` if only one is there or it is a matter of judgement.
    pub equal_prominence: Option<bool>,
}

/// Least numbers of activations from the first display.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Clicks {
    /// To accept everything.
    pub accept: Option<u32>,
    /// To refuse everything.
    pub refuse: Option<u32>,
    /// To withdraw after accepting and reloading.
    pub withdraw: Option<u32>,
}

/// A switch that is on when first shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preticked {
    /// What it is for, in the surface's words.
    pub label: String,
    /// The layer.
    pub layer: u8,
}

/// A visit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Visit {
    /// `S0` to `S9`.
    pub scenario: String,
    /// The visit's own name, where it is another: `S5-escape`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The jar at the end of the visit, and what the browser refused.
    pub cookies: Vec<Cookie>,
    /// Storage at the end of the visit.
    pub storage: Vec<Storage>,
    /// Hosts of trackers that were asked for something: in S0 and S8 during the visit, else after what the visit is
    /// about was done (the refusal, the acceptance, the withdrawal, the saving, the passive act).
    pub trackers: Vec<Tracker>,
    /// Uses of interfaces that tell devices apart, likewise.
    pub fingerprinting: Vec<Scan>,
    /// How many requests were made during the whole visit.
    pub requests: u64,
}

/// A cookie.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cookie {
    /// Its name.
    pub name: String,
    /// Its domain, without a leading dot.
    pub domain: String,
    /// Its path.
    pub path: String,
    /// `first` or `third`.
    pub party: String,
    /// Hidden from scripts.
    pub http_only: bool,
    /// How long it was to live from its last writing, in whole seconds; `None` for a session cookie.
    #[serde(serialize_with = "whole")]
    pub lifetime_s: Option<f64>,
    /// The address that answers for the last write.
    pub set_by: Option<String>,
    /// Why the browser refused it; `None` if it is in the jar.
    pub blocked: Option<String>,
    /// What it is for.
    pub class: String,
    /// Whether it needs no consent; `None` for unknown.
    pub exempt: Option<bool>,
    /// Why we hold that.
    pub why: String,
}

/// A storage entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    /// `local`, `session`, `indexed-db`, `cache-api`.
    pub kind: String,
    /// The origin.
    pub origin: String,
    /// The key, database or cache name.
    pub key: String,
    /// What it is for.
    pub class: String,
    /// Whether it needs no consent; `None` for unknown.
    pub exempt: Option<bool>,
    /// Why we hold that.
    pub why: String,
}

/// A tracker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracker {
    /// The host.
    pub host: String,
    /// How many requests went there, likewise.
    pub requests: u64,
    /// Why it is one.
    pub why: String,
    /// What it is for.
    pub class: String,
}

/// A use of an interface that tells devices apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scan {
    /// The interface.
    pub api: String,
    /// The script.
    pub script: Option<String>,
    /// Whether something was sent afterwards.
    pub egress: bool,
}

/// The first layer on another screen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherScreen {
    /// Width and height in CSS pixels.
    pub viewport: (u32, u32),
    /// Whether a banner was seen there.
    pub seen: bool,
    /// Whether all of a control that accepts is in view.
    pub accept_in_view: bool,
    /// Whether all of a control that refuses is in view.
    pub refuse_in_view: bool,
}

/// Where the evidence is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The bundle's name.
    pub bundle: String,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

impl Inspection {
    /// Puts the document together. Where the evidence is kept is said later ([`Self::set_evidence`]).
    pub fn new(evidence: &Evidence, classified: &Classified, findings: &[Finding]) -> Self {
        let offered = offer::first_layer(evidence);
        let mut questions: Vec<String> = Vec::new();
        for question in findings.iter().flat_map(|finding| &finding.questions) {
            if !questions.contains(question) {
                questions.push(question.clone());
            }
        }
        Self {
            schema: SCHEMA.to_owned(),
            site: evidence.site.clone(),
            outcome: evidence.outcome,
            why: evidence.why.clone(),
            banner: banner(evidence),
            first_layer: FirstLayer {
                accept: offered.accept,
                refuse: offered.refuse,
                settings: offered.settings,
                close: offered.close,
                refuse_by_saving: offered.refuse_by_saving,
                equal_prominence: looks::equal_prominence(evidence),
            },
            clicks: Clicks {
                accept: evidence.accept.as_ref().map(crate::evidence::ChoicePath::clicks),
                refuse: evidence.refuse.as_ref().map(crate::evidence::ChoicePath::clicks),
                withdraw: evidence.withdraw.as_ref().map(crate::evidence::ChoicePath::clicks),
            },
            search: evidence.search,
            preticked: preticked(evidence),
            visits: classified.visits.iter().filter_map(visit).collect(),
            findings: findings.to_vec(),
            evidence: None,
            report: None,
            elapsed_s: (evidence.elapsed_s * 1000.0).round() / 1000.0,
            questions,
            gaps: evidence.gaps.clone(),
            other_viewports: evidence.other_viewports.iter().map(|other| other_screen(evidence, other)).collect(),
            keyboard: evidence.keyboard.clone(),
            environment: evidence.environment.clone(),
        }
    }

    /// Says where the evidence is kept.
    pub fn set_evidence(&mut self, bundle: &str, sha256: &str) {
        self.evidence = Some(Kept { bundle: bundle.to_owned(), sha256: sha256.to_owned() });
    }
}

fn banner(evidence: &Evidence) -> Banner {
    let Some(view) = evidence.first_layer.first() else { return Banner::default() };
    let surface = &view.surface;
    Banner {
        seen: true,
        place: Some(surface.place),
        language: surface.language.clone(),
        cmp: surface.cmp.clone(),
        text: Some(surface.text.clone()),
        blocks_page: evidence.first_layer.iter().any(|view| view.surface.blocks_page),
        surfaces: evidence.first_layer.len(),
    }
}

fn preticked(evidence: &Evidence) -> Vec<Preticked> {
    let shown = offer::switches(evidence).into_iter().filter(|shown| shown.allows() == Some(true));
    shown.map(|shown| Preticked { label: shown.switch.label.clone(), layer: shown.view.layer.0 }).collect()
}

/// Returns a visit that plays a scenario; the same scenario on another screen is in `other_viewports`.
fn visit(facts: &VisitFacts) -> Option<Visit> {
    let scenario = facts.scenario?;
    let code = scenario.to_string();
    let is_part = facts.name != code;
    if is_part && scenario != Scenario::S5 {
        return None;
    }
    Some(Visit {
        scenario: code,
        name: is_part.then(|| facts.name.clone()),
        cookies: facts
            .cookies
            .iter()
            .filter(|cookie| cookie.traces.at_end || cookie.blocked.is_some())
            .map(cookie)
            .collect(),
        storage: facts.storage.iter().filter(|item| item.traces.at_end).map(storage).collect(),
        trackers: facts.trackers.iter().filter_map(|tracker| tracker_after(facts, tracker)).collect(),
        fingerprinting: facts
            .scans
            .iter()
            .filter(|scan| facts.choice.is_none_or(|choice| scan.event > choice))
            .map(|scan| Scan { api: scan.api.clone(), script: scan.script.clone(), egress: scan.egress.is_some() })
            .collect(),
        requests: facts.requests.len() as u64,
    })
}

/// Returns a tracker with its requests after the choice, if there were any that show it.
fn tracker_after(facts: &VisitFacts, tracker: &TrackerFact) -> Option<Tracker> {
    let asked = facts.requests_after(facts.choice).filter(|request| request.host == tracker.host);
    let (matched, others): (Vec<_>, Vec<_>) = asked.partition(|request| request.tracker.is_some());
    let others = if tracker.is_own_host { 0 } else { others.len() };
    (!matched.is_empty()).then(|| Tracker {
        host: tracker.host.clone(),
        requests: (matched.len() + others) as u64,
        why: tracker.why.clone(),
        class: class_word(tracker.class).to_owned(),
    })
}

fn cookie(fact: &CookieFact) -> Cookie {
    Cookie {
        name: fact.name.clone(),
        domain: fact.domain.clone(),
        path: fact.path.clone(),
        party: match fact.party {
            Party::First => "first",
            Party::Third => "third",
        }
        .to_owned(),
        http_only: fact.http_only,
        lifetime_s: fact.lifetime_s.map(|seconds| seconds as f64),
        set_by: fact.set_by.clone(),
        blocked: fact.blocked.clone(),
        class: class_word(fact.is.class).to_owned(),
        exempt: fact.is.exempt,
        why: fact.is.why.clone(),
    }
}

fn storage(fact: &StorageFact) -> Storage {
    use vigie_domain::record::StorageKind;
    Storage {
        kind: match fact.kind {
            StorageKind::Local => "local",
            StorageKind::Session => "session",
            StorageKind::IndexedDb => "indexed-db",
            StorageKind::CacheApi => "cache-api",
        }
        .to_owned(),
        origin: fact.origin.clone(),
        key: fact.key.clone(),
        class: class_word(fact.is.class).to_owned(),
        exempt: fact.is.exempt,
        why: fact.is.why.clone(),
    }
}

fn other_screen(evidence: &Evidence, other: &OtherViewport) -> OtherScreen {
    let surface = other.surface.as_ref();
    OtherScreen {
        viewport: other.viewport,
        seen: surface.is_some(),
        accept_in_view: surface
            .is_some_and(|surface| offer::acceptances(evidence, surface).any(|control| control.in_reach)),
        refuse_in_view: surface
            .is_some_and(|surface| offer::refusals(evidence, surface).any(|control| control.in_reach)),
    }
}

#[expect(clippy::ref_option, reason = "the signature that serde calls")]
fn whole<S: serde::Serializer>(seconds: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match seconds {
        Some(seconds) => serializer.serialize_i64(seconds.round() as i64),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::tests::{build, classifier, findings, rich};
    use serde_json::{Value, json};

    fn document(evidence: &Evidence) -> Inspection {
        let classified = crate::classify::classify(evidence, classifier());
        let mut document = Inspection::new(evidence, &classified, &findings(evidence));
        document.set_evidence("shop.test-20261122T100000Z", &"0".repeat(64));
        document
    }

    fn schema() -> Value {
        serde_json::from_str(include_str!("../../../schemas/inspection-1.json")).unwrap()
    }

    /// Checks a value against the few words of JSON Schema that ours uses; every key has to be described there.
    fn check(value: &Value, schema: &Value, root: &Value, at: &str) {
        if let Some(name) = schema["$ref"].as_str() {
            return check(value, &root["$defs"][name.trim_start_matches("#/$defs/")], root, at);
        }
        if let Some(all) = schema["anyOf"].as_array() {
            let other = if value.is_null() { json!({"type": "null"}) } else { all[0].clone() };
            return check(value, &other, root, at);
        }
        if let Some(known) = schema["enum"].as_array() {
            assert!(known.contains(value), "{at}: {value} is not one of {known:?}");
            return;
        }
        if let Some(only) = schema.get("const") {
            assert_eq!(value, only, "{at}");
            return;
        }
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let types = &schema["type"];
        let allows =
            |name: &str| types == name || types.as_array().is_some_and(|all| all.iter().any(|one| one == name));
        assert!(allows(kind) || (kind == "integer" && allows("number")), "{at} is {kind}, the schema says {types}");
        match value {
            Value::Array(items) => {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(n, item)| check(item, &schema["items"], root, &format!("{at}/{n}")));
            }
            Value::Object(fields) => {
                for (key, value) in fields {
                    let described = &schema["properties"][key];
                    assert!(!described.is_null(), "{at}/{key} is not in the schema");
                    check(value, described, root, &format!("{at}/{key}"));
                }
                for required in schema["required"].as_array().unwrap() {
                    assert!(fields.contains_key(required.as_str().unwrap()), "{at} lacks {required}");
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_document_is_as_the_schema_says() {
        for evidence in [build::good(), build::plain(), rich()] {
            check(&serde_json::to_value(document(&evidence)).unwrap(), &schema(), &schema(), "");
        }
    }

    #[test]
    fn a_document_reads_back_as_it_was() {
        let document = document(&rich());
        let text = serde_json::to_string(&document).unwrap();
        assert_eq!(serde_json::from_str::<Inspection>(&text).unwrap(), document);
    }

    #[test]
    fn the_fields_of_the_contract_are_there() {
        let value = serde_json::to_value(document(&rich())).unwrap();
        assert_eq!(value["schema"], "vigie-inspection/1");
        assert_eq!(value["site"]["host"], build::HOST);
        assert_eq!(value["outcome"], "inspected");
        assert_eq!(value["banner"]["where"], "document");
        assert_eq!(value["first_layer"]["accept"], true);
        assert_eq!(value["first_layer"]["refuse"], true);
        assert_eq!(value["clicks"], json!({"accept": 1, "refuse": 1, "withdraw": 4}));
        assert_eq!(value["preticked"], json!([{"label": "Advertising", "layer": 2}]));
        assert_eq!(value["findings"].as_array().unwrap().len(), 40);
        let visits = value["visits"].as_array().unwrap().iter();
        let mut cookies = visits.flat_map(|visit| visit["cookies"].as_array().unwrap());
        let ga = cookies.find(|cookie| cookie["name"] == "_ga").unwrap();
        assert_eq!(ga["lifetime_s"].to_string(), "31536000");
        assert_eq!((&ga["exempt"], &ga["class"], &ga["party"]), (&json!(false), &json!("audience"), &json!("first")));
    }

    #[test]
    fn trackers_of_a_visit_with_a_choice_are_those_asked_after_it() {
        let mut evidence = build::good();
        let mut play = build::Play::new("S1", Scenario::S1);
        play.trackers(1);
        play.sample("before");
        play.click("Reject all");
        play.request("https://www.facebook.com/tr?id=1&ev=Click", "image");
        for moment in ["after-choice", "after-reload", "after-walk"] {
            play.sample(moment);
        }
        build::put(&mut evidence, play.record);
        let visit = evidence.visit(Scenario::S1).unwrap().clone();
        evidence.refuse = Some(build::path(vigie_domain::Choice::Refuse, &visit, "after-choice", &["Reject all"]));
        let document = document(&evidence);
        let s1 = document.visits.iter().find(|visit| visit.scenario == "S1").unwrap();
        let hosts: Vec<_> = s1.trackers.iter().map(|tracker| (tracker.host.as_str(), tracker.requests)).collect();
        assert_eq!(hosts, [("www.facebook.com", 1)]);
    }

    #[test]
    fn parts_of_s5_are_told_apart_and_other_screens_are_elsewhere() {
        let mut evidence = build::good();
        let mut phone = build::untouched(|_| {});
        phone.name = "S0-390x844".to_owned();
        evidence.visits.push(phone);
        let document = document(&evidence);
        let s5: Vec<_> =
            document.visits.iter().filter(|visit| visit.scenario == "S5").map(|visit| &visit.name).collect();
        assert!(s5.iter().all(|name| name.is_some()) && s5.len() == 4);
        assert_eq!(document.visits.iter().filter(|visit| visit.scenario == "S0").count(), 1);
        assert!(document.other_viewports[0].accept_in_view && document.other_viewports[0].refuse_in_view);
    }
}
