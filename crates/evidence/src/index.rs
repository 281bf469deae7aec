//! The index of an archive: one CDXJ line for each response, sorted.
//!
//! # Source
//!
//! Webrecorder, CDXJ 0.1.0 (draft), and what `cdxj-indexer` 1.5 writes for the same archive, which a test compares.

use jiff::Timestamp;
use serde::Serialize;
use url::Url;

/// What a line says of a record.
#[derive(Debug, Serialize)]
pub(crate) struct Line<'a> {
    pub(crate) url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mime: Option<&'a str>,
    pub(crate) status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<&'a str>,
    pub(crate) length: String,
    pub(crate) offset: String,
    pub(crate) filename: &'static str,
}

/// Lines, until they are sorted.
#[derive(Debug, Default)]
pub(crate) struct Index {
    lines: Vec<String>,
    bytes: u64,
}

impl Index {
    pub(crate) fn push(&mut self, at: Timestamp, line: &Line<'_>) {
        let json = serde_json::to_string(line).expect("strings become JSON");
        let line = format!("{} {} {json}\n", key(line.url), at.strftime("%Y%m%d%H%M%S"));
        self.bytes += line.len() as u64;
        self.lines.push(line);
    }

    /// Returns how many bytes the lines have together.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the index's text. Lines are unique: each says where its record is.
    pub(crate) fn into_text(mut self) -> String {
        self.lines.sort_unstable();
        self.lines.concat()
    }
}

/// Returns the media type of a `content-type`, without parameters.
pub(crate) fn mime(content_type: &str) -> Option<&str> {
    content_type.split([';', ' ', '\t']).next().map(str::trim).filter(|mime| !mime.is_empty())
}

/// Returns the key under which an address is sorted and found: its host reversed, then path and sorted query, lowercase.
///
/// An address that cannot be parsed is its own key.
///
/// # Source
///
/// `getSurt` of warcio.js, which the players use, and Python's `surt`, which `cdxj-indexer` uses. They differ in that
/// the first reverses IP addresses too, and the second takes out what look like session ids; this does neither.
pub(crate) fn key(address: &str) -> String {
    let Ok(url) = Url::parse(&address.to_lowercase()) else { return address.replace(' ', "%20") };
    let Some(host) = url.host_str() else { return address.replace(' ', "%20") };
    let host = without_www(host);
    let is_ip = !matches!(url.host(), Some(url::Host::Domain(_)));
    let mut key = if is_ip { host.to_owned() } else { host.rsplit('.').collect::<Vec<_>>().join(",") };
    key += &port(&url);
    key += ")";
    key += url.path();
    if let Some(query) = url.query().filter(|query| !query.is_empty()) {
        let mut parts: Vec<&str> = query.split('&').collect();
        parts.sort_unstable();
        key += "?";
        key += &parts.join("&");
    }
    key
}

/// Returns `:` and the port, if it is not the one the scheme implies.
pub(crate) fn port(url: &Url) -> String {
    url.port().map(|port| format!(":{port}")).unwrap_or_default()
}

/// Returns the host without a leading `www.`, `www2.` and so on.
fn without_www(host: &str) -> &str {
    let Some(rest) = host.strip_prefix("www") else { return host };
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.strip_prefix('.').filter(|rest| rest.contains('.')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_players_look_up() {
        let check = |address, expected| assert_eq!(key(address), expected, "{address}");
        check("https://Example.org/", "org,example)/");
        check("https://www.example.org/A?b=2&a=1", "org,example)/a?a=1&b=2");
        check("https://klaro-de.test:8443/a.js", "test,klaro-de:8443)/a.js");
        check("http://127.0.0.1:81/x", "127.0.0.1:81)/x");
        check("https://example.org/?", "org,example)/");
        check("no address", "no%20address");
    }
}
