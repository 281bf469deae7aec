//! What a row costs until it is durable, beside bare SHA-256 and a bare sync of the same disk, in one run.
//!
//! `cargo bench -p vigie-vault [-- FOLDER]` writes below FOLDER, or below the system's folder for temporary files; on a
//! file system in memory the figures of the disk mean nothing.
//!
//! The surprise: ratios are what to look at. A row costs about nine and a half blocks of SHA-256 by the format; the rest
//! is ours.

use sha2::{Digest as _, Sha256};
use std::hint::black_box;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vigie_ledger::commitment::{Place, Salt, SubjectKey, commit, rows_root};
use vigie_ledger::{Entry, EventId, Kind};
use vigie_vault::{KeyEncryptionKey, Options, Record, RowList, Vault};

const ROWS: u32 = 16_384;
const ROUNDS: u32 = 15;
/// Rows of a piece that is done before others get the processor.
const PIECE: u32 = 1024;
const TEMPLATE: &[u8] = b"vigie/access-row/v1\ncolumns 0\nsubject ";

/// The least time of one of so many rows, in nanoseconds: what else the machine does is not counted.
fn per_row(rows: u32, mut once: impl FnMut() -> Duration) -> f64 {
    let least = (0..ROUNDS * ROWS / rows).map(|_| once()).min().expect("some rounds");
    least.as_nanos() as f64 / f64::from(rows)
}

fn sorted(mut once: impl FnMut() -> Duration) -> Vec<Duration> {
    let mut times: Vec<Duration> = (0..ROUNDS).map(|_| once()).collect();
    times.sort();
    times
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

fn list(count: u32) -> RowList {
    let mut rows = RowList::new(vec![TEMPLATE.to_vec()]).expect("one template");
    for row in 0..count {
        rows.push(0, (175_000_000 + row).to_string().as_bytes()).expect("a short id");
    }
    rows
}

fn record(number: u64) -> Record {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let event_id = EventId(id);
    let rows = list(ROWS).with_seed([number as u8; 32]);
    let header = b"vigie/access/v1\n".to_vec();
    let header_salt = Salt([7; 32]);
    let mut entry =
        Entry::new(Kind::Access, 1_700_000_000, event_id, commit(&header_salt, event_id, Place::Header, &header));
    entry.row_count = rows.count().into();
    entry.rows_root = rows.root(event_id);
    Record { entry, time_ms: 0, header_salt, header, rows }
}

fn bare_sync(folder: &Path, bytes: usize) -> Duration {
    let file = std::fs::File::create(folder.join("bare")).expect("a file");
    let block = vec![7; bytes];
    let mut at = 0;
    let times = sorted(|| {
        at += bytes as u64;
        timed(|| {
            file.write_all_at(&block, at).expect("room");
            file.sync_data().expect("a disk");
        })
    });
    times[times.len() / 2]
}

fn main() {
    let given = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let below = given.map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(below).expect("a folder");
    let event_id = EventId([1; 16]);
    let ids: Vec<Vec<u8>> = (0..ROWS).map(|row| (175_000_000 + row).to_string().into_bytes()).collect();
    let mut warm = list(ROWS);
    let note = per_row(ROWS, || {
        let mut rows = RowList::new(vec![TEMPLATE.to_vec()]).expect("one template");
        rows.reserve(warm.packed_bytes());
        let time = timed(|| ids.iter().for_each(|id| rows.push(0, id).expect("a short id")));
        warm = rows;
        time
    });
    let block = per_row(ROWS, || {
        timed(|| {
            for row in 0..ROWS {
                black_box(Sha256::digest(row.to_be_bytes()));
            }
        })
    });
    let key = SubjectKey::new([1; 32]);
    let plain = per_row(PIECE, || {
        timed(|| {
            rows_root(ids.iter().take(PIECE as usize).zip(0..).map(|(id, row)| {
                let place = Place::Row(row);
                commit(&key.salt(event_id, place), event_id, place, &[TEMPLATE, id].concat())
            }))
        })
    });
    let rows = list(PIECE).with_seed([1; 32]);
    let ours = per_row(PIECE, || timed(|| rows.root(event_id)));
    let rows = list(ROWS).with_seed([1; 32]);
    let both = per_row(ROWS, || timed(|| rows.root(event_id)));
    let record_bytes = record(0).to_bytes();
    let whole = record(0);
    let serialize = per_row(ROWS, || timed(|| whole.to_bytes()));
    let sync = bare_sync(folder.path(), record_bytes.len() + 128);
    let vault = Vault::open(&folder.path().join("vault"), KeyEncryptionKey::new([1; 32]), Options::default());
    let vault = vault.expect("a new vault");
    let mut number = 0;
    let durable = sorted(|| {
        number += 1;
        let record = record(number);
        timed(|| vault.append(record).expect("it runs").wait().expect("it runs"))
    });
    let durable = durable[durable.len() / 2].as_nanos() as f64 / f64::from(ROWS);
    let about = timed(|| vault.about(b"175000005").expect("it can be read"));
    println!(
        "a chunk of {ROWS} rows, {} bytes as a record; nanoseconds a row;\nthe least of {ROUNDS}, of the disk the median",
        record_bytes.len()
    );
    println!("noting a row                                {note:8.1}");
    println!("bare SHA-256 of one block                   {block:8.1}");
    println!("salts, commitments, root: ledger's plain    {plain:8.1}");
    println!("salts, commitments, root: ours              {ours:8.1}   {:.1} bare blocks", ours / block);
    println!("the same for a chunk, on two threads        {both:8.1}");
    println!("writing it as bytes                         {serialize:8.1}");
    println!(
        "append until durable                        {durable:8.1}   {:.2} ms a chunk",
        durable * f64::from(ROWS) / 1e6
    );
    println!(
        "bare write and sync of as many bytes        {:8.1}   {:.2} ms",
        sync.as_nanos() as f64 / f64::from(ROWS),
        sync.as_secs_f64() * 1e3
    );
    println!("all accesses to one person, {number} records: {:.1} ms", about.as_secs_f64() * 1e3);
}
