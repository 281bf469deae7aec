//! Three repeats give the same findings, in the same words.

use crate::{World, trial};
use libtest_mimic::Trial;
use serde_json::Value;
use std::sync::Arc;

const REPEATS: usize = 3;
/// A refusal behind three layers, and requests of workers that race each other.
const SITES: [&str; 2] = ["https://three-layers.test/", "https://workers.test/"];

pub fn trials(world: &Arc<World>) -> Vec<Trial> {
    vec![trial(world, "repeats::three_give_the_same_findings".to_owned(), same_findings)]
}

fn same_findings(world: &World) -> Result<(), String> {
    let urls: Vec<String> = SITES.iter().flat_map(|site| vec![(*site).to_owned(); REPEATS]).collect();
    let answers = world.inspect_each(&urls, &["--jobs", "2", "--timeout", "150"]);
    for site in SITES {
        let found: Vec<Value> =
            answers.iter().filter(|answer| answer["site"]["requested_url"] == site).map(told).collect();
        if found.len() != REPEATS {
            return Err(format!("{site}: {} answers for {REPEATS} repeats", found.len()));
        }
        if let Some(other) = found.iter().find(|other| **other != found[0]) {
            return Err(format!("{site}: {}\n{other}", found[0]));
        }
    }
    Ok(())
}

/// Returns what a report says of a site, without times and places in the evidence.
fn told(answer: &Value) -> Value {
    let findings: Vec<Value> = answer["findings"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|finding| serde_json::json!([finding["rule"], finding["verdict"], finding["summary"]]))
        .collect();
    serde_json::json!([answer["clicks"], answer["first_layer"], answer["preticked"], findings])
}
