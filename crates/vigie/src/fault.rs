//! Why we could not answer, in one sentence, with the way out beneath it.

use jiff::civil::Date;
use miette::Diagnostic;
use std::{io::Write, path::PathBuf};
use vigie_browser::BrowserError;

/// We could not answer. A site with findings is an answer; a site that let no one in is one too, of exit code 2.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Fault {
    /// Not an address at all.
    #[error("`{given}` is not an address: {why}")]
    #[diagnostic(code(address::unreadable))]
    Unreadable {
        /// What was given.
        given: String,
        /// What is wrong with it.
        why: String,
        /// What may have been meant.
        #[help]
        help: Option<String>,
    },
    /// An address of another kind than the web's.
    #[error("`{given}` has the scheme `{scheme}`; only `https` and `http` addresses can be inspected")]
    #[diagnostic(code(address::scheme), help("serve the page, and give the address at which it is served"))]
    Scheme {
        /// What was given.
        given: String,
        /// Its scheme.
        scheme: String,
    },
    /// Nowhere to keep anything.
    #[error("no place to keep anything: neither XDG_DATA_HOME nor HOME is set")]
    #[diagnostic(code(home::unknown), help("name one with `--home DIR`"))]
    NoHome,
    /// Choices cannot be served or read.
    #[error("{why}")]
    #[diagnostic(code(choices::failed))]
    Choices {
        /// Why.
        why: String,
        /// The way out.
        #[help]
        help: Option<String>,
    },
    /// A folder or file that cannot be written.
    #[error("`{}` cannot be written: {why}", .path.display())]
    #[diagnostic(code(out::unwritable), help("name another folder with `--out DIR` or `--home DIR`"))]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// The browser failed us.
    #[error("{error}")]
    #[diagnostic(code(browser::failed))]
    Browser {
        /// How.
        error: BrowserError,
        /// The way out.
        #[help]
        help: Option<String>,
    },
    /// The sample platform could not be served.
    #[error("the sample platform could not be served: {why}")]
    #[diagnostic(code(demo::unserved))]
    Demo {
        /// Why.
        why: String,
    },
    /// Nothing to lay side by side.
    #[error("no bundle of `{host}` is in `{}`", .folder.display())]
    #[diagnostic(code(timeline::empty), help("name another folder with `--in DIR`, or inspect the site"))]
    NoBundles {
        /// The site.
        host: String,
        /// Where they were looked for.
        folder: PathBuf,
    },
    /// Kept evidence that cannot be read.
    #[error("`{}` holds no evidence that can be judged: {why}", .path.display())]
    #[diagnostic(
        code(evidence::unreadable),
        help("name a bundle that `vigie inspect` wrote, a file that ends in .wacz")
    )]
    Evidence {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The key that signs bundles cannot be had.
    #[error("{why}")]
    #[diagnostic(code(key::unusable), help("name another folder for the key with `--home DIR`"))]
    Key {
        /// What is wrong with it.
        why: String,
    },
    /// No catalogue of rules.
    #[error("`{}` holds no catalogue of rules: {why}", .at.display())]
    #[diagnostic(code(rules::unreadable), help("name a day, a folder with CK-01.toml to CK-40.toml, or `bundle`"))]
    Rules {
        /// What was named.
        at: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No catalogue is known from so long ago.
    #[error(
        "no catalogue of rules is known that was in force on {on}{}",
        .earliest.map(|earliest| format!("; the earliest known is in force since {earliest}")).unwrap_or_default()
    )]
    #[diagnostic(
        code(rules::unknown),
        help(
            "name with `--home DIR` a folder that holds a bundle of that time, or with `--rules DIR` a folder of rules"
        )
    )]
    NoEdition {
        /// The day.
        on: Date,
        /// From when the earliest is in force that is known.
        earliest: Option<Date>,
    },
    /// No list of known breaches.
    #[error("`{}` holds no baseline: {why}", .path.display())]
    #[diagnostic(code(baseline::unreadable), help("write one with `--write-baseline FILE`"))]
    Baseline {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No certificates.
    #[error("`{}` holds no certificates: {why}", .path.display())]
    #[diagnostic(code(roots::unreadable), help("name a file of certificates in PEM"))]
    Roots {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The report could not be made.
    #[error("the report on `{host}` could not be made: {why}")]
    #[diagnostic(code(report::failed), help("repeat with `--no-report` to have the findings alone"))]
    Report {
        /// The site.
        host: String,
        /// Why.
        why: String,
    },
    /// A campaign could not be run, summed up or exported.
    #[error("{why}")]
    #[diagnostic(code(campaign::failed))]
    Campaign {
        /// Why.
        why: String,
        /// The way out.
        #[help]
        help: Option<String>,
    },
    /// A ledger could not be opened, written or read.
    #[error("{why}")]
    #[diagnostic(code(ledger::failed))]
    Ledger {
        /// Why.
        why: String,
        /// The way out.
        #[help]
        help: Option<String>,
    },
    /// A database could not be reached, read or written.
    #[error("{why}")]
    #[diagnostic(code(database::failed))]
    Database {
        /// Why.
        why: String,
        /// The way out.
        #[help]
        help: Option<String>,
    },
    /// A gateway could not be set up, run or asked.
    #[error("{why}")]
    #[diagnostic(code(gateway::failed))]
    Gateway {
        /// Why.
        why: String,
        /// The way out.
        #[help]
        help: Option<String>,
    },
    /// A hand-over could not be made, received or looked at.
    #[error("{why}")]
    #[diagnostic(code(transfer::failed))]
    Transfer {
        /// Why.
        why: String,
        /// The way out.
        #[help]
        help: Option<String>,
    },
    /// A sample could not be demanded, answered or checked.
    #[error("{why}")]
    #[diagnostic(code(sample::failed))]
    Sample {
        /// Why.
        why: String,
        /// The way out.
        #[help]
        help: Option<String>,
    },
    /// A series could not be read or released.
    #[error("{why}")]
    #[diagnostic(code(series::failed))]
    Series {
        /// Why.
        why: String,
        /// The way out.
        #[help]
        help: Option<String>,
    },
    /// A policy that cannot be read, or does not compile.
    #[error("`{}` holds no policy that can be used: {why}", .path.display())]
    #[diagnostic(code(policy::unusable))]
    UnusablePolicy {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// The way out.
        #[help]
        help: String,
    },
    /// Nobody was named who is believed about a ledger.
    #[error("whose word counts for `{ledger}` was not said")]
    #[diagnostic(
        code(ledger::no_trust),
        help("give the ledger's key with `--key KEY`, as its owner publishes it, or a policy with `--policy FILE`")
    )]
    NoTrust {
        /// The ledger.
        ledger: String,
    },
    /// A policy of trust that cannot be read.
    #[error("`{}` holds no policy: {why}", .path.display())]
    #[diagnostic(
        code(policy::unreadable),
        help("the form is C2SP tlog-policy: lines `log`, `witness`, `group`, `quorum`")
    )]
    Policy {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A receipt that cannot be read.
    #[error("`{}` cannot be checked as a receipt: {why}", .path.display())]
    #[diagnostic(
        code(receipt::unreadable),
        help("name the entry it is for with `--entry FILE`, if it does not carry it")
    )]
    Receipt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A receipt, and nobody to believe.
    #[error("`{}` is a receipt, and whose word counts was not said", .path.display())]
    #[diagnostic(
        code(receipt::no_policy),
        help("name the ledgers and witnesses that are believed with `--policy FILE`")
    )]
    NoPolicy {
        /// The file.
        path: PathBuf,
    },
    /// What is to be logged cannot be read.
    #[error("the entry `{}` cannot be read: {why}", .path.display())]
    #[diagnostic(code(entry::unreadable))]
    Entry {
        /// The file.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// A token that cannot be read.
    #[error("the token in `{}` cannot be read: {why}", .path.display())]
    #[diagnostic(code(token::unreadable))]
    Token {
        /// The file.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// An address at which we cannot listen.
    #[error("cannot listen at `{address}`: {why}")]
    #[diagnostic(code(listen::failed), help("name another address with `--listen ADDRESS`"))]
    Listen {
        /// Which.
        address: std::net::SocketAddr,
        /// The system's words.
        why: String,
    },
    /// A ledger that anybody could write to.
    #[error("at `{address}` anybody could append to this ledger")]
    #[diagnostic(code(ledger::open), help("ask for a token with `--token-file FILE`, or listen on the loopback"))]
    OpenLedger {
        /// Where it would listen.
        address: std::net::SocketAddr,
    },
    /// Somebody pressed Ctrl-C, or asked us to end.
    #[error("interrupted; what was not finished is not kept")]
    #[diagnostic(code(interrupted))]
    Interrupted,
    /// Threads could not be started.
    #[error("the program could not start its threads: {why}")]
    #[diagnostic(code(runtime::failed))]
    Runtime {
        /// The system's words.
        why: String,
    },
}

impl From<BrowserError> for Fault {
    fn from(error: BrowserError) -> Self {
        let help = match &error {
            BrowserError::NotFound => {
                Some("install it with `make setup`, or `apt-get install chromium`; or name one with `--chromium PATH`")
            }
            BrowserError::CannotStart { .. } => Some("see what `vigie doctor` says"),
            BrowserError::NoProfile { .. } => Some("free some space, or set TMPDIR to another folder"),
            BrowserError::Gone { .. } => Some("it was killed, or it crashed; repeat the inspection"),
            BrowserError::Timeout { .. } | BrowserError::Refused { .. } | BrowserError::PageGone { .. } => None,
        };
        Self::Browser { error, help: help.map(str::to_owned) }
    }
}

impl Fault {
    /// Prints it on standard error: one sentence, and the way out.
    pub fn print(&self) {
        let mut out = std::io::stderr();
        let _ = writeln!(out, "vigie: {self}");
        if let Some(help) = self.help() {
            let _ = writeln!(out, "  help: {help}");
        }
    }
}
