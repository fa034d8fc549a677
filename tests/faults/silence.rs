//! Faults of which no error of a request tells. A metric of the sweep tells of each, and is zero once it is over.

use std::time::Duration;

use domain::Month;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tests::{
    Rollup, Table,
    aws::{encoded, iam},
    lambda::{insist, invoke},
    logs,
    poll::until,
    stack::variable,
};

use crate::{
    case::{Case, case},
    lambda,
    scene::{Found, Scene, daily},
};

pub(crate) const CASES: &[Case] = &[
    case!(silence_of_the_queue, "the API and the sweep lose the right to send to the queue", alone = true),
    case!(silence_of_the_worker, "the queue delivers nothing, and the sweep finds waiting jobs", alone = true),
    case!(silence_of_monthly_exports, "a column is renamed after the monthly exports were created", alone = true),
];

/// A policy that takes away the right to send, whatever the others give.
const REFUSAL: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"sqs:SendMessage","Resource":"*"}]}"#;

/// The newest line of the sweep since a moment.
async fn sweep_line(since: Timestamp) -> Value {
    until("the sweep's line is there", Duration::from_secs(15), async || {
        let lines = logs::metrics("sweep", "OldestUnfinishedSeconds", since).await;
        lines.into_iter().next_back().ok_or("no line")
    })
    .await
}

async fn silence_of_the_queue(scene: &Scene) -> Found {
    let roles = roles(&["ApiRole", "SweepRole"]).await;
    for role in &roles {
        let document = encoded(REFUSAL);
        iam("PutRolePolicy", &[("RoleName", role), ("PolicyName", "refusal"), ("PolicyDocument", &document)]).await;
    }
    let org = scene.small().await;
    let since = Timestamp::now();
    for _ in 0..2 {
        org.create(&daily()).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let first = invoke(&variable("SWEEP_FUNCTION"), &json!({})).await;
    let first_line = sweep_line(since).await;
    let between = Timestamp::now();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let second = invoke(&variable("SWEEP_FUNCTION"), &json!({})).await;
    let second_line = sweep_line(between).await;
    for role in &roles {
        iam("DeleteRolePolicy", &[("RoleName", role), ("PolicyName", "refusal")]).await;
    }
    for (answer, line) in [(&first, &first_line), (&second, &second_line)] {
        assert!(answer.as_ref().is_err_and(|error| error.contains("none of 2 due jobs")), "{answer:?}");
        assert_eq!((&line["SweepErrors"], &line["Due"]), (&json!(2), &json!(2)), "{line}");
    }
    let oldest = |line: &Value| line["OldestUnfinishedSeconds"].as_u64().unwrap();
    let (before, after) = (oldest(&first_line), oldest(&second_line));
    assert!(before >= 1 && after >= before + 3, "they wait since they were created: {before} s, {after} s");

    let found = scene.end(&org).await.expect(2, 1..=1);
    let healthy = Timestamp::now();
    lambda::sweep().await;
    let line = sweep_line(healthy).await;
    assert_eq!((&line["SweepErrors"], &line["OldestUnfinishedSeconds"]), (&json!(0), &json!(0)), "{line}");
    found.note(format!("the sweep failed twice; the oldest job had waited {before} s, then {after} s"))
}

async fn silence_of_the_worker(scene: &Scene) -> Found {
    lambda::deliver(false).await;
    let org = scene.small().await;
    let since = Timestamp::now();
    org.create(&daily()).await;
    // Longer than a message of this stack takes to count as lost.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let report = lambda::sweep().await;
    let line = sweep_line(since).await;
    let attributes = scene.stack.queue.attributes(&scene.stack.queue.url).await;
    lambda::deliver(true).await;
    let messages = attributes.iter().find(|(name, _)| name.as_str() == "ApproximateNumberOfMessages");
    assert_eq!((report.waiting, report.resent, report.due), (1, 0, 1), "{report:?}");
    assert_eq!(messages.map(|(_, count)| count.as_str()), Some("1"), "no copy is added");
    assert!(line["OldestUnfinishedSeconds"].as_u64() >= Some(11), "since it was sent: {line}");
    scene.end(&org).await.expect(1, 1..=1).note("no copy of its message was sent")
}

async fn silence_of_monthly_exports(scene: &Scene) -> Found {
    let now = Timestamp::now();
    let month = Month::last_complete(now);
    if now.duration_since(month.end()) < SignedDuration::from_hours(12) {
        return Found::default().note("not before noon of the 1st: the exports are not late yet");
    }
    let org = scene.stack.organization();
    org.insert(Table::Daily, &[Rollup::new(&month.start().to_string(), None, [1, 2, 0], "0.5")]).await;
    let client = &scene.stack.database.client;
    let rename = async |from: &str, to: &str| {
        let rename = format!("alter table analytics_daily_rollups rename column {from} to {to}");
        client.batch_execute(&rename).await.unwrap();
    };
    let worker = Timestamp::now();
    let monthly = async || insist(&variable("MONTHLY_FUNCTION"), &json!({"month": month})).await;
    rename("tokens_total", "tokens").await;
    let run = monthly().await;
    let failed = scene.end(&org).await;
    let since = Timestamp::now();
    lambda::sweep().await;
    let late = sweep_line(since).await;
    rename("tokens", "tokens_total").await;
    // Other cases may have usage of the month, too.
    assert_eq!(
        (run["created"].as_u64() >= Some(1), &run["failed"]),
        (true, &json!(0)),
        "the run itself is well: {run}"
    );
    assert_eq!((failed.succeeded, failed.failed), (0, 1));
    // No dead letter and no error of Lambda tells of it.
    let attempts = logs::metrics("worker", "JobsFailed", worker).await;
    let attempt = attempts.last().expect("the worker's line");
    assert_eq!((&attempt["JobsFailed"], &attempt["Code"]), (&json!(1), &json!("usage_unreadable")), "{attempt}");
    assert_eq!((&attempt["level"], &attempt["AttemptsFailed"]), (&json!("ERROR"), &json!(1)), "{attempt}");
    assert!(attempt["error"].as_str().is_some_and(|error| error.contains("tokens_total")), "the cause: {attempt}");
    assert_eq!((late["MonthlyUnsucceeded"].as_u64() >= Some(1), &late["level"]), (true, &json!("WARN")), "{late}");
    let days = now.duration_since(month.end()).as_hours() / 24;
    assert_eq!(late["MonthlyRunAgeDays"], json!(days), "{late}");

    // The next run replaces it.
    let again = monthly().await;
    assert_eq!(again["created"], run["created"], "{again}");
    let found = scene.end(&org).await;
    assert_eq!((found.succeeded, found.failed), (1, 1));
    until("all exports of the month have succeeded", lambda::TURN, async || {
        let since = Timestamp::now();
        lambda::sweep().await;
        let line = sweep_line(since).await;
        if line["MonthlyUnsucceeded"] == 0 { Ok(()) } else { Err(line) }
    })
    .await;
    found.note("the sweep told of it until the next run had replaced it")
}

/// Returns the names of the roles with these logical ids.
async fn roles(logical: &[&str]) -> Vec<String> {
    let xml = iam("ListRoles", &[]).await;
    let names: Vec<&str> = xml.split("<RoleName>").skip(1).filter_map(|rest| rest.split("</").next()).collect();
    let role = |logical: &&str| {
        let found = names.iter().find(|name| name.contains(*logical));
        (*found.unwrap_or_else(|| panic!("no role {logical} among {names:?}"))).to_owned()
    };
    logical.iter().map(role).collect()
}
