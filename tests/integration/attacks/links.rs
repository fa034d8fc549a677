//! Somebody who has the key that signs download links.

use std::fmt::Debug;

use aws_config::BehaviorVersion;
use aws_sdk_s3::{
    Client,
    config::{Builder, Credentials},
    error::{ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
};
use serde_json::{Value, json};
use tests::{Rollup, Stack, Table, aws::secrets, organization::export_of};

fn denied<T: Debug, E: ProvideErrorMetadata + Debug, R: Debug>(what: &str, answer: Result<T, SdkError<E, R>>) {
    let error = answer.expect_err(what);
    let status = format!("{error:?}");
    // A HEAD has no body that could name the reason.
    assert!(error.code() == Some("AccessDenied") || status.contains("403"), "{what}: {status}");
}

#[tokio::test]
async fn the_key_of_the_links_reads_files_and_does_nothing_else() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    org.insert(Table::Daily, &[Rollup::new("2024-01-01T00:00:00Z", None, [1, 2, 0], "3")]).await;
    let export = org.export(&export_of("2024-01-01T00:00:00Z", "2024-01-31T00:00:00Z", "daily")).await;
    let secret = secrets("GetSecretValue", &json!({"SecretId": "analytics-exports/download-key"})).await;
    let key: Value = serde_json::from_str(secret["SecretString"].as_str().unwrap()).unwrap();
    let text = |name: &str| key[name].as_str().unwrap().to_owned();
    let keys = Credentials::new(text("accessKeyId"), text("secretAccessKey"), None, None, "stolen");
    let sdk = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let config = Builder::from(&sdk).credentials_provider(keys).force_path_style(true).build();
    let (client, bucket) = (Client::from_conf(config), &stack.objects.bucket);

    let file = format!("analytics/exports/{}/{}.csv", org.id, export.job.job_id);
    let read = client.get_object().bucket(bucket).key(&file).send().await.unwrap();
    assert_eq!(read.body.collect().await.unwrap().to_vec(), export.bytes);

    denied("it lists no bucket", client.list_objects_v2().bucket(bucket).send().await);
    denied("it reads no other object", client.get_object().bucket(bucket).key("elsewhere").send().await);
    let bytes = || ByteStream::from_static(b"forged");
    denied("it writes nothing", client.put_object().bucket(bucket).key(&file).body(bytes()).send().await);
    denied("it deletes nothing", client.delete_object().bucket(bucket).key(&file).send().await);
    denied("it changes no policy", client.delete_bucket_policy().bucket(bucket).send().await);
    let metrics = &stack.metrics.bucket;
    denied("it reads no other bucket", client.get_object().bucket(metrics).key(&file).send().await);
    denied("it lists no buckets", client.list_buckets().send().await);
}
