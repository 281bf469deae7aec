//! A client's session.

pub mod engine;
