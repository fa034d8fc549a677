//! Lists of jobs: newest first, in pages that neither skip nor repeat a job.

use domain::{ExportFile, Failure, Job, Totals};
use jiff::Timestamp;
use tests::{Organization, Stack, job::JobList, organization::RETENTION};
use uuid::Uuid;

/// Returns all pages of `query`, calling `meanwhile` between two pages.
async fn pages(org: &Organization<'_>, query: &str, mut meanwhile: impl AsyncFnMut()) -> Vec<JobList> {
    let mut pages: Vec<JobList> = Vec::new();
    loop {
        let cursor = pages.last().and_then(|page| page.next_cursor.as_ref());
        let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let page: JobList = org.get(&format!("?{query}{cursor}")).await.expect(200).json();
        let last = page.next_cursor.is_none();
        pages.push(page);
        if last {
            return pages;
        }
        assert!(pages.len() < 100, "the list has no end");
        meanwhile().await;
    }
}

fn ids(pages: &[JobList]) -> Vec<Uuid> {
    pages.iter().flat_map(JobList::ids).collect()
}

/// Creates pending jobs and returns them, newest first.
async fn add(org: &Organization<'_>, count: usize) -> Vec<Job> {
    let mut jobs = Vec::new();
    for _ in 0..count {
        jobs.insert(0, org.add_unqueued().await);
    }
    jobs
}

fn uuids<'a>(jobs: impl IntoIterator<Item = &'a Job>) -> Vec<Uuid> {
    jobs.into_iter().map(|job| job.id().uuid()).collect()
}

#[tokio::test]
async fn pages_neither_skip_nor_repeat_while_jobs_arrive() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let neighbour = stack.organization();
    add(&neighbour, 3).await;
    let jobs = add(&org, 25).await;
    let quiet = pages(&org, "limit=7", async || {}).await;
    assert_eq!(ids(&quiet), uuids(&jobs));
    assert_eq!(quiet.iter().map(|page| page.items.len()).collect::<Vec<_>>(), [7, 7, 7, 4]);

    let busy = pages(&org, "limit=7", async || drop(add(&org, 2).await)).await;
    assert_eq!(ids(&busy), uuids(&jobs), "what arrives meanwhile is before the first page");

    let all: JobList = org.get("").await.expect(200).json();
    assert_eq!((all.items.len(), &all.next_cursor), (31, &None));
    assert_eq!(all.ids()[6..], uuids(&jobs));
}

#[tokio::test]
async fn a_full_last_page_is_the_last_one() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    add(&org, 4).await;
    for limit in [2, 4, 100] {
        let pages = pages(&org, &format!("limit={limit}"), async || {}).await;
        assert_eq!(pages.len(), 4_usize.div_ceil(limit), "limit {limit}");
    }
}

#[tokio::test]
async fn a_list_is_50_jobs_long_unless_it_is_said() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    add(&org, 51).await;
    let page: JobList = org.get("").await.expect(200).json();
    assert_eq!((page.items.len(), page.next_cursor.is_some()), (50, true));
}

#[tokio::test]
async fn an_organization_without_jobs_has_an_empty_list() {
    let stack = Stack::from_env().await;
    assert_eq!(stack.organization().get("").await.expect(200).text(), r#"{"items":[]}"#);
}

#[tokio::test]
async fn a_list_by_status_has_the_jobs_of_that_status() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let jobs = add(&org, 12).await;
    let now = Timestamp::now();
    for (n, job) in jobs.iter().enumerate().filter(|(n, _)| n % 4 != 0) {
        let claimed = org.claim(job).await;
        match n % 4 {
            1 => {}
            2 => drop(stack.jobs.finish(claimed.fail(Failure::UsageInvalid, false, now)).await.unwrap()),
            _ => {
                let file = ExportFile {
                    software: None,
                    checksum: "sha256:00".to_owned(),
                    bytes: 1,
                    row_count: 0,
                    totals: Totals::default(),
                    rounding_difference: None,
                    completeness: None,
                    days: None,
                    tag: None,
                };
                stack.jobs.finish(claimed.complete(file, now, RETENTION)).await.unwrap();
            }
        }
    }
    for (remainder, status) in ["pending", "running", "failed", "succeeded"].into_iter().enumerate() {
        let pages =
            pages(&org, &format!("status={status}&limit=2"), async || drop(add(&stack.organization(), 1).await)).await;
        assert_eq!(ids(&pages), uuids(jobs.iter().skip(remainder).step_by(4)), "{status}");
        assert_eq!(pages.iter().map(|page| page.items.len()).collect::<Vec<_>>(), [2, 1], "{status}");
        assert!(pages.iter().flat_map(|page| &page.items).all(|job| job.status == status));
    }
    let expired: JobList = org.get("?status=expired").await.expect(200).json();
    assert_eq!(expired, JobList { items: vec![], next_cursor: None });
}
