//! Deliveries of files to buckets of organizations.

use domain::{Event, Job, event::Detail};
use jobs::EVENT_SOURCE;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Answer, Organization, Stack, objects::Objects, stack::variable};

/// The account in which the local stack's buckets are.
fn account() -> String {
    let url = variable("DELIVERIES_QUEUE_URL");
    url.rsplit('/').nth(1).expect("a queue's address has the account").to_owned()
}

/// Makes a bucket to which this deployment delivers.
///
/// # Panics
/// When it cannot be made.
pub async fn bucket(stack: &Stack) -> Objects {
    let name = format!("deliveries-{}", Uuid::new_v4());
    let objects = Objects { client: stack.objects.client.clone(), bucket: name };
    objects.client.create_bucket().bucket(&objects.bucket).send().await.expect("the bucket is made");
    objects
}

/// Lets an organization's files be copied to a bucket, below `usage/`.
pub async fn deliver_to(org: &Organization<'_>, bucket: &str) {
    let path = format!("/orgs/{}/settings", org.id);
    let settings = json!({"delivery": {"bucket": bucket, "prefix": "usage/", "accountId": account()}});
    let request = org.stack.api.request(Method::PUT, &path).bearer_auth(&org.token).header("if-match", "\"0\"");
    Answer::to(request.json(&settings)).await.expect(200);
}

/// Puts the object that proves that a bucket is the organization's.
///
/// # Panics
/// When the store refuses it.
pub async fn prove(bucket: &Objects, org: &Organization<'_>) {
    put(bucket, &format!("usage/.analytics-{}", org.id), b"").await;
}

/// Puts an object.
///
/// # Panics
/// When the store refuses it.
pub async fn put(bucket: &Objects, key: &str, bytes: &[u8]) {
    let request = bucket.client.put_object().bucket(&bucket.bucket).key(key).body(bytes.to_vec().into());
    request.send().await.expect("the object is stored");
}

/// The bytes of an object.
///
/// # Panics
/// When there is none.
pub async fn bytes(bucket: &Objects, key: &str) -> Vec<u8> {
    let answer = bucket.client.get_object().bucket(&bucket.bucket).key(key).send().await;
    let answer = answer.unwrap_or_else(|error| panic!("{key}: {error:?}"));
    answer.body.collect().await.expect("the whole object arrives").to_vec()
}

/// The message by which a file that was made reaches the function, received so many times.
///
/// # Panics
/// When the job has no file.
pub fn message(job: &Job, receives: u32) -> Value {
    let events = Event::of_end(job);
    let event = events.first().expect("the job has ended");
    let body = json!({
        "version": "0", "id": Uuid::new_v4(), "source": EVENT_SOURCE, "detail-type": event.kind.detail_type(),
        "detail": Detail::from(event),
    });
    json!({"Records": [{
        "messageId": Uuid::new_v4(), "receiptHandle": "by hand", "body": body.to_string(), "eventSource": "aws:sqs",
        "attributes": {"ApproximateReceiveCount": receives.to_string(), "SentTimestamp": "1700000000000"},
    }]})
}

/// The organization's deliveries to buckets, newest first.
pub async fn states(org: &Organization<'_>) -> Vec<Value> {
    let path = format!("/orgs/{}/deliveries", org.id);
    let list: Value = org.stack.api.get(&path, &org.token).await.expect(200).json();
    let items = list["items"].as_array().cloned().unwrap_or_default();
    items.into_iter().filter(|delivery| delivery["kind"] == "bucket").collect()
}
