//! `vigie ledger serve` and `mirror`, `vigie witness`: what runs until somebody ends it.

use super::arguments::{
    MirrorOptions, ServeOptions, WitnessCommand, WitnessInitOptions, WitnessOptions, WitnessServeOptions,
};
use super::open::{Opened, fault, open, random, token_of};
use crate::{
    arguments::Common,
    fault::Fault,
    inspect::{interrupted, json_of, print_line},
    keep::in_full,
};
use axum::Router;
use serde_json::json;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use vigie_ledger::{Note, SignerKey};
use vigie_sequencer::http::Writers;
use vigie_sequencer::queue::Queue;
use vigie_sequencer::{Home, Log, Options, Stopped};
use vigie_witness::files::{self, About};
use vigie_witness::mirror::{Mirror, MirrorError};
use vigie_witness::server;
use vigie_witness::state::Witness;

async fn listen(address: SocketAddr, common: &Common, what: &str) -> Result<TcpListener, Fault> {
    let failed = |error: std::io::Error| Fault::Listen { address, why: in_full(&error) };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    if common.json {
        print_line(&json_of(&json!({ "listening": format!("http://{address}/") }))?);
    } else if !common.quiet {
        eprintln!("vigie: {what} at http://{address}/ (Ctrl-C ends it)");
    }
    Ok(listener)
}

async fn serve(
    listener: TcpListener,
    router: Router,
    end: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Fault> {
    let served = vigie_sequencer::http::serve(listener, router, end).await;
    served.map_err(|error| Fault::Ledger { why: format!("serving ended: {}", in_full(&error)), help: None })
}

/// Serves a ledger: takes entries, and shows it.
pub async fn ledger(options: &ServeOptions, common: &Common) -> Result<u8, Fault> {
    let writers = match &options.token_file {
        Some(path) => Writers::with_token(&token_of(path)?),
        None if options.listen.ip().is_loopback() => Writers::Anybody,
        None => return Err(Fault::OpenLedger { address: options.listen }),
    };
    let copy_to = match &options.copy_to {
        Some(url) => Some(vigie_campaign::shelf::Shelf::open(url).map_err(|error| fault(&error))?.store()),
        None => None,
    };
    let home = Home::new(&options.folder);
    let opened = tokio::task::block_in_place(|| Log::open(&home, Options { copy_to, ..Options::default() }));
    let log = Arc::new(opened.map_err(|error| fault(&error))?);
    let public = home.public();
    let about = About { policy: log.policy().clone() };
    let router = vigie_sequencer::http::router(log.clone(), writers).merge(files::page_router(public.clone(), about));
    let listener = listen(options.listen, common, &format!("the ledger {} is", log.key().verifier().name())).await?;

    let remembering = tokio::spawn(remember(log.clone(), public));
    let beating =
        (options.heartbeat > 0).then(|| tokio::spawn(beat(log.clone(), Duration::from_secs(options.heartbeat))));
    let queue = match &options.queue {
        Some(address) => {
            let queue = Queue::connect(address, log.key().verifier().name()).await.map_err(|error| fault(&error))?;
            if let Some(warning) = queue.warning() {
                eprintln!("vigie: {warning}");
            }
            Some(queue)
        }
        None => None,
    };
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let watching = log.clone();
    let trouble = tokio::spawn(async move {
        let trouble = tokio::select! {
            () = interrupted() => None,
            stopped = until_stopped(&watching) => Some(stopped.to_string()),
            why = consumed(queue, &watching) => Some(why),
        };
        let _ = end.send(());
        trouble
    });
    let served = serve(listener, router, async { drop(ended.await) }).await;
    let trouble = trouble.await.ok().flatten();
    remembering.abort();
    if let Some(beating) = beating {
        beating.abort();
    }
    // What was handed in is made durable and published before we go.
    let closed = tokio::task::spawn_blocking(move || log.finish()).await;
    served?;
    if let Some(why) = trouble {
        return Err(Fault::Ledger { why, help: Some("start it again: it checks itself first".to_owned()) });
    }
    match closed {
        Ok(Ok(())) => Ok(0),
        Ok(Err(stopped)) => Err(fault(&stopped)),
        Err(error) => Err(fault(&error)),
    }
}

/// Keeps the checkpoints that the page shows.
async fn remember(log: Arc<Log>, public: PathBuf) {
    let mut size = 0;
    while let Ok(published) = log.published(size).await {
        size = published.size;
        if let Ok(note) = Note::parse(&published.checkpoint) {
            let public = public.clone();
            // The page does without, if the disk is full: nothing depends on it.
            let _ = tokio::task::spawn_blocking(move || files::remember(&public, &note)).await;
        }
    }
}

async fn beat(log: Arc<Log>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        match log.beat(server::system_time()) {
            Ok(ticket) => {
                if let Err(error) = ticket.durable().await {
                    eprintln!("vigie: no heartbeat: {}", in_full(&error));
                }
            }
            Err(error) => eprintln!("vigie: no heartbeat: {}", in_full(&error)),
        }
    }
}

async fn until_stopped(log: &Log) -> Stopped {
    // No entry ever has this index: only a stop ends the waiting.
    loop {
        if let Err(stopped) = log.published(u64::MAX).await {
            return stopped;
        }
    }
}

/// Takes entries from the queue; returns why that ended.
async fn consumed(queue: Option<Queue>, log: &Arc<Log>) -> String {
    match queue {
        None => std::future::pending().await,
        Some(queue) => match queue.serve(log.clone(), std::future::pending()).await {
            Ok(()) => "the queue ended".to_owned(),
            Err(error) => in_full(&error),
        },
    }
}

/// Keeps a copy of a ledger.
pub async fn mirror(options: &MirrorOptions, common: &Common) -> Result<u8, Fault> {
    let Opened { source, policy } = open(&options.ledger, &options.trust)?;
    let folder = options.folder.clone();
    let opened = tokio::task::block_in_place(|| Mirror::open(&folder, policy.clone()));
    let mut mirror = opened.map_err(|error| fault(&error))?;
    if let Some(address) = options.listen {
        let listener = listen(address, common, "the copy is").await?;
        let router = files::router(folder.clone(), About { policy });
        tokio::spawn(serve(listener, router, std::future::pending()));
    }
    loop {
        let before = mirror.size();
        let updated = tokio::task::block_in_place(|| mirror.update(&source, |_, _| ()));
        match updated {
            Ok(head) => {
                let checkpoint = head.checkpoint.checkpoint();
                if checkpoint.size() > before || options.every == 0 {
                    // The copy is whole without it.
                    let _ = files::remember(&folder, head.checkpoint.note());
                    report(checkpoint.size(), before, &folder, common)?;
                }
            }
            // The network may come back; a log that contradicts itself does not.
            Err(MirrorError::Log(error @ vigie_ledger::reader::ReadError::Fetch { .. })) if options.every > 0 => {
                eprintln!("vigie: {}; trying again in {} s", in_full(&error), options.every);
            }
            Err(MirrorError::Log(error @ vigie_ledger::reader::ReadError::Fetch { .. })) => return Err(fault(&error)),
            Err(MirrorError::Log(error)) => {
                // Answered, with a mismatch: this is what mirrors are for.
                print_line(&format!("{} is NOT what it was: {}", options.ledger, in_full(&error)));
                print_line(&format!(
                    "  the copy in {} keeps the {before} entries that were checked before",
                    folder.display()
                ));
                return Ok(1);
            }
            Err(error) => return Err(fault(&error)),
        }
        if options.every == 0 {
            return Ok(0);
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(options.every)) => {}
            () = interrupted() => return Ok(0),
        }
    }
}

fn report(size: u64, before: u64, folder: &std::path::Path, common: &Common) -> Result<(), Fault> {
    if common.json {
        print_line(&json_of(&json!({ "size": size, "new": size - before }))?);
    } else if !common.quiet {
        print_line(&format!(
            "{size} entries checked and copied to {}, {} of them new",
            folder.display(),
            size - before
        ));
    }
    Ok(())
}

/// Carries out `vigie witness …`.
pub async fn witness(options: &WitnessOptions, common: &Common) -> Result<u8, Fault> {
    match &options.command {
        WitnessCommand::Init(options) => init_witness(options, common),
        WitnessCommand::Watch(options) => {
            Witness::watch(&options.folder, &options.key).map_err(|error| fault(&error))?;
            if !common.quiet {
                print_line(&format!(
                    "Told of the ledger {}; a running witness learns of it when it starts again",
                    options.key.name()
                ));
            }
            Ok(0)
        }
        WitnessCommand::Key(options) => {
            let keys = Witness::verifier_keys(&options.folder).map_err(|error| fault(&error))?;
            keys.iter().for_each(|key| print_line(&key.to_string()));
            Ok(0)
        }
        WitnessCommand::Serve(options) => serve_witness(options, common).await,
    }
}

fn init_witness(options: &WitnessInitOptions, common: &Common) -> Result<u8, Fault> {
    let mut keys = Vec::new();
    for algorithm in &options.algorithm {
        keys.push(SignerKey::from_seed(options.name.clone(), (*algorithm).into(), random()?));
    }
    Witness::init(&options.folder, &keys).map_err(|error| fault(&error))?;
    if !common.quiet {
        eprintln!("vigie: made the witness {} in {}; these are its keys", options.name, options.folder.display());
    }
    keys.iter().for_each(|key| print_line(&key.verifier().to_string()));
    Ok(0)
}

async fn serve_witness(options: &WitnessServeOptions, common: &Common) -> Result<u8, Fault> {
    let witness = Witness::open(&options.folder).map_err(|error| fault(&error))?;
    let n_logs = witness.origins().count();
    if n_logs == 0 {
        eprintln!("vigie: this witness watches no ledger yet; tell it of one with `vigie witness watch`");
    }
    let router = server::router(Arc::new(witness), server::system_time);
    let listener = listen(options.listen, common, &format!("a witness of {n_logs} ledgers is")).await?;
    serve(listener, router, interrupted()).await?;
    Ok(0)
}
