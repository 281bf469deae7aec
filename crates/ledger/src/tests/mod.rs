//! Tests of the room as a whole: a log in memory, read, proved, witnessed, sampled; and oracles nobody here wrote.

mod mutated;
mod oracles;
mod published;
mod reading;
mod samples;
mod signed;

use crate::checkpoint::Checkpoint;
use crate::key::{Algorithm, SignerKey};
use crate::note::Note;
use crate::reader::Source;
use crate::tile::{Resource, TILE_WIDTH, TileId, push_entry, tile_bytes};
use crate::tree::Frontier;
use std::collections::HashMap;
use std::convert::Infallible;

/// A log whose files are in memory, written in the plainest way.
#[derive(Debug, Clone)]
pub(crate) struct MemoryLog {
    pub(crate) files: HashMap<String, Vec<u8>>,
    pub(crate) entries: Vec<Vec<u8>>,
    pub(crate) frontier: Frontier,
}

pub(crate) fn log_key() -> SignerKey {
    SignerKey::from_seed("operator.example/accesses".parse().expect("a name"), Algorithm::Ed25519, [7; 32])
}

pub(crate) fn witness_key(number: u8, algorithm: Algorithm) -> SignerKey {
    SignerKey::from_seed(format!("witness{number}.example").parse().expect("a name"), algorithm, [number; 32])
}

impl MemoryLog {
    pub(crate) fn new(entries: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut log = Self { files: HashMap::new(), entries: Vec::new(), frontier: Frontier::new() };
        log.extend(entries);
        log
    }

    pub(crate) fn numbered(count: u64) -> Self {
        Self::new((0..count).map(|number| format!("entry {number}").into_bytes()))
    }

    pub(crate) fn extend(&mut self, entries: impl IntoIterator<Item = Vec<u8>>) {
        for entry in entries {
            let files = &mut self.files;
            self.frontier.append(&entry, |tile| {
                files.insert(Resource::Tile(tile.id).to_string(), tile_bytes(&tile.hashes));
            });
            self.entries.push(entry);
        }
        self.publish(&[]);
    }

    pub(crate) fn head(&self) -> Checkpoint {
        Checkpoint::new(log_key().verifier().name().clone(), self.frontier.size(), self.frontier.clone().root())
    }

    /// Writes partial tiles, bundles, and the head with these cosigners' lines.
    pub(crate) fn publish(&mut self, witnesses: &[(&SignerKey, u64)]) {
        let size = self.frontier.size();
        for id in TileId::partials(size) {
            let bytes = tile_bytes(self.frontier.edge(id.level()));
            self.files.insert(Resource::Tile(id).to_string(), bytes);
        }
        for first in (0..size).step_by(TILE_WIDTH as usize) {
            let id = TileId::containing(0, first, size).expect("below the size");
            let mut bundle = Vec::new();
            for entry in &self.entries[first as usize..][..id.width().into()] {
                push_entry(&mut bundle, entry).expect("short entries");
            }
            self.files.insert(Resource::Entries(id).to_string(), bundle);
        }
        let head = self.head();
        let mut note = Note::new(head.to_string()).expect("a text");
        note.add(log_key().sign(note.text()));
        for (key, time) in witnesses {
            note.add(key.cosign(&head, *time));
        }
        self.files.insert("checkpoint".to_owned(), note.to_string().into_bytes());
    }
}

impl Source for MemoryLog {
    type Error = Infallible;

    fn fetch(&self, resource: Resource) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.files.get(&resource.to_string()).cloned())
    }
}
