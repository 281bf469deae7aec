//! The test server, asked by real sockets.

mod client;
mod fixtures;
mod misbehaving;
mod serving;
