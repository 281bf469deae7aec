//! Finds the consent surface in a page snapshot and says what its controls, switches and texts are.
//!
//! Pure: a [`vigie_domain::PageSnapshot`] goes in, a [`model::Detection`] comes out, the same today and in ten years.

pub mod model;

pub use model::{Control, Detection, Look, Nature, Place, Rejected, Role, Shape, Statements, Surface, Switch};
