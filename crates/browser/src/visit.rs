//! A visit: a clean profile with one page, attached to everything the page opens before it runs.
//!
//! The profile is a browser context of its own: no cookie, cache or permission is shared with another visit, and it
//! is gone when the visit is closed. Recording starts before the first byte.
//!
//! Pop-ups are attached to, written down with their address, and closed at once: a window in front of the page would
//! stop it from being seen.

use crate::{
    BrowserError, Spool, hooks,
    launch::Version,
    recorder::{Reaction, State, text},
    wire::{Message, Wire},
};
use base64::Engine as _;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};
use vigie_domain::record::{Event, EventKind};

/// How a visit presents itself to the site.
#[derive(Debug, Clone)]
pub struct VisitOptions {
    /// Width and height of the viewport in CSS pixels. Below 600 wide the visit is that of a phone.
    pub viewport: (u32, u32),
    /// The locale, as a BCP 47 tag, for instance `fr-FR`.
    pub locale: String,
    /// The time zone, as an IANA name; `None` leaves the machine's.
    pub timezone: Option<String>,
    /// Whether `Sec-GPC: 1` is sent and `navigator.globalPrivacyControl` is true.
    pub global_privacy_control: bool,
    /// Whether bodies are fetched and hashed.
    pub hash_bodies: bool,
    /// Where bodies are kept besides; `None` keeps none.
    pub spool: Option<Arc<Spool>>,
}

impl Default for VisitOptions {
    fn default() -> Self {
        Self {
            viewport: (1366, 768),
            locale: "en-GB".to_owned(),
            timezone: None,
            global_privacy_control: false,
            hash_bodies: true,
            spool: None,
        }
    }
}

/// How opening an address ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// A document came, whatever its status; the HTTP status is with it.
    Document(u16),
    /// No document came; the browser's word for it, for instance `net::ERR_NAME_NOT_RESOLVED`.
    Nothing(String),
}

/// A picture of the viewport.
#[derive(Debug, Clone)]
pub struct Picture {
    /// PNG.
    pub png: Vec<u8>,
    /// When, in milliseconds of the visit's clock.
    pub at_ms: u64,
}

/// A visit under way.
pub struct Visit {
    pub(crate) wire: Wire,
    pub(crate) state: Arc<Mutex<State>>,
    context: String,
    target: String,
    options: VisitOptions,
    follower: JoinHandle<()>,
    started_at: jiff::Timestamp,
    closed: bool,
}

static BINDINGS: AtomicU32 = AtomicU32::new(0);

impl Visit {
    pub(crate) async fn open(wire: Wire, version: Arc<Version>, options: VisitOptions) -> Result<Self, BrowserError> {
        let answer = wire.call("", "Target.createBrowserContext", json!({"disposeOnDetach": true})).await?;
        let context = text(&answer["browserContextId"]).to_owned();
        let (sender, receiver) = mpsc::unbounded_channel();
        wire.route_context(&context, sender);
        wire.tell(
            "",
            "Browser.setDownloadBehavior",
            json!({"behavior": "deny", "browserContextId": context, "eventsEnabled": true}),
        );
        // An ordinary word with a number: nothing that a page could look for, and gone before the page runs.
        let binding = format!("q{}{}", std::process::id(), BINDINGS.fetch_add(1, Ordering::Relaxed));
        let state = Arc::new(Mutex::new(State::new(binding.clone(), String::new())));
        let preparation = Preparation::new(&binding, &version, &options);
        let follower = tokio::spawn(follow(wire.clone(), Arc::clone(&state), receiver, preparation));
        let size = options.viewport;
        let create = json!({"url": "about:blank", "browserContextId": context, "width": size.0, "height": size.1});
        let created = wire.call("", "Target.createTarget", create).await;
        let mut visit = Self {
            wire,
            state,
            context,
            target: String::new(),
            options,
            follower,
            started_at: jiff::Timestamp::now(),
            closed: false,
        };
        visit.target = text(&created?["targetId"]).to_owned();
        visit.adopt_main().await?;
        Ok(visit)
    }

    /// Waits until the page's session is attached and prepared.
    async fn adopt_main(&self) -> Result<(), BrowserError> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let session = {
                let mut state = self.lock();
                state.main_frame.clone_from(&self.target);
                let found = state
                    .sessions
                    .iter()
                    .find(|(_, session)| session.target == self.target)
                    .map(|(session, _)| Arc::clone(session));
                if let Some(session) = &found {
                    state.main_session = Arc::clone(session);
                }
                found
            };
            if let Some(session) = session {
                // The preparation was sent before this and is carried out in order.
                self.wire.call(&session, "Page.getFrameTree", json!({})).await?;
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(BrowserError::Timeout {
                    method: "Target.createTarget".into(),
                    after: Duration::from_secs(10),
                });
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Opens an address and waits until its document has loaded, or `limit` has passed: a page that never finishes
    /// loading is still looked at.
    ///
    /// # Errors
    ///
    /// If the browser or the page is gone. An address that gives no document is an answer, [`Opened::Nothing`].
    pub async fn goto(&self, url: &str, limit: Duration) -> Result<Opened, BrowserError> {
        self.step("load");
        self.begin_navigation();
        let answer = self.wire.call_within(&self.main(), "Page.navigate", json!({"url": url}), limit).await;
        let answer = match answer {
            Ok(answer) => answer,
            // Chains of redirects that never end, servers that never answer.
            Err(BrowserError::Timeout { .. }) => {
                self.wire.tell(&self.main(), "Page.stopLoading", json!({}));
                return Ok(Opened::Nothing(format!("no answer within {} s", limit.as_secs())));
            }
            Err(error) => return Err(self.explain(error)),
        };
        if let Some(error) = answer["errorText"].as_str().filter(|error| !error.is_empty()) {
            return Ok(Opened::Nothing(error.to_owned()));
        }
        self.wait_loaded(limit).await?;
        Ok(Opened::Document(self.lock().status))
    }

    /// Loads the page again, as the visitor's reload does.
    ///
    /// # Errors
    ///
    /// If the browser or the page is gone.
    pub async fn reload(&self, limit: Duration) -> Result<(), BrowserError> {
        self.step("reload");
        self.begin_navigation();
        self.wire.call(&self.main(), "Page.reload", json!({})).await.map_err(|error| self.explain(error))?;
        self.wait_loaded(limit).await
    }

    fn begin_navigation(&self) {
        let mut state = self.lock();
        state.loaded = false;
        state.parsed = false;
        state.last_activity = Instant::now();
    }

    /// Waits until the document has loaded, or `limit` has passed.
    ///
    /// # Errors
    ///
    /// If the browser or the page is gone.
    pub async fn wait_loaded(&self, limit: Duration) -> Result<(), BrowserError> {
        let deadline = Instant::now() + limit;
        loop {
            {
                let state = self.lock();
                if state.loaded || Instant::now() > deadline {
                    return Ok(());
                }
            }
            self.check_alive()?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Takes a picture of the viewport.
    ///
    /// # Errors
    ///
    /// If the page does not paint in time, or is gone.
    pub async fn picture(&self) -> Result<Picture, BrowserError> {
        let params = json!({"format": "png", "captureBeyondViewport": false, "optimizeForSpeed": false});
        let answer =
            self.wire.call(&self.main(), "Page.captureScreenshot", params).await.map_err(|e| self.explain(e))?;
        let png = base64::engine::general_purpose::STANDARD.decode(text(&answer["data"])).unwrap_or_default();
        Ok(Picture { png, at_ms: self.lock().now_ms() })
    }

    /// Prints the page on A4 and returns it as PDF, with its outline and tags for screen readers.
    ///
    /// # Errors
    ///
    /// If the browser does not print it within 60 s, or the page is gone.
    pub async fn pdf(&self) -> Result<Vec<u8>, BrowserError> {
        let params = json!({"printBackground": true, "preferCSSPageSize": true, "paperWidth": 8.27,
            "paperHeight": 11.69, "generateTaggedPDF": true, "generateDocumentOutline": true});
        let limit = Duration::from_secs(60);
        let answer = self.wire.call_within(&self.main(), "Page.printToPDF", params, limit).await;
        let answer = answer.map_err(|error| self.explain(error))?;
        Ok(base64::engine::general_purpose::STANDARD.decode(text(&answer["data"])).unwrap_or_default())
    }

    /// Evaluates an expression in the main frame and returns its value by JSON; `null` if it throws.
    ///
    /// # Errors
    ///
    /// If the page does not answer within 2 s, or is gone.
    pub async fn evaluate(&self, expression: &str) -> Result<Value, BrowserError> {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true, "timeout": 1500});
        let limit = Duration::from_secs(2);
        let answer = self.wire.call_within(&self.main(), "Runtime.evaluate", params, limit).await;
        let answer = answer.map_err(|error| self.explain(error))?;
        Ok(if answer["exceptionDetails"].is_null() { answer["result"]["value"].clone() } else { Value::Null })
    }

    /// Writes an event into the stream.
    pub fn note(&self, kind: EventKind) -> u64 {
        let mut state = self.lock();
        let document = state.frames.get(&state.main_frame).map(|frame| frame.url.clone());
        state.push(document, kind) as u64
    }

    /// Writes down that a step of the plan begins.
    pub fn step(&self, what: &str) -> u64 {
        self.note(EventKind::Step { what: what.to_owned() })
    }

    /// Writes down something that could not be observed.
    pub fn gap(&self, what: String) {
        self.lock().gaps.insert(what);
    }

    /// Returns the events so far.
    pub fn events(&self) -> Vec<Event> {
        self.lock().events.clone()
    }

    /// Returns how many events there are so far.
    pub fn n_events(&self) -> u64 {
        self.lock().events.len() as u64
    }

    /// Returns the main frame's address.
    pub fn url(&self) -> String {
        let state = self.lock();
        state.frames.get(&state.main_frame).map(|frame| frame.url.clone()).unwrap_or_default()
    }

    /// Returns HTTP status and media type of the main frame's last document.
    pub fn status(&self) -> (u16, String) {
        let state = self.lock();
        (state.status, state.mime.clone())
    }

    /// Returns how often the main frame went elsewhere, within its document or beyond.
    pub fn navigations(&self) -> u32 {
        self.lock().navigations
    }

    /// Returns milliseconds since the start.
    pub fn now_ms(&self) -> u64 {
        self.lock().now_ms()
    }

    /// Returns the wall-clock time of the start.
    pub fn started_at(&self) -> jiff::Timestamp {
        self.started_at
    }

    /// Returns how it presents itself.
    pub fn options(&self) -> &VisitOptions {
        &self.options
    }

    /// Returns the id of the browser context.
    pub(crate) fn context(&self) -> &str {
        &self.context
    }

    pub(crate) fn main(&self) -> Arc<str> {
        Arc::clone(&self.lock().main_session)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds this lock")
    }

    /// Returns an error if the browser or the page is gone.
    ///
    /// # Errors
    ///
    /// [`BrowserError::PageGone`] or [`BrowserError::Gone`].
    pub fn check_alive(&self) -> Result<(), BrowserError> {
        if !self.wire.is_open() {
            return Err(BrowserError::Gone { during: "the visit".into() });
        }
        match &self.lock().gone {
            Some(why) => Err(BrowserError::PageGone { why: why.clone() }),
            None => Ok(()),
        }
    }

    /// Returns the better explanation of an error where the page is known to be gone.
    pub(crate) fn explain(&self, error: BrowserError) -> BrowserError {
        self.check_alive().err().unwrap_or(error)
    }

    /// Asks whether the profile is empty and writes down what there was, before anything is loaded.
    ///
    /// # Errors
    ///
    /// If the browser is gone.
    pub async fn check_profile(&self) -> Result<(), BrowserError> {
        let jar = self.wire.call("", "Storage.getCookies", json!({"browserContextId": self.context})).await?;
        let cookies = jar["cookies"].as_array().map_or(0, Vec::len) as u32;
        let mut state = self.lock();
        let origins = state.origins.len() as u32;
        state.push(None, EventKind::Profile { cookies, origins });
        Ok(())
    }

    /// Returns the origins that answered over TLS so far.
    pub fn secure_origins(&self) -> BTreeSet<String> {
        let state = self.lock();
        let answers = state.events.iter().filter_map(|event| match &event.kind {
            EventKind::Response { url, .. } if url.starts_with("https://") => Some(url),
            _ => None,
        });
        answers.filter_map(|url| url.split('/').nth(2).map(|host| format!("https://{host}"))).collect()
    }

    /// Returns the certificates with which an origin identified itself in this visit, the server's own first, each as
    /// DER in base64; none where the browser does not know any.
    pub async fn certificates(&self, origin: &str) -> Vec<String> {
        let (main, params) = (self.main(), json!({"origin": origin}));
        let answer = self.wire.call_within(&main, "Network.getCertificate", params, Duration::from_secs(1)).await;
        let Ok(answer) = answer else { return Vec::new() };
        let names = answer["tableNames"].as_array().into_iter().flatten();
        names.filter_map(|name| name.as_str().map(str::to_owned)).take(10).collect()
    }

    /// Ends the visit: the profile and all it held are gone. Returns the events, and what could not be observed.
    pub async fn close(mut self) -> (Vec<Event>, Vec<String>) {
        self.end().await
    }

    /// As [`Self::close`], of a visit that stays where it is. Asked again, it has nothing more to say.
    pub async fn end(&mut self) -> (Vec<Event>, Vec<String>) {
        // Bodies still being hashed belong to the evidence; they are small and nearly there.
        let deadline = Instant::now() + Duration::from_secs(2);
        while self.lock().hashing > 0 && Instant::now() < deadline && self.wire.is_open() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.leave();
        self.so_far()
    }

    /// Takes the events and what could not be observed, as far as the visit got; it goes on without them.
    pub fn so_far(&self) -> (Vec<Event>, Vec<String>) {
        let mut state = self.lock();
        let events = std::mem::take(&mut state.events);
        let gaps = std::mem::take(&mut state.gaps).into_iter().collect();
        (events, gaps)
    }

    fn leave(&mut self) {
        if !self.closed {
            self.closed = true;
            self.wire.tell("", "Target.disposeBrowserContext", json!({"browserContextId": self.context}));
            self.wire.unroute_context(&self.context);
            self.follower.abort();
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.leave();
    }
}

/// What is sent to every new target before it runs.
struct Preparation {
    binding: String,
    script: String,
    user_agent: Value,
    options: VisitOptions,
}

impl Preparation {
    fn new(binding: &str, version: &Version, options: &VisitOptions) -> Self {
        let script = hooks::script(binding, options.global_privacy_control);
        Self { binding: binding.to_owned(), script, user_agent: user_agent(version, options), options: options.clone() }
    }

    /// Sends everything; the browser carries it out in order, and the target runs after the last.
    fn send(&self, wire: &Wire, session: &str, kind: &str) {
        let tell = |method: &str, params: Value| wire.tell(session, method, params);
        let document = matches!(kind, "page" | "iframe");
        tell(
            "Network.enable",
            json!({"maxPostDataSize": 65_536, "maxTotalBufferSize": 67_108_864, "maxResourceBufferSize": 8_388_608}),
        );
        tell("Runtime.enable", json!({}));
        tell("Runtime.addBinding", json!({"name": self.binding}));
        tell("Emulation.setUserAgentOverride", self.user_agent.clone());
        if self.options.global_privacy_control {
            tell("Network.setExtraHTTPHeaders", json!({"headers": {"Sec-GPC": "1"}}));
        }
        let attach = json!({"autoAttach": true, "waitForDebuggerOnStart": true, "flatten": true});
        tell("Target.setAutoAttach", attach);
        if document {
            tell("Page.enable", json!({}));
            tell("Page.addScriptToEvaluateOnNewDocument", json!({"source": self.script, "runImmediately": true}));
            tell("DOM.enable", json!({}));
            tell("DOMStorage.enable", json!({}));
            tell("Animation.enable", json!({}));
            tell("Inspector.enable", json!({}));
            tell("Emulation.setLocaleOverride", json!({"locale": self.options.locale}));
            if let Some(zone) = &self.options.timezone {
                tell("Emulation.setTimezoneOverride", json!({"timezoneId": zone}));
            }
        } else {
            tell("Runtime.evaluate", json!({"expression": self.script}));
        }
        if kind == "page" {
            let (width, height) = self.options.viewport;
            let phone = is_phone(&self.options);
            let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone,
                "screenWidth": width, "screenHeight": height});
            tell("Emulation.setDeviceMetricsOverride", metrics);
            if phone {
                tell("Emulation.setTouchEmulationEnabled", json!({"enabled": true, "maxTouchPoints": 5}));
            }
            tell("Emulation.setFocusEmulationEnabled", json!({"enabled": true}));
        }
        tell("Runtime.runIfWaitingForDebugger", json!({}));
    }
}

fn is_phone(options: &VisitOptions) -> bool {
    options.viewport.0 < 600
}

fn user_agent(version: &Version, options: &VisitOptions) -> Value {
    let major = version.number.split('.').next().unwrap_or("0");
    let phone = is_phone(options);
    let user_agent = if phone {
        format!(
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{major}.0.0.0 Mobile Safari/537.36"
        )
    } else {
        version.user_agent.clone()
    };
    let language = options.locale.split('-').next().unwrap_or("en");
    let accept =
        if language == options.locale { language.to_owned() } else { format!("{},{language}", options.locale) };
    let brands = |number: &str| json!([{"brand": "Chromium", "version": number}, {"brand": "Not:A-Brand", "version": if number == major { "24" } else { "24.0.0.0" }}]);
    json!({
        "userAgent": user_agent,
        "acceptLanguage": accept,
        "platform": if phone { "Linux armv8l" } else { "Linux x86_64" },
        "userAgentMetadata": {
            "brands": brands(major),
            "fullVersionList": brands(&version.number),
            "platform": if phone { "Android" } else { "Linux" },
            "platformVersion": if phone { "10.0.0" } else { "" },
            "architecture": if phone { "" } else { "x86" },
            "model": if phone { "K" } else { "" },
            "mobile": phone,
            "bitness": if phone { "" } else { "64" },
            "wow64": false,
        },
    })
}

/// Follows the events of a visit for as long as it lives.
async fn follow(
    wire: Wire,
    state: Arc<Mutex<State>>,
    mut events: mpsc::UnboundedReceiver<Message>,
    preparation: Preparation,
) {
    let (hash_bodies, spool) = (preparation.options.hash_bodies, preparation.options.spool.clone());
    let places = Arc::new(Semaphore::new(BODIES_AT_ONCE));
    while let Some(message) = events.recv().await {
        let reaction = {
            let mut state = state.lock().expect("no code panics while it holds this lock");
            state.take(&message)
        };
        match reaction {
            Some(Reaction::Prepare { session, kind, target, opened_by_page }) => {
                let first = {
                    let mut state = state.lock().expect("no code panics while it holds this lock");
                    // The first page of the context is ours; its id is known only once the browser has answered.
                    let first = kind == "page" && state.main_frame.is_empty();
                    if first {
                        state.main_frame.clone_from(&target);
                        state.main_session = Arc::clone(&session);
                        state.events.clear();
                    }
                    first
                };
                preparation.send(&wire, &session, &kind);
                if opened_by_page && !first {
                    // It was let run because its opener, in the same process, waits until it does.
                    wire.tell("", "Target.closeTarget", json!({"targetId": target}));
                }
            }
            Some(Reaction::LetRun { session }) => wire.tell(&session, "Runtime.runIfWaitingForDebugger", json!({})),
            Some(Reaction::AnswerDialog { session, accept }) => {
                wire.tell(&session, "Page.handleJavaScriptDialog", json!({"accept": accept}));
            }
            Some(Reaction::HashBody { session, id, event }) if hash_bodies => {
                let body = Body { session, id, event };
                take_body(wire.clone(), Arc::clone(&state), Arc::clone(&places), spool.clone(), body);
            }
            Some(Reaction::FollowOrigin { session, origin }) => {
                let key = format!("{origin}/");
                wire.tell(&session, "Storage.trackIndexedDBForStorageKey", json!({"storageKey": key}));
                wire.tell(&session, "Storage.trackCacheStorageForStorageKey", json!({"storageKey": key}));
            }
            Some(Reaction::HashBody { .. }) | None => {}
        }
    }
    // The channel closes when the visit is closed, or when the browser is gone.
    let mut state = state.lock().expect("no code panics while it holds this lock");
    if state.gone.is_none() {
        state.gone = Some("the browser ended".to_owned());
    }
}

/// Bodies fetched at once; further ones wait their turn.
const BODIES_AT_ONCE: usize = 8;

/// Bodies that may wait. A page that sends faster than this is making work, not content.
const BODIES_WAITING: u32 = 2000;

/// A body that the browser holds.
struct Body {
    session: Arc<str>,
    id: String,
    /// The number of the event of its end.
    event: usize,
}

/// Fetches a body, writes its hash into the event of its end, and keeps it where bodies are kept.
fn take_body(
    wire: Wire,
    state: Arc<Mutex<State>>,
    places: Arc<Semaphore>,
    spool: Option<Arc<Spool>>,
    Body { session, id, event }: Body,
) {
    {
        let mut state = state.lock().expect("no code panics while it holds this lock");
        if state.hashing >= BODIES_WAITING {
            state.gaps.insert("some bodies came faster than they could be hashed".to_owned());
            return;
        }
        state.hashing += 1;
    }
    tokio::spawn(async move {
        let place = places.acquire_owned().await;
        let answer = wire
            .call_within(&session, "Network.getResponseBody", json!({"requestId": id}), Duration::from_secs(3))
            .await;
        drop(place);
        let bytes = answer.ok().and_then(|mut answer| {
            let is_encoded = answer["base64Encoded"] == true;
            let Value::String(body) = answer["body"].take() else { return None };
            if is_encoded {
                base64::engine::general_purpose::STANDARD.decode(body).ok()
            } else {
                Some(body.into_bytes())
            }
        });
        let mut unkept = None;
        let mut hashed = None;
        if let Some(bytes) = bytes {
            let kept = tokio::task::spawn_blocking(move || {
                let (sha256, length) = digest(&bytes);
                let kept = spool.map_or(Ok(()), |spool| spool.put_body(&sha256, &bytes));
                (sha256, length, kept)
            });
            if let Ok((sha256, length, kept)) = kept.await {
                hashed = Some((sha256, length));
                unkept = kept.err();
            }
        }
        let mut state = state.lock().expect("no code panics while it holds this lock");
        state.hashing -= 1;
        if let Some(error) = unkept {
            state.gaps.insert(format!("some bodies were hashed and not kept: {error}"));
        }
        if let (Some((hash, length)), Some(Event { kind: EventKind::Finished { sha256, body_bytes, .. }, .. })) =
            (hashed, state.events.get_mut(event))
        {
            *sha256 = Some(hash);
            *body_bytes = Some(length);
        }
    });
}

fn digest(bytes: &[u8]) -> (String, u64) {
    use std::fmt::Write as _;
    let hash = Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    (hash, bytes.len() as u64)
}
