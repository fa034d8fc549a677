//! Reconciliation: a file's sums against those of the rollups and of the raw events.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use tests::{Organization, Rollup, Stack, Table, lambda, organization::export_of, stack::variable};
use uuid::Uuid;

const COLUMNS: [&str; 4] = ["request_count", "tokens_total", "error_count", "cost_total"];

async fn reconcile(org: &Organization<'_>, job: Uuid, query: &str) -> Value {
    org.get(&format!("/{job}/reconciliation{query}")).await.expect(200).json()
}

/// A column of a reconciliation.
fn column<'a>(found: &'a Value, name: &str) -> &'a Value {
    let columns = found["columns"].as_array().unwrap();
    columns.iter().find(|column| column["column"] == name).unwrap_or_else(|| panic!("{name}: {found}"))
}

/// Events of three models and of none, at all hours of January, with every status, and the rollups made of them.
async fn add_events(org: &Organization<'_>) {
    let insert = format!(
        "insert into usage_events
             (event_id, organization_id, model_id, occurred_at, input_tokens, output_tokens, status, cost_usd)
         select gen_random_uuid(), '{}', case when n % 4 > 0 then md5((n % 4)::text)::uuid end,
                timestamptz '2024-01-01T00:00:00Z' + n * interval '89 minutes 7.3 seconds', n, 2 * n,
                (array['success', 'success', 'error', 'timeout', 'throttled'])[1 + n % 5], n * 0.0007
         from generate_series(0, 500) n",
        org.id
    );
    org.stack.database.client.batch_execute(&insert).await.unwrap();
    lambda::invoke(&variable("REFRESH_FUNCTION"), &json!({})).await.unwrap();
}

#[tokio::test]
async fn every_granularity_reconciles_exactly_with_rollups_and_raw_events() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    add_events(&org).await;
    for granularity in ["hourly", "daily", "monthly"] {
        let export = org.export(&export_of("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", granularity)).await;
        for query in ["?tolerancePercent=0", "?tolerancePercent=0&verify=file"] {
            let found = reconcile(&org, export.job.job_id, query).await;
            assert_eq!(
                (&found["status"], &found["changedSinceExport"]),
                (&json!("reconciled"), &json!(false)),
                "{found}"
            );
            assert_eq!(found["jobId"], json!(export.job.job_id));
            assert_eq!(found["tolerancePercent"], 0.0);
            let names: Vec<&Value> =
                found["columns"].as_array().unwrap().iter().map(|column| &column["column"]).collect();
            assert_eq!(json!(names), json!(COLUMNS));
            // 501 events, of which three in five failed.
            let sums = [501, (0..=500).map(|n| 3 * n).sum(), 300].map(|sum: i64| sum.to_string());
            let sums = [&sums[0], &sums[1], &sums[2], "87.6750"];
            for (name, sum) in COLUMNS.into_iter().zip(sums) {
                let column = column(&found, name);
                assert_eq!(
                    (&column["csv"], &column["rollup"], &column["raw"]),
                    (&json!(sum), &json!(sum), &json!(sum))
                );
                assert_eq!((&column["differencePercent"], &column["rawDifferencePercent"]), (&json!(0.0), &json!(0.0)));
                assert_eq!(column["withinTolerance"], true);
            }
            let file = json!({
                "method": "read",
                "isIntact": true,
                "checksum": export.job.checksum,
                "rowCount": export.job.row_count,
            });
            assert_eq!(found.get("file"), query.contains("verify").then_some(&file));
        }
    }
}

#[tokio::test]
async fn a_part_of_a_month_and_one_model_reconcile_too() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    add_events(&org).await;
    let model = "c4ca4238-a0b9-2382-0dcc-509a6f75849b"; // md5 of 1
    for granularity in ["hourly", "daily", "monthly"] {
        // Neither end is a bucket's.
        let mut body = export_of("2024-01-03T04:05:06Z", "2024-01-20T17:18:19Z", granularity);
        body["models"] = json!([model]);
        let export = org.export(&body).await;
        assert!(export.job.row_count > Some(0));
        let found = reconcile(&org, export.job.job_id, "?tolerancePercent=0&verify=file").await;
        assert_eq!(found["status"], "reconciled", "{granularity}: {found}");
        assert_eq!(column(&found, "tokens_total")["raw"], column(&found, "tokens_total")["csv"], "{found}");
    }
}

#[tokio::test]
async fn what_changed_after_the_export_is_told_with_its_figure() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let day = |day: &str, counts, cost: &str| Rollup::new(day, None, counts, cost);
    org.insert(Table::Daily, &[day("2024-01-01T00:00:00Z", [1000, 100_000, 0], "10.0000")]).await;
    let job = org.export(&export_of("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "daily")).await.job.job_id;
    // Late usage: 250 requests, and errors where there were none.
    org.insert(Table::Daily, &[day("2024-01-09T00:00:00Z", [250, 0, 5], "-0.0500")]).await;
    let found = reconcile(&org, job, "").await;
    assert_eq!((&found["status"], &found["changedSinceExport"]), (&json!("mismatch"), &json!(true)));
    assert_eq!(found["tolerancePercent"], 1.0);
    let shown = COLUMNS.map(|name| {
        let column = column(&found, name);
        assert_eq!(column.get("raw"), None, "the rollups are not of raw events");
        (
            column["csv"].as_str().unwrap(),
            column["rollup"].as_str().unwrap(),
            &column["differencePercent"],
            &column["withinTolerance"],
        )
    });
    let yes = &json!(true);
    let no = &json!(false);
    assert_eq!(shown[0], ("1000", "1250", &json!(-20.0), no), "a fifth of what there is now is missing");
    assert_eq!(shown[1], ("100000", "100000", &json!(0.0), yes));
    assert_eq!(shown[2], ("0", "5", &json!(-100.0), no));
    assert_eq!(shown[3], ("10.0000", "9.9500", &json!(0.502513), yes));
    let note = found["notes"][0].as_str().unwrap();
    assert!(note.contains("request_count by +250, error_count by +5, cost_total by -0.0500. Create a"), "{note}");

    assert_eq!(reconcile(&org, job, "?tolerancePercent=100").await["status"], "reconciled");
    assert_eq!(column(&reconcile(&org, job, "?tolerancePercent=0.5").await, "cost_total")["withinTolerance"], false);

    // Nothing is left of it: there is no percentage of nothing.
    let delete = format!("delete from analytics_daily_rollups where organization_id = '{}'", org.id);
    stack.database.client.batch_execute(&delete).await.unwrap();
    let found = reconcile(&org, job, "?tolerancePercent=100").await;
    let column = column(&found, "cost_total");
    assert_eq!((column.get("differencePercent"), &column["withinTolerance"]), (None, &json!(false)));
    assert_eq!(found["status"], "mismatch");
}

#[tokio::test]
async fn raw_events_that_the_rollups_miss_are_a_mismatch() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    add_events(&org).await;
    let job = org.export(&export_of("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "daily")).await.job.job_id;
    let delete = format!(
        "update analytics_daily_rollups set request_count = request_count - 6
         where organization_id = '{}' and bucket_start = '2024-01-05T00:00:00Z' and model_id is null",
        org.id
    );
    stack.database.client.batch_execute(&delete).await.unwrap();
    let found = reconcile(&org, job, "").await;
    let column = column(&found, "request_count");
    assert_eq!((&column["csv"], &column["rollup"], &column["raw"]), (&json!("501"), &json!("495"), &json!("501")));
    assert_eq!(column["differencePercent"], 1.212121);
    assert_eq!(column["rawDifferencePercent"], -1.197605);
    assert_eq!(found["status"], "mismatch");
}

#[tokio::test]
async fn a_file_that_is_not_the_one_that_was_written_is_found() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    org.insert(Table::Daily, &[Rollup::new("2024-01-01T00:00:00Z", None, [1, 2, 0], "10")]).await;
    let export = org.export(&export_of("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "daily")).await;
    let job = export.job.job_id;
    let key = format!("analytics/exports/{}/{}.csv", org.id, export.job.job_id);
    let (s3, bucket) = (&stack.objects.client, &stack.objects.bucket);

    let changed = export.text().replace("10.0000", "11.0000");
    s3.put_object().bucket(bucket).key(&key).body(changed.clone().into_bytes().into()).send().await.unwrap();
    let found = reconcile(&org, job, "?verify=file").await;
    assert_eq!((&found["status"], &found["file"]["isIntact"]), (&json!("mismatch"), &json!(false)));
    assert_eq!(found["file"]["checksum"], tests::csv_file::checksum(changed.as_bytes()));
    assert_eq!(
        (&column(&found, "cost_total")["csv"], &found["changedSinceExport"]),
        (&json!("11.0000"), &json!(false))
    );
    assert_eq!(column(&found, "cost_total")["differencePercent"], 10.0);
    // The totals that the worker took know nothing of it.
    assert_eq!(reconcile(&org, job, "").await["status"], "reconciled");

    s3.put_object().bucket(bucket).key(&key).body(b"<html>".to_vec().into()).send().await.unwrap();
    let found = reconcile(&org, job, "?verify=file").await;
    assert_eq!((&found["status"], &found["file"]), (&json!("mismatch"), &json!({"method": "read", "isIntact": false})));

    s3.delete_object().bucket(bucket).key(&key).send().await.unwrap();
    let found = reconcile(&org, job, "?verify=file").await;
    assert_eq!((&found["status"], &found["file"]), (&json!("mismatch"), &json!({"method": "read", "isIntact": false})));
    assert!(found["notes"][0].as_str().unwrap().contains("not the one that was written"));
}

#[tokio::test]
async fn a_large_file_is_not_read_here_and_one_of_before_is_left_to_its_reader() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let job = org.export(&export_of("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "daily")).await.job.job_id;
    let change = async |expression: &str| {
        let update = stack.dynamodb.update_item().table_name(variable("JOBS_TABLE"));
        let update = update
            .key("pk", AttributeValue::S(format!("ORG#{}", org.id)))
            .key("sk", AttributeValue::S(format!("JOB#{job}")))
            .update_expression(format!("set #file.#bytes = :bytes {expression}"))
            .expression_attribute_names("#file", "file")
            .expression_attribute_names("#bytes", "bytes")
            .expression_attribute_values(":bytes", AttributeValue::N("575000000".to_owned()));
        update.send().await.unwrap();
    };
    let path = format!("/{job}/reconciliation?verify=file");
    // The worker kept the store's tag, and the store has another size.
    change("").await;
    let found = reconcile(&org, job, "?verify=file").await;
    assert_eq!(
        (&found["status"], &found["file"]),
        (&json!("mismatch"), &json!({"method": "store", "isIntact": false}))
    );

    change("remove #file.e_tag, #file.store_checksum").await;
    let problem = org.get(&path).await.problem(409, "file-too-large");
    for part in ["575000000 bytes", "is not known of this one", "Download the file and compare its SHA-256"] {
        assert!(problem.detail.contains(part), "{}", problem.detail);
    }
    assert_eq!(reconcile(&org, job, "").await["status"], "reconciled");
}

#[tokio::test]
async fn only_a_finished_export_reconciles_and_only_for_those_who_may() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let other = stack.organization();
    let job = org.add_unqueued().await.id().uuid();
    let path = format!("/{job}/reconciliation");
    org.get(&path).await.problem(404, "export-not-ready");
    org.get(&format!("/{}/reconciliation", Uuid::new_v4())).await.problem(404, "no-such-job");
    stack.api.get(&org.path(&path), &other.token).await.problem(403, "forbidden");
    let token = stack.issuer.token("ada", &[org.id], "analytics:usage:read");
    stack.api.get(&org.path(&path), &token).await.problem(403, "forbidden");
    for (query, pointers) in [
        ("tolerancePercent=-1", &["/query/tolerancePercent"][..]),
        ("tolerancePercent=1%25&verify=yes", &["/query/tolerancePercent", "/query/verify"]),
        ("verify=", &["/query/verify"]),
        ("tolerance=1", &["/query/tolerance"]),
    ] {
        let problem = org.get(&format!("{path}?{query}")).await.problem(400, "invalid-request");
        assert_eq!(problem.pointers(), pointers, "{query}");
    }
}
