//! Turns what the browser tells of a visit into one stream of events, and keeps what is going on right now.
//!
//! Out of scope: doing anything (`visit`). The recorder only writes down, except that the caller acts on the
//! [`Reaction`] it returns, for what cannot wait: new targets, dialogs, bodies.
//!
//! The surprise: the browser tells of one request in several messages on two channels whose order is not fixed. Raw
//! headers that come before their request wait in [`Hops`] until it is known.

use crate::{hooks::Report, wire::Message};
use serde_json::Value;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};
use vigie_domain::record::{BlockedCookie, Event, EventKind, SentCookie, StorageKind, Writer};

/// Timers due later than this after being set do not keep a page from being quiet.
pub(crate) const TIMER_HORIZON: Duration = Duration::from_secs(9);

/// How long after its head an answer is waited for without a sign of its body.
const UNREAD_AFTER: Duration = Duration::from_millis(1_500);

/// How long past its due time a timer is waited for; one that has not run by then never will.
const TIMER_GRACE: Duration = Duration::from_millis(1_500);

/// Events kept of one visit. A page that makes more is noisy on purpose; the cut is recorded as a gap.
const MAX_EVENTS: usize = 60_000;

/// What the visit must do about a message.
#[derive(Debug)]
pub(crate) enum Reaction {
    /// A target waits to be prepared and let run.
    Prepare { session: Arc<str>, kind: String, target: String, opened_by_page: bool },
    /// A further session of a target that another session records already: it is only let run.
    LetRun { session: Arc<str> },
    /// A dialog waits for an answer.
    AnswerDialog { session: Arc<str>, accept: bool },
    /// A body can be fetched and hashed; the event's number.
    HashBody { session: Arc<str>, id: String, event: usize },
    /// An origin was seen for the first time: its storage is to be followed.
    FollowOrigin { session: Arc<str>, origin: String },
}

/// A session of the visit: a page, frame or worker that we are attached to.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// DevTools target type.
    pub kind: String,
    /// The target's id; for a frame, also its frame id.
    pub target: String,
    /// The session through which it was attached; empty for the page.
    pub parent: Arc<str>,
    /// Whether this session records. Of several that one target has (a service worker's: one through the page, one
    /// through the browser) only one does, or its requests would count twice.
    pub records: bool,
}

/// A frame as far as it is known.
#[derive(Debug, Clone)]
pub(crate) struct FrameState {
    /// Its address.
    pub url: String,
    /// The session that speaks for it.
    pub session: Arc<str>,
    /// Its parent's frame id.
    pub parent: Option<String>,
}

#[derive(Debug)]
struct InFlight {
    since: Instant,
    url: String,
    endless: bool,
    /// When the head of the answer came.
    answered: Option<Instant>,
}

#[derive(Debug, Default)]
struct Hops {
    urls: Vec<String>,
    document: Option<String>,
    resource: String,
    sent: usize,
    answered: usize,
    early: Vec<(bool, Value)>,
}

/// The state of a visit.
pub(crate) struct State {
    /// Start of the visit's clock.
    pub started: Instant,
    /// What happened so far.
    pub events: Vec<Event>,
    /// Attached targets.
    pub sessions: HashMap<Arc<str>, Session>,
    /// The page's own session.
    pub main_session: Arc<str>,
    /// The page's main frame.
    pub main_frame: String,
    /// All frames.
    pub frames: HashMap<String, FrameState>,
    /// Origins whose storage is looked at, with a session that can.
    pub origins: BTreeSet<(String, Arc<str>)>,
    /// Whether the main frame's document has fired `load` since the last navigation.
    pub loaded: bool,
    /// Whether the main frame's document has been parsed since the last navigation.
    pub parsed: bool,
    /// HTTP status of the main frame's last document.
    pub status: u16,
    /// Media type of the main frame's last document.
    pub mime: String,
    /// How the page went, if it did.
    pub gone: Option<String>,
    /// What could not be observed.
    pub gaps: BTreeSet<String>,
    /// Navigations of the main frame so far.
    pub navigations: u32,
    /// Dialogs answered so far.
    pub dialogs: u32,
    /// Bodies being fetched.
    pub hashing: u32,
    /// When anything last happened that quiet waits for.
    pub last_activity: Instant,
    /// What that was.
    pub last_what: String,
    binding: String,
    in_flight: HashMap<String, InFlight>,
    hops: HashMap<String, Hops>,
    timers: HashMap<(Arc<str>, i64), Instant>,
    animations: HashMap<String, Instant>,
    console_lines: u32,
    pop_ups: u32,
    download_urls: BTreeSet<String>,
}

impl State {
    pub(crate) fn new(binding: String, main_frame: String) -> Self {
        let now = Instant::now();
        Self {
            started: now,
            events: Vec::new(),
            sessions: HashMap::new(),
            main_session: Arc::from(""),
            main_frame,
            frames: HashMap::new(),
            origins: BTreeSet::new(),
            loaded: false,
            parsed: false,
            status: 0,
            mime: String::new(),
            gone: None,
            gaps: BTreeSet::new(),
            navigations: 0,
            dialogs: 0,
            hashing: 0,
            last_activity: now,
            last_what: "start".to_owned(),
            binding,
            in_flight: HashMap::new(),
            hops: HashMap::new(),
            timers: HashMap::new(),
            animations: HashMap::new(),
            console_lines: 0,
            pop_ups: 0,
            download_urls: BTreeSet::new(),
        }
    }

    /// Returns milliseconds since the visit's start.
    pub(crate) fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Appends an event and returns its number.
    pub(crate) fn push(&mut self, document: Option<String>, kind: EventKind) -> usize {
        if self.events.len() >= MAX_EVENTS {
            self.gaps.insert(format!("more than {MAX_EVENTS} events happened; later ones were not kept"));
            return self.events.len() - 1;
        }
        let n = self.events.len();
        self.events.push(Event { n: n as u64, at_ms: self.now_ms(), document, kind });
        n
    }

    /// Returns what keeps the page from being quiet now, and for how long at least; `None` if nothing does.
    pub(crate) fn busy(&self, settle: Duration) -> Option<(String, Duration)> {
        let now = Instant::now();
        // An answer whose body the page never reads (a beacon sent by `fetch`) is never reported as finished.
        let read = |request: &InFlight| request.answered.is_none_or(|at| now - at < UNREAD_AFTER);
        let open = self
            .in_flight
            .values()
            // A request that hangs for long is a stream or a slow pixel: neither is a reason to wait for ever.
            .filter(|request| !request.endless && read(request) && now - request.since < Duration::from_secs(8))
            .min_by_key(|request| request.since);
        if let Some(request) = open {
            return Some((format!("a request to {}", short(&request.url)), Duration::from_millis(20)));
        }
        // A timer counts until the page says that it has run: a page short of time runs it late.
        let timer = self.timers.values().copied().max().filter(|due| *due + TIMER_GRACE > now);
        if let Some(due) = timer {
            return Some(("a timer".to_owned(), due.saturating_duration_since(now)));
        }
        let animation = self.animations.values().copied().max().filter(|until| *until > now);
        if let Some(until) = animation {
            return Some(("an animation".to_owned(), until - now));
        }
        let still = now - self.last_activity;
        if still < settle {
            return Some((self.last_what.clone(), settle.saturating_sub(still)));
        }
        None
    }

    /// Forgets timers and animations, when a new document takes the place of the old one.
    fn forget_pending(&mut self, session: &Arc<str>) {
        self.timers.retain(|(owner, _), _| owner != session);
        self.animations.clear();
    }

    fn active(&mut self, what: &str) {
        self.last_activity = Instant::now();
        if self.last_what != what {
            what.clone_into(&mut self.last_what);
        }
    }

    /// Takes in one message.
    pub(crate) fn take(&mut self, message: &Message) -> Option<Reaction> {
        let Message { session, method, params } = message;
        match method.as_str() {
            "Target.attachedToTarget" => return Some(self.attached(session, params)),
            "Target.detachedFromTarget" => return self.detached(params),
            "Inspector.targetCrashed" | "Target.targetCrashed" => self.crashed(session, params),
            "Page.frameAttached" => self.frame_attached(session, params),
            "Page.frameNavigated" => return self.frame_navigated(session, &params["frame"]),
            "Page.navigatedWithinDocument" => self.navigated_within(params),
            "Page.frameDetached" if params["reason"] != "swap" => {
                self.frames.remove(text(&params["frameId"]));
            }
            "Page.domContentEventFired" if *session == self.main_session => self.parsed = true,
            "Page.loadEventFired" if *session == self.main_session => {
                self.loaded = true;
                self.active("the page loading");
            }
            "Page.javascriptDialogOpening" => return Some(self.dialog(session, params)),
            "Page.downloadWillBegin" | "Browser.downloadWillBegin" => self.download(params),
            "Network.requestWillBeSent" => self.request(session, params),
            "Network.requestWillBeSentExtraInfo" => self.extra(params, true),
            "Network.responseReceivedExtraInfo" => self.extra(params, false),
            "Network.responseReceived" => self.response(params),
            "Network.dataReceived" => {
                if let Some(request) = self.in_flight.get_mut(text(&params["requestId"])) {
                    request.answered = request.answered.map(|_| Instant::now());
                }
            }
            "Network.loadingFinished" => return self.finished(session, params),
            "Network.loadingFailed" => self.failed(params),
            "Network.eventSourceMessageReceived" | "Network.webSocketCreated" => {
                if let Some(request) = self.in_flight.get_mut(text(&params["requestId"])) {
                    request.endless = true;
                }
                if method == "Network.webSocketCreated" {
                    self.web_socket(params);
                }
            }
            "Runtime.bindingCalled" if text(&params["name"]) == self.binding => self.report(session, params),
            "Runtime.executionContextDestroyed" => {
                let context = params["executionContextId"].as_i64().unwrap_or_default();
                self.timers.remove(&(Arc::clone(session), context));
            }
            "Runtime.executionContextsCleared" => self.forget_pending(session),
            "Runtime.consoleAPICalled" => self.console(text(&params["type"]), &console_text(&params["args"])),
            "Runtime.exceptionThrown" => {
                let details = &params["exceptionDetails"];
                let description = details["exception"]["description"].as_str().unwrap_or(text(&details["text"]));
                self.console("exception", description);
            }
            "DOMStorage.domStorageItemAdded" | "DOMStorage.domStorageItemUpdated" => {
                self.storage(params, params["newValue"].as_str());
            }
            "DOMStorage.domStorageItemRemoved" => self.storage(params, None),
            "Animation.animationStarted" => self.animation(&params["animation"]),
            "Animation.animationCanceled" => {
                self.animations.remove(text(&params["id"]));
            }
            _ => {}
        }
        None
    }

    fn attached(&mut self, parent: &Arc<str>, params: &Value) -> Reaction {
        let info = &params["targetInfo"];
        let session: Arc<str> = Arc::from(text(&params["sessionId"]));
        let kind = text(&info["type"]).to_owned();
        let target = text(&info["targetId"]).to_owned();
        let ours = kind == "page" && target == self.main_frame;
        let records = !self.sessions.values().any(|other| other.target == target && other.records);
        if !records {
            let parent = Arc::clone(parent);
            self.sessions.insert(Arc::clone(&session), Session { kind, target, parent, records });
            return Reaction::LetRun { session };
        }
        if ours {
            self.main_session = Arc::clone(&session);
        } else if self.pop_ups < 50 {
            let url = text(&info["url"]).to_owned();
            self.push(None, EventKind::Opened { target: kind.clone(), url });
        }
        let opened_by_page = kind == "page" && !ours;
        if opened_by_page {
            self.pop_ups += 1;
        }
        self.sessions.insert(
            Arc::clone(&session),
            Session { kind: kind.clone(), target: target.clone(), parent: Arc::clone(parent), records },
        );
        if kind == "iframe" {
            // The frame leaves its parent's process; from now on this session speaks for it.
            let frame = self.frames.entry(target.clone()).or_insert_with(|| FrameState {
                url: String::new(),
                session: Arc::clone(&session),
                parent: None,
            });
            frame.session = Arc::clone(&session);
        }
        Reaction::Prepare { session, kind, target, opened_by_page }
    }

    /// Forgets a session; where another has the same target, that one records from now on.
    fn detached(&mut self, params: &Value) -> Option<Reaction> {
        let session: Arc<str> = Arc::from(text(&params["sessionId"]));
        let gone = self.sessions.remove(&session);
        self.timers.retain(|(owner, _), _| *owner != session);
        self.origins.retain(|(_, owner)| *owner != session);
        if session == self.main_session && self.gone.is_none() {
            self.gone = Some("it closed itself".to_owned());
        }
        let gone = gone.filter(|gone| gone.records)?;
        let (heir, other) = self.sessions.iter_mut().find(|(_, other)| other.target == gone.target)?;
        other.records = true;
        let (session, kind, target) = (Arc::clone(heir), other.kind.clone(), other.target.clone());
        Some(Reaction::Prepare { session, kind, target, opened_by_page: false })
    }

    fn crashed(&mut self, session: &Arc<str>, params: &Value) {
        let reason = params["status"].as_str().unwrap_or("its renderer crashed").to_owned();
        self.push(None, EventKind::Crashed { reason: reason.clone() });
        if *session == self.main_session || text(&params["targetId"]) == self.main_frame {
            self.gone = Some("its renderer crashed".to_owned());
        } else {
            self.gaps.insert("the renderer of a frame crashed".to_owned());
        }
    }

    fn frame_attached(&mut self, session: &Arc<str>, params: &Value) {
        let parent = params["parentFrameId"].as_str().map(str::to_owned);
        let state = FrameState { url: String::new(), session: Arc::clone(session), parent };
        self.frames.insert(text(&params["frameId"]).to_owned(), state);
    }

    fn frame_navigated(&mut self, session: &Arc<str>, frame: &Value) -> Option<Reaction> {
        let id = text(&frame["id"]).to_owned();
        let url = format!("{}{}", text(&frame["url"]), frame["urlFragment"].as_str().unwrap_or_default());
        let main = id == self.main_frame;
        if main {
            self.forget_pending(session);
            self.navigations += 1;
            self.active("a navigation");
        }
        let parent = frame["parentId"].as_str().map(str::to_owned);
        let known = self.frames.entry(id).or_insert_with(|| FrameState {
            url: String::new(),
            session: Arc::clone(session),
            parent: parent.clone(),
        });
        known.url.clone_from(&url);
        known.session = Arc::clone(session);
        known.parent = known.parent.take().or(parent);
        self.push(None, EventKind::Navigated { url, main });
        let origin = text(&frame["securityOrigin"]);
        let new = origin.starts_with("http") && self.origins.insert((origin.to_owned(), Arc::clone(session)));
        new.then(|| Reaction::FollowOrigin { session: Arc::clone(session), origin: origin.to_owned() })
    }

    fn navigated_within(&mut self, params: &Value) {
        let id = text(&params["frameId"]);
        let url = text(&params["url"]).to_owned();
        if let Some(frame) = self.frames.get_mut(id) {
            frame.url.clone_from(&url);
        }
        if id == self.main_frame {
            self.navigations += 1;
            if self.navigations < 200 {
                self.push(None, EventKind::Navigated { url, main: true });
            }
        }
    }

    fn dialog(&mut self, session: &Arc<str>, params: &Value) -> Reaction {
        let kind = text(&params["type"]).to_owned();
        // Leaving is always allowed; anything else is declined, as declining promises nothing.
        let accept = kind == "beforeunload";
        self.dialogs += 1;
        if self.dialogs <= 20 {
            let message = cut(text(&params["message"]), 1024);
            self.push(params["url"].as_str().map(str::to_owned), EventKind::Dialog { kind, message, accepted: accept });
        } else {
            self.gaps.insert("the page kept opening dialogs; only the first 20 are listed".to_owned());
        }
        Reaction::AnswerDialog { session: Arc::clone(session), accept }
    }

    fn download(&mut self, params: &Value) {
        let frame = text(&params["frameId"]);
        let url = text(&params["url"]).to_owned();
        // The browser's own event goes to every visit; only the one with that frame is meant.
        if self.frames.contains_key(frame) && self.download_urls.insert(url.clone()) {
            let filename = text(&params["suggestedFilename"]).to_owned();
            self.push(None, EventKind::Download { url, filename });
        }
    }

    fn request(&mut self, session: &Arc<str>, params: &Value) {
        let request = &params["request"];
        let url = format!("{}{}", text(&request["url"]), request["urlFragment"].as_str().unwrap_or_default());
        if url.starts_with("data:") {
            return;
        }
        let id = text(&params["requestId"]).to_owned();
        let resource = params["type"].as_str().unwrap_or("other").to_lowercase();
        let document = params["documentURL"].as_str().map(str::to_owned);
        let initiator = initiator(&params["initiator"]);
        let redirected_from = params["redirectResponse"]["url"].as_str().map(str::to_owned);
        if !params["redirectResponse"].is_null() {
            self.response_head(&id, &params["redirectResponse"], document.clone());
        }
        let endless = matches!(resource.as_str(), "eventsource" | "websocket" | "media");
        // A beacon is sent and forgotten: nobody waits for its answer, a server may never give one.
        let endless = endless || resource == "ping";
        self.in_flight
            .insert(id.clone(), InFlight { since: Instant::now(), url: url.clone(), endless, answered: None });
        self.active("a request");
        if self.sessions.get(session).is_some_and(|of| of.kind == "page")
            && resource == "document"
            && text(&params["frameId"]) == self.main_frame
        {
            self.loaded = false;
            self.parsed = false;
        }
        let event = EventKind::Request {
            id: id.clone(),
            url: url.clone(),
            method: text(&request["method"]).to_owned(),
            resource: resource.clone(),
            initiator,
            body: request["postData"].as_str().map(|body| cut(body, 65_536)),
            redirected_from,
        };
        self.push(document.clone(), event);
        let hops = self.hops.entry(id.clone()).or_default();
        hops.urls.push(url);
        hops.document = document;
        hops.resource = resource;
        let early = std::mem::take(&mut hops.early);
        for (sent, params) in early {
            self.extra_known(&id, &params, sent);
        }
    }

    fn web_socket(&mut self, params: &Value) {
        let event = EventKind::Request {
            id: text(&params["requestId"]).to_owned(),
            url: text(&params["url"]).to_owned(),
            method: "GET".to_owned(),
            resource: "websocket".to_owned(),
            initiator: initiator(&params["initiator"]),
            body: None,
            redirected_from: None,
        };
        self.push(None, event);
    }

    fn extra(&mut self, params: &Value, sent: bool) {
        let id = text(&params["requestId"]).to_owned();
        let hops = self.hops.entry(id.clone()).or_default();
        let next = if sent { hops.sent } else { hops.answered };
        if next >= hops.urls.len() && hops.early.len() < 32 {
            hops.early.push((sent, params.clone()));
            return;
        }
        self.extra_known(&id, params, sent);
    }

    fn extra_known(&mut self, id: &str, params: &Value, sent: bool) {
        let Some(hops) = self.hops.get_mut(id) else { return };
        let document = hops.document.clone();
        if sent {
            hops.sent += 1;
            let mut cookies = Vec::new();
            let mut blocked = Vec::new();
            for associated in list(&params["associatedCookies"]) {
                let cookie = &associated["cookie"];
                let reasons = strings(&associated["blockedReasons"]);
                let name = text(&cookie["name"]).to_owned();
                let domain = text(&cookie["domain"]).trim_start_matches('.').to_owned();
                if reasons.is_empty() {
                    cookies.push(SentCookie { name, value: text(&cookie["value"]).to_owned(), domain });
                } else {
                    blocked.push(BlockedCookie { name, domain, reasons });
                }
            }
            let headers = headers(&params["headers"], "cookie");
            self.push(document, EventKind::RequestSent { id: id.to_owned(), cookies, blocked, headers });
            return;
        }
        let url = hops.urls.get(hops.answered).or(hops.urls.last()).cloned().unwrap_or_default();
        hops.answered += 1;
        let mut blocked = Vec::new();
        let mut refused = BTreeSet::new();
        for entry in list(&params["blockedCookies"]) {
            let line = text(&entry["cookieLine"]);
            refused.insert(line.to_owned());
            let name = cookie_name(line);
            let stated = entry["cookie"]["domain"].as_str().map(str::to_owned).or_else(|| host(&url));
            let domain = stated.unwrap_or_default().trim_start_matches('.').to_owned();
            blocked.push(BlockedCookie { name, domain, reasons: strings(&entry["blockedReasons"]) });
        }
        let set: Vec<String> = params["headers"]
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
            .flat_map(|(_, value)| text(value).split('\n'))
            .map(str::to_owned)
            .collect();
        let names = headers(&params["headers"], "");
        self.push(document.clone(), EventKind::ResponseHeaders { id: id.to_owned(), headers: names, blocked });
        for raw in set.into_iter().filter(|raw| !refused.contains(raw)) {
            self.active("a cookie");
            let event = EventKind::CookieWritten {
                name: cookie_name(&raw),
                deleted: deletes(&raw),
                raw: cut(&raw, 4096),
                writer: Writer::Header { url: url.clone() },
            };
            self.push(document.clone(), event);
        }
    }

    fn response(&mut self, params: &Value) {
        let id = text(&params["requestId"]).to_owned();
        let response = &params["response"];
        if params["type"] == "Document" && text(&params["frameId"]) == self.main_frame {
            self.status = response["status"].as_u64().unwrap_or_default() as u16;
            self.mime = text(&response["mimeType"]).to_owned();
        }
        let document = self.hops.get(&id).and_then(|hops| hops.document.clone());
        self.response_head(&id, response, document);
        if let Some(request) = self.in_flight.get_mut(&id) {
            request.answered = Some(Instant::now());
            request.endless |= response["mimeType"] == "text/event-stream";
        }
        self.active("a response");
    }

    fn response_head(&mut self, id: &str, response: &Value, document: Option<String>) {
        let url = text(&response["url"]);
        if url.starts_with("data:") {
            return;
        }
        let cached =
            ["fromDiskCache", "fromServiceWorker", "fromPrefetchCache"].iter().any(|key| response[*key] == true);
        let event = EventKind::Response {
            id: id.to_owned(),
            url: url.to_owned(),
            status: response["status"].as_u64().unwrap_or_default() as u16,
            mime: text(&response["mimeType"]).to_owned(),
            remote: response["remoteIPAddress"].as_str().map(str::to_owned),
            from_cache: cached,
            protocol: text(&response["protocol"]).to_owned(),
            status_text: cut(text(&response["statusText"]), 200),
        };
        self.push(document, event);
    }

    fn finished(&mut self, session: &Arc<str>, params: &Value) -> Option<Reaction> {
        let id = text(&params["requestId"]).to_owned();
        self.in_flight.remove(&id);
        let hops = self.hops.get(&id)?;
        let document = hops.document.clone();
        let encoded_bytes = params["encodedDataLength"].as_f64().unwrap_or_default().max(0.0) as u64;
        let small = encoded_bytes <= 4 * 1024 * 1024;
        self.active("a response");
        let kind = EventKind::Finished { id: id.clone(), encoded_bytes, sha256: None, body_bytes: None };
        let event = self.push(document, kind);
        small.then(|| Reaction::HashBody { session: Arc::clone(session), id, event })
    }

    fn failed(&mut self, params: &Value) {
        let id = text(&params["requestId"]).to_owned();
        if self.in_flight.remove(&id).is_some() {
            self.active("a request");
        }
        let Some(hops) = self.hops.get(&id) else { return };
        let document = hops.document.clone();
        let error = text(&params["errorText"]).to_owned();
        self.push(document, EventKind::Failed { id, error });
    }

    fn report(&mut self, session: &Arc<str>, params: &Value) {
        let Ok(report) = serde_json::from_str::<Report>(text(&params["payload"])) else { return };
        let context = params["executionContextId"].as_i64().unwrap_or_default();
        match report {
            Report::Timer { due } => {
                let key = (Arc::clone(session), context);
                let wait = Duration::from_millis(due.clamp(0.0, 1e6) as u64);
                // Shorter ones are over before quiet could be reached; some pages set them for ever.
                if wait < Duration::from_millis(200) || wait > TIMER_HORIZON {
                    if self.timers.remove(&key).is_some() {
                        // What it set going is still to be seen.
                        self.active("a timer");
                    }
                } else {
                    self.timers.insert(key, Instant::now() + wait);
                }
            }
            Report::Read { api, script } => {
                self.push(None, EventKind::StorageRead { api, script });
            }
            Report::Cookie { raw, stack } => {
                self.active("a cookie");
                let event = EventKind::CookieWritten {
                    name: cookie_name(&raw),
                    deleted: deletes(&raw),
                    raw: cut(&raw, 4096),
                    writer: Writer::Script { stack },
                };
                self.push(None, event);
            }
            Report::Fp { api, script, calls } => {
                self.push(None, EventKind::Fingerprinting { api, script, calls });
            }
            Report::Print => {
                self.push(None, EventKind::Dialog { kind: "print".into(), message: String::new(), accepted: false });
            }
        }
    }

    fn console(&mut self, level: &str, message: &str) {
        self.console_lines += 1;
        if self.console_lines <= 200 {
            self.push(None, EventKind::Console { level: level.to_owned(), text: cut(message, 1024) });
        }
    }

    fn storage(&mut self, params: &Value, value: Option<&str>) {
        let id = &params["storageId"];
        let kind = if id["isLocalStorage"] == true { StorageKind::Local } else { StorageKind::Session };
        let origin = id["securityOrigin"].as_str().or(id["storageKey"].as_str()).unwrap_or_default();
        let origin = origin.split('^').next().unwrap_or_default().trim_end_matches('/').to_owned();
        let key = text(&params["key"]).to_owned();
        // Some pages write a clock into storage for ever; the same key again is not news.
        let again = self.events.iter().rev().take(50).any(|event| {
            matches!(&event.kind, EventKind::StorageWritten { key: known, value: Some(_), .. } if *known == key)
        });
        if !again {
            self.active("a write to storage");
        }
        self.push(None, EventKind::StorageWritten { kind, origin, key, value: value.map(|v| cut(v, 4096)) });
    }

    fn animation(&mut self, animation: &Value) {
        let source = &animation["source"];
        let number = |key: &str| source[key].as_f64().unwrap_or_default();
        // Endless animations (`iterations` is null in JSON) decorate; they bring nothing new after the first round.
        let iterations = source["iterations"].as_f64().unwrap_or(1.0).clamp(0.0, 10.0);
        let length = number("delay") + number("duration") * iterations;
        if length > 0.0 && length <= TIMER_HORIZON.as_millis() as f64 && self.animations.len() < 500 {
            let until = Instant::now() + Duration::from_millis(length as u64);
            self.animations.insert(text(&animation["id"]).to_owned(), until);
        }
    }
}

/// Returns the address that asked for a request: the innermost script, or the document whose parser did.
fn initiator(initiator: &Value) -> Option<String> {
    let mut stack = &initiator["stack"];
    while !stack.is_null() {
        let first = list(&stack["callFrames"]).iter().map(|frame| text(&frame["url"])).find(|url| !url.is_empty());
        if let Some(url) = first {
            return Some(url.to_owned());
        }
        stack = &stack["parent"];
    }
    initiator["url"].as_str().map(str::to_owned)
}

fn console_text(arguments: &Value) -> String {
    let parts: Vec<String> = list(arguments)
        .iter()
        .map(|argument| match &argument["value"] {
            Value::String(text) => text.clone(),
            Value::Null => text(&argument["description"]).to_owned(),
            other => other.to_string(),
        })
        .collect();
    parts.join(" ")
}

/// The longest header value that is kept, in bytes.
const HEADER_BYTES: usize = 16 * 1024;

fn headers(map: &Value, except: &str) -> Vec<(String, String)> {
    let pairs = map.as_object().into_iter().flatten();
    pairs
        .filter(|(name, _)| !name.eq_ignore_ascii_case(except))
        // The browser joins a header that comes several times with line feeds.
        .flat_map(|(name, value)| text(value).split('\n').map(|value| (name.to_lowercase(), cut(value, HEADER_BYTES))))
        .collect()
}

/// Returns the name in a `Set-Cookie` value or a `document.cookie` assignment. A pair without `=` has an empty name
/// by RFC 6265bis; what stands there is its value.
fn cookie_name(raw: &str) -> String {
    let pair = raw.split(';').next().unwrap_or_default();
    pair.split_once('=').map_or("", |(name, _)| name).trim().to_owned()
}

/// Returns whether a write removes the cookie: `max-age` not above zero, or an `expires` long past.
fn deletes(raw: &str) -> bool {
    raw.split(';').skip(1).any(|attribute| {
        let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "max-age" => value.parse::<f64>().is_ok_and(|seconds| seconds <= 0.0),
            "expires" => {
                ["1970", "-70", "1969", "-1970", "0001", "2000", " 00 "].iter().any(|year| value.contains(year))
            }
            _ => false,
        }
    })
}

fn host(url: &str) -> Option<String> {
    url::Url::parse(url).ok()?.host_str().map(str::to_owned)
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn strings(value: &Value) -> Vec<String> {
    list(value).iter().map(|item| text(item).to_owned()).collect()
}

/// Returns at most `limit` bytes of a text, cut between characters.
pub(crate) fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let mut end = limit;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

fn short(url: &str) -> String {
    host(url).unwrap_or_else(|| cut(url, 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_with_a_past_expiry_deletes() {
        let check = |raw: &str, expected: bool| assert_eq!(deletes(raw), expected, "{raw}");
        check("a=1; max-age=0", true);
        check("a=1; Max-Age=-1; path=/", true);
        check("a=1; expires=Thu, 01 Jan 1970 00:00:00 GMT", true);
        check("a=1; expires=Thu, 01 Jan 2099 00:00:00 GMT", false);
        check("a=1; max-age=31536000", false);
        check("max-age=0", false);
    }

    #[test]
    fn a_cookie_without_an_equals_sign_has_no_name() {
        assert_eq!(cookie_name("token; path=/"), "");
        assert_eq!(cookie_name(" a = 1; path=/"), "a");
    }

    #[test]
    fn raw_headers_that_come_before_their_request_are_kept_for_it() {
        let mut state = State::new("b".into(), "F".into());
        let message = |method: &str, params: Value| Message { session: Arc::from("s"), method: method.into(), params };
        let headers = serde_json::json!({"requestId": "1", "headers": {"set-cookie": "a=1\nb=2; max-age=0"}, "blockedCookies": []});
        state.take(&message("Network.responseReceivedExtraInfo", headers));
        assert!(state.events.is_empty());
        let request = serde_json::json!({"requestId": "1", "documentURL": "https://x.test/", "type": "Script",
            "request": {"url": "https://t.test/a.js", "method": "GET"}, "initiator": {"type": "parser"}});
        state.take(&message("Network.requestWillBeSent", request));
        let written: Vec<_> = state
            .events
            .iter()
            .filter_map(|event| match &event.kind {
                EventKind::CookieWritten { name, deleted, writer, .. } => Some((name.as_str(), *deleted, writer.url())),
                _ => None,
            })
            .collect();
        assert_eq!(written, [("a", false, Some("https://t.test/a.js")), ("b", true, Some("https://t.test/a.js"))]);
    }
}
