//! `vigie transfer`: what leaves for another controller, what stops it, and what the other side received.

mod arguments;
mod linkage;
mod orders;
mod running;

pub use arguments::{RegisterArguments, TransferOptions};

use crate::{
    arguments::Common,
    fault::Fault,
    inspect::{json_of, print_line},
    keep::in_full,
    ledger::token_of,
    policy::map_of,
};
use arguments::{CheckOptions, TransferCommand};
use serde_json::json;
use std::{fs, path::Path, sync::Arc};
use vigie_accounting::{Accounts, Draft, Journal, RemoteLedger};
use vigie_ledger::{Hash, Kind, entry::Flags};
use vigie_sequencer::{Home, Log, Options};
use vigie_transfers::{
    field::PseudonymKey,
    flow::{Operator, Register},
};
use vigie_vault::{KeyEncryptionKey, RowList, Vault};
use vigie_witness::source::LogSource;

pub(crate) fn failed(why: impl Into<String>) -> Fault {
    Fault::Transfer { why: why.into(), help: None }
}

pub(crate) fn fault(error: &dyn std::error::Error) -> Fault {
    failed(in_full(error))
}

/// Carries out `vigie transfer …`.
pub async fn run(options: &TransferOptions, common: &Common) -> Result<u8, Fault> {
    match &options.command {
        TransferCommand::Check(options) => check(options, common),
        TransferCommand::Run(options) => running::run(options, common).await,
        TransferCommand::Orders(options) => orders::list(options, common),
        TransferCommand::Order(options) => orders::sign(options, common),
        TransferCommand::Receive(options) => running::receive(options, common).await,
        TransferCommand::Linkage(options) => linkage::run(options, common),
        TransferCommand::Erase(options) => running::erase(options, common).await,
    }
}

impl RegisterArguments {
    /// Reads the register, for a command that needs a whole one.
    pub fn read(&self) -> Result<Register, Fault> {
        let map = map_of(&self.map)?;
        let register = Register::parse(&self.text()?, &map, self.folder());
        register.map_err(|faults| Fault::Transfer {
            why: format!(
                "`{}` is no register that can be used: {}",
                self.register.display(),
                first(&faults.to_string())
            ),
            help: Some(format!("see all {} with `vigie transfer check`", faults.faults.len())),
        })
    }

    fn text(&self) -> Result<String, Fault> {
        let path = &self.register;
        fs::read_to_string(path).map_err(|error| failed(format!("`{}` cannot be read: {error}", path.display())))
    }

    fn folder(&self) -> &Path {
        self.register.parent().unwrap_or(Path::new("."))
    }
}

fn first(lines: &str) -> &str {
    lines.lines().next().unwrap_or_default()
}

/// `vigie transfer check`: what is wrong is the answer here, not a fault.
fn check(options: &CheckOptions, common: &Common) -> Result<u8, Fault> {
    let register = &options.register;
    let map = map_of(&register.map)?;
    let (flows, faults) = match Register::parse(&register.text()?, &map, register.folder()) {
        Ok(register) => (register.flows, Vec::new()),
        Err(faults) => (Vec::new(), faults.faults),
    };
    let file = register.register.display();
    if common.json {
        let errors: Vec<_> =
            faults.iter().map(|fault| json!({ "line": fault.line, "what": fault.what, "help": fault.help })).collect();
        let names: Vec<_> = flows.iter().map(|flow| flow.name.as_str()).collect();
        print_line(&json_of(&json!({ "schema": "transfer-check/1", "errors": errors, "flows": names }))?);
    } else {
        for fault in &faults {
            print_line(&format!("error: {file}:{}: {}", fault.line, fault.what));
            if let Some(help) = &fault.help {
                print_line(&format!("  help: {help}"));
            }
        }
        for flow in &flows {
            let fields: Vec<_> = flow.fields.iter().map(|field| field.name.as_str()).collect();
            print_line(&format!(
                "{}: {} to {} ({}, {}) for {} on {}, {}",
                flow.name,
                fields.join(", "),
                flow.recipient,
                flow.role.name(),
                flow.residency,
                flow.purpose,
                flow.basis.as_str(),
                flow.schedule
            ));
        }
    }
    Ok(u8::from(!faults.is_empty()))
}

/// Ledger and vault of an operator, opened here.
pub struct Books {
    /// The two.
    pub accounts: Accounts,
    /// The ledger, if it is ours.
    log: Option<Arc<Log>>,
    ledger: String,
    secret: [u8; 32],
}

impl Books {
    /// Opens them.
    pub fn open(operator: &Operator) -> Result<Self, Fault> {
        Self::open_at(&operator.ledger, operator.token.as_deref(), &operator.vault, &operator.secret)
    }

    /// Opens a ledger by folder or address, and a vault.
    pub fn open_at(ledger: &str, token: Option<&Path>, vault: &Path, secret: &Path) -> Result<Self, Fault> {
        let secret = secret_of(secret)?;
        let key = PseudonymKey::derive(&secret, "vigie/transfer/vault/v1");
        let vault = Vault::open(vault, KeyEncryptionKey::new(key), vigie_vault::Options::default());
        let vault = Arc::new(vault.map_err(|error| fault(&error))?);
        let (journal, log) = if ledger.starts_with("http://") || ledger.starts_with("https://") {
            let token = token.map(token_of).transpose()?.map(|token| token.trim().to_owned());
            (Journal::Remote(RemoteLedger::new(ledger, token)), None)
        } else {
            let log = Log::open(&Home::new(ledger), Options::default()).map_err(|error| fault(&error))?;
            let log = Arc::new(log);
            (Journal::Local(log.clone()), Some(log))
        };
        Ok(Self { accounts: Accounts::new(vault, journal), log, ledger: ledger.to_owned(), secret })
    }

    /// Returns what makes pseudonyms for a recipient.
    pub fn pseudonyms(&self, recipient: &str) -> PseudonymKey {
        PseudonymKey::of(&self.secret, recipient)
    }

    /// Returns the ledger's public files.
    pub fn source(&self) -> Result<LogSource, Fault> {
        match &self.log {
            Some(log) => Ok(LogSource::Folder(log.home().public())),
            None => LogSource::of(&self.ledger).map_err(|error| fault(&error)),
        }
    }

    /// Logs an event without rows, of which only what it refers to is public. Returns its index.
    pub async fn log(&self, kind: Kind, flags: Flags, peer_ref: Hash, header: String) -> Result<u64, Fault> {
        let rows = RowList::with_content(Vec::new()).map_err(|error| fault(&error))?;
        let draft = Draft { kind, flags, peer_ref, header: header.into_bytes(), rows, event_id: None };
        let record = draft.into_record().map_err(|error| fault(&error))?;
        let logged = self.accounts.log_kept_first(record).await.map_err(|error| fault(&error))?;
        Ok(logged.index)
    }

    /// Ends what is written.
    pub fn close(&self) -> Result<(), Fault> {
        let vault = self.accounts.vault().close();
        if let Some(log) = &self.log {
            log.finish().map_err(|error| fault(&error))?;
        }
        vault.map_err(|error| fault(&error))
    }
}

/// Reads 32 bytes in hexadecimal.
fn secret_of(path: &Path) -> Result<[u8; 32], Fault> {
    let text =
        fs::read_to_string(path).map_err(|error| failed(format!("`{}` cannot be read: {error}", path.display())))?;
    let bytes = crate::sample::bytes_of(&text, &format!("`{}`", path.display()))?;
    bytes.try_into().map_err(|bytes: Vec<u8>| Fault::Transfer {
        why: format!("`{}` has {} bytes, expected 32 in hexadecimal", path.display(), bytes.len()),
        help: Some("make one with `openssl rand -hex 32`".to_owned()),
    })
}
