//! Jobs, usage and reconciliations state how complete their figures are.

use domain::Month;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tests::{
    Organization, Rollup, Stack, Table,
    job::{Completeness, ExportJob, JobList},
    lambda,
    organization::{Export, export_of},
    poll::{WAIT_TIMEOUT, until},
    stack::variable,
};

/// A month that is over and whose rollups are kept.
fn month() -> Month {
    Month::last_complete(Timestamp::now()).previous()
}

fn the_month(granularity: &str) -> Value {
    export_of(&month().start().to_string(), &month().end().to_string(), granularity)
}

/// An instant of the month, `minutes` after its start.
fn at(minutes: i64) -> Timestamp {
    month().start() + SignedDuration::from_mins(minutes)
}

async fn insert(org: &Organization<'_>, time: Timestamp, cost: &str) {
    let insert = format!(
        "insert into usage_events (event_id, organization_id, occurred_at, input_tokens, output_tokens, status,
             cost_usd)
         values (gen_random_uuid(), '{}', '{time}', 1, 2, 'success', {cost})",
        org.id
    );
    org.stack.database.client.batch_execute(&insert).await.unwrap();
}

async fn refresh() {
    lambda::invoke(&variable("REFRESH_FUNCTION"), &json!({})).await.unwrap();
}

async fn usage(org: &Organization<'_>) -> Value {
    let path = format!("/orgs/{}/usage?start={}&end={}", org.id, month().start(), month().end());
    org.stack.api.get(&path, &org.token).await.expect(200).json()
}

async fn reconciliation(org: &Organization<'_>, job: &ExportJob) -> Value {
    org.get(&format!("/{}/reconciliation?tolerancePercent=0", job.job_id)).await.expect(200).json()
}

fn completeness(answer: &Value) -> Completeness {
    serde_json::from_value(answer["completeness"].clone()).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// Exports until the figures are final: an open transaction of another test may hold the watermark for a moment.
async fn final_export(org: &Organization<'_>, body: &Value) -> Export {
    until("the figures are final", WAIT_TIMEOUT, async || {
        refresh().await;
        let export = org.export(body).await;
        let is_final = export.job.completeness.as_ref().is_some_and(|known| known.status == "final");
        if is_final { Ok(export) } else { Err(export.job) }
    })
    .await
}

#[tokio::test]
async fn a_file_names_what_was_not_in_it_and_tells_when_newer_figures_exist() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    insert(&org, at(5), "1").await;
    refresh().await;
    // The refresh of another test may be faster, so this is tried until it is not.
    let mut hours = 1..;
    let (export, usage, found) = until("an event waits", WAIT_TIMEOUT, async || {
        insert(&org, at(hours.next().unwrap() * 60), "1").await;
        let export = org.export(&the_month("hourly")).await;
        let usage = usage(&org).await;
        let found = reconciliation(&org, &export.job).await;
        let waits = completeness(&found).codes().contains(&"hours_waiting");
        if waits { Ok((export, usage, found)) } else { Err(found) }
    })
    .await;
    let known = export.job.completeness.clone().unwrap();
    assert_eq!((known.status.as_str(), known.codes()), ("provisional", vec!["hours_waiting"]), "{known:?}");
    assert_eq!((known.waiting_hours.len(), known.reasons[0].buckets), (1, 1), "{known:?}");
    assert!(known.watermark.unwrap() > month().end(), "{known:?}");
    let warning = &export.job.warnings[0];
    assert!(warning.starts_with("The figures are provisional: events are not counted yet (bucket "), "{warning}");
    assert_eq!(export.job.changed_since_export, Some(false));
    // The other answers say the same.
    for answer in [&usage, &found] {
        let there = completeness(answer);
        assert_eq!((there.status.as_str(), &there.waiting_hours), ("provisional", &known.waiting_hours), "{answer}");
    }
    assert_eq!(usage["warnings"].as_array().unwrap().len(), 1, "{usage}");
    let notes = found["notes"].to_string();
    assert!(notes.contains("The figures are provisional"), "{found}");

    let newer = final_export(&org, &the_month("hourly")).await;
    assert_eq!(newer.job.row_count, export.job.row_count.map(|rows| rows + 1));
    assert_eq!((newer.job.changed_since_export, newer.job.warnings.len()), (Some(false), 0), "{:?}", newer.job);
    let older = org.show(export.job.job_id).await;
    assert_eq!(older.changed_since_export, Some(true));
    assert_eq!(older.completeness, export.job.completeness, "what the file was is not changed by what came later");
    assert!(older.warnings.last().unwrap().starts_with("The figures of the range changed"), "{older:?}");
    // The list reads all of them at once.
    let list: JobList = org.get("?limit=100").await.expect(200).json();
    let changed: Vec<(Option<bool>, bool)> =
        list.items.iter().map(|job| (job.changed_since_export, job.job_id == newer.job.job_id)).collect();
    assert!(changed.iter().all(|&(changed, is_newest)| changed == Some(!is_newest)), "{changed:?}");
    let found = reconciliation(&org, &older).await;
    assert_eq!(completeness(&found).status, "final");
    assert_eq!((&found["status"], &found["changedSinceExport"]), (&json!("mismatch"), &json!(true)));
}

#[tokio::test]
async fn an_hour_that_cannot_be_counted_makes_the_file_provisional() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    // As a refresh leaves it that could not count the hour; it is tried again later.
    let fail = format!(
        "begin;
         insert into usage_events
             (event_id, organization_id, occurred_at, input_tokens, output_tokens, status, cost_usd)
         values (gen_random_uuid(), '{org}', '{hour}', 1, 2, 'success', 1);
         insert into usage_troubles
             (organization_id, bucket, bucket_start, kind, reason, sqlstate, first_at, last_at, next_try_at)
         values ('{org}', 'hour', '{hour}', 'failed', 'a check constraint is violated', '23514', now(), now(),
                 now() + interval '1 day');
         commit",
        org = org.id,
        hour = at(60)
    );
    org.stack.database.client.batch_execute(&fail).await.unwrap();
    refresh().await;
    let export = org.export(&the_month("daily")).await;
    let known = export.job.completeness.clone().unwrap();
    assert_eq!(known.status, "provisional");
    assert!(known.codes().contains(&"hours_failed"), "{known:?}");
    assert!(export.job.warnings[0].contains(&at(60).to_string()), "{:?}", export.job.warnings);
    let path = format!("/orgs/{}/usage/troubles", org.id);
    let listed: Value = stack.api.get(&path, &org.token).await.expect(200).json();
    let trouble = &listed["items"][0];
    assert_eq!((&trouble["bucketStart"], &trouble["sqlstate"]), (&json!(at(60)), &json!("23514")));
    assert!(trouble["nextTryAt"].is_string(), "{listed}");

    let allow = format!("update usage_troubles set next_try_at = '-infinity' where organization_id = '{}'", org.id);
    org.stack.database.client.batch_execute(&allow).await.unwrap();
    assert_eq!(final_export(&org, &the_month("daily")).await.job.row_count, Some(1));
    assert_eq!(org.show(export.job.job_id).await.changed_since_export, Some(true));
    let listed: Value = stack.api.get(&path, &org.token).await.expect(200).json();
    assert_eq!(listed, json!({"items": []}));
}

#[tokio::test]
async fn what_cannot_be_known_is_not_called_final() {
    let stack = Stack::from_env().await;
    // The rollups of another pipeline.
    let org = stack.organization();
    org.insert(Table::Daily, &[Rollup::new(&at(0).to_string(), None, [1, 2, 0], "1.0000")]).await;
    let job = org.export(&the_month("daily")).await.job;
    let known = job.completeness.unwrap();
    assert_eq!((known.status.as_str(), known.codes()), ("provisional", vec!["counted_elsewhere"]));
    assert_eq!(job.changed_since_export, None);
    assert_eq!(completeness(&usage(&org).await).codes(), ["counted_elsewhere"]);

    // No usage at all, of any pipeline: nothing that was received is missing.
    let org = stack.organization();
    let export = final_export(&org, &the_month("daily")).await;
    assert_eq!((export.job.row_count, export.job.warnings.len()), (Some(0), 0));

    // A range that is not over.
    let today = Timestamp::now().to_string()[..10].to_owned();
    let start = format!("{today}T00:00:00Z");
    let end = format!("{today}T23:59:59Z");
    let job = org.export(&export_of(&start, &end, "hourly")).await.job;
    assert!(job.completeness.as_ref().unwrap().codes().contains(&"range_not_over"), "{job:?}");
}

#[tokio::test]
async fn refused_events_are_counted_where_their_time_is() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let start = Timestamp::from_second((Timestamp::now().as_second() / 86_400 + 2) * 86_400).unwrap();
    insert(&org, start + SignedDuration::from_hours(5), "1").await;
    let end = start + SignedDuration::from_hours(24);
    let job = org.export(&export_of(&start.to_string(), &end.to_string(), "daily")).await.job;
    let known = job.completeness.unwrap();
    assert_eq!((known.refused_events, job.row_count), (1, Some(0)));
    assert!(job.warnings.last().unwrap().starts_with("1 event of the range"), "{:?}", job.warnings);
}

#[tokio::test]
async fn the_rounding_of_costs_is_stated_by_every_granularity() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    for (hour, cost) in [(4, "0.00004"), (5, "0.00004"), (29, "0.00003"), (53, "0.123456789012345678")] {
        insert(&org, at(hour * 60), cost).await;
    }
    for (granularity, total, rounding) in [
        ("hourly", "0.1235", "0.000066789012345678"),
        ("daily", "0.1236", "-0.000033210987654322"),
        ("monthly", "0.1236", "-0.000033210987654322"),
    ] {
        let job = final_export(&org, &the_month(granularity)).await.job;
        let stated = (job.totals.as_ref().unwrap().cost_total.as_str(), job.rounding_difference.as_deref());
        assert_eq!(stated, (total, Some(rounding)), "{granularity}");
        let found = reconciliation(&org, &job).await;
        assert_eq!(found["status"], "reconciled", "{found}");
        let expected = json!({"csv": rounding, "rollup": rounding, "raw": rounding});
        assert_eq!(found["roundingDifference"], expected, "{granularity}");
    }
}

#[tokio::test]
async fn days_that_are_not_whole_are_named() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let warns = |job: &ExportJob| job.warnings.iter().any(|warning| warning.contains("midnight UTC"));
    let start = at(600).to_string();
    let end = at(9 * 1440 + 600).to_string();
    for (granularity, expected) in [("hourly", false), ("daily", true), ("monthly", true)] {
        let job = org.create(&export_of(&start, &end, granularity)).await;
        assert_eq!(warns(&job), expected, "{granularity}: {job:?}");
    }
    assert!(!warns(&org.create(&the_month("daily")).await));
}
