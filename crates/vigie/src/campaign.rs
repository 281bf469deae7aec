//! `vigie campaign`: many sites, on this machine or on many, and the page that sums them up.
//!
//! What a campaign is, is `vigie_campaign`'s; here it gets its inspections, all from one warm browser. A browser that is
//! gone fails the inspections it was at, which are tried again, and is replaced for the next.
//!
//! What `--json` prints is described in `schemas/campaign-1.json` and `schemas/campaign-files-1.json`; tests that run the
//! program hold it against them.

use crate::{
    arguments::{
        CampaignCommand, CampaignExportOptions, CampaignOptions, CampaignReportOptions, CampaignResumeOptions,
        CampaignRunOptions, CampaignShare, CampaignWorkOptions, Common, PatienceArgument, VisitArguments,
    },
    fault::Fault,
    inspect::{self, Keeping, print_line},
    keep,
};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    collections::BTreeMap,
    io::IsTerminal,
    num::{NonZeroU16, NonZeroUsize},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::Mutex;
use vigie_browser::{Browser, LaunchOptions};
use vigie_campaign::{
    Campaign, CampaignError, Difference, Done, Job, List, Observer, Progress, Reading, Settings, export,
    queue::{Queue, Worker, coordinate, work},
    runner::{self, Attempt, Ran},
    shelf::Shelf,
    store::Opened,
    summary,
};
use vigie_domain::Scenario;
use vigie_evidence::Key;
use vigie_inspection::inspect::plan::Silent;

/// Does what is to be done with the campaign. Returns the exit code.
pub async fn run(options: &CampaignOptions, common: &Common) -> Result<u8, Fault> {
    match &options.command {
        CampaignCommand::Run(options) => start(options, common).await,
        CampaignCommand::Resume(options) => resume(options, common).await,
        CampaignCommand::Work(options) => serve(options, common).await,
        CampaignCommand::Report(options) => report(options, common),
        CampaignCommand::Export(options) => write_tables(options, common),
    }
}

async fn start(options: &CampaignRunOptions, common: &Common) -> Result<u8, Fault> {
    let text = std::fs::read_to_string(&options.list)
        .map_err(|error| failed(format!("the list `{}` cannot be read: {error}", options.list.display())))?;
    let list = List::parse(&text)
        .map_err(|error| failed(format!("the list `{}` cannot be used: {error}", options.list.display())))?;
    let folder = if let Some(out) = &options.visit.out {
        out.clone()
    } else {
        let name = options.list.file_stem().unwrap_or_default();
        keep::home(common)?.join("campaigns").join(name)
    };
    let settings = Settings {
        repeats: NonZeroU16::new(options.repeat).unwrap_or(NonZeroU16::MIN),
        pause: Duration::from_secs_f64(options.pause),
        inspection: settings_of(&options.visit),
        ..Settings::default()
    };
    let difference = if options.adopt_settings { Difference::Adopt } else { Difference::Refuse };
    let opened = Campaign::open(&folder, Some(&list), &settings, difference).map_err(campaign_failed)?;
    if !common.quiet && !common.json {
        list.duplicates.iter().for_each(|duplicate| eprintln!("{duplicate}"));
    }
    run_it(opened, &options.share, &options.visit, common).await
}

async fn resume(options: &CampaignResumeOptions, common: &Common) -> Result<u8, Fault> {
    let opened = Campaign::resume(&options.folder).map_err(campaign_failed)?;
    let visit = VisitArguments { chromium: options.chromium.clone(), ..VisitArguments::by_default() };
    let visit = with_settings(&visit, &opened.0.settings().inspection).map_err(failed)?;
    run_it(opened, &options.share, &visit, common).await
}

async fn run_it(
    (campaign, opened): (Campaign, Opened),
    share: &CampaignShare,
    visit: &VisitArguments,
    common: &Common,
) -> Result<u8, Fault> {
    let shelf = open_shelf(share)?;
    let watcher = Watcher::new(&opened, common);
    let jobs = NonZeroUsize::from(NonZeroU16::new(share.jobs).unwrap_or(NonZeroU16::MIN));
    let ran = if let Some(address) = &share.queue {
        let queue = Queue::connect(address).await.map_err(|error| failed(error.to_string()))?;
        let ran = coordinate(&campaign, &queue, shelf.as_ref(), jobs, &watcher, inspect::interrupted()).await;
        ran.map_err(|error| failed(chain(&error)))?
    } else {
        let inspector = Inspector::new(visit, campaign.folder().join("bundles"), shelf, keep::key(common)?)?;
        let inspect = |job| Arc::clone(&inspector).inspect(job);
        let ran = runner::run(&campaign, jobs, inspect, &watcher, inspect::interrupted()).await;
        inspector.close().await;
        ran.map_err(campaign_failed)?
    };
    drop(watcher);
    finish(&campaign, &ran, common)
}

/// Says how it went, and writes the summary. Returns the exit code.
fn finish(campaign: &Campaign, ran: &Ran, common: &Common) -> Result<u8, Fault> {
    let reading = Reading::open(campaign.folder()).map_err(campaign_failed)?;
    let page = write_summary(&reading, &campaign.folder().join("summary.html"))?;
    let progress = &ran.progress;
    if common.json {
        let document = serde_json::json!({
            "schema": "vigie-campaign/1", "campaign": campaign.id(), "folder": campaign.folder(), "summary": page,
            "complete": ran.complete, "total": progress.total, "done": progress.done, "failed": progress.failed,
        });
        print_line(&document.to_string());
    } else if !common.quiet {
        print_line(&format!(
            "{} of {} inspections done, {} came to nothing; the summary is {}",
            progress.done,
            progress.total,
            progress.failed,
            page.display()
        ));
    }
    if !ran.complete {
        eprintln!("vigie: interrupted; `vigie campaign resume {}` goes on", campaign.folder().display());
        return Ok(2);
    }
    Ok(u8::from(reading.has_breach().map_err(campaign_failed)?))
}

async fn serve(options: &CampaignWorkOptions, common: &Common) -> Result<u8, Fault> {
    let Some(address) = &options.share.queue else {
        return Err(Fault::Campaign {
            why: "a worker needs a queue to work for".to_owned(),
            help: Some("name it with `--queue nats://host:4222`".to_owned()),
        });
    };
    let shelf = open_shelf(&options.share)?;
    let queue = Queue::connect(address).await.map_err(|error| failed(error.to_string()))?;
    let out = match &options.visit.out {
        Some(out) => out.clone(),
        None => keep::home(common)?.join("work"),
    };
    // The worker itself puts bundles on the shelf, before it answers.
    let inspector = Inspector::new(&options.visit, out, None, keep::key(common)?)?;
    let worker = Worker {
        name: options.name.clone().unwrap_or_else(|| format!("worker-{}", std::process::id())),
        jobs: NonZeroUsize::from(NonZeroU16::new(options.share.jobs).unwrap_or(NonZeroU16::MIN)),
        idle: options.idle.map(Duration::from_secs),
    };
    let inspect = |job| Arc::clone(&inspector).inspect(job);
    let worked = work(&queue, &worker, shelf.as_ref(), inspect, inspect::interrupted()).await;
    inspector.close().await;
    let worked = worked.map_err(|error| failed(error.to_string()))?;
    if !common.quiet && !common.json {
        print_line(&format!("{} answered {} jobs", worker.name, worked.answered));
    }
    Ok(0)
}

fn report(options: &CampaignReportOptions, common: &Common) -> Result<u8, Fault> {
    let reading = Reading::open(&options.folder).map_err(campaign_failed)?;
    let page = options.out.clone().unwrap_or_else(|| options.folder.join("summary.html"));
    print_paths(&[write_summary(&reading, &page)?], common);
    Ok(0)
}

fn write_tables(options: &CampaignExportOptions, common: &Common) -> Result<u8, Fault> {
    let reading = Reading::open(&options.folder).map_err(campaign_failed)?;
    let out = options.out.clone().unwrap_or_else(|| options.folder.join("tables"));
    let files = export::export(&reading, &out, options.format).map_err(campaign_failed)?;
    print_paths(&files, common);
    Ok(0)
}

fn write_summary(reading: &Reading, path: &Path) -> Result<PathBuf, Fault> {
    let page = summary::Rows::read(reading).and_then(|rows| summary::render(&rows)).map_err(campaign_failed)?;
    // Whole or not at all: somebody may be looking at the former one.
    keep::file(path, page.as_bytes())?;
    Ok(path.to_owned())
}

/// Inspects for a campaign, all in one browser.
struct Inspector {
    visit: VisitArguments,
    out: PathBuf,
    shelf: Option<Shelf>,
    key: Key,
    browser: Mutex<Option<Arc<Browser>>>,
}

impl Inspector {
    fn new(visit: &VisitArguments, out: PathBuf, shelf: Option<Shelf>, key: Key) -> Result<Arc<Self>, Fault> {
        keep::prepare(&out)?;
        Ok(Arc::new(Self { visit: visit.clone(), out, shelf, key, browser: Mutex::new(None) }))
    }

    async fn inspect(self: Arc<Self>, job: Job) -> Result<Done, String> {
        let visit = with_settings(&self.visit, &job.settings)?;
        // The browser is started once, and with what this program was told.
        if visit.chromium_arguments != self.visit.chromium_arguments
            || visit.ignore_certificate_errors != self.visit.ignore_certificate_errors
        {
            return Err("the campaign starts its browsers with other arguments than this worker".to_owned());
        }
        let browser = self.browser().await?;
        let plan = inspect::plan(job.url.clone(), &visit);
        let spool = keep::spool(&self.out).map_err(|fault| fault.to_string())?;
        let inspected = inspect::inspect_one(Arc::clone(&browser), plan, spool, Arc::new(Silent)).await;
        let inspected = inspected.map_err(|error| error.to_string())?;
        drop(browser);
        let (out, key, no_report) = (self.out.clone(), self.key.clone(), visit.no_report);
        let language = visit.language.into();
        let keep = move || {
            let keeping = Keeping { out: &out, key: &key, no_report, language, timestamp: &[] };
            let kept = inspect::keep_inspection(&inspected, &keeping)?;
            Ok::<_, Fault>((inspect::json_of(&kept.document)?, kept.bundle))
        };
        let kept = tokio::task::spawn_blocking(keep).await;
        let (answer, bundle) = kept.map_err(|error| error.to_string())?.map_err(|fault| fault.to_string())?;
        let done = Done::new(answer).with_files(bundle);
        match &self.shelf {
            Some(shelf) => shelf.keep(&job, done).await.map_err(|error| error.to_string()),
            None => Ok(done),
        }
    }

    async fn browser(&self) -> Result<Arc<Browser>, String> {
        let mut browser = self.browser.lock().await;
        if let Some(warm) = browser.as_ref().filter(|browser| browser.is_running()) {
            return Ok(Arc::clone(warm));
        }
        let launch = LaunchOptions {
            program: self.visit.chromium.clone(),
            arguments: self.visit.chromium_arguments.clone(),
            ignore_certificate_errors: self.visit.ignore_certificate_errors,
        };
        let launched = Arc::new(Browser::launch(&launch).await.map_err(|error| error.to_string())?);
        Ok(Arc::clone(browser.insert(launched)))
    }

    /// Ends the browser before we say how it went.
    async fn close(&self) {
        if let Some(browser) = self.browser.lock().await.take().and_then(Arc::into_inner) {
            browser.close().await;
        }
    }
}

/// Returns, by name, what of the options decides what an inspection finds. The rest is this machine's own affair.
fn settings_of(visit: &VisitArguments) -> BTreeMap<String, String> {
    let scenarios = if visit.scenarios.is_empty() { Scenario::BY_DEFAULT.to_vec() } else { visit.scenarios.clone() };
    let patience = match visit.patience {
        PatienceArgument::Standard => "standard",
        PatienceArgument::Thorough => "thorough",
    };
    let mut settings = BTreeMap::from([
        ("scenarios", scenarios.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")),
        ("locale", visit.locale.clone()),
        ("viewport", format!("{}x{}", visit.viewport.0, visit.viewport.1)),
        ("patience", patience.to_owned()),
        ("timeout", visit.timeout.to_string()),
        ("ignore-certificate-errors", visit.ignore_certificate_errors.to_string()),
        ("chromium-arg", visit.chromium_arguments.join("\n")),
    ]);
    settings.extend(visit.timezone.clone().map(|zone| ("timezone", zone)));
    settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Returns the options with a campaign's settings in their place.
fn with_settings(own: &VisitArguments, settings: &BTreeMap<String, String>) -> Result<VisitArguments, String> {
    use crate::arguments::{parse_scenario, parse_viewport};
    let mut visit = own.clone();
    visit.timezone = settings.get("timezone").cloned();
    for (name, value) in settings {
        match name.as_str() {
            "scenarios" => visit.scenarios = value.split(',').map(parse_scenario).collect::<Result<_, _>>()?,
            "locale" => visit.locale = value.clone(),
            "viewport" => visit.viewport = parse_viewport(value)?,
            "patience" if value == "thorough" => visit.patience = PatienceArgument::Thorough,
            "patience" => visit.patience = PatienceArgument::Standard,
            "timeout" => visit.timeout = value.parse().map_err(|_| format!("timeout `{value}` is no number"))?,
            "ignore-certificate-errors" => visit.ignore_certificate_errors = value == "true",
            "chromium-arg" => {
                visit.chromium_arguments = value.lines().map(str::to_owned).collect();
            }
            "timezone" => {}
            other => return Err(format!("the campaign has the setting `{other}`, which this version does not know")),
        }
    }
    Ok(visit)
}

/// Progress of a campaign on standard error, for a person at a terminal.
struct Watcher {
    bar: Option<ProgressBar>,
}

impl Watcher {
    fn new(opened: &Opened, common: &Common) -> Self {
        let wanted = !common.quiet && !common.json;
        if wanted && opened.resumed {
            eprintln!(
                "The campaign goes on; inspections that were cut short and are made again: {}",
                opened.taken_back
            );
        }
        for adopted in &opened.adopted {
            eprintln!("vigie: the campaign goes on with other settings: {adopted}");
        }
        if !wanted || !std::io::stderr().is_terminal() {
            return Self { bar: None };
        }
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} of {len} ({msg})") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(500));
        Self { bar: Some(bar) }
    }

    fn show(&self, progress: &Progress) {
        let Some(bar) = &self.bar else { return };
        bar.set_length(progress.total as u64);
        bar.set_position((progress.done + progress.failed) as u64);
        let pace = match (progress.per_hour, progress.left) {
            (Some(per_hour), Some(left)) => {
                format!(", {per_hour:.0} an hour, about {} min left", left.as_secs().div_ceil(60))
            }
            _ => String::new(),
        };
        bar.set_message(format!("{} running, {} came to nothing{pace}", progress.running, progress.failed));
    }
}

impl Observer for Watcher {
    fn started(&self, _: &Job, progress: &Progress) {
        self.show(progress);
    }

    fn ended(&self, job: &Job, attempt: &Attempt<'_>, progress: &Progress) {
        if let (Some(bar), Some(why)) = (&self.bar, attempt.why) {
            let again = attempt.again.map_or(String::new(), |wait| format!("; again in {} s", wait.as_secs()));
            bar.println(format!("{} {}: {why}{again}", job.url, attempt.outcome));
        }
        self.show(progress);
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn open_shelf(share: &CampaignShare) -> Result<Option<Shelf>, Fault> {
    share.store.as_deref().map(Shelf::open).transpose().map_err(|error| failed(error.to_string()))
}

fn failed(why: String) -> Fault {
    Fault::Campaign { why, help: None }
}

fn campaign_failed(error: CampaignError) -> Fault {
    Fault::Campaign { help: error.help().map(str::to_owned), why: chain(&error) }
}

/// Returns an error with its causes, in one sentence.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    std::iter::once(error.to_string()).chain(causes.map(ToString::to_string)).collect::<Vec<_>>().join(": ")
}

fn print_paths(paths: &[PathBuf], common: &Common) {
    if common.json {
        print_line(&serde_json::json!({ "schema": "vigie-campaign-files/1", "files": paths }).to_string());
    } else if !common.quiet {
        paths.iter().for_each(|path| print_line(&path.display().to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides_a_finding_goes_to_every_machine_and_back() {
        let mut visit = VisitArguments::by_default();
        visit.locale = "fr-FR".to_owned();
        visit.viewport = (390, 844);
        visit.patience = PatienceArgument::Thorough;
        visit.timezone = Some("Europe/Paris".to_owned());
        let settings = settings_of(&visit);
        let read = with_settings(&VisitArguments::by_default(), &settings).unwrap();
        assert_eq!(settings_of(&read), settings);
    }
}
