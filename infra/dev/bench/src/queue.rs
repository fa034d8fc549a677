//! A queue of exports, and the receipt of its messages as Lambda's poller has it.

use anyhow::{Context, Result};
use aws_sdk_sqs::{
    Client,
    types::{Message, MessageSystemAttributeName, QueueAttributeName},
};
use serde_json::Value;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::{event, stack::Stack};

/// The time after which a message returns that nobody hid for another time: as in the template, six times that of a worker
/// of 300 seconds.
const VISIBILITY_SECONDS: u32 = 1800;
/// The time for which a receipt waits for a message. Short, since it does not end before.
const WAIT_SECONDS: i32 = 1;

/// A queue.
pub(crate) struct Queue {
    pub(crate) url: String,
}

/// One delivery of a job's message.
pub(crate) struct Delivery {
    pub(crate) job: Uuid,
    /// The number of times the message was received, this time included.
    pub(crate) receives: u32,
    /// The event for the worker.
    pub(crate) event: Vec<u8>,
    handle: String,
}

/// Whoever receives messages from a thread of its own.
pub(crate) struct Receiver<'a> {
    runtime: Runtime,
    client: Client,
    queue: &'a Queue,
}

impl Queue {
    /// Creates a queue with the time of the template's.
    pub(crate) fn create(stack: &Stack, name: &str) -> Result<Self> {
        let create = stack.sqs.create_queue().queue_name(name);
        let create = create.attributes(QueueAttributeName::VisibilityTimeout, VISIBILITY_SECONDS.to_string());
        let created = stack.runtime.block_on(create.send())?;
        Ok(Self { url: created.queue_url.context("a queue without an address")? })
    }

    /// Connects to the queue for one thread.
    pub(crate) fn receiver(&self) -> Result<Receiver<'_>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Receiver { runtime, client: Client::new(&platform::aws::sdk_config()?), queue: self })
    }
}

impl Receiver<'_> {
    /// Waits for a message; `None` if there was none for a second.
    pub(crate) fn receive(&self) -> Result<Option<Delivery>> {
        let receive = self.client.receive_message().queue_url(&self.queue.url).wait_time_seconds(WAIT_SECONDS);
        let receive = receive.message_system_attribute_names(MessageSystemAttributeName::All);
        let received = self.runtime.block_on(receive.max_number_of_messages(1).send())?;
        received.messages.unwrap_or_default().first().map(Delivery::of).transpose()
    }

    /// Deletes a message whose job is done.
    pub(crate) fn delete(&self, delivery: &Delivery) -> Result<()> {
        let delete = self.client.delete_message().queue_url(&self.queue.url).receipt_handle(&delivery.handle);
        self.runtime.block_on(delete.send())?;
        Ok(())
    }
}

impl Delivery {
    fn of(message: &Message) -> Result<Self> {
        let body: Value = serde_json::from_str(message.body().context("a message without a body")?)?;
        let receives = MessageSystemAttributeName::ApproximateReceiveCount;
        let receives = message.attributes().and_then(|attributes| attributes.get(&receives));
        Ok(Self {
            job: body["jobId"].as_str().context("a message without a job")?.parse()?,
            receives: receives.context("a message without a receive count")?.parse()?,
            event: event::delivery(message)?,
            handle: message.receipt_handle().context("a message without a handle")?.to_owned(),
        })
    }
}
