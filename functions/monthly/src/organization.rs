//! One organization's export of the month: created once its figures are final, and sent to the queue in its turn.

use std::{cell::Cell, time::Duration};

use domain::{
    Action, AuditRecord, ExportRequest, Granularity, Month, NewJob, OrgId, Origin, Settings, Subject, Submission,
    TimeRange,
    settings::{Due, Schedule},
};
use jiff::{SignedDuration, Timestamp};
use jobs::{CreateError, Created, JobsError, Key, dispatch, new_job_id};
use platform::log::Causes;
use tokio_postgres::Client;
use tracing::{Instrument as _, error, info, info_span, warn};
use usage::{UsageError, completeness};

use crate::context::Context;

/// Interval between the arrivals of two exports on the queue: ten thousand arrive within twelve minutes, about as fast as
/// two workers write small files. Larger files gather on the queue, where they are one group of messages, so that SQS
/// delivers the exports of people in between.
const SEND_INTERVAL: SignedDuration = SignedDuration::from_millis(70);

/// The export that each organization gets.
pub(crate) struct Export<'a> {
    pub(crate) month: Month,
    pub(crate) range: TimeRange,
    pub(crate) edition: u32,
    /// `true` if an organization waits until its figures are final.
    pub(crate) waits: bool,
    /// `true` if organizations with a schedule of their own are left to it.
    pub(crate) leaves_own: bool,
    pub(crate) pace: &'a Pace,
    pub(crate) request_id: &'a str,
    pub(crate) context: &'a Context,
}

/// The outcome for one organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Created,
    /// Created, although the figures are not final.
    Provisional,
    AlreadyThere,
    /// Not of this pass: the organization has a schedule of its own, whose day has not come.
    Elsewhere,
    /// The figures are not final: the next pass looks again.
    Waiting,
    Failed,
}

#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error("could not read the completeness of the figures")]
    Usage(#[from] UsageError),
    #[error(transparent)]
    Create(#[from] CreateError),
    #[error(transparent)]
    Jobs(#[from] JobsError),
}

impl Export<'_> {
    /// Creates the export of an organization, unless it waits.
    pub(crate) async fn process(&self, client: &Client, org: OrgId) -> Outcome {
        logged(self.try_process(client, org).await)
    }

    async fn try_process(&self, client: &Client, org: OrgId) -> Result<Outcome, ExportError> {
        let settings = self.settings(org).await?;
        match settings.own_schedule() {
            Some(_) if self.leaves_own => Ok(Outcome::Elsewhere),
            Some(schedule) => {
                self.make(client, org, (schedule.granularity, &settings), self.waits, Timestamp::now()).await
            }
            None => self.make(client, org, (Granularity::Daily, &settings), self.waits, Timestamp::now()).await,
        }
    }

    /// Creates the export of an organization with a schedule of its own, if it is due at `at`.
    pub(crate) async fn process_own(&self, client: &Client, org: OrgId, schedule: Schedule, at: Timestamp) -> Outcome {
        logged(self.try_process_own(client, org, schedule, at).await)
    }

    async fn try_process_own(
        &self,
        client: &Client,
        org: OrgId,
        schedule: Schedule,
        at: Timestamp,
    ) -> Result<Outcome, ExportError> {
        let due = schedule.due(self.month, at, self.context.last_hour);
        if due == Due::NotYet {
            return Ok(Outcome::Elsewhere);
        }
        // Spares the completeness of each organization that has its export.
        if self.context.jobs.scheduled(org, self.month, self.edition).await?.is_some() {
            return Ok(Outcome::AlreadyThere);
        }
        let settings = self.settings(org).await?;
        self.make(client, org, (schedule.granularity, &settings), due == Due::IfFinal, at).await
    }

    async fn settings(&self, org: OrgId) -> Result<Settings, JobsError> {
        Ok(self.context.jobs.settings(org).await?.map(|found| found.settings).unwrap_or_default())
    }

    /// Creates an export, unless it waits until its figures are final.
    async fn make(
        &self,
        client: &Client,
        org: OrgId,
        (granularity, settings): (Granularity, &Settings),
        waits: bool,
        at: Timestamp,
    ) -> Result<Outcome, ExportError> {
        let known = completeness(client, org, self.range, granularity, Timestamp::now()).await?;
        // The rollups of another pipeline never become final here, unless the organization says after how many days.
        let figures = known.of_figures(true).awaiting_late_usage(settings.final_from(self.range.end()), at);
        let is_final = figures.is_final_or_unknown();
        if waits && !is_final {
            info!(
                waiting_hours = known.waiting.len(),
                troubles = known.troubles.len(),
                "figures not final, export waits"
            );
            return Ok(Outcome::Waiting);
        }
        Ok(match self.create(org, granularity).await? {
            Created::Existing(_) => Outcome::AlreadyThere,
            Created::New(_) => {
                self.pace.created.set(self.pace.created.get() + 1);
                if is_final {
                    Outcome::Created
                } else {
                    warn!(
                        waiting_hours = known.waiting.len(),
                        troubles = known.troubles.len(),
                        "export of provisional figures"
                    );
                    Outcome::Provisional
                }
            }
        })
    }

    /// Creates the job, and sends its message or leaves that to the sweep.
    async fn create(&self, org: OrgId, granularity: Granularity) -> Result<Created, CreateError> {
        let context = self.context;
        let now = Timestamp::now();
        let id = new_job_id();
        let delay = self.pace.delay();
        let visible_at = now.saturating_add(delay).unwrap_or(Timestamp::MAX);
        let request = ExportRequest { range: self.range, granularity, models: None };
        let subject = Subject::system("monthly-export");
        let origin = Origin::of_service(self.request_id);
        let record =
            AuditRecord { at: now, action: Action::Create, subject: subject.clone(), org, job: Some(id), origin };
        // The sweep sends what is due after its next run, each message with the delay that is left then. SQS allows longer
        // delays, but counts them in the age of the oldest message, which has an alarm.
        let is_deferred = delay > context.sweep_interval;
        let request_id = self.request_id.to_owned();
        let submission = Submission { id, org, request, note: None, subject, at: now, request_id };
        let new = if is_deferred {
            NewJob::deferred(submission, visible_at, context.retention)
        } else {
            NewJob::queued(submission, context.resend.resend_at(visible_at), context.retention)
        };
        // The cap is irrelevant: the job does not count against it.
        let created = context.jobs.create(new, Some(Key::Monthly(self.month, self.edition)), 0, &record).await?;
        if let Created::New(job) = &created {
            let span = info_span!("job", job_id = %id);
            if is_deferred {
                span.in_scope(|| info!(%visible_at, "export job deferred"));
            } else {
                match dispatch(job, visible_at, delay, &context.queue, &context.jobs).instrument(span.clone()).await {
                    Ok(()) => span.in_scope(|| info!("export job queued")),
                    Err(error) => span.in_scope(|| error!(error = %Causes(&error), "export job not queued")),
                }
            }
        }
        Ok(created)
    }
}

/// Returns an outcome, or logs why there is none.
fn logged(outcome: Result<Outcome, ExportError>) -> Outcome {
    outcome.unwrap_or_else(|error| {
        error!(error = %Causes(&error), "monthly export not created");
        Outcome::Failed
    })
}

/// The times at which the exports of one invocation reach the queue.
pub(crate) struct Pace {
    started_at: Timestamp,
    created: Cell<u32>,
}

impl Pace {
    /// Begins now.
    pub(crate) fn begin() -> Self {
        Self { started_at: Timestamp::now(), created: Cell::new(0) }
    }

    /// Returns the delay of the next export, zero if its time has passed.
    fn delay(&self) -> Duration {
        let offset = SEND_INTERVAL.saturating_mul(i32::try_from(self.created.get()).unwrap_or(i32::MAX));
        let slot = self.started_at.saturating_add(offset).unwrap_or(Timestamp::MAX);
        slot.duration_since(Timestamp::now()).max(SignedDuration::ZERO).unsigned_abs()
    }
}
