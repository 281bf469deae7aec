//! What was stored and sent, thing by thing, in each of four states: before a choice, after refusing, after accepting,
//! after withdrawing.
//!
//! Only states whose visit was played have a column, and the others are named: an empty cell would read like an
//! absence. A visit that broke off is marked in the column's head.

use super::{language::Language, words};
use crate::{
    evidence::Evidence,
    wire::{Inspection, Visit},
};
use std::collections::BTreeMap;
use vigie_domain::{Scenario, record::VisitEnd};

/// The states, in the order of the columns.
fn states_of(t: Language) -> [(Scenario, &'static str, &'static str); 4] {
    [
        (Scenario::S0, t.say("Before a choice"), t.say("before a choice")),
        (Scenario::S1, t.say("After refusing"), t.say("after refusing")),
        (Scenario::S2, t.say("After accepting"), t.say("after accepting")),
        (Scenario::S3, t.say("After withdrawing"), t.say("after withdrawing")),
    ]
}

/// Rows shown at once; the others can be unfolded.
const ROWS_AT_ONCE: usize = 40;

/// Everything that was stored and sent.
pub struct Stored {
    /// The columns: states that were observed.
    pub states: Vec<State>,
    /// States that were not, as a clause; empty if all were.
    pub unobserved: String,
    /// Counts for each state.
    pub totals: Vec<Total>,
    /// Cookies.
    pub cookies: Table,
    /// Local storage, databases, caches.
    pub storage: Table,
    /// Hosts of trackers that were asked for something.
    pub trackers: Table,
    /// Interfaces used that tell devices apart.
    pub scans: Table,
}

/// One column.
pub struct State {
    /// `S0`.
    pub code: String,
    /// `Before a choice`.
    pub title: &'static str,
    /// The same inside a sentence.
    pub clause: &'static str,
    /// `broke off`, if it did; else empty.
    pub remark: &'static str,
    /// Things that need consent and were stored.
    pub n_need_consent: usize,
    /// Hosts of trackers that were asked for something.
    pub n_trackers: usize,
}

/// One line of counts.
pub struct Total {
    /// What is counted.
    pub what: &'static str,
    /// Whether the line is about what needs consent.
    pub weighty: bool,
    /// One for each state.
    pub counts: Vec<usize>,
}

/// Rows of one kind.
pub struct Table {
    /// Rows shown at once.
    pub rows: Vec<Row>,
    /// Rows that can be unfolded.
    pub more: Vec<Row>,
}

/// One thing and the states in which it was there.
pub struct Row {
    /// Its name.
    pub name: String,
    /// Whose it is: domain and path, or origin.
    pub place: String,
    /// First or third party, and other remarks.
    pub remark: String,
    /// What it is for.
    pub class: String,
    /// Why we hold that.
    pub why: String,
    /// `needed`, `not needed`, `not known`: whether consent is.
    pub consent: &'static str,
    /// For the style: `needed`, `exempt`, `open`.
    pub tone: &'static str,
    /// How long it lives.
    pub lifetime: String,
    /// Who set it.
    pub set_by: String,
    /// One for each state.
    pub cells: Vec<Cell>,
}

/// Whether a thing was there in a state.
pub struct Cell {
    /// In a word or number.
    pub text: String,
    /// For the style: `there`, `agreed` (there after an acceptance), `blocked`, `absent`.
    pub kind: &'static str,
}

impl Cell {
    /// Returns whether the thing was there.
    pub fn is_there(&self) -> bool {
        matches!(self.kind, "there" | "agreed")
    }
}

impl Table {
    fn of(mut rows: Vec<Row>) -> Self {
        rows.sort_by(|a, b| {
            let rank = |row: &Row| match row.tone {
                "needed" => 0,
                "open" => 1,
                _ => 2,
            };
            (rank(a), &a.place, &a.name).cmp(&(rank(b), &b.place, &b.name))
        });
        // A fold over a handful of rows would only be in the way.
        let at_once = if rows.len() <= ROWS_AT_ONCE + 5 { rows.len() } else { ROWS_AT_ONCE };
        let more = rows.split_off(at_once);
        Self { rows, more }
    }

    /// Returns whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Stored {
    /// Returns a state by its scenario.
    pub fn state(&self, scenario: Scenario) -> Option<&State> {
        self.states.iter().find(|state| state.code == scenario.to_string())
    }
}

/// Returns the view of what was stored and sent.
pub fn view(t: Language, evidence: &Evidence, document: &Inspection) -> Stored {
    let mut states = Vec::new();
    let mut visits = Vec::new();
    let mut unobserved = Vec::new();
    for (scenario, title, clause) in states_of(t) {
        let code = scenario.to_string();
        match document.visits.iter().find(|visit| visit.scenario == code) {
            Some(visit) => {
                let broke_off = evidence.visit(scenario).is_some_and(|record| record.end != VisitEnd::Completed);
                let remark = if broke_off { t.say("broke off") } else { "" };
                let n_need_consent = n_stored(visit, Some(false));
                states.push(State { code, title, clause, remark, n_need_consent, n_trackers: visit.trackers.len() });
                visits.push(visit);
            }
            None => unobserved.push(format!("{clause} ({code})")),
        }
    }
    Stored {
        states,
        unobserved: unobserved.join(", "),
        totals: totals(t, &visits),
        cookies: cookies(t, &visits),
        storage: storage(t, &visits),
        trackers: trackers(t, &visits),
        scans: scans(t, &visits),
    }
}

fn n_stored(visit: &Visit, exempt: Option<bool>) -> usize {
    let cookies = visit.cookies.iter().filter(|cookie| cookie.blocked.is_none() && cookie.exempt == exempt).count();
    cookies + visit.storage.iter().filter(|item| item.exempt == exempt).count()
}

fn totals(t: Language, visits: &[&Visit]) -> Vec<Total> {
    let line = |what, weighty, count: &dyn Fn(&Visit) -> usize| Total {
        what,
        weighty,
        counts: visits.iter().map(|visit| count(visit)).collect(),
    };
    vec![
        line(t.say("Stored, and needing consent"), true, &|visit| n_stored(visit, Some(false))),
        line(t.say("Stored, not known whether consent is needed"), false, &|visit| n_stored(visit, None)),
        line(t.say("Stored, needing none"), false, &|visit| n_stored(visit, Some(true))),
        line(t.say("Hosts of trackers contacted"), true, &|visit| visit.trackers.len()),
        line(t.say("Requests in all"), false, &|visit| visit.requests as usize),
    ]
}

/// What is gathered about one thing before its row is made.
struct Draft {
    row: Row,
    exempt: Option<bool>,
    lifetime_s: Option<f64>,
}

/// Gathers rows over the states: a thing is itself by its key, and what several visits say of it is joined.
struct Gathering {
    /// For each state, whether it follows an acceptance.
    agreed: Vec<bool>,
    drafts: BTreeMap<Vec<String>, Draft>,
}

impl Gathering {
    fn new(visits: &[&Visit]) -> Self {
        let accepted = Scenario::S2.to_string();
        Self { agreed: visits.iter().map(|visit| visit.scenario == accepted).collect(), drafts: BTreeMap::new() }
    }

    fn note(&mut self, key: Vec<String>, state: usize, cell: Cell, fresh: impl FnOnce() -> Draft) {
        let draft = self.drafts.entry(key).or_insert_with(fresh);
        if draft.row.cells.is_empty() {
            draft.row.cells = self.agreed.iter().map(|_| Cell { text: "–".to_owned(), kind: "absent" }).collect();
        }
        // Stored in one frame and refused in another: that it was stored weighs more.
        if !draft.row.cells[state].is_there() {
            let kind = if cell.is_there() && self.agreed[state] { "agreed" } else { cell.kind };
            draft.row.cells[state] = Cell { text: cell.text, kind };
        }
    }

    fn table(self) -> Table {
        Table::of(self.drafts.into_values().map(|draft| draft.row).collect())
    }
}

fn there(text: impl Into<String>) -> Cell {
    Cell { text: text.into(), kind: "there" }
}

fn consent(t: Language, exempt: Option<bool>) -> (&'static str, &'static str) {
    match exempt {
        Some(false) => (t.say("needed"), "needed"),
        Some(true) => (t.say("not needed"), "exempt"),
        None => (t.say("not known"), "open"),
    }
}

fn cookies(t: Language, visits: &[&Visit]) -> Table {
    let mut gathering = Gathering::new(visits);
    let all =
        visits.iter().enumerate().flat_map(|(state, visit)| visit.cookies.iter().map(move |cookie| (state, cookie)));
    for (state, cookie) in all {
        let key = vec![cookie.name.clone(), cookie.domain.clone(), cookie.path.clone()];
        let cell = match &cookie.blocked {
            None => there(t.say("stored")),
            Some(_) => Cell { text: t.say("blocked by the browser").to_owned(), kind: "blocked" },
        };
        gathering.note(key.clone(), state, cell, || {
            let path = if cookie.path == "/" { "" } else { cookie.path.as_str() };
            let hidden = if cookie.http_only { t.say(", hidden from scripts") } else { "" };
            Draft {
                row: Row {
                    name: cookie.name.clone(),
                    place: format!("{}{path}", cookie.domain),
                    remark: format!("{}{hidden}", party(t, &cookie.party)),
                    class: t.say(&cookie.class).to_owned(),
                    why: words::quotes(Language::English, &cookie.why),
                    consent: "",
                    tone: "",
                    lifetime: String::new(),
                    set_by: cookie.set_by.as_deref().map_or_else(|| t.say("not seen").to_owned(), words::short_address),
                    cells: Vec::new(),
                },
                exempt: cookie.exempt,
                lifetime_s: cookie.lifetime_s,
            }
        });
        let draft = gathering.drafts.get_mut(&key).expect("it was just noted");
        draft.exempt = strictest(draft.exempt, cookie.exempt);
        draft.lifetime_s = longest(draft.lifetime_s, cookie.lifetime_s);
        (draft.row.consent, draft.row.tone) = consent(t, draft.exempt);
        draft.row.lifetime = words::lifetime(t, draft.lifetime_s);
    }
    gathering.table()
}

fn storage(t: Language, visits: &[&Visit]) -> Table {
    let mut gathering = Gathering::new(visits);
    for (state, visit) in visits.iter().enumerate() {
        for item in &visit.storage {
            let (kind, lifetime) = match item.kind.as_str() {
                "session" => (t.say("session storage"), t.say("until the tab is closed")),
                "indexed-db" => ("IndexedDB", t.say("until deleted")),
                "cache-api" => (t.say("cache"), t.say("until deleted")),
                _ => (t.say("local storage"), t.say("until deleted")),
            };
            let key = vec![item.key.clone(), item.origin.clone(), kind.to_owned()];
            let (consent, tone) = consent(t, item.exempt);
            gathering.note(key, state, there(t.say("stored")), || Draft {
                row: Row {
                    name: item.key.clone(),
                    place: item.origin.clone(),
                    remark: kind.to_owned(),
                    class: t.say(&item.class).to_owned(),
                    why: words::quotes(Language::English, &item.why),
                    consent,
                    tone,
                    lifetime: lifetime.to_owned(),
                    set_by: String::new(),
                    cells: Vec::new(),
                },
                exempt: item.exempt,
                lifetime_s: None,
            });
        }
    }
    gathering.table()
}

fn trackers(t: Language, visits: &[&Visit]) -> Table {
    let mut gathering = Gathering::new(visits);
    for (state, visit) in visits.iter().enumerate() {
        for tracker in &visit.trackers {
            let cell = there(t.count(tracker.requests as usize, "request", "requests"));
            gathering.note(vec![tracker.host.clone()], state, cell, || Draft {
                row: plain(t, tracker.host.clone(), String::new(), words::quotes(Language::English, &tracker.why)),
                exempt: Some(false),
                lifetime_s: None,
            });
        }
    }
    gathering.table()
}

fn scans(t: Language, visits: &[&Visit]) -> Table {
    let mut gathering = Gathering::new(visits);
    for (state, visit) in visits.iter().enumerate() {
        for scan in &visit.fingerprinting {
            let script =
                scan.script.as_deref().map_or_else(|| t.say("script not known").to_owned(), words::short_address);
            let cell = there(if scan.egress { t.say("used, then a request left") } else { t.say("used") });
            gathering.note(vec![scan.api.clone(), script.clone()], state, cell, || Draft {
                row: plain(t, scan.api.clone(), script, String::new()),
                exempt: Some(false),
                lifetime_s: None,
            });
        }
    }
    gathering.table()
}

fn plain(t: Language, name: String, place: String, why: String) -> Row {
    Row {
        name,
        place,
        remark: String::new(),
        class: String::new(),
        why,
        consent: t.say("needed"),
        tone: "needed",
        lifetime: String::new(),
        set_by: String::new(),
        cells: Vec::new(),
    }
}

fn party(t: Language, party: &str) -> &str {
    match party {
        "first" => t.say("first party"),
        "third" => t.say("third party"),
        other => other,
    }
}

fn strictest(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (None, _) | (_, None) => None,
        (Some(true), Some(true)) => Some(true),
    }
}

/// A cookie without expiry lives as long as the browser runs, which is shorter than any it was given elsewhere.
fn longest(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.max(other)),
        (one, other) => one.or(other),
    }
}
