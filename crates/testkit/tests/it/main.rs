//! The test server, asked by real sockets.

mod client;
mod misbehaving;
mod serving;
