//! One export: lines from PostgreSQL into the object store, in one pass and in constant memory.
//!
//! While one part of the file is uploaded, the next is read. A slow store slows the reading down.

use domain::{ClaimedJob, ExportFile, Progress};
use engine::{CsvFile, FileError, Settings};
use objects::{Upload, UploadError};
use platform::StoreError;
use postgres::Database;
use tokio::sync::watch;

/// The reason why an export was not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    /// Reading the rows or writing the file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Storing the file.
    #[error("could not store the file")]
    Upload(#[from] UploadError),
}

impl From<StoreError> for ExportError {
    fn from(error: StoreError) -> Self {
        Self::Upload(error.into())
    }
}

/// Reads the rows of a claimed job, writes them to `upload` and finishes it, reporting to `progress`.
///
/// # Errors
/// When the database or the store fails. The upload is then unfinished and must be aborted.
pub(crate) async fn export(
    database: &Database,
    claimed: &ClaimedJob,
    upload: &mut Upload,
    settings: Settings,
    progress: &watch::Sender<Progress>,
) -> Result<ExportFile, ExportError> {
    upload.remove_earlier_attempts().await;
    let job = claimed.job();
    let mut csv = CsvFile::open(database, job.org(), job.request(), settings).await?;
    while let Some(chunk) = csv.next().await? {
        upload.write(chunk.bytes()).await?;
        progress.send_replace(csv.progress());
    }
    let file = csv.finish().await?;
    upload.finish(&file).await?;
    Ok(file)
}
