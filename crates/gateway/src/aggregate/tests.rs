//! Tests of aggregates: by themselves, against a real server, and by an attacker who knows everything but one person.

use super::{
    noise::{Persons, Purpose, Question},
    *,
};
use proptest::prelude::*;
use std::{collections::BTreeMap, fmt::Write as _};
use vigie_testkit::postgres::PostgresServer;

fn table(subject: Option<(&str, SubjectType, PerPerson)>, columns: &[(&str, ColumnUse)]) -> Table {
    Table {
        subject: subject.map(|(column, kind, rows)| Subject { column: column.to_owned(), kind, rows }),
        columns: columns.iter().map(|(name, used)| ((*name).to_owned(), *used)).collect(),
    }
}

fn rules() -> Rules {
    use ColumnUse::{Both, Dimension, Measure};
    let users = [
        ("country", Dimension),
        ("number", Dimension),
        ("sick", Dimension),
        ("spend", Measure(Number::Whole)),
        ("ratio", Measure(Number::Decimal)),
        ("age", Both(Number::Whole)),
    ];
    let events = [("kind", Dimension), ("cents", Measure(Number::Whole))];
    Rules::new(BTreeMap::from([
        ("users".into(), table(Some(("id", SubjectType::Bigint, PerPerson::OneRow)), &users)),
        ("events".into(), table(Some(("person", SubjectType::Bigint, PerPerson::ManyRows)), &events)),
        ("countries".into(), table(None, &[("country", Dimension), ("region", Dimension)])),
        ("by_uuid".into(), table(Some(("id", SubjectType::Uuid, PerPerson::ManyRows)), &users)),
        ("by_text".into(), table(Some(("id", SubjectType::Text, PerPerson::ManyRows)), &users)),
    ]))
}

fn keys() -> CellKeys {
    CellKeys::new(&[7; 32])
}

fn column(text: &str) -> ColumnName {
    let (relation, column) = text.split_once('.').expect("an alias and a column");
    ColumnName { relation: relation.to_owned(), column: column.to_owned() }
}

/// A question about relations, each written `table alias`, joined by hand in `from`.
fn query(from: &str, relations: &[&str], dimensions: &[&str], measures: &[Function]) -> Query {
    let relation = |text: &&str| {
        let (table, alias) = text.split_once(' ').expect("a table and an alias");
        Relation { table: table.to_owned(), alias: alias.to_owned() }
    };
    let dimension = |text: &&str| Dimension {
        expression: (*text).to_owned(),
        columns: vec![column(text)],
        name: column(text).column,
    };
    let named = |function: &Function| Measure { function: function.clone(), name: "m".to_owned() };
    Query {
        dimensions: dimensions.iter().map(dimension).collect(),
        measures: measures.iter().map(named).collect(),
        from: from.to_owned(),
        relations: relations.iter().map(relation).collect(),
        ..Query::default()
    }
}

fn of_users(dimensions: &[&str], measures: &[Function]) -> Query {
    query("users u", &["users u"], dimensions, measures)
}

fn filtered(query: Query, filter: &str, columns: &[&str]) -> Query {
    Query { filter: Some(filter.to_owned()), filtered: columns.iter().map(|name| column(name)).collect(), ..query }
}

fn plan(query: &Query) -> Plan {
    Plan::of(query, &rules()).expect("it may be asked")
}

type TextRow = Vec<Option<String>>;

/// Runs statements in one go, and returns the rows of each.
fn served(database: &str, before: &str, statements: &[&str]) -> Vec<Vec<TextRow>> {
    let server = PostgresServer::shared();
    let mut script = format!("\\pset null '<null>'\n{before}\n");
    for statement in statements {
        let _ = write!(script, "{statement};\n\\echo <end>\n");
    }
    let output = server.run_sql(database, &script);
    let mut answers = vec![Vec::new()];
    for line in output.lines() {
        if line == "<end>" {
            answers.push(Vec::new());
        } else {
            let cell = |text: &str| (text != "<null>").then(|| text.to_owned());
            answers.last_mut().expect("there is one").push(line.split('|').map(cell).collect());
        }
    }
    answers.pop();
    answers
}

fn protected(plan: &Plan, rows: &[TextRow]) -> Vec<TextRow> {
    let keys = keys();
    let mut cells = Cells::new(plan, &[], &keys);
    for row in rows {
        let row: Vec<_> = row.iter().map(|cell| cell.as_deref().map(str::as_bytes)).collect();
        cells.push(&row).expect("a row of the plan's statement");
    }
    let text = |cell: Option<Vec<u8>>| cell.map(|cell| String::from_utf8(cell).expect("it is text"));
    cells.finish().into_iter().map(|row| row.into_iter().map(text).collect()).collect()
}

fn answer(database: &str, query: &Query) -> Vec<TextRow> {
    let plan = plan(query);
    protected(&plan, &served(database, "", &[plan.sql()])[0])
}

fn number(cell: Option<&String>) -> f64 {
    cell.expect("it shows").parse().expect("a number")
}

/// 20,000 persons with skewed events; the country `SM` has four of them.
fn sample() -> &'static str {
    static SAMPLE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    SAMPLE.get_or_init(|| {
        let server = PostgresServer::shared();
        let database = server.new_database();
        server.run_sql(
            &database,
            "CREATE TABLE users (id bigint PRIMARY KEY, country text, number integer, sick boolean, spend bigint, ratio numeric, age integer);
             INSERT INTO users SELECT i, CASE WHEN i <= 4 THEN 'SM' ELSE (ARRAY['IE', 'NO', 'DE', 'FR'])[1 + i % 4] END, i, i * 7919 % 10 < 5,
                 i % 500, (i % 100) / 100.0, 18 + i % 60 FROM generate_series(1, 20000) i;
             CREATE TABLE events (person bigint, kind text, cents bigint);
             INSERT INTO events SELECT 1 + (i::bigint * i) % 20000, (ARRAY['view', 'like'])[1 + i % 2], i % 900 FROM generate_series(1, 60000) i;
             INSERT INTO events SELECT NULL, 'view', 1000000 FROM generate_series(1, 50);
             INSERT INTO events SELECT 77, 'like', 900000000 FROM generate_series(1, 3);
             CREATE TABLE countries (country text, region text);
             INSERT INTO countries VALUES ('IE', 'west'), ('FR', 'west'), ('NO', 'north'), ('DE', 'middle');
             CREATE TABLE by_uuid AS SELECT lpad(to_hex(id), 32, '0')::uuid AS id, country FROM users, generate_series(1, 2);
             CREATE TABLE by_text AS SELECT id::text AS id, country FROM users, generate_series(1, 2);
             ANALYZE;",
        );
        database
    })
}

#[test]
fn the_table_of_noise_is_what_it_says() {
    for (variance, bound) in [(2.0, 4), (0.1, 1), (0.5, 1), (6.0, 5), (100.0, 100)] {
        let table = NoiseTable::new(variance, bound).expect("it exists");
        assert!((table.variance() / variance - 1.0).abs() < 1e-6, "{} for {variance}", table.variance());
        let sizes = i32::from(bound);
        let whole: f64 = (-sizes..=sizes).map(|z| table.probability(z)).sum();
        assert_eq!(whole, 1.0);
        assert!((1..=sizes).all(|z| table.probability(z) == table.probability(-z)), "no mean");
        assert!((1..=sizes).all(|z| table.probability(z) <= table.probability(z - 1)), "zero is likeliest");
        assert_eq!(table.probability(sizes + 1), 0.0);
    }
    assert!(
        NoiseTable::new(7.0, 4).is_err() && NoiseTable::new(0.0, 4).is_err() && NoiseTable::new(f64::NAN, 4).is_err()
    );
    for minimum in 3..40 {
        let fits = rules().protected_by(minimum, NoiseTable::for_minimum(minimum), 50);
        assert!(fits.is_ok_and(|rules| rules.noise().variance() > 0.4), "{minimum}");
    }
    assert_eq!(NoiseTable::for_minimum(10), NoiseTable::default());
    assert_eq!((NoiseTable::none().variance(), NoiseTable::none().bound()), (0.0, 0));
    assert!(NoiseTable::new(1.0, 0).is_err() && NoiseTable::new(1.0, 101).is_err());
}

#[test]
fn asking_again_gives_the_same_and_asking_in_other_words_does_not_average_out() {
    let (table, keys) = (NoiseTable::default(), keys());
    let words = |at: u32| Question::of([Some(at.to_be_bytes().as_slice())]);
    let mut of_cells = Vec::new();
    let mut of_means = Vec::new();
    for cell in 0..600_u64 {
        let sum = (cell.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_string();
        let draw = |at| keys.draw(&table, Purpose::Count, Persons { n: 50 + cell, sum: &sum }, &words(at));
        assert_eq!(draw(0), draw(0));
        let many: Vec<f64> = (0..200).map(|at| draw(at).spread).collect();
        assert!(many.iter().all(|noise| noise.abs() <= 2.0 * f64::from(table.bound()) + 0.5));
        of_cells.push(draw(10_000 + cell as u32).spread);
        of_means.push(many.iter().sum::<f64>() / many.len() as f64);
    }
    let n = of_cells.len() as f64;
    let squares = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>() / n;
    let mean = of_cells.iter().sum::<f64>() / n;
    // One answer has both layers and the spread; the mean of 200 wordings still has one layer.
    assert!(mean.abs() < 5.0 * (4.1 / n).sqrt(), "mean {mean}");
    assert!((3.3..5.0).contains(&squares(&of_cells)), "{}", squares(&of_cells));
    assert!((1.6..2.5).contains(&squares(&of_means)), "{}", squares(&of_means));
}

#[test]
fn noise_depends_on_the_secret_and_the_persons_but_not_on_what_else_is_asked() {
    let row = |n: &str, sum: &str| -> TextRow { [n, sum, "100", "1"].map(|text| Some(text.to_owned())).to_vec() };
    let counted = plan(&of_users(&[], &[Function::Records]));
    let differ = (0..50).filter(|other| {
        let other = CellKeys::new(&[*other; 32]);
        let text = row("100", "17");
        let row: Vec<_> = text.iter().map(|cell| cell.as_deref().map(str::as_bytes)).collect();
        counted.transform(&row, &[], &other) != counted.transform(&row, &[], &keys())
    });
    assert!(differ.count() > 30);
    assert_eq!(format!("{:?}", keys()), "CellKeys(secret)");
    // The same rows counted alone and beside something else.
    let both = plan(&of_users(&[], &[Function::Records, Function::Persons(column("u.id"))]));
    for n in 60..160 {
        let mut text = row(&n.to_string(), &(n * 31).to_string());
        text[2] = Some(n.to_string());
        let (one, two) = (protected(&counted, &[text.clone()]), protected(&both, &[text]));
        assert_eq!((&one[0][0], &two[0][0]), (&two[0][0], &two[0][1]));
    }
}

proptest! {
    #[test]
    fn a_cell_below_the_minimum_never_shows(n in 0_u32..10, sum in any::<i64>(), total in 0_u32..1_000_000, words in ".{0,8}") {
        let plan = plan(&of_users(&["u.country"], &[Function::Records, Function::Sum(column("u.spend"))]));
        let [n, sum, total] = [n.to_string(), sum.to_string(), total.to_string()];
        let texts = [&words, &n, &sum, "1", &n, "1", &total, "1", &total, &n, &sum];
        let row: Vec<_> = texts.map(|text| Some(text.as_bytes())).to_vec();
        prop_assert_eq!(plan.transform(&row, &[], &keys()), Ok(Cell::Withheld));
    }

    #[test]
    fn a_sum_of_fewer_than_the_minimum_is_withheld_in_a_cell_that_shows(n in 0_u32..10, total in 1_u32..1_000_000) {
        let plan = plan(&of_users(&["u.country"], &[Function::Records, Function::Sum(column("u.spend"))]));
        let [n, total] = [n.to_string(), total.to_string()];
        let texts = ["IE", "1000", "5", "1", "1000", "1", &total, "1", &total, &n, "5"];
        let row: Vec<_> = texts.map(|text| Some(text.as_bytes())).to_vec();
        let Ok(Cell::Shown(shown)) = plan.transform(&row, &[], &keys()) else { panic!("a thousand persons show") };
        prop_assert!(shown.row[1].is_some());
        prop_assert_eq!(&shown.row[2..], &[None, Some(b"c".to_vec())]);
    }

    #[test]
    fn a_count_that_shows_is_never_further_off_than_the_bound(n in 10_u64..100_000, sum in any::<i64>(), parameter in any::<[u8; 4]>()) {
        let plan = plan(&Query { n_parameters: 1, ..of_users(&[], &[Function::Persons(column("u.id"))]) });
        let [text, sum] = [n.to_string(), sum.to_string()];
        let row = [Some(text.as_bytes()), Some(sum.as_bytes())];
        let answer = plan.transform(&row, &[Some(&parameter)], &keys());
        prop_assert_eq!(&answer, &plan.transform(&row, &[Some(&parameter)], &keys()));
        prop_assert!(plan.transform(&row, &[], &keys()).is_err(), "no noise without the parameters");
        match answer.expect("it is a row") {
            Cell::Withheld => prop_assert!(n < 10 + 4 * 4),
            Cell::Shown(shown) => {
                let value: i64 = String::from_utf8(shown.row[0].clone().expect("it shows")).expect("text").parse().expect("a number");
                prop_assert!(n >= 10 && value.abs_diff(n.cast_signed()) <= 8 && value > 0);
            }
        }
    }

    #[test]
    fn no_row_of_the_server_makes_it_panic(row in proptest::collection::vec(proptest::option::of("[-0-9.NaInfty]{0,45}"), 9)) {
        let plan = plan(&of_users(&[], &[Function::Average(column("u.ratio")), Function::Deviation(column("u.ratio"))]));
        let mut row = row;
        row.resize(plan.n_columns(), Some("9".to_owned()));
        row[0] = Some("500".to_owned());
        let row: Vec<_> = row.iter().map(|cell| cell.as_deref().map(str::as_bytes)).collect();
        let _ = plan.transform(&row, &[], &keys());
    }
}

#[test]
fn a_sum_that_one_person_makes_up_is_withheld_and_noise_grows_with_the_largest() {
    let plan = plan(&of_users(&[], &[Function::Sum(column("u.spend"))]));
    let row = |total: u64, largest: u64, sum: u64| -> TextRow {
        [100, 5, total, largest, total, 100, sum].map(|number| Some(number.to_string())).to_vec()
    };
    assert_eq!(protected(&plan, &[row(1_000, 501, 5)]), [[None, Some("c".to_owned())]]);
    let shown = protected(&plan, &[row(1_000_000, 20_000, 5)]);
    assert_ne!(shown[0][0].as_deref(), Some("1000000"));
    // Over many cells: deviation of the largest contribution times that of both layers.
    let errors: Vec<f64> =
        (0..2_000).map(|sum| number(protected(&plan, &[row(1_000_000, 20_000, sum)])[0][0].as_ref()) - 1e6).collect();
    let deviation = (errors.iter().map(|error| error * error).sum::<f64>() / 2_000.0).sqrt();
    // The question's layer is the same in all of them: a fixed shift of at most four times, so only the order is tested.
    assert!((20_000.0..110_000.0).contains(&deviation), "{deviation}");
    // What is left when divided by the largest contribution does not come through.
    let left: std::collections::BTreeSet<_> =
        errors.iter().map(|error| (*error as i64).rem_euclid(20_000) / 2_000).collect();
    assert_eq!(left.len(), 10, "{left:?}");
}

#[test]
fn what_the_rules_do_not_allow_is_refused() {
    let refused = |query: &Query| Plan::of(query, &rules()).expect_err("it is not allowed");
    let count = [Function::Records];
    let messages: Vec<String> = [
        refused(&of_users(&["u.id"], &count)),
        refused(&of_users(&["u.email"], &count)),
        refused(&of_users(&["u.spend"], &count)),
        refused(&filtered(of_users(&[], &count), "u.id = 7", &["u.id"])),
        refused(&filtered(of_users(&[], &count), "u.spend > 7", &["u.spend"])),
        refused(&of_users(&[], &[Function::Sum(column("u.country"))])),
        refused(&of_users(&[], &[Function::Sum(column("u.id"))])),
        refused(&of_users(&[], &[Function::Persons(column("u.country"))])),
        refused(&of_users(&[], &[Function::Filled(column("u.email"))])),
        refused(&of_users(&[], &[Function::Filled(column("x.country"))])),
        refused(&of_users(&["u.country"], &[])),
        refused(&query("secrets s", &["secrets s"], &[], &count)),
        refused(&query("countries c", &["countries c"], &["c.region"], &count)),
        refused(&query("users u JOIN users v ON true", &["users u", "users v"], &[], &count)),
        refused(&query("users u JOIN by_uuid v ON true", &["users u", "by_uuid v"], &[], &count)),
        refused(&Query {
            order: vec![Order { output: 2, direction: Direction::Ascending }],
            ..of_users(&["u.country"], &count)
        }),
        refused(&Query { outputs: vec![OutputOf::Measure], ..of_users(&["u.country"], &count) }),
    ]
    .iter()
    .map(|refusal| refusal.to_string().trim_start_matches("denied: ").to_owned())
    .collect();
    let expected = [
        "column `id` of `users` may not be used for grouping",
        "column `email` of `users` may not be used for grouping",
        "column `spend` of `users` may not be used for grouping",
        "column `id` of `users` may not be used for filtering",
        "column `spend` of `users` may not be used for filtering",
        "column `country` of `users` may not be used for sums",
        "column `id` of `users` may not be used for sums",
        "`count(DISTINCT u.country)` counts something other than persons",
        "column `email` of `users` may not be used for counting",
        "`x` names no relation of the statement, or more than one",
        "nothing is counted or summed",
        "`secrets` may not be asked for aggregates",
        "none of the tables asked is about persons",
        "`users` is joined with itself",
        "the tables asked name persons by different types of ids",
        "the order of outputs does not fit what is asked",
        "the order of outputs does not fit what is asked",
    ];
    assert_eq!(messages, expected);
    assert!(rules().protected_by(8, NoiseTable::default(), 50).is_err(), "noise could take eight to nothing");
    assert!(rules().protected_by(2, NoiseTable::default(), 50).is_err());
    assert!(rules().protected_by(10, NoiseTable::default(), 100).is_err());
}

#[test]
fn an_answer_is_sorted_by_what_shows_cut_and_closed() {
    let order = |output, direction| vec![Order { output, direction }];
    let asked = Query { order: order(1, Direction::Descending), ..of_users(&["u.country"], &[Function::Records]) };
    let row = |country: &str, rank: u32, n: u32| -> TextRow {
        let n = n.to_string();
        [country, &n, &n, &rank.to_string(), &n, "1"].map(|text| Some(text.to_owned())).to_vec()
    };
    let rows = [row("A", 1, 100), row("B", 2, 9), row("C", 3, 101), row("D", 4, 100), row("E", 5, 5_000)];
    let shown = protected(&plan(&asked), &rows);
    assert_eq!(shown.len(), 5, "four cells and the closing row");
    let values: Vec<f64> = shown[..4].iter().map(|row| number(row[1].as_ref())).collect();
    assert!(values.is_sorted_by(|one, other| one >= other), "{values:?}");
    assert!(shown.iter().all(|row| row[0].as_deref() != Some("B")), "not even that it exists");
    assert_eq!(shown[4], [None, None, Some("c".to_owned())]);
    assert_eq!(
        protected(&plan(&asked), &[]),
        [[None, None, Some("c".to_owned())]],
        "the same where nothing was withheld"
    );
    let cut = Query { limit: Some(1), offset: 1, ..asked };
    assert_eq!(protected(&plan(&cut), &rows), [shown[1].clone()]);
    let mut few = rules();
    few.most_cells = 3;
    let plan = Plan::of(&cut, &few).expect("it may be asked");
    let keys = keys();
    let mut cells = Cells::new(&plan, &[], &keys);
    let pushed = rows
        .iter()
        .try_for_each(|row| cells.push(&row.iter().map(|cell| cell.as_deref().map(str::as_bytes)).collect::<Vec<_>>()));
    assert_eq!(pushed, Err(CellsError::Refused(Refusal::TooManyCells(3))));
}

#[test]
fn counts_are_rounded_when_asked_and_the_method_is_said() {
    let mut rounded = rules();
    rounded.rounding = std::num::NonZeroU32::new(5);
    let plan = Plan::of(&of_users(&[], &[Function::Records]), &rounded).expect("it may be asked");
    for n in 100..200 {
        let n = n.to_string();
        let row: TextRow = [&n, &n, &n, "1"].map(|text| Some(text.to_owned())).to_vec();
        assert_eq!(number(protected(&plan, &[row])[0][0].as_ref()) % 5.0, 0.0);
    }
    assert_eq!(
        plan.method(),
        "cells of fewer than 10 persons, and some of up to 26, are withheld, as are sums of which one person makes up more than 50 percent; \
         counts of persons carry noise with standard deviation 2.00, at most 8, other values as many times more as the largest contribution \
         of a person; the same question about the same persons always gets the same noise; cells do not add up to totals; counts are \
         rounded to multiples of 5"
    );
    assert_eq!(plan.cost(), 1);
}

#[test]
fn answers_are_near_the_truth_and_small_cells_are_not_there() {
    let measures = [
        Function::Records,
        Function::Persons(column("u.id")),
        Function::Sum(column("u.spend")),
        Function::Average(column("u.age")),
        Function::Deviation(column("u.age")),
        Function::Average(column("u.ratio")),
    ];
    let answer = answer(sample(), &of_users(&["u.country"], &measures));
    let truth = &served(
        sample(),
        "",
        &[
            "SELECT country, count(*), count(*), sum(spend), avg(age), stddev(age), avg(ratio) FROM users WHERE country <> 'SM' GROUP BY 1 ORDER BY 1",
        ],
    )[0];
    let countries: Vec<_> = answer.iter().map(|row| row[0].as_deref()).collect();
    assert_eq!(countries, [Some("DE"), Some("FR"), Some("IE"), Some("NO"), None]);
    for (shown, truth) in answer.iter().zip(truth) {
        for at in 1..=6 {
            let (shown, truth) = (number(shown[at].as_ref()), number(truth[at].as_ref()));
            let allowed = if at <= 2 { 8.0 } else { truth * 0.06 };
            assert!((shown - truth).abs() <= allowed, "column {at}: {shown} for {truth}");
        }
        assert_eq!(shown[1], shown[2], "one row per person");
    }
}

#[test]
fn a_question_without_anybody_is_answered_like_one_with_a_few() {
    let nobody = filtered(of_users(&[], &[Function::Records]), "u.country = 'ZZ'", &["u.country"]);
    let few = filtered(of_users(&[], &[Function::Records]), "u.country = 'SM'", &["u.country"]);
    assert_eq!(answer(sample(), &nobody), [[None, Some("c".to_owned())]]);
    assert_eq!(answer(sample(), &nobody), answer(sample(), &few));
    let grouped = |filter| filtered(of_users(&["u.sick"], &[Function::Records]), filter, &["u.country"]);
    assert_eq!(answer(sample(), &grouped("u.country = 'ZZ'")), answer(sample(), &grouped("u.country = 'SM'")));
}

#[test]
fn a_person_with_many_rows_counts_once_and_hides_behind_as_much_noise() {
    let events = |measures: &[Function]| query("events e", &["events e"], &["e.kind"], measures);
    let asked = events(&[Function::Persons(column("e.person")), Function::Records, Function::Sum(column("e.cents"))]);
    let shown = answer(sample(), &asked);
    let truth = &served(
        sample(),
        "",
        &[
            "SELECT kind, count(DISTINCT person), count(person), sum(cents) FILTER (WHERE person IS NOT NULL) FROM events GROUP BY 1 ORDER BY 1",
        ],
    )[0];
    for (shown, truth) in shown.iter().zip(truth) {
        assert!((number(shown[1].as_ref()) - number(truth[1].as_ref())).abs() <= 8.0, "{shown:?} {truth:?}");
        assert!(shown[2].is_some());
    }
    // Person 77 makes up nearly all of the sum of one kind; rows of nobody are no contribution to the other.
    assert_eq!((shown[0][0].as_deref(), &shown[0][3], shown[0][4].as_deref()), (Some("like"), &None, Some("c")));
    let (sum, truth) = (number(shown[1][3].as_ref()), number(truth[1][3].as_ref()));
    assert!((sum / truth - 1.0).abs() < 0.2, "{sum} for {truth}");
}

#[test]
fn joined_tables_are_about_the_same_person() {
    let joined = |on: &str| {
        let from = format!("users u JOIN events e ON {on} JOIN countries c ON c.country = u.country");
        let measures = [Function::Persons(column("u.id")), Function::Records];
        let asked = query(&from, &["users u", "events e", "countries c"], &["c.region"], &measures);
        let joined = ["u.id", "e.person", "c.country", "u.country"].map(column).to_vec();
        Query { joined, ..asked }
    };
    let shown = answer(sample(), &joined("u.id = e.person"));
    let truth = &served(
        sample(),
        "",
        &[
            "SELECT region, count(DISTINCT u.id) FROM users u JOIN events e ON u.id = e.person JOIN countries c ON c.country = u.country GROUP BY 1 ORDER BY 1",
        ],
    )[0];
    assert_eq!(shown.len(), truth.len() + 1);
    for (shown, truth) in shown.iter().zip(truth) {
        assert_eq!(shown[0], truth[0]);
        assert!((number(shown[1].as_ref()) - number(truth[1].as_ref())).abs() <= 8.0, "{shown:?} {truth:?}");
    }
    // One person's data may not be counted under another: such rows are left out.
    assert_eq!(answer(sample(), &joined("u.id + 1 = e.person")), [[None, None, None, Some("c".to_owned())]]);
    assert!(
        plan(&joined("u.id = e.person")).method().ends_with("rows that join data of different persons are left out")
    );
}

#[test]
fn repeating_rows_does_not_lift_a_count_above_its_noise() {
    // Without protection of persons, a thousand times the count with the noise of one would be exact to a thousandth.
    let server = PostgresServer::shared();
    let database = server.new_database();
    server.run_sql(
        &database,
        "CREATE TABLE events (person bigint, kind text, cents bigint);
         INSERT INTO events SELECT p, 'view', 1 FROM generate_series(1, 60) p, generate_series(1, 1000);",
    );
    let asked = query("events e", &["events e"], &[], &[Function::Records, Function::Persons(column("e.person"))]);
    let shown = answer(&database, &asked);
    let (records, persons) = (number(shown[0][0].as_ref()) / 1_000.0, number(shown[0][1].as_ref()));
    assert!((records - persons).abs() <= 0.5, "{records} and {persons} have the same noise");
}

#[test]
fn persons_may_be_named_by_uuid_or_text() {
    for (table, truth) in [("by_uuid t", 5_000.0), ("by_text t", 5_000.0)] {
        let shown = answer(sample(), &query(table, &[table], &["t.country"], &[Function::Persons(column("t.id"))]));
        assert_eq!(shown.len(), 5);
        for row in &shown[..4] {
            assert!((number(row[1].as_ref()) - truth).abs() <= 10.0, "{row:?}");
        }
    }
}

#[test]
fn a_hardened_role_with_grants_on_columns_can_run_the_statement() {
    let server = PostgresServer::shared();
    let database = server.new_database();
    server.run_sql(
        &database,
        "CREATE TABLE users (id bigint PRIMARY KEY, country text, number integer, sick boolean, spend bigint, ratio numeric, age integer, email text, pmask bigint);
         INSERT INTO users SELECT i, 'IE', i, true, i, i, 20, 'x', i % 2 FROM generate_series(1, 1000) i;
         CREATE ROLE aggregates_test_reader;
         REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO aggregates_test_reader;
         REVOKE USAGE ON LANGUAGE plpgsql, sql FROM PUBLIC;
         DO $$ DECLARE f regprocedure; BEGIN
             FOR f IN SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND (provolatile = 'v'
                 OR proname ~ '_to_xml|ts_stat|ts_rewrite|pg_stat_get_|lo_|pg_get_(viewdef|ruledef|functiondef)|_size')
             LOOP EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f); END LOOP; END $$;
         GRANT SELECT (id, country, spend) ON users TO aggregates_test_reader;
         ALTER TABLE users ENABLE ROW LEVEL SECURITY; ALTER TABLE users FORCE ROW LEVEL SECURITY;
         CREATE POLICY p ON users TO aggregates_test_reader USING ((pmask & 1) <> 0);",
    );
    let plan = plan(&of_users(&["u.country"], &[Function::Records, Function::Sum(column("u.spend"))]));
    let rows = &served(&database, "SET ROLE aggregates_test_reader;", &[plan.sql()])[0];
    let shown = protected(&plan, rows);
    assert!((number(shown[0][1].as_ref()) - 500.0).abs() <= 8.0, "rows that the policy hides do not count: {shown:?}");
}

/// How likely each difference of two answers is, by whether the person is in the first of them: nobody else differs.
fn differences(table: &NoiseTable, layers_that_differ: usize) -> BTreeMap<i32, f64> {
    let bound = table.bound().cast_signed();
    let mut sums = BTreeMap::from([(0, 1.0)]);
    for _ in 0..2 * layers_that_differ {
        let mut next = BTreeMap::new();
        for (sum, likely) in &sums {
            for z in -bound..=bound {
                *next.entry(sum + z).or_insert(0.0) += likely * table.probability(z);
            }
        }
        sums = next;
    }
    sums
}

#[test]
fn an_attacker_who_knows_all_but_one_person_learns_little_from_two_answers() {
    // For each of 300 persons: sick people in a group of 60 around, with him and without him. He knows all others.
    let targets: Vec<u32> = (0..300).map(|at| 100 + at * 61).collect();
    let asked = |filter: &str| filtered(of_users(&[], &[Function::Records]), filter, &["u.number", "u.sick"]);
    let mut plans = Vec::new();
    for target in &targets {
        let group = format!("u.number BETWEEN {} AND {} AND u.sick", target - 60, target + 59);
        plans.push(plan(&asked(&group)));
        plans.push(plan(&asked(&format!("{group} AND u.number <> {target}"))));
    }
    let statements: Vec<&str> = plans.iter().map(Plan::sql).collect();
    let rows = served(sample(), "", &statements);
    let sick = |target: u32| target * 7919 % 10 < 5;

    let table = NoiseTable::default();
    let (absent, present) = (differences(&table, 1), differences(&table, 2));
    let present: BTreeMap<i32, f64> =
        present.into_iter().map(|(difference, likely)| (difference + 1, likely)).collect();
    let (mut without_guard, mut with_guard, mut predicted) = (0, 0, 0.0);
    for (at, target) in targets.iter().enumerate() {
        let (first, second) = (&rows[2 * at], &rows[2 * at + 1]);
        without_guard +=
            usize::from((number(first[0][2].as_ref()) - number(second[0][2].as_ref()) == 1.0) == sick(*target));
        let shown = |at: usize, rows: &[TextRow]| number(protected(&plans[at], rows)[0][0].as_ref());
        let difference = (shown(2 * at, first) - shown(2 * at + 1, second)) as i32;
        let likely = |of: &BTreeMap<i32, f64>| of.get(&difference).copied().unwrap_or(0.0);
        with_guard += usize::from((likely(&present) > likely(&absent)) == sick(*target));
    }
    for (difference, likely) in &present {
        predicted += likely.max(absent.get(difference).copied().unwrap_or(0.0)) / 2.0;
    }
    let in_truth = targets.iter().filter(|target| sick(**target)).count();
    assert_eq!(in_truth, 150, "even odds");
    assert_eq!(without_guard, 300, "without the guard he is right about everybody");
    let right = f64::from(u32::try_from(with_guard).expect("few")) / 300.0;
    // The best that the two distributions allow, within four standard errors of 300 guesses.
    assert!((0.60..0.68).contains(&predicted), "{predicted}");
    assert!((right - predicted).abs() < 0.115, "right {right}, predicted {predicted}");

    // How sure he may be. With even odds before, more than nine in ten only after rare answers.
    let sure: f64 = (present.iter())
        .map(|(difference, likely)| (likely, absent.get(difference).copied().unwrap_or(0.0)))
        .filter(|(likely, otherwise)| **likely / (*likely + otherwise) > 0.9)
        .map(|(likely, otherwise)| (likely + otherwise) / 2.0)
        .sum();
    assert!(sure < 0.05, "{sure}");
    eprintln!(
        "differencing: right {right:.3} of the time (predicted {predicted:.3}); surer than 0.9 after {sure:.4} of answers"
    );
}

#[test]
fn noise_by_persons_alone_would_tell_by_being_unequal() {
    // What the second layer is for: with the first alone, answers differ only if the person is in one of them.
    let table = NoiseTable::default();
    let unequal_if_present = 1.0 - differences(&table, 1)[&-1];
    assert!(unequal_if_present > 0.75, "he would be sure about {unequal_if_present} of those who are in");
}

fn read(sql: &str) -> Result<Query, String> {
    let asked = vigie_statement::aggregate::read(sql).map_err(|error| error.to_string())?;
    Query::of(&asked, |relation| Some(relation.name.clone())).map_err(|refusal| refusal.to_string())
}

#[test]
fn a_statement_is_read_answered_and_named_like_the_one_that_was_asked() {
    let sql = "SELECT count(*), u.country AS land, avg(u.age) FROM users u \
               WHERE u.age >= 18 AND u.country IN ('IE', 'NO', $1) AND NOT u.sick GROUP BY u.country ORDER BY 1 DESC LIMIT 5";
    let query = read(sql).expect("it may be asked");
    assert_eq!(query.filtered, ["u.age", "u.country", "u.sick"].map(column));
    let plan = plan(&query);
    let names: Vec<_> = plan.outputs().iter().map(|output| (output.name.as_str(), output.of)).collect();
    let expected = [
        ("count", OutputType::Bigint),
        ("land", OutputType::AsServed(0)),
        ("avg", OutputType::Numeric),
        ("obs_flag", OutputType::Text),
    ];
    assert_eq!(names, expected);
    let literal = sql.replace("$1", "'DE'");
    let answer = answer(sample(), &read(&literal).expect("it may be asked"));
    assert_eq!(answer.len(), 3);
    let truth =
        "SELECT country, count(*) FROM users WHERE age >= 18 AND country IN ('IE', 'NO', 'DE') AND NOT sick GROUP BY 1";
    for row in &served(sample(), "", &[truth])[0] {
        let shown = answer.iter().find(|shown| shown[1] == row[0]).expect("each shows");
        assert!((number(shown[0].as_ref()) - number(row[1].as_ref())).abs() <= 8.0, "{shown:?} {row:?}");
    }
    assert!(answer.is_sorted_by(|one, other| number(one[0].as_ref()) >= number(other[0].as_ref())));
}

#[test]
fn what_a_statement_names_is_found_or_refused() {
    let check = |sql: &str, expected: &str| {
        let said = match read(sql) {
            Ok(query) => {
                let dimensions = query.dimensions.iter().flat_map(|dimension| &dimension.columns);
                let names = dimensions.chain(&query.filtered).chain(&query.joined);
                names.map(|name| format!("{}.{}", name.relation, name.column)).collect::<Vec<_>>().join(" ")
            }
            Err(said) => said.trim_start_matches("denied: ").to_owned(),
        };
        assert_eq!(said, expected, "{sql}");
    };
    let of_users = |condition: &str| format!("SELECT count(*) FROM users u WHERE {condition}");
    check("SELECT count(*) FROM users", "");
    check("SELECT country, count(*) FROM users GROUP BY 1", "users.country");
    check(
        "SELECT count(*) FROM users u JOIN events e ON u.id = e.person AND e.kind = u.country",
        "u.id e.person e.kind u.country",
    );
    check(
        "SELECT count(*) FROM users JOIN events ON id = person",
        "`id` names no relation of the statement, or more than one",
    );
    check("SELECT date_trunc('month', u.at), count(*) FROM users u GROUP BY 1", "u.at");
    check("SELECT date_trunc('month', u.at)::date, count(*) FROM users u GROUP BY 1", "u.at");
    check("SELECT extract(year FROM u.at), count(*) FROM users u GROUP BY 1", "u.at");
    check("SELECT width_bucket(u.age, 0, 100, 10), count(*) FROM users u GROUP BY 1", "u.age");
    check("SELECT floor(u.age / 10), count(*) FROM users u GROUP BY 1", "u.age");
    check(&of_users("u.at > current_date - 30"), "u.at");
    check(&of_users("u.at >= '2026-01-01'::date AND u.age > -5"), "u.at u.age");
    check(&of_users("u.name LIKE 'a''b%' OR u.name ^@ E'x\\'y'"), "u.name u.name");
    check(&of_users("u.\"od\"\"d\" IS NOT NULL AND u.age BETWEEN 1 AND 2"), "u.od\"d u.age");
    check(&of_users("u.age = ANY ('{1,2}'::int[]) AND u.sick IS TRUE"), "u.age u.sick");
    check(&of_users("public.u.age = 1"), "u.age");
    // Each of these fails for some persons and not for others.
    for condition in [
        "u.age * 100000000 > 0",
        "u.age / 0 = 1",
        "u.age / $1 = 1",
        "u.name::int = 1",
        "u.age + 1 = 2",
        "(u.age)::smallint = 1",
    ] {
        let said = read(&of_users(condition)).expect_err(condition);
        assert!(said.contains("may fail for some persons"), "{condition}: {said}");
    }
    let said = read("SELECT sum(u.spend * 2) FROM users u").expect_err("no column");
    assert!(said.contains("is no column"), "{said}");
    let said = read("SELECT sum(u.spend::numeric) FROM users u").expect_err("no column");
    assert!(said.contains("is no column"), "{said}");
    assert!(read("SELECT count(*) FROM users u JOIN events e USING (id)").is_err());
    assert!(read("SELECT variance(u.age) FROM users u").is_err());
    assert!(read("SELECT country, count(*) FROM users GROUP BY 1 ORDER BY 1 NULLS FIRST").is_err());
}

proptest! {
    #[test]
    fn no_piece_of_sql_makes_the_reader_panic(text in "[a-z0-9 .,:'\"()\\[\\]$E\\\\/=<>é-]{0,40}") {
        let asked = vigie_statement::aggregate::AggregateQuery {
            outputs: vec![],
            dimensions: vec![vigie_statement::aggregate::Dimension { expression: text.clone(), name: None }],
            measures: vec![],
            from: text.clone(),
            condition: Some(text),
            relations: vec![],
            order_by: vec![],
            limit: None,
            n_parameters: 0,
        };
        let _ = Query::of(&asked, |relation| Some(relation.name.clone()));
    }
}

#[test]
fn binary_values_are_those_that_the_server_sends() {
    let texts = [
        "0",
        "1",
        "-1",
        "9999",
        "10000",
        "0.5",
        "-0.0001",
        "123456789.000120",
        "100000000",
        "0.00000001",
        "40.10",
        "0.000",
    ];
    let select: Vec<String> =
        texts.iter().map(|text| format!("SELECT encode(numeric_send('{text}'), 'hex')")).collect();
    let statements: Vec<&str> = select.iter().map(String::as_str).collect();
    let hex = |bytes: Option<Vec<u8>>| {
        bytes.expect("a number").iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    };
    for (text, rows) in texts.iter().zip(served(sample(), "", &statements)) {
        assert_eq!(rows[0][0].as_deref(), Some(hex(OutputType::Numeric.to_binary(text.as_bytes())).as_str()), "{text}");
    }
    assert_eq!(hex(OutputType::Bigint.to_binary(b"-2")), "fffffffffffffffe");
    assert_eq!(OutputType::Numeric.to_binary(b"NaN"), None);
    assert_eq!(OutputType::Bigint.to_binary(b"1.5"), None);
}

#[test]
fn figures_leave_in_the_formats_that_a_client_wants() {
    use crate::session::engine::Cells as _;
    use bytes::{BufMut as _, BytesMut};
    let plan = plan(&of_users(&["u.age"], &[Function::Records]));
    let figures = Figures::new(plan.into(), keys());
    let mut body = BytesMut::new();
    let n = figures.plan().n_columns();
    body.put_u16(n as u16);
    for _ in 0..n {
        body.put_slice(b"x\0\0\0\0\x09\0\x01\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0");
    }
    let mut message = BytesMut::new();
    message.put_u8(b'T');
    message.put_u32(4 + body.len() as u32);
    message.extend_from_slice(&body);
    let frame = crate::wire::Frame { tag: b'T', bytes: &message };
    let crate::wire::Backend::RowDescription(attested) = crate::wire::Backend::parse(&frame).expect("well formed")
    else {
        panic!("it is a description")
    };
    let row: Vec<Option<Vec<u8>>> =
        ["41", "100", "5", "1", "100", "1"].map(|text| Some(text.as_bytes().to_vec())).to_vec();
    let mut out = BytesMut::new();
    assert!(figures.write(std::slice::from_ref(&row), &[1], &mut out).is_err(), "types are not known yet");
    assert!(out.is_empty());
    figures.describe(&attested, &[1], &mut out).expect("as planned");
    let names = out.split();
    assert!(names.windows(9).any(|bytes| bytes == b"obs_flag\0"), "{names:?}");
    // The table that a column came from is not told.
    assert!(!names.windows(4).any(|bytes| bytes == [0, 0, 0, 9]));
    assert_eq!(figures.write(std::slice::from_ref(&row), &[1], &mut out), Ok(2), "a cell and the closing row");
    assert_eq!(out[7..15], [0, 0, 0, 4, 0, 0, 0, 41]);
    let count = i64::from_be_bytes(out[19..27].try_into().expect("eight"));
    assert!(count.abs_diff(100) <= 8, "{count}");
    out.clear();
    assert_eq!(figures.write(&[row], &[], &mut out), Ok(2));
    assert_eq!(&out[7..13], b"\0\0\0\x0241");
}
