//! `vigie verify`, `vigie key`: whether a bundle is what was signed, by whom, and whether a ledger has it; or whether a
//! receipt proves what it is for.

use crate::{
    arguments::{Common, VerifyOptions},
    fault::Fault,
    inspect::{json_of, print_line},
    keep::{self, in_full},
    ledger::{PrintedReceipt, beside_of, capture_in_words, is_receipt, policy_of, verify_receipt},
};
use serde_json::{Value, json};
use std::path::Path;
use vigie_evidence::{Report, Roots, TimestampState, Trust, verify};

/// Checks a bundle or a receipt, offline, and prints what was found. Exit code 1 where anything is wrong.
pub fn run(options: &VerifyOptions, common: &Common) -> Result<u8, Fault> {
    let path = &options.file;
    if let Some(receipt) = starts_as_receipt(path) {
        return verify_alone(options, &receipt, common);
    }
    let roots = match &options.tsa_ca {
        Some(path) => {
            let unusable = |why: String| Fault::Roots { path: path.clone(), why };
            let text = std::fs::read(path).map_err(|error| unusable(in_full(&error)))?;
            Roots::from_pem(&text).map_err(|error| unusable(error.to_string()))?
        }
        None => Roots::default(),
    };
    let report = verify(path, &roots).map_err(|error| Fault::Evidence { path: path.clone(), why: in_full(&error) })?;
    let logged = logged(options, &report)?;
    if common.json {
        let mut document = serde_json::to_value(&report).map_err(|error| Fault::Runtime { why: error.to_string() })?;
        document["receipt"] = logged.json();
        print_line(&json_of(&document)?);
    } else if !common.quiet {
        print_line(&in_words(&path.display().to_string(), &report));
        logged.in_words().iter().for_each(|line| print_line(line));
    }
    Ok(u8::from(!report.is_sound() || logged.is_wrong()))
}

/// Reads a file if it is meant as a receipt. Bundles may be large: only the beginning of others is read.
fn starts_as_receipt(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let mut start = Vec::new();
    std::fs::File::open(path).ok()?.take(64).read_to_end(&mut start).ok()?;
    if is_receipt(&start) { std::fs::read(path).ok() } else { None }
}

/// Checks a receipt by itself.
fn verify_alone(options: &VerifyOptions, bytes: &[u8], common: &Common) -> Result<u8, Fault> {
    let path = &options.file;
    let policy = policy_of(options.policy.as_ref().ok_or_else(|| Fault::NoPolicy { path: path.clone() })?)?;
    let entry = match &options.entry {
        Some(path) => {
            let read = std::fs::read(path);
            Some(read.map_err(|error| Fault::Entry { path: path.clone(), why: in_full(&error) })?)
        }
        None => None,
    };
    let found = verify_receipt(path, bytes, entry.as_deref(), &policy)?;
    if common.json {
        print_line(&json_of(&found.json())?);
    } else if !common.quiet {
        let verdict = if found.is_sound() { "proves that its entry is in the ledger" } else { "proves NOTHING" };
        print_line(&format!("{} {verdict}", path.display()));
        found.in_words().iter().for_each(|line| print_line(line));
        if let PrintedReceipt::Proved { header: Some(header), .. } = &found {
            header.lines().for_each(|line| print_line(&format!("  it says    {line}")));
        }
    }
    Ok(u8::from(!found.is_sound()))
}

/// Whether a ledger has a bundle.
enum Logged {
    /// There is no receipt beside it.
    NoReceipt,
    /// There is one, and nobody was named to believe.
    NotChecked,
    /// It was checked.
    Checked(PrintedReceipt),
}

fn logged(options: &VerifyOptions, report: &Report) -> Result<Logged, Fault> {
    let beside = beside_of(&options.file);
    let bytes = match std::fs::read(&beside) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Logged::NoReceipt),
        Err(error) => return Err(Fault::Receipt { path: beside, why: in_full(&error) }),
    };
    let Some(policy) = &options.policy else { return Ok(Logged::NotChecked) };
    let found = verify_receipt(&beside, &bytes, None, &policy_of(policy)?)?;
    let PrintedReceipt::Proved { header, .. } = &found else { return Ok(Logged::Checked(found)) };
    let seal = header.as_deref().and_then(capture_in_words);
    if seal.is_some() && seal == report.facts.seal.as_deref() {
        return Ok(Logged::Checked(found));
    }
    Ok(Logged::Checked(PrintedReceipt::Unproved("the receipt is for another bundle".to_owned())))
}

impl Logged {
    fn is_wrong(&self) -> bool {
        matches!(self, Self::Checked(receipt) if !receipt.is_sound())
    }

    fn json(&self) -> Value {
        match self {
            Self::NoReceipt => Value::Null,
            Self::NotChecked => json!({ "sound": null }),
            Self::Checked(receipt) => receipt.json(),
        }
    }

    fn in_words(&self) -> Vec<String> {
        match self {
            Self::NoReceipt => Vec::new(),
            Self::NotChecked => {
                vec!["  ledger     a receipt is beside it, not checked; say whom you believe with --policy".to_owned()]
            }
            Self::Checked(receipt) => receipt.in_words(),
        }
    }
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
