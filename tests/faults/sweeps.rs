//! The sweep's work on jobs that no invocation works on.

use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use tests::poll::until;
use uuid::Uuid;

use crate::{
    case::{Case, case},
    lambda,
    rule::Action,
    scene::{Found, Scene, daily, message},
};

pub(crate) const CASES: &[Case] = &[
    // Beside others it would wait for the messages of its batch.
    case!(unreadable_message, "a message that is none of ours", alone = true),
    case!(worker_lost_in_every_attempt, "the lease of the fifth attempt runs out; then the dead letter is redriven"),
    case!(two_sweeps_at_once, "the queue is purged, and two sweeps run at once", alone = true),
];

async fn unreadable_message(scene: &Scene) -> Found {
    let body = format!("{{\"type\":\"nonsense\",\"id\":\"{}\"}}", Uuid::new_v4());
    scene.stack.queue.send(&body).await;
    until("it is a dead letter", lambda::TURN, async || scene.stack.queue.take_dead_letter(&body).await.ok_or(()))
        .await;
    Found::default().note("it is a dead letter")
}

async fn worker_lost_in_every_attempt(scene: &Scene) -> Found {
    let org = scene.small().await;
    let id = org.id.to_string();
    // The job is claimed without a message.
    let _lost = scene.proxies.add("api.sqs", &[&id, "SendMessage"], 1, Action::lost_message());
    let job = org.create(&daily()).await.job_id;
    scene.lose_worker(&org, job).await;
    let found = scene.end(&org).await;
    assert_eq!((found.failed, found.attempts), (1, 5));
    let error = org.show(job).await.error.unwrap_or_default();
    assert!(error.contains("worker_lost"), "{error}");

    // Only a message that is sent in a later second counts as sent after the failure.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let body = message(org.id, job);
    let letter = until("the message is a dead letter", lambda::TURN, async || {
        scene.stack.queue.take_dead_letter(&body).await.ok_or(())
    })
    .await;
    // The redrive gets attempts again: an error in its first does not fail it.
    let first = scene.proxies.add_query(org.id, 1, Action::Cut(0));
    scene.stack.queue.send(letter.body().unwrap_or_default()).await;
    until("the redriven job is claimed", lambda::TURN, async || {
        let fence = scene.fence(&org, job).await;
        if fence > 5 { Ok(()) } else { Err(fence) }
    })
    .await;
    let again = scene.end(&org).await;
    drop(first);
    again.expect(1, 7..).note("failed with worker_lost; the redrive succeeded in its second attempt")
}

async fn two_sweeps_at_once(scene: &Scene) -> Found {
    let org = scene.small().await;
    let queue = &scene.stack.queue;
    lambda::deliver(false).await;
    for _ in 0..5 {
        org.create(&daily()).await;
    }
    queue.client.purge_queue().queue_url(&queue.url).send().await.unwrap();
    tokio::time::sleep(Duration::from_secs(11)).await;
    let (one, other) = tokio::join!(lambda::sweep(), lambda::sweep());
    let attributes = queue.attributes(&queue.url).await;
    let messages = attributes.get(&QueueAttributeName::ApproximateNumberOfMessages).cloned();
    lambda::deliver(true).await;
    assert_eq!((one.resent + other.resent, one.errors + other.errors), (5, 0), "{one:?} {other:?}");
    assert_eq!(messages.as_deref(), Some("5"), "each message is sent once");
    scene.end(&org).await.expect(5, 1..=1).note(format!("they sent {} and {}", one.resent, other.resent))
}
