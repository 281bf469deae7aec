//! EasyPrivacy and the advertiser sections of EasyList: does a list know where a request goes?
//!
//! A match is evidence of what the address is for, not a decision to block. So the lists' exceptions are read for what
//! they mean here: a general exception says "not a tracker after all"; one for named sites says "blocking breaks them",
//! which does not make Google Tag Manager any less a tracker there. See [`FilterLists::find`].
//!
//! Rules that only name a host are searched in a sorted text made by `build.rs`; the others are given to the engine of
//! crate `adblock`. The engine measures time to drop unused regular expressions; its answers do not depend on it.

use crate::{
    host::{Party, with_parents},
    sorted::lines_of,
};
use adblock::{
    Engine, FilterSet,
    lists::{ParseOptions, RuleTypes},
    request::Request,
};

const HOSTS: &str = include_str!(concat!(env!("OUT_DIR"), "/tracker-hosts.txt"));
const PRIVACY_RULES: &str = include_str!(concat!(env!("OUT_DIR"), "/easyprivacy-rules.txt"));
const ADVERTISER_RULES: &str = include_str!(concat!(env!("OUT_DIR"), "/easylist-rules.txt"));

/// A list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum List {
    /// Trackers.
    EasyPrivacy,
    /// Advertisers.
    EasyList,
}

impl List {
    /// Returns the list's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EasyPrivacy => "EasyPrivacy",
            Self::EasyList => "EasyList",
        }
    }
}

/// A rule that matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListMatch {
    /// The list.
    pub list: List,
    /// The rule as it stands in the list; `None` where the engine merged several.
    pub rule: Option<String>,
    /// The operator behind a first-party name, where the list says so (`adobe`, `eulerian`).
    pub operator: Option<&'static str>,
}

/// A request as the lists see it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The whole address.
    pub url: &'a str,
    /// Its host, in lower case.
    pub host: &'a str,
    /// The host of the page, in lower case.
    pub document_host: &'a str,
    /// Whose host it is.
    pub party: Party,
    /// DevTools resource type in lower case.
    pub resource: &'a str,
}

/// The lists, ready to be asked.
pub struct FilterLists {
    engine: Engine,
}

impl std::fmt::Debug for FilterLists {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FilterLists").finish_non_exhaustive()
    }
}

impl FilterLists {
    /// Returns the lists that are part of the program.
    pub fn bundled() -> Self {
        let options = ParseOptions { rule_types: RuleTypes::NetworkOnly, ..ParseOptions::default() };
        // With debug information, so that a finding can name the rule. It costs about a megabyte.
        let mut rules = FilterSet::new(true);
        // INVARIANT (order of lists): `List::EasyPrivacy` is source 0, `List::EasyList` source 1.
        rules.add_filter_list(PRIVACY_RULES.to_owned(), options);
        rules.add_filter_list(ADVERTISER_RULES.to_owned(), options);
        Self { engine: Engine::new_with_filter_set(rules) }
    }

    /// Returns the rule that names this request, unless a general exception takes it back.
    ///
    /// Exceptions for named sites take back only rules that name no host, such as `/track.js`: there they correct a
    /// guess, elsewhere they keep a site working.
    pub fn find(&self, asked: Asked<'_>) -> Option<ListMatch> {
        let named = find_host(asked.host, asked.party);
        let request = Request::preparsed(
            asked.url,
            asked.host,
            asked.document_host,
            engine_type(asked.resource, asked.party)?,
            asked.party == Party::Third,
            "get",
        );
        let answer = self.engine.check_network_request_subset(&request, named.is_some(), false);
        let found = match (named, answer.filter) {
            (Some(named), _) => named,
            (None, Some(filter)) => {
                // INVARIANT (order of lists).
                let is_advertiser = filter.source_location.as_ref().is_some_and(|place| place.source_index == 1);
                let list = if is_advertiser { List::EasyList } else { List::EasyPrivacy };
                ListMatch { list, rule: filter.raw_line, operator: None }
            }
            (None, None) => return None,
        };
        let Some(exception) = answer.exception else { return Some(found) };
        let is_for_named_sites = exception.raw_line.as_deref().is_some_and(|rule| rule.contains("domain="));
        let names_a_host = found.rule.as_deref().is_some_and(|rule| rule.starts_with("||") || rule.starts_with('.'));
        (is_for_named_sites && names_a_host).then_some(found)
    }

    /// Returns the rule that names a whole host, whatever is asked of it.
    pub fn find_host(&self, host: &str, party: Party) -> Option<ListMatch> {
        find_host(host, party)
    }
}

fn find_host(host: &str, party: Party) -> Option<ListMatch> {
    with_parents(host).find_map(|name| {
        let mut fields = lines_of(HOSTS, name).next()?.split('\t');
        let list = if fields.next()? == "list" { List::EasyList } else { List::EasyPrivacy };
        let operator = fields.next().filter(|operator| !operator.is_empty());
        let is_for_third_parties = fields.next() == Some("3");
        if is_for_third_parties && party == Party::First {
            return None;
        }
        let rule = format!("||{name}^{}", if is_for_third_parties { "$third-party" } else { "" });
        Some(ListMatch { list, rule: Some(rule), operator })
    })
}

/// Returns the engine's word for a DevTools resource type; `None` for the page itself, which no rule is about.
fn engine_type(resource: &str, party: Party) -> Option<&'static str> {
    Some(match resource {
        "document" if party == Party::First => return None,
        "document" | "iframe" | "subdocument" => "sub_frame",
        "script" => "script",
        "image" => "image",
        "stylesheet" => "stylesheet",
        "font" => "font",
        "media" | "texttrack" => "media",
        "xhr" | "fetch" | "eventsource" => "xmlhttprequest",
        "ping" | "beacon" => "ping",
        "websocket" => "websocket",
        _ => "other",
    })
}
