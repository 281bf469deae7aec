//! Waiting until nothing is going on any more.
//!
//! Quiet means: no request under way, no write to cookies or storage, no short timer and no finite animation due, and
//! that for a while. What is sampled before that is missed: banners that come after three seconds, trackers that load
//! two seconds after a refusal.

use crate::{BrowserError, Visit};
use std::time::{Duration, Instant};
use vigie_domain::record::EventKind;

/// How long quiet must last before anything is sampled. Part of the evidence.
///
/// # Source
///
/// DOMAIN.md, section A.3, S0: both measures are ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Patience {
    /// A short while; what speed figures refer to.
    #[default]
    Standard,
    /// Fifteen seconds past network quiet, for a formal inspection.
    Thorough,
}

impl Patience {
    /// Returns how long nothing must have happened.
    pub fn settle(self) -> Duration {
        match self {
            Self::Standard => Duration::from_millis(350),
            Self::Thorough => Duration::from_secs(15),
        }
    }

    /// Returns after how long waiting ends without quiet.
    pub fn limit(self) -> Duration {
        match self {
            Self::Standard => Duration::from_secs(12),
            Self::Thorough => Duration::from_mins(1),
        }
    }
}

/// How waiting ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Quiet {
    /// Nothing is going on.
    Reached,
    /// Something still was when the limit passed.
    NotReached {
        /// What.
        because: String,
    },
}

impl Visit {
    /// Waits until the page has been quiet for `settle`, `limit` at most, and writes down which.
    ///
    /// # Errors
    ///
    /// If the browser or the page is gone.
    pub async fn wait_quiet(&self, settle: Duration, limit: Duration) -> Result<Quiet, BrowserError> {
        let start = Instant::now();
        let deadline = start + limit;
        let quiet = loop {
            self.check_alive()?;
            let (busy, loaded) = {
                let state = self.lock();
                (state.busy(settle), state.loaded)
            };
            let now = Instant::now();
            match busy {
                None if loaded => break Quiet::Reached,
                None if now >= deadline => {
                    break Quiet::NotReached { because: "the page never finished loading".into() };
                }
                Some((because, _)) if now >= deadline => break Quiet::NotReached { because },
                None => tokio::time::sleep(Duration::from_millis(20)).await,
                Some((_, wait)) => {
                    let wait = wait.clamp(Duration::from_millis(5), Duration::from_millis(100));
                    tokio::time::sleep(wait.min(deadline - now)).await;
                }
            }
        };
        let (reached, because) = match &quiet {
            Quiet::Reached => (true, None),
            Quiet::NotReached { because } => (false, Some(because.clone())),
        };
        let waited_ms = start.elapsed().as_millis() as u64;
        self.note(EventKind::Quiet { reached, waited_ms, because });
        Ok(quiet)
    }
}
