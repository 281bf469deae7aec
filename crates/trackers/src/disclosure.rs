//! What vendors of the Transparency and Consent Framework declare: where their disclosure is, by the vendor list, and
//! what they store and for how long, by the disclosure itself.
//!
//! A vendor's word, not the truth: it is held against what was observed. Everything here takes foreign bytes: nothing
//! panics, and memory is bounded. What is no vendor list or disclosure is `None`; what is wrong in one is left out.
//!
//! # Source
//!
//! IAB Tech Lab, Global Vendor List format v3 (`deviceStorageDisclosureUrl`); IAB Europe, Vendor Device Storage and
//! Operational Disclosures 1.1 (`identifier`, `type`, `maxAgeSeconds`, `cookieRefresh`, `purposes`, `domains`).

use crate::host::registrable_domain;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Largest vendor list that is read, in bytes; the global one has less than one megabyte.
pub const MAX_LIST_BYTES: usize = 8 << 20;

/// Largest disclosure that is read, in bytes.
pub const MAX_DISCLOSURE_BYTES: usize = 1 << 20;

/// Most entries of a disclosure that are kept.
const MOST_ENTRIES: usize = 1000;

/// Most of other things that are kept of one entry.
const MOST_ITEMS: usize = 64;

/// Longest text that is kept, in characters.
const MOST_CHARACTERS: usize = 300;

/// A vendor of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vendor {
    /// Its name.
    pub name: String,
    /// Where its disclosure is; always `https`.
    pub disclosure_url: Option<String>,
}

/// Something that a vendor says it stores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Disclosed {
    /// The name of the cookie or key; `*` in it stands for any letters.
    pub identifier: String,
    /// `cookie`, `web`, `app`.
    pub kind: String,
    /// How long it is kept, in seconds, zero or less for the session; `None` where the vendor says nothing.
    pub max_age_s: Option<f64>,
    /// Whether the time begins anew with each visit.
    pub refreshed: bool,
    /// The purposes of the framework it is for.
    pub purposes: Vec<u16>,
    /// The domains it is stored on; `*` means those of publishers.
    pub domains: Vec<String>,
}

/// Reads a vendor list: vendors by their numbers.
///
/// `None` if it is none, or longer than [`MAX_LIST_BYTES`].
pub fn vendor_list(bytes: &[u8]) -> Option<BTreeMap<u16, Vendor>> {
    if bytes.len() > MAX_LIST_BYTES {
        return None;
    }
    let list: Value = serde_json::from_slice(bytes).ok()?;
    list.get("gvlSpecificationVersion").or_else(|| list.get("vendorListVersion"))?;
    let vendors = list.get("vendors")?.as_object()?.iter().filter_map(|(number, vendor)| {
        let url = vendor.get("deviceStorageDisclosureUrl").and_then(Value::as_str);
        let url = url.map(str::trim).filter(|url| url.starts_with("https://") && url.len() <= 2000);
        let name = vendor.get("name").and_then(Value::as_str).unwrap_or_default();
        Some((number.parse().ok()?, Vendor { name: short(name), disclosure_url: url.map(str::to_owned) }))
    });
    Some(vendors.collect())
}

/// Reads a vendor's disclosure.
///
/// `None` if it is none, or longer than [`MAX_DISCLOSURE_BYTES`]. One without entries says that nothing is stored.
pub fn disclosure(bytes: &[u8]) -> Option<Vec<Disclosed>> {
    if bytes.len() > MAX_DISCLOSURE_BYTES {
        return None;
    }
    let file: Value = serde_json::from_slice(bytes).ok()?;
    let entries = file.get("disclosures")?.as_array()?;
    Some(entries.iter().filter_map(entry).take(MOST_ENTRIES).collect())
}

fn entry(entry: &Value) -> Option<Disclosed> {
    let identifier = short(entry.get("identifier")?.as_str()?.trim());
    let texts = |value: Option<&Value>| -> Vec<String> {
        // `domain` was a text before `domains` was a list.
        let one = value.and_then(Value::as_str).into_iter();
        let many = value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        one.chain(many).take(MOST_ITEMS).map(|text| short(text.trim()).to_ascii_lowercase()).collect()
    };
    let purposes = entry.get("purposes").and_then(Value::as_array).into_iter().flatten();
    let max_age_s = entry.get("maxAgeSeconds").and_then(Value::as_f64).filter(|seconds| seconds.is_finite());
    (!identifier.is_empty()).then(|| Disclosed {
        identifier,
        kind: short(entry.get("type").and_then(Value::as_str).unwrap_or_default()),
        max_age_s,
        refreshed: entry.get("cookieRefresh").and_then(Value::as_bool).unwrap_or_default(),
        purposes: purposes.filter_map(|purpose| u16::try_from(purpose.as_u64()?).ok()).take(MOST_ITEMS).collect(),
        domains: texts(entry.get("domains").or_else(|| entry.get("domain"))),
    })
}

fn short(text: &str) -> String {
    text.chars().take(MOST_CHARACTERS).collect()
}

impl Disclosed {
    /// Returns whether this speaks of a cookie of this name and domain, on a page of this site.
    ///
    /// One on the site's own domain is meant where the vendor names publishers' domains (`*`) or none; any other where it
    /// names the domain. A name that is little more than `*` means nothing.
    pub fn is_of(&self, name: &str, domain: &str, site: &str) -> bool {
        let letters = self.identifier.chars().filter(|letter| *letter != '*').count();
        let named = if self.identifier.contains('*') { letters >= 3 } else { true };
        self.kind == "cookie" && named && matches(&self.identifier, name) && self.is_on(domain, site)
    }

    /// Returns whether it says to store on this domain.
    pub fn is_on(&self, domain: &str, site: &str) -> bool {
        let domain = domain.trim_start_matches('.').to_ascii_lowercase();
        if registrable_domain(&domain) == registrable_domain(site) {
            return self.domains.is_empty() || self.domains.iter().any(|known| known == "*");
        }
        self.names(&domain)
    }

    /// Returns whether its domains name this one.
    pub fn names(&self, domain: &str) -> bool {
        let wanted = registrable_domain(domain);
        self.domains.iter().any(|known| {
            let known = known.trim_start_matches("https://").trim_start_matches("*.").trim_start_matches('.');
            known != "*" && !known.is_empty() && registrable_domain(known) == wanted
        })
    }
}

/// Returns whether a name fits a pattern in which `*` stands for any letters. Time is at most the product of both lengths.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_vendor_list_says_where_disclosures_are() {
        let text = r#"{"gvlSpecificationVersion": 3, "vendors": {
            "91": {"id": 91, "name": "Criteo SA", "deviceStorageDisclosureUrl": "https://privacy.criteo.com/d.json"},
            "2": {"id": 2, "name": "Plain", "deviceStorageDisclosureUrl": "javascript:alert(1)"}, "x": {}}}"#;
        let list = vendor_list(text.as_bytes()).unwrap();
        assert_eq!(list.keys().copied().collect::<Vec<_>>(), [2, 91]);
        assert_eq!(list[&91].disclosure_url.as_deref(), Some("https://privacy.criteo.com/d.json"));
        assert_eq!(list[&2].disclosure_url, None);
        assert_eq!(vendor_list(br#"{"vendors": {}}"#), None);
    }

    #[test]
    fn a_disclosure_says_what_is_stored_and_for_how_long() {
        let text = r#"{"disclosures": [
            {"identifier": "uid", "type": "cookie", "maxAgeSeconds": 2592000, "cookieRefresh": true, "purposes": [1, 4],
             "domains": ["*.criteo.com"]},
            {"identifier": "cto_*", "type": "cookie", "maxAgeSeconds": null, "domains": ["*"]},
            {"type": "cookie"}, 7]}"#;
        let found = disclosure(text.as_bytes()).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].max_age_s, found[0].refreshed, found[0].purposes.clone()),
            (Some(2_592_000.0), true, vec![1, 4])
        );
        assert!(found[0].is_of("uid", ".criteo.com", "shop.test") && !found[0].is_of("uid", "shop.test", "shop.test"));
        assert!(found[1].is_of("cto_bundle", "shop.test", "shop.test"));
        assert!(!found[1].is_of("cto_bundle", "other.test", "shop.test"));
        assert_eq!(disclosure(b"[]"), None);
    }

    #[test]
    fn a_star_stands_for_any_letters() {
        let check = |pattern: &str, name: &str, expected: bool| {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        };
        check("_ga", "_ga", true);
        check("_ga", "_gat", false);
        check("_ga_*", "_ga_X1", true);
        check("*_id", "my_id", true);
        check("a*b*c", "a-b-c", true);
        check("a*b*c", "a-c-b", false);
        check("ab*b", "ab", false);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = (vendor_list(&bytes), disclosure(&bytes));
        }

        #[test]
        fn any_names_are_compared(pattern in "\\PC{0,20}", name in "\\PC{0,20}", domain in "\\PC{0,20}") {
            let entry = Disclosed {
                identifier: pattern, kind: "cookie".into(), max_age_s: None, refreshed: false, purposes: vec![],
                domains: vec![domain.clone()],
            };
            let _ = entry.is_of(&name, &domain, "shop.test");
        }
    }
}
