//! The files in the exports bucket, with their days and their copies.

use anyhow::{Context as _, Result};
use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    config::{Builder, Credentials},
};
use domain::OrgId;
use platform::config;

use crate::report::Report;

/// The folders with objects of an organization that are deleted.
const FOLDERS: [&str; 3] = ["exports", "days", "held"];

/// The organization's objects.
pub(crate) struct Bucket {
    client: Client,
    name: String,
    org: OrgId,
}

impl Bucket {
    pub(crate) fn from_env(sdk: &SdkConfig, org: OrgId) -> Result<Self> {
        let name = config::required("EXPORTS_BUCKET")?;
        let mut builder = Builder::from(sdk).force_path_style(sdk.endpoint_url().is_some());
        if let Some(id) = config::optional("EXPORTS_ACCESS_KEY_ID") {
            let secret = config::required("EXPORTS_SECRET_ACCESS_KEY")?;
            builder = builder
                .credentials_provider(Credentials::new(id, secret, None, None, "environment"))
                .force_path_style(true);
        }
        Ok(Self { client: Client::from_conf(builder.build()), name, org })
    }

    /// Counts the objects of each folder, and deletes them, with their versions, if that is wanted.
    pub(crate) async fn erase(&self, deletes: bool, report: &mut Report) -> Result<()> {
        for folder in FOLDERS {
            let objects = self.objects(folder).await?;
            for (key, version) in objects.iter().filter(|_| deletes) {
                let delete = self.client.delete_object().bucket(&self.name).key(key);
                let delete = delete.set_version_id(version.clone());
                delete.send().await.with_context(|| format!("can't delete {key}"))?;
            }
            report.deleted("bucket", &format!("analytics/{folder}/"), objects.len() as u64);
        }
        Ok(())
    }

    /// Returns the number of objects that are there.
    pub(crate) async fn left(&self) -> Result<u64> {
        let mut left = 0;
        for folder in FOLDERS {
            left += self.objects(folder).await?.len() as u64;
        }
        Ok(left)
    }

    /// Returns the keys and versions of a folder; in a bucket without versions, the version `null`.
    async fn objects(&self, folder: &str) -> Result<Vec<(String, Option<String>)>> {
        let prefix = format!("analytics/{folder}/{}/", self.org);
        let mut found = Vec::new();
        let (mut key, mut version) = (None, None);
        loop {
            let list = self.client.list_object_versions().bucket(&self.name).prefix(&prefix);
            let page =
                list.set_key_marker(key).set_version_id_marker(version).send().await.context("can't list files")?;
            let named = |key: Option<&str>, version: Option<&str>| {
                key.map(|key| (key.to_owned(), version.filter(|version| *version != "null").map(str::to_owned)))
            };
            found.extend(page.versions().iter().filter_map(|one| named(one.key(), one.version_id())));
            found.extend(page.delete_markers().iter().filter_map(|one| named(one.key(), one.version_id())));
            if page.is_truncated() != Some(true) {
                return Ok(found);
            }
            (key, version) = (page.next_key_marker, page.next_version_id_marker);
        }
    }
}
