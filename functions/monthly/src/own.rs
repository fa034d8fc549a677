//! The exports of organizations with a schedule of their own: each on its day, or when its figures are final.
//!
//! Every pass looks at all of them. What a pass does follows from the settings, the time and the key of the month's
//! export, which never expires; so a crash, a second event or a run by hand creates nothing twice, and a pass that was
//! missed is made up for by the next.

use domain::{Month, OrgId, settings::Schedule};
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use platform::Deadline;
use serde::Serialize;
use tracing::{Instrument as _, info_span};
use usage::UsageError;

use crate::{
    context::Context,
    handler::{MAX_CONCURRENT_CREATES, RunError},
    organization::{Export, Outcome},
};

/// The counts of one pass.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnSchedules {
    /// Exports that it created.
    pub created: u64,
    /// Those among them whose figures are not final.
    pub provisional: u64,
    /// Organizations that have their export.
    pub already_there: u64,
    /// Organizations that wait for final figures.
    pub waiting: u64,
    /// Organizations whose day has not come.
    pub not_yet: u64,
    /// Organizations whose export could not be created. The next pass retries them.
    pub failed: u64,
    /// `true` if the time limit was reached. The next pass begins again.
    pub is_unfinished: bool,
}

/// Creates the exports that are due at `at`.
///
/// # Errors
/// When the schedules or the database cannot be read.
pub(crate) async fn pass(
    export: &Export<'_>,
    at: Timestamp,
    deadline: Deadline,
    context: &Context,
) -> Result<OwnSchedules, RunError> {
    let mut counts = OwnSchedules::default();
    let mut after = None;
    loop {
        let (schedules, next) = context.jobs.schedules(after).await?;
        if !schedules.is_empty() {
            let client = context.database.client().await.map_err(UsageError::from)?;
            let process = |(org, schedule): (OrgId, Schedule)| {
                let span = info_span!("organization", org_id = %org);
                export.process_own(&client, org, schedule, at).instrument(span)
            };
            let mut outcomes = stream::iter(schedules).map(process).buffer_unordered(MAX_CONCURRENT_CREATES);
            while let Some(outcome) = outcomes.next().await {
                counts.add(outcome);
            }
        }
        match next {
            None => return Ok(counts),
            Some(_) if deadline.left().is_zero() => return Ok(OwnSchedules { is_unfinished: true, ..counts }),
            next => after = next,
        }
    }
}

impl OwnSchedules {
    const fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Created => self.created += 1,
            Outcome::Provisional => {
                self.created += 1;
                self.provisional += 1;
            }
            Outcome::AlreadyThere => self.already_there += 1,
            Outcome::Waiting => self.waiting += 1,
            Outcome::Elsewhere => self.not_yet += 1,
            Outcome::Failed => self.failed += 1,
        }
    }

    /// Returns the pass, if it is complete; a pass that is not is continued by the next, if there is one soon.
    ///
    /// # Errors
    /// When exports could not be created, or the last pass of a day reached its time limit.
    pub(crate) fn ended(self, month: Month, is_continued: bool) -> Result<Self, RunError> {
        let Self { created, already_there, waiting, failed, .. } = self;
        let summary =
            || format!("{month}: created {created}, already there {already_there}, waiting {waiting}, failed {failed}");
        if failed > 0 {
            Err(RunError::SomeFailed(summary()))
        } else if self.is_unfinished && !is_continued {
            Err(RunError::Unfinished(summary()))
        } else {
            Ok(self)
        }
    }
}
