//! What can be said to `vigie policy`.

use clap::{Args, Subcommand};
use std::path::PathBuf;
use vigie_policy::names::{Country, Entity, Group, MapName};

/// `vigie policy`.
#[derive(Debug, Args)]
pub struct PolicyOptions {
    /// What is to be done with the policy.
    #[command(subcommand)]
    pub command: PolicyCommand,
}

/// What can be done with a policy.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Draft a data map from a live database, for a person to correct
    Init(InitOptions),
    /// Compile a policy, and say everything that is wrong with it
    Check(FolderOptions),
    /// Print who may do what, as a table
    Table(TableOptions),
    /// Say what a change of the policy widens and narrows
    Diff(DiffOptions),
    /// Decide about one who asks, and say why
    Decide(DecideOptions),
    /// Look for what undermines the data map in a live database
    Lint(LiveOptions),
    /// Make a live database enforce the policy, in one transaction
    Apply(ApplyOptions),
    /// Say where a live database differs from the policy
    Drift(LiveOptions),
}

/// Which database.
#[derive(Debug, Clone, Args)]
pub struct DatabaseArguments {
    /// The database, for instance "host=127.0.0.1 user=postgres dbname=app"; a password is read from PGPASSWORD
    #[arg(long, value_name = "ADDRESS", env = "VIGIE_DATABASE", hide_env_values = true)]
    pub database: String,
    /// Certificates (PEM) of the authorities that vouch for the database; needed unless it is on this machine
    #[arg(long, value_name = "FILE", env = "VIGIE_DATABASE_CA")]
    pub database_ca: Option<PathBuf>,
}

/// `vigie policy init`.
#[derive(Debug, Args)]
pub struct InitOptions {
    /// The name of the deployment; roles will be called vigie_NAME_…
    #[arg(value_name = "NAME")]
    pub name: MapName,
    /// Which database.
    #[command(flatten)]
    pub database: DatabaseArguments,
}

/// A folder of policy.
#[derive(Debug, Args)]
pub struct FolderOptions {
    /// The folder with `map.toml`, `zones.toml` and `policies/*.cedar`
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// `vigie policy table`.
#[derive(Debug, Args)]
pub struct TableOptions {
    /// The folder with `map.toml`, `zones.toml` and `policies/*.cedar`
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// As Markdown
    #[arg(long)]
    pub markdown: bool,
}

/// `vigie policy diff`.
#[derive(Debug, Args)]
pub struct DiffOptions {
    /// The folder of the policy in force
    #[arg(value_name = "OLD")]
    pub old: PathBuf,
    /// The folder of the policy proposed
    #[arg(value_name = "NEW")]
    pub new: PathBuf,
}

/// `vigie policy decide`.
#[derive(Debug, Args)]
pub struct DecideOptions {
    /// The folder with `map.toml`, `zones.toml` and `policies/*.cedar`
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// What the reader says he needs the data for
    #[arg(long, value_name = "PURPOSE")]
    pub purpose: Option<String>,
    /// The reader's legal entity
    #[arg(long, value_name = "NAME")]
    pub entity: Entity,
    /// The reader's country (ISO 3166-1)
    #[arg(long, value_name = "CODE")]
    pub country: Country,
    /// A group of the reader; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    pub groups: Vec<Group>,
    /// His training is current
    #[arg(long)]
    pub training: bool,
    /// He has a valid ticket, approved by somebody else
    #[arg(long)]
    pub ticket: bool,
    /// It is an emergency, with two approvers
    #[arg(long)]
    pub break_glass: bool,
}

/// `vigie policy lint` and `vigie policy drift`.
#[derive(Debug, Args)]
pub struct LiveOptions {
    /// The folder with `map.toml`, `zones.toml` and `policies/*.cedar`
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Which database.
    #[command(flatten)]
    pub database: DatabaseArguments,
}

/// `vigie policy apply`.
#[derive(Debug, Args)]
pub struct ApplyOptions {
    /// The folder with `map.toml`, `zones.toml` and `policies/*.cedar`
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The gateways' secret, 32 bytes in hexadecimal: the passwords of roles follow from it
    #[arg(long, value_name = "FILE", required_unless_present = "dry_run")]
    pub secret_file: Option<PathBuf>,
    /// Change nothing, and print the SQL
    #[arg(long)]
    pub dry_run: bool,
    /// Which database.
    #[command(flatten)]
    pub database: DatabaseArguments,
}
