//! Shares with their denominators and intervals, and medians. Pure.

/// So many of so many. The denominator is part of the number: there is no share without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// Those of which it is true.
    pub n: usize,
    /// Those of which it is known whether it is true.
    pub of: usize,
}

impl Share {
    /// Counts answers; those that are not known are left out of the denominator.
    pub fn count(answers: impl IntoIterator<Item = Option<bool>>) -> Self {
        let mut share = Self::default();
        for answer in answers.into_iter().flatten() {
            share.n += usize::from(answer);
            share.of += 1;
        }
        share
    }

    /// Returns the share, 0 to 1; `None` of nothing.
    pub fn value(self) -> Option<f64> {
        (self.of > 0).then(|| self.n as f64 / self.of as f64)
    }

    /// Returns the 95 % interval of the share in what the sites are a sample of; `None` of nothing.
    ///
    /// # Source
    ///
    /// E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American
    /// Statistical Association 22 (1927), pages 209 to 212; without correction for continuity.
    pub fn interval(self) -> Option<(f64, f64)> {
        let (p, n) = (self.value()?, self.of as f64);
        let z2 = Z * Z;
        let center = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
        let half = Z / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
        // At the ends the formula gives 0 and 1 but for the last bit.
        let low = if self.n == 0 { 0.0 } else { (center - half).max(0.0) };
        let high = if self.n == self.of { 1.0 } else { (center + half).min(1.0) };
        Some((low, high))
    }
}

/// The quantile of the normal distribution that leaves 2.5 % above it.
const Z: f64 = 1.959_963_984_540_054;

/// Returns the median; of an even number of values, the middle between the two in the middle. `None` of nothing.
pub fn median(values: impl IntoIterator<Item = u32>) -> Option<f64> {
    let mut values: Vec<u32> = values.into_iter().collect();
    values.sort_unstable();
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(f64::from(values[middle])),
        _ => Some(f64::midpoint(f64::from(values[middle - 1]), f64::from(values[middle]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn intervals_are_those_of_wilson() {
        // Checked against statsmodels 0.15.0, `proportion_confint(n, of, method="wilson")`.
        let check = |n, of, low: f64, high: f64| {
            let (found_low, found_high) = Share { n, of }.interval().unwrap();
            assert!(
                (found_low - low).abs() < 5e-5 && (found_high - high).abs() < 5e-5,
                "{n}/{of}: {found_low} {found_high}"
            );
        };
        check(8, 10, 0.4902, 0.9433);
        check(0, 10, 0.0, 0.2775);
        check(10, 10, 0.7225, 1.0);
        check(1, 1, 0.2065, 1.0);
        check(50, 100, 0.4038, 0.5962);
        check(263, 1000, 0.236_657, 0.291_157);
        assert_eq!(Share::default().interval(), None);
    }

    #[test]
    fn what_is_not_known_is_not_counted() {
        assert_eq!(Share::count([Some(true), None, Some(false), Some(true)]), Share { n: 2, of: 3 });
    }

    #[test]
    fn medians_are_the_middle() {
        let check = |values: &[u32], expected| assert_eq!(median(values.iter().copied()), expected);
        check(&[], None);
        check(&[3], Some(3.0));
        check(&[5, 1, 2], Some(2.0));
        check(&[4, 1, 2, 1], Some(1.5));
    }

    proptest! {
        #[test]
        fn an_interval_holds_its_share_and_narrows_with_more_sites(n in 0_usize..500, more in 0_usize..500) {
            let share = Share { n, of: n + more };
            if let (Some(value), Some((low, high))) = (share.value(), share.interval()) {
                prop_assert!(0.0 <= low && low <= value && value <= high && high <= 1.0);
                let (wide_low, wide_high) = (low, high);
                let (low, high) = Share { n: n * 10, of: (n + more) * 10 }.interval().unwrap();
                prop_assert!(high - low < wide_high - wide_low);
            }
        }
    }
}
