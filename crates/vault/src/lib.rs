//! Keeps what commitments open to: sealed records, found by event and by person, erasable, and durable before anybody
//! relies on them.
//!
//! A ledger holds commitments; a vault, beside it and private, holds what they commit to: who read, why, and whose data,
//! row by row. [`Vault::append`] promises a record from the moment that its ticket says so; [`Vault::find`] and
//! [`Vault::about`] give it back, as openings that `vigie_ledger::opening` checks; [`Vault::erase`] makes sure that no
//! opening of a person's rows can ever be made again, while all others still can.
//!
//! Out of scope: the ledger itself (`ledger`, `sequencer`); what headers and templates say (`gateway`, `transfers`); where
//! the key comes from.
//!
//! In reading order: `hashing` and `salts` (what a row costs), [`rows`], [`record`], `seal` (keys), [`segment`] and
//! `index` (files), [`doors`], `writer` and `erasure` (what happens behind them). Formats: `docs/vault.md`.

mod hashing;
mod salts;

pub mod record;
pub mod rows;

mod index;
mod seal;
pub mod segment;

pub mod doors;
mod erasure;
mod writer;

pub use doors::{AppendError, Found, OpenError, Options, Stopped, Ticket, Vault};
pub use erasure::{EraseError, Erased};
pub use record::{NotARecord, Record};
pub use rows::{Form, NotOpened, RowList, RowRefused, Rows};
pub use seal::KeyEncryptionKey;
pub use segment::FileError;
