//! `vigie ledger proof`, `check` and `tail`: what anybody can do with a ledger.

use super::arguments::{CheckOptions, ProofOptions, TailOptions};
use super::open::{fault, in_words, open};
use crate::{
    arguments::Common,
    fault::Fault,
    inspect::{interrupted, json_of, print_line},
    keep::{self, in_full},
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;
use vigie_ledger::hash::hex;
use vigie_ledger::policy::Attested;
use vigie_ledger::reader::{Follower, ReadError, Tiles, check as rehash, fetch_entry, frontier_at};
use vigie_ledger::{Entry, Hash, Receipt};
use vigie_witness::source::FetchError;

/// Tiles kept while proving.
const TILES: usize = 256;
/// How often `tail --follow` looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many entries `tail` shows without `--from`.
const LAST: u64 = 10;

/// Writes a receipt.
pub fn proof(options: &ProofOptions) -> Result<u8, Fault> {
    let opened = open(&options.ledger, &options.trust)?;
    let failed = |error: ReadError<FetchError>| fault(&error);
    let head = Follower::new(opened.policy.clone()).head(&opened.source).map_err(failed)?;
    let checkpoint = head.checkpoint.checkpoint();
    let entry = fetch_entry(&opened.source, options.index, checkpoint.size()).map_err(failed)?;
    let mut tiles = Tiles::new(&opened.source, checkpoint.size(), TILES);
    let leaf = Hash::leaf(&entry);
    let proof = tiles.prove_inclusion(options.index, leaf, checkpoint.root()).map_err(failed)?;
    let checkpoint = head.checkpoint.note().to_string().into_bytes();
    let receipt = Receipt { extra: None, index: options.index, proof, checkpoint }.to_bytes();
    match &options.out {
        Some(path) => keep::file(path, &receipt)?,
        None => {
            // A reader that has gone away is no fault of ours.
            let _ = std::io::stdout().write_all(&receipt);
        }
    }
    Ok(0)
}

/// Rehashes a ledger.
pub fn check(options: &CheckOptions, common: &Common) -> Result<u8, Fault> {
    let opened = open(&options.ledger, &options.trust)?;
    let head = match Follower::new(opened.policy.clone()).head(&opened.source) {
        Ok(head) => head,
        Err(ReadError::Head(refusal)) => return answer(&options.ledger, None, Some(in_full(&refusal)), common),
        Err(error) => return Err(fault(&error)),
    };
    let checkpoint = head.checkpoint.checkpoint();
    let bar = progress(checkpoint.size(), common);
    let result = rehash(&opened.source, checkpoint, |done| bar.set_position(done));
    bar.finish_and_clear();
    match result {
        Ok(()) => answer(&options.ledger, Some(&head), None, common),
        // The network is not the ledger's word.
        Err(error @ ReadError::Fetch { .. }) => Err(fault(&error)),
        Err(error) => answer(&options.ledger, Some(&head), Some(in_full(&error)), common),
    }
}

fn progress(size: u64, common: &Common) -> ProgressBar {
    if common.quiet || common.json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(size);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:30} {human_pos} of {human_len} entries, {per_sec}, {eta} left")
    {
        bar.set_style(style);
    }
    bar
}

fn answer(ledger: &str, head: Option<&Attested>, wrong: Option<String>, common: &Common) -> Result<u8, Fault> {
    let checkpoint = head.map(|head| head.checkpoint.checkpoint());
    let witnesses = head.map(|head| head.witnesses.as_slice()).unwrap_or_default();
    if common.json {
        print_line(&json_of(&json!({
            "schema": "vigie-ledger-check/1",
            "ledger": ledger,
            "sound": wrong.is_none(),
            "problem": wrong,
            "origin": checkpoint.map(|checkpoint| checkpoint.origin().as_str()),
            "size": checkpoint.map(vigie_ledger::Checkpoint::size),
            "root": checkpoint.map(|checkpoint| checkpoint.root().to_base64()),
            "witnesses": witnesses.iter().map(|(name, time)| json!({ "name": name.as_str(), "time": time })).collect::<Vec<_>>(),
        }))?);
    } else if !common.quiet {
        match (&wrong, checkpoint) {
            (None, Some(checkpoint)) => {
                print_line(&format!(
                    "{} is sound: {} entries make the root that was signed",
                    checkpoint.origin(),
                    checkpoint.size()
                ));
                print_line(&format!("  root       {}", checkpoint.root()));
                for (name, time) in witnesses {
                    print_line(&format!("  witness    {name}, {}", in_words(*time)));
                }
            }
            (wrong, _) => {
                print_line(&format!("{ledger} is NOT what was signed"));
                print_line(&format!("  {}", wrong.as_deref().unwrap_or("it has no head")));
            }
        }
    }
    Ok(u8::from(wrong.is_some()))
}

/// Prints entries, each of them rehashed into the signed root before it is shown.
pub async fn tail(options: &TailOptions, common: &Common) -> Result<u8, Fault> {
    let opened = open(&options.ledger, &options.trust)?;
    let mut follower: Option<Follower> = None;
    let mut next = options.from;
    loop {
        let shown = tokio::task::block_in_place(|| -> Result<Vec<(u64, Vec<u8>)>, ReadError<FetchError>> {
            let head = Follower::new(opened.policy.clone()).head(&opened.source)?;
            let checkpoint = head.checkpoint.checkpoint();
            let first = *next.get_or_insert(checkpoint.size().saturating_sub(LAST));
            let mut entries = Vec::new();
            if first < checkpoint.size() {
                let follower = match &mut follower {
                    Some(follower) => follower,
                    None => follower.insert(begin(&opened, first, checkpoint)?),
                };
                follower.advance(&opened.source, checkpoint, |index, entry| entries.push((index, entry.to_vec())))?;
                next = Some(checkpoint.size());
            }
            Ok(entries)
        });
        match shown {
            Ok(shown) => shown.iter().try_for_each(|(index, entry)| print_entry(*index, entry, common))?,
            Err(ReadError::Missing(path)) if options.follow && path == "checkpoint" => {}
            Err(error) => return Err(fault(&error)),
        }
        if !options.follow {
            return Ok(0);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = interrupted() => return Ok(0),
        }
    }
}

/// Begins at an entry: the tree below it is taken from tiles, and believed because together they make the signed root.
fn begin(
    opened: &super::open::Opened,
    first: u64,
    checkpoint: &vigie_ledger::Checkpoint,
) -> Result<Follower, ReadError<FetchError>> {
    let mut tiles = Tiles::new(&opened.source, checkpoint.size(), TILES);
    let old = vigie_ledger::proof::root(&mut tiles, first)?;
    tiles.prove_consistency(first, old, checkpoint.root())?;
    let frontier = frontier_at(&opened.source, first, checkpoint.size())?;
    Ok(Follower::resume(opened.policy.clone(), frontier))
}

fn print_entry(index: u64, bytes: &[u8], common: &Common) -> Result<(), Fault> {
    let entry = Entry::parse(bytes);
    if common.json {
        let mut line = json!({ "index": index, "bytes": hex(bytes) });
        if let (Ok(entry), Value::Object(line)) = (&entry, &mut line) {
            line.insert("kind".to_owned(), entry.kind.name().into());
            line.insert("time".to_owned(), entry.time_bucket.into());
            line.insert("rows".to_owned(), entry.row_count.into());
            line.insert("row_base".to_owned(), entry.row_base.into());
            line.insert("event_id".to_owned(), entry.event_id.to_string().into());
        }
        print_line(&json_of(&line)?);
        return Ok(());
    }
    print_line(&match entry {
        Ok(entry) => format!(
            "{index:>9}  {}  {:<12} {:>9} rows  {}",
            in_words(entry.time_bucket),
            entry.kind.name(),
            entry.row_count,
            entry.event_id
        ),
        Err(_) => format!("{index:>9}  {} bytes  sha256 {}", bytes.len(), Hash::of(bytes).to_hex()),
    });
    Ok(())
}
