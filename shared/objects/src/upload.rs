//! Writes an export's object, completely or not at all.
//!
//! A small file is one `PutObject`. A large one is uploaded in parts while it is made; a store shows nothing of an upload
//! before it is complete. Every attempt writes to a key of its own, so no write needs a condition.

use std::mem;

use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::{ExportObject, ExportStore, Stored, failed, received, settings::Encryption};
use domain::{ClaimedJob, ExportFile, ExportRequest, ObjectTag};
use platform::{StoreError, log::Causes};

/// The size of every part but the last. S3 allows at least 5 MiB and at most 10,000 parts: files of up to 78 GiB.
const PART_SIZE: usize = 8 << 20;

/// Parts that are sent while the next is filled. With their size they bound the worker's memory; with fewer, the file
/// would wait for the answer to each.
const MAX_PARTS_IN_FLIGHT: usize = 3;

/// S3 numbers the parts of an upload from 1.
const MAX_PART_NUMBER: usize = 10_000;

/// An upload in progress. It must be ended by [`finish`](Self::finish), [`abort`](Self::abort) or
/// [`remove`](Self::remove).
#[derive(Debug)]
#[must_use = "an upload that is neither finished nor aborted leaves its parts in the store"]
pub struct Upload {
    pub(super) store: ExportStore,
    pub(super) object: ExportObject,
    request: ExportRequest,
    /// The upload of a large file.
    parts: Option<Multipart>,
    /// The parts in flight.
    sending: JoinSet<Result<CompletedPart, StoreError>>,
    /// The bytes of the next part.
    buffer: Vec<u8>,
    /// `true` once the object may be there.
    is_stored: bool,
}

/// A multipart upload in progress.
#[derive(Debug)]
struct Multipart {
    id: String,
    sent: Vec<CompletedPart>,
}

impl ExportStore {
    /// Begins the upload of a claimed job's file. Nothing is sent yet.
    pub fn upload(&self, claimed: &ClaimedJob) -> Upload {
        Upload {
            store: self.clone(),
            object: ExportObject::of_attempt(claimed),
            request: claimed.job().request().clone(),
            parts: None,
            sending: JoinSet::new(),
            buffer: Vec::new(),
            is_stored: false,
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

    /// Stores the rest of the file, and compares what the store has with it. Returns the store's own words for it, if it
    /// has any. The object is the job's file once the job is completed.
    ///
    /// # Errors
    /// When the store refuses, or has another object than was sent. The upload must then be aborted.
    pub async fn finish(&mut self, file: &ExportFile) -> Result<Option<ObjectTag>, StoreError> {
        if self.parts.is_none() {
            self.put(file).await?;
        } else {
            self.send_part().await?;
            self.complete().await?;
        }
        self.verify(file).await
    }

    /// Aborts the upload, and removes from the store what it left. A failure is logged; the bucket's lifecycle removes
    /// unfinished uploads within a day and objects when their files expire.
    pub async fn abort(mut self) {
        // A part that arrives after the abort would remain.
        self.sending.shutdown().await;
        if let Some(Multipart { id, .. }) = self.parts.take() {
            let key = self.object.key();
            let request = self.store.client.abort_multipart_upload().bucket(&self.store.bucket).key(&key);
            if let Err(error) = request.upload_id(id).send().await {
                let error = failed("abort the upload of", &key, error);
                tracing::warn!(error = %Causes(&error), "upload left in the store");
            }
        }
        if self.is_stored {
            self.remove().await;
        }
    }

    /// Removes the object of an attempt whose job was completed by another. A failure is logged, as of
    /// [`abort`](Self::abort).
    pub async fn remove(self) {
        if let Err(error) = self.store.delete(&self.object.key()).await {
            tracing::warn!(error = %Causes(&error), "object of a superseded attempt left in the store");
        }
    }

    async fn put(&mut self, file: &ExportFile) -> Result<(), StoreError> {
        let key = self.object.key();
        let checksum = base64_checksum(&file.checksum)
            .ok_or_else(|| StoreError::new("put", &key, "its checksum is not a SHA-256"))?;
        let (encryption, kms_key) = self.store.encryption.headers();
        self.is_stored = true;
        let bytes = Bytes::from(mem::take(&mut self.buffer));
        let request = self.store.client.put_object().bucket(&self.store.bucket).key(&key);
        let written = request
            .set_metadata(Some(self.object.metadata(Some(&file.checksum))))
            .content_type(ExportObject::CONTENT_TYPE)
            .content_disposition(self.object.disposition(&self.request))
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(kms_key)
            // The store compares it with the bytes that it received.
            .checksum_sha256(&checksum)
            .body(bytes.clone().into())
            .send()
            .await
            .map_err(|error| failed("put", &key, error))?;
        self.store.received(&key, &bytes, written.checksum_sha256(), written.e_tag())
    }

    async fn send_part(&mut self) -> Result<(), StoreError> {
        let key = self.object.key();
        if self.parts.is_none() {
            self.parts = Some(self.begin(&key).await?);
        }
        while self.sending.len() >= MAX_PARTS_IN_FLIGHT {
            self.part_sent().await?;
        }
        let Some(Multipart { id, sent }) = &self.parts else { return Ok(()) };
        let number = part_number(&key, sent.len() + self.sending.len() + 1)?;
        let bytes = Bytes::from(mem::take(&mut self.buffer));
        let request = self.store.client.upload_part().bucket(&self.store.bucket).key(&key);
        let request = request
            .upload_id(id)
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .body(bytes.clone().into());
        let store = self.store.clone();
        let sending = async move {
            let sent = request.send().await.map_err(|error| failed("send a part of", &key, error))?;
            store.received(&key, &bytes, sent.checksum_crc32(), sent.e_tag())?;
            let part = CompletedPart::builder().part_number(number);
            Ok(part.set_e_tag(sent.e_tag).set_checksum_crc32(sent.checksum_crc32).build())
        };
        self.sending.spawn(sending.in_current_span());
        Ok(())
    }

    /// Waits for one of the parts in flight. Reports whether there was one.
    async fn part_sent(&mut self) -> Result<bool, StoreError> {
        let (Some(sent), Some(parts)) = (self.sending.join_next().await, &mut self.parts) else { return Ok(false) };
        let sent = sent.map_err(|error| StoreError::new("send a part of", &self.object.key(), error))??;
        parts.sent.push(sent);
        Ok(true)
    }

    async fn begin(&self, key: &str) -> Result<Multipart, StoreError> {
        let (encryption, kms_key) = self.store.encryption.headers();
        let request = self.store.client.create_multipart_upload().bucket(&self.store.bucket).key(key);
        let begun = request
            .set_metadata(Some(self.object.metadata(None)))
            .content_type(ExportObject::CONTENT_TYPE)
            .content_disposition(self.object.disposition(&self.request))
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(kms_key)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .send()
            .await
            .map_err(|error| failed("begin the upload of", key, error))?;
        let missing = || StoreError::new("begin the upload of", key, "the store gave no upload id");
        Ok(Multipart { id: begun.upload_id.ok_or_else(missing)?, sent: Vec::new() })
    }

    async fn complete(&mut self) -> Result<(), StoreError> {
        while self.part_sent().await? {}
        let Some(Multipart { id, sent }) = &mut self.parts else { return Ok(()) };
        // Parts complete in any order.
        sent.sort_unstable_by_key(CompletedPart::part_number);
        let parts = CompletedMultipartUpload::builder().set_parts(Some(mem::take(sent))).build();
        let key = self.object.key();
        self.is_stored = true;
        let request = self.store.client.complete_multipart_upload().bucket(&self.store.bucket).key(&key);
        let completed = request.upload_id(&*id).multipart_upload(parts).send().await;
        completed.map_err(|error| failed("complete the upload of", &key, error))?;
        self.parts = None;
        Ok(())
    }

    /// Compares the size of the stored object with that of the file: a checksum of each request does not notice a part
    /// that is missing.
    async fn verify(&self, file: &ExportFile) -> Result<Option<ObjectTag>, StoreError> {
        let found = self.store.stored(&self.object).await?;
        let size = match found {
            Some(Stored { bytes: Some(bytes), tag }) if bytes == file.bytes => return Ok(tag),
            Some(Stored { bytes: Some(bytes), .. }) => format!("{bytes} bytes"),
            Some(Stored { bytes: None, .. }) => "no size".to_owned(),
            None => "nothing".to_owned(),
        };
        let error = format!("the store has {size} of {} bytes", file.bytes);
        Err(StoreError::new("verify", &self.object.key(), error))
    }
}

impl ExportStore {
    /// Compares what the store received. The tag of what a store encrypts is not its MD5.
    pub(super) fn received(
        &self,
        key: &str,
        sent: &Bytes,
        repeated: Option<&str>,
        tag: Option<&str>,
    ) -> Result<(), StoreError> {
        let tag = tag.filter(|_| self.encryption == Encryption::BucketDefault);
        received::compare(key, sent, repeated, tag)
    }
}

/// Returns the number of a part as the store takes it.
fn part_number(key: &str, number: usize) -> Result<i32, StoreError> {
    let number = i32::try_from(number).ok().filter(|_| number <= MAX_PART_NUMBER);
    number.ok_or_else(|| StoreError::new("send a part of", key, "the file has more than 10,000 parts"))
}

/// Converts `sha256:` and hex to base64 of the digest. `None` of any other text.
fn base64_checksum(checksum: &str) -> Option<String> {
    let digest = hex::decode(checksum.strip_prefix("sha256:")?).ok()?;
    Some(BASE64_STANDARD.encode(digest))
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
