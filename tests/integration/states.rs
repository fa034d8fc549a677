//! The API's view of a job in each of its states, and the answers of its download.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{Failure, Progress};
use jiff::{SignedDuration, Timestamp};
use jobs::{DueKind, FinishError};
use tests::{ExportJob, Organization, Stack, organization::export_of, stack::variable};
use uuid::Uuid;

/// The detail of the 404 that the download of a job answers.
async fn refused_download(org: &Organization<'_>, job: Uuid, slug: &str) -> String {
    let answer = org.get(&format!("/{job}/download")).await;
    assert_eq!(answer.header("location"), None);
    answer.problem(404, slug).detail
}

#[tokio::test]
async fn a_job_that_is_not_done_has_no_file() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let job = org.add_unqueued().await;
    assert_eq!(org.show(job.id().uuid()).await.status, "pending");
    refused_download(&org, job.id().uuid(), "export-not-ready").await;

    let _held = org.claim(&job).await;
    let running = org.show(job.id().uuid()).await;
    assert_eq!(running.status, "running");
    assert_eq!(
        (running.completed_at, running.output_uri, running.checksum, running.row_count),
        (None, None, None, None)
    );
    refused_download(&org, job.id().uuid(), "export-not-ready").await;
}

#[tokio::test]
async fn a_running_job_shows_its_progress_and_no_other_does() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let job = org.add_unqueued().await;
    let first = org.claim(&job).await;
    assert_eq!(org.show(job.id().uuid()).await.progress, None, "nothing is known yet");

    let progress = Progress { rows: 3, bytes: 400, thousandths: 250 };
    let later = Timestamp::now() + SignedDuration::from_hours(2);
    stack.jobs.renew(&first, later, progress).await.unwrap();
    let shown = org.show(job.id().uuid()).await;
    assert_eq!(shown.progress, Some(tests::job::Progress { rows: 3, bytes: 400, fraction: 0.25 }));

    let stored = stack.jobs.get(job.org(), job.id()).await.unwrap().unwrap();
    assert_eq!(stored.due_at(), Some(later), "the lease is renewed");

    // A renewal does not prevent the next transition, which removes the progress.
    stack.jobs.finish(first.release(Timestamp::now() + SignedDuration::from_hours(24))).await.unwrap();
    assert_eq!(org.show(job.id().uuid()).await.progress, None);
    let late = stack.jobs.renew(&first, later, progress).await;
    assert!(matches!(late, Err(FinishError::LostClaim)), "{late:?}");

    let second = org.claim(&job).await;
    let late = stack.jobs.renew(&first, later, progress).await;
    assert!(matches!(late, Err(FinishError::LostClaim)), "{late:?}");
    stack.jobs.renew(&second, later, progress).await.unwrap();
    stack.jobs.finish(second.fail(Failure::TookTooLong, false, Timestamp::now())).await.unwrap();
    let late = stack.jobs.renew(&second, later, progress).await;
    assert!(matches!(late, Err(FinishError::LostClaim)), "{late:?}");
    let ended = org.show(job.id().uuid()).await;
    assert_eq!((ended.status.as_str(), ended.progress), ("failed", None));
}

#[tokio::test]
async fn the_jobs_that_failed_are_found_by_their_time_and_no_sweep_looks_at_them() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let job = org.add_unqueued().await;
    let at = Timestamp::now();
    stack.jobs.finish(org.claim(&job).await.fail(Failure::TookTooLong, true, at)).await.unwrap();
    let named = (job.org(), job.id());
    // A job has failed in a whole second. Others fail meanwhile, but few in one.
    let second = at - SignedDuration::from_secs(1)..=at;
    let failed = stack.jobs.failed(&second).await.unwrap();
    assert!(failed.jobs.contains(&named), "{failed:?}");
    let later = at + SignedDuration::from_secs(1)..=at + SignedDuration::from_secs(2);
    assert!(!stack.jobs.failed(&later).await.unwrap().jobs.contains(&named));
    for kind in [DueKind::Work, DueKind::Expiry] {
        let due = stack.jobs.due(kind, &second, None).await.unwrap();
        assert!(!due.jobs.contains(&named), "{kind:?}");
    }

    // Somebody sends its message again, a second later, and it is no more among them.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let again = org.claim(&job).await;
    assert!(!stack.jobs.failed(&second).await.unwrap().jobs.contains(&named));
    stack.jobs.finish(again.fail(Failure::TookTooLong, false, at)).await.unwrap();
}

#[tokio::test]
async fn a_job_that_failed_says_so_to_a_person() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    org.insert_not_a_number().await;
    let job = org.create(&export_of("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", "daily")).await;
    let job = org.ended(job.job_id).await;
    assert_eq!(job.status, "failed");
    assert!(job.completed_at.is_some_and(|at| at >= job.created_at));
    assert_eq!(
        (&job.output_uri, &job.checksum, job.row_count, &job.totals, job.expires_at),
        (&None, &None, None, &None, None)
    );
    let error = job.error.unwrap();
    assert!(error.contains("cannot be stated exactly") && error.contains("Contact platform engineering"), "{error}");
    assert_eq!(refused_download(&org, job.job_id, "export-failed").await, error);
    assert_eq!(stack.objects.keys(&format!("analytics/exports/{}/", org.id)).await, [""; 0]);
}

#[tokio::test]
async fn a_file_expires_after_90_days() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let job = org.export(&export_of("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", "daily")).await.job;
    let kept = SignedDuration::from_hours(90 * 24);
    assert_eq!(job.expires_at, job.completed_at.map(|completed| completed + kept));
    let complete_before = async |age: SignedDuration| {
        let completed = Timestamp::from_second(Timestamp::now().as_second()).unwrap() - age;
        let update = stack.dynamodb.update_item().table_name(variable("JOBS_TABLE"));
        let update = update
            .key("pk", AttributeValue::S(format!("ORG#{}", org.id)))
            .key("sk", AttributeValue::S(format!("JOB#{}", job.job_id)))
            .condition_expression("attribute_exists(completed_at) and attribute_exists(expires_at)")
            .update_expression("set completed_at = :completed, expires_at = :expires")
            .expression_attribute_values(":completed", AttributeValue::S(completed.to_string()))
            .expression_attribute_values(":expires", AttributeValue::S((completed + kept).to_string()));
        update.send().await.unwrap();
    };

    complete_before(SignedDuration::from_hours(90 * 24 - 1)).await;
    assert_eq!(org.show(job.job_id).await.status, "succeeded");
    org.link(job.job_id).await;

    complete_before(SignedDuration::from_hours(91 * 24)).await;
    let expired: ExportJob = org.show(job.job_id).await;
    assert_eq!(expired.status, "expired");
    assert_eq!((&expired.checksum, expired.row_count), (&job.checksum, Some(0)), "what is known of the file stays");
    assert!(expired.expires_at.unwrap() < Timestamp::now());
    let detail = refused_download(&org, job.job_id, "export-expired").await;
    assert!(detail.contains("90 days") && detail.contains("Create a new export"), "{detail}");
}

#[tokio::test]
async fn a_range_that_usage_cannot_fill_is_accepted_with_a_warning() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let days_from_now = |days: i64| {
        let at = Timestamp::now() + SignedDuration::from_hours(days * 24);
        Timestamp::from_second(at.as_second()).unwrap().to_string()
    };
    for (start, end, warnings) in [
        (-30, -1, &[][..]),
        (-1, 1, &["future"]),
        (365, 366, &["future"]),
        // Thirteen months are 395 days at least and 398 at most.
        (-394, -390, &[]),
        (-399, -390, &["13 months"]),
    ] {
        let job = org.create(&export_of(&days_from_now(start), &days_from_now(end), "hourly")).await;
        assert_eq!(job.warnings.len(), warnings.len(), "{start} to {end}: {:?}", job.warnings);
        for (warning, word) in job.warnings.iter().zip(warnings) {
            assert!(warning.contains(word), "{start} to {end}: {warning}");
        }
        // The completeness of the file may add some.
        let ended = org.ended(job.job_id).await;
        assert!(ended.warnings.starts_with(&job.warnings), "{ended:?}");
    }
}
