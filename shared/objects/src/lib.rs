//! The bucket of exports, on S3 or a store with its protocol.

mod cleanup;
mod cloudfront;
mod days;
mod head;
mod hold;
mod key;
mod link_key;
mod links;
mod probe;
mod read;
mod received;
mod refusal;
mod rotated;
mod settings;
mod tag;
mod upload;

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    config::{Builder, Credentials},
};

pub use head::head_prefix;
pub use key::{ExportObject, held_prefix};
use links::Links;
pub use read::ObjectBytes;
pub use tag::Stored;
pub use upload::Upload;

use refusal::failed;
use settings::{Addressing, Encryption};

use platform::{
    StoreError,
    config::{self, ConfigError},
};

/// The time for which a download link works.
pub const LINK_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The bucket of finished exports.
#[derive(Debug, Clone)]
pub struct ExportStore {
    client: Client,
    links: Links,
    bucket: String,
    /// The part of an object's plain address before its key.
    address: String,
    encryption: Encryption,
    /// Whether the bucket has Object Lock, so that held files are locked.
    locks: bool,
}

impl ExportStore {
    /// Reads the SDK's standard variables and these:
    ///
    /// - `EXPORTS_BUCKET`: the bucket;
    /// - `EXPORTS_ACCESS_KEY_ID` and `EXPORTS_SECRET_ACCESS_KEY`, optional: a key for this store alone, as a store outside
    ///   AWS has;
    /// - `EXPORTS_LINK_SECRET`, optional: the secret in AWS Secrets Manager with the members `accessKeyId` and
    ///   `secretAccessKey`, a key that signs links and does nothing else. A link that is signed with a function's own
    ///   session expires with that session, long before [`LINK_LIFETIME`]; a link of a long-term key does not;
    /// - `EXPORTS_LINK_DOMAIN`, optional: the host name of a distribution of CloudFront that gives out the bucket's
    ///   objects. Links are then links to it. `EXPORTS_LINK_SECRET` has the member `privateKey` in PEM instead, and
    ///   `EXPORTS_LINK_KEYS` the public keys that the distribution trusts: `<id>=<base64>`, with commas between several;
    /// - `EXPORTS_ENCRYPTION` and `EXPORTS_KMS_KEY_ID`, optional: the encryption that uploads ask for, `none`, `AES256` or
    ///   `aws:kms`. Without them the bucket's default applies, which on AWS is encryption;
    /// - `EXPORTS_OBJECT_LOCK`, optional: `true` if the bucket has Object Lock, by which held files are locked;
    /// - `EXPORTS_ADDRESSING`, optional, for a store outside AWS: `path` or `virtual`. `path` is the default.
    ///
    /// # Errors
    /// When a variable is missing or unusable.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, ConfigError> {
        let bucket = config::required("EXPORTS_BUCKET")?;
        let mut builder = Builder::from(sdk);
        if let Some(id) = config::optional("EXPORTS_ACCESS_KEY_ID") {
            let secret = config::required("EXPORTS_SECRET_ACCESS_KEY")?;
            builder = builder.credentials_provider(Credentials::new(id, secret, None, None, "environment"));
        }
        // The service's own variable takes precedence over the general one, as in the SDK.
        let endpoint = config::optional("AWS_ENDPOINT_URL_S3").or_else(|| sdk.endpoint_url().map(str::to_owned));
        let address = match endpoint {
            // Few stores outside AWS have a host name per bucket.
            Some(endpoint) => {
                let addressing = match config::optional("EXPORTS_ADDRESSING") {
                    Some(_) => config::parsed("EXPORTS_ADDRESSING", "path or virtual")?,
                    None => Addressing::Path,
                };
                builder = builder.force_path_style(addressing == Addressing::Path);
                addressing.address(&endpoint, &bucket)
            }
            None => {
                let region = sdk.region().ok_or(ConfigError::Missing("AWS_REGION"))?;
                format!("https://{bucket}.s3.{region}.amazonaws.com")
            }
        };
        let encryption = Encryption::from_env()?;
        let client = Client::from_conf(builder.clone().build());
        let links = Links::from_env(sdk, builder, &client)?;
        let locks = match config::optional("EXPORTS_OBJECT_LOCK") {
            Some(_) => config::parsed("EXPORTS_OBJECT_LOCK", "true or false")?,
            None => false,
        };
        Ok(Self { client, links, bucket, address, encryption, locks })
    }

    /// Returns the plain address of an object. It has no signature and grants no access.
    pub fn address(&self, object: &ExportObject) -> String {
        format!("{}/{}", self.address, object.key())
    }

    /// Signs a link by which anyone can download the object for [`LINK_LIFETIME`].
    ///
    /// # Errors
    /// When there is no key to sign with.
    pub async fn sign_link(&self, object: &ExportObject) -> Result<String, StoreError> {
        self.links.sign(&self.bucket, &object.key(), LINK_LIFETIME).await
    }

    /// Checks that the store answers for the bucket.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let answer = self.client.head_bucket().bucket(&self.bucket).send().await;
        answer.map(|_| ()).map_err(|error| failed("reach the bucket of", "", error))
    }
}
