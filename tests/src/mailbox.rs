//! A subscriber of the topic of mails.

use aws_sdk_sqs::{Client, types::QueueAttributeName};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Stack,
    aws::{encoded, query},
    poll::{WAIT_TIMEOUT, until},
    stack::variable,
};

/// A queue that gets the mails of a filter.
#[derive(Debug)]
pub struct Mailbox {
    client: Client,
    url: String,
}

impl Mailbox {
    /// Subscribes a queue to the mails with these attributes.
    pub async fn subscribe(stack: &Stack, filter: &Value) -> Self {
        let topic = variable("MAIL_TOPIC");
        let client = stack.queue.client.clone();
        let name = format!("test-{}", Uuid::new_v4());
        let url = client.create_queue().queue_name(name).send().await.unwrap().queue_url.unwrap();
        let arn = stack.queue.attributes(&url).await[&QueueAttributeName::QueueArn].clone();
        let policy = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
            "Resource": arn, "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
        }]});
        let allow = client.set_queue_attributes().queue_url(&url);
        allow.attributes(QueueAttributeName::Policy, policy.to_string()).send().await.unwrap();
        let filter = encoded(&filter.to_string());
        let subscribe = [
            ("TopicArn", topic.as_str()),
            ("Protocol", "sqs"),
            ("Endpoint", arn.as_str()),
            ("Attributes.entry.1.key", "FilterPolicy"),
            ("Attributes.entry.1.value", filter.as_str()),
        ];
        query("sns", "2010-03-31", "Subscribe", &subscribe).await;
        Self { client, url }
    }

    /// Waits for a mail.
    pub async fn next(&self) -> Value {
        until("the mail arrives", WAIT_TIMEOUT, async || self.arrived().await.pop().ok_or("no mail")).await
    }

    /// Returns mails that have arrived and were not returned before.
    pub async fn arrived(&self) -> Vec<Value> {
        let receive = self.client.receive_message().queue_url(&self.url).wait_time_seconds(1);
        let mut found = Vec::new();
        for message in receive.send().await.unwrap().messages() {
            found.push(serde_json::from_str(message.body().unwrap_or_default()).expect("a notification is JSON"));
            let delete = self.client.delete_message().queue_url(&self.url);
            delete.set_receipt_handle(message.receipt_handle.clone()).send().await.unwrap();
        }
        found
    }

    /// Removes the queue.
    pub async fn end(self) {
        self.client.delete_queue().queue_url(&self.url).send().await.unwrap();
    }
}
