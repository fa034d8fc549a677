//! A queue and its dead-letter queue.

use std::collections::HashMap;

use aws_config::SdkConfig;
use aws_sdk_sqs::{
    Client,
    types::{Message, QueueAttributeName},
};

/// A queue and its dead-letter queue.
#[derive(Debug)]
pub struct Queue {
    /// The client, for other requests.
    pub client: Client,
    /// The queue.
    pub url: String,
    /// Its dead-letter queue.
    pub dead_letters_url: String,
}

impl Queue {
    pub(crate) fn new(sdk: &SdkConfig, url: String, dead_letters_url: String) -> Self {
        Self { client: Client::new(sdk), url, dead_letters_url }
    }

    /// Puts a message on the queue.
    pub async fn send(&self, body: &str) {
        self.client.send_message().queue_url(&self.url).message_body(body).send().await.unwrap();
    }

    /// Removes the dead letter with this body from its queue and returns it, if it is there.
    pub async fn take_dead_letter(&self, body: &str) -> Option<Message> {
        let receive = self.client.receive_message().queue_url(&self.dead_letters_url).max_number_of_messages(10);
        // A short timeout: other tests look for their own dead letters.
        let answer = receive.visibility_timeout(1).send().await.unwrap();
        let letter = answer.messages().iter().find(|message| message.body() == Some(body))?.clone();
        let delete = self.client.delete_message().queue_url(&self.dead_letters_url);
        delete.set_receipt_handle(letter.receipt_handle.clone()).send().await.unwrap();
        Some(letter)
    }

    /// Returns all attributes of a queue.
    pub async fn attributes(&self, url: &str) -> HashMap<QueueAttributeName, String> {
        let request = self.client.get_queue_attributes().queue_url(url);
        request.attribute_names(QueueAttributeName::All).send().await.unwrap().attributes.unwrap_or_default()
    }
}
