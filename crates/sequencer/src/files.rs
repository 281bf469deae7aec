//! The file operations that a log is written with, one by one, so that each of them can be made to fail.
//!
//! Whoever writes goes through [`Files`]; [`SystemFiles`] is the file system. Tests put a disk in its place that loses
//! what was not synced.
//!
//! Out of scope: the lock, which only makes sense on the real file system (`home`).
//!
//! The surprise: a file is durable only when the file *and* the folder that names it are synced; and after a sync that
//! failed, the file may read as written and yet not be on disk. So a failed sync is never tried again here.

use std::{
    collections::{BTreeSet, HashSet},
    fmt::Debug,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

/// A file that is open.
pub trait OpenFile: Send + Sync + Debug {
    /// Writes all bytes at an offset.
    ///
    /// # Errors
    ///
    /// Whatever the file system says; any part of the bytes may be written then.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Reads exactly that many bytes from an offset.
    ///
    /// # Errors
    ///
    /// Whatever the file system says; `UnexpectedEof` if the file is shorter.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;

    /// Makes what was written durable. The name of a new file is made durable by [`Files::sync_folder`].
    ///
    /// # Errors
    ///
    /// Whatever the file system says; then nothing is known of what was written since the last sync.
    fn sync(&self) -> io::Result<()>;
}

/// A folder that is watched.
pub trait Watched: Send + Debug {
    /// Makes durable everything on the file system, contents and names.
    ///
    /// # Errors
    ///
    /// Whatever the file system says, also of what went wrong since the folder is watched; then nothing is known of what
    /// was written since.
    fn sync_all(&self) -> io::Result<()>;
}

/// A file system.
pub trait Files: Send + Sync + Debug {
    /// Creates a file, or empties the one of that name. `secret` files are read by their owner only.
    ///
    /// # Errors
    ///
    /// Whatever the file system says.
    fn create(&self, path: &Path, access: Access) -> io::Result<Box<dyn OpenFile>>;

    /// Opens a file for reading.
    ///
    /// # Errors
    ///
    /// Whatever the file system says.
    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;

    /// Reads a whole file; `None` if there is none of that name.
    ///
    /// # Errors
    ///
    /// Whatever the file system says.
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>>;

    /// Gives a file another name, in place of the one that had it.
    ///
    /// # Errors
    ///
    /// Whatever the file system says; the file has either name then.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file; it is no error if there is none.
    ///
    /// # Errors
    ///
    /// Whatever the file system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty folder.
    ///
    /// # Errors
    ///
    /// Whatever the file system says.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// Creates a folder; it is no error if it is there.
    ///
    /// # Errors
    ///
    /// Whatever the file system says.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Lists the names in a folder, sorted; none if there is no such folder.
    ///
    /// # Errors
    ///
    /// Whatever the file system says.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Makes durable which names a folder holds.
    ///
    /// # Errors
    ///
    /// Whatever the file system says.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Opens a folder so that everything that is written from now on can be synced at once.
    ///
    /// # Errors
    ///
    /// Whatever the file system says.
    fn watch(&self, folder: &Path) -> io::Result<Box<dyn Watched>>;
}

/// Who may read a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Whoever the system's mask lets.
    Public,
    /// Its owner only.
    Secret,
}

/// The file system of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemFiles;

/// From how many files on one sync of the whole file system costs less than one of each.
const MANY: usize = 24;

impl OpenFile for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

impl Files for SystemFiles {
    fn create(&self, path: &Path, access: Access) -> io::Result<Box<dyn OpenFile>> {
        let mode = if access == Access::Secret { 0o600 } else { 0o644 };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(mode).open(path)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        Ok(Box::new(File::open(path)?))
    }

    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        match fs::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is not UTF-8 is none of ours.
            names.extend(entry?.file_name().into_string().ok());
        }
        names.sort();
        Ok(names)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn watch(&self, folder: &Path) -> io::Result<Box<dyn Watched>> {
        Ok(Box::new(SystemFolder(File::open(folder)?)))
    }
}

/// The system tells an open file of the errors of its file system since it was opened (Linux 5.8).
#[derive(Debug)]
struct SystemFolder(File);

impl Watched for SystemFolder {
    fn sync_all(&self) -> io::Result<()> {
        nix::unistd::syncfs(&self.0).map_err(io::Error::from)
    }
}

/// Puts a file in the place of the one of that name, whole or not at all. It is durable when this returns.
///
/// # Errors
///
/// Whatever the file system says; either file is there then.
pub(crate) fn replace(files: &dyn Files, staged: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = files.create(staged, Access::Public)?;
    file.write_at(bytes, 0)?;
    file.sync()?;
    files.rename(staged, path)?;
    files.sync_folder(path.parent().expect("a file is in a folder"))
}

/// Puts the public files in their places, durably.
#[derive(Debug)]
pub(crate) struct Shelf {
    files: Arc<dyn Files>,
    root: PathBuf,
    staging: PathBuf,
    /// Folders that are there.
    known_folders: HashSet<PathBuf>,
    unsynced: Option<Unsynced>,
}

/// What was written since the last sync.
#[derive(Debug)]
struct Unsynced {
    everything: Box<dyn Watched>,
    /// The files, up to [`MANY`].
    open: Vec<Box<dyn OpenFile>>,
    folders: BTreeSet<PathBuf>,
}

type Failed = (PathBuf, io::Error);

impl Shelf {
    /// Files below `root`, an existing folder; `staging`, too, exists, on the same file system.
    pub(crate) fn new(files: Arc<dyn Files>, root: PathBuf, staging: PathBuf) -> Self {
        Self { files, root, staging, known_folders: HashSet::new(), unsynced: None }
    }

    /// Writes a file that nobody reads yet, because nothing published speaks of it. [`Shelf::sync`] makes it durable.
    ///
    /// It gets its name at once: a rename, and a sync of the folder after it, would take longer than all else.
    ///
    /// # Errors
    ///
    /// Whatever the file system says, with the path. A part may be written then; it is written again before it is read.
    pub(crate) fn write_new(&mut self, path: &str, bytes: &[u8]) -> Result<(), Failed> {
        let path = self.root.join(path);
        let mut unsynced = if let Some(unsynced) = self.unsynced.take() {
            unsynced
        } else {
            let everything = self.files.watch(&self.root).map_err(|error| (self.root.clone(), error))?;
            Unsynced { everything, open: Vec::new(), folders: BTreeSet::new() }
        };
        self.make_folder(path.parent().expect("a file is in a folder"), &mut unsynced.folders)?;
        let write = || {
            let file = self.files.create(&path, Access::Public)?;
            file.write_at(bytes, 0)?;
            Ok(file)
        };
        let file = write().map_err(|error| (path.clone(), error))?;
        if unsynced.open.len() < MANY {
            unsynced.open.push(file);
        }
        self.unsynced = Some(unsynced);
        Ok(())
    }

    /// Makes durable what was written.
    ///
    /// # Errors
    ///
    /// Whatever the file system says.
    pub(crate) fn sync(&mut self) -> Result<(), Failed> {
        let Some(Unsynced { everything, open, folders }) = self.unsynced.take() else { return Ok(()) };
        let sync = || {
            if open.len() == MANY {
                return everything.sync_all();
            }
            open.iter().try_for_each(|file| file.sync())?;
            folders.iter().try_for_each(|folder| self.files.sync_folder(folder))
        };
        sync().map_err(|error| (self.root.clone(), error))
    }

    /// Puts a file in the place of one that may be read. It is durable when this returns.
    ///
    /// # Errors
    ///
    /// Whatever the file system says, with the path; either file is there then.
    pub(crate) fn replace(&mut self, path: &str, bytes: &[u8]) -> Result<(), Failed> {
        let (path, mut changed) = (self.root.join(path), BTreeSet::new());
        let folder = path.parent().expect("a file is in a folder");
        self.make_folder(folder, &mut changed)?;
        changed.remove(folder);
        let write = || {
            replace(&*self.files, &self.staging.join("public"), &path, bytes)?;
            changed.iter().try_for_each(|folder| self.files.sync_folder(folder))
        };
        write().map_err(|error| (path.clone(), error))
    }

    /// Takes note that a folder was removed.
    pub(crate) fn forget(&mut self, folder: &Path) {
        self.known_folders.remove(folder);
    }

    /// Makes a folder if it is not there, and notes which folders are to be synced for what is in it to be durable.
    fn make_folder(&mut self, folder: &Path, changed: &mut BTreeSet<PathBuf>) -> Result<(), Failed> {
        changed.insert(folder.to_owned());
        if folder == self.root || self.known_folders.contains(folder) {
            return Ok(());
        }
        // Its name is made durable also if it was there: who made it may have stopped before that.
        self.make_folder(folder.parent().expect("below the root"), changed)?;
        self.files.create_folder(folder).map_err(|error| (folder.to_owned(), error))?;
        self.known_folders.insert(folder.to_owned());
        Ok(())
    }
}
