//! `vigie verify`, `vigie key`: whether a bundle is what was signed, and by whom.

use crate::{
    arguments::{Common, VerifyOptions},
    fault::Fault,
    inspect::{json_of, print_line},
    keep::{self, in_full},
};
use serde_json::json;
use vigie_evidence::{Report, Roots, TimestampState, Trust, verify};

/// Checks a bundle, offline, and prints what was found. Exit code 1 where anything is wrong.
pub fn run(options: &VerifyOptions, common: &Common) -> Result<u8, Fault> {
    let roots = match &options.tsa_ca {
        Some(path) => {
            let unusable = |why: String| Fault::Roots { path: path.clone(), why };
            let text = std::fs::read(path).map_err(|error| unusable(in_full(&error)))?;
            Roots::from_pem(&text).map_err(|error| unusable(error.to_string()))?
        }
        None => Roots::default(),
    };
    let path = &options.file;
    let report = verify(path, &roots).map_err(|error| Fault::Evidence { path: path.clone(), why: in_full(&error) })?;
    if common.json {
        print_line(&json_of(&report)?);
    } else if !common.quiet {
        print_line(&in_words(&path.display().to_string(), &report));
    }
    Ok(u8::from(!report.is_sound()))
}

fn in_words(path: &str, report: &Report) -> String {
    let facts = &report.facts;
    let mut lines = Vec::new();
    if report.is_sound() {
        lines.push(format!("{path} is unaltered: {} members, {} records", facts.n_members, facts.n_records));
    } else {
        lines.push(format!("{path} is NOT what was signed"));
        lines.extend(report.problems.iter().map(|problem| format!("  {problem}")));
        lines.push("What it says of itself, of which nothing may be believed:".to_owned());
    }
    let said = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("  {name:<10} {value}"));
    lines.push(format!("  {:<10} {}", "sha256", facts.sha256));
    lines.extend(said("signed by", &facts.signed_by));
    lines.extend(said("created", &facts.created));
    lines.extend(said("software", &facts.software));
    match &facts.timestamp {
        TimestampState::None => lines.push("  timestamp  none, and none was announced".to_owned()),
        TimestampState::Pending => {
            lines.push("  timestamp  pending: announced and not there; `vigie timestamp` adds one".to_owned());
        }
        TimestampState::Stamped { stamps } => lines.extend(stamps.iter().map(|stamp| {
            let trust = match &stamp.trust {
                Trust::NotChecked => "not checked against a root; name one with --tsa-ca",
                Trust::Rooted => "checked against a root that was given",
            };
            format!("  timestamp  {} by {} ({trust})", stamp.time, stamp.authority)
        })),
    }
    lines.join("\n")
}

/// Prints the key that signs this user's bundles; makes it at first use.
pub fn key(common: &Common) -> Result<u8, Fault> {
    let key = keep::key(common)?;
    if common.json {
        print_line(&json_of(&json!({"fingerprint": key.fingerprint(), "public_key": key.public_pem()}))?);
    } else {
        print_line(&format!("{}\n{}", key.fingerprint(), key.public_pem().trim_end()));
    }
    Ok(0)
}
