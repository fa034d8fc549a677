//! The erasure of an organization.

use std::process::Output;

use reqwest::Method;
use serde_json::{Value, json};
use tests::{Answer, Organization, Rollup, Stack, Table, organization::export_of, program::program};
use uuid::Uuid;

/// Every table with an organization's usage, counted by its owner.
const ROWS: &str = "
    select (select count(*) from usage_events where organization_id = $1)
         + (select count(*) from usage_event_keys where organization_id = $1)
         + (select count(*) from usage_events_refused where organization_id = $1)
         + (select count(*) from usage_dirty_hours where organization_id = $1)
         + (select count(*) from analytics_daily_rollups where organization_id = $1)
         + (select count(*) from analytics_hourly_rollups where organization_id = $1)";

async fn rows(org: &Organization<'_>) -> i64 {
    org.stack.database.client.query_one(ROWS, &[&org.id]).await.unwrap().get(0)
}

/// The events of an organization, which no refresh changes.
async fn events(org: &Organization<'_>) -> i64 {
    let count = "select count(*) from usage_events where organization_id = $1";
    org.stack.database.client.query_one(count, &[&org.id]).await.unwrap().get(0)
}

async fn objects(org: &Organization<'_>) -> usize {
    let objects = &org.stack.objects;
    let mut count = 0;
    for folder in ["exports", "days", "held"] {
        count += objects.keys(&format!("analytics/{folder}/{}/", org.id)).await.len();
    }
    count
}

fn erase(arguments: &[&str], variables: &[(&str, &str)]) -> (bool, String) {
    let Output { status, stdout, stderr } =
        program("erase").args(arguments).envs(variables.iter().copied()).output().unwrap();
    (status.success(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

async fn add_events(org: &Organization<'_>, count: i32) -> u64 {
    let insert = "insert into usage_events (event_id, organization_id, occurred_at, input_tokens, output_tokens, status, cost_usd)
                  select gen_random_uuid(), $1, now() - interval '1 hour', 1, 2, 'success', 0.25 from generate_series(1, $2)";
    org.stack.database.client.execute(insert, &[&org.id, &count]).await.unwrap()
}

/// An organization with events, rollups, a file that was held and booked, and audit records.
async fn used(org: &Organization<'_>) -> Uuid {
    add_events(org, 3).await;
    org.insert(Table::Daily, &[Rollup::new("2024-01-05T00:00:00Z", None, [1, 2, 0], "1.0000")]).await;
    let job = org.export(&export_of("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "daily")).await.job.job_id;
    let path = format!("/orgs/{}/periods/2024-01/booking", org.id);
    let booking = org.stack.api.request(Method::PUT, &path).bearer_auth(&org.token);
    Answer::to(booking.json(&json!({"jobId": job, "reference": "JE-1017"}))).await.expect(200);
    job
}

#[tokio::test]
async fn an_organization_is_erased_and_no_other() {
    let stack = Stack::from_env().await;
    let (org, other) = (stack.organization(), stack.organization());
    let job = used(&org).await;
    used(&other).await;
    let id = org.id.to_string();
    let before = (rows(&org).await, objects(&org).await, org.items("ORG").await.len());
    assert!(before.0 >= 7 && before.1 >= 1 && before.2 >= 1, "{before:?}");
    let others = (events(&other).await, objects(&other).await, other.items("ORG").await);

    let (done, told) = erase(&[&id], &[]);
    assert!(done && told.contains("nothing was deleted"), "{told}");
    assert_eq!((events(&org).await, objects(&org).await, org.items("ORG").await.len()), (3, before.1, before.2));
    let (done, told) = erase(&[&id, "--confirm", &other.id.to_string()], &[]);
    assert!(!done && told.contains("names another organization"), "{told}");

    // A held file, and an export that has not ended, are not erased.
    let hold = org.path(&format!("/{job}/hold"));
    let put = stack.api.request(Method::PUT, &hold).bearer_auth(&org.token).json(&json!({"reason": "a proceeding"}));
    Answer::to(put).await.expect(200);
    let (done, told) = erase(&[&id, "--confirm", &id], &[]);
    assert!(!done && told.contains("1 files are held"), "{told}");
    let delete = stack.api.request(Method::DELETE, &format!("{hold}?reason=ended")).bearer_auth(&org.token);
    Answer::to(delete).await.expect(200);
    let waiting = org.add_unqueued().await;
    let (done, told) = erase(&[&id, "--confirm", &id], &[]);
    assert!(!done && told.contains("1 exports are unfinished"), "{told}");
    assert_eq!(events(&org).await, 3, "nothing was deleted");
    let claimed = org.claim(&waiting).await;
    stack.jobs.finish(claimed.fail(domain::Failure::UsageInvalid, false, jiff::Timestamp::now())).await.unwrap();

    // It ends half way: the usage is gone, the files are there.
    let (done, told) = erase(&[&id, "--confirm", &id], &[("EXPORTS_BUCKET", "no-such-bucket")]);
    assert!(!done && told.contains("run it again"), "{told}");
    assert_eq!(rows(&org).await, 0);
    assert!(objects(&org).await >= 1);
    let file = std::env::temp_dir().join(format!("{id}.json"));
    let (done, told) = erase(&[&id, "--confirm", &id, "--report", file.to_str().unwrap()], &[]);
    assert!(done, "{told}");
    assert_eq!((rows(&org).await, objects(&org).await, org.items("ORG").await.len()), (0, 0, 0));
    for partition in ["MODELS", "COMPARED"] {
        assert!(org.items(&format!("{partition}#{}", org.id)).await.is_empty(), "{partition}");
    }
    let report: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!((&report["isDryRun"], &report["left"]), (&json!(false), &json!(0)), "{report}");
    let kept = |what: &str| {
        let mut kept = report["kept"].as_array().unwrap().iter();
        kept.find(|line| line["what"] == what).unwrap()["count"].as_u64().unwrap()
    };
    assert_eq!(kept("audit records"), org.items("AUDIT").await.len() as u64);
    assert_eq!((kept("bookings"), org.items("BOOKINGS").await.len()), (1, 1));
    assert_eq!(
        (events(&other).await, objects(&other).await, other.items("ORG").await),
        others,
        "the other is as it was"
    );

    // Late events are counted and stored nowhere, one by one and by the batch; those of others in the batch are stored.
    assert_eq!(add_events(&org, 2).await, 0);
    let load =
        "select accepted, refused from usage_load(array[gen_random_uuid(), gen_random_uuid()], array[$1, $2]::uuid[],
                array[null, null]::uuid[], array[now(), now()], array[1, 1]::bigint[], array[1, 1]::bigint[],
                array['success', 'success'], array[1, 1]::numeric[])";
    let loaded = stack.database.client.query_one(load, &[&org.id, &other.id]).await.unwrap();
    assert_eq!((loaded.get::<_, i64>(0), loaded.get::<_, i64>(1)), (1, 1));
    assert_eq!(rows(&org).await, 0);
    assert_eq!(events(&other).await, others.0 + 1);
    let (done, told) = erase(&[&id, "--confirm", &id], &[]);
    assert!(done && told.contains("3 late events were refused"), "{told}");
    // It is on record, and the chain goes on.
    let trail = org.audit("?action=erase").await;
    assert_eq!(trail["items"].as_array().unwrap().len(), 3, "{trail}");
    assert_eq!(org.linked().await, org.items("AUDIT").await.len() as u64);
}
