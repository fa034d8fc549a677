//! Removes what earlier attempts left in the store, whose workers were lost before they could abort.

use aws_sdk_s3::types::MultipartUpload;

use super::Upload;
use platform::{StoreError, log::Causes};

impl Upload {
    /// Removes the uploads and staged files of earlier attempts at the same job. A failure is logged; the bucket's
    /// lifecycle removes them within a day.
    pub async fn remove_earlier_attempts(&self) {
        if self.fence == 1 {
            return;
        }
        let removed = async {
            self.abort_earlier(&self.object.staging_prefix()).await?;
            self.abort_earlier(&self.object.key()).await?;
            for fence in 1..self.fence {
                self.delete(&self.object.staging_key(fence)).await?;
            }
            Ok::<_, StoreError>(())
        };
        if let Err(error) = removed.await {
            tracing::warn!(error = %Causes(&error), "could not remove what earlier attempts left in the store");
        }
    }

    async fn abort_earlier(&self, prefix: &str) -> Result<(), StoreError> {
        let request = self.store.client.list_multipart_uploads().bucket(&self.store.bucket).prefix(prefix);
        let answer = request.send().await.map_err(|error| StoreError::new("list the uploads of", prefix, error))?;
        for upload in answer.uploads() {
            let key =
                upload.key().ok_or_else(|| StoreError::new("list the uploads of", prefix, "an upload has no key"))?;
            if !self.is_earlier(key, upload) {
                continue;
            }
            let request = self.store.client.abort_multipart_upload().bucket(&self.store.bucket).key(key);
            let aborted = request.set_upload_id(upload.upload_id.clone()).send().await;
            aborted.map_err(|error| StoreError::new("abort the upload of", key, error))?;
        }
        Ok(())
    }

    /// Reports whether an upload is of an attempt before this one. This one may have lost its lease by now, and must
    /// not touch the uploads of the attempt that took over.
    fn is_earlier(&self, key: &str, upload: &MultipartUpload) -> bool {
        match self.object.staging_fence(key) {
            Some(fence) => fence < self.fence,
            // The final key is the same for all attempts; their times differ by a lease.
            None => key == self.object.key() && upload.initiated().is_some_and(|at| at.secs() < self.began.as_second()),
        }
    }

    /// Deletes an object. A missing object is not an error.
    pub(super) async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let deleted = self.store.client.delete_object().bucket(&self.store.bucket).key(key).send().await;
        deleted.map(|_| ()).map_err(|error| StoreError::new("remove", key, error))
    }
}
