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
//!
//! # Example
//!
//! ```
//! use vigie_policy::{Asker, DataMap, Facts, Zones, compile, sql::objects};
//!
//! let map = DataMap::parse(include_str!("../../../fixtures/policy/map.toml"))?;
//! let zones = Zones::parse(include_str!("../../../fixtures/policy/zones.toml"))?;
//! let fraud = include_str!("../../../fixtures/policy/policies/fraud.cedar");
//! let compiled = compile(map, zones, &[("fraud".parse()?, fraud.to_owned())])?;
//!
//! let facts = Facts {
//!     entity: "Pixelle Ireland Ltd".parse()?,
//!     country: "IE".parse()?,
//!     groups: ["fraud".parse()?].into(),
//!     training: true,
//! };
//! let asker = Asker { facts, purpose: Some("fraud-prevention".into()), ticket: false, break_glass: false };
//! let decision = compiled.decide(&asker);
//! assert!(decision.is_permit());
//! assert_eq!(decision.detail(), "permitted by policy `fraud-eu`");
//!
//! let sql = objects(&compiled).to_sql(&|role| format!("the verifier of {role}"));
//! assert!(sql.contains("FORCE ROW LEVEL SECURITY"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod names;

pub mod document;
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
