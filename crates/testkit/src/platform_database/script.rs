//! The script that makes the sample platform's database: its tables, its rows in COPY's text form, its indexes.
//!
//! What happens to many people over years is written in the order of time, as a platform would have stored it.

use super::{
    HIDDEN, Person, PlatformDatabase, SHOWN,
    draw::{Draw, Stream},
    people::{BEGUN, COUNTRIES, TAKEN, Union},
};
use std::io::{self, Write};

const KINDS: [(&str, u64); 7] =
    [("view", 700), ("like", 120), ("follow", 50), ("share", 40), ("comment", 40), ("search", 40), ("purchase", 10)];
const DEVICES: [(&str, u64); 3] = [("android", 55), ("ios", 30), ("web", 15)];
const VISIBILITIES: [(&str, u64); 3] = [("public", 80), ("followers", 15), ("private", 5)];
const SUBJECTS: [&str; 12] = [
    "sourdough",
    "my cat",
    "the night train",
    "a tiny garden",
    "Lisbon",
    "old radios",
    "the sea in winter",
    "chess",
    "bouldering",
    "a violin",
    "Čevapi",
    "bees",
];
const MANNERS: [&str; 8] =
    ["first try at", "one minute of", "learning", "again:", "why I love", "how not to do", "waiting for", "goodbye to"];
const BODIES: [&str; 10] = [
    "see you at eight?",
    "that was so good",
    "ok",
    "haha",
    "can you send me the recipe",
    "bin gleich da",
    "où es-tu ?",
    "świetne!",
    "call me when you can",
    "👏👏",
];
const CURRENCIES: [(&str, &str); 16] = [
    ("BG", "BGN"),
    ("CZ", "CZK"),
    ("DK", "DKK"),
    ("HU", "HUF"),
    ("PL", "PLN"),
    ("RO", "RON"),
    ("SE", "SEK"),
    ("NO", "NOK"),
    ("CH", "CHF"),
    ("GB", "GBP"),
    ("US", "USD"),
    ("BR", "BRL"),
    ("IN", "INR"),
    ("TR", "TRY"),
    ("JP", "JPY"),
    ("CA", "CAD"),
];

pub(super) fn write(database: PlatformDatabase, mut out: impl Write) -> io::Result<()> {
    out.write_all(b"SET client_encoding = 'UTF8';\nSET client_min_messages = warning;\nBEGIN;\n")?;
    out.write_all(include_bytes!("../../../../demo/database/schema.sql"))?;
    countries(&mut out)?;
    let people: Vec<Someone> = users(database, &mut out)?;
    videos(database, &people, &mut out)?;
    events(database, &people, &mut out)?;
    messages(database, &people, &mut out)?;
    payments(database, &people, &mut out)?;
    out.write_all(include_bytes!("../../../../demo/database/indexes.sql"))?;
    out.write_all(b"COMMIT;\n")?;
    out.flush()
}

/// What the rows about a person need of the person.
struct Someone {
    id: i64,
    country: &'static str,
    created_at: u64,
    mask: i64,
}

fn copy(out: &mut impl Write, table: &str) -> io::Result<()> {
    writeln!(out, "COPY public.{table} FROM stdin;")
}

fn end(out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"\\.\n")
}

fn countries(out: &mut impl Write) -> io::Result<()> {
    copy(out, "countries")?;
    for (code, name, union, _) in COUNTRIES {
        let member = match union {
            Union::Member => "t",
            Union::Outside => "f",
        };
        writeln!(out, "{code}\t{name}\t{member}")?;
    }
    end(out)
}

fn users(database: PlatformDatabase, out: &mut impl Write) -> io::Result<Vec<Someone>> {
    copy(out, "users")?;
    let mut people = Vec::with_capacity(database.people as usize);
    for id in 1..=database.people {
        let person = Person::draw(database, id);
        let Person { email, display_name, country, created_at, mask, .. } = &person;
        write!(out, "{id}\t{email}\t")?;
        or_null(out, person.phone.as_ref())?;
        write!(out, "\t{display_name}\t{country}\t")?;
        or_null(out, person.birth_year)?;
        out.write_all(b"\t")?;
        or_null(out, person.ip)?;
        out.write_all(b"\t")?;
        moment(out, *created_at * 1000)?;
        writeln!(out, "\t{mask}")?;
        people.push(Someone { id, country: person.country, created_at: person.created_at, mask: person.mask });
    }
    end(out)?;
    Ok(people)
}

/// Something that somebody did, before it is written.
struct Deed {
    /// In milliseconds since 1970, then person and number: nothing is left to the order of sorting.
    at_ms: u64,
    person: u32,
    number: u32,
}

/// Draws when everybody does something, and returns it in the order of time.
fn deeds(
    database: PlatformDatabase,
    people: &[Someone],
    stream: Stream,
    how_many: impl Fn(&mut Draw, &Someone) -> u64,
) -> Vec<Deed> {
    let mut deeds = Vec::new();
    for (index, someone) in people.iter().enumerate() {
        let mut draw = Draw::new(database.seed, stream, someone.id);
        let most = how_many(&mut draw, someone);
        // Whoever is planted does everything a few times.
        let most = if someone.id <= SHOWN.id { most.max(5) } else { most };
        for number in 0..most as u32 {
            let at_ms = someone.created_at * 1000 + draw.below((TAKEN - someone.created_at).max(1) * 1000);
            deeds.push(Deed { at_ms, person: index as u32, number });
        }
    }
    deeds.sort_unstable_by_key(|deed| (deed.at_ms, deed.person, deed.number));
    deeds
}

/// The numbers of a deed, apart from those of the person's other deeds.
fn numbers(database: PlatformDatabase, stream: Stream, deed: &Deed) -> Draw {
    let person = i64::from(deed.person) + (i64::from(deed.number) + 1) * (1 << 32);
    Draw::new(database.seed, stream, person)
}

fn marker(someone: &Someone) -> Option<&'static str> {
    [HIDDEN, SHOWN].into_iter().find(|planted| planted.id == someone.id).map(|planted| planted.marker)
}

fn videos(database: PlatformDatabase, people: &[Someone], out: &mut impl Write) -> io::Result<()> {
    copy(out, "videos")?;
    let how_many =
        |draw: &mut Draw, _: &Someone| if draw.in_a_thousand(120) { draw.power_law(1.0, 1.2, 500.0) } else { 0 };
    for (id, deed) in (1..).zip(&deeds(database, people, Stream::Videos, how_many)) {
        let (someone, mut draw) = (&people[deed.person as usize], numbers(database, Stream::Videos, deed));
        let (manner, subject) = (draw.one_of(&MANNERS), draw.one_of(&SUBJECTS));
        write!(out, "{id}\t{}\t{manner} {subject}", someone.id)?;
        if let Some(marker) = marker(someone) {
            write!(out, " {marker}")?;
        }
        let views = draw.power_law(3.0, 0.7, 50_000_000.0);
        write!(out, "\t{}\t{views}\t", draw.weighted(&VISIBILITIES))?;
        moment(out, deed.at_ms)?;
        writeln!(out, "\t{}", someone.mask)?;
    }
    end(out)
}

fn events(database: PlatformDatabase, people: &[Someone], out: &mut impl Write) -> io::Result<()> {
    copy(out, "events")?;
    // A power law of this shape that begins at 2 has a mean near 5 once it is cut to whole numbers and to 3,000.
    let how_many = |draw: &mut Draw, _: &Someone| draw.power_law(2.0, 1.6, 3_000.0);
    for (id, deed) in (1..).zip(&deeds(database, people, Stream::Events, how_many)) {
        let (someone, mut draw) = (&people[deed.person as usize], numbers(database, Stream::Events, deed));
        let kind = *draw.weighted(&KINDS);
        write!(out, "{id}\t{}\t{kind}\t", someone.id)?;
        or_null(out, (kind == "purchase").then(|| draw.power_law(99.0, 1.3, 500_000.0)))?;
        write!(out, "\t{}\t", draw.weighted(&DEVICES))?;
        moment(out, deed.at_ms)?;
        writeln!(out, "\t{}", someone.mask)?;
    }
    end(out)
}

fn messages(database: PlatformDatabase, people: &[Someone], out: &mut impl Write) -> io::Result<()> {
    copy(out, "messages")?;
    let how_many =
        |draw: &mut Draw, _: &Someone| if draw.in_a_thousand(400) { draw.power_law(1.0, 1.3, 1_000.0) } else { 0 };
    for (id, deed) in (1..).zip(&deeds(database, people, Stream::Messages, how_many)) {
        let (someone, mut draw) = (&people[deed.person as usize], numbers(database, Stream::Messages, deed));
        // Mostly to a few people who joined at about the same time.
        let near = (someone.id - 1 + draw.below(20).cast_signed() - 10).rem_euclid(database.people) + 1;
        let recipient =
            if draw.in_a_thousand(800) { near } else { draw.below(database.people.cast_unsigned()).cast_signed() + 1 };
        write!(out, "{id}\t{}\t{recipient}\t{}", someone.id, draw.one_of(&BODIES))?;
        if let Some(marker) = marker(someone) {
            write!(out, " {marker}")?;
        }
        out.write_all(b"\t")?;
        moment(out, deed.at_ms)?;
        writeln!(out, "\t{}", someone.mask)?;
    }
    end(out)
}

fn payments(database: PlatformDatabase, people: &[Someone], out: &mut impl Write) -> io::Result<()> {
    copy(out, "payments")?;
    let how_many =
        |draw: &mut Draw, _: &Someone| if draw.in_a_thousand(60) { draw.power_law(1.0, 1.1, 60.0) } else { 0 };
    for (id, deed) in (1..).zip(&deeds(database, people, Stream::Payments, how_many)) {
        let (someone, mut draw) = (&people[deed.person as usize], numbers(database, Stream::Payments, deed));
        let of_country = CURRENCIES.iter().find(|(country, _)| *country == someone.country);
        let currency = of_country.map_or("EUR", |(_, currency)| currency);
        let amount = draw.power_law(199.0, 1.1, 2_000_000.0);
        // The account is the person's, not the payment's.
        let account = Draw::new(database.seed, Stream::Payments, -someone.id).below(10u64.pow(10));
        write!(out, "{id}\t{}\t{}\t{amount}\t{currency}\t", someone.id, iban(account))?;
        moment(out, deed.at_ms)?;
        writeln!(out, "\t{}", someone.mask)?;
    }
    end(out)
}

/// An account number of the made-up country ZZ, with right check digits.
///
/// # Source
///
/// ISO 13616-1: letters count from A = 10, and the number with the country and check digits moved to its end leaves 1 when
/// divided by 97.
fn iban(account: u64) -> String {
    let rest = (u128::from(account) * 1_000_000 + 353_500) % 97;
    format!("ZZ{:02}{account:010}", 98 - rest)
}

fn or_null(out: &mut impl Write, value: Option<impl std::fmt::Display>) -> io::Result<()> {
    match value {
        Some(value) => write!(out, "{value}"),
        None => out.write_all(b"\\N"),
    }
}

/// Writes a moment in UTC.
///
/// # Source
///
/// Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`, for days after 1 March 1970.
fn moment(out: &mut impl Write, at_ms: u64) -> io::Result<()> {
    debug_assert!(at_ms >= BEGUN * 1000, "the formula below is for later days only");
    let (days, second) = (at_ms / 86_400_000, at_ms / 1000 % 86_400);
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second, milli) = (second / 3600, second / 60 % 60, second % 60, at_ms % 1000);
    write!(out, "{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{milli:03}+00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_calendars_have_them() {
        let text = |at_ms| {
            let mut out = Vec::new();
            moment(&mut out, at_ms).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(BEGUN * 1000), "2019-01-01 00:00:00.000+00");
        assert_eq!(text(1_582_934_400_000), "2020-02-29 00:00:00.000+00");
        assert_eq!(text(TAKEN * 1000 - 1), "2026-06-30 23:59:59.999+00");
    }

    #[test]
    fn accounts_have_right_check_digits() {
        for account in [0, 1, 1_234_567_890, 9_999_999_999] {
            let written = iban(account);
            let moved = format!("{}3535{}", &written[4..], &written[2..4]);
            assert_eq!(moved.parse::<u128>().unwrap() % 97, 1, "{written}");
        }
    }
}
