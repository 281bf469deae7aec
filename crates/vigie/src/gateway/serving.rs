//! `vigie gateway serve`: runs until somebody ends it.
//!
//! SIGTERM and Ctrl-C let sessions finish what they are doing, for at most [`GRACE`]; SIGHUP takes over a new policy,
//! the HR record and new certificates.

use super::{arguments::ConfigOptions, config_of, fault};
use crate::{
    arguments::Common,
    fault::Fault,
    inspect::{json_of, print_line},
    keep::in_full,
    ledger::token_of,
};
use serde_json::json;
use std::{net::SocketAddr, process::Command, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};
use vigie_gateway::{Gateway, admin};

/// How long sessions may finish what they are doing.
const GRACE: Duration = Duration::from_secs(30);

/// Returns the command that reads statements: this program.
pub fn reader() -> Result<Command, Fault> {
    let program = std::env::current_exe().map_err(|error| Fault::Runtime { why: in_full(&error) })?;
    let mut command = Command::new(program);
    command.arg("statement-reader");
    Ok(command)
}

fn report(line: &str) {
    eprintln!("vigie: {line}");
}

async fn bind(address: SocketAddr, what: &str) -> Result<(TcpListener, SocketAddr), Fault> {
    let failed = |error: std::io::Error| Fault::Gateway {
        why: format!("cannot listen at `{address}`: {}", in_full(&error)),
        help: Some(format!("name another address as `{what}` in the configuration")),
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

fn heard(kind: SignalKind) -> Result<Signal, Fault> {
    signal(kind).map_err(|error| Fault::Runtime { why: in_full(&error) })
}

/// Runs a gateway.
pub async fn serve(options: &ConfigOptions, common: &Common) -> Result<u8, Fault> {
    let config = config_of(options)?;
    // Before anything is said, so that no signal comes too early.
    let (mut terminate, mut interrupt) = (heard(SignalKind::terminate())?, heard(SignalKind::interrupt())?);
    let mut hang_up = heard(SignalKind::hangup())?;
    let token = config.admin_token.as_deref().map(token_of).transpose()?;
    let gateway = Gateway::open(config.clone(), reader()?, report).await.map_err(|error| fault(&error))?;
    let (listener, address) = bind(config.listen, "listen").await?;
    let (ending, ended) = watch::channel(false);
    let admin = match config.admin {
        None => None,
        Some(admin) => {
            let (listener, address) = bind(admin, "admin").await?;
            let router = admin::router(gateway.clone(), token.as_deref());
            let serving = admin::serve(listener, router, until(ended.clone()));
            Some((address, tokio::spawn(serving)))
        }
    };
    let admin_address = admin.as_ref().map(|(address, _)| *address);
    if common.json {
        let admin = admin_address.map(|address| format!("http://{address}/"));
        let document = json!({ "schema": "vigie-gateway-serving/1", "listening": address.to_string(), "admin": admin });
        print_line(&json_of(&document)?);
    } else if !common.quiet {
        let admin = admin_address.map(|address| format!(", and its operator at http://{address}/")).unwrap_or_default();
        eprintln!(
            "vigie: the gateway to `{}` serves clients at {address}{admin} (Ctrl-C ends it)",
            config.server.database
        );
    }
    let serving = {
        let gateway = gateway.clone();
        tokio::spawn(async move { gateway.serve(listener, until(ended), GRACE).await })
    };
    let (mut serving, mut first) = (serving, None);
    loop {
        tokio::select! {
            served = &mut serving => { first = Some(served); break }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => reload(&gateway).await,
        }
    }
    // Whoever waits for it may be gone already.
    let _ = ending.send(true);
    let served = if let Some(served) = first {
        served
    } else {
        if !common.quiet {
            eprintln!("vigie: ending; sessions have {} s for what they are doing", GRACE.as_secs());
        }
        tokio::select! {
            served = &mut serving => served,
            // Twice means at once. What is logged is logged; what was not, has not left.
            _ = interrupt.recv() => { serving.abort(); Ok(Ok(())) }
        }
    };
    if let Some((_, admin)) = admin {
        // Reports on their way must not keep the gateway.
        let _ = tokio::time::timeout(Duration::from_secs(2), admin).await;
    }
    let closing = {
        let gateway = gateway.clone();
        tokio::task::spawn_blocking(move || gateway.close()).await
    };
    let unserved = |why: String| Fault::Gateway { why: format!("serving ended: {why}"), help: None };
    served.map_err(|error| unserved(in_full(&error)))?.map_err(|error| unserved(in_full(&error)))?;
    closing.map_err(|error| unserved(in_full(&error)))?.map_err(|error| fault(&error))?;
    Ok(0)
}

async fn until(mut ended: watch::Receiver<bool>) {
    // It is gone only when the program ends.
    let _ = ended.wait_for(|ended| *ended).await;
}

async fn reload(gateway: &Arc<Gateway>) {
    match gateway.reload().await {
        Ok(()) => report(&format!("took over policy {}", &gateway.epoch().compiled.hash_hex()[..16])),
        Err(error) => {
            report(&format!("what was in force stays in force: {}", vigie_gateway::in_full(&error)));
            if let Some(help) = error.help() {
                eprintln!("  help: {help}");
            }
        }
    }
}
