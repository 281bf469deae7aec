//! TC strings for the tests, policy version 5, made by hand from the specification's field list.

/// Nothing consented to, legitimate interest for purposes 3 and 4.
pub(super) const INTEREST: &str = "CQbbQoAQbbQoAEsABBENB4FgAAAAADAAAAqIAFAAAAAAA";
/// All ten purposes and vendors 1 to 10 consented to.
pub(super) const CONSENT: &str = "CQbbQoAQbbQoAEsABBENB4FgAP_AAAAAAAqIAFP_AAAAA";
/// Nothing at all.
pub(super) const NOTHING: &str = "CQbbQoAQbbQoAEsABBENB4FgAAAAAAAAAAqIAFAAAAAAA";
