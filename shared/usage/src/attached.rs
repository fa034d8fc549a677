//! The partitions of a range, which must all be attached: a query of their table reads no others.

use jiff::Timestamp;
use tokio_postgres::Client;

use crate::{UsageError, at::At};

/// Checks that the registered partitions of a table for the range from `lower` to `upper` are attached to it. To be
/// called after the rows were read, or while their partitions are locked.
///
/// # Errors
/// When a partition is detached or missing, or the database does not answer.
pub(crate) async fn check_attached(
    client: &Client,
    table: &str,
    lower: Timestamp,
    upper: Timestamp,
) -> Result<(), UsageError> {
    let missing = "select usage_missing_partitions($1, $2, $3)";
    let row = client.query_one(missing, &[&table, &At(lower), &At(upper)]).await?;
    let missing: Vec<String> = row.try_get(0)?;
    if missing.is_empty() { Ok(()) } else { Err(UsageError::Detached { partitions: missing.join(", ") }) }
}
