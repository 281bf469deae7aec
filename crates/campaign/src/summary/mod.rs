//! The summary of a campaign: one HTML page with the numbers that a report quotes. Rows go in, a page comes out.
//!
//! Every share is stated with what it is a share of, and with an interval. It needs no script and asks no server for
//! anything, like the report of an inspection, whose looks it has. In reading order: what is counted (`measures`), how
//! it is drawn (`charts`), and what the template sees (`views`).

mod charts;
mod measures;
mod views;

#[cfg(test)]
mod tests;

use crate::{
    document::Outcome,
    repeats::Flips,
    store::{CampaignError, Facts, Reading},
};
use askama::Template;
use vigie_domain::Verdict;

/// How many pairs that flip the page lists; all are counted.
pub const FLIPS_LISTED: usize = 500;

/// The answers of a campaign, one row a site.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answers {
    /// The sites, in the order of the list.
    pub sites: Vec<SiteRow>,
    /// The rules, in order of their ids.
    pub rules: Vec<RuleName>,
}

/// A rule's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleName {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
}

/// What is known of a site.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SiteRow {
    /// The address.
    pub url: String,
    /// The country, if the list says so.
    pub country: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// How its inspection ended; `None` if that is still to come.
    pub outcome: Option<Outcome>,
    /// Why, where it is not `inspected`.
    pub why: Option<String>,
    /// How many attempts that took.
    pub attempts: u32,
    /// Whether a banner was seen.
    pub banner_seen: Option<bool>,
    /// Whether the first layer accepts in one activation.
    pub accept_first_layer: Option<bool>,
    /// Whether the first layer refuses in one activation.
    pub refuse_first_layer: Option<bool>,
    /// Clicks to accept, to refuse, to withdraw; `None` where no way was found.
    pub clicks: [Option<u32>; 3],
    /// Whether a tracker was asked before any choice.
    pub asked_before_choice: Option<bool>,
    /// Whether something that needs consent was stored before any choice.
    pub stored_before_choice: Option<bool>,
    /// Verdicts by the rule's place in [`Answers::rules`].
    pub verdicts: Vec<(u16, Verdict)>,
}

/// Everything that a summary is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// What holds of the campaign as a whole.
    pub facts: Facts,
    /// The answers.
    pub answers: Answers,
    /// How repeats differ.
    pub flips: Flips,
}

impl Rows {
    /// Reads them from a campaign.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn read(reading: &Reading) -> Result<Self, CampaignError> {
        Ok(Self { facts: reading.facts()?, answers: reading.answers()?, flips: reading.flips(FLIPS_LISTED)? })
    }
}

/// Returns the summary as one HTML page.
///
/// # Errors
///
/// [`CampaignError::Page`] if the template cannot be filled, which would be a mistake of ours.
pub fn render(rows: &Rows) -> Result<String, CampaignError> {
    views::page(rows).render().map_err(CampaignError::Page)
}
