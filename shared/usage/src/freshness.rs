//! The freshness of rollups: their lag behind the raw events.

use std::time::SystemTime;

use jiff::Timestamp;
use tokio_postgres::Client;

use domain::OrgId;
use postgres::DatabaseError;

/// The freshness of an organization's rollups. An organization without raw events has no times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Freshness {
    /// The time of the last event that is in the rollups.
    pub last_event_at: Option<Timestamp>,
    /// The time at which the rollups were last brought up to date.
    pub last_refresh_at: Option<Timestamp>,
    /// The time for which the oldest event that is not in the rollups has waited, in seconds; 0 if all are in.
    pub lag_seconds: i64,
}

/// Returns the freshness of an organization's rollups.
///
/// # Errors
/// When the database does not answer.
pub async fn freshness(client: &Client, org: OrgId) -> Result<Freshness, DatabaseError> {
    const QUERY: &str =
        "select last_event_at, last_refresh_at, lag_seconds from usage_freshness where organization_id = $1";
    let Some(row) = client.query_opt(QUERY, &[&org.uuid()]).await? else { return Ok(Freshness::default()) };
    let at = |index: usize| -> Result<Option<Timestamp>, tokio_postgres::Error> {
        let at: Option<SystemTime> = row.try_get(index)?;
        Ok(at.and_then(|at| Timestamp::try_from(at).ok()))
    };
    Ok(Freshness { last_event_at: at(0)?, last_refresh_at: at(1)?, lag_seconds: row.try_get(2)? })
}
