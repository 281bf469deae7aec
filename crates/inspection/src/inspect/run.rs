//! Plays all scenarios, side by side and within the time limit, and puts together what they saw.

use super::{
    disclosures, machine,
    moves::{self, Move},
    names,
    plan::{Accepted, Context, Pictures, Plan, Progress},
    scenes::{self, Display},
    search::{self, MAX_CLICKS, Start},
    tour::{Hindrance, Tour},
};
use crate::evidence::{
    ByKeyboard, ChoicePath, Effect, Entry, Environment, Evidence, Machine, OtherViewport, Outcome, Passive, Return,
    SearchBound, Site, SurfaceView, Tried, VendorDisclosure, Way,
};
use std::{
    collections::{BTreeMap, HashSet},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, atomic::AtomicU32},
    time::{Duration, Instant},
};
use tokio::sync::{Semaphore, watch};
use url::Url;
use vigie_banner::{Control, Lexicon, Role};
use vigie_browser::{Browser, BrowserError, Patience};
use vigie_domain::{Choice, Layer, Scenario, VisitRecord, record::VisitEnd};

/// The screen of a phone, on which the first layer is looked at too (CK-07; the size is ours).
const PHONE: (u32, u32) = (390, 844);

/// What an inspection observed, with its pictures.
#[derive(Debug)]
pub struct Observed {
    /// Everything but the pictures.
    pub evidence: Evidence,
    /// The pictures, PNG, by their paths.
    pub pictures: Pictures,
}

/// What has been seen so far; kept apart so that it survives the end of the time limit.
#[derive(Default)]
struct Gathered {
    visits: Vec<VisitRecord>,
    display: Option<Shown>,
    hindrance: Option<(Outcome, String)>,
    further: Vec<SurfaceView>,
    withdrawing: Vec<SurfaceView>,
    tried: Vec<Tried>,
    accept: Option<ChoicePath>,
    refuse: Option<ChoicePath>,
    withdraw: Option<ChoicePath>,
    way_back: Vec<(String, Option<String>)>,
    passive: Vec<Passive>,
    other_viewports: Vec<OtherViewport>,
    keyboard: Vec<ByKeyboard>,
    entries: Vec<Entry>,
    returns: Vec<Return>,
    disclosures: Vec<VendorDisclosure>,
}

struct Shown {
    views: Vec<SurfaceView>,
    final_url: String,
}

/// How long visits that were given up may take to keep what they saw.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

type Shared = Arc<Mutex<Gathered>>;
type Task = Pin<Box<dyn Future<Output = Result<(), Hindrance>> + Send>>;

/// Inspects a site and returns what was observed. A site that does not let us in, or breaks, is an outcome.
///
/// # Errors
///
/// If the browser ends or does not do its part; nothing of the inspection is kept then.
pub async fn inspect(browser: Arc<Browser>, plan: Plan, progress: Arc<dyn Progress>) -> Result<Observed, BrowserError> {
    let started_at = jiff::Timestamp::now();
    let start = Instant::now();
    let context = Arc::new(Context {
        browser: Arc::clone(&browser),
        lexicon: Lexicon::bundled(),
        pictures: Mutex::default(),
        progress,
        places: Arc::new(Semaphore::new(plan.visits_at_once.max(1))),
        states: Mutex::default(),
        accepted: watch::Sender::new(Accepted::NotYet),
        gaps: Mutex::default(),
        certificates: Mutex::default(),
        visits: AtomicU32::new(0),
        under_way: watch::Sender::new(0),
        plan,
    });
    let shared: Shared = Arc::default();
    let limit = context.plan.timeout;
    let machine = machine::look(&context.plan.url, &context.plan.observed_by).await;
    let ended = tokio::time::timeout(limit, play(Arc::clone(&context), Arc::clone(&shared))).await;
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(Hindrance::Site(record))) => hinder(&shared, &record),
        Ok(Err(Hindrance::Browser(error))) => {
            if !browser.is_running() {
                return Err(error);
            }
            let mut gathered = lock(&shared);
            if gathered.display.is_none() && gathered.hindrance.is_none() {
                gathered.hindrance = Some((Outcome::Failed, error.to_string()));
            } else {
                drop(gathered);
                context.gap(format!("a visit broke off: {error}"));
            }
        }
        Err(_) => {
            if !browser.is_running() {
                return Err(BrowserError::Gone { during: "the inspection".into() });
            }
            context.gap(format!("the time limit of {} s passed before every scenario was played", limit.as_secs()));
            let mut gathered = lock(&shared);
            if gathered.display.is_none() && gathered.hindrance.is_none() {
                let why = format!("nothing could be seen within the time limit of {} s", limit.as_secs());
                gathered.hindrance = Some((Outcome::Failed, why));
            }
        }
    }
    // Tasks that were given up are dropped by whoever ran them, and keep what they saw then.
    let mut under_way = context.under_way.subscribe();
    if tokio::time::timeout(LEAVE_WITHIN, under_way.wait_for(|n_visits| *n_visits == 0)).await.is_err() {
        context.gap("a visit did not end in time; what it saw is not archived");
    }
    let gathered = std::mem::take(&mut *lock(&shared));
    let mut evidence = put_together(&context, gathered, started_at, start.elapsed().as_secs_f64());
    evidence.environment.machine = Machine { clock: machine::clock(&evidence.visits), ..machine };
    evidence.aliases = names::aliases(&evidence.visits, &evidence.site.host).await;
    let pictures = std::mem::take(&mut *context.pictures.lock().expect("no code panics while it holds this lock"));
    Ok(Observed { evidence, pictures })
}

fn lock(shared: &Shared) -> std::sync::MutexGuard<'_, Gathered> {
    shared.lock().expect("no code panics while it holds this lock")
}

fn hinder(shared: &Shared, record: &VisitRecord) {
    let (outcome, why) = match &record.end {
        VisitEnd::Blocked { why } => (Outcome::Blocked, why.clone()),
        VisitEnd::Unreachable { why } => (Outcome::Unreachable, why.clone()),
        VisitEnd::Failed { why } => (Outcome::Failed, why.clone()),
        VisitEnd::Completed => return,
    };
    let mut gathered = lock(shared);
    if gathered.display.is_none() && gathered.hindrance.is_none() {
        gathered.hindrance = Some((outcome, why));
    }
}

async fn play(context: Arc<Context>, shared: Shared) -> Result<(), Hindrance> {
    let wants = |scenario: Scenario| context.plan.scenarios.contains(&scenario);
    // S0 is always played: everything else starts from what it saw.
    let shown = scenes::display(&context, "S0", Scenario::S0, context.plan.visit.clone()).await?;
    let Display { record, look, views, final_url, links, siblings, .. } = shown;
    if !matches!(record.end, VisitEnd::Completed) {
        let mut gathered = lock(&shared);
        let why = match &record.end {
            VisitEnd::Blocked { why } | VisitEnd::Unreachable { why } | VisitEnd::Failed { why } => why.clone(),
            VisitEnd::Completed => String::new(),
        };
        gathered.hindrance = Some((Outcome::Blocked, why));
        gathered.visits.push(record);
        return Ok(());
    }
    let seen = look.is_asking();
    let first: Vec<Control> = look.detection.surfaces.iter().flat_map(|surface| surface.controls.clone()).collect();
    let backdrop = look.detection.surfaces.iter().any(|surface| surface.backdrop.is_some());
    drop(look);
    {
        let mut gathered = lock(&shared);
        gathered.visits.push(record);
        gathered.display = Some(Shown { views, final_url });
    }
    let mut tasks: Vec<(&'static str, Task)> = Vec::new();
    let links = Arc::new(links);
    if seen {
        if wants(Scenario::S1) || wants(Scenario::S2) || wants(Scenario::S3) {
            // Accepting first: others compare with what it left behind, and would wait for ever in its place.
            tasks.push(("S2", accept(Arc::clone(&context), Arc::clone(&shared), Arc::clone(&links))));
            tasks.push(("S1", refuse(Arc::clone(&context), Arc::clone(&shared), Arc::clone(&links))));
        } else {
            context.accepted.send_replace(Accepted::Never);
        }
        if wants(Scenario::S4) || wants(Scenario::S1) {
            tasks.push(("S4", settings(Arc::clone(&context), Arc::clone(&shared))));
        }
        if wants(Scenario::S5) {
            let closes = first.iter().any(|control| control.role == Role::Close);
            let has_object = |act: &str| match act {
                "close" => closes,
                "backdrop" => backdrop,
                _ => true,
            };
            for act in scenes::PASSIVE.into_iter().filter(|act| has_object(act)) {
                tasks.push(("S5", ignore(Arc::clone(&context), Arc::clone(&shared), act, Arc::clone(&links))));
            }
        }
        tasks.push(("keyboard", keyboard(Arc::clone(&context), Arc::clone(&shared), first.clone())));
        tasks.push(("first layer", others(Arc::clone(&context), Arc::clone(&shared), first)));
    } else {
        context.accepted.send_replace(Accepted::Never);
    }
    tasks.push(("another screen", phone(Arc::clone(&context), Arc::clone(&shared))));
    if wants(Scenario::S6) {
        for (nth, (way, url)) in scenes::ways_in(&context.plan.url, &links, &siblings).into_iter().enumerate() {
            tasks.push(("S6", enter(Arc::clone(&context), Arc::clone(&shared), way, nth, url)));
        }
    }
    if wants(Scenario::S8) {
        tasks.push(("S8", signal(Arc::clone(&context), Arc::clone(&shared))));
    }
    run_all(&context, tasks).await?;
    // The visits are done, so nobody else waits for what they saw; it is taken back when the disclosures are there.
    let visits = std::mem::take(&mut lock(&shared).visits);
    let kept = KeptVisits { shared: &shared, visits };
    let found = disclosures::fetch(&context, &kept.visits).await;
    lock(&shared).disclosures = found;
    Ok(())
}

/// Gives the visits back whatever ends the wait, also the time limit.
struct KeptVisits<'a> {
    shared: &'a Shared,
    visits: Vec<VisitRecord>,
}

impl Drop for KeptVisits<'_> {
    fn drop(&mut self) {
        lock(self.shared).visits.append(&mut self.visits);
    }
}

/// Runs tasks side by side, as many as there are places, begun in the order given; the first browser failure that ends
/// everything is returned.
async fn run_all(context: &Arc<Context>, tasks: Vec<(&'static str, Task)>) -> Result<(), Hindrance> {
    let mut set = tokio::task::JoinSet::new();
    for (what, task) in tasks {
        // The longest chains come first in the list, so that nothing waits for them at the end.
        let place = Arc::clone(&context.places).acquire_owned().await;
        set.spawn(async move {
            let done = task.await;
            drop(place);
            (what, done)
        });
    }
    while let Some(joined) = set.join_next().await {
        match joined {
            Ok((_, Ok(()))) => {}
            Ok((what, Err(Hindrance::Site(record)))) => {
                context.gap(format!("{what}: the site did not answer as before ({:?})", record.end));
            }
            Ok((what, Err(Hindrance::Browser(error)))) => {
                if !context.browser.is_running() {
                    return Err(Hindrance::Browser(error));
                }
                context.gap(format!("{what} broke off: {error}"));
            }
            Err(error) => context.gap(format!("a visit broke off: {error}")),
        }
    }
    Ok(())
}

fn accept(context: Arc<Context>, shared: Shared, links: Arc<Vec<Url>>) -> Task {
    Box::pin(async move {
        let found = search::seek(&context, Scenario::S2, Choice::Accept, Start::Display).await;
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                context.accepted.send_replace(Accepted::Never);
                return Err(error);
            }
        };
        keep_views(&shared, found.views, found.tried);
        let Some((walk, mut path, trace)) = found.reached else {
            context.accepted.send_replace(Accepted::Never);
            return Ok(());
        };
        context.accepted.send_replace(Accepted::Known(trace));
        // S3 accepts in a profile of its own, so it need not wait for the walk of S2.
        let done = walk.done.clone();
        let withdrawing = async {
            if context.plan.scenarios.contains(&Scenario::S3) {
                withdraw(&context, &shared, done.clone(), &links).await?;
            }
            Ok::<(), Hindrance>(())
        };
        let walking = async {
            let (record, way_back, walked) = walk_on(walk.tour, &mut path, &links).await;
            let mut gathered = lock(&shared);
            gathered.accept = Some(path);
            gathered.way_back.extend(way_back);
            gathered.visits.push(record);
            walked
        };
        let coming_back = come_back(&context, &shared, Choice::Accept, &done);
        let (withdrawn, walked, came_back) = tokio::join!(withdrawing, walking, coming_back);
        walked?;
        withdrawn?;
        came_back
    })
}

async fn withdraw(
    context: &Arc<Context>,
    shared: &Shared,
    accepted: Vec<Move>,
    links: &[Url],
) -> Result<(), Hindrance> {
    let found = search::seek(context, Scenario::S3, Choice::Refuse, Start::Accepted(accepted)).await?;
    lock(shared).withdrawing.extend(found.views);
    let Some((mut walk, mut path, _)) = found.reached else { return Ok(()) };
    if let Some(sample) = walk.tour.samples.last_mut() {
        sample.moment = "after-withdrawal".to_owned();
    }
    let (record, _, walked) = walk_on(walk.tour, &mut path, links).await;
    let mut gathered = lock(shared);
    gathered.withdraw = Some(path);
    gathered.visits.push(record);
    drop(gathered);
    walked.map_err(Hindrance::from)
}

/// Walks on after a choice and ends the visit: its record, the ways back that were seen, and how the walk went. Whether
/// the choice was remembered is added to the path's proof.
async fn walk_on(
    mut tour: Tour,
    path: &mut ChoicePath,
    links: &[Url],
) -> (VisitRecord, Vec<(String, Option<String>)>, Result<(), BrowserError>) {
    let mut way_back = Vec::new();
    let mut asked = None;
    let walked = scenes::walk_on(&mut tour, links, &mut asked, &mut way_back).await;
    path.proof.remembered = asked.map(|asked| !asked);
    let mut record = tour.finish().await;
    if let Err(error) = &walked {
        record.end = VisitEnd::Failed { why: error.to_string() };
    }
    (record, way_back, walked)
}

fn refuse(context: Arc<Context>, shared: Shared, links: Arc<Vec<Url>>) -> Task {
    Box::pin(async move {
        let found = search::seek(&context, Scenario::S1, Choice::Refuse, Start::Display).await?;
        keep_views(&shared, found.views, found.tried);
        let Some((walk, mut path, _)) = found.reached else { return Ok(()) };
        let done = walk.done.clone();
        let walking = async {
            let (record, way_back, walked) = walk_on(walk.tour, &mut path, &links).await;
            let mut gathered = lock(&shared);
            gathered.refuse = Some(path);
            gathered.way_back.extend(way_back);
            gathered.visits.push(record);
            walked
        };
        let (walked, came_back) = tokio::join!(walking, come_back(&context, &shared, Choice::Refuse, &done));
        walked?;
        came_back
    })
}

/// S7, where it is wanted. It has a profile of its own, so it need not wait for the walk.
async fn come_back(context: &Arc<Context>, shared: &Shared, choice: Choice, path: &[Move]) -> Result<(), Hindrance> {
    if !context.plan.scenarios.contains(&Scenario::S7) {
        return Ok(());
    }
    let (returns, record) = scenes::come_back(context, choice, path).await?;
    let mut gathered = lock(shared);
    gathered.returns.extend(returns);
    gathered.visits.push(record);
    Ok(())
}

fn enter(context: Arc<Context>, shared: Shared, way: Way, nth: usize, url: Url) -> Task {
    Box::pin(async move {
        if let Some((entry, record)) = scenes::enter(&context, way, nth, &url).await? {
            let mut gathered = lock(&shared);
            gathered.entries.push(entry);
            gathered.visits.push(record);
        }
        Ok(())
    })
}

fn settings(context: Arc<Context>, shared: Shared) -> Task {
    Box::pin(async move {
        let seen = scenes::untouched(&context).await?;
        keep_views(&shared, seen.views, seen.tried);
        if let Some(record) = seen.record {
            lock(&shared).visits.push(record);
        }
        Ok(())
    })
}

fn ignore(context: Arc<Context>, shared: Shared, act: &'static str, links: Arc<Vec<Url>>) -> Task {
    Box::pin(async move {
        let (passive, record, tried) = scenes::passive(&context, act, &links).await?;
        keep_views(&shared, Vec::new(), tried);
        let mut gathered = lock(&shared);
        gathered.passive.push(passive);
        gathered.visits.extend(record);
        Ok(())
    })
}

/// Controls whose words leave open what they do: those that neither lead elsewhere nor are tried by a search.
fn others(context: Arc<Context>, shared: Shared, first: Vec<Control>) -> Task {
    Box::pin(async move {
        let open = |control: &&Control| {
            let unsure = matches!(control.role, Role::Unknown | Role::Policy | Role::PartnerList);
            unsure && !moves::navigates(control) && control.in_reach
        };
        let unsure: Vec<Control> = first.iter().filter(open).take(3).cloned().collect();
        let (tried, views) = scenes::try_others(&context, unsure).await?;
        keep_views(&shared, views, tried);
        Ok(())
    })
}

fn keyboard(context: Arc<Context>, shared: Shared, first: Vec<Control>) -> Task {
    Box::pin(async move {
        let tried = scenes::by_keyboard(&context, &first).await?;
        lock(&shared).keyboard = tried;
        Ok(())
    })
}

fn phone(context: Arc<Context>, shared: Shared) -> Task {
    Box::pin(async move {
        let viewport = if context.plan.visit.viewport == PHONE { (1366, 768) } else { PHONE };
        let (other, record) = scenes::other_viewport(&context, viewport).await?;
        let mut gathered = lock(&shared);
        gathered.other_viewports.push(other);
        gathered.visits.push(record);
        Ok(())
    })
}

fn signal(context: Arc<Context>, shared: Shared) -> Task {
    Box::pin(async move {
        let mut options = context.plan.visit.clone();
        options.global_privacy_control = true;
        let shown = scenes::display(&context, "S8", Scenario::S8, options).await?;
        lock(&shared).visits.push(shown.record);
        Ok(())
    })
}

fn keep_views(shared: &Shared, views: Vec<SurfaceView>, tried: Vec<Tried>) {
    let mut gathered = lock(shared);
    gathered.further.extend(views);
    for new in tried {
        let known = gathered.tried.iter_mut().find(|known| super::look::same_control(&known.control, &new.control));
        match known {
            // What was told by words and effect together is better than what one of them left open.
            Some(known) if matches!(known.effect, Effect::Unknown | Effect::Nothing) => *known = new,
            Some(_) => {}
            None => gathered.tried.push(new),
        }
    }
}

fn put_together(
    context: &Arc<Context>,
    mut gathered: Gathered,
    started_at: jiff::Timestamp,
    elapsed_s: f64,
) -> Evidence {
    let plan = &context.plan;
    let (views, final_url) = match gathered.display.take() {
        Some(shown) => (shown.views, shown.final_url),
        None => (Vec::new(), plan.url.to_string()),
    };
    let (outcome, why) = match gathered.hindrance.take() {
        Some((outcome, why)) => (outcome, Some(why)),
        None => (Outcome::Inspected, None),
    };
    let host = Url::parse(&final_url).ok().and_then(|url| url.host_str().map(str::to_owned));
    gathered.entries.sort_by(|a, b| (a.way, &a.url).cmp(&(b.way, &b.url)));
    gathered.returns.sort_by_key(|back| (back.choice == Choice::Accept, back.days));
    gathered.visits.sort_by(|a, b| a.name.cmp(&b.name));
    gathered.passive.sort_by_key(|passive| scenes::PASSIVE.iter().position(|act| *act == passive.act));
    let mut way_back: BTreeMap<String, Option<String>> = BTreeMap::new();
    for (url, label) in gathered.way_back {
        let known = way_back.entry(url).or_default();
        *known = known.take().or(label);
    }
    let order: Vec<String> = views.iter().flat_map(|view| &view.surface.controls).map(|c| c.label.clone()).collect();
    gathered.tried.sort_by_key(|tried| order.iter().position(|label| *label == tried.control.label));
    let states = context.states.lock().expect("no code panics while it holds this lock").len() as u32;
    let gaps = context.gaps.lock().expect("no code panics while it holds this lock").clone();
    Evidence {
        site: Site {
            requested_url: plan.url.to_string(),
            host: host.or_else(|| plan.url.host_str().map(str::to_owned)).unwrap_or_default(),
            final_url,
        },
        started_at,
        elapsed_s,
        outcome,
        why,
        environment: Environment {
            program: concat!("vigie ", env!("CARGO_PKG_VERSION")).to_owned(),
            browser: context.browser.version().product.clone(),
            browser_arguments: plan.browser_arguments.clone(),
            certificates_ignored: plan.certificates_ignored,
            locale: plan.visit.locale.clone(),
            viewport: plan.visit.viewport,
            patience: match plan.patience {
                Patience::Standard => "standard".to_owned(),
                Patience::Thorough => "thorough".to_owned(),
            },
            machine: Machine::default(),
        },
        scenarios: plan.scenarios.clone(),
        first_layer: views,
        further_layers: each_once(gathered.further),
        withdrawal_layers: each_once(gathered.withdrawing),
        tried: gathered.tried,
        accept: gathered.accept,
        refuse: gathered.refuse,
        withdraw: gathered.withdraw,
        way_back: way_back.into_iter().collect(),
        search: SearchBound { max_clicks: MAX_CLICKS, states },
        passive: gathered.passive,
        other_viewports: gathered.other_viewports,
        keyboard: gathered.keyboard,
        entries: gathered.entries,
        returns: gathered.returns,
        certificates: std::mem::take(
            &mut *context.certificates.lock().expect("no code panics while it holds this lock"),
        ),
        aliases: BTreeMap::new(),
        disclosures: gathered.disclosures,
        visits: gathered.visits,
        gaps,
    }
}

/// Returns each layer once, in the order of depth; the same layer was often opened by several visits.
fn each_once(mut views: Vec<SurfaceView>) -> Vec<SurfaceView> {
    views.sort_by(|a, b| (a.layer, &a.via, &a.visit).cmp(&(b.layer, &b.via, &b.visit)));
    let mut seen = HashSet::new();
    views.retain(|view| {
        let switches: Vec<_> = view.surface.switches.iter().map(|switch| (switch.label.clone(), switch.on)).collect();
        view.layer > Layer(0) && seen.insert((view.surface.text.clone(), switches))
    });
    views
}
