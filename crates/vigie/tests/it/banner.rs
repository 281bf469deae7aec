//! Our own banner: what our own inspection finds of it, and what it does in a real Chromium.

use crate::{World, trial};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use vigie_browser::{Browser, LaunchOptions, Visit, VisitOptions};
use vigie_consent::banner::{Script, Settings, texts};
use vigie_testkit::{Answer, SiteServerBuilder};

/// Languages of the ordinary run: Latin, Cyrillic and Greek letters, and the longest words.
const SOME: [&str; 4] = ["sv", "fr", "el", "bg"];
/// A screen on a desk, and a phone.
const VIEWPORTS: [&str; 2] = ["1366x768", "390x844"];

const SETTINGS: &str = "notice = \"n1\"\npolicy = \"/privacy\"\npartners = \"/partners\"\n\
    [[purpose]]\nid = \"audience\"\ncookies = [\"_ga\", \"_ga_*\"]\nconsent_mode = [\"analytics_storage\"]\ntcf = [8]\n\
    [[purpose]]\nid = \"advertising\"\nconsent_mode = [\"ad_storage\", \"ad_user_data\", \"ad_personalization\"]\ntcf = [1, 2, 3, 4]\n\
    [[purpose]]\nid = \"social\"\n\
    [tcf]\ncmp_id = 10\ncmp_version = 1\nvendor_list = 48\npolicy = 4\ncountry = \"IE\"\nvendors = [2, 755]\n";

const MEASURE: &str = "document.cookie = '_ga=GA1.1.1234567890.1700000000; Path=/; Max-Age=7776000';\n\
    localStorage.setItem('_ga_seen', '1'); document.documentElement.dataset.measured = 'yes';";

pub fn trials(world: &Arc<World>) -> Vec<Trial> {
    let named = |name: &str, check: fn(&World) -> Result<(), String>| trial(world, format!("banner::{name}"), check);
    vec![
        named("no_breach_is_found_in_several_languages", |world| inspected(world, &SOME)),
        named("no_breach_is_found_in_any_language", |world| {
            let texts = texts();
            let all: Vec<&str> = texts.keys().map(String::as_str).collect();
            inspected(world, &all)
        })
        .with_ignored_flag(true),
        named("what_is_marked_is_withheld_released_and_withdrawn", |world| in_browser(world, withheld)),
        named("the_keyboard_reaches_everything_and_escape_refuses", |world| in_browser(world, keyboard)),
        named("a_screen_reader_hears_what_it_is", |world| in_browser(world, heard)),
        named("a_signal_of_the_browser_is_a_refusal", |world| in_browser(world, signalled)),
        named("both_buttons_are_alike_and_the_sites_looks_change_nothing", |world| in_browser(world, alike)),
    ]
}

/// Adds the pages: `/LANGUAGE/` has the banner, `/loud/` has a site's own rules that would deface it.
pub fn add_to(builder: SiteServerBuilder) -> SiteServerBuilder {
    let settings: Settings = toml::from_str(SETTINGS).expect("settings are complete");
    let script = Script::new(&settings, "Pixelle").text;
    builder
        .route("banner.test", "/vigie.js", move |_| Answer::script(script.clone()))
        .route("banner.test", "/measure.js", |_| Answer::script(MEASURE))
        .route("banner.test", "/frame", |_| Answer::html("<!doctype html><title>A film</title><p>A film"))
        .route("banner.test", "/pixel.gif", |_| Answer::pixel())
        .route("banner.test", "/privacy", |_| Answer::html("<!doctype html><title>Privacy</title><p>What we do."))
        .route("banner.test", "/partners", |_| Answer::html("<!doctype html><title>Partners</title><p>Who they are."))
        .route("banner.test", "/*", |request| {
            let language = request.path.split('/').nth(1).unwrap_or_default().to_owned();
            let (language, loud) = match language.as_str() {
                "loud" => (
                    "en",
                    "<style>* { color: red !important; font-size: 40px !important; display: block !important } \
                     button { background: lime !important } vigie-choice { display: none !important }</style>",
                ),
                other => (other, ""),
            };
            Answer::html(format!(
                "<!doctype html><html lang=\"{language}\"><head><meta charset=\"utf-8\">\
                 <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>Pixelle</title>{loud}\
                 <script src=\"/vigie.js\"></script>\
                 <script>__tcfapi('addEventListener', 2, (data) => {{ window.told = data }})</script>\
                 <script type=\"text/plain\" data-purpose=\"audience\" data-src=\"/measure.js\"></script></head>\
                 <body><main><h1>Pixelle</h1>\
                 <iframe title=\"A film\" data-purpose=\"social\" data-src=\"/frame\" width=\"300\" height=\"150\"></iframe>\
                 <img alt=\"\" data-purpose=\"advertising audience\" data-src=\"/pixel.gif\"></main></body></html>"
            ))
        })
}

fn inspected(world: &World, languages: &[&str]) -> Result<(), String> {
    let mut wrong = Vec::new();
    let urls: Vec<String> = languages.iter().map(|language| format!("https://banner.test/{language}/")).collect();
    for viewport in VIEWPORTS {
        let options = ["--jobs", "1", "--timeout", "150", "--viewport", viewport];
        let answers = world.inspect(&urls, &options);
        for url in &urls {
            let judged = |answer: &Value| judge(answer).map_err(|why| format!("{url} at {viewport}: {why}"));
            if let Err(why) = crate::twice(world, url, &options, answers.get(url).unwrap_or(&Value::Null), judged) {
                wrong.push(why);
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// The banner was seen, understood and tried, and nothing was found.
fn judge(answer: &Value) -> Result<(), String> {
    let findings = answer["findings"].as_array().ok_or("there is no answer")?;
    let of = |verdict: &str| -> Vec<String> {
        let found = findings.iter().filter(|finding| finding["verdict"] == verdict);
        found
            .map(|finding| format!("{} {}", finding["rule"].as_str().unwrap_or_default(), finding["summary"]))
            .collect()
    };
    let breaches = of("breach");
    let clicks = (answer["clicks"]["accept"].as_u64(), answer["clicks"]["refuse"].as_u64());
    let conform = of("conform").len();
    if answer["banner"]["seen"] != true || clicks != (Some(1), Some(1)) || conform < 5 {
        return Err(format!("seen {}, clicks {clicks:?}, {conform} conform", answer["banner"]["seen"]));
    }
    if breaches.is_empty() { Ok(()) } else { Err(breaches.join("; ")) }
}

/// Runs a check with a browser of its own.
fn in_browser(world: &World, check: for<'browser> fn(&'browser Browser) -> Checked<'browser>) -> Result<(), String> {
    let mut arguments = world.server.chromium_args();
    arguments.push("--enable-blink-features=ComputedAccessibilityInfo".to_owned());
    let options = LaunchOptions { arguments, ignore_certificate_errors: true, ..LaunchOptions::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let browser = Browser::launch(&options).await.map_err(|error| error.to_string())?;
        let checked = check(&browser).await;
        browser.close().await;
        checked
    })
}

type Checked<'browser> = std::pin::Pin<Box<dyn Future<Output = Result<(), String>> + 'browser>>;

/// What is in the banner, for expressions.
const INSIDE: &str = "document.querySelector('vigie-choice').shadowRoot";

async fn open(browser: &Browser, path: &str, gpc: bool) -> Result<Visit, String> {
    let options = VisitOptions { global_privacy_control: gpc, ..VisitOptions::default() };
    let visit = browser.open_visit(options).await.map_err(|error| error.to_string())?;
    let url = format!("https://banner.test{path}");
    visit.goto(&url, Duration::from_secs(20)).await.map_err(|error| error.to_string())?;
    Ok(visit)
}

async fn say(visit: &Visit, expression: &str) -> Result<Value, String> {
    visit.evaluate(expression).await.map_err(|error| format!("{expression}: {error}"))
}

/// Waits until an expression is what is expected.
async fn until(visit: &Visit, expression: &str, expected: Value) -> Result<(), String> {
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let found = say(visit, expression).await.unwrap_or(Value::Null);
        if found == expected {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("`{expression}` is {found}, expected {expected}"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn click(visit: &Visit, label: &str) -> Result<(), String> {
    let expression =
        format!("[...{INSIDE}.querySelectorAll('button')].find((b) => b.textContent === '{label}').click(), true");
    until(visit, &expression, json!(true)).await
}

fn withheld(browser: &Browser) -> Checked<'_> {
    Box::pin(async move {
        const STATE: &str = "[document.documentElement.dataset.measured || '', document.cookie.includes('_ga='), \
            !!localStorage.getItem('_ga_seen'), !!document.querySelector('iframe[data-purpose]').getAttribute('src'), \
            !!document.querySelector('img').getAttribute('src')]";
        let visit = open(browser, "/en/", false).await?;
        until(&visit, &format!("!!{INSIDE}.querySelector('[role=dialog]')"), json!(true)).await?;
        let nothing = json!(["", false, false, false, false]);
        until(&visit, STATE, nothing.clone()).await?;
        until(&visit, "window.told.eventStatus", json!("cmpuishown")).await?;
        let denied = "[...dataLayer].filter((e) => e[0] === 'consent').map((e) => e[1] + ' ' + e[2].analytics_storage)";
        until(&visit, denied, json!(["default denied"])).await?;

        // One of three, by the second layer: what needs two purposes stays withheld.
        click(&visit, "Settings").await?;
        let ticked = format!("[...{INSIDE}.querySelectorAll('input')].filter((i) => i.checked).length");
        until(&visit, &ticked, json!(0)).await?;
        say(&visit, &format!("{INSIDE}.querySelector('input[value=audience]').click()")).await?;
        click(&visit, "Save my choices").await?;
        until(&visit, STATE, json!(["yes", true, true, false, false])).await?;
        until(&visit, denied, json!(["default denied", "update granted"])).await?;
        let told = say(&visit, "window.told").await?;
        let consents: Vec<bool> =
            (1..=10).map(|n| told["purpose"]["consents"][n.to_string()].as_bool().unwrap_or(false)).collect();
        if consents.iter().enumerate().any(|(at, given)| *given != (at == 7)) {
            return Err(format!("{told}"));
        }
        let string = told["tcString"].as_str().unwrap_or_default();
        let read = vigie_trackers::signals::TcString::parse(string).ok_or(format!("`{string}` is no TC string"))?;
        if read.refuses_everything() {
            return Err(format!("`{string}` refuses everything"));
        }

        // All, then a later page of the same visitor: nothing is asked again.
        say(&visit, "vigie.open()").await?;
        click(&visit, "Accept all").await?;
        until(&visit, STATE, json!(["yes", true, true, true, true])).await?;
        visit.goto("https://banner.test/en/again", Duration::from_secs(20)).await.map_err(|error| error.to_string())?;
        until(&visit, &format!("!{INSIDE}.querySelector('[role=dialog]')"), json!(true)).await?;
        until(&visit, STATE, json!(["yes", true, true, true, true])).await?;

        // Withdrawn: one click opens it, and what was there is gone.
        click(&visit, "Cookie settings").await?;
        let ticked = format!("[...{INSIDE}.querySelectorAll('input')].map((i) => i.checked)");
        until(&visit, &ticked, json!([true, true, true])).await?;
        click(&visit, "Reject all").await?;
        until(&visit, STATE, nothing).await?;
        until(&visit, "window.vigie.given('audience')", json!(false)).await?;
        let string = say(&visit, "window.told.tcString").await?;
        let read = string.as_str().and_then(vigie_trackers::signals::TcString::parse);
        if read.is_none_or(|read| !read.refuses_everything()) {
            return Err(format!("{string}"));
        }
        visit.close().await;
        Ok(())
    })
}

fn keyboard(browser: &Browser) -> Checked<'_> {
    Box::pin(async move {
        let visit = open(browser, "/en/", false).await?;
        until(&visit, &format!("!!{INSIDE}.querySelector('[role=dialog]')"), json!(true)).await?;
        let focused = format!(
            "{INSIDE}.activeElement && ({INSIDE}.activeElement.getAttribute('aria-label') || {INSIDE}.activeElement.textContent)"
        );
        let mut reached = Vec::new();
        for _ in 0..6 {
            visit.press_key("Tab").await.map_err(|error| error.to_string())?;
            reached.push(say(&visit, &focused).await?);
        }
        let expected =
            json!(["Close (Reject all)", "Reject all", "Accept all", "Settings", "Privacy statement", "Partners"]);
        if json!(reached) != expected {
            return Err(format!("reached {reached:?}"));
        }
        let outline = format!("getComputedStyle({INSIDE}.activeElement).outlineStyle");
        until(&visit, &outline, json!("solid")).await?;
        // Escape closes, and closing refuses.
        visit.press_key("Escape").await.map_err(|error| error.to_string())?;
        until(&visit, &format!("!{INSIDE}.querySelector('[role=dialog]')"), json!(true)).await?;
        until(&visit, "decodeURIComponent(document.cookie).includes('-audience|-advertising|-social')", json!(true))
            .await?;
        // Back, by the keyboard alone: the switch takes the space bar, and the focus returns to where it was.
        for key in ["Tab", "Tab", "Tab"] {
            if say(&visit, &focused).await? == "Cookie settings" {
                break;
            }
            visit.press_key(key).await.map_err(|error| error.to_string())?;
        }
        say(&visit, &format!("{INSIDE}.querySelector('.pill').focus()")).await?;
        visit.press_key("Enter").await.map_err(|error| error.to_string())?;
        until(&visit, &format!("{INSIDE}.activeElement.getAttribute('role')"), json!("dialog")).await?;
        for _ in 0..2 {
            visit.press_key("Tab").await.map_err(|error| error.to_string())?;
        }
        until(&visit, &format!("{INSIDE}.activeElement.value"), json!("audience")).await?;
        visit.press_key(" ").await.map_err(|error| error.to_string())?;
        until(&visit, &format!("{INSIDE}.activeElement.checked"), json!(true)).await?;
        visit.press_key("Escape").await.map_err(|error| error.to_string())?;
        until(&visit, &focused, json!("Cookie settings")).await?;
        until(&visit, "window.vigie.given('audience')", json!(false)).await?;
        visit.close().await;
        Ok(())
    })
}

fn heard(browser: &Browser) -> Checked<'_> {
    Box::pin(async move {
        let visit = open(browser, "/de/", false).await?;
        until(&visit, &format!("!!{INSIDE}.querySelector('[role=dialog]')"), json!(true)).await?;
        let tree = format!(
            "[...{INSIDE}.querySelectorAll('section, h2, ul, button, a, input')].filter((e) => !e.hidden)\
             .map((e) => e.computedRole + ': ' + e.computedName)"
        );
        until(
            &visit,
            &tree,
            json!([
                "dialog: Cookies: Sie entscheiden",
                "heading: Cookies: Sie entscheiden",
                "button: Schließen (Alle ablehnen)",
                "list: ",
                "button: Alle ablehnen",
                "button: Alle akzeptieren",
                "button: Einstellungen",
                "link: Datenschutzerklärung",
                "link: Partner",
            ]),
        )
        .await?;
        until(&visit, "document.querySelector('vigie-choice').lang", json!("de")).await?;
        let first = "document.body.firstElementChild.localName";
        until(&visit, first, json!("vigie-choice")).await?;
        click(&visit, "Einstellungen").await?;
        let switches =
            format!("[...{INSIDE}.querySelectorAll('input')].map((e) => e.computedRole + ': ' + e.computedName)");
        let named = json!([
            "switch: Reichweitenmessung",
            "switch: Personalisierte Werbung",
            "switch: Inhalte aus sozialen Netzwerken",
        ]);
        until(&visit, &switches, named).await?;
        visit.close().await;
        Ok(())
    })
}

fn signalled(browser: &Browser) -> Checked<'_> {
    Box::pin(async move {
        let visit = open(browser, "/en/", true).await?;
        until(&visit, "decodeURIComponent(document.cookie).includes('-audience|-advertising|-social')", json!(true))
            .await?;
        until(&visit, &format!("!{INSIDE}.querySelector('[role=dialog]')"), json!(true)).await?;
        until(&visit, &format!("{INSIDE}.querySelector('.pill').hidden"), json!(false)).await?;
        visit.close().await;
        Ok(())
    })
}

fn alike(browser: &Browser) -> Checked<'_> {
    Box::pin(async move {
        let looks = format!(
            "[...{INSIDE}.querySelectorAll('.act button')].map((b) => {{ const s = getComputedStyle(b), r = b.getBoundingClientRect(); \
             return [r.width, r.height, r.top, s.backgroundColor, s.color, s.fontSize, s.fontWeight, s.borderTopWidth].join(' ') }})"
        );
        let mut seen = Vec::new();
        for path in ["/en/", "/loud/"] {
            let visit = open(browser, path, false).await?;
            until(&visit, &format!("{INSIDE}.querySelectorAll('.act button').length"), json!(2)).await?;
            let both = say(&visit, &looks).await?;
            if both[0] != both[1] {
                return Err(format!("{path}: {both}"));
            }
            seen.push(both[0].clone());
            visit.close().await;
        }
        // The height of the notice follows its text; the buttons must be the same in a site that shouts.
        if seen[0] == seen[1] { Ok(()) } else { Err(format!("{seen:?}")) }
    })
}
