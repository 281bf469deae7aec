//! `vigie choices serve`: the HTTP API and the banner, until somebody ends it.
//!
//! SIGTERM and Ctrl-C let requests be answered, for at most [`GRACE`].

use crate::{
    arguments::Common,
    fault::Fault,
    inspect::{json_of, print_line},
    keep::in_full,
};
use clap::Args;
use serde_json::json;
use std::{path::PathBuf, time::Duration};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use vigie_consent::{Config, OpenError, Service, server};

/// How long requests may take that are being answered.
const GRACE: Duration = Duration::from_secs(10);

/// `vigie choices serve`.
#[derive(Debug, Args)]
pub struct ServeOptions {
    /// The configuration (`choices/1`)
    #[arg(long, value_name = "FILE", default_value = "choices.toml")]
    pub config: PathBuf,
    /// Write the banner's script to standard output and end; no database is needed
    #[arg(long)]
    pub print_banner: bool,
}

fn fault(error: &OpenError) -> Fault {
    Fault::Choices { why: in_full(error), help: error.help() }
}

fn report(line: &str) {
    eprintln!("vigie: {line}");
}

/// Serves choices.
pub async fn serve(options: &ServeOptions, common: &Common) -> Result<u8, Fault> {
    let config = Config::load(&options.config).map_err(|error| fault(&error.into()))?;
    if options.print_banner {
        let settings = config.banner.as_ref().ok_or_else(|| Fault::Choices {
            why: format!("`{}` configures no banner", options.config.display()),
            help: Some("add `[banner]`, see docs/choices.md".to_owned()),
        })?;
        print_line(&vigie_consent::banner::Script::new(settings, &config.controller.name).text);
        return Ok(0);
    }
    let heard = |kind| signal(kind).map_err(|error| Fault::Runtime { why: in_full(&error) });
    let (mut terminate, mut interrupt) = (heard(SignalKind::terminate())?, heard(SignalKind::interrupt())?);
    let tls = server::tls_of(&config).map_err(|error| fault(&error))?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let listen = config.listen;
    let unheard = |error: std::io::Error| Fault::Choices {
        why: format!("cannot listen at `{listen}`: {}", in_full(&error)),
        help: Some("name another address as `listen` in the configuration".to_owned()),
    };
    let service = Service::open(config, report).await.map_err(|error| fault(&error))?;
    let listener = TcpListener::bind(listen).await.map_err(unheard)?;
    let address = listener.local_addr().map_err(unheard)?;
    if common.json {
        print_line(&json_of(&json!({ "listening": format!("{scheme}://{address}/") }))?);
    } else if !common.quiet {
        eprintln!("vigie: choices are served at {scheme}://{address}/ (Ctrl-C ends it)");
    }
    let (ending, mut ended) = watch::channel(false);
    let until = async move {
        // It is gone only when the program ends.
        let _ = ended.wait_for(|ended| *ended).await;
    };
    let mut serving = tokio::spawn(server::serve(service.clone(), listener, tls, until));
    let mut served = None;
    tokio::select! {
        first = &mut serving => served = Some(first),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    // Whoever waits for it may be gone already.
    let _ = ending.send(true);
    if served.is_none() {
        served = tokio::time::timeout(GRACE, &mut serving).await.ok();
        // What is cut off now was not answered: whoever asked asks again.
        serving.abort();
    }
    let unserved = |why: String| Fault::Choices { why: format!("serving ended: {why}"), help: None };
    let closed = tokio::task::spawn_blocking(move || service.close()).await;
    if let Some(served) = served {
        served.map_err(|error| unserved(in_full(&error)))?.map_err(|error| unserved(in_full(&error)))?;
    }
    closed.map_err(|error| unserved(in_full(&error)))?.map_err(|error| unserved(in_full(&error)))?;
    Ok(0)
}
