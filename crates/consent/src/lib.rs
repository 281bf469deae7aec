//! Where people say what they choose: the HTTP API that records it, and the banner that asks.
//!
//! Each change is in force in the operator's database ([`vigie_choices`]) and in the ledger, as a commitment, before the
//! answer says that it is done. A change that takes something away is in force first, whatever the ledger does; one that
//! gives is logged first. Who chose gets a receipt that `vigie verify` checks offline.
//!
//! Out of scope: what a choice opens (`policy`, `gateway`); who people are (the operator's tokens say it).
//!
//! In reading order: [`config`], [`banner`] (the script), `callers` (who asks), `rates`, `pool`, [`account`] (ledger and
//! vault), `wire` (what is asked and answered), [`service`] (what is done), [`routes`], [`server`].

pub mod config;

pub mod banner;

mod callers;
mod pool;
mod rates;

pub mod account;

mod wire;

pub mod routes;
pub mod server;
pub mod service;

pub use config::{Config, ConfigError};
pub use service::{OpenError, Service};
