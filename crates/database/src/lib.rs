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
pub use connect::{TlsRoots, connect, parse_address};
pub use error::DatabaseError;
pub use reader::read_catalog;
pub use shapes::{ColumnShapes, sample_shapes};

use tokio_postgres::Client;
use vigie_policy::{
    Compiled, DataMap,
    drift::{self, Drift},
    lint::{self, Lint},
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

/// Looks for what undermines a data map in a live database, gravest first.
///
/// # Errors
///
/// If the catalog cannot be read.
pub async fn lint(client: &mut Client, map: &DataMap) -> Result<Vec<Lint>, DatabaseError> {
    let catalog = read_catalog(client).await?;
    Ok(lint::lint(map, &catalog))
}
