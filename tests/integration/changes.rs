//! What changed between files, or between a file and the present figures: as a list, as an adjustment, and by the sums of
//! days after a file has expired.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use reqwest::Method;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tests::{
    Answer, CsvFile, Export, Organization, Rollup, Stack, Sums, Table, organization::export_of, stack::variable,
};
use uuid::Uuid;

/// The rows of files, by bucket and model.
type Rows = BTreeMap<(Timestamp, Option<Uuid>), Sums>;

const HEADER: &str = "bucket_start,organization_id,model_id,request_count,tokens_total,error_count,cost_total\n";

fn january() -> Value {
    export_of("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "daily")
}

async fn changes(org: &Organization<'_>, job: Uuid, query: &str) -> Answer {
    org.get(&format!("/{job}/changes?{query}")).await
}

async fn list(org: &Organization<'_>, job: Uuid, query: &str) -> Value {
    changes(org, job, query).await.expect(200).json()
}

async fn csv(org: &Organization<'_>, job: Uuid, query: &str) -> Answer {
    let path = org.path(&format!("/{job}/changes?{query}"));
    let request = org.stack.api.request(Method::GET, &path).bearer_auth(&org.token);
    Answer::to(request.header("accept", "text/csv")).await
}

/// Sums files and adjustments, row by row. A row of zeros is as no row.
fn sum(files: &[&[u8]], bucket: impl Fn(Timestamp) -> Timestamp) -> Rows {
    let mut rows = Rows::new();
    for row in files.iter().flat_map(|bytes| CsvFile::parse(bytes).rows) {
        let sums = rows.entry((bucket(row.bucket_start), row.model_id)).or_default();
        sums.request_count += row.request_count;
        sums.tokens_total += row.tokens_total;
        sums.error_count += row.error_count;
        sums.cost_total += row.cost_total.parse::<Decimal>().unwrap();
    }
    rows.retain(|_, sums| *sums != Sums::default());
    rows
}

fn rows(files: &[&[u8]]) -> Rows {
    sum(files, |bucket| bucket)
}

/// A file, and another after a row was added, one vanished, and one changed.
async fn two(org: &Organization<'_>) -> (Export, Export, [Uuid; 2]) {
    let models = [Uuid::from_u128(1), Uuid::from_u128(2)];
    let old = [
        Rollup::new("2024-01-01T00:00:00Z", Some(models[0]), [10, 200, 1], "1.5000"),
        Rollup::new("2024-01-01T00:00:00Z", None, [1, 2, 0], "-0.2500"),
        Rollup::new("2024-01-02T00:00:00Z", Some(models[0]), [5, 6, 0], "0.1"),
        Rollup::new("2024-01-03T00:00:00Z", Some(models[1]), [7, 8, 0], "3"),
    ];
    org.insert(Table::Daily, &old).await;
    let old = org.export(&january()).await;
    let client = &org.stack.database.client;
    let change =
        "update analytics_daily_rollups set request_count = request_count + 3, cost_total = cost_total + 15.5598
                  where organization_id = $1 and bucket_start = '2024-01-01T00:00:00Z' and model_id is null";
    let delete =
        "delete from analytics_daily_rollups where organization_id = $1 and bucket_start = '2024-01-02T00:00:00Z'";
    for statement in [change, delete] {
        assert_eq!(client.execute(statement, &[&org.id]).await.unwrap(), 1);
    }
    org.insert(Table::Daily, &[Rollup::new("2024-01-02T00:00:00Z", Some(models[1]), [9, 9, 9], "0.0001")]).await;
    let new = org.export(&january()).await;
    (old, new, models)
}

/// Lets a job's file expire, and removes it as the bucket's lifecycle does.
async fn expire(org: &Organization<'_>, job: Uuid) {
    let text = AttributeValue::S;
    let update = org.stack.dynamodb.update_item().table_name(variable("JOBS_TABLE"));
    let update = update.key("pk", text(format!("ORG#{}", org.id))).key("sk", text(format!("JOB#{job}")));
    let update = update.update_expression("set expires_at = :at");
    update.expression_attribute_values(":at", text("2024-03-01T00:00:00Z".to_owned())).send().await.unwrap();
    assert_eq!(org.show(job).await.status, "expired");
    let objects = &org.stack.objects;
    let key = format!("analytics/exports/{}/{job}.csv", org.id);
    objects.client.delete_object().bucket(&objects.bucket).key(key).send().await.unwrap();
}

#[tokio::test]
async fn an_old_file_and_its_adjustment_are_the_new_file() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let (old, new, models) = two(&org).await;
    let (id, other) = (old.job.job_id, new.job.job_id);

    let adjustment = csv(&org, id, &format!("against={other}")).await.expect(200);
    assert_eq!(adjustment.header("content-type"), Some("text/csv; charset=utf-8"));
    let name = adjustment.header("content-disposition").unwrap();
    assert!(name.starts_with("attachment; filename=\"adjustment-") && name.ends_with(".csv\""), "{name}");
    let line = |day: u8, model: Option<Uuid>, rest: &str| {
        format!("2024-01-0{day}T00:00:00Z,{},{},{rest}\n", org.id, model.map(|id| id.to_string()).unwrap_or_default())
    };
    let expected = [
        HEADER.to_owned(),
        line(1, None, "3,0,0,15.5598"),
        line(2, Some(models[0]), "-5,-6,0,-0.1000"),
        line(2, Some(models[1]), "9,9,9,0.0001"),
    ];
    assert_eq!(adjustment.text(), expected.concat());
    assert_eq!(rows(&[&old.bytes, &adjustment.body]), rows(&[&new.bytes]));
    // The present figures are those of the new file.
    assert_eq!(csv(&org, id, "against=current").await.expect(200).text(), adjustment.text());
    for (job, against) in [(id, id.to_string()), (other, other.to_string()), (other, "current".to_owned())] {
        assert_eq!(csv(&org, job, &format!("against={against}")).await.expect(200).text(), HEADER);
    }
    let back = csv(&org, other, &format!("against={id}")).await.expect(200);
    assert_eq!(rows(&[&new.bytes, &back.body]), rows(&[&old.bytes]));

    let found = list(&org, id, &format!("against={other}")).await;
    assert_eq!((&found["level"], &found["against"], &found["notes"]), (&json!("row"), &json!(other), &Value::Null));
    assert_eq!(found["rows"], json!({"added": 1, "vanished": 1, "changed": 1, "unchanged": 2}));
    let totals = |job: &Export| {
        let totals = job.job.totals.as_ref().unwrap();
        json!({"requestCount": totals.request_count as i64, "tokensTotal": totals.tokens_total as i64,
               "errorCount": totals.error_count as i64, "costTotal": totals.cost_total})
    };
    assert_eq!((&found["totals"]["old"], &found["totals"]["new"]), (&totals(&old), &totals(&new)));
    assert_eq!(found["totals"]["difference"]["costTotal"], "15.4599");
    let items = found["items"].as_array().unwrap();
    let kinds: Vec<&str> = items.iter().map(|item| item["change"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["changed", "vanished", "added"]);
    let figures = |counts: [i64; 3], cost: &str| json!({"requestCount": counts[0], "tokensTotal": counts[1], "errorCount": counts[2], "costTotal": cost});
    assert_eq!(
        items[0],
        json!({"bucketStart": "2024-01-01T00:00:00Z", "change": "changed", "old": figures([1, 2, 0], "-0.2500"),
               "new": figures([4, 2, 0], "15.3098"), "difference": figures([3, 0, 0], "15.5598")})
    );
    assert_eq!((&items[1]["new"], &items[2]["old"]), (&Value::Null, &Value::Null));
    let present = list(&org, id, "against=current").await;
    assert_eq!((&present["items"], &present["against"]), (&found["items"], &json!("current")));
    assert!(present["completeness"]["status"].is_string() && found["completeness"].is_null(), "{present}");
}

#[tokio::test]
async fn pages_have_all_changes_and_each_has_the_totals() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let (old, new, _) = two(&org).await;
    let (id, other) = (old.job.job_id, new.job.job_id);
    let whole = list(&org, id, &format!("against={other}")).await;
    let mut items = Vec::new();
    let mut cursor = String::new();
    for page in 1..=3 {
        let found = list(&org, id, &format!("against={other}&limit=1{cursor}")).await;
        assert_eq!((&found["totals"], &found["rows"]), (&whole["totals"], &whole["rows"]));
        items.extend(found["items"].as_array().unwrap().clone());
        match found["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => assert_eq!(page, 3),
        }
    }
    assert_eq!(Value::from(items), whole["items"]);
    // A cursor is of one list.
    let mistake = changes(&org, id, &format!("against=current{cursor}")).await.problem(400, "invalid-request");
    assert_eq!(mistake.errors[0].pointer, "/query/cursor");
    let mistake = csv(&org, id, &format!("against={other}&limit=1")).await.problem(400, "invalid-request");
    assert_eq!(mistake.errors[0].pointer, "/query/limit");
}

#[tokio::test]
async fn the_days_of_an_expired_file_stay_known() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let (old, new, _) = two(&org).await;
    let (id, other) = (old.job.job_id, new.job.job_id);
    // A daily file is its own days.
    let key = format!("analytics/days/{}/{id}.csv", org.id);
    let kept = stack.objects.client.get_object().bucket(&stack.objects.bucket).key(key).send().await.unwrap();
    assert_eq!(kept.body.collect().await.unwrap().to_vec(), old.bytes);
    let by_rows = list(&org, id, &format!("against={other}")).await;
    let by_days = list(&org, id, &format!("against={other}&level=day")).await;
    assert_eq!((&by_days["level"], &by_days["items"]), (&json!("day-model"), &by_rows["items"]));

    expire(&org, id).await;
    for against in [other.to_string(), "current".to_owned()] {
        let found = list(&org, id, &format!("against={against}")).await;
        assert_eq!((&found["level"], &found["items"]), (&json!("day-model"), &by_rows["items"]));
        assert_eq!((&found["totals"], &found["rows"]), (&by_rows["totals"], &by_rows["rows"]));
        let note = found["notes"][0].as_str().unwrap();
        assert!(note.contains(&id.to_string()) && note.contains("expired"), "{note}");
        for gone in [
            changes(&org, id, &format!("against={against}&level=row")).await,
            csv(&org, id, &format!("against={against}")).await,
        ] {
            let problem = gone.problem(404, "export-expired");
            assert!(problem.detail.contains("level=day"), "{problem:?}");
        }
        let adjustment = csv(&org, id, &format!("against={against}&level=day")).await.expect(200);
        assert_eq!(rows(&[&old.bytes, &adjustment.body]), rows(&[&new.bytes]));
    }
    // The other way round, too.
    let back = csv(&org, other, &format!("against={id}&level=day")).await.expect(200);
    assert_eq!(rows(&[&new.bytes, &back.body]), rows(&[&old.bytes]));
}

#[tokio::test]
async fn hours_become_days_and_many_models_days_without_them() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    // 40 hours of 1,300 models: with models, the sums of both days would have more than 256 KiB.
    let insert = "insert into analytics_hourly_rollups
        (organization_id, bucket_start, model_id, request_count, tokens_total, error_count, cost_total)
        select $1, '2024-01-05T00:00:00Z'::timestamptz + hour * interval '1 hour',
               ('00000000-0000-4000-8000-' || lpad(to_hex(model), 12, '0'))::uuid, hour + 1, model, 0, 0.0125 * model
        from generate_series(0, 39) hour, generate_series(1, $2::int) model";
    let client = &stack.database.client;
    client.execute(insert, &[&org.id, &1300_i32]).await.unwrap();
    let request = export_of("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "hourly");
    let old = org.export(&request).await;
    let change = "update analytics_hourly_rollups set tokens_total = tokens_total + 1, cost_total = cost_total + 0.5
                  where organization_id = $1";
    client.execute(change, &[&org.id]).await.unwrap();
    let new = org.export(&request).await;
    let (id, other) = (old.job.job_id, new.job.job_id);

    // 52,000 changed rows are more than an answer can have.
    let problem = csv(&org, id, &format!("against={other}")).await.problem(409, "changes-too-large");
    assert!(problem.detail.contains("level=day") && problem.detail.contains("analytics changes"), "{problem:?}");
    let found = list(&org, id, &format!("against={other}&limit=5000")).await;
    assert_eq!(found["rows"], json!({"added": 0, "vanished": 0, "changed": 52_000, "unchanged": 0}));
    assert_eq!((found["items"].as_array().unwrap().len(), found["nextCursor"].is_string()), (5000, true));
    assert_eq!(found["totals"]["difference"]["costTotal"], "26000.0000");

    let days = list(&org, id, &format!("against={other}&level=day")).await;
    assert_eq!((&days["level"], &days["totals"]), (&json!("day"), &found["totals"]));
    assert_eq!(days["items"].as_array().unwrap().len(), 2);
    assert_eq!(days["items"][0]["difference"]["tokensTotal"], 24 * 1300);
    assert!(days["notes"][0].as_str().unwrap().contains("models"), "{days}");
    csv(&org, id, &format!("against={other}&level=day")).await.problem(409, "not-comparable");
    expire(&org, id).await;
    let expired = list(&org, id, "against=current").await;
    assert_eq!((&expired["level"], &expired["items"]), (&json!("day"), &days["items"]));
    assert!(
        expired["notes"].as_array().unwrap().iter().any(|note| note.to_string().contains("has expired")),
        "{expired}"
    );
}

#[tokio::test]
async fn days_of_hours_are_their_sums() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let model = Some(Uuid::from_u128(1));
    let hours: Vec<Rollup> = (0..30)
        .flat_map(|hour| {
            let at = format!("2024-01-{:02}T{:02}:00:00Z", 5 + hour / 24, hour % 24);
            [Rollup::new(&at, model, [hour, 2, 0], "0.12345"), Rollup::new(&at, None, [1, hour, 1], "1")]
        })
        .collect();
    org.insert(Table::Hourly, &hours).await;
    let request = export_of("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "hourly");
    let old = org.export(&request).await;
    let delete =
        "delete from analytics_hourly_rollups where organization_id = $1 and bucket_start = '2024-01-06T02:00:00Z'";
    assert_eq!(stack.database.client.execute(delete, &[&org.id]).await.unwrap(), 2);
    let new = org.export(&request).await;
    let id = old.job.job_id;
    let midnight = |at: Timestamp| Timestamp::from_second(at.as_second() - at.as_second().rem_euclid(86_400)).unwrap();
    let check = async || {
        let adjustment = csv(&org, id, "against=current&level=day").await.expect(200);
        assert_eq!(CsvFile::parse(&adjustment.body).rows.len(), 2, "of the second day, with and without a model");
        assert_eq!(sum(&[&old.bytes, &adjustment.body], midnight), sum(&[&new.bytes], midnight));
    };
    check().await;
    expire(&org, id).await;
    check().await;
}

#[tokio::test]
async fn what_cannot_be_compared_is_refused() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let (old, _, models) = two(&org).await;
    let id = old.job.job_id;
    let february = org.export(&export_of("2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z", "daily")).await;
    let mut some = january();
    some["models"] = json!([models[0]]);
    let some = org.export(&some).await;
    for (other, what) in [(&february, "range"), (&some, "models")] {
        let problem = changes(&org, id, &format!("against={}", other.job.job_id)).await.problem(409, "not-comparable");
        assert!(problem.detail.contains(what), "{problem:?}");
    }
    // The last second of the month is as good as the next month's first.
    let same = org.export(&export_of("2024-01-01T00:00:00Z", "2024-01-31T23:59:59Z", "daily")).await;
    changes(&org, id, &format!("against={}", same.job.job_id)).await.expect(200);

    for (query, pointer) in [
        ("", "/query/against"),
        ("against=yesterday", "/query/against"),
        ("against=current&level=hour", "/query/level"),
        ("against=current&limit=5001", "/query/limit"),
        ("against=current&since=2024", "/query/since"),
    ] {
        let problem = changes(&org, id, query).await.problem(400, "invalid-request");
        assert_eq!(problem.errors[0].pointer, pointer, "{query}");
    }
    let unfinished = org.add_unqueued().await.id().uuid();
    changes(&org, unfinished, "against=current").await.problem(404, "export-not-ready");
    changes(&org, id, &format!("against={unfinished}")).await.problem(404, "export-not-ready");
    changes(&org, Uuid::now_v7(), "against=current").await.problem(404, "no-such-job");
    changes(&org, id, &format!("against={}", Uuid::now_v7())).await.problem(404, "no-such-job");

    let stranger = stack.organization();
    let theirs = stranger.export(&january()).await.job.job_id;
    changes(&org, id, &format!("against={theirs}")).await.problem(404, "no-such-job");
    changes(&stranger, id, "against=current").await.problem(404, "no-such-job");
    let path = org.path(&format!("/{id}/changes?against=current"));
    stack.api.get(&path, &stranger.token).await.problem(403, "forbidden");
    let creator = stack.issuer.token("ada", &[org.id], "analytics:exports:create analytics:usage:read");
    stack.api.get(&path, &creator).await.problem(403, "forbidden");
    let reader = stack.issuer.token("auditor", &[org.id], "analytics:exports:read");
    stack.api.get(&path, &reader).await.expect(200);
}

#[tokio::test]
async fn a_stored_file_that_was_changed_is_not_compared() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let (old, ..) = two(&org).await;
    let id = old.job.job_id;
    let put = async |folder: &str, text: String| {
        let objects = &stack.objects;
        let put =
            objects.client.put_object().bucket(&objects.bucket).key(format!("analytics/{folder}/{}/{id}.csv", org.id));
        put.body(text.into_bytes().into()).send().await.unwrap();
    };
    // Other figures, a line less, and no file.
    for (folder, query) in [("exports", "against=current"), ("days", "against=current&level=day")] {
        let good = old.text().to_owned();
        for bad in [
            good.replace("1.5000", "1.5001"),
            good[..good.trim_end().rfind('\n').unwrap() + 1].to_owned(),
            String::new(),
        ] {
            put(folder, bad).await;
            for answer in [changes(&org, id, query).await, csv(&org, id, query).await] {
                answer.problem(500, "internal");
            }
        }
        put(folder, good).await;
        changes(&org, id, query).await.expect(200);
    }
}
