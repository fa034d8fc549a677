//! Makes an export's file: rows from PostgreSQL through CSV into the object store, in one pass and in constant memory.

use std::{pin::pin, time::Duration};

use futures_util::TryStreamExt as _;
use tokio_postgres::Client;

use crate::{
    csv::{CsvError, CsvWriter},
    domain::{ClaimedJob, ExportFile},
    objects::{ObjectError, Upload, UploadError},
    rollups::{self, RollupError},
};

/// The bytes that are gathered before they are handed to the upload.
const CHUNK: usize = 256 << 10;

/// Why a file could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Reading usage.
    #[error("could not read the rollups")]
    Rollups(#[from] RollupError),
    /// Writing CSV.
    #[error("could not write the rows as CSV")]
    Csv(#[from] CsvError),
    /// Storing the file.
    #[error("could not store the file")]
    Upload(#[from] UploadError),
}

impl From<ObjectError> for ExportError {
    fn from(error: ObjectError) -> Self {
        Self::Upload(error.into())
    }
}

/// Reads the rows of a claimed job, writes them to `upload` and finishes it. The database gets at most `limit`.
///
/// # Errors
/// The upload is then unfinished: abort it.
pub async fn export(
    client: &Client,
    claimed: &ClaimedJob,
    upload: &mut Upload,
    limit: Duration,
) -> Result<ExportFile, ExportError> {
    upload.remove_earlier().await;
    let job = claimed.job();
    let mut rows = pin!(rollups::rows(client, job.org, &job.request, limit).await?);
    let mut csv = CsvWriter::new(job.org)?;
    while let Some(row) = rows.try_next().await? {
        csv.write(&row)?;
        if csv.ready() >= CHUNK {
            upload.write(csv.take()?).await?;
        }
    }
    let (last, file) = csv.finish()?;
    upload.write(last).await?;
    upload.finish(&file).await?;
    Ok(file)
}
