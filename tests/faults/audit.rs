//! Audit records of a job's life, and of an administrator's access to another organization.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{Timestamp, ToSpan as _};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    case::{Case, case},
    scene::{Found, Scene, daily},
};

pub(crate) const CASES: &[Case] = &[
    case!(expired_and_audited, "a finished job's clock is set back by 91 days"),
    case!(cross_organization_access_recorded, "a platform administrator reads another organization's job"),
];

async fn expired_and_audited(scene: &Scene) -> Found {
    let org = scene.small().await;
    let job = org.create(&daily()).await.job_id;
    scene.end(&org).await.expect(1, 1..=1);
    org.link(job).await;

    let completed = Timestamp::now().checked_sub((91 * 24).hours()).unwrap();
    let completed = Timestamp::from_second(completed.as_second()).unwrap();
    let expired = completed.checked_add((90 * 24).hours()).unwrap();
    let values = [
        (":at", AttributeValue::S(completed.to_string())),
        (":expires", AttributeValue::S(expired.to_string())),
        (":due", AttributeValue::N(expired.as_millisecond().to_string())),
    ];
    scene.rewrite(&org, job, "set completed_at = :at, expires_at = :expires, due_at = :due", &values).await;
    assert_eq!(org.show(job).await.status, "expired", "it is expired on the second, before any sweep");
    let refused: Value = org.get(&format!("/{job}/download")).await.expect(404).json();
    assert!(refused["type"].as_str().unwrap_or_default().ends_with("/export-expired"), "{refused}");
    crate::lambda::sweep().await;
    // The bucket's lifecycle would remove it on this day; the emulator has none.
    let objects = &scene.stack.objects;
    let key = format!("analytics/exports/{}/{job}.csv", org.id);
    objects.client.delete_object().bucket(&objects.bucket).key(key).send().await.unwrap();

    let reader = scene.stack.issuer.token("auditor", &[org.id], "analytics:audit:read");
    let audit: Value = scene.stack.api.get(&org.path(&format!("/{job}/audit")), &reader).await.expect(200).json();
    let records = audit["items"].as_array().expect("a list of records");
    let action = |name: &str| {
        let mut all = records.iter().filter(|record| record["action"] == name);
        let record = all.next().unwrap_or_else(|| panic!("no record of {name}: {audit}"));
        for field in ["at", "requestId", "subject"] {
            assert!(record[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {record}");
        }
        (record["subject"].clone(), all.count() + 1)
    };
    let user = Value::from(org.user.to_string());
    assert_eq!(action("create"), (user.clone(), 1));
    // The check of the file is another download.
    assert_eq!(action("download"), (user, 2));
    assert_eq!(action("expire").1, 1, "two sweeps at once leave one record");
    let found = scene.end(&org).await;
    assert_eq!(found.expired, 1);
    found.note("create, 2 downloads and expiry are on record")
}

async fn cross_organization_access_recorded(scene: &Scene) -> Found {
    let org = scene.small().await;
    let job = org.create(&daily()).await.job_id;
    let found = scene.end(&org).await.expect(1, 1..=1);
    let outsider = scene.stack.issuer.platform_admin("operator", &[Uuid::new_v4()]);
    scene.stack.api.get(&org.path(&format!("/{job}")), &outsider).await.expect(200);
    let stranger = scene.stack.issuer.token("stranger", &[Uuid::new_v4()], "admin");
    scene.stack.api.get(&org.path(&format!("/{job}")), &stranger).await.expect(403);
    let audit: Value = org.get(&format!("/{job}/audit")).await.expect(200).json();
    let records = audit["items"].as_array().expect("a list of records");
    let crossed: Vec<_> = records.iter().filter(|record| record["action"] == "cross-organization-access").collect();
    assert_eq!(crossed.len(), 1, "{audit}");
    assert_eq!(crossed[0]["subject"], "operator");
    assert_eq!(crossed[0]["operation"], "GET /analytics/v1/orgs/{orgId}/exports/{jobId}");
    found.note("the administrator's call is on record, the stranger got 403")
}
