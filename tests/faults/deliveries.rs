//! Duplicate messages, concurrent workers, and requests that arrive late.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use crate::{
    case::{Case, case},
    rule::Action,
    scene::{Found, Scene, daily, hourly, message},
};

pub(crate) const CASES: &[Case] = &[
    case!(late_file, "attempt 1's file arrives at the store after attempt 2 has won"),
    case!(late_large_file, "attempt 1's large file is put together after attempt 2 has won"),
    case!(late_completion, "attempt 1's completing write arrives after attempt 2 has won"),
    case!(every_message_twice, "every message is sent twice"),
    case!(two_workers_at_once, "two workers claim one job at the same moment", alone = true),
];

async fn every_message_twice(scene: &Scene) -> Found {
    let org = scene.small().await;
    for _ in 0..6 {
        let job = org.create(&daily()).await;
        scene.stack.queue.send(&message(org.id, job.job_id)).await;
    }
    scene.end(&org).await.expect(6, 1..=1)
}

async fn two_workers_at_once(scene: &Scene) -> Found {
    let org = scene.small().await;
    let id = org.id.to_string();
    let mut claims = scene.proxies.add("worker.dynamodb", &[&id, "running#"], 2, Action::Hold);
    let job = org.create(&daily()).await;
    scene.stack.queue.send(&message(org.id, job.job_id)).await;
    let claims = [claims.held().await, claims.held().await];
    let processes: BTreeSet<u32> = claims.iter().map(crate::rule::Held::process).collect();
    assert_eq!(processes.len(), 2, "the claims are of two workers");
    let statuses: BTreeSet<u16> = join_all(claims.map(crate::rule::Held::release)).await.into_iter().collect();
    assert_eq!(statuses, [200, 400].into(), "one claim is granted, one refused");
    scene.end(&org).await.expect(1, 1..=1)
}

async fn late_file(scene: &Scene) -> Found {
    let org = scene.small().await;
    let path = format!("/analytics/exports/{}/", org.id);
    let mut files = scene.proxies.add("worker.s3", &["PUT /", &path], 1, Action::Hold);
    let job = org.create(&daily()).await;
    let file = files.held().await;
    let found = scene.end(&org).await.expect(1, 2..=2);
    let before = org.show(job.job_id).await;
    // The store takes it, after the attempt gave up: at its own key, which no job names.
    assert_eq!(file.release().await, 200);
    assert_eq!(scene.writer(&org, job.job_id).await, 2);
    assert_eq!(org.show(job.job_id).await, before);
    // As the bucket's lifecycle does later.
    let objects = &scene.stack.objects;
    let late = format!("analytics/exports/{}/{}.csv", org.id, job.job_id);
    objects.client.delete_object().bucket(&objects.bucket).key(late).send().await.unwrap();
    scene.end(&org).await;
    found
}

async fn late_large_file(scene: &Scene) -> Found {
    let org = scene.large().await;
    let path = format!("/analytics/exports/{}/", org.id);
    let mut ends = scene.proxies.add("worker.s3", &["POST /", &path, "<CompleteMultipartUpload"], 1, Action::Hold);
    let job = org.create(&hourly()).await;
    let end = ends.held().await;
    let found = scene.end(&org).await.expect(1, 2..);
    // Attempt 2 has aborted its upload.
    assert_eq!(end.release().await, 404);
    assert_eq!(scene.writer(&org, job.job_id).await, found.attempts);
    scene.end(&org).await;
    found
}

async fn late_completion(scene: &Scene) -> Found {
    let org = scene.small().await;
    let id = org.id.to_string();
    let mut ends = scene.proxies.add("worker.dynamodb", &[&id, "succeeded#"], 1, Action::Hold);
    let job = org.create(&daily()).await;
    let end = ends.held().await;
    let found = scene.end(&org).await.expect(1, 2..=2);
    let before = org.show(job.job_id).await;
    assert_eq!(end.release().await, 400, "the table refuses it");
    assert_eq!(org.show(job.job_id).await, before);
    assert_eq!(scene.fence(&org, job.job_id).await, 2);
    found
}
