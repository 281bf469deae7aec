//! How it was done, and what could not be observed.

use super::{language::Language, words};
use crate::evidence::{Evidence, Outcome};
use vigie_domain::record::{EventKind, VisitEnd};

/// How the inspection was carried out.
pub struct Method {
    /// Facts about machine and program: name and value.
    pub facts: Vec<(&'static str, String)>,
    /// The scenarios, in words.
    pub scenarios: Vec<(String, &'static str)>,
    /// The visits that played them.
    pub visits: Vec<VisitView>,
}

/// One visit.
pub struct VisitView {
    /// Its name.
    pub name: String,
    /// When it began.
    pub started: String,
    /// The viewport.
    pub viewport: String,
    /// HTTP status of the first page, in words.
    pub status: String,
    /// How many events it recorded.
    pub n_events: usize,
    /// How it ended.
    pub end: String,
}

/// One thing that was not observed.
pub struct Gap {
    /// The visit; empty for the inspection as a whole.
    pub visit: String,
    /// What, as a sentence.
    pub what: String,
    /// Whether the sentence is the inspection's own, which is English.
    pub english: bool,
}

/// Returns how it was done.
pub fn view(t: Language, evidence: &Evidence) -> Method {
    let environment = &evidence.environment;
    let (width, height) = environment.viewport;
    let patience = match environment.patience.as_str() {
        "standard" => t.say("standard: until no request, no write and no short timer had been seen for a while"),
        "thorough" => t.say("thorough: 15 seconds beyond the last request"),
        other => other,
    };
    let arguments = match environment.browser_arguments.as_slice() {
        [] => t.say("none besides our own").to_owned(),
        some => some.join(" "),
    };
    let certificates = if environment.certificates_ignored {
        t.say("those that do not verify were accepted, on request: the identity of the hosts is not established")
    } else {
        t.say("verified by the browser")
    };
    let machine = &environment.machine;
    let unknown = || t.say("not known").to_owned();
    let resolved =
        if machine.resolved.is_empty() { t.say("no address").to_owned() } else { machine.resolved.join(", ") };
    let clock = machine.clock.map_or_else(
        || t.say("no server stated the time").to_owned(),
        |clock| {
            let sign = if clock.offset_s < 0.0 { "−" } else { "+" };
            let offset = format!("{sign}{}", t.decimal(clock.offset_s.abs(), 1));
            t.fill(
                "{offset} s, the median of what {n} hosts stated (to the second)",
                &[("offset", &offset), ("n", &clock.hosts.to_string())],
            )
        },
    );
    Method {
        facts: vec![
            (t.say("Observed by"), machine.observed_by.clone().unwrap_or_else(unknown)),
            (t.say("Program"), environment.program.clone()),
            (t.say("SHA-256 of the program"), machine.program_sha256.clone().unwrap_or_else(unknown)),
            (t.say("System"), machine.system.clone().unwrap_or_else(unknown)),
            (t.say("Address of this machine towards the site"), machine.local_address.clone().unwrap_or_else(unknown)),
            (t.say("The machine's resolver gave for the host"), resolved),
            (t.say("Clocks of the servers against ours"), clock),
            (t.say("Browser"), environment.browser.clone()),
            (t.say("Further browser arguments"), arguments),
            (t.say("Certificates"), certificates.to_owned()),
            (t.say("Locale given to the site"), environment.locale.clone()),
            (t.say("Viewport"), t.fill("{size} CSS pixels", &[("size", &format!("{width} × {height}"))])),
            (t.say("Patience"), patience.to_owned()),
            (t.say("Time needed"), words::elapsed(evidence.elapsed_s)),
        ],
        scenarios: evidence
            .scenarios
            .iter()
            .map(|scenario| (scenario.to_string(), t.say(scenario.description())))
            .collect(),
        visits: evidence
            .visits
            .iter()
            .map(|visit| VisitView {
                name: visit.name.clone(),
                started: visit.started_at.strftime("%H:%M:%S").to_string(),
                viewport: format!("{} × {}", visit.viewport.0, visit.viewport.1),
                status: if visit.status == 0 { t.say("none").to_owned() } else { visit.status.to_string() },
                n_events: visit.events.len(),
                end: words::end(t, &visit.end),
            })
            .collect(),
    }
}

/// Returns what could not be observed.
pub fn gaps(t: Language, evidence: &Evidence) -> Vec<Gap> {
    let own = |what: String| Gap { visit: String::new(), what, english: true };
    let mut gaps: Vec<Gap> = evidence.gaps.iter().map(|gap| own(words::sentence(Language::English, gap))).collect();
    // Where the site was not seen at all, the reason at the head of the page says everything.
    if evidence.outcome == Outcome::Inspected {
        let phrase = if evidence.first_layer.is_empty() {
            t.say("Scenario {scenario} was not played, as no banner was seen: {what}.")
        } else {
            t.say("Scenario {scenario} was not played: {what}.")
        };
        let unplayed = evidence
            .scenarios
            .iter()
            .filter(|scenario| !evidence.visits.iter().any(|visit| visit.scenario == Some(**scenario)));
        gaps.extend(unplayed.map(|scenario| Gap {
            visit: String::new(),
            what: t.fill(phrase, &[("scenario", &scenario.to_string()), ("what", t.say(scenario.description()))]),
            english: false,
        }));
    }
    for visit in &evidence.visits {
        let mut note = |what: String, english: bool| gaps.push(Gap { visit: visit.name.clone(), what, english });
        if visit.end != VisitEnd::Completed {
            note(words::sentence(t, &words::end(t, &visit.end)), false);
        }
        visit.gaps.iter().for_each(|gap| note(words::sentence(Language::English, gap), true));
        for event in &visit.events {
            if let EventKind::Quiet { reached: false, waited_ms, because } = &event.kind {
                let because = because.as_ref().map_or(String::new(), |because| format!(" ({because})"));
                let seconds = t.decimal(*waited_ms as f64 / 1000.0, 1);
                let said = t.fill(
                    "The page did not become quiet within {seconds} s{because}; what came later is not seen.",
                    &[("seconds", &seconds), ("because", &because)],
                );
                note(said, false);
            }
        }
    }
    gaps
}
