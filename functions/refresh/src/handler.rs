//! One invocation of the refresh.

use jiff::Timestamp;
use lambda::Code;
use platform::Deadline;
use postgres::DatabaseError;
use usage::maintenance::refresh::{RefreshReport, refresh};

use crate::{context::Context, metrics};

/// The reason why raw events are not in the rollups.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandlerError {
    #[error("could not refresh the rollups")]
    Database(#[from] DatabaseError),
    /// An error, since an alarm watches errors: without one, nobody would notice an hour that is never computed.
    #[error("{0} hours could not be computed; usage_troubles lists them, and they are retried")]
    HoursFailed(u64),
    #[error("raw events wait, and a rollup table accepts no rows; usage_notices names it")]
    ReadOnly,
}

impl Code for HandlerError {
    fn code(&self) -> &'static str {
        match self {
            Self::Database(_) => "refresh_failed",
            Self::HoursFailed(_) => "hours_failed",
            Self::ReadOnly => "rollups_read_only",
        }
    }
}

/// Refreshes the rollups, on a new connection, since the refresh changes the settings of its session.
pub(crate) async fn handle(deadline: Deadline, context: &Context) -> Result<RefreshReport, HandlerError> {
    let mut client = context.database.connect().await?;
    let report = refresh(&mut client, Timestamp::now(), deadline.left()).await?;
    metrics::of_run(&report);
    if report.failed > 0 {
        Err(HandlerError::HoursFailed(report.failed))
    } else if report.read_only && report.oldest_wait_seconds > 0 {
        Err(HandlerError::ReadOnly)
    } else {
        Ok(report)
    }
}
