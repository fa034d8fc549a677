//! Writing several items or none.

use std::time::Duration;

use aws_sdk_dynamodb::{
    operation::transact_write_items::TransactWriteItemsError,
    types::{
        TransactWriteItem,
        builders::{PutBuilder, UpdateBuilder},
    },
};

use super::{JobsError, JobsTable};

/// How often a transaction is tried that others got in the way of. Each try waits longer, by chance: with the longest
/// waits of all of them together the API still answers in time.
const MOST_TRIES: u32 = 9;
const FIRST_WAIT: Duration = Duration::from_millis(20);

/// Why nothing was written.
#[derive(Debug)]
pub(super) enum Refused {
    /// The condition of this item, by its place, does not hold.
    Condition(usize),
    /// The table.
    Table(JobsError),
}

impl JobsTable {
    /// Writes all of `items`, or none of them if a condition does not hold.
    ///
    /// Always a transaction, also for one item: its token lets the SDK repeat a write whose answer was lost, where a
    /// conditional write that is repeated finds its own trace and takes it for another's.
    pub(super) async fn write(&self, items: Vec<TransactWriteItem>, action: &'static str) -> Result<(), Refused> {
        for tries in 0..MOST_TRIES {
            let error = match self.client.transact_write_items().set_transact_items(Some(items.clone())).send().await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) = error.as_service_error() else {
                return Err(Refused::Table(JobsError::table(action, error)));
            };
            let mut codes = canceled.cancellation_reasons().iter().map(|reason| reason.code().unwrap_or_default());
            if let Some(item) = codes.clone().position(|code| code == "ConditionalCheckFailed") {
                return Err(Refused::Condition(item));
            }
            // Anything else, such as an item too large, stays as it is.
            if !codes.any(|code| matches!(code, "TransactionConflict" | "ThrottlingError")) {
                return Err(Refused::Table(JobsError::table(action, error)));
            }
            let longest = FIRST_WAIT * 2_u32.pow(tries);
            tokio::time::sleep(longest.mul_f32(fastrand::f32())).await;
        }
        Err(Refused::Table(JobsError::Contended { action }))
    }
}

/// A put as part of a transaction.
pub(super) fn put(put: PutBuilder) -> TransactWriteItem {
    // The builder fails without a table and an item, which every caller gives.
    TransactWriteItem::builder().set_put(put.build().ok()).build()
}

/// An update as part of a transaction.
pub(super) fn update(update: UpdateBuilder) -> TransactWriteItem {
    TransactWriteItem::builder().set_update(update.build().ok()).build()
}
