//! Many clients at the same time: one job per idempotency key, and at most the cap of open jobs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::Value;
use tests::{Answer, ExportJob, Organization};
use uuid::Uuid;

use crate::{
    case::{Case, case},
    lambda,
    scene::{Found, Scene, daily, hourly},
};

/// The template's default cap.
const CAP: usize = 20;

pub(crate) const CASES: &[Case] = &[
    case!(creates_raced, "200 creates with 20 idempotency keys by 32 clients", alone = true),
    case!(cap_raced, "30 creates at once while no job can end", alone = true),
];

async fn create(org: &Organization<'_>, key: &str, body: &Value) -> Answer {
    let request = org.stack.api.request(Method::POST, &org.path("")).bearer_auth(&org.token);
    Answer::to(request.header("idempotency-key", key).json(body)).await
}

async fn creates_raced(scene: &Scene) -> Found {
    let org = scene.small().await;
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    let client = async || {
        let mut jobs = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::SeqCst);
            if number >= 200 {
                return jobs;
            }
            let key = format!("key-{}", number % 20);
            let job: ExportJob = create(&org, &key, &daily()).await.expect(202).json();
            jobs.push((key, job.job_id));
        }
    };
    let answers = join_all((0..32).map(|_| client())).await.concat();
    let seconds = start.elapsed().as_secs_f64();
    let mut keys: BTreeMap<String, BTreeSet<Uuid>> = BTreeMap::new();
    for (key, job) in answers {
        keys.entry(key).or_default().insert(job);
    }
    assert_eq!(keys.len(), 20);
    assert!(keys.values().all(|jobs| jobs.len() == 1), "a key has one job: {keys:#?}");
    assert_eq!(keys.into_values().flatten().collect::<BTreeSet<_>>().len(), 20);
    create(&org, "key-0", &hourly()).await.expect(409);
    scene.end(&org).await.expect(20, 1..=1).note(format!("20 jobs, in {seconds:.1} s; another body got 409"))
}

async fn cap_raced(scene: &Scene) -> Found {
    let org = scene.small().await;
    lambda::deliver(false).await;
    let answers = join_all((0..30).map(async |_| org.post(&daily()).await)).await;
    lambda::deliver(true).await;
    let (accepted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 202);
    assert_eq!(accepted.len(), CAP);
    for answer in &refused {
        assert_eq!(answer.status, 429, "{}", answer.text());
        assert!(answer.header("retry-after").is_some_and(|after| after.parse::<u32>().is_ok()));
    }
    scene.end(&org).await.expect(20, 1..=1);
    org.create(&daily()).await;
    scene.end(&org).await.expect(21, 1..=1).note("20 accepted, 10 got 429; afterwards there is room again")
}
