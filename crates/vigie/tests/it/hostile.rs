//! Pages that do what the worst of the web does: an honest outcome within the time limit, and a browser that survives.

use crate::{World, trial, twice};
use libtest_mimic::Trial;
use serde_json::Value;
use std::sync::Arc;
use vigie_testkit::hostile::{HostilePage, PAGES};

/// The time limit of one inspection, in seconds.
const LIMIT_S: u32 = 30;

pub fn trials(world: &Arc<World>) -> Vec<Trial> {
    PAGES.iter().map(|page| trial(world, format!("hostile::{}", page.name), move |world| check(world, page))).collect()
}

fn check(world: &World, page: &HostilePage) -> Result<(), String> {
    let limit = LIMIT_S.to_string();
    let options = ["--scenarios", "S0,S1,S2,S3", "--timeout", &limit, "--jobs", "2"];
    let answers = world.hostile.get_or_init(|| {
        let urls: Vec<String> = PAGES.iter().map(HostilePage::url).collect();
        world.inspect(&urls, &options)
    });
    // One process inspects all pages with one browser: an answer for each shows that it survived the others.
    let answer = answers.get(&page.url()).ok_or("there is no answer")?;
    twice(world, &page.url(), &options, answer, |answer| is_honest(page, answer))
}

fn is_honest(page: &HostilePage, answer: &Value) -> Result<(), String> {
    let outcome = answer["outcome"].as_str().unwrap_or_default();
    let honest: Vec<&str> = page.outcomes.iter().map(|outcome| outcome.as_str()).collect();
    if !honest.contains(&outcome) {
        return Err(format!("{}: the outcome is `{outcome}`, honest is {honest:?}", page.does));
    }
    let elapsed_s = answer["elapsed_s"].as_f64().unwrap_or(f64::INFINITY);
    if elapsed_s > f64::from(LIMIT_S) + 5.0 {
        return Err(format!("{}: it took {elapsed_s} s, the limit is {LIMIT_S} s", page.does));
    }
    let conform = |finding: &Value| finding["verdict"] == "conform";
    if outcome != "inspected" && answer["findings"].as_array().into_iter().flatten().any(conform) {
        return Err("a site that was not inspected conforms to a rule".to_owned());
    }
    if outcome == "inspected" && answer["banner"]["seen"] != page.banner {
        return Err(format!(
            "{}: a banner was seen: {}, a person sees one: {}",
            page.does, answer["banner"]["seen"], page.banner
        ));
    }
    Ok(())
}
