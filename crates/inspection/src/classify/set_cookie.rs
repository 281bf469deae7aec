//! Reads a `Set-Cookie` value or a `document.cookie` assignment: value, domain, path and life.
//!
//! Lenient, as browsers are: what cannot be read is absent, never guessed.
//!
//! # Source
//!
//! RFC 6265, sections 5.1.1 (dates) and 5.2 (attributes).

use jiff::{Timestamp, civil, tz::TimeZone};

/// The parts that matter here.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct SetCookie {
    /// The value, without quotes around it.
    pub value: String,
    /// The `Domain` attribute in lower case, without a leading dot.
    pub domain: Option<String>,
    /// The `Path` attribute, where it begins with a slash.
    pub path: Option<String>,
    /// `Max-Age` in seconds.
    pub max_age_s: Option<f64>,
    /// `Expires`.
    pub expires: Option<Timestamp>,
}

impl SetCookie {
    /// Reads a whole line, name first.
    pub(super) fn parse(raw: &str) -> Self {
        let mut parts = raw.split(';');
        let pair = parts.next().unwrap_or_default();
        let value = pair.split_once('=').map_or(pair, |(_, value)| value).trim().trim_matches('"').to_owned();
        let mut read = Self { value, ..Self::default() };
        // The last of several equal attributes wins.
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let value = value.trim();
            match name.trim().to_ascii_lowercase().as_str() {
                "domain" => {
                    let domain = value.trim_start_matches('.').to_ascii_lowercase();
                    read.domain = (!domain.is_empty()).then_some(domain);
                }
                "path" => read.path = value.starts_with('/').then(|| value.to_owned()),
                "max-age" => {
                    let seconds = value.parse::<i64>().ok().map(|seconds| seconds as f64);
                    read.max_age_s = seconds.or(read.max_age_s);
                }
                "expires" => read.expires = date(value).or(read.expires),
                _ => {}
            }
        }
        read
    }

    /// Returns how many seconds it was to live from its writing; `None` for a session cookie.
    ///
    /// An expiry is a date in whole seconds, reckoned a moment before the write was seen. A life within two seconds of
    /// whole minutes is taken for those.
    pub(super) fn lifetime_s(&self, written: Timestamp) -> Option<f64> {
        let until = |expires: Timestamp| {
            let life = expires.duration_since(written).as_secs_f64();
            let minutes = (life / 60.0).round() * 60.0;
            if (life - minutes).abs() <= 2.0 && minutes > 0.0 { minutes } else { life }
        };
        self.max_age_s.or_else(|| self.expires.map(until))
    }
}

/// Reads a cookie's date in any of the forms that browsers read; all are taken for UTC.
fn date(text: &str) -> Option<Timestamp> {
    let is_delimiter = |c: char| !(c.is_ascii_alphanumeric() || c == ':');
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in text.split(is_delimiter).filter(|token| !token.is_empty()) {
        if time.is_none() && token.contains(':') {
            time = clock(token);
        } else if day.is_none() && token.len() <= 2 && token.bytes().all(|byte| byte.is_ascii_digit()) {
            day = token.parse::<i8>().ok();
        } else if month.is_none() && month_of(token).is_some() {
            month = month_of(token);
        } else if year.is_none() && token.bytes().all(|byte| byte.is_ascii_digit()) {
            year = token.parse::<i16>().ok().map(|year| match year {
                70..=99 => year + 1900,
                0..=69 => year + 2000,
                _ => year,
            });
        }
    }
    let (hour, minute, second) = time?;
    let date = civil::DateTime::new(year?, month?, day?, hour, minute, second, 0).ok()?;
    date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

fn clock(token: &str) -> Option<(i8, i8, i8)> {
    let mut parts = token.split(':').map(|part| part.parse::<i8>().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

fn month_of(token: &str) -> Option<i8> {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let start = token.get(..3)?.to_ascii_lowercase();
    MONTHS.iter().position(|month| *month == start).map(|at| at as i8 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_read_from_either_attribute() {
        let written: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let check = |raw: &str, expected: Option<f64>| {
            assert_eq!(SetCookie::parse(raw).lifetime_s(written), expected, "{raw}");
        };
        check("a=1", None);
        check("a=1; Max-Age=60; Path=/", Some(60.0));
        check("a=1; max-age=soon", None);
        check("a=1; expires=Sun, 22 Nov 2026 10:01:00 GMT", Some(60.0));
        check("a=1; expires=Sunday, 22-Nov-26 10:01:00 GMT", Some(60.0));
        check("a=1; expires=Sun Nov 22 10:01:00 2026", Some(60.0));
        check("a=1; expires=Sun, 22 Nov 2026 10:01:00 GMT; max-age=5", Some(5.0));
        check("a=1; expires=never", None);
        // Written some milliseconds after the script reckoned the date, whose fractions are lost.
        check("a=1; expires=Sun, 22 Nov 2026 10:59:59 GMT", Some(3600.0));
        check("a=1; expires=Sun, 22 Nov 2026 10:00:31 GMT", Some(31.0));
    }

    #[test]
    fn domains_lose_their_dot_and_paths_begin_with_a_slash() {
        let read = SetCookie::parse("a=\"b=c\"; Domain=.Example.ORG; path=x");
        assert_eq!(read.value, "b=c");
        assert_eq!(read.domain.as_deref(), Some("example.org"));
        assert_eq!(read.path, None);
    }
}
