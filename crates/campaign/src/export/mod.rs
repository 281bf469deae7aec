//! The tables of a campaign as files for other tools: Parquet, exactly as stored, and CSV, safe to open in a
//! spreadsheet.
//!
//! One file a table, the same columns in both. Rows go from the database to the file as they are read, so that a
//! table may be larger than the memory. In reading order: which tables and columns ([`TABLES`]), then the two formats.

mod csv;
mod parquet;
mod tables;

#[cfg(test)]
mod tests;

pub use tables::{Column, Kind, TABLES, Table};

use crate::store::{CampaignError, Reading};
use rusqlite::types::Value;
use std::{
    fmt,
    fs::{self, File},
    path::{Path, PathBuf},
    str::FromStr,
};

/// The format of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Apache Parquet, compressed with Snappy.
    Parquet,
    /// Comma-separated values (RFC 4180), in UTF-8.
    Csv,
}

impl Format {
    /// Returns the end of the files' names.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "parquet" => Ok(Self::Parquet),
            "csv" => Ok(Self::Csv),
            other => Err(format!("format `{other}` is not known; expected `parquet` or `csv`")),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.extension())
    }
}

/// Writes every table into a folder, which is made if it is not there. Returns the files, in the order of [`TABLES`].
///
/// A file is written under another name and takes its own when it is whole; a former export is replaced file by file.
///
/// # Errors
///
/// If the campaign cannot be read or a file cannot be written; the files before it are whole.
pub fn export(reading: &Reading, folder: &Path, format: Format) -> Result<Vec<PathBuf>, CampaignError> {
    TABLES.iter().map(|table| export_table(reading, table, folder, format)).collect()
}

fn export_table(
    reading: &Reading,
    table: &'static Table,
    folder: &Path,
    format: Format,
) -> Result<PathBuf, CampaignError> {
    let path = folder.join(format!("{}.{format}", table.name));
    let unfinished = folder.join(format!(".{}.{format}.unfinished", table.name));
    let failed =
        |why: &dyn fmt::Display| CampaignError::Export { table: table.name, path: path.clone(), why: why.to_string() };
    fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    let file = File::create(&unfinished).map_err(|error| failed(&error))?;
    let written = match format {
        Format::Parquet => parquet::write(table, &file, |each| rows(reading, table, each)),
        Format::Csv => csv::write(table, &file, |each| rows(reading, table, each)),
    };
    let kept = written.and_then(|()| {
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        Ok(())
    });
    kept.map_err(|error| {
        let _ = fs::remove_file(&unfinished);
        match error {
            Failure::Store(source) => CampaignError::Store { path: reading.path.clone(), source },
            Failure::File(error) => failed(&error),
            Failure::Parquet(error) => failed(&error),
        }
    })?;
    Ok(path)
}

/// Hands over every row of a table.
fn rows(
    reading: &Reading,
    table: &Table,
    each: &mut dyn FnMut(Vec<Value>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut select = reading.connection.prepare(&table.statement())?;
    let mut found = select.query([])?;
    while let Some(row) = found.next()? {
        let values = (0..table.columns.len()).map(|at| row.get(at)).collect::<Result<_, _>>()?;
        each(values)?;
    }
    Ok(())
}

/// Why a table could not be written.
#[derive(Debug)]
enum Failure {
    Store(rusqlite::Error),
    File(std::io::Error),
    Parquet(::parquet::errors::ParquetError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::File(error)
    }
}

impl From<::parquet::errors::ParquetError> for Failure {
    fn from(error: ::parquet::errors::ParquetError) -> Self {
        Self::Parquet(error)
    }
}
