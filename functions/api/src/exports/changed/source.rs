//! The bytes of a side: of a stored object, or of the file that would be made now.

use domain::{
    Completeness, Job,
    changes::{Merge, Which},
};
use engine::{CsvFile, FileError, Settings, Snapshot, rollups::RollupError};
use jiff::Timestamp;
use objects::{ExportObject, ObjectBytes};
use platform::Deadline;
use usage::{completeness, rollups_are_kept};

use super::{not_intact, plan::Read};
use crate::{
    context::Context,
    problem::{Kind, Problem},
};

/// A side, while it is read.
pub(super) enum Source {
    Stored(ObjectBytes),
    /// The present figures, with their completeness; `None` once they were read.
    Current(Option<Box<CsvFile>>, Completeness),
}

impl Source {
    /// Opens what is stored of a job.
    pub(super) async fn stored(context: &Context, job: &Job, read: Read) -> Result<Self, Problem> {
        let object = ExportObject::of(job);
        let bytes = match read {
            Read::File => context.store.read(&object).await?,
            Read::Days => context.store.read_days(&object).await?,
        };
        bytes.map(Self::Stored).ok_or_else(|| not_intact(job))
    }

    /// Begins the file that the job's request would make now.
    pub(super) async fn current(context: &Context, job: &Job, deadline: Deadline) -> Result<Self, Problem> {
        let request = job.request();
        let chosen = crate::settings::of(context, job.org()).await?;
        let settings = Settings { connections: 1, limit: deadline.left() };
        let snapshot = Snapshot::begin(&context.database, job.org(), request, settings).await.map_err(rollups)?;
        if !rollups_are_kept(snapshot.client(), request.range).await? {
            let detail = "Rollups of a part of the range have expired, so that the present figures lack them. Compare \
                          the file with that of another job.";
            return Err(Problem::new(Kind::NotComparable, detail));
        }
        let now = Timestamp::now();
        let known = completeness(snapshot.client(), job.org(), request.range, request.granularity, now).await?;
        let csv = CsvFile::read(snapshot).await.map_err(file)?;
        let figures = known.of_figures(true).awaiting_late_usage(chosen.final_from(request.range.end()), now);
        Ok(Self::Current(Some(Box::new(csv)), figures))
    }

    /// Returns the completeness of present figures.
    pub(super) const fn completeness(&self) -> Option<&Completeness> {
        match self {
            Self::Stored(_) => None,
            Self::Current(_, completeness) => Some(completeness),
        }
    }

    /// Gives the next bytes to the merge. Reports whether there were any.
    pub(super) async fn read(&mut self, which: Which, merge: &mut Merge) -> Result<bool, Problem> {
        match self {
            Self::Stored(bytes) => {
                let Some(bytes) = bytes.next().await? else { return Ok(false) };
                merge.push(which, &bytes);
            }
            Self::Current(csv, _) => {
                let Some(lines) = csv else { return Ok(false) };
                match lines.next().await.map_err(file)? {
                    Some(chunk) => merge.push(which, chunk.bytes()),
                    None => {
                        // Gives the connection back.
                        if let Some(csv) = csv.take() {
                            csv.finish().await.map_err(file)?;
                        }
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }
}

fn file(error: FileError) -> Problem {
    match error {
        FileError::Rollups(error) => rollups(error),
        FileError::Overflow(error) => Problem::inexact(error),
    }
}

fn rollups(error: RollupError) -> Problem {
    match error {
        RollupError::Database(error) => error.into(),
        RollupError::Incomplete => Problem::unavailable(error),
        error => Problem::inexact(error),
    }
}
