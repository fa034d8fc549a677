//! The access key that signs links, kept in a secret so that it can be rotated.

use aws_credential_types::provider::{error::CredentialsError, future};
use aws_sdk_s3::config::{Credentials, ProvideCredentials};
use platform::secret::{Secret, SecretError};
use serde::Deserialize;

use crate::rotated::Rotated;

/// Provides the key to the SDK. The SDK's own cache would keep it for 15 minutes at least; and a key with an end, which the
/// SDK keeps until then, makes it warn that links end as early.
#[derive(Debug)]
pub(crate) struct LinkKey(Rotated<Credentials>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Value {
    access_key_id: String,
    secret_access_key: String,
}

impl LinkKey {
    pub(crate) fn new(secret: Secret) -> Self {
        Self(Rotated::new(secret))
    }

    async fn key(&self) -> Result<Credentials, SecretError> {
        let make = |Value { access_key_id, secret_access_key }| {
            Ok(Credentials::new(access_key_id, secret_access_key, None, None, "secret"))
        };
        self.0.get(make).await
    }
}

impl ProvideCredentials for LinkKey {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let reading = async { self.key().await.map_err(CredentialsError::provider_error) };
        future::ProvideCredentials::new(reading)
    }
}
