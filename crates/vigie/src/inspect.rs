//! `vigie inspect`: from addresses to findings.

use crate::{
    arguments::{Common, InspectOptions, VisitArguments},
    fault::Fault,
    keep::{self, Kept},
    progress,
};
use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    signal::unix,
    sync::Semaphore,
    task::{JoinError, JoinSet},
};
use url::Url;
use vigie_browser::{Browser, BrowserError, LaunchOptions, VisitOptions};
use vigie_domain::{Scenario, Verdict};
use vigie_inspection::{
    catalogue::Catalogue,
    classify::classify,
    evidence::{Evidence, Outcome},
    inspect::{self, Observed, Plan},
    judge::judge,
    report, summary, wire,
};
use vigie_trackers::Classifier;

/// Visits of one inspection side by side. Each is one renderer; more than this and they only wait for each other.
const VISITS_AT_ONCE: usize = 4;

/// Inspects every address, in the order given, and prints each answer when it is there.
pub async fn run(options: &InspectOptions, common: &Common) -> Result<u8, Fault> {
    let urls = options.urls.iter().map(|given| parse_address(given)).collect::<Result<Vec<_>, _>>()?;
    let out = match &options.visit.out {
        Some(out) => out.clone(),
        None => keep::home(common)?.join("inspections"),
    };
    keep::prepare(&out)?;
    let launch = LaunchOptions {
        program: options.visit.chromium.clone(),
        arguments: options.visit.chromium_arguments.clone(),
        ignore_certificate_errors: options.visit.ignore_certificate_errors,
    };
    let work = async {
        let browser = Arc::new(Browser::launch(&launch).await?);
        let answer = inspect_all(&browser, urls, &out, options, common).await;
        // The browser ends before we say how it went, so that whoever waits for us finds nothing running.
        if let Some(browser) = Arc::into_inner(browser) {
            browser.close().await;
        }
        answer
    };
    // Dropping the work drops the browser, which ends its processes and removes its profile.
    tokio::select! {
        answer = work => answer,
        () = interrupted() => Err(Fault::Interrupted),
    }
}

/// Waits until somebody wants us to end.
pub async fn interrupted() {
    let (Ok(mut terminate), Ok(mut hang_up)) =
        (unix::signal(unix::SignalKind::terminate()), unix::signal(unix::SignalKind::hangup()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
}

async fn inspect_all(
    browser: &Arc<Browser>,
    urls: Vec<Url>,
    out: &Path,
    options: &InspectOptions,
    common: &Common,
) -> Result<u8, Fault> {
    let places = Arc::new(Semaphore::new(usize::from(options.jobs)));
    let watched = !common.quiet && !common.json;
    let mut running = JoinSet::new();
    let mut worst = 0;
    // Each answer is kept and printed as soon as it is there, and then forgotten: what a campaign needs does not grow
    // with its sites.
    for url in urls {
        let place = Arc::clone(&places).acquire_owned().await;
        while let Some(done) = running.try_join_next() {
            worst = worst.max(finish(done, out, options, common)?);
        }
        let (browser, visit) = (Arc::clone(browser), options.visit.clone());
        running.spawn(async move {
            let plan = plan(url, &visit);
            let watcher = progress::watcher(plan.url.host_str().unwrap_or_default(), watched);
            let observed = inspect::inspect(browser, plan, watcher).await;
            drop(place);
            observed
        });
    }
    while let Some(done) = running.join_next().await {
        worst = worst.max(finish(done, out, options, common)?);
    }
    Ok(worst)
}

fn finish(
    done: Result<Result<Observed, BrowserError>, JoinError>,
    out: &Path,
    options: &InspectOptions,
    common: &Common,
) -> Result<u8, Fault> {
    match done {
        Ok(observed) => answer(&observed?, out, options, common),
        Err(error) => Err(Fault::Runtime { why: error.to_string() }),
    }
}

/// Returns how a site is to be inspected.
pub fn plan(url: Url, visit: &VisitArguments) -> Plan {
    let scenarios = if visit.scenarios.is_empty() { Scenario::BY_DEFAULT.to_vec() } else { visit.scenarios.clone() };
    Plan {
        url,
        scenarios,
        visit: VisitOptions {
            viewport: visit.viewport,
            locale: visit.locale.clone(),
            timezone: visit.timezone.clone(),
            global_privacy_control: false,
            hash_bodies: true,
        },
        patience: visit.patience.into(),
        timeout: Duration::from_secs(visit.timeout),
        visits_at_once: VISITS_AT_ONCE,
        browser_arguments: visit.chromium_arguments.clone(),
        certificates_ignored: visit.ignore_certificate_errors,
        pictures: true,
    }
}

/// Judges what was observed and keeps it. Returns the answer, its text, and the folder that it is kept in.
pub fn keep_answer(
    observed: &Observed,
    out: &Path,
    no_report: bool,
) -> Result<(wire::Inspection, String, PathBuf), Fault> {
    let evidence = &observed.evidence;
    let mut document = judged(evidence);
    let bytes = serde_json::to_vec(evidence).map_err(|error| Fault::Runtime { why: error.to_string() })?;
    let name = format!("{}-{}", file_name(&evidence.site.host), evidence.started_at.strftime("%Y%m%dT%H%M%SZ"));
    document.set_evidence(&name, &keep::sha256(&bytes));
    let page = if no_report {
        None
    } else {
        let pictures = |path: &str| observed.pictures.get(path).cloned();
        let made = report::render(evidence, &document, &pictures);
        Some(made.map_err(|error| Fault::Report { host: evidence.site.host.clone(), why: error.to_string() })?)
    };
    let answer = serde_json::to_string(&document).map_err(|error| Fault::Runtime { why: error.to_string() })?;
    let files = Kept {
        name: &name,
        evidence: &bytes,
        answer: answer.as_bytes(),
        report: page.as_deref(),
        pictures: &observed.pictures,
    };
    let folder = keep::keep(out, &files)?;
    Ok((document, answer, folder))
}

/// Judges what was observed, keeps it, and prints the answer. Returns the exit code.
fn answer(observed: &Observed, out: &Path, options: &InspectOptions, common: &Common) -> Result<u8, Fault> {
    let evidence = &observed.evidence;
    let no_report = options.visit.no_report;
    let (document, answer, folder) = keep_answer(observed, out, no_report)?;
    if common.json {
        print_line(&answer);
    } else if !common.quiet {
        print_line(&summary::render(&document, paint()));
        let what = if no_report { "inspection.json" } else { "report.html" };
        print_line(&format!("Kept in {}", folder.join(what).display()));
    }
    Ok(exit_code(evidence, &document))
}

/// Judges evidence that was kept earlier, and prints the answer. Returns the exit code.
pub fn print_judgement(evidence: &Evidence, bytes: &[u8], name: &str, common: &Common) -> Result<u8, Fault> {
    let mut document = judged(evidence);
    document.set_evidence(name, &keep::sha256(bytes));
    if common.json {
        let answer = serde_json::to_string(&document).map_err(|error| Fault::Runtime { why: error.to_string() })?;
        print_line(&answer);
    } else if !common.quiet {
        print_line(&summary::render(&document, paint()));
    }
    Ok(exit_code(evidence, &document))
}

fn judged(evidence: &Evidence) -> wire::Inspection {
    let classified = classify(evidence, classifier());
    let findings = judge(evidence, &classified, Catalogue::bundled());
    wire::Inspection::new(evidence, &classified, &findings)
}

fn exit_code(evidence: &Evidence, document: &wire::Inspection) -> u8 {
    if evidence.outcome != Outcome::Inspected {
        let why = evidence.why.as_deref().unwrap_or("no reason is known");
        eprintln!("vigie: `{}` could not be inspected: {why}", evidence.site.requested_url);
        return 2;
    }
    u8::from(document.findings.iter().any(|finding| finding.verdict == Verdict::Breach))
}

/// Prints on standard output; whoever stopped reading does not want the rest.
fn print_line(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Returns the lists by which trackers are told, read once.
fn classifier() -> &'static Classifier {
    static CLASSIFIER: OnceLock<Classifier> = OnceLock::new();
    CLASSIFIER.get_or_init(Classifier::bundled)
}

/// Colour helps on a terminal whose user has not declined it (`NO_COLOR`).
fn paint() -> summary::Paint {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if wanted && std::io::stdout().is_terminal() { summary::Paint::Color } else { summary::Paint::Plain }
}

/// Returns a host as a file name.
fn file_name(host: &str) -> String {
    let name: String = host.chars().map(|c| if c.is_alphanumeric() || "-._".contains(c) { c } else { '_' }).collect();
    name.trim_start_matches('.').chars().take(120).collect()
}

fn parse_address(given: &str) -> Result<Url, Fault> {
    let trimmed = given.trim();
    let looks_like_a_host = trimmed.contains('.') && !trimmed.contains([' ', ':']) || trimmed.starts_with("localhost");
    let unreadable =
        |why: &str, help: Option<String>| Fault::Unreadable { given: given.to_owned(), why: why.to_owned(), help };
    let url = match Url::parse(trimmed) {
        Ok(url) => url,
        Err(_) if looks_like_a_host => {
            let help = format!("did you mean `https://{trimmed}`?");
            return Err(unreadable("it does not begin with https:// or http://", Some(help)));
        }
        Err(error) => {
            return Err(unreadable(&error.to_string(), Some("expected for instance `https://example.org/`".into())));
        }
    };
    match url.scheme() {
        "http" | "https" if url.host_str().is_some_and(|host| !host.is_empty()) => Ok(url),
        "http" | "https" => Err(unreadable("it names no host", None)),
        // `example.org:8080` parses as an address of the scheme `example.org`.
        scheme if scheme.contains('.') || scheme == "localhost" => {
            let help = format!("did you mean `https://{trimmed}`?");
            Err(unreadable("it does not begin with https:// or http://", Some(help)))
        }
        scheme => Err(Fault::Scheme { given: given.to_owned(), scheme: scheme.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_none_is_said_in_one_sentence() {
        let check = |given: &str, expected: &str| {
            let fault = parse_address(given).expect_err(given);
            assert_eq!(fault.to_string(), expected);
        };
        check("example.org", "`example.org` is not an address: it does not begin with https:// or http://");
        check("localhost:80", "`localhost:80` is not an address: it does not begin with https:// or http://");
        check(
            "file:///etc/passwd",
            "`file:///etc/passwd` has the scheme `file`; only `https` and `http` addresses can be inspected",
        );
        check(
            "javascript:1",
            "`javascript:1` has the scheme `javascript`; only `https` and `http` addresses can be inspected",
        );
        check("not a url", "`not a url` is not an address: relative URL without a base");
        check("https://", "`https://` is not an address: empty host");
    }

    #[test]
    fn a_host_makes_a_file_name_that_stays_in_its_folder() {
        assert_eq!(file_name("../../etc"), "_.._etc");
        assert_eq!(file_name("[::1]"), "___1_");
    }
}
