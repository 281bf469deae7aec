//! What people read: the table of rights, what a change widens, the schema for policies, the SQL, a drafted map.

use crate::sample::{MAP, POLICIES, ZONES, compile_texts, compiled, name};
use vigie_policy::{
    DataMap,
    catalog::{Catalog, Column, ForeignKey, Index, Table},
    diff::diff,
    draft::{Shape, Shapes, draft},
    names::TableName,
    sql::objects,
    table,
};

#[test]
fn the_table_of_rights_as_text() {
    insta::assert_snapshot!(table::to_text(&compiled("pixelle")));
}

#[test]
fn the_table_of_rights_as_markdown() {
    insta::assert_snapshot!(table::to_markdown(&compiled("pixelle")));
}

#[test]
fn the_schema_for_policies_is_one_that_cedar_reads() {
    let schema = compiled("pixelle").cedar_schema();
    assert!(cedar_policy::Schema::from_cedarschema_str(&schema).is_ok());
    insta::assert_snapshot!(schema);
}

#[test]
fn the_sql_of_a_small_policy() {
    let map = r#"
        schema = "data-map/1"
        name = "small"
        subject_type = "uuid"
        [[purpose]]
        name = "service"
        term = "dpv:ServiceProvision"
        bit = 7
        basis = "contract"
        [[table]]
        name = "public.people"
        owner = "someone"
        subject = "id"
        mask = "pmask"
        residency = "EU"
        retention = "P1Y"
        [[table.column]]
        name = "id"
        class = "pseudonymous"
        [[table.column]]
        name = "name"
        class = "personal"
    "#;
    let zones = "schema = \"zones/1\"\n[[zone]]\nname = \"here\"\nentities = [\"E\"]\ncountries = [\"IE\"]\n";
    let policy = "permit (principal, action in [Action::\"read-record\", Action::\"write\"], resource) when { resource.class == \"personal\" };";
    let compiled = compile_texts(map, zones, &[("all", policy)]).unwrap();
    let objects = objects(&compiled);
    let sql = objects.to_sql(&|role| format!("verifier of {role}"));
    assert_eq!(sql, objects.to_sql(&|role| format!("verifier of {role}")));
    insta::assert_snapshot!(sql);
}

#[test]
fn a_diff_says_what_widens_and_what_narrows() {
    let old = compiled("pixelle");
    let same = diff(&old, &compiled("pixelle"));
    assert!(same.changes.is_empty() && same.exit_code() == 0);

    // One column in a weaker class, one in a stronger; a purpose without consent; a zone with one more country.
    let map = MAP
        .replace(
            "name = \"ip\"\nclass = \"restricted\"\npurposes = [\"fraud-prevention\"]",
            "name = \"ip\"\nclass = \"pseudonymous\"",
        )
        .replace("name = \"views\"\nclass = \"pseudonymous\"", "name = \"views\"\nclass = \"personal\"")
        .replace("bit = 1\nbasis = \"consent\"", "bit = 1\nbasis = \"legitimate-interest\"");
    let zones = ZONES.replace("countries = [\"US\"]", "countries = [\"US\", \"IN\"]");
    let new = compile_texts(&map, &zones, POLICIES).unwrap();
    let forth = diff(&old, &new);
    assert_eq!(forth.exit_code(), 1);
    insta::assert_snapshot!("a_map_that_widens", forth);
    let back = diff(&new, &old);
    // What one way widens, the other narrows, column by column.
    assert_eq!(forth.changes.len(), back.changes.len());

    // A policy less, and a limit more.
    let fewer: Vec<(&str, &str)> = POLICIES.iter().copied().filter(|(file, _)| *file != "moderation").collect();
    let narrowed = diff(&old, &compile_texts(MAP, ZONES, &fewer).unwrap());
    assert_eq!(narrowed.exit_code(), 0);
    insta::assert_snapshot!("a_policy_less", narrowed);
    let unlimited: Vec<(&str, &str)> = POLICIES.iter().copied().filter(|(file, _)| *file != "limits").collect();
    let widened = diff(&old, &compile_texts(MAP, ZONES, &unlimited).unwrap());
    assert_eq!(widened.exit_code(), 1);
    insta::assert_snapshot!("a_limit_less", widened);
}

fn live(table: &str, columns: &[(&str, &str)], key: &str) -> Table {
    Table {
        name: name(table),
        owner: name("app"),
        columns: columns
            .iter()
            .zip(1..)
            .map(|((column, type_name), attnum)| Column {
                name: name(column),
                type_name: (*type_name).to_owned(),
                attnum,
                not_null: true,
            })
            .collect(),
        rls_enabled: false,
        rls_forced: false,
        unlogged: false,
        primary_key: vec![name(key)],
    }
}

fn refers(table: &str, column: &str) -> ForeignKey {
    ForeignKey { table: name(table), column: name(column), to_table: name("public.users"), to_column: name("id") }
}

#[test]
fn a_draft_is_guarded_where_it_guesses_and_is_a_map() {
    let catalog = Catalog {
        tables: vec![
            live("public.countries", &[("code", "text"), ("label", "text")], "code"),
            live(
                "public.gifts",
                &[("id", "bigint"), ("giver_id", "bigint"), ("user_id", "bigint"), ("note", "text")],
                "id",
            ),
            live(
                "public.users",
                &[
                    ("id", "bigint"),
                    ("contact", "text"),
                    ("nick", "text"),
                    ("birth_year", "integer"),
                    ("last_seen", "text"),
                    ("ip", "inet"),
                    ("score", "integer"),
                    ("pmask", "bigint"),
                ],
                "id",
            ),
        ],
        foreign_keys: vec![refers("public.gifts", "giver_id"), refers("public.gifts", "user_id")],
        indexes: vec![Index {
            name: "users_contact".into(),
            table: name("public.users"),
            method: "btree".into(),
            columns: vec![name("contact")],
            operator_classes: vec!["text_ops".into()],
            predicate: None,
            expression: None,
        }],
        ..Catalog::default()
    };
    let shapes = Shapes::from([
        ((name::<TableName>("public.users"), name("contact")), Shape::of(["a@example.org", "b@example.org", "none"])),
        ((name::<TableName>("public.users"), name("last_seen")), Shape::of(["192.0.2.7", "2001:db8::1"])),
    ]);
    let text = draft(&name("drafted"), &catalog, &shapes);
    DataMap::parse(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    insta::assert_snapshot!(text);

    // Nobody points to people, yet there are e-mail addresses: that map does not pass until a person has looked.
    let orphan = Catalog {
        tables: vec![live("public.leads", &[("id", "bigint"), ("value", "text")], "id")],
        ..Catalog::default()
    };
    let mut shapes = Shapes::new();
    shapes.insert((name("public.leads"), name("value")), Shape::of(["+47 900 00 000"]));
    let with_people = Catalog { tables: [orphan.tables, catalog.tables].concat(), ..catalog };
    let text = draft(&name("drafted"), &with_people, &shapes);
    let why = DataMap::parse(&text).unwrap_err().to_string();
    assert!(why.contains("column `value` is restricted, but the table has no subject"), "{why}");
}

#[test]
fn shapes_are_told_from_values_alone() {
    let shape = |value: &str| {
        let shape = Shape::of([value]);
        [(shape.email, "email"), (shape.phone, "phone"), (shape.ip, "ip"), (shape.iban, "iban")]
            .into_iter()
            .filter(|(count, _)| *count == 1)
            .map(|(_, kind)| kind)
            .collect::<Vec<_>>()
            .join(" ")
    };
    for (value, expected) in [
        ("someone@example.org", "email"),
        ("someone@localhost", ""),
        ("+353 1 234 5678", "phone"),
        ("01-234 5678", "phone"),
        ("12345678", ""),
        ("2026-11-30 12:00", ""),
        ("192.0.2.1", "ip"),
        ("2001:db8::1/64", "ip"),
        ("NO93 8601 1117 947", "iban"),
        ("NO93 8601 1117 948", ""),
        ("Hello there", ""),
    ] {
        assert_eq!(shape(value), expected, "{value}");
    }
}
