//! Choices in a real PostgreSQL.

mod fixture;
mod masks;
