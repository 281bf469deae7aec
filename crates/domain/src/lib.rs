//! The nouns of Vigie: what inspectors, platforms and courts talk about, as types.
//!
//! Nothing here touches the world: no clock, no file, no network. Values go in and out, so that a judgement made
//! from them today can be made again from the recorded evidence years later.
//!
//! In reading order: what people chose ([`choice`]), for which [`purpose`], which [`rule`] speaks of it and what a
//! [`finding`] says; then what is observed of a site: the [`scenario`] that was played, the [`page`] as a person saw
//! it, and the [`record`] of everything that happened during a visit.

pub mod choice;
pub mod finding;
pub mod page;
pub mod purpose;
pub mod record;
pub mod rule;
pub mod scenario;

pub use choice::{Choice, Layer};
pub use finding::{EvidenceRef, Finding, Verdict};
pub use page::{Node, NodeId, PageSnapshot, Rect};
pub use purpose::Purpose;
pub use record::{Event, EventKind, VisitRecord};
pub use rule::{Certainty, Rule, RuleId, Severity};
pub use scenario::Scenario;
