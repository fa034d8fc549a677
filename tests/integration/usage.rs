//! The usage of organizations in the API.

use serde_json::{Value, json};
use tests::{Rollup, Stack, Table, lambda, organization::export_of, stack::variable};
use uuid::Uuid;

const JANUARY: &str = "start=2024-01-01T00:00:00Z&end=2024-02-01T00:00:00Z";

fn path(org: Uuid, query: &str) -> String {
    format!("/orgs/{org}/usage?{query}")
}

#[tokio::test]
async fn usage_is_what_an_export_of_it_says() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let models = [Some(Uuid::from_u128(1)), Some(Uuid::from_u128(2)), None];
    let rollups = |day: &str| {
        let counts = [i64::MAX / 40, 100, 5];
        models.map(|model| Rollup::new(day, model, counts, "0.0007")).into_iter().collect::<Vec<_>>()
    };
    for day in ["2023-12-31T00:00:00Z", "2024-01-01T00:00:00Z", "2024-01-31T00:00:00Z", "2024-02-01T00:00:00Z"] {
        org.insert(Table::Daily, &rollups(day)).await;
    }
    for hour in ["2024-01-01T05:00:00Z", "2024-01-01T06:00:00Z"] {
        org.insert(Table::Hourly, &rollups(hour)).await;
    }
    for granularity in ["hourly", "daily", "monthly"] {
        let export = org.export(&export_of("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", granularity)).await;
        let query = format!("{JANUARY}&granularity={granularity}");
        let usage: Value = stack.api.get(&path(org.id, &query), &org.token).await.expect(200).json();
        assert_eq!((&usage["orgId"], &usage["granularity"]), (&json!(org.id), &json!(granularity)));
        assert_eq!(usage["timeRange"], json!({"start": "2024-01-01T00:00:00Z", "end": "2024-02-01T00:00:00Z"}));
        let rows: Vec<Value> = export
            .file()
            .rows
            .iter()
            .map(|row| {
                let mut entry = json!({
                    "bucketStart": row.bucket_start.to_string(), "requestCount": row.request_count,
                    "tokensTotal": row.tokens_total, "errorCount": row.error_count, "costTotal": row.cost_total,
                });
                if let Some(model) = row.model_id {
                    entry["modelId"] = json!(model);
                }
                entry
            })
            .collect();
        assert!(!rows.is_empty());
        assert_eq!(usage["series"], json!(rows), "{granularity}");
        let job: Value = org.get(&format!("/{}", export.job.job_id)).await.expect(200).json();
        assert_eq!(usage["totals"], job["totals"], "{granularity}");
        assert_eq!(usage["freshness"], json!({"lagSeconds": 0}), "nothing is known of an organization without events");
    }
    let query = format!("{JANUARY}&modelId={}", Uuid::from_u128(2));
    let usage: Value = stack.api.get(&path(org.id, &query), &org.token).await.expect(200).json();
    assert_eq!(usage["granularity"], "daily");
    assert_eq!(usage["totals"]["costTotal"], "0.0014");
    let series = usage["series"].as_array().unwrap();
    assert_eq!(series.len(), 2);
    assert!(series.iter().all(|entry| entry["modelId"] == json!(Uuid::from_u128(2))));
}

#[tokio::test]
async fn freshness_tells_what_is_not_in_the_figures_yet() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let insert = format!(
        "insert into usage_events (event_id, organization_id, occurred_at, input_tokens, output_tokens, status,
             cost_usd)
         values (gen_random_uuid(), '{}', '2024-01-05T06:07:08.9Z', 1, 2, 'success', 0.25)",
        org.id
    );
    stack.database.client.batch_execute(&insert).await.unwrap();
    lambda::invoke(&variable("REFRESH_FUNCTION"), &json!({})).await.unwrap();
    let usage: Value = stack.api.get(&path(org.id, JANUARY), &org.token).await.expect(200).json();
    assert_eq!(usage["totals"], json!({"requestCount": 1, "tokensTotal": 3, "errorCount": 0, "costTotal": "0.2500"}));
    let freshness = &usage["freshness"];
    assert_eq!((&freshness["lastEventAt"], &freshness["lagSeconds"]), (&json!("2024-01-05T06:07:08Z"), &json!(0)));
    assert!(freshness["lastRefreshAt"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn a_wrong_query_is_told_with_all_that_is_wrong() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    for (query, pointers) in [
        ("", &["/query/start", "/query/end"][..]),
        ("start=2024-01-01&end=2024-02-01T00:00:00Z", &["/query/start"]),
        ("start=2024-01-01T00:00:00Z&end=2024-02-01T00:00:01Z", &["/query/end"]),
        ("start=2024-01-01T00:00:00Z&end=2024-01-01T00:00:00Z", &["/query/end"]),
        (&format!("{JANUARY}&granularity=weekly&modelId=gpt"), &["/query/granularity", "/query/modelId"]),
        (&format!("{JANUARY}&model=x"), &["/query/model"]),
    ] {
        let problem = stack.api.get(&path(org.id, query), &org.token).await.problem(400, "invalid-request");
        assert_eq!(problem.pointers(), pointers, "{query}");
    }
}

#[tokio::test]
async fn a_long_series_comes_in_pages_with_the_totals_of_the_whole_range() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    // A thousand models in a month of days, and usage of no model.
    let insert = format!(
        "insert into analytics_daily_rollups
         select day, '{}', case when model > 0 then md5(model::text)::uuid end, 1, model, 0, 0.00004
         from generate_series(timestamptz '2024-01-01T00:00:00Z', '2024-01-31T00:00:00Z', interval '1 day') day,
              generate_series(0, 1000) model",
        org.id
    );
    stack.database.client.batch_execute(&insert).await.unwrap();
    // Pages end within a bucket, at its end, and after its last model.
    for limit in ["", "&limit=1000", "&limit=7007"] {
        let mut listed: Vec<(String, Option<String>)> = Vec::new();
        let mut cursor = String::new();
        loop {
            let query = format!("{JANUARY}&granularity=daily{limit}{cursor}");
            let usage: Value = stack.api.get(&path(org.id, &query), &org.token).await.expect(200).json();
            let lines = 31 * 1001;
            assert_eq!(usage["totals"]["requestCount"], lines);
            assert_eq!(usage["totals"]["tokensTotal"], 31 * 500_500);
            // Rounded line by line, as in a file: not the rounded sum of the costs.
            assert_eq!(usage["totals"]["costTotal"], "0.0000");
            for entry in usage["series"].as_array().unwrap() {
                let text = |name: &str| entry[name].as_str().map(str::to_owned);
                listed.push((text("bucketStart").unwrap(), text("modelId")));
            }
            let Some(next) = usage["nextCursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(listed.len(), 31 * 1001, "{limit}");
        let order = |(start, model): &(String, Option<String>)| (start.clone(), model.is_none(), model.clone());
        assert!(listed.is_sorted_by(|one, next| order(one) < order(next)), "{limit}: each entry once, in order");
    }
    let query = format!("{JANUARY}&granularity=daily&limit=1");
    let usage: Value = stack.api.get(&path(org.id, &query), &org.token).await.expect(200).json();
    let cursor = usage["nextCursor"].as_str().unwrap();
    let other = format!("{JANUARY}&granularity=hourly&cursor={cursor}");
    let problem = stack.api.get(&path(org.id, &other), &org.token).await.problem(400, "invalid-request");
    assert_eq!(problem.pointers(), ["/query/cursor"], "a cursor of another series");
}

#[tokio::test]
async fn usage_has_a_permission_of_its_own() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let get = async |scope: &str| {
        let token = stack.issuer.token("ada", &[org.id], scope);
        stack.api.get(&path(org.id, JANUARY), &token).await
    };
    get("analytics:usage:read").await.expect(200);
    get("analytics:exports:read analytics:exports:create").await.problem(403, "forbidden");
}

#[tokio::test]
async fn troubles_are_listed_in_pages_and_only_to_their_organization() {
    let stack = Stack::from_env().await;
    let (org, other) = (stack.organization(), stack.organization());
    // Two lengths of bucket begin at one instant.
    let insert = "insert into usage_troubles
                      (organization_id, bucket, bucket_start, kind, reason, events, first_at, last_at)
                  select $1, bucket, start, 'adopted', 'the rollups differ', 7, start, start + interval '1 hour'
                  from generate_series(timestamptz '2024-01-01Z', '2024-01-02Z', '1 day') start,
                       unnest(array['hour', 'day']) bucket";
    stack.database.client.execute(insert, &[&org.id]).await.unwrap();
    let route = format!("/orgs/{}/usage/troubles", org.id);
    let mut listed: Vec<(String, String)> = Vec::new();
    let mut query = "?limit=3".to_owned();
    loop {
        let page: Value = stack.api.get(&format!("{route}{query}"), &org.token).await.expect(200).json();
        for item in page["items"].as_array().unwrap() {
            let text = |name: &str| item[name].as_str().unwrap().to_owned();
            listed.push((text("bucketStart"), text("bucket")));
            assert_eq!(
                *item,
                json!({
                    "bucket": text("bucket"), "bucketStart": text("bucketStart"), "kind": "adopted",
                    "reason": "the rollups differ", "attempts": 1, "events": 7, "firstAt": text("bucketStart"),
                    "lastAt": text("bucketStart").replace("T00", "T01"),
                })
            );
        }
        let Some(next) = page["nextCursor"].as_str() else { break };
        query = format!("?limit=3&cursor={next}");
    }
    let expected = ["2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"]
        .into_iter()
        .flat_map(|start| ["day", "hour"].map(|bucket| (start.to_owned(), bucket.to_owned())));
    assert_eq!(listed, expected.collect::<Vec<_>>());

    stack.api.get(&route, &other.token).await.problem(403, "forbidden");
    let reader = stack.issuer.token("ada", &[org.id], "analytics:exports:read");
    stack.api.get(&route, &reader).await.problem(403, "forbidden");
    for (query, pointer) in [("cursor=abc", "/query/cursor"), ("limit=0", "/query/limit"), ("start=1", "/query/start")]
    {
        let problem = stack.api.get(&format!("{route}?{query}"), &org.token).await.problem(400, "invalid-request");
        assert_eq!(problem.pointers(), [pointer]);
    }
    let nothing: Value =
        stack.api.get(&format!("/orgs/{}/usage/troubles", other.id), &other.token).await.expect(200).json();
    assert_eq!(nothing, json!({"items": []}));
}
