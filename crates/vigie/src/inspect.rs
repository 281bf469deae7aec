//! `vigie inspect`: from addresses to findings.

use crate::{
    arguments::{BuildArguments, Common, InspectOptions, VisitArguments},
    fault::Fault,
    keep,
    ledger::{Capture, LedgerTarget},
    progress, timestamp,
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
use vigie_domain::{Finding, RuleId, Scenario};
use vigie_evidence::{Expected, Key};
use vigie_inspection::{
    bundle::Contents,
    catalogue::Catalogue,
    classify::classify,
    evidence::{Evidence, Outcome},
    export::{self, Baseline},
    inspect::{self, Observed, Plan, Progress},
    judge::judge,
    report::{self, Language},
    summary, wire,
};
use vigie_ledger::hash::hex;
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
    // Opened before anything is visited: without it, what is asked for cannot be done.
    let ledger = match &options.ledger {
        Some(ledger) => Some(LedgerTarget::open(ledger, options.token_file.as_deref())?),
        None => None,
    };
    let launch = LaunchOptions {
        program: options.visit.chromium.clone(),
        arguments: options.visit.chromium_arguments.clone(),
        ignore_certificate_errors: options.visit.ignore_certificate_errors,
    };
    let work = async {
        let browser = Arc::new(Browser::launch(&launch).await?);
        let answer = inspect_all(&browser, urls, &out, options, ledger.as_ref(), common).await;
        // The browser ends before we say how it went, so that whoever waits for us finds nothing running.
        if let Some(browser) = Arc::into_inner(browser) {
            browser.close().await;
        }
        if let Some(ledger) = ledger {
            ledger.close()?;
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
    ledger: Option<&LedgerTarget>,
    common: &Common,
) -> Result<u8, Fault> {
    let places = Arc::new(Semaphore::new(usize::from(options.jobs)));
    let watched = !common.quiet && !common.json;
    let mut running = JoinSet::new();
    let mut build = Build::new(&options.build)?;
    // Each answer is kept and printed as soon as it is there, and then forgotten: what a campaign needs does not grow
    // with its sites.
    for url in urls {
        let place = Arc::clone(&places).acquire_owned().await;
        while let Some(done) = running.try_join_next() {
            build.take(finish(done, out, options, ledger, common)?);
        }
        let (browser, visit) = (Arc::clone(browser), options.visit.clone());
        let spool = keep::spool(out)?;
        running.spawn(async move {
            let watcher = progress::watcher(url.host_str().unwrap_or_default(), watched);
            let inspected = inspect_one(browser, plan(url, &visit), spool, watcher).await;
            drop(place);
            inspected
        });
    }
    while let Some(done) = running.join_next().await {
        build.take(finish(done, out, options, ledger, common)?);
    }
    build.end()
}

/// An inspection that was made, with what its visits left on disk.
pub struct Inspected {
    observed: Observed,
    plan: Plan,
    spool: keep::TemporarySpool,
}

/// Inspects one site; what its visits leave waits in the spool.
pub async fn inspect_one(
    browser: Arc<Browser>,
    plan: Plan,
    spool: keep::TemporarySpool,
    watcher: Arc<dyn Progress>,
) -> Result<Inspected, BrowserError> {
    let plan = Plan { spool: Some(Arc::clone(&spool.contents)), ..plan };
    let observed = inspect::inspect(browser, plan.clone(), watcher).await?;
    Ok(Inspected { observed, plan, spool })
}

fn finish(
    done: Result<Result<Inspected, BrowserError>, JoinError>,
    out: &Path,
    options: &InspectOptions,
    ledger: Option<&LedgerTarget>,
    common: &Common,
) -> Result<wire::Inspection, Fault> {
    match done {
        Ok(inspected) => answer(&inspected?, out, options, ledger, common),
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
            spool: None,
        },
        patience: visit.patience.into(),
        timeout: Duration::from_secs(visit.timeout),
        visits_at_once: VISITS_AT_ONCE,
        browser_arguments: visit.chromium_arguments.clone(),
        certificates_ignored: visit.ignore_certificate_errors,
        observed_by: "automatic".to_owned(),
        pictures: true,
        spool: None,
    }
}

/// An inspection as it was kept.
pub struct KeptInspection {
    /// The answer.
    pub document: wire::Inspection,
    /// The bundle.
    pub bundle: PathBuf,
    /// The bundle's seal, in hexadecimal: the hash that covers it but for timestamps.
    pub seal: String,
    /// The report, unless none was wanted.
    pub report: Option<PathBuf>,
}

/// What is kept of an inspection besides its bundle.
pub struct Keeping<'a> {
    /// The folder.
    pub out: &'a Path,
    /// The key that signs.
    pub key: &'a Key,
    /// Whether no report is wanted.
    pub no_report: bool,
    /// The language of the report.
    pub language: Language,
    /// Authorities that are asked for a timestamp.
    pub timestamp: &'a [String],
}

/// Judges what was observed, and keeps it.
pub fn keep_inspection(inspected: &Inspected, keeping: &Keeping<'_>) -> Result<KeptInspection, Fault> {
    let Inspected { observed, plan, spool } = inspected;
    let evidence = &observed.evidence;
    let Judged { mut document, findings } = judged(evidence, Catalogue::bundled());
    let name = format!("{}-{}", file_name(&evidence.site.host), evidence.started_at.strftime("%Y%m%dT%H%M%SZ"));
    let expected = if keeping.timestamp.is_empty() { Expected::NotExpected } else { Expected::Expected };
    let contents = Contents { observed, spool: &spool.contents, plan, findings: &findings, timestamp: expected };
    let bundle = keep::bundle(keeping.out, &name, &contents, keeping.key)?;
    let path = bundle.path.clone();
    let mut sha256 = bundle.sha256;
    for url in keeping.timestamp {
        // Without an answer the bundle says that one is pending.
        match timestamp::stamp(&path, url, &bundle.seal) {
            Ok(stamped) => sha256 = stamped,
            Err(why) => eprintln!("vigie: {why}; `vigie timestamp` can ask again"),
        }
    }
    document.set_evidence(&path.file_name().unwrap_or_default().to_string_lossy(), &sha256);
    let mut report = None;
    if !keeping.no_report {
        let pictures = |path: &str| observed.pictures.get(path).cloned();
        let made = report::render(keeping.language, evidence, &document, &pictures);
        let page = made.map_err(|error| Fault::Report { host: evidence.site.host.clone(), why: error.to_string() })?;
        let file = path.with_extension("html");
        keep::file(&file, page.as_bytes())?;
        report = Some(file);
    }
    Ok(KeptInspection { document, bundle: path, seal: hex(&bundle.seal), report })
}

/// Judges what was observed, keeps it, prints the answer, and returns it.
fn answer(
    inspected: &Inspected,
    out: &Path,
    options: &InspectOptions,
    ledger: Option<&LedgerTarget>,
    common: &Common,
) -> Result<wire::Inspection, Fault> {
    let key = keep::key(common)?;
    let keeping = Keeping {
        out,
        key: &key,
        no_report: options.visit.no_report,
        language: options.visit.language.into(),
        timestamp: &options.timestamp,
    };
    let kept = keep_inspection(inspected, &keeping)?;
    if common.json {
        print_line(&json_of(&kept.document)?);
    } else if !common.quiet {
        print_line(&summary::render(&kept.document, paint()));
        print_line(&format!("Evidence {}", kept.bundle.display()));
        if let Some(report) = &kept.report {
            print_line(&format!("Report   {}", report.display()));
        }
    }
    if let Some(ledger) = ledger {
        log_capture(ledger, &kept, common)?;
    }
    Ok(kept.document)
}

/// Logs a commitment to a bundle that is kept. If the ledger does not take it, the bundle is there and says nothing false.
fn log_capture(ledger: &LedgerTarget, kept: &KeptInspection, common: &Common) -> Result<(), Fault> {
    let logged = Capture::new(&kept.seal, &kept.document.site.host)?.log(ledger, &kept.bundle);
    let (receipt, index) = logged.map_err(|fault| Fault::Ledger {
        why: format!("the bundle `{}` is kept and in no ledger: {fault}", kept.bundle.display()),
        help: Some("log it with `vigie ledger add LEDGER --bundles BUNDLE`".to_owned()),
    })?;
    if !common.json && !common.quiet {
        print_line(&format!("Receipt  {} (entry {index})", receipt.display()));
    }
    Ok(())
}

/// Returns a document as one line of JSON.
pub fn json_of(document: &impl serde::Serialize) -> Result<String, Fault> {
    serde_json::to_string(document).map_err(|error| Fault::Runtime { why: error.to_string() })
}

/// Judges evidence that was kept earlier by a catalogue, and prints the answer. Returns the findings and the exit code.
pub fn print_judgement(
    evidence: &Evidence,
    catalogue: &Catalogue,
    name: &str,
    sha256: &str,
    common: &Common,
) -> Result<(Vec<Finding>, u8), Fault> {
    let Judged { mut document, findings } = judged(evidence, catalogue);
    document.set_evidence(name, sha256);
    if common.json {
        print_line(&json_of(&document)?);
    } else if !common.quiet {
        print_line(&summary::render(&document, paint()));
    }
    Ok((findings, exit_code(&document, &[], &Baseline::default())))
}

/// Judges evidence by this program's rules.
pub fn document(evidence: &Evidence) -> wire::Inspection {
    judged(evidence, Catalogue::bundled()).document
}

struct Judged {
    document: wire::Inspection,
    findings: Vec<Finding>,
}

fn judged(evidence: &Evidence, catalogue: &Catalogue) -> Judged {
    let classified = classify(evidence, classifier());
    let findings = judge(evidence, &classified, catalogue);
    Judged { document: wire::Inspection::new(evidence, &classified, &findings), findings }
}

/// Returns the exit code for one answer; says on standard error why a site was not inspected.
fn exit_code(document: &wire::Inspection, rules: &[RuleId], baseline: &Baseline) -> u8 {
    if document.outcome != Outcome::Inspected {
        let why = document.why.as_deref().unwrap_or("no reason is known");
        eprintln!("vigie: `{}` could not be inspected: {why}", document.site.requested_url);
        return 2;
    }
    u8::from(!export::failing(document, rules, baseline).is_empty())
}

/// What continuous integration wants of all answers together. Only where it wants a file are answers kept for it.
struct Build<'a> {
    options: &'a BuildArguments,
    baseline: Baseline,
    documents: Vec<wire::Inspection>,
    worst: u8,
}

impl<'a> Build<'a> {
    fn new(options: &'a BuildArguments) -> Result<Self, Fault> {
        let baseline = match &options.baseline {
            Some(path) => {
                let unusable = |why: String| Fault::Baseline { path: path.clone(), why };
                let text = std::fs::read_to_string(path).map_err(|error| unusable(keep::in_full(&error)))?;
                Baseline::parse(&text).map_err(|error| unusable(error.to_string()))?
            }
            None => Baseline::default(),
        };
        Ok(Self { options, baseline, documents: Vec::new(), worst: 0 })
    }

    fn take(&mut self, document: wire::Inspection) {
        self.worst = self.worst.max(exit_code(&document, &self.options.fail_on, &self.baseline));
        let options = self.options;
        let files = [&options.sarif, &options.junit, &options.csv, &options.write_baseline];
        if files.iter().any(|file| file.is_some()) {
            self.documents.push(document);
        }
    }

    /// Writes what is wanted and returns the exit code.
    fn end(self) -> Result<u8, Fault> {
        let Self { options, baseline, documents, worst } = self;
        let write = |path: &Option<PathBuf>, text: &dyn Fn() -> String| {
            path.as_ref().map_or(Ok(()), |path| keep::file(path, text().as_bytes()))
        };
        write(&options.sarif, &|| export::sarif::log(&documents, &baseline).to_string())?;
        write(&options.junit, &|| export::junit::document(&documents, &options.fail_on, &baseline))?;
        write(&options.csv, &|| export::csv::findings(&documents))?;
        write(&options.write_baseline, &|| Baseline::of(&documents).to_text())?;
        Ok(worst)
    }
}

/// Prints on standard output; whoever stopped reading does not want the rest.
pub fn print_line(text: &str) {
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
pub fn file_name(host: &str) -> String {
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
