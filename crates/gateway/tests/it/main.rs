//! Clients and attacks against real PostgreSQL, and the same through the gateway.

mod clients;
mod reading;
mod stage;
