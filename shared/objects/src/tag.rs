//! What the store itself says of an object, without its bytes.

use aws_sdk_s3::{operation::head_object::HeadObjectOutput, types::ChecksumMode};
use domain::ObjectTag;

use super::{ExportObject, ExportStore, failed};
use platform::StoreError;

/// A stored object, as the store describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The size in bytes; `None` if the store does not say it.
    pub bytes: Option<u64>,
    /// The store's words for the bytes; `None` of a store that has none.
    pub tag: Option<ObjectTag>,
}

impl ExportStore {
    /// Asks the store for an object's size and tag. `None` if the object does not exist.
    ///
    /// # Errors
    /// When the store refuses or does not answer.
    pub async fn stored(&self, object: &ExportObject) -> Result<Option<Stored>, StoreError> {
        let key = object.key();
        let request = self.client.head_object().bucket(&self.bucket).key(&key);
        // A store gives the checksum to those alone who ask for it.
        match request.checksum_mode(ChecksumMode::Enabled).send().await {
            Ok(answer) => Ok(Some(Stored::from(answer))),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_not_found()) => Ok(None),
            Err(error) => Err(failed("look at", &key, error)),
        }
    }
}

impl From<HeadObjectOutput> for Stored {
    fn from(answer: HeadObjectOutput) -> Self {
        let checksum = checksum(&answer);
        Self {
            bytes: answer.content_length.and_then(|size| u64::try_from(size).ok()),
            tag: answer.e_tag.map(|e_tag| ObjectTag { e_tag, checksum }),
        }
    }
}

/// Returns an object's checksum with its algorithm. An object has one, by the algorithm of its upload.
fn checksum(answer: &HeadObjectOutput) -> Option<String> {
    let all = [
        ("sha256", answer.checksum_sha256()),
        ("crc32", answer.checksum_crc32()),
        ("crc64nvme", answer.checksum_crc64_nvme()),
        ("crc32c", answer.checksum_crc32_c()),
        ("sha1", answer.checksum_sha1()),
    ];
    all.into_iter().find_map(|(name, checksum)| Some(format!("{name}:{}", checksum?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_described_by_size_tag_and_checksum() {
        let answer = HeadObjectOutput::builder().content_length(5).e_tag("\"0123-2\"");
        let tag = |checksum: Option<&str>| {
            Some(ObjectTag { e_tag: "\"0123-2\"".to_owned(), checksum: checksum.map(str::to_owned) })
        };
        let stored = Stored::from(answer.clone().build());
        assert_eq!(stored, Stored { bytes: Some(5), tag: tag(None) });
        let stored = Stored::from(answer.clone().checksum_crc32("AAAAAA==-2").build());
        assert_eq!(stored.tag, tag(Some("crc32:AAAAAA==-2")));
        let stored = Stored::from(answer.checksum_crc64_nvme("AAAAAAAAAAA=").build());
        assert_eq!(stored.tag, tag(Some("crc64nvme:AAAAAAAAAAA=")), "as S3 adds it to an object of another's");
        let stored = Stored::from(HeadObjectOutput::builder().build());
        assert_eq!(stored, Stored { bytes: None, tag: None });
    }
}
