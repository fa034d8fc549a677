//! The sweep's work on jobs that no invocation works on.

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use aws_sdk_sqs::types::QueueAttributeName;
use futures_util::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use jobs::DueKind;
use tests::{Organization, poll::until, stack::variable};
use uuid::Uuid;

use crate::{
    case::{Case, case},
    lambda,
    process::cpu_seconds,
    rule::Action,
    scene::{Found, Scene, daily, message},
};

pub(crate) const CASES: &[Case] = &[
    // Beside others it would wait for the messages of its batch.
    case!(unreadable_message, "a message that is none of ours", alone = true),
    case!(worker_lost_in_every_attempt, "the lease of the fifth attempt runs out; then the dead letter is redriven"),
    case!(two_sweeps_at_once, "the queue is purged, and two sweeps run at once", alone = true),
];

/// After all others: the audit records of so many expiries take the next sweeps some minutes to link.
pub(crate) const LAST: &[Case] =
    &[case!(mass_expiry, "10,000 files expire at once, and a worker and its message are lost meanwhile", alone = true)];

/// The files that expire at once in [`mass_expiry`].
const EXPIRIES: u32 = 10_000;
/// The time within which a job whose worker was lost runs again.
const LOST_FOR_AT_MOST: SignedDuration = SignedDuration::from_secs(90);

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
    scene.lose_worker(&org, job, 5, "2024-01-01T00:00:00Z".parse().unwrap()).await;
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

async fn mass_expiry(scene: &Scene) -> Found {
    let (crowd, org) = (scene.small().await, scene.small().await);
    // So that it has a process.
    lambda::sweep().await;
    expire_copies(scene, &crowd).await;
    // No message names it: only a sweep finds it.
    let job = org.add_unqueued().await.id().uuid();
    let before = cpu_seconds("sweep");
    let start = Timestamp::now();
    let sweeps = async {
        let mut reports = vec![lambda::sweep().await];
        while reports.last().is_some_and(|last| last.unfinished) {
            reports.push(lambda::sweep().await);
        }
        (reports, Timestamp::now().duration_since(start))
    };
    let lost = async {
        // The first sweep has looked for lost jobs already.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let lost_at = Timestamp::now();
        scene.lose_worker(&org, job, 1, lost_at + SignedDuration::from_secs(1)).await;
        until("the lost job has succeeded", lambda::TURN, async || {
            let status = org.show(job).await.status;
            if status == "succeeded" { Ok(()) } else { Err(status) }
        })
        .await;
        Timestamp::now().duration_since(lost_at)
    };
    let ((reports, swept_for), lost_for) = tokio::join!(sweeps, lost);
    let (own, emulator) = cpu_seconds("sweep");
    let sum = |count: fn(&lambda::Report) -> u32| reports.iter().map(count).sum::<u32>();
    assert_eq!(sum(|one| one.errors), 0, "{reports:?}");
    // A sweep of the schedule may have done some of it.
    assert!((EXPIRIES / 2..=EXPIRIES).contains(&sum(|one| one.expired)), "{reports:?}");
    let until_now = Timestamp::UNIX_EPOCH..=Timestamp::now();
    let left = scene.stack.jobs.due(DueKind::Expiry, &until_now, None).await.unwrap();
    assert!(left.jobs.iter().all(|(of, _)| of.uuid() != crowd.id), "a file of the crowd is left: {left:?}");
    assert_eq!(reports[0].released, 1, "the sweep that expires files sees the lost job: {reports:?}");
    assert!(lost_for <= LOST_FOR_AT_MOST, "lost for {lost_for:#}");
    let found = scene.end(&org).await.expect(1, 2..=2);
    found.note(format!(
        "{EXPIRIES} files expired in {} s (CPU: the sweep {} s, the emulator {} s) and {} sweeps; the job succeeded \
         after {} s",
        swept_for.as_secs(),
        own.saturating_sub(before.0),
        emulator.saturating_sub(before.1),
        reports.len(),
        lost_for.as_secs()
    ))
}

/// Adds jobs whose files expired: copies of a job that succeeded.
async fn expire_copies(scene: &Scene, org: &Organization<'_>) {
    let job = org.create(&daily()).await.job_id;
    scene.end(org).await.expect(1, 1..=1);
    let dynamodb = &scene.stack.dynamodb;
    let text = |text: String| AttributeValue::S(text);
    let get = dynamodb.get_item().table_name(variable("JOBS_TABLE")).consistent_read(true);
    let get = get.key("pk", text(format!("ORG#{}", org.id))).key("sk", text(format!("JOB#{job}")));
    let model = get.send().await.unwrap().item.expect("the job has an item");
    let expired = Timestamp::now() - SignedDuration::from_hours(1);
    let copies = (0..EXPIRIES).map(|_| {
        let id = Uuid::now_v7();
        let mut item = model.clone();
        for (name, value) in [
            ("sk", text(format!("JOB#{id}"))),
            ("status_job", text(format!("succeeded#{id}"))),
            ("job_id", text(id.to_string())),
            ("expires_at", text(expired.to_string())),
            ("due_at", AttributeValue::N(expired.as_millisecond().to_string())),
        ] {
            item.insert(name.to_owned(), value);
        }
        let put = PutRequest::builder().set_item(Some(item)).build().expect("a whole request");
        WriteRequest::builder().put_request(put).build()
    });
    let batches = stream::iter(copies).chunks(25).map(async |batch| {
        let write = dynamodb.batch_write_item().request_items(variable("JOBS_TABLE"), batch);
        let left = write.send().await.unwrap().unprocessed_items;
        assert!(left.is_none_or(|left| left.is_empty()), "the table takes all");
    });
    batches.buffer_unordered(4).collect::<Vec<()>>().await;
}
