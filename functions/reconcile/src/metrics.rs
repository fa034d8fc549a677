//! The metrics of a run.

use metrique::unit_of_work::metrics;
use platform::metrics::write;
use tracing::Level;

use crate::handler::Report;

#[metrics(rename_all = "PascalCase")]
struct Run {
    reconciliations_made: u64,
    reconciliation_mismatches: u64,
    reconciliations_unknown: u64,
    reconciliation_errors: u64,
    bookings_compared: u64,
    /// Newly restated ones.
    bookings_restated: u64,
    /// All restated ones.
    bookings_differing: u64,
    bookings_not_compared: u64,
    #[metrics(name = "explained")]
    explained: String,
    #[metrics(name = "without_file")]
    without_file: String,
    #[metrics(name = "unfinished")]
    unfinished: String,
}

/// Writes the metrics of a run.
pub(crate) fn of_run(report: &Report) {
    let not_compared = report.bookings.errors + report.bookings.left;
    let run = Run {
        reconciliations_made: report.made,
        reconciliation_mismatches: report.mismatches,
        reconciliations_unknown: report.unknown,
        reconciliation_errors: report.errors,
        bookings_compared: report.bookings.compared,
        bookings_restated: report.bookings.newly_restated,
        bookings_differing: report.bookings.restated,
        bookings_not_compared: not_compared,
        explained: report.explained.to_string(),
        without_file: report.without_file.to_string(),
        unfinished: report.unfinished.to_string(),
    };
    let troubles = [report.mismatches, report.unknown, report.errors, report.bookings.newly_restated, not_compared];
    let is_troubled = troubles.iter().any(|count| *count > 0);
    write(if is_troubled { Level::WARN } else { Level::INFO }, "exports reconciled", run);
}
