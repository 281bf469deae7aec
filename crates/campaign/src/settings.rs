//! What a campaign was started with, and keeps: repeats, pacing, the retry rule, how sites are inspected.
//!
//! They are stored in the campaign's folder. Numbers from sites that were inspected in different ways must not be
//! added up, so resuming with others is refused unless asked for, and then the change is kept with its time.

use crate::document::Outcome;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, num::NonZeroU16, time::Duration};

/// A campaign's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// How often each site is inspected.
    pub repeats: NonZeroU16,
    /// How long a registrable domain is left alone between two inspections.
    #[serde(rename = "pause_ms", with = "milliseconds")]
    pub pause: Duration,
    /// When a site is tried again.
    pub retry: RetryRule,
    /// How sites are inspected, as the program that inspects names it (`locale`, `viewport`, …).
    ///
    /// Opaque here; handed to every inspection, on whatever machine it runs.
    pub inspection: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            repeats: NonZeroU16::MIN,
            pause: Duration::from_secs(2),
            retry: RetryRule::default(),
            inspection: BTreeMap::new(),
        }
    }
}

/// When a site that was not inspected is tried again, and how often.
///
/// # Source
///
/// Ours: networks mend themselves within minutes, walls seldom do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryRule {
    /// Waits before each further try of what was `unreachable` or `failed`.
    #[serde(rename = "unreachable_and_failed_ms", with = "list_of_milliseconds")]
    pub unreachable_and_failed: Vec<Duration>,
    /// Waits before each further try of what was `blocked`.
    #[serde(rename = "blocked_ms", with = "list_of_milliseconds")]
    pub blocked: Vec<Duration>,
}

impl Default for RetryRule {
    fn default() -> Self {
        Self {
            unreachable_and_failed: vec![Duration::from_secs(30), Duration::from_secs(300)],
            blocked: vec![Duration::from_secs(300)],
        }
    }
}

impl RetryRule {
    /// Returns how long to wait before trying again, or `None` if this outcome stands.
    ///
    /// `attempts` counts all attempts so far, this one included.
    pub fn wait(&self, outcome: Outcome, attempts: u32) -> Option<Duration> {
        let waits = match outcome {
            Outcome::Inspected => return None,
            Outcome::Unreachable | Outcome::Failed => &self.unreachable_and_failed,
            Outcome::Blocked => &self.blocked,
        };
        waits.get(usize::try_from(attempts).ok()?.checked_sub(1)?).copied()
    }
}

impl fmt::Display for RetryRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waits = |waits: &[Duration]| match waits {
            [] => "is not tried again".to_owned(),
            [once] => format!("is tried once more, after {}", words(*once)),
            several => {
                let each: Vec<_> = several.iter().map(|wait| words(*wait)).collect();
                format!("is tried up to {} more times, after {}", several.len(), each.join(", then "))
            }
        };
        write!(
            f,
            "A site that is unreachable or whose inspection fails {}; a site that blocks the visit {}. Further tries \
             come at the end of the queue. What stays unreachable, failed or blocked is reported as such",
            waits(&self.unreachable_and_failed),
            waits(&self.blocked)
        )
    }
}

/// Returns a duration in words.
fn words(duration: Duration) -> String {
    match duration.as_millis() {
        ms if ms % 60_000 == 0 && ms > 0 => format!("{} min", ms / 60_000),
        ms if ms % 1000 == 0 => format!("{} s", ms / 1000),
        ms => format!("{ms} ms"),
    }
}

/// A setting that differs from the stored one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differing {
    /// Which.
    pub name: String,
    /// As stored.
    pub stored: String,
    /// As wanted now.
    pub wanted: String,
}

impl fmt::Display for Differing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is `{}`, not `{}`", self.name, self.stored, self.wanted)
    }
}

impl Settings {
    /// Returns in what other settings differ from these, by name.
    pub fn differences(&self, wanted: &Self) -> Vec<Differing> {
        let (stored, wanted) = (self.by_name(), wanted.by_name());
        let mut names: Vec<&String> = stored.keys().chain(wanted.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let value = |of: &BTreeMap<String, String>, name: &str| of.get(name).map_or("unset", String::as_str).to_owned();
        names
            .into_iter()
            .map(|name| Differing { name: name.clone(), stored: value(&stored, name), wanted: value(&wanted, name) })
            .filter(|difference| difference.stored != difference.wanted)
            .collect()
    }

    /// Returns every setting by its name, for people.
    pub fn by_name(&self) -> BTreeMap<String, String> {
        let waits = |waits: &[Duration]| waits.iter().map(|wait| words(*wait)).collect::<Vec<_>>().join(", ");
        let mut named = self.inspection.clone();
        named.insert("repeat".to_owned(), self.repeats.to_string());
        named.insert("pause".to_owned(), words(self.pause));
        named.insert("retry-unreachable".to_owned(), waits(&self.retry.unreachable_and_failed));
        named.insert("retry-blocked".to_owned(), waits(&self.retry.blocked));
        named
    }
}

mod milliseconds {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(duration.as_millis() as u64)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

mod list_of_milliseconds {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub fn serialize<S: Serializer>(durations: &[Duration], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(durations.iter().map(|duration| duration.as_millis() as u64))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Duration>, D::Error> {
        Ok(Vec::<u64>::deserialize(deserializer)?.into_iter().map(Duration::from_millis).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_retry_rule_is_the_one_that_is_documented() {
        let rule = RetryRule::default();
        let check = |outcome, attempts, expected: Option<u64>| {
            assert_eq!(rule.wait(outcome, attempts), expected.map(Duration::from_secs), "{outcome:?} {attempts}");
        };
        check(Outcome::Inspected, 1, None);
        for outcome in [Outcome::Unreachable, Outcome::Failed] {
            check(outcome, 1, Some(30));
            check(outcome, 2, Some(300));
            check(outcome, 3, None);
        }
        check(Outcome::Blocked, 1, Some(300));
        check(Outcome::Blocked, 2, None);
        insta::assert_snapshot!(rule, @"A site that is unreachable or whose inspection fails is tried up to 2 more times, after 30 s, then 5 min; a site that blocks the visit is tried once more, after 5 min. Further tries come at the end of the queue. What stays unreachable, failed or blocked is reported as such");
    }

    #[test]
    fn differences_are_named() {
        let stored = Settings { inspection: [("locale".into(), "fr-FR".into())].into(), ..Settings::default() };
        let mut wanted = stored.clone();
        assert!(stored.differences(&wanted).is_empty());
        wanted.repeats = NonZeroU16::new(3).unwrap();
        wanted.inspection = [("timezone".into(), "Europe/Paris".into())].into();
        let said: Vec<_> = stored.differences(&wanted).iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "`locale` is `fr-FR`, not `unset`",
                "`repeat` is `1`, not `3`",
                "`timezone` is `unset`, not `Europe/Paris`"
            ]
        );
    }

    #[test]
    fn settings_read_back_as_they_were() {
        let settings = Settings::default();
        assert_eq!(serde_json::from_str::<Settings>(&serde_json::to_string(&settings).unwrap()).unwrap(), settings);
    }
}
