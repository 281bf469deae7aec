//! Fetches what vendors declare, where the site's TC string names vendors and the site's own vendor list says where
//! their disclosures are. A visit of its own, so that it is recorded and archived as everything else.
//!
//! Bounded in number, size and time; what is not had is a gap. Vendors that were seen at work come first. The visit is
//! judged by no rule: it is our doing, not the site's.

use super::{
    plan::Context,
    tour::{Hindrance, Tour},
};
use crate::evidence::VendorDisclosure;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use vigie_browser::Spool;
use vigie_domain::{Event, VisitRecord, record::EventKind};
use vigie_trackers::{
    disclosure::{self, MAX_DISCLOSURE_BYTES, MAX_LIST_BYTES, Vendor},
    host_of, registrable_domain,
    signals::TcString,
};

/// The visit's name.
pub(crate) const VISIT: &str = "disclosures";

/// Disclosures that are asked for, at most. Ours.
const MOST_VENDORS: usize = 12;

/// How long all of them may take. Ours.
const LIMIT: Duration = Duration::from_secs(15);

/// How long one may take.
const EACH: Duration = Duration::from_secs(4);

/// A vendor whose disclosure is wanted.
struct Wanted {
    number: u16,
    vendor: Vendor,
    url: url::Url,
}

/// Returns the disclosures of the vendors that the visits' TC strings name.
pub(crate) async fn fetch(context: &Arc<Context>, visits: &[VisitRecord]) -> Vec<VendorDisclosure> {
    let Some(spool) = context.plan.spool.clone() else { return Vec::new() };
    let (wanted, n_more) = wanted(visits, &spool);
    if wanted.is_empty() {
        return Vec::new();
    }
    if n_more > 0 {
        context.gap(format!("the disclosures of {n_more} vendors named in the TC string were not asked for"));
    }
    match visit(context, &wanted).await {
        Ok(record) => read(context, wanted, &record, &spool),
        Err(Hindrance::Site(record)) => read(context, wanted, &record, &spool),
        Err(Hindrance::Browser(error)) => {
            context.gap(format!("the vendors' disclosures were not had: {error}"));
            Vec::new()
        }
    }
}

/// Goes to one disclosure after the other, as long as there is time.
async fn visit(context: &Arc<Context>, wanted: &[Wanted]) -> Result<VisitRecord, Hindrance> {
    let start = Instant::now();
    let Some((first, others)) = wanted.split_first() else { unreachable!("the caller asks for some") };
    let tour = Tour::begin_at(context, &first.url, VISIT, None, context.plan.visit.clone()).await?;
    tour.visit.wait_quiet(Duration::from_millis(150), EACH).await?;
    for next in others {
        if start.elapsed() > LIMIT {
            break;
        }
        tour.visit.goto(next.url.as_str(), EACH).await?;
        tour.visit.wait_quiet(Duration::from_millis(150), EACH).await?;
    }
    Ok(tour.finish().await)
}

/// Reads what came; what did not is a gap.
fn read(context: &Context, wanted: Vec<Wanted>, record: &VisitRecord, spool: &Spool) -> Vec<VendorDisclosure> {
    let bodies = bodies(&record.events);
    let mut found = Vec::new();
    for Wanted { number, vendor, url } in wanted {
        let body = bodies.iter().rev().find(|body| body.asked == url.as_str() && body.status == 200);
        let text = body.and_then(|body| kept(spool, body, MAX_DISCLOSURE_BYTES));
        match text.as_deref().and_then(disclosure::disclosure) {
            Some(entries) => found.push(VendorDisclosure {
                vendor: number,
                name: vendor.name,
                url: url.to_string(),
                sha256: body.map(|body| body.sha256.to_owned()).unwrap_or_default(),
                entries,
            }),
            None => context.gap(format!("the disclosure of vendor {number} (`{}`) could not be read", vendor.name)),
        }
    }
    found
}

/// Returns the vendors whose disclosures are wanted, those that were seen at work first, and how many more there are.
fn wanted(visits: &[VisitRecord], spool: &Spool) -> (Vec<Wanted>, usize) {
    let events = || visits.iter().flat_map(|visit| &visit.events);
    let mut named: BTreeSet<u16> = BTreeSet::new();
    for event in events() {
        if let EventKind::ConsentSignal { kind, value } = &event.kind
            && kind == "tcf"
            && let Some(read) = TcString::parse(value)
        {
            named.extend(read.vendor_consents);
            named.extend(read.vendor_legitimate_interests);
            named.extend(read.disclosed_vendors.unwrap_or_default());
        }
    }
    if named.is_empty() {
        return (Vec::new(), 0);
    }
    let list = visits.iter().find_map(|visit| {
        let bodies = bodies(&visit.events);
        let mut candidates = bodies.iter().filter(|body| body.status == 200 && body.mime.contains("json"));
        candidates.find_map(|body| disclosure::vendor_list(&kept(spool, body, MAX_LIST_BYTES)?))
    });
    let Some(list) = list else { return (Vec::new(), 0) };
    let asked: BTreeSet<String> = events()
        .filter_map(|event| match &event.kind {
            EventKind::Request { url, .. } => host_of(url).map(|host| registrable_domain(&host).to_owned()),
            _ => None,
        })
        .collect();
    let mut wanted: Vec<Wanted> = list
        .into_iter()
        .filter(|(number, _)| named.contains(number))
        .filter_map(|(number, vendor)| {
            let url = url::Url::parse(vendor.disclosure_url.as_deref()?).ok()?;
            Some(Wanted { number, vendor, url })
        })
        .collect();
    let at_work = |wanted: &Wanted| wanted.url.host_str().is_some_and(|host| asked.contains(registrable_domain(host)));
    wanted.sort_by_key(|one| (!at_work(one), one.number));
    let n_more = wanted.len().saturating_sub(MOST_VENDORS);
    wanted.truncate(MOST_VENDORS);
    (wanted, n_more)
}

/// A body that arrived.
struct Body<'a> {
    /// The address that was asked for first, before redirects.
    asked: &'a str,
    status: u16,
    mime: &'a str,
    sha256: &'a str,
    bytes: u64,
}

/// Returns the bodies that arrived, in order.
fn bodies(events: &[Event]) -> Vec<Body<'_>> {
    let mut asked: BTreeMap<&str, &str> = BTreeMap::new();
    let mut answered: BTreeMap<&str, (u16, &str)> = BTreeMap::new();
    let mut bodies = Vec::new();
    for event in events {
        match &event.kind {
            EventKind::Request { id, url, .. } => {
                asked.entry(id).or_insert(url);
            }
            EventKind::Response { id, status, mime, .. } => {
                answered.insert(id, (*status, mime));
            }
            EventKind::Finished { id, sha256: Some(sha256), body_bytes: Some(bytes), .. } => {
                if let (Some(asked), Some((status, mime))) = (asked.get(id.as_str()), answered.get(id.as_str())) {
                    bodies.push(Body { asked, status: *status, mime, sha256, bytes: *bytes });
                }
            }
            _ => {}
        }
    }
    bodies
}

fn kept(spool: &Spool, body: &Body<'_>, most: usize) -> Option<Vec<u8>> {
    if body.bytes > most as u64 {
        return None;
    }
    std::fs::read(spool.body(body.sha256)?).ok()
}
