//! Writing an export's object, whole or not at all.
//!
//! A small file is one `PutObject`. A large one goes up in parts, as it is made, under a key of its own; when all of it
//! is there, the store copies it to its final key. An object's metadata is fixed when its upload begins, and the
//! checksum is known only when it ends: the copy is what carries it. Nobody sees the final key before the file is whole.

use std::mem;

use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ServerSideEncryption};
use bytes::Bytes;
use jiff::Timestamp;

use super::{ExportObject, ExportStore, ObjectError, publish::Multipart};
use crate::{
    domain::{ClaimedJob, ExportFile, ExportRequest},
    log::Causes,
};

/// The size at which gathered bytes become a part. S3 allows no part under 5 MiB but the last, and 10,000 parts: this
/// size allows files of 78 GiB, and bounds the worker's memory.
const PART_SIZE: usize = 8 << 20;

/// An upload under way. It has to be ended by [`finish`](Self::finish) or [`abort`](Self::abort).
#[derive(Debug)]
#[must_use = "an upload that is neither finished nor aborted leaves its parts in the store"]
pub struct Upload {
    pub(super) store: ExportStore,
    pub(super) object: ExportObject,
    pub(super) request: ExportRequest,
    pub(super) fence: u64,
    pub(super) began: Timestamp,
    /// The large file's way to its staging key.
    pub(super) staging: Option<Multipart>,
    /// The large file's way from there to its final key.
    pub(super) copy: Option<Multipart>,
    buffer: Vec<u8>,
}

/// Why a file was not stored.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The store.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// A later attempt at the same job stored its file already.
    #[error("attempt {by} stored the file before this one, attempt {fence}")]
    Superseded {
        /// The fencing token of this attempt.
        fence: u64,
        /// That of the other.
        by: u64,
    },
}

impl ExportStore {
    /// Begins the upload of a job's file, on behalf of the claim that holds it. Nothing is sent yet.
    pub fn upload(&self, claimed: &ClaimedJob) -> Upload {
        let job = claimed.job();
        Upload {
            store: self.clone(),
            object: ExportObject::of(job),
            request: job.request.clone(),
            fence: job.fence,
            began: Timestamp::now(),
            staging: None,
            copy: None,
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
    /// When the store refuses, or a later attempt was here before; the upload is then to be aborted.
    pub async fn finish(&mut self, file: &ExportFile) -> Result<(), UploadError> {
        if self.staging.is_none() {
            let bytes = Bytes::from(mem::take(&mut self.buffer));
            return self.put(file, bytes).await;
        }
        if !self.buffer.is_empty() {
            self.send_part().await?;
        }
        self.complete_staging().await?;
        self.copy(file).await?;
        self.remove_staging().await;
        Ok(())
    }

    /// Gives the upload up and removes what it left in the store. What cannot be removed is logged; the bucket's
    /// lifecycle removes it within a day.
    pub async fn abort(mut self) {
        let multiparts = [self.staging.take(), self.copy.take()];
        let staged = multiparts[0].is_some();
        for Multipart { id, key, .. } in multiparts.into_iter().flatten() {
            let Some(id) = id else { continue };
            let request = self.store.client.abort_multipart_upload().bucket(&self.store.bucket).key(&key);
            if let Err(error) = request.upload_id(id).send().await {
                let error = ObjectError::new("abort the upload of", &key, error);
                tracing::warn!(error = %Causes(&error), "an upload was left in the store");
            }
        }
        if staged {
            self.remove_staging().await;
        }
    }

    async fn send_part(&mut self) -> Result<(), ObjectError> {
        let staging = match &mut self.staging {
            Some(staging) => staging,
            None => {
                let staging = self.begin_staging().await?;
                self.staging.insert(staging)
            }
        };
        let request = self.store.client.upload_part().bucket(&self.store.bucket).key(&staging.key);
        let number = staging.next_number();
        let sent = request
            .set_upload_id(staging.id.clone())
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .body(mem::take(&mut self.buffer).into())
            .send()
            .await
            .map_err(|error| ObjectError::new("send a part of", &staging.key, error))?;
        let part = CompletedPart::builder().part_number(number);
        staging.parts.push(part.set_e_tag(sent.e_tag).set_checksum_crc32(sent.checksum_crc32).build());
        Ok(())
    }

    async fn begin_staging(&self) -> Result<Multipart, ObjectError> {
        let key = self.object.staging_key(self.fence);
        let request = self.store.client.create_multipart_upload().bucket(&self.store.bucket).key(&key);
        let begun = request
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .server_side_encryption(ServerSideEncryption::Aes256)
            .send()
            .await
            .map_err(|error| ObjectError::new("begin the upload of", &key, error))?;
        Multipart::new(begun.upload_id, key)
    }

    async fn complete_staging(&mut self) -> Result<(), ObjectError> {
        let Some(staging) = &mut self.staging else { return Ok(()) };
        let parts = CompletedMultipartUpload::builder().set_parts(Some(mem::take(&mut staging.parts))).build();
        let request = self.store.client.complete_multipart_upload().bucket(&self.store.bucket).key(&staging.key);
        let completed = request.set_upload_id(staging.id.clone()).multipart_upload(parts).send().await;
        completed.map_err(|error| ObjectError::new("complete the upload of", &staging.key, error))?;
        staging.id = None;
        Ok(())
    }

    async fn remove_staging(&mut self) {
        let key = self.object.staging_key(self.fence);
        if let Err(error) = self.delete(&key).await {
            tracing::warn!(error = %Causes(&error), "a staged file was left in the store");
        }
    }
}
