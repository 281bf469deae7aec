//! Seals what a column of the operator's database holds in the clear.
//!
//! Goes through the table in ranges of pages, each in a transaction of its own, so that a table in use is not held up; what
//! is sealed already is left alone, so it can be run again. Errors name a SQLSTATE and never a value: a server may put rows
//! into the details of one.
//!
//! The surprise: what was in the clear stays on the disk. Old versions of rows go with `VACUUM FULL`; backups, replicas and
//! the write-ahead log do not.

use super::{Bound, MARK, SealKeys};
use tokio_postgres::Client;
use vigie_policy::{
    DataMap,
    names::{ColumnName, TableName},
    sql::{quote_identifier, quote_table},
};

/// Pages of one transaction.
const PAGES: i64 = 256;

/// A column that is sealed, and where it is.
#[derive(Debug, Clone)]
pub struct SealedColumn {
    table: TableName,
    column: ColumnName,
    subject: ColumnName,
}

/// What a sealed column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Values that are sealed.
    pub sealed: i64,
    /// Values in the clear.
    pub clear: i64,
    /// Those of them that are about nobody, so that they cannot be sealed.
    pub of_nobody: i64,
}

/// Why a column cannot be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// It is not named as a column.
    #[error("`{0}` is not a column, expected SCHEMA.TABLE.COLUMN")]
    NotAColumn(String),
    /// The map has no such column.
    #[error("the data map has no column `{0}`")]
    Unknown(String),
    /// The map does not seal it.
    #[error("the data map does not seal `{0}`")]
    NotSealed(String),
    /// There was no randomness.
    #[error("this machine gives no random numbers")]
    Random,
    /// The database.
    #[error("{doing} failed with SQLSTATE {code}")]
    Database {
        /// What was done.
        doing: &'static str,
        /// The SQLSTATE, or `none` if the connection was lost.
        code: String,
    },
}

fn failed(doing: &'static str) -> impl Fn(tokio_postgres::Error) -> SealError {
    move |error| {
        let code = error.code().map_or_else(|| "none".to_owned(), |code| code.code().to_owned());
        SealError::Database { doing, code }
    }
}

fn nonce() -> Result<[u8; 24], SealError> {
    let mut nonce = [0; 24];
    getrandom::fill(&mut nonce).map_err(|_| SealError::Random)?;
    Ok(nonce)
}

impl SealedColumn {
    /// Finds a column, `SCHEMA.TABLE.COLUMN`, that a data map seals.
    ///
    /// # Errors
    ///
    /// If it has none such.
    pub fn find(map: &DataMap, name: &str) -> Result<Self, SealError> {
        let not_a_column = || SealError::NotAColumn(name.to_owned());
        let (table, column) = name.rsplit_once('.').ok_or_else(not_a_column)?;
        let table: TableName = table.parse().map_err(|_| not_a_column())?;
        let column: ColumnName = column.parse().map_err(|_| not_a_column())?;
        let unknown = || SealError::Unknown(name.to_owned());
        let known = map.table(&table).ok_or_else(unknown)?;
        let is_sealed = known.column(&column).ok_or_else(unknown)?.sealed;
        match known.subject().filter(|_| is_sealed) {
            Some(subject) => Ok(Self { subject: subject.clone(), table, column }),
            None => Err(SealError::NotSealed(name.to_owned())),
        }
    }

    /// Returns what its cells are bound to.
    pub fn bound(&self) -> Bound {
        Bound::to(&self.table.to_string(), self.column.as_str())
    }

    /// Seals one value, of the person with this id.
    ///
    /// # Errors
    ///
    /// If there is no randomness.
    pub fn cell(&self, keys: &SealKeys, subject: &str, value: &str) -> Result<String, SealError> {
        Ok(keys.seal(&self.bound(), subject.as_bytes(), value.as_bytes(), nonce()?))
    }

    fn names(&self) -> (String, String, String) {
        (quote_table(&self.table), quote_identifier(self.column.as_str()), quote_identifier(self.subject.as_str()))
    }

    /// Counts what it holds.
    ///
    /// # Errors
    ///
    /// [`SealError::Database`]; also if row policies would hide rows from whoever asks.
    pub async fn held(&self, client: &mut Client) -> Result<Held, SealError> {
        let failed = failed("counting sealed cells");
        let (table, column, subject) = self.names();
        let transaction = client.transaction().await.map_err(&failed)?;
        // Better an error than rows that are not seen.
        transaction.batch_execute("SET LOCAL row_security = off").await.map_err(&failed)?;
        let is_cell = format!("starts_with({column}, '{MARK}')");
        let sql = format!(
            "SELECT count(*) FILTER (WHERE {is_cell}), count(*) FILTER (WHERE NOT {is_cell}), \
             count(*) FILTER (WHERE NOT {is_cell} AND {subject} IS NULL) FROM {table}"
        );
        let row = transaction.query_one(&sql, &[]).await.map_err(&failed)?;
        transaction.commit().await.map_err(&failed)?;
        Ok(Held { sealed: row.get(0), clear: row.get(1), of_nobody: row.get(2) })
    }

    /// Seals everything that it holds in the clear; returns how many values that were.
    ///
    /// # Errors
    ///
    /// [`SealError`]; what was sealed before stays so.
    pub async fn seal(&self, client: &mut Client, keys: &SealKeys) -> Result<u64, SealError> {
        let failed = failed("sealing cells");
        let (table, column, subject) = self.names();
        let size = format!(
            "SELECT pg_catalog.pg_relation_size('{}') / current_setting('block_size')::bigint",
            table.replace('\'', "''")
        );
        let range = format!(
            "SELECT ctid::text, {subject}::text, {column} FROM {table} WHERE ctid >= $1::text::tid AND ctid < $2::text::tid \
             AND {column} IS NOT NULL AND NOT starts_with({column}, '{MARK}') AND {subject} IS NOT NULL FOR UPDATE"
        );
        let write = format!(
            "UPDATE {table} AS held SET {column} = sealed.cell FROM unnest($1::text[], $2::text[]) AS sealed (at, cell) \
             WHERE held.ctid = sealed.at::tid"
        );
        let (bound, mut page, mut n_sealed) = (self.bound(), 0_i64, 0);
        loop {
            // New versions of rows make the table longer; those are sealed, or written by others meanwhile.
            let pages: i64 = client.query_one(&size, &[]).await.map_err(&failed)?.get(0);
            if page >= pages {
                break;
            }
            let transaction = client.transaction().await.map_err(&failed)?;
            transaction.batch_execute("SET LOCAL row_security = off").await.map_err(&failed)?;
            let (from, to) = (format!("({page},0)"), format!("({},0)", page + PAGES));
            let rows = transaction.query(&range, &[&from, &to]).await.map_err(&failed)?;
            let (mut places, mut cells) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
            for row in &rows {
                let (at, person, value): (String, String, String) = (row.get(0), row.get(1), row.get(2));
                cells.push(keys.seal(&bound, person.as_bytes(), value.as_bytes(), nonce()?));
                places.push(at);
            }
            n_sealed += transaction.execute(&write, &[&places, &cells]).await.map_err(&failed)?;
            transaction.commit().await.map_err(&failed)?;
            page += PAGES;
        }
        // Statistics hold values, too.
        client.batch_execute(&format!("ANALYZE {table} ({column})")).await.map_err(&failed)?;
        Ok(n_sealed)
    }
}
