//! The API over HTTP, on a real PostgreSQL, a real ledger and a real vault.

mod callers;
mod choosing;
mod fixture;
mod judge;
mod limits;
