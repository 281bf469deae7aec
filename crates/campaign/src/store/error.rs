//! Why a campaign cannot be opened, run or read, in one sentence each.

use crate::settings::Differing;
use std::path::{Path, PathBuf};

/// Why a campaign cannot be opened, run or read.
#[derive(Debug, thiserror::Error)]
pub enum CampaignError {
    /// There is none.
    #[error("`{}` holds no campaign", .folder.display())]
    Missing {
        /// The folder.
        folder: PathBuf,
    },
    /// Another program runs it.
    #[error("the campaign in `{}` is being run by {}", .folder.display(), holder(.pid.as_ref()))]
    Held {
        /// The folder.
        folder: PathBuf,
        /// The other program's process, if it said so.
        pid: Option<u32>,
    },
    /// It was started with other settings.
    #[error("the campaign in `{}` was started with other settings: {}", .folder.display(), listed(.differing))]
    Settings {
        /// The folder.
        folder: PathBuf,
        /// Which, and how they differ.
        differing: Vec<Differing>,
    },
    /// It was made by a later version of this program.
    #[error("`{}` has version {found}; this build reads version {known}", .path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The version that is known.
        known: i64,
    },
    /// A folder or file that cannot be written.
    #[error("`{}` cannot be written: {why}", .path.display())]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// The database fails.
    #[error("the campaign's database `{}` cannot be used", .path.display())]
    Store {
        /// Which.
        path: PathBuf,
        /// How.
        #[source]
        source: rusqlite::Error,
    },
    /// What is stored is not what this program stores.
    #[error("the campaign's database `{}` holds something unexpected: {why}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What.
        why: String,
    },
    /// A page could not be put together, which would be a mistake of ours.
    #[error("the summary could not be put together")]
    Page(#[source] askama::Error),
    /// A table could not be exported.
    #[error("the table `{table}` could not be exported to `{}`: {why}", .path.display())]
    Export {
        /// The table.
        table: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

impl CampaignError {
    /// Returns the way out, if there is one.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Missing { .. } => Some("name the folder given to `vigie campaign run` as `--out`"),
            Self::Held { .. } => Some("wait for it, or end it; what it has finished is kept"),
            Self::Settings { .. } => {
                Some("leave the options out, start another campaign in another folder, or say `--adopt-settings`")
            }
            Self::Newer { .. } => Some("use the version of the program that made it, or a later one"),
            Self::Unwritable { .. } | Self::Export { .. } => Some("name another folder"),
            Self::Store { .. } | Self::Unreadable { .. } | Self::Page(_) => None,
        }
    }
}

fn holder(pid: Option<&u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

fn listed(differing: &[Differing]) -> String {
    differing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Returns the system's words without the number that Rust adds.
pub(crate) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

pub(super) fn unreadable(path: &Path, why: &dyn std::fmt::Display) -> CampaignError {
    CampaignError::Unreadable { path: path.to_owned(), why: why.to_string() }
}
