//! The last step of an upload: the one write to the final key.
//!
//! It is conditional. It takes an empty place, or that of an attempt with a lower fencing token, and no other: an attempt
//! that lost its lease, however late it wakes, cannot replace the object of the one that won.

use aws_sdk_s3::{
    error::{ProvideErrorMetadata, SdkError},
    types::{CompletedMultipartUpload, CompletedPart, ServerSideEncryption},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;

use super::{ExportObject, Upload, UploadError};
use domain::ExportFile;
use platform::StoreError;

/// The bytes that the store copies in one request. S3 allows 5 GiB; less of it is sooner repeated.
const COPY_SIZE: u64 = 1 << 30;

/// A write, a look at what is in its place, a write over that: others may come between the two, but not often.
const MOST_TRIES: usize = 4;

/// A multipart upload under way. Its id is gone once it was completed.
#[derive(Debug)]
pub(super) struct Multipart {
    pub(super) id: Option<String>,
    pub(super) key: String,
    pub(super) parts: Vec<CompletedPart>,
}

/// What may be written over.
enum Place {
    Nothing,
    /// The object of an earlier attempt, by its entity tag.
    Earlier(String),
}

impl Place {
    /// The conditions `If-None-Match` and `If-Match`.
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
            None => Err(StoreError::new("begin the upload of", &key, "the store gave no upload id")),
        }
    }
}

impl Upload {
    /// Writes a small file to its final key.
    pub(super) async fn put(&mut self, file: &ExportFile, bytes: Bytes) -> Result<(), UploadError> {
        let key = self.object.key();
        let mut place = Place::Nothing;
        for _ in 0..MOST_TRIES {
            let (if_none_match, if_match) = place.conditions();
            let request = self.store.client.put_object().bucket(&self.store.bucket).key(&key);
            let written = request
                .set_metadata(Some(self.object.metadata(&file.checksum, self.fence)))
                .content_type(ExportObject::CONTENT_TYPE)
                .content_disposition(self.object.disposition(&self.request))
                .server_side_encryption(ServerSideEncryption::Aes256)
                // The store compares this with what it received.
                .set_checksum_sha256(base64_checksum(&file.checksum))
                .set_if_none_match(if_none_match)
                .set_if_match(if_match)
                .body(bytes.clone().into())
                .send()
                .await;
            match written {
                Ok(_) => return Ok(()),
                Err(error) if is_refused_condition(&error) => match self.look(&key).await? {
                    Some(found) => place = found,
                    None => return Ok(()),
                },
                Err(error) => return Err(StoreError::new("put", &key, error).into()),
            }
        }
        Err(StoreError::new("write", &key, "others wrote it at the same moment").into())
    }

    /// Copies a large file from its staging key to its final key.
    pub(super) async fn copy(&mut self, file: &ExportFile) -> Result<(), UploadError> {
        let key = self.object.key();
        let (id, parts) = self.copy_parts(file, &key).await?;
        let mut place = Place::Nothing;
        for _ in 0..MOST_TRIES {
            let (if_none_match, if_match) = place.conditions();
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
                Err(error) if is_refused_condition(&error) => match self.look(&key).await? {
                    Some(found) => place = found,
                    None => return Ok(()),
                },
                Err(error) => return Err(StoreError::new("publish", &key, error).into()),
            }
        }
        Err(StoreError::new("write", &key, "others wrote it at the same moment").into())
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
        let copy = self.copy.insert(Multipart::new(begun.upload_id, key.to_owned())?);
        let source = format!("{}/{}", self.store.bucket, self.object.staging_key(self.fence));
        let mut start = 0;
        while start < file.bytes {
            let end = file.bytes.min(start + COPY_SIZE);
            let number = i32::try_from(copy.parts.len() + 1).unwrap_or(i32::MAX);
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
        Ok((copy.id.clone().unwrap_or_default(), parts))
    }

    /// Looks at the object that was in the way: what may be written over, or `None` if it is this attempt's own, written
    /// by a request whose answer was lost.
    async fn look(&self, key: &str) -> Result<Option<Place>, UploadError> {
        let found = match self.store.client.head_object().bucket(&self.store.bucket).key(key).send().await {
            Ok(found) => found,
            Err(error) if error.as_service_error().is_some_and(|error| error.is_not_found()) => {
                return Ok(Some(Place::Nothing));
            }
            Err(error) => return Err(StoreError::new("look at", key, error).into()),
        };
        let fence = found.metadata().and_then(|metadata| metadata.get("fence")?.parse().ok()).unwrap_or(0);
        match fence {
            by if by > self.fence => Err(UploadError::Superseded { fence: self.fence, by }),
            own if own == self.fence => Ok(None),
            _ => Ok(Some(Place::Earlier(found.e_tag.unwrap_or_default()))),
        }
    }
}

/// Whether a conditional write was refused for what is in its place: something where nothing was expected, another object
/// than the expected one, or nothing where there was one.
fn is_refused_condition<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    matches!(error.code(), Some("PreconditionFailed" | "NoSuchKey"))
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
