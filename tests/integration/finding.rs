//! Finding an export again: periods, filters of the list, file names, the audit trail; and when to look again.

use std::collections::BTreeSet;

use domain::{Action, AuditRecord, ExportRequest, Granularity, NewJob, Origin, Subject, Submission};
use jiff::{SignedDuration, Timestamp};
use jobs::{Created, Key, new_job_id};
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Answer, ExportJob, Organization, Stack, job::JobList, organization::RETENTION};
use uuid::Uuid;

/// Adds a job of the monthly run, as it makes them.
async fn add_scheduled(org: &Organization<'_>, month: &str) -> Uuid {
    let month: domain::Month = month.parse().unwrap();
    let request = ExportRequest { range: month.range().unwrap(), granularity: Granularity::Daily, models: None };
    let subject = Subject::system("monthly-export");
    let (now, id, org_id) = (Timestamp::now(), new_job_id(), org.id.into());
    let origin = Origin::of_service("tests");
    let record =
        AuditRecord { at: now, action: Action::Create, subject: subject.clone(), org: org_id, job: Some(id), origin };
    let submission =
        Submission { id, org: org_id, request, note: None, subject, at: now, request_id: "tests".to_owned() };
    let new = NewJob::queued(submission, now + SignedDuration::from_hours(24), RETENTION);
    match org.stack.jobs.create(new, Some(Key::Monthly(month, 1)), 0, &record).await.unwrap() {
        Created::New(job) => job.id().uuid(),
        Created::Existing(job) => panic!("{job:?} existed before"),
    }
}

async fn found(org: &Organization<'_>, query: &str) -> Vec<Uuid> {
    org.get(&format!("?{query}")).await.expect(200).json::<JobList>().ids()
}

#[tokio::test]
async fn a_month_may_be_named_instead_of_its_range() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    for (period, start, end) in [
        ("2024-01", "2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z"),
        ("2024-02", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
        ("2023-02", "2023-02-01T00:00:00Z", "2023-03-01T00:00:00Z"),
        ("2023-12", "2023-12-01T00:00:00Z", "2024-01-01T00:00:00Z"),
    ] {
        let job = org.create(&json!({"period": period})).await;
        assert_eq!((job.time_range.start.as_str(), job.time_range.end.as_str()), (start, end));
        assert_eq!((job.granularity.as_str(), job.origin.as_str()), ("daily", "user"));
    }
    let range = json!({"start": "2024-01-01T00:00:00Z", "end": "2024-02-01T00:00:00Z"});
    for (body, pointer) in [
        (json!({"period": "2024-01", "timeRange": range}), "/period"),
        (json!({"granularity": "daily"}), "/timeRange"),
        (json!({"period": "2024-13"}), "/period"),
        (json!({"period": "January"}), "/period"),
    ] {
        let problem = org.post(&body).await.problem(400, "invalid-request");
        assert_eq!(problem.errors[0].pointer, pointer, "{body}");
    }
    org.get("?month=2024-01").await.problem(400, "invalid-request");
    // The same key and the same meaning: the same job.
    let keyed = async |body: Value| {
        let request = stack.api.request(Method::POST, &org.path("")).bearer_auth(&org.token);
        Answer::to(request.header("idempotency-key", "one").json(&body)).await.expect(202).json::<ExportJob>().job_id
    };
    assert_eq!(keyed(json!({"period": "2024-01"})).await, keyed(json!({"timeRange": range})).await);
}

#[tokio::test]
async fn a_date_without_a_time_is_answered_with_the_right_form() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let body = json!({"timeRange": {"start": "2024-01-01", "end": "2024-01-31"}});
    let problem = org.post(&body).await.problem(400, "invalid-request");
    let errors = problem.errors;
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].detail.contains("2024-01-01T00:00:00Z"), "{errors:?}");
    assert!(errors[1].detail.contains("2024-02-01T00:00:00Z"), "the end of the day: {errors:?}");
    let path = format!("/orgs/{}/usage?start=2024-01-01&end=2024-01-31&granularity=daily", org.id);
    let problem = stack.api.get(&path, &org.token).await.problem(400, "invalid-request");
    assert!(problem.detail.contains("2024-01-01T00:00:00Z"), "{problem:?}");
}

#[tokio::test]
async fn a_list_has_the_jobs_of_a_month_an_initiator_and_an_origin() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let scheduled = add_scheduled(&org, "2024-01").await;
    let january = org.add_unqueued().await.id().uuid();
    let february = org.create(&json!({"period": "2024-02"})).await.job_id;
    let day = json!({"timeRange": {"start": "2024-01-01T00:00:00Z", "end": "2024-01-02T00:00:00Z"}});
    let day = org.create(&day).await.job_id;
    let to_the_second = json!({"timeRange": {"start": "2024-01-01T00:00:00Z", "end": "2024-01-31T23:59:59Z"}});
    let to_the_second = org.create(&to_the_second).await.job_id;
    let somebody = stack.issuer.token("somebody", &[org.id], "admin");
    let request = stack.api.request(Method::POST, &org.path("")).bearer_auth(somebody);
    let other: ExportJob = Answer::to(request.json(&json!({"period": "2024-02"}))).await.expect(202).json();

    assert_eq!(found(&org, "period=2024-01").await, [to_the_second, january, scheduled]);
    assert_eq!(found(&org, "period=2024-02").await, [other.job_id, february]);
    assert_eq!(found(&org, "period=2024-03").await, [] as [Uuid; 0]);
    assert_eq!(found(&org, "origin=schedule").await, [scheduled]);
    assert_eq!(found(&org, "origin=user").await, [other.job_id, to_the_second, day, february, january]);
    assert_eq!(found(&org, &format!("initiatedBy={}", other.initiated_by)).await, [other.job_id]);
    assert_eq!(found(&org, &format!("initiatedBy={}&period=2024-02", org.user)).await, [february]);
    assert_eq!(found(&org, "status=pending&origin=schedule&period=2024-01").await, [scheduled]);
    assert_eq!(org.show(scheduled).await.origin, "schedule");
    assert_eq!(org.show(january).await.origin, "user");
    for (query, pointer) in
        [("period=2024", "/query/period"), ("origin=system", "/query/origin"), ("initiatedBy=me", "/query/initiatedBy")]
    {
        let problem = org.get(&format!("?{query}")).await.problem(400, "invalid-request");
        assert_eq!(problem.errors[0].pointer, pointer);
    }
}

#[tokio::test]
async fn filtered_pages_neither_skip_nor_repeat() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let mut expected = Vec::new();
    for number in 0..30 {
        if number % 6 == 0 {
            let month = format!("2023-{:02}", 1 + number / 6);
            expected.insert(0, add_scheduled(&org, &month).await);
        } else {
            org.add_unqueued().await;
        }
    }
    for limit in [1, 2, 5, 7] {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let query = format!("?origin=schedule&limit={limit}{cursor}");
            let page: JobList = org.get(&query).await.expect(200).json();
            assert!(page.items.len() <= limit);
            all.extend(page.ids());
            let Some(next) = page.next_cursor else { break };
            // A cursor belongs to its filter.
            org.get(&format!("?limit={limit}&cursor={next}")).await.problem(400, "invalid-request");
            cursor = format!("&cursor={next}");
        }
        assert_eq!(all, expected, "limit {limit}");
    }
}

#[tokio::test]
async fn two_files_of_one_month_have_different_names() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let mut names = BTreeSet::new();
    for _ in 0..2 {
        let job = org.ended(org.create(&json!({"period": "2024-01"})).await.job_id).await.job_id;
        let answer = Answer::to(stack.api.get_url(&org.link(job).await)).await.expect(200);
        let disposition = answer.header("content-disposition").unwrap().to_owned();
        let tail = &job.to_string()[28..];
        assert!(
            disposition.ends_with(&format!("-20240101T000000Z-20240201T000000Z-daily-{tail}.csv\"")),
            "{disposition}"
        );
        names.insert(disposition);
    }
    assert_eq!(names.len(), 2, "{names:?}");
}

#[tokio::test]
async fn answers_about_unfinished_jobs_say_when_to_look_again() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let created = org.post(&json!({"period": "2024-01"})).await.expect(202);
    assert_eq!(created.header("retry-after"), Some("2"));
    let waiting = org.add_unqueued().await.id();
    assert_eq!(org.get(&format!("/{waiting}")).await.expect(200).header("retry-after"), Some("2"));
    let refused = org.get(&format!("/{waiting}/download")).await;
    refused.problem(404, "export-not-ready");
    assert_eq!(refused.header("retry-after"), Some("2"));
    let ended = org.ended(created.json::<ExportJob>().job_id).await.job_id;
    assert_eq!(org.get(&format!("/{ended}")).await.expect(200).header("retry-after"), None);
}

#[tokio::test]
async fn an_organization_sees_within_a_second_what_a_platform_administrator_did() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    for _ in 0..3 {
        org.add_unqueued().await;
    }
    let outsider = stack.issuer.platform_admin("operator", &[]);
    let usage = format!("/orgs/{}/usage?start=2024-01-01T00:00:00Z&end=2024-02-01T00:00:00Z&granularity=daily", org.id);
    stack.api.get(&usage, &outsider).await.expect(200);
    let after = Timestamp::now();

    let reader = stack.issuer.token("auditor", &[org.id], "analytics:audit:read");
    let trail = async |query: &str| -> Vec<Value> {
        let path = format!("/orgs/{}/audit?{query}", org.id);
        let found: Value = stack.api.get(&path, &reader).await.expect(200).json();
        found["items"].as_array().unwrap().clone()
    };
    let crossed = trail("action=cross-organization-access").await;
    assert!(Timestamp::now().duration_since(after) < SignedDuration::from_secs(1), "the trail takes too long");
    assert_eq!(crossed.len(), 1, "{crossed:?}");
    assert_eq!((&crossed[0]["subject"], &crossed[0]["orgId"]), (&json!("operator"), &json!(org.id)));
    assert_eq!(crossed[0]["operation"], "GET /analytics/v1/orgs/{orgId}/usage");

    assert_eq!(trail("subject=operator").await, crossed);
    let (past, future) = ("2020-01-01T00:00:00Z", "2120-01-01T00:00:00Z");
    assert_eq!(trail(&format!("from={past}&to={future}&action=create")).await.len(), 3);
    assert_eq!(trail(&format!("from={past}")).await.len(), 4);
    assert_eq!(trail(&format!("to={past}")).await.len(), 0);
    assert_eq!(trail(&format!("from={future}")).await.len(), 0);
    assert_eq!(trail("").await.len(), 4);
    let query = |query: &str| format!("/orgs/{}/audit?{query}", org.id);
    for (wrong, pointer) in [
        ("action=read", "/query/action"),
        ("from=2024-01-01", "/query/from"),
        ("from=2024-02-01T00:00:00Z&to=2024-01-01T00:00:00Z", "/query/to"),
    ] {
        let problem = stack.api.get(&query(wrong), &reader).await.problem(400, "invalid-request");
        assert_eq!(problem.errors[0].pointer, pointer);
    }
    let other = stack.issuer.token("ada", &[org.id], "analytics:exports:read");
    stack.api.get(&query(""), &other).await.problem(403, "forbidden");
}
