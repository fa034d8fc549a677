//! Events of ended jobs, while the event bus or the worker fails.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{
    bus::{Listener, unpublish},
    poll::until,
};

use crate::{
    case::{Case, case},
    lambda,
    process::kill,
    rule::Action,
    scene::{Found, Scene, daily},
};

pub(crate) const CASES: &[Case] = &[
    case!(killed_after_completion, "worker killed after it completed its job, before it published the event"),
    case!(bus_refuses, "EventBridge answers 500 to worker and sweep, and takes a request without its event"),
    case!(bus_answer_lost, "EventBridge takes an event, and its answers are lost"),
];

/// The time in which the sweep has published what is left: it leaves an event to its writer for 15 seconds.
const PUBLISHED_TIMEOUT: Duration = Duration::from_secs(60);

const PUT: &str = "AWSEvents.PutEvents";

/// Runs the sweep until an event arrives, and returns all that arrived.
async fn swept(listener: &Listener) -> Vec<Value> {
    until("the sweep publishes", PUBLISHED_TIMEOUT, async || {
        lambda::sweep().await;
        let events = listener.arrived().await;
        if events.is_empty() { Err("no event") } else { Ok(events) }
    })
    .await
}

async fn killed_after_completion(scene: &Scene) -> Found {
    let org = scene.small().await;
    let id = org.id.to_string();
    let listener = Listener::start(&scene.stack, org.id).await;
    let mut puts = scene.proxies.add("worker.events", &[&id, PUT], 1, Action::Hold);
    let job = org.create(&daily()).await;
    let put = puts.held().await;
    assert_eq!(org.show(job.job_id).await.status, "succeeded", "told after it was written");
    kill(put.process());
    put.lose();
    let found = scene.end(&org).await.expect(1, 1..=1);
    let events = swept(&listener).await;
    assert_eq!(events.len(), 1, "{events:#?}");
    assert_eq!(events[0]["detail"]["jobId"], json!(job.job_id));
    lambda::sweep().await;
    assert_eq!(listener.arrived().await.len(), 0, "published once");
    listener.end().await;
    found.note("the sweep published the event")
}

async fn bus_refuses(scene: &Scene) -> Found {
    let org = scene.small().await;
    let id = org.id.to_string();
    let listener = Listener::start(&scene.stack, org.id).await;
    // Taken as a whole, and not its only entry.
    let not_taken = json!({"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}).to_string();
    let worker = scene.proxies.add("worker.events", &[&id, PUT], 1, Action::Answer(not_taken));
    let sweep = scene.proxies.add("sweep.events", &[&id, PUT], usize::MAX, Action::Refuse(500));
    org.create(&daily()).await;
    let found = scene.end(&org).await.expect(1, 1..=1);
    assert_eq!(worker.count(), 1);
    let report = until("a sweep tries", PUBLISHED_TIMEOUT, async || {
        let report = lambda::sweep().await;
        if report.events_unpublished > 0 && sweep.count() > 0 { Ok(report) } else { Err(report) }
    })
    .await;
    assert!(report.oldest_unpublished_seconds >= 10, "{report:?}");
    assert_eq!(listener.arrived().await.len(), 0, "nothing is told");
    drop(sweep);
    let events = swept(&listener).await;
    assert_eq!(events.len(), 1, "{events:#?}");
    listener.end().await;
    found.note("kept, counted with its age, and published once the bus took it")
}

async fn bus_answer_lost(scene: &Scene) -> Found {
    let org = scene.small().await;
    let id = org.id.to_string();
    let listener = Listener::start(&scene.stack, org.id).await;
    // Both attempts of the worker.
    let lost = scene.proxies.add("worker.events", &[&id, PUT], 2, Action::LoseAnswer);
    org.create(&daily()).await;
    let found = scene.end(&org).await.expect(1, 1..=1);
    let mut events = listener.events(2, PUBLISHED_TIMEOUT).await;
    assert_eq!(lost.count(), 2);
    let event = events[0]["detail"]["eventId"].as_str().unwrap().parse().unwrap();
    unpublish(&scene.stack, event).await;
    events.extend(swept(&listener).await);
    assert!(events.len() >= 3, "{events:#?}");
    let first = &events[0]["detail"];
    assert!(events.iter().all(|event| event["detail"] == *first), "{events:#?}");
    listener.end().await;
    found.note("told more than once, always with one id and the same words")
}
