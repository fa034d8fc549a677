//! The targets of CI, while DynamoDB fails.

use domain::{Month, OrgId};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use tests::Answer;

use crate::{
    case::{Case, case},
    rule::Action,
    scene::{Found, Scene},
};

pub(crate) const CASES: &[Case] =
    &[case!(targets, "targets of CI are stored, and the answer lost; DynamoDB answers 500 to the reading of them")];

async fn targets(scene: &Scene) -> Found {
    let stack = &scene.stack;
    let tag = stack.ci("targets").await.expect(200).header("etag").unwrap().to_owned();
    let writer = stack.issuer.token("operator", &[], "analytics:ci:write");
    let body = json!({"targets": [{
        "id": "check", "service": "s", "command": "make check", "measure": "success_rate", "bound": 0.5, "minimumRuns": 1,
    }]});
    let put = async || {
        let request = stack.api.request(Method::PUT, "/ci/targets").bearer_auth(&writer).header("if-match", &tag);
        Answer::to(request.json(&body)).await.expect(200).json::<Value>()["version"].clone()
    };
    let lost = scene.proxies.add("api.dynamodb", &["TARGETS#CI", "TransactWriteItems"], 1, Action::LoseAnswer);
    let version = put().await;
    assert!(lost.count() > 1, "it is repeated");
    assert_eq!(put().await, version, "the client may repeat it too");
    let admin = stack.issuer.platform_admin("auditor", &[]);
    let path = format!("/orgs/{}/audit?action=change-targets", OrgId::PLATFORM);
    let trail: Value = stack.api.get(&path, &admin).await.expect(200).json();
    assert_eq!(trail["items"].as_array().unwrap().len(), 1, "{trail}");

    let month = Month::of(Timestamp::now());
    for path in [format!("evidence?month={month}"), format!("evidence/pack?month={month}"), "targets".to_owned()] {
        let _refused = scene.proxies.add("api.dynamodb", &["TARGETS#CI", "Query"], 3, Action::Refuse(500));
        stack.ci(&path).await.problem(503, "unavailable");
    }
    let judged: Value = stack.ci(&format!("evidence?month={month}")).await.expect(200).json();
    assert_eq!(judged["judgedBy"]["version"], version);
    Found::default().note("stored once, with one record; 503, and never a verdict by other targets")
}
