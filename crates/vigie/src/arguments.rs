//! What can be said on the command line.

use crate::choices::ChoicesOptions;
use crate::gateway::arguments::{GatewayOptions, ReportOptions};
use crate::ledger::arguments::{LedgerOptions, WitnessOptions};
use crate::policy::arguments::PolicyOptions;
use crate::sample::SampleOptions;
use crate::series::SeriesOptions;
use crate::transfer::TransferOptions;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use vigie_browser::Patience;
use vigie_domain::{RuleId, Scenario};
use vigie_inspection::report::Language;

/// Watches whether a service keeps people's "no".
#[derive(Debug, Parser)]
#[command(name = "vigie", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Arguments {
    /// What every command understands.
    #[command(flatten)]
    pub common: Common,
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command understands.
#[derive(Debug, Args)]
pub struct Common {
    /// Where everything that is kept goes [default: $XDG_DATA_HOME/vigie]
    #[arg(long, global = true, value_name = "DIR", env = "VIGIE_HOME")]
    pub home: Option<PathBuf>,
    /// Print one JSON document on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// Say nothing on standard error but errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// How errors are printed
    #[arg(long, global = true, value_name = "FORMAT", default_value = "fancy")]
    pub error_format: ErrorFormat,
}

/// How errors are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ErrorFormat {
    /// With colour on a terminal.
    Fancy,
    /// Plain sentences, for screen readers.
    Plain,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Visit a site and say what a yes and a no cost, what is stored and sent, and which rule each fact engages
    Inspect(InspectOptions),
    /// Derive the findings again from a bundle, without a browser
    Judge(JudgeOptions),
    /// Check a bundle or a receipt, offline: every byte, the signatures, the timestamps, the ledger
    Verify(VerifyOptions),
    /// Ask time-stamping authorities when a bundle existed, and keep their answers in it
    Timestamp(TimestampOptions),
    /// Show a bundle in the form of another program
    Export(ExportOptions),
    /// Say what changed at a site, from the bundles of its inspections
    Timeline(TimelineOptions),
    /// Say what differs between two bundles
    Compare(CompareOptions),
    /// Print the key that signs this user's bundles, made at first use
    Key,
    /// Inspect many sites, and sum up what was found
    Campaign(CampaignOptions),
    /// Write, serve, read and check ledgers from which nothing can be taken unseen
    Ledger(LedgerOptions),
    /// Be a witness of other people's ledgers
    Witness(WitnessOptions),
    /// Draft, check, compare and apply who may read what in a database
    Policy(PolicyOptions),
    /// Keep what people chose in a database, and its masks true
    Choices(ChoicesOptions),
    /// Stand between readers and a database: decide, enforce, account for every row
    Gateway(GatewayOptions),
    /// Hand data over to others: only of who agreed, each batch accounted for, and stopped by orders
    Transfer(TransferOptions),
    /// Demand a sample of what was handed over or read, answer one, check one
    Sample(SampleOptions),
    /// Say who read a person's data, and prove it
    AccessReport(ReportOptions),
    /// Release scheduled figures with differential privacy, and keep their budget
    Series(SeriesOptions),
    /// Read statements for a gateway, which starts this itself
    #[command(hide = true)]
    StatementReader,
    /// Serve the sample platform on this machine and inspect it
    Demo(DemoOptions),
    /// Say what is missing on this machine, and how to get it
    Doctor(DoctorOptions),
}

/// How the browser is started and how visits are made.
#[derive(Debug, Clone, Args)]
pub struct VisitArguments {
    /// Scenarios to play, for instance S0,S1,S2 [default: all that need nothing supplied]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = parse_scenario)]
    pub scenarios: Vec<Scenario>,
    /// The visitor's locale
    #[arg(long, value_name = "TAG", default_value = "en-GB")]
    pub locale: String,
    /// The visitor's time zone, for instance Europe/Paris [default: this machine's]
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// Width and height of the viewport in CSS pixels
    #[arg(long, value_name = "WxH", default_value = "1366x768", value_parser = parse_viewport)]
    pub viewport: (u32, u32),
    /// The Chromium to use [default: the first on the search path]
    #[arg(long, value_name = "PATH")]
    pub chromium: Option<PathBuf>,
    /// A further argument for Chromium; may be repeated
    #[arg(long = "chromium-arg", value_name = "ARG", allow_hyphen_values = true)]
    pub chromium_arguments: Vec<String>,
    /// Accept certificates that do not verify; the evidence says so
    #[arg(long)]
    pub ignore_certificate_errors: bool,
    /// How long one inspection may take
    #[arg(long, value_name = "SECONDS", default_value_t = 90, value_parser = clap::value_parser!(u64).range(5..=3600))]
    pub timeout: u64,
    /// How long quiet must last before anything is sampled
    #[arg(long, value_name = "WHICH", default_value = "standard")]
    pub patience: PatienceArgument,
    /// Where the evidence and the report go [default: below the home folder]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Write no report
    #[arg(long)]
    pub no_report: bool,
    /// The language of the report
    #[arg(long, value_name = "LANGUAGE", default_value = "en")]
    pub language: LanguageArgument,
}

impl VisitArguments {
    /// Returns what holds if nothing is said.
    pub fn by_default() -> Self {
        #[derive(Parser)]
        struct Alone {
            #[command(flatten)]
            visit: VisitArguments,
        }
        Alone::parse_from(["vigie"]).visit
    }
}

/// `vigie inspect`.
#[derive(Debug, Args)]
pub struct InspectOptions {
    /// Addresses, beginning with https:// or http://
    #[arg(required = true, value_name = "URL")]
    pub urls: Vec<String>,
    /// Sites inspected side by side
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: u16,
    /// Ask this time-stamping authority (RFC 3161) for a timestamp; may be repeated
    #[arg(long, value_name = "URL")]
    pub timestamp: Vec<String>,
    /// Log a commitment to each bundle in this ledger, a folder or an address, and leave its receipt beside the bundle
    #[arg(long, value_name = "LEDGER", env = "VIGIE_LEDGER")]
    pub ledger: Option<String>,
    /// The token that the ledger's server asks for
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// For continuous integration.
    #[command(flatten)]
    pub build: BuildArguments,
    /// How visits are made.
    #[command(flatten)]
    pub visit: VisitArguments,
}

/// For continuous integration: what fails a build, and in which forms it is told.
#[derive(Debug, Default, Args)]
pub struct BuildArguments {
    /// Exit with 1 only for breaches of these rules, for instance CK-05,CK-06 [default: of any]
    #[arg(long, value_name = "RULES", value_delimiter = ',', value_parser = parse_rule)]
    pub fail_on: Vec<RuleId>,
    /// Breaches that are known: they are shown, and exit with 0
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Write the breaches that are found as a baseline
    #[arg(long, value_name = "FILE")]
    pub write_baseline: Option<PathBuf>,
    /// Write the findings as SARIF 2.1.0
    #[arg(long, value_name = "FILE")]
    pub sarif: Option<PathBuf>,
    /// Write the findings as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write the findings as CSV
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
}

/// `vigie export`.
#[derive(Debug, Args)]
pub struct ExportOptions {
    /// The bundle
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// In which form
    #[arg(long, value_name = "FORM")]
    pub form: Form,
    /// Where to [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The language of a report (html, pdf)
    #[arg(long, value_name = "LANGUAGE", default_value = "en")]
    pub language: LanguageArgument,
    /// The Chromium that prints a PDF [default: the first on the search path]
    #[arg(long, value_name = "PATH")]
    pub chromium: Option<PathBuf>,
}

/// `--language`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LanguageArgument {
    /// English
    En,
    /// French
    Fr,
}

impl From<LanguageArgument> for Language {
    fn from(argument: LanguageArgument) -> Self {
        match argument {
            LanguageArgument::En => Self::English,
            LanguageArgument::Fr => Self::French,
        }
    }
}

/// `--form`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Findings, for code scanning (SARIF 2.1.0)
    Sarif,
    /// Findings, for continuous integration (JUnit XML)
    Junit,
    /// Findings, for spreadsheets (RFC 4180)
    Csv,
    /// Traffic of the visits that play scenarios (HAR 1.2)
    Har,
    /// The report, as a page
    Html,
    /// The report, on paper; printed by Chromium
    Pdf,
}

/// `vigie judge`.
#[derive(Debug, Args)]
pub struct JudgeOptions {
    /// The bundle that an inspection left
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// Judge by another catalogue: a day such as 2026-11-22 for the one that was in force, a folder of rules, or
    /// `bundle` for the one that the bundle holds [default: this program's]
    #[arg(long, value_name = "AT")]
    pub rules: Option<PathBuf>,
}

/// `vigie verify`.
#[derive(Debug, Args)]
pub struct VerifyOptions {
    /// The bundle, or a receipt (.tlog-proof)
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Which ledgers and witnesses are believed (C2SP tlog-policy); a bundle's receipt is looked for beside it
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// The entry that a receipt is for, where it does not carry it itself
    #[arg(long, value_name = "FILE")]
    pub entry: Option<PathBuf>,
    /// Certificates (PEM) of the timestamp authorities that are trusted
    #[arg(long, value_name = "FILE")]
    pub tsa_ca: Option<PathBuf>,
}

/// `vigie timestamp`.
#[derive(Debug, Args)]
pub struct TimestampOptions {
    /// The bundle
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// A time-stamping authority (RFC 3161); may be repeated, and two are better than one
    #[arg(long = "url", value_name = "URL", required = true)]
    pub urls: Vec<String>,
}

/// `vigie timeline`.
#[derive(Debug, Args)]
pub struct TimelineOptions {
    /// The site: its address, or its host
    #[arg(value_name = "SITE")]
    pub site: String,
    /// The folder of the bundles [default: below the home folder]
    #[arg(long = "in", value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// Write it as a page too
    #[arg(long, value_name = "FILE")]
    pub page: Option<PathBuf>,
    /// The language of the page
    #[arg(long, value_name = "LANGUAGE", default_value = "en")]
    pub language: LanguageArgument,
}

/// `vigie compare`.
#[derive(Debug, Args)]
pub struct CompareOptions {
    /// The bundle of the earlier inspection
    #[arg(value_name = "BEFORE")]
    pub before: PathBuf,
    /// The bundle of the later one
    #[arg(value_name = "AFTER")]
    pub after: PathBuf,
}

/// `vigie campaign`.
#[derive(Debug, Args)]
pub struct CampaignOptions {
    /// What is to be done with the campaign.
    #[command(subcommand)]
    pub command: CampaignCommand,
}

/// What can be done with a campaign.
#[derive(Debug, Subcommand)]
pub enum CampaignCommand {
    /// Inspect every site of a list, or go on with it
    Run(CampaignRunOptions),
    /// Go on with a campaign, with the sites and settings that it has
    Resume(CampaignResumeOptions),
    /// Inspect for a campaign that runs on another machine
    Work(CampaignWorkOptions),
    /// Write the page with a campaign's numbers
    Report(CampaignReportOptions),
    /// Write a campaign's tables for other tools
    Export(CampaignExportOptions),
}

/// Where a campaign's work is done and its bundles go.
#[derive(Debug, Args)]
pub struct CampaignShare {
    /// Sites inspected side by side; with a queue, jobs that are out at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub jobs: u16,
    /// Leave the inspections to the workers of a queue, for instance nats://127.0.0.1:4222
    #[arg(long, value_name = "URL", env = "VIGIE_QUEUE")]
    pub queue: Option<String>,
    /// Put bundles in a store: s3://bucket/prefix, or file:///folder
    #[arg(long, value_name = "URL", env = "VIGIE_STORE")]
    pub store: Option<String>,
}

/// `vigie campaign run`.
#[derive(Debug, Args)]
pub struct CampaignRunOptions {
    /// One address a line with tags, or CSV with a header (url,country,tags)
    #[arg(value_name = "LIST")]
    pub list: PathBuf,
    /// How often each site is inspected
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub repeat: u16,
    /// How long a site is left alone between two inspections
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = parse_pause)]
    pub pause: f64,
    /// Go on with other settings than the campaign was started with; the summary says so
    #[arg(long)]
    pub adopt_settings: bool,
    /// Who works, and where bundles go.
    #[command(flatten)]
    pub share: CampaignShare,
    /// How visits are made.
    #[command(flatten)]
    pub visit: VisitArguments,
}

/// `vigie campaign resume`.
#[derive(Debug, Args)]
pub struct CampaignResumeOptions {
    /// The campaign's folder
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The Chromium to use [default: the first on the search path]
    #[arg(long, value_name = "PATH")]
    pub chromium: Option<PathBuf>,
    /// Who works, and where bundles go.
    #[command(flatten)]
    pub share: CampaignShare,
}

/// `vigie campaign work`.
#[derive(Debug, Args)]
pub struct CampaignWorkOptions {
    /// The worker's name in results [default: a name of this process]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// End when nothing has come for so long [default: wait for ever]
    #[arg(long, value_name = "SECONDS")]
    pub idle: Option<u64>,
    /// Who works, and where bundles go.
    #[command(flatten)]
    pub share: CampaignShare,
    /// How the browser is started; how visits are made comes with each job.
    #[command(flatten)]
    pub visit: VisitArguments,
}

/// `vigie campaign report`.
#[derive(Debug, Args)]
pub struct CampaignReportOptions {
    /// The campaign's folder
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The page [default: summary.html in the campaign's folder]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `vigie campaign export`.
#[derive(Debug, Args)]
pub struct CampaignExportOptions {
    /// The campaign's folder
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// `parquet` or `csv`
    #[arg(long, value_name = "FORMAT")]
    pub format: vigie_campaign::export::Format,
    /// Where the tables go [default: `tables` in the campaign's folder]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `vigie demo`.
#[derive(Debug, Args)]
pub struct DemoOptions {
    /// Only serve the sample platform, until interrupted, and say how to open it
    #[arg(long)]
    pub serve: bool,
    /// How visits are made.
    #[command(flatten)]
    pub visit: VisitArguments,
}

/// `vigie doctor`.
#[derive(Debug, Args)]
pub struct DoctorOptions {
    /// The Chromium to look at [default: the first on the search path]
    #[arg(long, value_name = "PATH")]
    pub chromium: Option<PathBuf>,
}

/// `--patience`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PatienceArgument {
    /// A short while
    Standard,
    /// Fifteen seconds past network quiet, for a formal inspection
    Thorough,
}

impl From<PatienceArgument> for Patience {
    fn from(argument: PatienceArgument) -> Self {
        match argument {
            PatienceArgument::Standard => Self::Standard,
            PatienceArgument::Thorough => Self::Thorough,
        }
    }
}

/// Reads a scenario that this version can play.
pub fn parse_scenario(text: &str) -> Result<Scenario, String> {
    let scenario: Scenario =
        text.parse().map_err(|error: vigie_domain::scenario::UnknownScenario| error.to_string())?;
    if Scenario::BY_DEFAULT.contains(&scenario) {
        Ok(scenario)
    } else {
        Err(format!("scenario `{scenario}` cannot be played by this version; expected one of S0 to S8"))
    }
}

fn parse_pause(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err(format!("pause `{text}` is not a number of seconds from 0 to 3600")),
    }
}

/// Reads the size of a viewport.
fn parse_rule(text: &str) -> Result<RuleId, String> {
    let number = text.trim().strip_prefix("CK-").and_then(|number| number.parse::<u8>().ok());
    number
        .filter(|number| (1..=RuleId::LAST).contains(number))
        .map(RuleId::ck)
        .ok_or_else(|| format!("rule `{text}` is not known; expected CK-01 to CK-40"))
}

pub fn parse_viewport(text: &str) -> Result<(u32, u32), String> {
    let expected = || format!("viewport `{text}` is not of the form WIDTHxHEIGHT, for instance 1366x768");
    let (width, height) = text.split_once(['x', 'X']).ok_or_else(expected)?;
    let size = (width.parse().map_err(|_| expected())?, height.parse().map_err(|_| expected())?);
    if (200..=7680).contains(&size.0) && (200..=7680).contains(&size.1) {
        Ok(size)
    } else {
        Err(format!("viewport `{text}` is out of bounds; expected 200 to 7680 pixels each way"))
    }
}
