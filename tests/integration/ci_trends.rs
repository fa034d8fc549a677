//! Runs, success and durations by day.

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tests::{CiRun, Stack, ci_runs::unique};

fn run(service: &str, at: &str, duration: u32, status: &'static str) -> CiRun {
    CiRun { status, ..CiRun::new(service, at.parse().unwrap(), Decimal::from(duration)) }
}

#[tokio::test]
async fn a_day_has_its_runs_its_success_rate_and_its_durations() {
    let stack = Stack::from_env().await;
    let service = unique("trends");
    // 20 successful runs of 1 to 20 seconds: by nearest rank p50 is the 10th and p95 the 19th.
    let mut runs: Vec<CiRun> = (1..=20).map(|n| run(&service, "2025-11-08T12:00:00Z", n, "success")).collect();
    runs.extend((0..4).map(|_| run(&service, "2025-11-08T23:59:59.999999Z", 9999, "failure")));
    runs.extend((0..3).map(|_| run(&service, "2025-11-08T00:00:00Z", 9999, "cancelled")));
    runs.push(run(&service, "2025-11-09T00:00:00Z", 5, "cancelled"));
    runs.push(run(&service, "2025-11-10T00:00:00Z", 5, "failure"));
    runs.push(CiRun { environment: "jenkins".to_owned(), ..run(&service, "2025-11-08T12:00:00Z", 77, "success") });
    runs.push(CiRun { command: "make test".to_owned(), ..run(&service, "2025-11-08T12:00:00Z", 88, "success") });
    stack.database.insert_runs(&runs).await;
    let answer: Value = stack.ci(&format!("trends?service={service}")).await.expect(200).json();
    let day = |command: &str, environment: &str, day: &str, runs: u32, rest: Value| {
        let mut item =
            json!({"service": service, "command": command, "environment": environment, "day": day, "runs": runs});
        item.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        item
    };
    let durations = |rate: f64, p50: f64, p95: f64, max: f64| json!({"successRate": rate, "p50Seconds": p50, "p95Seconds": p95, "maxSeconds": max});
    assert_eq!(
        answer,
        json!({"items": [
            day("make check", "github-actions", "2025-11-08", 27, durations(20.0 / 24.0, 10.0, 19.0, 20.0)),
            day("make check", "github-actions", "2025-11-09", 1, json!({})),
            day("make check", "github-actions", "2025-11-10", 1, json!({"successRate": 0.0})),
            day("make check", "jenkins", "2025-11-08", 1, durations(1.0, 77.0, 77.0, 77.0)),
            day("make test", "github-actions", "2025-11-08", 1, durations(1.0, 88.0, 88.0, 88.0)),
        ]})
    );
    let pages = stack.ci_pages(&format!("trends?service={service}&limit=2")).await;
    let items: Vec<&Value> = pages.iter().flat_map(|page| page["items"].as_array().unwrap()).collect();
    assert_eq!(items, answer["items"].as_array().unwrap().iter().collect::<Vec<_>>());
    assert_eq!(pages.len(), 3);
    let one: Value =
        stack.ci(&format!("trends?service={service}&environment=jenkins&from=2025-11-08")).await.expect(200).json();
    assert_eq!(one["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_day_begins_at_midnight_utc() {
    let stack = Stack::from_env().await;
    let service = unique("midnight");
    let runs = ["2025-10-26T00:59:59+01:00", "2025-10-26T01:00:00+01:00", "2025-10-26T23:59:59.999999Z"]
        .map(|text| run(&service, &text.parse::<Timestamp>().unwrap().to_string(), 5, "success"));
    stack.database.insert_runs(&runs).await;
    let answer: Value = stack.ci(&format!("trends?service={service}")).await.expect(200).json();
    let days: Vec<(&str, u64)> = answer["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["day"].as_str().unwrap(), item["runs"].as_u64().unwrap()))
        .collect();
    assert_eq!(days, [("2025-10-25", 1), ("2025-10-26", 2)]);
}
