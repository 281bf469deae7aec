//! Aggregates: what a reader gets who may count people but not see them.
//!
//! A statement of an aggregate context never reaches the server as it was written. `statement` takes it apart, [`Plan::of`]
//! checks the parts against the [`Rules`] and writes a new one that also asks, per cell, what is needed to protect it; and
//! the server's rows go through [`Plan::transform`], which withholds or perturbs before anything leaves.
//!
//! What protects a cell, in the order in which it is applied:
//! 1. **One person counts once.** The server first sums per person, then over persons. So the number of contributors is
//!    exact, and the largest contribution of one of them is known.
//! 2. **Threshold.** Fewer than `minimum` contributors: withheld, always. The step at which cells begin to show is itself
//!    drawn per cell between `minimum` and `minimum + 4 × bound`, so that it cannot be used to ask for one person.
//! 3. **Dominance.** If one person makes up more than a given share of a sum, that sum is withheld.
//! 4. **Cell-key noise** ([`CellKeys`]). The same question about the same persons has the same noise: asking again teaches
//!    nothing. It grows with the largest contribution, so that joining or summing cannot lift a person above it.
//! 5. **Rounding** of counts, if asked for.
//!
//! Cells that are withheld are not shown with their values of the dimensions: that somebody exists there, say with an
//! illness, is what must not be learned. One closing row marked `c` ends every grouped answer, whether or not anything was
//! withheld, because whether something was is the same secret.
//!
//! What this does not do. There is no secondary suppression: for free questions nobody can list the margins to derive a
//! cell from, so the noise is what stands between two answers that differ by one person, and a [`Budget`] between a reader
//! and the many pairs he would need to average it away. Cells do not add up to their totals. Noise is bounded, so this is
//! not differential privacy; series that are published or leave the country use `series`, which is.
//!
//! How much that is, for somebody who knows everybody in a cell but one, and has even odds about him (default noise; exact
//! from the two distributions): 2 questions make him right 61 times of 100, 20 questions in ever other words 78 times, 100
//! questions 89 times. Without noise 2 questions make him right always. Hence budgets of tens of questions a day rather than
//! hundreds where the data are sensitive.
//!
//! What remains: who dominates a sum can be seen by its being withheld, and how large the largest contribution is, roughly,
//! by the noise; and if only one person's data change between two days, the same question tells that they did.

mod binary;
mod budget;
mod cells;
mod figures;
mod noise;
mod plan;
mod read;
mod rules;
#[cfg(test)]
mod tests;

pub use budget::{Budget, BudgetError, Spent};
pub use cells::{Cell, Cells, CellsError, Row, RowError, Shown};
pub use figures::Figures;
pub use noise::{CellKeys, NoiseTable, NoiseTableError};
pub use plan::{Output, OutputType, Plan};
pub use rules::{
    ColumnName, ColumnUse, Dimension, Direction, Function, Measure, Number, Order, OutputOf, PerPerson, Query, Refusal,
    Relation, Rules, RulesError, Subject, SubjectType, Table,
};
