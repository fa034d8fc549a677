//! The chains of audit records: whatever happens to a sweep, a chain neither forks nor skips a record.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::{Organization, stack::variable};

use crate::{
    case::{Case, case},
    lambda,
    process::kill,
    rule::Action,
    scene::{Found, Scene},
};

pub(crate) const CASES: &[Case] = &[
    // Beside others, their sweeps would link.
    case!(chain_sweep_killed, "the sweep is killed while it links, and its write is lost", alone = true),
    case!(chain_sweeps_raced, "a sweep is held at its write while another links the same records", alone = true),
    case!(chain_answer_lost, "records are linked, and the answer is lost", alone = true),
    case!(chain_refused, "DynamoDB answers 500 to the links, until the SDK gives up", alone = true),
    case!(head_sweep_killed, "the sweep is killed between the signed head's object and its item", alone = true),
];

/// Asserts that the organization's records are linked once each, in one chain, and that it verifies.
async fn assert_one_chain(org: &Organization<'_>, count: u64) {
    assert_eq!(org.linked().await, count);
    let mut entries = Vec::new();
    let mut query = "?limit=100".to_owned();
    loop {
        let page = org.audit(&format!("/chain{query}")).await;
        entries.extend(page["items"].as_array().unwrap().clone());
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        query = format!("?limit=100&cursor={cursor}");
    }
    let of_kind = |kind: &str| entries.iter().filter(|entry| entry["kind"] == kind).cloned().collect::<Vec<Value>>();
    let keys = |kind: &str| {
        of_kind(kind).iter().map(|entry| entry["key"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    assert_eq!(keys("record"), keys("link"));
    let links = of_kind("link");
    assert_eq!(links.len() as u64, count);
    let mut before = "0".repeat(64);
    for (number, link) in (1..).zip(&links) {
        assert_eq!((&link["seq"], &link["previousHash"]), (&json!(number), &json!(before)), "{link}");
        before = link["hash"].as_str().unwrap().to_owned();
        assert!(link["record"].is_object(), "{link}");
    }
}

/// Runs a sweep beside the test.
fn sweep() -> tokio::task::JoinHandle<Result<Value, String>> {
    let runtime = tokio::runtime::Handle::current();
    // On a thread of its own, since the call is a future that stays on its thread.
    tokio::task::spawn_blocking(move || {
        runtime.block_on(tests::lambda::invoke(&variable("SWEEP_FUNCTION"), &json!({})))
    })
}

async fn chain_sweep_killed(scene: &Scene) -> Found {
    let org = scene.stack.organization();
    org.record(5).await;
    org.linked().await;
    org.record(5).await;
    let chain = format!("CHAIN#{}", org.id);
    let mut writes = scene.proxies.add("sweep.dynamodb", &[&chain, "TransactWriteItems"], 1, Action::Hold);
    let running = sweep();
    let write = writes.held().await;
    kill(write.process());
    write.lose();
    let _ = running.await;
    assert_one_chain(&org, 10).await;

    // Killed with the write on its way: it arrives.
    org.record(5).await;
    let mut writes = scene.proxies.add("sweep.dynamodb", &[&chain, "TransactWriteItems"], 1, Action::Hold);
    let running = sweep();
    let write = writes.held().await;
    kill(write.process());
    assert_eq!(write.release().await, 200);
    let _ = running.await;
    assert_one_chain(&org, 15).await;
    Found::default().note("each record is linked once")
}

async fn chain_sweeps_raced(scene: &Scene) -> Found {
    let org = scene.stack.organization();
    org.record(5).await;
    let chain = format!("CHAIN#{}", org.id);
    let mut writes = scene.proxies.add("sweep.dynamodb", &[&chain, "TransactWriteItems"], 1, Action::Hold);
    let running = sweep();
    let write = writes.held().await;
    let other = lambda::sweep().await;
    assert!(other.chained.linked >= 5, "{other:?}");
    assert_ne!(write.release().await, 200, "the head has moved on");
    let report = running.await.unwrap().expect("the sweep that came second ends well");
    assert_eq!(report["chained"]["errors"], 0, "{report}");
    assert_one_chain(&org, 5).await;
    Found::default().note("the second write is refused, and nothing forks")
}

async fn chain_answer_lost(scene: &Scene) -> Found {
    let org = scene.stack.organization();
    org.record(5).await;
    let chain = format!("CHAIN#{}", org.id);
    let lost = scene.proxies.add("sweep.dynamodb", &[&chain, "TransactWriteItems"], 1, Action::LoseAnswer);
    let report = lambda::sweep().await;
    assert!(lost.count() > 1, "it is repeated");
    assert_eq!(report.chained.errors, 0, "{report:?}");
    assert_one_chain(&org, 5).await;
    Found::default().note("each record is linked once")
}

async fn chain_refused(scene: &Scene) -> Found {
    let (org, other) = (scene.stack.organization(), scene.stack.organization());
    org.record(5).await;
    other.record(1).await;
    let chain = format!("CHAIN#{}", org.id);
    let refused = scene.proxies.add("sweep.dynamodb", &[&chain, "TransactWriteItems"], 3, Action::Refuse(500));
    let report = lambda::sweep().await;
    assert_eq!(refused.count(), 3, "the SDK gave up");
    assert_eq!(report.chained.errors, 1, "the sweep says so: {report:?}");
    assert!(org.items("CHAIN").await.is_empty());
    assert_eq!(other.items("CHAIN").await.len(), 1, "no organization waits for another");
    assert_one_chain(&org, 5).await;
    Found::default().note("the sweep counts it, and the next one links")
}

async fn head_sweep_killed(scene: &Scene) -> Found {
    let org = scene.stack.organization();
    org.record(3).await;
    org.linked().await;
    org.next_day().await;
    let heads = format!("HEADS#{}", org.id);
    let mut writes = scene.proxies.add("sweep.dynamodb", &[&heads, "TransactWriteItems"], 1, Action::Hold);
    let running = sweep();
    let write = writes.held().await;
    let prefix = format!("analytics/audit-heads/{}/", org.id);
    assert_eq!(scene.stack.objects.keys(&prefix).await.len(), 1, "the object comes first");
    kill(write.process());
    write.lose();
    let _ = running.await;
    assert_eq!(org.audit("/heads").await["items"], json!([]));
    lambda::sweep().await;
    let signed = org.audit("/heads").await;
    assert_eq!(signed["items"].as_array().unwrap().len(), 1, "{signed}");
    assert_eq!(json!(scene.stack.objects.keys(&prefix).await), json!([signed["items"][0]["object"]]));
    assert_one_chain(&org, 3).await;
    Found::default().note("the next sweep signs again, and keeps one head")
}
