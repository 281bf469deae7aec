//! Observing a site: the visits, the search for the least clicks, and what is written down of them.
//!
//! Out of scope: judging (`judge`). Everything here ends in an [`crate::evidence::Evidence`].
//!
//! In reading order: [`plan`] says what is to be done; [`tour`] is one visit with its pictures and samples; [`mod@look`]
//! sees the banner; [`moves`] says what a person could click next; `effect` tells what a click did; [`search`] finds
//! the least clicks; [`scenes`] plays the scenarios; `machine` describes the machine; `names` asks for aliases; [`run`] does it all, side by side and within the time limit.

pub mod disclosures;
mod effect;
pub mod look;
mod machine;
pub mod moves;
mod names;
pub mod plan;
pub mod run;
pub mod scenes;
pub mod search;
pub mod tour;

pub use plan::{Plan, Progress};
pub use run::{Observed, inspect};
