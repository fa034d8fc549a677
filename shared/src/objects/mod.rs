//! The object store: S3, or one that speaks its protocol.

mod earlier;
mod key;
mod publish;
mod upload;

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    config::{Builder, Credentials},
    presigning::PresigningConfig,
};

pub use key::ExportObject;
pub use upload::{Upload, UploadError};

use crate::config::{self, ConfigError};

/// How long a download link works.
pub const LINK_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The bucket of finished exports.
#[derive(Debug, Clone)]
pub struct ExportStore {
    client: Client,
    bucket: String,
    /// What precedes a key in an object's plain address.
    address: String,
}

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} object {key:?}")]
pub struct ObjectError {
    action: &'static str,
    key: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl ObjectError {
    pub(crate) fn new(action: &'static str, key: &str, source: impl Into<aws_sdk_s3::Error>) -> Self {
        Self { action, key: key.to_owned(), source: Box::new(source.into()) }
    }

    pub(crate) fn cut_off(key: &str, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { action: "read all of", key: key.to_owned(), source: Box::new(source) }
    }

    fn contended(key: &str) -> Self {
        Self { action: "write", key: key.to_owned(), source: "others wrote it at the same moment".into() }
    }
}

impl ExportStore {
    /// The store by the SDK's standard variables, and these of its own:
    ///
    /// - `EXPORTS_BUCKET`: the bucket;
    /// - `EXPORTS_ACCESS_KEY_ID` and `EXPORTS_SECRET_ACCESS_KEY`, optional: a key for this store alone. A link signed
    ///   with a function's own session ends with that session, long before [`LINK_LIFETIME`]; a link signed with a
    ///   standing key does not. A store outside AWS has keys of its own anyway.
    ///
    /// # Errors
    /// When a variable is missing.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, ConfigError> {
        let bucket = config::required("EXPORTS_BUCKET")?;
        let mut builder = Builder::from(sdk);
        if let Some(id) = config::optional("EXPORTS_ACCESS_KEY_ID") {
            let secret = config::required("EXPORTS_SECRET_ACCESS_KEY")?;
            builder = builder.credentials_provider(Credentials::new(id, secret, None, None, "environment"));
        }
        // The service's own variable wins over the general one, as in the SDK.
        let endpoint = config::optional("AWS_ENDPOINT_URL_S3").or_else(|| sdk.endpoint_url().map(str::to_owned));
        let address = match endpoint {
            // Stores outside AWS seldom have a host name per bucket.
            Some(endpoint) => {
                builder = builder.force_path_style(true);
                format!("{}/{bucket}", endpoint.trim_end_matches('/'))
            }
            None => {
                let region = sdk.region().ok_or(ConfigError::Missing("AWS_REGION"))?;
                format!("https://{bucket}.s3.{region}.amazonaws.com")
            }
        };
        Ok(Self { client: Client::from_conf(builder.build()), bucket, address })
    }

    /// The plain address of an object. It carries no signature and grants nothing.
    pub fn address(&self, object: &ExportObject) -> String {
        format!("{}/{}", self.address, object.key())
    }

    /// A link by which anyone can download the object for [`LINK_LIFETIME`].
    ///
    /// # Errors
    /// When there are no credentials to sign with.
    pub async fn sign_link(&self, object: &ExportObject) -> Result<String, ObjectError> {
        let key = object.key();
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| ObjectError {
            action: "sign a link to",
            key: key.clone(),
            source,
        };
        let lifetime = PresigningConfig::expires_in(LINK_LIFETIME).map_err(|error| failed(error.into()))?;
        let request = self.client.get_object().bucket(&self.bucket).key(&key).presigned(lifetime).await;
        request
            .map(|request| request.uri().to_owned())
            .map_err(|error| failed(Box::new(aws_sdk_s3::Error::from(error))))
    }

    /// Whether the store answers for the bucket.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), ObjectError> {
        let answer = self.client.head_bucket().bucket(&self.bucket).send().await;
        answer.map(|_| ()).map_err(|error| ObjectError::new("reach the bucket of", "", error))
    }
}
