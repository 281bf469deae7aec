//! The gateway against real PostgreSQL: a whole deployment, clients that nobody here wrote, and those who mean no good.

mod bypass;
mod clients;
mod closed;
mod engine;
mod kill;
mod machine;
mod names;
mod operator;
mod oracle;
mod pseudonyms;
mod raw;
mod reading;
mod sealed;
mod stage;
mod stops;
mod through;
mod wire;
