//! `vigie export`: a bundle in the form of another program.

use crate::{
    arguments::{ExportOptions, Form},
    fault::Fault,
    inspect::{self, json_of},
    keep::{self, KeptEvidence},
};
use std::{io::Write, time::Duration};
use vigie_browser::{Browser, LaunchOptions, VisitOptions};
use vigie_inspection::{
    export::{Baseline, csv, har, junit, sarif},
    report,
};

/// Judges the bundle by today's rules and writes it in the form that is wanted.
pub async fn run(options: &ExportOptions) -> Result<u8, Fault> {
    let KeptEvidence { evidence, bundle, sha256, .. } = keep::evidence(&options.bundle)?;
    let mut document = inspect::document(&evidence);
    document.set_evidence(&options.bundle.file_name().unwrap_or_default().to_string_lossy(), &sha256);
    let html = || {
        let picture = |path: &str| bundle.read(path, MAX_PICTURE_BYTES).ok();
        let made = report::render(options.language.into(), &evidence, &document, &picture);
        made.map_err(|error| Fault::Report { host: evidence.site.host.clone(), why: error.to_string() })
    };
    let bytes = match options.form {
        Form::Sarif => json_of(&sarif::log(&[document], &Baseline::default()))?.into_bytes(),
        Form::Junit => junit::document(&[document], &[], &Baseline::default()).into_bytes(),
        Form::Csv => csv::findings([&document]).into_bytes(),
        Form::Har => json_of(&har::document(&evidence))?.into_bytes(),
        Form::Html => html()?.into_bytes(),
        Form::Pdf => print(&html()?, options).await?,
    };
    match &options.out {
        Some(path) => keep::file(path, &bytes)?,
        // Whoever stopped reading does not want the rest.
        None => drop(std::io::stdout().write_all(&bytes)),
    }
    Ok(0)
}

/// Prints a page with the Chromium that inspects, too.
async fn print(page: &str, options: &ExportOptions) -> Result<Vec<u8>, Fault> {
    let failed = |why: String| Fault::Report { host: options.bundle.display().to_string(), why };
    let file = tempfile::Builder::new().suffix(".html").tempfile().map_err(|error| failed(error.to_string()))?;
    std::fs::write(file.path(), page).map_err(|error| failed(error.to_string()))?;
    let address =
        url::Url::from_file_path(file.path()).map_err(|()| failed("its address cannot be named".to_owned()))?;
    let launch = LaunchOptions { program: options.chromium.clone(), ..LaunchOptions::default() };
    let browser = Browser::launch(&launch).await?;
    let printed = async {
        let visit = browser.open_visit(VisitOptions { hash_bodies: false, ..VisitOptions::default() }).await?;
        visit.goto(address.as_str(), LOAD_LIMIT).await?;
        let pdf = visit.pdf().await;
        visit.close().await;
        pdf
    }
    .await;
    browser.close().await;
    Ok(printed?)
}

/// How long a report may take to load from this machine.
const LOAD_LIMIT: Duration = Duration::from_secs(20);

/// The largest picture that is shown, in bytes.
const MAX_PICTURE_BYTES: u64 = 64 << 20;
