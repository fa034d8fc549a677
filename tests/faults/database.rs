//! PostgreSQL is stopped, loses connections, and exceeds time limits.

use std::time::Duration;

use jiff::Timestamp;
use tests::poll::until;

use crate::{
    case::{Case, case},
    lambda, postgres,
    rule::Action,
    scene::{Found, Scene, daily, hourly, message},
};

pub(crate) const CASES: &[Case] = &[
    case!(
        database_fails_for_good_then_redriven,
        "the connection is cut in every attempt; then the dead letter is redriven"
    ),
    case!(time_runs_out_in_the_last_attempt, "the rows stop coming in the last attempt", alone = true),
    case!(connection_cut_in_mid_row, "the connection is cut after 1,000,001 bytes of rows"),
    case!(one_of_two_connections_cut, "of two connections that read one export, each is cut once"),
    case!(statement_runs_out_of_time, "the rollups are locked for longer than an attempt may take", alone = true),
    case!(database_stopped_and_started, "PostgreSQL stopped in mid-export, and started a second later", alone = true),
];

async fn connection_cut_in_mid_row(scene: &Scene) -> Found {
    let org = scene.large().await;
    let _cut = scene.proxies.add_query(org.id, 1, Action::Cut(1_000_001));
    org.create(&hourly()).await;
    scene.end(&org).await.expect(1, 2..)
}

async fn one_of_two_connections_cut(scene: &Scene) -> Found {
    let org = scene.huge().await;
    let mut first = scene.proxies.add_query(org.id, 2, Action::Stall(300_001));
    let job = org.create(&hourly()).await;
    let held = [first.held().await, first.held().await];
    let [kept, lost] = held;
    assert_eq!(kept.process(), lost.process(), "one worker reads over both");
    // The progress is visible while the answer stalls.
    let progress = until("the job shows its progress", Duration::from_secs(8), async || {
        org.show(job.job_id).await.progress.ok_or(())
    })
    .await;
    assert!(progress.rows > 0 && progress.bytes > 0 && (0.0..1.0).contains(&progress.fraction), "{progress:?}");
    lost.lose();
    kept.release().await;
    let found = scene.end(&org).await.expect(1, 2..);
    assert_eq!(org.show(job.job_id).await.progress, None);
    found.note("the attempt failed as a whole, the next one succeeded")
}

async fn time_runs_out_in_the_last_attempt(scene: &Scene) -> Found {
    let org = scene.small().await;
    let id = org.id.to_string();
    let _rows = scene.proxies.add_query(org.id, 1, Action::Stall(0));
    let _lost = scene.proxies.add("api.sqs", &[&id, "SendMessage"], 1, Action::lost_message());
    let job = org.create(&daily()).await;
    let returned = lambda::deliver_by_hand(&message(org.id, job.job_id), 5, Timestamp::now()).await;
    assert_eq!(returned, 1, "the message goes to the dead-letter queue");
    let found = scene.end(&org).await;
    assert_eq!((found.failed, found.attempts), (1, 1));
    let error = org.show(job.job_id).await.error.unwrap_or_default();
    assert!(error.contains("took_too_long"), "{error}");
    found.note("failed with took_too_long")
}

async fn database_stopped_and_started(scene: &Scene) -> Found {
    let org = scene.large().await;
    let mut rows = scene.proxies.add_query(org.id, 1, Action::Stall(1_000_000));
    let job = org.create(&hourly()).await;
    let rows = rows.held().await;
    postgres::restart().await;
    rows.release().await;
    let scene = Scene { stack: tests::Stack::from_env().await, proxies: scene.proxies };
    let found = scene.end(&org).await.expect(1, 2..);
    assert_eq!(scene.writer(&org, job.job_id).await, found.attempts);
    found
}

async fn statement_runs_out_of_time(scene: &Scene) -> Found {
    let org = scene.small().await;
    scene.stack.database.client.batch_execute("begin; lock table analytics_daily_rollups").await.unwrap();
    let job = org.create(&daily()).await;
    until("the second attempt begins", lambda::TURN, async || {
        let fence = scene.fence(&org, job.job_id).await;
        if fence == 2 { Ok(()) } else { Err(fence) }
    })
    .await;
    scene.stack.database.client.batch_execute("commit").await.unwrap();
    scene.end(&org).await.expect(1, 2..)
}

async fn database_fails_for_good_then_redriven(scene: &Scene) -> Found {
    let org = scene.small().await;
    let cut = scene.proxies.add_query(org.id, usize::MAX, Action::Cut(0));
    let job = org.create(&daily()).await;
    let sent = Timestamp::now();
    let failed = scene.end(&org).await;
    // More than five if the sweep sent it again while it waited.
    assert!(failed.failed == 1 && failed.attempts >= 5, "{failed:?}");
    let error = org.show(job.job_id).await.error.unwrap_or_default();
    assert!(error.contains("usage_unavailable"), "{error}");
    drop(cut);

    // A late duplicate from before the failure leaves the job as it is.
    let body = message(org.id, job.job_id);
    assert_eq!(lambda::deliver_by_hand(&body, 1, sent).await, 0, "the duplicate is done with");
    assert_eq!(scene.fence(&org, job.job_id).await, failed.attempts);
    assert_eq!(org.show(job.job_id).await.status, "failed");

    // Only a message that is sent in a later second counts as sent after the failure.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let letter = until("the message is a dead letter", lambda::TURN, async || {
        scene.stack.queue.take_dead_letter(&body).await.ok_or(())
    })
    .await;
    scene.stack.queue.send(letter.body().unwrap_or_default()).await;
    until("the redriven job is claimed", lambda::TURN, async || {
        let fence = scene.fence(&org, job.job_id).await;
        if fence > failed.attempts { Ok(()) } else { Err(fence) }
    })
    .await;
    scene
        .end(&org)
        .await
        .expect(1, failed.attempts + 1..)
        .note("failed with usage_unavailable; a late duplicate left it; the redrive succeeded")
}
