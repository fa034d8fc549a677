//! What is compared: the files themselves, or the sums of their days.

use std::str::FromStr;

use domain::{
    DayDetail, ExportFile, Job, Status,
    changes::{Facts, Level},
};
use jiff::Timestamp;
use utoipa::ToSchema;

use super::not_intact;
use crate::{
    exports::recorded,
    problem::{Kind, Problem},
};

/// The level that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum AskedLevel {
    Row,
    Day,
}

impl FromStr for AskedLevel {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "row" => Ok(Self::Row),
            "day" => Ok(Self::Day),
            _ => Err("must be row or day"),
        }
    }
}

/// What is read of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    File,
    Days,
}

/// A job that has or had a file.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) job: Job,
    file: ExportFile,
    /// `false` once the file has expired.
    is_there: bool,
}

/// The decision.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) level: Level,
    pub(super) old: Read,
    /// Without a meaning for the present figures.
    pub(super) new: Read,
    /// What a reader has to know of the level.
    pub(super) notes: Vec<String>,
}

impl Stored {
    pub(super) fn of(job: Job, now: Timestamp) -> Result<Self, Problem> {
        let file = recorded(&job)?.clone();
        let is_there = job.status(now) == Status::Succeeded;
        Ok(Self { job, file, is_there })
    }

    /// Checks that what was read is what was written: each row of the file, or the sums of all days.
    pub(super) fn check(&self, facts: &Facts, read: Read) -> Result<(), Problem> {
        let has_rows = read == Read::Days || facts.rows == self.file.row_count;
        let totals = facts.totals.totals().map_err(Problem::inexact)?;
        if has_rows && totals == self.file.totals { Ok(()) } else { Err(not_intact(&self.job)) }
    }

    /// Returns what tells of the file's days.
    fn days(&self) -> Result<Read, Problem> {
        match self.file.days {
            Some(_) => Ok(Read::Days),
            None if self.is_there => Ok(Read::File),
            None => {
                let detail = format!(
                    "The file of job {} has expired, and it was made before sums of its days were kept. Its totals are \
                     still in the job and in …/reconciliation of a newer export.",
                    self.job.id()
                );
                Err(Problem::new(Kind::ExportExpired, detail))
            }
        }
    }
}

impl Plan {
    /// Decides what is read. `new` is `None` for the present figures.
    ///
    /// # Errors
    /// When the requests differ, or what was asked for is not there any more.
    pub(super) fn make(
        old: &Stored,
        new: Option<&Stored>,
        level: Option<AskedLevel>,
        is_csv: bool,
    ) -> Result<Self, Problem> {
        if let Some(new) = new {
            check_comparable(&old.job, &new.job)?;
        }
        let expired = [Some(old), new].into_iter().flatten().find(|stored| !stored.is_there);
        match (level, expired) {
            (Some(AskedLevel::Row) | None, None) => {
                return Ok(Self { level: Level::Row, old: Read::File, new: Read::File, notes: Vec::new() });
            }
            (Some(AskedLevel::Row), Some(expired)) => return Err(no_rows(expired)),
            (None, Some(expired)) if is_csv => return Err(no_rows(expired)),
            (None, Some(_)) | (Some(AskedLevel::Day), _) => {}
        }
        let reads = (old.days()?, new.map_or(Ok(Read::File), Stored::days)?);
        let is_without_models = |stored: &Stored| stored.file.days == Some(DayDetail::Days);
        let without_models = [Some(old), new].into_iter().flatten().find(|stored| is_without_models(stored));
        if let Some(stored) = without_models.filter(|_| is_csv) {
            let detail = format!(
                "The days of job {} have so many models that their sums are kept without them, and an adjustment names \
                 models. Ask for application/json; or, while the files are kept, with level=row.",
                stored.job.id()
            );
            return Err(Problem::new(Kind::NotComparable, detail));
        }
        let mut notes = Vec::new();
        notes.extend(expired.filter(|_| level.is_none()).map(|expired| {
            format!(
                "The file of job {} has expired: the changes are of days, by the sums that are kept.",
                expired.job.id()
            )
        }));
        notes.extend(without_models.map(|stored| {
            format!(
                "The days of job {} have so many models that their sums are kept without them: the changes are of all \
                 models of a day together.",
                stored.job.id()
            )
        }));
        let level = if without_models.is_some() { Level::Day } else { Level::DayAndModel };
        Ok(Self { level, old: reads.0, new: reads.1, notes })
    }
}

fn no_rows(expired: &Stored) -> Problem {
    let detail = format!(
        "The file of job {} has expired, so that its rows are gone. Ask with level=day: the sums of its days are kept.",
        expired.job.id()
    );
    Problem::new(Kind::ExportExpired, detail)
}

/// Checks that two jobs made files of the same request.
fn check_comparable(old: &Job, new: &Job) -> Result<(), Problem> {
    let (one, other) = (old.request(), new.request());
    // The end of a month may be its last second, or the next month's first.
    let is_same_month = one.whole_month().is_some() && one.whole_month() == other.whole_month();
    let different = [
        ("range", one.range == other.range || is_same_month),
        ("granularity", one.granularity == other.granularity),
        ("models", one.models == other.models),
    ]
    .into_iter()
    .filter(|(_, is_same)| !is_same)
    .map(|(name, _)| name);
    let different: Vec<&str> = different.collect();
    if different.is_empty() {
        return Ok(());
    }
    let detail = format!(
        "The exports {} and {} differ in {}. Compare files of the same range, granularity and models.",
        old.id(),
        new.id(),
        different.join(", ")
    );
    Err(Problem::new(Kind::NotComparable, detail))
}
