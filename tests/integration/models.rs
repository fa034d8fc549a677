//! The models of an export's filter are kept apart from the job, whose organization may have only 10 GB of jobs: DynamoDB
//! limits what shares a partition with a local index.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::json;
use tests::{ExportJob, Organization, Rollup, Stack, Table, job::JobList, organization::export_of, stack::variable};
use uuid::Uuid;

type Item = HashMap<String, AttributeValue>;

/// A day's exports, if an organization asks for as many as `DailyLimits` allows by default.
const JOBS_A_DAY: usize = 1000;

async fn item(org: &Organization<'_>, pk: &str, sk: &str) -> Option<Item> {
    let get = org.stack.dynamodb.get_item().table_name(variable("JOBS_TABLE")).consistent_read(true);
    let get = get.key("pk", AttributeValue::S(pk.to_owned())).key("sk", AttributeValue::S(sk.to_owned()));
    get.send().await.unwrap().item
}

/// The size of an item as DynamoDB counts it, rounded up: names, and values with their overhead.
fn size(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value_size(value)).sum()
}

fn value_size(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.len() + 1,
        AttributeValue::M(map) => 3 + map.len() + size(map),
        AttributeValue::L(list) => 3 + list.len() + list.iter().map(value_size).sum::<usize>(),
        _ => 1,
    }
}

/// Creates an export of 500 models, of which one has usage.
async fn filtered(org: &Organization<'_>) -> (ExportJob, Vec<Uuid>) {
    let models: Vec<Uuid> = (0..500).map(|_| Uuid::new_v4()).collect();
    let first = Rollup::new("2024-01-01T00:00:00Z", Some(models[7]), [1, 2, 0], "3");
    let other = Rollup::new("2024-01-01T00:00:00Z", Some(Uuid::new_v4()), [1, 2, 0], "3");
    org.insert(Table::Daily, &[first, other]).await;
    let mut body = export_of("2024-01-01T00:00:00Z", "2024-01-31T00:00:00Z", "daily");
    body["models"] = json!(models);
    let export = org.export(&body).await;
    assert_eq!(export.file().rows.len(), 1, "the file has the usage of the one model");
    (export.job, models)
}

#[tokio::test]
async fn five_hundred_models_leave_the_job_small() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let (job, models) = filtered(&org).await;
    let sorted = |models: &[Uuid]| {
        let mut models = models.to_vec();
        models.sort();
        models
    };
    let shown = org.show(job.job_id).await;
    assert_eq!(shown.models.as_deref().map(sorted), Some(sorted(&models)));
    let list: JobList = org.get("").await.expect(200).json();
    assert_eq!(list.items[0].models.as_deref().map(sorted), Some(sorted(&models)));

    let stored = item(&org, &format!("ORG#{}", org.id), &format!("JOB#{}", job.job_id)).await.unwrap();
    // The index by status has a copy of it. Each item of an index takes 100 bytes more.
    let bytes = 2 * size(&stored) + 200;
    let years = 10_000_000_000 / (bytes * JOBS_A_DAY * 365);
    assert!(years >= 8, "{bytes} bytes: an organization's partition is full after {years} years; {stored:?}");
}

#[tokio::test]
async fn a_job_of_before_has_its_models_in_itself() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let (job, models) = filtered(&org).await;
    let apart = format!("MODELS#{}#{}", org.id, job.job_id);
    let list = item(&org, &apart, "MODELS").await.unwrap()["models"].clone();
    let key = |pk: &str, sk: &str| {
        Item::from([("pk", pk), ("sk", sk)].map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned()))))
    };
    let (partition, sort) = (format!("ORG#{}", org.id), format!("JOB#{}", job.job_id));
    let table = || variable("JOBS_TABLE");
    let update = stack.dynamodb.update_item().table_name(table()).set_key(Some(key(&partition, &sort)));
    let update = update.update_expression("set models = :models").expression_attribute_values(":models", list);
    update.send().await.unwrap();
    let delete = stack.dynamodb.delete_item().table_name(table()).set_key(Some(key(&apart, "MODELS")));
    delete.send().await.unwrap();
    assert_eq!(org.show(job.job_id).await.models.map(|shown| shown.len()), Some(models.len()));
    let list: JobList = org.get("").await.expect(200).json();
    assert_eq!(list.items[0].models.as_ref().map(Vec::len), Some(models.len()));

    // Without its models, a job of today is an error and not an export of all models.
    let update = stack.dynamodb.update_item().table_name(table()).set_key(Some(key(&partition, &sort)));
    let number = AttributeValue::N(models.len().to_string());
    let update = update.update_expression("set models = :models").expression_attribute_values(":models", number);
    update.send().await.unwrap();
    assert_eq!(org.get(&format!("/{}", job.job_id)).await.status, 500);
}
