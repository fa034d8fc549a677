//! Attacks by one of two issuers: each may speak for its own subjects alone, as its own settings say.

use jiff::Timestamp;
use jsonwebtoken::Header;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{
    Answer, Organization, Stack,
    organization::export_of,
    token::{Issuer, sign},
};

/// Returns the claims of a token of the second issuer, whose tokens are like those of Amazon Cognito.
fn claims(partner: &Issuer, org: &Organization<'_>, more: Value) -> Value {
    let now = Timestamp::now().as_second();
    let mut claims = json!({
        "iss": partner.name, "client_id": partner.audience, "token_use": "access", "version": 2,
        "sub": org.user.to_string(), "username": "ada", "scope": "openid",
        "tenant": {"name": "acme", "org_id": org.id},
        "iat": now, "exp": now + 600,
    });
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

async fn post(stack: &Stack, org: &Organization<'_>, token: &str) -> Answer {
    let body = export_of("2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", "daily");
    Answer::to(stack.api.request(Method::POST, &org.path("")).bearer_auth(token).json(&body)).await
}

#[tokio::test]
async fn an_auditor_by_a_group_of_the_second_issuer_reads_and_changes_nothing() {
    let stack = Stack::from_env().await;
    let partner = Issuer::partner(&stack.api).await;
    let org = stack.organization();
    let job = org.add_unqueued().await.id();
    let auditor = partner.sign(&claims(&partner, &org, json!({"cognito:groups": ["Everyone", "Auditors"]})));
    stack.api.get(&org.path(""), &auditor).await.expect(200);
    stack.api.get(&org.path(&format!("/{job}")), &auditor).await.expect(200);
    stack.api.get(&org.path(&format!("/{job}/audit")), &auditor).await.expect(200);
    // There is no file yet: a caller without the permission would not learn that.
    assert_eq!(stack.api.get(&org.path(&format!("/{job}/download")), &auditor).await.status, 404);
    let problem = post(&stack, &org, &auditor).await.problem(403, "forbidden");
    assert!(problem.detail.contains("analytics:exports:create"), "{problem:?}");
    let stranger = stack.organization();
    stack.api.get(&stranger.path(""), &auditor).await.problem(403, "forbidden");
    // Names that the settings do not have give nothing.
    for names in [json!(["auditors"]), json!(["admin", "platform-admin", "analytics:exports:read"])] {
        let more = json!({"cognito:groups": names, "roles": names, "scope": "admin analytics:exports:read"});
        let nobody = partner.sign(&claims(&partner, &org, more));
        stack.api.get(&org.path(""), &nobody).await.problem(403, "forbidden");
    }
}

#[tokio::test]
async fn neither_issuer_speaks_for_the_other() {
    let stack = Stack::from_env().await;
    let partner = Issuer::partner(&stack.api).await;
    let org = stack.organization();
    let first = &stack.issuer;
    let own = first.claims("ada", &[org.id], "admin");
    let of_partner = claims(&partner, &org, json!({"cognito:groups": ["Auditors"]}));
    stack.api.get(&org.path(""), &first.sign(&own)).await.expect(200);
    stack.api.get(&org.path(""), &partner.sign(&of_partner)).await.expect(200);
    // Each under the other's name, and with the other's key id.
    for (claims, victim, attacker) in [(&own, first, &partner), (&of_partner, &partner, first)] {
        let header = Header { kid: Some(victim.public.kid.clone()), ..attacker.header() };
        stack.api.get(&org.path(""), &sign(&header, claims, &attacker.key())).await.problem(401, "invalid-token");
    }
    // The first issuer's claims mean nothing in the second's tokens, not even with the right audience.
    let mut borrowed = own;
    borrowed["iss"] = json!(partner.name);
    stack.api.get(&org.path(""), &partner.sign(&borrowed)).await.problem(401, "invalid-token");
    for change in [
        json!({"token_use": "id"}),
        json!({"token_use": "id", "aud": partner.audience, "client_id": null}),
        json!({"nonce": "n"}),
        json!({"client_id": "another-portal"}),
    ] {
        let token = partner.sign(&claims(&partner, &org, change.clone()));
        let answer = stack.api.get(&org.path(""), &token).await;
        assert_eq!(answer.status, 401, "{change}: {}", answer.text());
    }
}

#[tokio::test]
async fn one_uuid_of_two_issuers_is_two_initiators_in_answers_and_records() {
    let stack = Stack::from_env().await;
    let partner = Issuer::partner(&stack.api).await;
    let org = stack.organization();
    let scope = json!({"scope": "analytics/analytics:exports:create analytics/analytics:audit:read"});
    let token = partner.sign(&claims(&partner, &org, scope));
    let body: Value = post(&stack, &org, &token).await.expect(202).json();
    let own = org.create(&export_of("2024-01-02T00:00:00Z", "2024-01-03T00:00:00Z", "daily")).await;
    assert_eq!(own.initiated_by, org.user, "a UUID of the first issuer stands for itself");
    assert_ne!(body["initiatedBy"], json!(org.user), "one of the second does not");
    for (job, issuer) in [(body["jobId"].as_str().unwrap(), &partner), (&own.job_id.to_string(), &stack.issuer)] {
        let records: Value = stack.api.get(&org.path(&format!("/{job}/audit")), &token).await.expect(200).json();
        let record = &records["items"][0];
        assert_eq!((&record["subject"], &record["issuer"]), (&json!(org.user), &json!(issuer.name)), "{record}");
    }
}
