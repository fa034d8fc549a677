//! The version of the database's schema.

use tokio_postgres::Client;

use crate::DatabaseError;

/// The number of the last file in `infra/migrations`, which this version of the functions needs.
pub const LAST_MIGRATION: i32 = 20;

/// Checks that the database has all migrations that this version needs. More are none of its concern.
///
/// # Errors
/// [`DatabaseError::Outdated`] when it lacks one; others when it cannot be read.
pub async fn check(client: &Client) -> Result<(), DatabaseError> {
    let history: bool =
        client.query_one("select to_regclass('refinery_schema_history') is not null", &[]).await?.try_get(0)?;
    let version = if history {
        client.query_one("select coalesce(max(version), 0) from refinery_schema_history", &[]).await?.try_get(0)?
    } else {
        0
    };
    if version < LAST_MIGRATION { Err(DatabaseError::Outdated { version }) } else { Ok(()) }
}
