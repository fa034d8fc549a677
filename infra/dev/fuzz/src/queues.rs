//! The functions that queues invoke: the worker, the telemetry function, the notify function and the deliver function.

use serde_json::{Map, Value, json};

use crate::{
    input::{Input, Message},
    world::{World, deadline},
};

thread_local! {
    static WORKER: (World, worker::Context) = {
        let world = World::start();
        let context = world.make(worker::Context::from_env);
        (world, context)
    };
    static DELIVER: (World, deliver::Context) = {
        let world = World::start();
        let context = world.make(deliver::Context::from_env);
        (world, context)
    };
    static NOTIFY: (World, notify::Context) = {
        let world = World::start();
        let context = world.make(notify::Context::from_env);
        (world, context)
    };
    static TELEMETRY: (World, telemetry::Context) = {
        let world = World::start();
        let context = world.make(telemetry::Context::from_env);
        (world, context)
    };
}

/// The head of the input is an event as Lambda sends it, or a message of which an event is made.
pub(crate) fn worker(bytes: &[u8]) {
    let input = Input::new(bytes);
    WORKER.with(|(world, context)| {
        if let Ok(event) = serde_json::from_slice::<worker::Event>(&event(input.head)) {
            match world.run(input, worker::handle(event, deadline(), context)) {
                Ok(answer) => assert!(serde_json::to_value(answer).expect("an answer is JSON").is_object()),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    });
}

/// The head of the input is an event as Lambda sends it, or a message of which an event is made.
pub(crate) fn telemetry(bytes: &[u8]) {
    let input = Input::new(bytes);
    TELEMETRY.with(|(world, context)| {
        if let Ok(event) = serde_json::from_slice::<telemetry::Event>(&event(input.head)) {
            let _ = world.run(input, telemetry::handle(event, deadline(), context));
        }
    });
}

/// The head of the input is an event as Lambda sends it, or a message of which an event is made.
pub(crate) fn notify(bytes: &[u8]) {
    let input = Input::new(bytes);
    NOTIFY.with(|(world, context)| {
        if let Ok(event) = serde_json::from_slice(&event(input.head)) {
            let _ = world.run(input, notify::handle(event, context));
        }
    });
}

/// The head of the input is an event as Lambda sends it, or a message of which an event is made.
pub(crate) fn deliver(bytes: &[u8]) {
    let input = Input::new(bytes);
    DELIVER.with(|(world, context)| {
        if let Ok(event) = serde_json::from_slice(&event(input.head)) {
            let _ = world.run(input, deliver::handle(event, "request", deadline(), context));
        }
    });
}

/// Returns the event of a message in the form of HTTP/1, whose headers are the attributes and whose first line is its
/// id; what begins as JSON does is an event itself.
fn event(head: &[u8]) -> Vec<u8> {
    if head.first() == Some(&b'{') {
        return head.to_vec();
    }
    let Message { first, headers, body } = Message::read(head);
    let mut attributes: Map<String, Value> =
        json!({"ApproximateReceiveCount": "1", "SentTimestamp": "1705312800412"}).as_object().cloned().expect("a map");
    attributes.extend(headers.into_iter().map(|(name, value)| (name, value.into())));
    let record = json!({
        "messageId": first, "receiptHandle": "handle", "body": String::from_utf8_lossy(body), "attributes": attributes,
        "messageAttributes": {}, "eventSource": "aws:sqs", "awsRegion": "us-east-1",
    });
    json!({"Records": [record]}).to_string().into_bytes()
}
