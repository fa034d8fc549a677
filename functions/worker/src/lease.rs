//! The lease of a claimed job, renewed while its export runs.
//!
//! A lost worker delays its job by one lease: the message comes back right after it, and is claimed again. So both are
//! short, and renewed together.

use std::time::Duration;

use domain::{ClaimedJob, Progress};
use jiff::Timestamp;
use jobs::FinishError;
use lambda::Delivery;
use platform::{Deadline, log::Causes};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tracing::warn;

use crate::{context::Context, handler::give_back};

/// The length of a lease. Some renewals in a row may fail before it ends.
const LENGTH: Duration = Duration::from_secs(20);
/// The interval between two renewals.
const INTERVAL: Duration = Duration::from_secs(5);
/// The interval between two reports of a job's progress, each of which renews the lease.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// The time by which the message is hidden for longer than the lease, so that the claim finds the lease expired: a report
/// of progress may have renewed the lease alone, up to [`INTERVAL`] later.
const MARGIN: Duration = Duration::from_secs(6);

/// Returns the end of a lease that begins now: not after the invocation's deadline.
pub(crate) fn end(deadline: Deadline) -> Timestamp {
    Timestamp::now().saturating_add(LENGTH).unwrap_or(Timestamp::MAX).min(deadline.at())
}

/// Renews the lease and stores the progress until the claim is lost. An error of a service does not fail the export.
pub(crate) async fn keep(
    claimed: &ClaimedJob,
    delivery: &Delivery,
    deadline: Deadline,
    mut progress: watch::Receiver<Progress>,
    context: &Context,
) {
    // The claim made the lease; the queue hides the message for longer.
    hide(delivery, deadline, context).await;
    let mut renewed_at = Instant::now();
    loop {
        sleep(REPORT_INTERVAL).await;
        let is_new = progress.has_changed().unwrap_or(false);
        let is_due = renewed_at.elapsed() >= INTERVAL;
        if !is_new && !is_due {
            continue;
        }
        let seen = *progress.borrow_and_update();
        match context.jobs.renew(claimed, end(deadline), seen).await {
            Ok(()) => {}
            Err(FinishError::LostClaim) => return,
            Err(error) => warn!(error = %Causes(&error), "lease of the export job not renewed"),
        }
        if is_due {
            hide(delivery, deadline, context).await;
            renewed_at = Instant::now();
        }
    }
}

/// Hides the message until after the end of the lease.
async fn hide(delivery: &Delivery, deadline: Deadline, context: &Context) {
    let left = end(deadline).duration_since(Timestamp::now());
    give_back(delivery, Duration::try_from(left).unwrap_or_default() + MARGIN, context).await;
}
