//! How fast it goes, by the last hundred ends.

use crate::schedule::Moment;
use std::{collections::VecDeque, time::Duration};

const REMEMBERED: usize = 100;

/// The last ends.
#[derive(Debug, Default)]
pub struct Pace {
    ends: VecDeque<Moment>,
}

impl Pace {
    /// Notes an end.
    pub fn finished(&mut self, at: Moment) {
        if self.ends.len() == REMEMBERED {
            self.ends.pop_front();
        }
        self.ends.push_back(at);
    }

    /// Returns the ends per hour, and how long so many more take; `None` before the second end.
    pub fn rate(&self, open: usize) -> (Option<f64>, Option<Duration>) {
        let (Some(first), Some(last)) = (self.ends.front(), self.ends.back()) else { return (None, None) };
        let ms = first.until(*last).as_millis();
        if ms == 0 {
            return (None, None);
        }
        let per_hour = (self.ends.len() - 1) as f64 * 3_600_000.0 / ms as f64;
        (Some(per_hour), Some(Duration::from_secs_f64((open as f64 / per_hour * 3600.0).min(1e9))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_hundred_ends() {
        let mut pace = Pace::default();
        assert_eq!(pace.rate(10), (None, None));
        pace.finished(Moment(0));
        assert_eq!(pace.rate(10), (None, None));
        (1..=200).for_each(|n| pace.finished(Moment(n * 10_000)));
        assert_eq!(pace.rate(10), (Some(360.0), Some(Duration::from_secs(100))));
        // It slows down, and what is long ago no longer counts.
        (1..=100).for_each(|n| pace.finished(Moment(2_000_000 + n * 60_000)));
        assert_eq!(pace.rate(0).0, Some(60.0));
    }
}
