//! Writes a ledger: gives each entry its place, makes it durable, signs heads over it, has them witnessed, publishes.
//!
//! An entry is appended when it is in the write-ahead log and synced ([`Log::append`] promises an index from then on), and
//! published when a checkpoint over it is, cosigned by the witnesses that the log's policy asks for
//! ([`Log::wait_published`]). Both survive the machine's loss of power at any moment.
//!
//! Out of scope: formats, hashing, proofs (`ledger`); what entries mean; following a log that others write (`witness`).
//!
//! In reading order: [`home`] (the folder of a log), [`files`] (each operation on it, so that each can be made to fail),
//! `wal`, `ids`, [`entries`] (what is taken in), `waiting`, [`log`] (the doors), `writer` and `publish` (the threads
//! behind them), `witnesses`, `recovery` (what is checked before anything is signed), [`http`], [`queue`], [`journal`] (all
//! three behind one door, for those who log).
//!
//! # Example
//!
//! ```
//! use vigie_ledger::{TrustPolicy, key::Algorithm};
//! use vigie_sequencer::{Home, Log, Options, Stream};
//!
//! # let folder = tempfile::tempdir()?;
//! let home = Home::new(folder.path().join("accesses"));
//! let key = home.init(&"operator.example/accesses".parse()?, Stream::Opaque, None)?;
//! let log = Log::open(&home, Options::default())?;
//! let appended = log.append(b"first")?.wait()?;
//! log.wait_published(appended.index)?;
//! let receipt = log.receipt(appended.index, None)?;
//! receipt.verify(b"first", &TrustPolicy::of_log(key.verifier().clone()))?;
//! log.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod files;
pub mod home;

mod ids;
mod wal;

pub mod entries;
mod waiting;

pub mod log;

mod publish;
mod recovery;
mod remote;
mod witnesses;
mod writer;

pub mod http;
pub mod queue;

pub mod journal;

pub use entries::{Appended, Batch, Refused};
pub use home::{Home, HomeError, Stream};
pub use log::{AppendError, Log, Options, Published, ReceiptError, Statistics, Stopped, Ticket, Tickets};
pub use publish::FolderSource;
pub use recovery::OpenError;
pub use wal::WalError;

/// Reads the public files of a log through the same file operations that it is written with.
pub fn publish_source(files: std::sync::Arc<dyn files::Files>, home: &Home) -> FolderSource {
    FolderSource::new(files, home.public())
}

/// For the benchmark of memory: what a log of very many events has, without appending them.
#[doc(hidden)]
pub mod measuring {
    use std::{io, path::Path, sync::Arc};

    /// Fills the folder `ids` of a log, which must be empty, with ids that are made up.
    ///
    /// # Errors
    ///
    /// Whatever the file system says.
    pub fn write_ids(ids: &Path, entries: u64) -> io::Result<()> {
        crate::ids::write_made_up(Arc::new(crate::files::SystemFiles), ids, entries)
    }
}
