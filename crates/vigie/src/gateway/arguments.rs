//! What can be said to `vigie gateway` and `vigie access-report`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `vigie gateway`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub struct GatewayOptions {
    /// Run the gateway of this configuration; the same as `vigie gateway serve`
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What else is to be done with the gateway.
    #[command(subcommand)]
    pub command: Option<GatewayCommand>,
}

/// What can be done with a gateway.
#[derive(Debug, Subcommand)]
pub enum GatewayCommand {
    /// Write a configuration and a secret to begin with
    Init(InitOptions),
    /// Look at everything that the gateway needs, and say what is missing
    Check(ConfigOptions),
    /// Run the gateway
    Serve(ConfigOptions),
    /// Make what people.toml keeps of a password, which is read from standard input
    Verifier,
    /// Say who asked, for what, and why it was decided so
    Explain(ExplainOptions),
    /// Erase a person from the vault, and log it
    Erase(EraseOptions),
    /// Answer an authority's demand for a sample
    Answer(AnswerOptions),
    /// Write a new key for sealed cells, which the data map's `sealed = true` asks for
    SealKey(SealKeyOptions),
    /// Seal what a column holds in the clear, or one value
    Seal(SealOptions),
    /// Ask for access to a case, approve it, review it
    Ticket(TicketOptions),
}

/// Which gateway.
#[derive(Debug, Clone, Args)]
pub struct ConfigOptions {
    /// The gateway's configuration
    #[arg(long, value_name = "FILE", env = "VIGIE_GATEWAY_CONFIG")]
    pub config: PathBuf,
}

/// `vigie gateway init`.
#[derive(Debug, Args)]
pub struct InitOptions {
    /// The folder that is made
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The database that is served
    #[arg(long, value_name = "NAME")]
    pub database: String,
    /// Where the database is: a name or address with a port, or the folder of a Unix socket
    #[arg(long, value_name = "HOST[:PORT]")]
    pub server: String,
    /// Certificates (PEM) of the authorities that vouch for the database; needed unless it is on this machine
    #[arg(long, value_name = "FILE")]
    pub server_ca: Option<PathBuf>,
    /// The name in the data map, of which roles are named [default: that of the database]
    #[arg(long, value_name = "NAME")]
    pub name: Option<vigie_policy::names::MapName>,
}

/// `vigie gateway explain`.
#[derive(Debug, Args)]
pub struct ExplainOptions {
    /// The decision, as clients see it in DETAIL of a denial: 32 hexadecimal digits
    #[arg(value_name = "ID")]
    pub id: String,
    /// Which gateway.
    #[command(flatten)]
    pub gateway: ConfigOptions,
}

/// `vigie access-report`.
#[derive(Debug, Args)]
pub struct ReportOptions {
    /// The person, by the id that the data map's tables have
    #[arg(value_name = "SUBJECT")]
    pub subject: String,
    /// Which gateway.
    #[command(flatten)]
    pub gateway: ConfigOptions,
    /// Write the report and the receipts that prove it to this folder; it must not exist
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `vigie gateway erase`.
#[derive(Debug, Args)]
pub struct EraseOptions {
    /// The person, by the id that the data map's tables have
    #[arg(value_name = "SUBJECT")]
    pub subject: String,
    /// Which gateway.
    #[command(flatten)]
    pub gateway: ConfigOptions,
}

/// `vigie gateway answer`.
#[derive(Debug, Args)]
pub struct AnswerOptions {
    /// The demand, as the authority sent it
    #[arg(value_name = "DEMAND")]
    pub demand: PathBuf,
    /// Which gateway.
    #[command(flatten)]
    pub gateway: ConfigOptions,
    /// The random number that the authority revealed, in hexadecimal
    #[arg(long, value_name = "HEX")]
    pub nonce: String,
    /// The signature of the beacon's round, in hexadecimal
    #[arg(long, value_name = "HEX")]
    pub beacon: String,
    /// The signed head that the demand names [default: the ledger's present one]
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// The folder of the answer; it must not exist
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// `vigie gateway seal-key`.
#[derive(Debug, Args)]
pub struct SealKeyOptions {
    /// The file that is made; it must not exist
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `vigie gateway seal`.
#[derive(Debug, Args)]
pub struct SealOptions {
    /// The column, as the data map names it
    #[arg(value_name = "SCHEMA.TABLE.COLUMN")]
    pub column: String,
    /// Which gateway.
    #[command(flatten)]
    pub gateway: ConfigOptions,
    /// Print the cell of one value instead: that of this person, read from standard input
    #[arg(long, value_name = "ID", allow_hyphen_values = true, conflicts_with = "dry_run")]
    pub subject: Option<String>,
    /// Change nothing, and say how much is in the clear
    #[arg(long)]
    pub dry_run: bool,
    /// The database, as its owner, for instance "host=127.0.0.1 user=postgres dbname=app"; a password is read from PGPASSWORD
    #[arg(long, value_name = "ADDRESS", env = "VIGIE_DATABASE", hide_env_values = true)]
    pub database: Option<String>,
    /// Certificates (PEM) of the authorities that vouch for the database; needed unless it is on this machine
    #[arg(long, value_name = "FILE", env = "VIGIE_DATABASE_CA")]
    pub database_ca: Option<PathBuf>,
}

/// `vigie gateway ticket`.
#[derive(Debug, Args)]
pub struct TicketOptions {
    /// What is to be done with tickets.
    #[command(subcommand)]
    pub command: TicketCommand,
}

/// What can be done with tickets.
#[derive(Debug, Subcommand)]
pub enum TicketCommand {
    /// Ask for access for a purpose to tables, for a while
    Request(RequestOptions),
    /// Approve a ticket; one of emergency needs two, and nobody approves his own
    Approve(ApproveOptions),
    /// Note what a review of an emergency found
    Review(ReviewOptions),
    /// List tickets, and say which reviews are overdue
    List(ListOptions),
}

/// `vigie gateway ticket request`.
#[derive(Debug, Args)]
pub struct RequestOptions {
    /// Who asks, by the id in people.toml
    #[arg(long, value_name = "ID")]
    pub who: String,
    /// For which purpose
    #[arg(long, value_name = "PURPOSE")]
    pub purpose: String,
    /// To which table; may be repeated
    #[arg(long = "table", value_name = "TABLE", required = true)]
    pub tables: Vec<String>,
    /// Why, in 10 characters or more
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// For how many hours: at most 720, in an emergency 24
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=720))]
    pub hours: u32,
    /// It is an emergency: two approvers, an alarm, and a review within 24 hours
    #[arg(long)]
    pub break_glass: bool,
    /// Which gateway.
    #[command(flatten)]
    pub gateway: ConfigOptions,
}

/// `vigie gateway ticket approve`.
#[derive(Debug, Args)]
pub struct ApproveOptions {
    /// The ticket
    #[arg(value_name = "NUMBER")]
    pub ticket: i64,
    /// Who approves
    #[arg(long, value_name = "ID")]
    pub by: String,
    /// Which gateway.
    #[command(flatten)]
    pub gateway: ConfigOptions,
}

/// `vigie gateway ticket review`.
#[derive(Debug, Args)]
pub struct ReviewOptions {
    /// The ticket
    #[arg(value_name = "NUMBER")]
    pub ticket: i64,
    /// Who reviewed
    #[arg(long, value_name = "ID")]
    pub by: String,
    /// What was found
    #[arg(long, value_name = "TEXT")]
    pub note: String,
    /// Which gateway.
    #[command(flatten)]
    pub gateway: ConfigOptions,
}

/// `vigie gateway ticket list`.
#[derive(Debug, Args)]
pub struct ListOptions {
    /// Those that are over, too
    #[arg(long)]
    pub all: bool,
    /// Which gateway.
    #[command(flatten)]
    pub gateway: ConfigOptions,
}
