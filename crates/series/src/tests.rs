//! Series from definition to release, their SQL on a real server, and the journal cut at every byte.

use crate::{wire::Release, *};
use std::{cell::RefCell, convert::Infallible};
use vigie_testkit::postgres::PostgresServer;

const LISTED: &str = r#"
schema = "series/1"
name = "accounts-by-country"
dataset = "accounts"
recipient = "statistics@parent.example"
purpose = "analytics"
period = "P1M"
table = "public.records"
subject = "person"
subject_type = "bigint"
cells_per_person = 2
rho = "0.125"
total_rho = "0.3"
delta = 1e-9
[[dimension]]
name = "country"
expression = "country"
values = ["IE", "NO", "XX"]
[measure]
kind = "records"
most_per_person = 3
"#;

fn listed() -> Series {
    Series::parse(LISTED).expect("it is well written")
}

fn found() -> Series {
    let text = LISTED.replace(r#"values = ["IE", "NO", "XX"]"#, r#"values = "above-threshold""#);
    Series::parse(&text.replace("delta = 1e-9", "delta = 1e-9\nkey_delta = 1e-9")).expect("it is well written")
}

/// Keeps lines in memory, or fails.
#[derive(Default)]
struct Memory {
    lines: Vec<String>,
    fails: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("the disk is full")]
struct Full;

impl Keep for Memory {
    type Error = Full;
    fn keep(&mut self, line: &str) -> Result<(), Full> {
        if self.fails {
            return Err(Full);
        }
        self.lines.push(line.to_owned());
        Ok(())
    }
}

/// Spends without end, so that noise can be measured.
struct Free;

impl Keep for Free {
    type Error = Infallible;
    fn keep(&mut self, _: &str) -> Result<(), Infallible> {
        Ok(())
    }
}

fn drawn(series: &Series, exact: &[Exact]) -> Release {
    let charge = Budget::default().charge(series, "2026-11", "2026-11-30T00:00:00Z", Repeat::Refuse, &mut Free);
    release(series, exact, charge.expect("a new budget pays")).expect("it can be drawn")
}

fn cell(key: &str, value: i64) -> Exact {
    (vec![key.to_owned()], value)
}

#[test]
fn a_release_costs_what_was_paid_and_says_how_exact_it_is() {
    let release = drawn(&listed(), &[cell("IE", 5_000), cell("NO", 40)]);
    // Three in each of two cells: 3 √2; at ρ = 1/8 the scale is that times two.
    assert!((release.scale - 6.0 * 2.0_f64.sqrt()).abs() < 1e-6, "{}", release.scale);
    assert!((16.0..=18.0).contains(&release.half_width_95), "{}", release.half_width_95);
    assert!((2.5..3.5).contains(&release.epsilon), "{}", release.epsilon);
    let keys: Vec<_> = release.cells.iter().map(|cell| cell.key[0].as_str()).collect();
    assert_eq!(keys, ["IE", "NO", "XX"], "also the one in which nobody is");
    assert!((release.cells[0].value - 5_000).abs() < 100, "{:?}", release.cells);
    let text = serde_json::to_string(&release).expect("it is JSON");
    assert_eq!(serde_json::from_str::<Release>(&text).expect("and reads back"), release);
}

#[test]
fn noise_has_the_scale_it_says_and_no_mean() {
    let series = listed();
    let values: Vec<f64> = (0..700)
        .flat_map(|_| drawn(&series, &[cell("IE", 1_000), cell("NO", 1_000), cell("XX", 1_000)]).cells)
        .map(|cell| cell.value as f64 - 1_000.0)
        .collect();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt();
    let scale = 6.0 * 2.0_f64.sqrt();
    // Five standard errors each.
    assert!(mean.abs() < 5.0 * scale / n.sqrt(), "mean {mean}");
    assert!((deviation / scale - 1.0).abs() < 5.0 / (2.0 * n).sqrt(), "deviation {deviation}");
    let within = values.iter().filter(|value| value.abs() <= 17.0).count() as f64 / n;
    assert!(within > 0.93, "{within} within the half width");
}

#[test]
fn values_that_one_person_brings_do_not_show() {
    let series = found();
    let mut rare = 0;
    for _ in 0..200 {
        let release = drawn(&series, &[cell("common", 100_000), cell("rare", 3)]);
        let threshold = release.threshold.expect("keys are found");
        assert!((40..80).contains(&threshold), "{threshold}");
        assert!(release.cells.iter().any(|cell| cell.key[0] == "common"));
        assert!(release.cells.iter().all(|cell| cell.value >= threshold));
        rare += release.cells.iter().filter(|cell| cell.key[0] == "rare").count();
    }
    assert_eq!(rare, 0);
}

#[test]
fn the_budget_is_never_exceeded() {
    let (series, mut budget, mut memory) = (listed(), Budget::default(), Memory::default());
    for period in ["2026-09", "2026-10"] {
        budget.charge(&series, period, "2026-11-30T00:00:00Z", Repeat::Refuse, &mut memory).expect("there is enough");
    }
    let error =
        budget.charge(&series, "2026-11", "2026-11-30T00:00:00Z", Repeat::Refuse, &mut memory).expect_err("no third");
    assert_eq!(
        error.to_string(),
        "series `accounts-by-country` costs 0.125 per release, and of 0.3 for `statistics@parent.example` on `accounts` 0.05 is left"
    );
    assert_eq!(memory.lines.len(), 2, "what is refused leaves no record");
    // Nor after a restart, nor by another series, nor by a definition that says more is allowed now.
    let mut again = Budget::parse(&memory.lines.join("\n")).expect("records read back");
    let other = Series { name: "another".to_owned(), total_rho: "9".parse().expect("a cost"), ..series.clone() };
    assert!(matches!(
        again.charge(&other, "2026-11", "2026-11-30T00:00:00Z", Repeat::Refuse, &mut memory),
        Err(BudgetError::Exhausted { .. })
    ));
    let elsewhere = Series { recipient: "somebody.else@example.org".to_owned(), ..other };
    assert!(again.charge(&elsewhere, "2026-11", "2026-11-30T00:00:00Z", Repeat::Refuse, &mut memory).is_ok());
    assert_eq!(again.spent_together("accounts").to_string(), "0.375");
}

#[test]
fn a_period_is_paid_for_once_unless_its_release_was_lost() {
    let (series, mut budget, mut memory) = (listed(), Budget::default(), Memory::default());
    let mut charge =
        |repeat| budget.charge(&series, "2026-11", "2026-11-30T00:00:00Z", repeat, &mut memory).map(|_| ());
    assert!(charge(Repeat::Refuse).is_ok());
    assert!(matches!(charge(Repeat::Refuse), Err(BudgetError::Repeated { .. })));
    assert!(charge(Repeat::SpendAgain).is_ok());
    assert_eq!(budget.spent("accounts", "statistics@parent.example").to_string(), "0.25");
}

#[test]
fn what_could_not_be_recorded_is_spent_and_not_drawn() {
    let (series, mut budget) = (listed(), Budget::default());
    let mut full = Memory { fails: true, ..Memory::default() };
    let error = budget.charge(&series, "2026-11", "2026-11-30T00:00:00Z", Repeat::Refuse, &mut full);
    assert!(matches!(error, Err(BudgetError::NotKept { .. })));
    assert_eq!(budget.spent("accounts", "statistics@parent.example"), series.rho);
}

#[test]
fn a_charge_for_one_series_does_not_release_another() {
    let series = listed();
    let charge =
        Budget::default().charge(&series, "2026-11", "2026-11-30T00:00:00Z", Repeat::Refuse, &mut Free).expect("paid");
    let dearer = Series { rho: "0.25".parse().expect("a cost"), ..series };
    assert!(matches!(release(&dearer, &[], charge), Err(ReleaseError::OtherSeries { .. })));
}

#[test]
fn cells_that_are_not_of_the_series_are_not_released() {
    let check = |exact: &[Exact], what: &str| {
        let series = listed();
        let charge =
            Budget::default().charge(&series, "p", "2026-11-30T00:00:00Z", Repeat::Refuse, &mut Free).expect("paid");
        let error = release(&series, exact, charge).expect_err("it is wrong").to_string();
        assert!(error.contains(what), "{error}");
    };
    check(&[cell("FR", 1)], "is not listed");
    check(&[cell("IE", -1)], "below zero");
    check(&[cell("IE", 1), cell("IE", 1)], "came twice");
    check(&[(vec![], 1)], "another number of dimensions");
}

#[test]
fn a_journal_survives_a_crash_in_the_middle_of_a_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("budget.jsonl");
    let series = listed();
    {
        let (mut journal, mut budget) = Journal::open(&path).expect("it is made");
        budget.charge(&series, "2026-10", "2026-10-31T00:00:00Z", Repeat::Refuse, &mut journal).expect("paid");
        assert!(matches!(Journal::open(&path), Err(JournalError::InUse(_))), "one at a time");
    }
    let whole = std::fs::read_to_string(&path).expect("it is there");
    // Cut at every byte: what was whole counts, what was not was not drawn from.
    for cut in 0..whole.len() {
        let second = &whole[..cut];
        std::fs::write(&path, format!("{whole}{second}")).expect("written");
        let (_, budget) = Journal::open(&path).expect("it is mended");
        assert_eq!(budget.records().len(), if cut == whole.len() - 1 { 2 } else { 1 }, "cut at {cut}");
        let mended = std::fs::read_to_string(&path).expect("it is there");
        assert!(mended.ends_with('\n') && Budget::parse(&mended).is_ok());
    }
    std::fs::write(&path, format!("{{}}\n{whole}")).expect("written");
    assert!(
        matches!(Journal::open(&path), Err(JournalError::Damaged { .. })),
        "a line that is no record stops everything"
    );
}

#[test]
fn all_mistakes_of_a_definition_are_reported_at_once() {
    let text = LISTED
        .replace(r#"["IE", "NO", "XX"]"#, r#"["IE", "IE"]"#)
        .replace("cells_per_person = 2", "cells_per_person = 0")
        .replace("1e-9", "0.5\nkey_delta = 1e-9")
        .replace("0.125", "0.5");
    let error = Series::parse(&text).expect_err("it is wrong").to_string();
    for what in [
        "lists a value twice",
        "`cells_per_person` is 0",
        "`delta` is 0.5",
        "`key_delta` is given",
        "`rho` 0.5 is above",
    ] {
        assert!(error.contains(what), "{what}: {error}");
    }
    let unknown = Series::parse(&LISTED.replace("period =", "perod =")).expect_err("an unknown key").to_string();
    assert!(unknown.contains("perod") && unknown.contains("line"), "{unknown}");
}

#[test]
fn costs_are_exact_decimals() {
    for text in ["0.05", "1", "1000", "0.000000001", "12.5"] {
        assert_eq!(text.parse::<Rho>().map(|rho| rho.to_string()).as_deref(), Ok(text));
    }
    for text in ["", "0", "0.0", "-1", "1e3", ".5", "1.", "1000.1", "0.0000000001", "99999"] {
        assert!(text.parse::<Rho>().is_err(), "{text}");
    }
    let tenth: Rho = "0.1".parse().expect("a cost");
    let sum = (0..10).fold(Rho::ZERO, |sum, _| sum.plus(tenth));
    assert_eq!(sum.to_string(), "1", "which binary fractions do not give");
}

#[test]
fn the_database_bounds_what_one_person_contributes() {
    let server = PostgresServer::shared();
    let database = server.new_database();
    // Person 1 floods one country; person 2 is everywhere; 100 others have one record each.
    server.run_sql(
        &database,
        "CREATE TABLE records (person bigint, country text, cents bigint);
         INSERT INTO records SELECT 1, 'IE', 1000000 FROM generate_series(1, 1000);
         INSERT INTO records SELECT 2, c, 10 FROM unnest(ARRAY['IE', 'NO', 'XX', 'FR']) c, generate_series(1, 5);
         INSERT INTO records SELECT 100 + i, 'NO', -7 FROM generate_series(1, 100) i;
         INSERT INTO records SELECT NULL, 'NO', 7 FROM generate_series(1, 100) i;",
    );
    let counted = |series: &Series| -> Vec<(String, i64)> {
        let rows = server.run_sql(&database, &series.statement());
        let mut cells: Vec<_> = (rows.lines())
            .map(|row| row.split_once('|').expect("two columns"))
            .map(|(key, value)| (key.to_owned(), value.parse().expect("a whole number")))
            .collect();
        cells.sort();
        cells
    };
    let series = listed();
    let all = counted(&series);
    assert_eq!(all, counted(&series), "the choice of cells does not change");
    // Against the same without one person, for each of them: in at most two cells, by at most three.
    let differs = RefCell::new(Vec::new());
    for person in [1, 2, 101] {
        let without = counted(&Series { condition: Some(format!("person <> {person}")), ..series.clone() });
        let value =
            |cells: &[(String, i64)], key: &str| cells.iter().find(|cell| cell.0 == key).map_or(0, |cell| cell.1);
        let changes: Vec<i64> = ["IE", "NO", "XX"]
            .iter()
            .map(|key| value(&all, key) - value(&without, key))
            .filter(|change| *change != 0)
            .collect();
        differs.borrow_mut().push(changes);
    }
    assert_eq!(*differs.borrow(), [vec![3], vec![3, 3], vec![1]]);
    // Sums are kept between 0 and the bound, and values that nobody listed do not count.
    let sums = Series {
        measure: Measure::Sum { column: "cents".into(), most_per_person: 500, unit: "cent".into() },
        ..series
    };
    let sums = counted(&sums);
    assert!(sums.iter().all(|(key, value)| key != "FR" && (0..=550).contains(value)), "{sums:?}");
    assert!(sums.iter().any(|(key, value)| key == "IE" && *value >= 500), "{sums:?}");
}
