//! The metrics of an invocation.

use domain::Month;
use metrique::unit_of_work::metrics;
use platform::metrics::write;
use tracing::Level;

use crate::handler::{Counts, RunError};

#[metrics(rename_all = "PascalCase")]
struct Invocation {
    monthly_created: u64,
    monthly_create_errors: u64,
    /// 1 if the time limit was reached.
    unfinished: u64,
    /// 1 if another invocation works on the month.
    held: u64,
    provisional_months: u64,
    #[metrics(name = "month")]
    month: String,
    #[metrics(name = "request_id")]
    request_id: String,
}

/// Writes the metrics of an invocation and of the error that ended it, if one did.
pub(crate) fn of_invocation(counts: &Counts, error: Option<&RunError>, month: Month, request_id: &str) {
    let is_unfinished = matches!(error, Some(RunError::Unfinished(_)));
    let is_held = matches!(error, Some(RunError::Held { .. }));
    let invocation = Invocation {
        monthly_created: counts.created,
        monthly_create_errors: counts.failed,
        unfinished: u64::from(is_unfinished),
        held: u64::from(is_held),
        provisional_months: u64::from(counts.is_provisional),
        month: month.to_string(),
        request_id: request_id.to_owned(),
    };
    let is_troubled = counts.is_provisional || (error.is_some() && !is_unfinished && !is_held);
    write(if is_troubled { Level::ERROR } else { Level::INFO }, "monthly exports processed", invocation);
}
