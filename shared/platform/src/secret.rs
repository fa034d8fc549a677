//! Secrets in AWS Secrets Manager.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::{Client, Error, operation::get_secret_value::GetSecretValueOutput};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::config::ConfigError;

/// The time in which a secret must be read.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A secret whose value is a JSON object.
#[derive(Debug, Clone)]
pub struct Secret {
    client: Client,
    id: String,
}

/// A secret that could not be read. Never contains its value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager did not give it.
    #[error("could not read the secret {id:?}")]
    Unread {
        /// The name or ARN of the secret.
        id: String,
        /// The reason.
        source: Box<Error>,
    },
    /// Secrets Manager did not answer in time.
    #[error("could not read the secret {0:?} in {seconds} s", seconds = TIMEOUT.as_secs())]
    NoAnswer(String),
    /// The value is not what is needed.
    #[error("the secret {0:?} is no JSON object with the members that are needed")]
    Malformed(String),
}

impl Secret {
    /// Makes the reader of a secret by the SDK's standard variables; `id` is its name or ARN.
    ///
    /// # Errors
    /// When a variable is missing.
    pub fn new(id: String) -> Result<Self, ConfigError> {
        Ok(Self::with(&crate::aws::sdk_config()?, id))
    }

    /// Makes the reader of a secret.
    pub fn with(sdk: &SdkConfig, id: String) -> Self {
        Self { client: Client::new(sdk), id }
    }

    /// Reads the version that is valid now. Members that `T` does not have are passed over.
    ///
    /// # Errors
    /// See [`SecretError`].
    pub async fn current<T: DeserializeOwned>(&self) -> Result<T, SecretError> {
        self.parse(&self.read("AWSCURRENT").await?)
    }

    /// Reads the next version, which exists while the secret is rotated: the service that it is for may accept it
    /// already.
    ///
    /// # Errors
    /// See [`SecretError`].
    pub async fn pending<T: DeserializeOwned>(&self) -> Result<Option<T>, SecretError> {
        match self.read("AWSPENDING").await {
            Ok(value) => self.parse(&value).map(Some),
            Err(SecretError::Unread { source, .. }) if matches!(*source, Error::ResourceNotFoundException(_)) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn read(&self, stage: &str) -> Result<GetSecretValueOutput, SecretError> {
        // Boxed, since the futures of all that connects to a database would nest deeper than the compiler allows.
        let asking = Box::pin(self.client.get_secret_value().secret_id(&self.id).version_stage(stage).send());
        let answer = timeout(TIMEOUT, asking).await.map_err(|_| SecretError::NoAnswer(self.id.clone()))?;
        answer.map_err(|error| SecretError::Unread { id: self.id.clone(), source: Box::new(error.into()) })
    }

    fn parse<T: DeserializeOwned>(&self, value: &GetSecretValueOutput) -> Result<T, SecretError> {
        // The parser's error would quote the value.
        let parsed = value.secret_string().and_then(|text| serde_json::from_str(text).ok());
        parsed.ok_or_else(|| SecretError::Malformed(self.id.clone()))
    }
}
