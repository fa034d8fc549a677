//! The settings of the deployed resources, and deploys that are repeated. The settings of the functions are checked when
//! they are deployed.

use std::process::Command;

use aws_sdk_dynamodb::types::TimeToLiveStatus;
use aws_sdk_s3::types::{ExpirationStatus, ServerSideEncryption};
use aws_sdk_sqs::types::QueueAttributeName;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use tests::{Stack, lambda, stack::variable};
use uuid::Uuid;

#[tokio::test]
async fn a_message_stays_hidden_for_six_timeouts_until_its_receives_are_used_up() {
    let stack = Stack::from_env().await;
    let path = format!("/2015-03-31/functions/{}/configuration", variable("WORKER_FUNCTION"));
    let worker: Value = lambda::call(Method::GET, &path, &Value::Null).await.json();
    let timeout = worker["Timeout"].as_u64().expect("the worker has a timeout");
    let attributes = stack.queue.attributes(&stack.queue.url).await;
    assert_eq!(attributes[&QueueAttributeName::VisibilityTimeout], (6 * timeout).to_string());

    let redrive: Value = serde_json::from_str(&attributes[&QueueAttributeName::RedrivePolicy]).unwrap();
    let dead_letters = stack.queue.attributes(&stack.queue.dead_letters_url).await;
    assert_eq!(redrive["deadLetterTargetArn"], dead_letters[&QueueAttributeName::QueueArn].as_str());
    let receives = redrive["maxReceiveCount"].as_str().map_or(redrive["maxReceiveCount"].to_string(), str::to_owned);
    assert_eq!(receives, variable("MAX_RECEIVES"));
    // 14 days: time for a person to look.
    assert_eq!(dead_letters[&QueueAttributeName::MessageRetentionPeriod], "1209600");
}

#[tokio::test]
async fn the_bucket_keeps_files_as_long_as_their_jobs_say_encrypted_and_to_itself() {
    let stack = Stack::from_env().await;
    let (s3, bucket) = (&stack.objects.client, &stack.objects.bucket);

    let lifecycle = s3.get_bucket_lifecycle_configuration().bucket(bucket).send().await.unwrap();
    let rule = |prefix: &str| {
        let mut rules = lifecycle.rules().iter().filter(|rule| rule.status() == &ExpirationStatus::Enabled);
        rules.find(|rule| rule.filter().and_then(|filter| filter.prefix()) == Some(prefix)).expect(prefix)
    };
    let days = |prefix: &str| rule(prefix).expiration().and_then(|expiration| expiration.days());
    assert_eq!(days("analytics/exports/"), Some(variable("FILES_KEPT_DAYS").parse().unwrap()));
    let abandoned = rule("").abort_incomplete_multipart_upload().and_then(|abort| abort.days_after_initiation());
    assert_eq!(abandoned, Some(1));

    let encryption = s3.get_bucket_encryption().bucket(bucket).send().await.unwrap();
    let rules = encryption.server_side_encryption_configuration.unwrap().rules;
    let algorithm = rules[0].apply_server_side_encryption_by_default().map(|default| default.sse_algorithm());
    assert_eq!(algorithm, Some(&ServerSideEncryption::Aes256));

    let access = s3.get_public_access_block().bucket(bucket).send().await.unwrap();
    let access = access.public_access_block_configuration.unwrap();
    let blocked = [
        access.block_public_acls(),
        access.block_public_policy(),
        access.ignore_public_acls(),
        access.restrict_public_buckets(),
    ];
    assert_eq!(blocked, [Some(true); 4]);
}

#[tokio::test]
async fn the_metrics_bucket_keeps_every_version_for_400_days_encrypted_and_to_itself() {
    let stack = Stack::from_env().await;
    let (s3, bucket) = (&stack.metrics.client, &stack.metrics.bucket);
    assert_eq!(bucket, "ai-aas-build-metrics");
    let versioning = s3.get_bucket_versioning().bucket(bucket).send().await.unwrap();
    assert_eq!(versioning.status().map(|status| status.as_str()), Some("Enabled"));

    let lifecycle = s3.get_bucket_lifecycle_configuration().bucket(bucket).send().await.unwrap();
    let documents = lifecycle.rules().iter().find(|rule| rule.id() == Some("expire-documents")).unwrap();
    assert_eq!(documents.filter().and_then(|filter| filter.prefix()), Some("metrics/"));
    assert_eq!(documents.expiration().and_then(|expiration| expiration.days()), Some(400));
    let overwritten = documents.noncurrent_version_expiration().and_then(|expiration| expiration.noncurrent_days());
    assert_eq!(overwritten, Some(400));

    let encryption = s3.get_bucket_encryption().bucket(bucket).send().await.unwrap();
    assert_eq!(encryption.server_side_encryption_configuration.unwrap().rules.len(), 1);
    let access = s3.get_public_access_block().bucket(bucket).send().await.unwrap();
    let access = access.public_access_block_configuration.unwrap();
    assert_eq!((access.block_public_policy(), access.restrict_public_buckets()), (Some(true), Some(true)));
}

#[tokio::test]
async fn a_notification_is_received_for_an_hour_and_then_kept() {
    let stack = Stack::from_env().await;
    let attributes = stack.notifications.attributes(&stack.notifications.url).await;
    let redrive: Value = serde_json::from_str(&attributes[&QueueAttributeName::RedrivePolicy]).unwrap();
    let dead_letters = stack.notifications.attributes(&stack.notifications.dead_letters_url).await;
    assert_eq!(redrive["deadLetterTargetArn"], dead_letters[&QueueAttributeName::QueueArn].as_str());
    let number = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned).parse::<u32>().unwrap();
    let hidden: u32 = attributes[&QueueAttributeName::VisibilityTimeout].parse().unwrap();
    assert_eq!(number(&redrive["maxReceiveCount"]) * hidden, 3600);
    assert_eq!(dead_letters[&QueueAttributeName::MessageRetentionPeriod], "1209600");
}

#[tokio::test]
async fn the_jobs_table_forgets_only_what_carries_a_ttl() {
    let stack = Stack::from_env().await;
    let ttl = stack.dynamodb.describe_time_to_live().table_name(variable("JOBS_TABLE")).send().await.unwrap();
    let ttl = ttl.time_to_live_description.unwrap();
    let status = ttl.time_to_live_status().map(TimeToLiveStatus::as_str);
    assert_eq!((ttl.attribute_name(), status), (Some("ttl"), Some("ENABLED")));
}

#[tokio::test]
async fn a_first_deploy_that_fails_does_not_block_the_next_and_another_database_is_migrated() {
    let stack = Stack::from_env().await;
    let name = format!("again-{}", &Uuid::new_v4().simple().to_string()[..8]);
    let mut databases = vec!["postgres://127.0.0.1:1/nobody?sslmode=disable".to_owned()];
    let mut administrator: tokio_postgres::Config = variable("DATABASE_URL").parse().unwrap();
    let url: Url = variable("DATABASE_URL").parse().unwrap();
    for number in 1..3 {
        let database = format!("{}_{number}", name.replace('-', "_"));
        let create = format!("create database {database} owner analytics_owner");
        stack.database.client.batch_execute(&create).await.unwrap();
        let mut url = url.clone();
        url.set_path(&database);
        url.set_username("").unwrap();
        url.set_password(None).unwrap();
        databases.push(url.into());
    }
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let request = json!({
        "template": format!("{root}/template.yaml"),
        "stack": name,
        "databases": databases,
        "parameters": {
            "Issuer": "https://issuer.example",
            "JwksUrl": "https://issuer.example/keys",
            "Architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" },
            "DeletionProtection": "false",
            "RequireTls": "false",
            "CreateDownloadKey": "false",
        },
    });
    let path = std::env::temp_dir().join(format!("{name}.json"));
    std::fs::write(&path, request.to_string()).unwrap();
    let mut program = Command::new(format!("{root}/.venv/bin/python"));
    program.arg(format!("{root}/infra/dev/local/again.py")).arg(&path);
    let program = tokio::task::spawn_blocking(move || program.output()).await.unwrap().unwrap();
    std::fs::remove_file(path).unwrap();
    assert!(program.status.success(), "{}", String::from_utf8_lossy(&program.stderr));
    let steps: Value = serde_json::from_slice(&program.stdout).unwrap();
    assert_eq!(steps["unreachable"], json!({"status": "ROLLBACK_COMPLETE", "left": []}));
    assert_eq!(steps["again"]["status"], "CREATE_COMPLETE");
    // Both buckets and the dead-letter queues at least.
    assert!(steps["again"]["left"].as_array().is_some_and(|left| left.len() >= 4), "{steps}");
    assert_eq!(steps["another"]["status"], "UPDATE_COMPLETE");
    for number in 1..3 {
        administrator.dbname(format!("{}_{number}", name.replace('-', "_")));
        let (client, connection) = administrator.connect(tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let version: i32 =
            client.query_one("select max(version) from refinery_schema_history", &[]).await.unwrap().get(0);
        assert_eq!(version, postgres::schema::LAST_MIGRATION, "database {number}");
        drop(client);
        connection.await.unwrap().unwrap();
    }
}

/// Going back is one command: what invokes a function names its alias.
#[tokio::test]
async fn the_alias_goes_back_to_the_version_before() {
    let function = variable("SWEEP_FUNCTION");
    let path = format!("/2015-03-31/functions/{function}");
    let alias =
        async || -> Value { lambda::call(Method::GET, &format!("{path}/aliases/live"), &Value::Null).await.json() };
    let answers = async || lambda::invoke(&format!("{function}:live"), &json!({})).await.unwrap();
    let now = alias().await["FunctionVersion"].as_str().unwrap().to_owned();
    let versions: Value = lambda::call(Method::GET, &format!("{path}/versions"), &Value::Null).await.json();
    let versions: Vec<_> =
        versions["Versions"].as_array().unwrap().iter().filter_map(|version| version["Version"].as_str()).collect();
    let before = versions.iter().rev().skip_while(|version| **version != now).nth(1).expect("a version before");
    assert_ne!(*before, "$LATEST");
    for version in [*before, now.as_str()] {
        lambda::call(Method::PUT, &format!("{path}/aliases/live"), &json!({"FunctionVersion": version}))
            .await
            .expect(200);
        assert_eq!(alias().await["FunctionVersion"], version);
        assert!(answers().await.is_object());
    }
}
