//! What attempts left in the store whose workers were lost before they could abort.

use aws_sdk_s3::types::MultipartUpload;

use super::Upload;
use platform::{StoreError, log::Causes};

impl Upload {
    /// Removes what earlier attempts at the same job left behind: uploads and staged files. What cannot be removed is
    /// logged; the bucket's lifecycle removes it within a day.
    pub async fn remove_earlier(&self) {
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
            tracing::warn!(error = %Causes(&error), "what earlier attempts left stays in the store");
        }
    }

    async fn abort_earlier(&self, prefix: &str) -> Result<(), StoreError> {
        let request = self.store.client.list_multipart_uploads().bucket(&self.store.bucket).prefix(prefix);
        let answer = request.send().await.map_err(|error| StoreError::new("list the uploads of", prefix, error))?;
        for upload in answer.uploads().iter().filter(|upload| self.is_earlier(upload)) {
            let key = upload.key().unwrap_or_default();
            let request = self.store.client.abort_multipart_upload().bucket(&self.store.bucket).key(key);
            let aborted = request.set_upload_id(upload.upload_id.clone()).send().await;
            aborted.map_err(|error| StoreError::new("abort the upload of", key, error))?;
        }
        Ok(())
    }

    /// Whether an upload is of an attempt before this one. This one may be a zombie by now, and must not touch the
    /// uploads of the attempt that took over.
    fn is_earlier(&self, upload: &MultipartUpload) -> bool {
        let key = upload.key().unwrap_or_default();
        match self.object.staging_fence(key) {
            Some(fence) => fence < self.fence,
            // The final key tells no attempts apart; their times do, being a lease apart.
            None => key == self.object.key() && upload.initiated().is_some_and(|at| at.secs() < self.began.as_second()),
        }
    }

    /// Deletes an object; none is as good.
    pub(super) async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let deleted = self.store.client.delete_object().bucket(&self.store.bucket).key(key).send().await;
        deleted.map(|_| ()).map_err(|error| StoreError::new("remove", key, error))
    }
}
