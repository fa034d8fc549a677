//! Refused writes and lost answers: of the job's state, and of its message.

use std::time::Duration;

use tests::poll::until;

use crate::{
    case::{Case, case},
    rule::Action,
    scene::{Found, Scene, daily},
};

pub(crate) const CASES: &[Case] = &[
    case!(completion_refused, "DynamoDB answers 500 to the completing write, until the SDK gives up"),
    case!(message_lost, "the queue takes the message and loses it"),
    case!(message_refused, "the queue answers 503 to the message, after the job was written"),
    case!(answers_lost, "claim and completing write are applied, and their answers lost"),
];

async fn completion_refused(scene: &Scene) -> Found {
    let org = scene.small().await;
    let id = org.id.to_string();
    let _refused = scene.proxies.add("worker.dynamodb", &[&id, "succeeded#"], 3, Action::Refuse(500));
    let job = org.create(&daily()).await;
    let found = scene.end(&org).await.expect(1, 2..=2);
    assert_eq!(scene.writer(&org, job.job_id).await, 2);
    found
}

async fn answers_lost(scene: &Scene) -> Found {
    let org = scene.small().await;
    let id = org.id.to_string();
    let claims = scene.proxies.add("worker.dynamodb", &[&id, "running#"], 1, Action::LoseAnswer);
    let ends = scene.proxies.add("worker.dynamodb", &[&id, "succeeded#"], 1, Action::LoseAnswer);
    org.create(&daily()).await;
    let found = scene.end(&org).await.expect(1, 1..=1);
    until("both are repeated", Duration::from_secs(10), async || {
        let counts = (claims.count(), ends.count());
        if counts.0 > 1 && counts.1 > 1 { Ok(()) } else { Err(counts) }
    })
    .await;
    found
}

async fn message_refused(scene: &Scene) -> Found {
    let org = scene.small().await;
    let id = org.id.to_string();
    let refused = scene.proxies.add("api.sqs", &[&id, "SendMessage"], 3, Action::Refuse(503));
    org.create(&daily()).await;
    assert_eq!(refused.count(), 3, "the SDK gave up");
    scene.end(&org).await.expect(1, 1..=1).note("the client got its 202; the sweep sent the message")
}

async fn message_lost(scene: &Scene) -> Found {
    let org = scene.small().await;
    let id = org.id.to_string();
    let lost = scene.proxies.add("api.sqs", &[&id, "SendMessage"], 1, Action::lost_message());
    org.create(&daily()).await;
    assert_eq!(lost.count(), 1);
    scene.end(&org).await.expect(1, 1..=1).note("the sweep sent it again")
}
