//! Scheduled functions.

use std::{collections::BTreeSet, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};
use tests::{Rollup, Stack, Table, aws, job::JobList, lambda::call, poll::until, stack::variable};
use uuid::Uuid;

/// Returns the ARN of a function, and the rules that may invoke it.
async fn function(name: &str) -> (String, Vec<String>) {
    let path = format!("/2015-03-31/functions/{name}");
    let configuration: Value = call(Method::GET, &path, &Value::Null).await.expect(200).json();
    let arn = configuration["Configuration"]["FunctionArn"].as_str().unwrap().to_owned();
    // Everything invokes the alias, which a deploy moves.
    let arn = format!("{arn}:live");
    let policy: Value =
        call(Method::GET, &format!("{path}/policy?Qualifier=live"), &Value::Null).await.expect(200).json();
    let policy: Value = serde_json::from_str(policy["Policy"].as_str().unwrap()).unwrap();
    let allowed = policy["Statement"].as_array().unwrap().iter().filter(|statement| {
        statement["Principal"]["Service"] == "events.amazonaws.com" && statement["Action"] == "lambda:InvokeFunction"
    });
    let allowed =
        allowed.map(|statement| statement["Condition"]["ArnLike"]["AWS:SourceArn"].as_str().unwrap().to_owned());
    (arn, allowed.collect())
}

#[tokio::test]
async fn each_task_has_a_rule_that_may_fire_it() {
    let rules = aws::events("ListRules", &json!({})).await;
    let rules = rules["Rules"].as_array().unwrap();
    for (name, schedule) in [
        ("SWEEP_FUNCTION", "rate(5 minutes)"),
        ("REFRESH_FUNCTION", "rate(5 minutes)"),
        ("RETENTION_FUNCTION", "cron(30 2 * * ? *)"),
        ("RECONCILE_FUNCTION", "cron(15 5 * * ? *)"),
        ("MONTHLY_FUNCTION", "cron(0 3-8 * * ? *)"),
    ] {
        let (arn, allowed) = function(&variable(name)).await;
        let mut fired_by = BTreeSet::new();
        for rule in rules.iter().filter(|rule| !rule["Name"].as_str().unwrap().starts_with("test-")) {
            let targets = aws::events("ListTargetsByRule", &json!({"Rule": rule["Name"]})).await;
            if targets["Targets"].as_array().unwrap().iter().any(|target| target["Arn"] == arn.as_str()) {
                assert_eq!(
                    (rule["ScheduleExpression"].as_str(), rule["State"].as_str()),
                    (Some(schedule), Some("ENABLED"))
                );
                fired_by.insert(rule["Arn"].as_str().unwrap().to_owned());
            }
        }
        assert_eq!(fired_by.len(), 1, "{name}");
        assert!(fired_by.iter().all(|rule| allowed.contains(rule)), "{name}: {allowed:?}");
    }
}

/// Uses a rule of its own, since those of the template fire too rarely for a test.
#[tokio::test]
async fn a_schedule_reaches_its_function() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    org.insert(Table::Daily, &[Rollup::new("2020-02-29T00:00:00Z", None, [1, 2, 0], "0.5")]).await;
    let (arn, _) = function(&variable("MONTHLY_FUNCTION")).await;
    let rule = format!("test-{}", Uuid::new_v4());
    let created = aws::events("PutRule", &json!({"Name": rule, "ScheduleExpression": "cron(* * * * ? *)"})).await;
    let permission = json!({
        "StatementId": rule, "Action": "lambda:InvokeFunction", "Principal": "events.amazonaws.com",
        "SourceArn": created["RuleArn"],
    });
    let path = format!("/2015-03-31/functions/{}/policy", variable("MONTHLY_FUNCTION"));
    call(Method::POST, &path, &permission).await.expect(201);
    let event = json!({"month": "2020-02"}).to_string();
    let target = json!({"Id": "1", "Arn": arn, "Input": event});
    aws::events("PutTargets", &json!({"Rule": rule, "Targets": [target]})).await;

    let job = until("the export is there", Duration::from_secs(150), async || {
        let jobs: JobList = org.get("").await.expect(200).json();
        jobs.items.into_iter().next().ok_or("no job")
    })
    .await;
    aws::events("RemoveTargets", &json!({"Rule": rule, "Ids": ["1"]})).await;
    aws::events("DeleteRule", &json!({"Name": rule})).await;
    call(Method::DELETE, &format!("{path}/{rule}"), &Value::Null).await;
    assert_eq!((job.time_range.start.as_str(), job.granularity.as_str()), ("2020-02-01T00:00:00Z", "daily"));
}
