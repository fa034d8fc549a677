//! Duplicate and reordered events: the newest version wins.

use std::collections::BTreeSet;

use ci::{
    CiRun, ObjectVersion,
    telemetry::{Stored, s3, store_run},
};
use jiff::Timestamp;
use postgres::Database;
use serde_json::json;
use tests::{Service, Stack, ci::RunRow};

/// Invokes the function with one record.
async fn notify(service: &Service<'_>, key: &str, version: Option<&str>, sequencer: &str) {
    let records = json!({"Records": [service.record(key, version, sequencer)]});
    let answer = Service::invoke(&records).await;
    assert_eq!(answer, json!({"batchItemFailures": []}));
}

fn versions(runs: &[RunRow]) -> Vec<Option<&str>> {
    runs.iter().map(|run| run.object_version.as_deref()).collect()
}

#[tokio::test]
async fn a_duplicate_changes_nothing() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    let good = service.key("good");
    let bad = service.key("bad");
    let version = service.put(&good, service.document("good").to_string()).await;
    let bad_version = service.put(&bad, "[]").await;
    let first = service.wait("it is stored", |runs| runs.len() == 1).await;
    service.rejection(&bad).await;
    for _ in 0..3 {
        notify(&service, &good, Some(&version), "01").await;
        notify(&service, &good, None, "").await;
        notify(&service, &bad, Some(&bad_version), "01").await;
    }
    assert_eq!(service.runs().await, first);
    assert_eq!(service.rejections(&bad).await.len(), 1);
}

#[tokio::test]
async fn the_newest_version_wins_in_every_order() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    let key = service.key("run");
    let mut document = service.document("run");
    let mut puts = Vec::new();
    // All within a second or two, so that the sequencer decides.
    for (sequencer, status) in [("0055AED6DCD9028", "failure"), ("0055AED6DCD90281", "cancelled"), ("0055B", "success")]
    {
        document["status"] = status.into();
        puts.push((service.put(&key, document.to_string()).await, sequencer));
    }
    let newest = puts[2].0.clone();
    service.wait("the newest is stored", |runs| versions(runs) == [Some(newest.as_str())]).await;
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        stack.database.client.execute("delete from ci_runs where service = $1", &[&service.name]).await.unwrap();
        for index in order {
            let (version, sequencer) = &puts[index];
            notify(&service, &key, Some(version), sequencer).await;
        }
        let runs = service.runs().await;
        assert_eq!(versions(&runs), [Some(newest.as_str())], "{order:?}");
        assert_eq!(runs[0].status, "success");
    }
}

#[tokio::test]
async fn an_object_that_describes_another_run_no_longer_describes_the_first() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    let key = service.key("run");
    let mut document = service.document("run");
    document["command"] = "make chekc".into();
    let typo = service.put(&key, document.to_string()).await;
    let corrected = service.put(&key, service.document("run").to_string()).await;
    let is_corrected = |runs: &[RunRow]| versions(runs) == [Some(corrected.as_str())] && runs[0].run_id == "run";
    service.wait("the second is stored", is_corrected).await;
    for order in [[(&typo, "01"), (&corrected, "02")], [(&corrected, "02"), (&typo, "01")]] {
        stack.database.client.execute("delete from ci_runs where service = $1", &[&service.name]).await.unwrap();
        for (version, sequencer) in order {
            notify(&service, &key, Some(version), sequencer).await;
        }
        assert!(is_corrected(&service.runs().await), "{order:?}");
        let kept = service.replacements().await;
        assert_eq!(kept.len(), 1, "{kept:?}");
        assert_eq!((&kept[0].object_version, &kept[0].run["command"]), (&Some(typo.clone()), &json!("make chekc")));
    }
}

#[tokio::test]
async fn an_invalid_version_is_rejected_and_the_valid_one_before_it_stays() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    let key = service.key("run");
    let valid = service.put(&key, service.document("run").to_string()).await;
    service.wait("it is stored", |runs| versions(runs) == [Some(valid.as_str())]).await;
    let invalid = service.put(&key, "{}").await;
    service.rejection(&key).await;
    assert_eq!(service.rejections(&key).await[0].1.as_ref(), Some(&invalid));
    assert_eq!(versions(&service.runs().await), [Some(valid.as_str())]);
}

#[tokio::test]
async fn a_deleted_version_is_ignored() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    let key = service.key("run");
    let s3 = &stack.metrics.client;
    let bucket = &stack.metrics.bucket;
    let version = service.put(&key, service.document("run").to_string()).await;
    service.wait("it is stored", |runs| runs.len() == 1).await;
    let stored = service.runs().await;
    s3.delete_object().bucket(bucket).key(&key).send().await.unwrap();
    // A delete marker is the newest; the row, and the version that it names, stay.
    notify(&service, &key, None, "02").await;
    assert_eq!(service.runs().await, stored);
    s3.delete_object().bucket(bucket).key(&key).version_id(&version).send().await.unwrap();
    notify(&service, &key, Some(&version), "01").await;
    assert_eq!(service.runs().await, stored);
}

/// Stores the versions of two objects that describe one run, and of one object that described two, in many orders over
/// several connections. Each order ends in the same state.
#[tokio::test]
async fn concurrent_writers_in_any_order_end_in_the_same_state() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    let connections = Database::from_env("tests").unwrap();
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(connections.connect().await.unwrap());
    }
    let version = |key: &str, seconds: i64, sequencer: &str, run: &str| {
        let document = service.document(run).to_string();
        let run = CiRun::from_document(document.as_bytes(), Timestamp::now()).unwrap();
        let object = ObjectVersion {
            key: service.key(key),
            version: Some(format!("{key}{seconds}{sequencer}")),
            etag: format!("{seconds}{sequencer}"),
            sha256: None,
            time: Timestamp::from_second(1_762_600_000 + seconds).unwrap(),
            sequencer: s3::sequencer(sequencer),
        };
        (run, object)
    };
    let versions = [
        version("a", 1, "01", "run"),
        version("a", 2, "02", "run"),
        version("a", 3, "03", "run"),
        version("a", 3, "031", "run"),
        version("b", 2, "09", "run"),
        version("b", 3, "04", "run"),
        version("b", 3, "", "run"),
        version("c", 1, "01", "third"),
        version("c", 2, "02", "fourth"),
    ];
    for round in 0..100_u64 {
        let mut order: Vec<usize> = (0..versions.len()).chain(0..versions.len()).collect();
        // A shuffle without a random seed.
        order.sort_by_key(|index| {
            (*index as u64 + 3 + round).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(round as u32)
        });
        let writers = clients.iter().enumerate().map(|(number, client)| {
            let mine = order.iter().skip(number).step_by(clients.len());
            let versions = &versions;
            async move {
                for index in mine {
                    let (run, object) = &versions[*index];
                    store_run(client, run, object).await.unwrap();
                }
            }
        });
        futures_util::future::join_all(writers).await;
        let left: Vec<(String, Option<String>)> =
            service.runs().await.into_iter().map(|run| (run.run_id, run.object_version)).collect();
        let expected = [("fourth", "c202"), ("run", "b304")];
        assert_eq!(left, expected.map(|(run, version)| (run.to_owned(), Some(version.to_owned()))), "round {round}");
        let kept = service.replacements().await;
        let others = |run: &str, counting: &str| -> BTreeSet<String> {
            let of_run = kept.iter().filter(|kept| kept.run_id == run && kept.object_key != service.key(counting));
            of_run.map(|kept| kept.object_key.clone()).collect()
        };
        assert_eq!(others("run", "b"), BTreeSet::from([service.key("a")]), "round {round}");
        assert_eq!(others("third", ""), BTreeSet::from([service.key("c")]), "round {round}");
        assert!(kept.len() <= versions.len(), "each version once, however often it was stored: {kept:?}");
        service.forget().await;
    }
    let (run, object) = &versions[0];
    assert_eq!(store_run(&clients[0], run, object).await.unwrap(), Stored::New);
    assert_eq!(store_run(&clients[0], run, object).await.unwrap(), Stored::Unchanged);
}

/// Returns four versions of three objects: `b` takes the run of `a` over, then tells of another, which `c` takes over.
fn taken_over(service: &Service<'_>) -> [(CiRun, ObjectVersion); 4] {
    [("a", 1, "first"), ("b", 2, "first"), ("b", 3, "second"), ("c", 4, "second")].map(|(key, seconds, run)| {
        let document = service.document(run).to_string();
        let run = CiRun::from_document(document.as_bytes(), Timestamp::now()).unwrap();
        let object = ObjectVersion {
            key: service.key(key),
            version: Some(format!("{key}{seconds}-{}", service.name)),
            etag: seconds.to_string(),
            sha256: None,
            time: Timestamp::from_second(1_762_600_000 + seconds).unwrap(),
            sequencer: s3::sequencer(&format!("{seconds:02}")),
        };
        (run, object)
    })
}

/// One object takes a run over and then tells of another, which a third object takes over. In every order the first
/// document counts for its run again, and both runs tell that another document was replaced.
#[tokio::test]
async fn a_run_that_was_taken_over_for_a_while_is_restored_in_every_order() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    let client = Database::from_env("tests").unwrap().connect().await.unwrap();
    let versions = taken_over(&service);
    let orders = (0..256_usize)
        .map(|number| [number / 64, number / 16 % 4, number / 4 % 4, number % 4])
        .filter(|order| order.iter().collect::<BTreeSet<_>>().len() == 4);
    let mut count = 0;
    for order in orders {
        for again in 0..3 {
            for index in order {
                let (run, object) = &versions[index];
                store_run(&client, run, object).await.unwrap();
            }
            let left: Vec<_> = service.runs().await.into_iter().map(|run| (run.run_id, run.object_key)).collect();
            let expected = [("first".to_owned(), service.key("a")), ("second".to_owned(), service.key("c"))];
            assert_eq!(left, expected, "{order:?}, round {again}");
            let page: serde_json::Value = stack.ci(&format!("runs?service={}", service.name)).await.expect(200).json();
            let marks: Vec<_> = page["items"].as_array().unwrap().iter().map(|run| &run["replacements"]).collect();
            assert_eq!(marks, [&json!(1), &json!(1)], "{order:?}, round {again}");
            assert!(service.replacements().await.len() <= 4, "{order:?}, round {again}");
        }
        service.forget().await;
        count += 1;
    }
    assert_eq!(count, 24);
}

/// The same versions over several connections: what is restored, recorded and replaced at the same time ends the same.
#[tokio::test]
async fn a_run_that_was_taken_over_for_a_while_is_restored_under_concurrent_writers() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    let connections = Database::from_env("tests").unwrap();
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(connections.connect().await.unwrap());
    }
    let versions = taken_over(&service);
    for round in 0..200_usize {
        let writers = clients.iter().enumerate().map(|(number, client)| {
            let versions = &versions;
            async move {
                for step in 0..4 {
                    // Each writer in an order of its own: 1 and 3 have no divisor in common with 4.
                    let index = (round / 8 + number + step * if number % 2 == 0 { 1 } else { 3 }) % 4;
                    let (run, object) = &versions[index];
                    store_run(client, run, object).await.unwrap();
                }
            }
        });
        futures_util::future::join_all(writers).await;
        let left: Vec<_> = service.runs().await.into_iter().map(|run| (run.run_id, run.object_key)).collect();
        let expected = [("first".to_owned(), service.key("a")), ("second".to_owned(), service.key("c"))];
        assert_eq!(left, expected, "round {round}: {:?}", service.replacements().await);
        let kept = service.replacements().await;
        let from_b = |run: &str| kept.iter().any(|kept| kept.run_id == run && kept.object_key == service.key("b"));
        assert!(from_b("first") && from_b("second"), "round {round}: {kept:?}");
        service.forget().await;
    }
}
