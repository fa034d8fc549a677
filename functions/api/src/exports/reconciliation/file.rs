//! The verification of a stored file: by its bytes or, of a large one, by what the store says of them.

use std::time::Duration;

use domain::{ExportFile, Job, ObjectTag, Totals};
use engine::recount::Recount;
use objects::{ExportObject, ExportStore, Stored};
use tokio::time::timeout;

use super::view::{FileView, Method};
use crate::problem::{Kind, Problem};

/// Maximum size of a file whose bytes are read, in bytes.
const MAX_READ_BYTES: u64 = 64 << 20;

/// A file as it was found in the store.
#[derive(Debug)]
pub(super) enum Found {
    /// The facts of the bytes that were read: `None` if the file is missing, or is no export.
    Read(Option<Box<ExportFile>>),
    /// Reports whether the store says the same of the file as right after its upload.
    Compared(bool),
}

impl Found {
    /// Looks for a job's file within `limit`.
    ///
    /// # Errors
    /// When the store fails or is too slow, or when the file is too large to be read and its job does not know what the
    /// store said.
    pub(super) async fn look(
        job: &Job,
        file: &ExportFile,
        store: &ExportStore,
        limit: Duration,
    ) -> Result<Self, Problem> {
        let object = ExportObject::of(job);
        let look = async {
            if file.bytes <= MAX_READ_BYTES {
                return Ok(Self::Read(read(&object, store).await?.map(Box::new)));
            }
            let tag = file.tag.as_ref().ok_or_else(|| unknown(file))?;
            Ok(Self::Compared(is_the_same(file.bytes, tag, store.stored(&object).await?.as_ref())))
        };
        timeout(limit, look).await.map_err(|_| Problem::new(Kind::TookTooLong, format!("{TOO_SLOW} {DOWNLOAD}")))?
    }

    /// Returns the sums of the file: of its bytes where they are known, else those that were recorded.
    pub(super) fn totals<'a>(&'a self, file: &'a ExportFile) -> &'a Totals {
        match self {
            Self::Read(Some(found)) => &found.totals,
            Self::Read(None) | Self::Compared(_) => &file.totals,
        }
    }

    pub(super) fn is_intact(&self, file: &ExportFile) -> bool {
        match self {
            Self::Read(found) => found.as_ref().is_some_and(|found| found.has_same_bytes(file)),
            Self::Compared(is_the_same) => *is_the_same,
        }
    }

    /// Returns what a user has to know of a file that is not intact.
    pub(super) fn note(&self) -> String {
        match self {
            Self::Read(_) => NOT_INTACT.to_owned(),
            Self::Compared(_) => format!("{NOT_THE_SAME} {DOWNLOAD} {NOT_EQUAL}"),
        }
    }

    pub(super) fn view(&self, file: &ExportFile) -> FileView {
        let (method, found) = match self {
            Self::Read(found) => (Method::Read, found.as_deref()),
            Self::Compared(_) => (Method::Store, None),
        };
        FileView {
            method,
            is_intact: self.is_intact(file),
            checksum: found.map(|found| found.checksum.clone()),
            row_count: found.map(|found| found.row_count),
        }
    }
}

const NOT_INTACT: &str = "The stored file is missing or is not the one that was written. Create a new export, with a \
                          new Idempotency-Key, and contact platform engineering.";

const NOT_THE_SAME: &str = "The store lacks the file, or states another size, tag or checksum of it than right after \
                            its upload, as for other bytes or for a copy.";

const NOT_EQUAL: &str = "If it is missing or they differ, create a new export, with a new Idempotency-Key, and contact \
                         platform engineering.";

const TOO_SLOW: &str = "The store did not answer in time.";

const DOWNLOAD: &str = "Download the file and compare its SHA-256 with the job's checksum.";

async fn read(object: &ExportObject, store: &ExportStore) -> Result<Option<ExportFile>, Problem> {
    let Some(mut bytes) = store.read(object).await? else { return Ok(None) };
    let mut recount = Recount::new();
    while let Some(piece) = bytes.next().await? {
        if recount.add(&piece).is_err() {
            return Ok(None);
        }
    }
    Ok(recount.finish().ok())
}

fn is_the_same(bytes: u64, tag: &ObjectTag, stored: Option<&Stored>) -> bool {
    stored.is_some_and(|stored| stored.bytes == Some(bytes) && stored.tag.as_ref() == Some(tag))
}

/// Returns the problem of a large file whose tag is not known.
fn unknown(file: &ExportFile) -> Problem {
    let detail = format!(
        "The file has {} bytes; up to {MAX_READ_BYTES} are read here. A larger one is compared with what its store said \
         at the upload, which is not known of this one. {DOWNLOAD}",
        file.bytes
    );
    Problem::new(Kind::FileTooLarge, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_size_tag_or_checksum_is_another_file() {
        let tag = |e_tag: &str, checksum: Option<&str>| ObjectTag {
            e_tag: e_tag.to_owned(),
            checksum: checksum.map(str::to_owned),
        };
        let known = tag("\"01-2\"", Some("crc32:AAAAAA==-2"));
        let is_the_same = |bytes, tag| is_the_same(5, &known, Some(&Stored { bytes, tag }));
        assert!(is_the_same(Some(5), Some(known.clone())));
        assert!(!is_the_same(Some(6), Some(known.clone())));
        assert!(!is_the_same(None, Some(known.clone())));
        assert!(!is_the_same(Some(5), Some(tag("\"02-2\"", Some("crc32:AAAAAA==-2")))));
        assert!(!is_the_same(Some(5), Some(tag("\"01-2\"", Some("crc32:AAAAAQ==-2")))));
        assert!(!is_the_same(Some(5), Some(tag("\"01-2\"", None))));
        assert!(!is_the_same(Some(5), None));
        assert!(!super::is_the_same(5, &known, None));
    }
}
