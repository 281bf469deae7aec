//! Opening a log: everything that the next signature rests on is checked first.
//!
//! The tree is made again from the entries and full tiles below its edge, compared with the head that was signed last and
//! with the checkpoint that was published; then what the write-ahead log holds beyond is appended again, at the same
//! indexes. A file that contradicts is named, and nothing is signed.
//!
//! Out of scope: rehashing all entries (`vigie ledger check`).
//!
//! The surprise: what the write-ahead log holds is written to a new segment before anything else happens. After a sync
//! that failed, a file may read well and not be on disk; what was written and synced by this program is.

use crate::{
    entries::entries,
    files::Shelf,
    home::{Home, HomeError, Stream},
    ids::EventIds,
    log::{Options, Progress, Published, Shared, Written},
    publish::{FolderSource, Publisher, put_head},
    remote::Remote,
    wal::{self, Contents, Wal, WalError},
    witnesses::Witnesses,
    writer::{Placing, Writer, do_chores, learn, number, source},
};
use std::{
    collections::VecDeque,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread::JoinHandle,
};
use vigie_ledger::{
    Checkpoint, Hash, SignedCheckpoint, SignerKey, TrustPolicy,
    entry::{ENTRY_BYTES, ROW_BASE_AT, ROW_COUNT_AT},
    reader::{ReadError, Source as _, Tiles, fetch_entries, fetch_entry, fetch_hashes},
    tile::{Resource, TILE_WIDTH, TileId, push_entry, tile_bytes},
    tree::{Frontier, WrongEdge, root_of},
};

/// Why a log cannot be opened. Nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder is none, or in use.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The write-ahead log cannot be read.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// A file could not be read or written.
    #[error("`{path}` could not be {doing}")]
    File {
        /// The file.
        path: PathBuf,
        /// What was attempted.
        doing: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is not what was written.
    #[error("`{path}` is damaged: {why}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A public file is missing or cannot be read.
    #[error("the log's files do not hold what its head says")]
    Files(#[source] ReadError<io::Error>),
    /// Entries were lost.
    #[error(
        "entries from {from} to {to}, the end excluded, were logged and are in no file: the folder was changed or rolled back"
    )]
    Lost {
        /// The first.
        from: u64,
        /// After the last.
        to: u64,
    },
}

/// Writes an error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// A log that was opened, and runs.
pub(crate) struct Opened {
    pub(crate) shared: Arc<Shared>,
    pub(crate) key: Arc<SignerKey>,
    pub(crate) policy: TrustPolicy,
    pub(crate) stream: Stream,
    pub(crate) threads: Vec<JoinHandle<()>>,
    pub(crate) lock: File,
}

fn failed(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::File { path, doing, source }
}

fn damaged(path: PathBuf, why: impl Into<String>) -> OpenError {
    OpenError::Damaged { path, why: why.into() }
}

/// Opens a log and starts its threads.
pub(crate) fn open(home: &Home, options: Options) -> Result<Opened, OpenError> {
    let settings = home.settings()?;
    let lock = home.lock()?;
    let key = Arc::new(home.key()?);
    let policy = home.policy(&key)?;
    let files = options.files.clone();
    let source = source(&files, home);

    let head_path = home.head();
    let head = files.read(&head_path).map_err(failed(&head_path, "read"))?;
    let head = head.ok_or_else(|| damaged(head_path.clone(), "it is missing"))?;
    let signed =
        SignedCheckpoint::open(&head, key.verifier()).map_err(|error| damaged(head_path.clone(), error.to_string()))?;
    let mut frontier = rebuild(home, &options, &source, signed.checkpoint())?;
    let published = published(home, &source, &key, signed.checkpoint())?;

    let size = signed.checkpoint().size();
    let contents = wal::read_all(&*files, &home.wal(), size)?;
    let replayed = replayed(&contents, size)?;
    let mut next = size;
    let mut wal = Wal::new(files.clone(), home.wal(), options.segment_bytes, contents.next_number);
    for (payload, count) in &replayed {
        wal.append(next, *count, payload)?;
        next += u64::from(*count);
    }
    for path in &contents.segments {
        files.remove(path).map_err(failed(path, "removed"))?;
    }
    // The cell is written again for the same reason.
    put_head(&*files, home, &head, &head).map_err(|why| damaged(head_path.clone(), why))?;

    let (rows, ids) = match settings.stream {
        Stream::Opaque => (0, None),
        Stream::Events => {
            let (rows, ids) = learn_all(home, &options, &source, size, &replayed)?;
            if ids.covered() > next {
                return Err(OpenError::Lost { from: next, to: ids.covered() });
            }
            (rows, Some(ids))
        }
    };
    let mut bundle = Vec::new();
    if let Some(id) = TileId::partials(size).find(|id| id.level() == 0) {
        let read = fetch_entries(&source, id, |entries| {
            entries.iter().for_each(|entry| push_entry(&mut bundle, entry).expect("it was read from a bundle"));
        });
        read.map_err(OpenError::Files)?;
    }

    let witnesses = Witnesses::new(key.verifier(), policy.witnesses(), published.1.as_ref(), options.witness_timeout);
    let remote = match &options.copy_to {
        None => None,
        Some((store, prefix)) => {
            Some(Remote::new(store.clone(), prefix.clone()).map_err(failed(home.folder(), "copied"))?)
        }
    };
    let progress = Progress {
        durable: next,
        signed: size,
        published: published.0,
        witnesses: Vec::new(),
        trouble: None,
        stopped: None,
    };
    let shared = Arc::new(Shared::new(options, progress));
    let mut recent = VecDeque::new();
    let mut first = size;
    for (payload, count) in replayed {
        let leaves = entries(&payload).map(Hash::leaf).collect();
        let written = Arc::new(Written { first, payload, leaves });
        first += u64::from(count);
        recent.push_back(written.clone());
        shared.hand_on(written);
    }
    frontier.root();
    let shelf = Shelf::new(files, home.public(), home.staging());
    let publisher = Publisher {
        shared: shared.clone(),
        home: home.clone(),
        key: key.clone(),
        policy: policy.clone(),
        frontier,
        bundle,
        full: Vec::new(),
        uncovered: 0,
        head,
        head_size: size,
        // A witness that is ahead of us says so before anything else is signed.
        asked: witnesses.is_empty(),
        witnesses,
        remote,
        shelf,
    };
    let (chores, chores_to_do) = mpsc::sync_channel(4);
    let placing = Placing { stream: settings.stream, next, rows, ids, recent, source };
    let writer = Writer::new(shared.clone(), placing, wal, chores);
    let threads = start(&shared, writer, publisher, chores_to_do, home)?;
    Ok(Opened { shared, key, policy, stream: settings.stream, threads, lock })
}

fn start(
    shared: &Arc<Shared>,
    writer: Writer,
    publisher: Publisher,
    chores: mpsc::Receiver<crate::writer::Chore>,
    home: &Home,
) -> Result<Vec<JoinHandle<()>>, OpenError> {
    let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
        let watched = Watched(shared.clone());
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _watched = watched;
            run();
        });
        // What was started before ends by itself: nothing was handed in.
        thread.map_err(failed(home.folder(), "opened: no thread could be started"))
    };
    let for_chores = shared.clone();
    let writer = Arc::new(writer);
    let mut threads = Vec::new();
    for _ in 0..shared.options.writers.max(1) {
        let writer = writer.clone();
        threads.push(spawn("ledger-write", Box::new(move || writer.run()))?);
    }
    threads.push(spawn("ledger-publish", Box::new(move || publisher.run()))?);
    threads.push(spawn("ledger-chores", Box::new(move || do_chores(&for_chores, &chores)))?);
    Ok(threads)
}

/// Stops the log if a thread panics: nobody shall wait for it.
struct Watched(Arc<Shared>);

impl Drop for Watched {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop("a thread of it panicked");
        }
    }
}

/// Makes the tree of the head again from what lies below its edge, and compares.
fn rebuild(home: &Home, options: &Options, source: &FolderSource, head: &Checkpoint) -> Result<Frontier, OpenError> {
    let size = head.size();
    let place = |resource: Resource| home.public().join(resource.to_string());
    let mut edges = Vec::new();
    for id in TileId::partials(size) {
        let below = if id.level() == 0 {
            fetch_entries(source, id, |entries| entries.iter().map(|entry| Hash::leaf(entry)).collect())
                .map_err(|error| unreadable(home, error))?
        } else {
            let mut hashes = Vec::with_capacity(id.width().into());
            for at in 0..u64::from(id.width()) {
                let child = TileId::full(id.level() - 1, id.index() * TILE_WIDTH + at);
                hashes.push(root_of(fetch_hashes(source, child).map_err(|error| unreadable(home, error))?));
            }
            hashes
        };
        edges.push((id, below));
    }
    let from_below = |id: TileId| -> Result<Vec<Hash>, WrongEdge> {
        Ok(edges.iter().find(|(edge, _)| *edge == id).map(|(_, hashes)| hashes.clone()).unwrap_or_default())
    };
    let mut frontier = Frontier::from_edges(size, from_below).expect("each edge is as wide as it is asked for");
    let right = frontier.root() == head.root();
    for (id, below) in &edges {
        match fetch_hashes(source, *id) {
            Ok(tile) if tile == *below => {}
            // The signed root says which of the two was changed.
            Ok(_) if right => {
                return Err(damaged(place(Resource::Tile(*id)), "it does not agree with what lies below it"));
            }
            Ok(tile) => {
                let at = tile.iter().zip(below).position(|(one, other)| one != other).unwrap_or_default() as u64;
                return Err(if id.level() == 0 {
                    let why = format!("entry {} is not the one that was logged", id.first() + at);
                    damaged(place(Resource::Entries(*id)), why)
                } else {
                    let child = TileId::full(id.level() - 1, id.index() * TILE_WIDTH + at);
                    damaged(place(Resource::Tile(child)), "it does not make the hash above it")
                });
            }
            Err(ReadError::Missing(_)) if right => {
                let mut shelf = Shelf::new(options.files.clone(), home.public(), home.staging());
                let new = [(Resource::Tile(*id).to_string(), tile_bytes(below))];
                shelf.put(&new).map_err(|(path, error)| failed(&path, "written")(error))?;
            }
            Err(error) => return Err(unreadable(home, error)),
        }
    }
    if right {
        return Ok(frontier);
    }
    Err(damaged(
        home.head(),
        format!("the entries and tiles do not make the root that it has signed over {size} entries"),
    ))
}

/// Names the file where its content is at fault.
fn unreadable(home: &Home, error: ReadError<io::Error>) -> OpenError {
    match error {
        ReadError::File { path, source } => damaged(home.public().join(path), source.to_string()),
        ReadError::Missing(path) => damaged(home.public().join(path), "it is missing"),
        other => OpenError::Files(other),
    }
}

/// Reads the published checkpoint, which the head must continue.
fn published(
    home: &Home,
    source: &FolderSource,
    key: &SignerKey,
    head: &Checkpoint,
) -> Result<(Published, Option<SignedCheckpoint>), OpenError> {
    let path = home.public().join(Resource::Checkpoint.to_string());
    let Some(bytes) = source.fetch(Resource::Checkpoint).map_err(failed(&path, "read"))? else {
        return Ok((Published { size: 0, root: Hash::EMPTY, checkpoint: [].into() }, None));
    };
    let signed =
        SignedCheckpoint::open(&bytes, key.verifier()).map_err(|error| damaged(path.clone(), error.to_string()))?;
    let (size, root) = (signed.checkpoint().size(), signed.checkpoint().root());
    if size > head.size() {
        let why = format!("it is of {} entries, and a checkpoint of {size} was published", head.size());
        return Err(damaged(home.head(), why));
    }
    let proof = Tiles::new(source.clone(), head.size(), 64).prove_consistency(size, root, head.root());
    proof.map_err(|error| match error {
        ReadError::Proof(error) => damaged(path, error.to_string()),
        other => unreadable(home, other),
    })?;
    Ok((Published { size, root, checkpoint: bytes.into() }, Some(signed)))
}

/// Returns what the write-ahead log holds from entry `size` on: entries, and how many.
fn replayed(contents: &Contents, size: u64) -> Result<Vec<(Vec<u8>, u32)>, OpenError> {
    let mut next = size;
    let mut batches = Vec::new();
    for record in &contents.records {
        let end = record.first + u64::from(record.count);
        if end <= next {
            continue;
        }
        if record.first > next {
            return Err(OpenError::Lost { from: next, to: record.first });
        }
        let known = next - record.first;
        let cut: usize = entries(&record.payload).take(known as usize).map(|entry| entry.len() + 2).sum();
        batches.push((record.payload[cut..].to_vec(), record.count - known as u32));
        next = end;
    }
    Ok(batches)
}

/// Finds out how many rows there are, and which events.
fn learn_all(
    home: &Home,
    options: &Options,
    source: &FolderSource,
    size: u64,
    replayed: &[(Vec<u8>, u32)],
) -> Result<(u64, EventIds), OpenError> {
    let rows_after = |entry: &[u8]| number(entry, ROW_BASE_AT) + number(entry, ROW_COUNT_AT);
    let mut rows = 0;
    if let Some(last) = size.checked_sub(1) {
        let entry = fetch_entry(source, last, size).map_err(|error| unreadable(home, error))?;
        if entry.len() != ENTRY_BYTES {
            let why = format!("it says that entries are events, and entry {last} is none");
            return Err(damaged(home.folder().join("log.toml"), why));
        }
        rows = rows_after(&entry);
    }
    let path = home.ids();
    let mut ids = EventIds::open(options.files.clone(), &path).map_err(failed(&path, "read"))?;
    while ids.covered() < size {
        let id = TileId::containing(0, ids.covered(), size).expect("below the size");
        let mut payload = Vec::new();
        let read = fetch_entries(source, id, |entries| {
            entries.iter().for_each(|entry| push_entry(&mut payload, entry).expect("it was read from a bundle"));
        });
        read.map_err(|error| unreadable(home, error))?;
        let before = ids.covered();
        learn(&mut ids, &payload, id.first()).map_err(failed(&path, "written"))?;
        if ids.covered() == before {
            return Err(damaged(home.public().join(Resource::Entries(id).to_string()), "its events repeat others"));
        }
    }
    let mut first = size;
    for (payload, count) in replayed {
        learn(&mut ids, payload, first).map_err(failed(&path, "written"))?;
        first += u64::from(*count);
        if let Some(last) = entries(payload).last() {
            rows = rows_after(last);
        }
    }
    Ok((rows, ids))
}
