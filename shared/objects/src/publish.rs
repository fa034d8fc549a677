//! The last step of an upload: the one write to the final key.
//!
//! The write is conditional. It replaces nothing but the object of an attempt with a lower fencing token: an attempt
//! that lost its lease cannot replace the object of the attempt that took over, however late it writes.

use std::cmp::Ordering;

use aws_sdk_s3::{
    error::{ProvideErrorMetadata, SdkError},
    types::{CompletedMultipartUpload, CompletedPart, ServerSideEncryption},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;

use super::{ExportObject, Upload, UploadError, upload::part_number};
use domain::ExportFile;
use platform::StoreError;

/// The bytes that the store copies in one request. S3 allows 5 GiB; a smaller copy is repeated sooner.
const COPY_PART_SIZE: u64 = 1 << 30;

/// The maximum number of conditional writes. After a refusal the object is read and the write repeated; another attempt
/// may write in between, but rarely.
const MAX_WRITE_ATTEMPTS: usize = 4;

/// A multipart upload in progress. It has no id once it is completed.
#[derive(Debug)]
pub(super) struct Multipart {
    pub(super) id: Option<String>,
    pub(super) key: String,
    pub(super) parts: Vec<CompletedPart>,
}

/// The object that a write may replace.
enum Replaced {
    Nothing,
    /// The object of an earlier attempt, by its entity tag.
    Earlier(String),
}

impl Replaced {
    /// Returns the conditions `If-None-Match` and `If-Match`.
    fn conditions(&self) -> (Option<String>, Option<String>) {
        match self {
            Self::Nothing => (Some("*".to_owned()), None),
            Self::Earlier(tag) => (None, Some(tag.clone())),
        }
    }
}

impl Multipart {
    pub(super) fn new(id: Option<String>, key: String) -> Result<Self, StoreError> {
        match id {
            Some(id) => Ok(Self { id: Some(id), key, parts: Vec::new() }),
            None => Err(no_upload_id(&key)),
        }
    }
}

impl Upload {
    /// Writes a small file to its final key.
    pub(super) async fn put(&mut self, file: &ExportFile, bytes: Bytes) -> Result<(), UploadError> {
        let key = self.object.key();
        let checksum = base64_checksum(&file.checksum)
            .ok_or_else(|| StoreError::new("put", &key, "its checksum is not a SHA-256"))?;
        let mut replaced = Replaced::Nothing;
        for _ in 0..MAX_WRITE_ATTEMPTS {
            let (if_none_match, if_match) = replaced.conditions();
            let request = self.store.client.put_object().bucket(&self.store.bucket).key(&key);
            let written = request
                .set_metadata(Some(self.object.metadata(&file.checksum, self.fence)))
                .content_type(ExportObject::CONTENT_TYPE)
                .content_disposition(self.object.disposition(&self.request))
                .server_side_encryption(ServerSideEncryption::Aes256)
                // The store compares it with the bytes that it received.
                .checksum_sha256(&checksum)
                .set_if_none_match(if_none_match)
                .set_if_match(if_match)
                .body(bytes.clone().into())
                .send()
                .await;
            match written {
                Ok(_) => return Ok(()),
                Err(error) if is_refused_condition(&error) => match self.find_replaced(&key).await? {
                    Some(found) => replaced = found,
                    None => return Ok(()),
                },
                Err(error) => return Err(StoreError::new("put", &key, error).into()),
            }
        }
        Err(StoreError::new("write", &key, "other attempts write it at the same time").into())
    }

    /// Copies a large file from its staging key to its final key.
    pub(super) async fn copy(&mut self, file: &ExportFile) -> Result<(), UploadError> {
        let key = self.object.key();
        let (id, parts) = self.copy_parts(file, &key).await?;
        let mut replaced = Replaced::Nothing;
        for _ in 0..MAX_WRITE_ATTEMPTS {
            let (if_none_match, if_match) = replaced.conditions();
            let request = self.store.client.complete_multipart_upload().bucket(&self.store.bucket).key(&key);
            let completed = request
                .upload_id(&id)
                .multipart_upload(parts.clone())
                .set_if_none_match(if_none_match)
                .set_if_match(if_match)
                .send()
                .await;
            match completed {
                Ok(_) => {
                    self.copy = None;
                    return Ok(());
                }
                Err(error) if is_refused_condition(&error) => match self.find_replaced(&key).await? {
                    Some(found) => replaced = found,
                    None => return Ok(()),
                },
                Err(error) => return Err(StoreError::new("publish", &key, error).into()),
            }
        }
        Err(StoreError::new("write", &key, "other attempts write it at the same time").into())
    }

    async fn copy_parts(
        &mut self,
        file: &ExportFile,
        key: &str,
    ) -> Result<(String, CompletedMultipartUpload), StoreError> {
        let request = self.store.client.create_multipart_upload().bucket(&self.store.bucket).key(key);
        let begun = request
            .set_metadata(Some(self.object.metadata(&file.checksum, self.fence)))
            .content_type(ExportObject::CONTENT_TYPE)
            .content_disposition(self.object.disposition(&self.request))
            .server_side_encryption(ServerSideEncryption::Aes256)
            .send()
            .await
            .map_err(|error| StoreError::new("begin the publication of", key, error))?;
        let copy = self.copy.insert(Multipart::new(begun.upload_id.clone(), key.to_owned())?);
        let source = format!("{}/{}", self.store.bucket, self.object.staging_key(self.fence));
        let mut start = 0;
        while start < file.bytes {
            let end = file.bytes.min(start + COPY_PART_SIZE);
            let number = part_number(key, copy.parts.len() + 1)?;
            let request = self.store.client.upload_part_copy().bucket(&self.store.bucket).key(key);
            let copied = request
                .set_upload_id(copy.id.clone())
                .part_number(number)
                .copy_source(&source)
                .copy_source_range(format!("bytes={start}-{}", end - 1))
                .send()
                .await
                .map_err(|error| StoreError::new("publish a part of", key, error))?;
            let tag = copied.copy_part_result.and_then(|result| result.e_tag);
            copy.parts.push(CompletedPart::builder().part_number(number).set_e_tag(tag).build());
            start = end;
        }
        let parts = CompletedMultipartUpload::builder().set_parts(Some(copy.parts.clone())).build();
        let id = begun.upload_id.ok_or_else(|| no_upload_id(key))?;
        Ok((id, parts))
    }

    /// Reads the object for which a write was refused. Returns what may be replaced, or `None` if the object is this
    /// attempt's own, written by a request whose answer was lost.
    async fn find_replaced(&self, key: &str) -> Result<Option<Replaced>, UploadError> {
        let found = match self.store.client.head_object().bucket(&self.store.bucket).key(key).send().await {
            Ok(found) => found,
            Err(error) if error.as_service_error().is_some_and(|error| error.is_not_found()) => {
                return Ok(Some(Replaced::Nothing));
            }
            Err(error) => return Err(StoreError::new("look at", key, error).into()),
        };
        let fence: Option<u64> = found.metadata().and_then(|metadata| metadata.get("fence")?.parse().ok());
        let lacks = |what: &'static str| StoreError::new("look at", key, what);
        let by = fence.ok_or_else(|| lacks("it has no fencing token"))?;
        match by.cmp(&self.fence) {
            Ordering::Greater => Err(UploadError::Superseded { fence: self.fence, by }),
            Ordering::Equal => Ok(None),
            Ordering::Less => Ok(Some(Replaced::Earlier(found.e_tag.ok_or_else(|| lacks("it has no entity tag"))?))),
        }
    }
}

/// Reports whether a conditional write was refused: an object exists where none was expected, or another one than the
/// expected, or none.
fn is_refused_condition<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    matches!(error.code(), Some("PreconditionFailed" | "NoSuchKey"))
}

fn no_upload_id(key: &str) -> StoreError {
    StoreError::new("begin the upload of", key, "the store gave no upload id")
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
