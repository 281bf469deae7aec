//! The ZIP around a bundle, in the one form this room writes and accepts.
//!
//! Members are stored, never deflated (compress before, and say so in the name), in order, without gaps, extra fields,
//! comments, data descriptors or times of their own. Given names, sizes and checksums, every other byte of the file
//! follows; so the reader makes those bytes again and compares. No byte of a bundle is outside of what is checked.
//!
//! Out of scope: what the members mean (`package`, `warc`, `verify`).
//!
//! # Source
//!
//! PKWARE APPNOTE.TXT 6.3.10: 4.3.7 (local header), 4.3.12 (central directory), 4.3.16 (its end). The restrictions are
//! ours; WACZ 1.1.1 asks only that WARC and compressed indexes be stored.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    sync::Arc,
};

use sha2::{Digest as _, Sha256};

use crate::{
    limits::{MAX_BUNDLE_BYTES, MAX_MEMBERS, MAX_NAME_BYTES},
    report::Problem,
};

const LOCAL_BYTES: usize = 30;
const CENTRAL_BYTES: usize = 46;
const END_BYTES: usize = 22;

/// What problems of the file as a whole are filed under, for it is no member.
pub(crate) const WHOLE: &str = "(container)";

/// One member: where it is, and what its checksum must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name, of the form [`is_name`] knows.
    pub(crate) name: String,
    /// CRC-32 of the bytes.
    pub(crate) crc: u32,
    /// How many bytes.
    pub(crate) size: u32,
    /// Where its local header begins.
    pub(crate) offset: u32,
}

impl Entry {
    fn local_bytes(&self) -> u64 {
        (LOCAL_BYTES + self.name.len()) as u64
    }

    /// Returns where its bytes begin.
    pub(crate) fn begins(&self) -> u64 {
        u64::from(self.offset) + self.local_bytes()
    }

    /// Returns where its bytes end, which is where the next member begins.
    pub(crate) fn ends(&self) -> u64 {
        self.begins() + u64::from(self.size)
    }
}

/// Returns whether this may name a member: one folder at most, and letters, digits, `.`, `_`, `-` only.
///
/// One folder, because py-wacz looks up members by their last two components and would not find deeper ones. The form
/// leaves no room for absolute paths, for `..`, or for two spellings of one name.
pub(crate) fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    name.len() <= MAX_NAME_BYTES && name.split('/').count() <= 2 && name.split('/').all(part)
}

/// Version 1.0 of the format, no flags, stored, at midnight of 1 January 1980.
const COMMON: [u8; 10] = [10, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];

fn local_header(entry: &Entry) -> Vec<u8> {
    let mut bytes = b"PK\x03\x04".to_vec();
    bytes.extend(COMMON);
    bytes.extend(entry.crc.to_le_bytes());
    bytes.extend(entry.size.to_le_bytes());
    bytes.extend(entry.size.to_le_bytes());
    bytes.extend((entry.name.len() as u16).to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(entry.name.as_bytes());
    bytes
}

fn central_header(entry: &Entry) -> Vec<u8> {
    let mut bytes = b"PK\x01\x02".to_vec();
    // Made by version 2.0 on Unix, so that the permissions below are read as such.
    bytes.extend([20, 3]);
    bytes.extend(COMMON);
    bytes.extend(entry.crc.to_le_bytes());
    bytes.extend(entry.size.to_le_bytes());
    bytes.extend(entry.size.to_le_bytes());
    bytes.extend((entry.name.len() as u16).to_le_bytes());
    // No extra field, no comment, first disk, no internal attributes.
    bytes.extend([0; 8]);
    bytes.extend((0o100_644_u32 << 16).to_le_bytes());
    bytes.extend(entry.offset.to_le_bytes());
    bytes.extend(entry.name.as_bytes());
    bytes
}

fn end_record(entries: usize, directory_bytes: u32, directory_offset: u32) -> Vec<u8> {
    let mut bytes = b"PK\x05\x06\0\0\0\0".to_vec();
    bytes.extend((entries as u16).to_le_bytes());
    bytes.extend((entries as u16).to_le_bytes());
    bytes.extend(directory_bytes.to_le_bytes());
    bytes.extend(directory_offset.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}

/// Returns the bytes after the last member: each member's entry in the directory, then the directory's end.
fn directory(entries: &[Entry]) -> Vec<Vec<u8>> {
    let mut pieces: Vec<Vec<u8>> = entries.iter().map(central_header).collect();
    let bytes: usize = pieces.iter().map(Vec::len).sum();
    let offset = entries.last().map_or(0, Entry::ends);
    pieces.push(end_record(entries.len(), bytes as u32, offset as u32));
    pieces
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Writes members one after the other, then the directory.
pub(crate) struct ContainerWriter<W> {
    out: W,
    at: u64,
    entries: Vec<Entry>,
    open: Option<OpenMember>,
}

struct OpenMember {
    name: String,
    offset: u64,
    size: u64,
    crc: crc32fast::Hasher,
    sha256: Sha256,
}

/// A member that was written.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: [u8; 32],
}

impl<W: Write + Seek> ContainerWriter<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, at: 0, entries: Vec::new(), open: None }
    }

    /// Begins a member. Its header is written with zeros, and again by [`Self::end`] once size and checksum are known.
    pub(crate) fn begin(&mut self, name: &str) -> io::Result<()> {
        debug_assert!(self.open.is_none() && is_name(name), "members do not overlap, and names were checked");
        if self.entries.len() >= MAX_MEMBERS {
            return Err(too_large("members than a bundle may hold"));
        }
        let blank = Entry { name: name.to_owned(), crc: 0, size: 0, offset: 0 };
        self.open = Some(OpenMember {
            name: name.to_owned(),
            offset: self.at,
            size: 0,
            crc: crc32fast::Hasher::new(),
            sha256: Sha256::new(),
        });
        self.put(&local_header(&blank))
    }

    /// Returns how many bytes the open member has so far.
    pub(crate) fn written(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.size)
    }

    pub(crate) fn end(&mut self) -> io::Result<Written> {
        let open = self.open.take().expect("a member was begun");
        let entry = Entry {
            name: open.name,
            crc: open.crc.finalize(),
            size: u32::try_from(open.size).map_err(|_| too_large("bytes than a bundle may hold"))?,
            offset: u32::try_from(open.offset).map_err(|_| too_large("bytes than a bundle may hold"))?,
        };
        self.out.seek(SeekFrom::Start(open.offset))?;
        self.out.write_all(&local_header(&entry))?;
        self.out.seek(SeekFrom::Start(self.at))?;
        let written = Written { name: entry.name.clone(), bytes: open.size, sha256: open.sha256.finalize().into() };
        self.entries.push(entry);
        Ok(written)
    }

    pub(crate) fn member(&mut self, name: &str, mut bytes: impl Read) -> io::Result<Written> {
        self.begin(name)?;
        io::copy(&mut bytes, self)?;
        self.end()
    }

    /// Writes the directory. The caller makes it durable.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        for piece in directory(&self.entries) {
            self.put(&piece)?;
        }
        self.out.flush()?;
        Ok(self.out)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.at + bytes.len() as u64 > MAX_BUNDLE_BYTES {
            return Err(too_large("bytes than a bundle may hold"));
        }
        self.out.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

impl<W: Write + Seek> Write for ContainerWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes)?;
        let open = self.open.as_mut().expect("a member was begun");
        open.size += bytes.len() as u64;
        open.crc.update(bytes);
        open.sha256.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn too_large(of_what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("there are more {of_what}"))
}

/// Writes a container again with one more member at its end.
pub(crate) fn append(
    file: &Arc<File>,
    entries: &[Entry],
    name: &str,
    bytes: &[u8],
    out: &mut impl Write,
) -> io::Result<()> {
    let end = entries.last().map_or(0, Entry::ends);
    let added = Entry {
        name: name.to_owned(),
        crc: crc32fast::hash(bytes),
        size: u32::try_from(bytes.len()).map_err(|_| too_large("bytes than a bundle may hold"))?,
        offset: u32::try_from(end).map_err(|_| too_large("bytes than a bundle may hold"))?,
    };
    let entries = [entries, std::slice::from_ref(&added)].concat();
    let pieces = directory(&entries);
    if added.ends() + pieces.iter().map(|piece| piece.len() as u64).sum::<u64>() > MAX_BUNDLE_BYTES {
        return Err(too_large("bytes than a bundle may hold"));
    }
    io::copy(&mut Region::new(file, 0, end), out)?;
    out.write_all(&local_header(&added))?;
    out.write_all(bytes)?;
    pieces.iter().try_for_each(|piece| out.write_all(piece))
}

/// A part of a file, read from its beginning to its end.
#[derive(Debug, Clone)]
pub(crate) struct Region {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Region {
    pub(crate) fn new(file: &Arc<File>, begin: u64, end: u64) -> Self {
        Self { file: Arc::clone(file), at: begin, end: end.max(begin) }
    }

    pub(crate) fn of(file: &Arc<File>, entry: &Entry) -> Self {
        Self::new(file, entry.begins(), entry.ends())
    }
}

impl Read for Region {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(into.len());
        let read = self.file.read_at(&mut into[..room], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// What is in a container, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct Examined {
    pub(crate) entries: Vec<Entry>,
    pub(crate) problems: Vec<Problem>,
}

/// Returns the members, and each place where the container differs from the one form there is.
///
/// Checksums of members are not checked here. A damaged directory is replaced by what the local headers say, and the
/// other way round, so that one damaged byte is reported under the member it belongs to.
///
/// # Errors
///
/// Only if the file cannot be read.
pub(crate) fn examine(file: &Arc<File>) -> io::Result<Examined> {
    let len = file.metadata()?.len();
    if len > MAX_BUNDLE_BYTES {
        let problems = vec![Problem::new(WHOLE, format!("has {len} bytes, a bundle has at most {MAX_BUNDLE_BYTES}"))];
        return Ok(Examined { entries: Vec::new(), problems });
    }
    let mut examined = match read_directory(file, len)? {
        Some(entries) => compare_local_headers(file, len, entries)?,
        None => compare_directory(file, len)?,
    };
    let mut names = std::collections::BTreeSet::new();
    for entry in &examined.entries {
        if !names.insert(&entry.name) {
            examined.problems.push(Problem::new(&entry.name, "is there twice"));
        }
    }
    Ok(examined)
}

/// Returns the directory's entries, if every byte of the directory is as these entries require.
fn read_directory(file: &Arc<File>, len: u64) -> io::Result<Option<Vec<Entry>>> {
    let Some(end_at) = len.checked_sub(END_BYTES as u64) else { return Ok(None) };
    let end = read_range(file, end_at, len)?;
    let directory_offset = u64::from(u32_at(&end, 16));
    let count = usize::from(u16_at(&end, 10));
    let longest = (MAX_MEMBERS * (CENTRAL_BYTES + MAX_NAME_BYTES)) as u64;
    if directory_offset > end_at || end_at - directory_offset > longest || count > MAX_MEMBERS {
        return Ok(None);
    }
    let bytes = read_range(file, directory_offset, len)?;
    let mut entries: Vec<Entry> = Vec::new();
    let mut rest = &bytes[..];
    while entries.len() < count && rest.len() >= CENTRAL_BYTES {
        let name_bytes = usize::from(u16_at(rest, 28));
        let Some(name) = rest.get(CENTRAL_BYTES..CENTRAL_BYTES + name_bytes) else { break };
        let Some(name) = std::str::from_utf8(name).ok().filter(|name| is_name(name)) else { break };
        let entry =
            Entry { name: name.to_owned(), crc: u32_at(rest, 16), size: u32_at(rest, 20), offset: u32_at(rest, 42) };
        if u64::from(entry.offset) != entries.last().map_or(0, Entry::ends) {
            break;
        }
        entries.push(entry);
        rest = &rest[CENTRAL_BYTES + name_bytes..];
    }
    let follows = entries.last().map_or(0, Entry::ends) == directory_offset && directory(&entries).concat() == bytes;
    Ok(follows.then_some(entries))
}

/// The directory is sound: each local header must be what it says.
fn compare_local_headers(file: &Arc<File>, len: u64, entries: Vec<Entry>) -> io::Result<Examined> {
    let mut problems = Vec::new();
    for entry in &entries {
        let expected = local_header(entry);
        if read_range(file, u64::from(entry.offset), entry.begins())? != expected {
            problems.push(Problem::new(&entry.name, "its header differs from the directory at the end of the file"));
            // Either may be the one that was changed, so both names are given.
            if let Some(other) = read_local(file, u64::from(entry.offset), len)?.filter(|it| it.name != entry.name) {
                problems.push(Problem::new(&other.name, "its name differs from the directory at the end of the file"));
            }
        }
    }
    Ok(Examined { entries, problems })
}

/// The directory is damaged: it must be what the local headers say.
fn compare_directory(file: &Arc<File>, len: u64) -> io::Result<Examined> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut at = 0;
    let mut problems = Vec::new();
    while entries.len() < MAX_MEMBERS {
        let Some(entry) = read_local(file, at, len)? else { break };
        if entry.ends() > len {
            problems.push(Problem::new(&entry.name, format!("is cut off: it needs {} bytes more", entry.ends() - len)));
            return Ok(Examined { entries, problems });
        }
        at = entry.ends();
        entries.push(entry);
    }
    let pieces = directory(&entries);
    let expected: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
    let last = entries.last().map_or(WHOLE, |entry| &entry.name);
    if entries.is_empty() || len - at > 2 * expected {
        let what = format!("what follows it at byte {at} is neither a member nor the directory of members");
        problems.push(Problem::new(last, what));
        return Ok(Examined { entries, problems });
    }
    let actual = read_range(file, at, len)?;
    let mut rest = &actual[..];
    for (index, piece) in pieces.iter().enumerate() {
        let here = &rest[..piece.len().min(rest.len())];
        rest = &rest[here.len()..];
        if here != piece {
            let member = entries.get(index).map_or(WHOLE, |entry| &entry.name);
            let what = match (here.len() < piece.len(), index < entries.len()) {
                (true, _) => "the file is cut off before or within its entry in the directory",
                (false, true) => "its entry in the directory differs from its header",
                (false, false) => "the end of the directory is not as its members require",
            };
            problems.push(Problem::new(member, what));
        }
    }
    if !rest.is_empty() {
        problems.push(Problem::new(WHOLE, format!("{} bytes follow the end of the directory", rest.len())));
    }
    if problems.is_empty() {
        problems.push(Problem::new(WHOLE, "the directory could not be read"));
    }
    Ok(Examined { entries, problems })
}

/// Returns the member whose local header is here, if the header is of the one form there is.
fn read_local(file: &Arc<File>, at: u64, len: u64) -> io::Result<Option<Entry>> {
    if at + LOCAL_BYTES as u64 > len {
        return Ok(None);
    }
    let head = read_range(file, at, (at + (LOCAL_BYTES + MAX_NAME_BYTES) as u64).min(len))?;
    let name_bytes = usize::from(u16_at(&head, 26));
    let name = head.get(LOCAL_BYTES..LOCAL_BYTES + name_bytes).and_then(|name| std::str::from_utf8(name).ok());
    let Some(name) = name.filter(|name| is_name(name)) else { return Ok(None) };
    let Ok(offset) = u32::try_from(at) else { return Ok(None) };
    let entry = Entry { name: name.to_owned(), crc: u32_at(&head, 14), size: u32_at(&head, 18), offset };
    Ok(head.starts_with(&local_header(&entry)).then_some(entry))
}

/// Reads a part of the file that is known to be there and small.
fn read_range(file: &Arc<File>, begin: u64, end: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(end - begin).expect("bounded by the callers")];
    file.read_exact_at(&mut bytes, begin)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn names_have_one_spelling_and_stay_below_their_folder() {
        for good in ["datapackage.json", "archive/data.warc.gz", "vigie/timestamp-1"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/b/c", "a/", ".x", "a b", "a\\b", "é", "a/.b", "-x"]
        {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_written_is_read_without_a_problem() {
        let mut writer = ContainerWriter::new(Cursor::new(Vec::new()));
        writer.member("a/one.txt", &b"one"[..]).unwrap();
        let written = writer.member("two", &b""[..]).unwrap();
        assert_eq!((written.bytes, written.name.as_str()), (0, "two"));
        let bytes = writer.finish().unwrap().into_inner();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let file = Arc::new(file);
        let examined = examine(&file).unwrap();
        assert_eq!(examined.problems, []);
        let mut text = String::new();
        Region::of(&file, &examined.entries[0]).read_to_string(&mut text).unwrap();
        assert_eq!(text, "one");
    }
}
