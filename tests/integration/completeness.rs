//! Jobs, usage and reconciliations state how complete their figures are.

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

const START: &str = "2024-01-01T00:00:00Z";
const END: &str = "2024-02-01T00:00:00Z";

fn january(granularity: &str) -> Value {
    export_of(START, END, granularity)
}

async fn insert(org: &Organization<'_>, time: &str, cost: &str) {
    let insert = format!(
        "insert into usage_events (event_id, organization_id, occurred_at, input_tokens, output_tokens, status, cost_usd)
         values (gen_random_uuid(), '{}', '{time}', 1, 2, 'success', {cost})",
        org.id
    );
    org.stack.database.client.batch_execute(&insert).await.unwrap();
}

async fn refresh() {
    lambda::invoke(&variable("REFRESH_FUNCTION"), &json!({})).await.unwrap();
}

async fn usage(org: &Organization<'_>) -> Value {
    let path = format!("/orgs/{}/usage?start={START}&end={END}", org.id);
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
    insert(&org, "2024-01-03T04:05:06Z", "1").await;
    refresh().await;
    // The refresh of another test may be faster, so this is tried until it is not.
    let mut hours = 0..;
    let (export, usage, found) = until("an event waits", WAIT_TIMEOUT, async || {
        let hour = hours.next().unwrap();
        insert(&org, &format!("2024-01-{:02}T{:02}:30:00Z", 5 + hour / 24, hour % 24), "1").await;
        let export = org.export(&january("hourly")).await;
        let usage = usage(&org).await;
        let found = reconciliation(&org, &export.job).await;
        let waits = completeness(&found).codes().contains(&"hours_waiting");
        if waits { Ok((export, usage, found)) } else { Err(found) }
    })
    .await;
    let known = export.job.completeness.clone().unwrap();
    assert_eq!((known.status.as_str(), known.codes()), ("provisional", vec!["hours_waiting"]), "{known:?}");
    assert_eq!((known.waiting_hours.len(), known.reasons[0].buckets), (1, 1), "{known:?}");
    assert!(known.watermark.unwrap() > END.parse::<Timestamp>().unwrap(), "{known:?}");
    let warning = &export.job.warnings[0];
    assert!(
        warning.starts_with("The figures are provisional: events are not counted yet (bucket 2024-01-"),
        "{warning}"
    );
    assert_eq!(export.job.changed_since_export, Some(false));
    // The other answers say the same.
    for answer in [&usage, &found] {
        let there = completeness(answer);
        assert_eq!((there.status.as_str(), &there.waiting_hours), ("provisional", &known.waiting_hours), "{answer}");
    }
    assert_eq!(usage["warnings"].as_array().unwrap().len(), 1, "{usage}");
    let notes = found["notes"].to_string();
    assert!(notes.contains("The figures are provisional"), "{found}");

    let newer = final_export(&org, &january("hourly")).await;
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
    let name = format!("refuse_{}", org.id.simple());
    // Refuses this organization's rollups alone.
    let refuse = format!(
        "create function {name}() returns trigger language plpgsql as $$ begin raise 'refused'; end $$;
         create trigger {name} before insert on analytics_hourly_rollups for each row
         when (new.organization_id = '{}') execute function {name}()",
        org.id
    );
    stack.database.client.batch_execute(&refuse).await.unwrap();
    insert(&org, "2024-01-03T04:05:06Z", "1").await;
    refresh().await;
    let export = org.export(&january("daily")).await;
    let known = export.job.completeness.clone().unwrap();
    assert_eq!(known.status, "provisional");
    assert!(known.codes().contains(&"hours_failed"), "{known:?}");
    assert!(export.job.warnings[0].contains("2024-01-03T04:00:00Z"), "{:?}", export.job.warnings);

    let allow = format!(
        "drop function {name}() cascade;
         update usage_troubles set next_try_at = '-infinity' where organization_id = '{}'",
        org.id
    );
    stack.database.client.batch_execute(&allow).await.unwrap();
    assert_eq!(final_export(&org, &january("daily")).await.job.row_count, Some(1));
    assert_eq!(org.show(export.job.job_id).await.changed_since_export, Some(true));
}

#[tokio::test]
async fn what_cannot_be_known_is_not_called_final() {
    let stack = Stack::from_env().await;
    // The rollups of another pipeline.
    let org = stack.organization();
    org.insert(Table::Daily, &[Rollup::new("2024-01-01T00:00:00Z", None, [1, 2, 0], "1.0000")]).await;
    let job = org.export(&january("daily")).await.job;
    let known = job.completeness.unwrap();
    assert_eq!((known.status.as_str(), known.codes()), ("provisional", vec!["counted_elsewhere"]));
    assert_eq!(job.changed_since_export, None);
    assert_eq!(completeness(&usage(&org).await).codes(), ["counted_elsewhere"]);

    // No usage at all, of any pipeline: nothing that was received is missing.
    let org = stack.organization();
    let export = final_export(&org, &january("daily")).await;
    assert_eq!((export.job.row_count, export.job.warnings.len()), (Some(0), 0));

    // A range that is not over.
    let today = Timestamp::now().to_string()[..10].to_owned();
    let (start, end) = (format!("{today}T00:00:00Z"), format!("{today}T23:59:59Z"));
    let job = org.export(&export_of(&start, &end, "hourly")).await.job;
    assert!(job.completeness.as_ref().unwrap().codes().contains(&"range_not_over"), "{job:?}");
}

#[tokio::test]
async fn refused_events_are_counted_where_their_time_is() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let start = Timestamp::from_second((Timestamp::now().as_second() / 86_400 + 2) * 86_400).unwrap();
    insert(&org, &(start + SignedDuration::from_hours(5)).to_string(), "1").await;
    let end = start + SignedDuration::from_hours(24);
    let job = org.export(&export_of(&start.to_string(), &end.to_string(), "daily")).await.job;
    let known = job.completeness.unwrap();
    assert_eq!((known.refused_events, job.row_count), (1, Some(0)));
    assert!(job.warnings.last().unwrap().starts_with("1 events of the range were refused"), "{:?}", job.warnings);
}

#[tokio::test]
async fn the_rounding_of_costs_is_stated_by_every_granularity() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    for (time, cost) in [
        ("2024-01-03T04:05:06Z", "0.00004"),
        ("2024-01-03T05:05:06Z", "0.00004"),
        ("2024-01-04T05:05:06Z", "0.00003"),
        ("2024-01-05T05:05:06Z", "0.123456789012345678"),
    ] {
        insert(&org, time, cost).await;
    }
    for (granularity, total, rounding) in [
        ("hourly", "0.1235", "0.000066789012345678"),
        ("daily", "0.1236", "-0.000033210987654322"),
        ("monthly", "0.1236", "-0.000033210987654322"),
    ] {
        let job = final_export(&org, &january(granularity)).await.job;
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
    for (granularity, expected) in [("hourly", false), ("daily", true), ("monthly", true)] {
        let job = org.create(&export_of("2024-01-01T10:00:00Z", "2024-01-09T10:00:00Z", granularity)).await;
        assert_eq!(warns(&job), expected, "{granularity}: {job:?}");
    }
    assert!(!warns(&org.create(&january("daily")).await));
}
