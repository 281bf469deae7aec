//! `vigie transfer run`, `receive` and `erase`.

use super::arguments::{EraseOptions, ReceiveOptions, RunOptions};
use super::{Books, failed, fault};
use crate::{
    arguments::Common,
    fault::Fault,
    inspect::{json_of, print_line},
    ledger::{policy_of, token_of},
    policy::connected,
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::{io::IsTerminal as _, time::Duration};
use vigie_campaign::shelf::Shelf;
use vigie_ledger::TrustPolicy;
use vigie_transfers::{
    deliver::{Delivery, Endpoint},
    flow::{Flow, Target},
    progress::Progress,
    receive,
    run::{Report, Run, withheld_in_words},
};

/// `vigie transfer run`.
pub async fn run(options: &RunOptions, common: &Common) -> Result<u8, Fault> {
    let register = options.register.read()?;
    let flow = register.flow(&options.flow).ok_or_else(|| {
        let names: Vec<&str> = register.flows.iter().map(|flow| flow.name.as_str()).collect();
        Fault::Transfer {
            why: format!("the register has no flow `{}`", options.flow),
            help: Some(format!("it has {}", names.join(", "))),
        }
    })?;
    let delivery = delivery_of(flow)?;
    let choices = connected(&options.database).await?;
    let mut source = connected(&options.database).await?;
    let books = Books::open(&register.operator)?;
    let bar = watched(common);
    let mut heard = |progress: &Progress| {
        if let Some(bar) = &bar {
            let stayed: u64 = progress.withheld.values().sum();
            bar.set_message(format!("{} read, {} left, {stayed} stayed", progress.position.records, progress.records));
        }
    };
    let run = Run {
        register: &register,
        flow,
        accounts: &books.accounts,
        pseudonyms: books.pseudonyms(&flow.recipient),
        delivery,
        choices: &choices,
        heard: &mut heard,
    };
    let outcome = run.to_end(&mut source).await.map_err(|error| Fault::Transfer {
        why: crate::keep::in_full(&error),
        help: Some(format!("what left is accounted for; go on with `vigie transfer run {}` again", flow.name)),
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let closed = books.close();
    let report = outcome?;
    closed?;
    print_report(flow, &report, common)?;
    Ok(0)
}

fn watched(common: &Common) -> Option<ProgressBar> {
    if common.quiet || common.json || !std::io::stderr().is_terminal() {
        return None;
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    Some(bar)
}

fn delivery_of(flow: &Flow) -> Result<Delivery, Fault> {
    let destination = &flow.destination;
    Ok(match &destination.to {
        Target::Folder(folder) => Delivery::Folder(folder.clone()),
        Target::Store(url) => {
            let shelf = Shelf::open(url.as_str()).map_err(|error| fault(&error))?;
            let (store, prefix) = shelf.store();
            Delivery::Store(store, prefix, destination.patience)
        }
        Target::Endpoint(url) => {
            let token = destination.token.as_deref().map(token_of).transpose()?.map(|token| token.trim().to_owned());
            Delivery::Endpoint(Endpoint::new(url.clone(), token, destination.patience))
        }
    })
}

fn print_report(flow: &Flow, report: &Report, common: &Common) -> Result<(), Fault> {
    let spent = report.spent;
    if common.json {
        let ms = |duration: Duration| duration.as_millis() as u64;
        let document = json!({ "schema": "transfer-run/1", "flow": flow.name, "run": report.run, "read": report.read,
            "records": report.records, "withheld": report.withheld, "batches": report.batches, "end_index": report.end.index,
            "spent_ms": { "reading": ms(spent.reading), "choosing": ms(spent.choosing), "committing": ms(spent.committing),
                "logging": ms(spent.logging), "encoding": ms(spent.encoding), "delivering": ms(spent.delivering) } });
        print_line(&json_of(&document)?);
        return Ok(());
    }
    print_line(&format!(
        "{} of {} records left for {} in {} batches; stayed: {}",
        report.records,
        report.read,
        flow.recipient,
        report.batches,
        withheld_in_words(&report.withheld)
    ));
    print_line(&format!("  run {}, which entry {} ends", report.run, report.end.index));
    Ok(())
}

/// `vigie transfer receive`.
pub async fn receive(options: &ReceiveOptions, common: &Common) -> Result<u8, Fault> {
    let policy = match (&options.policy, &options.key) {
        (Some(path), _) => policy_of(path)?,
        (None, Some(key)) => TrustPolicy::of_log(key.clone()),
        (None, None) => return Err(failed("whose ledger is believed was not said")),
    };
    let receipts = receive::receipts_in(&options.folder).map_err(|error| fault(&error))?;
    if receipts.is_empty() {
        return Err(failed(format!("`{}` has no receipt of a batch", options.folder.display())));
    }
    let books = Books::open_at(&options.ledger, options.token_file.as_deref(), &options.vault, &options.secret)?;
    let (mut received, mut refused) = (Vec::new(), Vec::new());
    for path in receipts {
        match receive::receive(&path, &policy, &books.accounts).await {
            Ok(batch) => received.push((path, batch)),
            // What is not as it was sent is an answer; what cannot be logged is not.
            Err(error @ (receive::NotReceived::Mismatch { .. } | receive::NotReceived::File { .. })) => {
                refused.push((path, crate::keep::in_full(&error)));
            }
            Err(error @ (receive::NotReceived::NotLogged { .. } | receive::NotReceived::Vault(_))) => {
                return Err(fault(&error));
            }
        }
    }
    books.close()?;
    if common.json {
        let received: Vec<_> = received
            .iter()
            .map(|(path, it)| {
                json!({ "receipt": path, "records": it.records, "sent": it.sent.to_base64(), "index": it.logged.index })
            })
            .collect();
        let refused: Vec<_> = refused.iter().map(|(path, why)| json!({ "receipt": path, "why": why })).collect();
        print_line(&json_of(&json!({ "schema": "transfer-receive/1", "received": received, "refused": refused }))?);
    } else {
        for (path, it) in &received {
            print_line(&format!("{:>9} records, entry {}: {}", it.records, it.logged.index, path.display()));
        }
        refused.iter().for_each(|(_, why)| print_line(&format!("refused: {why}")));
        let records: u64 = received.iter().map(|(_, it)| it.records).sum();
        print_line(&format!("{records} records in {} batches received; {} refused", received.len(), refused.len()));
    }
    Ok(u8::from(!refused.is_empty()))
}

/// `vigie transfer erase`.
pub async fn erase(options: &EraseOptions, common: &Common) -> Result<u8, Fault> {
    let register = options.register.read()?;
    let books = Books::open(&register.operator)?;
    let erasing = async {
        books.accounts.log_erasures().await?;
        books.accounts.erase(options.subject.as_bytes()).await
    };
    let erased = erasing.await.map_err(|error| fault(&error));
    let closed = books.close();
    let erased = erased?;
    closed?;
    let (rows, index) = erased.map_or((0, None), |erased| (erased.rows.len(), Some(erased.index)));
    if common.json {
        print_line(&json_of(&json!({ "schema": "transfer-erase/1", "rows": rows, "ledger_index": index }))?);
    } else {
        print_line(&match index {
            Some(index) => format!(
                "erased {rows} rows from the vault, logged as entry {index}; tell the recipients (GDPR, article 19)"
            ),
            None => "nothing to erase: no hand-over of this person's data is recorded".to_owned(),
        });
    }
    Ok(0)
}
