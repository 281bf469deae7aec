//! What was spent, on which data set, for whom: one line of JSON per release, in order, never changed.
//!
//! Pure: where a line goes is the caller's [`Keep`]; [`Journal`](crate::Journal) is one that keeps it in a file.

use crate::{Rho, Series, wire::Spent};
use std::collections::HashSet;

/// Keeps a line for good.
pub trait Keep {
    /// Why it could not be kept.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Writes a line, which has no line end, and returns when it would survive a loss of power.
    ///
    /// # Errors
    ///
    /// If it cannot be told that it would; it may have been kept.
    fn keep(&mut self, line: &str) -> Result<(), Self::Error>;
}

/// All that was spent.
#[derive(Debug, Clone, Default)]
pub struct Budget {
    spent: Vec<Spent>,
}

/// A line that is no record.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of the budget's journal is no record of a release")]
pub struct LineError {
    /// Which line, counted from 1.
    pub line: usize,
    #[source]
    source: serde_json::Error,
}

/// Whether a period that was paid for may be paid for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// No: the release exists, or its loss must be looked at first.
    Refuse,
    /// Yes: its release was lost before it was published, and another is drawn at full cost.
    SpendAgain,
}

/// A release that was paid for and not drawn yet. It can be drawn from once.
#[derive(Debug)]
pub struct Charge {
    pub(crate) spent: Spent,
}

/// Why a release is not paid for; nothing is drawn then.
#[derive(Debug, thiserror::Error)]
pub enum BudgetError<E: std::error::Error + 'static> {
    /// It would cost more than is left.
    #[error(
        "series `{series}` costs {rho} per release, and of {total} for `{recipient}` on `{dataset}` {left} is left"
    )]
    Exhausted {
        /// The series.
        series: String,
        /// The data set.
        dataset: String,
        /// The recipient.
        recipient: String,
        /// The cost.
        rho: Rho,
        /// The smallest total that any series of the two names.
        total: Rho,
        /// What is left of it.
        left: Rho,
    },
    /// The period was paid for already.
    #[error("series `{series}` was already paid for in period `{period}`")]
    Repeated {
        /// The series.
        series: String,
        /// The period.
        period: String,
    },
    /// The record could not be kept. Here it counts as spent: it may have been.
    #[error("the cost of series `{series}` could not be recorded")]
    NotKept {
        /// The series.
        series: String,
        /// Why.
        #[source]
        source: E,
    },
}

impl Budget {
    /// Reads what was spent, line by line.
    ///
    /// # Errors
    ///
    /// [`LineError`] at the first line that cannot be read: what it spent is unknown, so nothing more may be.
    pub fn parse(lines: &str) -> Result<Self, LineError> {
        let spent = (lines.lines().zip(1..))
            .map(|(text, line)| serde_json::from_str(text).map_err(|source| LineError { line, source }))
            .collect::<Result<_, _>>()?;
        Ok(Self { spent })
    }

    /// Returns all records, oldest first.
    pub fn records(&self) -> &[Spent] {
        &self.spent
    }

    /// Returns what was spent on a data set for a recipient.
    pub fn spent(&self, dataset: &str, recipient: &str) -> Rho {
        self.of(dataset, recipient).fold(Rho::ZERO, |sum, spent| sum.plus(spent.rho))
    }

    /// Returns what was spent on a data set for everybody: what it costs if all recipients put their releases together.
    pub fn spent_together(&self, dataset: &str) -> Rho {
        self.spent.iter().filter(|spent| spent.dataset == dataset).fold(Rho::ZERO, |sum, spent| sum.plus(spent.rho))
    }

    /// Pays for a release of `series` for a period (such as `2026-11`) at a moment that the caller names (RFC 3339), and
    /// keeps the record.
    ///
    /// The total is the smallest that this or any earlier release of the same data set and recipient named: a definition
    /// can lower it, and not raise it again.
    ///
    /// # Errors
    ///
    /// [`BudgetError`]. Where the record may have been kept, the cost counts as spent.
    pub fn charge<K: Keep>(
        &mut self,
        series: &Series,
        period: &str,
        at: &str,
        repeat: Repeat,
        keep: &mut K,
    ) -> Result<Charge, BudgetError<K::Error>> {
        let paid: HashSet<_> = self.spent.iter().map(|spent| (spent.series.as_str(), spent.period.as_str())).collect();
        if repeat == Repeat::Refuse && paid.contains(&(series.name.as_str(), period)) {
            return Err(BudgetError::Repeated { series: series.name.clone(), period: period.to_owned() });
        }
        let total =
            self.of(&series.dataset, &series.recipient).map(|spent| spent.total_rho).fold(series.total_rho, Ord::min);
        let left = total.minus(self.spent(&series.dataset, &series.recipient));
        if series.rho > left {
            return Err(BudgetError::Exhausted {
                series: series.name.clone(),
                dataset: series.dataset.clone(),
                recipient: series.recipient.clone(),
                rho: series.rho,
                total,
                left,
            });
        }
        let spent = Spent::of(series, period, at, self.spent.len() as u64);
        let line = serde_json::to_string(&spent).expect("a record is made of text and finite numbers");
        // If we stop after this, the budget is spent and nothing was drawn.
        self.spent.push(spent.clone());
        keep.keep(&line).map_err(|source| BudgetError::NotKept { series: series.name.clone(), source })?;
        Ok(Charge { spent })
    }

    fn of(&self, dataset: &str, recipient: &str) -> impl Iterator<Item = &Spent> {
        self.spent.iter().filter(move |spent| spent.dataset == dataset && spent.recipient == recipient)
    }
}

impl Charge {
    /// Returns the record of the cost.
    pub fn record(&self) -> &Spent {
        &self.spent
    }
}
