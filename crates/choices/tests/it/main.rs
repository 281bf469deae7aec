//! Choices in a real PostgreSQL.

mod fixture;
mod installation;
mod masks;
mod model;
mod record;
mod sessions;
mod tickets;
