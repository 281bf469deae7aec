//! The views of a made-up site.

use super::*;
use crate::{
    catalogue::Catalogue,
    classify::classify,
    judge::tests::{build, classifier, findings, rich},
};
use serde_json::{Value, json};
use std::{
    ffi::OsString,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

fn inspection() -> Inspection {
    let mut evidence = build::good();
    build::remove(&mut evidence, vigie_banner::Role::RefuseAll);
    let classified = classify(&evidence, classifier());
    let findings = crate::judge::judge(&evidence, &classified, Catalogue::bundled());
    Inspection::new(&evidence, &classified, &findings)
}

fn ck(number: u8) -> RuleId {
    RuleId::ck(number)
}

#[test]
fn a_build_fails_for_what_is_asked_for_and_not_known() {
    let document = inspection();
    let all: Vec<RuleId> = failing(&document, &[], &Baseline::default()).iter().map(|found| found.rule).collect();
    assert!(all.contains(&ck(5)), "{all:?}");
    assert!(failing(&document, &[ck(36)], &Baseline::default()).is_empty());
    let baseline = Baseline::of([&document]);
    assert_eq!(Baseline::parse(&baseline.to_text()), Ok(baseline.clone()));
    assert!(failing(&document, &[], &baseline).is_empty());
    assert!(Baseline::parse("{}").is_err());
}

#[test]
fn sarif_says_what_failed_and_what_is_new() {
    let document = inspection();
    let log = sarif::log(std::slice::from_ref(&document), &Baseline::default());
    let of = |log: &Value, rule: &str| -> Value {
        let results = log["runs"][0]["results"].as_array().unwrap();
        results.iter().find(|result| result["ruleId"] == rule).unwrap().clone()
    };
    let failed = of(&log, "CK-05");
    assert_eq!(
        (&failed["kind"], &failed["level"], &failed["baselineState"]),
        (&json!("fail"), &json!("error"), &json!("new"))
    );
    let passed = of(&log, "CK-01");
    assert_eq!((&passed["kind"], &passed["level"]), (&json!("pass"), &json!("none")));
    assert_eq!(log["runs"][0]["tool"]["driver"]["rules"][4]["id"], "CK-05");
    let known = sarif::log(std::slice::from_ref(&document), &Baseline::of([&document]));
    assert_eq!(of(&known, "CK-05")["baselineState"], "unchanged");
}

/// Returns what Python's `jsonschema` has against a log, under the schema that OASIS published.
fn against_the_schema_of_oasis(log: &Value) -> Option<String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let judges = std::env::var_os("VIGIE_JUDGES").unwrap_or_else(|| OsString::from(root.join("target/judges")));
    let mut judge = Command::new(PathBuf::from(judges).join("bin/python"))
        .arg(root.join("scripts/check-json.py"))
        .arg(root.join("fixtures/schemas/sarif-2.1.0.json"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("`sh scripts/setup.sh --judges` installs the judges");
    judge.stdin.take().unwrap().write_all(log.to_string().as_bytes()).unwrap();
    let output = judge.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.is_empty(), "{said}");
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_sarif_schema_of_oasis_holds_and_a_spoiled_log_is_refused() {
    let (breach, other) = (inspection(), rich());
    let classified = classify(&other, classifier());
    let documents = [breach, Inspection::new(&other, &classified, &findings(&other))];
    for baseline in [Baseline::default(), Baseline::of(&documents)] {
        assert_eq!(against_the_schema_of_oasis(&sarif::log(&documents, &baseline)), None);
    }
    let spoiled = |at: &str, with: Value, expected: &str| {
        let mut log = sarif::log(&documents, &Baseline::default());
        *log.pointer_mut(at).unwrap() = with;
        let said = against_the_schema_of_oasis(&log).unwrap_or_default();
        assert!(said.contains(expected), "{at}: {said:?}");
    };
    spoiled("/version", json!("2.0.0"), "$.version: '2.0.0' is not one of ['2.1.0']");
    spoiled("/runs/0/results/4/level", json!("fatal"), "$.runs[0].results[4].level: 'fatal' is not one of");
    spoiled("/runs/0/tool/driver", json!({}), "$.runs[0].tool.driver: 'name' is a required property");
}

#[test]
fn junit_counts_what_it_shows() {
    let document = inspection();
    let n_failing = failing(&document, &[], &Baseline::default()).len();
    let text = junit::document(std::slice::from_ref(&document), &[], &Baseline::default());
    assert_eq!(text.matches("<failure ").count(), n_failing);
    assert_eq!(text.matches("<testcase ").count(), 40);
    assert!(text.contains(&format!("tests=\"40\" failures=\"{n_failing}\"")), "{text}");
}

#[test]
fn csv_has_a_line_a_finding() {
    let text = csv::findings([&inspection()]);
    assert_eq!(text.lines().count(), 41);
    assert!(text.lines().nth(5).unwrap().starts_with("shop.test,https://shop.test/,inspected,CK-05,"), "{text}");
}

#[test]
fn har_has_an_entry_a_request_and_a_page_a_visit() {
    let evidence = build::good();
    let document = har::document(&evidence);
    assert_eq!(document["log"]["pages"].as_array().unwrap().len(), evidence.visits.len());
    let entries = document["log"]["entries"].as_array().unwrap();
    assert!(entries.iter().any(|entry| entry["request"]["url"] == "https://shop.test/app.js"));
    assert!(entries.iter().all(|entry| entry["startedDateTime"].as_str().unwrap().ends_with('Z')));
}
