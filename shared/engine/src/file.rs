//! The bytes of an export's file, with the checksum, row count and totals of exactly these bytes.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::{
    csv::Sums,
    days::{DayFile, DaySums},
    pool::PooledChunk,
    rollups::{Lines, RollupError, Settings, Snapshot},
};
use domain::{ExportFile, ExportRequest, OrgId, Progress, TimeRange, measures::TotalOverflow};
use postgres::Database;

/// The reason that a file cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Usage could not be read.
    #[error("could not read the rollups")]
    Rollups(#[from] RollupError),
    /// A column's sum cannot be kept exactly.
    #[error(transparent)]
    Overflow(#[from] TotalOverflow),
}

/// The file of an export, while it is made.
#[derive(Debug)]
pub struct CsvFile {
    lines: Lines,
    range: TimeRange,
    /// The last bucket that was written.
    reached: Timestamp,
    hash: Sha256,
    bytes: u64,
    sums: Sums,
    days: DaySums,
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
    ) -> Result<Self, FileError> {
        Self::read(Snapshot::begin(database, org, request, settings).await?).await
    }

    /// Begins the file of the usage in a snapshot.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn read(snapshot: Snapshot) -> Result<Self, FileError> {
        let range = snapshot.range();
        let days = DaySums::new(snapshot.org());
        let lines = Lines::read(snapshot).await?;
        let hash = Sha256::new();
        Ok(Self { lines, range, reached: range.start(), hash, bytes: 0, sums: Sums::default(), days })
    }

    /// Returns the next lines of the file; `None` at its end.
    ///
    /// # Errors
    /// When usage cannot be read, or not be summed exactly. The file must not be used after that.
    pub async fn next(&mut self) -> Result<Option<PooledChunk>, FileError> {
        let Some(chunk) = self.lines.next().await? else { return Ok(None) };
        self.sums.add(chunk.sums())?;
        if !self.days.add(chunk.days())? {
            self.lines.skip_models();
        }
        self.reached = self.reached.max(chunk.last_bucket());
        self.hash.update(chunk.bytes());
        self.bytes += chunk.bytes().len() as u64;
        Ok(Some(chunk))
    }

    /// Returns the progress of the file.
    pub fn progress(&self) -> Progress {
        Progress::new(self.sums.rows, self.bytes, self.range, self.reached)
    }

    /// Returns the sums of the days that are written.
    pub fn days(&self) -> DayFile {
        self.days.file()
    }

    /// Ends the file and returns its facts.
    ///
    /// # Errors
    /// When a total is too large to be stated exactly.
    pub async fn finish(self) -> Result<ExportFile, FileError> {
        self.lines.finish().await;
        Ok(ExportFile {
            software: None,
            checksum: format!("sha256:{}", hex::encode(self.hash.finalize())),
            bytes: self.bytes,
            row_count: self.sums.rows,
            totals: self.sums.totals()?,
            rounding_difference: Some(self.sums.rounding_difference()?),
            completeness: None,
            days: None,
            tag: None,
        })
    }
}
