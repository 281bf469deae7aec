//! The page as the template sees it: its head, the verdict in numbers, the short account, and its parts.

use super::{
    findings::{self, Findings, Questions},
    layers::{self, Layers},
    method::{self, Gap, Method},
    paths::{self, Paths},
    pictures::{Gallery, Picture},
    stored::{self, Stored},
    words,
};
use crate::{
    evidence::{Evidence, Outcome},
    wire::Inspection,
};
use askama::Template;
use vigie_domain::{Scenario, Severity, Verdict};

/// The whole page.
#[derive(Template)]
#[template(path = "report.html")]
pub struct Page {
    /// The site's host.
    pub host: String,
    /// The address asked for.
    pub requested_url: String,
    /// The address of the first page, where it is another.
    pub final_url: Option<String>,
    /// When it began, for people and for machines.
    pub started: (String, String),
    /// The program's name and version.
    pub program: String,
    /// The browser's name and version.
    pub browser: String,
    /// How it ended, in a sentence.
    pub outcome: String,
    /// Whether the page was seen. If not, nothing else is said.
    pub inspected: bool,
    /// The verdict in numbers.
    pub numbers: Vec<Number>,
    /// The short account.
    pub short: Vec<String>,
    /// Saying yes and saying no.
    pub paths: Paths,
    /// Whether a banner was seen.
    pub banner_seen: bool,
    /// The banner's layers.
    pub layers: Layers,
    /// What was stored and sent.
    pub stored: Stored,
    /// The findings.
    pub findings: Findings,
    /// What to ask the controller.
    pub questions: Questions,
    /// What was not observed.
    pub gaps: Vec<Gap>,
    /// How it was done.
    pub method: Method,
    /// The bundle and its hash.
    pub bundle: Option<(String, String)>,
    /// The pictures that are shown.
    pub pictures: Vec<Picture>,
    /// Whether a breach rests on a judgement of words, looks or lists.
    pub any_uncertain: bool,
}

/// A large figure.
pub struct Number {
    /// The figure.
    pub figure: usize,
    /// What it counts.
    pub title: &'static str,
    /// What that means.
    pub meaning: String,
    /// For the style.
    pub tone: &'static str,
}

/// Returns the page.
pub fn page(evidence: &Evidence, document: &Inspection, read: &dyn Fn(&str) -> Option<Vec<u8>>) -> Page {
    let mut gallery = Gallery::new(read);
    let inspected = document.outcome == Outcome::Inspected;
    let stored = stored::view(evidence, document);
    let paths = paths::view(evidence, &mut gallery);
    let layers = layers::view(evidence, &mut gallery);
    let findings = findings::view(evidence, document, &mut gallery);
    let site = &evidence.site;
    Page {
        host: if site.host.is_empty() { site.requested_url.clone() } else { site.host.clone() },
        requested_url: site.requested_url.clone(),
        final_url: (site.final_url != site.requested_url && !site.final_url.is_empty()).then(|| site.final_url.clone()),
        started: (
            evidence.started_at.strftime("%-d %B %Y, %H:%M UTC").to_string(),
            evidence.started_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        ),
        program: evidence.environment.program.clone(),
        browser: evidence.environment.browser.clone(),
        outcome: outcome(evidence, document),
        inspected,
        numbers: numbers(document),
        short: short(evidence, document, &paths, &stored),
        banner_seen: !evidence.first_layer.is_empty(),
        questions: findings::questions(document, &stored),
        any_uncertain: findings::any_uncertain(document),
        gaps: method::gaps(evidence),
        method: method::view(evidence),
        bundle: document.evidence.as_ref().map(|bundle| (bundle.bundle.clone(), bundle.sha256.clone())),
        // Without an inspection no picture is shown, so none needs to be carried.
        pictures: if inspected { gallery.pictures } else { Vec::new() },
        paths,
        layers,
        stored,
        findings,
    }
}

fn outcome(evidence: &Evidence, document: &Inspection) -> String {
    let why = evidence.why.as_deref().map_or(String::new(), |why| format!(": {}", why.trim_end_matches('.')));
    match document.outcome {
        Outcome::Inspected => {
            let n_breaches = count(document, Verdict::Breach);
            match n_breaches {
                0 => "The site was inspected. No test that could be made gave rise to a finding.".to_owned(),
                1 => "The site was inspected. One test gave rise to a finding.".to_owned(),
                n => format!("The site was inspected. {n} tests gave rise to a finding each."),
            }
        }
        Outcome::Blocked => {
            format!("Not inspected: the site did not let the browser in{why}. Nothing is said here about its banner.")
        }
        Outcome::Unreachable => {
            format!("Not inspected: the site could not be reached{why}. Nothing is said here about its banner.")
        }
        Outcome::Failed => {
            format!("Not inspected: the inspection broke off{why}. Nothing is said here about the site's banner.")
        }
    }
}

fn count(document: &Inspection, verdict: Verdict) -> usize {
    document.findings.iter().filter(|finding| finding.verdict == verdict && findings::is_judged(finding)).count()
}

fn numbers(document: &Inspection) -> Vec<Number> {
    let severities = [Severity::Blocking, Severity::Major, Severity::Minor, Severity::Information];
    let by_severity: Vec<String> = severities
        .into_iter()
        .filter_map(|severity| {
            let of =
                |finding: &&vigie_domain::Finding| finding.verdict == Verdict::Breach && finding.severity == severity;
            let n = document.findings.iter().filter(of).count();
            (n > 0).then(|| format!("{n} {}", words::severity(severity)))
        })
        .collect();
    let n_breaches = count(document, Verdict::Breach);
    let n_conform = count(document, Verdict::Conform);
    let breaches = if by_severity.is_empty() {
        "nothing was seen that a test excludes".to_owned()
    } else {
        by_severity.join(", ")
    };
    let number = |figure, title, meaning: &str, tone| Number { figure, title, meaning: meaning.to_owned(), tone };
    vec![
        number(n_breaches, if n_breaches == 1 { "breach" } else { "breaches" }, &breaches, "breach"),
        number(count(document, Verdict::Inconclusive), "inconclusive", "the test could not be made", "inconclusive"),
        number(n_conform, "conform", "the test was made and held", "conform"),
        number(count(document, Verdict::NotApplicable), "not applicable", "the test has no object here", "none"),
    ]
}

/// The facts of the case in at most six sentences. Only what was observed; each can be found again further down.
fn short(evidence: &Evidence, document: &Inspection, paths: &Paths, stored: &Stored) -> Vec<String> {
    let mut sentences = Vec::new();
    if let Some(first) = evidence.first_layer.first() {
        let language = first.surface.language.as_deref().map(|code| format!(" in {}", words::language(code)));
        let tool = first.surface.cmp.as_deref().map(|cmp| format!(", made with {cmp}"));
        sentences.push(format!(
            "A consent banner{} was shown{}.",
            language.unwrap_or_default(),
            tool.unwrap_or_default()
        ));
    } else {
        sentences.push("No consent banner was seen on the first page.".to_owned());
    }
    if !evidence.first_layer.is_empty() {
        let say = |path: &paths::Path| {
            path.clicks.map_or_else(|| "no way was found".to_owned(), |n| words::count(n, "click", "clicks"))
        };
        sentences.push(format!(
            "Accepting everything: {}. Refusing everything: {}. Withdrawing: {}.",
            say(&paths.accept),
            say(&paths.refuse),
            say(&paths.withdraw),
        ));
    }
    for (scenario, when) in
        [(Scenario::S0, "Before any choice"), (Scenario::S1, "After refusing"), (Scenario::S3, "After withdrawing")]
    {
        if let Some(state) = stored.state(scenario) {
            sentences.push(match (state.n_need_consent, state.n_trackers) {
                (0, 0) => format!("{when}, nothing was seen that is known to need consent."),
                (n_stored, n_hosts) => format!(
                    "{when}: {} stored, {} contacted.",
                    words::count(n_stored, "thing that needs consent", "things that need consent"),
                    words::count(n_hosts, "host of trackers", "hosts of trackers"),
                ),
            });
        }
    }
    match document.preticked.len() {
        0 => {}
        1 => sentences.push("One switch for a purpose that needs consent was on from the start.".to_owned()),
        n => sentences.push(format!("{n} switches for purposes that need consent were on from the start.")),
    }
    sentences
}
