//! The key that signs links, kept in a secret so that it can be rotated.

use std::time::{Duration, SystemTime};

use aws_credential_types::provider::{error::CredentialsError, future};
use aws_sdk_s3::config::{Credentials, ProvideCredentials};
use platform::secret::{Secret, SecretError};
use serde::Deserialize;

/// The time after which the secret is read again. A key that was replaced signs links for no longer.
const LIFETIME: Duration = Duration::from_secs(60);

/// Provides the key to the SDK, which keeps it until it expires.
#[derive(Debug)]
pub(crate) struct LinkKey(Secret);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Value {
    access_key_id: String,
    secret_access_key: String,
}

impl LinkKey {
    pub(crate) const fn new(secret: Secret) -> Self {
        Self(secret)
    }

    async fn read(&self) -> Result<Credentials, SecretError> {
        let Value { access_key_id, secret_access_key } = self.0.current().await?;
        let expiry = SystemTime::now() + LIFETIME;
        Ok(Credentials::new(access_key_id, secret_access_key, None, Some(expiry), "secret"))
    }
}

impl ProvideCredentials for LinkKey {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let reading = async { self.read().await.map_err(CredentialsError::provider_error) };
        future::ProvideCredentials::new(reading)
    }
}
