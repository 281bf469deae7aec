//! Hosts, registrable domains and parties.
//!
//! A party is told by registrable domain, as browsers do it ("same site"), private suffixes such as `github.io`
//! included. The surprise: a tracker behind a first-party name (`metrics.example.org`) is [`Party::First`] here, and is
//! caught by what it does (`request`).

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// Whose host it is, seen from the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Party {
    /// The site's own registrable domain.
    First,
    /// Another one.
    Third,
}

/// Returns the registrable domain of a host: one label more than its public suffix.
///
/// Leading and trailing dots are left out. An address (IPv4, or IPv6 with or without brackets), a single label such as
/// `localhost` and a public suffix itself are returned whole. Under a top-level domain that the list does not know, such
/// as `.test`, the last two labels count.
///
/// # Source
///
/// Public Suffix List, as in crate `psl`; its algorithm's default rule `*` for unknown suffixes.
pub fn registrable_domain(host: &str) -> &str {
    let host = host.trim_start_matches('.').trim_end_matches('.');
    if is_address(host) {
        return host;
    }
    psl::domain_str(host).unwrap_or(host)
}

/// Returns whether a host belongs to the site's party. Case does not matter.
pub fn party(host: &str, site_host: &str) -> Party {
    let (host, site) = (host.to_ascii_lowercase(), site_host.to_ascii_lowercase());
    if registrable_domain(&host) == registrable_domain(&site) { Party::First } else { Party::Third }
}

/// Returns the host of an address in lower case, IPv6 in brackets; `None` for addresses without one (`data:`, `about:`).
///
/// `blob:` addresses have the host of their origin.
pub fn host_of(url: &str) -> Option<String> {
    let url = Url::parse(url.strip_prefix("blob:").unwrap_or(url)).ok()?;
    url.host_str().filter(|host| !host.is_empty()).map(str::to_ascii_lowercase)
}

/// Returns whether `host` is `domain` or below it. Both in lower case.
pub(crate) fn is_within(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Returns a host and the names above it, longest first, down to the last label.
pub(crate) fn with_parents(host: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(host), |name| {
        name.split_once('.').map(|(_, above)| above).filter(|name| !name.is_empty())
    })
}

fn is_address(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<std::net::IpAddr>().is_ok() || matches!(Host::parse(host), Ok(Host::Ipv4(_) | Host::Ipv6(_)))
}
