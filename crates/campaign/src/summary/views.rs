//! The page as the template sees it.

use super::{
    Rows, SiteRow,
    charts::{self, Chart},
    measures::{self, CHOICES, MEASURES, Measure, OF_GROUPS, Rules},
};
use crate::{
    document::Outcome,
    repeats::{Flip, Rate},
    statistics::Share,
};
use askama::Template;

/// How many sites that were not inspected the page lists; all are counted.
const SITES_LISTED: usize = 2000;
/// How many groups a chart compares; the table has them all.
const GROUPS_DRAWN: usize = 15;

/// The whole page.
#[derive(Template)]
#[template(path = "summary.html")]
pub struct Page {
    pub n_sites: usize,
    pub lead: String,
    pub facts: Vec<(&'static str, String)>,
    pub numbers: Vec<Number>,
    pub short: Vec<String>,
    pub outcomes: Vec<ShareRow>,
    pub outcome_chart: Chart,
    pub not_inspected: Vec<NotInspected>,
    pub not_listed: usize,
    pub measures: Vec<ShareRow>,
    pub measure_chart: Chart,
    pub clicks: Vec<ClickRow>,
    pub click_charts: Vec<Chart>,
    pub rules: Vec<RuleRow>,
    pub rule_chart: Chart,
    pub kinds: Vec<Groups>,
    pub group_titles: Vec<&'static str>,
    pub repeats: Option<Repeats>,
    pub retry_rule: String,
    pub settings: Vec<(String, String)>,
    pub former: Vec<String>,
    pub program: &'static str,
}

/// A large figure.
pub struct Number {
    pub figure: String,
    pub title: &'static str,
    pub meaning: String,
    pub tone: &'static str,
}

/// A share in a table.
pub struct ShareRow {
    pub title: String,
    pub meaning: &'static str,
    pub n: usize,
    pub of: usize,
    pub share: String,
    pub interval: String,
}

/// A site without an inspection.
pub struct NotInspected {
    pub url: String,
    pub outcome: &'static str,
    pub why: String,
    pub attempts: u32,
}

/// The clicks to a choice.
pub struct ClickRow {
    pub choice: &'static str,
    pub median: String,
    pub found: usize,
    pub of: usize,
    pub by_clicks: [usize; 6],
}

/// A rule in a table.
pub struct RuleRow {
    pub id: String,
    pub title: String,
    pub breach: ShareRow,
    pub not_applicable: usize,
    pub inconclusive: usize,
}

/// Groups of one kind.
pub struct Groups {
    pub kind: &'static str,
    pub title: &'static str,
    pub rows: Vec<GroupRow>,
    pub charts: Vec<Chart>,
}

/// A group.
pub struct GroupRow {
    pub name: String,
    pub sites: usize,
    pub inspected: usize,
    pub shares: Vec<ShareRow>,
    pub medians: Vec<String>,
    pub rules: Vec<RuleRow>,
}

/// How repeats differ.
pub struct Repeats {
    pub times: u16,
    pub rules: RateRow,
    pub fields: Vec<RateRow>,
    pub by_rule: Vec<RateRow>,
    pub flips: Vec<Flip>,
    pub more: usize,
}

/// A rate in a table.
pub struct RateRow {
    pub title: String,
    pub flipped: usize,
    pub compared: usize,
    pub share: String,
}

/// Returns the page.
pub fn page(rows: &Rows) -> Page {
    let answers = &rows.answers;
    let rules = Rules::of(answers);
    let all: Vec<&SiteRow> = answers.sites.iter().collect();
    let seen = measures::inspected(all.iter().copied());
    let of_measure = |measure: &Measure| measures::share(measure, &seen, &rules);
    let shares: Vec<Share> = MEASURES.iter().map(of_measure).collect();
    let outcome = |wanted: Option<Outcome>| all.iter().filter(|site| site.outcome == wanted).count();
    let outcome_counts: Vec<(String, usize)> = Outcome::ALL
        .into_iter()
        .map(|one| (one.word().to_owned(), outcome(Some(one))))
        .chain([("not yet".to_owned(), outcome(None))])
        .filter(|(word, count)| *count > 0 || word != "not yet")
        .collect();
    let click_counts: Vec<_> = (0..CHOICES.len()).map(|choice| measures::clicks(choice, &seen, &rules)).collect();
    let rule_rows = rule_rows(rows, &seen);
    let judged = |row: &&RuleRow| row.breach.of > 0;
    let rule_chart = charts::shares(
        "chart-rules".to_owned(),
        "Share of sites with a breach, by rule".to_owned(),
        &rule_rows
            .iter()
            .filter(judged)
            .map(|row| (format!("{} {}", row.id, row.title), Share { n: row.breach.n, of: row.breach.of }))
            .map(|(label, share)| (shortened(&label, 38), share))
            .collect::<Vec<_>>(),
    );
    let missing: Vec<&&SiteRow> =
        all.iter().filter(|site| site.outcome.is_some_and(|outcome| outcome != Outcome::Inspected)).collect();
    Page {
        n_sites: all.len(),
        lead: lead(&all, &seen, rows),
        facts: facts(rows),
        numbers: numbers(&all, &seen, &shares, &click_counts),
        short: short(&shares, &click_counts),
        outcome_chart: charts::counts(
            "chart-outcomes".to_owned(),
            "Sites by outcome".to_owned(),
            &outcome_counts,
            all.len(),
        ),
        outcomes: outcome_counts
            .iter()
            .map(|(word, count)| share_row(word.clone(), outcome_meaning(word), Share { n: *count, of: all.len() }))
            .collect(),
        not_listed: missing.len().saturating_sub(SITES_LISTED),
        not_inspected: missing.into_iter().take(SITES_LISTED).map(|site| not_inspected(site)).collect(),
        measure_chart: charts::shares(
            "chart-measures".to_owned(),
            "Shares of sites, with their 95 % intervals".to_owned(),
            &MEASURES.iter().map(|measure| measure.title.to_owned()).zip(shares.iter().copied()).collect::<Vec<_>>(),
        ),
        measures: MEASURES
            .iter()
            .zip(&shares)
            .map(|(measure, share)| share_row(measure.title.to_owned(), measure.meaning, *share))
            .collect(),
        click_charts: CHOICES
            .iter()
            .zip(&click_counts)
            .map(|(choice, count)| {
                let labels = ["1 click", "2 clicks", "3 clicks", "4 clicks", "5 or more", "no way found"];
                let rows: Vec<_> = labels.map(str::to_owned).into_iter().zip(count.by_clicks).collect();
                charts::counts(format!("chart-{choice}"), format!("Clicks to {choice}"), &rows, count.of)
            })
            .collect(),
        clicks: CHOICES
            .iter()
            .zip(&click_counts)
            .map(|(choice, count)| ClickRow {
                choice,
                median: median_shown(count.median),
                found: count.found,
                of: count.of,
                by_clicks: count.by_clicks,
            })
            .collect(),
        rules: rule_rows,
        rule_chart,
        kinds: kinds(rows, &rules),
        group_titles: OF_GROUPS.iter().map(|at| MEASURES[*at].short).collect(),
        repeats: repeats(rows),
        retry_rule: rows.facts.settings.retry.to_string(),
        settings: rows.facts.settings.by_name().into_iter().collect(),
        former: rows
            .facts
            .former_settings
            .iter()
            .map(|(former, finished)| {
                let differing = former.differences(&rows.facts.settings);
                let each: Vec<_> =
                    differing.iter().map(|one| format!("{} was {}, is {}", one.name, one.stored, one.wanted)).collect();
                format!("Until {finished} inspections were finished: {}", each.join("; "))
            })
            .collect(),
        program: concat!("vigie ", env!("CARGO_PKG_VERSION")),
    }
}

fn lead(all: &[&SiteRow], seen: &[&SiteRow], rows: &Rows) -> String {
    let open = rows.facts.counts.open;
    let state = if open == 0 {
        String::new()
    } else {
        format!(
            " The campaign is not finished: {open} {} still to come.",
            plural(open, "inspection is", "inspections are")
        )
    };
    format!(
        "{} of {} {} inspected ({}).{state}",
        seen.len(),
        all.len(),
        plural(all.len(), "site was", "sites were"),
        percent(Share { n: seen.len(), of: all.len() }.value())
    )
}

fn facts(rows: &Rows) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some((first, last)) = rows.facts.finished_ms {
        let (first, last) = (day(first), day(last));
        facts.push(("When", if first == last { first } else { format!("{first} to {last}") }));
    }
    let times = rows.facts.settings.repeats.get();
    facts.push(("Repeats", if times == 1 { "each site once".to_owned() } else { format!("each site {times} times") }));
    facts.push(("Campaign", rows.facts.id.clone()));
    facts
}

fn day(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| "?".to_owned(), |at| at.strftime("%-d %B %Y").to_string())
}

fn numbers(all: &[&SiteRow], seen: &[&SiteRow], shares: &[Share], clicks: &[measures::ClickCount]) -> Vec<Number> {
    let share = |at: usize, title| Number {
        figure: percent(shares[at].value()),
        title,
        meaning: format!("{} of {} sites; 95\u{a0}%: {}", shares[at].n, shares[at].of, interval(shares[at])),
        tone: "breach",
    };
    vec![
        Number {
            figure: seen.len().to_string(),
            title: "sites inspected",
            meaning: format!("of {} on the list", all.len()),
            tone: "none",
        },
        share(0, "without refusal on the first layer"),
        share(2, "with trackers before any choice"),
        share(5, "whose refusal is not kept"),
        Number {
            figure: clicks.iter().map(|count| median_shown(count.median)).collect::<Vec<_>>().join(" / "),
            title: "clicks to accept / refuse / withdraw",
            meaning: format!(
                "medians, of {} / {} / {} sites where a way was found",
                clicks[0].found, clicks[1].found, clicks[2].found
            ),
            tone: "none",
        },
    ]
}

fn short(shares: &[Share], clicks: &[measures::ClickCount]) -> Vec<String> {
    let said = |at: usize, what: &str| {
        let share = shares[at];
        (share.of > 0).then(|| {
            format!(
                "{} of {} {} {what}: {} (95\u{a0}% interval {}).",
                share.n,
                share.of,
                plural(share.of, "site", "sites"),
                percent(share.value()),
                interval(share)
            )
        })
    };
    let mut sentences: Vec<String> = [
        said(0, "that can be accepted on the first layer cannot be refused there"),
        said(1, "take more clicks to refuse than to accept, or show no way to refuse"),
        said(2, "asked or stored trackers before any choice"),
        said(5, "went on writing or reading trackers after a refusal"),
        said(6, "take more clicks to withdraw than to accept, or show no way to withdraw"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if clicks[0].found > 0 {
        sentences.push(format!(
            "The median site takes {} to accept, {} to refuse and {} to withdraw, where a way was found ({}, {} and {} \
             sites).",
            in_clicks(clicks[0].median),
            in_clicks(clicks[1].median),
            in_clicks(clicks[2].median),
            clicks[0].found,
            clicks[1].found,
            clicks[2].found,
        ));
    }
    sentences
}

fn outcome_meaning(word: &str) -> &'static str {
    match Outcome::from_word(word) {
        Some(Outcome::Inspected) => "The page was seen as a visitor sees it.",
        Some(Outcome::Blocked) => "A captcha, a wall of a delivery network, or 401, 403 or 451.",
        Some(Outcome::Unreachable) => "Nobody answered.",
        Some(Outcome::Failed) => "The inspection itself failed.",
        None => "Still to be inspected.",
    }
}

fn not_inspected(site: &SiteRow) -> NotInspected {
    NotInspected {
        url: site.url.clone(),
        outcome: site.outcome.map_or("not yet", Outcome::word),
        why: site.why.clone().unwrap_or_default(),
        attempts: site.attempts,
    }
}

fn rule_rows(rows: &Rows, sites: &[&SiteRow]) -> Vec<RuleRow> {
    let counts = measures::verdicts(rows.answers.rules.len(), sites);
    let named = rows.answers.rules.iter().zip(counts);
    named
        .map(|(rule, count)| RuleRow {
            id: rule.id.clone(),
            title: rule.title.clone(),
            breach: share_row(String::new(), "", count.breach),
            not_applicable: count.not_applicable,
            inconclusive: count.inconclusive,
        })
        .collect()
}

fn kinds(rows: &Rows, rules: &Rules<'_>) -> Vec<Groups> {
    let titles = ["By country", "By tag"];
    let kinds = measures::groups(&rows.answers).into_iter().zip(titles).filter(|((_, groups), _)| !groups.is_empty());
    kinds
        .map(|((kind, groups), title)| {
            let of_group = |at: usize, sites: &[&SiteRow]| {
                measures::share(&MEASURES[at], &measures::inspected(sites.iter().copied()), rules)
            };
            let charts = OF_GROUPS
                .iter()
                .filter(|at| **at != 1)
                .map(|at| {
                    let drawn: Vec<_> = groups
                        .iter()
                        .take(GROUPS_DRAWN)
                        .map(|(name, sites)| (shortened(name, 30), of_group(*at, sites)))
                        .collect();
                    charts::shares(format!("chart-{kind}-{at}"), format!("{}, by {kind}", MEASURES[*at].title), &drawn)
                })
                .filter(|chart| !chart.bars.is_empty())
                .collect();
            let rows = groups.iter().map(|(name, sites)| group_row(rows, rules, name, sites)).collect();
            Groups { kind, title, rows, charts }
        })
        .collect()
}

fn group_row(rows: &Rows, rules: &Rules<'_>, name: &str, sites: &[&SiteRow]) -> GroupRow {
    let seen = measures::inspected(sites.iter().copied());
    GroupRow {
        name: name.to_owned(),
        sites: sites.len(),
        inspected: seen.len(),
        shares: OF_GROUPS
            .iter()
            .map(|at| share_row(MEASURES[*at].title.to_owned(), "", measures::share(&MEASURES[*at], &seen, rules)))
            .collect(),
        medians: (0..CHOICES.len())
            .map(|choice| {
                let count = measures::clicks(choice, &seen, rules);
                format!("{} ({})", median_shown(count.median), count.found)
            })
            .collect(),
        rules: rule_rows(rows, &seen).into_iter().filter(|row| row.breach.of > 0).collect(),
    }
}

fn repeats(rows: &Rows) -> Option<Repeats> {
    let is_rule = |question: &str| question.starts_with("CK-");
    let flips = &rows.flips;
    let times = rows.facts.settings.repeats.get();
    if times < 2 && flips.by_question.is_empty() {
        return None;
    }
    let row = |title: &str, rate: Rate| RateRow {
        title: title.to_owned(),
        flipped: rate.flipped,
        compared: rate.compared,
        share: percent(Share { n: rate.flipped, of: rate.compared }.value()),
    };
    let of = |wanted: bool| {
        let questions = flips.by_question.iter().filter(move |(question, _)| is_rule(question) == wanted);
        questions.map(|(question, rate)| row(question, *rate))
    };
    Some(Repeats {
        times,
        rules: row("all rules", flips.rate(is_rule)),
        fields: of(false).collect(),
        by_rule: of(true).filter(|rate| rate.flipped > 0).collect(),
        more: flips.rate(|_| true).flipped - flips.listed.len(),
        flips: flips.listed.clone(),
    })
}

fn share_row(title: String, meaning: &'static str, share: Share) -> ShareRow {
    ShareRow { title, meaning, n: share.n, of: share.of, share: percent(share.value()), interval: interval(share) }
}

/// Returns a share in per cent, with one decimal, on one line; `–` of nothing.
pub fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.1}\u{a0}%", share * 100.0))
}

fn interval(share: Share) -> String {
    share
        .interval()
        .map_or_else(|| "–".to_owned(), |(low, high)| format!("{:.1} to {:.1}\u{a0}%", low * 100.0, high * 100.0))
}

fn median_shown(median: Option<f64>) -> String {
    median.map_or_else(|| "–".to_owned(), |median| format!("{median}"))
}

fn in_clicks(median: Option<f64>) -> String {
    match median {
        None => "no known number of clicks".to_owned(),
        Some(1.0) => "1 click".to_owned(),
        Some(median) => format!("{median} clicks"),
    }
}

fn plural(n: usize, one: &'static str, several: &'static str) -> &'static str {
    if n == 1 { one } else { several }
}

fn shortened(text: &str, at_most: usize) -> String {
    if text.chars().count() <= at_most {
        return text.to_owned();
    }
    let cut: String = text.chars().take(at_most - 1).collect();
    format!("{}…", cut.trim_end())
}
