//! Writing a file so that it is there whole or not at all, also after a power cut.

use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Replaces a file. When this returns, the new content is on the disk; if it fails, the old one still is.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().expect("the path of a file has a folder");
    let mut file = tempfile::Builder::new()
        .prefix(".vigie-")
        .permissions(std::fs::Permissions::from_mode(mode))
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // Without this, the name could still be the old one after a power cut.
    File::open(folder)?.sync_all()
}

/// Takes a folder for one process. The lock ends with the value, also when the process is killed.
pub(crate) fn lock(folder: &Path) -> io::Result<Option<File>> {
    let file = File::options().create(true).truncate(false).write(true).open(folder.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
