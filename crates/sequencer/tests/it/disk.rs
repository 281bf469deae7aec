//! A disk in memory that knows what was synced and what was not, and fails or loses power at the operation it is told.
//!
//! Many files are synced by one operation, with all names, as the file system of the machine does it.
//!
//! The surprise: a sync that fails forgets what it was to write, as Linux does: the next one succeeds, the file reads as
//! written, and the disk holds something else.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};
use vigie_sequencer::files::{Access, Files, OpenFile, Watched};

/// What goes wrong, at one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An error, and nothing happened.
    NotKept,
    /// An error, and yet it happened.
    YetKept,
    /// The machine stops before the operation.
    Crash,
    /// The disk is full: what needs room fails, from here on.
    Full,
}

/// What is on disk after the power was lost, of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    pub names: bool,
    pub contents: Contents,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    None,
    /// Every other sector.
    Half,
    All,
}

// INVARIANT (no two wait for each other): whoever wants a file's content and the state takes the state first.
#[derive(Debug, Clone, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<PathBuf, Node>,
    durable: BTreeMap<PathBuf, Node>,
    operations: u64,
    fault: Option<(u64, Fault)>,
    crashed: bool,
    full: bool,
    syncs_of_all: u64,
}

#[derive(Debug, Clone)]
enum Node {
    Folder,
    File(Arc<Mutex<Content>>),
}

#[derive(Debug, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
}

#[derive(Debug)]
struct Open {
    disk: Disk,
    content: Arc<Mutex<Content>>,
}

fn put(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    if bytes.len() < at + new.len() {
        bytes.resize(at + new.len(), 0);
    }
    bytes[at..at + new.len()].copy_from_slice(new);
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk {
    /// A disk that holds a folder as it is.
    pub fn of(folder: &Path) -> Self {
        let disk = Self::default();
        let mut left = vec![folder.to_owned()];
        let mut state = disk.0.lock().unwrap();
        while let Some(path) = left.pop() {
            if path.is_dir() {
                left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                state.names.insert(path, Node::Folder);
            } else {
                let now = std::fs::read(&path).unwrap();
                let content = Content { durable: now.clone(), now, pending: Vec::new() };
                state.names.insert(path, Node::File(Arc::new(Mutex::new(content))));
            }
        }
        state.durable = state.names.clone();
        drop(state);
        disk
    }

    pub fn fail(&self, at: u64, fault: Fault) {
        self.0.lock().unwrap().fault = Some((at, fault));
    }

    /// Nothing goes wrong from here on.
    pub fn heal(&self) {
        let mut state = self.0.lock().unwrap();
        (state.fault, state.full) = (None, false);
    }

    pub fn operations(&self) -> u64 {
        self.0.lock().unwrap().operations
    }

    /// How often everything was synced at once.
    pub fn syncs_of_all(&self) -> u64 {
        self.0.lock().unwrap().syncs_of_all
    }

    /// The disk after the machine has started again.
    pub fn restarted(&self, keep: Keep) -> Self {
        let state = self.0.lock().unwrap();
        let names = if keep.names { &state.names } else { &state.durable };
        let mut new = State::default();
        for (path, node) in names {
            let parents_are_there =
                path.ancestors().skip(1).all(|it| !state.names.contains_key(it) || names.contains_key(it));
            if !parents_are_there {
                continue;
            }
            let node = match node {
                Node::Folder => Node::Folder,
                Node::File(content) => {
                    let content = content.lock().unwrap();
                    let mut now = content.durable.clone();
                    match keep.contents {
                        Contents::None => {}
                        Contents::All => now = content.now.clone(),
                        Contents::Half => {
                            for (at, bytes) in &content.pending {
                                let mut from = *at;
                                let end = at + bytes.len();
                                while from < end {
                                    let to = (from / 512 * 512 + 512).min(end);
                                    if (from / 512).is_multiple_of(2) {
                                        put(&mut now, from, &bytes[from - at..to - at]);
                                    }
                                    from = to;
                                }
                            }
                        }
                    }
                    Node::File(Arc::new(Mutex::new(Content { durable: now.clone(), now, pending: Vec::new() })))
                }
            };
            new.names.insert(path.clone(), node);
        }
        new.durable = new.names.clone();
        Self(Arc::new(Mutex::new(new)))
    }

    /// Changes a file as nobody may.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let state = self.0.lock().unwrap();
        let Some(Node::File(content)) = state.names.get(path) else { panic!("no file {}", path.display()) };
        let mut content = content.lock().unwrap();
        change(&mut content.now);
        content.durable = content.now.clone();
    }

    /// Counts an operation. `Ok(None)`: it is to be done; `Ok(Some(error))`: done, and an error; `Err`: not done.
    fn step(&self, needs_room: bool) -> io::Result<Option<io::Error>> {
        let mut state = self.0.lock().unwrap();
        if state.crashed {
            return Err(eio());
        }
        let number = state.operations;
        state.operations += 1;
        if let Some((at, fault)) = state.fault
            && at == number
        {
            match fault {
                Fault::NotKept => return Err(eio()),
                Fault::YetKept => return Ok(Some(eio())),
                Fault::Crash => {
                    state.crashed = true;
                    return Err(eio());
                }
                Fault::Full => state.full = true,
            }
        }
        if state.full && needs_room { Err(io::Error::from_raw_os_error(28)) } else { Ok(None) }
    }

    fn done<T>(&self, needs_room: bool, run: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let after = self.step(needs_room)?;
        let value = run(&mut self.0.lock().unwrap())?;
        after.map_or(Ok(value), Err)
    }
}

impl OpenFile for Open {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.done(true, |_| {
            let mut content = self.content.lock().unwrap();
            put(&mut content.now, offset as usize, bytes);
            content.pending.push((offset as usize, bytes.to_vec()));
            Ok(())
        })
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.disk.done(false, |_| {
            let content = self.content.lock().unwrap();
            let from = offset as usize;
            let found = content.now.get(from..from + bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            bytes.copy_from_slice(found);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        let after = self.disk.step(false);
        let state = self.disk.0.lock().unwrap();
        let mut content = self.content.lock().unwrap();
        let pending = if state.crashed { Vec::new() } else { std::mem::take(&mut content.pending) };
        let after = after?;
        for (at, bytes) in pending {
            put(&mut content.durable, at, &bytes);
        }
        after.map_or(Ok(()), Err)
    }
}

impl Files for Disk {
    fn create(&self, path: &Path, _: Access) -> io::Result<Box<dyn OpenFile>> {
        self.done(true, |state| {
            if !matches!(state.names.get(path.parent().unwrap()), Some(Node::Folder)) {
                return Err(not_found());
            }
            let content = Arc::new(Mutex::new(Content::default()));
            state.names.insert(path.to_owned(), Node::File(content.clone()));
            Ok(Box::new(Open { disk: self.clone(), content }) as Box<dyn OpenFile>)
        })
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        self.done(false, |state| match state.names.get(path) {
            Some(Node::File(content)) => {
                Ok(Box::new(Open { disk: self.clone(), content: content.clone() }) as Box<dyn OpenFile>)
            }
            _ => Err(not_found()),
        })
    }

    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        self.done(false, |state| match state.names.get(path) {
            Some(Node::File(content)) => Ok(Some(content.lock().unwrap().now.clone())),
            _ => Ok(None),
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.done(false, |state| {
            let node = state.names.remove(from).ok_or_else(not_found)?;
            state.names.insert(to.to_owned(), node);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.done(false, |state| {
            state.names.remove(path);
            Ok(())
        })
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.remove(path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.done(true, |state| {
            state.names.entry(path.to_owned()).or_insert(Node::Folder);
            Ok(())
        })
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.done(false, |state| {
            let inside = state.names.keys().filter(|path| path.parent() == Some(folder));
            Ok(inside.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect())
        })
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.done(false, |state| {
            let inside = |path: &PathBuf| path.parent() == Some(folder);
            state.durable.retain(|path, _| !inside(path));
            let now: Vec<_> =
                state.names.iter().filter(|(path, _)| inside(path)).map(|(a, b)| (a.clone(), b.clone())).collect();
            state.durable.extend(now);
            Ok(())
        })
    }

    fn watch(&self, folder: &Path) -> io::Result<Box<dyn Watched>> {
        self.done(false, |state| match state.names.get(folder) {
            Some(Node::Folder) => Ok(Box::new(Everything(self.clone())) as Box<dyn Watched>),
            _ => Err(not_found()),
        })
    }
}

#[derive(Debug)]
struct Everything(Disk);

impl Watched for Everything {
    /// Everything that waits is written, whoever wrote it, or, if it fails, forgotten.
    fn sync_all(&self) -> io::Result<()> {
        let after = self.0.step(false);
        let mut state = self.0.0.lock().unwrap();
        if state.crashed {
            return after.map(drop);
        }
        state.syncs_of_all += 1;
        for node in state.names.values() {
            let Node::File(content) = node else { continue };
            let mut content = content.lock().unwrap();
            let pending = std::mem::take(&mut content.pending);
            if after.is_ok() {
                for (at, bytes) in pending {
                    put(&mut content.durable, at, &bytes);
                }
            }
        }
        let after = after?;
        state.durable = state.names.clone();
        after.map_or(Ok(()), Err)
    }
}
