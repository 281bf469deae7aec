//! Input as a person gives it: the mouse at coordinates, keys, the wheel. Never `element.click()`.
//!
//! A control counts as clicked only if the browser, asked what is at the point, answers with that control. A control
//! that moves is aimed at again; one that keeps moving away, or is covered, is reported as such.

use crate::{
    BrowserError, Visit,
    recorder::{cut, list},
    snapshot::{Seen, aim, answers_for},
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use vigie_domain::{NodeId, page::Rect, record::EventKind};

/// How long a control may move before it counts as out of reach.
const STILL_TIMEOUT: Duration = Duration::from_millis(2_500);

/// What became of a click.
#[derive(Debug, Clone, PartialEq)]
pub enum Click {
    /// It reached the control, here.
    Done {
        /// The control's box when it was clicked, in coordinates of the viewport.
        rect: Rect,
        /// The number of the event that records the input; what it sets going comes after.
        event: u64,
    },
    /// The control could not be reached by a person either.
    OutOfReach {
        /// Why, in words.
        why: String,
    },
}

impl Visit {
    /// Scrolls a node into view, as far as it can be, and returns its box in coordinates of the viewport once it
    /// stands still; `None` if it has none.
    ///
    /// # Errors
    ///
    /// If the browser or the page is gone.
    pub async fn bring_into_view(&self, seen: &Seen, node: NodeId) -> Result<Option<Rect>, BrowserError> {
        let (session, backend) = seen.address(node);
        let params = json!({"backendNodeId": backend});
        match self.wire.call(&session, "DOM.scrollIntoViewIfNeeded", params).await {
            Ok(_) | Err(BrowserError::Refused { .. }) => {}
            Err(error) => return Err(self.explain(error)),
        }
        let deadline = Instant::now() + STILL_TIMEOUT;
        let mut last: Option<Rect> = None;
        loop {
            let now = self.box_of(seen, node).await?;
            match (last, now) {
                (_, None) => return Ok(None),
                (Some(before), Some(now)) if near(before, now) => return Ok(Some(now)),
                (_, Some(now)) => last = Some(now),
            }
            if Instant::now() > deadline {
                return Ok(None);
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Returns a node's box in coordinates of the viewport, as it is now.
    pub(crate) async fn box_of(&self, seen: &Seen, node: NodeId) -> Result<Option<Rect>, BrowserError> {
        let (session, backend) = seen.address(node);
        let params = json!({"backendNodeId": backend});
        let answer = match self.wire.call(&session, "DOM.getContentQuads", params).await {
            Ok(answer) => answer,
            Err(BrowserError::Refused { .. }) => return Ok(None),
            Err(error) => return Err(self.explain(error)),
        };
        let Some(mut rect) = largest_quad(&answer) else { return Ok(None) };
        // A frame of another process answers in its own coordinates; add where each such frame stands.
        let mut session = session;
        let mut frame = seen.page.node(node).frame as usize;
        while session != self.main() {
            let Some(owner) = seen.page.frames[frame].owner else { break };
            let (outer, backend) = seen.address(owner);
            frame = seen.page.node(owner).frame as usize;
            if outer == session {
                continue;
            }
            let model = self.wire.call(&outer, "DOM.getBoxModel", json!({"backendNodeId": backend})).await;
            let Ok(model) = model else { return Ok(None) };
            let content = list(&model["model"]["content"]);
            if content.len() < 2 {
                return Ok(None);
            }
            rect.x += content[0].as_f64().unwrap_or_default() as f32;
            rect.y += content[1].as_f64().unwrap_or_default() as f32;
            session = outer;
        }
        Ok(Some(rect))
    }

    /// Clicks a node at the middle of its visible part, with the mouse.
    ///
    /// # Errors
    ///
    /// If the browser or the page is gone. A control that cannot be reached is an answer.
    pub async fn click(&self, seen: &Seen, node: NodeId, label: &str) -> Result<Click, BrowserError> {
        let out_of_reach = |why: &str| Ok(Click::OutOfReach { why: why.to_owned() });
        for attempt in 0..3 {
            let Some(rect) = self.bring_into_view(seen, node).await? else {
                return out_of_reach("it has no place on the screen, or does not stand still");
            };
            let viewport = seen.page.viewport_rect();
            let (x, y) = aim(rect, viewport);
            if x < 0.0 || y < 0.0 || x >= viewport.w || y >= viewport.h {
                return out_of_reach("it is outside the viewport and cannot be scrolled to");
            }
            if !self.is_at(seen, node, x, y).await? {
                if attempt < 2 {
                    tokio::time::sleep(Duration::from_millis(150)).await;
                    continue;
                }
                return out_of_reach("something else covers it");
            }
            let target = cut(label, 200);
            let event = self.note(EventKind::Input { kind: "click".into(), target, x: x as i32, y: y as i32 });
            self.press_at(x, y).await?;
            return Ok(Click::Done { rect, event });
        }
        out_of_reach("it moves away")
    }

    /// Clicks at a point, whatever is there.
    ///
    /// # Errors
    ///
    /// If the browser or the page is gone.
    pub async fn click_at(&self, x: f32, y: f32, what: &str) -> Result<(), BrowserError> {
        self.note(EventKind::Input { kind: "click".into(), target: what.to_owned(), x: x as i32, y: y as i32 });
        self.press_at(x, y).await
    }

    async fn press_at(&self, x: f32, y: f32) -> Result<(), BrowserError> {
        let main = self.main();
        // Input is given in pixels of the screen; a phone may show the page smaller than it is laid out.
        let scale = if self.options().viewport.0 < 600 {
            let metrics = self.wire.call(&main, "Page.getLayoutMetrics", json!({})).await;
            metrics.ok().and_then(|metrics| metrics["cssVisualViewport"]["scale"].as_f64()).unwrap_or(1.0) as f32
        } else {
            1.0
        };
        let (x, y) = (x * scale, y * scale);
        let event = |kind: &str, buttons: u8| {
            let (button, count) = if kind == "mouseMoved" { ("none", 0) } else { ("left", 1) };
            json!({"type": kind, "x": x, "y": y, "button": button, "buttons": buttons, "clickCount": count,
                "pointerType": "mouse"})
        };
        self.lock().last_activity = Instant::now();
        self.wire.tell(&main, "Input.dispatchMouseEvent", event("mouseMoved", 0));
        self.wire.tell(&main, "Input.dispatchMouseEvent", event("mousePressed", 1));
        let released =
            self.wire.call_within(&main, "Input.dispatchMouseEvent", event("mouseReleased", 0), Duration::from_secs(3));
        self.forgive(released.await)
    }

    /// Presses and releases a key: `Escape`, `Enter`, `Tab`, ` `.
    ///
    /// # Errors
    ///
    /// If the browser or the page is gone.
    pub async fn press_key(&self, key: &str) -> Result<(), BrowserError> {
        let (code, number, text) = match key {
            "Escape" => ("Escape", 27, ""),
            "Enter" => ("Enter", 13, "\r"),
            "Tab" => ("Tab", 9, ""),
            " " => ("Space", 32, " "),
            other => (other, 0, ""),
        };
        self.note(EventKind::Input { kind: "key".into(), target: key.to_owned(), x: 0, y: 0 });
        let event = |kind: &str| {
            let mut event = json!({"type": kind, "key": key, "code": code, "windowsVirtualKeyCode": number});
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = Value::from(text);
            }
            event
        };
        let main = self.main();
        self.lock().last_activity = Instant::now();
        self.wire.tell(&main, "Input.dispatchKeyEvent", event(if text.is_empty() { "rawKeyDown" } else { "keyDown" }));
        let up = self.wire.call_within(&main, "Input.dispatchKeyEvent", event("keyUp"), Duration::from_secs(3));
        self.forgive(up.await)
    }

    /// Turns the mouse wheel over the middle of the page; `pixels` above zero scrolls down.
    ///
    /// # Errors
    ///
    /// If the browser or the page is gone.
    pub async fn wheel(&self, pixels: f32) -> Result<(), BrowserError> {
        let (width, height) = self.options().viewport;
        let (x, y) = (width as f32 / 2.0, height as f32 / 3.0);
        self.note(EventKind::Input { kind: "wheel".into(), target: format!("{pixels} px"), x: x as i32, y: y as i32 });
        let event =
            json!({"type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": pixels, "pointerType": "mouse"});
        self.lock().last_activity = Instant::now();
        let main = self.main();
        let turned = self.wire.call_within(&main, "Input.dispatchMouseEvent", event, Duration::from_secs(3));
        self.forgive(turned.await)
    }

    /// Gives a node the keyboard focus, and returns whether it took it.
    ///
    /// # Errors
    ///
    /// If the browser or the page is gone.
    pub async fn focus(&self, seen: &Seen, node: NodeId) -> Result<bool, BrowserError> {
        let (session, backend) = seen.address(node);
        match self.wire.call(&session, "DOM.focus", json!({"backendNodeId": backend})).await {
            Ok(_) => Ok(true),
            Err(BrowserError::Refused { .. }) => Ok(false),
            Err(error) => Err(self.explain(error)),
        }
    }

    /// Returns whether a click at this point reaches the node, as things stand now.
    async fn is_at(&self, seen: &Seen, node: NodeId, x: f32, y: f32) -> Result<bool, BrowserError> {
        // Scrolling into view may have moved the page since the snapshot; the hit test wants document coordinates.
        let metrics = self.wire.call(&self.main(), "Page.getLayoutMetrics", json!({})).await;
        let metrics = metrics.map_err(|error| self.explain(error))?;
        let page = &metrics["cssVisualViewport"];
        let scroll = |key: &str| page[key].as_f64().unwrap_or_default() as f32;
        let session = seen.address(node).0;
        if session != self.main() {
            return self.is_at_in_frame(seen, node, x, y, (scroll("pageX"), scroll("pageY"))).await;
        }
        let params = json!({"x": (x + scroll("pageX")).round(), "y": (y + scroll("pageY")).round(),
            "includeUserAgentShadowDOM": false, "ignorePointerEventsNone": false});
        let Ok(answer) = self.wire.call(&session, "DOM.getNodeForLocation", params).await else { return Ok(false) };
        let backend = answer["backendNodeId"].as_i64().unwrap_or_default();
        Ok(self.matches(seen, &session, backend, node).await)
    }

    /// As [`Self::is_at`], for a node in a frame of another process: the page must give way to the frame, and the
    /// frame to the node.
    async fn is_at_in_frame(
        &self,
        seen: &Seen,
        node: NodeId,
        x: f32,
        y: f32,
        scroll: (f32, f32),
    ) -> Result<bool, BrowserError> {
        let session = seen.address(node).0;
        let frame = seen.page.node(node).frame as usize;
        let Some(owner) = seen.page.frames[frame].owner else { return Ok(false) };
        let (outer, backend) = seen.address(owner);
        let params = json!({"x": (x + scroll.0).round(), "y": (y + scroll.1).round(),
            "includeUserAgentShadowDOM": false, "ignorePointerEventsNone": false});
        let outermost = self.wire.call(&self.main(), "DOM.getNodeForLocation", params).await;
        if outer == self.main() && outermost.is_ok_and(|hit| hit["backendNodeId"].as_i64() != Some(backend)) {
            return Ok(false);
        }
        let (Some(now), Some(inner)) = (self.box_of(seen, node).await?, self.inner_box(seen, node).await?) else {
            return Ok(false);
        };
        let params = json!({"x": (x - now.x + inner.x).round(), "y": (y - now.y + inner.y).round(),
            "includeUserAgentShadowDOM": false, "ignorePointerEventsNone": false});
        let Ok(answer) = self.wire.call(&session, "DOM.getNodeForLocation", params).await else { return Ok(false) };
        let backend = answer["backendNodeId"].as_i64().unwrap_or_default();
        Ok(self.matches(seen, &session, backend, node).await)
    }

    /// Returns a node's box in the document coordinates of its own process.
    async fn inner_box(&self, seen: &Seen, node: NodeId) -> Result<Option<Rect>, BrowserError> {
        let (session, backend) = seen.address(node);
        let params = json!({"backendNodeId": backend});
        let (quads, metrics) = tokio::join!(
            self.wire.call(&session, "DOM.getContentQuads", params),
            self.wire.call(&session, "Page.getLayoutMetrics", json!({})),
        );
        let (Ok(quads), Ok(metrics)) = (quads, metrics) else { return Ok(None) };
        let page = &metrics["cssVisualViewport"];
        Ok(largest_quad(&quads).map(|rect| Rect {
            x: rect.x + page["pageX"].as_f64().unwrap_or_default() as f32,
            y: rect.y + page["pageY"].as_f64().unwrap_or_default() as f32,
            ..rect
        }))
    }

    /// Returns whether the node that was reached stands for the one wanted. A node made since the snapshot (a ripple,
    /// a focus ring) is looked for among the wanted one's children as they are now.
    async fn matches(&self, seen: &Seen, session: &str, reached: i64, wanted: NodeId) -> bool {
        let known = seen.page.ids().find(|&id| {
            let node = seen.page.node(id);
            node.backend == reached && *seen.address(id).0 == *session
        });
        if let Some(known) = known {
            return answers_for(&seen.page, known, wanted);
        }
        let backend = seen.page.node(wanted).backend;
        let contains = "function (other) { for (let n = other; n; n = n.parentNode || n.host) if (n === this) return true; return false; }";
        let resolve = |backend: i64| self.wire.call(session, "DOM.resolveNode", json!({"backendNodeId": backend}));
        let (Ok(wanted), Ok(reached)) = tokio::join!(resolve(backend), resolve(reached)) else { return false };
        let params = json!({"functionDeclaration": contains, "objectId": wanted["object"]["objectId"],
            "arguments": [{"objectId": reached["object"]["objectId"]}], "returnByValue": true});
        let answer = self.wire.call(session, "Runtime.callFunctionOn", params).await;
        answer.is_ok_and(|answer| answer["result"]["value"] == true)
    }

    /// An input that the page is too busy to acknowledge was still given.
    fn forgive(&self, answer: Result<Value, BrowserError>) -> Result<(), BrowserError> {
        match answer {
            Ok(_) | Err(BrowserError::Timeout { .. } | BrowserError::Refused { .. }) => self.check_alive(),
            Err(error) => Err(self.explain(error)),
        }
    }
}

fn near(a: Rect, b: Rect) -> bool {
    (a.x - b.x).abs() < 1.0 && (a.y - b.y).abs() < 1.0 && (a.w - b.w).abs() < 1.0 && (a.h - b.h).abs() < 1.0
}

fn largest_quad(answer: &Value) -> Option<Rect> {
    let boxes = list(&answer["quads"]).iter().filter_map(|quad| {
        let points: Vec<f32> = list(quad).iter().map(|value| value.as_f64().unwrap_or_default() as f32).collect();
        if points.len() != 8 {
            return None;
        }
        let (xs, ys): (Vec<f32>, Vec<f32>) = points.chunks(2).map(|pair| (pair[0], pair[1])).unzip();
        let least = |values: &[f32]| values.iter().copied().fold(f32::INFINITY, f32::min);
        let most = |values: &[f32]| values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        Some(Rect { x: least(&xs), y: least(&ys), w: most(&xs) - least(&xs), h: most(&ys) - least(&ys) })
    });
    boxes.filter(|rect| rect.w > 0.0 && rect.h > 0.0).max_by(|a, b| a.area().total_cmp(&b.area()))
}
