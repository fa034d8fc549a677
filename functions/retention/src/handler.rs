//! One run of the retention.

use jiff::Timestamp;
use platform::Deadline;
use postgres::DatabaseError;
use usage::maintenance::retention::{RetentionReport, retention};

use crate::context::Context;

/// Does what is due, on a connection of its own: what it sets and locks there ends with it.
pub(crate) async fn handle(deadline: Deadline, context: &Context) -> Result<RetentionReport, DatabaseError> {
    let mut client = context.database.connect().await?;
    retention(&mut client, Timestamp::now(), &context.periods, deadline.left()).await
}
