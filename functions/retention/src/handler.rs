//! One invocation of the retention.

use jiff::Timestamp;
use lambda::Code;
use platform::Deadline;
use postgres::DatabaseError;
use usage::maintenance::retention::{RetentionReport, retention};

use crate::{context::Context, metrics};

/// Number of successive nights with unfinished work from which on it is an error.
const MAX_UNFINISHED_NIGHTS: u64 = 2;

/// The reason why old usage is not compressed or dropped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandlerError {
    #[error("could not compress and drop old usage")]
    Database(#[from] DatabaseError),
    #[error("old usage was left to the next night on {0} successive nights; the log names the tables in use")]
    Unfinished(u64),
    #[error("raw events of {0} hours were dropped before they could be computed; usage_troubles lists them")]
    Abandoned(u64),
}

impl Code for HandlerError {
    fn code(&self) -> &'static str {
        match self {
            Self::Database(_) => "retention_failed",
            Self::Unfinished(_) => "retention_unfinished",
            Self::Abandoned(_) => "hours_abandoned",
        }
    }
}

/// Runs the retention, on new connections, since the retention changes the settings and takes locks of its sessions.
///
/// There are two: while the server writes what one packed, the function packs for the other.
pub(crate) async fn handle(deadline: Deadline, context: &Context) -> Result<RetentionReport, HandlerError> {
    let mut client = context.database.connect().await?;
    let other = context.database.connect().await?;
    let report = retention(&mut client, &mut [other], Timestamp::now(), &context.periods, deadline.left()).await?;
    metrics::of_run(&report);
    if report.hours_abandoned > 0 {
        Err(HandlerError::Abandoned(report.hours_abandoned))
    } else if report.unfinished_nights >= MAX_UNFINISHED_NIGHTS {
        Err(HandlerError::Unfinished(report.unfinished_nights))
    } else {
        Ok(report)
    }
}
