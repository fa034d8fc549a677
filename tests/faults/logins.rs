//! The logins of the database, rotated while the functions run.

use serde_json::{Value, json};
use tests::aws::secrets;
use uuid::Uuid;

use crate::{
    case::{Case, case},
    scene::{Found, Scene, daily},
};

pub(crate) const CASES: &[Case] =
    &[case!(login_rotated, "the worker's password is replaced, before and after its secret", alone = true)];

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
