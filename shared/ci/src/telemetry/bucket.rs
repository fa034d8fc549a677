//! The metrics bucket: CI writes it, we read it.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    config::{Builder, timeout::TimeoutConfig},
    error::ProvideErrorMetadata as _,
    operation::get_object::GetObjectOutput,
    primitives::ByteStream,
    types::EncodingType,
};
use jiff::Timestamp;

use super::Tip;
use crate::{ObjectVersion, object::decode_key};
use platform::StoreError;
use platform::config::{self, ConfigError};

/// The most bytes that a document may have. The sample has 400; this leaves room for what else a collector records, and
/// bounds the memory of a batch.
pub const LARGEST: u64 = 1 << 20;

/// How long the store may take to begin an answer, and with all attempts: less than the function's timeout, so that a
/// document that hangs costs those beside it nothing.
const ATTEMPT: Duration = Duration::from_secs(4);
const OPERATION: Duration = Duration::from_secs(12);

/// The bucket of CI's documents.
#[derive(Debug, Clone)]
pub struct MetricsBucket {
    client: Client,
    name: String,
}

/// What is in the place of a version.
#[derive(Debug)]
pub enum Found {
    /// Its bytes.
    Document(ObjectVersion, Vec<u8>),
    /// More bytes than a document may have. They were not read.
    TooLarge(ObjectVersion, u64),
    /// Nothing: it was deleted, or its time was over.
    Gone,
}

impl MetricsBucket {
    /// The bucket `METRICS_BUCKET`, by the SDK's standard variables.
    ///
    /// # Errors
    /// When the variable is missing.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, ConfigError> {
        let name = config::required("METRICS_BUCKET")?;
        // An emulator has no host name per bucket.
        let path_style = sdk.endpoint_url().is_some() || config::optional("AWS_ENDPOINT_URL_S3").is_some();
        let patience = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(OPERATION).build();
        let builder = Builder::from(sdk).force_path_style(path_style).timeout_config(patience);
        Ok(Self { client: Client::from_conf(builder.build()), name })
    }

    /// The bucket's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads a version.
    ///
    /// # Errors
    /// When the store refuses, or breaks off.
    pub async fn read(&self, tip: Tip) -> Result<Found, StoreError> {
        let request = self.client.get_object().bucket(&self.name).key(&tip.key).set_version_id(tip.version.clone());
        let mut answer = match request.send().await {
            Ok(answer) => answer,
            // The last is what a delete marker answers.
            Err(error) if matches!(error.code(), Some("NoSuchKey" | "NoSuchVersion" | "MethodNotAllowed")) => {
                tracing::info!(key = tip.key, version = tip.version, "the object is gone");
                return Ok(Found::Gone);
            }
            Err(error) => return Err(StoreError::new("read", &tip.key, error)),
        };
        let size = answer.content_length().and_then(|size| size.try_into().ok()).unwrap_or_default();
        let body = std::mem::take(&mut answer.body);
        let object = version(tip, answer);
        if size > LARGEST {
            return Ok(Found::TooLarge(object, size));
        }
        let bytes = read_all(body).await.map_err(|error| StoreError::new("read all of", &object.key, error))?;
        Ok(Found::Document(object, bytes))
    }

    /// The keys after `after` that begin with `prefix`, in order: at most a thousand; none, when there are no more.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn keys(&self, prefix: &str, after: &str) -> Result<Vec<String>, StoreError> {
        // Encoded, since XML cannot carry every key.
        let request = self.client.list_objects_v2().bucket(&self.name).prefix(prefix).encoding_type(EncodingType::Url);
        let after = Some(after.to_owned()).filter(|after| !after.is_empty());
        let answer = request.set_start_after(after).send().await;
        let answer = answer.map_err(|error| StoreError::new("list from", prefix, error))?;
        let keys = answer.contents.unwrap_or_default().into_iter().filter_map(|object| object.key);
        Ok(keys.filter_map(|key| decode_key(&key)).collect())
    }
}

fn version(tip: Tip, answer: GetObjectOutput) -> ObjectVersion {
    let seconds = answer.last_modified().map_or(0, |time| time.secs());
    ObjectVersion {
        key: tip.key,
        // What was written before the bucket kept versions.
        version: answer.version_id.filter(|version| version != "null"),
        etag: answer.e_tag.unwrap_or_default().trim_matches('"').to_owned(),
        time: Timestamp::from_second(seconds).unwrap_or_default(),
        sequencer: tip.sequencer,
    }
}

/// The bytes of a body whose length is known to be small.
async fn read_all(body: ByteStream) -> Result<Vec<u8>, aws_sdk_s3::primitives::ByteStreamError> {
    body.collect().await.map(|bytes| bytes.to_vec())
}
