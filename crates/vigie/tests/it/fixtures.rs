//! Every fixture site against its `expected.json`.

use crate::{World, trial, twice};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use vigie_testkit::expected::{Expected, fixture_sites, read_all};

pub fn trials(world: &Arc<World>) -> Vec<Trial> {
    let sites = read_all(&fixture_sites()).expect("every expected.json is readable");
    let of = |(id, expected): (String, Expected)| {
        let name = format!("fixture::{id}");
        let check = move |world: &World| {
            twice(world, &url(&id), &["--timeout", "150"], answer(world, &id), |answer| check(&id, &expected, answer))
        };
        trial(world, name, check)
    };
    sites.into_iter().map(of).collect()
}

fn url(id: &str) -> String {
    format!("https://{id}.test/")
}

fn answer<'a>(world: &'a World, id: &str) -> &'a Value {
    answers(world).get(&url(id)).unwrap_or(&Value::Null)
}

/// Returns the answers on all fixture sites, by address; inspects them at the first call.
pub fn answers(world: &World) -> &BTreeMap<String, Value> {
    world.fixtures.get_or_init(|| {
        let sites = read_all(&fixture_sites()).expect("every expected.json is readable");
        let urls: Vec<String> = sites.iter().map(|(id, _)| url(id)).collect();
        world.inspect(&urls, &["--jobs", "2", "--timeout", "150"])
    })
}

fn check(id: &str, expected: &Expected, answer: &Value) -> Result<(), String> {
    let mut wrong = Vec::new();
    let mut same = |what: &str, truth: Value, answered: &Value| {
        if truth != *answered {
            wrong.push(format!("{what}: the truth is {truth}, answered {answered}"));
        }
    };
    same("outcome", json!("inspected"), &answer["outcome"]);
    same("banner.seen", json!(expected.banner), &answer["banner"]["seen"]);
    same("banner.where", word(expected.place), &answer["banner"]["where"]);
    same("banner.language", json!(expected.language), &answer["banner"]["language"]);
    if let Some(first) = &expected.first_layer {
        let answered = &answer["first_layer"];
        same("first_layer.accept", json!(first.accept), &answered["accept"]);
        same("first_layer.refuse", json!(first.refuse), &answered["refuse"]);
        same("first_layer.settings", json!(first.settings), &answered["settings"]);
        same("first_layer.close", json!(first.close), &answered["close"]);
    }
    same("clicks.accept", json!(expected.clicks.accept), &answer["clicks"]["accept"]);
    same("clicks.refuse", json!(expected.clicks.refuse), &answer["clicks"]["refuse"]);
    same("clicks.withdraw", json!(expected.clicks.withdraw), &answer["clicks"]["withdraw"]);
    let preticked = answer["preticked"].as_array().is_some_and(|switches| !switches.is_empty());
    same("preticked", json!(expected.preticked), &json!(preticked));
    for (scenario, names) in &expected.cookies {
        let sorted: BTreeSet<&String> = names.iter().collect();
        same(&format!("cookies {scenario}"), json!(sorted), &cookies(answer, scenario, id));
    }
    for (scenario, hosts) in &expected.trackers {
        let asked = trackers(answer, scenario);
        // The truth of S1 to S3 begins at the click; what was asked for before it is counted by us too.
        let missing: Vec<_> = hosts.iter().filter(|host| !asked.contains(*host)).collect();
        same(&format!("trackers missing in {scenario}"), json!([]), &json!(missing));
        if scenario == "S0" {
            let added: Vec<_> = asked.iter().filter(|host| !hosts.contains(host)).collect();
            same("trackers added in S0", json!([]), &json!(added));
        }
    }
    let verdicts: BTreeMap<&str, &Value> = answer["findings"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|finding| Some((finding["rule"].as_str()?, &finding["verdict"])))
        .collect();
    for (rule, verdict) in &expected.findings {
        if !NOT_JUDGED.contains(&rule.as_str()) {
            same(rule, word(*verdict), verdicts.get(rule.as_str()).copied().unwrap_or(&Value::Null));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// Rules that this version leaves open; their truth stands in the fixtures for later.
const NOT_JUDGED: [&str; 2] = ["CK-39", "CK-40"];

/// Returns how a value of a closed set is written, from its name: `NotApplicable` as `not-applicable`.
fn word(value: impl std::fmt::Debug) -> Value {
    let name = format!("{value:?}");
    let name = name.trim_start_matches("Some(").trim_end_matches(')');
    if name == "None" {
        return Value::Null;
    }
    let mut word = String::new();
    for (at, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && at > 0 {
            word.push('-');
        }
        word.extend(letter.to_lowercase());
    }
    Value::String(word)
}

fn visit<'a>(answer: &'a Value, scenario: &str) -> Option<&'a Value> {
    answer["visits"].as_array()?.iter().find(|visit| visit["scenario"] == scenario)
}

fn cookies(answer: &Value, scenario: &str, id: &str) -> Value {
    let Some(visit) = visit(answer, scenario) else { return json!([]) };
    let host = format!("{id}.test");
    let kept = visit["cookies"].as_array().into_iter().flatten().filter(|cookie| cookie["blocked"].is_null());
    let names = kept.map(|cookie| {
        let text = |key: &str| cookie[key].as_str().unwrap_or_default();
        let (name, domain) = (text("name"), text("domain"));
        if domain == host || domain.ends_with(&format!(".{host}")) {
            name.to_owned()
        } else {
            format!("{name} ({domain})")
        }
    });
    json!(names.collect::<BTreeSet<_>>())
}

fn trackers(answer: &Value, scenario: &str) -> BTreeSet<String> {
    let Some(visit) = visit(answer, scenario) else { return BTreeSet::new() };
    let hosts = visit["trackers"].as_array().into_iter().flatten();
    hosts.filter_map(|tracker| tracker["host"].as_str().map(str::to_owned)).collect()
}
