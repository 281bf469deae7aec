//! The report as a reader gets it: its text, its mark-up, and what hostile pages cannot do to it.

use super::{Language, render, sample};
use crate::{
    evidence::{Evidence, Outcome},
    wire::Inspection,
};

/// The smallest PNG there is: one pixel.
const PIXEL: &[u8] = &[
    0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', 0, 0, 0, 13, b'I', b'H', b'D', b'R', 0, 0, 0, 1, 0, 0, 0, 1, 8,
    6, 0, 0, 0, 0x1f, 0x15, 0xc4, 0x89, 0, 0, 0, 13, b'I', b'D', b'A', b'T', 0x78, 0x9c, 0x63, 0xf8, 0xff, 0xff, 0xff,
    0x7f, 0, 9, 0xfb, 3, 0xfd, 5, 0x43, 0x45, 0xca, 0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xae, 0x42, 0x60, 0x82,
];

fn page(evidence: &Evidence, document: &Inspection) -> String {
    page_in(Language::English, evidence, document)
}

fn page_in(language: Language, evidence: &Evidence, document: &Inspection) -> String {
    // What follows a PNG's end is ignored, so that each path has bytes of its own.
    let html = render(language, evidence, document, &|path| Some([PIXEL, path.as_bytes()].concat())).unwrap();
    check(language, &html);
    html
}

/// Checks what holds for every report: mark-up, landmarks, headings, references, and that it asks nobody for anything.
fn check(language: Language, html: &str) {
    let tags = tags(html);
    well_formed(&tags);
    let n = |name: &str| tags.iter().filter(|tag| tag.name == name && !tag.closing).count();
    assert_eq!([n("h1"), n("main"), n("title"), n("nav")], [1; 4], "one of each");
    assert_eq!(n("script") + n("iframe") + n("img") + n("link") + n("form") + n("object"), 0, "none of these");

    let mut level = 0;
    for tag in tags.iter().filter(|tag| !tag.closing) {
        if let Some(next) = tag.name.strip_prefix('h').and_then(|digit| digit.parse::<u8>().ok()) {
            assert!(next <= level + 1, "heading {next} follows {level}: {}", tag.text);
            level = next;
        }
        for (name, value) in &tag.attributes {
            assert!(!name.starts_with("on"), "an event handler: {}", tag.text);
            if name == "href" {
                let inside = value.strip_prefix('#').is_some_and(|id| has_id(&tags, id));
                assert!(inside || value.starts_with("data:image/png;base64,"), "leads nowhere: {value}");
            }
            if name == "aria-labelledby" {
                assert!(has_id(&tags, value), "labelled by nothing: {value}");
            }
        }
        match tag.name.as_str() {
            "html" => assert_eq!(tag.attribute("lang"), Some(language.code())),
            "th" => assert!(tag.attribute("scope").is_some(), "a header without scope"),
            "svg" if tag.attribute("class") == Some("shot") => assert!(tag.attribute("aria-label").is_some()),
            _ => {}
        }
    }
    let mut ids: Vec<_> = tags.iter().filter(|tag| !tag.closing).filter_map(|tag| tag.attribute("id")).collect();
    ids.sort_unstable();
    let n_ids = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), n_ids, "every id is used once");
    assert!(html.contains("content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\""));
}

fn has_id(tags: &[Tag], id: &str) -> bool {
    tags.iter().any(|tag| tag.attribute("id") == Some(id))
}

/// A tag as it stands in the page.
struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
    closing: bool,
    empty: bool,
    text: String,
}

impl Tag {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Reads the page's tags. Stricter than a browser: every attribute is quoted and a bare `<` is a mistake.
fn tags(html: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut rest = html.strip_prefix("<!doctype html>").expect("a doctype");
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let mut quoted = false;
        let end = rest
            .find(|letter| {
                quoted ^= letter == '"';
                letter == '>' && !quoted
            })
            .expect("a tag ends");
        let inner = &rest[..end];
        let closing = inner.starts_with('/');
        let name: String = inner.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect();
        assert!(!name.is_empty(), "a bare `<` before {inner}");
        let mut attributes = Vec::new();
        let mut left = inner.trim_start_matches('/')[name.len()..].trim().trim_end_matches('/').trim();
        while let Some((key, after)) = left.split_once('=') {
            let value = after.strip_prefix('"').unwrap_or_else(|| panic!("an unquoted attribute in {inner}"));
            let (value, after) = value.split_once('"').expect("an attribute ends");
            // An attribute without a value stands before the next one's name.
            let key = key.split_whitespace().last().expect("an attribute has a name");
            attributes.push((key.to_owned(), value.to_owned()));
            left = after;
        }
        tags.push(Tag { name: name.clone(), attributes, closing, empty: inner.ends_with('/'), text: inner.to_owned() });
        rest = &rest[end + 1..];
        if name == "style" && !closing {
            rest = &rest[rest.find("</style>").expect("the style ends")..];
        }
    }
    tags
}

/// Checks that tags are closed in the order in which they were opened.
fn well_formed(tags: &[Tag]) {
    const VOID: [&str; 3] = ["meta", "br", "hr"];
    let mut open: Vec<&str> = Vec::new();
    for tag in tags {
        if tag.closing {
            assert_eq!(open.pop(), Some(tag.name.as_str()), "closing {} while open: {open:?}", tag.name);
        } else if !tag.empty && !VOID.contains(&tag.name.as_str()) {
            // No paragraph holds a block: a browser would close it silently.
            let block = ["p", "div", "ul", "ol", "dl", "table", "figure", "section", "h2", "h3", "h4", "blockquote"];
            assert!(!(open.contains(&"p") && block.contains(&tag.name.as_str())), "{} inside p", tag.name);
            open.push(&tag.name);
        }
    }
    assert!(open.is_empty(), "never closed: {open:?}");
}

/// Returns the page's text, one line for each block.
fn text(html: &str) -> String {
    let body = &html[html.find("<body>").unwrap()..];
    let mut text = String::new();
    let mut rest = body;
    while let Some(start) = rest.find('<') {
        text.push_str(&rest[..start].split_whitespace().collect::<Vec<_>>().join(" "));
        // Inline mark-up joins; everything else is a line of its own.
        let end = start + rest[start..].find('>').unwrap();
        let name = rest[start + 1..end].trim_start_matches('/').split([' ', '/']).next().unwrap();
        let space_before = rest[..start].ends_with(char::is_whitespace);
        let space_after = rest[end + 1..].starts_with(char::is_whitespace);
        match name {
            "bdi" | "span" | "strong" | "em" | "a" | "time" | "code" if space_before || space_after => text.push(' '),
            "bdi" | "span" | "strong" | "em" | "a" | "time" | "code" => {}
            "td" | "th" | "dd" => text.push_str(" | "),
            _ => text.push('\n'),
        }
        rest = &rest[end + 1..];
    }
    let text = text.replace("&#60;", "<").replace("&#62;", ">").replace("&#34;", "\"").replace("&#39;", "'");
    let line = |line: &str| {
        let cells = line.split('|').map(|cell| cell.split_whitespace().collect::<Vec<_>>().join(" "));
        cells.filter(|cell| !cell.is_empty()).collect::<Vec<_>>().join(" | ")
    };
    text.lines().map(line).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_report_reads_well() {
    let (evidence, document) = (sample::evidence(), sample::document());
    insta::assert_snapshot!(text(&page(&evidence, &document)));
}

#[test]
fn the_report_reads_well_in_french() {
    let (evidence, document) = (sample::evidence(), sample::document());
    insta::assert_snapshot!(text(&page_in(Language::French, &evidence, &document)));
}

#[test]
fn what_is_english_in_a_french_report_is_marked() {
    let (evidence, document) = (sample::evidence(), sample::document());
    let html = page_in(Language::French, &evidence, &document);
    for finding in document.findings.iter().filter(|finding| super::is_judged(finding)) {
        let said = super::words::sentence(Language::English, &finding.summary);
        let (before, _) = html.split_once(said.split(['\'', '"']).next().unwrap()).expect("the summary is there");
        assert!(before.ends_with("<bdi lang=\"en\">"), "{said}");
    }
    assert!(!page(&evidence, &document).contains("<bdi lang=\"en\">"), "an English report marks nothing");
}

#[test]
fn a_site_that_was_not_inspected_is_not_judged() {
    let (mut evidence, mut document) = (sample::evidence(), sample::document());
    evidence.outcome = Outcome::Blocked;
    evidence.why = Some("the server answered 403 with a captcha".into());
    document.outcome = Outcome::Blocked;
    document.why.clone_from(&evidence.why);
    let html = page(&evidence, &document);
    assert!(!html.contains("id=\"findings\"") && !html.contains("CK-05") && !html.contains("data:image"));
    let text = text(&html);
    assert!(text.contains("the site did not let the browser in: the server answered 403 with a captcha."), "{text}");
}

#[test]
fn a_page_without_a_banner_says_so() {
    let (mut evidence, mut document) = (sample::evidence(), sample::document());
    evidence.first_layer.clear();
    evidence.further_layers.clear();
    evidence.tried.clear();
    (evidence.accept, evidence.refuse) = (None, None);
    document.findings.clear();
    document.visits.clear();
    let text = text(&page(&evidence, &document));
    assert!(text.contains("No consent banner was seen"), "{text}");
    assert!(text.contains("That is no certificate"), "{text}");
}

#[test]
fn a_missing_picture_is_said_to_be_missing() {
    let html = render(Language::English, &sample::evidence(), &sample::document(), &|_| None).unwrap();
    check(Language::English, &html);
    assert!(html.contains("could not be shown") && !html.contains("data:image"));
}

#[test]
fn what_the_page_says_cannot_change_the_report() {
    let hostile = "\"><img src=x onerror=alert(1)></bdi><script>alert('x')</script>&amp;\u{202e}{{ 7*7 }}".to_owned();
    let (mut evidence, mut document) = (sample::evidence(), sample::document());
    let tags_before = tags(&page(&evidence, &document)).len();
    let surface = &mut evidence.first_layer[0].surface;
    surface.text.clone_from(&hostile);
    surface.controls[0].label.clone_from(&hostile);
    surface.language = Some(hostile.clone());
    surface.purposes[0].words.clone_from(&hostile);
    evidence.accept.as_mut().unwrap().steps[0].label.clone_from(&hostile);
    evidence.accept.as_mut().unwrap().proof.stored = vec![hostile.clone()];
    evidence.way_back[0] = (hostile.clone(), Some(hostile.clone()));
    evidence.site.host.clone_from(&hostile);
    evidence.site.requested_url.clone_from(&hostile);
    evidence.gaps[0].clone_from(&hostile);
    evidence.visits[0].gaps.clear();
    document.visits[0].cookies[0].class.clone_from(&hostile);
    document.visits[0].cookies[0].why.clone_from(&hostile);
    document.visits[0].cookies[0].set_by = Some(hostile.clone());
    document.visits[0].storage[0].key.clone_from(&hostile);
    document.visits[0].trackers[0].host.clone_from(&hostile);
    document.findings[1].summary.clone_from(&hostile);
    document.findings[1].evidence[0].what = Some(hostile.clone());
    let html = page(&evidence, &document);
    assert!(!html.contains("<img") && !html.contains("<script") && !html.contains("alert('x')"));
    // Rows are added where a key no longer joins with its like in other visits; nothing else is.
    let extra = tags(&html).len() - tags_before;
    assert!(extra < 120, "{extra} more tags");
}

#[test]
fn thousands_of_rows_are_folded() {
    let (evidence, mut document) = (sample::evidence(), sample::document());
    let cookie = document.visits[0].cookies[0].clone();
    let many = (0..500).map(|n| crate::wire::Cookie { name: format!("c{n:03}"), ..cookie.clone() });
    document.visits[0].cookies.extend(many);
    let html = page(&evidence, &document);
    let folded = &html[html.find("464 more").expect("the rest is folded")..];
    assert!(folded.contains("c499"));
}
