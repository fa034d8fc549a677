//! Writing an export's object, whole or not at all.
//!
//! A small file is one `PutObject`. A large one goes up in parts while it is made, a few at a time, under a key of its own;
//! when all of it is there, the store copies it to its final key. An object's metadata is fixed when its upload begins, and
//! the checksum is known only when it ends: the copy is what carries it. Nobody sees the final key before the file is whole.

use std::mem;

use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ServerSideEncryption};
use bytes::Bytes;
use jiff::Timestamp;
use tokio::task::JoinSet;

use super::{ExportObject, ExportStore, publish::Multipart};
use domain::{ClaimedJob, ExportFile, ExportRequest};
use platform::{StoreError, log::Causes};

/// The size of every part but the last. S3 allows no other part under 5 MiB, and 10,000 parts: this size allows files of
/// 78 GiB.
const PART_SIZE: usize = 8 << 20;

/// How many parts may be on their way while the next is gathered. With their size it bounds the worker's memory; with
/// fewer, the file would wait for the answer to each.
const PARTS_UNDER_WAY: usize = 3;

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
    /// The parts on their way to the staging key.
    sending: JoinSet<Result<CompletedPart, StoreError>>,
    /// What is gathered for the next.
    buffer: Vec<u8>,
}

/// Why a file was not stored.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The store.
    #[error(transparent)]
    Object(#[from] StoreError),
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
    /// Adds bytes to the end of the file. Sends a part once there are enough for it and for more; waits while too many are
    /// on their way.
    ///
    /// # Errors
    /// When the store refuses a part; the upload is then to be aborted.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let mut bytes = bytes;
        while !bytes.is_empty() {
            if self.buffer.len() == PART_SIZE {
                self.send_part().await?;
            }
            // Room for a whole part at once; what is not used of it costs nothing.
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
    /// When the store refuses, or a later attempt was here before; the upload is then to be aborted.
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

    /// Gives the upload up and removes what it left in the store. What cannot be removed is logged; the bucket's
    /// lifecycle removes it within a day.
    pub async fn abort(mut self) {
        // A part that arrives after the abort would stay.
        self.sending.shutdown().await;
        let multiparts = [self.staging.take(), self.copy.take()];
        let staged = multiparts[0].is_some();
        for Multipart { id, key, .. } in multiparts.into_iter().flatten() {
            let Some(id) = id else { continue };
            let request = self.store.client.abort_multipart_upload().bucket(&self.store.bucket).key(&key);
            if let Err(error) = request.upload_id(id).send().await {
                let error = StoreError::new("abort the upload of", &key, error);
                tracing::warn!(error = %Causes(&error), "an upload was left in the store");
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
        while self.sending.len() >= PARTS_UNDER_WAY {
            self.part_sent().await?;
        }
        let Some(staging) = &self.staging else { return Ok(()) };
        let number = i32::try_from(staging.parts.len() + self.sending.len() + 1).unwrap_or(i32::MAX);
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

    /// Waits for one of the parts on their way; says whether there was one.
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
        // They arrived in any order.
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
            tracing::warn!(error = %Causes(&error), "a staged file was left in the store");
        }
    }
}
