//! Findings as SARIF 2.1.0 (OASIS Standard, 27 March 2020), as code scanning reads it.

use super::{Baseline, csv::word};
use crate::{catalogue::Catalogue, wire::Inspection};
use serde_json::{Value, json};
use vigie_domain::{Severity, Verdict};

/// Returns the findings of inspections as one SARIF log with one run.
pub fn log(documents: &[Inspection], baseline: &Baseline) -> Value {
    let rules: Vec<Value> = Catalogue::bundled()
        .rules()
        .map(|rule| {
            let sources: Vec<&str> = rule.sources.iter().map(|source| source.cite.as_str()).collect();
            json!({
                "id": rule.id.to_string(),
                "shortDescription": {"text": rule.title},
                "fullDescription": {"text": rule.test},
                "help": {"text": format!("Sources: {}", sources.join("; "))},
                "defaultConfiguration": {"level": level(rule.severity)},
                "properties": {"severity": word(&rule.severity), "certainty": word(&rule.certainty)},
            })
        })
        .collect();
    let results: Vec<Value> = documents.iter().flat_map(|document| results(document, baseline)).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "vigie",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "results": results,
        }],
    })
}

fn results<'a>(document: &'a Inspection, baseline: &'a Baseline) -> impl Iterator<Item = Value> + 'a {
    let host = &document.site.host;
    document.findings.iter().map(move |finding| {
        let kind = match finding.verdict {
            Verdict::Breach => "fail",
            Verdict::Conform => "pass",
            Verdict::NotApplicable => "notApplicable",
            Verdict::Inconclusive => "open",
        };
        let is_breach = finding.verdict == Verdict::Breach;
        let mut result = json!({
            "ruleId": finding.rule.to_string(),
            "ruleIndex": finding.rule.number() - 1,
            "kind": kind,
            // A level is for failures only (§3.27.10).
            "level": if is_breach { level(finding.severity) } else { "none" },
            "message": {"text": format!("{host}: {}", finding.summary)},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": document.site.final_url}}}],
            "partialFingerprints": {"siteAndRule/v1": format!("{host}/{}", finding.rule)},
            "properties": {"certainty": word(&finding.certainty), "bundle": document.evidence.as_ref().map(|kept| &kept.bundle)},
        });
        if is_breach {
            let state = if baseline.knows(host, finding.rule) { "unchanged" } else { "new" };
            result["baselineState"] = json!(state);
        }
        result
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Blocking | Severity::Major => "error",
        Severity::Minor => "warning",
        Severity::Information => "note",
    }
}
