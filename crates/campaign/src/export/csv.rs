//! CSV: RFC 4180, with a header, lines ending in CR LF, a missing value as nothing and an empty text as `""`.
//!
//! Texts come from inspected sites, and spreadsheets run what begins like a formula. Such a text is preceded by an
//! apostrophe, which spreadsheets take off again; who needs every byte reads the Parquet.

use super::{Failure, Kind, Table};
use rusqlite::types::Value;
use std::{
    fs::File,
    io::{BufWriter, Write},
};

/// Hands every row to whoever is given.
pub type Rows<'a> = &'a mut dyn FnMut(Vec<Value>) -> Result<(), Failure>;

/// Writes a table.
pub fn write(table: &Table, file: &File, rows: impl FnOnce(Rows<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut out = BufWriter::new(file);
    let names: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
    write!(out, "{}\r\n", names.join(","))?;
    rows(&mut |values| {
        let cells: Vec<String> =
            values.iter().zip(table.columns).map(|(value, column)| cell(value, column.kind)).collect();
        write!(out, "{}\r\n", cells.join(","))?;
        Ok(())
    })?;
    out.flush()?;
    Ok(())
}

fn cell(value: &Value, kind: Kind) -> String {
    match (value, kind) {
        (Value::Null | Value::Blob(_), _) => String::new(),
        (Value::Integer(number), Kind::Boolean) => (*number != 0).to_string(),
        (Value::Integer(number), Kind::Moment) => {
            jiff::Timestamp::from_millisecond(*number).map_or_else(|_| number.to_string(), |moment| moment.to_string())
        }
        (Value::Integer(number), _) => number.to_string(),
        (Value::Real(number), _) => number.to_string(),
        (Value::Text(text), _) => quoted(text),
    }
}

/// Returns a text as a cell.
pub fn quoted(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    let plain = guard.is_empty() && !text.is_empty() && !text.contains([',', '"', '\n', '\r']);
    // Space at an end is kept by quotes only.
    if plain && text.trim() == text { text.to_owned() } else { format!("\"{guard}{}\"", text.replace('"', "\"\"")) }
}
