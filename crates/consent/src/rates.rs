//! How often somebody may ask: a bucket a caller, filled as time passes.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

/// Callers that are remembered at most; with more, those whose buckets are full are forgotten, then all.
const MOST: usize = 100_000;

/// Buckets of one kind of callers.
#[derive(Debug)]
pub(crate) struct Rates {
    per_minute: f64,
    buckets: Mutex<HashMap<[u8; 32], Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Rates {
    pub(crate) fn new(per_minute: u32) -> Self {
        Self { per_minute: per_minute.into(), buckets: Mutex::default() }
    }

    /// Takes one request from a caller's bucket, or says how long to wait for it.
    pub(crate) fn take(&self, caller: [u8; 32], now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().expect("nobody panics with the buckets in hand");
        if buckets.len() >= MOST && !buckets.contains_key(&caller) {
            buckets.retain(|_, bucket| self.left(bucket, now) < self.per_minute);
            if buckets.len() >= MOST {
                buckets.clear();
            }
        }
        let bucket = buckets.entry(caller).or_insert(Bucket { left: self.per_minute, at: now });
        *bucket = Bucket { left: self.left(bucket, now), at: now };
        if bucket.left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - bucket.left) * 60.0 / self.per_minute));
        }
        bucket.left -= 1.0;
        Ok(())
    }

    fn left(&self, bucket: &Bucket, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        (bucket.left + passed * self.per_minute / 60.0).min(self.per_minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_too_often_waits_and_others_do_not() {
        let (rates, start) = (Rates::new(60), Instant::now());
        for _ in 0..60 {
            rates.take([1; 32], start).unwrap();
        }
        let wait = rates.take([1; 32], start).unwrap_err();
        assert!(wait > Duration::from_millis(990) && wait <= Duration::from_secs(1), "{wait:?}");
        rates.take([2; 32], start).unwrap();
        rates.take([1; 32], start + wait).unwrap();
        assert!(rates.take([1; 32], start + wait).is_err());
    }
}
