//! What is written: records of costs, and releases.

use crate::{Rho, Series};
use serde::{Deserialize, Serialize};

/// One cost, a line of the budget's journal (`schema = "series-spent/1"`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spent {
    /// The format.
    pub schema: SpentSchema,
    /// Its place in the journal, counted from 0.
    pub number: u64,
    /// When it was recorded, RFC 3339.
    pub at: String,
    /// The series.
    pub series: String,
    /// The data set.
    pub dataset: String,
    /// The recipient.
    pub recipient: String,
    /// The period released.
    pub period: String,
    /// The cost.
    pub rho: Rho,
    /// The total named by the definition at the time.
    pub total_rho: Rho,
    /// How likely a value shows that is there because of one person; 0 if all values are listed.
    pub key_delta: f64,
}

/// The version of [`Spent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpentSchema {
    /// The first.
    #[serde(rename = "series-spent/1")]
    One,
}

impl Spent {
    pub(crate) fn of(series: &Series, period: &str, at: &str, number: u64) -> Self {
        Self {
            schema: SpentSchema::One,
            number,
            at: at.to_owned(),
            series: series.name.clone(),
            dataset: series.dataset.clone(),
            recipient: series.recipient.clone(),
            period: period.to_owned(),
            rho: series.rho,
            total_rho: series.total_rho,
            key_delta: series.key_delta.unwrap_or(0.0),
        }
    }
}

/// A release, as it is published (`schema = "series-release/1"`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The format.
    pub schema: ReleaseSchema,
    /// The record of its cost in the budget's journal.
    pub spent: Spent,
    /// The names of the dimensions.
    pub dimensions: Vec<String>,
    /// What the values are: `persons`, `records`, or the unit of a sum.
    pub unit: String,
    /// How much one person may contribute to a cell; more was cut, so sums of skewed values come out low.
    pub most_per_person: u64,
    /// In how many cells one person may be; further ones were dropped.
    pub cells_per_person: u32,
    /// The noise: always the discrete Gaussian.
    pub mechanism: Mechanism,
    /// Its scale, in units of the values: the standard deviation, but for very small scales.
    pub scale: f64,
    /// Values lie no further than this from the bounded truth in at least 95 of 100 cells.
    pub half_width_95: f64,
    /// If values of a dimension are not listed: only cells with at least this show.
    pub threshold: Option<i64>,
    /// The same cost as ε, at `delta`.
    pub epsilon: f64,
    /// The δ of `epsilon`, without `key_delta`, which comes on top.
    pub delta: f64,
    /// The cells, in the order of their keys. Values are as drawn: below zero where the truth is near it, and cells do not
    /// add up to a total that was released elsewhere.
    pub cells: Vec<Cell>,
}

/// The version of [`Release`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReleaseSchema {
    /// The first.
    #[serde(rename = "series-release/1")]
    One,
}

/// The kind of noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy" (2020), as OpenDP draws it.
    DiscreteGaussian,
}

/// A cell of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// The values of the dimensions.
    pub key: Vec<String>,
    /// The noisy value.
    pub value: i64,
}
