//! Whether a request goes to a tracker: by the lists ([`Classifier::request`]), or by what it does where no list knows it
//! ([`Classifier::request_behaviour`]).
//!
//! A name like `metrics.` or `pixel.` is no proof. Serving code, fonts, styles or data from another host is no tracking
//! either; an identifier set or sent is, and so is a picture nobody can see that carries the page's address.

use crate::{
    class::{Class, TrackerMatch},
    classifier::Classifier,
    filter_lists::Asked,
    host::{Party, host_of, party},
    identifier::percent_decoded,
};

/// Largest body of a picture that shows nothing, in bytes: 1x1 pixels take 35 to about 100 in the usual formats. Ours.
pub const TINY_BYTES: u64 = 200;

/// What is known of a request and its response.
#[derive(Debug, Clone, Copy)]
pub struct RequestFacts<'a> {
    /// Where it went, in full.
    pub url: &'a str,
    /// The address of the page that asked.
    pub document_url: &'a str,
    /// DevTools resource type in lower case: `document`, `script`, `image`, `ping`, …
    pub resource: &'a str,
    /// Media type of the response, where there was one.
    pub response_mime: Option<&'a str>,
    /// Length of the response's body in bytes, without headers; `None` if not known.
    pub response_bytes: Option<u64>,
    /// Whether the response set a cookie that singles the visitor out and lasts, other than one that is exempt
    /// (robot protection, load balancing, the choice).
    pub sets_identifier_cookie: bool,
    /// Whether the request carried such a cookie, or a stored value that singles the visitor out, in address or body.
    pub sends_identifier: bool,
}

impl Classifier {
    /// Returns why a request goes to a tracker, by the lists; `None` if they do not name it.
    ///
    /// `resource` is the DevTools resource type in lower case. The page itself (`document` of the same party) and what
    /// is asked of a consent tool are never a match.
    pub fn request(&self, url: &str, document_url: &str, resource: &str) -> Option<TrackerMatch> {
        let host = host_of(url)?;
        let document_host = host_of(document_url).unwrap_or_default();
        if self.names.consent_host(&host).is_some() {
            return None;
        }
        let party = party(&host, &document_host);
        let asked = Asked { url, host: &host, document_host: &document_host, party, resource };
        if let Some(found) = self.lists.find(asked) {
            return Some(self.explain(&found, &host));
        }
        let (_, rest) = url.split_once("://")?;
        let embedded = self.names.embed(rest).filter(|_| party == Party::Third)?;
        Some(TrackerMatch {
            why: format!("embeds {}, which loads with its own cookies", embedded.name),
            class: embedded.class,
        })
    }

    /// Returns why a request is a tracker's by what it does; `None` if nothing strong was seen.
    ///
    /// Of the page's own host nothing is judged here: its server does many things at once.
    pub fn request_behaviour(&self, facts: &RequestFacts<'_>) -> Option<TrackerMatch> {
        let host = host_of(facts.url)?;
        let document_host = host_of(facts.document_url)?;
        let bare = |host: &str| host.strip_prefix("www.").unwrap_or(host).to_owned();
        if bare(&host) == bare(&document_host) || self.names.consent_host(&host).is_some() {
            return None;
        }
        let found = |what: &str| {
            let class = self.names.tracker_host(&host).map_or(Class::Unknown, |tracker| tracker.class);
            Some(TrackerMatch { why: format!("behaviour: {what}"), class })
        };
        let unseen = is_unseen(facts);
        match party(&host, &document_host) {
            Party::Third if facts.sets_identifier_cookie => found("a third party that sets a lasting identifier"),
            Party::Third if facts.sends_identifier => found("a third party that is sent an identifier"),
            Party::Third if unseen && carries_page(facts.url, facts.document_url, &document_host) => {
                found("an unseen picture or beacon of a third party that carries the page's address")
            }
            Party::First if facts.sets_identifier_cookie && (unseen || facts.resource == "script") => {
                found("another host of the site whose unseen picture, beacon or script sets a lasting identifier")
            }
            // A cookie of the whole site goes with every request to its hosts; only one with parameters says something.
            Party::First if facts.sends_identifier && unseen && facts.url.contains('?') => {
                found("an unseen picture or beacon of another host of the site that is sent an identifier")
            }
            Party::First | Party::Third => None,
        }
    }
}

/// Returns whether the request is a beacon, or a picture that shows nothing.
fn is_unseen(facts: &RequestFacts<'_>) -> bool {
    match facts.resource {
        "ping" | "beacon" => true,
        "image" => facts.response_bytes.is_some_and(|bytes| bytes <= TINY_BYTES),
        _ => {
            let is_picture =
                facts.response_mime.is_some_and(|mime| mime.starts_with("image/") && mime != "image/svg+xml");
            is_picture && facts.response_bytes.is_some_and(|bytes| bytes <= TINY_BYTES)
        }
    }
}

/// Returns whether the query holds the page's address, or its host as a whole value.
fn carries_page(url: &str, document_url: &str, document_host: &str) -> bool {
    let Some((_, query)) = url.split_once('?') else { return false };
    let query = percent_decoded(&percent_decoded(query)).to_ascii_lowercase();
    let page = document_url.split(['?', '#']).next().unwrap_or(document_url).to_ascii_lowercase();
    query.contains(page.trim_end_matches('/'))
        || query.split(['&', ';']).filter_map(|pair| pair.split_once('=')).any(|(_, value)| value == document_host)
}
