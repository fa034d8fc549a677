//! The secrets: the logins of the database, and the key that signs links, replaced while the functions run.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{
    Answer,
    aws::{iam, secrets},
    poll::until,
};
use uuid::Uuid;

use crate::{
    case::{Case, case},
    scene::{Found, Scene, daily},
};

pub(crate) const CASES: &[Case] = &[
    case!(login_rotated, "the worker's password is replaced, before and after its secret", alone = true),
    case!(link_key_rotated, "the key that signs links is replaced, then deleted", alone = true),
];

const LOGIN: &str = "analytics_worker_login";
const SECRET: &str = "analytics-exports/worker";

async fn login_rotated(scene: &Scene) -> Found {
    let org = scene.small().await;
    // As AWS's rotation functions do it: the next version of the secret, then the database, at last the version's label.
    let current = version("AWSCURRENT").await;
    let next = Uuid::new_v4().to_string();
    put(&next, "AWSPENDING").await;
    set_password(scene, &next).await;
    org.create(&daily()).await;
    scene.end(&org).await.expect(1, 1..2);
    let pending = version("AWSPENDING").await;
    let promote = json!({
        "SecretId": SECRET, "VersionStage": "AWSCURRENT", "MoveToVersionId": pending, "RemoveFromVersionId": current,
    });
    secrets("UpdateSecretVersionStage", &promote).await;
    org.create(&daily()).await;
    scene.end(&org).await.expect(2, 1..2);
    // As logins.py does it: the database, then the secret.
    let password = Uuid::new_v4().to_string();
    set_password(scene, &password).await;
    put(&password, "AWSCURRENT").await;
    org.create(&daily()).await;
    scene.end(&org).await.expect(3, 1..2).note("each export succeeded in its first attempt")
}

async fn link_key_rotated(scene: &Scene) -> Found {
    const KEY: &str = "analytics-exports/download-key";
    let org = scene.small().await;
    let job = org.create(&daily()).await.job_id;
    let found = scene.end(&org).await.expect(1, 1..);
    let former = org.link(job).await;
    let users = iam("ListUsers", &[]).await;
    let user = tagged(&users, "UserName").find(|name| name.contains("DownloadSigner")).expect("the user is there");
    let made = iam("CreateAccessKey", &[("UserName", user)]).await;
    let part = |name| tagged(&made, name).next().expect("a key has both parts");
    let value = json!({"accessKeyId": part("AccessKeyId"), "secretAccessKey": part("SecretAccessKey")});
    secrets("PutSecretValue", &json!({"SecretId": KEY, "SecretString": value.to_string()})).await;
    // A minute at most, without a deploy and without an answer that has no link.
    let new = until("the new key signs", Duration::from_secs(75), async || {
        let link = org.link(job).await;
        if link.contains(part("AccessKeyId")) { Ok(link) } else { Err(link) }
    })
    .await;
    let status = async |link: &str| Answer::to(scene.stack.api.get_url(link)).await.status;
    assert_eq!((status(&former).await, status(&new).await), (200, 200), "links of both keys work");
    let id = former.split("Credential=").nth(1).and_then(|rest| rest.split('%').next()).expect("a link names its key");
    iam("DeleteAccessKey", &[("UserName", user), ("AccessKeyId", id)]).await;
    assert_eq!((status(&former).await, status(&new).await), (403, 200), "the former key's link has ended");
    found.note("links of both keys worked until the former was deleted")
}

/// The texts of the elements of this name.
fn tagged<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    xml.split(&open).skip(1).filter_map(|rest| rest.split(&close).next()).collect::<Vec<_>>().into_iter()
}

/// Returns the id of the secret's version with this label.
async fn version(stage: &str) -> Value {
    secrets("GetSecretValue", &json!({"SecretId": SECRET, "VersionStage": stage})).await["VersionId"].clone()
}

/// Puts a version with this password and label.
async fn put(password: &str, stage: &str) {
    let value = json!({"username": LOGIN, "password": password}).to_string();
    let put = json!({
        "SecretId": SECRET, "SecretString": value, "VersionStages": [stage], "ClientRequestToken": Uuid::new_v4(),
    });
    secrets("PutSecretValue", &put).await;
}

/// Gives the login another password, and ends its sessions: the next attempt has to log in.
async fn set_password(scene: &Scene, password: &str) {
    let set = format!(
        "alter role {LOGIN} password '{password}';
         select pg_terminate_backend(pid) from pg_stat_activity where usename = '{LOGIN}'"
    );
    scene.stack.database.client.batch_execute(&set).await.unwrap();
}
