//! What policies mean once compiled: who may, who may not, and the reasons given.

use crate::sample::{MAP, POLICIES, ZONES, compile_with, compiled, name};
use proptest::prelude::*;
use std::{collections::BTreeSet, fmt::Write as _};
use vigie_policy::{
    Action, Asker, Compiled, Conditions, DataMap, Decision, Facts, RoleKind, Zones, compile, decide::Reason,
    names::PolicyName,
};

fn asker(entity: &str, country: &str, groups: &[&str], purpose: Option<&str>) -> Asker {
    Asker {
        facts: Facts {
            entity: name(entity),
            country: name(country),
            groups: groups.iter().map(|group| name(group)).collect(),
            training: true,
        },
        purpose: purpose.map(str::to_owned),
        ticket: false,
        break_glass: false,
    }
}

#[test]
fn decisions_come_with_reasons_and_a_way_out() {
    let compiled = compiled("pixelle");
    let staff = |purpose| asker("Pixelle Ireland Ltd", "IE", &[], purpose);
    let untrained = {
        let mut asker = staff(Some("moderation"));
        asker.facts.training = false;
        asker
    };
    let cases = [
        ("staff, service", staff(Some("service-provision"))),
        ("staff without purpose", staff(None)),
        ("staff, misspelt", staff(Some("analitics"))),
        ("staff, invented", staff(Some("curiosity"))),
        ("staff, moderation without ticket", staff(Some("moderation"))),
        ("staff, moderation untrained", untrained),
        ("staff, fraud", staff(Some("fraud-prevention"))),
        ("fraud team, fraud", asker("Pixelle Ireland Ltd", "NO", &["fraud"], Some("fraud-prevention"))),
        ("support abroad", asker("Pixelle Inc", "US", &["support"], Some("service-provision"))),
        ("support travelling", asker("Pixelle Inc", "CN", &["support"], Some("service-provision"))),
        (
            "engineer abroad, figures",
            asker("Pixelle Technology (Beijing) Co Ltd", "CN", &["engineering"], Some("analytics")),
        ),
        (
            "engineer abroad, service",
            asker("Pixelle Technology (Beijing) Co Ltd", "CN", &["engineering"], Some("service-provision")),
        ),
        ("researcher", asker("Fjord Research AS", "NO", &[], Some("research"))),
    ];
    let mut page = String::new();
    for (who, asker) in cases {
        let decision = compiled.decide(&asker);
        let what = match &decision {
            Decision::Permit { context, .. } => format!("permit as {:?} in zone {}", context.kind, context.zone),
            Decision::Deny { .. } => "deny".to_owned(),
        };
        let _ = writeln!(page, "{who}: {what}\n  detail: {}", decision.detail());
        if let Some(hint) = decision.hint() {
            let _ = writeln!(page, "  hint: {hint}");
        }
    }
    insta::assert_snapshot!(page);
}

#[test]
fn a_forbid_is_named_when_it_is_what_stands_in_the_way() {
    let compiled = compile_with(&[
        ("all", "permit (principal, action, resource);"),
        ("nobody-abroad", "forbid (principal, action, resource) when { principal.zone == \"cn-engineering\" };"),
    ])
    .unwrap();
    let decision =
        compiled.decide(&asker("Pixelle Technology (Beijing) Co Ltd", "CN", &["engineering"], Some("analytics")));
    assert_eq!(decision.reasons(), [Reason::ForbiddenBy(vec![name("nobody-abroad")])]);
}

#[test]
fn a_policy_that_fails_denies_where_it_fails_and_is_reported() {
    // Cedar itself would skip this forbid, and permit.
    let overflows =
        "forbid (principal, action, resource) when { resource.class == \"personal\" && 9223372036854775807 + 1 > 0 };";
    let compiled = compile_with(&[("all", "permit (principal, action, resource);"), ("overflows", overflows)]).unwrap();
    let warnings: Vec<String> = compiled.warnings.iter().map(ToString::to_string).collect();
    assert!(
        warnings.iter().any(|warning| warning.contains("policy `overflows` fails where it is asked")),
        "{warnings:?}"
    );
    let context = compiled.context(&name("research"), &name("partner"), Conditions::default()).unwrap();
    let users = name("public.users");
    assert!(!context.rights.may_read(&users, &name("display_name")), "personal data is denied");
    assert!(context.rights.may_read(&users, &name("created_at")), "where it does not fail it says nothing");
    // A permit that fails may not permit, and takes the others' permits with it.
    let failing = "permit (principal, action, resource) when { 9223372036854775807 + 1 > 0 };";
    let nothing = compile_with(&[("all", "permit (principal, action, resource);"), ("fails", failing)]).unwrap();
    assert!(nothing.contexts.is_empty());
    let decision = nothing.decide(&asker("Fjord Research AS", "NO", &[], Some("research")));
    assert_eq!(decision.reasons(), [Reason::FailedIn(vec![name("fails")])]);
}

#[test]
fn rows_and_figures_are_never_in_one_role() {
    let compiled = compiled("pixelle");
    let context = compiled
        .context(&name("analytics"), &name("eu-staff"), Conditions { training: true, ..Conditions::default() })
        .unwrap();
    let (users, birth_year) = (name("public.users"), name("birth_year"));
    assert!(context.rights.may_aggregate(&users, &birth_year) && !context.rights.may_read(&users, &birth_year));
    let rows = compiled.role(&context.role).unwrap();
    let figures = compiled.role(context.aggregate_role.as_ref().unwrap()).unwrap();
    assert_eq!((rows.kind, figures.kind), (RoleKind::Record, RoleKind::Aggregate));
    assert!(rows.rights.on(&users, &birth_year).is_empty());
    assert!(figures.rights.aggregate_only() && figures.rights.may_aggregate(&users, &birth_year));
    for role in &compiled.roles {
        let reads_rows = role.rights.any(Action::ReadRecord) || role.rights.any(Action::Write);
        let mixed = role.rights.iter().any(|(_, _, actions)| actions.aggregate && !actions.record);
        assert!(!(reads_rows && mixed), "{}", role.name);
        assert!(!role.rights.any(Action::Export), "exports are granted to no role");
    }
}

#[test]
fn restricted_data_stays_in_the_union() {
    let compiled = compiled("pixelle");
    for context in &compiled.contexts {
        let inside = ["eu-staff", "eu-fraud"].contains(&context.zone.as_str());
        for (table, column, actions) in context.rights.iter() {
            let class = compiled.map.table(table).unwrap().column(column).unwrap().class;
            let restricted = class == vigie_policy::map::Class::Restricted;
            assert!(inside || !restricted || actions.is_empty(), "{table}.{column} from {}", context.zone);
            let serves = compiled.map.table(table).unwrap().column(column).unwrap().serves(&context.purpose);
            assert!(serves, "{table}.{column} for {}", context.purpose);
        }
    }
}

#[test]
fn the_hash_changes_with_every_input_and_the_names_of_roles_only_with_their_rights() {
    let base = compiled("pixelle");
    assert_eq!(base.hash, compiled("pixelle").hash);
    let commented = compile_with(&[("a", "permit (principal, action, resource);")]).unwrap();
    let same = compile_with(&[("a", "permit (principal, action, resource); // as before")]).unwrap();
    assert_ne!(commented.hash, same.hash);
    let names = |compiled: &Compiled| compiled.roles.iter().map(|role| role.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&commented), names(&same));
    let map = MAP.replacen("class = \"personal\"", "class = \"public\"", 1);
    let other = compile(DataMap::parse(&map).unwrap(), Zones::parse(ZONES).unwrap(), &policies(POLICIES)).unwrap();
    assert_ne!(base.hash, other.hash);
    assert!(names(&base).iter().all(|name| name.as_str().len() <= 63));
}

fn policies(texts: &[(&str, &str)]) -> Vec<(PolicyName, String)> {
    texts.iter().map(|(file, text)| (name(file), (*text).to_owned())).collect()
}

/// All that is permitted: purpose, zone, conditions, table, column, action.
fn permitted(compiled: &Compiled) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for context in &compiled.contexts {
        for (table, column, actions) in context.rights.iter() {
            for action in Action::ALL.into_iter().filter(|action| actions.has(*action)) {
                let (purpose, zone, conditions) = (&context.purpose, &context.zone, context.conditions);
                all.insert(format!("{purpose} {zone} {conditions:?} {table}.{column} {action}"));
            }
        }
    }
    all
}

/// A condition over what the example knows; it may fail.
fn condition() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(vec!["eu-staff", "eu-fraud", "us-support", "cn-engineering", "partner"])
            .prop_map(|zone| format!("principal.zone == \"{zone}\"")),
        prop::sample::select(vec!["restricted", "personal", "pseudonymous", "public"])
            .prop_map(|class| format!("resource.class != \"{class}\"")),
        prop::sample::select(vec!["analytics", "research", "service-provision"])
            .prop_map(|purpose| format!("[\"{purpose}\", \"moderation\"].contains(context.purpose)")),
        Just("resource.purpose like \"*a*\"".to_owned()),
        Just("context.ticket".to_owned()),
        Just("context.break_glass".to_owned()),
        Just("principal.training".to_owned()),
        Just("action == Action::\"write\"".to_owned()),
        Just("9223372036854775807 + 1 > 0".to_owned()),
        Just("(if context.ticket then 9223372036854775807 else 1) + 1 > 0".to_owned()),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.prop_map(|a| format!("!({a})")),
        ]
    })
}

fn policy() -> impl Strategy<Value = String> {
    (any::<bool>(), condition()).prop_map(|(permit, condition)| {
        let effect = if permit { "permit" } else { "forbid" };
        format!("{effect} (principal, action, resource) when {{ {condition} }};")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn one_more_forbid_or_one_failing_policy_never_permits_more(
        texts in prop::collection::vec(policy(), 1..4),
        added in condition(),
        fails in any::<bool>(),
    ) {
        let named: Vec<(String, String)> =
            texts.into_iter().enumerate().map(|(index, text)| (format!("p{index}"), text)).collect();
        let mut given: Vec<(&str, &str)> = named.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        given.push(("base", "permit (principal, action, resource) when { principal.zone != \"partner\" };"));
        let before = compile_with(&given).map_err(|errors| TestCaseError::fail(errors.to_string()))?;
        let more = if fails {
            format!("permit (principal, action, resource) when {{ {added} && 9223372036854775807 + 1 > 0 }};")
        } else {
            format!("forbid (principal, action, resource) when {{ {added} }};")
        };
        given.push(("more", &more));
        let after = compile_with(&given).map_err(|errors| TestCaseError::fail(errors.to_string()))?;
        let (before, after) = (permitted(&before), permitted(&after));
        prop_assert!(after.is_subset(&before), "{:?}", after.difference(&before).next());
    }

    #[test]
    fn what_is_compiled_is_what_cedar_answers(texts in prop::collection::vec(policy(), 1..4), seed in any::<u64>()) {
        let named: Vec<(String, String)> =
            texts.iter().enumerate().map(|(index, text)| (format!("p{index}"), text.clone())).collect();
        let given: Vec<(&str, &str)> = named.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let compiled = compile_with(&given).map_err(|errors| TestCaseError::fail(errors.to_string()))?;
        // All policies together, asked as a program that knows nothing of this crate would ask, on some of the cells.
        for step in 0..40_u64 {
            let pick = |salt: u64, of: usize| {
                (seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add((step * 31 + salt).wrapping_mul(1_442_695_040_888_963_407)) >> 33) as usize % of
            };
            let zone = &compiled.zones.as_slice()[pick(1, 5)];
            let purpose = &compiled.map.purposes[pick(2, 6)].name;
            let table = &compiled.map.tables[pick(3, 6)];
            let column = &table.columns[pick(4, table.columns.len())];
            let conditions = Conditions { ticket: pick(5, 2) == 1, break_glass: pick(6, 2) == 1, training: pick(7, 2) == 1 };
            let action = Action::ALL[pick(8, 4)];
            let oracle = crate::sample::ask_cedar(&texts.join("\n"), zone, purpose.as_str(), table.residency.as_str(), column.class.as_str(), conditions, action);
            let context = compiled.context(purpose, &zone.name, conditions);
            let got = context.is_some_and(|context| context.rights.on(&table.name, &column.name).has(action));
            prop_assert_eq!(got, oracle && column.serves(purpose), "{} {} {} {:?} {}", zone.name, purpose, column.name, conditions, action);
        }
    }
}
