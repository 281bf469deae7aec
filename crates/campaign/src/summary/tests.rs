//! The summary as a reader gets it: its words, its mark-up, and what hostile names cannot do to it.

use super::*;
use crate::{
    repeats::{Answer, Comparison},
    settings::{RetryRule, Settings},
    store::Counts,
};
use std::{num::NonZeroU16, time::Duration};
use vigie_domain::Verdict::{Breach, Conform, Inconclusive, NotApplicable};

fn rules() -> Vec<RuleName> {
    [
        ("CK-01", "No tracker written before a choice"),
        ("CK-05", "A refusal on every layer that has an acceptance"),
        ("CK-25", "Refusal stops writes"),
        ("CK-26", "Refusal stops reads"),
        ("CK-27", "Refusal is remembered, without nagging"),
    ]
    .map(|(id, title)| RuleName { id: id.to_owned(), title: title.to_owned() })
    .to_vec()
}

/// Makes up so many sites: every number is decided by the site's own.
fn sites(n: usize) -> Vec<SiteRow> {
    let countries = ["FR", "FR", "DE", "IT", "FR", "ES"];
    let site = |n: usize| {
        let outcome = match n % 13 {
            5 => Outcome::Blocked,
            7 => Outcome::Unreachable,
            11 if n.is_multiple_of(2) => Outcome::Failed,
            _ => Outcome::Inspected,
        };
        let seen = outcome == Outcome::Inspected;
        let banner = !n.is_multiple_of(9);
        let refuse = n % 3 != 1;
        let dirty = n % 5 < 2;
        SiteRow {
            url: format!("https://www.site-{n}.example/"),
            country: Some(countries[n % 6].to_owned()).filter(|_| n % 17 != 3),
            tags: if n.is_multiple_of(2) {
                vec!["news".to_owned()]
            } else {
                vec!["shop".to_owned(), "large".to_owned()]
            },
            outcome: Some(outcome),
            why: (!seen).then(|| "the site answered 403".to_owned()),
            attempts: if seen { 1 } else { 2 },
            banner_seen: seen.then_some(banner),
            accept_first_layer: seen.then_some(banner),
            refuse_first_layer: seen.then_some(banner && refuse),
            clicks: if seen && banner {
                [
                    Some(1),
                    if n % 11 == 4 { None } else { Some(if refuse { 1 } else { 2 + n as u32 % 3 }) },
                    (!n.is_multiple_of(4)).then_some(2 + n as u32 % 4),
                ]
            } else {
                [None; 3]
            },
            asked_before_choice: seen.then_some(dirty),
            stored_before_choice: seen.then_some(dirty && n.is_multiple_of(2)),
            verdicts: if seen {
                vec![
                    (0, if dirty { Breach } else { Conform }),
                    (
                        1,
                        if !banner {
                            NotApplicable
                        } else if refuse {
                            Conform
                        } else {
                            Breach
                        },
                    ),
                    (2, if n.is_multiple_of(7) { Breach } else { Conform }),
                    (3, if n.is_multiple_of(8) { Inconclusive } else { Conform }),
                    (4, Inconclusive),
                ]
            } else {
                Vec::new()
            },
        }
    };
    (0..n).map(site).collect()
}

fn rows(sites: Vec<SiteRow>, repeats: u16) -> Rows {
    let mut comparison = Comparison::new(3);
    if repeats > 1 {
        for (n, site) in sites.iter().enumerate().filter(|(_, site)| site.outcome == Some(Outcome::Inspected)) {
            let mut add = |question: &str, answers: [&str; 3]| {
                for answer in answers {
                    comparison.add(Answer {
                        site: i64::try_from(n).unwrap(),
                        url: site.url.clone(),
                        question: question.to_owned(),
                        answer: Some(answer.to_owned()),
                    });
                }
            };
            add("clicks to refuse", ["2", if n % 20 == 1 { "3" } else { "2" }, "2"]);
            add("CK-01", ["breach", "breach", if n % 10 == 1 { "inconclusive" } else { "breach" }]);
            add("CK-05", ["conform"; 3]);
        }
    }
    let done = sites.iter().filter(|site| site.outcome == Some(Outcome::Inspected)).count();
    let failed = sites.iter().filter(|site| site.outcome.is_some()).count() - done;
    let open = sites.len() - done - failed;
    let facts = Facts {
        id: "00112233445566ff".to_owned(),
        settings: Settings {
            repeats: NonZeroU16::new(repeats).unwrap(),
            pause: Duration::from_secs(2),
            retry: RetryRule::default(),
            inspection: [("locale".to_owned(), "fr-FR".to_owned())].into(),
        },
        former_settings: Vec::new(),
        counts: Counts { open, done, failed },
        finished_ms: Some((1_795_000_000_000, 1_795_100_000_000)),
    };
    Rows { facts, answers: Answers { sites, rules: rules() }, flips: comparison.finish() }
}

fn page(rows: &Rows) -> String {
    let html = render(rows).unwrap();
    check(&html);
    html
}

/// Checks what holds for every page: tags close, ids are used once and found, headings step by one, no request.
fn check(html: &str) {
    let mut open = Vec::new();
    let (mut ids, mut wanted) = (Vec::new(), Vec::new());
    let mut level = 0;
    for piece in html.split('<').skip(1) {
        let (tag, _) = piece.split_once('>').unwrap_or_else(|| panic!("`<{piece}` does not end"));
        if tag.starts_with('!') {
            continue;
        }
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
        assert!(!["script", "img", "iframe", "link", "form", "object"].contains(&name), "<{tag}>");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "<{tag}>");
        } else if !tag.ends_with('/') && !["meta", "br"].contains(&name) {
            open.push(name);
        }
        if let Some(next) = name.strip_prefix('h').and_then(|digit| digit.parse::<u8>().ok())
            && !tag.starts_with('/')
        {
            assert!(next <= level + 1, "heading {next} follows {level}");
            level = next;
        }
        for attribute in
            tag.split("\" ").flat_map(|part| part.split_once(' ').into_iter().map(|(_, rest)| rest).chain([part]))
        {
            if let Some(id) = attribute.strip_prefix("id=\"") {
                ids.push(id.trim_end_matches(['"', '/']).to_owned());
            }
            if let Some(id) = attribute.strip_prefix("href=\"") {
                wanted.push(id.trim_end_matches('"').strip_prefix('#').expect("leads within the page").to_owned());
            }
            if let Some(labels) = attribute.strip_prefix("aria-labelledby=\"") {
                wanted.extend(labels.trim_end_matches('"').split(' ').map(str::to_owned));
            }
            assert!(!attribute.starts_with("on"), "<{tag}>");
        }
        if name == "th" && !tag.starts_with('/') {
            assert!(tag.contains("scope="), "<{tag}>");
        }
    }
    assert!(open.is_empty(), "{open:?}");
    for id in &wanted {
        assert!(ids.contains(id), "`{id}` is nowhere");
    }
    let n_ids = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), n_ids, "an id is used twice");
}

/// Returns the words of a page, a line for each run of text.
fn words(html: &str) -> String {
    let body = html.split_once("</style>").unwrap().1;
    let mut out = String::new();
    for piece in body.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap();
        let cell = ["td", "th", "dt", "dd", "text"].iter().any(|name| tag.starts_with(name));
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if tag.starts_with("tr")
            || tag.starts_with("/thead")
            || tag.starts_with('h')
            || tag.starts_with('p')
            || tag.starts_with("li")
            || tag.starts_with("rect class=\"ground")
            || tag.starts_with("summary")
            || tag.starts_with("div")
        {
            out.push('\n');
        }
        if !text.is_empty() {
            out.push_str(if cell && !out.ends_with('\n') { " | " } else { " " });
            out.push_str(&text);
        }
    }
    out.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_summary_reads_well() {
    let html = page(&rows(sites(150), 3));
    if let Some(path) = std::env::var_os("VIGIE_SUMMARY_SAMPLE") {
        std::fs::write(path, &html).unwrap();
    }
    insta::assert_snapshot!(words(&html));
}

#[test]
fn a_campaign_that_has_only_begun_says_so() {
    let begun = vec![SiteRow { url: "https://a.test/".to_owned(), ..SiteRow::default() }];
    let html = page(&rows(begun, 1));
    assert!(html.contains("The campaign is not finished: 1 inspection is still to come."));
    assert!(html.contains("No site was inspected, so there is nothing to count yet."));
    assert!(!html.contains("NaN") && !html.contains("id=\"repeats\""));
}

#[test]
fn denominators_hold_only_those_of_whom_it_is_known() {
    let site = |accept, refuse, verdicts: Vec<(u16, Verdict)>| SiteRow {
        outcome: Some(Outcome::Inspected),
        accept_first_layer: Some(accept),
        refuse_first_layer: Some(refuse),
        verdicts,
        ..SiteRow::default()
    };
    let sites = vec![
        site(true, false, vec![(2, Breach), (3, Inconclusive)]),
        site(true, true, vec![(2, Conform), (3, NotApplicable)]),
        site(false, false, vec![(2, Conform), (3, Inconclusive)]),
        site(false, true, vec![(2, NotApplicable), (3, NotApplicable)]),
    ];
    let answers = Answers { sites, rules: rules() };
    let seen = measures::inspected(&answers.sites);
    let share = |at: usize| {
        let share = measures::share(&measures::MEASURES[at], &seen, &measures::Rules::of(&answers));
        (share.n, share.of)
    };
    assert_eq!(share(0), (1, 2), "no refusal, of those that can be accepted there");
    assert_eq!(share(2), (0, 0), "none was watched untouched");
    assert_eq!(share(5), (1, 2), "one breach, one conform; the others are not known");
}

#[test]
fn a_way_that_could_not_be_looked_for_is_not_one_that_is_missing() {
    let rules = vec![RuleName { id: "CK-30".to_owned(), title: String::new() }];
    let site = |withdraw, verdict| SiteRow {
        outcome: Some(Outcome::Inspected),
        clicks: [Some(1), Some(1), withdraw],
        verdicts: vec![(0, verdict)],
        ..SiteRow::default()
    };
    let sites = vec![site(Some(1), Conform), site(None, Breach), site(None, Inconclusive)];
    let answers = Answers { sites, rules };
    let (seen, rules) = (measures::inspected(&answers.sites), measures::Rules::of(&answers));
    let count = measures::clicks(2, &seen, &rules);
    assert_eq!((count.found, count.of, count.by_clicks[5]), (1, 2, 1));
    let share = measures::share(&measures::MEASURES[6], &seen, &rules);
    assert_eq!((share.n, share.of), (1, 2));
}

#[test]
fn what_the_list_says_cannot_change_the_page() {
    let hostile = "\"><script>alert(1)</script>";
    let mut all = sites(20);
    for site in &mut all {
        site.tags = vec![hostile.to_owned()];
        site.country = Some(hostile.to_owned());
        site.why = Some(hostile.to_owned());
    }
    let html = page(&rows(all, 2));
    assert!(!html.contains("<script") && html.contains("&#60;script"));
}

#[test]
fn thousands_of_sites_make_a_page_that_can_be_opened() {
    let html = page(&rows(sites(10_000), 1));
    assert!(html.len() < 2_000_000, "{} bytes", html.len());
}
