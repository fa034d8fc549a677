//! The instant from which an organization's raw events are complete.

use jiff::Timestamp;
use tokio_postgres::{Client, error::SqlState};

use crate::at::At;
use domain::OrgId;
use postgres::DatabaseError;

/// Why a cut-over was not set.
#[derive(Debug, thiserror::Error)]
pub enum CutOverError {
    /// The database, or the way to it.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// It would change what is computed already, or is no first instant of a day. The sentence says which.
    #[error("{0}")]
    Refused(String),
}

/// Sets the instant, the first of a day in UTC, before which no bucket of an organization is computed from raw events.
/// Returns whether that changed anything: to set it again is no error.
///
/// With `force` it is set also where that changes computed buckets; see `usage_set_complete_from`.
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

/// The sentences are the function's own: they quote no row.
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
