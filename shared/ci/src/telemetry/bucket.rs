//! The metrics bucket. CI writes to it; this program only reads.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    config::{Builder, timeout::TimeoutConfig},
    error::ProvideErrorMetadata as _,
    operation::get_object::GetObjectOutput,
    primitives::{ByteStream, ByteStreamError},
    types::EncodingType,
};
use jiff::Timestamp;
use platform::{
    StoreError,
    config::{self, ConfigError},
};

use super::{ObjectRef, key::Kind, s3};
use crate::ObjectVersion;

/// The timeout of one attempt, up to the start of the answer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);

/// The timeout of a request with all its attempts: less than the function's own, so that one slow document does not
/// fail the rest of its batch.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(12);

/// The bucket of CI's documents.
#[derive(Debug, Clone)]
pub struct MetricsBucket {
    client: Client,
    name: String,
}

/// The result of reading a version.
#[derive(Debug)]
pub enum Found {
    /// The document's bytes.
    Document(ObjectVersion, Vec<u8>),
    /// More bytes than a document may have, as many as stated. They were not read.
    TooLarge(ObjectVersion, u64),
    /// Nothing: the version was deleted or expired.
    Gone,
}

/// An answer of the store that cannot be used.
#[derive(Debug, thiserror::Error)]
enum InvalidAnswer {
    #[error("the answer has no valid header {0}")]
    Header(&'static str),
    #[error("the body is longer than the {0} bytes of a document")]
    TooLong(usize),
    #[error("the body ended early")]
    Body(#[from] ByteStreamError),
}

impl MetricsBucket {
    /// Opens the bucket `METRICS_BUCKET`, by the SDK's standard variables.
    ///
    /// # Errors
    /// When the variable is missing.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, ConfigError> {
        let name = config::required("METRICS_BUCKET")?;
        // An emulator has no host name per bucket.
        let path_style = sdk.endpoint_url().is_some() || config::optional("AWS_ENDPOINT_URL_S3").is_some();
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let builder = Builder::from(sdk).force_path_style(path_style).timeout_config(timeouts);
        Ok(Self { client: Client::from_conf(builder.build()), name })
    }

    /// Returns the bucket's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads a version.
    ///
    /// # Errors
    /// When the store refuses, the connection breaks, or the answer lacks a header that every object has.
    pub async fn read(&self, object: ObjectRef) -> Result<Found, StoreError> {
        let max = Kind::of(&object.key).max_bytes();
        let request = self.client.get_object().bucket(&self.name).key(&object.key);
        let mut answer = match request.set_version_id(object.version.clone()).send().await {
            Ok(answer) => answer,
            // A delete marker answers with the last of them.
            Err(error) if matches!(error.code(), Some("NoSuchKey" | "NoSuchVersion" | "MethodNotAllowed")) => {
                tracing::info!(key = object.key, version = object.version, "object no longer exists");
                return Ok(Found::Gone);
            }
            Err(error) => return Err(StoreError::new("read", &object.key, error)),
        };
        let body = std::mem::take(&mut answer.body);
        let key = object.key.clone();
        let failed = |error: InvalidAnswer| StoreError::new("read", &key, error);
        let size = stated_size(&answer).map_err(failed)?;
        let object = version(object, answer).map_err(failed)?;
        if size > max as u64 {
            return Ok(Found::TooLarge(object, size));
        }
        let bytes = read_up_to(max, body).await.map_err(failed)?;
        Ok(Found::Document(object, bytes))
    }

    /// Lists the keys after `after` that begin with `prefix`, in order: at most a thousand; none at the end of the
    /// list.
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
        Ok(keys.filter_map(|key| s3::decode_key(&key)).collect())
    }
}

fn stated_size(answer: &GetObjectOutput) -> Result<u64, InvalidAnswer> {
    let size = answer.content_length().and_then(|size| size.try_into().ok());
    size.ok_or(InvalidAnswer::Header("Content-Length"))
}

/// Identifies the version that an answer is about. A default for a missing time would order it wrongly among its key's
/// versions, so each header is required.
fn version(object: ObjectRef, answer: GetObjectOutput) -> Result<ObjectVersion, InvalidAnswer> {
    let time = answer.last_modified().and_then(|time| Timestamp::from_second(time.secs()).ok());
    Ok(ObjectVersion {
        time: time.ok_or(InvalidAnswer::Header("Last-Modified"))?,
        etag: s3::etag(answer.e_tag().ok_or(InvalidAnswer::Header("ETag"))?),
        version: s3::version_id(answer.version_id),
        key: object.key,
        sequencer: object.sequencer,
    })
}

/// Reads a body of at most `max` bytes. The cap holds whatever the length was stated to be.
async fn read_up_to(max: usize, mut body: ByteStream) -> Result<Vec<u8>, InvalidAnswer> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.try_next().await? {
        if chunk.len() > max - bytes.len() {
            return Err(InvalidAnswer::TooLong(max));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::primitives::DateTime;

    use super::*;
    use crate::Sequencer;

    fn object() -> ObjectRef {
        ObjectRef { key: "metrics/a.json".to_owned(), version: None, sequencer: Sequencer::default() }
    }

    #[test]
    fn an_answer_without_a_header_is_an_error_and_no_default() {
        let whole = || {
            let answer = GetObjectOutput::builder().content_length(3).last_modified(DateTime::from_secs(1_762_600_000));
            answer.e_tag("\"tag\"").version_id("null")
        };
        let found = version(object(), whole().build()).unwrap();
        assert_eq!((found.etag.as_str(), found.version, found.time.as_second()), ("tag", None, 1_762_600_000));
        assert_eq!(stated_size(&whole().build()).unwrap(), 3);

        for length in [None, Some(-1)] {
            let answer = whole().set_content_length(length).build();
            assert!(matches!(stated_size(&answer), Err(InvalidAnswer::Header("Content-Length"))), "{length:?}");
        }
        let missing = |answer| version(object(), answer).expect_err("a header is missing").to_string();
        assert!(missing(whole().set_last_modified(None).build()).contains("Last-Modified"));
        assert!(missing(whole().set_e_tag(None).build()).contains("ETag"));
    }

    /// Drives a future that never waits.
    fn now<T>(future: impl Future<Output = T>) -> T {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(future).poll(&mut context) {
            std::task::Poll::Ready(value) => value,
            std::task::Poll::Pending => panic!("the body is in memory"),
        }
    }

    #[test]
    fn no_body_is_read_beyond_the_cap() {
        assert_eq!(now(read_up_to(4, ByteStream::from_static(b"1234"))).unwrap(), b"1234");
        let error = now(read_up_to(3, ByteStream::from_static(b"1234"))).expect_err("it has four bytes");
        assert!(matches!(error, InvalidAnswer::TooLong(3)));
    }
}
