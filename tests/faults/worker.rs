//! The worker is killed at each step of a job.

use std::time::Duration;

use tests::poll::until;

use crate::{
    case::{Case, case},
    process::kill,
    rule::Action,
    scene::{Found, Scene, daily, hourly},
};

pub(crate) const CASES: &[Case] = &[
    case!(killed_in_the_middle_of_the_rows, "worker killed with its first part stored, the second on its way"),
    case!(killed_before_the_claim, "worker killed before its claim arrived"),
    // Beside others, their sweeps would help.
    case!(killed_after_the_claim, "worker killed after its claim, before the first row; no sweep runs", alone = true),
    case!(killed_before_completion, "worker killed between upload and completion"),
    case!(killed_while_publishing, "worker killed while its large file was put together"),
];

/// The time by which a lost worker delays its job at most.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(90);

async fn killed_before_the_claim(scene: &Scene) -> Found {
    let org = scene.small().await;
    let id = org.id.to_string();
    let mut claims = scene.proxies.add("worker.dynamodb", &[&id, "running#"], 1, Action::Hold);
    let job = org.create(&daily()).await;
    let claim = claims.held().await;
    kill(claim.process());
    claim.lose();
    assert_eq!(org.show(job.job_id).await.status, "pending");
    scene.end(&org).await.expect(1, 1..=1)
}

async fn killed_after_the_claim(scene: &Scene) -> Found {
    let org = scene.small().await;
    let mut answers = scene.proxies.add_query(org.id, 1, Action::Stall(0));
    let job = org.create(&daily()).await;
    let answer = answers.held().await;
    assert_eq!(org.show(job.job_id).await.status, "running");
    kill(answer.process());
    answer.lose();
    until("another worker runs the job without a sweep", RECOVERY_TIMEOUT, async || {
        let shown = org.show(job.job_id).await;
        if shown.is_ended() { Ok(()) } else { Err(shown.status) }
    })
    .await;
    scene.end(&org).await.expect(1, 2..=2)
}

async fn killed_in_the_middle_of_the_rows(scene: &Scene) -> Found {
    let org = scene.large().await;
    let id = org.id.to_string();
    let mut parts = scene.proxies.add("worker.s3", &["PUT /", &id, "partNumber=2"], 1, Action::Hold);
    let job = org.create(&hourly()).await;
    let part = parts.held().await;
    kill(part.process());
    part.lose();
    let exports = format!("analytics/exports/{}/", org.id);
    assert_eq!(scene.stack.objects.open_uploads(&exports).await.len(), 1, "the killed attempt left its upload");
    let found = scene.end(&org).await.expect(1, 2..);
    assert_eq!(scene.writer(&org, job.job_id).await, found.attempts);
    found
}

async fn killed_before_completion(scene: &Scene) -> Found {
    let org = scene.small().await;
    let id = org.id.to_string();
    let mut ends = scene.proxies.add("worker.dynamodb", &[&id, "succeeded#"], 1, Action::Hold);
    let job = org.create(&daily()).await;
    let end = ends.held().await;
    let key = format!("analytics/exports/{}/{}.csv", org.id, job.job_id);
    scene.stack.objects.head(&key).await;
    org.get(&format!("/{}/download", job.job_id)).await.expect(404);
    kill(end.process());
    end.lose();
    let found = scene.end(&org).await.expect(1, 2..=2);
    assert_eq!(scene.writer(&org, job.job_id).await, 2);
    found
}

async fn killed_while_publishing(scene: &Scene) -> Found {
    let org = scene.large().await;
    let id = org.id.to_string();
    let path = format!("/analytics/exports/{id}/");
    let mut ends = scene.proxies.add("worker.s3", &["POST /", &path, "<CompleteMultipartUpload"], 1, Action::Hold);
    org.create(&hourly()).await;
    let end = ends.held().await;
    kill(end.process());
    end.lose();
    let exports = format!("analytics/exports/{}/", org.id);
    until("nothing is visible of a file that is not whole", Duration::from_secs(1), async || {
        let keys = scene.stack.objects.keys(&exports).await;
        if keys.is_empty() { Ok(()) } else { Err(keys) }
    })
    .await;
    scene.end(&org).await.expect(1, 2..)
}
