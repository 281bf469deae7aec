//! A PostgreSQL wire proxy: decides who asks, from where and for what, lets the server enforce it, and accounts for every
//! row before it leaves.
//!
//! Each client gets a connection of its own to the server, logged in as the role of its context: a purpose, a zone, and
//! what was approved. That role can read nothing that the policy does not permit, so a mistake here shows no more than the
//! context may see. What is done here is what the server cannot do: say whose rows left, hold back people who refused a
//! moment ago, replace ids by pseudonyms, protect figures, keep values out of errors, and log it all before it leaves.
//!
//! Out of scope: what is permitted (`policy`), what SQL means (`statement`), what a ledger is (`ledger`).
//!
//! In reading order: [`config`]; [`wire`], [`scram`], [`tls`], [`identity`], [`place`], [`startup`], [`login`] (the
//! protocol, both ways, and who speaks it); [`subject`], [`stop`], [`pseudonym`], [`sealed`], [`scrub`], [`shape`], [`view`], [`copy`],
//! [`aggregate`] (what is done to rows); [`readings`], [`treat`], [`standing`] and [`session`] (statements, and the state
//! of a client); [`accounting`] (entries, before anything leaves); [`pool`], [`control`], [`metrics`], [`gateway`];
//! [`explain`] and [`admin`] (what its operator is told).

pub mod config;

pub mod wire;

pub mod scram;
pub mod tls;

pub mod identity;
pub mod place;
pub mod startup;

pub mod login;

pub mod aggregate;
pub mod copy;
pub mod figures;
pub mod pseudonym;
pub mod scrub;
pub mod sealed;
pub mod shape;
pub mod stop;
pub mod subject;
pub mod view;

pub mod readings;
pub mod session;
pub mod standing;
pub mod treat;

pub mod accounting;

pub mod admin;
pub mod control;
pub mod explain;
pub mod gateway;
pub mod metrics;
pub mod pool;

pub use gateway::{Gateway, GatewayError};
pub use vigie_ledger::in_full;
