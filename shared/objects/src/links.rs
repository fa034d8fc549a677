//! The signer of links to files.

use std::{sync::Arc, time::Duration};

use aws_sdk_s3::{
    Client,
    config::{Builder, IdentityCache},
    presigning::PresigningConfig,
};
use platform::{
    StoreError,
    aws::SdkConfig,
    config::{self, ConfigError},
    secret::Secret,
};

use crate::{cloudfront::CloudFront, link_key::LinkKey, refusal::failed};

/// The signer of links.
#[derive(Debug, Clone)]
pub(crate) enum Links {
    /// The key by which the store is used.
    Own(Client),
    /// A key that signs links and does nothing else.
    Key(Client),
    /// A key that a distribution of CloudFront trusts.
    CloudFront(Arc<CloudFront>),
}

impl Links {
    /// Reads the variables of [`ExportStore::from_env`](crate::ExportStore::from_env) that begin with `EXPORTS_LINK_`.
    ///
    /// # Errors
    /// When a variable is missing or unusable.
    pub(crate) fn from_env(sdk: &SdkConfig, store: Builder, own: &Client) -> Result<Self, ConfigError> {
        if config::optional("EXPORTS_LINK_DOMAIN").is_some() {
            return Ok(Self::CloudFront(Arc::new(CloudFront::from_env(sdk)?)));
        }
        let Some(id) = config::optional("EXPORTS_LINK_SECRET") else { return Ok(Self::Own(own.clone())) };
        let key = LinkKey::new(Secret::with(sdk, id));
        let config = store.credentials_provider(key).identity_cache(IdentityCache::no_cache());
        Ok(Self::Key(Client::from_conf(config.build())))
    }

    /// Signs a link to an object.
    ///
    /// # Errors
    /// When there is no key to sign with.
    pub(crate) async fn sign(&self, bucket: &str, key: &str, lifetime: Duration) -> Result<String, StoreError> {
        const ACTION: &str = "sign a link to";
        let client = match self {
            Self::Own(client) | Self::Key(client) => client,
            Self::CloudFront(signer) => {
                let link = signer.sign(key, lifetime).await;
                return link.map_err(|error| StoreError::new(ACTION, key, error));
            }
        };
        let lifetime = PresigningConfig::expires_in(lifetime);
        let lifetime = lifetime.map_err(|error| StoreError::new(ACTION, key, error))?;
        let request = client.get_object().bucket(bucket).key(key).presigned(lifetime).await;
        let request = request.map_err(|error| failed(ACTION, key, error))?;
        Ok(request.uri().to_owned())
    }

    /// Reports whether the store tells the signer no more of an object that is not there than that it has no access:
    /// Amazon S3 does so where the signer may not list the bucket.
    pub(crate) const fn hides_missing(&self) -> bool {
        matches!(self, Self::Key(_) | Self::CloudFront(_))
    }
}
