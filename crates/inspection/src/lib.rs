//! Inspection of a site: the plan of visits, and the rules that judge what they recorded.
//!
//! Observing and judging are kept apart. What was observed is [`evidence::Evidence`], plain data; judging it is a pure
//! function that never needs a browser, so that a finding can be derived again by anyone who holds the evidence.

pub mod evidence;

pub mod catalogue;
pub mod classify;
pub mod judge;
pub mod wire;

pub mod export;
pub mod history;
pub mod report;
pub mod summary;

pub mod inspect;

pub mod bundle;
