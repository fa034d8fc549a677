//! The sums of a file's days, which are kept for ever: an object beside the files, below a prefix that the bucket's
//! lifecycle does not know.

use bytes::Bytes;
use tracing::Instrument as _;

use super::{ExportObject, ExportStore, ObjectBytes, Upload, failed};
use platform::StoreError;

impl Upload {
    /// Stores the sums of the file's days, while the file is uploaded. They are of the same attempt as the file; those of an
    /// attempt that did not complete its job stay, and no job will ever name them.
    pub fn keep_days(&self, days: String) -> impl Future<Output = Result<(), StoreError>> + use<> {
        let store = self.store.clone();
        let object = self.object;
        async move { store.put_days(&object, days).await }.in_current_span()
    }
}

impl ExportStore {
    async fn put_days(&self, object: &ExportObject, days: String) -> Result<(), StoreError> {
        let key = object.days_key();
        let (encryption, kms_key) = self.encryption.headers();
        let bytes = Bytes::from(days);
        let request = self.client.put_object().bucket(&self.bucket).key(&key);
        let written = request
            .set_metadata(Some(object.metadata(None)))
            .content_type(ExportObject::CONTENT_TYPE)
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(kms_key)
            .body(bytes.clone().into())
            .send()
            .await
            .map_err(|error| failed("put", &key, error))?;
        self.received(&key, &bytes, None, written.e_tag())
    }

    /// Begins to read the sums of the days of a file. `None` if they do not exist.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn read_days(&self, object: &ExportObject) -> Result<Option<ObjectBytes>, StoreError> {
        self.read_key(object.days_key()).await
    }
}
