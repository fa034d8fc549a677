//! The changes of figures after their files were made.

use std::time::Duration;

use domain::{ExportFile, Job, OrgId, State, Status};
use jiff::Timestamp;
use platform::log::Causes;
use postgres::{Database, DatabaseError, LimitedReads};
use tokio::time::timeout;
use tracing::warn;
use usage::Figures;

/// The time in which the database must answer. The state of a job is useful without the answer.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// The change of a job's figures after its file was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Changes {
    /// The job has no file, or one whose changes cannot be detected.
    NotApplicable,
    /// The database did not answer.
    Unknown,
    /// The figures are those of the file.
    None,
    /// The figures changed.
    Some,
}

impl Changes {
    /// Returns `true` for a change and `false` for none, if it is known.
    pub(crate) const fn known(self) -> Option<bool> {
        match self {
            Self::NotApplicable | Self::Unknown => None,
            Self::None => Some(false),
            Self::Some => Some(true),
        }
    }

    /// Returns the warning for readers of the file.
    pub(crate) fn warning(self) -> Option<String> {
        let text = match self {
            Self::NotApplicable | Self::None => return None,
            Self::Unknown => "It could not be checked whether the figures changed after the file was made.",
            Self::Some => {
                "The figures of the range changed after the file was made. Create a new export, with a new \
                 Idempotency-Key, for a file of the present figures."
            }
        };
        Some(text.to_owned())
    }
}

/// Returns the changes for each of some jobs of an organization.
pub(crate) async fn changes(database: &Database, org: OrgId, jobs: &[Job], now: Timestamp) -> Vec<Changes> {
    let figures: Vec<Option<Figures>> = jobs.iter().map(|job| figures(job, now)).collect();
    let files: Vec<Figures> = figures.iter().copied().flatten().collect();
    if files.is_empty() {
        return vec![Changes::NotApplicable; jobs.len()];
    }
    let read = async {
        let client = database.client().await?;
        let reads = LimitedReads::begin(&client, CHECK_TIMEOUT).await?;
        usage::changed_since(&reads, org, &files).await
    };
    let found = timeout(CHECK_TIMEOUT, read).await.unwrap_or(Err(DatabaseError::NoAnswer));
    let mut found = found
        .inspect_err(|error| warn!(error = %Causes(error), "changes of figures not read"))
        .ok()
        .map(Vec::into_iter);
    let mut next = || match found.as_mut().and_then(Iterator::next) {
        Some(true) => Changes::Some,
        Some(false) => Changes::None,
        None => Changes::Unknown,
    };
    figures.iter().map(|figures| figures.map_or(Changes::NotApplicable, |_| next())).collect()
}

/// Returns the figures of a job's file, if it is there and a change can be detected.
fn figures(job: &Job, now: Timestamp) -> Option<Figures> {
    let State::Succeeded { file: ExportFile { completeness: Some(completeness), .. }, .. } = job.state() else {
        return None;
    };
    let request = job.request();
    (completeness.tells_changes() && job.status(now) == Status::Succeeded).then_some(Figures {
        range: request.range,
        granularity: request.granularity,
        changed_at: completeness.changed_at,
    })
}
