//! One export: lines from PostgreSQL into the object store, in one pass and in constant memory.
//!
//! While one part of the file is uploaded, the next is read. A slow store slows the reading down.

use domain::{ClaimedJob, ExportFile, Progress};
use engine::{CsvFile, FileError, Settings, Snapshot, rollups::RollupError};
use jiff::Timestamp;
use objects::Upload;
use platform::StoreError;
use postgres::Database;
use tokio::{sync::watch, time::Instant};
use usage::{UsageError, completeness};

use crate::metrics::Durations;

/// The reason why an export was not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    /// Reading the rows or writing the file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Reading the completeness of the rows.
    #[error("could not read the completeness of the rollups")]
    Completeness(#[from] UsageError),
    /// Storing the file.
    #[error("could not store the file")]
    Store(#[from] StoreError),
}

impl From<RollupError> for ExportError {
    fn from(error: RollupError) -> Self {
        Self::File(error.into())
    }
}

/// Reads the rows of a claimed job, writes them to `upload` and finishes it, reporting to `progress` and adding to
/// `durations`. The figures are final from `final_from` on at the earliest.
///
/// # Errors
/// When the database or the store fails. The upload is then unfinished and must be aborted.
pub(crate) async fn export(
    database: &Database,
    claimed: &ClaimedJob,
    upload: &mut Upload,
    settings: Settings,
    final_from: Timestamp,
    progress: &watch::Sender<Progress>,
    durations: &mut Durations,
) -> Result<ExportFile, ExportError> {
    upload.remove_earlier_attempts().await;
    let job = claimed.job();
    let request = job.request();
    let snapshot = Snapshot::begin(database, job.org(), request, settings).await?;
    // Of the same moment as the rows: an hour that a refresh adds in between is neither in the file nor called
    // complete.
    let now = Timestamp::now();
    let completeness = completeness(snapshot.client(), job.org(), request.range, request.granularity, now).await?;
    let mut csv = CsvFile::read(snapshot).await?;
    let mut last = Instant::now();
    let mut lap = || std::mem::replace(&mut last, Instant::now()).elapsed();
    while let Some(chunk) = csv.next().await? {
        durations.read += lap();
        upload.write(chunk.bytes()).await?;
        durations.upload += lap();
        progress.send_replace(csv.progress());
    }
    let days = csv.days();
    let mut file = csv.finish().await?;
    durations.read += lap();
    file.software = Some(platform::VERSION.to_owned());
    file.completeness = Some(completeness.of_figures(file.row_count > 0).awaiting_late_usage(final_from, now));
    file.days = Some(days.detail);
    let kept = upload.keep_days(days.text);
    // At the same time, so that neither waits for the other.
    let (tag, kept) = tokio::join!(upload.finish(&file), kept);
    kept?;
    file.tag = tag?;
    durations.upload += lap();
    Ok(file)
}
