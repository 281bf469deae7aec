//! What is counted, of which sites, and how it is said.

use super::{Answers, SiteRow};
use crate::{
    document::Outcome,
    statistics::{Share, median},
};
use std::collections::BTreeMap;
use vigie_domain::Verdict;

/// A yes-or-no question to a site; `None` where it cannot be answered.
pub struct Measure {
    /// In a few words, as a heading.
    pub title: &'static str,
    /// In a word or two, for columns.
    pub short: &'static str,
    /// What is counted, of which sites.
    pub meaning: &'static str,
    /// The answer of a site that was inspected.
    pub ask: fn(&SiteRow, &Rules) -> Option<bool>,
}

/// The measures, the ones that reports quote first.
pub const MEASURES: [Measure; 7] = [
    Measure {
        title: "No refusal on the first layer",
        short: "No refusal",
        meaning: "Sites whose first layer has no control that refuses in one activation, of those whose first layer \
                  has one that accepts.",
        ask: |site, _| site.refuse_first_layer.filter(|_| site.accept_first_layer == Some(true)).map(|refuse| !refuse),
    },
    Measure {
        title: "Refusing takes more clicks",
        short: "Refusing costs more",
        meaning: "Sites where the shortest way to refuse has more clicks than the shortest way to accept, or where no \
                  way to refuse was found, of those where a way to accept was found and the search could be made.",
        ask: |site, rules| costs_more(site, rules, REFUSE),
    },
    Measure {
        title: "Trackers before any choice",
        short: "Before choice",
        meaning: "Sites that asked a tracker for something, or stored something that needs consent, while nothing had \
                  been touched, of those that were watched untouched. What nobody knows does not count.",
        ask: |site, _| Some(site.asked_before_choice? || site.stored_before_choice?),
    },
    Measure {
        title: "Tracker asked before any choice",
        short: "Asked before",
        meaning: "Of the same sites, those that asked a tracker for something.",
        ask: |site, _| site.asked_before_choice,
    },
    Measure {
        title: "Tracker stored before any choice",
        short: "Stored before",
        meaning: "Of the same sites, those that stored something that needs consent.",
        ask: |site, _| site.stored_before_choice,
    },
    Measure {
        title: "Refusal not kept",
        short: "Refusal not kept",
        meaning: "Sites with a breach of CK-25 (refusal stops writes) or CK-26 (refusal stops reads), of those where \
                  one is a breach, or one is conform and neither is inconclusive.",
        ask: |site, rules| either(rules.verdict(site, "CK-25"), rules.verdict(site, "CK-26")),
    },
    Measure {
        title: "Withdrawing takes more clicks",
        short: "Withdrawing costs more",
        meaning: "Sites where the shortest way to withdraw has more clicks than the shortest way to accept, or where \
                  no way to withdraw was found, of those where a way to accept was found and the search could be made.",
        ask: |site, rules| costs_more(site, rules, WITHDRAW),
    },
];

/// The measures that groups are compared by, as places in [`MEASURES`].
pub const OF_GROUPS: [usize; 4] = [0, 1, 2, 5];

/// What the clicks lead to, in the order of [`SiteRow::clicks`].
pub const CHOICES: [&str; 3] = ["accept", "refuse", "withdraw"];

/// Where each rule stands.
pub struct Rules<'a> {
    places: BTreeMap<&'a str, u16>,
}

impl<'a> Rules<'a> {
    /// Returns where the rules of these answers stand.
    pub fn of(answers: &'a Answers) -> Self {
        Self { places: answers.rules.iter().map(|rule| rule.id.as_str()).zip(0..).collect() }
    }

    fn verdict(&self, site: &SiteRow, rule: &str) -> Option<Verdict> {
        let place = self.places.get(rule)?;
        site.verdicts.iter().find(|(at, _)| at == place).map(|(_, verdict)| *verdict)
    }
}

/// Joins the verdicts on two sides of one question.
fn either(one: Option<Verdict>, other: Option<Verdict>) -> Option<bool> {
    let both = [one, other];
    if both.contains(&Some(Verdict::Breach)) {
        return Some(true);
    }
    (both.contains(&Some(Verdict::Conform)) && !both.contains(&Some(Verdict::Inconclusive))).then_some(false)
}

/// Returns the sites that were inspected.
pub fn inspected<'a>(sites: impl IntoIterator<Item = &'a SiteRow>) -> Vec<&'a SiteRow> {
    sites.into_iter().filter(|site| site.outcome == Some(Outcome::Inspected)).collect()
}

/// Returns a measure's share among inspected sites.
pub fn share(measure: &Measure, sites: &[&SiteRow], rules: &Rules<'_>) -> Share {
    Share::count(sites.iter().map(|site| (measure.ask)(site, rules)))
}

const REFUSE: usize = 1;
const WITHDRAW: usize = 2;

/// The rule that speaks of the clicks to each choice. Where it is inconclusive, the search for a way could not be made.
const SEARCHED: [Option<&str>; 3] = [None, Some("CK-06"), Some("CK-30")];

/// What the search for a way to a choice came to, on a site where a way to accept was found.
enum Way {
    Found(u32),
    NotFound,
    /// The search could not be made.
    NotKnown,
}

fn way(site: &SiteRow, rules: &Rules<'_>, choice: usize) -> Way {
    let inconclusive = || SEARCHED[choice].is_some_and(|rule| rules.verdict(site, rule) == Some(Verdict::Inconclusive));
    match (site.clicks[0], site.clicks[choice]) {
        (None, _) => Way::NotKnown,
        (Some(_), Some(clicks)) => Way::Found(clicks),
        (Some(_), None) if inconclusive() => Way::NotKnown,
        (Some(_), None) => Way::NotFound,
    }
}

fn costs_more(site: &SiteRow, rules: &Rules<'_>, choice: usize) -> Option<bool> {
    let accept = site.clicks[0]?;
    match way(site, rules, choice) {
        Way::Found(clicks) => Some(clicks > accept),
        Way::NotFound => Some(true),
        Way::NotKnown => None,
    }
}

/// How many clicks it takes, over the inspected sites where a way to accept was found and another could be looked for.
pub struct ClickCount {
    /// Median over the sites where a way was found.
    pub median: Option<f64>,
    /// How many those are.
    pub found: usize,
    /// How many it was looked for on.
    pub of: usize,
    /// Sites with 1, 2, 3, 4, and 5 or more clicks, and those where no way was found.
    pub by_clicks: [usize; 6],
}

/// Counts the clicks to a choice.
pub fn clicks(choice: usize, sites: &[&SiteRow], rules: &Rules<'_>) -> ClickCount {
    let mut found = Vec::new();
    let mut by_clicks = [0; 6];
    for site in sites {
        match way(site, rules, choice) {
            Way::Found(clicks) => {
                found.push(clicks);
                by_clicks[clicks.clamp(1, 5) as usize - 1] += 1;
            }
            Way::NotFound => by_clicks[5] += 1,
            Way::NotKnown => {}
        }
    }
    ClickCount { found: found.len(), of: by_clicks.iter().sum(), median: median(found), by_clicks }
}

/// The verdicts under a rule, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VerdictCount {
    /// Breaches, of breaches and conform verdicts.
    pub breach: Share,
    /// Tests that had no object.
    pub not_applicable: usize,
    /// Tests that could not be made.
    pub inconclusive: usize,
}

/// Counts the verdicts of inspected sites, by the rule's place.
pub fn verdicts(n_rules: usize, sites: &[&SiteRow]) -> Vec<VerdictCount> {
    let mut counts = vec![VerdictCount::default(); n_rules];
    for (rule, verdict) in sites.iter().flat_map(|site| &site.verdicts) {
        let count = &mut counts[usize::from(*rule)];
        match verdict {
            Verdict::Breach => {
                count.breach.n += 1;
                count.breach.of += 1;
            }
            Verdict::Conform => count.breach.of += 1,
            Verdict::NotApplicable => count.not_applicable += 1,
            Verdict::Inconclusive => count.inconclusive += 1,
        }
    }
    counts
}

/// A country's or a tag's sites.
pub type Group<'a> = (String, Vec<&'a SiteRow>);

/// Returns the sites by country, and by tag; a site with several tags is in several groups. Larger groups first.
pub fn groups(answers: &Answers) -> [(&'static str, Vec<Group<'_>>); 2] {
    let mut countries: BTreeMap<String, Vec<&SiteRow>> = BTreeMap::new();
    let mut tags: BTreeMap<String, Vec<&SiteRow>> = BTreeMap::new();
    for site in &answers.sites {
        if let Some(country) = &site.country {
            countries.entry(country.clone()).or_default().push(site);
        }
        for tag in &site.tags {
            tags.entry(tag.clone()).or_default().push(site);
        }
    }
    let sorted = |groups: BTreeMap<String, Vec<_>>| {
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by_key(|(_, sites): &(String, Vec<_>)| std::cmp::Reverse(sites.len()));
        groups
    };
    [("country", sorted(countries)), ("tag", sorted(tags))]
}
