//! A log in a folder, written in the plainest way: not by the sequencer, so that it judges neither itself nor us.

use std::path::Path;
use tempfile::TempDir;
use vigie_ledger::key::Algorithm;
use vigie_ledger::proof::consistency_proof;
use vigie_ledger::reader::Tiles;
use vigie_ledger::tile::{Resource, TileId, push_entry, tile_bytes};
use vigie_ledger::tree::Frontier;
use vigie_ledger::witness::AddCheckpoint;
use vigie_ledger::{Checkpoint, Note, SignerKey, TrustPolicy};
use vigie_witness::source::LogSource;

pub struct PlainLog {
    pub folder: TempDir,
    pub entries: Vec<Vec<u8>>,
}

pub fn key() -> SignerKey {
    SignerKey::from_seed("operator.example/accesses".parse().expect("a name"), Algorithm::Ed25519, [7; 32])
}

pub fn policy() -> TrustPolicy {
    TrustPolicy::of_log(key().verifier().clone())
}

pub fn numbered(from: u64, to: u64) -> impl Iterator<Item = Vec<u8>> {
    (from..to).map(|number| format!("entry {number}").into_bytes())
}

impl PlainLog {
    pub fn new(entries: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut log = Self { folder: tempfile::tempdir().expect("a folder"), entries: Vec::new() };
        log.extend(entries);
        log
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn source(&self) -> LogSource {
        LogSource::of(self.path().to_str().expect("a path")).expect("a folder")
    }

    pub fn extend(&mut self, entries: impl IntoIterator<Item = Vec<u8>>) {
        self.entries.extend(entries);
        let mut frontier = Frontier::new();
        let mut files = Vec::new();
        for entry in &self.entries {
            frontier.append(entry, |tile| files.push((Resource::Tile(tile.id), tile_bytes(&tile.hashes))));
        }
        let size = frontier.size();
        for id in TileId::partials(size) {
            files.push((Resource::Tile(id), tile_bytes(frontier.edge(id.level()))));
        }
        for (at, entries) in self.entries.chunks(256).enumerate() {
            let mut bundle = Vec::new();
            entries.iter().for_each(|entry| push_entry(&mut bundle, entry).expect("short entries"));
            let id = TileId::containing(0, at as u64 * 256, size).expect("below the size");
            files.push((Resource::Entries(id), bundle));
        }
        let mut note = Note::new(self.head().to_string()).expect("a text");
        note.add(key().sign(note.text()));
        files.push((Resource::Checkpoint, note.to_string().into_bytes()));
        for (resource, bytes) in files {
            let path = self.path().join(resource.to_string());
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
            std::fs::write(path, bytes).expect("writable");
        }
    }

    pub fn head(&self) -> Checkpoint {
        let mut frontier = Frontier::new();
        for entry in &self.entries {
            frontier.append(entry, |_| ());
        }
        Checkpoint::new(key().verifier().name().clone(), frontier.size(), frontier.root())
    }

    /// What this log sends to a witness that has cosigned its first `old` entries.
    pub fn request(&self, old: u64) -> AddCheckpoint {
        let bytes = std::fs::read(self.path().join("checkpoint")).expect("published");
        let size = self.entries.len() as u64;
        let proof = consistency_proof(&mut Tiles::new(self.source(), size, 100), old, size).expect("tiles");
        AddCheckpoint { old, proof, note: Note::parse(&bytes).expect("a note") }
    }
}
