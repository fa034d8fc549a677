//! Schedules of organizations' own. Each test has a month of its own; the runs of other tests may make files of theirs for
//! these organizations too.

use domain::{Granularity, Job, JobFilter, Month, State, completeness::ReasonCode};
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Answer, Organization, Rollup, Stack, Table, lambda, stack::variable};

async fn set(org: &Organization<'_>, from: u32, settings: &Value) {
    let path = format!("/orgs/{}/settings", org.id);
    let request = org.stack.api.request(Method::PUT, &path).bearer_auth(&org.token);
    Answer::to(request.header("if-match", format!("\"{from}\"")).json(settings)).await.expect(200);
}

/// Invokes the function with the event of the schedule's rule at that time.
async fn hour(time: &str) -> Value {
    let event = json!({"source": "aws.events", "time": time, "detail": {}});
    lambda::invoke(&variable("MONTHLY_FUNCTION"), &event).await.unwrap()
}

/// The organization's jobs of a month, newest first.
async fn jobs(org: &Organization<'_>, month: &str) -> Vec<Job> {
    let range = month.parse::<Month>().unwrap().range().unwrap();
    let page = org.stack.jobs.list(org.id.into(), JobFilter::default(), 100, None).await.unwrap();
    page.jobs.into_iter().filter(|job| job.request().range == range).collect()
}

/// An organization with usage in a month, of another pipeline: it is final as soon as the month is over.
async fn organization<'a>(stack: &'a Stack, month: &str) -> Organization<'a> {
    let org = stack.organization();
    org.insert(Table::Daily, &[Rollup::new(&format!("{month}-05T00:00:00Z"), None, [1, 2, 0], "0.5")]).await;
    org
}

#[tokio::test]
async fn a_file_comes_on_its_day_once_and_with_its_buckets() {
    let stack = Stack::from_env().await;
    let month = "2016-01";
    let org = organization(&stack, month).await;
    set(&org, 0, &json!({"schedule": {"kind": "monthly", "day": 5, "granularity": "monthly"}})).await;
    for before in ["2016-02-01T03:00:00Z", "2016-02-01T08:00:00Z", "2016-02-04T08:00:00Z"] {
        let done = hour(before).await;
        assert!(done["ownSchedules"]["notYet"].as_u64() >= Some(1), "{done}");
        assert!(jobs(&org, month).await.is_empty(), "{before}");
    }
    let done = hour("2016-02-05T03:00:00Z").await;
    assert_eq!(done["month"], Value::Null, "no run of all organizations: {done}");
    let [job] = &jobs(&org, month).await[..] else { panic!("one export") };
    assert_eq!((job.request().granularity, job.subject().is_system()), (Granularity::Monthly, true));
    // Twice the same event, later days, two at once and a run by hand: nothing twice.
    hour("2016-02-05T03:00:00Z").await;
    tokio::join!(hour("2016-02-06T04:00:00Z"), hour("2016-02-06T04:00:00Z"));
    lambda::invoke(&variable("MONTHLY_FUNCTION"), &json!({"month": month})).await.unwrap();
    assert_eq!(jobs(&org, month).await.len(), 1);
    assert_eq!(org.ended(job.id().uuid()).await.status, "succeeded");
    // Other buckets later make no other file of the month.
    set(&org, 1, &json!({"schedule": {"kind": "monthly", "day": 3, "granularity": "daily"}})).await;
    hour("2016-02-07T03:00:00Z").await;
    assert_eq!(jobs(&org, month).await.len(), 1);
}

#[tokio::test]
async fn a_pass_that_was_missed_is_made_up_for() {
    let stack = Stack::from_env().await;
    let month = "2016-03";
    let org = organization(&stack, month).await;
    set(&org, 0, &json!({"schedule": {"kind": "monthly", "day": 5}})).await;
    hour("2016-04-20T06:00:00Z").await;
    assert_eq!(jobs(&org, month).await.len(), 1);
}

#[tokio::test]
async fn who_waits_for_late_usage_gets_the_file_after_these_days() {
    let stack = Stack::from_env().await;
    let month = "2016-05";
    let org = organization(&stack, month).await;
    set(&org, 0, &json!({"finalAfterDays": 3})).await;
    for before in ["2016-06-01T03:00:00Z", "2016-06-01T08:00:00Z", "2016-06-03T08:00:00Z"] {
        let done = hour(before).await;
        assert!(done["ownSchedules"]["waiting"].as_u64() >= Some(1), "{done}");
        assert!(jobs(&org, month).await.is_empty(), "{before}");
    }
    hour("2016-06-04T03:00:00Z").await;
    assert_eq!(jobs(&org, month).await.len(), 1);
}

#[tokio::test]
async fn a_month_that_never_becomes_final_has_its_file_on_the_28th() {
    let stack = Stack::from_env().await;
    let month = "2016-07";
    let org = stack.organization();
    let keep = format!(
        "insert into usage_troubles
             (organization_id, bucket, bucket_start, kind, reason, sqlstate, first_at, last_at, next_try_at)
         values ('{0}', 'hour', '2016-07-31T23:00:00Z', 'failed', 'a check constraint is violated', '23514', now(),
                 now(), now() + interval '1 day');
         insert into usage_events
             (event_id, organization_id, occurred_at, input_tokens, output_tokens, status, cost_usd)
         values (gen_random_uuid(), '{0}', '2016-07-31T23:30:00Z', 1, 2, 'success', 0.25)",
        org.id
    );
    stack.database.client.batch_execute(&keep).await.unwrap();
    set(&org, 0, &json!({"schedule": {"kind": "monthly", "day": "whenFinal"}})).await;
    for before in ["2016-08-01T08:00:00Z", "2016-08-28T07:00:00Z"] {
        hour(before).await;
        assert!(jobs(&org, month).await.is_empty(), "{before}");
    }
    let done = hour("2016-08-28T08:00:00Z").await;
    assert!(done["ownSchedules"]["provisional"].as_u64() >= Some(1), "{done}");
    let [job] = &jobs(&org, month).await[..] else { panic!("one export") };
    assert_eq!(org.ended(job.id().uuid()).await.completeness.unwrap().status, "provisional");
}

#[tokio::test]
async fn who_gives_the_schedule_up_is_not_left_without_a_file() {
    let stack = Stack::from_env().await;
    let month = "2016-09";
    let org = organization(&stack, month).await;
    set(&org, 0, &json!({"schedule": {"kind": "monthly", "day": 20, "granularity": "hourly"}})).await;
    hour("2016-10-01T03:00:00Z").await;
    assert!(jobs(&org, month).await.is_empty());
    set(&org, 1, &json!({})).await;
    hour("2016-10-10T03:00:00Z").await;
    let [job] = &jobs(&org, month).await[..] else { panic!("one export") };
    assert_eq!(job.request().granularity, Granularity::Daily);
}

/// The days apply wherever completeness is stated: in usage, in files and in reconciliations.
#[tokio::test]
async fn figures_are_provisional_for_the_days_of_the_settings() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    // Yesterday: it is over, and the settings say that usage may still arrive.
    let now = jiff::Timestamp::now();
    let day = now.as_second() - now.as_second().rem_euclid(86_400);
    let at = |second: i64| jiff::Timestamp::from_second(second).unwrap().to_string();
    let [start, end] = [at(day - 86_400), at(day)];
    org.insert(Table::Daily, &[Rollup::new(&start, None, [1, 2, 0], "0.5")]).await;
    let usage = format!("/orgs/{}/usage?start={start}&end={end}", org.id);
    let awaited = |completeness: &Value| completeness.to_string().contains("late_usage_awaited");
    let before: Value = stack.api.get(&usage, &org.token).await.expect(200).json();
    assert!(!awaited(&before["completeness"]), "{before}");

    set(&org, 0, &json!({"finalAfterDays": 2})).await;
    let after: Value = stack.api.get(&usage, &org.token).await.expect(200).json();
    assert_eq!(after["completeness"]["status"], "provisional");
    assert!(awaited(&after["completeness"]), "{after}");
    let body = json!({"timeRange": {"start": start, "end": end}, "granularity": "daily"});
    let job = org.create(&body).await;
    org.ended(job.job_id).await;
    let stored = stack.jobs.get(org.id.into(), job.job_id.into()).await.unwrap().unwrap();
    let State::Succeeded { file, .. } = stored.state() else { panic!("{stored:?}") };
    let reasons = &file.completeness.as_ref().unwrap().reasons;
    assert!(reasons.iter().any(|reason| reason.code == ReasonCode::LateUsageAwaited), "{reasons:?}");
    let found: Value = org.get(&format!("/{}/reconciliation", job.job_id)).await.expect(200).json();
    assert!(awaited(&found["completeness"]), "{found}");
}

#[tokio::test]
async fn the_tolerance_of_the_settings_is_the_default() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let job = org.create(&json!({"period": "2024-01"})).await.job_id;
    org.ended(job).await;
    let shown = async |query: &str| -> Value {
        let found: Value = org.get(&format!("/{job}/reconciliation{query}")).await.expect(200).json();
        found["tolerancePercent"].clone()
    };
    assert_eq!(shown("").await, json!(1.0));
    set(&org, 0, &json!({"tolerancePercent": 0.125})).await;
    assert_eq!((shown("").await, shown("?tolerancePercent=2").await), (json!(0.125), json!(2.0)));
    let path = org.path(&format!("/{job}/comparisons"));
    let entry = json!({"amount": "0", "currency": "USD", "reference": "JE-1"});
    let request = stack.api.request(Method::POST, &path).bearer_auth(&org.token).json(&entry);
    let compared: Value = Answer::to(request).await.expect(201).json();
    assert_eq!(compared["tolerancePercent"], json!(0.125));
}
