//! The truth of a fixture site: what a careful person finds on it, in one format.
//!
//! Only tests read it. A program that inspects must not: it is the answer, not a hint.

use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// The content of a site's `expected.json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// What the site is about, in a sentence.
    pub about: String,
    /// Whether a person sees a consent banner within eight seconds.
    pub banner: bool,
    /// Where the banner is; none without a banner.
    #[serde(rename = "where")]
    pub place: Option<Place>,
    /// The banner's language, by its two-letter code; none without a banner.
    pub language: Option<String>,
    /// The controls of the first layer; none without a banner.
    pub first_layer: Option<FirstLayer>,
    /// The fewest clicks that do it; none where no number does.
    pub clicks: Clicks,
    /// Labels of the controls clicked, in order: one shortest path of each kind.
    pub paths: BTreeMap<String, Vec<String>>,
    /// Whether a switch of a purpose that needs consent is on when first shown, on any layer.
    pub preticked: bool,
    /// Names of all cookies at the end of the visit, by scenario; `name (domain)` for those of third parties.
    pub cookies: BTreeMap<String, Vec<String>>,
    /// Other hosts that were asked for something: in S0 ever, in S1 to S3 after the click that decides.
    pub trackers: BTreeMap<String, Vec<String>>,
    /// Keys of other storage at the end of the visit, as `kind key`; only where the site is about storage.
    #[serde(default)]
    pub storage: BTreeMap<String, Vec<String>>,
    /// Verdicts by rule: only those that the site is about.
    pub findings: BTreeMap<String, Verdict>,
}

/// Where a banner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// In the page's own document.
    Document,
    /// In a frame.
    Iframe,
    /// In a shadow root, open or closed.
    Shadow,
}

/// What the first layer offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstLayer {
    /// A control accepts everything.
    pub accept: bool,
    /// A control refuses everything that needs consent, in one click.
    pub refuse: bool,
    /// A control shows more: settings, details, another tab.
    pub settings: bool,
    /// A control closes, and does not say what that means.
    pub close: bool,
}

/// The fewest clicks to each outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clicks {
    /// To accept everything.
    pub accept: Option<u8>,
    /// To refuse everything that needs consent.
    pub refuse: Option<u8>,
    /// To withdraw, once accepted.
    pub withdraw: Option<u8>,
}

/// A verdict, in the words of the program's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The rule is not kept.
    Breach,
    /// The rule is kept.
    Conform,
    /// The rule has no object here.
    NotApplicable,
    /// A person has to decide.
    Inconclusive,
}

/// Why the truth of a site could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ExpectedError {
    /// The file or folder could not be read.
    #[error("reading `{}` failed", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is not in the format.
    #[error("`{}` does not hold the truth of a fixture site", path.display())]
    Format {
        /// Which.
        path: PathBuf,
        /// Where, and what was expected.
        #[source]
        source: serde_json::Error,
    },
}

impl Expected {
    /// Reads the truth of the site in a folder.
    ///
    /// # Errors
    ///
    /// [`ExpectedError`], with the path of the file.
    pub fn read(site: &Path) -> Result<Self, ExpectedError> {
        let path = site.join("expected.json");
        let text = fs::read_to_string(&path).map_err(|source| ExpectedError::Read { path: path.clone(), source })?;
        serde_json::from_str(&text).map_err(|source| ExpectedError::Format { path, source })
    }
}

/// Returns the repository's folder of fixture sites.
///
/// It is the place at compile time: for tests, which run where they were built.
pub fn fixture_sites() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/sites")
}

/// Reads the truth of every site in a folder, by site id, sorted.
///
/// # Errors
///
/// [`ExpectedError`] of the first site that has no readable truth.
pub fn read_all(folder: &Path) -> Result<Vec<(String, Expected)>, ExpectedError> {
    let failed = |source| ExpectedError::Read { path: folder.to_owned(), source };
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.join("index.html").is_file() {
            let id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            all.push((id, Expected::read(&path)?));
        }
    }
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(all)
}
