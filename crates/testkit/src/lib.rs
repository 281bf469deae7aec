//! What tests stand on: fixture sites with known truth, served to a real browser over both protocols.
//!
//! [`SiteServer`] answers for every host on one loopback port: the folders of `fixtures/sites/`, stubs of
//! [`trackers`], and hosts that a test programs. [`hostile`] is a set of such hosts that do what the worst of the web
//! does. [`expected`] is the truth of a fixture site, in one format. [`demo`] is the sample platform, which the
//! product itself serves too; so nothing here panics, and what fails says why. [`postgres`] is a server of a test's own, and
//! [`platform_database`] what the sample platform would have stored.

mod server;

mod answer;
mod connection;
mod routing;
mod sites;
pub mod trackers;

pub mod certificates;
pub mod demo;
pub mod expected;
pub mod hostile;
pub mod platform_database;
pub mod postgres;

pub use answer::{Answer, AnswerBody, Handler, Request};
pub use connection::TlsFault;
pub use routing::{AnsweredBy, Served};
pub use server::{SiteServer, SiteServerBuilder, StartError};
