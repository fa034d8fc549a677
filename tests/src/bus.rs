//! The event bus: what arrives at a queue by a rule of a test's own.

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::{Client, types::QueueAttributeName};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Stack, aws::events, poll::until, stack::variable};

/// A queue that gets some events.
#[derive(Debug)]
pub struct Listener {
    client: Client,
    url: String,
    name: String,
}

impl Listener {
    /// Makes the queue and the rule.
    pub async fn start(stack: &Stack, org: Uuid) -> Self {
        Self::of(stack, &json!({"source": ["ai-aas.exports"], "detail": {"orgId": [org]}})).await
    }

    /// Makes a queue that gets the events of a pattern, and the rule.
    pub async fn of(stack: &Stack, pattern: &Value) -> Self {
        let client = stack.queue.client.clone();
        let name = format!("test-{}", Uuid::new_v4());
        let url = client.create_queue().queue_name(&name).send().await.unwrap().queue_url.unwrap();
        let attributes = stack.queue.attributes(&url).await;
        let arn = &attributes[&QueueAttributeName::QueueArn];
        let rule = events("PutRule", &json!({"Name": name, "EventPattern": pattern.to_string()})).await;
        let policy = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage",
            "Resource": arn, "Condition": {"ArnEquals": {"aws:SourceArn": rule["RuleArn"]}},
        }]});
        let allow = client.set_queue_attributes().queue_url(&url);
        allow.attributes(QueueAttributeName::Policy, policy.to_string()).send().await.unwrap();
        events("PutTargets", &json!({"Rule": name, "Targets": [{"Id": "test", "Arn": arn}]})).await;
        Self { client, url, name }
    }

    /// Returns all events that have arrived since the last call, once there are at least `count`.
    pub async fn events(&self, count: usize, patience: std::time::Duration) -> Vec<Value> {
        let mut found = Vec::new();
        until("the events arrive", patience, async || {
            found.extend(self.arrived().await);
            if found.len() >= count { Ok(()) } else { Err(found.clone()) }
        })
        .await;
        found
    }

    /// Returns the events that have arrived since the last call.
    pub async fn arrived(&self) -> Vec<Value> {
        let receive = self.client.receive_message().queue_url(&self.url).max_number_of_messages(10);
        let mut found = Vec::new();
        for message in receive.wait_time_seconds(1).send().await.unwrap().messages() {
            found.push(serde_json::from_str(message.body().unwrap_or_default()).expect("an event is JSON"));
            let delete = self.client.delete_message().queue_url(&self.url);
            delete.set_receipt_handle(message.receipt_handle.clone()).send().await.unwrap();
        }
        found
    }

    /// Removes the queue and the rule.
    pub async fn end(self) {
        events("RemoveTargets", &json!({"Rule": self.name, "Ids": ["test"]})).await;
        events("DeleteRule", &json!({"Name": self.name})).await;
        self.client.delete_queue().queue_url(&self.url).send().await.unwrap();
    }
}

/// Puts an event back into the outbox, as if its publication had not been marked, and due at once.
pub async fn unpublish(stack: &Stack, event: Uuid) {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let update = stack.dynamodb.update_item().table_name(variable("JOBS_TABLE"));
    let update = update.key("pk", text(&format!("OUTBOX#{event}"))).key("sk", text("EVENT"));
    let update = update.update_expression("set due = :due, due_at = :now remove published_at");
    let now = AttributeValue::N(Timestamp::now().as_millisecond().to_string());
    let update = update.expression_attribute_values(":due", text("outbox")).expression_attribute_values(":now", now);
    update.condition_expression("attribute_exists(pk)").send().await.expect("the event is in the outbox");
}
