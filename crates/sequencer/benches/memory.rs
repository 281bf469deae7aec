//! How much memory a log takes that has a hundred million entries, and how long it takes to open.
//!
//! `cargo bench -p vigie-sequencer --bench memory [-- FOLDER]` makes up such a log, with all that opening reads: the tiles
//! below its edge, its head, and the files of event ids (2.4 GB in FOLDER). Older tiles and bundles are left out. Then it
//! opens the log, appends, asks for receipts, and says what the process had in memory at most since it began to open.
//!
//! The surprise: the peak is the system's own figure (`VmHWM`), set back after the making up.

use std::{fs, path::Path, time::Instant};
use vigie_ledger::{
    Checkpoint, Entry, EventId, Hash, Kind, Note, SignerKey, TrustPolicy,
    tile::{Resource, TILE_WIDTH, TileId, push_entry, tile_bytes},
    tree::Frontier,
};
use vigie_sequencer::{Batch, Home, Log, Options, Stream, measuring::write_ids};

/// Not a multiple of 256, so that the last entry is in a bundle that is there.
const ENTRIES: u64 = 100_000_100;
const MORE: u64 = 400_000;

fn event(number: u64) -> [u8; 148] {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    id[8..].copy_from_slice(&number.to_be_bytes());
    Entry::new(Kind::Access, 1_700_000_000, EventId(id), Hash::EMPTY).to_bytes()
}

fn put(home: &Home, resource: Resource, bytes: &[u8]) {
    let path = home.public().join(resource.to_string());
    fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder");
    fs::write(path, bytes).expect("room");
}

fn make_up(home: &Home, key: &SignerKey) {
    let edges: Vec<TileId> = TileId::partials(ENTRIES).collect();
    let mut tree = Frontier::new();
    let bundle_from = ENTRIES / TILE_WIDTH * TILE_WIDTH;
    let mut bundle = Vec::new();
    // One content for all entries but the last: what they say is not looked at.
    let leaf = Hash::leaf(&event(0));
    for number in 0..ENTRIES {
        let mut hash = leaf;
        if number >= bundle_from {
            let entry = event(number);
            push_entry(&mut bundle, &entry).expect("short");
            hash = Hash::leaf(&entry);
        }
        tree.append_leaf(hash, |tile| {
            let above = edges.iter().find(|edge| edge.level() == tile.id.level() + 1);
            if above.is_some_and(|edge| tile.id.index() >= edge.index() * TILE_WIDTH) {
                put(home, Resource::Tile(tile.id), &tile_bytes(&tile.hashes));
            }
        });
    }
    for edge in edges {
        put(home, Resource::Tile(edge), &tile_bytes(tree.edge(edge.level())));
        if edge.level() == 0 {
            put(home, Resource::Entries(edge), &bundle);
        }
    }
    let head = Checkpoint::new(key.verifier().name().clone(), ENTRIES, tree.root());
    let mut note = Note::new(head.to_string()).expect("whole lines");
    note.add(key.sign(note.text()));
    fs::write(home.folder().join("head"), note.to_string()).expect("room");
    put(home, Resource::Checkpoint, note.to_string().as_bytes());
    write_ids(&home.folder().join("ids"), ENTRIES).expect("room");
}

fn peak() -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
}

fn main() {
    let parent = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let folder = parent.map_or_else(tempfile::tempdir, tempfile::tempdir_in).expect("a folder");
    let home = Home::new(Path::new(folder.path()).join("log"));
    let key = home.init(&"bench.example/log".parse().expect("a name"), Stream::Events, None).expect("a new folder");
    let start = Instant::now();
    make_up(&home, &key);
    println!("a log of {ENTRIES} entries, made up in {:.0} s", start.elapsed().as_secs_f64());
    fs::write("/proc/self/clear_refs", "5").expect("Linux lets a process set back its own peak");
    println!("peak before opening: {:.1} MiB", peak());
    let start = Instant::now();
    let log = Log::open(&home, Options::default()).expect("it is whole");
    println!("opened in {:.1} s; peak {:.1} MiB", start.elapsed().as_secs_f64(), peak());
    let start = Instant::now();
    for from in (ENTRIES..ENTRIES + MORE).step_by(256) {
        let events: Vec<_> = (from..(from + 256).min(ENTRIES + MORE)).map(event).collect();
        let batch = Batch::try_from(events.as_slice()).expect("short");
        let answers = log.append_many(batch).expect("it runs").wait().expect("it runs");
        assert!(answers.iter().all(Result::is_ok), "every event is new");
    }
    let rate = MORE as f64 / start.elapsed().as_secs_f64();
    log.wait_published(ENTRIES + MORE - 1).expect("it runs");
    for index in (ENTRIES..ENTRIES + MORE).step_by(1000) {
        let receipt = log.receipt(index, None).expect("published");
        if index % 100_000 == 0 {
            receipt.verify(&event(index), &TrustPolicy::of_log(key.verifier().clone())).expect("it is there");
        }
    }
    println!("{MORE} more at {rate:.0}/s in batches of 256, published, 400 receipts; peak {:.1} MiB", peak());
    log.close().expect("it runs");
    let peak = peak();
    assert!(peak < 64.0, "{peak:.1} MiB at most");
}
