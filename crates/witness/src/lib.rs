//! The eyes on a log: reading one over HTTP or from a folder, keeping a checked copy, and cosigning its heads.
//!
//! Both sides use this room: an operator serves and is asked, a supervisor follows, mirrors and cosigns. It never writes a
//! log, and it believes nothing that it has not rehashed; what is to be believed is `ledger`'s affair, bytes and durability
//! are here.
//!
//! Out of scope: appending (`sequencer`), judging what the entries say (`oversight`).
//!
//! In reading order: [`source`] (where files come from), [`mirror`] (a checked copy of a log), [`state`] (what was
//! cosigned, durably), [`server`] (the witness protocol), [`files`] (a log's files over HTTP, and a page to look at it).

pub mod mirror;
pub mod source;

pub mod server;
pub mod state;

pub mod files;

mod durable;

/// Writes each on a line of its own.
fn in_lines<T: std::fmt::Display>(items: &[T]) -> String {
    use std::fmt::Write as _;
    items.iter().fold(String::new(), |mut text, item| {
        writeln!(text, "{item}").expect("a string takes everything");
        text
    })
}
