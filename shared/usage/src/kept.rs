//! The age limit of rollups.

use tokio_postgres::Client;

use super::to_system_time;
use domain::TimeRange;
use postgres::DatabaseError;

/// Reports whether no rollup of the range was dropped because of its age.
///
/// # Errors
/// When the database does not answer.
pub async fn rollups_are_kept(client: &Client, range: TimeRange) -> Result<bool, DatabaseError> {
    let kept = "select rollups_from <= $1::timestamptz from usage_state";
    let row = client.query_one(kept, &[&to_system_time(range.start())]).await?;
    Ok(row.try_get(0)?)
}
