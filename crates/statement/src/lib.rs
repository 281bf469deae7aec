//! Reads what an SQL statement touches and does, with PostgreSQL's own grammar.
//!
//! Out of scope: whether that is permitted (`policy`), and running it (`gateway::session`). PostgreSQL enforces; what is
//! read here only refuses, routes, and adds the columns that say whose rows these are. A mistake here may therefore cost
//! an answer, and never shows a row.
//!
//! A statement this module cannot read is [`Unreadable`], never an empty [`Read`], so that the gate denies what it does
//! not understand. That includes every construct that `walk` does not know by name, though the grammar accepts it.
//!
//! The grammar is C. [`read()`] runs it in this process; a gateway asks a [`worker::Pool`] instead, whose processes may
//! crash on hostile text without taking anybody's session with them. Texts that differ only in literals share a
//! [`mod@skeleton`], so that most are not parsed at all.
//!
//! All of this is true only of texts in UTF-8 read with `standard_conforming_strings = on`: whoever lets a client change
//! either must not believe a word of it.
//!
//! In reading order: [`reading`] (what is found), [`mod@read`] and `walk` (how), `refusal` (what is always refused),
//! [`edit`] (rewriting a text without touching the rest of it), [`aggregate`] (the grammar of statistics), [`mod@skeleton`]
//! and [`worker`] (doing it quickly, and safely).
//!
//! # Example
//!
//! ```
//! use vigie_statement::{Statement, read};
//!
//! let reading = read("SELECT u.email FROM users u JOIN visits USING (id) WHERE visits.day = $1")?;
//! let [Statement::Read(it)] = reading.statements.as_slice() else { panic!("one statement that reads") };
//! assert_eq!(it.relations.iter().map(|relation| relation.name.as_str()).collect::<Vec<_>>(), ["users", "visits"]);
//! assert_eq!(it.n_parameters, 1);
//! # Ok::<(), vigie_statement::Unreadable>(())
//! ```

pub mod reading;

pub mod read;
mod refusal;
mod walk;

pub mod aggregate;
pub mod edit;
pub mod skeleton;
pub mod worker;

pub use aggregate::{AggregateQuery, NotAggregate};
pub use edit::{Appended, Edit};
pub use read::read;
pub use reading::{MAX_STATEMENT_BYTES, Place, Read, Reading, Relation, Statement, Unreadable, Write};
pub use skeleton::{Skeleton, skeleton};

#[cfg(test)]
mod tests;
