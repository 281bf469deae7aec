//! The scenarios S0 to S8, each a visit in a clean profile.

use super::{
    look::Look,
    moves::{self, Move, Target},
    plan::Context,
    search::Walk,
    tour::{Hindrance, Tour},
};
use crate::evidence::{ByKeyboard, Effect, Entry, OtherViewport, Passive, Return, SurfaceView, Tried, Way};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use url::Url;
use vigie_banner::{Control, Role};
use vigie_browser::{BrowserError, VisitOptions};
use vigie_domain::{Choice, Layer, Scenario, VisitRecord, record::VisitEnd};
use vigie_trackers::registrable_domain;

/// Internal pages visited after a choice.
const WALK_PAGES: usize = 3;

/// What S0 saw.
pub(crate) struct Display {
    pub record: VisitRecord,
    pub picture: Option<String>,
    pub look: Look,
    pub views: Vec<SurfaceView>,
    pub final_url: String,
    pub links: Vec<Url>,
    /// Other hosts of the site to which the page links.
    pub siblings: Vec<Url>,
}

/// S0: load, touch nothing, wait until quiet, look, sample. Also S8 and other viewports, which differ in options only.
pub(crate) async fn display(
    context: &Arc<Context>,
    name: &str,
    scenario: Scenario,
    options: VisitOptions,
) -> Result<Display, Hindrance> {
    display_at(context, &context.plan.url, name, scenario, options).await
}

async fn display_at(
    context: &Arc<Context>,
    url: &Url,
    name: &str,
    scenario: Scenario,
    options: VisitOptions,
) -> Result<Display, Hindrance> {
    let mut tour = Tour::begin_at(context, url, name, Some(scenario), options).await?;
    tour.settle().await?;
    let look = tour.look().await?;
    let picture = tour.picture("first-layer").await;
    tour.sample("before").await?;
    if let Some(why) = locked_out(&tour, &look) {
        tour.end = VisitEnd::Blocked { why };
    }
    let views = tour.views(&look, Layer::FIRST, &[], picture.as_ref());
    let views = if look.is_asking() { views } else { Vec::new() };
    let final_url = tour.visit.url();
    tour.final_url.clone_from(&final_url);
    let links = internal_links(&look, &final_url);
    let siblings = siblings(&look, &final_url);
    let record = tour.finish().await;
    Ok(Display { record, picture, look, views, final_url, links, siblings })
}

/// S6: enter by another way, touch nothing, look. `None` where there is no such page.
pub(crate) async fn enter(
    context: &Arc<Context>,
    way: Way,
    nth: usize,
    url: &Url,
) -> Result<Option<(Entry, VisitRecord)>, Hindrance> {
    let name = match way {
        Way::DeepLink => "S6-deep-link".to_owned(),
        Way::Advertisement => "S6-advertisement".to_owned(),
        Way::Subdomain => format!("S6-subdomain-{nth}"),
    };
    let shown = match display_at(context, url, &name, Scenario::S6, context.plan.visit.clone()).await {
        Ok(shown) => shown,
        Err(Hindrance::Site(_)) if way == Way::Subdomain => return Ok(None),
        Err(hindrance) => return Err(hindrance),
    };
    let entry = Entry {
        way,
        url: url.to_string(),
        visit: name,
        status: shown.record.status,
        banner: shown.look.is_asking(),
        picture: shown.picture,
    };
    Ok(Some((entry, shown.record)))
}

/// Returns the ways into a site besides its address: a page further in, the address as an advertisement gives it, and
/// other hosts of the site.
pub(crate) fn ways_in(url: &Url, links: &[Url], siblings: &[Url]) -> Vec<(Way, Url)> {
    let mut ways: Vec<(Way, Url)> = links.iter().take(1).map(|link| (Way::DeepLink, link.clone())).collect();
    let mut clicked = url.clone();
    clicked
        .query_pairs_mut()
        .append_pair("utm_source", "newsletter")
        .append_pair("utm_medium", "cpc")
        .append_pair("gclid", "EAIaIQobChMIvigieExampleClickId")
        .append_pair("fbclid", "IwAR0vigieExampleClickId");
    ways.push((Way::Advertisement, clicked));
    ways.extend(siblings.iter().map(|host| (Way::Subdomain, host.clone())));
    ways
}

/// Days after which the site is visited again in S7: a day, a month, just under six months, thirteen months.
const AGES_DAYS: [u32; 4] = [1, 30, 175, 395];

/// S7: make a choice by a path that is known, and come back later and later until the banner asks again.
pub(crate) async fn come_back(
    context: &Arc<Context>,
    choice: Choice,
    path: &[Move],
) -> Result<(Vec<Return>, VisitRecord), Hindrance> {
    let name = if choice == Choice::Accept { "S7-accepted" } else { "S7-refused" };
    let mut walk = Walk::at_display(context, name, Scenario::S7).await?;
    let made = walk.replay(path).await?;
    let mut tour = walk.tour;
    tour.settle().await?;
    tour.sample("after-choice").await?;
    let mut returns = Vec::new();
    let mut age_days = 0;
    for days in AGES_DAYS.into_iter().take_while(|_| made) {
        tour.visit.age(Duration::from_hours(24 * u64::from(days - age_days))).await?;
        age_days = days;
        tour.visit.goto(context.plan.url.as_str(), context.load_limit()).await?;
        tour.settle().await?;
        let look = tour.look().await?;
        let picture = tour.picture(&format!("after-{days}-days")).await;
        tour.sample(&format!("after-{days}-days")).await?;
        let asked = look.is_asking();
        returns.push(Return { choice, days, visit: name.to_owned(), asked, picture });
        if asked {
            break;
        }
    }
    Ok((returns, tour.finish().await))
}

/// Returns other hosts of the same registrable domain to which the page links, two at most, each at its root.
fn siblings(look: &Look, base: &str) -> Vec<Url> {
    let Ok(base) = Url::parse(base) else { return Vec::new() };
    let own = base.host_str().unwrap_or_default();
    let page = &look.seen.page;
    let mut hosts = BTreeSet::new();
    for id in page.ids() {
        let node = page.node(id);
        let Some(url) = node.attribute("href").filter(|_| node.is("a")).and_then(|href| base.join(href).ok()) else {
            continue;
        };
        let Some(host) = url.host_str().filter(|host| *host != own && url.scheme() == base.scheme()) else { continue };
        if registrable_domain(host) == registrable_domain(own)
            && let Ok(root) = url.join("/")
        {
            hosts.insert(root);
        }
    }
    hosts.into_iter().take(2).collect()
}

/// The first layer on another screen.
pub(crate) async fn other_viewport(
    context: &Arc<Context>,
    viewport: (u32, u32),
) -> Result<(OtherViewport, VisitRecord), Hindrance> {
    let name = format!("S0-{}x{}", viewport.0, viewport.1);
    let options = VisitOptions { viewport, ..context.plan.visit.clone() };
    let shown = display(context, &name, Scenario::S0, options).await?;
    let view = shown.views.into_iter().next();
    let other = OtherViewport { viewport, visit: name, surface: view.map(|view| view.surface), picture: shown.picture };
    Ok((other, shown.record))
}

/// Returns what shows that the site did not let us in, if anything does.
fn locked_out(tour: &Tour, look: &Look) -> Option<String> {
    let page = &look.seen.page;
    if matches!(tour.status, 401 | 403 | 407 | 451) {
        return Some(format!("the site answered {}", tour.status));
    }
    let has = |words: &[&str], text: &str| words.iter().any(|word| text.contains(word));
    let title = page.title.to_lowercase();
    let challenge = page.ids().any(|id| {
        let node = page.node(id);
        node.layout.is_some()
            && node.name.as_ref() == "iframe"
            && node.attribute("src").is_some_and(|src| {
                has(
                    &[
                        "challenges.cloudflare.com",
                        "hcaptcha.com/captcha",
                        "recaptcha/api2/bframe",
                        "geo.captcha-delivery.com",
                    ],
                    src,
                )
            })
    });
    let walls = [
        "just a moment",
        "attention required",
        "are you a robot",
        "are you human",
        "verify you are human",
        "access denied",
        "pardon our interruption",
        "security check",
        "captcha",
        "ddos-guard",
        "one more step",
    ];
    let words = has(&walls, &title);
    let short = page.ids().filter(|&id| page.node(id).layout.is_some()).count() < 150;
    let refused = matches!(tour.status, 429 | 503) && (words || challenge);
    if refused || (words || challenge) && short && !look.is_asking() {
        return Some(format!("a page that asks for proof of being human (`{}`, status {})", page.title, tour.status));
    }
    None
}

/// Returns up to [`WALK_PAGES`] other pages of the site that the page links to, in document order: only such as an
/// ordinary visitor reads.
fn internal_links(look: &Look, base: &str) -> Vec<Url> {
    let Ok(base) = Url::parse(base) else { return Vec::new() };
    let page = &look.seen.page;
    let mut seen = BTreeSet::from([base.path().to_owned()]);
    let mut links = Vec::new();
    for id in page.ids() {
        let node = page.node(id);
        if !node.is("a") || node.layout.is_none() || node.frame != 0 {
            continue;
        }
        let Some(mut url) = node.attribute("href").and_then(|href| base.join(href).ok()) else { continue };
        url.set_fragment(None);
        let same = url.scheme() == base.scheme() && url.host_str() == base.host_str() && url.port() == base.port();
        let file = url.path().rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        let document = !file.contains('.') || [".html", ".htm", ".php", ".aspx"].iter().any(|end| file.ends_with(end));
        let leaves = ["logout", "signout", "log-out", "delete", "unsubscribe", "download"];
        let ordinary = !leaves.iter().any(|word| url.path().to_ascii_lowercase().contains(word));
        let inside = look.detection.surfaces.iter().any(|surface| page.is_within(id, surface.root));
        if same && document && ordinary && !inside && seen.insert(url.path().to_owned()) {
            links.push(url);
        }
        if links.len() == WALK_PAGES {
            break;
        }
    }
    links
}

/// After a choice: load the page again, visit further pages, sample at each stage, and look for the way back.
pub(crate) async fn walk_on(
    tour: &mut Tour,
    links: &[Url],
    asked: &mut Option<bool>,
    way_back: &mut Vec<(String, Option<String>)>,
) -> Result<(), BrowserError> {
    let limit = tour.context.load_limit();
    tour.visit.reload(limit).await?;
    tour.settle().await?;
    tour.sample("after-reload").await?;
    let look = tour.look().await?;
    *asked = Some(look.is_asking());
    note_way_back(tour, &look, way_back);
    for link in links {
        tour.visit.step("walk");
        tour.visit.goto(link.as_str(), limit).await?;
        tour.settle().await?;
        let look = tour.look().await?;
        note_way_back(tour, &look, way_back);
    }
    tour.sample("after-walk").await
}

fn note_way_back(tour: &Tour, look: &Look, way_back: &mut Vec<(String, Option<String>)>) {
    // A button that ends a withdrawal begins none.
    let ends = |role| matches!(role, Role::Policy | Role::SaveSelection | Role::RefuseAll);
    let best = look.ways_back.iter().find(|control| !ends(control.role));
    way_back.push((tour.visit.url(), best.map(|control| control.label.clone())));
}

/// What S4 saw: the settings, and what saving them untouched led to.
pub(crate) struct Untouched {
    pub record: Option<VisitRecord>,
    pub views: Vec<SurfaceView>,
    pub tried: Vec<Tried>,
}

/// S4: open the settings, change nothing, save. Where the first layer has the switches itself, it is saved as it is.
pub(crate) async fn untouched(context: &Arc<Context>) -> Result<Untouched, Hindrance> {
    let mut walk = Walk::at_display(context, "S4", Scenario::S4).await?;
    let mut tried = Vec::new();
    let mut views = Vec::new();
    for _ in 0..2 {
        let Some(surface) = walk.look.surface().cloned() else { break };
        let controls: Vec<&Control> = surface.controls.iter().collect();
        let save = controls.iter().find(|control| control.role == Role::SaveSelection && moves::has_switches(&surface));
        if let Some(save) = save {
            let target = Target::of(&controls, save);
            if walk.make(&Move::Activate(target)).await? {
                walk.tour.settle().await?;
                walk.tour.picture("saved").await;
                walk.tour.sample("after-choice").await?;
                walk.tour.visit.reload(context.load_limit()).await?;
                walk.tour.settle().await?;
                walk.tour.sample("after-reload").await?;
                return Ok(Untouched { record: Some(walk.tour.finish().await), views, tried });
            }
            break;
        }
        let open = controls
            .iter()
            .filter(|control| control.role == Role::Settings && (control.in_reach || !control.icon_only))
            .max_by(|a, b| a.confidence.total_cmp(&b.confidence));
        let Some(open) = open else { break };
        let before = walk.look.fingerprint();
        let url = walk.tour.visit.url();
        let control = (*open).clone();
        let target = Target::of(&controls, open);
        if !walk.make(&Move::Activate(target)).await? {
            tried.push(Tried { control, effect: Effect::Nothing });
            break;
        }
        walk.tour.pause().await?;
        walk.look = walk.tour.look().await?;
        let effect = if walk.tour.visit.url().split('#').next() != url.split('#').next() {
            Effect::Leaves
        } else if walk.look.surface().is_none() || walk.look.fingerprint() == before {
            Effect::Nothing
        } else {
            Effect::Opens
        };
        let first = tried.is_empty();
        tried.push(Tried { control: control.clone(), effect });
        if first && matches!(effect, Effect::Nothing) {
            break;
        }
        if walk.look.surface().is_some() {
            let picture = walk.tour.picture("settings").await;
            let layer = Layer(1 + tried.len() as u8);
            let via: Vec<String> = tried.iter().map(|tried| tried.control.label.clone()).collect();
            views.extend(walk.tour.views(&walk.look, layer, &via, picture.as_ref()));
        }
    }
    tried.truncate(1);
    walk.tour.finish().await;
    Ok(Untouched { record: None, views, tried })
}

/// The passive acts of S5.
pub(crate) const PASSIVE: [&str; 5] = ["close", "escape", "backdrop", "scroll", "follow-link"];

/// S5: one passive act alone, then the page again.
pub(crate) async fn passive(
    context: &Arc<Context>,
    act: &'static str,
    links: &[Url],
) -> Result<(Passive, Option<VisitRecord>, Vec<Tried>), Hindrance> {
    let name = format!("S5-{act}");
    let mut walk = Walk::at_display(context, &name, Scenario::S5).await?;
    let mut tried = Vec::new();
    let surface = walk.look.surface().cloned();
    let nothing = Passive { act: act.to_owned(), visit: name.clone(), effect: Effect::Unknown };
    let Some(surface) = surface else {
        walk.tour.finish().await;
        return Ok((nothing, None, tried));
    };
    let limit = context.load_limit();
    let mut control = None;
    let choice = walk.tour.visit.n_events();
    match act {
        "close" => {
            let controls: Vec<&Control> = surface.controls.iter().collect();
            let close = controls.iter().find(|control| control.role == Role::Close);
            let Some(close) = close else {
                walk.tour.finish().await;
                return Ok((nothing, None, tried));
            };
            control = Some((*close).clone());
            if !walk.make(&Move::Activate(Target::of(&controls, close))).await? {
                walk.tour.finish().await;
                return Ok((nothing, None, tried));
            }
        }
        "escape" => walk.tour.visit.press_key("Escape").await?,
        "backdrop" => {
            let Some(point) = beside(&walk.look, &surface) else {
                walk.tour.finish().await;
                return Ok((nothing, None, tried));
            };
            walk.tour.visit.click_at(point.0, point.1, "backdrop").await?;
        }
        "scroll" => {
            for _ in 0..4 {
                walk.tour.visit.wheel(400.0).await?;
                tokio::time::sleep(Duration::from_millis(60)).await;
            }
        }
        _ => {
            let Some(link) = links.first() else {
                walk.tour.finish().await;
                return Ok((nothing, None, tried));
            };
            walk.tour.visit.step("walk");
            walk.tour.visit.goto(link.as_str(), limit).await?;
            walk.tour.settle().await?;
            walk.tour.visit.step("walk");
            walk.tour.visit.goto(context.plan.url.as_str(), limit).await?;
        }
    }
    walk.tour.settle().await?;
    let look = walk.tour.look().await?;
    walk.tour.sample("after-choice").await?;
    let gone = !look.is_asking();
    let trace = {
        let samples = &walk.tour.samples;
        super::effect::Trace::of(
            &walk.tour.visit.events(),
            choice,
            &samples[samples.len() - 2],
            &samples[samples.len() - 1],
        )
    };
    let effect = if !gone && trace.stored.is_empty() {
        Effect::Nothing
    } else if trace.stored.is_empty() && trace.new_hosts.is_empty() {
        Effect::Dismisses
    } else {
        match trace.compare(context.accepted_trace().await.as_ref()) {
            // Pages bring hosts of their own; without anything stored and with the banner still up, nothing was chosen.
            Effect::Refuses if !gone => Effect::Nothing,
            effect => effect,
        }
    };
    if let Some(control) = control {
        tried.push(Tried { control, effect });
    }
    let record = walk.tour.finish().await;
    Ok((Passive { act: act.to_owned(), visit: name, effect }, Some(record), tried))
}

/// Returns a point beside the surface where nothing of it is and a click can do no other harm: on the backdrop, or
/// else nowhere.
fn beside(look: &Look, surface: &vigie_banner::Surface) -> Option<(f32, f32)> {
    surface.backdrop?;
    let viewport = look.seen.page.viewport_rect();
    let clear = |(x, y): (f32, f32)| {
        let rect = surface.rect;
        x < rect.x - 2.0 || x > rect.x + rect.w + 2.0 || y < rect.y - 2.0 || y > rect.y + rect.h + 2.0
    };
    let points = [
        (8.0, viewport.h / 2.0),
        (viewport.w - 8.0, viewport.h / 2.0),
        (viewport.w / 2.0, 8.0),
        (viewport.w / 2.0, viewport.h - 8.0),
    ];
    points.into_iter().find(|&point| clear(point))
}

/// Tries the controls that accept and refuse with the keyboard: whether they take the focus, and what Enter does on
/// the last of them, which is the refusal where there is one.
pub(crate) async fn by_keyboard(context: &Arc<Context>, first: &[Control]) -> Result<Vec<ByKeyboard>, Hindrance> {
    let of = |role: Role| first.iter().find(|control| control.role == role);
    let wanted: Vec<&Control> = [of(Role::AcceptAll), of(Role::RefuseAll)].into_iter().flatten().collect();
    let mut tried = Vec::new();
    if wanted.is_empty() {
        return Ok(tried);
    }
    let mut walk = Walk::at_display(context, "keyboard", Scenario::S0).await?;
    let (fingerprint, choice) = (walk.look.fingerprint(), walk.tour.visit.n_events());
    for control in wanted {
        let again = walk.look.surfaces().flat_map(|surface| &surface.controls);
        let node = again.into_iter().find(|other| super::look::same_control(other, control)).map(|found| found.node);
        let Some(node) = node else { continue };
        let takes_focus = walk.tour.visit.focus(&walk.look.seen, node).await?;
        tried.push(ByKeyboard { label: control.label.clone(), takes_focus, effect: Effect::Unknown });
    }
    if let Some(last) = tried.last_mut().filter(|last| last.takes_focus) {
        walk.tour.visit.press_key("Enter").await?;
        walk.tour.settle().await?;
        let look = walk.tour.look().await?;
        walk.tour.sample("after-choice").await?;
        let samples = &walk.tour.samples;
        let trace =
            super::effect::Trace::of(&walk.tour.visit.events(), choice, &samples[0], &samples[samples.len() - 1]);
        last.effect = match (look.fingerprint() == fingerprint, trace.stored.is_empty()) {
            (true, true) => Effect::Nothing,
            (false, true) if look.is_asking() => Effect::Opens,
            _ => trace.compare(context.accepted_trace().await.as_ref()),
        };
    }
    walk.tour.finish().await;
    Ok(tried)
}

/// Tries the controls of the first layer whose words leave open what they do, each on a fresh display.
/// Returns what they did, and the layers that they opened.
pub(crate) async fn try_others(
    context: &Arc<Context>,
    controls: Vec<Control>,
) -> Result<(Vec<Tried>, Vec<SurfaceView>), Hindrance> {
    let (mut tried, mut views) = (Vec::new(), Vec::new());
    for control in controls {
        let mut walk = Walk::at_display(context, "first-layer", Scenario::S0).await?;
        let target = {
            let all: Vec<&Control> = walk.look.surfaces().flat_map(|surface| &surface.controls).collect();
            all.iter().find(|other| super::look::same_control(other, &control)).map(|found| Target::of(&all, found))
        };
        let effect = match target {
            Some(target) => effect_of(&mut walk, target).await?,
            None => Effect::Unknown,
        };
        if effect == Effect::Opens {
            walk.note_opened().await;
            views.append(&mut walk.views);
        }
        tried.push(Tried { control, effect });
        walk.tour.finish().await;
    }
    Ok((tried, views))
}

async fn effect_of(walk: &mut Walk, target: Target) -> Result<Effect, BrowserError> {
    let (url, fingerprint, choice) = (walk.tour.visit.url(), walk.look.fingerprint(), walk.tour.visit.n_events());
    if !walk.make(&Move::Activate(target)).await? {
        return Ok(Effect::Nothing);
    }
    walk.tour.settle().await?;
    walk.look = walk.tour.look().await?;
    walk.tour.sample("after-choice").await?;
    if walk.tour.visit.url().split('#').next() != url.split('#').next() {
        return Ok(Effect::Leaves);
    }
    let samples = &walk.tour.samples;
    let trace = super::effect::Trace::of(&walk.tour.visit.events(), choice, &samples[0], &samples[samples.len() - 1]);
    Ok(match (walk.look.is_asking(), walk.look.fingerprint() == fingerprint) {
        (true, true) if trace.stored.is_empty() => Effect::Nothing,
        (true, false) if trace.stored.is_empty() => Effect::Opens,
        _ if trace.stored.is_empty() && trace.new_hosts.is_empty() => Effect::Dismisses,
        _ => trace.compare(walk.tour.context.accepted_trace().await.as_ref()),
    })
}
