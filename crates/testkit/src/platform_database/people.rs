//! People of the sample platform: where they live, how old they are, what they refuse.
//!
//! People are numbered in the order in which they joined.

use super::{
    ALL_PURPOSES, HIDDEN, PlatformDatabase, SHOWN,
    draw::{Draw, Stream},
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// When the first person joined: 1 January 2019, in seconds since 1970.
pub(super) const BEGUN: u64 = 1_546_300_800;

/// When the picture was taken: 1 July 2026. Nothing is later, and no clock is read.
pub(super) const TAKEN: u64 = 1_782_864_000;

/// Whether a country is in the European Union.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Union {
    Member,
    Outside,
}

/// Code, name, membership and weight of the countries. Weights are in tens of thousands of people: for members, EFTA and
/// the United Kingdom their population in 2024, rounded; for the others what a platform of Europe might have there.
///
/// # Source
///
/// Eurostat, population on 1 January 2024; only the proportions matter here.
pub(super) const COUNTRIES: [(&str, &str, Union, u64); 39] = [
    ("AT", "Austria", Union::Member, 916),
    ("BE", "Belgium", Union::Member, 1183),
    ("BG", "Bulgaria", Union::Member, 645),
    ("CY", "Cyprus", Union::Member, 97),
    ("CZ", "Czechia", Union::Member, 1090),
    ("DE", "Germany", Union::Member, 8345),
    ("DK", "Denmark", Union::Member, 596),
    ("EE", "Estonia", Union::Member, 137),
    ("ES", "Spain", Union::Member, 4861),
    ("FI", "Finland", Union::Member, 560),
    ("FR", "France", Union::Member, 6840),
    ("GR", "Greece", Union::Member, 1040),
    ("HR", "Croatia", Union::Member, 386),
    ("HU", "Hungary", Union::Member, 958),
    ("IE", "Ireland", Union::Member, 534),
    ("IT", "Italy", Union::Member, 5899),
    ("LT", "Lithuania", Union::Member, 289),
    ("LU", "Luxembourg", Union::Member, 67),
    ("LV", "Latvia", Union::Member, 187),
    ("MT", "Malta", Union::Member, 56),
    ("NL", "Netherlands", Union::Member, 1794),
    ("PL", "Poland", Union::Member, 3662),
    ("PT", "Portugal", Union::Member, 1064),
    ("RO", "Romania", Union::Member, 1907),
    ("SE", "Sweden", Union::Member, 1055),
    ("SI", "Slovenia", Union::Member, 212),
    ("SK", "Slovakia", Union::Member, 542),
    ("NO", "Norway", Union::Outside, 555),
    ("IS", "Iceland", Union::Outside, 38),
    ("LI", "Liechtenstein", Union::Outside, 4),
    ("CH", "Switzerland", Union::Outside, 896),
    ("GB", "United Kingdom", Union::Outside, 6835),
    ("US", "United States", Union::Outside, 7000),
    ("BR", "Brazil", Union::Outside, 3500),
    ("IN", "India", Union::Outside, 4000),
    ("TR", "Türkiye", Union::Outside, 1500),
    ("JP", "Japan", Union::Outside, 900),
    ("CA", "Canada", Union::Outside, 800),
    ("AU", "Australia", Union::Outside, 500),
];

/// Ages in 2026 with their share in a hundred; the last is the oldest.
const AGES: [((u64, u64), u64); 7] =
    [((13, 16), 8), ((16, 20), 19), ((20, 25), 24), ((25, 35), 27), ((35, 45), 12), ((45, 60), 8), ((60, 90), 2)];

const FIRST: [&str; 32] = [
    "Ada", "Alva", "Anouk", "Béla", "Bruno", "Chiara", "Dario", "Edda", "Emil", "Fionn", "Greta", "Hugo", "Ilse",
    "Ivo", "Jana", "Jordi", "Kasper", "Léa", "Luka", "Maja", "Mirela", "Nils", "Noor", "Oskar", "Petra", "Rania",
    "Saoirse", "Søren", "Tadeusz", "Umut", "Vera", "Žofie",
];

const LAST: [&str; 28] = [
    "Aalto",
    "Bakker",
    "Costa",
    "Dvořák",
    "Eriksen",
    "Ferrari",
    "Garnier",
    "Horvat",
    "Ionescu",
    "Jansen",
    "Kowalska",
    "Lefèvre",
    "Müller",
    "Novák",
    "O’Neill",
    "Papadaki",
    "Quinn",
    "Rossi",
    "Silva",
    "Tamm",
    "Urban",
    "Virtanen",
    "Weber",
    "Ximénez",
    "Yılmaz",
    "Zieliński",
    "Örn",
    "Șerban",
];

/// Somebody who does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// From 1, in the order of joining.
    pub id: i64,
    /// Unique.
    pub email: String,
    /// In E.164, from a range kept for fiction.
    pub phone: Option<String>,
    /// What others see.
    pub display_name: String,
    /// ISO 3166-1, two letters.
    pub country: &'static str,
    /// The year of birth.
    pub birth_year: Option<i32>,
    /// From a range kept for documentation.
    pub ip: Option<IpAddr>,
    /// In seconds since 1970.
    pub created_at: u64,
    /// Bit n is 1 where the purpose of bit n is not refused; 0 to 62.
    pub mask: i64,
}

impl Person {
    pub(super) fn draw(database: PlatformDatabase, id: i64) -> Self {
        let draw = &mut Draw::new(database.seed, Stream::Person, id);
        let &country = draw.weighted(&COUNTRIES.map(|(code, _, _, weight)| (code, weight)));
        let (first, last) = (draw.one_of(&FIRST), draw.one_of(&LAST));
        let host = draw.weighted(&[("example.org", 5), ("example.com", 4), ("example.net", 1)]);
        let (email, display_name) = match id {
            _ if id == HIDDEN.id => (HIDDEN.email.to_owned(), format!("{first} {}", HIDDEN.marker)),
            _ if id == SHOWN.id => (SHOWN.email.to_owned(), format!("{first} {}", SHOWN.marker)),
            _ => (format!("{}.{id}@{host}", plain(first)), format!("{first} {last}")),
        };
        let share = (TAKEN - BEGUN) / database.people.cast_unsigned();
        let joined = BEGUN + share * (id - 1).cast_unsigned() + draw.below(share.max(1));
        let &(youngest, end) = draw.weighted(&AGES);
        let born = 2026 - (youngest + draw.below(end - youngest)) as i32;
        Self {
            id,
            email,
            phone: (id <= SHOWN.id || draw.in_a_thousand(600)).then(|| phone(draw)),
            display_name,
            country,
            birth_year: (!draw.in_a_thousand(70)).then_some(born),
            ip: (!draw.in_a_thousand(20)).then(|| address(draw)),
            created_at: joined,
            mask: mask(draw, id),
        }
    }

    /// Whether nothing may be done with what is known of this person, as far as it can be refused.
    pub fn refuses_everything(&self) -> bool {
        self.mask == 0
    }
}

/// The letters of a name that are plain, small.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphabetic).map(|letter| letter.to_ascii_lowercase()).collect()
}

/// # Source
///
/// Ofcom, "Telephone numbers for use in TV and radio drama programmes" (+44 7700 900000 to 900999); ARCEP, decision 2018-0881
/// (+33 6 39 98); ComReg, numbers for drama (+353 20 91x); Bundesnetzagentur, "Drama numbers" (+49 30 23125); NANPA (555-0100 to
/// 555-0199); PTS (+46 70 1740605 to 1740699). Cited from memory.
fn phone(draw: &mut Draw) -> String {
    match draw.below(6) {
        0 => format!("+447700900{:03}", draw.below(1000)),
        1 => format!("+3363998{:04}", draw.below(10_000)),
        2 => format!("+35320910{:04}", draw.below(10_000)),
        3 => format!("+493023125{:03}", draw.below(1000)),
        4 => format!("+12025550{:03}", 100 + draw.below(100)),
        _ => format!("+4670174{:04}", 605 + draw.below(95)),
    }
}

fn address(draw: &mut Draw) -> IpAddr {
    if draw.in_a_thousand(450) {
        Ipv4Addr::new(192, 0, 2, draw.below(256) as u8).into()
    } else {
        let rest = draw.number();
        let part = |shift: u32| (rest >> shift) as u16;
        Ipv6Addr::new(0x2001, 0xdb8, part(0), part(16), 0, 0, part(32), part(48)).into()
    }
}

/// Three in a hundred refuse everything, a quarter of the others about a quarter of all purposes.
fn mask(draw: &mut Draw, id: i64) -> i64 {
    let (everything, choosy, some) = (draw.in_a_thousand(30), draw.in_a_thousand(250), draw.number() | draw.number());
    match id {
        _ if id == HIDDEN.id => 0,
        _ if id == SHOWN.id => ALL_PURPOSES,
        _ if everything => 0,
        _ if choosy => some.cast_signed() & ALL_PURPOSES,
        _ => ALL_PURPOSES,
    }
}
