//! Demands for a sample: what an authority asks for, which indexes the seed picks, and what a sample of that size shows.
//!
//! Neither side can choose the sample. The authority commits to a random number before it is drawn, and reveals it after;
//! a public beacon, whose round lies after the cosigned head, adds what the authority could not know. The operator cannot
//! guess what will be asked, the authority cannot aim at anyone.
//!
//! # Source
//!
//! Our own protocol; its steps and ten lines of Python that draw the same sample are in `docs/ledger.md`. The number
//! of rows needed follows from the hypergeometric distribution, the bound on what was missed is that of Clopper and
//! Pearson (Biometrika 26, 1934).

use crate::checkpoint::{Checkpoint, decimal};
use crate::hash::Hash;
use crate::key::KeyName;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;
use std::fmt;

const HEADER: &str = "vigie/demand/v1";

/// Most indexes that one demand may ask for.
pub const MAX_SAMPLE: u64 = 1_000_000;

/// What is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Entries of the log.
    Entry,
    /// Rows of its entries.
    Row,
}

/// A round of the drand network: public randomness that nobody knows before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Round(pub u64);

/// What an authority demands. Signed as a note, and logged by its hash (kind 6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// The head from which the sample is drawn.
    pub head: Checkpoint,
    /// What is sampled.
    pub unit: Unit,
    /// First index of the population.
    pub from: u64,
    /// End of the population, excluded.
    pub to: u64,
    /// How many indexes are asked for.
    pub count: u64,
    /// When the answer is due, in seconds since 1970.
    pub deadline: u64,
    /// The beacon's round.
    pub round: Round,
    /// SHA-256 of the authority's random number.
    pub nonce_commit: Hash,
}

/// Why a text is no demand.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DemandError {
    /// A line is not what is expected in its place.
    #[error("line {line} of the demand is not `{expected}`")]
    Line {
        /// Counted from 1.
        line: usize,
        /// The form expected.
        expected: &'static str,
    },
    /// There is more than a demand.
    #[error("the demand goes on after its last line")]
    Beyond,
    /// The range is empty or lies outside of the log.
    #[error(
        "the demand's range from {from} to {to}, the end excluded, is empty or beyond the {size} entries of the log"
    )]
    Range {
        /// First index.
        from: u64,
        /// End, excluded.
        to: u64,
        /// Entries of the log.
        size: u64,
    },
    /// More is asked for than there is, or nothing.
    #[error(
        "the demand asks for {count} of {population}; at least 1, at most all and at most {MAX_SAMPLE} can be drawn"
    )]
    Count {
        /// Indexes asked for.
        count: u64,
        /// Indexes there are.
        population: u64,
    },
}

impl Unit {
    /// Returns the word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Entry => "entry",
            Self::Row => "row",
        }
    }
}

impl Demand {
    /// Checks that the sample can be drawn.
    ///
    /// # Errors
    ///
    /// [`DemandError::Range`] and [`DemandError::Count`]. How many rows the log has is known to whoever reads its last
    /// entry; here, only ranges of entries are compared with the log.
    pub fn validated(self) -> Result<Self, DemandError> {
        let size = self.head.size();
        let (from, to, count) = (self.from, self.to, self.count);
        if from >= to || (self.unit == Unit::Entry && to > size) {
            return Err(DemandError::Range { from, to, size });
        }
        if count == 0 || count > to - from || count > MAX_SAMPLE {
            return Err(DemandError::Count { count, population: to - from });
        }
        Ok(self)
    }

    /// Reads the text of a demand, without signatures.
    ///
    /// # Errors
    ///
    /// [`DemandError`].
    pub fn parse(text: &str) -> Result<Self, DemandError> {
        let mut lines = text.split('\n').enumerate();
        let mut line = |expected: &'static str| {
            let (at, found) = lines.next().unwrap_or((0, ""));
            (found.to_owned(), DemandError::Line { line: at + 1, expected })
        };
        let (header, error) = line("vigie/demand/v1");
        if header != HEADER {
            return Err(error);
        }
        let (origin, error) = line("origin NAME");
        let origin: KeyName = origin.strip_prefix("origin ").and_then(|name| name.parse().ok()).ok_or(error)?;
        let (size, error) = line("size NUMBER");
        let size = size.strip_prefix("size ").and_then(decimal).ok_or(error)?;
        let (root, error) = line("root BASE64");
        let root = root.strip_prefix("root ").and_then(Hash::from_base64).ok_or(error)?;
        let (unit, error) = line("unit entry|row");
        let unit = [Unit::Entry, Unit::Row]
            .into_iter()
            .find(|one| unit.strip_prefix("unit ") == Some(one.name()))
            .ok_or(error)?;
        let (range, error) = line("range FROM TO");
        let range = range.strip_prefix("range ").and_then(|range| range.split_once(' '));
        let (from, to) = range.and_then(|(from, to)| Some((decimal(from)?, decimal(to)?))).ok_or(error)?;
        let (count, error) = line("count NUMBER");
        let count = count.strip_prefix("count ").and_then(decimal).ok_or(error)?;
        let (deadline, error) = line("deadline SECONDS");
        let deadline = deadline.strip_prefix("deadline ").and_then(decimal).ok_or(error)?;
        let (round, error) = line("beacon drand CHAIN ROUND, with the chain of quicknet");
        let round = round.strip_prefix("beacon drand ").and_then(|beacon| beacon.split_once(' '));
        let round =
            round.filter(|(chain, _)| *chain == crate::beacon::QUICKNET_CHAIN).and_then(|(_, round)| decimal(round));
        let round = Round(round.filter(|round| *round > 0).ok_or(error)?);
        let (nonce, error) = line("nonce-commit BASE64");
        let nonce_commit = nonce.strip_prefix("nonce-commit ").and_then(Hash::from_base64).ok_or(error)?;
        if lines.map(|(_, line)| line).collect::<Vec<_>>() != [""] {
            return Err(DemandError::Beyond);
        }
        Self { head: Checkpoint::new(origin, size, root), unit, from, to, count, deadline, round, nonce_commit }
            .validated()
    }

    /// Returns the seed of the sample, once the authority has revealed its number and the beacon's round is out.
    ///
    /// `None` if the number is not the one that the authority committed to. The beacon's signature is taken as verified
    /// ([`crate::beacon::verify`]).
    pub fn seed(&self, nonce: &[u8], beacon_signature: &[u8]) -> Option<Seed> {
        if Hash::of(nonce) != self.nonce_commit {
            return None;
        }
        let digest = Sha256::new()
            .chain_update("vigie/sample/v1\n")
            .chain_update(self.to_string())
            .chain_update(nonce)
            .chain_update(beacon_signature)
            .finalize();
        Some(Seed(digest.into()))
    }

    /// Lists the indexes that the seed picks, in the order in which they are drawn.
    pub fn indexes(&self, seed: &Seed) -> Vec<u64> {
        draw(seed, self.from, self.to, self.count)
    }
}

impl fmt::Display for Demand {
    /// Writes the text that the authority signs.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{HEADER}")?;
        writeln!(formatter, "origin {}", self.head.origin())?;
        writeln!(formatter, "size {}", self.head.size())?;
        writeln!(formatter, "root {}", self.head.root())?;
        writeln!(formatter, "unit {}", self.unit.name())?;
        writeln!(formatter, "range {} {}", self.from, self.to)?;
        writeln!(formatter, "count {}", self.count)?;
        writeln!(formatter, "deadline {}", self.deadline)?;
        writeln!(formatter, "beacon drand {} {}", crate::beacon::QUICKNET_CHAIN, self.round.0)?;
        writeln!(formatter, "nonce-commit {}", self.nonce_commit)
    }
}

/// What decides a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub [u8; 32]);

/// Draws `count` different indexes from `from` to `to`, the end excluded.
///
/// # Panics
///
/// If fewer than `count` can be drawn.
pub fn draw(seed: &Seed, from: u64, to: u64, count: u64) -> Vec<u64> {
    let population = to.checked_sub(from).filter(|population| *population >= count).expect("there are enough indexes");
    let mut drawn = Vec::with_capacity(count as usize);
    let mut seen = HashSet::with_capacity(count as usize);
    // Numbers at or above the largest multiple of the population would favour small indexes: they are passed over.
    let fair = (1_u128 << 64) / u128::from(population.max(1)) * u128::from(population);
    let mut counter = 0_u64;
    while (drawn.len() as u64) < count {
        let mut mac = Hmac::<Sha256>::new_from_slice(&seed.0).expect("HMAC takes keys of any length");
        mac.update(&counter.to_be_bytes());
        counter += 1;
        let digest = mac.finalize().into_bytes();
        let number = u64::from_be_bytes(*digest.first_chunk().expect("SHA-256 has 32 bytes"));
        let index = from + number % population;
        if u128::from(number) < fair && seen.insert(index) {
            drawn.push(index);
        }
    }
    drawn
}

/// Returns how many must be drawn from `population` so that, if at least the share `bad` of it were bad, one bad would
/// be among them with probability `confidence`.
///
/// # Panics
///
/// Unless `bad` and `confidence` lie between 0 and 1, both ends excluded.
pub fn sample_size(population: u64, bad: f64, confidence: f64) -> u64 {
    assert!(bad > 0.0 && bad < 1.0 && confidence > 0.0 && confidence < 1.0, "shares lie between 0 and 1");
    let n_bad = ((population as f64 * bad).ceil() as u64).max(1);
    let miss = (1.0 - confidence).ln();
    let (mut low, mut high) = (0, population.saturating_sub(n_bad) + 1);
    // The smallest sample that misses all bad ones with at most the probability left.
    while low < high {
        let middle = low + (high - low) / 2;
        if ln_all_missed(population, n_bad, middle) <= miss { high = middle } else { low = middle + 1 }
    }
    low
}

/// Returns the logarithm of the probability that a sample of `drawn` misses all of `bad` among `population`.
fn ln_all_missed(population: u64, bad: u64, drawn: u64) -> f64 {
    if drawn > population - bad {
        return f64::NEG_INFINITY;
    }
    // The roles of bad and drawn may be swapped: the shorter product is taken.
    let (few, many) = (bad.min(drawn), bad.max(drawn));
    if few > 100_000 {
        // Beyond, the product is told by its logarithms at the ends; an integral is exact enough (error below 1e-9).
        return ln_falling(population - many, few) - ln_falling(population, few);
    }
    (0..few).map(|at| (-(many as f64) / (population - at) as f64).ln_1p()).sum()
}

/// Returns ln(n · (n-1) · … · (n-k+1)), by Stirling's series.
fn ln_falling(n: u64, k: u64) -> f64 {
    let ln_factorial =
        |n: f64| if n < 1.0 { 0.0 } else { n * n.ln() - n + 0.5 * (std::f64::consts::TAU * n).ln() + 1.0 / (12.0 * n) };
    ln_factorial(n as f64) - ln_factorial((n - k) as f64)
}

/// Returns the largest share of bad ones that is still believable, after `failures` among `drawn`, at a one-sided
/// `confidence`.
///
/// # Panics
///
/// If `failures` is more than `drawn`, nothing was drawn, or `confidence` does not lie between 0 and 1.
///
/// # Source
///
/// Clopper and Pearson 1934: the share at which as few failures or fewer are seen with probability 1 - confidence.
pub fn upper_bound(drawn: u64, failures: u64, confidence: f64) -> f64 {
    assert!(drawn > 0 && failures <= drawn && confidence > 0.0 && confidence < 1.0, "a bound needs a sample");
    if failures == drawn {
        return 1.0;
    }
    let (mut low, mut high) = (failures as f64 / drawn as f64, 1.0);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if at_most(drawn, failures, middle) > 1.0 - confidence { low = middle } else { high = middle }
    }
    high
}

/// Returns the probability of at most `failures` among `drawn`, each with probability `share`.
fn at_most(drawn: u64, failures: u64, share: f64) -> f64 {
    let (ln_bad, ln_good) = (share.ln(), (-share).ln_1p());
    let mut ln_term = drawn as f64 * ln_good;
    let mut terms = vec![ln_term];
    for at in 0..failures {
        ln_term += ((drawn - at) as f64 / (at + 1) as f64).ln() + ln_bad - ln_good;
        terms.push(ln_term);
    }
    let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest.exp() * terms.iter().map(|term| (term - largest).exp()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn demand() -> Demand {
        Demand {
            head: Checkpoint::new("operator.example/accesses".parse().expect("a name"), 5000, Hash([3; 32])),
            unit: Unit::Row,
            from: 10,
            to: 1_000_010,
            count: 299,
            deadline: 1_800_000_000,
            round: Round(1000),
            nonce_commit: Hash::of(b"a number"),
        }
    }

    #[test]
    fn a_demand_is_read_as_written() {
        let text = demand().to_string();
        assert_eq!(Demand::parse(&text), Ok(demand()));
        for (at, line) in text.lines().enumerate() {
            let broken = text.replacen(line, &format!("{line} "), 1);
            assert!(Demand::parse(&broken).is_err(), "line {} with a space", at + 1);
            let missing = text.replacen(&format!("{line}\n"), "", 1);
            assert!(Demand::parse(&missing).is_err(), "without line {}", at + 1);
        }
        assert_eq!(Demand::parse(&format!("{text}more\n")), Err(DemandError::Beyond));
    }

    #[test]
    fn a_demand_for_more_than_there_is_is_refused() {
        let error = |demand: Demand| demand.validated().expect_err("too much").to_string();
        assert_eq!(
            error(Demand { count: 0, ..demand() }),
            "the demand asks for 0 of 1000000; at least 1, at most all and at most 1000000 can be drawn"
        );
        assert!(matches!(Demand { to: 10, ..demand() }.validated(), Err(DemandError::Range { .. })));
        assert!(matches!(Demand { unit: Unit::Entry, ..demand() }.validated(), Err(DemandError::Range { .. })));
        assert!(Demand { unit: Unit::Entry, to: 5000, ..demand() }.validated().is_ok());
    }

    #[test]
    fn only_the_number_committed_to_makes_a_seed() {
        assert!(demand().seed(b"another", b"signature").is_none());
        let seed = demand().seed(b"a number", b"signature").expect("the same number");
        assert_ne!(Some(seed), demand().seed(b"a number", b"another round"));
        assert_ne!(Some(seed), Demand { count: 298, ..demand() }.seed(b"a number", b"signature"));
    }

    #[test]
    fn samples_are_as_large_as_the_table_says() {
        let endless = 1_000_000_000_000;
        for (bad, expected) in [
            (0.1, [22, 29, 44, 66]),
            (0.05, [45, 59, 90, 135]),
            (0.01, [230, 299, 459, 688]),
            (0.005, [460, 598, 919, 1_379]),
            (0.001, [2_302, 2_995, 4_603, 6_905]),
            (0.0001, [23_025, 29_956, 46_050, 69_075]),
        ] {
            assert_eq!(
                [0.9, 0.95, 0.99, 0.999].map(|confidence| sample_size(endless, bad, confidence)),
                expected,
                "{bad}"
            );
        }
        assert_eq!([0.95, 0.99].map(|confidence| sample_size(1000, 0.01, confidence)), [258, 368]);
        assert_eq!(sample_size(1_000_000, 0.000_01, 0.99), 369_041);
        assert_eq!(sample_size(1, 0.5, 0.95), 1);
    }

    #[test]
    fn bounds_are_as_wide_as_the_table_says() {
        let percent = |drawn, failures| (upper_bound(drawn, failures, 0.95) * 10_000.0).round() / 100.0;
        assert_eq!([0, 1, 2].map(|failures| percent(299, failures)), [1.0, 1.58, 2.09]);
        assert_eq!([0, 5].map(|failures| percent(2995, failures)), [0.1, 0.35]);
        assert_eq!(upper_bound(5, 5, 0.95), 1.0);
    }

    proptest! {
        #[test]
        fn a_sample_is_of_the_range_without_repeats(seed: [u8; 32], from in 0_u64..1 << 60, population in 1_u64..2000, part in 1_u64..2000) {
            let count = part.min(population);
            let drawn = draw(&Seed(seed), from, from + population, count);
            prop_assert_eq!(drawn.len() as u64, count);
            prop_assert_eq!(drawn.iter().collect::<HashSet<_>>().len() as u64, count);
            prop_assert!(drawn.iter().all(|index| (from..from + population).contains(index)));
            // A larger sample begins with the smaller one.
            prop_assert_eq!(&draw(&Seed(seed), from, from + population, population)[..count as usize], drawn);
        }
    }
}
