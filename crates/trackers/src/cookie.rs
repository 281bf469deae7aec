//! What a cookie is: the order of evidence, from names that are certain to behaviour that is strong.
//!
//! 1. A consent tool's cookie keeps the choice.
//! 2. A known tracker's name.
//! 3. A name that serves an exempt end, on a value that singles nobody out.
//! 4. What looks like the record of a choice.
//! 5. The Open Cookie Database, where it speaks against.
//! 6. A list names the host that wrote it, or whose it is.
//! 7. A name that serves an exempt end, unless the cookie behaves otherwise.
//! 8. The database, where it speaks for.
//! 9. Strong behaviour.
//! 10. A question.
//!
//! The order is that of DOMAIN.md, section A.3, with names that speak *for* a cookie after lists that speak against its
//! writer: a tracker may call its cookie anything.
//!
//! [`Classification::why`] holds no value of any cookie.

use crate::{
    class::{Basis, Class, Classification, TrackerMatch},
    classifier::{Classifier, TrackerHosts},
    consent_record::{name_speaks_of_choice, value_is_choice},
    cookie_database,
    host::{Party, host_of, party},
    identifier::tells_apart,
};

/// Least life in seconds from which an identifier of the site itself is long-lived: more than 7 days. Ours; it is the
/// life that Safari's tracking prevention leaves to cookies written by scripts.
pub const LONG_LIVED_S: f64 = 7.0 * 86_400.0;

/// Least life in seconds from which an identifier of a third party is long-lived: more than a day. Ours.
pub const LONG_LIVED_THIRD_PARTY_S: f64 = 86_400.0;

/// What is known of a cookie at the end of a visit.
#[derive(Debug, Clone, Copy)]
pub struct CookieFacts<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value.
    pub value: &'a str,
    /// Its domain, with or without a leading dot.
    pub domain: &'a str,
    /// Whose domain that is, seen from the site.
    pub party: Party,
    /// Hidden from scripts.
    pub http_only: bool,
    /// Life in seconds from its writing; `None` for a session cookie.
    pub lifetime_s: Option<f64>,
    /// The address whose response header set it, or the innermost script that wrote it; `None` if not observed.
    pub set_by: Option<&'a str>,
    /// The value of the same cookie in another profile's jar; `None` without one.
    pub value_in_other_profile: Option<&'a str>,
    /// Whether its value went to a third party (for a third party's cookie: whether it was sent at all).
    pub sent_to_third_party: bool,
    /// Whether it was first written right after the visitor's choice was clicked, in acceptance and in refusal, by the
    /// site or by a consent tool.
    pub written_by_choice: bool,
}

/// How long something stays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Life {
    /// Until the browser or the tab is closed.
    Session,
    /// This many seconds.
    Seconds(f64),
    /// Until somebody removes it.
    Unlimited,
}

impl Life {
    fn is_longer_than(self, seconds: f64) -> bool {
        match self {
            Self::Session => false,
            Self::Seconds(life) => life > seconds,
            Self::Unlimited => true,
        }
    }

    fn in_words(self) -> String {
        match self {
            Self::Session => "until the session ends".to_owned(),
            Self::Seconds(life) if life >= 2.0 * 86_400.0 => format!("{:.0} days", life / 86_400.0),
            Self::Seconds(life) => format!("{life:.0} s"),
            Self::Unlimited => "without end".to_owned(),
        }
    }
}

/// A cookie or a storage key, in the terms of this module.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item<'a> {
    /// `cookie` or `key`, for the reasons.
    pub noun: &'static str,
    pub name: &'a str,
    pub value: &'a str,
    /// The cookie's domain, or the storage's host, where known.
    pub host: Option<&'a str>,
    pub party: Party,
    pub http_only: bool,
    pub life: Life,
    pub set_by: Option<&'a str>,
    pub other: Option<&'a str>,
    pub sent: bool,
    pub chosen: bool,
}

impl Item<'_> {
    fn tells_apart(&self) -> bool {
        tells_apart(self.value, self.other)
    }
}

impl Classifier {
    /// Returns what a cookie is, knowing nothing of the visit but these facts.
    pub fn cookie(&self, facts: &CookieFacts<'_>) -> Classification {
        self.cookie_given(facts, &TrackerHosts::default())
    }

    /// Returns what a cookie is, knowing also which hosts of the visit were found to be trackers.
    pub fn cookie_given(&self, facts: &CookieFacts<'_>, trackers: &TrackerHosts) -> Classification {
        let host = facts.domain.trim_start_matches('.').to_ascii_lowercase();
        let item = Item {
            noun: "cookie",
            name: facts.name,
            value: facts.value,
            host: Some(&host),
            party: facts.party,
            http_only: facts.http_only,
            life: facts.lifetime_s.map_or(Life::Session, Life::Seconds),
            set_by: facts.set_by,
            other: facts.value_in_other_profile,
            sent: facts.sent_to_third_party,
            chosen: facts.written_by_choice,
        };
        self.classify(&item, trackers)
    }

    pub(crate) fn classify(&self, item: &Item<'_>, trackers: &TrackerHosts) -> Classification {
        let against = self.tracker_behind(item, trackers);
        self.consent_tool(item, against.as_ref())
            .or_else(|| self.known_tracker(item))
            .or_else(|| self.exempt_despite_writer(item))
            .or_else(|| record_of_choice(item))
            .or_else(|| Self::database_against(item))
            .or_else(|| against.map(|found| by_list(item, &found)))
            .or_else(|| self.exempt_name(item))
            .or_else(|| Self::database_for(item))
            .or_else(|| self.strong_behaviour(item))
            .unwrap_or_else(|| question(item))
    }

    /// Returns why the host that wrote it, or whose it is, is a tracker.
    fn tracker_behind(&self, item: &Item<'_>, trackers: &TrackerHosts) -> Option<TrackerMatch> {
        let writer = item.set_by.and_then(host_of);
        if writer.as_deref().is_some_and(|host| self.names.consent_host(host).is_some()) {
            return None;
        }
        let site = if item.party == Party::First { item.host } else { None };
        let written = item.set_by.and_then(|url| self.listed_writer(url, site.unwrap_or("")));
        let observed = || writer.as_deref().and_then(|host| trackers.get(host)).cloned();
        let owned = || {
            let host = item.host.filter(|_| item.party == Party::Third)?;
            let known = self.names.tracker_host(host).map(|tracker| TrackerMatch {
                why: format!("{} is a known tracker", tracker.name),
                class: tracker.class,
            });
            known.or_else(|| self.listed_host(host, Party::Third)).or_else(|| trackers.get_party(host).cloned())
        };
        written.or_else(observed).or_else(owned)
    }

    fn consent_tool(&self, item: &Item<'_>, against: Option<&TrackerMatch>) -> Option<Classification> {
        let tools = match item.noun {
            "cookie" => self.names.consent_cookie(item.name),
            _ => self.names.consent_key(item.name),
        };
        // A tracker's own cookie on its own domain keeps no choice of this site, whatever its name.
        if tools.is_empty() || (item.party == Party::Third && against.is_some()) {
            return None;
        }
        let platform = tools.join(" or ");
        Some(Classification {
            class: Class::Consent,
            exempt: Some(true),
            why: format!("keeps the visitor's choice: {platform}"),
            platform: Some(platform),
            basis: Basis::CookieDatabase,
        })
    }

    fn known_tracker(&self, item: &Item<'_>) -> Option<Classification> {
        let tracker = self.names.tracker_name(item.name)?;
        Some(Classification {
            class: tracker.class,
            exempt: tracker.class.is_exempt(),
            why: format!("a {} of {}", item.noun, tracker.name),
            platform: Some(tracker.name.clone()),
            basis: Basis::CookieDatabase,
        })
    }

    fn database_against(item: &Item<'_>) -> Option<Classification> {
        let row = find_row(item)?;
        (row.class.is_exempt() == Some(false)).then(|| by_database(row, Some(false), ""))
    }

    /// Tag managers run the site's own snippets, so an exempt name that singles nobody out is believed whoever wrote it.
    /// Robot protection is believed on a tracker's domain too, if it is short: networks put it on all they carry.
    fn exempt_despite_writer(&self, item: &Item<'_>) -> Option<Classification> {
        let is_short = !item.life.is_longer_than(LONG_LIVED_S);
        let is_protection = || self.names.exempt(item.name).is_some_and(|kind| kind.class == Class::Security);
        let is_plain = item.party == Party::First && !item.tells_apart();
        (is_plain || (is_short && is_protection())).then(|| self.exempt_name(item)).flatten()
    }

    fn exempt_name(&self, item: &Item<'_>) -> Option<Classification> {
        let kind = self.names.exempt(item.name)?;
        let answer = |exempt, why: String| {
            Some(Classification { class: kind.class, exempt, why, platform: None, basis: Basis::CookieDatabase })
        };
        if let Some(disputed) = &kind.disputed {
            return answer(None, format!("{}; {disputed}", kind.why));
        }
        let tells_apart = item.tells_apart();
        match kind.class {
            // A setting or a technical state that singles the visitor out is neither.
            Class::Preference | Class::Functional if tells_apart => None,
            Class::Security => answer(Some(true), kind.why.clone()),
            _ if item.party == Party::Third => {
                answer(None, format!("named like one for {}, but of a third party: ask what for", kind.why))
            }
            _ if tells_apart && item.sent => {
                answer(None, format!("named like one for {}, but handed to a third party: ask what for", kind.why))
            }
            _ => answer(Some(true), kind.why.clone()),
        }
    }

    fn database_for(item: &Item<'_>) -> Option<Classification> {
        let row = find_row(item)?;
        let tells_apart = item.tells_apart();
        match row.class {
            Class::Security => Some(by_database(row, Some(true), "")),
            Class::Preference if !tells_apart => Some(by_database(row, Some(true), "")),
            Class::Functional if item.party == Party::First && !item.sent => {
                let lasts = item.life.is_longer_than(LONG_LIVED_THIRD_PARTY_S);
                if tells_apart && lasts && !item.http_only {
                    let remark = format!("; yet it singles the visitor out and lasts {}: ask", item.life.in_words());
                    Some(by_database(row, None, &remark))
                } else {
                    Some(by_database(row, Some(true), ""))
                }
            }
            _ => None,
        }
    }

    fn strong_behaviour(&self, item: &Item<'_>) -> Option<Classification> {
        if !item.tells_apart() {
            return None;
        }
        let life = item.life.in_words();
        let strong = |why: String| {
            Some(Classification {
                class: Class::Unknown,
                exempt: Some(false),
                why,
                platform: None,
                basis: Basis::Behaviour,
            })
        };
        if item.party == Party::Third {
            let lasts = item.life.is_longer_than(LONG_LIVED_THIRD_PARTY_S);
            return if lasts { strong(format!("a third party's identifier, lasting {life}")) } else { None };
        }
        if !item.life.is_longer_than(LONG_LIVED_S) {
            return None;
        }
        if item.sent {
            return strong(format!("an identifier lasting {life}, handed to a third party"));
        }
        // Where the storage belongs is needed to tell whose script wrote it.
        let (site, url) = (item.host?, item.set_by?);
        let writer = host_of(url)?;
        if self.names.is_library_host(&writer) || self.names.consent_host(&writer).is_some() {
            return None;
        }
        if party(&writer, site) == Party::Third {
            return strong(format!("an identifier lasting {life}, written by `{writer}`, a third party"));
        }
        if writer != site && writer.trim_start_matches("www.") != site && is_picture(url) {
            return strong(format!("an identifier lasting {life}, set by a picture of `{writer}`"));
        }
        None
    }
}

fn find_row(item: &Item<'_>) -> Option<cookie_database::Row> {
    let writer = item.set_by.and_then(host_of);
    cookie_database::find(item.name, item.host, item.party, writer.as_deref())
}

fn by_database(row: cookie_database::Row, exempt: Option<bool>, remark: &str) -> Classification {
    let platform = (!row.platform.is_empty()).then(|| row.platform.to_owned());
    let named = platform.as_deref().map(|platform| format!(": {platform}")).unwrap_or_default();
    Classification {
        class: row.class,
        exempt,
        why: format!("Open Cookie Database{named}{remark}"),
        platform,
        basis: Basis::CookieDatabase,
    }
}

fn by_list(item: &Item<'_>, found: &TrackerMatch) -> Classification {
    let writer = item.set_by.and_then(host_of).or_else(|| item.host.map(str::to_owned)).unwrap_or_default();
    Classification {
        class: found.class,
        exempt: Some(false),
        why: format!("set by `{writer}`, a tracker ({})", found.why),
        platform: None,
        basis: if found.why.starts_with("Easy") || found.why.contains("known tracker") {
            Basis::FilterList
        } else {
            Basis::Behaviour
        },
    }
}

/// A choice's record by its looks: the site's own, and either written at the moment of choice or named and worded like one.
fn record_of_choice(item: &Item<'_>) -> Option<Classification> {
    if item.party == Party::Third {
        return None;
    }
    let (named, worded) = (name_speaks_of_choice(item.name), value_is_choice(item.value));
    let why = match (item.chosen, named, worded) {
        (true, _, true) | (true, true, false) => "written when the visitor chose, and worded like the choice",
        (true, false, false) if !item.tells_apart() => {
            "written when the visitor chose, in acceptance and refusal alike"
        }
        (false, true, true) => "named and worded like the record of a choice",
        (true | false, ..) => return None,
    };
    Some(Classification {
        class: Class::Consent,
        exempt: Some(true),
        why: why.to_owned(),
        platform: None,
        basis: Basis::Behaviour,
    })
}

/// What is left: the reasons for and against, and a question.
fn question(item: &Item<'_>) -> Classification {
    let noun = item.noun;
    let life = item.life.in_words();
    let unknown = |why: String| Classification {
        class: Class::Unknown,
        exempt: None,
        why,
        platform: None,
        basis: Basis::Unknown,
    };
    if !item.tells_apart() {
        let is_same = item.other.is_some_and(|other| other == item.value);
        if is_same && item.party == Party::First && item.life == Life::Session && !item.sent {
            return Classification {
                class: Class::Functional,
                exempt: Some(true),
                why: format!("a session {noun} of the site with the same value for every visitor, sent to nobody else"),
                platform: None,
                basis: Basis::Behaviour,
            };
        }
        return unknown(format!("an unknown {noun} that singles nobody out, lasting {life}: ask what it is for"));
    }
    if item.party == Party::First && item.life == Life::Session && !item.sent {
        let hidden = if item.http_only { ", hidden from scripts" } else { "" };
        return unknown(format!(
            "an unknown session identifier of the site{hidden}, sent to nobody else; it may be a login or a basket: ask what it is for"
        ));
    }
    unknown(format!("an unknown identifier lasting {life}: ask what it is for"))
}

fn is_picture(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or(url).to_ascii_lowercase();
    [".gif", ".png", ".jpg", ".jpeg", ".webp", ".svg", ".bmp"].iter().any(|ending| path.ends_with(ending))
}
