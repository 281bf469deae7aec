//! Where a visit's requests went and what they carried: trackers by list and by behaviour, reads of what was stored.
//!
//! The site's own host is no tracker as a whole: of it only the requests count that a list names, such as those to a
//! measuring tool that the site serves itself. Loading a tracker's code is noted apart from everything else that is
//! asked of it, because the code alone reads nothing.

use super::{
    profile::{CookieFact, Profile, Sent, StorageFact},
    set_cookie::SetCookie,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use vigie_domain::{
    VisitRecord,
    record::{EventKind, SentCookie, Writer},
};
use vigie_trackers::{
    Class, Classifier, Party, RequestFacts, TrackerHosts, TrackerMatch, host_of, is_identifier, party,
    registrable_domain,
};

/// Least life in seconds of an identifier that makes a tracker of who sets it: more than a day, as in `trackers`.
const LASTING_S: f64 = 86_400.0;

/// Shortest piece of an identifier that is looked for in addresses and bodies, in bytes. Ours.
const MIN_TOKEN_BYTES: usize = 8;

/// In which way a request reads, or hands on, what needs consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reading {
    /// It carried a cookie that needs consent.
    Cookie,
    /// Its address or body holds an identifier that needs consent.
    Identifier,
    /// It calls a tracker for something other than its code: a pixel, a beacon, a frame.
    Call,
}

/// A request, with what it is.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestFact {
    /// The number of its event.
    pub event: u64,
    /// Where it went, in full.
    pub url: String,
    /// The host.
    pub host: String,
    /// Whose host that is.
    pub party: Party,
    /// DevTools resource type in lower case.
    pub resource: String,
    /// The innermost script or parser address that asked for it.
    pub initiator: Option<String>,
    /// Whether it has a body, or parameters in its address.
    pub carries_data: bool,
    /// Why it goes to a tracker, if it does.
    pub tracker: Option<TrackerMatch>,
    /// Cookies it carried that need consent, by title.
    pub cookies: Vec<String>,
    /// Cookies it carried of which that is a question, by title.
    pub unclear_cookies: Vec<String>,
    /// Whether an identifier that needs consent is in its address or body.
    pub identifier: bool,
}

impl RequestFact {
    /// Returns how it reads what needs consent, if it does.
    pub fn reading(&self) -> Option<Reading> {
        if !self.cookies.is_empty() {
            Some(Reading::Cookie)
        } else if self.identifier {
            Some(Reading::Identifier)
        } else {
            (self.tracker.is_some() && !self.is_code()).then_some(Reading::Call)
        }
    }

    /// Returns whether code, styles or fonts were asked for.
    pub fn is_code(&self) -> bool {
        matches!(self.resource.as_str(), "script" | "stylesheet" | "font" | "preflight" | "manifest")
    }
}

/// A host of a tracker that was asked for something.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackerFact {
    /// The host.
    pub host: String,
    /// Whose host that is.
    pub party: Party,
    /// How many requests went to it; of the site's own host, those alone that are a tracker's.
    pub requests: usize,
    /// Whether it is the site's own host.
    pub is_own_host: bool,
    /// Why it is a tracker.
    pub why: String,
    /// What the tracker is for.
    pub class: Class,
    /// Whether that rests on what was seen and not on a list.
    pub by_behaviour: bool,
    /// The number of the event of the first request that shows it.
    pub event: u64,
}

#[derive(Debug)]
struct Asked {
    event: u64,
    url: String,
    host: String,
    party: Party,
    is_own_host: bool,
    document: String,
    resource: String,
    initiator: Option<String>,
    body: Option<String>,
    mime: Option<String>,
    body_bytes: Option<u64>,
    sent: Vec<SentCookie>,
    matched: Option<TrackerMatch>,
    by_behaviour: bool,
}

/// A visit's requests, on the way to being classified.
#[derive(Debug)]
pub(super) struct Traffic {
    asked: Vec<Asked>,
    site: String,
}

/// What the reason of a match says where the host is the site's own by name alone.
pub(crate) const BY_ALIAS: &str = "; the host is an alias (CNAME) of ";

/// Returns what a request is by the host that its own is an alias of, whatever it asks of it: a path or a
/// kind of request may look like a tracker's anywhere.
fn behind(alias: &str, document: &str, classifier: &Classifier) -> Option<TrackerMatch> {
    let mut found = classifier.request(&format!("https://{alias}/"), document, "script")?;
    found.why = format!("{}{BY_ALIAS}{alias}", found.why);
    Some(found)
}

impl Traffic {
    /// Reads the requests and matches them with the lists.
    pub(super) fn of(
        visit: &VisitRecord,
        page: &str,
        site: &str,
        aliases: &BTreeMap<String, Vec<String>>,
        classifier: &Classifier,
    ) -> Self {
        let mut asked: Vec<Asked> = Vec::new();
        // By request id: the hops of a redirect, in order, and how many have had headers and answers.
        let mut hops: HashMap<&str, (Vec<usize>, usize, usize)> = HashMap::new();
        for event in &visit.events {
            match &event.kind {
                EventKind::Request { id, url, resource, initiator, body, .. } => {
                    let Some(host) = host_of(url).filter(|_| !url.starts_with("blob:")) else { continue };
                    let document = event
                        .document
                        .as_deref()
                        .filter(|document| host_of(document).is_some_and(|host| party(&host, site) == Party::First));
                    let document = document.unwrap_or(page).to_owned();
                    let by_alias = || {
                        let mut aliases = aliases.get(&host).into_iter().flatten();
                        aliases.find_map(|alias| behind(alias, &document, classifier))
                    };
                    // Who hides behind the name says more than what the address looks like.
                    let matched = by_alias()
                        .or_else(|| classifier.request(url, &document, resource))
                        .filter(|found| found.class.is_exempt() != Some(true));
                    hops.entry(id).or_default().0.push(asked.len());
                    asked.push(Asked {
                        event: event.n,
                        url: url.clone(),
                        party: party(&host, site),
                        is_own_host: bare(&host) == bare(site),
                        host,
                        document,
                        resource: resource.clone(),
                        initiator: initiator.clone(),
                        body: body.clone(),
                        mime: None,
                        body_bytes: None,
                        sent: Vec::new(),
                        matched,
                        by_behaviour: false,
                    });
                }
                EventKind::RequestSent { id, cookies, .. } => {
                    if let Some((places, sent, _)) = hops.get_mut(id.as_str()) {
                        if let Some(place) = places.get(*sent).or(places.last()) {
                            asked[*place].sent.extend(cookies.iter().cloned());
                        }
                        *sent += 1;
                    }
                }
                EventKind::Response { id, mime, .. } => {
                    if let Some((places, _, answered)) = hops.get_mut(id.as_str()) {
                        if let Some(place) = places.get(*answered).or(places.last()) {
                            asked[*place].mime = Some(mime.clone());
                        }
                        *answered += 1;
                    }
                }
                EventKind::Finished { id, body_bytes, .. } => {
                    let place = hops.get(id.as_str()).and_then(|(places, ..)| places.last());
                    if let Some(place) = place {
                        asked[*place].body_bytes = *body_bytes;
                    }
                }
                _ => {}
            }
        }
        Self { asked, site: site.to_owned() }
    }

    /// Takes note of every host that was found to be a tracker.
    pub(super) fn note(&self, hosts: &mut TrackerHosts) {
        for asked in &self.asked {
            if let Some(found) = &asked.matched {
                hosts.note(&asked.url, &self.site, found);
            }
        }
    }

    /// Looks at what requests do that no list knows, given a first reading of cookies and storage.
    pub(super) fn look_at_behaviour(
        &mut self,
        cookies: &[CookieFact],
        storage: &[StorageFact],
        visit: &VisitRecord,
        classifier: &Classifier,
    ) {
        let tells = |cookie: &&CookieFact| cookie.is.exempt != Some(true) && is_identifier(&cookie.value);
        let identifiers: Vec<&CookieFact> = cookies.iter().filter(tells).collect();
        let tokens = tokens_of(
            identifiers
                .iter()
                .map(|cookie| cookie.value.as_str())
                .chain(storage.iter().filter(|item| item.is.exempt != Some(true)).map(|item| item.value.as_str())),
        );
        // Addresses whose answers set a lasting identifier.
        let mut setters: BTreeSet<&str> = BTreeSet::new();
        for event in &visit.events {
            let EventKind::CookieWritten { name, raw, writer: Writer::Header { url }, deleted: false } = &event.kind
            else {
                continue;
            };
            let lasts = SetCookie::parse(raw).lifetime_s(visit.started_at).is_some_and(|life| life > LASTING_S);
            if lasts && identifiers.iter().any(|cookie| cookie.name == *name && cookie.traces.writes.contains(&event.n))
            {
                setters.insert(url);
            }
        }
        for asked in self.asked.iter_mut().filter(|asked| asked.matched.is_none()) {
            let carried = asked
                .sent
                .iter()
                .any(|sent| identifiers.iter().any(|cookie| cookie.name == sent.name && cookie.domain == sent.domain));
            let facts = RequestFacts {
                url: &asked.url,
                document_url: &asked.document,
                resource: &asked.resource,
                response_mime: asked.mime.as_deref(),
                response_bytes: asked.body_bytes,
                sets_identifier_cookie: setters.contains(asked.url.as_str()),
                sends_identifier: carried || asked.holds_any(&tokens),
            };
            asked.matched = classifier.request_behaviour(&facts).filter(|found| found.class.is_exempt() != Some(true));
            asked.by_behaviour = asked.matched.is_some();
        }
        self.look_at_scans(visit);
        self.look_at_operators();
    }

    /// Marks what third parties whose scripts ask what tells devices apart then fetch: script and answer.
    fn look_at_scans(&mut self, visit: &VisitRecord) {
        let scanners: BTreeMap<String, u64> = visit
            .events
            .iter()
            .filter_map(|event| match &event.kind {
                EventKind::Fingerprinting { script: Some(script), .. } => Some((host_of(script)?, event.n)),
                _ => None,
            })
            .rev()
            .collect();
        for (scanner, since) in scanners {
            if party(&scanner, &self.site) == Party::First {
                continue;
            }
            let operator = registrable_domain(&scanner).to_owned();
            let theirs = |asked: &&mut Asked| registrable_domain(&asked.host) == operator;
            let sends = self
                .asked
                .iter_mut()
                .filter(theirs)
                .any(|asked| asked.event > since && (asked.body.is_some() || asked.url.contains('?')));
            if !sends {
                continue;
            }
            for asked in self.asked.iter_mut().filter(theirs).filter(|asked| asked.matched.is_none()) {
                let why = format!("a script of {scanner} asks what tells devices apart, and sends to {operator}");
                asked.matched = Some(TrackerMatch { why, class: Class::Unknown });
                asked.by_behaviour = true;
            }
        }
    }

    /// Marks third-party requests to the domain of a tracker that was found by what it does: the script that loads a
    /// pixel is its operator's as the pixel is.
    fn look_at_operators(&mut self) {
        let found: BTreeMap<String, Class> = self
            .asked
            .iter()
            .filter(|asked| asked.by_behaviour && asked.party == Party::Third)
            .filter_map(|asked| Some((registrable_domain(&asked.host).to_owned(), asked.matched.as_ref()?.class)))
            .collect();
        for asked in self.asked.iter_mut().filter(|asked| asked.matched.is_none() && asked.party == Party::Third) {
            let operator = registrable_domain(&asked.host);
            if let Some(class) = found.get(operator) {
                let why = format!("of the same domain as a tracker found by what it does ({operator})");
                asked.matched = Some(TrackerMatch { why, class: *class });
                asked.by_behaviour = true;
            }
        }
    }

    /// Returns what of a profile went to third parties.
    pub(super) fn sent(&self, profile: &Profile) -> Sent {
        let foreign: Vec<&Asked> = self.asked.iter().filter(|asked| asked.party == Party::Third).collect();
        let mut sent = Sent::default();
        for asked in &foreign {
            let third = asked.sent.iter().map(|cookie| (cookie.name.clone(), cookie.domain.clone()));
            sent.cookies.extend(third);
        }
        let went = |value: &str| {
            let tokens = tokens_of([value]);
            !tokens.is_empty() && foreign.iter().any(|asked| asked.holds_any(&tokens))
        };
        for (name, domain, value) in profile.cookies() {
            if went(value) {
                sent.cookies.insert((name.to_owned(), domain.to_owned()));
            }
        }
        for (kind, origin, key, value) in profile.storage() {
            if went(value) {
                sent.storage.insert((kind, origin.to_owned(), key.to_owned()));
            }
        }
        sent
    }

    /// Returns the requests and the trackers among their hosts, given what cookies and storage finally are.
    pub(super) fn into_facts(
        self,
        cookies: &[CookieFact],
        storage: &[StorageFact],
    ) -> (Vec<RequestFact>, Vec<TrackerFact>) {
        let tokens = tokens_of(
            cookies
                .iter()
                .filter(|cookie| cookie.is.exempt == Some(false))
                .map(|cookie| cookie.value.as_str())
                .chain(storage.iter().filter(|item| item.is.exempt == Some(false)).map(|item| item.value.as_str())),
        );
        let mut trackers: BTreeMap<String, TrackerFact> = BTreeMap::new();
        for asked in &self.asked {
            let Some(found) = &asked.matched else { continue };
            let count = |other: &&Asked| other.host == asked.host && (!asked.is_own_host || other.matched.is_some());
            let new = || TrackerFact {
                host: asked.host.clone(),
                party: asked.party,
                requests: self.asked.iter().filter(count).count(),
                is_own_host: asked.is_own_host,
                why: found.why.clone(),
                class: found.class,
                by_behaviour: asked.by_behaviour,
                event: asked.event,
            };
            let tracker = trackers.entry(asked.host.clone()).or_insert_with(new);
            // A list says more than behaviour, and advertising more than measurement.
            if tracker.by_behaviour && !asked.by_behaviour {
                (tracker.why, tracker.class, tracker.by_behaviour) = (found.why.clone(), found.class, false);
            }
        }
        let titled = |asked: &Asked, exempt: Option<bool>| {
            let is_sent = |cookie: &&CookieFact| {
                asked.sent.iter().any(|sent| sent.name == cookie.name && sent.domain == cookie.domain)
            };
            let mut titles: Vec<String> = cookies
                .iter()
                .filter(|cookie| cookie.is.exempt == exempt)
                .filter(is_sent)
                .map(CookieFact::title)
                .collect();
            titles.dedup();
            titles
        };
        let facts = self.asked.iter().map(|asked| RequestFact {
            event: asked.event,
            url: asked.url.clone(),
            host: asked.host.clone(),
            party: asked.party,
            resource: asked.resource.clone(),
            initiator: asked.initiator.clone(),
            carries_data: asked.url.contains('?') || asked.body.as_ref().is_some_and(|body| !body.is_empty()),
            cookies: titled(asked, Some(false)),
            unclear_cookies: titled(asked, None),
            identifier: (asked.party == Party::Third || asked.matched.is_some()) && asked.holds_any(&tokens),
            tracker: asked.matched.clone(),
        });
        (facts.collect(), trackers.into_values().collect())
    }
}

impl Asked {
    fn holds_any(&self, tokens: &[String]) -> bool {
        if tokens.is_empty() {
            return false;
        }
        let texts = [Some(self.url.as_str()), self.body.as_deref()];
        texts.into_iter().flatten().any(|text| {
            let plain = percent_decoded(text);
            tokens.iter().any(|token| text.contains(token.as_str()) || plain.contains(token.as_str()))
        })
    }
}

fn bare(host: &str) -> &str {
    host.strip_prefix("www.").unwrap_or(host)
}

/// Returns what to look for of identifying values: each whole, and its parts that identify by themselves.
///
/// Google's tags hand on `GA1.1.123.456` as `123.456`, so the last two parts between points count too.
fn tokens_of<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut tokens = Vec::new();
    for value in values.into_iter().filter(|value| is_identifier(value)) {
        let plain = percent_decoded(value);
        for whole in [value, &plain] {
            tokens.push(whole.to_owned());
            let parts = whole.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')));
            tokens.extend(parts.filter(|part| is_identifier(part)).map(str::to_owned));
            let mut points = whole.rsplitn(3, '.');
            if let (Some(last), Some(before), Some(_)) = (points.next(), points.next(), points.next())
                && [last, before].iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
            {
                tokens.push(format!("{before}.{last}"));
            }
        }
    }
    tokens.retain(|token| token.len() >= MIN_TOKEN_BYTES);
    tokens.sort();
    tokens.dedup();
    tokens
}

/// Returns text with percent encoding undone; what is no UTF-8 then is replaced.
pub(crate) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = |at: usize| after.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (first, hex(0), hex(1)) {
            bytes.push((high * 16 + low) as u8);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
