//! How it was done, and what could not be observed.

use super::words;
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
}

/// Returns how it was done.
pub fn view(evidence: &Evidence) -> Method {
    let environment = &evidence.environment;
    let (width, height) = environment.viewport;
    let patience = match environment.patience.as_str() {
        "standard" => "standard: until no request, no write and no short timer had been seen for a while",
        "thorough" => "thorough: 15 seconds beyond the last request",
        other => other,
    };
    let arguments = match environment.browser_arguments.as_slice() {
        [] => "none besides our own".to_owned(),
        some => some.join(" "),
    };
    let certificates = if environment.certificates_ignored {
        "those that do not verify were accepted, on request: the identity of the hosts is not established"
    } else {
        "verified by the browser"
    };
    let machine = &environment.machine;
    let unknown = || "not known".to_owned();
    let resolved = if machine.resolved.is_empty() { "no address".to_owned() } else { machine.resolved.join(", ") };
    let clock = machine.clock.map_or_else(
        || "no server stated the time".to_owned(),
        |clock| format!("{:+.1} s, the median of what {} hosts stated (to the second)", clock.offset_s, clock.hosts),
    );
    Method {
        facts: vec![
            ("Observed by", machine.observed_by.clone().unwrap_or_else(unknown)),
            ("Program", environment.program.clone()),
            ("SHA-256 of the program", machine.program_sha256.clone().unwrap_or_else(unknown)),
            ("System", machine.system.clone().unwrap_or_else(unknown)),
            ("Address of this machine towards the site", machine.local_address.clone().unwrap_or_else(unknown)),
            ("The machine's resolver gave for the host", resolved),
            ("Clocks of the servers against ours", clock),
            ("Browser", environment.browser.clone()),
            ("Further browser arguments", arguments),
            ("Certificates", certificates.to_owned()),
            ("Locale given to the site", environment.locale.clone()),
            ("Viewport", format!("{width} × {height} CSS pixels")),
            ("Patience", patience.to_owned()),
            ("Time needed", words::elapsed(evidence.elapsed_s)),
        ],
        scenarios: evidence.scenarios.iter().map(|scenario| (scenario.to_string(), scenario.description())).collect(),
        visits: evidence
            .visits
            .iter()
            .map(|visit| VisitView {
                name: visit.name.clone(),
                started: visit.started_at.strftime("%H:%M:%S").to_string(),
                viewport: format!("{} × {}", visit.viewport.0, visit.viewport.1),
                status: if visit.status == 0 { "none".to_owned() } else { visit.status.to_string() },
                n_events: visit.events.len(),
                end: words::end(&visit.end),
            })
            .collect(),
    }
}

/// Returns what could not be observed.
pub fn gaps(evidence: &Evidence) -> Vec<Gap> {
    let whole = |what: String| Gap { visit: String::new(), what };
    let mut gaps: Vec<Gap> = evidence.gaps.iter().map(|gap| whole(words::sentence(gap))).collect();
    // Where the site was not seen at all, the reason at the head of the page says everything.
    if evidence.outcome == Outcome::Inspected {
        let why = if evidence.first_layer.is_empty() { ", as no banner was seen" } else { "" };
        let unplayed = evidence
            .scenarios
            .iter()
            .filter(|scenario| !evidence.visits.iter().any(|visit| visit.scenario == Some(**scenario)));
        gaps.extend(
            unplayed
                .map(|scenario| whole(format!("Scenario {scenario} was not played{why}: {}.", scenario.description()))),
        );
    }
    for visit in &evidence.visits {
        let mut note = |what: String| gaps.push(Gap { visit: visit.name.clone(), what });
        if visit.end != VisitEnd::Completed {
            note(words::sentence(&words::end(&visit.end)));
        }
        visit.gaps.iter().for_each(|gap| note(words::sentence(gap)));
        for event in &visit.events {
            if let EventKind::Quiet { reached: false, waited_ms, because } = &event.kind {
                let because = because.as_ref().map_or(String::new(), |because| format!(" ({because})"));
                let seconds = *waited_ms as f64 / 1000.0;
                note(format!(
                    "The page did not become quiet within {seconds:.1} s{because}; what came later is not seen."
                ));
            }
        }
    }
    gaps
}
