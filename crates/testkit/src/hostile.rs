//! Hosts that do what the worst of the web does, and what an honest inspector may say of each.
//!
//! Every page has a host of its own, `NAME.hostile.test`, so that one cannot spoil the next. Most carry a plain,
//! well-behaved banner: whatever else the page does, a person would see it. Nothing here crashes a renderer by an
//! interface meant for that: `renderer-crash` asks V8 for a longer array than it can have, and tests may rather send
//! `Page.crash`.

use crate::{
    answer::{Answer, AnswerBody, Request},
    connection::TlsFault,
    server::SiteServerBuilder,
};
use std::{fmt::Write, time::Duration};

/// How an inspection ends, in the words of the program's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The site was seen as a visitor sees it.
    Inspected,
    /// The site did not let us in.
    Blocked,
    /// Nothing answered as a web site would.
    Unreachable,
    /// The visit broke off.
    Failed,
}

impl Outcome {
    /// Returns the word of the output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inspected => "inspected",
            Self::Blocked => "blocked",
            Self::Unreachable => "unreachable",
            Self::Failed => "failed",
        }
    }
}

/// One hostile page.
#[derive(Debug, Clone, Copy)]
pub struct HostilePage {
    /// Its name, and the first label of its host.
    pub name: &'static str,
    /// What it does, in a few words.
    pub does: &'static str,
    /// Honest outcomes: the first is the expected one, others are as honest on a slower machine or another browser.
    pub outcomes: &'static [Outcome],
    /// Whether a person would see a consent banner on it.
    pub banner: bool,
    respond: fn(&Request) -> Answer,
}

impl HostilePage {
    /// Returns its host.
    pub fn host(&self) -> String {
        format!("{}.hostile.test", self.name)
    }

    /// Returns its address.
    pub fn url(&self) -> String {
        format!("https://{}/", self.host())
    }
}

use Outcome::{Blocked, Failed, Inspected, Unreachable};

const fn page(
    name: &'static str,
    does: &'static str,
    outcomes: &'static [Outcome],
    respond: fn(&Request) -> Answer,
) -> HostilePage {
    HostilePage { name, does, outcomes, banner: false, respond }
}

const fn with_banner(page: HostilePage) -> HostilePage {
    HostilePage { banner: true, ..page }
}

/// Every hostile page.
#[rustfmt::skip]
pub const PAGES: &[HostilePage] = &[
    page("endless-redirect", "redirects to itself for ever", &[Unreachable, Failed], endless_redirect),
    with_banner(page("never-idle", "asks for something every 100 ms for ever", &[Inspected], |r| calm_page(r,
        "setInterval(() => fetch('/tick?' + Date.now()), 100);"))),
    with_banner(page("alert-loop", "opens an alert as soon as one is closed", &[Inspected], |r| calm_page(r,
        "setInterval(() => alert('Read me'), 50);"))),
    with_banner(page("beforeunload", "asks whether to leave", &[Inspected], |r| calm_page(r,
        "addEventListener('beforeunload', (event) => { event.preventDefault(); event.returnValue = 'Stay'; });"))),
    with_banner(page("window-open-storm", "opens windows by itself and on every click", &[Inspected], |r| calm_page(r,
        "const open10 = () => { for (let i = 0; i < 10; i++) window.open('/pop?' + i, '_blank'); };
         setInterval(open10, 500); addEventListener('click', open10, true);"))),
    with_banner(page("huge-dom", "has a hundred thousand elements", &[Inspected, Failed], huge_dom)),
    page("busy-after-load", "blocks its thread for ever, a second after it loaded", &[Failed], |r| calm_page(r,
        "addEventListener('load', () => setTimeout(() => { while (true); }, 1000));")),
    page("busy-at-parse", "blocks its thread for ever, before anything shows", &[Failed], |_| Answer::html(
        "<!doctype html><title>Busy</title><script>while (true);</script><p>Never seen")),
    page("huge-download", "is a file of 500 MB to be saved", &[Failed, Unreachable], |_| half_a_gigabyte()
        .with_header("content-disposition", "attachment; filename=\"all.bin\"")),
    with_banner(page("huge-subresource", "asks for a file of 500 MB", &[Inspected], huge_subresource)),
    page("tls-error", "hangs up in the handshake", &[Unreachable],
        |_| Answer::redirect("https://tls-error.hostile.test/")),
    page("not-tls", "answers the handshake in plain text", &[Unreachable],
        |_| Answer::redirect("https://not-tls.hostile.test/")),
    page("status-401", "wants a password", &[Blocked], |_| refusal(401, "Authorization required")
        .with_header("www-authenticate", "Basic realm=\"members\"")),
    page("status-403", "forbids", &[Blocked], |_| refusal(403, "Forbidden")),
    page("status-451", "is not available in this country", &[Blocked],
        |_| refusal(451, "Unavailable for legal reasons")),
    page("captcha-403", "shows a challenge with status 403", &[Blocked], |_| Answer::html(CHALLENGE).with_status(403)
        .with_header("cf-mitigated", "challenge").with_header("server", "cloudflare")),
    page("captcha-200", "shows a puzzle for humans with status 200", &[Blocked], |_| Answer::html(PUZZLE)),
    page("renderer-crash", "dies a second after it loaded", &[Failed], |r| calm_page(r,
        "addEventListener('load', () => setTimeout(() => 'ab'.repeat(2 ** 27).split(''), 1000));")),
    with_banner(page("moving-banner", "moves its banner about, and away from the mouse", &[Inspected],
        |_| Answer::html(MOVING))),
    with_banner(page("debugger-statement", "calls the debugger every 50 ms", &[Inspected], |r| calm_page(r,
        "setInterval(() => { debugger; }, 50);"))),
    with_banner(page("invalid-utf8", "says UTF-8 and is not", &[Inspected], invalid_utf8)),
    // A window that no script opened may refuse to be closed by one; then its banner stays.
    with_banner(page("self-closing", "closes its own window", &[Inspected, Failed], |r| calm_page(r,
        "setTimeout(() => window.close(), 500);"))),
    page("slow-headers", "accepts the request and never answers", &[Unreachable, Failed],
        |_| Answer::without_head(AnswerBody::Silence)),
    page("hang-up", "closes the connection without an answer", &[Unreachable],
        |_| Answer::without_head(AnswerBody::HangUp)),
    page("reset", "breaks the connection after the headers", &[Failed, Unreachable],
        |_| Answer::html("").with_body(AnswerBody::Cut("".into()))),
    with_banner(page("infinite-html", "never ends", &[Inspected, Failed], infinite_html)),
    page("meta-refresh", "loads another address at once, for ever", &[Failed, Inspected], |r| Answer::html(format!(
        "<!doctype html><title>Next</title><meta http-equiv=\"refresh\" content=\"0;url=/?{}\"><p>Next",
        next_number(r)))),
    with_banner(page("pushstate-storm", "changes its address all the time", &[Inspected], |r| calm_page(r,
        "let n = 0; setInterval(() => history.pushState({}, '', '/step/' + n++), 20);"))),
    with_banner(page("iframe-bomb", "has two hundred frames, side by side and nested", &[Inspected], iframe_bomb)),
    with_banner(page("print-loop", "prints again and again", &[Inspected], |r| calm_page(r,
        "setInterval(() => window.print(), 300);"))),
    with_banner(page("service-worker", "lets a service worker answer in its place", &[Inspected], service_worker)),
    with_banner(page("websocket-storm", "keeps opening sockets that nobody answers", &[Inspected], |r| calm_page(r,
        "const again = () => { new WebSocket('wss://' + location.host + '/ws').onclose = () => setTimeout(again, 20); };
         again();"))),
    with_banner(page("console-flood", "writes to the console without end", &[Inspected], |r| calm_page(r,
        "setInterval(() => { for (let i = 0; i < 200; i++) console.log('x'.repeat(2000), i); }, 20);"))),
    with_banner(page("cookie-flood", "writes cookies and storage without end", &[Inspected], |r| calm_page(r,
        "let n = 0; setInterval(() => { document.cookie = 'flood' + (n % 300) + '=' + n + '; path=/; max-age=999999';
         localStorage.setItem('flood' + (n % 300), n++); }, 5);"))),
    with_banner(page("permission-prompts", "asks for the place, the camera and more", &[Inspected], |r| calm_page(r,
        "setInterval(() => { navigator.geolocation.getCurrentPosition(() => {}); Notification.requestPermission();
         navigator.mediaDevices?.getUserMedia({ video: true }).catch(() => {}); }, 500);"))),
    page("blank", "is an empty document", &[Inspected], |_| Answer::html("")),
    page("no-content", "answers 204, which leaves the browser where it was", &[Failed, Unreachable],
        |_| Answer::new(204, "text/html", "")),
    page("pdf", "is a PDF document", &[Inspected, Failed], |_| Answer::new(200, "application/pdf", PDF)),
    page("json", "is a JSON document", &[Inspected, Failed], |_| Answer::json("{\"hello\": [\"world\"]}")),
    page("image", "is a picture", &[Inspected, Failed], |_| Answer::pixel()),
];

/// Adds every hostile page to a server.
pub fn add_to(builder: SiteServerBuilder) -> SiteServerBuilder {
    let builder = PAGES.iter().fold(builder, |builder, page| builder.route(&page.host(), "/*", page.respond));
    builder.tls_fault("tls-error.hostile.test", TlsFault::HangUp).tls_fault("not-tls.hostile.test", TlsFault::NotTls)
}

/// A banner without tricks: two equal buttons, and a cookie that keeps the choice.
const BANNER: &str = r#"<div id="banner" role="dialog" aria-label="Cookies"
  style="position:fixed;left:0;right:0;bottom:0;padding:20px;background:#fff;border-top:2px solid #333;z-index:99">
  <p>We and our partners use cookies to measure our audience and to show advertising. You may accept or refuse.</p>
  <button id="accept">Accept all</button> <button id="refuse">Refuse all</button>
</div>
<script>
  if (/choice=/.test(document.cookie)) document.getElementById('banner').remove();
  for (const choice of ['accept', 'refuse']) {
    document.getElementById(choice)?.addEventListener('click', () => {
      document.cookie = 'choice=' + choice + '; path=/; max-age=15552000';
      document.getElementById('banner').remove();
    });
  }
</script>"#;

const STORY: &str = "<h1>Harbour news</h1><p>The ferry runs every hour, except in fog. \
<a href=\"/timetable\">Timetable</a> <a href=\"/prices\">Prices</a> <a href=\"/contact\">Contact</a></p>";

/// A page with a story, a banner and a script; other paths than pages get nothing.
fn calm_page(request: &Request, script: &str) -> Answer {
    let last = request.path.rsplit('/').next().unwrap_or_default();
    if matches!(last, "tick" | "ws" | "favicon.ico") {
        return Answer::text(404, "");
    }
    Answer::html(document(&format!("<script>{script}</script>")))
}

fn document(more: &str) -> String {
    format!("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Harbour news</title>{STORY}{BANNER}{more}")
}

fn next_number(request: &Request) -> u64 {
    request.query.as_deref().and_then(|query| query.parse::<u64>().ok()).map_or(1, |n| n.wrapping_add(1))
}

fn endless_redirect(request: &Request) -> Answer {
    Answer::redirect(&format!("/?{}", next_number(request)))
}

fn huge_dom(request: &Request) -> Answer {
    if request.path != "/" {
        return calm_page(request, "");
    }
    let mut rows = String::with_capacity(4 << 20);
    for n in 0..25_000 {
        // Writing to a string cannot fail.
        let _ = write!(rows, "<p><b>{n}</b><i>row</i><u>of many</u></p>");
    }
    Answer::html(document(&rows))
}

fn half_a_gigabyte() -> Answer {
    let chunk = vec![0_u8; 64 << 10].into();
    let body = AnswerBody::Stream { lead: "".into(), chunk, total: Some(500_000_000), pause: Duration::ZERO };
    Answer::new(200, "application/octet-stream", "").with_body(body)
}

fn huge_subresource(request: &Request) -> Answer {
    match request.path.as_str() {
        "/all.bin" => half_a_gigabyte(),
        _ => calm_page(request, "fetch('/all.bin').then((answer) => answer.body.pipeTo(new WritableStream()));"),
    }
}

fn refusal(status: u16, title: &str) -> Answer {
    Answer::html(format!("<!doctype html><title>{status} {title}</title><h1>{title}</h1><p>Status {status}.</p>"))
        .with_status(status)
}

fn invalid_utf8(request: &Request) -> Answer {
    if request.path != "/" {
        return calm_page(request, "");
    }
    let mut bytes = document("<p>Broken: ").into_bytes();
    bytes.extend_from_slice(b"\xff\xfe\xc3\x28 caf\xe9 \xf0\x9f\x92 \xed\xa0\x80 </p><title>\xe9</title>");
    Answer::html(bytes)
}

fn infinite_html(request: &Request) -> Answer {
    if request.path != "/" {
        return calm_page(request, "");
    }
    let chunk = format!("<p>{}</p>", "and so on ".repeat(50)).into();
    let pause = Duration::from_millis(200);
    Answer::html("").with_body(AnswerBody::Stream { lead: document("").into(), chunk, total: None, pause })
}

fn iframe_bomb(request: &Request) -> Answer {
    let depth = next_number(request);
    match request.path.as_str() {
        "/beside" => Answer::html("<p>beside"),
        "/inside" if depth < 20 => Answer::html(format!("<iframe src=\"/inside?{depth}\"></iframe>")),
        "/inside" => Answer::html("<p>inside"),
        "/" => Answer::html(document(&(0..180).fold("<iframe src=\"/inside?0\"></iframe>".to_owned(), |frames, n| {
            frames + &format!("<iframe src=\"/beside?{n}\" width=\"60\" height=\"40\"></iframe>")
        }))),
        _ => calm_page(request, ""),
    }
}

fn service_worker(request: &Request) -> Answer {
    match request.path.as_str() {
        "/sw.js" => Answer::script(
            "addEventListener('install', () => skipWaiting());\n\
             addEventListener('activate', (event) => event.waitUntil(clients.claim()));\n\
             addEventListener('fetch', (event) => {\n\
             \x20 const url = new URL(event.request.url);\n\
             \x20 if (url.pathname === '/from-worker') event.respondWith(new Response('from the worker'));\n\
             \x20 else if (url.origin === location.origin) event.respondWith(fetch(event.request));\n\
             });\n",
        ),
        _ => calm_page(
            request,
            "navigator.serviceWorker.register('/sw.js').then(() => navigator.serviceWorker.ready)
             .then(() => setInterval(() => fetch('/from-worker'), 1000));",
        ),
    }
}

const CHALLENGE: &str = r#"<!doctype html><html lang="en"><head><title>Just a moment...</title>
<meta name="robots" content="noindex,nofollow"></head>
<body><h1>shop.example</h1><h2 id="challenge-running">Checking if the site connection is secure</h2>
<div id="cf-challenge-stage"><label><input type="checkbox"> Verify you are human</label></div>
<p>shop.example needs to review the security of your connection before proceeding.</p>
<form id="challenge-form" action="/?__cf_chl_f_tk=1" method="POST"></form>
<p>Ray ID: <code>7d0f2c3b4a5e6f70</code> Performance &amp; security by Cloudflare</p></body></html>"#;

const PUZZLE: &str = r#"<!doctype html><html lang="en"><head><title>Are you a robot?</title></head>
<body><h1>Please confirm that you are human</h1>
<p>Our systems have detected unusual traffic from your computer network.</p>
<form method="post"><div class="h-captcha" data-sitekey="10000000-ffff-ffff-ffff-000000000001">
<iframe title="Widget containing checkbox for hCaptcha security challenge" width="303" height="78"
  srcdoc="&lt;label&gt;&lt;input type=checkbox&gt; I am human&lt;/label&gt; hCaptcha"></iframe></div>
<button>Continue</button></form></body></html>"#;

const MOVING: &str = r#"<!doctype html><html lang="en"><meta charset="utf-8"><title>Harbour news</title>
<h1>Harbour news</h1><p>The ferry runs every hour. <a href="/timetable">Timetable</a></p>
<div id="banner" role="dialog" aria-label="Cookies"
  style="position:fixed;width:420px;padding:16px;background:#fff;border:2px solid #333;left:100px;top:100px">
  <p>We use cookies to measure our audience and for advertising.</p>
  <button id="accept">Accept all</button> <button id="refuse">Refuse all</button>
</div>
<script>
  const banner = document.getElementById('banner');
  let step = 0, shift = 0;
  (function drift() {
    step += 0.02;
    banner.style.left = 300 + 200 * Math.sin(step) + shift + 'px';
    banner.style.top = 250 + 120 * Math.cos(step * 1.3) + 'px';
    if (banner.isConnected) requestAnimationFrame(drift);
  })();
  addEventListener('mousemove', (event) => {
    const box = document.getElementById('refuse').getBoundingClientRect();
    if (Math.hypot(event.clientX - box.x, event.clientY - box.y) < 120) shift = shift ? 0 : 400;
  });
  if (/choice=/.test(document.cookie)) banner.remove();
  for (const choice of ['accept', 'refuse']) {
    banner.querySelector('#' + choice).addEventListener('click', () => {
      document.cookie = 'choice=' + choice + '; path=/; max-age=15552000';
      banner.remove();
    });
  }
</script>"#;

const PDF: &str = "%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>endobj
trailer<</Root 1 0 R>>
";
