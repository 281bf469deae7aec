//! Releases scheduled aggregate series with differential privacy, and keeps the budget that they use up.
//!
//! A [`Series`] says what is published for whom, how much one person may contribute to it, and what that may cost. Its
//! [`statement`](Series::statement) bounds contributions inside the database; [`Budget`] records the cost of a release before
//! anything is drawn; and [`release`] draws, by OpenDP's discrete Gaussian, and says how exact the result is.
//!
//! The order is kept by types: [`release`] takes the [`Charge`] that only a recorded cost gives. If the program stops in
//! between, the budget is spent and nothing was published; it is never the other way round.
//!
//! The unit of privacy is a person, whose data may be wholly there or wholly absent (add or remove). What is not covered:
//! the dimensions' listed values, the parameters and the times of release, which are all public.
//!
//! Out of scope: free questions (`gateway::aggregate`); running the statement; publishing.

mod budget;
mod definition;
mod journal;
mod release;
mod rho;
#[cfg(test)]
mod tests;
pub mod wire;

pub use budget::{Budget, BudgetError, Charge, Keep, LineError, Repeat};
pub use definition::{DefinitionError, Dimension, Limit, Measure, Schema, Series, SubjectType, Values};
pub use journal::{Journal, JournalError};
pub use release::{Exact, ReleaseError, release};
pub use rho::{Rho, RhoError};
