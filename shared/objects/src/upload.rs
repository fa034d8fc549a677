//! Writes an export's object, completely or not at all.
//!
//! A small file is one `PutObject`. A large one is uploaded in parts while it is made, under a staging key; when it is
//! complete, the store copies it to its final key. An object's metadata is fixed when its upload begins, but the
//! checksum is known only when it ends, so the copy carries it. Nothing is at the final key before the file is
//! complete.

use std::mem;

use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ServerSideEncryption};
use bytes::Bytes;
use jiff::Timestamp;
use tokio::task::JoinSet;

use super::{ExportObject, ExportStore, publish::Multipart};
use domain::{ClaimedJob, ExportFile, ExportRequest};
use platform::{StoreError, log::Causes};

/// The size of every part but the last. S3 allows at least 5 MiB and at most 10,000 parts: files of up to 78 GiB.
const PART_SIZE: usize = 8 << 20;

/// Parts that are sent while the next is filled. With their size they bound the worker's memory; with fewer, the file
/// would wait for the answer to each.
const MAX_PARTS_IN_FLIGHT: usize = 3;

/// An upload in progress. It must be ended by [`finish`](Self::finish) or [`abort`](Self::abort).
#[derive(Debug)]
#[must_use = "an upload that is neither finished nor aborted leaves its parts in the store"]
pub struct Upload {
    pub(super) store: ExportStore,
    pub(super) object: ExportObject,
    pub(super) request: ExportRequest,
    pub(super) fence: u64,
    pub(super) began: Timestamp,
    /// The upload of a large file to its staging key.
    pub(super) staging: Option<Multipart>,
    /// The copy of a large file to its final key.
    pub(super) copy: Option<Multipart>,
    /// The parts in flight to the staging key.
    sending: JoinSet<Result<CompletedPart, StoreError>>,
    /// The bytes of the next part.
    buffer: Vec<u8>,
}

/// The reason that a file was not stored.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The store failed.
    #[error(transparent)]
    Object(#[from] StoreError),
    /// A later attempt at the same job has stored its file.
    #[error("attempt {by} stored the file before this one, attempt {fence}")]
    Superseded {
        /// The fencing token of this attempt.
        fence: u64,
        /// The fencing token of the later attempt.
        by: u64,
    },
}

impl ExportStore {
    /// Begins the upload of a claimed job's file. Nothing is sent yet.
    pub fn upload(&self, claimed: &ClaimedJob) -> Upload {
        let job = claimed.job();
        Upload {
            store: self.clone(),
            object: ExportObject::of(job),
            request: job.request().clone(),
            fence: job.fence(),
            began: Timestamp::now(),
            staging: None,
            copy: None,
            sending: JoinSet::new(),
            buffer: Vec::new(),
        }
    }
}

impl Upload {
    /// Adds bytes to the end of the file. Sends a part once more bytes than its size are there; waits while too many
    /// are in flight.
    ///
    /// # Errors
    /// When the store refuses a part. The upload must then be aborted.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let mut bytes = bytes;
        while !bytes.is_empty() {
            if self.buffer.len() == PART_SIZE {
                self.send_part().await?;
            }
            // Memory for a whole part at once; unused pages cost nothing.
            self.buffer.reserve_exact(PART_SIZE - self.buffer.len());
            let (now, later) = bytes.split_at(bytes.len().min(PART_SIZE - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Makes the file visible under its key, with its checksum in the metadata.
    ///
    /// # Errors
    /// When the store refuses, or a later attempt stored its file. The upload must then be aborted.
    pub async fn finish(&mut self, file: &ExportFile) -> Result<(), UploadError> {
        if self.staging.is_none() {
            let bytes = Bytes::from(mem::take(&mut self.buffer));
            return self.put(file, bytes).await;
        }
        self.send_part().await?;
        self.complete_staging().await?;
        self.copy(file).await?;
        self.remove_staging().await;
        Ok(())
    }

    /// Aborts the upload and removes its parts from the store. A failure is logged; the bucket's lifecycle removes them
    /// within a day.
    pub async fn abort(mut self) {
        // A part that arrives after the abort would remain.
        self.sending.shutdown().await;
        let multiparts = [self.staging.take(), self.copy.take()];
        let staged = multiparts[0].is_some();
        for Multipart { id, key, .. } in multiparts.into_iter().flatten() {
            let Some(id) = id else { continue };
            let request = self.store.client.abort_multipart_upload().bucket(&self.store.bucket).key(&key);
            if let Err(error) = request.upload_id(id).send().await {
                let error = StoreError::new("abort the upload of", &key, error);
                tracing::warn!(error = %Causes(&error), "upload left in the store");
            }
        }
        if staged {
            self.remove_staging().await;
        }
    }

    async fn send_part(&mut self) -> Result<(), StoreError> {
        if self.staging.is_none() {
            self.staging = Some(self.begin_staging().await?);
        }
        while self.sending.len() >= MAX_PARTS_IN_FLIGHT {
            self.part_sent().await?;
        }
        let Some(staging) = &self.staging else { return Ok(()) };
        let number = part_number(&staging.key, staging.parts.len() + self.sending.len() + 1)?;
        let request = self.store.client.upload_part().bucket(&self.store.bucket).key(&staging.key);
        let request = request
            .set_upload_id(staging.id.clone())
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .body(mem::take(&mut self.buffer).into());
        let key = staging.key.clone();
        self.sending.spawn(async move {
            let sent = request.send().await.map_err(|error| StoreError::new("send a part of", &key, error))?;
            let part = CompletedPart::builder().part_number(number);
            Ok(part.set_e_tag(sent.e_tag).set_checksum_crc32(sent.checksum_crc32).build())
        });
        Ok(())
    }

    /// Waits for one of the parts in flight. Reports whether there was one.
    async fn part_sent(&mut self) -> Result<bool, StoreError> {
        let (Some(sent), Some(staging)) = (self.sending.join_next().await, &mut self.staging) else { return Ok(false) };
        let part = sent.map_err(|error| StoreError::new("send a part of", &staging.key, error))??;
        staging.parts.push(part);
        Ok(true)
    }

    async fn begin_staging(&self) -> Result<Multipart, StoreError> {
        let key = self.object.staging_key(self.fence);
        let request = self.store.client.create_multipart_upload().bucket(&self.store.bucket).key(&key);
        let begun = request
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .server_side_encryption(ServerSideEncryption::Aes256)
            .send()
            .await
            .map_err(|error| StoreError::new("begin the upload of", &key, error))?;
        Multipart::new(begun.upload_id, key)
    }

    async fn complete_staging(&mut self) -> Result<(), StoreError> {
        while self.part_sent().await? {}
        let Some(staging) = &mut self.staging else { return Ok(()) };
        // Parts complete in any order.
        staging.parts.sort_unstable_by_key(CompletedPart::part_number);
        let parts = CompletedMultipartUpload::builder().set_parts(Some(mem::take(&mut staging.parts))).build();
        let request = self.store.client.complete_multipart_upload().bucket(&self.store.bucket).key(&staging.key);
        let completed = request.set_upload_id(staging.id.clone()).multipart_upload(parts).send().await;
        completed.map_err(|error| StoreError::new("complete the upload of", &staging.key, error))?;
        staging.id = None;
        Ok(())
    }

    async fn remove_staging(&mut self) {
        let key = self.object.staging_key(self.fence);
        if let Err(error) = self.delete(&key).await {
            tracing::warn!(error = %Causes(&error), "staged file left in the store");
        }
    }
}

/// S3 numbers the parts of an upload from 1.
const MAX_PART_NUMBER: usize = 10_000;

/// Returns the number of a part as the store takes it.
pub(super) fn part_number(key: &str, number: usize) -> Result<i32, StoreError> {
    let number = i32::try_from(number).ok().filter(|_| number <= MAX_PART_NUMBER);
    number.ok_or_else(|| StoreError::new("send a part of", key, "the file has more than 10,000 parts"))
}
