//! A checked copy of somebody else's log, in the same files: the strongest form of watching one.
//!
//! Every entry is rehashed on its way in. Tiles are made here from the entries, not copied; the head is written last, and
//! only if the copy below it makes its root. If we stop in between, the next round goes on from the copied head.

use crate::durable;
use crate::source::{FetchError, LogSource};
use std::io;
use std::path::{Path, PathBuf};
use vigie_ledger::policy::Attested;
use vigie_ledger::reader::{Follower, ReadError, Source as _, check, fetch_entries, frontier_at};
use vigie_ledger::tile::{Resource, TILE_WIDTH, TileId, push_entry, tile_bytes};
use vigie_ledger::tree::Frontier;
use vigie_ledger::{Hash, TrustPolicy};

/// A folder with a copy of a log.
#[derive(Debug)]
pub struct Mirror {
    folder: PathBuf,
    policy: TrustPolicy,
    frontier: Frontier,
    // Entries of the last bundle, while it is partial: they are written again when it grows.
    tail: Vec<Vec<u8>>,
    _lock: std::fs::File,
}

/// Why a log cannot be mirrored, or its copy is damaged.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The folder cannot be used.
    #[error("`{}` cannot be written", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process writes this copy.
    #[error("another process keeps the copy in `{}`", .0.display())]
    Running(PathBuf),
    /// The copy itself is damaged. What it holds is no longer evidence.
    #[error("the copy in `{}` is damaged", .folder.display())]
    Copy {
        /// The folder.
        folder: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<ReadError<FetchError>>,
    },
    /// The log could not be read, or is not what it claims to be.
    #[error(transparent)]
    Log(#[from] ReadError<FetchError>),
}

impl Mirror {
    /// Opens a copy, or begins one in an empty folder. A copy that is there is rehashed at its edges and compared with its
    /// head; [`check_copy`](Self::check_copy) rehashes it whole.
    ///
    /// # Errors
    ///
    /// [`MirrorError`].
    pub fn open(folder: &Path, policy: TrustPolicy) -> Result<Self, MirrorError> {
        let failed = |source| MirrorError::File { path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let lock = durable::lock(folder).map_err(failed)?.ok_or_else(|| MirrorError::Running(folder.to_owned()))?;
        let mut mirror =
            Self { folder: folder.to_owned(), policy, frontier: Frontier::new(), tail: Vec::new(), _lock: lock };
        if !folder.join("checkpoint").exists() {
            return Ok(mirror);
        }
        let source = LogSource::Folder(folder.to_owned());
        let damaged = |source| MirrorError::Copy { folder: folder.to_owned(), source: Box::new(source) };
        let head = Follower::new(mirror.policy.clone()).head(&source).map_err(damaged)?;
        let size = head.checkpoint.checkpoint().size();
        let mut frontier = frontier_at(&source, size, size).map_err(damaged)?;
        if frontier.root() != head.checkpoint.checkpoint().root() {
            return Err(damaged(ReadError::Changed { from: 0, to: size }));
        }
        if let Some(id) = TileId::partials(size).find(|id| id.level() == 0) {
            let tail =
                fetch_entries(&source, id, |entries| entries.iter().map(|entry| entry.to_vec()).collect::<Vec<_>>());
            mirror.tail = tail.map_err(damaged)?;
            if mirror.tail.iter().map(|entry| Hash::leaf(entry)).ne(frontier.edge(0).iter().copied()) {
                return Err(damaged(ReadError::Changed { from: id.first(), to: size }));
            }
        }
        mirror.frontier = frontier;
        Ok(mirror)
    }

    /// Returns how many entries the copy has.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Fetches what is new at the log, checks it, and writes it down. `entry` sees each new entry.
    ///
    /// Returns the head that the copy has now.
    ///
    /// # Errors
    ///
    /// [`MirrorError`]; the copy has the head that it had before.
    pub fn update(&mut self, log: &LogSource, mut entry: impl FnMut(u64, &[u8])) -> Result<Attested, MirrorError> {
        let mut follower = Follower::resume(self.policy.clone(), self.frontier.clone());
        let attested = follower.head(log)?;
        let head = attested.checkpoint.checkpoint().clone();
        // Written while they are read; a stranger to the tree is found at the end, and the head is not written then.
        let mut writing =
            Writing { folder: &self.folder, frontier: self.frontier.clone(), tail: self.tail.clone(), failed: None };
        follower.advance(log, &head, |index, bytes| {
            writing.entry(bytes);
            entry(index, bytes);
        })?;
        let (frontier, tail) = writing.finish()?;
        let path = self.folder.join("checkpoint");
        let note = attested.checkpoint.note().to_string();
        durable::replace(&path, note.as_bytes(), 0o644).map_err(|source| MirrorError::File { path, source })?;
        self.frontier = frontier;
        self.tail = tail;
        Ok(attested)
    }

    /// Rehashes the whole copy.
    ///
    /// # Errors
    ///
    /// [`MirrorError::Copy`]: what is damaged.
    pub fn check_copy(&self, progress: impl FnMut(u64)) -> Result<(), MirrorError> {
        let source = LogSource::Folder(self.folder.clone());
        let damaged = |source| MirrorError::Copy { folder: self.folder.clone(), source: Box::new(source) };
        if source.fetch(Resource::Checkpoint).ok().flatten().is_none() {
            return Ok(());
        }
        let head = Follower::new(self.policy.clone()).head(&source).map_err(damaged)?;
        check(&source, head.checkpoint.checkpoint(), progress).map_err(damaged)
    }
}

/// What is written while entries come in.
struct Writing<'mirror> {
    folder: &'mirror Path,
    frontier: Frontier,
    tail: Vec<Vec<u8>>,
    failed: Option<MirrorError>,
}

impl Writing<'_> {
    fn entry(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        let mut full = Vec::new();
        self.frontier.append(bytes, |tile| full.push(tile));
        self.tail.push(bytes.to_vec());
        for tile in full {
            let entries = tile.id.level() == 0;
            let written = write(self.folder, Resource::Tile(tile.id), &tile_bytes(&tile.hashes)).and_then(|()| {
                if !entries {
                    return Ok(());
                }
                let bundle = bundle(&self.tail);
                self.tail.clear();
                write(self.folder, Resource::Entries(tile.id), &bundle)
            });
            self.failed = written.err();
        }
    }

    fn finish(self) -> Result<(Frontier, Vec<Vec<u8>>), MirrorError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let size = self.frontier.size();
        for id in TileId::partials(size) {
            write(self.folder, Resource::Tile(id), &tile_bytes(self.frontier.edge(id.level())))?;
            if id.level() == 0 {
                debug_assert!((self.tail.len() as u64) < TILE_WIDTH);
                write(self.folder, Resource::Entries(id), &bundle(&self.tail))?;
            }
        }
        Ok((self.frontier, self.tail))
    }
}

fn bundle(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        push_entry(&mut bytes, entry).expect("entries were read from a bundle");
    }
    bytes
}

fn write(folder: &Path, resource: Resource, bytes: &[u8]) -> Result<(), MirrorError> {
    let path = folder.join(resource.to_string());
    let parent = path.parent().expect("files of a log are in folders");
    std::fs::create_dir_all(parent)
        .and_then(|()| durable::replace(&path, bytes, 0o644))
        .map_err(|source| MirrorError::File { path: path.clone(), source })
}
