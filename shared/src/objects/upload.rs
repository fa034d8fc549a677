//! Writing an export's object, whole or not at all.
//!
//! A small file is one `PutObject`. A large one goes up in parts, as it is made, under a key of its own; when all of it
//! is there, the store copies it to its final key. An object's metadata is fixed when its upload begins, and the
//! checksum is known only when it ends: the copy is what carries it. Nobody sees the final key before the file is whole.

use std::mem;

use aws_sdk_s3::{
    primitives::ByteStream,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, MetadataDirective, ServerSideEncryption},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{ExportObject, ExportStore, ObjectError};
use crate::{
    domain::{ClaimedJob, ExportFile, ExportRequest},
    log::Causes,
};

/// The size at which gathered bytes become a part. S3 allows no part under 5 MiB but the last, and 10,000 parts: this
/// size allows files of 78 GiB, and bounds the worker's memory.
const PART_SIZE: usize = 8 << 20;

/// The largest object that S3 copies in one request, in bytes.
const LARGEST_COPY: u64 = 5 << 30;

/// An upload under way. It has to be ended by [`finish`](Self::finish) or [`abort`](Self::abort).
#[derive(Debug)]
#[must_use = "an upload that is neither finished nor aborted leaves its parts in the store"]
pub struct Upload {
    store: ExportStore,
    object: ExportObject,
    request: ExportRequest,
    staging_key: String,
    /// The multipart upload, once the file has outgrown a single request.
    id: Option<String>,
    parts: Vec<CompletedPart>,
    buffer: Vec<u8>,
}

/// Why an upload could not be ended well.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The store.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The file is larger than [`LARGEST_COPY`].
    #[error("the file has {bytes} bytes, more than an object may have")]
    TooLarge {
        /// The file's size.
        bytes: u64,
    },
}

impl ExportStore {
    /// Begins the upload of a job's file, on behalf of the claim that holds it. Nothing is sent yet.
    pub fn upload(&self, claimed: &ClaimedJob) -> Upload {
        let job = claimed.job();
        let object = ExportObject::of(job);
        Upload {
            store: self.clone(),
            object,
            request: job.request.clone(),
            staging_key: object.staging_key(job.fence),
            id: None,
            parts: Vec::new(),
            buffer: Vec::new(),
        }
    }
}

impl Upload {
    /// Adds bytes to the end of the file. Sends them once there are enough for a part.
    ///
    /// # Errors
    /// When the store refuses a part; the upload is then to be aborted.
    pub async fn write(&mut self, bytes: Vec<u8>) -> Result<(), ObjectError> {
        if self.buffer.is_empty() {
            self.buffer = bytes;
        } else {
            self.buffer.extend_from_slice(&bytes);
        }
        if self.buffer.len() >= PART_SIZE { self.send_part().await } else { Ok(()) }
    }

    /// Makes the file visible under its key, with its checksum in the metadata.
    ///
    /// # Errors
    /// When the store refuses; the upload is then to be aborted.
    pub async fn finish(&mut self, file: &ExportFile) -> Result<(), UploadError> {
        if self.id.is_none() {
            return Ok(self.put(file).await?);
        }
        if file.bytes > LARGEST_COPY {
            return Err(UploadError::TooLarge { bytes: file.bytes });
        }
        if !self.buffer.is_empty() {
            self.send_part().await?;
        }
        self.complete_parts().await?;
        self.publish(file).await?;
        self.remove_staging().await;
        Ok(())
    }

    /// Gives the upload up and removes what it left in the store. What cannot be removed is logged; the bucket's
    /// lifecycle removes it within a day.
    pub async fn abort(mut self) {
        if let Some(id) = self.id.take() {
            let request = self.store.client.abort_multipart_upload().bucket(&self.store.bucket);
            if let Err(error) = request.key(&self.staging_key).upload_id(id).send().await {
                let error = ObjectError::new("abort the upload of", &self.staging_key, error);
                tracing::warn!(error = %Causes(&error), "an upload was left in the store");
            }
        }
        if !self.parts.is_empty() {
            self.remove_staging().await;
        }
    }

    async fn put(&mut self, file: &ExportFile) -> Result<(), ObjectError> {
        let key = self.object.key();
        let mut request = self.store.client.put_object().bucket(&self.store.bucket).key(&key);
        for (name, value) in self.object.metadata(&file.checksum) {
            request = request.metadata(name, value);
        }
        let sent = request
            .content_type(ExportObject::CONTENT_TYPE)
            .content_disposition(self.object.disposition(&self.request))
            .server_side_encryption(ServerSideEncryption::Aes256)
            // The store compares this with what it received.
            .set_checksum_sha256(base64_checksum(&file.checksum))
            .body(ByteStream::from(mem::take(&mut self.buffer)))
            .send()
            .await;
        sent.map(|_| ()).map_err(|error| ObjectError::new("put", &key, error))
    }

    async fn send_part(&mut self) -> Result<(), ObjectError> {
        let id = match &self.id {
            Some(id) => id.clone(),
            None => self.id.insert(self.begin_parts().await?).clone(),
        };
        let number = i32::try_from(self.parts.len() + 1).unwrap_or(i32::MAX);
        let request = self.store.client.upload_part().bucket(&self.store.bucket).key(&self.staging_key);
        let sent = request
            .upload_id(id)
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .body(ByteStream::from(mem::take(&mut self.buffer)))
            .send()
            .await
            .map_err(|error| ObjectError::new("send a part of", &self.staging_key, error))?;
        let part =
            CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).set_checksum_crc32(sent.checksum_crc32);
        self.parts.push(part.build());
        Ok(())
    }

    async fn begin_parts(&self) -> Result<String, ObjectError> {
        let request = self.store.client.create_multipart_upload().bucket(&self.store.bucket).key(&self.staging_key);
        let begun = request
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .server_side_encryption(ServerSideEncryption::Aes256)
            .send()
            .await
            .map_err(|error| ObjectError::new("begin the upload of", &self.staging_key, error))?;
        begun.upload_id.ok_or_else(|| ObjectError {
            action: "begin the upload of",
            key: self.staging_key.clone(),
            source: "the store gave no upload id".into(),
        })
    }

    async fn complete_parts(&mut self) -> Result<(), ObjectError> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(self.parts.clone())).build();
        let request = self.store.client.complete_multipart_upload().bucket(&self.store.bucket).key(&self.staging_key);
        let completed = request.set_upload_id(self.id.clone()).multipart_upload(parts).send().await;
        completed.map_err(|error| ObjectError::new("complete the upload of", &self.staging_key, error))?;
        self.id = None;
        Ok(())
    }

    async fn publish(&self, file: &ExportFile) -> Result<(), ObjectError> {
        let key = self.object.key();
        let mut request = self.store.client.copy_object().bucket(&self.store.bucket).key(&key);
        for (name, value) in self.object.metadata(&file.checksum) {
            request = request.metadata(name, value);
        }
        let copied = request
            .copy_source(format!("{}/{}", self.store.bucket, self.staging_key))
            .metadata_directive(MetadataDirective::Replace)
            .content_type(ExportObject::CONTENT_TYPE)
            .content_disposition(self.object.disposition(&self.request))
            .server_side_encryption(ServerSideEncryption::Aes256)
            .send()
            .await;
        copied.map(|_| ()).map_err(|error| ObjectError::new("publish", &key, error))
    }

    async fn remove_staging(&mut self) {
        let request = self.store.client.delete_object().bucket(&self.store.bucket).key(&self.staging_key);
        if let Err(error) = request.send().await {
            let error = ObjectError::new("remove", &self.staging_key, error);
            tracing::warn!(error = %Causes(&error), "a staged file was left in the store");
        }
    }
}

/// `sha256:` and hex, as base64 of the digest. `None` when it is nothing of the kind.
fn base64_checksum(checksum: &str) -> Option<String> {
    let hex = checksum.strip_prefix("sha256:")?;
    let digest: Option<Vec<u8>> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect();
    Some(BASE64_STANDARD.encode(digest?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_goes_to_the_store_in_base64() {
        // The digest of nothing, in both forms, as documented for SHA-256.
        let checksum = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(base64_checksum(checksum).unwrap(), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        assert_eq!(base64_checksum("md5:00"), None);
        assert_eq!(base64_checksum("sha256:zz"), None);
    }
}
