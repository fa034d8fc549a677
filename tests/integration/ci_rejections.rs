//! The list of rejected documents.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tests::{Stack, ci_runs::unique};

#[tokio::test]
async fn rejections_are_listed_newest_first_and_each_once() {
    let stack = Stack::from_env().await;
    // Later than any that another test makes, so that these are the first.
    let start: Timestamp = "2203-01-01T00:00:00.5Z".parse().unwrap();
    let name = unique("rejected");
    let key = |n: u32| format!("metrics/2025/11/08/{name}-{n}<script>.json");
    for n in 0..7 {
        // Several in one instant.
        let at = start + SignedDuration::from_secs(i64::from(n / 3));
        let version = (n % 2 == 0).then(|| format!("v{n}"));
        stack.database.insert_rejection(&key(n), version.as_deref(), "status must be \"success\"", at).await;
    }
    let mut items: Vec<Value> = Vec::new();
    let mut query = "rejections?limit=2".to_owned();
    while items.len() < 7 {
        let page: Value = stack.ci(&query).await.expect(200).json();
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        query = format!("rejections?limit=2&cursor={}", page["nextCursor"].as_str().unwrap_or_default());
    }
    items.truncate(7);
    let keys: Vec<&str> = items.iter().map(|item| item["object_key"].as_str().unwrap()).collect();
    assert_eq!(keys, (0..7).rev().map(key).collect::<Vec<_>>());
    assert_eq!(
        items[0],
        json!({
            "object_key": key(6), "object_version": "v6", "reason": "status must be \"success\"",
            "rejected_at": "2203-01-01T00:00:02Z",
        })
    );
    assert_eq!(items[1].get("object_version"), None);
}
