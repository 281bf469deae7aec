//! Reading a log that somebody else wrote: following its head, rehashing every entry, proving from its tiles.
//!
//! A [`Source`] fetches files by their paths; whether from a folder or over HTTP is its own affair. Nothing it returns is
//! believed: a head counts when the log's key and the policy's witnesses have signed it *and* the entries, rehashed here
//! from the first that is new, make its root. Tiles of hashes serve for proofs only, which are checked like a stranger's.

use crate::checkpoint::Checkpoint;
use crate::hash::Hash;
use crate::policy::{Attested, Refusal, TrustPolicy};
use crate::proof::{Nodes, ProofError, consistency_proof, inclusion_proof, verify_consistency, verify_inclusion};
use crate::tile::{Resource, TILE_HEIGHT, TILE_WIDTH, TileError, TileId, entries, hashes};
use crate::tree::{Frontier, WrongEdge};
use std::collections::HashMap;
use std::error::Error as StdError;

/// Where the files of a log come from.
pub trait Source {
    /// Why a file could not be fetched.
    type Error: StdError + Send + Sync + 'static;

    /// Fetches a file; `None` if there is none of that name.
    ///
    /// # Errors
    ///
    /// Whatever kept it from being fetched.
    fn fetch(&self, resource: Resource) -> Result<Option<Vec<u8>>, Self::Error>;
}

impl<S: Source> Source for &S {
    type Error = S::Error;

    fn fetch(&self, resource: Resource) -> Result<Option<Vec<u8>>, Self::Error> {
        (**self).fetch(resource)
    }
}

/// Why a log could not be read, or is not what it claims to be.
#[derive(Debug, thiserror::Error)]
pub enum ReadError<E: StdError + 'static> {
    /// A file could not be fetched. Nothing is said about the log.
    #[error("`{path}` could not be fetched")]
    Fetch {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: E,
    },
    /// The log does not serve what its head says it holds.
    #[error("`{0}` is missing from the log")]
    Missing(String),
    /// The head is not the log's, or too few have witnessed it.
    #[error(transparent)]
    Head(#[from] Refusal),
    /// A file cannot be read.
    #[error("`{path}` cannot be read")]
    File {
        /// The file.
        path: String,
        /// What is wrong.
        #[source]
        source: TileError,
    },
    /// The log's head is older than one that was seen before.
    #[error("the log was rolled back: it had {before} entries, its head now says {now}")]
    RolledBack {
        /// Entries seen before.
        before: u64,
        /// Entries its head says it has.
        now: u64,
    },
    /// The same size with another root.
    #[error("the log was forked: its head of {size} entries has another root than the one seen before")]
    Forked {
        /// Entries of both.
        size: u64,
    },
    /// Entries were changed: those that were seen before and those served now do not make the root that was signed.
    #[error("the entries from {from} to {to}, the end excluded, do not make the root that the log has signed")]
    Changed {
        /// First entry that is new.
        from: u64,
        /// Size of the tree.
        to: u64,
    },
    /// An entry is not the one whose hash is in the tree.
    #[error("entry {0} is not the one that was logged: its hash is not that of the signed tree")]
    Entry(u64),
    /// A tile does not agree with the entries below it.
    #[error("`{0}` does not agree with the entries, which make the root that was signed")]
    Tile(String),
    /// The partial tiles have other widths than the head says.
    #[error(transparent)]
    Edge(#[from] WrongEdge),
    /// A proof made from the log's tiles does not hold.
    #[error("the log's tiles prove nothing")]
    Proof(#[from] ProofError),
}

/// Fetches a tile or bundle; a partial one that is gone is cut from the full one.
///
/// # Errors
///
/// [`ReadError::Fetch`] and [`ReadError::Missing`]. The bytes may be of the full tile: `true` tells so.
fn fetch_tile<S: Source>(
    source: &S,
    id: TileId,
    of: fn(TileId) -> Resource,
) -> Result<(Vec<u8>, bool), ReadError<S::Error>> {
    let fetch = |id| source.fetch(of(id)).map_err(|source| ReadError::Fetch { path: of(id).to_string(), source });
    if let Some(bytes) = fetch(id)? {
        return Ok((bytes, id.is_full()));
    }
    if !id.is_full()
        && let Some(bytes) = fetch(id.filled())?
    {
        return Ok((bytes, true));
    }
    Err(ReadError::Missing(of(id).to_string()))
}

/// Fetches the hashes of a tile.
///
/// # Errors
///
/// [`ReadError::Fetch`], [`ReadError::Missing`], [`ReadError::File`].
pub fn fetch_hashes<S: Source>(source: &S, id: TileId) -> Result<Vec<Hash>, ReadError<S::Error>> {
    let (bytes, full) = fetch_tile(source, id, Resource::Tile)?;
    let width = if full { TILE_WIDTH as u16 } else { id.width() };
    let mut hashes =
        hashes(&bytes, width).map_err(|source| ReadError::File { path: Resource::Tile(id).to_string(), source })?;
    hashes.truncate(id.width().into());
    Ok(hashes)
}

/// Fetches a bundle of entries and hands it to `read`, which sees `id.width()` of them.
///
/// # Errors
///
/// [`ReadError::Fetch`], [`ReadError::Missing`], [`ReadError::File`].
pub fn fetch_entries<S: Source, T>(
    source: &S,
    id: TileId,
    read: impl FnOnce(&[&[u8]]) -> T,
) -> Result<T, ReadError<S::Error>> {
    let (bytes, full) = fetch_tile(source, id, Resource::Entries)?;
    let width = if full { TILE_WIDTH as u16 } else { id.width() };
    let entries =
        entries(&bytes, width).map_err(|source| ReadError::File { path: Resource::Entries(id).to_string(), source })?;
    Ok(read(&entries[..id.width().into()]))
}

/// Fetches one entry of a tree of `size` entries. Nothing is proved by that.
///
/// # Errors
///
/// [`ReadError::Fetch`], [`ReadError::Missing`], [`ReadError::File`]; [`ReadError::Proof`] if the tree has no such entry.
pub fn fetch_entry<S: Source>(source: &S, index: u64, size: u64) -> Result<Vec<u8>, ReadError<S::Error>> {
    let id = TileId::containing(0, index, size).ok_or(ProofError::Outside { index, size })?;
    fetch_entries(source, id, |entries| entries[(index - id.first()) as usize].to_vec())
}

/// Makes the frontier of the tree's first `at` entries from the tiles of a log of `size` entries. Nothing is proved by
/// that: its root is compared with one that was signed, or proved consistent with one.
///
/// # Errors
///
/// [`ReadError::Fetch`], [`ReadError::Missing`], [`ReadError::File`]; [`ReadError::Proof`] if `at` is beyond `size`.
pub fn frontier_at<S: Source>(source: &S, at: u64, size: u64) -> Result<Frontier, ReadError<S::Error>> {
    Frontier::from_edges(at, |id| {
        // A log serves the partials of heads it has published; of any other size they are cut from later tiles.
        let last = id.index() * TILE_WIDTH + u64::from(id.width()) - 1;
        let there = TileId::containing(id.level(), last, size).ok_or(ProofError::Outside { index: at, size })?;
        let mut hashes = fetch_hashes(source, there)?;
        hashes.truncate(id.width().into());
        Ok(hashes)
    })
}

/// Follows one log: what was seen of it, and whether what it shows next continues that.
#[derive(Debug, Clone)]
pub struct Follower {
    policy: TrustPolicy,
    frontier: Frontier,
}

impl Follower {
    /// Follows a log from its first entry.
    pub fn new(policy: TrustPolicy) -> Self {
        Self { policy, frontier: Frontier::new() }
    }

    /// Goes on from a tree that was verified before.
    pub fn resume(policy: TrustPolicy, frontier: Frontier) -> Self {
        Self { policy, frontier }
    }

    /// Returns what was verified so far.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Fetches the head and returns it if the policy is satisfied.
    ///
    /// # Errors
    ///
    /// [`ReadError::Fetch`], [`ReadError::Missing`], [`ReadError::Head`].
    pub fn head<S: Source>(&self, source: &S) -> Result<Attested, ReadError<S::Error>> {
        let path = || Resource::Checkpoint.to_string();
        let bytes = source.fetch(Resource::Checkpoint).map_err(|source| ReadError::Fetch { path: path(), source })?;
        Ok(self.policy.attest(&bytes.ok_or_else(|| ReadError::Missing(path()))?)?)
    }

    /// Fetches and rehashes what is new below a head, and hands on each entry with its index.
    ///
    /// Entries are handed on while they are read, before the root is reached: until this returns `Ok`, they are only what
    /// the log served.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; nothing of the new entries counts as seen then, and the same may be tried again.
    pub fn advance<S: Source>(
        &mut self,
        source: &S,
        head: &Checkpoint,
        mut entry: impl FnMut(u64, &[u8]),
    ) -> Result<(), ReadError<S::Error>> {
        let from = self.frontier.size();
        let to = head.size();
        if to < from {
            return Err(ReadError::RolledBack { before: from, now: to });
        }
        let mut frontier = self.frontier.clone();
        while frontier.size() < to {
            let at = frontier.size();
            let id = TileId::containing(0, at, to).expect("the index is below the size");
            fetch_entries(source, id, |entries| {
                for (place, bytes) in entries.iter().enumerate().skip((at - id.first()) as usize) {
                    frontier.append(bytes, |_| ());
                    entry(id.first() + place as u64, bytes);
                }
            })?;
        }
        if frontier.root() != head.root() {
            return Err(if from == to { ReadError::Forked { size: to } } else { ReadError::Changed { from, to } });
        }
        self.frontier = frontier;
        Ok(())
    }
}

/// Checks a whole log: every entry, every tile, and the root. `progress` is told how many entries are done.
///
/// What does not agree is named: an entry, if the tiles make the signed root without it; else the tile.
///
/// # Errors
///
/// [`ReadError`]: the first thing that is wrong.
pub fn check<S: Source>(
    source: &S,
    head: &Checkpoint,
    mut progress: impl FnMut(u64),
) -> Result<(), ReadError<S::Error>> {
    let size = head.size();
    let mut frontier = Frontier::new();
    let mut disagreeing: Option<(TileId, Option<u64>)> = None;
    while frontier.size() < size {
        let id = TileId::containing(0, frontier.size(), size).expect("the index is below the size");
        let logged = fetch_hashes(source, id)?;
        let mut full = Vec::new();
        let first_wrong = fetch_entries(source, id, |entries| {
            let mut wrong = None;
            for (place, entry) in entries.iter().enumerate() {
                let leaf = frontier.append(entry, |tile| full.push(tile));
                if leaf != logged[place] && wrong.is_none() {
                    wrong = Some(id.first() + place as u64);
                }
            }
            wrong
        })?;
        if let Some(index) = first_wrong {
            disagreeing.get_or_insert((id, Some(index)));
        }
        for tile in full.into_iter().filter(|tile| tile.id.level() > 0) {
            if fetch_hashes(source, tile.id)? != tile.hashes {
                disagreeing.get_or_insert((tile.id, None));
            }
        }
        progress(frontier.size());
    }
    for id in TileId::partials(size).filter(|id| id.level() > 0) {
        if fetch_hashes(source, id)? != frontier.edge(id.level()) {
            disagreeing.get_or_insert((id, None));
        }
    }
    let root_made = frontier.root() == head.root();
    match disagreeing {
        None if root_made => Ok(()),
        None => Err(ReadError::Changed { from: 0, to: size }),
        // The entries make the root that was signed: it is the tile that was changed.
        Some((id, _)) if root_made => Err(ReadError::Tile(Resource::Tile(id).to_string())),
        Some((_, Some(index))) => Err(ReadError::Entry(index)),
        Some((id, None)) => Err(ReadError::Tile(Resource::Tile(id).to_string())),
    }
}

/// Tiles of a log at one size, kept with the nodes inside them: proofs from tiles that are warm cost no hashing.
#[derive(Debug)]
pub struct Tiles<S> {
    source: S,
    size: u64,
    kept: HashMap<(u8, u64), KeptTile>,
    limit: usize,
}

/// A tile's hashes and the nodes over them: level by level, 511 hashes at most.
#[derive(Debug)]
struct KeptTile {
    rows: Vec<Vec<Hash>>,
}

impl KeptTile {
    fn new(hashes: Vec<Hash>) -> Self {
        let mut rows = vec![hashes];
        while let Some(row) = rows.last()
            && row.len() > 1
        {
            rows.push(row.chunks_exact(2).map(|pair| Hash::node(&pair[0], &pair[1])).collect());
        }
        Self { rows }
    }
}

impl<S: Source> Tiles<S> {
    /// Reads the tiles of a log of `size` entries, and keeps at most `limit` of them (16 kB each).
    pub fn new(source: S, size: u64, limit: usize) -> Self {
        Self { source, size, kept: HashMap::new(), limit: limit.max(1) }
    }

    /// Goes on with a tree of the same log that is as large or larger: if it is larger, tiles that were partial are
    /// forgotten.
    pub fn grow(&mut self, size: u64) {
        let old = std::mem::replace(&mut self.size, size);
        if old == size {
            return;
        }
        for id in TileId::partials(old) {
            self.kept.remove(&(id.level(), id.index()));
        }
    }

    /// Makes a proof that an entry is in the tree, and checks it.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn prove_inclusion(&mut self, index: u64, leaf: Hash, root: Hash) -> Result<Vec<Hash>, ReadError<S::Error>> {
        let size = self.size;
        if index >= size {
            return Err(ProofError::Outside { index, size }.into());
        }
        let proof = inclusion_proof(self, index, size)?;
        verify_inclusion(leaf, index, size, &proof, root)?;
        Ok(proof)
    }

    /// Makes a proof that the tree continues an older one, and checks it.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn prove_consistency(
        &mut self,
        from: u64,
        from_root: Hash,
        root: Hash,
    ) -> Result<Vec<Hash>, ReadError<S::Error>> {
        let to = self.size;
        if from > to {
            return Err(ReadError::RolledBack { before: from, now: to });
        }
        let proof = consistency_proof(self, from, to)?;
        verify_consistency(from, from_root, to, root, &proof)?;
        Ok(proof)
    }
}

impl<S: Source> Nodes for Tiles<S> {
    type Error = ReadError<S::Error>;

    fn node(&mut self, height: u32, index: u64) -> Result<Hash, Self::Error> {
        let level = (height / TILE_HEIGHT) as u8;
        let row = height % TILE_HEIGHT;
        let first = index << row;
        let key = (level, first / TILE_WIDTH);
        if !self.kept.contains_key(&key) {
            let outside = ProofError::Outside { index: index.checked_shl(height).unwrap_or(u64::MAX), size: self.size };
            let id = TileId::containing(level, first, self.size).ok_or(outside)?;
            if self.kept.len() >= self.limit {
                self.kept.clear();
            }
            self.kept.insert(key, KeptTile::new(fetch_hashes(&self.source, id)?));
        }
        let place = ((first % TILE_WIDTH) >> row) as usize;
        let hash = self.kept[&key].rows.get(row as usize).and_then(|row| row.get(place));
        hash.copied().ok_or_else(|| ProofError::Outside { index: first, size: self.size }.into())
    }
}
