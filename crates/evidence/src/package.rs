//! `datapackage.json` and `datapackage-digest.json`: the list of members, and its signature.
//!
//! Both have one form. The list is covered by the signed hash; of the digest file the verifier makes the bytes again and
//! compares, because nothing is above it.
//!
//! # Source
//!
//! WACZ 1.1.1 §5.2 (`datapackage.json`), Frictionless Data Package; wacz-auth 0.1.0 for the digest file, whose
//! `signedData` has exactly the six properties of an anonymous signature. `timestamp` in the list is ours.

use serde::{Deserialize, Serialize};

/// Names of members that have a role.
pub(crate) const ARCHIVE: &str = "archive/data.warc.gz";
/// The archive's name within its folder, as the index has it.
pub(crate) const ARCHIVE_FILE: &str = "data.warc.gz";
/// Plain text: the players do not read `index.cdx.gz` without a second index beside it.
pub(crate) const INDEX: &str = "indexes/index.cdxj";
pub(crate) const PAGES: &str = "pages/pages.jsonl";
pub(crate) const PACKAGE: &str = "datapackage.json";
pub(crate) const DIGEST: &str = "datapackage-digest.json";
/// What names of timestamps begin with; a number follows, from 1.
///
/// No file ending: py-wacz 0.6 refuses a bundle with a file that is not listed, and overlooks names without a dot.
pub(crate) const TIMESTAMP: &str = "vigie/timestamp-";

/// The list of members.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Package {
    pub(crate) profile: String,
    pub(crate) wacz_version: String,
    pub(crate) created: String,
    pub(crate) software: String,
    /// Whether a timestamp was announced when this was signed.
    pub(crate) timestamp: Expected,
    pub(crate) resources: Vec<Resource>,
}

/// Whether a timestamp is to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    /// One will be asked for. Until it is there, the bundle says that it is pending.
    Expected,
    /// None will be asked for. One may be added all the same.
    NotExpected,
}

/// A member.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resource {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) hash: String,
    pub(crate) bytes: u64,
}

impl Resource {
    /// Returns what the list calls a member. Data packages want lowercase names, each once; the path is what counts.
    pub(crate) fn name(path: &str) -> String {
        path.to_ascii_lowercase().replace('/', "-")
    }

    pub(crate) fn new(path: &str, sha256: &[u8; 32], bytes: u64) -> Self {
        Self { name: Self::name(path), path: path.to_owned(), hash: crate::warc::digest(sha256), bytes }
    }
}

/// The hash of the list, and its signature.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Digest {
    pub(crate) path: String,
    pub(crate) hash: String,
    #[serde(rename = "signedData")]
    pub(crate) signed: Signed,
}

/// An anonymous signature.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signed {
    pub(crate) hash: String,
    pub(crate) created: String,
    pub(crate) software: String,
    /// Of wacz-auth.
    pub(crate) version: String,
    pub(crate) signature: String,
    #[serde(rename = "publicKey")]
    pub(crate) public_key: String,
}

/// Returns the one form of a document.
pub(crate) fn to_bytes(document: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(document).expect("strings and numbers become JSON");
    bytes.push(b'\n');
    bytes
}

/// The first line of the list of pages.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PagesHead {
    format: String,
    id: String,
    title: String,
}

impl Default for PagesHead {
    fn default() -> Self {
        Self { format: "json-pages-1.0".to_owned(), id: "pages".to_owned(), title: "All Pages".to_owned() }
    }
}

/// A page that was visited, for players to offer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    pub(crate) id: String,
    pub(crate) url: String,
    pub(crate) title: String,
    pub(crate) ts: String,
}
