//! Writes a bundle: exchanges as they come, then pages and records of the caller's, then list and signature.
//!
//! Nothing appears under the bundle's name until all of it is on disk. The file grows under a name that begins with a
//! dot; [`Writer::finish`] makes it durable and renames it, and never over another file. A program that dies before
//! leaves at most such a dotfile, which nothing takes for a bundle.
//!
//! Bodies are streamed from where the caller spooled them; in memory are the index, one line an exchange, and the
//! digests of bodies seen.

mod payload;

use std::{
    collections::{BTreeSet, HashMap},
    fs::{self, File},
    io::{self, BufWriter, Read, Seek, SeekFrom},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use url::Url;

use self::payload::{Checked, Empty, Stored, check_body};
use crate::{
    container::{self, ContainerWriter, Region, Written},
    exchange::{Body, Exchange, Outcome, Payload, Response},
    http,
    index::{self, Index, Line},
    key::Key,
    limits::{MAX_FIELDS, MAX_HEAD_BYTES, MAX_LIST_BYTES, MAX_RECORDS, MAX_TOTAL_BYTES},
    package::{
        self, ARCHIVE, ARCHIVE_FILE, DIGEST, Digest, Expected, INDEX, PACKAGE, PAGES, Package, Page, PagesHead,
        Resource, Signed,
    },
    warc::{self, FIELDS, Head, IDENTICAL_PAYLOAD, Names, REQUEST, RESPONSE},
};

/// What a bundle says of how it was made.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program and its version, such as `vigie 0.1.0`.
    pub software: String,
    /// When the bundle was made, by the caller's clock. Kept to the second.
    pub created: Timestamp,
    /// Whether a timestamp is to follow.
    pub timestamp: Expected,
}

/// Writes one bundle.
pub struct Writer {
    path: PathBuf,
    folder: PathBuf,
    options: Options,
    container: ContainerWriter<BufWriter<NamedTempFile>>,
    spool: File,
    spooled: Vec<(String, u64, u64)>,
    taken: BTreeSet<String>,
    names: Names,
    info: String,
    n_records: usize,
    stored: HashMap<[u8; 32], Original>,
    index: Index,
    pages: Vec<Page>,
    pages_bytes: u64,
    record_bytes: u64,
    // INVARIANT (whole records): false unless every record begun was also ended.
    broken: bool,
}

/// Where a body was stored first.
struct Original {
    id: String,
    url: String,
    date: String,
}

/// A bundle that is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Where it is.
    pub path: PathBuf,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
    /// SHA-256 of `datapackage-digest.json`: what a timestamp is made of. Stays when timestamps are added.
    pub seal: [u8; 32],
    /// How large the file is, in bytes.
    pub bytes: u64,
}

/// Something could not be written. Unless it says otherwise, the writer can go on.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A file of that name is there; it was not touched.
    #[error("`{path}` is there already, and a bundle is never replaced")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The disk did not take it. The writer cannot go on.
    #[error("the bundle `{path}` could not be written")]
    Write {
        /// The bundle.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// An earlier write failed half way.
    #[error("the bundle `{path}` cannot be finished: an earlier write failed half way")]
    Broken {
        /// The bundle.
        path: PathBuf,
    },
    /// Not a name for a member.
    #[error("`{name}` cannot name a member: {why}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Not an address that is asked over HTTP.
    #[error("`{url}` cannot be archived: {why}")]
    Url {
        /// The address, cut to what fits a line.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// A body could not be read.
    #[error("the body of `{url}` could not be read from where it was kept")]
    Body {
        /// The address, cut to what fits a line.
        url: String,
        /// The system's words.
        source: io::Error,
    },
    /// A body is not what was received.
    #[error("the body of `{url}` has SHA-256 {found} and {bytes} bytes, it had {expected} and {expected_bytes} bytes")]
    BodyChanged {
        /// The address, cut to what fits a line.
        url: String,
        /// The digest now, in hex.
        found: String,
        /// The length now.
        bytes: u64,
        /// The digest when it was received.
        expected: String,
        /// The length when it was received.
        expected_bytes: u64,
    },
    /// A body or a head is larger than a record may be.
    #[error("{what} of `{url}` has {bytes} bytes, an archive takes {limit}")]
    TooLarge {
        /// The body, or a head.
        what: &'static str,
        /// The address, cut to what fits a line.
        url: String,
        /// Its length.
        bytes: u64,
        /// The most there may be.
        limit: u64,
    },
    /// The list of members, of pages or of records grew beyond its bound.
    #[error("there are more {what} than a bundle may hold")]
    TooMany {
        /// Of what.
        what: &'static str,
    },
}

impl Writer {
    /// Begins a bundle that will be at `path`, in a folder that is there.
    ///
    /// # Errors
    ///
    /// [`WriteError::Exists`], or [`WriteError::Write`] if the folder does not take files. Nothing is left then.
    pub fn create(path: &Path, options: Options) -> Result<Self, WriteError> {
        let unwritable = |source| WriteError::Write { path: path.to_owned(), source };
        if fs::symlink_metadata(path).is_ok() {
            return Err(WriteError::Exists { path: path.to_owned() });
        }
        let folder = folder_of(path);
        let part = tempfile::Builder::new()
            .prefix(".vigie-")
            .suffix(".part")
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(&folder)
            .map_err(unwritable)?;
        let spool = tempfile::tempfile_in(&folder).map_err(unwritable)?;
        let mut names = Names::new(&format!("{}\n{}", options.software, warc::date(options.created)));
        let info = names.next(&[b"warcinfo"]);
        let mut writer = Self {
            path: path.to_owned(),
            folder,
            options,
            container: ContainerWriter::new(BufWriter::new(part)),
            spool,
            spooled: Vec::new(),
            taken: BTreeSet::new(),
            names,
            info,
            n_records: 0,
            stored: HashMap::new(),
            index: Index::default(),
            pages: Vec::new(),
            pages_bytes: 0,
            record_bytes: 0,
            broken: false,
        };
        writer.container.begin(ARCHIVE).map_err(unwritable)?;
        writer.warcinfo().map_err(unwritable)?;
        Ok(writer)
    }

    /// Archives one exchange; returns the id of its main record: the response, or what failed.
    ///
    /// A body that was archived before is not stored again; the record points to the first.
    ///
    /// # Errors
    ///
    /// After [`WriteError::Write`] the bundle cannot be finished; after any other, nothing of the exchange is in it.
    pub fn exchange(&mut self, exchange: &Exchange<'_>) -> Result<String, WriteError> {
        self.check_whole()?;
        if self.n_records + 3 > MAX_RECORDS || self.index.bytes() > MAX_LIST_BYTES / 2 {
            return Err(WriteError::TooMany { what: "exchanges" });
        }
        // What the verifier would refuse to read is not written: three heads, and the bodies.
        let bodies = exchange.request.body.map_or(0, |body| body.len() as u64) + kept_bytes(&exchange.outcome);
        if self.record_bytes.saturating_add(bodies) > MAX_TOTAL_BYTES - 3 * MAX_HEAD_BYTES as u64 {
            return Err(WriteError::TooMany { what: "bytes of records" });
        }
        let url = parse(exchange.url)?;
        let shown = shorten(url.as_str());
        let request = request_head(exchange, &url);
        let within = |what, head: &[u8]| {
            let (bytes, limit) = (head.len(), MAX_HEAD_BYTES as u64);
            if head.split(|byte| *byte == b'\n').count() > MAX_FIELDS {
                return Err(WriteError::TooMany { what: "headers" });
            }
            if bytes as u64 + url.as_str().len() as u64 * 2 + 4096 <= limit {
                return Ok(());
            }
            Err(WriteError::TooLarge { what, url: shown.clone(), bytes: bytes as u64, limit })
        };
        within("the head of the request", &request)?;
        let main = match exchange.outcome {
            Outcome::Failed { why } => {
                let block = fields(&[("error", why)]);
                self.put("metadata", exchange, &url, None, FIELDS, &block)?
            }
            Outcome::Answered(response) => {
                let head = response_head(&response);
                within("the head of the response", &head)?;
                self.response(exchange, &url, &response, &head, &shown)?
            }
        };
        let mut block = request;
        block.extend(exchange.request.body.unwrap_or_default());
        self.put("request", exchange, &url, Some(&main), REQUEST, &block)?;
        Ok(main)
    }

    /// Lists a page that was visited, so that players offer it.
    ///
    /// # Errors
    ///
    /// [`WriteError::Url`] if the address cannot be parsed; nothing is listed then.
    pub fn page(&mut self, url: &str, title: &str, at: Timestamp) -> Result<(), WriteError> {
        let url = parse(url)?.to_string();
        // A title's characters take up to six bytes each in JSON, as controls do.
        let bytes = url.len() as u64 + 8 * 1024;
        if self.pages_bytes + bytes > MAX_LIST_BYTES {
            return Err(WriteError::TooMany { what: "pages" });
        }
        self.pages_bytes += bytes;
        let ts = at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        let id = warc::hex(&Sha256::digest(format!("{}\n{url}\n{ts}", self.pages.len())))[..22].to_owned();
        // A title is free text of the page's; a player shows it in a list.
        let title = title.chars().take(1024).collect();
        self.pages.push(Page { id, url, title, ts });
        Ok(())
    }

    /// Adds a record of the caller's, such as `vigie/evidence.json.gz` or `pictures/s0-first-layer.png`.
    ///
    /// It is stored as it is. Names have one folder and are used once, whatever their case; `archive`, `indexes` and `pages` are taken.
    ///
    /// # Errors
    ///
    /// [`WriteError::Name`], and nothing is added; after [`WriteError::Write`] the bundle cannot be finished.
    pub fn member(&mut self, name: &str, mut bytes: impl Read) -> Result<(), WriteError> {
        self.check_whole()?;
        let why = match name.split_once('/') {
            _ if !container::is_name(name) => Some("it has characters other than letters, digits, `.`, `_` and `-`"),
            None => Some("it is in no folder"),
            Some(("archive" | "indexes" | "pages", _)) => Some("its folder belongs to the archive"),
            Some(_) if name.starts_with(package::TIMESTAMP) => Some("such names belong to timestamps"),
            Some(_) if !self.taken.insert(Resource::name(name)) => Some("it is taken"),
            Some(_) => None,
        };
        if let Some(why) = why {
            return Err(WriteError::Name { name: name.to_owned(), why });
        }
        self.broken = true;
        let mut spool = || -> io::Result<(u64, u64)> {
            let begin = self.spool.seek(SeekFrom::End(0))?;
            let written = io::copy(&mut bytes, &mut self.spool)?;
            Ok((begin, begin + written))
        };
        let (begin, end) = spool().map_err(|source| self.unwritable(source))?;
        self.spooled.push((name.to_owned(), begin, end));
        self.broken = false;
        Ok(())
    }

    /// Signs the bundle and gives it its name.
    ///
    /// When this returns, file and name are on disk.
    ///
    /// # Errors
    ///
    /// [`WriteError::Exists`] if a file of that name appeared meanwhile, which is not touched. With any error, no bundle
    /// is there.
    pub fn finish(mut self, key: &Key) -> Result<Finished, WriteError> {
        self.check_whole()?;
        let path = self.path.clone();
        let unwritable = |source| WriteError::Write { path: path.clone(), source };
        let software = self.options.software.clone();
        let created = self.options.created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();

        let mut members = vec![self.container.end().map_err(unwritable)?];
        let index = std::mem::take(&mut self.index).into_text();
        members.push(self.container.member(INDEX, index.as_bytes()).map_err(unwritable)?);
        let pages = pages(&self.pages);
        members.push(self.container.member(PAGES, pages.as_bytes()).map_err(unwritable)?);
        let spool = Arc::new(self.spool);
        for (name, begin, end) in &self.spooled {
            let bytes = Region::new(&spool, *begin, *end);
            members.push(self.container.member(name, bytes).map_err(unwritable)?);
        }

        let resource = |member: &Written| Resource::new(&member.name, &member.sha256, member.bytes);
        let package = package::to_bytes(&Package {
            profile: "data-package".to_owned(),
            wacz_version: "1.1.1".to_owned(),
            created: created.clone(),
            software: software.clone(),
            timestamp: self.options.timestamp,
            resources: members.iter().map(resource).collect(),
        });
        let hash = warc::digest(&Sha256::digest(&package));
        self.container.member(PACKAGE, &package[..]).map_err(unwritable)?;
        let digest = package::to_bytes(&Digest {
            path: PACKAGE.to_owned(),
            hash: hash.clone(),
            signed: Signed {
                signature: key.sign(&hash),
                hash,
                created,
                software,
                version: "0.1.0".to_owned(),
                public_key: key.public_base64(),
            },
        });
        let seal = self.container.member(DIGEST, &digest[..]).map_err(unwritable)?.sha256;

        let part = self.container.finish().map_err(unwritable)?;
        let part = part.into_inner().map_err(|error| unwritable(error.into_error()))?;
        // The bytes first, then the name, then the folder that holds it: at no moment does the name stand for less.
        part.as_file().sync_all().map_err(unwritable)?;
        let (sha256, bytes) = hash_file(part.as_file()).map_err(unwritable)?;
        part.persist_noclobber(&path).map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => WriteError::Exists { path: path.clone() },
            _ => unwritable(error.error),
        })?;
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(unwritable)?;
        Ok(Finished { path, sha256, seal, bytes })
    }

    fn check_whole(&self) -> Result<(), WriteError> {
        if self.broken { Err(WriteError::Broken { path: self.path.clone() }) } else { Ok(()) }
    }

    fn unwritable(&self, source: io::Error) -> WriteError {
        WriteError::Write { path: self.path.clone(), source }
    }

    fn warcinfo(&mut self) -> io::Result<()> {
        let block = fields(&[
            ("software", &self.options.software),
            ("format", "WARC File Format 1.1"),
            ("conformsTo", "http://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/"),
            ("description", "what a browser received; bodies are decoded, heads are written as HTTP/1.1"),
        ]);
        let head = Head::new("warcinfo", &self.info, self.options.created).with("WARC-Filename", ARCHIVE_FILE);
        self.n_records += 1;
        let sha256 = Sha256::digest(&block).into();
        warc::write_record(&mut self.container, head, FIELDS, &sha256, block.len() as u64, &block[..])
    }

    /// Archives the answer, and why its body is missing if it is.
    fn response(
        &mut self,
        exchange: &Exchange<'_>,
        url: &Url,
        response: &Response<'_>,
        head: &[u8],
        shown: &str,
    ) -> Result<String, WriteError> {
        match response.payload {
            Payload::None => self.answer(exchange, url, response, head, &Empty, None),
            Payload::Lost { why } => {
                let id = self.answer(exchange, url, response, head, &Empty, Some("unspecified"))?;
                let block = fields(&[("body", "missing"), ("why", why)]);
                self.put("metadata", exchange, url, Some(&id), FIELDS, &block)?;
                Ok(id)
            }
            Payload::Kept(body) if body.len > 0 && self.stored.contains_key(&body.sha256) => {
                check_body(&body, &[], shown)?;
                self.revisit(exchange, url, response, head, &body)
            }
            Payload::Kept(body) => {
                let block_sha256 = check_body(&body, head, shown)?;
                self.answer(exchange, url, response, head, &Checked { body, block_sha256 }, None)
            }
        }
    }

    fn answer(
        &mut self,
        exchange: &Exchange<'_>,
        url: &Url,
        response: &Response<'_>,
        head: &[u8],
        payload: &dyn Stored,
        truncated: Option<&str>,
    ) -> Result<String, WriteError> {
        let block_sha256 = payload.block_sha256(head);
        let id = self.name("response", exchange, url, &block_sha256);
        let mut fields = self.common("response", exchange, url, &id);
        let payload_digest = warc::digest(&payload.sha256());
        // Of a body that is missing there is no digest, rather than the digest of nothing.
        let known = truncated.is_none().then_some(payload_digest.as_str());
        if let Some(digest) = known {
            fields = fields.with("WARC-Payload-Digest", digest);
        }
        if let Some(why) = truncated {
            fields = fields.with("WARC-Truncated", why);
        }
        let body = payload.open().map_err(|source| WriteError::Body { url: shorten(url.as_str()), source })?;
        let len = head.len() as u64 + payload.bytes();
        let offset = self.write(fields, RESPONSE, &block_sha256, len, head.chain(body))?;
        if payload.bytes() > 0 {
            let original = Original { id: id.clone(), url: archived(url), date: warc::date(exchange.at) };
            self.stored.insert(payload.sha256(), original);
        }
        let mime = content_type(response.headers);
        self.list(exchange, url, mime.as_deref(), response.status, known, offset);
        Ok(id)
    }

    fn revisit(
        &mut self,
        exchange: &Exchange<'_>,
        url: &Url,
        response: &Response<'_>,
        head: &[u8],
        body: &Body<'_>,
    ) -> Result<String, WriteError> {
        let block_sha256 = Sha256::digest(head).into();
        let id = self.name("revisit", exchange, url, &block_sha256);
        let digest = warc::digest(&body.sha256);
        let original = &self.stored[&body.sha256];
        let fields = self
            .common("revisit", exchange, url, &id)
            .with("WARC-Profile", IDENTICAL_PAYLOAD)
            .with("WARC-Refers-To", &original.id)
            .with("WARC-Refers-To-Target-URI", &original.url)
            .with("WARC-Refers-To-Date", &original.date)
            .with("WARC-Payload-Digest", &digest);
        let offset = self.write(fields, RESPONSE, &block_sha256, head.len() as u64, head)?;
        self.list(exchange, url, Some("warc/revisit"), response.status, Some(&digest), offset);
        Ok(id)
    }

    /// Writes a record whose block is in memory; returns its id.
    fn put(
        &mut self,
        kind: &str,
        exchange: &Exchange<'_>,
        url: &Url,
        beside: Option<&str>,
        content_type: &str,
        block: &[u8],
    ) -> Result<String, WriteError> {
        let sha256 = Sha256::digest(block).into();
        let id = self.name(kind, exchange, url, &sha256);
        let mut fields = self.common(kind, exchange, url, &id);
        if let Some(beside) = beside {
            fields = fields.with("WARC-Concurrent-To", beside);
        }
        self.write(fields, content_type, &sha256, block.len() as u64, block)?;
        Ok(id)
    }

    fn name(&mut self, kind: &str, exchange: &Exchange<'_>, url: &Url, block_sha256: &[u8; 32]) -> String {
        let date = warc::date(exchange.at);
        self.names.next(&[kind.as_bytes(), url.as_str().as_bytes(), date.as_bytes(), block_sha256])
    }

    fn common(&self, kind: &str, exchange: &Exchange<'_>, url: &Url, id: &str) -> Head {
        let mut head = Head::new(kind, id, exchange.at)
            .with("WARC-Target-URI", &archived(url))
            .with("WARC-Warcinfo-ID", &self.info);
        if let Some(remote) = exchange.remote {
            head = head.with("WARC-IP-Address", &remote.to_string());
        }
        if let Some(protocol) = exchange.protocol {
            head = head.with("WARC-Protocol", protocol);
        }
        head
    }

    /// Writes one record; returns where it begins.
    fn write(
        &mut self,
        head: Head,
        content_type: &str,
        sha256: &[u8; 32],
        len: u64,
        block: impl Read,
    ) -> Result<u64, WriteError> {
        self.check_whole()?;
        let offset = self.container.written();
        self.broken = true;
        warc::write_record(&mut self.container, head, content_type, sha256, len, block)
            .map_err(|source| self.unwritable(source))?;
        self.broken = false;
        self.n_records += 1;
        self.record_bytes += len;
        Ok(offset)
    }

    fn list(
        &mut self,
        exchange: &Exchange<'_>,
        url: &Url,
        mime: Option<&str>,
        status: u16,
        digest: Option<&str>,
        offset: u64,
    ) {
        let line = Line {
            url: &archived(url),
            mime,
            status: &format!("{:03}", status.min(999)),
            digest,
            length: (self.container.written() - offset).to_string(),
            offset: offset.to_string(),
            filename: ARCHIVE_FILE,
        };
        self.index.push(exchange.at, &line);
    }
}

fn kept_bytes(outcome: &Outcome<'_>) -> u64 {
    match outcome {
        Outcome::Answered(Response { payload: Payload::Kept(body), .. }) => body.len,
        Outcome::Answered(_) | Outcome::Failed { .. } => 0,
    }
}

fn request_head(exchange: &Exchange<'_>, url: &Url) -> Vec<u8> {
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let host = url.host_str().unwrap_or_default().to_owned() + &index::port(url);
    let request = exchange.request;
    http::request_head(request.method, &target, &host, request.headers, request.body.map(|body| body.len() as u64))
}

fn response_head(response: &Response<'_>) -> Vec<u8> {
    let body = match response.payload {
        Payload::Kept(body) => Some(body.len),
        // Where the server announced a length, it must not be read as what follows here.
        Payload::None | Payload::Lost { .. } => {
            response.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")).then_some(0)
        }
    };
    http::response_head(response.status, response.status_text, response.headers, body)
}

/// Returns the media type as it will stand in the stored head.
fn content_type(headers: &[(String, String)]) -> Option<String> {
    let (_, value) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"))?;
    let line = value.split(['\n', '\r']).find(|line| !line.is_empty()).unwrap_or_default();
    index::mime(&http::value(line)).map(str::to_owned)
}

/// Returns `name: value` lines.
fn fields(list: &[(&str, &str)]) -> Vec<u8> {
    let line = |(name, value): &(&str, &str)| format!("{name}: {}\r\n", http::value(value)).into_bytes();
    list.iter().flat_map(line).collect()
}

fn pages(list: &[Page]) -> String {
    let line = |json: serde_json::Result<String>| json.expect("strings become JSON") + "\n";
    let head = line(serde_json::to_string(&PagesHead::default()));
    list.iter().fold(head, |text, page| text + &line(serde_json::to_string(page)))
}

fn parse(address: &str) -> Result<Url, WriteError> {
    let not = |why: String| WriteError::Url { url: shorten(address), why };
    let url = Url::parse(address).map_err(|error| not(error.to_string()))?;
    if !["http", "https", "ws", "wss"].contains(&url.scheme()) {
        return Err(not(format!("`{}` is not asked over HTTP", url.scheme())));
    }
    Ok(url)
}

/// Returns the address as the archive has it: without the fragment, which was never sent.
fn archived(url: &Url) -> String {
    let mut url = url.clone();
    url.set_fragment(None);
    url.into()
}

/// Returns as much of an address as fits a message.
fn shorten(address: &str) -> String {
    let short: String = address.chars().take(120).collect();
    if short.len() < address.len() { short + "…" } else { short }
}

/// Returns the folder of a path.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

/// Returns the SHA-256 of a file in hex, and its length, wherever it was read last.
pub(crate) fn hash_file(file: &File) -> io::Result<(String, u64)> {
    let mut input = file.try_clone()?;
    input.seek(SeekFrom::Start(0))?;
    let mut sha256 = Sha256::new();
    let bytes = io::copy(&mut input, &mut sha256)?;
    Ok((warc::hex(&sha256.finalize()), bytes))
}
