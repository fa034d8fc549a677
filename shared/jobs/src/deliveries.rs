//! The states of deliveries. An item is removed by DynamoDB some time after its last change.

use aws_sdk_dynamodb::types::{AttributeValue, Put};
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Item, JobsError, JobsTable,
    item::{self, CorruptItem, primary_key},
    list::{DeliveryCursor, DeliveryPage, page},
    transaction::{self, Refused},
};
use domain::{Delivery, DeliveryKind, DeliveryState, OrgId};

/// Days for which a delivery is kept after its last change. Each has about 500 bytes; with one webhook and the default
/// 1,000 exports a day an organization has at most 45 MB of them.
const KEPT_DAYS: i64 = 90;

#[derive(Serialize, Deserialize)]
struct DeliveryItem {
    pk: String,
    sk: String,
    org_id: OrgId,
    event_id: Uuid,
    kind: DeliveryKind,
    target: String,
    occurred_at: Timestamp,
    state: DeliveryState,
    attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    updated_at: Timestamp,
    ttl: i64,
}

/// Returns the partition of an organization's deliveries. It is separate from that of the jobs, whose size is limited.
pub(super) fn partition(org: OrgId) -> String {
    format!("DELIVERIES#{org}")
}

/// Returns the sort key: deliveries are in the order of their events. Milliseconds since 1970 have 13 digits until the
/// year 2286.
fn sort(delivery: &Delivery) -> String {
    let at = delivery.occurred_at.as_millisecond();
    format!("{at:013}#{}#{}", delivery.event, delivery.kind)
}

/// Reads a delivery and its sort key from an item.
pub(super) fn read(attributes: Item) -> Result<(String, Delivery), CorruptItem> {
    let item: DeliveryItem = item::read(attributes)?;
    let delivery = Delivery {
        org: item.org_id,
        event: item.event_id,
        kind: item.kind,
        target: item.target,
        occurred_at: item.occurred_at,
        state: item.state,
        attempts: item.attempts,
        last_error: item.last_error,
        updated_at: item.updated_at,
    };
    Ok((item.sk, delivery))
}

impl JobsTable {
    /// Returns what is stored of a delivery, or the delivery itself if nothing is.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or the item is not a delivery.
    pub async fn delivery(&self, new: Delivery) -> Result<Delivery, JobsError> {
        let key = primary_key(partition(new.org), sort(&new));
        match self.get_item(key, "read a delivery").await? {
            Some(item) => Ok(read(item)?.1),
            None => Ok(new),
        }
    }

    /// Stores the state of a delivery, unless it is stored as delivered: a late attempt does not undo that.
    ///
    /// # Errors
    /// When DynamoDB did not confirm it.
    pub async fn put_delivery(&self, delivery: &Delivery) -> Result<(), JobsError> {
        let kept_until = delivery.updated_at.saturating_add((KEPT_DAYS * 24).hours()).unwrap_or(Timestamp::MAX);
        let item = DeliveryItem {
            pk: partition(delivery.org),
            sk: sort(delivery),
            org_id: delivery.org,
            event_id: delivery.event,
            kind: delivery.kind,
            target: delivery.target.clone(),
            occurred_at: delivery.occurred_at,
            state: delivery.state,
            attempts: delivery.attempts,
            last_error: delivery.last_error.clone(),
            updated_at: delivery.updated_at,
            ttl: kept_until.as_second(),
        };
        let put = Put::builder()
            .table_name(&self.name)
            .set_item(Some(item::write(item)?))
            .condition_expression("attribute_not_exists(pk) or #state <> :delivered")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":delivered", AttributeValue::S("delivered".to_owned()));
        match self.write(vec![transaction::put(put)?], "store a delivery").await {
            Ok(()) | Err(Refused::Condition(_)) => Ok(()),
            Err(Refused::Table(error)) => Err(error),
        }
    }

    /// Returns a page of at most `limit` deliveries of an organization, those of the newest events first.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or an item is not a delivery.
    pub async fn deliveries(
        &self,
        org: OrgId,
        limit: usize,
        after: Option<DeliveryCursor>,
    ) -> Result<DeliveryPage, JobsError> {
        let start = after.map(|DeliveryCursor(sk)| primary_key(partition(org), sk));
        let query = self.client.query().scan_index_forward(false).set_exclusive_start_key(start);
        let query = query.key_condition_expression("pk = :pk");
        let query = self.of_partition(query, partition(org), None);
        let (found, next) = page(query, limit, 0, read, |_| true, |(sk, _)| DeliveryCursor(sk.clone())).await?;
        Ok(DeliveryPage { deliveries: found.into_iter().map(|(_, delivery)| delivery).collect(), next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_are_in_the_order_of_their_events() {
        let at = |second: i64| {
            let at = Timestamp::from_second(second).unwrap();
            sort(&Delivery::new(Uuid::nil().into(), Uuid::nil(), DeliveryKind::Bucket, "books", at))
        };
        assert!(at(0) < at(999) && at(999) < at(1_700_000_000) && at(1_700_000_000) < at(4_000_000_000));
    }
}
