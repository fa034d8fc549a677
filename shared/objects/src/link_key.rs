//! The key that signs links, kept in a secret so that it can be rotated.

use std::time::{Duration, Instant};

use aws_credential_types::provider::{error::CredentialsError, future};
use aws_sdk_s3::config::{Credentials, ProvideCredentials};
use platform::secret::{Secret, SecretError};
use serde::Deserialize;
use tokio::sync::Mutex;

/// The time after which the secret is read again. A key that was replaced signs links for no longer.
const LIFETIME: Duration = Duration::from_secs(60);

/// Provides the key to the SDK. The SDK's own cache would keep it for 15 minutes at least; and a key with an end, which the
/// SDK keeps until then, makes it warn that links end as early.
#[derive(Debug)]
pub(crate) struct LinkKey {
    secret: Secret,
    known: Mutex<Option<(Instant, Credentials)>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Value {
    access_key_id: String,
    secret_access_key: String,
}

impl LinkKey {
    pub(crate) fn new(secret: Secret) -> Self {
        Self { secret, known: Mutex::default() }
    }

    async fn key(&self) -> Result<Credentials, SecretError> {
        let mut known = self.known.lock().await;
        if let Some((read_at, key)) = &*known
            && read_at.elapsed() < LIFETIME
        {
            return Ok(key.clone());
        }
        let Value { access_key_id, secret_access_key } = self.secret.current().await?;
        let key = Credentials::new(access_key_id, secret_access_key, None, None, "secret");
        *known = Some((Instant::now(), key.clone()));
        Ok(key)
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
