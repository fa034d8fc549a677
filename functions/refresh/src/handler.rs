//! One refresh.

use jiff::Timestamp;
use shared::{
    database::DatabaseError,
    maintenance::refresh::{RefreshReport, refresh},
};

use crate::context::Context;

/// Refreshes the rollups, on a connection of its own: what it sets there ends with it.
pub(crate) async fn handle(context: &Context) -> Result<RefreshReport, DatabaseError> {
    let mut client = context.database.connect().await?;
    refresh(&mut client, Timestamp::now(), context.time).await
}
