//! `vigie timeline` and `vigie compare`: what changed at a site, from the bundles that inspections left.

use crate::{
    arguments::{Common, CompareOptions, TimelineOptions},
    fault::Fault,
    inspect::{self, json_of, print_line},
    keep::{self, KeptEvidence, in_full},
};
use jiff::Timestamp;
use std::path::{Path, PathBuf};
use vigie_inspection::{
    history::{self, History, page},
    wire::Inspection,
};

/// Lays all bundles of a site side by side, judged by today's rules. Exit code 1 where anything changed.
pub fn run(options: &TimelineOptions, common: &Common) -> Result<u8, Fault> {
    let folder = match &options.folder {
        Some(folder) => folder.clone(),
        None => keep::home(common)?.join("inspections"),
    };
    let host = host_of(&options.site);
    let mut inspections: Vec<(Timestamp, Inspection)> = Vec::new();
    for path in bundles_of(&folder, &host)? {
        match keep::evidence(&path) {
            Ok(KeptEvidence { evidence, .. })
                if evidence.site.host == host || host_of(&evidence.site.requested_url) == host =>
            {
                inspections.push((evidence.started_at, inspect::document(&evidence)));
            }
            Ok(_) => {}
            // One that was damaged must neither speak nor silence the others.
            Err(fault) => eprintln!("vigie: {fault}; it is left out"),
        }
    }
    if inspections.is_empty() {
        return Err(Fault::NoBundles { host, folder });
    }
    let history = History::of(&host, &inspections);
    if let Some(path) = &options.page {
        let made = page::render(options.language.into(), &history);
        let text = made.map_err(|error| Fault::Report { host: host.clone(), why: error.to_string() })?;
        keep::file(path, text.as_bytes())?;
    }
    if common.json {
        print_line(&json_of(&history)?);
    } else if !common.quiet {
        print_line(&history.in_words());
    }
    Ok(u8::from(history.series.iter().any(history::Series::changed)))
}

/// Says what differs between two bundles. Exit code 1 where anything does.
pub fn compare(options: &CompareOptions, common: &Common) -> Result<u8, Fault> {
    let document = |path: &Path| keep::evidence(path).map(|kept| inspect::document(&kept.evidence));
    let (before, after) = (document(&options.before)?, document(&options.after)?);
    let Some(found) = history::differences(&before, &after) else {
        let closed = if history::facts(&before).is_none() { &options.before } else { &options.after };
        return Err(Fault::Evidence {
            path: closed.clone(),
            why: "the site did not let that inspection in".to_owned(),
        });
    };
    if common.json {
        print_line(&json_of(&found)?);
    } else if !common.quiet {
        let mut group = None;
        for difference in &found {
            if group != Some(difference.subject.group) {
                group = Some(difference.subject.group);
                print_line(difference.subject.group.title());
            }
            print_line(&format!("  {}: {} → {}", difference.subject.what, difference.before, difference.after));
        }
        if found.is_empty() {
            print_line("nothing differs");
        }
    }
    Ok(u8::from(!found.is_empty()))
}

/// Returns the bundles below a folder whose names begin with a host's.
fn bundles_of(folder: &Path, host: &str) -> Result<Vec<PathBuf>, Fault> {
    let unreadable = |error: std::io::Error| Fault::Evidence { path: folder.to_owned(), why: in_full(&error) };
    let prefix = inspect::file_name(host);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(&prefix) && path.extension().is_some_and(|ending| ending == "wacz") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Returns the host in what was given as a site: an address or a host.
fn host_of(site: &str) -> String {
    let parsed = url::Url::parse(site).ok().and_then(|url| url.host_str().map(str::to_owned));
    parsed.unwrap_or_else(|| site.trim().trim_end_matches('/').to_ascii_lowercase())
}
