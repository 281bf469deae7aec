//! Noise in two layers: one that depends on who is in a cell, one on how it was asked for; on nothing else.
//!
//! The cell-key method of statistical offices gives every record a random key, adds the keys of a cell up, and looks the
//! sum up in a table of perturbations. Here the server adds up an unkeyed hash of the ids of the cell's persons, and the
//! gateway turns that sum into a draw by HMAC with a secret which never enters the database. So who can read the database
//! cannot compute the noise, and gateways that share the secret agree on it. What is hashed are persons, each once, not
//! records: however often a join repeats a person, the same persons get the same draw. This layer does not average out.
//!
//! Alone it would tell too much: of two questions that differ by one person, equal answers would mean that he is in
//! neither, and unequal ones, always, that he is in one. Therefore a second draw depends on the words of the question and
//! the cell's values. It averages out over questions that say the same in other words; a reader's budget bounds those.

use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

/// The weights of a [`NoiseTable`] add up to this.
const WHOLE: u64 = 1 << 32;

/// The table of perturbations: which whole number is added to a count by one layer, and how often. Both layers use it, so
/// the noise of a count has twice its variance and twice its bound.
///
/// Of all distributions over `-bound..=bound` with mean 0 and the given variance it is the one with most entropy, weights
/// proportional to exp(-λ z²). It is symmetric in whole numbers, so its mean is exactly 0.
///
/// # Source
///
/// Giessing, "Computational Issues in the Design of Transition Probabilities and Disclosure Risk Estimation for Additive
/// Noise" (PSD 2016), and the ESSnet handbook on Statistical Disclosure Control, chapter 5: tables of maximum entropy under
/// a bound and a variance. Their further constraints for small counts are not needed here, where small counts never show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoiseTable {
    /// Weights of 1, 2, … `bound`, and the same for the negative; the rest of [`WHOLE`] is the weight of 0.
    sides: Vec<u64>,
}

/// A table that cannot be made.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum NoiseTableError {
    /// The bound is out of range.
    #[error("noise of at most {0} persons was asked for, expected 1 to 100")]
    Bound(u8),
    /// No such distribution exists.
    #[error("noise within ±{bound} cannot have variance {variance}, expected more than 0 and at most {most}")]
    Variance {
        /// The variance asked for.
        variance: f64,
        /// The bound asked for.
        bound: u8,
        /// That of the uniform distribution; beyond it zero would be rarer than the bound.
        most: f64,
    },
}

impl NoiseTable {
    /// Makes the table with a variance (persons squared) and a bound (persons).
    ///
    /// # Errors
    ///
    /// [`NoiseTableError`] if the bound is 0 or above 100, or the variance not between 0 and that of the uniform distribution.
    pub fn new(variance: f64, bound: u8) -> Result<Self, NoiseTableError> {
        if !(1..=100).contains(&bound) {
            return Err(NoiseTableError::Bound(bound));
        }
        let most = f64::from(bound) * (f64::from(bound) + 1.0) / 3.0;
        if !(variance > 0.0 && variance <= most) {
            return Err(NoiseTableError::Variance { variance, bound, most });
        }
        // The variance falls as λ grows, from that of the uniform distribution towards 0.
        let (mut low, mut high) = (0.0_f64, 64.0_f64);
        for _ in 0..200 {
            let middle = f64::midpoint(low, high);
            let (squares, total) = moments(middle, bound);
            if squares / total > variance {
                low = middle;
            } else {
                high = middle;
            }
        }
        let (_, total) = moments(high, bound);
        let weight = |z: u8| ((-high * f64::from(z).powi(2)).exp() / total * WHOLE as f64) as u64;
        Ok(Self { sides: (1..=bound).map(weight).collect() })
    }

    /// Returns the table without noise: thresholds alone, which two questions that differ by one person undo.
    pub fn none() -> Self {
        Self { sides: Vec::new() }
    }

    /// Returns the default table, or the widest that keeps counts of at least `minimum` persons above zero: bound below
    /// half of it, variance at most two thirds of that of the uniform distribution.
    pub fn for_minimum(minimum: u32) -> Self {
        let bound = (minimum.saturating_sub(1) / 2).clamp(1, 4) as u8;
        let most = f64::from(bound) * (f64::from(bound) + 1.0) / 3.0;
        Self::new((most * 2.0 / 3.0).min(2.0), bound).expect("it is below the variance of the uniform distribution")
    }

    /// Returns the largest perturbation, in persons.
    pub fn bound(&self) -> u32 {
        self.sides.len() as u32
    }

    /// Returns the variance of the table as it is, in persons squared.
    pub fn variance(&self) -> f64 {
        let squares: f64 = (1_u32..).zip(&self.sides).map(|(z, weight)| f64::from(z * z) * *weight as f64).sum();
        2.0 * squares / WHOLE as f64
    }

    /// Returns how likely a perturbation is.
    pub fn probability(&self, z: i32) -> f64 {
        let weight = match z.unsigned_abs() {
            0 => WHOLE - 2 * self.sides.iter().sum::<u64>(),
            size => self.sides.get(size as usize - 1).copied().unwrap_or(0),
        };
        weight as f64 / WHOLE as f64
    }

    fn pick(&self, uniform: u32) -> i32 {
        let mut left = u64::from(uniform);
        for (z, weight) in (1..).zip(&self.sides) {
            for signed in [z, -z] {
                if left < *weight {
                    return signed;
                }
                left -= weight;
            }
        }
        0
    }
}

impl Default for NoiseTable {
    /// Variance 2 within ±4, per layer.
    fn default() -> Self {
        Self::new(2.0, 4).expect("2 lies between 0 and 20/3")
    }
}

/// The sum of z² exp(-λ z²), and of exp(-λ z²), over the whole range.
fn moments(lambda: f64, bound: u8) -> (f64, f64) {
    (1..=bound).fold((0.0, 1.0), |(squares, total), z| {
        let square = f64::from(z).powi(2);
        let weight = 2.0 * (-lambda * square).exp();
        (squares + square * weight, total + weight)
    })
}

/// One draw: a whole number for counts of persons, and the same number spread evenly around itself for magnitudes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Draw {
    /// From the table.
    pub whole: i32,
    /// `whole` plus an even spread over [-1/2, 1/2). A contribution of 50 is hidden by 50 times this; with multiples of 50
    /// alone, what a total leaves when divided by 50 would come through unperturbed.
    pub spread: f64,
}

/// What a draw is for; draws of different purposes are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose<'a> {
    /// Where the threshold lies.
    Threshold,
    /// Every count, of persons or records. One draw for all: counting the same persons in different words gives no second.
    Count,
    /// The sum of a column (its table and name). Sums have draws of their own, so that a column whose sum is known to the
    /// reader does not tell the draw of another.
    Sum(&'a str),
    /// The sum of squares of a column.
    Squares(&'a str),
}

/// The secret that turns the persons of a cell into its noise.
#[derive(Clone)]
pub struct CellKeys {
    keyed: Hmac<Sha256>,
}

impl std::fmt::Debug for CellKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("CellKeys(secret)")
    }
}

impl CellKeys {
    /// Takes the secret, which all gateways of a deployment share and which must not lie in the database. With another
    /// secret all noise is drawn anew, so changing it gives readers a second answer to every question.
    pub fn new(secret: &[u8; 32]) -> Self {
        let mut keyed = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
        keyed.update(b"vigie cell key 1\0");
        Self { keyed }
    }

    /// Draws for a cell: by its persons, and by the question with the cell's values.
    pub(super) fn draw(
        &self,
        table: &NoiseTable,
        purpose: Purpose<'_>,
        persons: Persons<'_>,
        question: &Question,
    ) -> Draw {
        let (kind, column): (&[u8], &str) = match purpose {
            Purpose::Threshold => (b"threshold", ""),
            Purpose::Count => (b"count", ""),
            Purpose::Sum(column) => (b"sum", column),
            Purpose::Squares(column) => (b"squares", column),
        };
        let uniform = |layer: &[&[u8]]| {
            let mut keyed = self.keyed.clone();
            for part in [&[kind, column.as_bytes()], layer].concat() {
                keyed.update(&(part.len() as u64).to_be_bytes());
                keyed.update(part);
            }
            let digest = keyed.finalize().into_bytes();
            let (first, rest) = digest.split_first_chunk::<4>().expect("SHA-256 gives 32 bytes");
            let second = rest.first_chunk::<4>().expect("28 are left");
            (table.pick(u32::from_be_bytes(*first)), u32::from_be_bytes(*second))
        };
        let (by_persons, one) = uniform(&[b"persons", &persons.n.to_be_bytes(), persons.sum.as_bytes()]);
        let (by_question, other) = uniform(&[b"question", &question.0]);
        if table.sides.is_empty() {
            return Draw { whole: 0, spread: 0.0 };
        }
        let whole = by_persons + by_question;
        let even = f64::from(one.wrapping_add(other)) / WHOLE as f64;
        Draw { whole, spread: f64::from(whole) + even - 0.5 }
    }
}

/// Who is in a cell: how many, and what their hashes add up to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Persons<'a> {
    pub n: u64,
    pub sum: &'a str,
}

/// A digest of a question, or of a question and one cell's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question([u8; 32]);

impl Question {
    /// Of parts in their order; a part may be nothing.
    pub fn of<'a>(parts: impl IntoIterator<Item = Option<&'a [u8]>>) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            // Nothing is told from any length.
            digest.update(part.map_or(u64::MAX, |part| part.len() as u64).to_be_bytes());
            digest.update(part.unwrap_or_default());
        }
        Self(digest.finalize().into())
    }

    /// Of this question and the values of a cell.
    pub fn cell(&self, values: &[Option<&[u8]>]) -> Self {
        Self::of([Some(self.0.as_slice())].into_iter().chain(values.iter().copied()))
    }
}
