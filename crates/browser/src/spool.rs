//! Where the bulk of what visits record waits on disk until it is put into the evidence: bodies, each once by its
//! hash, and named files. So what an inspection needs of memory does not grow with what sites send.
//!
//! A spool has a bound; what does not fit is hashed and not kept, and that is said as a gap.
//!
//! Visits that break off write from wherever they are dropped, possibly while the folder is being removed. So a spool is
//! closed first, which waits for whoever is writing and lets nobody begin.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// The most that one inspection keeps, in bytes. Ours: a page of many films fits, a disk is not filled.
pub const SPOOL_BYTES: u64 = 512 * 1024 * 1024;

/// A folder of the bulk of one inspection.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    left: AtomicU64,
    // Held for reading while something is written.
    closed: RwLock<bool>,
}

impl Spool {
    /// Makes a spool in a folder that exists, of at most `bytes`. Whoever gives the folder removes it.
    ///
    /// # Errors
    ///
    /// If the folder cannot be written.
    pub fn new(folder: &Path, bytes: u64) -> io::Result<Self> {
        std::fs::create_dir_all(folder.join("bodies"))?;
        Ok(Self { folder: folder.to_owned(), left: AtomicU64::new(bytes), closed: RwLock::new(false) })
    }

    /// Keeps a body under its SHA-256 in hexadecimal, once.
    ///
    /// # Errors
    ///
    /// If it does not fit any more ([`io::ErrorKind::QuotaExceeded`]), or cannot be written.
    pub fn put_body(&self, sha256: &str, bytes: &[u8]) -> io::Result<()> {
        self.put(&format!("bodies/{sha256}"), bytes)
    }

    /// Ends all writing: returns when nobody writes any more, and from then on nobody can. What is kept stays.
    pub fn close(&self) {
        *self.closed.write().expect("no code panics while it holds this lock") = true;
    }

    /// Returns where a body is kept, if it is.
    pub fn body(&self, sha256: &str) -> Option<PathBuf> {
        let is_hash = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
        let path = self.folder.join("bodies").join(sha256);
        (is_hash && path.is_file()).then_some(path)
    }

    /// Keeps bytes under a relative path; what is there already stays. It is there whole or not at all.
    ///
    /// # Errors
    ///
    /// As [`Self::put_body`], and if the spool is closed.
    pub fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let closed = self.closed.read().expect("no code panics while it holds this lock");
        if *closed {
            return Err(io::Error::other("the spool of this inspection is closed"));
        }
        let path = self.folder.join(name);
        if path.exists() {
            return Ok(());
        }
        let fits = |left: u64| left.checked_sub(bytes.len() as u64);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "the spool of this inspection is full"));
        }
        // One folder, never the spool's own: where that was removed, nothing is left behind by a late body.
        if let Some(folder) = path.parent().filter(|folder| !folder.is_dir())
            && let Err(error) = std::fs::create_dir(folder)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(error);
        }
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(bytes)?;
        file.persist(&path)?;
        drop(closed);
        Ok(())
    }

    /// Returns the names in a folder of the spool, sorted; none if nothing was put there.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.join(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| format!("{folder}/{}", entry.file_name().to_string_lossy())).collect();
        names.sort();
        names
    }

    /// Reads what was kept under a name.
    ///
    /// # Errors
    ///
    /// If there is none, or it cannot be read.
    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        std::fs::read(self.folder.join(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_kept_once_and_the_bound_holds() {
        let folder = tempfile::tempdir().expect("there is room");
        let spool = Spool::new(folder.path(), 10).expect("the folder can be written");
        let (one, two) = ("a".repeat(64), "b".repeat(64));
        spool.put_body(&one, b"123456").expect("fits");
        spool.put_body(&one, b"123456").expect("is there already");
        let full = spool.put_body(&two, b"123456").expect_err("does not fit");
        assert_eq!(full.kind(), io::ErrorKind::QuotaExceeded);
        assert!(spool.body(&one).is_some());
        assert_eq!(spool.body(&two), None);
        assert_eq!(spool.body("../../etc/passwd"), None);
    }

    #[test]
    fn a_closed_spool_takes_nothing_and_keeps_what_it_has() {
        let folder = tempfile::tempdir().expect("there is room");
        let spool = Spool::new(folder.path(), 10).expect("the folder can be written");
        spool.put("visits/0000.json", b"{}").expect("it is open");
        spool.close();
        assert!(spool.put("visits/0001.json", b"{}").is_err());
        assert_eq!(spool.names("visits"), ["visits/0000.json"]);
    }
}
