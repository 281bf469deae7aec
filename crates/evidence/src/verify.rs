//! Checks a bundle, offline: that no byte of it is other than when it was signed, and that its parts fit each other.
//!
//! In order: the container (every header, no byte between or after), the list of members (all there, in order, no other
//! but timestamps), their hashes, the hash of the list and its signature, the records of the archive with their digests
//! and references, the index (made again from the archive and compared), the pages, the timestamps.
//!
//! Out of scope: whose the signing key is, and whether what the browser received is what the site sends to others.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::File,
    io::{self, BufRead, Read},
    path::Path,
    sync::Arc,
};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::{
    bundle::ReadError,
    container::{self, Entry, Region, WHOLE},
    index::{self, Index, Line},
    key,
    limits::{MAX_LIST_BYTES, MAX_PACKAGE_BYTES, MAX_TIMESTAMPS, MAX_TOKEN_BYTES},
    package::{
        self, ARCHIVE, ARCHIVE_FILE, DIGEST, Digest, Expected, INDEX, PACKAGE, PAGES, Package, Page, PagesHead,
        TIMESTAMP,
    },
    records::{Record, Records, read_http_head},
    report::{Facts, Problem, Report, TimestampState, readable},
    timestamp::{Roots, token},
    warc::{self, IDENTICAL_PAYLOAD},
    writer::hash_file,
};

/// Checks a bundle; the report says what is wrong with it.
///
/// Without `roots`, a timestamp is checked against the certificate it brings along, and says so.
///
/// # Errors
///
/// Only if the file cannot be read. A file that is no bundle is an answer.
pub fn verify(path: &Path, roots: &Roots) -> Result<Report, ReadError> {
    let unreadable = |source| ReadError::File { path: path.to_owned(), source };
    let file = Arc::new(File::open(path).map_err(unreadable)?);
    check(&file, roots).map_err(unreadable)
}

pub(crate) fn check(file: &Arc<File>, roots: &Roots) -> io::Result<Report> {
    let examined = container::examine(file)?;
    let facts = Facts { sha256: hash_file(file)?.0, n_members: examined.entries.len(), ..Facts::default() };
    let mut check = Check {
        file,
        entries: examined.entries,
        sha256: BTreeMap::new(),
        report: Report { problems: examined.problems, facts },
    };
    check.hashes()?;
    let package = check.package()?;
    check.signature(package.as_ref())?;
    check.members(package.as_ref());
    check.archive()?;
    check.pages()?;
    check.timestamps(package.as_ref(), roots)?;
    if check.entries.is_empty() && check.report.problems.is_empty() {
        check.problem(WHOLE, "has no members");
    }
    Ok(check.report)
}

struct Check<'a> {
    file: &'a Arc<File>,
    entries: Vec<Entry>,
    sha256: BTreeMap<String, [u8; 32]>,
    report: Report,
}

impl Check<'_> {
    fn problem(&mut self, member: &str, what: impl AsRef<str>) {
        self.report.problems.push(Problem::new(member, what));
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Returns a member whole. None if it is missing, which is reported elsewhere, or too large, which is reported here.
    fn read(&mut self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(entry) = self.entry(name) else { return Ok(None) };
        if u64::from(entry.size) > limit {
            self.problem(name, format!("has more than {limit} bytes"));
            return Ok(None);
        }
        let mut bytes = Vec::new();
        Region::of(self.file, entry).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Every member's bytes against its checksum; keeps the hashes for later.
    fn hashes(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        for index in 0..self.entries.len() {
            let entry = self.entries[index].clone();
            let (mut crc, mut sha256) = (crc32fast::Hasher::new(), Sha256::new());
            let mut bytes = 0;
            let mut input = Region::of(self.file, &entry);
            loop {
                let read = input.read(&mut buffer)?;
                if read == 0 {
                    break;
                }
                bytes += read as u64;
                crc.update(&buffer[..read]);
                sha256.update(&buffer[..read]);
            }
            if bytes != u64::from(entry.size) {
                self.problem(&entry.name, "is cut off");
            } else if crc.finalize() != entry.crc {
                self.problem(&entry.name, "its bytes do not match its checksum");
            }
            self.sha256.insert(entry.name, sha256.finalize().into());
        }
        Ok(())
    }

    fn package(&mut self) -> io::Result<Option<Package>> {
        if self.entry(PACKAGE).is_none() {
            self.problem(PACKAGE, "is missing, so it is not known what else must be here");
            return Ok(None);
        }
        let Some(bytes) = self.read(PACKAGE, MAX_PACKAGE_BYTES)? else { return Ok(None) };
        let package: Package = match serde_json::from_slice(&bytes) {
            Ok(package) => package,
            Err(error) => {
                self.problem(PACKAGE, format!("is not the list of a bundle: {error}"));
                return Ok(None);
            }
        };
        if package.profile != "data-package" || package.wacz_version != "1.1.1" {
            self.problem(PACKAGE, "is of another profile or version than `data-package` and WACZ 1.1.1");
        }
        self.report.facts.created = Some(readable(&package.created));
        self.report.facts.software = Some(readable(&package.software));
        Ok(Some(package))
    }

    fn signature(&mut self, package: Option<&Package>) -> io::Result<()> {
        if self.entry(DIGEST).is_none() {
            self.problem(DIGEST, "is missing, so nothing is signed");
            return Ok(());
        }
        let Some(bytes) = self.read(DIGEST, MAX_PACKAGE_BYTES)? else { return Ok(()) };
        self.report.facts.seal = self.sha256.get(DIGEST).map(|sha256| warc::hex(sha256));
        let digest: Digest = match serde_json::from_slice(&bytes) {
            Ok(digest) => digest,
            Err(error) => {
                self.problem(DIGEST, format!("is not the signature of a bundle: {error}"));
                return Ok(());
            }
        };
        if package::to_bytes(&digest) != bytes {
            self.problem(DIGEST, "is not written in the one form it has");
        }
        let hash = self.sha256.get(PACKAGE).map(|sha256| warc::digest(sha256)).unwrap_or_default();
        if digest.path != PACKAGE || digest.signed.version != "0.1.0" {
            self.problem(DIGEST, "signs something else, or in another version than wacz-auth 0.1.0");
        }
        if digest.hash != hash {
            // Filed under the list: had the signed hash been changed, the signature would not fit.
            self.problem(PACKAGE, format!("has {hash}, what was signed says {}", digest.hash));
        }
        if digest.signed.hash != digest.hash {
            self.problem(DIGEST, "signs another hash than it names");
        }
        if let Some(package) = package
            && (digest.signed.created != package.created || digest.signed.software != package.software)
        {
            self.problem(DIGEST, format!("names another time or program than `{PACKAGE}`"));
        }
        match key::verify(&digest.signed.hash, &digest.signed.signature, &digest.signed.public_key) {
            Ok(fingerprint) => self.report.facts.signed_by = Some(fingerprint),
            Err(what) => self.problem(DIGEST, what),
        }
        Ok(())
    }

    /// All that is listed is there, in order and unchanged, and nothing else is but timestamps.
    fn members(&mut self, package: Option<&Package>) {
        let Some(package) = package else { return };
        let mut expected: Vec<&str> = package.resources.iter().map(|resource| resource.path.as_str()).collect();
        for (at, name) in [ARCHIVE, INDEX, PAGES].into_iter().enumerate() {
            if expected.get(at) != Some(&name) {
                self.problem(PACKAGE, format!("does not list `{name}` in place {}", at + 1));
            }
        }
        expected.extend([PACKAGE, DIGEST]);
        let n_signed = expected.len();
        let stamps: Vec<String> = (1..=MAX_TIMESTAMPS).map(|number| format!("{TIMESTAMP}{number}")).collect();
        expected.extend(stamps.iter().map(String::as_str));

        let listed: HashMap<&str, usize> = expected.iter().enumerate().map(|(at, name)| (*name, at)).collect();
        let names: Vec<String> = self.entries.iter().map(|entry| entry.name.clone()).collect();
        for (at, name) in names.iter().enumerate() {
            match listed.get(name.as_str()) {
                None => self.problem(name, "is not in the signed list, and is no timestamp"),
                Some(place) if *place != at => self.problem(name, "is not in the place where the signed list has it"),
                Some(_) => {}
            }
        }
        for resource in &package.resources {
            let Some(entry) = self.entry(&resource.path) else {
                self.problem(&resource.path, "is missing, the signed list has it");
                continue;
            };
            let size = u64::from(entry.size);
            let hash = warc::digest(self.sha256.get(&resource.path).map_or(&[][..], |sha256| sha256));
            if hash != resource.hash || size != resource.bytes {
                let what = format!(
                    "has {size} bytes and {hash}, the signed list says {} and {}",
                    resource.bytes, resource.hash
                );
                self.problem(&resource.path, what);
            }
        }
        if expected[..n_signed].iter().collect::<HashSet<_>>().len() != n_signed {
            self.problem(PACKAGE, "lists a member twice");
        }
    }

    /// The records, and the index made again from them.
    fn archive(&mut self) -> io::Result<()> {
        let Some(entry) = self.entry(ARCHIVE) else { return Ok(()) };
        let mut archive = Archive::default();
        let mut records = Records::new(Region::of(self.file, entry));
        loop {
            match records.next(|record, block| archive.block(record, block)) {
                Ok(None) => break,
                Ok(Some((record, seen))) => archive.record(&record, &seen),
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                    archive.problems.push(format!("{error}{cause}"));
                    break;
                }
            }
        }
        self.report.facts.n_records = archive.n_records;
        // One damaged record can make many others look wrong.
        for what in archive.problems.drain(..).take(20) {
            self.report.problems.push(Problem::new(ARCHIVE, what));
        }
        if let Some(stored) = self.read(INDEX, MAX_LIST_BYTES)?
            && archive.index.into_text().as_bytes() != stored
        {
            self.problem(INDEX, "is not the index of the archive");
        }
        Ok(())
    }

    fn pages(&mut self) -> io::Result<()> {
        let Some(bytes) = self.read(PAGES, MAX_LIST_BYTES)? else { return Ok(()) };
        let lines = bytes.strip_suffix(b"\n").unwrap_or_default().split(|byte| *byte == b'\n');
        for (number, line) in lines.enumerate() {
            // Into exactly these fields, so that a crafted line cannot unfold into something large.
            let read = match number {
                0 => serde_json::from_slice::<PagesHead>(line).map(|_| ()),
                _ => serde_json::from_slice::<Page>(line).map(|_| ()),
            };
            if let Err(error) = read {
                self.problem(PAGES, format!("line {} is no page: {error}", number + 1));
                break;
            }
        }
        Ok(())
    }

    fn timestamps(&mut self, package: Option<&Package>, roots: &Roots) -> io::Result<()> {
        let names: Vec<String> =
            self.entries.iter().map(|entry| entry.name.clone()).filter(|name| name.starts_with(TIMESTAMP)).collect();
        let seal = self.sha256.get(DIGEST).copied();
        let mut stamps = Vec::new();
        for name in names.iter().take(MAX_TIMESTAMPS) {
            let (Some(bytes), Some(seal)) = (self.read(name, MAX_TOKEN_BYTES)?, seal) else { continue };
            match token::verify(&bytes, &seal, None, roots) {
                Ok(stamp) => stamps.push(stamp.named(name)),
                Err(error) => self.problem(name, error.to_string()),
            }
        }
        let announced = package.is_some_and(|package| package.timestamp == Expected::Expected);
        self.report.facts.timestamp = match (stamps.is_empty(), announced) {
            (false, _) => TimestampState::Stamped { stamps },
            (true, true) => TimestampState::Pending,
            (true, false) => TimestampState::None,
        };
        Ok(())
    }
}

/// What the records of an archive say, as they pass.
#[derive(Default)]
struct Archive {
    n_records: usize,
    problems: Vec<String>,
    ids: HashSet<String>,
    /// Of each response: a digest of what revisits repeat of it.
    originals: HashMap<String, [u8; 32]>,
    index: Index,
}

/// What was seen of a record's block.
struct Seen {
    block_sha256: [u8; 32],
    payload_sha256: Option<[u8; 32]>,
    status: Option<String>,
    mime: Option<String>,
}

/// A reader that also hashes.
struct Hashed<'a> {
    input: &'a mut dyn BufRead,
    sha256: Sha256,
}

impl Read for Hashed<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(into)?;
        self.sha256.update(&into[..read]);
        Ok(read)
    }
}

impl Archive {
    fn block(&self, record: &Record, block: &mut dyn BufRead) -> io::Result<Seen> {
        // Enough to know that the index cannot be as small as it must be.
        if self.index.bytes() > MAX_LIST_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its index would be larger than a bundle may hold"));
        }
        let mut block_input = Hashed { input: block, sha256: Sha256::new() };
        let mut seen = Seen { block_sha256: [0; 32], payload_sha256: None, status: None, mime: None };
        if ["response", "revisit", "request"].contains(&record.kind()) {
            let mut message = io::BufReader::new(&mut block_input);
            let head = read_http_head(&mut message)?;
            let mut payload = Sha256::new();
            io::copy(&mut message, &mut payload)?;
            seen.payload_sha256 = Some(payload.finalize().into());
            seen.status = head.status().map(str::to_owned);
            seen.mime = head.header("content-type").and_then(index::mime).map(str::to_owned);
        } else {
            io::copy(&mut block_input, &mut io::sink())?;
        }
        seen.block_sha256 = block_input.sha256.finalize().into();
        Ok(seen)
    }

    fn record(&mut self, record: &Record, seen: &Seen) {
        if let Some(what) = self.judge(record, seen) {
            self.problems.push(format!("the record at byte {} {what}", record.offset));
        }
        self.n_records += 1;
    }

    /// Returns what is wrong with a record, and remembers it for those that follow.
    fn judge(&mut self, record: &Record, seen: &Seen) -> Option<String> {
        let field = |name: &str| record.field(name).unwrap_or_default();
        let kind = record.kind();
        let id = field("WARC-Record-ID");
        let Ok(at) = field("WARC-Date").parse::<Timestamp>() else { return Some("has no WARC-Date".to_owned()) };
        if !["warcinfo", "response", "revisit", "request", "metadata"].contains(&kind) {
            return Some(format!("is of the kind `{kind}`, which bundles do not have"));
        }
        if (kind == "warcinfo") != (self.n_records == 0) {
            return Some("is a `warcinfo` elsewhere than at the beginning, or is the first and none".to_owned());
        }
        if id.len() != 47 || !self.ids.insert(id.to_owned()) {
            return Some("has no WARC-Record-ID of its own".to_owned());
        }
        if field("WARC-Block-Digest") != warc::digest(&seen.block_sha256) {
            return Some("does not match its WARC-Block-Digest".to_owned());
        }
        if record.field("WARC-Concurrent-To").is_some_and(|id| !self.ids.contains(id)) {
            return Some("is concurrent to a record that is not before it".to_owned());
        }
        let digest = record.field("WARC-Payload-Digest");
        let uri = field("WARC-Target-URI");
        match kind {
            "response" => {
                let actual = warc::digest(&seen.payload_sha256.unwrap_or_default());
                if digest.is_some_and(|digest| digest != actual) {
                    return Some("does not match its WARC-Payload-Digest".to_owned());
                }
                if digest.is_none() && record.field("WARC-Truncated").is_none() {
                    return Some("has no WARC-Payload-Digest".to_owned());
                }
                self.originals.insert(id.to_owned(), identity(uri, field("WARC-Date"), digest.unwrap_or_default()));
            }
            "revisit" => {
                let (uri, date) = (field("WARC-Refers-To-Target-URI"), field("WARC-Refers-To-Date"));
                let of = identity(uri, date, digest.unwrap_or_default());
                let original = self.originals.get(field("WARC-Refers-To"));
                if field("WARC-Profile") != IDENTICAL_PAYLOAD || digest.is_none() || original != Some(&of) {
                    return Some("refers to no response before it with that address, date and payload".to_owned());
                }
            }
            _ => return None,
        }
        let Some(status) = &seen.status else { return Some("has no HTTP status".to_owned()) };
        let line = Line {
            url: uri,
            mime: if kind == "revisit" { Some("warc/revisit") } else { seen.mime.as_deref() },
            status,
            digest,
            length: record.length.to_string(),
            offset: record.offset.to_string(),
            filename: ARCHIVE_FILE,
        };
        self.index.push(at, &line);
        None
    }
}

/// Returns a digest of what a revisit repeats of the record it refers to.
fn identity(uri: &str, date: &str, digest: &str) -> [u8; 32] {
    Sha256::digest(format!("{uri}\n{date}\n{digest}")).into()
}
