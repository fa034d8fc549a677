//! Checks that the store can do all that an export and its download need.

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;

use super::{ExportStore, failed};
use platform::{StoreError, http::HttpClient};

/// The beginning of the keys of all objects.
const PREFIX: &str = "analytics/exports/";
/// The key of the probe's object.
const KEY: &str = "analytics/exports/probe.csv";
/// The time for which its link works. Long enough for clocks that differ.
const PROBE_LIFETIME: Duration = Duration::from_secs(300);
const CONTENT: &[u8] = b"probe\n";

impl ExportStore {
    /// Follows a signed link to the first object of the bucket, as a person's browser would. In a bucket without objects,
    /// follows a link to one that is not there: the store answers 404 if it takes the signature.
    ///
    /// # Errors
    /// When the store refuses the link, or does not answer.
    pub async fn check_links(&self, http: &HttpClient) -> Result<(), StoreError> {
        let first = self.first_key().await?;
        let key = first.as_deref().unwrap_or(KEY);
        let link = self.links.sign(&self.bucket, key, PROBE_LIFETIME).await?;
        let link = link.parse().map_err(|error| StoreError::new("follow a link to", key, error))?;
        let answer = http.get(link).await.map_err(|error| StoreError::new("follow a link to", key, error))?;
        match answer.status().as_u16() {
            // An object that was just deleted, or the probe's own.
            200 | 404 => Ok(()),
            403 if first.is_none() && self.links.hides_missing() => Ok(()),
            status => Err(StoreError::refused("follow a link to", key, format!("the store answers {status}"))),
        }
    }

    async fn first_key(&self) -> Result<Option<String>, StoreError> {
        let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(PREFIX).max_keys(1).send().await;
        let listed = list.map_err(|error| failed("list the objects of", "", error))?;
        Ok(listed.contents.and_then(|objects| objects.into_iter().next()).and_then(|object| object.key))
    }

    /// Writes an object as an export does, reads it back, begins and aborts an upload in parts, and deletes the object.
    ///
    /// # Errors
    /// At the first step that the store does not do.
    pub async fn probe(&self) -> Result<(), StoreError> {
        let (encryption, kms_key) = self.encryption.headers();
        let put = self.client.put_object().bucket(&self.bucket).key(KEY).body(ByteStream::from_static(CONTENT));
        let put = put.set_server_side_encryption(encryption.clone()).set_ssekms_key_id(kms_key.clone()).send().await;
        put.map_err(|error| failed("put", KEY, error))?;

        let get = self.client.get_object().bucket(&self.bucket).key(KEY).send().await;
        let body = get.map_err(|error| failed("read", KEY, error))?.body.collect().await;
        let read = body.map_err(|error| StoreError::new("read", KEY, error))?.into_bytes();
        if read != CONTENT {
            return Err(StoreError::refused("read", KEY, "the store has other bytes than were written"));
        }

        let begin = self.client.create_multipart_upload().bucket(&self.bucket).key(KEY);
        let begin = begin.set_server_side_encryption(encryption).set_ssekms_key_id(kms_key).send().await;
        let id = begin.map_err(|error| failed("begin the upload of", KEY, error))?.upload_id;
        let abort = self.client.abort_multipart_upload().bucket(&self.bucket).key(KEY).set_upload_id(id).send().await;
        abort.map_err(|error| failed("abort the upload of", KEY, error))?;
        let list = self.client.list_multipart_uploads().bucket(&self.bucket).prefix(KEY).send().await;
        list.map_err(|error| failed("list the uploads of", KEY, error))?;

        self.delete(KEY).await
    }
}
