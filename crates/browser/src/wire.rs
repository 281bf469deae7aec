//! The DevTools protocol over a pipe: commands out, answers and events in.
//!
//! Messages are JSON ended by a NUL byte, on two file descriptors that only this process and the browser hold. Every
//! event goes to the visit whose session it belongs to, whole and in order; a message that we do not understand is
//! passed on, never dropped, because what is lost here is lost as evidence.
//!
//! Out of scope: what commands mean (`visit`), and starting the browser (`launch`).

use crate::BrowserError;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::unix::pipe,
    sync::{mpsc, oneshot},
};

/// How long a command may take before the browser counts as not answering.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// An event, or the notice that there will be no more.
#[derive(Debug, Clone)]
pub struct Message {
    /// The session it belongs to; empty for the browser itself.
    pub session: Arc<str>,
    /// The protocol's name of the event, for instance `Network.requestWillBeSent`.
    pub method: String,
    /// Its parameters.
    pub params: Value,
}

#[derive(Deserialize)]
struct Incoming {
    id: Option<u64>,
    method: Option<String>,
    #[serde(default)]
    params: Value,
    #[serde(default)]
    result: Value,
    error: Option<ProtocolError>,
    #[serde(rename = "sessionId")]
    session: Option<String>,
}

#[derive(Deserialize)]
struct ProtocolError {
    message: String,
}

type Answer = Result<Value, BrowserError>;

#[derive(Default)]
struct Routes {
    sessions: HashMap<String, (Arc<str>, mpsc::UnboundedSender<Message>)>,
    contexts: HashMap<String, mpsc::UnboundedSender<Message>>,
}

struct Shared {
    next_id: AtomicU64,
    open: AtomicBool,
    pending: Mutex<HashMap<u64, (String, oneshot::Sender<Answer>)>>,
    routes: Mutex<Routes>,
    out: mpsc::UnboundedSender<Vec<u8>>,
}

/// A connection to one browser. Cheap to clone.
#[derive(Clone)]
pub struct Wire {
    shared: Arc<Shared>,
}

impl Wire {
    /// Takes over the two ends of the pipe and starts reading.
    pub fn start(mut to_browser: pipe::Sender, from_browser: pipe::Receiver) -> Self {
        let (out, mut waiting) = mpsc::unbounded_channel::<Vec<u8>>();
        let shared = Arc::new(Shared {
            next_id: AtomicU64::new(1),
            open: AtomicBool::new(true),
            pending: Mutex::default(),
            routes: Mutex::default(),
            out,
        });
        tokio::spawn(async move {
            while let Some(bytes) = waiting.recv().await {
                // A failed write means that the browser is gone; the reader notices and tells those who wait.
                if to_browser.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        });
        let wire = Self { shared };
        let reader = wire.clone();
        tokio::spawn(async move { reader.read_all(from_browser).await });
        wire
    }

    /// Returns whether the browser is still there.
    pub fn is_open(&self) -> bool {
        self.shared.open.load(Ordering::Acquire)
    }

    /// Sends a command and waits for its answer.
    ///
    /// # Errors
    ///
    /// If the browser refuses it, ends, or does not answer within [`COMMAND_TIMEOUT`].
    pub async fn call(&self, session: &str, method: &str, params: Value) -> Answer {
        self.call_within(session, method, params, COMMAND_TIMEOUT).await
    }

    /// As [`Self::call`], with a time limit of its own.
    ///
    /// # Errors
    ///
    /// As [`Self::call`].
    pub async fn call_within(&self, session: &str, method: &str, params: Value, limit: Duration) -> Answer {
        let (id, answer) = self.send(session, method, params);
        match tokio::time::timeout(limit, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(BrowserError::Gone { during: method.to_owned() }),
            Err(_) => {
                self.lock_pending().remove(&id);
                Err(BrowserError::Timeout { method: method.to_owned(), after: limit })
            }
        }
    }

    /// Sends a command whose answer nobody waits for. The browser handles a session's commands in order, so a later
    /// one that is waited for comes after it.
    pub fn tell(&self, session: &str, method: &str, params: Value) {
        drop(self.send(session, method, params));
    }

    /// Sends events of targets in this browser context to `events` from now on.
    pub(crate) fn route_context(&self, context: &str, events: mpsc::UnboundedSender<Message>) {
        self.lock_routes().contexts.insert(context.to_owned(), events);
    }

    /// Forgets a browser context and all its sessions.
    pub(crate) fn unroute_context(&self, context: &str) {
        let mut routes = self.lock_routes();
        if let Some(gone) = routes.contexts.remove(context) {
            routes.sessions.retain(|_, (_, events)| !events.same_channel(&gone));
        }
    }

    fn send(&self, session: &str, method: &str, params: Value) -> (u64, oneshot::Receiver<Answer>) {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        let message = if session.is_empty() {
            json!({"id": id, "method": method, "params": params})
        } else {
            json!({"id": id, "method": method, "params": params, "sessionId": session})
        };
        self.lock_pending().insert(id, (method.to_owned(), reply));
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        if !self.is_open() || self.shared.out.send(bytes).is_err() {
            self.lock_pending().remove(&id);
        }
        (id, answer)
    }

    async fn read_all(&self, from_browser: pipe::Receiver) {
        let mut lines = BufReader::with_capacity(64 * 1024, from_browser);
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            match lines.read_until(0, &mut bytes).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            bytes.pop_if(|last| *last == 0);
            // The browser writes JSON; should it ever not, there is no session to tell about it.
            if let Ok(incoming) = serde_json::from_slice::<Incoming>(&bytes) {
                self.take(incoming);
            }
            // One large snapshot must not keep its megabytes for the rest of the run.
            bytes.shrink_to(256 * 1024);
        }
        self.shared.open.store(false, Ordering::Release);
        self.lock_pending().clear();
        let mut routes = self.lock_routes();
        routes.sessions.clear();
        routes.contexts.clear();
    }

    fn take(&self, incoming: Incoming) {
        if let Some(id) = incoming.id {
            let waiting = self.lock_pending().remove(&id);
            if let Some((method, reply)) = waiting {
                let answer = match incoming.error {
                    Some(error) => Err(BrowserError::Refused { method, message: error.message }),
                    None => Ok(incoming.result),
                };
                // Whoever asked may have given up; that is no loss.
                let _ = reply.send(answer);
            }
            return;
        }
        let Some(method) = incoming.method else { return };
        let mut routes = self.lock_routes();
        let known = incoming.session.as_ref().and_then(|session| routes.sessions.get(session).cloned());
        if method == "Target.attachedToTarget" {
            let child = incoming.params["sessionId"].as_str().unwrap_or_default().to_owned();
            let context = incoming.params["targetInfo"]["browserContextId"].as_str().unwrap_or_default();
            let channel = known.as_ref().map(|(_, channel)| channel).or_else(|| routes.contexts.get(context)).cloned();
            if let Some(channel) = channel {
                routes.sessions.insert(child.clone(), (Arc::from(child.as_str()), channel.clone()));
                drop(routes);
                let session = known.map_or_else(|| Arc::from(""), |(session, _)| session);
                let _ = channel.send(Message { session, method, params: incoming.params });
            } else {
                drop(routes);
                // Belongs to no visit of ours (the browser's own first tab): let it run.
                self.tell(&child, "Runtime.runIfWaitingForDebugger", json!({}));
            }
            return;
        }
        match known {
            Some((session, channel)) => {
                drop(routes);
                let _ = channel.send(Message { session, method, params: incoming.params });
            }
            None if incoming.session.is_none() => {
                // Events of the browser itself (downloads) name no context; every visit looks whether it is meant.
                for channel in routes.contexts.values() {
                    let message =
                        Message { session: Arc::from(""), method: method.clone(), params: incoming.params.clone() };
                    let _ = channel.send(message);
                }
            }
            None => {}
        }
    }

    fn lock_pending(&self) -> std::sync::MutexGuard<'_, HashMap<u64, (String, oneshot::Sender<Answer>)>> {
        self.shared.pending.lock().expect("no code panics while it holds this lock")
    }

    fn lock_routes(&self) -> std::sync::MutexGuard<'_, Routes> {
        self.shared.routes.lock().expect("no code panics while it holds this lock")
    }
}
