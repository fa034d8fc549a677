//! Duplicate, deferred and unreadable messages.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use domain::{JobId, State};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tests::{
    Organization, Rollup, Stack, Table, lambda,
    organization::export_of,
    poll::{WAIT_TIMEOUT, until},
    stack::variable,
};
use uuid::Uuid;

fn message(org: &Organization<'_>, job: Uuid) -> Value {
    json!({"type": "export.v1", "orgId": org.id, "jobId": job})
}

/// Returns all attributes of a job's item: every write changes at least one.
async fn item(org: &Organization<'_>, job: Uuid) -> HashMap<String, AttributeValue> {
    let get = org.stack.dynamodb.get_item().table_name(variable("JOBS_TABLE")).consistent_read(true);
    let get = get.key("pk", AttributeValue::S(format!("ORG#{}", org.id)));
    get.key("sk", AttributeValue::S(format!("JOB#{job}"))).send().await.unwrap().item.expect("the job is there")
}

async fn object(org: &Organization<'_>, job: Uuid) -> HeadObjectOutput {
    org.stack.objects.head(&format!("analytics/exports/{}/{job}.csv", org.id)).await
}

/// Waits until the messages sent so far have been processed: jobs queued after them end.
async fn drain(org: &Organization<'_>) {
    for _ in 0..3 {
        org.export(&export_of("2024-06-01T00:00:00Z", "2024-06-02T00:00:00Z", "daily")).await;
    }
}

#[tokio::test]
async fn a_deferred_message_is_sent_by_the_sweep_before_and_received_at_its_time() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let send_at = Timestamp::now() + SignedDuration::from_secs(15);
    let soon = org.add_deferred(send_at).await;
    // After the next sweep, whenever that is.
    let later = org.add_deferred(Timestamp::now() + SignedDuration::from_mins(30)).await;
    lambda::insist(&variable("SWEEP_FUNCTION"), &json!({})).await;
    let is_sent = async |id: JobId| {
        let stored = stack.jobs.get(org.id.into(), id).await.unwrap().unwrap();
        !matches!(stored.state(), State::Pending { sent: false, .. })
    };
    assert!(is_sent(soon.id()).await);
    assert!(!is_sent(later.id()).await);
    let ended = org.ended(soon.id().uuid()).await;
    // The queue counts whole seconds, as do the times of a job.
    let earliest = send_at - SignedDuration::from_secs(2);
    assert!(ended.completed_at.unwrap() >= earliest, "{ended:?} was to begin at {send_at}");
}

#[tokio::test]
async fn a_message_that_comes_again_changes_nothing() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let body = export_of("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "daily");
    let job = org.export(&body).await.job.job_id;
    let first_item = item(&org, job).await;
    let first_object = object(&org, job).await;
    // A second run would write this to the file.
    org.insert(Table::Daily, &[Rollup::new("2024-01-01T00:00:00Z", None, [1, 1, 1], "1")]).await;
    for _ in 0..2 {
        stack.queue.send(&message(&org, job).to_string()).await;
    }
    drain(&org).await;
    assert_eq!(item(&org, job).await, first_item);
    let again = object(&org, job).await;
    assert_eq!(
        (again.e_tag(), again.last_modified(), again.content_length()),
        (first_object.e_tag(), first_object.last_modified(), first_object.content_length())
    );
}

#[tokio::test]
async fn deliveries_at_the_same_time_run_a_job_once() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let job = org.add_unqueued().await.id().uuid();
    for _ in 0..4 {
        stack.queue.send(&message(&org, job).to_string()).await;
    }
    assert_eq!(org.ended(job).await.status, "succeeded");
    drain(&org).await;
    // One claim, one fencing token.
    assert_eq!(item(&org, job).await["fence"], AttributeValue::N("1".to_owned()));
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_kept_for_a_person() {
    let stack = Stack::from_env().await;
    let id = Uuid::new_v4();
    let bodies = [
        format!("no JSON {id}"),
        json!({"type": "export.v2", "orgId": id, "jobId": id}).to_string(),
        json!({"type": "export.v1", "orgId": id, "jobId": id, "more": 1}).to_string(),
    ];
    for body in &bodies {
        stack.queue.send(body).await;
    }
    for body in bodies {
        let what = format!("{body} arrives at the dead letters");
        let letter =
            until(&what, WAIT_TIMEOUT, async || stack.queue.take_dead_letter(&body).await.ok_or("it is not there"));
        assert_eq!(letter.await.body(), Some(body.as_str()));
    }
}
