//! The operator's live PostgreSQL: read its catalog, apply a compiled policy to it, and compare the two.
//!
//! Everything that is decided or written as SQL comes from `policy`, as values; this crate only connects, reads and runs.
//! Choices, and what keeps the masks, are `choices`: it is installed first, and [`apply`] refuses tables whose masks were
//! not all written yet.

mod apply;
mod connect;
mod error;
mod reader;
mod shapes;

pub use apply::{Applied, Plan, apply};
pub use connect::{TlsRoots, connect, connect_hearing, parse_address};
pub use error::DatabaseError;
pub use reader::read_catalog;
pub use shapes::{SAMPLE_ROWS, sample_shapes};

use tokio_postgres::Client;
use vigie_policy::{
    Compiled, DataMap, draft,
    drift::{self, Drift},
    lint::{self, Lint},
    names::MapName,
    sql::objects,
};

/// Compares a live database with a compiled policy; differences that show more come first.
///
/// # Errors
///
/// If the catalog cannot be read.
pub async fn drift(client: &mut Client, compiled: &Compiled) -> Result<Vec<Drift>, DatabaseError> {
    let catalog = read_catalog(client).await?;
    Ok(drift::drift(&objects(compiled), &catalog))
}

/// Drafts a data map from a live database, as TOML, for a person to correct.
///
/// # Errors
///
/// If the catalog or a table cannot be read.
pub async fn draft(client: &mut Client, name: &MapName) -> Result<String, DatabaseError> {
    let mut catalog = read_catalog(client).await?;
    // Our own schema is no data of the operator's.
    catalog.tables.retain(|table| table.name.schema.as_str() != "vigie");
    let shapes = sample_shapes(client, &catalog).await?;
    Ok(draft::draft(name, &catalog, &shapes))
}

/// Looks for what undermines a data map in a live database, gravest first.
///
/// # Errors
///
/// If the catalog cannot be read.
pub async fn lint(client: &mut Client, map: &DataMap) -> Result<Vec<Lint>, DatabaseError> {
    let catalog = read_catalog(client).await?;
    Ok(lint::lint(map, &catalog))
}
