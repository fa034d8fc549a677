//! The organizations whose pages the suite `console` looks at, one for each state. The suite runs this first; the file that
//! `CONSOLE_SEEDS` names then has their ids.

use ci::{
    ObjectVersion, TestRun,
    telemetry::{s3, store_tests},
    test_results::{Files, Outcome, Results, TestName, TestResult},
};
use domain::{
    Action, AuditRecord, Booking, CreateRequest, ExportFile, ExportRequest, Failure, Granularity, Job, Month, NewJob,
    Origin, Progress, Retention, Subject, Submission, Totals,
};
use jiff::{SignedDuration, Timestamp};
use jobs::{Created, new_job_id};
use reqwest::Method;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tests::{
    Answer, CiRun, Organization, Rollup, Stack, Table,
    ci_runs::unique,
    lambda,
    organization::RETENTION,
    poll::{WAIT_TIMEOUT, until},
    stack::variable,
};
use uuid::Uuid;

/// Text that tries to be markup, and to turn what follows around.
const EVIL: &str = "\"><script>window.hit=1</script><img src=x onerror=window.hit=1>\u{202e}&amp;'";
const MODELS: u32 = 660;

/// Adds usage of three models and of none to each day of a month.
async fn add_usage(org: &Organization<'_>, from: Timestamp, days: i64) {
    let insert = format!(
        "insert into usage_events
             (event_id, organization_id, model_id, occurred_at, input_tokens, output_tokens, status, cost_usd)
         select gen_random_uuid(), '{}', model, timestamptz '{from}' + interval '1 day' * day + interval '9 minutes' * n,
                900 * number + 7 * day, 40 * n, case when (day + n) % 17 = 0 then 'error' else 'success' end,
                0.03125 * number * n + 0.00007 * day
         from generate_series(0, {days} - 1) day
         cross join generate_series(1, 12) n
         cross join (values (1, null::uuid), (5, '550e8400-e29b-41d4-a716-446655440000'),
                            (3, '6ba7b810-9dad-41d1-80b4-00c04fd430c8'),
                            (2, 'f47ac10b-58cc-4372-a567-0e02b2c3d479')) models (number, model)",
        org.id
    );
    org.stack.database.client.batch_execute(&insert).await.unwrap();
}

async fn refresh() {
    lambda::invoke(&variable("REFRESH_FUNCTION"), &json!({})).await.unwrap();
}

/// What differs between the prepared jobs.
struct Wanted<'a> {
    month: Month,
    at: Timestamp,
    subject: &'a str,
    note: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    fn of(month: Month) -> Self {
        Self { month, at: Timestamp::now(), subject: "finance.user@example.com", note: None }
    }
}

/// Adds a job that no worker gets a message of.
async fn add(org: &Organization<'_>, Wanted { month, at, subject, note }: Wanted<'_>) -> Job {
    let id = new_job_id();
    let subject = Subject::new(&org.stack.issuer.name, subject);
    let origin = Origin::of_service("tests");
    let (action, org_id) = (Action::Create, org.id.into());
    let record = AuditRecord { at, action, subject: subject.clone(), org: org_id, job: Some(id), origin };
    let export = ExportRequest { range: month.range().unwrap(), granularity: Granularity::Daily, models: None };
    let CreateRequest { export, note } = CreateRequest { export, note: note.map(|note| note.parse().unwrap()) };
    let request_id = "tests".to_owned();
    let submission = Submission { id, org: org_id, request: export, note, subject, at, request_id };
    let new = NewJob::queued(submission, Timestamp::now() + SignedDuration::from_hours(24), RETENTION);
    match org.stack.jobs.create(new, None, u32::MAX, &record).await.unwrap() {
        Created::New(job) => *job,
        Created::Existing(job) => panic!("{job:?} existed before"),
    }
}

fn file() -> ExportFile {
    ExportFile {
        software: None,
        checksum: format!("sha256:{:064x}", 7),
        bytes: 9_876,
        row_count: 124,
        totals: Totals::new([30_000, 83_643_569, 885], "523.3729".parse().unwrap()),
        rounding_difference: None,
        completeness: None,
        days: None,
        tag: None,
    }
}

async fn finish(org: &Organization<'_>, job: &Job, files_days: u32) -> Job {
    let claimed = org.claim(job).await;
    let retention = Retention { files_days, ..RETENTION };
    org.stack.jobs.finish(claimed.complete(file(), Timestamp::now(), retention)).await.unwrap()
}

/// Adds a job of each state.
async fn states(org: &Organization<'_>, month: Month) -> Value {
    let jobs = &org.stack.jobs;
    let now = Timestamp::now();
    let pending = add(org, Wanted::of(month)).await;
    let long = add(org, Wanted { at: now - SignedDuration::from_mins(20), ..Wanted::of(month) }).await;
    let starting = add(org, Wanted::of(month)).await;
    let _ = org.claim(&starting).await;
    let running = add(org, Wanted::of(month)).await;
    let claimed = org.claim(&running).await;
    let progress = Progress { rows: 1_234_567, bytes: 89_123_456, thousandths: 420 };
    jobs.renew(&claimed, now + SignedDuration::from_hours(1), progress).await.unwrap();
    let succeeded = add(org, Wanted::of(month)).await;
    finish(org, &succeeded, 90).await;
    let failed = add(org, Wanted::of(month)).await;
    let claimed = org.claim(&failed).await;
    jobs.finish(claimed.fail(Failure::StorageUnavailable, false, now)).await.unwrap();
    let expired = add(org, Wanted::of(month)).await;
    finish(org, &expired, 0).await;
    json!({
        "pending": pending.id(), "long": long.id(), "starting": starting.id(), "running": running.id(),
        "succeeded": succeeded.id(), "failed": failed.id(), "expired": expired.id(),
    })
}

/// Adds a file whose every text from outside tries to be markup.
async fn evil(org: &Organization<'_>, month: Month) -> Value {
    let note = format!("{EVIL}{}", "x".repeat(300));
    let job = add(org, Wanted { subject: EVIL, note: Some(&note), ..Wanted::of(month) }).await;
    let job = finish(org, &job, 90).await;
    let subject = Subject::new(&org.stack.issuer.name, EVIL);
    let origin = Origin::of_service("tests");
    let now = Timestamp::now();
    let (action, id) = (Action::Book, Some(job.id()));
    let record = AuditRecord { at: now, action, subject: subject.clone(), org: org.id.into(), job: id, origin };
    let file = file();
    let booking = Booking {
        version: 0,
        job: job.id(),
        reference: EVIL.parse().unwrap(),
        checksum: file.checksum,
        cost_total: file.totals.cost_total,
        at: now,
        subject,
    };
    org.stack.jobs.book(org.id.into(), month, booking, &record).await.unwrap();
    json!({"org": org.id, "job": job.id(), "note": note, "subject": EVIL})
}

/// Adds one line of the largest numbers that there are.
async fn extreme(org: &Organization<'_>, month: Month) {
    let start = month.start().to_string();
    let largest = Rollup::new(&start, Some(Uuid::nil()), [i64::MAX, i64::MAX, 0], "9999999999.9999");
    org.insert(Table::Daily, &[largest]).await;
}

/// Adds lines of hundreds of models to each day.
async fn many(org: &Organization<'_>, month: Month) {
    let insert = format!(
        "insert into analytics_daily_rollups
             (bucket_start, organization_id, model_id, request_count, tokens_total, error_count, cost_total)
         select day, '{}', md5(n::text)::uuid, n, 10 * n, 0, 0.0001 * n
         from generate_series(timestamptz '{}', timestamptz '{}' - interval '1 day', interval '1 day') day
         cross join generate_series(1, {MODELS}) n",
        org.id,
        month.start(),
        month.end()
    );
    org.stack.database.client.batch_execute(&insert).await.unwrap();
}

/// Adds runs of CI: a command with 20, one with 2,000 of which some took much longer, and one with changes and failures.
async fn ci_runs(stack: &Stack) -> Value {
    let service = unique("console-ci");
    let run = "insert into ci_runs (run_id, service, command, status, started_at, finished_at, duration_seconds,
                 commit_sha, actor, environment, collector_version, extra, object_key, object_version, object_etag,
                 object_time)
             select run_id, service, command, status, start, start + interval '1 second' * seconds, seconds,
                    md5(run_id), 'dev@example.com', environment, '1.0.0', '{}', 'metrics/' || run_id || '.json', run_id,
                    'etag', start
             from";
    // The noise is the same at every run of the suite.
    let few = format!(
        "(select '{service}-few-' || n as run_id, '{service}' as service, 'make few' as command, 'success' as status,
                 date_trunc('day', now()) - interval '1 day' * (20 - n) as start,
                 round((60 + 3 * sin(1.7 * n * n))::numeric, 3) as seconds, 'linux' as environment
          from generate_series(1, 20) n) runs"
    );
    let many = format!(
        "(select '{service}-many-' || n as run_id, '{service}' as service, 'make many' as command, 'success' as status,
                 now() - interval '57 minutes' * (2000 - n) - interval '1 hour' as start,
                 round(((300 + 12 * sin(1.7 * n * n)) * case when n > 1600 then 1.25 else 1 end
                        * case when n = 1234 then 20 when n % 97 = 0 then 1.6 else 1 end)::numeric, 3) as seconds,
                 'linux' as environment
          from generate_series(1, 2000) n) runs"
    );
    let changed = format!(
        "(select '{service}-changed-' || n as run_id, '{service}' as service, 'make changed' as command,
                 case when n % 17 = 0 then 'failure' else 'success' end as status,
                 date_trunc('day', now()) - interval '8 hours' * (150 - n) as start,
                 round((case when n <= 50 then 100 when n <= 100 then 140 else 80 end + 2 * sin(1.7 * n * n))::numeric, 3)
                     as seconds, 'macos' as environment
          from generate_series(1, 150) n) runs"
    );
    let told = format!(
        "(select '{service}-told-' || n as run_id, '{service}' as service, 'make told' as command, 'success' as status,
                 date_trunc('day', now()) - interval '12 hours' * (100 - n) as start,
                 round((case when n < 20 then 100 when n < 45 then 130 when n < 94 then 110 else 150 end
                        + 2 * sin(1.7 * n * n))::numeric, 3) as seconds, 'linux' as environment
          from generate_series(1, 100) n) runs"
    );
    let client = &stack.database.client;
    for runs in [few, many, changed, told] {
        client.batch_execute(&format!("{run} {runs}")).await.unwrap();
    }
    // A change of each state, as the schedule would have told them, which must not look at these runs once more.
    let changes = format!(
        "delete from ci_unseen where service = '{service}';
         insert into ci_changes (id, service, command, environment, number, told_run_id, run_id, commit_sha, changed_at, state,
                                 reason, before_seconds, after_seconds, told, p_value, correlated, low_confidence,
                                 possible_causes, is_history, told_at, confirmed_at, withdrawn_at)
         select gen_random_uuid(), '{service}', 'make told', 'linux', number, run_id, run_id, commit_sha, started_at, state,
                reason, before, after, after / before - 1, 0.001, false, false, '{{}}', false, now(),
                case when state = 'provisional' then null else now() end,
                case when state = 'withdrawn' then now() end
         from (values (0, 20, 'confirmed', null, 100.0, 130.0), (1, 45, 'confirmed', null, 130.0, 110.0),
                      (2, 70, 'withdrawn', 'chance', 110.0, 120.0), (3, 94, 'provisional', null, 110.0, 150.0))
                  changes (number, n, state, reason, before, after)
              join ci_runs on run_id = '{service}-told-' || n"
    );
    client.batch_execute(&changes).await.unwrap();
    single_tests(stack, &service).await;
    json!({"service": service})
}

/// Returns the page of a pack of evidence with many targets on services of evil names.
async fn evidence(stack: &Stack) -> String {
    let target = |n: u32| {
        json!({
            "id": format!("target-{n}"), "service": format!("{EVIL}{n}"), "command": "make check",
            "measure": "success_rate", "bound": 0.95, "minimumRuns": 3,
        })
    };
    let targets = json!({"targets": (0..60).map(target).collect::<Vec<_>>()});
    let now = Timestamp::now();
    for n in 0..2 {
        let mut runs = vec![CiRun::new(&format!("{EVIL}{n}"), now, Decimal::TEN); 4];
        for (index, run) in runs.iter_mut().enumerate() {
            run.status = if n == 0 || index > 0 { "success" } else { "failure" };
            run.run_id = format!("{n}-{index}");
            run.object_key = format!("metrics/2026/01/01/{n}-{index}.json");
        }
        stack.database.insert_runs(&runs).await;
    }
    let token = stack.issuer.token("operator", &[], "analytics:ci:write");
    let request = stack.api.request(Method::PUT, "/ci/targets").bearer_auth(token).header("if-match", "\"0\"");
    Answer::to(request.json(&targets)).await.expect(200);
    let pack = stack.ci(&format!("evidence/pack?month={}", Month::of(now))).await.expect(200);
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(pack.body)).unwrap();
    std::io::read_to_string(zip.by_name("evidence.html").unwrap()).unwrap()
}

/// Adds results of tests to a service: one that became slower, and one that passes and fails on the same commit.
async fn single_tests(stack: &Stack, service: &str) {
    let start = Timestamp::now() - SignedDuration::from_hours(24 * 30);
    for n in 0..40_u32 {
        let mut results = Results::default();
        let flaky = if n % 7 == 0 { Outcome::Failed } else { Outcome::Passed };
        let slower = if n < 20 { 400 + n % 5 } else { 900 + n % 5 };
        for (name, outcome, milliseconds) in
            [("adds up", Outcome::Passed, slower), ("sends mail", flaky, 30), ("loads", Outcome::Passed, 2500 + n)]
        {
            let test = TestName { suite: "cart".to_owned(), name: name.to_owned() };
            results.add(test, TestResult { outcome, milliseconds: Some(milliseconds) });
        }
        let run = TestRun {
            run_id: format!("{service}-tests-{n}"),
            service: service.to_owned(),
            command: "make told".to_owned(),
            commit_sha: format!("commit-{}", n / 5),
            environment: "linux".to_owned(),
            collector_version: "1.0.0".to_owned(),
            started_at: start + SignedDuration::from_hours(12 * i64::from(n)),
            modified: false,
            files: Files { read: 1, ..Files::default() },
            left_out: 0,
            results,
        };
        let object = ObjectVersion {
            key: format!("metrics/tests/{service}/{n}.json"),
            version: Some("1".to_owned()),
            etag: "etag".to_owned(),
            time: run.started_at,
            sequencer: s3::sequencer("01"),
            sha256: None,
        };
        store_tests(&stack.database.client, &run, &object).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "prepares the stack of the suite `console`"]
async fn the_console_has_an_organization_of_each_state() {
    let stack = Stack::from_env().await;
    let now = Timestamp::now();
    let month = Month::last_complete(now);
    let length = (month.end().as_second() - month.start().as_second()) / 86_400;
    let walks: Vec<Organization<'_>> = (0..5).map(|_| stack.organization()).collect();
    let [waiting, present, extreme_org, many_org, states_org, nothing, evil_org, capped, due] =
        std::array::from_fn(|_| stack.organization());
    for org in walks.iter().chain([&waiting, &states_org]) {
        add_usage(org, month.start(), length).await;
    }
    let today = Month::of(now).start();
    add_usage(&present, today, (now.as_second() - today.as_second()) / 86_400).await;
    // Of today, but not of the future.
    let late = format!(
        "insert into usage_events (event_id, organization_id, occurred_at, input_tokens, output_tokens, status, cost_usd)
         values (gen_random_uuid(), '{}', greatest(date_trunc('day', now()), now() - interval '1 minute'), 5, 5,
                 'success', 1.5)",
        present.id
    );
    stack.database.client.batch_execute(&late).await.unwrap();
    extreme(&extreme_org, month).await;
    many(&many_org, month).await;
    // Drops what is too old, and records up to when.
    lambda::invoke(&variable("RETENTION_FUNCTION"), &json!({})).await.unwrap();
    let body = json!({"period": month.to_string()});
    let export = until("the figures are final", WAIT_TIMEOUT, async || {
        refresh().await;
        let export = walks[3].export(&body).await;
        let is_final = export.job.completeness.as_ref().is_some_and(|known| known.status == "final");
        if is_final { Ok(export) } else { Err(export.job) }
    })
    .await;
    for _ in 0..20 {
        add(&capped, Wanted::of(month)).await;
    }
    let due_job = add(&due, Wanted::of(month)).await;
    let back = |months: usize| (0..months).fold(Month::of(now), |month, _| month.previous());
    let seeds = json!({
        "month": month.to_string(), "days": length,
        "empty_month": month.previous().to_string(), "old_month": back(20).to_string(),
        "next_month": Month::of(Month::of(now).end()).to_string(),
        "walks": walks.iter().map(|org| org.id).collect::<Vec<_>>(),
        "job": export.job.job_id,
        "waiting": waiting.id, "present": present.id, "extreme": extreme_org.id, "nothing": nothing.id,
        "many": many_org.id, "many_models": MODELS, "capped": capped.id,
        "due": due.id, "due_job": due_job.id(),
        "states": {"org": states_org.id, "jobs": states(&states_org, month).await},
        "evil": evil(&evil_org, month).await,
        "ci": ci_runs(&stack).await,
        "evidence": evidence(&stack).await,
    });
    std::fs::write(variable("CONSOLE_SEEDS"), serde_json::to_vec_pretty(&seeds).unwrap()).unwrap();
}
