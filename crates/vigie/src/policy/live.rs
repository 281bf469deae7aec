//! The policy and a live database.

use super::{
    arguments::{ApplyOptions, DatabaseArguments, InitOptions, LiveOptions},
    files,
};
use crate::{
    arguments::Common,
    fault::Fault,
    inspect::{json_of, print_line},
    keep::in_full,
};
use serde_json::json;
use std::path::Path;
use tokio_postgres::Client;
use vigie_database::{DatabaseError, Plan, TlsRoots};
use vigie_gateway::{gateway::Secrets, pool::RoleSecret};
use vigie_policy::{
    drift::{Direction, Drift},
    lint::Gravity,
};

fn fault(error: DatabaseError) -> Fault {
    Fault::Database { why: in_full(&error), help: error.help() }
}

/// Connects to the database that was named.
pub async fn connected(arguments: &DatabaseArguments) -> Result<Client, Fault> {
    let password = std::env::var("PGPASSWORD").ok().filter(|password| !password.is_empty());
    let address = vigie_database::parse_address(&arguments.database, password.as_deref()).map_err(fault)?;
    let roots = match &arguments.database_ca {
        Some(path) => TlsRoots::read(path).map_err(fault)?,
        None => TlsRoots::default(),
    };
    vigie_database::connect(&address, &roots).await.map_err(fault)
}

/// `vigie policy init`.
pub async fn init(options: &InitOptions, common: &Common) -> Result<u8, Fault> {
    let mut client = connected(&options.database).await?;
    let text = vigie_database::draft(&mut client, &options.name).await.map_err(fault)?;
    if common.json {
        print_line(&json_of(&json!({ "schema": "policy-draft/1", "map": text }))?);
    } else {
        print_line(text.trim_end());
    }
    Ok(0)
}

/// `vigie policy lint`.
pub async fn lint(options: &LiveOptions, common: &Common) -> Result<u8, Fault> {
    let map = files::map_of(&options.folder)?;
    let mut client = connected(&options.database).await?;
    let lints = vigie_database::lint(&mut client, &map).await.map_err(fault)?;
    if common.json {
        print_line(&json_of(&json!({ "schema": "policy-lint/1", "lints": lints }))?);
    } else {
        lints.iter().for_each(|lint| print_line(&lint.to_string()));
        let breaches = lints.iter().filter(|lint| lint.gravity == Gravity::Breach).count();
        print_line(&format!("{breaches} breaches, {} weaknesses", lints.len() - breaches));
    }
    Ok(u8::from(!lints.is_empty()))
}

/// `vigie policy drift`.
pub async fn drift(options: &LiveOptions, common: &Common) -> Result<u8, Fault> {
    let compiled = files::must_compile(&options.folder)?;
    let mut client = connected(&options.database).await?;
    let drifts = vigie_database::drift(&mut client, &compiled).await.map_err(fault)?;
    if common.json {
        let document = json!({ "schema": "policy-drift/1", "policy": compiled.hash_hex(), "drift": drifts });
        print_line(&json_of(&document)?);
    } else {
        print_drift(&drifts);
    }
    Ok(u8::from(!drifts.is_empty()))
}

fn print_drift(drifts: &[Drift]) {
    drifts.iter().for_each(|drift| print_line(&drift.to_string()));
    let wider = drifts.iter().filter(|drift| drift.direction == Direction::Wider).count();
    print_line(&match drifts.len() {
        0 => "the database is as the policy says".to_owned(),
        all => format!("{wider} differences permit more than the policy, {} less", all - wider),
    });
}

/// `vigie policy apply`.
pub async fn apply(options: &ApplyOptions, common: &Common) -> Result<u8, Fault> {
    let compiled = files::must_compile(&options.folder)?;
    let secret = options.secret_file.as_deref().map(secret_of).transpose()?;
    // Without a secret it is a dry run, in which nobody looks at verifiers.
    let (plan, secret) = match secret {
        Some(secret) if !options.dry_run => (Plan::CarryOut, secret),
        other => (Plan::DryRun, other.unwrap_or(RoleSecret::new([0; 32]))),
    };
    let mut client = connected(&options.database).await?;
    let verifier = |role: &vigie_policy::names::RoleName| secret.verifier(role.as_str());
    let applied = vigie_database::apply(&mut client, &compiled, &verifier, plan).await.map_err(fault)?;
    if common.json {
        let document = json!({
            "schema": "policy-apply/1",
            "policy": compiled.hash_hex(),
            "dry_run": plan == Plan::DryRun,
            "before": applied.before,
            "changed": applied.changed,
            "sql": if plan == Plan::DryRun { Some(&applied.sql) } else { None },
        });
        print_line(&json_of(&document)?);
    } else if plan == Plan::DryRun {
        print_line(applied.sql.trim_end());
    } else {
        print_line(&match applied.changed.as_slice() {
            [] => "nothing changed: the database already was as the policy says".to_owned(),
            changed => format!("applied policy {}; changed: {}", &compiled.hash_hex()[..16], changed.join(", ")),
        });
    }
    Ok(0)
}

/// Reads the gateways' secret, from which the passwords of roles are derived.
fn secret_of(path: &Path) -> Result<RoleSecret, Fault> {
    let secrets = Secrets::read(path).map_err(|error| Fault::Database {
        why: format!("the secret of the gateways cannot be used: {}", in_full(&error)),
        help: Some(
            "`vigie gateway init` writes one; or write 32 random bytes, as `openssl rand -hex 32` does".to_owned(),
        ),
    })?;
    Ok(secrets.roles)
}
