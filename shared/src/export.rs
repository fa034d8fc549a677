//! Makes an export's file: lines from PostgreSQL into the object store, in one pass and in constant memory.
//!
//! While one part of the file is on its way to the store, the next is read; while the store is slow, the database waits.
//! Checksum, row count and totals are of exactly the bytes and values that went into the file.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

pub use crate::rollups::Settings;
use crate::{
    csv::{Chunk, HEADER, Sums},
    database::Database,
    domain::{ClaimedJob, ExportFile, ExportRequest, OrgId, Progress, TimeRange, usage::TotalOverflow},
    objects::{ObjectError, Upload, UploadError},
    rollups::{Lines, RollupError},
};

/// Why a file could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Reading usage.
    #[error("could not read the rollups")]
    Rollups(#[from] RollupError),
    /// A column's sum cannot be kept exactly.
    #[error(transparent)]
    Overflow(#[from] TotalOverflow),
    /// Storing the file.
    #[error("could not store the file")]
    Upload(#[from] UploadError),
}

impl From<ObjectError> for ExportError {
    fn from(error: ObjectError) -> Self {
        Self::Upload(error.into())
    }
}

/// Reads the rows of a claimed job, writes them to `upload` and finishes it. `progress` shows how far it is.
///
/// # Errors
/// The upload is then unfinished: abort it.
pub async fn export(
    database: &Database,
    claimed: &ClaimedJob,
    upload: &mut Upload,
    settings: Settings,
    progress: &watch::Sender<Progress>,
) -> Result<ExportFile, ExportError> {
    upload.remove_earlier().await;
    let job = claimed.job();
    let mut csv = CsvFile::open(database, job.org, &job.request, settings).await?;
    while let Some(bytes) = csv.next().await? {
        upload.write(bytes).await?;
        progress.send_replace(csv.progress());
    }
    let file = csv.finish(database).await?;
    upload.finish(&file).await?;
    Ok(file)
}

/// The file of an export, as it is made.
#[derive(Debug)]
pub struct CsvFile {
    lines: Lines,
    range: TimeRange,
    /// What [`next`](Self::next) gave last.
    chunk: Option<Chunk>,
    /// The bucket that was written last.
    reached: Timestamp,
    began: bool,
    hash: Sha256,
    bytes: u64,
    sums: Sums,
}

impl CsvFile {
    /// Begins the file of an organization's usage.
    ///
    /// # Errors
    /// When the database does not answer, or has no such tables.
    pub async fn open(
        database: &Database,
        org: OrgId,
        request: &ExportRequest,
        settings: Settings,
    ) -> Result<Self, ExportError> {
        let lines = Lines::open(database, org, request, settings).await?;
        Ok(Self {
            lines,
            range: request.range,
            chunk: None,
            reached: request.range.start(),
            began: false,
            hash: Sha256::new(),
            bytes: 0,
            sums: Sums::default(),
        })
    }

    /// The next bytes of the file; `None` at its end.
    ///
    /// # Errors
    /// When usage cannot be read, or not be summed exactly. There is no way on after that.
    pub async fn next(&mut self) -> Result<Option<&[u8]>, ExportError> {
        if !self.began {
            self.began = true;
            return Ok(Some(self.count(HEADER)));
        }
        if let Some(chunk) = self.chunk.take() {
            self.lines.recycle(chunk);
        }
        let Some(chunk) = self.lines.next().await? else { return Ok(None) };
        self.sums.add(chunk.sums().rows, chunk.sums().counts, chunk.sums().cost_total)?;
        self.reached = self.reached.max(chunk.last_bucket());
        self.hash.update(chunk.bytes());
        self.bytes += chunk.bytes().len() as u64;
        Ok(Some(self.chunk.insert(chunk).bytes()))
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        Progress::new(self.sums.rows, self.bytes, self.range, self.reached)
    }

    /// Ends the file and gives its facts. `database` keeps the connection for the next one.
    ///
    /// # Errors
    /// When a total is too large to be stated exactly.
    pub async fn finish(self, database: &Database) -> Result<ExportFile, ExportError> {
        self.lines.close(database).await;
        let digest: String = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(ExportFile {
            checksum: format!("sha256:{digest}"),
            bytes: self.bytes,
            row_count: self.sums.rows,
            totals: self.sums.totals()?,
        })
    }

    fn count<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        bytes
    }
}
