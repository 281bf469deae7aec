//! Who waits for what was handed in together, and how they are told.
//!
//! Out of scope: what becomes of entries (`writer`).
//!
//! The surprise: a round of entries has one answer, which everybody who handed something in looks at. A channel for each
//! of a thousand who append one entry at a time would cost more than writing what they append.

use crate::{
    entries::{Appended, Refused},
    log::Stopped,
};
use std::{
    sync::{Arc, Mutex, OnceLock},
    task::{Context, Poll, Waker},
    thread::Thread,
};

/// What became of each entry of a round, in order.
pub(crate) type Outcome = Result<Vec<Result<Appended, Refused>>, Stopped>;

/// Entries that were handed in together and become durable together.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// `None` if nobody will ever say.
    outcome: OnceLock<Option<Outcome>>,
    waiting: Mutex<Vec<Waits>>,
}

#[derive(Debug)]
enum Waits {
    Task(Waker),
    Thread(Thread),
}

impl Waits {
    fn wake(self) {
        match self {
            Self::Task(waker) => waker.wake(),
            Self::Thread(thread) => thread.unpark(),
        }
    }
}

const UNPOISONED: &str = "nobody panics with the list of waiters in hand";

impl Round {
    /// Returns the outcome as soon as it is known. `slot` is where this task is in the list of those who wait.
    pub(crate) fn poll(&self, slot: &mut Option<usize>, context: &Context<'_>) -> Poll<Option<&Outcome>> {
        if self.outcome.get().is_none() {
            let mut waiting = self.waiting.lock().expect(UNPOISONED);
            // Looked at again: whoever tells sets the outcome first and takes the list then.
            if self.outcome.get().is_none() {
                match slot.and_then(|at| waiting.get_mut(at)) {
                    Some(Waits::Task(waker)) if waker.will_wake(context.waker()) => {}
                    Some(waits) => *waits = Waits::Task(context.waker().clone()),
                    None => {
                        *slot = Some(waiting.len());
                        waiting.push(Waits::Task(context.waker().clone()));
                    }
                }
                return Poll::Pending;
            }
        }
        Poll::Ready(self.outcome.get().and_then(Option::as_ref))
    }

    /// Waits for the outcome.
    pub(crate) fn wait(&self) -> Option<&Outcome> {
        if self.outcome.get().is_none() {
            self.waiting.lock().expect(UNPOISONED).push(Waits::Thread(std::thread::current()));
        }
        loop {
            match self.outcome.get() {
                Some(outcome) => return outcome.as_ref(),
                // Whoever tells sets the outcome first and wakes then; waking before we sleep is not lost.
                None => std::thread::park(),
            }
        }
    }

    fn tell(&self, outcome: Option<Outcome>) {
        // Only the first is heard.
        let _ = self.outcome.set(outcome);
        let waiting = std::mem::take(&mut *self.waiting.lock().expect(UNPOISONED));
        waiting.into_iter().for_each(Waits::wake);
    }
}

/// The duty to tell a round what became of it. Dropped, it tells that nobody will ever say.
#[derive(Debug)]
pub(crate) struct Promise(pub(crate) Arc<Round>);

impl Promise {
    pub(crate) fn tell(self, outcome: Outcome) {
        self.0.tell(Some(outcome));
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if self.0.outcome.get().is_none() {
            self.0.tell(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn everybody_who_waits_is_told_and_nobody_waits_for_a_promise_that_is_gone() {
        for kept in [true, false] {
            let round = Arc::new(Round::default());
            let promise = Promise(round.clone());
            let (sender, ready) = mpsc::channel();
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let (round, sender) = (round.clone(), sender.clone());
                    std::thread::spawn(move || {
                        sender.send(()).unwrap();
                        round.wait().map(|outcome| outcome.as_ref().unwrap().len())
                    })
                })
                .collect();
            threads.iter().for_each(|_| ready.recv().unwrap());
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let told = runtime.block_on(async {
                let mut slot = None;
                let task = round.clone();
                let waits = tokio::spawn(async move {
                    std::future::poll_fn(|context| task.poll(&mut slot, context).map(|outcome| outcome.is_some())).await
                });
                tokio::task::yield_now().await;
                if kept {
                    promise.tell(Ok(Vec::new()));
                } else {
                    drop(promise);
                }
                waits.await.unwrap()
            });
            assert_eq!(told, kept);
            for thread in threads {
                assert_eq!(thread.join().unwrap(), kept.then_some(0));
            }
        }
    }
}
