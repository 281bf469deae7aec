//! What values of columns look like, for a draft of the data map.
//!
//! Values of a sample are looked at here, one column at a time, and dropped; only counts are kept, and nothing is printed.

use crate::{DatabaseError, error::Doing as _};
use tokio_postgres::Client;
use vigie_policy::{
    catalog::Catalog,
    draft::{Shape, Shapes},
    sql::{quote_identifier, quote_table},
};

/// The most rows that are looked at in each table.
pub const SAMPLE_ROWS: u32 = 1000;

/// Types whose values may look like something; others are what their type says.
const TEXTS: [&str; 4] = ["text", "character varying", "character", "citext"];

/// Counts the shapes of texts in a sample of each table of a catalog.
///
/// Of a table that never was analyzed, or is small, the first rows are taken; of a larger one, rows of random pages. Our
/// own schema `vigie` is left out.
///
/// # Errors
///
/// What the server says.
pub async fn sample_shapes(client: &mut Client, catalog: &Catalog) -> Result<Shapes, DatabaseError> {
    let doing = "sampling the shapes of values";
    let transaction = client.build_transaction().read_only(true).start().await.doing(doing)?;
    transaction.batch_execute("SET LOCAL statement_timeout = '10s'").await.doing(doing)?;
    let mut shapes = Shapes::new();
    for table in catalog.tables.iter().filter(|table| table.name.schema.as_str() != "vigie") {
        let name = quote_table(&table.name);
        let sql = "SELECT reltuples::float8 FROM pg_class WHERE oid = $1::text::regclass";
        let rows: f64 = transaction.query_one(sql, &[&name]).await.doing(doing)?.get(0);
        // More pages than should be needed, since rows are not spread evenly.
        let sample = if rows > f64::from(SAMPLE_ROWS) * 20.0 {
            format!(" TABLESAMPLE SYSTEM ({:.6})", f64::from(SAMPLE_ROWS) * 200.0 / rows)
        } else {
            String::new()
        };
        for column in table.columns.iter().filter(|column| TEXTS.contains(&column.type_name.as_str())) {
            let value = quote_identifier(column.name.as_str());
            let sql = format!(
                "SELECT left({value}::text, 320) FROM {name}{sample} WHERE {value} IS NOT NULL LIMIT {SAMPLE_ROWS}"
            );
            let values = transaction.query(&sql, &[]).await.doing(doing)?;
            let shape = Shape::of(values.iter().map(|row| row.get::<_, &str>(0)));
            shapes.insert((table.name.clone(), column.name.clone()), shape);
        }
    }
    transaction.commit().await.doing(doing)?;
    Ok(shapes)
}
