//! Many jobs of several organizations: at most two run at a time, and the organizations take turns.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tests::poll::until;

use crate::{
    case::{Case, case},
    lambda,
    rule::Action,
    scene::{Found, Scene, daily},
};

pub(crate) const CASES: &[Case] = &[case!(
    sixty_jobs_of_three_organizations,
    "60 jobs of 3 organizations wait, one organization's after the other's",
    alone = true
)];

async fn sixty_jobs_of_three_organizations(scene: &Scene) -> Found {
    let orgs = [scene.small().await, scene.small().await, scene.small().await];
    let claims = scene.proxies.add("worker.dynamodb", &["TransactWriteItems", "running#"], 0, Action::Watch);
    let ends = scene.proxies.add("worker.dynamodb", &["TransactWriteItems", "succeeded#"], 0, Action::Watch);
    let sent = scene.proxies.add("api.sqs", &["SendMessage"], 0, Action::Watch);
    lambda::deliver(false).await;
    for org in &orgs {
        join_all((0..20).map(async |_| org.create(&daily()).await)).await;
    }
    // SQS delivers the groups in turns. The emulator delivers in the order of arrival.
    for (_, message) in sent.requests() {
        let grouped = |id: uuid::Uuid| message.contains(&format!("\"MessageGroupId\":\"{id}\""));
        assert!(orgs.iter().any(|org| grouped(org.id)), "{message}");
    }
    let start = Instant::now();
    lambda::deliver(true).await;
    // Without the sweep, which would send a waiting job again.
    until("all jobs end", Duration::from_secs(120), async || {
        let count = ends.count();
        if count >= 60 { Ok(()) } else { Err(count) }
    })
    .await;

    let mut events: Vec<(Instant, i32)> = claims.requests().iter().map(|(at, _)| (*at, 1)).collect();
    events.extend(ends.requests().iter().map(|(at, _)| (*at, -1)));
    events.sort();
    let running = events.iter().scan(0, |running, (_, change)| {
        *running += change;
        Some(*running)
    });
    let most = running.max().unwrap_or_default();
    assert!(most <= 2, "{most} ran at a time");

    let mut turns: BTreeMap<usize, (Duration, Duration)> = BTreeMap::new();
    for (at, text) in ends.requests() {
        let org = orgs.iter().position(|org| text.contains(&org.id.to_string())).expect("a job of ours");
        let at = at.duration_since(start);
        turns.entry(org).or_insert((at, at)).1 = at;
    }
    let turns: Vec<String> =
        turns.values().map(|(first, last)| format!("{:.1}–{:.1}", first.as_secs_f64(), last.as_secs_f64())).collect();
    let mut found = Found::default();
    for org in &orgs {
        let own = scene.end(org).await.expect(20, 1..=1);
        found.succeeded += own.succeeded;
        found.attempts = found.attempts.max(own.attempts);
    }
    found.note(format!("{most} at a time; first and last end of each, in s: {}", turns.join(", ")))
}
