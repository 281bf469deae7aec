//! Numbers that look drawn and never change: a stream for each person and subject, from a seed.

/// What a stream of numbers is for; each is independent of the others, so that one more payment moves no event.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stream {
    Person = 1,
    Videos = 2,
    Events = 3,
    Messages = 4,
    Payments = 5,
}

/// A stream of numbers (SplitMix64).
///
/// # Source
///
/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014). Not for secrets.
#[derive(Debug, Clone)]
pub(super) struct Draw {
    state: u64,
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Draw {
    /// The stream of a person.
    pub(super) fn new(seed: u64, stream: Stream, person: i64) -> Self {
        let mut draw = Self { state: seed };
        draw.state = draw.number().wrapping_add(stream as u64);
        draw.state = draw.number().wrapping_add(person.cast_unsigned());
        draw
    }

    /// Any number.
    pub(super) fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `end`, without `end`, which is not 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.number()) * u128::from(end)) >> 64) as u64
    }

    /// Whether something that happens so many times in a thousand happens now.
    pub(super) fn in_a_thousand(&mut self, times: u64) -> bool {
        self.below(1000) < times
    }

    /// A number from 0 to 1, without 1.
    pub(super) fn fraction(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number of a power law (Pareto): at least `least`, at most `most`, and the heavier in the tail the smaller `shape`.
    pub(super) fn power_law(&mut self, least: f64, shape: f64, most: f64) -> u64 {
        let drawn = least / (1.0 - self.fraction()).powf(1.0 / shape);
        drawn.min(most) as u64
    }

    /// One of several.
    pub(super) fn one_of<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    /// One of several, by weight.
    pub(super) fn weighted<'a, T>(&mut self, from: &'a [(T, u64)]) -> &'a T {
        let mut left = self.below(from.iter().map(|(_, weight)| weight).sum());
        for (value, weight) in from {
            if left < *weight {
                return value;
            }
            left -= weight;
        }
        unreachable!("less than the sum of the weights was drawn")
    }
}
