//! What can be said to `vigie transfer`.

use crate::policy::arguments::DatabaseArguments;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use vigie_ledger::VerifierKey;

/// `vigie transfer`.
#[derive(Debug, Args)]
pub struct TransferOptions {
    /// What is to be done with hand-overs.
    #[command(subcommand)]
    pub command: TransferCommand,
}

/// What can be done with hand-overs.
#[derive(Debug, Subcommand)]
pub enum TransferCommand {
    /// Say everything that is wrong with a register of flows, with lines
    Check(CheckOptions),
    /// Hand over what a flow names, of who agreed; goes on where it stopped
    Run(RunOptions),
    /// List the orders of authorities, and what each stops
    Orders(OrdersOptions),
    /// Write and sign an order that stops flows, or lift one (the authority's side)
    Order(OrderOptions),
    /// Check what was received against the sender's ledger, and log it (the recipient's side)
    Receive(ReceiveOptions),
    /// Erase a person from the accounts of what was handed over, and log that
    Erase(EraseOptions),
    /// Measure what two datasets share, without showing values or keys to the other side (SH-11)
    Linkage(LinkageOptions),
}

/// Which flows.
#[derive(Debug, Clone, Args)]
pub struct RegisterArguments {
    /// The register of flows
    #[arg(long, value_name = "FILE", env = "VIGIE_FLOWS")]
    pub register: PathBuf,
    /// The data map: a file, or a folder with `map.toml`
    #[arg(long, value_name = "MAP", env = "VIGIE_MAP")]
    pub map: PathBuf,
}

/// `vigie transfer check`.
#[derive(Debug, Args)]
pub struct CheckOptions {
    /// Which flows.
    #[command(flatten)]
    pub register: RegisterArguments,
}

/// `vigie transfer run`.
#[derive(Debug, Args)]
pub struct RunOptions {
    /// The flow
    #[arg(value_name = "FLOW")]
    pub flow: String,
    /// Which flows.
    #[command(flatten)]
    pub register: RegisterArguments,
    /// Which database.
    #[command(flatten)]
    pub database: DatabaseArguments,
}

/// `vigie transfer orders`.
#[derive(Debug, Args)]
pub struct OrdersOptions {
    /// Which flows.
    #[command(flatten)]
    pub register: RegisterArguments,
}

/// `vigie transfer order`.
#[derive(Debug, Args)]
pub struct OrderOptions {
    /// The authority, as the operator registered it
    #[arg(long, value_name = "NAME")]
    pub authority: String,
    /// The authority's secret key
    #[arg(long, value_name = "FILE")]
    pub key_file: PathBuf,
    /// The file or decision
    #[arg(long, value_name = "TEXT")]
    pub reference: String,
    /// From when on [default: now]
    #[arg(long, value_name = "TIME")]
    pub effect: Option<jiff::Timestamp>,
    /// For which purpose [default: all]
    #[arg(long, value_name = "PURPOSE")]
    pub purpose: Option<String>,
    /// To whom [default: everybody]
    #[arg(long, value_name = "NAME")]
    pub recipient: Option<String>,
    /// Which field [default: whole records]
    #[arg(long, value_name = "FIELD")]
    pub field: Option<String>,
    /// Whose records: those with this value in this field [default: everybody's]
    #[arg(long, value_name = "FIELD=VALUE")]
    pub group: Option<String>,
    /// Lift the order in this file instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["purpose", "recipient", "field", "group"])]
    pub lift: Option<PathBuf>,
    /// Where it is written; it must not exist
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// `vigie transfer receive`.
#[derive(Debug, Args)]
pub struct ReceiveOptions {
    /// The folder with batches and their receipts
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The key of the sender's ledger
    #[arg(long, value_name = "KEY", required_unless_present = "policy", conflicts_with = "policy")]
    pub key: Option<VerifierKey>,
    /// Which ledgers and witnesses are believed (C2SP tlog-policy)
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// The recipient's own ledger: a folder, or an address
    #[arg(long, value_name = "LEDGER")]
    pub ledger: String,
    /// The token that ledger asks for
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The recipient's own vault
    #[arg(long, value_name = "DIR")]
    pub vault: PathBuf,
    /// A file with 32 random bytes in hexadecimal, which seal the vault
    #[arg(long, value_name = "FILE")]
    pub secret: PathBuf,
}

/// `vigie transfer erase`.
#[derive(Debug, Args)]
pub struct EraseOptions {
    /// The person's id
    #[arg(value_name = "SUBJECT", allow_hyphen_values = true)]
    pub subject: String,
    /// Which flows.
    #[command(flatten)]
    pub register: RegisterArguments,
}

/// `vigie transfer linkage`.
#[derive(Debug, Args)]
pub struct LinkageOptions {
    /// Which step.
    #[command(subcommand)]
    pub command: LinkageCommand,
}

/// Steps of a measurement: each side blinds its values, then the other's, and anybody compares.
#[derive(Debug, Subcommand)]
pub enum LinkageCommand {
    /// Blind one's own values, for the other side
    Blind {
        /// The values, one a line
        #[arg(value_name = "FILE")]
        values: PathBuf,
        /// A file with 32 random bytes in hexadecimal, for this measurement alone
        #[arg(long, value_name = "FILE")]
        secret: PathBuf,
        /// Where the points are written; it must not exist
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Blind the other side's points once more
    Again {
        /// The other side's points
        #[arg(value_name = "POINTS")]
        points: PathBuf,
        /// The file of the first step
        #[arg(long, value_name = "FILE")]
        secret: PathBuf,
        /// Where the points are written; it must not exist
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Count what both have, and hold it against chance
    Compare {
        /// Points that both sides blinded
        #[arg(value_name = "FIRST")]
        first: PathBuf,
        /// The other such points
        #[arg(value_name = "SECOND")]
        second: PathBuf,
        /// How many values either side could have had
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        population: u64,
    },
}
