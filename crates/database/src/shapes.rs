//! What values of columns look like, for a draft of the data map: counted in the database, never brought out of it.

use crate::{DatabaseError, error::Doing as _};
use tokio_postgres::Client;
use vigie_policy::{
    catalog::{Catalog, Table},
    names::{ColumnName, TableName},
    sql::{quote_identifier, quote_table},
};

/// How many values of a sample have which shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnShapes {
    /// The table.
    pub table: TableName,
    /// The column.
    pub column: ColumnName,
    /// Values looked at, without NULL.
    pub sampled: u64,
    /// That look like an e-mail address.
    pub emails: u64,
    /// That look like a telephone number.
    pub phones: u64,
    /// That look like an IP address.
    pub addresses: u64,
    /// That look like an account number (IBAN).
    pub accounts: u64,
}

/// The most rows that are looked at in each table.
pub const SAMPLE_ROWS: u32 = 1000;

/// Texts of these types are looked at; `inet` and `cidr` are addresses whatever they hold.
const TEXTS: [&str; 4] = ["text", "character varying", "character", "citext"];

/// Counts the shapes of texts in a sample of each table of a catalog. Only the counts leave the server.
///
/// Of a table that never was analyzed, or is small, the first rows are taken; of a larger one, rows of random pages.
///
/// # Errors
///
/// What the server says.
pub async fn sample_shapes(client: &mut Client, catalog: &Catalog) -> Result<Vec<ColumnShapes>, DatabaseError> {
    let doing = "sampling the shapes of values";
    let transaction = client.build_transaction().read_only(true).start().await.doing(doing)?;
    transaction.batch_execute("SET LOCAL statement_timeout = '10s'").await.doing(doing)?;
    let mut shapes = Vec::new();
    for table in &catalog.tables {
        let texts: Vec<&ColumnName> = table
            .columns
            .iter()
            .filter(|column| TEXTS.contains(&column.type_name.as_str()))
            .map(|column| &column.name)
            .collect();
        if texts.is_empty() {
            continue;
        }
        let sql = "SELECT greatest(reltuples, 0)::float8, relkind::text FROM pg_class WHERE oid = $1::text::regclass";
        let row = transaction.query_one(sql, &[&quote_table(&table.name)]).await.doing(doing)?;
        let rows: f64 = row.get(0);
        let row = transaction.query_one(&counting(table, &texts, rows), &[]).await.doing(doing)?;
        for (index, column) in texts.into_iter().enumerate() {
            let count = |offset: usize| row.get::<_, i64>(index * 5 + offset).cast_unsigned();
            shapes.push(ColumnShapes {
                table: table.name.clone(),
                column: column.clone(),
                sampled: count(0),
                emails: count(1),
                phones: count(2),
                addresses: count(3),
                accounts: count(4),
            });
        }
    }
    transaction.commit().await.doing(doing)?;
    Ok(shapes)
}

fn counting(table: &Table, columns: &[&ColumnName], rows: f64) -> String {
    let patterns = [
        r"^[^@[:space:]]+@[^@[:space:]]+\.[^@[:space:]]+$",
        r"^\+?[0-9][0-9 ()./-]{6,18}[0-9]$",
        r"^([0-9]{1,3}\.){3}[0-9]{1,3}$|^[0-9a-fA-F:]*:[0-9a-fA-F:]*:[0-9a-fA-F:.]*$",
        r"^[A-Z]{2}[0-9]{2}[A-Z0-9 ]{11,34}$",
    ];
    let mut counts = Vec::new();
    for column in columns {
        let column = quote_identifier(column.as_str());
        counts.push(format!("count(s.{column})"));
        counts.extend(patterns.map(|pattern| format!("count(*) FILTER (WHERE left(s.{column}::text, 320) ~ '{pattern}')")));
    }
    let listed: Vec<String> = columns.iter().map(|column| quote_identifier(column.as_str())).collect();
    // Twice as many pages as should be needed, since rows are not spread evenly.
    let sample = if rows > f64::from(SAMPLE_ROWS) * 20.0 {
        format!(" TABLESAMPLE SYSTEM ({:.6})", f64::from(SAMPLE_ROWS) * 200.0 / rows)
    } else {
        String::new()
    };
    format!(
        "SELECT {} FROM (SELECT {} FROM {}{sample} LIMIT {SAMPLE_ROWS}) s",
        counts.join(", "),
        listed.join(", "),
        quote_table(&table.name)
    )
}
