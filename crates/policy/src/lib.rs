//! Decides who may read what, where and for which purpose: a data map and Cedar policies in, contexts and the SQL that enforces them out.
//!
//! All decisions fall when policies are compiled, over the finite set of purposes, zones, conditions, actions, classes and
//! residencies. What is not permitted there is denied; a policy that fails denies where it fails.
//!
//! Out of scope: files, the clock, any database (`database` connects, reads the catalog and applies), and everything that
//! happens while rows flow (`gateway`).
//!
//! In reading order: [`names`], [`map`] and [`zone`] (what is given); [`rights`], [`compiled`] and [`decide`] (what may be
//! done); [`catalog`], [`sql`], [`drift`] and [`lint`] (the database); [`table`], [`diff`] and [`draft`] (for people).

pub mod names;

mod document;
pub mod map;
pub mod zone;

mod cedar;
pub mod compiled;
pub mod decide;
mod reads;
pub mod rights;

pub mod catalog;
pub mod sql;

pub mod drift;
pub mod lint;

pub mod diff;
pub mod draft;
pub mod table;

pub use compiled::{CompileError, CompileErrors, Compiled, Condition, Conditions, Context, compile};
pub use decide::{Asker, Decision};
pub use map::DataMap;
pub use rights::{Action, Actions, Rights, Role, RoleKind};
pub use zone::{Facts, Zones};
