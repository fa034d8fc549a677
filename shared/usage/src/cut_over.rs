//! The instant from which an organization's raw events are complete.

use jiff::Timestamp;
use tokio_postgres::{Client, error::SqlState};

use crate::at::At;
use domain::OrgId;
use postgres::DatabaseError;

/// The reason why a cut-over was not set.
#[derive(Debug, thiserror::Error)]
pub enum CutOverError {
    /// The database failed, or could not be reached.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// It would change computed buckets, or is not the first instant of a day. The sentence says which.
    #[error("{0}")]
    Refused(String),
}

/// Sets an organization's cut-over: the first instant of a day in UTC, before which no bucket is computed from raw
/// events. Returns `false` if it was already set to that instant, which is not an error.
///
/// With `force`, it is set even if that changes computed buckets; see `usage_set_complete_from`.
///
/// # Errors
/// See [`CutOverError`].
pub async fn set_complete_from(
    client: &Client,
    org: OrgId,
    from: Timestamp,
    force: bool,
) -> Result<bool, CutOverError> {
    let set = "select usage_set_complete_from($1, $2, $3)";
    let row = client.query_one(set, &[&org.uuid(), &At(from), &force]).await.map_err(refused)?;
    row.try_get(0).map_err(|error| CutOverError::Database(error.into()))
}

/// Returns the database function's own sentence for a refusal. It quotes no row.
fn refused(error: tokio_postgres::Error) -> CutOverError {
    let refusals = [SqlState::INVALID_PARAMETER_VALUE, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE];
    match error.as_db_error() {
        Some(refusal) if refusals.contains(refusal.code()) => {
            let hint = refusal.hint().map(|hint| format!(". {hint}"));
            CutOverError::Refused(format!("{}{}", refusal.message(), hint.unwrap_or_default()))
        }
        _ => CutOverError::Database(error.into()),
    }
}
