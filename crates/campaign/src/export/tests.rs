//! The exports as other programs read them: CSV by our own reader of lists, Parquet by its crate, and by pyarrow and
//! DuckDB where `scripts/setup.sh --judges` has put them.

use super::{csv::quoted, *};
use crate::{
    Difference, Done, Job, List, Settings,
    runner::{self, Unwatched},
    store::Campaign,
};
use ::parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::Field,
};
use std::num::{NonZeroU16, NonZeroUsize};

/// A document with what an export must bear: missing values, commas, quotes, lines, formulas, other scripts.
fn document(job: &Job) -> String {
    if job.domain == "gone.test" {
        return r#"{"schema": "vigie-inspection/1", "outcome": "unreachable", "why": "no such host"}"#.to_owned();
    }
    format!(
        r#"{{"schema": "vigie-inspection/1", "outcome": "inspected", "elapsed_s": 8.4,
        "banner": {{"seen": true, "cmp": null, "language": "el"}}, "first_layer": {{"accept": true, "refuse": false}},
        "clicks": {{"accept": 1, "refuse": {}, "withdraw": null}},
        "evidence": {{"bundle": "a.wacz", "sha256": "00ff"}},
        "visits": [{{"scenario": "S0", "trackers": [{{"host": "t.test", "requests": 2, "why": "EasyPrivacy"}}],
          "cookies": [
            {{"name": "=cmd|' /C calc'!A0", "domain": "a.test", "path": "/", "exempt": false, "lifetime_s": 60.5}},
            {{"name": "naïve, \"κ\"\nline", "domain": "a.test", "path": "", "exempt": null, "http_only": true}}]}}],
        "findings": [{{"rule": "CK-05", "title": "A refusal", "verdict": "breach", "severity": "blocking",
          "certainty": "deterministic", "summary": "none"}}]}}"#,
        job.repeat
    )
}

fn exported(format: Format) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let list = List::parse("url,country,tags\nhttps://a.test/,FR,news;daily\nhttps://gone.test/,,").unwrap();
    let settings = Settings {
        repeats: NonZeroU16::new(2).unwrap(),
        retry: crate::settings::RetryRule { unreachable_and_failed: vec![], blocked: vec![] },
        ..Settings::default()
    };
    let (campaign, _) = Campaign::open(folder.path(), Some(&list), &settings, Difference::Refuse).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let inspect = |job: Job| async move { Ok(Done::new(document(&job))) };
    let run = runner::run(&campaign, NonZeroUsize::MIN, inspect, &Unwatched, std::future::pending());
    assert!(runtime.block_on(run).unwrap().complete);
    let reading = Reading::open(folder.path()).unwrap();
    let files = export(&reading, &folder.path().join("tables"), format).unwrap();
    (folder, files)
}

#[test]
fn documents_are_kept_compressed_and_come_back_as_they_came() {
    let (folder, _) = exported(Format::Csv);
    let reading = Reading::open(folder.path()).unwrap();
    let kept = reading.document("https://a.test/", 2).unwrap().expect("it was inspected");
    assert!(kept.contains("naïve") && kept.contains("\"vigie-inspection/1\""), "{kept}");
    assert_eq!(reading.document("https://a.test/", 3).unwrap(), None);
    let database = rusqlite::Connection::open(folder.path().join("campaign.db")).unwrap();
    let sql = "SELECT document FROM results WHERE repeat = 2 AND document IS NOT NULL LIMIT 1";
    let bytes: Vec<u8> = database.query_row(sql, [], |row| row.get(0)).unwrap();
    assert!(bytes.starts_with(&[0x1f, 0x8b]), "gzip");
}

#[test]
fn every_table_is_written_and_nothing_else_is_left() {
    let (folder, files) = exported(Format::Csv);
    let names: Vec<_> = files.iter().map(|file| file.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(names, ["sites.csv", "clicks.csv", "findings.csv", "trackers.csv", "cookies.csv"]);
    assert_eq!(fs::read_dir(folder.path().join("tables")).unwrap().count(), 5);
}

#[test]
fn the_csv_reads_well() {
    let (_folder, files) = exported(Format::Csv);
    let text: Vec<String> = files.iter().map(|file| fs::read_to_string(file).unwrap().replace('\r', "")).collect();
    insta::assert_snapshot!(text.join("\n").split(',').map(without_time).collect::<Vec<_>>().join(","));
}

fn without_time(cell: &str) -> &str {
    if cell.parse::<jiff::Timestamp>().is_ok() { "[time]" } else { cell }
}

#[test]
fn cells_are_quoted_where_they_must_be_and_formulas_are_not_run() {
    let check = |text: &str, expected: &str| assert_eq!(quoted(text), expected);
    check("plain", "plain");
    check("", "\"\"");
    check("a,b", "\"a,b\"");
    check("say \"no\"", "\"say \"\"no\"\"\"");
    check(" edge", "\" edge\"");
    check("=1+1", "\"'=1+1\"");
    check("@SUM(A1)", "\"'@SUM(A1)\"");
    check("-5", "\"'-5\"");
}

#[test]
fn the_parquet_holds_what_is_stored_byte_for_byte() {
    let (_folder, files) = exported(Format::Parquet);
    let column = |table: usize, name: &str| -> Vec<Field> {
        let reader = SerializedFileReader::new(File::open(&files[table]).unwrap()).unwrap();
        let rows = reader.get_row_iter(None).unwrap();
        rows.map(|row| row.unwrap().get_column_iter().find(|(key, _)| *key == name).unwrap().1.clone()).collect()
    };
    assert_eq!(column(0, "repeat"), [1, 2, 1, 2].map(Field::Long));
    assert_eq!(column(0, "state")[2], Field::Str("failed".to_owned()));
    assert_eq!(column(0, "tags")[0], Field::Str("daily;news".to_owned()));
    assert_eq!(column(0, "refuse_first_layer"), [Field::Bool(false), Field::Bool(false), Field::Null, Field::Null]);
    assert_eq!(column(1, "refuse"), [1, 2].map(Field::Long));
    assert_eq!(column(1, "withdraw"), [Field::Null, Field::Null]);
    let names = column(4, "name");
    assert_eq!(names[0], Field::Str("=cmd|' /C calc'!A0".to_owned()));
    assert_eq!(names[1], Field::Str("naïve, \"κ\"\nline".to_owned()));
    assert_eq!(column(4, "lifetime_s")[..2], [Field::Double(60.5), Field::Null]);
    assert_eq!(column(3, "host").len(), 2);
}

/// Another implementation has the last word on whether that is Parquet.
#[test]
fn pyarrow_and_duckdb_read_the_parquet() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/judges/bin/python");
    if !python.exists() {
        eprintln!("not run: `scripts/setup.sh --judges` installs pyarrow and DuckDB");
        return;
    }
    let (folder, _) = exported(Format::Parquet);
    let script = r#"
import sys, duckdb, pyarrow.parquet as pq
folder = sys.argv[1]
for name in ["sites", "clicks", "findings", "trackers", "cookies"]:
    table = pq.read_table(f"{folder}/{name}.parquet")
    rows = duckdb.sql(f"SELECT count(*) FROM '{folder}/{name}.parquet'").fetchall()[0][0]
    assert rows == table.num_rows, (name, rows, table.num_rows)
    print(name, rows, *[f"{field.name}:{field.type}" for field in table.schema])
print(duckdb.sql(f"SELECT url, repeat, country, clicks.refuse FROM '{folder}/sites.parquet' JOIN '{folder}/clicks.parquet' clicks USING (url, repeat) ORDER BY 2").fetchall())
print(duckdb.sql(f"SELECT name, exempt, lifetime_s FROM '{folder}/cookies.parquet' WHERE repeat = 1").fetchall())
"#;
    let output =
        std::process::Command::new(python).args(["-c", script]).arg(folder.path().join("tables")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stdout));
}
