//! The size of an organization's jobs, which DynamoDB limits where a table has a local index.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, ItemCollectionMetrics};
use tracing::warn;

/// The limit of what shares a partition key with a local index, in gigabytes. Beyond it DynamoDB refuses new items.
const LIMIT_GB: f64 = 10.0;
/// The size from which a write is logged, in gigabytes: at a thousand exports a day some two years before the limit.
const WARNED_GB: f64 = 8.0;

/// Logs the partitions of a write that come near the limit. DynamoDB states a size as a range, and only for partitions
/// that the local index has items of.
pub(super) fn warn_of_size(metrics: Option<&HashMap<String, Vec<ItemCollectionMetrics>>>) {
    for (partition, gigabytes) in nearly_full(metrics) {
        warn!(
            partition,
            gigabytes,
            limit = LIMIT_GB,
            "the jobs of an organization come near the limit of their partition"
        );
    }
}

fn nearly_full(metrics: Option<&HashMap<String, Vec<ItemCollectionMetrics>>>) -> Vec<(&str, f64)> {
    let all = metrics.into_iter().flat_map(HashMap::values).flatten();
    let sizes = all.filter_map(|collection| {
        let partition = collection.item_collection_key()?.get("pk").map(AttributeValue::as_s)?.ok()?;
        let upper = collection.size_estimate_range_gb().iter().copied().fold(0.0, f64::max);
        (upper >= WARNED_GB).then_some((partition.as_str(), upper))
    });
    let mut sizes: Vec<_> = sizes.collect();
    // A transaction may write several items of a partition.
    sizes.dedup_by(|one, other| one.0 == other.0);
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_named_before_it_is_full() {
        let collection = |partition: &str, range: [f64; 2]| {
            ItemCollectionMetrics::builder()
                .item_collection_key("pk", AttributeValue::S(partition.to_owned()))
                .set_size_estimate_range_gb(Some(range.to_vec()))
                .build()
        };
        let large = collection("ORG#large", [7.0, 8.0]);
        let metrics =
            HashMap::from([("jobs".to_owned(), vec![large.clone(), large, collection("ORG#small", [6.0, 7.0])])]);
        assert_eq!(nearly_full(Some(&metrics)), [("ORG#large", 8.0)]);
        assert!(nearly_full(None).is_empty());
    }
}
