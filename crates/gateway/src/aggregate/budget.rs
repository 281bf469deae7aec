//! How much a reader may ask: the bound on averaging many answers that overlap.
//!
//! Where it is kept is another's matter (in the operator's database, so that gateways beside one another share it).

use std::future::Future;

/// What is left after a question was paid for, or that it cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// Paid; this much is left of the day.
    Left(u32),
    /// Not paid, and nothing was taken: only this much was left.
    Exhausted {
        /// What is left of the day, less than was asked for.
        left: u32,
    },
}

/// Why the budget could not be asked; the question is then denied.
#[derive(Debug, thiserror::Error)]
#[error("the budget of questions could not be asked")]
pub struct BudgetError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Counts what readers ask of a data set per day.
pub trait Budget {
    /// Takes `cost` (see [`Plan::cost`](super::Plan::cost)) from what `reader` may ask of `dataset` on `day`, counted in
    /// days since 1 January 1970 UTC, before the question goes to the server. All or nothing.
    ///
    /// # Errors
    ///
    /// [`BudgetError`] if it cannot be told whether it was taken. The caller denies; it may have been taken.
    fn spend(
        &self,
        reader: &str,
        dataset: &str,
        day: u32,
        cost: u32,
    ) -> impl Future<Output = Result<Spent, BudgetError>> + Send;
}
