//! The scheduled exports. Each test has a month of its own, since a run covers all organizations.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{
    Action, AuditRecord, ExportRequest, Failure, Granularity, Job, JobFilter, Month, MonthlyRun, NewJob, Origin, State,
    Subject, Submission, monthly::FIRST_EDITION,
};
use futures_util::future::join_all;
use jiff::Timestamp;
use jobs::{Created, Key, new_job_id};
use serde_json::{Value, json};
use tests::{
    Organization, Rollup, Stack, Table, lambda,
    organization::{RETENTION, export_of},
    poll::{WAIT_TIMEOUT, until},
    rollup::expected_file,
    stack::variable,
};

/// Creates organizations with usage on the first and last day of the month, and on the days around it.
async fn organizations<'a>(stack: &'a Stack, month: &str, count: usize) -> Vec<Organization<'a>> {
    let range = month.parse::<Month>().unwrap().range().unwrap();
    let day = 86_400;
    let days = [range.start().as_second() - day, range.start().as_second(), range.end().as_second() - day]
        .into_iter()
        .chain([range.end().as_second()]);
    let rollups: Vec<Rollup> = days
        .map(|second| Rollup::new(&Timestamp::from_second(second).unwrap().to_string(), None, [1, 2, 0], "0.5"))
        .collect();
    let mut organizations: Vec<_> = (0..count).map(|_| stack.organization()).collect();
    organizations.sort_by_key(|org| org.id);
    for org in &organizations {
        org.insert(Table::Daily, &rollups).await;
    }
    organizations
}

async fn run(event: Value) -> Result<MonthlyRun, String> {
    lambda::invoke(&variable("MONTHLY_FUNCTION"), &event).await.map(|run| serde_json::from_value(run).unwrap())
}

/// The event of the schedule's rule at that time.
fn hour(time: &str) -> Value {
    json!({"source": "aws.events", "time": time, "detail": {}})
}

/// Inserts an event of raw usage.
async fn insert(org: &Organization<'_>, time: &str) {
    let insert = format!(
        "insert into usage_events (event_id, organization_id, occurred_at, input_tokens, output_tokens, status,
             cost_usd)
         values (gen_random_uuid(), '{}', '{time}', 1, 2, 'success', 0.25)",
        org.id
    );
    org.stack.database.client.batch_execute(&insert).await.unwrap();
}

/// Keeps an hour from the refresh for a day, or lets it try.
async fn keep_from_refresh(org: &Organization<'_>, hour: &str, is_kept: bool) {
    let keep = if is_kept {
        format!(
            "insert into usage_troubles
                 (organization_id, bucket, bucket_start, kind, reason, sqlstate, first_at, last_at, next_try_at)
             values ('{}', 'hour', '{hour}', 'failed', 'a check constraint is violated', '23514', now(), now(),
                     now() + interval '1 day')",
            org.id
        )
    } else {
        format!("update usage_troubles set next_try_at = '-infinity' where organization_id = '{}'", org.id)
    };
    org.stack.database.client.batch_execute(&keep).await.unwrap();
}

fn counts(run: &MonthlyRun) -> (u64, u64, u64) {
    (run.created, run.already_there, run.failed)
}

/// Reads jobs from the table: hundreds of concurrent requests to the API would be slow.
async fn jobs(org: &Organization<'_>) -> Vec<Job> {
    org.stack.jobs.list(org.id.into(), JobFilter::default(), 10, None).await.unwrap().jobs
}

#[tokio::test]
async fn every_organization_gets_one_export_of_the_month_however_often_it_runs() {
    let stack = Stack::from_env().await;
    // More than one page.
    let orgs = organizations(&stack, "2021-02", 210).await;
    let bystander = stack.organization();
    bystander.insert(Table::Daily, &[Rollup::new("2021-03-01T00:00:00Z", None, [1, 1, 1], "1")]).await;

    let first = run(json!({"month": "2021-02"})).await.unwrap();
    assert_eq!(counts(&first), (210, 0, 0));
    assert!(first.is_complete());
    let again = run(json!({"month": "2021-02"})).await.unwrap();
    assert_eq!(counts(&again), (0, 210, 0));
    // The next hour of the schedule creates nothing again.
    assert_eq!(counts(&run(hour("2021-03-01T03:00:00Z")).await.unwrap()), (0, 210, 0));

    let found = join_all(orgs.iter().map(jobs)).await;
    for (org, jobs) in orgs.iter().zip(&found) {
        let [job] = jobs.as_slice() else { panic!("{}: {jobs:?}", org.id) };
        let range = "2021-02".parse::<Month>().unwrap().range().unwrap();
        assert_eq!(job.request(), &ExportRequest { range, granularity: Granularity::Daily, models: None });
        assert!(job.subject().is_system());
        assert_eq!(job.subject(), found[0][0].subject(), "one subject for all");
    }
    assert!(jobs(&bystander).await.is_empty());

    // The first is sent at once.
    let org = &orgs[0];
    let job = found[0][0].id().uuid();
    let ended = org.ended(job).await;
    assert_eq!((ended.status.as_str(), ended.initiated_by), ("succeeded", found[0][0].subject().id()));
    let file = tests::Answer::to(stack.api.get_url(&org.link(job).await)).await.expect(200);
    let day = |day: &str| Rollup::new(day, None, [1, 2, 0], "0.5");
    let days = [day("2021-02-01T00:00:00Z"), day("2021-02-28T00:00:00Z")];
    assert_eq!(file.text(), expected_file(org.id, &days));
    let audit: Value = org.get(&format!("/{job}/audit")).await.expect(200).json();
    assert_eq!(audit["items"][0]["subject"], "monthly-export");
}

#[tokio::test]
async fn its_key_holds_for_ever_and_it_takes_nobodys_place() {
    let stack = Stack::from_env().await;
    let org = &organizations(&stack, "2021-04", 1).await[0];
    run(json!({"month": "2021-04"})).await.unwrap();
    let id = jobs(org).await[0].id().uuid();
    let get = stack.dynamodb.get_item().table_name(variable("JOBS_TABLE"));
    let get = get.key("pk", AttributeValue::S(format!("ORG#{}", org.id)));
    let key = get.key("sk", AttributeValue::S("MONTHLY#2021-04".to_owned())).send().await.unwrap().item.unwrap();
    assert_eq!(key["job_id"], AttributeValue::S(id.to_string()));
    assert!(!key.contains_key("ttl"), "what carries a ttl is deleted");
    org.ended(id).await;
    assert_eq!(org.open_jobs().await, 0);
}

#[tokio::test]
async fn an_export_that_failed_is_created_anew_and_once() {
    let stack = Stack::from_env().await;
    let org = &organizations(&stack, "2021-05", 1).await[0];
    let month: Month = "2021-05".parse().unwrap();
    let now = Timestamp::now();
    let id = new_job_id();
    let request = ExportRequest { range: month.range().unwrap(), granularity: Granularity::Daily, models: None };
    let subject = Subject::system("monthly-export");
    let origin = Origin::of_service("tests");
    let record = AuditRecord {
        at: now,
        action: Action::Create,
        subject: subject.clone(),
        org: org.id.into(),
        job: Some(id),
        origin,
    };
    let later = now + jiff::SignedDuration::from_hours(24);
    let submission =
        Submission { id, org: org.id.into(), request, note: None, subject, at: now, request_id: "tests".to_owned() };
    let new = NewJob::queued(submission, later, RETENTION);
    let created = stack.jobs.create(new, Some(Key::Monthly(month, FIRST_EDITION)), 0, &record).await.unwrap();
    let Created::New(job) = created else { panic!("{created:?}") };
    let claimed = org.claim(&job).await;
    let event = || json!({"month": "2021-05"});
    assert_eq!(counts(&run(event()).await.unwrap()), (0, 1, 0), "it may succeed yet");
    stack.jobs.finish(claimed.fail(Failure::WorkerLost, true, now)).await.unwrap();

    // Two at the same time: one may be refused because the other holds the run.
    let created =
        join_all([run(event()), run(event())]).await.into_iter().flatten().map(|run| run.created).sum::<u64>();
    assert_eq!(created, 1);
    assert_eq!(counts(&run(event()).await.unwrap()), (0, 1, 0));
    let mut jobs = jobs(org).await;
    jobs.retain(|found| found.id() != id);
    let [anew] = jobs.as_slice() else { panic!("{jobs:?}") };
    assert_eq!(org.ended(anew.id().uuid()).await.status, "succeeded");
}

#[tokio::test]
async fn two_runs_at_once_create_nothing_twice() {
    let stack = Stack::from_env().await;
    let orgs = organizations(&stack, "2021-06", 40).await;
    let runs = join_all((0..3).map(|_| run(json!({"month": "2021-06"})))).await;
    assert!(runs.iter().any(Result::is_ok), "{runs:?}");
    for error in runs.iter().filter_map(|run| run.as_ref().err()) {
        assert!(error.contains("another invocation"), "{error}");
    }
    for jobs in join_all(orgs.iter().map(jobs)).await {
        assert_eq!(jobs.len(), 1);
    }
}

#[tokio::test]
async fn a_run_that_broke_off_goes_on_where_it_was() {
    let stack = Stack::from_env().await;
    let orgs = organizations(&stack, "2021-08", 10).await;
    let month: Month = "2021-08".parse().unwrap();
    let mut broken = MonthlyRun::new(uuid::Uuid::now_v7(), month, Timestamp::now());
    (broken.after, broken.created, broken.failed) = (Some(orgs[3].id.into()), 3, 1);
    // Its invocation holds the lease.
    broken.lease_until = Timestamp::now() + jiff::SignedDuration::from_hours(1);
    assert!(stack.jobs.write_run(&mut broken).await.unwrap());
    let error = run(json!({"month": "2021-08"})).await.unwrap_err();
    assert!(error.contains("another invocation works on 2021-08"), "{error}");

    // The lease has expired.
    broken.lease_until = Timestamp::now();
    assert!(stack.jobs.write_run(&mut broken).await.unwrap());
    let error = run(json!({"month": "2021-08"})).await.unwrap_err();
    assert!(error.contains("created 9, already there 0, waiting 0, failed 1"), "what failed is told: {error}");
    let ended = stack.jobs.last_run(month).await.unwrap().unwrap();
    assert_eq!((ended.id, counts(&ended)), (broken.id, (9, 0, 1)));
    for (index, org) in orgs.iter().enumerate() {
        assert_eq!(jobs(org).await.len(), usize::from(index > 3), "{index}");
    }
    // The schedule retries failed organizations too.
    let next = run(hour("2021-09-01T04:00:00Z")).await.unwrap();
    assert_eq!(counts(&next), (4, 6, 0));
    assert_ne!(next.id, broken.id);
}

#[tokio::test]
async fn the_month_has_to_be_over_and_well_said() {
    for (event, message) in [
        (json!({"month": "2999-01"}), "is not over yet"),
        (json!({"month": "2021-1"}), "is not a month; write it as 2024-01"),
        (json!({"mont": "2021-01"}), "neither a schedule's nor"),
    ] {
        let error = run(event.clone()).await.unwrap_err();
        assert!(error.contains(message), "{event}: {error}");
    }
}

#[tokio::test]
async fn the_sweep_sends_what_was_left_for_later() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let job = org.add_unqueued().await;
    let unsent = job.mark_unsent(Timestamp::now()).expect("the job is pending");
    assert!(stack.jobs.apply(unsent, None).await.unwrap().is_some());
    until("the sweep sends it", WAIT_TIMEOUT, async || {
        let report = lambda::invoke(&variable("SWEEP_FUNCTION"), &json!({})).await?;
        // The index of due jobs lags behind the table.
        let pending = org.show(job.id().uuid()).await.status == "pending" && report["sent"] == 0;
        if pending { Err(report.to_string()) } else { Ok(()) }
    })
    .await;
    assert_eq!(org.ended(job.id().uuid()).await.status, "succeeded");
}

/// A person's export does not wait for the scheduled ones, which reach the queue one by one.
#[tokio::test]
async fn a_run_does_not_fill_the_queue() {
    let stack = Stack::from_env().await;
    let orgs = organizations(&stack, "2021-10", 200).await;
    let by_hand = stack.organization();
    let request = export_of("2021-10-01T00:00:00Z", "2021-11-01T00:00:00Z", "daily");
    let someone = async {
        until("the run has begun", WAIT_TIMEOUT, async || {
            let made = join_all(orgs.iter().map(jobs)).await;
            if made.iter().all(Vec::is_empty) { Err("no job of the run") } else { Ok(()) }
        })
        .await;
        by_hand.export(&request).await
    };
    let (ran, ended) = tokio::join!(run(json!({"month": "2021-10"})), someone);
    ran.unwrap();
    let ended = ended.job.completed_at.unwrap();
    // It does not wait until all of the run are done.
    let last = until("the run's jobs end", WAIT_TIMEOUT, async || {
        let found: Vec<Job> = join_all(orgs.iter().map(jobs)).await.into_iter().flatten().collect();
        let all: Option<Vec<Timestamp>> = found
            .iter()
            .map(|job| if let State::Succeeded { completed_at, .. } = job.state() { Some(*completed_at) } else { None })
            .collect();
        all.and_then(|all| all.into_iter().max()).ok_or(found.len())
    })
    .await;
    assert!(ended < last, "{ended} is after all jobs of the run: {last}");
}

#[tokio::test]
async fn an_organization_whose_usage_is_not_counted_yet_waits_for_the_next_hour() {
    let stack = Stack::from_env().await;
    // Another organization's usage is there from the beginning; this one's only usage came late.
    let other = &organizations(&stack, "2018-03", 1).await[0];
    let org = stack.organization();
    keep_from_refresh(&org, "2018-03-31T23:00:00Z", true).await;
    insert(&org, "2018-03-31T23:30:00Z").await;

    let first = run(hour("2018-04-01T03:00:00Z")).await.unwrap();
    assert_eq!((counts(&first), first.waiting, first.finished_at), ((1, 0, 0), 1, None));
    assert!(jobs(&org).await.is_empty() && jobs(other).await.len() == 1);
    let again = run(hour("2018-04-01T04:00:00Z")).await.unwrap();
    assert_eq!((again.id, counts(&again), again.waiting), (first.id, (0, 1, 0), 1));

    keep_from_refresh(&org, "2018-03-31T23:00:00Z", false).await;
    let done = until("the usage is counted", WAIT_TIMEOUT, async || {
        lambda::invoke(&variable("REFRESH_FUNCTION"), &json!({})).await?;
        let found = run(hour("2018-04-01T05:00:00Z")).await?;
        if found.waiting == 0 { Ok(found) } else { Err(format!("{found:?}")) }
    })
    .await;
    assert_eq!((done.id, counts(&done), done.provisional), (first.id, (1, 1, 0), 0));
    assert!(done.is_complete());
    let [job] = &jobs(&org).await[..] else { panic!("one export") };
    let ended = org.ended(job.id().uuid()).await;
    assert_eq!((ended.row_count, ended.completeness.unwrap().status.as_str()), (Some(1), "final"));
}

#[tokio::test]
async fn the_last_hour_exports_what_is_not_final_and_says_so() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    keep_from_refresh(&org, "2018-06-30T23:00:00Z", true).await;
    insert(&org, "2018-06-30T23:30:00Z").await;
    let last = run(hour("2018-07-01T08:00:00Z")).await.unwrap();
    assert_eq!((counts(&last), last.waiting, last.provisional), ((1, 0, 0), 0, 1));
    let [job] = &jobs(&org).await[..] else { panic!("one export") };
    let ended = org.ended(job.id().uuid()).await;
    let known = ended.completeness.as_ref().unwrap();
    assert_eq!((ended.row_count, known.status.as_str()), (Some(0), "provisional"));
    assert!(ended.warnings.iter().any(|warning| warning.contains("2018-06-30T23:00:00Z")), "{ended:?}");
}

#[tokio::test]
async fn a_month_is_made_again_as_a_further_edition() {
    let stack = Stack::from_env().await;
    let orgs = organizations(&stack, "2022-01", 2).await;
    run(json!({"month": "2022-01"})).await.unwrap();
    let again = json!({"month": "2022-01", "again": true, "organization": orgs[0].id});
    let second = run(again).await.unwrap();
    assert_eq!((second.edition, counts(&second)), (2, (1, 0, 0)));
    let [newer, older] = &jobs(&orgs[0]).await[..] else { panic!("two exports") };
    for job in [newer, older] {
        assert_eq!(orgs[0].ended(job.id().uuid()).await.status, "succeeded", "the first is kept");
    }
    assert_eq!(jobs(&orgs[1]).await.len(), 1);
    let third = run(json!({"month": "2022-01", "again": true})).await.unwrap();
    assert_eq!((third.edition, counts(&third)), (3, (2, 0, 0)));
    // Neither the schedule nor a person without `again` makes it a fourth time.
    assert_eq!(counts(&run(json!({"month": "2022-01"})).await.unwrap()), (0, 2, 0));
    assert_eq!(counts(&run(hour("2022-02-01T08:00:00Z")).await.unwrap()), (0, 2, 0));
    assert_eq!((jobs(&orgs[0]).await.len(), jobs(&orgs[1]).await.len()), (3, 2));
}

#[tokio::test]
async fn a_further_edition_that_broke_off_is_continued_and_not_begun_again() {
    let stack = Stack::from_env().await;
    let orgs = organizations(&stack, "2022-03", 4).await;
    let month: Month = "2022-03".parse().unwrap();
    let mut broken = MonthlyRun::new(uuid::Uuid::now_v7(), month, Timestamp::now());
    broken.edition = 2;
    broken.after = Some(orgs[1].id.into());
    broken.request_id = Some("lost".to_owned());
    assert!(stack.jobs.write_run(&mut broken).await.unwrap());
    let again = run(json!({"month": "2022-03", "again": true})).await.unwrap();
    assert_eq!((again.id, again.edition, counts(&again)), (broken.id, 2, (2, 0, 0)));
    // The first edition knows nothing of it.
    assert!(stack.jobs.last_run(month).await.unwrap().is_none());
}

#[tokio::test]
async fn an_export_that_failed_is_replaced_by_the_next_hour() {
    let stack = Stack::from_env().await;
    let org = &organizations(&stack, "2022-05", 1).await[0];
    // A value that no file can state.
    let spoil = |cost: &str| {
        let id = org.id;
        format!("update analytics_daily_rollups set cost_total = {cost} where organization_id = '{id}'")
    };
    stack.database.client.batch_execute(&spoil("'NaN'")).await.unwrap();
    run(hour("2022-06-01T03:00:00Z")).await.unwrap();
    let [job] = &jobs(org).await[..] else { panic!("one export") };
    assert_eq!(org.ended(job.id().uuid()).await.status, "failed");
    stack.database.client.batch_execute(&spoil("0.5")).await.unwrap();
    assert_eq!(counts(&run(hour("2022-06-01T04:00:00Z")).await.unwrap()), (1, 0, 0));
    let [newer, _] = &jobs(org).await[..] else { panic!("two exports") };
    assert_eq!(org.ended(newer.id().uuid()).await.status, "succeeded");
}
