//! Reads a finished file.

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;

use super::{ExportObject, ExportStore, failed};
use platform::StoreError;

/// The bytes of an object, as they arrive.
#[derive(Debug)]
pub struct ObjectBytes {
    key: String,
    stream: ByteStream,
}

impl ExportStore {
    /// Begins to read an object. `None` if it does not exist.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn read(&self, object: &ExportObject) -> Result<Option<ObjectBytes>, StoreError> {
        self.read_key(object.key()).await
    }

    pub(super) async fn read_key(&self, key: String) -> Result<Option<ObjectBytes>, StoreError> {
        match self.client.get_object().bucket(&self.bucket).key(&key).send().await {
            Ok(answer) => Ok(Some(ObjectBytes { key, stream: answer.body })),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_key()) => Ok(None),
            Err(error) => Err(failed("read", &key, error)),
        }
    }
}

impl ObjectBytes {
    /// Returns the next bytes; `None` at the end.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let failed = |source| StoreError::new("read", &self.key, source);
        self.stream.try_next().await.map_err(failed)
    }
}
