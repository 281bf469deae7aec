//! The stop set: whose rows may not leave, for which purpose, although the database would still return them.
//!
//! PostgreSQL shows a running query the rows of its snapshot. An open cursor or a `REPEATABLE READ` transaction therefore
//! goes on returning people who have refused meanwhile; only the gateway can stop those rows, one by one, at once.
//!
//! Out of scope: where changes come from (`control`), and when the database lets somebody out of the set (`choices`).
//!
//! The surprises: a stop set that is not known to be fresh stops everything ([`StopSet::is_fresh`]). And who leaves the set
//! is let through only in statements that began afterwards: rows that are on their way may be older than that.

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
    /// Whose rows, by the id's text form; `None` for everybody's.
    pub subject: Option<Vec<u8>>,
    /// The bits of the purposes that are stopped from now on, instead of those before.
    pub bits: u64,
}

/// Bits that were stopped until a change.
#[derive(Debug, Clone, Copy)]
struct Left {
    bits: u64,
    seq: i64,
    at: Instant,
}

/// Who is stopped.
#[derive(Debug, Default)]
pub struct Stopped {
    everybody: u64,
    everybody_left: Vec<Left>,
    people: HashMap<Box<[u8]>, u64>,
    left: HashMap<Box<[u8]>, Vec<Left>>,
    seq: i64,
    seen: Option<Instant>,
}

/// The stop set of a gateway, shared by its sessions.
#[derive(Debug)]
pub struct StopSet {
    stopped: RwLock<Stopped>,
    max_age: Duration,
    longest_statement: Duration,
}

const UNPOISONED: &str = "nobody panics with the stop set in hand";

impl Stopped {
    /// Tells whether rows of this person may not leave for the purpose of this bit, in a statement that began when
    /// `since` was the place of the last change.
    #[inline]
    pub fn stops(&self, subject: &[u8], bit: u8, since: i64) -> bool {
        let bit = 1_u64 << bit;
        let later = |left: &[Left]| left.iter().any(|left| left.seq > since && left.bits & bit != 0);
        self.everybody & bit != 0
            || later(&self.everybody_left)
            || (!self.people.is_empty() && self.people.get(subject).is_some_and(|stopped| stopped & bit != 0))
            || (!self.left.is_empty() && self.left.get(subject).is_some_and(|left| later(left)))
    }

    /// Returns the place of the last change that was applied; 0 before any.
    pub fn seq(&self) -> i64 {
        self.seq
    }

    fn apply(&mut self, change: &Change, now: Instant) {
        let seq = change.seq;
        let (before, left) = match &change.subject {
            None => (std::mem::replace(&mut self.everybody, change.bits), &mut self.everybody_left),
            Some(subject) => {
                let before = match change.bits {
                    0 => self.people.remove(subject.as_slice()),
                    bits => self.people.insert(subject.as_slice().into(), bits),
                };
                let bits = before.unwrap_or(0);
                if bits & !change.bits == 0 {
                    self.seq = self.seq.max(seq);
                    return;
                }
                (bits, self.left.entry(subject.as_slice().into()).or_default())
            }
        };
        if before & !change.bits != 0 {
            left.push(Left { bits: before & !change.bits, seq, at: now });
        }
        self.seq = self.seq.max(seq);
    }

    fn forget(&mut self, before: Instant) {
        self.everybody_left.retain(|left| left.at >= before);
        self.left.retain(|_, left| {
            left.retain(|left| left.at >= before);
            !left.is_empty()
        });
    }
}

impl StopSet {
    /// Makes an empty stop set, which is not fresh. What was heard of longer ago than `max_age` is not believed; no
    /// statement lasts longer than `longest_statement`.
    pub fn new(max_age: Duration, longest_statement: Duration) -> Self {
        Self { stopped: RwLock::default(), max_age, longest_statement }
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
        changes.iter().for_each(|change| stopped.apply(change, asked));
        if let Some(before) = asked.checked_sub(self.longest_statement) {
            stopped.forget(before);
        }
        stopped.seen = Some(asked);
    }

    /// Takes the whole set, as of `asked`: whoever is in the set and not among these has left it.
    pub fn replace(&self, everybody: u64, people: &[(Vec<u8>, u64)], seq: i64, asked: Instant) {
        let mut stopped = self.stopped.write().expect(UNPOISONED);
        let now: HashMap<&[u8], u64> = people.iter().map(|(subject, bits)| (subject.as_slice(), *bits)).collect();
        let gone: Vec<Vec<u8>> =
            stopped.people.keys().filter(|subject| !now.contains_key(&***subject)).map(|it| it.to_vec()).collect();
        let mut change = |subject, bits| stopped.apply(&Change { seq, subject, bits }, asked);
        gone.into_iter().for_each(|subject| change(Some(subject), 0));
        people.iter().for_each(|(subject, bits)| change(Some(subject.clone()), *bits));
        change(None, everybody);
        stopped.seen = Some(asked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn change(seq: i64, subject: Option<&[u8]>, bits: u64) -> Change {
        Change { seq, subject: subject.map(<[u8]>::to_vec), bits }
    }

    #[test]
    fn a_set_that_was_never_heard_of_is_not_fresh() {
        let set = StopSet::new(LONG, LONG);
        assert!(!set.is_fresh());
        set.apply(&[], Instant::now());
        assert!(set.is_fresh());
        let stale = StopSet::new(Duration::ZERO, LONG);
        stale.apply(&[], Instant::now());
        assert!(!stale.is_fresh());
    }

    #[test]
    fn stops_are_by_person_and_purpose() {
        let set = StopSet::new(LONG, LONG);
        set.apply(&[change(1, Some(b"17"), 1 << 3), change(2, Some(b"18"), u64::MAX)], Instant::now());
        let stops = |subject: &[u8], bit| set.read().stops(subject, bit, set.seq());
        assert!(stops(b"17", 3) && !stops(b"17", 4) && stops(b"18", 0) && stops(b"18", 62) && !stops(b"1", 3));
        set.apply(&[change(3, Some(b"17"), 0), change(4, None, 1 << 5)], Instant::now());
        assert!(!stops(b"17", 3) && stops(b"99", 5));
        assert_eq!((set.seq(), set.n_people()), (4, 1));
        set.replace(0, &[(b"2".to_vec(), 2)], 9, Instant::now());
        assert!(!stops(b"99", 5) && !stops(b"18", 0) && stops(b"2", 1));
    }

    #[test]
    fn who_leaves_the_set_is_held_back_in_statements_that_began_before() {
        let set = StopSet::new(LONG, LONG);
        set.apply(&[change(1, Some(b"17"), 8), change(2, None, 16)], Instant::now());
        let before = set.seq();
        set.apply(&[change(3, Some(b"17"), 0), change(4, None, 0)], Instant::now());
        assert!(set.read().stops(b"17", 3, before) && set.read().stops(b"5", 4, before));
        assert!(!set.read().stops(b"17", 3, set.seq()) && !set.read().stops(b"5", 4, set.seq()));
    }
}
