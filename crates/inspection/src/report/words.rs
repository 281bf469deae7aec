//! Values in words, in the language of the report: durations, counts, roles, effects, events. Everything a reader would
//! otherwise have to look up.

use super::language::Language;
use crate::evidence::{Act, Effect};
use vigie_banner::model::{Nature, Place, Role, Shape};
use vigie_domain::{
    Certainty, Layer, Purpose, Severity,
    record::{EventKind, StorageKind, VisitEnd, Writer},
};

/// Longest address that is printed whole, in characters.
const MAX_ADDRESS: usize = 160;

/// Returns a lifetime as people say it: `30 minutes`, `13 months`, `2 years`.
///
/// Months are 30.44 days. Anything is rounded to the nearest unit, so that 390 days read as 13 months.
pub fn lifetime(t: Language, seconds: Option<f64>) -> String {
    let Some(seconds) = seconds else { return t.say("until the browser is closed").to_owned() };
    if !seconds.is_finite() || seconds < 0.0 {
        return t.say("not known").to_owned();
    }
    let (minutes, hours, days) = (seconds / 60.0, seconds / 3600.0, seconds / 86_400.0);
    let months = days / 30.44;
    let years = days / 365.25;
    let whole = |value: f64| value.round() as usize;
    if seconds < 90.0 {
        t.count(whole(seconds), "second", "seconds")
    } else if minutes < 90.0 {
        t.count(whole(minutes), "minute", "minutes")
    } else if hours < 36.0 {
        t.count(whole(hours), "hour", "hours")
    } else if days < 45.0 {
        t.count(whole(days), "day", "days")
    } else if months < 23.5 {
        t.count(whole(months), "month", "months")
    } else if (years - years.round()).abs() < 0.05 {
        t.count(whole(years), "year", "years")
    } else {
        t.fill("{n} years", &[("n", &t.decimal(years, 1))])
    }
}

/// Returns a duration of the inspection itself: `14 s`, `2 min 5 s`.
pub fn elapsed(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    if whole < 120 { format!("{whole} s") } else { format!("{} min {} s", whole / 60, whole % 60) }
}

/// Returns a size in bytes for people.
pub fn bytes(t: Language, n: usize) -> String {
    if n < 1024 {
        t.count(n, "byte", "bytes")
    } else if n < 1024 * 1024 {
        t.fill("{n} KiB", &[("n", &(n / 1024).to_string())])
    } else {
        t.fill("{n} MiB", &[("n", &t.decimal(n as f64 / (1024.0 * 1024.0), 1))])
    }
}

/// Returns an address, its middle left out where it is longer than a reader can use.
pub fn address(url: &str) -> String {
    let n_chars = url.chars().count();
    if n_chars <= MAX_ADDRESS {
        return url.to_owned();
    }
    let head: String = url.chars().take(MAX_ADDRESS * 3 / 4).collect();
    let tail: String = url.chars().skip(n_chars - MAX_ADDRESS / 4).collect();
    format!("{head} … {tail}")
}

/// Returns an address for a narrow column: what follows the path is left out.
pub fn short_address(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let more = if end < url.len() { "?…" } else { "" };
    format!("{}{more}", address(&url[..end]))
}

/// Returns a text with the names it holds between backticks, as our messages do, in quotation marks.
pub fn quotes(t: Language, text: &str) -> String {
    if text.matches('`').count() % 2 == 1 {
        return text.to_owned();
    }
    text.split('`').enumerate().fold(String::with_capacity(text.len()), |mut said, (index, part)| {
        if index > 0 {
            said.push_str(t.marks()[usize::from(index % 2 == 0)]);
        }
        said.push_str(part);
        said
    })
}

/// Returns a text with a capital first letter, a full stop, and names in quotation marks.
pub fn sentence(t: Language, text: &str) -> String {
    let text = quotes(t, text.trim());
    let stop = if text.is_empty() || text.ends_with(['.', '?', '!', '…']) { "" } else { "." };
    format!("{}{stop}", sentence_start(&text))
}

/// Returns a text with a capital first letter.
pub fn sentence_start(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}", first.to_uppercase(), letters.as_str()))
}

/// Returns where a surface lives.
pub fn place(t: Language, place: Place) -> &'static str {
    match place {
        Place::Document => t.say("in the page itself"),
        Place::Iframe => t.say("in a frame"),
        Place::Shadow => t.say("in a shadow root of the page"),
    }
}

/// Returns a severity's name.
pub fn severity(t: Language, severity: Severity) -> &'static str {
    match severity {
        Severity::Blocking => t.say("blocking"),
        Severity::Major => t.say("major"),
        Severity::Minor => t.say("minor"),
        Severity::Information => t.say("information"),
    }
}

/// Returns what a severity means.
pub fn severity_meaning(t: Language, severity: Severity) -> &'static str {
    match severity {
        Severity::Blocking => t.say("Consent is not valid, or trackers run without it."),
        Severity::Major => t.say("The choice is distorted or badly informed."),
        Severity::Minor => t.say("A weakness."),
        Severity::Information => t.say("Worth knowing; no judgement."),
    }
}

/// Returns how sure a verdict is.
pub fn certainty(t: Language, certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Deterministic => {
            t.say("Follows from what was recorded; anyone who repeats the test gets the same answer.")
        }
        Certainty::Heuristic => {
            t.say("Rests on a judgement of words, looks or lists; a person should look at the evidence.")
        }
        Certainty::NeedsAPerson => t.say("Only a person or a document can settle it."),
    }
}

/// Returns the one word that stands for a certainty in lists.
pub fn certainty_short(t: Language, certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Deterministic => t.say("certain"),
        Certainty::Heuristic => t.say("a judgement of words, looks or lists"),
        Certainty::NeedsAPerson => t.say("for a person to settle"),
    }
}

/// Returns where a control stands.
pub fn layer(t: Language, layer: Layer) -> String {
    match layer.0 {
        0 => t.say("on the page itself").to_owned(),
        1 => t.say("first layer").to_owned(),
        2 => t.say("second layer").to_owned(),
        3 => t.say("third layer").to_owned(),
        n => t.fill("layer {n}", &[("n", &n.to_string())]),
    }
}

/// Returns what was done at a step.
pub fn act(t: Language, act: Act) -> &'static str {
    match act {
        Act::Activate => t.say("Click"),
        Act::TurnOn => t.say("Turn on"),
        Act::TurnOff => t.say("Turn off"),
    }
}

/// Returns what a control was seen to do.
pub fn effect(t: Language, effect: Effect) -> &'static str {
    match effect {
        Effect::Accepts => t.say("accepts"),
        Effect::Refuses => t.say("refuses"),
        Effect::Dismisses => t.say("goes away, no choice stored"),
        Effect::Opens => t.say("opens more of the banner"),
        Effect::Leaves => t.say("leads to another page"),
        Effect::Nothing => t.say("nothing that could be seen"),
        Effect::Unknown => t.say("not tried, or could not be told"),
    }
}

/// Returns what a control does by its words and looks.
pub fn role(t: Language, role: Role) -> &'static str {
    match role {
        Role::AcceptAll => t.say("accept everything"),
        Role::RefuseAll => t.say("refuse everything"),
        Role::SaveSelection => t.say("save the switches as they stand"),
        Role::Settings => t.say("open further choices"),
        Role::Close => t.say("close"),
        Role::Pay => t.say("pay instead"),
        Role::PartnerList => t.say("list of partners"),
        Role::Policy => t.say("further reading"),
        Role::Language => t.say("change language"),
        Role::Unknown => t.say("could not be told"),
    }
}

/// Returns what kind of thing a control is.
pub fn nature(t: Language, nature: Nature, in_text: bool) -> &'static str {
    match (nature, in_text) {
        (Nature::Button, _) => t.say("button"),
        (Nature::Link, false) => t.say("link"),
        (Nature::Link, true) => t.say("link inside a text"),
        (Nature::Other, _) => t.say("neither button nor link"),
    }
}

/// Returns how a control is drawn.
pub fn shape(t: Language, shape: Shape) -> &'static str {
    match shape {
        Shape::Filled => t.say("filled box"),
        Shape::Outlined => t.say("outlined box"),
        Shape::Plain => t.say("bare text"),
    }
}

/// Returns a purpose's name.
pub fn purpose(t: Language, purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Necessary => t.say("strictly necessary"),
        Purpose::Preferences => t.say("preferences"),
        Purpose::Audience => t.say("audience measurement"),
        Purpose::Advertising => t.say("advertising"),
        Purpose::Personalisation => t.say("personalised content"),
        Purpose::SocialMedia => t.say("social networks and media"),
        Purpose::Security => t.say("security"),
        Purpose::Unspecified => t.say("in words that fit no known purpose"),
    }
}

/// Returns a passive act of scenario S5.
pub fn passive(t: Language, act: &str) -> String {
    match act {
        "close" => t.say("closing the banner").to_owned(),
        "escape" => t.say("pressing Escape").to_owned(),
        "backdrop" => t.say("clicking beside the banner").to_owned(),
        "scroll" => t.say("scrolling").to_owned(),
        "follow-link" => t.say("following a link of the page").to_owned(),
        other => other.to_owned(),
    }
}

/// Returns how a visit ended.
pub fn end(t: Language, end: &VisitEnd) -> String {
    match end {
        VisitEnd::Completed => t.say("as planned").to_owned(),
        VisitEnd::Blocked { why } => t.fill("the site did not let us in: {why}", &[("why", why)]),
        VisitEnd::Unreachable { why } => t.fill("the site could not be reached: {why}", &[("why", why)]),
        VisitEnd::Failed { why } => t.fill("it broke off: {why}", &[("why", why)]),
    }
}

fn storage_kind(t: Language, kind: StorageKind) -> &'static str {
    match kind {
        StorageKind::Local => t.say("local storage"),
        StorageKind::Session => t.say("session storage"),
        StorageKind::IndexedDb => t.say("IndexedDB"),
        StorageKind::CacheApi => t.say("cache"),
    }
}

/// Returns an event in a clause, without any value that was stored or sent.
pub fn event(t: Language, kind: &EventKind) -> String {
    let by = |script: &Option<String>| {
        script.as_deref().map_or(String::new(), |url| t.fill(" by {url}", &[("url", &address(url))]))
    };
    match kind {
        EventKind::Step { what } => t.fill("step of the plan: {what}", &[("what", what)]),
        EventKind::Navigated { url, main: true } => t.fill("the page went to {url}", &[("url", &address(url))]),
        EventKind::Navigated { url, main: false } => t.fill("a frame went to {url}", &[("url", &address(url))]),
        EventKind::Request { url, method, resource, .. } => t.fill(
            "request {method} {url} ({resource})",
            &[("method", method), ("url", &address(url)), ("resource", resource)],
        ),
        EventKind::RequestSent { cookies, .. } => {
            let mut names: Vec<_> = cookies.iter().map(|cookie| cookie.name.as_str()).collect();
            let n_more = names.len().saturating_sub(6);
            names.truncate(6);
            match (names.is_empty(), n_more) {
                (true, _) => t.say("request sent without cookies").to_owned(),
                (false, 0) => t.fill("request sent with cookies {names}", &[("names", &names.join(", "))]),
                (false, n) => t.fill(
                    "request sent with cookies {names} and {n} more",
                    &[("names", &names.join(", ")), ("n", &n.to_string())],
                ),
            }
        }
        EventKind::Profile { cookies: 0, origins: 0 } => t.say("the profile was empty").to_owned(),
        EventKind::Profile { .. } => t.say("the profile was not empty").to_owned(),
        EventKind::Response { url, status, .. } => {
            t.fill("response {status} from {url}", &[("status", &status.to_string()), ("url", &address(url))])
        }
        EventKind::ResponseHeaders { .. } => t.say("headers of a response").to_owned(),
        EventKind::Finished { encoded_bytes, .. } => {
            t.fill("a response ended after {n} bytes", &[("n", &encoded_bytes.to_string())])
        }
        EventKind::Failed { error, .. } => t.fill("a request failed: {error}", &[("error", error)]),
        EventKind::CookieWritten { name, writer, deleted, .. } => {
            let (by_header, by_script, alone) = if *deleted {
                (
                    t.say("cookie {name} deleted by a response of {url}"),
                    t.say("cookie {name} deleted by the script {url}"),
                    t.say("cookie {name} deleted"),
                )
            } else {
                (
                    t.say("cookie {name} written by a response of {url}"),
                    t.say("cookie {name} written by the script {url}"),
                    t.say("cookie {name} written"),
                )
            };
            let phrase = match (writer, writer.url()) {
                (_, None) => alone,
                (Writer::Header { .. }, Some(_)) => by_header,
                (Writer::Script { .. }, Some(_)) => by_script,
            };
            t.fill(phrase, &[("name", name), ("url", &writer.url().map(address).unwrap_or_default())])
        }
        EventKind::StorageRead { api, script } => t.fill("{api} read{by}", &[("api", api), ("by", &by(script))]),
        EventKind::StorageWritten { kind, origin, key, value } => {
            let phrase = if value.is_some() {
                t.say("{kind} key {key} of {origin} written")
            } else {
                t.say("{kind} key {key} of {origin} removed")
            };
            t.fill(phrase, &[("kind", storage_kind(t, *kind)), ("key", key), ("origin", origin)])
        }
        EventKind::Console { level, .. } => t.fill("console message ({level})", &[("level", level)]),
        EventKind::Dialog { kind, .. } => t.fill("dialog ({kind})", &[("kind", kind)]),
        EventKind::Download { filename, .. } => t.fill("download offered: {filename}", &[("filename", filename)]),
        EventKind::Opened { target, url } => {
            t.fill("{target} opened: {url}", &[("target", target), ("url", &address(url))])
        }
        EventKind::Fingerprinting { api, script, .. } => t.fill("{api} used{by}", &[("api", api), ("by", &by(script))]),
        EventKind::ConsentSignal { kind, .. } => t.fill("consent signal {kind}", &[("kind", kind)]),
        EventKind::Input { kind, target, x, y } => t.fill(
            "our own input: {kind} on {target} at {x}, {y}",
            &[("kind", kind), ("target", &t.quoted(target)), ("x", &x.to_string()), ("y", &y.to_string())],
        ),
        EventKind::Picture { path } => t.fill("picture {path}", &[("path", path)]),
        EventKind::Crashed { reason } => t.fill("the page crashed: {reason}", &[("reason", reason)]),
        EventKind::Quiet { reached: true, waited_ms, .. } => {
            t.fill("quiet after {n} ms", &[("n", &waited_ms.to_string())])
        }
        EventKind::Quiet { reached: false, waited_ms, .. } => {
            t.fill("no quiet within {n} ms", &[("n", &waited_ms.to_string())])
        }
    }
}

/// Returns a language's English name; the code itself where we have none.
pub fn language(t: Language, code: &str) -> String {
    let name = match code.split(['-', '_']).next().unwrap_or_default() {
        "bg" => t.say("Bulgarian"),
        "cs" => t.say("Czech"),
        "da" => t.say("Danish"),
        "de" => t.say("German"),
        "el" => t.say("Greek"),
        "en" => t.say("English"),
        "es" => t.say("Spanish"),
        "et" => t.say("Estonian"),
        "fi" => t.say("Finnish"),
        "fr" => t.say("French"),
        "ga" => t.say("Irish"),
        "hr" => t.say("Croatian"),
        "hu" => t.say("Hungarian"),
        "it" => t.say("Italian"),
        "lt" => t.say("Lithuanian"),
        "lv" => t.say("Latvian"),
        "mt" => t.say("Maltese"),
        "nl" => t.say("Dutch"),
        "pl" => t.say("Polish"),
        "pt" => t.say("Portuguese"),
        "ro" => t.say("Romanian"),
        "sk" => t.say("Slovak"),
        "sl" => t.say("Slovenian"),
        "sv" => t.say("Swedish"),
        _ => return code.to_owned(),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EN: Language = Language::English;

    #[test]
    fn lifetimes_read_as_people_say_them() {
        let said = |days: f64| lifetime(EN, Some(days * 86_400.0));
        assert_eq!(lifetime(EN, None), "until the browser is closed");
        assert_eq!(lifetime(EN, Some(1.0)), "1 second");
        assert_eq!(lifetime(EN, Some(1800.0)), "30 minutes");
        assert_eq!(said(1.0), "24 hours");
        assert_eq!(said(30.0), "30 days");
        assert_eq!(said(180.0), "6 months");
        assert_eq!(said(390.0), "13 months");
        assert_eq!(said(730.0), "2 years");
        assert_eq!(said(913.0), "2.5 years");
        assert_eq!(lifetime(EN, Some(f64::NAN)), "not known");
    }

    #[test]
    fn names_between_backticks_are_quoted() {
        assert_eq!(sentence(EN, "`Save` and `Deny` stand there"), "“Save” and “Deny” stand there.");
        assert_eq!(sentence(EN, "a lone ` stays"), "A lone ` stays.");
    }

    #[test]
    fn a_long_address_keeps_its_ends() {
        let shown = address(&format!("https://example.org/{}end", "a".repeat(400)));
        assert!(
            shown.starts_with("https://example.org/aaa") && shown.ends_with("aend") && shown.len() < 180,
            "{shown}"
        );
    }
}
