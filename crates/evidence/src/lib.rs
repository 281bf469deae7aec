//! Bundles: what was captured, hashed, signed and unaltered, in a form that tools nobody here wrote can read.
//!
//! A bundle is a WACZ file: a WARC with the exchanges, an index, a list of pages, records of the caller's, a signed list of
//! all that, and timestamps. This room writes, reads and verifies bundles; it knows nothing of banners, browsers or
//! findings. `docs/evidence.md` tells what a bundle proves, and how to check one without this program.
//!
//! Out of scope: what the records mean (`inspection`), and who may be believed.
//!
//! In reading order: what is handed over ([`exchange`]), how large things may be ([`limits`]), the forms (`container`,
//! `warc`, `http`, `index`, `package`), the key ([`key`]), writing ([`writer`]), reading ([`bundle`], [`records`]),
//! checking ([`verify()`], [`report`]), and time ([`timestamp`]).
//!
//! # Example
//!
//! ```
//! use vigie_evidence::{Expected, Key, Options, Roots, Writer, verify};
//!
//! let folder = tempfile::tempdir()?;
//! let key = Key::load_or_create(&folder.path().join("signing-key.pem"))?;
//! let created = "2026-11-22T10:15:00Z".parse()?;
//! let options = Options { software: "example 1".to_owned(), created, timestamp: Expected::NotExpected };
//!
//! let path = folder.path().join("example.wacz");
//! let mut writer = Writer::create(&path, options)?;
//! writer.page("https://example.org/", "Example", created)?;
//! writer.member("vigie/note.txt", &b"seen"[..])?;
//! writer.finish(&key)?;
//!
//! let report = verify(&path, &Roots::default())?;
//! assert!(report.is_sound());
//! assert_eq!(report.facts.signed_by, Some(key.fingerprint()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod exchange;
pub mod limits;

mod container;
mod http;
mod index;
mod package;
mod warc;

pub mod key;
pub mod writer;

pub mod bundle;
pub mod records;

pub mod report;
pub mod timestamp;
mod verify;

#[cfg(test)]
mod tests;

pub use bundle::{Bundle, ReadError, gzip};
pub use exchange::{Body, Exchange, Outcome, Payload, Request, Response, Source};
pub use key::{Key, KeyError};
pub use package::Expected;
pub use records::{HttpHead, Record, RecordError, Records, read_http_head};
pub use report::{Facts, Problem, Report, Stamp, TimestampState, Trust};
pub use timestamp::Roots;
pub use verify::verify;
pub use writer::{Finished, Options, WriteError, Writer};
