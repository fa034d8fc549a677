//! One organization cannot use up the service: its calls of a day are limited.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use serde_json::Value;
use tests::{Answer, Organization, Stack, organization::export_of, stack::variable};

/// Sets an organization's counts of a day.
async fn set(org: &Organization<'_>, day: Timestamp, exports: u32, downloads: u32, queries: u32) {
    let put = org.stack.dynamodb.put_item().table_name(variable("JOBS_TABLE"));
    let put = put.item("pk", AttributeValue::S(format!("LIMIT#{}", org.id)));
    let put = put.item("sk", AttributeValue::S(format!("DAY#{}", day.strftime("%Y-%m-%d"))));
    let number = |number: u32| AttributeValue::N(number.to_string());
    let put = put.item("exports", number(exports)).item("downloads", number(downloads));
    put.item("queries", number(queries)).send().await.unwrap();
}

fn refused(answer: &Answer) {
    let problem = answer.problem(429, "daily-limit");
    assert!(problem.detail.contains("Wait for the next one"), "{problem:?}");
    let seconds: u32 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=86_400).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn the_calls_of_an_organization_and_day_are_limited() {
    let stack = Stack::from_env().await;
    let (org, other) = (stack.organization(), stack.organization());
    let body = export_of("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", "daily");
    let job = org.export(&body).await.job.job_id;
    let usage = format!("/orgs/{}/usage?start=2024-01-01T00:00:00Z&end=2024-01-02T00:00:00Z", org.id);
    let get = async |path: &str| stack.api.get(path, &org.token).await;
    get(&usage).await.expect(200);

    // The last one of each kind, in a day that does not end meanwhile.
    let now = Timestamp::now();
    set(&org, now, 999, 4_999, 19_999).await;
    org.create(&body).await;
    refused(&org.post(&body).await);
    org.get(&format!("/{job}/download")).await.expect(302);
    refused(&org.get(&format!("/{job}/download")).await);
    get(&usage).await.expect(200);
    refused(&get(&usage).await);
    refused(&org.get(&format!("/{job}/reconciliation")).await);

    // Neither what is not counted, nor others, nor another day are affected.
    let list: Value = org.get("").await.expect(200).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    org.get(&format!("/{job}")).await.expect(200);
    other.create(&body).await;
    set(&other, now - jiff::SignedDuration::from_hours(24), 1_000, 5_000, 20_000).await;
    other.create(&body).await;
}
