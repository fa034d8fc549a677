//! Transactions: several items are written, or none.

use std::time::Duration;

use aws_sdk_dynamodb::{
    operation::transact_write_items::TransactWriteItemsError,
    types::{
        Put, ReturnItemCollectionMetrics, TransactWriteItem,
        builders::{PutBuilder, UpdateBuilder},
    },
};

use super::{JobsError, JobsTable, chain, collection};

/// Maximum number of attempts at a transaction that conflicts with others. The delays add up to at most 10.2 s, within
/// the API's timeout.
const MAX_ATTEMPTS: u32 = 9;
/// Maximum delay after the first attempt; doubles with each further one. The actual delay is random between zero and
/// the maximum, which spreads contending transactions. (The jitter of the crate `backon` only lengthens a delay.)
const FIRST_MAX_DELAY: Duration = Duration::from_millis(20);

/// The reason why nothing was written.
#[derive(Debug)]
pub(super) enum Refused {
    /// The condition of the item at this index does not hold.
    Condition(usize),
    /// The table.
    Table(JobsError),
}

impl JobsTable {
    /// Writes all of `items`, or none of them if a condition does not hold. With each audit record goes its receipt, by which
    /// it is linked to its organization's chain.
    ///
    /// One item is written in a transaction too. The transaction's token lets the SDK repeat a write whose answer was
    /// lost; a repeated conditional write would be refused because of its own first attempt.
    pub(super) async fn write(&self, mut items: Vec<TransactWriteItem>, action: &'static str) -> Result<(), Refused> {
        let receipts = self.receipts_of(&items).map_err(Refused::Table)?;
        items.extend(receipts);
        for attempt in 0..MAX_ATTEMPTS {
            let request = self.client.transact_write_items().set_transact_items(Some(items.clone()));
            let error = match request.return_item_collection_metrics(ReturnItemCollectionMetrics::Size).send().await {
                Ok(answer) => {
                    collection::warn_of_size(answer.item_collection_metrics());
                    return Ok(());
                }
                Err(error) => error,
            };
            let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) = error.as_service_error() else {
                return Err(Refused::Table(JobsError::table(action, error)));
            };
            let mut codes = canceled.cancellation_reasons().iter().map(|reason| reason.code().unwrap_or_default());
            if let Some(item) = codes.clone().position(|code| code == "ConditionalCheckFailed") {
                return Err(Refused::Condition(item));
            }
            // All other reasons, such as the size of an item, are permanent.
            if !codes.any(|code| matches!(code, "TransactionConflict" | "ThrottlingError")) {
                return Err(Refused::Table(JobsError::table(action, error)));
            }
            let max_delay = FIRST_MAX_DELAY * 2_u32.pow(attempt);
            tokio::time::sleep(max_delay.mul_f32(fastrand::f32())).await;
        }
        Err(Refused::Table(JobsError::Contended { action }))
    }
}

impl JobsTable {
    /// Returns the writes of the receipts of the audit records among `items`.
    fn receipts_of(&self, items: &[TransactWriteItem]) -> Result<Vec<TransactWriteItem>, JobsError> {
        let puts = items.iter().filter_map(TransactWriteItem::put);
        let receipts = puts.map(|put| chain::receipt_of(put.item()));
        let receipts = receipts
            .filter_map(Result::transpose)
            .map(|receipt| put(Put::builder().table_name(&self.name).set_item(Some(receipt?))));
        receipts.collect()
    }
}

/// Returns a put as part of a transaction.
pub(super) fn put(put: PutBuilder) -> Result<TransactWriteItem, JobsError> {
    Ok(TransactWriteItem::builder().set_put(Some(put.build()?)).build())
}

/// Returns an update as part of a transaction.
pub(super) fn update(update: UpdateBuilder) -> Result<TransactWriteItem, JobsError> {
    Ok(TransactWriteItem::builder().set_update(Some(update.build()?)).build())
}
