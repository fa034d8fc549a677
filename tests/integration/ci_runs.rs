//! The list of runs: the document's own fields, newest first, in pages that neither skip nor repeat.

use std::time::Duration;

use ci::reports::{self, Filter};
use futures_util::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use postgres::Database;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tests::{CiRun, Stack, ci_runs::unique};
use tokio_postgres::SimpleQueryMessage;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn ids(pages: &[Value]) -> Vec<String> {
    let items = pages.iter().flat_map(|page| page["items"].as_array().unwrap());
    items.map(|run| run["run_id"].as_str().unwrap().to_owned()).collect()
}

fn newest_first(runs: &[CiRun]) -> Vec<String> {
    runs.iter().rev().map(|run| run.run_id.clone()).collect()
}

#[tokio::test]
async fn a_run_has_the_fields_of_its_document() {
    let stack = Stack::from_env().await;
    let service = unique("user-org-service");
    let mut run = CiRun::new(&service, at("2025-11-08T15:04:05.25Z"), "122.3".parse().unwrap());
    run.run_id = "ci-2025-11-08-001".to_owned();
    run.commit_sha = "abcdef1234567890".to_owned();
    run.object_key = format!("metrics/2025/11/08/{service}/ci-2025-11-08-001.json");
    let mut unversioned = CiRun::new(&service, at("2025-11-07T15:04:05Z"), "7".parse().unwrap());
    unversioned.object_version = None;
    stack.database.insert_runs(&[run.clone(), unversioned]).await;
    let mut answer: Value = stack.ci(&format!("runs?service={service}")).await.expect(200).json();
    let items = answer["items"].as_array_mut().unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!((items[1].get("object_version"), &items[1]["duration_seconds"]), (None, &json!(7.0)));
    let first = items[0].as_object_mut().unwrap();
    let ingested: String = first.remove("ingested_at").unwrap().as_str().unwrap().to_owned();
    assert!(ingested.len() == 20 && at(&ingested) <= Timestamp::now(), "{ingested}");
    assert!(first.remove("actor").unwrap().as_str().unwrap().len() == 36);
    assert_eq!(
        Value::Object(first.clone()),
        json!({
            "run_id": "ci-2025-11-08-001", "service": service, "command": "make check", "status": "success",
            "started_at": "2025-11-08T15:04:05.25Z", "finished_at": "2025-11-08T15:06:07.55Z",
            "duration_seconds": 122.3, "commit_sha": "abcdef1234567890", "environment": "github-actions",
            "collector_version": "1.0.0", "object_key": run.object_key, "object_version": run.object_version,
        })
    );
}

#[tokio::test]
async fn pages_of_runs_neither_skip_nor_repeat_while_runs_arrive() {
    let stack = Stack::from_env().await;
    let service = unique("pages");
    let start = at("2025-11-08T00:00:00.000001Z");
    let mut runs = CiRun::series(&service, start, &[5.0; 23]);
    // Many in one instant.
    runs[5..15].iter_mut().for_each(|run| run.started_at = start + SignedDuration::from_hours(5));
    stack.database.insert_runs(&runs).await;
    let quiet = stack.ci_pages(&format!("runs?service={service}&limit=4")).await;
    assert_eq!(ids(&quiet), newest_first(&runs));
    assert!(quiet[..5].iter().all(|page| page["items"].as_array().unwrap().len() == 4));

    let first: Value = stack.ci(&format!("runs?service={service}&limit=10")).await.expect(200).json();
    let later = CiRun::series(&service, at("2025-11-10T00:00:00Z"), &[5.0; 3]);
    stack.database.insert_runs(&later).await;
    let cursor = first["nextCursor"].as_str().unwrap();
    let rest: Value = stack.ci(&format!("runs?service={service}&limit=100&cursor={cursor}")).await.expect(200).json();
    assert_eq!(ids(&[first, rest]), newest_first(&runs), "runs that arrive meanwhile are before the first page");
}

#[tokio::test]
async fn filters_select_exactly_their_runs() {
    let stack = Stack::from_env().await;
    let service = unique("filters & <co>/%");
    let mut runs = Vec::new();
    for (text, command, environment, status) in [
        ("2025-11-07T23:59:59.999999Z", "make check", "jenkins", "success"),
        ("2025-11-08T00:00:00Z", "make check", "jenkins", "failure"),
        ("2025-11-08T12:00:00Z", "make check", "github-actions", "cancelled"),
        ("2025-11-08T23:59:59.999999Z", "make test", "jenkins", "success"),
        ("2025-11-09T00:00:00Z", "make test", "github-actions", "success"),
    ] {
        let run = CiRun::new(&service, at(text), Decimal::TEN);
        runs.push(CiRun { command: command.to_owned(), environment: environment.to_owned(), status, ..run });
    }
    stack.database.insert_runs(&runs).await;
    let found = async |query: &[(&str, &str)]| -> Vec<usize> {
        let all = [("service", service.as_str())].into_iter().chain(query.iter().copied());
        let request = stack.api.request(reqwest::Method::GET, "/ci/runs").query(&all.collect::<Vec<_>>());
        let answer = tests::Answer::to(request.bearer_auth(stack.ci_token())).await.expect(200);
        let mut found: Vec<usize> = ids(&[answer.json()])
            .iter()
            .map(|id| runs.iter().position(|run| run.run_id == *id).expect("a run of this test"))
            .collect();
        found.sort_unstable();
        found
    };
    assert_eq!(found(&[]).await, [0, 1, 2, 3, 4]);
    assert_eq!(found(&[("command", "make test")]).await, [3, 4]);
    assert_eq!(found(&[("environment", "jenkins"), ("command", "make check")]).await, [0, 1]);
    assert_eq!(found(&[("status", "cancelled")]).await, [2]);
    assert_eq!(found(&[("from", "2025-11-08"), ("to", "2025-11-08")]).await, [1, 2, 3], "both days whole");
    assert_eq!(found(&[("from", "2025-11-08T00:00:00Z"), ("to", "2025-11-08T12:00:00Z")]).await, [1]);
    assert_eq!(found(&[("from", "2025-11-09T01:00:00+01:00")]).await, [4]);
    assert_eq!(found(&[("to", "2025-11-07")]).await, [0]);
    assert_eq!(found(&[("environment", "JENKINS")]).await, Vec::<usize>::new());
}

#[tokio::test]
async fn a_page_of_large_documents_is_shorter_and_nothing_is_lost() {
    let stack = Stack::from_env().await;
    let service = unique("large");
    let mut runs = CiRun::series(&service, at("2025-11-08T00:00:00Z"), &[5.0; 12]);
    runs.iter_mut().for_each(|run| run.extra = json!({"log": "x".repeat(1 << 20)}));
    stack.database.insert_runs(&runs).await;
    // Without the right to see the documents' other fields, all runs fit on one page.
    let pages = stack.ci_pages(&format!("runs?service={service}&limit=100")).await;
    assert_eq!((ids(&pages), pages.len()), (newest_first(&runs), 1));

    let token = stack.issuer.token("ci-reader", &[], "analytics:ci:read analytics:ci:pii");
    let mut pages: Vec<Value> = Vec::new();
    let mut cursor = String::new();
    while pages.len() < runs.len() {
        let path = format!("/ci/runs?service={service}&limit=100{cursor}");
        let page: Value = stack.api.get(&path, &token).await.expect(200).json();
        let next = page["nextCursor"].as_str().map(|next| format!("&cursor={next}"));
        pages.push(page);
        match next {
            Some(next) => cursor = next,
            None => break,
        }
    }
    assert_eq!(ids(&pages), newest_first(&runs));
    assert!(pages.len() > 3, "{} pages", pages.len());
    assert!(pages[0]["items"][0]["extra"]["log"].as_str().is_some_and(|log| log.len() == 1 << 20));
}

/// A kept connection serves other requests, with limits of their own.
#[tokio::test]
async fn a_report_leaves_neither_its_timeout_nor_its_transaction_on_the_connection() {
    let client = Database::from_env("tests").unwrap().connect().await.unwrap();
    let check = async |after: &str| {
        let query = "select current_setting('statement_timeout'), now() = statement_timestamp()";
        let answer = client.simple_query(query).await.unwrap();
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((row.get(0), row.get(1))),
            _ => None,
        });
        assert_eq!(row, Some((Some("0"), Some("t"))), "after {after}");
    };
    check("nothing").await;
    let filter = Filter::default();
    let read = || reports::runs(&client, &filter, None, false, 1, None, Duration::from_secs(5));
    read().await.unwrap();
    check("a report").await;
    // The first poll sends the start of the transaction.
    assert!(read().now_or_never().is_none(), "a report takes a round trip");
    check("a report that nobody waits for").await;
}
