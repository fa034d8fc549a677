//! One refresh.

use jiff::Timestamp;
use platform::Deadline;
use postgres::DatabaseError;
use usage::maintenance::refresh::{RefreshReport, refresh};

use crate::context::Context;

/// The reasons for which raw events are not in the rollups.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandlerError {
    #[error("could not refresh the rollups")]
    Database(#[from] DatabaseError),
    /// An error, so that an alarm sounds: without one, an hour that is never computed would be seen by nobody.
    #[error("{0} hours could not be computed; usage_troubles lists them, and they are tried again")]
    HoursFailed(u64),
    #[error("raw events wait, and a rollup table takes no rows; usage_notices says which")]
    ReadOnly,
}

/// Refreshes the rollups, on a connection of its own, with which its settings end.
pub(crate) async fn handle(deadline: Deadline, context: &Context) -> Result<RefreshReport, HandlerError> {
    let mut client = context.database.connect().await?;
    let report = refresh(&mut client, Timestamp::now(), deadline.left()).await?;
    if report.failed > 0 {
        Err(HandlerError::HoursFailed(report.failed))
    } else if report.read_only && report.oldest_wait_seconds > 0 {
        Err(HandlerError::ReadOnly)
    } else {
        Ok(report)
    }
}
