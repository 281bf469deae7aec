//! What may be inspected when: the queue, one visit at a time per domain, pauses and second tries. Pure.
//!
//! Time is a value that goes in ([`Moment`]); nothing here waits. The caller asks for the [`Next`] thing to do and says
//! when an inspection ended. What is due is taken in the order of the queue; a second try goes to its end and is due
//! only after its wait. A domain that is being visited, or was a moment ago, holds up nobody but itself.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

/// A point in time: milliseconds since 1970 began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(pub u64);

impl Moment {
    /// Returns the moment so much later.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Returns the milliseconds as a database holds them.
    pub(crate) fn stored(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }

    /// Returns how long it is until another moment; nothing if that has passed.
    pub fn until(self, other: Self) -> Duration {
        Duration::from_millis(other.0.saturating_sub(self.0))
    }
}

/// A job's number: one site's one repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub i64);

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Start this job; it counts as running from now on.
    Start(JobId),
    /// Nothing is due before this moment, unless a running job ends first.
    Wait(Moment),
    /// Nothing can be started before a running job ends.
    WaitForAnEnd,
    /// Nothing is left.
    Finished,
}

/// The queue.
#[derive(Debug)]
pub struct Schedule {
    pause: Duration,
    domains: Vec<Domain>,
    numbers: HashMap<String, usize>,
    running: HashMap<JobId, usize>,
    waiting: usize,
    last_place: u64,
    // INVARIANT (a domain stands in one place): one that runs is in neither set; another with jobs is in `due` or in
    // `later`, exactly once; one without jobs is in neither.
    due: BTreeSet<(u64, usize)>,
    later: BTreeSet<(Moment, usize)>,
}

#[derive(Debug, Default)]
struct Domain {
    /// By the moment before which a job may not start, then by its place in the queue.
    jobs: BTreeSet<(Moment, u64, JobId)>,
    free_at: Moment,
    place: Place,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Empty,
    Running,
    Due(u64),
    Later(Moment),
}

impl Schedule {
    /// Returns an empty queue that leaves a domain alone for `pause` between two inspections.
    pub fn new(pause: Duration) -> Self {
        Self {
            pause,
            domains: Vec::new(),
            numbers: HashMap::new(),
            running: HashMap::new(),
            waiting: 0,
            last_place: 0,
            due: BTreeSet::new(),
            later: BTreeSet::new(),
        }
    }

    /// Puts a job at the end of the queue; it does not start before `not_before`.
    pub fn add(&mut self, job: JobId, domain: &str, not_before: Moment) {
        let known = self.numbers.get(domain).copied();
        let domain = known.unwrap_or_else(|| {
            self.domains.push(Domain::default());
            self.numbers.insert(domain.to_owned(), self.domains.len() - 1);
            self.domains.len() - 1
        });
        self.put(job, domain, not_before);
        self.place(domain);
    }

    /// Returns what to do at this moment. A job that is to be started counts as running.
    pub fn next(&mut self, now: Moment) -> Next {
        while let Some(&(at, domain)) = self.later.first()
            && at <= now
        {
            self.later.pop_first();
            // Of what the domain has, that which is due and stands first in the queue decides its place among domains.
            let place = self.head(domain, now).map(|(_, place, _)| place).expect("a domain in a set has jobs");
            self.domains[domain].place = Place::Due(place);
            self.due.insert((place, domain));
        }
        let Some((_, domain)) = self.due.pop_first() else {
            return match self.later.first() {
                Some(&(at, _)) => Next::Wait(at),
                None if self.running.is_empty() => Next::Finished,
                None => Next::WaitForAnEnd,
            };
        };
        let head = self.head(domain, now).expect("a domain in a set has jobs");
        self.domains[domain].jobs.remove(&head);
        self.domains[domain].place = Place::Running;
        self.running.insert(head.2, domain);
        self.waiting -= 1;
        Next::Start(head.2)
    }

    /// Says that a running job ended; with `again`, it goes to the end of the queue and waits so long.
    ///
    /// # Panics
    ///
    /// If the job is not running.
    pub fn ended(&mut self, job: JobId, now: Moment, again: Option<Duration>) {
        let domain = self.running.remove(&job).expect("only a running job ends");
        self.domains[domain].place = Place::Empty;
        self.domains[domain].free_at = now.after(self.pause);
        if let Some(wait) = again {
            self.put(job, domain, now.after(wait));
        }
        self.place(domain);
    }

    /// Returns how many jobs run.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Returns how many jobs wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    fn put(&mut self, job: JobId, domain: usize, not_before: Moment) {
        self.last_place += 1;
        self.waiting += 1;
        self.domains[domain].jobs.insert((not_before, self.last_place, job));
    }

    /// Returns the job of a domain that is next: of those that are due the first in the queue, else the soonest.
    fn head(&self, domain: usize, now: Moment) -> Option<(Moment, u64, JobId)> {
        let jobs = &self.domains[domain].jobs;
        let due = jobs.range(..=(now, u64::MAX, JobId(i64::MAX)));
        // Jobs that never waited share one moment and so stand in order; only second tries can be out of it, and few
        // of those are due at once.
        due.take(SECOND_TRIES_LOOKED_AT).min_by_key(|(_, place, _)| *place).or_else(|| jobs.first()).copied()
    }

    /// Puts a domain where it belongs. INVARIANT (a domain stands in one place).
    fn place(&mut self, domain: usize) {
        let place = self.domains[domain].place;
        match place {
            Place::Running => return,
            Place::Due(at) => {
                self.due.remove(&(at, domain));
            }
            Place::Later(at) => {
                self.later.remove(&(at, domain));
            }
            Place::Empty => {}
        }
        let entry = &mut self.domains[domain];
        entry.place = match entry.jobs.first() {
            Some(&(not_before, ..)) => Place::Later(not_before.max(entry.free_at)),
            None => Place::Empty,
        };
        if let Place::Later(at) = entry.place {
            self.later.insert((at, domain));
        }
    }
}

/// How many due jobs of one domain are compared by their place; the others wait for their turn.
const SECOND_TRIES_LOOKED_AT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PAUSE: Duration = Duration::from_secs(2);

    /// Plays a queue with so many hands; each inspection takes one second and succeeds unless `again` says otherwise.
    /// Returns a line for each start: the second and the job.
    fn play(jobs: &[(i64, &str)], hands: usize, mut again: impl FnMut(i64) -> Option<u64>) -> Vec<(u64, i64)> {
        let mut schedule = Schedule::new(PAUSE);
        jobs.iter().for_each(|(job, domain)| schedule.add(JobId(*job), domain, Moment(0)));
        let mut now = Moment(0);
        let mut ends: BTreeSet<(Moment, JobId)> = BTreeSet::new();
        let mut started = Vec::new();
        loop {
            let next = if schedule.running() < hands { schedule.next(now) } else { Next::WaitForAnEnd };
            let end = ends.first().copied();
            match (next, end) {
                (Next::Start(job), _) => {
                    started.push((now.0 / 1000, job.0));
                    ends.insert((now.after(Duration::from_secs(1)), job));
                }
                (Next::Wait(at), None) => now = now.max(at),
                (Next::Wait(at), Some((end, _))) if at < end => now = at,
                (Next::Wait(_) | Next::WaitForAnEnd, Some((end, job))) => {
                    ends.pop_first();
                    now = end;
                    schedule.ended(job, now, again(job.0).map(Duration::from_secs));
                }
                (Next::WaitForAnEnd, None) => panic!("waits for an end, and nothing runs"),
                (Next::Finished, _) => {
                    assert_eq!((schedule.running(), schedule.waiting()), (0, 0));
                    return started;
                }
            }
        }
    }

    #[test]
    fn sites_are_taken_in_the_order_of_the_list() {
        let started = play(&[(1, "a"), (2, "b"), (3, "c"), (4, "d")], 2, |_| None);
        assert_eq!(started, [(0, 1), (0, 2), (1, 3), (1, 4)]);
    }

    #[test]
    fn a_domain_is_visited_once_at_a_time_with_a_pause_and_holds_up_nobody_else() {
        let started = play(&[(1, "a"), (2, "a"), (3, "b"), (4, "c"), (5, "d"), (6, "e")], 2, |_| None);
        // Job 2 waits for the end of 1 (second 1) and the pause (until 3), and then comes before later ones.
        assert_eq!(started, [(0, 1), (0, 3), (1, 4), (1, 5), (2, 6), (3, 2)]);
        let started = play(&[(1, "a"), (2, "a"), (3, "b"), (4, "c"), (5, "d"), (6, "e"), (7, "f")], 1, |_| None);
        assert_eq!(started, [(0, 1), (1, 3), (2, 4), (3, 2), (4, 5), (5, 6), (6, 7)]);
    }

    #[test]
    fn second_tries_come_at_the_end_of_the_queue_and_after_their_wait() {
        let mut waits = vec![300, 30];
        let started = play(&[(1, "a"), (2, "b")], 1, |job| if job == 1 { waits.pop() } else { None });
        assert_eq!(started, [(0, 1), (1, 2), (31, 1), (332, 1)]);
        let mut once = vec![1];
        let many: Vec<(i64, String)> = (1..=5).map(|n| (n, format!("d{n}"))).collect();
        let many: Vec<(i64, &str)> = many.iter().map(|(n, name)| (*n, name.as_str())).collect();
        let started = play(&many, 1, |job| if job == 1 { once.pop() } else { None });
        assert_eq!(started, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 1)], "though due at 3");
    }

    #[test]
    fn what_waits_from_an_earlier_run_goes_on_waiting() {
        let mut schedule = Schedule::new(PAUSE);
        schedule.add(JobId(1), "a", Moment(5000));
        schedule.add(JobId(2), "a", Moment(0));
        assert_eq!(schedule.next(Moment(1000)), Next::Start(JobId(2)));
        assert_eq!(schedule.next(Moment(1000)), Next::WaitForAnEnd);
        schedule.ended(JobId(2), Moment(1500), None);
        assert_eq!(schedule.next(Moment(1500)), Next::Wait(Moment(5000)));
        assert_eq!(schedule.next(Moment(5000)), Next::Start(JobId(1)));
    }

    proptest! {
        /// Whatever the list and the failures: nobody is lost or taken too often, and no domain is hurried.
        #[test]
        fn every_job_ends_and_no_domain_is_hurried(
            domains in prop::collection::vec(0_u8..6, 1..40),
            failures in prop::collection::vec(0_u8..3, 40),
            hands in 1_usize..6,
        ) {
            let names: Vec<String> = domains.iter().map(|domain| format!("d{domain}")).collect();
            let jobs: Vec<(i64, &str)> = (0..).zip(names.iter().map(String::as_str)).collect();
            let mut left = failures.clone();
            let started = play(&jobs, hands, |job| {
                let left = &mut left[job as usize];
                (*left > 0).then(|| { *left -= 1; 30 })
            });
            for (job, domain) in &jobs {
                let times = started.iter().filter(|(_, other)| other == job).count();
                prop_assert_eq!(times, usize::from(failures[*job as usize]) + 1);
                let of_domain: Vec<u64> =
                    started.iter().filter(|(_, other)| names[*other as usize] == *domain).map(|(at, _)| *at).collect();
                prop_assert!(of_domain.windows(2).all(|pair| pair[1] >= pair[0] + 3), "{:?}", of_domain);
            }
        }
    }
}
