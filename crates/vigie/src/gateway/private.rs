//! Files that only their owner reads: secrets, and what is said of people.

use crate::{fault::Fault, keep::in_full};
use std::{
    fs::{DirBuilder, OpenOptions},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

fn failed(path: &Path, error: &std::io::Error) -> Fault {
    Fault::Unwritable { path: path.to_owned(), why: in_full(error) }
}

/// Makes a folder that was not there.
pub fn folder(path: &Path) -> Result<(), Fault> {
    DirBuilder::new().mode(0o700).create(path).map_err(|error| failed(path, &error))
}

/// Writes a file that was not there.
pub fn file(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = opened.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|error| failed(path, &error))
}
