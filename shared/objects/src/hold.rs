//! Files that are held: a copy at a key that no lifecycle rule deletes, locked where the bucket has Object Lock.

use aws_sdk_s3::types::{ObjectLockLegalHold, ObjectLockLegalHoldStatus, Tag, Tagging, TaggingDirective};
use domain::hold::Protection;
use platform::StoreError;

use super::{ExportObject, ExportStore, failed};

/// The tag of a copy that is held no more. The bucket's lifecycle deletes such a copy a day later.
const RELEASED: &str = "released";

impl ExportStore {
    /// Copies a file to the place where held files are kept, and returns what protects the copy; `None` if the file does not
    /// exist. The same again makes the same copy again, without the tag of a release.
    ///
    /// # Errors
    /// When the store refuses, or has another copy than was asked for: nothing may be said to be held that is not.
    pub async fn hold(&self, object: &ExportObject, bytes: u64) -> Result<Option<Protection>, StoreError> {
        let (source, copy) = (object.original(), object.held());
        let key = copy.key();
        let (encryption, kms_key) = self.encryption.headers();
        let lock = self.locks.then_some(ObjectLockLegalHoldStatus::On);
        let request = self.client.copy_object().bucket(&self.bucket).key(&key);
        let copied = request
            .copy_source(format!("{}/{}", self.bucket, source.key()))
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(kms_key)
            .set_object_lock_legal_hold_status(lock)
            .tagging_directive(TaggingDirective::Replace)
            .send()
            .await;
        if let Err(error) = copied {
            let is_missing = error.raw_response().is_some_and(|answer| answer.status().as_u16() == 404);
            return if is_missing { Ok(None) } else { Err(failed("hold", &key, error)) };
        }
        let head = self.client.head_object().bucket(&self.bucket).key(&key).send().await;
        let head = head.map_err(|error| failed("look at", &key, error))?;
        if head.content_length.and_then(|size| u64::try_from(size).ok()) != Some(bytes) {
            return Err(StoreError::new("hold", &key, "the copy has another size than the file"));
        }
        let is_locked = head.object_lock_legal_hold_status() == Some(&ObjectLockLegalHoldStatus::On);
        match (self.locks, is_locked) {
            (true, false) => Err(StoreError::refused("hold", &key, "the store did not lock the copy")),
            (true, true) => Ok(Some(Protection::ObjectLock)),
            (false, _) => Ok(Some(Protection::Copy)),
        }
    }

    /// Releases the copy of a file that is held no more, so that the bucket's lifecycle deletes it. A copy that is not there
    /// needs no release.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn release(&self, object: &ExportObject) -> Result<(), StoreError> {
        let key = object.held().key();
        if self.stored(&object.held()).await?.is_none() {
            return Ok(());
        }
        if self.locks {
            let off = ObjectLockLegalHold::builder().status(ObjectLockLegalHoldStatus::Off).build();
            let request = self.client.put_object_legal_hold().bucket(&self.bucket).key(&key).legal_hold(off);
            request.send().await.map_err(|error| failed("unlock", &key, error))?;
        }
        let tag = Tag::builder().key(RELEASED).value("true").build();
        let tags = tag.and_then(|tag| Tagging::builder().tag_set(tag).build());
        let tags = tags.map_err(|error| StoreError::new("release", &key, error))?;
        let request = self.client.put_object_tagging().bucket(&self.bucket).key(&key).tagging(tags);
        request.send().await.map(|_| ()).map_err(|error| failed("release", &key, error))
    }
}
