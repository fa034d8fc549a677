//! The bucket of the files, as its owner sees it.

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_sdk_s3::{Client, config::Builder, operation::head_object::HeadObjectOutput};

use crate::stack::variable;

/// The exports bucket.
#[derive(Debug)]
pub struct Objects {
    /// The client, for what has no function here.
    pub client: Client,
    /// The bucket's name.
    pub bucket: String,
}

impl Objects {
    pub(crate) fn new(sdk: &SdkConfig, bucket: String) -> Self {
        // A local store has no host name per bucket.
        let path_style = sdk.endpoint_url().is_some();
        Self { client: Client::from_conf(Builder::from(sdk).force_path_style(path_style).build()), bucket }
    }

    /// The bucket of exports, which may be on a store of its own with keys of its own.
    pub(crate) fn of_exports(sdk: &SdkConfig, bucket: String) -> Self {
        let Ok(id) = std::env::var("EXPORTS_ACCESS_KEY_ID") else { return Self::new(sdk, bucket) };
        let keys = Credentials::new(id, variable("EXPORTS_SECRET_ACCESS_KEY"), None, None, "tests");
        let config = Builder::from(sdk).credentials_provider(keys).force_path_style(true);
        Self { client: Client::from_conf(config.build()), bucket }
    }

    /// The facts of an object.
    ///
    /// # Panics
    /// When there is no such object.
    pub async fn head(&self, key: &str) -> HeadObjectOutput {
        let request = self.client.head_object().bucket(&self.bucket).key(key);
        request.send().await.unwrap_or_else(|error| panic!("{key}: {error:?}"))
    }

    /// The keys that begin with `prefix`; at most a thousand.
    pub async fn keys(&self, prefix: &str) -> Vec<String> {
        let answer = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix).send().await.unwrap();
        answer.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect()
    }

    /// The keys of the unfinished multipart uploads that begin with `prefix`.
    pub async fn open_uploads(&self, prefix: &str) -> Vec<String> {
        let answer = self.client.list_multipart_uploads().bucket(&self.bucket).prefix(prefix).send().await.unwrap();
        let keys = answer.uploads().iter().filter_map(|upload| upload.key().map(str::to_owned));
        // Not every emulator filters by the prefix.
        keys.filter(|key| key.starts_with(prefix)).collect()
    }
}
