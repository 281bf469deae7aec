//! `vigie choices`: what people chose, in the operator's database.
//!
//! `record`, `stop` and `lift` write what somebody said or ordered, `serve` lets people do so themselves; the others keep
//! masks true. Ids of people are read from
//! the command line where one is meant, and never printed except by `check --people`.

mod serving;

use crate::{
    arguments::Common,
    fault::Fault,
    inspect::{json_of, print_line},
    keep::in_full,
    policy::{arguments::DatabaseArguments, connected, map_of},
};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use serving::ServeOptions;
use std::{path::PathBuf, time::SystemTime};
use tokio_postgres::Client;
use vigie_choices::{Choices, ChoicesError, Evidence, Mismatch, Report, State, StopOrder, Subject, jsonld::Controller};

/// `vigie choices`.
#[derive(Debug, Args)]
pub struct ChoicesOptions {
    /// What is to be done with choices.
    #[command(subcommand)]
    pub command: ChoicesCommand,
}

/// What can be done with choices.
#[derive(Debug, Subcommand)]
pub enum ChoicesCommand {
    /// Install or migrate the schema `vigie` for a data map
    Install(InstallOptions),
    /// Record what a person said, and bring it into force
    Record(RecordOptions),
    /// Write a person's whole record as JSON-LD (ISO/IEC TS 27560, as DPV maps it)
    Export(ExportOptions),
    /// Serve the HTTP API and the banner by which people choose
    Serve(ServeOptions),
    /// Order that processing stops, for a person or for everybody
    Stop(StopOptions),
    /// Lift a stop order
    Lift(LiftOptions),
    /// Look at every governed row, and say where a mask is not what people and orders say
    Check(CheckOptions),
    /// Recalculate everything from choices and orders
    Rebuild(BatchOptions),
    /// Write masks that follow in the background, and empty the stop set
    WorkOff(WorkOffOptions),
}

/// `vigie choices install`.
#[derive(Debug, Args)]
pub struct InstallOptions {
    /// The data map: a file, or a folder with `map.toml`
    #[arg(value_name = "MAP")]
    pub map: PathBuf,
    /// Change nothing, and say what would be changed
    #[arg(long)]
    pub dry_run: bool,
    /// Which database.
    #[command(flatten)]
    pub database: DatabaseArguments,
}

/// What a person said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StateArgument {
    /// Asked, not answered
    Requested,
    /// Said yes, or took back an objection
    Given,
    /// Said no, or objected
    Refused,
    /// Took a yes back
    Withdrawn,
    /// A yes that is too old
    Lapsed,
}

impl From<StateArgument> for State {
    fn from(argument: StateArgument) -> Self {
        match argument {
            StateArgument::Requested => Self::Requested,
            StateArgument::Given => Self::Given,
            StateArgument::Refused => Self::Refused,
            StateArgument::Withdrawn => Self::Withdrawn,
            StateArgument::Lapsed => Self::Lapsed,
        }
    }
}

/// `vigie choices record`.
#[derive(Debug, Args)]
pub struct RecordOptions {
    /// The person's id
    #[arg(value_name = "SUBJECT", allow_hyphen_values = true)]
    pub subject: String,
    /// The purpose
    #[arg(value_name = "PURPOSE")]
    pub purpose: String,
    /// What the person said
    #[arg(value_name = "STATE")]
    pub state: StateArgument,
    /// When, for instance 2026-11-30T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    pub decided_at: Option<jiff::Timestamp>,
    /// By what means
    #[arg(long, value_name = "WORD", default_value = "command line")]
    pub method: String,
    /// Which notice was shown
    #[arg(long, value_name = "NAME", default_value = "")]
    pub notice: String,
    /// The language of its words (BCP 47)
    #[arg(long, value_name = "TAG", default_value = "")]
    pub language: String,
    /// A file with the words that were shown; kept once
    #[arg(long, value_name = "FILE")]
    pub wording: Option<PathBuf>,
    /// To whom data may go [default: the operator itself]
    #[arg(long, value_name = "NAME", default_value = "")]
    pub recipient: String,
    /// Which database.
    #[command(flatten)]
    pub database: DatabaseArguments,
}

/// `vigie choices export`.
#[derive(Debug, Args)]
pub struct ExportOptions {
    /// The person's id
    #[arg(value_name = "SUBJECT", allow_hyphen_values = true)]
    pub subject: String,
    /// Who is answerable for the processing
    #[arg(long, value_name = "NAME")]
    pub controller: String,
    /// How the controller is reached
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    pub contact: String,
    /// Which database.
    #[command(flatten)]
    pub database: DatabaseArguments,
}

/// `vigie choices stop`.
#[derive(Debug, Args)]
pub struct StopOptions {
    /// Whose data
    #[arg(long, value_name = "ID", allow_hyphen_values = true, required_unless_present = "everybody")]
    pub subject: Option<String>,
    /// Everybody's data
    #[arg(long, conflicts_with = "subject")]
    pub everybody: bool,
    /// For which purpose [default: all]
    #[arg(long, value_name = "PURPOSE")]
    pub purpose: Option<String>,
    /// Who ordered it
    #[arg(long, value_name = "NAME")]
    pub ordered_by: String,
    /// The file or decision
    #[arg(long, value_name = "TEXT")]
    pub reference: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Which database.
    #[command(flatten)]
    pub database: DatabaseArguments,
}

/// `vigie choices lift`.
#[derive(Debug, Args)]
pub struct LiftOptions {
    /// The number of the order
    #[arg(value_name = "ORDER")]
    pub order: i64,
    /// Who lifts it
    #[arg(long, value_name = "NAME")]
    pub lifted_by: String,
    /// Which database.
    #[command(flatten)]
    pub database: DatabaseArguments,
}

/// `vigie choices check`.
#[derive(Debug, Args)]
pub struct CheckOptions {
    /// Name the people whose rows are wrong
    #[arg(long)]
    pub people: bool,
    /// The most rows that are named for each table
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: u32,
    /// Which database.
    #[command(flatten)]
    pub database: DatabaseArguments,
}

/// `vigie choices rebuild`.
#[derive(Debug, Args)]
pub struct BatchOptions {
    /// Rows and people of one transaction
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch: u32,
    /// Which database.
    #[command(flatten)]
    pub database: DatabaseArguments,
}

/// `vigie choices work-off`.
#[derive(Debug, Args)]
pub struct WorkOffOptions {
    /// Rows and people of one transaction
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch: u32,
    /// Go on for ever, until interrupted
    #[arg(long)]
    pub follow: bool,
    /// How long to wait for writers and readers from before a change to end, before giving up
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub patience: u64,
    /// Which database.
    #[command(flatten)]
    pub database: DatabaseArguments,
}

fn fault(error: ChoicesError) -> Fault {
    Fault::Database { why: in_full(&error), help: error.help() }
}

async fn opened(arguments: &DatabaseArguments) -> Result<(Client, Choices), Fault> {
    let client = connected(arguments).await?;
    let choices = Choices::open(&client).await.map_err(fault)?;
    Ok((client, choices))
}

/// Carries out `vigie choices …`.
pub async fn run(options: &ChoicesOptions, common: &Common) -> Result<u8, Fault> {
    match &options.command {
        ChoicesCommand::Install(options) => install(options, common).await,
        ChoicesCommand::Record(options) => record(options, common).await,
        ChoicesCommand::Export(options) => export(options).await,
        ChoicesCommand::Serve(options) => serving::serve(options, common).await,
        ChoicesCommand::Stop(options) => stop(options, common).await,
        ChoicesCommand::Lift(options) => lift(options, common).await,
        ChoicesCommand::Check(options) => check(options, common).await,
        ChoicesCommand::Rebuild(options) => rebuild(options, common).await,
        ChoicesCommand::WorkOff(options) => work_off(options, common).await,
    }
}

/// Prints the answer: a document, or a sentence.
fn answer(common: &Common, document: &serde_json::Value, sentence: &str) -> Result<(), Fault> {
    print_line(&if common.json { json_of(document)? } else { sentence.to_owned() });
    Ok(())
}

async fn install(options: &InstallOptions, common: &Common) -> Result<u8, Fault> {
    let map = map_of(&options.map)?;
    let mut client = connected(&options.database).await?;
    let report = if options.dry_run {
        Choices::plan(&mut client, &map).await.map_err(fault)?
    } else {
        Choices::install(&mut client, &map).await.map_err(fault)?.1
    };
    let document = json!({
        "schema": "choices-install/1",
        "dry_run": options.dry_run,
        "migrations": report.migrations,
        "purposes_added": report.purposes_added,
        "purposes_changed": report.purposes_changed,
        "purposes_retired": report.purposes_retired,
        "tables_added": report.tables_added,
        "tables_removed": report.tables_removed,
        "roles_made": report.roles_made,
        "functions_replaced": report.functions_replaced,
        "notes": report.notes,
    });
    answer(common, &document, &in_words(&report, options.dry_run))?;
    Ok(0)
}

fn in_words(report: &Report, dry_run: bool) -> String {
    let mut lines = Vec::new();
    let lists = [
        ("purposes added", &report.purposes_added),
        ("purposes changed", &report.purposes_changed),
        ("purposes retired", &report.purposes_retired),
        ("tables governed", &report.tables_added),
        ("tables no longer governed", &report.tables_removed),
        ("roles made", &report.roles_made),
    ];
    if !report.migrations.is_empty() {
        let numbers: Vec<String> = report.migrations.iter().map(ToString::to_string).collect();
        lines.push(format!("migrations: {}", numbers.join(", ")));
    }
    lines.extend(
        lists.iter().filter(|(_, list)| !list.is_empty()).map(|(what, list)| format!("{what}: {}", list.join(", "))),
    );
    if report.functions_replaced {
        lines.push("functions, triggers and grants written anew".to_owned());
    }
    if report.is_unchanged() {
        lines.push("nothing changed".to_owned());
    } else if dry_run {
        lines.insert(0, "would change:".to_owned());
    }
    lines.extend(report.notes.iter().map(|note| format!("note: {note}")));
    if !report.tables_added.is_empty() && !dry_run {
        lines.push("masks are written by `vigie choices work-off`".to_owned());
    }
    lines.join("\n")
}

async fn record(options: &RecordOptions, common: &Common) -> Result<u8, Fault> {
    let (client, choices) = opened(&options.database).await?;
    let subject = Subject::parse(choices.subject_type(), &options.subject).map_err(fault)?;
    let wording_hash = match &options.wording {
        None => None,
        Some(path) => {
            let unread = |error: std::io::Error| Fault::Choices {
                why: format!("`{}` cannot be read: {}", path.display(), in_full(&error)),
                help: None,
            };
            let words = std::fs::read_to_string(path).map_err(unread)?;
            Some(choices.keep_wording(&client, &words).await.map_err(fault)?)
        }
    };
    let evidence = Evidence {
        recipient: options.recipient.clone(),
        decided_at: options.decided_at.map_or_else(SystemTime::now, SystemTime::from),
        method: options.method.clone(),
        notice: options.notice.clone(),
        wording_hash,
        language: options.language.clone(),
    };
    let in_force = choices.record(&client, &subject, &options.purpose, options.state.into(), &evidence).await;
    let in_force = in_force.map_err(fault)?;
    let document = json!({ "schema": "choices-record/1", "in_force": in_force });
    let sentence = if in_force { "recorded, and in force" } else { "recorded; a later decision stays in force" };
    answer(common, &document, sentence)?;
    Ok(0)
}

async fn export(options: &ExportOptions) -> Result<u8, Fault> {
    let (client, choices) = opened(&options.database).await?;
    let subject = Subject::parse(choices.subject_type(), &options.subject).map_err(fault)?;
    let controller = Controller { name: options.controller.clone(), contact: options.contact.clone() };
    let record = vigie_consent::service::record_of(&client, &choices, &subject, &controller).await.map_err(fault)?;
    print_line(&json_of(&record)?);
    Ok(0)
}

async fn stop(options: &StopOptions, common: &Common) -> Result<u8, Fault> {
    let (client, choices) = opened(&options.database).await?;
    let subject = options.subject.as_deref().map(|subject| Subject::parse(choices.subject_type(), subject));
    let order = StopOrder {
        subject: subject.transpose().map_err(fault)?,
        purpose: options.purpose.clone(),
        ordered_by: options.ordered_by.clone(),
        reference: options.reference.clone(),
        reason: options.reason.clone(),
    };
    let number = choices.stop(&client, &order).await.map_err(fault)?;
    let document = json!({ "schema": "choices-stop/1", "order": number });
    answer(common, &document, &format!("stop order {number} is in force"))?;
    Ok(0)
}

async fn lift(options: &LiftOptions, common: &Common) -> Result<u8, Fault> {
    let (client, choices) = opened(&options.database).await?;
    let lifted = choices.lift(&client, options.order, &options.lifted_by).await.map_err(fault)?;
    let document = json!({ "schema": "choices-lift/1", "lifted": lifted });
    let sentence = if lifted {
        format!("stop order {} is lifted", options.order)
    } else {
        format!("there is no active stop order {}", options.order)
    };
    answer(common, &document, &sentence)?;
    Ok(u8::from(!lifted))
}

async fn check(options: &CheckOptions, common: &Common) -> Result<u8, Fault> {
    let (mut client, choices) = opened(&options.database).await?;
    let mismatches = choices.check(&mut client, options.limit).await.map_err(fault)?;
    let (behind, wrong): (Vec<&Mismatch>, Vec<&Mismatch>) = mismatches.iter().partition(|it| it.is_pending());
    let id = |subject: &Option<Subject>| subject.as_ref().filter(|_| options.people).map(|it| it.as_str().to_owned());
    if common.json {
        let listed: Vec<serde_json::Value> = mismatches
            .iter()
            .map(|mismatch| match mismatch {
                Mismatch::Row { table, subject, found, expected, pending } => json!({
                    "kind": "row", "table": table, "subject": id(subject), "found": found, "expected": expected,
                    "pending": pending,
                }),
                Mismatch::Person { subject } => json!({ "kind": "person", "subject": id(&Some(subject.clone())) }),
                Mismatch::Everybody => json!({ "kind": "everybody" }),
            })
            .collect();
        print_line(&json_of(&json!({ "schema": "choices-check/1", "mismatches": listed }))?);
    } else {
        for mismatch in &wrong {
            print_line(&match mismatch {
                Mismatch::Row { table, subject, found, expected, .. } => {
                    let whose = id(subject).map_or_else(String::new, |id| format!(" of person {id}"));
                    let found = found.map_or_else(|| "no mask".to_owned(), |found| format!("mask {found}"));
                    format!("wrong: a row{whose} in `{table}` has {found}, expected {expected}")
                }
                Mismatch::Person { subject } => {
                    let whose = id(&Some(subject.clone())).unwrap_or_else(|| "of a person".to_owned());
                    format!("wrong: the bits {whose} are not what choices and orders say")
                }
                Mismatch::Everybody => "wrong: the bits of everybody are not what purposes and orders say".to_owned(),
            });
        }
        print_line(&format!("{} wrong, {} behind and covered by the stop set", wrong.len(), behind.len()));
    }
    Ok(u8::from(!wrong.is_empty()))
}

async fn rebuild(options: &BatchOptions, common: &Common) -> Result<u8, Fault> {
    let (mut client, choices) = opened(&options.database).await?;
    let written = choices.rebuild(&mut client, options.batch).await.map_err(fault)?;
    let document = json!({ "schema": "choices-rebuild/1", "written": written });
    answer(common, &document, &format!("{written} masks written; the rest follows by `vigie choices work-off`"))?;
    Ok(0)
}

async fn work_off(options: &WorkOffOptions, common: &Common) -> Result<u8, Fault> {
    let (mut client, choices) = opened(&options.database).await?;
    let (mut written, mut done, mut moved) = (0, 0, tokio::time::Instant::now());
    let patience = std::time::Duration::from_secs(options.patience);
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    let last = loop {
        let progress = choices.work_off(&mut client, options.batch).await.map_err(fault)?;
        written += progress.written;
        done += progress.people_done;
        if progress.written + progress.people_done > 0 {
            moved = tokio::time::Instant::now();
        }
        let over = progress.is_idle() || moved.elapsed() > patience;
        if over && !options.follow {
            break progress;
        }
        // Whether an old reader has ended cannot be waited for, only looked at again. A sweep that finds every mask right
        // writes nothing either, and must not be slowed down by much.
        let pause = std::time::Duration::from_millis(if progress.written > 0 { 0 } else { 10 });
        tokio::select! {
            _ = &mut interrupted => break progress,
            () = tokio::time::sleep(pause) => {}
        }
    };
    let document = json!({
        "schema": "choices-work-off/1",
        "written": written,
        "people_done": done,
        "people_waiting": last.people_waiting,
        "everybody_done": last.everybody_done,
    });
    let sentence = if last.is_idle() {
        format!("{written} masks written, {done} people done; nothing is left")
    } else {
        format!(
            "{written} masks written, {done} people done; {} people{} wait for old transactions to end",
            last.people_waiting,
            if last.everybody_done { "" } else { ", and what concerns everybody," }
        )
    };
    answer(common, &document, &sentence)?;
    Ok(u8::from(!last.is_idle()))
}
