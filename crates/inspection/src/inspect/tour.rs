//! One visit under way: the browser's profile, with the samples and pictures taken of it, and how it ended.
//!
//! The surprise: a visit that is dropped before its end, by an error or the time limit, keeps its record all the same, as
//! far as it got. It is archived and not judged.

use super::{look::Look, plan::Context};
use crate::evidence::SurfaceView;
use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use vigie_browser::{BrowserError, Quiet, Visit, VisitOptions, visit::Opened};
use vigie_domain::{
    Event, Layer, Scenario, VisitRecord,
    record::{EventKind, Sample, VisitEnd},
};

/// Origins whose certificates are asked for, at most.
const MOST_CERTIFICATES: usize = 100;

/// A visit under way.
pub(crate) struct Tour {
    pub context: Arc<Context>,
    pub visit: Visit,
    pub name: String,
    pub scenario: Option<Scenario>,
    pub samples: Vec<Sample>,
    pub final_url: String,
    pub status: u16,
    pub end: VisitEnd,
    requested_url: String,
    pictures: u32,
    /// Whether its record was taken; else it is kept when the visit is dropped.
    ended: bool,
}

/// What stands in the way of a visit.
#[derive(Debug)]
pub(crate) enum Hindrance {
    /// The site let no one in, or could not be reached; the record says how.
    Site(Box<VisitRecord>),
    /// The browser failed us.
    Browser(BrowserError),
}

impl From<BrowserError> for Hindrance {
    fn from(error: BrowserError) -> Self {
        Self::Browser(error)
    }
}

impl Tour {
    /// Opens a clean profile and goes to the site's address.
    pub(crate) async fn begin(
        context: &Arc<Context>,
        name: &str,
        scenario: Option<Scenario>,
        options: VisitOptions,
    ) -> Result<Self, Hindrance> {
        Self::begin_at(context, &context.plan.url, name, scenario, options).await
    }

    /// Opens a clean profile and goes to an address of the site.
    pub(crate) async fn begin_at(
        context: &Arc<Context>,
        url: &url::Url,
        name: &str,
        scenario: Option<Scenario>,
        options: VisitOptions,
    ) -> Result<Self, Hindrance> {
        context.progress.doing(name);
        let visit = context.browser.open_visit(VisitOptions { spool: context.plan.spool.clone(), ..options }).await?;
        visit.check_profile().await?;
        let mut tour = Self {
            context: Arc::clone(context),
            visit,
            name: name.to_owned(),
            scenario,
            samples: Vec::new(),
            final_url: String::new(),
            status: 0,
            end: VisitEnd::Completed,
            requested_url: url.to_string(),
            pictures: 0,
            ended: false,
        };
        context.under_way.send_modify(|n_visits| *n_visits += 1);
        let opened = tour.visit.goto(url.as_str(), context.load_limit()).await?;
        tour.final_url = tour.visit.url();
        tour.status = tour.visit.status().0;
        match opened {
            Opened::Document(_) => Ok(tour),
            Opened::Nothing(why) => {
                // A site that wants a password answers, and lets no one in.
                let wants_password = ["AUTH", "UNAUTHORIZED"].iter().any(|word| why.contains(word));
                tour.end = if wants_password { VisitEnd::Blocked { why } } else { VisitEnd::Unreachable { why } };
                Err(Hindrance::Site(Box::new(tour.finish().await)))
            }
        }
    }

    /// Waits until the page is quiet, as long as the plan's patience says.
    pub(crate) async fn settle(&self) -> Result<Quiet, BrowserError> {
        let patience = self.context.plan.patience;
        self.visit.wait_quiet(patience.settle(), patience.limit().min(self.context.plan.timeout / 2)).await
    }

    /// Waits until the page has reacted to a click: long enough to see what comes up, not to sample.
    pub(crate) async fn pause(&self) -> Result<Quiet, BrowserError> {
        self.visit.wait_quiet(Duration::from_millis(150), Duration::from_secs(6)).await
    }

    /// Waits until a consent surface shows that a person could use, `limit` at most, and returns the last look.
    pub(crate) async fn await_surface(&self, limit: Duration) -> Result<Look, BrowserError> {
        let deadline = Instant::now() + limit;
        loop {
            let look = self.look().await?;
            let usable = look.surface().is_some_and(|surface| {
                surface.controls.iter().any(|control| control.in_reach) || !surface.switches.is_empty()
            });
            if usable || Instant::now() > deadline {
                return Ok(look);
            }
            tokio::time::sleep(Duration::from_millis(120)).await;
        }
    }

    /// Samples the profile.
    pub(crate) async fn sample(&mut self, moment: &str) -> Result<(), BrowserError> {
        let sample = self.visit.sample(moment).await?;
        self.samples.push(sample);
        Ok(())
    }

    /// Takes a picture and returns its path in the evidence; `None` if none could be taken.
    pub(crate) async fn picture(&mut self, what: &str) -> Option<String> {
        if !self.context.plan.pictures {
            return None;
        }
        let picture = self.visit.picture().await.ok()?;
        self.pictures += 1;
        let mut pictures = self.context.pictures.lock().expect("no code panics while it holds this lock");
        // The same picture is kept once, whatever it was taken for: most pages look the same in most visits.
        let known = pictures.iter().find(|(_, png)| **png == picture.png).map(|(path, _)| path.clone());
        let path = known.unwrap_or_else(|| {
            let path = format!("pictures/{}-{:02}-{what}.png", self.name.to_lowercase(), self.pictures);
            pictures.insert(path.clone(), picture.png);
            path
        });
        drop(pictures);
        self.visit.note(EventKind::Picture { path: path.clone() });
        Some(path)
    }

    /// Returns what is seen of the surfaces now, for the record.
    pub(crate) fn views(
        &self,
        look: &Look,
        layer: Layer,
        via: &[String],
        picture: Option<&String>,
    ) -> Vec<SurfaceView> {
        let snapshot = self.keep_snapshot(look);
        let view = |surface: &vigie_banner::Surface| SurfaceView {
            visit: self.name.clone(),
            layer,
            via: via.to_vec(),
            url: self.visit.url(),
            surface: surface.clone(),
            picture: picture.cloned(),
            snapshot: snapshot.clone(),
            events: self.visit.n_events(),
        };
        look.surfaces().map(view).collect()
    }

    /// Keeps the page as it was seen, so that its surfaces can be looked for again; returns its path in the evidence.
    fn keep_snapshot(&self, look: &Look) -> Option<String> {
        let spool = self.context.plan.spool.as_ref()?;
        look.surface()?;
        let path = format!("snapshots/{}-{:05}.json", self.name.to_lowercase(), self.visit.n_events());
        let kept = serde_json::to_vec(&look.seen.page).map_err(std::io::Error::from);
        match kept.and_then(|bytes| spool.put(&path, &bytes)) {
            Ok(()) => Some(path),
            Err(error) => {
                self.visit.gap(format!("a snapshot of the page was not kept: {error}"));
                None
            }
        }
    }

    /// Asks for the certificates of origins that no visit has asked for yet.
    async fn note_certificates(&self) {
        let origins: BTreeSet<String> = self.visit.secure_origins();
        for origin in origins {
            let is_new = {
                let mut known = self.context.certificates.lock().expect("no code panics while it holds this lock");
                let is_new = known.len() < MOST_CERTIFICATES && !known.contains_key(&origin);
                is_new && known.insert(origin.clone(), Vec::new()).is_none()
            };
            if is_new {
                let chain = self.visit.certificates(&origin).await;
                let mut known = self.context.certificates.lock().expect("no code panics while it holds this lock");
                known.insert(origin, chain);
            }
        }
    }

    /// Ends the visit and returns its record. Where there is a spool, it is kept there too, whatever it was for.
    pub(crate) async fn finish(mut self) -> VisitRecord {
        if self.context.plan.spool.is_some() {
            self.note_certificates().await;
        }
        let (events, gaps) = self.visit.end().await;
        // Nothing waits from here on, so that the record is kept once: now, or by whoever drops the visit before.
        self.ended = true;
        let record = self.record(events, gaps);
        self.keep(&record);
        record
    }

    fn record(&mut self, events: Vec<Event>, gaps: Vec<String>) -> VisitRecord {
        let options = self.visit.options();
        VisitRecord {
            name: self.name.clone(),
            scenario: self.scenario,
            started_at: self.visit.started_at(),
            viewport: options.viewport,
            locale: options.locale.clone(),
            requested_url: self.requested_url.clone(),
            final_url: std::mem::take(&mut self.final_url),
            status: self.status,
            end: self.end.clone(),
            events,
            samples: std::mem::take(&mut self.samples),
            gaps,
        }
    }

    fn keep(&self, record: &VisitRecord) {
        let Some(spool) = &self.context.plan.spool else { return };
        let n = self.context.visits.fetch_add(1, Ordering::Relaxed);
        let kept = serde_json::to_vec(record).map_err(std::io::Error::from);
        if let Err(error) = kept.and_then(|bytes| spool.put(&format!("visits/{n:04}.json"), &bytes)) {
            self.context.gap(format!("the record of a visit was not kept: {error}"));
        }
    }
}

impl Drop for Tour {
    fn drop(&mut self) {
        if !self.ended {
            if matches!(self.end, VisitEnd::Completed) {
                self.end = VisitEnd::Failed { why: "it broke off before its end".to_owned() };
            }
            if self.final_url.is_empty() {
                self.final_url = self.visit.url();
                self.status = self.visit.status().0;
            }
            let (events, gaps) = self.visit.so_far();
            let record = self.record(events, gaps);
            self.keep(&record);
        }
        self.context.under_way.send_modify(|n_visits| *n_visits -= 1);
    }
}
