//! The copy of a file in an organization's bucket: the file itself, verified, and then its manifest. Whoever finds a
//! manifest finds the whole file.

use domain::{ExportFile, Job, Month, OrgId, event::Detail, settings::Destination};
use jobs::JobsError;
use objects::{ExportObject, ExportStore};
use platform::StoreError;
use sha2::{Digest as _, Sha256};

use crate::bucket::{Bucket, BucketError};

/// The reason why a file was not delivered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    /// The operator's list does not have the bucket.
    #[error("the bucket is not among those that this deployment delivers to")]
    NotAdmitted,
    /// The file was removed before it was delivered.
    #[error("the file has expired")]
    Expired,
    /// The bucket lacks the object that proves whose it is.
    #[error("the bucket has no object {0}")]
    NoProof(String),
    /// The bucket.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The bucket of exports.
    #[error("could not read the file")]
    Store(#[from] StoreError),
    /// The stored file is missing, or has other bytes than were written.
    #[error("the stored file is missing, or has other bytes than were written")]
    NotIntact,
    /// The bucket has other bytes than were sent.
    #[error("the bucket has other bytes than were sent to it")]
    NotCopied,
    /// The jobs table.
    #[error(transparent)]
    Jobs(#[from] JobsError),
    /// The manifest could not be written.
    #[error("could not write the manifest")]
    Manifest(#[from] serde_json::Error),
    /// The invocation reached its time limit.
    #[error("the copy took too long")]
    OutOfTime,
}

impl CopyError {
    /// Reports whether no other attempt would do better.
    pub(crate) const fn is_final(&self) -> bool {
        matches!(self, Self::NotAdmitted | Self::Expired)
    }

    /// Returns the reason in words for the organization.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::NotAdmitted => {
                "this deployment no longer delivers to the bucket; ask an administrator of the platform".to_owned()
            }
            Self::NoProof(key) => {
                format!("the bucket has no object {key}, which proves that it is the organization's; put one there")
            }
            Self::Bucket(error) => error.reason(),
            Self::Store(_) | Self::Jobs(_) | Self::Manifest(_) | Self::NotIntact => {
                "the file could not be read on our side".to_owned()
            }
            Self::Expired | Self::NotCopied | Self::OutOfTime => self.to_string(),
        }
    }
}

/// The key of the object by which the owner of a bucket proves that it is the organization's.
fn proof(destination: &Destination, org: OrgId) -> String {
    format!("{}.analytics-{org}", destination.prefix)
}

/// The beginning of the keys of a job's copy: organization, month and job, so that no file takes the place of another.
fn folder(destination: &Destination, job: &Job, detail: &Detail) -> String {
    let period = detail.period.unwrap_or_else(|| Month::of(job.request().range.start()));
    format!("{}{}/{period}/{}/", destination.prefix, job.org(), job.id())
}

/// Succeeds if the bucket has the proof. Only who may write to the bucket can put it there: an organization that names the
/// bucket of another gets nothing into it.
pub(crate) async fn check_proof(bucket: &Bucket, destination: &Destination, org: OrgId) -> Result<(), CopyError> {
    let key = proof(destination, org);
    match bucket.read(&key).await? {
        Some(_) => Ok(()),
        None => Err(CopyError::NoProof(key)),
    }
}

/// Copies the file, reads the copy back, and then writes the manifest. All in constant memory.
pub(crate) async fn copy(
    job: &Job,
    file: &ExportFile,
    detail: &Detail,
    destination: &Destination,
    bucket: &Bucket,
    store: &ExportStore,
) -> Result<(), CopyError> {
    // A delivery is made within days, while the file is still where the worker stored it.
    let object = ExportObject::of_original(job);
    let folder = folder(destination, job, detail);
    let key = format!("{folder}{}", object.name(job.request()));
    let mut source = store.read(&object).await?.ok_or(CopyError::NotIntact)?;
    let mut upload = bucket.upload(&key, ExportObject::CONTENT_TYPE);
    let mut digest = Sha256::new();
    let sent = async {
        while let Some(bytes) = source.next().await? {
            digest.update(&bytes);
            upload.write(&bytes).await?;
        }
        if checksum(digest) == file.checksum { Ok(()) } else { Err(CopyError::NotIntact) }
    };
    // Nothing becomes visible before all bytes are known to be right.
    if let Err(error) = sent.await {
        upload.abort().await;
        return Err(error);
    }
    upload.finish().await?;
    verify(bucket, &key, file).await?;
    let manifest = manifest::bytes(job)?.ok_or(CopyError::Expired)?;
    let mut upload = bucket.upload(&format!("{folder}manifest.json"), "application/json");
    upload.write(&manifest).await?;
    Ok(upload.finish().await?)
}

/// Reads a copy back and compares its checksum.
async fn verify(bucket: &Bucket, key: &str, file: &ExportFile) -> Result<(), CopyError> {
    let mut copy = bucket.read(key).await?.ok_or(CopyError::NotCopied)?;
    let mut digest = Sha256::new();
    while let Some(bytes) = copy.next().await? {
        digest.update(&bytes);
    }
    if checksum(digest) == file.checksum { Ok(()) } else { Err(CopyError::NotCopied) }
}

fn checksum(digest: Sha256) -> String {
    format!("sha256:{}", hex::encode(digest.finalize()))
}
