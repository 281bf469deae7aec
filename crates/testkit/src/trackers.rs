//! Stubs of trackers: hosts with the names of real ones, which set the real ones' cookies, and a few that nobody knows.
//!
//! A stub script writes first-party cookies and storage and then fires pixels; a pixel answers with the third-party
//! `Set-Cookie` of the real one. What they do is described in `TRACKERS`, and the scripts are written from it when
//! asked for. Nothing is ever sent anywhere else: the browser under test finds every host on the loopback.
//!
//! In the templates, `{r}` is a random number, `{x}` random letters, `{t}` the time in seconds, and `{id}` the value
//! of the query's `id` without its `G-`.

use crate::answer::{Answer, Request};
use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
};

/// One host and what it answers, by the beginning of the path; the first that fits.
struct Tracker {
    host: &'static str,
    stubs: &'static [(&'static str, Stub)],
}

enum Stub {
    /// A script: cookies (name, value, days; 0 for the session), storage, then addresses to ask.
    Script { cookies: &'static [(&'static str, &'static str, u32)], local: &'static [&'static str], then: Then },
    /// A picture of one pixel, with `Set-Cookie` values.
    Pixel(&'static [&'static str]),
    /// A redirect to another tracker, as cookie synchronisation does, with a `Set-Cookie` value.
    Sync { cookie: &'static str, to: &'static str },
    /// A page for a frame, with `Set-Cookie` values.
    Frame(&'static [&'static str]),
    /// A script with a body of its own.
    Code(&'static str),
}

type Then = &'static [&'static str];

const DAYS_13_MONTHS: u32 = 390;

#[rustfmt::skip]
const TRACKERS: &[Tracker] = &[
    Tracker { host: "www.googletagmanager.com", stubs: &[
        ("/gtag/js", Stub::Script {
            cookies: &[("_ga", "GA1.1.{r}.{t}", 730), ("_ga_{id}", "GS1.1.{t}.1.0.{t}.0.0.0", 730)], local: &[],
            then: &["https://www.google-analytics.com/g/collect?v=2&tid=G-{id}&cid={r}&en=page_view"] }),
        ("/gtm.js", Stub::Script {
            cookies: &[("_ga", "GA1.1.{r}.{t}", 730), ("_gcl_au", "1.1.{r}.{t}", 90)], local: &[],
            then: &["https://www.google-analytics.com/g/collect?v=2&tid=GTM&cid={r}&en=page_view",
                    "https://googleads.g.doubleclick.net/pagead/viewthroughconversion/1?random={t}"] }),
    ] },
    Tracker { host: "www.google-analytics.com", stubs: &[
        ("/analytics.js", Stub::Script {
            cookies: &[("_ga", "GA1.2.{r}.{t}", 730), ("_gid", "GA1.2.{r}.{t}", 1), ("_gat", "1", 1)], local: &[],
            then: &["https://www.google-analytics.com/collect?v=1&t=pageview&cid={r}"] }),
        ("/", Stub::Pixel(&[])),
    ] },
    Tracker { host: "googleads.g.doubleclick.net", stubs: &[
        ("/", Stub::Pixel(&["IDE=AHWqTU{r}; Domain=doubleclick.net; Path=/; Max-Age=33696000; SameSite=None; Secure"])),
    ] },
    Tracker { host: "stats.g.doubleclick.net", stubs: &[("/", Stub::Pixel(&[]))] },
    Tracker { host: "securepubads.g.doubleclick.net", stubs: &[
        ("/tag/js/gpt.js", Stub::Script {
            cookies: &[("__gads", "ID={x}:T={t}", DAYS_13_MONTHS), ("__gpi", "UID={x}", DAYS_13_MONTHS)], local: &[],
            then: &["https://googleads.g.doubleclick.net/pagead/id?random={t}"] }),
    ] },
    Tracker { host: "connect.facebook.net", stubs: &[
        ("/", Stub::Script { cookies: &[("_fbp", "fb.1.{t}.{r}", 90)], local: &[],
            then: &["https://www.facebook.com/tr/?id=1234567890&ev=PageView&fbp=fb.1.{t}.{r}"] }),
    ] },
    Tracker { host: "www.facebook.com", stubs: &[
        ("/tr", Stub::Pixel(&[
            "fr=0{r}; Domain=facebook.com; Path=/; Max-Age=7776000; SameSite=None; Secure; HttpOnly"])),
    ] },
    Tracker { host: "analytics.tiktok.com", stubs: &[
        ("/i18n/pixel/events.js", Stub::Script {
            cookies: &[("_ttp", "{x}{x}", DAYS_13_MONTHS), ("_tt_enable_cookie", "1", DAYS_13_MONTHS)], local: &[],
            then: &["https://analytics.tiktok.com/api/v2/pixel?event=Pageview"] }),
        ("/api/", Stub::Pixel(&["_ttp={x}; Domain=tiktok.com; Path=/; Max-Age=33696000; SameSite=None; Secure"])),
    ] },
    Tracker { host: "static.hotjar.com", stubs: &[
        ("/c/hotjar-", Stub::Script {
            cookies: &[("_hjSessionUser_42", "{x}", 365), ("_hjSession_42", "{x}", 1)],
            local: &["_hjUserAttributesHash"], then: &[] }),
    ] },
    Tracker { host: "www.clarity.ms", stubs: &[
        ("/tag/", Stub::Script { cookies: &[("_clck", "{x}", 365), ("_clsk", "{x}", 1)], local: &[],
            then: &["https://c.clarity.ms/c.gif?r={t}"] }),
    ] },
    Tracker { host: "c.clarity.ms", stubs: &[
        ("/c.gif", Stub::Pixel(&["MUID={x}; Domain=clarity.ms; Path=/; Max-Age=33696000; SameSite=None; Secure"])),
    ] },
    Tracker { host: "bat.bing.com", stubs: &[
        ("/bat.js", Stub::Script { cookies: &[("_uetsid", "{x}", 1), ("_uetvid", "{x}", DAYS_13_MONTHS)], local: &[],
            then: &["https://bat.bing.com/action/0?ti=1&mid={x}"] }),
        ("/action", Stub::Pixel(&["MUID={x}; Domain=bing.com; Path=/; Max-Age=33696000; SameSite=None; Secure"])),
    ] },
    Tracker { host: "cdn.matomo.cloud", stubs: &[
        ("/", Stub::Script { cookies: &[("_pk_id.1.7f3a", "{x}.{t}", 393), ("_pk_ses.1.7f3a", "1", 1)], local: &[],
            then: &["https://fixtures.matomo.cloud/matomo.php?idsite=1&rec=1&_id={x}"] }),
    ] },
    Tracker { host: "fixtures.matomo.cloud", stubs: &[("/matomo.php", Stub::Pixel(&[]))] },
    Tracker { host: "snap.licdn.com", stubs: &[
        ("/li.lms-analytics/insight.min.js", Stub::Script { cookies: &[("li_fat_id", "{x}", 30)], local: &[],
            then: &["https://px.ads.linkedin.com/collect?pid=1&fmt=gif"] }),
    ] },
    Tracker { host: "px.ads.linkedin.com", stubs: &[
        ("/collect", Stub::Pixel(&[
            "bcookie=v=2&{x}; Domain=linkedin.com; Path=/; Max-Age=31536000; SameSite=None; Secure",
            "li_sugr={x}; Domain=linkedin.com; Path=/; Max-Age=7776000; SameSite=None; Secure"])),
    ] },
    Tracker { host: "s.pinimg.com", stubs: &[
        ("/ct/core.js", Stub::Script { cookies: &[("_pin_unauth", "{x}", 365)], local: &[],
            then: &["https://ct.pinterest.com/v3/?tid=1&event=pagevisit"] }),
    ] },
    Tracker { host: "ct.pinterest.com", stubs: &[
        ("/v3/", Stub::Pixel(&["ar_debug=1; Domain=pinterest.com; Path=/; Max-Age=31536000; SameSite=None; Secure"])),
    ] },
    Tracker { host: "static.criteo.net", stubs: &[
        ("/js/ld/", Stub::Script { cookies: &[("cto_bundle", "{x}", DAYS_13_MONTHS)], local: &[],
            then: &["https://sslwidget.criteo.com/event?a=1&v=5"] }),
    ] },
    Tracker { host: "sslwidget.criteo.com", stubs: &[
        ("/event", Stub::Pixel(&["uid={x}; Domain=criteo.com; Path=/; Max-Age=33696000; SameSite=None; Secure"])),
    ] },
    Tracker { host: "static.ads-twitter.com", stubs: &[
        ("/uwt.js", Stub::Script { cookies: &[("_twclid", "{x}", 30)], local: &[],
            then: &["https://analytics.twitter.com/i/adsct?txn_id=o1"] }),
    ] },
    Tracker { host: "analytics.twitter.com", stubs: &[
        ("/i/adsct", Stub::Pixel(&[
            "personalization_id={x}; Domain=twitter.com; Path=/; Max-Age=63072000; SameSite=None; Secure"])),
    ] },
    Tracker { host: "sc-static.net", stubs: &[
        ("/scevent.min.js", Stub::Script { cookies: &[("_scid", "{x}", DAYS_13_MONTHS)], local: &[],
            then: &["https://tr.snapchat.com/p?pid=1&ev=PAGE_VIEW"] }),
    ] },
    Tracker { host: "tr.snapchat.com", stubs: &[
        ("/", Stub::Pixel(&["sc_at={x}; Domain=snapchat.com; Path=/; Max-Age=33696000; SameSite=None; Secure"])),
    ] },
    Tracker { host: "ib.adnxs.com", stubs: &[
        ("/getuid", Stub::Sync { cookie: "uuid2={r}; Domain=adnxs.com; Path=/; Max-Age=7776000; SameSite=None; Secure",
            to: "https://pixel.rubiconproject.com/tap.php?v=1&nid=1" }),
        ("/", Stub::Pixel(&["uuid2={r}; Domain=adnxs.com; Path=/; Max-Age=7776000; SameSite=None; Secure"])),
    ] },
    Tracker { host: "pixel.rubiconproject.com", stubs: &[
        ("/", Stub::Pixel(&["khaos={x}; Domain=rubiconproject.com; Path=/; Max-Age=31536000; SameSite=None; Secure"])),
    ] },
    Tracker { host: "secure.quantserve.com", stubs: &[
        ("/quant.js", Stub::Script { cookies: &[("__qca", "P0-{r}-{t}", 395)], local: &[],
            then: &["https://pixel.quantserve.com/pixel;a=p-1;fpan=1"] }),
    ] },
    Tracker { host: "pixel.quantserve.com", stubs: &[
        ("/", Stub::Pixel(&["mc={x}; Domain=quantserve.com; Path=/; Max-Age=33696000; SameSite=None; Secure"])),
    ] },
    Tracker { host: "sb.scorecardresearch.com", stubs: &[
        ("/beacon.js", Stub::Script { cookies: &[("_scor_uid", "{x}", DAYS_13_MONTHS)], local: &[],
            then: &["https://sb.scorecardresearch.com/p?c1=2&c2=1"] }),
        ("/", Stub::Pixel(&["UID={x}; Domain=scorecardresearch.com; Path=/; Max-Age=33696000; SameSite=None; Secure"])),
    ] },
    Tracker { host: "mc.yandex.ru", stubs: &[
        ("/metrika/tag.js", Stub::Script { cookies: &[("_ym_uid", "{t}{r}", 365), ("_ym_d", "{t}", 365)], local: &[],
            then: &["https://mc.yandex.ru/watch/1"] }),
        ("/watch/", Stub::Pixel(&["yandexuid={r}; Domain=yandex.ru; Path=/; Max-Age=31536000; SameSite=None; Secure"])),
    ] },
    Tracker { host: "cdn.taboola.com", stubs: &[
        ("/libtrc/", Stub::Script { cookies: &[], local: &["taboola global:user-id"],
            then: &["https://trc.taboola.com/sg/1/json?id={x}"] }),
    ] },
    Tracker { host: "trc.taboola.com", stubs: &[
        ("/", Stub::Pixel(&["t_gid={x}; Domain=taboola.com; Path=/; Max-Age=31536000; SameSite=None; Secure"])),
    ] },
    Tracker { host: "cdn.amplitude.com", stubs: &[
        ("/libs/", Stub::Script { cookies: &[("amplitude_id", "{x}", 365)], local: &["amplitude_unsent"],
            then: &["https://api2.amplitude.com/2/httpapi?client=1&device={x}"] }),
    ] },
    Tracker { host: "api2.amplitude.com", stubs: &[("/", Stub::Pixel(&[]))] },
    Tracker { host: "www.youtube.com", stubs: &[
        ("/embed/", Stub::Frame(&[
            "VISITOR_INFO1_LIVE={x}; Domain=youtube.com; Path=/; Max-Age=15552000; SameSite=None; Secure; HttpOnly",
            "YSC={x}; Domain=youtube.com; Path=/; SameSite=None; Secure; HttpOnly"])),
    ] },
    // From here on, made-up trackers: on no list, to be told by their behaviour or not at all.
    Tracker { host: "cdn.pulsegrid.test", stubs: &[
        ("/pg.js", Stub::Script { cookies: &[("pg_vid", "{x}{x}", 730)], local: &[],
            then: &["https://collect.pulsegrid.test/v1/hit?vid={x}{x}"] }),
    ] },
    Tracker { host: "collect.pulsegrid.test", stubs: &[
        ("/v1/hit", Stub::Pixel(&["pgid={x}{x}; Path=/; Max-Age=63072000; SameSite=None; Secure"])),
    ] },
    Tracker { host: "sync.mirrorbid.test", stubs: &[
        ("/s", Stub::Sync { cookie: "mb_uid={x}{x}; Path=/; Max-Age=31536000; SameSite=None; Secure",
            to: "https://collect.pulsegrid.test/v1/hit?partner=mirrorbid" }),
    ] },
    Tracker { host: "t.nimbus-insights.test", stubs: &[
        ("/n.js", Stub::Script { cookies: &[], local: &["nimbus.device"],
            then: &["https://t.nimbus-insights.test/e?d={x}{x}"] }),
        ("/e", Stub::Pixel(&[])),
    ] },
    Tracker { host: "fp.deviceprint.test", stubs: &[
        ("/fp.js", Stub::Code(DEVICE_PRINT)),
        ("/i", Stub::Pixel(&[])),
    ] },
];

/// Draws text, reads it back, adds what the device says of itself, and sends the sum.
const DEVICE_PRINT: &str = r#"(function () {
  var canvas = document.createElement('canvas');
  canvas.width = 240; canvas.height = 60;
  var pen = canvas.getContext('2d');
  pen.textBaseline = 'top'; pen.font = "16px 'Arial'"; pen.fillStyle = '#f60';
  pen.fillRect(100, 1, 62, 20); pen.fillStyle = '#069'; pen.fillText('Cwm fjordbank glyphs vext quiz', 2, 15);
  var parts = [canvas.toDataURL(), navigator.hardwareConcurrency, screen.width + 'x' + screen.height,
               Intl.DateTimeFormat().resolvedOptions().timeZone, navigator.languages.join()];
  try {
    var gl = document.createElement('canvas').getContext('webgl');
    var info = gl && gl.getExtension('WEBGL_debug_renderer_info');
    if (info) parts.push(gl.getParameter(info.UNMASKED_RENDERER_WEBGL));
  } catch (e) {}
  var text = parts.join('|'), sum = 2166136261;
  for (var i = 0; i < text.length; i++) sum = Math.imul(sum ^ text.charCodeAt(i), 16777619) >>> 0;
  fetch('https://fp.deviceprint.test/i?fp=' + sum.toString(16), { mode: 'no-cors' });
})();
"#;

/// Returns what a tracker's stub answers, if the host is one of them; a path it does not know is a 404.
pub(crate) fn answer(request: &Request) -> Option<Answer> {
    let tracker = TRACKERS.iter().find(|tracker| tracker.host == request.host)?;
    let stub = tracker.stubs.iter().find(|(path, _)| request.path.starts_with(path));
    Some(match stub {
        Some((_, stub)) => play(stub, request),
        None => Answer::text(404, "this tracker's stub does not know the path\n"),
    })
}

/// Returns what a tracker behind a first-party name (`metrics.SITE`, `sst.SITE`) answers.
pub(crate) fn answer_cloaked(request: &Request, site: &str) -> Option<Answer> {
    let name = request.host.strip_suffix(site)?;
    if !matches!(name, "metrics." | "sst.") {
        return None;
    }
    Some(match request.path.as_str() {
        "/m.js" => {
            let host = &request.host;
            Answer::script(script(&[("_sst_id", "{x}", 365)], &[], &[&format!("https://{host}/p.gif?t={{t}}")], ""))
        }
        "/p.gif" => Answer::pixel().with_cookie(fill(&format!(
            "_mtr_uid={{x}}; Domain={site}; Path=/; Max-Age=31536000; SameSite=Lax; Secure"
        ))),
        _ => Answer::text(404, "this tracker's stub does not know the path\n"),
    })
}

/// Returns the hosts that have a stub, in the order of the table.
pub fn tracker_hosts() -> impl Iterator<Item = &'static str> {
    TRACKERS.iter().map(|tracker| tracker.host)
}

fn play(stub: &Stub, request: &Request) -> Answer {
    let id = request.parameter("id").map_or("0000000000", |id| id.trim_start_matches("G-"));
    match stub {
        Stub::Script { cookies, local, then } => Answer::script(script(cookies, local, then, id)),
        Stub::Pixel(cookies) => cookies.iter().fold(Answer::pixel(), |answer, cookie| answer.with_cookie(fill(cookie))),
        Stub::Sync { cookie, to } => Answer::redirect(to).with_cookie(fill(cookie)),
        Stub::Frame(cookies) => {
            let page = Answer::html("<!doctype html><title>Player</title><body style=\"background:#000\">");
            cookies.iter().fold(page, |answer, cookie| answer.with_cookie(fill(cookie)))
        }
        Stub::Code(code) => Answer::script(*code),
    }
}

/// Returns a script that keeps an identifier it finds and makes one otherwise, as the real ones do.
fn script(cookies: &[(&str, &str, u32)], local: &[&str], then: &[&str], id: &str) -> String {
    let id: String = id.chars().filter(char::is_ascii_alphanumeric).collect();
    let mut text = String::from(
        "(function () {\n\
         var fill = function (s) { return s.replace(/\\{r\\}/g, r).replace(/\\{x\\}/g, x).replace(/\\{t\\}/g, t); };\n\
         var r = Math.floor(1e9 + Math.random() * 9e9), x = r.toString(36) + Math.random().toString(36).slice(2, 8);\n\
         var t = Math.floor(Date.now() / 1000), host = location.hostname.replace(/^www\\./, '');\n\
         function keep(name, value, days) {\n\
         \x20 if (document.cookie.split('; ').some(function (c) { return c.indexOf(name + '=') === 0; })) return;\n\
         \x20 document.cookie = name + '=' + fill(value) + '; path=/; domain=' + host + '; max-age=' + days * 86400 + \
         '; SameSite=Lax';\n}\n",
    );
    // Writing to a string cannot fail.
    for (name, value, days) in cookies {
        let name = name.replace("{id}", &id);
        let _ = writeln!(text, "keep('{name}', '{value}', {days});");
    }
    for key in local {
        let _ = writeln!(
            text,
            "try {{ localStorage.getItem('{key}') || localStorage.setItem('{key}', x); }} catch (e) {{}}"
        );
    }
    for address in then {
        let address = address.replace("{id}", &id);
        let _ = writeln!(text, "new Image(1, 1).src = fill('{address}');");
    }
    text.push_str("})();\n");
    text
}

/// Fills a server-side template. The values are unique in a run, which is all that a stub's identifier needs.
fn fill(template: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    template.replace("{r}", &(number % 10_000_000_000).to_string()).replace("{x}", &format!("{number:016x}"))
}
