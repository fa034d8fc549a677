//! The booked months: each file that was booked for one of the last months is compared with the file that would be made
//! now. What differs is restated, which the booking and its job then say.

use domain::{
    Action, AuditRecord, Event, ExportFile, Month, OrgId, Origin, State, Subject,
    ledger::{BookedMonth, Restatement},
};
use engine::{CsvFile, FileError, Settings, Snapshot, rollups::RollupError};
use jiff::Timestamp;
use jobs::JobsError;
use platform::{Deadline, log::Causes};
use postgres::DatabaseError;
use serde::Serialize;
use tracing::{info, warn};

use crate::{context::Context, event::Order};

/// Months that are compared, the running one included. Rollups of older ones are not kept.
const MONTHS: usize = 14;

/// The counts of the booked months.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bookings {
    /// Comparisons that were made.
    pub(crate) compared: u64,
    /// Months whose figures were found to be no longer those of the booked file, for the first time.
    pub(crate) newly_restated: u64,
    /// All months whose figures are not those of the booked file.
    pub(crate) restated: u64,
    /// Months whose figures are those of the booked file again.
    pub(crate) restored: u64,
    /// Months of which the rollups are no longer kept.
    pub(crate) not_kept: u64,
    /// Comparisons that failed.
    pub(crate) errors: u64,
    /// Months that were left when the time limit was reached. They are the first of the next run.
    pub(crate) left: u64,
}

/// The reason why a month was not compared.
#[derive(Debug, thiserror::Error)]
enum BookingError {
    #[error(transparent)]
    Jobs(#[from] JobsError),
    #[error("could not read the present figures")]
    File(#[from] FileError),
    #[error(transparent)]
    Rollups(#[from] RollupError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("the booked job has no file")]
    NoFile,
}

/// The outcome of a comparison.
enum Compared {
    /// With what began or ended, and `true` if the figures are not those of the booked file.
    Made(Option<Restatement>, bool),
    /// Rollups of a part of the month were dropped because of their age.
    NotKept,
    /// The month was booked or compared again meanwhile, or the booking is gone from the list.
    Passed,
}

/// Compares the booked months of the order, those first whose last comparison is the oldest.
///
/// # Errors
/// When the bookings cannot be listed.
pub(crate) async fn compare_all(
    order: Order,
    request_id: &str,
    deadline: Deadline,
    context: &Context,
) -> Result<Bookings, JobsError> {
    let mut booked = list(order, context).await?.into_iter();
    let mut report = Bookings::default();
    while let Some((_, month, org)) = booked.next() {
        if deadline.left().is_zero() {
            report.left = 1 + booked.len() as u64;
            break;
        }
        match compare(org, month, request_id, deadline, context).await {
            Ok(compared) => report.add(&compared),
            Err(error) => {
                warn!(org_id = %org, period = %month, error = %Causes(&error), "booked month not compared");
                report.errors += 1;
            }
        }
    }
    Ok(report)
}

/// Returns the booked months in the order in which they are compared.
async fn list(order: Order, context: &Context) -> Result<Vec<(Option<Timestamp>, Month, OrgId)>, JobsError> {
    let months = std::iter::successors(Some(Month::of(Timestamp::now())), |month| Some(month.previous())).take(MONTHS);
    let mut booked = Vec::new();
    for month in months {
        match order {
            Order::One(org) => {
                let found = context.jobs.booked(org, month).await?;
                booked.extend(found.map(|found| (found.checked_at, month, org)));
            }
            Order::Sample => {
                let found = context.jobs.organizations_with_booking(month).await?;
                booked.extend(found.into_iter().map(|(org, checked_at)| (checked_at, month, org)));
            }
        }
    }
    booked.sort_unstable();
    Ok(booked)
}

async fn compare(
    org: OrgId,
    month: Month,
    request_id: &str,
    deadline: Deadline,
    context: &Context,
) -> Result<Compared, BookingError> {
    let Some(before) = context.jobs.booked(org, month).await? else { return Ok(Compared::Passed) };
    let job = context.jobs.get(org, before.job).await?.ok_or(BookingError::NoFile)?;
    let (State::Succeeded { file, .. } | State::Expired { file, .. }) = job.state() else {
        return Err(BookingError::NoFile);
    };
    let settings = Settings { connections: 1, limit: deadline.left() };
    let snapshot = Snapshot::begin(&context.database, org, job.request(), settings).await?;
    if !usage::rollups_are_kept(snapshot.client(), job.request().range).await? {
        return Ok(Compared::NotKept);
    }
    let present = present(snapshot).await?;
    let now = Timestamp::now();
    let (after, change) = before.clone().compare(file, &present, now);
    let record = change.map(|change| record(change, &after, now, request_id));
    // Also when it was restated before, and the figures are others again.
    let told = before.restated.as_ref().map(|restated| &restated.checksum);
    let new = after.restated.as_ref().filter(|restated| told != Some(&restated.checksum));
    // The sweep publishes it.
    let event = new.map(|restated| Event::restated(&job, month, restated, now));
    if !context.jobs.keep_comparison(&before, &after, record.as_ref(), event.as_ref()).await? {
        return Ok(Compared::Passed);
    }
    match change {
        Some(Restatement::Began) => warn!(
            org_id = %org, job_id = %job.id(), period = %month,
            booked_cost = %file.totals.cost_total, present_cost = %present.totals.cost_total,
            "figures of a booked month are no longer those of the booked file"
        ),
        Some(Restatement::Ended) => {
            info!(org_id = %org, job_id = %job.id(), period = %month, "figures of a booked month are as booked again");
        }
        None => {}
    }
    Ok(Compared::Made(change, after.restated.is_some()))
}

/// Returns the facts of the file that would be made now. Its bytes are made and dropped.
async fn present(snapshot: Snapshot) -> Result<ExportFile, FileError> {
    let mut csv = CsvFile::read(snapshot).await?;
    while csv.next().await?.is_some() {}
    csv.finish().await
}

fn record(change: Restatement, month: &BookedMonth, at: Timestamp, request_id: &str) -> AuditRecord {
    AuditRecord {
        at,
        action: match change {
            Restatement::Began => Action::Restate,
            Restatement::Ended => Action::Restore,
        },
        subject: Subject::system("reconcile"),
        org: month.org,
        job: Some(month.job),
        origin: Origin::of_service(request_id),
    }
}

impl Bookings {
    const fn add(&mut self, compared: &Compared) {
        match compared {
            Compared::Passed => return,
            Compared::NotKept => {
                self.not_kept += 1;
                return;
            }
            Compared::Made(change, is_restated) => {
                match change {
                    Some(Restatement::Began) => self.newly_restated += 1,
                    Some(Restatement::Ended) => self.restored += 1,
                    None => {}
                }
                if *is_restated {
                    self.restated += 1;
                }
            }
        }
        self.compared += 1;
    }
}
