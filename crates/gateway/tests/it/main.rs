//! Clients and attacks against real PostgreSQL, and the same through the gateway.

mod bypass;
mod clients;
mod wire;
