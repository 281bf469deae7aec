//! What can be said to `vigie ledger` and `vigie witness`.

use clap::{Args, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use vigie_ledger::key::Algorithm;
use vigie_ledger::{KeyName, VerifierKey};

/// `vigie ledger`.
#[derive(Debug, Args)]
pub struct LedgerOptions {
    /// What is to be done with the ledger.
    #[command(subcommand)]
    pub command: LedgerCommand,
}

/// What can be done with a ledger.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Make a ledger, with a key of its own
    Init(InitOptions),
    /// Append entries, and say where they are once they are durable
    Add(AddOptions),
    /// Take entries over HTTP, and show the ledger to anybody
    Serve(ServeOptions),
    /// Print the key by which others verify a ledger
    Key(KeyOptions),
    /// Write the receipt of an entry: that it is in the ledger, and who has seen it
    Proof(ProofOptions),
    /// Rehash a whole ledger, and say the first thing that is wrong
    Check(CheckOptions),
    /// Print entries
    Tail(TailOptions),
    /// Keep a full, checked copy of a ledger
    Mirror(MirrorOptions),
}

/// Whom to believe.
#[derive(Debug, Clone, Args)]
pub struct TrustArguments {
    /// The ledger's key, as its owner publishes it [default: the one in the ledger's own folder]
    #[arg(long, value_name = "KEY", conflicts_with = "policy")]
    pub key: Option<VerifierKey>,
    /// Which ledgers and witnesses are believed (C2SP tlog-policy)
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
}

/// `vigie ledger init`.
#[derive(Debug, Args)]
pub struct InitOptions {
    /// The folder of the ledger; it must not exist
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Its name, for ever: an address without its scheme, for instance operator.example/accesses
    #[arg(long, value_name = "NAME")]
    pub origin: KeyName,
    /// Take any bytes as entries, instead of the 148 bytes of events
    #[arg(long)]
    pub opaque: bool,
    /// The witnesses to ask, and how many must answer (C2SP tlog-policy)
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
}

/// `vigie ledger add`.
#[derive(Debug, Args)]
pub struct AddOptions {
    /// The ledger: its folder, or the address at which `vigie ledger serve` takes entries
    #[arg(value_name = "LEDGER")]
    pub ledger: String,
    /// Files, each an entry; - is standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// The files are bundles: log a commitment to each, and write its receipt beside it
    #[arg(long)]
    pub bundles: bool,
    /// Wait until the ledger has published the entries, and write a receipt beside each file
    #[arg(long)]
    pub receipt: bool,
    /// The token that the server asks for
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// `vigie ledger serve`.
#[derive(Debug, Args)]
pub struct ServeOptions {
    /// The folder of the ledger
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8650")]
    pub listen: SocketAddr,
    /// Take entries only from who shows this token
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Take entries from a queue too, for instance nats://127.0.0.1:4222
    #[arg(long, value_name = "URL", env = "VIGIE_QUEUE")]
    pub queue: Option<String>,
    /// Publish to a store too: s3://bucket/prefix, or file:///folder
    #[arg(long, value_name = "URL", env = "VIGIE_STORE")]
    pub copy_to: Option<String>,
    /// Append a heartbeat so often, so that a pause shows; 0 for none
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub heartbeat: u64,
}

/// `vigie ledger key`.
#[derive(Debug, Args)]
pub struct KeyOptions {
    /// The folder of the ledger
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// `vigie ledger proof`.
#[derive(Debug, Args)]
pub struct ProofOptions {
    /// The ledger: its folder, or its address
    #[arg(value_name = "LEDGER")]
    pub ledger: String,
    /// The entry, counted from 0
    #[arg(value_name = "INDEX")]
    pub index: u64,
    /// Where the receipt goes [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Whom to believe.
    #[command(flatten)]
    pub trust: TrustArguments,
}

/// `vigie ledger check`.
#[derive(Debug, Args)]
pub struct CheckOptions {
    /// The ledger: its folder, or its address
    #[arg(value_name = "LEDGER")]
    pub ledger: String,
    /// Whom to believe.
    #[command(flatten)]
    pub trust: TrustArguments,
}

/// `vigie ledger tail`.
#[derive(Debug, Args)]
pub struct TailOptions {
    /// The ledger: its folder, or its address
    #[arg(value_name = "LEDGER")]
    pub ledger: String,
    /// The first entry to print [default: the tenth from the end]
    #[arg(long, value_name = "INDEX")]
    pub from: Option<u64>,
    /// Go on as entries come, until interrupted
    #[arg(long, short)]
    pub follow: bool,
    /// Whom to believe.
    #[command(flatten)]
    pub trust: TrustArguments,
}

/// `vigie ledger mirror`.
#[derive(Debug, Args)]
pub struct MirrorOptions {
    /// The ledger: its folder, or its address
    #[arg(value_name = "LEDGER")]
    pub ledger: String,
    /// The folder of the copy
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Look for new entries so often; 0 is once
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub every: u64,
    /// Show the copy to anybody, at this address
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Whom to believe.
    #[command(flatten)]
    pub trust: TrustArguments,
}

/// `vigie witness`.
#[derive(Debug, Args)]
pub struct WitnessOptions {
    /// What is to be done with the witness.
    #[command(subcommand)]
    pub command: WitnessCommand,
}

/// What can be done with a witness.
#[derive(Debug, Subcommand)]
pub enum WitnessCommand {
    /// Make a witness, with keys of its own
    Init(WitnessInitOptions),
    /// Tell a witness of a ledger; a running one learns of it when it starts again
    Watch(WatchOptions),
    /// Cosign the heads of the ledgers that the witness was told of (C2SP tlog-witness)
    Serve(WitnessServeOptions),
    /// Print the keys by which others verify the witness
    Key(KeyOptions),
}

/// `vigie witness init`.
#[derive(Debug, Args)]
pub struct WitnessInitOptions {
    /// The folder of the witness
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Its name, for ever: an address without its scheme, for instance witness.example/1
    #[arg(long, value_name = "NAME")]
    pub name: KeyName,
    /// How it signs; may be several
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "ed25519")]
    pub algorithm: Vec<AlgorithmArgument>,
}

/// `vigie witness watch`.
#[derive(Debug, Args)]
pub struct WatchOptions {
    /// The folder of the witness
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The ledger's key, as its owner publishes it
    #[arg(value_name = "KEY")]
    pub key: VerifierKey,
}

/// `vigie witness serve`.
#[derive(Debug, Args)]
pub struct WitnessServeOptions {
    /// The folder of the witness
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8651")]
    pub listen: SocketAddr,
}

/// `--algorithm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AlgorithmArgument {
    /// Ed25519 (cosignature/v1), which every verifier knows
    Ed25519,
    /// ML-DSA-44, which outlasts quantum computers
    #[value(name = "ml-dsa-44")]
    MlDsa44,
}

impl From<AlgorithmArgument> for Algorithm {
    fn from(argument: AlgorithmArgument) -> Self {
        match argument {
            AlgorithmArgument::Ed25519 => Self::CosignatureEd25519,
            AlgorithmArgument::MlDsa44 => Self::CosignatureMlDsa44,
        }
    }
}
