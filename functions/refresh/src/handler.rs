//! One refresh.

use jiff::Timestamp;
use platform::Deadline;
use postgres::DatabaseError;
use usage::maintenance::refresh::{RefreshReport, refresh};

use crate::context::Context;

/// Why the rollups are not all right.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandlerError {
    #[error("could not refresh the rollups")]
    Database(#[from] DatabaseError),
    /// An error, so that an alarm sounds: without one, an hour that is never computed would be seen by nobody.
    #[error("hours that could not be computed: {0}; the log names them, and the next refresh tries them again")]
    HoursFailed(u64),
}

/// Refreshes the rollups, on a connection of its own: what it sets there ends with it.
pub(crate) async fn handle(deadline: Deadline, context: &Context) -> Result<RefreshReport, HandlerError> {
    let mut client = context.database.connect().await?;
    let report = refresh(&mut client, Timestamp::now(), deadline.left()).await?;
    if report.failed == 0 { Ok(report) } else { Err(HandlerError::HoursFailed(report.failed)) }
}
