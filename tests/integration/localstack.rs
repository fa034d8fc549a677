//! What reaches the functions on LocalStack otherwise than on the emulator: schedules. The suite `localstack` plays the
//! other ways with the tests of the other modules.

use std::time::Duration;

use jiff::Timestamp;
use tests::{Stack, aws, poll::until};

/// The stack's rule fires every two minutes.
const TURN: Duration = Duration::from_secs(240);

#[tokio::test]
#[ignore = "only on LocalStack, where the sweep's rule fires every two minutes: `cargo xtask test --suite localstack`"]
async fn a_rule_reaches_the_sweep_which_sends_a_lost_message() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let job = org.add_unqueued_until(Timestamp::now()).await.id().uuid();
    let ended = until("the job has run", TURN, async || {
        let job = org.show(job).await;
        if job.status == "succeeded" { Ok(job) } else { Err(job.status) }
    })
    .await;
    assert_eq!(ended.row_count, Some(0));
}

#[tokio::test]
#[ignore = "only on LocalStack, whose rules send to a queue: `cargo xtask test --suite localstack`"]
async fn each_schedule_of_the_template_is_a_rule() {
    let rules = aws::events("ListRules", &serde_json::json!({})).await;
    let rules = rules["Rules"].as_array().expect("a list");
    let mut found: Vec<(&str, &str)> = rules
        .iter()
        // That of events has a pattern instead.
        .filter_map(|rule| Some((rule["Name"].as_str().expect("a name"), rule["ScheduleExpression"].as_str()?)))
        .collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            ("analytics-exports-monthly", "cron(0 3-8 * * ? *)"),
            ("analytics-exports-reconcile", "cron(15 5 * * ? *)"),
            ("analytics-exports-refresh", "rate(5 minutes)"),
            ("analytics-exports-retention", "cron(30 2 * * ? *)"),
            ("analytics-exports-sweep", "rate(2 minutes)"),
        ]
    );
}
