//! The thread that turns durable entries into tiles, signs heads over them, asks witnesses, and publishes.
//!
//! The order is what everything rests on: tiles and bundles are durable before a head over them is signed; the head is
//! durable in the cell `head` before anybody sees it; witnesses see it before everybody does. Where we stop in between,
//! the next start goes on: tiles that no head covers are written again with the same content, a head that nobody saw is
//! sent again.
//!
//! Out of scope: what witnesses answer (`witnesses`).

use crate::{
    entries::entries,
    files::{Access, Files, Shelf},
    home::Home,
    log::{Published, Shared, Work, Written},
    remote::Remote,
    witnesses::{Asked, ENDS, Witnesses},
};
use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use vigie_ledger::{
    Checkpoint, Note, SignerKey, TrustPolicy, VerifierKey,
    reader::{Source, Tiles},
    tile::{Resource, TILE_WIDTH, TileId, push_entry, tile_bytes},
    tree::Frontier,
};

/// Longest wait between two attempts to reach witnesses or a store.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Reads the public files of a log from its folder.
#[derive(Debug, Clone)]
pub struct FolderSource {
    files: Arc<dyn Files>,
    folder: PathBuf,
}

impl FolderSource {
    /// Reads below `folder`.
    pub fn new(files: Arc<dyn Files>, folder: PathBuf) -> Self {
        Self { files, folder }
    }
}

impl Source for FolderSource {
    type Error = io::Error;

    fn fetch(&self, resource: Resource) -> io::Result<Option<Vec<u8>>> {
        self.files.read(&self.folder.join(resource.to_string()))
    }
}

/// What the publisher knows.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) shared: Arc<Shared>,
    pub(crate) home: Home,
    pub(crate) key: Arc<SignerKey>,
    pub(crate) policy: TrustPolicy,
    pub(crate) frontier: Frontier,
    /// The entries of the bundle that is not full.
    pub(crate) bundle: Vec<u8>,
    /// Full tiles and bundles that no head covers.
    pub(crate) full: Vec<(String, Vec<u8>)>,
    /// Bytes of entries that no head covers.
    pub(crate) uncovered: usize,
    /// The cell's content: the newest signed head.
    pub(crate) head: Vec<u8>,
    pub(crate) head_size: u64,
    /// Whether the head was sent to the witnesses since the start.
    pub(crate) asked: bool,
    pub(crate) witnesses: Witnesses,
    pub(crate) remote: Option<Remote>,
    pub(crate) shelf: Shelf,
}

/// Why the log must stop.
type Fatal = String;

fn fatal(path: &Path, error: &io::Error) -> Fatal {
    format!("`{}` could not be written: {error}", path.display())
}

impl Publisher {
    pub(crate) fn run(mut self) {
        let every = self.shared.options.publish_every;
        let mut last: Option<Instant> = None;
        let mut wait = every;
        loop {
            let waiting = self.is_waiting();
            let left = |wait: Duration| last.map_or(Duration::ZERO, |last| wait.saturating_sub(last.elapsed()));
            let at_most = waiting.then(|| left(wait));
            let Work { batches, flush, closed, pressing } = self.shared.take_work(left(every), at_most);
            if self.shared.is_stopped() {
                return;
            }
            let new = !batches.is_empty();
            self.absorb(batches);
            // New entries are not kept waiting by witnesses that did not answer.
            let wanted = if new || self.frontier.size() > self.head_size { every } else { wait };
            let due = last.is_none_or(|last| last.elapsed() >= wanted);
            if self.is_waiting() && (due || flush || closed || pressing) {
                last = Some(Instant::now());
                match self.publish() {
                    Ok(true) => wait = every,
                    Ok(false) => wait = (wait * 2).clamp(every, LONGEST_WAIT.max(every)),
                    Err(reason) => {
                        self.shared.stop(reason);
                        return;
                    }
                }
            }
            if closed {
                return;
            }
        }
    }

    /// Tells whether there is anything to sign, to be witnessed or to be copied.
    fn is_waiting(&self) -> bool {
        let published = &self.shared.progress().published;
        self.frontier.size() > self.head_size
            || published.size < self.head_size
            || published.checkpoint.is_empty()
            || !self.asked
            || self.remote.as_ref().is_some_and(|remote| remote.is_behind(published))
    }

    /// Adds entries to the tree.
    pub(crate) fn absorb(&mut self, batches: VecDeque<Arc<Written>>) {
        for batch in batches {
            self.uncovered += batch.payload.len();
            for (entry, leaf) in entries(&batch.payload).zip(&batch.leaves) {
                push_entry(&mut self.bundle, entry).expect("what was taken in fits in a bundle");
                let full = &mut self.full;
                self.frontier.append_leaf(*leaf, |tile| {
                    full.push((Resource::Tile(tile.id).to_string(), tile_bytes(&tile.hashes)));
                });
                if self.frontier.size().is_multiple_of(TILE_WIDTH) {
                    let id = TileId::full(0, self.frontier.size() / TILE_WIDTH - 1);
                    self.full.push((Resource::Entries(id).to_string(), std::mem::take(&mut self.bundle)));
                }
            }
        }
    }

    /// Signs, asks and publishes. `false` if it has to be tried again.
    fn publish(&mut self) -> Result<bool, Fatal> {
        let (before, size) = (self.head_size, self.frontier.size());
        if size > before {
            self.write_tiles(size)?;
            self.sign(size)?;
            let uncovered = std::mem::take(&mut self.uncovered);
            self.shared.report(|progress| progress.signed = size);
            self.shared.release(uncovered);
        }
        let done = self.witness()?;
        self.copy();
        if size > before {
            self.remove_outgrown(before, size);
        }
        Ok(done)
    }

    fn write_tiles(&mut self, size: u64) -> Result<(), Fatal> {
        let mut new = std::mem::take(&mut self.full);
        for id in TileId::partials(size) {
            new.push((Resource::Tile(id).to_string(), tile_bytes(self.frontier.edge(id.level()))));
            if id.level() == 0 {
                new.push((Resource::Entries(id).to_string(), self.bundle.clone()));
            }
        }
        self.shelf.put(&new).map_err(|(path, error)| fatal(&path, &error))
    }

    /// Signs the head and puts it in its cell, if the cell still holds what we put there last.
    fn sign(&mut self, size: u64) -> Result<(), Fatal> {
        let root = self.frontier.root();
        self.shared.nodes_hashed.store(self.frontier.hashed(), Ordering::Relaxed);
        let checkpoint = Checkpoint::new(self.key.verifier().name().clone(), size, root);
        let mut note = Note::new(checkpoint.to_string()).expect("a checkpoint is a text of whole lines");
        note.add(self.key.sign(note.text()));
        let bytes = note.to_string().into_bytes();
        let files = &self.shared.options.files;
        put_head(&**files, &self.home, &self.head, &bytes)?;
        (self.head, self.head_size, self.asked) = (bytes, size, false);
        Ok(())
    }

    /// Asks the witnesses and publishes the head if they are a quorum; `false` if not.
    fn witness(&mut self) -> Result<bool, Fatal> {
        let published = self.shared.progress().published.clone();
        let is_new = published.size < self.head_size || published.checkpoint.is_empty();
        if !is_new && self.asked {
            return Ok(true);
        }
        let mut note = Note::parse(&self.head).expect("we wrote it");
        let checkpoint = Checkpoint::parse(note.text()).expect("we wrote it");
        let source = FolderSource::new(self.shared.options.files.clone(), self.home.public());
        let mut tiles = Tiles::new(source, self.head_size, 64);
        let Asked { cosignatures, said, accusations, against } = self.witnesses.ask(&note, &checkpoint, &mut tiles);
        if let Some(reason) = against {
            return Err(reason);
        }
        if let Some((_, accusation)) = accusations.first() {
            let accuses = |key: &VerifierKey| accusations.iter().any(|(accuser, _)| accuser == key);
            let others = self.policy.witnesses().map(|party| &party.key).filter(|key| !accuses(key));
            if !self.policy.is_quorum(others) {
                return Err(format!("{accusation}, and without it there is no quorum: {ENDS}"));
            }
            self.shared.report(|progress| progress.trouble = Some(format!("{accusation}, and shows nothing for that")));
        }
        for cosignature in cosignatures {
            note.add(cosignature);
        }
        let bytes = note.to_string().into_bytes();
        let quorum = self.policy.attest(&bytes).is_ok();
        self.shared.report(|progress| progress.witnesses = said);
        if !quorum {
            return Ok(false);
        }
        self.asked = true;
        if is_new {
            // If we stop here, witnesses know a head that nobody else does. The next start sends and publishes it again.
            self.shelf
                .put(&[(Resource::Checkpoint.to_string(), bytes.clone())])
                .map_err(|(path, error)| fatal(&path, &error))?;
            let (size, root) = (self.head_size, checkpoint.root());
            self.shared.report(|progress| progress.published = Published { size, root, checkpoint: bytes.into() });
        }
        Ok(true)
    }

    /// Copies what is published to the store. If that fails it is tried again with the next head, or at the next moment.
    fn copy(&mut self) {
        let Some(remote) = &mut self.remote else { return };
        let published = self.shared.progress().published.clone();
        let source = FolderSource::new(self.shared.options.files.clone(), self.home.public());
        if let Err(trouble) = remote.copy(&source, &published) {
            self.shared.report(|progress| progress.trouble = Some(trouble));
        }
    }

    /// Removes partial tiles whose full ones are there. What is left is harmless.
    fn remove_outgrown(&mut self, before: u64, size: u64) {
        let files = self.shared.options.files.clone();
        for id in TileId::partials(before) {
            let last = id.index() * TILE_WIDTH + TILE_WIDTH - 1;
            if TileId::containing(id.level(), last, size).is_none() {
                continue;
            }
            let full = [Some(Resource::Tile(id.filled())), (id.level() == 0).then(|| Resource::Entries(id.filled()))];
            for resource in full.into_iter().flatten() {
                let folder = self.home.public().join(format!("{resource}.p"));
                for name in files.list(&folder).unwrap_or_default() {
                    let _ = files.remove(&folder.join(name));
                }
                let _ = files.remove_folder(&folder);
                self.shelf.forget(&folder);
            }
        }
    }
}

/// Puts a head in its cell if the cell holds `expected`.
///
/// # Errors
///
/// One sentence; the cell holds either head then, and nobody has seen the new one.
pub(crate) fn put_head(files: &dyn Files, home: &Home, expected: &[u8], new: &[u8]) -> Result<(), Fatal> {
    let path = home.head();
    let found = files.read(&path).map_err(|error| fatal(&path, &error))?;
    if found.as_deref() != Some(expected) {
        return Err(format!("`{}` was changed by somebody else; a log has one writer", path.display()));
    }
    let staged = home.staging().join("head");
    let write = || -> io::Result<()> {
        let file = files.create(&staged, Access::Public)?;
        file.write_at(new, 0)?;
        file.sync()?;
        files.rename(&staged, &path)?;
        files.sync_folder(home.folder())
    };
    write().map_err(|error| fatal(&path, &error))
}
