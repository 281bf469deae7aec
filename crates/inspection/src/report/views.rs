//! The page as the template sees it: its head, the verdict in numbers, the short account, and its parts.

use super::{
    findings::{self, Findings, Questions},
    language::Language,
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
    /// The language it is written in.
    pub t: Language,
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
pub fn page(t: Language, evidence: &Evidence, document: &Inspection, read: &dyn Fn(&str) -> Option<Vec<u8>>) -> Page {
    let mut gallery = Gallery::new(t, read);
    let inspected = document.outcome == Outcome::Inspected;
    let stored = stored::view(t, evidence, document);
    let paths = paths::view(t, evidence, &mut gallery);
    let layers = layers::view(t, evidence, &mut gallery);
    let findings = findings::view(t, evidence, document, &mut gallery);
    let site = &evidence.site;
    Page {
        t,
        host: if site.host.is_empty() { site.requested_url.clone() } else { site.host.clone() },
        requested_url: site.requested_url.clone(),
        final_url: (site.final_url != site.requested_url && !site.final_url.is_empty()).then(|| site.final_url.clone()),
        started: (t.moment(evidence.started_at), evidence.started_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        program: evidence.environment.program.clone(),
        browser: evidence.environment.browser.clone(),
        outcome: outcome(t, evidence, document),
        inspected,
        numbers: numbers(t, document),
        short: short(t, evidence, document, &paths, &stored),
        banner_seen: !evidence.first_layer.is_empty(),
        questions: findings::questions(document, &stored),
        any_uncertain: findings::any_uncertain(document),
        gaps: method::gaps(t, evidence),
        method: method::view(t, evidence),
        bundle: document.evidence.as_ref().map(|bundle| (bundle.bundle.clone(), bundle.sha256.clone())),
        // Without an inspection no picture is shown, so none needs to be carried.
        pictures: if inspected { gallery.pictures } else { Vec::new() },
        paths,
        layers,
        stored,
        findings,
    }
}

fn outcome(t: Language, evidence: &Evidence, document: &Inspection) -> String {
    let why =
        evidence.why.as_deref().map_or(String::new(), |why| format!("{} {}", t.say(":"), why.trim_end_matches('.')));
    match document.outcome {
        Outcome::Inspected => {
            let n_breaches = count(document, Verdict::Breach);
            match n_breaches {
                0 => t.say("The site was inspected. No test that could be made gave rise to a finding.").to_owned(),
                1 => t.say("The site was inspected. One test gave rise to a finding.").to_owned(),
                n => t.fill("The site was inspected. {n} tests gave rise to a finding each.", &[("n", &n.to_string())]),
            }
        }
        Outcome::Blocked => t.fill(
            "Not inspected: the site did not let the browser in{why}. Nothing is said here about its banner.",
            &[("why", &why)],
        ),
        Outcome::Unreachable => t.fill(
            "Not inspected: the site could not be reached{why}. Nothing is said here about its banner.",
            &[("why", &why)],
        ),
        Outcome::Failed => t.fill(
            "Not inspected: the inspection broke off{why}. Nothing is said here about the site's banner.",
            &[("why", &why)],
        ),
    }
}

fn count(document: &Inspection, verdict: Verdict) -> usize {
    document.findings.iter().filter(|finding| finding.verdict == verdict && findings::is_judged(finding)).count()
}

fn numbers(t: Language, document: &Inspection) -> Vec<Number> {
    let severities = [Severity::Blocking, Severity::Major, Severity::Minor, Severity::Information];
    let by_severity: Vec<String> = severities
        .into_iter()
        .filter_map(|severity| {
            let of =
                |finding: &&vigie_domain::Finding| finding.verdict == Verdict::Breach && finding.severity == severity;
            let n = document.findings.iter().filter(of).count();
            (n > 0)
                .then(|| t.fill("{n} {severity}", &[("n", &n.to_string()), ("severity", words::severity(t, severity))]))
        })
        .collect();
    let n_breaches = count(document, Verdict::Breach);
    let n_conform = count(document, Verdict::Conform);
    let breaches = if by_severity.is_empty() {
        t.say("nothing was seen that a test excludes").to_owned()
    } else {
        by_severity.join(", ")
    };
    let number = |figure, title, meaning: &str, tone| Number { figure, title, meaning: meaning.to_owned(), tone };
    vec![
        number(n_breaches, if t.is_one(n_breaches) { t.say("breach") } else { t.say("breaches") }, &breaches, "breach"),
        number(
            count(document, Verdict::Inconclusive),
            t.say("inconclusive"),
            t.say("the test could not be made"),
            "inconclusive",
        ),
        number(n_conform, t.say("conform"), t.say("the test was made and held"), "conform"),
        number(
            count(document, Verdict::NotApplicable),
            t.say("not applicable"),
            t.say("the test has no object here"),
            "none",
        ),
    ]
}

/// The facts of the case in at most six sentences. Only what was observed; each can be found again further down.
fn short(t: Language, evidence: &Evidence, document: &Inspection, paths: &Paths, stored: &Stored) -> Vec<String> {
    let mut sentences = Vec::new();
    if let Some(first) = evidence.first_layer.first() {
        let language = first
            .surface
            .language
            .as_deref()
            .map(|code| t.fill(" in {language}", &[("language", &words::language(t, code))]));
        let tool = first.surface.cmp.as_deref().map(|cmp| t.fill(", made with {cmp}", &[("cmp", cmp)]));
        sentences.push(t.fill(
            "A consent banner{language} was shown{tool}.",
            &[("language", &language.unwrap_or_default()), ("tool", &tool.unwrap_or_default())],
        ));
    } else {
        sentences.push(t.say("No consent banner was seen on the first page.").to_owned());
    }
    if !evidence.first_layer.is_empty() {
        let say = |path: &paths::Path| {
            path.clicks.map_or_else(|| t.say("no way was found").to_owned(), |n| t.count(n, "click", "clicks"))
        };
        sentences.push(t.fill(
            "Accepting everything: {accept}. Refusing everything: {refuse}. Withdrawing: {withdraw}.",
            &[("accept", &say(&paths.accept)), ("refuse", &say(&paths.refuse)), ("withdraw", &say(&paths.withdraw))],
        ));
    }
    for (scenario, when) in [
        (Scenario::S0, t.say("Before any choice")),
        (Scenario::S1, t.say("After refusing")),
        (Scenario::S3, t.say("After withdrawing")),
    ] {
        if let Some(state) = stored.state(scenario) {
            sentences.push(match (state.n_need_consent, state.n_trackers) {
                (0, 0) => t.fill("{when}, nothing was seen that is known to need consent.", &[("when", when)]),
                (n_stored, n_hosts) => t.fill(
                    "{when}: {things} stored, {hosts} contacted.",
                    &[
                        ("when", when),
                        ("things", &t.count(n_stored, "thing that needs consent", "things that need consent")),
                        ("hosts", &t.count(n_hosts, "host of trackers", "hosts of trackers")),
                    ],
                ),
            });
        }
    }
    match document.preticked.len() {
        0 => {}
        1 => sentences.push(t.say("One switch for a purpose that needs consent was on from the start.").to_owned()),
        n => sentences.push(
            t.fill("{n} switches for purposes that need consent were on from the start.", &[("n", &n.to_string())]),
        ),
    }
    sentences
}
