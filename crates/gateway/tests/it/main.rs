//! The gateway against real PostgreSQL: a whole deployment, clients that nobody here wrote, and those who mean no good.

mod bypass;
mod clients;
mod operator;
mod reading;
mod stage;
mod through;
mod wire;
