//! Ids that a context sees as pseudonyms only: the same everywhere, and never to be told apart from outside.

use crate::{
    raw::Raw,
    stage::{Stage, runtime},
};
use std::{collections::BTreeMap, fs};

/// A deployment where analysts may not see ids of people: they are personal, not pseudonymous.
fn stage() -> Stage {
    let stage = Stage::with(150, |config| {
        let map = fs::read_to_string(&config.policy.map).expect("the map is there");
        let mut changed = String::new();
        let (mut table, mut column) = (String::new(), String::new());
        for line in map.lines() {
            if let Some(name) = line.strip_prefix("name = ") {
                if name.contains('.') { table = name.to_owned() } else { column = name.to_owned() }
            }
            let is_id = [("\"public.users\"", "\"id\""), ("\"public.events\"", "\"subject\"")]
                .contains(&(table.as_str(), column.as_str()));
            changed.push_str(if is_id && line.starts_with("class") { "class = \"personal\"" } else { line });
            changed.push('\n');
        }
        fs::write(&config.policy.map, changed).expect("the map can be written");
    });
    stage.scatter_masks();
    stage
}

fn number(text: &[u8]) -> i64 {
    std::str::from_utf8(text).expect("digits").parse().expect("a number")
}

#[test]
fn a_person_has_one_pseudonym_in_every_table_and_format() {
    let stage = stage();
    runtime().block_on(async {
        let mut raw = Raw::connect(&stage, "jeanne@pixelle.example", "analytics").await;
        let came = raw.query("SELECT id, created_at FROM users").await;
        assert!(came.errors.is_empty() && came.rows.len() > 20, "{came:?}");
        let of = |rows: &[Vec<Option<Vec<u8>>>]| -> BTreeMap<Vec<u8>, i64> {
            let each = rows.iter().map(|row| (row[1].clone().expect("a time"), number(row[0].as_ref().expect("an id"))));
            each.collect()
        };
        let text = of(&came.rows);
        assert!(text.values().all(|id| *id > 1_000_000), "raw ids are small: {text:?}");
        raw.parse("", "SELECT id, created_at::text FROM users").bind_as("", "", &[1, 0]).execute("", 0);
        let came = raw.sync().await;
        let eight = |value: &Option<Vec<u8>>| i64::from_be_bytes(value.as_deref().expect("an id").try_into().expect("8"));
        let binary: BTreeMap<Vec<u8>, i64> =
            came.rows.iter().map(|row| (row[1].clone().expect("a time"), eight(&row[0]))).collect();
        assert_eq!(text, binary);
        let came = raw.query("COPY (SELECT id, created_at FROM users) TO STDOUT").await;
        let copied: BTreeMap<Vec<u8>, i64> = came
            .copied
            .iter()
            .map(|line| {
                let mut columns = line.strip_suffix(b"\n").expect("a line").split(|byte| *byte == b'\t');
                let id = number(columns.next().expect("an id"));
                (columns.next().expect("a time").to_vec(), id)
            })
            .collect();
        assert_eq!(text, copied);
        let came = raw.query("SELECT u.id, e.subject FROM users u JOIN events e ON e.subject = u.id").await;
        assert!(came.rows.len() > 20, "{came:?}");
        assert!(came.rows.iter().all(|row| row[0] == row[1] && text.values().any(|id| *id == number(row[0].as_ref().unwrap()))));
        let came = raw.query("COPY events (subject) TO STDOUT").await;
        assert!(came.copied.iter().all(|line| number(&line[..line.len() - 1]) > 1_000_000), "{came:?}");
        let came = raw.query("SELECT * FROM events e LEFT JOIN users u ON e.subject = u.id WHERE u.id IS NULL").await;
        assert!(came.errors.is_empty(), "{came:?}");
    });
}

#[test]
fn nothing_links_a_pseudonym_to_an_id() {
    let stage = stage();
    let refused = [
        "SELECT id FROM users WHERE id = 17",
        "SELECT id FROM users WHERE users.id = 17",
        "SELECT id FROM users WHERE 17 = id",
        "SELECT id FROM users WHERE id IN (17)",
        "SELECT id FROM users WHERE id::text = '17'",
        "SELECT country FROM users WHERE id < 18",
        "SELECT id + 1 FROM users",
        "SELECT id::text FROM users",
        "SELECT u.id FROM users u ORDER BY u.id",
        "SELECT id AS x FROM users ORDER BY x",
        "SELECT id FROM users ORDER BY 1",
        "SELECT * FROM users ORDER BY 1",
        "SELECT u.id FROM users u JOIN videos v ON u.id = v.views",
        "SELECT u.id, v.author FROM users u JOIN videos v ON u.id = v.author",
        "SELECT u.id FROM users u JOIN (VALUES (17)) AS v(x) ON u.id = v.x",
        "SELECT u.id FROM users u JOIN (VALUES (17)) AS v(id) USING (id)",
        "SELECT u.id FROM users u NATURAL JOIN (VALUES (17)) AS v(id)",
        "SELECT a FROM users u(a) WHERE a = 17",
        "SELECT u.row_to_json FROM users u",
        "SELECT u.to_json FROM users u",
        "SELECT row_number() OVER (ORDER BY id), id FROM users",
        "SELECT id FROM users u WHERE EXISTS (SELECT 1 FROM countries c WHERE u.id = length(c.name))",
        "SELECT id FROM users LEFT JOIN countries ON users.country = code AND users.id = 17",
        "COPY (SELECT id FROM users WHERE id = 17) TO STDOUT",
    ];
    let allowed = [
        "SELECT id, country FROM users WHERE country = 'FR'",
        "SELECT u.*, e.kind FROM users u JOIN events e ON u.id = e.subject ORDER BY e.id LIMIT 3",
        "SELECT id AS person FROM users ORDER BY country",
    ];
    runtime().block_on(async {
        let mut raw = Raw::connect(&stage, "jeanne@pixelle.example", "analytics").await;
        for sql in refused {
            let came = raw.query(sql).await;
            assert!(!came.errors.is_empty() && came.rows.is_empty() && came.copied.is_empty(), "{sql}: {came:?}");
            assert!(!came.ended, "{sql}: {came:?}");
        }
        for sql in allowed {
            let came = raw.query(sql).await;
            assert!(came.errors.is_empty() && !came.ended, "{sql}: {came:?}");
        }
    });
}

#[test]
fn a_person_is_told_of_every_table_that_a_row_shows() {
    let stage = Stage::with(150, |_| {});
    runtime().block_on(async {
        let mut raw = Raw::connect(&stage, "jeanne@pixelle.example", "service-provision").await;
        let sql = "SELECT u.display_name, e.device, o.id FROM users u JOIN events e ON e.subject = u.id \
                   LEFT JOIN users o ON o.id = u.id + 1 WHERE u.id = 2 ORDER BY e.id LIMIT 1";
        let came = raw.query(sql).await;
        assert_eq!(came.rows.len(), 1, "{came:?}");
        let report = stage.gateway.account.access_report(b"2").await.expect("the account can be read");
        let [line] = report.as_slice() else { panic!("one row is one access: {report:?}") };
        assert_eq!(
            line.columns,
            "public.users,public.events public.users.display_name,public.users.id,public.events.device"
        );
        let other = stage.gateway.account.access_report(b"3").await.expect("the account can be read");
        let of_other: Vec<&str> = other.iter().map(|line| line.columns.as_str()).collect();
        assert_eq!(of_other, ["public.users display_name,id"]);
    });
}
