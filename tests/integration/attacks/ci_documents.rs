//! A writer of one service's CI documents, or of one run's, wants to replace the runs of another.

use std::time::Duration;

use ci::telemetry::REPLACED;
use serde_json::{Value, json};
use tests::{
    Service, Stack, logs,
    poll::{WAIT_TIMEOUT, until},
    program::program,
};

/// Stores a run at its key. Returns its document.
async fn stored(service: &Service<'_>, run: &str) -> Value {
    let document = service.document(run);
    service.put(&service.key(run), document.to_string()).await;
    service.wait("it is stored", |runs| runs.len() == 1).await;
    document
}

fn failed(mut document: Value) -> String {
    document["status"] = "failure".into();
    document.to_string()
}

/// Reads a service's only run as the API tells it.
async fn told(service: &Service<'_>) -> Value {
    let page: Value = service.stack.ci(&format!("runs?service={}", service.name)).await.expect(200).json();
    assert_eq!(page["items"].as_array().map(Vec::len), Some(1), "{page}");
    page["items"][0].clone()
}

#[tokio::test]
async fn a_document_in_one_services_folder_tells_nothing_of_another() {
    let stack = Stack::from_env().await;
    let (own, other) = (stack.service(), stack.service());
    let document = stored(&other, "run-1").await;
    let before = other.runs().await;
    let folder = format!("metrics/2025/11/08/{}", own.name);
    let keys = [
        own.key("run-1"),
        own.key("run-2"),
        // Deeper in the own folder, and with the other's name in the key.
        format!("{folder}/x/run-1.json"),
        format!("{folder}/{}/run-1.json", other.name),
        format!("{folder}/../{}/run-1.json", other.name),
        format!("{folder}%2F..%2F{}/run-1.json", other.name),
    ];
    for key in keys {
        own.put(&key, failed(document.clone())).await;
        let rejected = own.rejection(&key).await;
        assert!(rejected.contains("service must be \""), "{key}: {rejected}");
    }
    // A run id with the own folder's name does not make the key one without a folder.
    let mut hidden = document;
    hidden["run_id"] = format!("{}/run-3", own.name).into();
    own.put(&own.key("run-3"), failed(hidden)).await;
    assert!(own.rejection(&own.key("run-3")).await.contains("service must be"));
    assert_eq!((other.runs().await, own.runs().await), (before, Vec::new()));
    assert_eq!(other.replacements().await, []);
}

#[tokio::test]
async fn a_document_at_another_runs_key_tells_nothing_of_a_run() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    let document = stored(&service, "run-1").await;
    let before = service.runs().await;
    let unique = &service.name;
    let folder = format!("metrics/2025/11/08/{unique}");
    let keys = [
        service.key("run-2"),
        service.key("RUN-1"),
        service.key("run-1 "),
        service.key(" run-1"),
        service.key("run%2D1"),
        service.key("run+1"),
        // A hyphen and a digit that only look like them, and a character without a width.
        service.key("run\u{2010}1"),
        service.key("run-\u{ff11}"),
        service.key("run-1\u{200b}"),
        service.key("run-1.json"),
        service.key("x/run-1"),
        format!("metrics/2025/11/08/{unique} /run-1.json"),
        format!("metrics/2025/11/08/{}/run-1.json", unique.to_uppercase()),
        format!("metrics/2025/11/08/{}/run-1.json", unique.replacen('e', "\u{435}", 1)),
        format!("metrics/2025/11/08/{unique}-run-1.json"),
        // Of neither form.
        format!("metrics/{unique}/run-1.json"),
        format!("metrics/2025/11/8/{unique}/run-1.json"),
        format!("metrics/x/2025/11/08/{unique}/run-1.json"),
    ];
    for key in &keys {
        service.put(key, failed(document.clone())).await;
    }
    for key in &keys {
        let rejected = service.rejection(key).await;
        assert!(rejected.contains("must be"), "{key}: {rejected}");
    }
    assert_eq!(service.runs().await, before, "nothing below {folder} was replaced");
    assert_eq!(service.replacements().await, []);
    // The API lists them.
    let listed = stack.ci("rejections?limit=100").await.expect(200).text().to_owned();
    assert!(listed.contains(unique), "{listed}");
}

#[tokio::test]
async fn a_run_that_is_replaced_from_a_key_without_a_folder_says_so() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    let run = format!("run-of-{}", service.name);
    let document = stored(&service, &run).await;
    let first = service.runs().await.remove(0);
    assert_eq!(told(&service).await.get("replacements"), None);
    // In a later second, so that it is the newer one.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let forged = format!("metrics/2025/11/08/{run}.json");
    let version = service.put(&forged, failed(document.clone())).await;
    let replaced = service.wait("it is replaced", |runs| runs[0].object_key == forged).await;
    let check = async |when: &str| {
        assert_eq!(service.runs().await, replaced, "{when}");
        let run = told(&service).await;
        assert_eq!((&run["status"], &run["replacements"]), (&json!("failure"), &json!(1)), "{when}");
        let kept = service.replacements().await;
        assert_eq!(kept.len(), 1, "{when}: {kept:?}");
        assert_eq!((&kept[0].object_key, &kept[0].object_version), (&first.object_key, &first.object_version));
        assert_eq!(kept[0].replaced_by_key, forged);
        for name in ["run_id", "status", "command", "commit_sha", "actor", "environment", "duration_seconds"] {
            assert_eq!(kept[0].run[name], document[name], "{name}");
        }
    };
    check("at first").await;
    let line = until("it is logged", WAIT_TIMEOUT, async || {
        let lines = logs::lines(logs::GROUPS).await;
        let mut lines = lines.into_iter().map(|(_, line)| line);
        lines.find(|line| line.contains(REPLACED) && line.contains(&forged)).ok_or(())
    })
    .await;
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["level"], &line["replaced_by"]), (&json!("WARN"), &json!(forged)));
    assert_eq!(line["key"], first.object_key);
    // Both notifications again, in any order, and the listing.
    for (key, version) in [(&first.object_key, first.object_version.as_deref()), (&forged, Some(version.as_str()))] {
        for sequencer in ["01", "FF", ""] {
            Service::invoke(&json!({"Records": [service.record(key, version, sequencer)]})).await;
        }
    }
    check("after the same again").await;
    for prefix in [format!("metrics/2025/11/08/{}", service.name), forged.clone()] {
        let output = tokio::task::spawn_blocking(move || program("reingest").args(["--prefix", &prefix]).output());
        let output = output.await.unwrap().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    check("after a reingest").await;

    // The right document again: it counts, and the run still says that there was another.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    service.put(&first.object_key, document.to_string()).await;
    service.wait("it is right again", |runs| runs[0].object_key == first.object_key).await;
    let run = told(&service).await;
    assert_eq!((&run["status"], &run["replacements"]), (&json!("success"), &json!(1)));
    assert_eq!(service.replacements().await.len(), 2);
}

#[tokio::test]
async fn a_document_without_a_folder_that_turns_to_another_service_takes_no_run_with_it() {
    let stack = Stack::from_env().await;
    let (own, other) = (stack.service(), stack.service());
    let run = format!("run-of-{}", other.name);
    let document = stored(&other, &run).await;
    let forged = format!("metrics/2025/11/08/{run}.json");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    own.put(&forged, failed(document)).await;
    other.wait("it is replaced", |runs| runs[0].object_key == forged).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    own.put(&forged, own.document(&run).to_string()).await;
    own.wait("it tells of another", |runs| runs.len() == 1).await;
    let told = told(&other).await;
    assert_eq!(told["object_key"], other.key(&run));
    assert_eq!((&told["status"], &told["replacements"]), (&json!("success"), &json!(1)));
}

#[tokio::test]
async fn evidence_and_the_page_say_that_a_run_was_replaced() {
    let stack = Stack::from_env().await;
    let service = "user-org-service";
    let start = "2003-11-01T00:00:00Z".parse().unwrap();
    let runs = tests::CiRun::series(service, start, &[10.0; 20]);
    stack.database.insert_runs(&runs).await;
    let page = async || stack.ci("report?month=2003-11").await.expect(200).text().to_owned();
    assert!(!page().await.contains("replaced from another key"));
    let elsewhere = format!("metrics/2003/11/01/{}.json", runs[3].run_id);
    let update = "update ci_runs set object_key = $1 where service = $2 and run_id = $3";
    let replaced = stack.database.client.execute(update, &[&elsewhere, &service, &runs[3].run_id]).await;
    assert_eq!(replaced.unwrap(), 1);
    let evidence: Value = stack.ci("evidence?month=2003-11").await.expect(200).json();
    let target = |id: &str| evidence["targets"].as_array().unwrap().iter().find(|target| target["id"] == id).cloned();
    for id in ["user-org-service-check-duration", "user-org-service-check-success"] {
        let target = target(id).unwrap();
        assert_eq!((&target["runs"], &target["replacedRuns"]), (&json!(20), &json!(1)));
        let objects = target["objects"].as_array().unwrap();
        let marked: Vec<&Value> = objects.iter().filter(|object| object.get("replacements").is_some()).collect();
        assert_eq!(marked.len(), 1);
        assert_eq!((&marked[0]["key"], &marked[0]["replacements"]), (&json!(elsewhere), &json!(1)));
    }
    assert!(page().await.contains("⚠ 1 replaced from another key"));
}
