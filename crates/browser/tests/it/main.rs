//! What the browser crate promises, against a real Chromium and a real server: one of each for all tests.

use libtest_mimic::{Arguments, Failed, Trial};
use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;
use vigie_browser::{Browser, BrowserError, LaunchOptions, Quiet, Visit, VisitOptions, input::Click, visit::Opened};
use vigie_domain::{
    NodeId, PageSnapshot,
    page::{Hit, NodeKind},
    record::{Event, EventKind, StorageKind, Writer},
};
use vigie_testkit::{Answer, SiteServer};

/// What all tests share.
struct World {
    runtime: Runtime,
    browser: Browser,
    server: SiteServer,
}

const LIMIT: Duration = Duration::from_secs(15);
const SETTLE: Duration = Duration::from_millis(300);

fn main() {
    let arguments = Arguments::from_args();
    let runtime = Runtime::new().expect("threads can be started");
    let server = serve();
    let options = LaunchOptions {
        arguments: server.chromium_args(),
        ignore_certificate_errors: true,
        ..LaunchOptions::default()
    };
    let browser = runtime.block_on(Browser::launch(&options)).expect("a Chromium is installed (`make setup`)");
    let world = Arc::new(World { runtime, browser, server });
    let mut trials = Vec::new();
    macro_rules! trials {
        ($($name:ident),* $(,)?) => {
            $({
                let world = Arc::clone(&world);
                trials.push(Trial::test(stringify!($name), move || world.run($name(&world))));
            })*
        };
    }
    trials![
        a_page_cannot_tell_the_browser_from_a_persons,
        a_phone_is_a_phone,
        closed_shadow_roots_and_frames_of_other_sites_are_one_tree,
        a_control_in_a_frame_of_another_site_is_clicked,
        a_covered_control_is_out_of_reach,
        a_control_below_the_fold_is_scrolled_to,
        a_control_that_never_stands_still_is_out_of_reach,
        a_short_timer_keeps_the_page_from_being_quiet,
        a_delayed_animation_keeps_the_page_from_being_quiet,
        a_page_that_never_rests_ends_waiting_with_the_reason,
        cookies_are_kept_with_their_writers,
        storage_of_every_kind_is_sampled,
        workers_are_recorded_from_their_first_request,
        fingerprinting_is_seen_before_the_first_script,
        dialogs_are_answered_and_recorded,
        a_window_opened_by_the_page_is_recorded_and_closed,
        a_download_is_refused_and_recorded,
        the_privacy_signal_is_sent_and_shown,
        profiles_share_nothing,
        consent_signals_are_read,
        a_name_that_does_not_resolve_is_an_answer,
        a_page_that_closes_itself_is_gone,
        killing_the_browser_leaves_an_error_and_nothing_else,
        bodies_are_hashed,
    ];
    let conclusion = libtest_mimic::run(&arguments, trials);
    let World { runtime, browser, server } = Arc::into_inner(world).expect("every test has ended");
    runtime.block_on(browser.close());
    drop(server);
    conclusion.exit();
}

impl World {
    fn run(&self, test: impl Future<Output = Result<(), BrowserError>>) -> Result<(), Failed> {
        self.runtime.block_on(test).map_err(|error| Failed::from(error.to_string()))
    }

    async fn visit(&self, url: &str, options: VisitOptions) -> Result<Visit, BrowserError> {
        let visit = self.browser.open_visit(options).await?;
        let opened = visit.goto(url, LIMIT).await?;
        assert!(matches!(opened, Opened::Document(_)), "{url}: {opened:?}");
        Ok(visit)
    }
}

fn page(body: &str) -> Answer {
    Answer::html(format!("<!doctype html><html lang=en><meta charset=utf-8><title>t</title><body>{body}</body></html>"))
}

fn serve() -> SiteServer {
    let builder = SiteServer::builder()
        .route("plain.test", "/", |_| page("<h1>Plain</h1>"))
        .route("plain.test", "/worker.js", |_| {
            Answer::script("postMessage(navigator.userAgent + ' ' + navigator.webdriver)")
        })
        .route("shadow.test", "/", |_| {
            page(
                "<div id=host></div><iframe style='position:absolute;left:100px;top:200px;border:5px solid' width=300 height=200 src='https://other.test/'></iframe>
                 <script>document.getElementById('host').attachShadow({mode:'closed'}).innerHTML='<button id=deep>Refuse</button>'</script>",
            )
        })
        .route("other.test", "/", |_| {
            page("<button id=b style='position:absolute;left:20px;top:30px;width:100px;height:40px' onclick=\"document.cookie='clicked=1'\">Accept</button>")
        })
        .route("covered.test", "/", |_| {
            page("<button id=b>Under</button><div style='position:fixed;inset:0;background:#fff'></div>")
        })
        .route("long.test", "/", |_| {
            page("<div style='height:3000px'></div><button id=b onclick=\"document.cookie='low=1'\">Low</button><div style='height:3000px'></div>")
        })
        .route("moving.test", "/", |_| {
            page("<button id=b style='position:absolute'>Catch</button><script>let x=0;setInterval(()=>{x=(x+37)%800;b.style.left=x+'px'},10)</script>")
        })
        .route("late.test", "/", |_| page("<script>setTimeout(()=>document.cookie='late=1',2000)</script>"))
        .route("animated.test", "/", |_| {
            page("<style>@keyframes in{from{opacity:0}to{opacity:1}}div{opacity:0;animation:in .2s 1.5s forwards}</style><div id=b>Banner</div>")
        })
        .route("restless.test", "/", |_| page("<script>setInterval(()=>fetch('/x?'+Math.random()),50)</script>"))
        .route("restless.test", "/x", |_| Answer::text(200, "x"))
        .route("cookies.test", "/", |_| {
            page("<script src='https://third.test/set.js'></script><img src='https://third.test/pixel'>")
                .with_cookie("first=1; Path=/; Max-Age=3600; HttpOnly")
                .with_cookie("refused=1; Domain=elsewhere.test")
        })
        .route("third.test", "/set.js", |_| Answer::script("document.cookie='scripted=1; max-age=60'"))
        .route("third.test", "/pixel", |_| Answer::pixel().with_cookie("tid=9f3a8c21d; Path=/; SameSite=None; Secure"))
        .route("storage.test", "/", |_| {
            page(
                "<script>localStorage.setItem('l','1');sessionStorage.setItem('s','2');
                 indexedDB.open('base',1);caches.open('store').then(c=>c.put('/a',new Response('b')))</script>",
            )
        })
        .route("workers.test", "/", |_| {
            page("<script>new Worker('/w.js');navigator.serviceWorker.register('/sw.js')</script>")
        })
        .route("workers.test", "/w.js", |_| Answer::script("fetch('https://third.test/from-worker')"))
        .route("workers.test", "/sw.js", |_| Answer::script("fetch('https://third.test/from-service-worker')"))
        .route("prints.test", "/", |_| {
            page("<canvas id=c></canvas><script src=/fp.js></script>")
        })
        .route("prints.test", "/fp.js", |_| {
            Answer::script("c.getContext('2d').fillText('x',1,1);c.toDataURL();const n=navigator;[n.plugins,n.mimeTypes,n.hardwareConcurrency,n.deviceMemory,n.platform,n.languages,n.vendor]")
        })
        .route("dialogs.test", "/", |_| {
            page("<script>window.answers=[confirm('Sure?'),prompt('Name?')];for(let i=0;i<40;i++)alert(i);document.cookie='past=1'</script>")
        })
        .route("windows.test", "/", |_| page("<script>for(let i=0;i<5;i++)open('https://third.test/pop'+i)</script>"))
        .route("third.test", "/*", |_| Answer::text(200, "x").with_header("Access-Control-Allow-Origin", "*"))
        .route("download.test", "/", |_| page("<script>location.href='/file'</script>"))
        .route("download.test", "/file", |_| {
            Answer::new(200, "application/octet-stream", "x".repeat(1000))
                .with_header("Content-Disposition", "attachment; filename=data.bin")
        })
        .route("signals.test", "/", |_| {
            page(
                "<script>window.dataLayer=[];function gtag(){dataLayer.push(arguments)}gtag('consent','default',{ad_storage:'denied'});
                 window.__tcfapi=(c,v,f)=>f({tcString:'CPXXX',listenerId:1},true)</script>",
            )
        })
        .route("closes.test", "/", |_| page("<script>setTimeout(()=>{window.close()},300)</script>"));
    builder.start().expect("a loopback port is free")
}

fn find(page: &PageSnapshot, id: &str) -> NodeId {
    page.ids().find(|&node| page.node(node).attribute("id") == Some(id)).unwrap_or_else(|| panic!("no node `{id}`"))
}

fn some<T>(events: &[Event], pick: impl Fn(&EventKind) -> Option<T>) -> Vec<T> {
    events.iter().filter_map(|event| pick(&event.kind)).collect()
}

async fn a_page_cannot_tell_the_browser_from_a_persons(world: &World) -> Result<(), BrowserError> {
    let visit =
        world.visit("https://plain.test/", VisitOptions { locale: "fr-FR".into(), ..VisitOptions::default() }).await?;
    let seen = visit
        .evaluate(
            "(async () => JSON.stringify({
                webdriver: navigator.webdriver, agent: navigator.userAgent, plugins: navigator.plugins.length,
                chrome: typeof window.chrome, outer: outerWidth > 0 && outerHeight > 0, languages: navigator.languages,
                brands: navigator.userAgentData.brands.map(b => b.brand).join(), pdf: navigator.pdfViewerEnabled,
                screen: [screen.width, screen.height], inner: [innerWidth, innerHeight], focus: document.hasFocus(),
                native: [setTimeout, HTMLCanvasElement.prototype.toDataURL, Object.getOwnPropertyDescriptor(Document.prototype, 'cookie').set]
                    .every(f => /\\[native code\\]/.test(Function.prototype.toString.call(f))),
                names: [setTimeout.name, setTimeout.length, fetch.name].join(),
                ours: Object.getOwnPropertyNames(window).filter(n => /^q\\d+$/.test(n)).length,
                notifications: Notification.permission === 'denied' && (await navigator.permissions.query({name: 'notifications'})).state === 'prompt',
                number: (1.5).toLocaleString(),
                worker: await new Promise(r => { new Worker('/worker.js').onmessage = e => r(e.data) }),
            }))()",
        )
        .await?;
    let seen: serde_json::Value = serde_json::from_str(seen.as_str().expect("the page answered")).expect("JSON");
    assert_eq!(seen["webdriver"], false, "{seen}");
    assert!(!seen["agent"].as_str().unwrap_or_default().contains("Headless"), "{seen}");
    assert!(!seen["brands"].as_str().unwrap_or_default().contains("Headless"), "{seen}");
    assert!(!seen["worker"].as_str().unwrap_or_default().contains("Headless"), "{seen}");
    assert_eq!(seen["chrome"], "object", "{seen}");
    assert!(seen["plugins"].as_u64() > Some(0), "{seen}");
    assert_eq!(seen["languages"], serde_json::json!(["fr-FR", "fr"]), "{seen}");
    assert_eq!(seen["screen"], serde_json::json!([1366, 768]), "{seen}");
    assert_eq!(seen["inner"], serde_json::json!([1366, 768]), "{seen}");
    for fact in ["outer", "native", "focus", "pdf"] {
        assert_eq!(seen[fact], true, "{fact}: {seen}");
    }
    assert_eq!(seen["notifications"], false, "{seen}");
    assert_eq!(seen["ours"], 0, "{seen}");
    assert_eq!(seen["names"], "setTimeout,1,fetch", "{seen}");
    assert_eq!(seen["number"], "1,5", "{seen}");
    visit.close().await;
    Ok(())
}

async fn a_phone_is_a_phone(world: &World) -> Result<(), BrowserError> {
    let visit =
        world.visit("https://plain.test/", VisitOptions { viewport: (390, 844), ..VisitOptions::default() }).await?;
    let seen = visit.evaluate("[innerWidth, innerHeight, navigator.maxTouchPoints, navigator.userAgentData.mobile, /Mobile/.test(navigator.userAgent)].join()").await?;
    // Without a viewport tag a phone lays out 980 pixels wide, as phones do.
    assert!(seen.as_str().unwrap_or_default().ends_with("5,true,true"), "{seen}");
    visit.close().await;
    Ok(())
}

async fn closed_shadow_roots_and_frames_of_other_sites_are_one_tree(world: &World) -> Result<(), BrowserError> {
    let visit = world.visit("https://shadow.test/", VisitOptions::default()).await?;
    visit.wait_quiet(SETTLE, LIMIT).await?;
    let mut seen = visit.snapshot().await?;
    let deep = find(&seen.page, "deep");
    assert!(seen.page.ancestors(deep).any(|up| seen.page.node(up).kind == NodeKind::ClosedShadow));
    let framed = find(&seen.page, "b");
    assert_eq!(seen.page.frames.len(), 2);
    assert!(seen.page.ancestors(framed).any(|up| seen.page.node(up).is("iframe")));
    let rect = seen.page.node(framed).layout.as_ref().expect("it is rendered").rect;
    assert_eq!((rect.x, rect.y, rect.w, rect.h), (125.0, 235.0, 100.0, 40.0));
    visit.hit_test(&mut seen, &[deep, framed]).await?;
    assert_eq!(seen.page.node(deep).hit, Some(Hit::Reached));
    assert_eq!(seen.page.node(framed).hit, Some(Hit::Reached));
    visit.close().await;
    Ok(())
}

async fn a_control_in_a_frame_of_another_site_is_clicked(world: &World) -> Result<(), BrowserError> {
    let visit = world.visit("https://shadow.test/", VisitOptions::default()).await?;
    visit.wait_quiet(SETTLE, LIMIT).await?;
    let seen = visit.snapshot().await?;
    let clicked = visit.click(&seen, find(&seen.page, "b"), "Accept").await?;
    assert!(matches!(clicked, Click::Done { .. }), "{clicked:?}");
    visit.wait_quiet(SETTLE, LIMIT).await?;
    let events = visit.events();
    let written =
        some(&events, |kind| matches!(kind, EventKind::CookieWritten { name, .. } if name == "clicked").then_some(()));
    assert_eq!(written.len(), 1, "the frame's script was not run by the click");
    visit.close().await;
    Ok(())
}

async fn a_covered_control_is_out_of_reach(world: &World) -> Result<(), BrowserError> {
    let visit = world.visit("https://covered.test/", VisitOptions::default()).await?;
    let mut seen = visit.snapshot().await?;
    let button = find(&seen.page, "b");
    visit.hit_test(&mut seen, &[button]).await?;
    assert_eq!(seen.page.node(button).hit, Some(Hit::Covered));
    let clicked = visit.click(&seen, button, "Under").await?;
    assert_eq!(clicked, Click::OutOfReach { why: "something else covers it".into() });
    visit.close().await;
    Ok(())
}

async fn a_control_below_the_fold_is_scrolled_to(world: &World) -> Result<(), BrowserError> {
    let visit = world.visit("https://long.test/", VisitOptions::default()).await?;
    let mut seen = visit.snapshot().await?;
    let button = find(&seen.page, "b");
    visit.hit_test(&mut seen, &[button]).await?;
    assert_eq!(seen.page.node(button).hit, Some(Hit::Outside));
    assert!(matches!(visit.click(&seen, button, "Low").await?, Click::Done { .. }));
    let sample = visit.sample("after").await?;
    assert_eq!(sample.cookies.len(), 1);
    visit.close().await;
    Ok(())
}

async fn a_control_that_never_stands_still_is_out_of_reach(world: &World) -> Result<(), BrowserError> {
    let visit = world.visit("https://moving.test/", VisitOptions::default()).await?;
    let seen = visit.snapshot().await?;
    let clicked = visit.click(&seen, find(&seen.page, "b"), "Catch").await?;
    assert!(matches!(clicked, Click::OutOfReach { .. }), "{clicked:?}");
    visit.close().await;
    Ok(())
}

async fn a_short_timer_keeps_the_page_from_being_quiet(world: &World) -> Result<(), BrowserError> {
    let visit = world.visit("https://late.test/", VisitOptions::default()).await?;
    assert_eq!(visit.wait_quiet(SETTLE, LIMIT).await?, Quiet::Reached);
    let sample = visit.sample("before").await?;
    assert_eq!(sample.cookies.iter().map(|cookie| cookie.name.as_str()).collect::<Vec<_>>(), ["late"]);
    visit.close().await;
    Ok(())
}

async fn a_delayed_animation_keeps_the_page_from_being_quiet(world: &World) -> Result<(), BrowserError> {
    let visit = world.visit("https://animated.test/", VisitOptions::default()).await?;
    visit.wait_quiet(SETTLE, LIMIT).await?;
    let seen = visit.snapshot().await?;
    let opacity = seen.page.effective_opacity(find(&seen.page, "b"));
    assert!((opacity - 1.0).abs() < 0.01, "the banner was looked at while it was still {opacity} opaque");
    visit.close().await;
    Ok(())
}

async fn a_page_that_never_rests_ends_waiting_with_the_reason(world: &World) -> Result<(), BrowserError> {
    let visit = world.visit("https://restless.test/", VisitOptions::default()).await?;
    let start = Instant::now();
    let quiet = visit.wait_quiet(SETTLE, Duration::from_secs(2)).await?;
    assert!(matches!(quiet, Quiet::NotReached { .. }), "{quiet:?}");
    assert!(start.elapsed() < Duration::from_secs(4), "the limit was not kept: {:?}", start.elapsed());
    visit.close().await;
    Ok(())
}

async fn cookies_are_kept_with_their_writers(world: &World) -> Result<(), BrowserError> {
    let visit = world.visit("https://cookies.test/", VisitOptions::default()).await?;
    visit.wait_quiet(SETTLE, LIMIT).await?;
    let sample = visit.sample("before").await?;
    let jar: Vec<_> = sample.cookies.iter().map(|cookie| format!("{} {}", cookie.name, cookie.domain)).collect();
    assert_eq!(jar, ["first cookies.test", "scripted cookies.test", "tid third.test"]);
    assert!(sample.cookies[0].http_only);
    let (events, _) = visit.close().await;
    let writer = |wanted: &str| {
        some(&events, |kind| match kind {
            EventKind::CookieWritten { name, writer, .. } if name == wanted => Some(writer.clone()),
            _ => None,
        })
    };
    assert_eq!(writer("first"), [Writer::Header { url: "https://cookies.test/".into() }]);
    assert_eq!(writer("scripted"), [Writer::Script { stack: vec!["https://third.test/set.js".into()] }]);
    assert_eq!(writer("tid"), [Writer::Header { url: "https://third.test/pixel".into() }]);
    assert!(writer("refused").is_empty());
    let blocked = some(&events, |kind| match kind {
        EventKind::ResponseHeaders { blocked, .. } if !blocked.is_empty() => Some(blocked.clone()),
        _ => None,
    });
    assert_eq!(blocked[0][0].name, "refused");
    assert_eq!(blocked[0][0].reasons, ["InvalidDomain"]);
    Ok(())
}

async fn storage_of_every_kind_is_sampled(world: &World) -> Result<(), BrowserError> {
    let visit = world.visit("https://storage.test/", VisitOptions::default()).await?;
    visit.wait_quiet(SETTLE, LIMIT).await?;
    let sample = visit.sample("before").await?;
    let kinds: Vec<_> =
        sample.storage.iter().map(|item| (item.kind, item.key.as_str(), item.origin.as_str())).collect();
    let origin = "https://storage.test";
    let expected = [
        (StorageKind::Local, "l", origin),
        (StorageKind::Session, "s", origin),
        (StorageKind::IndexedDb, "base", origin),
        (StorageKind::CacheApi, "store", origin),
    ];
    assert_eq!(kinds, expected);
    let (events, _) = visit.close().await;
    let written = some(&events, |kind| match kind {
        EventKind::StorageWritten { key, .. } => Some(key.clone()),
        _ => None,
    });
    assert!(written.contains(&"l".to_owned()) && written.contains(&"s".to_owned()), "{written:?}");
    Ok(())
}

async fn workers_are_recorded_from_their_first_request(world: &World) -> Result<(), BrowserError> {
    let visit = world.visit("https://workers.test/", VisitOptions::default()).await?;
    visit.wait_quiet(Duration::from_millis(800), LIMIT).await?;
    let (events, _) = visit.close().await;
    let urls = some(&events, |kind| match kind {
        EventKind::Request { url, .. } => Some(url.clone()),
        _ => None,
    });
    // Once each: a service worker belongs to its page and to the browser, and only one of them may tell of it.
    for one in ["https://third.test/from-worker", "https://third.test/from-service-worker"] {
        assert_eq!(urls.iter().filter(|url| *url == one).count(), 1, "{one} in {urls:?}");
    }
    Ok(())
}

async fn fingerprinting_is_seen_before_the_first_script(world: &World) -> Result<(), BrowserError> {
    let visit = world.visit("https://prints.test/", VisitOptions::default()).await?;
    visit.wait_quiet(SETTLE, LIMIT).await?;
    let (events, _) = visit.close().await;
    let calls = some(&events, |kind| match kind {
        EventKind::Fingerprinting { api, script, .. } => Some((api.clone(), script.clone())),
        _ => None,
    });
    let script = Some("https://prints.test/fp.js".to_owned());
    assert_eq!(
        calls,
        [("HTMLCanvasElement.toDataURL".to_owned(), script.clone()), ("navigator sweep".to_owned(), script)]
    );
    Ok(())
}

async fn dialogs_are_answered_and_recorded(world: &World) -> Result<(), BrowserError> {
    let visit = world.visit("https://dialogs.test/", VisitOptions::default()).await?;
    visit.wait_quiet(SETTLE, LIMIT).await?;
    assert_eq!(visit.evaluate("JSON.stringify(answers)").await?, "[false,null]");
    let sample = visit.sample("before").await?;
    assert_eq!(sample.cookies.len(), 1, "the page did not get past its dialogs");
    let (events, gaps) = visit.close().await;
    let kinds = some(&events, |kind| match kind {
        EventKind::Dialog { kind, .. } => Some(kind.clone()),
        _ => None,
    });
    assert_eq!(kinds[..3], ["confirm", "prompt", "alert"]);
    assert_eq!(kinds.len(), 20);
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    Ok(())
}

async fn a_window_opened_by_the_page_is_recorded_and_closed(world: &World) -> Result<(), BrowserError> {
    let visit = world.visit("https://windows.test/", VisitOptions::default()).await?;
    visit.wait_quiet(SETTLE, LIMIT).await?;
    assert_eq!(visit.evaluate("document.visibilityState").await?, "visible");
    let (events, _) = visit.close().await;
    let opened = some(&events, |kind| match kind {
        EventKind::Opened { target, url } => Some((target.clone(), url.clone())),
        _ => None,
    });
    assert!(!opened.is_empty() && opened.iter().all(|(target, _)| target == "page"), "{opened:?}");
    Ok(())
}

async fn a_download_is_refused_and_recorded(world: &World) -> Result<(), BrowserError> {
    let visit = world.visit("https://download.test/", VisitOptions::default()).await?;
    visit.wait_quiet(SETTLE, LIMIT).await?;
    let (events, _) = visit.close().await;
    let downloads = some(&events, |kind| match kind {
        EventKind::Download { url, filename } => Some((url.clone(), filename.clone())),
        _ => None,
    });
    assert_eq!(downloads, [("https://download.test/file".to_owned(), "data.bin".to_owned())]);
    Ok(())
}

async fn the_privacy_signal_is_sent_and_shown(world: &World) -> Result<(), BrowserError> {
    let options = VisitOptions { global_privacy_control: true, ..VisitOptions::default() };
    let visit = world.visit("https://plain.test/?gpc", options).await?;
    assert_eq!(visit.evaluate("navigator.globalPrivacyControl").await?, true);
    let sent = world.server.requests_to("plain.test");
    let sent = sent.iter().find(|served| served.request.query.as_deref() == Some("gpc")).expect("it was asked for");
    assert_eq!(sent.request.header("sec-gpc"), Some("1"));
    visit.close().await;
    let visit = world.visit("https://plain.test/?none", VisitOptions::default()).await?;
    let sent = world.server.requests_to("plain.test");
    let sent = sent.iter().find(|served| served.request.query.as_deref() == Some("none")).expect("it was asked for");
    assert_eq!(sent.request.header("sec-gpc"), None);
    visit.close().await;
    Ok(())
}

async fn profiles_share_nothing(world: &World) -> Result<(), BrowserError> {
    let first = world.visit("https://storage.test/", VisitOptions::default()).await?;
    first.evaluate("document.cookie='mine=1; max-age=1000'").await?;
    let second = world.visit("https://plain.test/", VisitOptions::default()).await?;
    let empty = second.sample("before").await?;
    assert!(empty.cookies.is_empty() && empty.storage.is_empty(), "{empty:?}");
    let own = first.sample("before").await?;
    assert_eq!(own.cookies.len(), 1);
    first.close().await;
    second.close().await;
    Ok(())
}

async fn consent_signals_are_read(world: &World) -> Result<(), BrowserError> {
    let visit = world.visit("https://signals.test/", VisitOptions::default()).await?;
    visit.sample("before").await?;
    let (events, _) = visit.close().await;
    let signals = some(&events, |kind| match kind {
        EventKind::ConsentSignal { kind, value } => Some((kind.clone(), value.clone())),
        _ => None,
    });
    let expected = [("gtag-default", r#"{"ad_storage":"denied"}"#), ("tcf", "CPXXX")];
    assert_eq!(signals, expected.map(|(kind, value)| (kind.to_owned(), value.to_owned())));
    Ok(())
}

async fn a_name_that_does_not_resolve_is_an_answer(world: &World) -> Result<(), BrowserError> {
    let visit = world.browser.open_visit(VisitOptions::default()).await?;
    let opened = visit.goto("https://localhost:1/", LIMIT).await?;
    assert_eq!(opened, Opened::Nothing("net::ERR_UNSAFE_PORT".into()));
    visit.close().await;
    Ok(())
}

async fn a_page_that_closes_itself_is_gone(world: &World) -> Result<(), BrowserError> {
    let visit = world.visit("https://closes.test/", VisitOptions::default()).await?;
    let ended = visit.wait_quiet(Duration::from_secs(1), LIMIT).await;
    // A window that no script opened may refuse to be closed by one; then it is simply quiet.
    assert!(matches!(ended, Err(BrowserError::PageGone { .. }) | Ok(Quiet::Reached)), "{ended:?}");
    visit.close().await;
    Ok(())
}

async fn killing_the_browser_leaves_an_error_and_nothing_else(world: &World) -> Result<(), BrowserError> {
    let options = LaunchOptions { arguments: world.server.chromium_args(), ..LaunchOptions::default() };
    let browser = Browser::launch(&options).await?;
    let id = browser.process_id().expect("it runs");
    let profile = std::fs::read_to_string(format!("/proc/{id}/cmdline")).expect("it runs");
    let profile = profile
        .split('\0')
        .find_map(|argument| argument.strip_prefix("--user-data-dir="))
        .expect("it has one")
        .to_owned();
    assert!(std::path::Path::new(&profile).is_dir());
    let visit = browser.open_visit(VisitOptions::default()).await?;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(id).expect("process ids are small")),
        nix::sys::signal::Signal::SIGKILL,
    )
    .expect("it is ours");
    let ended = visit.goto("https://plain.test/", LIMIT).await;
    assert!(matches!(ended, Err(BrowserError::Gone { .. } | BrowserError::PageGone { .. })), "{ended:?}");
    drop(visit);
    browser.close().await;
    assert!(!std::path::Path::new(&profile).exists(), "the profile was left behind");
    let deadline = Instant::now() + Duration::from_secs(5);
    while processes_with(&profile) > 0 {
        assert!(Instant::now() < deadline, "helpers of the browser were left running");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn processes_with(text: &str) -> usize {
    let running = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    running
        .filter(|entry| std::fs::read_to_string(entry.path().join("cmdline")).is_ok_and(|line| line.contains(text)))
        .count()
}

async fn bodies_are_hashed(world: &World) -> Result<(), BrowserError> {
    let visit = world.visit("https://workers.test/w.js", VisitOptions::default()).await?;
    visit.wait_quiet(SETTLE, LIMIT).await?;
    let (events, _) = visit.close().await;
    let hashes = some(&events, |kind| match kind {
        EventKind::Finished { sha256, body_bytes, .. } => Some((sha256.clone(), *body_bytes)),
        _ => None,
    });
    let body = "fetch('https://third.test/from-worker')";
    assert!(hashes.iter().any(|(hash, bytes)| hash.is_some() && *bytes == Some(body.len() as u64)), "{hashes:?}");
    Ok(())
}
