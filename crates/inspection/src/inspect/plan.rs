//! What is to be done, and with what.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, atomic::AtomicU32},
    time::Duration,
};
use tokio::sync::{Semaphore, watch};
use vigie_banner::Lexicon;
use vigie_browser::{Browser, Patience, Spool, VisitOptions};
use vigie_domain::Scenario;

use super::effect::Trace;

/// Pictures by their path in the evidence.
pub type Pictures = BTreeMap<String, Vec<u8>>;

/// One inspection to be made.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The address, `http` or `https`.
    pub url: url::Url,
    /// The scenarios to play.
    pub scenarios: Vec<Scenario>,
    /// How visits present themselves.
    pub visit: VisitOptions,
    /// How long quiet must last.
    pub patience: Patience,
    /// How long the whole inspection may take. What is not done by then is a gap.
    pub timeout: Duration,
    /// Visits side by side.
    pub visits_at_once: usize,
    /// Arguments given to the browser besides ours, for the record.
    pub browser_arguments: Vec<String>,
    /// Whether certificates that do not verify are accepted, for the record.
    pub certificates_ignored: bool,
    /// Who or what makes the observations: `automatic`, or a person's words.
    pub observed_by: String,
    /// Whether pictures are taken.
    pub pictures: bool,
    /// Where bodies, snapshots and the records of all visits are kept; `None` keeps only what is judged.
    pub spool: Option<Arc<Spool>>,
}

/// Told what is being done, for whoever watches.
pub trait Progress: Send + Sync {
    /// A visit begins or goes on; `what` is a few words.
    fn doing(&self, what: &str);
}

/// Tells nobody.
pub struct Silent;

impl Progress for Silent {
    fn doing(&self, _: &str) {}
}

/// What is known of what accepting left behind.
#[derive(Debug, Clone, Default)]
pub(crate) enum Accepted {
    /// Nothing yet: the search goes on.
    #[default]
    NotYet,
    /// It will not be known: no way to accept was found, or none is looked for.
    Never,
    /// This.
    Known(Trace),
}

/// What all visits of one inspection share.
pub(crate) struct Context {
    pub browser: Arc<Browser>,
    pub plan: Plan,
    pub lexicon: &'static Lexicon,
    pub pictures: Mutex<Pictures>,
    pub progress: Arc<dyn Progress>,
    pub places: Arc<Semaphore>,
    /// Fingerprints of the banner's states seen so far.
    pub states: Mutex<HashSet<u64>>,
    /// What accepting left behind, once that is known.
    pub accepted: watch::Sender<Accepted>,
    pub gaps: Mutex<Vec<String>>,
    /// Certificates by origin, DER in base64, the server's own first.
    pub certificates: Mutex<BTreeMap<String, Vec<String>>>,
    /// Visits ended so far.
    pub visits: AtomicU32,
    /// Visits under way. One counts until what it saw is kept, also if it breaks off.
    pub under_way: watch::Sender<u32>,
}

impl Context {
    /// Returns the limit for loading one page.
    pub(crate) fn load_limit(&self) -> Duration {
        Duration::from_secs(15).min(self.plan.timeout / 3)
    }

    /// Writes down something that could not be observed.
    pub(crate) fn gap(&self, what: impl Into<String>) {
        let what = what.into();
        let mut gaps = self.gaps.lock().expect("no code panics while it holds this lock");
        if !gaps.contains(&what) {
            gaps.push(what);
        }
    }

    /// Returns what accepting left behind, waiting until it is known; `None` if it never will be.
    pub(crate) async fn accepted_trace(&self) -> Option<Trace> {
        let mut receiver = self.accepted.subscribe();
        let known = receiver.wait_for(|accepted| !matches!(accepted, Accepted::NotYet)).await.ok()?;
        match &*known {
            Accepted::Known(trace) => Some(trace.clone()),
            Accepted::NotYet | Accepted::Never => None,
        }
    }
}
