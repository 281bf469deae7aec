//! The stop set: whose rows may not leave, for which purpose, although the database would still return them.
//!
//! PostgreSQL shows a running query the rows of its snapshot. An open cursor or a `REPEATABLE READ` transaction therefore
//! goes on returning people who have refused meanwhile; only the gateway can stop those rows, one by one, at once.
//!
//! The surprise: a stop set that is not known to be fresh stops everything. [`StopSet::is_fresh`] is asked before rows
//! leave.

use std::{
    collections::HashMap,
    sync::{RwLock, RwLockReadGuard},
    time::{Duration, Instant},
};

/// One change of the stop set, as the database tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its place in the order of changes.
    pub seq: i64,
    /// The bit of the purpose; `None` for all.
    pub purpose: Option<u8>,
    /// Whose rows, by the id's text form; `None` for everybody's.
    pub subject: Option<Vec<u8>>,
    /// Stopped, or no longer.
    pub stopped: bool,
}

/// Who is stopped.
#[derive(Debug, Default)]
pub struct Stopped {
    everybody: u64,
    people: HashMap<Box<[u8]>, u64>,
    seq: i64,
    seen: Option<Instant>,
}

/// The stop set of a gateway, shared by its sessions.
#[derive(Debug)]
pub struct StopSet {
    stopped: RwLock<Stopped>,
    max_age: Duration,
}

const UNPOISONED: &str = "nobody panics with the stop set in hand";

impl Stopped {
    /// Tells whether rows of this person may not leave for the purpose of this bit.
    pub fn stops(&self, subject: &[u8], bit: u8) -> bool {
        let bit = 1_u64 << bit;
        self.everybody & bit != 0
            || (!self.people.is_empty() && self.people.get(subject).is_some_and(|stopped| stopped & bit != 0))
    }

    /// Tells whether anybody at all is stopped for the purpose of this bit.
    pub fn is_idle(&self, bit: u8) -> bool {
        self.everybody & (1 << bit) == 0 && self.people.is_empty()
    }

    fn apply(&mut self, change: &Change) {
        let mask = change.purpose.map_or(u64::MAX, |bit| 1 << bit);
        match &change.subject {
            None if change.stopped => self.everybody |= mask,
            None => self.everybody &= !mask,
            Some(subject) if change.stopped => *self.people.entry(subject.as_slice().into()).or_default() |= mask,
            Some(subject) => {
                if let Some(stopped) = self.people.get_mut(subject.as_slice()) {
                    *stopped &= !mask;
                    if *stopped == 0 {
                        self.people.remove(subject.as_slice());
                    }
                }
            }
        }
        self.seq = self.seq.max(change.seq);
    }
}

impl StopSet {
    /// Makes an empty stop set, which is not fresh. What was heard of longer ago than `max_age` is not believed.
    pub fn new(max_age: Duration) -> Self {
        Self { stopped: RwLock::default(), max_age }
    }

    /// Returns who is stopped, for looking up the rows of one batch. Do not wait for anything with it in hand.
    pub fn read(&self) -> RwLockReadGuard<'_, Stopped> {
        self.stopped.read().expect(UNPOISONED)
    }

    /// Tells whether the database was heard of recently enough to let rows leave.
    pub fn is_fresh(&self) -> bool {
        self.read().seen.is_some_and(|seen| seen.elapsed() <= self.max_age)
    }

    /// Returns the place of the last change that was applied; 0 before any.
    pub fn seq(&self) -> i64 {
        self.read().seq
    }

    /// Returns how many people are stopped for something.
    pub fn n_people(&self) -> usize {
        self.read().people.len()
    }

    /// Applies changes in their order. That they are all there are until `asked` makes the set fresh as of then.
    pub fn apply(&self, changes: &[Change], asked: Instant) {
        let mut stopped = self.stopped.write().expect(UNPOISONED);
        changes.iter().for_each(|change| stopped.apply(change));
        stopped.seen = Some(asked);
    }

    /// Forgets everything and takes these changes for all there are, as of `asked`.
    pub fn replace(&self, changes: &[Change], asked: Instant) {
        let mut fresh = Stopped::default();
        changes.iter().for_each(|change| fresh.apply(change));
        fresh.seen = Some(asked);
        *self.stopped.write().expect(UNPOISONED) = fresh;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(seq: i64, purpose: Option<u8>, subject: Option<&[u8]>, stopped: bool) -> Change {
        Change { seq, purpose, subject: subject.map(<[u8]>::to_vec), stopped }
    }

    #[test]
    fn a_set_that_was_never_heard_of_is_not_fresh() {
        let set = StopSet::new(Duration::from_secs(60));
        assert!(!set.is_fresh());
        set.apply(&[], Instant::now());
        assert!(set.is_fresh());
        let stale = StopSet::new(Duration::ZERO);
        stale.apply(&[], Instant::now());
        assert!(!stale.is_fresh());
    }

    #[test]
    fn stops_are_by_person_and_purpose() {
        let set = StopSet::new(Duration::from_secs(60));
        set.apply(&[change(1, Some(3), Some(b"17"), true), change(2, None, Some(b"18"), true)], Instant::now());
        let stops = |subject: &[u8], bit| set.read().stops(subject, bit);
        assert!(stops(b"17", 3) && !stops(b"17", 4) && stops(b"18", 0) && stops(b"18", 62) && !stops(b"1", 3));
        set.apply(&[change(3, Some(3), Some(b"17"), false), change(4, Some(5), None, true)], Instant::now());
        assert!(!stops(b"17", 3) && stops(b"99", 5));
        assert_eq!((set.seq(), set.n_people()), (4, 1));
        set.replace(&[change(9, Some(1), Some(b"2"), true)], Instant::now());
        assert!(!stops(b"99", 5) && !stops(b"18", 0) && stops(b"2", 1));
    }
}
