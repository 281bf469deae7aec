//! Who answers a request: a programmed host, a site, a tracker stub, or nobody.

use crate::{
    answer::{Answer, Handler, Request},
    connection::TlsFault,
    sites::Site,
    trackers,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Who answered a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AnsweredBy {
    /// A handler given to [`crate::SiteServerBuilder::route`].
    Route,
    /// The files of a site.
    Site,
    /// A stub of a tracker.
    Tracker,
    /// Nobody: the host is not served here. The client got a 404.
    Nobody,
}

/// One line of the server's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// When it came, since the server started.
    pub at: Duration,
    /// What was asked.
    pub request: Request,
    /// Who answered.
    pub by: AnsweredBy,
    /// The status answered; 0 where no status line was sent.
    pub status: u16,
}

/// The hosts of one server, and its log.
pub(crate) struct Directory {
    /// Programmed answers by host and path pattern, in the order given.
    pub(crate) routes: Vec<(String, String, Handler)>,
    /// Sites by host.
    pub(crate) sites: HashMap<String, Arc<Site>>,
    /// Handshakes that go wrong, by host.
    pub(crate) faults: HashMap<String, TlsFault>,
    /// Start of the log's clock.
    pub(crate) started: Instant,
    /// Every request so far.
    pub(crate) log: Mutex<Vec<Served>>,
}

impl Directory {
    /// Answers and logs a request.
    pub(crate) fn answer(&self, request: &Request) -> Answer {
        let (by, answer) = self.dispatch(request);
        let served = Served { at: self.started.elapsed(), request: request.clone(), by, status: answer.status };
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(served);
        answer
    }

    /// Returns what is to go wrong with the handshake of a host, if anything.
    pub(crate) fn tls_fault(&self, host: &str) -> Option<TlsFault> {
        self.faults.get(&host.to_ascii_lowercase()).copied()
    }

    fn dispatch(&self, request: &Request) -> (AnsweredBy, Answer) {
        let route = self.routes.iter().find(|(host, path, _)| matches(host, path, request));
        if let Some((_, _, handler)) = route {
            return (AnsweredBy::Route, handler(request));
        }
        if let Some(site) = self.sites.get(&request.host) {
            return (AnsweredBy::Site, site.answer(request));
        }
        if let Some(answer) = trackers::answer(request) {
            return (AnsweredBy::Tracker, answer);
        }
        if let Some((_, site)) = request.host.split_once('.')
            && self.sites.contains_key(site)
            && let Some(answer) = trackers::answer_cloaked(request, site)
        {
            return (AnsweredBy::Tracker, answer);
        }
        (AnsweredBy::Nobody, Answer::text(404, format!("`{}` is not served here\n", request.host)))
    }
}

/// A host pattern may start with `*.`, a path pattern may end with `*`.
fn matches(host: &str, path: &str, request: &Request) -> bool {
    let host_fits = match host.strip_prefix('*') {
        Some(suffix) => request.host.ends_with(suffix),
        None => request.host == host,
    };
    let path_fits = match path.strip_suffix('*') {
        Some(prefix) => request.path.starts_with(prefix),
        None => request.path == path,
    };
    host_fits && path_fits
}
