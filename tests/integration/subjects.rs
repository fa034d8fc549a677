//! Initiators of exports in answers.

use tests::{Stack, organization::export_of, token::Issuer};
use uuid::Uuid;

async fn initiated_by(stack: &Stack, subject: &str) -> Uuid {
    let mut org = stack.organization();
    org.token = stack.issuer.token(subject, &[org.id], "admin");
    let job = org.create(&export_of("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", "daily")).await;
    assert_eq!(org.show(job.job_id).await.initiated_by, job.initiated_by);
    job.initiated_by
}

/// Returns the UUIDv5 of RFC 9562, in the namespace of URLs, of the issuer's length, the issuer and the subject.
fn stand_in(issuer: &Issuer, subject: &str) -> Uuid {
    let name = format!("{}:{}:{subject}", issuer.name.len(), issuer.name);
    Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes())
}

#[tokio::test]
async fn a_subject_that_is_a_uuid_is_named() {
    let stack = Stack::from_env().await;
    let subject = Uuid::new_v4();
    assert_eq!(initiated_by(&stack, &subject.to_string()).await, subject);
}

#[tokio::test]
async fn any_other_subject_has_a_uuid_of_its_own() {
    let stack = Stack::from_env().await;
    let ada = initiated_by(&stack, "ada@example.com").await;
    let ben = initiated_by(&stack, "ben@example.com").await;
    assert_eq!(ada, initiated_by(&stack, "ada@example.com").await);
    assert_ne!(ada, ben);
    assert_eq!((ada.get_version_num(), ada), (5, stand_in(&stack.issuer, "ada@example.com")));
}
