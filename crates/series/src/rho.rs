//! The cost of a release, counted exactly: budgets are added up for years, and binary fractions do not add up.

use std::{fmt, str::FromStr};

/// A cost in zero-concentrated differential privacy (ρ), in billionths.
///
/// # Source
///
/// Bun and Steinke, "Concentrated Differential Privacy" (TCC 2016), definition 1.1 and lemma 1.7: costs of releases about
/// the same persons add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Rho(u64);

/// Text that is no cost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no cost; expected a decimal above 0 and at most 1000, with at most 9 digits after the point, such as \"0.05\""
)]
pub struct RhoError(String);

const BILLION: u64 = 1_000_000_000;

impl Rho {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Returns the sum, or the largest cost there is.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Returns what is left of this after `other`, or nothing if that is more.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Returns the cost as a number, for formulas; rounded to the nearest.
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / BILLION as f64
    }
}

impl FromStr for Rho {
    type Err = RhoError;

    fn from_str(text: &str) -> Result<Self, RhoError> {
        let error = || RhoError(text.to_owned());
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || whole.len() > 4 || fraction.len() > 9 {
            return Err(error());
        }
        let whole: u64 = whole.parse().map_err(|_| error())?;
        let fraction: u64 = format!("{fraction:0<9}").parse().map_err(|_| error())?;
        let rho = whole * BILLION + fraction;
        if rho == 0 || rho > 1000 * BILLION { Err(error()) } else { Ok(Self(rho)) }
    }
}

impl fmt::Display for Rho {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:09}", self.0 / BILLION, self.0 % BILLION);
        formatter.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl serde::Serialize for Rho {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Rho {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
