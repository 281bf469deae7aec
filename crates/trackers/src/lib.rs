//! What a cookie, a storage key or a request is: by lists, by name, and by what it does.
//!
//! Values in, values out: no files, no network, no clock. The lists are part of the program. What the lists do not know
//! is judged by behaviour (who wrote it, how long it lives, whether it tells two visitors apart, where it went), and
//! only strong behaviour makes a tracker. The rest ends in [`Class::Unknown`] and a question to the controller: scanning
//! tools list cookies but cannot tell their nature (EDPB Cookie Banner Taskforce report, 17 January 2023, paragraph 29).
//!
//! Out of scope: whether storing was lawful at that moment (`inspection`), and what purposes the site claims (`banner`).
//!
//! In reading order: the words ([`class`]), hosts and parties ([`host`]), what identifies a visitor ([`identifier`]), the
//! data ([`cookie_database`], [`filter_lists`], [`names`]), then the judgements ([`cookie`], [`storage`], [`request`]) and
//! the signals that tools hand to each other ([`signals`]) and what vendors declare ([`disclosure`]).
//!
//! # Example
//!
//! ```
//! use vigie_trackers::{Classifier, CookieFacts, Party};
//!
//! let classifier = Classifier::bundled();
//! let found = classifier.cookie(&CookieFacts {
//!     name: "_ga",
//!     value: "GA1.1.1234567890.1764000000",
//!     domain: "example.org",
//!     party: Party::First,
//!     http_only: false,
//!     lifetime_s: Some(63_072_000.0),
//!     set_by: Some("https://www.googletagmanager.com/gtag/js?id=G-1"),
//!     value_in_other_profile: None,
//!     sent_to_third_party: false,
//!     written_by_choice: false,
//! });
//! assert_eq!(found.exempt, Some(false));
//! ```

pub mod class;
pub mod host;
pub mod identifier;

mod classifier;
mod consent_record;
pub mod cookie;
pub mod cookie_database;
pub mod filter_lists;
pub mod names;
pub mod request;
mod sorted;
pub mod storage;

pub mod disclosure;
pub mod signals;

#[cfg(test)]
mod tests;

pub use class::{Basis, Class, Classification, TrackerMatch};
pub use classifier::{Classifier, TrackerHosts};
pub use cookie::CookieFacts;
pub use host::{Party, host_of, party, registrable_domain};
pub use identifier::is_identifier;
pub use request::RequestFacts;
