//! A bundle that is there: its members and its records, within bounds.
//!
//! Opening checks the container, not the signature: [`Bundle::verify`] does, on the same open file, so that what was
//! verified is what is read.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use flate2::read::MultiGzDecoder;

use crate::{
    container::{self, Entry, Region},
    package::ARCHIVE,
    records::Records,
    report::{Problem, Report},
    timestamp::Roots,
    verify,
};

/// A bundle, open for reading.
#[derive(Debug)]
pub struct Bundle {
    path: PathBuf,
    pub(crate) file: Arc<File>,
    pub(crate) entries: Vec<Entry>,
}

/// A bundle or a part of it could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be read.
    #[error("the bundle `{path}` could not be read")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The file is no bundle, or a damaged one.
    #[error("`{path}` is no bundle, or a damaged one: {first}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The first thing that is wrong.
        first: Problem,
    },
    /// There is no such member.
    #[error("the bundle `{path}` has no member `{name}`")]
    NoMember {
        /// The bundle.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// A member could not be read or decompressed, or its checksum does not match.
    #[error("the member `{name}` of `{path}` could not be read")]
    Member {
        /// The bundle.
        path: PathBuf,
        /// The member.
        name: String,
        /// What the system or the decompressor says.
        source: io::Error,
    },
    /// A member is larger than the caller takes.
    #[error("the member `{name}` of `{path}` has more than {limit} bytes")]
    TooLarge {
        /// The bundle.
        path: PathBuf,
        /// The member.
        name: String,
        /// The most the caller takes.
        limit: u64,
    },
}

impl Bundle {
    /// Opens a bundle.
    ///
    /// # Errors
    ///
    /// [`ReadError::Damaged`] if the container is not of the one form that bundles have; [`crate::verify`] lists what is
    /// wrong with it.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let unreadable = |source| ReadError::File { path: path.to_owned(), source };
        let file = Arc::new(File::open(path).map_err(unreadable)?);
        let examined = container::examine(&file).map_err(unreadable)?;
        if let Some(first) = examined.problems.into_iter().next() {
            return Err(ReadError::Damaged { path: path.to_owned(), first });
        }
        Ok(Self { path: path.to_owned(), file, entries: examined.entries })
    }

    /// Checks everything there is to check, offline; see [`crate::verify`].
    ///
    /// # Errors
    ///
    /// Only if the file cannot be read.
    pub fn verify(&self, roots: &Roots) -> Result<Report, ReadError> {
        let unreadable = |source| ReadError::File { path: self.path.clone(), source };
        verify::check(&self.file, roots).map_err(unreadable)
    }

    /// Returns the names of the members, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    /// Returns the bytes of a member, as they are stored. The reader fails at the end if the checksum does not match.
    ///
    /// # Errors
    ///
    /// [`ReadError::NoMember`].
    pub fn member(&self, name: &str) -> Result<impl Read + use<>, ReadError> {
        let missing = || ReadError::NoMember { path: self.path.clone(), name: name.to_owned() };
        let entry = self.entries.iter().find(|entry| entry.name == name).ok_or_else(missing)?;
        Ok(Summed { input: Region::of(&self.file, entry), crc: crc32fast::Hasher::new(), expected: entry.crc })
    }

    /// Returns a member whole, decompressed if its name ends in `.gz`.
    ///
    /// # Errors
    ///
    /// [`ReadError::TooLarge`] if that is more than `limit` bytes; no more is read or held then.
    pub fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, ReadError> {
        let stored = self.member(name)?;
        let is_compressed = Path::new(name).extension().is_some_and(|ending| ending == "gz");
        let input: Box<dyn Read> = if is_compressed { Box::new(MultiGzDecoder::new(stored)) } else { Box::new(stored) };
        let mut bytes = Vec::new();
        let unreadable = |source| ReadError::Member { path: self.path.clone(), name: name.to_owned(), source };
        input.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > limit {
            return Err(ReadError::TooLarge { path: self.path.clone(), name: name.to_owned(), limit });
        }
        Ok(bytes)
    }

    /// Returns the records of the archive.
    ///
    /// # Errors
    ///
    /// [`ReadError::NoMember`] if there is no archive.
    pub fn records(&self) -> Result<Records, ReadError> {
        let missing = || ReadError::NoMember { path: self.path.clone(), name: ARCHIVE.to_owned() };
        let entry = self.entries.iter().find(|entry| entry.name == ARCHIVE).ok_or_else(missing)?;
        Ok(Records::new(Region::of(&self.file, entry)))
    }
}

/// Returns the bytes compressed with gzip, in the same form each time: for members that are named `….gz`.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    use io::Write as _;
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gz.write_all(bytes).and_then(|()| gz.finish()).expect("memory takes all")
}

/// Reads a member and checks its checksum at the end.
struct Summed {
    input: Region,
    crc: crc32fast::Hasher,
    expected: u32,
}

impl Read for Summed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(into)?;
        self.crc.update(&into[..read]);
        if read == 0 && !into.is_empty() && self.crc.clone().finalize() != self.expected {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its checksum does not match"));
        }
        Ok(read)
    }
}
