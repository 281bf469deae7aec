//! `vigie series`: figures with differential privacy, released period after period to somebody who may be abroad.
//!
//! A release is decided like any access: by what the HR record says of its recipient, for the purpose of the series. The
//! database is read as the role of that context, so that its rights and its row policies bound what is counted, without
//! those whom the stop set holds back. Then, in this order: the cost is kept in the budget's journal, the noise is drawn,
//! the entry is durable in the ledger, the release is written. Whatever stops in between, nothing is out that was not paid
//! for and logged.
//!
//! Out of scope: the noise and the budget (`vigie_series`), and what starts this at the end of each period.

use crate::{
    arguments::Common,
    fault::Fault,
    inspect::{json_of, print_line},
    keep::in_full,
};
use clap::{Args, Subcommand};
use serde_json::json;
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use vigie_choices::Choices;
use vigie_gateway::{
    accounting::{Action, Columns, Outcome, Receipted, StatementFacts},
    config::Config,
    gateway::{Books, Secrets, compile, control_config, people_of, role_config},
};
use vigie_ledger::Hash;
use vigie_policy::{Asker, Compiled, Decision, names::RoleName};
use vigie_series::{Budget, Exact, Journal, Repeat, Rho, Series, SubjectType, release, wire::Release};

/// How long the database may count.
const PATIENCE: &str = "1h";

/// `vigie series`.
#[derive(Debug, Args)]
pub struct SeriesOptions {
    /// What is to be done with series.
    #[command(subcommand)]
    pub command: SeriesCommand,
}

/// What can be done with series.
#[derive(Debug, Subcommand)]
pub enum SeriesCommand {
    /// Look at the definition of a series, and say what a release costs
    Check(CheckOptions),
    /// Release a series for a period
    Run(RunOptions),
    /// Say what was spent, on which data set, for whom
    Budget(BudgetOptions),
}

/// `vigie series check`.
#[derive(Debug, Args)]
pub struct CheckOptions {
    /// The definition of the series
    #[arg(value_name = "FILE")]
    pub series: PathBuf,
}

/// `vigie series run`.
#[derive(Debug, Args)]
pub struct RunOptions {
    /// The definition of the series
    #[arg(value_name = "FILE")]
    pub series: PathBuf,
    /// The configuration of a gateway to the database, whose vault and ledger nobody else has open
    #[arg(long, value_name = "FILE", env = "VIGIE_GATEWAY_CONFIG")]
    pub config: PathBuf,
    /// The period that is released, such as 2026-11; each is released once
    #[arg(long, value_name = "PERIOD")]
    pub period: String,
    /// The journal of the budget: one file for all series of a data set
    #[arg(long, value_name = "FILE")]
    pub journal: PathBuf,
    /// The file of the release; it must not exist
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Spend again for a period whose release was lost before it was published
    #[arg(long)]
    pub again: bool,
}

/// `vigie series budget`.
#[derive(Debug, Args)]
pub struct BudgetOptions {
    /// The journal of the budget
    #[arg(value_name = "JOURNAL")]
    pub journal: PathBuf,
}

fn failed(why: String, help: &str) -> Fault {
    Fault::Series { why, help: Some(help.to_owned()) }
}

/// Carries out `vigie series …`.
pub async fn run(options: &SeriesOptions, common: &Common) -> Result<u8, Fault> {
    match &options.command {
        SeriesCommand::Check(options) => check(options, common),
        SeriesCommand::Run(options) => release_one(options, common).await,
        SeriesCommand::Budget(options) => budget(options, common),
    }
}

fn definition(path: &Path) -> Result<Series, Fault> {
    let unread = |error: io::Error| {
        failed(format!("`{}` cannot be read: {}", path.display(), in_full(&error)), "see docs/series.md")
    };
    let text = fs::read_to_string(path).map_err(unread)?;
    Series::parse(&text).map_err(|error| failed(in_full(&error).trim_end().replace('\n', " "), "see docs/series.md"))
}

fn journal(path: &Path) -> Result<(Journal, Budget), Fault> {
    Journal::open(path).map_err(|error| failed(in_full(&error), "end the other program, or see docs/series.md"))
}

fn check(options: &CheckOptions, common: &Common) -> Result<u8, Fault> {
    let series = definition(&options.series)?;
    let limit = series.limit();
    if common.json {
        let document = json!({
            "schema": "vigie-series-check/1",
            "series": series.name,
            "recipient": series.recipient,
            "purpose": series.purpose,
            "cells_per_person": limit.cells,
            "most_per_cell": limit.per_cell,
            "rho": series.rho,
            "total_rho": series.total_rho,
            "statement": series.statement(),
        });
        print_line(&json_of(&document)?);
    } else {
        print_line(&format!(
            "{}: for {}, for {}; a person counts in at most {} cells, with at most {} in each",
            series.name, series.recipient, series.purpose, limit.cells, limit.per_cell
        ));
        print_line(&format!("a release costs rho {} of {} in all", series.rho, series.total_rho));
        print_line(&series.statement());
    }
    Ok(0)
}

fn budget(options: &BudgetOptions, common: &Common) -> Result<u8, Fault> {
    if !options.journal.is_file() {
        let why = format!("there is no journal `{}`", options.journal.display());
        return Err(failed(why, "name the file that `vigie series run --journal` writes"));
    }
    let (_, budget) = journal(&options.journal)?;
    let mut of: Vec<(&str, &str)> =
        budget.records().iter().map(|spent| (spent.dataset.as_str(), spent.recipient.as_str())).collect();
    of.sort_unstable();
    of.dedup();
    let lines: Vec<_> = of
        .into_iter()
        .map(|(dataset, recipient)| {
            let (spent, total) = (budget.spent(dataset, recipient), total(&budget, dataset, recipient));
            (dataset, recipient, spent, total, total.minus(spent))
        })
        .collect();
    if common.json {
        let rows: Vec<_> = lines
            .iter()
            .map(|(dataset, recipient, spent, total, left)| {
                json!({ "dataset": dataset, "recipient": recipient, "spent": spent, "total": total, "left": left,
                        "spent_together": budget.spent_together(dataset) })
            })
            .collect();
        let document = json!({ "schema": "vigie-series-budget/1", "budgets": rows, "releases": budget.records() });
        print_line(&json_of(&document)?);
    } else {
        for (dataset, recipient, spent, total, left) in &lines {
            print_line(&format!("{dataset} for {recipient}: {spent} of {total} spent, {left} left"));
            let of = budget.records().iter().filter(|it| it.dataset == *dataset && it.recipient == *recipient);
            of.for_each(|it| print_line(&format!("  {} {}: {} on {}", it.series, it.period, it.rho, it.at)));
        }
        if lines.is_empty() {
            print_line("nothing was spent");
        }
    }
    Ok(0)
}

/// Returns the smallest total that any release named.
fn total(budget: &Budget, dataset: &str, recipient: &str) -> Rho {
    let of = budget.records().iter().filter(|spent| spent.dataset == dataset && spent.recipient == recipient);
    of.map(|spent| spent.total_rho).min().unwrap_or(Rho::ZERO)
}

/// What was decided about a series.
struct Decided {
    facts: StatementFacts,
    /// The role that counts, and the way out if there is none.
    role: Result<RoleName, String>,
}

async fn release_one(options: &RunOptions, common: &Common) -> Result<u8, Fault> {
    let series = definition(&options.series)?;
    if options.period.trim().is_empty() || options.period.chars().any(char::is_control) {
        return Err(failed("the period is empty".to_owned(), "name it, for instance `--period 2026-11`"));
    }
    if options.out.exists() {
        let why = format!("`{}` is there already", options.out.display());
        return Err(failed(why, "name a file that does not exist"));
    }
    let config = Config::read(&options.config).map_err(|error| failed(in_full(&error), "see docs/gateway.md"))?;
    let secrets = Secrets::read(&config.secret).map_err(|error| crate::gateway::fault(&error))?;
    let compiled = compile(&config).map_err(|error| crate::gateway::fault(&error))?;
    is_of_the_map(&series, &compiled)?;
    let decided = decide(&series, &options.period, &config, &compiled)?;
    let books = Books::open(&config, &secrets).map_err(|error| crate::gateway::fault(&error))?;
    let outcome = release_by(options, common, series, decided, &config, &secrets, &compiled, &books).await;
    let closed = tokio::task::spawn_blocking(move || books.close()).await;
    let code = outcome?;
    match closed {
        Ok(Ok(())) => Ok(code),
        Ok(Err(error)) => Err(crate::gateway::fault(&error)),
        Err(error) => Err(Fault::Runtime { why: in_full(&error) }),
    }
}

/// Makes sure that persons are counted by the column that the data map has for them.
fn is_of_the_map(series: &Series, compiled: &Compiled) -> Result<(), Fault> {
    let help = "write table, subject and subject_type as the data map has them";
    let wrong = |what: String| failed(format!("series `{}` {what}", series.name), help);
    let table = series
        .table
        .parse()
        .map_err(|_| wrong(format!("has no table of the form SCHEMA.TABLE: `{}`", series.table)))?;
    let known =
        compiled.map.table(&table).ok_or_else(|| wrong(format!("reads `{table}`, which is not in the data map")))?;
    let subject = known.subject().ok_or_else(|| wrong(format!("reads `{table}`, which is about nobody")))?;
    let kind = match compiled.map.subject_type {
        vigie_policy::map::SubjectType::Bigint => SubjectType::Bigint,
        vigie_policy::map::SubjectType::Uuid => SubjectType::Uuid,
        vigie_policy::map::SubjectType::Text => SubjectType::Text,
    };
    if subject.as_str() != series.subject || kind != series.subject_type {
        return Err(wrong(format!("takes `{}` for the person, whom the data map has in `{subject}`", series.subject)));
    }
    Ok(())
}

/// Decides about the recipient, as the gateway would about a reader.
fn decide(series: &Series, period: &str, config: &Config, compiled: &Compiled) -> Result<Decided, Fault> {
    let people = people_of(config).map_err(|error| crate::gateway::fault(&error))?;
    let recipient = people.record(&series.recipient).ok_or_else(|| {
        let why = format!("the recipient `{}` is not in `{}`", series.recipient, config.people.file.display());
        failed(why, "who gets figures is on record, as a person or as a service")
    })?;
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let facts = recipient.attested.facts(today);
    let zone = compiled.zones.zone_of(&facts).map_or_else(|| "none".to_owned(), |zone| zone.name.to_string());
    let purpose = Some(series.purpose.clone());
    let asker = Asker { facts: facts.clone(), purpose: purpose.clone(), ticket: false, break_glass: false };
    let decision = compiled.decide(&asker);
    let role = match &decision {
        Decision::Permit { context, .. } if context.rights.any(vigie_policy::rights::Action::ReadAggregate) => {
            Ok(context.aggregate_role.clone().unwrap_or_else(|| context.role.clone()))
        }
        Decision::Permit { .. } => Err("this purpose may not be used for figures".to_owned()),
        Decision::Deny { help, .. } => Err(help.clone()),
    };
    let facts = StatementFacts {
        who: series.recipient.clone(),
        entity: facts.entity.as_str().to_owned(),
        country: facts.country.as_str().to_owned(),
        zone,
        purpose,
        action: Action::ReadAggregate,
        outcome: if role.is_ok() { Outcome::Permitted } else { Outcome::Denied },
        decision: format!("{}; series `{}` for {period}", decision.detail(), series.name),
        ticket: None,
        statement: Hash::of(series.statement().as_bytes()),
        policy: Hash(compiled.hash),
        database: config.server.database.clone(),
        client: None,
        columns: vec![Columns {
            relation: series.table.clone(),
            names: series.dimensions.iter().map(|dimension| dimension.name.clone()).collect(),
        }],
    };
    Ok(Decided { facts, role })
}

#[expect(clippy::too_many_arguments, reason = "each was made apart, and is only handed on")]
async fn release_by(
    options: &RunOptions,
    common: &Common,
    series: Series,
    decided: Decided,
    config: &Config,
    secrets: &Secrets,
    compiled: &Compiled,
    books: &Books,
) -> Result<u8, Fault> {
    let unlogged = |error: vigie_gateway::accounting::NotLogged| {
        failed(in_full(&error), "nothing was published; see to the ledger and the vault, then spend `--again`")
    };
    let role = match decided.role {
        Ok(role) => role,
        Err(help) => {
            let logged = books.account.denied(&decided.facts).await.map_err(unlogged)?;
            return denied(&decided.facts.decision, &help, &logged, common);
        }
    };
    let (mut journal, mut budget) = journal(&options.journal)?;
    let exact = count(&series, &role, config, secrets, compiled).await?;
    let at = jiff::Timestamp::now().to_string();
    let repeat = if options.again { Repeat::SpendAgain } else { Repeat::Refuse };
    let charge = budget.charge(&series, &options.period, &at, repeat, &mut journal).map_err(|error| {
        let help = match &error {
            vigie_series::BudgetError::Exhausted { .. } => {
                "a budget is not refilled; release less often, or end the series"
            }
            vigie_series::BudgetError::Repeated { .. } => "each period is released once; see `--again`",
            vigie_series::BudgetError::NotKept { .. } => "see to the disk; it counts as spent",
        };
        failed(in_full(&error), help)
    })?;
    let release = release(&series, &exact, charge).map_err(|error| failed(in_full(&error), "the cost stays spent"))?;
    let text = serde_json::to_string_pretty(&release).map_err(|error| Fault::Runtime { why: in_full(&error) })? + "\n";
    let hash = Hash::of(text.as_bytes()).to_hex();
    let decision = format!("{}; rho {}, release sha256 {hash}", decided.facts.decision, series.rho);
    let facts = StatementFacts { decision, ..decided.facts };
    let mut builder = books.account.start(&facts).map_err(unlogged)?;
    let logged = builder.finish().await.map_err(unlogged)?;
    // From here on it may be published. If this fails, the period is paid for and logged, and was not released.
    crate::gateway::write_private(&options.out, text.as_bytes())?;
    say(&series, &options.out, &budget, &release, &logged, common)
}

fn denied(decision: &str, help: &str, logged: &Receipted, common: &Common) -> Result<u8, Fault> {
    let event = logged.event_id.to_string();
    if common.json {
        let document = json!({
            "schema": "vigie-series-run/1", "denied": true, "decision": event, "reasons": decision, "help": help,
            "entry": logged.index,
        });
        print_line(&json_of(&document)?);
    } else {
        print_line(&format!("denied: {decision}"));
        print_line(&format!("  decision: {event}\n  help: {help}"));
    }
    Ok(1)
}

fn say(
    series: &Series,
    out: &Path,
    budget: &Budget,
    release: &Release,
    logged: &Receipted,
    common: &Common,
) -> Result<u8, Fault> {
    let spent = budget.spent(&series.dataset, &series.recipient);
    let total = total(budget, &series.dataset, &series.recipient);
    let left = total.minus(spent);
    if common.json {
        let document = json!({
            "schema": "vigie-series-run/1", "denied": false, "decision": logged.event_id.to_string(),
            "entry": logged.index, "file": out, "spent": spent, "total": total, "left": left, "release": release,
        });
        print_line(&json_of(&document)?);
    } else {
        print_line(&format!(
            "{} of {}: {} cells, each within {} of the bounded truth 95 times in 100 (epsilon {:.2} at delta {:e})",
            series.name,
            release.spent.period,
            release.cells.len(),
            release.half_width_95,
            release.epsilon,
            release.delta
        ));
        print_line(&format!("  cost {}; {spent} of {total} spent for {}, {left} left", series.rho, series.recipient));
        print_line(&format!("  entry {} of the ledger; written to {}", logged.index, out.display()));
    }
    Ok(0)
}

/// Counts, as the role of the context, without those whom the stop set holds back.
async fn count(
    series: &Series,
    role: &RoleName,
    config: &Config,
    secrets: &Secrets,
    compiled: &Compiled,
) -> Result<Vec<Exact>, Fault> {
    let lost = |why: String| Fault::Database { why, help: Some("see `vigie gateway check`".to_owned()) };
    let bit = compiled.map.purpose(&series.purpose).map_or(i64::MAX, vigie_policy::map::Purpose::mask);
    let (address, roots) = control_config(config, secrets).map_err(|error| crate::gateway::fault(&error))?;
    let control = vigie_database::connect(&address, &roots).await.map_err(|error| lost(in_full(&error)))?;
    let choices = Choices::open(&control).await.map_err(|error| lost(in_full(&error)))?;
    let stops = choices.stop_set(&control).await.map_err(|error| lost(in_full(&error)))?;
    if stops.everybody & bit != 0 {
        let why = format!("a stop order holds back everybody's data for `{}`", series.purpose);
        return Err(failed(why, "see `vigie choices lift`"));
    }
    let stopped: Vec<&str> =
        stops.people.iter().filter(|(_, bits)| **bits & bit != 0).map(|(subject, _)| subject.as_str()).collect();
    let mut counted = series.clone();
    let name = series.table.rsplit_once('.').map_or(series.table.as_str(), |(_, name)| name);
    counted.table = format!("{role}.{name}");
    if !stopped.is_empty() {
        let subject = vigie_policy::sql::quote_identifier(&series.subject);
        let list: Vec<String> = stopped.iter().map(|id| vigie_policy::sql::quote_literal(id)).collect();
        let held = format!("{subject}::text <> ALL (ARRAY[{}]::text[])", list.join(", "));
        counted.condition = Some(match &series.condition {
            Some(condition) => format!("({condition}\n) AND {held}"),
            None => held,
        });
    }
    let password = secrets.roles.password(role.as_str());
    let (address, roots) =
        role_config(config, role.as_str(), &password).map_err(|error| crate::gateway::fault(&error))?;
    let mut client = vigie_database::connect(&address, &roots).await.map_err(|error| lost(in_full(&error)))?;
    let refused = |error: tokio_postgres::Error| {
        // The server's words can hold values of rows.
        let code = error.code().map_or_else(|| "none".to_owned(), |code| code.code().to_owned());
        let help = "the role of the context counts: it may not use every column, and casts of values can fail";
        Fault::Database { why: format!("counting failed with SQLSTATE {code}"), help: Some(help.to_owned()) }
    };
    let transaction = client.build_transaction().read_only(true).start().await.map_err(refused)?;
    transaction.batch_execute(&format!("SET LOCAL statement_timeout = '{PATIENCE}'")).await.map_err(refused)?;
    let rows = transaction.query(&counted.statement(), &[]).await.map_err(refused)?;
    transaction.commit().await.map_err(refused)?;
    let n_dimensions = series.dimensions.len();
    Ok(rows.iter().map(|row| ((0..n_dimensions).map(|at| row.get(at)).collect(), row.get(n_dimensions))).collect())
}
