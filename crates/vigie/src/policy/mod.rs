//! `vigie policy`: drafting, checking, comparing and applying who may read what.
//!
//! Only `apply` changes anything, and only a database.

pub mod arguments;
mod files;
mod live;

pub use files::map_of;
pub use live::connected;

use crate::{
    arguments::Common,
    fault::Fault,
    inspect::{json_of, print_line},
};
use arguments::{DecideOptions, DiffOptions, FolderOptions, PolicyCommand, PolicyOptions, TableOptions};
use serde_json::json;
use std::collections::BTreeSet;
use vigie_policy::{Asker, Compiled, Decision, Facts, diff, table};

/// Carries out `vigie policy …`.
pub async fn run(options: &PolicyOptions, common: &Common) -> Result<u8, Fault> {
    match &options.command {
        PolicyCommand::Init(options) => live::init(options, common).await,
        PolicyCommand::Check(options) => check(options, common),
        PolicyCommand::Table(options) => print_table(options, common),
        PolicyCommand::Diff(options) => compare(options, common),
        PolicyCommand::Decide(options) => decide(options, common),
        PolicyCommand::Lint(options) => live::lint(options, common).await,
        PolicyCommand::Apply(options) => live::apply(options, common).await,
        PolicyCommand::Drift(options) => live::drift(options, common).await,
    }
}

/// Compiles, and says what is wrong: errors are the answer here, not a fault.
fn check(options: &FolderOptions, common: &Common) -> Result<u8, Fault> {
    let (errors, compiled) = match files::compiled(&options.folder)? {
        Ok(compiled) => (Vec::new(), Some(compiled)),
        Err(errors) => (errors, None),
    };
    let warnings: Vec<String> =
        compiled.iter().flat_map(|compiled| &compiled.warnings).map(ToString::to_string).collect();
    if common.json {
        let document = json!({
            "schema": "policy-check/1",
            "errors": errors,
            "warnings": warnings,
            "policy": compiled.as_ref().map(Compiled::hash_hex),
            "contexts": compiled.as_ref().map(|compiled| compiled.contexts.len()),
            "roles": compiled.as_ref().map(|compiled| compiled.roles.len()),
        });
        print_line(&json_of(&document)?);
    } else {
        errors.iter().for_each(|error| print_line(&format!("error: {error}")));
        warnings.iter().for_each(|warning| print_line(&format!("warning: {warning}")));
        if let Some(compiled) = &compiled {
            print_line(&format!(
                "Policy {}: {} purposes, {} zones, {} policies; {} contexts share {} roles",
                &compiled.hash_hex()[..16],
                compiled.map.purposes.len(),
                compiled.zones.as_slice().len(),
                compiled.policies.len(),
                compiled.contexts.len(),
                compiled.roles.len(),
            ));
        }
    }
    Ok(u8::from(!errors.is_empty() || !warnings.is_empty()))
}

fn print_table(options: &TableOptions, common: &Common) -> Result<u8, Fault> {
    let compiled = files::must_compile(&options.folder)?;
    if common.json {
        let document = json!({
            "schema": "policy-table/1",
            "policy": compiled.hash_hex(),
            "rows": table::rows(&compiled),
        });
        print_line(&json_of(&document)?);
    } else {
        let text = if options.markdown { table::to_markdown(&compiled) } else { table::to_text(&compiled) };
        print_line(text.trim_end());
    }
    Ok(0)
}

fn compare(options: &DiffOptions, common: &Common) -> Result<u8, Fault> {
    let (old, new) = (files::must_compile(&options.old)?, files::must_compile(&options.new)?);
    let diff = diff::diff(&old, &new);
    if common.json {
        print_line(&json_of(&json!({ "schema": "policy-diff/1", "diff": diff }))?);
    } else {
        print_line(diff.to_string().trim_end());
    }
    Ok(diff.exit_code())
}

fn decide(options: &DecideOptions, common: &Common) -> Result<u8, Fault> {
    let compiled = files::must_compile(&options.folder)?;
    let asker = Asker {
        facts: Facts {
            entity: options.entity.clone(),
            country: options.country.clone(),
            groups: options.groups.iter().cloned().collect::<BTreeSet<_>>(),
            training: options.training,
        },
        purpose: options.purpose.clone(),
        ticket: options.ticket,
        break_glass: options.break_glass,
    };
    let decision = compiled.decide(&asker);
    if common.json {
        let context = match &decision {
            Decision::Permit { context, .. } => Some(context),
            Decision::Deny { .. } => None,
        };
        let document = json!({
            "schema": "policy-decision/1",
            "permit": decision.is_permit(),
            "reasons": decision.reasons().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "help": decision.hint(),
            "context": context,
        });
        print_line(&json_of(&document)?);
    } else {
        match &decision {
            Decision::Permit { context, .. } => {
                print_line(&format!("permitted: {}", decision.detail()));
                print_line(&format!("  zone: {}", context.zone));
                print_line(&format!("  role: {}", context.role));
            }
            Decision::Deny { help, .. } => {
                print_line(&format!("denied: {}", decision.detail()));
                print_line(&format!("  help: {help}"));
            }
        }
    }
    Ok(u8::from(!decision.is_permit()))
}
