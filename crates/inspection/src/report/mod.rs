//! The report of an inspection: one HTML page that stands alone and that a stranger understands.
//!
//! Evidence, the document of its judgement and the pictures go in, a page comes out. It needs no script, asks no
//! server for anything (its content policy forbids it), and shows pictures byte for byte as they are in the evidence.
//! Out of scope: judging, and writing files.
//!
//! In reading order: the page as a whole (`views`), then its parts in the order of the page. What comes from the
//! inspected site (labels, texts, names, addresses) is escaped by the template and isolated by `<bdi>`, so that it can
//! change neither mark-up nor reading direction around it.

mod views;

pub mod language;

mod findings;
mod layers;
mod method;
mod paths;
mod pictures;
mod stored;
mod words;

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;

pub use findings::is_judged;
pub use language::Language;

use crate::{evidence::Evidence, wire::Inspection};
use askama::Template;

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The template could not be filled.
    #[error("the report of `{host}` could not be put together")]
    Template {
        /// The site.
        host: String,
        /// What the template says.
        #[source]
        source: askama::Error,
    },
}

/// Returns the report as one HTML page.
///
/// `pictures` returns a picture's bytes by its path in the evidence, or `None` if there is no such picture; then the
/// page says so. Only PNG is shown.
///
/// # Errors
///
/// [`ReportError::Template`] if the template cannot be filled, which would be a mistake of ours.
pub fn render(
    language: Language,
    evidence: &Evidence,
    document: &Inspection,
    pictures: &dyn Fn(&str) -> Option<Vec<u8>>,
) -> Result<String, ReportError> {
    let page = views::page(language, evidence, document, pictures);
    page.render().map_err(|source| ReportError::Template { host: evidence.site.host.clone(), source })
}
