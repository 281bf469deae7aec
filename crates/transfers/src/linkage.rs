//! What two datasets share, without either side showing its values or its keys to the other (SH-11).
//!
//! Each side hashes its values to points of a curve and multiplies them by a secret number of its own; the other side
//! multiplies again. Whoever multiplied twice, in whichever order, has the same point for the same value, and nobody can
//! go back without both numbers. What is shared is then counted, and held against what chance would give.
//!
//! Out of scope: whether values are spelled alike; they are trimmed and put in lower case, no more.
//!
//! # Source
//!
//! Meadows, "A more efficient cryptographic matchmaking protocol" (IEEE S&P 1986); Huberman, Franklin, Hogg 1999. The
//! group is Ristretto255 (RFC 9496).

use crate::field::keyed;
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity as _;
use std::collections::BTreeSet;

/// What files of points begin with.
const HEADER: &str = "vigie/linkage/v1";

/// A side's secret number.
pub struct Secret(Scalar);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How often points were multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// By their own side alone.
    Once,
    /// By both.
    Twice,
}

/// The values of a side, as points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Points {
    /// How often they were multiplied.
    pub stage: Stage,
    /// The points; sorted, so that their order says nothing.
    pub points: BTreeSet<[u8; 32]>,
}

/// Why a text is no list of points.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum NotPoints {
    /// It does not begin as such lists do.
    #[error("it does not begin with `{HEADER} once` or `{HEADER} twice`")]
    Header,
    /// A line is no point.
    #[error("line {0} is no point")]
    Line(usize),
    /// Both sides are needed, each once.
    #[error("the points were multiplied by both sides already")]
    Twice,
    /// Both sides are needed, each once.
    #[error("the points were multiplied by one side only")]
    Once,
}

/// What two datasets share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Linkage {
    /// Values of the one.
    pub first: u64,
    /// Values of the other.
    pub second: u64,
    /// Values of both.
    pub shared: u64,
    /// How many would be shared by chance.
    pub by_chance: f64,
    /// The probability that chance alone gives as many or more; an upper bound.
    pub probability: f64,
}

impl Secret {
    /// Derives the number from 32 random bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(Scalar::from_bytes_mod_order_wide(&wide(bytes, "vigie/linkage/secret/v1", &[])))
    }

    /// Multiplies the points of values: what goes to the other side.
    pub fn blind<'v>(&self, values: impl IntoIterator<Item = &'v str>) -> Points {
        let point = |value: &str| {
            let spelled = value.trim().to_lowercase();
            (!spelled.is_empty()).then(|| {
                let point =
                    RistrettoPoint::from_uniform_bytes(&wide(b"", "vigie/linkage/value/v1", spelled.as_bytes()));
                (self.0 * point).compress().to_bytes()
            })
        };
        Points { stage: Stage::Once, points: values.into_iter().filter_map(point).collect() }
    }

    /// Multiplies the other side's points.
    ///
    /// # Errors
    ///
    /// [`NotPoints::Twice`], and [`NotPoints::Line`] for what is no point of the group.
    pub fn again(&self, points: &Points) -> Result<Points, NotPoints> {
        if points.stage == Stage::Twice {
            return Err(NotPoints::Twice);
        }
        let again = |(line, bytes): (usize, &[u8; 32])| {
            let point = CompressedRistretto(*bytes).decompress().filter(|point| !point.is_identity());
            point.map(|point| (self.0 * point).compress().to_bytes()).ok_or(NotPoints::Line(line))
        };
        let points = (2..).zip(&points.points).map(again).collect::<Result<_, _>>()?;
        Ok(Points { stage: Stage::Twice, points })
    }
}

/// Returns 64 bytes that follow from a key, a label and a value.
fn wide(key: &[u8], label: &str, value: &[u8]) -> [u8; 64] {
    let key: [u8; 32] = keyed_any(key, label);
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&keyed(&key, "0", value));
    bytes[32..].copy_from_slice(&keyed(&key, "1", value));
    bytes
}

fn keyed_any(key: &[u8], label: &str) -> [u8; 32] {
    keyed(&vigie_ledger::Hash::of(key).0, label, &[])
}

impl Points {
    /// Reads a list of points.
    ///
    /// # Errors
    ///
    /// [`NotPoints`]. Whether they are in the group is seen when they are multiplied.
    pub fn parse(text: &str) -> Result<Self, NotPoints> {
        let mut lines = text.lines();
        let stage = match lines.next().and_then(|line| line.strip_prefix(HEADER)) {
            Some(" once") => Stage::Once,
            Some(" twice") => Stage::Twice,
            _ => return Err(NotPoints::Header),
        };
        let point = |(number, line): (usize, &str)| {
            let hash = vigie_ledger::Hash::from_base64(line);
            hash.map(|hash| hash.0).ok_or(NotPoints::Line(number))
        };
        Ok(Self { stage, points: (2..).zip(lines).map(point).collect::<Result<_, _>>()? })
    }

    /// Counts what two sides share, of `population` values that each could have been drawn from.
    ///
    /// # Errors
    ///
    /// [`NotPoints::Once`], unless both sides multiplied both.
    pub fn compare(&self, other: &Self, population: u64) -> Result<Linkage, NotPoints> {
        if self.stage == Stage::Once || other.stage == Stage::Once {
            return Err(NotPoints::Once);
        }
        let (first, second) = (self.points.len() as u64, other.points.len() as u64);
        let shared = self.points.intersection(&other.points).count() as u64;
        let by_chance = first as f64 * second as f64 / population.max(1) as f64;
        Ok(Linkage { first, second, shared, by_chance, probability: at_least(shared, by_chance) })
    }
}

impl std::fmt::Display for Points {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stage = match self.stage {
            Stage::Once => "once",
            Stage::Twice => "twice",
        };
        writeln!(f, "{HEADER} {stage}")?;
        self.points.iter().try_for_each(|point| writeln!(f, "{}", vigie_ledger::Hash(*point)))
    }
}

/// Bounds the probability that `shared` or more are shared, where `mean` are by chance.
///
/// # Source
///
/// Chernoff's bound: for draws without replacement it holds too (Hoeffding, JASA 58, 1963, section 6).
fn at_least(shared: u64, mean: f64) -> f64 {
    let shared = shared as f64;
    if shared <= mean {
        return 1.0;
    }
    if mean == 0.0 {
        return 0.0;
    }
    (shared - mean - shared * (shared / mean).ln()).exp().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
        range.map(|number| format!("+33 {number:09}")).collect()
    }

    fn compared(first: &[String], second: &[String], population: u64) -> Linkage {
        let (one, other) = (Secret::new(&[1; 32]), Secret::new(&[2; 32]));
        let sent = one.blind(first.iter().map(String::as_str)).to_string();
        let returned = other.blind(second.iter().map(String::as_str)).to_string();
        let parse = |text: &str| Points::parse(text).expect("as written");
        let ours = other.again(&parse(&sent)).expect("once");
        let theirs = one.again(&parse(&returned)).expect("once");
        parse(&ours.to_string()).compare(&theirs, population).expect("twice")
    }

    #[test]
    fn what_is_shared_is_counted_and_held_against_chance() {
        let linked = compared(&numbers(0..300), &numbers(200..500), 1_000_000);
        assert_eq!((linked.first, linked.second, linked.shared), (300, 300, 100));
        assert!(linked.by_chance < 0.1 && linked.probability < 1e-100, "{linked:?}");
        let apart = compared(&numbers(0..300), &numbers(300..600), 1_000_000);
        assert_eq!((apart.shared, apart.probability), (0, 1.0));
        // Half of everybody and half of everybody share a quarter: that is chance.
        let halves = compared(&numbers(0..200), &numbers(100..300), 400);
        assert_eq!((halves.shared, halves.probability), (100, 1.0));
    }

    #[test]
    fn what_one_side_sends_tells_nothing_without_the_other_number() {
        let values = numbers(0..50);
        let by = |seed: u8| Secret::new(&[seed; 32]).blind(values.iter().map(String::as_str));
        assert_eq!(by(1).points.intersection(&by(2).points).count(), 0);
        assert_eq!(by(1), Secret::new(&[1; 32]).blind(values.iter().rev().map(String::as_str)), "nor does the order");
        assert_eq!(by(1).compare(&by(2), 100), Err(NotPoints::Once));
        let twice = Secret::new(&[2; 32]).again(&by(1)).expect("once");
        assert_eq!(Secret::new(&[3; 32]).again(&twice), Err(NotPoints::Twice));
        assert_eq!(Points::parse("vigie/linkage/v1 once\nnothing\n"), Err(NotPoints::Line(2)));
        let no_point = Points { stage: Stage::Once, points: [[0xff; 32]].into() };
        assert_eq!(Secret::new(&[3; 32]).again(&no_point), Err(NotPoints::Line(2)));
    }
}
