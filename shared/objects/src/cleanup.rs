//! Removes what earlier attempts left in the store, whose workers were lost before they could abort.

use super::{ExportStore, Upload, failed};
use platform::{StoreError, log::Causes};

impl Upload {
    /// Removes the uploads and objects of earlier attempts at the same job, which no job will ever name. A failure is
    /// logged; the bucket's lifecycle removes unfinished uploads within a day and objects when their files expire.
    pub async fn remove_earlier_attempts(&self) {
        let removed = async {
            if self.object.earlier().next().is_some() {
                self.abort_earlier().await?;
            }
            for earlier in self.object.earlier() {
                self.store.delete(&earlier.key()).await?;
            }
            Ok::<_, StoreError>(())
        };
        if let Err(error) = removed.await {
            tracing::warn!(error = %Causes(&error), "could not remove what earlier attempts left in the store");
        }
    }

    /// Aborts the uploads of earlier attempts, and of those alone: this attempt may have lost its lease by now.
    async fn abort_earlier(&self) -> Result<(), StoreError> {
        let ExportStore { client, bucket, .. } = &self.store;
        let prefix = self.object.job_prefix();
        let answer = client.list_multipart_uploads().bucket(bucket).prefix(&prefix).send().await;
        let answer = answer.map_err(|error| failed("list the uploads of", &prefix, error))?;
        for upload in answer.uploads() {
            let Some(key) = upload.key().filter(|key| self.object.is_after(key)) else { continue };
            let request = client.abort_multipart_upload().bucket(bucket).key(key);
            let aborted = request.set_upload_id(upload.upload_id.clone()).send().await;
            aborted.map_err(|error| failed("abort the upload of", key, error))?;
        }
        Ok(())
    }
}

impl ExportStore {
    /// Deletes an object. A missing object is not an error.
    pub(super) async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let deleted = self.client.delete_object().bucket(&self.bucket).key(key).send().await;
        deleted.map(|_| ()).map_err(|error| failed("remove", key, error))
    }
}
