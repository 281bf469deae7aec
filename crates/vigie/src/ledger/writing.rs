//! `vigie ledger init` and `add`, and logging a capture.

use super::arguments::{AddOptions, InitOptions};
use super::open::{fault, policy_and_text_of, random, token_of};
use crate::{
    arguments::Common,
    fault::Fault,
    inspect::{json_of, print_line},
    keep::{self, in_full},
};
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use vigie_ledger::commitment::{Place, SubjectKey, rows_root};
use vigie_ledger::opening::{Part, Shown};
use vigie_ledger::{Entry, EventId, Kind, Receipt};
use vigie_sequencer::{Home, Log, Options, Stream};
use vigie_witness::server::system_time;

/// How long a server may take to publish an entry.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(60);

/// Makes a ledger.
pub fn init(options: &InitOptions, common: &Common) -> Result<u8, Fault> {
    let policy = match &options.policy {
        Some(path) => Some(policy_and_text_of(path)?.1),
        None => None,
    };
    let stream = if options.opaque { Stream::Opaque } else { Stream::Events };
    let home = Home::new(&options.folder);
    let key = home.init(&options.origin, stream, policy.as_deref()).map_err(|error| fault(&error))?;
    let key = key.verifier().to_string();
    if common.json {
        print_line(&json_of(&json!({ "origin": options.origin.as_str(), "key": key, "folder": options.folder }))?);
    } else if !common.quiet {
        print_line(&format!("Made the ledger {} in {}", options.origin, options.folder.display()));
        print_line(&format!("Publish its key, by which others verify it:\n{key}"));
    }
    Ok(0)
}

/// Where an entry is.
struct Appended {
    index: u64,
    row_base: u64,
}

/// A ledger that is written to: in this process, or in another.
pub enum LedgerTarget {
    /// In this process, until the value is gone.
    Local(Box<Log>),
    /// Over HTTP.
    Remote(Server),
}

/// A ledger that another process writes, and serves.
pub struct Server {
    /// The prefix, without a slash at its end.
    prefix: String,
    /// What the server asks for.
    token: Option<String>,
    agent: ureq::Agent,
}

impl LedgerTarget {
    /// Opens a ledger by its folder or its address.
    ///
    /// # Errors
    ///
    /// If the folder is no ledger, is written by another process, or its files are damaged.
    pub fn open(given: &str, token_file: Option<&Path>) -> Result<Self, Fault> {
        if given.starts_with("http://") || given.starts_with("https://") {
            return Server::new(given, token_file).map(Self::Remote);
        }
        let log = Log::open(&Home::new(given), Options::default()).map_err(|error| fault(&error))?;
        Ok(Self::Local(Box::new(log)))
    }

    /// Appends an entry; returns its index once it is durable.
    ///
    /// # Errors
    ///
    /// If the ledger does not take it.
    pub fn append_entry(&self, entry: &[u8]) -> Result<u64, Fault> {
        self.append(entry).map(|appended| appended.index)
    }

    /// Appends an entry; returns where it is once it is durable.
    fn append(&self, entry: &[u8]) -> Result<Appended, Fault> {
        match self {
            Self::Local(log) => {
                let ticket = log.append(entry).map_err(|error| fault(&error))?;
                let appended = ticket.wait().map_err(|error| fault(&error))?;
                Ok(Appended { index: appended.index, row_base: appended.row_base })
            }
            Self::Remote(server) => server.append(entry),
        }
    }

    /// Returns the receipt of an entry that was appended, once it is published with the witnesses that the ledger asks
    /// for.
    fn receipt(&self, entry: &[u8], index: u64) -> Result<Receipt, Fault> {
        match self {
            Self::Local(log) => {
                log.publish_now();
                log.wait_published(index).map_err(|error| fault(&error))?;
                log.receipt(index, None).map_err(|error| fault(&error))
            }
            // An event that is sent again is logged once; entries that are no events are logged again.
            Self::Remote(server) => server.append_for_receipt(entry),
        }
    }

    /// Appends an entry and returns its receipt.
    fn append_for_receipt(&self, entry: &[u8]) -> Result<Receipt, Fault> {
        match self {
            Self::Local(_) => self.receipt(entry, self.append(entry)?.index),
            Self::Remote(server) => server.append_for_receipt(entry),
        }
    }

    /// Ends what runs in this process; what was appended is published.
    pub fn close(self) -> Result<(), Fault> {
        match self {
            Self::Local(log) => log.close().map_err(|error| fault(&error)),
            Self::Remote(_) => Ok(()),
        }
    }
}

impl Server {
    fn new(address: &str, token_file: Option<&Path>) -> Result<Self, Fault> {
        let token = token_file.map(token_of).transpose()?.map(|token| token.trim().to_owned());
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(PUBLISH_TIMEOUT))
            .http_status_as_error(false)
            .build()
            .new_agent();
        Ok(Self { prefix: address.trim_end_matches('/').to_owned(), token, agent })
    }

    fn append(&self, entry: &[u8]) -> Result<Appended, Fault> {
        let said = self.post(entry, "add")?;
        let answer: Option<Value> = serde_json::from_slice(&said).ok();
        let read = |answer: Value| {
            let row_base = answer["row_base"].as_u64().unwrap_or_default();
            Some(Appended { index: answer["index"].as_u64()?, row_base })
        };
        answer.and_then(read).ok_or_else(|| self.unclear("no index"))
    }

    fn append_for_receipt(&self, entry: &[u8]) -> Result<Receipt, Fault> {
        let said = self.post(entry, "add?wait=published")?;
        Receipt::parse(&said).map_err(|error| self.unclear(&error.to_string()))
    }

    fn unclear(&self, why: &str) -> Fault {
        let prefix = &self.prefix;
        Fault::Ledger { why: format!("the ledger at `{prefix}` gave an answer that cannot be read: {why}"), help: None }
    }

    fn post(&self, entry: &[u8], path: &str) -> Result<Vec<u8>, Fault> {
        let prefix = &self.prefix;
        let unreachable = |why: String| Fault::Ledger {
            why: format!("the ledger at `{prefix}` did not take the entry: {why}"),
            help: Some("an entry of the same event may be sent again: it is logged once".to_owned()),
        };
        let mut request = self.agent.post(format!("{prefix}/{path}"));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let mut answer = request.send(entry).map_err(|error| unreachable(in_full(&error)))?;
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(4 << 20).read_to_vec();
        let body = body.map_err(|error| unreachable(in_full(&error)))?;
        if status == 200 {
            return Ok(body);
        }
        let said: Option<Value> = serde_json::from_slice(&body).ok();
        let said = said.and_then(|said| Some(said["error"].as_str()?.to_owned()));
        Err(unreachable(said.unwrap_or_else(|| format!("status {status}"))))
    }
}

/// Appends files, or commitments to bundles.
pub fn add(options: &AddOptions, common: &Common) -> Result<u8, Fault> {
    if options.bundles {
        return add_bundles(options, common);
    }
    let entries = options.files.iter().map(|path| Ok((path, read(path)?))).collect::<Result<Vec<_>, Fault>>()?;
    let target = LedgerTarget::open(&options.ledger, options.token_file.as_deref())?;
    for (path, entry) in entries {
        let index = if options.receipt {
            let receipt = target.append_for_receipt(&entry)?;
            let beside = if path.as_os_str() == "-" { PathBuf::from("entry") } else { path.clone() };
            keep::file(&beside_of(&beside), &receipt.to_bytes())?;
            receipt.index
        } else {
            target.append(&entry)?.index
        };
        if common.json {
            print_line(&json_of(&json!({ "file": path, "index": index }))?);
        } else if !common.quiet {
            print_line(&format!("{index:>9}  {}", path.display()));
        }
    }
    target.close()?;
    Ok(0)
}

fn add_bundles(options: &AddOptions, common: &Common) -> Result<u8, Fault> {
    // All are read before the first is logged: an entry is for ever.
    let mut captures = Vec::new();
    for path in &options.files {
        let kept = keep::evidence(path)?;
        let site = kept.evidence.site.host.clone();
        captures.push((path, Capture::new(&kept.seal, &site)?));
    }
    let target = LedgerTarget::open(&options.ledger, options.token_file.as_deref())?;
    for (path, capture) in captures {
        let (receipt, index) = capture.log(&target, path)?;
        if common.json {
            print_line(&json_of(&json!({ "file": path, "index": index, "receipt": receipt }))?);
        } else if !common.quiet {
            print_line(&format!("{index:>9}  {}", receipt.display()));
        }
    }
    target.close()?;
    Ok(0)
}

/// Returns where a file's receipt goes.
pub fn beside_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tlog-proof");
    name.into()
}

fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    let unreadable = |error: std::io::Error| Fault::Entry { path: path.to_owned(), why: in_full(&error) };
    if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map_err(unreadable)?;
        return Ok(bytes);
    }
    std::fs::read(path).map_err(unreadable)
}

/// A bundle as it goes into a ledger: a commitment, and the opening for whoever has the receipt.
pub struct Capture {
    event_id: EventId,
    key: SubjectKey,
    header: String,
    time: u64,
}

impl Capture {
    /// Commits to a bundle by its seal: the hash that covers all of it but timestamps, which may be added later.
    ///
    /// `host` is whose site it is. The time is now.
    ///
    /// # Errors
    ///
    /// If the system has no random numbers.
    pub fn new(seal: &str, host: &str) -> Result<Self, Fault> {
        Ok(Self {
            event_id: EventId(random()?),
            key: SubjectKey::new(random()?),
            header: format!("vigie/capture/v1\nseal sha256:{seal}\nsite {host}\n"),
            time: system_time(),
        })
    }

    /// Logs the commitment, and writes the receipt beside the bundle. Returns its path and index.
    ///
    /// # Errors
    ///
    /// If the ledger does not take it. Nothing is written then.
    pub fn log(&self, ledger: &LedgerTarget, bundle: &Path) -> Result<(PathBuf, u64), Fault> {
        let opening = self.key.open(self.event_id, Place::Header, self.header.clone().into_bytes());
        // The bundle is the one row of its event, so that captures can be sampled like anything else.
        let row = self.key.open(self.event_id, Place::Row(0), self.header.clone().into_bytes());
        let mut entry = Entry {
            row_count: 1,
            rows_root: rows_root([row.commitment()]),
            ..Entry::new(Kind::Capture, self.time, self.event_id, opening.commitment())
        };
        let sent = entry.to_bytes();
        let appended = ledger.append(&sent)?;
        let mut receipt = ledger.receipt(&sent, appended.index)?;
        entry.row_base = appended.row_base;
        let shown = Shown { entry: entry.to_bytes(), part: Part::Header { salt: opening.salt, bytes: opening.bytes } };
        receipt.extra = Some(shown.to_bytes());
        let path = beside_of(bundle);
        keep::file(&path, &receipt.to_bytes())?;
        Ok((path, receipt.index))
    }
}
