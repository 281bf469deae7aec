//! The search for the least clicks, over the banner's real states.
//!
//! Cheapest first: each candidate is a sequence of moves from the first display; it is tried in a profile in which
//! nothing else was done, and either reaches the choice, opens a state from which further candidates follow, or fails.
//! A visit is carried on only while the next candidate continues exactly what was done in it. So the visit that
//! reaches the choice is a clean record of the path, and plays the scenario.

use super::{
    effect::{self, Trace},
    look::Look,
    moves::{self, Candidate, Move, Target, to_change},
    plan::Context,
    tour::{Hindrance, Tour},
};
use crate::evidence::{Act, ChoicePath, Effect, Step, SurfaceView, Tried};
use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};
use vigie_banner::{Control, Nature, Role, Surface, Switch};
use vigie_browser::{BrowserError, input::Click};
use vigie_domain::{Choice, Layer, Scenario};

/// The longest path looked at, in clicks: five decisions, and room for one click a purpose.
pub const MAX_CLICKS: u32 = 14;

/// The longest sequence of decisions; setting all switches of a layer is one.
const MAX_MOVES: usize = 6;

/// Candidates tried in one search.
const MAX_TRIES: u32 = 18;

/// How long a banner may take to show again in a further profile.
const SURFACE_TIMEOUT: Duration = Duration::from_secs(6);

/// A visit in which moves were made.
pub(crate) struct Walk {
    pub tour: Tour,
    pub done: Vec<Move>,
    pub steps: Vec<Step>,
    pub look: Look,
    pub views: Vec<SurfaceView>,
    layer: Layer,
    /// Where in `steps` the path itself begins: after accepting, where that came first.
    from: usize,
    /// Whether the choice was taken while the surface stayed: what is left is closing it.
    taken: bool,
}

/// What a search found.
pub(crate) struct Found {
    /// The visit that reached the choice, still under way, and the path; `None` if none was found.
    pub reached: Option<(Walk, ChoicePath, Trace)>,
    /// Controls of the first state that were tried.
    pub tried: Vec<Tried>,
    /// Layers that came up.
    pub views: Vec<SurfaceView>,
}

/// From where a search starts.
#[derive(Clone)]
pub(crate) enum Start {
    /// The first display.
    Display,
    /// After accepting by these moves and loading the page again.
    Accepted(Vec<Move>),
}

/// What became of one candidate.
enum Tail {
    /// The choice was reached.
    Reached(Box<(ChoicePath, Trace)>),
    /// The banner is in another state now.
    State(Effect),
    /// Nothing came of it, or it went elsewhere; the visit is of no further use.
    Spent(Effect),
}

struct Queued {
    prefix: Vec<Move>,
    candidate: Candidate,
    /// Clicks from the start to the end of the candidate.
    clicks: u32,
}

impl Queued {
    /// Returns the least clicks with which this can end in the choice: what only opens something needs one more.
    fn least(&self) -> u32 {
        self.clicks + u32::from(self.candidate.opens)
    }
}

/// Looks for the least clicks to `goal`.
pub(crate) async fn seek(
    context: &Arc<Context>,
    scenario: Scenario,
    goal: Choice,
    start: Start,
) -> Result<Found, Hindrance> {
    let mut found = Found { reached: None, tried: Vec::new(), views: Vec::new() };
    let deadline = Instant::now() + context.plan.timeout.mul_f32(0.6);
    let mut walk = Some(begin(context, scenario, &start).await?);
    let Some(first) = &walk else { return Ok(found) };
    if first.look.surface().is_none() && matches!(start, Start::Display) {
        if let Some(walk) = walk {
            walk.tour.finish().await;
        }
        return Ok(found);
    }
    let mut queue = queue_moves(first, goal, &[], 0);
    let mut seen = HashSet::from([first.look.fingerprint()]);
    for _ in 0..MAX_TRIES {
        let Some(next) = take_cheapest(&mut queue) else { break };
        if Instant::now() > deadline {
            context.gap(format!("the search for a way to {} ended early, for time", name_of(goal)));
            break;
        }
        if walk.as_ref().is_none_or(|walk| walk.done != next.prefix) {
            if let Some(old) = walk.take() {
                old.tour.finish().await;
            }
            let mut again = begin(context, scenario, &start).await?;
            if !again.replay(&next.prefix).await? {
                again.tour.finish().await;
                continue;
            }
            walk = Some(again);
        }
        let Some(mut current) = walk.take() else { break };
        let at_first = next.prefix.is_empty();
        let control = first_control(&current.look, &next.candidate);
        let tail = current.try_candidate(goal, &next.candidate).await;
        let tail = match tail {
            Ok(tail) => tail,
            Err(error) => {
                // One page that breaks under a click is no reason to give up the others.
                context.browser.is_running().then_some(()).ok_or(error.clone())?;
                context.gap(format!("a try to {} broke off: {error}", name_of(goal)));
                Tail::Spent(Effect::Unknown)
            }
        };
        let effect = match &tail {
            Tail::Reached(_) if goal == Choice::Accept => Effect::Accepts,
            Tail::Reached(_) => Effect::Refuses,
            Tail::State(effect) | Tail::Spent(effect) => *effect,
        };
        if let (true, Start::Display, Some(control), 1) = (at_first, &start, control, next.candidate.next.len()) {
            found.tried.push(Tried { control, effect });
        }
        match tail {
            Tail::Reached(reached) => {
                let (path, trace) = *reached;
                found.views.append(&mut current.views);
                found.reached = Some((current, path, trace));
                return Ok(found);
            }
            Tail::State(_) => {
                if current.taken {
                    // The choice is made; any other way would make it a second time.
                    queue.clear();
                }
                if seen.insert(current.look.fingerprint()) || current.taken {
                    let done = current.done.clone();
                    queue.extend(queue_moves(&current, goal, &done, next.clicks));
                }
                found.views.append(&mut current.views);
                walk = Some(current);
            }
            Tail::Spent(_) => {
                current.tour.finish().await;
            }
        }
    }
    if let Some(walk) = walk {
        walk.tour.finish().await;
    }
    Ok(found)
}

/// Opens a visit and brings it to where the search starts.
async fn begin(context: &Arc<Context>, scenario: Scenario, start: &Start) -> Result<Walk, Hindrance> {
    let mut walk = Walk::at_display(context, &scenario.to_string(), scenario).await?;
    if let Start::Accepted(path) = start {
        walk.accept_first(path).await?;
    }
    Ok(walk)
}

fn queue_moves(walk: &Walk, goal: Choice, prefix: &[Move], spent: u32) -> Vec<Queued> {
    let mut candidates = moves::candidates(&walk.look, goal, prefix);
    if walk.taken {
        candidates = moves::closing(&walk.look);
    }
    // A page about privacy may hold a button that brings the banner back, or withdraws by itself.
    let reopened = prefix.iter().all(|step| matches!(step, Move::Reopen(_)));
    if walk.look.surface().is_none() && reopened {
        candidates = reopening(walk, prefix);
    }
    candidates
        .into_iter()
        .filter(|candidate| spent + candidate.clicks <= MAX_CLICKS && prefix.len() < MAX_MOVES)
        .map(|candidate| Queued { prefix: prefix.to_vec(), clicks: spent + candidate.clicks, candidate })
        .collect()
}

/// Returns the ways that may bring the banner back, likeliest first. A link to a second further page is not followed.
fn reopening(walk: &Walk, done: &[Move]) -> Vec<Candidate> {
    let all: Vec<&Control> = walk.look.ways_back.iter().collect();
    let is_new =
        |target: &Target| !done.iter().any(|step| matches!(step, Move::Reopen(old) if old.label == target.label));
    let ways = all.iter().filter(|control| done.is_empty() || stays_here(control));
    let targets = ways.map(|control| Target::of(&all, control)).filter(is_new);
    targets
        .take(if done.is_empty() { 6 } else { 3 })
        .enumerate()
        .map(|(rank, target)| Candidate {
            next: vec![Move::Reopen(target)],
            clicks: 1,
            doubt: rank as u32 * 3,
            promises: false,
            opens: true,
        })
        .collect()
}

/// Returns whether a control does something on this page: it is no link to another, nor one to a heading of this one.
fn stays_here(control: &Control) -> bool {
    !moves::navigates(control) && (control.confidence >= 0.85 || control.nature != Nature::Link)
}

fn take_cheapest(queue: &mut Vec<Queued>) -> Option<Queued> {
    // A deeper prefix wins among equals: it carries on where we are.
    let best = queue
        .iter()
        .enumerate()
        .min_by_key(|(_, queued)| (queued.least() * 100 + queued.candidate.doubt, usize::MAX - queued.prefix.len()))?
        .0;
    Some(queue.remove(best))
}

fn first_control(look: &Look, candidate: &Candidate) -> Option<Control> {
    match candidate.next.first()? {
        Move::Activate(target) => look.surfaces().find_map(|surface| target.find(&surface.controls)).cloned(),
        _ => None,
    }
}

fn name_of(goal: Choice) -> &'static str {
    match goal {
        Choice::Accept => "accept",
        Choice::Refuse => "refuse",
        Choice::Ignore => "ignore",
    }
}

impl Walk {
    /// Begins a visit at the first display without a goal.
    pub(crate) async fn at_display(context: &Arc<Context>, name: &str, scenario: Scenario) -> Result<Self, Hindrance> {
        let mut tour = Tour::begin(context, name, Some(scenario), context.plan.visit.clone()).await?;
        tour.settle().await?;
        let look = tour.await_surface(SURFACE_TIMEOUT).await?;
        tour.sample("before").await?;
        let layer = Layer::FIRST;
        Ok(Self { tour, done: Vec::new(), steps: Vec::new(), look, views: Vec::new(), layer, from: 0, taken: false })
    }

    /// Accepts by a path that is known, loads the page again, and looks anew.
    async fn accept_first(&mut self, path: &[Move]) -> Result<(), Hindrance> {
        self.replay(path).await?;
        self.tour.settle().await?;
        self.tour.sample("after-choice").await?;
        self.tour.visit.reload(self.tour.context.load_limit()).await?;
        self.tour.settle().await?;
        self.tour.sample("after-accept-reload").await?;
        self.look = self.tour.look().await?;
        self.done.clear();
        self.from = self.steps.len();
        self.layer = Layer(0);
        self.views.clear();
        Ok(())
    }

    /// Makes these moves without asking what they are good for; `false` if one could not be made.
    pub(crate) async fn replay(&mut self, path: &[Move]) -> Result<bool, BrowserError> {
        for next in path {
            if !self.make(next).await? {
                return Ok(false);
            }
            self.tour.pause().await?;
            self.look = self.tour.look().await?;
        }
        Ok(true)
    }

    /// Makes the moves of a candidate and tells what came of it.
    async fn try_candidate(&mut self, goal: Choice, candidate: &Candidate) -> Result<Tail, BrowserError> {
        let url = self.tour.visit.url();
        let fingerprint = self.look.fingerprint();
        let first = self.look.surface().cloned();
        let acted_role = last_role(candidate);
        let switches = self.look.surface().is_some_and(moves::has_switches);
        let reopening = matches!(candidate.next.first(), Some(Move::Reopen(_)));
        let stays = candidate.next.first().and_then(|first| self.way_back(first)).is_some_and(stays_here);
        for next in &candidate.next {
            if !self.make(next).await? {
                return Ok(Tail::Spent(Effect::Nothing));
            }
            self.tour.pause().await?;
            if candidate.next.len() > 1 {
                self.look = self.tour.look().await?;
            }
        }
        let flipped = self.done.iter().any(|step| matches!(step, Move::TurnAll { .. }));
        // What a choice sets going is only over when all is quiet.
        self.tour.settle().await?;
        self.look = self.tour.look().await?;
        self.picture_after().await;
        let elsewhere = path_of(&url) != path_of(&self.tour.visit.url());
        self.tour.sample("after-choice").await?;
        let gone = !self.look.is_asking();
        let changed = self.look.fingerprint() != fingerprint;
        let (before, after) = self.last_two_samples();
        let stored = effect::changes(before, after);
        if reopening {
            if self.look.surface().is_some() {
                self.forget_sample();
                self.layer = Layer(1);
                self.note_views();
                return Ok(Tail::State(Effect::Opens));
            }
            let trace = self.trace();
            if stays && self.tour.context.accepted_trace().await.is_some_and(|accepted| trace.undoes(&accepted)) {
                return Ok(Tail::Reached(Box::new((self.path(goal, true, false), trace))));
            }
            self.forget_sample();
            return Ok(match (elsewhere, changed) {
                (true, _) => Tail::State(Effect::Leaves),
                (false, true) => Tail::State(Effect::Opens),
                (false, false) => Tail::Spent(Effect::Nothing),
            });
        }
        // The surface may stay, as a message or with its switches set anew: the choice is taken when it is stored.
        let decided = self.look.surface().is_some_and(|surface| !still_asks(surface, first.as_ref()));
        let chosen = candidate.promises && !flipped_only(candidate);
        let confirmed = !gone && changed && (decided || chosen) && !stored.is_empty();
        // A page of settings does not go away when saved; that it wrote the choice is what there is to see.
        let saved_page = gone && self.look.settings_page.is_some() && !stored.is_empty();
        let ended = (gone && (self.look.settings_page.is_none() || saved_page)) || confirmed;
        if elsewhere && stored.is_empty() && acted_role != Some(Role::AcceptAll) && acted_role != Some(Role::RefuseAll)
        {
            self.forget_sample();
            if self.look.surface().is_some() {
                self.layer = Layer(self.layer.0.saturating_add(1));
                self.note_views();
                return Ok(Tail::State(Effect::Leaves));
            }
            return Ok(Tail::Spent(Effect::Leaves));
        }
        let by_words =
            candidate.promises && !(flipped && acted_role == Some(Role::AcceptAll) && goal == Choice::Refuse);
        if ended {
            let trace = self.trace();
            let effect = if by_words {
                if goal == Choice::Accept { Effect::Accepts } else { Effect::Refuses }
            } else if goal == Choice::Accept {
                // Nothing to compare with: the first thing that stores a choice or loads something is the acceptance.
                if trace.stored.is_empty() && trace.new_hosts.is_empty() { Effect::Dismisses } else { Effect::Accepts }
            } else {
                trace.compare(self.tour.context.accepted_trace().await.as_ref())
            };
            let wanted = if goal == Choice::Accept { Effect::Accepts } else { Effect::Refuses };
            if effect == wanted {
                return Ok(Tail::Reached(Box::new((self.path(goal, gone, confirmed), trace))));
            }
            return Ok(Tail::Spent(effect));
        }
        self.forget_sample();
        // The choice was taken, yet the surface stays: a person must still close it.
        if candidate.promises && !stored.is_empty() && !flipped_only(candidate) {
            self.taken = true;
            return Ok(Tail::State(Effect::Unknown));
        }
        if changed {
            let settings = acted_role == Some(Role::Settings) || (switches && flipped);
            if settings || acted_role != Some(Role::Close) {
                self.layer = Layer(self.layer.0.saturating_add(1));
            }
            self.note_views();
            return Ok(Tail::State(Effect::Opens));
        }
        Ok(Tail::Spent(Effect::Nothing))
    }

    /// Makes one move; `false` if it could not be made.
    pub(crate) async fn make(&mut self, next: &Move) -> Result<bool, BrowserError> {
        let made = match next {
            Move::Activate(target) => {
                let control = self.look.surfaces().find_map(|surface| target.find(&surface.controls)).cloned();
                match control {
                    Some(control) => self.activate(&control, self.layer).await?,
                    None => false,
                }
            }
            Move::Reopen(_) => match self.way_back(next).cloned() {
                Some(control) => self.activate(&control, Layer(0)).await?,
                None => false,
            },
            Move::TurnAll { on } => self.turn_all(*on).await?,
        };
        if made {
            self.done.push(next.clone());
        }
        Ok(made)
    }

    /// Returns the control on the screen with which a move would bring the banner back.
    fn way_back(&self, step: &Move) -> Option<&Control> {
        match step {
            Move::Reopen(target) => target.find(&self.look.ways_back),
            _ => None,
        }
    }

    async fn activate(&mut self, control: &Control, layer: Layer) -> Result<bool, BrowserError> {
        let before = self.tour.picture("before").await;
        let clicked = self.tour.visit.click(&self.look.seen, control.node, &control.label).await?;
        let (rect, event) = match clicked {
            Click::Done { rect, event } => (rect, event),
            Click::OutOfReach { why } => {
                self.tour.visit.gap(format!("`{}` could not be clicked: {why}", control.label));
                return Ok(false);
            }
        };
        self.steps.push(Step {
            act: Act::Activate,
            label: control.label.clone(),
            layer,
            rect: [rect.x as i32, rect.y as i32, rect.w as i32, rect.h as i32],
            before,
            after: None,
            event: Some(event),
        });
        Ok(true)
    }

    /// Turns all switches of the front surface one way, reading back after each: one may stand for several.
    async fn turn_all(&mut self, on: bool) -> Result<bool, BrowserError> {
        let mut stuck: HashSet<(String, Option<u32>)> = HashSet::new();
        for _ in 0..24 {
            let open: Vec<_> = changing(&self.look, on).collect();
            if open.is_empty() && self.look.surface().is_none() {
                return Ok(false);
            }
            let next = open.iter().find(|switch| !stuck.contains(&key(switch))).map(|switch| (*switch).clone());
            let Some(switch) = next else { return Ok(open.is_empty()) };
            let before = self.tour.picture("before").await;
            let clicked = self.tour.visit.click(&self.look.seen, switch.click, &switch.label).await?;
            let Click::Done { rect, event } = clicked else {
                stuck.insert(key(&switch));
                continue;
            };
            self.steps.push(Step {
                act: if on { Act::TurnOn } else { Act::TurnOff },
                label: switch.label.clone(),
                layer: self.layer,
                rect: [rect.x as i32, rect.y as i32, rect.w as i32, rect.h as i32],
                before,
                after: None,
                event: Some(event),
            });
            self.tour.pause().await?;
            self.look = self.tour.look().await?;
            if changing(&self.look, on).any(|other| key(other) == key(&switch)) {
                stuck.insert(key(&switch));
            }
        }
        Ok(false)
    }

    /// Takes the picture after the last step.
    async fn picture_after(&mut self) {
        let after = self.tour.picture("after").await;
        if let Some(step) = self.steps.last_mut() {
            step.after = after;
        }
    }

    /// Notes what a control of the first layer opened, as a further layer.
    pub(crate) async fn note_opened(&mut self) {
        self.picture_after().await;
        self.layer = Layer(2);
        self.note_views();
    }

    fn note_views(&mut self) {
        let picture = self.steps.last().and_then(|step| step.after.clone());
        let via: Vec<String> = self.steps[self.from..].iter().map(|step| step.label.clone()).collect();
        let views = self.tour.views(&self.look, Layer(self.layer.0.max(1)), &via, picture.as_ref());
        self.views.extend(views);
    }

    fn path(&self, choice: Choice, gone: bool, confirmed: bool) -> ChoicePath {
        let (before, after) = self.last_two_samples();
        let steps = self.steps[self.from..].to_vec();
        let event = steps.last().and_then(|step| step.event).unwrap_or_default();
        let proof = effect::proof(before, after, &self.tour.visit.events(), event, gone, confirmed);
        ChoicePath { choice, steps, proof, visit: self.tour.name.clone() }
    }

    fn trace(&self) -> Trace {
        let (before, after) = self.last_two_samples();
        let event = self.steps.get(self.from).and_then(|step| step.event).unwrap_or_default();
        Trace::of(&self.tour.visit.events(), event, before, after)
    }

    fn last_two_samples(&self) -> (&vigie_domain::record::Sample, &vigie_domain::record::Sample) {
        let samples = &self.tour.samples;
        let last = samples.len() - 1;
        (&samples[last.saturating_sub(1)], &samples[last])
    }

    /// Takes back a sample that turned out not to follow a choice.
    fn forget_sample(&mut self) {
        self.tour.samples.pop();
    }
}

/// Iterates over the switches on the screen that have to change so that all are `on` or off.
fn changing(look: &Look, on: bool) -> impl Iterator<Item = &Switch> {
    look.surfaces().flat_map(move |surface| to_change(surface, on))
}

/// What tells a switch from others on the same screen.
fn key(switch: &Switch) -> (String, Option<u32>) {
    (switch.label.clone(), switch.choice_of)
}

/// Returns whether a candidate only sets switches, which may store each by itself without a choice being made.
fn flipped_only(candidate: &Candidate) -> bool {
    candidate.next.iter().all(|step| matches!(step, Move::TurnAll { .. }))
}

fn last_role(candidate: &Candidate) -> Option<Role> {
    match candidate.next.last()? {
        Move::Activate(target) => Some(target.role),
        _ => None,
    }
}

/// Returns whether a surface still asks what the first one asked: it offers to accept or refuse as before.
fn still_asks(now: &Surface, first: Option<&Surface>) -> bool {
    let asks = |surface: &Surface, role: Role| surface.controls.iter().any(|control| control.role == role);
    if asks(now, Role::AcceptAll) || asks(now, Role::RefuseAll) || asks(now, Role::SaveSelection) {
        return true;
    }
    first.is_some_and(|first| first.text == now.text)
}

fn path_of(url: &str) -> String {
    url::Url::parse(url)
        .map_or_else(|_| url.to_owned(), |url| format!("{}{}", url.host_str().unwrap_or(""), url.path()))
}
