//! The object store refuses requests, is slow, and fails in the middle of an upload.

use std::time::Duration;

use crate::{
    case::{Case, case},
    rule::Action,
    scene::{DEAD, Found, Scene, daily, hourly},
};

pub(crate) const CASES: &[Case] = &[
    case!(store_refuses_for_good, "the store answers 503 to everything"),
    case!(store_refuses_the_request, "the store answers 403 to everything"),
    case!(store_refuses_for_a_while, "the store answers 503 six times"),
    case!(store_refuses_the_days, "the store takes the file, and answers 503 to the sums of its days"),
    case!(store_is_slow, "every request to the store takes 0.25 s longer"),
    case!(store_fails_a_part, "the store answers 500 to the second part, until the SDK gives up"),
];

async fn store_refuses_for_a_while(scene: &Scene) -> Found {
    let org = scene.small().await;
    let id = org.id.to_string();
    // The file and the sums of its days are each tried three times.
    let refused = scene.proxies.add("worker.s3", &[&id], 6, Action::Refuse(503));
    org.create(&daily()).await;
    let found = scene.end(&org).await.expect(1, 2..=2);
    assert!(refused.count() > 6);
    found
}

async fn store_refuses_the_days(scene: &Scene) -> Found {
    let org = scene.small().await;
    let days = format!("analytics/days/{}", org.id);
    let refused = scene.proxies.add("worker.s3", &[&days], 3, Action::Refuse(503));
    let job = org.create(&daily()).await.job_id;
    let found = scene.end(&org).await.expect(1, 2..=2);
    assert_eq!(refused.count(), 4, "the SDK gave up once");
    assert_eq!(scene.stack.objects.keys(&days).await, [format!("{days}/{job}.2.csv")]);
    found.note("no job succeeds without them")
}

async fn store_refuses_the_request(scene: &Scene) -> Found {
    let org = scene.small().await;
    let id = org.id.to_string();
    let _refused = scene.proxies.add("worker.s3", &[&id], usize::MAX, Action::Refuse(403));
    let job = org.create(&daily()).await;
    let found = scene.end(&org).await;
    // It would be refused again: no second attempt, and no dead letter.
    assert_eq!((found.failed, found.attempts), (1, 1), "{found:?}");
    let error = org.show(job.job_id).await.error.unwrap_or_default();
    assert!(error.contains("storage_refused"), "{error}");
    found.note("failed with storage_refused in the first attempt")
}

async fn store_refuses_for_good(scene: &Scene) -> Found {
    let org = scene.small().await;
    let id = org.id.to_string();
    let _refused = scene.proxies.add("worker.s3", &[&id], usize::MAX, Action::Refuse(503));
    let job = org.create(&daily()).await;
    let found = scene.end(&org).await;
    // More than five if the sweep sent it again while it waited.
    assert!(found.failed == 1 && found.attempts >= 5, "{found:?}");
    let error = org.show(job.job_id).await.error.unwrap_or_default();
    assert!(error.contains("storage_unavailable"), "{error}");
    org.get(&format!("/{}/download", job.job_id)).await.expect(404);
    DEAD.lock().unwrap().insert(job.job_id);
    found.note("failed with storage_unavailable; its message is a dead letter")
}

async fn store_is_slow(scene: &Scene) -> Found {
    let org = scene.large().await;
    let id = org.id.to_string();
    let slow = scene.proxies.add("worker.s3", &[&id], usize::MAX, Action::Delay(Duration::from_millis(250)));
    org.create(&hourly()).await;
    let found = scene.end(&org).await.expect(1, 1..);
    found.note(format!("{} requests", slow.count()))
}

async fn store_fails_a_part(scene: &Scene) -> Found {
    let org = scene.large().await;
    let id = org.id.to_string();
    let refused = scene.proxies.add("worker.s3", &[&id, "partNumber=2"], 3, Action::Refuse(500));
    let aborts = scene.proxies.add("worker.s3", &["DELETE /", &id, "uploadId="], 0, Action::Watch);
    let job = org.create(&hourly()).await;
    let found = scene.end(&org).await.expect(1, 2..);
    assert!(refused.count() > 3);
    assert!(aborts.count() >= 1, "the first attempt aborted its upload");
    assert_eq!(scene.writer(&org, job.job_id).await, found.attempts);
    found
}
