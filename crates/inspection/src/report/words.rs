//! Values in words: durations, counts, roles, effects, events. Everything a reader would otherwise have to look up.

use crate::evidence::{Act, Effect};
use vigie_banner::model::{Nature, Place, Role, Shape};
use vigie_domain::{
    Certainty, Layer, Purpose, Severity,
    record::{EventKind, StorageKind, VisitEnd, Writer},
};

/// Longest address that is printed whole, in characters.
const MAX_ADDRESS: usize = 160;

/// Returns a count with its noun, for instance `1 click` or `3 clicks`.
pub fn count(n: usize, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}

/// Returns a lifetime as people say it: `30 minutes`, `13 months`, `2 years`.
///
/// Months are 30.44 days. Anything is rounded to the nearest unit, so that 390 days read as 13 months.
pub fn lifetime(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds else { return "until the browser is closed".to_owned() };
    if !seconds.is_finite() || seconds < 0.0 {
        return "not known".to_owned();
    }
    let (minutes, hours, days) = (seconds / 60.0, seconds / 3600.0, seconds / 86_400.0);
    let months = days / 30.44;
    let years = days / 365.25;
    let whole = |value: f64| value.round() as usize;
    if seconds < 90.0 {
        count(whole(seconds), "second", "seconds")
    } else if minutes < 90.0 {
        count(whole(minutes), "minute", "minutes")
    } else if hours < 36.0 {
        count(whole(hours), "hour", "hours")
    } else if days < 45.0 {
        count(whole(days), "day", "days")
    } else if months < 23.5 {
        count(whole(months), "month", "months")
    } else if (years - years.round()).abs() < 0.05 {
        count(whole(years), "year", "years")
    } else {
        format!("{years:.1} years")
    }
}

/// Returns a duration of the inspection itself: `14 s`, `2 min 5 s`.
pub fn elapsed(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    if whole < 120 { format!("{whole} s") } else { format!("{} min {} s", whole / 60, whole % 60) }
}

/// Returns a size in bytes for people.
pub fn bytes(n: usize) -> String {
    if n < 1024 {
        count(n, "byte", "bytes")
    } else if n < 1024 * 1024 {
        format!("{} KiB", n / 1024)
    } else {
        format!("{:.1} MiB", n as f64 / (1024.0 * 1024.0))
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
pub fn quotes(text: &str) -> String {
    if text.matches('`').count() % 2 == 1 {
        return text.to_owned();
    }
    text.split('`').enumerate().fold(String::with_capacity(text.len()), |mut said, (index, part)| {
        if index > 0 {
            said.push(if index % 2 == 1 { '“' } else { '”' });
        }
        said.push_str(part);
        said
    })
}

/// Returns a text with a capital first letter, a full stop, and names in quotation marks.
pub fn sentence(text: &str) -> String {
    let text = quotes(text.trim());
    let stop = if text.is_empty() || text.ends_with(['.', '?', '!', '…']) { "" } else { "." };
    format!("{}{stop}", sentence_start(&text))
}

/// Returns a text with a capital first letter.
pub fn sentence_start(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}", first.to_uppercase(), letters.as_str()))
}

/// Returns where a surface lives.
pub fn place(place: Place) -> &'static str {
    match place {
        Place::Document => "in the page itself",
        Place::Iframe => "in a frame",
        Place::Shadow => "in a shadow root of the page",
    }
}

/// Returns a severity's name.
pub fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Blocking => "blocking",
        Severity::Major => "major",
        Severity::Minor => "minor",
        Severity::Information => "information",
    }
}

/// Returns what a severity means.
pub fn severity_meaning(severity: Severity) -> &'static str {
    match severity {
        Severity::Blocking => "Consent is not valid, or trackers run without it.",
        Severity::Major => "The choice is distorted or badly informed.",
        Severity::Minor => "A weakness.",
        Severity::Information => "Worth knowing; no judgement.",
    }
}

/// Returns how sure a verdict is.
pub fn certainty(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Deterministic => "Follows from what was recorded; anyone who repeats the test gets the same answer.",
        Certainty::Heuristic => "Rests on a judgement of words, looks or lists; a person should look at the evidence.",
        Certainty::NeedsAPerson => "Only a person or a document can settle it.",
    }
}

/// Returns the one word that stands for a certainty in lists.
pub fn certainty_short(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Deterministic => "certain",
        Certainty::Heuristic => "a judgement of words, looks or lists",
        Certainty::NeedsAPerson => "for a person to settle",
    }
}

/// Returns where a control stands.
pub fn layer(layer: Layer) -> String {
    match layer.0 {
        0 => "on the page itself".to_owned(),
        1 => "first layer".to_owned(),
        2 => "second layer".to_owned(),
        3 => "third layer".to_owned(),
        n => format!("layer {n}"),
    }
}

/// Returns what was done at a step.
pub fn act(act: Act) -> &'static str {
    match act {
        Act::Activate => "Click",
        Act::TurnOn => "Turn on",
        Act::TurnOff => "Turn off",
    }
}

/// Returns what a control was seen to do.
pub fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Accepts => "accepts",
        Effect::Refuses => "refuses",
        Effect::Dismisses => "goes away, no choice stored",
        Effect::Opens => "opens more of the banner",
        Effect::Leaves => "leads to another page",
        Effect::Nothing => "nothing that could be seen",
        Effect::Unknown => "not tried, or could not be told",
    }
}

/// Returns what a control does by its words and looks.
pub fn role(role: Role) -> &'static str {
    match role {
        Role::AcceptAll => "accept everything",
        Role::RefuseAll => "refuse everything",
        Role::SaveSelection => "save the switches as they stand",
        Role::Settings => "open further choices",
        Role::Close => "close",
        Role::Pay => "pay instead",
        Role::PartnerList => "list of partners",
        Role::Policy => "further reading",
        Role::Language => "change language",
        Role::Unknown => "could not be told",
    }
}

/// Returns what kind of thing a control is.
pub fn nature(nature: Nature, in_text: bool) -> &'static str {
    match (nature, in_text) {
        (Nature::Button, _) => "button",
        (Nature::Link, false) => "link",
        (Nature::Link, true) => "link inside a text",
        (Nature::Other, _) => "neither button nor link",
    }
}

/// Returns how a control is drawn.
pub fn shape(shape: Shape) -> &'static str {
    match shape {
        Shape::Filled => "filled box",
        Shape::Outlined => "outlined box",
        Shape::Plain => "bare text",
    }
}

/// Returns a purpose's name.
pub fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Necessary => "strictly necessary",
        Purpose::Preferences => "preferences",
        Purpose::Audience => "audience measurement",
        Purpose::Advertising => "advertising",
        Purpose::Personalisation => "personalised content",
        Purpose::SocialMedia => "social networks and media",
        Purpose::Security => "security",
        Purpose::Unspecified => "in words that fit no known purpose",
    }
}

/// Returns a passive act of scenario S5.
pub fn passive(act: &str) -> String {
    match act {
        "close" => "closing the banner".to_owned(),
        "escape" => "pressing Escape".to_owned(),
        "backdrop" => "clicking beside the banner".to_owned(),
        "scroll" => "scrolling".to_owned(),
        "follow-link" => "following a link of the page".to_owned(),
        other => other.to_owned(),
    }
}

/// Returns how a visit ended.
pub fn end(end: &VisitEnd) -> String {
    match end {
        VisitEnd::Completed => "as planned".to_owned(),
        VisitEnd::Blocked { why } => format!("the site did not let us in: {why}"),
        VisitEnd::Unreachable { why } => format!("the site could not be reached: {why}"),
        VisitEnd::Failed { why } => format!("it broke off: {why}"),
    }
}

fn storage_kind(kind: StorageKind) -> &'static str {
    match kind {
        StorageKind::Local => "local storage",
        StorageKind::Session => "session storage",
        StorageKind::IndexedDb => "IndexedDB",
        StorageKind::CacheApi => "cache",
    }
}

/// Returns an event in a clause, without any value that was stored or sent.
pub fn event(kind: &EventKind) -> String {
    let by = |script: &Option<String>| script.as_deref().map_or(String::new(), |url| format!(" by {}", address(url)));
    match kind {
        EventKind::Step { what } => format!("step of the plan: {what}"),
        EventKind::Navigated { url, main: true } => format!("the page went to {}", address(url)),
        EventKind::Navigated { url, main: false } => format!("a frame went to {}", address(url)),
        EventKind::Request { url, method, resource, .. } => format!("request {method} {} ({resource})", address(url)),
        EventKind::RequestSent { cookies, .. } => {
            let mut names: Vec<_> = cookies.iter().map(|cookie| cookie.name.as_str()).collect();
            let n_more = names.len().saturating_sub(6);
            names.truncate(6);
            match (names.is_empty(), n_more) {
                (true, _) => "request sent without cookies".to_owned(),
                (false, 0) => format!("request sent with cookies {}", names.join(", ")),
                (false, n) => format!("request sent with cookies {} and {n} more", names.join(", ")),
            }
        }
        EventKind::Profile { cookies: 0, origins: 0 } => "the profile was empty".to_owned(),
        EventKind::Profile { .. } => "the profile was not empty".to_owned(),
        EventKind::Response { url, status, .. } => format!("response {status} from {}", address(url)),
        EventKind::ResponseHeaders { .. } => "headers of a response".to_owned(),
        EventKind::Finished { encoded_bytes, .. } => format!("a response ended after {encoded_bytes} bytes"),
        EventKind::Failed { error, .. } => format!("a request failed: {error}"),
        EventKind::CookieWritten { name, writer, deleted, .. } => {
            let how = match writer {
                Writer::Header { .. } => "a response of",
                Writer::Script { .. } => "the script",
            };
            let done = if *deleted { "deleted" } else { "written" };
            writer.url().map_or_else(
                || format!("cookie {name} {done}"),
                |url| format!("cookie {name} {done} by {how} {}", address(url)),
            )
        }
        EventKind::StorageRead { api, script } => format!("{api} read{}", by(script)),
        EventKind::StorageWritten { kind, origin, key, value } => {
            let done = if value.is_some() { "written" } else { "removed" };
            format!("{} key {key} of {origin} {done}", storage_kind(*kind))
        }
        EventKind::Console { level, .. } => format!("console message ({level})"),
        EventKind::Dialog { kind, .. } => format!("dialog ({kind})"),
        EventKind::Download { filename, .. } => format!("download offered: {filename}"),
        EventKind::Opened { target, url } => format!("{target} opened: {}", address(url)),
        EventKind::Fingerprinting { api, script, .. } => format!("{api} used{}", by(script)),
        EventKind::ConsentSignal { kind, .. } => format!("consent signal {kind}"),
        EventKind::Input { kind, target, x, y } => format!("our own input: {kind} on “{target}” at {x}, {y}"),
        EventKind::Picture { path } => format!("picture {path}"),
        EventKind::Crashed { reason } => format!("the page crashed: {reason}"),
        EventKind::Quiet { reached: true, waited_ms, .. } => format!("quiet after {waited_ms} ms"),
        EventKind::Quiet { reached: false, waited_ms, .. } => format!("no quiet within {waited_ms} ms"),
    }
}

/// Returns a language's English name; the code itself where we have none.
pub fn language(code: &str) -> String {
    let name = match code.split(['-', '_']).next().unwrap_or_default() {
        "bg" => "Bulgarian",
        "cs" => "Czech",
        "da" => "Danish",
        "de" => "German",
        "el" => "Greek",
        "en" => "English",
        "es" => "Spanish",
        "et" => "Estonian",
        "fi" => "Finnish",
        "fr" => "French",
        "ga" => "Irish",
        "hr" => "Croatian",
        "hu" => "Hungarian",
        "it" => "Italian",
        "lt" => "Lithuanian",
        "lv" => "Latvian",
        "mt" => "Maltese",
        "nl" => "Dutch",
        "pl" => "Polish",
        "pt" => "Portuguese",
        "ro" => "Romanian",
        "sk" => "Slovak",
        "sl" => "Slovenian",
        "sv" => "Swedish",
        _ => return code.to_owned(),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_read_as_people_say_them() {
        let said = |days: f64| lifetime(Some(days * 86_400.0));
        assert_eq!(lifetime(None), "until the browser is closed");
        assert_eq!(lifetime(Some(1.0)), "1 second");
        assert_eq!(lifetime(Some(1800.0)), "30 minutes");
        assert_eq!(said(1.0), "24 hours");
        assert_eq!(said(30.0), "30 days");
        assert_eq!(said(180.0), "6 months");
        assert_eq!(said(390.0), "13 months");
        assert_eq!(said(730.0), "2 years");
        assert_eq!(said(913.0), "2.5 years");
        assert_eq!(lifetime(Some(f64::NAN)), "not known");
    }

    #[test]
    fn names_between_backticks_are_quoted() {
        assert_eq!(sentence("`Save` and `Deny` stand there"), "“Save” and “Deny” stand there.");
        assert_eq!(sentence("a lone ` stays"), "A lone ` stays.");
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
