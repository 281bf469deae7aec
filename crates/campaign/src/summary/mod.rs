//! stub
use crate::document::Outcome;
use vigie_domain::Verdict;

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
