//! The bytes of an export's file, with the checksum, row count and totals of exactly these bytes.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::{
    csv::{Chunk, HEADER, Sums},
    rollups::Settings,
    rollups::{Lines, RollupError},
};
use domain::{ExportFile, ExportRequest, OrgId, Progress, TimeRange, usage::TotalOverflow};
use postgres::Database;

/// Usage that could not be made into a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Reading usage.
    #[error("could not read the rollups")]
    Rollups(#[from] RollupError),
    /// A column's sum cannot be kept exactly.
    #[error(transparent)]
    Overflow(#[from] TotalOverflow),
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
    ) -> Result<Self, FileError> {
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
    pub async fn next(&mut self) -> Result<Option<&[u8]>, FileError> {
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
    pub async fn finish(self, database: &Database) -> Result<ExportFile, FileError> {
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
