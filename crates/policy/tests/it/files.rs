//! The files people write: every fault at once, with its line and a way out; and no text breaks a parser.

use crate::sample::{MAP, ZONES, compile_with, refused};
use proptest::prelude::*;
use vigie_policy::{DataMap, Zones, map::Class};

#[test]
fn the_example_is_read_as_it_is_written() {
    let map = DataMap::parse(MAP).unwrap();
    assert_eq!(map.tables.len(), 6);
    let users = map.table(&"public.users".parse().unwrap()).unwrap();
    assert_eq!(users.column(&"email".parse().unwrap()).unwrap().class, Class::Restricted);
    assert_eq!(map.mask_without_choice(), 0b10_1001, "all but analytics, advertising and research");
    assert_eq!(map.role_prefix(), "vigie_pixelle_");
    assert_eq!(Zones::parse(ZONES).unwrap().as_slice().len(), 5);
}

#[test]
fn all_faults_of_a_map_are_reported_at_once() {
    let map = r#"schema = "data-map/2"
name = "Pix_elle"
subject_type = "bigit"
color = "red"
[[purpose]]
name = "analytics"
term = "analytics"
bit = 63
basis = "consnet"
[[purpose]]
name = "analytics"
term = "dpv:ServiceUsageAnalytics"
bit = 1
basis = "consent"
[[purpose]]
name = "a-purpose-with-a-name-that-is-far-too-long-for-a-role"
term = "dpv:A"
bit = 1
basis = "contract"
[[table]]
name = "users"
owner = ""
subject = "idd"
residency = "EU"
retention = "3 years"
[[table.column]]
name = "id"
class = "pseudonymous"
sealed = "yes"
[[table.column]]
name = "id"
clas = "personal"
[[table]]
name = "public.events"
owner = "o"
subject = "id"
mask = "id"
residency = "EU"
retention = "P1Y"
fanout = "immediately"
[[table.column]]
name = "id"
class = "pseudonymous"
sealed = true
search = true
purposes = ["analitics", 3]
[[table]]
name = "other.events"
owner = "o"
mask = "pmask"
residency = "EU"
retention = "P1YT"
[[table.column]]
name = "email"
class = "restricted"
[[table.column]]
name = "total"
class = "aggregated"
sealed = true
[[table]]
name = "pg_catalog.pg_class"
owner = "o"
residency = "EU"
retention = "P1M2Y"
"#;
    insta::assert_snapshot!(DataMap::parse(map).unwrap_err());
}

#[test]
fn all_faults_of_the_zones_are_reported_at_once() {
    let zones = r#"schema = "zones/1"
[[zone]]
name = "wide"
entities = ["A", "B"]
countries = ["IE", "fr", "NO"]
[[zone]]
name = "narrow"
entities = ["A"]
countries = ["IE"]
groups = ["g"]
[[zone]]
name = "wide"
entities = []
country = ["IE"]
"#;
    insta::assert_snapshot!(Zones::parse(zones).unwrap_err());
    insta::assert_snapshot!(Zones::parse("schema = \"zones/1\"\n").unwrap_err());
    insta::assert_snapshot!(Zones::parse("schema = \"zones/1\"\n[[zone]\nname = \"a\nx").unwrap_err());
}

#[test]
fn faults_of_policies_are_reported_at_once() {
    insta::assert_snapshot!(refused(&[
        ("syntax", "permit (principal, action resource);"),
        ("attribute", "permit (principal, action, resource) when { principal.nationality == \"IE\" };"),
        ("word", "forbid (principal, action, resource) when { principal.zone == \"cn-enginering\" };"),
        ("someone", "permit (principal == Reader::\"alice\", action, resource);"),
        ("whole", "permit (principal, action, resource) when { principal == principal };"),
        ("groups", "permit (principal, action, resource) when { principal.groups.isEmpty() };"),
        ("template", "permit (principal == ?principal, action, resource);"),
        ("empty", "// nothing yet"),
        (
            "twice",
            "@id(\"one\") permit (principal, action, resource); @id(\"one\") forbid (principal, action, resource);"
        ),
        ("action", "permit (principal, action == Action::\"read\", resource);"),
    ]));
}

#[test]
fn a_zone_whose_readers_get_different_answers_is_refused() {
    // A reader of `eu-staff` may be in the group, or in the other country, without being in another zone.
    for (condition, told) in [
        ("!principal.groups.contains(\"suspended\")", "suspended"),
        ("principal.country == \"FR\"", "`FR`"),
        ("principal.entity != \"Pixelle France SAS\"", "Pixelle France SAS"),
    ] {
        let text = format!(
            "permit (principal, action == Action::\"read-aggregate\", resource) when {{ principal.zone == \"eu-staff\" && {condition} }};"
        );
        let why = refused(&[("uneven", &text)]);
        assert!(why.contains("zone `eu-staff` is not of one kind") && why.contains(told), "{why}");
    }
    // Whoever has the group `fraud` and fits `eu-fraud` is there, so staff elsewhere must agree, and they do not.
    let fraud = "permit (principal, action, resource) when { principal.groups.contains(\"fraud\") };";
    assert!(refused(&[("group", fraud)]).contains("is not of one kind"));
    let in_zone = "permit (principal, action, resource) when { principal.zone == \"eu-fraud\" && principal.groups.contains(\"fraud\") };";
    assert!(compile_with(&[("group", in_zone)]).is_ok());
}

#[test]
fn a_map_without_tables_is_read_and_a_deep_one_is_refused_without_harm() {
    let deep = format!("a = {}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(DataMap::parse(&deep).is_err());
    assert!(Zones::parse(&"x".repeat(5 << 20)).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn no_text_breaks_a_parser(text in "\\PC{0,200}") {
        // Either answer is fine; there must be one, and a refusal says something.
        if let Err(faults) = DataMap::parse(&text) {
            prop_assert!(!faults.faults.is_empty());
        }
        if let Err(faults) = Zones::parse(&text) {
            prop_assert!(!faults.faults.is_empty());
        }
    }

    #[test]
    fn no_damage_to_a_map_breaks_the_parser(at in 0..MAP.len(), length in 0..40_usize, with in "[\\PC\n]{0,6}") {
        let floor = |mut at: usize| { while !MAP.is_char_boundary(at) { at -= 1; } at };
        let (from, to) = (floor(at), floor((at + length).min(MAP.len())));
        let text = format!("{}{with}{}", &MAP[..from], &MAP[to.max(from)..]);
        match DataMap::parse(&text) {
            Ok(map) => {
                // What passes holds what the types promise.
                let mut bits: Vec<u8> = map.purposes.iter().map(|purpose| purpose.bit).collect();
                bits.sort_unstable();
                bits.dedup();
                prop_assert_eq!(bits.len(), map.purposes.len());
                for table in &map.tables {
                    match &table.governed {
                        Some(governed) => {
                            prop_assert!(table.column(&governed.subject).is_some());
                            prop_assert!(table.column(&governed.mask).is_none());
                        }
                        None => prop_assert!(table.columns.iter().all(|column| column.class.needs_no_subject())),
                    }
                }
            }
            Err(faults) => {
                let last = text.lines().count() + 1;
                prop_assert!(faults.faults.iter().all(|fault| fault.line >= 1 && fault.line <= last));
            }
        }
    }
}
