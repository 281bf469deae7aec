//! What holds of every statement: its relations are found, columns are added at the end, and literals do not matter
//! unless the reading says so.

use pg_query::protobuf::Token;
use proptest::prelude::*;
use vigie_statement::{Place, Read, Reading, Statement, Unreadable, edit, read, skeleton};

use crate::generator::{any_query, literals, query_of_users};

fn only_read(reading: &Reading) -> &Read {
    match reading.statements.as_slice() {
        [Statement::Read(it)] => it,
        other => panic!("{other:?}"),
    }
}

/// Returns the reading without what says where something stands in the text.
fn without_places(reading: &Reading) -> serde_json::Value {
    let mut value = serde_json::to_value(reading).unwrap();
    value.as_object_mut().unwrap().remove("spans");
    for statement in value["statements"].as_array_mut().unwrap() {
        if let Some(read) = statement.get_mut("Read").and_then(|it| it.as_object_mut()) {
            read.remove("append_at");
            read.remove("prefix_edits");
        }
    }
    value
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_relation_of_a_statement_is_read_back(query in any_query(), literals in literals()) {
        let sql = query.print(&literals);
        match read(&sql) {
            Ok(reading) => {
                let mut found: Vec<String> = only_read(&reading).relations.iter().map(|it| it.name.clone()).collect();
                let mut expected = query.relations.clone();
                found.sort();
                expected.sort();
                prop_assert_eq!(found, expected, "{}", sql);
            }
            // `a IN b` without parentheses is no SQL; everything else is.
            Err(Unreadable::Syntax { .. }) => prop_assert!(sql.contains(" IN "), "{}: {:?}", sql, read(&sql)),
            Err(error) => return Err(TestCaseError::fail(format!("{sql}: {error}"))),
        }
    }

    #[test]
    fn an_added_column_comes_last_and_changes_nothing_else(query in query_of_users(), literals in literals()) {
        let sql = query.print(&literals);
        let Ok(before) = read(&sql) else { return Ok(()) };
        let before = only_read(&before);
        let users = before.relations.iter().position(|it| it.name == "users" && it.place == Place::From).unwrap();
        let Some(appended) = before.with_columns_appended(&sql, &[(users, "id"), (users, "mask")]) else {
            prop_assert!(before.shape == vigie_statement::reading::Shape::Aggregate, "{} is {:?}", sql, before.shape);
            return Ok(());
        };
        let after = read(&appended.sql).unwrap();
        let after = only_read(&after);
        prop_assert_eq!(after.outputs.len(), before.outputs.len() + 2);
        prop_assert_eq!(&after.outputs[..before.outputs.len()], before.outputs.as_slice());
        prop_assert_eq!(&after.relations, &before.relations);
        let names: Vec<_> = after.outputs[before.outputs.len()..].iter().map(|it| format!("{:?}", it.value)).collect();
        prop_assert_eq!(names, ["Column([\"users\", \"id\"])", "Column([\"users\", \"mask\"])"]);
    }

    #[test]
    fn texts_of_one_skeleton_are_read_alike(query in any_query(), one in literals(), other in literals()) {
        let (one, other) = (query.print(&one), query.print(&other));
        let (one_skeleton, other_skeleton) = (skeleton(&one).unwrap(), skeleton(&other).unwrap());
        if let (Ok(one), Ok(other)) = (read(&one), read(&other)) {
            prop_assert_eq!(one.is_literal_dependent(), other.is_literal_dependent());
            if one_skeleton.key == other_skeleton.key && !one.is_literal_dependent() {
                prop_assert_eq!(without_places(&one), without_places(&other));
            }
        }
    }

    #[test]
    fn changes_are_carried_to_texts_of_the_same_skeleton(query in query_of_users(), one in literals(), other in literals()) {
        let (one, other) = (query.print(&one), query.print(&other));
        let (one_skeleton, other_skeleton) = (skeleton(&one).unwrap(), skeleton(&other).unwrap());
        let (Ok(one_reading), Ok(other_reading)) = (read(&one), read(&other)) else { return Ok(()) };
        let append = |reading: &Reading, sql: &str| only_read(reading).with_columns_appended(sql, &[(0, "id")]);
        let (Some(made), Some(wanted)) = (append(&one_reading, &one), append(&other_reading, &other)) else { return Ok(()) };
        if one_skeleton.key == other_skeleton.key {
            let carried = skeleton::carry(&made.edits, &one_skeleton, &other_skeleton).unwrap();
            prop_assert_eq!(edit::apply(&other, &carried).unwrap(), wanted.sql);
        }
    }

    #[test]
    fn what_a_skeleton_leaves_out_is_a_literal_to_postgresql(
        sql in "([a-zA-Z0-9'\"$ \n.&\\\\/*;(),=<>é_:-]|--|/\\*|\\*/|''|E'|e'|U&'|u&\"|\\$\\$|\\$a\\$|x'|1e|0x|[0-9]{2}|UESCAPE|SELECT|FROM){0,40}"
    ) {
        let found = skeleton(&sql).unwrap();
        let Ok(tokens) = pg_query::scan(&sql).map(|it| it.tokens) else { return Ok(()) };
        let is_literal = |it: i32| [Token::Sconst as i32, Token::Iconst as i32, Token::Fconst as i32].contains(&it);
        for literal in &found.literals {
            // Strings that go on in the next line are one token, and several literals here.
            let (start, end) = (i32::try_from(literal.start).unwrap(), i32::try_from(literal.end).unwrap());
            let inside = tokens.iter().find(|it| it.start <= start && it.end >= end);
            prop_assert!(inside.is_some_and(|it| is_literal(it.token)), "{:?} in {:?}: {:?}", literal, sql, tokens);
            let is_whole = inside.is_some_and(|it| it.start == start && it.end == end);
            prop_assert!(is_whole || sql[literal.start as usize..].starts_with('\''), "{:?} in {:?}", literal, sql);
        }
    }

    #[test]
    fn any_text_is_answered(sql in any::<String>()) {
        let _answer = read(&sql);
        let _skeleton = skeleton(&sql);
    }
}

#[test]
fn the_generator_makes_statements_that_can_be_read() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};

    let mut runner = TestRunner::deterministic();
    let (mut n_read, mut n_appended, mut n_left_out) = (0, 0, 0);
    let queries = query_of_users();
    for _ in 0..100 {
        let sql = queries.new_tree(&mut runner).unwrap().current().print(&[(5, "x".to_owned())]);
        let Ok(reading) = read(&sql) else { continue };
        n_read += 1;
        n_appended += usize::from(only_read(&reading).with_columns_appended(&sql, &[(0, "id")]).is_some());
        n_left_out += skeleton(&sql).unwrap().literals.len();
    }
    assert!(n_read > 50 && n_appended > 25 && n_left_out > 100, "{n_read} {n_appended} {n_left_out}");
}
