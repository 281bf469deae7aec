//! Finds the consent surface in a page snapshot and says what its controls, switches and texts are.
//!
//! Pure: a [`vigie_domain::PageSnapshot`] goes in, a [`model::Detection`] comes out, the same today and in ten years.
//! No site and no consent tool is known by name: evidence is words of the [`Lexicon`], what is drawn, and structure.
//!
//! In reading order: `view` says what a person sees, `marks` counts signs of consent over the page, `candidates` says
//! where a surface may be, `assess` whether it is one, `controls` and `switches` what is in it.

mod text;

mod language;
mod lexicon;
mod reading;
mod view;

mod labels;
mod look;
mod marks;

mod controls;
mod describe;
mod switches;

mod assess;
mod candidates;
mod cmp;
mod preference;
mod reopen;

mod detect;
pub mod model;

pub use detect::{detect, preference_page, probe_points, reopeners};
pub use lexicon::{Lexicon, LexiconError};
pub use model::{Control, Detection, Look, Nature, Place, Rejected, Role, Shape, Statements, Surface, Switch};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
