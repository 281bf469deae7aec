//! `vigie judge`: the findings again, from a bundle alone.

use crate::{
    arguments::{Common, JudgeOptions},
    editions,
    fault::Fault,
    inspect,
    keep::{self, KeptEvidence, in_full},
};
use jiff::civil::Date;
use similar::TextDiff;
use std::{borrow::Cow, path::Path};
use vigie_evidence::Bundle;
use vigie_inspection::{bundle, catalogue::Catalogue};

/// Judges a bundle again, prints the findings, and shows how they differ from those that it holds.
///
/// Exit code 1 where they differ, and where one is a breach.
pub fn run(options: &JudgeOptions, common: &Common) -> Result<u8, Fault> {
    let path = &options.bundle;
    let unusable = |why: String| Fault::Evidence { path: path.clone(), why };
    let KeptEvidence { evidence, bundle: opened, sha256, .. } = keep::evidence(path)?;
    let held = bundle::findings(&opened).map_err(|error| unusable(in_full(&error)))?;
    let catalogue = catalogue(options, &opened, common)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (findings, code) = inspect::print_judgement(&evidence, &catalogue, &name, &sha256, common)?;
    let now = bundle::findings_bytes(&findings);
    if now == held {
        return Ok(code);
    }
    let (held, now) = (String::from_utf8_lossy(&held), String::from_utf8_lossy(&now));
    eprintln!("vigie: the findings differ from those in `{name}`");
    eprint!("{}", TextDiff::from_lines(&*held, &*now).unified_diff().context_radius(2).header("held", "now"));
    Ok(code.max(1))
}

/// Returns the catalogue to judge by: this program's, that of a day, of a folder, or the bundle's own.
fn catalogue(options: &JudgeOptions, opened: &Bundle, common: &Common) -> Result<Cow<'static, Catalogue>, Fault> {
    let Some(at) = &options.rules else { return Ok(Cow::Borrowed(Catalogue::bundled())) };
    if let Some(on) = at.to_str().filter(|text| text.len() == 10).and_then(|text| text.parse::<Date>().ok()) {
        // Nowhere to keep anything means that nothing was kept there.
        let home = keep::home(common).ok();
        let found = editions::in_force(on, &options.bundle, home.as_deref())?;
        if !common.quiet {
            eprintln!("vigie: judged by the catalogue in force since {}, {}", found.since, found.from);
        }
        return Ok(found.catalogue);
    }
    let unusable = |why: String| Fault::Rules { at: at.clone(), why };
    let files = if at.as_os_str() == "bundle" {
        bundle::rules(opened).map_err(|error| unusable(in_full(&error)))?
    } else {
        folder(at).map_err(|error| unusable(in_full(&error)))?
    };
    let files = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    Catalogue::read(files).map(Cow::Owned).map_err(|error| unusable(error.to_string()))
}

fn folder(at: &Path) -> std::io::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(at)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, std::fs::read_to_string(&path)?));
        }
    }
    files.sort();
    Ok(files)
}
